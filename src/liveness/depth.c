/* Depth: does the nose stand out of the face, and how is the face shaped?
 *
 * A plane is what a flat photograph is, and a quadric what a bent one is near enough; the surface is fitted to forehead, cheeks and chin, and what counts is
 * how far the nose stands before it. Unit of all lengths is the distance between the eyes: 63 mm for a sensor's millimetres, the mean of adults. */
#include "liveness/fusion.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include "liveness/surface.h"

#define EYES_MM 63.0f

/* ---- places of a face: u runs from eye to eye, -0.5..0.5, and v from the eyes to the mouth, 0..1 ---- */

enum { SIDE = 16, CELLS = SIDE * SIDE, MESH = 468, MOST = MESH };
_Static_assert((int)CELLS == (int)MIEN_DEPTH_DIM, "one number a cell");

#define U_STEP (1.5f / SIDE)
#define V_STEP (1.75f / SIDE)

/* The point at (u, v) of the photo is (x, y) + u * (ux, uy) + v * (vx, vy). */
struct axes { float x, y, ux, uy, vx, vy; };

static struct axes axes_of(const float p[10])
{
    const float x = 0.5f * (p[0] + p[2]), y = 0.5f * (p[1] + p[3]);
    return (struct axes){x, y, p[2] - p[0], p[3] - p[1], 0.5f * (p[6] + p[8]) - x, 0.5f * (p[7] + p[9]) - y};
}

/* Heights towards the camera over places of a face; what weighs nothing is unknown. */
struct relief { int n; float u[MOST], v[MOST], height[MOST], weight[MOST]; };

static bool is_nose(float u, float v) { return fabsf(u) < 0.30f && v > -0.05f && v < 0.85f; }
static bool is_tip(float u, float v) { return fabsf(u) < 0.16f && v > 0.40f && v < 0.75f; }

