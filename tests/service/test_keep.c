// Keep: what is remembered until when, in the table and in Redis, for one server and two. Starts redis-server itself.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "service/keep.h"
#include "store/redis.h"
#include "support/redis_server.h"

static const uint64_t S = UINT64_C(1000000000);

/* What a change is to do, and what it saw. */
struct swap { const char *becomes; char was[MIEN_KEEP_VALUE + 1]; int calls; };

static size_t swap(void *context, const uint8_t *old, size_t n, uint8_t room[MIEN_KEEP_VALUE])
{
    struct swap *s = context;
    s->calls++;
    if (n > 0) memcpy(s->was, old, n);
    s->was[n] = 0;
    const char *becomes = s->becomes != NULL ? s->becomes : s->was; /* NULL: stays as it is */
    memcpy(room, becomes, strlen(becomes));
    return strlen(becomes);
}

/* Puts `becomes` (NULL: leaves it) and gives what was there. */
static const char *put(struct mien_keep *k, const char *key, int ttl_s, uint64_t now_ns, const char *becomes)
{
    static struct swap s;
    struct mien_err e = {0};
    s = (struct swap){.becomes = becomes};
    if (mien_keep_update(k, key, ttl_s, now_ns, swap, &s, &e) != MIEN_OK) fail_msg("%s: %s", key, e.msg);
    return s.was;
}

static const char *value(struct mien_keep *k, const char *key, uint64_t now_ns) { return put(k, key, 1000, now_ns, NULL); }

static bool once(struct mien_keep *k, const char *key, int ttl_s, uint64_t now_ns)
{
    bool first = false;
    assert_int_equal(mien_keep_once(k, key, ttl_s, now_ns, &first, NULL), MIEN_OK);
    return first;
}

static enum mien_code tried(struct mien_keep *k, const char *key, uint64_t now_ns)
{
    struct swap s = {.becomes = "x"};
    return mien_keep_update(k, key, 100, now_ns, swap, &s, NULL);
}

static struct mien_keep *table(int max)
{
    struct mien_keep *k;
    assert_int_equal(mien_keep_create(max, NULL, &k, NULL), MIEN_OK);
    return k;
}

/* ---- the table ---- */

static void values_live_until_their_end(void **state)
{
    (void)state;
    struct mien_keep *k = table(4);
    assert_string_equal(put(k, "a", 10, 5 * S, "one"), "");
    assert_string_equal(put(k, "a", 10, 14 * S, "two"), "one"); /* does not prolong it */
    assert_string_equal(value(k, "a", 15 * S - 1), "two");
    assert_string_equal(value(k, "a", 15 * S), "");
    assert_string_equal(put(k, "a", 10, 15 * S, "three"), "");
    assert_string_equal(put(k, "a", 10, 16 * S, ""), "three"); /* is none any more */
    assert_string_equal(value(k, "a", 16 * S), "");
    assert_string_equal(value(k, "b", 16 * S), ""); /* looking makes nothing */
    mien_keep_free(&k);
    assert_null(k);
    mien_keep_free(&k);
}

static void a_full_table_refuses(void **state)
{
    (void)state;
    struct mien_keep *k = table(3);
    assert_int_equal(tried(k, "a", 0), MIEN_OK);
    assert_int_equal(tried(k, "b", 1 * S), MIEN_OK);
    assert_int_equal(tried(k, "c", 2 * S), MIEN_OK);
    assert_int_equal(tried(k, "d", 99 * S), MIEN_E_LIMIT);
    assert_string_equal(value(k, "a", 99 * S), "x");
    assert_string_equal(put(k, "b", 1, 99 * S, "changed"), "x"); /* those that are there may change */
    assert_int_equal(tried(k, "d", 100 * S), MIEN_OK);           /* a has expired */
    assert_int_equal(tried(k, "e", 100 * S), MIEN_E_LIMIT);
    put(k, "b", 1, 100 * S, "");
    assert_int_equal(tried(k, "e", 100 * S), MIEN_OK);
    mien_keep_free(&k);
}

