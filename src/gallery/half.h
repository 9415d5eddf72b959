/* IEEE 754 half precision (binary16), in which templates are kept: 512 numbers are 1 KiB. Rounding to nearest even moves the cosine of two unit vectors by less
 * than 1e-3 at the very most, by about 1e-5 in practice (tests/gallery/test_template.c). */
#ifndef MIEN_GALLERY_HALF_H
#define MIEN_GALLERY_HALF_H

#include <stddef.h>
#include <stdint.h>

void mien_half_from_float(const float *in, uint16_t *out, size_t n);
void mien_half_to_float(const uint16_t *in, float *out, size_t n);

#endif
