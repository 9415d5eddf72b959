/* Depth: does the nose stand out of the face, and how is the face shaped?
 *
 * A plane is what a flat photograph is and a quadric is what a bent one is near enough; the surface is fitted to forehead, cheeks and mouth, and what counts
 * is how far the nose stands before it. Unit of all lengths is the distance between the eyes: 63 mm for a sensor's millimetres, the mean of adults. */
#include "liveness/fusion.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include "liveness/surface.h"

#define EYES_MM 63.0f

/* ---- grid over the face ---- */

/* 16 x 16 samples: u from eye to eye is -0.5..0.5, v from the eyes to the mouth 0..1. */
enum { SIDE = 16, CELLS = SIDE * SIDE };
_Static_assert((int)CELLS == (int)MIEN_DEPTH_DIM, "one number a cell");

struct grid { float u[CELLS], v[CELLS], height[CELLS], weight[CELLS]; int known; };

static float cell_u(int i) { return -0.75f + 1.5f * (float)(i % SIDE) / (SIDE - 1); }
static float cell_v(int i) { return -0.45f + 1.75f * (float)(i / SIDE) / (SIDE - 1); }

/* The nose and its root, which the surface must not follow. */
static bool is_nose(float u, float v) { return fabsf(u) < 0.30f && v > -0.05f && v < 0.85f; }
static bool is_tip(float u, float v) { return fabsf(u) < 0.16f && v > 0.40f && v < 0.75f; }

