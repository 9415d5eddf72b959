/* Between ledger*.c: the connection, and the chain of the audit log. */
#ifndef MIEN_STORE_LEDGER_INNER_H
#define MIEN_STORE_LEDGER_INNER_H

#include "store/ledger.h"
#include "store/sqlite_inner.h"

enum { MIEN_HASH_TEXT = 64 /* digits of a SHA-256 */ };
#define MIEN_NO_HASH "0000000000000000000000000000000000000000000000000000000000000000"

struct mien_ledger {
    pthread_mutex_t lock; /* guards all that follows */
    sqlite3 *db;
    bool read_only;
    int lock_fd;          /* -1: opened for reading only */
    struct mien_sqlite_gaps gaps;
};

/* Where the chain begins and ends: the last row that was purged (0 and zeros: none) and the last row. */
struct mien_chain { int64_t anchor_seq, head_seq; char anchor[65], head[65]; };

/* One statement: prepared, to be bound by mien_ledger_bind_*, and finished. */
sqlite3_stmt *mien_ledger_prepare(struct mien_ledger *l, const char *sql, enum mien_code *code, struct mien_err *e);
/* Runs a statement that gives no rows, and finalizes it. */
enum mien_code mien_ledger_run(struct mien_ledger *l, sqlite3_stmt *s, struct mien_err *e) MIEN_MUST_CHECK;
/* The caller holds the lock. MIEN_E_STORE: there is no such record. */
enum mien_code mien_chain_read(struct mien_ledger *l, struct mien_chain *out, struct mien_err *e) MIEN_MUST_CHECK;
/* Adds a row behind the head within a transaction, and moves *chain's head; mien_chain_write keeps it. */
enum mien_code mien_chain_add(struct mien_ledger *l, struct mien_chain *chain, const struct mien_audit_row *row, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_chain_write(struct mien_ledger *l, const struct mien_chain *chain, struct mien_err *e) MIEN_MUST_CHECK;
/* What the details of a purge's row say of the chain's beginning: an object's members without braces. */
void mien_chain_anchor_text(const struct mien_chain *chain, char out[128]);

#endif
