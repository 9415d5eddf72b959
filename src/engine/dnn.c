/* oneDNN: engine, streams, calls. */
#include "engine/dnn.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/dnn_internal.h"

/* From libgomp, which libdnnl is linked with; declared here because clang has no omp.h without libomp. */
extern void omp_set_num_threads(int n);
extern int omp_get_max_threads(void);

static pthread_mutex_t create_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t engine_once = PTHREAD_ONCE_INIT;
static dnnl_engine_t engine;

static void make_engine(void)
{
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success) engine = NULL;
}

dnnl_engine_t mien_dnn_engine(void)
{
    pthread_once(&engine_once, make_engine);
    return engine;
}

void mien_dnn_lock(void) { pthread_mutex_lock(&create_lock); }
void mien_dnn_unlock(void) { pthread_mutex_unlock(&create_lock); }

int mien_dnn_threads(int n)
{
    const int former = omp_get_max_threads();
    if (former != n) omp_set_num_threads(n);
    return former;
}

bool mien_dnn_has_bf16(void)
{
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa(), want = (unsigned)dnnl_cpu_isa_avx512_core_bf16;
    return (isa & want) == want;
}

struct mien_dnn_stream { dnnl_stream_t stream; };

struct mien_dnn_stream *mien_dnn_stream_new(void)
{
    struct mien_dnn_stream *s = calloc(1, sizeof *s);
    if (s == NULL || mien_dnn_engine() == NULL || dnnl_stream_create(&s->stream, engine, dnnl_stream_default_flags) != dnnl_success) {
        free(s);
        return NULL;
    }
    return s;
}

void mien_dnn_stream_free(struct mien_dnn_stream **s)
{
    if (s == NULL || *s == NULL) return;
    dnnl_stream_destroy((*s)->stream);
    free(*s);
    *s = NULL;
}

void mien_dnn_free(struct mien_dnn **d)
{
    if (d == NULL || *d == NULL) return;
    if ((*d)->primitive != NULL) dnnl_primitive_destroy((*d)->primitive);
    if ((*d)->bias != NULL) dnnl_memory_destroy((*d)->bias);
    free(*d);
    *d = NULL;
}

const char *mien_dnn_impl(const struct mien_dnn *d) { return d->impl; }
size_t mien_dnn_scratch_bytes(const struct mien_dnn *d) { return d->scratch.ndims == 0 ? 0 : dnnl_memory_desc_get_size(&d->scratch); }

struct mien_dnn_call {
    const struct mien_dnn *d;
    dnnl_memory_t src, second, dst, scratch;
    dnnl_exec_arg_t arg[MIEN_DNN_MAX_ARGS];
    int n;
};

/* A memory object without memory yet. NULL descriptor or failure: NULL. */
static bool describe(dnnl_memory_t *m, const dnnl_memory_desc_t *md)
{
    return md->ndims == 0 || dnnl_memory_create(m, md, engine, DNNL_MEMORY_NONE) == dnnl_success;
}

static void add_arg(struct mien_dnn_call *c, int arg, dnnl_memory_t m)
{
    if (m != NULL) c->arg[c->n++] = (dnnl_exec_arg_t){arg, m};
}

struct mien_dnn_call *mien_dnn_call_new(const struct mien_dnn *d)
{
    struct mien_dnn_call *c = calloc(1, sizeof *c);
    if (c == NULL) return NULL;
    c->d = d;
    if (!describe(&c->src, &d->src) || !describe(&c->second, &d->second) || !describe(&c->dst, &d->dst) || !describe(&c->scratch, &d->scratch)) {
        mien_dnn_call_free(&c);
        return NULL;
    }
    add_arg(c, DNNL_ARG_SRC, c->src);
    add_arg(c, DNNL_ARG_WEIGHTS, c->second != NULL ? c->second : d->weights);
    add_arg(c, DNNL_ARG_BIAS, d->bias);
    add_arg(c, DNNL_ARG_DST, c->dst);
    if (c->n < MIEN_DNN_MAX_ARGS) add_arg(c, DNNL_ARG_SCRATCHPAD, c->scratch);
    return c;
}

void mien_dnn_call_free(struct mien_dnn_call **pc)
{
    if (pc == NULL || *pc == NULL) return;
    struct mien_dnn_call *c = *pc;
    dnnl_memory_t all[] = {c->src, c->second, c->dst, c->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] != NULL) dnnl_memory_destroy(all[i]);
    free(c);
    *pc = NULL;
}

void mien_dnn_bind(struct mien_dnn_call *c, void *src, void *second, void *dst, void *scratch)
{
    dnnl_memory_set_data_handle(c->src, src);
    if (c->second != NULL) dnnl_memory_set_data_handle(c->second, second);
    dnnl_memory_set_data_handle(c->dst, dst);
    if (c->scratch != NULL) dnnl_memory_set_data_handle(c->scratch, scratch);
}

int mien_dnn_run(const struct mien_dnn_call *c, struct mien_dnn_stream *s)
{
    return (int)dnnl_primitive_execute(c->d->primitive, s->stream, c->n, c->arg);
}
