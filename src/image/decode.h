/* Between the files of this room: one reader per format, and turning of pictures.
 *
 * A reader works on the picture as STORED; the caller gives the EXIF orientation to apply while the pixels are
 * put down. Each *_header answers from the header alone and allocates no pixels; the caller checks its limits on
 * the answer before it calls *_decode. After an error *out is empty. */
#ifndef MIEN_IMAGE_DECODE_H
#define MIEN_IMAGE_DECODE_H

#include <stdbool.h>
#include "image/image.h"

struct mien_image_header {
    int width, height;   /* stored pixels, >= 1 */
    int orientation;     /* 1..8 */
    bool several_scans;  /* JPEG: decoding a part costs as much as decoding it all */
    uint64_t extent_px;  /* GIF: pixels of the largest frame, counted from the canvas' corner */
};

typedef enum mien_code mien_header_fn(const unsigned char *data, size_t n, struct mien_image_header *out,
                                      struct mien_err *e);
typedef enum mien_code mien_decode_fn(const unsigned char *data, size_t n, const struct mien_image_header *h,
                                      struct mien_image *out, struct mien_err *e);

mien_header_fn mien_jpeg_header, mien_png_header, mien_webp_header, mien_bmp_header, mien_gif_header;
mien_decode_fn mien_png_decode, mien_webp_decode, mien_bmp_decode, mien_gif_decode;

/* A PNG of 16-bit gray as numbers; MIEN_E_IMAGE_TYPE for any other. After an error *out may hold memory to be freed. */
enum mien_code mien_png_decode_depth(const unsigned char *data, size_t n, const struct mien_image_header *h, struct mien_depth_map *out,
                                     struct mien_err *e);

/* What of a JPEG: its size divided by `denom` (1, 2, 4, 8; sizes round up), or with denom 1 only `part` (stored
 * coordinates, inside the picture) when part.w > 0. */
struct mien_jpeg_what {
    int denom;
    struct mien_rect part;
};
enum mien_code mien_jpeg_decode(const unsigned char *data, size_t n, const struct mien_image_header *h,
                                struct mien_jpeg_what what, struct mien_image *out, struct mien_err *e);

/* Allocates *out for a stored picture of w x h after turning. */
enum mien_code mien_orient_alloc(int w, int h, int orientation, struct mien_image *out, struct mien_err *e);

/* Puts `rows` stored rows (RGB, `stride` bytes apart, the first being stored row y) of a w x h picture where they
 * belong in the turned picture *out. */
void mien_orient_put(const uint8_t *band, size_t stride, int w, int h, int y, int rows, int orientation,
                     struct mien_image *out);

/* The stored rectangle that becomes upright rectangle r of a stored picture of w x h. */
struct mien_rect mien_orient_back(struct mien_rect r, int w, int h, int orientation);

/* Turns a whole stored picture: with orientation 1 *stored moves to *out, else it is copied and freed. */
enum mien_code mien_orient_whole(struct mien_image *stored, int orientation, struct mien_image *out,
                                 struct mien_err *e);

/* RGBA row laid on white: RGB at dst, which may be the same memory. */
void mien_rgba_on_white(const uint8_t *rgba, int width, uint8_t *dst);

#endif
