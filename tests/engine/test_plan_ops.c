/* Small networks for each operator and each way of lowering it, against the naive interpreter: float32 closely, bfloat16 loosely.
 * Every case also runs with a batch of two. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "engine/engine.h"
#include "support/onnx_build.h"
#include "support/onnx_ref.h"

#define D(...) ((const int64_t[]){__VA_ARGS__})

static struct onnx_build *start(int64_t c, int64_t h, int64_t w)
{
    struct onnx_build *b = onnx_build_new(13);
    onnx_build_input(b, "x", ONNX_FLOAT, 4, D(-1, c, h, w));
    return b;
}

static void conv(struct onnx_build *b, const char *in, const char *out, int64_t ic, int64_t oc, int64_t k, int64_t stride, int64_t groups)
{
    char w[32], bias[32], inputs[128];
    snprintf(w, sizeof w, "w_%s", out);
    snprintf(bias, sizeof bias, "b_%s", out);
    snprintf(inputs, sizeof inputs, "%s %s %s", in, w, bias);
    const float range = 1.0f / sqrtf((float)(ic / groups * k * k));
    onnx_build_random(b, w, 4, D(oc, ic / groups, k, k), -range, range, (uint32_t)(oc + k));
    onnx_build_random(b, bias, 1, D(oc), -0.5f, 0.5f, 7);
    onnx_build_node(b, "Conv", inputs, out);
    onnx_build_ints(b, "kernel_shape", 2, D(k, k));
    onnx_build_ints(b, "strides", 2, D(stride, stride));
    onnx_build_ints(b, "pads", 4, D(k / 2, k / 2, k / 2, k / 2));
    onnx_build_int(b, "group", groups);
}

static void prelu(struct onnx_build *b, const char *in, const char *out, int64_t c)
{
    char slope[32], inputs[128];
    snprintf(slope, sizeof slope, "s_%s", out);
    snprintf(inputs, sizeof inputs, "%s %s", in, slope);
    onnx_build_random(b, slope, 3, D(c, 1, 1), -0.5f, 0.5f, 3);
    onnx_build_node(b, "PRelu", inputs, out);
}

static struct onnx_build *conv_plain(void)
{
    struct onnx_build *b = start(3, 17, 13);
    conv(b, "x", "a", 3, 20, 3, 2, 1);
    onnx_build_node(b, "Relu", "a", "y");
    onnx_build_output(b, "y");
    return b;
}

static struct onnx_build *conv_one_channel(void)
{
    struct onnx_build *b = start(1, 16, 16);
    conv(b, "x", "a", 1, 5, 5, 1, 1);
    conv(b, "a", "y", 5, 1, 1, 1, 1);
    onnx_build_output(b, "y");
    return b;
}

static struct onnx_build *conv_depthwise(void)
{
    struct onnx_build *b = start(13, 11, 9);
    conv(b, "x", "a", 13, 13, 3, 2, 13);
    prelu(b, "a", "p", 13);
    conv(b, "p", "y", 13, 13, 5, 2, 13);
    onnx_build_output(b, "y");
    return b;
}

/* YuNet's heads, computed as one: the first has one channel, so its own depthwise convolution has one group. */
static struct onnx_build *detector_heads(void)
{
    static const int64_t CHANNELS[] = {1, 10, 1, 4};
    struct onnx_build *b = start(16, 9, 7);
    char head[16], each[16], out[16];
    for (int i = 0; i < 4; i++) {
        const int64_t c = CHANNELS[i];
        snprintf(head, sizeof head, "h%d", i);
        snprintf(each, sizeof each, "d%d", i);
        snprintf(out, sizeof out, "y%d", i);
        conv(b, "x", head, 16, c, 1, 1, 1);
        conv(b, head, each, c, c, 3, 1, c);
        onnx_build_node(b, "Transpose", each, out);
        onnx_build_ints(b, "perm", 4, D(0, 2, 3, 1));
        onnx_build_output(b, out);
    }
    return b;
}

