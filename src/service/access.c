#include "service/access.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "base/file.h"
#include "crypto/digest.h"
#include "crypto/random.h"

enum { MAX_KEYS = 256, MIN_KEY = 16, MAX_KEY = 256, MAX_KEY_FILE = 1 << 20, DIGEST = 32 };

struct key { uint8_t digest[DIGEST]; char name[MIEN_KEY_NAME]; unsigned scopes; uint64_t client; };

struct mien_access {
    int n_keys;
    struct key *key;
    uint64_t salt; /* so that identities of addresses mean nothing outside this process, or outside the servers of one Redis */
    const char *origins, *proxies, *hosts; /* comma-separated, the settings' */
};

/* ---- keys ---- */

static bool is_key_character(char c) { return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-'; }

static bool all_key_characters(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_key_character(s[i])) return false;
    return true;
}

static enum mien_code parse_scopes(const char *s, size_t n, int number, unsigned *scopes, struct mien_err *e)
{
    *scopes = 0;
    while (n > 0) {
        const char *comma = memchr(s, ',', n);
        size_t one = comma != NULL ? (size_t)(comma - s) : n;
        unsigned scope = mien_scope_parse(s, one);
        MIEN_FAIL_IF(scope == 0, e, MIEN_E_CONFIG, "API_KEYS: key %d has an unknown scope", number);
        *scopes |= scope;
        n -= comma != NULL ? one + 1 : one;
        s += one + 1;
    }
    MIEN_FAIL_IF(*scopes == 0, e, MIEN_E_CONFIG, "API_KEYS: key %d has no scope after =", number);
    return MIEN_OK;
}

static uint64_t first_bytes(const uint8_t digest[DIGEST])
{
    uint64_t v;
    memcpy(&v, digest, sizeof v);
    return v;
}

/* One entry: [NAME:]KEY[=SCOPE,SCOPE...] */
static enum mien_code add_key(struct mien_access *a, const char *s, size_t n, struct mien_err *e)
{
    const int number = a->n_keys + 1;
    MIEN_FAIL_IF(a->n_keys == MAX_KEYS, e, MIEN_E_CONFIG, "API_KEYS: more than %d keys", MAX_KEYS);
    struct key *grown = realloc(a->key, (size_t)number * sizeof *grown);
    MIEN_FAIL_IF(grown == NULL, e, MIEN_E_NOMEM, "out of memory");
    a->key = grown;
    struct key *k = &a->key[a->n_keys];
    *k = (struct key){.scopes = MIEN_SCOPE_ALL};
    snprintf(k->name, sizeof k->name, "key-%d", number);
    const char *equals = memchr(s, '=', n);
    if (equals != NULL) {
        MIEN_TRY(parse_scopes(equals + 1, n - (size_t)(equals + 1 - s), number, &k->scopes, e));
        n = (size_t)(equals - s);
    }
    const char *colon = memchr(s, ':', n);
    if (colon != NULL) {
        const size_t name = (size_t)(colon - s);
        MIEN_FAIL_IF(name == 0 || name >= sizeof k->name || !all_key_characters(s, name), e, MIEN_E_CONFIG,
                     "API_KEYS: the name of key %d is not 1 to %zu characters of A-Z a-z 0-9 _ . -", number, sizeof k->name - 1);
        snprintf(k->name, sizeof k->name, "%.*s", (int)name, s);
        s = colon + 1;
        n -= name + 1;
    }
    MIEN_FAIL_IF(n < MIN_KEY || n > MAX_KEY || !all_key_characters(s, n), e, MIEN_E_CONFIG,
                 "API_KEYS: key %d is not %d to %d characters of A-Z a-z 0-9 _ . -", number, MIN_KEY, MAX_KEY);
    MIEN_TRY(mien_sha256(s, n, k->digest, e));
    for (int i = 0; i < a->n_keys; i++)
        MIEN_FAIL_IF(mien_secret_equal(a->key[i].digest, k->digest, DIGEST), e, MIEN_E_CONFIG, "API_KEYS: keys %d and %d are the same", i + 1, number);
    k->client = first_bytes(k->digest) ^ a->salt;
    a->n_keys++;
    return MIEN_OK;
}

