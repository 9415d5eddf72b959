/* A graph as text, one line a node:
 *   Conv_3           Conv               x[1,3,112,112] W[64,3,3,3] b[64] -> y[1,64,56,56]  k3x3 s2x2 p1,1,1,1 act=relu */
#include "onnx/internal.h"

#include <inttypes.h>

static void print_tensor(const struct mien_graph *g, int id, FILE *to)
{
    if (id < 0) {
        fputs(" -", to);
        return;
    }
    const struct mien_tensor *t = &g->tensor[id];
    static const char *const type[] = {[MIEN_ELEM_NONE] = "?", [MIEN_F32] = "", [MIEN_F16] = "f16", [MIEN_BF16] = "bf16", [MIEN_F64] = "f64",
                                       [MIEN_I8] = "i8", [MIEN_U8] = "u8", [MIEN_I32] = "i32", [MIEN_I64] = "i64", [MIEN_BOOL] = "bool"};
    fprintf(to, " %.40s%s%s[", t->data != NULL && t->name[0] == 0 ? "const" : t->name, type[t->type][0] ? ":" : "", type[t->type]);
    if (t->shape.rank < 0) fputs("?", to);
    for (int i = 0; i < t->shape.rank; i++) {
        if (t->shape.dim[i] < 0) fprintf(to, "%s?", i ? "," : "");
        else fprintf(to, "%s%" PRId64, i ? "," : "", t->shape.dim[i]);
    }
    fputs(t->data != NULL ? "]=" : "]", to);
}

static void print_ints(const char *label, const int64_t *v, int n, FILE *to)
{
    fprintf(to, " %s", label);
    for (int i = 0; i < n; i++) fprintf(to, "%s%" PRId64, i ? "," : "", v[i]);
}

static void print_attrs(const struct mien_graph *g, const struct mien_node *n, FILE *to)
{
    const struct mien_attrs *a = &n->attr;
    int rank = g->tensor[n->in[0]].shape.rank;
    if (a->stride[0] > 0) {
        fprintf(to, " k%dx%d s%dx%d p%d,%d,%d,%d", a->kernel[0], a->kernel[1], a->stride[0], a->stride[1], a->pad[0], a->pad[1], a->pad[2], a->pad[3]);
        if (a->dilation[0] != 1 || a->dilation[1] != 1) fprintf(to, " d%dx%d", a->dilation[0], a->dilation[1]);
        if (a->groups > 1) fprintf(to, " g%d", a->groups);
        if (a->auto_pad) fprintf(to, " auto_pad=%d", a->auto_pad);
        if (a->ceil_mode) fputs(" ceil", to);
        if (a->count_include_pad) fputs(" include_pad", to);
    }
    switch (n->op) {
    case MIEN_OP_TRANSPOSE:
        fputs(" perm=", to);
        for (int i = 0; i < a->n_perm; i++) fprintf(to, "%d", a->perm[i]);
        break;
    case MIEN_OP_SOFTMAX:
    case MIEN_OP_CONCAT:
    case MIEN_OP_SPLIT:
    case MIEN_OP_GATHER:
    case MIEN_OP_LPNORM:
    case MIEN_OP_ARGMAX:
    case MIEN_OP_LAYERNORM:
    case MIEN_OP_FLATTEN: fprintf(to, " axis=%d", a->axis); break;
    case MIEN_OP_REDUCEMEAN:
    case MIEN_OP_REDUCESUM:
    case MIEN_OP_REDUCEMAX:
    case MIEN_OP_REDUCEMIN:
    case MIEN_OP_REDUCEL2: print_ints("axes=", a->axes, a->n_axes, to); break;
    case MIEN_OP_PAD:
        if (rank > 0) print_ints("pads=", a->pads, 2 * rank, to);
        fprintf(to, " mode=%d value=%g", a->pad_mode, (double)a->pad_value);
        break;
    case MIEN_OP_SLICE:
        if (rank > 0) print_ints("starts=", a->starts, rank, to);
        if (rank > 0) print_ints("steps=", a->steps, rank, to);
        break;
    case MIEN_OP_RESIZE:
        fprintf(to, " scale=%gx%g mode=%d coord=%d nearest=%d", (double)a->scale[0], (double)a->scale[1], a->resize_mode, a->resize_coord, a->resize_nearest);
        break;
    case MIEN_OP_LEAKYRELU:
    case MIEN_OP_ELU: fprintf(to, " alpha=%g", (double)a->alpha); break;
    case MIEN_OP_CLIP: fprintf(to, " %g..%g", (double)a->alpha, (double)a->beta); break;
    case MIEN_OP_GEMM:
        fprintf(to, "%s%s", a->trans_a ? " transA" : "", a->trans_b ? " transB" : "");
        if (a->alpha != 1 || a->beta != 1) fprintf(to, " alpha=%g beta=%g", (double)a->alpha, (double)a->beta);
        break;
    default: break;
    }
}

static void print_fused(const struct mien_graph *g, const struct mien_node *n, FILE *to)
{
    static const char *const name[] = {"", "relu", "leaky", "clip", "sigmoid", "tanh", "hardswish", "hardsigmoid", "swish", "prelu"};
    if (n->residual >= 0) fprintf(to, " +%.40s", g->tensor[n->residual].name);
    if (n->act.kind == MIEN_ACT_NONE) return;
    fprintf(to, " act=%s", name[n->act.kind]);
    if (n->act.kind == MIEN_ACT_LEAKY) fprintf(to, "(%g)", (double)n->act.a);
    if (n->act.kind == MIEN_ACT_CLIP || n->act.kind == MIEN_ACT_HARDSIGMOID) fprintf(to, "(%g,%g)", (double)n->act.a, (double)n->act.b);
}

void mien_graph_print(const struct mien_graph *g, FILE *to)
{
    fprintf(to, "opset %d, producer %s, %d nodes", g->opset, g->producer[0] ? g->producer : "unknown", g->n_nodes);
    if (g->macs > 0) fprintf(to, ", %.1f M multiply-accumulates", (double)g->macs / 1e6);
    fputs("\ninputs ", to);
    for (int i = 0; i < g->n_inputs; i++) print_tensor(g, g->input[i], to);
    fputs("\noutputs", to);
    for (int i = 0; i < g->n_outputs; i++) print_tensor(g, g->output[i], to);
    fputc('\n', to);
    for (int i = 0; i < g->n_nodes; i++) {
        const struct mien_node *n = &g->node[i];
        fprintf(to, "%3d %-18s %-24.60s", i, mien_op_name(n->op), n->name);
        for (int k = 0; k < n->n_in; k++) print_tensor(g, n->in[k], to);
        fputs(" ->", to);
        for (int k = 0; k < n->n_out; k++) print_tensor(g, n->out[k], to);
        print_attrs(g, n, to);
        print_fused(g, n, to);
        fputc('\n', to);
    }
}
