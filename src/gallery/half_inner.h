/* Between half.c and its kernels. Each converts as many as fit its vectors and returns how many that were. */
#ifndef MIEN_GALLERY_HALF_INNER_H
#define MIEN_GALLERY_HALF_INNER_H

#include <stddef.h>
#include <stdint.h>

size_t mien_half_from_float_avx2(const float *in, uint16_t *out, size_t n);
size_t mien_half_to_float_avx2(const uint16_t *in, float *out, size_t n);

#endif
