/* Networks: opening, and the cache of plans. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "engine/plan.h"

enum { MAX_FILE_BYTES = 1 << 30, PLAN_ARENA_BYTES = 1 << 30 };

void mien_net_settings_default(struct mien_net_settings *s) { *s = (struct mien_net_settings){MIEN_PRECISION_AUTO, true, 8}; }

/* AMX or AVX-512 BF16, visible to us and not hidden from oneDNN. bfloat16 emulated on plain AVX-512 would be slower than float32. */
static enum mien_elem choose_type(const struct mien_net_settings *s)
{
    if (s->precision != MIEN_PRECISION_AUTO) return s->precision == MIEN_PRECISION_BF16 ? MIEN_BF16 : MIEN_F32;
    const bool native = (mien_cpu_flags() & (MIEN_CPU_AVX512_BF16 | MIEN_CPU_AMX_BF16)) != 0;
    return native && s->allow_bf16 && mien_dnn_has_bf16() ? MIEN_BF16 : MIEN_F32;
}

static enum mien_code open_parsed(struct mien_net *n, const unsigned char *data, size_t size, struct mien_err *e)
{
    MIEN_FAIL_IF(n->settings.max_plans < 1 || n->settings.max_plans > 64, e, MIEN_E_ARG, "max_plans is %d; 1 to 64 are possible", n->settings.max_plans);
    MIEN_TRY(mien_onnx_parse(data, size, &n->graph, e));
    n->type = choose_type(&n->settings);
    n->weights = mien_weight_cache_new();
    n->lock = malloc(sizeof(pthread_mutex_t));
    MIEN_FAIL_IF(n->weights == NULL || n->lock == NULL, e, MIEN_E_NOMEM, "no memory for network %s", n->name);
    pthread_mutex_init(n->lock, NULL);
    MIEN_FAIL_IF(n->graph->n_inputs > MIEN_MAX_NODE_IN, e, MIEN_E_ENGINE_UNSUPPORTED, "network %s has %d inputs", n->name, n->graph->n_inputs);
    return MIEN_OK;
}

static struct mien_net *new_net(const char *name, const struct mien_net_settings *s)
{
    struct mien_net *n = calloc(1, sizeof *n);
    if (n == NULL) return NULL;
    snprintf(n->name, sizeof n->name, "%s", name);
    if (s != NULL) n->settings = *s;
    else mien_net_settings_default(&n->settings);
    return n;
}

enum mien_code mien_net_open_memory(const unsigned char *data, size_t size, const char *name, const struct mien_net_settings *s, struct mien_net **out,
                                    struct mien_err *e)
{
    *out = NULL;
    struct mien_net *n = new_net(name, s);
    MIEN_FAIL_IF(n == NULL, e, MIEN_E_NOMEM, "no memory for network %s", name);
    const enum mien_code code = open_parsed(n, data, size, e);
    if (code != MIEN_OK) mien_net_free(&n);
    *out = n;
    return code;
}

enum mien_code mien_net_open(const char *path, const char *name, const struct mien_net_settings *s, struct mien_net **out, struct mien_err *e)
{
    *out = NULL;
    struct mien_net *n = new_net(name, s);
    MIEN_FAIL_IF(n == NULL, e, MIEN_E_NOMEM, "no memory for network %s", name);
    enum mien_code code = mien_file_map(path, MAX_FILE_BYTES, &n->file, e);
    if (code == MIEN_OK) code = open_parsed(n, n->file.data, n->file.size, e);
    if (code != MIEN_OK) mien_net_free(&n);
    *out = n;
    return code;
}

void mien_net_free(struct mien_net **pn)
{
    if (pn == NULL || *pn == NULL) return;
    struct mien_net *n = *pn;
    for (int i = 0; i < n->n_plans; i++) mien_plan_release(&n->plan[i]);
    mien_weight_cache_free(&n->weights);
    mien_graph_free(&n->graph);
    mien_file_unmap(&n->file);
    if (n->lock != NULL) pthread_mutex_destroy(n->lock);
    free(n->lock);
    free(n);
    *pn = NULL;
}

const char *mien_net_name(const struct mien_net *n) { return n->name; }
enum mien_elem mien_net_type(const struct mien_net *n) { return n->type; }
int mien_net_inputs(const struct mien_net *n) { return n->graph->n_inputs; }
int mien_net_outputs(const struct mien_net *n) { return n->graph->n_outputs; }
const char *mien_net_input_name(const struct mien_net *n, int i) { return n->graph->tensor[n->graph->input[i]].name; }
const char *mien_net_output_name(const struct mien_net *n, int i) { return n->graph->tensor[n->graph->output[i]].name; }
struct mien_shape mien_net_input_shape(const struct mien_net *n, int i) { return n->graph->tensor[n->graph->input[i]].shape; }

