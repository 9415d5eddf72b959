#include "app/sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "net/client.h"

enum { MS_PER_DAY = 86400000, SECONDS_PER_MINUTE = 60 };

enum mien_code mien_ledger_path(const struct mien_serve_settings *s, const char *dir, char path[MIEN_PATH], struct mien_err *e)
{
    static const char SCHEME[] = "sqlite:///";
    const bool given = s->database_url[0] != '\0';
    const char *name = s->database_url + sizeof SCHEME - 1;
    MIEN_FAIL_IF(given && strncmp(s->database_url, SCHEME, sizeof SCHEME - 1) != 0, e, MIEN_E_CONFIG, "DATABASE_URL: it takes sqlite:///PATH");
    MIEN_FAIL_IF(given && name[0] == '\0', e, MIEN_E_CONFIG, "DATABASE_URL: no path after sqlite:///");
    const int n = given ? snprintf(path, MIEN_PATH, "%s", name) : snprintf(path, MIEN_PATH, "%s/ledger.db", dir);
    MIEN_FAIL_IF(n < 0 || n >= MIEN_PATH, e, MIEN_E_CONFIG, "DATABASE_URL: the path is too long");
    return MIEN_OK;
}

/* "blink,smile" into the rules: only for tests, which cannot do what chance asks for. */
static enum mien_code fix_challenges(struct mien_serve_settings *s, struct mien_err *e)
{
    struct mien_proof_rules *rules = &s->service.live.rules;
    const char *under_test = getenv("MIEN_UNDER_TEST"), *at = s->test_challenges;
    char name[32];
    if (at[0] == '\0') return MIEN_OK;
    MIEN_FAIL_IF(under_test == NULL || strcmp(under_test, "1") != 0 || !mien_host_is_loopback(s->server.host), e, MIEN_E_CONFIG,
                 "TEST_CHALLENGES: refused, as a session whose challenges are known beforehand proves nothing");
    for (rules->n_fixed = 0; *at != '\0'; at += at[0] == ',') {
        const size_t n = strcspn(at, ",");
        MIEN_FAIL_IF(n >= sizeof name || rules->n_fixed == MIEN_PROOF_MAX, e, MIEN_E_CONFIG, "TEST_CHALLENGES: at most %d names", (int)MIEN_PROOF_MAX);
        memcpy(name, at, n);
        name[n] = '\0';
        const int challenge = mien_challenge_parse(name);
        MIEN_FAIL_IF(challenge < 0, e, MIEN_E_CONFIG, "TEST_CHALLENGES: there is no challenge '%s'", name);
        rules->fixed[rules->n_fixed++] = (enum mien_challenge)challenge;
        at += n;
    }
    mien_log(MIEN_LOG_WARN, "test_challenges", "why=the order of challenges is fixed: tokens of this server prove nothing");
    return MIEN_OK;
}

enum mien_code mien_token_keys(const struct mien_serve_settings *s, const char *dir, struct mien_signer **out, struct mien_err *e)
{
    char folder[MIEN_PATH];
    bool made = false;
    const bool given = s->jwt_keys_dir[0] != '\0';
    const int n = given ? snprintf(folder, sizeof folder, "%s", s->jwt_keys_dir) : snprintf(folder, sizeof folder, "%s/jwt", dir);
    MIEN_FAIL_IF(n < 0 || (size_t)n >= sizeof folder, e, MIEN_E_CONFIG, "JWT_KEYS_DIR: the path is too long");
    MIEN_TRY(mien_signer_open(folder, s->service.live.token_minutes * SECONDS_PER_MINUTE, out, &made, e));
    if (made) mien_log(MIEN_LOG_WARN, "token_key_made", "folder=%s why=there was none", folder);
    return MIEN_OK;
}

enum mien_code mien_sessions_open(struct mien_serve_settings *s, const char *dir, struct mien_sessions *o, struct mien_err *e)
{
    char path[MIEN_PATH];
    MIEN_TRY(fix_challenges(s, e));
    MIEN_TRY(mien_ledger_path(s, dir, path, e));
    MIEN_TRY(mien_ledger_open(path, false, &o->ledger, e));
    MIEN_TRY(mien_token_keys(s, dir, &o->signer, e));
    s->service.live.signer = o->signer;
    s->service.live.ledger = o->ledger;
    if (s->service.live.audience[0] == '\0') s->service.live.audience = NULL;
    return MIEN_OK;
}

void mien_sessions_close(struct mien_sessions *o)
{
    mien_signer_free(&o->signer);
    mien_ledger_close(&o->ledger);
}

void mien_sessions_purge(const struct mien_serve_settings *s, const struct mien_sessions *o)
{
    struct mien_err e = {0};
    int64_t removed = 0;
    if (mien_ledger_purge(o->ledger, mien_utc_ms(), (int64_t)s->audit_retention_days * MS_PER_DAY, &removed, &e) != MIEN_OK)
        mien_log(MIEN_LOG_ERROR, "audit_purge_failed", "why=%s", e.msg);
    else if (removed > 0) mien_log(MIEN_LOG_INFO, "audit_purged", "rows=%lld", (long long)removed);
}
