/* The gallery: enrolled people, sealed in a store (gallery/store.h) and searchable in memory (gallery/index.h).
 *
 * A write goes to the store first and, when that has it, into the index by reading the user back; so the index never says what the store has not, and
 * changes by other processes take the same way. Templates of another model than the gallery's stay in the store but are not searched. Thread-safe. */
#ifndef MIEN_GALLERY_GALLERY_H
#define MIEN_GALLERY_GALLERY_H

#include "gallery/index.h"
#include "gallery/template.h"

struct mien_gallery;

struct mien_gallery_settings {
    struct mien_store *store;     /* the gallery's from mien_gallery_open on, also when that fails */
    struct mien_keyring *keyring; /* the same */
    const char *model;            /* id of the recognition model */
    int dim;
    int threads;                  /* that open templates while loading; 0 = processors */
};

/* Loads every template; progress goes to the log. Records that cannot be opened are counted, logged by record id and left out; MIEN_E_KEY when there are
 * records and not one is sealed under a key of the ring (a wrong key). */
enum mien_code mien_gallery_open(const struct mien_gallery_settings *s, struct mien_gallery **out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_gallery_close(struct mien_gallery **g);

struct mien_enrolment {
    const char *user_id;
    const char *name, *metadata;  /* NULL = not given */
    const float *rgb;             /* dim numbers, any length > 0; normalised here */
    const float *depth;           /* depth_dim numbers, or NULL */
    int depth_dim;
    bool append;                  /* another template for the user; else it replaces */
};
/* All or none, in one transaction. The same user may come several times. MIEN_E_ARG (user_id), MIEN_E_RECORD (numbers), MIEN_E_LIMIT (too many templates of one
 * user), MIEN_E_STORE. */
enum mien_code mien_gallery_enroll(struct mien_gallery *g, const struct mien_enrolment *enrolments, int n, struct mien_err *e) MIEN_MUST_CHECK;
/* MIEN_E_NOT_ENROLLED, MIEN_E_STORE. */
enum mien_code mien_gallery_delete(struct mien_gallery *g, const char *user_id, struct mien_err *e) MIEN_MUST_CHECK;

/* As mien_index_search. */
enum mien_code mien_gallery_search(struct mien_gallery *g, const float *queries, int n, int top_k, float threshold, struct mien_hit *hits, int *counts,
                                   struct mien_err *e) MIEN_MUST_CHECK;

/* A user's templates of this gallery's model, opened; `call` is given each. MIEN_E_NOT_ENROLLED: no such user. MIEN_E_MODEL_MISMATCH: all are another model's.
 * MIEN_E_KEY, MIEN_E_SEAL, MIEN_E_RECORD: none can be opened. */
typedef enum mien_code mien_on_template(void *context, const struct mien_user *user, const struct mien_template *t, struct mien_err *e);
enum mien_code mien_gallery_templates(struct mien_gallery *g, const char *user_id, mien_on_template *call, void *context, struct mien_err *e) MIEN_MUST_CHECK;
/* Best similarity of a user's templates; fails as mien_gallery_templates. From memory when the user is searchable. */
enum mien_code mien_gallery_verify(struct mien_gallery *g, const char *user_id, const float *query, float *similarity, struct mien_err *e) MIEN_MUST_CHECK;
/* As the store's list and count. */
enum mien_code mien_gallery_list(struct mien_gallery *g, const char *after, int limit, mien_on_user *call, void *context, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_gallery_count(struct mien_gallery *g, uint64_t *users, uint64_t *records, struct mien_err *e) MIEN_MUST_CHECK;

/* Seals every record under the keyring's current key; with a key file a new key is made first and the old ones are forgotten once nothing needs them.
 * Enrolments and deletions go on meanwhile. *done counts the records. When it fails, both keys still open and it can be repeated. A
 * key file in front of a store that others share is MIEN_E_REQUEST: they would not have the new key. */
enum mien_code mien_gallery_rotate(struct mien_gallery *g, uint64_t *done, struct mien_err *e) MIEN_MUST_CHECK;

struct mien_gallery_state {
    struct mien_index_state index;
    uint64_t unreadable, other_model; /* records that were left out when loading */
    bool available;                   /* the store answers */
    const char *kind;                 /* of the store */
};
struct mien_gallery_state mien_gallery_state(struct mien_gallery *g);
const char *mien_gallery_model(const struct mien_gallery *g);
int mien_gallery_dim(const struct mien_gallery *g);

#endif
