/* multipart/form-data: bodies recorded from curl, browsers and HTTP libraries are read; malformed ones are refused with a position; truncated and
 * mutated ones do no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/multipart.h"

enum { MOST = 4 };

struct outcome {
    enum mien_code code;
    struct mien_err e;
    struct mien_part part[MOST];
    int count;
    char *body; /* a copy of exactly n bytes, so that a sanitizer sees reads beyond it */
};

static struct outcome parse(const char *content_type, const char *body, size_t n, int max)
{
    struct outcome o = {.body = malloc(n > 0 ? n : 1)};
    assert_non_null(o.body);
    memcpy(o.body, body, n);
    o.code = mien_multipart_parse(content_type, o.body, n, o.part, max, &o.count, &o.e);
    return o;
}

static void assert_part(const struct mien_part *p, const char *name, bool is_file, const char *data, size_t size)
{
    assert_string_equal(p->name, name);
    assert_int_equal(p->is_file, is_file);
    assert_int_equal(p->size, size);
    assert_memory_equal(p->data, data, size);
}

#define TEXT(s) s, sizeof(s) - 1

static void curl(void **state)
{
    (void)state;
    struct outcome o = parse("multipart/form-data; boundary=------------------------2fd8752d02659d60",
                             TEXT("--------------------------2fd8752d02659d60\r\n"
                                  "Content-Disposition: form-data; name=\"image\"; filename=\"we%22ird\\x.jpg\"\r\n"
                                  "Content-Type: image/jpeg\r\n\r\n\xff\xd8\0\r\n--x\r\n\r\n--------------------------2fd8752d02659d60\r\n"
                                  "Content-Disposition: form-data; name=\"threshold\"\r\n\r\n0.5\r\n--------------------------2fd8752d02659d60\r\n"
                                  "Content-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--------------------------2fd8752d02659d60--\r\n"),
                             MOST);
    assert_int_equal(o.code, MIEN_OK);
    assert_int_equal(o.count, 3);
    assert_part(&o.part[0], "image", true, TEXT("\xff\xd8\0\r\n--x\r\n"));
    assert_part(&o.part[1], "threshold", false, TEXT("0.5"));
    assert_part(&o.part[2], "empty", false, TEXT(""));
    o.part[0].data[0] = 'x'; /* parts may be changed in place */
    free(o.body);
}

static void browsers(void **state)
{
    (void)state;
    struct outcome o = parse("multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
                             TEXT("------WebKitFormBoundary7MA4YWxkTrZu0gW\r\nContent-Disposition: form-data; name=\"image\"; filename=\"\xc3\xa9%22x.jpg\"\r\n"
                                  "Content-Type: image/jpeg\r\n\r\n\xff\xd8\r\n------WebKitFormBoundary7MA4YWxkTrZu0gW\r\n"
                                  "Content-Disposition: form-data; name=\"file\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n"
                                  "------WebKitFormBoundary7MA4YWxkTrZu0gW--\r\n"),
                             MOST);
    assert_int_equal(o.code, MIEN_OK);
    assert_int_equal(o.count, 2);
    assert_part(&o.part[0], "image", true, TEXT("\xff\xd8"));
    assert_part(&o.part[1], "file", true, TEXT("")); /* a form whose file was not chosen */
    free(o.body);
    o = parse("multipart/form-data; boundary=----formdata-undici-0", TEXT("------formdata-undici-0--"), MOST);
    assert_int_equal(o.code, MIEN_OK);
    assert_int_equal(o.count, 0);
    free(o.body);
}

static void libraries(void **state)
{
    (void)state;
    struct outcome o = parse("multipart/form-data; boundary=5e4f1b0a6c2d",
                             TEXT("--5e4f1b0a6c2d\r\nContent-Disposition: form-data; name=\"threshold\"\r\n\r\n0.5\r\n--5e4f1b0a6c2d\r\n"
                                  "Content-Disposition: form-data; name=\"image\"; filename*=utf-8''%C3%A9.jpg\r\n\r\nabc\r\n--5e4f1b0a6c2d--\r\n"),
                             MOST);
    assert_int_equal(o.code, MIEN_OK);
    assert_int_equal(o.count, 2);
    assert_part(&o.part[0], "threshold", false, TEXT("0.5"));
    assert_part(&o.part[1], "image", true, TEXT("abc"));
    free(o.body);
    /* Java mail and .NET: quoted boundary with odd characters, unquoted parameters, other headers */
    o = parse("Multipart/Form-Data;charset=utf-8; Boundary=\"----=_Part_1_2.3\"",
              TEXT("------=_Part_1_2.3\r\nContent-Type: text/plain; charset=us-ascii\r\nCONTENT-TRANSFER-ENCODING: 7bit\r\nX-Any:\r\n"
                   "content-disposition:form-data;name=image;filename=a.jpg;\r\n\r\nabc\r\n------=_Part_1_2.3--"),
              MOST);
    assert_int_equal(o.code, MIEN_OK);
    assert_int_equal(o.count, 1);
    assert_part(&o.part[0], "image", true, TEXT("abc"));
    free(o.body);
}

