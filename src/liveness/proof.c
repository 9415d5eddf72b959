/* The state machine of a live session. Each event first ends what time has ended (overdue), then does its own work; every way out of a session goes through
 * finish() or stop(), so that what is said last is said once.
 *
 *   NEW --begin--> CHALLENGE --(the next one, while there is one)--> CHALLENGE
 *   CHALLENGE --finish--> PASSED or FAILED (all challenges are over, the scores decide)
 *   CHALLENGE --stop--> ENDED (a rule was broken, or time is up) */
#include "liveness/proof.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "codec/hex.h"

enum {
    CROSSING_MS = 2000,    /* a frame or a claim about the challenge before may still be on its way for so long */
    FEEDBACK_MS = 500,     /* a frame that has arrived is answered by feedback within this time, analysed or not */
    SCORES_MS = 1000,      /* between two score_update while a challenge goes on */
    IDENTITY_MS = 1000,    /* between two embeddings of one face */
    REFERENCE_FACES = 3,   /* the session's first faces, whose mean is the person */
    STRANGERS = 2,         /* frames in a row that must show somebody else: one may be blurred, or a grimace */
    DRAWS = 64             /* of a random choice, before the source of randomness is taken for broken: each draw is good with probability 1/2 at least */
};
#define AT_REST 0.25f      /* confidence below which a face does not show its challenge yet */

struct mien_proof {
    struct mien_proof_rules rules;
    mien_proof_random *random;
    void *context;
    enum mien_proof_state state;
    struct mien_proof_score *score;

    /* challenges */
    enum mien_challenge list[MIEN_PROOF_MAX];
    int total, index, completed, failures_in_row;
    bool did_gesture, did_expression;
    uint8_t nonce[MIEN_NONCE], nonce_before[MIEN_NONCE];
    char challenge_id[33];
    bool judging;                       /* the judge has begun with this challenge: at its first frame */
    struct mien_judgement best, latest; /* of this challenge */

    /* times */
    int64_t now_ms, begun_ms, issued_ms, arrived_ms; /* arrived: the newest frame */
    int64_t scores_ms;                               /* when the last score_update was */
    int64_t unanswered_ms;                           /* the oldest frame since the last feedback; -1 = none */
    bool has_frame;
    int64_t stamp, stamp_before;                     /* the newest accepted; and when this challenge was issued: older frames do not count for it */

    /* identity */
    int dim, n_person, strangers;
    bool identity_due;                /* the face was lost, or seems to be another's */
    int64_t identity_ms;

    struct mien_proof_action seen;    /* what the last frame's feedback said */

    /* What only frames fill. Cleared when the first one comes: a session that waits for it touches no memory of these. */
    float person[MIEN_MAX_EMBEDDING]; /* sum of the first faces' embeddings */
    struct mien_rest rest;
    struct mien_judge judge;
};

struct mien_proof_rules mien_proof_rules_default(void)
{
    return (struct mien_proof_rules){.score = mien_proof_settings_default(), .session_ms = 120000, .challenge_ms = 10000, .nonce_ms = 300000, .gap_ms = 2000,
                                     .first_frame_ms = 30000, .max_failures = 3, .same_person = 0.3f, .have = ~0u};
}

struct mien_proof *mien_proof_create(const struct mien_proof_rules *r, mien_proof_random *random, void *context)
{
    struct mien_proof *p = malloc(sizeof *p);
    if (p == NULL) return NULL;
    memset(p, 0, offsetof(struct mien_proof, person));
    p->rules = *r;
    p->random = random;
    p->context = context;
    p->unanswered_ms = -1;
    p->identity_due = true;
    p->score = mien_proof_score_create(&r->score);
    if (p->score == NULL) mien_proof_free(&p);
    return p;
}

void mien_proof_free(struct mien_proof **p)
{
    if (*p == NULL) return;
    mien_proof_score_free(&(*p)->score);
    explicit_bzero(*p, (*p)->has_frame ? sizeof **p : offsetof(struct mien_proof, person));
    free(*p);
    *p = NULL;
}

enum mien_proof_state mien_proof_state(const struct mien_proof *p) { return p->state; }

/* ---- what is said ---- */

