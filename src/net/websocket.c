/* WebSockets after the handshake: one thread reads, writes and watches the clock for all of them.
 *
 * What other threads ask for (send, close, wake) is put down in the socket under its lock, and the socket into the list of those that the thread is called
 * for; an eventfd wakes it. The thread alone reads, writes, ends connections and calls the handler, without holding a lock.
 *
 * A connection's end: our close frame goes out last; when the client's has come too (or cannot come any more, because its bytes make no sense) our side
 * of the connection is shut, and what still arrives is thrown away until the client shuts its side or the deadline has come. Closing at once would reset
 * the connection when unread bytes are there, and the client might never see our close frame. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/clock.h"
#include "net/websocket_frames.h"
#include "net/websocket_inner.h"

enum {
    READ_AT_ONCE = 256 << 10, /* bytes that one socket may bring before others have their turn */
    EVENTS_AT_ONCE = 64,
    REASON_BYTES = 123,
    GOING_AWAY = 1001,
    NO_CODE = 1005,
    LOST = 1006,
    POLICY = 1008
};
static const uint64_t MS = 1000000u, NEVER = UINT64_MAX;

struct mien_socket {
    struct mien_sockets *all;
    struct mien_server *server;
    const struct mien_socket_handler *handler;
    void *state;
    char *path;
    char id[MIEN_REQUEST_ID], peer[MIEN_PEER];
    struct MHD_UpgradeResponseHandle *library;
    int fd;
    atomic_int references; /* the thread's (or the handshake's), the handler's, the list of calls' */

    /* Of the socket thread. */
    struct mien_socket *next, *prev;
    struct mien_frames frames;
    uint8_t *early; /* what came behind the handshake */
    size_t early_size, early_at, budget;
    bool begun;
    bool ended;       /* no more can be read or written */
    bool peer_closed; /* its close frame has come, or what comes makes no sense */
    bool shut;        /* our side */
    bool awaits_room; /* epoll is asked to tell when it can be written to */
    uint64_t heard_ns, pinged_ns /* 0: no ping is unanswered */, second_ns;
    uint64_t due_ns; /* no timer of it before */
    int controls; /* in the second since second_ns */

    pthread_mutex_t lock;
    uint8_t *out;
    size_t out_at, out_size, out_room;
    bool closing; /* our close frame is in `out`, or went */
    bool cut;     /* too much waited */
    bool over;
    int code;
    uint64_t wake_ns, close_ns; /* 0: not set */

    /* Under the list's lock. */
    struct mien_socket *next_called;
    bool called;
};

struct mien_sockets {
    struct mien_server *server;
    pthread_t thread;
    int epoll, event;
    struct mien_socket *first; /* of the thread */
    uint64_t due_ns;           /* no timer before */
    bool told;                 /* all have been asked to close */
    pthread_mutex_t lock;
    struct mien_socket *calls;
    bool closing, ending, ended;
    uint64_t until_ns; /* when `ending` */
};

static const struct mien_server_settings *settings(const struct mien_socket *s) { return &s->server->settings; }

/* ---- between threads ---- */

static void unreference(struct mien_socket *s)
{
    if (atomic_fetch_sub(&s->references, 1) != 1) return;
    pthread_mutex_destroy(&s->lock);
    free(s->path);
    free(s);
}

static void ring(const struct mien_sockets *t)
{
    const uint64_t one = 1;
    const ssize_t n = write(t->event, &one, sizeof one);
    (void)n; /* fails only when the counter is full, and then the thread is awake */
}

/* Calls the socket thread for this socket; false when there is none any more. */
static bool call(struct mien_socket *s)
{
    struct mien_sockets *t = s->all;
    pthread_mutex_lock(&t->lock);
    const bool alive = !t->ended, first = t->calls == NULL;
    const bool added = alive && !s->called;
    if (added) {
        atomic_fetch_add(&s->references, 1);
        s->called = true;
        s->next_called = t->calls;
        t->calls = s;
    }
    if (added && first) ring(t); /* under the lock: afterwards the thread may end, and `event` be closed */
    pthread_mutex_unlock(&t->lock);
    return alive;
}

/* ---- what waits to be sent; all under the socket's lock ---- */

static void drop_out(struct mien_socket *s)
{
    if (s->out != NULL) explicit_bzero(s->out, s->out_room);
    free(s->out);
    s->out = NULL;
    s->out_at = s->out_size = s->out_room = 0;
}

