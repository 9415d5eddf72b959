// The scores of a live session: what each part does to them, over faces drawn by code.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>
#include "liveness/proof_score.h"

#define NEAR(a, b) assert_true(fabs((double)(a) - (double)(b)) < 1e-4)

enum { POINTS = 468 };

/* A person, or a picture of one. Points lie over an ellipse, raised as a face is; lids and lips move by `opening`. */
struct actor {
    int width;                            /* of the face, pixels */
    float x, turn;                        /* where it is, how far it has turned in the picture's plane */
    float opening;                        /* of lids and lips, in widths */
    float presence, live, genuine, surest, smile;
};

static const struct actor at_rest = {.width = 200, .presence = 1.0f, .live = 0.95f, .genuine = 0.9f, .surest = 0.9f};

/* Some of the mesh's lids and lips. */
static const short moving[] = {33,  7,  163, 144, 145, 153, 154, 155, 133, 263, 249, 390, 373, 374, 380, 381, 382, 362,
                               61,  146, 91, 181, 84,  17,  314, 405, 321, 375, 291, 78,  95,  88,  178, 87,  14,  317};
enum { MOVING = sizeof moving / sizeof *moving };
/* Corners of the eyes: where they lie decides the scale. */
static const struct { short point; float x, y; } corner[] = {{33, -0.32f, -0.2f}, {133, -0.12f, -0.2f}, {362, 0.12f, -0.2f}, {263, 0.32f, -0.2f}};

static void place(const struct actor *a, float mesh[3 * POINTS], int i, float x, float y)
{
    const float w = (float)a->width, c = cosf(a->turn), s = sinf(a->turn);
    mesh[3 * i] = 320.0f + a->x + w * (c * x - s * y);
    mesh[3 * i + 1] = 240.0f + w * (s * x + c * y);
    mesh[3 * i + 2] = -0.4f * w * expf(-12.0f * (x * x + y * y));
}

static void draw(const struct actor *a, struct mien_face *f, float mesh[3 * POINTS])
{
    for (int i = 0; i < POINTS; i++) {
        const float r = 0.5f * sqrtf((float)(i + 1) / POINTS), angle = 2.4f * (float)i; /* a sunflower's seeds */
        place(a, mesh, i, r * cosf(angle), r * sinf(angle));
    }
    for (int i = 0; i < MOVING; i++) {
        const float x = 0.04f * (float)(i % 6) - 0.1f, y = i < 18 ? -0.2f : 0.25f;
        place(a, mesh, moving[i], x, y + (i % 2 != 0 ? a->opening : -a->opening));
    }
    for (size_t i = 0; i < sizeof corner / sizeof *corner; i++) place(a, mesh, corner[i].point, corner[i].x, corner[i].y);
    const float half = 0.5f * (float)a->width;
    *f = (struct mien_face){.box = {320.0f + a->x - half, 240.0f - half, 320.0f + a->x + half, 240.0f + half},
                            .mesh = mesh, .mesh_points = POINTS, .mesh_presence = a->presence, .live = a->live, .genuine = a->genuine};
    f->point[0] = 320.0f + a->x - 0.22f * (float)a->width;
    f->point[2] = 320.0f + a->x + 0.22f * (float)a->width;
    f->point[1] = f->point[3] = 240.0f - 0.2f * (float)a->width;
    f->point[4] = 320.0f + a->x;
    f->point[5] = 240.0f;
    f->point[6] = 320.0f + a->x - 0.15f * (float)a->width;
    f->point[8] = 320.0f + a->x + 0.15f * (float)a->width;
    f->point[7] = f->point[9] = 240.0f + 0.25f * (float)a->width;
    for (int i = 44; i <= 46; i++) f->blendshape[i] = a->smile; /* of the mouth */
    f->emotion[1] = a->surest;
}

struct stage { struct mien_proof_score *score; int64_t now; int n; unsigned never; /* wants that the pack cannot answer */ };

static struct stage begin(void)
{
    const struct mien_proof_settings s = mien_proof_settings_default();
    struct stage t = {.score = mien_proof_score_create(&s), .now = 1000};
    assert_non_null(t.score);
    return t;
}

static void show(struct stage *t, const struct actor *a, int ms)
{
    static float mesh[3 * POINTS];
    struct mien_face f;
    draw(a, &f, mesh);
    f.have = (MIEN_WANT_MESH | MIEN_WANT_BLENDSHAPES | mien_proof_score_wants(t->score)) & ~t->never;
    const struct mien_look look = {.at_ms = t->now += ms, .faces = 1, .face = &f, .width = 640, .height = 480};
    mien_proof_score_look(t->score, &look);
    memset(mesh, 0xff, sizeof mesh); /* nothing of it may be used later */
    t->n++;
}

/* Lids and lips open and close, and the face smiles and stops smiling, within 1.2 s. */
static struct actor lively(const struct actor *a, int i)
{
    struct actor b = *a;
    b.opening = 0.05f * (0.5f - 0.5f * cosf(0.52f * (float)i));
    b.smile = 0.5f - 0.5f * cosf(0.52f * (float)i);
    return b;
}