static struct onnx_build *conv_groups(void)
{
    struct onnx_build *b = start(12, 10, 10);
    conv(b, "x", "y", 12, 18, 3, 1, 3);
    onnx_build_output(b, "y");
    return b;
}

static struct onnx_build *conv_asymmetric(void)
{
    struct onnx_build *b = start(8, 16, 16);
    onnx_build_random(b, "w", 4, D(16, 8, 3, 3), -0.2f, 0.2f, 1);
    onnx_build_node(b, "Conv", "x w", "y");
    onnx_build_ints(b, "strides", 2, D(2, 2));
    onnx_build_ints(b, "pads", 4, D(0, 0, 1, 1));
    onnx_build_output(b, "y");
    return b;
}

static struct onnx_build *conv_dilated(void)
{
    struct onnx_build *b = start(4, 20, 20);
    onnx_build_random(b, "w", 4, D(8, 4, 3, 3), -0.2f, 0.2f, 1);
    onnx_build_node(b, "Conv", "x w", "y");
    onnx_build_ints(b, "dilations", 2, D(2, 2));
    onnx_build_ints(b, "pads", 4, D(2, 1, 0, 2));
    onnx_build_output(b, "y");
    return b;
}

static struct onnx_build *conv_transpose(void)
{
    struct onnx_build *b = start(6, 7, 5);
    onnx_build_random(b, "w", 4, D(6, 4, 3, 3), -0.2f, 0.2f, 1);
    onnx_build_random(b, "bias", 1, D(4), -1, 1, 2);
    onnx_build_node(b, "ConvTranspose", "x w bias", "a");
    onnx_build_ints(b, "strides", 2, D(2, 2));
    onnx_build_ints(b, "pads", 4, D(1, 1, 1, 1));
    onnx_build_ints(b, "output_padding", 2, D(1, 1));
    onnx_build_node(b, "Relu", "a", "y");
    onnx_build_output(b, "y");
    return b;
}

/* The skip dies at the addition: the sum is written over it. */
static struct onnx_build *residual_dies(void)
{
    struct onnx_build *b = start(16, 8, 8);
    conv(b, "x", "skip", 16, 16, 1, 1, 1);
    conv(b, "skip", "a", 16, 16, 1, 1, 1);
    onnx_build_node(b, "Relu", "a", "r");
    conv(b, "r", "c", 16, 16, 1, 1, 1);
    onnx_build_node(b, "Add", "c skip", "s");
    prelu(b, "s", "y", 16);
    onnx_build_output(b, "y");
    return b;
}

/* The skip is read again afterwards, and is an output: it must survive. */
static struct onnx_build *residual_lives(void)
{
    struct onnx_build *b = start(16, 8, 8);
    conv(b, "x", "skip", 16, 16, 1, 1, 1);
    conv(b, "skip", "a", 16, 16, 1, 1, 1);
    onnx_build_node(b, "Add", "skip a", "s");
    onnx_build_node(b, "Relu", "s", "t");
    onnx_build_node(b, "Mul", "t skip", "y");
    onnx_build_output(b, "y");
    onnx_build_output(b, "skip");
    return b;
}

/* The convolution reads the very tensor that is added. */
static struct onnx_build *residual_self(void)
{
    struct onnx_build *b = start(16, 12, 12);
    conv(b, "x", "a", 16, 16, 3, 1, 1);
    conv(b, "a", "c", 16, 16, 3, 1, 1);
    onnx_build_node(b, "Add", "a c", "y");
    onnx_build_output(b, "y");
    return b;
}

static struct onnx_build *flatten_gemm(void)
{
    struct onnx_build *b = start(6, 5, 4);
    conv(b, "x", "a", 6, 10, 1, 1, 1);
    onnx_build_node(b, "Flatten", "a", "f");
    onnx_build_random(b, "g", 2, D(7, 200), -0.1f, 0.1f, 4);
    onnx_build_random(b, "gb", 1, D(7), -1, 1, 5);
    onnx_build_node(b, "Gemm", "f g gb", "y");
    onnx_build_int(b, "transB", 1);
    onnx_build_output(b, "y");
    onnx_build_node(b, "Sigmoid", "f", "z"); /* and a reader that needs the flattening itself */
    onnx_build_output(b, "z");
    return b;
}

