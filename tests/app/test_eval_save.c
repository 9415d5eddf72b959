/* What a measurement leaves in a manifest: the curve, the slope, and the edit of the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/eval.h"
#include "base/file.h"
#include "codec/json.h"
#include "face/models.h"

#define DETECTOR(id)                                                                                                                                 \
    "{\"id\":\"" id "\",\"task\":\"detect\",\"file\":\"d.onnx\",\"input\":{\"width\":640,\"height\":640,\"channels\":\"bgr\"},"                       \
    "\"crop\":{\"kind\":\"letterbox\"},\"decoder\":\"ssd\",\"sizes\":[640],\"score_threshold\":0.5,\"nms_iou\":0.4,"                                  \
    "\"outputs\":{\"boxes\":\"a\",\"scores\":\"b\"}}"
#define EMBEDDER(threshold)                                                                                                                          \
    "{\"id\":\"e\", \"task\":\"embed\",\"file\":\"e.onnx\",\"input\":{\"width\":112,\"height\":112,\"channels\":\"rgb\",\"mean\":[127.50]}," \
    "\"crop\":{\"kind\":\"align\",\"points\":\"five\",\"template\":[1,2,3,4,5,6,7,8,9,10]},\"dim\":4,\"outputs\":{\"embedding\":\"o\"}," threshold "}"
#define PACK(threshold)                                                                                                                              \
    " {\"version\": 1,\"pack\":\"t\", \"roles\":{\"embed\":\"e\",\"detect\":\"d\"},\"models\":[" DETECTOR("d") "," DETECTOR("d2")           \
    ",\n\t" threshold "],\"end\":1.0} \n"
#define OLD "{\"similarity\":0.3,\"fmr\":0,\"detector\":\"d\",\"slope\":14, \"note\":\"x\"}"
#define OTHER "{\"similarity\":0.40,\"detector\":\"d2\",\"slope\":1e1}"
#define FIGURE(measure, set, conditions)                                                                                                             \
    "{\"measure\":\"" measure "\",\"set\":\"" set "\",\"n\":7,\"value\":0.50,\"low\":0.2,\"high\":0.9,\"unit\":\"rate\"" conditions "}"

/* ---- the curve and the slope ---- */

static struct mien_score_counts normal_counts(uint64_t n)
{
    /* Impostors about 0, genuine about 0.5, in bins of 1/1024. */
    struct mien_score_counts c = {calloc(MIEN_EVAL_BINS, sizeof *c.genuine), calloc(MIEN_EVAL_BINS, sizeof *c.impostor), 0, 0, 0, 0};
    for (int i = -512; i < 1000; i++) {
        const double x = i / 1024.0;
        const int bin = (int)((x + 1) * (MIEN_EVAL_BINS / 2));
        c.impostor[bin] = (uint32_t)lround((double)n / 1024 / 0.1 * 0.3989 * exp(-x * x / 0.02));
        c.genuine[bin] = (uint32_t)lround((double)n / 1024 / 0.1 * 0.3989 * exp(-(x - 0.5) * (x - 0.5) / 0.02));
        c.n_impostor += c.impostor[bin];
        c.n_genuine += c.genuine[bin];
    }
    return c;
}

static void the_curve_goes_as_far_as_there_are_errors(void **state)
{
    (void)state;
    struct mien_score_counts c = normal_counts(10000000);
    struct mien_eval_curve curve;
    mien_eval_curve(&c, 1e-4, &curve);
    assert_in_range(curve.n, MIEN_EVAL_CURVE - 4, MIEN_EVAL_CURVE);
    assert_true(curve.point[0].fmr <= 0.5 && curve.point[0].fmr > 0.45);
    bool asked = false;
    for (int i = 0; i < curve.n; i++) {
        const struct mien_rate_point again = mien_eval_at_threshold(&c, curve.point[i].threshold);
        assert_true(curve.point[i].false_matches >= MIEN_EVAL_CURVE_ERRORS && again.false_matches == curve.point[i].false_matches);
        assert_true(i == 0 || (curve.point[i].threshold > curve.point[i - 1].threshold && curve.point[i].fmr <= curve.point[i - 1].fmr));
        asked = asked || curve.point[i].fmr_target == 1e-4;
    }
    assert_true(asked);
    assert_true(curve.point[curve.n - 1].false_matches < 40);
    mien_eval_curve(&c, 1e-9, &curve); /* what is out of reach changes nothing */
    assert_true(curve.n >= MIEN_EVAL_CURVE - 4);
    c.n_impostor = 19;
    mien_eval_curve(&c, 1e-4, &curve);
    assert_int_equal(curve.n, 0);
    c.n_impostor = 0;
    mien_eval_curve(&c, 1e-4, &curve);
    assert_int_equal(curve.n, 0);
    mien_score_counts_free(&c);
}

