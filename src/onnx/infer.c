/* Shape inference: the table of operators, and those that work element by element.
 *
 * Rules: https://onnx.ai/onnx/operators/ ; the inputs' shapes are concrete. Parameters given as inputs (a Reshape's
 * target, a Slice's starts) move into the attributes, so that afterwards a node's inputs are only its data. */
#include "onnx/infer.h"

#include <float.h>

enum mien_code mien_infer_out(struct mien_infer *c, int k, enum mien_elem type, const struct mien_shape *s)
{
    int64_t count = mien_shape_count(s);
    MIEN_NODE_FAIL_IF(count > MIEN_MAX_ELEMENTS || count < 0, c->e, MIEN_E_LIMIT, c->n, "its result would have too many elements");
    if (k < c->n->n_out && c->n->out[k] >= 0) {
        c->g->tensor[c->n->out[k]].type = type;
        c->g->tensor[c->n->out[k]].shape = *s;
    }
    return MIEN_OK;
}

enum mien_code mien_infer_axis(const struct mien_infer *c, int rank, int64_t *axis)
{
    MIEN_BAD_SHAPE_IF(*axis < -rank || *axis >= rank, c, "axis %lld for %d dimensions", (long long)*axis, rank);
    if (*axis < 0) *axis += rank;
    return MIEN_OK;
}

enum mien_code mien_infer_need(const struct mien_infer *c, int n_in)
{
    for (int k = 0; k < n_in; k++) MIEN_NODE_FAIL_IF(mien_in(c, k) == NULL, c->e, MIEN_E_ONNX_FORMAT, c->n, "input %d is missing", k);
    return MIEN_OK;
}

bool mien_broadcast(struct mien_shape *s, const struct mien_shape *t)
{
    struct mien_shape out = {.rank = s->rank > t->rank ? s->rank : t->rank};
    for (int i = 1; i <= out.rank; i++) {
        int64_t a = i <= s->rank ? s->dim[s->rank - i] : 1, b = i <= t->rank ? t->dim[t->rank - i] : 1;
        if (a != b && a != 1 && b != 1) return false;
        out.dim[out.rank - i] = a == 1 ? b : a;
    }
    *s = out;
    return true;
}

enum mien_code mien_const_ints(const struct mien_graph *g, const struct mien_node *n, int id, const char *what, int64_t *out,
                               int max, int *count, struct mien_err *e)
{
    MIEN_NODE_FAIL_IF(!mien_is_const(g, id), e, MIEN_E_ONNX_UNSUPPORTED, n, "%s cannot be computed from the input shapes", what);
    const struct mien_tensor *t = &g->tensor[id];
    int64_t k = mien_shape_count(&t->shape);
    MIEN_NODE_FAIL_IF(k > max || (t->type != MIEN_I64 && t->type != MIEN_I32), e, MIEN_E_ONNX_SHAPE, n, "%s is not a list of at most %d integers", what, max);
    for (int64_t i = 0; i < k; i++) {
        int32_t narrow;
        if (t->type == MIEN_I64) {
            out[i] = mien_load_i64(t->data, (size_t)i);
        } else {
            memcpy(&narrow, (const unsigned char *)t->data + 4 * i, sizeof narrow);
            out[i] = narrow;
        }
    }
    *count = (int)k;
    return MIEN_OK;
}

static enum mien_code same(struct mien_infer *c)
{
    struct mien_shape s = mien_in(c, 0)->shape;
    return mien_infer_out(c, 0, mien_in(c, 0)->type, &s);
}

static enum mien_code elementwise(struct mien_infer *c)
{
    MIEN_TRY(mien_infer_need(c, 2));
    struct mien_shape s = mien_in(c, 0)->shape;
    MIEN_BAD_SHAPE_IF(!mien_broadcast(&s, &mien_in(c, 1)->shape), c, "the operands' shapes do not fit together");
    MIEN_BAD_SHAPE_IF(mien_in(c, 0)->type != mien_in(c, 1)->type && c->n->op != MIEN_OP_POW, c, "the operands' types differ");
    bool compare = c->n->op == MIEN_OP_EQUAL || c->n->op == MIEN_OP_LESS || c->n->op == MIEN_OP_GREATER;
    return mien_infer_out(c, 0, compare ? MIEN_BOOL : mien_in(c, 0)->type, &s);
}

