/* The table of routes: one row says how a request is recognised, who may send it, which members it has and what is answered. Validation, OpenAPI
 * (openapi.c) and the contract tests all read these rows and nothing else. */
#ifndef MIEN_SERVICE_ROUTE_H
#define MIEN_SERVICE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "net/server.h"

struct mien_call;

enum mien_kind {
    MIEN_KIND_IMAGE,   /* base64, data URL or http(s) URL */
    MIEN_KIND_IMAGES,  /* array of them: low..high = how many */
    MIEN_KIND_TEXT,    /* low..high = bytes */
    MIEN_KIND_CHOICE,  /* text, one of `choices` */
    MIEN_KIND_CHOICES, /* array of them, in JSON only: low..high = how many */
    MIEN_KIND_NUMBER,  /* low..high */
    MIEN_KIND_INTEGER, /* low..high */
    MIEN_KIND_BOOL,
    MIEN_KIND_ITEMS,   /* array of objects with the members `sub`; low..high = how many */
    MIEN_KIND_OBJECT,  /* any JSON object; kept as compact text, of at most `high` bytes. In forms and the query: text that is one */
    MIEN_KIND_VECTOR   /* array of numbers, or text: base64 of little-endian float32; low..high = how many. Finite */
};

/* Where the default of a member comes from when it is configured. */
enum mien_from { MIEN_FROM_ROW, MIEN_FROM_ANTISPOOF_THRESHOLD, MIEN_FROM_MATCH_THRESHOLD };

struct mien_member {
    const char *name;
    enum mien_kind kind;
    bool required;
    const char *also;      /* other names of the same member, "image_url|image_data", or NULL; only one may be given */
    double low, high;      /* see the kind; both 0 = no bound */
    double otherwise;      /* default of numbers and booleans that are not required */
    enum mien_from from;
    const char *choices;   /* "left|right" */
    bool in_path;          /* its text is what stands in the path where the route's path has {name}; required, TEXT */
    const struct mien_member *sub; /* ended by a row without name */
    const char *help;
};

enum mien_out { MIEN_OUT_INTEGER, MIEN_OUT_NUMBER, MIEN_OUT_BOOL, MIEN_OUT_TEXT, MIEN_OUT_OBJECT, MIEN_OUT_OBJECTS, MIEN_OUT_NUMBERS, MIEN_OUT_TEXTS,
    MIEN_OUT_MAP /* object whose names are data: values are numbers */, MIEN_OUT_ANY /* object with any members */ };

struct mien_field {
    const char *name;
    enum mien_out kind;
    bool nullable, optional;
    const struct mien_field *sub; /* of OBJECT and OBJECTS; ended by a row without name */
    const char *help;
};

enum mien_scope { MIEN_SCOPE_NONE = 0, MIEN_SCOPE_ANALYZE = 1, MIEN_SCOPE_GALLERY_READ = 2, MIEN_SCOPE_GALLERY_WRITE = 4, MIEN_SCOPE_SESSION = 8,
    MIEN_SCOPE_ADMIN = 16, MIEN_SCOPE_ALL = 31 };
/* "analyze", "gallery:read", ...; 0 when there is no such scope. */
unsigned mien_scope_parse(const char *name, size_t n);
const char *mien_scope_name(enum mien_scope one);

enum mien_takes {
    MIEN_TAKES_NOTHING = 0,
    MIEN_TAKES_JSON = 1,
    MIEN_TAKES_RAW = 2,       /* image/\*, application/octet-stream or no media type: the bytes are the first IMAGE member; the others may come in the query */
    MIEN_TAKES_MULTIPART = 4,
    MIEN_TAKES_IMAGE_FORMS = 7, /* all three: routes with one image */
    MIEN_TAKES_QUERY = 8,     /* members may come in the query, instead of a body too (POST /analyze?image_url=) */
    MIEN_TAKES_LINES = 16,    /* application/x-ndjson: each line is an entry of the first ITEMS member; empty ones are skipped */
    MIEN_TAKES_UPGRADE = 32,  /* becomes a WebSocket (live.h); the row has no handler */
    MIEN_TAKES_BODY = 23      /* any of those that are a body */
};

struct mien_route {
    enum mien_method method;
    const char *path;         /* "/enroll/{user_id}": the rest of the path, percent-decoded and not empty, is the member of that name; it may hold
                               * slashes. {name} stands at the end. A row without {name} is found before one with it. */
    enum mien_scope scope;    /* NONE: no key needed */
    unsigned takes;           /* MIEN_TAKES_* */
    bool at_once;             /* answered on the event thread: reads no image, runs no network */
    const struct mien_member *members; /* NULL or ended by a row without name */
    const struct mien_field *fields;   /* of the JSON answer; NULL when the answer is something else (`type`) */
    const char *type;         /* media type of the answer; NULL = application/json */
    /* Writes the answer's JSON through call->json or answers in another way (call.h). A failure becomes a problem (problem.h). */
    enum mien_code (*answer)(struct mien_call *call, struct mien_err *e);
    const char *summary, *tag;
    const char *when;         /* Several rows may have one method and path: the first (NULL) is taken unless a body or query has the member that another row
                               * names here; the last such row counts. They stand together and have the same at_once; each has its own scope and takes. */
};

/* All rows, in the order of the documentation. */
extern const struct mien_route mien_routes[];
extern const int mien_route_count;
enum { MIEN_MAX_ROUTES = 96, MIEN_MAX_MEMBERS = 16 };

/* The first row for a method and a path; HEAD finds GET's. NULL when there is none; then *allow (room for 64 bytes) lists the methods of the path
 * ("GET, HEAD"), empty when the path is unknown. */
const struct mien_route *mien_route_find(enum mien_method method, const char *path, char allow[64]);
/* Of several rows with one method and path. */
const struct mien_route *mien_route_first(const struct mien_route *r); /* that of all */
const struct mien_route *mien_route_next(const struct mien_route *r);  /* after r; NULL past the last */
/* What stands in a path where the row has {name}; NULL when it has none. */
const char *mien_route_tail(const struct mien_route *r, const char *path);

#endif