static void the_median_has_a_confidence_of_99_percent(void **state)
{
    (void)state;
    struct mien_score_counts c = normal_counts(1000000);
    const double median = mien_eval_median_genuine(&c);
    assert_true(fabs(median - 0.5) < 0.002);
    const double slope = mien_eval_confidence_slope(median, 0.2);
    assert_true(fabs(1 / (1 + exp(-slope * (median - 0.2))) - 0.99) < 1e-9);
    assert_true(isnan(mien_eval_confidence_slope(0.2, 0.2)) && isnan(mien_eval_confidence_slope((double)NAN, 0.2)));
    memset(c.genuine, 0, MIEN_EVAL_BINS * sizeof *c.genuine);
    assert_true(isnan(mien_eval_median_genuine(&c)));
    c.genuine[7] = 2;
    c.genuine[9] = 1;
    c.missed_genuine = 100; /* have no similarity */
    assert_true(mien_eval_median_genuine(&c) == mien_eval_bin_edge(7));
    c.genuine[9] = 3;
    assert_true(mien_eval_median_genuine(&c) == mien_eval_bin_edge(9));
    mien_score_counts_free(&c);
}

static void comparisons_of_different_people_are_counted(void **state)
{
    (void)state;
    uint32_t person[7] = {0, 0, 1, 2, 2, 2, 3};
    const struct mien_pairs p = {.person = person, .n_images = 7};
    uint64_t n = 0;
    for (int i = 0; i < 7; i++)
        for (int k = 0; k < i; k++) n += person[i] != person[k];
    assert_int_equal(mien_pairs_impostor(&p), n);
}

/* ---- the edit ---- */

static struct mien_eval_report report_of(const char *detector)
{
    struct mien_eval_report r = {.model = "e", .detector = detector, .pairs = 1000, .genuine = 500, .accuracy = {0.99, 0.001, 0.25}, .slope_confidence = 13.75};
    r.at_fmr = (struct mien_rate_point){.fmr_target = 1e-3, .threshold = 0.28125, .measurable = true};
    r.at[1] = (struct mien_rate_point){.fnmr = 0.02, .fnmr_low = 0.01, .fnmr_high = 0.04, .measurable = true};
    r.at[2] = (struct mien_rate_point){.fnmr = 0.5, .fnmr_high = 1, .measurable = false};
    r.curve.n = 2;
    r.curve.point[0] = (struct mien_rate_point){.threshold = 0.125, .fmr = 0.1, .fnmr = 0.001};
    r.curve.point[1] = (struct mien_rate_point){.threshold = 0.5, .fmr = 1e-5, .fnmr = 0.25};
    return r;
}

#define NEW(detector)                                                                                                                                \
    "{\"similarity\":0.28125,\"fmr\":0.001,\"detector\":\"" detector "\",\"slope\":13.75,\"curve\":[[0.125,0.1,0.001],[0.5,1e-05,0.25]],\"saved\":true}"
#define ACCURACY(detector)                                                                                                                           \
    "{\"measure\":\"accuracy\",\"set\":\"LFW\",\"n\":1000,\"value\":0.99,\"low\":0.981691,\"high\":0.994559,\"unit\":\"rate\","                       \
    "\"conditions\":\"faces found by " detector "\",\"saved\":true}"
#define TAR(detector)                                                                                                                                \
    "{\"measure\":\"TAR at FMR 1e-3\",\"set\":\"LFW\",\"n\":500,\"value\":0.98,\"low\":0.96,\"high\":0.99,\"unit\":\"rate\","                         \
    "\"conditions\":\"faces found by " detector "\",\"saved\":true}"
#define BY(detector) ",\"conditions\":\"faces found by " detector "\""

static void becomes(const char *old, const char *detector, const char *wanted)
{
    const struct mien_eval_report r = report_of(detector);
    const struct mien_eval_saving s = {"", "", "LFW", &r};
    struct mien_buf b;
    struct mien_err e = {0};
    mien_buf_init(&b, 1 << 20);
    if (mien_eval_edit(old, strlen(old), &s, &b, &e) != MIEN_OK) fail_msg("%s", e.msg);
    assert_string_equal(b.data, wanted);
    mien_buf_free(&b);
}

static void an_entry_of_the_same_detector_is_replaced(void **state)
{
    (void)state;
    becomes(PACK(EMBEDDER("\"threshold\": " OLD)), "d",
            PACK(EMBEDDER("\"threshold\": " NEW("d") ",\n   \"measured\": [\n    " ACCURACY("d") ",\n    " TAR("d") "\n   ]")));
    becomes(PACK(EMBEDDER("\"threshold\": [" OTHER " , " OLD "]")), "d",
            PACK(EMBEDDER("\"threshold\": [\n    " OTHER ",\n    " NEW("d") "\n   ],\n   \"measured\": [\n    " ACCURACY("d") ",\n    " TAR("d") "\n   ]")));
}

