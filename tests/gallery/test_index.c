/* The search index against a search by hand, and its kernels against each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cpu.h"
#include "gallery/half.h"
#include "gallery/index.h"
#include "gallery/scan.h"

static uint32_t seed = 1;
static uint32_t draw(void) { return (seed = seed * 1664525u + 1013904223u) >> 8; }
static float number(void) { return (float)draw() / 8388608.0f - 1.0f; }

static void unit(float *v, int dim)
{
    float sum = 0;
    for (int i = 0; i < dim; i++) sum += v[i] * v[i];
    for (int i = 0; i < dim; i++) v[i] /= sqrtf(sum);
}

static void random_unit(float *v, int dim)
{
    for (int i = 0; i < dim; i++) v[i] = number() + 1e-6f;
    unit(v, dim);
}

/* ---- what the index should hold: people by hand ---- */

enum { PEOPLE = 400, MOST = 1024, EACH = 3 };

struct model {
    struct mien_index *index;
    int dim;
    int n[PEOPLE];
    uint16_t half[PEOPLE][EACH][MOST];
};

static const char *id_of(int person)
{
    static char id[8][16];
    static int at;
    at = (at + 1) % 8;
    snprintf(id[at], sizeof id[at], "p%d", person * 37 % 1000);
    return id[at];
}

static void make(struct model *m, int dim)
{
    memset(m, 0, sizeof *m);
    m->dim = dim;
    assert_int_equal(mien_index_create(dim, &m->index, NULL), MIEN_OK);
}

/* How a template of a person may look. */
enum kind { ANYHOW, ALIKE /* nearly the same for all */, SPIKE /* one number is nearly all */, KINDS };

static void template_of(const struct model *m, enum kind kind, uint16_t *out)
{
    float v[MOST] = {0};
    for (int i = 0; i < m->dim; i++) v[i] = kind == ALIKE ? sinf((float)i) + 0.002f * number() : kind == SPIKE ? 1e-4f * number() : number();
    if (kind == SPIKE) v[draw() % (uint32_t)m->dim] = 1;
    v[0] += 1e-6f;
    unit(v, m->dim);
    mien_half_from_float(v, out, (size_t)m->dim);
}

static void set(struct model *m, int person, int n, enum kind kind)
{
    uint16_t flat[EACH * MOST];
    m->n[person] = n;
    for (int k = 0; k < n; k++) {
        template_of(m, kind, m->half[person][k]);
        memcpy(flat + k * m->dim, m->half[person][k], 2 * (size_t)m->dim);
    }
    assert_int_equal(mien_index_set(m->index, id_of(person), "name", flat, n, NULL), MIEN_OK);
}

static int by_rank(const void *a, const void *b)
{
    const struct mien_hit *x = a, *y = b;
    if (x->similarity != y->similarity) return x->similarity > y->similarity ? -1 : 1;
    return strcmp(x->user_id, y->user_id);
}

static int search_by_hand(const struct model *m, const float *query, int top_k, float threshold, struct mien_hit *out)
{
    static struct mien_hit all[PEOPLE];
    int n = 0;
    for (int p = 0; p < PEOPLE; p++) {
        float best = -INFINITY;
        for (int k = 0; k < m->n[p]; k++) best = fmaxf(best, mien_scan_best()->exact(m->half[p][k], query, m->dim));
        if (m->n[p] == 0 || best < threshold) continue;
        all[n].similarity = best;
        snprintf(all[n++].user_id, sizeof all[0].user_id, "%s", id_of(p));
    }
    qsort(all, (size_t)n, sizeof all[0], by_rank);
    if (n > top_k) n = top_k;
    memcpy(out, all, (size_t)n * sizeof all[0]);
    return n;
}

static void compare(const struct model *m, int queries, int top_k, float threshold, enum kind kind)
{
    static float q[MIEN_MAX_QUERIES * MOST];
    static struct mien_hit hits[MIEN_MAX_QUERIES * MIEN_MAX_HITS], wanted[MIEN_MAX_HITS];
    int counts[MIEN_MAX_QUERIES];
    uint16_t half[MOST];
    for (int k = 0; k < queries; k++) {
        template_of(m, kind, half);
        mien_half_to_float(half, q + k * m->dim, (size_t)m->dim);
    }
    assert_int_equal(mien_index_search(m->index, q, queries, top_k, threshold, hits, counts, NULL), MIEN_OK);
    for (int k = 0; k < queries; k++) {
        const int n = search_by_hand(m, q + k * m->dim, top_k, threshold, wanted);
        assert_int_equal(counts[k], n);
        for (int i = 0; i < n; i++) {
            const struct mien_hit *h = &hits[k * top_k + i];
            assert_true(h->similarity == wanted[i].similarity);
            assert_string_equal(h->user_id, wanted[i].user_id);
            assert_string_equal(h->name, "name");
        }
    }
}

