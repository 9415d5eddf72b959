/* JSON: what must be refused is refused with a position, accessors forgive, and what the writer writes parses back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "codec/json.h"

static struct mien_json *parsed(const char *text)
{
    struct mien_json *root = NULL;
    struct mien_err e = {0};
    if (mien_json_parse(text, strlen(text), &root, &e) != MIEN_OK) fail_msg("%s: %s", text, e.msg);
    return root;
}

static void refuses_what_is_not_strict_json(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", " ", "{", "[1,]", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "{\"a\":{\"b\":1,\"b\":1}}", "[1] 2", "{} x", "'a'", "[01]",
        "[NaN]", "[Infinity]", "[1e999]", "[99999999999999999999]", "\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"",
        "\"\\ud800\"", "\"\\u0000\"", "\"a\nb\"", "tru", "// x\n1", "[1 2]", "{1:2}", "\"abc",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct mien_json *root = (struct mien_json *)(uintptr_t)1;
        struct mien_err e = {0};
        if (mien_json_parse(bad[i], strlen(bad[i]), &root, &e) != MIEN_E_JSON) fail_msg("took %s", bad[i]);
        assert_null(root);
        assert_int_equal(e.code, MIEN_E_JSON);
        assert_true(e.pos <= strlen(bad[i]));
    }
}

static void says_where(void **state)
{
    (void)state;
    const char *text = "{\"secret\": \"hunter2\", \"b\": !}";
    struct mien_json *root;
    struct mien_err e = {0};
    assert_int_equal(mien_json_parse(text, strlen(text), &root, &e), MIEN_E_JSON);
    assert_in_range(e.pos, strlen(text) - 3, strlen(text) - 1);
    assert_null(strstr(e.msg, "hunter2"));
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    char text[400];
    for (int depth = 60; depth <= 70; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        struct mien_json *root;
        struct mien_err e = {0};
        enum mien_code code = mien_json_parse(text, 2 * (size_t)depth, &root, &e);
        assert_int_equal(code, depth <= 64 ? MIEN_OK : MIEN_E_JSON);
        if (code != MIEN_OK) assert_int_equal(e.pos, 64);
        mien_json_free(&root);
    }
    /* brackets in strings do not count, not even behind an escaped quote */
    memset(text, '[', sizeof text);
    memcpy(text, "\"\\\"", 3);
    text[200] = '"';
    struct mien_json *root;
    assert_int_equal(mien_json_parse(text, 201, &root, NULL), MIEN_OK);
    mien_json_free(&root);
    assert_null(root);
}

static void accessors_forgive(void **state)
{
    (void)state;
    struct mien_json *root = parsed("{\"s\":\"x\",\"n\":2.5,\"i\":7,\"w\":3.0,\"big\":1e30,\"t\":true,\"z\":null,\"a\":[1,2.5,-3],\"m\":[1,\"2\"]}");
    assert_string_equal(mien_json_string(mien_json_get(root, "s"), "d"), "x");
    assert_string_equal(mien_json_string(mien_json_get(root, "n"), "d"), "d");
    assert_null(mien_json_string(NULL, NULL));
    assert_true(mien_json_number(mien_json_get(root, "n"), 0) == 2.5);
    assert_true(mien_json_number(mien_json_get(root, "i"), 0) == 7);
    assert_true(mien_json_number(mien_json_get(root, "s"), -1) == -1);
    assert_int_equal(mien_json_integer(mien_json_get(root, "i"), 0), 7);
    assert_int_equal(mien_json_integer(mien_json_get(root, "w"), 0), 3);
    assert_int_equal(mien_json_integer(mien_json_get(root, "n"), -1), -1);
    assert_int_equal(mien_json_integer(mien_json_get(root, "big"), -1), -1);
    assert_true(mien_json_bool(mien_json_get(root, "t"), false));
    assert_true(mien_json_bool(mien_json_get(root, "i"), true));
    assert_false(mien_json_bool(NULL, false));
    assert_true(mien_json_is_null(NULL));
    assert_true(mien_json_is_null(mien_json_get(root, "z")));
    assert_true(mien_json_is_null(mien_json_get(mien_json_get(root, "no"), "way")));
    assert_false(mien_json_is_null(root));
    assert_int_equal(mien_json_size(root), 9);
    assert_int_equal(mien_json_size(mien_json_get(root, "a")), 3);
    assert_int_equal(mien_json_size(mien_json_get(root, "s")), 0);
    assert_int_equal(mien_json_size(NULL), 0);
    assert_null(mien_json_at(root, 0));
    assert_null(mien_json_at(mien_json_get(root, "a"), 3));
    assert_null(mien_json_get(mien_json_get(root, "a"), "x"));
    float f[3];
    assert_true(mien_json_floats(mien_json_get(root, "a"), f, 3));
    assert_true(f[0] == 1.0f && f[1] == 2.5f && f[2] == -3.0f);
    assert_false(mien_json_floats(mien_json_get(root, "a"), f, 2));
    assert_false(mien_json_floats(mien_json_get(root, "m"), f, 2));
    assert_false(mien_json_floats(NULL, f, 0));
    mien_json_free(&root);
}

