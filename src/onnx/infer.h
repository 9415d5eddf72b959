/* Shape inference, shared by infer*.c. */
#ifndef MIEN_ONNX_INFER_H
#define MIEN_ONNX_INFER_H

#include "onnx/internal.h"

struct mien_infer {
    struct mien_graph *g;
    struct mien_node *n;
    struct mien_err *e;
};

/* A tensor whose value an operator takes as a parameter must be known by now. */
static inline const struct mien_tensor *mien_in(const struct mien_infer *c, int k)
{
    return k < c->n->n_in && c->n->in[k] >= 0 ? &c->g->tensor[c->n->in[k]] : NULL;
}
enum mien_code mien_infer_out(struct mien_infer *c, int k, enum mien_elem type, const struct mien_shape *s) MIEN_MUST_CHECK;
/* *axis counted from the front; MIEN_E_ONNX_SHAPE when it is not in [-rank, rank). */
enum mien_code mien_infer_axis(const struct mien_infer *c, int rank, int64_t *axis) MIEN_MUST_CHECK;
enum mien_code mien_infer_need(const struct mien_infer *c, int n_in) MIEN_MUST_CHECK;
/* Numpy broadcasting of s with t into s. */
bool mien_broadcast(struct mien_shape *s, const struct mien_shape *t);

typedef enum mien_code mien_infer_fn(struct mien_infer *c);
mien_infer_fn mien_infer_conv, mien_infer_conv_transpose, mien_infer_pool, mien_infer_global_pool, mien_infer_gemm, mien_infer_matmul;
mien_infer_fn mien_infer_resize, mien_infer_pad, mien_infer_depth_to_space, mien_infer_space_to_depth;
mien_infer_fn mien_infer_reshape, mien_infer_flatten, mien_infer_squeeze, mien_infer_unsqueeze, mien_infer_transpose, mien_infer_concat;
mien_infer_fn mien_infer_split, mien_infer_slice, mien_infer_expand, mien_infer_tile, mien_infer_gather, mien_infer_shape_of, mien_infer_size;
mien_infer_fn mien_infer_constant_of_shape, mien_infer_range, mien_infer_reduce, mien_infer_argmax;

#define MIEN_BAD_SHAPE_IF(cond, c, ...) MIEN_NODE_FAIL_IF(cond, (c)->e, MIEN_E_ONNX_SHAPE, (c)->n, __VA_ARGS__)

#endif
