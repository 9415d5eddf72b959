/* Packed weights of one net: each constant is packed once per wanted layout and shared by all plans and threads. Looked up by content,
 * because constants that a pass made for one input shape have no address that outlives the plan. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/dnn_internal.h"

struct mien_weights {
    struct mien_weights *next;
    uint64_t hash;
    dnnl_memory_desc_t md;  /* ndims 0: packed by the engine itself */
    dnnl_memory_t memory;
    size_t bytes;
    void *data;
    int refs;
};

struct mien_weight_cache {
    pthread_mutex_t lock;
    struct mien_weights *first;
};

struct mien_weight_cache *mien_weight_cache_new(void)
{
    struct mien_weight_cache *c = calloc(1, sizeof *c);
    if (c != NULL) pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void weights_free(struct mien_weights *w)
{
    if (w->memory != NULL) dnnl_memory_destroy(w->memory);
    free(w->data);
    free(w);
}

void mien_weight_cache_free(struct mien_weight_cache **pc)
{
    if (pc == NULL || *pc == NULL) return;
    for (struct mien_weights *w = (*pc)->first, *next; w != NULL; w = next) {
        next = w->next;
        weights_free(w);
    }
    pthread_mutex_destroy(&(*pc)->lock);
    free(*pc);
    *pc = NULL;
}

void mien_weights_release(struct mien_weight_cache *c, struct mien_weights *w)
{
    if (w == NULL) return;
    pthread_mutex_lock(&c->lock);
    if (--w->refs == 0) {
        struct mien_weights **at = &c->first;
        while (*at != w) at = &(*at)->next;
        *at = w->next;
        weights_free(w);
    }
    pthread_mutex_unlock(&c->lock);
}

size_t mien_weights_bytes(const struct mien_weights *w) { return w->bytes; }
const void *mien_weights_data(const struct mien_weights *w) { return w->data; }
dnnl_memory_t mien_weights_memory(const struct mien_weights *w) { return w->memory; }

/* Two lanes of multiply and rotate over 8-byte words; only speed and spread matter, nothing here is an adversary of itself. */
uint64_t mien_hash(const void *data, size_t n, uint64_t seed)
{
    const unsigned char *p = data;
    uint64_t a = seed ^ 0x9e3779b97f4a7c15u, b = (uint64_t)n * 0xc2b2ae3d27d4eb4fu;
    while (n >= 16) {
        uint64_t x, y;
        memcpy(&x, p, 8);
        memcpy(&y, p + 8, 8);
        a = (a ^ x) * 0x9fb21c651e98df25u;
        b = (b ^ y) * 0xd6e8feb86659fd93u;
        a ^= a >> 29;
        b ^= b >> 31;
        p += 16;
        n -= 16;
    }
    uint64_t tail[2] = {0, 0};
    memcpy(tail, p, n);
    a = (a ^ tail[0]) * 0x9fb21c651e98df25u;
    b = (b ^ tail[1]) * 0xd6e8feb86659fd93u;
    a ^= (b >> 32) ^ (b << 32);
    return (a ^ (a >> 32)) * 0xe9846af9b1a615d1u;
}

static struct mien_weights *find(struct mien_weight_cache *c, uint64_t hash, const dnnl_memory_desc_t *md, size_t bytes)
{
    for (struct mien_weights *w = c->first; w != NULL; w = w->next)
        if (w->hash == hash && w->bytes == bytes && (md == NULL ? w->md.ndims == 0 : w->md.ndims != 0 && dnnl_memory_desc_equal(&w->md, md))) return w;
    return NULL;
}

static struct mien_weights *add(struct mien_weight_cache *c, uint64_t hash, size_t bytes)
{
    struct mien_weights *w = calloc(1, sizeof *w);
    if (w == NULL) return NULL;
    w->data = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64); /* vector loads may run past the end */
    if (w->data == NULL) {
        free(w);
        return NULL;
    }
    w->hash = hash;
    w->bytes = bytes;
    w->refs = 1;
    w->next = c->first;
    c->first = w;
    return w;
}

struct mien_weights *mien_weights_own(struct mien_weight_cache *c, uint64_t hash, size_t bytes, void (*pack)(void *to, void *arg), void *arg)
{
    pthread_mutex_lock(&c->lock);
    struct mien_weights *w = find(c, hash, NULL, bytes);
    if (w != NULL) w->refs++;
    else if ((w = add(c, hash, bytes)) != NULL) pack(w->data, arg);
    pthread_mutex_unlock(&c->lock);
    return w;
}

static enum mien_code reorder(const dnnl_memory_desc_t *user, const void *from, struct mien_weights *w, struct mien_err *e)
{
    dnnl_engine_t engine = mien_dnn_engine();
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_memory_t source = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_status_t st = dnnl_memory_create(&w->memory, &w->md, engine, w->data);
    if (st == dnnl_success) st = dnnl_memory_create(&source, user, engine, (void *)(uintptr_t)from);
    if (st == dnnl_success) st = dnnl_reorder_primitive_desc_create(&pd, user, engine, &w->md, engine, NULL);
    if (st == dnnl_success) st = dnnl_primitive_create(&primitive, pd);
    if (st == dnnl_success) st = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    if (st == dnnl_success) {
        const dnnl_exec_arg_t arg[] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, w->memory}};
        st = dnnl_primitive_execute(primitive, stream, 2, arg);
    }
    if (st == dnnl_success) st = dnnl_stream_wait(stream);
    if (stream != NULL) dnnl_stream_destroy(stream);
    if (primitive != NULL) dnnl_primitive_destroy(primitive);
    if (pd != NULL) dnnl_primitive_desc_destroy(pd);
    if (source != NULL) dnnl_memory_destroy(source);
    MIEN_FAIL_IF(st != dnnl_success, e, MIEN_E_INTERNAL, "oneDNN could not pack weights (status %d)", (int)st);
    return MIEN_OK;
}

enum mien_code mien_weights_pack(struct mien_weight_cache *c, const dnnl_memory_desc_t *user, const float *from,
                                 const dnnl_memory_desc_t *want, struct mien_weights **out, struct mien_err *e)
{
    const size_t n = dnnl_memory_desc_get_size(user), bytes = dnnl_memory_desc_get_size(want);
    uint64_t hash = mien_hash(user->dims, sizeof user->dims[0] * (size_t)user->ndims, 1);
    hash = mien_hash(user->format_desc.blocking.strides, sizeof user->dims[0] * (size_t)user->ndims, hash);
    hash = mien_hash(from, n, hash);
    enum mien_code code = MIEN_OK;
    void *aligned = NULL;
    pthread_mutex_lock(&c->lock);
    struct mien_weights *w = find(c, hash, want, bytes);
    if (w != NULL) {
        w->refs++;
    } else if ((w = add(c, hash, bytes)) == NULL) {
        code = MIEN_FAIL(e, MIEN_E_NOMEM, "no memory for %zu bytes of packed weights", bytes);
    } else {
        w->md = *want;
        const void *source = from;
        if ((uintptr_t)from % sizeof(float) != 0) { /* constants lie anywhere in the file */
            source = aligned = aligned_alloc(64, (n + 63) / 64 * 64);
            if (aligned != NULL) memcpy(aligned, from, n);
        }
        code = source == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "no memory to pack weights") : reorder(user, source, w, e);
        free(aligned);
        if (code != MIEN_OK) {
            c->first = w->next;
            weights_free(w);
            w = NULL;
        }
    }
    pthread_mutex_unlock(&c->lock);
    *out = w;
    return code;
}
