/* Live sessions over WebSockets.
 *
 * Two kinds of threads meet in a session. The socket thread takes in: it reads messages, asks the state machine whether a frame may come, and keeps the newest
 * frame. A worker does what takes time: it takes the session from `keep`, runs a frame through the networks, writes the ledger, signs, and says what is to be
 * said. A session has one job, which is with the workers or is not; whoever brings something to do while it is not hands it over. So all that is said and
 * recorded of a session happens in order, and one session never holds more than one worker.
 *
 * What the state machine answers goes into the session's queue, from either thread, and out of it only by the job: a client hears nothing that is not on
 * record. One lock a session guards machine, queue and frame; no other lock is taken under it but the socket's. A session is freed when its socket is closed
 * and its job is back. */
#include "service/live.h"

#include <assert.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "codec/hex.h"
#include "crypto/random.h"
#include "service/exchange.h"
#include "service/live_inner.h"

enum {
    MOST_SAID = 32,           /* waiting actions: a whole session has 18 that must be said */
    MOST_CHATTER = 12,        /* feedback and scores are left out when more than this waits */
    FRAME_MS = 100,           /* 10 frames a second are analysed ... */
    BURST_MS = 100,           /* ... give or take one, as networks deliver them */
    RETRY_MS = 50,            /* when the workers' queue is full */
    MOST_NONSENSE = 20,       /* messages that make no sense, of a whole session */
    FRAME_ARENA = 64 << 20,
    BUSY = 1013               /* close code "try again later" */
};
static const uint64_t MS = 1000000u;

struct session {
    struct mien_job job; /* first: a job is its session */
    struct mien_live *live;
    struct mien_socket *socket;
    struct mien_live_record record; /* of whoever has the job */
    bool taken;                     /* ... the session is out of `keep`, or was not there */
    char id[MIEN_SESSION_ID + 1];
    uint64_t opened_ns;

    pthread_mutex_t lock; /* guards all below */
    struct mien_proof *proof;   /* NULL: not begun, or ended by a failure */
    bool working;               /* the job is with the workers */
    bool closed;                /* the socket is */
    const char *broken;         /* why the session was ended by a failure: nothing is said any more; NULL */
    int n_said;
    uint8_t *frame;             /* the newest that nobody has taken yet */
    size_t frame_size;
    int64_t frame_stamp;
    uint64_t paced_ns;          /* when the next frame is due at ten a second */
    bool done, done_named;      /* the client has said that it is done, and with which challenge */
    char done_id[33];
    int nonsense;
    unsigned frames, dropped;
    struct mien_proof_action said[MOST_SAID]; /* at the end: pages of it that are not used cost nothing */
};

static int64_t ms_of(uint64_t ns) { return (int64_t)(ns / MS); }

void mien_live_settings_default(struct mien_live_settings *s)
{
    *s = (struct mien_live_settings){.rules = mien_proof_rules_default(), .token_minutes = 15, .max_sessions = 1000};
}

/* ---- the session's queue; under its lock ---- */

static bool is_chatter(enum mien_proof_action_kind k) { return k == MIEN_SAY_FEEDBACK || k == MIEN_SAY_SCORES; }

static void queue(struct session *s, const struct mien_proof_action *action, int n)
{
    for (int i = 0; i < n; i++) {
        if (is_chatter(action[i].kind) && s->n_said >= MOST_CHATTER) continue;
        assert(s->n_said < MOST_SAID);
        s->said[s->n_said++] = action[i];
    }
}

static bool next_said(struct session *s, struct mien_proof_action *out)
{
    pthread_mutex_lock(&s->lock);
    const bool some = s->n_said > 0 && s->broken == NULL;
    if (some) {
        *out = s->said[0];
        s->n_said--;
        memmove(s->said, s->said + 1, (size_t)s->n_said * sizeof s->said[0]);
    }
    pthread_mutex_unlock(&s->lock);
    return some;
}

