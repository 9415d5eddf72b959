/* Tables as text: what is taken, and on which line it says that something is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "codec/csv.h"

static struct mien_arena *arena;

static struct mien_csv parsed(const char *text, size_t n)
{
    struct mien_csv c;
    struct mien_err e = {0};
    if (arena == NULL) arena = mien_arena_create(1u << 30);
    if (mien_csv_parse(text, n, arena, &c, &e) != MIEN_OK) fail_msg("%s", e.msg);
    return c;
}

/* Row by row, every cell in brackets. */
static void says(const char *text, const char *wanted)
{
    char got[1024] = "";
    const struct mien_csv c = parsed(text, strlen(text));
    for (size_t y = 0; y < c.rows; y++) {
        for (size_t x = 0; x < c.columns; x++) {
            size_t at = strlen(got);
            snprintf(got + at, sizeof got - at, "[%s]", mien_csv_cell(&c, y, (int)x));
        }
        size_t at = strlen(got);
        snprintf(got + at, sizeof got - at, "@%zu ", c.line[y]);
    }
    assert_string_equal(got, wanted);
}

static void tables(void **state)
{
    (void)state;
    says("a", "[a]@1 ");
    says("a,b\n1,2\n", "[a][b]@1 [1][2]@2 ");
    says("a,b\n1,2", "[a][b]@1 [1][2]@2 ");
    says("a,b\r\n1,2\r\n", "[a][b]@1 [1][2]@2 ");
    says("\xef\xbb\xbf" "a,b\n,\n", "[a][b]@1 [][]@2 ");
    says("\n\r\n\na,b\n\n1,2\n\n", "[a][b]@4 [1][2]@6 ");
    says("a,b\n1,", "[a][b]@1 [1][]@2 ");
    says(" a ,\tb\n\r,x\ry\n", "[ a ][\tb]@1 [\r][x\ry]@2 ");
    says("a\n\xff\xfe\n", "[a]@1 [\xff\xfe]@2 ");
}

static void quotes(void **state)
{
    (void)state;
    says("\"a\",\"b\"\n\"1,2\",\"3\r\n4\"\nx,y\n", "[a][b]@1 [1,2][3\r\n4]@2 [x][y]@4 ");
    says("a\n\"say \"\"no\"\"\"\n\"\"\n\"\"\"\"", "[a]@1 [say \"no\"]@2 []@3 [\"]@4 ");
    says("\"\"\r\n\"\n\"\r\nx", "[]@1 [\n]@2 [x]@4 ");
    says("\xef\xbb\xbf\"a,\"\n1", "[a,]@1 [1]@2 ");
}

static void columns(void **state)
{
    (void)state;
    const struct mien_csv c = parsed("file,,age,\n1,2,3,4\n", 19);
    assert_int_equal(mien_csv_column(&c, "age"), 2);
    assert_int_equal(mien_csv_column(&c, "file"), 0);
    assert_int_equal(mien_csv_column(&c, "Age"), -1);
}

static void refuses(const char *text, size_t n, enum mien_code wanted, const char *words)
{
    struct mien_csv c;
    struct mien_err e = {0};
    const enum mien_code code = mien_csv_parse(text, n, arena, &c, &e);
    if (code != wanted || strstr(e.msg, words) == NULL) fail_msg("%d, \"%s\"; wanted %d, \"%s\"", code, e.msg, wanted, words);
}

static void bad_input(void **state)
{
    (void)state;
    static char many[2 * MIEN_CSV_MAX_COLUMNS + 2], large[1];
#define REFUSES(text, words) refuses(text, sizeof text - 1, MIEN_E_ARG, words)
    REFUSES("", "empty");
    REFUSES("\n\r\n", "empty");
    REFUSES("\xef\xbb\xbf", "empty");
    REFUSES("a,b\n1\n", "line 2: 1 fields; the first line has 2");
    REFUSES("a,b\n1,2\n\n1,2,3\n", "line 4: 3 fields");
    REFUSES("a\n\"\n\n", "line 2: a quote that is not closed");
    REFUSES("a\n\"", "line 2: a quote that is not closed");
    REFUSES("a\n\"x\"\"", "line 2: a quote that is not closed");
    REFUSES("a\n\"x\n\"y\n", "line 3: text after a quoted field");
    REFUSES("a\n\"x\"\r", "line 2: text after a quoted field");
    REFUSES("a\nx\"y\"\n", "line 2: a quote in the middle");
    REFUSES("a\n\n\0\n", "line 3: a NUL");
    REFUSES("a,b,a\n", "\"a\"");
    memset(many, ',', sizeof many);
    refuses(many, MIEN_CSV_MAX_COLUMNS, MIEN_E_LIMIT, "line 1: more than 256 fields");
    refuses(large, (size_t)MIEN_CSV_MAX_BYTES + 1, MIEN_E_LIMIT, "at most");
    struct mien_arena *small = mien_arena_create(1 << 16), *kept = arena;
    static char text[1 << 16];
    memset(text, '\n', sizeof text);
    arena = small;
    refuses(text, sizeof text, MIEN_E_NOMEM, "out of memory");
    arena = kept;
    mien_arena_free(&small);
}

/* Every cut of a text is taken or refused, and what is taken lies within the arena (the sanitizers look). */
static void cuts(void **state)
{
    (void)state;
    static const char TEXT[] = "\xef\xbb\xbf" "a,\"b\"\"c\"\r\n\"1,\n\",2\r\n\r\n,\"\"\n";
    for (size_t n = 0; n < sizeof TEXT; n++) {
        struct mien_csv c;
        char copy[sizeof TEXT];
        memcpy(copy, TEXT, n);
        if (mien_csv_parse(copy, n, arena, &c, NULL) != MIEN_OK) continue;
        for (size_t i = 0; i < c.rows * c.columns; i++) assert_true(strlen(c.cell[i]) < sizeof TEXT);
    }
    mien_arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tables), cmocka_unit_test(quotes), cmocka_unit_test(columns), cmocka_unit_test(bad_input),
                                       cmocka_unit_test(cuts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
