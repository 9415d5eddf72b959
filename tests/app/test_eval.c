/* Evaluation: the pairs format, counting against brute force, rates at thresholds, folds, calibration, the page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/eval.h"

static struct mien_pairs parse(const char *text, size_t limit, struct mien_arena *a)
{
    struct mien_pairs p;
    struct mien_err e = {0};
    assert_int_equal(mien_pairs_parse(text, strlen(text), limit, a, &p, &e), MIEN_OK);
    return p;
}

static void pairs_are_read(void **state)
{
    (void)state;
    struct mien_arena *a = mien_arena_create(16 << 20);
    struct mien_pairs p = parse("2\t1\nBob\t1\t3\nAda\t2\tBob\t1\nAda 2 10\r\nCy_Dee\t1\tAda\t10", 0, a);
    assert_int_equal(p.n, 4);
    assert_int_equal(p.folds, 2);
    assert_int_equal(p.n_images, 5);
    assert_string_equal(p.image[0], "Ada/Ada_0002");
    assert_string_equal(p.image[1], "Ada/Ada_0010");
    assert_string_equal(p.image[3], "Bob/Bob_0003");
    assert_true(p.pair[0].same && !p.pair[1].same && p.pair[2].same && !p.pair[3].same);
    assert_int_equal(p.pair[1].fold, 0);
    assert_int_equal(p.pair[2].fold, 1);
    assert_int_equal(p.person[0], 0);
    assert_int_equal(p.person[1], 0);
    assert_int_equal(p.person[2], 1);
    assert_int_equal(p.person[4], 2);
    assert_string_equal(p.image[p.pair[3].image[0]], "Cy_Dee/Cy_Dee_0001");
    mien_arena_free(&a);
}

static void headers_of_one_line_and_none(void **state)
{
    (void)state;
    struct mien_arena *a = mien_arena_create(16 << 20);
    struct mien_pairs p = parse("1\nBob 1 3\nAda 2 Bob 1\n", 0, a);
    assert_int_equal(p.n, 2);
    assert_int_equal(p.folds, 10);
    assert_int_equal(p.pair[1].fold, 1);
    p = parse("Bob 1 3\n\nAda 2 Bob 1\n", 0, a);
    assert_int_equal(p.n, 2);
    p = parse("Bob 1 2\nBob 1 3\nBob 1 4\nAda 2 Bob 1\n", 2, a);
    assert_int_equal(p.n, 2);
    assert_string_equal(p.image[p.pair[1].image[1]], "Bob/Bob_0004");
    mien_arena_free(&a);
}

static void bad_pairs_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "10 300\n", "Bob 1\n", "Bob x 2\n", "a/b 1 2\n", "../etc 1 2\n", "Bob 1 2 3 4\n", "Bob 99999999 1\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct mien_arena *a = mien_arena_create(1 << 20);
        struct mien_pairs p;
        struct mien_err e = {0};
        assert_int_equal(mien_pairs_parse(bad[i], strlen(bad[i]), 0, a, &p, &e), MIEN_E_ARG);
        assert_true(e.msg[0] != '\0');
        mien_arena_free(&a);
    }
}

/* 150 random unit vectors of 21 numbers (neither a multiple of a tile nor of a vector register), every 7th missed. */
enum { IMAGES = 150, DIM = 21, PER_PERSON = 4 };
static float rows[IMAGES * DIM];
static bool present[IMAGES];
static uint32_t person[IMAGES];

static struct mien_embeddings random_embeddings(void)
{
    srand(5);
    for (int i = 0; i < IMAGES; i++) {
        double norm = 0;
        person[i] = (uint32_t)(i / PER_PERSON);
        present[i] = i % 7 != 3;
        for (int k = 0; k < DIM; k++) {
            rows[i * DIM + k] = (float)((double)rand() / RAND_MAX - 0.5) + (k == (int)person[i] % DIM ? 1.0f : 0.0f);
            norm += (double)rows[i * DIM + k] * (double)rows[i * DIM + k];
        }
        for (int k = 0; k < DIM; k++) rows[i * DIM + k] /= (float)sqrt(norm);
    }
    return (struct mien_embeddings){rows, present, person, IMAGES, DIM};
}