static struct onnx_build *matmul(void)
{
    struct onnx_build *b = start(6, 5, 8);
    onnx_build_random(b, "g", 2, D(8, 9), -0.3f, 0.3f, 4);
    onnx_build_node(b, "MatMul", "x g", "a");
    onnx_build_node(b, "Transpose", "a", "t");
    onnx_build_ints(b, "perm", 4, D(0, 1, 3, 2));
    onnx_build_node(b, "MatMul", "a t", "y");
    onnx_build_output(b, "y");
    return b;
}

static void pool(struct onnx_build *b, const char *op, const char *out, int64_t k, int64_t stride, const int64_t *pads, int ceil_mode, int include)
{
    onnx_build_node(b, op, "x", out);
    onnx_build_ints(b, "kernel_shape", 2, D(k, k));
    onnx_build_ints(b, "strides", 2, D(stride, stride));
    onnx_build_ints(b, "pads", 4, pads);
    onnx_build_int(b, "ceil_mode", ceil_mode);
    if (include) onnx_build_int(b, "count_include_pad", 1);
    onnx_build_output(b, out);
}

static struct onnx_build *pooling(void)
{
    struct onnx_build *b = start(11, 9, 13);
    pool(b, "MaxPool", "a", 2, 2, D(0, 0, 0, 0), 0, 0);
    pool(b, "MaxPool", "b", 3, 2, D(0, 0, 1, 1), 0, 0);
    pool(b, "AveragePool", "c", 2, 2, D(0, 0, 0, 0), 1, 0);
    pool(b, "AveragePool", "d", 3, 1, D(1, 1, 1, 1), 0, 1);
    onnx_build_node(b, "GlobalAveragePool", "x", "e");
    onnx_build_output(b, "e");
    onnx_build_node(b, "GlobalMaxPool", "x", "f");
    onnx_build_output(b, "f");
    return b;
}

static struct onnx_build *resizing(void)
{
    struct onnx_build *b = start(5, 6, 7);
    onnx_build_f32(b, "two", 1, D(4), (const float[]){1, 1, 2, 2});
    onnx_build_node(b, "Resize", "x _ two", "a");
    onnx_build_string(b, "coordinate_transformation_mode", "asymmetric");
    onnx_build_string(b, "nearest_mode", "floor");
    onnx_build_string(b, "mode", "nearest");
    onnx_build_output(b, "a");
    onnx_build_node(b, "Resize", "x _ two", "b");
    onnx_build_string(b, "mode", "linear");
    onnx_build_output(b, "b");
    return b;
}

static struct onnx_build *squeeze_excite(void)
{
    struct onnx_build *b = start(8, 6, 6);
    conv(b, "x", "a", 8, 8, 1, 1, 1);
    onnx_build_node(b, "GlobalAveragePool", "a", "g");
    conv(b, "g", "h", 8, 8, 1, 1, 1);
    onnx_build_node(b, "Sigmoid", "h", "s");
    onnx_build_node(b, "Mul", "a s", "y");
    onnx_build_output(b, "y");
    return b;
}

/* The tail of a detector: NCHW maps to rows of boxes, several levels joined. */
static struct onnx_build *detector_tail(void)
{
    struct onnx_build *b = start(8, 6, 6);
    conv(b, "x", "a", 8, 8, 1, 1, 1);
    conv(b, "x", "b", 8, 8, 3, 2, 1);
    for (int i = 0; i < 2; i++) {
        onnx_build_node(b, "Transpose", i == 0 ? "a" : "b", i == 0 ? "ta" : "tb");
        onnx_build_ints(b, "perm", 4, D(0, 2, 3, 1));
    }
    onnx_build_i64(b, "rows", 3, D(0, -1, 4));
    onnx_build_node(b, "Reshape", "ta rows", "ra");
    onnx_build_node(b, "Reshape", "tb rows", "rb");
    onnx_build_node(b, "Concat", "ra rb", "j");
    onnx_build_int(b, "axis", 1);
    onnx_build_node(b, "Softmax", "j", "y");
    onnx_build_int(b, "axis", -1);
    onnx_build_output(b, "y");
    onnx_build_output(b, "j");
    return b;
}

