/* AVX2: bytes are widened to 16 bits, because maddubs saturates at 255 * 127 * 2. */
#include "gallery/scan.h"

#include <immintrin.h>
#include <string.h>

enum { AHEAD = 4096 /* bytes fetched in advance: the processor's own prefetcher stops at the end of a page */ };

/* Adds four numbers of four rows: two sums of 32 bits a row. */
static inline __m256i add_products(__m256i sum, const uint8_t *rows, __m256i query)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)rows)), query));
}

/* Two sums a row of eight rows -> one a row, in order. */
static inline __m256i pairs(__m256i a, __m256i b) { return _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), 0xd8); }

static void group_by_one(const uint8_t *group, int stride, const int16_t *query, int32_t out[MIEN_SCAN_GROUP])
{
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (int i = 0; i < stride; i += 4) {
        const uint8_t *at = group + (MIEN_SCAN_LINE / 4) * i;
        const __m256i q = _mm256_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)(const void *)(query + i)));
        _mm_prefetch((const char *)at + AHEAD, _MM_HINT_T0);
        a = add_products(a, at, q);
        b = add_products(b, at + 16, q);
        c = add_products(c, at + 32, q);
        d = add_products(d, at + 48, q);
    }
    _mm256_storeu_si256((__m256i *)(void *)out, pairs(a, b));
    _mm256_storeu_si256((__m256i *)(void *)(out + 8), pairs(c, d));
}

/* All queries for a group before the next: it comes from memory once. */
static void dots(const uint8_t *rows, int n, int stride, const int8_t *queries, int n_queries, int32_t *out)
{
    int16_t wide[MIEN_SCAN_QUERIES][MIEN_SCAN_STRIDE];
    int32_t sums[MIEN_SCAN_GROUP];
    for (int q = 0; q < n_queries; q++)
        for (int i = 0; i < stride; i++) wide[q][i] = queries[(size_t)q * (size_t)stride + (size_t)i];
    for (int r = 0; r < n; r += MIEN_SCAN_GROUP) {
        const int here = n - r < MIEN_SCAN_GROUP ? n - r : MIEN_SCAN_GROUP;
        for (int q = 0; q < n_queries; q++) {
            group_by_one(rows + (size_t)r * (size_t)stride, stride, wide[q], sums);
            memcpy(out + (size_t)q * (size_t)n + r, sums, (size_t)here * sizeof *sums);
        }
    }
}

static int candidates(const int32_t *dot, const float *scale, const float *error, int n, const struct mien_scan_bound *b, int *index)
{
    const __m256 slope = _mm256_set1_ps(b->slope), weight = _mm256_set1_ps(b->weight), slack = _mm256_set1_ps(b->slack), cutoff = _mm256_set1_ps(b->cutoff);
    const __m256i shift = _mm256_set1_epi32(b->shift);
    int found = 0, r = 0;
    for (; r + 8 <= n; r += 8) {
        const __m256 d = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(dot + r)), shift));
        __m256 upper = _mm256_mul_ps(_mm256_mul_ps(slope, _mm256_loadu_ps(scale + r)), d);
        upper = _mm256_add_ps(_mm256_add_ps(upper, _mm256_mul_ps(weight, _mm256_loadu_ps(error + r))), slack);
        unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(upper, cutoff, _CMP_GE_OQ));
        for (; mask != 0; mask &= mask - 1) index[found++] = r + __builtin_ctz(mask);
    }
    for (; r < n; r++)
        if (b->slope * scale[r] * (float)(dot[r] - b->shift) + b->weight * error[r] + b->slack >= b->cutoff) index[found++] = r;
    return found;
}

static inline float sum8(__m256 v)
{
    float lane[8];
    _mm256_storeu_ps(lane, v);
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

/* The last numbers of a length that is no multiple of 8 are masked off; loads beyond the end do not fault. */
static inline __m256i lanes(int n) { return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)); }

static float quantize(const float *v, int dim, int8_t *bytes, float *scale)
{
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    __m256 most = _mm256_setzero_ps(), lost = most;
    float lane[8], top = 0;
    for (int i = 0; i < dim; i += 8) most = _mm256_max_ps(most, _mm256_and_ps(magnitude, _mm256_maskload_ps(v + i, lanes(dim - i))));
    _mm256_storeu_ps(lane, most);
    for (int i = 0; i < 8; i++) top = lane[i] > top ? lane[i] : top;
    *scale = top > 1e-30f ? top / 127.0f : 1.0f;
    const __m256 s = _mm256_set1_ps(*scale);
    for (int i = 0; i < dim; i += 8) {
        const __m256 x = _mm256_maskload_ps(v + i, lanes(dim - i));
        const __m256i q = _mm256_cvtps_epi32(_mm256_div_ps(x, s));
        const __m256 d = _mm256_sub_ps(x, _mm256_mul_ps(s, _mm256_cvtepi32_ps(q)));
        const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
        int8_t eight[16];
        lost = _mm256_add_ps(lost, _mm256_mul_ps(d, d));
        _mm_storeu_si128((__m128i *)(void *)eight, _mm_packs_epi16(words, words));
        for (int k = 0; k < 8 && i + k < dim; k++) bytes[i + k] = eight[k];
    }
    return sum8(lost);
}

static float exact(const uint16_t *half, const float *query, int dim)
{
    __m256 a = _mm256_setzero_ps(), b = a;
    int i = 0;
    for (; i + 16 <= dim; i += 16) {
        a = _mm256_fmadd_ps(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(half + i))), _mm256_loadu_ps(query + i), a);
        b = _mm256_fmadd_ps(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(half + i + 8))), _mm256_loadu_ps(query + i + 8), b);
    }
    float rest = 0;
    for (; i < dim; i++) rest += _cvtsh_ss(half[i]) * query[i];
    return sum8(_mm256_add_ps(a, b)) + rest;
}

const struct mien_scan mien_scan_avx2 = {"avx2", dots, candidates, quantize, exact};