/* ---- tests ---- */

static void the_answer_is_that_of_an_exact_search(void **state)
{
    (void)state;
    static const int DIMS[] = {1, 2, 63, 64, 65, 128, 512, 1024};
    static struct model m;
    static const unsigned MASKS[] = {~0u, MIEN_CPU_AVX2, 0};
    for (size_t d = 0; d < sizeof DIMS / sizeof *DIMS; d++)
        for (int kind = ANYHOW; kind < KINDS; kind++) {
            make(&m, DIMS[d]);
            compare(&m, 2, 5, -1, (enum kind)kind); /* nobody */
            for (int p = 0; p < PEOPLE; p++) set(&m, p, 1 + (int)(draw() % EACH), (enum kind)kind);
            for (size_t mask = 0; mask < 3; mask++) {
                mien_cpu_set_mask(MASKS[mask]);
                compare(&m, 1, 5, -1, (enum kind)kind);
                compare(&m, 3, 1, -1, (enum kind)kind);
                compare(&m, MIEN_MAX_QUERIES, MIEN_MAX_HITS, -1, (enum kind)kind);
                compare(&m, 7, 10, kind == ALIKE ? 0.99999f : 0.1f, (enum kind)kind);
                compare(&m, 1, 1, 1.5f, (enum kind)kind);
            }
            mien_cpu_set_mask(~0u);
            mien_index_free(&m.index);
        }
}

/* All the same: the order is that of the ids. */
static void equals_come_by_user_id(void **state)
{
    (void)state;
    static struct model m;
    make(&m, 64);
    for (int p = 0; p < PEOPLE; p++) {
        for (int i = 0; i < 64; i++) m.half[p][0][i] = i == 3 ? 0x3c00 : 0;
        m.n[p] = 1;
        assert_int_equal(mien_index_set(m.index, id_of(p), "name", m.half[p][0], 1, NULL), MIEN_OK);
    }
    compare(&m, 1, 7, -1, ANYHOW);
    compare(&m, 5, 100, -1, SPIKE);
    mien_index_free(&m.index);
}

static void people_come_change_and_go(void **state)
{
    (void)state;
    static struct model m;
    float q[64], similarity;
    make(&m, 64);
    random_unit(q, 64);
    for (int round = 0; round < 6000; round++) {
        const int p = (int)(draw() % PEOPLE);
        set(&m, p, (int)(draw() % (EACH + 1)), (enum kind)(draw() % KINDS));
        if (round % 100 == 0) compare(&m, 1 + round / 100 % 4, 5, -1, (enum kind)(draw() % KINDS));
        float best = -INFINITY;
        for (int k = 0; k < m.n[p]; k++) best = fmaxf(best, mien_scan_best()->exact(m.half[p][k], q, 64));
        assert_int_equal(mien_index_verify(m.index, id_of(p), q, &similarity, NULL), m.n[p] > 0 ? MIEN_OK : MIEN_E_NOT_ENROLLED);
        assert_true(m.n[p] == 0 || similarity == best);
    }
    uint64_t users = 0, templates = 0;
    for (int p = 0; p < PEOPLE; p++) {
        users += m.n[p] > 0;
        templates += (uint64_t)m.n[p];
    }
    const struct mien_index_state s = mien_index_state(m.index);
    assert_int_equal(s.users, users);
    assert_int_equal(s.templates, templates);
    assert_true(s.bytes > templates * 64 * 3);
    mien_index_free(&m.index);
}

static void a_large_gallery_spans_chunks(void **state)
{
    (void)state;
    enum { N = 70000, DIM = 64 };
    struct mien_index *x;
    struct mien_hit hit;
    uint16_t half[DIM];
    float v[DIM], first[DIM], last[DIM];
    char id[16];
    int n;
    assert_int_equal(mien_index_create(DIM, &x, NULL), MIEN_OK);
    for (int i = 0; i < N; i++) {
        random_unit(v, DIM);
        memcpy(i == 0 ? first : last, v, sizeof v);
        if (i == 0) memcpy(first, v, sizeof v);
        mien_half_from_float(v, half, DIM);
        snprintf(id, sizeof id, "u%d", i);
        assert_int_equal(mien_index_set(x, id, NULL, half, 1, NULL), MIEN_OK);
    }
    assert_int_equal(mien_index_search(x, first, 1, 1, 0.9f, &hit, &n, NULL), MIEN_OK);
    assert_int_equal(n, 1);
    assert_string_equal(hit.user_id, "u0");
    assert_int_equal(mien_index_search(x, last, 1, 1, 0.9f, &hit, &n, NULL), MIEN_OK);
    assert_int_equal(n, 1);
    assert_string_equal(hit.user_id, "u69999");
    mien_index_free(&x);
}