static void drop_frame(uint8_t **frame, size_t n)
{
    if (*frame != NULL) explicit_bzero(*frame, n);
    free(*frame);
    *frame = NULL;
}

/* ---- the end of a session ---- */

static void record_end(struct session *s, const char *reason)
{
    struct mien_err e = {0};
    if (s->record.ended || !s->record.started) return;
    atomic_fetch_add(&s->live->terminated, 1);
    if (mien_live_record_terminated(s->live, &s->record, reason, &e) != MIEN_OK)
        mien_log(MIEN_LOG_ERROR, "live_not_recorded", "id=%s why=%s", mien_socket_request_id(s->socket), e.msg);
}

/* The socket is closed and the job is back. */
static void end_session(struct session *s)
{
    record_end(s, s->broken != NULL ? s->broken : "Disconnected");
    mien_log(MIEN_LOG_INFO, "live_end", "id=%s seconds=%.1f frames=%u dropped=%u", mien_socket_request_id(s->socket), mien_elapsed_ms(s->opened_ns) * 1e-3,
             s->frames, s->dropped);
    drop_frame(&s->frame, s->frame_size);
    mien_proof_free(&s->proof);
    mien_socket_release(s->socket);
    atomic_fetch_sub(&s->live->open, 1);
    pthread_mutex_destroy(&s->lock);
    explicit_bzero(s, offsetof(struct session, said)); /* actions hold nothing that lives longer than their session */
    free(s);
}

/* The workers do not take the job, or have dropped it. May free the session. */
static void give_back(struct session *s)
{
    pthread_mutex_lock(&s->lock);
    s->working = false;
    const bool closed = s->closed;
    if (!closed) mien_socket_wake_at(s->socket, mien_now_ns() + RETRY_MS * MS);
    pthread_mutex_unlock(&s->lock);
    if (closed) end_session(s);
}

/* `working` was set by the caller, and the lock is not held. */
static void submit(struct session *s)
{
    if (!mien_server_submit(mien_socket_server(s->socket), &s->job)) give_back(s);
}

/* ---- what is to be done, and when to look again; under the lock ---- */

static bool has_work(const struct session *s)
{
    return !s->taken || s->closed || (s->broken == NULL && (s->n_said > 0 || s->frame != NULL || s->done));
}

static void watch_clock(struct session *s)
{
    const int64_t next = s->proof != NULL && s->broken == NULL ? mien_proof_next_ms(s->proof) : INT64_MAX;
    if (!s->closed && next != INT64_MAX) mien_socket_wake_at(s->socket, (uint64_t)next * MS);
}

/* Takes the job when there is work and nobody has it: the caller then submits it, without the lock. */
static bool claim_job(struct session *s)
{
    if (s->working || !has_work(s)) return false;
    s->working = true;
    return true;
}

/* ---- the worker's side ---- */

static void send_buf(struct session *s, const struct mien_buf *text)
{
    if (!text->failed && text->len > 0) mien_socket_send_text(s->socket, text->data, text->len);
}

static void send_error(struct session *s, const char *code, const char *message)
{
    struct mien_buf text;
    mien_buf_init(&text, MIEN_LIVE_MESSAGE);
    mien_live_say_error(code, message, &text);
    send_buf(s, &text);
    mien_buf_free(&text);
}

/* Something of ours has failed: the session cannot go on. */
static void fail_session(struct session *s, const struct mien_err *e)
{
    mien_log(MIEN_LOG_ERROR, "live_failed", "id=%s error=%s at=%s:%d why=%s", mien_socket_request_id(s->socket), mien_code_name(e->code),
             e->file != NULL ? e->file : "", e->line, e->msg);
    const bool reused = e->code == MIEN_E_SESSION; /* a nonce: not our failure */
    const char *why = reused ? "Invalid nonce" : "Internal error";
    pthread_mutex_lock(&s->lock);
    s->broken = why;
    pthread_mutex_unlock(&s->lock);
    if (!reused) send_error(s, "internal_error", "The server cannot go on with this session");
    mien_socket_close(s->socket, reused ? 1008 : 1011, why);
}