static struct mien_proof_scores end(struct stage *t)
{
    const struct mien_proof_scores s = mien_proof_score_now(t->score);
    mien_proof_score_free(&t->score);
    assert_null(t->score);
    return s;
}

static struct mien_proof_scores live_person(struct actor a, int frames, unsigned never)
{
    struct stage t = begin();
    t.never = never;
    for (int i = 0; i < frames; i++) {
        const struct actor b = lively(&a, i);
        show(&t, &b, 100);
    }
    mien_proof_score_challenge(t.score, true, true, 0.9f);
    return end(&t);
}

static void weights_are_the_contracts(void **state)
{
    (void)state;
    const struct mien_proof_settings s = mien_proof_settings_default();
    NEAR(s.weight_liveness, 0.50);
    NEAR(s.weight_emotion, 0.25);
    NEAR(s.weight_deepfake, 0.25);
    NEAR(s.pass, 0.70);
    NEAR(s.deepfake_floor, 0.5);
}

static void a_live_person_passes(void **state)
{
    (void)state;
    const struct mien_proof_scores s = live_person(at_rest, 60, 0);
    assert_true(s.liveness.present && s.emotion.present && s.deepfake.present);
    assert_true(s.liveness.score > 0.7f && s.emotion.score > 0.8f && s.deepfake.score > 0.9f && !s.deepfake_detected);
    NEAR(s.final, 0.5 * (double)s.liveness.score + 0.25 * (double)s.emotion.score + 0.25 * (double)s.deepfake.score);
    assert_true(s.final >= 0.70f);
}

static void a_still_does_not_however_it_is_moved(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct stage t = begin();
        struct actor a = at_rest;
        a.live = a.genuine = a.surest = 1.0f;
        for (int i = 0; i < 60; i++) {
            a.x = kind == 1 ? 40.0f * sinf(0.3f * (float)i) : 0.0f;
            a.turn = kind == 1 ? 0.3f * sinf(0.2f * (float)i) : 0.0f;
            show(&t, &a, 100);
        }
        mien_proof_score_challenge(t.score, true, true, 1.0f);
        const struct mien_proof_scores s = end(&t);
        assert_true(s.liveness.present && s.liveness.score <= 0.35f);
        assert_true(s.final < 0.70f);
    }
}

static void what_the_networks_clearly_reject_does_not_pass(void **state)
{
    (void)state;
    struct actor a = at_rest;
    a.live = 0.2f;
    const struct mien_proof_scores s = live_person(a, 60, 0);
    assert_true(s.liveness.score <= 0.35f && s.final < 0.70f);
}

static void nothing_is_said_before_it_is_seen(void **state)
{
    (void)state;
    struct stage t = begin();
    struct mien_proof_scores s = mien_proof_score_now(t.score);
    assert_false(s.liveness.present || s.emotion.present || s.deepfake.present || s.deepfake_detected);
    NEAR(s.final, 0.0);
    const struct mien_look nobody = {.at_ms = 50, .width = 640, .height = 480};
    for (int i = 0; i < 20; i++) mien_proof_score_look(t.score, &nobody);
    assert_false(mien_proof_score_now(t.score).liveness.present);
    for (int i = 0; i < 6; i++) show(&t, &at_rest, 100);
    s = end(&t);
    assert_false(s.liveness.present);
    NEAR(s.final, 0.0); /* the others do not stand in for it */
}

static void a_small_or_unseen_face_has_no_liveness(void **state)
{
    (void)state;
    struct actor a = at_rest;
    a.width = 78;
    struct mien_proof_scores s = live_person(a, 60, 0);
    assert_false(s.liveness.present || s.deepfake.present);
    a = at_rest;
    a.presence = 0.3f;
    s = live_person(a, 60, 0);
    assert_false(s.liveness.present);
}

static void what_the_pack_has_not_leaves_its_weight_to_the_rest(void **state)
{
    (void)state;
    const struct mien_proof_scores s = live_person(at_rest, 60, MIEN_WANT_SPOOF | MIEN_WANT_DEEPFAKE);
    assert_true(s.liveness.present && s.emotion.present && !s.deepfake.present);
    NEAR(s.final, (0.5 * (double)s.liveness.score + 0.25 * (double)s.emotion.score) / 0.75);
}

static struct mien_proof_scores with_genuine(float low, float high, int frames)
{
    struct stage t = begin();
    for (int i = 0; i < frames; i++) {
        struct actor a = lively(&at_rest, i);
        a.genuine = (i / 4) % 2 == 0 ? low : high;
        show(&t, &a, 100);
    }
    return end(&t);
}

