/* POST /enroll (one photo), DELETE /enroll/{user_id}, GET /gallery, POST /search, /verify (user_id, one photo), /gallery/import, /keys/rotate. The best face of
 * a photo counts. No face is a verdict on /enroll (200, success false); to look somebody up without one is an error (400 no_face). */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "service/exchange.h"
#include "service/fused.h"
#include "service/handlers.h"

enum { WANTED = MIEN_WANT_EMBEDDING | MIEN_WANT_QUALITY };
static const struct mien_face_settings BEST = {.best_only = true};

/* What every route with a photo needs. */
static enum mien_code begin(const struct mien_call *c, struct mien_gallery **g, const struct mien_model **model, struct mien_err *e)
{
    MIEN_TRY(mien_call_embedder(c, model, NULL, e)); /* without one there is no gallery either */
    return mien_call_gallery(c, g, e);
}

/* The best face, or NULL; `photo` may be NULL. */
static enum mien_code look(struct mien_call *c, unsigned wants, struct mien_faces *found, const struct mien_face **best, struct mien_photo **photo,
                           struct mien_err *e)
{
    MIEN_TRY(mien_call_analyze(c, mien_call_image(c, "image"), "image", wants, &BEST, found, photo, e));
    *best = found->best >= 0 ? &found->face[found->best] : NULL;
    return MIEN_OK;
}

static void put_quality_or_null(struct mien_call *c, const struct mien_face *face)
{
    if (face != NULL) mien_put_quality(c, "quality", &face->quality, face);
    else mien_put_text(c, "quality", NULL);
}

/* ---- /enroll ---- */

static enum mien_code answer_enrolled(struct mien_call *c, bool success, const char *message, const struct mien_faces *found, const struct mien_face *face)
{
    mien_put_text(c, "user_id", mien_call_text(c, "user_id"));
    mien_put_bool(c, "success", success);
    mien_put_text(c, "message", message);
    put_quality_or_null(c, face);
    mien_put_integer(c, "faces_detected", found->count);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}

enum mien_code mien_do_enroll(struct mien_call *c, struct mien_err *e)
{
    const char *user_id = mien_call_text(c, "user_id");
    const float least = c->service->settings.quality_threshold;
    const struct mien_model *model;
    const struct mien_face *face;
    struct mien_gallery *g;
    struct mien_faces found;
    char message[120];
    MIEN_TRY(begin(c, &g, &model, e));
    MIEN_TRY(look(c, WANTED, &found, &face, NULL, e));
    if (face == NULL) return answer_enrolled(c, false, "No face detected in image", &found, NULL);
    if (face->quality.score < least) {
        /* Rounded down: a quality that is too low is never shown as the threshold itself. */
        snprintf(message, sizeof message, "Face quality too low (%.2f < %g). Please use a clearer, frontal photo.",
                 floor(100.0 * (double)face->quality.score) / 100.0, (double)least);
        return answer_enrolled(c, false, message, &found, face);
    }
    const struct mien_enrolment one = {.user_id = user_id, .name = mien_call_text(c, "name"), .metadata = mien_call_text(c, "metadata"),
                                       .rgb = face->embedding, .append = mien_call_flag(c, "append")};
    MIEN_TRY(mien_call_enroll(c, g, &one, 1, e));
    return answer_enrolled(c, true, "Face enrolled successfully", &found, face);
}

enum mien_code mien_do_unenroll(struct mien_call *c, struct mien_err *e)
{
    const char *user_id = mien_call_text(c, "user_id");
    struct mien_gallery *g;
    MIEN_TRY(mien_call_gallery(c, &g, e));
    MIEN_TRY(mien_gallery_delete(g, user_id, e));
    mien_put_text(c, "user_id", user_id);
    mien_put_bool(c, "deleted", true);
    return MIEN_OK;
}

/* ---- /gallery ---- */

/* A page that is being written. The store is asked for one user more than the page has: whether another page follows. */
struct listing { struct mien_call *call; int limit, n; char last[MIEN_USER_ID + 1]; };

