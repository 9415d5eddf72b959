/* The inner loops of the search: every instruction set against the scalar reference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/cpu.h"
#include "gallery/half.h"
#include "gallery/scan.h"

enum { MOST_ROWS = 37, ROOM_ROWS = 48 /* whole groups */, MOST_QUERIES = 16, MOST_DIM = 1024 };

static uint64_t state = 88172645463325252u;
static uint32_t next_random(void) /* xorshift64 (Marsaglia 2003) */
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}
static float uniform(void) { return (float)next_random() / 4294967296.0f * 2 - 1; }

/* Those beside the reference that this processor can run. */
static int others(const struct mien_scan *out[2])
{
    const unsigned flags = mien_cpu_flags(), vnni = MIEN_CPU_AVX2 | MIEN_CPU_AVX512 | MIEN_CPU_AVX512_VNNI;
    int n = 0;
    if ((flags & MIEN_CPU_AVX2) != 0) out[n++] = &mien_scan_avx2;
    if ((flags & vnni) == vnni) out[n++] = &mien_scan_avx512vnni;
    return n;
}

static void compare_dots(const struct mien_scan *scan, const uint8_t *rows, int n, int stride, const int8_t *queries, int n_queries)
{
    static int32_t expected[MOST_ROWS * MOST_QUERIES], got[MOST_ROWS * MOST_QUERIES + 1];
    const int all = n * n_queries;
    memset(got, 0x55, sizeof got);
    mien_scan_scalar.dots(rows, n, stride, queries, n_queries, expected);
    scan->dots(rows, n, stride, queries, n_queries, got);
    assert_memory_equal(got, expected, (size_t)all * sizeof got[0]);
    assert_int_equal(got[all], 0x55555555);
}

static void products_are_the_same_integers(void **unused)
{
    (void)unused;
    const struct mien_scan *scan[2];
    const int n_scans = others(scan);
    uint8_t *rows = aligned_alloc(64, ROOM_ROWS * MOST_DIM);
    int8_t *queries = aligned_alloc(64, MOST_QUERIES * MOST_DIM);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < ROOM_ROWS * MOST_DIM; i++) {
            const uint32_t byte = round == 0 ? next_random() & 255 : round == 1 ? 255 : i % 2 == 1 ? 255 : 0;
            rows[i] = (uint8_t)byte;
        }
        for (int i = 0; i < MOST_QUERIES * MOST_DIM; i++) queries[i] = (int8_t)(round == 0 ? (int)(next_random() % 255) - 127 : round == 1 ? 127 : -127);
        for (int stride = 64; stride <= MOST_DIM; stride += stride < 256 ? 64 : 256)
            for (int n = 1; n <= MOST_ROWS; n++)
                for (int q = 1; q <= MOST_QUERIES; q++)
                    for (int s = 0; s < n_scans; s++) compare_dots(scan[s], rows, n, stride, queries, q);
    }
    int32_t sum;
    memset(rows, 255, MIEN_SCAN_GROUP * MOST_DIM); /* the largest there is, by hand */
    memset(queries, 127, MOST_DIM);
    mien_scan_scalar.dots(rows, 1, MOST_DIM, queries, 1, &sum);
    assert_int_equal(sum, 255 * 127 * MOST_DIM);
    free(rows);
    free(queries);
}

/* A row in one list and not in the other must lie at the cutoff, as near as float32 can tell. */
static void candidates_are_those_above_the_cutoff(void **unused)
{
    (void)unused;
    enum { N = 67 };
    const struct mien_scan *scan[3] = {&mien_scan_scalar};
    const int n_scans = others(scan + 1) + 1;
    for (int round = 0; round < 500; round++) {
        float scale[N], error[N];
        int32_t dot[N];
        int index[N + 1];
        const int n = 1 + (int)(next_random() % N);
        const int32_t shift = (int32_t)(next_random() % 9999);
        const struct mien_scan_bound b = {.slope = 0.002f, .weight = 1.1f, .slack = 0.01f, .cutoff = 0.5f * uniform(), .shift = shift};
        for (int i = 0; i < n; i++) {
            scale[i] = 0.001f + 0.001f * fabsf(uniform());
            error[i] = next_random() % 5 == 0 ? -INFINITY : 0.02f * fabsf(uniform());
            dot[i] = b.shift + (int32_t)(250000.0f * uniform());
        }
        for (int s = 0; s < n_scans; s++) {
            index[N] = -1;
            const int found = scan[s]->candidates(dot, scale, error, n, &b, index);
            assert_in_range(found, 0, n);
            for (int i = 0, at = 0; i < n; i++) {
                const bool is = at < found && index[at] == i;
                const double upper = (double)b.slope * (double)scale[i] * (dot[i] - b.shift) + (double)b.weight * (double)error[i] + (double)b.slack;
                if (is) at++;
                assert_true(is ? upper > (double)b.cutoff - 1e-5 : upper < (double)b.cutoff + 1e-5);
                if (i == n - 1) assert_int_equal(at, found); /* rising, without strangers */
            }
            assert_int_equal(index[N], -1);
        }
    }
}

