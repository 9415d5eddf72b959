/* mien_parallel_for: every item once, workers do not overlap with themselves, the first failure ends the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <string.h>

#include "base/thread.h"

enum { N = 20000, WORKERS = 4 };

struct shared {
    _Atomic int seen[N];
    _Atomic int busy[WORKERS];
    _Atomic int overlaps;
    _Atomic size_t calls;
};

static enum mien_code mark(void *context, int worker, size_t item, struct mien_err *e)
{
    struct shared *s = context;
    (void)e;
    if (atomic_fetch_add(&s->busy[worker], 1) != 0) atomic_fetch_add(&s->overlaps, 1);
    atomic_fetch_add(&s->seen[item], 1);
    atomic_fetch_add(&s->calls, 1);
    atomic_fetch_sub(&s->busy[worker], 1);
    return MIEN_OK;
}

static void every_item_runs_once(void **state)
{
    (void)state;
    static struct shared s;
    for (int workers = 0; workers <= WORKERS; workers++) {
        memset(&s, 0, sizeof s);
        assert_int_equal(mien_parallel_for(workers, N, mark, &s, NULL), MIEN_OK);
        assert_int_equal(atomic_load(&s.calls), N);
        assert_int_equal(atomic_load(&s.overlaps), 0);
        for (int i = 0; i < N; i++) assert_int_equal(atomic_load(&s.seen[i]), 1);
    }
}

static void no_items_is_no_work(void **state)
{
    (void)state;
    static struct shared s;
    assert_int_equal(mien_parallel_for(WORKERS, 0, mark, &s, NULL), MIEN_OK);
    assert_int_equal(atomic_load(&s.calls), 0);
}

static enum mien_code fail_at_100(void *context, int worker, size_t item, struct mien_err *e)
{
    struct shared *s = context;
    (void)worker;
    atomic_fetch_add(&s->calls, 1);
    if (item == 100) return MIEN_FAIL(e, MIEN_E_LIMIT, "item %zu", item);
    return MIEN_OK;
}

static void a_failure_ends_the_loop(void **state)
{
    (void)state;
    static struct shared s;
    struct mien_err e = {0};
    assert_int_equal(mien_parallel_for(1, N, fail_at_100, &s, &e), MIEN_E_LIMIT);
    assert_string_equal(e.msg, "item 100");
    assert_int_equal(atomic_load(&s.calls), 101);
    assert_int_equal(mien_parallel_for(WORKERS, N, fail_at_100, &s, &e), MIEN_E_LIMIT);
    assert_string_equal(e.msg, "item 100");
    assert_true(mien_cpu_count() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_item_runs_once), cmocka_unit_test(no_items_is_no_work),
                                       cmocka_unit_test(a_failure_ends_the_loop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
