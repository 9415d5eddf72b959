/* JSON over jansson (reading) and a writer of our own.
 *
 * A `struct mien_json` is a json_t under another name: the accessors cast, so that a tree costs nothing beyond
 * what jansson allocates and jansson.h is seen by this file only.
 *
 * jansson's own nesting limit is 2048, which a recursive descent pays for in stack; the text is scanned once for
 * depth before it is parsed. jansson's error texts quote the input, which may be a secret, so only its error code
 * and position are used. It keeps members in the order of the file and refuses NUL characters, lone surrogates,
 * integers outside int64 and reals outside double. */
#include "codec/json.h"

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "codec/utf8.h"

enum { MAX_DEPTH = 64 };

static const json_t *in(const struct mien_json *v) { return (const json_t *)(const void *)v; }
static const struct mien_json *out(const json_t *v) { return (const struct mien_json *)(const void *)v; }

/* Offset of the bracket that opens level MAX_DEPTH + 1, or n. Wrong text is left for the parser to find. */
static size_t too_deep_at(const char *text, size_t n)
{
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\') i++;
            else if (c == '"') quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            if (++depth > MAX_DEPTH) return i;
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return n;
}

static const char *what_is_wrong(enum json_error_code code)
{
    switch (code) {
    case json_error_premature_end_of_input: return "the text ends too early";
    case json_error_end_of_input_expected: return "text after the end of the value";
    case json_error_invalid_utf8: return "invalid UTF-8";
    case json_error_duplicate_key: return "a member appears twice";
    case json_error_numeric_overflow: return "a number is out of range";
    case json_error_null_character:
    case json_error_null_byte_in_key: return "a string contains a NUL character";
    case json_error_stack_overflow: return "nested too deeply";
    default: return "invalid syntax";
    }
}

enum mien_code mien_json_parse(const char *text, size_t n, struct mien_json **root, struct mien_err *e)
{
    *root = NULL;
    size_t deep = too_deep_at(text, n);
    if (deep < n) {
        MIEN_FAIL(e, MIEN_E_JSON, "JSON: nested deeper than %d", MAX_DEPTH);
        if (e != NULL) e->pos = deep;
        return MIEN_E_JSON;
    }
    json_error_t error;
    json_t *tree = json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (tree == NULL) {
        if (json_error_code(&error) == json_error_out_of_memory) return MIEN_FAIL(e, MIEN_E_NOMEM, "JSON: out of memory");
        MIEN_FAIL(e, MIEN_E_JSON, "JSON: %s (line %d)", what_is_wrong(json_error_code(&error)), error.line);
        if (e != NULL) e->pos = error.position > 0 ? (size_t)error.position : 0;
        return MIEN_E_JSON;
    }
    *root = (struct mien_json *)(void *)tree;
    return MIEN_OK;
}

void mien_json_free(struct mien_json **root)
{
    if (root == NULL) return;
    json_decref((json_t *)(void *)*root);
    *root = NULL;
}

const struct mien_json *mien_json_get(const struct mien_json *object, const char *key)
{
    return out(json_object_get(in(object), key));
}

const struct mien_json *mien_json_at(const struct mien_json *array, size_t i)
{
    return out(json_array_get(in(array), i));
}

size_t mien_json_size(const struct mien_json *v)
{
    return json_is_array(in(v)) ? json_array_size(in(v)) : json_object_size(in(v));
}

const struct mien_json *mien_json_member(const struct mien_json *object, size_t i, const char **key)
{
    /* jansson's iterators want a non-const object although they do not change it. */
    union { const struct mien_json *from; json_t *to; } o = {object};
    void *it = json_object_iter(o.to);
    while (it != NULL && i-- > 0) it = json_object_iter_next(o.to, it);
    if (it == NULL) return NULL;
    if (key != NULL) *key = json_object_iter_key(it);
    return out(json_object_iter_value(it));
}

