/* A server of WebSockets for tests: what a client says is what the server does.
 *
 * Sockets: /echo repeats text and says of binary messages "LENGTH SUM". /told does what a text says: `close CODE REASON`, `wake MILLISECONDS` (says "woke"),
 * `send THREADS MESSAGES BYTES` (each thread says "THREAD NUMBER xxx..." of that many bytes, until a message is not taken), `job` (a worker says "job"). Other
 * paths are 404. */
#ifndef MIEN_SUPPORT_ECHO_H
#define MIEN_SUPPORT_ECHO_H

#include <pthread.h>

#include "net/websocket.h"

struct echo {
    struct mien_server *server;
    bool prints; /* a line on standard output for each `open PATH`, `closed CODE`, `done STATUS` */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool held;                                 /* requests wait in `begin`, jobs at their end */
    int begun, opened, messages, closed, done; /* so far */
    int lost;                                  /* of `closed`: without having been opened */
    int code, status;                          /* the last ones */
};

void echo_settings(struct mien_server_settings *t); /* any port, one worker */
enum mien_code echo_start(struct echo *x, const struct mien_server_settings *t, struct mien_err *e);
bool echo_stop(struct echo *x);
/* Waits until a count has reached `wanted`; false after a minute. */
bool echo_await(struct echo *x, const int *count, int wanted);
/* Lets requests and jobs wait, or go on. */
void echo_hold(struct echo *x, bool held);
/* A count now. */
int echo_count(struct echo *x, const int *count);

#endif
