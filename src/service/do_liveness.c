/* POST /liveness and /antispoof: is this photo a live capture? The anti-spoofing networks decide together with what the image itself shows (liveness/cues.h).
 * Rules, calibration and limits: docs/liveness.md. */
#include <string.h>
#include "service/handlers.h"
#include "service/liveness_answer.h"

#define LEAST_FACE_SCORE 0.85f    /* below: low_face_confidence */
#define LEAST_FACE_SHARE 0.05f    /* of the image's area; below: face_too_small */
#define LEAST_MESH_PRESENCE 0.5f  /* below: face_obscured */

void mien_issue_add(struct mien_issues *i, const char *code)
{
    for (int k = 0; k < i->n; k++)
        if (strcmp(i->code[k], code) == 0) return;
    if (i->n < MIEN_MAX_ISSUES) i->code[i->n++] = code;
}

static float share_of_image(const struct mien_face *f, const struct mien_photo *photo)
{
    const float area = (f->box.x1 - f->box.x0) * (f->box.y1 - f->box.y0);
    return area / ((float)mien_photo_width(photo) * (float)mien_photo_height(photo));
}

static void find_issues(const struct mien_photo *photo, double threshold, struct mien_live_verdict *v)
{
    const struct mien_face *f = v->face;
    if (v->faces > 1) mien_issue_add(&v->issues, "multiple_faces");
    if (f->score < LEAST_FACE_SCORE) mien_issue_add(&v->issues, "low_face_confidence");
    if (share_of_image(f, photo) < LEAST_FACE_SHARE) mien_issue_add(&v->issues, "face_too_small");
    if ((f->have & MIEN_WANT_MESH) != 0 && f->mesh_presence < LEAST_MESH_PRESENCE) mien_issue_add(&v->issues, "face_obscured");
    if ((double)v->antispoof < threshold) mien_issue_add(&v->issues, "spoof_detected");
}

static enum mien_code measure(struct mien_call *c, struct mien_photo *photo, const struct mien_face *f, struct mien_live_verdict *v, struct mien_err *e)
{
    MIEN_TRY(mien_cues_measure(photo, f, c->arena, &v->cues, e));
    v->antispoof = f->live;
    v->confidence = mien_liveness_confidence(&v->cues, f->live);
    v->is_live = v->confidence > MIEN_LIVE_CONFIDENCE;
    return MIEN_OK;
}

enum mien_code mien_live_networks(const struct mien_call *c, struct mien_err *e)
{
    MIEN_FAIL_IF(!mien_call_has(c, MIEN_ROLE_SPOOF), e, MIEN_E_MODEL_MISSING, "no anti-spoofing network is installed");
    return MIEN_OK;
}

unsigned mien_live_wants(const struct mien_call *c) { return MIEN_WANT_SPOOF | (mien_call_has(c, MIEN_ROLE_LANDMARKS) ? MIEN_WANT_MESH : 0u); }

enum mien_code mien_live_confidence(struct mien_call *c, struct mien_photo *photo, const struct mien_face *face, float *confidence, struct mien_err *e)
{
    struct mien_live_verdict v = {.face = face};
    MIEN_TRY(measure(c, photo, face, &v, e));
    *confidence = v.confidence;
    return MIEN_OK;
}

enum mien_code mien_live_judge(struct mien_call *c, const struct mien_blob *image, const char *which, double threshold, unsigned wants,
                               struct mien_faces *found, struct mien_live_verdict *out, struct mien_err *e)
{
    static const struct mien_face_settings one = {.primary_only = true};
    struct mien_photo *photo;
    *out = (struct mien_live_verdict){0};
    MIEN_TRY(mien_live_networks(c, e));
    MIEN_TRY(mien_call_analyze(c, image, which, wants | mien_live_wants(c), &one, found, &photo, e));
    out->faces = found->count;
    if (found->count == 0) {
        mien_issue_add(&out->issues, "no_face");
        return MIEN_OK;
    }
    out->face = &found->face[0];
    MIEN_TRY(measure(c, photo, out->face, out, e));
    find_issues(photo, threshold, out);
    out->is_real = out->issues.n == 0; /* one of them is the networks' score below the threshold */
    return MIEN_OK;
}

/* ---- answers ---- */

