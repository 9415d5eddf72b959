// Tracks: what belongs to whom, what is forgotten when, and many threads at once.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <cmocka.h>
#include "service/tracks.h"

static const uint64_t S = UINT64_C(1000000000);

static int count_after(struct mien_tracks *t, uint64_t client, const char *session, bool reset, uint64_t now_ns, float ear)
{
    const struct mien_track_frame f = {client, session, reset, now_ns};
    struct mien_blink b = {.count = -1};
    bool blinked;
    return mien_tracks_blink(t, &f, ear, &b, &blinked, NULL) == MIEN_OK ? b.count : -1;
}

static struct mien_turns turns_after(struct mien_tracks *t, const struct mien_track_frame *f, enum mien_direction d)
{
    struct mien_turns turns = {.left_frames = -1};
    return mien_tracks_turn(t, f, d, &turns, NULL) == MIEN_OK ? turns : (struct mien_turns){.left_frames = -1};
}

static int blink(struct mien_tracks *t, uint64_t client, const char *session, uint64_t now_ns)
{
    count_after(t, client, session, false, now_ns, 0.1f);
    return count_after(t, client, session, false, now_ns + S / 5, 0.3f);
}

static void clients_and_sessions_are_apart(void **state)
{
    (void)state;
    struct mien_tracks *t = mien_tracks_create(100);
    assert_non_null(t);
    assert_int_equal(blink(t, 1, "a", S), 1);
    assert_int_equal(blink(t, 1, "a", 2 * S), 2);
    assert_int_equal(blink(t, 1, "b", 3 * S), 1);
    assert_int_equal(blink(t, 1, NULL, 4 * S), 1);
    assert_int_equal(blink(t, 1, "", 4 * S), 1); /* an empty id is not "none" */
    assert_int_equal(blink(t, 2, "a", 5 * S), 1);
    assert_int_equal(blink(t, 2, NULL, 6 * S), 1);
    assert_int_equal(count_after(t, 1, "a", false, 7 * S, 0.3f), 2);
    /* Closed in one session and open in another is no blink. */
    count_after(t, 1, "a", false, 8 * S, 0.1f);
    assert_int_equal(count_after(t, 1, "b", false, 8 * S + S / 5, 0.3f), 1);
    /* So many that their places in the table collide. */
    for (uint64_t client = 100; client < 190; client++) assert_int_equal(blink(t, client, "a", 9 * S), 1);
    mien_tracks_free(&t);
    assert_null(t);
    mien_tracks_free(&t);
}

static void reset_and_long_idleness_begin_anew(void **state)
{
    (void)state;
    struct mien_tracks *t = mien_tracks_create(4);
    assert_int_equal(blink(t, 1, "a", S), 1);
    assert_int_equal(count_after(t, 1, "a", false, (1 + MIEN_TRACK_IDLE_S) * S, 0.3f), 1);
    assert_int_equal(count_after(t, 1, "a", true, (2 + MIEN_TRACK_IDLE_S) * S, 0.3f), 0);
    assert_int_equal(blink(t, 1, "a", 700 * S), 1);
    assert_int_equal(count_after(t, 1, "a", false, (701 + MIEN_TRACK_IDLE_S) * S, 0.3f), 0);
    /* The reset frame itself counts. */
    const struct mien_track_frame f = {1, "turn", true, 2000 * S}, g = {1, "turn", false, 2001 * S};
    turns_after(t, &f, MIEN_LEFT);
    assert_true(turns_after(t, &g, MIEN_LEFT).left_done);
    assert_false(turns_after(t, &f, MIEN_LEFT).left_done);
    mien_tracks_free(&t);
}

static void no_face_ends_a_blink_and_a_turn(void **state)
{
    (void)state;
    struct mien_tracks *t = mien_tracks_create(4);
    count_after(t, 1, NULL, false, S, 0.1f);
    count_after(t, 1, NULL, false, S + S / 5, NAN);
    assert_int_equal(count_after(t, 1, NULL, false, S + 2 * S / 5, 0.3f), 0);
    const struct mien_track_frame f = {1, NULL, false, 2 * S};
    turns_after(t, &f, MIEN_LEFT);
    turns_after(t, &f, MIEN_FORWARD);
    assert_false(turns_after(t, &f, MIEN_LEFT).left_done);
    assert_true(turns_after(t, &f, MIEN_LEFT).left_done);
    mien_tracks_free(&t);
}

