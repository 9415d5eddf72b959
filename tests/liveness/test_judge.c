// The judge of challenges over frames: each happens on drawn faces where it happens, and does not where it does not. Clips and photos: run_judge.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "liveness/judge_signs.h"

enum { POINTS = 468, BOTH = MIEN_WANT_BLENDSHAPES | MIEN_WANT_EXPRESSION };
enum { NEUTRAL, HAPPY, SAD, ANGRY, FEARFUL, DISGUSTED, SURPRISED };

/* ---- a drawn person ---- */

/* What the person does, each from 0 (not at all) to 1 (clearly); angles in degrees, signs as in struct mien_face. */
struct act { float yaw, pitch, roll, mouth, lids, brows, furrow, smile, corners, fear, anger, surprise; };

/* How it comes to the judge. */
struct scene { int step_ms; unsigned have; bool alive, mirrored; float sideways, zoom; };
static const struct scene ROOM = {.step_ms = 100, .have = BOTH, .alive = true, .zoom = 1.0f};

struct person { float mesh[3 * POINTS]; struct mien_face face; struct mien_look look; };

static float chance(void) { return (float)rand() / (float)RAND_MAX - 0.5f; }

static int shape(const char *name)
{
    for (int i = 0; i < MIEN_BLENDSHAPES; i++)
        if (strcmp(mien_blendshape_name[i], name) == 0) return i;
    fail_msg("no blendshape %s", name);
    return -1;
}

static void both(struct mien_face *f, const char *left, float value)
{
    f->blendshape[shape(left)] = value;
    f->blendshape[shape(left) + 1] = value;
}

/* Points about the middle of the head, x right, y down, z away, in distances between the eyes; what is not named lies on an ellipsoid. */
struct named { short index; float x, y, z; };
static const struct named FACE[] = {{234, -1.2f, 0.1f, 0.4f},    {454, 1.2f, 0.1f, 0.4f},    {10, 0, -1.3f, -0.3f},       {152, 0, 1.5f, -0.3f},
                                    {1, 0, 0.25f, -1.2f},        {2, 0, 0.38f, -1.0f},       {33, -0.7f, -0.4f, -0.6f},   {133, -0.3f, -0.4f, -0.6f},
                                    {362, 0.3f, -0.4f, -0.6f},   {263, 0.7f, -0.4f, -0.6f},  {13, 0, 0.8f, -0.8f},        {14, 0, 0.81f, -0.8f},
                                    {78, -0.4f, 0.79f, -0.7f},   {308, 0.4f, 0.79f, -0.7f},  {61, -0.45f, 0.79f, -0.7f},  {291, 0.45f, 0.79f, -0.7f},
                                    {105, -0.6f, -0.75f, -0.6f}, {66, -0.4f, -0.75f, -0.6f}, {107, -0.3f, -0.75f, -0.6f}, {63, -0.6f, -0.7f, -0.6f},
                                    {334, 0.6f, -0.75f, -0.6f},  {296, 0.4f, -0.75f, -0.6f}, {336, 0.3f, -0.75f, -0.6f},  {293, 0.6f, -0.7f, -0.6f}};
static const short BROWS[] = {105, 66, 107, 63, 334, 296, 336, 293}, LIDS[] = {159, 145, 386, 374, 160, 144, 387, 373};

static void shape_of(const struct act *a, bool alive, float p[POINTS][3])
{
    for (int i = 0; i < POINTS; i++) {
        const float r = sqrtf((float)i / POINTS), turn = 2.399963f * (float)i;
        p[i][0] = 1.1f * r * cosf(turn);
        p[i][1] = 1.4f * r * sinf(turn);
        p[i][2] = -sqrtf(1.05f - r * r);
    }
    for (size_t i = 0; i < sizeof FACE / sizeof *FACE; i++) memcpy(p[FACE[i].index], &FACE[i].x, 3 * sizeof(float));
    p[14][1] += 0.6f * a->mouth;
    for (size_t i = 0; i < sizeof BROWS / sizeof *BROWS; i++) p[BROWS[i]][1] -= 0.12f * a->brows - 0.05f * a->furrow;
    p[61][1] += 0.12f * a->corners - 0.1f * a->smile;
    p[291][1] += 0.12f * a->corners - 0.1f * a->smile;
    for (size_t i = 0; alive && i < sizeof LIDS / sizeof *LIDS; i++) p[LIDS[i]][1] += 0.5f * chance();
}

