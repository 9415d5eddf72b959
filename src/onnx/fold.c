/* A small interpreter for nodes whose inputs are constants: shape arithmetic (int64), masks (bool) and weights (float32).
 *
 * It runs after mien_infer_node, so shapes are known and valid. Integers are computed in int64 with wrap-around, float32
 * in double and rounded once. What it does not know, or what would grow beyond MAX_GROWTH, stays in the graph. */
#include "onnx/internal.h"

#include <float.h>
#include <math.h>

/* Elements that an output may have beyond what the node's inputs have. */
enum { MAX_GROWTH = 1 << 20 };

struct fold {
    struct mien_graph *g;
    struct mien_node *n;
    struct mien_err *e;
    void *to;                       /* output 0 */
    const struct mien_tensor *out;
    bool done;
};

static int64_t load_int(const struct mien_tensor *t, size_t i)
{
    const unsigned char *p = t->data;
    int32_t narrow;
    switch (t->type) {
    case MIEN_I64: return mien_load_i64(p, i);
    case MIEN_I32:
        memcpy(&narrow, p + 4 * i, sizeof narrow);
        return narrow;
    case MIEN_I8: return (int8_t)p[i];
    case MIEN_BOOL: return p[i] != 0;
    default: return p[i];
    }
}

static double load_real(const struct mien_tensor *t, size_t i)
{
    return t->type == MIEN_F32 ? (double)mien_load_f32(t->data, i) : (double)load_int(t, i);
}

static void store_int(void *to, enum mien_elem type, size_t i, int64_t v)
{
    size_t size = mien_elem_size(type);
    memcpy((unsigned char *)to + i * size, &v, size); /* little-endian: the low bytes */
}

static void store_real(void *to, size_t i, double v)
{
    float f = (float)v;
    memcpy((unsigned char *)to + i * sizeof f, &f, sizeof f);
}

/* ---- walking: source offset of each output element ---- */

struct walk { int rank; int64_t dim[MIEN_MAX_RANK], at[MIEN_MAX_RANK], stride[MIEN_MAX_RANK], offset; };

static void strides_of(const struct mien_shape *s, int64_t *stride)
{
    int64_t k = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        stride[i] = k;
        k *= s->dim[i];
    }
}

/* Walks `out`'s elements in order over a source broadcast to it. */
static struct walk walk_broadcast(const struct mien_shape *out, const struct mien_shape *src)
{
    struct walk w = {.rank = out->rank};
    int64_t stride[MIEN_MAX_RANK];
    strides_of(src, stride);
    for (int i = 0; i < out->rank; i++) {
        int k = i - (out->rank - src->rank);
        w.dim[i] = out->dim[i];
        w.stride[i] = k < 0 || src->dim[k] == 1 ? 0 : stride[k];
    }
    return w;
}

static void walk_next(struct walk *w)
{
    for (int i = w->rank - 1; i >= 0; i--) {
        w->offset += w->stride[i];
        if (++w->at[i] < w->dim[i]) return;
        w->offset -= w->stride[i] * w->dim[i];
        w->at[i] = 0;
    }
}

static const struct mien_tensor *in(const struct fold *f, int k) { return &f->g->tensor[f->n->in[k]]; }
static size_t count_of(const struct mien_tensor *t) { return (size_t)mien_shape_count(&t->shape); }

static void copy_walk(struct fold *f, struct walk w, const struct mien_tensor *src, void *to, size_t n)
{
    size_t size = mien_elem_size(src->type);
    for (size_t i = 0; i < n; i++, walk_next(&w))
        memcpy((unsigned char *)to + i * size, (const unsigned char *)src->data + (size_t)w.offset * size, size);
    f->done = true;
}

/* ---- moving data ---- */

static void alias_input(struct fold *f)
{
    struct mien_tensor *out = &f->g->tensor[f->n->out[0]];
    out->data = in(f, 0)->data;
    out->bytes = in(f, 0)->bytes;
    f->to = NULL;
    f->done = true;
}

