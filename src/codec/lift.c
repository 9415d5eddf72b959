/* Lifting long strings out of a JSON text.
 *
 * One scan finds every string token. A long one that is a value (no colon behind it) and holds ASCII only is left out of the shortened text;
 * a short string stands in its place: U+0001 and the number of the lifted string. All else is copied, so that the reader sees the same tokens
 * in the same order and refuses what it would have refused: a lifted string is itself well-formed.
 *
 * No client can write such a placeholder. A string whose first character is U+0001 has one spelling in JSON, \u0001 right behind the quote
 * (raw control characters are refused, as are overlong forms), and when the scan meets that spelling nothing is lifted at all.
 *
 * Where the text is wrong before some point, the scan may take what follows for something else; the reader refuses at that point already. */
#include "codec/lift.h"

#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG "\\u0001"
enum { TAG_CHARACTER = 1, PLACEHOLDER = sizeof "\"" TAG "18446744073709551615\"" };

struct span {
    size_t at, size; /* the token with its quotes, in the body */
    bool escaped;    /* holds a backslash */
};

struct scan {
    char *body;
    size_t n;
    struct span *span;
    size_t count, lifted_bytes;
    bool tagged; /* a string of the client's looks like a placeholder */
};

/* What one string token is made of. */
struct token {
    size_t end; /* its closing quote, or n */
    bool ascii, escaped;
};

/* Position of the next quote, backslash or character below `least` (as signed: also those from 0x80 up, when least is at least 0). */
static size_t skip_plain(const char *s, size_t i, size_t n, signed char least)
{
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), least16 = _mm_set1_epi8(least);
    for (; n - i >= 16; i += 16) {
        const __m128i c = _mm_loadu_si128((const __m128i *)(const void *)(s + i));
        const __m128i special = _mm_or_si128(_mm_cmpeq_epi8(c, quote), _mm_cmpeq_epi8(c, backslash));
        const int found = _mm_movemask_epi8(_mm_or_si128(special, _mm_cmplt_epi8(c, least16)));
        if (found != 0) return i + (size_t)__builtin_ctz((unsigned)found);
    }
    while (i < n && s[i] != '"' && s[i] != '\\' && (signed char)s[i] >= least) i++;
    return i;
}

/* Value of four hexadecimal digits, or -1. */
static int hex4(const char *s)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        const char c = s[i];
        if (c >= '0' && c <= '9') v = v * 16 + c - '0';
        else if (c >= 'a' && c <= 'f') v = v * 16 + c - 'a' + 10;
        else if (c >= 'A' && c <= 'F') v = v * 16 + c - 'A' + 10;
        else return -1;
    }
    return v;
}