static double cosine(int i, int j)
{
    double s = 0;
    for (int k = 0; k < DIM; k++) s += (double)rows[i * DIM + k] * (double)rows[j * DIM + k];
    return s;
}

static void all_pairs_agree_with_brute_force(void **state)
{
    (void)state;
    const struct mien_embeddings em = random_embeddings();
    for (int threads = 1; threads <= 3; threads += 2) {
        struct mien_score_counts c;
        assert_int_equal(mien_eval_all_pairs(&em, threads, &c, NULL), MIEN_OK);
        for (double t = -0.5; t < 1; t += 0.25) {
            uint64_t genuine = 0, impostor = 0, missed[2] = {0}, total[2] = {0};
            for (int i = 0; i < IMAGES; i++)
                for (int j = 0; j < i; j++) {
                    bool same = person[i] == person[j];
                    total[same]++;
                    if (!present[i] || !present[j]) missed[same]++;
                    else if (cosine(i, j) >= t) *(same ? &genuine : &impostor) += 1;
                }
            const struct mien_rate_point p = mien_eval_at_threshold(&c, t);
            assert_int_equal(c.n_genuine, total[1]);
            assert_int_equal(c.n_impostor, total[0]);
            assert_int_equal(c.missed_genuine, missed[1]);
            assert_int_equal(c.missed_impostor, missed[0]);
            assert_int_equal(p.false_matches, impostor);
            assert_int_equal(p.false_non_matches, total[1] - genuine); /* the missed ones among them */
        }
        mien_score_counts_free(&c);
    }
}

static struct mien_score_counts empty_counts(void)
{
    struct mien_score_counts c = {.genuine = calloc(MIEN_EVAL_BINS, sizeof(uint32_t)), .impostor = calloc(MIEN_EVAL_BINS, sizeof(uint32_t))};
    assert_non_null(c.genuine);
    assert_non_null(c.impostor);
    return c;
}

static int bin_at(double similarity) { return (int)((similarity + 1) * (MIEN_EVAL_BINS / 2)); }

static void thresholds_keep_the_false_match_rate(void **state)
{
    (void)state;
    struct mien_score_counts c = empty_counts();
    c.impostor[bin_at(-0.25)] = 9900;
    c.impostor[bin_at(0.125)] = 91;
    c.impostor[bin_at(0.25)] = 9;
    c.n_impostor = 10000;
    c.genuine[bin_at(0.1875)] = 10;
    c.genuine[bin_at(0.5)] = 90;
    c.n_genuine = 100;
    struct mien_rate_point p = mien_eval_at_fmr(&c, 1e-2); /* 100 of 10000 may match: down to 0.125 */
    assert_int_equal(p.false_matches, 100);
    assert_int_equal(p.false_non_matches, 0);
    assert_true(p.threshold <= 0.125 && p.threshold > -0.25 + 1e-9);
    p = mien_eval_at_fmr(&c, 9e-3); /* 90: the bin of 91 is too many */
    assert_int_equal(p.false_matches, 9);
    assert_int_equal(p.false_non_matches, 0);
    assert_true(p.threshold > 0.125 && p.threshold <= 0.1875);
    p = mien_eval_at_fmr(&c, 1e-4); /* one: none fits */
    assert_int_equal(p.false_matches, 0);
    assert_true(p.measurable);
    assert_true(p.threshold > 0.25);
    assert_int_equal(p.false_non_matches, 10);
    assert_false(mien_eval_at_fmr(&c, 1e-5).measurable);
    mien_score_counts_free(&c);
}