struct says { struct mien_proof_action *action; int n; };

static struct mien_proof_action *say(const struct mien_proof *p, struct says *s, enum mien_proof_action_kind kind)
{
    assert(s->n < MIEN_PROOF_ACTIONS);
    struct mien_proof_action *a = &s->action[s->n++];
    const int at = p->index < p->total ? p->index : p->total - 1;
    *a = (struct mien_proof_action){.kind = kind, .number = at + 1, .total = p->total, .completed = p->completed};
    if (at >= 0) a->challenge = p->list[at];
    memcpy(a->challenge_id, p->challenge_id, sizeof a->challenge_id);
    a->scores = mien_proof_score_now(p->score);
    return a;
}

static void say_scores(struct mien_proof *p, struct says *s)
{
    say(p, s, MIEN_SAY_SCORES);
    p->scores_ms = p->now_ms;
}

static void say_close(const struct mien_proof *p, struct says *s, int code, const char *reason)
{
    struct mien_proof_action *a = say(p, s, MIEN_SAY_CLOSE);
    a->close_code = code;
    a->reason = reason;
}

static void say_rejected(const struct mien_proof *p, struct says *s, int code, const char *reason, const char *security)
{
    struct mien_proof_action *a = say(p, s, MIEN_SAY_REJECTED);
    a->close_code = code;
    a->reason = reason;
    a->security = security;
}

/* A rule ends the session. */
static void stop(struct mien_proof *p, struct says *s, const char *reason, const char *security)
{
    p->state = MIEN_PROOF_ENDED;
    say_rejected(p, s, 1008, reason, security);
    say_close(p, s, 1008, reason);
}

static void stop_broken(struct mien_proof *p, struct says *s)
{
    p->state = MIEN_PROOF_ENDED;
    say_close(p, s, 1011, "Internal error");
}

/* All challenges are over: why the person is not taken for a living one, or NULL. */
static const char *verdict(const struct mien_proof *p)
{
    if (p->completed * 2 <= p->total) return "Too few challenges completed";
    if (!p->did_gesture) return "No gesture completed";
    if (!p->did_expression) return "No expression completed";
    if (!(mien_proof_score_now(p->score).final >= p->rules.score.pass)) return "Score below threshold";
    return NULL;
}

static void finish(struct mien_proof *p, struct says *s)
{
    const char *why = verdict(p);
    p->state = why == NULL ? MIEN_PROOF_PASSED : MIEN_PROOF_FAILED;
    if (why == NULL) say(p, s, MIEN_SAY_SUCCESS);
    else say_rejected(p, s, 1000, why, NULL);
    say_close(p, s, 1000, why == NULL ? "Verified" : "Not verified");
}

/* ---- challenges ---- */

/* A number below n (at most 256), each as likely; -1: no randomness. */
static int draw_below(struct mien_proof *p, int n)
{
    for (int i = 0; i < DRAWS; i++) {
        uint8_t byte;
        if (p->random(p->context, &byte, 1, NULL) != MIEN_OK) return -1;
        if (byte < 256 - 256 % n) return byte % n;
    }
    return -1;
}

/* The first `total` of a shuffled deck. */
static bool deal(struct mien_proof *p)
{
    enum mien_challenge deck[MIEN_CHALLENGES];
    int n = 0;
    for (int c = 0; c < MIEN_CHALLENGES; c++)
        if (mien_challenge_available((enum mien_challenge)c, p->rules.have)) deck[n++] = (enum mien_challenge)c;
    for (int i = 0; i < p->total; i++) {
        const int k = i < n ? draw_below(p, n - i) : -1;
        if (k < 0) return false;
        p->list[i] = deck[i + k];
        deck[i + k] = deck[i];
    }
    return true;
}

/* Deals until there is a gesture and an expression: every list that has both is as likely as any other. */
static bool draw_challenges(struct mien_proof *p)
{
    if (p->rules.n_fixed > 0) {
        p->total = p->rules.n_fixed;
        memcpy(p->list, p->rules.fixed, sizeof p->list);
        return true;
    }
    const int more = draw_below(p, MIEN_PROOF_MAX - MIEN_PROOF_MIN + 1);
    if (more < 0) return false;
    p->total = MIEN_PROOF_MIN + more;
    for (int i = 0; i < DRAWS; i++) {
        int gestures = 0;
        if (!deal(p)) return false;
        for (int k = 0; k < p->total; k++) gestures += mien_challenge_is_gesture(p->list[k]);
        if (gestures > 0 && gestures < p->total) return true;
    }
    return false;
}

