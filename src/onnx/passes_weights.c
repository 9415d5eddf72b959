/* Passes that change weights. They run once, at parse time, so that all specialisations share the folded weights.
 *
 * A batch normalisation at inference is y = x * scale + shift per channel with scale = gamma / sqrt(variance + epsilon) and
 * shift = beta - mean * scale (Ioffe and Szegedy 2015, section 3.1). So are Add, Sub, Mul and Div by a constant per channel.
 * After a convolution or Gemm such a map disappears into weights and bias. Before one it does too, but a shift only when the
 * convolution does not pad: the zeros of the padding come after the shift, and folding would shift them as well. */
#include "onnx/passes.h"

#include <math.h>
#include <stdlib.h>

/* y = x * scale + shift along axis 1; one value for all channels when channels == 1. */
struct affine { int x; int64_t channels; double *scale, *shift; };

static size_t count_of(const struct mien_graph *g, int id) { return (size_t)mien_shape_count(&g->tensor[id].shape); }
static bool const_f32(const struct mien_graph *g, int id) { return mien_is_const(g, id) && g->tensor[id].type == MIEN_F32; }

/* ---- BatchNormalization -> {x, scale, shift} ---- */

static enum mien_code normalize_batchnorm(struct mien_graph *g, int i, struct mien_err *e)
{
    struct mien_node *n = &g->node[i];
    MIEN_NODE_FAIL_IF(n->n_in != 5 || n->n_out != 1, e, MIEN_E_ONNX_UNSUPPORTED, n, "five inputs and one output are expected");
    size_t c = 0;
    for (int k = 1; k < 5; k++) {
        MIEN_NODE_FAIL_IF(!const_f32(g, n->in[k]), e, MIEN_E_ONNX_UNSUPPORTED, n, "its parameters are not float32 constants");
        if (k == 1) c = count_of(g, n->in[k]);
        MIEN_NODE_FAIL_IF(count_of(g, n->in[k]) != c, e, MIEN_E_ONNX_SHAPE, n, "its parameters differ in length");
    }
    struct mien_shape s = {.rank = 1, .dim = {(int64_t)c}};
    float *scale, *shift;
    int a = mien_graph_const_f32(g, n->name, &s, &scale), b = mien_graph_const_f32(g, n->name, &s, &shift);
    if (a < 0 || b < 0) return MIEN_NO_MEMORY(e);
    for (size_t k = 0; k < c; k++) {
        double gamma = (double)mien_load_f32(g->tensor[n->in[1]].data, k), beta = (double)mien_load_f32(g->tensor[n->in[2]].data, k);
        double mean = (double)mien_load_f32(g->tensor[n->in[3]].data, k), var = (double)mien_load_f32(g->tensor[n->in[4]].data, k);
        double f = gamma / sqrt(var + (double)n->attr.epsilon);
        scale[k] = (float)f;
        shift[k] = (float)(beta - mean * f);
    }
    n->in[1] = a;
    n->in[2] = b;
    n->n_in = 3;
    return MIEN_OK;
}

enum mien_code mien_pass_normalize_affine(struct mien_graph *g, struct mien_err *e)
{
    for (int i = 0; i < g->n_nodes; i++)
        if (g->node[i].op == MIEN_OP_BATCHNORM) MIEN_TRY(normalize_batchnorm(g, i, e));
    return mien_graph_sweep(g, e);
}

/* ---- Gemm: alpha, beta and the bias' shape ---- */

static enum mien_code scaled_copy(struct mien_graph *g, int *id, float factor, const struct mien_shape *s, struct mien_err *e)
{
    float *to;
    int from = *id, made = mien_graph_const_f32(g, g->tensor[from].name, s, &to);
    if (made < 0) return MIEN_NO_MEMORY(e);
    size_t n = (size_t)mien_shape_count(s), period = count_of(g, from);
    for (size_t i = 0; i < n; i++) to[i] = factor * mien_load_f32(g->tensor[from].data, i % period);
    *id = made;
    return MIEN_OK;
}