static void the_longest_unused_makes_room(void **state)
{
    (void)state;
    enum { MAX = 3 };
    struct mien_tracks *t = mien_tracks_create(MAX);
    assert_int_equal(blink(t, 1, "a", S), 1);
    assert_int_equal(blink(t, 1, "b", 2 * S), 1);
    assert_int_equal(blink(t, 1, "c", 3 * S), 1);
    assert_int_equal(count_after(t, 1, "a", false, 4 * S, 0.3f), 1); /* now b is the oldest */
    assert_int_equal(blink(t, 1, "d", 5 * S), 1);
    assert_int_equal(count_after(t, 1, "a", false, 6 * S, 0.3f), 1);
    assert_int_equal(count_after(t, 1, "c", false, 6 * S, 0.3f), 1);
    assert_int_equal(count_after(t, 1, "d", false, 6 * S, 0.3f), 1);
    assert_int_equal(count_after(t, 1, "b", false, 7 * S, 0.3f), 0);
    assert_int_equal(count_after(t, 1, "a", false, 8 * S, 0.3f), 0); /* b took its place */
    mien_tracks_free(&t);
}

/* Against a plain list that does the same slowly. */
static void many_tracks_behave_like_a_list(void **state)
{
    (void)state;
    enum { MAX = 50, IDS = 80, STEPS = 20000 };
    struct { int id, count; } list[MAX + 1];
    int n = 0;
    uint32_t r = 1;
    struct mien_tracks *t = mien_tracks_create(MAX);
    for (int step = 0; step < STEPS; step++) {
        char name[8];
        r = r * 1664525u + 1013904223u;
        const int id = (int)(r >> 16) % IDS;
        int at = 0, count = 0;
        while (at < n && list[at].id != id) at++;
        if (at < n) count = list[at].count;
        else if (n < MAX) n++;
        else at = MAX - 1;
        for (; at > 0; at--) list[at] = list[at - 1];
        list[0].id = id;
        list[0].count = count + 1;
        snprintf(name, sizeof name, "%d", id / 4);
        assert_int_equal(blink(t, (uint64_t)(id % 4), name, (uint64_t)(step + 1) * S / 2), count + 1);
    }
    mien_tracks_free(&t);
}

struct worker { struct mien_tracks *t; uint64_t client; int blinks; };

static void *blinks_much(void *p)
{
    struct worker *w = p;
    for (int i = 0; i < 5000; i++) {
        const struct mien_track_frame crowd = {99, i % 2 != 0 ? "x" : "y", i % 50 == 0, (uint64_t)(i + 1) * S};
        w->blinks = blink(w->t, w->client, "mine", (uint64_t)(i + 1) * S);
        count_after(w->t, 99, crowd.session, crowd.reset, crowd.now_ns, i % 3 != 0 ? 0.1f : 0.3f);
        turns_after(w->t, &crowd, MIEN_RIGHT);
    }
    return NULL;
}

static void threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    struct mien_tracks *t = mien_tracks_create(THREADS + 2);
    struct worker w[THREADS];
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) {
        w[i] = (struct worker){t, (uint64_t)i, 0};
        assert_int_equal(pthread_create(&thread[i], NULL, blinks_much, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < THREADS; i++) assert_int_equal(w[i].blinks, 5000);
    mien_tracks_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(clients_and_sessions_are_apart), cmocka_unit_test(reset_and_long_idleness_begin_anew),
                                       cmocka_unit_test(no_face_ends_a_blink_and_a_turn), cmocka_unit_test(the_longest_unused_makes_room),
                                       cmocka_unit_test(many_tracks_behave_like_a_list), cmocka_unit_test(threads_do_not_disturb_each_other)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
