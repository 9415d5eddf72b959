// needs: -lhiredis
// Redis as the store and as the keeper of small states: what every store promises, what two servers see of each other, and what happens when Redis is
// lost, emptied, strange or silent. Starts redis-server itself.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <hiredis/hiredis.h>
#include "base/clock.h"
#include "store/redis.h"
#include "support/redis_server.h"
#include "support/store_cases.h"

static struct redis_server server;
static const char *no_redis; /* why the tests are skipped */

static int start(void **state)
{
    (void)state;
    if (system("command -v redis-server >/dev/null 2>&1") != 0) no_redis = "redis-server is not installed";
    else if (!redis_server_make(&server)) no_redis = "redis-server does not start";
    return 0;
}

static int end(void **state)
{
    (void)state;
    redis_server_free(&server);
    return 0;
}

static void need_redis(void)
{
    if (no_redis == NULL) return;
    printf("# %s\n", no_redis);
    skip();
}

/* One command as Redis' own tools send it; a number or a status' length. */
static long long command(const char *format, ...)
{
    redisContext *c = redisConnect("127.0.0.1", server.port);
    assert_non_null(c);
    assert_int_equal(c->err, 0);
    va_list ap;
    va_start(ap, format);
    redisReply *reply = redisvCommand(c, format, ap);
    va_end(ap);
    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    const long long answer = reply->type == REDIS_REPLY_INTEGER ? reply->integer : (long long)reply->len;
    freeReplyObject(reply);
    redisFree(c);
    return answer;
}

struct open_store { struct mien_redis *redis; struct mien_store *store; };

static struct open_store open_store(void)
{
    struct open_store o;
    struct mien_err e = {0};
    if (mien_redis_open(server.url, &o.redis, &e) != MIEN_OK) fail_msg("%s", e.msg);
    assert_int_equal(mien_redis_store(o.redis, &o.store, NULL), MIEN_OK);
    return o;
}

static void close_store(struct open_store *o)
{
    if (o->store != NULL) o->store->close(o->store);
    mien_redis_close(&o->redis);
    assert_null(o->redis);
}

/* ---- what every store promises ---- */

#define CASE(name)                              \
    static void name(void **state)              \
    {                                           \
        (void)state;                            \
        need_redis();                           \
        command("FLUSHALL");                    \
        struct open_store o = open_store();     \
        store_case_##name(o.store);             \
        close_store(&o);                        \
    }
STORE_CASES(CASE)

/* The same write twice, as after a connection that broke before the answer came: the state is that of one, even at the limit. */
static void a_repeated_write_is_one(void **state)
{
    (void)state;
    need_redis();
    command("FLUSHALL");
    struct open_store o = open_store();
    uint64_t users, records;
    assert_int_equal(store_put_simple(o.store, "anna", 30, 50, 1, false, NULL), MIEN_OK);
    for (int i = 0; i < 2; i++) assert_int_equal(store_put_simple(o.store, "anna", 20, 50, 2, true, NULL), MIEN_OK);
    assert_int_equal(o.store->count(o.store, &users, &records, NULL), MIEN_OK);
    assert_int_equal(records, MIEN_USER_TEMPLATES);
    assert_int_equal(store_records_of(o.store, "anna"), MIEN_USER_TEMPLATES);
    assert_int_equal(store_put_simple(o.store, "anna", 1, 50, 3, true, NULL), MIEN_E_LIMIT);
    for (int i = 0; i < 2; i++) assert_int_equal(store_put_simple(o.store, "anna", 3, 50, 4, false, NULL), MIEN_OK);
    assert_true(store_holds_simple(o.store, "anna", 3, 50, 4));
    close_store(&o);
}

/* ---- following ---- */

/* What a follower was told. */
struct told { pthread_mutex_t lock; int changes, everything, refuse; char last[MIEN_USER_ID + 1]; };

static bool on_change(void *context, const char *user_id)
{
    struct told *t = context;
    pthread_mutex_lock(&t->lock);
    const bool taken = t->refuse == 0;
    if (!taken) t->refuse--;
    else if (user_id == NULL) t->everything++;
    else {
        t->changes++;
        snprintf(t->last, sizeof t->last, "%s", user_id);
    }
    pthread_mutex_unlock(&t->lock);
    return taken;
}

static struct told seen(struct told *t)
{
    pthread_mutex_lock(&t->lock);
    struct told copy = *t;
    pthread_mutex_unlock(&t->lock);
    return copy;
}