static enum mien_code normalize_gemm(struct mien_graph *g, int i, struct mien_err *e)
{
    struct mien_node *n = &g->node[i];
    if (n->n_in < 2 || !const_f32(g, n->in[1]) || g->tensor[n->in[1]].shape.rank != 2) return MIEN_OK;
    int bias = n->n_in > 2 ? n->in[2] : MIEN_NO_TENSOR;
    if (bias >= 0 && !const_f32(g, bias)) return MIEN_OK;
    struct mien_shape w = g->tensor[n->in[1]].shape;
    if (n->attr.alpha != 1) MIEN_TRY(scaled_copy(g, &n->in[1], n->attr.alpha, &w, e));
    n->attr.alpha = 1;
    if (bias < 0) {
        n->attr.beta = 1;
        return MIEN_OK;
    }
    struct mien_shape vector = {.rank = 1, .dim = {w.dim[!n->attr.trans_b]}}, s = g->tensor[bias].shape;
    size_t count = count_of(g, bias);
    bool row = (count == 1 || (count == (size_t)vector.dim[0] && s.rank > 0 && s.dim[s.rank - 1] == vector.dim[0])) && s.rank <= 2;
    if (row && (s.rank != 1 || count != (size_t)vector.dim[0] || n->attr.beta != 1)) MIEN_TRY(scaled_copy(g, &n->in[2], n->attr.beta, &vector, e));
    else if (!row && n->attr.beta != 1 && count > 0) MIEN_TRY(scaled_copy(g, &n->in[2], n->attr.beta, &s, e));
    n->attr.beta = 1;
    return MIEN_OK;
}

enum mien_code mien_pass_normalize_gemm(struct mien_graph *g, struct mien_err *e)
{
    for (int i = 0; i < g->n_nodes; i++)
        if (g->node[i].op == MIEN_OP_GEMM) MIEN_TRY(normalize_gemm(g, i, e));
    return mien_graph_sweep(g, e);
}

/* ---- recognising affine maps ---- */

int64_t mien_channel_vector(const struct mien_graph *g, int id, int rank)
{
    if (!const_f32(g, id)) return 0;
    const struct mien_shape *s = &g->tensor[id].shape;
    if (s->rank > rank) return 0;
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] != 1 && i + rank - s->rank != 1) return 0;
    return mien_shape_count(s);
}

static bool affine_alloc(struct affine *a)
{
    size_t n = (size_t)a->channels;
    a->scale = malloc(2 * n * sizeof *a->scale);
    a->shift = a->scale == NULL ? NULL : a->scale + n;
    return a->scale != NULL;
}

static void affine_fill(const struct mien_graph *g, const struct mien_node *n, int constant, struct affine *a)
{
    bool x_first = n->in[0] == a->x;
    for (size_t k = 0; k < (size_t)a->channels; k++) {
        double v = (double)mien_load_f32(g->tensor[constant].data, k);
        a->scale[k] = 1;
        a->shift[k] = 0;
        switch (n->op) {
        case MIEN_OP_MUL: a->scale[k] = v; break;
        case MIEN_OP_DIV: a->scale[k] = 1 / v; break;
        case MIEN_OP_ADD: a->shift[k] = v; break;
        case MIEN_OP_SUB:
            a->scale[k] = x_first ? 1 : -1;
            a->shift[k] = x_first ? -v : v;
            break;
        default: /* BATCHNORM */
            a->scale[k] = v;
            a->shift[k] = (double)mien_load_f32(g->tensor[n->in[2]].data, k);
        }
    }
}

