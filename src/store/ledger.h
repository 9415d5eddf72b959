/* What is kept of live sessions, and the audit log: one SQLite file with the tables sessions, verification_results, tokens, nonces and audit_logs. Nothing
 * biometric: who asked (user_id), when, scores, and what happened. docs/audit.md.
 *
 * Each row of audit_logs has the SHA-256 over its own content and the hash of the row before, so that a row that was removed, changed or moved breaks the
 * chain. A purge leaves the hash of the last row that it took as the chain's new beginning, and a row of its own in the log that says so. Cutting off the
 * newest rows is found by the head that is kept apart; who holds a copy of the head (mien audit verify prints it) finds even a chain that was made anew.
 *
 * Thread-safe; each write is on the disk when the call returns. One process writes. */
#ifndef MIEN_STORE_LEDGER_H
#define MIEN_STORE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct mien_ledger;

/* Opens or makes `path` (0600). MIEN_E_STORE, MIEN_E_STORE_LOCKED, MIEN_E_STORE_VERSION as mien_sqlite_open. */
enum mien_code mien_ledger_open(const char *path, bool read_only, struct mien_ledger **out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_ledger_close(struct mien_ledger **l);

enum mien_audit_event { MIEN_AUDIT_SESSION_CREATED, MIEN_AUDIT_SESSION_START, MIEN_AUDIT_CHALLENGE_COMPLETED, MIEN_AUDIT_CHALLENGE_FAILED,
    MIEN_AUDIT_VERIFICATION_RESULT, MIEN_AUDIT_TOKEN_ISSUANCE, MIEN_AUDIT_SESSION_TERMINATED, MIEN_AUDIT_SECURITY_EVENT, MIEN_AUDIT_NONCE_PURGE,
    MIEN_AUDIT_LOG_PURGE, MIEN_AUDIT_EVENTS };
const char *mien_audit_name(enum mien_audit_event k); /* "session_created", ... */
int mien_audit_parse(const char *name);               /* -1: there is no such event */

struct mien_audit_row {
    int64_t seq;             /* from 1, without gaps; only out of the ledger */
    int64_t at_ms;           /* since 1970 UTC */
    enum mien_audit_event event;
    const char *session_id, *user_id, *client; /* "" when there is none; client: the key's name or the address */
    const char *details;     /* a JSON object as text; "{}" */
    char hash[65];           /* only out of the ledger */
};

/* What a step of a session leaves behind: each part that is not NULL, and all rows of the log, in one transaction. */
struct mien_ledger_session { const char *session_id, *user_id, *client, *status; /* "created", "active", "passed", "failed", "terminated" */
    int64_t created_ms, expires_ms, ended_ms; /* ended 0: not yet */ };
struct mien_ledger_result { const char *session_id, *user_id; bool passed; double liveness, emotion, deepfake, final; int64_t at_ms; const char *reason; };
struct mien_ledger_token { const char *jti, *session_id, *user_id; int64_t issued_ms, expires_ms; };
struct mien_ledger_nonce { const char *nonce_hash /* SHA-256, hex: never the nonce */, *session_id, *challenge_id; int64_t issued_ms, expires_ms, used_ms; };
struct mien_ledger_step {
    const struct mien_ledger_session *session; /* inserted or replaced */
    const struct mien_ledger_result *result;
    const struct mien_ledger_token *token;
    const struct mien_ledger_nonce *nonce;     /* inserted or replaced */
    const struct mien_audit_row *row;
    int n_rows;
};
enum mien_code mien_ledger_write(struct mien_ledger *l, const struct mien_ledger_step *step, struct mien_err *e) MIEN_MUST_CHECK;

/* Removes what is older than keep_ms (rows of the log, with their sessions, results, tokens) and nonces that have expired, and logs both. */
enum mien_code mien_ledger_purge(struct mien_ledger *l, int64_t now_ms, int64_t keep_ms, int64_t *removed, struct mien_err *e) MIEN_MUST_CHECK;

struct mien_audit_report {
    bool intact;
    int64_t rows, first_seq, last_seq; /* 0 when there are none */
    char head[65];                     /* hash of the last row, or of the last that was purged; zeros for an empty log */
    int64_t purged_seq;                /* the last row that a purge has taken; 0: none */
    char purged[65];                   /* its hash */
    int64_t broken_seq;                /* when not intact: the first row that is wrong */
    char why[120];
};
enum mien_code mien_ledger_verify(struct mien_ledger *l, struct mien_audit_report *out, struct mien_err *e) MIEN_MUST_CHECK;

struct mien_audit_filter { const char *session_id, *user_id; /* NULL: any */ int event; /* -1: any */ int64_t since_ms; int limit; /* newest so many */ };
typedef enum mien_code mien_on_audit_row(void *context, const struct mien_audit_row *row, struct mien_err *e);
/* In the order in which they were written. `on` does not use the ledger. A row's event that this version does not know is MIEN_AUDIT_EVENTS. */
enum mien_code mien_ledger_list(struct mien_ledger *l, const struct mien_audit_filter *f, mien_on_audit_row *on, void *context,
                                struct mien_err *e) MIEN_MUST_CHECK;

#endif
