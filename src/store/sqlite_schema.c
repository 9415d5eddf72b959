/* The schema of the SQLite store as a list of steps, and the walk along it.
 *
 * A user has a number, and records are kept by it: whoever enrols next goes to the end of both tables, so that a long import writes every page once, and the
 * records of all lie on the disk in the order in which the load reads them. Pages of 8 KiB (sqlite.c) keep a record of one template (1.1 KB) within a leaf; in
 * 4 KiB every one would spill over into a page of its own, as one with depth (2.2 KB) does here. Larger ones make the index of user ids dearer: a thousand
 * new ids touch about as many pages of it, wherever they are. `templates` is the count of a user's records, written in the transaction that changes them. */
#include "store/sqlite_inner.h"

#include <stdio.h>

enum { APPLICATION = 0x4d49454e /* "MIEN": application_id of our files */ };

const char *const mien_sqlite_steps[] = {
    "CREATE TABLE users ("
    " number INTEGER PRIMARY KEY,"
    " user_id TEXT NOT NULL UNIQUE,"
    " name TEXT NOT NULL,"
    " metadata TEXT NOT NULL,"
    " enrolled_at INTEGER NOT NULL,"
    " templates INTEGER NOT NULL) STRICT;"
    "CREATE TABLE records ("
    " user INTEGER NOT NULL REFERENCES users (number) ON DELETE CASCADE,"
    " id BLOB NOT NULL,"
    " model TEXT NOT NULL,"
    " made_at INTEGER NOT NULL,"
    " sealed BLOB NOT NULL,"
    " PRIMARY KEY (user, id)) STRICT, WITHOUT ROWID;"
};
const int mien_sqlite_version = sizeof mien_sqlite_steps / sizeof mien_sqlite_steps[0];

static enum mien_code number_of(sqlite3 *db, const char *sql, int *out, struct mien_err *e)
{
    sqlite3_stmt *s = NULL;
    int result = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    if (result == SQLITE_OK) result = sqlite3_step(s);
    *out = result == SQLITE_ROW ? sqlite3_column_int(s, 0) : 0;
    sqlite3_finalize(s);
    return result == SQLITE_ROW ? MIEN_OK : MIEN_SQLITE_FAIL(db, result, e);
}

/* *version 0: nothing is in the file yet. */
static enum mien_code look(sqlite3 *db, int newest, int *version, struct mien_err *e)
{
    int application, objects;
    MIEN_TRY(number_of(db, "PRAGMA user_version", version, e));
    MIEN_TRY(number_of(db, "PRAGMA application_id", &application, e));
    MIEN_TRY(number_of(db, "SELECT count(*) FROM sqlite_schema", &objects, e));
    const bool fresh = *version == 0 && application == 0 && objects == 0;
    MIEN_FAIL_IF(!fresh && application != APPLICATION, e, MIEN_E_STORE, "the file is a database, but no gallery");
    MIEN_FAIL_IF(*version > newest, e, MIEN_E_STORE_VERSION, "the gallery has version %d, made by a newer mien; this one knows %d", *version, newest);
    return MIEN_OK;
}

static enum mien_code take_step(sqlite3 *db, const char *sql, int version, struct mien_err *e)
{
    char mark[96];
    snprintf(mark, sizeof mark, "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT", APPLICATION, version);
    int result = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (result == SQLITE_OK) result = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (result == SQLITE_OK) result = sqlite3_exec(db, mark, NULL, NULL, NULL);
    if (result == SQLITE_OK) return MIEN_OK;
    const enum mien_code code = MIEN_SQLITE_FAIL(db, result, e);
    if (!sqlite3_get_autocommit(db)) sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return code;
}

enum mien_code mien_sqlite_migrate(sqlite3 *db, const char *const *step, int n, struct mien_err *e)
{
    int version;
    MIEN_TRY(look(db, n, &version, e));
    for (; version < n; version++) MIEN_TRY(take_step(db, step[version], version + 1, e));
    return MIEN_OK;
}

enum mien_code mien_sqlite_expect(sqlite3 *db, int n, struct mien_err *e)
{
    int version;
    MIEN_TRY(look(db, n, &version, e));
    MIEN_FAIL_IF(version < n, e, MIEN_E_STORE, version == 0 ? "the gallery is empty: nothing was written to it yet"
                                                            : "the gallery is of an older version: open it once for writing");
    return MIEN_OK;
}
