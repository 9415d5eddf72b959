/* What is said of a face, as JSON and as text; and the words of --want. */
#include <stdio.h>
#include <string.h>

#include "app/cli.h"

static const struct want {
    const char *name;
    unsigned bit;
} WANT[] = {{"embedding", MIEN_WANT_EMBEDDING},
            {"mesh", MIEN_WANT_MESH},
            {"pose", MIEN_WANT_POSE},
            {"eyes", MIEN_WANT_EYES},
            {"blendshapes", MIEN_WANT_BLENDSHAPES},
            {"quality", MIEN_WANT_QUALITY},
            {"expression", MIEN_WANT_EXPRESSION},
            {"age_gender", MIEN_WANT_AGE_GENDER},
            {"spoof", MIEN_WANT_SPOOF},
            {"deepfake", MIEN_WANT_DEEPFAKE},
            {"net_quality", MIEN_WANT_NET_QUALITY},
            {"landmarks106", MIEN_WANT_LANDMARKS106}};
enum { N_WANTS = sizeof WANT / sizeof WANT[0] };

const char *mien_cli_want_names(void)
{
    return "embedding, mesh, pose, eyes, blendshapes, quality, expression, age_gender, spoof, deepfake, net_quality, landmarks106, all";
}

enum mien_code mien_cli_wants(const char *list, const struct mien_models *models, unsigned *wants, struct mien_err *e)
{
    *wants = 0;
    for (const char *p = list; *p != '\0';) {
        size_t n = strcspn(p, ",");
        int found = -1;
        for (int i = 0; i < N_WANTS; i++)
            if (strlen(WANT[i].name) == n && strncmp(WANT[i].name, p, n) == 0) found = i;
        if (found >= 0) *wants |= WANT[found].bit;
        else if (n == 3 && strncmp(p, "all", 3) == 0) *wants |= mien_face_answerable(models);
        else return MIEN_FAIL(e, MIEN_E_ARG, "--want: '%.*s' is none of %s", (int)(n < 40 ? n : 40), p, mien_cli_want_names());
        p += n + (p[n] == ',');
    }
    return MIEN_OK;
}

/* ---- JSON ---- */

static void member(struct mien_jw *w, const char *key, float v, int decimals)
{
    mien_jw_key(w, key);
    mien_jw_fixed(w, (double)v, decimals);
}

static void points_json(struct mien_jw *w, const char *key, const float *xyz, int n, int per_point)
{
    mien_jw_key(w, key);
    mien_jw_array(w);
    for (int i = 0; i < n; i++) {
        mien_jw_array(w);
        for (int c = 0; c < per_point; c++) mien_jw_fixed(w, (double)xyz[i * per_point + c], 2);
        mien_jw_end_array(w);
    }
    mien_jw_end_array(w);
}

static void scores_json(struct mien_jw *w, const char *key, const char *const *name, const float *v, int n)
{
    mien_jw_key(w, key);
    mien_jw_object(w);
    for (int i = 0; i < n; i++) member(w, name[i], v[i], 4);
    mien_jw_end_object(w);
}

static int largest(const float *v, int n)
{
    int at = 0;
    for (int i = 1; i < n; i++)
        if (v[i] > v[at]) at = i;
    return at;
}

static void quality_json(struct mien_jw *w, const struct mien_quality *q)
{
    mien_jw_key(w, "quality");
    mien_jw_object(w);
    member(w, "score", q->score, 4);
    member(w, "detection", q->detection, 4);
    member(w, "pose", q->pose, 4);
    member(w, "sharpness", q->sharpness, 4);
    member(w, "size", q->size, 4);
    member(w, "laplacian_variance", q->laplacian_variance, 1);
    member(w, "face_size", q->face_size, 0);
    mien_jw_key(w, "is_frontal");
    mien_jw_bool(w, q->is_frontal);
    mien_jw_end_object(w);
}

static void shape_json(struct mien_jw *w, const struct mien_face *f, unsigned have)
{
    if (have & MIEN_WANT_POSE) {
        mien_jw_key(w, "pose");
        mien_jw_object(w);
        member(w, "yaw", f->yaw, 2);
        member(w, "pitch", f->pitch, 2);
        member(w, "roll", f->roll, 2);
        mien_jw_end_object(w);
    }
    if (have & MIEN_WANT_EYES) {
        mien_jw_key(w, "eyes");
        mien_jw_object(w);
        member(w, "left", f->ear_left, 4);
        member(w, "right", f->ear_right, 4);
        member(w, "mean", f->ear, 4);
        mien_jw_end_object(w);
    }
    if (have & MIEN_WANT_BLENDSHAPES) scores_json(w, "blendshapes", mien_blendshape_name, f->blendshape, MIEN_BLENDSHAPES);
    if (have & MIEN_WANT_QUALITY) quality_json(w, &f->quality);
    if (have & MIEN_WANT_NET_QUALITY) member(w, "net_quality", f->net_quality, 4);
}

