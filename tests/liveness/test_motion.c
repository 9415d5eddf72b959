// Motion and blink over frames: drawn meshes that a sheet, a noisy network or a face would give.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include "liveness/fusion.h"

enum { POINTS = 468, MOST = 20 };

static const struct mien_fusion_settings *settings(void)
{
    static struct mien_fusion_settings s;
    s = mien_fusion_settings_default();
    return &s;
}

/* ---- drawn meshes ---- */

struct drawn { struct mien_face face[MOST]; struct mien_frame frame[MOST]; float mesh[MOST][3 * POINTS]; int n; };

static float chance(void) { return (float)rand() / (float)RAND_MAX - 0.5f; }

/* A face about (0, 0): points spread over an ellipse, corners of the eyes and lips where they belong. */
static void face_at_rest(float xy[2 * POINTS])
{
    static const short eye[] = {33, 133, 362, 263}, lower_lip[] = {17, 14, 87, 317, 84, 314};
    static const float eye_x[] = {-0.75f, -0.25f, 0.25f, 0.75f};
    for (int i = 0; i < POINTS; i++) {
        const float r = sqrtf((float)i / POINTS), turn = 2.399963f * (float)i;
        xy[2 * i] = 1.1f * r * cosf(turn);
        xy[2 * i + 1] = 1.4f * r * sinf(turn);
    }
    for (int i = 0; i < 4; i++) {
        xy[2 * eye[i]] = eye_x[i];
        xy[2 * eye[i] + 1] = -0.4f;
    }
    for (int i = 0; i < 6; i++) {
        xy[2 * lower_lip[i]] = 0.1f * (float)(i - 3);
        xy[2 * lower_lip[i] + 1] = 0.75f;
    }
}

/* A photo of that face on a sheet: turned, bent about a slanting axis, and before the camera. Pixels. */
struct sheet { float yaw, pitch, roll, bend, x, y, size; };

static void project(const float xy[2 * POINTS], const struct sheet *s, float jitter, float mesh[3 * POINTS])
{
    for (int i = 0; i < POINTS; i++) {
        const float x0 = xy[2 * i], y0 = xy[2 * i + 1], along = 0.8f * x0 + 0.6f * y0, z0 = s->bend * along * along / 2.0f;
        const float x1 = x0 * cosf(s->roll) - y0 * sinf(s->roll), y1 = x0 * sinf(s->roll) + y0 * cosf(s->roll);
        const float x2 = x1 * cosf(s->yaw) + z0 * sinf(s->yaw), z2 = z0 * cosf(s->yaw) - x1 * sinf(s->yaw);
        const float y3 = y1 * cosf(s->pitch) - z2 * sinf(s->pitch), z3 = z2 * cosf(s->pitch) + y1 * sinf(s->pitch);
        const float scale = s->size * 8.0f / (8.0f + z3);
        mesh[3 * i] = s->x + scale * x2 + jitter * s->size * chance();
        mesh[3 * i + 1] = s->y + scale * y3 + jitter * s->size * chance();
        mesh[3 * i + 2] = 0.0f;
    }
}

static struct drawn *frames_new(int n)
{
    struct drawn *d = calloc(1, sizeof *d);
    assert_non_null(d);
    d->n = n;
    for (int i = 0; i < n; i++) {
        d->face[i] = (struct mien_face){.mesh = d->mesh[i], .mesh_points = POINTS, .mesh_presence = 1.0f, .have = MIEN_WANT_MESH};
        d->frame[i].face = &d->face[i];
    }
    return d;
}

static struct mien_modality motion(const struct drawn *d) { return mien_motion_score(settings(), d->frame, d->n); }

static const struct sheet level = {.size = 100.0f, .x = 300.0f, .y = 300.0f};

static struct sheet any_sheet(float turn, float bend)
{
    return (struct sheet){turn * chance(),           turn * chance(),           turn * chance(),          bend * chance(),
                          300.0f + 50.0f * chance(), 300.0f + 50.0f * chance(), 100.0f + 40.0f * chance()};
}

