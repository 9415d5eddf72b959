/* The service as net's handler: a request's way through lookup, access, limits, validation, its route's handler, and the log.
 *
 * begin() runs on the event thread and decides everything that the headers alone decide. What it keeps for a request is one mien_exchange in an arena of its
 * own; the arena is wiped and freed in done(), whatever happened between. */
#include "service/service.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/clock.h"
#include "base/log.h"
#include "service/exchange.h"
#include "service/openapi.h"

enum {
    CALL_ARENA_BYTES = 256 << 20, /* most memory of one request besides its body: far beyond any real one */
    OPENAPI_BYTES = 4 << 20,
    KEPT_VALUES = 100000 /* sessions and nonces: 62 MB if all were there at a time */
};

/* ---- an exchange's life ---- */

static struct mien_exchange *open_exchange(struct mien_service *s, struct mien_request *q)
{
    struct mien_arena *arena = mien_arena_create(CALL_ARENA_BYTES);
    struct mien_exchange *x = arena != NULL ? mien_arena_calloc(arena, 1, sizeof *x) : NULL;
    if (x == NULL) {
        mien_arena_free(&arena);
        return NULL;
    }
    x->call = (struct mien_call){.service = s, .models = s->models, .arena = arena, .request = q, .started_ns = mien_request_started_ns(q)};
    mien_access_identify(s->access, q, &x->caller);
    x->call.client = x->caller.client;
    mien_request_keep(q, x);
    return x;
}

static void release_images(struct mien_exchange *x)
{
    for (struct mien_held_photo *h = x->photos; h != NULL; h = h->next) mien_photo_free(&h->photo);
    for (struct mien_picture *p = x->picture; p != NULL; p = p->next) {
        if (p->fetched != NULL) explicit_bzero(p->fetched, p->fetched_size);
        free(p->fetched);
        p->fetched = NULL;
    }
    x->photos = NULL;
}

static void close_exchange(struct mien_exchange *x)
{
    struct mien_arena *arena = x->call.arena;
    release_images(x);
    mien_arena_wipe_free(&arena);
}

/* ---- answers ---- */

/* Routes whose errors have one more form (CONTRACT.md, "Errors"). */
static bool is_about_tokens(const char *path)
{
    if (strncmp(path, "/api/", 5) == 0) path += 4;
    return strncmp(path, "/auth/", 6) == 0 || strncmp(path, "/token/", 7) == 0;
}

static void answer_problem(struct mien_exchange *x, struct mien_response *r, enum mien_problem p, const char *detail)
{
    char first[200];
    if (p == MIEN_PROBLEM_VALIDATION_ERROR && detail == NULL && x->faults.n > 0) {
        const struct mien_fault *f = &x->faults.fault[0];
        const char *name = f->sub != NULL ? f->sub : f->member != NULL ? f->member : f->place;
        snprintf(first, sizeof first, "%s %s", name, f->msg);
        detail = first;
    }
    mien_problem_write(r, p, detail, &x->faults, is_about_tokens(mien_request_path(x->call.request)));
    x->problem = p;
    mien_metrics_rejected(&x->call.service->metrics, p);
}

static void finish(struct mien_exchange *x, struct mien_response *r)
{
    const struct mien_service *s = x->call.service;
    if (r->fixed == NULL && r->body.failed) answer_problem(x, r, MIEN_PROBLEM_OVERLOADED, NULL); /* no memory for the answer */
    mien_access_headers(s->access, &x->caller, x->page, r);
}

