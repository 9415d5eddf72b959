/* Lowering: helpers shared by the files lower_*.c. Values, layouts, copies, life times. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/plan.h"

void *mien_plan_alloc(struct mien_plan *p, size_t n) { return mien_arena_alloc(p->arena, n == 0 ? 1 : n); }

enum mien_code mien_lower_fail(struct mien_lower *l, const char *file, int line, const char *fmt, ...)
{
    char why[120];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return mien_err_set(l->e, MIEN_E_ENGINE_UNSUPPORTED, file, line, "node %.60s (%s): %s", l->node->name, mien_op_name(l->node->op), why);
}

enum mien_code mien_lower_no_memory(struct mien_lower *l) { return MIEN_FAIL(l->e, MIEN_E_NOMEM, "no memory to plan the network"); }

/* Strides */

void mien_stride_plain(const struct mien_shape *s, int64_t *stride)
{
    int64_t n = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        stride[i] = n;
        n *= s->dim[i];
    }
}

void mien_stride_nhwc(const struct mien_shape *s, int64_t *stride)
{
    stride[1] = 1;
    stride[3] = s->dim[1];
    stride[2] = s->dim[1] * s->dim[3];
    stride[0] = stride[2] * s->dim[2];
}

void mien_stride_channels_last(const struct mien_shape *s, int64_t *stride)
{
    int order[MIEN_MAX_RANK] = {0}, n = s->rank > 0;
    for (int i = 2; i < s->rank; i++) order[n++] = i;
    if (s->rank > 1) order[n] = 1;
    mien_stride_by_order(s, order, stride);
}

bool mien_stride_equal(const struct mien_shape *s, const int64_t *a, const int64_t *b)
{
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] != 1 && a[i] != b[i]) return false;
    return true;
}

bool mien_stride_order(const struct mien_value *v, int *axis)
{
    const int n = v->shape.rank;
    int k = 0;
    for (int i = 0; i < n; i++)
        if (v->shape.dim[i] == 1) axis[k++] = i;
    const int ones = k;
    for (int i = 0; i < n; i++) {
        if (v->shape.dim[i] == 1) continue;
        int at = k++;
        for (; at > ones && v->stride[axis[at - 1]] < v->stride[i]; at--) axis[at] = axis[at - 1];
        axis[at] = i;
    }
    int64_t want = 1;
    for (int i = n - 1; i >= ones; i--) {
        if (v->stride[axis[i]] != want) return false;
        want *= v->shape.dim[axis[i]];
    }
    return true;
}

void mien_stride_by_order(const struct mien_shape *s, const int *axis, int64_t *stride)
{
    int64_t n = 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        stride[axis[i]] = n;
        n *= s->dim[axis[i]];
    }
}

size_t mien_value_bytes(const struct mien_value *v) { return (size_t)mien_shape_count(&v->shape) * mien_elem_size(v->type); }

/* Values */

static void *grown(void *p, int n, int *cap, size_t size)
{
    if (n < *cap) return p;
    const int want = *cap == 0 ? 64 : *cap * 2;
    void *q = realloc(p, (size_t)want * size);
    if (q != NULL) *cap = want;
    return q;
}

static struct mien_value *add_value(struct mien_lower *l, const struct mien_shape *s, const int64_t *stride, int *out)
{
    struct mien_plan *p = l->p;
    struct mien_value made = {.shape = *s, .buffer = MIEN_NO_BUFFER, .type = MIEN_F32}; /* s and stride may lie in the table, which moves */
    memcpy(made.stride, stride, (size_t)s->rank * sizeof *stride);
    struct mien_value *table = grown(p->value, p->n_values, &p->cap_values, sizeof *table);
    if (table == NULL) return NULL;
    p->value = table;
    struct mien_value *v = &table[p->n_values];
    *v = made;
    *out = p->n_values++;
    return v;
}