static bool make_room(struct mien_socket *s, size_t more)
{
    const size_t waiting = s->out_size - s->out_at;
    if (s->out_room - s->out_size >= more) return true;
    size_t room = 256;
    while (room < waiting + more) room *= 2;
    uint8_t *grown = malloc(room);
    if (grown == NULL) return false;
    if (waiting > 0) memcpy(grown, s->out + s->out_at, waiting);
    drop_out(s);
    s->out = grown;
    s->out_room = room;
    s->out_size = waiting;
    return true;
}

static bool add_frame(struct mien_socket *s, enum mien_opcode opcode, const void *data, size_t n)
{
    uint8_t head[MIEN_FRAME_HEAD];
    const size_t size = mien_frame_head(opcode, n, head);
    if (!make_room(s, size + n)) return false;
    memcpy(s->out + s->out_size, head, size);
    if (n > 0) memcpy(s->out + s->out_size + size, data, n);
    s->out_size += size + n;
    return true;
}

/* Puts a frame behind the others. A socket whose client does not take what it is sent is cut. */
static bool put(struct mien_socket *s, enum mien_opcode opcode, const void *data, size_t n)
{
    const size_t most = (size_t)settings(s)->socket_max_waiting;
    pthread_mutex_lock(&s->lock);
    const bool open = !s->closing && !s->cut && !s->over;
    const size_t waiting = s->out_size - s->out_at;
    const bool taken = open && n <= most && waiting + MIEN_FRAME_HEAD <= most - n && add_frame(s, opcode, data, n);
    if (open && !taken) s->cut = true;
    pthread_mutex_unlock(&s->lock);
    return taken;
}

/* Puts the close frame behind the others: `code` 0 is one without a code. False when there was one already. */
static bool put_close(struct mien_socket *s, int code, const char *reason)
{
    uint8_t data[2 + REASON_BYTES] = {(uint8_t)(code >> 8), (uint8_t)code};
    const size_t n = code == 0 ? 0 : strnlen(reason, REASON_BYTES);
    memcpy(data + 2, reason, n);
    pthread_mutex_lock(&s->lock);
    const bool first = !s->closing && !s->over;
    if (first) {
        s->closing = true;
        s->code = code == 0 ? NO_CODE : code;
        s->close_ns = mien_now_ns() + (uint64_t)settings(s)->socket_close_ms * MS;
        if (!add_frame(s, MIEN_FRAME_CLOSE, data, code == 0 ? 0 : 2 + n)) s->cut = true;
    }
    pthread_mutex_unlock(&s->lock);
    return first;
}

static bool is_open(struct mien_socket *s)
{
    pthread_mutex_lock(&s->lock);
    const bool open = !s->closing && !s->cut;
    pthread_mutex_unlock(&s->lock);
    return open;
}

/* ---- the handler's side ---- */

void *mien_socket_state(const struct mien_socket *s) { return s->state; }
void mien_socket_set_state(struct mien_socket *s, void *state) { s->state = state; }
const char *mien_socket_path(const struct mien_socket *s) { return s->path; }
const char *mien_socket_request_id(const struct mien_socket *s) { return s->id; }
const char *mien_socket_peer(const struct mien_socket *s) { return s->peer; }
struct mien_server *mien_socket_server(const struct mien_socket *s) { return s->server; }

bool mien_socket_send_text(struct mien_socket *s, const char *text, size_t n)
{
    const bool taken = put(s, MIEN_FRAME_TEXT, text, n);
    pthread_mutex_lock(&s->lock);
    const bool over = s->over, cut = s->cut;
    pthread_mutex_unlock(&s->lock);
    if (taken || (cut && !over)) call(s);
    return taken;
}

void mien_socket_close(struct mien_socket *s, int code, const char *reason)
{
    assert(code >= 1000 && code <= 4999);
    if (put_close(s, code, reason != NULL ? reason : "")) call(s);
}

void mien_socket_wake_at(struct mien_socket *s, uint64_t at_ns)
{
    pthread_mutex_lock(&s->lock);
    const bool open = !s->closing && !s->over;
    s->wake_ns = at_ns;
    pthread_mutex_unlock(&s->lock);
    if (open && at_ns != 0) call(s);
}

void mien_socket_release(struct mien_socket *s) { unreference(s); }

/* ---- reading ---- */

