/* Pictures made by code for tests: drawn, encoded in the ways that the wild does, turned by the book. */
#ifndef MIEN_TESTS_PICTURES_H
#define MIEN_TESTS_PICTURES_H

#include <stdbool.h>
#include "image/image.h"

struct bytes {
    unsigned char *data; /* malloc'ed */
    size_t n;
};

/* Smooth colours that are different in every corner, so that no turn looks like another. */
struct mien_image picture_smooth(int w, int h);

/* What a picture stored with this EXIF orientation looks like upright; a new picture. */
struct mien_image picture_turned(const struct mien_image *stored, int orientation);

struct jpeg_options {
    int quality;             /* 0: 90 */
    bool progressive, full_chroma, gray, arithmetic;
    int restart_rows;        /* MCU rows between restart markers, 0 none */
    int orientation;         /* 0: no EXIF */
    bool big_endian;
    int scans;               /* > 0: one scan for each single coefficient, this many in all */
};
struct bytes picture_jpeg(const struct mien_image *im, struct jpeg_options o);

/* Inks c, m, y, k (0..255 = stored values) as CMYK or YCCK JPEG of one flat colour, with or without Adobe marker. */
struct bytes picture_cmyk(int w, int h, const uint8_t stored[4], bool ycck, bool adobe);

/* TIFF structure with one orientation tag behind "Exif\0\0" when `prefix`; returns its size (at most 40). */
size_t picture_exif(unsigned char out[40], int orientation, bool big_endian, bool prefix);

/* Exactly n bytes of b in memory of their own, so that the sanitizer sees reads past the end. */
unsigned char *bytes_cut(struct bytes b, size_t n);

double picture_mean_difference(const struct mien_image *a, const struct mien_image *b);
int picture_largest_difference(const struct mien_image *a, const struct mien_image *b);

#endif
