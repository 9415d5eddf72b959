/* Blink, head turn and smile of a face. The rules are the contract's; how our measurements come onto its scales was measured: docs/challenges.md. */
#include "liveness/gestures.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* ---- blink ---- */

static const float FEW_FRAMES_FPS = 10.0f;  /* below, one closed frame is a blink: a blink takes 0.1 to 0.4 s */
static const float SMOOTHING = 0.25f;       /* weight of the newest interval */
static const float LONGEST_INTERVAL_S = 1.0f; /* a pause says nothing about the frame rate */

static void measure_rate(struct mien_blink *b, uint64_t now_ns)
{
    if (b->last_ns != 0 && now_ns > b->last_ns) {
        const float seconds = fminf((float)((double)(now_ns - b->last_ns) * 1e-9), LONGEST_INTERVAL_S);
        const float before = b->fps > 0.0f ? 1.0f / b->fps : seconds;
        b->fps = 1.0f / (before + SMOOTHING * (seconds - before));
    }
    if (now_ns > b->last_ns) b->last_ns = now_ns;
}

bool mien_blink_frame(struct mien_blink *b, float ear, uint64_t now_ns)
{
    measure_rate(b, now_ns);
    if (ear <= MIEN_EAR_CLOSED) {
        b->closed_frames++;
        return false;
    }
    const bool blinked = b->closed_frames >= (b->fps < FEW_FRAMES_FPS ? 1 : 2);
    b->closed_frames = 0;
    b->count += blinked;
    return blinked;
}

/* ---- head ---- */

struct point { float x, y; };

/* Mesh points: the contour beside the ears, the corners of the eyes, the nose's tip and its base, the chin. Pitch uses the base: on this mesh it lies at 0.39
 * to 0.41 of the way from eyes to chin on a level face (the tip at 0.34), as the formula's 0.4 presumes. */
enum { CONTOUR_LEFT = 234, CONTOUR_RIGHT = 454, EYE_1 = 33, EYE_2 = 133, EYE_3 = 362, EYE_4 = 263, NOSE_TIP = 1, NOSE_BASE = 2, CHIN = 152 };
enum { MESH_POINTS = 468 /* of the smaller mesh */ };

static struct point middle(struct point a, struct point b) { return (struct point){0.5f * (a.x + b.x), 0.5f * (a.y + b.y)}; }

static float within_one(float v) { return isfinite(v) ? fminf(fmaxf(v, -1.0f), 1.0f) : 0.0f; }

/* The point in the frame of the head held upright, turned back by the direction (c, s) of the eye line: a head that only tilts does not count as turned. */
static struct point levelled(const float *mesh, int i, float c, float s)
{
    const float x = mesh[3 * i], y = mesh[3 * i + 1];
    return (struct point){c * x + s * y, c * y - s * x};
}

struct mien_head mien_head_ratio(const struct mien_face *face)
{
    const float *m = face->mesh;
    if (m == NULL || face->mesh_points < MESH_POINTS) return (struct mien_head){0};
    float c = m[3 * EYE_4] - m[3 * EYE_1], s = m[3 * EYE_4 + 1] - m[3 * EYE_1 + 1];
    const float length = hypotf(c, s);
    if (!(length > 0.0f)) return (struct mien_head){0};
    c /= length;
    s /= length;
    const struct point left = levelled(m, CONTOUR_LEFT, c, s), right = levelled(m, CONTOUR_RIGHT, c, s), tip = levelled(m, NOSE_TIP, c, s);
    const struct point eye = middle(middle(levelled(m, EYE_1, c, s), levelled(m, EYE_2, c, s)), middle(levelled(m, EYE_3, c, s), levelled(m, EYE_4, c, s)));
    const float height = levelled(m, CHIN, c, s).y - eye.y, width = right.x - left.x;
    return (struct mien_head){.yaw = within_one(2.0f * (tip.x - middle(left, right).x) / width),
                              .pitch = within_one(-2.5f * (levelled(m, NOSE_BASE, c, s).y - (eye.y + 0.4f * height)) / height)};
}

const char *mien_direction_name(enum mien_direction d)
{
    static const char *const name[] = {[MIEN_FORWARD] = "forward", [MIEN_LEFT] = "left", [MIEN_RIGHT] = "right", [MIEN_UP] = "up", [MIEN_DOWN] = "down"};
    return name[d];
}

enum mien_direction mien_head_side(struct mien_head h, bool mirrored)
{
    return h.yaw < 0.0f ? (mirrored ? MIEN_LEFT : MIEN_RIGHT) : h.yaw > 0.0f ? (mirrored ? MIEN_RIGHT : MIEN_LEFT) : MIEN_FORWARD;
}

enum mien_direction mien_head_direction(struct mien_head h, bool mirrored)
{
    if (fabsf(h.yaw) > MIEN_YAW_TURNED) return mien_head_side(h, mirrored);
    if (fabsf(h.pitch) > MIEN_PITCH_TILTED) return h.pitch > 0.0f ? MIEN_UP : MIEN_DOWN;
    return MIEN_FORWARD;
}

void mien_turns_frame(struct mien_turns *t, enum mien_direction d)
{
    enum { FRAMES = 2 };
    t->left_frames = d == MIEN_LEFT ? t->left_frames + 1 : 0;
    t->right_frames = d == MIEN_RIGHT ? t->right_frames + 1 : 0;
    t->left_done |= t->left_frames >= FRAMES;
    t->right_done |= t->right_frames >= FRAMES;
}

/* ---- smile ---- */

enum { HAPPY = 1 }; /* in mien_emotion_name */

/* mouthSmileLeft and mouthSmileRight; the table is searched once a face, which costs nothing beside a network. */
static float mouth_smile(const struct mien_face *face)
{
    float sum = 0.0f;
    for (int i = 0; i < MIEN_BLENDSHAPES; i++)
        if (strncmp(mien_blendshape_name[i], "mouthSmile", strlen("mouthSmile")) == 0) sum += face->blendshape[i];
    return fminf(fmaxf(0.5f * sum, 0.0f), 1.0f);
}

float mien_smile_score(const struct mien_face *face)
{
    const float happy = fminf(fmaxf(face->emotion[HAPPY], 0.0f), 1.0f);
    if ((face->have & MIEN_WANT_BLENDSHAPES) == 0) return 100.0f * happy;
    return 50.0f * (sqrtf(happy) + sqrtf(mouth_smile(face)));
}

int mien_smile_emotions(const struct mien_face *face, float percent[MIEN_EMOTIONS])
{
    const float smile = mien_smile_score(face);
    float others = 0.0f;
    int most = HAPPY;
    for (int i = 0; i < MIEN_EMOTIONS; i++)
        if (i != HAPPY) others += face->emotion[i];
    for (int i = 0; i < MIEN_EMOTIONS; i++) {
        percent[i] = i == HAPPY ? smile : others > 0.0f ? (100.0f - smile) * face->emotion[i] / others : 0.0f;
        if (percent[i] > percent[most]) most = i;
    }
    return most;
}
