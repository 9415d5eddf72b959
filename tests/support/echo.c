/* The handlers behind echo.h. */
#include "support/echo.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

enum { MAX_SENDERS = 64, PATIENCE_S = 60 };

/* What a socket has besides: threads that send on it, joined when it is closed. */
struct sender {
    struct mien_socket *socket;
    pthread_t thread;
    int number, messages;
    size_t bytes;
};
struct told {
    struct mien_job job;
    struct echo *echo;
    struct mien_socket *socket;
    struct sender sender[MAX_SENDERS];
    int senders;
    atomic_int users; /* the socket until it is closed, and the job; the last one releases both */
};

static void count(struct echo *x, int *counter, int *last, int value)
{
    pthread_mutex_lock(&x->lock);
    ++*counter;
    if (last != NULL) *last = value;
    pthread_cond_broadcast(&x->changed);
    pthread_mutex_unlock(&x->lock);
}

static void say(struct mien_socket *s, const char *text) { mien_socket_send_text(s, text, strlen(text)); }

static void on_open(void *context, struct mien_socket *s)
{
    struct echo *x = context;
    struct told *t = calloc(1, sizeof *t);
    if (t == NULL) abort();
    t->echo = x;
    t->socket = s;
    atomic_init(&t->users, 1);
    mien_socket_set_state(s, t);
    if (x->prints) printf("open %s\n", mien_socket_path(s));
    count(x, &x->opened, NULL, 0);
}

static void *keep_sending(void *arg)
{
    struct sender *t = arg;
    char *text = malloc(t->bytes + 32);
    if (text == NULL) abort();
    for (int i = 0; i < t->messages; i++) {
        const int head = snprintf(text, 32, "%d %d ", t->number, i);
        const size_t n = (size_t)head < t->bytes ? t->bytes : (size_t)head;
        memset(text + head, 'x', n - (size_t)head);
        if (!mien_socket_send_text(t->socket, text, n)) break;
    }
    free(text);
    return NULL;
}

static void start_senders(struct told *t, int threads, int messages, size_t bytes)
{
    for (int i = 0; i < threads && t->senders < MAX_SENDERS; i++) {
        struct sender *each = &t->sender[t->senders];
        *each = (struct sender){.socket = t->socket, .number = i, .messages = messages, .bytes = bytes};
        if (pthread_create(&each->thread, NULL, keep_sending, each) != 0) abort();
        t->senders++;
    }
}

static void leave(struct told *t)
{
    if (atomic_fetch_sub(&t->users, 1) != 1) return;
    mien_socket_release(t->socket);
    free(t);
}

static void wait_while_held(struct echo *x)
{
    pthread_mutex_lock(&x->lock);
    while (x->held) pthread_cond_wait(&x->changed, &x->lock);
    pthread_mutex_unlock(&x->lock);
}

static void run_job(struct mien_job *job, int worker)
{
    struct told *t = (struct told *)job; /* its first member */
    (void)worker;
    say(t->socket, "job");
    wait_while_held(t->echo);
    leave(t);
}

static void drop_job(struct mien_job *job) { leave((struct told *)job); }

static void obey(struct told *t, const char *text)
{
    char reason[128] = "";
    unsigned a = 0, b = 0, c = 0;
    if (sscanf(text, "close %u %127[^\n]", &a, reason) >= 1) mien_socket_close(t->socket, (int)a, reason);
    else if (sscanf(text, "wake %u", &a) == 1) mien_socket_wake_at(t->socket, mien_now_ns() + a * 1000000ull);
    else if (sscanf(text, "send %u %u %u", &a, &b, &c) == 3) start_senders(t, (int)a, (int)b, c);
    else if (strcmp(text, "job") == 0) {
        t->job = (struct mien_job){.run = run_job, .drop = drop_job};
        atomic_fetch_add(&t->users, 1);
        if (!mien_server_submit(mien_socket_server(t->socket), &t->job)) leave(t);
    } else say(t->socket, "what?");
}

static void on_message(void *context, struct mien_socket *s, bool binary, uint8_t *data, size_t n)
{
    struct echo *x = context;
    if (data[n] != '\0') abort();
    count(x, &x->messages, NULL, 0);
    if (strcmp(mien_socket_path(s), "/told") == 0 && !binary) {
        obey(mien_socket_state(s), (const char *)data);
    } else if (binary) {
        char text[64];
        uint32_t sum = 0;
        for (size_t i = 0; i < n; i++) sum = sum * 31 + data[i];
        snprintf(text, sizeof text, "%zu %u", n, sum);
        say(s, text);
    } else {
        mien_socket_send_text(s, (const char *)data, n);
    }
    memset(data, 'z', n); /* it may be changed */
}

