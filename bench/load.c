/* HTTP load: N keep-alive connections that each send the next request as soon as the last answer is complete.
 *
 *   load [-c connections] [-n requests | -d seconds] [-w warm-up requests] [-t content-type] [-H "Name: value"] HOST PORT PATH BODY-FILE...
 *
 * The bodies are sent in turn. One thread and epoll: what it costs is measured too and printed, because it takes from the same cores as the server.
 * Latency is from the first byte of the request to the last byte of the answer. One JSON object on standard output; status 1 when any request was
 * lost or answered with a status other than 2xx. Answers need a Content-Length; both servers that are measured send one. */
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

enum { MAX_CONNECTIONS = 1024, MAX_BODIES = 256, HEAD_ROOM = 16384, MAX_STATUS = 600, DRAIN = 1 << 18 };

struct body {
    char *head; /* request line and headers */
    size_t head_size;
    struct mien_file file;
};

struct connection {
    int fd;
    const struct body *body; /* being sent or answered; NULL: idle */
    size_t sent;             /* of head and body together */
    uint64_t start_ns;
    size_t head_used;        /* bytes of the answer's headers so far */
    int status;              /* of the answer; 0: headers are not complete */
    size_t left;             /* of the answer's body */
    char head[HEAD_ROOM];
};

struct load {
    struct addrinfo *address;
    int epoll, connections, n_bodies;
    long limit, warm_up;     /* requests; limit 0: by time */
    double seconds;
    struct body body[MAX_BODIES];
    struct connection *connection;
    long started, finished, lost;
    long by_status[MAX_STATUS];
    double *ms;              /* latencies after the warm-up */
    size_t n_ms, room_ms;
    uint64_t begin_ns, end_ns; /* of the measured part */
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(2);
}

static void watch(struct load *l, struct connection *c, bool writing)
{
    struct epoll_event event = {.events = writing ? EPOLLIN | EPOLLOUT : EPOLLIN, .data = {.ptr = c}};
    if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0) die("epoll_ctl");
}

static void open_connection(struct load *l, struct connection *c)
{
    const int yes = 1;
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = c}};
    c->fd = socket(l->address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, l->address->ai_addr, l->address->ai_addrlen) != 0) die("cannot connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) die("epoll_ctl");
    c->body = NULL;
}

static bool over(const struct load *l)
{
    if (l->limit > 0) return l->started >= l->limit + l->warm_up;
    return l->begin_ns != 0 && mien_elapsed_ms(l->begin_ns) >= l->seconds * 1e3;
}

/* Sends what the socket takes. False: the connection is broken. */
static bool send_some(struct load *l, struct connection *c)
{
    const struct body *b = c->body;
    const size_t all = b->head_size + b->file.size;
    while (c->sent < all) {
        const size_t head = c->sent < b->head_size ? c->sent : b->head_size, rest = c->sent - head;
        struct iovec part[2] = {{b->head + head, b->head_size - head}, {(char *)(uintptr_t)(const void *)b->file.data + rest, b->file.size - rest}};
        struct msghdr message = {.msg_iov = part, .msg_iovlen = 2};
        ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) {
            watch(l, c, true);
            return true;
        }
        if (n < 0) return false;
        c->sent += (size_t)n;
    }
    watch(l, c, false);
    return true;
}

static void reopen(struct load *l, struct connection *c);

static void start_request(struct load *l, struct connection *c)
{
    if (over(l)) {
        c->body = NULL;
        return;
    }
    if (l->begin_ns == 0 && l->finished >= l->warm_up) l->begin_ns = mien_now_ns();
    c->body = &l->body[l->started % l->n_bodies];
    l->started++;
    c->sent = c->head_used = c->left = 0;
    c->status = 0;
    c->start_ns = mien_now_ns();
    if (!send_some(l, c)) reopen(l, c);
}

static void reopen(struct load *l, struct connection *c)
{
    if (c->body != NULL) l->lost++;
    close(c->fd);
    open_connection(l, c);
    start_request(l, c);
}

static void finish_request(struct load *l, struct connection *c)
{
    l->by_status[c->status]++;
    if (l->begin_ns != 0 && c->start_ns >= l->begin_ns) {
        if (l->n_ms == l->room_ms) {
            l->room_ms = l->room_ms * 2 + 4096;
            l->ms = realloc(l->ms, l->room_ms * sizeof *l->ms);
            if (l->ms == NULL) die("out of memory");
        }
        l->end_ns = mien_now_ns();
        l->ms[l->n_ms++] = (double)(l->end_ns - c->start_ns) * 1e-6;
    }
    l->finished++;
    start_request(l, c);
}

/* Value of a header of the answer, or NULL. */
static const char *header(const char *head, const char *name)
{
    const size_t n = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':') return line + 3 + n + strspn(line + 3 + n, " ");
    return NULL;
}

/* Reads more of the headers; true when they are complete. *broken: what came is no answer. */
static bool read_head(struct connection *c, bool *broken)
{
    ssize_t n = recv(c->fd, c->head + c->head_used, HEAD_ROOM - 1 - c->head_used, MSG_DONTWAIT);
    if (n <= 0) {
        *broken = n == 0 || errno != EAGAIN;
        return false;
    }
    c->head_used += (size_t)n;
    c->head[c->head_used] = '\0';
    char *end = strstr(c->head, "\r\n\r\n");
    if (end == NULL) {
        *broken = c->head_used >= HEAD_ROOM - 1;
        return false;
    }
    end[2] = '\0';
    const char *length = header(c->head, "Content-Length");
    *broken = length == NULL || strncmp(c->head, "HTTP/1.1 ", 9) != 0;
    if (*broken) return false;
    c->status = (int)strtol(c->head + 9, NULL, 10);
    const size_t all = strtoul(length, NULL, 10), here = c->head_used - (size_t)(end + 4 - c->head);
    *broken = c->status < 100 || c->status >= MAX_STATUS || here > all;
    c->left = all - here;
    return !*broken;
}

