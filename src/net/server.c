/* The server over libmicrohttpd: the way of a request through its callbacks.
 *
 * The library calls access_handler() when the headers are there, for each piece of body, once more when the body is complete, and again after a
 * suspended connection is resumed. One request belongs to one thread at a time: the event thread until it is suspended (MIEN_STAGE_AWAY), then the pools',
 * and from MIEN_STAGE_READY on the event thread again. */
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "codec/hex.h"
#include "net/guard.h"
#include "net/server_inner.h"
#include "net/websocket_inner.h"

enum { HEADER_BYTES = 64 << 10, FIRST_BODY_BYTES = 16 << 10, MAX_HEADERS_SEEN = 128, BACKLOG = 512 };

/* ---- bodies ---- */

static void free_body(struct mien_request *q)
{
    if (q->body == NULL) return;
    explicit_bzero(q->body, q->body_room);
    free(q->body);
    atomic_fetch_sub(&q->server->body_bytes, q->body_room);
    q->body = NULL;
    q->body_size = q->body_room = 0;
}

/* Grows by what arrived, never by what was announced. The old copy is wiped. */
static bool grow_body(struct mien_request *q, size_t need)
{
    struct mien_server *s = q->server;
    size_t room = q->body_room > 0 ? q->body_room : FIRST_BODY_BYTES;
    while (room < need) room *= 2;
    const size_t most = q->max_body + 1;
    if (room > most) room = most;
    const size_t more = room - q->body_room;
    if (atomic_fetch_add(&s->body_bytes, more) + more > s->settings.max_body_memory) {
        atomic_fetch_sub(&s->body_bytes, more);
        return false;
    }
    char *body = malloc(room);
    if (body == NULL) {
        atomic_fetch_sub(&s->body_bytes, more);
        return false;
    }
    if (q->body != NULL) {
        memcpy(body, q->body, q->body_size);
        explicit_bzero(q->body, q->body_room);
        free(q->body);
    }
    q->body = body;
    q->body_room = room;
    return true;
}

static bool add_body(struct mien_request *q, const char *data, size_t n)
{
    if (q->body_size + n + 1 > q->body_room && !grow_body(q, q->body_size + n + 1)) return false;
    memcpy(q->body + q->body_size, data, n);
    q->body_size += n;
    q->body[q->body_size] = '\0';
    return true;
}

/* ---- responses ---- */

struct sent_body {
    size_t room;
    char *data;
};

static void wipe_sent(void *cls)
{
    struct sent_body *b = cls;
    explicit_bzero(b->data, b->room);
    free(b->data);
    free(b);
}

static void clear_response(struct mien_response *r)
{
    if (r->body.data != NULL) explicit_bzero(r->body.data, r->body.room);
    mien_buf_free(&r->body);
    for (int i = 0; i < r->n_headers; i++) free(r->header[i].value);
    r->n_headers = 0;
}

static void fresh_response(struct mien_request *q)
{
    clear_response(&q->response);
    q->response = (struct mien_response){.status = 200};
    mien_buf_init(&q->response.body, q->server->settings.max_response_bytes);
}

static struct MHD_Response *library_response(struct mien_response *r)
{
    if (r->fixed != NULL) {
        union { const void *given; void *lent; } fixed = {.given = r->fixed}; /* the library only reads it */
        return MHD_create_response_from_buffer(r->fixed_size, fixed.lent, MHD_RESPMEM_PERSISTENT);
    }
    if (r->body.len == 0) return MHD_create_response_from_buffer(0, (char[]){""}, MHD_RESPMEM_MUST_COPY);
    struct sent_body *b = malloc(sizeof *b);
    if (b == NULL) return NULL;
    *b = (struct sent_body){r->body.room, r->body.data};
    struct MHD_Response *m = MHD_create_response_from_buffer_with_free_callback_cls(r->body.len, b->data, wipe_sent, b);
    if (m == NULL) free(b);
    else r->body.data = NULL; /* the library's now */
    return m;
}

