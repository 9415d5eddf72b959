/* What stays of a live session: rows of the ledger, and the token of a success. Nonces are kept as hashes; nothing here is biometric. Runs on workers: each
 * call waits for the disk. */
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "codec/hex.h"
#include "crypto/digest.h"
#include "crypto/random.h"
#include "service/exchange.h"
#include "service/live_inner.h"

enum { DETAILS = 1024, ROWS = 4, TOKEN_BYTES = 8192, CLAIMS_BYTES = 4096, MS_PER_SECOND = 1000, SECONDS_PER_MINUTE = 60, RANDOM_ID = 16 };

/* Rows of the log for one step. */
struct rows { struct mien_audit_row row[ROWS]; int n; };

static void add_row(struct rows *rows, const struct mien_live_record *r, enum mien_audit_event event, int64_t now_ms, const char *details)
{
    rows->row[rows->n++] = (struct mien_audit_row){.at_ms = now_ms, .event = event, .session_id = r->session_id, .user_id = r->user_id,
                                                   .client = r->client, .details = details};
}

static struct mien_ledger_session session_of(const struct mien_live_record *r, const char *status, int64_t ended_ms)
{
    return (struct mien_ledger_session){.session_id = r->session_id, .user_id = r->user_id, .client = r->client, .status = status,
                                        .created_ms = r->created_ms, .expires_ms = r->expires_ms, .ended_ms = ended_ms};
}

static enum mien_code write_step(const struct mien_live *l, struct mien_ledger_step *step, const struct rows *rows, struct mien_err *e)
{
    step->row = rows->row;
    step->n_rows = rows->n;
    return mien_ledger_write(l->settings.ledger, step, e);
}

/* ---- details: a small JSON object each ---- */

struct details { char text[DETAILS]; struct mien_buf buf; struct mien_jw w; };

static void open_details(struct details *d)
{
    mien_buf_init(&d->buf, DETAILS - 1);
    mien_jw_init(&d->w, &d->buf);
    mien_jw_object(&d->w);
}

static void say_text(struct details *d, const char *key, const char *value)
{
    mien_jw_key(&d->w, key);
    mien_jw_string(&d->w, value);
}

static void say_number(struct details *d, const char *key, double value)
{
    mien_jw_key(&d->w, key);
    mien_jw_fixed(&d->w, value, 4);
}

static const char *close_details(struct details *d)
{
    mien_jw_end_object(&d->w);
    snprintf(d->text, sizeof d->text, "%s", d->buf.failed || d->buf.data == NULL ? "{}" : d->buf.data);
    mien_buf_free(&d->buf);
    return d->text;
}

static const char *reason_details(struct details *d, const char *reason)
{
    open_details(d);
    say_text(d, "reason", reason);
    return close_details(d);
}

static const char *challenge_details(struct details *d, const struct mien_proof_action *a)
{
    open_details(d);
    say_text(d, "challenge", mien_challenge_name(a->challenge));
    say_text(d, "challenge_id", a->challenge_id);
    say_number(d, "confidence", (double)a->judgement.confidence);
    say_number(d, "number", a->number);
    say_number(d, "total", a->total);
    return close_details(d);
}

static double value_of(struct mien_modality m) { return m.present ? (double)m.score : 0.0; }

static const char *result_details(struct details *d, bool passed, const struct mien_proof_action *a, const char *reason)
{
    open_details(d);
    mien_jw_key(&d->w, "passed");
    mien_jw_bool(&d->w, passed);
    say_number(d, "final", (double)a->scores.final);
    say_number(d, "liveness", value_of(a->scores.liveness));
    say_number(d, "emotion", value_of(a->scores.emotion));
    say_number(d, "deepfake", value_of(a->scores.deepfake));
    say_number(d, "completed", a->completed);
    say_number(d, "total", a->total);
    say_text(d, "reason", reason);
    return close_details(d);
}

static struct mien_ledger_result result_of(const struct mien_live_record *r, bool passed, const struct mien_proof_action *a, const char *reason, int64_t now_ms)
{
    return (struct mien_ledger_result){.session_id = r->session_id, .user_id = r->user_id, .passed = passed, .liveness = value_of(a->scores.liveness),
                                       .emotion = value_of(a->scores.emotion), .deepfake = value_of(a->scores.deepfake), .final = (double)a->scores.final,
                                       .at_ms = now_ms, .reason = reason};
}

/* ---- steps ---- */

