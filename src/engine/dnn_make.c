/* oneDNN: descriptions of layers become primitives. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/dnn_internal.h"

/* What is being put together; released by finish(). */
struct maker {
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t post;
    dnnl_primitive_desc_t pd;
    struct mien_dnn *d;
    struct mien_weights *w;
    struct mien_err *e;
    int threads;
    enum mien_dnn_result result;
};

static dnnl_data_type_t type_of(enum mien_elem t) { return t == MIEN_BF16 ? dnnl_bf16 : dnnl_f32; }

static void fail(struct maker *m, const char *what, dnnl_status_t st)
{
    MIEN_FAIL(m->e, st == dnnl_out_of_memory ? MIEN_E_NOMEM : MIEN_E_INTERNAL, "oneDNN: %s failed with status %d%s", what, (int)st,
              st == dnnl_runtime_error ? " (is writing executable memory forbidden here?)" : "");
    m->result = MIEN_DNN_FAILED;
}

static bool begin(struct maker *m, struct mien_err *e)
{
    *m = (struct maker){.e = e, .result = MIEN_DNN_MADE};
    m->threads = mien_dnn_threads(1); /* primitives decide on their division of work when they are made */
    mien_dnn_lock();
    m->d = mien_dnn_engine() == NULL ? NULL : calloc(1, sizeof *m->d);
    dnnl_status_t st = m->d == NULL ? dnnl_out_of_memory : dnnl_primitive_attr_create(&m->attr);
    if (st == dnnl_success) st = dnnl_post_ops_create(&m->post);
    if (st == dnnl_success) st = dnnl_primitive_attr_set_scratchpad_mode(m->attr, dnnl_scratchpad_mode_user);
    if (st != dnnl_success) fail(m, "start", st);
    return st == dnnl_success;
}

static enum mien_dnn_result finish(struct maker *m, struct mien_dnn **out, struct mien_weight_cache *c, struct mien_weights **w)
{
    if (m->pd != NULL) dnnl_primitive_desc_destroy(m->pd);
    if (m->post != NULL) dnnl_post_ops_destroy(m->post);
    if (m->attr != NULL) dnnl_primitive_attr_destroy(m->attr);
    mien_dnn_unlock();
    mien_dnn_threads(m->threads);
    if (m->result == MIEN_DNN_NONE || m->result == MIEN_DNN_FAILED) {
        mien_dnn_free(&m->d);
        if (m->w != NULL) mien_weights_release(c, m->w);
        m->w = NULL;
    }
    *out = m->d;
    if (w != NULL) *w = m->w;
    return m->result;
}

static dnnl_status_t append_act(dnnl_post_ops_t post, const struct mien_act *a)
{
    switch (a->kind) {
    case MIEN_ACT_NONE: return dnnl_success;
    case MIEN_ACT_RELU: return dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
    case MIEN_ACT_LEAKY: return dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_relu, a->a, 0.0f);
    case MIEN_ACT_CLIP: return dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_clip, a->a, a->b);
    case MIEN_ACT_SIGMOID: return dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_logistic, 0.0f, 0.0f);
    case MIEN_ACT_TANH: return dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_tanh, 0.0f, 0.0f);
    case MIEN_ACT_HARDSWISH: return dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_hardswish, 0.0f, 0.0f);
    case MIEN_ACT_SWISH: return dnnl_post_ops_append_eltwise(post, 1.0f, dnnl_eltwise_swish, 1.0f, 0.0f);
    default: return dnnl_unimplemented;
    }
}

/* Post-ops: the sum first, the activation last. */
static bool set_post(struct maker *m, bool sum, const struct mien_act *act)
{
    dnnl_status_t st = sum ? dnnl_post_ops_append_sum(m->post, 1.0f) : dnnl_success;
    if (st == dnnl_success) st = append_act(m->post, act);
    if (st == dnnl_success) st = dnnl_primitive_attr_set_post_ops(m->attr, m->post);
    if (st == dnnl_unimplemented) m->result = MIEN_DNN_NONE;
    else if (st != dnnl_success) fail(m, "post-ops", st);
    return st == dnnl_success;
}

static bool is_reference(const char *impl) { return strncmp(impl, "ref", 3) == 0 || strstr(impl, ":ref") != NULL; }

