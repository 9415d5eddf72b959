/* Lowering of what oneDNN does: convolution, matrix products, pooling. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/plan.h"
#include "engine/steps.h"

/* A float32 constant where it lies, or a temporary aligned copy to be freed through *temporary. */
static const float *aligned(const struct mien_tensor *t, float **temporary)
{
    *temporary = NULL;
    if ((uintptr_t)t->data % sizeof(float) == 0) return t->data;
    *temporary = malloc(t->bytes + 64);
    if (*temporary != NULL) memcpy(*temporary, t->data, t->bytes);
    return *temporary;
}

static enum mien_code hold_weights(struct mien_lower *l, struct mien_weights *w)
{
    struct mien_plan *p = l->p;
    if (w == NULL) return MIEN_OK;
    if (p->n_weights == p->cap_weights) {
        const int cap = p->cap_weights == 0 ? 64 : p->cap_weights * 2;
        struct mien_weights **table = realloc(p->weights, (size_t)cap * sizeof(struct mien_weights *));
        if (table == NULL) {
            mien_weights_release(p->net->weights, w);
            return mien_lower_no_memory(l);
        }
        p->weights = table;
        p->cap_weights = cap;
    }
    p->weights[p->n_weights++] = w;
    p->weight_bytes += mien_weights_bytes(w);
    return MIEN_OK;
}

/* One step for a primitive just made; takes it over. */
static enum mien_code dnn_step(struct mien_lower *l, struct mien_dnn *d, struct mien_weights *w, bool reference, int in, int second, int out)
{
    enum mien_code code = hold_weights(l, w);
    struct mien_step *s = code != MIEN_OK ? NULL : mien_lower_step(l, mien_dnn_impl(d), NULL);
    if (s == NULL) {
        mien_dnn_free(&d);
        return code != MIEN_OK ? code : MIEN_E_NOMEM;
    }
    s->dnn = d;
    s->reference = reference;
    s->scratch_bytes = mien_dnn_scratch_bytes(d);
    s->n_in = second == MIEN_NO_VALUE ? 1 : 2;
    s->in[0] = in;
    s->in[1] = second;
    s->out = out;
    return MIEN_OK;
}

/* Convolution */

struct conv {
    const struct mien_node *n;
    struct mien_dnn_conv d;
    int in, out, residual;      /* values; residual may be MIEN_NO_VALUE */
    struct mien_act act;
    const float *slope;         /* PRELU */
};

static bool in_post_op(enum mien_act_kind k) { return k != MIEN_ACT_PRELU && k != MIEN_ACT_HARDSIGMOID; }

static bool over_residual(const struct mien_lower *l, const struct conv *c)
{
    return c->residual != MIEN_NO_VALUE && l->p->value[c->residual].buffer == l->p->value[c->out].buffer;
}

/* What the primitive, which wrote `made`, left undone: residual, activation. */
static enum mien_code conv_rest(struct mien_lower *l, const struct conv *c, int made, bool add, bool act)
{
    if (add) return mien_step_add_act(l, made, c->residual, c->out, &c->act, c->slope);
    return act ? mien_step_act(l, c->out, &c->act, c->slope) : MIEN_OK;
}

