/* JSON bodies that carry images: long strings are lifted out before the JSON reader sees the text.
 *
 * A 2.7 MB string costs the reader 25 ms and a copy; here it costs one pass that looks for its end. Strings of at least MIEN_LIFT_BYTES that
 * hold only printable ASCII (and the escape \/ that some encoders write) are replaced by a short placeholder; all others are left to the
 * reader, which is strict. What is accepted is exactly what mien_json_parse accepts (tests compare both). */
#ifndef MIEN_CODEC_LIFT_H
#define MIEN_CODEC_LIFT_H

#include "base/arena.h"
#include "codec/json.h"

enum { MIEN_LIFT_BYTES = 1024 };

struct mien_lifted {
    struct mien_json *root;
    char **text;     /* the lifted strings, in the order of the body; they point into the body and are not NUL-terminated */
    size_t *size;
    size_t count;
};

/* Parses `body` (n bytes, changed in place where a lifted string holds \/). The arena holds the lists and the shortened text; *out->root is the
 * caller's to free with mien_json_free. e->pos is a position in the body. */
enum mien_code mien_json_lift(char *body, size_t n, struct mien_arena *arena, struct mien_lifted *out, struct mien_err *e) MIEN_MUST_CHECK;

/* Text of a string node, lifted or not: *text points into the body or into the tree, `*n` bytes. False when v is not a string. */
bool mien_lifted_text(const struct mien_lifted *l, const struct mien_json *v, char **text, size_t *n);

#endif
