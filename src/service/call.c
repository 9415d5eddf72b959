/* What handlers ask of a request. */
#include "service/call.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "service/exchange.h"

static int index_of(const struct mien_member *m, const char *name)
{
    for (int i = 0; m != NULL && m[i].name != NULL; i++)
        if (strcmp(m[i].name, name) == 0) return i;
    return -1;
}

static const struct mien_member_value *value_of(const struct mien_call *c, const char *name)
{
    static const struct mien_member_value NOTHING;
    int i = index_of(c->route->members, name);
    assert(i >= 0 && "the route has no such member");
    return i >= 0 ? &mien_exchange_of(c)->value[i] : &NOTHING;
}

static const struct mien_member_value *item_value(const struct mien_call *c, const char *member, int i, const char *name)
{
    static const struct mien_member_value NOTHING;
    const struct mien_member_value *v = value_of(c, member);
    int row = index_of(c->route->members, member);
    int k = row >= 0 && c->route->members[row].kind == MIEN_KIND_ITEMS ? index_of(c->route->members[row].sub, name) : -1;
    assert(k >= 0 && i >= 0 && i < v->count && "the member has no such item");
    return k >= 0 && i >= 0 && i < v->count ? &v->item[i].value[k] : &NOTHING;
}

bool mien_call_given(const struct mien_call *c, const char *member) { return value_of(c, member)->given; }
double mien_call_number(const struct mien_call *c, const char *member) { return value_of(c, member)->number; }
int mien_call_integer(const struct mien_call *c, const char *member) { return (int)value_of(c, member)->number; }
bool mien_call_flag(const struct mien_call *c, const char *member) { return value_of(c, member)->number > 0.5; }
const char *mien_call_text(const struct mien_call *c, const char *member) { return value_of(c, member)->text; }
const struct mien_blob *mien_call_image(const struct mien_call *c, const char *member) { return value_of(c, member)->blob; }

const char *const *mien_call_choices(const struct mien_call *c, const char *member, int *n)
{
    const struct mien_member_value *v = value_of(c, member);
    *n = v->choice != NULL ? v->count : 0;
    return v->choice;
}

int mien_call_images(const struct mien_call *c, const char *member, const struct mien_blob **first)
{
    const struct mien_member_value *v = value_of(c, member);
    *first = v->blob;
    return v->count;
}

int mien_call_items(const struct mien_call *c, const char *member) { return value_of(c, member)->count; }

const char *mien_call_item_text(const struct mien_call *c, const char *member, int i, const char *name) { return item_value(c, member, i, name)->text; }
bool mien_call_item_given(const struct mien_call *c, const char *member, int i, const char *name) { return item_value(c, member, i, name)->given; }
bool mien_call_item_flag(const struct mien_call *c, const char *member, int i, const char *name) { return item_value(c, member, i, name)->number > 0.5; }

const float *mien_call_item_vector(const struct mien_call *c, const char *member, int i, const char *name, int *n)
{
    const struct mien_member_value *v = item_value(c, member, i, name);
    *n = v->vector != NULL ? v->count : 0;
    return v->vector;
}

const struct mien_blob *mien_call_item_image(const struct mien_call *c, const char *member, int i, const char *name)
{
    return item_value(c, member, i, name)->blob;
}

enum mien_code mien_call_refuse(struct mien_call *c, const char *member, int index, const char *sub, const char *text, struct mien_err *e)
{
    struct mien_faults *faults = &mien_exchange_of(c)->faults;
    struct mien_fault *f = &faults->fault[0];
    *f = (struct mien_fault){.place = "body", .member = member, .sub = sub, .index = index, .type = "value_error"};
    snprintf(f->msg, sizeof f->msg, "%s", text);
    faults->n = 1;
    if (index < 0) return MIEN_FAIL(e, MIEN_E_REQUEST, "%s%s%s %s", member, sub != NULL ? "." : "", sub != NULL ? sub : "", text);
    return MIEN_FAIL(e, MIEN_E_REQUEST, "%s[%d]%s%s %s", member, index, sub != NULL ? "." : "", sub != NULL ? sub : "", text);
}

enum mien_code mien_call_say(struct mien_call *c, enum mien_code code, const char *text, struct mien_err *e)
{
    struct mien_exchange *x = mien_exchange_of(c);
    x->said_for = code;
    snprintf(x->said, sizeof x->said, "%s", text);
    return MIEN_FAIL(e, code, "%s", text);
}

int64_t mien_call_ms(const struct mien_call *c) { return (int64_t)llround(mien_elapsed_ms(c->started_ns)); }

