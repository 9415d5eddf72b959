/* Attributes and tensors out of the file's bytes. */
#include "onnx/proto.h"

#include <inttypes.h>

enum { ATTR_FLOAT = 1, ATTR_INT = 2, ATTR_STRING = 3, ATTR_TENSOR = 4, ATTR_GRAPH = 5, ATTR_FLOATS = 6, ATTR_INTS = 7 };

enum mien_code mien_bag_add(struct mien_attr_bag *b, struct mien_wire attribute)
{
    MIEN_NODE_FAIL_IF(b->n == MIEN_MAX_ATTRS, b->e, MIEN_E_LIMIT, b->node, "more than %d attributes", MIEN_MAX_ATTRS);
    struct mien_attr_view *v = &b->a[b->n];
    *v = (struct mien_attr_view){.name = {attribute.p, attribute.p}, .body = attribute};
    struct mien_wire w = attribute;
    struct mien_field f;
    int got;
    while ((got = mien_wire_next(&w, &f)) > 0) {
        if (f.number == 1 && f.type == MIEN_WIRE_BYTES) v->name = f.bytes;
        if (f.number == 20 && f.type == MIEN_WIRE_VARINT && f.value < 100) v->type = (int)f.value;
        if (f.number == 6 || f.number == 11)
            return MIEN_NODE_FAIL(b->e, MIEN_E_ONNX_UNSUPPORTED, b->node, "graphs inside a node (control flow) are not supported");
        if (f.number == 21) return MIEN_NODE_FAIL(b->e, MIEN_E_ONNX_UNSUPPORTED, b->node, "attribute references are not supported");
    }
    MIEN_NODE_FAIL_IF(got < 0, b->e, MIEN_E_ONNX_FORMAT, b->node, "malformed attribute");
    b->n++;
    return MIEN_OK;
}

const struct mien_attr_view *mien_bag_find(const struct mien_attr_bag *b, const char *name)
{
    for (int i = 0; i < b->n; i++)
        if (mien_wire_equals(b->a[i].name, name)) return &b->a[i];
    return NULL;
}

static void bad(struct mien_attr_bag *b, const char *name, const char *why)
{
    if (b->code == MIEN_OK) b->code = MIEN_NODE_FAIL(b->e, MIEN_E_ONNX_FORMAT, b->node, "attribute %s: %s", name, why);
}

/* The last field `number` of the attribute (protobuf: the last one counts); false and an error when there is none. */
static bool field_of(struct mien_attr_bag *b, const char *name, uint32_t number, enum mien_wire_type type, struct mien_field *out)
{
    const struct mien_attr_view *v = mien_bag_find(b, name);
    if (v == NULL) return false;
    struct mien_wire w = v->body;
    struct mien_field f;
    bool found = false;
    while (mien_wire_next(&w, &f) > 0)
        if (f.number == number && f.type == type) {
            *out = f;
            found = true;
        }
    /* proto3 leaves out a zero or an empty string. */
    static const int kind_of[6] = {[2] = ATTR_FLOAT, [3] = ATTR_INT, [4] = ATTR_STRING, [5] = ATTR_TENSOR};
    if (!found && v->type == kind_of[number]) {
        *out = (struct mien_field){.number = number, .type = type, .bytes = {v->body.p, v->body.p}};
        found = true;
    }
    if (!found) bad(b, name, "not of the expected kind");
    return found;
}

int64_t mien_bag_int(struct mien_attr_bag *b, const char *name, int64_t otherwise)
{
    struct mien_field f;
    return field_of(b, name, 3, MIEN_WIRE_VARINT, &f) ? (int64_t)f.value : otherwise;
}