static void turn_and_project(float p[POINTS][3], const struct act *a, const struct scene *s, float *mesh)
{
    const float rad = acosf(-1.0f) / 180.0f, u = a->pitch * rad, v = a->yaw * rad, w = a->roll * rad;
    for (int i = 0; i < POINTS; i++) {
        const float y = p[i][1] * cosf(u) + p[i][2] * sinf(u), z = p[i][2] * cosf(u) - p[i][1] * sinf(u), x = p[i][0] * cosf(v) - z * sinf(v);
        mesh[3 * i] = 320.0f + s->sideways + 60.0f * s->zoom * (x * cosf(w) - y * sinf(w) + 0.002f * chance());
        mesh[3 * i + 1] = 240.0f + 60.0f * s->zoom * (x * sinf(w) + y * cosf(w) + 0.002f * chance());
        mesh[3 * i + 2] = 60.0f * s->zoom * (z * cosf(v) + p[i][0] * sinf(v));
    }
}

static void networks(struct mien_face *f, const struct act *a)
{
    const float felt = fminf(a->smile + a->fear + a->anger + a->surprise, 1.0f);
    f->ear = f->ear_left = f->ear_right = 0.3f * (1.0f - 0.9f * a->lids);
    both(f, "eyeBlinkLeft", 0.1f + 0.7f * a->lids);
    f->blendshape[shape("jawOpen")] = 0.7f * a->mouth;
    f->blendshape[shape("browInnerUp")] = 0.8f * a->brows;
    both(f, "browOuterUpLeft", 0.8f * a->brows);
    both(f, "browDownLeft", 0.1f + 0.6f * a->furrow);
    both(f, "mouthSmileLeft", 0.8f * a->smile);
    f->emotion[HAPPY] = 0.95f * a->smile;
    f->emotion[FEARFUL] = 0.95f * a->fear;
    f->emotion[ANGRY] = 0.95f * a->anger;
    f->emotion[SURPRISED] = 0.95f * a->surprise;
    f->emotion[NEUTRAL] = 1.0f - 0.95f * felt;
}

static const struct mien_look *seen(struct person *p, const struct act *a, const struct scene *s, int64_t at_ms)
{
    static float point[POINTS][3];
    p->face =
        (struct mien_face){.have = MIEN_WANT_MESH | MIEN_WANT_POSE | MIEN_WANT_EYES | s->have, .mesh = p->mesh, .mesh_points = POINTS, .mesh_presence = 1.0f};
    shape_of(a, s->alive, point);
    turn_and_project(point, a, s, p->mesh);
    mien_pose_from_mesh(p->mesh, 0.0f, &p->face.yaw, &p->face.pitch, &p->face.roll);
    networks(&p->face, a);
    p->look = (struct mien_look){.at_ms = at_ms, .faces = 1, .face = &p->face, .width = 640, .height = 480};
    return &p->look;
}

/* ---- films ---- */

/* `from` to `to` over so many frames, then held for so many. */
struct take { struct act to; int over, held; };
enum { TAKES = 6 };
struct film { struct take take[TAKES]; };

static struct act between(const struct act *a, const struct act *b, float part)
{
    struct act out;
    const float *x = (const float *)a, *y = (const float *)b;
    float *z = (float *)&out;
    for (size_t i = 0; i < sizeof out / sizeof *z; i++) z[i] = x[i] + part * (y[i] - x[i]);
    return out;
}

struct outcome { bool passed; int at; struct mien_judgement last; float best; };

