/* The audit log: its chain of hashes, checking it, reading it.
 *
 * A row's hash is the SHA-256 over these, each as LENGTH:BYTES, with the length in decimal, so that no two contents give the same bytes: the hash of the row
 * before (64 digits), seq, at_ms, event, session_id, user_id, client, details. Numbers are in decimal too. */
#include "store/ledger_inner.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/buf.h"
#include "crypto/digest.h"

enum { ROW_BYTES = 1 << 20 };

static const char *const NAME[MIEN_AUDIT_EVENTS] = {
    [MIEN_AUDIT_SESSION_CREATED] = "session_created",         [MIEN_AUDIT_SESSION_START] = "session_start",
    [MIEN_AUDIT_CHALLENGE_COMPLETED] = "challenge_completed", [MIEN_AUDIT_CHALLENGE_FAILED] = "challenge_failed",
    [MIEN_AUDIT_VERIFICATION_RESULT] = "verification_result", [MIEN_AUDIT_TOKEN_ISSUANCE] = "token_issuance",
    [MIEN_AUDIT_SESSION_TERMINATED] = "session_terminated",   [MIEN_AUDIT_SECURITY_EVENT] = "security_event",
    [MIEN_AUDIT_NONCE_PURGE] = "nonce_purge",                 [MIEN_AUDIT_LOG_PURGE] = "log_purge"};

const char *mien_audit_name(enum mien_audit_event k) { return k < MIEN_AUDIT_EVENTS ? NAME[k] : "unknown"; }

int mien_audit_parse(const char *name)
{
    for (int i = 0; i < MIEN_AUDIT_EVENTS; i++)
        if (strcmp(NAME[i], name) == 0) return i;
    return -1;
}

/* ---- hashes ---- */

struct field { const char *text; size_t n; };
enum { SESSION, USER, CLIENT, DETAILS, TEXTS };
struct content { int64_t seq, at_ms; struct field event, text[TEXTS]; };

static struct field field_of(const char *text) { return text != NULL ? (struct field){text, strlen(text)} : (struct field){"", 0}; }

static void add_field(struct mien_buf *b, struct field f)
{
    mien_buf_addf(b, "%zu:", f.n);
    mien_buf_add(b, f.text, f.n);
}

static void add_number(struct mien_buf *b, int64_t v)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, v);
    add_field(b, field_of(digits));
}

static enum mien_code hash_of(const char *before, const struct content *c, char out[65], struct mien_err *e)
{
    struct mien_buf b;
    mien_buf_init(&b, ROW_BYTES);
    add_field(&b, field_of(before));
    add_number(&b, c->seq);
    add_number(&b, c->at_ms);
    add_field(&b, c->event);
    for (int i = 0; i < TEXTS; i++) add_field(&b, c->text[i]);
    const enum mien_code code = b.failed ? MIEN_FAIL(e, MIEN_E_LIMIT, "a row of the audit log is too long") : mien_sha256_hex(b.data, b.len, out, e);
    mien_buf_free(&b);
    return code;
}

/* ---- the chain's ends ---- */

static void copy_hash(char out[65], sqlite3_stmt *s, int column)
{
    const char *text = (const char *)sqlite3_column_text(s, column);
    snprintf(out, 65, "%s", text != NULL ? text : "");
}

enum mien_code mien_chain_read(struct mien_ledger *l, struct mien_chain *out, struct mien_err *e)
{
    enum mien_code code;
    *out = (struct mien_chain){0};
    sqlite3_stmt *s = mien_ledger_prepare(l, "SELECT anchor_seq, anchor, head_seq, head FROM audit_chain WHERE id = 1", &code, e);
    MIEN_TRY(code);
    const int result = sqlite3_step(s);
    if (result == SQLITE_ROW) {
        out->anchor_seq = sqlite3_column_int64(s, 0);
        out->head_seq = sqlite3_column_int64(s, 2);
        copy_hash(out->anchor, s, 1);
        copy_hash(out->head, s, 3);
    } else {
        code = result == SQLITE_DONE ? MIEN_FAIL(e, MIEN_E_STORE, "the ledger does not say where its audit log ends") : MIEN_SQLITE_FAIL(l->db, result, e);
    }
    sqlite3_finalize(s);
    return code;
}

enum mien_code mien_chain_write(struct mien_ledger *l, const struct mien_chain *c, struct mien_err *e)
{
    enum mien_code code;
    sqlite3_stmt *s = mien_ledger_prepare(l, "UPDATE audit_chain SET anchor_seq = ?1, anchor = ?2, head_seq = ?3, head = ?4 WHERE id = 1", &code, e);
    MIEN_TRY(code);
    sqlite3_bind_int64(s, 1, c->anchor_seq);
    sqlite3_bind_text(s, 2, c->anchor, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 3, c->head_seq);
    sqlite3_bind_text(s, 4, c->head, -1, SQLITE_STATIC);
    return mien_ledger_run(l, s, e);
}