/* Entries between any of the separators; '#' begins a comment that ends with the line. */
static enum mien_code add_keys(struct mien_access *a, const char *text, const char *separators, struct mien_err *e)
{
    while (*text != 0) {
        text += strspn(text, separators);
        if (*text == '#') {
            text += strcspn(text, "\n");
            continue;
        }
        size_t n = strcspn(text, separators);
        if (n > 0) MIEN_TRY(add_key(a, text, n, e));
        text += n;
    }
    return MIEN_OK;
}

static enum mien_code add_key_file(struct mien_access *a, const char *path, struct mien_err *e)
{
    unsigned char *text;
    size_t n;
    MIEN_FAIL_IF(access(path, F_OK) != 0, e, MIEN_E_CONFIG, "API_KEYS_FILE: %.120s is not there", path);
    MIEN_FAIL_IF(!mien_file_is_private(path), e, MIEN_E_CONFIG, "API_KEYS_FILE: %.120s is open to group or others; chmod 600", path);
    MIEN_TRY(mien_file_read(path, MAX_KEY_FILE, &text, &n, e));
    enum mien_code code = add_keys(a, (const char *)text, " \t\r\n", e);
    explicit_bzero(text, n);
    free(text);
    return code;
}

enum mien_code mien_access_create(const struct mien_service_settings *s, struct mien_access **out, struct mien_err *e)
{
    *out = NULL;
    struct mien_access *a = calloc(1, sizeof *a);
    MIEN_FAIL_IF(a == NULL, e, MIEN_E_NOMEM, "out of memory");
    a->origins = s->cors_origins != NULL ? s->cors_origins : "";
    a->proxies = s->trusted_proxies != NULL ? s->trusted_proxies : "";
    a->hosts = s->allowed_hosts != NULL ? s->allowed_hosts : "";
    enum mien_code code = s->redis != NULL ? mien_redis_salt(s->redis, &a->salt, e) : mien_random(&a->salt, sizeof a->salt, e);
    if (code == MIEN_OK && s->api_keys != NULL) code = add_keys(a, s->api_keys, " \t\r\n;", e);
    if (code == MIEN_OK && s->api_keys_file != NULL && s->api_keys_file[0] != 0) code = add_key_file(a, s->api_keys_file, e);
    if (code == MIEN_OK) *out = a;
    else mien_access_free(&a);
    return code;
}

void mien_access_free(struct mien_access **pa)
{
    if (pa == NULL || *pa == NULL) return;
    struct mien_access *a = *pa;
    if (a->key != NULL) explicit_bzero(a->key, (size_t)a->n_keys * sizeof *a->key);
    free(a->key);
    free(a);
    *pa = NULL;
}

bool mien_access_has_keys(const struct mien_access *a) { return a->n_keys > 0; }

/* ---- who ---- */

/* Whether a comma-separated list names `text`, case aside. */
static bool listed(const char *list, const char *text, size_t n)
{
    while (*list != 0) {
        list += strspn(list, ", \t");
        size_t one = strcspn(list, ", \t");
        if (one == n && n > 0 && strncasecmp(list, text, n) == 0) return true;
        list += one;
    }
    return false;
}

/* The address in canonical text. False when it is none. */
static bool canonical_address(const char *text, size_t n, char out[MIEN_ADDRESS_TEXT])
{
    char copy[64];
    uint8_t ip[16];
    if (n == 0 || n >= sizeof copy) return false;
    memcpy(copy, text, n);
    copy[n] = 0;
    if (inet_pton(AF_INET, copy, ip) == 1) return inet_ntop(AF_INET, ip, out, MIEN_ADDRESS_TEXT) != NULL;
    return inet_pton(AF_INET6, copy, ip) == 1 && inet_ntop(AF_INET6, ip, out, MIEN_ADDRESS_TEXT) != NULL;
}

