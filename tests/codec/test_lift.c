/* Lifting: the reader alone is the oracle. Over generated and mutated texts, what is accepted, where an error is seen, and every value must be
 * the same with and without lifting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/lift.h"

enum { ARENA_BYTES = 4 << 20 };

static uint64_t random_state = 88172645463325252u;

static unsigned random_below(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % n;
}

/* ---- comparison ---- */

static void assert_same(const struct mien_lifted *l, const struct mien_json *a, const struct mien_json *b)
{
    char *text;
    size_t n;
    assert_int_equal(mien_json_is_string(a), mien_lifted_text(l, b, &text, &n));
    assert_int_equal(mien_json_is_object(a), mien_json_is_object(b));
    assert_int_equal(mien_json_is_array(a), mien_json_is_array(b));
    assert_int_equal(mien_json_is_null(a), mien_json_is_null(b));
    assert_int_equal(mien_json_bool(a, true), mien_json_bool(b, true));
    assert_int_equal(mien_json_bool(a, false), mien_json_bool(b, false));
    assert_true(mien_json_number(a, -7) == mien_json_number(b, -7));
    assert_int_equal(mien_json_integer(a, -7), mien_json_integer(b, -7));
    assert_int_equal(mien_json_size(a), mien_json_size(b));
    if (mien_json_is_string(a)) {
        assert_int_equal(strlen(mien_json_string(a, "")), n);
        assert_memory_equal(mien_json_string(a, ""), text, n);
    }
    for (size_t i = 0; i < mien_json_size(a); i++) {
        const char *key_a = NULL, *key_b = NULL;
        if (mien_json_is_array(a)) {
            assert_same(l, mien_json_at(a, i), mien_json_at(b, i));
        } else {
            const struct mien_json *one = mien_json_member(a, i, &key_a), *other = mien_json_member(b, i, &key_b);
            assert_string_equal(key_a, key_b);
            assert_same(l, one, other);
        }
    }
}

struct verdict {
    bool taken;
    size_t lifted;
};

static struct verdict check(const char *text, size_t n)
{
    char *body = malloc(n > 0 ? n : 1); /* exactly n bytes, so that a sanitizer sees reads beyond them */
    struct mien_arena *arena = mien_arena_create(ARENA_BYTES);
    assert_true(body != NULL && arena != NULL);
    memcpy(body, text, n);
    struct mien_json *root;
    struct mien_lifted l;
    struct mien_err e_root = {0}, e_lift = {0};
    const enum mien_code code = mien_json_parse(text, n, &root, &e_root);
    if (mien_json_lift(body, n, arena, &l, &e_lift) != code) fail_msg("reader: %s, lifted: %s\n%.*s", e_root.msg, e_lift.msg, (int)n, text);
    if (code == MIEN_OK) {
        assert_same(&l, root, l.root);
    } else {
        assert_null(l.root);
        assert_string_equal(e_root.msg, e_lift.msg);
        if (e_root.pos != e_lift.pos) fail_msg("%s at %zu, not %zu\n%.*s", e_lift.msg, e_lift.pos, e_root.pos, (int)n, text);
    }
    const struct verdict v = {code == MIEN_OK, l.count};
    mien_json_free(&root);
    mien_json_free(&l.root);
    mien_arena_wipe_free(&arena);
    free(body);
    return v;
}

/* ---- generation ---- */

static void put_repeated(struct mien_buf *b, const char *s, size_t times)
{
    while (times-- > 0) mien_buf_adds(b, s);
}

static const char *choose(const char *const *list, size_t n) { return list[random_below((unsigned)n)]; }
#define CHOOSE(list) choose(list, sizeof(list) / sizeof *(list))