void mien_chain_anchor_text(const struct mien_chain *c, char out[128])
{
    snprintf(out, 128, "\"through_seq\":%" PRId64 ",\"through_hash\":\"%s\"", c->anchor_seq, c->anchor);
}

enum mien_code mien_chain_add(struct mien_ledger *l, struct mien_chain *chain, const struct mien_audit_row *row, struct mien_err *e)
{
    enum mien_code code;
    char hash[65];
    MIEN_FAIL_IF(row->event < 0 || row->event >= MIEN_AUDIT_EVENTS, e, MIEN_E_ARG, "no such event of the audit log");
    const char *details = row->details != NULL && row->details[0] != '\0' ? row->details : "{}";
    const struct content c = {chain->head_seq + 1, row->at_ms, field_of(NAME[row->event]),
                              {field_of(row->session_id), field_of(row->user_id), field_of(row->client), field_of(details)}};
    MIEN_TRY(hash_of(chain->head, &c, hash, e));
    sqlite3_stmt *s = mien_ledger_prepare(l, "INSERT INTO audit_logs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", &code, e);
    MIEN_TRY(code);
    sqlite3_bind_int64(s, 1, c.seq);
    sqlite3_bind_int64(s, 2, c.at_ms);
    sqlite3_bind_text(s, 3, c.event.text, -1, SQLITE_STATIC);
    for (int i = 0; i < TEXTS; i++) sqlite3_bind_text(s, 4 + i, c.text[i].text, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 4 + TEXTS, hash, -1, SQLITE_STATIC);
    MIEN_TRY(mien_ledger_run(l, s, e));
    chain->head_seq = c.seq;
    memcpy(chain->head, hash, sizeof hash);
    return MIEN_OK;
}

/* ---- checking ---- */

struct check {
    struct mien_chain chain;
    int64_t seq;       /* of the row before */
    char hash[65];     /* its hash */
    char purged[128];  /* what the last purge's row says of the beginning */
    struct mien_audit_report *out;
};

static void broken(struct mien_audit_report *out, int64_t seq, const char *why)
{
    out->intact = false;
    out->broken_seq = seq;
    snprintf(out->why, sizeof out->why, "row %" PRId64 " %s", seq, why);
}

static struct field column(sqlite3_stmt *s, int i)
{
    const char *text = (const char *)sqlite3_column_blob(s, i);
    return text != NULL ? (struct field){text, (size_t)sqlite3_column_bytes(s, i)} : (struct field){"", 0};
}

/* Members of details that a purge writes, in front of the others. */
static void note_purge(struct check *k, const struct content *c)
{
    const char *name = NAME[MIEN_AUDIT_LOG_PURGE];
    if (c->event.n != strlen(name) || memcmp(c->event.text, name, c->event.n) != 0) return;
    const struct field d = c->text[DETAILS];
    const char *end = d.n > 0 ? memmem(d.text, d.n, "\",\"rows\"", 8) : NULL;
    snprintf(k->purged, sizeof k->purged, "%.*s", end != NULL ? (int)(end - d.text) : 0, d.text + (d.n > 0));
}

static enum mien_code check_row(struct check *k, sqlite3_stmt *s, struct mien_err *e)
{
    char hash[65];
    const struct field given = column(s, 3 + TEXTS);
    const struct content c = {sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1), column(s, 2),
                              {column(s, 3), column(s, 4), column(s, 5), column(s, 6)}};
    if (c.seq <= k->chain.anchor_seq) broken(k->out, c.seq, "is before the beginning of the log: it was purged, or never written");
    else if (c.seq != k->seq + 1) broken(k->out, k->seq + 1, "is missing");
    if (!k->out->intact) return MIEN_OK;
    MIEN_TRY(hash_of(k->hash, &c, hash, e));
    if (given.n != MIEN_HASH_TEXT || memcmp(given.text, hash, MIEN_HASH_TEXT) != 0) {
        broken(k->out, c.seq, "is not what was written, or does not follow the one before it");
        return MIEN_OK;
    }
    note_purge(k, &c);
    k->seq = c.seq;
    memcpy(k->hash, hash, sizeof hash);
    if (k->out->rows++ == 0) k->out->first_seq = c.seq;
    k->out->last_seq = c.seq;
    return MIEN_OK;
}

static void check_ends(struct check *k)
{
    char anchor[128];
    const struct mien_chain *c = &k->chain;
    if (k->seq < c->head_seq) broken(k->out, k->seq + 1, "is missing: the newest rows were removed");
    else if (k->seq > c->head_seq) broken(k->out, c->head_seq + 1, "is behind the end of the log: the server did not write it");
    else if (strcmp(k->hash, c->head) != 0) broken(k->out, k->seq, "is not the one that the end of the log names");
    mien_chain_anchor_text(c, anchor);
    const bool named = k->purged[0] != '\0' ? strcmp(anchor, k->purged) == 0 : c->anchor_seq == 0;
    if (k->out->intact && !named) broken(k->out, c->anchor_seq, "is said to be the last that was purged, but no purge in the log says so");
}

