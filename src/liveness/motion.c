/* Motion and blink over frames.
 *
 * A photograph that is moved, turned or bent before the camera takes its points from one frame to the next by a smooth warp: a homography, and low-order
 * terms more for the bend. The warp is fitted as a polynomial of degree 3, and only what it leaves over at the lids and lips counts as motion, measured
 * against what it leaves over elsewhere (there nothing moves by itself: that is the network's jitter) and against the warp's own size (the network's errors
 * grow as the sheet turns). Depths of the mesh are not used, for the network gives them to photographs too; nor is the parallax of the nose: this network
 * takes a turned photograph for a turned head and moves the nose accordingly (docs/liveness.md). */
#include "liveness/fusion.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "liveness/gestures.h"
#include "liveness/surface.h"

enum { POINTS = MIEN_MOVEMENT_POINTS, WARP_DEGREE = 3 };

/* Corners of the eyes, and the points of the mesh by what moves them. */
enum { EYE_1 = 33, EYE_2 = 133, EYE_3 = 362, EYE_4 = 263 };

static const short lids_and_lips[] = {
    33,  7,   163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 263, 249, 390, 373, 374, 380, 381, 382,
    362, 398, 384, 385, 386, 387, 388, 466, 61,  146, 91,  181, 84,  17,  314, 405, 321, 375, 291, 185, 40,  39,  37,  0,
    267, 269, 270, 409, 78,  95,  88,  178, 87,  14,  317, 402, 318, 324, 308, 191, 80,  81,  82,  13,  312, 311, 310, 415,
};
/* Neither: the outline, which no feature of the skin holds in place, and the brows. */
static const short outline_and_brows[] = {
    10,  338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58,  132, 93,
    234, 127, 162, 21,  54,  103, 67,  109, 70,  63,  105, 66,  107, 55,  65,  52,  53,  46,  300, 293, 334, 296, 336, 285, 295, 282, 283, 276,
};

enum part { STILL, MOVING, IGNORED };

static void parts_of_the_face(unsigned char part[POINTS])
{
    for (int i = 0; i < POINTS; i++) part[i] = STILL;
    for (size_t i = 0; i < sizeof lids_and_lips / sizeof *lids_and_lips; i++) part[lids_and_lips[i]] = MOVING;
    for (size_t i = 0; i < sizeof outline_and_brows / sizeof *outline_and_brows; i++) part[outline_and_brows[i]] = IGNORED;
}

struct shape { float x[POINTS], y[POINTS]; };

/* The mesh about its middle in units of the distance between the eyes; false for a mesh that is none. */
static bool shape_of(const struct mien_face *f, struct shape *s)
{
    const float *m = f->mesh;
    double mx = 0.0, my = 0.0;
    if (m == NULL || f->mesh_points < POINTS || !(f->mesh_presence >= 0.5f)) return false;
    for (int i = 0; i < POINTS; i++) {
        mx += (double)m[3 * i];
        my += (double)m[3 * i + 1];
    }
    const float ex = 0.5f * (m[3 * EYE_3] + m[3 * EYE_4] - m[3 * EYE_1] - m[3 * EYE_2]);
    const float ey = 0.5f * (m[3 * EYE_3 + 1] + m[3 * EYE_4 + 1] - m[3 * EYE_1 + 1] - m[3 * EYE_2 + 1]);
    const float eyes = hypotf(ex, ey);
    if (!(eyes > 1.0f) || !isfinite(mx + my)) return false;
    for (int i = 0; i < POINTS; i++) {
        s->x[i] = (m[3 * i] - (float)(mx / POINTS)) / eyes;
        s->y[i] = (m[3 * i + 1] - (float)(my / POINTS)) / eyes;
    }
    return true;
}

/* What the way from a to b is more than moving, turning and growing in the picture's plane: mean square over the points. Both shapes lie about 0, so the best
 * similarity is one complex factor. */
static double warp_size(const struct shape *a, const struct shape *b)
{
    double aa = 0.0, bb = 0.0, re = 0.0, im = 0.0;
    for (int i = 0; i < POINTS; i++) {
        const double ax = (double)a->x[i], ay = (double)a->y[i], bx = (double)b->x[i], by = (double)b->y[i];
        aa += ax * ax + ay * ay;
        bb += bx * bx + by * by;
        re += ax * bx + ay * by;
        im += ax * by - ay * bx;
    }
    return fmax(bb - (re * re + im * im) / aa, 0.0) / POINTS;
}