static void put_string(struct mien_buf *b)
{
    static const char *const good[] = {"\\/", "\\u002B", "\\u002b", "\\n", "\\\"", "\\\\", "\\b\\f\\r\\t", "\\u0001", "\\u0041", "\x7f", "[{", "}]", ":,"};
    static const char *const foreign[] = {"\xc3\xa9", "\\u00e9", "\\ud83d\\ude00", "\xf0\x9f\x98\x80", "\\u0080"};
    static const char *const bad[] = {"\\ud83d", "\\u0000", "\\x", "\\u12", "\xff", "\xc0\x81", "\n", "\t", "\\u00zz", "\\U0041", "\""};
    static const unsigned lengths[] = {0, 1, 5, 1000, 1020, 1024, 1030, 1500};
    mien_buf_adds(b, random_below(12) == 0 ? "\"\\u0001" : "\"");
    put_repeated(b, random_below(2) != 0 ? "A" : "z", lengths[random_below(8)] + random_below(6));
    for (unsigned k = random_below(4); k > 0; k--) {
        const unsigned kind = random_below(60);
        mien_buf_adds(b, kind == 0 ? CHOOSE(bad) : kind < 6 ? CHOOSE(foreign) : CHOOSE(good));
        put_repeated(b, "b", random_below(40));
    }
    mien_buf_adds(b, "\"");
}

static void put_blank(struct mien_buf *b)
{
    static const char *const blanks[] = {"", "", "", " ", "\n", "\r\n\t "};
    mien_buf_adds(b, CHOOSE(blanks));
}

static void put_value(struct mien_buf *b, int depth)
{
    static const char *const plain[] = {"0", "-1.5e3", "true", "false", "null", "\"\"", "\"\\u00010\"", "\"0\"", "[]", "{}", "tru", "01"};
    const unsigned kind = depth > 4 ? 4 + random_below(6) : random_below(10);
    put_blank(b);
    if (kind < 2) {
        mien_buf_adds(b, "[");
        for (unsigned n = random_below(4), i = 0; i < n; i++) {
            if (i > 0) mien_buf_adds(b, ",");
            put_value(b, depth + 1);
        }
        mien_buf_adds(b, "]");
    } else if (kind < 4) {
        mien_buf_adds(b, "{");
        for (unsigned n = random_below(4), i = 0; i < n; i++) {
            if (i > 0) mien_buf_adds(b, ",");
            put_blank(b);
            if (random_below(4) == 0) put_string(b);
            else mien_buf_addf(b, "\"%c\"", 'a' + (char)(i + (random_below(30) == 0)));
            put_blank(b);
            mien_buf_adds(b, ":");
            put_value(b, depth + 1);
        }
        mien_buf_adds(b, "}");
    } else if (kind < 8) {
        put_string(b);
    } else {
        mien_buf_adds(b, plain[random_below(random_below(10) == 0 ? 12 : 10)]);
    }
    put_blank(b);
}

static void mutate(struct mien_buf *b)
{
    static const char likely[] = "\"\"\\\\{}[]:,ux01\x01\xc3 \n";
    size_t at = random_below((unsigned)b->len);
    /* half of the time near a quote: that is where meaning changes */
    const char *quote = random_below(2) != 0 ? memchr(b->data + at, '"', b->len - at) : NULL;
    if (quote != NULL) at = (size_t)(quote - b->data) + random_below(3);
    if (at >= b->len) at = b->len - 1;
    switch (random_below(3)) {
    case 0: b->data[at] = likely[random_below(sizeof likely - 1)]; break;
    case 1: memmove(b->data + at, b->data + at + 1, --b->len - at); break;
    default: b->len = at; break;
    }
}

static void generated_and_mutated_texts(void **state)
{
    (void)state;
    int taken = 0, refused = 0, lifted = 0;
    for (int round = 0; round < 30000; round++) {
        struct mien_buf b;
        mien_buf_init(&b, 1 << 20);
        put_value(&b, 0);
        if (random_below(2) == 0) mutate(&b);
        assert_false(b.failed);
        const struct verdict v = check(b.data, b.len);
        taken += v.taken;
        refused += !v.taken;
        lifted += v.lifted > 0;
        mien_buf_free(&b);
    }
    if (taken < 5000 || refused < 5000 || lifted < 3000) fail_msg("%d taken, %d refused, %d with lifted strings", taken, refused, lifted);
}

/* ---- single properties ---- */

