/* Lowering of reductions, normalisations, softmax and resizing: float32 inside, in the memory order of the input. */
#include <math.h>
#include <string.h>

#include "engine/steps.h"

static struct mien_step *one_in(struct mien_lower *l, const char *impl, mien_step_fn *run, int in, int out, const void *more)
{
    struct mien_step *s = mien_lower_step(l, impl, run);
    if (s == NULL) return NULL;
    s->n_in = 1;
    s->in[0] = in;
    s->out = out;
    s->more = more;
    s->count = (size_t)mien_shape_count(&l->p->value[out].shape);
    return s;
}

struct reduce { int rank; int64_t dim[MIEN_MAX_RANK]; unsigned mask; size_t outer, n, inner; };

static void run_softmax(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    const struct reduce *r = s->more;
    mien_kernels_get()->softmax((float *)(void *)at[s->out], (const float *)(const void *)at[s->in[0]], r->outer, r->n, r->inner);
}

/* Position of the axes in memory. */
static struct reduce *layout_of(struct mien_lower *l, const struct mien_value *x, const int *order, int axis)
{
    struct reduce *r = mien_plan_alloc(l->p, sizeof *r);
    if (r == NULL) return NULL;
    *r = (struct reduce){.rank = x->shape.rank, .outer = 1, .n = 1, .inner = 1};
    bool after = false;
    for (int i = 0; i < x->shape.rank; i++) {
        r->dim[i] = x->shape.dim[order[i]];
        if (order[i] == axis) {
            after = true;
            r->n = (size_t)r->dim[i];
        } else if (after) {
            r->inner *= (size_t)r->dim[i];
        } else {
            r->outer *= (size_t)r->dim[i];
        }
    }
    return r;
}

