/* Motion and blink over frames.
 *
 * A photograph that is moved, turned or bent before the camera maps its points from one frame to the next by a smooth warp: a homography, and low-order
 * terms more for the bend. So the warp is fitted as a polynomial, and only what it leaves over counts as motion: lids, lips, and the nose that stands before
 * the cheeks. Depths of the mesh are not used, for the network gives them to photographs too. */
#include "liveness/fusion.h"

#include <math.h>
#include <stddef.h>
#include "liveness/gestures.h"
#include "liveness/surface.h"

enum { POINTS = 468, WARP_DEGREE = 3 };
enum { EYE_1 = 33, EYE_2 = 133, EYE_3 = 362, EYE_4 = 263 };

struct shape { float x[POINTS], y[POINTS]; };

static bool has_mesh(const struct mien_frame *f) { return f->face->mesh != NULL && f->face->mesh_points >= POINTS; }

/* The mesh about its middle in units of the distance between the eyes. */
static bool shape_of(const struct mien_frame *f, struct shape *s)
{
    const float *m = f->face->mesh;
    double mx = 0.0, my = 0.0;
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

/* Mean square of what the smooth warp from a to b leaves over. */
static float left_over(const struct shape *a, const struct shape *b)
{
    struct mien_surface to_x, to_y;
    double sum = 0.0;
    if (!mien_surface_fit(WARP_DEGREE, POINTS, a->x, a->y, b->x, NULL, &to_x)) return 0.0f;
    if (!mien_surface_fit(WARP_DEGREE, POINTS, a->x, a->y, b->y, NULL, &to_y)) return 0.0f;
    for (int i = 0; i < POINTS; i++) {
        const float dx = b->x[i] - mien_surface_at(&to_x, a->x[i], a->y[i]);
        const float dy = b->y[i] - mien_surface_at(&to_y, a->x[i], a->y[i]);
        sum += (double)(dx * dx + dy * dy);
    }
    return (float)(sum / POINTS);
}

struct mien_modality mien_motion_score(const struct mien_fusion_settings *s, const struct mien_frame *frames, int n)
{
    struct shape last, now;
    double sum = 0.0;
    int pairs = -1;
    for (int i = 0; i < n; i++) {
        if (!has_mesh(&frames[i]) || !shape_of(&frames[i], &now)) continue;
        if (++pairs > 0) sum += (double)left_over(&last, &now);
        last = now;
    }
    if (pairs < 1) return (struct mien_modality){0};
    const float v = (float)(sum / pairs) / s->micro_motion_min_variance;
    return (struct mien_modality){true, v * v / (v * v + 1.0f)};
}

/* ---- blink ---- */

enum { FRAMES_TO_MISS_A_BLINK = 8 };

struct mien_modality mien_blink_score(const struct mien_frame *frames, int n)
{
    int changes = 0, known = 0;
    bool was_closed = false;
    for (int i = 0; i < n; i++) {
        if ((frames[i].face->have & MIEN_WANT_EYES) == 0) continue;
        const bool closed = frames[i].face->ear <= MIEN_EAR_CLOSED;
        changes += known++ > 0 && closed != was_closed;
        was_closed = closed;
    }
    if (known < 2 || (changes == 0 && known < FRAMES_TO_MISS_A_BLINK)) return (struct mien_modality){0};
    return (struct mien_modality){true, changes >= 2 ? 1.0f : 0.5f * (float)changes};
}
