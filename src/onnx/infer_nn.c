/* Shape inference of windows (convolution, pooling), matrix products, resizing and padding. */
#include "onnx/infer.h"

#include <math.h>

/* Explicit padding of one dimension for auto_pad SAME: output = ceil(in / stride), the odd pixel at the end (UPPER) or begin. */
static void same_padding(int64_t in, int64_t reach, int stride, bool upper, int *begin, int *end)
{
    int64_t out = (in + stride - 1) / stride, total = (out - 1) * stride + reach - in;
    if (total < 0) total = 0;
    int64_t half = total / 2;
    *begin = (int)(upper ? half : total - half);
    *end = (int)(upper ? total - half : half);
}

/* Output size of a window along d = 0 (height) or 1 (width); resolves auto_pad and, where possible, ceil_mode into pad. */
static enum mien_code window_size(struct mien_infer *c, int d, int64_t in, int64_t *out)
{
    struct mien_attrs *a = &c->n->attr;
    int64_t reach = (int64_t)(a->kernel[d] - 1) * a->dilation[d] + 1;
    int stride = a->stride[d], *begin = &a->pad[d], *end = &a->pad[d + 2];
    MIEN_BAD_SHAPE_IF(in < 1, c, "empty input");
    if (a->auto_pad == 1 || a->auto_pad == 2) {
        MIEN_BAD_SHAPE_IF(reach > INT32_MAX / 2, c, "window too large");
        same_padding(in, reach, stride, a->auto_pad == 1, begin, end);
    } else if (a->auto_pad == 3) {
        *begin = *end = 0;
    }
    int64_t room = in + *begin + *end - reach;
    MIEN_BAD_SHAPE_IF(room < 0, c, "the window is larger than the input");
    *out = room / stride + 1;
    if (!a->ceil_mode || a->auto_pad == 1 || a->auto_pad == 2) return MIEN_OK;
    int64_t up = (room + stride - 1) / stride + 1;
    if ((up - 1) * stride >= in + *begin) up--; /* the last window must start inside the input or its left padding */
    if (up == *out) return MIEN_OK;
    bool exact = c->n->op == MIEN_OP_MAXPOOL || !a->count_include_pad;
    if (exact) *end += (int)((up - 1) * stride + reach - (in + *begin + *end));
    *out = up;
    return MIEN_OK;
}

/* ceil_mode stays set only for an average that counts declared padding but not the overhang. */
static void settle_ceil_mode(struct mien_attrs *a, enum mien_op op, const struct mien_shape *in, const struct mien_shape *out)
{
    if (!a->ceil_mode) return;
    bool overhang = false;
    for (int d = 0; d < 2; d++) {
        int64_t reach = (int64_t)(a->kernel[d] - 1) * a->dilation[d] + 1;
        overhang |= (out->dim[d + 2] - 1) * a->stride[d] + reach > in->dim[d + 2] + a->pad[d] + a->pad[d + 2];
    }
    a->ceil_mode = overhang && op == MIEN_OP_AVGPOOL && a->count_include_pad;
}

static enum mien_code rank4(const struct mien_infer *c, const struct mien_tensor *t)
{
    MIEN_NODE_FAIL_IF(t->shape.rank != 4, c->e, MIEN_E_ONNX_UNSUPPORTED, c->n, "only four-dimensional data is supported here, not %d", t->shape.rank);
    return MIEN_OK;
}

/* Kernel size from the weights [M, C/g, kh, kw]; the node may state it too. */
static enum mien_code kernel_of(struct mien_infer *c, const struct mien_tensor *w)
{
    struct mien_attrs *a = &c->n->attr;
    for (int d = 0; d < 2; d++) {
        int64_t k = w->shape.dim[d + 2];
        MIEN_BAD_SHAPE_IF(k < 1 || k > 32767 || (a->kernel[d] != 0 && a->kernel[d] != k), c, "kernel_shape differs from the weights'");
        a->kernel[d] = (int)k;
    }
    return MIEN_OK;
}

static enum mien_code check_bias(const struct mien_infer *c, int64_t channels)
{
    const struct mien_tensor *b = mien_in(c, 2);
    MIEN_BAD_SHAPE_IF(b != NULL && mien_shape_count(&b->shape) != channels, c, "the bias does not have one value a channel");
    return MIEN_OK;
}