static void receive(struct load *l, struct connection *c)
{
    static char drain[DRAIN];
    bool broken = false;
    if (c->body == NULL) { /* nothing is outstanding: the server closed an idle connection */
        epoll_ctl(l->epoll, EPOLL_CTL_DEL, c->fd, NULL);
        return;
    }
    if (c->status == 0 && !read_head(c, &broken)) {
        if (broken) reopen(l, c);
        return;
    }
    while (c->left > 0) {
        ssize_t n = recv(c->fd, drain, c->left < DRAIN ? c->left : DRAIN, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            reopen(l, c);
            return;
        }
        c->left -= (size_t)n;
    }
    finish_request(l, c);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double at(const struct load *l, double share)
{
    return l->n_ms == 0 ? 0 : l->ms[(size_t)(share * (double)(l->n_ms - 1) + 0.5)];
}

static int print(const struct load *l, const char *path)
{
    const double seconds = (double)(l->end_ns - l->begin_ns) * 1e-9;
    struct rusage used;
    bool good = l->lost == 0;
    getrusage(RUSAGE_SELF, &used);
    qsort(l->ms, l->n_ms, sizeof *l->ms, by_value);
    printf("{\"path\":\"%s\",\"connections\":%d,\"requests\":%zu,\"seconds\":%.3f,\"requests_per_s\":%.2f,", path, l->connections, l->n_ms, seconds,
           seconds > 0 ? (double)l->n_ms / seconds : 0);
    printf("\"ms\":{\"min\":%.3f,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"max\":%.3f},\"status\":{", at(l, 0), at(l, 0.5), at(l, 0.9), at(l, 0.99), at(l, 1));
    const char *comma = "";
    for (int i = 0; i < MAX_STATUS; i++)
        if (l->by_status[i] > 0) {
            printf("%s\"%d\":%ld", comma, i, l->by_status[i]);
            comma = ",";
            good = good && i >= 200 && i < 300;
        }
    printf("},\"lost\":%ld,\"own_cpu_seconds\":%.3f}\n", l->lost,
           (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + 1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec));
    return good ? 0 : 1;
}

static void prepare_body(struct load *l, const char *path, const char *host, const char *port, const char *where, const char *type, const char *extra)
{
    struct mien_err e = {0};
    struct body *b = &l->body[l->n_bodies++];
    if (mien_file_map(path, 64u << 20, &b->file, &e) != MIEN_OK) die(e.msg);
    int n = asprintf(&b->head, "POST %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s\r\n", where, host, port, type, b->file.size,
                     extra, extra[0] != '\0' ? "\r\n" : "");
    if (n < 0) die("out of memory");
    b->head_size = (size_t)n;
}

static void run(struct load *l)
{
    struct epoll_event event[64];
    for (int i = 0; i < l->connections; i++) {
        open_connection(l, &l->connection[i]);
        start_request(l, &l->connection[i]);
    }
    while (l->finished + l->lost < l->started || !over(l)) {
        int n = epoll_wait(l->epoll, event, 64, 60000);
        if (n == 0) die("no answer for a minute");
        for (int i = 0; i < n; i++) {
            struct connection *c = event[i].data.ptr;
            if (event[i].events & EPOLLOUT && c->body != NULL && !send_some(l, c)) reopen(l, c);
            else if (event[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(l, c);
        }
        if (l->lost > 1000) die("the server keeps closing connections");
    }
}

int main(int argc, char **argv)
{
    struct load l = {.connections = 1, .seconds = 5};
    const char *type = "application/octet-stream", *extra = "";
    for (int option; (option = getopt(argc, argv, "c:n:d:w:t:H:")) != -1;) switch (option) {
        case 'c': l.connections = (int)strtol(optarg, NULL, 10); break;
        case 'n': l.limit = strtol(optarg, NULL, 10); break;
        case 'd': l.seconds = strtod(optarg, NULL); break;
        case 'w': l.warm_up = strtol(optarg, NULL, 10); break;
        case 't': type = optarg; break;
        case 'H': extra = optarg; break;
        default: die("usage: load [-c N] [-n N | -d SECONDS] [-w N] [-t TYPE] [-H HEADER] HOST PORT PATH BODY-FILE...");
        }
    if (argc - optind < 4 || argc - optind - 3 > MAX_BODIES || l.connections < 1 || l.connections > MAX_CONNECTIONS) die("wrong arguments");
    char **a = argv + optind;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (getaddrinfo(a[0], a[1], &hints, &l.address) != 0) die("unknown host");
    l.connection = calloc((size_t)l.connections, sizeof *l.connection);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (l.connection == NULL || l.epoll < 0) die("out of memory");
    for (char **file = a + 3; *file != NULL; file++) prepare_body(&l, *file, a[0], a[1], a[2], type, extra);
    run(&l);
    return print(&l, a[2]);
}