static enum mien_code record(struct session *s, const struct mien_proof_action *a, struct mien_buf *token, struct mien_err *e)
{
    const struct mien_live *l = s->live;
    switch (a->kind) {
    case MIEN_SAY_ISSUED: return mien_live_record_issued(l, &s->record, a, e);
    case MIEN_SAY_COMPLETED:
    case MIEN_SAY_FAILED: return mien_live_record_challenge(l, &s->record, a, e);
    case MIEN_SAY_SUCCESS: return mien_live_record_success(l, &s->record, a, token, e);
    case MIEN_SAY_REJECTED: return mien_live_record_rejected(l, &s->record, a, e);
    case MIEN_SAY_FEEDBACK:
    case MIEN_SAY_SCORES:
    case MIEN_SAY_CLOSE: break;
    }
    return MIEN_OK;
}

static void count_end(struct mien_live *l, const struct mien_proof_action *a)
{
    if (a->kind == MIEN_SAY_SUCCESS) atomic_fetch_add(&l->passed, 1);
    if (a->kind == MIEN_SAY_REJECTED) atomic_fetch_add(a->close_code == 1000 ? &l->failed : &l->terminated, 1);
}

/* Records, then says. */
static void perform(struct session *s, const struct mien_proof_action *a)
{
    const struct mien_live_settings *t = &s->live->settings;
    struct mien_err e = {0};
    struct mien_buf token, text;
    mien_buf_init(&token, MIEN_LIVE_MESSAGE);
    mien_buf_init(&text, 2 * MIEN_LIVE_MESSAGE);
    if (record(s, a, &token, &e) != MIEN_OK) {
        fail_session(s, &e);
    } else if (a->kind == MIEN_SAY_CLOSE) {
        mien_socket_close(s->socket, a->close_code, a->reason);
    } else {
        const struct mien_live_told told = {.token = token.data, .token_minutes = t->token_minutes, .challenge_ms = t->rules.challenge_ms,
                                            .threshold = t->rules.score.pass};
        count_end(s->live, a);
        mien_live_say(a, &told, &text);
        send_buf(s, &text);
    }
    if (token.data != NULL) explicit_bzero(token.data, token.len);
    if (text.data != NULL) explicit_bzero(text.data, text.len);
    mien_buf_free(&token);
    mien_buf_free(&text);
}

static void perform_all(struct session *s)
{
    struct mien_proof_action a;
    while (next_said(s, &a)) perform(s, &a);
}

/* A session that waits, as bytes in `keep`: version, when it was made (8 bytes), client, NUL, user id. */
enum { VERSION = 1, WAITING_HEAD = 9 };

static void session_key(const char *id, char key[MIEN_KEEP_KEY + 1]) { snprintf(key, MIEN_KEEP_KEY + 1, "session:%s", id); }

struct waiting { uint8_t value[MIEN_KEEP_VALUE]; size_t n; bool clash; };

static size_t take(void *context, const uint8_t *old, size_t n, uint8_t room[MIEN_KEEP_VALUE])
{
    struct waiting *w = context;
    (void)room;
    w->n = n;
    if (n > 0) memcpy(w->value, old, n);
    return 0;
}

static size_t put(void *context, const uint8_t *old, size_t n, uint8_t room[MIEN_KEEP_VALUE])
{
    struct waiting *w = context;
    w->clash = n > 0;
    const uint8_t *value = n > 0 ? old : w->value;
    const size_t size = n > 0 ? n : w->n;
    memcpy(room, value, size);
    return size;
}

