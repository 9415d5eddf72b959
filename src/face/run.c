/* Runs one network on one face. */
#include "face/inner.h"
#include "face/parts.h"

#include <string.h>

enum mien_code mien_part_model(const struct mien_models *models, enum mien_role role, const struct mien_model **m, struct mien_err *e)
{
    *m = mien_models_role(models, role, 0);
    MIEN_FAIL_IF(*m == NULL, e, MIEN_E_MODEL_MISSING, "pack \"%s\" has no model for \"%s\"", mien_models_pack(models), mien_role_name(role));
    MIEN_FAIL_IF(!(*m)->installed, e, MIEN_E_MODEL_MISSING, "model \"%s\" for \"%s\" is not installed", (*m)->id, mien_role_name(role));
    return MIEN_OK;
}

struct mien_detection mien_part_detection(const struct mien_face *f)
{
    struct mien_detection d = {.box = f->box, .score = f->score};
    memcpy(d.point, f->point, sizeof d.point);
    return d;
}

enum mien_code mien_part_run(const struct mien_face_job *job, const struct mien_model *m, const struct mien_face *f, struct mien_exec **x,
                             struct mien_affine *to_photo, struct mien_err *e)
{
    const struct mien_detection d = mien_part_detection(f);
    MIEN_TRY(mien_model_exec(job->models, job->session, m, m->width, m->height, NULL, x, e));
    MIEN_TRY(mien_crop_face(m, job->photo, &d, NULL, mien_exec_input(*x, 0), to_photo, e));
    return mien_model_run(job->models, m, *x, e);
}

enum mien_code mien_part_output(const struct mien_face_job *job, const struct mien_model *m, const struct mien_exec *x, const char *role,
                                int at_least, const float **data, int *count, struct mien_err *e)
{
    struct mien_net *net;
    MIEN_TRY(mien_models_net(job->models, m, &net, e));
    int i = mien_model_output(m, role, net);
    MIEN_FAIL_IF(i < 0, e, MIEN_E_MANIFEST, "model \"%s\": outputs: no \"%s\"", m->id, role);
    struct mien_shape shape = mien_exec_output_shape(x, i);
    int64_t n = mien_shape_count(&shape);
    MIEN_FAIL_IF(n < at_least || n > INT32_MAX, e, MIEN_E_MANIFEST, "model \"%s\": output \"%s\" has %lld elements, %d are needed", m->id, role,
                 (long long)n, at_least);
    *data = mien_exec_output(x, i);
    *count = (int)n;
    return MIEN_OK;
}
