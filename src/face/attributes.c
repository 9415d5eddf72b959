/* Expression, age and gender.
 *
 * A model's own labels decide which output means what; they are brought to the product's order here. Class scores of an
 * emotion that a model does not know stay 0. */
#include "face/parts.h"

#include <math.h>
#include <string.h>

const char *const mien_emotion_name[MIEN_EMOTIONS] = {"neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised"};

/* The nouns that other data sets and networks use (FER2013, AffectNet, RAF-DB). */
static const char *const EMOTION_NOUN[MIEN_EMOTIONS] = {"neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise"};

int mien_emotion_index(const char *word)
{
    for (int i = 0; i < MIEN_EMOTIONS; i++)
        if (strcmp(word, mien_emotion_name[i]) == 0 || strcmp(word, EMOTION_NOUN[i]) == 0) return i;
    return -1;
}

enum mien_code mien_face_expression(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e)
{
    const struct mien_model *m;
    struct mien_exec *x;
    const float *raw;
    int n;
    float p[32];
    MIEN_TRY(mien_part_model(job->models, MIEN_ROLE_EXPRESSION, &m, e));
    MIEN_TRY(mien_part_run(job, m, f, &x, NULL, e));
    MIEN_TRY(mien_part_output(job, m, x, "prob", m->n_labels > 0 ? m->n_labels : MIEN_EMOTIONS, &raw, &n, e));
    MIEN_FAIL_IF(n > 32, e, MIEN_E_MANIFEST, "model \"%s\": more than 32 classes", m->id);
    mien_scores(m, raw, n, p);
    memset(f->emotion, 0, sizeof f->emotion);
    for (int i = 0; i < n; i++) {
        int at = m->n_labels == 0 ? (i < MIEN_EMOTIONS ? i : -1) : i < m->n_labels ? mien_emotion_index(m->label[i]) : -1;
        if (at >= 0) f->emotion[at] += p[i];
    }
    f->have |= MIEN_WANT_EXPRESSION;
    return MIEN_OK;
}

/* Output that means "male": by label, else the first of two. */
static int male_index(const struct mien_model *m)
{
    for (int i = 0; i < m->n_labels; i++)
        if (strcmp(m->label[i], "male") == 0 || strcmp(m->label[i], "M") == 0) return i;
    return 0;
}

static float age_of(float years) { return years > 0.0f ? (years < 120.0f ? years : 120.0f) : 0.0f; } /* NaN is 0 */

/* One row: female, male, age / 100. InsightFace's python package (model_zoo/attribute.py, Attribute.get) takes the larger of the first two and
 * rounds 100 times the third; here the two become a probability, whose half is where they are equal. */
static enum mien_code age_gender_row(const struct mien_face_job *job, const struct mien_model *m, const struct mien_exec *x, struct mien_face *f,
                                     struct mien_err *e)
{
    const float *row;
    int n;
    MIEN_TRY(mien_part_output(job, m, x, "gender_age", 3, &row, &n, e));
    MIEN_FAIL_IF(n != 3, e, MIEN_E_MANIFEST, "model \"%s\": output \"gender_age\" has %d elements, 3 are needed", m->id, n);
    const float male = 1.0f / (1.0f + expf(row[0] - row[1]));
    f->male = male > 0.0f ? male : 0.0f; /* also turns NaN into 0 */
    f->age = age_of(100.0f * row[2]);
    f->have |= MIEN_WANT_AGE_GENDER;
    return MIEN_OK;
}

enum mien_code mien_face_age_gender(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e)
{
    const struct mien_model *m;
    struct mien_exec *x;
    const float *age, *gender;
    int n;
    float p[4];
    MIEN_TRY(mien_part_model(job->models, MIEN_ROLE_AGE_GENDER, &m, e));
    MIEN_TRY(mien_part_run(job, m, f, &x, NULL, e));
    if (mien_model_has_output(m, "gender_age")) return age_gender_row(job, m, x, f, e);
    MIEN_TRY(mien_part_output(job, m, x, "age", 1, &age, &n, e));
    float years = age[0];
    MIEN_TRY(mien_part_output(job, m, x, "gender", 1, &gender, &n, e));
    if (n > 4) n = 4;
    mien_scores(m, gender, n, p);
    int male = male_index(m);
    f->male = male < n ? p[male] : 0.0f;
    f->age = age_of(years);
    f->have |= MIEN_WANT_AGE_GENDER;
    return MIEN_OK;
}
