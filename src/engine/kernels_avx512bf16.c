/* Kernels for AVX-512 with BF16: the same as AVX-512, with the processor's own conversion to bf16. */
#include <stdbool.h>
#include <string.h>

#include "engine/kernels_avx512.h"
#include "engine/kernels_internal.h"

#define SIMD_TABLE mien_kernels_avx512bf16
#include "engine/kernels_body.h"
