/* Base64: a decoder written another way is the oracle; the vector loop, the scalar loop and decoding in place must all agree with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "codec/base64.h"

enum { LONGEST = 400 };

static uint64_t random_state = 88172645463325252u;

static unsigned random_below(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 33) % n;
}

/* One character at a time over a bit buffer, straight from the words of the header. Returns the bytes, or -1 with *at. */
static int oracle(const char *text, size_t n, unsigned char *out, size_t *at)
{
    static const char common[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const char *special = NULL;
    size_t pads = 0;
    if (n % 4 == 0)
        while (pads < 2 && pads < n && text[n - 1 - pads] == '=') pads++;
    unsigned bits = 0, held = 0;
    int bytes = 0;
    for (size_t i = 0; i < n - pads; i++) {
        const char c = text[i], *p = c != '\0' ? strchr(common, c) : NULL;
        unsigned v;
        if (p != NULL) {
            v = (unsigned)(p - common);
        } else {
            const char *own = c == '+' || c == '/' ? "+/" : c == '-' || c == '_' ? "-_" : NULL;
            *at = i;
            if (own == NULL || (special != NULL && strcmp(own, special) != 0)) return -1;
            special = own;
            v = c == own[0] ? 62 : 63;
        }
        bits = bits << 6 | v;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[bytes++] = (unsigned char)(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    *at = n - pads - 1;
    return held == 6 || bits != 0 ? -1 : bytes;
}

/* The text lies at the end of its own memory, so that a sanitizer sees reads and writes beyond it. */
static void check_one_way(const char *text, size_t n, bool in_place, int bytes, const unsigned char *expected, size_t at)
{
    char *copy = malloc(n + 1);
    unsigned char *room = malloc(mien_base64_room(n) + 1);
    assert_true(copy != NULL && room != NULL);
    char *t = copy + 1;
    memcpy(t, text, n);
    unsigned char *out = in_place ? (unsigned char *)t : room + 1;
    size_t size = 12345;
    struct mien_err e = {0};
    const enum mien_code code = mien_base64_decode(t, n, out, &size, &e);
    if (bytes < 0) {
        assert_int_equal(code, MIEN_E_BASE64);
        assert_int_equal(e.code, MIEN_E_BASE64);
        assert_int_equal(e.pos, at);
    } else {
        assert_int_equal(code, MIEN_OK);
        assert_int_equal(size, bytes);
        assert_true(size <= mien_base64_room(n));
        assert_memory_equal(out, expected, size);
    }
    free(copy);
    free(room);
}

/* Returns whether the text was taken. */
static bool check(const char *text, size_t n)
{
    unsigned char expected[LONGEST];
    size_t at = 0;
    const int bytes = oracle(text, n, expected, &at);
    for (int way = 0; way < 4; way++) {
        mien_cpu_set_mask((way & 1) != 0 ? ~0u : 0u);
        check_one_way(text, n, (way & 2) != 0, bytes, expected, at);
    }
    mien_cpu_set_mask(~0u);
    return bytes >= 0;
}

static size_t random_text(char *text, size_t bytes, bool url, bool padded)
{
    unsigned char data[LONGEST];
    for (size_t i = 0; i < bytes; i++) data[i] = (unsigned char)random_below(256);
    size_t n = mien_base64_encode(data, bytes, text);
    for (size_t i = 0; url && i < n; i++) text[i] = (char)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
    while (!padded && n > 0 && text[n - 1] == '=') n--;
    return n;
}

static void every_length_in_every_form(void **state)
{
    (void)state;
    char text[2 * LONGEST];
    for (size_t bytes = 0; bytes < 230; bytes++) {
        for (int form = 0; form < 4; form++) {
            const size_t n = random_text(text, bytes, (form & 1) != 0, (form & 2) != 0);
            if (!check(text, n)) fail_msg("refused %zu bytes in form %d", bytes, form);
        }
    }
}

static void every_length_of_any_text(void **state)
{
    (void)state;
    static const char some[] = "AAAAbz09+/-_==";
    char text[LONGEST];
    for (size_t n = 0; n <= 300; n++) {
        for (int round = 0; round < 10; round++) {
            /* mostly one letter, so that many lengths are decided by their end only */
            for (size_t i = 0; i < n; i++) text[i] = random_below(40) == 0 ? some[random_below(sizeof some - 1)] : 'A';
            check(text, n);
        }
    }
}

static void mutations_are_judged_alike(void **state)
{
    (void)state;
    char text[2 * LONGEST];
    int taken = 0, refused = 0;
    for (int round = 0; round < 20000; round++) {
        const size_t n = random_text(text, random_below(220), random_below(2) != 0, random_below(2) != 0);
        if (n == 0) continue;
        for (unsigned k = 1 + random_below(2); k > 0; k--) {
            static const char likely[] = "+/-_= \n\rAz09,.";
            text[random_below((unsigned)n)] = (char)(random_below(3) != 0 ? likely[random_below(sizeof likely - 1)] : (char)random_below(256));
        }
        if (check(text, n)) taken++;
        else refused++;
    }
    assert_true(taken > 1000 && refused > 1000);
}

/* Each of the 256 characters at each place of two blocks, in texts of each alphabet and of none. */
static void every_character_everywhere(void **state)
{
    (void)state;
    static const char *const before[] = {"AAAA", "A+AA", "AA-A"};
    for (size_t b = 0; b < 3; b++) {
        for (int c = 0; c < 256; c++) {
            for (size_t at = 4; at < 104; at++) {
                char text[120];
                memset(text, 'b', sizeof text);
                memcpy(text, before[b], 4);
                text[at] = (char)c;
                check(text, sizeof text);
            }
        }
    }
}

static void known_answers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t at;
    } bad[] = {
        {"A", 0},       {"AAAAA", 4},      {"=", 0},         {"==", 0},        {"====", 0},      {"A===", 1},       {"AB", 1},     {"AAB", 2},
        {"AB==", 1},    {"AAB=", 2},       {"AA=", 2},       {"AA==A", 2},     {"AA==AAAA", 2},  {"AAA=AAA=", 3},   {"AAAA=", 4},  {"AAAA==", 4},
        {"AAAA====", 4}, {"+_AA", 1},      {"-AA/", 3},      {" AAA", 0},      {"AAAA\n", 4},    {"AA AA", 2},      {"AA.A", 2},   {"A\xc3\xa9" "A", 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        unsigned char out[16];
        size_t size;
        struct mien_err e = {0};
        if (mien_base64_decode(bad[i].text, strlen(bad[i].text), out, &size, &e) != MIEN_E_BASE64) fail_msg("took %s", bad[i].text);
        if (e.pos != bad[i].at) fail_msg("%s: wrong at %zu", bad[i].text, e.pos);
        assert_int_equal(size, 0);
        check(bad[i].text, strlen(bad[i].text));
    }
    static const char *const pair[][2] = { /* RFC 4648, section 10 */
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++) {
        char text[16];
        assert_int_equal(mien_base64_encode(pair[i][0], strlen(pair[i][0]), text), strlen(pair[i][1]));
        assert_string_equal(text, pair[i][1]);
        assert_true(check(text, strlen(text)));
    }
    assert_int_equal(mien_base64_room(SIZE_MAX), SIZE_MAX / 4 * 3 + 2);
    assert_int_equal(mien_base64_room(8), 6);
}

static void data_urls(void **state)
{
    (void)state;
    static const struct {
        const char *text, *payload; /* NULL: not a data URL in base64 */
    } cases[] = {
        {"data:image/jpeg;base64,QUJD", "QUJD"}, {"DATA:;BASE64,QUJD", "QUJD"},   {"data:image/png;name=a;base64,", ""}, {"QUJD", "QUJD"}, {"", ""},
        {"data", "data"},                        {"data:image/jpeg,QUJD", NULL}, {"data:base64,QUJD", NULL},            {"data:", NULL},
        {"data:;base64", NULL},                  {"data:,;base64,QUJD", NULL},   {"data:x;base64;y=1,QUJD", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = cases[i].text;
        size_t n = strlen(text);
        const bool good = mien_data_url_payload(&text, &n);
        if (good != (cases[i].payload != NULL)) fail_msg("%s", cases[i].text);
        if (!good) continue;
        assert_int_equal(n, strlen(cases[i].payload));
        assert_memory_equal(text, cases[i].payload, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_in_every_form), cmocka_unit_test(every_length_of_any_text), cmocka_unit_test(mutations_are_judged_alike),
        cmocka_unit_test(every_character_everywhere), cmocka_unit_test(known_answers),            cmocka_unit_test(data_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