/* Node i as a map of a tensor with `rank` dimensions. *is: whether it is one (then a->scale is to be freed). */
static enum mien_code affine_of(const struct mien_edit *ed, int i, int rank, struct affine *a, bool *is)
{
    const struct mien_graph *g = ed->g;
    const struct mien_node *n = &g->node[i];
    int constant = MIEN_NO_TENSOR;
    *is = false;
    *a = (struct affine){.x = MIEN_NO_TENSOR};
    if (n->op == MIEN_OP_BATCHNORM) {
        a->x = n->in[0];
        constant = n->in[1];
        a->channels = (int64_t)count_of(g, constant);
    } else if (n->op == MIEN_OP_MUL || n->op == MIEN_OP_ADD || n->op == MIEN_OP_SUB || n->op == MIEN_OP_DIV) {
        if (n->n_in != 2 || n->in[0] < 0 || n->in[1] < 0) return MIEN_OK;
        int k = const_f32(g, n->in[1]) ? 1 : 0;
        constant = n->in[k];
        a->x = n->in[1 - k];
        if (mien_is_const(g, a->x) || (n->op == MIEN_OP_DIV && k == 0)) return MIEN_OK;
        a->channels = mien_channel_vector(g, constant, rank);
    }
    if (a->channels < 1) return MIEN_OK;
    if (!affine_alloc(a)) return MIEN_NO_MEMORY(ed->e);
    affine_fill(g, n, constant, a);
    *is = true;
    return MIEN_OK;
}

static double at(const double *v, const struct affine *a, int64_t channel) { return v[a->channels == 1 ? 0 : channel]; }

/* ---- weights of convolutions and Gemm, seen as [out channel][in channel][taps] ---- */

struct weights { int64_t outs, ins, taps, groups; int op; bool trans_b; };

static bool weights_of(const struct mien_graph *g, const struct mien_node *n, struct weights *w)
{
    if (n->op != MIEN_OP_CONV && n->op != MIEN_OP_CONV_TRANSPOSE && n->op != MIEN_OP_GEMM) return false;
    if (n->n_in < 2 || !const_f32(g, n->in[1]) || count_of(g, n->in[1]) == 0) return false;
    if (n->n_in > 2 && n->in[2] >= 0 && !const_f32(g, n->in[2])) return false;
    const struct mien_shape *s = &g->tensor[n->in[1]].shape;
    *w = (struct weights){.op = (int)n->op, .groups = n->attr.groups, .trans_b = n->attr.trans_b};
    if (n->op == MIEN_OP_GEMM) {
        if (s->rank != 2 || n->attr.alpha != 1 || n->attr.beta != 1 || n->attr.trans_a) return false;
        w->outs = s->dim[!w->trans_b];
        w->ins = s->dim[w->trans_b];
        w->taps = w->groups = 1;
    } else {
        if (s->rank != 4) return false;
        w->outs = n->op == MIEN_OP_CONV ? s->dim[0] : s->dim[1] * w->groups;
        w->ins = n->op == MIEN_OP_CONV ? s->dim[1] * w->groups : s->dim[0];
        w->taps = s->dim[2] * s->dim[3];
    }
    if (w->outs % w->groups != 0 || w->ins % w->groups != 0) return false;
    return n->n_in < 3 || n->in[2] < 0 || count_of(g, n->in[2]) == (size_t)w->outs;
}

/* The weight tensor is [slow][fast][taps]: which channel is which depends on the operator, and in a grouped convolution the
 * fast one counts within the group of the slow one. */
struct order { int64_t slow, fast; bool out_is_slow; };

static struct order order_of(const struct weights *w)
{
    bool out_is_slow = w->op == MIEN_OP_CONV || (w->op == MIEN_OP_GEMM && w->trans_b);
    int64_t outs = w->outs, ins = w->ins;
    return (struct order){.slow = out_is_slow ? outs : ins, .fast = (out_is_slow ? ins : outs) / w->groups, .out_is_slow = out_is_slow};
}

