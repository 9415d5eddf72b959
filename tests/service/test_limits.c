/* Token buckets with a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "service/limits.h"

enum { SECOND = 1000000000 };

static struct mien_limits *make(double rate, int burst)
{
    struct mien_limits *l = NULL;
    assert_int_equal(mien_limits_create(rate, burst, &l, NULL), MIEN_OK);
    return l;
}

static void a_burst_then_the_rate(void **state)
{
    (void)state;
    int wait;
    struct mien_limits *l = make(2.0, 3);
    uint64_t now = 5ull * SECOND;
    for (int i = 0; i < 3; i++) assert_true(mien_limits_take(l, 1, now, &wait));
    assert_false(mien_limits_take(l, 1, now, &wait));
    assert_int_equal(wait, 1);
    assert_false(mien_limits_take(l, 1, now + SECOND / 2 - 1000, &wait));
    assert_true(mien_limits_take(l, 1, now + SECOND / 2, &wait));
    assert_false(mien_limits_take(l, 1, now + SECOND / 2, &wait));
    now += 100ull * SECOND; /* full again, and not fuller */
    for (int i = 0; i < 3; i++) assert_true(mien_limits_take(l, 1, now, &wait));
    assert_false(mien_limits_take(l, 1, now, &wait));
    mien_limits_free(&l);
}

static void the_wait_is_long_enough(void **state)
{
    (void)state;
    int wait;
    struct mien_limits *l = make(0.1, 1);
    assert_true(mien_limits_take(l, 7, 0, &wait));
    assert_false(mien_limits_take(l, 7, 0, &wait));
    assert_int_equal(wait, 10);
    assert_true(mien_limits_take(l, 7, 10ull * SECOND, &wait));
    mien_limits_free(&l);
}

static void clients_do_not_share(void **state)
{
    (void)state;
    int wait;
    struct mien_limits *l = make(1.0, 1);
    for (uint64_t c = 0; c < 1000; c++) assert_true(mien_limits_take(l, c, SECOND, &wait));
    for (uint64_t c = 0; c < 1000; c++) assert_false(mien_limits_take(l, c, SECOND, &wait));
    mien_limits_free(&l);
}

/* A crowd larger than the table cannot push out the one who is being limited: those that are nearly full go first. */
static void a_crowd_frees_nobody(void **state)
{
    (void)state;
    int wait;
    struct mien_limits *l = make(0.001, 4);
    for (int i = 0; i < 4; i++) assert_true(mien_limits_take(l, 0, SECOND, &wait));
    assert_false(mien_limits_take(l, 0, SECOND, &wait));
    for (uint64_t c = 1; c <= 4ull * MIEN_LIMITS_WAYS; c++) assert_true(mien_limits_take(l, c * MIEN_LIMITS_SETS, SECOND, &wait));
    assert_false(mien_limits_take(l, 0, SECOND, &wait));
    mien_limits_free(&l);
}

static void time_may_stand_still_or_seem_to_go_back(void **state)
{
    (void)state;
    int wait;
    struct mien_limits *l = make(1.0, 2);
    assert_true(mien_limits_take(l, 1, 10ull * SECOND, &wait));
    assert_true(mien_limits_take(l, 1, 9ull * SECOND, &wait));
    assert_false(mien_limits_take(l, 1, 10ull * SECOND, &wait));
    assert_true(mien_limits_take(l, 1, 11ull * SECOND, &wait));
    mien_limits_free(&l);
}

static void settings_are_checked(void **state)
{
    (void)state;
    struct mien_limits *l = NULL;
    assert_int_equal(mien_limits_create(0.0, 1, &l, NULL), MIEN_E_CONFIG);
    assert_int_equal(mien_limits_create(1.0, 0, &l, NULL), MIEN_E_CONFIG);
    assert_null(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_burst_then_the_rate), cmocka_unit_test(the_wait_is_long_enough),
                                       cmocka_unit_test(clients_do_not_share), cmocka_unit_test(a_crowd_frees_nobody),
                                       cmocka_unit_test(time_may_stand_still_or_seem_to_go_back), cmocka_unit_test(settings_are_checked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