static enum MHD_Result send_response(struct mien_request *q)
{
    struct mien_response *r = &q->response;
    const size_t bytes = r->fixed != NULL ? r->fixed_size : r->body.len;
    struct MHD_Response *m = library_response(r);
    if (m == NULL) return MHD_NO;
    if (r->type != NULL) MHD_add_response_header(m, "Content-Type", r->type);
    MHD_add_response_header(m, "X-Request-Id", q->id);
    for (int i = 0; i < r->n_headers; i++) MHD_add_response_header(m, r->header[i].name, r->header[i].value);
    if (r->close || atomic_load(&q->server->stopping)) MHD_add_response_header(m, "Connection", "close");
    free_body(q);
    mien_conns_phase(&q->server->conns, q->conn, MIEN_PHASE_RESPONSE);
    const enum MHD_Result done = MHD_queue_response(q->connection, (unsigned)r->status, m);
    MHD_destroy_response(m);
    q->status = r->status;
    q->sent_bytes = bytes;
    atomic_store(&q->stage, MIEN_STAGE_SENT);
    return done;
}

static void refuse(struct mien_request *q, enum mien_refusal why, const char *detail)
{
    fresh_response(q);
    q->server->handler.refuse(q->server->handler.context, q, &q->response, why, detail);
}

/* The same without the library. */
static void send_past_library(struct mien_request *q, int wait_ms)
{
    const struct mien_response *r = &q->response;
    q->sent_directly = mien_send_directly(q->conn->fd, r, q->id, wait_ms);
    q->status = r->status;
    q->sent_bytes = r->fixed != NULL ? r->fixed_size : r->body.len;
}

/* ---- on the pools ---- */

/* Hands the request back to the event thread, with its answer. The library may take the end of what a client sends for the end of the
 * connection: such a client is answered here, with at most wait_ms for it to take the answer. */
static void come_back(struct mien_request *q, int wait_ms)
{
    struct MHD_Connection *connection = q->connection;
    struct mien_server *s = q->server;
    const bool direct = mien_half_closed(q->conn->fd);
    if (direct) send_past_library(q, wait_ms);
    atomic_store(&q->stage, direct ? MIEN_STAGE_SENT : MIEN_STAGE_READY); /* from here on q is the event thread's */
    MHD_resume_connection(connection);
    atomic_fetch_sub(&s->away, 1);
}

static struct mien_request *request_of(struct mien_job *j) { return (struct mien_request *)((char *)j - offsetof(struct mien_request, job)); }

/* Reset: gone. End of what the client sends: it may still read, or not; nobody can tell. */
static enum mien_waiting look(struct mien_job *j)
{
    char c;
    const ssize_t n = recv(request_of(j)->conn->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))) return MIEN_WAITING;
    return n == 0 ? MIEN_LEAVING : MIEN_GONE;
}

static void drop(struct mien_job *j)
{
    struct mien_request *q = request_of(j);
    refuse(q, MIEN_REFUSE_OVERLOADED, NULL);
    q->response.close = true;
    come_back(q, q->server->settings.response_timeout_ms);
}

static void run(struct mien_job *j, int worker);

static void run_fetch(struct mien_job *j, int worker)
{
    struct mien_request *q = request_of(j);
    (void)worker;
    q->server->handler.fetch(q->server->handler.context, q);
    q->job.run = run;
    if (mien_pool_submit(q->server->workers, &q->job)) return;
    refuse(q, MIEN_REFUSE_OVERLOADED, NULL);
    come_back(q, q->server->settings.response_timeout_ms);
}

static void run(struct mien_job *j, int worker)
{
    struct mien_request *q = request_of(j);
    q->waited_ns += mien_now_ns() - j->queued_ns;
    if (q->server->handler.answer(q->server->handler.context, worker, q, &q->response) == MIEN_NEXT_FETCH) {
        q->job.run = run_fetch;
        if (mien_pool_submit(q->server->fetchers, &q->job)) return;
        refuse(q, MIEN_REFUSE_OVERLOADED, NULL);
    }
    come_back(q, q->server->settings.response_timeout_ms);
}

