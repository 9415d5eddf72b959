/* WebSocket (RFC 6455) on connections of the HTTP server. wslay stays inside websocket*.c.
 *
 * A request becomes a WebSocket when its handler's `begin` calls mien_request_upgrade and returns MIEN_PLAN_UPGRADE. One thread reads and writes all of them
 * (epoll); it calls the handler, which must not block and hands work to the server's workers with mien_server_submit.
 *
 * Bounds: bytes of a message and of its fragments together (above: 1009), bytes that wait to be sent (above: the connection is cut), control frames a second
 * (above: 1008; fragments without a byte count as such), connections (the HTTP server's, in all and per address), one deadline for the closing handshake,
 * and a ping after ping_ms of silence: after another ping_ms without a pong, or anything else, the connection is cut (1006). Text must be UTF-8 (else
 * 1007), frames masked, control frames unfragmented, no reserved bits and no extensions (else 1002). Buffers are wiped. */
#ifndef MIEN_NET_WEBSOCKET_H
#define MIEN_NET_WEBSOCKET_H

#include "net/server.h"

struct mien_socket; /* opaque */

struct mien_socket_handler {
    void *context;
    /* The socket thread. The handshake is done; messages may be sent from now on. */
    void (*open)(void *context, struct mien_socket *s);
    /* ... A whole message; `data` may be changed, has a NUL after its last byte, and is wiped after the call. */
    void (*message)(void *context, struct mien_socket *s, bool binary, uint8_t *data, size_t n);
    /* ... The time that mien_socket_wake_at asked for has come. */
    void (*wake)(void *context, struct mien_socket *s);
    /* ... The connection is over; `code` of the close frame that came first, the client's (1005 without one) or ours, 1006 when the connection was lost
     * before. The last call. The socket stays valid, and sending to it does nothing, until mien_socket_release. Also called, on any thread and without
     * `open`, when the client was gone before the handshake's answer. */
    void (*closed)(void *context, struct mien_socket *s, int code);
};

/* In `begin`, before MIEN_PLAN_UPGRADE is returned. `h` is borrowed and outlives the server. `state`: the socket's, NULL at first for the caller to fill in
 * `open`. When the headers are no handshake, the server answers 426 with Upgrade: websocket (or 400; 500 when out of memory) through
 * `refuse`, and nothing of `h` is called. */
void mien_request_upgrade(struct mien_request *q, const struct mien_socket_handler *h, void *state);

/* Any thread. */
void *mien_socket_state(const struct mien_socket *s);
void mien_socket_set_state(struct mien_socket *s, void *state); /* the socket thread only */
/* What the request had: path, peer's address, id. Valid until release. */
const char *mien_socket_path(const struct mien_socket *s);
const char *mien_socket_request_id(const struct mien_socket *s);
const char *mien_socket_peer(const struct mien_socket *s);
struct mien_server *mien_socket_server(const struct mien_socket *s);
/* Copies; false when the socket is closing or too much waits already (then it is being cut). */
bool mien_socket_send_text(struct mien_socket *s, const char *text, size_t n);
/* After what waits to be sent. `reason`: at most 123 bytes of UTF-8. Further sends do nothing. */
void mien_socket_close(struct mien_socket *s, int code, const char *reason);
/* `wake` is called once at this time (mien_now_ns); a later call replaces an earlier one; 0: never. */
void mien_socket_wake_at(struct mien_socket *s, uint64_t at_ns);
/* After `closed`, from any thread: the handler is done with the socket. */
void mien_socket_release(struct mien_socket *s);

/* A job for the server's workers, behind requests and other frames. False when the queue is full or the server stops: the job stays the caller's. */
bool mien_server_submit(struct mien_server *s, struct mien_job *job) MIEN_MUST_CHECK;

#endif
