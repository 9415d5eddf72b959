/* POST /enroll and /verify with several frames (contract, "Fusion engine"): liveness over the frames, depth of a sensor where it is sent, and a decision.
 *
 * Frames are analysed in their order, each once; /verify stops at the first that is accepted. Of several frames the first is never accepted alone: whether
 * the face moves shows from the second on. */
#include "service/fused.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gallery/half.h"
#include "service/exchange.h"
#include "service/handlers.h"
#include "service/person.h"

static const struct mien_face_settings EVERY_FACE_FOUND = {.primary_only = true};

/* ---- frames ---- */

unsigned mien_fused_wants(const struct mien_call *c)
{
    unsigned wants = MIEN_WANT_EMBEDDING | MIEN_WANT_QUALITY;
    if (mien_call_has(c, MIEN_ROLE_LANDMARKS)) wants |= MIEN_WANT_MESH | MIEN_WANT_EYES | MIEN_WANT_POSE;
    if (mien_call_has(c, MIEN_ROLE_SPOOF)) wants |= MIEN_WANT_SPOOF;
    return wants;
}

/* The frames of a request that show one face, in their order. */
struct frames {
    struct mien_call *call;
    const struct mien_blob *image, *depth_image;
    int images, depth_images;
    struct mien_frame *frame;             /* room for all images */
    float (*shape)[MIEN_DEPTH_DIM];       /* descriptor of each frame that has depth */
    bool *has_shape;
    struct mien_depth_map *map;           /* owned; freed by release */
    int n, next;                          /* frames so far; image to look at next */
};

static enum mien_code begin_frames(struct mien_call *c, struct frames *f, struct mien_err *e)
{
    *f = (struct frames){.call = c};
    MIEN_FAIL_IF(!mien_call_has(c, MIEN_ROLE_SPOOF), e, MIEN_E_MODEL_MISSING, "no anti-spoofing network is installed");
    f->images = mien_call_images(c, "images", &f->image);
    f->depth_images = mien_call_images(c, "depth_images", &f->depth_image);
    if (f->depth_images > 0 && f->depth_images != f->images)
        return mien_call_refuse(c, "depth_images", -1, NULL, "must have as many entries as images", e);
    for (int i = 0; i < f->images; i++) /* these routes have no answer for each image: one that cannot be had fails the request */
        if (f->image[i].failed != MIEN_OK) {
            char text[120];
            snprintf(text, sizeof text, "images[%d] %s", i, f->image[i].why);
            return mien_call_say(c, f->image[i].failed, text, e);
        }
    const size_t n = (size_t)f->images;
    f->frame = mien_arena_calloc(c->arena, n, sizeof *f->frame);
    f->shape = mien_arena_calloc(c->arena, n, sizeof *f->shape);
    f->has_shape = mien_arena_calloc(c->arena, n, sizeof *f->has_shape);
    f->map = mien_arena_calloc(c->arena, n, sizeof *f->map);
    MIEN_FAIL_IF(f->frame == NULL || f->shape == NULL || f->has_shape == NULL || f->map == NULL, e, MIEN_E_NOMEM, "out of memory");
    return MIEN_OK;
}

static void release(struct frames *f)
{
    for (int i = 0; f->map != NULL && i < f->images; i++) mien_depth_map_free(&f->map[i]);
}

static enum mien_code read_depth(struct frames *f, int image, struct mien_err *e)
{
    const struct mien_service_settings *s = &f->call->service->settings;
    const struct mien_image_limits limits = {s->max_image_bytes, s->max_image_pixels};
    const struct mien_blob *b = &f->depth_image[image];
    char text[64];
    const enum mien_code code = b->failed != MIEN_OK ? b->failed : mien_depth_map_read(b->data, b->size, &limits, &f->map[image], e);
    if (code == MIEN_OK || code == MIEN_E_NOMEM) return code;
    snprintf(text, sizeof text, "depth_images[%d] is no 16-bit gray PNG of depth", image);
    return mien_call_say(f->call, code, text, e);
}

