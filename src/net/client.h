/* A small HTTP client for our own command line. The user names the server, so there is no address guard (that is fetch.h); redirects are not followed, because
 * they would carry the key to somebody else. libcurl stays inside client.c. */
#ifndef MIEN_NET_CLIENT_H
#define MIEN_NET_CLIENT_H

#include <stdbool.h>
#include "base/buf.h"
#include "base/err.h"

struct mien_client; /* opaque; one connection, kept between calls; for one thread */

/* `url`: the server, "http://127.0.0.1:8000" or with a path below which the API lies. `key` (may be NULL or "") is sent as Authorization: Bearer. Environment
 * variables of proxies count, except for loopback. MIEN_E_ARG: not an http or https URL. */
enum mien_code mien_client_create(const char *url, const char *key, struct mien_client **out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_client_free(struct mien_client **c); /* wipes */

struct mien_ask {
    const char *method, *path; /* "POST", "/gallery/import"; percent-encoded */
    const char *type;          /* Content-Type of the body; NULL = application/json */
    const void *body;          /* borrowed; NULL = none */
    size_t n;
    int timeout_ms;            /* for everything together */
};

/* *status: of the answer, whatever it is; its body is appended to `answer`, which sets the limit. MIEN_E_URL_FETCH: there is no answer (the message names host
 * and port, nothing else of the URL); MIEN_E_LIMIT: it is too long. */
enum mien_code mien_client_ask(struct mien_client *c, const struct mien_ask *ask, int *status, struct mien_buf *answer, struct mien_err *e) MIEN_MUST_CHECK;

/* "localhost", 127.0.0.0/8, ::1. */
bool mien_host_is_loopback(const char *host);

/* Appends `text` as a part of a path: everything but unreserved characters (RFC 3986) percent-encoded. */
void mien_url_add(struct mien_buf *out, const char *text);

#endif
