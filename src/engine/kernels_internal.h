/* Between kernels.c and the instruction-set versions: their tables, and scalar functions that they fall back to. */
#ifndef MIEN_ENGINE_KERNELS_INTERNAL_H
#define MIEN_ENGINE_KERNELS_INTERNAL_H

#include "engine/kernels.h"

extern const struct mien_kernels mien_kernels_avx2, mien_kernels_avx512, mien_kernels_avx512bf16;

void mien_kernel_unary(enum mien_unary op, float *dst, const float *x, size_t n, float a, float b);
void mien_kernel_unary_bf16(enum mien_unary op, uint16_t *dst, const uint16_t *x, size_t n, float a, float b);
void mien_kernel_binary(enum mien_binary op, float *dst, const float *x, int x_stride, const float *y, int y_stride, size_t n);
void mien_kernel_binary_bf16(enum mien_binary op, uint16_t *dst, const uint16_t *x, int x_stride, const uint16_t *y, int y_stride, size_t n);
void mien_kernel_upsample_nearest(void *dst, const void *src, size_t h, size_t w, size_t channels, size_t fh, size_t fw, size_t elem);

#endif