/* Score of one sheet's picture before the camera over n frames. */
static float sheet_score(int n, float turn, float bend, float jitter)
{
    struct drawn *d = frames_new(n);
    float xy[2 * POINTS];
    face_at_rest(xy);
    for (int i = 0; i < n; i++) {
        const struct sheet s = any_sheet(turn, bend);
        project(xy, &s, jitter, d->mesh[i]);
    }
    const struct mien_modality m = motion(d);
    assert_true(m.present && m.score >= 0.0f && m.score <= 1.0f);
    free(d);
    return m.score;
}

/* ---- motion ---- */

static void the_same_photo_does_not_move(void **state)
{
    (void)state;
    struct drawn *d = frames_new(3);
    float xy[2 * POINTS];
    face_at_rest(xy);
    for (int i = 0; i < 3; i++) project(xy, &level, 0.0f, d->mesh[i]);
    const struct mien_modality m = motion(d);
    assert_true(m.present);
    assert_true(m.score < 1e-6f);
    free(d);
}

static void a_flat_or_bent_photo_before_the_camera_does_not_pass(void **state)
{
    (void)state;
    srand(7);
    for (int k = 0; k < 30; k++) {
        assert_true(sheet_score(5, 1.2f, 0.0f, 0.0f) < 0.05f);   /* turned by up to 34 degrees about every axis */
        assert_true(sheet_score(5, 0.0f, 1.2f, 0.0f) < 0.05f);   /* bent */
        assert_true(sheet_score(5, 1.0f, 1.0f, 0.0f) < 0.05f);   /* both */
        assert_true(sheet_score(5, 1.0f, 1.0f, 0.02f) < 0.35f);  /* and seen by a network that trembles */
    }
}

static void trembling_everywhere_is_no_motion(void **state)
{
    (void)state;
    srand(3);
    for (int k = 0; k < 30; k++) {
        assert_true(sheet_score(5, 0.0f, 0.0f, 0.01f) < 0.1f);
        assert_true(sheet_score(2, 0.0f, 0.0f, 0.06f) < 0.5f);
    }
}

/* The lower lip goes down and up again; the head turns a little. */
static struct drawn *talking(int n, float far)
{
    static const short lower_lip[] = {17, 14, 87, 317, 84, 314};
    struct drawn *d = frames_new(n);
    float xy[2 * POINTS];
    for (int i = 0; i < n; i++) {
        const struct sheet s = any_sheet(0.1f, 0.0f);
        face_at_rest(xy);
        for (int k = 0; k < 6; k++) xy[2 * lower_lip[k] + 1] += far * (float)(i % 2);
        project(xy, &s, 0.005f, d->mesh[i]);
    }
    return d;
}

static void a_talking_face_moves(void **state)
{
    (void)state;
    srand(5);
    for (int n = 2; n <= 6; n++) {
        struct drawn *d = talking(n, 0.25f);
        assert_true(motion(d).score > 0.8f);
        free(d);
    }
    struct drawn *d = talking(5, 0.0f);
    assert_true(motion(d).score < 0.1f);
    free(d);
}

static void a_higher_least_variance_asks_for_more(void **state)
{
    (void)state;
    srand(5);
    struct drawn *d = talking(5, 0.15f);
    struct mien_fusion_settings strict = *settings();
    strict.micro_motion_min_variance = 0.1f;
    assert_true(motion(d).score > 0.5f);
    assert_true(mien_motion_score(&strict, d->frame, 5).score < 0.05f);
    free(d);
}

static void frames_without_a_mesh_do_not_count(void **state)
{
    (void)state;
    struct drawn *d = talking(4, 0.25f);
    assert_false(mien_motion_score(settings(), d->frame, 1).present);
    assert_false(mien_motion_score(settings(), d->frame, 0).present);
    const float all = motion(d).score;
    d->face[1].mesh_presence = 0.2f; /* the network sees no face here */
    d->face[3].mesh = NULL;
    assert_true(motion(d).present); /* frames 0 and 2, both with the mouth closed */
    assert_true(motion(d).score < 0.1f && all > 0.8f);
    d->mesh[0][7] = NAN;
    assert_false(motion(d).present);
    free(d);
}

/* ---- blink ---- */