#define TYPE "multipart/form-data; boundary=b"
#define HEAD "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n"
#define TAIL "\r\n--b--"

static void preamble_epilogue_and_padding(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        HEAD "\r\nx" TAIL,          "\r\n" HEAD "\r\nx" TAIL "\r\n",         "any text\r\n" HEAD "\r\nx" TAIL "\r\nany text",
        HEAD "\r\nx" TAIL " \t",    "--b \t\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b-- \r\n--b\r\n",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct outcome o = parse(TYPE, bodies[i], strlen(bodies[i]), 1);
        if (o.code != MIEN_OK) fail_msg("%zu: %s", i, o.e.msg);
        assert_int_equal(o.count, 1);
        assert_part(&o.part[0], "a", false, TEXT("x"));
        free(o.body);
    }
    /* a part without content: RFC 2046 allows that the empty line's CRLF is the delimiter's */
    struct outcome o = parse(TYPE, TEXT(HEAD "\r\n--b--"), 1);
    assert_int_equal(o.code, MIEN_OK);
    assert_part(&o.part[0], "a", false, TEXT(""));
    free(o.body);
}

static void names_and_their_escapes(void **state)
{
    (void)state;
    struct outcome o = parse(TYPE, TEXT("--b\r\n"
                                        "Content-Disposition: form-data; filename=\"C:\\dir\\f; name=x\\\".jpg\"; name=\"a\\\"\\\\\\c\"\r\n\r\n\r\n--b--"), 1);
    assert_int_equal(o.code, MIEN_OK);
    assert_part(&o.part[0], "a\"\\\\c", true, TEXT(""));
    free(o.body);
    for (int length = 62; length <= 65; length++) {
        char body[300];
        const int n = snprintf(body, sizeof body, "--b\r\nContent-Disposition: form-data; name=\"%0*d\"\r\n\r\nx\r\n--b--", length, 0);
        o = parse(TYPE, body, (size_t)n, 1);
        assert_int_equal(o.code, length < MIEN_MULTIPART_NAME ? MIEN_OK : MIEN_E_MULTIPART);
        free(o.body);
    }
}

static void content_types(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool good;
    } cases[] = {
        {TYPE, true},
        {"multipart/form-data;boundary=\"b\"", true},
        {" multipart/form-data ; boundary=b ; x=\"y;\\\"boundary=c\"", true},
        {"multipart/form-data", false},
        {"multipart/form-data; boundary=", false},
        {"multipart/form-data; boundary=\"\"", false},
        {"multipart/form-data; boundary=\"b", false},
        {"multipart/form-data; boundary=\"b \"", false},
        {"multipart/form-data; boundary=b; boundary=b", false},
        {"multipart/form-data; boundary=b c", false},
        {"multipart/form-data; boundary=b\r\n", false},
        {"multipart/form-data; boundary=b@", false},
        {"multipart/form-data; boundary", false},
        {"multipart/mixed; boundary=b", false},
        {"multipart/form-datax; boundary=b", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome o = parse(cases[i].value, TEXT(HEAD "\r\nx" TAIL), 1);
        if ((o.code == MIEN_OK) != cases[i].good) fail_msg("%s", cases[i].value);
        if (!cases[i].good) assert_true(o.e.code == MIEN_E_MULTIPART && o.e.pos == 0); /* seen before the body was looked at */
        free(o.body);
    }
    for (int length = 69; length <= 72; length++) { /* at most 70 characters */
        char type[200], body[400];
        snprintf(type, sizeof type, "multipart/form-data; boundary=%0*d", length, 7);
        const int n = snprintf(body, sizeof body, "--%0*d\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--%0*d--", length, 7, length, 7);
        struct outcome o = parse(type, body, (size_t)n, 1);
        assert_int_equal(o.code, length <= 70 ? MIEN_OK : MIEN_E_MULTIPART);
        free(o.body);
    }
}

