/* Lowering of operators that only move data. Most are other strides over the same memory and cost nothing. */
#include <string.h>

#include "engine/steps.h"

enum mien_code mien_lower_transpose(struct mien_lower *l, const struct mien_node *n)
{
    int v, out;
    MIEN_TRY(mien_lower_value(l, n->in[0], &v));
    const struct mien_value x = l->p->value[v];
    int64_t stride[MIEN_MAX_RANK];
    for (int i = 0; i < x.shape.rank; i++) stride[i] = x.stride[n->attr.n_perm == 0 ? x.shape.rank - 1 - i : n->attr.perm[i]];
    MIEN_TRY(mien_lower_view(l, v, &l->g->tensor[n->out[0]].shape, stride, 0, &out));
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

/* Strides of a reshaped view, when the elements' row-major order can be kept without moving them: runs of axes whose sizes multiply to
 * the same product on both sides must each be contiguous before. */
static bool reshaped(const struct mien_value *x, const struct mien_shape *to, int64_t *stride)
{
    int64_t dim[MIEN_MAX_RANK], step[MIEN_MAX_RANK];
    int rank = 0;
    for (int i = 0; i < x->shape.rank; i++) {
        if (x->shape.dim[i] == 1) continue;
        dim[rank] = x->shape.dim[i];
        step[rank++] = x->stride[i];
    }
    int i = 0, j = 0;
    while (i < rank && j < to->rank) {
        int64_t a = dim[i], b = to->dim[j];
        int i1 = i + 1, j1 = j + 1;
        while (a != b) {
            if (a < b) {
                if (i1 == rank) return false;
                a *= dim[i1++];
            } else {
                if (j1 == to->rank) return false;
                b *= to->dim[j1++];
            }
        }
        for (int k = i; k + 1 < i1; k++)
            if (step[k] != step[k + 1] * dim[k + 1]) return false;
        int64_t s = step[i1 - 1];
        for (int k = j1 - 1; k >= j; k--) {
            stride[k] = s;
            s *= to->dim[k];
        }
        i = i1;
        j = j1;
    }
    for (; j < to->rank; j++) stride[j] = 1; /* ones at the end */
    return true;
}

/* Reshape, Flatten, Squeeze, Unsqueeze: the output's shape says it all. */
enum mien_code mien_lower_reshape(struct mien_lower *l, const struct mien_node *n)
{
    int v, out;
    MIEN_TRY(mien_lower_value(l, n->in[0], &v));
    const struct mien_value x = l->p->value[v];
    const struct mien_shape *to = &l->g->tensor[n->out[0]].shape;
    int64_t stride[MIEN_MAX_RANK];
    if (!reshaped(&x, to, stride)) {
        int64_t nhwc[MIEN_MAX_RANK];
        if (x.shape.rank == 4 && to->rank == 2 && to->dim[0] == x.shape.dim[0] && x.buffer != MIEN_NO_BUFFER) {
            mien_stride_nhwc(&x.shape, nhwc);
            if (mien_stride_equal(&x.shape, x.stride, nhwc)) { /* a matrix product can take it as it lies; see gemm_left */
                l->deferred[n->out[0]] = v;
                l->p->buffer[x.buffer].uses += l->uses[n->out[0]];
                return MIEN_OK;
            }
        }
        mien_stride_plain(&x.shape, stride);
        MIEN_TRY(mien_lower_need(l, v, stride, x.type, &v));
        mien_stride_plain(to, stride);
    }
    MIEN_TRY(mien_lower_view(l, v, to, stride, 0, &out));
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

enum mien_code mien_lower_slice(struct mien_lower *l, const struct mien_node *n)
{
    int v, out;
    MIEN_TRY(mien_lower_value(l, n->in[0], &v));
    const struct mien_value x = l->p->value[v];
    int64_t stride[MIEN_MAX_RANK], offset = 0;
    for (int i = 0; i < x.shape.rank; i++) {
        stride[i] = x.stride[i] * n->attr.steps[i];
        if (x.shape.dim[i] != 1) offset += x.stride[i] * n->attr.starts[i];
    }
    MIEN_TRY(mien_lower_view(l, v, &l->g->tensor[n->out[0]].shape, stride, offset, &out));
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

enum mien_code mien_lower_split(struct mien_lower *l, const struct mien_node *n)
{
    int v, out;
    MIEN_TRY(mien_lower_value(l, n->in[0], &v));
    const struct mien_value x = l->p->value[v];
    const int axis = n->attr.axis < 0 ? n->attr.axis + x.shape.rank : n->attr.axis;
    int64_t at = 0;
    for (int i = 0; i < n->n_out; i++) {
        if (n->out[i] < 0) return MIEN_LOWER_FAIL(l, "output %d is unnamed", i);
        const struct mien_shape *s = &l->g->tensor[n->out[i]].shape;
        MIEN_TRY(mien_lower_view(l, v, s, x.stride, x.shape.dim[axis] == 1 ? 0 : at * x.stride[axis], &out));
        mien_lower_bind(l, n->out[i], out);
        at += s->dim[axis];
    }
    return MIEN_OK;
}

/* Concatenation */

/* May this value's whole buffer become a piece of another? Nothing else may live in it. */
static bool movable(const struct mien_lower *l, const struct mien_value *v)
{
    if (v->buffer == MIEN_NO_BUFFER || v->offset != 0) return false;
    const struct mien_buffer *b = &l->p->buffer[v->buffer];
    return !b->fixed && b->into == MIEN_NO_BUFFER && b->bytes == mien_value_bytes(v) && b->uses < INT32_MAX / 2;
}

/* Every value of buffer `from` now lies in `to`, `offset` elements further. */
static void move_buffer(struct mien_lower *l, int from, int to, int64_t offset, enum mien_elem type)
{
    struct mien_plan *p = l->p;
    for (int i = 0; i < p->n_values; i++) {
        struct mien_value *v = &p->value[i];
        if (v->buffer != from) continue;
        v->buffer = to;
        v->offset += offset * (int64_t)mien_elem_size(type) / (int64_t)mien_elem_size(v->type);
    }
    p->buffer[to].uses += p->buffer[from].uses;
    p->buffer[from].uses = 0;
    p->buffer[from].into = to;
}

/* One input into its slice: by moving its producer there when slices are contiguous, else by a copy. */
static enum mien_code place(struct mien_lower *l, int in, int out, int axis, int64_t at)
{
    const struct mien_value y = l->p->value[out];
    struct mien_value *x = &l->p->value[in];
    int64_t outer = 1;
    for (int i = 0; i < y.shape.rank; i++)
        if (i != axis && y.shape.dim[i] != 1 && y.stride[i] > y.stride[axis]) outer *= y.shape.dim[i];
    const int64_t offset = at * y.stride[axis];
    if (outer == 1 && x->type == y.type && mien_stride_equal(&x->shape, x->stride, y.stride) && movable(l, x)) {
        move_buffer(l, x->buffer, y.buffer, offset, y.type);
        return MIEN_OK;
    }
    int slice;
    const struct mien_shape shape = x->shape;
    MIEN_TRY(mien_lower_view(l, out, &shape, y.stride, offset, &slice));
    return mien_lower_copy(l, in, slice);
}

enum mien_code mien_lower_concat(struct mien_lower *l, const struct mien_node *n)
{
    const struct mien_shape *y = &l->g->tensor[n->out[0]].shape;
    const int axis = n->attr.axis < 0 ? n->attr.axis + y->rank : n->attr.axis;
    int64_t stride[MIEN_MAX_RANK], at = 0;
    int out, order[MIEN_MAX_RANK], v;
    mien_stride_plain(y, stride);
    enum mien_elem type = l->wants_f32[n->out[0]] ? MIEN_F32 : l->type;
    for (int i = 0; i < n->n_in; i++) { /* the layout of the first input that has one */
        if (l->g->tensor[n->in[i]].data != NULL) continue;
        MIEN_TRY(mien_lower_value(l, n->in[i], &v));
        if (y->rank == 4 && mien_stride_order(&l->p->value[v], order)) {
            int64_t nhwc[MIEN_MAX_RANK];
            mien_stride_nhwc(&l->p->value[v].shape, nhwc);
            if (mien_stride_equal(&l->p->value[v].shape, nhwc, l->p->value[v].stride)) mien_stride_nhwc(y, stride);
        }
        if (l->p->value[v].type == MIEN_F32) type = MIEN_F32;
        break;
    }
    MIEN_TRY(mien_lower_new(l, y, stride, type, &out));
    for (int i = 0; i < n->n_in; i++) {
        MIEN_TRY(mien_lower_value(l, n->in[i], &v));
        const int64_t size = l->p->value[v].shape.dim[axis];
        if (l->p->value[v].buffer == MIEN_NO_BUFFER) { /* a constant is copied from its own row-major memory */
            int64_t plain[MIEN_MAX_RANK];
            mien_stride_plain(&l->p->value[v].shape, plain);
            MIEN_TRY(mien_lower_need(l, v, plain, type, &v));
        }
        if (size > 0) MIEN_TRY(place(l, v, out, axis, at));
        at += size;
    }
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

/* Tile: one copy a repetition, each into its part of the result. */
enum mien_code mien_lower_tile(struct mien_lower *l, const struct mien_node *n)
{
    int v, out, part;
    MIEN_TRY(mien_lower_value(l, n->in[0], &v));
    const struct mien_value x = l->p->value[v];
    const struct mien_shape *y = &l->g->tensor[n->out[0]].shape;
    int64_t stride[MIEN_MAX_RANK], copies = 1;
    for (int i = 0; i < y->rank; i++) copies *= y->dim[i] / x.shape.dim[i];
    if (copies > 256) return MIEN_LOWER_FAIL(l, "%lld repetitions", (long long)copies);
    mien_stride_plain(y, stride);
    MIEN_TRY(mien_lower_new(l, y, stride, x.type, &out));
    for (int64_t k = 0; k < copies; k++) {
        int64_t rest = k, offset = 0;
        for (int i = y->rank - 1; i >= 0; i--) {
            const int64_t times = y->dim[i] / x.shape.dim[i];
            offset += rest % times * x.shape.dim[i] * stride[i];
            rest /= times;
        }
        MIEN_TRY(mien_lower_view(l, out, &x.shape, stride, offset, &part));
        MIEN_TRY(mien_lower_copy(l, v, part));
    }
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

/* Expand: a view with steps of zero, copied into memory of its own. */
enum mien_code mien_lower_expand(struct mien_lower *l, const struct mien_node *n)
{
    int v, out, made;
    MIEN_TRY(mien_lower_value(l, n->in[0], &v));
    const struct mien_value x = l->p->value[v];
    const struct mien_shape *y = &l->g->tensor[n->out[0]].shape;
    int64_t stride[MIEN_MAX_RANK];
    const int more = y->rank - x.shape.rank;
    if (more < 0) return MIEN_LOWER_FAIL(l, "rank %d to %d", x.shape.rank, y->rank);
    for (int i = 0; i < y->rank; i++) {
        const int64_t had = i < more ? 1 : x.shape.dim[i - more];
        if (had != y->dim[i] && had != 1) return MIEN_LOWER_FAIL(l, "repeating an axis of size %lld is not supported", (long long)had);
        stride[i] = had == 1 ? 0 : x.stride[i - more];
    }
    MIEN_TRY(mien_lower_view(l, v, y, stride, 0, &out));
    mien_stride_plain(y, stride);
    MIEN_TRY(mien_lower_need(l, out, stride, x.type, &made));
    mien_lower_bind(l, n->out[0], made);
    return MIEN_OK;
}

struct gather { size_t outer, n, inner, elem, count; const int64_t *index; };

static void run_gather(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    const struct gather *g = s->more;
    mien_k_gather(at[s->out], at[s->in[0]], g->outer, g->n, g->inner, g->index, g->count, g->elem);
}

enum mien_code mien_lower_gather(struct mien_lower *l, const struct mien_node *n)
{
    const struct mien_tensor *t = &l->g->tensor[n->in[1]];
    const struct mien_shape *y = &l->g->tensor[n->out[0]].shape;
    const int64_t count = mien_shape_count(&t->shape);
    if (t->data == NULL || t->type != MIEN_I64) return MIEN_LOWER_FAIL(l, "the indices are not an int64 constant");
    int v, in, out;
    MIEN_TRY(mien_lower_value(l, n->in[0], &v));
    MIEN_TRY(mien_lower_need_plain(l, n->in[0], l->p->value[v].type, &in));
    const struct mien_value x = l->p->value[in];
    const int axis = n->attr.axis < 0 ? n->attr.axis + x.shape.rank : n->attr.axis;
    struct gather *g = mien_plan_alloc(l->p, sizeof *g);
    int64_t *index = mien_plan_alloc(l->p, (size_t)count * sizeof *index);
    if (g == NULL || index == NULL) return mien_lower_no_memory(l);
    memcpy(index, t->data, (size_t)count * sizeof *index);
    *g = (struct gather){.outer = 1, .n = (size_t)x.shape.dim[axis], .inner = 1, .elem = mien_elem_size(x.type), .count = (size_t)count, .index = index};
    for (int i = 0; i < axis; i++) g->outer *= (size_t)x.shape.dim[i];
    for (int i = axis + 1; i < x.shape.rank; i++) g->inner *= (size_t)x.shape.dim[i];
    for (int64_t i = 0; i < count; i++)
        if (index[i] < -x.shape.dim[axis] || index[i] >= x.shape.dim[axis]) return MIEN_LOWER_FAIL(l, "index %lld is outside the axis", (long long)index[i]);
    int64_t stride[MIEN_MAX_RANK];
    mien_stride_plain(y, stride);
    MIEN_TRY(mien_lower_new(l, y, stride, x.type, &out));
    struct mien_step *s = mien_lower_step(l, "own:gather", run_gather);
    if (s == NULL) return MIEN_E_NOMEM;
    s->n_in = 1;
    s->in[0] = in;
    s->out = out;
    s->more = g;
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

/* DepthToSpace and SpaceToDepth: both sides as [n, c, h, b, w, b] views of rank 6, and one copy. */
enum mien_code mien_lower_depth_space(struct mien_lower *l, const struct mien_node *n)
{
    int v, out, from, to;
    MIEN_TRY(mien_lower_value(l, n->in[0], &v));
    const struct mien_value x = l->p->value[v];
    const struct mien_shape *y = &l->g->tensor[n->out[0]].shape;
    const bool up = n->op == MIEN_OP_DEPTHTOSPACE;
    int64_t stride[MIEN_MAX_RANK];
    mien_stride_nhwc(y, stride);
    MIEN_TRY(mien_lower_new(l, y, stride, x.type, &out));
    const struct mien_shape *small = up ? &x.shape : y;   /* many channels */
    const int64_t *ss = up ? x.stride : stride, *ls = up ? stride : x.stride;
    const int64_t b = n->attr.block, c = small->dim[1] / (b * b);
    const struct mien_shape six = {6, {small->dim[0], c, small->dim[2], b, small->dim[3], b}};
    const bool dcr = !up || n->attr.dcr; /* channel index: [b][b][c], or [c][b][b] for CRD */
    const int64_t cs = ss[1];
    const int64_t deep[6] = {ss[0], dcr ? cs : cs * b * b, ss[2], dcr ? cs * c * b : cs * b, ss[3], dcr ? cs * c : cs};
    const int64_t wide[6] = {ls[0], ls[1], ls[2] * b, ls[2], ls[3] * b, ls[3]};
    MIEN_TRY(mien_lower_view(l, v, &six, up ? deep : wide, 0, &from));
    MIEN_TRY(mien_lower_view(l, out, &six, up ? wide : deep, 0, &to));
    MIEN_TRY(mien_lower_copy(l, from, to));
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

/* Padding, in the memory order of the input. */
struct pad { int rank, mode; int64_t dim[MIEN_MAX_RANK], begin[MIEN_MAX_RANK], end[MIEN_MAX_RANK]; size_t elem; float value; uint16_t value16; };

static void run_pad(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    const struct pad *p = s->more;
    const void *value = p->elem == 2 ? (const void *)&p->value16 : (const void *)&p->value;
    mien_k_pad(at[s->out], at[s->in[0]], p->dim, p->begin, p->end, p->rank, p->mode, value, p->elem);
}

enum mien_code mien_lower_pad(struct mien_lower *l, const struct mien_node *n)
{
    int v, in, out, axis[MIEN_MAX_RANK];
    MIEN_TRY(mien_lower_value(l, n->in[0], &v));
    MIEN_TRY(mien_lower_need_dense(l, n->in[0], l->p->value[v].type, &in));
    const struct mien_value x = l->p->value[in];
    const struct mien_shape *y = &l->g->tensor[n->out[0]].shape;
    mien_stride_order(&x, axis);
    struct pad *p = mien_plan_alloc(l->p, sizeof *p);
    if (p == NULL) return mien_lower_no_memory(l);
    *p = (struct pad){.rank = y->rank,
                      .mode = n->attr.pad_mode,
                      .elem = mien_elem_size(x.type),
                      .value = n->attr.pad_value,
                      .value16 = mien_bf16_from_f32(n->attr.pad_value)};
    for (int i = 0; i < y->rank; i++) {
        p->dim[i] = x.shape.dim[axis[i]];
        p->begin[i] = n->attr.pads[axis[i]];
        p->end[i] = n->attr.pads[y->rank + axis[i]];
    }
    int64_t stride[MIEN_MAX_RANK];
    mien_stride_by_order(y, axis, stride);
    MIEN_TRY(mien_lower_new(l, y, stride, x.type, &out));
    struct mien_step *s = mien_lower_step(l, "own:pad", run_pad);
    if (s == NULL) return MIEN_E_NOMEM;
    s->n_in = 1;
    s->in[0] = in;
    s->out = out;
    s->more = p;
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

enum mien_code mien_lower_cast(struct mien_lower *l, const struct mien_node *n)
{
    int v;
    if (n->attr.to != MIEN_F32 && n->attr.to != MIEN_F16 && n->attr.to != MIEN_BF16 && n->attr.to != MIEN_F64)
        return MIEN_LOWER_FAIL(l, "conversion to integers while running is not supported");
    MIEN_TRY(mien_lower_value(l, n->in[0], &v));
    mien_lower_bind(l, n->out[0], v);
    return MIEN_OK;
}