static void transpose(struct fold *f)
{
    const struct mien_tensor *x = in(f, 0);
    struct walk w = walk_broadcast(&f->out->shape, &f->out->shape);
    int64_t stride[MIEN_MAX_RANK];
    strides_of(&x->shape, stride);
    for (int i = 0; i < w.rank; i++) w.stride[i] = stride[f->n->attr.perm[i]];
    copy_walk(f, w, x, f->to, count_of(f->out));
}

static void slice(struct fold *f)
{
    const struct mien_tensor *x = in(f, 0);
    struct walk w = walk_broadcast(&f->out->shape, &f->out->shape);
    int64_t stride[MIEN_MAX_RANK];
    strides_of(&x->shape, stride);
    for (int i = 0; i < w.rank; i++) {
        w.stride[i] = stride[i] * f->n->attr.steps[i];
        w.offset += stride[i] * f->n->attr.starts[i];
    }
    copy_walk(f, w, x, f->to, count_of(f->out));
}

static void tile(struct fold *f)
{
    const struct mien_tensor *x = in(f, 0);
    int64_t stride[MIEN_MAX_RANK];
    strides_of(&x->shape, stride);
    struct walk w = walk_broadcast(&f->out->shape, &f->out->shape);
    size_t size = mien_elem_size(x->type), n = count_of(f->out);
    for (size_t i = 0; i < n; i++, walk_next(&w)) {
        int64_t from = 0;
        for (int d = 0; d < w.rank; d++) from += w.at[d] % x->shape.dim[d] * stride[d];
        memcpy((unsigned char *)f->to + i * size, (const unsigned char *)x->data + (size_t)from * size, size);
    }
    f->done = true;
}

/* Product of the dimensions before and after an axis. */
static void around(const struct mien_shape *s, int axis, size_t *outer, size_t *inner)
{
    *outer = *inner = 1;
    for (int i = 0; i < axis; i++) *outer *= (size_t)s->dim[i];
    for (int i = axis + 1; i < s->rank; i++) *inner *= (size_t)s->dim[i];
}

static void concat(struct fold *f)
{
    size_t outer, inner, size = mien_elem_size(f->out->type), at = 0;
    int axis = f->n->attr.axis;
    around(&f->out->shape, axis, &outer, &inner);
    size_t row = (size_t)f->out->shape.dim[axis] * inner * size;
    for (int k = 0; k < f->n->n_in; k++) {
        size_t part = (size_t)in(f, k)->shape.dim[axis] * inner * size;
        for (size_t o = 0; o < outer; o++)
            if (part > 0) memcpy((unsigned char *)f->to + o * row + at, (const unsigned char *)in(f, k)->data + o * part, part);
        at += part;
    }
    f->done = true;
}

static enum mien_code gather(struct fold *f)
{
    const struct mien_tensor *x = in(f, 0), *index = in(f, 1);
    size_t outer, inner, size = mien_elem_size(x->type), n = count_of(index);
    around(&x->shape, f->n->attr.axis, &outer, &inner);
    int64_t rows = x->shape.dim[f->n->attr.axis];
    for (size_t o = 0; o < outer; o++)
        for (size_t k = 0; k < n; k++) {
            int64_t r = load_int(index, k);
            if (r < 0) r += rows;
            MIEN_NODE_FAIL_IF(r < 0 || r >= rows, f->e, MIEN_E_ONNX_SHAPE, f->n, "index out of range");
            const unsigned char *from = (const unsigned char *)x->data + (o * (size_t)rows + (size_t)r) * inner * size;
            memcpy((unsigned char *)f->to + (o * n + k) * inner * size, from, inner * size);
        }
    f->done = true;
    return MIEN_OK;
}

