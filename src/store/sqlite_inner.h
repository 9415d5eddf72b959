/* Between sqlite*.c: one connection with its prepared statements, and how a result of SQLite becomes an error of ours. ledger*.c opens its file so too. */
#ifndef MIEN_STORE_SQLITE_INNER_H
#define MIEN_STORE_SQLITE_INNER_H

#include <pthread.h>
#include <sqlite3.h>
#include "store/sqlite.h"

/* ---- schema ---- */

/* SQL that brings a file from version i to i + 1; each step is one transaction together with the new number in user_version. */
extern const char *const mien_sqlite_steps[];
extern const int mien_sqlite_version; /* how many there are */

/* Brings the file behind `db` to version `n`. MIEN_E_STORE_VERSION when it is beyond; MIEN_E_STORE when it is no gallery, or a step fails (then the file is
 * where the step before left it). */
enum mien_code mien_sqlite_migrate(sqlite3 *db, const char *const *step, int n, struct mien_err *e) MIEN_MUST_CHECK;
/* Whether the file is at version `n`: the same errors, and MIEN_E_STORE for an older one. Writes nothing. */
enum mien_code mien_sqlite_expect(sqlite3 *db, int n, struct mien_err *e) MIEN_MUST_CHECK;

/* ---- connections ---- */

enum mien_sqlite_statement {
    /* the writer's */
    BEGIN, COMMIT, FIND_USER, ADD_USER, REPLACE_USER, CHANGE_USER, REMOVE_USER, ADD_RECORD, REMOVE_RECORDS, RESEAL,
    /* the reader's */
    ALL_RECORDS, USER_RECORDS, LIST_USERS, COUNT, COUNT_USERS, PROBE,
    MIEN_SQLITE_STATEMENTS
};

struct mien_sqlite_connection {
    pthread_mutex_t lock; /* guards all of it */
    sqlite3 *db;          /* NULL: the writer of a store that was opened for reading only */
    sqlite3_stmt *statement[MIEN_SQLITE_STATEMENTS]; /* prepared on first use */
};

/* Stands between a connection and its file: sqlite_gaps.c. */
struct mien_sqlite_gaps {
    sqlite3_io_methods methods; /* first: what the file points to */
    int (*write)(sqlite3_file *file, const void *data, int n, sqlite3_int64 at);
    unsigned char page[65536];  /* guarded by the writer's lock */
};

struct mien_sqlite {
    struct mien_store store; /* first: the gallery's view */
    struct mien_sqlite_connection writer, reader;
    struct mien_sqlite_gaps gaps; /* of the writer's */
    int lock_fd;             /* holds the flock; -1 when there is none */
    bool traces;             /* of what was deleted may still be in the files; guarded by the writer's lock */
};

enum { MIEN_SQLITE_WAIT_MS = 2000 /* for a file that another process has locked */ };

/* Returns the code for a result of SQLite that is not SQLITE_OK, ROW or DONE; the message holds no data. */
enum mien_code mien_sqlite_fail(sqlite3 *db, int result, const char *file, int line, struct mien_err *e);
#define MIEN_SQLITE_FAIL(db, result, e) mien_sqlite_fail((db), (result), __FILE__, __LINE__, (e))

/* The three steps of opening. The lock is PATH.lock; `what` names in MIEN_E_STORE_LOCKED what another process has. *db is to be closed after a failure too. */
enum mien_code mien_sqlite_lock(const char *path, const char *what, int *fd, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_sqlite_make_file(const char *path, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_sqlite_connect(sqlite3 **db, const char *path, int how, const char *pragmas, struct mien_err *e) MIEN_MUST_CHECK;

/* A statement ready to be bound; NULL with *code set when it cannot be prepared. */
sqlite3_stmt *mien_sqlite_statement(struct mien_sqlite_connection *c, enum mien_sqlite_statement which, enum mien_code *code, struct mien_err *e);

/* ---- deleted bytes ---- */

#define MIEN_SQLITE_MOST_PAGES "33554431"
/* From now on the connection writes pages without what is left in their gaps. *g lives longer than the connection. */
enum mien_code mien_sqlite_watch_gaps(sqlite3 *db, struct mien_sqlite_gaps *g, struct mien_err *e) MIEN_MUST_CHECK;
void mien_sqlite_zero_gap(unsigned char *page, size_t n, bool first_page);

/* Clears the files of everything that is not in the tables, or notes that it is still to be done. The caller holds the writer's lock, outside a transaction. */
void mien_sqlite_clear_traces(struct mien_sqlite *q, int wait_ms);

/* ---- the store's functions ---- */

enum mien_code mien_sqlite_put(struct mien_store *s, const struct mien_put *puts, int n, struct mien_err *e);
enum mien_code mien_sqlite_remove(struct mien_store *s, const char *user_id, bool *existed, struct mien_err *e);
enum mien_code mien_sqlite_reseal(struct mien_store *s, const struct mien_reseal *reseals, int n, int *done, struct mien_err *e);
enum mien_code mien_sqlite_each_record(struct mien_store *s, mien_on_record *call, void *context, struct mien_err *e);
enum mien_code mien_sqlite_user_records(struct mien_store *s, const char *user_id, mien_on_record *call, void *context, struct mien_err *e);
enum mien_code mien_sqlite_list(struct mien_store *s, const char *after, int limit, mien_on_user *call, void *context, struct mien_err *e);
enum mien_code mien_sqlite_count(struct mien_store *s, uint64_t *users, uint64_t *records, struct mien_err *e);
bool mien_sqlite_alive(struct mien_store *s);

#endif
