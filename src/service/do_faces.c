/* POST /detect, /embed, /compare, /batch/embed, /analyze. /detect and /analyze answer about every face, the others about the best one. */
#include <math.h>
#include <string.h>
#include "service/handlers.h"
#include "service/liveness_answer.h"
#include "service/problem.h"

static const struct mien_face_settings BEST = {.best_only = true}, ALL = {0};

static float clip(float v, float most) { return v < 0 ? 0 : v > most ? most : v; }

/* A detector's box may stick out of the photo. */
static struct mien_box inside(struct mien_box b, const struct mien_photo *photo)
{
    const float w = (float)mien_photo_width(photo), h = (float)mien_photo_height(photo);
    return (struct mien_box){clip(b.x0, w), clip(b.y0, h), clip(b.x1, w), clip(b.y1, h)};
}

/* ---- /detect ---- */

static void put_landmarks(struct mien_call *c, const float point[10])
{
    static const char *const NAME[5] = {"left_eye", "right_eye", "nose", "mouth_left", "mouth_right"};
    mien_jw_key(c->json, "landmarks");
    mien_jw_object(c->json);
    for (int i = 0; i < 5; i++) {
        mien_jw_key(c->json, NAME[i]);
        mien_jw_object(c->json);
        mien_put_fixed(c, "x", (double)point[2 * i], 1);
        mien_put_fixed(c, "y", (double)point[2 * i + 1], 1);
        mien_jw_end_object(c->json);
    }
    mien_jw_end_object(c->json);
}

enum mien_code mien_do_detect(struct mien_call *c, struct mien_err *e)
{
    struct mien_faces found;
    struct mien_photo *photo;
    MIEN_TRY(mien_call_analyze(c, mien_call_image(c, "image"), "image", MIEN_WANT_BOXES, &ALL, &found, &photo, e));
    mien_put_integer(c, "face_count", found.count);
    mien_jw_key(c->json, "faces");
    mien_jw_array(c->json);
    for (int i = 0; i < found.count; i++) {
        const struct mien_box box = inside(found.face[i].box, photo);
        mien_jw_object(c->json);
        mien_put_box_members(c, box);
        mien_put_box(c, "bounding_box", &box);
        mien_put_fixed(c, "confidence", (double)found.face[i].score, 4);
        put_landmarks(c, found.face[i].point);
        mien_jw_end_object(c->json);
    }
    mien_jw_end_array(c->json);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}

/* ---- /embed, /compare, /batch/embed ---- */

enum { EMBEDDED = MIEN_WANT_EMBEDDING | MIEN_WANT_QUALITY };

/* The best face with what is wanted; MIEN_E_NO_FACE when there is none. */
static enum mien_code embed(struct mien_call *c, const struct mien_blob *image, const char *which, unsigned wants, struct mien_faces *found,
                            const struct mien_face **best, struct mien_err *e)
{
    MIEN_TRY(mien_call_analyze(c, image, which, wants, &BEST, found, NULL, e));
    MIEN_FAIL_IF(found->best < 0, e, MIEN_E_NO_FACE, "No face detected in %s", which);
    *best = &found->face[found->best];
    return MIEN_OK;
}

static void put_embedded(struct mien_call *c, const struct mien_faces *found, const struct mien_face *face)
{
    mien_put_embedding(c, "embedding", face->embedding, face->embedding_dim);
    mien_put_fixed(c, "score", (double)face->score, 4);
    mien_put_integer(c, "faces_detected", found->count);
    if ((face->have & MIEN_WANT_QUALITY) != 0) {
        mien_put_quality(c, "quality", &face->quality, face);
    } else {
        mien_jw_key(c->json, "quality");
        mien_jw_null(c->json);
    }
}

enum mien_code mien_do_embed(struct mien_call *c, struct mien_err *e)
{
    const struct mien_model *model;
    const struct mien_face *face;
    struct mien_faces found;
    float threshold;
    MIEN_TRY(mien_call_embedder(c, &model, &threshold, e));
    const unsigned wants = mien_call_flag(c, "quality") ? EMBEDDED : MIEN_WANT_EMBEDDING;
    MIEN_TRY(embed(c, mien_call_image(c, "image"), "image", wants, &found, &face, e));
    put_embedded(c, &found, face);
    mien_put_text(c, "model", model->id);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}

enum mien_code mien_do_compare(struct mien_call *c, struct mien_err *e)
{
    const struct mien_model *model;
    const struct mien_face *face[2];
    struct mien_faces found[2];
    float unused;
    MIEN_TRY(mien_call_embedder(c, &model, &unused, e));
    MIEN_TRY(embed(c, mien_call_image(c, "image_1"), "image_1", EMBEDDED, &found[0], &face[0], e));
    MIEN_TRY(embed(c, mien_call_image(c, "image_2"), "image_2", EMBEDDED, &found[1], &face[1], e));
    const float similarity = mien_similarity_cosine(face[0]->embedding, face[1]->embedding, face[0]->embedding_dim);
    const double threshold = mien_call_number(c, "threshold");
    mien_put_fixed(c, "similarity", (double)similarity, 4);
    mien_put_bool(c, "match", (double)similarity >= threshold);
    mien_put_fixed(c, "threshold", threshold, 4);
    mien_put_fixed(c, "confidence", (double)mien_match_confidence(model, similarity), 4);
    mien_put_quality(c, "quality_1", &face[0]->quality, face[0]);
    mien_put_quality(c, "quality_2", &face[1]->quality, face[1]);
    mien_put_text(c, "model", model->id);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}