/* Two seconds of rest, then the film until it passes or ends. */
static struct outcome shown(enum mien_challenge c, const struct scene *s, const struct film *film)
{
    struct person p;
    struct mien_rest rest = {0};
    struct mien_judge j;
    struct outcome out = {0};
    struct act from = {0}, still = {0};
    int64_t now = 1000;
    srand(4);
    for (int i = 0; i < 20; i++) mien_rest_look(&rest, seen(&p, &still, s, now += s->step_ms));
    mien_judge_begin(&j, c, s->mirrored, &rest);
    for (int k = 0; k < TAKES && film->take[k].over + film->take[k].held > 0; k++) {
        const struct take *t = &film->take[k];
        for (int i = 1; i <= t->over + t->held; i++) {
            const struct act a = between(&from, &t->to, i < t->over ? (float)i / (float)t->over : 1.0f);
            out.last = mien_judge_look(&j, seen(&p, &a, s, now += s->step_ms));
            out.at++;
            assert_true(out.last.confidence >= 0.0f && out.last.confidence <= 1.0f && out.last.progress >= 0.0f && out.last.progress <= 1.0f);
            if (out.last.passed) {
                assert_true(out.last.confidence >= 0.5f && out.last.progress == 1.0f && out.last.hint == NULL);
                out.passed = true;
                return out;
            }
        }
        from = t->to;
    }
    return out;
}

/* Rest, the act at the pace of a person, held, and back. */
static struct film acted(struct act a, int over, int held) { return (struct film){{{.held = 5}, {a, over, held}, {.over = over, .held = 5}}}; }

static const struct act ACT[MIEN_CHALLENGES] = {[MIEN_NOD_UP] = {.pitch = 18},
                                                [MIEN_NOD_DOWN] = {.pitch = -18},
                                                [MIEN_TURN_LEFT] = {.yaw = 25},
                                                [MIEN_TURN_RIGHT] = {.yaw = -25},
                                                [MIEN_TILT_LEFT] = {.roll = 22},
                                                [MIEN_TILT_RIGHT] = {.roll = -22},
                                                [MIEN_OPEN_MOUTH] = {.mouth = 1},
                                                [MIEN_CLOSE_EYES] = {.lids = 1},
                                                [MIEN_RAISE_EYEBROWS] = {.brows = 1},
                                                [MIEN_BLINK] = {.lids = 1},
                                                [MIEN_SMILE] = {.smile = 1},
                                                [MIEN_FROWN] = {.furrow = 1, .fear = 0.5f},
                                                [MIEN_SURPRISED] = {.brows = 1, .mouth = 0.7f, .surprise = 1},
                                                [MIEN_ANGRY] = {.furrow = 1, .anger = 1}};

/* The film in which a challenge is done well. */
static struct film done(enum mien_challenge c)
{
    if (c == MIEN_BLINK) return acted(ACT[c], 1, 1);
    if (c == MIEN_NEUTRAL) return (struct film){{{.held = 20}}};
    return acted(ACT[c], 4, c == MIEN_CLOSE_EYES ? 10 : 6);
}

static bool passes(enum mien_challenge c, const struct scene *s, struct film f) { return shown(c, s, &f).passed; }

/* ---- tests ---- */

static void names_and_kinds(void **state)
{
    (void)state;
    int gestures = 0;
    for (int c = 0; c < MIEN_CHALLENGES; c++) {
        assert_int_equal(mien_challenge_parse(mien_challenge_name((enum mien_challenge)c)), c);
        assert_true(strlen(mien_challenge_instruction((enum mien_challenge)c)) > 0);
        gestures += mien_challenge_is_gesture((enum mien_challenge)c);
    }
    assert_int_equal(gestures, 10);
    assert_int_equal(mien_challenge_parse("smile"), MIEN_SMILE);
    assert_int_equal(mien_challenge_parse("wink"), -1);
    assert_int_equal(mien_challenge_parse(""), -1);
}

static void each_passes_where_it_is_done_and_where_another_is_done_it_does_not(void **state)
{
    (void)state;
    for (int asked = 0; asked < MIEN_CHALLENGES; asked++) {
        for (int doing = 0; doing < MIEN_CHALLENGES; doing++) {
            const struct outcome o = shown((enum mien_challenge)asked, &ROOM, &(struct film){0});
            assert_false(o.passed);
            const bool passed = passes((enum mien_challenge)asked, &ROOM, done((enum mien_challenge)doing));
            /* Who looks surprised raises the brows and opens the mouth; who is angry frowns. */
            const bool part =
                (doing == MIEN_SURPRISED && (asked == MIEN_RAISE_EYEBROWS || asked == MIEN_OPEN_MOUTH)) || (doing == MIEN_ANGRY && asked == MIEN_FROWN);
            if (passed != (asked == doing || part))
                fail_msg("asked for %s, done is %s: %d", mien_challenge_name((enum mien_challenge)asked), mien_challenge_name((enum mien_challenge)doing),
                         passed);
        }
    }
}

