/* What live sessions need besides the service: keys that sign tokens, and the ledger. What `mien serve` and `mien audit` open. */
#ifndef MIEN_APP_SESSIONS_H
#define MIEN_APP_SESSIONS_H

#include "app/people.h"

/* The ledger's file: DATABASE_URL (sqlite:///PATH), else `dir`/ledger.db. MIEN_E_CONFIG. */
enum mien_code mien_ledger_path(const struct mien_serve_settings *s, const char *dir, char path[MIEN_PATH], struct mien_err *e) MIEN_MUST_CHECK;

/* The keys that sign tokens: JWT_KEYS_DIR, else `dir`/jwt. Says in the log when one was made. MIEN_E_KEY. */
enum mien_code mien_token_keys(const struct mien_serve_settings *s, const char *dir, struct mien_signer **out, struct mien_err *e) MIEN_MUST_CHECK;

struct mien_sessions { struct mien_signer *signer; struct mien_ledger *ledger; };

/* Opens both and writes them, with TEST_CHALLENGES, into s->service.live. mien_sessions_close accepts any state. */
enum mien_code mien_sessions_open(struct mien_serve_settings *s, const char *dir, struct mien_sessions *out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_sessions_close(struct mien_sessions *o);
/* Removes from the ledger what is older than AUDIT_RETENTION_DAYS; to be called now and then. A failure is logged. */
void mien_sessions_purge(const struct mien_serve_settings *s, const struct mien_sessions *o);

#endif