static enum mien_code split(struct fold *f)
{
    const struct mien_tensor *x = in(f, 0);
    size_t outer, inner, size = mien_elem_size(x->type), at = 0;
    int axis = f->n->attr.axis;
    around(&x->shape, axis, &outer, &inner);
    size_t row = (size_t)x->shape.dim[axis] * inner * size;
    for (int k = 0; k < f->n->n_out; k++) {
        if (f->n->out[k] < 0) return MIEN_OK; /* an unused part: rare, stays in the graph */
    }
    for (int k = 0; k < f->n->n_out; k++) {
        struct mien_tensor *t = &f->g->tensor[f->n->out[k]];
        size_t part = (size_t)t->shape.dim[axis] * inner * size;
        unsigned char *to = mien_graph_alloc(f->g, outer * part);
        if (to == NULL) return MIEN_NO_MEMORY(f->e);
        for (size_t o = 0; o < outer; o++)
            if (part > 0) memcpy(to + o * part, (const unsigned char *)x->data + o * row + at, part);
        t->data = to;
        t->bytes = outer * part;
        at += part;
    }
    f->to = NULL;
    f->done = true;
    return MIEN_OK;
}

static void pad(struct fold *f)
{
    const struct mien_tensor *x = in(f, 0);
    const struct mien_attrs *a = &f->n->attr;
    if (a->pad_mode != 0 || x->type != MIEN_F32) return;
    struct walk w = walk_broadcast(&f->out->shape, &f->out->shape);
    int64_t stride[MIEN_MAX_RANK];
    strides_of(&x->shape, stride);
    size_t n = count_of(f->out);
    for (size_t i = 0; i < n; i++, walk_next(&w)) {
        int64_t from = 0;
        bool inside = true;
        for (int d = 0; d < w.rank; d++) {
            int64_t p = w.at[d] - a->pads[d];
            inside &= p >= 0 && p < x->shape.dim[d];
            from += p * stride[d];
        }
        store_real(f->to, i, inside ? load_real(x, (size_t)from) : (double)a->pad_value);
    }
    f->done = true;
}

/* ---- values ---- */

static void fill(struct fold *f)
{
    size_t n = count_of(f->out), size = mien_elem_size(f->out->type);
    for (size_t i = 0; i < n; i++) memcpy((unsigned char *)f->to + i * size, in(f, 1)->data, size);
    f->done = true;
}

static void range(struct fold *f)
{
    size_t n = count_of(f->out);
    for (size_t i = 0; i < n; i++) {
        if (f->out->type == MIEN_F32) store_real(f->to, i, load_real(in(f, 0), 0) + (double)i * load_real(in(f, 2), 0));
        else store_int(f->to, f->out->type, i, (int64_t)((uint64_t)load_int(in(f, 0), 0) + i * (uint64_t)load_int(in(f, 2), 0)));
    }
    f->done = true;
}

static void shape_of(struct fold *f)
{
    const struct mien_shape *s = &in(f, 0)->shape;
    if (f->n->op == MIEN_OP_SIZE) store_int(f->to, MIEN_I64, 0, mien_shape_count(s));
    else
        for (int64_t i = 0; i < f->out->shape.dim[0]; i++) store_int(f->to, MIEN_I64, (size_t)i, s->dim[f->n->attr.starts[0] + i]);
    f->done = true;
}

static void cast(struct fold *f)
{
    const struct mien_tensor *x = in(f, 0);
    size_t n = count_of(x);
    for (size_t i = 0; i < n; i++) {
        if (f->out->type == MIEN_F32) {
            store_real(f->to, i, load_real(x, i));
        } else if (f->out->type == MIEN_BOOL) {
            store_int(f->to, MIEN_BOOL, i, load_real(x, i) != 0);
        } else if (x->type == MIEN_F32) {
            double v = trunc(load_real(x, i));
            store_int(f->to, f->out->type, i, v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN);
        } else {
            store_int(f->to, f->out->type, i, load_int(x, i));
        }
    }
    f->done = true;
}