/* Challenges of which each frame between rest and done is asked for: all but those of the eyes, which close within a frame or two, and the one without a way.
 */
static bool has_a_way(enum mien_challenge c) { return c != MIEN_BLINK && c != MIEN_CLOSE_EYES && c != MIEN_NEUTRAL; }

static void five_frames_a_second_are_enough(void **state)
{
    (void)state;
    struct scene slow = ROOM;
    slow.step_ms = 200;
    for (int c = 0; c < MIEN_CHALLENGES; c++) {
        struct film f = done((enum mien_challenge)c);
        if (c != MIEN_BLINK && c != MIEN_NEUTRAL) f = acted(ACT[c], 2, 4);
        if (!passes((enum mien_challenge)c, &slow, f)) fail_msg("%s", mien_challenge_name((enum mien_challenge)c));
    }
}

static void a_cut_is_no_way(void **state)
{
    (void)state;
    for (int c = 0; c < MIEN_CHALLENGES; c++) {
        const struct film sudden = {{{.held = 6}, {ACT[c], 1, 12}, {.over = 1, .held = 6}, {ACT[c], 1, 12}}};
        const struct outcome o = shown((enum mien_challenge)c, &ROOM, &sudden);
        if (has_a_way((enum mien_challenge)c) && o.passed) fail_msg("%s", mien_challenge_name((enum mien_challenge)c));
    }
    /* Who did it too fast goes back and does it again. */
    const struct film again = {{{ACT[MIEN_SMILE], 1, 6}, {.over = 2, .held = 4}, {ACT[MIEN_SMILE], 4, 8}}};
    assert_true(passes(MIEN_SMILE, &ROOM, again));
    const struct outcome o = shown(MIEN_SMILE, &ROOM, &(struct film){{{.held = 6}, {ACT[MIEN_SMILE], 1, 5}}});
    assert_non_null(strstr(o.last.hint, "slowly"));
}

static void a_photo_that_shows_it_from_the_start_has_not_done_it(void **state)
{
    (void)state;
    for (int c = 0; c < MIEN_CHALLENGES; c++) {
        if (c == MIEN_NEUTRAL) continue;
        /* After a rest of another face, and with none known. */
        assert_false(passes((enum mien_challenge)c, &ROOM, (struct film){{{ACT[c], 0, 40}}}));
        struct person p;
        struct mien_judge j;
        mien_judge_begin(&j, (enum mien_challenge)c, false, NULL);
        for (int i = 0; i < 60; i++) assert_false(mien_judge_look(&j, seen(&p, &ACT[c], &ROOM, 100 * i)).passed);
    }
}

/* The same mesh, however it is turned: no lid and no lip moves by itself. The blink is left out: it is the lids that move. */
static void a_moved_photo_is_not_alive(void **state)
{
    (void)state;
    struct scene photo = ROOM;
    photo.alive = false;
    for (int c = 0; c < MIEN_CHALLENGES; c++) {
        if (c == MIEN_BLINK || c == MIEN_OPEN_MOUTH || c == MIEN_SURPRISED || c == MIEN_SMILE) continue; /* those move lips themselves */
        const struct outcome o = shown((enum mien_challenge)c, &photo, &(struct film){{{.held = 5}, {ACT[c], 4, 20}}});
        if (o.passed) fail_msg("%s", mien_challenge_name((enum mien_challenge)c));
        assert_true(o.last.progress < 1.0f);
        assert_non_null(strstr(o.last.hint, "blink"));
    }
}

