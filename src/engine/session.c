/* Sessions: the work memory of one thread, and plans bound to it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/plan.h"

enum { MAX_EXECS = 64 };

struct mien_exec {
    struct mien_session *session;
    struct mien_plan *plan;
    struct mien_net *net;
    unsigned char **at;             /* by value */
    struct mien_dnn_call **call;    /* by step; NULL for own kernels */
    uint64_t used;
};

struct mien_session {
    unsigned char *work, *scratch;
    size_t work_bytes, scratch_bytes;
    size_t work_dirty, scratch_dirty; /* bytes from the start that may hold a picture or what was computed from it */
    struct mien_dnn_stream *stream;
    struct mien_exec *exec[MAX_EXECS];
    int n_execs;
    uint64_t clock;
};

enum mien_code mien_session_create(struct mien_session **out, struct mien_err *e)
{
    struct mien_session *s = calloc(1, sizeof *s);
    if (s != NULL) s->stream = mien_dnn_stream_new();
    if (s == NULL || s->stream == NULL) {
        free(s);
        *out = NULL;
        return MIEN_FAIL(e, MIEN_E_NOMEM, "no memory for a session");
    }
    *out = s;
    return MIEN_OK;
}

static void exec_free(struct mien_exec *x)
{
    for (int i = 0; x->call != NULL && i < x->plan->n_steps; i++) mien_dnn_call_free(&x->call[i]);
    free(x->call);
    free(x->at);
    mien_plan_release(&x->plan);
    free(x);
}

void mien_session_wipe(struct mien_session *s)
{
    if (s->work != NULL) explicit_bzero(s->work, s->work_dirty);
    if (s->scratch != NULL) explicit_bzero(s->scratch, s->scratch_dirty);
    s->work_dirty = s->scratch_dirty = 0;
}

/* A picture is about to be written for this plan. */
static void soil(struct mien_exec *x)
{
    struct mien_session *s = x->session;
    if (s->work_dirty < x->plan->work_bytes) s->work_dirty = x->plan->work_bytes;
    if (s->scratch_dirty < x->plan->scratch_bytes) s->scratch_dirty = x->plan->scratch_bytes;
}

void mien_session_free(struct mien_session **ps)
{
    if (ps == NULL || *ps == NULL) return;
    struct mien_session *s = *ps;
    for (int i = 0; i < s->n_execs; i++) exec_free(s->exec[i]);
    mien_dnn_stream_free(&s->stream);
    mien_session_wipe(s);
    free(s->work);
    free(s->scratch);
    free(s);
    *ps = NULL;
}

size_t mien_session_bytes(const struct mien_session *s) { return s->work_bytes + s->scratch_bytes; }

static unsigned char *constant_bytes(const float *data)
{
    union { const float *in; unsigned char *out; } u = {.in = data}; /* steps only read it */
    return u.out;
}

/* Addresses of all values, and the memory of oneDNN's calls. */
static void bind(struct mien_exec *x)
{
    const struct mien_plan *p = x->plan;
    const struct mien_session *s = x->session;
    for (int i = 0; i < p->n_values; i++) {
        const struct mien_value *v = &p->value[i];
        if (v->buffer == MIEN_NO_BUFFER) x->at[i] = constant_bytes(v->data);
        else x->at[i] = s->work + p->buffer[v->buffer].place + (size_t)v->offset * mien_elem_size(v->type);
    }
    for (int i = 0; i < p->n_steps; i++) {
        const struct mien_step *t = &p->step[i];
        if (t->dnn == NULL) continue;
        /* A second input is an activation only where the primitive has two; otherwise it is the addend that lies in dst. */
        mien_dnn_bind(x->call[i], x->at[t->in[0]], t->n_in > 1 ? x->at[t->in[1]] : NULL, x->at[t->out], s->scratch);
    }
}

static bool larger(unsigned char **memory, size_t *bytes, size_t *dirty, size_t want)
{
    if (want <= *bytes) return true;
    unsigned char *more = aligned_alloc(64, (want + 4095) / 4096 * 4096);
    if (more == NULL) return false;
    if (*memory != NULL) explicit_bzero(*memory, *dirty);
    *dirty = 0;
    free(*memory);
    *memory = more;
    *bytes = (want + 4095) / 4096 * 4096;
    memset(more, 0, *bytes); /* pages now, not in the first run; and no denormals or NaNs where an input was not written */
    return true;
}

static enum mien_code new_exec(struct mien_session *s, struct mien_net *n, struct mien_plan *p, struct mien_exec **out, struct mien_err *e)
{
    struct mien_exec *x = calloc(1, sizeof *x);
    MIEN_FAIL_IF(x == NULL, e, MIEN_E_NOMEM, "no memory for a session");
    x->session = s;
    x->net = n;
    x->plan = p;
    atomic_fetch_add(&p->refs, 1);
    x->at = calloc((size_t)p->n_values + 1, sizeof *x->at);
    x->call = calloc((size_t)p->n_steps + 1, sizeof *x->call);
    bool good = x->at != NULL && x->call != NULL;
    for (int i = 0; good && i < p->n_steps; i++)
        if (p->step[i].dnn != NULL) good = (x->call[i] = mien_dnn_call_new(p->step[i].dnn)) != NULL;
    const unsigned char *work = s->work, *scratch = s->scratch;
    good = good && larger(&s->work, &s->work_bytes, &s->work_dirty, p->work_bytes) &&
           larger(&s->scratch, &s->scratch_bytes, &s->scratch_dirty, p->scratch_bytes);
    if (s->work != work || s->scratch != scratch)
        for (int i = 0; i < s->n_execs; i++) bind(s->exec[i]);
    if (!good) {
        exec_free(x);
        return MIEN_FAIL(e, MIEN_E_NOMEM, "no memory for a plan of network %s (%zu bytes)", n->name, p->work_bytes);
    }
    bind(x);
    *out = x;
    return MIEN_OK;
}