static void sleep_ms(int ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL); }

/* Waits for `user_id` as the last change (NULL: for everything to be told `times` times). */
static bool wait_for(struct told *t, const char *user_id, int times)
{
    for (int i = 0; i < 1000; i++) {
        const struct told now = seen(t);
        if (user_id != NULL ? strcmp(now.last, user_id) == 0 : now.everything >= times) return true;
        sleep_ms(10);
    }
    return false;
}

static void stores_see_each_others_changes(void **state)
{
    (void)state;
    need_redis();
    command("FLUSHALL");
    struct open_store a = open_store(), b = open_store();
    struct told t = {.lock = PTHREAD_MUTEX_INITIALIZER};
    bool existed;
    assert_int_equal(store_put_simple(b.store, "before-following", 1, 50, 1, false, NULL), MIEN_OK);
    assert_int_equal(a.store->follow(a.store, on_change, &t, NULL), MIEN_OK);
    assert_true(wait_for(&t, "before-following", 0)); /* since the store was opened */
    assert_int_equal(store_put_simple(b.store, "anna", 1, 50, 2, false, NULL), MIEN_OK);
    assert_true(wait_for(&t, "anna", 0));
    assert_true(store_holds_simple(a.store, "anna", 1, 50, 2));
    assert_int_equal(b.store->remove(b.store, "before-following", &existed, NULL), MIEN_OK);
    assert_true(wait_for(&t, "before-following", 0));
    pthread_mutex_lock(&t.lock);
    t.refuse = 2; /* cannot be taken up at first */
    pthread_mutex_unlock(&t.lock);
    assert_int_equal(store_put_simple(b.store, "told again", 1, 50, 3, false, NULL), MIEN_OK);
    assert_true(wait_for(&t, "told again", 0));
    for (unsigned i = 0; i < 1500; i++) assert_int_equal(store_put_simple(b.store, i < 1499 ? "many" : "last", 1, 50, i, false, NULL), MIEN_OK);
    assert_true(wait_for(&t, "last", 0));
    assert_int_equal(seen(&t).changes, 1504);
    assert_int_equal(seen(&t).everything, 0);
    assert_true(a.store->alive(a.store));
    close_store(&a);
    close_store(&b);
}

static void an_emptied_redis_is_told_as_everything(void **state)
{
    (void)state;
    need_redis();
    struct open_store a = open_store(), b = open_store();
    struct told t = {.lock = PTHREAD_MUTEX_INITIALIZER};
    assert_int_equal(store_put_simple(b.store, "anna", 1, 50, 1, false, NULL), MIEN_OK);
    assert_int_equal(a.store->follow(a.store, on_change, &t, NULL), MIEN_OK);
    assert_true(wait_for(&t, "anna", 0));
    command("FLUSHALL");
    assert_true(wait_for(&t, NULL, 1));
    assert_int_equal(store_put_simple(b.store, "bert", 1, 50, 1, false, NULL), MIEN_OK);
    assert_true(wait_for(&t, "bert", 0));
    sleep_ms(5); /* an entry's id is its millisecond: that of the new stream's first is to be another */
    command("FLUSHALL");
    assert_int_equal(store_put_simple(b.store, "carl", 1, 50, 1, false, NULL), MIEN_OK); /* the stream begins anew before the follower looks */
    assert_true(wait_for(&t, NULL, 2));
    command("XTRIM mien:changes MAXLEN 0"); /* cut past what was read */
    assert_true(wait_for(&t, NULL, 3));
    assert_int_equal(seen(&t).everything, 3);
    close_store(&a);
    close_store(&b);
}

/* ---- loss and return ---- */

struct writer { struct mien_store *store; atomic_int acknowledged, failed; atomic_bool stop; uint64_t longest_ns; };

static void *write_on(void *p)
{
    struct writer *w = p;
    for (unsigned i = 0; !atomic_load(&w->stop); i++) {
        char id[24];
        struct mien_err e = {0};
        const uint64_t start_ns = mien_now_ns();
        snprintf(id, sizeof id, "w%06d", atomic_load(&w->acknowledged));
        const enum mien_code code = store_put_simple(w->store, id, 1, 300, (unsigned)atomic_load(&w->acknowledged), false, &e);
        if (code == MIEN_OK) {
            atomic_fetch_add(&w->acknowledged, 1);
        } else {
            if (code != MIEN_E_STORE) fprintf(stderr, "unexpected: %s\n", e.msg);
            atomic_fetch_add(&w->failed, code == MIEN_E_STORE ? 1 : 1000000);
            sleep_ms(5);
        }
        const uint64_t took_ns = mien_now_ns() - start_ns;
        if (took_ns > w->longest_ns) w->longest_ns = took_ns;
    }
    return NULL;
}

