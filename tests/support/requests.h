/* Requests without a server: what net/server.h and net/fetch.h offer a handler, over plain memory. Include it in ONE file of a test program that does not start
 * a server; the definitions below then stand in for net's.
 *
 *   struct mien_request *q = request_new(MIEN_POST, "/detect");
 *   request_json(q, "{\"image\":\"...\"}");
 *   struct answer a = request_run(mien_service_handler(service), q);      // frees q
 *   assert_int_equal(a.status, 200); ... a.body, a.json ...; answer_free(&a);
 */
#ifndef MIEN_TESTS_REQUESTS_H
#define MIEN_TESTS_REQUESTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "net/fetch.h"
#include "net/server.h"
#include "net/websocket.h"

struct pair { char name[64]; char *value; };

struct mien_request {
    enum mien_method method;
    char path[256], peer[64];
    struct pair header[24], query[16];
    int n_headers, n_query;
    char *body;
    size_t size;
    uint64_t started;
    void *kept;
    int worker;          /* that answers it; 0 unless a test has several */
    bool upgraded;       /* its handler has made it a WebSocket */
};

struct answer {
    int status;
    char type[128];
    struct pair header[MIEN_RESPONSE_HEADERS];
    int n_headers;
    char *body;          /* NUL-terminated */
    size_t size;
    struct mien_json *json; /* of the body, or NULL */
    bool fetched, refused;
};

/* ---- net's side ---- */

const char *mien_method_name(enum mien_method m)
{
    static const char *const NAME[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "OTHER"};
    return NAME[m];
}

enum mien_method mien_request_method(const struct mien_request *q) { return q->method; }
const char *mien_request_path(const struct mien_request *q) { return q->path; }
const char *mien_request_id(const struct mien_request *q) { return q != NULL ? "test-1" : ""; }
const char *mien_request_peer(const struct mien_request *q) { return q->peer; }
uint64_t mien_request_started_ns(const struct mien_request *q) { return q->started; }
uint64_t mien_request_waited_ns(const struct mien_request *q) { return q->started & 0; }
void mien_request_keep(struct mien_request *q, void *state) { q->kept = state; }
void *mien_request_kept(const struct mien_request *q) { return q->kept; }

const char *mien_request_header(const struct mien_request *q, const char *name)
{
    for (int i = 0; i < q->n_headers; i++)
        if (strcasecmp(q->header[i].name, name) == 0) return q->header[i].value;
    return NULL;
}

const char *mien_request_header_last(const struct mien_request *q, const char *name)
{
    for (int i = q->n_headers; i > 0; i--)
        if (strcasecmp(q->header[i - 1].name, name) == 0) return q->header[i - 1].value;
    return NULL;
}

const char *mien_request_query(const struct mien_request *q, const char *name)
{
    for (int i = 0; i < q->n_query; i++)
        if (strcmp(q->query[i].name, name) == 0) return q->query[i].value;
    return NULL;
}

const char *mien_request_query_name(const struct mien_request *q, int i) { return i < q->n_query ? q->query[i].name : NULL; }

char *mien_request_body(struct mien_request *q, size_t *n)
{
    *n = q->size;
    return q->size > 0 ? q->body : NULL;
}

void mien_response_header(struct mien_response *r, const char *name, const char *value)
{
    assert_true(r->n_headers < MIEN_RESPONSE_HEADERS);
    r->header[r->n_headers].name = name;
    r->header[r->n_headers++].value = strdup(value);
}

struct mien_server_state mien_server_state(struct mien_server *server)
{
    (void)server;
    return (struct mien_server_state){.connections = 3, .waiting = 2, .running = 1};
}

/* WebSockets end at the handshake: nobody opens one. */
void mien_request_upgrade(struct mien_request *q, const struct mien_socket_handler *h, void *state)
{
    (void)h;
    (void)state;
    q->upgraded = true;
}

