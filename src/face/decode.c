/* From a detector's raw outputs to boxes and points, in pixels of the input.
 *
 * All five detectors answer for a fixed grid of places ("anchors"): per level of stride s one row of numbers for each of
 * n anchors of each cell, cells row by row, anchors fastest. They differ in what the numbers mean:
 *
 *   scrfd       score (sigmoid applied); distances left, top, right, bottom and points, in strides from the cell's corner
 *               (Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", 2021; InsightFace)
 *   yunet       score = sqrt(class * objectness); centre and log size in strides from the cell's corner
 *               (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023)
 *   retinaface  softmax of two; centre, log size and points relative to anchors of given sizes about the cell's centre, with
 *               variances 0.1 and 0.2 (Deng et al., "RetinaFace", 2019, after SSD)
 *   blazeface   logit; centre and size in input pixels from the cell's centre, six points (Bazarevsky et al., "BlazeFace", 2019)
 *   ssd         boxes come decoded: ymin, xmin, ymax, xmax as fractions of the input
 *
 * Nearly all places are background, so the raw number is compared with the threshold taken to its own scale (square, logit),
 * and square roots and exponentials are only computed for what passes. Comparisons are written so that NaN fails them. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "face/inner.h"

/* Where the outputs are found, and what has been found in them. */
struct decoding {
    const struct mien_model *m;
    const float *const *outputs;
    const struct mien_shape *shapes;
    const int *role_index;
    float threshold;
    struct mien_detection *found;
    int n, max;
};

/* Output of a role ("bbox", or with a stride "bbox_8") that has exactly `count` numbers; NULL otherwise. */
static const float *output(const struct decoding *d, const char *kind, int stride, int64_t count)
{
    char role[40];
    if (stride > 0) snprintf(role, sizeof role, "%s_%d", kind, stride);
    else snprintf(role, sizeof role, "%s", kind);
    for (int i = 0; i < d->m->n_outputs; i++) {
        if (strcmp(d->m->output[i].role, role) != 0 || d->role_index[i] < 0) continue;
        return mien_shape_count(&d->shapes[d->role_index[i]]) == count ? d->outputs[d->role_index[i]] : NULL;
    }
    return NULL;
}

static void add(struct decoding *d, float score, struct mien_box box, const float point[10])
{
    bool good = box.x1 > box.x0 && box.y1 > box.y0;
    const float edges[4] = {box.x0, box.y0, box.x1, box.y1};
    for (int i = 0; i < 4; i++) good = good && fabsf(edges[i]) < 1e5f; /* also false for NaN */
    for (int i = 0; i < 10; i++) good = good && fabsf(point[i]) < 1e5f;
    if (!good || d->n >= d->max) return;
    struct mien_detection *to = &d->found[d->n++];
    to->box = box;
    to->score = score < 1.0f ? score : 1.0f;
    memcpy(to->point, point, sizeof to->point);
}

static struct mien_box centred(float cx, float cy, float w, float h)
{
    return (struct mien_box){cx - 0.5f * w, cy - 0.5f * h, cx + 0.5f * w, cy + 0.5f * h};
}

struct grid { int stride, anchors, across; int64_t places; };

static struct grid grid_of(const struct mien_model *m, int level, int w, int h)
{
    int s = m->level[level].stride, across = (w + s - 1) / s, down = (h + s - 1) / s;
    return (struct grid){s, m->level[level].n_anchors, across, (int64_t)across * down * m->level[level].n_anchors};
}

static void cell_of(const struct grid *g, int64_t place, float *col, float *row)
{
    int cell = (int)(place / g->anchors);
    *col = (float)(cell % g->across);
    *row = (float)(cell / g->across);
}

static bool scrfd_level(struct decoding *d, int level, int w, int h)
{
    const struct grid g = grid_of(d->m, level, w, h);
    const float s = (float)g.stride;
    const float *score = output(d, "score", g.stride, g.places), *bbox = output(d, "bbox", g.stride, 4 * g.places);
    const float *kps = output(d, "kps", g.stride, 10 * g.places);
    if (score == NULL || bbox == NULL || kps == NULL) return false;
    for (int64_t i = 0; i < g.places; i++) {
        if (!(score[i] >= d->threshold)) continue;
        float col, row, point[10];
        cell_of(&g, i, &col, &row);
        const float *b = bbox + 4 * i, *k = kps + 10 * i;
        for (int p = 0; p < 5; p++) {
            point[2 * p] = (col + k[2 * p]) * s;
            point[2 * p + 1] = (row + k[2 * p + 1]) * s;
        }
        add(d, score[i], (struct mien_box){(col - b[0]) * s, (row - b[1]) * s, (col + b[2]) * s, (row + b[3]) * s}, point);
    }
    return true;
}

