/* What a face shows, as numbers that a challenge compares with the same face at rest. Where the thresholds come from: docs/challenges.md.
 *
 * Every sign is taken twice where the pack allows it, from the mesh's geometry and from the blendshape or emotion network, and both must say it: each alone
 * errs, on faces of a kind and in poses, that the other does not. Packs without blendshapes are judged by geometry and emotions. */
#include "liveness/judge_signs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "liveness/gestures.h"

/* Points of the mesh: corners of the eyes, lips inside (middle and corners), brows (upper and lower edge of each). Left as in the image. */
enum {
    EYE_1 = 33,
    EYE_2 = 133,
    EYE_3 = 362,
    EYE_4 = 263,
    LIP_UPPER = 13,
    LIP_LOWER = 14,
    MOUTH_LEFT = 78,
    MOUTH_RIGHT = 308,
    CORNER_LEFT = 61,
    CORNER_RIGHT = 291,
    NOSE_BASE = 2, MESH_POINTS = 468
};
static const short brow_left[] = {105, 66, 107, 63}, brow_right[] = {334, 296, 336, 293};

/* Blendshapes and emotions by their place in mien_blendshape_name and mien_emotion_name. */
enum { BROW_DOWN = 1, BROW_INNER_UP = 3, BROW_OUTER_UP = 4, EYE_BLINK = 9, EYE_WIDE = 21, JAW_OPEN = 25, MOUTH_PUCKER = 38, MOUTH_SMILE = 44 };
enum { NEUTRAL, HAPPY, SAD, ANGRY, FEARFUL, DISGUSTED, SURPRISED };

/* ---- reading ---- */

struct point { float x, y; };

static struct point at(const float *mesh, int i) { return (struct point){mesh[3 * i], mesh[3 * i + 1]}; }
static struct point middle(struct point a, struct point b) { return (struct point){0.5f * (a.x + b.x), 0.5f * (a.y + b.y)}; }
static float apart(struct point a, struct point b) { return hypotf(a.x - b.x, a.y - b.y); }

static struct point mean_of(const float *mesh, const short *index, int n)
{
    struct point sum = {0};
    for (int i = 0; i < n; i++) {
        sum.x += mesh[3 * index[i]] / (float)n;
        sum.y += mesh[3 * index[i] + 1] / (float)n;
    }
    return sum;
}

/* How far b lies above a on a head held upright, whose eye line has the direction `along`. */
static float above(struct point a, struct point b, struct point along) { return (b.x - a.x) * along.y - (b.y - a.y) * along.x; }

static bool geometry(const float *m, float *sign)
{
    const struct point left = middle(at(m, EYE_1), at(m, EYE_2)), right = middle(at(m, EYE_3), at(m, EYE_4)), lip = middle(at(m, LIP_UPPER), at(m, LIP_LOWER));
    const float eyes = apart(left, right), mouth = apart(at(m, MOUTH_LEFT), at(m, MOUTH_RIGHT));
    if (!(eyes > 1.0f && mouth > 0.0f)) return false;
    const struct point along = {(right.x - left.x) / eyes, (right.y - left.y) / eyes};
    sign[MIEN_SIGN_X] = middle(left, right).x;
    sign[MIEN_SIGN_Y] = middle(left, right).y;
    sign[MIEN_SIGN_EYES] = eyes;
    sign[MIEN_SIGN_NOSE] = apart(middle(left, right), at(m, NOSE_BASE)) / eyes;
    sign[MIEN_SIGN_MOUTH] = apart(at(m, LIP_UPPER), at(m, LIP_LOWER)) / mouth;
    sign[MIEN_SIGN_BROWS] = 0.5f * (above(left, mean_of(m, brow_left, 4), along) + above(right, mean_of(m, brow_right, 4), along)) / eyes;
    sign[MIEN_SIGN_CORNERS] = above(lip, middle(at(m, CORNER_LEFT), at(m, CORNER_RIGHT)), along) / eyes;
    return true;
}

