/* Shape inference of operators that move data, make shapes or reduce. */
#include "onnx/infer.h"

#include <math.h>

static void only_data(struct mien_infer *c) { c->n->n_in = 1; }

enum mien_code mien_infer_reshape(struct mien_infer *c)
{
    const struct mien_tensor *x = mien_in(c, 0);
    if (c->n->n_in == 1 && c->n->out[0] >= 0 && mien_shape_count(&c->g->tensor[c->n->out[0]].shape) >= 0) return MIEN_OK;
    MIEN_TRY(mien_infer_need(c, 2));
    int64_t v[MIEN_MAX_RANK], known = 1, count = mien_shape_count(&x->shape);
    int n, free_dim = -1;
    MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[1], "the new shape", v, MIEN_MAX_RANK, &n, c->e));
    for (int i = 0; i < n; i++) {
        if (v[i] == 0 && i < x->shape.rank) v[i] = x->shape.dim[i];
        MIEN_BAD_SHAPE_IF(v[i] < -1 || (v[i] == -1 && free_dim >= 0), c, "the new shape is invalid");
        if (v[i] == -1) free_dim = i;
        else MIEN_BAD_SHAPE_IF(__builtin_mul_overflow(known, v[i], &known), c, "the new shape is too large");
    }
    if (free_dim >= 0) {
        MIEN_BAD_SHAPE_IF(known == 0 || count % known != 0, c, "%lld elements do not fit the new shape", (long long)count);
        v[free_dim] = count / known;
        known = count;
    }
    MIEN_BAD_SHAPE_IF(known != count, c, "%lld elements do not fit the new shape (%lld)", (long long)count, (long long)known);
    struct mien_shape s = mien_shape_of(n, v);
    only_data(c);
    return mien_infer_out(c, 0, x->type, &s);
}

enum mien_code mien_infer_flatten(struct mien_infer *c)
{
    const struct mien_tensor *x = mien_in(c, 0);
    int axis = c->n->attr.axis, rank = x->shape.rank;
    MIEN_BAD_SHAPE_IF(axis < -rank || axis > rank, c, "axis %d for %d dimensions", axis, rank);
    if (axis < 0) axis += rank;
    struct mien_shape s = {.rank = 2, .dim = {1, 1}};
    for (int i = 0; i < rank; i++) s.dim[i >= axis] *= x->shape.dim[i];
    return mien_infer_out(c, 0, x->type, &s);
}

/* Axes from the attribute or from input k, counted from the front of `rank` dimensions, each once; the mask of them. */
static enum mien_code axes_of(struct mien_infer *c, int k, int rank, unsigned *mask)
{
    struct mien_attrs *a = &c->n->attr;
    if (mien_in(c, k) != NULL) MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[k], "axes", a->axes, MIEN_MAX_RANK, &a->n_axes, c->e));
    *mask = 0;
    for (int i = 0; i < a->n_axes; i++) {
        MIEN_TRY(mien_infer_axis(c, rank, &a->axes[i]));
        MIEN_BAD_SHAPE_IF(*mask >> a->axes[i] & 1, c, "an axis is given twice");
        *mask |= 1u << a->axes[i];
    }
    return MIEN_OK;
}

enum mien_code mien_infer_squeeze(struct mien_infer *c)
{
    const struct mien_tensor *x = mien_in(c, 0);
    unsigned mask;
    MIEN_TRY(axes_of(c, 1, x->shape.rank, &mask));
    struct mien_shape s = {.rank = 0};
    for (int i = 0; i < x->shape.rank; i++) {
        bool drop = c->n->attr.n_axes > 0 ? mask >> i & 1 : x->shape.dim[i] == 1;
        MIEN_BAD_SHAPE_IF(drop && x->shape.dim[i] != 1, c, "dimension %d is not 1", i);
        if (!drop) s.dim[s.rank++] = x->shape.dim[i];
    }
    only_data(c);
    return mien_infer_out(c, 0, x->type, &s);
}

enum mien_code mien_infer_unsqueeze(struct mien_infer *c)
{
    const struct mien_tensor *x = mien_in(c, 0);
    struct mien_attrs *a = &c->n->attr;
    if (mien_in(c, 1) != NULL) MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[1], "axes", a->axes, MIEN_MAX_RANK, &a->n_axes, c->e));
    int rank = x->shape.rank + a->n_axes;
    MIEN_NODE_FAIL_IF(rank > MIEN_MAX_RANK, c->e, MIEN_E_ONNX_UNSUPPORTED, c->n, "more than %d dimensions", MIEN_MAX_RANK);
    unsigned mask;
    MIEN_TRY(axes_of(c, 1, rank, &mask));
    struct mien_shape s = {.rank = rank};
    for (int i = 0, from = 0; i < rank; i++) s.dim[i] = mask >> i & 1 ? 1 : x->shape.dim[from++];
    only_data(c);
    return mien_infer_out(c, 0, x->type, &s);
}