static float clip01(float v) { return v > 0.0f ? v < 1.0f ? v : 1.0f : 0.0f; }

static bool yunet_level(struct decoding *d, int level, int w, int h)
{
    const struct grid g = grid_of(d->m, level, w, h);
    const float s = (float)g.stride, squared = d->threshold * d->threshold;
    const float *cls = output(d, "cls", g.stride, g.places), *obj = output(d, "obj", g.stride, g.places);
    const float *bbox = output(d, "bbox", g.stride, 4 * g.places), *kps = output(d, "kps", g.stride, 10 * g.places);
    if (cls == NULL || obj == NULL || bbox == NULL || kps == NULL) return false;
    for (int64_t i = 0; i < g.places; i++) {
        float product = clip01(cls[i]) * clip01(obj[i]);
        if (!(product >= squared)) continue;
        float col, row, point[10];
        cell_of(&g, i, &col, &row);
        const float *b = bbox + 4 * i, *k = kps + 10 * i;
        for (int p = 0; p < 5; p++) {
            point[2 * p] = (col + k[2 * p]) * s;
            point[2 * p + 1] = (row + k[2 * p + 1]) * s;
        }
        add(d, sqrtf(product), centred((col + b[0]) * s, (row + b[1]) * s, expf(b[2]) * s, expf(b[3]) * s), point);
    }
    return true;
}

static bool retinaface(struct decoding *d, int w, int h)
{
    int64_t all = 0, first = 0;
    for (int l = 0; l < d->m->n_levels; l++) all += grid_of(d->m, l, w, h).places;
    const float *bbox = output(d, "bbox", 0, 4 * all), *conf = output(d, "conf", 0, 2 * all), *landm = output(d, "landm", 0, 10 * all);
    if (bbox == NULL || conf == NULL || landm == NULL) return false;
    for (int l = 0; l < d->m->n_levels; l++) {
        const struct grid g = grid_of(d->m, l, w, h);
        for (int64_t i = 0; i < g.places; i++) {
            float score = conf[2 * (first + i) + 1], col, row, point[10];
            if (!(score >= d->threshold)) continue;
            cell_of(&g, i, &col, &row);
            const float size = d->m->level[l].anchor[i % g.anchors], px = (col + 0.5f) * (float)g.stride, py = (row + 0.5f) * (float)g.stride;
            const float *b = bbox + 4 * (first + i), *k = landm + 10 * (first + i);
            for (int p = 0; p < 5; p++) {
                point[2 * p] = px + 0.1f * size * k[2 * p];
                point[2 * p + 1] = py + 0.1f * size * k[2 * p + 1];
            }
            add(d, score, centred(px + 0.1f * size * b[0], py + 0.1f * size * b[1], size * expf(0.2f * b[2]), size * expf(0.2f * b[3])), point);
        }
        first += g.places;
    }
    return true;
}

/* The five points out of eyes, nose and mouth centre: the corners lie along the eye line, apart as in the mean face of the
 * ArcFace template (29.2 of 35.2 pixels between the eyes). */
static void five_of_four(const float four[8], float point[10])
{
    const float half = 0.5f * 29.2f / 35.2f, ex = four[2] - four[0], ey = four[3] - four[1];
    memcpy(point, four, 6 * sizeof *point);
    point[6] = four[6] - half * ex;
    point[7] = four[7] - half * ey;
    point[8] = four[6] + half * ex;
    point[9] = four[7] + half * ey;
}

