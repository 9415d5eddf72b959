/* Kernels for AVX2 with FMA: 8 lanes. Parts of a vector go through maskload and maskstore (float32) or a small copy (bf16). */
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "engine/kernels_internal.h"

#define W 8
#define VF __m256
#define SIMD_TABLE mien_kernels_avx2

static inline __m256i first_n(size_t n)
{
    static const int32_t bits[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)(const void *)(bits + 8 - n));
}

static inline VF v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, VF v) { _mm256_storeu_ps(p, v); }
static inline VF v_load_n(const float *p, size_t n) { return _mm256_maskload_ps(p, first_n(n)); }
static inline void v_store_n(float *p, VF v, size_t n) { _mm256_maskstore_ps(p, first_n(n), v); }

static inline VF widen(__m128i h) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)); }

/* Round to nearest even on the bits: add half of the last kept place, one less when that place is even. */
static inline __m128i narrow(VF v)
{
    __m256i u = _mm256_castps_si256(v);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    __m256i top = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(top, top), 0x08);
    return _mm256_castsi256_si128(packed);
}

static inline VF h_load(const uint16_t *p) { return widen(_mm_loadu_si128((const __m128i *)(const void *)p)); }
static inline void h_store(uint16_t *p, VF v) { _mm_storeu_si128((__m128i *)(void *)p, narrow(v)); }

static inline VF h_load_n(const uint16_t *p, size_t n)
{
    uint16_t part[W] = {0};
    memcpy(part, p, n * sizeof *p);
    return h_load(part);
}

static inline void h_store_n(uint16_t *p, VF v, size_t n)
{
    uint16_t part[W];
    h_store(part, v);
    memcpy(p, part, n * sizeof *p);
}

static inline VF v_set(float x) { return _mm256_set1_ps(x); }
static inline VF v_add(VF a, VF b) { return _mm256_add_ps(a, b); }
static inline VF v_sub(VF a, VF b) { return _mm256_sub_ps(a, b); }
static inline VF v_mul(VF a, VF b) { return _mm256_mul_ps(a, b); }
static inline VF v_div(VF a, VF b) { return _mm256_div_ps(a, b); }
static inline VF v_min(VF a, VF b) { return _mm256_min_ps(a, b); }
static inline VF v_max(VF a, VF b) { return _mm256_max_ps(a, b); }
static inline VF v_fma(VF a, VF b, VF c) { return _mm256_fmadd_ps(a, b, c); }
static inline VF v_fnma(VF a, VF b, VF c) { return _mm256_fnmadd_ps(a, b, c); }
static inline VF v_sqrt(VF x) { return _mm256_sqrt_ps(x); }
static inline VF v_floor(VF x) { return _mm256_floor_ps(x); }
static inline VF v_ceil(VF x) { return _mm256_ceil_ps(x); }
static inline VF v_round(VF x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline VF v_neg(VF x) { return _mm256_xor_ps(x, _mm256_set1_ps(-0.0f)); }
static inline VF v_abs(VF x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
static inline VF v_pick_lt(VF a, VF b, VF x, VF y) { return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
static inline VF v_leaky(VF x, VF slope) { return _mm256_blendv_ps(x, _mm256_mul_ps(x, slope), x); } /* chooses by the sign bit */

/* Two steps of half the exponent each, so that results down to the denormal range and up to infinity come out right. */
static inline VF v_ldexp(VF x, VF n)
{
    __m256i k = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(k, 1), rest = _mm256_sub_epi32(k, half), bias = _mm256_set1_epi32(127);
    VF a = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    VF b = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(x, a), b);
}

static inline float v_sum(VF v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline float v_top(VF v)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

#include "engine/kernels_body.h"
