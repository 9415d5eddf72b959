/* POST /face-match and /verify (document form): the portrait of an identity document against a selfie. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "codec/base64.h"
#include "service/handlers.h"
#include "service/liveness_answer.h"

/* The portrait with this share of its size around it, on each side. */
#define PORTRAIT_MARGIN 0.30f
enum { PORTRAIT_JPEG_QUALITY = 90 };
static const char DATA_URL[] = "data:image/jpeg;base64,";

/* ---- the two photos ---- */

/* Documents are photographed in any orientation, and a detector finds a face that stands on its head with a high score but with wrong
 * points: all four turns are always looked at. The second look, for small portraits, costs tiles besides. */
static enum mien_code look_at_document(struct mien_call *c, struct mien_faces *found, struct mien_photo **photo, struct mien_err *e)
{
    static const struct mien_face_settings turned = {.primary_only = true, .rotations = true};
    static const struct mien_face_settings thorough = {.primary_only = true, .rotations = true, .small_faces = true};
    const struct mien_blob *image = mien_call_image(c, "idImage");
    MIEN_TRY(mien_call_analyze(c, image, "idImage", MIEN_WANT_EMBEDDING, &turned, found, photo, e));
    if (found->count > 0) return MIEN_OK;
    return mien_call_analyze(c, image, "idImage", MIEN_WANT_EMBEDDING, &thorough, found, photo, e);
}

struct match { float similarity, confidence; };

static struct match match_of(const struct mien_model *model, const struct mien_face *id, const struct mien_face *selfie)
{
    if (id == NULL || selfie == NULL) return (struct match){0};
    const float similarity = mien_similarity_cosine(id->embedding, selfie->embedding, id->embedding_dim);
    return (struct match){similarity, mien_match_confidence(model, similarity)};
}

static const struct mien_face *primary(const struct mien_faces *found) { return found->count > 0 ? &found->face[0] : NULL; }

/* ---- the portrait as a data URL ---- */

static struct mien_rect portrait_rect(struct mien_box b)
{
    const float dx = (b.x1 - b.x0) * PORTRAIT_MARGIN, dy = (b.y1 - b.y0) * PORTRAIT_MARGIN;
    const int x0 = (int)lroundf(b.x0 - dx), y0 = (int)lroundf(b.y0 - dy);
    return (struct mien_rect){x0, y0, (int)lroundf(b.x1 + dx) - x0, (int)lroundf(b.y1 + dy) - y0};
}

static enum mien_code put_portrait(struct mien_call *c, struct mien_photo *photo, const struct mien_face *id, struct mien_err *e)
{
    const struct mien_image *region;
    unsigned char *jpeg = NULL;
    size_t n = 0;
    int x0, y0;
    if (id == NULL) {
        mien_put_text(c, "id_face_image", NULL);
        return MIEN_OK;
    }
    MIEN_TRY(mien_photo_region(photo, portrait_rect(id->box), &region, &x0, &y0, e));
    MIEN_TRY(mien_image_encode_jpeg(region, PORTRAIT_JPEG_QUALITY, &jpeg, &n, e));
    const size_t prefix = sizeof DATA_URL - 1;
    char *text = mien_arena_alloc(c->arena, prefix + 4 * ((n + 2) / 3) + 1);
    if (text != NULL) {
        memcpy(text, DATA_URL, prefix);
        mien_base64_encode(jpeg, n, text + prefix);
        mien_put_text(c, "id_face_image", text);
    }
    explicit_bzero(jpeg, n);
    free(jpeg);
    MIEN_FAIL_IF(text == NULL, e, MIEN_E_NOMEM, "out of memory for the portrait");
    return MIEN_OK;
}

/* ---- routes ---- */

enum mien_code mien_do_face_match(struct mien_call *c, struct mien_err *e)
{
    static const struct mien_face_settings one = {.primary_only = true};
    const struct mien_model *model;
    struct mien_faces in_id, in_selfie;
    struct mien_photo *photo;
    MIEN_TRY(mien_call_embedder(c, &model, NULL, e));
    MIEN_TRY(look_at_document(c, &in_id, &photo, e));
    MIEN_TRY(mien_call_analyze(c, mien_call_image(c, "selfieImage"), "selfieImage", MIEN_WANT_EMBEDDING, &one, &in_selfie, NULL, e));
    const struct mien_face *id = primary(&in_id), *selfie = primary(&in_selfie);
    const struct match m = match_of(model, id, selfie);
    const bool both = id != NULL && selfie != NULL;
    mien_put_bool(c, "matched", both && (double)m.confidence >= mien_call_number(c, "minConfidence"));
    mien_put_fixed(c, "confidence", (double)m.confidence, 4);
    mien_put_fixed(c, "similarity", (double)m.similarity, 4);
    mien_put_fixed(c, "distance", 1.0 - (double)m.similarity, 4);
    mien_put_bool(c, "id_face_extracted", id != NULL);
    MIEN_TRY(put_portrait(c, photo, id, e));
    mien_put_text(c, "error", id == NULL ? "id_face_not_detected" : selfie == NULL ? "selfie_face_not_detected" : NULL);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}

enum mien_code mien_do_verify_document(struct mien_call *c, struct mien_err *e)
{
    const struct mien_model *model;
    struct mien_faces in_id, in_selfie;
    struct mien_photo *photo;
    struct mien_live_verdict live;
    MIEN_TRY(mien_call_embedder(c, &model, NULL, e));
    MIEN_TRY(mien_live_judge(c, mien_call_image(c, "selfieImage"), "selfieImage", mien_call_number(c, "antispoofThreshold"), MIEN_WANT_EMBEDDING, &in_selfie,
                             &live, e));
    MIEN_TRY(look_at_document(c, &in_id, &photo, e));
    const struct mien_face *id = primary(&in_id);
    const struct match m = match_of(model, id, live.face);
    const bool match = id != NULL && live.face != NULL && (double)m.confidence >= mien_call_number(c, "minFaceMatchConfidence");
    if (id == NULL) mien_issue_add(&live.issues, "no_face");
    if (!match) mien_issue_add(&live.issues, "face_match_confidence_too_low");
    mien_put_bool(c, "verified", live.is_real && match);
    mien_put_bool(c, "is_live", live.is_real);
    mien_put_fixed(c, "antispoof_score", (double)live.antispoof, 4);
    mien_put_bool(c, "faces_match", match);
    mien_put_fixed(c, "face_match_confidence", (double)m.confidence, 4);
    mien_put_issues(c, "issues", live.issues.code, live.issues.n);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}