static void wait_more(atomic_int *counter, int more)
{
    const int from = atomic_load(counter);
    for (int i = 0; i < 3000 && atomic_load(counter) < from + more; i++) sleep_ms(10);
    assert_true(atomic_load(counter) >= from + more);
}

static void killing_redis_loses_nothing_acknowledged(void **state)
{
    (void)state;
    need_redis();
    command("FLUSHALL");
    struct open_store a = open_store(), b = open_store();
    struct told t = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct writer w = {.store = b.store};
    pthread_t thread;
    assert_int_equal(a.store->follow(a.store, on_change, &t, NULL), MIEN_OK);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    for (int i = 0; i < 5; i++) {
        wait_more(&w.acknowledged, 20 + 7 * i);
        redis_server_kill(&server);
        wait_more(&w.failed, 3);
        for (int k = 0; k < 1000 && a.store->alive(a.store); k++) sleep_ms(10);
        assert_false(a.store->alive(a.store));
        assert_int_equal(store_records_of(a.store, "w000000"), -1);
        assert_true(redis_server_start(&server));
    }
    wait_more(&w.acknowledged, 20);
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    assert_true(atomic_load(&w.failed) < 1000000);
    assert_true(w.longest_ns < UINT64_C(30000000000));
    const int n = atomic_load(&w.acknowledged);
    char id[24];
    for (int i = 0; i < n; i++) {
        snprintf(id, sizeof id, "w%06d", i);
        if (!store_holds_simple(a.store, id, 1, 300, (unsigned)i)) fail_msg("%s of %d is lost", id, n);
    }
    assert_true(wait_for(&t, id, 0)); /* following went on */
    assert_int_equal(store_put_simple(b.store, "after all", 1, 50, 1, false, NULL), MIEN_OK);
    assert_true(wait_for(&t, "after all", 0));
    assert_true(a.store->alive(a.store));
    close_store(&a);
    close_store(&b);
}

/* Idle connections of before the restart: the first call of each kind works. */
static void idle_connections_that_died_are_replaced(void **state)
{
    (void)state;
    need_redis();
    struct open_store o = open_store();
    bool existed, taken;
    int wait_s;
    assert_int_equal(store_put_simple(o.store, "anna", 1, 50, 1, false, NULL), MIEN_OK);
    for (int i = 0; i < 3; i++) {
        redis_server_kill(&server);
        assert_true(redis_server_start(&server));
        if (i == 0) assert_int_equal(store_put_simple(o.store, "bert", 1, 50, 1, false, NULL), MIEN_OK);
        else if (i == 1) assert_int_equal(mien_redis_take_token(o.redis, "mien:rate:x", 1, 1, &taken, &wait_s, NULL), MIEN_OK);
        else assert_int_equal(o.store->remove(o.store, "anna", &existed, NULL), MIEN_OK);
    }
    assert_true(existed);
    close_store(&o);
}

struct call { struct mien_store *store; bool removes; enum mien_code code; };

static void *call_once(void *p)
{
    struct call *c = p;
    bool existed;
    c->code = c->removes ? c->store->remove(c->store, "anna", &existed, NULL) : store_put_simple(c->store, "anna", 2, 50, 7, false, NULL);
    return NULL;
}

static bool is_blocked(void)
{
    redisContext *c = redisConnect("127.0.0.1", server.port);
    redisReply *reply = redisCommand(c, "INFO clients");
    const bool blocked = strstr(reply->str, "blocked_clients:0") == NULL;
    freeReplyObject(reply);
    redisFree(c);
    return blocked;
}

/* Redis has got the call and has not begun it when its connection is cut. */
static enum mien_code call_that_is_cut(struct mien_store *s, bool removes)
{
    struct call c = {s, removes, MIEN_OK};
    pthread_t thread;
    command("CLIENT PAUSE 60000 WRITE");
    assert_int_equal(pthread_create(&thread, NULL, call_once, &c), 0);
    for (int i = 0; i < 1000 && !is_blocked(); i++) sleep_ms(1);
    command("CLIENT KILL TYPE normal");
    sleep_ms(100); /* until it is on its way again */
    command("CLIENT UNPAUSE");
    pthread_join(thread, NULL);
    return c.code;
}

