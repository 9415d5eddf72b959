/* The routes that say what the server is and how it does. They read no image and answer on the event thread. */
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/version.h"
#include "service/exchange.h"
#include "service/handlers.h"

/* Browsers ask for text/html before anything else. */
static bool wants_page(const struct mien_call *call)
{
    const char *accept = mien_request_header(call->request, "Accept");
    const char *html = accept != NULL ? strstr(accept, "text/html") : NULL, *json = accept != NULL ? strstr(accept, "application/json") : NULL;
    return html != NULL && (json == NULL || html < json);
}

/* JSON for programs. Browsers get the page (mien_page_answer); where it was not built they are sent to the documentation. */
enum mien_code mien_do_root(struct mien_call *call, struct mien_err *e)
{
    (void)e;
    if (wants_page(call)) {
        call->response->status = 302;
        mien_response_header(call->response, "Location", "/docs");
    }
    mien_put_text(call, "service", "mien");
    mien_put_text(call, "version", MIEN_VERSION_TEXT);
    mien_put_text(call, "documentation", "/docs");
    mien_put_text(call, "openapi", "/openapi.json");
    mien_put_text(call, "health", "/health");
    return MIEN_OK;
}

/* Without a detector no route that looks at a photo works; without a recogniser half of them do not. Both count as down, as does a gallery whose store does
 * not answer. */
enum mien_code mien_do_health(struct mien_call *call, struct mien_err *e)
{
    (void)e;
    const struct mien_model *embed = NULL;
    float threshold = 0.0f;
    const bool loaded = mien_call_embedder(call, &embed, &threshold, NULL) == MIEN_OK;
    const struct mien_service_settings *s = &call->service->settings;
    const struct mien_gallery_state gallery = s->gallery != NULL ? mien_gallery_state(s->gallery) : (struct mien_gallery_state){.available = true};
    const bool healthy = loaded && mien_call_has(call, MIEN_ROLE_DETECT) && gallery.available && !atomic_load(&call->service->stopping);
    if (!healthy) call->response->status = 503;
    mien_put_text(call, "status", healthy ? "healthy" : "unhealthy");
    mien_put_text(call, "service", "mien");
    mien_put_text(call, "version", MIEN_VERSION_TEXT);
    mien_put_integer(call, "uptime_seconds", (int64_t)(mien_elapsed_ms(call->service->started_ns) / 1000.0));
    mien_put_bool(call, "model_loaded", loaded);
    mien_put_text(call, "model_name", loaded ? embed->id : NULL);
    mien_put_bool(call, "gpu_enabled", false);
    mien_put_bool(call, "redis_connected", s->redis != NULL && mien_redis_alive(s->redis));
    mien_put_integer(call, "gallery_size", (int64_t)gallery.index.users);
    mien_jw_key(call->json, "match_threshold");
    if (loaded) mien_jw_number(call->json, (double)threshold, 4);
    else mien_jw_null(call->json);
    mien_jw_key(call->json, "services");
    mien_jw_object(call->json);
    mien_put_text(call, "api", "up");
    mien_put_text(call, "database", s->gallery == NULL ? "not_configured" : gallery.available ? "up" : "down");
    mien_jw_end_object(call->json);
    return MIEN_OK;
}

enum mien_code mien_do_livez(struct mien_call *call, struct mien_err *e)
{
    (void)e;
    mien_put_text(call, "status", "ok");
    return MIEN_OK;
}

enum mien_code mien_do_readyz(struct mien_call *call, struct mien_err *e)
{
    (void)e;
    const bool stopping = atomic_load(&call->service->stopping), ready = !stopping && atomic_load(&call->service->server) != NULL;
    if (!ready) call->response->status = 503;
    mien_put_text(call, "status", ready ? "ok" : stopping ? "stopping" : "starting");
    return MIEN_OK;
}

enum mien_code mien_do_metrics(struct mien_call *call, struct mien_err *e)
{
    (void)e;
    struct mien_service *s = call->service;
    const struct mien_metrics_sources from = {atomic_load(&s->server), s->models, s->settings.gallery, s->live};
    mien_metrics_write(&s->metrics, &from, mien_elapsed_ms(s->started_ns) / 1000.0, &call->response->body);
    return MIEN_OK;
}

enum mien_code mien_do_openapi(struct mien_call *call, struct mien_err *e)
{
    (void)e;
    call->response->fixed = call->service->openapi.data;
    call->response->fixed_size = call->service->openapi.len;
    return MIEN_OK;
}

/* ---- pages ---- */

static bool answer_page(struct mien_call *c, const char *name)
{
    const struct mien_page *p = mien_pages_find(&c->service->pages, name);
    const char *accepts = mien_request_header(c->request, "Accept-Encoding");
    if (p == NULL) return false;
    const bool zipped = p->gz != NULL && accepts != NULL && strstr(accepts, "gzip") != NULL;
    mien_exchange_of(c)->page = p->kind;
    c->response->type = p->type;
    c->response->fixed = zipped ? p->gz : p->data;
    c->response->fixed_size = zipped ? p->gz_size : p->size;
    if (zipped) mien_response_header(c->response, "Content-Encoding", "gzip");
    if (p->gz != NULL) mien_response_header(c->response, "Vary", "Accept-Encoding");
    return true;
}

bool mien_page_answer(struct mien_call *c, const char *path)
{
    if (strcmp(path, "/") == 0) return wants_page(c) && answer_page(c, "index.html");
    return path[0] == '/' && answer_page(c, path + 1);
}

static void add_escaped(struct mien_buf *b, const char *text)
{
    for (; *text != 0; text++) {
        if (*text == '<') mien_buf_adds(b, "&lt;");
        else if (*text == '&') mien_buf_adds(b, "&amp;");
        else mien_buf_add(b, text, 1);
    }
}

/* Without the viewer's files: the table as a plain page. */
static void list_routes(struct mien_buf *b)
{
    mien_buf_adds(b, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>mien</title>"
                     "<style>body{font:16px sans-serif;margin:2rem}td,th{padding:.2rem .8rem;text-align:left}</style></head>"
                     "<body><h1>mien</h1><p>Machine-readable: <a href=\"/openapi.json\">/openapi.json</a></p><table>"
                     "<tr><th>Method</th><th>Path</th><th>What</th></tr>");
    for (int i = 0; i < mien_route_count; i++) {
        if (mien_route_first(&mien_routes[i]) != &mien_routes[i]) continue;
        mien_buf_addf(b, "<tr><td>%s</td><td>%s</td><td>", mien_method_name(mien_routes[i].method), mien_routes[i].path);
        add_escaped(b, mien_routes[i].summary);
        mien_buf_adds(b, "</td></tr>");
    }
    mien_buf_adds(b, "</table></body></html>");
}

enum mien_code mien_do_docs(struct mien_call *call, struct mien_err *e)
{
    (void)e;
    mien_exchange_of(call)->page = MIEN_PAGE_DOCS;
    if (!answer_page(call, "docs/index.html")) list_routes(&call->response->body);
    return MIEN_OK;
}