static struct onnx_build *concat_channels(void)
{
    struct onnx_build *b = start(5, 7, 7);
    conv(b, "x", "a", 5, 6, 1, 1, 1);
    conv(b, "x", "c", 5, 3, 3, 1, 1);
    onnx_build_node(b, "Concat", "a c x", "j");
    onnx_build_int(b, "axis", 1);
    conv(b, "j", "y", 14, 4, 1, 1, 1);
    onnx_build_output(b, "y");
    return b;
}

static struct onnx_build *slicing(void)
{
    struct onnx_build *b = start(8, 6, 5);
    onnx_build_i64(b, "from", 2, D(1, 4));
    onnx_build_i64(b, "to", 2, D(7, 0));
    onnx_build_i64(b, "axes", 2, D(1, 2));
    onnx_build_i64(b, "steps", 2, D(2, -1));
    onnx_build_node(b, "Slice", "x from to axes steps", "a");
    onnx_build_output(b, "a");
    onnx_build_i64(b, "sizes", 3, D(2, 5, 1));
    onnx_build_node(b, "Split", "x sizes", "s t u");
    onnx_build_int(b, "axis", 1);
    onnx_build_node(b, "Mul", "s u", "v");
    onnx_build_output(b, "v");
    onnx_build_output(b, "t");
    return b;
}

static struct onnx_build *arithmetic(void)
{
    struct onnx_build *b = start(6, 4, 5);
    onnx_build_random(b, "channel", 3, D(6, 1, 1), 0.5f, 1.5f, 2);
    onnx_build_random(b, "row", 2, D(4, 1), 0.5f, 1.5f, 3);
    onnx_build_scalar(b, "half", 0.5f);
    onnx_build_node(b, "Mul", "x channel", "a");
    onnx_build_node(b, "Abs", "a", "a2");
    onnx_build_node(b, "Sub", "half a2", "c");
    onnx_build_node(b, "Div", "c row", "d");
    onnx_build_node(b, "Exp", "d", "e");
    onnx_build_node(b, "Max", "e x", "f");
    onnx_build_node(b, "Sqrt", "e", "g");
    onnx_build_node(b, "Add", "f g", "y");
    onnx_build_output(b, "y");
    onnx_build_node(b, "ReduceMean", "x", "m");
    onnx_build_ints(b, "axes", 2, D(1, 3));
    onnx_build_int(b, "keepdims", 0);
    onnx_build_output(b, "m");
    return b;
}

static struct onnx_build *padding(void)
{
    struct onnx_build *b = start(3, 4, 5);
    onnx_build_i64(b, "p", 8, D(0, 1, 0, 2, 0, 2, 1, 0));
    onnx_build_node(b, "Pad", "x p", "y");
    onnx_build_output(b, "y");
    return b;
}

static struct onnx_build *depth_to_space(void)
{
    struct onnx_build *b = start(12, 3, 4);
    onnx_build_node(b, "DepthToSpace", "x", "a");
    onnx_build_int(b, "blocksize", 2);
    onnx_build_output(b, "a");
    onnx_build_node(b, "DepthToSpace", "x", "c");
    onnx_build_int(b, "blocksize", 2);
    onnx_build_string(b, "mode", "CRD");
    onnx_build_output(b, "c");
    return b;
}