bool mien_signs_of(const struct mien_face *face, struct mien_rest_sample *out)
{
    *out = (struct mien_rest_sample){.have = face->have & (MIEN_WANT_BLENDSHAPES | MIEN_WANT_EXPRESSION)};
    if (face->mesh == NULL || face->mesh_points < MESH_POINTS || !(face->mesh_presence >= 0.5f)) return false;
    if (!geometry(face->mesh, out->sign)) return false;
    out->sign[MIEN_SIGN_YAW] = face->yaw;
    out->sign[MIEN_SIGN_PITCH] = face->pitch;
    out->sign[MIEN_SIGN_ROLL] = face->roll;
    out->sign[MIEN_SIGN_RATIO] = mien_head_ratio(face).yaw;
    out->sign[MIEN_SIGN_EAR] = face->ear;
    if (out->have & MIEN_WANT_BLENDSHAPES) memcpy(out->sign + MIEN_SIGN_SHAPES, face->blendshape, sizeof face->blendshape);
    if (out->have & MIEN_WANT_EXPRESSION) memcpy(out->sign + MIEN_SIGN_EMOTIONS, face->emotion, sizeof face->emotion);
    for (int i = 0; i < MIEN_SIGNS; i++)
        if (!isfinite(out->sign[i])) return false;
    return true;
}

