/* The SQLite store: opening, closing, and what its two connections share.
 *
 * One connection writes and checkpoints, the other reads in short transactions. SQLite before 3.51.3 can corrupt a WAL file when two connections write or
 * checkpoint at once; with one writer in one process (the lock file) that cannot happen. Both are used under their locks, never the one inside the other. */
#include "store/sqlite_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum {
    LONGEST_VALUE = 1 << 20,  /* bytes of a row: what is longer is not ours */
    PAGE = 8192,              /* sqlite_schema.c says why */
    WRITER_CACHE_KIB = 65536, /* at most: the index of a million user ids fits */
    WAL_PAGES = 4096,         /* before a checkpoint: pages that change often are then brought into the file less often */
    WAL_KEPT = WAL_PAGES * PAGE /* bytes of a WAL file that stay allocated after a checkpoint */
};

/* Users and records by the columns that sqlite_read.c expects. */
#define USER "u.number, u.user_id, u.name, u.metadata, u.enrolled_at, u.templates"
static const char *const SQL[MIEN_SQLITE_STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [FIND_USER] = "SELECT number, templates FROM users WHERE user_id = ?1",
    [ADD_USER] = "INSERT INTO users (user_id, name, metadata, enrolled_at, templates) VALUES (?1, ifnull(?2, ''), ifnull(?3, '{}'), ?4, ?5)",
    [REPLACE_USER] = "UPDATE users SET name = ifnull(?2, ''), metadata = ifnull(?3, '{}'), enrolled_at = ?4, templates = ?5 WHERE number = ?1",
    [CHANGE_USER] = "UPDATE users SET name = ifnull(?2, name), metadata = ifnull(?3, metadata), templates = ?5 WHERE number = ?1",
    [REMOVE_USER] = "DELETE FROM users WHERE user_id = ?1",
    [ADD_RECORD] = "INSERT INTO records (user, id, model, made_at, sealed) VALUES (?1, ?2, ?3, ?4, ?5)",
    [REMOVE_RECORDS] = "DELETE FROM records WHERE user = ?1",
    [RESEAL] = "UPDATE records SET sealed = ?3 WHERE user = (SELECT number FROM users WHERE user_id = ?1) AND id = ?2 AND sealed = ?4",
    [ALL_RECORDS] = "SELECT " USER ", r.id, r.model, r.made_at, r.sealed FROM users u CROSS JOIN records r ON r.user = u.number WHERE u.number > ?1"
                    " ORDER BY u.number",
    [USER_RECORDS] = "SELECT " USER ", r.id, r.model, r.made_at, r.sealed FROM users u CROSS JOIN records r ON r.user = u.number WHERE u.user_id = ?1",
    [LIST_USERS] = "SELECT " USER " FROM users u WHERE u.user_id > ?1 ORDER BY u.user_id LIMIT ?2",
    [COUNT] = "SELECT count(*), ifnull(sum(templates), 0) FROM users",
    [COUNT_USERS] = "SELECT count(*) FROM users", /* by the index of user ids: 5 ms for a million, where the sum takes 70 */
    [PROBE] = "SELECT number FROM users LIMIT 1",
};

enum mien_code mien_sqlite_fail(sqlite3 *db, int result, const char *file, int line, struct mien_err *e)
{
    if ((result & 0xff) == SQLITE_NOMEM) return mien_err_set(e, MIEN_E_NOMEM, file, line, "no memory for the database");
    const int system = (result & 0xff) == SQLITE_IOERR || (result & 0xff) == SQLITE_CANTOPEN ? sqlite3_system_errno(db) : 0;
    return mien_err_set(e, MIEN_E_STORE, file, line, "the database: %s (%d)%s%s", sqlite3_errstr(result), result, system != 0 ? ": " : "",
                        system != 0 ? strerror(system) : "");
}

sqlite3_stmt *mien_sqlite_statement(struct mien_sqlite_connection *c, enum mien_sqlite_statement which, enum mien_code *code, struct mien_err *e)
{
    sqlite3_stmt **s = &c->statement[which];
    *code = MIEN_OK;
    if (c->db == NULL) {
        *code = MIEN_FAIL(e, MIEN_E_STORE, "the gallery was opened for reading only");
    } else if (*s == NULL) {
        const int result = sqlite3_prepare_v3(c->db, SQL[which], -1, SQLITE_PREPARE_PERSISTENT, s, NULL);
        if (result != SQLITE_OK) *code = MIEN_SQLITE_FAIL(c->db, result, e);
    }
    return *s;
}

/* ---- opening ---- */

enum mien_code mien_sqlite_lock(const char *path, const char *what, int *fd, struct mien_err *e)
{
    char name[4096];
    const int n = snprintf(name, sizeof name, "%s.lock", path);
    MIEN_FAIL_IF(n < 0 || (size_t)n >= sizeof name, e, MIEN_E_ARG, "path too long");
    *fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    MIEN_FAIL_IF(*fd < 0, e, MIEN_E_STORE, "%s: %s", name, strerror(errno));
    int taken;
    while ((taken = flock(*fd, LOCK_EX | LOCK_NB)) != 0 && errno == EINTR) continue;
    if (taken == 0) return MIEN_OK;
    if (errno == EWOULDBLOCK) return MIEN_FAIL(e, MIEN_E_STORE_LOCKED, "another process has %s open", what);
    return MIEN_FAIL(e, MIEN_E_STORE, "%s: %s", name, strerror(errno));
}