static void issue(struct mien_proof *p, struct says *s)
{
    uint8_t id[16];
    memcpy(p->nonce_before, p->nonce, sizeof p->nonce);
    if (p->random(p->context, p->nonce, sizeof p->nonce, NULL) != MIEN_OK || p->random(p->context, id, sizeof id, NULL) != MIEN_OK) {
        stop_broken(p, s);
        return;
    }
    mien_hex(id, sizeof id, p->challenge_id);
    p->state = MIEN_PROOF_CHALLENGE;
    p->issued_ms = p->now_ms;
    p->stamp_before = p->stamp;
    p->best = p->latest = (struct mien_judgement){0};
    p->judging = false;
    memcpy(say(p, s, MIEN_SAY_ISSUED)->nonce, p->nonce, sizeof p->nonce);
}

/* A challenge is over: the next, or the verdict. */
static void end_challenge(struct mien_proof *p, struct says *s, bool passed)
{
    const enum mien_challenge c = p->list[p->index];
    const bool gesture = mien_challenge_is_gesture(c);
    if (passed) {
        p->completed++;
        p->failures_in_row = 0;
        *(gesture ? &p->did_gesture : &p->did_expression) = true;
    } else {
        p->failures_in_row++;
    }
    mien_proof_score_challenge(p->score, !gesture, passed, p->best.confidence);
    say(p, s, passed ? MIEN_SAY_COMPLETED : MIEN_SAY_FAILED)->judgement = p->best;
    say_scores(p, s);
    p->index++;
    if (p->failures_in_row >= p->rules.max_failures) stop(p, s, "Max failures", NULL);
    else if (p->index < p->total) issue(p, s);
    else finish(p, s);
}

/* ---- time ---- */

static bool on_going(const struct mien_proof *p) { return p->state == MIEN_PROOF_CHALLENGE; }

/* When the stream is taken for broken off. */
static int64_t silence_ends(const struct mien_proof *p)
{
    return p->has_frame ? p->arrived_ms + p->rules.gap_ms + 1 : p->begun_ms + p->rules.first_frame_ms;
}

/* Ends what time has ended, the whole session before its parts. */
static void overdue(struct mien_proof *p, int64_t now_ms, struct says *s)
{
    p->now_ms = now_ms;
    if (!on_going(p)) return;
    if (now_ms >= p->begun_ms + p->rules.session_ms || now_ms >= silence_ends(p)) stop(p, s, "Session timeout", NULL);
    else if (now_ms >= p->issued_ms + p->rules.challenge_ms) end_challenge(p, s, false);
}

int64_t mien_proof_next_ms(const struct mien_proof *p)
{
    if (!on_going(p)) return INT64_MAX;
    int64_t next = p->begun_ms + p->rules.session_ms;
    if (silence_ends(p) < next) next = silence_ends(p);
    if (p->issued_ms + p->rules.challenge_ms < next) next = p->issued_ms + p->rules.challenge_ms;
    if (p->unanswered_ms >= 0 && p->unanswered_ms + FEEDBACK_MS < next) next = p->unanswered_ms + FEEDBACK_MS;
    return next;
}

int mien_proof_tick(struct mien_proof *p, int64_t now_ms, struct mien_proof_action out[MIEN_PROOF_ACTIONS])
{
    struct says s = {.action = out};
    overdue(p, now_ms, &s);
    if (on_going(p) && p->unanswered_ms >= 0 && now_ms >= p->unanswered_ms + FEEDBACK_MS) {
        struct mien_proof_action *a = say(p, &s, MIEN_SAY_FEEDBACK);
        a->judgement = p->latest;
        a->face_present = p->seen.face_present;
        a->faces = p->seen.faces;
        a->box = p->seen.box;
        a->width = p->seen.width;
        a->height = p->seen.height;
        a->hint = "One moment, the server is busy";
        p->unanswered_ms = -1;
    }
    return s.n;
}

