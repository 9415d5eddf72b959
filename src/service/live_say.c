/* What a client of a live session is told: {type, message, data}, one writer for each kind. docs/sessions.md has an example of each. */
#include "codec/hex.h"
#include "service/live_inner.h"

enum { SCORE_DECIMALS = 4 };

static void score(struct mien_jw *w, const char *key, double value)
{
    mien_jw_key(w, key);
    mien_jw_fixed(w, value, SCORE_DECIMALS);
}

static void modality(struct mien_jw *w, const char *key, struct mien_modality m)
{
    mien_jw_key(w, key);
    if (m.present) mien_jw_fixed(w, (double)m.score, SCORE_DECIMALS);
    else mien_jw_null(w);
}

static void scores(struct mien_jw *w, const struct mien_proof_scores *s)
{
    modality(w, "liveness_score", s->liveness);
    modality(w, "emotion_score", s->emotion);
    modality(w, "deepfake_score", s->deepfake);
    score(w, "final_score", (double)s->final);
}

static void challenge(struct mien_jw *w, const struct mien_proof_action *a)
{
    mien_jw_put_string(w, "challenge_id", a->challenge_id);
    mien_jw_put_string(w, "challenge", mien_challenge_name(a->challenge));
    mien_jw_put_string(w, "type", mien_challenge_is_gesture(a->challenge) ? "gesture" : "expression");
}

static void issued(struct mien_jw *w, const struct mien_proof_action *a, const struct mien_live_told *told)
{
    char nonce[2 * MIEN_NONCE + 1];
    mien_hex(a->nonce, MIEN_NONCE, nonce);
    challenge(w, a);
    mien_jw_put_string(w, "instruction", mien_challenge_instruction(a->challenge));
    mien_jw_put_string(w, "nonce", nonce);
    score(w, "timeout_seconds", told->challenge_ms / 1000.0);
    mien_jw_put_integer(w, "challenge_number", a->number);
    mien_jw_put_integer(w, "total_challenges", a->total);
}

static void ended(struct mien_jw *w, const struct mien_proof_action *a)
{
    challenge(w, a);
    score(w, "confidence", (double)a->judgement.confidence);
    mien_jw_put_integer(w, "completed_count", a->completed);
    mien_jw_put_integer(w, "total_challenges", a->total);
}

static void box(struct mien_jw *w, const struct mien_proof_action *a)
{
    mien_jw_key(w, "box");
    if (!a->face_present) {
        mien_jw_null(w);
        return;
    }
    mien_jw_object(w);
    mien_jw_put_integer(w, "x", (int64_t)a->box.x0);
    mien_jw_put_integer(w, "y", (int64_t)a->box.y0);
    mien_jw_put_integer(w, "width", (int64_t)(a->box.x1 - a->box.x0));
    mien_jw_put_integer(w, "height", (int64_t)(a->box.y1 - a->box.y0));
    mien_jw_end_object(w);
}

static void feedback(struct mien_jw *w, const struct mien_proof_action *a)
{
    mien_jw_key(w, "face_present");
    mien_jw_bool(w, a->face_present);
    mien_jw_put_integer(w, "faces", a->faces);
    box(w, a);
    mien_jw_put_integer(w, "frame_width", a->width);
    mien_jw_put_integer(w, "frame_height", a->height);
    mien_jw_put_string(w, "hint", a->hint);
    mien_jw_put_string(w, "challenge_id", a->challenge_id);
    score(w, "confidence", (double)a->judgement.confidence);
    score(w, "progress", (double)a->judgement.progress);
    scores(w, &a->scores);
}

static const char *message_of(const struct mien_proof_action *a)
{
    switch (a->kind) {
    case MIEN_SAY_ISSUED: return mien_challenge_instruction(a->challenge);
    case MIEN_SAY_COMPLETED: return "Challenge completed";
    case MIEN_SAY_FAILED: return "Challenge not completed";
    case MIEN_SAY_FEEDBACK: return a->hint != NULL ? a->hint : "Go on";
    case MIEN_SAY_SCORES: return "Scores so far";
    case MIEN_SAY_SUCCESS: return "Verification successful";
    case MIEN_SAY_REJECTED: return a->reason;
    case MIEN_SAY_CLOSE: break;
    }
    return "";
}

static const char *type_of(enum mien_proof_action_kind k)
{
    static const char *const NAME[] = {
        [MIEN_SAY_ISSUED] = "challenge_issued", [MIEN_SAY_COMPLETED] = "challenge_completed", [MIEN_SAY_FAILED] = "challenge_failed",
        [MIEN_SAY_FEEDBACK] = "feedback", [MIEN_SAY_SCORES] = "score_update", [MIEN_SAY_SUCCESS] = "verification_success",
        [MIEN_SAY_REJECTED] = "verification_failed", [MIEN_SAY_CLOSE] = "close"};
    return NAME[k];
}

static void data_of(struct mien_jw *w, const struct mien_proof_action *a, const struct mien_live_told *told)
{
    switch (a->kind) {
    case MIEN_SAY_ISSUED: issued(w, a, told); break;
    case MIEN_SAY_COMPLETED:
    case MIEN_SAY_FAILED: ended(w, a); break;
    case MIEN_SAY_FEEDBACK: feedback(w, a); break;
    case MIEN_SAY_SCORES: scores(w, &a->scores); break;
    case MIEN_SAY_SUCCESS:
        mien_jw_put_string(w, "token", told->token);
        scores(w, &a->scores);
        mien_jw_put_integer(w, "expires_in_minutes", told->token_minutes);
        break;
    case MIEN_SAY_REJECTED:
        mien_jw_put_string(w, "reason", a->reason);
        score(w, "threshold", (double)told->threshold);
        scores(w, &a->scores);
        break;
    case MIEN_SAY_CLOSE: break;
    }
}

static void open_message(struct mien_jw *w, struct mien_buf *out, const char *type, const char *message)
{
    mien_jw_init(w, out);
    mien_jw_object(w);
    mien_jw_put_string(w, "type", type);
    mien_jw_put_string(w, "message", message);
    mien_jw_key(w, "data");
    mien_jw_object(w);
}

void mien_live_say(const struct mien_proof_action *a, const struct mien_live_told *told, struct mien_buf *out)
{
    struct mien_jw w;
    open_message(&w, out, type_of(a->kind), message_of(a));
    data_of(&w, a, told);
    mien_jw_end_object(&w);
    mien_jw_end_object(&w);
}

void mien_live_say_error(const char *code, const char *message, struct mien_buf *out)
{
    struct mien_jw w;
    open_message(&w, out, "error", message);
    mien_jw_put_string(&w, "code", code);
    mien_jw_end_object(&w);
    mien_jw_end_object(&w);
}