/* ---- the headers ---- */

struct header_list {
    struct mien_header header[MAX_HEADERS_SEEN];
    int n;
};

static enum MHD_Result add_header(void *cls, enum MHD_ValueKind kind, const char *key, size_t key_size, const char *value, size_t value_size)
{
    struct header_list *l = cls;
    (void)kind;
    if (l->n >= MAX_HEADERS_SEEN) return MHD_NO;
    l->header[l->n++] = (struct mien_header){key, value != NULL ? value : "", key_size, value_size};
    return MHD_YES;
}

static void make_id(struct mien_request *q)
{
    const char *given = mien_request_header(q, "X-Request-Id");
    uint64_t random = 0;
    if (given != NULL && mien_guard_request_id(given, strlen(given))) {
        snprintf(q->id, sizeof q->id, "%s", given);
        return;
    }
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) random = mien_now_ns();
    snprintf(q->id, sizeof q->id, "%016llx", (unsigned long long)random);
}

/* A body that comes is not read: the library then closes the connection. Without one the answer is sent at the next call, as one that is given at the first
 * would close the connection too. */
static enum MHD_Result answer_now(struct mien_request *q, bool body_comes)
{
    if (!body_comes) {
        atomic_store(&q->stage, MIEN_STAGE_READY);
        return MHD_YES;
    }
    q->response.close = true;
    return send_response(q);
}

/* ---- becoming a WebSocket ---- */

/* The 101 has gone out: the HTTP request is over, the connection stays the library's until the socket's end. */
static void upgraded(void *cls, struct MHD_Connection *connection, void *state, const char *early, size_t n, MHD_socket fd,
                     struct MHD_UpgradeResponseHandle *library)
{
    struct mien_request *q = cls;
    struct mien_server *s = q->server;
    struct mien_socket *socket = q->socket;
    (void)connection;
    (void)state;
    mien_conns_phase(&s->conns, q->conn, MIEN_PHASE_SOCKET);
    s->handler.done(s->handler.context, q, MHD_HTTP_SWITCHING_PROTOCOLS, 0);
    clear_response(&q->response);
    q->done = true;
    q->socket = NULL;
    mien_socket_begin(socket, fd, library, early, n);
}

static enum MHD_Result send_upgrade(struct mien_request *q)
{
    struct mien_response *r = &q->response;
    struct MHD_Response *m = MHD_create_response_for_upgrade(upgraded, q);
    if (m == NULL) return MHD_NO;
    MHD_add_response_header(m, "Upgrade", "websocket");
    MHD_add_response_header(m, "X-Request-Id", q->id);
    for (int i = 0; i < r->n_headers; i++) MHD_add_response_header(m, r->header[i].name, r->header[i].value);
    mien_conns_phase(&q->server->conns, q->conn, MIEN_PHASE_RESPONSE);
    const enum MHD_Result done = MHD_queue_response(q->connection, MHD_HTTP_SWITCHING_PROTOCOLS, m);
    MHD_destroy_response(m);
    atomic_store(&q->stage, MIEN_STAGE_SENT);
    return done;
}

/* Checks the handshake; the 101, or the refusal, is sent at the next call. */
static enum MHD_Result begin_upgrade(struct mien_request *q, const char *version, bool body_comes)
{
    char accept[MIEN_SOCKET_ACCEPT];
    const char *why = NULL;
    assert(q->upgrade != NULL);
    enum mien_handshake h = mien_handshake(q, version, accept, &why);
    if (h == MIEN_HANDSHAKE_GOOD && body_comes) {
        h = MIEN_HANDSHAKE_WRONG;
        why = "A WebSocket begins without a body.";
    }
    if (h == MIEN_HANDSHAKE_GOOD) q->socket = mien_socket_create(q, q->upgrade, q->upgrade_state);
    if (q->socket != NULL) {
        mien_response_header(&q->response, "Sec-WebSocket-Accept", accept);
        return answer_now(q, false);
    }
    refuse(q, h == MIEN_HANDSHAKE_NONE ? MIEN_REFUSE_UPGRADE : h == MIEN_HANDSHAKE_WRONG ? MIEN_REFUSE_MALFORMED : MIEN_REFUSE_INTERNAL, why);
    if (h == MIEN_HANDSHAKE_NONE) {
        mien_response_header(&q->response, "Upgrade", "websocket");
        mien_response_header(&q->response, "Connection", "Upgrade");
        mien_response_header(&q->response, "Sec-WebSocket-Version", "13");
    }
    return answer_now(q, body_comes);
}

