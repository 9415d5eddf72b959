/* Writing to the SQLite store: every call is one transaction, and what it deleted or replaced is gone from the files afterwards.
 *
 * secure_delete writes zeros over deleted bytes, but first in the WAL file only, whose older frames still hold them, as the database file does. So a call that
 * deletes checkpoints and cuts the WAL file off at once. Another process that reads just then (a backup) holds that up. A removal, whose caller is told that
 * the bytes are gone, is refused for so long as this lasts, with nothing done; a replacement is not, and its traces go with the next write. */
#include "store/sqlite_inner.h"

#include <string.h>
#include "base/log.h"

enum { SHORT_WAIT_MS = 200 /* for readers that hold up a checkpoint that can be made up for */ };

static struct mien_sqlite *of(struct mien_store *s) { return (struct mien_sqlite *)s; }

/* ---- transactions ---- */

static enum mien_code run(struct mien_sqlite_connection *c, sqlite3_stmt *s, struct mien_err *e)
{
    const int result = sqlite3_step(s);
    const enum mien_code code = result == SQLITE_DONE ? MIEN_OK : MIEN_SQLITE_FAIL(c->db, result, e);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return code;
}

static enum mien_code run_plain(struct mien_sqlite_connection *c, enum mien_sqlite_statement which, struct mien_err *e)
{
    enum mien_code code;
    sqlite3_stmt *s = mien_sqlite_statement(c, which, &code, e);
    return code == MIEN_OK ? run(c, s, e) : code;
}

/* Ends a transaction the one way or the other. */
static enum mien_code finish(struct mien_sqlite_connection *c, enum mien_code code, struct mien_err *e)
{
    if (code == MIEN_OK) code = run_plain(c, COMMIT, e);
    if (code != MIEN_OK && c->db != NULL && !sqlite3_get_autocommit(c->db)) sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    return code;
}