static void moving_sideways_and_nearer_is_nothing(void **state)
{
    (void)state;
    for (int c = 0; c < MIEN_CHALLENGES; c++) {
        struct person p;
        struct mien_rest rest = {0};
        struct mien_judge j;
        struct scene s = ROOM;
        const struct act still = {0};
        for (int i = 0; i < 20; i++) mien_rest_look(&rest, seen(&p, &still, &s, 100 * i));
        mien_judge_begin(&j, (enum mien_challenge)c, false, &rest);
        for (int i = 0; i < 40; i++) {
            s.sideways = 60.0f * sinf(0.2f * (float)i);
            s.zoom = 1.0f + 0.2f * sinf(0.15f * (float)i);
            const bool passed = mien_judge_look(&j, seen(&p, &still, &s, 2000 + 100 * i)).passed;
            if (c != MIEN_NEUTRAL) assert_false(passed);
        }
    }
}

/* Somebody else's face elsewhere, or the same one at another size, from one frame to the next: what was before does not count. */
static void a_jump_in_place_or_size_begins_anew(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct person p;
        struct mien_rest rest = {0};
        struct mien_judge j;
        struct scene s = ROOM;
        const struct act still = {0}, half = {.yaw = 8}, whole = {.yaw = 22};
        bool passed = false;
        int64_t now = 0;
        for (int i = 0; i < 20; i++) mien_rest_look(&rest, seen(&p, &still, &s, now += 100));
        mien_judge_begin(&j, MIEN_TURN_LEFT, false, &rest);
        for (int i = 0; i < 12; i++) mien_judge_look(&j, seen(&p, &still, &s, now += 100));
        mien_judge_look(&j, seen(&p, &half, &s, now += 100));
        if (how == 1) s.sideways = 100.0f;
        if (how == 2) s.zoom = 1.3f;
        for (int i = 0; i < 10; i++) passed |= mien_judge_look(&j, seen(&p, &whole, &s, now += 100)).passed;
        assert_true(passed == (how == 0));
    }
}

static void a_gap_or_a_lost_face_begins_anew(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct person p;
        struct mien_rest rest = {0};
        struct mien_judge j;
        const struct act still = {0}, half = {.pitch = 7}, whole = {.pitch = 16};
        bool passed = false;
        int64_t now = 0;
        for (int i = 0; i < 20; i++) mien_rest_look(&rest, seen(&p, &still, &ROOM, now += 100));
        mien_judge_begin(&j, MIEN_NOD_UP, false, &rest);
        for (int i = 0; i < 12; i++) mien_judge_look(&j, seen(&p, &still, &ROOM, now += 100));
        mien_judge_look(&j, seen(&p, &half, &ROOM, now += 100));
        if (how == 1) now += 900;
        if (how == 2) {
            const struct mien_judgement said = mien_judge_look(&j, &(struct mien_look){.at_ms = now += 100});
            assert_false(said.passed);
            assert_non_null(strstr(said.hint, "face"));
        }
        for (int i = 0; i < 10; i++) passed |= mien_judge_look(&j, seen(&p, &whole, &ROOM, now += 100)).passed;
        assert_true(passed == (how == 0));
    }
}

static void mirrored_frames_swap_left_and_right(void **state)
{
    (void)state;
    struct scene mirror = ROOM;
    mirror.mirrored = true;
    assert_true(passes(MIEN_TURN_RIGHT, &mirror, done(MIEN_TURN_LEFT)));
    assert_false(passes(MIEN_TURN_LEFT, &mirror, done(MIEN_TURN_LEFT)));
    assert_true(passes(MIEN_TILT_LEFT, &mirror, done(MIEN_TILT_RIGHT)));
    assert_false(passes(MIEN_TILT_RIGHT, &mirror, done(MIEN_TILT_RIGHT)));
    assert_true(passes(MIEN_NOD_UP, &mirror, done(MIEN_NOD_UP)));
    const struct outcome o = shown(MIEN_TURN_LEFT, &ROOM, &(struct film){{{.held = 5}, {ACT[MIEN_TURN_RIGHT], 4, 5}}});
    assert_non_null(strstr(o.last.hint, "other way"));
}