/* ---- the library's callbacks ---- */

/* The headers are there. */
static enum MHD_Result begin(struct mien_request *q, const char *version)
{
    struct mien_server *s = q->server;
    struct header_list headers = {.n = 0};
    MHD_get_connection_values_n(q->connection, MHD_HEADER_KIND, add_header, &headers);
    const struct mien_framing f = mien_guard_check(headers.header, headers.n, strcmp(version, "HTTP/1.0") == 0);
    const bool body_comes = f.chunked || f.length > 0;
    fresh_response(q);
    make_id(q);
    q->started_ns = mien_now_ns();
    if (f.wrong != NULL || atomic_load(&s->stopping)) {
        refuse(q, f.wrong != NULL ? MIEN_REFUSE_MALFORMED : MIEN_REFUSE_OVERLOADED, f.wrong);
        return answer_now(q, true);
    }
    const enum mien_plan plan = s->handler.begin(s->handler.context, q, &q->response, &q->max_body);
    if (plan == MIEN_PLAN_NOW) return answer_now(q, body_comes);
    if (plan == MIEN_PLAN_UPGRADE) return begin_upgrade(q, version, body_comes);
    if (f.has_length && f.length > q->max_body) {
        refuse(q, MIEN_REFUSE_TOO_LARGE, NULL);
        return answer_now(q, true);
    }
    q->inline_answer = plan == MIEN_PLAN_INLINE;
    q->conn->request = q;
    mien_conns_phase(&s->conns, q->conn, MIEN_PHASE_BODY);
    return MHD_YES;
}

/* A piece of body. The library takes no answer before the body's end: one to a body that is too long goes past it, at once. What still comes is
 * thrown away under the body's deadline, because closing on a client that sends could cost it the answer. */
static void take_body(struct mien_request *q, const char *data, size_t n)
{
    if (atomic_load(&q->stage) == MIEN_STAGE_DISCARD) return;
    const bool fits = n <= q->max_body - q->body_size;
    if (fits && add_body(q, data, n)) return;
    refuse(q, fits ? MIEN_REFUSE_OVERLOADED : MIEN_REFUSE_TOO_LARGE, NULL);
    free_body(q);
    send_past_library(q, 0);
    atomic_store(&q->stage, MIEN_STAGE_DISCARD);
}

/* The body is complete. */
static enum MHD_Result whole(struct mien_request *q)
{
    struct mien_server *s = q->server;
    q->conn->request = NULL;
    mien_conns_phase(&s->conns, q->conn, MIEN_PHASE_WORK);
    if (q->inline_answer) {
        s->handler.answer(s->handler.context, -1, q, &q->response);
        return send_response(q);
    }
    q->job = (struct mien_job){.run = run, .drop = drop, .look = look};
    atomic_store(&q->stage, MIEN_STAGE_AWAY);
    atomic_fetch_add(&s->away, 1);
    MHD_suspend_connection(q->connection);
    if (mien_pool_submit(s->workers, &q->job)) return MHD_YES;
    refuse(q, MIEN_REFUSE_OVERLOADED, NULL);
    come_back(q, 0);
    return MHD_YES;
}

