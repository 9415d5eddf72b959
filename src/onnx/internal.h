/* What the files of this room share; nothing outside src/onnx includes it. */
#ifndef MIEN_ONNX_INTERNAL_H
#define MIEN_ONNX_INTERNAL_H

#include <string.h>
#include "base/arena.h"
#include "onnx/graph.h"

/* Limits of a file. A large real network has about 2,000 nodes. */
enum { MIEN_MAX_NODES = 65536, MIEN_MAX_TENSORS = 262144 };
#define MIEN_MAX_FOLDING ((uint64_t)1 << 32) /* elements computed while folding: iResNet-100 needs 1.5e8 */
#define MIEN_MAX_ELEMENTS ((int64_t)1 << 31) /* of one tensor */

/* Operators that exist only between reading and the first pass. */
enum { MIEN_OP_REMOVED = MIEN_OP_COUNT, MIEN_OP_IDENTITY };

struct mien_graph_own {
    struct mien_arena *arena;
    int cap_tensors, cap_nodes;
    uint64_t work; /* elements computed by folding so far */
    const unsigned char *file_begin, *file_end; /* constants inside are read-only */
};

/* `arena_cap`: memory bound of everything the graph owns. NULL when out of memory. */
struct mien_graph *mien_graph_new(size_t arena_cap);
void *mien_graph_alloc(struct mien_graph *g, size_t n);
/* New tensor, NONE type, unknown rank; id or -1 (memory or MIEN_MAX_TENSORS). Moves g->tensor. */
int mien_graph_tensor(struct mien_graph *g, const char *name);
/* New node with room for n_in inputs and n_out outputs, all MIEN_NO_TENSOR; index or -1. Moves g->node. */
int mien_graph_node(struct mien_graph *g, const char *name, int op, int n_in, int n_out);
/* Gives the node room for n_in inputs (new ones MIEN_NO_TENSOR). */
bool mien_node_widen(struct mien_graph *g, int node, int n_in);
/* New float32 constant of the given shape, zeroed, writable; id or -1. */
int mien_graph_const_f32(struct mien_graph *g, const char *name, const struct mien_shape *s, float **data);
/* Counts `elements` of folding work; false when a file has asked for more than any real network (then nothing more is folded). */
bool mien_graph_spend(struct mien_graph *g, uint64_t elements);
/* Topological order, keeping the present order where it is one. Fails on a cycle (naming a node of it). */
enum mien_code mien_graph_sort(struct mien_graph *g, struct mien_err *e) MIEN_MUST_CHECK;
/* Drops removed nodes, nodes whose results nobody needs, and tensors that nobody mentions (ids change). */
enum mien_code mien_graph_sweep(struct mien_graph *g, struct mien_err *e) MIEN_MUST_CHECK;

static inline bool mien_is_const(const struct mien_graph *g, int id)
{
    return id >= 0 && g->tensor[id].data != NULL;
}
static inline float mien_load_f32(const void *p, size_t i)
{
    float v;
    memcpy(&v, (const unsigned char *)p + i * sizeof v, sizeof v);
    return v;
}
static inline int64_t mien_load_i64(const void *p, size_t i)
{
    int64_t v;
    memcpy(&v, (const unsigned char *)p + i * sizeof v, sizeof v);
    return v;
}
/* Row-major element count when every dimension is known and the product is within MIEN_MAX_ELEMENTS, else -1. */
static inline struct mien_shape mien_shape_of(int rank, const int64_t *dim)
{
    struct mien_shape s = {.rank = rank};
    for (int i = 0; i < rank; i++) s.dim[i] = dim[i];
    return s;
}

#define MIEN_NODE_FAIL(e, code, n, fmt, ...) \
    MIEN_FAIL(e, code, "node %.60s (%s): " fmt, (n)->name, mien_op_name((n)->op) __VA_OPT__(,) __VA_ARGS__)
#define MIEN_NODE_FAIL_IF(cond, e, code, n, ...)                              \
    do {                                                                     \
        if (cond) return MIEN_NODE_FAIL((e), (code), (n), __VA_ARGS__);      \
    } while (0)
#define MIEN_NO_MEMORY(e) MIEN_FAIL(e, MIEN_E_NOMEM, "the network needs more memory than its limit")

/* The two public steps without their passes: the graph as written, and with shapes inferred and constants folded only. */
enum mien_code mien_onnx_read(const unsigned char *data, size_t n, struct mien_graph **out, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_graph_infer(const struct mien_graph *g, const struct mien_shape *shapes, int n_shapes, struct mien_graph **out,
                                struct mien_err *e) MIEN_MUST_CHECK;

/* Shapes and types of a node's outputs from its inputs', which must be known; attributes completed: inputs that only
 * parametrise (a Reshape's target, Slice's starts) move into attr and are dropped. */
enum mien_code mien_infer_node(struct mien_graph *g, struct mien_node *n, struct mien_err *e) MIEN_MUST_CHECK;

/* Replaces the outputs of a node by constants when its inputs allow it (after mien_infer_node). *folded says whether. */
enum mien_code mien_fold_node(struct mien_graph *g, struct mien_node *n, bool *folded, struct mien_err *e) MIEN_MUST_CHECK;

/* Reads an integer constant of at most `max` elements (int32 or int64). */
enum mien_code mien_const_ints(const struct mien_graph *g, const struct mien_node *n, int id, const char *what, int64_t *out,
                               int max, int *count, struct mien_err *e) MIEN_MUST_CHECK;

#endif
