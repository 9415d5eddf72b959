/* A neural network as data: tensors and nodes in topological order, read from ONNX and simplified.
 *
 * Two steps. mien_onnx_parse reads a file into a graph as written (opset 7-21, NCHW, names kept) and then runs the
 * passes that need no shapes. mien_graph_specialize makes a copy for concrete input shapes: shapes inferred,
 * everything computable folded, passes that need shapes run. The engine only ever sees a specialised graph.
 *
 * Ownership: a graph owns its arena; constant tensors point into the caller's file map (which must outlive the graph)
 * or into the arena; a specialised graph may point into its parent, which must outlive it.
 * Trust: files are hostile; every length is checked against the bytes that are there, nothing is allocated by
 * a number from the file. */
#ifndef MIEN_ONNX_GRAPH_H
#define MIEN_ONNX_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/err.h"

enum { MIEN_MAX_RANK = 6, MIEN_NO_TENSOR = -1 };

enum mien_elem { MIEN_ELEM_NONE, MIEN_F32, MIEN_F16, MIEN_BF16, MIEN_F64, MIEN_I8, MIEN_U8, MIEN_I32, MIEN_I64, MIEN_BOOL };
size_t mien_elem_size(enum mien_elem t);

struct mien_shape {
    int rank;                    /* 0 = scalar; -1 = unknown rank */
    int64_t dim[MIEN_MAX_RANK];  /* -1 = unknown until specialised */
};
int64_t mien_shape_count(const struct mien_shape *s); /* product; -1 when unknown */

struct mien_tensor {
    const char *name;
    enum mien_elem type;
    struct mien_shape shape;
    const void *data;   /* constant: row-major, possibly UNALIGNED (points into the file); NULL for a variable */
    size_t bytes;
    bool owned;         /* private to src/onnx: a constant made by a pass, in memory of its own */
};

/* name(enum suffix, ONNX op_type). Dropout, Identity and Constant disappear while reading. */
#define MIEN_OPS(X)                                                                                    \
    X(CONV, "Conv") X(CONV_TRANSPOSE, "ConvTranspose") X(GEMM, "Gemm") X(MATMUL, "MatMul")             \
    X(BATCHNORM, "BatchNormalization") X(INSTANCENORM, "InstanceNormalization") X(LAYERNORM, "LayerNormalization") \
    X(RELU, "Relu") X(LEAKYRELU, "LeakyRelu") X(PRELU, "PRelu") X(SIGMOID, "Sigmoid") X(TANH, "Tanh")  \
    X(ELU, "Elu") X(SOFTPLUS, "Softplus") X(HARDSIGMOID, "HardSigmoid") X(HARDSWISH, "HardSwish") X(CLIP, "Clip") X(SOFTMAX, "Softmax") \
    X(ERF, "Erf") X(GELU, "Gelu") X(ADD, "Add") X(SUB, "Sub") X(MUL, "Mul") X(DIV, "Div") X(POW, "Pow") X(MIN, "Min") X(MAX, "Max") \
    X(NEG, "Neg") X(ABS, "Abs") X(EXP, "Exp") X(LOG, "Log") X(SQRT, "Sqrt") X(RECIPROCAL, "Reciprocal") X(FLOOR, "Floor") X(CEIL, "Ceil") \
    X(MAXPOOL, "MaxPool") X(AVGPOOL, "AveragePool") X(GLOBALAVGPOOL, "GlobalAveragePool") X(GLOBALMAXPOOL, "GlobalMaxPool") \
    X(REDUCEMEAN, "ReduceMean") X(REDUCESUM, "ReduceSum") X(REDUCEMAX, "ReduceMax") X(REDUCEMIN, "ReduceMin") X(REDUCEL2, "ReduceL2") \
    X(LPNORM, "LpNormalization") X(ARGMAX, "ArgMax")                                                  \
    X(RESIZE, "Resize") X(UPSAMPLE, "Upsample") X(PAD, "Pad") X(DEPTHTOSPACE, "DepthToSpace") X(SPACETODEPTH, "SpaceToDepth") \
    X(CONCAT, "Concat") X(SPLIT, "Split") X(SLICE, "Slice") X(TRANSPOSE, "Transpose") X(RESHAPE, "Reshape") X(FLATTEN, "Flatten") \
    X(SQUEEZE, "Squeeze") X(UNSQUEEZE, "Unsqueeze") X(EXPAND, "Expand") X(TILE, "Tile") X(GATHER, "Gather") X(SHAPE, "Shape") X(SIZE, "Size") \
    X(CAST, "Cast") X(CONSTANTOFSHAPE, "ConstantOfShape") X(RANGE, "Range") X(WHERE, "Where") \
    X(EQUAL, "Equal") X(LESS, "Less") X(GREATER, "Greater") X(NOT, "Not")

enum mien_op {
#define X(id, text) MIEN_OP_##id,
    MIEN_OPS(X)
#undef X
    MIEN_OP_COUNT
};
const char *mien_op_name(enum mien_op op);

enum mien_act_kind {
    MIEN_ACT_NONE, MIEN_ACT_RELU, MIEN_ACT_LEAKY /* a = slope */, MIEN_ACT_CLIP /* a = low, b = high */, MIEN_ACT_SIGMOID, MIEN_ACT_TANH,
    MIEN_ACT_HARDSWISH, MIEN_ACT_HARDSIGMOID /* a*x+b clipped to 0..1 */, MIEN_ACT_SWISH, MIEN_ACT_PRELU /* slope per channel: tensor */
};
struct mien_act { enum mien_act_kind kind; float a, b; int slope; /* tensor id of the PRelu slope (length 1 or C) */ };

