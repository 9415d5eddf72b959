/* What the files of the engine share: values, steps and plans. Nothing outside src/engine includes it.
 *
 * A value is an array in the session's work memory: an ONNX shape plus a stride per axis, so that Transpose, Slice,
 * Squeeze and most Reshapes are other values over the same buffer and cost nothing. A step reads values and writes
 * one. Steps want particular strides (a convolution: dense NHWC) and ask for them with mien_lower_need, which adds a copy
 * step when the value is laid out otherwise. Buffers get their place in the work memory last, from their life times. */
#ifndef MIEN_ENGINE_PLAN_H
#define MIEN_ENGINE_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include "base/arena.h"
#include "base/file.h"
#include "engine/dnn.h"
#include "engine/engine.h"
#include "engine/kernels.h"
#include "engine/winograd.h"
#include "onnx/graph.h"

enum { MIEN_STEP_IN = 4, MIEN_NO_VALUE = -1, MIEN_NO_BUFFER = -1 };

struct mien_value {
    struct mien_shape shape;        /* ONNX axis order */
    int64_t stride[MIEN_MAX_RANK];  /* elements; meaningless on axes of size 1 */
    int64_t offset;                 /* elements from the start of the buffer */
    int buffer;                     /* MIEN_NO_BUFFER for a constant */
    enum mien_elem type;            /* MIEN_F32 or MIEN_BF16 */
    const float *data;              /* constant: dense by `stride`, aligned, float32 */
};

struct mien_buffer {
    size_t bytes, place;   /* place: offset in the work memory, a multiple of 64 */
    int first, last;       /* steps that touch it; first > last: none does */
    int uses;              /* while lowering: reads still to come, of all tensors that live in it */
    bool fixed;            /* graph input or output: lives through the whole plan */
    int into;              /* while lowering: merged into this buffer (concatenation), or MIEN_NO_BUFFER */
};

struct mien_step;
/* `at[v]` is where value v begins; scratch is step->scratch_bytes, 64-byte aligned. */
typedef void mien_step_fn(const struct mien_step *s, unsigned char *const *at, void *scratch);

/* Copies between any two layouts of one shape, converting between float32 and bfloat16. */
struct mien_copy {
    int rank;
    int64_t dim[MIEN_MAX_RANK], src[MIEN_MAX_RANK], dst[MIEN_MAX_RANK]; /* elements */
    enum mien_elem src_type, dst_type;
};

struct mien_step {
    const char *op, *node;    /* for people; node is a copy in the plan's arena */
    char impl[48];
    bool reference;
    int n_in, in[MIEN_STEP_IN], out;
    mien_step_fn *run;        /* NULL: `dnn` is executed instead */
    struct mien_dnn *dnn;
    size_t scratch_bytes;
    size_t rows, channels, count;
    const float *vec[2];      /* slopes; scale and shift; bias. Owned by the plan's arena */
    float a, b;
    int code, stride[2];      /* enum mien_unary / mien_binary / mien_reduce; operand strides of `binary` */
    const void *packed;       /* weights that the engine packed itself */
    const void *more;         /* what only one kind of step needs; in the plan's arena */
};

struct mien_plan {
    struct mien_net *net;
    struct mien_shape in_shape[MIEN_MAX_NODE_IN];
    int n_in;
    struct mien_arena *arena;
    struct mien_value *value; int n_values, cap_values;
    struct mien_buffer *buffer; int n_buffers, cap_buffers;
    struct mien_step *step; int n_steps, cap_steps;
    int *input, *output;      /* values; inputs dense NHWC or row-major float32, outputs row-major float32 */
    int n_out;
    struct mien_weights **weights; int n_weights, cap_weights; /* references into the net's cache */
    size_t work_bytes, scratch_bytes, weight_bytes;
    uint64_t macs;
    int reference_steps;
    atomic_int refs;          /* the cache's and one per exec */
    uint64_t used;            /* of the cache's clock */
};

struct mien_net {
    char name[64];
    struct mien_file file;
    struct mien_graph *graph;
    struct mien_net_settings settings;
    enum mien_elem type;
    struct mien_weight_cache *weights;
    struct mien_plan *plan[64];
    int n_plans;
    uint64_t clock;
    void *lock;               /* pthread_mutex_t: the plan cache */
};

/* Finds or builds; the caller gets a reference. */
enum mien_code mien_plan_get(struct mien_net *n, const struct mien_shape *shapes, int n_shapes, struct mien_plan **out,
                             struct mien_err *e) MIEN_MUST_CHECK;
void mien_plan_release(struct mien_plan **p);