void *mien_socket_state(const struct mien_socket *s) { return (void *)(uintptr_t)(const void *)s; }
const char *mien_socket_path(const struct mien_socket *s) { return s != NULL ? "/" : ""; }
const char *mien_socket_request_id(const struct mien_socket *s) { return s != NULL ? "test-1" : ""; }
struct mien_server *mien_socket_server(const struct mien_socket *s) { return s != NULL ? NULL : NULL; }
bool mien_socket_send_text(struct mien_socket *s, const char *text, size_t n) { return s != NULL && text != NULL && n > 0; }
void mien_socket_set_state(struct mien_socket *s, void *state) { (void)s, (void)state; }
void mien_socket_close(struct mien_socket *s, int code, const char *reason) { (void)s, (void)code, (void)reason; }
void mien_socket_wake_at(struct mien_socket *s, uint64_t at_ns) { (void)s, (void)at_ns; }
void mien_socket_release(struct mien_socket *s) { (void)s; }
bool mien_server_submit(struct mien_server *s, struct mien_job *job) { return s != NULL && job == NULL; }

/* URLs are answered from here: request_url_serves. "http://refused..." is not allowed, "http://guarded..." is refused while fetching. */
static struct { const char *url; const void *data; size_t size; } request_urls[8];
static int request_n_urls;
struct mien_fetch { int unused; };

static void request_url_serves(const char *url, const void *data, size_t size) __attribute__((unused));
static void request_url_serves(const char *url, const void *data, size_t size)
{
    request_urls[request_n_urls].url = url;
    request_urls[request_n_urls].data = data;
    request_urls[request_n_urls++].size = size;
}

enum mien_code mien_fetch_create(const struct mien_fetch_settings *s, struct mien_fetch **out, struct mien_err *e)
{
    (void)s;
    *out = calloc(1, sizeof **out);
    return *out != NULL ? MIEN_OK : MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory");
}

void mien_fetch_free(struct mien_fetch **f)
{
    free(*f);
    *f = NULL;
}

enum mien_code mien_fetch_allowed(const struct mien_fetch *f, const char *url, struct mien_err *e)
{
    (void)f;
    return strncmp(url, "http://refused", 14) == 0 ? MIEN_FAIL(e, MIEN_E_URL_REFUSED, "not allowed") : MIEN_OK;
}

enum mien_code mien_fetch_get(struct mien_fetch *f, const char *url, unsigned char **out, size_t *n, struct mien_err *e)
{
    (void)f;
    *out = NULL;
    if (strncasecmp(url, "http://guarded", 14) == 0) return MIEN_FAIL(e, MIEN_E_URL_REFUSED, "not public");
    for (int i = 0; i < request_n_urls; i++)
        if (strcmp(request_urls[i].url, url) == 0) {
            *out = malloc(request_urls[i].size + 1);
            if (*out == NULL) return MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory");
            memcpy(*out, request_urls[i].data, request_urls[i].size);
            *n = request_urls[i].size;
            return MIEN_OK;
        }
    return MIEN_FAIL(e, MIEN_E_URL_FETCH, "no answer");
}

/* ---- making requests ---- */

static struct mien_request *request_new(enum mien_method method, const char *path) __attribute__((unused));
static struct mien_request *request_new(enum mien_method method, const char *path)
{
    struct mien_request *q = calloc(1, sizeof *q);
    assert_non_null(q);
    q->method = method;
    q->started = mien_now_ns();
    snprintf(q->path, sizeof q->path, "%s", path);
    snprintf(q->peer, sizeof q->peer, "127.0.0.1");
    return q;
}

static void request_header(struct mien_request *q, const char *name, const char *value) __attribute__((unused));
static void request_header(struct mien_request *q, const char *name, const char *value)
{
    assert_true(q->n_headers < (int)(sizeof q->header / sizeof q->header[0]));
    snprintf(q->header[q->n_headers].name, sizeof q->header[0].name, "%s", name);
    q->header[q->n_headers++].value = strdup(value);
}

static void request_query(struct mien_request *q, const char *name, const char *value) __attribute__((unused));
static void request_query(struct mien_request *q, const char *name, const char *value)
{
    assert_true(q->n_query < (int)(sizeof q->query / sizeof q->query[0]));
    snprintf(q->query[q->n_query].name, sizeof q->query[0].name, "%s", name);
    q->query[q->n_query++].value = strdup(value);
}

/* A body of n bytes; `type` may be NULL. */
static void request_body(struct mien_request *q, const char *type, const void *data, size_t n) __attribute__((unused));
static void request_body(struct mien_request *q, const char *type, const void *data, size_t n)
{
    char length[32];
    free(q->body);
    q->body = malloc(n + 1);
    assert_non_null(q->body);
    if (n > 0) memcpy(q->body, data, n);
    q->body[n] = 0;
    q->size = n;
    snprintf(length, sizeof length, "%zu", n);
    request_header(q, "Content-Length", length);
    if (type != NULL) request_header(q, "Content-Type", type);
}

