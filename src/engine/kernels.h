/* The engine's own kernels: what oneDNN does not do, or does slowly (see docs/engine.md).
 *
 * A table of function pointers. The scalar reference fills every slot; AVX2, AVX-512 and AVX-512 BF16 versions overwrite the
 * slots they improve, by mien_cpu_flags(). All versions give the same result up to float rounding.
 * bf16 values are uint16_t (upper half of a float32, round to nearest even). Pointers need no alignment unless said.
 * The processor's own conversion (AVX-512 BF16) turns float32 denormals into zero. exp, sigmoid and tanh: relative error <= 1e-6.
 * In-place use (dst == src) is allowed for the elementwise kernels. */
#ifndef MIEN_ENGINE_KERNELS_H
#define MIEN_ENGINE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum mien_unary {
    MIEN_U_RELU, MIEN_U_LEAKY, MIEN_U_CLIP, MIEN_U_SIGMOID, MIEN_U_TANH, MIEN_U_HARDSWISH, MIEN_U_HARDSIGMOID, MIEN_U_SWISH, MIEN_U_NEG, MIEN_U_ABS,
    MIEN_U_EXP, MIEN_U_LOG, MIEN_U_SQRT, MIEN_U_RECIPROCAL, MIEN_U_FLOOR, MIEN_U_CEIL, MIEN_U_ERF, MIEN_U_GELU, MIEN_U_ELU, MIEN_U_SOFTPLUS,
    MIEN_U_COUNT
};
enum mien_binary { MIEN_B_ADD, MIEN_B_SUB, MIEN_B_MUL, MIEN_B_DIV, MIEN_B_MIN, MIEN_B_MAX, MIEN_B_POW, MIEN_B_COUNT };
enum mien_reduce { MIEN_R_SUM, MIEN_R_MEAN, MIEN_R_MAX, MIEN_R_MIN, MIEN_R_L2, MIEN_R_COUNT };

struct mien_kernels {
    /* float32 <-> bfloat16, n elements */
    void (*f32_to_bf16)(uint16_t *dst, const float *src, size_t n);
    void (*bf16_to_f32)(float *dst, const uint16_t *src, size_t n);

    /* PReLU over channels-last data: x < 0 ? x * slope[c] : x ; rows x channels, slope has `channels` float32 */
    void (*prelu_f32)(float *x, const float *slope, size_t rows, size_t channels);
    void (*prelu_bf16)(uint16_t *x, const float *slope, size_t rows, size_t channels);

    /* y = prelu(x + r): residual addition and PReLU (slope may be NULL: no activation) in one pass */
    void (*add_prelu_f32)(float *dst, const float *x, const float *r, const float *slope, size_t rows, size_t channels);
    void (*add_prelu_bf16)(uint16_t *dst, const uint16_t *x, const uint16_t *r, const float *slope, size_t rows, size_t channels);

    /* Channel-wise scale and shift of channels-last data: y = x * scale[c] + shift[c] (folded BatchNorm that no convolution took) */
    void (*affine_f32)(float *dst, const float *x, const float *scale, const float *shift, size_t rows, size_t channels);
    void (*affine_bf16)(uint16_t *dst, const uint16_t *x, const float *scale, const float *shift, size_t rows, size_t channels);

    /* Elementwise float32; a, b: parameters as in struct mien_act (Leaky/Elu slope, Clip bounds, HardSigmoid alpha/beta) */
    void (*unary)(enum mien_unary op, float *dst, const float *x, size_t n, float a, float b);
    /* Same shape, or one scalar operand: stride 0 means "the same element every time", else 1. */
    void (*binary)(enum mien_binary op, float *dst, const float *x, int x_stride, const float *y, int y_stride, size_t n);
    /* bf16 versions that convert in registers */
    void (*unary_bf16)(enum mien_unary op, uint16_t *dst, const uint16_t *x, size_t n, float a, float b);
    void (*binary_bf16)(enum mien_binary op, uint16_t *dst, const uint16_t *x, int x_stride, const uint16_t *y, int y_stride, size_t n);
    /* Channels-last times a per-channel vector (squeeze-and-excitation): dst[r][c] = x[r][c] * s[c] */
    void (*scale_channels_f32)(float *dst, const float *x, const float *s, size_t rows, size_t channels);
    void (*scale_channels_bf16)(uint16_t *dst, const uint16_t *x, const uint16_t *s, size_t rows, size_t channels);

    /* Softmax over the middle axis of outer x n x inner float32 */
    void (*softmax)(float *dst, const float *x, size_t outer, size_t n, size_t inner);

    /* Nearest-neighbour upscaling by whole factors, NHWC, `elem` bytes per element (2 or 4) */
    void (*upsample_nearest)(void *dst, const void *src, size_t h, size_t w, size_t channels, size_t fh, size_t fw, size_t elem);
};

/* The table for this processor (decided once per mask; see mien_cpu_set_mask). */
const struct mien_kernels *mien_kernels_get(void);
/* The scalar reference, for tests. */
const struct mien_kernels *mien_kernels_reference(void);

/* General kernels, plain C, any element of 1..8 bytes where stated; used off the hot path. `rank` <= 6. */

/* dst[i0..] = src permuted: dst axis k is src axis perm[k]. Fast paths for NCHW<->NHWC in 2- and 4-byte elements. */
void mien_k_permute(void *dst, const void *src, const int64_t *src_dim, const int *perm, int rank, size_t elem);
/* Pads with begins[]/ends[] (may be negative: crops). mode 0 constant (*value, elem bytes), 1 reflect, 2 edge. */
void mien_k_pad(void *dst, const void *src, const int64_t *src_dim, const int64_t *begin, const int64_t *end, int rank, int mode,
                const void *value, size_t elem);
/* Broadcasting binary, float32, ONNX (numpy) rules. Shapes already extended to `rank` with leading ones. */
void mien_k_broadcast(enum mien_binary op, float *dst, const int64_t *dst_dim, const float *x, const int64_t *x_dim, const float *y,
                      const int64_t *y_dim, int rank);
/* Reduction over the axes with axis_mask bit set; dst has those axes removed. */
void mien_k_reduce(enum mien_reduce op, float *dst, const float *x, const int64_t *dim, int rank, unsigned axis_mask);
/* Resize NHWC float32. mode 0 nearest, 1 linear, 2 cubic(a=-0.75); coord and nearest as in struct mien_attrs. */
void mien_k_resize(float *dst, const float *src, int64_t h, int64_t w, int64_t channels, int64_t oh, int64_t ow, float scale_h,
                   float scale_w, int mode, int coord, int nearest);
/* Gather along an axis: dst = src[.., index[k], ..] with outer x (src_n) x inner elements. Negative indices count from the
 * end; an index out of range gives zeros. */
void mien_k_gather(void *dst, const void *src, size_t outer, size_t src_n, size_t inner, const int64_t *index, size_t n, size_t elem);
uint16_t mien_bf16_from_f32(float v);
float mien_bf16_to_f32(uint16_t v);

#endif
