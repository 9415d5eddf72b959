/* Random bytes fill exactly what they were asked to fill; secrets are compared over every byte. Whether time depends on the bytes is not
 * tested here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "crypto/random.h"

static void fills_exactly_what_was_asked_for(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 16, 32, 255, 256, 257, 1000};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        const size_t n = lengths[k];
        unsigned char bytes[1010], seen[1000] = {0};
        for (int round = 0; round < 64; round++) { /* a byte stays 0 in 64 draws once in 2^512 */
            memset(bytes, 0, sizeof bytes);
            assert_int_equal(mien_random(bytes, n, NULL), MIEN_OK);
            for (size_t i = 0; i < n; i++) seen[i] |= bytes[i];
            for (size_t i = n; i < sizeof bytes; i++) assert_int_equal(bytes[i], 0);
        }
        for (size_t i = 0; i < n; i++) assert_int_not_equal(seen[i], 0);
    }
}

static void two_draws_differ(void **state)
{
    (void)state;
    unsigned char a[16], b[16];
    assert_int_equal(mien_random(a, sizeof a, NULL), MIEN_OK);
    assert_int_equal(mien_random(b, sizeof b, NULL), MIEN_OK);
    assert_false(mien_secret_equal(a, b, sizeof a));
}

static void every_byte_counts_in_a_comparison(void **state)
{
    (void)state;
    unsigned char a[33], b[33];
    for (size_t i = 0; i < sizeof a; i++) a[i] = b[i] = (unsigned char)(i * 7);
    assert_true(mien_secret_equal(a, b, sizeof a));
    for (size_t i = 0; i < sizeof a; i++) {
        for (int bit = 0; bit < 8; bit++) {
            b[i] ^= (unsigned char)(1 << bit);
            assert_false(mien_secret_equal(a, b, sizeof a));
            assert_true(mien_secret_equal(a, b, i)); /* what lies behind is not looked at */
            b[i] = a[i];
        }
    }
    assert_true(mien_secret_equal(a, b, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_exactly_what_was_asked_for),
        cmocka_unit_test(two_draws_differ),
        cmocka_unit_test(every_byte_counts_in_a_comparison),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