enum mien_code mien_lower_new(struct mien_lower *l, const struct mien_shape *s, const int64_t *stride, enum mien_elem type, int *out)
{
    struct mien_plan *p = l->p;
    struct mien_buffer *table = grown(p->buffer, p->n_buffers, &p->cap_buffers, sizeof *table);
    if (table != NULL) p->buffer = table;
    struct mien_value *v = table == NULL ? NULL : add_value(l, s, stride, out);
    if (v == NULL) return mien_lower_no_memory(l);
    v->type = type;
    v->buffer = p->n_buffers++;
    table[v->buffer] = (struct mien_buffer){.bytes = mien_value_bytes(v), .into = MIEN_NO_BUFFER};
    return MIEN_OK;
}

enum mien_code mien_lower_view(struct mien_lower *l, int of, const struct mien_shape *s, const int64_t *stride, int64_t offset, int *out)
{
    struct mien_value *v = add_value(l, s, stride, out);
    if (v == NULL) return mien_lower_no_memory(l);
    const struct mien_value *src = &l->p->value[of];
    v->buffer = src->buffer;
    v->type = src->type;
    v->offset = src->offset + offset;
    v->data = src->data == NULL ? NULL : src->data + offset;
    return MIEN_OK;
}

void mien_lower_bind(struct mien_lower *l, int tensor, int value)
{
    l->value_of[tensor] = value;
    const int b = l->p->value[value].buffer;
    if (b != MIEN_NO_BUFFER) l->p->buffer[b].uses += l->uses[tensor];
}

bool mien_lower_dies(const struct mien_lower *l, int value, int reads)
{
    const int b = l->p->value[value].buffer;
    return b != MIEN_NO_BUFFER && !l->p->buffer[b].fixed && l->p->buffer[b].uses == reads;
}

struct mien_step *mien_lower_step(struct mien_lower *l, const char *impl, mien_step_fn *run)
{
    struct mien_plan *p = l->p;
    struct mien_step *table = grown(p->step, p->n_steps, &p->cap_steps, sizeof *table);
    const size_t n = strlen(l->node->name) + 1;
    char *name = table == NULL ? NULL : mien_plan_alloc(p, n);
    if (table != NULL) p->step = table;
    if (name == NULL) {
        mien_lower_no_memory(l);
        return NULL;
    }
    memcpy(name, l->node->name, n);
    struct mien_step *s = &table[p->n_steps++];
    *s = (struct mien_step){.op = mien_op_name(l->node->op), .node = name, .run = run, .out = MIEN_NO_VALUE};
    for (int i = 0; i < MIEN_STEP_IN; i++) s->in[i] = MIEN_NO_VALUE;
    snprintf(s->impl, sizeof s->impl, "%s", impl);
    return s;
}

float *mien_lower_floats(struct mien_lower *l, int tensor, size_t *count)
{
    const struct mien_tensor *t = &l->g->tensor[tensor];
    const int64_t n = mien_shape_count(&t->shape);
    if (t->data == NULL || t->type != MIEN_F32 || n < 0) return NULL;
    float *f = mien_plan_alloc(l->p, ((size_t)n + 16) * sizeof *f); /* kernels may load a whole vector at the end */
    if (f != NULL) memcpy(f, t->data, (size_t)n * sizeof *f);
    if (count != NULL) *count = (size_t)n;
    return f;
}

static enum mien_code constant(struct mien_lower *l, int tensor, int *out)
{
    const struct mien_tensor *t = &l->g->tensor[tensor];
    if (t->type != MIEN_F32) return MIEN_LOWER_FAIL(l, "constant %.40s is not of a floating type", t->name);
    const float *data = mien_lower_floats(l, tensor, NULL);
    int64_t stride[MIEN_MAX_RANK];
    mien_stride_plain(&t->shape, stride);
    struct mien_value *v = data == NULL ? NULL : add_value(l, &t->shape, stride, out);
    if (v == NULL) return mien_lower_no_memory(l);
    v->data = data;
    return MIEN_OK;
}