/* FORMAT has one %s for a run of `count` letters. */
static struct verdict check_with_run(const char *format, size_t count)
{
    struct mien_buf run, text;
    mien_buf_init(&run, 1 << 21);
    mien_buf_init(&text, 1 << 22);
    put_repeated(&run, "Q", count);
    const char *at = strstr(format, "%s");
    assert_non_null(at);
    for (; at != NULL; format = at + 2, at = strstr(format, "%s")) {
        mien_buf_add(&text, format, (size_t)(at - format));
        mien_buf_add(&text, run.data, run.len);
    }
    mien_buf_adds(&text, format);
    assert_false(text.failed);
    const struct verdict v = check(text.data, text.len);
    mien_buf_free(&run);
    mien_buf_free(&text);
    return v;
}

static void which_strings_are_lifted(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        size_t run, lifted;
    } cases[] = {
        {"\"%s\"", 1023, 0},
        {"\"%s\"", 1024, 1},
        {"[\"%s\",\"%s\",1,\"%s\"]", 1024, 3},
        {"{\"%s\":1}", 2000, 0}, /* a name */
        {"{\"%s\" \n\r\t:\"%s\"}", 2000, 1},
        {"\"%s\\/\\u002B\\u003d\"", 1024, 1},
        {"\"%s\\\"\\\\\\n\\u0001\"", 1024, 1},
        {"\"%s\x7f\"", 1024, 1},
        {"\"%s\xc3\xa9\"", 1024, 0},
        {"\"%s\\u00e9\"", 1024, 0},
        {"[\"%s\",\"\\u00010\"]", 1024, 0},         /* what looks like a placeholder stops it */
        {"[\"%s\",\"\\u00010\",\"%s\"]", 1024, 0},
        {"[\"\\u0001\",\"%s\"]", 1024, 0},
        {"[\"x\\u00010\",\"\\u0041\",\"%s\"]", 1024, 1}, /* only at the beginning of a string */
        {"\"\\u0001%s\"", 1024, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct verdict v = check_with_run(cases[i].format, cases[i].run);
        if (!v.taken || v.lifted != cases[i].lifted) fail_msg("%s: %zu lifted", cases[i].format, v.lifted);
    }
    static const char *const refused[] = {
        "\"%s\\u0000\"", "\"%s\\ud800\"", "\"%s\\x\"",     "\"%s\n\"", "\"%s\xff\"",  "\"%s",     "\"%s\\",
        "\"%s\\\"",      "\"%s\\u00",     "\"%s\\u004",   "[\"%s\"",   "\"%s\" x",    "\"%s\":1",
        "{\"a\":\"%s\",\"a\":\"%s\"}", "{\"%s\":1,\"%s\":1}", "[\"%s\",]", "{\"%s\"}",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        if (check_with_run(refused[i], 1024).taken) fail_msg("took %s", refused[i]);
    }
}

static void nesting_beyond_the_limit_is_found_behind_a_lifted_string(void **state)
{
    (void)state;
    for (size_t depth = 62; depth <= 66; depth++) {
        struct mien_buf b;
        mien_buf_init(&b, 1 << 16);
        put_repeated(&b, "[", 10);
        mien_buf_adds(&b, "\"");
        put_repeated(&b, "[", 2000);
        mien_buf_adds(&b, "\",");
        put_repeated(&b, "[", depth - 10);
        put_repeated(&b, "]", depth);
        assert_int_equal(check(b.data, b.len).taken, depth <= 64);
        mien_buf_free(&b);
    }
}

static enum mien_code lift_long(const char *before, size_t run, size_t rest, size_t arena_bytes, struct mien_err *e)
{
    struct mien_buf b;
    mien_buf_init(&b, 16 << 20);
    mien_buf_adds(&b, before);
    put_repeated(&b, "z", run);
    mien_buf_adds(&b, "\"");
    put_repeated(&b, " ", rest);
    mien_buf_adds(&b, "]");
    struct mien_arena *arena = mien_arena_create(arena_bytes);
    struct mien_lifted l;
    const enum mien_code code = mien_json_lift(b.data, b.len, arena, &l, e);
    assert_int_equal(code == MIEN_OK, l.root != NULL);
    if (code == MIEN_OK) {
        assert_int_equal(l.count, 1);
        assert_true(mien_arena_used(arena) < b.len / 32 + rest + 200); /* the string was not copied */
    }
    mien_json_free(&l.root);
    mien_arena_free(&arena);
    mien_buf_free(&b);
    return code;
}