/* Says a failure about an image in words for the client; failures that are not about it stay as they are. */
static enum mien_code retell(struct mien_call *c, enum mien_code code, const char *which, struct mien_err *e)
{
    struct mien_exchange *x = mien_exchange_of(c);
    const char *what = mien_problem_about_image(code);
    if (code == MIEN_OK || what == NULL) return code;
    char text[sizeof x->said];
    snprintf(text, sizeof text, "%s %s", which, what);
    return mien_call_say(c, code, text, e);
}

static enum mien_code open_photo(struct mien_call *c, const struct mien_blob *image, struct mien_photo **photo, struct mien_err *e)
{
    const struct mien_service_settings *s = &c->service->settings;
    const struct mien_image_limits limits = {s->max_image_bytes, s->max_image_pixels};
    MIEN_FAIL_IF(image->failed != MIEN_OK, e, image->failed, "the image could not be had");
    struct mien_held_photo *held = mien_arena_calloc(c->arena, 1, sizeof *held);
    MIEN_FAIL_IF(held == NULL, e, MIEN_E_NOMEM, "out of memory");
    MIEN_TRY(mien_photo_open(image->data, image->size, &limits, &held->photo, e));
    held->next = mien_exchange_of(c)->photos;
    mien_exchange_of(c)->photos = held;
    *photo = held->photo;
    return MIEN_OK;
}

enum mien_code mien_call_analyze(struct mien_call *c, const struct mien_blob *image, const char *which, unsigned wants,
                                 const struct mien_face_settings *settings, struct mien_faces *out, struct mien_photo **photo, struct mien_err *e)
{
    struct mien_face_settings s = settings != NULL ? *settings : MIEN_FACE_SETTINGS_DEFAULT;
    struct mien_photo *opened = NULL;
    *out = (struct mien_faces){.best = -1};
    if (photo != NULL) *photo = NULL;
    if (s.min_score <= 0.0f) s.min_score = c->service->settings.min_score;
    s.detection_size = c->service->settings.detection_size;
    MIEN_TRY(retell(c, open_photo(c, image, &opened, e), which, e));
    enum mien_code code = mien_face_analyze(c->models, c->session, opened, wants, &s, c->arena, out, e);
    if (code == MIEN_OK) mien_metrics_faces(&c->service->metrics, out->count);
    if (photo != NULL && code == MIEN_OK) *photo = opened;
    else mien_photo_free(&mien_exchange_of(c)->photos->photo); /* nobody will look again: a batch does not keep every picture's pixels */
    return retell(c, code, which, e);
}

void mien_call_release(struct mien_call *c, struct mien_photo *photo)
{
    for (struct mien_held_photo *h = mien_exchange_of(c)->photos; h != NULL; h = h->next)
        if (h->photo == photo) mien_photo_free(&h->photo);
}

enum mien_code mien_call_gallery(const struct mien_call *c, struct mien_gallery **g, struct mien_err *e)
{
    *g = c->service->settings.gallery;
    MIEN_FAIL_IF(*g == NULL, e, MIEN_E_STORE, "this server has no gallery");
    return MIEN_OK;
}

enum mien_code mien_call_enroll(struct mien_call *c, struct mien_gallery *g, const struct mien_enrolment *enrolments, int n, struct mien_err *e)
{
    char text[64];
    for (int i = 0; i < n; i++)
        if (!mien_user_id_valid(enrolments[i].user_id)) return mien_call_refuse(c, "user_id", -1, NULL, "must be text without control characters", e);
    const enum mien_code code = mien_gallery_enroll(g, enrolments, n, e);
    snprintf(text, sizeof text, "would have more than %d templates", MIEN_USER_TEMPLATES);
    return code == MIEN_E_LIMIT ? mien_call_refuse(c, "user_id", -1, NULL, text, e) : code;
}

bool mien_call_has(const struct mien_call *c, enum mien_role role)
{
    const struct mien_model *m = mien_models_role(c->models, role, 0);
    return m != NULL && m->installed;
}

enum mien_code mien_call_embedder(const struct mien_call *c, const struct mien_model **model, float *threshold, struct mien_err *e)
{
    const float configured = c->service->settings.match_threshold;
    MIEN_FAIL_IF(!mien_call_has(c, MIEN_ROLE_EMBED), e, MIEN_E_MODEL_MISSING, "no recognition model is installed");
    *model = mien_models_role(c->models, MIEN_ROLE_EMBED, 0);
    if (threshold != NULL) *threshold = isnan(configured) ? (*model)->threshold : configured;
    return MIEN_OK;
}
