// What the HTTP library lets through and the guard must not.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "net/guard.h"

enum { MAX = 128 };

struct list { struct mien_header h[MAX]; int n; };

static void add(struct list *l, const char *name, const char *value)
{
    assert_true(l->n < MAX);
    l->h[l->n++] = (struct mien_header){name, value, strlen(name), strlen(value)};
}

/* Names and values in turn, ended by NULL, behind a Host. */
static struct mien_framing check(const char *const *pair)
{
    struct list l = {.n = 0};
    add(&l, "Host", "localhost");
    for (int i = 0; pair[i] != NULL; i += 2) add(&l, pair[i], pair[i + 1]);
    return mien_guard_check(l.h, l.n, false);
}
#define CHECK(...) check((const char *const[]){__VA_ARGS__, NULL})

static void plain_requests_pass(void **state)
{
    (void)state;
    struct mien_framing f = CHECK("Accept", "*/*", "X-Tab", "a\tb", "X-High", "caf\xc3\xa9");
    assert_null(f.wrong);
    assert_false(f.chunked);
    assert_false(f.has_length);
    f = CHECK("content-length", "144516");
    assert_null(f.wrong);
    assert_true(f.has_length);
    assert_int_equal(f.length, 144516);
    f = CHECK("TRANSFER-ENCODING", "Chunked");
    assert_null(f.wrong);
    assert_true(f.chunked);
    assert_int_equal(CHECK("Content-Length", "999999999999999999").length, 999999999999999999);
}

static void ambiguous_framing_is_refused(void **state)
{
    (void)state;
    assert_string_equal(CHECK("Transfer-Encoding", "chunked", "Content-Length", "5").wrong, "Transfer-Encoding together with Content-Length");
    assert_string_equal(CHECK("Content-Length", "5", "Content-Length", "6").wrong, "more than one Content-Length");
    assert_string_equal(CHECK("Content-Length", "5", "Content-Length", "5").wrong, "more than one Content-Length");
    assert_string_equal(CHECK("Transfer-Encoding", "chunked", "Transfer-Encoding", "chunked").wrong, "more than one Transfer-Encoding");
    static const char *const CODING[] = {"gzip, chunked", "identity", "chunked, chunked", "xchunked", "chunked ", ""};
    for (size_t i = 0; i < sizeof CODING / sizeof CODING[0]; i++) assert_non_null(CHECK("Transfer-Encoding", CODING[i]).wrong);
    static const char *const LENGTH[] = {"+4", "-1", "4 ", " 4", "0x4", "4,4", "", "1234567890123456789", "4.0"};
    for (size_t i = 0; i < sizeof LENGTH / sizeof LENGTH[0]; i++) assert_non_null(CHECK("Content-Length", LENGTH[i]).wrong);
}

static void one_host_is_needed(void **state)
{
    (void)state;
    struct list l = {.n = 0};
    assert_non_null(mien_guard_check(l.h, 0, false).wrong);
    assert_null(mien_guard_check(l.h, 0, true).wrong); /* HTTP/1.0 knows none */
    assert_non_null(CHECK("host", "other").wrong);
    add(&l, "Transfer-Encoding", "chunked");
    assert_non_null(mien_guard_check(l.h, l.n, true).wrong); /* nor chunks */
}

static void bytes_that_no_header_has(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char name[3] = {'X', (char)c, 'Y'}, value[3] = {'a', (char)c, 'b'};
        const struct mien_header by_name[2] = {{"Host", "h", 4, 1}, {name, "v", 3, 1}}, by_value[2] = {{"Host", "h", 4, 1}, {"X", value, 1, 3}};
        const bool token = c > 0x20 && c < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;
        assert_int_equal(mien_guard_check(by_name, 2, false).wrong == NULL, token);
        assert_int_equal(mien_guard_check(by_value, 2, false).wrong == NULL, c == '\t' || (c >= 0x20 && c != 0x7f));
    }
    const struct mien_header empty[2] = {{"Host", "h", 4, 1}, {"", "v", 0, 1}};
    assert_non_null(mien_guard_check(empty, 2, false).wrong);
}

static void a_hundred_headers_are_enough(void **state)
{
    (void)state;
    struct list l = {.n = 0};
    add(&l, "Host", "localhost");
    while (l.n < 100) add(&l, "X", "1");
    assert_null(mien_guard_check(l.h, l.n, false).wrong);
    add(&l, "X", "1");
    assert_non_null(mien_guard_check(l.h, l.n, false).wrong);
}

static void request_ids(void **state)
{
    (void)state;
    char longest[66];
    memset(longest, 'a', sizeof longest);
    assert_true(mien_guard_request_id("Az09._-", 7));
    assert_true(mien_guard_request_id(longest, 64));
    assert_false(mien_guard_request_id(longest, 65));
    assert_false(mien_guard_request_id("", 0));
    assert_false(mien_guard_request_id("a b", 3));
    assert_false(mien_guard_request_id("a\0b", 3));
    assert_false(mien_guard_request_id("a\nb", 3));
    assert_false(mien_guard_request_id("\"", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(plain_requests_pass),          cmocka_unit_test(ambiguous_framing_is_refused),
                                       cmocka_unit_test(one_host_is_needed),           cmocka_unit_test(bytes_that_no_header_has),
                                       cmocka_unit_test(a_hundred_headers_are_enough), cmocka_unit_test(request_ids)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