static void on_wake(void *context, struct mien_socket *s)
{
    (void)context;
    say(s, "woke");
}

static void on_closed(void *context, struct mien_socket *s, int code)
{
    struct echo *x = context;
    struct told *t = mien_socket_state(s);
    for (int i = 0; t != NULL && i < t->senders; i++) pthread_join(t->sender[i].thread, NULL);
    if (mien_socket_send_text(s, "late", 4)) abort();
    mien_socket_close(s, 1000, "late");
    if (x->prints) printf("closed %d\n", code);
    if (t != NULL) leave(t);
    else mien_socket_release(s);
    if (t == NULL) count(x, &x->lost, NULL, 0);
    count(x, &x->closed, &x->code, code);
}

static struct mien_socket_handler sockets = {NULL, on_open, on_message, on_wake, on_closed};

static enum mien_plan begin(void *context, struct mien_request *q, struct mien_response *r, size_t *max_body)
{
    struct echo *x = context;
    const char *path = mien_request_path(q);
    count(x, &x->begun, NULL, 0);
    wait_while_held(x);
    *max_body = 1000;
    if (strcmp(path, "/echo") != 0 && strcmp(path, "/told") != 0) {
        r->status = 404;
        return MIEN_PLAN_NOW;
    }
    mien_request_upgrade(q, &sockets, NULL);
    return MIEN_PLAN_UPGRADE;
}

static enum mien_next answer(void *context, int worker, struct mien_request *q, struct mien_response *r)
{
    (void)context;
    (void)worker;
    (void)q;
    (void)r;
    return MIEN_NEXT_SEND;
}

static void refuse(void *context, struct mien_request *q, struct mien_response *r, enum mien_refusal why, const char *detail)
{
    static const int STATUS[] = {[MIEN_REFUSE_MALFORMED] = 400, [MIEN_REFUSE_TOO_LARGE] = 413, [MIEN_REFUSE_OVERLOADED] = 503,
                                 [MIEN_REFUSE_TIMEOUT] = 408,   [MIEN_REFUSE_UPGRADE] = 426,   [MIEN_REFUSE_INTERNAL] = 500};
    (void)context;
    (void)q;
    r->status = STATUS[why];
    r->type = "text/plain";
    mien_buf_adds(&r->body, detail != NULL ? detail : "refused");
}

static void done(void *context, struct mien_request *q, int status, size_t bytes)
{
    struct echo *x = context;
    (void)q;
    (void)bytes;
    if (x->prints) printf("done %d\n", status);
    count(x, &x->done, &x->status, status);
}

void echo_settings(struct mien_server_settings *t)
{
    mien_server_settings_default(t);
    t->port = 0;
    t->workers = 1;
}

enum mien_code echo_start(struct echo *x, const struct mien_server_settings *t, struct mien_err *e)
{
    const struct mien_http_handler handler = {x, begin, answer, NULL, refuse, done};
    pthread_mutex_init(&x->lock, NULL);
    pthread_cond_init(&x->changed, NULL);
    sockets.context = x; /* one server at a time */
    return mien_server_start(t, &handler, &x->server, e);
}

bool echo_stop(struct echo *x)
{
    const bool stopped = mien_server_stop(&x->server);
    pthread_cond_destroy(&x->changed);
    pthread_mutex_destroy(&x->lock);
    return stopped;
}

bool echo_await(struct echo *x, const int *counter, int wanted)
{
    struct timespec until;
    int late = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&x->lock);
    while (*counter < wanted && late == 0) late = pthread_cond_timedwait(&x->changed, &x->lock, &until);
    pthread_mutex_unlock(&x->lock);
    return late == 0;
}

void echo_hold(struct echo *x, bool held)
{
    pthread_mutex_lock(&x->lock);
    x->held = held;
    pthread_cond_broadcast(&x->changed);
    pthread_mutex_unlock(&x->lock);
}

int echo_count(struct echo *x, const int *counter)
{
    pthread_mutex_lock(&x->lock);
    const int n = *counter;
    pthread_mutex_unlock(&x->lock);
    return n;
}