static void members_come_in_file_order(void **state)
{
    (void)state;
    struct mien_json *root = parsed("{\"zebra\":0,\"apple\":1,\"mango\":2}");
    static const char *const names[] = {"zebra", "apple", "mango"};
    for (size_t i = 0; i < 3; i++) {
        const char *key = NULL;
        assert_int_equal(mien_json_integer(mien_json_member(root, i, &key), -1), i);
        assert_string_equal(key, names[i]);
    }
    assert_null(mien_json_member(root, 3, NULL));
    assert_null(mien_json_member(mien_json_get(root, "zebra"), 0, NULL));
    assert_null(mien_json_member(NULL, 0, NULL));
    mien_json_free(&root);
}

static void writes_commas_and_nesting(void **state)
{
    (void)state;
    struct mien_buf b;
    struct mien_jw w;
    mien_buf_init(&b, 1000);
    mien_jw_init(&w, &b);
    mien_jw_object(&w);
    mien_jw_key(&w, "a");
    mien_jw_array(&w);
    mien_jw_integer(&w, 1);
    mien_jw_array(&w);
    mien_jw_end_array(&w);
    mien_jw_object(&w);
    mien_jw_end_object(&w);
    mien_jw_null(&w);
    mien_jw_end_array(&w);
    mien_jw_key(&w, "b");
    mien_jw_bool(&w, true);
    mien_jw_key(&w, "c");
    mien_jw_string(&w, NULL);
    mien_jw_key(&w, "d");
    mien_jw_integer(&w, INT64_MIN);
    mien_jw_end_object(&w);
    assert_string_equal(b.data, "{\"a\":[1,[],{},null],\"b\":true,\"c\":null,\"d\":-9223372036854775808}");
    mien_buf_free(&b);
}

static void writes_numbers(void **state)
{
    (void)state;
    struct mien_buf b;
    struct mien_jw w;
    mien_buf_init(&b, 1000);
    mien_jw_init(&w, &b);
    mien_jw_array(&w);
    mien_jw_number(&w, 0.1234567, 4);
    mien_jw_number(&w, 12345678, 3);
    mien_jw_number(&w, -0.0, 3);
    mien_jw_number(&w, NAN, 3);
    mien_jw_number(&w, -INFINITY, 3);
    mien_jw_fixed(&w, 1.5, 3);
    mien_jw_fixed(&w, -0.0001, 2);
    mien_jw_fixed(&w, 100, 0);
    mien_jw_fixed(&w, 99.999, 2);
    mien_jw_fixed(&w, INFINITY, 2);
    mien_jw_end_array(&w);
    assert_string_equal(b.data, "[0.1235,1.23e+07,0,null,null,1.5,0,100,100,null]");
    mien_buf_free(&b);
}

