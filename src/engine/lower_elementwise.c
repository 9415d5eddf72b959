/* Lowering of elementwise operators: activations, arithmetic with broadcasting, channel-wise affine maps. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/steps.h"

/* Type to compute in: the value's own, but float32 when the readers want that. */
static enum mien_elem compute_type(const struct mien_lower *l, int value, int out_tensor)
{
    return l->wants_f32[out_tensor] ? MIEN_F32 : l->p->value[value].type;
}

/* Where to write a result of `like`'s shape and layout: over it when this is its last reading. */
static enum mien_code target(struct mien_lower *l, int like, int reads, int *out)
{
    const struct mien_value v = l->p->value[like];
    if (mien_lower_dies(l, like, reads)) return mien_lower_view(l, like, &v.shape, v.stride, 0, out);
    return mien_lower_new(l, &v.shape, v.stride, v.type, out);
}

/* Operand k of the node, dense in some order and in the type to compute in. */
static enum mien_code operand(struct mien_lower *l, const struct mien_node *n, int k, int *out)
{
    int v;
    MIEN_TRY(mien_lower_value(l, n->in[k], &v));
    return mien_lower_need_dense(l, n->in[k], compute_type(l, v, n->out[0]), out);
}

enum mien_code mien_lower_unary(struct mien_lower *l, const struct mien_node *n)
{
    static const struct { enum mien_op op; enum mien_unary unary; } map[] = {
        {MIEN_OP_RELU, MIEN_U_RELU}, {MIEN_OP_LEAKYRELU, MIEN_U_LEAKY}, {MIEN_OP_SIGMOID, MIEN_U_SIGMOID}, {MIEN_OP_TANH, MIEN_U_TANH},
        {MIEN_OP_ELU, MIEN_U_ELU}, {MIEN_OP_SOFTPLUS, MIEN_U_SOFTPLUS}, {MIEN_OP_HARDSIGMOID, MIEN_U_HARDSIGMOID}, {MIEN_OP_HARDSWISH, MIEN_U_HARDSWISH},
        {MIEN_OP_CLIP, MIEN_U_CLIP}, {MIEN_OP_ERF, MIEN_U_ERF}, {MIEN_OP_GELU, MIEN_U_GELU}, {MIEN_OP_NEG, MIEN_U_NEG}, {MIEN_OP_ABS, MIEN_U_ABS},
        {MIEN_OP_EXP, MIEN_U_EXP}, {MIEN_OP_LOG, MIEN_U_LOG}, {MIEN_OP_SQRT, MIEN_U_SQRT}, {MIEN_OP_RECIPROCAL, MIEN_U_RECIPROCAL},
        {MIEN_OP_FLOOR, MIEN_U_FLOOR}, {MIEN_OP_CEIL, MIEN_U_CEIL}};
    float a = n->attr.alpha, b = n->attr.beta;
    if (n->op == MIEN_OP_CLIP) { /* bounds are optional constant inputs; alpha and beta hold what stands without them */
        const float *low = n->n_in > 1 && n->in[1] >= 0 ? mien_lower_floats(l, n->in[1], NULL) : NULL;
        const float *high = n->n_in > 2 && n->in[2] >= 0 ? mien_lower_floats(l, n->in[2], NULL) : NULL;
        if ((n->n_in > 1 && n->in[1] >= 0 && low == NULL) || (n->n_in > 2 && n->in[2] >= 0 && high == NULL))
            return MIEN_LOWER_FAIL(l, "the bounds are not constant");
        if (low != NULL) a = *low;
        if (high != NULL) b = *high;
    }
    if (n->op == MIEN_OP_GELU && a != 0.0f) return MIEN_LOWER_FAIL(l, "only the exact form is supported");
    for (size_t i = 0; i < sizeof map / sizeof *map; i++) {
        if (map[i].op != n->op) continue;
        int in, out;
        MIEN_TRY(operand(l, n, 0, &in));
        MIEN_TRY(target(l, in, 1, &out));
        MIEN_TRY(mien_step_unary(l, map[i].unary, in, out, a, b));
        mien_lower_bind(l, n->out[0], out);
        return MIEN_OK;
    }
    return MIEN_LOWER_FAIL(l, "not supported");
}

static enum mien_code channels_last(struct mien_lower *l, const struct mien_node *n, int k, int *out)
{
    int v;
    int64_t stride[MIEN_MAX_RANK];
    MIEN_TRY(mien_lower_value(l, n->in[k], &v));
    mien_stride_channels_last(&l->p->value[v].shape, stride);
    return mien_lower_need(l, v, stride, compute_type(l, v, n->out[0]), out);
}