enum mien_code mien_lower_softmax(struct mien_lower *l, const struct mien_node *n)
{
    int in, out, order[MIEN_MAX_RANK];
    MIEN_TRY(mien_lower_need_dense(l, n->in[0], MIEN_F32, &in));
    const struct mien_value x = l->p->value[in];
    const int axis = n->attr.axis < 0 ? n->attr.axis + x.shape.rank : n->attr.axis;
    mien_stride_order(&x, order);
    const struct reduce *r = layout_of(l, &x, order, axis);
    if (r == NULL) return mien_lower_no_memory(l);
    MIEN_TRY(mien_lower_new(l, &x.shape, x.stride, MIEN_F32, &out));
    if (one_in(l, "own:softmax", run_softmax, in, out, r) == NULL) return MIEN_E_NOMEM;
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

static void run_reduce(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    const struct reduce *r = s->more;
    mien_k_reduce((enum mien_reduce)s->code, (float *)(void *)at[s->out], (const float *)(const void *)at[s->in[0]], r->dim, r->rank, r->mask);
}

/* First index of the largest value, as float32: indices stay far below 2^24. */
static void run_argmax(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    const struct reduce *r = s->more;
    const float *x = (const float *)(const void *)at[s->in[0]];
    float *y = (float *)(void *)at[s->out];
    for (size_t o = 0; o < r->outer; o++)
        for (size_t i = 0; i < r->inner; i++) {
            size_t best = 0;
            const float *p = x + o * r->n * r->inner + i;
            for (size_t k = 1; k < r->n; k++)
                if (p[k * r->inner] > p[best * r->inner]) best = k;
            y[o * r->inner + i] = (float)best;
        }
}

enum mien_code mien_lower_reduce(struct mien_lower *l, const struct mien_node *n)
{
    const struct mien_attrs *a = &n->attr;
    const bool argmax = n->op == MIEN_OP_ARGMAX;
    const int axis = a->axis < 0 ? a->axis + l->g->tensor[n->in[0]].shape.rank : a->axis;
    const struct mien_shape *y = &l->g->tensor[n->out[0]].shape;
    const enum mien_reduce op = n->op == MIEN_OP_REDUCEMEAN ? MIEN_R_MEAN : n->op == MIEN_OP_REDUCESUM ? MIEN_R_SUM : n->op == MIEN_OP_REDUCEMAX ? MIEN_R_MAX
                              : n->op == MIEN_OP_REDUCEMIN ? MIEN_R_MIN : MIEN_R_L2;
    int in, out, order[MIEN_MAX_RANK];
    MIEN_TRY(mien_lower_need_dense(l, n->in[0], MIEN_F32, &in));
    const struct mien_value x = l->p->value[in];
    const int rank = x.shape.rank;
    unsigned axes = 0;
    if (argmax) axes = 1u << axis;
    for (int i = 0; i < a->n_axes; i++) axes |= 1u << (a->axes[i] < 0 ? a->axes[i] + rank : a->axes[i]);
    mien_stride_order(&x, order);
    struct reduce *r = layout_of(l, &x, order, argmax ? axis : -1);
    if (r == NULL) return mien_lower_no_memory(l);
    /* The result has the kept axes in their memory order. */
    int64_t kept[MIEN_MAX_RANK], stride[MIEN_MAX_RANK], step = 1;
    for (int i = rank - 1; i >= 0; i--) {
        const bool gone = axes >> order[i] & 1;
        if (gone) r->mask |= 1u << i;
        kept[order[i]] = step;
        if (!gone) step *= x.shape.dim[order[i]];
    }
    int k = 0;
    for (int i = 0; i < rank; i++)
        if (a->keepdims || !(axes >> i & 1)) stride[k++] = kept[i];
    MIEN_TRY(mien_lower_new(l, y, stride, MIEN_F32, &out));
    struct mien_step *s = one_in(l, argmax ? "own:argmax" : "own:reduce", argmax ? run_argmax : run_reduce, in, out, r);
    if (s == NULL) return MIEN_E_NOMEM;
    s->code = (int)op;
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

/* Resizing */

struct resize { int64_t n, c, h, w, oh, ow; struct mien_attrs a; size_t elem; };

static void run_resize(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    const struct resize *r = s->more;
    for (int64_t i = 0; i < r->n; i++)
        mien_k_resize((float *)(void *)at[s->out] + i * r->oh * r->ow * r->c, (const float *)(const void *)at[s->in[0]] + i * r->h * r->w * r->c, r->h, r->w,
                      r->c, r->oh, r->ow, r->a.scale[0], r->a.scale[1], r->a.resize_mode, r->a.resize_coord, r->a.resize_nearest);
}

static void run_upsample(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    const struct resize *r = s->more;
    const size_t from = (size_t)(r->h * r->w * r->c) * r->elem, to = (size_t)(r->oh * r->ow * r->c) * r->elem;
    for (size_t i = 0; i < (size_t)r->n; i++)
        mien_kernels_get()->upsample_nearest(at[s->out] + i * to, at[s->in[0]] + i * from, (size_t)r->h, (size_t)r->w, (size_t)r->c, (size_t)(r->oh / r->h),
                                             (size_t)(r->ow / r->w), r->elem);
}

/* Whole factors where every rule of rounding gives source = destination / factor. */
static bool is_upsample(const struct resize *r)
{
    const struct mien_attrs *a = &r->a;
    if (a->resize_mode != 0 || a->resize_coord == 2 || r->oh % r->h != 0 || r->ow % r->w != 0) return false;
    const int64_t fh = r->oh / r->h, fw = r->ow / r->w, largest = fh > fw ? fh : fw;
    if (a->scale[0] != (float)fh || a->scale[1] != (float)fw) return false;
    if (a->resize_coord == 1) return a->resize_nearest == 1 || (a->resize_nearest == 0 && largest <= 2); /* asymmetric: o / f, floored */
    return a->resize_nearest == 0 || a->resize_nearest == 3; /* half a pixel: the nearest is always o / f */
}

enum mien_code mien_lower_resize(struct mien_lower *l, const struct mien_node *n)
{
    int v, in, out;
    const struct mien_shape *y = &l->g->tensor[n->out[0]].shape;
    struct resize *r = mien_plan_alloc(l->p, sizeof *r);
    if (r == NULL) return mien_lower_no_memory(l);
    MIEN_TRY(mien_lower_value(l, n->in[0], &v));
    const struct mien_value x = l->p->value[v];
    if (x.shape.rank != 4 || y->dim[1] != x.shape.dim[1] || y->dim[0] != x.shape.dim[0])
        return MIEN_LOWER_FAIL(l, "only the last two axes of four can be resized");
    *r = (struct resize){x.shape.dim[0], x.shape.dim[1], x.shape.dim[2], x.shape.dim[3], y->dim[2], y->dim[3], n->attr, 4};
    const bool simple = is_upsample(r);
    const enum mien_elem type = simple ? x.type : MIEN_F32;
    r->elem = mien_elem_size(type);
    MIEN_TRY(mien_lower_need_nhwc(l, n->in[0], type, &in));
    int64_t stride[MIEN_MAX_RANK];
    mien_stride_nhwc(y, stride);
    MIEN_TRY(mien_lower_new(l, y, stride, type, &out));
    if (one_in(l, simple ? "own:upsample" : "own:resize", simple ? run_upsample : run_resize, in, out, r) == NULL) return MIEN_E_NOMEM;
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}

/* Normalisations over the innermost `channels` of each row (LpNormalization, LayerNormalization over the last axis), or per channel
 * over the picture (InstanceNormalization). Rare: plain loops. */
static void run_lp(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    const struct reduce *r = s->more;
    const float *x = (const float *)(const void *)at[s->in[0]];
    float *y = (float *)(void *)at[s->out];
    for (size_t o = 0; o < r->outer; o++)
        for (size_t i = 0; i < r->inner; i++) {
            const size_t base = o * r->n * r->inner + i;
            double sum = 0;
            for (size_t k = 0; k < r->n; k++) {
                const double v = (double)x[base + k * r->inner];
                sum += s->code == 1 ? fabs(v) : v * v;
            }
            const float f = sum == 0 ? 0.0f : (float)(1.0 / (s->code == 1 ? sum : sqrt(sum)));
            for (size_t k = 0; k < r->n; k++) y[base + k * r->inner] = x[base + k * r->inner] * f;
        }
}

/* vec[0], vec[1]: scale and shift per element of the axis (code 0) or per inner index (code 1: instance) */
static void run_moments(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    const struct reduce *r = s->more;
    const float *x = (const float *)(const void *)at[s->in[0]];
    float *y = (float *)(void *)at[s->out];
    for (size_t o = 0; o < r->outer; o++)
        for (size_t i = 0; i < r->inner; i++) {
            const size_t base = o * r->n * r->inner + i;
            double sum = 0, square = 0;
            for (size_t k = 0; k < r->n; k++) sum += (double)x[base + k * r->inner];
            const double mean = sum / (double)r->n;
            for (size_t k = 0; k < r->n; k++) square += ((double)x[base + k * r->inner] - mean) * ((double)x[base + k * r->inner] - mean);
            const double f = 1.0 / sqrt(square / (double)r->n + (double)s->a);
            for (size_t k = 0; k < r->n; k++) {
                const size_t p = s->code == 0 ? k : i;
                y[base + k * r->inner] = (float)(((double)x[base + k * r->inner] - mean) * f) * (s->vec[0] == NULL ? 1.0f : s->vec[0][p]) +
                                         (s->vec[1] == NULL ? 0.0f : s->vec[1][p]);
            }
        }
}

static enum mien_code norm_vectors(struct mien_lower *l, const struct mien_node *n, size_t want, struct mien_step *s)
{
    for (int i = 0; i < 2; i++) {
        if (1 + i >= n->n_in || n->in[1 + i] < 0) continue;
        size_t count;
        s->vec[i] = mien_lower_floats(l, n->in[1 + i], &count);
        if (s->vec[i] == NULL || count != want) return MIEN_LOWER_FAIL(l, "parameters are not constants of %zu elements", want);
    }
    return MIEN_OK;
}

enum mien_code mien_lower_norm(struct mien_lower *l, const struct mien_node *n)
{
    int in, out, order[MIEN_MAX_RANK];
    const bool lp = n->op == MIEN_OP_LPNORM, instance = n->op == MIEN_OP_INSTANCENORM;
    MIEN_TRY(mien_lower_value(l, n->in[0], &in));
    int64_t stride[MIEN_MAX_RANK];
    if (instance) mien_stride_channels_last(&l->p->value[in].shape, stride);
    else mien_stride_plain(&l->p->value[in].shape, stride);
    MIEN_TRY(mien_lower_need(l, in, stride, MIEN_F32, &in));
    const struct mien_value x = l->p->value[in];
    const int axis = n->attr.axis < 0 ? n->attr.axis + x.shape.rank : n->attr.axis;
    if (n->op == MIEN_OP_LAYERNORM && axis != x.shape.rank - 1) return MIEN_LOWER_FAIL(l, "only the last axis is supported");
    mien_stride_order(&x, order);
    struct reduce *r = layout_of(l, &x, order, axis);
    if (r == NULL) return mien_lower_no_memory(l);
    if (instance)
        *r = (struct reduce){
            .outer = (size_t)x.shape.dim[0], .n = (size_t)(mien_shape_count(&x.shape) / (x.shape.dim[0] * x.shape.dim[1])), .inner = (size_t)x.shape.dim[1]};
    MIEN_TRY(mien_lower_new(l, &x.shape, x.stride, MIEN_F32, &out));
    struct mien_step *s = one_in(l, lp ? "own:lpnorm" : "own:norm", lp ? run_lp : run_moments, in, out, r);
    if (s == NULL) return MIEN_E_NOMEM;
    s->code = lp ? (n->attr.alpha == 1.0f ? 1 : 2) : instance;
    s->a = n->attr.epsilon;
    if (!lp) MIEN_TRY(norm_vectors(l, n, instance ? r->inner : r->n, s));
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}
