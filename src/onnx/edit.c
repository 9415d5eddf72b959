/* The bookkeeping that passes share: who makes a tensor, how many read it, which tensor stands for which. */
#include "onnx/passes.h"

#include <stdlib.h>

static void *widened(void *p, int old, int n, size_t size)
{
    void *q = realloc(p, (size_t)(n > 0 ? n : 1) * size);
    if (q != NULL && n > old) memset((char *)q + (size_t)old * size, 0, (size_t)(n - old) * size);
    return q;
}

enum mien_code mien_edit_grow(struct mien_edit *ed)
{
    int n = ed->g->n_tensors, old = ed->n;
    int *producer = widened(ed->producer, old, n, sizeof *producer);
    if (producer != NULL) ed->producer = producer;
    int *uses = widened(ed->uses, old, n, sizeof *uses);
    if (uses != NULL) ed->uses = uses;
    int *alias = widened(ed->alias, old, n, sizeof *alias);
    if (alias != NULL) ed->alias = alias;
    unsigned char *output = widened(ed->output, old, n, 1);
    if (output != NULL) ed->output = output;
    unsigned char *input = widened(ed->input, old, n, 1);
    if (input != NULL) ed->input = input;
    if (!producer || !uses || !alias || !output || !input) return MIEN_NO_MEMORY(ed->e);
    for (int i = old; i < n; i++) {
        producer[i] = -1;
        alias[i] = i;
    }
    ed->n = n;
    return MIEN_OK;
}

enum mien_code mien_edit_begin(struct mien_edit *ed, struct mien_graph *g, struct mien_err *e)
{
    *ed = (struct mien_edit){.g = g, .e = e};
    MIEN_TRY(mien_edit_grow(ed));
    for (int i = 0; i < g->n_nodes; i++) {
        const struct mien_node *n = &g->node[i];
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] >= 0) ed->uses[n->in[k]]++;
        if (n->residual >= 0) ed->uses[n->residual]++;
        if (n->act.slope >= 0) ed->uses[n->act.slope]++;
        for (int k = 0; k < n->n_out; k++)
            if (n->out[k] >= 0) ed->producer[n->out[k]] = i;
    }
    for (int i = 0; i < g->n_outputs; i++) {
        ed->uses[g->output[i]]++;
        ed->output[g->output[i]] = 1;
    }
    for (int i = 0; i < g->n_inputs; i++) ed->input[g->input[i]] = 1;
    return MIEN_OK;
}

static int stands_for(struct mien_edit *ed, int t)
{
    while (t >= 0 && ed->alias[t] != t) t = ed->alias[t] = ed->alias[ed->alias[t]];
    return t;
}

void mien_edit_resolve(struct mien_edit *ed, int i)
{
    struct mien_node *n = &ed->g->node[i];
    for (int k = 0; k < n->n_in; k++) n->in[k] = stands_for(ed, n->in[k]);
    n->residual = stands_for(ed, n->residual);
    n->act.slope = stands_for(ed, n->act.slope);
}

enum mien_code mien_edit_end(struct mien_edit *ed, enum mien_code code)
{
    struct mien_graph *g = ed->g;
    if (code == MIEN_OK) {
        for (int i = 0; i < g->n_nodes; i++) mien_edit_resolve(ed, i);
        for (int i = 0; i < g->n_outputs; i++) g->output[i] = stands_for(ed, g->output[i]);
    }
    free(ed->producer);
    free(ed->uses);
    free(ed->alias);
    free(ed->output);
    free(ed->input);
    if (code == MIEN_OK) code = mien_graph_sort(g, ed->e);
    if (code == MIEN_OK) code = mien_graph_sweep(g, ed->e);
    return code;
}

bool mien_edit_single(const struct mien_edit *ed, int tensor)
{
    return tensor >= 0 && ed->uses[tensor] == 1 && !ed->output[tensor] && !ed->input[tensor];
}

int mien_edit_from(const struct mien_edit *ed, int tensor, enum mien_op op)
{
    if (tensor < 0 || ed->producer[tensor] < 0) return -1;
    int i = ed->producer[tensor];
    return ed->g->node[i].op == op && ed->g->node[i].out[0] == tensor ? i : -1;
}

void mien_edit_remove(struct mien_edit *ed, int node)
{
    struct mien_node *n = &ed->g->node[node];
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] >= 0) ed->uses[n->in[k]]--;
    if (n->residual >= 0) ed->uses[n->residual]--;
    if (n->act.slope >= 0) ed->uses[n->act.slope]--;
    n->op = (enum mien_op)MIEN_OP_REMOVED;
    n->n_in = n->n_out = 0;
    n->residual = n->act.slope = MIEN_NO_TENSOR;
}

bool mien_edit_bypass(struct mien_edit *ed, int i, int source)
{
    int y = ed->g->node[i].out[0];
    if (ed->output[y]) {
        /* The source takes over the output's name; impossible when it has a name of its own to keep. */
        if (ed->output[source] || ed->input[source] || mien_is_const(ed->g, source)) return false;
        ed->output[source] = 1;
        ed->g->tensor[source].name = ed->g->tensor[y].name;
    }
    ed->uses[source] += ed->uses[y];
    ed->uses[y] = 0;
    ed->alias[y] = source;
    mien_edit_remove(ed, i);
    return true;
}

void mien_edit_absorb(struct mien_edit *ed, int p, int i)
{
    int x = ed->g->node[p].out[0], y = ed->g->node[i].out[0];
    ed->g->node[p].out[0] = y;
    ed->producer[y] = p;
    mien_edit_remove(ed, i);
    ed->uses[x] = 0;
    ed->producer[x] = -1;
}

void mien_edit_set_input(struct mien_edit *ed, int node, int k, int tensor)
{
    int *at = &ed->g->node[node].in[k];
    if (*at >= 0) ed->uses[*at]--;
    *at = tensor;
    if (tensor >= 0) ed->uses[tensor]++;
}
