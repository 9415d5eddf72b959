/* A server of WebSockets for scripts: what a client says is what the server does.
 *
 *   run_echo [NAME=NUMBER ...]     NAME: a number in struct mien_server_settings, as SETTING below has it
 *
 * Prints `port N`, then a line for each `open PATH` and `closed CODE` of a socket and each `done STATUS` of a request. Standard input: `state` prints the
 * number of connections, the resident kilobytes and the bytes that bodies and messages hold; `stop`, or its end, stops the server and prints `stopped yes`
 * or `stopped no`.
 *
 * Sockets: /echo repeats text and says of binary messages "LENGTH SUM". /told does what a text says: `close CODE REASON`, `wake MILLISECONDS` (says "woke"),
 * `flood MESSAGES BYTES`, `threads THREADS MESSAGES` (each says "THREAD NUMBER"). */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/websocket.h"

static const struct setting {
    const char *name;
    size_t at;
    bool is_size;
} SETTING[] = {
#define INT(n) {#n, offsetof(struct mien_server_settings, n), false}
#define SIZE(n) {#n, offsetof(struct mien_server_settings, n), true}
    INT(workers), INT(max_connections), INT(max_connections_per_address), INT(header_timeout_ms), INT(stop_timeout_ms), INT(socket_ping_ms),
    INT(socket_close_ms), INT(socket_controls_per_s), SIZE(socket_max_message), SIZE(socket_max_waiting), SIZE(max_body_memory)};

static struct mien_server *server;

static void say(struct mien_socket *s, const char *text) { mien_socket_send_text(s, text, strlen(text)); }

static void on_open(void *context, struct mien_socket *s)
{
    (void)context;
    printf("open %s\n", mien_socket_path(s));
}

struct teller {
    struct mien_socket *socket;
    int number, messages;
};

static void *tell(void *arg)
{
    struct teller *t = arg;
    for (int i = 0; i < t->messages; i++) {
        char text[32];
        snprintf(text, sizeof text, "%d %d", t->number, i);
        say(t->socket, text);
    }
    return NULL;
}

static void many_threads(struct mien_socket *s, int threads, int messages)
{
    pthread_t thread[64];
    struct teller teller[64];
    if (threads > 64) threads = 64;
    for (int i = 0; i < threads; i++) {
        teller[i] = (struct teller){s, i, messages};
        if (pthread_create(&thread[i], NULL, tell, &teller[i]) != 0) abort();
    }
    for (int i = 0; i < threads; i++) pthread_join(thread[i], NULL);
}

static void flood(struct mien_socket *s, int messages, size_t bytes)
{
    char *text = malloc(bytes + 1);
    if (text == NULL) abort();
    memset(text, 'x', bytes);
    text[bytes] = '\0';
    for (int i = 0; i < messages; i++)
        if (!mien_socket_send_text(s, text, bytes)) break;
    free(text);
}

static void obey(struct mien_socket *s, const char *text)
{
    char reason[128] = "";
    unsigned a = 0, b = 0;
    if (sscanf(text, "close %u %127[^\n]", &a, reason) >= 1) mien_socket_close(s, (int)a, reason);
    else if (sscanf(text, "wake %u", &a) == 1) mien_socket_wake_at(s, mien_now_ns() + a * 1000000ull);
    else if (sscanf(text, "flood %u %u", &a, &b) == 2) flood(s, (int)a, b);
    else if (sscanf(text, "threads %u %u", &a, &b) == 2) many_threads(s, (int)a, (int)b);
    else say(s, "what?");
}

static void on_message(void *context, struct mien_socket *s, bool binary, uint8_t *data, size_t n)
{
    (void)context;
    if (data[n] != '\0') abort();
    if (strcmp(mien_socket_path(s), "/told") == 0 && !binary) {
        obey(s, (const char *)data);
    } else if (binary) {
        char text[64];
        uint32_t sum = 0;
        for (size_t i = 0; i < n; i++) sum = sum * 31 + data[i];
        snprintf(text, sizeof text, "%zu %u", n, sum);
        say(s, text);
    } else {
        mien_socket_send_text(s, (const char *)data, n);
    }
}

static void on_wake(void *context, struct mien_socket *s)
{
    (void)context;
    say(s, "woke");
}

static void on_closed(void *context, struct mien_socket *s, int code)
{
    (void)context;
    printf("closed %d\n", code);
    mien_socket_release(s);
}

static const struct mien_socket_handler SOCKETS = {NULL, on_open, on_message, on_wake, on_closed};

static enum mien_plan begin(void *context, struct mien_request *q, struct mien_response *r, size_t *max_body)
{
    const char *path = mien_request_path(q);
    (void)context;
    (void)max_body;
    if (strcmp(path, "/echo") != 0 && strcmp(path, "/told") != 0) {
        r->status = 404;
        return MIEN_PLAN_NOW;
    }
    mien_request_upgrade(q, &SOCKETS, NULL);
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
    static const int STATUS[] = {400, 413, 503, 408, 426, 500};
    (void)context;
    (void)q;
    r->status = STATUS[why];
    r->type = "text/plain";
    mien_buf_adds(&r->body, detail != NULL ? detail : "refused");
}

static void done(void *context, struct mien_request *q, int status, size_t bytes)
{
    (void)context;
    (void)q;
    (void)bytes;
    printf("done %d\n", status);
}

static bool set(struct mien_server_settings *t, const char *argument)
{
    const char *equals = strchr(argument, '=');
    for (size_t i = 0; equals != NULL && i < sizeof SETTING / sizeof SETTING[0]; i++) {
        char *at = (char *)t + SETTING[i].at;
        if (strncmp(SETTING[i].name, argument, (size_t)(equals - argument)) != 0) continue;
        if (SETTING[i].is_size) *(size_t *)(void *)at = strtoull(equals + 1, NULL, 10);
        else *(int *)(void *)at = atoi(equals + 1);
        return true;
    }
    return false;
}

static long resident_kb(void)
{
    char line[128];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && kb == 0 && fgets(line, sizeof line, f) != NULL) sscanf(line, "VmRSS: %ld", &kb);
    if (f != NULL) fclose(f);
    return kb;
}

int main(int argc, char **argv)
{
    static const struct mien_http_handler HANDLER = {NULL, begin, answer, NULL, refuse, done};
    struct mien_server_settings t;
    struct mien_err e = {0};
    char line[64];
    mien_server_settings_default(&t);
    t.port = 0;
    t.workers = 1;
    for (int i = 1; i < argc; i++)
        if (!set(&t, argv[i])) return fprintf(stderr, "run_echo: no setting %s\n", argv[i]), 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (mien_server_start(&t, &HANDLER, &server, &e) != MIEN_OK) return fprintf(stderr, "run_echo: %s\n", e.msg), 1;
    printf("port %d\n", mien_server_port(server));
    while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, "stop\n") != 0) {
        const struct mien_server_state state = mien_server_state(server);
        printf("state %d %ld %zu\n", state.connections, resident_kb(), state.body_bytes);
    }
    printf("stopped %s\n", mien_server_stop(&server) ? "yes" : "no");
    return 0;
}