enum mien_code mien_infer_conv(struct mien_infer *c)
{
    MIEN_TRY(mien_infer_need(c, 2));
    const struct mien_tensor *x = mien_in(c, 0), *w = mien_in(c, 1);
    MIEN_TRY(rank4(c, x));
    MIEN_TRY(rank4(c, w));
    MIEN_TRY(kernel_of(c, w));
    int64_t groups = c->n->attr.groups, m = w->shape.dim[0];
    MIEN_BAD_SHAPE_IF(w->shape.dim[1] * groups != x->shape.dim[1] || m % groups != 0, c, "%lld input channels do not fit the weights",
                      (long long)x->shape.dim[1]);
    MIEN_TRY(check_bias(c, m));
    struct mien_shape s = {.rank = 4, .dim = {x->shape.dim[0], m}};
    for (int d = 0; d < 2; d++) MIEN_TRY(window_size(c, d, x->shape.dim[d + 2], &s.dim[d + 2]));
    c->n->attr.auto_pad = 0;
    return mien_infer_out(c, 0, x->type, &s);
}

enum mien_code mien_infer_conv_transpose(struct mien_infer *c)
{
    MIEN_TRY(mien_infer_need(c, 2));
    const struct mien_tensor *x = mien_in(c, 0), *w = mien_in(c, 1);
    struct mien_attrs *a = &c->n->attr;
    MIEN_TRY(rank4(c, x));
    MIEN_TRY(rank4(c, w));
    MIEN_TRY(kernel_of(c, w));
    MIEN_BAD_SHAPE_IF(w->shape.dim[0] != x->shape.dim[1] || w->shape.dim[0] % a->groups != 0, c, "%lld input channels do not fit the weights",
                      (long long)x->shape.dim[1]);
    struct mien_shape s = {.rank = 4, .dim = {x->shape.dim[0], w->shape.dim[1] * a->groups}};
    MIEN_TRY(check_bias(c, s.dim[1]));
    for (int d = 0; d < 2; d++) {
        int64_t reach = (int64_t)(a->kernel[d] - 1) * a->dilation[d] + 1;
        int64_t full = a->stride[d] * (x->shape.dim[d + 2] - 1) + a->output_pad[d] + reach, want = full - a->pad[d] - a->pad[d + 2];
        if (a->auto_pad == 3) a->pad[d] = a->pad[d + 2] = 0;
        if (a->auto_pad == 3) want = full;
        if (a->auto_pad == 1 || a->auto_pad == 2) { /* output = input * stride */
            want = x->shape.dim[d + 2] * a->stride[d];
            int64_t total = full - want > 0 ? full - want : 0; /* smaller than that when the stride leaves gaps */
            MIEN_BAD_SHAPE_IF(total > INT32_MAX, c, "auto_pad cannot give the size");
            want = full - total;
            a->pad[a->auto_pad == 1 ? d : d + 2] = (int)(total / 2);
            a->pad[a->auto_pad == 1 ? d + 2 : d] = (int)(total - total / 2);
        }
        MIEN_BAD_SHAPE_IF(want < 1, c, "the result would be empty");
        s.dim[d + 2] = want;
    }
    a->auto_pad = 0;
    return mien_infer_out(c, 0, x->type, &s);
}

enum mien_code mien_infer_pool(struct mien_infer *c)
{
    const struct mien_tensor *x = mien_in(c, 0);
    MIEN_TRY(rank4(c, x));
    MIEN_NODE_FAIL_IF(c->n->n_out > 1, c->e, MIEN_E_ONNX_UNSUPPORTED, c->n, "the indices output is not supported");
    struct mien_shape s = {.rank = 4, .dim = {x->shape.dim[0], x->shape.dim[1]}};
    struct mien_attrs *a = &c->n->attr;
    if (a->pad[0] == 0 && a->pad[1] == 0 && a->pad[2] == 0 && a->pad[3] == 0 && a->auto_pad == 0) a->count_include_pad = false;
    for (int d = 0; d < 2; d++) MIEN_TRY(window_size(c, d, x->shape.dim[d + 2], &s.dim[d + 2]));
    a->auto_pad = 0;
    settle_ceil_mode(a, c->n->op, &x->shape, &s);
    return mien_infer_out(c, 0, x->type, &s);
}

enum mien_code mien_infer_global_pool(struct mien_infer *c)
{
    const struct mien_tensor *x = mien_in(c, 0);
    MIEN_TRY(rank4(c, x));
    struct mien_shape s = {.rank = 4, .dim = {x->shape.dim[0], x->shape.dim[1], 1, 1}};
    return mien_infer_out(c, 0, x->type, &s);
}