/* The constant input k of node p as memory that may be written: a copy, or itself when a pass made it for this node alone. */
static float *writable(struct mien_edit *ed, int p, int k, const struct mien_shape *s)
{
    struct mien_graph *g = ed->g;
    int id = g->node[p].in[k];
    float *to;
    if (id >= 0 && g->tensor[id].owned && ed->uses[id] == 1) {
        memcpy(&to, &g->tensor[id].data, sizeof to); /* owned: not const really */
        return to;
    }
    int made = mien_graph_const_f32(g, id >= 0 ? g->tensor[id].name : "bias", s, &to);
    if (made < 0 || mien_edit_grow(ed) != MIEN_OK) return NULL;
    size_t n = (size_t)mien_shape_count(s);
    if (id >= 0 && n > 0) memcpy(to, g->tensor[id].data, n * sizeof *to);
    mien_edit_set_input(ed, p, k, made);
    return to;
}

static bool all(const struct affine *a, const double *v, double value)
{
    for (int64_t k = 0; k < a->channels; k++)
        if (v[k] < value || v[k] > value) return false;
    return true;
}

static bool all_finite(const struct affine *a)
{
    for (int64_t k = 0; k < a->channels; k++)
        if (!isfinite(a->scale[k]) || !isfinite(a->shift[k])) return false;
    return true;
}

static float *bias_of(struct mien_edit *ed, int p, const struct weights *w)
{
    struct mien_shape s = {.rank = 1, .dim = {w->outs}};
    if (!mien_node_widen(ed->g, p, 3)) return NULL;
    return writable(ed, p, 2, &s);
}

/* W' = scale W, b' = scale b + shift. */
static enum mien_code fold_after(struct mien_edit *ed, int p, const struct weights *w, const struct affine *a)
{
    if (!all(a, a->scale, 1)) {
        struct mien_shape s = ed->g->tensor[ed->g->node[p].in[1]].shape;
        float *to = writable(ed, p, 1, &s);
        if (to == NULL) return MIEN_NO_MEMORY(ed->e);
        struct order o = order_of(w);
        for (int64_t i = 0; i < o.slow; i++) {
            int64_t first = i / (o.slow / w->groups) * o.fast;
            for (int64_t j = 0; j < o.fast; j++) {
                double scale = at(a->scale, a, o.out_is_slow ? i : first + j);
                for (int64_t k = 0; k < w->taps; k++, to++) *to = (float)((double)*to * scale);
            }
        }
    }
    if (ed->g->node[p].n_in < 3 && all(a, a->shift, 0)) return MIEN_OK;
    float *bias = bias_of(ed, p, w);
    if (bias == NULL) return MIEN_NO_MEMORY(ed->e);
    for (int64_t k = 0; k < w->outs; k++) bias[k] = (float)((double)bias[k] * at(a->scale, a, k) + at(a->shift, a, k));
    return MIEN_OK;
}

/* W' = W scale, b' = b + W shift, over input channels; `spread` input channels of the weights belong to one of the map's (Flatten). */
static enum mien_code fold_before(struct mien_edit *ed, int p, const struct weights *w, const struct affine *a, int64_t spread)
{
    struct mien_shape s = ed->g->tensor[ed->g->node[p].in[1]].shape;
    float *to = writable(ed, p, 1, &s);
    double *sum = calloc((size_t)(w->outs + 2 * w->ins), sizeof *sum);
    if (to == NULL || sum == NULL) {
        free(sum);
        return MIEN_NO_MEMORY(ed->e);
    }
    double *scale = sum + w->outs, *shift = scale + w->ins;
    for (int64_t k = 0; k < w->ins; k++) {
        scale[k] = at(a->scale, a, k / spread);
        shift[k] = at(a->shift, a, k / spread);
    }
    struct order o = order_of(w);
    for (int64_t i = 0; i < o.slow; i++) {
        int64_t first = i / (o.slow / w->groups) * o.fast;
        for (int64_t j = 0; j < o.fast; j++) {
            int64_t out = o.out_is_slow ? i : first + j, in = o.out_is_slow ? first + j : i;
            for (int64_t k = 0; k < w->taps; k++, to++) {
                sum[out] += (double)*to * shift[in];
                *to = (float)((double)*to * scale[in]);
            }
        }
    }
    float *bias = all(a, a->shift, 0) ? NULL : bias_of(ed, p, w);
    for (int64_t k = 0; bias != NULL && k < w->outs; k++) bias[k] = (float)((double)bias[k] + sum[k]);
    free(sum);
    return bias != NULL || all(a, a->shift, 0) ? MIEN_OK : MIEN_NO_MEMORY(ed->e);
}