static void arguments(void **state)
{
    (void)state;
    struct mien_keep *k;
    char key[MIEN_KEEP_KEY + 2];
    struct swap s = {.becomes = "x"};
    assert_int_equal(mien_keep_create(0, NULL, &k, NULL), MIEN_E_ARG);
    assert_null(k);
    k = table(2);
    memset(key, 'k', sizeof key);
    key[MIEN_KEEP_KEY + 1] = 0;
    assert_int_equal(tried(k, key, 0), MIEN_E_ARG);
    key[MIEN_KEEP_KEY] = 0;
    assert_int_equal(tried(k, key, 0), MIEN_OK);
    assert_string_equal(value(k, key, 0), "x");
    assert_int_equal(tried(k, "", 0), MIEN_E_ARG);
    assert_int_equal(mien_keep_update(k, "a", 0, 0, swap, &s, NULL), MIEN_E_ARG);
    char large[MIEN_KEEP_VALUE + 1];
    memset(large, 'v', sizeof large);
    large[MIEN_KEEP_VALUE] = 0;
    put(k, "a", 10, 0, large);
    assert_string_equal(value(k, "a", 0), large);
    mien_keep_free(&k);
}

static void a_key_is_used_once(void **state)
{
    (void)state;
    struct mien_keep *k = table(2);
    assert_true(once(k, "n", 300, 0));
    assert_false(once(k, "n", 300, 0));
    assert_false(once(k, "n", 300, 300 * S - 1));
    assert_true(once(k, "m", 300, 0));
    bool first = true;
    assert_int_equal(mien_keep_once(k, "o", 300, 0, &first, NULL), MIEN_E_LIMIT);
    assert_false(first); /* what could not be remembered is not accepted */
    assert_true(once(k, "n", 300, 300 * S));
    mien_keep_free(&k);
}

/* Against a plain list that does the same slowly. */
static void many_values_behave_like_a_list(void **state)
{
    (void)state;
    enum { MAX = 60, IDS = 100, STEPS = 30000 };
    static struct { char value[8]; uint64_t end; } list[IDS];
    uint32_t r = 1;
    struct mien_keep *k = table(MAX);
    for (int step = 0; step < STEPS; step++) {
        char key[8], text[8];
        const uint64_t now = (uint64_t)step;
        int living = 0;
        for (int i = 0; i < IDS; i++) {
            if (list[i].end <= now) list[i].value[0] = 0;
            living += list[i].value[0] != 0;
        }
        r = r * 1664525u + 1013904223u;
        const int id = (int)(r >> 16) % IDS, ttl_s = 1 + (int)(r >> 8 & 127);
        snprintf(key, sizeof key, "%d", id);
        snprintf(text, sizeof text, "%s", (r >> 4 & 7) == 0 ? "" : key);
        struct swap s = {.becomes = text};
        const bool there = list[id].value[0] != 0, fits = there || text[0] == 0 || living < MAX;
        assert_int_equal(mien_keep_update(k, key, ttl_s, now * S, swap, &s, NULL), fits ? MIEN_OK : MIEN_E_LIMIT);
        assert_string_equal(s.was, list[id].value);
        if (!fits) continue;
        if (!there) list[id].end = now + (uint64_t)ttl_s;
        memcpy(list[id].value, text, sizeof text);
    }
    mien_keep_free(&k);
}

/* ---- several at once: in the table, and at two servers of one Redis ---- */

static struct redis_server server;
static struct mien_redis *redis[2];
static struct mien_keep *shared[2];

struct crowd { struct mien_keep *keep[2]; int keys; atomic_int accepted; };
enum { THREADS = 4 };

static size_t count_up(void *context, const uint8_t *old, size_t n, uint8_t room[MIEN_KEEP_VALUE])
{
    uint32_t v = 0;
    (void)context;
    if (n == sizeof v) memcpy(&v, old, n);
    v++;
    memcpy(room, &v, sizeof v);
    return sizeof v;
}

static void *tries_every_key(void *p)
{
    struct crowd *c = p;
    for (int i = 0; i < c->keys; i++) {
        char key[32];
        bool first;
        snprintf(key, sizeof key, "nonce:%d", i);
        for (int j = 0; j < 2; j++)
            if (mien_keep_once(c->keep[j], key, 300, 1, &first, NULL) == MIEN_OK && first) atomic_fetch_add(&c->accepted, 1);
        if (mien_keep_update(c->keep[i % 2], "count", 300, 1, count_up, NULL, NULL) != MIEN_OK) return p;
    }
    return NULL;
}