static void answer_failure(struct mien_exchange *x, struct mien_response *r, enum mien_code code, const struct mien_err *e)
{
    const enum mien_problem p = mien_problem_of(code);
    const bool for_clients = (code == MIEN_E_NO_FACE || code == MIEN_E_REQUEST) && e->code == code;
    const char *said = code == x->said_for ? x->said : for_clients ? e->msg : NULL;
    if (p == MIEN_PROBLEM_INTERNAL_ERROR || p == MIEN_PROBLEM_MODEL_UNAVAILABLE || p == MIEN_PROBLEM_OVERLOADED)
        mien_log(p == MIEN_PROBLEM_INTERNAL_ERROR ? MIEN_LOG_ERROR : MIEN_LOG_WARN, "request_failed", "id=%s route=%s error=%s at=%s:%d why=%s",
                 mien_request_id(x->call.request), x->call.route->path, mien_code_name(code), e->file != NULL ? e->file : "", e->line, e->msg);
    answer_problem(x, r, p, said);
}

/* In builds with the address sanitizer every answer is held against its row. */
static void check_answer(const struct mien_exchange *x, const struct mien_response *r)
{
#if defined(__SANITIZE_ADDRESS__)
    struct mien_json *json = NULL;
    char room[160];
    const char *wrong = "is not JSON";
    if (x->call.route->fields == NULL || r->body.failed) return;
    if (mien_json_parse(r->body.data, r->body.len, &json, NULL) == MIEN_OK) wrong = mien_answer_differs(x->call.route->fields, json, room);
    mien_json_free(&json);
    if (wrong != NULL) fprintf(stderr, "%s: the answer is not what its row says: %s\n", x->call.route->path, wrong);
    assert(wrong == NULL);
#else
    (void)x;
    (void)r;
#endif
}

/* Calls the route's handler and makes its answer. */
static void run_handler(struct mien_exchange *x, struct mien_response *r)
{
    const struct mien_route *route = x->call.route;
    const bool json = route->type == NULL;
    struct mien_err e = {0};
    struct mien_jw w;
    mien_jw_init(&w, &r->body);
    x->call.json = &w;
    x->call.response = r;
    r->type = json ? "application/json" : route->type;
    if (json) mien_jw_object(&w);
    enum mien_code code = route->answer(&x->call, &e);
    if (code != MIEN_OK) {
        answer_failure(x, r, code, &e);
    } else if (json) {
        mien_jw_end_object(&w);
        check_answer(x, r);
    }
    finish(x, r);
}

/* ---- begin ---- */

static bool begins_with(const char *type, size_t n, const char *prefix) { return n >= strlen(prefix) && strncasecmp(type, prefix, strlen(prefix)) == 0; }

/* The form of the body by its Content-Type; false when it is none of those that are known. */
static bool media_of(const struct mien_request *q, bool has_body, enum mien_media *media)
{
    const char *type = mien_request_header(q, "Content-Type");
    *media = has_body ? MIEN_MEDIA_RAW : MIEN_MEDIA_NONE;
    if (type == NULL || !has_body) return true;
    const size_t n = strcspn(type, "; \t");
    if (n == 0) return true;
    if (begins_with(type, n, "image/") || (n == 24 && strncasecmp(type, "application/octet-stream", n) == 0)) return true;
    *media = MIEN_MEDIA_JSON;
    if ((n == 16 && strncasecmp(type, "application/json", n) == 0) || (n > 5 && strncasecmp(type + n - 5, "+json", 5) == 0)) return true;
    *media = MIEN_MEDIA_LINES;
    if (n == 20 && strncasecmp(type, "application/x-ndjson", n) == 0) return true;
    *media = MIEN_MEDIA_MULTIPART;
    return n == 19 && strncasecmp(type, "multipart/form-data", n) == 0;
}

/* Whether any row of the path takes the body; which one it is to be is known once it is read. */
static bool takes_media(const struct mien_route *route, enum mien_media media)
{
    const struct mien_route *r = route;
    while (r != NULL && !mien_body_taken(r, media)) r = mien_route_next(r);
    return r != NULL;
}

/* Whether a body is announced, and its length; the guard has checked that it is digits. */
static bool announced_body(const struct mien_request *q, unsigned long long *length)
{
    const char *text = mien_request_header(q, "Content-Length");
    *length = text != NULL ? strtoull(text, NULL, 10) : 0;
    return *length > 0 || mien_request_header(q, "Transfer-Encoding") != NULL;
}