static void a_write_whose_connection_breaks_is_done_once_more(void **state)
{
    (void)state;
    need_redis();
    command("FLUSHALL");
    struct open_store o = open_store();
    enum mien_code code = MIEN_E_STORE;
    for (int i = 0; i < 5 && code != MIEN_OK; i++) code = call_that_is_cut(o.store, false); /* a busy machine can let it time out */
    assert_int_equal(code, MIEN_OK);
    assert_true(store_holds_simple(o.store, "anna", 2, 50, 7));
    assert_int_equal(call_that_is_cut(o.store, true), MIEN_E_STORE); /* a second time it would say that there was nobody */
    assert_true(store_holds_simple(o.store, "anna", 2, 50, 7));
    close_store(&o);
}

/* What Redis refuses is a failure of the call, and nothing of it is done. */
static void refusals_of_redis(void **state)
{
    (void)state;
    need_redis();
    command("FLUSHALL");
    struct open_store o = open_store();
    struct mien_err e = {0};
    uint64_t users, records;
    assert_int_equal(store_put_simple(o.store, "anna", 1, 50, 1, false, NULL), MIEN_OK);
    command("CONFIG SET maxmemory 1");
    assert_int_equal(store_put_simple(o.store, "bert", 3, 50, 1, false, &e), MIEN_E_STORE);
    assert_non_null(strstr(e.msg, "OOM"));
    command("CONFIG SET maxmemory 0");
    command("REPLICAOF 127.0.0.1 1");
    assert_int_equal(store_put_simple(o.store, "bert", 3, 50, 1, false, &e), MIEN_E_STORE);
    assert_non_null(strstr(e.msg, "READONLY"));
    struct mien_redis *replica;
    assert_int_equal(mien_redis_open(server.url, &replica, &e), MIEN_E_STORE);
    assert_non_null(strstr(e.msg, "replica"));
    command("REPLICAOF NO ONE");
    assert_int_equal(o.store->count(o.store, &users, &records, NULL), MIEN_OK);
    assert_int_equal(users, 1);
    assert_int_equal(records, 1);
    close_store(&o);
}

/* ---- changes of a value ---- */

static size_t add_one(void *context, const uint8_t *old, size_t n, uint8_t room[MIEN_REDIS_VALUE])
{
    uint32_t v = 0;
    if (n == sizeof v) memcpy(&v, old, n);
    v++;
    *(uint32_t *)context = v;
    memcpy(room, &v, sizeof v);
    return sizeof v;
}

static size_t make_none(void *context, const uint8_t *old, size_t n, uint8_t room[MIEN_REDIS_VALUE])
{
    (void)context;
    (void)old;
    (void)room;
    assert_int_equal(n, 4);
    return 0;
}

/* ---- opening ---- */

static void wrong_urls_are_refused(void **state)
{
    (void)state;
    static const char *const WRONG[] = {"", "localhost:6379", "http://localhost", "redis://", "redis://:6379", "redis://host:0", "redis://host:65536",
        "redis://host:12x", "redis://host:", "redis://[::1", "redis://[::1]6379", "redis://host/x", "redis://host/1/2", "redis://host/-1", "redis://host?db=1",
        "redis://us%2:geheim@host", "redis://us%zz:geheim@host", "redis://user:gehe%00im@host", "rediss://user:geheim@host:6379"};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        struct mien_redis *r;
        struct mien_err e = {0};
        if (mien_redis_open(WRONG[i], &r, &e) != MIEN_E_CONFIG) fail_msg("%s is taken", WRONG[i]);
        assert_null(r);
        assert_null(strstr(e.msg, "geheim"));
    }
    struct mien_redis *r;
    struct mien_err e = {0};
    assert_int_equal(mien_redis_open("rediss://host", &r, &e), MIEN_E_CONFIG);
    assert_non_null(strstr(e.msg, "rediss"));
}

