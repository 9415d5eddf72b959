/* The client over libcurl's easy interface. */
#include "net/client.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

enum { MAX_URL = 8192, MAX_KEY = 4096, MAX_NAME = 200 };

struct mien_client {
    CURL *curl;
    char *base;              /* without a slash at the end */
    char name[MAX_NAME];     /* "host:port", for messages */
    char *authorization;     /* the header, or NULL */
    bool loopback;
};

bool mien_host_is_loopback(const char *host)
{
    uint8_t ip[4];
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 || strcmp(host, "[::1]") == 0 || (inet_pton(AF_INET, host, ip) == 1 && ip[0] == 127);
}

void mien_url_add(struct mien_buf *out, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (isalnum((unsigned char)*at) || strchr("-._~", *at) != NULL) mien_buf_add(out, at, 1);
        else mien_buf_addf(out, "%%%02X", (unsigned)(unsigned char)*at);
    }
}

static void start_library(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

/* Takes the URL apart: an http or https one without user, query and fragment. */
static bool read_url(struct mien_client *c, const char *url)
{
    char *host = NULL, *port = NULL, *scheme = NULL, *part = NULL;
    CURLU *u = strlen(url) < MAX_URL ? curl_url() : NULL;
    bool good = u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK;
    good = good && (strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0);
    for (int i = 0; good && i < 3; i++) {
        static const CURLUPart NOT_TAKEN[] = {CURLUPART_USER, CURLUPART_QUERY, CURLUPART_FRAGMENT};
        good = curl_url_get(u, NOT_TAKEN[i], &part, 0) != CURLUE_OK;
        curl_free(part);
        part = NULL;
    }
    if (good) {
        snprintf(c->name, sizeof c->name, "%.180s:%.5s", host, port);
        c->loopback = mien_host_is_loopback(host);
    }
    curl_free(host);
    curl_free(port);
    curl_free(scheme);
    curl_url_cleanup(u);
    return good;
}

static enum mien_code fill(struct mien_client *c, const char *url, const char *key, struct mien_err *e)
{
    MIEN_FAIL_IF(!read_url(c, url), e, MIEN_E_ARG, "not a plain http or https URL of a server");
    c->base = strdup(url);
    c->curl = curl_easy_init();
    if (key != NULL && key[0] != '\0') {
        const size_t room = strlen(key) + 32;
        MIEN_FAIL_IF(room > MAX_KEY || key[strcspn(key, "\r\n")] != '\0', e, MIEN_E_ARG, "not a key");
        c->authorization = malloc(room);
        if (c->authorization != NULL) snprintf(c->authorization, room, "Authorization: Bearer %s", key);
    }
    MIEN_FAIL_IF(c->base == NULL || c->curl == NULL || (key != NULL && key[0] != '\0' && c->authorization == NULL), e, MIEN_E_NOMEM, "out of memory");
    for (size_t n = strlen(c->base); n > 0 && c->base[n - 1] == '/'; n--) c->base[n - 1] = '\0';
    return MIEN_OK;
}

enum mien_code mien_client_create(const char *url, const char *key, struct mien_client **out, struct mien_err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = NULL;
    pthread_once(&once, start_library);
    struct mien_client *c = calloc(1, sizeof *c);
    MIEN_FAIL_IF(c == NULL, e, MIEN_E_NOMEM, "out of memory");
    const enum mien_code code = fill(c, url, key, e);
    if (code == MIEN_OK) *out = c;
    else mien_client_free(&c);
    return code;
}

void mien_client_free(struct mien_client **pc)
{
    struct mien_client *c = *pc;
    if (c == NULL) return;
    if (c->curl != NULL) curl_easy_cleanup(c->curl);
    if (c->authorization != NULL) explicit_bzero(c->authorization, strlen(c->authorization));
    free(c->authorization);
    free(c->base);
    free(c);
    *pc = NULL;
}

static size_t take_bytes(char *data, size_t one, size_t n, void *cls)
{
    (void)one;
    return mien_buf_add(cls, data, n) ? n : 0;
}

static struct curl_slist *make_headers(const struct mien_client *c, const struct mien_ask *ask)
{
    char type[128];
    snprintf(type, sizeof type, "Content-Type: %s", ask->type != NULL ? ask->type : "application/json");
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* no 100-continue: our own server always takes the body */
    if (ask->body != NULL) list = curl_slist_append(list, type);
    if (c->authorization != NULL) list = curl_slist_append(list, c->authorization);
    return list;
}

static void wipe_headers(struct curl_slist *list)
{
    for (struct curl_slist *at = list; at != NULL; at = at->next) explicit_bzero(at->data, strlen(at->data));
    curl_slist_free_all(list);
}

static void set_up(struct mien_client *c, const struct mien_ask *ask, const char *url, struct curl_slist *headers, struct mien_buf *answer)
{
    CURL *curl = c->curl;
    curl_easy_reset(curl); /* options only: the connection stays */
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    if (c->loopback) curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)ask->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "mien");
    if (ask->body != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, ask->body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)ask->n);
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, ask->method);
}

enum mien_code mien_client_ask(struct mien_client *c, const struct mien_ask *ask, int *status, struct mien_buf *answer, struct mien_err *e)
{
    struct mien_buf url;
    long code = 0;
    *status = 0;
    mien_buf_init(&url, MAX_URL);
    mien_buf_addf(&url, "%s%s", c->base, ask->path);
    MIEN_FAIL_IF(url.failed, e, MIEN_E_ARG, "the URL is too long");
    struct curl_slist *headers = make_headers(c, ask);
    set_up(c, ask, url.data, headers, answer);
    const CURLcode done = curl_easy_perform(c->curl);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_reset(c->curl);
    wipe_headers(headers);
    mien_buf_free(&url);
    MIEN_FAIL_IF(answer->failed, e, MIEN_E_LIMIT, "the answer of %s is too long", c->name);
    MIEN_FAIL_IF(done == CURLE_OPERATION_TIMEDOUT, e, MIEN_E_URL_FETCH, "%s does not answer in time", c->name);
    MIEN_FAIL_IF(done != CURLE_OK, e, MIEN_E_URL_FETCH, "no answer from %s: %s", c->name, curl_easy_strerror(done));
    *status = (int)code;
    return MIEN_OK;
}
