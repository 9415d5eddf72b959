/* A copy of a parsed graph for concrete input shapes. */
#include "onnx/passes.h"

#include <inttypes.h>
#include <stdio.h>

static int *copy_ids(struct mien_graph *to, const int *ids, int n)
{
    int *p = mien_graph_alloc(to, sizeof *p * (size_t)n);
    if (p != NULL && n > 0) memcpy(p, ids, sizeof *p * (size_t)n);
    return p;
}

static enum mien_code copy_graph(const struct mien_graph *from, struct mien_graph *to, struct mien_err *e)
{
    for (int i = 0; i < from->n_tensors; i++) {
        int id = mien_graph_tensor(to, from->tensor[i].name);
        if (id < 0) return MIEN_NO_MEMORY(e);
        to->tensor[id] = from->tensor[i];
        to->tensor[id].owned = false; /* the parent's, shared with other specialisations and threads: never written */
    }
    for (int i = 0; i < from->n_nodes; i++) {
        const struct mien_node *n = &from->node[i];
        int id = mien_graph_node(to, n->name, (int)n->op, n->n_in, n->n_out);
        if (id < 0) return MIEN_NO_MEMORY(e);
        struct mien_node *copy = &to->node[id];
        int *in = copy->in, *out = copy->out;
        *copy = *n;
        copy->in = in;
        copy->out = out;
        memcpy(in, n->in, sizeof *in * (size_t)n->n_in);
        memcpy(out, n->out, sizeof *out * (size_t)n->n_out);
    }
    to->n_inputs = from->n_inputs;
    to->n_outputs = from->n_outputs;
    to->input = copy_ids(to, from->input, from->n_inputs);
    to->output = copy_ids(to, from->output, from->n_outputs);
    if (to->input == NULL || to->output == NULL) return MIEN_NO_MEMORY(e);
    to->opset = from->opset;
    to->producer = from->producer;
    return MIEN_OK;
}

static enum mien_code set_inputs(struct mien_graph *g, const struct mien_shape *shapes, struct mien_err *e)
{
    for (int i = 0; i < g->n_inputs; i++) {
        struct mien_tensor *t = &g->tensor[g->input[i]];
        const struct mien_shape *want = &shapes[i];
        MIEN_FAIL_IF(want->rank < 0 || want->rank > MIEN_MAX_RANK, e, MIEN_E_ARG, "input %.60s: no shape given", t->name);
        MIEN_FAIL_IF(t->shape.rank >= 0 && t->shape.rank != want->rank, e, MIEN_E_ONNX_SHAPE, "input %.60s has %d dimensions, not %d", t->name,
                     t->shape.rank, want->rank);
        for (int d = 0; d < want->rank; d++) {
            MIEN_FAIL_IF(want->dim[d] < 1 || want->dim[d] > INT32_MAX, e, MIEN_E_ARG, "input %.60s: size %" PRId64 " is out of range", t->name, want->dim[d]);
            MIEN_FAIL_IF(t->shape.rank >= 0 && t->shape.dim[d] >= 0 && t->shape.dim[d] != want->dim[d], e, MIEN_E_ONNX_SHAPE,
                         "input %.60s: dimension %d is %" PRId64 ", not %" PRId64, t->name, d, t->shape.dim[d], want->dim[d]);
        }
        int64_t count = mien_shape_count(want);
        MIEN_FAIL_IF(count < 0 || count > MIEN_MAX_ELEMENTS, e, MIEN_E_LIMIT, "input %.60s is too large", t->name);
        t->shape = *want;
    }
    return MIEN_OK;
}

static enum mien_code infer_and_fold(struct mien_graph *g, struct mien_err *e)
{
    for (int i = 0; i < g->n_nodes; i++) {
        struct mien_node *n = &g->node[i];
        bool folded;
        MIEN_TRY(mien_infer_node(g, n, e));
        MIEN_TRY(mien_fold_node(g, n, &folded, e));
        if (!folded) continue;
        n->op = (enum mien_op)MIEN_OP_REMOVED;
        n->n_in = n->n_out = 0;
    }
    return mien_graph_sweep(g, e);
}

static uint64_t node_macs(const struct mien_graph *g, const struct mien_node *n)
{
    uint64_t out = (uint64_t)mien_shape_count(&g->tensor[n->out[0]].shape);
    const struct mien_shape *x = &g->tensor[n->in[0]].shape, *w;
    switch (n->op) {
    case MIEN_OP_CONV:
        w = &g->tensor[n->in[1]].shape;
        return out * (uint64_t)(w->dim[1] * w->dim[2] * w->dim[3]);
    case MIEN_OP_CONV_TRANSPOSE:
        w = &g->tensor[n->in[1]].shape;
        return (uint64_t)mien_shape_count(x) * (uint64_t)(w->dim[1] * w->dim[2] * w->dim[3]);
    case MIEN_OP_GEMM: return out * (uint64_t)x->dim[!n->attr.trans_a];
    case MIEN_OP_MATMUL: return out * (uint64_t)x->dim[x->rank - 1];
    default: return 0;
    }
}

enum mien_code mien_graph_infer(const struct mien_graph *from, const struct mien_shape *shapes, int n_shapes, struct mien_graph **out,
                                struct mien_err *e)
{
    *out = NULL;
    MIEN_FAIL_IF(n_shapes != from->n_inputs, e, MIEN_E_ARG, "%d shapes for %d inputs", n_shapes, from->n_inputs);
    size_t weights = 0;
    for (int i = 0; i < from->n_tensors; i++) weights += from->tensor[i].bytes;
    struct mien_graph *g = mien_graph_new(((size_t)128 << 20) + 4 * weights);
    if (g == NULL) return MIEN_NO_MEMORY(e);
    g->own->file_begin = from->own->file_begin;
    g->own->file_end = from->own->file_end;
    enum mien_code code = copy_graph(from, g, e);
    if (code == MIEN_OK) code = set_inputs(g, shapes, e);
    if (code == MIEN_OK) code = infer_and_fold(g, e);
    if (code == MIEN_OK) *out = g;
    else mien_graph_free(&g);
    return code;
}

enum mien_code mien_graph_specialize(const struct mien_graph *from, const struct mien_shape *shapes, int n_shapes,
                                     struct mien_graph **out, struct mien_err *e)
{
    MIEN_TRY(mien_graph_infer(from, shapes, n_shapes, out, e));
    struct mien_graph *g = *out;
    enum mien_code code = mien_passes_specialized(g, e);
    if (code != MIEN_OK) {
        mien_graph_free(out);
        return code;
    }
    for (int i = 0; i < g->n_nodes; i++) g->macs += node_macs(g, &g->node[i]);
    return MIEN_OK;
}