/* ---- events ---- */

int mien_proof_begin(struct mien_proof *p, int64_t now_ms, struct mien_proof_action out[MIEN_PROOF_ACTIONS])
{
    struct says s = {.action = out};
    assert(p->state == MIEN_PROOF_NEW);
    p->now_ms = p->begun_ms = p->scores_ms = now_ms;
    if (draw_challenges(p)) issue(p, &s);
    else stop_broken(p, &s);
    return s.n;
}

void mien_proof_mirror(struct mien_proof *p, bool mirrored)
{
    if (!p->has_frame) p->rules.mirrored = mirrored;
}

/* Whether bytes are equal, in time that does not tell where they differ. */
static bool equal(const uint8_t *a, const uint8_t *b, size_t n)
{
    unsigned different = 0;
    for (size_t i = 0; i < n; i++) different |= (unsigned)a[i] ^ b[i];
    return different == 0;
}

static bool may_have_crossed(const struct mien_proof *p) { return p->index > 0 && p->now_ms < p->issued_ms + CROSSING_MS; }

static void arrive(struct mien_proof *p, int64_t stamp_ms, const uint8_t nonce[MIEN_NONCE], bool *analyse, struct says *s)
{
    if (!equal(nonce, p->nonce, MIEN_NONCE)) {
        if (may_have_crossed(p) && equal(nonce, p->nonce_before, MIEN_NONCE)) p->arrived_ms = p->now_ms;
        else stop(p, s, "Invalid nonce", "invalid_nonce");
        return;
    }
    if (p->now_ms >= p->issued_ms + p->rules.nonce_ms) {
        stop(p, s, "Invalid nonce", "expired_nonce");
        return;
    }
    if (p->has_frame && stamp_ms <= p->stamp) {
        stop(p, s, "Replay attack detected", "replayed_frame");
        return;
    }
    if (!p->has_frame) memset((char *)p + offsetof(struct mien_proof, person), 0, sizeof *p - offsetof(struct mien_proof, person));
    p->has_frame = true;
    p->stamp = stamp_ms;
    p->arrived_ms = p->now_ms;
    if (p->unanswered_ms < 0) p->unanswered_ms = p->now_ms;
    *analyse = true;
}

int mien_proof_arrival(struct mien_proof *p, int64_t now_ms, int64_t stamp_ms, const uint8_t nonce[MIEN_NONCE], bool *analyse,
                       struct mien_proof_action out[MIEN_PROOF_ACTIONS])
{
    struct says s = {.action = out};
    *analyse = false;
    overdue(p, now_ms, &s);
    if (on_going(p)) arrive(p, stamp_ms, nonce, analyse, &s);
    return s.n;
}

unsigned mien_proof_wants(const struct mien_proof *p)
{
    unsigned wants = MIEN_WANT_MESH | MIEN_WANT_POSE | MIEN_WANT_EYES | MIEN_WANT_BLENDSHAPES | mien_proof_score_wants(p->score);
    if (on_going(p)) wants |= mien_challenge_wants(p->list[p->index], p->rules.have);
    if (p->identity_due || p->now_ms - p->identity_ms >= IDENTITY_MS) wants |= MIEN_WANT_EMBEDDING;
    return wants & p->rules.have;
}

static void learn_person(struct mien_proof *p, const struct mien_face *face)
{
    p->n_person++;
    p->dim = face->embedding_dim;
    for (int i = 0; i < p->dim; i++) p->person[i] += face->embedding[i];
}

/* Cosine of the face and the person's mean. */
static float likeness(const struct mien_proof *p, const struct mien_face *face)
{
    double dot = 0.0, square = 0.0;
    for (int i = 0; i < p->dim; i++) {
        dot += (double)p->person[i] * (double)face->embedding[i];
        square += (double)p->person[i] * (double)p->person[i];
    }
    return square > 0.0 ? (float)(dot / sqrt(square)) : 0.0f;
}

