/* Passes: each rewrites the graph into one that computes the same values (up to float rounding) with less work.
 * All want topological order and leave it. See passes_*.c for what each does and when it is exact. */
#ifndef MIEN_ONNX_PASSES_H
#define MIEN_ONNX_PASSES_H

#include "onnx/internal.h"

/* What a pass needs to know about tensors, kept up to date by the helpers below. */
struct mien_edit {
    struct mien_graph *g;
    struct mien_err *e;
    int n;                  /* tensors covered */
    int *producer;          /* node index or -1 */
    int *uses;              /* readers: node inputs, residuals, slopes and graph outputs, each counted */
    int *alias;             /* the tensor that stands for this one (itself mostly) */
    unsigned char *output;  /* is a graph output */
    unsigned char *input;   /* is a graph input */
};
enum mien_code mien_edit_begin(struct mien_edit *ed, struct mien_graph *g, struct mien_err *e) MIEN_MUST_CHECK;
/* Applies aliases, sorts, sweeps, frees. To be called also after a failure, with its code, which it returns. */
enum mien_code mien_edit_end(struct mien_edit *ed, enum mien_code code) MIEN_MUST_CHECK;
/* Covers tensors added since (producer -1, no uses). */
enum mien_code mien_edit_grow(struct mien_edit *ed) MIEN_MUST_CHECK;
/* Rewrites node i's reads through the aliases; call on every node before looking at it. */
void mien_edit_resolve(struct mien_edit *ed, int i);
/* The only reader of the tensor is one node (not a graph output): it may be fused away. */
bool mien_edit_single(const struct mien_edit *ed, int tensor);
/* Index of the node that makes the tensor when it is of that operator, else -1. */
int mien_edit_from(const struct mien_edit *ed, int tensor, enum mien_op op);
/* Node i does nothing: its readers read `source` instead. false when that is impossible (both are outputs, ...). */
bool mien_edit_bypass(struct mien_edit *ed, int i, int source);
/* Node i's work now happens in node p (which made i's only variable input): p makes i's output, i goes. */
void mien_edit_absorb(struct mien_edit *ed, int p, int i);
void mien_edit_set_input(struct mien_edit *ed, int node, int k, int tensor);
void mien_edit_remove(struct mien_edit *ed, int node);

/* A float32 constant that broadcasts to [N, C, ...] of `rank` dimensions along axis 1 only: C; 1 for a scalar; 0 when it does not. */
int64_t mien_channel_vector(const struct mien_graph *g, int id, int rank);

typedef enum mien_code mien_pass(struct mien_graph *g, struct mien_err *e);

/* Without shapes, at the end of mien_onnx_parse. */
mien_pass mien_pass_identity, mien_pass_fold_constants, mien_pass_normalize_affine, mien_pass_normalize_gemm, mien_pass_matmul_gemm;
mien_pass mien_pass_affine_after, mien_pass_affine_before;
mien_pass mien_passes_parsed; /* all of them */

/* With shapes, at the end of mien_graph_specialize. */
mien_pass mien_pass_cleanup, mien_pass_global_pool, mien_pass_pad, mien_pass_matmul_bias, mien_pass_hard_activations;
mien_pass mien_pass_residual, mien_pass_activation, mien_pass_affine_chain;
mien_pass mien_passes_specialized; /* all of them */

#endif