static enum mien_code open_at(const char *login, int port, const char *path, struct mien_err *e)
{
    char url[200];
    struct mien_redis *r;
    snprintf(url, sizeof url, "redis://%s127.0.0.1:%d%s", login, port, path);
    const enum mien_code code = mien_redis_open(url, &r, e);
    assert_true((r != NULL) == (code == MIEN_OK));
    if (code != MIEN_OK) assert_null(strstr(e->msg, "geheim"));
    mien_redis_close(&r);
    return code;
}

static void passwords_and_databases(void **state)
{
    (void)state;
    need_redis();
    struct mien_err e = {0};
    assert_int_equal(open_at("", server.port, "/", &e), MIEN_OK);
    assert_int_equal(open_at("", server.port, "/15", &e), MIEN_OK);
    assert_int_equal(open_at("", server.port, "/999", &e), MIEN_E_STORE);
    assert_int_equal(open_at(":geheim@", server.port, "", &e), MIEN_E_STORE); /* it has none */
    command("CONFIG SET requirepass %s", "geheim@/:%");
    assert_int_equal(open_at("", server.port, "", &e), MIEN_E_STORE);
    assert_non_null(strstr(e.msg, "refuses the user or the password"));
    assert_int_equal(open_at(":geheim@", server.port, "", &e), MIEN_E_STORE);
    assert_non_null(strstr(e.msg, "refuses the user or the password"));
    assert_int_equal(open_at("somebody:geheim%40%2F%3a%25@", server.port, "", &e), MIEN_E_STORE);
    assert_int_equal(open_at(":geheim%40%2F%3a%25@", server.port, "", &e), MIEN_OK);
    assert_int_equal(open_at("default:geheim%40%2F%3a%25@", server.port, "/3", &e), MIEN_OK);
    char answer[64];
    assert_true(say_to(server.port, "AUTH geheim@/:%\r\nCONFIG SET requirepass \"\"\r\n", answer, sizeof answer));
    sleep_ms(50);
    assert_int_equal(open_at("", server.port, "", &e), MIEN_OK);
}

static enum mien_code count_users(void *context, const struct mien_user *user, struct mien_err *e)
{
    (void)user;
    (void)e;
    ++*(int *)context;
    return MIEN_OK;
}

/* The rights that docs/redis.md names are enough for everything. */
static void few_rights_are_enough(void **state)
{
    (void)state;
    need_redis();
    command("FLUSHALL");
    command("ACL SETUSER few on >geheim ~mien:* +auth +select +ping +info +eval +time +get +set +setnx +del +incrby +decrby +pexpire +hget +hset +hmget "
            "+hgetall +hlen +hexists +zadd +zrem +zcard +zrangebylex +xadd +xread +xrange +xrevrange");
    struct open_store o;
    struct told t = {.lock = PTHREAD_MUTEX_INITIALIZER};
    char url[100];
    bool taken, existed;
    int wait_s;
    uint32_t v;
    uint64_t salt;
    snprintf(url, sizeof url, "redis://few:geheim@127.0.0.1:%d", server.port);
    assert_int_equal(mien_redis_open(url, &o.redis, NULL), MIEN_OK);
    assert_int_equal(mien_redis_store(o.redis, &o.store, NULL), MIEN_OK);
    assert_true(o.store->alive(o.store));
    store_case_reseals_what_still_holds_the_old(o.store);
    assert_int_equal(store_put_simple(o.store, "bert", 1, 50, 1, true, NULL), MIEN_OK);
    assert_int_equal(store_put_simple(o.store, "bert", 1, 50, 2, true, NULL), MIEN_OK);
    int users = 0;
    assert_int_equal(o.store->list(o.store, "", 10, count_users, &users, NULL), MIEN_OK);
    assert_int_equal(users, 2);
    assert_int_equal(o.store->follow(o.store, on_change, &t, NULL), MIEN_OK);
    assert_int_equal(o.store->remove(o.store, "bert", &existed, NULL), MIEN_OK);
    assert_true(wait_for(&t, "bert", 0));
    assert_int_equal(mien_redis_take_token(o.redis, "mien:rate:x", 1, 1, &taken, &wait_s, NULL), MIEN_OK);
    assert_int_equal(mien_redis_update(o.redis, "mien:track:x", 100, MIEN_REDIS_LIVES_ON, add_one, &v, NULL), MIEN_OK);
    assert_int_equal(mien_redis_update(o.redis, "mien:track:x", 100, MIEN_REDIS_LIVES_ON, make_none, NULL, NULL), MIEN_OK);
    assert_int_equal(mien_redis_salt(o.redis, &salt, NULL), MIEN_OK);
    struct mien_err e = {0};
    assert_int_equal(mien_redis_take_token(o.redis, "other:x", 1, 1, &taken, &wait_s, &e), MIEN_E_STORE); /* a key that is not ours */
    assert_null(strstr(e.msg, "geheim"));
    close_store(&o);
    command("ACL DELUSER few");
}