static struct onnx_build *rare(void)
{
    struct onnx_build *b = start(4, 5, 6);
    onnx_build_i64(b, "times", 4, D(1, 2, 1, 3));
    onnx_build_node(b, "Tile", "x times", "a");
    onnx_build_output(b, "a");
    onnx_build_random(b, "scale", 1, D(4), 0.5f, 1.5f, 1);
    onnx_build_random(b, "shift", 1, D(4), -0.5f, 0.5f, 2);
    onnx_build_node(b, "InstanceNormalization", "x scale shift", "c");
    onnx_build_output(b, "c");
    onnx_build_i64(b, "flat", 3, D(0, 4, 30));
    onnx_build_node(b, "Reshape", "x flat", "r");
    onnx_build_node(b, "InstanceNormalization", "r scale shift", "d");
    onnx_build_output(b, "d");
    onnx_build_node(b, "LpNormalization", "x", "e");
    onnx_build_int(b, "axis", 1);
    onnx_build_output(b, "e");
    onnx_build_i64(b, "which", 3, D(2, 0, -1));
    onnx_build_node(b, "Gather", "x which", "g");
    onnx_build_int(b, "axis", 2);
    onnx_build_output(b, "g");
    return b;
}

/* Rows of tokens: constants run along the last of three axes. */
static struct onnx_build *tokens(void)
{
    struct onnx_build *b = start(6, 4, 5);
    conv(b, "x", "a", 6, 8, 1, 1, 1);
    onnx_build_i64(b, "flat", 3, D(0, 8, 20));
    onnx_build_node(b, "Reshape", "a flat", "f");
    onnx_build_node(b, "Transpose", "f", "t");
    onnx_build_ints(b, "perm", 3, D(0, 2, 1));
    onnx_build_random(b, "scale", 1, D(8), 0.5f, 1.5f, 1);
    onnx_build_node(b, "Mul", "t scale", "m");
    onnx_build_node(b, "Sigmoid", "m", "s");
    onnx_build_random(b, "row", 2, D(20, 1), 0.5f, 1.5f, 2);
    onnx_build_node(b, "Mul", "s row", "y");
    onnx_build_output(b, "y");
    return b;
}

static struct onnx_build *argmax(void)
{
    struct onnx_build *b = start(4, 5, 6);
    onnx_build_node(b, "ArgMax", "x", "a");
    onnx_build_int(b, "axis", 1);
    onnx_build_int(b, "keepdims", 0);
    onnx_build_output(b, "a");
    return b;
}

static struct onnx_build *hard_swish(void)
{
    struct onnx_build *b = start(9, 5, 5);
    conv(b, "x", "a", 9, 12, 1, 1, 1);
    onnx_build_node(b, "HardSigmoid", "a", "h");
    onnx_build_float(b, "alpha", 1.0f / 6);
    onnx_build_float(b, "beta", 0.5f);
    onnx_build_node(b, "Mul", "a h", "s");
    conv(b, "s", "c", 12, 12, 3, 1, 12);
    onnx_build_node(b, "Sigmoid", "c", "g");
    onnx_build_node(b, "Mul", "c g", "y");
    onnx_build_output(b, "y");
    return b;
}

struct io { float *in; float **want; int n_out; };

/* Largest difference over largest value of all outputs. */
static double difference(struct mien_exec *x, const struct mien_graph *g, float **want)
{
    double worst = 0;
    for (int i = 0; i < g->n_outputs; i++) {
        const struct mien_shape s = mien_exec_output_shape(x, i);
        const int64_t n = mien_shape_count(&s);
        assert_int_equal(n, mien_shape_count(&g->tensor[g->output[i]].shape));
        double peak = 1e-30, diff = 0;
        for (int64_t k = 0; k < n; k++) {
            const double a = (double)mien_exec_output(x, i)[k], b = (double)want[i][k];
            assert_true(isfinite(a));
            if (fabs(b) > peak) peak = fabs(b);
            if (fabs(a - b) > diff) diff = fabs(a - b);
        }
        if (diff / peak > worst) worst = diff / peak;
    }
    return worst;
}