/* ---- the passes ---- */

static enum mien_code try_after(struct mien_edit *ed, int i)
{
    struct mien_graph *g = ed->g;
    const struct mien_node *n = &g->node[i];
    if (n->n_in < 1 || n->n_out != 1) return MIEN_OK;
    for (int k = 0; k < n->n_in && k < 2; k++) {
        int p = n->in[k] < 0 ? -1 : ed->producer[n->in[k]];
        struct weights w;
        if (p < 0 || !mien_edit_single(ed, n->in[k]) || !weights_of(g, &g->node[p], &w)) continue;
        if (g->node[p].residual >= 0 || g->node[p].act.kind != MIEN_ACT_NONE) continue;
        struct affine a;
        bool is;
        MIEN_TRY(affine_of(ed, i, w.op == MIEN_OP_GEMM ? 2 : 4, &a, &is));
        if (!is) continue;
        enum mien_code code = MIEN_OK;
        bool fits = a.x == n->in[k] && (a.channels == 1 || a.channels == w.outs) && all_finite(&a);
        if (fits && mien_graph_spend(g, count_of(g, g->node[p].in[1]))) {
            code = fold_after(ed, p, &w, &a);
            if (code == MIEN_OK) mien_edit_absorb(ed, p, i);
            free(a.scale);
            return code;
        }
        free(a.scale);
    }
    return MIEN_OK;
}

enum mien_code mien_pass_affine_after(struct mien_graph *g, struct mien_err *e)
{
    struct mien_edit ed;
    enum mien_code code = mien_edit_begin(&ed, g, e);
    for (int i = 0; code == MIEN_OK && i < g->n_nodes; i++) {
        mien_edit_resolve(&ed, i);
        code = try_after(&ed, i);
    }
    return mien_edit_end(&ed, code);
}

/* Channels of a tensor that is known to have four dimensions; -1 when not known. */
static int64_t known_channels(const struct mien_edit *ed, int t)
{
    for (int steps = 0; steps < 64 && t >= 0; steps++) {
        const struct mien_shape *s = &ed->g->tensor[t].shape;
        if (s->rank >= 0) return s->rank == 4 ? s->dim[1] : -1;
        if (ed->producer[t] < 0) return -1;
        const struct mien_node *n = &ed->g->node[ed->producer[t]];
        struct weights w;
        switch (n->op) {
        case MIEN_OP_CONV:
        case MIEN_OP_CONV_TRANSPOSE: return weights_of(ed->g, n, &w) ? w.outs : -1;
        case MIEN_OP_RELU:
        case MIEN_OP_LEAKYRELU:
        case MIEN_OP_PRELU:
        case MIEN_OP_SIGMOID:
        case MIEN_OP_CLIP:
        case MIEN_OP_MAXPOOL:
        case MIEN_OP_AVGPOOL:
        case MIEN_OP_RESIZE:
        case MIEN_OP_BATCHNORM: t = n->in[0]; break;
        case MIEN_OP_ADD:
        case MIEN_OP_SUB:
        case MIEN_OP_MUL:
        case MIEN_OP_DIV: /* by a constant per channel, which may widen one channel to many: the caller compares */
            if (n->n_in != 2) return -1;
            if (mien_channel_vector(ed->g, n->in[1], 4) > 0) t = n->in[0];
            else if (mien_channel_vector(ed->g, n->in[0], 4) > 0) t = n->in[1];
            else return -1;
            break;
        default: return -1;
        }
    }
    return -1;
}