static struct mien_request *new_request(struct mien_server *s, struct MHD_Connection *connection, const char *url, const char *method)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct mien_request *q = info != NULL && info->socket_context != NULL ? calloc(1, sizeof *q) : NULL;
    if (q == NULL) return NULL;
    q->server = s;
    q->connection = connection;
    q->conn = info->socket_context;
    q->path = url;
    q->method = mien_method_parse(method);
    atomic_init(&q->stage, MIEN_STAGE_BODY);
    return q;
}

/* The next step of a request that has begun. */
static enum MHD_Result step(struct mien_request *q, const char *data, size_t *n)
{
    switch ((enum mien_stage)atomic_load(&q->stage)) {
    case MIEN_STAGE_BODY:
        if (*n == 0) return whole(q);
        take_body(q, data, *n);
        *n = 0;
        return MHD_YES;
    case MIEN_STAGE_DISCARD:
        if (*n == 0) return MHD_NO;
        *n = 0;
        return MHD_YES;
    case MIEN_STAGE_READY: return q->socket != NULL ? send_upgrade(q) : send_response(q);
    case MIEN_STAGE_SENT: return MHD_NO; /* past the library: the connection ends */
    case MIEN_STAGE_AWAY: break;
    }
    return MHD_YES;
}

static enum MHD_Result access_handler(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version, const char *data,
                                      size_t *n, void **state)
{
    struct mien_request *q = *state;
    if (q == NULL) {
        *state = q = new_request(cls, connection, url, method);
        return q != NULL ? begin(q, version) : MHD_NO;
    }
    struct mien_conn *conn = q->conn;
    pthread_mutex_lock(&conn->owner);
    const enum MHD_Result result = step(q, data, n);
    pthread_mutex_unlock(&conn->owner);
    return result;
}

/* Body too late: the library takes no answer yet, so it goes straight into the socket, which is then shut down. */
static void late(struct mien_request *q)
{
    if (q->sent_directly) return; /* it has its answer */
    refuse(q, MIEN_REFUSE_TIMEOUT, NULL);
    send_past_library(q, 0);
}

static void completed(void *cls, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode why)
{
    struct mien_server *s = cls;
    struct mien_request *q = *state;
    (void)connection;
    if (q == NULL) return;
    *state = NULL;
    pthread_mutex_lock(&q->conn->owner);
    q->conn->request = NULL;
    pthread_mutex_unlock(&q->conn->owner);
    const bool sent = why == MHD_REQUEST_TERMINATED_COMPLETED_OK || q->sent_directly;
    if (q->socket != NULL) mien_socket_abandon(q->socket);
    if (!q->done) s->handler.done(s->handler.context, q, sent ? q->status : 0, sent ? q->sent_bytes : 0);
    mien_conns_phase(&s->conns, q->conn, MIEN_PHASE_HEADERS);
    clear_response(&q->response);
    free_body(q);
    free(q);
}

static enum MHD_Result admit(void *cls, const struct sockaddr *address, socklen_t size)
{
    struct mien_server *s = cls;
    (void)size;
    if (atomic_load(&s->stopping)) return MHD_NO;
    return mien_conns_admit(&s->conns, address) ? MHD_YES : MHD_NO;
}

static void connection_event(void *cls, struct MHD_Connection *connection, void **context, enum MHD_ConnectionNotificationCode what)
{
    struct mien_server *s = cls;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        *context = mien_conns_open(&s->conns, fd, MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
    } else if (*context != NULL) {
        mien_conns_close(&s->conns, *context);
        *context = NULL;
    }
}

/* Percent-decodes a path or a query value in place. %00 becomes U+0001, which no route has: it would end the text, and "/livez%00x" would be "/livez". */
static size_t unescape(void *cls, struct MHD_Connection *connection, char *s)
{
    size_t to = 0;
    (void)cls;
    (void)connection;
    for (size_t i = 0; s[i] != '\0'; i++) {
        const int high = s[i] == '%' ? mien_hex_digit(s[i + 1]) : -1, low = high >= 0 ? mien_hex_digit(s[i + 2]) : -1;
        if (low < 0) {
            s[to++] = s[i];
            continue;
        }
        const int byte = 16 * high + low;
        s[to++] = (char)(byte == 0 ? 1 : byte);
        i += 2;
    }
    s[to] = '\0';
    return to;
}

