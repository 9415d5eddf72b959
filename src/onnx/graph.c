/* The graph itself: memory, order, sweeping, printing. */
#include "onnx/graph.h"

#include <inttypes.h>
#include <stdlib.h>

#include "onnx/internal.h"

size_t mien_elem_size(enum mien_elem t)
{
    switch (t) {
    case MIEN_ELEM_NONE: return 0;
    case MIEN_I8:
    case MIEN_U8:
    case MIEN_BOOL: return 1;
    case MIEN_F16:
    case MIEN_BF16: return 2;
    case MIEN_F32:
    case MIEN_I32: return 4;
    case MIEN_F64:
    case MIEN_I64: return 8;
    }
    return 0;
}

int64_t mien_shape_count(const struct mien_shape *s)
{
    if (s->rank < 0) return -1;
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] < 0 || __builtin_mul_overflow(n, s->dim[i], &n)) return -1;
    return n;
}

const char *mien_op_name(enum mien_op op)
{
    static const char *const name[] = {
#define X(id, text) text,
        MIEN_OPS(X)
#undef X
    };
    if ((int)op == MIEN_OP_IDENTITY) return "Identity";
    return (unsigned)op < MIEN_OP_COUNT ? name[op] : "?";
}

struct mien_graph *mien_graph_new(size_t arena_cap)
{
    struct mien_graph *g = calloc(1, sizeof *g);
    struct mien_graph_own *own = calloc(1, sizeof *own);
    struct mien_arena *a = mien_arena_create(arena_cap);
    if (g == NULL || own == NULL || a == NULL) {
        free(g);
        free(own);
        mien_arena_free(&a);
        return NULL;
    }
    own->arena = a;
    g->own = own;
    g->producer = "";
    return g;
}

void mien_graph_free(struct mien_graph **pg)
{
    if (pg == NULL || *pg == NULL) return;
    struct mien_graph *g = *pg;
    mien_arena_free(&g->own->arena);
    free(g->own);
    free(g->tensor);
    free(g->node);
    free(g);
    *pg = NULL;
}

void *mien_graph_alloc(struct mien_graph *g, size_t n) { return mien_arena_alloc(g->own->arena, n); }

bool mien_graph_spend(struct mien_graph *g, uint64_t elements)
{
    if (elements > MIEN_MAX_FOLDING - g->own->work) return false;
    g->own->work += elements;
    return true;
}

/* The two tables grow by doubling with what was really read. */
static void *grown(void *p, int *cap, int want, int limit, size_t size)
{
    if (want <= *cap) return p;
    if (want > limit) return NULL;
    int n = *cap < 64 ? 64 : *cap;
    while (n < want) n *= 2;
    void *q = realloc(p, (size_t)n * size);
    if (q != NULL) *cap = n;
    return q;
}

int mien_graph_tensor(struct mien_graph *g, const char *name)
{
    void *p = grown(g->tensor, &g->own->cap_tensors, g->n_tensors + 1, MIEN_MAX_TENSORS, sizeof *g->tensor);
    if (p == NULL) return -1;
    g->tensor = p;
    g->tensor[g->n_tensors] = (struct mien_tensor){.name = name, .shape.rank = -1};
    return g->n_tensors++;
}

int mien_graph_node(struct mien_graph *g, const char *name, int op, int n_in, int n_out)
{
    void *p = grown(g->node, &g->own->cap_nodes, g->n_nodes + 1, MIEN_MAX_NODES, sizeof *g->node);
    if (p == NULL) return -1;
    g->node = p;
    int *ids = mien_graph_alloc(g, (size_t)(n_in + n_out) * sizeof *ids);
    if (ids == NULL) return -1;
    for (int i = 0; i < n_in + n_out; i++) ids[i] = MIEN_NO_TENSOR;
    g->node[g->n_nodes] = (struct mien_node){.name = name, .op = (enum mien_op)op, .n_in = n_in, .n_out = n_out, .in = ids,
                                             .out = ids + n_in, .residual = MIEN_NO_TENSOR, .act.slope = MIEN_NO_TENSOR};
    return g->n_nodes++;
}

bool mien_node_widen(struct mien_graph *g, int node, int n_in)
{
    struct mien_node *n = &g->node[node];
    if (n->n_in >= n_in) return true;
    int *in = mien_graph_alloc(g, sizeof *in * (size_t)n_in);
    if (in == NULL) return false;
    for (int k = 0; k < n_in; k++) in[k] = k < n->n_in ? n->in[k] : MIEN_NO_TENSOR;
    n->in = in;
    n->n_in = n_in;
    return true;
}

int mien_graph_const_f32(struct mien_graph *g, const char *name, const struct mien_shape *s, float **data)
{
    int64_t n = mien_shape_count(s);
    if (n < 0 || n > MIEN_MAX_ELEMENTS) return -1;
    float *p = mien_arena_calloc(g->own->arena, (size_t)n, sizeof *p);
    int id = p == NULL ? -1 : mien_graph_tensor(g, name);
    if (id < 0) return -1;
    g->tensor[id].type = MIEN_F32;
    g->tensor[id].shape = *s;
    g->tensor[id].data = *data = p;
    g->tensor[id].bytes = (size_t)n * sizeof *p;
    g->tensor[id].owned = true;
    return id;
}

