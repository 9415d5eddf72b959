// UTF-8: every code point, and every way of two and three bytes that is none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "codec/utf8.h"

static size_t put(uint32_t c, unsigned char s[5])
{
    memset(s, 0, 5);
    if (c < 0x80) return s[0] = (unsigned char)c, 1;
    const size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) s[i] = (unsigned char)(0x80 | (c & 0x3f));
    s[0] = (unsigned char)((0xf00u >> n) | c);
    return n;
}

static void every_code_point(void **state)
{
    (void)state;
    unsigned char s[5];
    for (uint32_t c = 0; c < 0x120000; c++) {
        const size_t n = put(c, s);
        const bool good = c < 0x110000 && (c < 0xd800 || c > 0xdfff);
        assert_int_equal(mien_utf8_length(s), good ? n : 0);
        assert_int_equal(mien_utf8_valid(s, n), good);
    }
}

/* What is accepted is what some code point is written as, and nothing else. */
static void every_three_bytes(void **state)
{
    (void)state;
    static uint8_t known[1 << 24];
    unsigned char s[5];
    for (uint32_t c = 0; c < 0x10000; c++)
        if (c < 0xd800 || c > 0xdfff) {
            const size_t n = put(c, s);
            if (n > 1) known[(uint32_t)s[0] << 16 | (uint32_t)s[1] << 8 | s[2]] = (uint8_t)n;
        }
    for (uint32_t bytes = 0x800000; bytes < 0xf00000; bytes++) {
        const unsigned char t[5] = {(unsigned char)(bytes >> 16), (unsigned char)(bytes >> 8), (unsigned char)bytes};
        const size_t n = t[0] < 0xe0 ? 2 : 3;
        const uint32_t key = n == 2 ? bytes & 0xffff00u : bytes;
        assert_int_equal(mien_utf8_length(t), known[key]);
    }
}

static void texts(void **state)
{
    (void)state;
    assert_true(mien_utf8_valid("", 0));
    assert_true(mien_utf8_valid("a\0b", 3));
    assert_true(mien_utf8_valid("Gr\xc3\xbc\xc3\x9f" "e, \xe4\xb8\x96\xe7\x95\x8c \xf0\x9f\x99\x82 0123456789", 29));
    assert_false(mien_utf8_valid("0123456789\xff 0123456789", 21));
    assert_false(mien_utf8_valid("01234567\xc3", 9)); /* cut */
    assert_false(mien_utf8_valid("\xf0\x9f\x99", 3));
    assert_false(mien_utf8_valid("\x80", 1));
    assert_false(mien_utf8_valid("\xc0\x80", 2)); /* overlong */
    assert_false(mien_utf8_valid("\xed\xa0\x80", 3));
    assert_false(mien_utf8_valid("\xf4\x90\x80\x80", 4));
    for (size_t at = 0; at < 40; at++) { /* one bad byte anywhere */
        char text[41];
        memset(text, 'x', 40);
        text[40] = '\0';
        text[at] = (char)0xbf;
        assert_false(mien_utf8_valid(text, 40));
        assert_true(mien_utf8_valid(text, at));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_code_point), cmocka_unit_test(every_three_bytes), cmocka_unit_test(texts)};
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