static enum mien_code add_frame(struct frames *f, int image, struct mien_photo *photo, const struct mien_face *face, struct mien_err *e)
{
    struct mien_frame *to = &f->frame[f->n];
    *to = (struct mien_frame){.face = face, .photo_width = mien_photo_width(photo), .photo_height = mien_photo_height(photo)};
    MIEN_TRY(mien_cues_measure(photo, face, f->call->arena, &to->cues, e));
    if (f->depth_images > 0) {
        MIEN_TRY(read_depth(f, image, e));
        to->depth = &f->map[image];
        f->has_shape[f->n] = mien_depth_descriptor(to->depth, to->photo_width, to->photo_height, face, f->shape[f->n]);
    }
    f->n++;
    return MIEN_OK;
}

/* Looks at the next image; *added: it shows exactly one face and is frame n - 1 now. */
static enum mien_code next_frame(struct frames *f, bool *added, struct mien_err *e)
{
    const int image = f->next++;
    struct mien_faces found;
    struct mien_photo *photo;
    char which[24];
    snprintf(which, sizeof which, "images[%d]", image);
    MIEN_TRY(mien_call_analyze(f->call, &f->image[image], which, mien_fused_wants(f->call), &EVERY_FACE_FOUND, &found, &photo, e));
    *added = found.count == 1;
    const enum mien_code code = *added ? add_frame(f, image, photo, &found.face[0], e) : MIEN_OK;
    mien_call_release(f->call, photo);
    return code;
}

/* Whether frame i shows the person of the first one. What moves in one frame must not make another person's photograph live. */
static enum mien_code same_person(const struct frames *f, int i, bool *same, struct mien_err *e)
{
    *same = true;
    return i == 0 ? MIEN_OK : mien_person_same(f->call, f->frame[0].face, f->frame[i].face, same, e);
}

static const char DIFFERENT_PEOPLE[] = "The images show different people";

/* ---- POST /enroll ---- */

/* The frames that make a template: their mean, and how alike they are. */
struct mean {
    float rgb[MIEN_MAX_EMBEDDING], shape[MIEN_DEPTH_DIM];
    const struct mien_face *face[1000]; /* MAX_IMAGES allows no more */
    int n, shapes;
    float liveness, alike;
};

static void add_to_mean(struct mean *m, const struct frames *f, int i, float liveness, int dim)
{
    for (int k = 0; k < dim; k++) m->rgb[k] += f->frame[i].face->embedding[k];
    for (int k = 0; f->has_shape[i] && k < MIEN_DEPTH_DIM; k++) m->shape[k] += f->shape[i][k];
    m->shapes += f->has_shape[i];
    m->liveness += liveness;
    m->face[m->n++] = f->frame[i].face;
}

/* Makes the mean a unit vector; m->alike becomes the least similarity of a frame to it. */
static void finish_mean(struct mean *m, int dim)
{
    float length = 0.0f;
    for (int k = 0; k < dim; k++) length += m->rgb[k] * m->rgb[k];
    length = sqrtf(length);
    for (int k = 0; k < dim && length > 0.0f; k++) m->rgb[k] /= length;
    m->alike = 1.0f;
    for (int i = 0; i < m->n; i++) m->alike = fminf(m->alike, mien_similarity_cosine(m->rgb, m->face[i]->embedding, dim));
}

static enum mien_code gather(struct mien_call *c, struct frames *f, struct mean *m, float *best, int dim, struct mien_err *e)
{
    const struct mien_fusion_settings *s = &c->service->settings.fusion;
    bool added;
    while (f->next < f->images) MIEN_TRY(next_frame(f, &added, e));
    for (int i = 0; i < f->n; i++) {
        const float liveness = mien_liveness_of_frame(s, f->frame, f->n, i).score;
        *best = fmaxf(*best, liveness);
        if (liveness >= s->enroll_liveness) add_to_mean(m, f, i, liveness, dim);
    }
    return MIEN_OK;
}