static int rising(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Bit of `have` without which a sign is no sign. */
static unsigned bit_of(int sign) { return sign < MIEN_SIGN_SHAPES ? 0 : sign < MIEN_SIGN_EMOTIONS ? MIEN_WANT_BLENDSHAPES : MIEN_WANT_EXPRESSION; }

bool mien_signs_median(const struct mien_rest *r, struct mien_rest_sample *out)
{
    enum { LEAST = 3 };
    *out = (struct mien_rest_sample){0};
    if (r->n < LEAST) return false;
    for (int sign = 0; sign < MIEN_SIGNS; sign++) {
        float value[MIEN_REST_FRAMES];
        size_t n = 0;
        for (int i = 0; i < r->n; i++)
            if ((r->sample[i].have & bit_of(sign)) == bit_of(sign)) value[n++] = r->sample[i].sign[sign];
        if (n < LEAST) continue;
        qsort(value, n, sizeof *value, rising);
        out->sign[sign] = value[n / 2];
        out->have |= bit_of(sign);
    }
    return true;
}

bool mien_signs_foreshortened(const struct mien_rest_sample *rest, const struct mien_rest_sample *now)
{
    static const float MOST = 0.12f;
    return fabsf(now->sign[MIEN_SIGN_NOSE] - rest->sign[MIEN_SIGN_NOSE]) > MOST * rest->sign[MIEN_SIGN_NOSE];
}

/* ---- values of challenges ---- */

/* The two faces that a value compares. */
struct pair { const struct mien_rest_sample *rest, *now; unsigned have; };

static float change(const struct pair *p, int sign) { return p->now->sign[sign] - p->rest->sign[sign]; }
static float shape(const struct mien_rest_sample *s, int left) { return 0.5f * (s->sign[MIEN_SIGN_SHAPES + left] + s->sign[MIEN_SIGN_SHAPES + left + 1]); }
/* Rise of a pair of blendshapes, left and right. */
static float rise(const struct pair *p, int left) { return shape(p->now, left) - shape(p->rest, left); }
/* Of a single one. */
static float one(const struct pair *p, int which) { return change(p, MIEN_SIGN_SHAPES + which); }
static float emotion(const struct pair *p, int which) { return p->now->sign[MIEN_SIGN_EMOTIONS + which]; }
static bool has(const struct pair *p, unsigned bit) { return (p->have & bit) != 0; }

/* The head turns about one axis, and about the others less. */
static float head(const struct pair *p, int axis, float sign, float degrees)
{
    float other = 0.0f;
    for (int i = MIEN_SIGN_YAW; i <= MIEN_SIGN_ROLL; i++)
        if (i != axis) other = fmaxf(other, fabsf(change(p, i)));
    const float turned = sign * change(p, axis);
    return turned >= other ? turned / degrees : fminf(turned / degrees, 0.9f);
}

static float turned(const struct pair *p, float sign)
{
    static const float DEGREES = 14.0f, RATIO = 0.2f; /* of the nose between the sides of the face */
    return fminf(head(p, MIEN_SIGN_YAW, sign, DEGREES), sign * change(p, MIEN_SIGN_RATIO) / RATIO);
}

static float opened(const struct pair *p)
{
    const float gap = change(p, MIEN_SIGN_MOUTH) / 0.3f;
    return has(p, MIEN_WANT_BLENDSHAPES) ? fminf(gap, one(p, JAW_OPEN) / 0.25f) : gap;
}

/* An eye is closed by a part of its own opening at rest, so that narrow eyes are judged as wide ones are. */
static float closed(const struct pair *p)
{
    const float lids = (1.0f - p->now->sign[MIEN_SIGN_EAR] / fmaxf(p->rest->sign[MIEN_SIGN_EAR], 0.01f)) / 0.45f;
    return has(p, MIEN_WANT_BLENDSHAPES) ? fminf(lids, rise(p, EYE_BLINK) / 0.3f) : lids;
}

static float raised(const struct pair *p)
{
    const float height = change(p, MIEN_SIGN_BROWS) / 0.06f;
    if (!has(p, MIEN_WANT_BLENDSHAPES)) return height;
    return 0.5f * (fminf(height, 2.0f) + fminf(0.5f * (one(p, BROW_INNER_UP) + rise(p, BROW_OUTER_UP)) / 0.25f, 2.0f));
}

/* The brows drawn down and together. */
static float furrowed(const struct pair *p)
{
    const float height = -change(p, MIEN_SIGN_BROWS) / 0.03f;
    return has(p, MIEN_WANT_BLENDSHAPES) ? 0.5f * (fminf(height, 2.0f) + fminf(rise(p, BROW_DOWN) / 0.25f, 2.0f)) : height;
}

static float smile_score(const struct mien_rest_sample *s, unsigned have)
{
    struct mien_face face = {.have = have};
    memcpy(face.blendshape, s->sign + MIEN_SIGN_SHAPES, sizeof face.blendshape);
    memcpy(face.emotion, s->sign + MIEN_SIGN_EMOTIONS, sizeof face.emotion);
    return mien_smile_score(&face);
}

static float smiling(const struct pair *p)
{
    static const float SCORE = 45.0f, RISE = 25.0f;
    if (!has(p, MIEN_WANT_EXPRESSION)) return fminf(rise(p, MOUTH_SMILE) / 0.35f, change(p, MIEN_SIGN_CORNERS) / 0.03f);
    const float score = smile_score(p->now, p->have);
    return fminf(score / SCORE, (score - smile_score(p->rest, p->have)) / RISE);
}

/* The corners of the mouth drawn down, below the middle of the lips: otherwise who stops smiling would do it. */
static float drawn_down(const struct pair *p)
{
    return fminf(-change(p, MIEN_SIGN_CORNERS) / 0.05f, -p->now->sign[MIEN_SIGN_CORNERS] / 0.015f);
}

/* The brows or the corners of the mouth. The emotion network knows the first only. */
static float frowning(const struct pair *p)
{
    float brows = furrowed(p);
    if (has(p, MIEN_WANT_EXPRESSION)) brows = fminf(brows, (emotion(p, SAD) + emotion(p, ANGRY) + emotion(p, DISGUSTED) + emotion(p, FEARFUL)) / 0.3f);
    return fmaxf(brows, raised(p) > 0.7f ? fminf(drawn_down(p), 0.8f) : drawn_down(p));
}

static float surprised(const struct pair *p)
{
    float eyes = raised(p);
    if (has(p, MIEN_WANT_BLENDSHAPES)) eyes = fmaxf(eyes, rise(p, EYE_WIDE) / 0.15f);
    return fminf(eyes / 0.8f, emotion(p, SURPRISED) / 0.5f);
}

static float angry(const struct pair *p) { return fminf(furrowed(p) / 0.6f, emotion(p, ANGRY) / 0.25f); }

/* The network calls it neutral, which it does with pursed lips and a drawn mouth, too; so nothing may be seen of what else there is to do. Lips are judged as
 * they are, not against rest, so that a smile at rest does not make every face after it another one. */
static float neutral(const struct pair *p)
{
    float most = fmaxf(fmaxf(closed(p), drawn_down(p)), fmaxf(furrowed(p), raised(p)));
    most = fmaxf(most, fmaxf(smile_score(p->now, p->now->have) / 40.0f, p->now->sign[MIEN_SIGN_MOUTH] / 0.2f));
    if (has(p, MIEN_WANT_BLENDSHAPES)) most = fmaxf(most, p->now->sign[MIEN_SIGN_SHAPES + MOUTH_PUCKER] / 0.5f);
    return most > 0.9f ? 0.5f : emotion(p, NEUTRAL) / 0.5f;
}

float mien_signs_head_change(const struct mien_rest_sample *a, const struct mien_rest_sample *b)
{
    float most = 0.0f;
    for (int i = MIEN_SIGN_YAW; i <= MIEN_SIGN_ROLL; i++) most = fmaxf(most, fabsf(a->sign[i] - b->sign[i]));
    return most;
}

bool mien_signs_jump(const struct mien_rest_sample *a, const struct mien_rest_sample *b)
{
    static const float EYES_APART = 1.0f, ZOOM = 1.15f;
    const float x = b->sign[MIEN_SIGN_X] - a->sign[MIEN_SIGN_X], y = b->sign[MIEN_SIGN_Y] - a->sign[MIEN_SIGN_Y];
    const float size = a->sign[MIEN_SIGN_EYES], zoom = b->sign[MIEN_SIGN_EYES] / size;
    return hypotf(x, y) > EYES_APART * size || zoom > ZOOM || zoom < 1.0f / ZOOM;
}

float mien_signs_value(enum mien_challenge c, bool mirrored, const struct mien_rest_sample *rest, const struct mien_rest_sample *now)
{
    static const float NOD = 9.0f, TILT = 12.0f;
    const struct pair p = {rest, now, rest->have & now->have};
    const float left = mirrored ? -1.0f : 1.0f; /* the person's left is image right in a frame as the camera sees it */
    switch (c) {
    case MIEN_NOD_UP: return head(&p, MIEN_SIGN_PITCH, 1.0f, NOD);
    case MIEN_NOD_DOWN: return head(&p, MIEN_SIGN_PITCH, -1.0f, NOD);
    case MIEN_TURN_LEFT: return turned(&p, left);
    case MIEN_TURN_RIGHT: return turned(&p, -left);
    case MIEN_TILT_LEFT: return head(&p, MIEN_SIGN_ROLL, left, TILT);
    case MIEN_TILT_RIGHT: return head(&p, MIEN_SIGN_ROLL, -left, TILT);
    case MIEN_OPEN_MOUTH: return opened(&p);
    case MIEN_CLOSE_EYES:
    case MIEN_BLINK: return closed(&p);
    case MIEN_RAISE_EYEBROWS: return raised(&p);
    case MIEN_SMILE: return smiling(&p);
    case MIEN_FROWN: return frowning(&p);
    case MIEN_SURPRISED: return surprised(&p);
    case MIEN_NEUTRAL: return neutral(&p);
    case MIEN_ANGRY: return angry(&p);
    case MIEN_CHALLENGES: break;
    }
    return 0.0f;
}
