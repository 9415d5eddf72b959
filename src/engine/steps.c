/* Steps of the engine's own kernels: how each runs, and how it is put into a plan. */
#include "engine/steps.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct mien_step *add(struct mien_lower *l, const char *impl, mien_step_fn *run, int a, int b, int out)
{
    struct mien_step *s = mien_lower_step(l, impl, run);
    if (s == NULL) return NULL;
    s->n_in = b == MIEN_NO_VALUE ? 1 : 2;
    s->in[0] = a;
    s->in[1] = b;
    s->out = out;
    s->count = (size_t)mien_shape_count(&l->p->value[out].shape);
    return s;
}

enum mien_code mien_step_fill(struct mien_lower *l, int64_t n, float v, const float **out)
{
    float *f = mien_plan_alloc(l->p, ((size_t)n + 16) * sizeof *f);
    if (f == NULL) return mien_lower_no_memory(l);
    for (int64_t i = 0; i < n; i++) f[i] = v;
    *out = f;
    return MIEN_OK;
}

/* Channels of a value that lies channels-last. */
static int64_t innermost(const struct mien_value *v)
{
    return v->shape.rank == 0 ? 1 : v->shape.dim[v->shape.rank == 1 ? 0 : 1];
}

static void run_unary_f32(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    mien_kernels_get()->unary((enum mien_unary)s->code, (float *)(void *)at[s->out], (const float *)(const void *)at[s->in[0]], s->count, s->a, s->b);
}

static void run_unary_bf16(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    mien_kernels_get()->unary_bf16((enum mien_unary)s->code, (uint16_t *)(void *)at[s->out], (const uint16_t *)(const void *)at[s->in[0]], s->count, s->a,
                                   s->b);
}

enum mien_code mien_step_unary(struct mien_lower *l, enum mien_unary op, int in, int out, float a, float b)
{
    const bool bf16 = l->p->value[in].type == MIEN_BF16;
    struct mien_step *s = add(l, bf16 ? "own:unary_bf16" : "own:unary", bf16 ? run_unary_bf16 : run_unary_f32, in, MIEN_NO_VALUE, out);
    if (s == NULL) return MIEN_E_NOMEM;
    s->code = (int)op;
    s->a = a;
    s->b = b;
    return MIEN_OK;
}

static void run_prelu_f32(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    mien_kernels_get()->prelu_f32((float *)(void *)at[s->out], s->vec[0], s->rows, s->channels);
}

static void run_prelu_bf16(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    mien_kernels_get()->prelu_bf16((uint16_t *)(void *)at[s->out], s->vec[0], s->rows, s->channels);
}

static bool unary_of(enum mien_act_kind k, enum mien_unary *op)
{
    switch (k) {
    case MIEN_ACT_RELU: *op = MIEN_U_RELU; return true;
    case MIEN_ACT_LEAKY: *op = MIEN_U_LEAKY; return true;
    case MIEN_ACT_CLIP: *op = MIEN_U_CLIP; return true;
    case MIEN_ACT_SIGMOID: *op = MIEN_U_SIGMOID; return true;
    case MIEN_ACT_TANH: *op = MIEN_U_TANH; return true;
    case MIEN_ACT_HARDSWISH: *op = MIEN_U_HARDSWISH; return true;
    case MIEN_ACT_HARDSIGMOID: *op = MIEN_U_HARDSIGMOID; return true;
    case MIEN_ACT_SWISH: *op = MIEN_U_SWISH; return true;
    default: return false;
    }
}

static enum mien_code channels_of(struct mien_lower *l, struct mien_step *s, int value)
{
    const int64_t c = innermost(&l->p->value[value]);
    s->channels = (size_t)c;
    s->rows = c == 0 ? 0 : s->count / (size_t)c;
    return MIEN_OK;
}

enum mien_code mien_step_act(struct mien_lower *l, int value, const struct mien_act *act, const float *slope)
{
    if (act->kind == MIEN_ACT_NONE) return MIEN_OK;
    if (act->kind == MIEN_ACT_PRELU) {
        const bool bf16 = l->p->value[value].type == MIEN_BF16;
        struct mien_step *s = add(l, bf16 ? "own:prelu_bf16" : "own:prelu", bf16 ? run_prelu_bf16 : run_prelu_f32, value, MIEN_NO_VALUE, value);
        if (s == NULL) return MIEN_E_NOMEM;
        s->vec[0] = slope;
        return channels_of(l, s, value);
    }
    enum mien_unary op;
    if (!unary_of(act->kind, &op)) return MIEN_LOWER_FAIL(l, "unknown activation %d", (int)act->kind);
    return mien_step_unary(l, op, value, value, act->a, act->b);
}

static void run_add_f32(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    mien_kernels_get()->add_prelu_f32((float *)(void *)at[s->out], (const float *)(const void *)at[s->in[0]], (const float *)(const void *)at[s->in[1]],
                                      s->vec[0], s->rows, s->channels);
}

static void run_add_bf16(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    mien_kernels_get()->add_prelu_bf16((uint16_t *)(void *)at[s->out], (const uint16_t *)(const void *)at[s->in[0]],
                                       (const uint16_t *)(const void *)at[s->in[1]], s->vec[0], s->rows, s->channels);
}