static void wrong_arguments_are_refused(void **state)
{
    (void)state;
    struct mien_index *x;
    struct mien_hit hits[2];
    uint16_t good[64] = {0x3c00}, nan[64] = {0x7e00}, inf[64] = {0x7c00};
    float v[64] = {1}, bad[64] = {NAN}, huge[64] = {INFINITY};
    int n;
    assert_int_equal(mien_index_create(0, &x, NULL), MIEN_E_ARG);
    assert_int_equal(mien_index_create(1025, &x, NULL), MIEN_E_ARG);
    assert_int_equal(mien_index_create(64, &x, NULL), MIEN_OK);
    assert_int_equal(mien_index_set(x, "", NULL, good, 1, NULL), MIEN_E_ARG);
    assert_int_equal(mien_index_set(x, "a", NULL, good, MIEN_USER_TEMPLATES + 1, NULL), MIEN_E_ARG);
    assert_int_equal(mien_index_set(x, "a", NULL, nan, 1, NULL), MIEN_E_ARG);
    assert_int_equal(mien_index_set(x, "a", NULL, inf, 1, NULL), MIEN_E_ARG);
    assert_int_equal(mien_index_state(x).users, 0);
    assert_int_equal(mien_index_set(x, "a", NULL, good, 1, NULL), MIEN_OK);
    assert_int_equal(mien_index_search(x, bad, 1, 1, 0, hits, &n, NULL), MIEN_E_ARG);
    assert_int_equal(mien_index_search(x, huge, 1, 1, 0, hits, &n, NULL), MIEN_E_ARG);
    assert_int_equal(mien_index_search(x, v, 0, 1, 0, hits, &n, NULL), MIEN_E_ARG);
    assert_int_equal(mien_index_search(x, v, MIEN_MAX_QUERIES + 1, 1, 0, hits, &n, NULL), MIEN_E_ARG);
    assert_int_equal(mien_index_search(x, v, 1, 0, 0, hits, &n, NULL), MIEN_E_ARG);
    assert_int_equal(mien_index_search(x, v, 1, MIEN_MAX_HITS + 1, 0, hits, &n, NULL), MIEN_E_ARG);
    assert_int_equal(mien_index_search(x, v, 1, 1, NAN, hits, &n, NULL), MIEN_E_ARG);
    assert_int_equal(mien_index_search(x, v, 1, 1, 0, hits, &n, NULL), MIEN_OK);
    assert_int_equal(n, 1);
    mien_index_free(&x);
}

/* ---- kernels ---- */

static void kernels_agree(void **state)
{
    (void)state;
    const unsigned flags = mien_cpu_flags();
    const struct mien_scan *const ALL[] = {(flags & MIEN_CPU_AVX2) != 0 ? &mien_scan_avx2 : NULL,
                                           (flags & MIEN_CPU_AVX512_VNNI) != 0 ? &mien_scan_avx512vnni : NULL};
    enum { ROWS = 70, QUERIES = 9, STRIDE = 576 };
    static uint8_t rows[ROWS * STRIDE];
    static int8_t queries[QUERIES * STRIDE];
    static int32_t want[ROWS * QUERIES], got[ROWS * QUERIES];
    for (int extreme = 0; extreme < 2; extreme++)
        for (size_t k = 0; k < 2; k++) {
            if (ALL[k] == NULL) continue;
            for (int i = 0; i < ROWS * STRIDE; i++) rows[i] = extreme ? 255 : (uint8_t)(1 + draw() % 255);
            for (int i = 0; i < QUERIES * STRIDE; i++) queries[i] = (int8_t)(extreme ? (i / STRIDE % 2 ? -127 : 127) : (int)(draw() % 255) - 127);
            for (int stride = 64; stride <= STRIDE; stride += 64)
                for (int n = 1; n <= ROWS; n += 1 + n / 8)
                    for (int q = 1; q <= QUERIES; q++) {
                        mien_scan_scalar.dots(rows, n, stride, queries, q, want);
                        memset(got, 0, sizeof got);
                        ALL[k]->dots(rows, n, stride, queries, q, got);
                        assert_memory_equal(want, got, sizeof(int32_t) * (size_t)(n * q));
                    }
            for (int n = 0; n <= ROWS; n++) { /* candidates: those far from the cutoff are the same */
                float scale[ROWS], error[ROWS];
                int a[ROWS], b[ROWS];
                for (int i = 0; i < ROWS; i++) {
                    scale[i] = 0.001f + 0.001f * (float)(draw() % 7);
                    error[i] = i % 11 == 0 ? -INFINITY : 0.01f;
                    want[i] = (int32_t)(draw() % 20000);
                }
                const struct mien_scan_bound bound = {.slope = 0.01f, .weight = 1, .slack = 0.02f, .cutoff = 0.2500123f, .shift = 300};
                const int na = mien_scan_scalar.candidates(want, scale, error, n, &bound, a), nb = ALL[k]->candidates(want, scale, error, n, &bound, b);
                assert_int_equal(na, nb);
                assert_memory_equal(a, b, sizeof(int) * (size_t)na);
                for (int i = 0; i < na; i++) assert_true(a[i] % 11 != 0);
            }
            for (int dim = 1; dim < 200; dim++) {
                float v[200], sa, sb;
                int8_t qa[208] = {0}, qb[208] = {0};
                uint16_t half[200];
                for (int i = 0; i < 200; i++) v[i] = number();
                const float la = mien_scan_scalar.quantize(v, dim, qa, &sa), lb = ALL[k]->quantize(v, dim, qb, &sb);
                assert_memory_equal(qa, qb, sizeof qa);
                assert_true(sa == sb && fabsf(la - lb) <= 1e-3f * la + 1e-10f);
                mien_half_from_float(v, half, 200);
                assert_true(fabsf(mien_scan_scalar.exact(half, v, dim) - ALL[k]->exact(half, v, dim)) < 1e-4f);
            }
        }
}