static bool pads(const struct mien_attrs *a)
{
    return a->auto_pad == 1 || a->auto_pad == 2 || ((a->pad[0] | a->pad[1] | a->pad[2] | a->pad[3]) != 0 && a->auto_pad == 0);
}

/* How many input channels of n's weights belong to one of the map's (made by node m, read through a Flatten or not); 0 when it
 * cannot be folded. */
static int64_t spread_of(const struct mien_edit *ed, const struct mien_node *n, const struct weights *w, const struct affine *a, int m, bool flat)
{
    if (!all_finite(a)) return 0;
    bool shift = !all(a, a->shift, 0), elementwise = ed->g->node[m].op != MIEN_OP_BATCHNORM;
    if (n->op == MIEN_OP_CONV) {
        /* An elementwise constant could have widened its operand: the operand's channels must be known to be these. */
        if (shift && pads(&n->attr)) return 0;
        if (elementwise) return (a->channels == w->ins || a->channels == 1) && known_channels(ed, a->x) == w->ins;
        return a->channels == w->ins;
    }
    if (elementwise) return 0;
    if (n->op == MIEN_OP_CONV_TRANSPOSE) return !shift && a->channels == w->ins;
    return w->ins % a->channels == 0 && (flat || a->channels == w->ins) ? w->ins / a->channels : 0;
}

/* The map feeding node i, through a Flatten when i is a Gemm; *source is its node, *spread as above. */
static enum mien_code map_before(const struct mien_edit *ed, int i, const struct weights *w, struct affine *a, int *source, int64_t *spread)
{
    const struct mien_graph *g = ed->g;
    const struct mien_node *n = &g->node[i];
    int x = n->in[0], flat = n->op == MIEN_OP_GEMM ? mien_edit_from(ed, x, MIEN_OP_FLATTEN) : -1;
    *spread = 0;
    a->scale = NULL;
    if (!mien_edit_single(ed, x)) return MIEN_OK;
    if (flat >= 0) {
        x = g->node[flat].in[0];
        if (g->node[flat].attr.axis != 1 || !mien_edit_single(ed, x)) return MIEN_OK;
    }
    int m = ed->producer[x];
    bool is;
    if (m < 0 || g->node[m].n_out != 1) return MIEN_OK;
    MIEN_TRY(affine_of(ed, m, n->op == MIEN_OP_GEMM ? 1 : 4, a, &is));
    if (!is) return MIEN_OK;
    *source = m;
    *spread = spread_of(ed, n, w, a, m, flat >= 0);
    return MIEN_OK;
}

static enum mien_code try_before(struct mien_edit *ed, int i, bool *folded)
{
    struct mien_graph *g = ed->g;
    struct weights w;
    struct affine a;
    int64_t spread;
    int m = -1;
    *folded = false;
    if (!weights_of(g, &g->node[i], &w)) return MIEN_OK;
    MIEN_TRY(map_before(ed, i, &w, &a, &m, &spread));
    enum mien_code code = MIEN_OK;
    if (spread > 0 && mien_graph_spend(g, count_of(g, g->node[i].in[1]))) {
        code = fold_before(ed, i, &w, &a, spread);
        int y = g->node[m].out[0];
        if (code == MIEN_OK) {
            ed->alias[y] = a.x;
            ed->uses[a.x] += ed->uses[y];
            ed->uses[y] = 0;
            mien_edit_remove(ed, m);
            mien_edit_resolve(ed, i);
            *folded = true;
        }
    }
    free(a.scale);
    return code;
}

enum mien_code mien_pass_affine_before(struct mien_graph *g, struct mien_err *e)
{
    struct mien_edit ed;
    enum mien_code code = mien_edit_begin(&ed, g, e);
    for (int i = 0; code == MIEN_OK && i < g->n_nodes; i++) {
        bool folded = true;
        mien_edit_resolve(&ed, i);
        while (code == MIEN_OK && folded) code = try_before(&ed, i, &folded); /* a chain of maps goes one by one */
    }
    return mien_edit_end(&ed, code);
}