static double unary_value(const struct mien_node *n, double v, bool *known)
{
    double a = (double)n->attr.alpha, b = (double)n->attr.beta;
    switch (n->op) {
    case MIEN_OP_NEG: return -v;
    case MIEN_OP_ABS: return fabs(v);
    case MIEN_OP_EXP: return exp(v);
    case MIEN_OP_LOG: return log(v);
    case MIEN_OP_SQRT: return sqrt(v);
    case MIEN_OP_RECIPROCAL: return 1 / v;
    case MIEN_OP_FLOOR: return floor(v);
    case MIEN_OP_CEIL: return ceil(v);
    case MIEN_OP_RELU: return v > 0 ? v : 0;
    case MIEN_OP_LEAKYRELU: return v > 0 ? v : a * v;
    case MIEN_OP_SIGMOID: return 1 / (1 + exp(-v));
    case MIEN_OP_TANH: return tanh(v);
    case MIEN_OP_ERF: return erf(v);
    case MIEN_OP_SOFTPLUS: return v > 30 ? v : log1p(exp(v));
    case MIEN_OP_CLIP: return v < a ? a : v > b ? b : v;
    default: *known = false; return 0;
    }
}

static void unary(struct fold *f)
{
    const struct mien_tensor *x = in(f, 0);
    size_t n = count_of(x);
    bool known = true;
    (void)unary_value(f->n, 1, &known);
    if (!known) return;
    bool real = x->type == MIEN_F32;
    if (!real && f->n->op != MIEN_OP_NEG && f->n->op != MIEN_OP_ABS && f->n->op != MIEN_OP_RELU) return;
    for (size_t i = 0; i < n; i++) {
        if (real) {
            store_real(f->to, i, unary_value(f->n, load_real(x, i), &known));
            continue;
        }
        int64_t v = load_int(x, i);
        bool flip = f->n->op == MIEN_OP_NEG || (v < 0 && f->n->op == MIEN_OP_ABS);
        if (flip) v = (int64_t)(0 - (uint64_t)v);
        if (f->n->op == MIEN_OP_RELU && v < 0) v = 0;
        store_int(f->to, x->type, i, v);
    }
    f->done = true;
}

static double real_binary(enum mien_op op, double a, double b)
{
    switch (op) {
    case MIEN_OP_ADD: return a + b;
    case MIEN_OP_SUB: return a - b;
    case MIEN_OP_MUL: return a * b;
    case MIEN_OP_DIV: return a / b;
    case MIEN_OP_POW: return pow(a, b);
    case MIEN_OP_MIN: return a < b ? a : b;
    case MIEN_OP_MAX: return a > b ? a : b;
    case MIEN_OP_EQUAL: return a == b;
    case MIEN_OP_LESS: return a < b;
    default: return a > b;
    }
}

static int64_t int_power(int64_t a, int64_t b)
{
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
    uint64_t r = 1, base = (uint64_t)a;
    for (; b > 0; b >>= 1, base *= base)
        if (b & 1) r *= base;
    return (int64_t)r;
}

/* False when the result is undefined (division by zero). */
static bool int_binary(enum mien_op op, int64_t a, int64_t b, int64_t *r)
{
    uint64_t ua = (uint64_t)a, ub = (uint64_t)b;
    switch (op) {
    case MIEN_OP_ADD: *r = (int64_t)(ua + ub); return true;
    case MIEN_OP_SUB: *r = (int64_t)(ua - ub); return true;
    case MIEN_OP_MUL: *r = (int64_t)(ua * ub); return true;
    case MIEN_OP_DIV:
        if (b == 0) return false;
        *r = b == -1 ? (int64_t)(0 - ua) : a / b;
        return true;
    case MIEN_OP_POW: *r = int_power(a, b); return true;
    case MIEN_OP_MIN: *r = a < b ? a : b; return true;
    case MIEN_OP_MAX: *r = a > b ? a : b; return true;
    case MIEN_OP_EQUAL: *r = a == b; return true;
    case MIEN_OP_LESS: *r = a < b; return true;
    default: *r = a > b; return true;
    }
}