enum mien_code mien_infer_gemm(struct mien_infer *c)
{
    MIEN_TRY(mien_infer_need(c, 2));
    const struct mien_shape *a = &mien_in(c, 0)->shape, *b = &mien_in(c, 1)->shape;
    MIEN_BAD_SHAPE_IF(a->rank != 2 || b->rank != 2, c, "the operands are not matrices");
    int64_t m = a->dim[c->n->attr.trans_a], k = a->dim[!c->n->attr.trans_a];
    int64_t kb = b->dim[c->n->attr.trans_b], n = b->dim[!c->n->attr.trans_b];
    MIEN_BAD_SHAPE_IF(k != kb, c, "%lld columns times %lld rows", (long long)k, (long long)kb);
    struct mien_shape s = {.rank = 2, .dim = {m, n}};
    if (mien_in(c, 2) != NULL) {
        struct mien_shape t = s;
        MIEN_BAD_SHAPE_IF(!mien_broadcast(&t, &mien_in(c, 2)->shape) || t.rank != 2 || t.dim[0] != m || t.dim[1] != n, c, "the bias does not fit");
    }
    return mien_infer_out(c, 0, mien_in(c, 0)->type, &s);
}

enum mien_code mien_infer_matmul(struct mien_infer *c)
{
    MIEN_TRY(mien_infer_need(c, 2));
    struct mien_shape a = mien_in(c, 0)->shape, b = mien_in(c, 1)->shape;
    MIEN_NODE_FAIL_IF(a.rank < 2 || b.rank < 2, c->e, MIEN_E_ONNX_UNSUPPORTED, c->n, "vector operands are not supported");
    MIEN_BAD_SHAPE_IF(a.dim[a.rank - 1] != b.dim[b.rank - 2], c, "%lld columns times %lld rows", (long long)a.dim[a.rank - 1], (long long)b.dim[b.rank - 2]);
    int64_t m = a.dim[a.rank - 2], n = b.dim[b.rank - 1];
    a.rank -= 2;
    b.rank -= 2;
    MIEN_BAD_SHAPE_IF(!mien_broadcast(&a, &b), c, "the batch dimensions do not fit together");
    a.dim[a.rank++] = m;
    a.dim[a.rank++] = n;
    return mien_infer_out(c, 0, mien_in(c, 0)->type, &a);
}

/* Scales or sizes of every dimension; only height and width may change. */
static enum mien_code resize_target(struct mien_infer *c, const struct mien_shape *x, float *scale, struct mien_shape *s)
{
    const struct mien_tensor *scales = mien_in(c, 2), *sizes = mien_in(c, 3);
    struct mien_attrs *a = &c->n->attr;
    int axis[MIEN_MAX_RANK], n = a->n_axes > 0 ? a->n_axes : x->rank;
    for (int i = 0; i < n; i++) {
        int64_t at = a->n_axes > 0 ? a->axes[i] : i;
        MIEN_TRY(mien_infer_axis(c, x->rank, &at));
        axis[i] = (int)at;
    }
    if (sizes != NULL && mien_shape_count(&sizes->shape) > 0) {
        int64_t v[MIEN_MAX_RANK];
        int count;
        MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[3], "sizes", v, MIEN_MAX_RANK, &count, c->e));
        MIEN_BAD_SHAPE_IF(count != n, c, "%d sizes for %d dimensions", count, n);
        for (int i = 0; i < n; i++) {
            MIEN_BAD_SHAPE_IF(v[i] < 1 || x->dim[axis[i]] < 1 || v[i] > INT32_MAX, c, "size out of range");
            s->dim[axis[i]] = v[i];
            scale[axis[i]] = (float)v[i] / (float)x->dim[axis[i]];
        }
        return MIEN_OK;
    }
    MIEN_NODE_FAIL_IF(scales == NULL || scales->data == NULL || scales->type != MIEN_F32, c->e, MIEN_E_ONNX_UNSUPPORTED, c->n,
                      "neither its sizes nor its scales can be computed from the input shapes");
    MIEN_BAD_SHAPE_IF(mien_shape_count(&scales->shape) != n, c, "one scale a dimension is needed");
    for (int i = 0; i < n; i++) {
        float f = mien_load_f32(scales->data, (size_t)i), to = floorf((float)x->dim[axis[i]] * f);
        MIEN_BAD_SHAPE_IF(!(f > 0) || !(to >= 1) || to > 1e6f, c, "scale out of range");
        scale[axis[i]] = f;
        s->dim[axis[i]] = (int64_t)to;
    }
    return MIEN_OK;
}