/* A server that says `answer` to whatever it gets, or nothing. */
struct fake { int fd, port; const char *answer; pthread_t thread; atomic_bool stop; };

static void *pretend(void *p)
{
    struct fake *f = p;
    while (!atomic_load(&f->stop)) {
        char room[4096];
        const int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) continue;
        while (recv(fd, room, sizeof room, 0) > 0)
            if (f->answer[0] != '\0' && send(fd, f->answer, strlen(f->answer), MSG_NOSIGNAL) < 0) break;
        close(fd);
    }
    return NULL;
}

static void start_fake(struct fake *f, const char *answer)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    *f = (struct fake){.answer = answer};
    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(f->fd, 8), 0);
    assert_int_equal(getsockname(f->fd, (struct sockaddr *)&a, &n), 0);
    f->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&f->thread, NULL, pretend, f), 0);
}

static void stop_fake(struct fake *f)
{
    atomic_store(&f->stop, true);
    shutdown(f->fd, SHUT_RDWR);
    pthread_join(f->thread, NULL);
    close(f->fd);
}

static void strange_servers_are_refused(void **state)
{
    (void)state;
    static const struct { const char *answer, *said; } STRANGE[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", "does not answer as Redis does"},
        {"\0337\0338garbage", "does not answer as Redis does"},
        {"+OK\r\n+OK\r\n", "does not answer as Redis does"},
        {":1\r\n$5\r\nhello\r\n", "does not answer as Redis does"},
        {"*-1\r\n*0\r\n", "does not answer as Redis does"},
        {"+OK\r\n$26\r\n# Server\r\nredis_version:6.0\r\n", "older"},
        {"+OK\r\n$27\r\n# Server\r\nredis_version:5.0.7\r\n", "older"},
        {"-ERR your command was: geheim\r\n", "refuses: "},
        {"-LOADING Redis is loading geheim\r\n", "LOADING"},
        {"", "does not answer"},
        {"$100\r\nonly a part", "does not answer"}};
    for (size_t i = 0; i < sizeof STRANGE / sizeof STRANGE[0]; i++) {
        struct fake f;
        struct mien_err e = {0};
        start_fake(&f, STRANGE[i].answer);
        const enum mien_code code = open_at("", f.port, "", &e);
        stop_fake(&f);
        assert_int_equal(code, MIEN_E_STORE);
        if (strstr(e.msg, STRANGE[i].said) == NULL) fail_msg("server %zu: %s", i, e.msg);
        assert_null(strstr(e.msg, "geheim"));
    }
    struct mien_err e = {0};
    assert_int_equal(open_at("", free_port(), "", &e), MIEN_E_STORE);
    assert_non_null(strstr(e.msg, "cannot be reached"));
}

/* ---- small states ---- */

static void tokens_are_shared_and_come_back(void **state)
{
    (void)state;
    need_redis();
    command("FLUSHALL");
    struct open_store a = open_store(), b = open_store();
    bool taken;
    int wait_s, given = 0;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(mien_redis_take_token((i % 2 ? a : b).redis, "mien:rate:1", 0.001, 5, &taken, &wait_s, NULL), MIEN_OK);
        given += taken;
        assert_true(taken ? wait_s == 0 : wait_s > 900 && wait_s <= 1000);
    }
    assert_int_equal(given, 5);
    assert_int_equal(mien_redis_take_token(a.redis, "mien:rate:2", 0.001, 1, &taken, &wait_s, NULL), MIEN_OK);
    assert_true(taken); /* another bucket */
    const long long ttl = command("TTL mien:rate:1");
    assert_true(ttl > 4000 && ttl <= 5001);
    for (int i = 0; i < 2; i++) assert_int_equal(mien_redis_take_token(a.redis, "mien:rate:3", 20, 1, &taken, &wait_s, NULL), MIEN_OK);
    for (int i = 0; i < 500 && !taken; i++) {
        sleep_ms(10);
        assert_int_equal(mien_redis_take_token(b.redis, "mien:rate:3", 20, 1, &taken, &wait_s, NULL), MIEN_OK);
    }
    assert_true(taken); /* it filled again */
    sleep_ms(200);
    assert_int_equal(command("EXISTS mien:rate:3"), 0); /* a full bucket is not kept */
    close_store(&a);
    close_store(&b);
}

