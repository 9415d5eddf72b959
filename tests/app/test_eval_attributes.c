/* Labels of single faces: what a CSV may say, on which line it is wrong, and counts and means of answers that are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app/eval_attributes.h"

static struct mien_arena *arena;

static int open_arena(void **state)
{
    (void)state;
    arena = mien_arena_create(1u << 30);
    return arena == NULL;
}

static int close_arena(void **state)
{
    (void)state;
    mien_arena_free(&arena);
    return 0;
}

static struct mien_attribute_labels labels(const char *text, const char *group, size_t limit)
{
    struct mien_attribute_labels l;
    struct mien_err e = {0};
    if (mien_attribute_labels_parse(text, strlen(text), group, limit, arena, &l, &e) != MIEN_OK) fail_msg("%s", e.msg);
    return l;
}

static bool near(double a, double b) { return fabs(a - b) < 1e-9; }

static void every_column(void **state)
{
    (void)state;
    const struct mien_attribute_labels l = labels("note,label,roll_deg,emotion,file,age,yaw_deg,gender,pitch_deg\n"
                                                  "x,Live,0,HAPPY,a.jpg,20.5,30,Male,0\n"
                                                  ",fake,,surprise,b c.jpg,,,female,\n",
                                                  NULL, 0);
    assert_int_equal(l.n, 2);
    assert_int_equal(l.left_out, 0);
    for (int i = 0; i < MIEN_CHOICES; i++) assert_true(l.has_choice[i]);
    for (int i = 0; i < MIEN_AMOUNTS; i++) assert_true(l.has_amount[i]);
    const struct mien_attribute_row *r = l.row;
    assert_string_equal(r[0].file, "a.jpg");
    assert_null(r[0].group);
    assert_true(near(r[0].amount[MIEN_AMOUNT_AGE], 20.5) && near(r[0].amount[MIEN_AMOUNT_YAW], -30)); /* theirs is to the other side */
    assert_true(near(r[0].amount[MIEN_AMOUNT_PITCH], 0) && near(r[0].amount[MIEN_AMOUNT_ROLL], 0));
    assert_true(r[0].choice[MIEN_CHOICE_GENDER] == 1 && r[0].choice[MIEN_CHOICE_EMOTION] == 1 && r[0].choice[MIEN_CHOICE_SPOOF] == 1);
    assert_int_equal(r[0].choice[MIEN_CHOICE_DEEPFAKE], -1);
    assert_string_equal(r[1].file, "b c.jpg");
    for (int i = 0; i < MIEN_AMOUNTS; i++) assert_true(isnan(r[1].amount[i]));
    assert_true(r[1].choice[MIEN_CHOICE_GENDER] == 0 && r[1].choice[MIEN_CHOICE_EMOTION] == 6 && r[1].choice[MIEN_CHOICE_DEEPFAKE] == 0);
    assert_int_equal(r[1].choice[MIEN_CHOICE_SPOOF], -1);
}

static void words_of_emotions(void **state)
{
    (void)state;
    const struct mien_attribute_labels l = labels("file,emotion\na,neutral\na,happy\na,happiness\na,sad\na,sadness\na,angry\na,anger\na,fear\na,fearful\n"
                                                  "a,disgust\na,disgusted\na,surprise\na,surprised\n", NULL, 0);
    static const int WANTED[13] = {0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6};
    assert_int_equal(l.n, 13);
    for (int i = 0; i < 13; i++) assert_int_equal(l.row[i].choice[MIEN_CHOICE_EMOTION], WANTED[i]);
}

static void what_is_left_out(void **state)
{
    (void)state;
    const struct mien_attribute_labels l = labels("file,label,age\na,live,\nb,uncertain,\nc,uncertain,30\nd,,40\ne,,\nf,real,50\n", NULL, 0);
    assert_int_equal(l.n, 4);
    assert_int_equal(l.left_out, 3); /* b and c for their label, e has none at all */
    assert_string_equal(l.row[1].file, "c");
    assert_true(l.has_choice[MIEN_CHOICE_SPOOF] && l.has_choice[MIEN_CHOICE_DEEPFAKE] && !l.has_choice[MIEN_CHOICE_GENDER]);
    assert_false(labels("file,label\na,live\n", NULL, 0).has_choice[MIEN_CHOICE_DEEPFAKE]);
}