static size_t read_socket(void *context, uint8_t *to, size_t room)
{
    struct mien_socket *s = context;
    if (s->early_at < s->early_size) {
        const size_t left = s->early_size - s->early_at, n = left < room ? left : room;
        memcpy(to, s->early + s->early_at, n);
        s->early_at += n;
        return n;
    }
    if (room > s->budget) room = s->budget;
    const ssize_t n = room > 0 && !s->ended ? recv(s->fd, to, room, MSG_DONTWAIT) : -1;
    if (n == 0 || (n < 0 && room > 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) s->ended = true;
    if (n <= 0) return 0;
    s->budget -= (size_t)n;
    s->heard_ns = mien_now_ns();
    s->pinged_ns = 0;
    return (size_t)n;
}

/* Answers what cannot be understood, or must not be. */
static void fail(struct mien_socket *s, int code, const char *reason)
{
    put_close(s, code, reason);
    s->peer_closed = true;
}

/* False when it is one too many in this second. */
static bool count_control(struct mien_socket *s)
{
    if (s->heard_ns - s->second_ns >= 1000 * MS) {
        s->second_ns = s->heard_ns;
        s->controls = 0;
    }
    if (++s->controls <= settings(s)->socket_controls_per_s) return true;
    fail(s, POLICY, "Too many control frames");
    return false;
}

static const char *reason_of(int code)
{
    switch (code) {
    case 1007: return "Text is not UTF-8";
    case 1009: return "Message too big";
    case 1011: return "Out of memory";
    default: return "Protocol error";
    }
}

static void handle(struct mien_socket *s, enum mien_arrival what)
{
    const struct mien_frames *f = &s->frames;
    switch (what) {
    case MIEN_ARRIVED_MESSAGE:
        if (is_open(s)) s->handler->message(s->handler->context, s, f->binary, f->data, f->n);
        break;
    case MIEN_ARRIVED_PING:
        if (count_control(s)) put(s, MIEN_FRAME_PONG, f->data, f->n);
        break;
    case MIEN_ARRIVED_PONG:
    case MIEN_ARRIVED_EMPTY: count_control(s); break;
    case MIEN_ARRIVED_CLOSE:
        s->peer_closed = true;
        put_close(s, f->code == NO_CODE ? 0 : f->code, "");
        break;
    case MIEN_ARRIVED_WRONG: fail(s, f->code, reason_of(f->code)); break;
    case MIEN_ARRIVED_NOTHING: break;
    }
}

static void discard(struct mien_socket *s)
{
    uint8_t bytes[4096];
    s->early_at = s->early_size;
    while (read_socket(s, bytes, sizeof bytes) > 0) continue;
    explicit_bzero(bytes, sizeof bytes);
}

static void receive(struct mien_socket *s)
{
    enum mien_arrival what;
    s->budget = READ_AT_ONCE;
    while (!s->peer_closed && (what = mien_frames_next(&s->frames)) != MIEN_ARRIVED_NOTHING) handle(s, what);
    if (s->peer_closed) discard(s);
}

/* ---- the socket thread ---- */

static void flush(struct mien_socket *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->out_at < s->out_size && !s->ended) {
        const ssize_t n = send(s->fd, s->out + s->out_at, s->out_size - s->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) s->out_at += (size_t)n;
        else if (errno == EAGAIN || errno == EWOULDBLOCK) break;
        else if (errno != EINTR) s->ended = true;
    }
    if (s->out != NULL && s->out_at == s->out_size) drop_out(s);
    pthread_mutex_unlock(&s->lock);
}

static void finish(struct mien_socket *s)
{
    struct mien_sockets *t = s->all;
    epoll_ctl(t->epoll, EPOLL_CTL_DEL, s->fd, NULL);
    if (s->prev != NULL) s->prev->next = s->next;
    else t->first = s->next;
    if (s->next != NULL) s->next->prev = s->prev;
    pthread_mutex_lock(&s->lock);
    s->over = true;
    const int code = s->code;
    drop_out(s);
    pthread_mutex_unlock(&s->lock);
    mien_frames_free(&s->frames);
    MHD_upgrade_action(s->library, MHD_UPGRADE_ACTION_CLOSE); /* the descriptor is the library's again */
    s->handler->closed(s->handler->context, s, code);
    unreference(s);
}

static uint64_t earlier(uint64_t a, uint64_t b) { return b != 0 && b < a ? b : a; }

static uint64_t silence_ends(const struct mien_socket *s)
{
    return (s->pinged_ns != 0 ? s->pinged_ns : s->heard_ns) + (uint64_t)settings(s)->socket_ping_ms * MS;
}

