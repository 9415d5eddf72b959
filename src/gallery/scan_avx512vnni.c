/* AVX-512 VNNI: vpdpbusd multiplies unsigned bytes of rows by signed bytes of a query and adds each four products to a sum of 32 bits, without saturation: four
 * numbers of 16 rows in one instruction. One query is bound by memory; of several, eight at a time are kept in registers. */
#include "gallery/scan.h"

#include <immintrin.h>

enum { QUERIES = 8, AHEAD = 4096 /* bytes fetched in advance: the processor's own prefetcher stops at the end of a page */ };

/* Four numbers of a query in every lane. */
static inline __m512i four(const int8_t *query)
{
    int32_t bytes;
    __builtin_memcpy(&bytes, query, sizeof bytes);
    return _mm512_set1_epi32(bytes);
}

static inline void store(__m512i sums, __mmask16 live, int32_t *out) { _mm512_mask_storeu_epi32(out, live, sums); }

/* Four sums, so that an addition need not wait for the one before it. */
static inline void group_by_one(const uint8_t *group, size_t stride, const int8_t *query, __mmask16 live, int32_t *out)
{
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (size_t i = 0; i < stride; i += 16, group += 4 * MIEN_SCAN_LINE) {
        for (int k = 0; k < 4; k++) _mm_prefetch((const char *)group + AHEAD + k * MIEN_SCAN_LINE, _MM_HINT_T0);
        a = _mm512_dpbusd_epi32(a, _mm512_loadu_si512(group), four(query + i));
        b = _mm512_dpbusd_epi32(b, _mm512_loadu_si512(group + MIEN_SCAN_LINE), four(query + i + 4));
        c = _mm512_dpbusd_epi32(c, _mm512_loadu_si512(group + 2 * MIEN_SCAN_LINE), four(query + i + 8));
        d = _mm512_dpbusd_epi32(d, _mm512_loadu_si512(group + 3 * MIEN_SCAN_LINE), four(query + i + 12));
    }
    store(_mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d)), live, out);
}

/* Eight queries, `stride` bytes apart; their sums lie n apart. Written out, because a loop over an array of registers would keep it in memory. */
static inline void group_by_eight(const uint8_t *group, size_t stride, const int8_t *query, __mmask16 live, size_t n, int32_t *out)
{
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a, e = a, f = a, g = a, h = a;
    for (size_t i = 0; i < stride; i += 4, group += MIEN_SCAN_LINE, query += 4) {
        const __m512i rows = _mm512_loadu_si512(group);
        _mm_prefetch((const char *)group + AHEAD, _MM_HINT_T0);
        a = _mm512_dpbusd_epi32(a, rows, four(query));
        b = _mm512_dpbusd_epi32(b, rows, four(query + stride));
        c = _mm512_dpbusd_epi32(c, rows, four(query + 2 * stride));
        d = _mm512_dpbusd_epi32(d, rows, four(query + 3 * stride));
        e = _mm512_dpbusd_epi32(e, rows, four(query + 4 * stride));
        f = _mm512_dpbusd_epi32(f, rows, four(query + 5 * stride));
        g = _mm512_dpbusd_epi32(g, rows, four(query + 6 * stride));
        h = _mm512_dpbusd_epi32(h, rows, four(query + 7 * stride));
    }
    store(a, live, out);
    store(b, live, out + n);
    store(c, live, out + 2 * n);
    store(d, live, out + 3 * n);
    store(e, live, out + 4 * n);
    store(f, live, out + 5 * n);
    store(g, live, out + 6 * n);
    store(h, live, out + 7 * n);
}

static inline __mmask16 lanes(size_t n) { return (__mmask16)(n >= 16 ? 0xffffu : (1u << n) - 1u); }

static void dots(const uint8_t *rows, int n, int stride, const int8_t *queries, int n_queries, int32_t *out)
{
    const size_t step = (size_t)stride, count = (size_t)n;
    for (size_t r = 0; r < count; r += MIEN_SCAN_GROUP) {
        const uint8_t *group = rows + r * step;
        const __mmask16 live = lanes(count - r);
        size_t q = 0;
        for (; q + QUERIES <= (size_t)n_queries; q += QUERIES) group_by_eight(group, step, queries + q * step, live, count, out + q * count + r);
        for (; q < (size_t)n_queries; q++) group_by_one(group, step, queries + q * step, live, out + q * count + r);
    }
}

static int candidates(const int32_t *dot, const float *scale, const float *error, int n, const struct mien_scan_bound *b, int *index)
{
    const __m512 slope = _mm512_set1_ps(b->slope), weight = _mm512_set1_ps(b->weight), slack = _mm512_set1_ps(b->slack), cutoff = _mm512_set1_ps(b->cutoff);
    const __m512i shift = _mm512_set1_epi32(b->shift);
    int found = 0;
    for (int r = 0; r < n; r += 16) {
        const __mmask16 live = lanes((size_t)(n - r));
        const __m512 d = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_maskz_loadu_epi32(live, dot + r), shift));
        __m512 upper = _mm512_mul_ps(_mm512_mul_ps(slope, _mm512_maskz_loadu_ps(live, scale + r)), d);
        upper = _mm512_add_ps(_mm512_add_ps(upper, _mm512_mul_ps(weight, _mm512_maskz_loadu_ps(live, error + r))), slack);
        unsigned mask = _mm512_mask_cmp_ps_mask(live, upper, cutoff, _CMP_GE_OQ);
        for (; mask != 0; mask &= mask - 1) index[found++] = r + __builtin_ctz(mask);
    }
    return found;
}

static float quantize(const float *v, int dim, int8_t *bytes, float *scale) { return mien_scan_avx2.quantize(v, dim, bytes, scale); }
static float exact(const uint16_t *half, const float *query, int dim) { return mien_scan_avx2.exact(half, query, dim); }

const struct mien_scan mien_scan_avx512vnni = {"avx512vnni", dots, candidates, quantize, exact};
