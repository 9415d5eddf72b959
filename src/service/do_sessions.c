/* POST /challenge/session, POST /challenge/complete and GET /challenge/session/{session_id}: challenges drawn at random, done one after the other, judged by
 * the server where photos come with the claim. A session is a value of a few bytes in `keep`: no photo, no embedding. Rules: docs/challenges.md. */
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "codec/hex.h"
#include "crypto/random.h"
#include "service/evidence.h"
#include "service/exchange.h"
#include "service/handlers.h"

enum { LIFE_S = 600, ID_BYTES = 16, ID = 2 * ID_BYTES };

static const struct { enum mien_challenge challenge; const char *title, *instruction, *icon; int timeout_s; } KINDS[] = {
    {MIEN_SMILE, "Smile", "Please smile!", "smile", 10},
    {MIEN_BLINK, "Blink", "Please blink your eyes", "eye", 8},
    {MIEN_TURN_LEFT, "Turn Left", "Turn your head to the left", "arrow-left", 8},
    {MIEN_TURN_RIGHT, "Turn Right", "Turn your head to the right", "arrow-right", 8},
};
enum { KIND_COUNT = sizeof KINDS / sizeof *KINDS };

static bool is_turn(int kind) { return KINDS[kind].challenge == MIEN_TURN_LEFT || KINDS[kind].challenge == MIEN_TURN_RIGHT; }
static const char *name_of(int kind) { return mien_challenge_name(KINDS[kind].challenge); }

static int kind_of(const char *name)
{
    int kind = 0;
    while (kind < KIND_COUNT - 1 && strcmp(name_of(kind), name) != 0) kind++;
    return kind; /* the row has refused other names */
}

/* ---- a session, and how it is kept ---- */

enum assurance { NO_ASSURANCE, BY_CLIENT, BY_SERVER };
static const char *const ASSURANCE[] = {NULL, "client", "server"};

struct step { int kind; bool passed; enum assurance assurance; };
struct session { int total, done; struct step step[KIND_COUNT]; };

/* Version, total, done, and a byte a step: kind, passed (bit 4), assurance (from bit 5). */
enum { VERSION = 1, STEPS_AT = 3 };

static size_t encode(const struct session *s, uint8_t room[MIEN_KEEP_VALUE])
{
    room[0] = VERSION;
    room[1] = (uint8_t)s->total;
    room[2] = (uint8_t)s->done;
    for (int i = 0; i < s->total; i++)
        room[STEPS_AT + i] = (uint8_t)((unsigned)s->step[i].kind | (unsigned)s->step[i].passed << 4 | (unsigned)s->step[i].assurance << 5);
    return (size_t)(STEPS_AT + s->total);
}

/* False: there is none, or it is of another form. */
static bool decode(const uint8_t *value, size_t n, struct session *s)
{
    *s = (struct session){0};
    if (n < STEPS_AT || value[0] != VERSION || value[1] > KIND_COUNT || value[2] > value[1] || n != (size_t)(STEPS_AT + value[1])) return false;
    s->total = value[1];
    s->done = value[2];
    for (int i = 0; i < s->total; i++) {
        const unsigned b = value[STEPS_AT + i], kind = b & 15, assurance = b >> 5;
        if (kind >= KIND_COUNT || assurance > BY_SERVER) return false;
        s->step[i] = (struct step){(int)kind, (b >> 4 & 1) != 0, (enum assurance)assurance};
    }
    return true;
}

static bool is_complete(const struct session *s) { return s->done == s->total; }

static bool is_passed(const struct session *s)
{
    for (int i = 0; i < s->done; i++)
        if (!s->step[i].passed) return false;
    return is_complete(s);
}

/* The weakest of the steps that are done. */
static enum assurance assurance_of(const struct session *s)
{
    enum assurance least = s->done > 0 ? BY_SERVER : NO_ASSURANCE;
    for (int i = 0; i < s->done; i++)
        if (s->step[i].assurance < least) least = s->step[i].assurance;
    return least;
}

/* ---- changes, which nobody else's come between ---- */

struct change {
    const struct session *fresh; /* begins with this */
    const struct step *step;     /* or takes this step; NULL: is only read */
    bool exists;
    struct session session;      /* as it is then */
    char refused[96];            /* why the step was not taken, "" */
};

static void take_step(struct session *s, const struct step *step, char refused[96])
{
    if (is_complete(s)) {
        snprintf(refused, 96, "Session already complete");
    } else if (s->step[s->done].kind != step->kind) {
        snprintf(refused, 96, "Expected challenge %s, got %s", name_of(s->step[s->done].kind), name_of(step->kind));
    } else {
        s->step[s->done++] = *step;
    }
}