static enum mien_code check_all(struct mien_ledger *l, struct check *k, struct mien_err *e)
{
    enum mien_code code;
    int result = SQLITE_ROW;
    MIEN_TRY(mien_chain_read(l, &k->chain, e));
    k->seq = k->chain.anchor_seq;
    memcpy(k->hash, k->chain.anchor, sizeof k->hash);
    sqlite3_stmt *s = mien_ledger_prepare(l, "SELECT seq, at_ms, event, session_id, user_id, client, details, hash FROM audit_logs ORDER BY seq", &code, e);
    MIEN_TRY(code);
    while (code == MIEN_OK && k->out->intact && (result = sqlite3_step(s)) == SQLITE_ROW) code = check_row(k, s, e);
    if (code == MIEN_OK && result != SQLITE_ROW && result != SQLITE_DONE) code = MIEN_SQLITE_FAIL(l->db, result, e);
    sqlite3_finalize(s);
    if (code == MIEN_OK && k->out->intact) check_ends(k);
    return code;
}

/* In one transaction: the rows and the ends of the same moment. */
enum mien_code mien_ledger_verify(struct mien_ledger *l, struct mien_audit_report *out, struct mien_err *e)
{
    struct check k = {.out = out};
    *out = (struct mien_audit_report){.intact = true};
    pthread_mutex_lock(&l->lock);
    const int result = sqlite3_exec(l->db, "BEGIN", NULL, NULL, NULL);
    const enum mien_code code = result == SQLITE_OK ? check_all(l, &k, e) : MIEN_SQLITE_FAIL(l->db, result, e);
    if (result == SQLITE_OK) sqlite3_exec(l->db, "COMMIT", NULL, NULL, NULL);
    pthread_mutex_unlock(&l->lock);
    memcpy(out->head, k.chain.head, sizeof out->head);
    out->purged_seq = k.chain.anchor_seq;
    memcpy(out->purged, k.chain.anchor, sizeof out->purged);
    return code;
}

/* ---- reading ---- */

static const char *text_in(sqlite3_stmt *s, int i)
{
    const char *text = (const char *)sqlite3_column_text(s, i);
    return text != NULL ? text : "";
}

static enum mien_code give_row(sqlite3_stmt *s, mien_on_audit_row *on, void *context, struct mien_err *e)
{
    const int event = mien_audit_parse(text_in(s, 2));
    struct mien_audit_row row = {.seq = sqlite3_column_int64(s, 0), .at_ms = sqlite3_column_int64(s, 1),
                                 .event = event < 0 ? MIEN_AUDIT_EVENTS : (enum mien_audit_event)event, .session_id = text_in(s, 3),
                                 .user_id = text_in(s, 4), .client = text_in(s, 5), .details = text_in(s, 6)};
    copy_hash(row.hash, s, 7);
    return on(context, &row, e);
}

enum mien_code mien_ledger_list(struct mien_ledger *l, const struct mien_audit_filter *f, mien_on_audit_row *on, void *context, struct mien_err *e)
{
    enum mien_code code;
    int result = SQLITE_ROW;
    pthread_mutex_lock(&l->lock);
    sqlite3_stmt *s = mien_ledger_prepare(l, "SELECT * FROM (SELECT seq, at_ms, event, session_id, user_id, client, details, hash FROM audit_logs"
                                             " WHERE (?1 IS NULL OR session_id = ?1) AND (?2 IS NULL OR user_id = ?2) AND (?3 IS NULL OR event = ?3)"
                                             " AND at_ms >= ?4 ORDER BY seq DESC LIMIT ?5) ORDER BY seq", &code, e);
    if (code == MIEN_OK) {
        sqlite3_bind_text(s, 1, f->session_id, -1, SQLITE_STATIC); /* NULL binds as NULL */
        sqlite3_bind_text(s, 2, f->user_id, -1, SQLITE_STATIC);
        sqlite3_bind_text(s, 3, f->event >= 0 ? mien_audit_name((enum mien_audit_event)f->event) : NULL, -1, SQLITE_STATIC);
        sqlite3_bind_int64(s, 4, f->since_ms);
        sqlite3_bind_int(s, 5, f->limit);
    }
    while (code == MIEN_OK && (result = sqlite3_step(s)) == SQLITE_ROW) code = give_row(s, on, context, e);
    if (code == MIEN_OK && result != SQLITE_DONE) code = MIEN_SQLITE_FAIL(l->db, result, e);
    sqlite3_finalize(s);
    pthread_mutex_unlock(&l->lock);
    return code;
}