/* Brings the connection to where the socket's state says it should be. May end and free it. */
static void attend(struct mien_socket *s)
{
    flush(s);
    pthread_mutex_lock(&s->lock);
    const bool waits = s->out_at < s->out_size, closing = s->closing, cut = s->cut;
    const uint64_t due = closing ? s->close_ns : earlier(silence_ends(s), s->wake_ns);
    pthread_mutex_unlock(&s->lock);
    if (s->ended || cut) {
        finish(s);
        return;
    }
    if (closing && !waits && s->peer_closed && !s->shut) {
        shutdown(s->fd, SHUT_WR);
        s->shut = true;
    }
    if (waits != s->awaits_room) {
        struct epoll_event e = {.events = waits ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = s};
        epoll_ctl(s->all->epoll, EPOLL_CTL_MOD, s->fd, &e);
        s->awaits_room = waits;
    }
    s->due_ns = due;
    s->all->due_ns = earlier(s->all->due_ns, due);
}

/* The handler learns of it even when it ends at once. */
static void begin(struct mien_socket *s)
{
    struct mien_sockets *t = s->all;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
    s->begun = true;
    s->next = t->first;
    if (s->next != NULL) s->next->prev = s;
    t->first = s;
    s->heard_ns = s->second_ns = mien_now_ns();
    s->handler->open(s->handler->context, s);
    const struct mien_server_settings *limits = settings(s);
    if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, s->fd, &e) != 0 ||
        !mien_frames_init(&s->frames, read_socket, s, limits->socket_max_message, &s->server->body_bytes, limits->max_body_memory)) {
        s->ended = true;
        return;
    }
    receive(s);
    if (s->early != NULL) explicit_bzero(s->early, s->early_size);
    free(s->early);
    s->early = NULL;
    s->early_at = s->early_size = 0;
    if (t->told) put_close(s, GOING_AWAY, "");
}

static void answer_calls(struct mien_sockets *t)
{
    pthread_mutex_lock(&t->lock);
    struct mien_socket *s = t->calls;
    t->calls = NULL;
    pthread_mutex_unlock(&t->lock);
    while (s != NULL) {
        struct mien_socket *next = s->next_called;
        pthread_mutex_lock(&t->lock);
        s->called = false; /* whoever calls from now on links it anew */
        pthread_mutex_unlock(&t->lock);
        if (!s->begun) begin(s);
        if (!s->over) attend(s); /* `over` is set by this thread alone */
        unreference(s);
        s = next;
    }
}

static void on_time(struct mien_socket *s, uint64_t now)
{
    pthread_mutex_lock(&s->lock);
    const bool closing = s->closing, late = closing && now >= s->close_ns, wakes = !closing && s->wake_ns != 0 && now >= s->wake_ns;
    if (wakes) s->wake_ns = 0;
    pthread_mutex_unlock(&s->lock);
    if (late || (!closing && s->pinged_ns != 0 && now >= silence_ends(s))) s->ended = true;
    else if (!closing && now >= silence_ends(s)) {
        put(s, MIEN_FRAME_PING, "", 0);
        s->pinged_ns = now;
    }
    if (wakes && !s->ended) s->handler->wake(s->handler->context, s);
    attend(s);
}

static void on_all_times(struct mien_sockets *t)
{
    const uint64_t now = mien_now_ns();
    if (now < t->due_ns) return;
    t->due_ns = NEVER;
    for (struct mien_socket *s = t->first, *next; s != NULL; s = next) {
        next = s->next;
        if (now >= s->due_ns) on_time(s, now);
        else t->due_ns = earlier(t->due_ns, s->due_ns);
    }
}

/* What the server's end asks for. False: the thread is to end. */
static bool go_on(struct mien_sockets *t)
{
    pthread_mutex_lock(&t->lock);
    const bool closing = t->closing, ending = t->ending, idle = t->calls == NULL;
    const uint64_t until = t->until_ns;
    pthread_mutex_unlock(&t->lock);
    const bool cut = ending && mien_now_ns() >= until, tell = closing && !t->told;
    t->told = closing;
    for (struct mien_socket *s = t->first, *next; (tell || cut) && s != NULL; s = next) {
        next = s->next;
        put_close(s, GOING_AWAY, "");
        if (cut) s->ended = true;
        attend(s);
    }
    if (ending) t->due_ns = earlier(t->due_ns, until);
    if (!ending || t->first != NULL || !idle) return true;
    pthread_mutex_lock(&t->lock);
    t->ended = t->calls == NULL;
    const bool ended = t->ended;
    pthread_mutex_unlock(&t->lock);
    return !ended;
}

static int wait_ms(const struct mien_sockets *t)
{
    const uint64_t now = mien_now_ns();
    if (t->due_ns == NEVER) return -1;
    if (t->due_ns <= now) return 0;
    const uint64_t ms = (t->due_ns - now + MS - 1) / MS;
    return ms < 60000 ? (int)ms : 60000;
}