enum mien_code mien_lower_value(struct mien_lower *l, int tensor, int *out)
{
    if (tensor < 0) return MIEN_LOWER_FAIL(l, "an input is missing");
    if (l->value_of[tensor] == MIEN_NO_VALUE && l->deferred[tensor] != MIEN_NO_VALUE) { /* a flattening that nobody could do without */
        const int from = l->deferred[tensor];
        const struct mien_shape *s4 = &l->p->value[from].shape;
        int64_t stride[MIEN_MAX_RANK];
        int plain, flat;
        mien_stride_plain(s4, stride);
        MIEN_TRY(mien_lower_need(l, from, stride, l->p->value[from].type, &plain));
        mien_stride_plain(&l->g->tensor[tensor].shape, stride);
        MIEN_TRY(mien_lower_view(l, plain, &l->g->tensor[tensor].shape, stride, 0, &flat));
        mien_lower_bind(l, tensor, flat);
    }
    if (l->value_of[tensor] == MIEN_NO_VALUE) {
        if (l->g->tensor[tensor].data == NULL) return MIEN_LOWER_FAIL(l, "input %.40s is not made by any node", l->g->tensor[tensor].name);
        MIEN_TRY(constant(l, tensor, &l->value_of[tensor]));
    }
    *out = l->value_of[tensor];
    return MIEN_OK;
}

/* Layout */

/* A constant is laid out anew at once, and kept float32 or turned into bfloat16 (data then points to uint16_t). */
static enum mien_code relayout_constant(struct mien_lower *l, int from, int to)
{
    const struct mien_value *a = &l->p->value[from];
    struct mien_value *b = &l->p->value[to];
    struct mien_copy *c = mien_plan_alloc(l->p, sizeof *c);
    float *data = mien_plan_alloc(l->p, mien_value_bytes(b) + 64);
    if (c == NULL || data == NULL) return mien_lower_no_memory(l);
    *c = (struct mien_copy){.rank = a->shape.rank, .src_type = a->type, .dst_type = b->type};
    memcpy(c->dim, a->shape.dim, sizeof c->dim);
    memcpy(c->src, a->stride, sizeof c->src);
    memcpy(c->dst, b->stride, sizeof c->dst);
    union { const void *in; unsigned char *out; } u = {.in = a->data};
    unsigned char *at[2] = {u.out, (unsigned char *)data};
    const struct mien_step s = {.in = {0}, .out = 1, .more = c};
    mien_run_copy(&s, at, NULL);
    b->data = data;
    return MIEN_OK;
}

enum mien_code mien_lower_copy(struct mien_lower *l, int from, int to)
{
    const struct mien_value *a = &l->p->value[from], *b = &l->p->value[to];
    struct mien_copy *c = mien_plan_alloc(l->p, sizeof *c);
    if (c == NULL) return mien_lower_no_memory(l);
    *c = (struct mien_copy){.rank = a->shape.rank, .src_type = a->type, .dst_type = b->type};
    memcpy(c->dim, a->shape.dim, sizeof c->dim);
    memcpy(c->src, a->stride, sizeof c->src);
    memcpy(c->dst, b->stride, sizeof c->dst);
    struct mien_step *s = mien_lower_step(l, a->type == b->type ? "copy" : "convert", mien_run_copy);
    if (s == NULL) return MIEN_E_NOMEM;
    s->n_in = 1;
    s->in[0] = from;
    s->out = to;
    s->more = c;
    return MIEN_OK;
}