/* ---- the server's life ---- */

void mien_server_settings_default(struct mien_server_settings *s)
{
    *s = (struct mien_server_settings){.host = "127.0.0.1", .port = 8000, .workers = mien_cpu_count(), .event_threads = 2, .queue_limit = 64, .fetchers = 8,
                                       .fetch_limit = 64, .max_connections = 1024, .max_connections_per_address = 64, .trusted_proxies = "",
                                       .max_response_bytes = 32u << 20, .max_body_memory = 512u << 20, .header_timeout_ms = 30000, .body_timeout_ms = 30000,
                                       .response_timeout_ms = 30000, .stop_timeout_ms = 10000, .socket_max_message = 1 << 20,
                                       .socket_max_waiting = 256 << 10, .socket_ping_ms = 20000, .socket_close_ms = 2000, .socket_controls_per_s = 20};
}

static int listen_on(const struct addrinfo *a)
{
    const int on = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) return fd;
    const int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static int bound_port(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0) return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port : ((struct sockaddr_in *)&a)->sin_port);
}

static enum mien_code open_socket(struct mien_server *s, struct mien_err *e)
{
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    char port[8];
    snprintf(port, sizeof port, "%d", s->settings.port);
    MIEN_FAIL_IF(getaddrinfo(s->settings.host, port, &hints, &list) != 0, e, MIEN_E_ADDRESS, "'%s' is no address to listen on", s->settings.host);
    s->listen_fd = listen_on(list);
    const int why = errno;
    freeaddrinfo(list);
    MIEN_FAIL_IF(s->listen_fd < 0, e, MIEN_E_ADDRESS, "cannot listen on %s port %d: %s", s->settings.host, s->settings.port, strerror(why));
    s->port = bound_port(s->listen_fd);
    return MIEN_OK;
}

static enum mien_code start_library(struct mien_server *s, struct mien_err *e)
{
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ITC;
    /* one thread needs no pool, which must have at least two */
    const enum MHD_OPTION pool = s->settings.event_threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END;
    s->daemon = MHD_start_daemon(
        flags, 0, admit, s, access_handler, s, MHD_OPTION_LISTEN_SOCKET, s->listen_fd, MHD_OPTION_NOTIFY_COMPLETED, completed, s, MHD_OPTION_NOTIFY_CONNECTION,
        connection_event, s, MHD_OPTION_UNESCAPE_CALLBACK, unescape, s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_BYTES, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)s->settings.max_connections + 16u, MHD_OPTION_CONNECTION_TIMEOUT, 0u, pool, (unsigned)s->settings.event_threads, MHD_OPTION_END);
    MIEN_FAIL_IF(s->daemon == NULL, e, MIEN_E_INTERNAL, "the HTTP library does not start");
    return MIEN_OK;
}

static void release(struct mien_server *s)
{
    mien_pool_free(&s->workers);
    mien_pool_free(&s->fetchers);
    mien_sockets_free(&s->sockets);
    mien_conns_stop(&s->conns);
    if (s->listen_fd >= 0) close(s->listen_fd);
    free(s);
}

static enum mien_code start(struct mien_server *s, struct mien_err *e)
{
    const struct mien_pool_settings workers = {"worker", s->settings.workers, s->settings.queue_limit};
    const struct mien_pool_settings fetchers = {"fetcher", s->settings.fetchers, s->settings.fetch_limit};
    MIEN_TRY(mien_conns_start(&s->conns, &s->settings, e));
    MIEN_TRY(mien_pool_create(&workers, &s->workers, e));
    if (s->handler.fetch != NULL) MIEN_TRY(mien_pool_create(&fetchers, &s->fetchers, e));
    MIEN_TRY(open_socket(s, e));
    MIEN_TRY(mien_sockets_start(s, &s->sockets, e));
    return start_library(s, e);
}