enum mien_code mien_infer_resize(struct mien_infer *c)
{
    const struct mien_tensor *x = mien_in(c, 0);
    MIEN_TRY(rank4(c, x));
    float scale[MIEN_MAX_RANK] = {1, 1, 1, 1};
    struct mien_shape s = x->shape;
    MIEN_TRY(resize_target(c, &x->shape, scale, &s));
    MIEN_NODE_FAIL_IF(s.dim[0] != x->shape.dim[0] || s.dim[1] != x->shape.dim[1], c->e, MIEN_E_ONNX_UNSUPPORTED, c->n, "only height and width can be resized");
    c->n->attr.scale[0] = scale[2];
    c->n->attr.scale[1] = scale[3];
    c->n->n_in = 1;
    c->n->op = MIEN_OP_RESIZE;
    return mien_infer_out(c, 0, x->type, &s);
}

enum mien_code mien_infer_pad(struct mien_infer *c)
{
    const struct mien_tensor *x = mien_in(c, 0), *value = mien_in(c, 2);
    struct mien_attrs *a = &c->n->attr;
    int64_t v[2 * MIEN_MAX_RANK], axes[MIEN_MAX_RANK];
    int n, n_axes = x->shape.rank, rank = x->shape.rank;
    MIEN_TRY(mien_infer_need(c, 2));
    MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[1], "the padding", v, 2 * MIEN_MAX_RANK, &n, c->e));
    for (int i = 0; i < rank; i++) axes[i] = i;
    if (mien_in(c, 3) != NULL) MIEN_TRY(mien_const_ints(c->g, c->n, c->n->in[3], "axes", axes, MIEN_MAX_RANK, &n_axes, c->e));
    MIEN_BAD_SHAPE_IF(n != 2 * n_axes || n_axes > rank, c, "%d paddings for %d dimensions", n, n_axes);
    memset(a->pads, 0, sizeof a->pads);
    for (int i = 0; i < n_axes; i++) {
        MIEN_TRY(mien_infer_axis(c, rank, &axes[i]));
        a->pads[axes[i]] = v[i];
        a->pads[axes[i] + rank] = v[i + n_axes];
    }
    if (value != NULL) {
        MIEN_NODE_FAIL_IF(value->data == NULL || value->type != MIEN_F32 || mien_shape_count(&value->shape) != 1, c->e, MIEN_E_ONNX_UNSUPPORTED, c->n,
                          "the padding value must be one float32 constant");
        a->pad_value = mien_load_f32(value->data, 0);
    }
    struct mien_shape s = x->shape;
    for (int i = 0; i < rank; i++) {
        int64_t p = a->pads[i], q = a->pads[i + rank];
        MIEN_BAD_SHAPE_IF(p < -INT32_MAX || p > INT32_MAX || q < -INT32_MAX || q > INT32_MAX || s.dim[i] + p + q < 0, c, "padding out of range");
        MIEN_BAD_SHAPE_IF(a->pad_mode == 1 && (p >= s.dim[i] || q >= s.dim[i]) && (p > 0 || q > 0), c, "reflection needs more pixels than there are");
        MIEN_BAD_SHAPE_IF(a->pad_mode == 2 && s.dim[i] == 0 && (p > 0 || q > 0), c, "no edge to repeat");
        s.dim[i] += p + q;
    }
    c->n->n_in = 1;
    return mien_infer_out(c, 0, x->type, &s);
}

enum mien_code mien_infer_depth_to_space(struct mien_infer *c)
{
    const struct mien_tensor *x = mien_in(c, 0);
    MIEN_TRY(rank4(c, x));
    int64_t b = c->n->attr.block;
    MIEN_BAD_SHAPE_IF(x->shape.dim[1] % (b * b) != 0, c, "the channels are not a multiple of blocksize squared");
    struct mien_shape s = {.rank = 4, .dim = {x->shape.dim[0], x->shape.dim[1] / (b * b), x->shape.dim[2] * b, x->shape.dim[3] * b}};
    return mien_infer_out(c, 0, x->type, &s);
}

enum mien_code mien_infer_space_to_depth(struct mien_infer *c)
{
    const struct mien_tensor *x = mien_in(c, 0);
    MIEN_TRY(rank4(c, x));
    int64_t b = c->n->attr.block;
    MIEN_BAD_SHAPE_IF(x->shape.dim[2] % b != 0 || x->shape.dim[3] % b != 0, c, "the size is not a multiple of blocksize");
    struct mien_shape s = {.rank = 4, .dim = {x->shape.dim[0], x->shape.dim[1] * b * b, x->shape.dim[2] / b, x->shape.dim[3] / b}};
    return mien_infer_out(c, 0, x->type, &s);
}
