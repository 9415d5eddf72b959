/* Kernels for AVX-512 (F, BW, DQ, VL). */
#include <stdbool.h>
#include <string.h>

#include "engine/kernels_avx512.h"
#include "engine/kernels_internal.h"

#define SIMD_TABLE mien_kernels_avx512
#include "engine/kernels_body.h"