int mien_json_depth(const struct mien_json *v)
{
    int deepest = 0;
    json_t *object = (json_t *)(uintptr_t)in(v);
    if (!mien_json_is_object(v) && !mien_json_is_array(v)) return 0;
    for (size_t i = 0; mien_json_is_array(v) && i < mien_json_size(v); i++) {
        const int depth = mien_json_depth(mien_json_at(v, i));
        if (depth > deepest) deepest = depth;
    }
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        const int depth = mien_json_depth(out(json_object_iter_value(at)));
        if (depth > deepest) deepest = depth;
    }
    return deepest + 1;
}

bool mien_json_is_null(const struct mien_json *v) { return v == NULL || json_is_null(in(v)); }
bool mien_json_is_object(const struct mien_json *v) { return json_is_object(in(v)); }
bool mien_json_is_array(const struct mien_json *v) { return json_is_array(in(v)); }
bool mien_json_is_string(const struct mien_json *v) { return json_is_string(in(v)); }
bool mien_json_is_number(const struct mien_json *v) { return json_is_number(in(v)); }

const char *mien_json_string(const struct mien_json *v, const char *otherwise)
{
    return json_is_string(in(v)) ? json_string_value(in(v)) : otherwise;
}

double mien_json_number(const struct mien_json *v, double otherwise)
{
    return json_is_number(in(v)) ? json_number_value(in(v)) : otherwise;
}

int64_t mien_json_integer(const struct mien_json *v, int64_t otherwise)
{
    if (json_is_integer(in(v))) return json_integer_value(in(v));
    if (!json_is_real(in(v))) return otherwise;
    double d = json_real_value(in(v));
    bool whole = d >= -0x1p63 && d < 0x1p63 && d == floor(d);
    return whole ? (int64_t)d : otherwise;
}

bool mien_json_bool(const struct mien_json *v, bool otherwise)
{
    return json_is_boolean(in(v)) ? json_is_true(in(v)) : otherwise;
}

bool mien_json_floats(const struct mien_json *array, float *values, size_t n)
{
    if (!json_is_array(in(array)) || json_array_size(in(array)) != n) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(in(array), i);
        if (!json_is_number(v)) return false;
        values[i] = (float)json_number_value(v);
    }
    return true;
}

/* ---- writer ---- */

void mien_jw_init(struct mien_jw *w, struct mien_buf *buf) { *w = (struct mien_jw){.out = buf}; }

/* The comma before a value or key, unless it is the first of its container or stands behind its key. */
static void separate(struct mien_jw *w)
{
    uint64_t bit = (uint64_t)1 << w->depth;
    if (w->after_key) w->after_key = false;
    else if (w->has_item & bit) mien_buf_add(w->out, ",", 1);
    w->has_item |= bit;
}

static void open_container(struct mien_jw *w, const char *bracket)
{
    separate(w);
    assert(w->depth < MAX_DEPTH - 1);
    w->depth++;
    w->has_item &= ~((uint64_t)1 << w->depth);
    mien_buf_add(w->out, bracket, 1);
}

static void close_container(struct mien_jw *w, const char *bracket)
{
    assert(w->depth > 0 && !w->after_key);
    w->depth--;
    mien_buf_add(w->out, bracket, 1);
}

void mien_jw_object(struct mien_jw *w) { open_container(w, "{"); }
void mien_jw_array(struct mien_jw *w) { open_container(w, "["); }
void mien_jw_end_object(struct mien_jw *w) { close_container(w, "}"); }
void mien_jw_end_array(struct mien_jw *w) { close_container(w, "]"); }

/* Escape of one character of length 1, or NULL when it stands for itself. */
static const char *escape(unsigned char c, char room[8])
{
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: break;
    }
    if (c >= 0x20) return NULL;
    snprintf(room, 8, "\\u%04x", (unsigned)c);
    return room;
}