static enum mien_code answer_enrolment(struct mien_call *c, const struct mean *m, const char *why, float best, int faces)
{
    const struct mien_model *model = mien_models_role(c->models, MIEN_ROLE_EMBED, 0);
    mien_put_text(c, "user_id", mien_call_text(c, "user_id"));
    mien_put_bool(c, "success", why == NULL);
    mien_put_text(c, "decision", mien_decision_name(why == NULL ? MIEN_ACCEPT : MIEN_REJECT));
    mien_put_fixed(c, "confidence", why == NULL ? (double)mien_match_confidence(model, m->alike) : 0.0, 4);
    mien_put_text(c, "message", why == NULL ? "Face enrolled successfully" : why);
    mien_put_fixed(c, "liveness_score", (double)(m->n > 0 ? m->liveness / (float)m->n : best), 4);
    mien_put_integer(c, "frames_with_one_face", faces);
    mien_put_integer(c, "frames_used", m->n);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}

static enum mien_code enroll_frames(struct mien_call *c, struct frames *f, struct mean *m, const struct mien_model *model, struct mien_err *e)
{
    struct mien_gallery *g;
    bool same = true;
    float best = 0.0f;
    MIEN_TRY(gather(c, f, m, &best, model->dim, e));
    if (f->n == 0) return answer_enrolment(c, m, "No image shows exactly one face", best, 0);
    if (m->n == 0) return answer_enrolment(c, m, "No image shows a live person surely enough", best, f->n);
    for (int i = 1; i < f->n && same; i++) MIEN_TRY(same_person(f, i, &same, e)); /* also those that are not used: they count as movement */
    if (!same) return answer_enrolment(c, m, DIFFERENT_PEOPLE, best, f->n);
    finish_mean(m, model->dim);
    const struct mien_enrolment one = {.user_id = mien_call_text(c, "user_id"), .name = mien_call_text(c, "name"), .metadata = mien_call_text(c, "metadata"),
                                       .rgb = m->rgb, .depth = m->shapes > 0 ? m->shape : NULL, .depth_dim = MIEN_DEPTH_DIM,
                                       .append = mien_call_flag(c, "append")};
    MIEN_TRY(mien_call_gallery(c, &g, e));
    MIEN_TRY(mien_call_enroll(c, g, &one, 1, e));
    return answer_enrolment(c, m, NULL, best, f->n);
}

enum mien_code mien_do_enroll_frames(struct mien_call *c, struct mien_err *e)
{
    const int least = c->service->settings.fusion.enroll_min_samples;
    const struct mien_model *model;
    struct mien_gallery *g;
    struct frames f;
    char text[80];
    MIEN_TRY(mien_call_gallery(c, &g, e));
    MIEN_TRY(mien_call_embedder(c, &model, NULL, e));
    MIEN_TRY(begin_frames(c, &f, e));
    snprintf(text, sizeof text, "at least %d images are needed (ENROLLMENT_MIN_SAMPLES)", least);
    if (f.images < least) return mien_call_say(c, MIEN_E_TOO_FEW, text, e);
    struct mean *m = mien_arena_calloc(c->arena, 1, sizeof *m);
    MIEN_FAIL_IF(m == NULL, e, MIEN_E_NOMEM, "out of memory");
    const enum mien_code code = enroll_frames(c, &f, m, model, e);
    release(&f);
    return code;
}

/* ---- POST /verify ---- */

/* The user's templates. */
struct enrolled {
    float rgb[MIEN_USER_TEMPLATES][MIEN_MAX_EMBEDDING], shape[MIEN_USER_TEMPLATES][MIEN_DEPTH_DIM];
    bool has_shape[MIEN_USER_TEMPLATES];
    int n;
};

static enum mien_code take_template(void *context, const struct mien_user *user, const struct mien_template *t, struct mien_err *e)
{
    struct enrolled *to = context;
    (void)user;
    (void)e;
    if (to->n == MIEN_USER_TEMPLATES || t->dim > MIEN_MAX_EMBEDDING) return MIEN_OK;
    mien_half_to_float(t->rgb, to->rgb[to->n], (size_t)t->dim);
    to->has_shape[to->n] = t->depth_dim == MIEN_DEPTH_DIM;
    if (to->has_shape[to->n]) mien_half_to_float(t->depth, to->shape[to->n], MIEN_DEPTH_DIM);
    to->n++;
    return MIEN_OK;
}