/* Tries one form. *done says whether it was taken; a reference implementation is taken only when `any`. */
static enum mien_code conv_try(struct mien_lower *l, struct conv *c, bool fused, bool any, bool *done)
{
    const bool over = over_residual(l, c), sum = over && fused;
    const bool act = fused && in_post_op(c->act.kind) && (c->residual == MIEN_NO_VALUE || sum);
    c->d.sum = sum;
    c->d.act = act ? c->act : (struct mien_act){.kind = MIEN_ACT_NONE};
    struct mien_dnn *d;
    struct mien_weights *w;
    const enum mien_dnn_result r = mien_dnn_make_conv(l->p->net->weights, &c->d, &d, &w, l->e);
    *done = false;
    if (r == MIEN_DNN_FAILED) return l->e != NULL ? l->e->code : MIEN_E_INTERNAL;
    if (r == MIEN_DNN_NONE) return MIEN_OK;
    if (r == MIEN_DNN_REFERENCE && !any) {
        mien_dnn_free(&d);
        mien_weights_release(l->p->net->weights, w);
        return MIEN_OK;
    }
    *done = true;
    int made = c->out;
    enum mien_code code = MIEN_OK;
    if (over && !sum)
        code = mien_lower_new(l, &l->p->value[c->out].shape, l->p->value[c->out].stride, c->d.dst, &made); /* the addend lies where the sum goes */
    if (code != MIEN_OK) {
        mien_dnn_free(&d);
        mien_weights_release(l->p->net->weights, w);
        return code;
    }
    MIEN_TRY(dnn_step(l, d, w, r == MIEN_DNN_REFERENCE, c->in, MIEN_NO_VALUE, made));
    if (sum) {
        struct mien_step *s = &l->p->step[l->p->n_steps - 1];
        s->in[s->n_in++] = c->residual;
    }
    return conv_rest(l, c, made, c->residual != MIEN_NO_VALUE && !sum, !act && c->act.kind != MIEN_ACT_NONE);
}

/* Winograd: residual and the common activations are part of it. */
struct wino { struct mien_wino_shape shape; int m; };
struct wino_pack { const struct wino *wino; const float *weights; };

static void pack_wino(void *to, void *arg)
{
    const struct wino_pack *a = arg;
    mien_wino_pack(&a->wino->shape, a->wino->m, a->weights, to);
}

static void run_wino(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    const struct wino *w = s->more;
    const struct mien_wino_args a = {.src = at[s->in[0]], .packed = s->packed, .bias = s->vec[0], .residual = s->n_in > 1 ? at[s->in[1]] : NULL,
                                     .slope = s->vec[1], .low = s->a, .high = s->b, .dst = at[s->out], .scratch = scratch};
    mien_wino_run(&w->shape, w->m, &a);
}

static bool wino_act(enum mien_act_kind k)
{
    return k == MIEN_ACT_NONE || k == MIEN_ACT_RELU || k == MIEN_ACT_LEAKY || k == MIEN_ACT_CLIP || k == MIEN_ACT_PRELU;
}

static enum mien_code conv_wino(struct mien_lower *l, struct conv *c, bool *done)
{
    const struct mien_dnn_conv *d = &c->d;
    *done = false;
    if (d->transposed || d->groups != 1 || d->kernel[0] != 3 || d->kernel[1] != 3 || d->stride[0] != 1 || d->stride[1] != 1 || d->dilation[0] != 1 ||
        d->dilation[1] != 1 || d->src != d->dst || !wino_act(c->act.kind) || d->n * d->oh * d->ow > 1 << 26) return MIEN_OK;
    const struct wino probe = {.shape = {.n = (int)d->n,
                                         .h = (int)d->ih,
                                         .w = (int)d->iw,
                                         .ic = (int)d->ic,
                                         .oc = (int)d->oc,
                                         .oh = (int)d->oh,
                                         .ow = (int)d->ow,
                                         .pad_top = d->pad[0],
                                         .pad_left = d->pad[1],
                                         .bf16 = d->src == MIEN_BF16}};
    struct wino *w = mien_plan_alloc(l->p, sizeof *w);
    if (w == NULL) return mien_lower_no_memory(l);
    *w = probe;
    w->m = mien_wino_choose(&w->shape);
    if (w->m == 0) return MIEN_OK;
    const size_t n = (size_t)(d->oc * d->ic) * 9;
    struct wino_pack pack = {w, d->weights};
    const int64_t key[] = {w->m, d->oc, d->ic, w->shape.bf16};
    struct mien_weights *packed = mien_weights_own(l->p->net->weights, mien_hash(d->weights, n * sizeof(float), mien_hash(key, sizeof key, 2)),
                                                   mien_wino_weight_bytes(&w->shape, w->m), pack_wino, &pack);
    if (packed == NULL) return mien_lower_no_memory(l);
    MIEN_TRY(hold_weights(l, packed));
    const float *slope = c->slope;
    if (c->act.kind == MIEN_ACT_RELU || c->act.kind == MIEN_ACT_LEAKY)
        MIEN_TRY(mien_step_fill(l, d->oc, c->act.kind == MIEN_ACT_LEAKY ? c->act.a : 0.0f, &slope));
    struct mien_step *s = mien_lower_step(l, "", run_wino);
    if (s == NULL) return MIEN_E_NOMEM;
    snprintf(s->impl, sizeof s->impl, "winograd:f%d%s", w->m, w->shape.bf16 ? "_bf16" : "");
    s->more = w;
    s->packed = mien_weights_data(packed);
    s->vec[0] = d->bias;
    s->vec[1] = slope;
    s->a = c->act.kind == MIEN_ACT_CLIP ? c->act.a : -INFINITY;
    s->b = c->act.kind == MIEN_ACT_CLIP ? c->act.b : INFINITY;
    s->scratch_bytes = mien_wino_scratch_bytes(&w->shape, w->m);
    s->n_in = c->residual == MIEN_NO_VALUE ? 1 : 2;
    s->in[0] = c->in;
    s->in[1] = c->residual;
    s->out = c->out;
    *done = true;
    return MIEN_OK;
}