static void run_case(struct onnx_build *(*make)(void), enum mien_precision precision, int batch, double allowed)
{
    struct mien_err e = {.msg = ""};
    size_t size;
    unsigned char *model = onnx_build_done(make(), &size);
    struct mien_net_settings settings;
    mien_net_settings_default(&settings);
    settings.precision = precision;
    struct mien_net *net;
    struct mien_session *session;
    struct mien_exec *x;
    struct mien_graph *parsed, *g;
    if (mien_net_open_memory(model, size, "case", &settings, &net, &e) != MIEN_OK) fail_msg("%s", e.msg);
    assert_int_equal(mien_session_create(&session, &e), MIEN_OK);
    struct mien_shape shape = mien_net_input_shape(net, 0);
    shape.dim[0] = batch;
    if (mien_session_exec(session, net, &shape, 1, &x, &e) != MIEN_OK) fail_msg("%s", e.msg);
    assert_int_equal(mien_onnx_parse(model, size, &parsed, &e), MIEN_OK);
    assert_int_equal(mien_graph_specialize(parsed, &shape, 1, &g, &e), MIEN_OK);
    const size_t n = (size_t)mien_shape_count(&shape);
    float *in = malloc(n * sizeof *in), **want;
    assert_non_null(in);
    onnx_ref_fill(in, n, -1, 1);
    const char *unknown = onnx_ref_run(g, (const float *const[]){in}, &want);
    if (unknown != NULL) fail_msg("the interpreter has no %s", unknown);
    const size_t hw = (size_t)(shape.dim[2] * shape.dim[3]), c = (size_t)shape.dim[1];
    for (size_t i = 0; i < n; i++) mien_exec_input(x, 0)[(i / hw / c * hw + i % hw) * c + i / hw % c] = in[i];
    for (int again = 0; again < 2; again++) { /* the second run finds the memory as the first left it */
        if (mien_exec_run(x, &e) != MIEN_OK) fail_msg("%s", e.msg);
        const double worst = difference(x, g, want);
        if (worst > allowed) {
            mien_exec_print(x, stderr);
            fail_msg("type %d, batch %d, run %d: difference %g", (int)precision, batch, again, worst);
        }
    }
    assert_int_equal(mien_exec_info(x).reference_steps, 0);
    for (int i = 0; i < g->n_outputs; i++) free(want[i]);
    free(want);
    free(in);
    mien_graph_free(&g);
    mien_graph_free(&parsed);
    mien_session_free(&session);
    mien_net_free(&net);
    free(model);
}

static struct onnx_build *(*const cases[])(void) = {
    conv_plain,     conv_one_channel, conv_depthwise, detector_heads,  conv_groups,  conv_asymmetric, conv_dilated,
    conv_transpose, residual_dies,    residual_lives, residual_self,   flatten_gemm, matmul,          pooling,
    resizing,       squeeze_excite,   detector_tail,  concat_channels, slicing,      arithmetic,      padding,
    depth_to_space, hard_swish,       rare,           tokens,          argmax};
static const char *const names[] = {
    "conv_plain",     "conv_one_channel", "conv_depthwise", "detector_heads",  "conv_groups",  "conv_asymmetric", "conv_dilated",
    "conv_transpose", "residual_dies",    "residual_lives", "residual_self",   "flatten_gemm", "matmul",          "pooling",
    "resizing",       "squeeze_excite",   "detector_tail",  "concat_channels", "slicing",      "arithmetic",      "padding",
    "depth_to_space", "hard_swish",       "rare",           "tokens",          "argmax"};

static void test_case(void **state)
{
    const size_t i = (size_t)(uintptr_t)*state;
    for (int batch = 1; batch <= 2; batch++) {
        run_case(cases[i], MIEN_PRECISION_F32, batch, 1e-4);
        run_case(cases[i], MIEN_PRECISION_BF16, batch, 4e-2);
    }
}

int main(void)
{
    enum { N = sizeof cases / sizeof *cases };
    static struct CMUnitTest tests[N];
    for (size_t i = 0; i < N; i++) tests[i] = (struct CMUnitTest){names[i], test_case, NULL, NULL, (void *)(uintptr_t)i};
    return cmocka_run_group_tests_name("plan_ops", tests, NULL, NULL);
}
