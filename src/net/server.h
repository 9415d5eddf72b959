/* HTTP/1.1 server: event threads read and write, workers compute. libmicrohttpd stays inside server.c.
 *
 * A request's way: the event thread has the headers -> guard -> handler.begin decides (answer now, answer on the event thread once the body is there, or
 * queue for a worker) -> body is read under its limit and deadline -> handler.answer -> the response is sent -> handler.done. While a worker has it
 * the connection is suspended. Answers that the server itself must give (guard, limits, full queue) are written by handler.refuse, so that
 * all errors look alike.
 *
 * Bounds: connections in all and per address, body bytes per request and of all requests together, waiting jobs, header bytes (64 KiB), one deadline
 * for headers (from accept or from the end of the previous response), one for the body and one for the response. Bodies and responses are wiped before
 * they are freed. A client that resets its connection frees its place in the queue at once; one that closed its sending half is served last, and is
 * the first to make room.
 *
 * What libmicrohttpd 0.9.75 does before our code sees anything: a request line or header that it cannot read is answered by its own short 400
 * or 431 page, an HTTP version that it does not know by 505, all without X-Request-Id; a header's value ends at a NUL byte; folded lines are
 * joined. */
#ifndef MIEN_NET_SERVER_H
#define MIEN_NET_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/pool.h"

enum mien_method { MIEN_GET, MIEN_HEAD, MIEN_POST, MIEN_PUT, MIEN_DELETE, MIEN_OPTIONS, MIEN_PATCH, MIEN_OTHER_METHOD };
const char *mien_method_name(enum mien_method m);

struct mien_request; /* opaque; belongs to one thread at a time */

enum mien_method mien_request_method(const struct mien_request *q);
const char *mien_request_path(const struct mien_request *q);   /* percent-decoded, begins with '/' */
const char *mien_request_id(const struct mien_request *q);     /* for X-Request-Id and the log; [A-Za-z0-9._-]{1,64} */
const char *mien_request_header(const struct mien_request *q, const char *name); /* first value or NULL; valid until done */
/* The last value of a header that may come several times: what the nearest proxy has added. */
const char *mien_request_header_last(const struct mien_request *q, const char *name);
const char *mien_request_query(const struct mien_request *q, const char *name);  /* decoded value or NULL */
/* Names of the query, for refusing unknown ones: i-th name or NULL past the end. */
const char *mien_request_query_name(const struct mien_request *q, int i);
char *mien_request_body(struct mien_request *q, size_t *n);    /* writable, NUL after the last byte; NULL and 0 when there is none */
/* The peer's address as text without port, "127.0.0.1", "::1" (IPv6-mapped IPv4 as IPv4). */
const char *mien_request_peer(const struct mien_request *q);
uint64_t mien_request_started_ns(const struct mien_request *q); /* headers complete */
uint64_t mien_request_waited_ns(const struct mien_request *q);  /* in the queue, so far */

/* The handler's own state of a request: NULL at first, released by the handler in `done`. */
void mien_request_keep(struct mien_request *q, void *state);
void *mien_request_kept(const struct mien_request *q);

enum { MIEN_RESPONSE_HEADERS = 16 };
struct mien_response {
    int status;               /* 200 by default */
    const char *type;         /* Content-Type, static text; NULL = none */
    struct mien_buf body;     /* initialised with the server's max_response_bytes; wiped and freed by the server */
    const void *fixed;        /* when not NULL: a body that outlives the server, instead of `body` */
    size_t fixed_size;
    bool close;               /* end the connection after this answer */
    int n_headers;
    struct { const char *name; char *value; } header[MIEN_RESPONSE_HEADERS];
};
/* `name` is static text; the value is copied. Control bytes in the value drop the header; so does a full table (asserted in debug builds). */
void mien_response_header(struct mien_response *r, const char *name, const char *value);

/* What `begin` decides. */
enum mien_plan {
    MIEN_PLAN_NOW,    /* *r is the answer; the body is not read (the connection is closed when the client announced one) */
    MIEN_PLAN_INLINE, /* `answer` is called on the event thread once the body is there: only what takes microseconds */
    MIEN_PLAN_QUEUE,  /* ... on a worker */
    MIEN_PLAN_UPGRADE /* becomes a WebSocket; mien_request_upgrade (websocket.h) was called. `done` follows at once, with status 101 */
};
/* What `answer` says. */
enum mien_next {
    MIEN_NEXT_SEND,   /* *r is the answer */
    MIEN_NEXT_FETCH   /* call `fetch` on a thread that may wait for the network, then `answer` again on a worker */
};

