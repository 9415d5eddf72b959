/* The ledger's file: opening, what a step of a session writes, purging.
 *
 * One connection under a lock. The file has a WAL, so that `mien audit` can read beside the server; its traps are those of the gallery's file (sqlite.c), and
 * so are the answers: one process writes (lock file), it alone checkpoints, and after a purge the WAL is cut off and the gaps of pages are zeroed. */
#include "store/ledger_inner.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"

enum { APPLICATION = 0x4d49454c /* "MIEL": application_id of our files */, VERSION = 1 };

static const char SCHEMA[] =
    "CREATE TABLE sessions (session_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, client TEXT NOT NULL, status TEXT NOT NULL, created_ms INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE verification_results (id INTEGER PRIMARY KEY, session_id TEXT NOT NULL, user_id TEXT NOT NULL, passed INTEGER NOT NULL,"
    " liveness REAL NOT NULL, emotion REAL NOT NULL, deepfake REAL NOT NULL, final REAL NOT NULL, at_ms INTEGER NOT NULL, reason TEXT NOT NULL) STRICT;"
    "CREATE TABLE tokens (jti TEXT PRIMARY KEY, session_id TEXT NOT NULL, user_id TEXT NOT NULL, issued_ms INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE nonces (nonce_hash TEXT PRIMARY KEY, session_id TEXT NOT NULL, challenge_id TEXT NOT NULL, issued_ms INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE audit_logs (seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, event TEXT NOT NULL, session_id TEXT NOT NULL, user_id TEXT NOT NULL,"
    " client TEXT NOT NULL, details TEXT NOT NULL, hash TEXT NOT NULL) STRICT;"
    "CREATE TABLE audit_chain (id INTEGER PRIMARY KEY CHECK (id = 1), anchor_seq INTEGER NOT NULL, anchor TEXT NOT NULL, head_seq INTEGER NOT NULL,"
    " head TEXT NOT NULL) STRICT;"
    "INSERT INTO audit_chain VALUES (1, 0, '" MIEN_NO_HASH "', 0, '" MIEN_NO_HASH "');";

/* ---- statements ---- */

sqlite3_stmt *mien_ledger_prepare(struct mien_ledger *l, const char *sql, enum mien_code *code, struct mien_err *e)
{
    sqlite3_stmt *s = NULL;
    const int result = sqlite3_prepare_v2(l->db, sql, -1, &s, NULL);
    *code = result == SQLITE_OK ? MIEN_OK : MIEN_SQLITE_FAIL(l->db, result, e);
    return s;
}

enum mien_code mien_ledger_run(struct mien_ledger *l, sqlite3_stmt *s, struct mien_err *e)
{
    const int result = sqlite3_step(s);
    const enum mien_code code = result == SQLITE_DONE ? MIEN_OK : MIEN_SQLITE_FAIL(l->db, result, e);
    sqlite3_finalize(s);
    return code;
}

static enum mien_code run_plain(struct mien_ledger *l, const char *sql, struct mien_err *e)
{
    const int result = sqlite3_exec(l->db, sql, NULL, NULL, NULL);
    return result == SQLITE_OK ? MIEN_OK : MIEN_SQLITE_FAIL(l->db, result, e);
}

/* One value for each letter of `kinds`: t a text (NULL: ""), i an int64_t, d a double. */
static enum mien_code run_with(struct mien_ledger *l, const char *sql, struct mien_err *e, const char *kinds, ...)
{
    enum mien_code code;
    va_list ap;
    sqlite3_stmt *s = mien_ledger_prepare(l, sql, &code, e);
    MIEN_TRY(code);
    va_start(ap, kinds);
    for (int i = 0; kinds[i] != '\0'; i++) {
        const char *text;
        if (kinds[i] == 'i') sqlite3_bind_int64(s, i + 1, va_arg(ap, int64_t));
        else if (kinds[i] == 'd') sqlite3_bind_double(s, i + 1, va_arg(ap, double));
        else sqlite3_bind_text(s, i + 1, (text = va_arg(ap, const char *)) != NULL ? text : "", -1, SQLITE_STATIC);
    }
    va_end(ap);
    return mien_ledger_run(l, s, e);
}

