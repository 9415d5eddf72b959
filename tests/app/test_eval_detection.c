/* Which boxes are right, by examples small enough to be judged by eye; average precision computed by hand; the format of the labels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/eval_detection.h"

static struct mien_face_label face(float x, float y, float w, float h)
{
    return (struct mien_face_label){.box = {x, y, x + w, y + h}, .shorter_side = w < h ? w : h};
}

static struct mien_judged_box box(float score, float x, float y, float w, float h)
{
    return (struct mien_judged_box){.box = {x, y, x + w, y + h}, .score = score};
}

static struct mien_detection_counts judged(struct mien_face_label *f, size_t n_faces, struct mien_judged_box *b, size_t n, float min_side)
{
    const struct mien_photo_labels labels = {.file = "a.jpg", .line = 1, .face = f, .n = n_faces};
    const struct mien_detection_rules rules = {.iou = 0.5f, .min_side = min_side};
    struct mien_detection_counts c = {0};
    struct mien_err e = {0};
    assert_int_equal(mien_eval_judge_boxes(&labels, &rules, b, n, &c, &e), MIEN_OK);
    assert_int_equal(c.photos, 1);
    assert_int_equal(c.boxes, n);
    assert_int_equal(c.faces + c.ignored, n_faces);
    assert_int_equal(c.found + c.false_boxes + c.boxes_on_ignored, n);
    return c;
}

/* ---- one photo ---- */

static void one_box_finds_one_face(void **state)
{
    (void)state;
    struct mien_face_label f[] = {face(0, 0, 100, 100), face(200, 0, 100, 100), face(400, 0, 100, 100)};
    struct mien_judged_box b[] = {box(0.7f, 0, 0, 100, 100), box(0.9f, 0, 0, 100, 80), box(0.8f, 210, 0, 100, 100), box(0.6f, 700, 0, 100, 100)};
    const struct mien_detection_counts c = judged(f, 3, b, 4, 16);
    assert_int_equal(c.found, 2);
    assert_int_equal(c.false_boxes, 2);
    assert_int_equal(c.photos_with_faces, 1);
    assert_int_equal(c.photos_missed, 0);
    /* By falling score; the surest takes the face although another box is nearer to it. */
    static const float score[] = {0.9f, 0.8f, 0.7f, 0.6f};
    static const enum mien_box_verdict verdict[] = {MIEN_BOX_RIGHT, MIEN_BOX_RIGHT, MIEN_BOX_FALSE, MIEN_BOX_FALSE};
    for (int i = 0; i < 4; i++) {
        assert_true(b[i].score == score[i]);
        assert_int_equal(b[i].verdict, verdict[i]);
    }
}

static void one_face_is_found_by_one_box(void **state)
{
    (void)state;
    /* Both faces overlap the box by more than half; it finds the one that it is nearer to, the other is missed. */
    struct mien_face_label f[] = {face(0, 0, 100, 100), face(20, 0, 100, 100)};
    struct mien_judged_box b[] = {box(0.9f, 15, 0, 100, 100), box(0.8f, 15, 0, 100, 100)};
    struct mien_detection_counts c = judged(f, 2, b, 1, 16);
    assert_int_equal(c.found, 1);
    assert_int_equal(c.center_found, 1);
    c = judged(f, 2, b, 2, 16); /* a second box there finds the other */
    assert_int_equal(c.found, 2);
    assert_int_equal(c.center_found, 2);
    assert_int_equal(c.false_boxes + c.center_false_boxes, 0);
}

static void overlap_is_over_union(void **state)
{
    (void)state;
    struct mien_face_label f[] = {face(0, 0, 40, 40)};
    struct mien_judged_box half[] = {box(0.9f, 0, 0, 40, 20)};
    assert_int_equal(judged(f, 1, half, 1, 16).found, 1); /* exactly 0.5 */
    struct mien_judged_box less[] = {box(0.9f, 0, 0, 40, 19)};
    assert_int_equal(judged(f, 1, less, 1, 16).found, 0);
    struct mien_judged_box around[] = {box(0.9f, 0, 0, 40, 80)};
    assert_int_equal(judged(f, 1, around, 1, 16).found, 1);
    struct mien_judged_box beside[] = {box(0.9f, 40, 0, 40, 40), box(0.9f, -90, -90, 40, 40)};
    const struct mien_detection_counts c = judged(f, 1, beside, 2, 16);
    assert_int_equal(c.false_boxes, 2);
    assert_int_equal(c.photos_missed, 1);
}

