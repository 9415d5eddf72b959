/* The connection to Redis: address, login, a pool with one connection a concurrent caller, and the way of commands over it.
 *
 * Commands are written with send(2) and not through hiredis' buffer, so that a closed connection raises no signal and no copy of a password stays behind;
 * hiredis reads the replies. A connection that was closed while it lay idle is seen before anything is sent. When one breaks in between, the commands are
 * carried out once more on a fresh one if doing them twice is the same as once. A Redis that is silent (timeout) is not asked again for a moment, or
 * every caller would wait for it. */
#include "store/redis.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/clock.h"
#include "base/log.h"
#include "codec/hex.h"
#include "store/redis_inner.h"

enum {
    TIMEOUT_S = 2,
    SILENCE_MS = 1000,        /* after a timeout nobody tries for this long */
    IDLE_CONNECTIONS = 64,    /* kept */
    MAX_ASK = 512 << 20,
    HOST = 256, USER = 129, PASSWORD = 513,
    DEFAULT_PORT = 6379, OLDEST_MAJOR = 6, OLDEST_MINOR = 2
};

struct mien_redis {
    char host[HOST], user[USER], password[PASSWORD];
    int port, database;
    bool with_login;
    pthread_mutex_t lock; /* guards the idle connections */
    struct redisContext *idle[IDLE_CONNECTIONS];
    int n_idle;
    atomic_uint_fast64_t silent_until_ns;
    atomic_bool watched, answers;
};

/* ---- commands ---- */

void mien_redis_ask_init(struct mien_redis_ask *q)
{
    q->commands = 0;
    mien_buf_init(&q->bytes, MAX_ASK);
}

void mien_redis_ask_free(struct mien_redis_ask *q)
{
    if (q->bytes.data != NULL) explicit_bzero(q->bytes.data, q->bytes.len);
    mien_buf_free(&q->bytes);
}

void mien_redis_ask_begin(struct mien_redis_ask *q, int words)
{
    mien_buf_addf(&q->bytes, "*%d\r\n", words);
    q->commands++;
}

void mien_redis_ask_bytes(struct mien_redis_ask *q, const void *p, size_t n)
{
    mien_buf_addf(&q->bytes, "$%zu\r\n", n);
    mien_buf_add(&q->bytes, p, n);
    mien_buf_add(&q->bytes, "\r\n", 2);
}

void mien_redis_ask_text(struct mien_redis_ask *q, const char *s) { mien_redis_ask_bytes(q, s, strlen(s)); }

void mien_redis_ask_number(struct mien_redis_ask *q, long long v)
{
    char text[24];
    mien_redis_ask_bytes(q, text, (size_t)snprintf(text, sizeof text, "%lld", v));
}

void mien_redis_ask_command(struct mien_redis_ask *q, ...)
{
    va_list ap, again;
    int words = 0;
    va_start(ap, q);
    va_copy(again, ap);
    while (va_arg(ap, const char *) != NULL) words++;
    va_end(ap);
    mien_redis_ask_begin(q, words);
    for (int i = 0; i < words; i++) mien_redis_ask_text(q, va_arg(again, const char *));
    va_end(again);
}

void mien_redis_ask_script(struct mien_redis_ask *q, const char *script, int keys, int words)
{
    mien_redis_ask_begin(q, 3 + words);
    mien_redis_ask_text(q, "EVAL");
    mien_redis_ask_text(q, script);
    mien_redis_ask_number(q, keys);
}

/* ---- address ---- */

/* Decodes %XX. False: too long, or not encoded rightly. */
static bool decode(const char *s, size_t n, char *out, size_t room)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        int c = (unsigned char)s[i];
        if (c == '%') {
            if (n - i < 3 || mien_hex_digit(s[i + 1]) < 0 || mien_hex_digit(s[i + 2]) < 0) return false;
            c = mien_hex_digit(s[i + 1]) * 16 + mien_hex_digit(s[i + 2]);
            i += 2;
        }
        if (c == 0 || at + 1 >= room) return false;
        out[at++] = (char)c;
    }
    out[at] = '\0';
    return true;
}