static size_t make_change(void *context, const uint8_t *old, size_t n, uint8_t room[MIEN_KEEP_VALUE])
{
    struct change *c = context;
    c->refused[0] = 0;
    c->exists = c->fresh != NULL || decode(old, n, &c->session);
    if (c->fresh != NULL) c->session = *c->fresh;
    if (!c->exists) return 0;
    if (c->step != NULL) take_step(&c->session, c->step, c->refused);
    return encode(&c->session, room);
}

static bool is_id(const char *text) { return strlen(text) == ID && strspn(text, "0123456789abcdef") == ID; }

static enum mien_code change_session(struct mien_call *c, const char *id, struct change *change, struct mien_err *e)
{
    static const char GONE[] = "There is no such session, or it has expired.";
    char key[16 + ID];
    if (!is_id(id)) return mien_call_say(c, MIEN_E_SESSION, GONE, e);
    snprintf(key, sizeof key, "challenge:%s", id);
    const enum mien_code code = mien_keep_update(c->service->keep, key, LIFE_S, mien_now_ns(), make_change, change, e);
    if (code == MIEN_E_STORE) return mien_call_say(c, code, "Sessions cannot be read or written now.", e);
    MIEN_FAIL_IF(code == MIEN_E_LIMIT, e, MIEN_E_NOMEM, "no more sessions can be kept now");
    if (code == MIEN_OK && !change->exists) return mien_call_say(c, MIEN_E_SESSION, GONE, e);
    return code;
}

/* ---- answers ---- */

static void put_challenge(struct mien_call *c, const char *key, const struct session *s)
{
    mien_jw_key(c->json, key);
    if (is_complete(s)) {
        mien_jw_null(c->json);
        return;
    }
    const int kind = s->step[s->done].kind;
    mien_jw_object(c->json);
    mien_put_text(c, "challengeType", name_of(kind));
    mien_put_integer(c, "index", s->done);
    mien_put_integer(c, "total", s->total);
    mien_put_text(c, "title", KINDS[kind].title);
    mien_put_text(c, "instruction", KINDS[kind].instruction);
    mien_put_text(c, "icon", KINDS[kind].icon);
    mien_put_integer(c, "timeoutSeconds", KINDS[kind].timeout_s);
    mien_jw_end_object(c->json);
}

static void put_session(struct mien_call *c, const char *id, const struct session *s)
{
    mien_put_text(c, "sessionId", id);
    mien_jw_key(c->json, "challenges");
    mien_jw_array(c->json);
    for (int i = 0; i < s->total; i++) mien_jw_string(c->json, name_of(s->step[i].kind));
    mien_jw_end_array(c->json);
    mien_put_integer(c, "currentIndex", s->done);
    mien_put_bool(c, "isComplete", is_complete(s));
    mien_put_bool(c, "isPassed", is_passed(s));
    mien_put_text(c, "assurance", ASSURANCE[assurance_of(s)]);
    put_challenge(c, "currentChallenge", s);
}

/* ---- POST /challenge/session ---- */

/* A number below n, each as likely: bytes that would favour some are thrown away. */
static enum mien_code draw_below(int n, int *out, struct mien_err *e)
{
    uint8_t byte;
    do {
        MIEN_TRY(mien_random(&byte, 1, e));
    } while (byte >= 256 - 256 % n);
    *out = byte % n;
    return MIEN_OK;
}

/* s->total different ones of n kinds, in any order. */
static enum mien_code draw_once(struct session *s, const int *kinds, int n, struct mien_err *e)
{
    int left[KIND_COUNT], pick;
    memcpy(left, kinds, (size_t)n * sizeof *left);
    for (int i = 0; i < s->total; i++) {
        MIEN_TRY(draw_below(n - i, &pick, e));
        s->step[i] = (struct step){.kind = left[pick]};
        left[pick] = left[n - i - 1];
    }
    return MIEN_OK;
}

static bool has_turn(const struct session *s)
{
    for (int i = 0; i < s->total; i++)
        if (is_turn(s->step[i].kind)) return true;
    return false;
}

/* Draws until a wanted turn is among them, so that every allowed order stays as likely as the others. */
static enum mien_code draw(struct session *s, const int *kinds, int n, bool want_turn, struct mien_err *e)
{
    do {
        MIEN_TRY(draw_once(s, kinds, n, e));
    } while (want_turn && !has_turn(s));
    return MIEN_OK;
}

