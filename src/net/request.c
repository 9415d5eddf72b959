/* What handlers see of a request, and how they fill a response. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <microhttpd.h>

#include "base/clock.h"
#include "net/server_inner.h"

static const char *const METHOD[] = {[MIEN_GET] = "GET", [MIEN_HEAD] = "HEAD", [MIEN_POST] = "POST", [MIEN_PUT] = "PUT", [MIEN_DELETE] = "DELETE",
                                     [MIEN_OPTIONS] = "OPTIONS", [MIEN_PATCH] = "PATCH", [MIEN_OTHER_METHOD] = "OTHER"};

const char *mien_method_name(enum mien_method m) { return METHOD[m]; }

enum mien_method mien_method_parse(const char *name)
{
    int m = 0;
    while (m < MIEN_OTHER_METHOD && strcmp(METHOD[m], name) != 0) m++;
    return (enum mien_method)m;
}

enum mien_method mien_request_method(const struct mien_request *q) { return q->method; }
const char *mien_request_path(const struct mien_request *q) { return q->path; }
const char *mien_request_id(const struct mien_request *q) { return q->id; }
const char *mien_request_peer(const struct mien_request *q) { return q->conn->peer; }
uint64_t mien_request_started_ns(const struct mien_request *q) { return q->started_ns; }
uint64_t mien_request_waited_ns(const struct mien_request *q) { return q->waited_ns; }
void mien_request_keep(struct mien_request *q, void *state) { q->kept = state; }
void *mien_request_kept(const struct mien_request *q) { return q->kept; }

const char *mien_request_header(const struct mien_request *q, const char *name)
{
    return MHD_lookup_connection_value(q->connection, MHD_HEADER_KIND, name);
}

struct last {
    const char *name, *value;
};

static enum MHD_Result keep_last(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct last *l = cls;
    (void)kind;
    if (strcasecmp(key, l->name) == 0) l->value = value;
    return MHD_YES;
}

const char *mien_request_header_last(const struct mien_request *q, const char *name)
{
    struct last l = {.name = name};
    MHD_get_connection_values(q->connection, MHD_HEADER_KIND, keep_last, &l);
    return l.value;
}

const char *mien_request_query(const struct mien_request *q, const char *name)
{
    return MHD_lookup_connection_value(q->connection, MHD_GET_ARGUMENT_KIND, name);
}

struct nth {
    int left;
    const char *name;
};

static enum MHD_Result find_nth(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct nth *n = cls;
    (void)kind;
    (void)value;
    if (n->left-- > 0) return MHD_YES;
    n->name = key;
    return MHD_NO;
}

const char *mien_request_query_name(const struct mien_request *q, int i)
{
    struct nth n = {.left = i};
    MHD_get_connection_values(q->connection, MHD_GET_ARGUMENT_KIND, find_nth, &n);
    return n.name;
}

char *mien_request_body(struct mien_request *q, size_t *n)
{
    *n = q->body_size;
    return q->body;
}

void mien_response_header(struct mien_response *r, const char *name, const char *value)
{
    for (const char *c = value; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) return;
    assert(r->n_headers < MIEN_RESPONSE_HEADERS);
    char *copy = r->n_headers < MIEN_RESPONSE_HEADERS ? strdup(value) : NULL;
    if (copy == NULL) return;
    r->header[r->n_headers].name = name;
    r->header[r->n_headers++].value = copy;
}
