/* Field numbers: onnx.proto3. */
#include "support/onnx_build.h"

#include <stdlib.h>
#include <string.h>

struct bytes { unsigned char *p; size_t n, cap; };
struct onnx_build { struct bytes model, graph, node; int has_node; };

static void put(struct bytes *b, const void *p, size_t n)
{
    if (b->n + n > b->cap) {
        b->cap = 2 * (b->n + n) + 256;
        b->p = realloc(b->p, b->cap);
        if (b->p == NULL) abort();
    }
    if (n > 0) memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void varint(struct bytes *b, uint64_t v)
{
    do {
        unsigned char c = (unsigned char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        put(b, &c, 1);
        v >>= 7;
    } while (v != 0);
}

static void field_int(struct bytes *b, unsigned number, uint64_t v)
{
    varint(b, (uint64_t)number << 3);
    varint(b, v);
}

static void field_fixed32(struct bytes *b, unsigned number, float v)
{
    varint(b, (uint64_t)number << 3 | 5);
    put(b, &v, sizeof v);
}

static void field_bytes(struct bytes *b, unsigned number, const void *p, size_t n)
{
    varint(b, (uint64_t)number << 3 | 2);
    varint(b, n);
    put(b, p, n);
}

static void field_text(struct bytes *b, unsigned number, const char *s) { field_bytes(b, number, s, strlen(s)); }

static void field_message(struct bytes *b, unsigned number, struct bytes *m)
{
    field_bytes(b, number, m->p, m->n);
    free(m->p);
    *m = (struct bytes){0};
}

struct onnx_build *onnx_build_new(int opset)
{
    struct onnx_build *b = calloc(1, sizeof *b);
    if (b == NULL) abort();
    struct bytes import = {0};
    field_int(&b->model, 1, 8);
    field_text(&b->model, 2, "tests");
    field_text(&import, 1, "");
    field_int(&import, 2, (uint64_t)opset);
    field_message(&b->model, 8, &import);
    return b;
}

static void flush_node(struct onnx_build *b)
{
    if (b->has_node) field_message(&b->graph, 1, &b->node);
    b->has_node = 0;
}

unsigned char *onnx_build_done(struct onnx_build *b, size_t *size)
{
    flush_node(b);
    field_text(&b->graph, 2, "graph");
    field_message(&b->model, 7, &b->graph);
    unsigned char *p = realloc(b->model.p, b->model.n); /* exact, so that a sanitizer sees reads beyond it */
    if (p == NULL) abort();
    *size = b->model.n;
    free(b->node.p);
    free(b);
    return p;
}

void onnx_build_input(struct onnx_build *b, const char *name, int type, int rank, const int64_t *dim)
{
    struct bytes info = {0}, type_proto = {0}, tensor_type = {0}, shape = {0};
    for (int i = 0; i < rank; i++) {
        struct bytes d = {0};
        if (dim[i] < 0) field_text(&d, 2, "N");
        else field_int(&d, 1, (uint64_t)dim[i]);
        field_message(&shape, 1, &d);
    }
    field_int(&tensor_type, 1, (uint64_t)type);
    field_message(&tensor_type, 2, &shape);
    field_message(&type_proto, 1, &tensor_type);
    field_text(&info, 1, name);
    field_message(&info, 2, &type_proto);
    field_message(&b->graph, 11, &info);
}

void onnx_build_output(struct onnx_build *b, const char *name)
{
    struct bytes info = {0};
    field_text(&info, 1, name);
    field_message(&b->graph, 12, &info);
}

static void tensor_head(struct bytes *t, const char *name, int type, int rank, const int64_t *dim)
{
    for (int i = 0; i < rank; i++) field_int(t, 1, (uint64_t)dim[i]);
    field_int(t, 2, (uint64_t)type);
    field_text(t, 8, name);
}

void onnx_build_raw(struct onnx_build *b, const char *name, int type, int rank, const int64_t *dim, const void *bytes, size_t n)
{
    struct bytes t = {0};
    tensor_head(&t, name, type, rank, dim);
    field_bytes(&t, 9, bytes, n);
    field_message(&b->graph, 5, &t);
}

static size_t count_of(int rank, const int64_t *dim)
{
    size_t n = 1;
    for (int i = 0; i < rank; i++) n *= (size_t)dim[i];
    return n;
}

void onnx_build_f32(struct onnx_build *b, const char *name, int rank, const int64_t *dim, const float *v)
{
    onnx_build_raw(b, name, ONNX_FLOAT, rank, dim, v, count_of(rank, dim) * sizeof *v);
}

void onnx_build_scalar(struct onnx_build *b, const char *name, float v) { onnx_build_f32(b, name, 0, NULL, &v); }

void onnx_build_i64(struct onnx_build *b, const char *name, int n, const int64_t *v)
{
    onnx_build_raw(b, name, ONNX_INT64, 1, (int64_t[]){n}, v, (size_t)n * sizeof *v);
}

void onnx_build_random(struct onnx_build *b, const char *name, int rank, const int64_t *dim, float low, float high, uint32_t seed)
{
    size_t n = count_of(rank, dim);
    float *v = malloc(n * sizeof *v + 1);
    if (v == NULL) abort();
    uint32_t x = seed * 2654435761u + 1;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        v[i] = low + (high - low) * (float)(x >> 8) / 16777216.0f;
    }
    onnx_build_f32(b, name, rank, dim, v);
    free(v);
}

void onnx_build_typed(struct onnx_build *b, const char *name, int type, int rank, const int64_t *dim, const int64_t *v, int n, int packed)
{
    struct bytes t = {0}, list = {0};
    unsigned number = type == ONNX_INT64 ? 7 : 5;
    tensor_head(&t, name, type, rank, dim);
    for (int i = 0; i < n; i++) {
        if (packed) varint(&list, (uint64_t)v[i]);
        else field_int(&t, number, (uint64_t)v[i]);
    }
    if (packed) field_message(&t, number, &list);
    field_message(&b->graph, 5, &t);
}

void onnx_build_typed_f32(struct onnx_build *b, const char *name, int rank, const int64_t *dim, const float *v, int n, int packed)
{
    struct bytes t = {0};
    tensor_head(&t, name, ONNX_FLOAT, rank, dim);
    if (packed) field_bytes(&t, 4, v, (size_t)n * sizeof *v);
    for (int i = 0; !packed && i < n; i++) field_fixed32(&t, 4, v[i]);
    field_message(&b->graph, 5, &t);
}

static void names(struct bytes *node, unsigned number, const char *list)
{
    while (*list != 0) {
        size_t n = strcspn(list, " ");
        if (n == 1 && list[0] == '_') field_bytes(node, number, "", 0);
        else field_bytes(node, number, list, n);
        list += n;
        list += strspn(list, " ");
    }
}

void onnx_build_node(struct onnx_build *b, const char *op, const char *inputs, const char *outputs)
{
    flush_node(b);
    b->has_node = 1;
    names(&b->node, 1, inputs);
    names(&b->node, 2, outputs);
    field_text(&b->node, 4, op);
}

static struct bytes attribute(const char *name, int type)
{
    struct bytes a = {0};
    field_text(&a, 1, name);
    field_int(&a, 20, (uint64_t)type);
    return a;
}

void onnx_build_int(struct onnx_build *b, const char *name, int64_t v)
{
    struct bytes a = attribute(name, 2);
    field_int(&a, 3, (uint64_t)v);
    field_message(&b->node, 5, &a);
}

void onnx_build_float(struct onnx_build *b, const char *name, float v)
{
    struct bytes a = attribute(name, 1);
    field_fixed32(&a, 2, v);
    field_message(&b->node, 5, &a);
}

void onnx_build_string(struct onnx_build *b, const char *name, const char *v)
{
    struct bytes a = attribute(name, 3);
    field_text(&a, 4, v);
    field_message(&b->node, 5, &a);
}

void onnx_build_ints(struct onnx_build *b, const char *name, int n, const int64_t *v)
{
    struct bytes a = attribute(name, 7);
    for (int i = 0; i < n; i++) field_int(&a, 8, (uint64_t)v[i]);
    field_message(&b->node, 5, &a);
}

void onnx_build_floats(struct onnx_build *b, const char *name, int n, const float *v)
{
    struct bytes a = attribute(name, 6);
    field_bytes(&a, 7, v, (size_t)n * sizeof *v);
    field_message(&b->node, 5, &a);
}

void onnx_build_tensor(struct onnx_build *b, const char *name, int type, int rank, const int64_t *dim, const void *raw, size_t bytes)
{
    struct bytes a = attribute(name, 4), t = {0};
    tensor_head(&t, "", type, rank, dim);
    field_bytes(&t, 9, raw, bytes);
    field_message(&a, 5, &t);
    field_message(&b->node, 5, &a);
}

void onnx_build_domain(struct onnx_build *b, const char *domain) { field_text(&b->node, 7, domain); }
void onnx_build_node_field(struct onnx_build *b, unsigned number, const void *p, size_t n) { field_bytes(&b->node, number, p, n); }
void onnx_build_graph_field(struct onnx_build *b, unsigned number, const void *p, size_t n) { field_bytes(&b->graph, number, p, n); }
void onnx_build_model_field(struct onnx_build *b, unsigned number, const void *p, size_t n) { field_bytes(&b->model, number, p, n); }