static enum mien_code put_user(void *context, const struct mien_user *u, struct mien_err *e)
{
    struct listing *l = context;
    struct mien_call *c = l->call;
    char when[40];
    (void)e;
    if (l->n++ >= l->limit) return MIEN_OK;
    snprintf(l->last, sizeof l->last, "%s", u->user_id);
    mien_jw_object(c->json);
    mien_put_text(c, "user_id", u->user_id);
    mien_put_text(c, "name", u->name[0] != '\0' ? u->name : NULL);
    mien_utc_text(u->enrolled_at, when);
    mien_put_text(c, "enrolled_at", when);
    mien_jw_key(c->json, "metadata");
    mien_jw_text(c->json, u->metadata);
    mien_put_integer(c, "templates", u->templates);
    mien_jw_end_object(c->json);
    return MIEN_OK;
}

enum mien_code mien_do_gallery(struct mien_call *c, struct mien_err *e)
{
    struct listing l = {.call = c, .limit = mien_call_integer(c, "limit")};
    const char *after = mien_call_text(c, "cursor");
    struct mien_gallery *g;
    uint64_t users;
    MIEN_TRY(mien_call_gallery(c, &g, e));
    mien_jw_key(c->json, "users");
    mien_jw_array(c->json);
    MIEN_TRY(mien_gallery_list(g, after != NULL ? after : "", l.limit + 1, put_user, &l, e));
    mien_jw_end_array(c->json);
    MIEN_TRY(mien_gallery_count(g, &users, NULL, e));
    mien_put_integer(c, "total", (int64_t)users);
    mien_put_text(c, "cursor", l.n > l.limit ? l.last : NULL);
    return MIEN_OK;
}

/* ---- /search, /verify ---- */

static enum mien_code put_matches(struct mien_call *c, struct mien_gallery *g, const struct mien_model *model, const struct mien_face *face, struct mien_err *e)
{
    const int top_k = mien_call_integer(c, "top_k");
    int n = 0;
    struct mien_hit *hit = mien_arena_calloc(c->arena, (size_t)top_k, sizeof *hit);
    MIEN_FAIL_IF(hit == NULL, e, MIEN_E_NOMEM, "out of memory");
    const uint64_t start = mien_now_ns();
    MIEN_TRY(mien_gallery_search(g, face->embedding, 1, top_k, (float)mien_call_number(c, "threshold"), hit, &n, e));
    mien_metrics_search(&c->service->metrics, mien_now_ns() - start);
    mien_jw_key(c->json, "matches");
    mien_jw_array(c->json);
    for (int i = 0; i < n; i++) {
        mien_jw_object(c->json);
        mien_put_text(c, "user_id", hit[i].user_id);
        mien_put_fixed(c, "similarity", (double)hit[i].similarity, 4);
        mien_put_fixed(c, "confidence", (double)mien_match_confidence(model, hit[i].similarity), 4);
        mien_put_text(c, "name", hit[i].name[0] != '\0' ? hit[i].name : NULL);
        mien_jw_end_object(c->json);
    }
    mien_jw_end_array(c->json);
    return MIEN_OK;
}

enum mien_code mien_do_search(struct mien_call *c, struct mien_err *e)
{
    const struct mien_model *model;
    const struct mien_face *face;
    struct mien_gallery *g;
    struct mien_faces found;
    MIEN_TRY(begin(c, &g, &model, e));
    MIEN_TRY(look(c, WANTED, &found, &face, NULL, e));
    MIEN_FAIL_IF(face == NULL, e, MIEN_E_NO_FACE, "No face detected in image");
    MIEN_TRY(put_matches(c, g, model, face, e));
    mien_put_fixed(c, "threshold", mien_call_number(c, "threshold"), 4);
    mien_put_integer(c, "faces_detected", found.count);
    put_quality_or_null(c, face);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}