static void judgement_json(struct mien_jw *w, const struct mien_face *f, unsigned have)
{
    if (have & MIEN_WANT_EXPRESSION) {
        mien_jw_key(w, "expression");
        mien_jw_string(w, mien_emotion_name[largest(f->emotion, MIEN_EMOTIONS)]);
        scores_json(w, "expressions", mien_emotion_name, f->emotion, MIEN_EMOTIONS);
    }
    if (have & MIEN_WANT_AGE_GENDER) {
        member(w, "age", f->age, 1);
        mien_jw_key(w, "gender");
        mien_jw_string(w, f->male >= 0.5f ? "male" : "female");
        member(w, "male", f->male, 4);
    }
    if (have & MIEN_WANT_SPOOF) {
        member(w, "live", f->live, 4);
        mien_jw_key(w, "live_each");
        mien_jw_array(w);
        for (int i = 0; i < f->n_live; i++) mien_jw_fixed(w, (double)f->live_each[i], 4);
        mien_jw_end_array(w);
    }
    if (have & MIEN_WANT_DEEPFAKE) member(w, "genuine", f->genuine, 4);
}

void mien_cli_face_json(struct mien_jw *w, const struct mien_face *f, unsigned wants)
{
    const unsigned have = f->have & wants;
    mien_jw_object(w);
    mien_jw_key(w, "box");
    mien_jw_array(w);
    const float box[4] = {f->box.x0, f->box.y0, f->box.x1, f->box.y1};
    for (int i = 0; i < 4; i++) mien_jw_fixed(w, (double)box[i], 2);
    mien_jw_end_array(w);
    member(w, "score", f->score, 4);
    points_json(w, "points", f->point, 5, 2);
    shape_json(w, f, have);
    judgement_json(w, f, have);
    if (have & MIEN_WANT_EMBEDDING) {
        mien_jw_key(w, "embedding");
        mien_jw_array(w);
        for (int i = 0; i < f->embedding_dim; i++) mien_jw_number(w, (double)f->embedding[i], 7);
        mien_jw_end_array(w);
    }
    if (have & MIEN_WANT_MESH) {
        member(w, "mesh_presence", f->mesh_presence, 4);
        points_json(w, "mesh", f->mesh, f->mesh_points, 3);
    }
    if (have & MIEN_WANT_LANDMARKS106) points_json(w, "landmarks106", f->points106, MIEN_POINTS_106, 2);
    mien_jw_end_object(w);
}

/* ---- text ---- */

void mien_cli_face_text(struct mien_buf *b, const struct mien_face *f, unsigned wants)
{
    const unsigned have = f->have & wants;
    mien_buf_addf(b, "  face %.0f,%.0f %.0fx%.0f score %.3f", (double)f->box.x0, (double)f->box.y0, (double)(f->box.x1 - f->box.x0),
                  (double)(f->box.y1 - f->box.y0), (double)f->score);
    if (have & MIEN_WANT_POSE) mien_buf_addf(b, "  yaw %.0f pitch %.0f roll %.0f", (double)f->yaw, (double)f->pitch, (double)f->roll);
    if (have & MIEN_WANT_EYES) mien_buf_addf(b, "  eyes %.2f %.2f", (double)f->ear_left, (double)f->ear_right);
    if (have & MIEN_WANT_QUALITY) mien_buf_addf(b, "  quality %.2f", (double)f->quality.score);
    if (have & MIEN_WANT_NET_QUALITY) mien_buf_addf(b, "  net quality %.2f", (double)f->net_quality);
    if (have & MIEN_WANT_EXPRESSION) {
        int i = largest(f->emotion, MIEN_EMOTIONS);
        mien_buf_addf(b, "  %s %.2f", mien_emotion_name[i], (double)f->emotion[i]);
    }
    if (have & MIEN_WANT_AGE_GENDER)
        mien_buf_addf(b, "  age %.0f %s %.2f", (double)f->age, f->male >= 0.5f ? "male" : "female", (double)(f->male >= 0.5f ? f->male : 1.0f - f->male));
    if (have & MIEN_WANT_SPOOF) mien_buf_addf(b, "  live %.2f", (double)f->live);
    if (have & MIEN_WANT_DEEPFAKE) mien_buf_addf(b, "  genuine %.2f", (double)f->genuine);
    if (have & MIEN_WANT_EMBEDDING) mien_buf_addf(b, "  embedding of %d", f->embedding_dim);
    if (have & MIEN_WANT_MESH) mien_buf_addf(b, "  mesh of %d points", f->mesh_points);
    if (have & MIEN_WANT_LANDMARKS106) mien_buf_addf(b, "  %d points", MIEN_POINTS_106);
    if (have & MIEN_WANT_BLENDSHAPES)
        for (int i = 1; i < MIEN_BLENDSHAPES; i++) /* 0 is "_neutral" */
            if (f->blendshape[i] >= 0.3f) mien_buf_addf(b, "  %s %.2f", mien_blendshape_name[i], (double)f->blendshape[i]);
    mien_buf_adds(b, "\n");
}