static enum mien_problem find_route(struct mien_exchange *x, struct mien_response *r)
{
    char allow[64];
    struct mien_request *q = x->call.request;
    x->call.route = mien_route_find(mien_request_method(q), mien_request_path(q), allow);
    if (x->call.route != NULL) return MIEN_PROBLEM_NONE;
    if (allow[0] == 0) return MIEN_PROBLEM_NOT_FOUND;
    mien_response_header(r, "Allow", allow);
    return MIEN_PROBLEM_METHOD_NOT_ALLOWED;
}

static bool becomes_socket(const struct mien_route *r) { return (r->takes & MIEN_TAKES_UPGRADE) != 0; }

static bool is_limited(const struct mien_exchange *x)
{
    return x->call.service->limits != NULL && (x->call.route->scope != MIEN_SCOPE_NONE || becomes_socket(x->call.route));
}

static enum mien_problem too_often(struct mien_response *r, int wait_s)
{
    char text[16];
    snprintf(text, sizeof text, "%d", wait_s);
    mien_response_header(r, "Retry-After", text);
    return MIEN_PROBLEM_RATE_LIMITED;
}

static enum mien_problem check_rate(struct mien_exchange *x, struct mien_response *r)
{
    int wait_s = 0;
    if (!is_limited(x) || mien_limits_take(x->call.service->limits, x->caller.client, mien_now_ns(), &wait_s)) return MIEN_PROBLEM_NONE;
    return too_often(r, wait_s);
}

/* The bucket that is one for all servers of a Redis. Only on workers: event threads wait for nobody. */
static enum mien_problem check_shared_rate(struct mien_exchange *x, struct mien_response *r)
{
    const struct mien_service *s = x->call.service;
    int wait_s = 0;
    if (s->settings.redis == NULL || !is_limited(x)) return MIEN_PROBLEM_NONE;
    if (mien_limits_take_shared(s->limits, s->settings.redis, x->caller.client, &wait_s)) return MIEN_PROBLEM_NONE;
    return too_often(r, wait_s);
}

/* Body's form and size, by the headers. */
static enum mien_problem check_body(struct mien_exchange *x, size_t *max_body)
{
    unsigned long long length;
    const bool has_body = announced_body(x->call.request, &length);
    *max_body = 0;
    if ((x->call.route->takes & MIEN_TAKES_BODY) == 0) return MIEN_PROBLEM_NONE; /* the body is not read */
    if (!media_of(x->call.request, has_body, &x->media) || !takes_media(x->call.route, x->media)) return MIEN_PROBLEM_UNSUPPORTED_MEDIA_TYPE;
    *max_body = mien_body_limit(&x->call.service->settings, x->call.route, x->media);
    return length > *max_body ? MIEN_PROBLEM_TOO_LARGE : MIEN_PROBLEM_NONE;
}

static enum mien_problem admit(struct mien_exchange *x, struct mien_response *r, size_t *max_body, const char **why)
{
    struct mien_service *s = x->call.service;
    enum mien_problem p = mien_access_door(s->access, x->call.request, &x->caller, why);
    if (p != MIEN_PROBLEM_NONE) return p;
    *why = NULL;
    p = find_route(x, r);
    if (p != MIEN_PROBLEM_NONE) return p;
    p = check_rate(x, r); /* before the key is judged, so that keys cannot be tried at any speed */
    if (p != MIEN_PROBLEM_NONE) return p;
    unsigned scopes = 0;
    for (const struct mien_route *row = x->call.route; row != NULL; row = mien_route_next(row)) scopes |= (unsigned)row->scope;
    p = mien_access_scope(s->access, &x->caller, scopes, why); /* that of its row, when it is known which */
    return p != MIEN_PROBLEM_NONE ? p : check_body(x, max_body);
}

