/* How usable a face is, as one number that a person can follow.
 *
 * score = 0.30 detection + 0.25 pose + 0.25 sharpness + 0.20 size, each part in 0..1. Full marks for size are 200 x 200
 * pixels, for sharpness a Laplacian variance of 500 (measured on the gray face box at full resolution). The formula belongs to
 * the published contract of the gallery routes: clients have thresholds on it, so it does not change silently. */
#include "face/parts.h"

#include <math.h>

static float clamp01(float v) { return v > 0.0f ? (v < 1.0f ? v : 1.0f) : 0.0f; }

struct mien_quality mien_quality_of(float detection, float yaw, float pitch, float roll, float laplacian_variance, float area)
{
    struct mien_quality q = {.laplacian_variance = laplacian_variance, .face_size = area};
    q.detection = clamp01(detection);
    q.pose = clamp01(1.0f - (fabsf(yaw) + fabsf(pitch) + fabsf(roll)) / 180.0f);
    q.sharpness = clamp01(laplacian_variance / 500.0f);
    q.size = clamp01(area / 40000.0f);
    q.score = 0.30f * q.detection + 0.25f * q.pose + 0.25f * q.sharpness + 0.20f * q.size;
    q.is_frontal = fabsf(yaw) < 30.0f && fabsf(pitch) < 25.0f && fabsf(roll) < 20.0f;
    return q;
}

/* The box as whole pixels, clipped to the photo; empty when it lies outside. */
static struct mien_rect box_rect(const struct mien_photo *photo, struct mien_box b)
{
    float w = (float)mien_photo_width(photo), h = (float)mien_photo_height(photo);
    float x0 = floorf(fminf(fmaxf(b.x0, 0.0f), w)), y0 = floorf(fminf(fmaxf(b.y0, 0.0f), h));
    float x1 = ceilf(fminf(fmaxf(b.x1, 0.0f), w)), y1 = ceilf(fminf(fmaxf(b.y1, 0.0f), h));
    return (struct mien_rect){(int)x0, (int)y0, (int)(x1 - x0), (int)(y1 - y0)};
}

enum mien_code mien_face_quality(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e)
{
    struct mien_rect r = box_rect(job->photo, f->box);
    float variance = 0.0f;
    if (r.w > 0 && r.h > 0) {
        const struct mien_image *region;
        int x0, y0;
        MIEN_TRY(mien_photo_region(job->photo, r, &region, &x0, &y0, e));
        variance = mien_laplacian_variance(region, (struct mien_rect){r.x - x0, r.y - y0, r.w, r.h});
    }
    float area = (f->box.x1 - f->box.x0) * (f->box.y1 - f->box.y0);
    f->quality = mien_quality_of(f->score, f->yaw, f->pitch, f->roll, variance, area);
    f->have |= MIEN_WANT_QUALITY;
    return MIEN_OK;
}

enum mien_code mien_face_net_quality(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e)
{
    const struct mien_model *m;
    struct mien_exec *x;
    const float *raw;
    int n;
    MIEN_TRY(mien_part_model(job->models, MIEN_ROLE_QUALITY, &m, e));
    MIEN_TRY(mien_part_run(job, m, f, &x, NULL, e));
    MIEN_TRY(mien_part_output(job, m, x, "quality", 1, &raw, &n, e));
    mien_scores(m, raw, 1, &f->net_quality);
    f->have |= MIEN_WANT_NET_QUALITY;
    return MIEN_OK;
}