static void limits_are_spread(void **state)
{
    (void)state;
    const char *text = "file,age\na,1\nb,2\nc,3\nd,4\ne,5\n";
    struct mien_attribute_labels l = labels(text, NULL, 2);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.row[0].file, "a");
    assert_string_equal(l.row[1].file, "c");
    assert_int_equal(labels(text, NULL, 9).n, 5);
}

static void refuses(const char *text, const char *group, const char *words)
{
    struct mien_attribute_labels l;
    struct mien_err e = {0};
    const enum mien_code code = mien_attribute_labels_parse(text, strlen(text), group, 0, arena, &l, &e);
    if (code != MIEN_E_ARG || strstr(e.msg, words) == NULL) fail_msg("%d, \"%s\"; wanted \"%s\"", code, e.msg, words);
}

static void bad_labels(void **state)
{
    (void)state;
    refuses("", NULL, "empty");
    refuses("a.jpg,20\nb.jpg,30\n", NULL, "line 1: no column \"file\"");
    refuses("file,path\na,b\n", NULL, "line 1: nothing to measure");
    refuses("file,yaw_deg,roll_deg\na,1,2\n", NULL, "line 1: a pose is");
    refuses("file,age\n", NULL, "no photos");
    refuses("file,age\na,\n", NULL, "none of the rows");
    refuses("file,label\na,uncertain\n", NULL, "none of the rows");
    refuses("file,age\na,20\n,30\n", NULL, "line 3: no file");
    refuses("file,age\na,20\nb,old\n", NULL, "line 3: age 'old' is not a number from 0 to 150");
    refuses("file,age\na,-1\n", NULL, "line 2: age '-1'");
    refuses("file,age\na,nan\n", NULL, "line 2: age 'nan'");
    refuses("file,age\na,20 years\n", NULL, "line 2: age '20 years'");
    refuses("file,gender\n\n\na,men\n", NULL, "line 4: gender 'men' is not male or female");
    refuses("file,gender\na,\"fe\nmale\"\n", NULL, "line 2: gender");
    refuses("file,emotion\na,happy\nb,contempt\n", NULL, "line 3: emotion 'contempt' is not neutral, happy");
    refuses("file,emotion\na,neutralneutralneutral\n", NULL, "line 2: emotion 'neutralneutralneutral'");
    refuses("file,pitch_deg,yaw_deg,roll_deg\na,1,2,3\nb,1,,3\n", NULL, "line 3: pitch_deg, yaw_deg and roll_deg: all three or none");
    refuses("file,pitch_deg,yaw_deg,roll_deg\na,1,181,3\n", NULL, "line 2: yaw_deg '181'");
    refuses("file,age\na,1\n", "place", "--group: no column \"place\"");
    refuses("file,age\na,1\n", "age,", "--group: no column \"\"");
    refuses("file,age\na,1\n", "age,age,age,age,age", "--group takes at most 4");
}

/* ---- tallies ---- */

static struct mien_attribute_seen said(double age, int emotion, double live)
{
    struct mien_attribute_seen s = {.face = true, .amount = {[MIEN_AMOUNT_AGE] = age}, .choice = {[MIEN_CHOICE_EMOTION] = emotion}};
    s.score[MIEN_CHOICE_SPOOF] = live;
    s.choice[MIEN_CHOICE_SPOOF] = live >= 0.5;
    return s;
}

