/* Winograd convolution: weights, sizes, and the choice of version. The arithmetic is in winograd_body.h. */
#include "engine/winograd.h"

#include <string.h>

#include "base/cpu.h"
#include "engine/kernels.h"
#include "engine/winograd_inner.h"

/* The portable version, with 128-bit vectors. */
#define VL 4
#define ROWS 2
#define EACH_ROW_COUNT(X) X(1) X(2)
#define ELEM float
#define K_STEP 1
#define RIGHT vec
#define LOAD(p) (*(const vec *)(p))
#define STORE(p, x) (*(vec *)(p) = (x))
#define MULTIPLY(acc, left, right) ((acc) += *(left) * (right))
#define WINO_RUN mien_wino_run_generic
#include "engine/winograd_body.h"

/* Bytes of V and products that a block may take: the second-level cache of the processors we know is 1 to 2 MiB. */
enum { BLOCK_BYTES = 448 * 1024, MIN_BLOCK = 16, MAX_BLOCK = 168 };

static int block_of(const struct mien_wino_shape *s, int m)
{
    const int t2 = (m + 2) * (m + 2);
    const int tile = t2 * (mien_wino_pad(s->ic) * (s->bf16 ? 2 : 4) + mien_wino_pad(s->oc) * 4);
    const int block = BLOCK_BYTES / tile;
    return block < MIN_BLOCK ? MIN_BLOCK : block > MAX_BLOCK ? MAX_BLOCK : block;
}

size_t mien_wino_scratch_bytes(const struct mien_wino_shape *s, int m)
{
    const size_t t2 = (size_t)((m + 2) * (m + 2)), block = (size_t)block_of(s, m);
    return 2 * (size_t)mien_wino_pad(s->oc) * sizeof(float) +
           t2 * (mien_wino_plane((int)block, s->oc) * sizeof(float) + mien_wino_plane((int)block, s->ic) * (s->bf16 ? 2 : 4)) + 64;
}

size_t mien_wino_weight_bytes(const struct mien_wino_shape *s, int m)
{
    return (size_t)((m + 2) * (m + 2)) * (size_t)mien_wino_pad(s->ic) * (size_t)mien_wino_pad(s->oc) * (s->bf16 ? 2 : 4);
}

/* G of the two filters, rows of 3. */
static const double g4[6][3] = {{1.0 / 4, 0, 0}, {-1.0 / 6, -1.0 / 6, -1.0 / 6}, {-1.0 / 6, 1.0 / 6, -1.0 / 6},
                                {1.0 / 24, 1.0 / 12, 1.0 / 6}, {1.0 / 24, -1.0 / 12, 1.0 / 6}, {0, 0, 1}};
static const double g2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

/* U = G g G^T of one kernel: to[p * stride] for each of the t * t positions. */
static void transform(const float *kernel, const double (*g)[3], int t, float *to, size_t stride)
{
    for (int y = 0; y < t; y++) {
        double row[3];
        for (int x = 0; x < 3; x++) row[x] = g[y][0] * (double)kernel[x] + g[y][1] * (double)kernel[3 + x] + g[y][2] * (double)kernel[6 + x];
        for (int x = 0; x < t; x++) to[(size_t)(y * t + x) * stride] = (float)(g[x][0] * row[0] + g[x][1] * row[1] + g[x][2] * row[2]);
    }
}

/* A plane is panels of 32 columns (the last may have 16), k rows each; bfloat16 keeps pairs of k together. One run, the columns of a panel
 * for one k (or pair), is made at a time and then copied to each plane: kernel by kernel every number would go to another cache line. */
static void pack_run(const struct mien_wino_shape *s, int m, const float *w, void *packed, int first, int width, int k)
{
    enum { RUN = 64 };
    float run[36][RUN] = {{0}};
    const int t = m + 2, pair = s->bf16 ? 2 : 1, k_count = mien_wino_pad(s->ic);
    const size_t plane = (size_t)k_count * (size_t)mien_wino_pad(s->oc), n = (size_t)(width * pair);
    for (int c = 0; c < width && first + c < s->oc; c++)
        for (int j = 0; j < pair && k + j < s->ic; j++)
            transform(w + ((size_t)(first + c) * (size_t)s->ic + (size_t)(k + j)) * 9, m == 4 ? g4 : g2, t, run[0] + c * pair + j, RUN);
    const size_t at = (size_t)k_count * (size_t)first + (size_t)k * (size_t)width;
    for (int p = 0; p < t * t; p++) {
        const size_t to = (size_t)p * plane + at;
        if (!s->bf16) memcpy((float *)packed + to, run[p], n * sizeof(float));
        else
            for (size_t i = 0; i < n; i++) ((uint16_t *)packed)[to + i] = mien_bf16_from_f32(run[p][i]);
    }
}

void mien_wino_pack(const struct mien_wino_shape *s, int m, const float *w, void *packed)
{
    const int k_count = mien_wino_pad(s->ic), columns = mien_wino_pad(s->oc);
    for (int first = 0; first < columns; first += 32)
        for (int k = 0; k < k_count; k += s->bf16 ? 2 : 1) pack_run(s, m, w, packed, first, columns - first >= 32 ? 32 : 16, k);
}

void mien_wino_run(const struct mien_wino_shape *s, int m, const struct mien_wino_args *a)
{
    const unsigned cpu = mien_cpu_flags();
    const int block = block_of(s, m);
    if (s->bf16) mien_wino_run_avx512bf16(s, m, a, block);
    else if (cpu & MIEN_CPU_AVX512) mien_wino_run_avx512(s, m, a, block);
    else if (cpu & MIEN_CPU_AVX2) mien_wino_run_avx2(s, m, a, block);
    else mien_wino_run_generic(s, m, a, block);
}

/* Measured by `make bench-conv` against oneDNN's direct convolution on one Zen 4 core: in float32 F(4x4) wins from 12 input channels and 8x8
 * outputs on, in bfloat16 from 24 channels on where there is no matrix unit (AMX makes products so cheap that the transforms would
 * dominate). Below 8x8 its 36/9 larger weights would have to come from memory for a handful of tiles. F(2x2) never wins over both; it is
 * kept because its rounding is that of the direct form. */
int mien_wino_choose(const struct mien_wino_shape *s)
{
    const unsigned cpu = mien_cpu_flags();
    const int least = s->bf16 ? 24 : cpu & MIEN_CPU_AVX512 ? 12 : 32; /* AVX2 has half of the multipliers and less to hide the transforms behind */
    if (s->ic < least || s->oh < 8 || s->ow < 8) return 0;
    if (s->pad_top < 0 || s->pad_left < 0 || s->pad_top > 2 || s->pad_left > 2) return 0;
    if (s->bf16) return (cpu & MIEN_CPU_AVX512_BF16) && !(cpu & MIEN_CPU_AMX_BF16) ? 4 : 0;
    return cpu & (MIEN_CPU_AVX2 | MIEN_CPU_AVX512) ? 4 : 0;
}