static void pack(const struct mien_live_record *r, struct waiting *w)
{
    const size_t client = strlen(r->client) + 1, user = strlen(r->user_id);
    w->value[0] = VERSION;
    for (int i = 0; i < 8; i++) w->value[1 + i] = (uint8_t)((uint64_t)r->created_ms >> 8 * i);
    memcpy(w->value + WAITING_HEAD, r->client, client);
    memcpy(w->value + WAITING_HEAD + client, r->user_id, user);
    w->n = WAITING_HEAD + client + user;
}
_Static_assert((int)WAITING_HEAD + (int)MIEN_LIVE_CLIENT + (int)MIEN_USER_ID <= (int)MIEN_KEEP_VALUE, "a waiting session fits into a value");

/* False for a value that is none of ours. */
static bool unpack(const struct waiting *w, struct mien_live_record *r)
{
    uint64_t created = 0;
    if (w->n <= WAITING_HEAD || w->value[0] != VERSION) return false;
    for (int i = 0; i < 8; i++) created |= (uint64_t)w->value[1 + i] << 8 * i;
    const char *client = (const char *)w->value + WAITING_HEAD;
    const size_t left = w->n - WAITING_HEAD, n = strnlen(client, left);
    const size_t user = left - n - (n < left);
    if (n == left || n >= sizeof r->client || user == 0 || user >= sizeof r->user_id) return false;
    memcpy(r->client, client, n + 1);
    memcpy(r->user_id, client + n + 1, user);
    r->user_id[user] = '\0';
    r->created_ms = (int64_t)created;
    return true;
}

static enum mien_code draw(void *context, void *out, size_t n, struct mien_err *e)
{
    (void)context;
    return mien_random(out, n, e);
}

static enum mien_code begin(struct session *s, struct mien_err *e)
{
    struct mien_proof_action action[MIEN_PROOF_ACTIONS];
    struct mien_proof *proof = mien_proof_create(&s->live->settings.rules, draw, NULL);
    MIEN_FAIL_IF(proof == NULL, e, MIEN_E_NOMEM, "out of memory for a session");
    pthread_mutex_lock(&s->lock);
    s->proof = proof;
    queue(s, action, mien_proof_begin(proof, ms_of(mien_now_ns()), action));
    pthread_mutex_unlock(&s->lock);
    return MIEN_OK;
}

/* The session's first work: it is taken from `keep`, by this socket and no other. */
static enum mien_code take_session(struct session *s, struct mien_err *e)
{
    struct waiting w = {.n = 0};
    char key[MIEN_KEEP_KEY + 1];
    session_key(s->id, key);
    snprintf(s->record.session_id, sizeof s->record.session_id, "%s", s->id);
    if (s->id[0] != '\0') MIEN_TRY(mien_keep_update(s->live->service->keep, key, MIEN_SESSION_WAIT_S, mien_now_ns(), take, &w, e));
    if (!unpack(&w, &s->record)) {
        mien_log(MIEN_LOG_INFO, "live_refused", "id=%s why=unknown or used session", mien_socket_request_id(s->socket));
        mien_socket_close(s->socket, 1008, "Invalid session");
        return MIEN_OK;
    }
    atomic_fetch_add(&s->live->begun, 1);
    return begin(s, e);
}

/* Takes the waiting frame; `wants` as of now. */
static bool next_frame(struct session *s, uint8_t **frame, size_t *n, int64_t *stamp, unsigned *wants)
{
    pthread_mutex_lock(&s->lock);
    *frame = s->frame;
    *n = s->frame_size;
    *stamp = s->frame_stamp;
    s->frame = NULL;
    const bool go_on = *frame != NULL && !s->closed && s->broken == NULL && mien_proof_state(s->proof) == MIEN_PROOF_CHALLENGE;
    *wants = go_on ? mien_proof_wants(s->proof) : 0;
    if (go_on) s->frames++;
    pthread_mutex_unlock(&s->lock);
    return go_on;
}

static void show(struct session *s, const struct mien_live_sight *sight, int64_t stamp)
{
    struct mien_proof_action action[MIEN_PROOF_ACTIONS];
    const struct mien_look look = {.at_ms = stamp, .faces = sight->faces.count, .face = sight->faces.count > 0 ? &sight->faces.face[0] : NULL,
                                   .width = sight->width, .height = sight->height};
    pthread_mutex_lock(&s->lock);
    queue(s, action, mien_proof_look(s->proof, ms_of(mien_now_ns()), &look, action));
    pthread_mutex_unlock(&s->lock);
}