static enum mien_code where(struct mien_infer *c)
{
    MIEN_TRY(mien_infer_need(c, 3));
    struct mien_shape s = mien_in(c, 0)->shape;
    MIEN_BAD_SHAPE_IF(!mien_broadcast(&s, &mien_in(c, 1)->shape) || !mien_broadcast(&s, &mien_in(c, 2)->shape), c, "the operands' shapes do not fit together");
    MIEN_BAD_SHAPE_IF(mien_in(c, 0)->type != MIEN_BOOL || mien_in(c, 1)->type != mien_in(c, 2)->type, c, "wrong operand types");
    return mien_infer_out(c, 0, mien_in(c, 1)->type, &s);
}

static enum mien_code prelu(struct mien_infer *c)
{
    MIEN_TRY(mien_infer_need(c, 2));
    struct mien_shape s = mien_in(c, 0)->shape;
    MIEN_BAD_SHAPE_IF(!mien_broadcast(&s, &mien_in(c, 1)->shape) || mien_shape_count(&s) != mien_shape_count(&mien_in(c, 0)->shape), c,
                      "the slope does not fit the input");
    return same(c);
}

/* Bounds given as inputs (opset 11) become attributes. */
static enum mien_code clip(struct mien_infer *c)
{
    for (int k = 1; k <= 2; k++) {
        const struct mien_tensor *t = mien_in(c, k);
        if (t == NULL) continue;
        MIEN_NODE_FAIL_IF(t->data == NULL, c->e, MIEN_E_ONNX_UNSUPPORTED, c->n, "its bounds are not constant");
        MIEN_BAD_SHAPE_IF(mien_shape_count(&t->shape) != 1, c, "a bound is not one number");
        if (mien_in(c, 0)->type != MIEN_F32 || t->type != MIEN_F32)
            return MIEN_NODE_FAIL(c->e, MIEN_E_ONNX_UNSUPPORTED, c->n, "only float32 is supported");
        *(k == 1 ? &c->n->attr.alpha : &c->n->attr.beta) = mien_load_f32(t->data, 0);
    }
    c->n->n_in = 1;
    return same(c);
}

static enum mien_code one_axis(struct mien_infer *c)
{
    int64_t axis = c->n->attr.axis;
    MIEN_TRY(mien_infer_axis(c, mien_in(c, 0)->shape.rank, &axis));
    c->n->attr.axis = (int)axis;
    return same(c);
}

/* Softmax before opset 13 flattens to [before axis, from axis on]; where the trailing dimensions are 1 that is the same. The
 * rest is rewritten with Reshape nodes by the clean-up pass, which knows by `legacy`. */
static enum mien_code softmax(struct mien_infer *c)
{
    const struct mien_shape *s = &mien_in(c, 0)->shape;
    if (s->rank == 0) return same(c);
    MIEN_TRY(one_axis(c));
    if (!c->n->attr.legacy) return MIEN_OK;
    int wide = 0, last = c->n->attr.axis;
    for (int i = c->n->attr.axis; i < s->rank; i++)
        if (s->dim[i] != 1) {
            wide++;
            last = i;
        }
    if (wide <= 1) {
        c->n->attr.axis = last;
        c->n->attr.legacy = false;
    }
    return MIEN_OK;
}

static enum mien_code channel_params(struct mien_infer *c)
{
    const struct mien_shape *s = &mien_in(c, 0)->shape;
    MIEN_TRY(mien_infer_need(c, 3));
    MIEN_BAD_SHAPE_IF(s->rank < 2, c, "the input has no channel dimension");
    for (int k = 1; k < c->n->n_in; k++)
        MIEN_BAD_SHAPE_IF(mien_in(c, k) == NULL || mien_shape_count(&mien_in(c, k)->shape) != s->dim[1], c, "input %d must have one value a channel", k);
    return same(c);
}

static enum mien_code layernorm(struct mien_infer *c)
{
    MIEN_TRY(mien_infer_need(c, 2));
    MIEN_NODE_FAIL_IF(c->n->n_out > 1, c->e, MIEN_E_ONNX_UNSUPPORTED, c->n, "its further outputs are not supported");
    return one_axis(c);
}

static enum mien_code cast(struct mien_infer *c)
{
    if (c->n->attr.to == MIEN_ELEM_NONE) c->n->attr.to = mien_in(c, 0)->type;
    struct mien_shape s = mien_in(c, 0)->shape;
    return mien_infer_out(c, 0, c->n->attr.to, &s);
}