/* False: somebody else is in front of the camera now. */
static bool is_same_person(struct mien_proof *p, const struct mien_look *look)
{
    const struct mien_face *face = look->face;
    if (face == NULL) p->identity_due = true;
    if (face == NULL || look->faces != 1 || (face->have & MIEN_WANT_EMBEDDING) == 0 || face->embedding_dim > MIEN_MAX_EMBEDDING) return true;
    p->identity_ms = p->now_ms;
    const bool stranger = p->n_person > 0 && (face->embedding_dim != p->dim || likeness(p, face) < p->rules.same_person);
    p->strangers = stranger ? p->strangers + 1 : 0;
    p->identity_due = stranger;
    if (!stranger && p->n_person < REFERENCE_FACES) learn_person(p, face);
    return p->strangers < STRANGERS;
}

static const char *hint_of(const struct mien_look *look, const struct mien_judgement *j)
{
    if (look->face == NULL) return "Show your face to the camera";
    if (look->faces > 1) return "Only one person may be in the picture";
    return j->hint;
}

static void say_feedback(struct mien_proof *p, struct says *s, const struct mien_look *look)
{
    struct mien_proof_action *a = say(p, s, MIEN_SAY_FEEDBACK);
    a->judgement = p->latest;
    a->faces = look->faces;
    a->face_present = look->face != NULL;
    if (look->face != NULL) a->box = look->face->box;
    a->width = look->width;
    a->height = look->height;
    a->hint = hint_of(look, &p->latest);
    p->seen = *a;
    p->unanswered_ms = -1;
}

/* The frame as evidence for the challenge; true when it has ended it. */
static bool judge(struct mien_proof *p, const struct mien_look *look)
{
    if (look->at_ms <= p->stamp_before && p->index > 0) return false; /* taken before the challenge was issued */
    if (!p->judging) mien_judge_begin(&p->judge, p->list[p->index], p->rules.mirrored, p->rest.n > 0 ? &p->rest : NULL);
    p->judging = true;
    p->latest = mien_judge_look(&p->judge, look);
    if (p->latest.passed && (look->faces != 1 || p->strangers > 0)) { /* by whom? The judge begins anew */
        p->latest.passed = false;
        p->judging = false;
    }
    if (p->latest.confidence >= p->best.confidence || p->latest.passed) p->best = p->latest;
    return p->latest.passed;
}

static void take_look(struct mien_proof *p, const struct mien_look *look, struct says *s)
{
    assert(p->has_frame); /* it has arrived before */
    mien_proof_score_look(p->score, look);
    const bool same = is_same_person(p, look);
    const bool passed = judge(p, look);
    if (p->latest.confidence < AT_REST || p->list[p->index] == MIEN_NEUTRAL) mien_rest_look(&p->rest, look);
    say_feedback(p, s, look);
    if (!same) stop(p, s, "Replay attack detected", "identity_changed");
    else if (mien_proof_score_now(p->score).deepfake_detected) stop(p, s, "Deepfake detected", "deepfake");
    else if (passed) end_challenge(p, s, true);
    else if (p->now_ms - p->scores_ms >= SCORES_MS) say_scores(p, s);
}

int mien_proof_look(struct mien_proof *p, int64_t now_ms, const struct mien_look *look, struct mien_proof_action out[MIEN_PROOF_ACTIONS])
{
    struct says s = {.action = out};
    overdue(p, now_ms, &s);
    if (on_going(p)) take_look(p, look, &s);
    return s.n;
}

int mien_proof_stop(struct mien_proof *p, int64_t now_ms, const char *reason, const char *security, struct mien_proof_action out[MIEN_PROOF_ACTIONS])
{
    struct says s = {.action = out};
    overdue(p, now_ms, &s);
    if (on_going(p)) stop(p, &s, reason, security);
    return s.n;
}

int mien_proof_client_done(struct mien_proof *p, int64_t now_ms, const char *challenge_id, struct mien_proof_action out[MIEN_PROOF_ACTIONS])
{
    struct says s = {.action = out};
    overdue(p, now_ms, &s);
    if (!on_going(p)) return s.n;
    const bool meant = challenge_id != NULL ? strcmp(challenge_id, p->challenge_id) == 0 : !may_have_crossed(p);
    if (meant) end_challenge(p, &s, false);
    return s.n;
}
