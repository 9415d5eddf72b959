/* What the gallery needs of a store. Implemented by room store (sqlite.c, redis.c) and, for tests, by anyone.
 *
 * All functions are thread-safe. MIEN_E_STORE: the store cannot do it now (disk full, file locked, connection lost); then nothing of the call was done, and an
 * OK means that it survives the end of the process and of the machine as far as the store promises that (docs/gallery.md). Texts and bytes that a callback
 * gets are valid during the call only; a callback that returns a failure ends the walk with it. */
#ifndef MIEN_GALLERY_STORE_H
#define MIEN_GALLERY_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "crypto/seal.h"

enum { MIEN_USER_ID = 128, MIEN_USER_NAME = 256, MIEN_USER_METADATA = 16384, MIEN_MODEL_ID = 63, /* bytes without the NUL */
    MIEN_USER_TEMPLATES = 50 /* a user's, at most */ };

/* 1..MIEN_USER_ID bytes of UTF-8 without control characters. */
bool mien_user_id_valid(const char *user_id);

struct mien_user {
    const char *user_id, *name; /* name "" when none was given */
    const char *metadata;       /* a JSON object as text; "{}" when none was given */
    int64_t enrolled_at;        /* milliseconds since 1970 UTC: the first enrolment, or the last that replaced */
    int templates;              /* only out of the store */
};

/* One sealed template. */
struct mien_record {
    uint8_t id[MIEN_RECORD_ID]; /* random; never used twice */
    const char *user_id, *model;
    int64_t made_at;            /* milliseconds since 1970 UTC */
    const uint8_t *sealed;
    size_t sealed_n;
};

/* One user's part of a write. */
struct mien_put {
    struct mien_user user;
    bool append;                /* keep the user's records, name, metadata and enrolled_at (name and metadata replace when they are not NULL); else all of the
                                 * user is replaced. A user that does not exist is made in both cases. MIEN_E_LIMIT when it would have more than
                                 * MIEN_USER_TEMPLATES. */
    const struct mien_record *record;
    int n_records;              /* at least 1 */
};

/* A record that is to be sealed anew. */
struct mien_reseal { struct mien_record record; /* id, user_id; the new sealed bytes */ const uint8_t *old; size_t old_n; };

typedef enum mien_code mien_on_user(void *context, const struct mien_user *user, struct mien_err *e);
typedef enum mien_code mien_on_record(void *context, const struct mien_user *user, const struct mien_record *record, struct mien_err *e);
/* A change by another process. `user_id` NULL: anything may have changed (load all anew). Called on the store's own thread; false: it could not be taken up,
 * tell it again later. */
typedef bool mien_on_change(void *context, const char *user_id);

struct mien_store {
    const char *kind; /* "sqlite", "redis" */
    /* All puts or none, on disk when it returns. */
    enum mien_code (*put)(struct mien_store *s, const struct mien_put *puts, int n, struct mien_err *e);
    /* *existed: whether there was such a user. The bytes are gone from the store's files when it returns. */
    enum mien_code (*remove)(struct mien_store *s, const char *user_id, bool *existed, struct mien_err *e);
    /* Replaces sealed bytes of those records that still hold `old`; the others are left. *done counts the replaced. */
    enum mien_code (*reseal)(struct mien_store *s, const struct mien_reseal *reseals, int n, int *done, struct mien_err *e);
    /* Every record, all of one user together, users in any order. `user->templates` and metadata may be unset here. */
    enum mien_code (*each_record)(struct mien_store *s, mien_on_record *call, void *context, struct mien_err *e);
    /* The records of one user; no call when there is none. */
    enum mien_code (*user_records)(struct mien_store *s, const char *user_id, mien_on_record *call, void *context, struct mien_err *e);
    /* At most `limit` users after `after` ("" = from the start) by rising user_id (bytes). */
    enum mien_code (*list)(struct mien_store *s, const char *after, int limit, mien_on_user *call, void *context, struct mien_err *e);
    /* `records` may be NULL: users alone are counted quicker. */
    enum mien_code (*count)(struct mien_store *s, uint64_t *users, uint64_t *records, struct mien_err *e);
    /* Begins to report changes by others since the store was opened. NULL: there are no others. Called once. */
    enum mien_code (*follow)(struct mien_store *s, mien_on_change *call, void *context, struct mien_err *e);
    /* Whether it answers. */
    bool (*alive)(struct mien_store *s);
    void (*close)(struct mien_store *s); /* frees it */
};

#endif
