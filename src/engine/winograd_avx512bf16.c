/* Winograd convolution with 512-bit vectors: bfloat16 activations and products, float32 sums and transforms. */
#include <immintrin.h>
#include <string.h>
#include "engine/winograd_inner.h"

static inline __m512 widen(__m256i x) { return (__m512)_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16); }
static inline __m256i narrow(__m512 x) { return (__m256i)_mm512_cvtneps_pbh(x); }

#define VL 16
#define ROWS 14
#define EACH_ROW_COUNT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#define ELEM uint16_t
#define LOAD(p) ((vec)widen(_mm256_loadu_si256((const void *)(p))))
#define STORE(p, x) _mm256_storeu_si256((void *)(p), narrow((__m512)(x)))
#define LOAD_PART(p, n) ((vec)widen(_mm256_maskz_loadu_epi16((__mmask16)((1u << (n)) - 1), (p))))
#define STORE_PART(p, x, n) _mm256_mask_storeu_epi16((p), (__mmask16)((1u << (n)) - 1), narrow((__m512)(x)))
typedef long long pairs __attribute__((vector_size(64), aligned(4), may_alias));
typedef int pair __attribute__((aligned(2), may_alias));
#define K_STEP 2
#define RIGHT pairs
#define MULTIPLY(acc, left, right) \
    ((acc) = (vec)_mm512_dpbf16_ps((__m512)(acc), (__m512bh)_mm512_set1_epi32(*(const pair *)(left)), (__m512bh)(right)))
#define WINO_RUN mien_wino_run_avx512bf16
#include "engine/winograd_body.h"