static void packs_without_a_network_judge_by_the_rest(void **state)
{
    (void)state;
    static const unsigned less[] = {MIEN_WANT_EXPRESSION, MIEN_WANT_BLENDSHAPES, 0};
    for (size_t k = 0; k < sizeof less / sizeof *less; k++) {
        struct scene s = ROOM;
        s.have = less[k];
        int available = 0;
        for (int c = 0; c < MIEN_CHALLENGES; c++) {
            if (!mien_challenge_available((enum mien_challenge)c, MIEN_WANT_MESH | s.have)) continue;
            available++;
            if (!passes((enum mien_challenge)c, &s, done((enum mien_challenge)c))) fail_msg("%s with %x", mien_challenge_name((enum mien_challenge)c), s.have);
            assert_false(passes((enum mien_challenge)c, &s, done(c == MIEN_TILT_LEFT || c == MIEN_FROWN ? MIEN_TURN_LEFT : MIEN_TILT_LEFT)));
        }
        assert_int_equal(available, less[k] == MIEN_WANT_EXPRESSION ? 15 : less[k] == MIEN_WANT_BLENDSHAPES ? 12 : 11);
    }
    for (int c = 0; c < MIEN_CHALLENGES; c++) assert_false(mien_challenge_available((enum mien_challenge)c, BOTH));
    assert_int_equal(mien_challenge_wants(MIEN_SMILE, ~0u), MIEN_WANT_MESH | MIEN_WANT_POSE | MIEN_WANT_EYES | BOTH);
    assert_int_equal(mien_challenge_wants(MIEN_BLINK, ~0u), MIEN_WANT_MESH | MIEN_WANT_POSE | MIEN_WANT_EYES | MIEN_WANT_BLENDSHAPES);
    assert_int_equal(mien_challenge_wants(MIEN_SMILE, MIEN_WANT_MESH), MIEN_WANT_MESH);
}

static void eyes_by_how_long_they_are_closed(void **state)
{
    (void)state;
    const struct act shut = {.lids = 1}, half = {.lids = 0.35f}, nod = {.lids = 1, .pitch = -11};
    assert_true(passes(MIEN_BLINK, &ROOM, acted(shut, 1, 3)));
    assert_false(passes(MIEN_BLINK, &ROOM, acted(shut, 1, 9)));
    assert_false(passes(MIEN_BLINK, &ROOM, acted(half, 1, 1)));
    assert_false(passes(MIEN_BLINK, &ROOM, acted(nod, 1, 1)));
    assert_false(passes(MIEN_BLINK, &ROOM, (struct film){{{.held = 5}, {shut, 1, 1}}})); /* not opened again */
    assert_true(passes(MIEN_CLOSE_EYES, &ROOM, (struct film){{{.held = 10}, {shut, 1, 8}}}));
    assert_false(passes(MIEN_CLOSE_EYES, &ROOM, (struct film){{{.held = 10}, {shut, 1, 4}, {.over = 1, .held = 3}, {shut, 1, 4}}}));
}

/* Eyes that are narrow at rest: 0.15 is below MIEN_EAR_CLOSED. */
static void narrow_eyes_blink_too(void **state)
{
    (void)state;
    struct person p;
    struct mien_rest rest = {0};
    struct mien_judge j;
    bool passed = false;
    for (int i = 0; i < 40; i++) {
        const struct act a = {.lids = i == 30 ? 1.0f : 0.0f};
        struct mien_look look = *seen(&p, &a, &ROOM, 100 * i);
        p.face.ear *= 0.5f;
        if (i < 15) mien_rest_look(&rest, &look);
        if (i == 15) mien_judge_begin(&j, MIEN_BLINK, false, &rest);
        if (i >= 15) passed |= mien_judge_look(&j, &look).passed;
        assert_true(passed == (i > 30));
    }
}

/* How far a face does something against another one at rest; nothing trembles. */
static float value_of(enum mien_challenge c, struct act rest, struct act now, unsigned have)
{
    struct person p;
    struct mien_rest_sample a, b;
    struct scene s = ROOM;
    s.alive = false;
    s.have = have;
    assert_true(mien_signs_of(seen(&p, &rest, &s, 0)->face, &a) && mien_signs_of(seen(&p, &now, &s, 0)->face, &b));
    return mien_signs_value(c, false, &a, &b);
}

