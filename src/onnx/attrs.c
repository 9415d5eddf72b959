/* Attributes of every operator into struct mien_attrs, with ONNX's defaults for the model's opset.
 * Operator definitions: https://onnx.ai/onnx/operators/ . What moved from attribute to input over the opsets
 * becomes a constant input here, so that inference knows one form only. */
#include "onnx/proto.h"

#include <float.h>

static const char *const auto_pads[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", NULL};

static void fail(struct mien_attr_bag *b, enum mien_code code, const char *why)
{
    if (b->code == MIEN_OK) b->code = MIEN_NODE_FAIL(b->e, code, b->node, "%s", why);
}

/* A list of `n` small non-negative integers, or `otherwise` in every place when the attribute is absent. */
static void small_ints(struct mien_attr_bag *b, const char *name, int *out, int n, int otherwise, int least)
{
    int64_t v[4] = {0};
    int got = mien_bag_ints(b, name, v, 4);
    for (int i = 0; i < n; i++) out[i] = otherwise;
    if (got == 0) return;
    if (got != n) return fail(b, MIEN_E_ONNX_UNSUPPORTED, "only two-dimensional windows are supported");
    for (int i = 0; i < n; i++) {
        if (v[i] < least || v[i] > 32767) return fail(b, MIEN_E_ONNX_FORMAT, "a window, stride, dilation or padding is out of range");
        out[i] = (int)v[i];
    }
}

static int small(struct mien_attr_bag *b, const char *name, int64_t otherwise)
{
    int64_t v = mien_bag_int(b, name, otherwise);
    if (v >= INT32_MIN && v <= INT32_MAX) return (int)v;
    fail(b, MIEN_E_ONNX_FORMAT, "an attribute is out of range");
    return 0;
}

static void window(struct mien_attr_bag *b, struct mien_attrs *a)
{
    small_ints(b, "kernel_shape", a->kernel, 2, 0, 1); /* 0 = as the weights say */
    small_ints(b, "strides", a->stride, 2, 1, 1);
    small_ints(b, "dilations", a->dilation, 2, 1, 1);
    small_ints(b, "pads", a->pad, 4, 0, 0);
    a->auto_pad = mien_bag_choice(b, "auto_pad", auto_pads, 0);
}

static void axes(struct mien_attr_bag *b, struct mien_attrs *a) { a->n_axes = mien_bag_ints(b, "axes", a->axes, MIEN_MAX_RANK); }

/* Gives the node a constant 1-D input number k; values are copied. */
static void constant_input(struct mien_attr_bag *b, int node, int k, const void *values, int n, enum mien_elem type)
{
    struct mien_graph *g = b->g;
    int id = mien_graph_tensor(g, "");
    void *to = mien_graph_alloc(g, (size_t)n * mien_elem_size(type));
    int *in = mien_graph_alloc(g, sizeof *in * (size_t)(k + 1 > g->node[node].n_in ? k + 1 : g->node[node].n_in));
    if (id < 0 || to == NULL || in == NULL) {
        b->code = MIEN_NO_MEMORY(b->e);
        return;
    }
    if (n > 0) memcpy(to, values, (size_t)n * mien_elem_size(type));
    g->tensor[id] = (struct mien_tensor){.name = "", .type = type, .shape = {.rank = 1, .dim = {n}}, .data = to,
                                         .bytes = (size_t)n * mien_elem_size(type)};
    struct mien_node *nd = &g->node[node];
    for (int i = 0; i <= k || i < nd->n_in; i++) in[i] = i < nd->n_in ? nd->in[i] : MIEN_NO_TENSOR;
    if (k + 1 > nd->n_in) nd->n_in = k + 1;
    in[k] = id;
    nd->in = in;
}

static void int_list_input(struct mien_attr_bag *b, int node, const char *name, int k)
{
    int64_t v[2 * MIEN_MAX_RANK];
    if (mien_bag_find(b, name) == NULL) return;
    int n = mien_bag_ints(b, name, v, 2 * MIEN_MAX_RANK);
    if (b->code == MIEN_OK) constant_input(b, node, k, v, n, MIEN_I64);
}

static void convolution(struct mien_attr_bag *b, struct mien_attrs *a, bool transposed)
{
    window(b, a);
    a->groups = small(b, "group", 1);
    if (a->groups < 1) fail(b, MIEN_E_ONNX_FORMAT, "group must be positive");
    if (!transposed) return;
    small_ints(b, "output_padding", a->output_pad, 2, 0, 0);
    if (mien_bag_find(b, "output_shape") != NULL) fail(b, MIEN_E_ONNX_UNSUPPORTED, "output_shape is not supported");
}

static void pool(struct mien_attr_bag *b, struct mien_attrs *a)
{
    window(b, a);
    if (a->kernel[0] == 0) fail(b, MIEN_E_ONNX_FORMAT, "kernel_shape is missing");
    a->ceil_mode = mien_bag_int(b, "ceil_mode", 0) != 0;
    a->count_include_pad = mien_bag_int(b, "count_include_pad", 0) != 0;
}

static void batchnorm(struct mien_attr_bag *b, struct mien_attrs *a)
{
    a->epsilon = mien_bag_float(b, "epsilon", 1e-5f);
    if (mien_bag_int(b, "training_mode", 0) != 0) fail(b, MIEN_E_ONNX_UNSUPPORTED, "training mode");
    if (mien_bag_int(b, "spatial", 1) != 1) fail(b, MIEN_E_ONNX_UNSUPPORTED, "spatial=0");
}

static void resize(struct mien_attr_bag *b, struct mien_attrs *a, int node, bool upsample)
{
    static const char *const modes[] = {"nearest", "linear", "cubic", "bilinear", NULL};
    static const char *const coords[] = {"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", NULL};
    static const char *const roundings[] = {"round_prefer_floor", "floor", "ceil", "round_prefer_ceil", NULL};
    a->resize_mode = mien_bag_choice(b, "mode", modes, 0);
    if (a->resize_mode == 3) a->resize_mode = 1;
    bool old = upsample || b->opset < 11; /* both: asymmetric, rounded down */
    a->resize_coord = mien_bag_choice(b, "coordinate_transformation_mode", coords, old ? 1 : 0);
    a->resize_nearest = mien_bag_choice(b, "nearest_mode", roundings, old ? 1 : 0);
    if (a->resize_mode == 2 && mien_bag_float(b, "cubic_coeff_a", -0.75f) != -0.75f) fail(b, MIEN_E_ONNX_UNSUPPORTED, "cubic_coeff_a other than -0.75");
    if (a->resize_mode != 0 && (mien_bag_int(b, "exclude_outside", 0) || mien_bag_int(b, "antialias", 0)))
        fail(b, MIEN_E_ONNX_UNSUPPORTED, "exclude_outside and antialias are not supported");
    static const char *const policies[] = {"stretch", NULL};
    (void)mien_bag_choice(b, "keep_aspect_ratio_policy", policies, 0);
    axes(b, a);
    float scales[8];
    int n = mien_bag_floats(b, "scales", scales, 8); /* Upsample 7 */
    if (n > 0) constant_input(b, node, 1, scales, n, MIEN_F32);
    if (!old) return;
    /* (X, scales) -> (X, roi, scales), the later form */
    struct mien_node *nd = &b->g->node[node];
    if (nd->n_in != 2) return fail(b, MIEN_E_ONNX_FORMAT, "scales are missing");
    int *in = mien_graph_alloc(b->g, 3 * sizeof *in);
    if (in == NULL) {
        b->code = MIEN_NO_MEMORY(b->e);
        return;
    }
    in[0] = nd->in[0];
    in[1] = MIEN_NO_TENSOR;
    in[2] = nd->in[1];
    nd->in = in;
    nd->n_in = 3;
    nd->op = MIEN_OP_RESIZE;
}

static void reduction(struct mien_attr_bag *b, struct mien_attrs *a)
{
    a->keepdims = mien_bag_int(b, "keepdims", 1) != 0;
    a->legacy = mien_bag_int(b, "noop_with_empty_axes", 0) != 0;
    axes(b, a);
}

static void pad(struct mien_attr_bag *b, struct mien_attrs *a, int node)
{
    static const char *const modes[] = {"constant", "reflect", "edge", NULL};
    a->pad_mode = mien_bag_choice(b, "mode", modes, 0);
    a->pad_value = mien_bag_float(b, "value", 0);
    int_list_input(b, node, "pads", 1);
}

static void slice(struct mien_attr_bag *b, int node)
{
    if (mien_bag_find(b, "starts") == NULL) return;
    int_list_input(b, node, "starts", 1);
    int_list_input(b, node, "ends", 2);
    int_list_input(b, node, "axes", 3);
}

static void transpose(struct mien_attr_bag *b, struct mien_attrs *a)
{
    int64_t perm[MIEN_MAX_RANK];
    a->n_perm = mien_bag_ints(b, "perm", perm, MIEN_MAX_RANK);
    unsigned seen = 0;
    for (int i = 0; i < a->n_perm; i++) {
        if (perm[i] < 0 || perm[i] >= a->n_perm || seen >> perm[i] & 1) return fail(b, MIEN_E_ONNX_FORMAT, "perm is not a permutation");
        seen |= 1u << perm[i];
        a->perm[i] = (int)perm[i];
    }
}

static void constant_of_shape(struct mien_attr_bag *b, int node)
{
    float zero = 0;
    constant_input(b, node, 1, &zero, 1, MIEN_F32);
    if (b->code == MIEN_OK && mien_bag_find(b, "value") != NULL) b->code = mien_proto_constant(b, b->g->node[node].in[1]);
}

static void linear_algebra(struct mien_attr_bag *b, struct mien_attrs *a)
{
    a->alpha = mien_bag_float(b, "alpha", 1);
    a->beta = mien_bag_float(b, "beta", 1);
    a->trans_a = mien_bag_int(b, "transA", 0) != 0;
    a->trans_b = mien_bag_int(b, "transB", 0) != 0;
}

/* Operators with at most a few scalars. */
static void scalars(struct mien_attr_bag *b, struct mien_attrs *a, enum mien_op op)
{
    static const char *const approximations[] = {"none", "tanh", NULL};
    static const char *const dts_modes[] = {"DCR", "CRD", NULL};
    switch ((int)op) {
    case MIEN_OP_INSTANCENORM: a->epsilon = mien_bag_float(b, "epsilon", 1e-5f); break;
    case MIEN_OP_LAYERNORM:
        a->epsilon = mien_bag_float(b, "epsilon", 1e-5f);
        a->axis = small(b, "axis", -1);
        break;
    case MIEN_OP_LEAKYRELU: a->alpha = mien_bag_float(b, "alpha", 0.01f); break;
    case MIEN_OP_ELU: a->alpha = mien_bag_float(b, "alpha", 1); break;
    case MIEN_OP_HARDSIGMOID:
        a->alpha = mien_bag_float(b, "alpha", 0.2f);
        a->beta = mien_bag_float(b, "beta", 0.5f);
        break;
    case MIEN_OP_CLIP:
        a->alpha = mien_bag_float(b, "min", -FLT_MAX);
        a->beta = mien_bag_float(b, "max", FLT_MAX);
        break;
    case MIEN_OP_SOFTMAX:
        a->legacy = b->opset < 13;
        a->axis = small(b, "axis", a->legacy ? 1 : -1);
        break;
    case MIEN_OP_GELU: a->alpha = (float)mien_bag_choice(b, "approximate", approximations, 0); break;
    case MIEN_OP_LPNORM:
        a->axis = small(b, "axis", -1);
        a->alpha = (float)small(b, "p", 2);
        if (a->alpha != 1 && a->alpha != 2) fail(b, MIEN_E_ONNX_FORMAT, "p must be 1 or 2");
        break;
    case MIEN_OP_ARGMAX:
        a->axis = small(b, "axis", 0);
        a->keepdims = mien_bag_int(b, "keepdims", 1) != 0;
        if (mien_bag_int(b, "select_last_index", 0)) fail(b, MIEN_E_ONNX_UNSUPPORTED, "select_last_index");
        break;
    case MIEN_OP_DEPTHTOSPACE:
    case MIEN_OP_SPACETODEPTH:
        a->block = small(b, "blocksize", 0);
        a->dcr = mien_bag_choice(b, "mode", dts_modes, 0) == 0;
        if (a->block < 1 || a->block > 1024) fail(b, MIEN_E_ONNX_FORMAT, "blocksize is out of range");
        break;
    case MIEN_OP_CONCAT:
        if (mien_bag_find(b, "axis") == NULL) fail(b, MIEN_E_ONNX_FORMAT, "axis is missing");
        a->axis = small(b, "axis", 0);
        break;
    case MIEN_OP_SPLIT:
    case MIEN_OP_GATHER: a->axis = small(b, "axis", 0); break;
    case MIEN_OP_FLATTEN: a->axis = small(b, "axis", 1); break;
    case MIEN_OP_RESHAPE:
        if (mien_bag_int(b, "allowzero", 0)) fail(b, MIEN_E_ONNX_UNSUPPORTED, "allowzero");
        break;
    case MIEN_OP_SHAPE:
        a->starts[0] = small(b, "start", 0);
        a->steps[0] = small(b, "end", INT32_MAX);
        break;
    case MIEN_OP_CAST:
        a->to = mien_proto_elem((uint64_t)mien_bag_int(b, "to", 0));
        if (a->to == MIEN_ELEM_NONE) fail(b, MIEN_E_ONNX_UNSUPPORTED, "target type");
        break;
    default: break;
    }
}

/* Decoders may add constant tensors and so move g->tensor, but never g->node. */
enum mien_code mien_decode_attrs(struct mien_attr_bag *b, int node)
{
    struct mien_attrs attr = {0}, *a = &attr;
    enum mien_op op = b->g->node[node].op;
    switch ((int)op) {
    case MIEN_OP_CONV: convolution(b, a, false); break;
    case MIEN_OP_CONV_TRANSPOSE: convolution(b, a, true); break;
    case MIEN_OP_MAXPOOL:
    case MIEN_OP_AVGPOOL: pool(b, a); break;
    case MIEN_OP_GEMM: linear_algebra(b, a); break;
    case MIEN_OP_BATCHNORM: batchnorm(b, a); break;
    case MIEN_OP_RESIZE: resize(b, a, node, false); break;
    case MIEN_OP_UPSAMPLE: resize(b, a, node, true); break;
    case MIEN_OP_REDUCEMEAN:
    case MIEN_OP_REDUCESUM:
    case MIEN_OP_REDUCEMAX:
    case MIEN_OP_REDUCEMIN:
    case MIEN_OP_REDUCEL2: reduction(b, a); break;
    case MIEN_OP_SQUEEZE:
    case MIEN_OP_UNSQUEEZE: axes(b, a); break;
    case MIEN_OP_PAD: pad(b, a, node); break;
    case MIEN_OP_SLICE: slice(b, node); break;
    case MIEN_OP_TRANSPOSE: transpose(b, a); break;
    case MIEN_OP_CONSTANTOFSHAPE: constant_of_shape(b, node); break;
    case MIEN_OP_SPLIT: int_list_input(b, node, "split", 1); /* fall through */
    default: scalars(b, a, op); break;
    }
    b->g->node[node].attr = attr;
    return b->code;
}
