/* Convolutions computed as one. The heads of a detector are several narrow convolutions of one tensor (SCRFD: 64 channels to 20, 8 and 2;
 * YuNet: to 10, 4, 1 and 1, each followed by a depthwise one). A vector has 16 lanes, so a convolution to 1 channel costs nearly as
 * much as one to 16; side by side they cost what one does. The outputs become channels of one NHWC tensor, which their readers
 * (transposition, reshape) pick up by a strided copy; where something else reads them, nothing is merged. */
#include <string.h>

#include "engine/steps.h"

enum { MAX_CHANNELS = 64 };

static bool depthwise(const struct mien_lower *l, const struct mien_node *n)
{
    const int64_t c = l->g->tensor[n->in[0]].shape.dim[1];
    return n->attr.groups > 0 && n->attr.groups == c && l->g->tensor[n->out[0]].shape.dim[1] == c;
}

static bool plain_conv(const struct mien_lower *l, const struct mien_node *n)
{
    const struct mien_tensor *w = n->op == MIEN_OP_CONV && n->n_in >= 2 && n->in[1] >= 0 ? &l->g->tensor[n->in[1]] : NULL;
    return w != NULL && w->data != NULL && w->type == MIEN_F32 && w->shape.rank == 4 && n->residual < 0 && n->act.kind != MIEN_ACT_PRELU;
}

/* All readers of the tensor only reorder it, or are depthwise convolutions of which that holds. */
static bool only_reordered(const struct mien_lower *l, int tensor, bool through_depthwise)
{
    const struct mien_graph *g = l->g;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct mien_node *n = &g->node[i];
        if (n->residual == tensor) return false;
        for (int k = 0; k < n->n_in; k++) {
            if (n->in[k] != tensor || n->op == MIEN_OP_TRANSPOSE || n->op == MIEN_OP_RESHAPE) continue;
            if (!through_depthwise || k != 0 || !plain_conv(l, n) || !depthwise(l, n) || !only_reordered(l, n->out[0], false)) return false;
        }
    }
    return true;
}

static bool alike(const struct mien_lower *l, const struct mien_node *a, const struct mien_node *b)
{
    const struct mien_attrs *x = &a->attr, *y = &b->attr;
    const struct mien_shape *v = &l->g->tensor[a->in[1]].shape, *w = &l->g->tensor[b->in[1]].shape;
    return v->dim[2] == w->dim[2] && v->dim[3] == w->dim[3] && memcmp(x->stride, y->stride, sizeof x->stride) == 0 &&
           memcmp(x->pad, y->pad, sizeof x->pad) == 0 && memcmp(x->dilation, y->dilation, sizeof x->dilation) == 0 &&
           l->wants_f32[a->out[0]] == l->wants_f32[b->out[0]];
}

static int64_t channels(const struct mien_lower *l, const struct mien_node *n) { return l->g->tensor[n->out[0]].shape.dim[1]; }

/* Depthwise ones over the parts of a merged tensor: all of it, in order, or none. */
static void find_depthwise(struct mien_lower *l, const struct mien_node *n, struct mien_merge *m)
{
    const int whole = l->whole[n->in[0]];
    const struct mien_value *v = &l->p->value[whole];
    struct mien_merge found = {.whole = whole};
    int64_t at = 0;
    bool more = true, itself = false;
    while (more && at < v->shape.dim[1] && found.count < MIEN_MERGE_MAX) { /* the one that reads the channels from `at` on */
        more = false;
        for (int i = 0; i < l->g->n_nodes && !more; i++) {
            const struct mien_node *o = &l->g->node[i];
            if (!plain_conv(l, o) || l->done[i] || l->whole[o->in[0]] != whole || l->p->value[l->value_of[o->in[0]]].offset != v->offset + at) continue;
            if (!depthwise(l, o) || !alike(l, n, o) || !only_reordered(l, o->out[0], false)) continue;
            found.node[found.count++] = o;
            itself = itself || o == n;
            at += channels(l, o);
            more = true;
        }
    }
    if (itself && at == v->shape.dim[1]) *m = found;
}

void mien_merge_find(struct mien_lower *l, const struct mien_node *n, struct mien_merge *m)
{
    *m = (struct mien_merge){.count = 1, .whole = MIEN_NO_VALUE, .node = {n}};
    if (!plain_conv(l, n) || l->g->tensor[n->in[0]].shape.rank != 4) return;
    if (l->whole[n->in[0]] != MIEN_NO_VALUE && depthwise(l, n)) {
        find_depthwise(l, n, m);
        return;
    }
    if (n->attr.groups != 1 || !only_reordered(l, n->out[0], true)) return;
    int64_t total = channels(l, n);
    for (int i = (int)(n - l->g->node) + 1; i < l->g->n_nodes && m->count < MIEN_MERGE_MAX; i++) {
        const struct mien_node *o = &l->g->node[i];
        if (!plain_conv(l, o) || o->in[0] != n->in[0] || o->attr.groups != 1 || total + channels(l, o) > MAX_CHANNELS) continue;
        if (!alike(l, n, o) || !only_reordered(l, o->out[0], true)) continue;
        total += channels(l, o);
        m->node[m->count++] = o;
    }
}

static bool same_act(const struct mien_act *a, const struct mien_act *b)
{
    return a->kind == b->kind && !(a->a < b->a || a->a > b->a) && !(a->b < b->b || a->b > b->b);
}

bool mien_merge_same_act(const struct mien_merge *m)
{
    for (int i = 1; i < m->count; i++)
        if (!same_act(&m->node[0]->act, &m->node[i]->act)) return false;
    return true;
}

enum mien_code mien_merge_bind(struct mien_lower *l, const struct mien_merge *m, int out)
{
    if (m->count == 1 && m->whole == MIEN_NO_VALUE) {
        mien_lower_bind(l, m->node[0]->out[0], out);
        return MIEN_OK;
    }
    const bool acted = mien_merge_same_act(m);
    int64_t at = 0;
    for (int i = 0; i < m->count; i++) {
        const struct mien_node *n = m->node[i];
        const struct mien_shape *shape = &l->g->tensor[n->out[0]].shape;
        int part;
        MIEN_TRY(mien_lower_view(l, out, shape, l->p->value[out].stride, at, &part));
        l->whole[n->out[0]] = out;
        if (!acted && n->act.kind != MIEN_ACT_NONE) { /* its own activation needs memory of its own */
            const int slice = part;
            int64_t stride[MIEN_MAX_RANK];
            mien_stride_nhwc(shape, stride);
            MIEN_TRY(mien_lower_new(l, shape, stride, l->p->value[out].type, &part));
            MIEN_TRY(mien_lower_copy(l, slice, part));
            MIEN_TRY(mien_step_act(l, part, &n->act, NULL));
            l->whole[n->out[0]] = MIEN_NO_VALUE;
        }
        mien_lower_bind(l, n->out[0], part);
        l->done[n - l->g->node] = 1;
        at += channels(l, n);
    }
    return MIEN_OK;
}