/* ---- opening ---- */

static enum mien_code number_of(struct mien_ledger *l, const char *sql, int64_t *out, struct mien_err *e)
{
    enum mien_code code;
    sqlite3_stmt *s = mien_ledger_prepare(l, sql, &code, e);
    MIEN_TRY(code);
    const int result = sqlite3_step(s);
    *out = result == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    if (result != SQLITE_ROW) code = MIEN_SQLITE_FAIL(l->db, result, e);
    sqlite3_finalize(s);
    return code;
}

static enum mien_code need_schema(struct mien_ledger *l, struct mien_err *e)
{
    int64_t version, application, objects;
    char mark[96];
    MIEN_TRY(number_of(l, "PRAGMA user_version", &version, e));
    MIEN_TRY(number_of(l, "PRAGMA application_id", &application, e));
    MIEN_TRY(number_of(l, "SELECT count(*) FROM sqlite_schema", &objects, e));
    const bool fresh = version == 0 && application == 0 && objects == 0;
    MIEN_FAIL_IF(!fresh && application != APPLICATION, e, MIEN_E_STORE, "the file is a database, but no ledger");
    MIEN_FAIL_IF(version > VERSION, e, MIEN_E_STORE_VERSION, "the ledger has version %d, made by a newer mien; this one knows %d", (int)version, VERSION);
    if (!fresh) return MIEN_OK;
    MIEN_FAIL_IF(l->read_only, e, MIEN_E_STORE, "the ledger is empty: nothing was written to it yet");
    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT", APPLICATION, VERSION);
    MIEN_TRY(run_plain(l, "BEGIN IMMEDIATE", e));
    MIEN_TRY(run_plain(l, SCHEMA, e));
    return run_plain(l, mark, e);
}

