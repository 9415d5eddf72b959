/* The general kernels against naive loops over indices, on random small shapes, and on cases from the ONNX operator pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernels.h"

enum { MAX_RANK = 6, MAX_ELEMS = 20000 };

static uint64_t rng_state = 1;

static size_t below(size_t n)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(rng_state >> 33) % n;
}

static int64_t product(const int64_t *dim, int rank)
{
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= dim[i];
    return n;
}

static void unravel(int64_t i, const int64_t *dim, int rank, int64_t *at)
{
    for (int k = rank - 1; k >= 0; k--) {
        at[k] = i % dim[k];
        i /= dim[k];
    }
}

static int64_t ravel(const int64_t *at, const int64_t *dim, int rank)
{
    int64_t i = 0;
    for (int k = 0; k < rank; k++) i = i * dim[k] + at[k];
    return i;
}

static void random_dims(int64_t *dim, int rank, size_t limit)
{
    for (int i = 0; i < rank; i++) dim[i] = 1 + (int64_t)below(limit);
}

static unsigned char src[MAX_ELEMS * 8], dst[MAX_ELEMS * 8];

static void random_bytes(size_t n)
{
    for (size_t i = 0; i < n; i++) src[i] = (unsigned char)below(256);
}

static void permute_moves_every_element(void **state)
{
    (void)state;
    static const size_t elems[] = {1, 2, 4, 8};
    for (int trial = 0; trial < 2000; trial++) {
        int rank = (int)below(7), perm[MAX_RANK] = {0, 1, 2, 3, 4, 5};
        int64_t dim[MAX_RANK], out[MAX_RANK], at[MAX_RANK], from[MAX_RANK] = {0};
        size_t elem = elems[below(4)];
        random_dims(dim, rank, rank <= 2 ? 60 : rank <= 4 ? 11 : 4);
        for (int i = rank - 1; i > 0; i--) {
            int j = (int)below((size_t)i + 1), t = perm[i];
            perm[i] = perm[j];
            perm[j] = t;
        }
        int64_t n = product(dim, rank);
        random_bytes((size_t)n * elem);
        mien_k_permute(dst, src, dim, perm, rank, elem);
        for (int k = 0; k < rank; k++) out[k] = dim[perm[k]];
        for (int64_t i = 0; i < n; i++) {
            unravel(i, out, rank, at);
            for (int k = 0; k < rank; k++) from[perm[k]] = at[k];
            assert_memory_equal(dst + (size_t)i * elem, src + (size_t)ravel(from, dim, rank) * elem, elem);
        }
    }
}

/* Reflection by walking back and forth, one step at a time. */
static int64_t reflected(int64_t i, int64_t n)
{
    if (n == 1) return 0;
    while (i < 0 || i >= n) i = i < 0 ? -i : 2 * (n - 1) - i;
    return i;
}

static void pad_fills_reflects_repeats_and_crops(void **state)
{
    (void)state;
    for (int trial = 0; trial < 1500; trial++) {
        int rank = 1 + (int)below(4), mode = (int)below(3);
        int64_t dim[MAX_RANK], begin[MAX_RANK], end[MAX_RANK], out[MAX_RANK], at[MAX_RANK];
        size_t elem = below(2) ? 4 : 2;
        const uint32_t value = 0x12345678;
        random_dims(dim, rank, 6);
        for (int i = 0; i < rank; i++) {
            begin[i] = (int64_t)below(6) - 2;
            end[i] = (int64_t)below(6) - 2;
            while (dim[i] + begin[i] + end[i] < 1) begin[i]++;
            out[i] = dim[i] + begin[i] + end[i];
        }
        random_bytes((size_t)product(dim, rank) * elem);
        mien_k_pad(dst, src, dim, begin, end, rank, mode, &value, elem);
        for (int64_t i = 0; i < product(out, rank); i++) {
            bool outside = false;
            unravel(i, out, rank, at);
            for (int k = 0; k < rank; k++) {
                int64_t from = at[k] - begin[k];
                outside = outside || from < 0 || from >= dim[k];
                at[k] = mode == 1 ? reflected(from, dim[k]) : from < 0 ? 0 : from >= dim[k] ? dim[k] - 1 : from;
            }
            const void *want = mode == 0 && outside ? (const void *)&value : src + (size_t)ravel(at, dim, rank) * elem;
            assert_memory_equal(dst + (size_t)i * elem, want, elem);
        }
    }
}

static float fa[MAX_ELEMS], fb[MAX_ELEMS], fo[MAX_ELEMS];

static void random_floats(float *p, int64_t n)
{
    for (int64_t i = 0; i < n; i++) p[i] = (float)below(2000) / 500 - 2;
}