enum mien_code mien_infer_transpose(struct mien_infer *c)
{
    const struct mien_tensor *x = mien_in(c, 0);
    struct mien_attrs *a = &c->n->attr;
    int rank = x->shape.rank;
    if (a->n_perm == 0) { /* reversed is the default */
        a->n_perm = rank;
        for (int i = 0; i < rank; i++) a->perm[i] = rank - 1 - i;
    }
    MIEN_BAD_SHAPE_IF(a->n_perm != rank, c, "perm has %d places for %d dimensions", a->n_perm, rank);
    struct mien_shape s = {.rank = rank};
    for (int i = 0; i < rank; i++) s.dim[i] = x->shape.dim[a->perm[i]];
    return mien_infer_out(c, 0, x->type, &s);
}

enum mien_code mien_infer_concat(struct mien_infer *c)
{
    MIEN_TRY(mien_infer_need(c, c->n->n_in));
    struct mien_shape s = mien_in(c, 0)->shape;
    int64_t axis = c->n->attr.axis;
    MIEN_TRY(mien_infer_axis(c, s.rank, &axis));
    c->n->attr.axis = (int)axis;
    for (int k = 1; k < c->n->n_in; k++) {
        const struct mien_shape *t = &mien_in(c, k)->shape;
        MIEN_BAD_SHAPE_IF(t->rank != s.rank || mien_in(c, k)->type != mien_in(c, 0)->type, c, "input %d differs in rank or type", k);
        for (int i = 0; i < s.rank; i++) MIEN_BAD_SHAPE_IF(i != axis && t->dim[i] != s.dim[i], c, "input %d has another size along dimension %d", k, i);
        s.dim[axis] += t->dim[axis];
    }
    return mien_infer_out(c, 0, mien_in(c, 0)->type, &s);
}

enum mien_code mien_infer_split(struct mien_infer *c)
{
    const struct mien_tensor *x = mien_in(c, 0);
    int64_t axis = c->n->attr.axis, size[MIEN_MAX_NODE_OUT], sum = 0;
    MIEN_TRY(mien_infer_axis(c, x->shape.rank, &axis));
    c->n->attr.axis = (int)axis;
    int n = c->n->n_out, count = n;
    int64_t total = x->shape.dim[axis], chunk = (total + n - 1) / n;
    for (int k = 0; k < n; k++) size[k] = total - k * chunk < chunk ? total - k * chunk : chunk;
    if (mien_in(c, 1) != NULL) MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[1], "split", size, MIEN_MAX_NODE_OUT, &count, c->e));
    MIEN_BAD_SHAPE_IF(count != n, c, "%d sizes for %d outputs", count, n);
    for (int k = 0; k < n; k++) {
        MIEN_BAD_SHAPE_IF(size[k] < 0 || size[k] > total, c, "the sizes do not add up");
        sum += size[k];
    }
    MIEN_BAD_SHAPE_IF(sum != total, c, "the sizes do not add up");
    only_data(c);
    struct mien_shape s = x->shape;
    enum mien_elem type = x->type;
    for (int k = 0; k < n; k++) {
        s.dim[axis] = size[k];
        MIEN_TRY(mien_infer_out(c, k, type, &s));
    }
    return MIEN_OK;
}

static int64_t clamp(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }

/* One axis of a slice, numpy's rules: negative positions count from the end, out-of-range ones are clamped. */
static enum mien_code slice_axis(struct mien_infer *c, int axis, int64_t start, int64_t end, int64_t step, int64_t *size)
{
    int64_t n = *size;
    MIEN_BAD_SHAPE_IF(step == 0 || step == INT64_MIN, c, "the step is zero or out of range");
    if (step < 0 && (end == INT64_MAX || end == INT32_MAX)) end = INT64_MIN; /* "as far as it goes", as ONNX Runtime has it */
    start = start >= 0 ? start : start >= -n ? start + n : step > 0 ? 0 : -1;
    end = end >= 0 ? end : end >= -n ? end + n : -1;
    int64_t stride = step < 0 ? -step : step, span;
    if (step > 0) {
        start = clamp(start, 0, n);
        end = clamp(end, 0, n);
        span = end - start;
    } else {
        start = clamp(start, n > 0 ? 0 : -1, n - 1); /* numpy starts at 0 when before it; ONNX clamps likewise */
        end = clamp(end, -1, n - 1);
        span = start - end;
    }
    *size = span > 0 ? 1 + (span - 1) / stride : 0;
    c->n->attr.starts[axis] = *size > 0 ? start : 0;
    c->n->attr.steps[axis] = *size > 1 ? step : 1;
    return MIEN_OK;
}