/* bfloat16 that oneDNN does not have for this shape: the same in float32 between conversions. */
static enum mien_code conv_in_f32(struct mien_lower *l, struct conv *c, bool any, bool *done)
{
    struct conv f = *c;
    f.d.src = f.d.dst = MIEN_F32;
    *done = false;
    MIEN_TRY(mien_lower_need(l, c->in, l->p->value[c->in].stride, MIEN_F32, &f.in));
    int made = c->out;
    if (over_residual(l, c)) MIEN_TRY(mien_lower_new(l, &l->p->value[c->out].shape, l->p->value[c->out].stride, l->p->value[c->out].type, &made));
    f.out = made;
    if (l->p->value[made].type != MIEN_F32) MIEN_TRY(mien_lower_new(l, &l->p->value[made].shape, l->p->value[made].stride, MIEN_F32, &f.out));
    f.residual = MIEN_NO_VALUE;
    f.act.kind = MIEN_ACT_NONE;
    MIEN_TRY(conv_try(l, &f, true, any, done));
    if (!*done) return MIEN_OK;
    if (f.out != made) MIEN_TRY(mien_lower_copy(l, f.out, made));
    return conv_rest(l, c, made, c->residual != MIEN_NO_VALUE, c->act.kind != MIEN_ACT_NONE);
}

static enum mien_code conv_emit(struct mien_lower *l, struct conv *c)
{
    bool done;
    MIEN_TRY(conv_wino(l, c, &done));
    for (int any = 0; any < 2 && !done; any++) {
        MIEN_TRY(conv_try(l, c, true, any, &done));
        if (!done) MIEN_TRY(conv_try(l, c, false, any, &done));
        if (!done && c->d.src == MIEN_BF16) MIEN_TRY(conv_in_f32(l, c, any, &done));
    }
    return done ? MIEN_OK : MIEN_LOWER_FAIL(l, "oneDNN has no convolution for this shape");
}