static void clear_traces(struct mien_ledger *l)
{
    const int result = sqlite3_wal_checkpoint_v2(l->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_db_release_memory(l->db);
    if (result != SQLITE_OK) mien_log(MIEN_LOG_WARN, "ledger_traces", "result=%d why=\"purged bytes stay in the files until the next purge\"", result);
}

static enum mien_code open_for_writing(struct mien_ledger *l, const char *path, struct mien_err *e)
{
    static const char PRAGMAS[] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;"
                                  "PRAGMA max_page_count = " MIEN_SQLITE_MOST_PAGES;
    MIEN_TRY(mien_sqlite_lock(path, "the ledger", &l->lock_fd, e));
    MIEN_TRY(mien_sqlite_make_file(path, e));
    MIEN_TRY(mien_sqlite_connect(&l->db, path, SQLITE_OPEN_READWRITE, PRAGMAS, e));
    MIEN_TRY(mien_sqlite_watch_gaps(l->db, &l->gaps, e));
    return need_schema(l, e);
}

static enum mien_code open_for_reading(struct mien_ledger *l, const char *path, struct mien_err *e)
{
    MIEN_TRY(mien_sqlite_connect(&l->db, path, SQLITE_OPEN_READONLY, "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0", e));
    return need_schema(l, e);
}

enum mien_code mien_ledger_open(const char *path, bool read_only, struct mien_ledger **out, struct mien_err *e)
{
    *out = NULL;
    MIEN_FAIL_IF(read_only && access(path, F_OK) != 0, e, MIEN_E_STORE, "there is no ledger: no session was begun here yet");
    struct mien_ledger *l = calloc(1, sizeof *l);
    MIEN_FAIL_IF(l == NULL, e, MIEN_E_NOMEM, "no memory for the ledger");
    l->lock_fd = -1;
    l->read_only = read_only;
    pthread_mutex_init(&l->lock, NULL);
    const enum mien_code code = read_only ? open_for_reading(l, path, e) : open_for_writing(l, path, e);
    if (code != MIEN_OK) mien_ledger_close(&l);
    *out = l;
    return code;
}

void mien_ledger_close(struct mien_ledger **l)
{
    if (*l == NULL) return;
    sqlite3_close((*l)->db);
    if ((*l)->lock_fd >= 0) close((*l)->lock_fd);
    pthread_mutex_destroy(&(*l)->lock);
    free(*l);
    *l = NULL;
}

/* ---- writing ---- */

static enum mien_code begin(struct mien_ledger *l, struct mien_err *e)
{
    MIEN_FAIL_IF(l->read_only, e, MIEN_E_STORE, "the ledger was opened for reading only");
    return run_plain(l, "BEGIN IMMEDIATE", e);
}

static enum mien_code finish(struct mien_ledger *l, enum mien_code code, struct mien_err *e)
{
    if (code == MIEN_OK) code = run_plain(l, "COMMIT", e);
    if (code != MIEN_OK && !sqlite3_get_autocommit(l->db)) sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
    return code;
}

static enum mien_code write_session(struct mien_ledger *l, const struct mien_ledger_session *s, struct mien_err *e)
{
    return run_with(l, "INSERT OR REPLACE INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", e, "ttttiii", s->session_id, s->user_id, s->client, s->status,
                    s->created_ms, s->expires_ms, s->ended_ms);
}

static enum mien_code write_result(struct mien_ledger *l, const struct mien_ledger_result *r, struct mien_err *e)
{
    return run_with(l, "INSERT INTO verification_results VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)", e, "ttiddddit", r->session_id, r->user_id,
                    (int64_t)r->passed, r->liveness, r->emotion, r->deepfake, r->final, r->at_ms, r->reason);
}

static enum mien_code write_token(struct mien_ledger *l, const struct mien_ledger_token *t, struct mien_err *e)
{
    return run_with(l, "INSERT INTO tokens VALUES (?1, ?2, ?3, ?4, ?5)", e, "tttii", t->jti, t->session_id, t->user_id, t->issued_ms, t->expires_ms);
}

static enum mien_code write_nonce(struct mien_ledger *l, const struct mien_ledger_nonce *n, struct mien_err *e)
{
    return run_with(l, "INSERT OR REPLACE INTO nonces VALUES (?1, ?2, ?3, ?4, ?5, ?6)", e, "tttiii", n->nonce_hash, n->session_id, n->challenge_id,
                    n->issued_ms, n->expires_ms, n->used_ms);
}

static enum mien_code write_rows(struct mien_ledger *l, const struct mien_audit_row *row, int n, struct mien_err *e)
{
    struct mien_chain chain;
    if (n == 0) return MIEN_OK;
    MIEN_TRY(mien_chain_read(l, &chain, e));
    for (int i = 0; i < n; i++) MIEN_TRY(mien_chain_add(l, &chain, &row[i], e));
    return mien_chain_write(l, &chain, e);
}

enum mien_code mien_ledger_write(struct mien_ledger *l, const struct mien_ledger_step *step, struct mien_err *e)
{
    pthread_mutex_lock(&l->lock);
    enum mien_code code = begin(l, e);
    if (code == MIEN_OK && step->session != NULL) code = write_session(l, step->session, e);
    if (code == MIEN_OK && step->result != NULL) code = write_result(l, step->result, e);
    if (code == MIEN_OK && step->token != NULL) code = write_token(l, step->token, e);
    if (code == MIEN_OK && step->nonce != NULL) code = write_nonce(l, step->nonce, e);
    if (code == MIEN_OK) code = write_rows(l, step->row, step->n_rows, e);
    code = finish(l, code, e);
    pthread_mutex_unlock(&l->lock);
    return code;
}

/* ---- purging ---- */

static enum mien_code remove_where(struct mien_ledger *l, const char *sql, int64_t a, int64_t b, int64_t *removed, struct mien_err *e)
{
    MIEN_TRY(run_with(l, sql, e, "ii", a, b));
    *removed += sqlite3_changes64(l->db);
    return MIEN_OK;
}

/* The last row of the log that goes: all before the first that is young enough, so that what is left is one piece. Its hash becomes the beginning. */
static enum mien_code move_anchor(struct mien_ledger *l, struct mien_chain *chain, int64_t before_ms, struct mien_err *e)
{
    enum mien_code code;
    sqlite3_stmt *s = mien_ledger_prepare(l, "SELECT seq, hash FROM audit_logs WHERE seq < ifnull((SELECT min(seq) FROM audit_logs WHERE at_ms >= ?1), ?2)"
                                             " ORDER BY seq DESC LIMIT 1", &code, e);
    MIEN_TRY(code);
    sqlite3_bind_int64(s, 1, before_ms);
    sqlite3_bind_int64(s, 2, INT64_MAX);
    const int result = sqlite3_step(s);
    if (result == SQLITE_ROW) {
        chain->anchor_seq = sqlite3_column_int64(s, 0);
        snprintf(chain->anchor, sizeof chain->anchor, "%s", (const char *)sqlite3_column_text(s, 1));
    } else if (result != SQLITE_DONE) {
        code = MIEN_SQLITE_FAIL(l->db, result, e);
    }
    sqlite3_finalize(s);
    return code;
}

static enum mien_code note(struct mien_ledger *l, struct mien_chain *chain, enum mien_audit_event event, int64_t now_ms, const char *details,
                           struct mien_err *e)
{
    return mien_chain_add(l, chain, &(struct mien_audit_row){.at_ms = now_ms, .event = event, .details = details}, e);
}

/* A purge's row names the chain's new beginning, so that a beginning that somebody else has moved is seen. */
static enum mien_code purge_rows(struct mien_ledger *l, struct mien_chain *chain, int64_t now_ms, int64_t before_ms, int64_t *removed, struct mien_err *e)
{
    char anchor[128], details[256];
    int64_t rows = 0, others = 0;
    MIEN_TRY(move_anchor(l, chain, before_ms, e));
    MIEN_TRY(remove_where(l, "DELETE FROM audit_logs WHERE seq <= ?1 AND ?2 = ?2", chain->anchor_seq, 0, &rows, e));
    MIEN_TRY(remove_where(l, "DELETE FROM sessions WHERE created_ms < ?1 AND expires_ms < ?2", before_ms, now_ms, &others, e));
    MIEN_TRY(remove_where(l, "DELETE FROM verification_results WHERE at_ms < ?1 AND ?2 = ?2", before_ms, 0, &others, e));
    MIEN_TRY(remove_where(l, "DELETE FROM tokens WHERE issued_ms < ?1 AND expires_ms < ?2", before_ms, now_ms, &others, e));
    *removed += rows + others;
    if (rows + others == 0) return MIEN_OK;
    mien_chain_anchor_text(chain, anchor);
    snprintf(details, sizeof details, "{%s,\"rows\":%lld,\"others\":%lld}", anchor, (long long)rows, (long long)others);
    return note(l, chain, MIEN_AUDIT_LOG_PURGE, now_ms, details, e);
}

static enum mien_code purge_nonces(struct mien_ledger *l, struct mien_chain *chain, int64_t now_ms, int64_t *removed, struct mien_err *e)
{
    char details[64];
    int64_t nonces = 0;
    MIEN_TRY(remove_where(l, "DELETE FROM nonces WHERE expires_ms < ?1 AND ?2 = ?2", now_ms, 0, &nonces, e));
    *removed += nonces;
    if (nonces == 0) return MIEN_OK;
    snprintf(details, sizeof details, "{\"nonces\":%lld}", (long long)nonces);
    return note(l, chain, MIEN_AUDIT_NONCE_PURGE, now_ms, details, e);
}

enum mien_code mien_ledger_purge(struct mien_ledger *l, int64_t now_ms, int64_t keep_ms, int64_t *removed, struct mien_err *e)
{
    struct mien_chain chain;
    *removed = 0;
    pthread_mutex_lock(&l->lock);
    enum mien_code code = begin(l, e);
    if (code == MIEN_OK) code = mien_chain_read(l, &chain, e);
    if (code == MIEN_OK) code = purge_rows(l, &chain, now_ms, now_ms - keep_ms, removed, e);
    if (code == MIEN_OK) code = purge_nonces(l, &chain, now_ms, removed, e);
    if (code == MIEN_OK) code = mien_chain_write(l, &chain, e);
    code = finish(l, code, e);
    if (code == MIEN_OK && *removed > 0) clear_traces(l);
    if (code != MIEN_OK) *removed = 0;
    pthread_mutex_unlock(&l->lock);
    return code;
}
