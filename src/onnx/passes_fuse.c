/* Passes that let one node do the work of several: bias, residual addition and activation inside a convolution or matrix
 * product, y = act(op(x) + residual), and chains of elementwise maps. */
#include "onnx/passes.h"

#include <math.h>

static const struct mien_shape *shape(const struct mien_graph *g, int id) { return &g->tensor[id].shape; }

static bool same_shape(const struct mien_shape *a, const struct mien_shape *b)
{
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

/* A float32 constant of one element close to v (exporters round 1/6 in their own ways). */
static bool is_scalar(const struct mien_graph *g, int id, float v)
{
    if (!mien_is_const(g, id) || g->tensor[id].type != MIEN_F32 || mien_shape_count(shape(g, id)) != 1) return false;
    float c = mien_load_f32(g->tensor[id].data, 0);
    return fabsf(c - v) <= 1e-6f * fabsf(v);
}

static bool near(float a, float b) { return fabsf(a - b) <= 1e-6f * fabsf(b); }

/* ---- MatMul by a constant matrix -> Gemm; then a constant row added -> its bias ---- */

static enum mien_code add_bias(struct mien_edit *ed, int i)
{
    struct mien_graph *g = ed->g;
    if (g->node[i].n_in != 2) return MIEN_OK;
    for (int k = 0; k < 2; k++) {
        int p = mien_edit_from(ed, g->node[i].in[k], MIEN_OP_GEMM), c = g->node[i].in[1 - k];
        if (p < 0 || !mien_edit_single(ed, g->node[i].in[k]) || !mien_is_const(g, g->node[p].in[1])) continue;
        if (g->node[p].n_in > 2 || g->node[p].act.kind != MIEN_ACT_NONE || g->node[p].residual >= 0) continue;
        int64_t n = shape(g, g->node[p].in[1])->dim[!g->node[p].attr.trans_b];
        if (mien_channel_vector(g, c, 2) != n) continue;
        int bias = mien_graph_tensor(g, g->tensor[c].name);
        if (bias < 0 || !mien_node_widen(g, p, 3)) return MIEN_NO_MEMORY(ed->e);
        MIEN_TRY(mien_edit_grow(ed));
        g->tensor[bias] = g->tensor[c];
        g->tensor[bias].owned = false; /* the data has two names now */
        g->tensor[c].owned = false;
        g->tensor[bias].shape = mien_shape_of(1, &n);
        mien_edit_set_input(ed, p, 2, bias);
        mien_edit_absorb(ed, p, i);
        return MIEN_OK;
    }
    return MIEN_OK;
}

/* The tensor is a matrix; before shapes are known, by what makes it. */
static bool is_matrix(const struct mien_edit *ed, int t)
{
    const struct mien_graph *g = ed->g;
    for (int steps = 0; steps < 16 && t >= 0; steps++) {
        if (shape(g, t)->rank >= 0) return shape(g, t)->rank == 2;
        if (ed->producer[t] < 0) return false;
        const struct mien_node *n = &g->node[ed->producer[t]];
        if (n->op == MIEN_OP_FLATTEN || n->op == MIEN_OP_GEMM) return true;
        if (n->op == MIEN_OP_RESHAPE) return n->n_in == 2 && mien_is_const(g, n->in[1]) && mien_shape_count(shape(g, n->in[1])) == 2;
        if (n->op != MIEN_OP_RELU && n->op != MIEN_OP_LEAKYRELU && n->op != MIEN_OP_BATCHNORM && n->op != MIEN_OP_SIGMOID) return false;
        t = n->in[0];
    }
    return false;
}

enum mien_code mien_pass_matmul_gemm(struct mien_graph *g, struct mien_err *e)
{
    struct mien_edit ed;
    enum mien_code code = mien_edit_begin(&ed, g, e);
    for (int i = 0; code == MIEN_OK && i < g->n_nodes; i++) {
        struct mien_node *n = &g->node[i];
        if (n->op != MIEN_OP_MATMUL || n->n_in != 2 || !mien_is_const(g, n->in[1]) || shape(g, n->in[1])->rank != 2 || !is_matrix(&ed, n->in[0])) continue;
        n->op = MIEN_OP_GEMM;
        n->attr = (struct mien_attrs){.alpha = 1, .beta = 1};
    }
    return mien_edit_end(&ed, code);
}

enum mien_code mien_pass_matmul_bias(struct mien_graph *g, struct mien_err *e)
{
    struct mien_edit ed;
    enum mien_code code = mien_edit_begin(&ed, g, e);
    for (int i = 0; code == MIEN_OK && i < g->n_nodes; i++) {
        mien_edit_resolve(&ed, i);
        if (g->node[i].op == MIEN_OP_ADD) code = add_bias(&ed, i);
    }
    return mien_edit_end(&ed, code);
}

/* ---- chains of elementwise maps -> one BATCHNORM (scale and shift) ---- */

/* y = v op x or x op v as scale and shift of channel k; false when it is not such a map of a whole tensor. */
static bool map_value(const struct mien_graph *g, const struct mien_node *n, int x, int64_t k, float *scale, float *shift)
{
    *scale = 1;
    *shift = 0;
    if (n->op == MIEN_OP_BATCHNORM) {
        *scale = mien_load_f32(g->tensor[n->in[1]].data, (size_t)k);
        *shift = mien_load_f32(g->tensor[n->in[2]].data, (size_t)k);
        return true;
    }
    int c = n->in[0] == x ? n->in[1] : n->in[0];
    int64_t count = mien_channel_vector(g, c, shape(g, n->out[0])->rank);
    if (count < 1) return false;
    float v = mien_load_f32(g->tensor[c].data, (size_t)(count == 1 ? 0 : k));
    bool first = n->in[0] == x;
    if (n->op == MIEN_OP_MUL) *scale = v;
    else if (n->op == MIEN_OP_ADD) *shift = v;
    else if (n->op == MIEN_OP_DIV && first) *scale = 1 / v;
    else if (n->op == MIEN_OP_SUB) {
        *scale = first ? 1 : -1;
        *shift = first ? -v : v;
    } else {
        return false;
    }
    return isfinite(*scale) && isfinite(*shift);
}

/* The variable operand of a map that keeps its shape, or -1. */
static int map_source(const struct mien_graph *g, const struct mien_node *n)
{
    bool elementwise = n->op == MIEN_OP_MUL || n->op == MIEN_OP_ADD || n->op == MIEN_OP_DIV || n->op == MIEN_OP_SUB;
    if (n->n_out != 1 || (!elementwise && n->op != MIEN_OP_BATCHNORM)) return -1;
    if (elementwise && (n->n_in != 2 || n->residual >= 0 || n->act.kind != MIEN_ACT_NONE)) return -1;
    int x = elementwise && mien_is_const(g, n->in[0]) ? n->in[1] : n->in[0];
    float a, b;
    const struct mien_shape *s = shape(g, x);
    if (mien_is_const(g, x) || g->tensor[x].type != MIEN_F32 || s->rank < 2 || s->dim[1] < 1 || !same_shape(s, shape(g, n->out[0]))) return -1;
    return map_value(g, n, x, 0, &a, &b) ? x : -1;
}

static enum mien_code join_maps(struct mien_edit *ed, int p, int i, int px, int ix)
{
    struct mien_graph *g = ed->g;
    struct mien_shape s = mien_shape_of(1, &shape(g, px)->dim[1]);
    float *scale, *shift;
    int a = mien_graph_const_f32(g, g->node[p].name, &s, &scale), b = mien_graph_const_f32(g, g->node[p].name, &s, &shift);
    if (a < 0 || b < 0) return MIEN_NO_MEMORY(ed->e);
    for (int64_t k = 0; k < s.dim[0]; k++) {
        float s1, t1, s2, t2;
        if (!map_value(g, &g->node[p], px, k, &s1, &t1) || !map_value(g, &g->node[i], ix, k, &s2, &t2)) return MIEN_OK;
        scale[k] = s1 * s2;
        shift[k] = (float)((double)t1 * (double)s2 + (double)t2);
    }
    MIEN_TRY(mien_edit_grow(ed));
    if (!mien_node_widen(g, p, 3)) return MIEN_NO_MEMORY(ed->e);
    mien_edit_set_input(ed, p, 0, px);
    mien_edit_set_input(ed, p, 1, a);
    mien_edit_set_input(ed, p, 2, b);
    g->node[p].op = MIEN_OP_BATCHNORM;
    g->node[p].attr = (struct mien_attrs){0};
    mien_edit_absorb(ed, p, i);
    return MIEN_OK;
}

enum mien_code mien_pass_affine_chain(struct mien_graph *g, struct mien_err *e)
{
    struct mien_edit ed;
    enum mien_code code = mien_edit_begin(&ed, g, e);
    for (int i = 0; code == MIEN_OK && i < g->n_nodes; i++) {
        mien_edit_resolve(&ed, i);
        int x = (int)g->node[i].op == MIEN_OP_REMOVED ? -1 : map_source(g, &g->node[i]);
        int p = x < 0 ? -1 : ed.producer[x];
        if (p < 0 || !mien_edit_single(&ed, x)) continue;
        int source = map_source(g, &g->node[p]);
        if (source >= 0) code = join_maps(&ed, p, i, source, x);
    }
    return mien_edit_end(&ed, code);
}

/* ---- HardSigmoid and HardSwish written out (MobileNetV3, arXiv:1905.02244, section 5.2) ---- */

/* The x of clip(x + 3, 0, 6), or -1. `t` must have no other reader, nor what is between. */
static int relu6_of_plus3(const struct mien_edit *ed, int t)
{
    const struct mien_graph *g = ed->g;
    int c = mien_edit_from(ed, t, MIEN_OP_CLIP);
    if (c < 0 || !mien_edit_single(ed, t) || fabsf(g->node[c].attr.alpha) > 0 || !near(g->node[c].attr.beta, 6)) return -1;
    int a = mien_edit_from(ed, g->node[c].in[0], MIEN_OP_ADD);
    if (a < 0 || !mien_edit_single(ed, g->node[c].in[0]) || g->node[a].n_in != 2) return -1;
    int k = is_scalar(g, g->node[a].in[1], 3) ? 0 : is_scalar(g, g->node[a].in[0], 3) ? 1 : -1;
    if (k < 0 || !same_shape(shape(g, g->node[a].in[k]), shape(g, t))) return -1;
    return g->node[a].in[k];
}

static void become_unary(struct mien_edit *ed, int i, enum mien_op op, int x)
{
    struct mien_node *n = &ed->g->node[i];
    for (int k = 1; k < n->n_in; k++) mien_edit_set_input(ed, i, k, MIEN_NO_TENSOR);
    mien_edit_set_input(ed, i, 0, x);
    n->n_in = 1;
    n->op = op;
    n->attr = (struct mien_attrs){.alpha = 1.0f / 6, .beta = 0.5f};
}

/* Operand k of a division by 6 or a product with 1/6; -1 when it is neither. */
static int sixth_of(const struct mien_graph *g, const struct mien_node *n)
{
    if (n->n_in != 2) return -1;
    if (n->op == MIEN_OP_DIV) return is_scalar(g, n->in[1], 6) ? n->in[0] : -1;
    if (n->op != MIEN_OP_MUL) return -1;
    return is_scalar(g, n->in[1], 1.0f / 6) ? n->in[0] : is_scalar(g, n->in[0], 1.0f / 6) ? n->in[1] : -1;
}

static void hard_activation(struct mien_edit *ed, int i)
{
    struct mien_graph *g = ed->g;
    const struct mien_node *n = &g->node[i];
    int t = sixth_of(g, n);
    if (t >= 0 && same_shape(shape(g, t), shape(g, n->out[0]))) {
        int x = relu6_of_plus3(ed, t), m = mien_edit_from(ed, t, MIEN_OP_MUL);
        if (x >= 0) {
            become_unary(ed, i, MIEN_OP_HARDSIGMOID, x);
            return;
        }
        if (m < 0 || !mien_edit_single(ed, t) || g->node[m].n_in != 2) return;
        for (int k = 0; k < 2; k++) {
            int y = g->node[m].in[k];
            if (relu6_of_plus3(ed, g->node[m].in[1 - k]) == y && y >= 0) {
                become_unary(ed, i, MIEN_OP_HARDSWISH, y);
                return;
            }
        }
        return;
    }
    if (n->op != MIEN_OP_MUL || n->n_in != 2) return;
    for (int k = 0; k < 2; k++) {
        int h = mien_edit_from(ed, n->in[k], MIEN_OP_HARDSIGMOID);
        if (h < 0 || !mien_edit_single(ed, n->in[k]) || g->node[h].in[0] != n->in[1 - k]) continue;
        if (!near(g->node[h].attr.alpha, 1.0f / 6) || !near(g->node[h].attr.beta, 0.5f)) continue;
        become_unary(ed, i, MIEN_OP_HARDSWISH, n->in[1 - k]);
        return;
    }
}

enum mien_code mien_pass_hard_activations(struct mien_graph *g, struct mien_err *e)
{
    struct mien_edit ed;
    enum mien_code code = mien_edit_begin(&ed, g, e);
    for (int i = 0; code == MIEN_OK && i < g->n_nodes; i++) {
        mien_edit_resolve(&ed, i);
        hard_activation(&ed, i);
    }
    return mien_edit_end(&ed, code);
}

/* ---- residual addition ---- */

static bool can_host(const struct mien_graph *g, int p)
{
    if (p < 0) return false;
    const struct mien_node *n = &g->node[p];
    bool op = n->op == MIEN_OP_CONV || n->op == MIEN_OP_CONV_TRANSPOSE || n->op == MIEN_OP_GEMM || n->op == MIEN_OP_MATMUL;
    return op && n->residual < 0 && n->act.kind == MIEN_ACT_NONE;
}

/* Add(conv(x), r) of equal shapes: the convolution adds r, in the Add's place, where r lies ready whatever makes it. Of two
 * candidates the later one is taken. */
enum mien_code mien_pass_residual(struct mien_graph *g, struct mien_err *e)
{
    struct mien_edit ed;
    enum mien_code code = mien_edit_begin(&ed, g, e);
    for (int i = 0; code == MIEN_OK && i < g->n_nodes; i++) {
        mien_edit_resolve(&ed, i);
        const struct mien_node *n = &g->node[i];
        if (n->op != MIEN_OP_ADD || n->n_in != 2 || !same_shape(shape(g, n->in[0]), shape(g, n->in[1]))) continue;
        if (g->tensor[n->out[0]].type != MIEN_F32) continue;
        int best = -1, other = -1;
        for (int k = 0; k < 2; k++) {
            int p = ed.producer[n->in[k]];
            if (!can_host(g, p) || !mien_edit_single(&ed, n->in[k]) || mien_is_const(g, n->in[1 - k]) || p < best) continue;
            best = p;
            other = n->in[1 - k];
        }
        if (best < 0) continue;
        g->node[best].residual = other;
        ed.uses[other]++;
        mien_edit_absorb(&ed, best, i);
        struct mien_node gone = g->node[i];
        g->node[i] = g->node[best];
        g->node[best] = gone;
        ed.producer[g->node[i].out[0]] = i;
    }
    return mien_edit_end(&ed, code);
}

/* ---- activation ---- */

static bool unary_act(const struct mien_node *n, struct mien_act *act)
{
    *act = (struct mien_act){.slope = MIEN_NO_TENSOR, .a = n->attr.alpha, .b = n->attr.beta};
    switch (n->op) {
    case MIEN_OP_RELU: act->kind = MIEN_ACT_RELU; break;
    case MIEN_OP_LEAKYRELU: act->kind = MIEN_ACT_LEAKY; break;
    case MIEN_OP_CLIP: act->kind = MIEN_ACT_CLIP; break;
    case MIEN_OP_SIGMOID: act->kind = MIEN_ACT_SIGMOID; break;
    case MIEN_OP_TANH: act->kind = MIEN_ACT_TANH; break;
    case MIEN_OP_HARDSWISH: act->kind = MIEN_ACT_HARDSWISH; break;
    case MIEN_OP_HARDSIGMOID: act->kind = MIEN_ACT_HARDSIGMOID; break;
    default: return false;
    }
    return true;
}

static bool act_host(const struct mien_edit *ed, int t)
{
    int p = t < 0 ? -1 : ed->producer[t];
    if (p < 0 || ed->g->node[p].act.kind != MIEN_ACT_NONE || ed->g->tensor[t].type != MIEN_F32) return false;
    enum mien_op op = ed->g->node[p].op;
    return op == MIEN_OP_CONV || op == MIEN_OP_CONV_TRANSPOSE || op == MIEN_OP_GEMM || op == MIEN_OP_MATMUL || op == MIEN_OP_ADD;
}

/* An addition takes a slope per channel only when nothing is broadcast and its operands lie as the engine lays out pictures. */
static bool add_takes_slopes(const struct mien_edit *ed, const struct mien_node *add)
{
    const struct mien_graph *g = ed->g;
    for (int k = 0; k < 2; k++) {
        int t = add->in[k];
        if (mien_is_const(g, t) || shape(g, t)->rank != 4 || !same_shape(shape(g, t), shape(g, add->out[0]))) return false;
        if (mien_edit_from(ed, t, MIEN_OP_TRANSPOSE) >= 0 || mien_edit_from(ed, t, MIEN_OP_RESHAPE) >= 0) return false;
    }
    return true;
}

/* PRelu whose slope is one number or one a channel. */
static bool prelu_act(struct mien_edit *ed, const struct mien_node *n, struct mien_act *act)
{
    const struct mien_graph *g = ed->g;
    if (n->op != MIEN_OP_PRELU) return false;
    const struct mien_shape *x = shape(g, n->in[0]);
    int64_t count = mien_channel_vector(g, n->in[1], x->rank);
    if (count != 1 && (x->rank < 2 || count != x->dim[1])) return false;
    int add = mien_edit_from(ed, n->in[0], MIEN_OP_ADD);
    if (add >= 0 && !add_takes_slopes(ed, &ed->g->node[add])) return false;
    *act = (struct mien_act){.kind = MIEN_ACT_PRELU, .slope = n->in[1]};
    return true;
}

/* Mul(x, Sigmoid(x)) where nobody else reads either: swish (arXiv:1710.05941). */
static int swish_source(const struct mien_edit *ed, const struct mien_node *n)
{
    if (n->op != MIEN_OP_MUL || n->n_in != 2) return -1;
    for (int k = 0; k < 2; k++) {
        int s = mien_edit_from(ed, n->in[k], MIEN_OP_SIGMOID), x = n->in[1 - k];
        if (s < 0 || x < 0 || ed->g->node[s].in[0] != x || !mien_edit_single(ed, n->in[k])) continue;
        if (ed->uses[x] == 2 && !ed->output[x]) return x;
    }
    return -1;
}

/* The node that may apply the activation to tensor t on behalf of its only reader: t's maker, or the one behind Reshape and
 * Transpose nodes, which commute with functions of one element. -1 when there is none. */
static int host_behind(const struct mien_edit *ed, int t)
{
    for (int steps = 0; steps < 8 && mien_edit_single(ed, t); steps++) {
        int p = ed->producer[t];
        if (p < 0) return -1;
        if (act_host(ed, t)) return p;
        if (ed->g->node[p].op != MIEN_OP_RESHAPE && ed->g->node[p].op != MIEN_OP_TRANSPOSE) return -1;
        t = ed->g->node[p].in[0];
    }
    return -1;
}

/* Activation of a Concat: of all its parts, when each can take it. */
static bool activate_parts(struct mien_edit *ed, int i, const struct mien_act *act)
{
    struct mien_graph *g = ed->g;
    int x = g->node[i].in[0], c = mien_edit_from(ed, x, MIEN_OP_CONCAT);
    if (c < 0 || !mien_edit_single(ed, x) || ed->output[g->node[i].out[0]]) return false;
    for (int k = 0; k < g->node[c].n_in; k++)
        if (host_behind(ed, g->node[c].in[k]) < 0) return false;
    if (!mien_edit_bypass(ed, i, x)) return false;
    for (int k = 0; k < g->node[c].n_in; k++) g->node[host_behind(ed, g->node[c].in[k])].act = *act;
    return true;
}

enum mien_code mien_pass_activation(struct mien_graph *g, struct mien_err *e)
{
    struct mien_edit ed;
    enum mien_code code = mien_edit_begin(&ed, g, e);
    for (int i = 0; code == MIEN_OK && i < g->n_nodes; i++) {
        mien_edit_resolve(&ed, i);
        const struct mien_node *n = &g->node[i];
        struct mien_act act;
        if (n->n_in < 1) continue;
        int swish = swish_source(&ed, n);
        if (swish >= 0 && act_host(&ed, swish)) {
            int p = ed.producer[swish];
            g->node[p].act = (struct mien_act){.kind = MIEN_ACT_SWISH, .slope = MIEN_NO_TENSOR};
            int s = n->in[0] == swish ? ed.producer[n->in[1]] : ed.producer[n->in[0]];
            mien_edit_remove(&ed, s);
            mien_edit_absorb(&ed, p, i);
            continue;
        }
        bool unary = unary_act(n, &act);
        if (!unary && !prelu_act(&ed, n, &act)) continue;
        if (unary && activate_parts(&ed, i, &act)) continue;
        int p = unary ? host_behind(&ed, n->in[0]) : -1;
        if (p >= 0 && p != ed.producer[n->in[0]]) {
            if (mien_edit_bypass(&ed, i, n->in[0])) g->node[p].act = act;
            continue;
        }
        if (!mien_edit_single(&ed, n->in[0]) || !act_host(&ed, n->in[0])) continue;
        p = ed.producer[n->in[0]];
        g->node[p].act = act;
        if (act.slope >= 0) ed.uses[act.slope]++;
        mien_edit_absorb(&ed, p, i);
    }
    return mien_edit_end(&ed, code);
}
