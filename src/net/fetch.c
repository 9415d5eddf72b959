/* Fetching by libcurl. Redirects are followed here, one by one, so that each URL passes the same checks as the first; the address check is in the callback that
 * opens the socket, behind name resolution. */
#include "net/fetch.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/clock.h"

enum { MAX_NETWORKS = 32, MAX_HOST = 254, MAX_URL = 4096, FIRST_BYTES = 64 << 10 };

struct allowed_network {
    uint8_t ip[16];
    int bytes, bits;
};

struct mien_fetch {
    struct mien_fetch_settings settings;
    char *hosts;
    struct allowed_network network[MAX_NETWORKS];
    int n_networks;
};

/* One transfer. */
struct transfer {
    const struct mien_fetch *fetch;
    unsigned char *data;
    size_t size, room;
    bool too_large, refused, no_memory;
};

/* ---- settings ---- */

static bool parse_network(const char *text, size_t n, struct allowed_network *out)
{
    char copy[64], *end;
    if (n == 0 || n >= sizeof copy) return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    char *slash = strchr(copy, '/');
    if (slash == NULL) return false;
    *slash = '\0';
    out->bytes = inet_pton(AF_INET, copy, out->ip) == 1 ? 4 : inet_pton(AF_INET6, copy, out->ip) == 1 ? 16 : 0;
    if (out->bytes == 0 || !isdigit((unsigned char)slash[1])) return false;
    const long bits = strtol(slash + 1, &end, 10);
    out->bits = (int)bits;
    return *end == '\0' && bits >= 0 && bits <= 8 * out->bytes;
}

static enum mien_code parse_networks(struct mien_fetch *f, const char *list, struct mien_err *e)
{
    for (const char *at = list; at != NULL && *at != '\0';) {
        at += strspn(at, ", ");
        const size_t n = strcspn(at, ", ");
        if (n == 0) break;
        MIEN_FAIL_IF(f->n_networks == MAX_NETWORKS, e, MIEN_E_CONFIG, "more than %d networks", MAX_NETWORKS);
        MIEN_FAIL_IF(!parse_network(at, n, &f->network[f->n_networks++]), e, MIEN_E_CONFIG, "'%.*s' is not a network such as 10.1.0.0/16", (int)n, at);
        at += n;
    }
    return MIEN_OK;
}

/* "name", "*.name" or "*". */
static bool is_host_pattern(const char *s, size_t n)
{
    if (n > 2 && s[0] == '*' && s[1] == '.') {
        s += 2;
        n -= 2;
    } else if (n == 1 && s[0] == '*') {
        return true;
    }
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && strchr(".-_:[]", s[i]) == NULL) return false;
    return n > 0 && n < MAX_HOST;
}

static enum mien_code check_hosts(const char *list, struct mien_err *e)
{
    for (const char *at = list; at != NULL && *at != '\0';) {
        at += strspn(at, ", ");
        const size_t n = strcspn(at, ", ");
        if (n == 0) break;
        MIEN_FAIL_IF(!is_host_pattern(at, n), e, MIEN_E_CONFIG, "'%.*s' is not a host name, *.domain or *", (int)n, at);
        at += n;
    }
    return MIEN_OK;
}