static enum mien_code batch_one(struct mien_call *c, const struct mien_blob *image, struct mien_err *e)
{
    const struct mien_face *face = NULL;
    struct mien_faces found;
    enum mien_code code = image->failed != MIEN_OK ? image->failed : embed(c, image, "image", EMBEDDED, &found, &face, e);
    const char *why = code == MIEN_E_NO_FACE ? "No face detected" : image->failed != MIEN_OK ? image->why : mien_problem_about_image(code);
    if (code != MIEN_OK && why == NULL) return code; /* not about this image */
    mien_jw_object(c->json);
    if (image->url != NULL) mien_put_text(c, "image_url", image->url);
    mien_put_bool(c, "success", code == MIEN_OK);
    if (code == MIEN_OK) put_embedded(c, &found, face);
    else mien_put_text(c, "error", why);
    mien_jw_end_object(c->json);
    return MIEN_OK;
}

enum mien_code mien_do_batch_embed(struct mien_call *c, struct mien_err *e)
{
    const struct mien_model *model;
    const struct mien_blob *image;
    float threshold;
    MIEN_TRY(mien_call_embedder(c, &model, &threshold, e));
    const int n = mien_call_images(c, "images", &image);
    mien_jw_key(c->json, "results");
    mien_jw_array(c->json);
    for (int i = 0; i < n; i++) MIEN_TRY(batch_one(c, &image[i], e));
    mien_jw_end_array(c->json);
    mien_put_text(c, "model", model->id);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}

/* ---- /analyze ---- */

/* Of every face; those that the pack has networks for. */
static unsigned analyze_wants(const struct mien_call *c)
{
    unsigned wants = MIEN_WANT_QUALITY;
    if (mien_call_has(c, MIEN_ROLE_AGE_GENDER)) wants |= MIEN_WANT_AGE_GENDER;
    if (mien_call_has(c, MIEN_ROLE_EXPRESSION)) wants |= MIEN_WANT_EXPRESSION;
    if (mien_call_has(c, MIEN_ROLE_SPOOF)) wants |= MIEN_WANT_SPOOF;
    return wants;
}

static void put_emotions(struct mien_call *c, const struct mien_face *f)
{
    int most = 0;
    const bool known = (f->have & MIEN_WANT_EXPRESSION) != 0;
    for (int i = 1; i < MIEN_EMOTIONS; i++)
        if (f->emotion[i] > f->emotion[most]) most = i;
    mien_put_text(c, "emotion", known ? mien_emotion_name[most] : NULL);
    mien_jw_key(c->json, "emotions");
    if (!known) {
        mien_jw_null(c->json);
        return;
    }
    mien_jw_object(c->json);
    for (int i = 0; i < MIEN_EMOTIONS; i++) mien_put_fixed(c, mien_emotion_name[i], (double)f->emotion[i], 4);
    mien_jw_end_object(c->json);
}

static void put_age_gender(struct mien_call *c, const struct mien_face *f)
{
    const bool known = (f->have & MIEN_WANT_AGE_GENDER) != 0;
    mien_jw_key(c->json, "age");
    if (known) mien_jw_integer(c->json, llround((double)f->age));
    else mien_jw_null(c->json);
    mien_put_text(c, "gender", !known ? NULL : f->male >= 0.5f ? "M" : "F");
}

static enum mien_code put_analyzed(struct mien_call *c, struct mien_photo *photo, const struct mien_face *f, struct mien_err *e)
{
    const struct mien_box b = inside(f->box, photo);
    const float edge[4] = {b.x0, b.y0, b.x1, b.y1};
    mien_jw_object(c->json);
    mien_jw_key(c->json, "bbox");
    mien_jw_array(c->json);
    for (int i = 0; i < 4; i++) mien_jw_integer(c->json, llround((double)edge[i]));
    mien_jw_end_array(c->json);
    mien_put_fixed(c, "detection_score", (double)f->score, 4);
    mien_put_quality(c, "quality", &f->quality, f);
    put_age_gender(c, f);
    put_emotions(c, f);
    MIEN_TRY(mien_put_face_liveness(c, "liveness", photo, f, e));
    mien_jw_end_object(c->json);
    return MIEN_OK;
}

enum mien_code mien_do_analyze(struct mien_call *c, struct mien_err *e)
{
    struct mien_faces found;
    struct mien_photo *photo;
    MIEN_TRY(mien_call_analyze(c, mien_call_image(c, "image"), "image", analyze_wants(c), &ALL, &found, &photo, e));
    mien_put_integer(c, "faces_detected", found.count);
    mien_jw_key(c->json, "faces");
    mien_jw_array(c->json);
    for (int i = 0; i < found.count; i++) MIEN_TRY(put_analyzed(c, photo, &found.face[i], e));
    mien_jw_end_array(c->json);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}