static void a_second_detector_makes_a_list(void **state)
{
    (void)state;
    becomes(PACK(EMBEDDER("\"measured\": [" FIGURE("accuracy", "LFW", BY("d")) "],\"threshold\": " OLD ",\"after\":null")), "d2",
            PACK(EMBEDDER("\"measured\": [\n    " FIGURE("accuracy", "LFW", BY("d")) ",\n    " ACCURACY("d2") ",\n    " TAR("d2")
                          "\n   ],\"threshold\": [\n    " OLD ",\n    " NEW("d2") "\n   ],\"after\":null")));
}

static void figures_of_other_sets_and_conditions_stay(void **state)
{
    (void)state;
    becomes(PACK(EMBEDDER("\"threshold\": " OLD ", \"measured\" : [" FIGURE("accuracy", "IJB", BY("d")) ","
                          FIGURE("TAR at FMR 1e-3", "LFW", BY("d")) "," FIGURE("accuracy", "LFW", "") "," FIGURE("TAR at FMR 1e-4", "LFW", BY("d")) "]")), "d",
            PACK(EMBEDDER("\"threshold\": " NEW("d") ", \"measured\" : [\n    " FIGURE("accuracy", "IJB", BY("d")) ",\n    " TAR("d")
                          ",\n    " FIGURE("accuracy", "LFW", "") ",\n    " FIGURE("TAR at FMR 1e-4", "LFW", BY("d")) ",\n    " ACCURACY("d") "\n   ]")));
    becomes(PACK(EMBEDDER("\"threshold\": " OLD ", \"measured\" :null")), "d",
            PACK(EMBEDDER("\"threshold\": " NEW("d") ", \"measured\" :[\n    " ACCURACY("d") ",\n    " TAR("d") "\n   ]")));
}

static void twice_is_once(void **state)
{
    (void)state;
    const struct mien_eval_report r = report_of("d2");
    const struct mien_eval_saving s = {"", "", "LFW", &r};
    struct mien_buf once;
    mien_buf_init(&once, 1 << 20);
    assert_int_equal(mien_eval_edit(PACK(EMBEDDER("\"threshold\": " OLD)), strlen(PACK(EMBEDDER("\"threshold\": " OLD))), &s, &once, NULL), MIEN_OK);
    becomes(once.data, "d2", once.data);
    mien_buf_free(&once);
}

static void refuses(const char *text, const struct mien_eval_saving *s, enum mien_code wanted, const char *says)
{
    struct mien_buf b;
    struct mien_err e = {0};
    mien_buf_init(&b, 1 << 20);
    const enum mien_code code = mien_eval_edit(text, strlen(text), s, &b, &e);
    if (code != wanted || strstr(e.msg, says) == NULL) fail_msg("expected \"%s\", got %s \"%s\"", says, mien_code_name(code), e.msg);
    mien_buf_free(&b);
}

static void what_cannot_be_saved_is_refused(void **state)
{
    (void)state;
    static const char good[] = PACK(EMBEDDER("\"threshold\": " OLD));
    struct mien_eval_report r = report_of("d");
    struct mien_eval_saving s = {"", "", "LFW", &r};
    refuses("", &s, MIEN_E_JSON, "JSON");
    refuses("[]", &s, MIEN_E_MANIFEST, "is not in the manifest any more");
    refuses("{\"models\":{}}", &s, MIEN_E_MANIFEST, "is not in the manifest any more");
    refuses(PACK(EMBEDDER("\"threshold\": 7")), &s, MIEN_E_MANIFEST, "is not where it can be edited");
    refuses(PACK(EMBEDDER("\"threshold\": [7]")), &s, MIEN_E_MANIFEST, "\"e\": threshold");
    refuses(PACK(EMBEDDER("\"threshold\": " OLD ",\"measured\":{}")), &s, MIEN_E_MANIFEST, "is not where it can be edited");
    refuses(PACK(EMBEDDER("\"thr\\u0065shold\": " OLD)), &s, MIEN_E_MANIFEST, "is not where it can be edited");
    refuses(PACK(EMBEDDER("\"threshold\": " OLD ",\"m\\u0065asured\":[]")), &s, MIEN_E_MANIFEST, "is not where it can be edited");
    refuses(PACK(EMBEDDER("\"limit\": " OLD)), &s, MIEN_E_MANIFEST, "is not where it can be edited");
    s.sha256 = "ab";
    refuses(good, &s, MIEN_E_MANIFEST, "was changed while it was measured");
    s.sha256 = "";
    r.model = "x";
    refuses(good, &s, MIEN_E_MANIFEST, "\"x\": is not in the manifest any more");
    r.model = "e";
    r.curve.n = 0;
    refuses(good, &s, MIEN_E_ARG, "too few");
    r.curve.n = 2;
    r.slope_confidence = (double)NAN;
    refuses(good, &s, MIEN_E_ARG, "nothing of a confidence");
    r.slope_confidence = 13.75;
    r.curve.point[1].fmr = 0.2; /* rises: no grammar takes it */
    refuses(good, &s, MIEN_E_MANIFEST, "curve");
}

