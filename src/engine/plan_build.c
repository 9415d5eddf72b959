/* A specialised graph becomes steps: every node is lowered in order, then the outputs are brought to float32, row-major. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/plan.h"

static mien_lower_fn *lowering(enum mien_op op)
{
    switch (op) {
    case MIEN_OP_CONV: return mien_lower_conv;
    case MIEN_OP_CONV_TRANSPOSE: return mien_lower_conv_transpose;
    case MIEN_OP_GEMM: return mien_lower_gemm;
    case MIEN_OP_MATMUL: return mien_lower_matmul;
    case MIEN_OP_MAXPOOL:
    case MIEN_OP_AVGPOOL:
    case MIEN_OP_GLOBALAVGPOOL:
    case MIEN_OP_GLOBALMAXPOOL: return mien_lower_pool;
    case MIEN_OP_BATCHNORM: return mien_lower_batchnorm;
    case MIEN_OP_PRELU: return mien_lower_prelu;
    case MIEN_OP_ADD:
    case MIEN_OP_SUB:
    case MIEN_OP_MUL:
    case MIEN_OP_DIV:
    case MIEN_OP_POW:
    case MIEN_OP_MIN:
    case MIEN_OP_MAX: return mien_lower_binary;
    case MIEN_OP_RELU:
    case MIEN_OP_LEAKYRELU:
    case MIEN_OP_SIGMOID:
    case MIEN_OP_TANH:
    case MIEN_OP_ELU:
    case MIEN_OP_SOFTPLUS:
    case MIEN_OP_HARDSIGMOID:
    case MIEN_OP_HARDSWISH:
    case MIEN_OP_CLIP:
    case MIEN_OP_ERF:
    case MIEN_OP_GELU:
    case MIEN_OP_NEG:
    case MIEN_OP_ABS:
    case MIEN_OP_EXP:
    case MIEN_OP_LOG:
    case MIEN_OP_SQRT:
    case MIEN_OP_RECIPROCAL:
    case MIEN_OP_FLOOR:
    case MIEN_OP_CEIL: return mien_lower_unary;
    case MIEN_OP_SOFTMAX: return mien_lower_softmax;
    case MIEN_OP_REDUCEMEAN:
    case MIEN_OP_REDUCESUM:
    case MIEN_OP_REDUCEMAX:
    case MIEN_OP_REDUCEMIN:
    case MIEN_OP_ARGMAX:
    case MIEN_OP_REDUCEL2: return mien_lower_reduce;
    case MIEN_OP_LPNORM:
    case MIEN_OP_LAYERNORM:
    case MIEN_OP_INSTANCENORM: return mien_lower_norm;
    case MIEN_OP_RESIZE:
    case MIEN_OP_UPSAMPLE: return mien_lower_resize;
    case MIEN_OP_PAD: return mien_lower_pad;
    case MIEN_OP_DEPTHTOSPACE:
    case MIEN_OP_SPACETODEPTH: return mien_lower_depth_space;
    case MIEN_OP_CONCAT: return mien_lower_concat;
    case MIEN_OP_SPLIT: return mien_lower_split;
    case MIEN_OP_SLICE: return mien_lower_slice;
    case MIEN_OP_TRANSPOSE: return mien_lower_transpose;
    case MIEN_OP_RESHAPE:
    case MIEN_OP_FLATTEN:
    case MIEN_OP_SQUEEZE:
    case MIEN_OP_UNSQUEEZE: return mien_lower_reshape;
    case MIEN_OP_EXPAND: return mien_lower_expand;
    case MIEN_OP_TILE: return mien_lower_tile;
    case MIEN_OP_GATHER: return mien_lower_gather;
    case MIEN_OP_CAST: return mien_lower_cast;
    default: return NULL;
    }
}

/* Operators that take bfloat16 as it is. The others, and the outputs of the network, are better served with float32 from the start. */
static bool takes_bf16(enum mien_op op)
{
    mien_lower_fn *f = lowering(op);
    return f == mien_lower_conv || f == mien_lower_conv_transpose || f == mien_lower_gemm || f == mien_lower_matmul || f == mien_lower_pool;
}

static bool passes_type_on(enum mien_op op)
{
    mien_lower_fn *f = lowering(op);
    return !takes_bf16(op) && f != mien_lower_softmax && f != mien_lower_reduce && f != mien_lower_norm;
}

/* From the last node to the first: a tensor wants float32 when each of its readers does. */
static void find_wants(struct mien_lower *l)
{
    const struct mien_graph *g = l->g;
    memset(l->wants_f32, 1, (size_t)g->n_tensors);
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        const struct mien_node *n = &g->node[i];
        bool wants = !takes_bf16(n->op);
        if (passes_type_on(n->op))
            for (int k = 0; k < n->n_out; k++)
                if (n->out[k] >= 0 && !l->wants_f32[n->out[k]]) wants = false;
        if (!wants)
            for (int k = 0; k < n->n_in; k++)
                if (n->in[k] >= 0) l->wants_f32[n->in[k]] = 0;
        if (n->residual >= 0 && !l->wants_f32[n->out[0]]) l->wants_f32[n->residual] = 0;
    }
    for (int i = 0; i < g->n_outputs; i++) l->wants_f32[g->output[i]] = 1;
}