enum mien_code mien_server_start(const struct mien_server_settings *settings, const struct mien_http_handler *h, struct mien_server **out, struct mien_err *e)
{
    *out = NULL;
    struct mien_server *s = calloc(1, sizeof *s);
    MIEN_FAIL_IF(s == NULL, e, MIEN_E_NOMEM, "out of memory for the server");
    s->settings = *settings;
    s->handler = *h;
    s->listen_fd = -1;
    s->conns.late = late;
    enum mien_code code = start(s, e);
    if (code != MIEN_OK) {
        mien_sockets_end(s->sockets, 0);
        release(s);
    } else *out = s;
    return code;
}

int mien_server_port(const struct mien_server *s) { return s->port; }

static void sleep_ms(int ms) { nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL); }

/* Whether everything that is away has come back, and everything that was answered was sent, before the time is over. */
static bool wait_for_requests(struct mien_server *s, uint64_t until_ns)
{
    while (atomic_load(&s->away) > 0 && mien_now_ns() < until_ns) sleep_ms(5);
    return atomic_load(&s->away) == 0;
}

/* The same for the jobs of sockets. */
static bool wait_for_workers(struct mien_server *s, uint64_t until_ns)
{
    const uint64_t now = mien_now_ns();
    return mien_pool_idle(s->workers, now < until_ns ? (int)((until_ns - now) / 1000000u) : 0);
}

static void wait_for_responses(struct mien_server *s, uint64_t until_ns)
{
    for (;;) {
        bool busy = false;
        pthread_mutex_lock(&s->conns.lock);
        for (const struct mien_conn *c = s->conns.first; c != NULL; c = c->next) busy |= c->phase == MIEN_PHASE_RESPONSE || c->phase == MIEN_PHASE_WORK;
        pthread_mutex_unlock(&s->conns.lock);
        if (!busy || mien_now_ns() >= until_ns) return;
        sleep_ms(5);
    }
}

bool mien_server_stop(struct mien_server **ps)
{
    if (ps == NULL || *ps == NULL) return true;
    struct mien_server *s = *ps;
    const uint64_t until = mien_now_ns() + (uint64_t)s->settings.stop_timeout_ms * 1000000u;
    /* From here on admit() refuses. Not MHD_quiesce_daemon: it and the library's threads may take the listening socket out of epoll at the same time, and who
     * comes second ends the process (0.9.75, "Failed to remove listen FD from epoll set"). */
    atomic_store(&s->stopping, true);
    *ps = NULL;
    mien_sockets_close(s->sockets);
    if (!wait_for_requests(s, until) || !wait_for_workers(s, until)) {
        mien_conns_cut(&s->conns); /* a worker cannot be cut off, and what it works on must stay: nothing is freed */
        return false;
    }
    wait_for_responses(s, until);
    mien_sockets_end(s->sockets, until);
    mien_pool_free(&s->fetchers);
    mien_pool_free(&s->workers);
    MHD_stop_daemon(s->daemon);
    s->listen_fd = -1; /* closed by the library */
    release(s);
    return true;
}

bool mien_server_submit(struct mien_server *s, struct mien_job *job) { return !atomic_load(&s->stopping) && mien_pool_submit(s->workers, job); }

struct mien_server_state mien_server_state(struct mien_server *s)
{
    struct mien_server_state state = {.waiting = mien_pool_waiting(s->workers), .running = mien_pool_running(s->workers),
                                      .fetching = s->fetchers != NULL ? mien_pool_running(s->fetchers) + mien_pool_waiting(s->fetchers) : 0,
                                      .body_bytes = atomic_load(&s->body_bytes)};
    pthread_mutex_lock(&s->conns.lock);
    state.connections = s->conns.n;
    state.refused_connections = s->conns.refused;
    pthread_mutex_unlock(&s->conns.lock);
    return state;
}
