/* Between the files of this room: one request from its headers to its log line, and the service that it belongs to. */
#ifndef MIEN_SERVICE_EXCHANGE_H
#define MIEN_SERVICE_EXCHANGE_H

#include <stdatomic.h>
#include "codec/lift.h"
#include "net/fetch.h"
#include "service/access.h"
#include "service/bank.h"
#include "service/call.h"
#include "service/limits.h"
#include "service/metrics.h"
#include "service/pages.h"
#include "service/problem.h"
#include "service/service.h"
#include "service/tracks.h"

/* A member's value after validation. Which of them holds it depends on the row's kind. */
struct mien_member_value {
    bool given;
    double number;           /* NUMBER, INTEGER, BOOL: the default when not given */
    const char *text;        /* TEXT, CHOICE, OBJECT */
    const char **choice;     /* CHOICES: `count` of them */
    const float *vector;     /* VECTOR: `count` numbers */
    struct mien_blob *blob;  /* IMAGE: one; IMAGES: `count` */
    int count;               /* IMAGES, ITEMS, VECTOR, CHOICES */
    struct mien_item *item;  /* ITEMS */
};
struct mien_item { struct mien_member_value value[MIEN_MAX_MEMBERS]; };

/* Where in a request something stands, for messages and `loc`. */
struct mien_where { const char *place, *member, *sub; int index; };

/* Every image of a request, in its order. */
struct mien_picture {
    struct mien_picture *next;
    struct mien_blob *blob;
    struct mien_where where;
    unsigned char *fetched;  /* malloc'ed; what the blob points to when it came from a URL */
    size_t fetched_size;
};

enum mien_media { MIEN_MEDIA_NONE /* no body */, MIEN_MEDIA_JSON, MIEN_MEDIA_RAW, MIEN_MEDIA_MULTIPART, MIEN_MEDIA_LINES };

struct mien_held_photo { struct mien_held_photo *next; struct mien_photo *photo; };

struct mien_exchange {
    struct mien_call call;   /* first: handlers get a pointer to it */
    struct mien_caller caller;
    enum mien_media media;
    size_t bytes_in;
    bool validated;
    struct mien_member_value value[MIEN_MAX_MEMBERS];
    struct mien_faults faults;
    struct mien_picture *picture, **last_picture;
    int images;              /* how many, and their decoded bytes together */
    size_t image_bytes;
    bool no_memory;          /* something of the request could not be kept */
    bool too_many;           /* an array holds more images than its row or the server allows */
    struct mien_held_photo *photos;
    enum mien_code said_for; /* mien_call_analyze's failure, and its text for the client */
    char said[160];
    enum mien_problem problem; /* what was answered */
    enum mien_page_kind page;  /* ... */
};

struct mien_service {
    struct mien_service_settings settings;
    struct mien_models *models;
    struct mien_session **session; /* one a worker */
    struct mien_access *access;
    struct mien_limits *limits;    /* NULL: no rate limit */
    struct mien_fetch *fetch;
    struct mien_tracks *tracks;    /* what is remembered between frames */
    struct mien_keep *keep;        /* sessions and nonces */
    struct mien_live *live;        /* live sessions */
    struct mien_bank *bank;        /* NULL: no facebank is configured, or no recognition model installed */
    struct mien_metrics metrics;
    struct mien_pages pages;
    struct mien_buf openapi;
    struct mien_http_handler handler;
    _Atomic(struct mien_server *) server;
    atomic_bool stopping;
    uint64_t started_ns;
};

static inline struct mien_exchange *mien_exchange_of(const struct mien_call *c) { return (struct mien_exchange *)(uintptr_t)(const void *)c; }

/* body.c: reads and validates the body (and query) by the route's rows into x->value, and chooses the row (x->call.route) when the path has several.
 * MIEN_PROBLEM_NONE: go on, perhaps after fetching. Otherwise what to
 * answer, with x->faults, or a text in x->said. */
enum mien_problem mien_body_read(struct mien_exchange *x);
/* After mien_body_read and after fetching: the first image that could not be had, unless the route answers each on its own. */
enum mien_problem mien_body_images(struct mien_exchange *x);
/* Whether a row takes a body of this kind. */
bool mien_body_taken(const struct mien_route *route, enum mien_media media);
bool mien_body_has_urls(const struct mien_exchange *x);
void mien_body_fetch(struct mien_exchange *x);
/* Bytes of body that a route (the largest of the rows with its path) takes at most. */
size_t mien_body_limit(const struct mien_service_settings *s, const struct mien_route *route, enum mien_media media);

/* do_status.c: answers with a file of WEB_DIR; "/" is the page for those that ask for one. False when there is none. */
bool mien_page_answer(struct mien_call *c, const char *path);

#endif
