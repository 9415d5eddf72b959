/* 52 blendshape coefficients (ARKit's names) from mesh points, by MediaPipe's face_blendshapes network.
 *
 * The network takes 146 of the 478 points as (x, y) at any scale and position, which it normalises itself, but not any
 * rotation: points are turned so that the line of the outer eye corners is level. Without that a tilt of 30 degrees moves
 * coefficients by up to 0.08 (mean over 40 portraits of the largest change). */
#include "face/inner.h"
#include "face/parts.h"

#include <math.h>

/* Order and names of MediaPipe's face_blendshapes_graph.cc. Left and right are the subject's. */
const char *const mien_blendshape_name[MIEN_BLENDSHAPES] = {
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft",
    "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft",
    "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight"};

enum { OUTER_CORNER_LEFT = 33, OUTER_CORNER_RIGHT = 263 };

static void write_points(const struct mien_model *m, const float *mesh, float *tensor)
{
    const float *a = mesh + 3 * OUTER_CORNER_LEFT, *b = mesh + 3 * OUTER_CORNER_RIGHT;
    float dx = b[0] - a[0], dy = b[1] - a[1], len = hypotf(dx, dy);
    float c = len > 0.0f ? dx / len : 1.0f, s = len > 0.0f ? dy / len : 0.0f;
    for (int i = 0; i < m->crop.n_mesh; i++) {
        const float *p = mesh + 3 * m->crop.mesh[i];
        tensor[2 * i] = c * (p[0] - a[0]) + s * (p[1] - a[1]);
        tensor[2 * i + 1] = c * (p[1] - a[1]) - s * (p[0] - a[0]);
    }
}

enum mien_code mien_face_blendshapes(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e)
{
    const struct mien_model *m;
    MIEN_TRY(mien_part_model(job->models, MIEN_ROLE_BLENDSHAPES, &m, e));
    MIEN_FAIL_IF(m->crop.kind != MIEN_CROP_POINTS || m->crop.n_mesh < 1, e, MIEN_E_MANIFEST, "model \"%s\": crop must name mesh points", m->id);
    for (int i = 0; i < m->crop.n_mesh; i++)
        MIEN_FAIL_IF(m->crop.mesh[i] < 0 || m->crop.mesh[i] >= f->mesh_points, e, MIEN_E_MODEL_MISSING,
                     "model \"%s\" needs mesh point %d, the mesh model gives %d points", m->id, m->crop.mesh[i], f->mesh_points);
    struct mien_net *net;
    struct mien_exec *x;
    struct mien_shape shape = {3, {1, m->crop.n_mesh, 2}};
    MIEN_TRY(mien_models_net(job->models, m, &net, e));
    MIEN_TRY(mien_session_exec(job->session, net, &shape, 1, &x, e));
    write_points(m, f->mesh, mien_exec_input(x, 0));
    MIEN_TRY(mien_model_run(job->models, m, x, e));
    const float *out;
    int n;
    MIEN_TRY(mien_part_output(job, m, x, "blendshapes", MIEN_BLENDSHAPES, &out, &n, e));
    mien_scores(m, out, MIEN_BLENDSHAPES, f->blendshape);
    f->have |= MIEN_WANT_BLENDSHAPES;
    return MIEN_OK;
}