static void put_networks(struct mien_call *c, const struct mien_face *f)
{
    mien_jw_key(c->json, "models");
    mien_jw_object(c->json);
    for (int i = 0; i < f->n_live; i++) {
        const struct mien_model *m = mien_models_role(c->models, MIEN_ROLE_SPOOF, i);
        if (m != NULL) mien_put_fixed(c, m->id, (double)f->live_each[i], 4);
    }
    mien_jw_end_object(c->json);
}

static void put_checks(struct mien_call *c, const struct mien_live_verdict *v)
{
    mien_jw_key(c->json, "checks");
    if (v->face == NULL) {
        mien_jw_null(c->json);
        return;
    }
    mien_jw_object(c->json);
    mien_put_fixed(c, "screen_pattern", (double)v->cues.screen_pattern, 3);
    mien_put_fixed(c, "color_distribution", (double)v->cues.color_distribution, 3);
    mien_put_fixed(c, "face_proportion", (double)v->cues.face_proportion, 3);
    mien_put_fixed(c, "detection_confidence", (double)v->cues.detection_confidence, 3);
    mien_put_fixed(c, "texture_complexity", (double)v->cues.texture_complexity, 3);
    put_networks(c, v->face);
    mien_jw_end_object(c->json);
}

enum mien_code mien_put_face_liveness(struct mien_call *c, const char *key, struct mien_photo *photo, const struct mien_face *face, struct mien_err *e)
{
    struct mien_live_verdict v = {.face = face};
    mien_jw_key(c->json, key);
    if ((face->have & MIEN_WANT_SPOOF) == 0) {
        mien_jw_null(c->json);
        return MIEN_OK;
    }
    MIEN_TRY(measure(c, photo, face, &v, e));
    mien_jw_object(c->json);
    mien_put_bool(c, "is_live", v.is_live);
    mien_put_fixed(c, "confidence", (double)v.confidence, 4);
    mien_put_fixed(c, "antispoof_score", (double)v.antispoof, 4);
    put_checks(c, &v);
    mien_jw_end_object(c->json);
    return MIEN_OK;
}

static const char *message_of(const struct mien_live_verdict *v, double threshold)
{
    if (v->face == NULL) return "No faces detected.";
    if (!v->is_live || (double)v->antispoof < threshold) return "This does not look like a live person.";
    return v->issues.n == 0 ? "Everything is OK." : "The photo cannot be judged well.";
}

enum mien_code mien_do_liveness(struct mien_call *c, struct mien_err *e)
{
    struct mien_live_verdict v;
    struct mien_faces found;
    const double threshold = mien_call_number(c, "threshold");
    MIEN_TRY(mien_live_judge(c, mien_call_image(c, "image"), "image", threshold, 0, &found, &v, e));
    mien_put_bool(c, "is_real", v.is_real);
    mien_put_fixed(c, "antispoof_score", (double)v.antispoof, 4);
    mien_put_bool(c, "is_live", v.is_live);
    mien_put_fixed(c, "confidence", (double)v.confidence, 4);
    put_checks(c, &v);
    mien_put_integer(c, "face_count", v.faces);
    mien_put_box(c, "bounding_box", v.face != NULL ? &v.face->box : NULL);
    mien_put_issues(c, "issues", v.issues.code, v.issues.n);
    mien_put_text(c, "message", message_of(&v, threshold));
    mien_jw_key(c->json, "liveness_score");
    if (v.face != NULL) mien_jw_fixed(c->json, (double)v.confidence, 4);
    else mien_jw_null(c->json);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}

enum mien_code mien_do_antispoof(struct mien_call *c, struct mien_err *e)
{
    static const struct mien_face_settings one = {.primary_only = true};
    struct mien_faces found;
    MIEN_TRY(mien_live_networks(c, e));
    MIEN_TRY(mien_call_analyze(c, mien_call_image(c, "image"), "image", MIEN_WANT_SPOOF, &one, &found, NULL, e));
    const float score = found.count > 0 ? found.face[0].live : 0.0f;
    mien_put_bool(c, "is_real", found.count > 0 && (double)score >= mien_call_number(c, "threshold"));
    mien_put_fixed(c, "antispoof_score", (double)score, 4);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    mien_put_text(c, "error", found.count > 0 ? NULL : "no_face_detected");
    return MIEN_OK;
}