/* The kinds that may be drawn; refuses the request when they are too few. */
static enum mien_code allowed_kinds(struct mien_call *c, int kinds[KIND_COUNT], int *n, struct mien_err *e)
{
    int excluded, turns = 0;
    const char *const *name = mien_call_choices(c, "excludeChallenges", &excluded);
    *n = 0;
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        bool out = false;
        for (int i = 0; i < excluded; i++) out = out || strcmp(name[i], name_of(kind)) == 0;
        if (out) continue;
        kinds[(*n)++] = kind;
        turns += is_turn(kind);
    }
    if (*n < mien_call_integer(c, "numChallenges")) return mien_call_refuse(c, "excludeChallenges", -1, NULL, "leaves too few challenges", e);
    if (mien_call_flag(c, "requireHeadTurn") && turns == 0) return mien_call_refuse(c, "excludeChallenges", -1, NULL, "leaves no head turn", e);
    return MIEN_OK;
}

enum mien_code mien_do_challenge_session(struct mien_call *c, struct mien_err *e)
{
    struct session fresh = {.total = mien_call_integer(c, "numChallenges")};
    struct change change = {.fresh = &fresh};
    uint8_t random[ID_BYTES];
    char id[ID + 1];
    int kinds[KIND_COUNT], n;
    MIEN_TRY(allowed_kinds(c, kinds, &n, e));
    MIEN_TRY(draw(&fresh, kinds, n, mien_call_flag(c, "requireHeadTurn"), e));
    MIEN_TRY(mien_random(random, sizeof random, e));
    mien_hex(random, sizeof random, id);
    MIEN_TRY(change_session(c, id, &change, e));
    put_session(c, id, &change.session);
    return MIEN_OK;
}

/* ---- POST /challenge/complete ---- */

static enum mien_code read_photos(struct mien_call *c, struct mien_evidence_photos *p, struct mien_err *e)
{
    p->baseline = mien_call_image(c, "baselineImage");
    p->mirrored = mien_call_flag(c, "mirrored");
    p->images = mien_call_images(c, "images", &p->image);
    if (mien_call_given(c, "image")) {
        if (p->images > 0) return mien_call_refuse(c, "images", -1, NULL, "cannot stand beside image", e);
        p->image = mien_call_image(c, "image");
        p->images = 1;
    }
    if (p->images == 0 && p->baseline != NULL) return mien_call_refuse(c, "baselineImage", -1, NULL, "needs an image to be compared with", e);
    if (p->images == 0 && !mien_call_given(c, "passed")) return mien_call_refuse(c, "passed", -1, NULL, "is missing, as are images", e);
    return MIEN_OK;
}

/* Whether the step would be taken as things stand: photos of a step that will not be are not looked at. */
static enum mien_code look_ahead(struct mien_call *c, const struct step *step, struct change *change, struct mien_err *e)
{
    struct session then;
    MIEN_TRY(change_session(c, mien_call_text(c, "sessionId"), change, e));
    then = change->session;
    take_step(&then, step, change->refused);
    return MIEN_OK;
}

static enum mien_code judge(struct mien_call *c, const struct mien_evidence_photos *photos, struct step *step, const char **error, struct mien_err *e)
{
    step->assurance = BY_CLIENT;
    if (photos->images > 0) {
        MIEN_TRY(mien_evidence_several(c, photos, KINDS[step->kind].challenge, error, e));
        step->assurance = BY_SERVER;
    }
    step->passed = *error == NULL && (!mien_call_given(c, "passed") || mien_call_flag(c, "passed"));
    return MIEN_OK;
}

enum mien_code mien_do_challenge_complete(struct mien_call *c, struct mien_err *e)
{
    struct mien_evidence_photos photos;
    struct step step = {.kind = kind_of(mien_call_text(c, "challengeType"))};
    struct change change = {0};
    const char *error = NULL;
    MIEN_TRY(read_photos(c, &photos, e));
    MIEN_TRY(look_ahead(c, &step, &change, e));
    if (change.refused[0] == 0) {
        MIEN_TRY(judge(c, &photos, &step, &error, e));
        change = (struct change){.step = &step};
        MIEN_TRY(change_session(c, mien_call_text(c, "sessionId"), &change, e));
    }
    const bool taken = change.refused[0] == 0;
    mien_put_bool(c, "success", taken);
    mien_put_bool(c, "passed", taken && step.passed);
    mien_put_bool(c, "sessionComplete", is_complete(&change.session));
    mien_put_bool(c, "sessionPassed", is_passed(&change.session));
    mien_put_text(c, "assurance", taken ? ASSURANCE[step.assurance] : NULL);
    put_challenge(c, "nextChallenge", &change.session);
    mien_put_text(c, "error", taken ? error : change.refused);
    return MIEN_OK;
}

/* ---- GET /challenge/session/{session_id} ---- */

enum mien_code mien_do_challenge_state(struct mien_call *c, struct mien_err *e)
{
    const char *id = mien_call_text(c, "session_id");
    struct change change = {0};
    MIEN_TRY(change_session(c, id, &change, e));
    put_session(c, id, &change.session);
    return MIEN_OK;
}