static void start_library(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

enum mien_code mien_fetch_create(const struct mien_fetch_settings *s, struct mien_fetch **out, struct mien_err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = NULL;
    MIEN_TRY(check_hosts(s->hosts, e));
    struct mien_fetch *f = calloc(1, sizeof *f);
    MIEN_FAIL_IF(f == NULL, e, MIEN_E_NOMEM, "out of memory");
    f->settings = *s;
    f->hosts = strdup(s->hosts != NULL ? s->hosts : "");
    enum mien_code code = f->hosts == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory") : parse_networks(f, s->networks, e);
    f->settings.hosts = f->hosts;
    f->settings.networks = NULL;
    pthread_once(&once, start_library);
    if (code != MIEN_OK) mien_fetch_free(&f);
    *out = f;
    return code;
}

void mien_fetch_free(struct mien_fetch **f)
{
    if (f == NULL || *f == NULL) return;
    free((*f)->hosts);
    free(*f);
    *f = NULL;
}

/* ---- which URL ---- */

static bool host_matches(const char *pattern, size_t n, const char *host)
{
    const size_t length = strlen(host);
    if (n == 1 && pattern[0] == '*') return true;
    if (pattern[0] != '*') return n == length && strncasecmp(pattern, host, n) == 0;
    pattern += 1; /* ".name" */
    n -= 1;
    return length > n && strncasecmp(host + length - n, pattern, n) == 0;
}

static bool host_is_listed(const char *list, const char *host)
{
    for (const char *at = list; *at != '\0';) {
        at += strspn(at, ", ");
        const size_t n = strcspn(at, ", ");
        if (n > 0 && host_matches(at, n, host)) return true;
        at += n;
    }
    return false;
}

static bool scheme_is_taken(CURLU *u)
{
    char *scheme = NULL, *user = NULL;
    const bool read = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK;
    const bool plain = curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_NO_USER;
    const bool taken = read && plain && (strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_free(user);
    return taken;
}

enum mien_code mien_fetch_allowed(const struct mien_fetch *f, const char *url, struct mien_err *e)
{
    char *host = NULL;
    MIEN_FAIL_IF(f->hosts[0] == '\0', e, MIEN_E_URL_REFUSED, "fetching images is switched off");
    CURLU *u = strlen(url) <= MAX_URL ? curl_url() : NULL;
    const bool parsed = u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && scheme_is_taken(u) &&
                        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    const bool listed = parsed && host_is_listed(f->hosts, host);
    curl_free(host);
    curl_url_cleanup(u);
    MIEN_FAIL_IF(!parsed, e, MIEN_E_URL_REFUSED, "not a plain http or https URL");
    MIEN_FAIL_IF(!listed, e, MIEN_E_URL_REFUSED, "the host is not one that images are fetched from");
    return MIEN_OK;
}

/* ---- which address ---- */

static bool in_network(const struct allowed_network *n, const uint8_t *ip, int bytes)
{
    const int whole = n->bits / 8, rest = n->bits % 8;
    if (n->bytes != bytes || memcmp(n->ip, ip, (size_t)whole) != 0) return false;
    return rest == 0 || ((n->ip[whole] ^ ip[whole]) >> (8 - rest)) == 0;
}

static bool address_is_taken(const struct mien_fetch *f, const struct sockaddr *a)
{
    const bool v4 = a->sa_family == AF_INET;
    if (!v4 && a->sa_family != AF_INET6) return false;
    uint8_t ip[16];
    if (v4) memcpy(ip, &((const struct sockaddr_in *)(const void *)a)->sin_addr, 4);
    else memcpy(ip, &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, 16);
    for (int i = 0; i < f->n_networks; i++)
        if (in_network(&f->network[i], ip, v4 ? 4 : 16)) return true;
    return mien_address_is_public(ip, v4 ? 4 : 16);
}

/* Called for every address that curl is about to connect to. */
static curl_socket_t open_socket(void *cls, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct transfer *t = cls;
    if (purpose != CURLSOCKTYPE_IPCXN || !address_is_taken(t->fetch, &a->addr)) {
        t->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* ---- the transfer ---- */

static void forget(struct transfer *t)
{
    if (t->data != NULL) explicit_bzero(t->data, t->room);
    free(t->data);
    t->data = NULL;
    t->size = t->room = 0;
}

static bool make_room(struct transfer *t, size_t need)
{
    size_t room = t->room > 0 ? t->room : FIRST_BYTES;
    while (room < need) room *= 2;
    if (room == t->room) return true;
    unsigned char *data = malloc(room);
    if (data == NULL) return false;
    if (t->size > 0) memcpy(data, t->data, t->size);
    const size_t size = t->size;
    forget(t);
    t->data = data;
    t->size = size;
    t->room = room;
    return true;
}

/* Counts what really comes: an announced length is only a word. */
static size_t take_bytes(char *data, size_t one, size_t n, void *cls)
{
    struct transfer *t = cls;
    (void)one;
    t->too_large = n > t->fetch->settings.max_bytes - t->size;
    if (t->too_large) return 0;
    t->no_memory = !make_room(t, t->size + n);
    if (t->no_memory) return 0;
    memcpy(t->data + t->size, data, n);
    t->size += n;
    return n;
}

static void set_up(CURL *curl, struct transfer *t, const char *url, long left_ms)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(curl, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, left_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, left_ms);
    curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->fetch->settings.max_bytes);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "mien");
}

/* One request. `next` receives a redirect's target, owned by the caller, or NULL. */
static enum mien_code one_request(struct transfer *t, const char *url, long left_ms, char **next, struct mien_err *e)
{
    long status = 0;
    char *target = NULL;
    *next = NULL;
    CURL *curl = curl_easy_init();
    MIEN_FAIL_IF(curl == NULL, e, MIEN_E_NOMEM, "out of memory");
    set_up(curl, t, url, left_ms);
    const CURLcode done = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (done == CURLE_OK && status >= 300 && status < 400 && curl_easy_getinfo(curl, CURLINFO_REDIRECT_URL, &target) == CURLE_OK && target != NULL)
        *next = strdup(target);
    curl_easy_cleanup(curl);
    MIEN_FAIL_IF(t->too_large || done == CURLE_FILESIZE_EXCEEDED, e, MIEN_E_IMAGE_LIMIT, "the image is larger than %zu bytes", t->fetch->settings.max_bytes);
    MIEN_FAIL_IF(t->no_memory, e, MIEN_E_NOMEM, "out of memory");
    MIEN_FAIL_IF(done != CURLE_OK && t->refused, e, MIEN_E_URL_REFUSED, "the host's address is not public");
    MIEN_FAIL_IF(done == CURLE_OPERATION_TIMEDOUT, e, MIEN_E_URL_FETCH, "the host is too slow");
    MIEN_FAIL_IF(done != CURLE_OK, e, MIEN_E_URL_FETCH, "the host could not be asked");
    MIEN_FAIL_IF(*next == NULL && (status < 200 || status > 299), e, MIEN_E_URL_FETCH, "the host answers with status %ld", status);
    return MIEN_OK;
}

static enum mien_code follow(struct transfer *t, const char *first, struct mien_err *e)
{
    const struct mien_fetch_settings *s = &t->fetch->settings;
    const uint64_t start = mien_now_ns();
    char *url = strdup(first);
    enum mien_code code = url != NULL ? MIEN_OK : MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory");
    for (int hop = 0; code == MIEN_OK; hop++) {
        char *next = NULL;
        const long left_ms = s->timeout_ms - (long)mien_elapsed_ms(start);
        if (hop > s->max_redirects) code = MIEN_FAIL(e, MIEN_E_URL_FETCH, "more than %d redirects", s->max_redirects);
        else if (left_ms <= 0) code = MIEN_FAIL(e, MIEN_E_URL_FETCH, "the host is too slow");
        else code = mien_fetch_allowed(t->fetch, url, e);
        if (code == MIEN_OK) code = one_request(t, url, left_ms, &next, e);
        free(url);
        url = next;
        if (url == NULL || code != MIEN_OK) break;
        forget(t); /* a redirect's own body */
    }
    free(url);
    return code;
}

enum mien_code mien_fetch_get(struct mien_fetch *f, const char *url, unsigned char **out, size_t *n, struct mien_err *e)
{
    struct transfer t = {.fetch = f};
    *out = NULL;
    *n = 0;
    enum mien_code code = follow(&t, url, e);
    if (code == MIEN_OK && t.size == 0) code = MIEN_FAIL(e, MIEN_E_URL_FETCH, "the host answers with nothing");
    if (code != MIEN_OK) {
        forget(&t);
        return code;
    }
    *out = t.data;
    *n = t.size;
    return MIEN_OK;
}