int mien_net_output_index(const struct mien_net *n, const char *name)
{
    for (int i = 0; i < n->graph->n_outputs; i++)
        if (strcmp(mien_net_output_name(n, i), name) == 0) return i;
    return -1;
}

/* Plans */

static void plan_free(struct mien_plan *p)
{
    for (int i = 0; i < p->n_steps; i++) mien_dnn_free(&p->step[i].dnn);
    for (int i = 0; i < p->n_weights; i++) mien_weights_release(p->net->weights, p->weights[i]);
    mien_arena_free(&p->arena);
    free(p->value);
    free(p->buffer);
    free(p->step);
    free(p->weights);
    free(p);
}

void mien_plan_release(struct mien_plan **p)
{
    if (p == NULL || *p == NULL) return;
    if (atomic_fetch_sub(&(*p)->refs, 1) == 1) plan_free(*p);
    *p = NULL;
}

static bool same_shapes(const struct mien_plan *p, const struct mien_shape *s, int n)
{
    for (int i = 0; i < n; i++)
        if (p->in_shape[i].rank != s[i].rank || memcmp(p->in_shape[i].dim, s[i].dim, (size_t)s[i].rank * sizeof s[i].dim[0]) != 0) return false;
    return p->n_in == n;
}

static enum mien_code build(struct mien_net *n, const struct mien_shape *shapes, int n_shapes, struct mien_plan **out, struct mien_err *e)
{
    struct mien_plan *p = calloc(1, sizeof *p);
    MIEN_FAIL_IF(p == NULL, e, MIEN_E_NOMEM, "no memory to plan network %s", n->name);
    p->net = n;
    p->n_in = n_shapes;
    memcpy(p->in_shape, shapes, (size_t)n_shapes * sizeof *shapes);
    atomic_init(&p->refs, 1);
    struct mien_graph *g = NULL;
    p->arena = mien_arena_create(PLAN_ARENA_BYTES);
    enum mien_code code = p->arena == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "no memory to plan network %s", n->name) : MIEN_OK;
    if (code == MIEN_OK) code = mien_graph_specialize(n->graph, shapes, n_shapes, &g, e);
    if (code == MIEN_OK) code = mien_plan_build(p, g, e);
    mien_graph_free(&g); /* what the plan needs of it was copied */
    if (code != MIEN_OK) {
        plan_free(p);
        return code;
    }
    *out = p;
    return MIEN_OK;
}

static enum mien_code get_locked(struct mien_net *n, const struct mien_shape *shapes, int n_shapes, struct mien_plan **out, struct mien_err *e)
{
    int oldest = 0;
    for (int i = 0; i < n->n_plans; i++) {
        if (same_shapes(n->plan[i], shapes, n_shapes)) {
            *out = n->plan[i];
            return MIEN_OK;
        }
        if (n->plan[i]->used < n->plan[oldest]->used) oldest = i;
    }
    struct mien_plan *made = NULL;
    MIEN_TRY(build(n, shapes, n_shapes, &made, e));
    if (n->n_plans < n->settings.max_plans) {
        n->plan[n->n_plans++] = made;
    } else {
        mien_plan_release(&n->plan[oldest]);
        n->plan[oldest] = made;
    }
    *out = made;
    return MIEN_OK;
}

enum mien_code mien_plan_get(struct mien_net *n, const struct mien_shape *shapes, int n_shapes, struct mien_plan **out, struct mien_err *e)
{
    struct mien_err own;
    if (e == NULL) e = &own; /* lowering asks e for the code */
    *out = NULL;
    MIEN_FAIL_IF(n_shapes != n->graph->n_inputs, e, MIEN_E_ENGINE_SHAPE, "network %s has %d inputs, not %d", n->name, n->graph->n_inputs, n_shapes);
    for (int i = 0; i < n_shapes; i++) {
        const int64_t count = mien_shape_count(&shapes[i]);
        MIEN_FAIL_IF(shapes[i].rank < 0 || shapes[i].rank > MIEN_MAX_RANK || count <= 0 || count > INT32_MAX, e, MIEN_E_ENGINE_SHAPE,
                     "network %s: the shape given for input %d is empty, too large or incomplete", n->name, i);
    }
    pthread_mutex_lock(n->lock);
    const enum mien_code code = get_locked(n, shapes, n_shapes, out, e);
    if (code == MIEN_OK && *out != NULL) {
        (*out)->used = ++n->clock;
        atomic_fetch_add(&(*out)->refs, 1);
    }
    pthread_mutex_unlock(n->lock);
    return code;
}