static float best_rgb(const struct enrolled *u, const struct mien_face *face)
{
    float best = -1.0f;
    for (int i = 0; i < u->n; i++) best = fmaxf(best, mien_similarity_cosine(u->rgb[i], face->embedding, face->embedding_dim));
    return best;
}

static struct mien_modality best_shape(const struct enrolled *u, const float *shape)
{
    struct mien_modality best = {false, 0.0f};
    for (int i = 0; shape != NULL && i < u->n; i++) {
        if (!u->has_shape[i]) continue;
        const float confidence = mien_depth_confidence(mien_similarity_cosine(u->shape[i], shape, MIEN_DEPTH_DIM));
        best = (struct mien_modality){true, fmaxf(best.score, confidence)};
    }
    return best;
}

/* Nobody is accepted whose face does not match, whatever the other parts say. */
static void decide(const struct mien_fusion_settings *s, bool match, struct mien_fused *out)
{
    out->judged = true;
    out->decision = mien_decide(s, out->score);
    if (out->decision == MIEN_ACCEPT && !match) out->decision = MIEN_RE_VERIFY;
    out->message = out->decision == MIEN_ACCEPT ? "Identity verified" : out->decision == MIEN_RE_VERIFY ? "Not sure: try again" : "Identity not verified";
}

/* Judges frame i by itself and the frames before it. */
static void judge(const struct mien_fusion_settings *s, const struct mien_frame *frames, int i, float confidence, struct mien_modality depth, bool match,
                  struct mien_fused *out)
{
    out->liveness = mien_liveness_of_frame(s, frames, i + 1, i);
    out->score = mien_fuse(s, (struct mien_modality){true, confidence}, depth, (struct mien_modality){true, out->liveness.score}, out->liveness.motion);
    decide(s, match, out);
}

enum mien_code mien_fused_photo(struct mien_call *c, struct mien_photo *photo, const struct mien_face *face, float confidence, bool match,
                                struct mien_fused *out, struct mien_err *e)
{
    struct mien_frame frame = {.face = face, .photo_width = mien_photo_width(photo), .photo_height = mien_photo_height(photo)};
    *out = (struct mien_fused){0};
    if ((face->have & MIEN_WANT_SPOOF) == 0) return MIEN_OK;
    MIEN_TRY(mien_cues_measure(photo, face, c->arena, &frame.cues, e));
    judge(&c->service->settings.fusion, &frame, 0, confidence, (struct mien_modality){0}, match, out);
    return MIEN_OK;
}

static void put_score(struct mien_call *c, const char *key, bool there, float v)
{
    mien_jw_key(c->json, key);
    if (there) mien_jw_fixed(c->json, (double)v, 4);
    else mien_jw_null(c->json);
}

void mien_put_fused(struct mien_call *c, const struct mien_fused *f)
{
    mien_put_bool(c, "success", f->judged && f->decision == MIEN_ACCEPT);
    mien_put_text(c, "decision", f->judged ? mien_decision_name(f->decision) : NULL);
    mien_put_text(c, "message", f->judged ? f->message : NULL);
    put_score(c, "liveness_score", f->judged, f->liveness.score);
    put_score(c, "fusion_score", f->judged, f->score);
}

/* What the answer speaks of: the accepted frame, else the one of the largest fused score. */
struct verdict {
    struct mien_fused fused;
    const struct mien_face *face;
    float similarity, confidence;
    bool match;
    float best_liveness; /* of all frames */
    int used;
};

static void put_parts(struct mien_call *c, const struct mien_liveness *l)
{
    mien_jw_key(c->json, "liveness");
    mien_jw_object(c->json);
    put_score(c, "depth", l->depth.present, l->depth.score);
    put_score(c, "motion", l->motion.present, l->motion.score);
    put_score(c, "blink", l->blink.present, l->blink.score);
    put_score(c, "texture", l->texture.present, l->texture.score);
    put_score(c, "antispoof", l->antispoof.present, l->antispoof.score);
    mien_jw_end_object(c->json);
}

