/* The kernel table: scalar reference, and the choice by processor.
 *
 * Every instruction-set version is a constant table in its own file, compiled with its own flags. Nothing is filled in
 * at run time, so the choice needs no lock, and no code of a wider instruction set runs before the processor was asked.
 * The scalar functions define the result, special values included: comparisons are written so that a NaN operand
 * travels the way the SSE min/max instructions send it, and the vector versions follow. */
#include "engine/kernels.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "engine/kernels_internal.h"

uint16_t mien_bf16_from_f32(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40); /* NaN: keep the payload's top, make it quiet */
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

float mien_bf16_to_f32(uint16_t v)
{
    uint32_t u = (uint32_t)v << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static void f32_to_bf16(uint16_t *dst, const float *src, size_t n)
{
    for (size_t i = 0; i < n; i++) dst[i] = mien_bf16_from_f32(src[i]);
}

static void bf16_to_f32(float *dst, const uint16_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++) dst[i] = mien_bf16_to_f32(src[i]);
}

static float leaky(float x, float slope) { return x < 0 ? x * slope : x; }

static void prelu_f32(float *x, const float *slope, size_t rows, size_t channels)
{
    for (size_t r = 0; r < rows; r++, x += channels)
        for (size_t c = 0; c < channels; c++) x[c] = leaky(x[c], slope[c]);
}

static void prelu_bf16(uint16_t *x, const float *slope, size_t rows, size_t channels)
{
    for (size_t r = 0; r < rows; r++, x += channels)
        for (size_t c = 0; c < channels; c++) x[c] = mien_bf16_from_f32(leaky(mien_bf16_to_f32(x[c]), slope[c]));
}

static void add_prelu_f32(float *dst, const float *x, const float *r, const float *slope, size_t rows, size_t channels)
{
    for (size_t i = 0; i < rows; i++, dst += channels, x += channels, r += channels)
        for (size_t c = 0; c < channels; c++) dst[c] = leaky(x[c] + r[c], slope != NULL ? slope[c] : 1);
}

static void add_prelu_bf16(uint16_t *dst, const uint16_t *x, const uint16_t *r, const float *slope, size_t rows, size_t channels)
{
    for (size_t i = 0; i < rows; i++, dst += channels, x += channels, r += channels)
        for (size_t c = 0; c < channels; c++) {
            float sum = mien_bf16_to_f32(x[c]) + mien_bf16_to_f32(r[c]);
            dst[c] = mien_bf16_from_f32(leaky(sum, slope != NULL ? slope[c] : 1));
        }
}

static void affine_f32(float *dst, const float *x, const float *scale, const float *shift, size_t rows, size_t channels)
{
    for (size_t r = 0; r < rows; r++, dst += channels, x += channels)
        for (size_t c = 0; c < channels; c++) dst[c] = x[c] * scale[c] + shift[c];
}

static void affine_bf16(uint16_t *dst, const uint16_t *x, const float *scale, const float *shift, size_t rows, size_t channels)
{
    for (size_t r = 0; r < rows; r++, dst += channels, x += channels)
        for (size_t c = 0; c < channels; c++) dst[c] = mien_bf16_from_f32(mien_bf16_to_f32(x[c]) * scale[c] + shift[c]);
}

static void scale_channels_f32(float *dst, const float *x, const float *s, size_t rows, size_t channels)
{
    for (size_t r = 0; r < rows; r++, dst += channels, x += channels)
        for (size_t c = 0; c < channels; c++) dst[c] = x[c] * s[c];
}

static void scale_channels_bf16(uint16_t *dst, const uint16_t *x, const uint16_t *s, size_t rows, size_t channels)
{
    for (size_t r = 0; r < rows; r++, dst += channels, x += channels)
        for (size_t c = 0; c < channels; c++) dst[c] = mien_bf16_from_f32(mien_bf16_to_f32(x[c]) * mien_bf16_to_f32(s[c]));
}

static float clip(float x, float low, float high)
{
    float t = low > x ? low : x;
    return high < t ? high : t;
}

static float unary_of(enum mien_unary op, float x, float a, float b)
{
    switch (op) {
    case MIEN_U_RELU: return 0 > x ? 0 : x;
    case MIEN_U_LEAKY: return leaky(x, a);
    case MIEN_U_CLIP: return clip(x, a, b);
    case MIEN_U_SIGMOID: return 1 / (1 + expf(-x));
    case MIEN_U_TANH: return tanhf(x);
    case MIEN_U_HARDSWISH: return x * clip(x * (1.0f / 6) + 0.5f, 0, 1);
    case MIEN_U_HARDSIGMOID: return clip(a * x + b, 0, 1);
    case MIEN_U_SWISH: return x / (1 + expf(-x));
    case MIEN_U_NEG: return -x;
    case MIEN_U_ABS: return fabsf(x);
    case MIEN_U_EXP: return expf(x);
    case MIEN_U_LOG: return logf(x);
    case MIEN_U_SQRT: return sqrtf(x);
    case MIEN_U_RECIPROCAL: return 1 / x;
    case MIEN_U_FLOOR: return floorf(x);
    case MIEN_U_CEIL: return ceilf(x);
    case MIEN_U_ERF: return erff(x);
    case MIEN_U_GELU: return 0.5f * x * (1 + erff(x * 0.70710678f)); /* the exact form: x * Phi(x) */
    case MIEN_U_ELU: return x < 0 ? a * expm1f(x) : x;
    case MIEN_U_SOFTPLUS: return (x > 0 ? x : 0) + log1pf(expf(-fabsf(x))); /* log(1 + e^x) without overflow */
    case MIEN_U_COUNT: break;
    }
    return x;
}