static void counts_by_group(void **state)
{
    (void)state;
    const struct mien_attribute_labels l = labels("file,age,emotion,label,kind,sure\n"
                                                  "1,20,happy,live,b,x\n"   /* 4 years, right, right */
                                                  "2,30,happy,spoof,a,x\n"  /* 1 year, wrong, right */
                                                  "3,40,sad,spoof,,\n"      /* no face */
                                                  "4,50,,live,b,x\n"        /* 10 years, -, wrong */
                                                  "5,,sad,spoof,b,y\n",     /* -, right, wrong */
                                                  "kind,sure", 0);
    const struct mien_attribute_seen seen[5] = {said(24, 1, 0.9), said(29, 2, 0.25), {.face = false}, said(60, 3, 0.25), said(99, 2, 0.5)};
    struct mien_attribute_tally *t;
    size_t n;
    assert_int_equal(mien_attribute_tallies(&l, seen, arena, &t, &n, NULL), MIEN_OK);
    assert_int_equal(n, 5);
    static const char *const NAME[5] = {"all", "-, -", "a, x", "b, x", "b, y"};
    for (int i = 0; i < 5; i++) assert_string_equal(t[i].group, NAME[i]);
    const struct mien_choice_tally *emotion = &t[0].choice[MIEN_CHOICE_EMOTION], *spoof = &t[0].choice[MIEN_CHOICE_SPOOF];
    assert_true(t[0].n == 5 && t[0].no_face == 1);
    assert_true(emotion->n == 4 && emotion->right == 2 && emotion->no_face == 1 && emotion->of[1] == 2 && emotion->right_of[1] == 1 && emotion->of[2] == 2 &&
                emotion->right_of[2] == 1);
    assert_true(spoof->n == 5 && spoof->right == 2 && spoof->of[1] == 2 && spoof->right_of[1] == 1 && spoof->of[0] == 3 && spoof->right_of[0] == 1);
    assert_true(near(spoof->score, 0.9 + 0.25 + 0.25 + 0.5));
    assert_int_equal(t[0].choice[MIEN_CHOICE_GENDER].n, 0);
    assert_true(t[1].n == 1 && t[1].no_face == 1 && t[1].choice[MIEN_CHOICE_SPOOF].right == 0 && t[1].amount[MIEN_AMOUNT_AGE].n == 0);
    assert_true(t[3].n == 2 && t[3].amount[MIEN_AMOUNT_AGE].n == 2 && t[4].choice[MIEN_CHOICE_EMOTION].right == 1);
    /* 4, 1, 10: mean 5, s = sqrt(21), half = 1.96 sqrt(7) */
    struct mien_mean m = mien_attribute_mean(&t[0].amount[MIEN_AMOUNT_AGE]);
    assert_true(near(m.mean, 5) && m.low == 0 && fabs(m.high - 10.18559) < 1e-4);
    m = mien_attribute_mean(&t[2].amount[MIEN_AMOUNT_AGE]);
    assert_true(near(m.mean, 1) && isnan(m.low) && isnan(m.high));
    m = mien_attribute_mean(&t[1].amount[MIEN_AMOUNT_AGE]);
    assert_true(isnan(m.mean) && isnan(m.low) && isnan(m.high));
}

static void angles_go_around(void **state)
{
    (void)state;
    const struct mien_attribute_labels l = labels("file,pitch_deg,yaw_deg,roll_deg\na,0,0,170\nb,0,0,-5\n", NULL, 0);
    const struct mien_attribute_seen seen[2] = {{.face = true, .amount = {[MIEN_AMOUNT_ROLL] = -170}}, {.face = true, .amount = {[MIEN_AMOUNT_ROLL] = 5}}};
    struct mien_attribute_tally *t;
    size_t n;
    assert_int_equal(mien_attribute_tallies(&l, seen, arena, &t, &n, NULL), MIEN_OK);
    assert_int_equal(n, 1);
    assert_true(near(mien_attribute_mean(&t[0].amount[MIEN_AMOUNT_ROLL]).mean, 15) && near(mien_attribute_mean(&t[0].amount[MIEN_AMOUNT_YAW]).mean, 0));
}

static void too_many_groups(void **state)
{
    (void)state;
    enum { ROWS = MIEN_ATTRIBUTE_GROUPS + 1 };
    static char text[ROWS * 16] = "file,age\n";
    size_t at = strlen(text);
    for (int i = 0; i < ROWS; i++) at += (size_t)snprintf(text + at, sizeof text - at, "%d,20\n", i);
    struct mien_attribute_labels l = labels(text, "file", 0);
    struct mien_attribute_seen *seen = calloc(ROWS, sizeof *seen);
    struct mien_attribute_tally *t;
    size_t n;
    assert_non_null(seen);
    assert_int_equal(mien_attribute_tallies(&l, seen, arena, &t, &n, NULL), MIEN_E_LIMIT);
    l.n--;
    assert_int_equal(mien_attribute_tallies(&l, seen, arena, &t, &n, NULL), MIEN_OK);
    assert_int_equal(n, MIEN_ATTRIBUTE_GROUPS + 1);
    free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_column),     cmocka_unit_test(words_of_emotions), cmocka_unit_test(what_is_left_out),
                                       cmocka_unit_test(limits_are_spread), cmocka_unit_test(bad_labels),       cmocka_unit_test(counts_by_group),
                                       cmocka_unit_test(angles_go_around), cmocka_unit_test(too_many_groups)};
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