static void small_and_invalid_faces_are_ignored(void **state)
{
    (void)state;
    struct mien_face_label f[] = {face(0, 0, 16, 40), face(100, 0, 15.9f, 40), face(200, 0, 60, 60), face(300, 0, 60, 60)};
    f[2].invalid = true;
    struct mien_judged_box b[] = {box(0.9f, 200, 0, 60, 60), box(0.8f, 205, 0, 60, 60), box(0.7f, 100, 0, 16, 40), box(0.6f, 500, 0, 60, 60)};
    struct mien_detection_counts c = judged(f, 4, b, 4, 16);
    assert_int_equal(c.faces, 2); /* 16 pixels are enough */
    assert_int_equal(c.ignored, 2);
    assert_int_equal(c.found, 0);
    assert_int_equal(c.boxes_on_ignored, 3); /* two of them on one face */
    assert_int_equal(c.false_boxes, 1);
    assert_int_equal(c.center_false_boxes, 1);
    c = judged(f, 4, b, 4, 70);
    assert_int_equal(c.faces, 0);
    assert_int_equal(c.photos_with_faces, 0);
    assert_int_equal(c.photos_missed, 0);
    c = judged(f, 4, b, 4, 0);
    assert_int_equal(c.faces, 3);
    assert_int_equal(c.found, 1);
    assert_int_equal(c.boxes_on_ignored, 2);
}

static void a_face_that_counts_comes_first(void **state)
{
    (void)state;
    struct mien_face_label f[] = {face(0, 0, 100, 100), face(10, 0, 100, 100)};
    f[0].invalid = true;
    struct mien_judged_box b[] = {box(0.9f, 0, 0, 100, 100), box(0.8f, 0, 0, 100, 100)};
    const struct mien_detection_counts c = judged(f, 2, b, 2, 16);
    assert_int_equal(c.found, 1); /* although it overlaps the ignored one more */
    assert_int_equal(c.boxes_on_ignored, 1);
}

static void the_centre_is_another_rule(void **state)
{
    (void)state;
    struct mien_face_label f[] = {face(0, 0, 40, 40)}; /* centre 20, 20 */
    const struct { struct mien_judged_box b; bool overlaps, holds; } row[] = {
        {box(1, 0, 0, 20, 20), false, true},    /* half the side, the centre on its corner */
        {box(1, 0, 0, 19.9f, 20.1f), false, false}, /* beside the centre */
        {box(1, 11, 11, 19, 19), false, false}, /* less than half */
        {box(1, 0, 0, 80, 80), false, true},    /* twice */
        {box(1, 0, 0, 81, 80), false, false},
        {box(1, 0, 10, 160, 10), false, true},  /* the side is the root of the area */
        {box(1, 0, 0, 40, 40), true, true}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct mien_judged_box b = row[i].b;
        const struct mien_detection_counts c = judged(f, 1, &b, 1, 16);
        assert_int_equal(c.found, row[i].overlaps);
        assert_int_equal(c.center_found, row[i].holds);
        assert_int_equal(c.center_false_boxes, !row[i].holds);
    }
}

static void the_nearest_centre_is_taken(void **state)
{
    (void)state;
    /* The first box holds both centres and is nearer to the second face; the second box holds the first one's only. */
    struct mien_face_label f[] = {face(0, 0, 40, 40), face(20, 0, 40, 40)};
    struct mien_judged_box b[] = {box(0.9f, 12, 0, 44, 44), box(0.8f, -6, 0, 40, 40)};
    const struct mien_detection_counts c = judged(f, 2, b, 2, 16);
    assert_int_equal(c.center_found, 2);
    struct mien_judged_box empty = {.score = 1};
    assert_int_equal(judged(f, 2, &empty, 1, 16).false_boxes, 1);
    assert_int_equal(judged(NULL, 0, b, 2, 16).false_boxes, 2);
    assert_int_equal(judged(f, 2, NULL, 0, 16).photos_missed, 1);
}

/* ---- average precision ---- */

