/* The image cues and their fusion. Sources, calibration and limits: docs/liveness.md. */
#include "liveness/cues.h"

#include <math.h>

#include "image/warp.h"
#include "liveness/spectrum.h"
#include "liveness/cue_measures.h"

enum { SIDE = 128 };

static float clamp01(float v) { return v < 0 ? 0 : v > 1 ? 1 : v; }

/* 0 at `bad`, 1 at `good`, linear between; either may be the greater. */
static float ramp(float v, float bad, float good) { return clamp01((v - bad) / (good - bad)); }

/* ---- measures ---- */

/* The face's box, enlarged by `scale` about its centre; clipped to the photo. */
static struct mien_rect around(const struct mien_face *f, const struct mien_photo *photo, float scale)
{
    const float cx = 0.5f * (f->box.x0 + f->box.x1), cy = 0.5f * (f->box.y0 + f->box.y1);
    const float w = 0.5f * scale * (f->box.x1 - f->box.x0), h = 0.5f * scale * (f->box.y1 - f->box.y0);
    const int x0 = (int)fmaxf(0, cx - w), y0 = (int)fmaxf(0, cy - h);
    const int x1 = (int)fminf((float)mien_photo_width(photo), cx + w), y1 = (int)fminf((float)mien_photo_height(photo), cy + h);
    return (struct mien_rect){x0, y0, x1 > x0 ? x1 - x0 : 1, y1 > y0 ? y1 - y0 : 1};
}

/* Chai and Ngan, "Face segmentation using skin-color map in videophone applications", IEEE TCSVT 9(4), 1999: skin of all kinds lies in
 * Cb 77..127, Cr 133..173. */
static void measure_colour(const float *rgb, struct mien_cue_measures *m)
{
    int skin = 0, clipped = 0, n = 0;
    double cb_sum = 0, cr_sum = 0, cb_square = 0, cr_square = 0;
    for (int y = SIDE / 5; y < SIDE * 4 / 5; y++) /* the middle: little hair and background */
        for (int x = SIDE / 5; x < SIDE * 4 / 5; x++, n++) {
            const float *p = rgb + 3 * (y * SIDE + x);
            const float cb = 128.0f - 0.168736f * p[0] - 0.331264f * p[1] + 0.5f * p[2], cr = 128.0f + 0.5f * p[0] - 0.418688f * p[1] - 0.081312f * p[2];
            skin += cb >= 77 && cb <= 127 && cr >= 133 && cr <= 173;
            clipped += p[0] > 252 || p[1] > 252 || p[2] > 252;
            cb_sum += (double)cb;
            cr_sum += (double)cr;
            cb_square += (double)(cb * cb);
            cr_square += (double)(cr * cr);
        }
    const double cb_mean = cb_sum / n, cr_mean = cr_sum / n;
    m->skin_share = (float)skin / (float)n;
    m->clipped_share = (float)clipped / (float)n;
    m->chroma_spread = (float)sqrt(fmax(0, cb_square / n - cb_mean * cb_mean) + fmax(0, cr_square / n - cr_mean * cr_mean));
}

/* Mean length of the brightness gradient (central differences) of the face at 128 x 128. */
static void measure_texture(const float *rgb, struct mien_cue_measures *m)
{
    float gray[SIDE * SIDE];
    double sum = 0;
    for (int i = 0; i < SIDE * SIDE; i++) gray[i] = 0.299f * rgb[3 * i] + 0.587f * rgb[3 * i + 1] + 0.114f * rgb[3 * i + 2];
    for (int y = 1; y < SIDE - 1; y++)
        for (int x = 1; x < SIDE - 1; x++) {
            const float *g = gray + y * SIDE + x;
            const float dx = g[1] - g[-1], dy = g[SIDE] - g[-SIDE];
            sum += (double)sqrtf(dx * dx + dy * dy);
        }
    m->gradient = (float)(sum / ((SIDE - 2) * (SIDE - 2)));
}

/* Distance of the eyes by the distance from eyes to mouth, both as a frontal face would show them: a turned head shortens the one by the
 * cosine of its yaw, a nodding one the other by that of its pitch. */
