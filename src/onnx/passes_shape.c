/* Passes over a graph with concrete shapes that remove or simplify the moving of data. */
#include "onnx/passes.h"

#include <float.h>

static const struct mien_shape *shape(const struct mien_graph *g, int id) { return &g->tensor[id].shape; }

static bool same_shape(const struct mien_shape *a, const struct mien_shape *b)
{
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

static bool no_pads(const struct mien_attrs *a) { return (a->pad[0] | a->pad[1] | a->pad[2] | a->pad[3]) == 0; }

/* The dimensions other than 1 keep their order: only the shape changes, not the data. */
static bool transpose_moves_nothing(const struct mien_node *n, const struct mien_shape *x)
{
    int last = -1;
    for (int i = 0; i < x->rank; i++) {
        int from = n->attr.perm[i];
        if (x->dim[from] == 1) continue;
        if (from < last) return false;
        last = from;
    }
    return true;
}

static bool reduces_nothing(const struct mien_node *n, const struct mien_shape *x)
{
    for (int i = 0; i < n->attr.n_axes; i++)
        if (x->dim[n->attr.axes[i]] != 1) return false;
    return true;
}

/* The node only gives its data another shape (or the same). */
static bool only_reshapes(const struct mien_graph *g, const struct mien_node *n)
{
    const struct mien_shape *x = shape(g, n->in[0]), *y = shape(g, n->out[0]);
    const struct mien_attrs *a = &n->attr;
    bool same = same_shape(x, y);
    switch (n->op) {
    case MIEN_OP_RESHAPE:
    case MIEN_OP_FLATTEN:
    case MIEN_OP_SQUEEZE:
    case MIEN_OP_UNSQUEEZE: return true;
    case MIEN_OP_TRANSPOSE: return transpose_moves_nothing(n, x);
    case MIEN_OP_CAST: return g->tensor[n->in[0]].type == g->tensor[n->out[0]].type;
    case MIEN_OP_EXPAND:
    case MIEN_OP_TILE: return mien_shape_count(x) == mien_shape_count(y);
    case MIEN_OP_SLICE:
        for (int i = 0; i < x->rank; i++) same &= a->steps[i] == 1;
        return same;
    case MIEN_OP_PAD:
        for (int i = 0; i < 2 * x->rank; i++) same &= a->pads[i] == 0;
        return same;
    case MIEN_OP_RESIZE: return same && a->scale[0] >= 1 && a->scale[0] <= 1 && a->scale[1] >= 1 && a->scale[1] <= 1;
    case MIEN_OP_CONCAT: return n->n_in == 1;
    case MIEN_OP_SPLIT: return n->n_out == 1;
    case MIEN_OP_MAXPOOL:
    case MIEN_OP_AVGPOOL: return same && a->kernel[0] == 1 && a->kernel[1] == 1 && a->stride[0] == 1 && a->stride[1] == 1 && no_pads(a);
    case MIEN_OP_GLOBALAVGPOOL:
    case MIEN_OP_GLOBALMAXPOOL: return same;
    case MIEN_OP_DEPTHTOSPACE:
    case MIEN_OP_SPACETODEPTH: return a->block == 1;
    case MIEN_OP_REDUCEMEAN:
    case MIEN_OP_REDUCESUM:
    case MIEN_OP_REDUCEMAX:
    case MIEN_OP_REDUCEMIN: return reduces_nothing(n, x); /* not ReduceL2, which is the absolute value then */
    default: return false;
    }
}

static void make_reshape(struct mien_node *n)
{
    n->op = MIEN_OP_RESHAPE;
    n->attr = (struct mien_attrs){0};
    n->n_in = 1;
}

/* Reshape of a reshape reads the first one's source; one that changes nothing goes. */
static void simplify_reshape(struct mien_edit *ed, int i)
{
    struct mien_graph *g = ed->g;
    make_reshape(&g->node[i]);
    int q = mien_edit_from(ed, g->node[i].in[0], MIEN_OP_RESHAPE);
    if (q >= 0) mien_edit_set_input(ed, i, 0, g->node[q].in[0]);
    const struct mien_node *n = &g->node[i];
    int x = n->in[0], y = n->out[0];
    if (!same_shape(shape(g, x), shape(g, y)) || g->tensor[x].type != g->tensor[y].type || mien_edit_bypass(ed, i, x)) return;
    g->node[i].op = MIEN_OP_CAST; /* an input or a constant that is an output: a copy */
    g->node[i].attr.to = g->tensor[x].type;
}

/* Transposes in a row are one. */
static bool compose_transpose(struct mien_edit *ed, int i)
{
    struct mien_graph *g = ed->g;
    int q = mien_edit_from(ed, g->node[i].in[0], MIEN_OP_TRANSPOSE);
    if (q < 0) return false;
    struct mien_node *n = &g->node[i];
    for (int k = 0; k < n->attr.n_perm; k++) n->attr.perm[k] = g->node[q].attr.perm[n->attr.perm[k]];
    mien_edit_set_input(ed, i, 0, g->node[q].in[0]);
    return true;
}

/* Softmax before opset 13 over several dimensions: flattened to two, and back. */
static enum mien_code flatten_softmax(struct mien_edit *ed, int i)
{
    struct mien_graph *g = ed->g;
    struct mien_node *n = &g->node[i];
    const struct mien_shape *x = shape(g, n->in[0]);
    struct mien_shape flat = {.rank = 2, .dim = {1, 1}};
    for (int k = 0; k < x->rank; k++) flat.dim[k >= n->attr.axis] *= x->dim[k];
    const char *name = n->name;
    int before = mien_graph_node(g, name, MIEN_OP_RESHAPE, 1, 1), after = mien_graph_node(g, name, MIEN_OP_RESHAPE, 1, 1);
    int a = mien_graph_tensor(g, name), b = mien_graph_tensor(g, name);
    if (before < 0 || after < 0 || a < 0 || b < 0) return MIEN_NO_MEMORY(ed->e);
    MIEN_TRY(mien_edit_grow(ed));
    n = &g->node[i];
    g->tensor[a].shape = g->tensor[b].shape = flat;
    g->tensor[a].type = g->tensor[b].type = g->tensor[n->in[0]].type;
    g->node[before].in[0] = n->in[0];
    g->node[before].out[0] = n->in[0] = a;
    g->node[after].out[0] = n->out[0];
    g->node[after].in[0] = n->out[0] = b;
    n->attr.axis = 1;
    n->attr.legacy = false;
    ed->producer[g->node[after].out[0]] = after;
    ed->producer[a] = before;
    ed->producer[b] = i;
    ed->uses[a] = ed->uses[b] = 1;
    return MIEN_OK;
}

/* Nearest-neighbour enlargement by whole factors where every rule of rounding picks the same pixel: one canonical form. */
static void simplify_resize(struct mien_node *n)
{
    struct mien_attrs *a = &n->attr;
    if (a->resize_mode != 0) return;
    bool whole = true, twice = true;
    for (int d = 0; d < 2; d++) {
        whole &= a->scale[d] >= 1 && a->scale[d] <= 64 && (float)(int)a->scale[d] >= a->scale[d];
        twice &= whole && a->scale[d] <= 2;
    }
    /* half_pixel: (x + 0.5) / s - 0.5 lies within (-0.5, 0.5) of x / s rounded down. asymmetric: halves go down for s = 2. */
    bool centred = (a->resize_coord == 0 || a->resize_coord == 3) && (a->resize_nearest == 0 || a->resize_nearest == 3);
    if (whole && (centred || (twice && a->resize_coord == 1 && a->resize_nearest == 0))) {
        a->resize_coord = 1;
        a->resize_nearest = 1;
    }
}

enum mien_code mien_pass_cleanup(struct mien_graph *g, struct mien_err *e)
{
    struct mien_edit ed;
    enum mien_code code = mien_edit_begin(&ed, g, e);
    int n_nodes = g->n_nodes; /* appended ones are done */
    for (int i = 0; code == MIEN_OK && i < n_nodes; i++) {
        mien_edit_resolve(&ed, i);
        if (g->node[i].n_in < 1 || (int)g->node[i].op == MIEN_OP_REMOVED) continue;
        if (g->node[i].op == MIEN_OP_TRANSPOSE) (void)compose_transpose(&ed, i);
        if (g->node[i].op == MIEN_OP_SOFTMAX && g->node[i].attr.legacy) code = flatten_softmax(&ed, i);
        if (g->node[i].op == MIEN_OP_RESIZE) simplify_resize(&g->node[i]);
        if (only_reshapes(g, &g->node[i])) simplify_reshape(&ed, i);
    }
    return mien_edit_end(&ed, code);
}

/* ---- global pooling ---- */

static bool spatial_axes(const struct mien_attrs *a, int rank)
{
    return rank == 4 && a->n_axes == 2 && a->axes[0] == 2 && a->axes[1] == 3;
}

/* Reduction of a transposed tensor without keeping dimensions: of the original, when the kept dimensions keep their order. */
static void reduce_through_transpose(struct mien_edit *ed, int i)
{
    struct mien_graph *g = ed->g;
    struct mien_node *n = &g->node[i];
    int q = mien_edit_from(ed, n->in[0], MIEN_OP_TRANSPOSE);
    if (q < 0 || shape(g, n->out[0])->rank != shape(g, n->in[0])->rank - n->attr.n_axes) return;
    const int *perm = g->node[q].attr.perm;
    unsigned reduced = 0, original = 0;
    for (int k = 0; k < n->attr.n_axes; k++) reduced |= 1u << n->attr.axes[k];
    int last = -1, rank = g->node[q].attr.n_perm;
    for (int k = 0; k < rank; k++) {
        if (reduced >> k & 1) {
            original |= 1u << perm[k];
        } else {
            if (perm[k] < last) return;
            last = perm[k];
        }
    }
    n->attr.n_axes = 0;
    for (int k = 0; k < rank; k++)
        if (original >> k & 1) n->attr.axes[n->attr.n_axes++] = k;
    mien_edit_set_input(ed, i, 0, g->node[q].in[0]);
}

static enum mien_code pool_from_reduction(struct mien_edit *ed, int i)
{
    struct mien_graph *g = ed->g;
    struct mien_node *n = &g->node[i];
    enum mien_op op = n->op == MIEN_OP_REDUCEMEAN ? MIEN_OP_GLOBALAVGPOOL : MIEN_OP_GLOBALMAXPOOL;
    const struct mien_shape x = *shape(g, n->in[0]);
    if (!spatial_axes(&n->attr, x.rank)) return MIEN_OK;
    n->op = op;
    n->attr = (struct mien_attrs){0};
    if (shape(g, n->out[0])->rank == 4) return MIEN_OK;
    const char *name = n->name;
    int after = mien_graph_node(g, name, MIEN_OP_RESHAPE, 1, 1), pooled = mien_graph_tensor(g, name);
    if (after < 0 || pooled < 0) return MIEN_NO_MEMORY(ed->e);
    MIEN_TRY(mien_edit_grow(ed));
    n = &g->node[i];
    g->tensor[pooled].type = g->tensor[n->in[0]].type;
    g->tensor[pooled].shape = (struct mien_shape){.rank = 4, .dim = {x.dim[0], x.dim[1], 1, 1}};
    g->node[after].out[0] = n->out[0];
    g->node[after].in[0] = n->out[0] = pooled;
    ed->producer[g->node[after].out[0]] = after;
    ed->producer[pooled] = i;
    ed->uses[pooled] = 1;
    return MIEN_OK;
}

/* ReduceMean and ReduceMax over height and width, and pools whose window is the whole picture, are global pools. */
enum mien_code mien_pass_global_pool(struct mien_graph *g, struct mien_err *e)
{
    struct mien_edit ed;
    enum mien_code code = mien_edit_begin(&ed, g, e);
    int n_nodes = g->n_nodes;
    for (int i = 0; code == MIEN_OK && i < n_nodes; i++) {
        mien_edit_resolve(&ed, i);
        struct mien_node *n = &g->node[i];
        if (n->op == MIEN_OP_REDUCEMEAN || n->op == MIEN_OP_REDUCEMAX) {
            reduce_through_transpose(&ed, i);
            code = pool_from_reduction(&ed, i);
        } else if (n->op == MIEN_OP_AVGPOOL || n->op == MIEN_OP_MAXPOOL) {
            const struct mien_shape *x = shape(g, n->in[0]), *y = shape(g, n->out[0]);
            if (!no_pads(&n->attr) || y->dim[2] != 1 || y->dim[3] != 1 || n->attr.kernel[0] != x->dim[2] || n->attr.kernel[1] != x->dim[3]) continue;
            n->op = n->op == MIEN_OP_AVGPOOL ? MIEN_OP_GLOBALAVGPOOL : MIEN_OP_GLOBALMAXPOOL;
            n->attr = (struct mien_attrs){0};
        }
    }
    return mien_edit_end(&ed, code);
}

/* ---- padding ---- */

/* Values are never below zero. */
static bool not_negative(const struct mien_edit *ed, int t)
{
    if (t < 0 || ed->producer[t] < 0) return false;
    const struct mien_node *n = &ed->g->node[ed->producer[t]];
    return n->op == MIEN_OP_RELU || n->op == MIEN_OP_SIGMOID || n->op == MIEN_OP_EXP || n->op == MIEN_OP_HARDSIGMOID ||
           (n->op == MIEN_OP_CLIP && n->attr.alpha >= 0);
}

/* Would the window's own padding do the same as this Pad? */
static bool pad_fits(const struct mien_edit *ed, const struct mien_node *n, const struct mien_node *pad)
{
    const struct mien_attrs *p = &pad->attr, *a = &n->attr;
    bool zero = p->pad_value >= 0 && p->pad_value <= 0;
    if (p->pad_mode != 0 || shape(ed->g, pad->in[0])->rank != 4) return false;
    for (int i = 0; i < 8; i++)
        if (p->pads[i] < 0 || p->pads[i] > 1024 || (i % 4 < 2 && p->pads[i] != 0)) return false;
    if (n->op == MIEN_OP_CONV) return zero;
    if (a->ceil_mode) return false;
    if (n->op == MIEN_OP_AVGPOOL) return zero && (a->count_include_pad || no_pads(a));
    /* MaxPool pads with minus infinity: the same where the padding cannot win, and every window sees a pixel. */
    bool loses = p->pad_value <= -FLT_MAX || (zero && not_negative(ed, pad->in[0]));
    for (int d = 0; d < 2; d++) {
        int64_t reach = (int64_t)(a->kernel[d] - 1) * a->dilation[d] + 1;
        loses &= a->dilation[d] == 1 && p->pads[2 + d] + a->pad[d] < reach && p->pads[6 + d] + a->pad[d + 2] < reach;
    }
    return loses;
}

/* A Pad goes into the padding of the convolution or pool that reads it, where that is exact. */
enum mien_code mien_pass_pad(struct mien_graph *g, struct mien_err *e)
{
    struct mien_edit ed;
    enum mien_code code = mien_edit_begin(&ed, g, e);
    for (int i = 0; code == MIEN_OK && i < g->n_nodes; i++) {
        mien_edit_resolve(&ed, i);
        struct mien_node *n = &g->node[i];
        if (n->op != MIEN_OP_CONV && n->op != MIEN_OP_AVGPOOL && n->op != MIEN_OP_MAXPOOL) continue;
        int q = mien_edit_from(&ed, n->in[0], MIEN_OP_PAD);
        if (q < 0 || !pad_fits(&ed, n, &g->node[q])) continue;
        const int64_t *p = g->node[q].attr.pads;
        if (n->op == MIEN_OP_AVGPOOL) n->attr.count_include_pad = true;
        n->attr.pad[0] += (int)p[2];
        n->attr.pad[1] += (int)p[3];
        n->attr.pad[2] += (int)p[6];
        n->attr.pad[3] += (int)p[7];
        mien_edit_set_input(&ed, i, 0, g->node[q].in[0]);
    }
    return mien_edit_end(&ed, code);
}