static enum mien_code conv_attributes(struct mien_lower *l, struct conv *c, const struct mien_shape *y)
{
    const struct mien_attrs *a = &c->n->attr;
    const struct mien_shape *x = &l->p->value[c->in].shape;
    const struct mien_tensor *w = &l->g->tensor[c->n->in[1]];
    if (w->data == NULL || w->type != MIEN_F32) return MIEN_LOWER_FAIL(l, "the weights are not a float constant");
    if (w->shape.rank != 4) return MIEN_LOWER_FAIL(l, "weights of rank %d; only two spatial axes are supported", w->shape.rank);
    struct mien_dnn_conv *d = &c->d;
    *d = (struct mien_dnn_conv){.n = x->dim[0],
                                .ic = x->dim[1],
                                .ih = x->dim[2],
                                .iw = x->dim[3],
                                .oc = y->dim[1],
                                .oh = y->dim[2],
                                .ow = y->dim[3],
                                .groups = (int)(a->groups * x->dim[1] / l->g->tensor[c->n->in[0]].shape.dim[1]), /* more where several are merged */
                                .transposed = c->n->op == MIEN_OP_CONV_TRANSPOSE};
    for (int i = 0; i < 2; i++) {
        d->kernel[i] = (int)w->shape.dim[2 + i];
        d->stride[i] = a->stride[i];
        d->dilation[i] = a->dilation[i];
        d->pad[i] = a->pad[i];
        const int64_t in = i == 0 ? x->dim[2] : x->dim[3], out = i == 0 ? y->dim[2] : y->dim[3];
        const int64_t reach = (int64_t)(d->kernel[i] - 1) * d->dilation[i] + 1;
        /* What oneDNN's size formula needs to arrive at the same output. */
        d->pad[2 + i] = (int)(d->transposed ? (in - 1) * d->stride[i] + reach - out - d->pad[i] : (out - 1) * d->stride[i] + reach - in - d->pad[i]);
        if (!d->transposed && d->pad[2 + i] < a->pad[2 + i]) d->pad[2 + i] = a->pad[2 + i];
    }
    return MIEN_OK;
}

/* Weights and biases of the convolutions that are computed as one, one after the other. *weights is malloc'ed, or NULL when they can be used
 * where they lie. */
static enum mien_code conv_constants(struct mien_lower *l, struct conv *c, const struct mien_merge *m, float **weights)
{
    size_t count = 0, at = 0, channel = 0;
    *weights = NULL;
    float *bias = mien_plan_alloc(l->p, ((size_t)c->d.oc + 16) * sizeof *bias);
    if (bias == NULL) return mien_lower_no_memory(l);
    for (int i = 0; i < m->count; i++) count += l->g->tensor[m->node[i]->in[1]].bytes;
    const struct mien_tensor *first = &l->g->tensor[m->node[0]->in[1]];
    if (m->count > 1 || (uintptr_t)first->data % sizeof(float) != 0) {
        *weights = malloc(count + 64);
        if (*weights == NULL) return mien_lower_no_memory(l);
    }
    for (int i = 0; i < m->count; i++) {
        const struct mien_node *n = m->node[i];
        const struct mien_tensor *w = &l->g->tensor[n->in[1]];
        const size_t oc = (size_t)l->g->tensor[n->out[0]].shape.dim[1];
        if (*weights != NULL) memcpy((unsigned char *)*weights + at, w->data, w->bytes);
        at += w->bytes;
        if (n->n_in > 2 && n->in[2] >= 0) {
            size_t given;
            const float *b = mien_lower_floats(l, n->in[2], &given);
            if (b == NULL || given != oc) return MIEN_LOWER_FAIL(l, "the bias is not a constant of %zu elements", oc);
            memcpy(bias + channel, b, oc * sizeof *b);
            c->d.bias = bias;
        }
        channel += oc;
    }
    c->d.weights = *weights != NULL ? *weights : first->data;
    return MIEN_OK;
}

/* The addend, in the output's layout and type. */
static enum mien_code conv_residual(struct mien_lower *l, struct conv *c, const struct mien_shape *shape, const int64_t *stride, enum mien_elem type)
{
    if (c->n->residual < 0) return MIEN_OK;
    int v;
    MIEN_TRY(mien_lower_value(l, c->n->residual, &v));
    const struct mien_shape *s = &l->p->value[v].shape;
    for (int i = 0; i < s->rank; i++)
        if (s->rank != shape->rank || s->dim[i] != shape->dim[i]) return MIEN_LOWER_FAIL(l, "the residual has another shape");
    return mien_lower_need(l, v, stride, type, &c->residual);
}