static void malformed_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        size_t at; /* where it is wrong */
    } bad[] = {
        {"", 0},
        {"x", 1},
        {"--b", 3},
        {"--b\r\n", 5},
        {"x--b--", 6}, /* not at the beginning of a line */
        {"--bb--", 3},
        {"--b--x", 5},
        {"--b--\n", 5},
        {"--b\nContent-Disposition: form-data; name=a\n\nx\n--b--", 3},
        {"--b\r\n\r\nx" TAIL, 5},
        {"--b\r\nContent-Type: image/jpeg\r\n\r\nx" TAIL, 5},
        {"--b\r\nContent-Disposition: form-data\r\n\r\nx" TAIL, 5},
        {"--b\r\nContent-Disposition: form-data; filename=a\r\n\r\nx" TAIL, 5},
        {"--b\r\nContent-Disposition: form-data; name=\"\"\r\n\r\nx" TAIL, 43},
        {"--b\r\nContent-Disposition: form-data; name=a; name=a\r\n\r\nx" TAIL, 45},
        {"--b\r\nContent-Disposition: attachment; name=a\r\n\r\nx" TAIL, 36},
        {HEAD "Content-Disposition: form-data; name=a\r\n\r\nx" TAIL, 68},
        {HEAD "Content-Transfer-Encoding: base64\r\n\r\nx" TAIL, 74},
        {HEAD "Content-Type: multipart/mixed; boundary=c\r\n\r\nx" TAIL, 70},
        {HEAD " folded\r\n\r\nx" TAIL, 47},
        {HEAD "no colon\r\n\r\nx" TAIL, 49},
        {HEAD ": no name\r\n\r\nx" TAIL, 47},
        {HEAD "X: a\nb\r\n\r\nx" TAIL, 51},
        {HEAD "X: a\x01" "b\r\n\r\nx" TAIL, 51},
        {HEAD "\r\nx", 50},
        {HEAD "\r\nx\r\n--", 54},
        {HEAD "\r\nx\r\n--b", 55},
        {HEAD "\r\nx\r\n--b-", 55},
        {HEAD "\r\nx\r\n--bc\r\n" TAIL, 55}, /* a line that begins with the boundary is no content */
        {HEAD "\r\nx\n--b--", 56},
        {HEAD "Content-Type: x", 47},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct outcome o = parse(TYPE, bad[i].body, strlen(bad[i].body), MOST);
        if (o.code != MIEN_E_MULTIPART || o.e.code != MIEN_E_MULTIPART) fail_msg("%zu: took %s", i, bad[i].body);
        if (o.e.pos != bad[i].at) fail_msg("%zu: %s at %zu, not %zu", i, o.e.msg, o.e.pos, bad[i].at);
        free(o.body);
    }
    static const char *const dispositions[] = {
        "form-data; name", "form-data; name=", "form-data; name*=utf-8''a",
        "form-data; =a", "form-data; name=\"a", "form-data; name=\"a\\\"", "form-data; name=\"a\"b", "form-data; name=a b",
        "form-data name=a", "form-data; name =a", "; name=a",
    };
    for (size_t i = 0; i < sizeof dispositions / sizeof *dispositions; i++) {
        char body[200];
        const int n = snprintf(body, sizeof body, "--b\r\nContent-Disposition: %s\r\n\r\nx\r\n--b--", dispositions[i]);
        struct outcome o = parse(TYPE, body, (size_t)n, MOST);
        if (o.code != MIEN_E_MULTIPART) fail_msg("took %s", dispositions[i]);
        free(o.body);
    }
}

static void limits(void **state)
{
    (void)state;
    static const char body[] = HEAD "\r\nx\r\n" HEAD "\r\ny" TAIL;
    for (int max = 0; max <= 3; max++) {
        struct outcome o = parse(TYPE, TEXT(body), max);
        assert_int_equal(o.code, max < 2 ? MIEN_E_LIMIT : MIEN_OK);
        assert_int_equal(o.count, max < 2 ? max : 2);
        free(o.body);
    }
    for (int headers = 4000; headers < 4200; headers++) { /* all header lines and the empty one in 4 KiB */
        char text[5000];
        const int fixed = (int)strlen(HEAD) - 5 + (int)strlen("X: \r\n\r\n");
        const int n = snprintf(text, sizeof text, HEAD "X: %0*d\r\n\r\nx" TAIL, headers - fixed, 0);
        struct outcome o = parse(TYPE, text, (size_t)n, 1);
        assert_int_equal(o.code, headers <= 4096 ? MIEN_OK : MIEN_E_MULTIPART);
        free(o.body);
    }
}

/* Every beginning of a good body is refused; so is nearly every one with a changed byte, and what is taken lies inside the body. */
static void truncated_and_mutated(void **state)
{
    (void)state;
    static const char good[] = "pre\r\n" HEAD "Content-Type: image/png\r\n\r\nx\r\n-\r\n--b\r\n"
                               "Content-Disposition: form-data; name=c; filename=\"d\"\r\n\r\nyz" TAIL;
    for (size_t n = 0; n < sizeof good - 1; n++) {
        struct outcome o = parse(TYPE, good, n, MOST);
        assert_int_equal(o.code, MIEN_E_MULTIPART);
        assert_true(o.e.pos <= n);
        free(o.body);
    }
    for (size_t at = 0; at < sizeof good - 1; at++) {
        for (int c = 0; c < 256; c++) {
            char body[sizeof good];
            memcpy(body, good, sizeof good);
            body[at] = (char)c;
            struct outcome o = parse(TYPE, body, sizeof good - 1, MOST);
            for (int i = 0; i < o.count; i++) assert_true(o.part[i].data >= o.body && o.part[i].data + o.part[i].size <= o.body + sizeof good - 1);
            assert_true(o.code == MIEN_OK || (o.code == MIEN_E_MULTIPART && o.e.pos < sizeof good));
            free(o.body);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(curl),          cmocka_unit_test(browsers),         cmocka_unit_test(libraries),
        cmocka_unit_test(content_types), cmocka_unit_test(malformed_bodies), cmocka_unit_test(preamble_epilogue_and_padding),
        cmocka_unit_test(limits),        cmocka_unit_test(truncated_and_mutated), cmocka_unit_test(names_and_their_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