/* Decimal digits up to `high`; false when there is anything else. */
static bool whole_number(const char *s, size_t n, int high, int *out)
{
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9' || v > (high - (s[i] - '0')) / 10) return false;
        v = v * 10 + (s[i] - '0');
    }
    *out = v;
    return n > 0;
}

static bool parse_host(struct mien_redis *r, const char *s, size_t n)
{
    const bool bracketed = n > 0 && s[0] == '[';
    const char *end = memchr(s, bracketed ? ']' : ':', n);
    if (bracketed && end == NULL) return false;
    const char *host = bracketed ? s + 1 : s, *after = end == NULL ? s + n : end + bracketed;
    const size_t host_n = end == NULL ? n : (size_t)(end - host), rest = (size_t)(s + n - after);
    r->port = DEFAULT_PORT;
    if (host_n == 0 || !decode(host, host_n, r->host, sizeof r->host)) return false;
    if (rest == 0) return true;
    return after[0] == ':' && whole_number(after + 1, rest - 1, 65535, &r->port) && r->port > 0;
}

static bool parse_login(struct mien_redis *r, const char *s, size_t n)
{
    const char *colon = memchr(s, ':', n);
    const size_t user = colon != NULL ? (size_t)(colon - s) : n;
    r->with_login = true;
    if (!decode(s, user, r->user, sizeof r->user)) return false;
    return colon == NULL || decode(colon + 1, n - user - 1, r->password, sizeof r->password);
}

/* What stands behind redis://. */
static bool parse_address(struct mien_redis *r, const char *s)
{
    const size_t n = strcspn(s, "/?#");
    const char *at = memrchr(s, '@', n), *path = s + n;
    if (at != NULL && !parse_login(r, s, (size_t)(at - s))) return false;
    const char *host = at != NULL ? at + 1 : s;
    if (!parse_host(r, host, (size_t)(path - host))) return false;
    if (path[0] == '\0' || strcmp(path, "/") == 0) return true;
    return path[0] == '/' && whole_number(path + 1, strlen(path + 1), 1000000, &r->database);
}

static enum mien_code parse_url(struct mien_redis *r, const char *url, struct mien_err *e)
{
    MIEN_FAIL_IF(strncmp(url, "rediss://", 9) == 0, e, MIEN_E_CONFIG, "REDIS_URL: rediss:// is not supported; TLS needs a tunnel such as stunnel");
    MIEN_FAIL_IF(strncmp(url, "redis://", 8) != 0 || !parse_address(r, url + 8), e, MIEN_E_CONFIG,
                 "REDIS_URL is not redis://[user[:password]@]host[:port][/database]");
    return MIEN_OK;
}

/* ---- failures ---- */

static enum mien_code silent(const struct mien_redis *r, struct mien_err *e)
{
    return MIEN_FAIL(e, MIEN_E_STORE, "Redis at %.100s:%d does not answer", r->host, r->port);
}

enum mien_code mien_redis_nonsense(const struct mien_redis *r, struct mien_err *e)
{
    return MIEN_FAIL(e, MIEN_E_STORE, "%.100s:%d does not answer as Redis does", r->host, r->port);
}