/* Quoted text; bytes that are not UTF-8 become U+FFFD, so that the output is always valid JSON. */
static void put_quoted(struct mien_jw *w, const char *text)
{
    const unsigned char *s = (const unsigned char *)text, *plain = s;
    mien_buf_add(w->out, "\"", 1);
    while (*s != 0) {
        char room[8];
        size_t n = mien_utf8_length(s);
        const char *instead = n == 0 ? "\xef\xbf\xbd" : n == 1 ? escape(*s, room) : NULL;
        if (instead != NULL) {
            mien_buf_add(w->out, plain, (size_t)(s - plain));
            mien_buf_adds(w->out, instead);
            plain = s + 1;
        }
        s += n == 0 ? 1 : n;
    }
    mien_buf_add(w->out, plain, (size_t)(s - plain));
    mien_buf_add(w->out, "\"", 1);
}

void mien_jw_key(struct mien_jw *w, const char *key)
{
    assert(w->depth > 0 && !w->after_key);
    separate(w);
    put_quoted(w, key);
    mien_buf_add(w->out, ":", 1);
    w->after_key = true;
}

void mien_jw_string(struct mien_jw *w, const char *s)
{
    if (s == NULL) {
        mien_jw_null(w);
        return;
    }
    separate(w);
    put_quoted(w, s);
}

void mien_jw_number(struct mien_jw *w, double v, int digits)
{
    if (!isfinite(v)) {
        mien_jw_null(w);
        return;
    }
    separate(w);
    mien_buf_addf(w->out, "%.*g", digits, v == 0 ? 0.0 : v);
}

void mien_jw_fixed(struct mien_jw *w, double v, int decimals)
{
    char text[400]; /* the largest double has 309 digits before the point */
    if (!isfinite(v)) {
        mien_jw_null(w);
        return;
    }
    assert(decimals >= 0 && decimals <= 20);
    int n = snprintf(text, sizeof text, "%.*f", decimals, v);
    if (decimals > 0) {
        while (text[n - 1] == '0') n--;
        if (text[n - 1] == '.') n--;
    }
    text[n] = '\0';
    separate(w);
    mien_buf_adds(w->out, strcmp(text, "-0") == 0 ? "0" : text);
}

void mien_jw_integer(struct mien_jw *w, int64_t v)
{
    separate(w);
    mien_buf_addf(w->out, "%lld", (long long)v);
}

void mien_jw_bool(struct mien_jw *w, bool v)
{
    separate(w);
    mien_buf_adds(w->out, v ? "true" : "false");
}

void mien_jw_null(struct mien_jw *w)
{
    separate(w);
    mien_buf_adds(w->out, "null");
}

void mien_jw_copy(struct mien_jw *w, const struct mien_json *v)
{
    json_t *object = (json_t *)(uintptr_t)in(v);
    if (w->out->failed) return; /* nothing more comes of it */
    if (mien_json_is_object(v)) {
        mien_jw_object(w);
        for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
            mien_jw_key(w, json_object_iter_key(at));
            mien_jw_copy(w, out(json_object_iter_value(at)));
        }
        mien_jw_end_object(w);
    } else if (mien_json_is_array(v)) {
        mien_jw_array(w);
        for (size_t i = 0; i < mien_json_size(v); i++) mien_jw_copy(w, mien_json_at(v, i));
        mien_jw_end_array(w);
    } else if (mien_json_is_string(v)) mien_jw_string(w, mien_json_string(v, ""));
    else if (mien_json_is_number(v) && mien_json_integer(v, 0) == mien_json_integer(v, 1)) mien_jw_integer(w, mien_json_integer(v, 0));
    else if (mien_json_is_number(v)) mien_jw_number(w, mien_json_number(v, 0), 17);
    else if (mien_json_is_null(v)) mien_jw_null(w);
    else mien_jw_bool(w, mien_json_bool(v, false));
}

void mien_jw_text(struct mien_jw *w, const char *json)
{
    separate(w);
    mien_buf_adds(w->out, json);
}

void mien_jw_put_string(struct mien_jw *w, const char *key, const char *s)
{
    mien_jw_key(w, key);
    mien_jw_string(w, s);
}

void mien_jw_put_integer(struct mien_jw *w, const char *key, int64_t v)
{
    mien_jw_key(w, key);
    mien_jw_integer(w, v);
}