/* Answers that are no route's: a browser's preflight, OPTIONS, and the pages' files. */
static bool answer_besides(struct mien_exchange *x, struct mien_response *r)
{
    char allow[64], methods[80];
    struct mien_request *q = x->call.request;
    const char *path = mien_request_path(q), *why;
    const enum mien_method method = mien_request_method(q);
    x->call.response = r;
    if (method == MIEN_OPTIONS && mien_route_find(MIEN_OTHER_METHOD, path, allow) == NULL && allow[0] != 0) {
        snprintf(methods, sizeof methods, "%s, OPTIONS", allow);
        if (mien_access_preflight(x->call.service->access, q, &x->caller, methods, r)) return true;
        if (mien_access_door(x->call.service->access, q, &x->caller, &why) != MIEN_PROBLEM_NONE) return false;
        r->status = 204;
        mien_response_header(r, "Allow", methods);
        return true;
    }
    if (method != MIEN_GET && method != MIEN_HEAD) return false;
    return mien_access_door(x->call.service->access, q, &x->caller, &why) == MIEN_PROBLEM_NONE && mien_page_answer(&x->call, path);
}

static enum mien_plan begin(void *context, struct mien_request *q, struct mien_response *r, size_t *max_body)
{
    struct mien_exchange *x = open_exchange(context, q);
    const char *why = NULL;
    *max_body = 0;
    if (x == NULL) {
        mien_problem_write(r, MIEN_PROBLEM_OVERLOADED, NULL, NULL, is_about_tokens(mien_request_path(q)));
        return MIEN_PLAN_NOW;
    }
    if (answer_besides(x, r)) {
        finish(x, r);
        return MIEN_PLAN_NOW;
    }
    const enum mien_problem p = admit(x, r, max_body, &why);
    if (p != MIEN_PROBLEM_NONE) {
        answer_problem(x, r, p, why);
        finish(x, r);
        return MIEN_PLAN_NOW;
    }
    if (becomes_socket(x->call.route)) {
        mien_live_upgrade(x->call.service->live, q);
        return MIEN_PLAN_UPGRADE;
    }
    if (!x->call.route->at_once) return MIEN_PLAN_QUEUE;
    if (x->media != MIEN_MEDIA_NONE) return MIEN_PLAN_INLINE;
    run_handler(x, r);
    return MIEN_PLAN_NOW;
}

/* ---- answer, fetch ---- */

static enum mien_next answer(void *context, int worker, struct mien_request *q, struct mien_response *r)
{
    struct mien_service *s = context;
    struct mien_exchange *x = mien_request_kept(q);
    enum mien_problem p = MIEN_PROBLEM_NONE;
    if (!x->validated) {
        x->validated = true;
        if (worker >= 0) p = check_shared_rate(x, r);
        if (p == MIEN_PROBLEM_NONE) p = mien_body_read(x);
        if (p == MIEN_PROBLEM_NONE && worker >= 0 && mien_body_has_urls(x)) return MIEN_NEXT_FETCH;
    }
    if (p == MIEN_PROBLEM_NONE) p = mien_body_images(x);
    if (p != MIEN_PROBLEM_NONE) {
        answer_problem(x, r, p, x->said[0] != 0 ? x->said : NULL);
        finish(x, r);
        return MIEN_NEXT_SEND;
    }
    x->call.session = worker >= 0 ? s->session[worker] : NULL;
    run_handler(x, r);
    if (x->call.session != NULL) mien_session_wipe(x->call.session);
    x->call.session = NULL;
    release_images(x);
    return MIEN_NEXT_SEND;
}

static void fetch(void *context, struct mien_request *q)
{
    (void)context;
    mien_body_fetch(mien_request_kept(q));
}

/* ---- refuse, done ---- */