static void many_at_once(struct mien_keep *a, struct mien_keep *b, int keys)
{
    struct crowd c = {.keep = {a, b}, .keys = keys};
    pthread_t thread[THREADS];
    void *wrong;
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&thread[i], NULL, tries_every_key, &c), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], &wrong);
        assert_null(wrong);
    }
    assert_int_equal(atomic_load(&c.accepted), keys);
    uint32_t total;
    memcpy(&total, value(a, "count", 1), sizeof total);
    assert_int_equal(total, THREADS * keys);
}

static void threads_use_a_key_once(void **state)
{
    (void)state;
    struct mien_keep *k = table(2000);
    many_at_once(k, k, 1000);
    mien_keep_free(&k);
}

/* ---- Redis ---- */

static int start(void **state)
{
    (void)state;
    if (system("command -v redis-server >/dev/null 2>&1") != 0 || !redis_server_make(&server)) return 0;
    for (int i = 0; i < 2; i++)
        if (mien_redis_open(server.url, &redis[i], NULL) != MIEN_OK || mien_keep_create(10, redis[i], &shared[i], NULL) != MIEN_OK) return -1;
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < 2 && shared[0] != NULL; i++) {
        mien_keep_free(&shared[i]);
        mien_redis_close(&redis[i]);
    }
    redis_server_free(&server);
    return 0;
}

static void need_redis(void)
{
    if (shared[0] != NULL) return;
    printf("# redis-server is not installed or does not start\n");
    skip();
}

static long ttl_ms(const char *key)
{
    char say[128], answer[64] = "";
    snprintf(say, sizeof say, "PTTL mien:keep:%s\r\n", key);
    assert_true(say_to(server.port, say, answer, sizeof answer));
    return strtol(answer + 1, NULL, 10);
}

static void one_value_for_two_servers(void **state)
{
    (void)state;
    need_redis();
    assert_string_equal(put(shared[0], "a", 100, 0, "one"), "");
    assert_string_equal(put(shared[1], "a", 100, 0, "two"), "one");
    assert_string_equal(value(shared[0], "a", 0), "two");
    assert_string_equal(put(shared[0], "a", 100, 0, ""), "two");
    assert_string_equal(value(shared[1], "a", 0), "");
    assert_true(once(shared[0], "n", 300, 0));
    assert_false(once(shared[1], "n", 300, 0));
    many_at_once(shared[0], shared[1], 60);
}

static void an_old_value_keeps_its_end_in_redis(void **state)
{
    (void)state;
    need_redis();
    put(shared[0], "e", 100, 0, "one");
    assert_in_range(ttl_ms("e"), 1, 100000);
    put(shared[1], "e", 900, 0, "two");
    value(shared[1], "e", 0);
    assert_in_range(ttl_ms("e"), 1, 100000);
    assert_int_equal(ttl_ms("none"), -2);
    value(shared[0], "none", 0);
    assert_int_equal(ttl_ms("none"), -2); /* looking makes nothing */
    put(shared[0], "short", 1, 0, "x");
    const uint64_t from = mien_now_ns();
    while (value(shared[1], "short", 0)[0] != 0) assert_true(mien_now_ns() - from < 30 * S);
    assert_true(once(shared[1], "short", 1, 0));
}

/* The last: it ends Redis. */
static void without_redis(void **state)
{
    (void)state;
    need_redis();
    struct mien_err e = {0};
    bool first = true;
    redis_server_kill(&server);
    assert_int_equal(mien_keep_once(shared[0], "fresh", 300, 0, &first, &e), MIEN_E_STORE);
    assert_int_equal(e.code, MIEN_E_STORE);
    assert_false(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_live_until_their_end), cmocka_unit_test(a_full_table_refuses), cmocka_unit_test(arguments),
                                       cmocka_unit_test(a_key_is_used_once), cmocka_unit_test(many_values_behave_like_a_list),
                                       cmocka_unit_test(threads_use_a_key_once), cmocka_unit_test(one_value_for_two_servers),
                                       cmocka_unit_test(an_old_value_keeps_its_end_in_redis), cmocka_unit_test(without_redis)};
    return cmocka_run_group_tests_name("service/keep", tests, start, end);
}