void mien_kernel_unary(enum mien_unary op, float *dst, const float *x, size_t n, float a, float b)
{
    for (size_t i = 0; i < n; i++) dst[i] = unary_of(op, x[i], a, b);
}

void mien_kernel_unary_bf16(enum mien_unary op, uint16_t *dst, const uint16_t *x, size_t n, float a, float b)
{
    for (size_t i = 0; i < n; i++) dst[i] = mien_bf16_from_f32(unary_of(op, mien_bf16_to_f32(x[i]), a, b));
}

static float binary_of(enum mien_binary op, float x, float y)
{
    switch (op) {
    case MIEN_B_ADD: return x + y;
    case MIEN_B_SUB: return x - y;
    case MIEN_B_MUL: return x * y;
    case MIEN_B_DIV: return x / y;
    case MIEN_B_MIN: return x < y ? x : y;
    case MIEN_B_MAX: return x > y ? x : y;
    case MIEN_B_POW: return y == 2 ? x * x : powf(x, y);
    case MIEN_B_COUNT: break;
    }
    return x;
}

void mien_kernel_binary(enum mien_binary op, float *dst, const float *x, int x_stride, const float *y, int y_stride, size_t n)
{
    if (n == 0) return;
    float x0 = x[0], y0 = y[0]; /* a repeated operand may be overwritten by dst */
    for (size_t i = 0; i < n; i++) dst[i] = binary_of(op, x_stride ? x[i] : x0, y_stride ? y[i] : y0);
}

void mien_kernel_binary_bf16(enum mien_binary op, uint16_t *dst, const uint16_t *x, int x_stride, const uint16_t *y, int y_stride, size_t n)
{
    if (n == 0) return;
    uint16_t x0 = x[0], y0 = y[0];
    for (size_t i = 0; i < n; i++) {
        float u = mien_bf16_to_f32(x_stride ? x[i] : x0), v = mien_bf16_to_f32(y_stride ? y[i] : y0);
        dst[i] = mien_bf16_from_f32(binary_of(op, u, v));
    }
}

/* One softmax over n elements `step` apart. The largest is subtracted first: the exponentials stay in 0..1. */
static void softmax_line(float *dst, const float *x, size_t n, size_t step)
{
    float top = x[0], sum = 0;
    for (size_t i = 1; i < n; i++) top = x[i * step] > top ? x[i * step] : top;
    for (size_t i = 0; i < n; i++) sum += dst[i * step] = expf(x[i * step] - top);
    for (size_t i = 0; i < n; i++) dst[i * step] /= sum;
}

static void softmax(float *dst, const float *x, size_t outer, size_t n, size_t inner)
{
    if (n == 0) return;
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < inner; i++) softmax_line(dst + o * n * inner + i, x + o * n * inner + i, n, inner);
}

void mien_kernel_upsample_nearest(void *dst, const void *src, size_t h, size_t w, size_t channels, size_t fh, size_t fw, size_t elem)
{
    size_t pixel = channels * elem, line = w * fw * pixel;
    unsigned char *d = dst;
    const unsigned char *s = src;
    if (line == 0) return;
    for (size_t y = 0; y < h; y++) {
        unsigned char *first = d;
        for (size_t x = 0; x < w; x++, s += pixel)
            for (size_t k = 0; k < fw; k++, d += pixel) memcpy(d, s, pixel);
        if (fh == 0) d = first;
        for (size_t k = 1; k < fh; k++, d += line) memcpy(d, first, line);
    }
}

static const struct mien_kernels reference = {
    .f32_to_bf16 = f32_to_bf16,
    .bf16_to_f32 = bf16_to_f32,
    .prelu_f32 = prelu_f32,
    .prelu_bf16 = prelu_bf16,
    .add_prelu_f32 = add_prelu_f32,
    .add_prelu_bf16 = add_prelu_bf16,
    .affine_f32 = affine_f32,
    .affine_bf16 = affine_bf16,
    .unary = mien_kernel_unary,
    .binary = mien_kernel_binary,
    .unary_bf16 = mien_kernel_unary_bf16,
    .binary_bf16 = mien_kernel_binary_bf16,
    .scale_channels_f32 = scale_channels_f32,
    .scale_channels_bf16 = scale_channels_bf16,
    .softmax = softmax,
    .upsample_nearest = mien_kernel_upsample_nearest,
};

const struct mien_kernels *mien_kernels_reference(void) { return &reference; }

const struct mien_kernels *mien_kernels_get(void)
{
    unsigned flags = mien_cpu_flags();
    if ((flags & MIEN_CPU_AVX512) && (flags & MIEN_CPU_AVX512_BF16)) return &mien_kernels_avx512bf16;
    if (flags & MIEN_CPU_AVX512) return &mien_kernels_avx512;
    if (flags & MIEN_CPU_AVX2) return &mien_kernels_avx2;
    return &reference;
}