static void request_json(struct mien_request *q, const char *text) __attribute__((unused));
static void request_json(struct mien_request *q, const char *text) { request_body(q, "application/json", text, strlen(text)); }

/* `before`, the base64 of data, `after`: for bodies with an image. */
static void request_json_image(struct mien_request *q, const char *before, const void *data, size_t n, const char *after) __attribute__((unused));
static void request_json_image(struct mien_request *q, const char *before, const void *data, size_t n, const char *after)
{
    const size_t a = strlen(before), b = strlen(after);
    char *text = malloc(a + b + 4 * ((n + 2) / 3) + 1);
    assert_non_null(text);
    memcpy(text, before, a);
    const size_t m = mien_base64_encode(data, n, text + a);
    memcpy(text + a + m, after, b);
    request_body(q, "application/json", text, a + m + b);
    free(text);
}

/* ---- running them ---- */

static void pairs_free(struct pair *p, int n)
{
    for (int i = 0; i < n; i++) free(p[i].value);
}

/* What the server does with a request: begin, answer (fetch, answer), done. Frees q. */
static struct answer request_run(const struct mien_http_handler *h, struct mien_request *q) __attribute__((unused));
static struct answer request_run(const struct mien_http_handler *h, struct mien_request *q)
{
    struct answer a = {0};
    struct mien_response r = {.status = 200};
    size_t max_body = 0;
    mien_buf_init(&r.body, 32u << 20);
    const enum mien_plan plan = h->begin(h->context, q, &r, &max_body);
    if (plan == MIEN_PLAN_UPGRADE) {
        assert_true(q->upgraded);
        r.status = 101;
    } else if (plan != MIEN_PLAN_NOW && q->size > max_body) {
        a.refused = true;
        h->refuse(h->context, q, &r, MIEN_REFUSE_TOO_LARGE, NULL);
    } else if (plan != MIEN_PLAN_NOW && h->answer(h->context, plan == MIEN_PLAN_QUEUE ? q->worker : -1, q, &r) == MIEN_NEXT_FETCH) {
        a.fetched = true;
        h->fetch(h->context, q);
        assert_int_equal(h->answer(h->context, q->worker, q, &r), MIEN_NEXT_SEND);
    }
    a.status = r.status;
    snprintf(a.type, sizeof a.type, "%s", r.type != NULL ? r.type : "");
    a.size = r.fixed != NULL ? r.fixed_size : r.body.len;
    a.body = calloc(1, a.size + 1);
    assert_non_null(a.body);
    if (a.size > 0) memcpy(a.body, r.fixed != NULL ? r.fixed : r.body.data, a.size);
    for (; a.n_headers < r.n_headers; a.n_headers++) {
        snprintf(a.header[a.n_headers].name, sizeof a.header[0].name, "%s", r.header[a.n_headers].name);
        a.header[a.n_headers].value = r.header[a.n_headers].value;
    }
    if (strstr(a.type, "json") != NULL && mien_json_parse(a.body, a.size, &a.json, NULL) != MIEN_OK) fail_msg("not JSON: %.200s", a.body);
    mien_buf_free(&r.body);
    h->done(h->context, q, a.status, a.size);
    assert_null(q->kept);
    pairs_free(q->header, q->n_headers);
    pairs_free(q->query, q->n_query);
    free(q->body);
    free(q);
    return a;
}

static const char *answer_header(const struct answer *a, const char *name) __attribute__((unused));
static const char *answer_header(const struct answer *a, const char *name)
{
    for (int i = 0; i < a->n_headers; i++)
        if (strcasecmp(a->header[i].name, name) == 0) return a->header[i].value;
    return NULL;
}

/* The problem's `code`, "" when the answer is none. */
static const char *answer_code(const struct answer *a) __attribute__((unused));
static const char *answer_code(const struct answer *a) { return mien_json_string(mien_json_get(a->json, "code"), ""); }

static void answer_free(struct answer *a) __attribute__((unused));
static void answer_free(struct answer *a)
{
    pairs_free(a->header, a->n_headers);
    mien_json_free(&a->json);
    free(a->body);
    *a = (struct answer){0};
}

#endif