static void measure_proportion(const struct mien_face *f, struct mien_cue_measures *m)
{
    const float *p = f->point;
    const float radians = 3.14159265f / 180.0f;
    const float eyes = hypotf(p[2] - p[0], p[3] - p[1]);
    const float down = hypotf(0.5f * (p[6] + p[8] - p[0] - p[2]), 0.5f * (p[7] + p[9] - p[1] - p[3]));
    const bool posed = (f->have & MIEN_WANT_POSE) != 0;
    const float yaw = posed ? fminf(fabsf(f->yaw), 60.0f) : 0, pitch = posed ? fminf(fabsf(f->pitch), 60.0f) : 0;
    m->aspect = (f->box.x1 - f->box.x0) / fmaxf(f->box.y1 - f->box.y0, 1.0f);
    m->proportion = down > 0 ? eyes / cosf(yaw * radians) / (down / cosf(pitch * radians)) : 0;
}

enum mien_code mien_cue_measures_take(struct mien_photo *photo, const struct mien_face *face, struct mien_arena *arena, struct mien_cue_measures *m,
                                      struct mien_err *e)
{
    static const struct mien_tensor_spec plain = {MIEN_RGB, {0, 0, 0}, {1, 1, 1}};
    const struct mien_image *region;
    int x0, y0;
    *m = (struct mien_cue_measures){0};
    MIEN_TRY(mien_photo_region(photo, around(face, photo, 1.3f), &region, &x0, &y0, e));
    MIEN_TRY(mien_spectrum_peak(region, arena, &m->peak, e));
    float *rgb = mien_arena_calloc(arena, 3 * SIDE * SIDE, sizeof *rgb);
    MIEN_FAIL_IF(rgb == NULL, e, MIEN_E_NOMEM, "out of memory for a face");
    MIEN_TRY(mien_crop_resize(region, face->box.x0 - (float)x0, face->box.y0 - (float)y0, face->box.x1 - (float)x0, face->box.y1 - (float)y0, SIDE, SIDE,
                              MIEN_AREA_OR_BILINEAR, MIEN_BORDER_REPLICATE, &plain, rgb, e));
    measure_colour(rgb, m);
    measure_texture(rgb, m);
    measure_proportion(face, m);
    return MIEN_OK;
}

/* ---- cues ---- */

struct mien_cues mien_cues_of(const struct mien_cue_measures *m, float detection)
{
    return (struct mien_cues){
        .screen_pattern = m->peak > 0 ? ramp(logf(m->peak), logf(10.0f), logf(3.0f)) : 0.5f,
        .color_distribution = ramp(m->skin_share, 0.15f, 0.60f) * ramp(m->clipped_share, 0.50f, 0.10f) * ramp(m->chroma_spread, 1.0f, 4.0f),
        .face_proportion = ramp(m->aspect, 0.54f, 0.63f) * ramp(m->aspect, 1.00f, 0.87f) * ramp(fabsf(logf(fmaxf(m->proportion, 0.01f) / 0.97f)), 0.50f, 0.25f),
        .detection_confidence = clamp01(detection),
        .texture_complexity = ramp(m->gradient, 3.0f, 9.0f),
    };
}

enum mien_code mien_cues_measure(struct mien_photo *photo, const struct mien_face *face, struct mien_arena *arena, struct mien_cues *out, struct mien_err *e)
{
    struct mien_cue_measures m;
    MIEN_TRY(mien_cue_measures_take(photo, face, arena, &m, e));
    *out = mien_cues_of(&m, face->score);
    return MIEN_OK;
}

/* ---- fusion ---- */

/* Logistic regression, fitted by tools/liveness/calibrate.py on the photos that docs/liveness.md lists. Every weight is above 0. */
#define BIAS -18.35f
#define ANTISPOOF 4.56f
#define SCREEN_PATTERN 4.77f
#define COLOR_DISTRIBUTION 4.17f
#define FACE_PROPORTION 4.14f
#define DETECTION_CONFIDENCE 1.11f
#define TEXTURE_COMPLEXITY 3.17f

float mien_liveness_confidence(const struct mien_cues *c, float antispoof)
{
    const float z = BIAS + ANTISPOOF * antispoof + SCREEN_PATTERN * c->screen_pattern + COLOR_DISTRIBUTION * c->color_distribution +
                    FACE_PROPORTION * c->face_proportion + DETECTION_CONFIDENCE * c->detection_confidence + TEXTURE_COMPLEXITY * c->texture_complexity;
    return 1.0f / (1.0f + expf(-z));
}
