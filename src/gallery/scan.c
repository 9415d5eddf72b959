/* Scalar kernels and the choice among them. */
#include "gallery/scan.h"

#include <math.h>
#include "base/cpu.h"
#include "gallery/half.h"

static void dots(const uint8_t *rows, int n, int stride, const int8_t *queries, int n_queries, int32_t *out)
{
    for (int q = 0; q < n_queries; q++) {
        const int8_t *query = queries + (size_t)q * (size_t)stride;
        for (int r = 0; r < n; r++) {
            const uint8_t *group = rows + (size_t)(r - r % MIEN_SCAN_GROUP) * (size_t)stride + 4 * (r % MIEN_SCAN_GROUP);
            int32_t sum = 0;
            for (int i = 0; i < stride; i++) sum += group[MIEN_SCAN_LINE * (i / 4) + i % 4] * query[i];
            out[(size_t)q * (size_t)n + (size_t)r] = sum;
        }
    }
}

static int candidates(const int32_t *dot, const float *scale, const float *error, int n, const struct mien_scan_bound *b, int *index)
{
    int found = 0;
    for (int r = 0; r < n; r++)
        if (b->slope * scale[r] * (float)(dot[r] - b->shift) + b->weight * error[r] + b->slack >= b->cutoff) index[found++] = r;
    return found;
}

static float quantize(const float *v, int dim, int8_t *bytes, float *scale)
{
    float most = 0, lost = 0;
    for (int i = 0; i < dim; i++) most = fmaxf(most, fabsf(v[i]));
    *scale = most > 1e-30f ? most / 127.0f : 1.0f;
    for (int i = 0; i < dim; i++) {
        const float q = rintf(v[i] / *scale), d = v[i] - *scale * q;
        bytes[i] = (int8_t)q;
        lost += d * d;
    }
    return lost;
}

static float exact(const uint16_t *half, const float *query, int dim)
{
    float block[64], sum[8] = {0};
    for (int at = 0; at < dim; at += 64) {
        const int n = dim - at < 64 ? dim - at : 64;
        mien_half_to_float(half + at, block, (size_t)n);
        for (int i = 0; i < n; i++) sum[i & 7] += block[i] * query[at + i];
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

const struct mien_scan mien_scan_scalar = {"scalar", dots, candidates, quantize, exact};

const struct mien_scan *mien_scan_best(void)
{
    const unsigned flags = mien_cpu_flags(), wanted = MIEN_CPU_AVX512 | MIEN_CPU_AVX512_VNNI;
    if ((flags & wanted) == wanted && (flags & MIEN_CPU_AVX2) != 0) return &mien_scan_avx512vnni;
    return (flags & MIEN_CPU_AVX2) != 0 ? &mien_scan_avx2 : &mien_scan_scalar;
}