static float float_of(uint64_t bits)
{
    uint32_t u = (uint32_t)bits;
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

float mien_bag_float(struct mien_attr_bag *b, const char *name, float otherwise)
{
    struct mien_field f;
    return field_of(b, name, 2, MIEN_WIRE_FIXED32, &f) ? float_of(f.value) : otherwise;
}

int mien_bag_choice(struct mien_attr_bag *b, const char *name, const char *const *names, int otherwise)
{
    struct mien_field f;
    if (!field_of(b, name, 4, MIEN_WIRE_BYTES, &f)) return otherwise;
    for (int i = 0; names[i] != NULL; i++)
        if (mien_wire_equals(f.bytes, names[i])) return i;
    if (b->code == MIEN_OK)
        b->code = MIEN_NODE_FAIL(b->e, MIEN_E_ONNX_UNSUPPORTED, b->node, "this value of attribute %s is not supported", name);
    return otherwise;
}

static int repeated(struct mien_attr_bag *b, const char *name, uint32_t number, enum mien_wire_type elem, uint64_t *out, int max)
{
    const struct mien_attr_view *v = mien_bag_find(b, name);
    if (v == NULL) return 0;
    struct mien_repeat r = mien_repeat_begin(v->body, number, elem);
    int n = 0, got;
    uint64_t bits;
    while ((got = mien_repeat_next(&r, &bits)) > 0) {
        if (n == max) {
            bad(b, name, "too many values");
            return 0;
        }
        out[n++] = bits;
    }
    if (got < 0) bad(b, name, "malformed list");
    return got < 0 ? 0 : n;
}

int mien_bag_ints(struct mien_attr_bag *b, const char *name, int64_t *out, int max)
{
    uint64_t bits[64];
    int n = repeated(b, name, 8, MIEN_WIRE_VARINT, bits, max < 64 ? max : 64);
    for (int i = 0; i < n; i++) out[i] = (int64_t)bits[i];
    return n;
}

int mien_bag_floats(struct mien_attr_bag *b, const char *name, float *out, int max)
{
    uint64_t bits[64];
    int n = repeated(b, name, 7, MIEN_WIRE_FIXED32, bits, max < 64 ? max : 64);
    for (int i = 0; i < n; i++) out[i] = float_of(bits[i]);
    return n;
}

enum mien_elem mien_proto_elem(uint64_t t)
{
    switch (t) {
    case 1:  /* FLOAT */
    case 10: /* FLOAT16 */
    case 11: /* DOUBLE */
    case 16: /* BFLOAT16 */ return MIEN_F32;
    case 2: return MIEN_U8;
    case 3: return MIEN_I8;
    case 6: return MIEN_I32;
    case 7: return MIEN_I64;
    case 9: return MIEN_BOOL;
    default: return MIEN_ELEM_NONE;
    }
}

/* ---- tensors ---- */

struct tensor_proto {
    struct mien_wire message, raw, packed; /* packed: the only run of float_data/int64_data when there is exactly one */
    struct mien_shape shape;
    uint64_t type;
    int64_t count;
    bool has_raw, external;
    int runs;
};

static enum mien_code scan_tensor(struct mien_wire message, struct tensor_proto *t, const char *what, struct mien_err *e)
{
    *t = (struct tensor_proto){.message = message};
    struct mien_wire w = message;
    struct mien_field f;
    int got;
    while ((got = mien_wire_next(&w, &f)) > 0) {
        switch (f.number) {
        case 2: t->type = f.value; break;
        case 3: return MIEN_FAIL(e, MIEN_E_ONNX_UNSUPPORTED, "%s: segmented tensors are not supported", what);
        case 4:
        case 7:
            t->runs += f.type == MIEN_WIRE_BYTES ? 1 : 2;
            t->packed = f.bytes;
            break;
        case 9:
            if (f.type == MIEN_WIRE_BYTES) {
                t->raw = f.bytes;
                t->has_raw = true;
            }
            break;
        case 13: t->external = true; break;
        case 14: t->external |= f.value != 0; break;
        default: break;
        }
    }
    MIEN_FAIL_IF(got < 0, e, MIEN_E_ONNX_FORMAT, "%s: malformed tensor", what);
    MIEN_FAIL_IF(t->external, e, MIEN_E_ONNX_UNSUPPORTED, "%s: data in another file is not supported", what);
    struct mien_repeat r = mien_repeat_begin(message, 1, MIEN_WIRE_VARINT);
    uint64_t dim;
    while ((got = mien_repeat_next(&r, &dim)) > 0) {
        MIEN_FAIL_IF(t->shape.rank == MIEN_MAX_RANK, e, MIEN_E_ONNX_UNSUPPORTED, "%s: more than %d dimensions", what, MIEN_MAX_RANK);
        MIEN_FAIL_IF(dim > INT32_MAX, e, MIEN_E_ONNX_FORMAT, "%s: dimension out of range", what);
        t->shape.dim[t->shape.rank++] = (int64_t)dim;
    }
    MIEN_FAIL_IF(got < 0, e, MIEN_E_ONNX_FORMAT, "%s: malformed dimensions", what);
    t->count = mien_shape_count(&t->shape);
    MIEN_FAIL_IF(t->count < 0 || t->count > MIEN_MAX_ELEMENTS, e, MIEN_E_ONNX_FORMAT, "%s: too many elements", what);
    return MIEN_OK;
}

/* IEEE 754 binary16 to binary32; subnormals by value. */
static float half_of(uint32_t h)
{
    uint32_t sign = (h & 0x8000u) << 16, exp = (h >> 10) & 31, frac = h & 0x3ff;
    if (exp == 0) {
        float v = (float)frac * 0x1p-24f;
        return sign ? -v : v;
    }
    return float_of(sign | (exp == 31 ? 0x7f800000u : (exp + 112) << 23) | frac << 13);
}

static uint64_t bits_at(const unsigned char *p, size_t size)
{
    uint64_t v = 0;
    for (size_t i = 0; i < size; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* Stores element i of the converted tensor from its bits in the file. */
static void store(void *to, enum mien_elem elem, size_t i, uint64_t onnx_type, uint64_t bits)
{
    float v;
    double d;
    switch (onnx_type) {
    case 10: v = half_of((uint32_t)bits & 0xffff); break;
    case 16: v = float_of((uint64_t)(uint32_t)(bits & 0xffff) << 16); break;
    case 11:
        memcpy(&d, &bits, sizeof d);
        v = (float)d;
        break;
    default: v = float_of(bits); break;
    }
    size_t size = mien_elem_size(elem);
    memcpy((unsigned char *)to + i * size, elem == MIEN_F32 ? (const void *)&v : (const void *)&bits, size); /* little-endian */
}

static size_t file_elem_size(uint64_t t)
{
    if (t == 10 || t == 16) return 2;
    return t == 11 ? 8 : mien_elem_size(mien_proto_elem(t));
}

/* Which repeated field holds the elements of a type, and how they are encoded there. */
static enum mien_wire_type list_of(uint64_t onnx_type, uint32_t *field)
{
    *field = onnx_type == 1 ? 4 : onnx_type == 7 ? 7 : onnx_type == 11 ? 10 : 5;
    return onnx_type == 1 ? MIEN_WIRE_FIXED32 : onnx_type == 11 ? MIEN_WIRE_FIXED64 : MIEN_WIRE_VARINT;
}

enum mien_code mien_proto_tensor(struct mien_graph *g, struct mien_wire message, int id, const char *what, struct mien_err *e)
{
    struct tensor_proto t;
    MIEN_TRY(scan_tensor(message, &t, what, e));
    enum mien_elem elem = mien_proto_elem(t.type);
    MIEN_FAIL_IF(elem == MIEN_ELEM_NONE, e, MIEN_E_ONNX_UNSUPPORTED, "%s: element type %" PRIu64 " is not supported", what, t.type);
    size_t n = (size_t)t.count, size = file_elem_size(t.type);
    struct mien_tensor *out = &g->tensor[id];
    out->type = elem;
    out->shape = t.shape;
    out->bytes = n * mien_elem_size(elem);
    MIEN_FAIL_IF(t.has_raw && mien_wire_len(t.raw) != n * size, e, MIEN_E_ONNX_FORMAT, "%s: %zu bytes where the shape needs %zu", what,
                 mien_wire_len(t.raw), n * size);
    bool in_place = size == mien_elem_size(elem) && n > 0;
    if (t.has_raw && in_place) {
        out->data = t.raw.p;
        return MIEN_OK;
    }
    if (!t.has_raw && t.type == 1 && t.runs == 1 && n > 0 && mien_wire_len(t.packed) == n * size) {
        out->data = t.packed.p;
        return MIEN_OK;
    }
    /* Every element takes at least one byte of the file, so the allocation is bounded by the file's size. */
    if (!t.has_raw) MIEN_FAIL_IF(n > mien_wire_len(message), e, MIEN_E_ONNX_FORMAT, "%s: fewer values than the shape needs", what);
    void *to = mien_graph_alloc(g, out->bytes);
    if (to == NULL) return MIEN_NO_MEMORY(e);
    if (t.has_raw) {
        for (size_t i = 0; i < n; i++) store(to, elem, i, t.type, bits_at(t.raw.p + i * size, size));
    } else {
        uint32_t field;
        enum mien_wire_type wire = list_of(t.type, &field);
        struct mien_repeat r = mien_repeat_begin(message, field, wire);
        uint64_t bits;
        size_t i = 0;
        int got;
        while ((got = mien_repeat_next(&r, &bits)) > 0 && i < n) store(to, elem, i++, t.type, bits);
        MIEN_FAIL_IF(got != 0 || i != n, e, MIEN_E_ONNX_FORMAT, "%s: the values do not match the shape", what);
    }
    out->data = to;
    return MIEN_OK;
}

/* value_int, value_ints, value_float, value_floats: the count is found by reading, then space is made. */
static enum mien_code constant_list(struct mien_attr_bag *b, int id, const struct mien_attr_view *v, bool list, bool integer)
{
    uint32_t field = integer ? (list ? 8 : 3) : (list ? 7 : 2);
    enum mien_wire_type wire = integer ? MIEN_WIRE_VARINT : MIEN_WIRE_FIXED32;
    int64_t count = 0;
    uint64_t bits;
    int got;
    struct mien_repeat r = mien_repeat_begin(v->body, field, wire);
    while ((got = mien_repeat_next(&r, &bits)) > 0) count++;
    MIEN_NODE_FAIL_IF(got < 0, b->e, MIEN_E_ONNX_FORMAT, b->node, "malformed value");
    if (!list) count = 1;
    struct mien_tensor *t = &b->g->tensor[id];
    t->type = integer ? MIEN_I64 : MIEN_F32;
    t->shape = list ? mien_shape_of(1, &count) : (struct mien_shape){.rank = 0};
    t->bytes = (size_t)count * mien_elem_size(t->type);
    void *to = mien_graph_alloc(b->g, t->bytes);
    if (to == NULL) return MIEN_NO_MEMORY(b->e);
    r = mien_repeat_begin(v->body, field, wire);
    for (int64_t i = 0; i < count && mien_repeat_next(&r, &bits) > 0; i++) store(to, t->type, (size_t)i, integer ? 7 : 1, bits);
    t->data = to;
    return MIEN_OK;
}

enum mien_code mien_proto_constant(struct mien_attr_bag *b, int id)
{
    static const struct { const char *name; bool list, integer; } kind[] = {
        {"value_int", false, true}, {"value_ints", true, true}, {"value_float", false, false}, {"value_floats", true, false}};
    struct mien_field f;
    if (mien_bag_find(b, "value") != NULL) {
        if (!field_of(b, "value", 5, MIEN_WIRE_BYTES, &f)) return b->code;
        return mien_proto_tensor(b->g, f.bytes, id, b->node->name, b->e);
    }
    for (size_t i = 0; i < sizeof kind / sizeof kind[0]; i++) {
        const struct mien_attr_view *v = mien_bag_find(b, kind[i].name);
        if (v != NULL) return constant_list(b, id, v, kind[i].list, kind[i].integer);
    }
    return MIEN_NODE_FAIL(b->e, MIEN_E_ONNX_UNSUPPORTED, b->node, "this kind of constant is not supported");
}
