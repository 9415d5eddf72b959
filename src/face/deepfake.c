/* Was the face generated or swapped? Weighted mean of P(genuine) over the pack's networks.
 *
 * The small networks that are freely available (MesoNet, 2018) are near chance on forgeries of a kind they were not trained
 * on: a hint of low weight, never a verdict by itself. */
#include "face/parts.h"

enum mien_code mien_face_deepfake(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e)
{
    const struct mien_model *m;
    float sum = 0.0f, weights = 0.0f;
    MIEN_TRY(mien_part_model(job->models, MIEN_ROLE_DEEPFAKE, &m, e));
    for (int i = 0; (m = mien_models_role(job->models, MIEN_ROLE_DEEPFAKE, i)) != NULL; i++) {
        struct mien_exec *x;
        const float *raw;
        int n;
        MIEN_TRY(mien_part_run(job, m, f, &x, NULL, e));
        MIEN_TRY(mien_part_output(job, m, x, "prob", 1, &raw, &n, e));
        sum += m->weight * mien_score_live(m, raw, n);
        weights += m->weight;
    }
    f->genuine = weights > 0.0f ? sum / weights : 0.0f;
    f->have |= MIEN_WANT_DEEPFAKE;
    return MIEN_OK;
}
