/* Embeddings: a face as a direction in a space where the same person's photos point the same way. */
#include <math.h>
#include <string.h>
#include "face/inner.h"
#include "face/parts.h"

float mien_similarity_cosine(const float *a, const float *b, int dim)
{
    float sum = 0.0f;
    for (int i = 0; i < dim; i++) sum += a[i] * b[i];
    return sum > 1.0f ? 1.0f : sum < -1.0f ? -1.0f : sum;
}

float mien_match_confidence(const struct mien_model *embed, float similarity)
{
    return 1.0f / (1.0f + expf(-embed->calibration_slope * (similarity - embed->threshold)));
}

float mien_model_fmr(const struct mien_model *embed, float similarity)
{
    const struct mien_match_threshold *t = embed->matching;
    const int n = t != NULL ? t->n_curve : 0;
    if (n == 0 || !(similarity >= t->curve[0].similarity && similarity <= t->curve[n - 1].similarity)) return NAN;
    int i = 1;
    while (i < n - 1 && similarity >= t->curve[i].similarity) i++;
    const struct mien_rates *a = &t->curve[i - 1], *b = &t->curve[i];
    if (similarity == a->similarity) return a->fmr;
    if (similarity == b->similarity) return b->fmr;
    if (!(b->fmr > 0.0f)) return NAN; /* log10 of nothing */
    const double from = log10((double)a->fmr), to = log10((double)b->fmr);
    const double part = ((double)similarity - (double)a->similarity) / ((double)b->similarity - (double)a->similarity);
    const float fmr = (float)pow(10.0, from + part * (to - from));
    return fmr > a->fmr ? a->fmr : fmr < b->fmr ? b->fmr : fmr; /* pow may be off by a bit */
}

enum mien_code mien_l2_normalise(float *v, int n, struct mien_err *e)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) sum += (double)v[i] * (double)v[i];
    MIEN_FAIL_IF(!(sum > 1e-20 && sum < 1e30), e, MIEN_E_INTERNAL, "the embedding has no finite direction");
    const float scale = (float)(1.0 / sqrt(sum));
    for (int i = 0; i < n; i++) v[i] *= scale;
    return MIEN_OK;
}

/* Cuts the input of `m` for one face, runs it and copies the first `count` numbers of the output of a role. */
static enum mien_code run_model(struct mien_models *models, struct mien_session *s, const struct mien_model *m, struct mien_photo *photo,
                                const struct mien_detection *face, const float *landmarks68, const char *role, float *to, int count,
                                struct mien_affine *to_photo, struct mien_err *e)
{
    struct mien_net *net;
    struct mien_exec *x;
    MIEN_TRY(mien_model_exec(models, s, m, m->width, m->height, &net, &x, e));
    MIEN_TRY(mien_crop_face(m, photo, face, landmarks68, mien_exec_input(x, 0), to_photo, e));
    MIEN_TRY(mien_model_run(models, m, x, e));
    int i = mien_model_output(m, role, net);
    struct mien_shape shape = i >= 0 ? mien_exec_output_shape(x, i) : (struct mien_shape){0};
    MIEN_FAIL_IF(i < 0 || mien_shape_count(&shape) != count, e, MIEN_E_MANIFEST, "model \"%s\": outputs.%s: does not have %d numbers", m->id, role, count);
    memcpy(to, mien_exec_output(x, i), (size_t)count * sizeof *to);
    return MIEN_OK;
}

/* The 68 iBUG points in photo pixels. The network gives them as fractions of its input. */
static enum mien_code find_landmarks68(struct mien_models *models, struct mien_session *s, struct mien_photo *photo, const struct mien_detection *face,
                                       float points[136], struct mien_err *e)
{
    const struct mien_model *m = mien_models_role(models, MIEN_ROLE_LANDMARKS68, 0);
    struct mien_affine to_photo;
    MIEN_FAIL_IF(m == NULL, e, MIEN_E_MODEL_MISSING,
                 "pack \"%s\" has no model for \"landmarks68\", which its model for \"embed\" needs", mien_models_pack(models));
    MIEN_TRY(run_model(models, s, m, photo, face, NULL, "landmarks", points, 136, &to_photo, e));
    for (int i = 0; i < 136; i += 2)
        mien_affine_apply(&to_photo, points[i] * (float)m->width - 0.5f, points[i + 1] * (float)m->height - 0.5f, &points[i], &points[i + 1]);
    return MIEN_OK;
}

enum mien_code mien_embed_face(struct mien_models *models, struct mien_session *s, struct mien_photo *photo, const struct mien_detection *face,
                               const float *landmarks68, float *embedding, struct mien_err *e)
{
    const struct mien_model *m;
    float points[136];
    MIEN_TRY(mien_part_model(models, MIEN_ROLE_EMBED, &m, e));
    if (m->crop.kind == MIEN_CROP_ALIGN && m->crop.points == MIEN_POINTS_LANDMARKS68 && landmarks68 == NULL) {
        MIEN_TRY(find_landmarks68(models, s, photo, face, points, e));
        landmarks68 = points;
    }
    MIEN_TRY(run_model(models, s, m, photo, face, landmarks68, "embedding", embedding, m->dim, NULL, e));
    return mien_l2_normalise(embedding, m->dim, e);
}
