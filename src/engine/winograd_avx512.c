/* Winograd convolution with 512-bit vectors, float32. */
#include <immintrin.h>
#include <string.h>
#include "engine/winograd_inner.h"

#define VL 16
#define ROWS 14
#define EACH_ROW_COUNT(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#define ELEM float
#define LOAD_PART(p, n) ((vec)_mm512_maskz_loadu_ps((__mmask16)((1u << (n)) - 1), (p)))
#define STORE_PART(p, x, n) _mm512_mask_storeu_ps((p), (__mmask16)((1u << (n)) - 1), (__m512)(x))
#define K_STEP 1
#define RIGHT vec
#define LOAD(p) (*(const vec *)(p))
#define STORE(p, x) (*(vec *)(p) = (x))
#define MULTIPLY(acc, left, right) ((acc) += *(left) * (right))
#define WINO_RUN mien_wino_run_avx512
#include "engine/winograd_body.h"