/* Only the first word of what Redis says is passed on: the rest may repeat what it was sent. */
static enum mien_code refused(const struct mien_redis *r, const redisReply *reply, struct mien_err *e)
{
    static const char WORD[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const size_t n = strspn(reply->str, WORD);
    if ((n == 9 && strncmp(reply->str, "WRONGPASS", n) == 0) || (n == 6 && strncmp(reply->str, "NOAUTH", n) == 0) ||
        strncmp(reply->str, "ERR AUTH ", 9) == 0)
        return MIEN_FAIL(e, MIEN_E_STORE, "Redis at %.100s:%d refuses the user or the password", r->host, r->port);
    return MIEN_FAIL(e, MIEN_E_STORE, "Redis at %.100s:%d refuses: %.*s", r->host, r->port, (int)(n < 24 ? n : 24), reply->str);
}

/* ---- one connection ---- */

enum outcome { ANSWERED, NOTHING_SENT, BROKEN, SILENT, NONSENSE };

static enum outcome failed_read(const redisContext *c, int error)
{
    if (c->err == REDIS_ERR_PROTOCOL) return NONSENSE;
    return c->err == REDIS_ERR_IO && (error == EAGAIN || error == EWOULDBLOCK || error == ETIMEDOUT) ? SILENT : BROKEN;
}

static enum outcome write_all(int fd, const char *p, size_t n)
{
    const size_t all = n;
    while (n > 0) {
        const ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return SILENT;
        if (sent < 0) return n == all ? NOTHING_SENT : BROKEN;
        p += sent;
        n -= (size_t)sent;
    }
    return ANSWERED;
}

void mien_redis_free_replies(redisReply **reply, int n)
{
    for (int i = 0; i < n; i++) {
        if (reply[i] != NULL) freeReplyObject(reply[i]);
        reply[i] = NULL;
    }
}

static enum outcome converse(redisContext *c, const struct mien_redis_ask *q, redisReply **reply)
{
    enum outcome o = write_all(c->fd, q->bytes.data, q->bytes.len);
    for (int i = 0; i < q->commands; i++) reply[i] = NULL;
    for (int i = 0; o == ANSWERED && i < q->commands; i++) {
        void *one = NULL;
        errno = 0;
        if (redisGetReply(c, &one) != REDIS_OK) o = failed_read(c, errno);
        reply[i] = one;
    }
    if (o != ANSWERED) mien_redis_free_replies(reply, q->commands);
    return o;
}

static enum mien_code failure_of(struct mien_redis *r, enum outcome o, struct mien_err *e)
{
    atomic_store(&r->answers, false);
    if (o == SILENT) atomic_store(&r->silent_until_ns, mien_now_ns() + SILENCE_MS * UINT64_C(1000000));
    if (o == NONSENSE) return mien_redis_nonsense(r, e);
    if (o == SILENT) return silent(r, e);
    return MIEN_FAIL(e, MIEN_E_STORE, "the connection to Redis at %.100s:%d broke", r->host, r->port);
}

static enum mien_code check_replies(const struct mien_redis *r, redisReply **reply, int n, struct mien_err *e)
{
    for (int i = 0; i < n; i++) {
        if (reply[i]->type != REDIS_REPLY_ERROR) continue;
        const enum mien_code code = refused(r, reply[i], e);
        mien_redis_free_replies(reply, n);
        return code;
    }
    return MIEN_OK;
}

enum mien_code mien_redis_carry_on(struct mien_redis *r, redisContext *c, const struct mien_redis_ask *q, redisReply **reply, struct mien_err *e)
{
    MIEN_FAIL_IF(q->bytes.failed, e, MIEN_E_NOMEM, "no memory for what is sent to Redis");
    const enum outcome o = converse(c, q, reply);
    if (o != ANSWERED) return failure_of(r, o, e);
    const enum mien_code code = check_replies(r, reply, q->commands, e);
    atomic_store(&r->answers, code == MIEN_OK);
    return code;
}

static enum mien_code log_in(struct mien_redis *r, redisContext *c, struct mien_err *e)
{
    struct mien_redis_ask q;
    redisReply *reply[2];
    char database[12];
    snprintf(database, sizeof database, "%d", r->database);
    mien_redis_ask_init(&q);
    if (r->with_login && r->user[0] == '\0') mien_redis_ask_command(&q, "AUTH", r->password, NULL);
    else if (r->with_login) mien_redis_ask_command(&q, "AUTH", r->user, r->password, NULL);
    mien_redis_ask_command(&q, "SELECT", database, NULL);
    const enum mien_code code = mien_redis_carry_on(r, c, &q, reply, e);
    if (code == MIEN_OK) mien_redis_free_replies(reply, q.commands);
    mien_redis_ask_free(&q);
    return code;
}

enum mien_code mien_redis_connect(struct mien_redis *r, redisContext **out, struct mien_err *e)
{
    const struct timeval limit = {.tv_sec = TIMEOUT_S};
    const uint64_t start_ns = mien_now_ns();
    *out = NULL;
    redisContext *c = redisConnectWithTimeout(r->host, r->port, limit);
    MIEN_FAIL_IF(c == NULL, e, MIEN_E_NOMEM, "out of memory");
    enum mien_code code = MIEN_OK;
    if (c->err != 0) {
        const bool waited = mien_elapsed_ms(start_ns) >= TIMEOUT_S * 900.0;
        failure_of(r, waited ? SILENT : BROKEN, NULL);
        code = MIEN_FAIL(e, MIEN_E_STORE, "Redis at %.100s:%d cannot be reached", r->host, r->port);
    } else if (redisSetTimeout(c, limit) != REDIS_OK || redisEnableKeepAlive(c) != REDIS_OK) {
        code = MIEN_FAIL(e, MIEN_E_STORE, "the connection to Redis at %.100s:%d cannot be set up", r->host, r->port);
    } else {
        code = log_in(r, c, e);
    }
    if (code == MIEN_OK) *out = c;
    else redisFree(c);
    return code;
}

/* ---- the pool ---- */

/* Nothing has come and the other side has not closed. */
static bool is_quiet(const redisContext *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN | POLLRDHUP};
    return poll(&p, 1, 0) == 0;
}

