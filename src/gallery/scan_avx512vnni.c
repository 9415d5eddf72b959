/* AVX-512 VNNI: vpdpbusd multiplies 64 unsigned bytes of a row by 64 signed bytes of a query and adds them to 16 sums of 32 bits, without saturation. One query
 * is bound by memory; of several, four rows by four queries are kept in registers. */
#include "gallery/scan.h"

#include <immintrin.h>

enum { ROWS = 4, QUERIES = 4, AHEAD = 4096 /* bytes fetched in advance: the processor's own prefetcher stops at the end of a page */ };

static inline __m512i load(const void *p) { return _mm512_loadu_si512(p); }

/* The sums of four vectors. */
static inline __m128i sums(__m512i a, __m512i b, __m512i c, __m512i d)
{
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    const __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    const __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* ROWS rows by one query. */
static inline void four_by_one(const uint8_t *rows, size_t stride, const int8_t *query, int32_t *out)
{
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (size_t i = 0; i < stride; i += MIEN_SCAN_LINE) {
        const __m512i q = load(query + i);
        a = _mm512_dpbusd_epi32(a, load(rows + i), q);
        b = _mm512_dpbusd_epi32(b, load(rows + stride + i), q);
        c = _mm512_dpbusd_epi32(c, load(rows + 2 * stride + i), q);
        d = _mm512_dpbusd_epi32(d, load(rows + 3 * stride + i), q);
    }
    _mm_storeu_si128((__m128i *)(void *)out, sums(a, b, c, d));
}

/* Adds 64 bytes of four rows times those of one query. */
static inline void add_products(__m512i s[ROWS], const __m512i row[ROWS], __m512i query)
{
    s[0] = _mm512_dpbusd_epi32(s[0], row[0], query);
    s[1] = _mm512_dpbusd_epi32(s[1], row[1], query);
    s[2] = _mm512_dpbusd_epi32(s[2], row[2], query);
    s[3] = _mm512_dpbusd_epi32(s[3], row[3], query);
}

static inline void zero(__m512i s[ROWS]) { s[0] = s[1] = s[2] = s[3] = _mm512_setzero_si512(); }

static inline void store_sums(const __m512i s[ROWS], int32_t *out) { _mm_storeu_si128((__m128i *)(void *)out, sums(s[0], s[1], s[2], s[3])); }

/* ROWS rows by QUERIES queries; out is of the first row and query. Written out, because loops over arrays of registers would keep them in memory. */
static inline void four_by_four(const uint8_t *rows, size_t stride, const int8_t *queries, size_t n, int32_t *out)
{
    __m512i a[ROWS], b[ROWS], c[ROWS], d[ROWS];
    zero(a), zero(b), zero(c), zero(d);
    for (size_t i = 0; i < stride; i += MIEN_SCAN_LINE) {
        const __m512i row[ROWS] = {load(rows + i), load(rows + stride + i), load(rows + 2 * stride + i), load(rows + 3 * stride + i)};
        add_products(a, row, load(queries + i));
        add_products(b, row, load(queries + stride + i));
        add_products(c, row, load(queries + 2 * stride + i));
        add_products(d, row, load(queries + 3 * stride + i));
    }
    store_sums(a, out);
    store_sums(b, out + n);
    store_sums(c, out + 2 * n);
    store_sums(d, out + 3 * n);
}

static int32_t one_by_one(const uint8_t *row, size_t stride, const int8_t *query)
{
    __m512i s = _mm512_setzero_si512();
    for (size_t i = 0; i < stride; i += MIEN_SCAN_LINE) s = _mm512_dpbusd_epi32(s, load(row + i), load(query + i));
    return _mm512_reduce_add_epi32(s);
}

static void dots(const uint8_t *rows, int n, int stride, const int8_t *queries, int n_queries, int32_t *out)
{
    const size_t step = (size_t)stride, count = (size_t)n;
    size_t r = 0;
    for (; r + ROWS <= count; r += ROWS) {
        const uint8_t *row = rows + r * step;
        int q = 0;
        for (size_t i = 0; i < ROWS * step; i += MIEN_SCAN_LINE) _mm_prefetch((const char *)row + AHEAD + i, _MM_HINT_T0);
        for (; q + QUERIES <= n_queries; q += QUERIES) four_by_four(row, step, queries + (size_t)q * step, count, out + (size_t)q * count + r);
        for (; q < n_queries; q++) four_by_one(row, step, queries + (size_t)q * step, out + (size_t)q * count + r);
    }
    for (; r < count; r++)
        for (int q = 0; q < n_queries; q++) out[(size_t)q * count + r] = one_by_one(rows + r * step, step, queries + (size_t)q * step);
}

static int candidates(const int32_t *dot, const float *scale, const float *error, int n, const struct mien_scan_bound *b, int *index)
{
    const __m512 slope = _mm512_set1_ps(b->slope), weight = _mm512_set1_ps(b->weight), slack = _mm512_set1_ps(b->slack), cutoff = _mm512_set1_ps(b->cutoff);
    const __m512i shift = _mm512_set1_epi32(b->shift);
    int found = 0;
    for (int r = 0; r < n; r += 16) {
        const __mmask16 live = (__mmask16)(n - r >= 16 ? 0xffffu : (1u << (n - r)) - 1u);
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