/* Attributes, decoded to what the operator means with ONNX's defaults filled in; unused ones are zero. */
struct mien_attrs {
    int kernel[2], stride[2], dilation[2], pad[4]; /* h,w ; pad = top,left,bottom,right (auto_pad resolved by specialise) */
    int auto_pad;            /* 0 NOTSET, 1 SAME_UPPER, 2 SAME_LOWER, 3 VALID */
    int output_pad[2];       /* ConvTranspose */
    int groups;
    bool ceil_mode, count_include_pad;
    float alpha, beta, epsilon; /* Gemm, LeakyRelu, HardSigmoid, Elu, BatchNormalization, ... */
    bool trans_a, trans_b;
    int axis;                /* Softmax, Concat, Split, Gather, ArgMax, LpNormalization, ...; may be negative until specialised */
    int keepdims;
    int n_axes; int64_t axes[MIEN_MAX_RANK]; /* reductions, squeeze, unsqueeze; n_axes 0 = all */
    int n_perm; int perm[MIEN_MAX_RANK];     /* Transpose */
    int64_t pads[2 * MIEN_MAX_RANK];         /* Pad: begins then ends, after specialise */
    float pad_value; int pad_mode;           /* 0 constant, 1 reflect, 2 edge */
    int64_t starts[MIEN_MAX_RANK], steps[MIEN_MAX_RANK]; /* Slice per output axis, after specialise; the sizes are the output shape */
    int resize_mode;         /* 0 nearest, 1 linear, 2 cubic */
    int resize_coord;        /* 0 half_pixel, 1 asymmetric, 2 align_corners, 3 pytorch_half_pixel */
    int resize_nearest;      /* 0 round_prefer_floor, 1 floor, 2 ceil, 3 round_prefer_ceil */
    float scale[2];          /* Resize: output per input in h, w; after specialise */
    int block;               /* DepthToSpace / SpaceToDepth */
    bool dcr;                /* DepthToSpace mode DCR (else CRD) */
    enum mien_elem to;       /* Cast */
    bool legacy;             /* private to src/onnx: Softmax before opset 13 (flattens), reductions whose empty axes mean "none" */
};

enum { MIEN_MAX_NODE_IN = 64, MIEN_MAX_NODE_OUT = 16 };
struct mien_node {
    const char *name;      /* for messages: ONNX node name, or "Conv_12" by position */
    enum mien_op op;
    int n_in, n_out;
    int *in;               /* tensor ids, MIEN_NO_TENSOR = omitted optional input */
    int *out;
    struct mien_attrs attr;
    /* Filled by passes, for CONV / CONV_TRANSPOSE / GEMM / MATMUL / ADD: y = act(op(x) + residual). */
    int residual;          /* tensor id of a full-size addend, or MIEN_NO_TENSOR */
    struct mien_act act;
};

struct mien_graph {
    int n_tensors; struct mien_tensor *tensor;
    int n_nodes;   struct mien_node *node;      /* topological order */
    int n_inputs;  int *input;                  /* tensor ids of real inputs (initialisers are not inputs) */
    int n_outputs; int *output;
    int opset;
    uint64_t macs;                              /* of a specialised graph: multiply-accumulates of Conv, Gemm, MatMul */
    const char *producer;
    struct mien_graph_own *own;                 /* arena and limits; private to src/onnx */
};
void mien_graph_free(struct mien_graph **g);

/* `data` must stay valid while the graph lives. Errors name the node and the reason. */
enum mien_code mien_onnx_parse(const unsigned char *data, size_t n, struct mien_graph **out, struct mien_err *e) MIEN_MUST_CHECK;

/* What a specialised graph promises, beyond concrete shapes and types of every tensor:
 *   inputs     only data: RESHAPE, SLICE, PAD, RESIZE, EXPAND, TILE, CLIP, SPLIT and reductions have in[0] alone; their parameters are
 *              in attr and in the output's shape (SPLIT: sizes along attr.axis; TILE: output / input; EXPAND: broadcasting).
 *   gone       Upsample (a RESIZE), Flatten, Squeeze, Unsqueeze (RESHAPE), Shape and everything computed from constants.
 *   BATCHNORM  in = {x, scale[C], shift[C]}: y = x * scale + shift along axis 1 (mean, variance and epsilon are folded in), with float32
 *              constants of C values; x has rank >= 2.
 *   CLIP       attr.alpha = low, attr.beta = high (+-FLT_MAX: none).   GELU attr.alpha = 1: tanh approximation.   LPNORM attr.alpha = p.
 *   GEMM       alpha and beta are 1 when the weights are constant (folded); in[2], if any, is a vector of N values then.
 *   axes       counted from the front, ascending; reductions list every axis (n_axes 0: nothing is reduced).
 *   windows    auto_pad resolved into pad; ceil_mode set only for an AVGPOOL with count_include_pad whose last window hangs over the padding
 *              (the overhang does not count in the divisor); otherwise the overhang is in pad, and floor rules hold.
 *   outputs    an output may be a constant tensor, or the same data as an input through a CAST to its own type (a copy).
 * All floating types are read as MIEN_F32. Constants may be shared by several nodes and by all specialisations of one parent. */

/* Concrete shapes for all inputs (n_shapes == g->n_inputs), each matching the declared one where that is fixed. */
enum mien_code mien_graph_specialize(const struct mien_graph *g, const struct mien_shape *shapes, int n_shapes,
                                     struct mien_graph **out, struct mien_err *e) MIEN_MUST_CHECK;

/* One line a node, for `mien models inspect` and for debugging. */
void mien_graph_print(const struct mien_graph *g, FILE *to);

#endif
