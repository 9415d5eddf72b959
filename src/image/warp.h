/* Geometry and resampling: from 8-bit RGB pictures to the float tensors that networks eat.
 *
 * Everything writes NHWC (H x W x C) float32, one image. Pixel centres are at integer + 0.5 (half-pixel). */
#ifndef MIEN_IMAGE_WARP_H
#define MIEN_IMAGE_WARP_H

#include "image/image.h"

/* Affine map from destination pixel (u,v) to source pixel (x,y), both in pixel-index coordinates (centre of the
 * first pixel = 0,0): x = m[0]u + m[1]v + m[2], y = m[3]u + m[4]v + m[5]. */
struct mien_affine { float m[6]; };

struct mien_affine mien_affine_invert(struct mien_affine a); /* determinant must not be 0 */
void mien_affine_apply(const struct mien_affine *a, float u, float v, float *x, float *y);

/* Least-squares similarity transform (Umeyama 1991, without reflection) taking src[i] to dst[i], n >= 2 points
 * (x,y pairs). The result maps src -> dst. MIEN_E_ARG when the points coincide. */
enum mien_code mien_similarity(const float *src, const float *dst, int n, struct mien_affine *out,
                               struct mien_err *e) MIEN_MUST_CHECK;

enum mien_border { MIEN_BORDER_ZERO, MIEN_BORDER_REPLICATE, MIEN_BORDER_REFLECT101 };

/* What happens to a sampled pixel before it becomes a tensor element, channel by channel:
 * out[c] = (value - mean[c]) * scale[c], after the channel order is applied. */
enum mien_channels { MIEN_RGB, MIEN_BGR, MIEN_GRAY /* 0.299R+0.587G+0.114B, one channel */ };
struct mien_tensor_spec {
    enum mien_channels channels;
    float mean[3], scale[3]; /* in the order of `channels` */
};

/* Bilinear warp of `src` into out[h][w][C] by dst->src map `a`. The border value is 0 in PIXEL space, before
 * mean and scale. */
void mien_warp_affine(const struct mien_image *src, const struct mien_affine *a, int w, int h,
                      enum mien_border border, const struct mien_tensor_spec *spec, float *out);

/* Letterbox: scale = min(w/src.w, h/src.h), resized picture pasted at the top left of a black w x h canvas.
 * Area-averaged when shrinking by more than 2, bilinear otherwise. *scale = canvas pixels per source pixel. */
void mien_letterbox(const struct mien_image *src, int w, int h, const struct mien_tensor_spec *spec, float *out,
                    float *scale);

/* Resize of a rectangle (float edges, may lie outside: `border`) to w x h, as if it were cut out first: nothing beyond
 * the pixels it touches is read. `filter`: bilinear as cv2.INTER_LINEAR; area when neither side is enlarged, else
 * bilinear or Lanczos4 (as the spoof network's authors do). MIEN_E_ARG for an empty rectangle or one beyond 2^24. */
enum mien_filter { MIEN_BILINEAR, MIEN_AREA_OR_BILINEAR, MIEN_AREA_OR_LANCZOS };
enum mien_code mien_crop_resize(const struct mien_image *src, float x0, float y0, float x1, float y1, int w, int h,
                                enum mien_filter filter, enum mien_border border,
                                const struct mien_tensor_spec *spec, float *out, struct mien_err *e) MIEN_MUST_CHECK;

/* Variance of the 4-neighbour Laplacian of the gray picture inside a rectangle (clipped); 0 when smaller than 3x3. */
float mien_laplacian_variance(const struct mien_image *src, struct mien_rect r);

/* Drawing for --draw, clipped to the picture. */
void mien_draw_rect(struct mien_image *im, float x0, float y0, float x1, float y1, int thickness, const uint8_t rgb[3]);
void mien_draw_dot(struct mien_image *im, float x, float y, int radius, const uint8_t rgb[3]);

#endif
