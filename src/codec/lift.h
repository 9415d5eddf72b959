/* JSON bodies that carry images: long strings are lifted out before the JSON reader sees the text.
 *
 * A 2.7 MB string costs the reader 25 ms and a copy; here it costs one pass that looks for its end. Strings of at least MIEN_LIFT_BYTES that
 * hold only ASCII, also as escapes (some encoders write \/ or \u002B in base64), are replaced by a short placeholder; names of members and
 * all other strings are left to the reader, which is strict. What is accepted is exactly what mien_json_parse accepts (tests compare both), as
 * long as no more than MIEN_LIFT_REST_BYTES are left for the reader: its tree takes up to sixty times the memory of its text. */
#ifndef MIEN_CODEC_LIFT_H
#define MIEN_CODEC_LIFT_H

#include "base/arena.h"
#include "codec/json.h"

enum { MIEN_LIFT_BYTES = 1024, MIEN_LIFT_REST_BYTES = 1 << 20 };

struct mien_lifted {
    struct mien_json *root;
    char **text;     /* the lifted strings, in the order of the body; they point into the body and are not NUL-terminated */
    size_t *size;
    size_t count;
};

/* Parses `body` (n bytes, changed in place where a lifted string holds escapes). The arena holds the lists and the shortened text; out->root
 * is the caller's to free with mien_json_free. MIEN_E_JSON with e->pos, a position in the body; MIEN_E_LIMIT when too much is left besides the
 * lifted strings; MIEN_E_NOMEM. */
enum mien_code mien_json_lift(char *body, size_t n, struct mien_arena *arena, struct mien_lifted *out, struct mien_err *e) MIEN_MUST_CHECK;

/* Text of a string node, lifted or not: *text points into the body or into the tree, `*n` bytes that may be changed in place (where they are,
 * mien_json_string does not see the string any more). False when v is not a string. mien_json_string of a lifted string is the placeholder. */
bool mien_lifted_text(const struct mien_lifted *l, const struct mien_json *v, char **text, size_t *n);

#endif