static double precision_with(const char *verdicts, const float *score, uint64_t faces, double interval[2])
{
    struct mien_judged_box b[16];
    struct mien_err e = {0};
    const size_t n = strlen(verdicts);
    const uint64_t of_photo[2] = {faces, 0};
    double ap;
    for (size_t i = 0; i < n; i++) {
        /* Backwards: the order that they come in does not matter. */
        b[n - 1 - i] = box(score != NULL ? score[i] : 1.0f - 0.05f * (float)i, (float)(i % 3), (float)i, 10, 10);
        b[n - 1 - i].verdict = verdicts[i] == 'r' ? MIEN_BOX_RIGHT : verdicts[i] == 'f' ? MIEN_BOX_FALSE : MIEN_BOX_ON_IGNORED;
        b[n - 1 - i].photo = verdicts[i] == 'f'; /* the second photo has nothing but false boxes */
    }
    const struct mien_judged_photos all = {b, n, of_photo, 2};
    assert_int_equal(mien_eval_average_precision(&all, &ap, interval, interval != NULL ? interval + 1 : NULL, &e), MIEN_OK);
    return ap;
}

static double precision_of(const char *verdicts, const float *score, uint64_t faces) { return precision_with(verdicts, score, faces, NULL); }

/* Samples of two photos: the first alone gives 1, both give 3/4, the second alone has no faces and is no sample. */
static void average_precision_has_an_interval(void **state)
{
    (void)state;
    double interval[2];
    assert_float_equal(precision_with("frrr", NULL, 3, interval), 0.75, 1e-12);
    assert_float_equal(interval[0], 0.75, 1e-12);
    assert_float_equal(interval[1], 1.0, 1e-12);
    assert_true(isnan(precision_with("ff", NULL, 0, interval)) && isnan(interval[0]) && isnan(interval[1]));
}

static void average_precision_by_hand(void **state)
{
    (void)state;
    static const float tied[] = {0.9f, 0.9f, 0.5f, 0.5f}, half_tied[] = {0.9f, 0.8f, 0.8f, 0.8f};
    const struct { const char *verdicts; const float *score; uint64_t faces; double ap; } row[] = {
        {"rrrr", NULL, 4, 1.0},
        {"rr", NULL, 4, 0.5},                                 /* the rest is never found */
        {"rrff", NULL, 2, 1.0},                               /* false ones behind cost nothing */
        {"ffrr", NULL, 2, 0.5},                               /* 0, 0, 1/3, 2/4: the best from there on is 1/2 for both */
        {"frrr", NULL, 3, 0.75},                              /* 0, 1/2, 2/3, 3/4 */
        {"rfrffr", NULL, 4, 0.25 * (1 + 2.0 / 3.0 + 0.5)},    /* 1, 1/2, 2/3, 1/2, 2/5, 3/6 */
        {"rifrififr", NULL, 4, 0.25 * (1 + 2.0 / 3.0 + 0.5)}, /* the same with boxes on ignored faces */
        {"frrf", tied, 2, 0.5},                               /* 1/2 at recall 1/2, 2/4 at recall 1, whatever stands first */
        {"rfrr", half_tied, 3, (1 + 0.75 + 0.75) / 3.0},      /* 1 at 1/3, then 3/4 at 1 */
        {"ff", NULL, 3, 0}, {"", NULL, 3, 0}, {"i", NULL, 1, 0}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) assert_float_equal(precision_of(row[i].verdicts, row[i].score, row[i].faces), row[i].ap, 1e-12);
    assert_true(isnan(precision_of("ff", NULL, 0)));
}

/* ---- labels ---- */

static struct mien_arena *arena;

static enum mien_code parsed(const char *text, size_t n, size_t limit, struct mien_detection_labels *l, struct mien_err *e)
{
    /* A copy without anything behind it, for the sanitizer. */
    char *copy = malloc(n + (n == 0));
    assert_non_null(copy);
    memcpy(copy, text, n);
    mien_arena_free(&arena);
    arena = mien_arena_create(16 << 20);
    assert_non_null(arena);
    const enum mien_code code = mien_detection_labels_parse(copy, n, limit, arena, l, e);
    free(copy);
    return code;
}

