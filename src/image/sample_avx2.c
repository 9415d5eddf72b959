/* The sampling loops with AVX2 and FMA. See sample.h for what they do and sample.c for the reference.
 *
 * A pixel travels as the lower three lanes of an XMM register; the fourth lane is garbage that the next pixel
 * overwrites, except behind the last one. */
#include <immintrin.h>
#include <string.h>
#include "image/sample.h"

static inline __m256 bytes_to_floats(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}

static void combine(const uint8_t *const *rows, const float *weights, int taps, size_t n, float *out)
{
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a;
        for (int t = 0; t < taps; t++) {
            const uint8_t *p = rows[t] + i;
            __m256 w = _mm256_broadcast_ss(weights + t);
            a = _mm256_fmadd_ps(w, bytes_to_floats(p), a);
            b = _mm256_fmadd_ps(w, bytes_to_floats(p + 8), b);
            c = _mm256_fmadd_ps(w, bytes_to_floats(p + 16), c);
            d = _mm256_fmadd_ps(w, bytes_to_floats(p + 24), d);
        }
        _mm256_storeu_ps(out + i, a);
        _mm256_storeu_ps(out + i + 8, b);
        _mm256_storeu_ps(out + i + 16, c);
        _mm256_storeu_ps(out + i + 24, d);
    }
    for (; i < n; i++) {
        float v = 0;
        for (int t = 0; t < taps; t++) v += weights[t] * (float)rows[t][i];
        out[i] = v;
    }
}

struct finish {
    __m128 mul, add, most;
    __m128i order;
};

static inline struct finish load_finish(const struct mien_finish *f)
{
    return (struct finish){_mm_setr_ps(f->mul[0], f->mul[1], f->mul[2], 0),
                           _mm_setr_ps(f->add[0], f->add[1], f->add[2], 0), _mm_set1_ps(255),
                           f->swap ? _mm_setr_epi32(2, 1, 0, 3) : _mm_setr_epi32(0, 1, 2, 3)};
}

static inline __m128 finished(__m128 v, const struct finish *f)
{
    v = _mm_min_ps(_mm_max_ps(v, _mm_setzero_ps()), f->most);
    return _mm_fmadd_ps(_mm_permutevar_ps(v, f->order), f->mul, f->add);
}

static inline void store3(float *out, __m128 v)
{
    float four[4];
    _mm_storeu_ps(four, v);
    memcpy(out, four, 12);
}

static void gather(const float *row, const int32_t *index, const float *weights, int taps, int w,
                   const struct mien_finish *how, float *out)
{
    struct finish f = load_finish(how);
    for (int u = 0; u < w; u++, index += taps, weights += taps, out += 3) {
        __m128 v = _mm_mul_ps(_mm_broadcast_ss(weights), _mm_loadu_ps(row + index[0]));
        for (int t = 1; t < taps; t++) {
            v = _mm_fmadd_ps(_mm_broadcast_ss(weights + t), _mm_loadu_ps(row + index[t]), v);
        }
        v = finished(v, &f);
        if (u + 1 < w) _mm_storeu_ps(out, v);
        else store3(out, v);
    }
}

/* Two neighbouring pixels as 16-bit pairs (r r' g g' b b'). */
static inline __m128i load_pair(const uint8_t *p)
{
    const __m128i pairs = _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
    return _mm_shuffle_epi8(_mm_loadl_epi64((const __m128i *)(const void *)p), pairs);
}

static void walk(const struct mien_image *src, struct mien_walk at, int n, const struct mien_finish *how, float *out)
{
    struct finish f = load_finish(how);
    const __m128 unit = _mm_set1_ps(0x1p-14f);
    const __m128 unit_y = _mm_set1_ps(0x1p-32f);
    for (int u = 0; u < n; u++, at.x += at.dx, at.y += at.dy, out += 3) {
        const uint8_t *p = src->px + (size_t)(at.y >> 32) * src->stride + 3 * (size_t)(at.x >> 32);
        /* horizontal weights, rounded to 14 bits, as a pair that sums to 2^14 */
        uint32_t fx = ((uint32_t)at.x >> 18) + ((uint32_t)at.x >> 17 & 1);
        __m128i wx = _mm_set1_epi32((int)(fx << 16 | (16384 - fx)));
        __m128 top = _mm_mul_ps(_mm_cvtepi32_ps(_mm_madd_epi16(load_pair(p), wx)), unit);
        __m128 bottom = _mm_mul_ps(_mm_cvtepi32_ps(_mm_madd_epi16(load_pair(p + src->stride), wx)), unit);
        __m128 fy = _mm_mul_ps(_mm_set1_ps((float)(uint32_t)at.y), unit_y);
        __m128 v = finished(_mm_fmadd_ps(fy, _mm_sub_ps(bottom, top), top), &f);
        if (u + 1 < n) _mm_storeu_ps(out, v);
        else store3(out, v);
    }
}

const struct mien_sampler mien_sampler_avx2 = {combine, gather, walk};