static struct mien_modality blink(int n, const float *ear, const float *pitch)
{
    struct mien_face face[MOST];
    struct mien_frame frame[MOST];
    for (int i = 0; i < n; i++) {
        face[i] = (struct mien_face){.have = MIEN_WANT_EYES | MIEN_WANT_POSE, .ear = ear[i], .pitch = pitch != NULL ? pitch[i] : 0.0f};
        frame[i] = (struct mien_frame){.face = &face[i]};
    }
    return mien_blink_score(frame, n);
}

#define BLINK(...) blink((int)(sizeof((float[]){__VA_ARGS__}) / sizeof(float)), (float[]){__VA_ARGS__}, NULL)

static void closed_and_open_again_is_a_blink(void **state)
{
    (void)state;
    assert_true(BLINK(0.31f, 0.30f, 0.08f, 0.30f).score == 1.0f);
    assert_true(BLINK(0.31f, 0.08f, 0.07f, 0.30f, 0.31f).score == 1.0f);
    assert_true(BLINK(0.08f, 0.30f, 0.09f).score == 1.0f); /* opened and closed */
    assert_true(BLINK(0.22f, 0.23f, 0.05f, 0.22f).score == 1.0f); /* narrow eyes */
}

static void half_a_blink_counts_half(void **state)
{
    (void)state;
    assert_true(BLINK(0.31f, 0.08f).score == 0.5f);
    assert_true(BLINK(0.08f, 0.31f, 0.31f).score == 0.5f);
}

static void trembling_lids_are_no_blink(void **state)
{
    (void)state;
    assert_true(BLINK(0.30f, 0.25f, 0.30f, 0.26f, 0.31f, 0.26f, 0.30f, 0.27f).score == 0.0f);
    assert_true(BLINK(0.22f, 0.20f, 0.22f, 0.20f, 0.22f, 0.20f, 0.22f, 0.20f).score == 0.0f); /* narrow eyes about the fixed limit */
}

static void a_nod_is_no_blink(void **state)
{
    (void)state;
    const float ear[] = {0.31f, 0.10f, 0.31f}, nod[] = {0.0f, -25.0f, 0.0f}, level_head[] = {0.0f, -5.0f, 0.0f};
    assert_false(blink(3, ear, nod).present);
    assert_true(blink(3, ear, level_head).score == 1.0f);
}

static void few_frames_without_a_blink_say_nothing(void **state)
{
    (void)state;
    assert_false(BLINK(0.31f).present);
    assert_false(BLINK(0.31f, 0.30f, 0.31f).present);
    assert_true(BLINK(0.3f, 0.3f, 0.3f, 0.3f, 0.3f, 0.3f, 0.3f, 0.3f).present);
    const struct mien_face none = {0};
    const struct mien_frame unseen[] = {{.face = &none}, {.face = &none}};
    assert_false(mien_blink_score(unseen, 2).present);
}

/* ---- a frame knows those before it ---- */

static void frames_to_come_do_not_count(void **state)
{
    (void)state;
    struct drawn *d = talking(3, 0.25f);
    assert_false(mien_liveness_of_frame(settings(), d->frame, 3, 0).motion.present);
    const struct mien_liveness l = mien_liveness_of_frame(settings(), d->frame, 3, 1);
    assert_true(l.motion.present);
    assert_true(l.motion.score == mien_motion_score(settings(), d->frame, 2).score);
    assert_true(mien_liveness_of_frame(settings(), d->frame, 3, 3).score == 0.0f);
    free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_photo_does_not_move),
        cmocka_unit_test(a_flat_or_bent_photo_before_the_camera_does_not_pass),
        cmocka_unit_test(trembling_everywhere_is_no_motion),
        cmocka_unit_test(a_talking_face_moves),
        cmocka_unit_test(a_higher_least_variance_asks_for_more),
        cmocka_unit_test(frames_without_a_mesh_do_not_count),
        cmocka_unit_test(closed_and_open_again_is_a_blink),
        cmocka_unit_test(half_a_blink_counts_half),
        cmocka_unit_test(trembling_lids_are_no_blink),
        cmocka_unit_test(a_nod_is_no_blink),
        cmocka_unit_test(few_frames_without_a_blink_say_nothing),
        cmocka_unit_test(frames_to_come_do_not_count),
    };
    return cmocka_run_group_tests_name("motion", tests, NULL, NULL);
}