/* Where the result goes: over the addend when that dies here and the convolution does not read it too. */
static enum mien_code conv_target(struct mien_lower *l, struct conv *c, const struct mien_shape *shape, const int64_t *stride)
{
    const bool over = c->residual != MIEN_NO_VALUE && l->p->value[c->residual].buffer != l->p->value[c->in].buffer && mien_lower_dies(l, c->residual, 1) &&
                      mien_stride_equal(shape, l->p->value[c->residual].stride, stride);
    return over ? mien_lower_view(l, c->residual, shape, stride, 0, &c->out) : mien_lower_new(l, shape, stride, c->d.dst, &c->out);
}

enum mien_code mien_lower_conv(struct mien_lower *l, const struct mien_node *n)
{
    struct conv c = {.n = n, .residual = MIEN_NO_VALUE, .act = n->act};
    struct mien_shape shape = l->g->tensor[n->out[0]].shape;
    struct mien_merge merge;
    int64_t stride[MIEN_MAX_RANK];
    mien_merge_find(l, n, &merge);
    if (!mien_merge_same_act(&merge)) c.act.kind = MIEN_ACT_NONE;
    shape.dim[1] = 0;
    for (int i = 0; i < merge.count; i++) shape.dim[1] += l->g->tensor[merge.node[i]->out[0]].shape.dim[1];
    if (merge.whole != MIEN_NO_VALUE) c.in = merge.whole;
    else MIEN_TRY(mien_lower_need_nhwc(l, n->in[0], l->type, &c.in));
    MIEN_TRY(conv_attributes(l, &c, &shape));
    mien_stride_nhwc(&shape, stride);
    c.d.src = l->type;
    c.d.dst = mien_lower_type(l, n->out[0]);
    MIEN_TRY(conv_residual(l, &c, &shape, stride, c.d.dst));
    if (c.act.kind == MIEN_ACT_PRELU) {
        bool equal;
        MIEN_TRY(mien_lower_slopes(l, n->act.slope, c.d.oc, &c.slope, &equal));
        if (equal) c.act = (struct mien_act){.kind = MIEN_ACT_LEAKY, .a = c.slope[0]};
    }
    MIEN_TRY(conv_target(l, &c, &shape, stride));
    float *temporary;
    enum mien_code code = conv_constants(l, &c, &merge, &temporary);
    if (code == MIEN_OK) code = conv_emit(l, &c);
    free(temporary);
    MIEN_TRY(code);
    return mien_merge_bind(l, &merge, c.out);
}

enum mien_code mien_lower_conv_transpose(struct mien_lower *l, const struct mien_node *n) { return mien_lower_conv(l, n); }

/* Matrix products */

struct fc {
    struct mien_dnn_fc d;
    int in, second, out;
    struct mien_act act;
    const float *slope;
};

static enum mien_code fc_try(struct mien_lower *l, struct fc *f, bool any, bool *done)
{
    struct mien_dnn *d;
    struct mien_weights *w;
    const bool act = in_post_op(f->act.kind) && f->second == MIEN_NO_VALUE;
    f->d.act = act ? f->act : (struct mien_act){.kind = MIEN_ACT_NONE};
    const enum mien_dnn_result r = mien_dnn_make_fc(l->p->net->weights, &f->d, &d, &w, l->e);
    *done = false;
    if (r == MIEN_DNN_FAILED) return l->e != NULL ? l->e->code : MIEN_E_INTERNAL;
    if (r == MIEN_DNN_NONE) return MIEN_OK;
    if (r == MIEN_DNN_REFERENCE && !any) {
        mien_dnn_free(&d);
        if (w != NULL) mien_weights_release(l->p->net->weights, w);
        return MIEN_OK;
    }
    *done = true;
    MIEN_TRY(dnn_step(l, d, w, r == MIEN_DNN_REFERENCE, f->in, f->second, f->out));
    return act || f->act.kind == MIEN_ACT_NONE ? MIEN_OK : mien_step_act(l, f->out, &f->act, f->slope);
}