/* plan_build.c: the steps of a specialised graph. plan_memory.c: places. */
enum mien_code mien_plan_build(struct mien_plan *p, const struct mien_graph *g, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_plan_place(struct mien_plan *p, struct mien_err *e) MIEN_MUST_CHECK;
void *mien_plan_alloc(struct mien_plan *p, size_t n); /* zeroed, 64-byte aligned, lives with the plan; NULL = none */

/* Lowering of one graph, node by node. */
struct mien_lower {
    struct mien_plan *p;
    const struct mien_graph *g;
    struct mien_err *e;
    enum mien_elem type;      /* of activations: MIEN_F32 or MIEN_BF16 */
    int *value_of;            /* tensor -> value, MIEN_NO_VALUE before it is made */
    int *deferred;            /* tensor -> 4-D NHWC value of which it is the flattening, when that was not copied (yet) */
    int *uses;                /* tensor -> reads still to come */
    unsigned char *wants_f32; /* tensor: all readers want float32, or it is an output */
    unsigned char *done;      /* node: lowered together with an earlier one */
    int *whole;               /* tensor -> value of which it is some channels, made by merged convolutions, or MIEN_NO_VALUE */
    const struct mien_node *node;
};

/* Convolutions that are computed as one; node[0] is the one being lowered. See lower_merge.c. */
enum { MIEN_MERGE_MAX = 8 };
struct mien_merge { int count, whole; const struct mien_node *node[MIEN_MERGE_MAX]; };
void mien_merge_find(struct mien_lower *l, const struct mien_node *n, struct mien_merge *m);
/* All have the activation of node[0], which the convolution may then apply. */
bool mien_merge_same_act(const struct mien_merge *m);
/* Binds the outputs to their channels of value `out`; applies the activations when they differ. */
enum mien_code mien_merge_bind(struct mien_lower *l, const struct mien_merge *m, int out) MIEN_MUST_CHECK;

#define MIEN_LOWER_FAIL(l, ...) mien_lower_fail((l), __FILE__, __LINE__, __VA_ARGS__)
enum mien_code mien_lower_fail(struct mien_lower *l, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
enum mien_code mien_lower_no_memory(struct mien_lower *l);

/* The tensor's value in whatever layout it has; constants become float32 row-major values. */
enum mien_code mien_lower_value(struct mien_lower *l, int tensor, int *value) MIEN_MUST_CHECK;
/* The same, dense in the wanted strides and type (a copy step is added when needed). */
enum mien_code mien_lower_need(struct mien_lower *l, int value, const int64_t *stride, enum mien_elem type, int *out) MIEN_MUST_CHECK;
enum mien_code mien_lower_need_plain(struct mien_lower *l, int tensor, enum mien_elem type, int *out) MIEN_MUST_CHECK;
enum mien_code mien_lower_need_nhwc(struct mien_lower *l, int tensor, enum mien_elem type, int *out) MIEN_MUST_CHECK;
/* Dense float32 or bfloat16, any order of axes; broadcast views become row-major. */
enum mien_code mien_lower_need_dense(struct mien_lower *l, int tensor, enum mien_elem type, int *out) MIEN_MUST_CHECK;
/* New value in a new buffer. */
enum mien_code mien_lower_new(struct mien_lower *l, const struct mien_shape *s, const int64_t *stride, enum mien_elem type, int *out) MIEN_MUST_CHECK;
/* New value over the memory of another. */
enum mien_code mien_lower_view(struct mien_lower *l, int of, const struct mien_shape *s, const int64_t *stride, int64_t offset, int *out) MIEN_MUST_CHECK;
/* The tensor of the node being lowered is this value from now on. */
void mien_lower_bind(struct mien_lower *l, int tensor, int value);
/* May the step being made write over this value, read for the last time by `reads` inputs of the present node? */
bool mien_lower_dies(const struct mien_lower *l, int value, int reads);
/* New step; NULL when out of memory. */
struct mien_step *mien_lower_step(struct mien_lower *l, const char *impl, mien_step_fn *run);
enum mien_code mien_lower_copy(struct mien_lower *l, int from, int to) MIEN_MUST_CHECK;
/* Constant tensor -> float32 in the plan's arena; NULL when out of memory or not a float constant. */
float *mien_lower_floats(struct mien_lower *l, int tensor, size_t *count);
/* Output type for the node's tensor. */
enum mien_elem mien_lower_type(const struct mien_lower *l, int tensor);

/* PReLU slopes, one per channel. */
enum mien_code mien_lower_slopes(struct mien_lower *l, int tensor, int64_t channels, const float **out, bool *equal) MIEN_MUST_CHECK;

typedef enum mien_code mien_lower_fn(struct mien_lower *l, const struct mien_node *n);
mien_lower_fn mien_lower_conv, mien_lower_conv_transpose, mien_lower_gemm, mien_lower_matmul, mien_lower_pool;          /* lower_dnn.c */
mien_lower_fn mien_lower_unary, mien_lower_prelu, mien_lower_binary, mien_lower_batchnorm;                             /* lower_elementwise.c */
mien_lower_fn mien_lower_transpose, mien_lower_reshape, mien_lower_slice, mien_lower_split, mien_lower_concat, mien_lower_expand, mien_lower_tile,
    mien_lower_gather, mien_lower_depth_space, mien_lower_pad, mien_lower_cast;                                        /* lower_shape.c */
mien_lower_fn mien_lower_softmax, mien_lower_reduce, mien_lower_resize, mien_lower_norm;                               /* lower_reduce.c */

/* Strides. */
void mien_stride_plain(const struct mien_shape *s, int64_t *stride);
void mien_stride_nhwc(const struct mien_shape *s, int64_t *stride); /* rank 4 */
/* Dense with channels (axis 1) innermost: NHWC for rank 4, row-major for rank 2. */
void mien_stride_channels_last(const struct mien_shape *s, int64_t *stride);
bool mien_stride_equal(const struct mien_shape *s, const int64_t *a, const int64_t *b);
/* Axes from the outermost in memory to the innermost, and whether they cover memory without gaps. */
bool mien_stride_order(const struct mien_value *v, int *axis);
/* Dense strides for shape s with axes in this memory order. */
void mien_stride_by_order(const struct mien_shape *s, const int *axis, int64_t *stride);

mien_step_fn mien_run_copy;
size_t mien_value_bytes(const struct mien_value *v);

#endif