static void every_part_of_a_sign_is_needed(void **state)
{
    (void)state;
    static const struct act none;
    /* Eyes by their own opening at rest. */
    assert_true(value_of(MIEN_BLINK, (struct act){.lids = 0.5f}, (struct act){.lids = 0.9f}, 0) >= 1.0f);
    assert_true(value_of(MIEN_BLINK, (struct act){.lids = 0.5f}, (struct act){.lids = 0.5f}, 0) < 0.1f);
    /* A network without a face that moves, and the reverse. */
    assert_true(value_of(MIEN_ANGRY, none, (struct act){.anger = 1}, BOTH) < 0.5f);
    assert_true(value_of(MIEN_ANGRY, none, (struct act){.furrow = 1}, BOTH) < 0.5f);
    assert_true(value_of(MIEN_SURPRISED, none, (struct act){.surprise = 1, .mouth = 1}, BOTH) < 0.5f);
    assert_true(value_of(MIEN_SURPRISED, none, (struct act){.brows = 1, .mouth = 1}, BOTH) < 0.5f);
    assert_true(value_of(MIEN_FROWN, none, (struct act){.furrow = 1}, BOTH) < 0.5f);
    /* Corners of the mouth: drawn down they frown, back from a smile they do not, nor below raised brows. */
    assert_true(value_of(MIEN_FROWN, none, (struct act){.corners = 1}, BOTH) >= 1.0f);
    assert_true(value_of(MIEN_FROWN, (struct act){.smile = 1}, none, BOTH) < 0.5f);
    assert_true(value_of(MIEN_FROWN, none, (struct act){.corners = 1, .brows = 1}, BOTH) < 1.0f);
    /* Somebody who smiles at rest smiles more. */
    assert_true(value_of(MIEN_SMILE, (struct act){.smile = 0.3f}, (struct act){.smile = 0.4f}, BOTH) < 1.0f);
    assert_true(value_of(MIEN_SMILE, (struct act){.smile = 0.3f}, (struct act){.smile = 0.9f}, BOTH) >= 1.0f);
    /* The head turns about one axis more than about the others. */
    assert_true(value_of(MIEN_TURN_LEFT, none, (struct act){.yaw = 22, .roll = 10}, BOTH) >= 1.0f);
    assert_true(value_of(MIEN_TURN_LEFT, none, (struct act){.yaw = 22, .roll = 30}, BOTH) < 1.0f);
    assert_true(value_of(MIEN_NOD_UP, none, (struct act){.yaw = 20, .pitch = 12}, BOTH) < 1.0f);
}

/* Depths alone make no turn: the nose must go across the face. */
static void a_turn_moves_the_nose(void **state)
{
    (void)state;
    struct person p;
    struct mien_rest_sample a, b;
    const struct act none = {0}, turn = {.yaw = 22};
    assert_true(mien_signs_of(seen(&p, &none, &ROOM, 0)->face, &a) && mien_signs_of(seen(&p, &turn, &ROOM, 0)->face, &b));
    assert_true(mien_signs_value(MIEN_TURN_LEFT, false, &a, &b) >= 1.0f);
    p.mesh[3 * 1] = 0.5f * (p.mesh[3 * 234] + p.mesh[3 * 454]);
    assert_true(mien_signs_of(&p.face, &b));
    assert_true(mien_signs_value(MIEN_TURN_LEFT, false, &a, &b) < 0.5f);
}

/* Two or three pairs of frames move by chance. */
static void nothing_is_passed_in_the_first_second(void **state)
{
    (void)state;
    const struct outcome o = shown(MIEN_OPEN_MOUTH, &ROOM, &(struct film){{{.held = 1}, {ACT[MIEN_OPEN_MOUTH], 3, 20}}});
    assert_true(o.passed && o.at > 10);
}

static void faces_are_judged_only_when_they_look_here(void **state)
{
    (void)state;
    struct act away = ACT[MIEN_SMILE];
    away.yaw = 20;
    const struct outcome o = shown(MIEN_SMILE, &ROOM, &(struct film){{{.held = 5}, {away, 5, 10}}});
    assert_false(o.passed);
    assert_non_null(strstr(o.last.hint, "straight"));
}

static void a_small_face_is_asked_to_come_closer(void **state)
{
    (void)state;
    struct scene far = ROOM;
    far.zoom = 0.5f;
    const struct film f = done(MIEN_TURN_LEFT);
    const struct outcome o = shown(MIEN_TURN_LEFT, &far, &f);
    assert_false(o.passed);
    assert_non_null(strstr(o.last.hint, "closer"));
}