static void limits(void **state)
{
    (void)state;
    struct mien_err e = {0};
    assert_int_equal(lift_long("[\"", 8 << 20, 1000, 1 << 20, &e), MIEN_OK);
    assert_int_equal(lift_long("[\"", 8 << 20, MIEN_LIFT_REST_BYTES - 2, 1 << 23, &e), MIEN_OK); /* two brackets */
    assert_int_equal(lift_long("[\"", 8 << 20, MIEN_LIFT_REST_BYTES - 1, 1 << 23, &e), MIEN_E_LIMIT);
    assert_int_equal(e.code, MIEN_E_LIMIT);
    assert_int_equal(lift_long("[\"\xc3\xa9", MIEN_LIFT_REST_BYTES, 0, 1 << 23, &e), MIEN_E_LIMIT);
    assert_int_equal(lift_long("[\"\\u0001\",\"", MIEN_LIFT_REST_BYTES, 0, 1 << 23, &e), MIEN_E_LIMIT);
    assert_int_equal(lift_long("[\"", 8 << 20, 500000, 300000, &e), MIEN_E_NOMEM);
    assert_int_equal(lift_long("[\"", 8 << 20, 0, 4096, &e), MIEN_E_NOMEM);
}

/* Memory may end at any of the allocations; nothing is left behind (the leak checker looks). */
static void every_size_of_arena(void **state)
{
    (void)state;
    char text[5000], body[sizeof text];
    const size_t n = (size_t)snprintf(text, sizeof text, "[\"%01500d\",{\"a\":\"%02000d\"}]", 0, 0);
    bool taken = false;
    for (size_t cap = 0; cap < 2000 || !taken; cap += 64) {
        struct mien_arena *arena = mien_arena_create(cap);
        struct mien_lifted l;
        memcpy(body, text, n);
        const enum mien_code code = mien_json_lift(body, n, arena, &l, NULL);
        assert_int_equal(code, l.root != NULL ? MIEN_OK : MIEN_E_NOMEM);
        assert_false(taken && code != MIEN_OK);
        taken = code == MIEN_OK;
        mien_json_free(&l.root);
        mien_arena_free(&arena);
    }
}

/* A caller may decode a string in place; asking for it again is then safe, although the answer means nothing. */
static void text_changed_in_place(void **state)
{
    (void)state;
    char body[2000];
    const int n = snprintf(body, sizeof body, "[\"short\",\"%01500d\"]", 0);
    struct mien_arena *arena = mien_arena_create(ARENA_BYTES);
    struct mien_lifted l;
    assert_int_equal(mien_json_lift(body, (size_t)n, arena, &l, NULL), MIEN_OK);
    char *text;
    size_t size;
    assert_true(mien_lifted_text(&l, mien_json_at(l.root, 0), &text, &size));
    char *const short_text = memcpy(text, "\001" "9", 3);
    assert_true(mien_lifted_text(&l, mien_json_at(l.root, 0), &text, &size));
    assert_ptr_equal(text, short_text);
    assert_int_equal(size, 2);
    assert_true(mien_lifted_text(&l, mien_json_at(l.root, 1), &text, &size));
    assert_int_equal(size, 1500);
    assert_ptr_equal(text, body + 10);
    assert_false(mien_lifted_text(&l, l.root, &text, &size));
    assert_false(mien_lifted_text(&l, NULL, &text, &size));
    mien_json_free(&l.root);
    mien_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generated_and_mutated_texts), cmocka_unit_test(which_strings_are_lifted),
        cmocka_unit_test(limits),                      cmocka_unit_test(nesting_beyond_the_limit_is_found_behind_a_lifted_string),
        cmocka_unit_test(text_changed_in_place),       cmocka_unit_test(every_size_of_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