enum mien_refusal {
    MIEN_REFUSE_MALFORMED,   /* guard: 400, `detail` says what */
    MIEN_REFUSE_TOO_LARGE,   /* body above the plan's limit: 413 */
    MIEN_REFUSE_OVERLOADED,  /* queue, connections' body memory, or stopping: 503 with Retry-After */
    MIEN_REFUSE_TIMEOUT,     /* the body did not arrive in time: 408 */
    MIEN_REFUSE_UPGRADE,     /* a WebSocket's path without a handshake: 426; the server adds Upgrade and Sec-WebSocket-Version */
    MIEN_REFUSE_INTERNAL     /* 500: out of memory and the like */
};

struct mien_http_handler {
    void *context;
    /* Event thread, headers known, body not. Must not block. *max_body is 0 before; bytes of body that are taken at most. */
    enum mien_plan (*begin)(void *context, struct mien_request *q, struct mien_response *r, size_t *max_body);
    /* `worker` in 0..workers-1, or -1 on an event thread (MIEN_PLAN_INLINE; MIEN_NEXT_FETCH is then not allowed). */
    enum mien_next (*answer)(void *context, int worker, struct mien_request *q, struct mien_response *r);
    /* A thread of the fetching pool; may block. Never writes the response. May be NULL when `answer` never asks for it. */
    void (*fetch)(void *context, struct mien_request *q);
    /* Writes the answer to what the server refuses. Any thread. `begin` may not have been called. */
    void (*refuse)(void *context, struct mien_request *q, struct mien_response *r, enum mien_refusal why, const char *detail);
    /* The request is over: answered (status), or lost (status 0: the client went away, or was too slow). Any thread. */
    void (*done)(void *context, struct mien_request *q, int status, size_t response_bytes);
};

struct mien_server_settings {
    const char *host;             /* address or name to listen on; default "127.0.0.1" */
    int port;                     /* 0 = the system chooses; default 8000 */
    int workers;                  /* default: processors */
    int event_threads;            /* default 2 */
    int queue_limit;              /* requests that wait for a worker, default 64 */
    int fetchers, fetch_limit;    /* threads that fetch URLs and what may wait for them; default 8 and 64 */
    int max_connections;          /* default 1024 */
    int max_connections_per_address; /* default 64; not applied to trusted proxies */
    const char *trusted_proxies;  /* comma-separated addresses that the per-address limit does not hold for; default "" */
    size_t max_response_bytes;    /* default 32 MiB */
    size_t max_body_memory;       /* bytes of all bodies that are held at one time; default 512 MiB */
    int header_timeout_ms;        /* idle and reading headers; default 30,000 */
    int body_timeout_ms;          /* default 30,000 */
    int response_timeout_ms;      /* default 30,000 */
    int stop_timeout_ms;          /* default 10,000 */
    /* WebSockets (websocket.h) */
    size_t socket_max_message;    /* bytes of a message, default 1 MiB; they count in max_body_memory too */
    size_t socket_max_waiting;    /* bytes that wait to be sent to one client, default 256 KiB */
    int socket_ping_ms;           /* silence before a ping, and before the end after it; default 20,000 */
    int socket_close_ms;          /* closing handshake, default 2,000 */
    int socket_controls_per_s;    /* control frames of one client, default 20 */
};
void mien_server_settings_default(struct mien_server_settings *s);

struct mien_server;

/* Listens and serves until mien_server_stop. The handler must outlive the server. MIEN_E_ADDRESS when it cannot listen. */
enum mien_code mien_server_start(const struct mien_server_settings *s, const struct mien_http_handler *h, struct mien_server **out,
                                 struct mien_err *e) MIEN_MUST_CHECK;
int mien_server_port(const struct mien_server *s);
/* No new connections; requests that still arrive on open ones get 503; what runs ends, at most stop_timeout_ms; then everything closes. True when
 * all work has ended: the server is freed. False: a worker still runs, all connections were cut, and nothing is freed, neither here nor by the caller: the
 * process is to end. Accepts pointer to NULL. */
bool mien_server_stop(struct mien_server **s);

struct mien_server_state {
    int connections, waiting, running, fetching;
    size_t body_bytes;
    uint64_t refused_connections; /* by the limits, since the start */
};
struct mien_server_state mien_server_state(struct mien_server *s);

#endif
