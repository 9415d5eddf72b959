// The worker pool: order, clients that leave, full queues, ends.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"

enum { PATIENCE_MS = 60000, MOST = 2048 };

/* A job that writes its number down, or holds its worker until the gate opens. */
struct note {
    struct mien_job job;
    int number;
    bool gate;
    _Atomic int how; /* enum mien_waiting */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool open_gate;
static int held, ran[MOST], n_ran, dropped[MOST], n_dropped;

static void run(struct mien_job *j, int worker)
{
    struct note *x = (struct note *)j;
    assert_true(worker >= 0);
    pthread_mutex_lock(&lock);
    if (x->gate) {
        held++;
        pthread_cond_broadcast(&changed);
        while (!open_gate) pthread_cond_wait(&changed, &lock);
    } else {
        ran[n_ran++] = x->number;
    }
    pthread_mutex_unlock(&lock);
}

static void drop(struct mien_job *j)
{
    pthread_mutex_lock(&lock);
    dropped[n_dropped++] = ((struct note *)j)->number;
    pthread_mutex_unlock(&lock);
}

static enum mien_waiting look(struct mien_job *j) { return (enum mien_waiting)atomic_load(&((struct note *)j)->how); }

static struct note note(int number, enum mien_waiting how)
{
    return (struct note){.job = {.run = run, .drop = drop, .look = look}, .number = number, .how = how};
}

static struct mien_pool *pool_of(int workers, int limit)
{
    const struct mien_pool_settings s = {"test", workers, limit};
    struct mien_pool *p;
    struct mien_err e = {0};
    open_gate = false;
    held = n_ran = n_dropped = 0;
    assert_int_equal(mien_pool_create(&s, &p, &e), MIEN_OK);
    return p;
}

/* Occupies the only worker. */
static void hold(struct mien_pool *p, struct note *gate)
{
    *gate = note(-1, MIEN_WAITING);
    gate->gate = true;
    assert_true(mien_pool_submit(p, &gate->job));
    pthread_mutex_lock(&lock);
    while (held == 0) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void let_go(void)
{
    pthread_mutex_lock(&lock);
    open_gate = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void expect(const int *got, int n, const char *text)
{
    char seen[128] = "";
    for (int i = 0; i < n; i++) seen[i] = (char)('0' + got[i]);
    assert_string_equal(seen, text);
}

static void those_who_wait_come_first(void **state)
{
    (void)state;
    struct mien_pool *p = pool_of(1, 8);
    struct note gate,
        x[6] = {note(0, MIEN_WAITING), note(1, MIEN_LEAVING), note(2, MIEN_WAITING), note(3, MIEN_GONE), note(4, MIEN_LEAVING), note(5, MIEN_WAITING)};
    hold(p, &gate);
    for (int i = 0; i < 6; i++) assert_true(mien_pool_submit(p, &x[i].job));
    assert_int_equal(mien_pool_waiting(p), 6);
    assert_int_equal(mien_pool_running(p), 1);
    let_go();
    assert_true(mien_pool_idle(p, PATIENCE_MS));
    expect(ran, n_ran, "02514");
    expect(dropped, n_dropped, "3");
    mien_pool_free(&p);
    assert_null(p);
}

static void a_full_queue_refuses_but_first_makes_room(void **state)
{
    (void)state;
    struct mien_pool *p = pool_of(1, 3);
    struct note gate,
        x[6] = {note(0, MIEN_WAITING), note(1, MIEN_WAITING), note(2, MIEN_WAITING), note(3, MIEN_WAITING), note(4, MIEN_WAITING), note(5, MIEN_WAITING)};
    hold(p, &gate);
    for (int i = 0; i < 3; i++) assert_true(mien_pool_submit(p, &x[i].job));
    assert_false(mien_pool_submit(p, &x[3].job));
    assert_int_equal(n_dropped, 0);
    atomic_store(&x[1].how, MIEN_LEAVING);
    assert_true(mien_pool_submit(p, &x[3].job)); /* 1 makes room */
    expect(dropped, n_dropped, "1");
    atomic_store(&x[0].how, MIEN_LEAVING);
    atomic_store(&x[2].how, MIEN_GONE);
    assert_true(mien_pool_submit(p, &x[4].job)); /* 2 is gone: 0 stays */
    expect(dropped, n_dropped, "12");
    let_go();
    assert_true(mien_pool_idle(p, PATIENCE_MS));
    expect(ran, n_ran, "340");
    mien_pool_free(&p);
}

static void without_a_queue_only_idle_workers_take(void **state)
{
    (void)state;
    struct mien_pool *p = pool_of(1, 0);
    struct note gate, x = note(1, MIEN_WAITING);
    hold(p, &gate);
    assert_false(mien_pool_submit(p, &x.job));
    let_go();
    assert_true(mien_pool_idle(p, PATIENCE_MS));
    assert_true(mien_pool_submit(p, &x.job));
    assert_true(mien_pool_idle(p, PATIENCE_MS));
    expect(ran, n_ran, "1");
    mien_pool_free(&p);
}

static void closed_pools_finish(void **state)
{
    (void)state;
    struct mien_pool *p = pool_of(1, 8);
    struct note gate, x[2] = {note(0, MIEN_WAITING), note(1, MIEN_WAITING)};
    hold(p, &gate);
    assert_true(mien_pool_submit(p, &x[0].job));
    mien_pool_close(p);
    assert_false(mien_pool_submit(p, &x[1].job));
    assert_false(mien_pool_idle(p, 20)); /* the gate is shut */
    let_go();
    assert_true(mien_pool_idle(p, PATIENCE_MS));
    expect(ran, n_ran, "0");
    mien_pool_free(&p);
}

static void *let_go_thread(void *unused)
{
    (void)unused;
    let_go();
    return NULL;
}

static void freeing_drops_what_waits(void **state)
{
    (void)state;
    struct mien_pool *p = pool_of(1, 8);
    struct note gate, x[2] = {note(0, MIEN_WAITING), note(1, MIEN_WAITING)};
    hold(p, &gate);
    for (int i = 0; i < 2; i++) assert_true(mien_pool_submit(p, &x[i].job));
    pthread_t opener;
    assert_int_equal(pthread_create(&opener, NULL, let_go_thread, NULL), 0);
    mien_pool_free(&p);
    pthread_join(opener, NULL);
    assert_int_equal(n_ran + n_dropped, 2); /* which of both depends on who was first; nothing is lost */
    mien_pool_free(&p); /* NULL */
}

struct crowd { struct mien_pool *pool; struct note note[200]; int refused; };

static void *push(void *arg)
{
    struct crowd *c = arg;
    for (int i = 0; i < 200; i++) {
        c->note[i] = note(i, MIEN_WAITING);
        if (!mien_pool_submit(c->pool, &c->note[i].job)) c->refused++;
    }
    return NULL;
}

static void many_threads_lose_nothing(void **state)
{
    (void)state;
    static struct crowd crowd[4];
    pthread_t thread[4];
    struct mien_pool *p = pool_of(3, 50);
    int refused = 0;
    for (int i = 0; i < 4; i++) {
        crowd[i] = (struct crowd){.pool = p};
        assert_int_equal(pthread_create(&thread[i], NULL, push, &crowd[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        refused += crowd[i].refused;
    }
    assert_true(mien_pool_idle(p, PATIENCE_MS));
    assert_int_equal(n_ran + refused, 800);
    assert_int_equal(n_dropped, 0);
    mien_pool_free(&p);
}

static void wrong_settings_are_refused(void **state)
{
    (void)state;
    struct mien_pool *p;
    assert_int_equal(mien_pool_create(&(struct mien_pool_settings){"t", 0, 1}, &p, NULL), MIEN_E_ARG);
    assert_int_equal(mien_pool_create(&(struct mien_pool_settings){"t", 257, 1}, &p, NULL), MIEN_E_ARG);
    assert_int_equal(mien_pool_create(&(struct mien_pool_settings){"t", 1, -1}, &p, NULL), MIEN_E_ARG);
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(those_who_wait_come_first),
                                       cmocka_unit_test(a_full_queue_refuses_but_first_makes_room),
                                       cmocka_unit_test(without_a_queue_only_idle_workers_take),
                                       cmocka_unit_test(closed_pools_finish),
                                       cmocka_unit_test(freeing_drops_what_waits),
                                       cmocka_unit_test(many_threads_lose_nothing),
                                       cmocka_unit_test(wrong_settings_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
