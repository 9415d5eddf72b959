/* What the files that include dnnl.h share; nobody else includes this. */
#ifndef MIEN_ENGINE_DNN_INTERNAL_H
#define MIEN_ENGINE_DNN_INTERNAL_H

#include <oneapi/dnnl/dnnl.h>
#include "engine/dnn.h"

enum { MIEN_DNN_MAX_ARGS = 5 };

struct mien_dnn {
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t src, second, dst, scratch; /* second: the other activation of a matrix product, ndims 0 = none */
    dnnl_memory_t weights, bias;                  /* read-only, shared by all calls; weights belong to the cache */
    char impl[40];
};

/* NULL when oneDNN cannot make its engine. */
dnnl_engine_t mien_dnn_engine(void);
void mien_dnn_lock(void);
void mien_dnn_unlock(void);

/* Under the lock. Packs `from` (described by user) as `want`; finds it in the cache when it was packed before. */
enum mien_code mien_weights_pack(struct mien_weight_cache *c, const dnnl_memory_desc_t *user, const float *from,
                                 const dnnl_memory_desc_t *want, struct mien_weights **out, struct mien_err *e) MIEN_MUST_CHECK;
dnnl_memory_t mien_weights_memory(const struct mien_weights *w);

#endif