/* Brings the WAL into the file and empties it: what is not in the tables is then in no file. */
static int checkpoint(struct mien_sqlite_connection *c, int wait_ms)
{
    sqlite3_busy_timeout(c->db, wait_ms);
    const int result = sqlite3_wal_checkpoint_v2(c->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_busy_timeout(c->db, MIEN_SQLITE_WAIT_MS);
    return result;
}

/* No wait when a wait has been in vain before. The pages in memory go too: unlike those on the disk they have old bytes in their gaps (sqlite_gaps.c), and
 * would bring them into the WAL again. */
void mien_sqlite_clear_traces(struct mien_sqlite *q, int wait_ms)
{
    const int result = checkpoint(&q->writer, q->traces ? 0 : wait_ms);
    sqlite3_db_release_memory(q->writer.db);
    if (result != SQLITE_OK && !q->traces)
        mien_log(MIEN_LOG_WARN, "gallery_traces", "result=%d why=\"deleted bytes stay in the database's files until the next write: %s\"", result,
                 sqlite3_errstr(result));
    q->traces = result != SQLITE_OK;
}

/* ---- put ---- */

struct known_user { sqlite3_int64 number; int templates; bool exists; };

static enum mien_code find_user(struct mien_sqlite_connection *c, const char *user_id, struct known_user *out, struct mien_err *e)
{
    enum mien_code code;
    sqlite3_stmt *s = mien_sqlite_statement(c, FIND_USER, &code, e);
    MIEN_TRY(code);
    *out = (struct known_user){0};
    sqlite3_bind_text(s, 1, user_id, -1, SQLITE_STATIC);
    const int result = sqlite3_step(s);
    if (result == SQLITE_ROW) *out = (struct known_user){sqlite3_column_int64(s, 0), sqlite3_column_int(s, 1), true};
    else if (result != SQLITE_DONE) code = MIEN_SQLITE_FAIL(c->db, result, e);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return code;
}

static enum mien_code write_user(struct mien_sqlite_connection *c, const struct mien_put *put, struct known_user *known, int templates, struct mien_err *e)
{
    enum mien_code code;
    const struct mien_user *u = &put->user;
    sqlite3_stmt *s = mien_sqlite_statement(c, !known->exists ? ADD_USER : put->append ? CHANGE_USER : REPLACE_USER, &code, e);
    MIEN_TRY(code);
    if (known->exists) sqlite3_bind_int64(s, 1, known->number);
    else sqlite3_bind_text(s, 1, u->user_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, u->name, -1, SQLITE_STATIC); /* NULL binds as NULL */
    sqlite3_bind_text(s, 3, u->metadata, -1, SQLITE_STATIC);
    if (!known->exists || !put->append) sqlite3_bind_int64(s, 4, u->enrolled_at);
    sqlite3_bind_int(s, 5, templates);
    MIEN_TRY(run(c, s, e));
    if (!known->exists) known->number = sqlite3_last_insert_rowid(c->db);
    return MIEN_OK;
}

static enum mien_code write_record(struct mien_sqlite_connection *c, sqlite3_int64 user, const struct mien_record *r, struct mien_err *e)
{
    enum mien_code code;
    sqlite3_stmt *s = mien_sqlite_statement(c, ADD_RECORD, &code, e);
    MIEN_TRY(code);
    sqlite3_bind_int64(s, 1, user);
    sqlite3_bind_blob(s, 2, r->id, MIEN_RECORD_ID, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, r->model, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 4, r->made_at);
    sqlite3_bind_blob64(s, 5, r->sealed, r->sealed_n, SQLITE_STATIC);
    return run(c, s, e);
}

static enum mien_code remove_records(struct mien_sqlite_connection *c, sqlite3_int64 user, struct mien_err *e)
{
    enum mien_code code;
    sqlite3_stmt *s = mien_sqlite_statement(c, REMOVE_RECORDS, &code, e);
    MIEN_TRY(code);
    sqlite3_bind_int64(s, 1, user);
    return run(c, s, e);
}

/* *deletes is set when something is replaced. */
static enum mien_code put_one(struct mien_sqlite_connection *c, const struct mien_put *put, bool *deletes, struct mien_err *e)
{
    struct known_user known;
    MIEN_FAIL_IF(put->n_records < 1, e, MIEN_E_ARG, "a user is enrolled with at least one template");
    MIEN_TRY(find_user(c, put->user.user_id, &known, e));
    const bool replaces = known.exists && !put->append;
    const int kept = known.exists && put->append ? known.templates : 0;
    MIEN_FAIL_IF(put->n_records > MIEN_USER_TEMPLATES - kept, e, MIEN_E_LIMIT, "a user has at most %d templates", MIEN_USER_TEMPLATES);
    if (replaces) MIEN_TRY(remove_records(c, known.number, e));
    *deletes |= replaces;
    MIEN_TRY(write_user(c, put, &known, kept + put->n_records, e));
    for (int i = 0; i < put->n_records; i++) MIEN_TRY(write_record(c, known.number, &put->record[i], e));
    return MIEN_OK;
}

enum mien_code mien_sqlite_put(struct mien_store *s, const struct mien_put *puts, int n, struct mien_err *e)
{
    struct mien_sqlite *q = of(s);
    struct mien_sqlite_connection *c = &q->writer;
    bool deletes = false;
    pthread_mutex_lock(&c->lock);
    enum mien_code code = run_plain(c, BEGIN, e);
    for (int i = 0; code == MIEN_OK && i < n; i++) code = put_one(c, &puts[i], &deletes, e);
    code = finish(c, code, e);
    if (code == MIEN_OK && (deletes || q->traces)) mien_sqlite_clear_traces(q, SHORT_WAIT_MS);
    pthread_mutex_unlock(&c->lock);
    return code;
}

/* ---- remove ---- */

static enum mien_code delete_user(struct mien_sqlite_connection *c, const char *user_id, bool *existed, struct mien_err *e)
{
    enum mien_code code;
    sqlite3_stmt *s = mien_sqlite_statement(c, REMOVE_USER, &code, e);
    MIEN_TRY(code);
    sqlite3_bind_text(s, 1, user_id, -1, SQLITE_STATIC);
    MIEN_TRY(run(c, s, e));
    *existed = sqlite3_changes(c->db) > 0;
    return MIEN_OK;
}

/* Whether the files can be cleared of deleted bytes now. */
static enum mien_code can_clear(struct mien_sqlite *q, struct mien_err *e)
{
    const int result = q->writer.db != NULL ? checkpoint(&q->writer, MIEN_SQLITE_WAIT_MS) : SQLITE_READONLY;
    if (result == SQLITE_BUSY) return MIEN_FAIL(e, MIEN_E_STORE, "another process reads the gallery's database: nothing can be removed from it now");
    return result == SQLITE_OK ? MIEN_OK : MIEN_SQLITE_FAIL(q->writer.db, result, e);
}

enum mien_code mien_sqlite_remove(struct mien_store *s, const char *user_id, bool *existed, struct mien_err *e)
{
    struct mien_sqlite *q = of(s);
    struct mien_sqlite_connection *c = &q->writer;
    *existed = false;
    pthread_mutex_lock(&c->lock);
    enum mien_code code = can_clear(q, e);
    if (code == MIEN_OK) {
        code = run_plain(c, BEGIN, e);
        if (code == MIEN_OK) code = delete_user(c, user_id, existed, e);
        code = finish(c, code, e);
    }
    if (code != MIEN_OK) *existed = false;
    if (code == MIEN_OK && (*existed || q->traces)) mien_sqlite_clear_traces(q, MIEN_SQLITE_WAIT_MS);
    pthread_mutex_unlock(&c->lock);
    return code;
}

/* ---- reseal ---- */

static enum mien_code reseal_one(struct mien_sqlite_connection *c, const struct mien_reseal *r, int *done, struct mien_err *e)
{
    enum mien_code code;
    sqlite3_stmt *s = mien_sqlite_statement(c, RESEAL, &code, e);
    MIEN_TRY(code);
    sqlite3_bind_text(s, 1, r->record.user_id, -1, SQLITE_STATIC);
    sqlite3_bind_blob(s, 2, r->record.id, MIEN_RECORD_ID, SQLITE_STATIC);
    sqlite3_bind_blob64(s, 3, r->record.sealed, r->record.sealed_n, SQLITE_STATIC);
    sqlite3_bind_blob64(s, 4, r->old, r->old_n, SQLITE_STATIC);
    MIEN_TRY(run(c, s, e));
    *done += sqlite3_changes(c->db);
    return MIEN_OK;
}

enum mien_code mien_sqlite_reseal(struct mien_store *s, const struct mien_reseal *reseals, int n, int *done, struct mien_err *e)
{
    struct mien_sqlite *q = of(s);
    struct mien_sqlite_connection *c = &q->writer;
    int replaced = 0;
    *done = 0;
    pthread_mutex_lock(&c->lock);
    enum mien_code code = run_plain(c, BEGIN, e);
    for (int i = 0; code == MIEN_OK && i < n; i++) code = reseal_one(c, &reseals[i], &replaced, e);
    code = finish(c, code, e);
    if (code == MIEN_OK) *done = replaced;
    if (code == MIEN_OK && (replaced > 0 || q->traces)) mien_sqlite_clear_traces(q, SHORT_WAIT_MS);
    pthread_mutex_unlock(&c->lock);
    return code;
}
