/* Between the files of live sessions: what a client said (live_read.c), what it is told (live_say.c), what stays on record (live_record.c), what a frame
 * shows (live_frame.c), and the sessions themselves (live.c). */
#ifndef MIEN_SERVICE_LIVE_INNER_H
#define MIEN_SERVICE_LIVE_INNER_H

#include <stdatomic.h>
#include "gallery/store.h"
#include "service/live.h"

enum { MIEN_LIVE_CLIENT = 64 /* key's name or address, with NUL */, MIEN_LIVE_MESSAGE = 16384 /* most bytes of a message to the client */ };

struct mien_live {
    struct mien_live_settings settings; /* rules.have: what the installed networks tell */
    struct mien_service *service;
    struct mien_socket_handler handler;
    atomic_int open;
    atomic_ullong begun, passed, failed, terminated, frames, dropped;
};

/* ---- live_read.c ---- */

enum mien_said { MIEN_SAID_FRAME, MIEN_SAID_DONE, MIEN_SAID_NONSENSE };
struct mien_client_message {
    enum mien_said kind;
    const char *wrong;              /* NONSENSE: code and words of the answer, static */
    const char *why;
    int64_t stamp_ms;               /* FRAME */
    uint8_t nonce[MIEN_NONCE];
    const uint8_t *image;           /* in the message's own bytes */
    size_t image_size;
    bool mirrored_given, mirrored;
    bool challenge_given;           /* DONE: which one */
    char challenge_id[33];
};
/* `data` (n bytes, a NUL behind them) is changed in place. */
void mien_live_read(bool binary, uint8_t *data, size_t n, struct mien_client_message *out);

/* ---- live_say.c ---- */

/* What a message has beside its action. */
struct mien_live_told { const char *token; int token_minutes, challenge_ms; float threshold; };
void mien_live_say(const struct mien_proof_action *a, const struct mien_live_told *told, struct mien_buf *out);
void mien_live_say_error(const char *code, const char *message, struct mien_buf *out);

/* ---- live_record.c: the ledger's part of a session; each is on the disk when it returns ---- */

struct mien_live_record {
    char session_id[MIEN_SESSION_ID + 1], user_id[MIEN_USER_ID + 1], client[MIEN_LIVE_CLIENT];
    int64_t created_ms, expires_ms; /* since 1970 */
    char nonce_hash[65];            /* of the challenge that runs */
    int64_t issued_ms;
    bool started, ended;            /* whether the rows that say so are written */
};
enum mien_code mien_live_record_created(const struct mien_live *l, const struct mien_live_record *r, struct mien_err *e) MIEN_MUST_CHECK;
/* challenge_issued, completed, failed; MIEN_E_SESSION when the nonce was used already, on this server or another. */
enum mien_code mien_live_record_issued(const struct mien_live *l, struct mien_live_record *r, const struct mien_proof_action *a,
                                       struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_live_record_challenge(const struct mien_live *l, struct mien_live_record *r, const struct mien_proof_action *a,
                                          struct mien_err *e) MIEN_MUST_CHECK;
/* Makes the token of a success. */
enum mien_code mien_live_record_success(const struct mien_live *l, struct mien_live_record *r, const struct mien_proof_action *a, struct mien_buf *token,
                                        struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_live_record_rejected(const struct mien_live *l, struct mien_live_record *r, const struct mien_proof_action *a,
                                         struct mien_err *e) MIEN_MUST_CHECK;
/* A session that ended without a verdict. */
enum mien_code mien_live_record_terminated(const struct mien_live *l, struct mien_live_record *r, const char *reason, struct mien_err *e) MIEN_MUST_CHECK;

/* ---- live_frame.c ---- */

/* What the rules take from the installed models: what can be told about one frame (have), and from where on two faces are one person's (same_person). */
void mien_live_rules(const struct mien_service *service, struct mien_proof_rules *rules);
/* One frame through the worker's networks. All in `arena`; the session and the decoded picture are wiped. MIEN_E_IMAGE_*: the frame's own fault. */
struct mien_live_sight { struct mien_faces faces; int width, height; };
enum mien_code mien_live_frame(struct mien_service *service, int worker, const uint8_t *image, size_t n, unsigned wants, struct mien_arena *arena,
                               struct mien_live_sight *out, struct mien_err *e) MIEN_MUST_CHECK;

#endif