enum mien_code mien_infer_slice(struct mien_infer *c)
{
    if (c->n->n_in == 1) return MIEN_NODE_FAIL(c->e, MIEN_E_ONNX_FORMAT, c->n, "starts are missing");
    MIEN_TRY(mien_infer_need(c, 3));
    const struct mien_tensor *x = mien_in(c, 0);
    int64_t starts[MIEN_MAX_RANK], ends[MIEN_MAX_RANK], axes[MIEN_MAX_RANK], steps[MIEN_MAX_RANK];
    int n, n_ends, n_axes, n_steps;
    MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[1], "starts", starts, MIEN_MAX_RANK, &n, c->e));
    MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[2], "ends", ends, MIEN_MAX_RANK, &n_ends, c->e));
    n_axes = n_steps = n;
    for (int i = 0; i < n; i++) {
        axes[i] = i;
        steps[i] = 1;
    }
    if (mien_in(c, 3) != NULL) MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[3], "axes", axes, MIEN_MAX_RANK, &n_axes, c->e));
    if (mien_in(c, 4) != NULL) MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[4], "steps", steps, MIEN_MAX_RANK, &n_steps, c->e));
    MIEN_BAD_SHAPE_IF(n_ends != n || n_axes != n || n_steps != n, c, "starts, ends, axes and steps differ in length");
    struct mien_shape s = x->shape;
    for (int i = 0; i < s.rank; i++) {
        c->n->attr.starts[i] = 0;
        c->n->attr.steps[i] = 1;
    }
    unsigned seen = 0;
    for (int i = 0; i < n; i++) {
        MIEN_TRY(mien_infer_axis(c, s.rank, &axes[i]));
        MIEN_BAD_SHAPE_IF(seen >> axes[i] & 1, c, "an axis is given twice");
        seen |= 1u << axes[i];
        MIEN_TRY(slice_axis(c, (int)axes[i], starts[i], ends[i], steps[i], &s.dim[axes[i]]));
    }
    only_data(c);
    return mien_infer_out(c, 0, x->type, &s);
}

enum mien_code mien_infer_expand(struct mien_infer *c)
{
    MIEN_TRY(mien_infer_need(c, 2));
    int64_t v[MIEN_MAX_RANK];
    int n;
    MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[1], "the new shape", v, MIEN_MAX_RANK, &n, c->e));
    for (int i = 0; i < n; i++) MIEN_BAD_SHAPE_IF(v[i] < 0, c, "negative size");
    struct mien_shape s = mien_in(c, 0)->shape, t = mien_shape_of(n, v);
    MIEN_BAD_SHAPE_IF(!mien_broadcast(&s, &t), c, "the input cannot be expanded to this shape");
    only_data(c);
    return mien_infer_out(c, 0, mien_in(c, 0)->type, &s);
}

enum mien_code mien_infer_tile(struct mien_infer *c)
{
    MIEN_TRY(mien_infer_need(c, 2));
    int64_t v[MIEN_MAX_RANK];
    int n;
    MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[1], "repeats", v, MIEN_MAX_RANK, &n, c->e));
    struct mien_shape s = mien_in(c, 0)->shape;
    MIEN_BAD_SHAPE_IF(n != s.rank, c, "%d repeats for %d dimensions", n, s.rank);
    for (int i = 0; i < n; i++) MIEN_BAD_SHAPE_IF(v[i] < 0 || __builtin_mul_overflow(s.dim[i], v[i], &s.dim[i]), c, "repeats out of range");
    only_data(c);
    return mien_infer_out(c, 0, mien_in(c, 0)->type, &s);
}

enum mien_code mien_infer_gather(struct mien_infer *c)
{
    MIEN_TRY(mien_infer_need(c, 2));
    const struct mien_shape *x = &mien_in(c, 0)->shape, *at = &mien_in(c, 1)->shape;
    int64_t axis = c->n->attr.axis;
    MIEN_TRY(mien_infer_axis(c, x->rank, &axis));
    c->n->attr.axis = (int)axis;
    MIEN_NODE_FAIL_IF(x->rank - 1 + at->rank > MIEN_MAX_RANK, c->e, MIEN_E_ONNX_UNSUPPORTED, c->n, "more than %d dimensions", MIEN_MAX_RANK);
    MIEN_BAD_SHAPE_IF(mien_in(c, 1)->type != MIEN_I64 && mien_in(c, 1)->type != MIEN_I32, c, "the indices are not integers");
    struct mien_shape s = {.rank = 0};
    for (int i = 0; i < axis; i++) s.dim[s.rank++] = x->dim[i];
    for (int i = 0; i < at->rank; i++) s.dim[s.rank++] = at->dim[i];
    for (int i = (int)axis + 1; i < x->rank; i++) s.dim[s.rank++] = x->dim[i];
    return mien_infer_out(c, 0, mien_in(c, 0)->type, &s);
}