enum mien_code mien_live_record_created(const struct mien_live *l, const struct mien_live_record *r, struct mien_err *e)
{
    struct rows rows = {.n = 0};
    const struct mien_ledger_session session = session_of(r, "created", 0);
    struct mien_ledger_step step = {.session = &session};
    add_row(&rows, r, MIEN_AUDIT_SESSION_CREATED, r->created_ms, "{}");
    return write_step(l, &step, &rows, e);
}

static struct mien_ledger_nonce nonce_of(const struct mien_live *l, const struct mien_live_record *r, const struct mien_proof_action *a, int64_t used_ms)
{
    return (struct mien_ledger_nonce){.nonce_hash = r->nonce_hash, .session_id = r->session_id, .challenge_id = a->challenge_id, .issued_ms = r->issued_ms,
                                      .expires_ms = r->issued_ms + l->settings.rules.nonce_ms, .used_ms = used_ms};
}

enum mien_code mien_live_record_issued(const struct mien_live *l, struct mien_live_record *r, const struct mien_proof_action *a, struct mien_err *e)
{
    struct rows rows = {.n = 0};
    MIEN_TRY(mien_sha256_hex(a->nonce, MIEN_NONCE, r->nonce_hash, e));
    r->issued_ms = mien_utc_ms();
    if (!r->started) r->expires_ms = r->issued_ms + l->settings.rules.session_ms;
    const struct mien_ledger_nonce nonce = nonce_of(l, r, a, 0);
    const struct mien_ledger_session session = session_of(r, "active", 0);
    struct mien_ledger_step step = {.nonce = &nonce, .session = r->started ? NULL : &session};
    if (!r->started) add_row(&rows, r, MIEN_AUDIT_SESSION_START, r->issued_ms, "{}");
    MIEN_TRY(write_step(l, &step, &rows, e));
    r->started = true;
    return MIEN_OK;
}

/* The nonce is used up for all servers. */
static enum mien_code use_nonce(const struct mien_live *l, const struct mien_live_record *r, struct mien_err *e)
{
    char key[MIEN_KEEP_KEY + 1];
    bool first = false;
    snprintf(key, sizeof key, "nonce:%s", r->nonce_hash);
    MIEN_TRY(mien_keep_once(l->service->keep, key, l->settings.rules.nonce_ms / MS_PER_SECOND, mien_now_ns(), &first, e));
    MIEN_FAIL_IF(!first, e, MIEN_E_SESSION, "a challenge's nonce was used before");
    return MIEN_OK;
}

enum mien_code mien_live_record_challenge(const struct mien_live *l, struct mien_live_record *r, const struct mien_proof_action *a, struct mien_err *e)
{
    struct rows rows = {.n = 0};
    struct details d;
    MIEN_TRY(use_nonce(l, r, e));
    const int64_t now_ms = mien_utc_ms();
    const struct mien_ledger_nonce nonce = nonce_of(l, r, a, now_ms);
    struct mien_ledger_step step = {.nonce = &nonce};
    add_row(&rows, r, a->kind == MIEN_SAY_COMPLETED ? MIEN_AUDIT_CHALLENGE_COMPLETED : MIEN_AUDIT_CHALLENGE_FAILED, now_ms, challenge_details(&d, a));
    return write_step(l, &step, &rows, e);
}

/* Everything that the contract names. */
static enum mien_code sign(const struct mien_live *l, const struct mien_live_record *r, const struct mien_proof_action *a, const struct mien_ledger_token *t,
                           struct mien_buf *token, struct mien_err *e)
{
    struct mien_buf claims;
    struct mien_jw w;
    mien_buf_init(&claims, CLAIMS_BYTES);
    mien_jw_init(&w, &claims);
    mien_jw_object(&w);
    const struct { const char *key, *value; } TEXTS[] = {{"iss", MIEN_TOKEN_ISSUER}, {"sub", r->user_id}, {"user_id", r->user_id},
        {"session_id", r->session_id}, {"jti", t->jti}, {"aud", l->settings.audience}};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        if (TEXTS[i].value == NULL) continue;
        mien_jw_key(&w, TEXTS[i].key);
        mien_jw_string(&w, TEXTS[i].value);
    }
    mien_jw_key(&w, "final_score");
    mien_jw_fixed(&w, (double)a->scores.final, 4);
    mien_jw_key(&w, "verification_score");
    mien_jw_fixed(&w, (double)a->scores.final, 4);
    mien_jw_key(&w, "iat");
    mien_jw_integer(&w, t->issued_ms / MS_PER_SECOND);
    mien_jw_key(&w, "exp");
    mien_jw_integer(&w, t->expires_ms / MS_PER_SECOND);
    mien_jw_end_object(&w);
    const enum mien_code code = claims.failed ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory for a token")
                                              : mien_jwt_sign(l->settings.signer, claims.data, claims.len, token, e);
    mien_buf_free(&claims);
    return code;
}

