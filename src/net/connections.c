/* Connections: how many, from where, and how long each may take.
 *
 * The library's own timeout starts anew with every byte; here each phase of a request has one deadline. A monitor thread looks at all connections four times a
 * second and shuts the socket of a late one down, which the library then notices as the end of the connection. The socket's number stays the connection's until
 * mien_conns_close, so the monitor, which holds the lock, never touches another's. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "net/server_inner.h"

enum { TICK_MS = 250 };

static void peer_text(const void *sockaddr, char text[MIEN_PEER])
{
    const struct sockaddr *any = sockaddr;
    snprintf(text, MIEN_PEER, "?");
    if (any->sa_family == AF_INET) {
        const struct sockaddr_in *a = sockaddr;
        inet_ntop(AF_INET, &a->sin_addr, text, MIEN_PEER);
    } else if (any->sa_family == AF_INET6) {
        const struct sockaddr_in6 *a = sockaddr;
        if (IN6_IS_ADDR_V4MAPPED(&a->sin6_addr)) inet_ntop(AF_INET, &a->sin6_addr.s6_addr[12], text, MIEN_PEER);
        else inet_ntop(AF_INET6, &a->sin6_addr, text, MIEN_PEER);
    }
}

static bool is_listed(const char *list, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = list; at != NULL && *at != '\0';) {
        at += strspn(at, ", \t");
        const size_t length = strcspn(at, ", \t");
        if (length == n && memcmp(at, name, n) == 0) return true;
        at += length;
    }
    return false;
}

bool mien_conns_admit(struct mien_conns *t, const void *sockaddr)
{
    char peer[MIEN_PEER];
    int same = 0;
    peer_text(sockaddr, peer);
    pthread_mutex_lock(&t->lock);
    for (const struct mien_conn *c = t->first; c != NULL; c = c->next) same += c->counted && strcmp(c->peer, peer) == 0;
    const bool taken = t->n < t->settings.max_connections && same < t->settings.max_connections_per_address;
    if (!taken) t->refused++;
    pthread_mutex_unlock(&t->lock);
    return taken;
}

static int phase_ms(const struct mien_conns *t, enum mien_phase phase)
{
    switch (phase) {
    case MIEN_PHASE_HEADERS: return t->settings.header_timeout_ms;
    case MIEN_PHASE_BODY: return t->settings.body_timeout_ms;
    case MIEN_PHASE_RESPONSE: return t->settings.response_timeout_ms;
    case MIEN_PHASE_WORK:
    case MIEN_PHASE_SOCKET:
    case MIEN_PHASE_CUT: break;
    }
    return 0;
}

static void set_phase(const struct mien_conns *t, struct mien_conn *c, enum mien_phase phase)
{
    const int ms = phase_ms(t, phase);
    c->phase = phase;
    c->ended = false;
    c->deadline_ns = ms > 0 ? mien_now_ns() + (uint64_t)ms * 1000000u : 0;
}

struct mien_conn *mien_conns_open(struct mien_conns *t, int fd, const void *sockaddr)
{
    struct mien_conn *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    c->fd = fd;
    pthread_mutex_init(&c->owner, NULL);
    peer_text(sockaddr, c->peer);
    c->counted = !is_listed(t->settings.trusted_proxies, c->peer);
    pthread_mutex_lock(&t->lock);
    set_phase(t, c, MIEN_PHASE_HEADERS);
    c->next = t->first;
    if (c->next != NULL) c->next->prev = c;
    t->first = c;
    t->n++;
    pthread_mutex_unlock(&t->lock);
    return c;
}

void mien_conns_close(struct mien_conns *t, struct mien_conn *c)
{
    pthread_mutex_lock(&t->lock);
    if (c->prev != NULL) c->prev->next = c->next;
    else t->first = c->next;
    if (c->next != NULL) c->next->prev = c->prev;
    t->n--;
    pthread_mutex_unlock(&t->lock);
    pthread_mutex_destroy(&c->owner);
    free(c);
}

void mien_conns_phase(struct mien_conns *t, struct mien_conn *c, enum mien_phase phase)
{
    pthread_mutex_lock(&t->lock);
    if (c->phase != MIEN_PHASE_CUT) set_phase(t, c, phase);
    pthread_mutex_unlock(&t->lock);
}

/* A client that ended what it sends in the middle of a request; the library overlooks it when the end comes together with bytes. Seen at two ticks, because
 * between the last byte and the request's next phase there is a moment when this is so for whole requests too. */
static bool ended_midway(struct mien_conn *c)
{
    const bool reading = c->phase == MIEN_PHASE_HEADERS || c->phase == MIEN_PHASE_BODY;
    const bool ended = reading && mien_half_closed(c->fd), twice = ended && c->ended;
    c->ended = ended;
    return twice;
}

static void cut_late(struct mien_conns *t)
{
    const uint64_t now = mien_now_ns();
    for (struct mien_conn *c = t->first; c != NULL; c = c->next) {
        if (ended_midway(c)) {
            shutdown(c->fd, SHUT_RDWR);
            set_phase(t, c, MIEN_PHASE_CUT);
        }
        if (c->deadline_ns == 0 || now < c->deadline_ns) continue;
        if (c->phase == MIEN_PHASE_BODY) {
            if (pthread_mutex_trylock(&c->owner) != 0) continue; /* its thread is at it this moment: next time */
            if (c->request != NULL) t->late(c->request);
            pthread_mutex_unlock(&c->owner);
        }
        shutdown(c->fd, SHUT_RDWR);
        set_phase(t, c, MIEN_PHASE_CUT);
    }
}

void mien_conns_cut(struct mien_conns *t)
{
    pthread_mutex_lock(&t->lock);
    for (struct mien_conn *c = t->first; c != NULL; c = c->next) {
        shutdown(c->fd, SHUT_RDWR);
        set_phase(t, c, MIEN_PHASE_CUT);
    }
    pthread_mutex_unlock(&t->lock);
}

static void *monitor(void *arg)
{
    struct mien_conns *t = arg;
    pthread_mutex_lock(&t->lock);
    while (!t->ending) {
        struct timespec until;
        cut_late(t);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&t->end, &t->lock, &until);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

enum mien_code mien_conns_start(struct mien_conns *t, const struct mien_server_settings *s, struct mien_err *e)
{
    pthread_condattr_t clock;
    t->settings = *s;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->end, &clock);
    pthread_condattr_destroy(&clock);
    t->started = pthread_create(&t->monitor, NULL, monitor, t) == 0;
    MIEN_FAIL_IF(!t->started, e, MIEN_E_NOMEM, "the system refuses a thread");
    pthread_setname_np(t->monitor, "deadlines");
    return MIEN_OK;
}

void mien_conns_stop(struct mien_conns *t)
{
    if (t->started) {
        pthread_mutex_lock(&t->lock);
        t->ending = true;
        pthread_cond_signal(&t->end);
        pthread_mutex_unlock(&t->lock);
        pthread_join(t->monitor, NULL);
    }
    pthread_cond_destroy(&t->end);
    pthread_mutex_destroy(&t->lock);
}
