/* Rates of searches against counting by hand, and the threshold for a false match rate against sorting all scores. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "app/eval.h"

static void rates_are_counted(void **state)
{
    (void)state;
    float mated[] = {0.9f, 0.5f, -2.0f, 0.3f, 0.5f}, non_mated[] = {0.1f, 0.6f, 0.5f, -2.0f};
    const struct mien_searches s = {mated, non_mated, 5, 4};
    const struct mien_search_point p = mien_eval_searches_at(&s, 0.5);
    assert_int_equal(p.false_positives, 2); /* a score that equals the threshold passes */
    assert_int_equal(p.misses, 2);
    assert_float_equal(p.fpir, 0.5, 1e-12);
    assert_float_equal(p.fnir, 0.4, 1e-12);
    assert_float_equal(p.fnir_low, 0.1176, 1e-3); /* Wilson, 2 of 5 */
    assert_float_equal(p.fnir_high, 0.7693, 1e-3);
    assert_true(p.measurable);
    assert_int_equal(mien_eval_searches_at(&s, -1.0).misses, 1); /* whoever was not found matches at no threshold */
    assert_int_equal(mien_eval_searches_at(&s, -1.0).false_positives, 3);
}

static void thresholds_keep_the_false_positive_rate(void **state)
{
    (void)state;
    float mated[] = {0.62f, 0.45f}, non_mated[] = {0.2f, 0.4f, 0.6f, 0.5f, 0.5f, 0.1f, -2.0f, 0.3f, 0.0f, 0.35f};
    struct mien_searches s = {mated, non_mated, 2, 10};
    struct mien_search_point p = mien_eval_at_fpir(&s, 0.1);
    assert_int_equal(p.false_positives, 1);
    assert_true(p.threshold > 0.5 && p.threshold < 0.51);
    assert_int_equal(p.misses, 1);
    p = mien_eval_at_fpir(&s, 0.2); /* two would be allowed, but the second has an equal */
    assert_int_equal(p.false_positives, 1);
    assert_true(p.measurable);
    p = mien_eval_at_fpir(&s, 0.3);
    assert_int_equal(p.false_positives, 3);
    p = mien_eval_at_fpir(&s, 0.05);
    assert_false(p.measurable);
    assert_int_equal(p.false_positives, 0);
    p = mien_eval_at_fpir(&s, 1.0);
    assert_int_equal(p.misses, 0);
}

/* ---- the threshold for a false match rate ---- */

enum { PEOPLE = 60, EACH = 3, N = PEOPLE * EACH, DIM = 10 };
static float row[N * DIM];
static bool present[N];
static uint32_t person[N];

static struct mien_embeddings crowd(void)
{
    uint32_t x = 7;
    for (int i = 0; i < N; i++) {
        double sum = 0;
        person[i] = (uint32_t)(i / EACH);
        present[i] = i % 17 != 5;
        for (int k = 0; k < DIM; k++) {
            x = x * 1664525u + 1013904223u;
            row[i * DIM + k] = (float)(x >> 8) / (float)(1 << 23) - 1.0f;
            sum += (double)row[i * DIM + k] * (double)row[i * DIM + k];
        }
        for (int k = 0; k < DIM; k++) row[i * DIM + k] = (float)((double)row[i * DIM + k] / sqrt(sum));
    }
    return (struct mien_embeddings){row, present, person, N, DIM};
}

/* Scores of different people, missed ones included as -2; falling. */
static float all[N * N / 2];
static int falling(const void *a, const void *b) { return (*(const float *)a < *(const float *)b) - (*(const float *)a > *(const float *)b); }

static size_t impostors(const struct mien_embeddings *em)
{
    size_t n = 0;
    for (size_t i = 0; i < em->n; i++)
        for (size_t j = 0; j < i; j++) {
            float dot = 0;
            if (em->person[i] == em->person[j]) continue;
            for (int k = 0; k < DIM; k++) dot += em->row[i * DIM + (size_t)k] * em->row[j * DIM + (size_t)k];
            all[n++] = em->present[i] && em->present[j] ? dot : -2.0f;
        }
    qsort(all, n, sizeof *all, falling);
    return n;
}

static void the_threshold_is_that_of_sorted_scores(void **state)
{
    (void)state;
    const struct mien_embeddings em = crowd();
    const size_t n = impostors(&em);
    static const double rate[] = {0.5, 0.1, 0.01, 0.001, 1e-4};
    for (size_t i = 0; i < sizeof rate / sizeof rate[0]; i++) {
        struct mien_threshold t, again;
        struct mien_err e = {0};
        assert_int_equal(mien_eval_threshold(&em, rate[i], 3, &t, &e), MIEN_OK);
        const size_t allowed = (size_t)floor(rate[i] * (double)n);
        assert_int_equal(t.impostor, n);
        assert_int_equal(t.false_matches, allowed); /* no two scores are equal */
        assert_true(t.threshold > (double)all[allowed] && t.threshold - (double)all[allowed] < 1e-5);
        assert_true(t.low <= t.threshold && t.threshold <= t.high && t.low < t.high);
        assert_int_equal(mien_eval_threshold(&em, rate[i], 1, &again, &e), MIEN_OK); /* neither threads nor chance change it */
        assert_true(again.threshold == t.threshold && again.low == t.low && again.high == t.high);
    }
}

/* Two people look the same: all of their comparisons score 1. Samples of people have either both of them or not, and the interval says so; single comparisons
 * drawn at random would nearly always have some. */
static void two_people_alike_widen_the_interval(void **state)
{
    (void)state;
    const struct mien_embeddings em = crowd();
    const size_t n = impostors(&em);
    const double rate = 5.5 / (double)n; /* 5 false matches; the two have 9 */
    struct mien_threshold plain, alike;
    struct mien_err e = {0};
    assert_int_equal(mien_eval_threshold(&em, rate, 2, &plain, &e), MIEN_OK);
    for (int i = 0; i < 2 * EACH; i++) {
        present[i] = true;
        for (int k = 0; k < DIM; k++) row[i * DIM + k] = row[k];
    }
    assert_int_equal(mien_eval_threshold(&em, rate, 2, &alike, &e), MIEN_OK);
    assert_true(alike.threshold > 0.999 && alike.high > 0.999);
    assert_true(alike.low < plain.high && alike.low < 0.98);
}

static void too_few_comparisons_are_refused(void **state)
{
    (void)state;
    struct mien_embeddings em = crowd();
    struct mien_threshold t;
    struct mien_err e = {0};
    assert_int_equal(mien_eval_threshold(&em, 1e-5, 2, &t, &e), MIEN_E_ARG);
    assert_true(e.msg[0] != '\0');
    em.n = 2 * EACH;
    assert_int_equal(mien_eval_threshold(&em, 0.5, 2, &t, &e), MIEN_E_ARG);
    em.n = 0;
    assert_int_equal(mien_eval_threshold(&em, 0.5, 2, &t, &e), MIEN_E_ARG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rates_are_counted), cmocka_unit_test(thresholds_keep_the_false_positive_rate),
                                       cmocka_unit_test(the_threshold_is_that_of_sorted_scores),
                                       cmocka_unit_test(two_people_alike_widen_the_interval),
                                       cmocka_unit_test(too_few_comparisons_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