static redisContext *take_idle(struct mien_redis *r)
{
    redisContext *c = NULL;
    pthread_mutex_lock(&r->lock);
    while (c == NULL && r->n_idle > 0) {
        c = r->idle[--r->n_idle];
        if (is_quiet(c)) break;
        redisFree(c);
        c = NULL;
    }
    pthread_mutex_unlock(&r->lock);
    return c;
}

static void drop_idle(struct mien_redis *r)
{
    pthread_mutex_lock(&r->lock);
    while (r->n_idle > 0) redisFree(r->idle[--r->n_idle]);
    pthread_mutex_unlock(&r->lock);
}

static void give_back(struct mien_redis *r, redisContext *c)
{
    pthread_mutex_lock(&r->lock);
    const bool room = r->n_idle < IDLE_CONNECTIONS;
    if (room) r->idle[r->n_idle++] = c;
    pthread_mutex_unlock(&r->lock);
    if (!room) redisFree(c);
}

enum mien_code mien_redis_carry(struct mien_redis *r, const struct mien_redis_ask *q, enum mien_redis_repeat repeat, redisReply **reply,
                                struct mien_err *e)
{
    MIEN_FAIL_IF(q->bytes.failed, e, MIEN_E_NOMEM, "no memory for what is sent to Redis");
    enum outcome o = NOTHING_SENT;
    redisContext *c = take_idle(r);
    if (c != NULL) o = converse(c, q, reply);
    const bool once_more = c == NULL || o == NOTHING_SENT || (o == BROKEN && repeat == MIEN_REDIS_REPEATABLE);
    if (o != ANSWERED) {
        if (c != NULL) redisFree(c);
        if (!once_more) {
            drop_idle(r);
            return failure_of(r, o, e);
        }
        if (mien_now_ns() < atomic_load(&r->silent_until_ns)) return silent(r, e);
        MIEN_TRY(mien_redis_connect(r, &c, e));
        o = converse(c, q, reply);
        if (o != ANSWERED) {
            redisFree(c);
            return failure_of(r, o, e);
        }
    }
    give_back(r, c);
    return check_replies(r, reply, q->commands, e);
}

enum mien_code mien_redis_number(struct mien_redis *r, const struct mien_redis_ask *q, enum mien_redis_repeat repeat, long long *out, struct mien_err *e)
{
    redisReply *reply;
    MIEN_TRY(mien_redis_carry(r, q, repeat, &reply, e));
    const bool right = reply->type == REDIS_REPLY_INTEGER;
    *out = right ? reply->integer : 0;
    mien_redis_free_replies(&reply, 1);
    return right ? MIEN_OK : mien_redis_nonsense(r, e);
}

/* ---- opening ---- */

/* The value of a line "name:value" in INFO's text; "" when there is none. */
static const char *info(const char *text, const char *name)
{
    const size_t n = strlen(name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, n) == 0 && line[n] == ':') return line + n + 1;
    }
    return "";
}