static void strings_survive_the_round_trip(void **state)
{
    (void)state;
    char all[300];
    size_t n = 0;
    for (int c = 1; c < 128; c++) all[n++] = (char)c;
    strcpy(all + n, "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 end");
    struct mien_buf b;
    struct mien_jw w;
    mien_buf_init(&b, 4000);
    mien_jw_init(&w, &b);
    mien_jw_array(&w);
    mien_jw_string(&w, all);
    mien_jw_string(&w, "a\xff" "b\xe2\x82");
    mien_jw_string(&w, "");
    mien_jw_end_array(&w);
    assert_false(b.failed);
    struct mien_json *root = parsed(b.data);
    assert_string_equal(mien_json_string(mien_json_at(root, 0), ""), all);
    assert_string_equal(mien_json_string(mien_json_at(root, 1), ""), "a\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd");
    assert_string_equal(mien_json_string(mien_json_at(root, 2), "x"), "");
    mien_json_free(&root);
    mien_buf_free(&b);
}

static void a_full_buffer_fails_once_and_stays_failed(void **state)
{
    (void)state;
    struct mien_buf b;
    struct mien_jw w;
    mien_buf_init(&b, 10);
    mien_jw_init(&w, &b);
    mien_jw_array(&w);
    for (int i = 0; i < 100; i++) mien_jw_string(&w, "abc");
    mien_jw_end_array(&w);
    assert_true(b.failed);
    mien_buf_free(&b);
}

/* "at" or the text that stands there. */
static const char *spanned(const char *text, struct mien_json_span s)
{
    static char out[100];
    snprintf(out, sizeof out, "%.*s", (int)s.n, text + s.at);
    return out;
}

static void values_are_found_where_they_stand(void **state)
{
    (void)state;
    static const char text[] = " {\"a\" : [ 1.50, \"x]\\\"}\" ,{\"b\":[]}, null ] ,\n\"b\":{\"a\":true},\"\\u0063\":2, \"d\":-3e5} ";
    struct mien_json_span root, a, v;
    struct mien_json *tree = parsed(text);
    assert_true(mien_json_span_root(text, strlen(text), &root));
    assert_true(root.at == 1 && root.n == strlen(text) - 2);
    assert_true(mien_json_span_member(text, root, "a", &a));
    static const char *const item[] = {"1.50", "\"x]\\\"}\"", "{\"b\":[]}", "null"};
    for (size_t i = 0; i < 4; i++) {
        assert_true(mien_json_span_at(text, a, i, &v));
        assert_string_equal(spanned(text, v), item[i]);
    }
    assert_false(mien_json_span_at(text, a, 4, &v));
    assert_false(mien_json_span_member(text, a, "a", &v));
    assert_true(mien_json_span_member(text, root, "b", &a));
    assert_true(mien_json_span_member(text, a, "a", &v));
    assert_string_equal(spanned(text, v), "true");
    assert_false(mien_json_span_at(text, a, 0, &v));
    assert_true(mien_json_span_member(text, root, "d", &v));
    assert_string_equal(spanned(text, v), "-3e5");
    assert_false(mien_json_span_member(text, root, "c", &v)); /* written with an escape */
    assert_false(mien_json_span_member(text, root, "x", &v));
    mien_json_free(&tree);
    static const char *const empty[] = {"[]", "[ ]", "{}", "{\n}", "7", "\"\""};
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        assert_true(mien_json_span_root(empty[i], strlen(empty[i]), &root));
        assert_true(root.n == strlen(empty[i]) && !mien_json_span_at(empty[i], root, 0, &v) && !mien_json_span_member(empty[i], root, "a", &v));
    }
    assert_false(mien_json_span_root("  ", 2, &root));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_not_strict_json), cmocka_unit_test(says_where),
        cmocka_unit_test(nesting_has_a_limit),             cmocka_unit_test(accessors_forgive),
        cmocka_unit_test(members_come_in_file_order),      cmocka_unit_test(writes_commas_and_nesting),
        cmocka_unit_test(writes_numbers),                  cmocka_unit_test(strings_survive_the_round_trip),
        cmocka_unit_test(a_full_buffer_fails_once_and_stays_failed), cmocka_unit_test(values_are_found_where_they_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