static void without_a_known_rest_the_first_frames_serve(void **state)
{
    (void)state;
    struct person p;
    struct mien_judge j;
    bool passed = false;
    mien_judge_begin(&j, MIEN_OPEN_MOUTH, false, NULL);
    for (int i = 0; i < 20; i++) {
        const struct act a = {.mouth = fminf(fmaxf(0.25f * (float)(i - 5), 0.0f), 1.0f)};
        const struct mien_judgement said = mien_judge_look(&j, seen(&p, &a, &ROOM, 5000 + 100 * i));
        if (i < 3) assert_false(j.has_rest || said.passed);
        if (i == 4) assert_true(j.has_rest);
        passed |= said.passed;
    }
    assert_true(passed);
}

static void rest_is_the_median_of_the_newest(void **state)
{
    (void)state;
    struct person p;
    struct mien_rest r = {0};
    struct mien_rest_sample s;
    const struct act low = {.yaw = -10}, high = {.yaw = 12}, far = {.yaw = 60};
    mien_rest_look(&r, &(struct mien_look){.at_ms = 1});
    mien_rest_look(&r, seen(&p, &far, &ROOM, 2));
    assert_int_equal(r.n, 0);
    for (int i = 0; i < 2; i++) mien_rest_look(&r, seen(&p, &low, &ROOM, 3 + i));
    assert_false(mien_signs_median(&r, &s));
    for (int i = 0; i < 40; i++) mien_rest_look(&r, seen(&p, i % 5 == 0 ? &low : &high, &ROOM, 10 + i));
    assert_int_equal(r.n, MIEN_REST_FRAMES);
    assert_true(mien_signs_median(&r, &s) && s.have == BOTH);
    assert_true(fabsf(s.sign[MIEN_SIGN_YAW] - 12.0f) < 1.5f);
}

static void what_is_not_a_number_is_no_face(void **state)
{
    (void)state;
    struct person p;
    struct mien_rest_sample s;
    const struct act still = {0};
    assert_true(mien_signs_of(seen(&p, &still, &ROOM, 1)->face, &s));
    p.face.ear = NAN;
    assert_false(mien_signs_of(&p.face, &s));
    p.face.ear = 0.3f;
    p.mesh[3 * 13] = INFINITY;
    assert_false(mien_signs_of(&p.face, &s));
    seen(&p, &still, &ROOM, 1);
    p.face.mesh_presence = 0.3f;
    assert_false(mien_signs_of(&p.face, &s));
    p.face.mesh_presence = 1.0f;
    p.face.mesh_points = 0;
    assert_false(mien_signs_of(&p.face, &s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_kinds),
        cmocka_unit_test(each_passes_where_it_is_done_and_where_another_is_done_it_does_not),
        cmocka_unit_test(five_frames_a_second_are_enough),
        cmocka_unit_test(a_cut_is_no_way),
        cmocka_unit_test(a_photo_that_shows_it_from_the_start_has_not_done_it),
        cmocka_unit_test(a_moved_photo_is_not_alive),
        cmocka_unit_test(moving_sideways_and_nearer_is_nothing),
        cmocka_unit_test(a_jump_in_place_or_size_begins_anew),
        cmocka_unit_test(a_gap_or_a_lost_face_begins_anew),
        cmocka_unit_test(mirrored_frames_swap_left_and_right),
        cmocka_unit_test(packs_without_a_network_judge_by_the_rest),
        cmocka_unit_test(eyes_by_how_long_they_are_closed),
        cmocka_unit_test(narrow_eyes_blink_too),
        cmocka_unit_test(every_part_of_a_sign_is_needed),
        cmocka_unit_test(a_turn_moves_the_nose),
        cmocka_unit_test(nothing_is_passed_in_the_first_second),
        cmocka_unit_test(faces_are_judged_only_when_they_look_here),
        cmocka_unit_test(a_small_face_is_asked_to_come_closer),
        cmocka_unit_test(without_a_known_rest_the_first_frames_serve),
        cmocka_unit_test(rest_is_the_median_of_the_newest),
        cmocka_unit_test(what_is_not_a_number_is_no_face),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