enum mien_code mien_lower_prelu(struct mien_lower *l, const struct mien_node *n)
{
    int in, out;
    bool equal;
    const float *slope;
    MIEN_TRY(channels_last(l, n, 0, &in));
    const struct mien_shape s = l->p->value[in].shape;
    if (s.rank < 2) return MIEN_LOWER_FAIL(l, "rank %d is not supported", s.rank);
    MIEN_TRY(mien_lower_slopes(l, n->in[1], s.dim[1], &slope, &equal));
    MIEN_TRY(target(l, in, 1, &out));
    if (equal) {
        MIEN_TRY(mien_step_unary(l, MIEN_U_LEAKY, in, out, slope[0], 0));
    } else {
        if (l->p->value[in].buffer != l->p->value[out].buffer) MIEN_TRY(mien_lower_copy(l, in, out));
        const struct mien_act act = {.kind = MIEN_ACT_PRELU};
        MIEN_TRY(mien_step_act(l, out, &act, slope));
    }
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

/* {x, scale, shift}: the reader folds mean and variance. One value stands for all channels. */
enum mien_code mien_lower_batchnorm(struct mien_lower *l, const struct mien_node *n)
{
    int in, out;
    const float *vec[2];
    MIEN_TRY(channels_last(l, n, 0, &in));
    const struct mien_shape s = l->p->value[in].shape;
    if (n->n_in != 3 || s.rank < 2) return MIEN_LOWER_FAIL(l, "rank %d is not supported", s.rank);
    for (int i = 0; i < 2; i++) {
        size_t count;
        vec[i] = mien_lower_floats(l, n->in[1 + i], &count);
        if (vec[i] == NULL || (count != 1 && count != (size_t)s.dim[1]))
            return MIEN_LOWER_FAIL(l, "parameters are not constants of %lld elements", (long long)s.dim[1]);
        if (count == 1) MIEN_TRY(mien_step_fill(l, s.dim[1], vec[i][0], &vec[i]));
    }
    MIEN_TRY(target(l, in, 1, &out));
    MIEN_TRY(mien_step_affine(l, in, out, vec[0], vec[1], s.dim[1]));
    const float *slope = NULL;
    bool equal;
    if (n->act.kind == MIEN_ACT_PRELU) MIEN_TRY(mien_lower_slopes(l, n->act.slope, s.dim[1], &slope, &equal));
    MIEN_TRY(mien_step_act(l, out, &n->act, slope));
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

/* Arithmetic */

static enum mien_binary binary_of(enum mien_op op)
{
    switch (op) {
    case MIEN_OP_SUB: return MIEN_B_SUB;
    case MIEN_OP_MUL: return MIEN_B_MUL;
    case MIEN_OP_DIV: return MIEN_B_DIV;
    case MIEN_OP_POW: return MIEN_B_POW;
    case MIEN_OP_MIN: return MIEN_B_MIN;
    case MIEN_OP_MAX: return MIEN_B_MAX;
    default: return MIEN_B_ADD;
    }
}

static bool same_shape(const struct mien_shape *a, const struct mien_shape *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof a->dim[0]) == 0;
}

/* x op constant where the constant is one number, or one per channel (axis 1 of rank 4, the last axis of rank 2), as y = x * scale + shift.
 * *n is 1 or the number of channels, 0 when it is neither. */
static int64_t channel_count(const struct mien_shape *x, const struct mien_shape *c)
{
    const int axis = x->rank == 4 ? 1 : x->rank - 1;
    if (mien_shape_count(c) == 1) return 1;
    if (x->rank < 2 || c->rank > x->rank) return 0;
    for (int i = 0; i < c->rank; i++) {
        const int at = i + x->rank - c->rank;
        if (c->dim[i] != (at == axis ? x->dim[axis] : 1)) return 0;
    }
    return x->dim[axis];
}

static enum mien_code affine_vectors(struct mien_lower *l, enum mien_op op, const float *given, int64_t n, int64_t channels, bool reversed, float **scale,
                                     float **shift)
{
    *scale = mien_plan_alloc(l->p, ((size_t)channels + 16) * sizeof(float));
    *shift = mien_plan_alloc(l->p, ((size_t)channels + 16) * sizeof(float));
    if (*scale == NULL || *shift == NULL) return mien_lower_no_memory(l);
    for (int64_t c = 0; c < channels; c++) {
        const float v = given[n == 1 ? 0 : c];
        (*scale)[c] = op == MIEN_OP_MUL ? v : op == MIEN_OP_DIV ? 1.0f / v : op == MIEN_OP_SUB && reversed ? -1.0f : 1.0f;
        (*shift)[c] = op == MIEN_OP_ADD ? v : op == MIEN_OP_SUB ? (reversed ? v : -v) : 0.0f;
    }
    return MIEN_OK;
}

/* Dense with the axis of channel_count innermost. */
static enum mien_code counted_innermost(struct mien_lower *l, const struct mien_node *n, int k, int *out)
{
    int v;
    MIEN_TRY(mien_lower_value(l, n->in[k], &v));
    const enum mien_elem t = compute_type(l, v, n->out[0]);
    return l->p->value[v].shape.rank == 4 ? mien_lower_need_nhwc(l, n->in[k], t, out) : mien_lower_need_plain(l, n->in[k], t, out);
}

static enum mien_code try_affine(struct mien_lower *l, const struct mien_node *n, bool *done)
{
    const struct mien_shape *y = &l->g->tensor[n->out[0]].shape;
    *done = false;
    for (int k = 0; k < 2; k++) { /* k: the constant operand */
        const struct mien_tensor *c = &l->g->tensor[n->in[k]], *x = &l->g->tensor[n->in[1 - k]];
        if (c->data == NULL || c->type != MIEN_F32 || x->data != NULL || !same_shape(&x->shape, y)) continue;
        if (n->op != MIEN_OP_ADD && n->op != MIEN_OP_SUB && n->op != MIEN_OP_MUL && !(n->op == MIEN_OP_DIV && k == 1)) continue;
        const int64_t count = channel_count(&x->shape, &c->shape);
        if (count == 0 || x->shape.rank < 1) continue;
        int in, out;
        float *scale, *shift;
        const float *given = mien_lower_floats(l, n->in[k], NULL);
        if (given == NULL) return mien_lower_no_memory(l);
        if (count == 1) MIEN_TRY(operand(l, n, 1 - k, &in));
        else MIEN_TRY(counted_innermost(l, n, 1 - k, &in));
        const struct mien_value *v = &l->p->value[in];
        int axis[MIEN_MAX_RANK];
        mien_stride_order(v, axis);
        const int64_t channels = count > 1 ? count : v->shape.dim[axis[v->shape.rank - 1]]; /* one number: any row length will do */
        MIEN_TRY(affine_vectors(l, n->op, given, count, channels, k == 0, &scale, &shift));
        MIEN_TRY(target(l, in, 1, &out));
        MIEN_TRY(mien_step_affine(l, in, out, scale, shift, channels));
        MIEN_TRY(mien_step_act(l, out, &n->act, NULL));
        mien_lower_bind(l, n->out[0], out);
        *done = true;
        return MIEN_OK;
    }
    return MIEN_OK;
}

static void run_binary_f32(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    mien_kernels_get()->binary((enum mien_binary)s->code, (float *)(void *)at[s->out], (const float *)(const void *)at[s->in[0]], s->stride[0],
                               (const float *)(const void *)at[s->in[1]], s->stride[1], s->count);
}

static void run_binary_bf16(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    mien_kernels_get()->binary_bf16((enum mien_binary)s->code, (uint16_t *)(void *)at[s->out], (const uint16_t *)(const void *)at[s->in[0]], s->stride[0],
                                    (const uint16_t *)(const void *)at[s->in[1]], s->stride[1], s->count);
}

/* Over the first operand when it may be, else over the second, else new. `like` gives shape and layout. */
static enum mien_code binary_target(struct mien_lower *l, int a, int b, const struct mien_shape *y, int like, int *out)
{
    const int reads = l->p->value[a].buffer == l->p->value[b].buffer ? 2 : 1;
    const int try[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        const struct mien_value *v = &l->p->value[try[i]], *w = &l->p->value[like];
        if (same_shape(&v->shape, y) && v->type == w->type && mien_stride_equal(y, v->stride, w->stride) && mien_lower_dies(l, try[i], reads))
            return mien_lower_view(l, try[i], y, w->stride, 0, out);
    }
    int64_t stride[MIEN_MAX_RANK];
    memcpy(stride, l->p->value[like].stride, sizeof stride);
    return mien_lower_new(l, y, stride, l->p->value[like].type, out);
}

static enum mien_code lower_same(struct mien_lower *l, const struct mien_node *n)
{
    int a, b, out;
    MIEN_TRY(operand(l, n, 0, &a));
    const enum mien_elem type = l->p->value[a].type;
    MIEN_TRY(mien_lower_value(l, n->in[1], &b));
    MIEN_TRY(mien_lower_need(l, b, l->p->value[a].stride, type, &b));
    MIEN_TRY(binary_target(l, a, b, &l->g->tensor[n->out[0]].shape, a, &out));
    if (n->op == MIEN_OP_ADD) {
        const float *slope = NULL;
        bool equal;
        const struct mien_value *v = &l->p->value[out];
        int64_t stride[MIEN_MAX_RANK];
        const bool prelu = n->act.kind == MIEN_ACT_PRELU;
        mien_stride_channels_last(&v->shape, stride);
        if (prelu && !mien_stride_equal(&v->shape, v->stride, stride)) return MIEN_LOWER_FAIL(l, "PRelu after an addition that is not NHWC");
        if (prelu) MIEN_TRY(mien_lower_slopes(l, n->act.slope, l->p->value[out].shape.dim[1], &slope, &equal));
        MIEN_TRY(mien_step_add_act(l, a, b, out, &n->act, slope));
    } else {
        const bool bf16 = type == MIEN_BF16;
        struct mien_step *s = mien_lower_step(l, bf16 ? "own:binary_bf16" : "own:binary", bf16 ? run_binary_bf16 : run_binary_f32);
        if (s == NULL) return MIEN_E_NOMEM;
        s->code = (int)binary_of(n->op);
        s->n_in = 2;
        s->in[0] = a;
        s->in[1] = b;
        s->out = out;
        s->stride[0] = s->stride[1] = 1;
        s->count = (size_t)mien_shape_count(&l->p->value[out].shape);
        MIEN_TRY(mien_step_act(l, out, &n->act, NULL));
    }
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

/* [n,c,h,w] * [n,c,1,1]: squeeze and excitation. in[0] the picture, in[1] the factors. */
static void run_scale(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    const size_t picture = s->rows * s->channels;
    for (size_t i = 0; i < s->count; i++) {
        if (s->code == MIEN_BF16)
            mien_kernels_get()->scale_channels_bf16((uint16_t *)(void *)at[s->out] + i * picture, (const uint16_t *)(const void *)at[s->in[0]] + i * picture,
                                                    (const uint16_t *)(const void *)at[s->in[1]] + i * s->channels, s->rows, s->channels);
        else
            mien_kernels_get()->scale_channels_f32((float *)(void *)at[s->out] + i * picture, (const float *)(const void *)at[s->in[0]] + i * picture,
                                                   (const float *)(const void *)at[s->in[1]] + i * s->channels, s->rows, s->channels);
    }
}

static enum mien_code try_scale(struct mien_lower *l, const struct mien_node *n, bool *done)
{
    const struct mien_shape *y = &l->g->tensor[n->out[0]].shape;
    *done = false;
    for (int k = 0; k < 2 && n->op == MIEN_OP_MUL; k++) {
        const struct mien_shape *x = &l->g->tensor[n->in[k]].shape, *f = &l->g->tensor[n->in[1 - k]].shape;
        if (x->rank != 4 || f->rank != 4 || !same_shape(x, y) || f->dim[0] != y->dim[0] || f->dim[1] != y->dim[1] || f->dim[2] != 1 || f->dim[3] != 1) continue;
        int in, factors, out;
        MIEN_TRY(channels_last(l, n, k, &in));
        MIEN_TRY(mien_lower_need_nhwc(l, n->in[1 - k], l->p->value[in].type, &factors));
        MIEN_TRY(target(l, in, 1, &out));
        struct mien_step *s = mien_lower_step(l, "own:scale", run_scale);
        if (s == NULL) return MIEN_E_NOMEM;
        s->n_in = 2;
        s->in[0] = in;
        s->in[1] = factors;
        s->out = out;
        s->code = (int)l->p->value[in].type;
        s->channels = (size_t)y->dim[1];
        s->rows = (size_t)(y->dim[2] * y->dim[3]);
        s->count = (size_t)y->dim[0];
        MIEN_TRY(mien_step_act(l, out, &n->act, NULL));
        mien_lower_bind(l, n->out[0], out);
        *done = true;
        return MIEN_OK;
    }
    return MIEN_OK;
}

/* Everything else: float32, broadcast by the general kernel in the memory order of the larger operand. */
struct broadcast { int rank; int64_t y[MIEN_MAX_RANK], a[MIEN_MAX_RANK], b[MIEN_MAX_RANK]; };

static void run_broadcast(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    const struct broadcast *d = s->more;
    mien_k_broadcast((enum mien_binary)s->code, (float *)(void *)at[s->out], d->y, (const float *)(const void *)at[s->in[0]], d->a,
                     (const float *)(const void *)at[s->in[1]], d->b, d->rank);
}

/* Operand as float32 with `rank` axes, dense in the given order of them. */
static enum mien_code extended(struct mien_lower *l, int tensor, int rank, const int *axis, int64_t *dim, int *out)
{
    int v;
    MIEN_TRY(mien_lower_value(l, tensor, &v));
    struct mien_shape s = {.rank = rank};
    int64_t stride[MIEN_MAX_RANK];
    const int more = rank - l->p->value[v].shape.rank;
    for (int i = 0; i < rank; i++) {
        s.dim[i] = i < more ? 1 : l->p->value[v].shape.dim[i - more];
        stride[i] = i < more ? 0 : l->p->value[v].stride[i - more];
    }
    if (more > 0) MIEN_TRY(mien_lower_view(l, v, &s, stride, 0, &v));
    mien_stride_by_order(&s, axis, stride);
    for (int i = 0; i < rank; i++) dim[i] = s.dim[axis[i]];
    return mien_lower_need(l, v, stride, MIEN_F32, out);
}

static enum mien_code lower_broadcast(struct mien_lower *l, const struct mien_node *n)
{
    const struct mien_shape *y = &l->g->tensor[n->out[0]].shape;
    static const int plain[MIEN_MAX_RANK] = {0, 1, 2, 3, 4, 5}, nhwc[MIEN_MAX_RANK] = {0, 2, 3, 1, 4, 5};
    int a, b, out;
    struct broadcast *d = mien_plan_alloc(l->p, sizeof *d);
    if (d == NULL) return mien_lower_no_memory(l);
    const int *axis = plain;
    for (int k = 0; k < 2; k++) { /* NHWC when the operand that spans the result is */
        int v;
        int64_t stride[MIEN_MAX_RANK];
        MIEN_TRY(mien_lower_value(l, n->in[k], &v));
        if (y->rank != 4 || !same_shape(&l->p->value[v].shape, y)) continue;
        mien_stride_nhwc(y, stride);
        if (mien_stride_equal(y, stride, l->p->value[v].stride)) axis = nhwc;
    }
    d->rank = y->rank;
    for (int i = 0; i < y->rank; i++) d->y[i] = y->dim[axis[i]];
    MIEN_TRY(extended(l, n->in[0], y->rank, axis, d->a, &a));
    MIEN_TRY(extended(l, n->in[1], y->rank, axis, d->b, &b));
    int64_t stride[MIEN_MAX_RANK];
    mien_stride_by_order(y, axis, stride);
    MIEN_TRY(mien_lower_new(l, y, stride, MIEN_F32, &out));
    struct mien_step *s = mien_lower_step(l, "own:broadcast", run_broadcast);
    if (s == NULL) return MIEN_E_NOMEM;
    s->code = (int)binary_of(n->op);
    s->n_in = 2;
    s->in[0] = a;
    s->in[1] = b;
    s->out = out;
    s->more = d;
    MIEN_TRY(mien_step_act(l, out, &n->act, NULL));
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

enum mien_code mien_lower_binary(struct mien_lower *l, const struct mien_node *n)
{
    if (n->n_in != 2) return MIEN_LOWER_FAIL(l, "%d operands; two are supported", n->n_in);
    const struct mien_shape *a = &l->g->tensor[n->in[0]].shape, *b = &l->g->tensor[n->in[1]].shape;
    bool done = false;
    if (n->act.kind == MIEN_ACT_PRELU && !(n->op == MIEN_OP_ADD && same_shape(a, b))) return MIEN_LOWER_FAIL(l, "PRelu after a broadcasting operator");
    MIEN_TRY(try_affine(l, n, &done));
    if (!done) MIEN_TRY(try_scale(l, n, &done));
    if (done) return MIEN_OK;
    return same_shape(a, b) ? lower_same(l, n) : lower_broadcast(l, n);
}