static void broadcast_follows_numpy(void **state)
{
    (void)state;
    for (int trial = 0; trial < 2000; trial++) {
        int rank = (int)below(7);
        int64_t dim[MAX_RANK], xd[MAX_RANK], yd[MAX_RANK], at[MAX_RANK], xa[MAX_RANK], ya[MAX_RANK];
        random_dims(dim, rank, rank < 4 ? 20 : 4);
        for (int i = 0; i < rank; i++) {
            size_t which = below(4);
            xd[i] = which == 0 ? 1 : dim[i];
            yd[i] = which == 1 ? 1 : dim[i];
        }
        random_floats(fa, product(xd, rank));
        random_floats(fb, product(yd, rank));
        mien_k_broadcast(MIEN_B_SUB, fo, dim, fa, xd, fb, yd, rank);
        for (int64_t i = 0; i < product(dim, rank); i++) {
            unravel(i, dim, rank, at);
            for (int k = 0; k < rank; k++) {
                xa[k] = xd[k] == 1 ? 0 : at[k];
                ya[k] = yd[k] == 1 ? 0 : at[k];
            }
            assert_true(fo[i] == fa[ravel(xa, xd, rank)] - fb[ravel(ya, yd, rank)]);
        }
    }
}

static void reduce_removes_the_axes(void **state)
{
    (void)state;
    static double acc[MAX_ELEMS];
    for (int trial = 0; trial < 2000; trial++) {
        int rank = (int)below(6);
        unsigned mask = (unsigned)below(1u << rank);
        enum mien_reduce op = (enum mien_reduce)below(MIEN_R_COUNT);
        int64_t dim[MAX_RANK], kept[MAX_RANK], at[MAX_RANK], to[MAX_RANK], n_kept = 1, n_gone = 1;
        random_dims(dim, rank, rank < 3 ? 140 : rank < 5 ? 8 : 4);
        int kept_rank = 0;
        for (int i = 0; i < rank; i++) {
            if (mask >> i & 1) n_gone *= dim[i];
            else kept[kept_rank++] = dim[i];
        }
        n_kept = product(kept, kept_rank);
        random_floats(fa, product(dim, rank));
        for (int64_t i = 0; i < n_kept; i++) acc[i] = op == MIEN_R_MAX ? -1e30 : op == MIEN_R_MIN ? 1e30 : 0;
        for (int64_t i = 0; i < product(dim, rank); i++) {
            unravel(i, dim, rank, at);
            for (int k = 0, j = 0; k < rank; k++)
                if (!(mask >> k & 1)) to[j++] = at[k];
            double *a = &acc[ravel(to, kept, kept_rank)], v = (double)fa[i];
            *a = op == MIEN_R_MAX ? fmax(*a, v) : op == MIEN_R_MIN ? fmin(*a, v) : *a + (op == MIEN_R_L2 ? v * v : v);
        }
        mien_k_reduce(op, fo, fa, dim, rank, mask);
        for (int64_t i = 0; i < n_kept; i++) {
            double want = op == MIEN_R_MEAN ? acc[i] / (double)n_gone : op == MIEN_R_L2 ? sqrt(acc[i]) : acc[i];
            assert_true(fabs((double)fo[i] - want) <= 1e-6 * (1 + fabs(want)));
        }
    }
}

static void gather_counts_from_the_end_and_keeps_inside(void **state)
{
    (void)state;
    const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}; /* 2 x 3 x 2 */
    const int64_t index[] = {2, -3, 1, 3, -4};
    const float want[] = {5, 6, 1, 2, 3, 4, 0, 0, 0, 0, 11, 12, 7, 8, 9, 10, 0, 0, 0, 0};
    mien_k_gather(fo, x, 2, 3, 2, index, 5, 4);
    assert_memory_equal(fo, want, sizeof want);
}

struct resize_case {
    int mode, coord, nearest, h, w, oh, ow;
    float scale_h, scale_w;
    float x[16], want[36];
};

