/* Who sends a request and whether they may: API keys with scopes, the origin of browsers' pages, the Host name, and addresses behind proxies.
 *
 * Without any key the server answers loopback only, and then a web page in a browser of this machine is the danger: pages of foreign origins and names that
 * were rebound to 127.0.0.1 are refused. Keys are kept as SHA-256 digests and compared in constant time, all of them for every request. */
#ifndef MIEN_SERVICE_ACCESS_H
#define MIEN_SERVICE_ACCESS_H

#include <stdbool.h>
#include <stdint.h>
#include "net/server.h"
#include "service/pages.h"
#include "service/problem.h"
#include "service/route.h"
#include "service/service.h"

struct mien_access;

/* MIEN_E_CONFIG names the setting and the entry's number, never a key. */
enum mien_code mien_access_create(const struct mien_service_settings *s, struct mien_access **out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_access_free(struct mien_access **a);
bool mien_access_has_keys(const struct mien_access *a);

enum { MIEN_ADDRESS_TEXT = 48, MIEN_KEY_NAME = 33 };

struct mien_caller {
    char address[MIEN_ADDRESS_TEXT]; /* the client's; behind a trusted proxy the one it forwards */
    const char *key_name;            /* of a valid key; NULL */
    bool key_sent;                   /* a key came, valid or not */
    unsigned scopes;                 /* of the key; MIEN_SCOPE_ALL when no key is configured */
    uint64_t client;                 /* identity: of the key, else of the address */
    const char *origin;              /* the request's Origin, or NULL */
    bool origin_listed;              /* ... may read answers (CORS) */
    bool secure;                     /* came over TLS, says a trusted proxy (X-Forwarded-Proto) */
};
void mien_access_identify(const struct mien_access *a, const struct mien_request *q, struct mien_caller *out);

/* Before the route is looked at: origin and Host. *why is one line for the client. */
enum mien_problem mien_access_door(const struct mien_access *a, const struct mien_request *q, const struct mien_caller *c, const char **why);
/* Whether the caller has one of `scopes` (0: none is needed). */
enum mien_problem mien_access_scope(const struct mien_access *a, const struct mien_caller *c, unsigned scopes, const char **why);

/* Headers that every response has, besides X-Request-Id, which is net's. */
void mien_access_headers(const struct mien_access *a, const struct mien_caller *c, enum mien_page_kind page, struct mien_response *r);
/* A preflight's answer; `methods` is what the path takes. False when the request is none, or its origin is not listed. */
bool mien_access_preflight(const struct mien_access *a, const struct mien_request *q, const struct mien_caller *c, const char *methods,
                           struct mien_response *r);

#endif
