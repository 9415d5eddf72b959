/* The order of the passes, and the two simplest. */
#include "onnx/passes.h"

/* Second outputs that nobody reads (MaxPool's indices, BatchNormalization's running statistics) are forgotten. */
static void drop_unread_outputs(const struct mien_edit *ed, struct mien_node *n)
{
    if (n->op != MIEN_OP_MAXPOOL && n->op != MIEN_OP_BATCHNORM && n->op != MIEN_OP_LAYERNORM) return;
    while (n->n_out > 1 && (n->out[n->n_out - 1] < 0 || ed->uses[n->out[n->n_out - 1]] == 0)) n->n_out--;
}

/* Identity (and Dropout, which is identity at inference): readers read the source. Where an input or constant is directly an
 * output, a Cast to the same type stays, which copies. */
enum mien_code mien_pass_identity(struct mien_graph *g, struct mien_err *e)
{
    struct mien_edit ed;
    enum mien_code code = mien_edit_begin(&ed, g, e);
    for (int i = 0; code == MIEN_OK && i < g->n_nodes; i++) {
        mien_edit_resolve(&ed, i);
        drop_unread_outputs(&ed, &g->node[i]);
        if ((int)g->node[i].op != MIEN_OP_IDENTITY) continue;
        if (g->node[i].n_out > 1 && g->node[i].out[1] >= 0 && ed.uses[g->node[i].out[1]] > 0)
            code = MIEN_NODE_FAIL(e, MIEN_E_ONNX_UNSUPPORTED, &g->node[i], "a Dropout's mask is used");
        else if (!mien_edit_bypass(&ed, i, g->node[i].in[0])) g->node[i].op = MIEN_OP_CAST;
    }
    return mien_edit_end(&ed, code);
}

/* Constants computed from constants: weights behind a Transpose or a Cast, for example. */
enum mien_code mien_pass_fold_constants(struct mien_graph *g, struct mien_err *e)
{
    for (int i = 0; i < g->n_nodes; i++) {
        struct mien_node *n = &g->node[i], trial = *n;
        bool constant = true, folded;
        for (int k = 0; k < n->n_in; k++) constant &= mien_is_const(g, n->in[k]);
        if (!constant || n->op == MIEN_OP_CONSTANTOFSHAPE || n->op == MIEN_OP_RANGE) continue; /* small now, maybe large then */
        MIEN_TRY(mien_infer_node(g, &trial, e));
        MIEN_TRY(mien_fold_node(g, &trial, &folded, e));
        if (!folded) continue;
        n->op = (enum mien_op)MIEN_OP_REMOVED;
        n->n_in = n->n_out = 0;
    }
    return mien_graph_sweep(g, e);
}

static enum mien_code run(mien_pass *const *pass, size_t n, struct mien_graph *g, struct mien_err *e)
{
    for (size_t i = 0; i < n; i++) MIEN_TRY(pass[i](g, e));
    return MIEN_OK;
}

enum mien_code mien_passes_parsed(struct mien_graph *g, struct mien_err *e)
{
    mien_pass *const order[] = {mien_pass_identity, mien_pass_fold_constants, mien_pass_normalize_affine, mien_pass_matmul_gemm,
                                mien_pass_normalize_gemm, mien_pass_affine_after, mien_pass_affine_before};
    return run(order, sizeof order / sizeof order[0], g, e);
}

enum mien_code mien_passes_specialized(struct mien_graph *g, struct mien_err *e)
{
    mien_pass *const order[] = {mien_pass_cleanup, mien_pass_global_pool, mien_pass_pad, mien_pass_matmul_gemm, mien_pass_matmul_bias,
                                mien_pass_affine_after, mien_pass_affine_chain, mien_pass_hard_activations, mien_pass_residual, mien_pass_activation};
    return run(order, sizeof order / sizeof order[0], g, e);
}