/* Adds what moved from a to b, mean squares. */
static bool between(const struct shape *a, const struct shape *b, const unsigned char part[POINTS], struct mien_movement *sum)
{
    const float *const to[] = {b->x, b->y};
    struct mien_surface warp[2];
    double square[3] = {0.0};
    int count[3] = {0};
    if (!mien_surface_fit(WARP_DEGREE, POINTS, a->x, a->y, NULL, 2, to, warp)) return false;
    for (int i = 0; i < POINTS; i++) {
        if (part[i] == IGNORED) continue;
        const float dx = b->x[i] - mien_surface_at(&warp[0], a->x[i], a->y[i]), dy = b->y[i] - mien_surface_at(&warp[1], a->x[i], a->y[i]);
        square[part[i]] += (double)(dx * dx + dy * dy);
        count[part[i]]++;
    }
    sum->moving += square[MOVING] / count[MOVING];
    sum->still += square[STILL] / count[STILL];
    sum->warp += warp_size(a, b);
    return true;
}

/* Share of the warp that the network's errors at lids and lips reach; fitted, see docs/liveness.md. */
#define ERRORS_OF_WARP 0.1

void mien_movement_add(struct mien_movement *m, const struct mien_face *face)
{
    struct shape before, now;
    unsigned char part[POINTS];
    if (!shape_of(face, &now)) return;
    if (m->known) {
        parts_of_the_face(part);
        memcpy(before.x, m->x, sizeof before.x);
        memcpy(before.y, m->y, sizeof before.y);
        m->pairs += between(&before, &now, part, m);
    }
    memcpy(m->x, now.x, sizeof m->x);
    memcpy(m->y, now.y, sizeof m->y);
    m->known = true;
}

struct mien_modality mien_movement_score(const struct mien_fusion_settings *s, const struct mien_movement *m)
{
    if (m->pairs == 0) return (struct mien_modality){0};
    const double jitter = m->pairs * (double)s->micro_motion_min_variance + m->still + ERRORS_OF_WARP * m->warp;
    const double ratio = jitter > 0.0 ? m->moving / jitter : 0.0, fourth = ratio * ratio * ratio * ratio;
    return (struct mien_modality){true, (float)(1.0 - 1.0 / (1.0 + fourth))};
}

struct mien_modality mien_motion_score(const struct mien_fusion_settings *s, const struct mien_frame *frames, int n)
{
    struct mien_movement sum = {0};
    for (int i = 0; i < n; i++) mien_movement_add(&sum, frames[i].face);
    return mien_movement_score(s, &sum);
}

/* ---- blink ---- */

/* Fewer frames without a blink say nothing: one takes 0.1 to 0.4 s and comes every few seconds. */
enum { FRAMES_TO_MISS_A_BLINK = 8, MOST_FRAMES = 256 };
#define CLOSED_BY_OPEN 0.55f  /* an eye is closed at or below this part of the person's own open eye, and of MIEN_EAR_CLOSED */
#define SAME_POSE_DEG 10.0f   /* a nodding head closes the eyes of a photograph, too */

static int falling(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static bool same_pose(const struct mien_face *a, const struct mien_face *b)
{
    return fabsf(a->pitch - b->pitch) <= SAME_POSE_DEG && fabsf(a->yaw - b->yaw) <= SAME_POSE_DEG;
}

struct mien_modality mien_blink_score(const struct mien_frame *frames, int n)
{
    const struct mien_face *known[MOST_FRAMES];
    float ear[MOST_FRAMES];
    int count = 0, changes = 0;
    for (int i = n > MOST_FRAMES ? n - MOST_FRAMES : 0; i < n; i++) {
        const struct mien_face *f = frames[i].face;
        if ((f->have & MIEN_WANT_EYES) == 0 || !isfinite(f->ear)) continue;
        ear[count] = f->ear;
        known[count++] = f;
    }
    if (count < 2) return (struct mien_modality){0};
    qsort(ear, (size_t)count, sizeof *ear, falling);
    const float closed = fminf(MIEN_EAR_CLOSED, CLOSED_BY_OPEN * ear[count / 4]);
    for (int i = 1; i < count; i++)
        changes += (known[i]->ear <= closed) != (known[i - 1]->ear <= closed) && same_pose(known[i], known[i - 1]);
    if (changes == 0 && count < FRAMES_TO_MISS_A_BLINK) return (struct mien_modality){0};
    return (struct mien_modality){true, changes >= 2 ? 1.0f : 0.5f * (float)changes};
}