/* The last address of the last X-Forwarded-For that is not a trusted proxy itself: what stands before it is the client's word. */
static void find_address(const struct mien_access *a, const struct mien_request *q, char out[MIEN_ADDRESS_TEXT])
{
    const char *peer = mien_request_peer(q), *forwarded = mien_request_header_last(q, "X-Forwarded-For");
    snprintf(out, MIEN_ADDRESS_TEXT, "%s", peer != NULL ? peer : "");
    size_t n = forwarded != NULL ? strlen(forwarded) : 0;
    while (n > 0 && listed(a->proxies, out, strlen(out))) {
        size_t end = n;
        while (end > 0 && (forwarded[end - 1] == ' ' || forwarded[end - 1] == '\t' || forwarded[end - 1] == ',')) end--;
        size_t begin = end;
        while (begin > 0 && forwarded[begin - 1] != ',' && forwarded[begin - 1] != ' ' && forwarded[begin - 1] != '\t') begin--;
        if (!canonical_address(forwarded + begin, end - begin, out)) return;
        n = begin;
    }
}

static bool is_secure(const struct mien_access *a, const struct mien_request *q)
{
    const char *peer = mien_request_peer(q), *scheme = mien_request_header_last(q, "X-Forwarded-Proto");
    return peer != NULL && scheme != NULL && listed(a->proxies, peer, strlen(peer)) && strcasecmp(scheme, "https") == 0;
}

static uint64_t address_identity(uint64_t salt, const char *address)
{
    uint64_t h = salt ^ 0xcbf29ce484222325u; /* FNV-1a, finished by a multiplication that spreads the last bytes */
    for (; *address != 0; address++) h = (h ^ (unsigned char)*address) * 0x100000001b3u;
    h ^= h >> 32;
    return h * 0x9e3779b97f4a7c15u;
}

/* The key that came, NUL-terminated in the header, or NULL. */
static const char *sent_key(const struct mien_request *q)
{
    const char *bearer = mien_request_header(q, "Authorization");
    if (bearer != NULL && strncasecmp(bearer, "Bearer ", 7) == 0) return bearer + 7 + strspn(bearer + 7, " ");
    return mien_request_header(q, "X-API-Key");
}

static const struct key *find_key(const struct mien_access *a, const char *sent)
{
    uint8_t digest[DIGEST];
    const struct key *found = NULL;
    if (a->n_keys == 0 || sent == NULL || mien_sha256(sent, strlen(sent), digest, NULL) != MIEN_OK) return NULL;
    for (int i = 0; i < a->n_keys; i++)
        if (mien_secret_equal(a->key[i].digest, digest, DIGEST)) found = &a->key[i];
    explicit_bzero(digest, sizeof digest);
    return found;
}

static bool same_origin(const struct mien_request *q, const char *origin)
{
    const char *host = mien_request_header(q, "Host"), *at = strstr(origin, "://");
    return host != NULL && at != NULL && strcasecmp(at + 3, host) == 0;
}

void mien_access_identify(const struct mien_access *a, const struct mien_request *q, struct mien_caller *out)
{
    *out = (struct mien_caller){.origin = mien_request_header(q, "Origin"), .secure = is_secure(a, q)};
    find_address(a, q, out->address);
    const char *sent = sent_key(q);
    const struct key *key = find_key(a, sent);
    out->key_sent = sent != NULL;
    out->key_name = key != NULL ? key->name : NULL;
    out->scopes = key != NULL ? key->scopes : a->n_keys == 0 ? MIEN_SCOPE_ALL : 0;
    out->client = key != NULL ? key->client : address_identity(a->salt, out->address);
    if (out->origin != NULL) out->origin_listed = listed(a->origins, "*", 1) || listed(a->origins, out->origin, strlen(out->origin));
}

/* ---- whether ---- */

static bool host_is_ours(const struct mien_access *a, const char *host)
{
    char name[256];
    uint8_t ip[16];
    size_t n = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (n >= sizeof name || n > strlen(host)) return false;
    snprintf(name, sizeof name, "%.*s", (int)n, host);
    if (strcasecmp(name, "localhost") == 0 || strcmp(name, "[::1]") == 0 || listed(a->hosts, "*", 1) || listed(a->hosts, name, n)) return true;
    return inet_pton(AF_INET, name, ip) == 1 && ip[0] == 127;
}

