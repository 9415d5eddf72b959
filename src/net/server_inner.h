/* Between the files of the HTTP server. */
#ifndef MIEN_NET_SERVER_INNER_H
#define MIEN_NET_SERVER_INNER_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/server.h"

struct MHD_Connection;
struct MHD_Daemon;

enum { MIEN_REQUEST_ID = 65, MIEN_PEER = 46 };

/* What the deadline of a connection is for. */
enum mien_phase {
    MIEN_PHASE_HEADERS,  /* idle, or headers arrive */
    MIEN_PHASE_BODY,
    MIEN_PHASE_WORK,     /* ours to be quick: no deadline */
    MIEN_PHASE_RESPONSE,
    MIEN_PHASE_SOCKET,   /* a WebSocket: no deadline here */
    MIEN_PHASE_CUT       /* shut down; the library will notice */
};

/* One accepted connection, from the library's notice of its start to that of its end. All under the table's lock. */
struct mien_conn {
    struct mien_conn *next, *prev;
    int fd;
    enum mien_phase phase;
    uint64_t deadline_ns; /* 0 = none */
    bool counted;         /* by address: not a trusted proxy */
    bool ended;           /* half closed at the monitor's last look */
    char peer[MIEN_PEER];
    /* The request whose body arrives, and the lock that whoever looks into it holds: the event thread in its callbacks, the monitor to answer for it. */
    pthread_mutex_t owner;
    struct mien_request *request;
};

struct mien_conns {
    pthread_mutex_t lock;
    pthread_cond_t end;
    pthread_t monitor;
    bool started, ending;
    struct mien_conn *first;
    int n;
    uint64_t refused;
    struct mien_server_settings settings;
    /* Answers for a request whose body is late; called with `owner` held. */
    void (*late)(struct mien_request *q);
};

enum mien_code mien_conns_start(struct mien_conns *t, const struct mien_server_settings *s, struct mien_err *e) MIEN_MUST_CHECK;
void mien_conns_stop(struct mien_conns *t);
/* Shuts every socket down. */
void mien_conns_cut(struct mien_conns *t);
/* Whether one more connection from this address is taken; counts a refusal. */
bool mien_conns_admit(struct mien_conns *t, const void *sockaddr);
/* NULL when out of memory. */
struct mien_conn *mien_conns_open(struct mien_conns *t, int fd, const void *sockaddr);
void mien_conns_close(struct mien_conns *t, struct mien_conn *c);
/* Sets the deadline that belongs to the phase. */
void mien_conns_phase(struct mien_conns *t, struct mien_conn *c, enum mien_phase phase);

/* Sends a whole response past the library and says that the connection ends; false when it could not be sent in time. */
bool mien_send_directly(int fd, const struct mien_response *r, const char *id, int timeout_ms);
/* Whether the client has ended what it sends (and all of that was read). */
bool mien_half_closed(int fd);

enum mien_stage {
    MIEN_STAGE_BODY,    /* the body arrives */
    MIEN_STAGE_DISCARD, /* answered, the rest of the body is thrown away */
    MIEN_STAGE_AWAY,    /* queued, running or fetching; the connection is suspended */
    MIEN_STAGE_READY,   /* the answer is there */
    MIEN_STAGE_SENT
};

struct mien_socket;
struct mien_socket_handler;
struct mien_sockets;

struct mien_request {
    struct mien_job job;
    struct mien_server *server;
    struct MHD_Connection *connection;
    struct mien_conn *conn;
    enum mien_method method;
    const char *path;
    char id[MIEN_REQUEST_ID];
    atomic_int stage;
    bool inline_answer, sent_directly, done;
    void *kept;
    uint64_t started_ns, waited_ns;
    char *body;
    size_t body_size, body_room, max_body;
    struct mien_response response;
    int status;
    size_t sent_bytes;
    const struct mien_socket_handler *upgrade; /* what mien_request_upgrade was given */
    void *upgrade_state;
    struct mien_socket *socket; /* until the 101 is sent */
};

enum mien_method mien_method_parse(const char *name);

struct mien_server {
    struct mien_server_settings settings;
    struct mien_http_handler handler;
    struct MHD_Daemon *daemon;
    struct mien_pool *workers, *fetchers;
    struct mien_conns conns;
    struct mien_sockets *sockets;
    atomic_size_t body_bytes;
    atomic_int away;      /* requests in MIEN_STAGE_AWAY */
    atomic_bool stopping;
    int listen_fd, port;
};

#endif
