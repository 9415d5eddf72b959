/* Reading from the SQLite store: in batches that are copied out in one short transaction each.
 *
 * So a callback runs without a lock and may use the store, a walk over a million records keeps nobody waiting, and no old state is held that would keep the
 * WAL file from being emptied. A walk is therefore not one moment's picture: each user is whole, and who is written meanwhile may be in it or not. */
#include "store/sqlite_inner.h"

#include <string.h>
#include "base/arena.h"

enum {
    BATCH_ROWS = 1024,           /* of one transaction; the last user of it may bring some more */
    BATCH_BYTES = 8 << 20,
    BATCH_CAP = 128 << 20,       /* the memory that BATCH_BYTES and one more user can take */
    ROOM = BATCH_ROWS + MIEN_USER_TEMPLATES
};

static struct mien_sqlite *of(struct mien_store *s) { return (struct mien_sqlite *)s; }

/* Columns of a user (0 to 5) and a record (6 to 9): sqlite.c. */
struct row { sqlite3_int64 number; struct mien_user user; struct mien_record record; };

struct batch {
    struct mien_arena *arena;
    struct row *row; /* ROOM of them */
    int n;
    bool more;       /* there is something behind it */
};

static enum mien_code begin_batch(struct batch *b, struct mien_err *e)
{
    *b = (struct batch){.arena = mien_arena_create(BATCH_CAP)};
    if (b->arena != NULL) b->row = mien_arena_calloc(b->arena, ROOM, sizeof *b->row);
    if (b->row != NULL) return MIEN_OK;
    mien_arena_free(&b->arena);
    return MIEN_FAIL(e, MIEN_E_NOMEM, "no memory to read the gallery");
}

static const char *copy_text(struct batch *b, sqlite3_stmt *s, int column, size_t longest)
{
    const char *text = (const char *)sqlite3_column_text(s, column);
    const size_t n = (size_t)sqlite3_column_bytes(s, column);
    return text != NULL && n <= longest ? mien_arena_strndup(b->arena, text, n) : NULL;
}

static bool copy_user(struct batch *b, sqlite3_stmt *s, struct row *row)
{
    row->number = sqlite3_column_int64(s, 0);
    row->user = (struct mien_user){.user_id = copy_text(b, s, 1, MIEN_USER_ID),
                                   .name = copy_text(b, s, 2, MIEN_USER_NAME),
                                   .metadata = copy_text(b, s, 3, MIEN_USER_METADATA),
                                   .enrolled_at = sqlite3_column_int64(s, 4),
                                   .templates = sqlite3_column_int(s, 5)};
    return row->user.user_id != NULL && row->user.name != NULL && row->user.metadata != NULL;
}

static bool copy_record(struct batch *b, sqlite3_stmt *s, struct row *row)
{
    const void *id = sqlite3_column_blob(s, 6), *sealed = sqlite3_column_blob(s, 9);
    const size_t id_n = (size_t)sqlite3_column_bytes(s, 6), sealed_n = (size_t)sqlite3_column_bytes(s, 9);
    uint8_t *to = mien_arena_alloc(b->arena, sealed_n > 0 ? sealed_n : 1);
    row->record = (struct mien_record){
        .user_id = row->user.user_id, .model = copy_text(b, s, 7, MIEN_MODEL_ID), .made_at = sqlite3_column_int64(s, 8), .sealed = to, .sealed_n = sealed_n};
    if (to == NULL || row->record.model == NULL || id_n != MIEN_RECORD_ID) return false;
    memcpy(row->record.id, id, MIEN_RECORD_ID);
    if (sealed_n > 0) memcpy(to, sealed, sealed_n);
    return true;
}

/* Copies the row that the statement stands on. false: no memory, or no row that we wrote. */
static bool copy_row(struct batch *b, sqlite3_stmt *s)
{
    struct row *row = &b->row[b->n];
    const bool with_record = sqlite3_column_count(s) > 6;
    const struct row *last = b->n > 0 ? row - 1 : NULL;
    if (last != NULL && last->number == sqlite3_column_int64(s, 0)) *row = (struct row){.number = last->number, .user = last->user};
    else if (!copy_user(b, s, row)) return false;
    if (with_record && !copy_record(b, s, row)) return false;
    b->n++;
    return true;
}

/* Whether the row that the statement stands on is left to the next batch: only where another user begins. */
static bool is_full(const struct batch *b, sqlite3_stmt *s)
{
    if (b->n == 0 || b->row[b->n - 1].number == sqlite3_column_int64(s, 0)) return false;
    return b->n >= BATCH_ROWS || mien_arena_used(b->arena) >= BATCH_BYTES;
}

/* Runs a statement that is bound until it ends or the batch is full. */
static enum mien_code fill(struct batch *b, struct mien_sqlite_connection *c, sqlite3_stmt *s, struct mien_err *e)
{
    int result;
    enum mien_code code = MIEN_OK;
    while (code == MIEN_OK && (result = sqlite3_step(s)) != SQLITE_DONE) {
        if (result != SQLITE_ROW) code = MIEN_SQLITE_FAIL(c->db, result, e);
        else if (is_full(b, s)) break;
        else if (b->n == ROOM) code = MIEN_FAIL(e, MIEN_E_STORE, "the gallery's database: a user has more templates than can be");
        else if (!copy_row(b, s)) code = MIEN_FAIL(e, MIEN_E_STORE, "the gallery's database: a row is malformed, or there is no memory to read it");
    }
    b->more = code == MIEN_OK && result == SQLITE_ROW;
    return code;
}