static enum mien_code fc_emit(struct mien_lower *l, struct fc *f)
{
    bool done = false;
    for (int any = 0; any < 2 && !done; any++) {
        MIEN_TRY(fc_try(l, f, any, &done));
        if (done || f->d.src != MIEN_BF16) continue;
        struct fc g = *f; /* in float32, between conversions */
        g.d.src = g.d.dst = g.d.weights_type = MIEN_F32;
        MIEN_TRY(mien_lower_need(l, f->in, l->p->value[f->in].stride, MIEN_F32, &g.in));
        if (f->second != MIEN_NO_VALUE) MIEN_TRY(mien_lower_need(l, f->second, l->p->value[f->second].stride, MIEN_F32, &g.second));
        if (l->p->value[f->out].type != MIEN_F32) MIEN_TRY(mien_lower_new(l, &l->p->value[f->out].shape, l->p->value[f->out].stride, MIEN_F32, &g.out));
        MIEN_TRY(fc_try(l, &g, any, &done));
        if (done && g.out != f->out) MIEN_TRY(mien_lower_copy(l, g.out, f->out));
    }
    return done ? MIEN_OK : MIEN_LOWER_FAIL(l, "oneDNN has no matrix product for this shape");
}

/* Weights (k, n) for activations whose features come as [hw][c] while the weights count them as [c][hw]; also times alpha. */
static float *fc_weights(const float *from, const struct mien_dnn_fc *d, int64_t channels, float alpha)
{
    float *to = malloc((size_t)(d->k * d->n) * sizeof *to);
    if (to == NULL) return NULL;
    const int64_t hw = d->k / channels;
    for (int64_t n = 0; n < d->n; n++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < hw; i++) to[n * d->k + i * channels + c] = alpha * from[(c * hw + i) * d->stride_k + n * d->stride_n];
    return to;
}

/* Constant right-hand side. `channels`: see fc_weights; 0 = as they come. */
static enum mien_code fc_constant(struct mien_lower *l, struct fc *f, const struct mien_tensor *w, int64_t channels, float alpha)
{
    float *temporary, *permuted = NULL;
    f->d.weights = aligned(w, &temporary);
    if (f->d.weights == NULL) return mien_lower_no_memory(l);
    if (channels != 0 || alpha != 1.0f) {
        permuted = fc_weights(f->d.weights, &f->d, channels == 0 ? f->d.k : channels, alpha);
        f->d.weights = permuted;
        f->d.stride_k = 1;
        f->d.stride_n = f->d.k;
    }
    const enum mien_code code = f->d.weights == NULL ? mien_lower_no_memory(l) : fc_emit(l, f);
    free(permuted);
    free(temporary);
    return code;
}

static enum mien_code fc_bias(struct mien_lower *l, struct fc *f, int tensor, float beta)
{
    size_t n;
    float *given = mien_lower_floats(l, tensor, &n);
    if (given == NULL || (n != 1 && n != (size_t)f->d.n)) return MIEN_LOWER_FAIL(l, "the addend is not a constant row of %lld elements", (long long)f->d.n);
    float *bias = mien_plan_alloc(l->p, ((size_t)f->d.n + 16) * sizeof *bias);
    if (bias == NULL) return mien_lower_no_memory(l);
    for (size_t i = 0; i < (size_t)f->d.n; i++) bias[i] = beta * given[n == 1 ? 0 : i];
    f->d.bias = bias;
    return MIEN_OK;
}

static enum mien_code fc_finish(struct mien_lower *l, const struct mien_node *n, struct fc *f)
{
    if (n->residual >= 0) {
        int r;
        int64_t stride[MIEN_MAX_RANK];
        mien_stride_plain(&l->p->value[f->out].shape, stride);
        MIEN_TRY(mien_lower_value(l, n->residual, &r));
        MIEN_TRY(mien_lower_need(l, r, stride, l->p->value[f->out].type, &r));
        const struct mien_act act = n->act;
        MIEN_TRY(mien_step_add_act(l, f->out, r, f->out, &act, f->slope));
    }
    mien_lower_bind(l, n->out[0], f->out);
    return MIEN_OK;
}

