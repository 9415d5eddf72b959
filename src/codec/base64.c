/* Base64: the rules, the scalar reference and the choice of the AVX2 loop.
 *
 * One table serves both alphabets. A character's entry is its value and two flags: FOR_STANDARD for + and /, FOR_URL for - and _, both for
 * characters that are in neither alphabet. The flags of everything read so far are collected in `seen`; the first character that makes
 * both appear is foreign or belongs to the other alphabet, and is the wrong one. */
#include "codec/base64.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/cpu.h"
#include "codec/base64_loop.h"

enum { FOREIGN = MIEN_BASE64_FOR_STANDARD | MIEN_BASE64_FOR_URL, SCALAR_STEP = 32 };

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define X FOREIGN
#define STD(v) (MIEN_BASE64_FOR_STANDARD | (v))
#define URL(v) (MIEN_BASE64_FOR_URL | (v))
#define X16 X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X
static const uint8_t meaning[256] = {
    X16, X16,
    X, X, X, X, X, X, X, X, X, X, X, STD(62), X, URL(62), X, STD(63),
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, X, X, X, X, X, X,
    X, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, X, X, X, X, URL(63),
    X, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, X, X, X, X, X,
    X16, X16, X16, X16, X16, X16, X16, X16,
};
#undef X
#undef STD
#undef URL
#undef X16

size_t mien_base64_room(size_t n) { return n / 4 * 3 + n % 4 * 3 / 4; }

static enum mien_code wrong(size_t at, struct mien_err *e, const char *what)
{
    MIEN_FAIL(e, MIEN_E_BASE64, "base64: %s", what);
    if (e != NULL) e->pos = at;
    return MIEN_E_BASE64;
}

/* Values of n <= 4 characters, the first one highest, as if zeros followed. Returns how many characters were right. */
static size_t read_group(const unsigned char *s, size_t n, unsigned *seen, uint32_t *bits)
{
    *bits = 0;
    for (size_t i = 0; i < n; i++) {
        const unsigned m = meaning[s[i]];
        *seen |= m & FOREIGN;
        if (*seen == FOREIGN) return i;
        *bits |= (m & 63) << (18 - 6 * i);
    }
    return n;
}

static void write_group(uint32_t bits, size_t bytes, unsigned char *out)
{
    for (size_t i = 0; i < bytes; i++) out[i] = (unsigned char)(bits >> (16 - 8 * i));
}

/* Whole groups of four. Returns the characters that were right: n, or the position of the first wrong one. */
static size_t decode_groups(const unsigned char *s, size_t n, unsigned char *out, unsigned *seen)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t bits;
        const size_t right = read_group(s + i, 4, seen, &bits);
        if (right < 4) return i + right;
        write_group(bits, 3, out + i / 4 * 3);
    }
    return n;
}

/* As decode_groups, with the vector loop for all that it can take. It stops at a block with a wrong character and at the first block that
 * tells the alphabet; the scalar loop does that block. */
static size_t decode_whole(const unsigned char *s, size_t n, unsigned char *out, unsigned *seen)
{
    if (!(mien_cpu_flags() & MIEN_CPU_AVX2)) return decode_groups(s, n, out, seen);
    size_t i = 0;
    while (i < n) {
        i += mien_base64_loop_avx2(s + i, n - i, out + i / 4 * 3, *seen);
        const size_t step = n - i < SCALAR_STEP ? n - i : SCALAR_STEP;
        const size_t right = decode_groups(s + i, step, out + i / 4 * 3, seen);
        i += right;
        if (right < step) break;
    }
    return i;
}

enum mien_code mien_base64_decode(const char *text, size_t n, unsigned char *out, size_t *size, struct mien_err *e)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned seen = 0;
    *size = 0;
    if (n > 0 && n % 4 == 0 && s[n - 1] == '=') n -= s[n - 2] == '=' ? 2 : 1;
    const size_t rest = n % 4, whole = n - rest;
    const size_t right = decode_whole(s, whole, out, &seen);
    if (right < whole) return wrong(right, e, "wrong character");
    uint32_t bits;
    const size_t last = read_group(s + whole, rest, &seen, &bits);
    if (last < rest) return wrong(whole + last, e, "wrong character");
    if (rest == 1) return wrong(n - 1, e, "impossible length");
    const size_t bytes = rest * 3 / 4;
    if (rest > 0 && (bits & (0xffffffu >> (8 * bytes))) != 0) return wrong(n - 1, e, "bits left over at the end");
    write_group(bits, bytes, out + whole / 4 * 3);
    *size = whole / 4 * 3 + bytes;
    return MIEN_OK;
}

bool mien_data_url_payload(const char **text, size_t *n)
{
    static const char scheme[] = "data:", mark[] = ";base64";
    if (*n < sizeof scheme - 1 || strncasecmp(*text, scheme, sizeof scheme - 1) != 0) return true;
    const char *comma = memchr(*text, ',', *n);
    if (comma == NULL) return false;
    const size_t head = (size_t)(comma - *text);
    if (head < sizeof scheme - 1 + sizeof mark - 1 || strncasecmp(comma - (sizeof mark - 1), mark, sizeof mark - 1) != 0) return false;
    *text = comma + 1;
    *n -= head + 1;
    return true;
}

size_t mien_base64_encode(const void *data, size_t n, char *out)
{
    const unsigned char *s = data;
    char *const begin = out;
    for (size_t i = 0; i < n; i += 3, out += 4) {
        const size_t left = n - i;
        const uint32_t bits = (uint32_t)s[i] << 16 | (left > 1 ? (uint32_t)s[i + 1] << 8 : 0) | (left > 2 ? s[i + 2] : 0u);
        out[0] = alphabet[bits >> 18];
        out[1] = alphabet[bits >> 12 & 63];
        out[2] = left > 1 ? alphabet[bits >> 6 & 63] : '=';
        out[3] = left > 2 ? alphabet[bits & 63] : '=';
    }
    *out = '\0';
    return (size_t)(out - begin);
}