/* Counts a message that makes no sense; too many end the session. Any thread, without the lock. */
static void answer_nonsense(struct session *s, const char *code, const char *why)
{
    struct mien_proof_action action[MIEN_PROOF_ACTIONS];
    send_error(s, code, why);
    pthread_mutex_lock(&s->lock);
    if (++s->nonsense == MOST_NONSENSE) {
        if (s->proof != NULL) queue(s, action, mien_proof_stop(s->proof, ms_of(mien_now_ns()), "Max failures", "invalid_messages", action));
        else mien_socket_close(s->socket, 1008, "Max failures");
    }
    pthread_mutex_unlock(&s->lock);
}

static void look_at_frame(struct session *s, int worker)
{
    struct mien_err e = {0};
    struct mien_live_sight sight;
    uint8_t *frame = NULL;
    size_t n = 0;
    int64_t stamp = 0;
    unsigned wants = 0;
    if (next_frame(s, &frame, &n, &stamp, &wants)) {
        struct mien_arena *arena = mien_arena_create(FRAME_ARENA);
        const enum mien_code code = arena != NULL ? mien_live_frame(s->live->service, worker, frame, n, wants, arena, &sight, &e)
                                                  : MIEN_FAIL(&e, MIEN_E_NOMEM, "out of memory for a frame");
        atomic_fetch_add(&s->live->frames, 1);
        if (code == MIEN_OK) show(s, &sight, stamp);
        else if (mien_problem_about_image(code) != NULL) answer_nonsense(s, "invalid_image", "The frame is not an image that can be read");
        else fail_session(s, &e);
        mien_arena_wipe_free(&arena);
    }
    drop_frame(&frame, n);
}

/* What the client has claimed, once the frames that it sent before have been looked at. */
static void look_at_claim(struct session *s)
{
    struct mien_proof_action action[MIEN_PROOF_ACTIONS];
    pthread_mutex_lock(&s->lock);
    if (s->done && s->frame == NULL && s->proof != NULL && s->broken == NULL)
        queue(s, action, mien_proof_client_done(s->proof, ms_of(mien_now_ns()), s->done_named ? s->done_id : NULL, action));
    if (s->frame == NULL) s->done = false;
    pthread_mutex_unlock(&s->lock);
}

/* The job's end: it goes to the workers again, behind others' jobs, or comes back. */
static void next_round(struct session *s)
{
    pthread_mutex_lock(&s->lock);
    const bool closed = s->closed, again = !closed && has_work(s);
    s->working = again;
    if (!closed) watch_clock(s);
    pthread_mutex_unlock(&s->lock);
    if (closed) end_session(s);
    else if (again) submit(s);
}

static void run(struct mien_job *job, int worker)
{
    struct session *s = (struct session *)(void *)job;
    struct mien_err e = {0};
    if (!s->taken) {
        s->taken = true;
        if (take_session(s, &e) != MIEN_OK) fail_session(s, &e);
    }
    perform_all(s);
    look_at_frame(s, worker);
    look_at_claim(s);
    perform_all(s);
    next_round(s);
}

static void drop(struct mien_job *job) { give_back((struct session *)(void *)job); }

/* ---- the socket's side ---- */

/* The last part of the path, when it can be a session's id. */
static void id_of(const char *path, char id[MIEN_SESSION_ID + 1])
{
    const char *last = strrchr(path, '/');
    id[0] = '\0';
    if (last != NULL && strlen(last + 1) == MIEN_SESSION_ID && strspn(last + 1, "0123456789abcdef") == MIEN_SESSION_ID)
        memcpy(id, last + 1, MIEN_SESSION_ID + 1);
}