static int rising(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float quantile(float *v, int n, int quarter)
{
    qsort(v, (size_t)n, sizeof *v, rising);
    return v[(n - 1) * quarter / 4];
}

/* ---- sampling ---- */

static uint16_t depth_at(const struct mien_depth_map *d, float x, float y)
{
    if (!(x >= 0.0f && y >= 0.0f && x < (float)d->width && y < (float)d->height)) return 0;
    return d->mm[(size_t)y * (size_t)d->width + (size_t)x];
}

/* Median of the known depths in a cell, 0 when less than half are known: sensors are noisy and leave holes. */
static float cell_depth(const struct mien_depth_map *d, const struct axes *a, float u, float v)
{
    enum { ACROSS = 5, ALL = ACROSS * ACROSS };
    float known[ALL];
    int n = 0;
    for (int i = 0; i < ALL; i++) {
        const float du = u + U_STEP * ((float)(i % ACROSS) / ACROSS - 0.4f), dv = v + V_STEP * ((float)(i / ACROSS) / ACROSS - 0.4f);
        const uint16_t mm = depth_at(d, a->x + du * a->ux + dv * a->vx, a->y + du * a->uy + dv * a->vy);
        if (mm != 0) known[n++] = mm;
    }
    return 2 * n >= ALL ? quantile(known, n, 2) : 0.0f;
}

static void scale_axes(struct axes *a, float x, float y)
{
    a->x *= x;
    a->ux *= x;
    a->vx *= x;
    a->y *= y;
    a->uy *= y;
    a->vy *= y;
}

/* A grid of cells over the face in a sensor's map; returns how many are known. */
static int sample(const struct mien_depth_map *d, int photo_width, int photo_height, const struct mien_face *f, struct relief *r)
{
    struct axes a = axes_of(f->point);
    int known = 0;
    r->n = 0;
    if (photo_width <= 0 || photo_height <= 0) return 0;
    scale_axes(&a, (float)d->width / (float)photo_width, (float)d->height / (float)photo_height);
    for (int i = 0; i < CELLS; i++) {
        const float u = -0.75f + U_STEP * ((float)(i % SIDE) + 0.5f), v = -0.45f + V_STEP * ((float)(i / SIDE) + 0.5f), mm = cell_depth(d, &a, u, v);
        r->u[i] = u;
        r->v[i] = v;
        r->height[i] = -mm / EYES_MM;
        r->weight[i] = mm > 0.0f ? 1.0f : 0.0f;
        known += mm > 0.0f;
    }
    r->n = CELLS;
    return known;
}

static bool from_mesh(const struct mien_face *f, struct relief *r)
{
    const struct axes a = axes_of(f->point);
    const float area = a.ux * a.vy - a.uy * a.vx, eyes = hypotf(a.ux, a.uy);
    if (f->mesh == NULL || f->mesh_points < MESH || !(fabsf(area) > 1.0f)) return false;
    r->n = MESH;
    for (int i = 0; i < MESH; i++) {
        const float x = f->mesh[3 * i] - a.x, y = f->mesh[3 * i + 1] - a.y, z = f->mesh[3 * i + 2];
        if (!isfinite(x + y + z)) return false;
        r->u[i] = (x * a.vy - y * a.vx) / area;
        r->v[i] = (a.ux * y - a.uy * x) / area;
        r->height[i] = -z / eyes;
        r->weight[i] = fabsf(r->u[i]) < 0.8f && r->v[i] > -0.5f && r->v[i] < 1.35f ? 1.0f : 0.0f;
    }
    return true;
}

/* ---- the nose before the rest ---- */

static float above(const struct relief *r, int i, const struct mien_surface *s) { return r->height[i] - mien_surface_at(s, r->u[i], r->v[i]); }

static bool fit(int degree, const struct relief *r, struct mien_surface *out)
{
    const float *const height = r->height;
    return mien_surface_fit(degree, r->n, r->u, r->v, r->weight, 1, &height, out);
}

/* Fits to what weighs, again and again without what strays: hair, a background at the edge, rims of holes. */
static bool fit_robustly(int degree, struct relief *r, struct mien_surface *out)
{
    enum { ROUNDS = 4 };
    const float least = 0.02f; /* of the distance between the eyes: noise of a sensor is no stray */
    for (int round = 0; round < ROUNDS; round++) {
        float stray[MOST];
        int n = 0;
        if (!fit(degree, r, out)) return false;
        for (int i = 0; i < r->n; i++)
            if (r->weight[i] > 0.0f) stray[n++] = fabsf(above(r, i, out));
        const float limit = fmaxf(4.5f * quantile(stray, n, 2), least);
        for (int i = 0; i < r->n; i++)
            if (fabsf(above(r, i, out)) > limit) r->weight[i] = 0.0f;
    }
    return fit(degree, r, out);
}

/* How far the nose stands before a bent sheet through the rest of the face; false when too little is known. Uses up the weights. */
static bool nose_of(struct relief *r, float *nose)
{
    enum { LEAST_REST = 40, LEAST_TIP = 4, BENT = 2 };
    struct mien_surface sheet;
    float tip[MOST];
    int rest = 0, tips = 0, at[MOST];
    for (int i = 0; i < r->n; i++) {
        if (r->weight[i] > 0.0f && is_tip(r->u[i], r->v[i])) at[tips++] = i;
        if (is_nose(r->u[i], r->v[i])) r->weight[i] = 0.0f;
        rest += r->weight[i] > 0.0f;
    }
    if (rest < LEAST_REST || tips < LEAST_TIP || !fit_robustly(BENT, r, &sheet)) return false;
    for (int i = 0; i < tips; i++) tip[i] = above(r, at[i], &sheet);
    *nose = quantile(tip, tips, 3);
    return true;
}

/* Half at the threshold, four fifths at twice as much, nothing for what does not stand out. */
static struct mien_modality score_of(float nose, float threshold, float most)
{
    const float r = threshold > 0.0f ? fmaxf(nose, 0.0f) / threshold : 0.0f;
    return (struct mien_modality){true, isfinite(r) ? most * r * r / (r * r + 1.0f) : 0.0f};
}

struct mien_modality mien_depth_score(const struct mien_fusion_settings *s, const struct mien_frame *frame)
{
    /* The network draws a nose on photographs, too: its depth counts, but never for much. */
    const float mesh_counts = 0.6f;
    struct relief r;
    float nose;
    const struct mien_depth_map *d = frame->depth;
    if (d != NULL && sample(d, frame->photo_width, frame->photo_height, frame->face, &r) > 0 && nose_of(&r, &nose))
        return score_of(nose, s->depth_consistency_threshold, 1.0f);
    if (from_mesh(frame->face, &r) && nose_of(&r, &nose)) return score_of(nose, s->depth_consistency_threshold, mesh_counts);
    return (struct mien_modality){0};
}

/* ---- descriptor ---- */

bool mien_depth_descriptor(const struct mien_depth_map *depth, int photo_width, int photo_height, const struct mien_face *face, float out[MIEN_DEPTH_DIM])
{
    struct relief r, all;
    struct mien_surface plane;
    double sum = 0.0;
    if (sample(depth, photo_width, photo_height, face, &r) < CELLS * 3 / 4) return false;
    all = r;
    if (!fit_robustly(1, &r, &plane)) return false;
    for (int i = 0; i < CELLS; i++) {
        /* Background beside a narrow face would outweigh the face. */
        out[i] = all.weight[i] > 0.0f ? fminf(fmaxf(above(&all, i, &plane), -1.0f), 1.0f) : 0.0f;
        sum += (double)(out[i] * out[i]);
    }
    if (!(sum > 0.0)) return false;
    for (int i = 0; i < CELLS; i++) out[i] = (float)((double)out[i] / sqrt(sum));
    return true;
}

/* A check that the shape is not against it, no proof of identity: half at the cosine that 19 of 20 pairs of one person exceed on noisy maps; see
 * docs/liveness.md. */
float mien_depth_confidence(float cosine) { return 1.0f / (1.0f + expf(-20.0f * (cosine - 0.83f))); }