static const char EXAMPLE[] = "0--Parade/0_Parade_1.jpg\n2\n449 330 122 149 0 0 0 0 0 0 \n78 221 7 8 2 0 0 1 0 0 \n"
                              "nobody here.jpg\r\n0\r\n0 0 0 0 0 0 0 0 0 0 \r\n"
                              "\n..b/c../d..jpg\n 1 \n\t-3.5 2e1 0 12\n"
                              "d.jpg\n0\ne.jpg\n1\n1 2 3.25 4";

static void labels_are_read(void **state)
{
    (void)state;
    struct mien_detection_labels l;
    struct mien_err e = {0};
    assert_int_equal(parsed(EXAMPLE, sizeof EXAMPLE - 1, 0, &l, &e), MIEN_OK);
    assert_int_equal(l.n, 5);
    assert_string_equal(l.photo[0].file, "0--Parade/0_Parade_1.jpg");
    assert_int_equal(l.photo[0].n, 2);
    const struct mien_face_label *f = l.photo[0].face;
    assert_true(f[0].box.x0 == 449 && f[0].box.y0 == 330 && f[0].box.x1 == 571 && f[0].box.y1 == 479 && f[0].shorter_side == 122 && !f[0].invalid);
    assert_true(f[1].shorter_side == 7 && f[1].invalid);
    assert_string_equal(l.photo[1].file, "nobody here.jpg");
    assert_int_equal(l.photo[1].line, 5);
    assert_int_equal(l.photo[1].n, 0);
    assert_string_equal(l.photo[2].file, "..b/c../d..jpg");
    f = l.photo[2].face;
    assert_true(f[0].box.x0 == -3.5f && f[0].box.y0 == 20 && f[0].box.y1 == 32 && f[0].invalid); /* no width: nothing to find */
    assert_string_equal(l.photo[3].file, "d.jpg");
    assert_int_equal(l.photo[3].n, 0);
    assert_string_equal(l.photo[4].file, "e.jpg");
    assert_true(l.photo[4].face[0].shorter_side == 3.25f);
    assert_int_equal(parsed("\xef\xbb\xbf" "a.jpg\n0\n", 11, 0, &l, &e), MIEN_OK);
    assert_string_equal(l.photo[0].file, "a.jpg");
}

static void a_limit_is_spread_over_the_file(void **state)
{
    (void)state;
    struct mien_detection_labels l;
    struct mien_err e = {0};
    assert_int_equal(parsed(EXAMPLE, sizeof EXAMPLE - 1, 2, &l, &e), MIEN_OK);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.photo[0].file, "0--Parade/0_Parade_1.jpg");
    assert_string_equal(l.photo[1].file, "..b/c../d..jpg");
    assert_int_equal(parsed(EXAMPLE, sizeof EXAMPLE - 1, 6, &l, &e), MIEN_OK);
    assert_int_equal(l.n, 5);
}

