/* The 3-D face mesh: 478 (or 468) points by MediaPipe's Face Mesh networks.
 *
 * Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019. The network sees a square
 * turned so that the eyes are level; its points come back as (x, y, z) in that square's pixels and are taken to the photo here:
 * x and y by the crop's own map, z by the map's scale, so that one unit is one photo pixel in all three. */
#include "face/parts.h"

#include <math.h>

enum { POINTS_WITH_IRIS = 478, POINTS = 468 };

static void to_photo_pixels(const struct mien_affine *a, const float *in, int points, float *out)
{
    float scale = sqrtf(fabsf(a->m[0] * a->m[4] - a->m[1] * a->m[3]));
    for (int i = 0; i < points; i++) {
        mien_affine_apply(a, in[3 * i], in[3 * i + 1], &out[3 * i], &out[3 * i + 1]);
        out[3 * i + 2] = scale * in[3 * i + 2];
    }
}

enum mien_code mien_face_mesh(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e)
{
    const struct mien_model *m;
    struct mien_exec *x;
    struct mien_affine map;
    const float *points, *flag;
    int n, n_flag;
    MIEN_TRY(mien_part_model(job->models, MIEN_ROLE_LANDMARKS, &m, e));
    MIEN_TRY(mien_part_run(job, m, f, &x, &map, e));
    MIEN_TRY(mien_part_output(job, m, x, "mesh", 3 * POINTS, &points, &n, e));
    MIEN_TRY(mien_part_output(job, m, x, "presence", 1, &flag, &n_flag, e));
    f->mesh_points = n >= 3 * POINTS_WITH_IRIS ? POINTS_WITH_IRIS : POINTS;
    f->mesh = mien_arena_calloc(job->arena, 3 * (size_t)f->mesh_points, sizeof *f->mesh);
    MIEN_FAIL_IF(f->mesh == NULL, e, MIEN_E_NOMEM, "out of memory for the mesh");
    to_photo_pixels(&map, points, f->mesh_points, f->mesh);
    mien_scores(m, flag, 1, &f->mesh_presence);
    f->have |= MIEN_WANT_MESH;
    return MIEN_OK;
}