enum mien_code mien_do_verify_user(struct mien_call *c, struct mien_err *e)
{
    const char *user_id = mien_call_text(c, "user_id");
    const double threshold = mien_call_number(c, "threshold");
    const struct mien_model *model;
    const struct mien_face *face;
    struct mien_gallery *g;
    struct mien_faces found;
    struct mien_photo *photo;
    struct mien_fused fused;
    float similarity;
    MIEN_TRY(begin(c, &g, &model, e));
    MIEN_TRY(look(c, mien_fused_wants(c), &found, &face, &photo, e));
    MIEN_FAIL_IF(face == NULL, e, MIEN_E_NO_FACE, "No face detected in image");
    MIEN_TRY(mien_gallery_verify(g, user_id, face->embedding, &similarity, e));
    const bool match = (double)similarity >= threshold;
    const float confidence = mien_match_confidence(model, similarity);
    MIEN_TRY(mien_fused_photo(c, photo, face, confidence, match, &fused, e));
    mien_put_text(c, "user_id", user_id);
    mien_put_bool(c, "verified", match);
    mien_put_bool(c, "match", match);
    mien_put_fixed(c, "similarity", (double)similarity, 4);
    mien_put_fixed(c, "threshold", threshold, 4);
    mien_put_fixed(c, "confidence", (double)confidence, 4);
    mien_put_fused(c, &fused);
    mien_put_integer(c, "faces_detected", found.count);
    put_quality_or_null(c, face);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}

/* ---- /gallery/import ---- */

static const char ENTRIES[] = "entries";

/* Whether a vector has a direction: what mien_template_make asks of it, so that the entry can be named. */
static bool has_direction(const float *v, int n)
{
    float sum = 0.0f;
    for (int i = 0; i < n; i++) sum += v[i] * v[i];
    return isfinite(sum) && sum > 0.0f;
}

static enum mien_code read_entry(struct mien_call *c, struct mien_gallery *g, int i, struct mien_enrolment *to, struct mien_err *e)
{
    const char *model = mien_call_item_text(c, ENTRIES, i, "model");
    char text[96];
    int n, depth_n;
    to->user_id = mien_call_item_text(c, ENTRIES, i, "user_id");
    to->name = mien_call_item_text(c, ENTRIES, i, "name");
    to->metadata = mien_call_item_text(c, ENTRIES, i, "metadata");
    to->append = mien_call_item_flag(c, ENTRIES, i, "append");
    to->rgb = mien_call_item_vector(c, ENTRIES, i, "embedding", &n);
    to->depth = mien_call_item_vector(c, ENTRIES, i, "depth", &depth_n);
    to->depth_dim = depth_n;
    if (!mien_user_id_valid(to->user_id)) return mien_call_refuse(c, ENTRIES, i, "user_id", "must be text without control characters", e);
    if (model != NULL && strcmp(model, mien_gallery_model(g)) != 0) {
        snprintf(text, sizeof text, "%s[%d] is of another recognition model than this gallery", ENTRIES, i);
        return mien_call_say(c, MIEN_E_MODEL_MISMATCH, text, e);
    }
    snprintf(text, sizeof text, "must have %d numbers", mien_gallery_dim(g));
    if (n != mien_gallery_dim(g)) return mien_call_refuse(c, ENTRIES, i, "embedding", text, e);
    if (!has_direction(to->rgb, n)) return mien_call_refuse(c, ENTRIES, i, "embedding", "must have a length that is neither 0 nor infinite", e);
    if (to->depth != NULL && !has_direction(to->depth, depth_n))
        return mien_call_refuse(c, ENTRIES, i, "depth", "must have a length that is neither 0 nor infinite", e);
    return MIEN_OK;
}

enum mien_code mien_do_gallery_import(struct mien_call *c, struct mien_err *e)
{
    const int n = mien_call_items(c, ENTRIES);
    struct mien_gallery *g;
    MIEN_TRY(mien_call_gallery(c, &g, e));
    struct mien_enrolment *enrolment = mien_arena_calloc(c->arena, (size_t)n, sizeof *enrolment);
    MIEN_FAIL_IF(enrolment == NULL, e, MIEN_E_NOMEM, "out of memory");
    for (int i = 0; i < n; i++) MIEN_TRY(read_entry(c, g, i, &enrolment[i], e));
    MIEN_TRY(mien_call_enroll(c, g, enrolment, n, e));
    mien_put_integer(c, "imported", n);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}

/* ---- /keys/rotate ---- */

enum mien_code mien_do_keys_rotate(struct mien_call *c, struct mien_err *e)
{
    struct mien_gallery *g;
    uint64_t done = 0;
    MIEN_TRY(mien_call_gallery(c, &g, e));
    MIEN_TRY(mien_gallery_rotate(g, &done, e));
    mien_put_integer(c, "resealed", (int64_t)done);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}
