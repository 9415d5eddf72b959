// Tracks and rate limits of two servers on one Redis: one count for both, and what happens without it. Starts redis-server itself.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "service/limits.h"
#include "service/tracks.h"
#include "store/redis.h"
#include "support/redis_server.h"

static struct redis_server server;
static struct mien_redis *redis[2];
static struct mien_tracks *tracks[2];

static int start(void **state)
{
    (void)state;
    if (system("command -v redis-server >/dev/null 2>&1") != 0 || !redis_server_make(&server)) return 0;
    for (int i = 0; i < 2; i++) {
        if (mien_redis_open(server.url, &redis[i], NULL) != MIEN_OK) return -1;
        tracks[i] = mien_tracks_create_shared(redis[i]);
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (int i = 0; i < 2 && tracks[0] != NULL; i++) {
        mien_tracks_free(&tracks[i]);
        mien_redis_close(&redis[i]);
    }
    redis_server_free(&server);
    return 0;
}

static void need_redis(void)
{
    if (tracks[0] != NULL) return;
    printf("# redis-server is not installed or does not start\n");
    skip();
}

static int count_after(int server_number, uint64_t client, const char *session, bool reset, float ear)
{
    const struct mien_track_frame f = {client, session, reset, 0};
    struct mien_blink b = {.count = -1};
    bool blinked;
    return mien_tracks_blink(tracks[server_number], &f, ear, &b, &blinked, NULL) == MIEN_OK ? b.count : -1;
}

/* Closed at one server, open at the other. */
static int blink(uint64_t client, const char *session)
{
    count_after(0, client, session, false, 0.1f);
    count_after(1, client, session, false, 0.1f);
    return count_after(0, client, session, false, 0.3f);
}

static void a_blink_over_two_servers(void **state)
{
    (void)state;
    need_redis();
    assert_int_equal(count_after(0, 1, "a", false, 0.3f), 0);
    assert_int_equal(blink(1, "a"), 1);
    assert_int_equal(blink(1, "a"), 2);
    assert_int_equal(blink(1, "b"), 1);
    assert_int_equal(blink(1, NULL), 1);
    assert_int_equal(blink(1, ""), 1);
    assert_int_equal(blink(2, "a"), 1);
    assert_int_equal(count_after(1, 1, "a", false, 0.3f), 2);
    count_after(0, 1, "a", false, 0.1f);
    count_after(1, 1, "a", false, NAN); /* the face was away: no blink */
    assert_int_equal(count_after(0, 1, "a", false, 0.3f), 2);
    assert_int_equal(count_after(1, 1, "a", true, 0.3f), 0);
    assert_int_equal(count_after(0, 1, "b", false, 0.3f), 1);
}

static void a_turn_over_two_servers(void **state)
{
    (void)state;
    need_redis();
    const struct mien_track_frame f = {7, "turn", false, 0}, fresh = {7, "turn", true, 0};
    struct mien_turns t;
    assert_int_equal(mien_tracks_turn(tracks[0], &fresh, MIEN_LEFT, &t, NULL), MIEN_OK);
    assert_false(t.left_done);
    assert_int_equal(mien_tracks_turn(tracks[1], &f, MIEN_LEFT, &t, NULL), MIEN_OK);
    assert_true(t.left_done);
    assert_false(t.right_done);
    assert_int_equal(blink(7, "turn"), 1); /* does not disturb the turns */
    assert_int_equal(mien_tracks_turn(tracks[0], &f, MIEN_RIGHT, &t, NULL), MIEN_OK);
    assert_int_equal(mien_tracks_turn(tracks[1], &f, MIEN_RIGHT, &t, NULL), MIEN_OK);
    assert_true(t.left_done && t.right_done);
}

static void a_value_of_another_form_is_none(void **state)
{
    (void)state;
    need_redis();
    char answer[64];
    blink(9, NULL);
    assert_true(say_to(server.port, "SET mien:track:0000000000000009 \"something else that is not ours\"\r\n", answer, sizeof answer));
    assert_int_equal(count_after(0, 9, NULL, false, 0.3f), 0);
    assert_int_equal(blink(9, NULL), 1);
}

enum { BLINKS = 40 };

static void *blinks_often(void *number)
{
    for (int i = 0; i < BLINKS; i++) {
        char session[24];
        snprintf(session, sizeof session, "s%d", (int)(intptr_t)number);
        if (blink(50, session) != i + 1) return number;
        count_after(0, 50, "all", false, 0.1f);
        count_after(1, 50, "all", false, 0.3f);
    }
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    need_redis();
    pthread_t thread[3];
    void *wrong;
    for (intptr_t i = 0; i < 3; i++) assert_int_equal(pthread_create(&thread[i], NULL, blinks_often, (void *)(i + 1)), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(thread[i], &wrong);
        assert_null(wrong);
    }
}

static void one_limit_for_two_servers(void **state)
{
    (void)state;
    need_redis();
    struct mien_limits *l;
    int wait_s = 0, given = 0;
    assert_int_equal(mien_limits_create(0.001, 6, &l, NULL), MIEN_OK);
    for (int i = 0; i < 10; i++) given += mien_limits_take_shared(l, redis[i % 2], 5, &wait_s);
    assert_int_equal(given, 6);
    assert_true(wait_s > 900);
    assert_true(mien_limits_take_shared(l, redis[0], 6, &wait_s));
    mien_limits_free(&l);
}

/* The last: it ends Redis. */
static void without_redis(void **state)
{
    (void)state;
    need_redis();
    struct mien_limits *l;
    int wait_s = 0;
    struct mien_blink b;
    bool blinked;
    struct mien_err e = {0};
    const struct mien_track_frame f = {1, "a", false, 0};
    assert_int_equal(mien_limits_create(0.001, 1, &l, NULL), MIEN_OK);
    redis_server_kill(&server);
    for (int i = 0; i < 3; i++) assert_true(mien_limits_take_shared(l, redis[0], 5, &wait_s)); /* the process' own bucket limits */
    assert_int_equal(mien_tracks_blink(tracks[0], &f, 0.3f, &b, &blinked, &e), MIEN_E_STORE);
    assert_int_equal(e.code, MIEN_E_STORE);
    mien_limits_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_blink_over_two_servers), cmocka_unit_test(a_turn_over_two_servers),
                                       cmocka_unit_test(a_value_of_another_form_is_none), cmocka_unit_test(threads_do_not_disturb_each_other),
                                       cmocka_unit_test(one_limit_for_two_servers), cmocka_unit_test(without_redis)};
    return cmocka_run_group_tests_name("service/shared", tests, start, end);
}
