/* Live sessions of the service: POST /auth/verify makes one, a WebSocket carries it out (CONTRACT.md, "Proof of life"; docs/sessions.md).
 *
 * A session is a value in `keep` (user id, client, end) until its WebSocket opens, which takes it: a session id opens one WebSocket, once, on whichever server.
 * From then on it is a struct of the server that holds the socket: the state machine (liveness/proof.h), at most one frame with a worker and one waiting,
 * the newest wins. */
#ifndef MIEN_SERVICE_LIVE_H
#define MIEN_SERVICE_LIVE_H

#include "crypto/jwt.h"
#include "liveness/proof.h"
#include "net/websocket.h"
#include "service/call.h"
#include "service/keep.h"
#include "store/ledger.h"

struct mien_live_settings {
    struct mien_proof_rules rules;
    int token_minutes;          /* 15 (JWT_EXPIRY_MINUTES) */
    const char *audience;       /* JWT_AUDIENCE; NULL = none */
    struct mien_signer *signer; /* borrowed, as is the ledger; NULL: the routes answer 503 */
    struct mien_ledger *ledger;
    int max_sessions;           /* live at one time, 1000 (MAX_SESSIONS) */
};
void mien_live_settings_default(struct mien_live_settings *s);

enum { MIEN_SESSION_ID = 32 /* hexadecimal digits of 128 random bits */, MIEN_SESSION_WAIT_S = 120 /* from /auth/verify to its WebSocket */ };
#define MIEN_TOKEN_ISSUER "proof-of-life-auth"

struct mien_live;
enum mien_code mien_live_create(const struct mien_live_settings *s, struct mien_service *service, struct mien_live **out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_live_free(struct mien_live **l); /* after the server has stopped */

/* Makes a session that waits for its WebSocket; `client` (key's name or address) is for the audit log. MIEN_E_LIMIT: too many wait. MIEN_E_MODEL_MISSING: there
 * is no network that sees a face's mesh. MIEN_E_STORE: no signer or ledger was given, or nothing can be written. On a worker: it waits for the disk. */
enum mien_code mien_live_invite(struct mien_live *l, const char *user_id, const char *client, char id[MIEN_SESSION_ID + 1], struct mien_err *e) MIEN_MUST_CHECK;
/* In `begin`, for GET /ws/verify/{session_id}: makes the request a WebSocket; the session's id is the end of its path. */
void mien_live_upgrade(struct mien_live *l, struct mien_request *q);
/* Counters for /metrics. */
struct mien_live_state { int open, max_open; uint64_t begun, passed, failed, terminated, frames, dropped; };
struct mien_live_state mien_live_state(struct mien_live *l);

#endif