enum mien_code mien_lower_need(struct mien_lower *l, int value, const int64_t *wanted, enum mien_elem type, int *out)
{
    const struct mien_value v = l->p->value[value];
    int64_t stride[MIEN_MAX_RANK];
    memcpy(stride, wanted, (size_t)v.shape.rank * sizeof *stride);
    if (v.type == type && mien_stride_equal(&v.shape, v.stride, stride)) {
        *out = value;
        return MIEN_OK;
    }
    for (int i = 0; i < l->p->n_steps; i++) { /* an earlier reader may have wanted the same */
        const struct mien_step *s = &l->p->step[i];
        if (s->run != mien_run_copy || s->in[0] != value || s->out == MIEN_NO_VALUE) continue;
        const struct mien_value *w = &l->p->value[s->out];
        if (w->type == type && mien_stride_equal(&v.shape, w->stride, stride) && w->buffer != MIEN_NO_BUFFER && l->p->buffer[w->buffer].uses == INT32_MAX / 2) {
            *out = s->out;
            return MIEN_OK;
        }
    }
    if (v.buffer == MIEN_NO_BUFFER) {
        struct mien_value *w = add_value(l, &v.shape, stride, out);
        if (w == NULL) return mien_lower_no_memory(l);
        w->type = type;
        w->offset = 0;
        return relayout_constant(l, value, *out);
    }
    MIEN_TRY(mien_lower_new(l, &v.shape, stride, type, out));
    l->p->buffer[l->p->value[*out].buffer].uses = INT32_MAX / 2; /* shared by all who ask: never written over */
    return mien_lower_copy(l, value, *out);
}

enum mien_code mien_lower_need_plain(struct mien_lower *l, int tensor, enum mien_elem type, int *out)
{
    int v;
    MIEN_TRY(mien_lower_value(l, tensor, &v));
    int64_t stride[MIEN_MAX_RANK];
    mien_stride_plain(&l->p->value[v].shape, stride);
    return mien_lower_need(l, v, stride, type, out);
}

enum mien_code mien_lower_need_nhwc(struct mien_lower *l, int tensor, enum mien_elem type, int *out)
{
    int v;
    MIEN_TRY(mien_lower_value(l, tensor, &v));
    if (l->p->value[v].shape.rank != 4) return MIEN_LOWER_FAIL(l, "input of rank %d; only two spatial axes are supported", l->p->value[v].shape.rank);
    int64_t stride[MIEN_MAX_RANK];
    mien_stride_nhwc(&l->p->value[v].shape, stride);
    return mien_lower_need(l, v, stride, type, out);
}

enum mien_code mien_lower_need_dense(struct mien_lower *l, int tensor, enum mien_elem type, int *out)
{
    int v, axis[MIEN_MAX_RANK];
    MIEN_TRY(mien_lower_value(l, tensor, &v));
    const struct mien_value *value = &l->p->value[v];
    int64_t stride[MIEN_MAX_RANK];
    if (mien_stride_order(value, axis)) memcpy(stride, value->stride, sizeof stride);
    else if (value->shape.rank == 4) mien_stride_nhwc(&value->shape, stride);
    else mien_stride_plain(&value->shape, stride);
    return mien_lower_need(l, v, stride, type, out);
}

enum mien_elem mien_lower_type(const struct mien_lower *l, int tensor) { return l->wants_f32[tensor] ? MIEN_F32 : l->type; }

enum mien_code mien_lower_slopes(struct mien_lower *l, int tensor, int64_t channels, const float **out, bool *equal)
{
    size_t n = 0;
    const float *given = mien_lower_floats(l, tensor, &n);
    if (given == NULL) return MIEN_LOWER_FAIL(l, "the slope is not a constant");
    if (n != 1 && n != (size_t)channels) return MIEN_LOWER_FAIL(l, "%zu slopes for %lld channels", n, (long long)channels);
    float *all = mien_plan_alloc(l->p, ((size_t)channels + 16) * sizeof *all);
    if (all == NULL) return mien_lower_no_memory(l);
    *equal = true;
    for (size_t c = 0; c < (size_t)channels; c++) {
        all[c] = given[n == 1 ? 0 : c];
        if (all[c] != all[0]) *equal = false;
    }
    *out = all;
    return MIEN_OK;
}