static void on_open(void *context, struct mien_socket *socket)
{
    struct mien_live *l = context;
    const bool room = atomic_fetch_add(&l->open, 1) < l->settings.max_sessions;
    struct session *s = room ? malloc(sizeof *s) : NULL;
    if (s == NULL) {
        atomic_fetch_sub(&l->open, 1);
        mien_socket_close(socket, BUSY, "Try again later");
        return;
    }
    memset(s, 0, offsetof(struct session, said));
    s->job = (struct mien_job){.run = run, .drop = drop};
    s->live = l;
    s->socket = socket;
    s->opened_ns = mien_now_ns();
    s->working = true;
    id_of(mien_socket_path(socket), s->id);
    pthread_mutex_init(&s->lock, NULL);
    mien_socket_set_state(socket, s);
    submit(s);
}

/* Whether a frame comes in time, at ten a second and one ahead; under the lock. */
static bool keep_pace(struct session *s, uint64_t now_ns)
{
    if (s->paced_ns > now_ns + BURST_MS * MS) return false;
    s->paced_ns = (s->paced_ns > now_ns ? s->paced_ns : now_ns) + FRAME_MS * MS;
    return true;
}

static void keep_frame(struct session *s, const struct mien_client_message *m, uint64_t now_ns)
{
    uint8_t *copy = keep_pace(s, now_ns) ? malloc(m->image_size) : NULL;
    if (copy == NULL || s->frame != NULL) {
        s->dropped++;
        atomic_fetch_add(&s->live->dropped, 1);
    }
    if (copy == NULL) return;
    memcpy(copy, m->image, m->image_size);
    drop_frame(&s->frame, s->frame_size);
    s->frame = copy;
    s->frame_size = m->image_size;
    s->frame_stamp = m->stamp_ms;
}

/* Under the lock. */
static void take_frame(struct session *s, const struct mien_client_message *m)
{
    struct mien_proof_action action[MIEN_PROOF_ACTIONS];
    const uint64_t now_ns = mien_now_ns();
    bool analyse = false;
    if (m->mirrored_given) mien_proof_mirror(s->proof, m->mirrored);
    queue(s, action, mien_proof_arrival(s->proof, ms_of(now_ns), m->stamp_ms, m->nonce, &analyse, action));
    if (analyse) keep_frame(s, m, now_ns);
}

static void take_claim(struct session *s, const struct mien_client_message *m)
{
    s->done = true;
    s->done_named = m->challenge_given;
    memcpy(s->done_id, m->challenge_id, sizeof s->done_id);
}

static void on_message(void *context, struct mien_socket *socket, bool binary, uint8_t *data, size_t n)
{
    struct session *s = mien_socket_state(socket);
    struct mien_client_message m;
    (void)context;
    if (s == NULL) return;
    mien_live_read(binary, data, n, &m);
    pthread_mutex_lock(&s->lock);
    const bool begun = s->proof != NULL && s->broken == NULL;
    if (begun && m.kind == MIEN_SAID_FRAME) take_frame(s, &m);
    if (begun && m.kind == MIEN_SAID_DONE) take_claim(s, &m);
    pthread_mutex_unlock(&s->lock);
    if (m.kind == MIEN_SAID_NONSENSE) answer_nonsense(s, m.wrong, m.why);
    else if (!begun) answer_nonsense(s, "not_begun", "No challenge has been issued yet");
    pthread_mutex_lock(&s->lock);
    const bool work = claim_job(s);
    watch_clock(s);
    pthread_mutex_unlock(&s->lock);
    if (work) submit(s);
}

static void on_wake(void *context, struct mien_socket *socket)
{
    struct session *s = mien_socket_state(socket);
    struct mien_proof_action action[MIEN_PROOF_ACTIONS];
    (void)context;
    if (s == NULL) return;
    pthread_mutex_lock(&s->lock);
    if (s->proof != NULL && s->broken == NULL) queue(s, action, mien_proof_tick(s->proof, ms_of(mien_now_ns()), action));
    const bool work = claim_job(s);
    watch_clock(s);
    pthread_mutex_unlock(&s->lock);
    if (work) submit(s);
}