static void blazeface_places(struct decoding *d, const struct grid *g, const float *scores, const float *boxes)
{
    const float s = (float)g->stride, logit = logf(d->threshold / (1.0f - d->threshold));
    for (int64_t i = 0; i < g->places; i++) {
        if (!(scores[i] >= logit)) continue;
        float col, row, four[8], point[10];
        cell_of(g, i, &col, &row);
        const float px = (col + 0.5f) * s, py = (row + 0.5f) * s, *b = boxes + 16 * i;
        for (int p = 0; p < 4; p++) {
            four[2 * p] = px + b[4 + 2 * p];
            four[2 * p + 1] = py + b[5 + 2 * p];
        }
        five_of_four(four, point);
        add(d, 1.0f / (1.0f + expf(-scores[i])), centred(px + b[0], py + b[1], b[2], b[3]), point);
    }
}

/* Boxes and scores are one tensor a level, or one of all levels. */
static bool blazeface(struct decoding *d, int w, int h)
{
    int64_t all = 0, first = 0;
    for (int l = 0; l < d->m->n_levels; l++) all += grid_of(d->m, l, w, h).places;
    const float *all_scores = output(d, "scores", 0, all), *all_boxes = output(d, "boxes", 0, 16 * all);
    for (int l = 0; l < d->m->n_levels; l++) {
        const struct grid g = grid_of(d->m, l, w, h);
        const float *scores = all_scores != NULL ? all_scores + first : output(d, "scores", g.stride, g.places);
        const float *boxes = all_boxes != NULL ? all_boxes + 16 * first : output(d, "boxes", g.stride, 16 * g.places);
        if (scores == NULL || boxes == NULL) return false;
        blazeface_places(d, &g, scores, boxes);
        first += g.places;
    }
    return true;
}

void mien_points_from_box(struct mien_box b, float point[10])
{
    /* means of yunet_n's points in face-api's SSD boxes over 108 faces, made symmetric */
    static const float mean[10] = {0.27f, 0.39f, 0.73f, 0.39f, 0.50f, 0.60f, 0.29f, 0.75f, 0.71f, 0.75f};
    for (int i = 0; i < 10; i += 2) {
        point[i] = b.x0 + mean[i] * (b.x1 - b.x0);
        point[i + 1] = b.y0 + mean[i + 1] * (b.y1 - b.y0);
    }
}

static bool ssd(struct decoding *d, int w, int h)
{
    int64_t places = -1;
    for (int i = 0; i < d->m->n_outputs; i++)
        if (strcmp(d->m->output[i].role, "scores") == 0 && d->role_index[i] >= 0) places = mien_shape_count(&d->shapes[d->role_index[i]]);
    if (places < 0) return false;
    const float *scores = output(d, "scores", 0, places), *boxes = output(d, "boxes", 0, 4 * places);
    if (scores == NULL || boxes == NULL) return false;
    for (int64_t i = 0; i < places; i++) {
        if (!(scores[i] >= d->threshold)) continue;
        const float *b = boxes + 4 * i;
        const struct mien_box box = {clip01(b[1]) * (float)w, clip01(b[0]) * (float)h, clip01(b[3]) * (float)w, clip01(b[2]) * (float)h};
        float point[10];
        mien_points_from_box(box, point);
        add(d, scores[i], box, point);
    }
    return true;
}

int64_t mien_decode_places(const struct mien_model *m, int w, int h)
{
    int64_t n = 0;
    for (int l = 0; l < m->n_levels; l++) n += grid_of(m, l, w, h).places;
    return n;
}

int mien_decode(const struct mien_model *m, int w, int h, const float *const *outputs, const struct mien_shape *shapes, const int *role_index,
                float threshold, struct mien_detection *found, int max)
{
    struct decoding d = {m, outputs, shapes, role_index, threshold, found, 0, max};
    bool good = true;
    switch (m->decoder) {
    case MIEN_DECODER_SCRFD:
        for (int l = 0; l < m->n_levels && good; l++) good = scrfd_level(&d, l, w, h);
        break;
    case MIEN_DECODER_YUNET:
        for (int l = 0; l < m->n_levels && good; l++) good = yunet_level(&d, l, w, h);
        break;
    case MIEN_DECODER_RETINAFACE: good = retinaface(&d, w, h); break;
    case MIEN_DECODER_BLAZEFACE: good = blazeface(&d, w, h); break;
    case MIEN_DECODER_SSD: good = ssd(&d, w, h); break;
    case MIEN_DECODER_NONE: good = false; break;
    }
    return good ? d.n : -1;
}
