/* Protobuf wire format over a span of bytes: one field at a time, nothing copied, nothing trusted.
 * https://protobuf.dev/programming-guides/encoding/ . Groups (wire types 3 and 4) are refused: ONNX has none. */
#ifndef MIEN_ONNX_WIRE_H
#define MIEN_ONNX_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mien_wire { const unsigned char *p, *end; };

enum mien_wire_type { MIEN_WIRE_VARINT = 0, MIEN_WIRE_FIXED64 = 1, MIEN_WIRE_BYTES = 2, MIEN_WIRE_FIXED32 = 5 };

struct mien_field {
    uint32_t number;
    enum mien_wire_type type;
    uint64_t value;          /* varint and fixed types */
    struct mien_wire bytes;  /* BYTES: the payload */
};

/* 1: *f holds the next field; 0: the span ends here; -1: malformed. */
int mien_wire_next(struct mien_wire *w, struct mien_field *f);

/* One varint of at most 10 bytes; false when malformed. */
bool mien_wire_varint(struct mien_wire *w, uint64_t *v);

static inline size_t mien_wire_len(struct mien_wire w) { return (size_t)(w.end - w.p); }
bool mien_wire_equals(struct mien_wire w, const char *text);

/* A repeated scalar that may be packed or not: calls for each field `number` of the message in turn. */
struct mien_repeat { struct mien_wire message, run; uint32_t number; enum mien_wire_type elem; };
struct mien_repeat mien_repeat_begin(struct mien_wire message, uint32_t number, enum mien_wire_type elem);
/* 1: *v is the next element's bits; 0: no more; -1: malformed. */
int mien_repeat_next(struct mien_repeat *r, uint64_t *v);

#endif