static void wilson_interval_has_known_values(void **state)
{
    (void)state;
    double low, high;
    mien_eval_wilson(10, 100, &low, &high); /* Agresti and Coull 1998: 0.0552 .. 0.1744 */
    assert_true(fabs(low - 0.0552) < 1e-4 && fabs(high - 0.1744) < 1e-4);
    mien_eval_wilson(0, 100, &low, &high);
    assert_true(low == 0 && fabs(high - 0.0370) < 1e-4);
    mien_eval_wilson(0, 0, &low, &high);
    assert_true(low == 0 && high == 1);
}

static void folds_are_judged_by_the_others(void **state)
{
    (void)state;
    /* Fold 0 separates at 0.605, fold 1 at 0.275: each is judged at the other's threshold. */
    struct mien_pair pair[8];
    const float score[8] = {0.9f, 0.8f, 0.2f, 0.41f, 0.55f, 0.35f, 0.1f, 0.2f};
    for (int i = 0; i < 8; i++) pair[i] = (struct mien_pair){{0, 1}, i % 4 < 2, (uint32_t)(i / 4)};
    const struct mien_pairs pairs = {.pair = pair, .n = 8, .folds = 2};
    struct mien_fold_accuracy a;
    assert_int_equal(mien_eval_folds(&pairs, score, &a, NULL), MIEN_OK);
    assert_true(fabs(a.mean - 0.625) < 1e-9); /* 0.41 is above 0.275; 0.55 and 0.35 are below 0.605 */
    assert_true(fabs(a.threshold - 0.5 * (0.275 + 0.605)) < 1e-6);
}

static void calibration_finds_the_curve_it_was_made_from(void **state)
{
    (void)state;
    struct mien_score_counts c = empty_counts();
    const double slope = 14, midpoint = 0.25;
    for (double x = -0.6; x < 1; x += 1.0 / 512) { /* equal mass of both classes: posterior as the logistic says */
        double p = 1 / (1 + exp(-slope * (x - midpoint)));
        double density = exp(-pow((x - midpoint) / 0.3, 2));
        c.genuine[bin_at(x)] = (uint32_t)lround(1e6 * density * p);
        c.impostor[bin_at(x)] = (uint32_t)lround(1e6 * density * (1 - p));
        c.n_genuine += c.genuine[bin_at(x)];
        c.n_impostor += c.impostor[bin_at(x)];
    }
    double got_slope, got_midpoint;
    mien_eval_calibrate(&c, &got_slope, &got_midpoint);
    assert_true(fabs(got_slope - slope) < 0.1 && fabs(got_midpoint - midpoint) < 0.003);
    mien_score_counts_free(&c);
}

static void page_is_whole_and_escaped(void **state)
{
    (void)state;
    const struct mien_embeddings em = random_embeddings();
    struct mien_score_counts c;
    struct mien_buf b;
    struct mien_eval_report r = {.model = "<m&>", .type = "f32", .detector = "d", .pack = "p", .pairs_file = "pairs.txt", .face = "center", .folds = 10};
    assert_int_equal(mien_eval_all_pairs(&em, 1, &c, NULL), MIEN_OK);
    r.at[0] = mien_eval_at_fmr(&c, 1e-2);
    mien_buf_init(&b, 16 << 20);
    mien_eval_html(&b, &r, &c);
    assert_false(b.failed);
    assert_non_null(strstr(b.data, "<polyline"));
    assert_non_null(strstr(b.data, "&lt;m&amp;>"));
    assert_null(strstr(b.data, "<m&"));
    assert_null(strstr(b.data, "http"));
    assert_non_null(strstr(b.data, "</body></html>"));
    assert_null(strstr(b.data, "nan"));
    mien_buf_free(&b);
    mien_score_counts_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_read), cmocka_unit_test(headers_of_one_line_and_none), cmocka_unit_test(bad_pairs_are_refused),
        cmocka_unit_test(all_pairs_agree_with_brute_force), cmocka_unit_test(thresholds_keep_the_false_match_rate),
        cmocka_unit_test(wilson_interval_has_known_values), cmocka_unit_test(folds_are_judged_by_the_others),
        cmocka_unit_test(calibration_finds_the_curve_it_was_made_from), cmocka_unit_test(page_is_whole_and_escaped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
