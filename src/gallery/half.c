/* Half precision by hand, which is also the reference of half_avx2.c. */
#include "gallery/half.h"

#include <string.h>
#include "base/cpu.h"
#include "gallery/half_inner.h"

static uint16_t to_half(float f)
{
    uint32_t x;
    memcpy(&x, &f, sizeof x);
    const uint32_t sign = x >> 16 & 0x8000u, magnitude = x & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x1ffu)); /* NaN, made quiet */
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);                             /* rounds to more than the largest half */
    if (magnitude < 0x38800000u) {                                                               /* subnormal: units of 2^-24 */
        float a;
        memcpy(&a, &magnitude, sizeof a);
        a += 0.5f; /* whose last place is 2^-24: the addition rounds to nearest even */
        memcpy(&x, &a, sizeof x);
        return (uint16_t)(sign | (x - 0x3f000000u));
    }
    const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    return (uint16_t)(sign | (rounded - 0x38000000u) >> 13);
}

static float from_half(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = h >> 10 & 31u, mantissa = h & 0x3ffu;
    uint32_t x = sign | (exponent + 112u) << 23 | mantissa << 13;
    if (exponent == 31u) x = sign | 0x7f800000u | mantissa << 13 | (mantissa != 0 ? 0x400000u : 0u);
    if (exponent == 0u) {
        const float a = (float)mantissa * 0x1p-24f;
        memcpy(&x, &a, sizeof x);
        x |= sign;
    }
    float f;
    memcpy(&f, &x, sizeof f);
    return f;
}

void mien_half_from_float(const float *in, uint16_t *out, size_t n)
{
    size_t i = (mien_cpu_flags() & MIEN_CPU_AVX2) != 0 ? mien_half_from_float_avx2(in, out, n) : 0;
    for (; i < n; i++) out[i] = to_half(in[i]);
}

void mien_half_to_float(const uint16_t *in, float *out, size_t n)
{
    size_t i = (mien_cpu_flags() & MIEN_CPU_AVX2) != 0 ? mien_half_to_float_avx2(in, out, n) : 0;
    for (; i < n; i++) out[i] = from_half(in[i]);
}