enum mien_code mien_session_exec(struct mien_session *s, struct mien_net *n, const struct mien_shape *shapes, int n_shapes, struct mien_exec **out,
                                 struct mien_err *e)
{
    struct mien_plan *p;
    *out = NULL;
    MIEN_TRY(mien_plan_get(n, shapes, n_shapes, &p, e));
    int oldest = 0;
    enum mien_code code = MIEN_OK;
    for (int i = 0; i < s->n_execs && *out == NULL; i++) {
        if (s->exec[i]->plan == p) *out = s->exec[i];
        if (s->exec[i]->used < s->exec[oldest]->used) oldest = i;
    }
    if (*out == NULL && (code = new_exec(s, n, p, out, e)) == MIEN_OK) {
        if (s->n_execs < MAX_EXECS) {
            s->exec[s->n_execs++] = *out;
        } else {
            exec_free(s->exec[oldest]);
            s->exec[oldest] = *out;
        }
    }
    mien_plan_release(&p); /* the exec holds its own reference */
    if (*out != NULL) (*out)->used = ++s->clock;
    return code;
}

static float *floats(unsigned char *p) { return (float *)(void *)p; }

float *mien_exec_input(struct mien_exec *x, int i)
{
    soil(x);
    return floats(x->at[x->plan->input[i]]);
}
struct mien_shape mien_exec_input_shape(const struct mien_exec *x, int i) { return x->plan->in_shape[i]; }
const float *mien_exec_output(const struct mien_exec *x, int i) { return floats(x->at[x->plan->output[i]]); }
struct mien_shape mien_exec_output_shape(const struct mien_exec *x, int i) { return x->plan->value[x->plan->output[i]].shape; }

static enum mien_code run_step(struct mien_exec *x, int i, struct mien_err *e)
{
    const struct mien_step *t = &x->plan->step[i];
    if (t->dnn == NULL) {
        t->run(t, x->at, x->session->scratch);
        return MIEN_OK;
    }
    const int status = mien_dnn_run(x->call[i], x->session->stream);
    MIEN_FAIL_IF(status != 0, e, MIEN_E_INTERNAL, "network %s, node %s: oneDNN failed with status %d", x->net->name, t->node, status);
    return MIEN_OK;
}

enum mien_code mien_exec_run(struct mien_exec *x, struct mien_err *e)
{
    const int threads = mien_dnn_threads(1);
    enum mien_code code = MIEN_OK;
    for (int i = 0; i < x->plan->n_steps && code == MIEN_OK; i++) code = run_step(x, i, e);
    mien_dnn_threads(threads);
    return code;
}

/* Processor time of this thread: on a busy machine the clock on the wall mostly measures the neighbours. */
static double thread_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

enum mien_code mien_exec_time_steps(struct mien_exec *x, int repeats, double *ms, struct mien_err *e)
{
    const int threads = mien_dnn_threads(1);
    enum mien_code code = MIEN_OK;
    for (int r = 0; r < repeats && code == MIEN_OK; r++)
        for (int i = 0; i < x->plan->n_steps && code == MIEN_OK; i++) {
            const double start = thread_ms();
            code = run_step(x, i, e);
            const double took = thread_ms() - start;
            if (r == 0 || took < ms[i]) ms[i] = took;
        }
    mien_dnn_threads(threads);
    return code;
}

struct mien_exec_info mien_exec_info(const struct mien_exec *x)
{
    const struct mien_plan *p = x->plan;
    return (struct mien_exec_info){p->n_steps, p->reference_steps, p->work_bytes, p->weight_bytes, p->scratch_bytes, p->macs};
}

static void shape_text(const struct mien_shape *s, char *to, size_t n)
{
    size_t at = 0;
    to[0] = '\0';
    for (int i = 0; i < s->rank && at + 24 < n; i++) at += (size_t)snprintf(to + at, n - at, "%s%" PRId64, i == 0 ? "" : "x", s->dim[i]);
}

void mien_exec_print(const struct mien_exec *x, FILE *to)
{
    for (int i = 0; i < x->plan->n_steps; i++) {
        const struct mien_step *s = &x->plan->step[i];
        const struct mien_value *v = &x->plan->value[s->out];
        char shape[160];
        shape_text(&v->shape, shape, sizeof shape);
        fprintf(to, "%4d  %-18s %-40s %-20s %-4s  %s\n", i, s->op, s->node, shape, v->type == MIEN_BF16 ? "bf16" : "f32", s->impl);
    }
}

const char *mien_exec_step_impl(const struct mien_exec *x, int step, const char **node_name)
{
    if (node_name != NULL) *node_name = x->plan->step[step].node;
    return x->plan->step[step].impl;
}
