/* How usable a face is, as one number that a person can follow.
 *
 * score = 0.30 detection + 0.25 pose + 0.25 sharpness + 0.20 size, each part in 0..1. Full marks for size are 200 x 200
 * pixels, for sharpness a Laplacian variance of 500 (measured on the gray face box at full resolution). The formula belongs to
 * the published contract of the gallery routes: clients have thresholds on it, so it does not change silently. */
#include "face/face.h"

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
