/* The vector functions of kernels_body.h for AVX-512 (F, BW, DQ, VL): 16 lanes, parts of a vector by mask. Included by
 * the AVX-512 files only. With AVX-512 BF16 the conversion to bf16 is one instruction (VCVTNEPS2BF16, which takes
 * float32 denormals as zero). */
#ifndef MIEN_ENGINE_KERNELS_AVX512_H
#define MIEN_ENGINE_KERNELS_AVX512_H

#ifdef __AVX512BW__
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define W 16
#define VF __m512

static inline __mmask16 first_n(size_t n) { return (__mmask16)((1u << n) - 1); }

static inline VF v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, VF v) { _mm512_storeu_ps(p, v); }
static inline VF v_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps(first_n(n), p); }
static inline void v_store_n(float *p, VF v, size_t n) { _mm512_mask_storeu_ps(p, first_n(n), v); }

static inline VF widen(__m256i h) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)); }

#ifdef __AVX512BF16__
static inline __m256i narrow(VF v) { return (__m256i)_mm512_cvtneps_pbh(v); }
#else
/* Round to nearest even on the bits: add half of the last kept place, one less when that place is even. */
static inline __m256i narrow(VF v)
{
    __m512i u = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    rounded = _mm512_mask_or_epi32(rounded, nan, u, _mm512_set1_epi32(0x400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16));
}
#endif

static inline VF h_load(const uint16_t *p) { return widen(_mm256_loadu_si256((const __m256i *)(const void *)p)); }
static inline void h_store(uint16_t *p, VF v) { _mm256_storeu_si256((__m256i *)(void *)p, narrow(v)); }
static inline VF h_load_n(const uint16_t *p, size_t n) { return widen(_mm256_maskz_loadu_epi16(first_n(n), p)); }
static inline void h_store_n(uint16_t *p, VF v, size_t n) { _mm256_mask_storeu_epi16(p, first_n(n), narrow(v)); }

static inline VF v_set(float x) { return _mm512_set1_ps(x); }
static inline VF v_add(VF a, VF b) { return _mm512_add_ps(a, b); }
static inline VF v_sub(VF a, VF b) { return _mm512_sub_ps(a, b); }
static inline VF v_mul(VF a, VF b) { return _mm512_mul_ps(a, b); }
static inline VF v_div(VF a, VF b) { return _mm512_div_ps(a, b); }
static inline VF v_min(VF a, VF b) { return _mm512_min_ps(a, b); }
static inline VF v_max(VF a, VF b) { return _mm512_max_ps(a, b); }
static inline VF v_fma(VF a, VF b, VF c) { return _mm512_fmadd_ps(a, b, c); }
static inline VF v_fnma(VF a, VF b, VF c) { return _mm512_fnmadd_ps(a, b, c); }
static inline VF v_sqrt(VF x) { return _mm512_sqrt_ps(x); }
static inline VF v_floor(VF x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
static inline VF v_ceil(VF x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC); }
static inline VF v_round(VF x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline VF v_neg(VF x) { return _mm512_xor_ps(x, _mm512_set1_ps(-0.0f)); }
static inline VF v_abs(VF x) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x); }
static inline VF v_pick_lt(VF a, VF b, VF x, VF y) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x); }
static inline VF v_leaky(VF x, VF slope) { return _mm512_mask_mul_ps(x, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ), x, slope); }
static inline VF v_ldexp(VF x, VF n) { return _mm512_scalef_ps(x, n); }
static inline float v_sum(VF v) { return _mm512_reduce_add_ps(v); }
static inline float v_top(VF v) { return _mm512_reduce_max_ps(v); }
#endif

#endif