static bool info_is(const char *text, const char *name, const char *value)
{
    const char *found = info(text, name);
    const size_t n = strlen(value);
    return strncmp(found, value, n) == 0 && (found[n] == '\r' || found[n] == '\n' || found[n] == '\0');
}

static enum mien_code judge(const struct mien_redis *r, const char *text, struct mien_err *e)
{
    const char *version = info(text, "redis_version");
    char *end = NULL;
    const long major = strtol(version, &end, 10), minor = end != NULL && *end == '.' ? strtol(end + 1, NULL, 10) : 0;
    if (version[0] == '\0') return mien_redis_nonsense(r, e);
    MIEN_FAIL_IF(major < OLDEST_MAJOR || (major == OLDEST_MAJOR && minor < OLDEST_MINOR), e, MIEN_E_STORE, "Redis at %.100s:%d is older than %d.%d",
                 r->host, r->port, OLDEST_MAJOR, OLDEST_MINOR);
    MIEN_FAIL_IF(info_is(text, "cluster_enabled", "1"), e, MIEN_E_STORE, "Redis at %.100s:%d is part of a cluster, which is not supported", r->host, r->port);
    MIEN_FAIL_IF(info_is(text, "role", "slave"), e, MIEN_E_STORE, "Redis at %.100s:%d is a replica, which cannot be written", r->host, r->port);
    MIEN_FAIL_IF(info_is(text, "loading", "1"), e, MIEN_E_STORE, "Redis at %.100s:%d is still loading", r->host, r->port);
    if (info_is(text, "aof_enabled", "0"))
        mien_log(MIEN_LOG_WARN, "redis_not_durable", "why=\"appendonly is off: what was enrolled last can be lost when Redis ends\"");
    if (!info_is(text, "maxmemory_policy", "noeviction") && !info_is(text, "maxmemory_policy", ""))
        mien_log(MIEN_LOG_WARN, "redis_may_evict", "why=\"maxmemory-policy is not noeviction: enrolled people can vanish\"");
    return MIEN_OK;
}

static enum mien_code look(struct mien_redis *r, struct mien_err *e)
{
    struct mien_redis_ask q;
    redisReply *reply = NULL;
    mien_redis_ask_init(&q);
    mien_redis_ask_command(&q, "INFO", NULL);
    enum mien_code code = mien_redis_carry(r, &q, MIEN_REDIS_REPEATABLE, &reply, e);
    if (code == MIEN_OK) code = reply->type == REDIS_REPLY_STRING ? judge(r, reply->str, e) : mien_redis_nonsense(r, e);
    mien_redis_free_replies(&reply, 1);
    mien_redis_ask_free(&q);
    return code;
}

enum mien_code mien_redis_open(const char *url, struct mien_redis **out, struct mien_err *e)
{
    *out = NULL;
    struct mien_redis *r = calloc(1, sizeof *r);
    MIEN_FAIL_IF(r == NULL || pthread_mutex_init(&r->lock, NULL) != 0, e, MIEN_E_NOMEM, "out of memory");
    enum mien_code code = parse_url(r, url, e);
    if (code == MIEN_OK) code = look(r, e);
    if (code == MIEN_OK) *out = r;
    else mien_redis_close(&r);
    return code;
}

void mien_redis_close(struct mien_redis **pr)
{
    if (pr == NULL || *pr == NULL) return;
    struct mien_redis *r = *pr;
    drop_idle(r);
    pthread_mutex_destroy(&r->lock);
    explicit_bzero(r, sizeof *r);
    free(r);
    *pr = NULL;
}

void mien_redis_watched(struct mien_redis *r, bool by_thread) { atomic_store(&r->watched, by_thread); }

bool mien_redis_alive(struct mien_redis *r)
{
    struct mien_redis_ask q;
    redisReply *reply = NULL;
    if (atomic_load(&r->watched)) return atomic_load(&r->answers);
    mien_redis_ask_init(&q);
    mien_redis_ask_command(&q, "PING", NULL);
    const bool alive = mien_redis_carry(r, &q, MIEN_REDIS_REPEATABLE, &reply, NULL) == MIEN_OK;
    mien_redis_free_replies(&reply, 1);
    mien_redis_ask_free(&q);
    return alive;
}