/* The file exists with its mode before SQLite opens it; SQLite gives the same mode to those that it puts beside it. */
enum mien_code mien_sqlite_make_file(const char *path, struct mien_err *e)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    MIEN_FAIL_IF(fd < 0 && errno != EEXIST, e, MIEN_E_STORE, "%s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return MIEN_OK;
}

enum mien_code mien_sqlite_connect(sqlite3 **db, const char *path, int how, const char *pragmas, struct mien_err *e)
{
    static const int SWITCH[][2] = {{SQLITE_DBCONFIG_DEFENSIVE, 1}, {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0}, {SQLITE_DBCONFIG_ENABLE_FKEY, 1},
                                    {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0}, {SQLITE_DBCONFIG_DQS_DML, 0}};
    int result = sqlite3_open_v2(path, db, how | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
    for (size_t i = 0; result == SQLITE_OK && i < sizeof SWITCH / sizeof SWITCH[0]; i++)
        result = sqlite3_db_config(*db, SWITCH[i][0], SWITCH[i][1], NULL);
    if (result == SQLITE_OK) {
        sqlite3_limit(*db, SQLITE_LIMIT_LENGTH, LONGEST_VALUE);
        sqlite3_busy_timeout(*db, MIEN_SQLITE_WAIT_MS);
        result = sqlite3_exec(*db, pragmas, NULL, NULL, NULL);
    }
    return result == SQLITE_OK ? MIEN_OK : MIEN_SQLITE_FAIL(*db, result, e);
}

static enum mien_code open_writer(struct mien_sqlite *q, const char *path, struct mien_err *e)
{
    char pragmas[384];
    snprintf(pragmas, sizeof pragmas,
             "PRAGMA page_size = %d; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA cache_size = -%d;"
             "PRAGMA wal_autocheckpoint = %d; PRAGMA journal_size_limit = %d; PRAGMA temp_store = MEMORY; PRAGMA max_page_count = " MIEN_SQLITE_MOST_PAGES,
             PAGE, WRITER_CACHE_KIB, WAL_PAGES, WAL_KEPT);
    MIEN_TRY(mien_sqlite_lock(path, "the gallery", &q->lock_fd, e));
    MIEN_TRY(mien_sqlite_make_file(path, e));
    MIEN_TRY(mien_sqlite_connect(&q->writer.db, path, SQLITE_OPEN_READWRITE, pragmas, e));
    MIEN_TRY(mien_sqlite_watch_gaps(q->writer.db, &q->gaps, e));
    MIEN_TRY(mien_sqlite_migrate(q->writer.db, mien_sqlite_steps, mien_sqlite_version, e));
    mien_sqlite_clear_traces(q, MIEN_SQLITE_WAIT_MS); /* of a removal that the process did not live to finish */
    return MIEN_OK;
}

static enum mien_code open_reader(struct mien_sqlite *q, const char *path, struct mien_err *e)
{
    MIEN_TRY(mien_sqlite_connect(&q->reader.db, path, SQLITE_OPEN_READONLY, "PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0", e));
    return mien_sqlite_expect(q->reader.db, mien_sqlite_version, e);
}

static void disconnect(struct mien_sqlite_connection *c)
{
    for (int i = 0; i < MIEN_SQLITE_STATEMENTS; i++) sqlite3_finalize(c->statement[i]);
    sqlite3_close(c->db);
    pthread_mutex_destroy(&c->lock);
}

static void close_store(struct mien_store *s)
{
    struct mien_sqlite *q = (struct mien_sqlite *)s;
    disconnect(&q->reader); /* the writer last: it brings the WAL into the file */
    disconnect(&q->writer);
    if (q->lock_fd >= 0) close(q->lock_fd);
    free(q);
}

enum mien_code mien_sqlite_open(const char *path, bool read_only, struct mien_store **out, struct mien_err *e)
{
    *out = NULL;
    struct mien_sqlite *q = calloc(1, sizeof *q);
    MIEN_FAIL_IF(q == NULL, e, MIEN_E_NOMEM, "no memory for the gallery's database");
    q->lock_fd = -1;
    q->store = (struct mien_store){.kind = "sqlite", .put = mien_sqlite_put, .remove = mien_sqlite_remove, .reseal = mien_sqlite_reseal,
                                   .each_record = mien_sqlite_each_record, .user_records = mien_sqlite_user_records, .list = mien_sqlite_list,
                                   .count = mien_sqlite_count, .alive = mien_sqlite_alive, .close = close_store};
    pthread_mutex_init(&q->writer.lock, NULL);
    pthread_mutex_init(&q->reader.lock, NULL);
    enum mien_code code = read_only ? MIEN_OK : open_writer(q, path, e);
    if (code == MIEN_OK) code = open_reader(q, path, e);
    if (code == MIEN_OK) *out = &q->store;
    else close_store(&q->store);
    return code;
}