static void count_uses(struct mien_lower *l)
{
    const struct mien_graph *g = l->g;
    for (int i = 0; i < g->n_nodes; i++) {
        for (int k = 0; k < g->node[i].n_in; k++)
            if (g->node[i].in[k] >= 0) l->uses[g->node[i].in[k]]++;
        if (g->node[i].residual >= 0) l->uses[g->node[i].residual]++;
    }
    for (int i = 0; i < g->n_outputs; i++) l->uses[g->output[i]]++; /* never given back */
}

/* One reading is over. */
static void read_over(struct mien_lower *l, int tensor)
{
    if (tensor < 0) return;
    const int v = l->value_of[tensor] != MIEN_NO_VALUE ? l->value_of[tensor] : l->deferred[tensor];
    l->uses[tensor]--;
    if (v == MIEN_NO_VALUE || l->p->value[v].buffer == MIEN_NO_BUFFER) return;
    l->p->buffer[l->p->value[v].buffer].uses--;
}

static enum mien_code lower_inputs(struct mien_lower *l)
{
    const struct mien_graph *g = l->g;
    for (int i = 0; i < g->n_inputs; i++) {
        const struct mien_tensor *t = &g->tensor[g->input[i]];
        int64_t stride[MIEN_MAX_RANK];
        MIEN_FAIL_IF(t->type != MIEN_F32, l->e, MIEN_E_ENGINE_UNSUPPORTED, "input %.60s is not of a floating type", t->name);
        if (t->shape.rank == 4) mien_stride_nhwc(&t->shape, stride);
        else mien_stride_plain(&t->shape, stride);
        MIEN_TRY(mien_lower_new(l, &t->shape, stride, MIEN_F32, &l->p->input[i]));
        l->p->buffer[l->p->value[l->p->input[i]].buffer].fixed = true;
        mien_lower_bind(l, g->input[i], l->p->input[i]);
    }
    return MIEN_OK;
}

static enum mien_code lower_outputs(struct mien_lower *l)
{
    const struct mien_graph *g = l->g;
    static const struct mien_node end = {.name = "output", .op = MIEN_OP_CAST};
    l->node = &end;
    for (int i = 0; i < g->n_outputs; i++) {
        int v;
        MIEN_TRY(mien_lower_need_plain(l, g->output[i], MIEN_F32, &v));
        l->p->output[i] = v;
        if (l->p->value[v].buffer != MIEN_NO_BUFFER) l->p->buffer[l->p->value[v].buffer].fixed = true;
    }
    return MIEN_OK;
}

static enum mien_code lower_node(struct mien_lower *l, const struct mien_node *n)
{
    l->node = n;
    mien_lower_fn *f = lowering(n->op);
    if (f == NULL) return MIEN_LOWER_FAIL(l, "cannot be computed while running");
    if (!l->done[n - l->g->node]) MIEN_TRY(f(l, n));
    for (int k = 0; k < n->n_in; k++) read_over(l, n->in[k]);
    read_over(l, n->residual);
    return MIEN_OK;
}

static void count_references(struct mien_plan *p)
{
    for (int i = 0; i < p->n_steps; i++) {
        const struct mien_step *s = &p->step[i];
        if (s->scratch_bytes > p->scratch_bytes) p->scratch_bytes = s->scratch_bytes;
        if (!s->reference) continue;
        p->reference_steps++;
        mien_log(MIEN_LOG_WARN, "reference_step", "net=%s node=%s op=%s impl=%s", p->net->name, s->node, s->op, s->impl);
    }
}

enum mien_code mien_plan_build(struct mien_plan *p, const struct mien_graph *g, struct mien_err *e)
{
    const size_t n = (size_t)g->n_tensors + 1;
    struct mien_lower l = {.p = p, .g = g, .e = e, .type = p->net->type};
    l.value_of = malloc(n * sizeof *l.value_of);
    l.deferred = malloc(n * sizeof *l.deferred);
    l.uses = calloc(n, sizeof *l.uses);
    l.wants_f32 = calloc(n, 1);
    l.whole = malloc(n * sizeof *l.whole);
    l.done = calloc((size_t)g->n_nodes + 1, 1);
    p->input = mien_plan_alloc(p, (size_t)g->n_inputs * sizeof *p->input);
    p->output = mien_plan_alloc(p, (size_t)g->n_outputs * sizeof *p->output);
    p->n_out = g->n_outputs;
    p->macs = g->macs;
    enum mien_code code = MIEN_OK;
    if (l.value_of == NULL || l.deferred == NULL || l.uses == NULL || l.wants_f32 == NULL || l.whole == NULL || l.done == NULL || p->input == NULL ||
        p->output == NULL) {
        code = mien_lower_no_memory(&l);
    } else {
        for (size_t i = 0; i < n; i++) l.value_of[i] = l.deferred[i] = l.whole[i] = MIEN_NO_VALUE;
        count_uses(&l);
        find_wants(&l);
        code = lower_inputs(&l);
        for (int i = 0; i < g->n_nodes && code == MIEN_OK; i++) code = lower_node(&l, &g->node[i]);
        if (code == MIEN_OK) code = lower_outputs(&l);
    }
    free(l.value_of);
    free(l.deferred);
    free(l.uses);
    free(l.wants_f32);
    free(l.whole);
    free(l.done);
    if (code != MIEN_OK) return code;
    count_references(p);
    return mien_plan_place(p, e);
}
