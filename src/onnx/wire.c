#include "onnx/wire.h"

#include <string.h>

bool mien_wire_varint(struct mien_wire *w, uint64_t *v)
{
    uint64_t r = 0;
    for (int i = 0; i < 10; i++) {
        if (w->p == w->end) return false;
        unsigned char b = *w->p++;
        if (i == 9 && b > 1) return false; /* more than 64 bits */
        r |= (uint64_t)(b & 0x7f) << (7 * i);
        if (b < 0x80) {
            *v = r;
            return true;
        }
    }
    return false;
}

static bool fixed(struct mien_wire *w, size_t n, uint64_t *v)
{
    if (mien_wire_len(*w) < n) return false;
    *v = 0;
    for (size_t i = 0; i < n; i++) *v |= (uint64_t)w->p[i] << (8 * i);
    w->p += n;
    return true;
}

int mien_wire_next(struct mien_wire *w, struct mien_field *f)
{
    if (w->p == w->end) return 0;
    uint64_t tag, len;
    if (!mien_wire_varint(w, &tag)) return -1;
    if (tag >> 3 == 0 || tag >> 3 > 0x1fffffff) return -1;
    f->number = (uint32_t)(tag >> 3);
    f->value = 0;
    f->bytes = (struct mien_wire){w->p, w->p};
    switch (tag & 7) {
    case MIEN_WIRE_VARINT:
        f->type = MIEN_WIRE_VARINT;
        return mien_wire_varint(w, &f->value) ? 1 : -1;
    case MIEN_WIRE_FIXED64:
        f->type = MIEN_WIRE_FIXED64;
        return fixed(w, 8, &f->value) ? 1 : -1;
    case MIEN_WIRE_FIXED32:
        f->type = MIEN_WIRE_FIXED32;
        return fixed(w, 4, &f->value) ? 1 : -1;
    case MIEN_WIRE_BYTES:
        f->type = MIEN_WIRE_BYTES;
        if (!mien_wire_varint(w, &len) || len > mien_wire_len(*w)) return -1;
        f->bytes = (struct mien_wire){w->p, w->p + len};
        w->p += len;
        return 1;
    default: return -1;
    }
}

bool mien_wire_equals(struct mien_wire w, const char *text)
{
    size_t n = strlen(text);
    return mien_wire_len(w) == n && (n == 0 || memcmp(w.p, text, n) == 0);
}

struct mien_repeat mien_repeat_begin(struct mien_wire message, uint32_t number, enum mien_wire_type elem)
{
    return (struct mien_repeat){message, {message.end, message.end}, number, elem};
}

static bool scalar(struct mien_wire *w, enum mien_wire_type t, uint64_t *v)
{
    if (t == MIEN_WIRE_VARINT) return mien_wire_varint(w, v);
    return fixed(w, t == MIEN_WIRE_FIXED32 ? 4 : 8, v);
}

int mien_repeat_next(struct mien_repeat *r, uint64_t *v)
{
    while (r->run.p == r->run.end) {
        struct mien_field f;
        int got = mien_wire_next(&r->message, &f);
        if (got <= 0) return got;
        if (f.number != r->number) continue;
        if (f.type == r->elem) {
            *v = f.value;
            return 1;
        }
        if (f.type != MIEN_WIRE_BYTES) return -1;
        r->run = f.bytes;
    }
    return scalar(&r->run, r->elem, v) ? 1 : -1;
}