static int rising(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Median of the known depths around a place; 0 = none. */
static float depth_at(const struct mien_depth *d, float x, float y)
{
    float near[9];
    int n = 0;
    if (!(x >= 0.0f && y >= 0.0f && x < (float)d->width && y < (float)d->height)) return 0.0f;
    for (int j = -1; j <= 1; j++)
        for (int i = -1; i <= 1; i++) {
            const int px = (int)x + i, py = (int)y + j;
            if (px < 0 || py < 0 || px >= d->width || py >= d->height) continue;
            const uint16_t mm = d->mm[(size_t)py * (size_t)d->width + (size_t)px];
            if (mm != 0) near[n++] = mm;
        }
    qsort(near, (size_t)n, sizeof *near, rising);
    return n > 0 ? near[n / 2] : 0.0f;
}

/* Heights towards the camera; cells without depth weigh nothing. */
static void sample(const struct mien_depth *d, float scale_x, float scale_y, const float p[10], struct grid *g)
{
    const float ex = p[2] - p[0], ey = p[3] - p[1], cx = 0.5f * (p[0] + p[2]), cy = 0.5f * (p[1] + p[3]);
    const float dx = 0.5f * (p[6] + p[8]) - cx, dy = 0.5f * (p[7] + p[9]) - cy;
    g->known = 0;
    for (int i = 0; i < CELLS; i++) {
        const float u = g->u[i] = cell_u(i), v = g->v[i] = cell_v(i);
        const float mm = depth_at(d, scale_x * (cx + u * ex + v * dx), scale_y * (cy + u * ey + v * dy));
        g->height[i] = -mm / EYES_MM;
        g->weight[i] = mm > 0.0f;
        g->known += mm > 0.0f;
    }
}

/* ---- relief ---- */

/* Fits to the points that weigh, then again without those that stray: hair, a background at the edge, holes' rims. */
static bool fit_robustly(int degree, int n, const float *x, const float *y, const float *h, float *weight, struct mien_surface *out)
{
    enum { ROUNDS = 4 };
    for (int round = 0; round < ROUNDS; round++) {
        float stray[CELLS > 478 ? CELLS : 478];
        int k = 0;
        if (!mien_surface_fit(degree, n, x, y, h, weight, out)) return false;
        for (int i = 0; i < n; i++)
            if (weight[i] > 0.0f) stray[k++] = fabsf(h[i] - mien_surface_at(out, x[i], y[i]));
        qsort(stray, (size_t)k, sizeof *stray, rising);
        const float limit = fmaxf(4.5f * stray[k / 2], 0.02f);
        for (int i = 0; i < n; i++)
            if (fabsf(h[i] - mien_surface_at(out, x[i], y[i])) > limit) weight[i] = 0.0f;
    }
    return true;
}

/* Half at the threshold, a fifth at half of it. */
static float score_of(float relief, float threshold)
{
    const float r = fmaxf(relief, 0.0f) / threshold;
    return r * r / (r * r + 1.0f);
}

/* How far the tip of the nose stands before a surface through the rest of the face. False when too little is known. */
static bool relief_of(int n, const float *u, const float *v, const float *h, float *weight, float *relief)
{
    float tip[CELLS > 478 ? CELLS : 478];
    int tips = 0, rest = 0;
    struct mien_surface s;
    bool is_known[CELLS > 478 ? CELLS : 478];
    for (int i = 0; i < n; i++) {
        is_known[i] = weight[i] > 0.0f;
        if (is_nose(u[i], v[i])) weight[i] = 0.0f;
        rest += weight[i] > 0.0f;
    }
    if (rest < 40 || !fit_robustly(2, n, u, v, h, weight, &s)) return false;
    for (int i = 0; i < n; i++)
        if (is_known[i] && is_tip(u[i], v[i])) tip[tips++] = h[i] - mien_surface_at(&s, u[i], v[i]);
    if (tips < 4) return false;
    qsort(tip, (size_t)tips, sizeof *tip, rising);
    *relief = tip[(3 * tips) / 4];
    return true;
}

/* ---- from the mesh ---- */

static bool mesh_relief(const struct mien_face *f, float *relief)
{
    float u[478], v[478], h[478], weight[478];
    const float *p = f->point, *m = f->mesh;
    const float ex = p[2] - p[0], ey = p[3] - p[1], cx = 0.5f * (p[0] + p[2]), cy = 0.5f * (p[1] + p[3]);
    const float dx = 0.5f * (p[6] + p[8]) - cx, dy = 0.5f * (p[7] + p[9]) - cy, area = ex * dy - ey * dx, eyes = hypotf(ex, ey);
    if (!(fabsf(area) > 1.0f)) return false;
    for (int i = 0; i < 468; i++) {
        const float x = m[3 * i] - cx, y = m[3 * i + 1] - cy;
        u[i] = (x * dy - y * dx) / area;
        v[i] = (ex * y - ey * x) / area;
        h[i] = -m[3 * i + 2] / eyes;
        weight[i] = fabsf(u[i]) < 0.8f && v[i] > -0.5f && v[i] < 1.35f;
    }
    return relief_of(468, u, v, h, weight, relief);
}

static bool sensor_relief(const struct mien_depth *d, int photo_width, int photo_height, const struct mien_face *f, float *relief)
{
    struct grid g;
    if (photo_width <= 0 || photo_height <= 0) return false;
    sample(d, (float)d->width / (float)photo_width, (float)d->height / (float)photo_height, f->point, &g);
    return relief_of(CELLS, g.u, g.v, g.height, g.weight, relief);
}

struct mien_modality mien_depth_score(const struct mien_fusion_settings *s, const struct mien_frame *frame)
{
    float relief;
    const struct mien_face *f = frame->face;
    if (frame->depth != NULL && sensor_relief(frame->depth, frame->photo_width, frame->photo_height, f, &relief))
        return (struct mien_modality){true, score_of(relief, s->depth_consistency_threshold)};
    if (f->mesh == NULL || f->mesh_points < 468 || !mesh_relief(f, &relief)) return (struct mien_modality){0};
    return (struct mien_modality){true, score_of(relief, s->depth_consistency_threshold)};
}

bool mien_depth_descriptor(const struct mien_depth *depth, int photo_width, int photo_height, const struct mien_face *face, float out[MIEN_DEPTH_DIM])
{
    struct grid g;
    struct mien_surface plane;
    double sum = 0.0;
    sample(depth, (float)depth->width / (float)photo_width, (float)depth->height / (float)photo_height, face->point, &g);
    if (g.known < CELLS * 3 / 4 || !mien_surface_fit(1, CELLS, g.u, g.v, g.height, g.weight, &plane)) return false;
    for (int i = 0; i < CELLS; i++) {
        out[i] = g.weight[i] > 0.0f ? g.height[i] - mien_surface_at(&plane, g.u[i], g.v[i]) : 0.0f;
        sum += (double)(out[i] * out[i]);
    }
    if (!(sum > 0.0)) return false;
    for (int i = 0; i < CELLS; i++) out[i] = (float)((double)out[i] / sqrt(sum));
    return true;
}

float mien_depth_confidence(float cosine) { return 1.0f / (1.0f + expf(-20.0f * (cosine - 0.8f))); }