enum mien_problem mien_access_door(const struct mien_access *a, const struct mien_request *q, const struct mien_caller *c, const char **why)
{
    if (a->n_keys > 0) return MIEN_PROBLEM_NONE; /* no page can send a key that it does not know */
    const char *host = mien_request_header(q, "Host");
    *why = "Without API keys only loopback's names are answered; this Host is not among them.";
    if (host != NULL && !host_is_ours(a, host)) return MIEN_PROBLEM_FORBIDDEN;
    *why = "Pages of this origin may not use the server.";
    return c->origin == NULL || c->origin_listed || same_origin(q, c->origin) ? MIEN_PROBLEM_NONE : MIEN_PROBLEM_FORBIDDEN;
}

enum mien_problem mien_access_scope(const struct mien_access *a, const struct mien_caller *c, unsigned scopes, const char **why)
{
    if (scopes == 0 || a->n_keys == 0) return MIEN_PROBLEM_NONE;
    *why = NULL;
    if (c->key_name == NULL) return MIEN_PROBLEM_UNAUTHORIZED;
    if ((c->scopes & scopes) != 0) return MIEN_PROBLEM_NONE;
    *why = "The API key lacks the scope of this route.";
    return MIEN_PROBLEM_FORBIDDEN;
}

/* ---- headers ---- */

/* What a browser may load and do with an answer. Neither page loads anything from elsewhere; the documentation's viewer writes styles into its elements. */
static const char *policy_of(enum mien_page_kind page)
{
    switch (page) {
    case MIEN_PAGE_APP:
        return "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; form-action 'none'; base-uri 'none'; "
               "frame-ancestors 'none'";
    case MIEN_PAGE_DOCS:
        return "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; "
               "font-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    default: return "default-src 'none'; frame-ancestors 'none'";
    }
}

static const char *cache_of(enum mien_page_kind page)
{
    if (page == MIEN_PAGE_ASSET) return "public, max-age=31536000, immutable";
    return page == MIEN_PAGE_KEYS ? "public, max-age=300" : "no-store";
}

void mien_access_headers(const struct mien_access *a, const struct mien_caller *c, enum mien_page_kind page, struct mien_response *r)
{
    const bool open = page == MIEN_PAGE_OPEN;
    mien_response_header(r, "Cache-Control", cache_of(page));
    mien_response_header(r, "X-Content-Type-Options", "nosniff");
    mien_response_header(r, "Referrer-Policy", "no-referrer");
    mien_response_header(r, "X-Frame-Options", "DENY");
    mien_response_header(r, "Content-Security-Policy", policy_of(page));
    if (page == MIEN_PAGE_APP) mien_response_header(r, "Permissions-Policy", "camera=(self), microphone=(), geolocation=()");
    mien_response_header(r, "Cross-Origin-Resource-Policy", open || c->origin_listed ? "cross-origin" : "same-origin");
    if (a->origins[0] != 0) mien_response_header(r, "Vary", "Origin");
    if (open || c->origin_listed) mien_response_header(r, "Access-Control-Allow-Origin", open ? "*" : c->origin);
    if (c->origin_listed) mien_response_header(r, "Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
}

bool mien_access_preflight(const struct mien_access *a, const struct mien_request *q, const struct mien_caller *c, const char *methods,
                           struct mien_response *r)
{
    (void)a;
    if (mien_request_method(q) != MIEN_OPTIONS || !c->origin_listed || mien_request_header(q, "Access-Control-Request-Method") == NULL) return false;
    r->status = 204;
    r->type = NULL;
    mien_response_header(r, "Access-Control-Allow-Methods", methods);
    mien_response_header(r, "Access-Control-Allow-Headers", "Authorization, Content-Type, X-API-Key, X-Request-Id");
    mien_response_header(r, "Access-Control-Max-Age", "600");
    return true;
}