static void bad_labels_are_named_by_their_line(void **state)
{
    (void)state;
    static const struct { const char *text, *says; } row[] = {
        {"", "line 1: no photos"}, {"\n \n\t\r\n", "line 1: no photos"},
        {"a.jpg\n", "line 1: the file ends before the number"},
        {"\na.jpg\nb.jpg\n1\n1 2 3 4\n", "line 3: not the number"},
        {"a.jpg\n-1\n1 2 3 4\n", "line 2: not the number"}, {"a.jpg\n1.5\n1 2 3 4\n", "line 2: not the number"},
        {"a.jpg\n1 1\n1 2 3 4\n", "line 2: not the number"}, {"a.jpg\n1x\n1 2 3 4\n", "line 2: not the number"},
        {"a.jpg\n0x1\n1 2 3 4\n", "line 2: not the number"}, {"a.jpg\nnan\n", "line 2: not the number"},
        {"a.jpg\n1000000\n1 2 3 4\n", "line 2: the file ends before so many faces"},
        {"a.jpg\n2\n1 2 3 4\n", "line 2: the file ends"}, {"a.jpg\n2\n1 2 3 4 0 0 0 0 0 0\n\n", "line 2: the file ends after 1 of 2 faces"},
        {"a.jpg\n1\nb.jpg 1 2\n", "line 3: a face is x y w h"},
        {"a.jpg\n1\n1 2 3 4 5\n", "line 3: a face is x y w h"}, {"a.jpg\n1\n1 2 3\nb.jpg\n", "line 3: a face is x y w h"},
        {"a.jpg\n1\n1 2 3 4 0 0 0 0 0 0 0\n", "line 3: a face is x y w h"}, {"a.jpg\n1\n1 2 inf 4\n", "line 3: a face is x y w h"},
        {"a.jpg\n1\n1 2 1e9 4\n", "line 3: a face is x y w h"}, {"a.jpg\n1\n1 2 1e999 4\n", "line 3: a face is x y w h"},
        {"a.jpg\n1\n1 2 0x10 4\n", "line 3: a face is x y w h"}, {"a.jpg\n1\n1,2,3,4\n", "line 3: a face is x y w h"},
        {"a.jpg\n1\n1 2 3 00000000000000000000000000000000000004\n", "line 3: a face is x y w h"},
        {"a.jpg\n2\n1 2 3 4\n1 2 -3 4\n", "line 4: the width or height"}, {"a.jpg\n1\n1 2 3 -4\n", "line 3: the width or height"},
        {"a.jpg\n1\n1 2 3 4 0 0 0 2 0 0\n", "line 3: number 8 (invalid)"},
        {"/etc/a.jpg\n0\n", "line 1: not a file within"}, {"..\n0\n", "line 1: not a file within"}, {"../a.jpg\n0\n", "line 1: not a file within"},
        {"a/../../b.jpg\n0\n", "line 1: not a file within"}, {"a/..\n0\n", "line 1: not a file within"}, {"a\033[1m.jpg\n0\n", "line 1: not a file within"},
        {"a.jpg\n0\nb.jpg\n0\na.jpg\n0\n", "line 5: the photo of line 1 again"}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct mien_detection_labels l;
        struct mien_err e = {0};
        assert_int_equal(parsed(row[i].text, strlen(row[i].text), 0, &l, &e), MIEN_E_ARG);
        assert_string_equal(strstr(e.msg, "labels: ") == e.msg ? "" : e.msg, "");
        if (strstr(e.msg, row[i].says) != e.msg + 8) fail_msg("%s: not %s", e.msg, row[i].says);
        assert_int_equal(l.n, 0);
    }
    struct mien_detection_labels l;
    struct mien_err e = {0};
    assert_int_equal(parsed("a\0.jpg\n0\n", 9, 0, &l, &e), MIEN_E_ARG);
    char longer[1100];
    memset(longer, 'a', sizeof longer);
    memcpy(longer + sizeof longer - 3, "\n0\n", 3);
    assert_int_equal(parsed(longer, sizeof longer, 0, &l, &e), MIEN_E_ARG);
}

/* Cut anywhere, or with one byte changed: an answer or an error with a line, nothing else. */
static void no_labels_are_too_strange(void **state)
{
    (void)state;
    static const char other[] = {'\0', '\n', ' ', '9', '-', '.', 'e', '/', '\xff'};
    struct mien_detection_labels l;
    char changed[sizeof EXAMPLE];
    for (size_t i = 0; i < sizeof EXAMPLE - 1; i++) {
        struct mien_err e = {0};
        if (parsed(EXAMPLE, i, 0, &l, &e) != MIEN_OK) assert_non_null(strstr(e.msg, "line "));
        for (size_t k = 0; k < sizeof other; k++) {
            memcpy(changed, EXAMPLE, sizeof changed);
            changed[i] = other[k];
            if (parsed(changed, sizeof EXAMPLE - 1, 3, &l, &e) != MIEN_OK) assert_non_null(strstr(e.msg, "line "));
        }
    }
    mien_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_box_finds_one_face),
        cmocka_unit_test(one_face_is_found_by_one_box),
        cmocka_unit_test(overlap_is_over_union),
        cmocka_unit_test(small_and_invalid_faces_are_ignored),
        cmocka_unit_test(a_face_that_counts_comes_first),
        cmocka_unit_test(the_centre_is_another_rule),
        cmocka_unit_test(the_nearest_centre_is_taken),
        cmocka_unit_test(average_precision_by_hand), cmocka_unit_test(average_precision_has_an_interval),
        cmocka_unit_test(labels_are_read),
        cmocka_unit_test(a_limit_is_spread_over_the_file),
        cmocka_unit_test(bad_labels_are_named_by_their_line),
        cmocka_unit_test(no_labels_are_too_strange)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
