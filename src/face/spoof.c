/* Anti-spoofing: is a live person in front of the camera, or a print, a screen, a mask?
 *
 * Several small networks look at crops of different width (a screen's edge is only seen in a wide one); their P(live) are
 * averaged with the manifest's weights. Every member of the pack's ensemble must be installed: a silently smaller ensemble
 * would have another operating point.
 *
 * DeepPixBiS (George and Marcel 2019, https://arxiv.org/abs/1907.04047) is trained to say "live" at every place of a small map and once for the whole face. Its
 * score is the mean of the two answers, the map's being the mean over its places: what the authors' code calls "combined" (bob.paper.deep_pix_bis_pad.icb2019,
 * DeepPixBiSExtractor) and the facebank project computes (ffletcherr/face-recognition-liveness, facetools/liveness_detection.py). */
#include "face/parts.h"

/* P(live) by one network that has run. */
static enum mien_code score(const struct mien_face_job *job, const struct mien_model *m, const struct mien_exec *x, float *live, struct mien_err *e)
{
    const float *raw;
    int n;
    MIEN_TRY(mien_part_output(job, m, x, "prob", 1, &raw, &n, e));
    *live = mien_score_live(m, raw, n);
    if (!mien_model_has_output(m, "map")) return MIEN_OK;
    MIEN_TRY(mien_part_output(job, m, x, "map", 1, &raw, &n, e));
    *live = 0.5f * (*live + mien_score_map(m, raw, n));
    return MIEN_OK;
}

enum mien_code mien_face_spoof(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e)
{
    const struct mien_model *m;
    const int room = (int)(sizeof f->live_each / sizeof f->live_each[0]);
    float sum = 0.0f, weights = 0.0f;
    MIEN_TRY(mien_part_model(job->models, MIEN_ROLE_SPOOF, &m, e));
    f->n_live = 0;
    for (int i = 0; (m = mien_models_role(job->models, MIEN_ROLE_SPOOF, i)) != NULL; i++) {
        MIEN_FAIL_IF(i == room, e, MIEN_E_MANIFEST, "roles: more than %d spoof models", room);
        struct mien_exec *x;
        MIEN_TRY(mien_part_run(job, m, f, &x, NULL, e));
        MIEN_TRY(score(job, m, x, &f->live_each[f->n_live], e));
        sum += m->weight * f->live_each[f->n_live++];
        weights += m->weight;
    }
    f->live = weights > 0.0f ? sum / weights : 0.0f;
    f->have |= MIEN_WANT_SPOOF;
    return MIEN_OK;
}