static void check_bytes(const struct mien_scan *scan, const float *v, int dim)
{
    int8_t expected[MOST_DIM], got[MOST_DIM + 1];
    float scale, same;
    double lost = 0;
    memset(got, 0x55, sizeof got);
    mien_scan_scalar.quantize(v, dim, expected, &scale);
    const float said = scan->quantize(v, dim, got, &same);
    assert_memory_equal(got, expected, (size_t)dim);
    assert_memory_equal(&same, &scale, sizeof scale);
    assert_int_equal(got[dim], 0x55);
    for (int i = 0; i < dim; i++) {
        const double d = (double)v[i] - (double)scale * got[i];
        assert_true(got[i] >= -127 && fabs(d) <= 0.500001 * (double)scale);
        lost += d * d;
    }
    assert_true(fabs(sqrt((double)said) - sqrt(lost)) <= 1e-3 * sqrt(lost) + 1e-7);
}

static void bytes_are_the_nearest(void **unused)
{
    (void)unused;
    const struct mien_scan *scan[3] = {&mien_scan_scalar};
    const int n_scans = others(scan + 1) + 1;
    for (int dim = 1; dim <= MOST_DIM; dim += dim < 70 ? 1 : 53)
        for (int kind = 0; kind < 4; kind++) {
            float *v = malloc((size_t)dim * sizeof *v); /* its end is guarded by the address sanitizer */
            for (int i = 0; i < dim; i++) v[i] = kind == 0 ? 0 : kind == 1 ? uniform() : kind == 2 ? 1e-6f * uniform() : i == dim / 2 ? -1 : 1e-3f * uniform();
            for (int s = 0; s < n_scans; s++) check_bytes(scan[s], v, dim);
            free(v);
        }
}

static void exact_is_the_product_of_the_halves(void **unused)
{
    (void)unused;
    const struct mien_scan *scan[3] = {&mien_scan_scalar};
    const int n_scans = others(scan + 1) + 1;
    for (int dim = 1; dim <= MOST_DIM; dim += dim < 70 ? 1 : 53) {
        float *query = malloc((size_t)dim * sizeof *query), *v = malloc((size_t)dim * sizeof *v);
        uint16_t *half = malloc((size_t)dim * sizeof *half);
        double sum = 0, size = 0;
        for (int i = 0; i < dim; i++) {
            query[i] = uniform();
            v[i] = uniform();
        }
        mien_half_from_float(v, half, (size_t)dim);
        mien_half_to_float(half, v, (size_t)dim);
        for (int i = 0; i < dim; i++) {
            sum += (double)query[i] * (double)v[i];
            size += fabs((double)query[i] * (double)v[i]);
        }
        for (int s = 0; s < n_scans; s++) assert_true(fabs((double)scan[s]->exact(half, query, dim) - sum) <= 1e-5 * size);
        free(query);
        free(v);
        free(half);
    }
}

static void the_processor_chooses(void **unused)
{
    (void)unused;
    const struct mien_scan *scan[2];
    const int n = others(scan);
    assert_ptr_equal(mien_scan_best(), n == 0 ? &mien_scan_scalar : scan[n - 1]);
    mien_cpu_set_mask(~(unsigned)MIEN_CPU_AVX512_VNNI);
    assert_ptr_equal(mien_scan_best(), n == 0 ? &mien_scan_scalar : &mien_scan_avx2);
    mien_cpu_set_mask(0);
    assert_ptr_equal(mien_scan_best(), &mien_scan_scalar);
    mien_cpu_set_mask(~0u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(products_are_the_same_integers), cmocka_unit_test(candidates_are_those_above_the_cutoff),
                                       cmocka_unit_test(bytes_are_the_nearest), cmocka_unit_test(exact_is_the_product_of_the_halves),
                                       cmocka_unit_test(the_processor_chooses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
