// The HTTP server with a small handler, over real sockets: plans, limits, clients that leave, the end.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "net/server.h"

enum { PATIENCE_S = 60, ANSWER_BYTES = 8192 };

/* ---- a handler: the path says what happens ---- */

struct scene {
    struct mien_server *server;
    struct mien_http_handler handler;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    int held, done, lost, fetched;
};

static void text(struct mien_response *r, int status, const char *s)
{
    r->status = status;
    r->type = "text/plain";
    mien_buf_adds(&r->body, s);
}

static enum mien_plan begin(void *context, struct mien_request *q, struct mien_response *r, size_t *max_body)
{
    (void)context;
    *max_body = 1000;
    if (strcmp(mien_request_path(q), "/now") == 0) {
        text(r, 200, "now");
        return MIEN_PLAN_NOW;
    }
    return strcmp(mien_request_path(q), "/inline") == 0 ? MIEN_PLAN_INLINE : MIEN_PLAN_QUEUE;
}

static void wait_for_gate(struct scene *s)
{
    pthread_mutex_lock(&s->lock);
    s->held++;
    pthread_cond_broadcast(&s->changed);
    while (!s->open) pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static enum mien_next answer(void *context, int worker, struct mien_request *q, struct mien_response *r)
{
    struct scene *s = context;
    char line[256];
    size_t n;
    const char *body = mien_request_body(q, &n);
    const char *path = mien_request_path(q);
    if (strcmp(path, "/gate") == 0) wait_for_gate(s);
    if (strcmp(path, "/fetch") == 0 && mien_request_kept(q) == NULL) return MIEN_NEXT_FETCH;
    snprintf(line, sizeof line, "%s %s worker=%s body=%.*s", mien_method_name(mien_request_method(q)), path, worker < 0 ? "none" : "some",
             (int)(n < 100 ? n : 100), body != NULL ? body : "");
    text(r, 200, line);
    return MIEN_NEXT_SEND;
}

static void fetch(void *context, struct mien_request *q)
{
    struct scene *s = context;
    mien_request_keep(q, s);
    pthread_mutex_lock(&s->lock);
    s->fetched++;
    pthread_mutex_unlock(&s->lock);
}

static void refuse(void *context, struct mien_request *q, struct mien_response *r, enum mien_refusal why, const char *detail)
{
    static const int STATUS[] = {[MIEN_REFUSE_MALFORMED] = 400, [MIEN_REFUSE_TOO_LARGE] = 413, [MIEN_REFUSE_OVERLOADED] = 503, [MIEN_REFUSE_TIMEOUT] = 408,
                                 [MIEN_REFUSE_INTERNAL] = 500};
    (void)context;
    (void)q;
    text(r, STATUS[why], detail != NULL ? detail : "refused");
}

static void done(void *context, struct mien_request *q, int status, size_t bytes)
{
    struct scene *s = context;
    (void)q;
    (void)bytes;
    pthread_mutex_lock(&s->lock);
    s->done++;
    s->lost += status == 0;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static struct mien_server_settings settings(void)
{
    struct mien_server_settings t;
    mien_server_settings_default(&t);
    t.port = 0;
    t.workers = 1;
    t.queue_limit = 2;
    t.fetchers = 1;
    return t;
}

static void start(struct scene *s, const struct mien_server_settings *t)
{
    struct mien_err e = {0};
    *s = (struct scene){.handler = {s, begin, answer, fetch, refuse, done}};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    if (mien_server_start(t, &s->handler, &s->server, &e) != MIEN_OK) fail_msg("%s", e.msg);
}

static void open_gate(struct scene *s)
{
    pthread_mutex_lock(&s->lock);
    s->open = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void stop(struct scene *s)
{
    open_gate(s);
    assert_true(mien_server_stop(&s->server));
    assert_null(s->server);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
}

static void await(struct scene *s, const int *count, int wanted)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&s->lock);
    while (*count < wanted)
        if (pthread_cond_timedwait(&s->changed, &s->lock, &until) != 0) fail_msg("waited in vain for %d, have %d", wanted, *count);
    pthread_mutex_unlock(&s->lock);
}

/* ---- a client ---- */

static int dial(struct scene *s)
{
    const struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)mien_server_port(s->server)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void say(int fd, const char *s) { assert_int_equal(send(fd, s, strlen(s), MSG_NOSIGNAL), strlen(s)); }

/* Reads one answer; its status, 0 when the connection ends without. `all` receives the text. */
static int hear(int fd, char all[ANSWER_BYTES])
{
    size_t n = 0, need = 0;
    all[0] = '\0';
    while (n < ANSWER_BYTES - 1 && (need == 0 || n < need)) {
        const ssize_t got = recv(fd, all + n, need == 0 ? 1 : need - n, 0); /* the head byte by byte: answers may be pipelined */
        if (got <= 0) break;
        n += (size_t)got;
        all[n] = '\0';
        const char *end = need == 0 ? strstr(all, "\r\n\r\n") : NULL, *length = end != NULL ? strcasestr(all, "Content-Length:") : NULL;
        if (end != NULL) need = (size_t)(end + 4 - all) + (length != NULL ? strtoul(length + 15, NULL, 10) : 0);
    }
    return n > 12 ? atoi(all + 9) : 0;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(path, body, length) "POST " path " HTTP/1.1\r\nHost: h\r\nContent-Length: " length "\r\n\r\n" body

/* One request on a connection of its own. */
static int ask(struct scene *s, const char *request, char all[ANSWER_BYTES])
{
    const int fd = dial(s);
    say(fd, request);
    const int status = hear(fd, all);
    close(fd);
    return status;
}

/* ---- tests ---- */

static void plans(void **state)
{
    (void)state;
    struct scene s;
    struct mien_server_settings t = settings();
    char all[ANSWER_BYTES];
    start(&s, &t);
    assert_int_equal(ask(&s, GET("/now"), all), 200);
    assert_non_null(strstr(all, "\r\n\r\nnow"));
    assert_int_equal(ask(&s, POST("/inline", "abc", "3"), all), 200);
    assert_non_null(strstr(all, "POST /inline worker=none body=abc"));
    assert_int_equal(ask(&s, POST("/queue", "abc", "3"), all), 200);
    assert_non_null(strstr(all, "POST /queue worker=some body=abc"));
    assert_int_equal(ask(&s, POST("/fetch", "abc", "3"), all), 200);
    assert_non_null(strstr(all, "worker=some body=abc"));
    assert_int_equal(s.fetched, 1);
    assert_int_equal(ask(&s, "POST /queue HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", all), 200);
    assert_non_null(strstr(all, "body=abc"));
    stop(&s);
    assert_int_equal(s.done, 5);
    assert_int_equal(s.lost, 0);
}

static void connections_are_kept_and_pipelined(void **state)
{
    (void)state;
    struct scene s;
    struct mien_server_settings t = settings();
    char all[ANSWER_BYTES];
    start(&s, &t);
    const int fd = dial(&s);
    say(fd, GET("/now") POST("/queue", "1", "1") GET("/now") POST("/inline", "2", "1"));
    static const char *const WANTED[] = {"\r\n\r\nnow", "body=1", "\r\n\r\nnow", "body=2"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(hear(fd, all), 200);
        assert_non_null(strstr(all, WANTED[i]));
    }
    close(fd);
    stop(&s);
}

static void requests_have_ids(void **state)
{
    (void)state;
    struct scene s;
    struct mien_server_settings t = settings();
    char all[ANSWER_BYTES];
    start(&s, &t);
    ask(&s, "GET /now HTTP/1.1\r\nHost: h\r\nX-Request-Id: mine-1\r\n\r\n", all);
    assert_non_null(strstr(all, "X-Request-Id: mine-1\r\n"));
    ask(&s, "GET /now HTTP/1.1\r\nHost: h\r\nX-Request-Id: not mine\r\n\r\n", all);
    assert_null(strstr(all, "not mine"));
    assert_non_null(strstr(all, "X-Request-Id: "));
    stop(&s);
}

static void bodies_have_limits(void **state)
{
    (void)state;
    struct scene s;
    struct mien_server_settings t = settings();
    char all[ANSWER_BYTES], big[1600];
    start(&s, &t);
    assert_int_equal(ask(&s, POST("/queue", "", "1001"), all), 413); /* from the announced length */
    const int n = snprintf(big, sizeof big, "POST /queue HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4b0\r\n");
    memset(big + n, 'x', 1200);
    big[n + 1200] = '\0';
    assert_int_equal(ask(&s, big, all), 413); /* the end never comes */
    stop(&s);
    t.max_body_memory = 1500; /* one body of this handler, not two */
    start(&s, &t);
    const int first = dial(&s), second = dial(&s);
    say(first, POST("/queue", "half", "8"));
    while (mien_server_state(s.server).body_bytes == 0) usleep(1000);
    say(second, POST("/queue", "second", "6"));
    assert_int_equal(hear(second, all), 503);
    say(first, "more");
    assert_int_equal(hear(first, all), 200);
    assert_non_null(strstr(all, "body=halfmore"));
    assert_int_equal(mien_server_state(s.server).body_bytes, 0);
    close(first);
    close(second);
    stop(&s);
}

static void those_who_end_midway_are_let_go(void **state)
{
    (void)state;
    struct scene s;
    struct mien_server_settings t = settings();
    char all[ANSWER_BYTES];
    start(&s, &t); /* deadlines of 30 s */
    static const char *const PART[] = {"GET /now HTTP/1.1\r\nHost:", "POST /queue HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf"};
    for (int i = 0; i < 2; i++) {
        const int fd = dial(&s);
        say(fd, PART[i]);
        shutdown(fd, SHUT_WR);
        assert_int_equal(hear(fd, all), 0);
        close(fd);
    }
    stop(&s);
}

static void slow_clients_are_cut(void **state)
{
    (void)state;
    struct scene s;
    struct mien_server_settings t = settings();
    char all[ANSWER_BYTES];
    t.header_timeout_ms = t.body_timeout_ms = 300;
    start(&s, &t);
    int fd = dial(&s);
    say(fd, POST("/queue", "ha", "8"));
    assert_int_equal(hear(fd, all), 408);
    close(fd);
    fd = dial(&s);
    say(fd, "GET /now HTTP/1.1\r\nHost:");
    assert_int_equal(hear(fd, all), 0);
    close(fd);
    fd = dial(&s); /* idle */
    assert_int_equal(hear(fd, all), 0);
    close(fd);
    stop(&s);
}

static void a_full_queue_refuses(void **state)
{
    (void)state;
    struct scene s;
    struct mien_server_settings t = settings();
    char all[ANSWER_BYTES];
    int fd[3];
    start(&s, &t);
    for (int i = 0; i < 3; i++) { /* one runs, two wait */
        fd[i] = dial(&s);
        say(fd[i], POST("/gate", "x", "1"));
        if (i == 0) await(&s, &s.held, 1);
    }
    while (mien_server_state(s.server).waiting < 2) usleep(1000);
    assert_int_equal(ask(&s, POST("/queue", "x", "1"), all), 503);
    assert_int_equal(ask(&s, GET("/now"), all), 200); /* beside the queue */
    const struct linger reset = {1, 0};
    setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd[1]); /* resets: frees its place */
    const int next = dial(&s);
    say(next, POST("/queue", "y", "1"));
    open_gate(&s);
    assert_int_equal(hear(fd[0], all), 200);
    assert_int_equal(hear(fd[2], all), 200);
    assert_int_equal(hear(next, all), 200);
    close(fd[0]);
    close(fd[2]);
    close(next);
    stop(&s);
}

static void half_closed_clients_are_answered(void **state)
{
    (void)state;
    struct scene s;
    struct mien_server_settings t = settings();
    char all[ANSWER_BYTES];
    start(&s, &t);
    for (int i = 0; i < 50; i++) {
        const int fd = dial(&s);
        say(fd, POST("/queue", "abc", "3"));
        shutdown(fd, SHUT_WR);
        assert_int_equal(hear(fd, all), 200);
        assert_non_null(strstr(all, "body=abc"));
        close(fd);
    }
    stop(&s);
    assert_int_equal(s.lost, 0);
}

static void connections_have_limits(void **state)
{
    (void)state;
    struct scene s;
    struct mien_server_settings t = settings();
    char all[ANSWER_BYTES];
    t.max_connections_per_address = 2;
    for (int trusted = 0; trusted < 2; trusted++) {
        t.trusted_proxies = trusted ? "10.0.0.1, 127.0.0.1" : "";
        start(&s, &t);
        const int a = dial(&s), b = dial(&s);
        while (mien_server_state(s.server).connections < 2) usleep(1000);
        const int c = dial(&s);
        (void)!send(c, GET("/now"), sizeof GET("/now") - 1, MSG_NOSIGNAL);
        assert_int_equal(hear(c, all), trusted ? 200 : 0);
        assert_int_equal(mien_server_state(s.server).refused_connections, trusted ? 0 : 1);
        close(a);
        close(b);
        close(c);
        stop(&s);
    }
}

static void *stop_thread(void *arg)
{
    struct scene *s = arg;
    assert_true(mien_server_stop(&s->server));
    return NULL;
}

static void running_work_ends_before_the_server(void **state)
{
    (void)state;
    struct scene s;
    struct mien_server_settings t = settings();
    char all[ANSWER_BYTES];
    pthread_t stopper;
    start(&s, &t);
    const int idle = dial(&s), silent = dial(&s), running = dial(&s), waiting = dial(&s);
    say(running, POST("/gate", "x", "1"));
    await(&s, &s.held, 1);
    say(waiting, POST("/queue", "w", "1"));
    while (mien_server_state(s.server).waiting < 1) usleep(1000);
    assert_int_equal(pthread_create(&stopper, NULL, stop_thread, &s), 0);
    int late = 0; /* until the stop has begun the request is served */
    for (int i = 0; i < 2000 && late != 503; i++) {
        say(idle, GET("/now"));
        late = hear(idle, all);
        if (late != 200) break;
        usleep(1000);
    }
    assert_int_equal(late, 503);
    open_gate(&s);
    assert_int_equal(hear(running, all), 200);
    assert_int_equal(hear(waiting, all), 200);
    assert_non_null(strstr(all, "body=w"));
    pthread_join(stopper, NULL);
    assert_int_equal(hear(waiting, all), 0);
    assert_int_equal(hear(silent, all), 0);
    close(idle);
    close(silent);
    close(running);
    close(waiting);
    pthread_cond_destroy(&s.changed);
    pthread_mutex_destroy(&s.lock);
}

static void addresses_that_cannot_be_had(void **state)
{
    (void)state;
    struct scene s;
    struct mien_server_settings t = settings(), again = settings();
    struct mien_server *second;
    struct mien_err e = {0};
    start(&s, &t);
    again.port = mien_server_port(s.server);
    assert_int_equal(mien_server_start(&again, &s.handler, &second, &e), MIEN_E_ADDRESS);
    assert_null(second);
    again.host = "192.0.2.1";
    assert_int_equal(mien_server_start(&again, &s.handler, &second, &e), MIEN_E_ADDRESS);
    again.host = "no such host";
    assert_int_equal(mien_server_start(&again, &s.handler, &second, &e), MIEN_E_ADDRESS);
    stop(&s);
    assert_true(mien_server_stop(&second));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(plans),
                                       cmocka_unit_test(connections_are_kept_and_pipelined),
                                       cmocka_unit_test(requests_have_ids),
                                       cmocka_unit_test(bodies_have_limits),
                                       cmocka_unit_test(slow_clients_are_cut), cmocka_unit_test(those_who_end_midway_are_let_go),
                                       cmocka_unit_test(a_full_queue_refuses),
                                       cmocka_unit_test(half_closed_clients_are_answered),
                                       cmocka_unit_test(connections_have_limits),
                                       cmocka_unit_test(running_work_ends_before_the_server),
                                       cmocka_unit_test(addresses_that_cannot_be_had)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