static enum mien_code answer_verdict(struct mien_call *c, const struct frames *f, struct verdict *v, double threshold)
{
    const bool verified = v->fused.judged && v->fused.decision == MIEN_ACCEPT;
    if (!v->fused.judged) {
        v->fused = (struct mien_fused){.judged = true, .decision = MIEN_REJECT, .liveness = {.score = v->best_liveness},
                                       .message = f->n == 0 ? "No image shows exactly one face" : "No image shows a live person surely enough"};
    }
    mien_put_text(c, "user_id", mien_call_text(c, "user_id"));
    mien_put_bool(c, "verified", verified);
    mien_put_bool(c, "match", v->match);
    mien_put_fused(c, &v->fused);
    mien_put_fixed(c, "confidence", (double)v->fused.score, 4);
    put_score(c, "similarity", v->face != NULL, v->similarity);
    mien_put_fixed(c, "threshold", threshold, 4);
    put_parts(c, &v->fused.liveness);
    if (v->face != NULL) mien_put_quality(c, "quality", &v->face->quality, v->face);
    else mien_put_text(c, "quality", NULL);
    mien_put_integer(c, "frames_with_one_face", f->n);
    mien_put_integer(c, "frames_used", v->used);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}

static void look_at_frame(struct mien_call *c, const struct frames *f, int i, const struct enrolled *u, const struct mien_model *model, double threshold,
                          struct verdict *v)
{
    const struct mien_fusion_settings *s = &c->service->settings.fusion;
    const struct mien_face *face = f->frame[i].face;
    const float similarity = best_rgb(u, face), confidence = mien_match_confidence(model, similarity);
    const bool match = (double)similarity >= threshold;
    struct mien_fused now = {0};
    judge(s, f->frame, i, confidence, best_shape(u, f->has_shape[i] ? f->shape[i] : NULL), match, &now);
    v->best_liveness = fmaxf(v->best_liveness, now.liveness.score);
    if (now.liveness.score < s->verify_liveness) return;
    v->used++;
    if (v->fused.judged && now.score <= v->fused.score) return;
    v->fused = now;
    v->face = face;
    v->similarity = similarity;
    v->confidence = confidence;
    v->match = match;
}

static enum mien_code verify_frames(struct mien_call *c, struct frames *f, const struct enrolled *u, const struct mien_model *model, struct mien_err *e)
{
    const double threshold = mien_call_number(c, "threshold");
    struct verdict v = {0};
    while (f->next < f->images) {
        bool added, same;
        MIEN_TRY(next_frame(f, &added, e));
        if (added) MIEN_TRY(same_person(f, f->n - 1, &same, e));
        if (added && !same) {
            v = (struct verdict){.fused = {.judged = true, .decision = MIEN_REJECT, .message = DIFFERENT_PEOPLE}};
            break;
        }
        if (!added || (f->n == 1 && f->next < f->images)) continue; /* alone it does not show movement: judged when nothing follows */
        look_at_frame(c, f, f->n - 1, u, model, threshold, &v);
        if (v.fused.judged && v.fused.decision == MIEN_ACCEPT) break;
    }
    if (f->n == 1 && !v.fused.judged) look_at_frame(c, f, 0, u, model, threshold, &v); /* the others have no face */
    return answer_verdict(c, f, &v, threshold);
}

enum mien_code mien_do_verify_frames(struct mien_call *c, struct mien_err *e)
{
    const struct mien_model *model;
    struct mien_gallery *g;
    struct frames f;
    MIEN_TRY(mien_call_gallery(c, &g, e));
    MIEN_TRY(mien_call_embedder(c, &model, NULL, e));
    struct enrolled *u = mien_arena_calloc(c->arena, 1, sizeof *u);
    MIEN_FAIL_IF(u == NULL, e, MIEN_E_NOMEM, "out of memory");
    MIEN_TRY(mien_gallery_templates(g, mien_call_text(c, "user_id"), take_template, u, e));
    MIEN_TRY(begin_frames(c, &f, e));
    const enum mien_code code = verify_frames(c, &f, u, model, e);
    release(&f);
    return code;
}
