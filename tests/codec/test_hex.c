/* Hexadecimal digits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include "codec/hex.h"

static void bytes_become_digits(void **state)
{
    (void)state;
    char out[16];
    memset(out, 'x', sizeof out);
    mien_hex("\x00\x9f\xa0\xff", 4, out);
    assert_string_equal(out, "009fa0ff");
    assert_int_equal(out[9], 'x');
    mien_hex("", 0, out);
    assert_string_equal(out, "");
}

static void digits_have_values(void **state)
{
    (void)state;
    static const char LOWER[] = "0123456789abcdef", UPPER[] = "0123456789ABCDEF";
    for (int c = -128; c < 128; c++) {
        int value = -1;
        for (int i = 0; i < 16; i++)
            if (LOWER[i] == (char)c || UPPER[i] == (char)c) value = i;
        assert_int_equal(mien_hex_digit((char)c), value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_become_digits), cmocka_unit_test(digits_have_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
