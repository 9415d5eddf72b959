/* The state machine of one live session: challenges, deadlines, nonces, failures, verdict. Pure: time, randomness and analysed frames come from outside, what
 * is to be said and done goes out as actions, so that every transition can be tested with a clock of one's own. Drawn in docs/sessions.md.
 *
 * Times are milliseconds of one monotonic clock (`now_ms`); stamps are the client's. Not thread-safe: one caller at a time. */
#ifndef MIEN_LIVENESS_PROOF_H
#define MIEN_LIVENESS_PROOF_H

#include "liveness/judge.h"
#include "liveness/proof_score.h"

enum { MIEN_PROOF_MIN = 3, MIEN_PROOF_MAX = 5, MIEN_NONCE = 16, MIEN_PROOF_ACTIONS = 8 };

struct mien_proof_rules {
    struct mien_proof_settings score;
    int session_ms;          /* 120,000: in all, from begin */
    int challenge_ms;        /* 10,000 each */
    int nonce_ms;            /* 300,000 */
    int gap_ms;              /* 2,000: longest time without a frame, once one has come */
    int first_frame_ms;      /* 30,000: from begin to the first frame: people are asked for their camera */
    int max_failures;        /* 3 in a row */
    float same_person;       /* least cosine to the session's first faces; depends on the recogniser */
    bool mirrored;           /* false: frames come as the camera sees them */
    unsigned have;           /* MIEN_WANT_* bits that the installed networks tell; challenges that cannot be judged by them are not drawn */
    int n_fixed;             /* tests only: these challenges, in this order; 0 = drawn */
    enum mien_challenge fixed[MIEN_PROOF_MAX];
};
struct mien_proof_rules mien_proof_rules_default(void);

enum mien_proof_state { MIEN_PROOF_NEW, MIEN_PROOF_CHALLENGE, MIEN_PROOF_PASSED, MIEN_PROOF_FAILED, MIEN_PROOF_ENDED };

enum mien_proof_action_kind {
    MIEN_SAY_ISSUED,    /* challenge_issued */
    MIEN_SAY_COMPLETED, /* challenge_completed */
    MIEN_SAY_FAILED,    /* challenge_failed */
    MIEN_SAY_FEEDBACK,
    MIEN_SAY_SCORES,    /* score_update */
    MIEN_SAY_SUCCESS,   /* verification_success: a token is to be made */
    MIEN_SAY_REJECTED,  /* verification_failed */
    MIEN_SAY_CLOSE      /* the last: close with code and reason */
};
struct mien_proof_action {
    enum mien_proof_action_kind kind;
    enum mien_challenge challenge;
    int number, total;                  /* from 1 */
    uint8_t nonce[MIEN_NONCE];          /* of ISSUED */
    char challenge_id[33];              /* 32 hex, random */
    struct mien_judgement judgement;    /* of FEEDBACK, COMPLETED, FAILED */
    struct mien_proof_scores scores;
    int completed;                      /* so far */
    int close_code; const char *reason; /* REJECTED, CLOSE; static text: "Session timeout", ... (CONTRACT.md) */
    const char *security;               /* REJECTED: what is to be logged as a security event ("identity_changed"); static, NULL = nothing */
    bool face_present; int faces; struct mien_box box; int width, height; /* of FEEDBACK */
    const char *hint;                   /* of FEEDBACK; static */
};

struct mien_proof; /* opaque; wiped when freed */

/* `random` fills n bytes (mien_random, or a test's own); a failure of it ends the session with 1011. NULL: out of memory. */
typedef enum mien_code mien_proof_random(void *context, void *out, size_t n, struct mien_err *e);
struct mien_proof *mien_proof_create(const struct mien_proof_rules *r, mien_proof_random *random, void *context);
void mien_proof_free(struct mien_proof **p);
enum mien_proof_state mien_proof_state(const struct mien_proof *p);

/* Each takes one event and writes the actions that follow from it, in order; returns how many. */
int mien_proof_begin(struct mien_proof *p, int64_t now_ms, struct mien_proof_action out[MIEN_PROOF_ACTIONS]);
/* Frames come mirrored, as a selfie's taker sees them. Without effect once a frame has been accepted: one recorded turn must not serve for both sides. */
void mien_proof_mirror(struct mien_proof *p, bool mirrored);
/* A frame has arrived: checked before it costs anything. Nonce of another challenge or session: "Invalid nonce"; stamped at or before an accepted frame:
 * "Replay attack detected". A frame with the nonce of the challenge before, sent before the new one can have arrived (2 s), is dropped without harm.
 * *analyse: whether it is to be analysed. */
int mien_proof_arrival(struct mien_proof *p, int64_t now_ms, int64_t stamp_ms, const uint8_t nonce[MIEN_NONCE], bool *analyse,
                       struct mien_proof_action out[MIEN_PROOF_ACTIONS]);
/* MIEN_WANT_* bits for the next frame's analysis, all of them. */
unsigned mien_proof_wants(const struct mien_proof *p);
/* The analysed frame. look->at_ms is its stamp. */
int mien_proof_look(struct mien_proof *p, int64_t now_ms, const struct mien_look *look, struct mien_proof_action out[MIEN_PROOF_ACTIONS]);
/* The client says that it is done with a challenge, which has failed then: what was seen of it would have ended it. `challenge_id` NULL: it does not say which;
 * a claim about another challenge, or one that may have crossed the new challenge on its way (2 s), is not taken. */
int mien_proof_client_done(struct mien_proof *p, int64_t now_ms, const char *challenge_id, struct mien_proof_action out[MIEN_PROOF_ACTIONS]);
/* Something outside ends the session. `reason`, `security`: as in an action. */
int mien_proof_stop(struct mien_proof *p, int64_t now_ms, const char *reason, const char *security, struct mien_proof_action out[MIEN_PROOF_ACTIONS]);
/* Time has passed. mien_proof_next_ms: when to call it at the latest. */
int mien_proof_tick(struct mien_proof *p, int64_t now_ms, struct mien_proof_action out[MIEN_PROOF_ACTIONS]);
int64_t mien_proof_next_ms(const struct mien_proof *p);

#endif