/* Every tensor a node reads: k = 0 .. n_in + 1; MIEN_NO_TENSOR where there is none. */
static int reads(const struct mien_node *n, int k)
{
    if (k < n->n_in) return n->in[k];
    return k == n->n_in ? n->residual : n->act.slope;
}

static int *int_table(int n, int value)
{
    int *t = malloc((size_t)(n > 0 ? n : 1) * sizeof *t);
    for (int i = 0; t != NULL && i < n; i++) t[i] = value;
    return t;
}

/* Depth-first from each node in turn, producers first; `stack` holds the path, state 1 = on it, 2 = placed. */
static int place(const struct mien_graph *g, int root, const int *producer, int *state, int *next, int *stack, int *order, int at)
{
    int depth = 0;
    stack[depth++] = root;
    while (depth > 0) {
        int i = stack[depth - 1], before = -1;
        const struct mien_node *n = &g->node[i];
        state[i] = 1;
        while (next[i] < n->n_in + 2 && before < 0) {
            int t = reads(n, next[i]++);
            int p = t < 0 ? -1 : producer[t];
            if (p < 0 || state[p] == 2) continue;
            if (state[p] == 1) return -1 - i;
            before = p;
        }
        if (before >= 0) {
            stack[depth++] = before;
        } else {
            state[i] = 2;
            order[at++] = i;
            depth--;
        }
    }
    return at;
}

enum mien_code mien_graph_sort(struct mien_graph *g, struct mien_err *e)
{
    enum mien_code code = MIEN_OK;
    int n = g->n_nodes, at = 0;
    int *producer = int_table(g->n_tensors, -1), *state = int_table(n, 0), *next = int_table(n, 0);
    int *stack = int_table(n, 0), *order = int_table(n, 0);
    struct mien_node *sorted = malloc((size_t)(n > 0 ? n : 1) * sizeof *sorted);
    if (!producer || !state || !next || !stack || !order || !sorted) {
        code = MIEN_NO_MEMORY(e);
        goto done;
    }
    for (int i = 0; i < n; i++)
        for (int k = 0; k < g->node[i].n_out; k++)
            if (g->node[i].out[k] >= 0) producer[g->node[i].out[k]] = i;
    for (int i = 0; i < n; i++) {
        if (state[i] != 0) continue;
        at = place(g, i, producer, state, next, stack, order, at);
        if (at < 0) {
            code = MIEN_FAIL(e, MIEN_E_ONNX_FORMAT, "node %.60s depends on its own result", g->node[-1 - at].name);
            goto done;
        }
    }
    for (int i = 0; i < n; i++) sorted[i] = g->node[order[i]];
    if (n > 0) memcpy(g->node, sorted, (size_t)n * sizeof *sorted);
done:
    free(producer);
    free(state);
    free(next);
    free(stack);
    free(order);
    free(sorted);
    return code;
}

static void drop_useless_nodes(struct mien_graph *g, int *needed)
{
    for (int i = 0; i < g->n_outputs; i++) needed[g->output[i]] = 1;
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        struct mien_node *n = &g->node[i];
        bool keep = false;
        for (int k = 0; k < n->n_out; k++) keep |= n->out[k] >= 0 && needed[n->out[k]];
        if ((int)n->op == MIEN_OP_REMOVED || !keep) {
            n->op = (enum mien_op)MIEN_OP_REMOVED;
            continue;
        }
        for (int k = 0; k < n->n_in + 2; k++)
            if (reads(n, k) >= 0) needed[reads(n, k)] = 1;
        for (int k = 0; k < n->n_out; k++)
            if (n->out[k] >= 0) needed[n->out[k]] = 1;
    }
    int live = 0;
    for (int i = 0; i < g->n_nodes; i++)
        if ((int)g->node[i].op != MIEN_OP_REMOVED) g->node[live++] = g->node[i];
    g->n_nodes = live;
    for (int i = 0; i < g->n_inputs; i++) needed[g->input[i]] = 1;
}

static void renumber(int *id, const int *new_id)
{
    if (*id >= 0) *id = new_id[*id];
}

enum mien_code mien_graph_sweep(struct mien_graph *g, struct mien_err *e)
{
    int *map = int_table(g->n_tensors, 0);
    if (map == NULL) return MIEN_NO_MEMORY(e);
    drop_useless_nodes(g, map);
    int live = 0;
    for (int i = 0; i < g->n_tensors; i++) {
        int keep = map[i];
        map[i] = keep ? live : MIEN_NO_TENSOR;
        if (keep) g->tensor[live++] = g->tensor[i];
    }
    g->n_tensors = live;
    for (int i = 0; i < g->n_nodes; i++) {
        struct mien_node *n = &g->node[i];
        for (int k = 0; k < n->n_in; k++) renumber(&n->in[k], map);
        for (int k = 0; k < n->n_out; k++) renumber(&n->out[k], map);
        renumber(&n->residual, map);
        renumber(&n->act.slope, map);
    }
    for (int i = 0; i < g->n_inputs; i++) renumber(&g->input[i], map);
    for (int i = 0; i < g->n_outputs; i++) renumber(&g->output[i], map);
    free(map);
    return MIEN_OK;
}
