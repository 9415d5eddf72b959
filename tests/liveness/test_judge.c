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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_kinds),
        cmocka_unit_test(each_passes_where_it_is_done_and_where_another_is_done_it_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
