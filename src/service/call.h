/* One request as a handler sees it: validated members, the worker's session, memory that dies with the request, and the answer's writer.
 *
 * Handlers ask for members by the name in their row; asking for a name that is not there is a programming error (asserted). They write the answer
 * as one JSON object through call->json and return MIEN_OK, or return a failure without having to undo what they wrote. */
#ifndef MIEN_SERVICE_CALL_H
#define MIEN_SERVICE_CALL_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "codec/json.h"
#include "face/face.h"
#include "gallery/gallery.h"
#include "service/route.h"

struct mien_service;

/* Encoded image bytes; borrowed from the body or the call. With `failed` != MIEN_OK the image could not be had (broken base64, URL): only routes
 * with an error per item ever see such a blob, for all others the call has failed before the handler runs. */
struct mien_blob {
    const unsigned char *data;
    size_t size;
    enum mien_code failed;
    const char *why;     /* one line without secrets, when failed */
    const char *url;     /* the URL it came from, or NULL */
};

struct mien_item; /* one object of an ITEMS member */

struct mien_call {
    const struct mien_route *route;
    struct mien_service *service;
    struct mien_models *models;
    struct mien_session *session; /* NULL on routes that are answered at once */
    struct mien_arena *arena;     /* wiped and freed after the answer */
    struct mien_jw *json;         /* the answer's object is already open; the handler adds its members */
    struct mien_request *request;
    struct mien_response *response; /* for routes whose answer is not JSON (route->type) and for extra headers */
    uint64_t started_ns;
    uint64_t client;              /* identity for state that belongs to a client: from its key, else from its address */
};

bool mien_call_given(const struct mien_call *c, const char *member);
double mien_call_number(const struct mien_call *c, const char *member);  /* the default when it was not given */
int mien_call_integer(const struct mien_call *c, const char *member);
bool mien_call_flag(const struct mien_call *c, const char *member);
const char *mien_call_text(const struct mien_call *c, const char *member); /* NUL-terminated; NULL when not given */
const char *const *mien_call_choices(const struct mien_call *c, const char *member, int *n); /* NULL, 0 when not given */
const struct mien_blob *mien_call_image(const struct mien_call *c, const char *member); /* NULL when not given */
int mien_call_images(const struct mien_call *c, const char *member, const struct mien_blob **first);
int mien_call_items(const struct mien_call *c, const char *member);
bool mien_call_item_given(const struct mien_call *c, const char *member, int i, const char *name);
bool mien_call_item_flag(const struct mien_call *c, const char *member, int i, const char *name);
const float *mien_call_item_vector(const struct mien_call *c, const char *member, int i, const char *name, int *n); /* NULL, 0 when not given */
const char *mien_call_item_text(const struct mien_call *c, const char *member, int i, const char *name);
const struct mien_blob *mien_call_item_image(const struct mien_call *c, const char *member, int i, const char *name);

/* Milliseconds since the request's headers were complete, rounded: the answer's processing_time_ms. */
int64_t mien_call_ms(const struct mien_call *c);

/* A failure about the whole request in words for the client: 422 with `text`. `index` >= 0: of that entry of the member, which then also stands in `errors`. */
enum mien_code mien_call_refuse(struct mien_call *c, const char *member, int index, const char *sub, const char *text, struct mien_err *e);

/* A failure whose problem says `text`, our own words for the client. */
enum mien_code mien_call_say(struct mien_call *c, enum mien_code code, const char *text, struct mien_err *e);

/* Opens the photo and analyses it with the call's session. `*photo` (may be NULL when the caller does not need it) belongs to the call. `which` names
 * the image in messages ("image", "idImage"). Fails with MIEN_E_IMAGE_*, MIEN_E_MODEL_MISSING, ...; no face is not a failure: count 0. */
enum mien_code mien_call_analyze(struct mien_call *c, const struct mien_blob *image, const char *which, unsigned wants,
                                 const struct mien_face_settings *settings, struct mien_faces *out, struct mien_photo **photo,
                                 struct mien_err *e) MIEN_MUST_CHECK;

/* Frees a photo of mien_call_analyze before the call is over: a request of many frames does not keep every frame's pixels. */
void mien_call_release(struct mien_call *c, struct mien_photo *photo);

/* The recognition model; MIEN_E_MODEL_MISSING. Its threshold with MATCH_THRESHOLD taken into account. */
enum mien_code mien_call_embedder(const struct mien_call *c, const struct mien_model **model, float *threshold, struct mien_err *e) MIEN_MUST_CHECK;
/* Whether a role has an installed model. */
bool mien_call_has(const struct mien_call *c, enum mien_role role);

/* The gallery; MIEN_E_STORE when the server has none. */
enum mien_code mien_call_gallery(const struct mien_call *c, struct mien_gallery **g, struct mien_err *e) MIEN_MUST_CHECK;
/* mien_gallery_enroll with failures that the client can mend in words for it: a wrong user id, too many templates of one user. */
enum mien_code mien_call_enroll(struct mien_call *c, struct mien_gallery *g, const struct mien_enrolment *enrolments, int n,
                                struct mien_err *e) MIEN_MUST_CHECK;

/* Shared by handlers that answer with the same members (answers.c). Each writes `key: value`. */
void mien_put_text(struct mien_call *c, const char *key, const char *value); /* NULL -> null */
void mien_put_bool(struct mien_call *c, const char *key, bool value);
void mien_put_integer(struct mien_call *c, const char *key, int64_t value);
void mien_put_fixed(struct mien_call *c, const char *key, double value, int decimals);
void mien_put_quality(struct mien_call *c, const char *key, const struct mien_quality *q, const struct mien_face *face); /* the contract's seven members */
void mien_put_box_members(struct mien_call *c, struct mien_box box);          /* x, y, width, height: whole pixels, into the open object */
void mien_put_box(struct mien_call *c, const char *key, const struct mien_box *box); /* object of the four, or null */
void mien_put_embedding(struct mien_call *c, const char *key, const float *v, int dim);
void mien_put_issues(struct mien_call *c, const char *key, const char *const *issue, int n);

#endif