static void lists_are_not_made_too_long(void **state)
{
    (void)state;
    const struct mien_eval_report r = report_of("d");
    const struct mien_eval_saving s = {"", "", "LFW", &r};
    char list[2048] = "", text[8192];
    size_t n = 0;
    for (int i = 0; i < 8; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s{\"similarity\":0.4,\"detector\":\"x%d\",\"slope\":10}", i > 0 ? "," : "", i);
    snprintf(text, sizeof text, "%s%s%s", "{\"version\":1,\"pack\":\"t\",\"roles\":{},\"models\":[{\"id\":\"e\",\"threshold\":[", list, "]}]}");
    refuses(text, &s, MIEN_E_ARG, "there is room for 8 thresholds and 16 figures");
}

/* ---- files ---- */

static void the_file_is_replaced_or_stays(void **state)
{
    (void)state;
    static const char good[] = PACK(EMBEDDER("\"threshold\": " OLD));
    char dir[] = "/tmp/mien-save-XXXXXX", path[64];
    struct mien_eval_report r = report_of("d");
    struct mien_err e = {0};
    unsigned char *text;
    size_t n;
    struct stat st;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/manifest.json", dir);
    const struct mien_eval_saving s = {path, "", "LFW", &r};
    assert_int_equal(mien_eval_save(&s, &e), MIEN_E_IO);
    assert_int_equal(mien_file_write(path, good, strlen(good), &e), MIEN_OK);
    assert_int_equal(chmod(path, 0604), 0);
    r.model = "x";
    assert_int_equal(mien_eval_save(&s, &e), MIEN_E_MANIFEST);
    assert_int_equal(mien_file_read(path, 100000, &text, &n, &e), MIEN_OK);
    assert_string_equal((char *)text, good);
    free(text);
    r.model = "e";
    assert_int_equal(mien_eval_save(&s, &e), MIEN_OK);
    assert_true(stat(path, &st) == 0 && (st.st_mode & 0777) == 0604);
    assert_int_equal(mien_file_read(path, 100000, &text, &n, &e), MIEN_OK);
    assert_non_null(strstr((char *)text, NEW("d")));
    free(text);
    unlink(path);
    assert_int_equal(rmdir(dir), 0);
}

static void too_few_comparisons_are_said_beforehand(void **state)
{
    (void)state;
    struct mien_err e = {0};
    char dir[] = "/tmp/mien-save-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/manifest.json", dir);
    assert_int_equal(mien_file_write(path, "{}", 2, &e), MIEN_OK);
    assert_int_equal(mien_eval_may_save(path, 1e-4, 300000, &e), MIEN_OK);
    assert_int_equal(mien_eval_may_save(path, 1e-4, 299000, &e), MIEN_E_ARG);
    assert_non_null(strstr(e.msg, "--fmr 0.00011 would do"));
    assert_int_equal(mien_eval_may_save(path, 0.00011, 299000, &e), MIEN_OK);
    assert_int_equal(mien_eval_may_save(path, 0.5, 59, &e), MIEN_E_ARG);
    assert_non_null(strstr(e.msg, "at least 60"));
    assert_int_equal(mien_eval_may_save(path, 0.5, 0, &e), MIEN_E_ARG);
    unlink(path);
    assert_int_equal(mien_eval_may_save(path, 0.5, 60, &e), MIEN_E_IO);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_curve_goes_as_far_as_there_are_errors), cmocka_unit_test(the_median_has_a_confidence_of_99_percent),
        cmocka_unit_test(comparisons_of_different_people_are_counted), cmocka_unit_test(an_entry_of_the_same_detector_is_replaced),
        cmocka_unit_test(a_second_detector_makes_a_list), cmocka_unit_test(figures_of_other_sets_and_conditions_stay), cmocka_unit_test(twice_is_once),
        cmocka_unit_test(what_cannot_be_saved_is_refused), cmocka_unit_test(lists_are_not_made_too_long),
        cmocka_unit_test(the_file_is_replaced_or_stays), cmocka_unit_test(too_few_comparisons_are_said_beforehand)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
