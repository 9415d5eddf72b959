/* Between the HTTP server and its WebSockets. */
#ifndef MIEN_NET_WEBSOCKET_INNER_H
#define MIEN_NET_WEBSOCKET_INNER_H

#include "net/server_inner.h"
#include "net/websocket.h"

struct MHD_UpgradeResponseHandle;

/* ---- the handshake ---- */

enum { MIEN_SOCKET_ACCEPT = 29 };
enum mien_handshake {
    MIEN_HANDSHAKE_GOOD,
    MIEN_HANDSHAKE_NONE, /* no handshake of version 13: 426 */
    MIEN_HANDSHAKE_WRONG /* one that is malformed: 400 */
};
/* Reads a request's headers: fills Sec-WebSocket-Accept's value, or says in *why what is wrong. */
enum mien_handshake mien_handshake(const struct mien_request *q, const char *version, char accept[MIEN_SOCKET_ACCEPT], const char **why);

/* ---- one socket ---- */

/* For a request whose handshake is good; NULL when out of memory. */
struct mien_socket *mien_socket_create(struct mien_request *q, const struct mien_socket_handler *h, void *state);
/* The connection is ours; n bytes that the HTTP library has read already. */
void mien_socket_begin(struct mien_socket *s, int fd, struct MHD_UpgradeResponseHandle *library, const void *early, size_t n);
/* Instead of begin: the answer to the handshake was not sent. */
void mien_socket_abandon(struct mien_socket *s);

/* ---- all of them ---- */

struct mien_sockets;
enum mien_code mien_sockets_start(struct mien_server *s, struct mien_sockets **out, struct mien_err *e) MIEN_MUST_CHECK;
/* Closes all, and those that still come, with 1001. Does not wait. */
void mien_sockets_close(struct mien_sockets *t);
/* Waits for them, cuts those that are not closed at that time, ends the thread. Accepts NULL. */
void mien_sockets_end(struct mien_sockets *t, uint64_t until_ns);
/* After the HTTP library has ended. */
void mien_sockets_free(struct mien_sockets **t);

#endif