static void only_a_steady_low_score_is_a_deepfake(void **state)
{
    (void)state;
    assert_true(with_genuine(0.005f, 0.005f, 60).deepfake_detected);
    assert_false(with_genuine(0.005f, 0.005f, 20).deepfake_detected); /* too few frames */
    assert_false(with_genuine(0.08f, 0.08f, 60).deepfake_detected);   /* what networks say of some live people */
    const struct mien_proof_scores flickering = with_genuine(0.003f, 0.9f, 60);
    assert_false(flickering.deepfake_detected);
    assert_true(flickering.deepfake.score >= 0.5f && flickering.deepfake.score < 0.55f);
    assert_true(with_genuine(0.9f, 0.9f, 60).deepfake.score > flickering.deepfake.score + 0.3f);
}

static struct mien_proof_scores smiling(bool cut, int ms)
{
    struct stage t = begin();
    for (int i = 0; i < 120; i++) {
        struct actor a = lively(&at_rest, i);
        if (cut) a.smile = (i / 10) % 2 == 0 ? 0.0f : 1.0f;
        show(&t, &a, ms);
    }
    return end(&t);
}

static void a_cut_is_no_expression(void **state)
{
    (void)state;
    assert_true(smiling(false, 100).emotion.score > 0.8f);
    assert_true(smiling(true, 100).emotion.score < 0.1f);
    assert_true(smiling(true, 300).emotion.score > 0.8f); /* too slow to tell: no verdict */
}

static void emotion_follows_confidence_and_what_was_asked(void **state)
{
    (void)state;
    const double sure = (double)live_person(at_rest, 60, 0).emotion.score;
    struct actor a = at_rest;
    a.surest = 0.4f;
    NEAR(live_person(a, 60, 0).emotion.score, sure - 0.5 / 3.0);
    struct stage t = begin();
    for (int i = 0; i < 60; i++) {
        a = lively(&at_rest, i);
        show(&t, &a, 100);
    }
    mien_proof_score_challenge(t.score, false, false, 0.0f); /* gestures are not expressions */
    NEAR(mien_proof_score_now(t.score).emotion.score, (0.9 + 1.0) / 2.0);
    mien_proof_score_challenge(t.score, true, false, 0.8f); /* failed, however confident */
    NEAR(end(&t).emotion.score, (0.9 + 1.0) / 3.0);
}

static void networks_take_turns(void **state)
{
    (void)state;
    const unsigned costly = MIEN_WANT_EXPRESSION | MIEN_WANT_SPOOF | MIEN_WANT_DEEPFAKE;
    int runs[3] = {0};
    struct stage t = begin();
    for (int i = 0; i < 40; i++) {
        const unsigned wants = mien_proof_score_wants(t.score) & costly;
        assert_true(wants != 0 && (wants & (wants - 1)) == 0); /* one a frame */
        runs[0] += wants == MIEN_WANT_EXPRESSION;
        runs[1] += wants == MIEN_WANT_SPOOF;
        runs[2] += wants == MIEN_WANT_DEEPFAKE;
        show(&t, &at_rest, 100);
    }
    assert_true(runs[0] == 20 && runs[1] == 10 && runs[2] == 10);
    end(&t);
}

static void numbers_that_are_none_do_not_pass(void **state)
{
    (void)state;
    struct actor a = at_rest;
    a.genuine = a.surest = NAN;
    a.live = INFINITY;
    const struct mien_proof_scores s = live_person(a, 200, 0); /* longer than what is kept */
    assert_true(s.liveness.score <= 0.35f && s.final >= 0.0f && s.final < 0.70f);
    a = at_rest;
    a.opening = NAN;
    a.smile = INFINITY;
    assert_true(isfinite(live_person(a, 60, 0).final));
    struct stage t = begin();
    for (int i = 0; i < 60; i++) {
        a = lively(&at_rest, i);
        a.x = i % 3 == 0 ? NAN : 0.0f;
        a.smile = NAN;
        show(&t, &a, i % 7 == 0 ? -300 : 100);
    }
    const struct mien_proof_scores broken = end(&t);
    assert_true(broken.final >= 0.0f && broken.final <= 1.0f);
}

static void nothing_to_free_is_fine(void **state)
{
    (void)state;
    struct mien_proof_score *none = NULL;
    mien_proof_score_free(&none);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_the_contracts),
        cmocka_unit_test(a_live_person_passes),
        cmocka_unit_test(a_still_does_not_however_it_is_moved),
        cmocka_unit_test(what_the_networks_clearly_reject_does_not_pass),
        cmocka_unit_test(nothing_is_said_before_it_is_seen),
        cmocka_unit_test(a_small_or_unseen_face_has_no_liveness),
        cmocka_unit_test(what_the_pack_has_not_leaves_its_weight_to_the_rest),
        cmocka_unit_test(only_a_steady_low_score_is_a_deepfake),
        cmocka_unit_test(a_cut_is_no_expression),
        cmocka_unit_test(emotion_follows_confidence_and_what_was_asked),
        cmocka_unit_test(networks_take_turns),
        cmocka_unit_test(numbers_that_are_none_do_not_pass),
        cmocka_unit_test(nothing_to_free_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