enum mien_code mien_infer_shape_of(struct mien_infer *c)
{
    int rank = mien_in(c, 0)->shape.rank;
    struct mien_attrs *a = &c->n->attr;
    int64_t start = a->starts[0], end = a->steps[0];
    if (start < 0) start += rank;
    if (end < 0) end += rank;
    start = clamp(start, 0, rank);
    end = clamp(end, start, rank);
    a->starts[0] = start;
    struct mien_shape s = {.rank = 1, .dim = {end - start}};
    return mien_infer_out(c, 0, MIEN_I64, &s);
}

enum mien_code mien_infer_size(struct mien_infer *c)
{
    struct mien_shape s = {.rank = 0};
    return mien_infer_out(c, 0, MIEN_I64, &s);
}

enum mien_code mien_infer_constant_of_shape(struct mien_infer *c)
{
    int64_t v[MIEN_MAX_RANK];
    int n;
    MIEN_TRY(mien_infer_need(c, 2));
    MIEN_BAD_SHAPE_IF(mien_in(c, 1)->data == NULL || mien_shape_count(&mien_in(c, 1)->shape) != 1, c, "the value is not one number");
    MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[0], "the shape", v, MIEN_MAX_RANK, &n, c->e));
    for (int i = 0; i < n; i++) MIEN_BAD_SHAPE_IF(v[i] < 0, c, "negative size");
    struct mien_shape s = mien_shape_of(n, v);
    return mien_infer_out(c, 0, mien_in(c, 1)->type, &s);
}

enum mien_code mien_infer_range(struct mien_infer *c)
{
    double v[3];
    MIEN_TRY(mien_infer_need(c, 3));
    for (int k = 0; k < 3; k++) {
        const struct mien_tensor *t = mien_in(c, k);
        MIEN_BAD_SHAPE_IF(t->type != mien_in(c, 0)->type || mien_shape_count(&t->shape) != 1, c, "its operands are not three numbers of one type");
        if (t->type == MIEN_F32 && t->data != NULL) {
            v[k] = (double)mien_load_f32(t->data, 0);
        } else {
            int64_t i;
            int n;
            MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[k], "its operands", &i, 1, &n, c->e));
            v[k] = (double)i;
        }
    }
    double n = ceil((v[1] - v[0]) / v[2]);
    MIEN_BAD_SHAPE_IF(!(fabs(v[2]) > 0) || !(n < 1e7), c, "the range is endless or too long");
    struct mien_shape s = {.rank = 1, .dim = {n > 0 ? (int64_t)n : 0}};
    return mien_infer_out(c, 0, mien_in(c, 0)->type, &s);
}

enum mien_code mien_infer_reduce(struct mien_infer *c)
{
    const struct mien_tensor *x = mien_in(c, 0);
    struct mien_attrs *a = &c->n->attr;
    int rank = x->shape.rank;
    unsigned mask;
    MIEN_TRY(axes_of(c, 1, rank, &mask));
    bool none = a->n_axes == 0 && a->legacy;
    if (a->n_axes == 0 && !none) mask = (1u << rank) - 1;
    a->n_axes = 0; /* in ascending order, every one listed */
    struct mien_shape s = {.rank = 0};
    for (int i = 0; i < rank; i++) {
        bool reduced = mask >> i & 1;
        MIEN_BAD_SHAPE_IF(reduced && x->shape.dim[i] == 0, c, "reduction of nothing");
        if (reduced) a->axes[a->n_axes++] = i;
        if (!reduced || a->keepdims) s.dim[s.rank++] = reduced ? 1 : x->shape.dim[i];
    }
    only_data(c);
    return mien_infer_out(c, 0, x->type, &s);
}

enum mien_code mien_infer_argmax(struct mien_infer *c)
{
    const struct mien_shape *x = &mien_in(c, 0)->shape;
    int64_t axis = c->n->attr.axis;
    MIEN_TRY(mien_infer_axis(c, x->rank, &axis));
    c->n->attr.axis = (int)axis;
    MIEN_BAD_SHAPE_IF(x->dim[axis] == 0, c, "reduction of nothing");
    struct mien_shape s = {.rank = 0};
    for (int i = 0; i < x->rank; i++)
        if (i != axis || c->n->attr.keepdims) s.dim[s.rank++] = i == axis ? 1 : x->dim[i];
    return mien_infer_out(c, 0, MIEN_I64, &s);
}