/* The first implementation that is not a reference, or the reference. */
static bool describe(struct maker *m, const_dnnl_op_desc_t desc)
{
    dnnl_status_t st = dnnl_primitive_desc_create(&m->pd, desc, m->attr, mien_dnn_engine(), NULL);
    if (st == dnnl_unimplemented || st == dnnl_invalid_arguments) {
        m->pd = NULL;
        m->result = MIEN_DNN_NONE;
        return false;
    }
    const char *impl = "?";
    if (st == dnnl_success) st = dnnl_primitive_desc_query(m->pd, dnnl_query_impl_info_str, 0, &impl);
    if (st != dnnl_success) {
        fail(m, "description", st);
        return false;
    }
    snprintf(m->d->impl, sizeof m->d->impl, "%s", impl);
    if (is_reference(impl)) m->result = MIEN_DNN_REFERENCE;
    const dnnl_memory_desc_t *scratch = dnnl_primitive_desc_query_md(m->pd, dnnl_query_scratchpad_md, 0);
    if (scratch != NULL && dnnl_memory_desc_get_size(scratch) > 0) m->d->scratch = *scratch;
    return true;
}

static bool create(struct maker *m)
{
    const dnnl_status_t st = dnnl_primitive_create(&m->d->primitive, m->pd);
    if (st != dnnl_success) fail(m, "creation", st);
    return st == dnnl_success;
}

static bool add_weights(struct maker *m, struct mien_weight_cache *c, const dnnl_memory_desc_t *user, const float *data)
{
    const dnnl_memory_desc_t *want = dnnl_primitive_desc_query_md(m->pd, dnnl_query_weights_md, 0);
    if (mien_weights_pack(c, user, data, want, &m->w, m->e) != MIEN_OK) {
        m->result = MIEN_DNN_FAILED;
        return false;
    }
    m->d->weights = mien_weights_memory(m->w);
    return true;
}

static bool add_bias(struct maker *m, const dnnl_memory_desc_t *md, const float *bias)
{
    if (bias == NULL) return true;
    const dnnl_status_t st = dnnl_memory_create(&m->d->bias, md, mien_dnn_engine(), (void *)(uintptr_t)bias);
    if (st != dnnl_success) fail(m, "bias", st);
    return st == dnnl_success;
}

static dnnl_memory_desc_t by_tag(int n, const dnnl_dims_t dims, enum mien_elem t, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md;
    if (dnnl_memory_desc_init_by_tag(&md, n, dims, type_of(t), tag) != dnnl_success) memset(&md, 0, sizeof md);
    return md;
}

/* Weights as oneDNN counts them: [groups][out/g][in/g][kh][kw] with the strides of ONNX's order. */
static dnnl_memory_desc_t conv_weights(const struct mien_dnn_conv *d, dnnl_dims_t dims)
{
    const int64_t g = d->groups, o = d->oc / g, i = d->ic / g, kh = d->kernel[0], kw = d->kernel[1];
    const int64_t inner = kh * kw;
    dnnl_memory_desc_t md;
    dnnl_dims_t stride;
    const int64_t so = d->transposed ? inner : i * inner, si = d->transposed ? o * inner : inner;
    const int64_t all_dims[] = {g, o, i, kh, kw}, all_stride[] = {g == 1 ? 0 : o * i * inner, so, si, kw, 1};
    const int skip = g == 1;
    for (int k = skip; k < 5; k++) {
        dims[k - skip] = all_dims[k];
        stride[k - skip] = all_stride[k];
    }
    if (dnnl_memory_desc_init_by_strides(&md, 5 - skip, dims, dnnl_f32, stride) != dnnl_success) memset(&md, 0, sizeof md);
    return md;
}

enum mien_dnn_result mien_dnn_make_conv(struct mien_weight_cache *c, const struct mien_dnn_conv *d, struct mien_dnn **out,
                                        struct mien_weights **w, struct mien_err *e)
{
    struct maker m;
    const dnnl_dims_t sd = {d->n, d->ic, d->ih, d->iw}, dd = {d->n, d->oc, d->oh, d->ow}, bd = {d->oc};
    const dnnl_dims_t stride = {d->stride[0], d->stride[1]}, dilation = {d->dilation[0] - 1, d->dilation[1] - 1};
    const dnnl_dims_t low = {d->pad[0], d->pad[1]}, high = {d->pad[2], d->pad[3]};
    dnnl_dims_t wd;
    if (begin(&m, e) && set_post(&m, d->sum, &d->act)) {
        const dnnl_memory_desc_t user = conv_weights(d, wd);
        const dnnl_memory_desc_t weights = by_tag(user.ndims, wd, d->src, dnnl_format_tag_any), bias = by_tag(1, bd, MIEN_F32, dnnl_a);
        const dnnl_memory_desc_t *b = d->bias == NULL ? NULL : &bias;
        m.d->src = by_tag(4, sd, d->src, dnnl_nhwc);
        m.d->dst = by_tag(4, dd, d->dst, dnnl_nhwc);
        dnnl_convolution_desc_t cd;
        dnnl_status_t st = d->transposed ? dnnl_dilated_deconvolution_forward_desc_init(&cd, dnnl_forward_inference, dnnl_deconvolution_direct, &m.d->src,
                                                                                        &weights, b, &m.d->dst, stride, dilation, low, high)
                                         : dnnl_dilated_convolution_forward_desc_init(&cd, dnnl_forward_inference, dnnl_convolution_direct, &m.d->src, &weights,
                                                                                      b, &m.d->dst, stride, dilation, low, high);
        if (st != dnnl_success) m.result = MIEN_DNN_NONE;
        else if (describe(&m, &cd) && create(&m) && add_weights(&m, c, &user, d->weights)) add_bias(&m, &bias, d->bias);
    }
    return finish(&m, out, c, w);
}