static enum mien_code fc_activation(struct mien_lower *l, const struct mien_node *n, struct fc *f)
{
    f->act = n->residual >= 0 ? (struct mien_act){.kind = MIEN_ACT_NONE} : n->act;
    if (n->act.kind != MIEN_ACT_PRELU) return MIEN_OK;
    bool equal;
    return mien_lower_slopes(l, n->act.slope, f->d.n, &f->slope, &equal);
}

/* The left-hand side as an m x k matrix; a flattened NHWC tensor is taken as it lies and *channels set. */
static enum mien_code gemm_left(struct mien_lower *l, int tensor, int *value, int64_t *channels)
{
    *channels = 0;
    if (l->value_of[tensor] == MIEN_NO_VALUE && l->deferred[tensor] != MIEN_NO_VALUE) {
        const int from = l->deferred[tensor];
        int64_t stride[MIEN_MAX_RANK];
        *channels = l->p->value[from].shape.dim[1];
        mien_stride_nhwc(&l->p->value[from].shape, stride);
        return mien_lower_need(l, from, stride, l->type, value);
    }
    return mien_lower_need_plain(l, tensor, l->type, value);
}

enum mien_code mien_lower_gemm(struct mien_lower *l, const struct mien_node *n)
{
    const struct mien_attrs *a = &n->attr;
    const struct mien_tensor *b = &l->g->tensor[n->in[1]];
    const struct mien_shape *y = &l->g->tensor[n->out[0]].shape;
    struct fc f = {.second = MIEN_NO_VALUE};
    int64_t channels = 0, stride[MIEN_MAX_RANK];
    if (b->data == NULL || b->type != MIEN_F32 || b->shape.rank != 2) return MIEN_LOWER_FAIL(l, "the second operand is not a constant matrix");
    if (a->trans_a) return MIEN_LOWER_FAIL(l, "transA is not supported");
    f.d = (struct mien_dnn_fc){.batch = 1, .m = y->dim[0], .n = y->dim[1], .k = b->shape.dim[a->trans_b ? 1 : 0], .src = l->type, .weights_type = l->type,
                               .dst = mien_lower_type(l, n->out[0])};
    f.d.stride_k = a->trans_b ? 1 : f.d.n;
    f.d.stride_n = a->trans_b ? f.d.k : 1;
    MIEN_TRY(gemm_left(l, n->in[0], &f.in, &channels));
    if (n->n_in > 2 && n->in[2] >= 0) MIEN_TRY(fc_bias(l, &f, n->in[2], a->beta));
    MIEN_TRY(fc_activation(l, n, &f));
    mien_stride_plain(y, stride);
    MIEN_TRY(mien_lower_new(l, y, stride, f.d.dst, &f.out));
    MIEN_TRY(fc_constant(l, &f, b, channels, a->alpha));
    return fc_finish(l, n, &f);
}

