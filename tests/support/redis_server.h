/* A redis-server of the test's own: on a port that was free, with a folder of its own, writing every change to the disk. It ends with the test's process. */
#ifndef MIEN_TESTS_REDIS_SERVER_H
#define MIEN_TESTS_REDIS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct redis_server { int port; pid_t pid; char folder[64], url[64]; const char *more[8]; /* arguments besides ours, ended by NULL */ };

/* Starts one and waits until it answers. False: there is no redis-server, or it does not start. */
bool redis_server_make(struct redis_server *s);
void redis_server_free(struct redis_server *s);

/* Ends it as kill -9 does, and starts it again in the same folder. */
void redis_server_kill(struct redis_server *s);
bool redis_server_start(struct redis_server *s);

/* A port of this machine that nobody listened on a moment ago. */
int free_port(void);
/* Sends text to 127.0.0.1:port and gives what came back first, NUL-terminated; false: no connection or no answer within 2 s. */
bool say_to(int port, const char *text, char *answer, int room);

#endif