static enum mien_code binary(struct fold *f)
{
    const struct mien_tensor *x = in(f, 0), *y = in(f, 1);
    struct walk wx = walk_broadcast(&f->out->shape, &x->shape), wy = walk_broadcast(&f->out->shape, &y->shape);
    size_t n = count_of(f->out);
    bool real = x->type == MIEN_F32 || y->type == MIEN_F32;
    for (size_t i = 0; i < n; i++, walk_next(&wx), walk_next(&wy)) {
        int64_t r;
        if (real) {
            double v = real_binary(f->n->op, load_real(x, (size_t)wx.offset), load_real(y, (size_t)wy.offset));
            if (f->out->type == MIEN_F32) store_real(f->to, i, v);
            else store_int(f->to, f->out->type, i, f->out->type == MIEN_BOOL ? v != 0 : (int64_t)fmin(fmax(v, -0x1p62), 0x1p62));
            continue;
        }
        bool ok = int_binary(f->n->op, load_int(x, (size_t)wx.offset), load_int(y, (size_t)wy.offset), &r);
        MIEN_NODE_FAIL_IF(!ok, f->e, MIEN_E_ONNX_SHAPE, f->n, "division by zero");
        store_int(f->to, f->out->type, i, r);
    }
    f->done = true;
    return MIEN_OK;
}

static void where(struct fold *f)
{
    struct walk w[3];
    for (int k = 0; k < 3; k++) w[k] = walk_broadcast(&f->out->shape, &in(f, k)->shape);
    size_t n = count_of(f->out), size = mien_elem_size(f->out->type);
    for (size_t i = 0; i < n; i++) {
        int k = load_int(in(f, 0), (size_t)w[0].offset) ? 1 : 2;
        memcpy((unsigned char *)f->to + i * size, (const unsigned char *)in(f, k)->data + (size_t)w[k].offset * size, size);
        for (int j = 0; j < 3; j++) walk_next(&w[j]);
    }
    f->done = true;
}

static void invert(struct fold *f)
{
    size_t n = count_of(f->out);
    for (size_t i = 0; i < n; i++) store_int(f->to, f->out->type, i, !load_int(in(f, 0), i));
    f->done = true;
}

static enum mien_code reduce(struct fold *f)
{
    const struct mien_tensor *x = in(f, 0);
    if (x->type != MIEN_F32 && f->n->op != MIEN_OP_REDUCESUM && f->n->op != MIEN_OP_REDUCEMAX && f->n->op != MIEN_OP_REDUCEMIN) return MIEN_OK;
    size_t n = count_of(x), n_out = count_of(f->out);
    /* Accumulators, addressed by walking the input with zero strides on the reduced axes. */
    double *sum = mien_arena_calloc(f->g->own->arena, n_out, sizeof *sum);
    unsigned char *seen = mien_graph_alloc(f->g, n_out);
    if (sum == NULL || seen == NULL) return MIEN_NO_MEMORY(f->e);
    struct mien_shape kept = x->shape;
    for (int i = 0; i < f->n->attr.n_axes; i++) kept.dim[f->n->attr.axes[i]] = 1;
    struct walk w = walk_broadcast(&x->shape, &kept);
    for (size_t i = 0; i < n; i++, walk_next(&w)) {
        double v = load_real(x, i), *s = &sum[w.offset];
        if (f->n->op == MIEN_OP_REDUCEL2) *s += v * v;
        else if (f->n->op == MIEN_OP_REDUCEMAX) *s = seen[w.offset] && *s > v ? *s : v;
        else if (f->n->op == MIEN_OP_REDUCEMIN) *s = seen[w.offset] && *s < v ? *s : v;
        else *s += v;
        seen[w.offset] = 1;
    }
    double each = n_out > 0 ? (double)n / (double)n_out : 1;
    for (size_t i = 0; i < n_out; i++) {
        if (f->n->op == MIEN_OP_REDUCEMEAN) sum[i] /= each;
        if (f->n->op == MIEN_OP_REDUCEL2) sum[i] = sqrt(sum[i]);
        if (x->type == MIEN_F32) store_real(f->to, i, sum[i]);
        else store_int(f->to, x->type, i, fabs(sum[i]) < 0x1p62 ? (int64_t)sum[i] : 0);
    }
    f->done = true;
    return MIEN_OK;
}

