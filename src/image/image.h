/* Pictures: sniffing, decoding under limits, EXIF orientation, and a lazy view on large photos.
 *
 * Trust: input bytes are hostile. Limits are checked from the header, before pixels are allocated.
 * Pixels are 8-bit RGB, rows top to bottom, of the UPRIGHT picture (EXIF orientation applied; alpha laid on
 * white; 16 bit reduced to 8; CMYK and gray converted). Coordinates everywhere are pixels of that picture.
 * No globals: every function may run on any number of threads; one mien_photo belongs to one thread. */
#ifndef MIEN_IMAGE_IMAGE_H
#define MIEN_IMAGE_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct mien_image {
    uint8_t *px;          /* RGB, 3 bytes a pixel; owned when made by a function below */
    int width, height;    /* pixels, >= 1 */
    size_t stride;        /* bytes from row to row, >= 3 * width */
};

/* Wipes the pixels, frees them and empties *im. */
void mien_image_free(struct mien_image *im);

enum mien_code mien_image_alloc(int width, int height, struct mien_image *out, struct mien_err *e) MIEN_MUST_CHECK;

enum mien_image_format {
    MIEN_IMAGE_UNKNOWN, MIEN_IMAGE_JPEG, MIEN_IMAGE_PNG, MIEN_IMAGE_WEBP, MIEN_IMAGE_BMP, MIEN_IMAGE_GIF
};

/* By the first bytes only; needs at least 12. */
enum mien_image_format mien_image_sniff(const unsigned char *data, size_t n);

struct mien_image_limits {
    size_t max_bytes;   /* encoded; default 10 MiB */
    uint64_t max_pixels; /* width * height; default 50 million */
};
#define MIEN_IMAGE_LIMITS_DEFAULT ((struct mien_image_limits){10u << 20, 50000000u})

/* A photo opened but not yet decoded. Keeps (does not copy) `data`, which must outlive it. */
struct mien_photo;

enum mien_code mien_photo_open(const unsigned char *data, size_t n, const struct mien_image_limits *limits,
                               struct mien_photo **out, struct mien_err *e) MIEN_MUST_CHECK;

/* A photo over pixels that are already decoded (borrowed, upright RGB). */
enum mien_code mien_photo_from_pixels(const struct mien_image *pixels, struct mien_photo **out,
                                      struct mien_err *e) MIEN_MUST_CHECK;
void mien_photo_free(struct mien_photo **p); /* wipes what was decoded */

int mien_photo_width(const struct mien_photo *p);  /* of the upright picture at full size */
int mien_photo_height(const struct mien_photo *p);

/* A view of the whole picture whose longer side is at least min(min_long_side, full size): JPEGs are decoded at
 * the smallest DCT scale (1/1, 1/2, 1/4, 1/8) that satisfies it, others at full size. *scale = view pixels per
 * full pixel (e.g. 0.25). Borrowed: valid until the photo is freed. Cached: asking again costs nothing, and a
 * view already held that is large enough is reused. */
enum mien_code mien_photo_view(struct mien_photo *p, int min_long_side, const struct mien_image **view,
                               float *scale, struct mien_err *e) MIEN_MUST_CHECK;

/* Pixels of a rectangle (clipped to the picture) at FULL resolution. Reuses a full-size view when one is held;
 * otherwise JPEGs decode only what the rectangle needs. *x0,*y0 = picture coordinates of the region's first pixel.
 * Borrowed: valid until the next call of mien_photo_region on this photo or until it is freed. */
struct mien_rect { int x, y, w, h; };
enum mien_code mien_photo_region(struct mien_photo *p, struct mien_rect want, const struct mien_image **region,
                                 int *x0, int *y0, struct mien_err *e) MIEN_MUST_CHECK;

/* One call for tests and small uses: the whole picture at full size; *out is owned by the caller. */
enum mien_code mien_image_decode(const unsigned char *data, size_t n, const struct mien_image_limits *limits,
                                 struct mien_image *out, struct mien_err *e) MIEN_MUST_CHECK;

/* A depth map: one number a pixel, millimetres for a sensor's; 0 = unknown. */
struct mien_depth_map { int width, height; uint16_t *mm; /* owned */ };
/* A 16-bit gray PNG within the limits; MIEN_E_IMAGE_TYPE for any other picture. Orientation marks are not looked at. */
enum mien_code mien_depth_map_read(const unsigned char *data, size_t n, const struct mien_image_limits *limits, struct mien_depth_map *out,
                                   struct mien_err *e) MIEN_MUST_CHECK;
void mien_depth_map_free(struct mien_depth_map *d); /* wipes */

/* EXIF orientation 1..8 from the payload of a JPEG APP1 / WebP EXIF / PNG eXIf chunk; 1 when absent or invalid. */
int mien_exif_orientation(const unsigned char *tiff, size_t n);

/* Encoders; *out is malloc'ed, the caller frees. */
enum mien_code mien_image_encode_png(const struct mien_image *im, unsigned char **out, size_t *n,
                                     struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_image_encode_jpeg(const struct mien_image *im, int quality, unsigned char **out, size_t *n,
                                      struct mien_err *e) MIEN_MUST_CHECK;

#endif
