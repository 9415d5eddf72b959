/* JSON in (strict, over jansson, which stays inside json.c) and JSON out (a streaming writer).
 *
 * Reading: mien_json_parse gives a tree that owns everything reached through it; free the root once.
 * Accessors accept NULL and nodes of another type and then answer with the default, so that a chain of
 * look-ups needs one check. */
#ifndef MIEN_CODEC_JSON_H
#define MIEN_CODEC_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"

struct mien_json; /* opaque node */

/* Rejects duplicate keys, trailing text, invalid UTF-8 and nesting beyond 64. e->pos is the byte offset. */
enum mien_code mien_json_parse(const char *text, size_t n, struct mien_json **root, struct mien_err *e)
    MIEN_MUST_CHECK;
void mien_json_free(struct mien_json **root);

/* Nodes below are borrowed from the root. NULL when absent or not an object / array. */
const struct mien_json *mien_json_get(const struct mien_json *object, const char *key);
const struct mien_json *mien_json_at(const struct mien_json *array, size_t i);
size_t mien_json_size(const struct mien_json *array_or_object); /* 0 for others */

/* i-th member of an object in file order: name through *key. NULL past the end. Walks i members. */
const struct mien_json *mien_json_member(const struct mien_json *object, size_t i, const char **key);

/* Levels of objects and arrays: 0 for other values, 1 for {} and [1]. */
int mien_json_depth(const struct mien_json *v);

bool mien_json_is_null(const struct mien_json *v); /* also true for NULL */
bool mien_json_is_object(const struct mien_json *v);
bool mien_json_is_array(const struct mien_json *v);
bool mien_json_is_string(const struct mien_json *v);
bool mien_json_is_number(const struct mien_json *v);
const char *mien_json_string(const struct mien_json *v, const char *otherwise);
double mien_json_number(const struct mien_json *v, double otherwise);
int64_t mien_json_integer(const struct mien_json *v, int64_t otherwise); /* also takes 2.0; not 2.5 */
bool mien_json_bool(const struct mien_json *v, bool otherwise);

/* Fills out[0..n) from an array of exactly n numbers; false otherwise. */
bool mien_json_floats(const struct mien_json *array, float *out, size_t n);

/* Writer: appends to a mien_buf; commas and nesting are kept track of. Keys and strings are escaped.
 * Doubles: shortest text with `digits` significant digits; NaN and infinities become null. Bytes that are not
 * UTF-8 become U+FFFD. At most 63 levels (asserted). Check out->failed once at the end. */
struct mien_jw {
    struct mien_buf *out;
    unsigned depth;
    uint64_t has_item; /* bit per depth: the container already holds an item */
    bool after_key;
};

void mien_jw_init(struct mien_jw *w, struct mien_buf *out);
void mien_jw_object(struct mien_jw *w);
void mien_jw_array(struct mien_jw *w);
void mien_jw_end_object(struct mien_jw *w);
void mien_jw_end_array(struct mien_jw *w);
void mien_jw_key(struct mien_jw *w, const char *key);
void mien_jw_string(struct mien_jw *w, const char *s); /* NULL -> null */
void mien_jw_number(struct mien_jw *w, double v, int digits);
void mien_jw_fixed(struct mien_jw *w, double v, int decimals); /* like %.*f, without trailing noise */
void mien_jw_integer(struct mien_jw *w, int64_t v);
void mien_jw_bool(struct mien_jw *w, bool v);
void mien_jw_null(struct mien_jw *w);
/* A member: key and value. */
void mien_jw_put_string(struct mien_jw *w, const char *key, const char *s);
void mien_jw_put_integer(struct mien_jw *w, const char *key, int64_t v);
void mien_jw_copy(struct mien_jw *w, const struct mien_json *v); /* a value that was read; numbers keep 17 digits */
void mien_jw_text(struct mien_jw *w, const char *json);          /* a value that is JSON text already: not checked */

/* ---- json_span.c: editing text in place, so that whatever is not edited stays as it was written ---- */

/* Where a value stands: text[at] .. text[at + n - 1]. Only for text that mien_json_parse has taken. */
struct mien_json_span { size_t at, n; };

/* The value of the whole text, of an object's member, and of an array's i-th element. false: there is none. Names are compared as they are written, so one with
 * an escape in it is not found. */
bool mien_json_span_root(const char *text, size_t n, struct mien_json_span *out);
bool mien_json_span_member(const char *text, struct mien_json_span object, const char *key, struct mien_json_span *out);
bool mien_json_span_at(const char *text, struct mien_json_span array, size_t i, struct mien_json_span *out);

#endif
