/* oneDNN behind a narrow door: the only files that include dnnl.h are dnn.c, dnn_make.c and dnn_weights.c
 * (Debian 12 ships 2.6.3, whose C API
 * version 3 changed; a port is a port of those).
 *
 * A primitive (struct mien_dnn) is immutable and shared by all threads. A call (struct mien_dnn_call) is a primitive bound to one
 * session's memory. Scratchpads are always the caller's: with the library's own, one primitive in two threads gives wrong
 * results (measured). Primitives are created under one lock: 2.6.3's reorder creation inserts into a map while others read it. */
#ifndef MIEN_ENGINE_DNN_H
#define MIEN_ENGINE_DNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "onnx/graph.h"

struct mien_dnn;
struct mien_dnn_call;
struct mien_dnn_stream;
struct mien_weights;        /* packed weights, counted references */
struct mien_weight_cache;   /* of one net */

struct mien_weight_cache *mien_weight_cache_new(void);
void mien_weight_cache_free(struct mien_weight_cache **c);
void mien_weights_release(struct mien_weight_cache *c, struct mien_weights *w);
size_t mien_weights_bytes(const struct mien_weights *w);
const void *mien_weights_data(const struct mien_weights *w);
uint64_t mien_hash(const void *data, size_t n, uint64_t seed);
/* Weights that the engine packs itself: looked up by hash and size; when absent made by pack(to, arg). NULL = no memory. */
struct mien_weights *mien_weights_own(struct mien_weight_cache *c, uint64_t hash, size_t bytes, void (*pack)(void *to, void *arg), void *arg);

/* 2-D convolution over dense NHWC. */
struct mien_dnn_conv {
    int64_t n, ic, ih, iw, oc, oh, ow;
    int kernel[2], stride[2], dilation[2] /* 1 = none */, pad[4] /* top left bottom right; may be negative at the end */;
    int groups;
    bool transposed;              /* weights are [ic][oc/groups][kh][kw], else [oc][ic/groups][kh][kw] */
    enum mien_elem src, dst;
    const float *weights;         /* float32, ONNX order; read only while packing */
    const float *bias;            /* oc, or NULL; must outlive the primitive */
    bool sum;                     /* dst holds an addend */
    struct mien_act act;          /* applied last; never PRELU */
};

/* dst[m][n] = act(src[m][k] * weights + bias) */
struct mien_dnn_fc {
    int64_t batch, m, k, n;       /* batch > 1 only with weights == NULL: batches of matrices on both sides */
    enum mien_elem src, dst, weights_type;
    const float *weights;         /* element (k, n) at k*stride_k + n*stride_n, or NULL: the second operand is an activation, row-major */
    int64_t stride_k, stride_n;
    const float *bias;            /* n, or NULL */
    struct mien_act act;
};

struct mien_dnn_pool {
    int64_t n, c, ih, iw, oh, ow;
    int kernel[2], stride[2], dilation[2], pad[4];
    bool max, count_pad;
    enum mien_elem type, dst;
};

enum mien_dnn_result {
    MIEN_DNN_MADE,
    MIEN_DNN_NONE,       /* oneDNN has no implementation */
    MIEN_DNN_REFERENCE,  /* made, but of the slow kind */
    MIEN_DNN_FAILED      /* e says why */
};
/* On MADE and REFERENCE *out is the primitive, and *w the packed weights (a reference; NULL for none). */
enum mien_dnn_result mien_dnn_make_conv(struct mien_weight_cache *c, const struct mien_dnn_conv *d, struct mien_dnn **out, struct mien_weights **w,
                                        struct mien_err *e);
enum mien_dnn_result mien_dnn_make_fc(struct mien_weight_cache *c, const struct mien_dnn_fc *d, struct mien_dnn **out, struct mien_weights **w,
                                      struct mien_err *e);
enum mien_dnn_result mien_dnn_make_pool(const struct mien_dnn_pool *d, struct mien_dnn **out, struct mien_err *e);

void mien_dnn_free(struct mien_dnn **d);
const char *mien_dnn_impl(const struct mien_dnn *d);
size_t mien_dnn_scratch_bytes(const struct mien_dnn *d);
/* Has bfloat16 arithmetic that oneDNN may use (its own ISA limit counts). */
bool mien_dnn_has_bf16(void);

/* Memory objects for one session. Pointers may be changed later by mien_dnn_bind. NULL = no memory. */
struct mien_dnn_call *mien_dnn_call_new(const struct mien_dnn *d);
void mien_dnn_call_free(struct mien_dnn_call **c);
void mien_dnn_bind(struct mien_dnn_call *c, void *src, void *second, void *dst, void *scratch);
/* 0, or oneDNN's status. */
int mien_dnn_run(const struct mien_dnn_call *c, struct mien_dnn_stream *s);

/* One a session. NULL when oneDNN fails. */
struct mien_dnn_stream *mien_dnn_stream_new(void);
void mien_dnn_stream_free(struct mien_dnn_stream **s);

/* oneDNN runs every primitive on the calling thread: set before creating and running, put back after. */
int mien_dnn_threads(int n); /* returns the former number */

#endif