enum mien_code mien_step_add_act(struct mien_lower *l, int a, int b, int out, const struct mien_act *act, const float *slope)
{
    const bool bf16 = l->p->value[out].type == MIEN_BF16, within = act->kind == MIEN_ACT_PRELU || act->kind == MIEN_ACT_RELU || act->kind == MIEN_ACT_LEAKY;
    const int64_t c = innermost(&l->p->value[out]);
    if (within && act->kind != MIEN_ACT_PRELU) MIEN_TRY(mien_step_fill(l, c, act->kind == MIEN_ACT_LEAKY ? act->a : 0.0f, &slope));
    struct mien_step *s = add(l, bf16 ? "own:add_bf16" : "own:add", bf16 ? run_add_bf16 : run_add_f32, a, b, out);
    if (s == NULL) return MIEN_E_NOMEM;
    s->vec[0] = within ? slope : NULL;
    MIEN_TRY(channels_of(l, s, out));
    return within ? MIEN_OK : mien_step_act(l, out, act, NULL);
}

static void run_affine_f32(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    mien_kernels_get()->affine_f32((float *)(void *)at[s->out], (const float *)(const void *)at[s->in[0]], s->vec[0], s->vec[1], s->rows, s->channels);
}

static void run_affine_bf16(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    mien_kernels_get()->affine_bf16((uint16_t *)(void *)at[s->out], (const uint16_t *)(const void *)at[s->in[0]], s->vec[0], s->vec[1], s->rows, s->channels);
}

enum mien_code mien_step_affine(struct mien_lower *l, int in, int out, const float *scale, const float *shift, int64_t channels)
{
    const bool bf16 = l->p->value[in].type == MIEN_BF16;
    if (scale == NULL) MIEN_TRY(mien_step_fill(l, channels, 1.0f, &scale));
    if (shift == NULL) MIEN_TRY(mien_step_fill(l, channels, 0.0f, &shift));
    struct mien_step *s = add(l, bf16 ? "own:affine_bf16" : "own:affine", bf16 ? run_affine_bf16 : run_affine_f32, in, MIEN_NO_VALUE, out);
    if (s == NULL) return MIEN_E_NOMEM;
    s->vec[0] = scale;
    s->vec[1] = shift;
    s->channels = (size_t)channels;
    s->rows = s->count / (size_t)channels;
    return MIEN_OK;
}

/* Pooling where oneDNN has only its reference (bfloat16 without AVX-512, odd channel counts on AVX2). */

static float pool_load(const unsigned char *p, int64_t i, bool bf16)
{
    return bf16 ? mien_bf16_to_f32(((const uint16_t *)(const void *)p)[i]) : ((const float *)(const void *)p)[i];
}

static void pool_point(const struct mien_dnn_pool *d, const unsigned char *src, unsigned char *dst, int64_t y, int64_t x)
{
    const bool bf16 = d->type == MIEN_BF16;
    const int64_t y0 = y * d->stride[0] - d->pad[0], x0 = x * d->stride[1] - d->pad[1];
    for (int64_t c = 0; c < d->c; c++) {
        float best = -INFINITY, sum = 0;
        int n = 0;
        for (int i = 0; i < d->kernel[0]; i++)
            for (int j = 0; j < d->kernel[1]; j++) {
                const int64_t iy = y0 + (int64_t)i * d->dilation[0], ix = x0 + (int64_t)j * d->dilation[1];
                if (iy < 0 || ix < 0 || iy >= d->ih || ix >= d->iw) continue;
                const float v = pool_load(src, (iy * d->iw + ix) * d->c + c, bf16);
                best = v > best ? v : best;
                sum += v;
                n++;
            }
        if (d->count_pad) n = d->kernel[0] * d->kernel[1];
        const float v = d->max ? best : n == 0 ? 0.0f : sum / (float)n;
        const int64_t at = (y * d->ow + x) * d->c + c;
        if (bf16) ((uint16_t *)(void *)dst)[at] = mien_bf16_from_f32(v);
        else ((float *)(void *)dst)[at] = v;
    }
}

static void run_pool(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    const struct mien_dnn_pool *d = s->more;
    const size_t elem = mien_elem_size(d->type);
    for (int64_t n = 0; n < d->n; n++)
        for (int64_t y = 0; y < d->oh; y++)
            for (int64_t x = 0; x < d->ow; x++)
                pool_point(d, at[s->in[0]] + (size_t)(n * d->ih * d->iw * d->c) * elem, at[s->out] + (size_t)(n * d->oh * d->ow * d->c) * elem, y, x);
}

enum mien_code mien_step_pool(struct mien_lower *l, const struct mien_dnn_pool *d, int in, int out)
{
    struct mien_dnn_pool *copy = mien_plan_alloc(l->p, sizeof *copy);
    struct mien_step *s = copy == NULL ? NULL : add(l, "own:pool", run_pool, in, MIEN_NO_VALUE, out);
    if (s == NULL) return copy == NULL ? mien_lower_no_memory(l) : MIEN_E_NOMEM;
    *copy = *d;
    s->more = copy;
    return MIEN_OK;
}