/* Length of the escape at s[0] == '\\' when it stands for one ASCII character other than NUL, which *c receives; else 0. */
static size_t ascii_escape(const char *s, size_t n, char *c)
{
    static const char letter[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (n < 2) return 0;
    if (s[1] == 'u') {
        const int v = n >= 6 ? hex4(s + 2) : -1;
        *c = (char)v;
        return v > 0 && v < 0x80 ? 6 : 0;
    }
    const char *at = memchr(letter, s[1], sizeof letter - 1);
    if (at == NULL) return 0;
    *c = meant[at - letter];
    return 2;
}

/* The string whose characters begin at i. */
static struct token string_at(const char *s, size_t i, size_t n)
{
    struct token t = {.ascii = true};
    for (;;) {
        i = skip_plain(s, i, n, t.ascii ? 0x20 : INT8_MIN);
        if (i >= n || s[i] == '"') break;
        size_t length = 0;
        char c;
        if (s[i] == '\\') {
            length = ascii_escape(s + i, n - i, &c);
            t.escaped = true;
        }
        t.ascii &= length > 0; /* what is no character of ours may be wrong altogether: the reader will see */
        i += length > 0 ? length : 1;
    }
    t.end = i;
    return t;
}

/* A colon behind a string makes it a member's name. */
static bool is_name(const char *s, size_t i, size_t n)
{
    while (i < n && (s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r')) i++;
    return i < n && s[i] == ':';
}

/* Finds what is to be lifted; stops as soon as too much would be left. */
static void find_long_strings(struct scan *s)
{
    size_t i = 0;
    while (i < s->n && !s->tagged && i - s->lifted_bytes <= MIEN_LIFT_REST_BYTES) {
        const char *quote = memchr(s->body + i, '"', s->n - i);
        if (quote == NULL) return;
        const size_t at = (size_t)(quote - s->body), begin = at + 1;
        const struct token t = string_at(s->body, begin, s->n);
        if (t.end == s->n) return;
        s->tagged = t.end - begin >= sizeof TAG - 1 && memcmp(s->body + begin, TAG, sizeof TAG - 1) == 0;
        i = t.end + 1;
        if (t.end - begin < MIEN_LIFT_BYTES || !t.ascii || is_name(s->body, i, s->n)) continue;
        s->span[s->count++] = (struct span){at, i - at, t.escaped};
        s->lifted_bytes += i - at;
    }
}

static size_t write_placeholder(char *to, size_t number)
{
    return (size_t)snprintf(to, PLACEHOLDER, "\"" TAG "%zu\"", number);
}

/* The text with placeholders, in the arena. NULL when that is full. */
static char *shortened(const struct scan *s, struct mien_arena *arena, size_t *size)
{
    char *text = mien_arena_alloc(arena, s->n - s->lifted_bytes + s->count * PLACEHOLDER), *to = text;
    size_t from = 0;
    if (text == NULL) return NULL;
    for (size_t i = 0; i < s->count; i++) {
        to = mempcpy(to, s->body + from, s->span[i].at - from);
        to += write_placeholder(to, i);
        from = s->span[i].at + s->span[i].size;
    }
    to = mempcpy(to, s->body + from, s->n - from);
    *size = (size_t)(to - text);
    return text;
}

/* Position in the body of a position in the shortened text. */
static size_t position_in_body(const struct scan *s, size_t pos)
{
    char room[PLACEHOLDER];
    size_t removed = 0;
    for (size_t i = 0; i < s->count && pos + removed > s->span[i].at; i++) {
        const size_t length = write_placeholder(room, i);
        if (pos + removed < s->span[i].at + length) return s->span[i].at;
        removed += s->span[i].size - length;
    }
    return pos + removed;
}

/* Replaces escapes by what they stand for; returns the new length. Every escape was checked when the string was found. */
static size_t unescape(char *s, size_t n)
{
    size_t to = 0, i = 0;
    while (i < n) {
        const char *backslash = memchr(s + i, '\\', n - i);
        const size_t plain = backslash != NULL ? (size_t)(backslash - s) - i : n - i;
        memmove(s + to, s + i, plain);
        to += plain;
        i += plain;
        if (i < n) i += ascii_escape(s + i, n - i, &s[to++]);
    }
    return to;
}

static enum mien_code give_out(const struct scan *s, struct mien_arena *arena, struct mien_lifted *out, struct mien_err *e)
{
    out->text = mien_arena_calloc(arena, s->count, sizeof *out->text);
    out->size = mien_arena_calloc(arena, s->count, sizeof *out->size);
    MIEN_FAIL_IF(out->text == NULL || out->size == NULL, e, MIEN_E_NOMEM, "JSON: out of memory");
    out->count = s->count;
    for (size_t i = 0; i < s->count; i++) {
        out->text[i] = s->body + s->span[i].at + 1;
        out->size[i] = s->span[i].size - 2;
        if (s->span[i].escaped) out->size[i] = unescape(out->text[i], out->size[i]);
    }
    return MIEN_OK;
}

enum mien_code mien_json_lift(char *body, size_t n, struct mien_arena *arena, struct mien_lifted *out, struct mien_err *e)
{
    *out = (struct mien_lifted){0};
    struct scan s = {.body = body, .n = n};
    s.span = mien_arena_calloc(arena, n / MIEN_LIFT_BYTES, sizeof *s.span);
    MIEN_FAIL_IF(s.span == NULL, e, MIEN_E_NOMEM, "JSON: out of memory");
    find_long_strings(&s);
    if (s.tagged) s.count = s.lifted_bytes = 0;
    MIEN_FAIL_IF(n - s.lifted_bytes > MIEN_LIFT_REST_BYTES, e, MIEN_E_LIMIT, "JSON: more than %d bytes besides long strings", MIEN_LIFT_REST_BYTES);
    if (s.count == 0) return mien_json_parse(body, n, &out->root, e);
    size_t size;
    const char *text = shortened(&s, arena, &size);
    MIEN_FAIL_IF(text == NULL, e, MIEN_E_NOMEM, "JSON: out of memory");
    enum mien_code code = mien_json_parse(text, size, &out->root, e);
    if (code == MIEN_OK) code = give_out(&s, arena, out, e);
    else if (e != NULL) e->pos = position_in_body(&s, e->pos);
    if (code != MIEN_OK) mien_json_free(&out->root);
    return code;
}

bool mien_lifted_text(const struct mien_lifted *l, const struct mien_json *v, char **text, size_t *n)
{
    /* the tree belongs to the caller, who may change a string in place as he may in the body */
    union { const char *from; char *to; } s = {mien_json_string(v, NULL)};
    if (s.from == NULL) return false;
    const size_t i = s.from[0] == TAG_CHARACTER ? strtoul(s.from + 1, NULL, 10) : l->count;
    if (i < l->count) {
        *text = l->text[i];
        *n = l->size[i];
        return true;
    }
    *text = s.to;
    *n = strlen(s.from);
    return true;
}
