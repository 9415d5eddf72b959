/* 106 points: contour, brows, eyes, nose and mouth, in the order of the network (InsightFace's 2d106det, or another).
 *
 * The network sees an upright square about the box and says where the points are in it. "signed": InsightFace's python package
 * (model_zoo/landmark.py, Landmark.get) takes p to the pixel (p + 1) * side / 2 of the input, and that back by the inverse of its crop.
 * "unit": fractions of the input from edge to edge, so the pixel is p * side - 0.5. The crop there (utils/face_align.py, transform) puts
 * the box's centre on a pixel, ours on an edge between pixels, as everywhere in this room: at most half a pixel of the input apart. */
#include "face/parts.h"

enum { NUMBERS = 2 * MIEN_POINTS_106 };

/* From what the network says to the index of a pixel of its input. */
static float pixel_of(const struct mien_model *m, float p, int side)
{
    return m->points_signed ? 0.5f * (p + 1.0f) * (float)side : p * (float)side - 0.5f;
}

enum mien_code mien_face_landmarks106(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e)
{
    const struct mien_model *m;
    struct mien_exec *x;
    struct mien_affine map;
    const float *p;
    int n;
    MIEN_TRY(mien_part_model(job->models, MIEN_ROLE_LANDMARKS106, &m, e));
    MIEN_TRY(mien_part_run(job, m, f, &x, &map, e));
    MIEN_TRY(mien_part_output(job, m, x, "landmarks", NUMBERS, &p, &n, e));
    MIEN_FAIL_IF(n != NUMBERS, e, MIEN_E_MANIFEST, "model \"%s\": output \"landmarks\" has %d elements, %d are needed", m->id, n, NUMBERS);
    f->points106 = mien_arena_calloc(job->arena, NUMBERS, sizeof *f->points106);
    MIEN_FAIL_IF(f->points106 == NULL, e, MIEN_E_NOMEM, "out of memory for the points");
    for (int i = 0; i < NUMBERS; i += 2)
        mien_affine_apply(&map, pixel_of(m, p[i], m->width), pixel_of(m, p[i + 1], m->height), &f->points106[i], &f->points106[i + 1]);
    f->have |= MIEN_WANT_LANDMARKS106;
    return MIEN_OK;
}