/* What a batch begins after: a number or a text; and at most how many rows (0: as many as there are). */
struct from { bool by_number; sqlite3_int64 number; const char *text; int limit; };

static enum mien_code read_batch(struct mien_sqlite *q, enum mien_sqlite_statement which, const struct from *from, struct batch *b, struct mien_err *e)
{
    struct mien_sqlite_connection *c = &q->reader;
    enum mien_code code;
    MIEN_TRY(begin_batch(b, e));
    pthread_mutex_lock(&c->lock);
    sqlite3_stmt *s = mien_sqlite_statement(c, which, &code, e);
    if (code == MIEN_OK) {
        if (from->by_number) sqlite3_bind_int64(s, 1, from->number);
        else sqlite3_bind_text(s, 1, from->text, -1, SQLITE_STATIC);
        if (from->limit > 0) sqlite3_bind_int(s, 2, from->limit);
        code = fill(b, c, s, e);
        sqlite3_reset(s); /* ends the transaction */
        sqlite3_clear_bindings(s);
    }
    pthread_mutex_unlock(&c->lock);
    if (code != MIEN_OK) mien_arena_free(&b->arena);
    return code;
}

static enum mien_code call_records(const struct batch *b, mien_on_record *call, void *context, struct mien_err *e)
{
    for (int i = 0; i < b->n; i++) MIEN_TRY(call(context, &b->row[i].user, &b->row[i].record, e));
    return MIEN_OK;
}

enum mien_code mien_sqlite_each_record(struct mien_store *s, mien_on_record *call, void *context, struct mien_err *e)
{
    struct from from = {.by_number = true, .number = INT64_MIN};
    struct batch b = {.more = true};
    while (b.more) {
        MIEN_TRY(read_batch(of(s), ALL_RECORDS, &from, &b, e));
        const enum mien_code code = call_records(&b, call, context, e);
        if (b.n > 0) from.number = b.row[b.n - 1].number;
        mien_arena_free(&b.arena);
        MIEN_TRY(code);
    }
    return MIEN_OK;
}

enum mien_code mien_sqlite_user_records(struct mien_store *s, const char *user_id, mien_on_record *call, void *context, struct mien_err *e)
{
    const struct from from = {.text = user_id};
    struct batch b;
    MIEN_TRY(read_batch(of(s), USER_RECORDS, &from, &b, e));
    const enum mien_code code = call_records(&b, call, context, e);
    mien_arena_free(&b.arena);
    return code;
}

enum mien_code mien_sqlite_list(struct mien_store *s, const char *after, int limit, mien_on_user *call, void *context, struct mien_err *e)
{
    char last[MIEN_USER_ID + 1];
    struct from from = {.text = after, .limit = limit};
    struct batch b = {.more = true};
    while (b.more && from.limit > 0) {
        enum mien_code code = MIEN_OK;
        MIEN_TRY(read_batch(of(s), LIST_USERS, &from, &b, e));
        for (int i = 0; code == MIEN_OK && i < b.n; i++) code = call(context, &b.row[i].user, e);
        if (b.n > 0) memccpy(last, b.row[b.n - 1].user.user_id, '\0', sizeof last);
        last[MIEN_USER_ID] = '\0';
        from.text = last;
        from.limit -= b.n;
        mien_arena_free(&b.arena);
        MIEN_TRY(code);
    }
    return MIEN_OK;
}

enum mien_code mien_sqlite_count(struct mien_store *s, uint64_t *users, uint64_t *records, struct mien_err *e)
{
    struct mien_sqlite_connection *c = &of(s)->reader;
    enum mien_code code;
    *users = 0;
    pthread_mutex_lock(&c->lock);
    sqlite3_stmt *statement = mien_sqlite_statement(c, records != NULL ? COUNT : COUNT_USERS, &code, e);
    if (code == MIEN_OK) {
        const int result = sqlite3_step(statement);
        if (result == SQLITE_ROW) {
            *users = (uint64_t)sqlite3_column_int64(statement, 0);
            if (records != NULL) *records = (uint64_t)sqlite3_column_int64(statement, 1);
        } else code = MIEN_SQLITE_FAIL(c->db, result, e);
        sqlite3_reset(statement);
    }
    pthread_mutex_unlock(&c->lock);
    return code;
}

bool mien_sqlite_alive(struct mien_store *s)
{
    struct mien_sqlite_connection *c = &of(s)->reader;
    enum mien_code code;
    int moved = 0;
    pthread_mutex_lock(&c->lock);
    sqlite3_stmt *statement = mien_sqlite_statement(c, PROBE, &code, NULL);
    bool alive = code == MIEN_OK;
    if (alive) {
        const int result = sqlite3_step(statement);
        alive = (result == SQLITE_ROW || result == SQLITE_DONE) && sqlite3_file_control(c->db, NULL, SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && !moved;
        sqlite3_reset(statement);
    }
    pthread_mutex_unlock(&c->lock);
    return alive;
}