static void *serve(void *arg)
{
    struct mien_sockets *t = arg;
    while (go_on(t)) {
        struct epoll_event events[EVENTS_AT_ONCE];
        const int n = epoll_wait(t->epoll, events, EVENTS_AT_ONCE, wait_ms(t));
        for (int i = 0; i < n; i++) {
            struct mien_socket *s = events[i].data.ptr;
            uint64_t count;
            if (s == NULL) {
                const ssize_t got = read(t->event, &count, sizeof count);
                (void)got;
                continue;
            }
            if ((events[i].events & ~(unsigned)EPOLLOUT) != 0) receive(s);
            attend(s);
        }
        answer_calls(t);
        on_all_times(t);
    }
    return NULL;
}

/* ---- between the HTTP server and the thread ---- */

void mien_request_upgrade(struct mien_request *q, const struct mien_socket_handler *h, void *state)
{
    q->upgrade = h;
    q->upgrade_state = state;
}

struct mien_socket *mien_socket_create(struct mien_request *q, const struct mien_socket_handler *h, void *state)
{
    struct mien_socket *s = calloc(1, sizeof *s);
    char *path = strdup(q->path);
    if (s == NULL || path == NULL) {
        free(s);
        free(path);
        return NULL;
    }
    s->all = q->server->sockets;
    s->server = q->server;
    s->handler = h;
    s->state = state;
    s->path = path;
    snprintf(s->id, sizeof s->id, "%s", q->id);
    snprintf(s->peer, sizeof s->peer, "%s", q->conn->peer);
    s->fd = -1;
    s->code = LOST;
    pthread_mutex_init(&s->lock, NULL);
    atomic_init(&s->references, 2);
    return s;
}

void mien_socket_abandon(struct mien_socket *s)
{
    pthread_mutex_lock(&s->lock);
    s->over = true;
    pthread_mutex_unlock(&s->lock);
    s->handler->closed(s->handler->context, s, LOST);
    unreference(s);
}

void mien_socket_begin(struct mien_socket *s, int fd, struct MHD_UpgradeResponseHandle *library, const void *early, size_t n)
{
    const int on = 1;
    s->fd = fd;
    s->library = library;
    s->early = n > 0 ? malloc(n) : NULL;
    if (s->early != NULL) memcpy(s->early, early, n);
    s->early_size = n;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if ((n == 0 || s->early != NULL) && call(s)) return;
    if (s->early != NULL) explicit_bzero(s->early, n);
    free(s->early);
    s->early = NULL;
    MHD_upgrade_action(library, MHD_UPGRADE_ACTION_CLOSE);
    mien_socket_abandon(s);
}

static void release(struct mien_sockets *t)
{
    if (t->epoll >= 0) close(t->epoll);
    if (t->event >= 0) close(t->event);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static enum mien_code start(struct mien_sockets *t, struct mien_err *e)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    MIEN_FAIL_IF(t->epoll < 0 || t->event < 0 || epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->event, &event) != 0, e, MIEN_E_NOMEM, "the system refuses an epoll");
    MIEN_FAIL_IF(pthread_create(&t->thread, NULL, serve, t) != 0, e, MIEN_E_NOMEM, "the system refuses a thread");
    pthread_setname_np(t->thread, "sockets");
    return MIEN_OK;
}

enum mien_code mien_sockets_start(struct mien_server *s, struct mien_sockets **out, struct mien_err *e)
{
    *out = NULL;
    struct mien_sockets *t = calloc(1, sizeof *t);
    MIEN_FAIL_IF(t == NULL, e, MIEN_E_NOMEM, "out of memory for WebSockets");
    t->server = s;
    t->due_ns = NEVER;
    t->epoll = epoll_create1(EPOLL_CLOEXEC);
    t->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&t->lock, NULL);
    const enum mien_code code = start(t, e);
    if (code != MIEN_OK) release(t);
    else *out = t;
    return code;
}

void mien_sockets_close(struct mien_sockets *t)
{
    pthread_mutex_lock(&t->lock);
    t->closing = true;
    pthread_mutex_unlock(&t->lock);
    ring(t);
}

void mien_sockets_end(struct mien_sockets *t, uint64_t until_ns)
{
    if (t == NULL) return;
    pthread_mutex_lock(&t->lock);
    t->closing = t->ending = true;
    t->until_ns = until_ns;
    pthread_mutex_unlock(&t->lock);
    ring(t);
    pthread_join(t->thread, NULL);
}

void mien_sockets_free(struct mien_sockets **pt)
{
    if (*pt != NULL) release(*pt);
    *pt = NULL;
}