/* ---- at the same time ---- */

struct crowd { struct mien_index *index; atomic_bool stop; atomic_int failures; float stays[64], moves[64]; };

/* "moves" is always enrolled, with the same face among one to three. */
static void *changes(void *context)
{
    struct crowd *c = context;
    uint16_t half[3 * 64];
    float v[64];
    char id[16];
    for (int i = 0; !c->stop; i++) {
        const int n = 1 + i % 3;
        uint32_t r = (uint32_t)i * 2654435761u;
        for (int k = 0; k < n; k++) {
            for (int j = 0; j < 64; j++) v[j] = (float)((r = r * 1664525u + 1013904223u) >> 8) / 8388608.0f - 1.0f;
            unit(v, 64);
            mien_half_from_float(k == i % n ? c->moves : v, half + 64 * k, 64);
        }
        if (mien_index_set(c->index, "moves", NULL, half, n, NULL) != MIEN_OK) c->failures++;
        snprintf(id, sizeof id, "other%d", i % 50);
        mien_half_from_float(v, half, 64);
        if (mien_index_set(c->index, id, NULL, half, i % 7 == 0 ? 0 : 1, NULL) != MIEN_OK) c->failures++;
    }
    return NULL;
}

static void *searches(void *context)
{
    struct crowd *c = context;
    struct mien_hit hits[4];
    float both[128];
    int n[2];
    memcpy(both, c->stays, sizeof c->stays);
    memcpy(both + 64, c->moves, sizeof c->moves);
    for (int i = 0; i < 400; i++) {
        const bool good = mien_index_search(c->index, both, 2, 2, 0.9f, hits, n, NULL) == MIEN_OK && n[0] == 1 && n[1] == 1 &&
                          strcmp(hits[0].user_id, "stays") == 0 && strcmp(hits[2].user_id, "moves") == 0;
        if (!good) c->failures++;
    }
    return NULL;
}

static void nobody_is_missed_while_others_change(void **state)
{
    (void)state;
    struct crowd c = {0};
    pthread_t writer, reader[2];
    uint16_t half[64];
    float v[64];
    char id[16];
    assert_int_equal(mien_index_create(64, &c.index, NULL), MIEN_OK);
    random_unit(c.stays, 64);
    random_unit(c.moves, 64);
    for (int i = 0; i < 20000; i++) {
        random_unit(v, 64);
        snprintf(id, sizeof id, "u%d", i);
        mien_half_from_float(i == 11111 ? c.stays : i == 3 ? c.moves : v, half, 64);
        assert_int_equal(mien_index_set(c.index, i == 11111 ? "stays" : i == 3 ? "moves" : id, NULL, half, 1, NULL), MIEN_OK);
    }
    pthread_create(&writer, NULL, changes, &c);
    for (int i = 0; i < 2; i++) pthread_create(&reader[i], NULL, searches, &c);
    for (int i = 0; i < 2; i++) pthread_join(reader[i], NULL);
    c.stop = true;
    pthread_join(writer, NULL);
    assert_int_equal(c.failures, 0);
    mien_index_free(&c.index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_answer_is_that_of_an_exact_search), cmocka_unit_test(equals_come_by_user_id),
                                       cmocka_unit_test(people_come_change_and_go), cmocka_unit_test(a_large_gallery_spans_chunks),
                                       cmocka_unit_test(wrong_arguments_are_refused), cmocka_unit_test(kernels_agree),
                                       cmocka_unit_test(nobody_is_missed_while_others_change)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