enum { ADDERS = 4, ADDITIONS = 50 };

static void *add_many(void *redis)
{
    uint32_t v;
    intptr_t failed = 0;
    for (int i = 0; i < ADDITIONS; i++) failed += mien_redis_update(redis, "mien:track:x", 100, MIEN_REDIS_LIVES_ON, add_one, &v, NULL) != MIEN_OK;
    return (void *)failed;
}

static void nobody_changes_a_value_in_between(void **state)
{
    (void)state;
    need_redis();
    command("FLUSHALL");
    struct open_store o = open_store();
    pthread_t thread[ADDERS];
    uint32_t v = 0;
    void *failed;
    for (int i = 0; i < ADDERS; i++) assert_int_equal(pthread_create(&thread[i], NULL, add_many, o.redis), 0);
    for (int i = 0; i < ADDERS; i++) {
        pthread_join(thread[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(mien_redis_update(o.redis, "mien:track:x", 100, MIEN_REDIS_LIVES_ON, add_one, &v, NULL), MIEN_OK);
    assert_int_equal(v, ADDERS * ADDITIONS + 1);
    const long long ttl = command("TTL mien:track:x");
    assert_true(ttl > 90 && ttl <= 100);
    assert_int_equal(mien_redis_update(o.redis, "mien:track:x", 100, MIEN_REDIS_LIVES_ON, make_none, NULL, NULL), MIEN_OK);
    assert_int_equal(command("EXISTS mien:track:x"), 0);
    uint64_t salt[2];
    assert_int_equal(mien_redis_salt(o.redis, &salt[0], NULL), MIEN_OK);
    assert_int_equal(mien_redis_salt(o.redis, &salt[1], NULL), MIEN_OK);
    assert_true(salt[0] == salt[1]);
    close_store(&o);
}

/* ---- silence ---- */

/* A Redis that is stopped does not answer; nobody waits long, and most not at all. */
static void a_silent_redis_does_not_hold_everybody(void **state)
{
    (void)state;
    need_redis();
    struct open_store o = open_store();
    struct told t = {.lock = PTHREAD_MUTEX_INITIALIZER};
    bool taken;
    int wait_s;
    assert_int_equal(o.store->follow(o.store, on_change, &t, NULL), MIEN_OK);
    kill(server.pid, SIGSTOP);
    const uint64_t start_ns = mien_now_ns();
    for (int i = 0; i < 5; i++) assert_int_equal(mien_redis_take_token(o.redis, "mien:rate:x", 1, 1, &taken, &wait_s, NULL), MIEN_E_STORE);
    assert_true(mien_elapsed_ms(start_ns) < 8000.0); /* not five times the timeout of 2 s */
    assert_false(o.store->alive(o.store));
    kill(server.pid, SIGCONT);
    for (int i = 0; i < 1000 && store_put_simple(o.store, "back", 1, 50, 1, false, NULL) != MIEN_OK; i++) sleep_ms(10);
    assert_true(wait_for(&t, "back", 0));
    close_store(&o);
}

#define LISTED(name) cmocka_unit_test(name),

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_urls_are_refused),
        cmocka_unit_test(strange_servers_are_refused),
        cmocka_unit_test(passwords_and_databases),
        cmocka_unit_test(few_rights_are_enough),
        STORE_CASES(LISTED)
        cmocka_unit_test(a_repeated_write_is_one),
        cmocka_unit_test(stores_see_each_others_changes),
        cmocka_unit_test(an_emptied_redis_is_told_as_everything),
        cmocka_unit_test(killing_redis_loses_nothing_acknowledged),
        cmocka_unit_test(idle_connections_that_died_are_replaced),
        cmocka_unit_test(a_write_whose_connection_breaks_is_done_once_more),
        cmocka_unit_test(refusals_of_redis),
        cmocka_unit_test(tokens_are_shared_and_come_back),
        cmocka_unit_test(nobody_changes_a_value_in_between),
        cmocka_unit_test(a_silent_redis_does_not_hold_everybody),
    };
    return cmocka_run_group_tests_name("store/redis", tests, start, end);
}