static void on_closed(void *context, struct mien_socket *socket, int code)
{
    struct session *s = mien_socket_state(socket);
    (void)context;
    (void)code;
    if (s == NULL) {
        mien_socket_release(socket);
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->closed = true;
    const bool work = claim_job(s); /* a worker ends it, unless there is none: then this thread does, in give_back */
    pthread_mutex_unlock(&s->lock);
    if (work) submit(s);
}

/* ---- the outside ---- */

enum mien_code mien_live_create(const struct mien_live_settings *settings, struct mien_service *service, struct mien_live **out, struct mien_err *e)
{
    *out = NULL;
    struct mien_live *l = calloc(1, sizeof *l);
    MIEN_FAIL_IF(l == NULL, e, MIEN_E_NOMEM, "out of memory");
    l->settings = *settings;
    l->service = service;
    mien_live_rules(service, &l->settings.rules);
    l->handler = (struct mien_socket_handler){.context = l, .open = on_open, .message = on_message, .wake = on_wake, .closed = on_closed};
    *out = l;
    return MIEN_OK;
}

void mien_live_free(struct mien_live **l)
{
    if (*l == NULL) return;
    assert(atomic_load(&(*l)->open) == 0);
    free(*l);
    *l = NULL;
}

static enum mien_code keep_waiting(struct mien_live *l, const struct mien_live_record *r, struct mien_err *e)
{
    char key[MIEN_KEEP_KEY + 1];
    struct waiting w = {.n = 0};
    session_key(r->session_id, key);
    pack(r, &w);
    MIEN_TRY(mien_keep_update(l->service->keep, key, MIEN_SESSION_WAIT_S, mien_now_ns(), put, &w, e));
    MIEN_FAIL_IF(w.clash, e, MIEN_E_INTERNAL, "a random session id was in use");
    return MIEN_OK;
}

enum mien_code mien_live_invite(struct mien_live *l, const char *user_id, const char *client, char id[MIEN_SESSION_ID + 1], struct mien_err *e)
{
    struct mien_live_record r = {.created_ms = mien_utc_ms()};
    uint8_t bytes[MIEN_SESSION_ID / 2];
    MIEN_FAIL_IF(l->settings.signer == NULL || l->settings.ledger == NULL, e, MIEN_E_STORE, "this server has no live sessions");
    MIEN_FAIL_IF((l->settings.rules.have & MIEN_WANT_MESH) == 0, e, MIEN_E_MODEL_MISSING, "live sessions need a model for face meshes");
    MIEN_FAIL_IF(!mien_user_id_valid(user_id), e, MIEN_E_ARG, "not a user id");
    MIEN_TRY(mien_random(bytes, sizeof bytes, e));
    mien_hex(bytes, sizeof bytes, r.session_id);
    r.expires_ms = r.created_ms + MIEN_SESSION_WAIT_S * 1000;
    snprintf(r.user_id, sizeof r.user_id, "%s", user_id);
    snprintf(r.client, sizeof r.client, "%s", client);
    MIEN_TRY(mien_live_record_created(l, &r, e));
    MIEN_TRY(keep_waiting(l, &r, e));
    memcpy(id, r.session_id, sizeof r.session_id);
    return MIEN_OK;
}

void mien_live_upgrade(struct mien_live *l, struct mien_request *q) { mien_request_upgrade(q, &l->handler, NULL); }

struct mien_live_state mien_live_state(struct mien_live *l)
{
    return (struct mien_live_state){.open = atomic_load(&l->open), .max_open = l->settings.max_sessions, .begun = atomic_load(&l->begun),
                                    .passed = atomic_load(&l->passed), .failed = atomic_load(&l->failed), .terminated = atomic_load(&l->terminated),
                                    .frames = atomic_load(&l->frames), .dropped = atomic_load(&l->dropped)};
}