static void refuse(void *context, struct mien_request *q, struct mien_response *r, enum mien_refusal why, const char *detail)
{
    static const enum mien_problem PROBLEM[] = {
        [MIEN_REFUSE_MALFORMED] = MIEN_PROBLEM_BAD_REQUEST,
        [MIEN_REFUSE_TOO_LARGE] = MIEN_PROBLEM_TOO_LARGE,
        [MIEN_REFUSE_OVERLOADED] = MIEN_PROBLEM_OVERLOADED,
        [MIEN_REFUSE_TIMEOUT] = MIEN_PROBLEM_REQUEST_TIMEOUT,
        [MIEN_REFUSE_UPGRADE] = MIEN_PROBLEM_UPGRADE_REQUIRED,
        [MIEN_REFUSE_INTERNAL] = MIEN_PROBLEM_INTERNAL_ERROR};
    struct mien_exchange *x = mien_request_kept(q);
    if (x == NULL) x = open_exchange(context, q);
    if (x == NULL) {
        mien_problem_write(r, PROBLEM[why], NULL, NULL, is_about_tokens(mien_request_path(q)));
        return;
    }
    answer_problem(x, r, PROBLEM[why], why == MIEN_REFUSE_MALFORMED ? detail : NULL);
    finish(x, r);
}

static void done(void *context, struct mien_request *q, int status, size_t response_bytes)
{
    struct mien_service *s = context;
    struct mien_exchange *x = mien_request_kept(q);
    const struct mien_route *route = x != NULL ? x->call.route : NULL;
    const uint64_t took_ns = mien_now_ns() - mien_request_started_ns(q), waited_ns = mien_request_waited_ns(q);
    mien_metrics_request(&s->metrics, route, status, took_ns, waited_ns);
    mien_log(MIEN_LOG_INFO, "request", "id=%s method=%s route=%s status=%d ms=%.1f wait_ms=%.1f bytes_in=%zu bytes_out=%zu client=%s code=%s",
             mien_request_id(q), mien_method_name(mien_request_method(q)), route != NULL ? route->path : "-", status, (double)took_ns * 1e-6,
             (double)waited_ns * 1e-6, x != NULL ? x->bytes_in : 0, response_bytes,
             x == NULL ? "-" : x->caller.key_name != NULL ? x->caller.key_name : x->caller.address,
             x != NULL && x->problem != MIEN_PROBLEM_NONE ? mien_problem_row(x->problem)->code : "-");
    if (x == NULL) return;
    mien_request_keep(q, NULL);
    close_exchange(x);
}

/* ---- the service's life ---- */

void mien_service_settings_default(struct mien_service_settings *s)
{
    *s = (struct mien_service_settings){.workers = 1, .max_image_bytes = 10u << 20, .max_image_pixels = 50000000, .max_images = 20,
        .max_request_bytes = 64u << 20, .fetch = MIEN_FETCH_DEFAULT, .antispoof_threshold = 0.3f, .match_threshold = NAN, .api_keys = "",
        .cors_origins = "", .trusted_proxies = "", .allowed_hosts = "", .rate_burst = 20, .quality_threshold = 0.3f, .fusion = mien_fusion_settings_default()};
    mien_live_settings_default(&s->live);
}

/* Everything that the routes and live sessions run. */
static const unsigned WARM = MIEN_WANT_EMBEDDING | MIEN_WANT_MESH | MIEN_WANT_POSE | MIEN_WANT_EYES | MIEN_WANT_BLENDSHAPES | MIEN_WANT_QUALITY |
                             MIEN_WANT_EXPRESSION | MIEN_WANT_AGE_GENDER | MIEN_WANT_SPOOF | MIEN_WANT_DEEPFAKE;

static enum mien_code make_sessions(struct mien_service *s, struct mien_err *e)
{
    MIEN_FAIL_IF(s->settings.workers < 1 || s->settings.workers > 256, e, MIEN_E_CONFIG, "WORKERS must be 1 to 256");
    s->session = calloc((size_t)s->settings.workers, sizeof(struct mien_session *));
    MIEN_FAIL_IF(s->session == NULL, e, MIEN_E_NOMEM, "out of memory");
    for (int i = 0; i < s->settings.workers; i++) {
        MIEN_TRY(mien_session_create(&s->session[i], e));
        MIEN_TRY(mien_face_warm(s->models, s->session[i], WARM, e));
    }
    return MIEN_OK;
}

