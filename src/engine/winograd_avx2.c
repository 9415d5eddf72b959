/* Winograd convolution with 256-bit vectors, float32. */
#include <string.h>
#include "engine/winograd_inner.h"

#define VL 8
#define ROWS 6
#define EACH_ROW_COUNT(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define ELEM float
#define K_STEP 1
#define RIGHT vec
#define LOAD(p) (*(const vec *)(p))
#define STORE(p, x) (*(vec *)(p) = (x))
#define MULTIPLY(acc, left, right) ((acc) += *(left) * (right))
#define WINO_RUN mien_wino_run_avx2
#include "engine/winograd_body.h"