static enum mien_code new_id(char hex[2 * RANDOM_ID + 1], struct mien_err *e)
{
    uint8_t bytes[RANDOM_ID];
    MIEN_TRY(mien_random(bytes, sizeof bytes, e));
    mien_hex(bytes, sizeof bytes, hex);
    return MIEN_OK;
}

static const char *token_details(struct details *d, const struct mien_ledger_token *t)
{
    open_details(d);
    say_text(d, "jti", t->jti);
    say_number(d, "expires", (double)(t->expires_ms / MS_PER_SECOND));
    return close_details(d);
}

enum mien_code mien_live_record_success(const struct mien_live *l, struct mien_live_record *r, const struct mien_proof_action *a, struct mien_buf *token,
                                        struct mien_err *e)
{
    struct rows rows = {.n = 0};
    struct details result_text, token_text;
    char jti[2 * RANDOM_ID + 1];
    MIEN_TRY(new_id(jti, e));
    const int64_t now_ms = mien_utc_ms() / MS_PER_SECOND * MS_PER_SECOND, life_ms = (int64_t)l->settings.token_minutes * SECONDS_PER_MINUTE * MS_PER_SECOND;
    const struct mien_ledger_token t = {.jti = jti, .session_id = r->session_id, .user_id = r->user_id, .issued_ms = now_ms, .expires_ms = now_ms + life_ms};
    MIEN_TRY(sign(l, r, a, &t, token, e));
    const struct mien_ledger_session session = session_of(r, "passed", now_ms);
    const struct mien_ledger_result result = result_of(r, true, a, "", now_ms);
    struct mien_ledger_step step = {.session = &session, .result = &result, .token = &t};
    add_row(&rows, r, MIEN_AUDIT_VERIFICATION_RESULT, now_ms, result_details(&result_text, true, a, ""));
    add_row(&rows, r, MIEN_AUDIT_TOKEN_ISSUANCE, now_ms, token_details(&token_text, &t));
    MIEN_TRY(write_step(l, &step, &rows, e));
    r->ended = true;
    return MIEN_OK;
}

enum mien_code mien_live_record_rejected(const struct mien_live *l, struct mien_live_record *r, const struct mien_proof_action *a, struct mien_err *e)
{
    struct rows rows = {.n = 0};
    struct details event, result_text, reason;
    const bool terminated = a->close_code != 1000; /* by a rule, not by its scores */
    const int64_t now_ms = mien_utc_ms();
    const struct mien_ledger_session session = session_of(r, terminated ? "terminated" : "failed", now_ms);
    const struct mien_ledger_result result = result_of(r, false, a, a->reason, now_ms);
    struct mien_ledger_step step = {.session = &session, .result = &result};
    if (a->security != NULL) {
        open_details(&event);
        say_text(&event, "event", a->security);
        add_row(&rows, r, MIEN_AUDIT_SECURITY_EVENT, now_ms, close_details(&event));
    }
    add_row(&rows, r, MIEN_AUDIT_VERIFICATION_RESULT, now_ms, result_details(&result_text, false, a, a->reason));
    if (terminated) add_row(&rows, r, MIEN_AUDIT_SESSION_TERMINATED, now_ms, reason_details(&reason, a->reason));
    MIEN_TRY(write_step(l, &step, &rows, e));
    r->ended = true;
    return MIEN_OK;
}

enum mien_code mien_live_record_terminated(const struct mien_live *l, struct mien_live_record *r, const char *reason, struct mien_err *e)
{
    struct rows rows = {.n = 0};
    struct details d;
    const int64_t now_ms = mien_utc_ms();
    const struct mien_ledger_session session = session_of(r, "terminated", now_ms);
    struct mien_ledger_step step = {.session = &session};
    add_row(&rows, r, MIEN_AUDIT_SESSION_TERMINATED, now_ms, reason_details(&d, reason));
    MIEN_TRY(write_step(l, &step, &rows, e));
    r->ended = true;
    return MIEN_OK;
}