static mien_infer_fn *rule(enum mien_op op)
{
    switch (op) {
    case MIEN_OP_CONV: return mien_infer_conv;
    case MIEN_OP_CONV_TRANSPOSE: return mien_infer_conv_transpose;
    case MIEN_OP_GEMM: return mien_infer_gemm;
    case MIEN_OP_MATMUL: return mien_infer_matmul;
    case MIEN_OP_BATCHNORM:
    case MIEN_OP_INSTANCENORM: return channel_params;
    case MIEN_OP_LAYERNORM: return layernorm;
    case MIEN_OP_RELU:
    case MIEN_OP_LEAKYRELU:
    case MIEN_OP_SIGMOID:
    case MIEN_OP_TANH:
    case MIEN_OP_ELU:
    case MIEN_OP_SOFTPLUS:
    case MIEN_OP_HARDSIGMOID:
    case MIEN_OP_HARDSWISH:
    case MIEN_OP_ERF:
    case MIEN_OP_GELU:
    case MIEN_OP_NEG:
    case MIEN_OP_ABS:
    case MIEN_OP_EXP:
    case MIEN_OP_LOG:
    case MIEN_OP_SQRT:
    case MIEN_OP_RECIPROCAL:
    case MIEN_OP_FLOOR:
    case MIEN_OP_CEIL:
    case MIEN_OP_NOT: return same;
    case MIEN_OP_PRELU: return prelu;
    case MIEN_OP_CLIP: return clip;
    case MIEN_OP_SOFTMAX: return softmax;
    case MIEN_OP_LPNORM: return one_axis;
    case MIEN_OP_ADD:
    case MIEN_OP_SUB:
    case MIEN_OP_MUL:
    case MIEN_OP_DIV:
    case MIEN_OP_POW:
    case MIEN_OP_MIN:
    case MIEN_OP_MAX:
    case MIEN_OP_EQUAL:
    case MIEN_OP_LESS:
    case MIEN_OP_GREATER: return elementwise;
    case MIEN_OP_MAXPOOL:
    case MIEN_OP_AVGPOOL: return mien_infer_pool;
    case MIEN_OP_GLOBALAVGPOOL:
    case MIEN_OP_GLOBALMAXPOOL: return mien_infer_global_pool;
    case MIEN_OP_REDUCEMEAN:
    case MIEN_OP_REDUCESUM:
    case MIEN_OP_REDUCEMAX:
    case MIEN_OP_REDUCEMIN:
    case MIEN_OP_REDUCEL2: return mien_infer_reduce;
    case MIEN_OP_ARGMAX: return mien_infer_argmax;
    case MIEN_OP_RESIZE:
    case MIEN_OP_UPSAMPLE: return mien_infer_resize;
    case MIEN_OP_PAD: return mien_infer_pad;
    case MIEN_OP_DEPTHTOSPACE: return mien_infer_depth_to_space;
    case MIEN_OP_SPACETODEPTH: return mien_infer_space_to_depth;
    case MIEN_OP_CONCAT: return mien_infer_concat;
    case MIEN_OP_SPLIT: return mien_infer_split;
    case MIEN_OP_SLICE: return mien_infer_slice;
    case MIEN_OP_TRANSPOSE: return mien_infer_transpose;
    case MIEN_OP_RESHAPE: return mien_infer_reshape;
    case MIEN_OP_FLATTEN: return mien_infer_flatten;
    case MIEN_OP_SQUEEZE: return mien_infer_squeeze;
    case MIEN_OP_UNSQUEEZE: return mien_infer_unsqueeze;
    case MIEN_OP_EXPAND: return mien_infer_expand;
    case MIEN_OP_TILE: return mien_infer_tile;
    case MIEN_OP_GATHER: return mien_infer_gather;
    case MIEN_OP_SHAPE: return mien_infer_shape_of;
    case MIEN_OP_SIZE: return mien_infer_size;
    case MIEN_OP_CAST: return cast;
    case MIEN_OP_CONSTANTOFSHAPE: return mien_infer_constant_of_shape;
    case MIEN_OP_RANGE: return mien_infer_range;
    case MIEN_OP_WHERE: return where;
    case MIEN_OP_COUNT: break;
    }
    return NULL;
}

enum mien_code mien_infer_node(struct mien_graph *g, struct mien_node *n, struct mien_err *e)
{
    struct mien_infer c = {g, n, e};
    MIEN_TRY(mien_infer_need(&c, 1));
    for (int k = 0; k < n->n_in; k++) {
        const struct mien_tensor *t = mien_in(&c, k);
        MIEN_NODE_FAIL_IF(t != NULL && mien_shape_count(&t->shape) < 0, e, MIEN_E_ONNX_SHAPE, n, "the shape of its input %.60s is not known", t->name);
    }
    mien_infer_fn *f = rule(n->op);
    MIEN_NODE_FAIL_IF(f == NULL, e, MIEN_E_INTERNAL, n, "no shape rule");
    return f(&c);
}