static enum mien_code compute(struct fold *f)
{
    switch (f->n->op) {
    case MIEN_OP_RESHAPE:
    case MIEN_OP_FLATTEN:
    case MIEN_OP_SQUEEZE:
    case MIEN_OP_UNSQUEEZE: alias_input(f); return MIEN_OK;
    case MIEN_OP_TRANSPOSE: transpose(f); return MIEN_OK;
    case MIEN_OP_SLICE: slice(f); return MIEN_OK;
    case MIEN_OP_EXPAND: copy_walk(f, walk_broadcast(&f->out->shape, &in(f, 0)->shape), in(f, 0), f->to, count_of(f->out)); return MIEN_OK;
    case MIEN_OP_TILE: tile(f); return MIEN_OK;
    case MIEN_OP_CONCAT: concat(f); return MIEN_OK;
    case MIEN_OP_GATHER: return gather(f);
    case MIEN_OP_SPLIT: return split(f);
    case MIEN_OP_PAD: pad(f); return MIEN_OK;
    case MIEN_OP_CONSTANTOFSHAPE: fill(f); return MIEN_OK;
    case MIEN_OP_RANGE: range(f); return MIEN_OK;
    case MIEN_OP_SHAPE:
    case MIEN_OP_SIZE: shape_of(f); return MIEN_OK;
    case MIEN_OP_CAST: cast(f); return MIEN_OK;
    case MIEN_OP_WHERE: where(f); return MIEN_OK;
    case MIEN_OP_NOT: invert(f); return MIEN_OK;
    case MIEN_OP_ADD:
    case MIEN_OP_SUB:
    case MIEN_OP_MUL:
    case MIEN_OP_DIV:
    case MIEN_OP_POW:
    case MIEN_OP_MIN:
    case MIEN_OP_MAX:
    case MIEN_OP_EQUAL:
    case MIEN_OP_LESS:
    case MIEN_OP_GREATER: return binary(f);
    case MIEN_OP_REDUCEMEAN:
    case MIEN_OP_REDUCESUM:
    case MIEN_OP_REDUCEMAX:
    case MIEN_OP_REDUCEMIN:
    case MIEN_OP_REDUCEL2: return reduce(f);
    default: unary(f); return MIEN_OK;
    }
}

/* Is there anything to compute from: constant inputs, or only the input's shape. */
static bool computable(const struct mien_graph *g, const struct mien_node *n, size_t *room)
{
    *room = MAX_GROWTH;
    bool shape_only = n->op == MIEN_OP_SHAPE || n->op == MIEN_OP_SIZE;
    for (int k = 0; k < n->n_in; k++) {
        if (n->in[k] < 0) return false;
        if (g->tensor[n->in[k]].data == NULL && !shape_only) return false;
        *room += (size_t)mien_shape_count(&g->tensor[n->in[k]].shape);
    }
    return n->out[0] >= 0;
}

enum mien_code mien_fold_node(struct mien_graph *g, struct mien_node *n, bool *folded, struct mien_err *e)
{
    size_t room;
    *folded = false;
    if (!computable(g, n, &room)) return MIEN_OK;
    struct mien_tensor *out = &g->tensor[n->out[0]];
    size_t count = (size_t)mien_shape_count(&out->shape), bytes = count * mien_elem_size(out->type);
    if (count > room || mien_elem_size(out->type) == 0 || !mien_graph_spend(g, room - MAX_GROWTH + count)) return MIEN_OK;
    struct fold f = {.g = g, .n = n, .e = e, .out = out};
    bool moves = n->op == MIEN_OP_RESHAPE || n->op == MIEN_OP_FLATTEN || n->op == MIEN_OP_SQUEEZE || n->op == MIEN_OP_UNSQUEEZE;
    f.to = moves ? NULL : mien_graph_alloc(g, bytes);
    if (!moves && f.to == NULL) return MIEN_NO_MEMORY(e);
    MIEN_TRY(compute(&f));
    if (f.done && f.to != NULL) {
        out->data = f.to;
        out->bytes = bytes;
    }
    *folded = f.done;
    return MIEN_OK;
}