/* [.., m, k] x [k, n] is one product of all rows; [b.., m, k] x [b.., k, n] is a batch. */
enum mien_code mien_lower_matmul(struct mien_lower *l, const struct mien_node *n)
{
    const struct mien_tensor *a = &l->g->tensor[n->in[0]], *b = &l->g->tensor[n->in[1]];
    const struct mien_shape *y = &l->g->tensor[n->out[0]].shape;
    struct fc f = {.second = MIEN_NO_VALUE};
    if (a->shape.rank < 2 || b->shape.rank < 2) return MIEN_LOWER_FAIL(l, "vectors are not supported");
    const int64_t k = a->shape.dim[a->shape.rank - 1], columns = b->shape.dim[b->shape.rank - 1];
    int64_t rows = 1, batch = 1, stride[MIEN_MAX_RANK], channels = 0;
    for (int i = 0; i < a->shape.rank - 1; i++) rows *= a->shape.dim[i];
    mien_stride_plain(y, stride);
    f.d = (struct mien_dnn_fc){.batch = 1, .m = rows, .n = columns, .k = k, .stride_k = columns, .stride_n = 1, .src = l->type, .weights_type = l->type,
                               .dst = mien_lower_type(l, n->out[0])};
    if (n->n_in > 2 && n->in[2] >= 0) MIEN_TRY(fc_bias(l, &f, n->in[2], 1.0f));
    MIEN_TRY(fc_activation(l, n, &f));
    MIEN_TRY(gemm_left(l, n->in[0], &f.in, &channels));
    if (b->data != NULL && b->shape.rank == 2) {
        MIEN_TRY(mien_lower_new(l, y, stride, f.d.dst, &f.out));
        MIEN_TRY(fc_constant(l, &f, b, channels, 1.0f));
        return fc_finish(l, n, &f);
    }
    if (a->shape.rank != b->shape.rank || f.d.bias != NULL) return MIEN_LOWER_FAIL(l, "operands of ranks %d and %d", a->shape.rank, b->shape.rank);
    for (int i = 0; i < a->shape.rank - 2; i++) {
        if (a->shape.dim[i] != b->shape.dim[i]) return MIEN_LOWER_FAIL(l, "broadcasting over batches is not supported");
        batch *= a->shape.dim[i];
    }
    f.d.batch = batch;
    f.d.m = a->shape.dim[a->shape.rank - 2];
    MIEN_TRY(mien_lower_need_plain(l, n->in[0], l->type, &f.in));
    MIEN_TRY(mien_lower_need_plain(l, n->in[1], l->type, &f.second));
    MIEN_TRY(mien_lower_new(l, y, stride, f.d.dst, &f.out));
    MIEN_TRY(fc_emit(l, &f));
    return fc_finish(l, n, &f);
}

/* Pooling */

enum mien_code mien_lower_pool(struct mien_lower *l, const struct mien_node *n)
{
    const struct mien_attrs *a = &n->attr;
    const struct mien_shape *y = &l->g->tensor[n->out[0]].shape;
    int in, out;
    int64_t stride[MIEN_MAX_RANK];
    MIEN_TRY(mien_lower_need_nhwc(l, n->in[0], l->type, &in));
    const struct mien_shape *x = &l->p->value[in].shape;
    struct mien_dnn_pool d = {.n = x->dim[0],
                              .c = x->dim[1],
                              .ih = x->dim[2],
                              .iw = x->dim[3],
                              .oh = y->dim[2],
                              .ow = y->dim[3],
                              .max = n->op == MIEN_OP_MAXPOOL || n->op == MIEN_OP_GLOBALMAXPOOL,
                              .count_pad = a->count_include_pad,
                              .type = l->type,
                              .dst = l->type};
    const bool global = n->op == MIEN_OP_GLOBALAVGPOOL || n->op == MIEN_OP_GLOBALMAXPOOL;
    for (int i = 0; i < 2; i++) {
        d.kernel[i] = global ? (int)x->dim[2 + i] : a->kernel[i];
        d.stride[i] = global ? 1 : a->stride[i];
        d.dilation[i] = global || a->dilation[i] == 0 ? 1 : a->dilation[i];
        d.pad[i] = global ? 0 : a->pad[i];
        d.pad[2 + i] = (int)((y->dim[2 + i] - 1) * d.stride[i] + (d.kernel[i] - 1) * d.dilation[i] + 1 - x->dim[2 + i] - d.pad[i]);
    }
    if (d.count_pad && !global && (d.pad[2] > a->pad[2] || d.pad[3] > a->pad[3])) return MIEN_LOWER_FAIL(l, "count_include_pad together with ceil_mode");
    mien_stride_nhwc(y, stride);
    MIEN_TRY(mien_lower_new(l, y, stride, l->type, &out));
    struct mien_dnn *made;
    const enum mien_dnn_result r = mien_dnn_make_pool(&d, &made, l->e);
    if (r == MIEN_DNN_FAILED) return l->e != NULL ? l->e->code : MIEN_E_INTERNAL;
    if (r == MIEN_DNN_MADE) {
        MIEN_TRY(dnn_step(l, made, NULL, false, in, MIEN_NO_VALUE, out));
    } else {
        mien_dnn_free(&made);
        MIEN_TRY(mien_step_pool(l, &d, in, out));
    }
    mien_lower_bind(l, n->out[0], out);
    return MIEN_OK;
}