/* From the examples on the ONNX operator page of Resize (opset 11 and 13), one channel. */
static const struct resize_case resizes[] = {
    {0, 0, 0, 2, 2, 4, 6, 2, 3, {1, 2, 3, 4}, {1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 3, 3, 3, 4, 4, 4}},
    {1, 0, 0, 2, 2, 4, 4, 2, 2, {1, 2, 3, 4}, {1, 1.25f, 1.75f, 2, 1.5f, 1.75f, 2.25f, 2.5f, 2.5f, 2.75f, 3.25f, 3.5f, 3, 3.25f, 3.75f, 4}},
    {1, 2, 0, 2, 2, 4, 4, 2, 2, {1, 2, 3, 4},
     {1, 1.33333333f, 1.66666667f, 2, 1.66666667f, 2, 2.33333333f, 2.66666667f, 2.33333333f, 2.66666667f, 3, 3.33333333f, 3, 3.33333333f, 3.66666667f, 4}},
    {1, 0, 0, 2, 4, 1, 2, 0.6f, 0.6f, {1, 2, 3, 4, 5, 6, 7, 8}, {2.6666665f, 4.3333331f}},
    {1, 3, 0, 4, 4, 3, 1, 0.75f, 0.25f, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, {1.6666666f, 7, 12.333333f}},
    {2, 0, 0, 4, 4, 3, 3, 0.8f, 0.8f, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
     {1.47119141f, 2.78125f, 4.08251953f, 6.71142578f, 8.02148438f, 9.32275391f, 11.91650391f, 13.2265625f, 14.52783203f}},
    {0, 1, 3, 4, 4, 2, 2, 0.5f, 0.5f, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, {1, 3, 9, 11}},
    {0, 1, 1, 2, 2, 3, 3, 1.5f, 1.5f, {1, 2, 3, 4}, {1, 1, 2, 1, 1, 2, 3, 3, 4}},
    {0, 0, 2, 1, 4, 1, 6, 1, 1.5f, {1, 2, 3, 4}, {1, 2, 3, 3, 4, 4}},
    {0, 1, 0, 1, 2, 1, 4, 1, 2, {1, 2}, {1, 1, 2, 2}}, /* ties: down */
    {0, 1, 3, 1, 2, 1, 4, 1, 2, {1, 2}, {1, 2, 2, 2}}, /* and up */
    {0, 0, 0, 2, 4, 1, 2, 0.6f, 0.6f, {1, 2, 3, 4, 5, 6, 7, 8}, {1, 3}},
};

static void resize_follows_onnx(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof resizes / sizeof resizes[0]; i++) {
        const struct resize_case *r = &resizes[i];
        mien_k_resize(fo, r->x, r->h, r->w, 1, r->oh, r->ow, r->scale_h, r->scale_w, r->mode, r->coord, r->nearest);
        for (int k = 0; k < r->oh * r->ow; k++)
            if (fabsf(fo[k] - r->want[k]) > 1e-5f) fail_msg("case %zu, element %d: %g, wanted %g", i, k, (double)fo[k], (double)r->want[k]);
    }
}

static void resize_treats_channels_alike(void **state)
{
    (void)state;
    float one[36], plane[16];
    for (int mode = 0; mode < 3; mode++) {
        random_floats(fa, 16 * 5);
        mien_k_resize(fo, fa, 4, 4, 5, 6, 6, 1.5f, 1.5f, mode, 0, 0);
        for (int c = 0; c < 5; c++) {
            for (int i = 0; i < 16; i++) plane[i] = fa[i * 5 + c];
            mien_k_resize(one, plane, 4, 4, 1, 6, 6, 1.5f, 1.5f, mode, 0, 0);
            for (int i = 0; i < 36; i++) assert_true(fabsf(one[i] - fo[i * 5 + c]) < 1e-6f);
        }
    }
}

static void empty_tensors_are_left_alone(void **state)
{
    (void)state;
    const int64_t dim[3] = {2, 0, 3}, zero[3] = {0, 0, 0};
    const int perm[3] = {2, 0, 1};
    mien_k_permute(NULL, NULL, dim, perm, 3, 4);
    mien_k_broadcast(MIEN_B_ADD, NULL, dim, NULL, dim, NULL, dim, 3);
    mien_k_pad(NULL, NULL, dim, zero, zero, 3, 0, NULL, 4);
    const int64_t padded[3] = {0, 1, 0};
    const float value = 7;
    mien_k_pad(fo, NULL, dim, zero, padded, 3, 0, &value, 4); /* nothing but padding */
    for (int i = 0; i < 6; i++) assert_true(fo[i] == value);
    mien_k_reduce(MIEN_R_SUM, fo, NULL, dim, 3, 2);
    for (int i = 0; i < 6; i++) assert_true(fo[i] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permute_moves_every_element),
        cmocka_unit_test(pad_fills_reflects_repeats_and_crops),
        cmocka_unit_test(broadcast_follows_numpy),
        cmocka_unit_test(reduce_removes_the_axes),
        cmocka_unit_test(gather_counts_from_the_end_and_keeps_inside),
        cmocka_unit_test(resize_follows_onnx),
        cmocka_unit_test(resize_treats_channels_alike),
        cmocka_unit_test(empty_tensors_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