/* Constant weights: inner product, whose packed form is the quickest at every m we tried (m = 1 included). */
static void make_inner(struct maker *m, struct mien_weight_cache *c, const struct mien_dnn_fc *d)
{
    const dnnl_dims_t sd = {d->m, d->k}, wd = {d->n, d->k}, bd = {d->n}, dd = {d->m, d->n}, stride = {d->stride_n, d->stride_k};
    dnnl_memory_desc_t user;
    if (dnnl_memory_desc_init_by_strides(&user, 2, wd, dnnl_f32, stride) != dnnl_success) {
        m->result = MIEN_DNN_NONE;
        return;
    }
    const dnnl_memory_desc_t weights = by_tag(2, wd, d->weights_type, dnnl_format_tag_any), bias = by_tag(1, bd, MIEN_F32, dnnl_a);
    m->d->src = by_tag(2, sd, d->src, dnnl_ab);
    m->d->dst = by_tag(2, dd, d->dst, dnnl_ab);
    dnnl_inner_product_desc_t id;
    if (dnnl_inner_product_forward_desc_init(&id, dnnl_forward_inference, &m->d->src, &weights, d->bias == NULL ? NULL : &bias, &m->d->dst) != dnnl_success)
        m->result = MIEN_DNN_NONE;
    else if (describe(m, &id) && create(m) && add_weights(m, c, &user, d->weights)) add_bias(m, &bias, d->bias);
}

/* Two activations. */
static void make_matmul(struct maker *m, const struct mien_dnn_fc *d)
{
    const dnnl_dims_t ad = {d->batch, d->m, d->k}, bd = {d->batch, d->k, d->n}, cd = {d->batch, d->m, d->n};
    m->d->src = by_tag(3, ad, d->src, dnnl_abc);
    m->d->second = by_tag(3, bd, d->weights_type, dnnl_abc);
    m->d->dst = by_tag(3, cd, d->dst, dnnl_abc);
    dnnl_matmul_desc_t md;
    if (dnnl_matmul_desc_init(&md, &m->d->src, &m->d->second, NULL, &m->d->dst) != dnnl_success) m->result = MIEN_DNN_NONE;
    else if (describe(m, &md)) create(m);
}

enum mien_dnn_result mien_dnn_make_fc(struct mien_weight_cache *c, const struct mien_dnn_fc *d, struct mien_dnn **out,
                                      struct mien_weights **w, struct mien_err *e)
{
    struct maker m;
    if (begin(&m, e) && set_post(&m, false, &d->act)) {
        if (d->weights != NULL) make_inner(&m, c, d);
        else make_matmul(&m, d);
    }
    return finish(&m, out, c, w);
}

enum mien_dnn_result mien_dnn_make_pool(const struct mien_dnn_pool *d, struct mien_dnn **out, struct mien_err *e)
{
    struct maker m;
    const dnnl_dims_t sd = {d->n, d->c, d->ih, d->iw}, dd = {d->n, d->c, d->oh, d->ow};
    const dnnl_dims_t stride = {d->stride[0], d->stride[1]}, kernel = {d->kernel[0], d->kernel[1]};
    const dnnl_dims_t dilation = {d->dilation[0] - 1, d->dilation[1] - 1}, low = {d->pad[0], d->pad[1]}, high = {d->pad[2], d->pad[3]};
    if (begin(&m, e)) {
        m.d->src = by_tag(4, sd, d->type, dnnl_nhwc);
        m.d->dst = by_tag(4, dd, d->dst, dnnl_nhwc);
        const dnnl_alg_kind_t kind = d->max ? dnnl_pooling_max : d->count_pad ? dnnl_pooling_avg_include_padding : dnnl_pooling_avg_exclude_padding;
        dnnl_pooling_v2_desc_t pd;
        if (dnnl_pooling_v2_forward_desc_init(&pd, dnnl_forward_inference, kind, &m.d->src, &m.d->dst, stride, kernel, dilation, low, high) != dnnl_success)
            m.result = MIEN_DNN_NONE;
        else if (describe(&m, &pd)) create(&m);
    }
    return finish(&m, out, NULL, NULL);
}
