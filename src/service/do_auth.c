/* POST /auth/verify, POST /token/validate and GET /.well-known/jwks.json: the begin and the end of a live session, whose WebSocket is live.c's. CONTRACT.md,
 * "Proof of life"; docs/sessions.md and docs/tokens.md. */
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "service/exchange.h"
#include "service/handlers.h"

enum { LEEWAY_S = 0 /* one clock signs and validates */, MS_PER_S = 1000 };

/* Failures in words for the client; the rooms' own say too much or speak of the gallery. */
static enum mien_code retell(struct mien_call *c, enum mien_code code, struct mien_err *e)
{
    if (code == MIEN_E_STORE) return mien_call_say(c, code, "Live sessions cannot be begun now.", e);
    MIEN_FAIL_IF(code == MIEN_E_LIMIT, e, MIEN_E_NOMEM, "too many sessions wait for their WebSocket");
    return code;
}

static void put_url(struct mien_call *c, const char *id)
{
    char url[384];
    const char *host = mien_request_header(c->request, "Host"); /* HTTP/1.0 need not say it */
    snprintf(url, sizeof url, "%s://%.300s/ws/verify/%s", mien_exchange_of(c)->caller.secure ? "wss" : "ws", host != NULL ? host : "localhost", id);
    mien_put_text(c, "websocket_url", url);
}

enum mien_code mien_do_auth_verify(struct mien_call *c, struct mien_err *e)
{
    const struct mien_caller *caller = &mien_exchange_of(c)->caller;
    const char *user_id = mien_call_text(c, "user_id");
    char id[MIEN_SESSION_ID + 1], message[80];
    if (!mien_user_id_valid(user_id)) return mien_call_refuse(c, "user_id", -1, NULL, "must be text without control characters", e);
    MIEN_TRY(retell(c, mien_live_invite(c->service->live, user_id, caller->key_name != NULL ? caller->key_name : caller->address, id, e), e));
    mien_put_text(c, "session_id", id);
    put_url(c, id);
    snprintf(message, sizeof message, "Open the WebSocket within %d seconds.", MIEN_SESSION_WAIT_S);
    mien_put_text(c, "message", message);
    return MIEN_OK;
}

static enum mien_code find_signer(struct mien_call *c, struct mien_signer **signer, struct mien_err *e)
{
    *signer = c->service->settings.live.signer;
    return *signer != NULL ? MIEN_OK : mien_call_say(c, MIEN_E_STORE, "This server signs no tokens.", e);
}

enum mien_code mien_do_token_validate(struct mien_call *c, struct mien_err *e)
{
    const char *token = mien_call_text(c, "token");
    const struct mien_jwt_rules rules = {MIEN_TOKEN_ISSUER, c->service->settings.live.audience, mien_utc_ms() / MS_PER_S, LEEWAY_S};
    struct mien_signer *signer;
    struct mien_json *claims = NULL;
    struct mien_err why = {0};
    MIEN_TRY(find_signer(c, &signer, e));
    const enum mien_code code = mien_jwt_verify(signer, token, strlen(token), &rules, &claims, &why);
    if (code == MIEN_E_TOKEN) return mien_call_say(c, code, why.msg, e); /* words for its bearer (jwt.h) */
    MIEN_FAIL_IF(code != MIEN_OK, e, code, "%s", why.msg);
    mien_put_bool(c, "valid", true);
    mien_jw_key(c->json, "payload");
    mien_jw_copy(c->json, claims);
    mien_put_text(c, "user_id", mien_json_string(mien_json_get(claims, "user_id"), ""));
    mien_put_text(c, "session_id", mien_json_string(mien_json_get(claims, "session_id"), ""));
    mien_put_integer(c, "issued_at", mien_json_integer(mien_json_get(claims, "iat"), 0));
    mien_put_integer(c, "expires_at", mien_json_integer(mien_json_get(claims, "exp"), 0));
    mien_json_free(&claims);
    return MIEN_OK;
}

/* Public, and may be kept for a while: who validates tokens asks for it often. */
enum mien_code mien_do_jwks(struct mien_call *c, struct mien_err *e)
{
    struct mien_signer *signer;
    struct mien_jw w;
    MIEN_TRY(find_signer(c, &signer, e));
    mien_jw_init(&w, &c->response->body);
    mien_signer_jwks(signer, mien_utc_ms() / MS_PER_S, &w);
    mien_exchange_of(c)->page = MIEN_PAGE_KEYS;
    return MIEN_OK;
}