enum mien_code mien_service_openapi(struct mien_buf *out, struct mien_err *e)
{
    struct mien_jw w;
    mien_jw_init(&w, out);
    mien_openapi_write(&w);
    MIEN_FAIL_IF(out->failed, e, MIEN_E_NOMEM, "out of memory for the OpenAPI document");
    return MIEN_OK;
}

static enum mien_code open_bank(struct mien_service *s, struct mien_err *e)
{
    const struct mien_model *model = mien_models_role(s->models, MIEN_ROLE_EMBED, 0);
    if (s->settings.facebank == NULL || model == NULL) return MIEN_OK;
    s->bank = mien_bank_open(s->settings.facebank, model->dim);
    MIEN_FAIL_IF(s->bank == NULL, e, MIEN_E_NOMEM, "out of memory");
    return MIEN_OK;
}

static enum mien_code fill(struct mien_service *s, struct mien_err *e)
{
    const struct mien_service_settings *t = &s->settings;
    MIEN_TRY(mien_access_create(t, &s->access, e));
    if (t->rate_limit > 0.0) MIEN_TRY(mien_limits_create(t->rate_limit, t->rate_burst, &s->limits, e));
    s->tracks = t->redis != NULL ? mien_tracks_create_shared(t->redis) : mien_tracks_create(MIEN_TRACKS_MAX);
    MIEN_FAIL_IF(s->tracks == NULL, e, MIEN_E_NOMEM, "out of memory");
    MIEN_TRY(mien_keep_create(KEPT_VALUES, t->redis, &s->keep, e));
    MIEN_TRY(open_bank(s, e));
    MIEN_TRY(mien_fetch_create(&t->fetch, &s->fetch, e));
    MIEN_TRY(mien_pages_load(t->web_dir, &s->pages, e));
    mien_buf_init(&s->openapi, OPENAPI_BYTES);
    MIEN_TRY(mien_service_openapi(&s->openapi, e));
    MIEN_TRY(mien_live_create(&t->live, s, &s->live, e));
    return make_sessions(s, e);
}

enum mien_code mien_service_create(const struct mien_service_settings *settings, struct mien_models *models, struct mien_service **out,
                                   struct mien_err *e)
{
    *out = NULL;
    struct mien_service *s = calloc(1, sizeof *s);
    MIEN_FAIL_IF(s == NULL, e, MIEN_E_NOMEM, "out of memory");
    s->settings = *settings;
    s->models = models;
    s->started_ns = mien_now_ns();
    s->handler = (struct mien_http_handler){.context = s, .begin = begin, .answer = answer, .fetch = fetch, .refuse = refuse, .done = done};
    enum mien_code code = fill(s, e);
    if (code == MIEN_OK) *out = s;
    else mien_service_free(&s);
    return code;
}

void mien_service_free(struct mien_service **ps)
{
    if (ps == NULL || *ps == NULL) return;
    struct mien_service *s = *ps;
    for (int i = 0; s->session != NULL && i < s->settings.workers; i++) mien_session_free(&s->session[i]);
    free(s->session);
    mien_access_free(&s->access);
    mien_limits_free(&s->limits);
    mien_tracks_free(&s->tracks);
    mien_live_free(&s->live);
    mien_keep_free(&s->keep);
    mien_bank_close(&s->bank);
    mien_fetch_free(&s->fetch);
    mien_pages_free(&s->pages);
    mien_buf_free(&s->openapi);
    free(s);
    *ps = NULL;
}

const struct mien_http_handler *mien_service_handler(struct mien_service *s) { return &s->handler; }
void mien_service_attach(struct mien_service *s, struct mien_server *server) { atomic_store(&s->server, server); }
void mien_service_stopping(struct mien_service *s) { atomic_store(&s->stopping, true); }
struct mien_tracks *mien_service_tracks(struct mien_service *s) { return s->tracks; }
bool mien_service_has_keys(const struct mien_service *s) { return mien_access_has_keys(s->access); }
