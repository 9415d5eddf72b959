/* Every pass: that it happens, and that the values stay (against the graph as written, by the naive interpreter). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/onnx_check.h"

#define MUST_OPEN(m, b, unknown)                                                                       \
    do {                                                                                               \
        if (model_open((m), (b), (unknown)) != MIEN_OK) fail_msg("%s", (m)->e.msg);                    \
        assert_true(model_equivalent((m), (unknown)));                                                 \
    } while (0)

static struct onnx_build *image_model(int64_t c, int64_t h, int64_t w)
{
    struct onnx_build *b = onnx_build_new(13);
    onnx_build_input(b, "x", ONNX_FLOAT, DIMS(1, c, h, w));
    return b;
}

static void add_conv(struct onnx_build *b, const char *x, const char *y, const char *id, int64_t m, int64_t c, int64_t k, int64_t pad)
{
    char w[32], bias[32], in[128];
    snprintf(w, sizeof w, "w%s", id);
    snprintf(bias, sizeof bias, "b%s", id);
    snprintf(in, sizeof in, "%s %s %s", x, w, bias);
    onnx_build_random(b, w, DIMS(m, c, k, k), -1, 1, (uint32_t)(m * 7 + c + k));
    onnx_build_random(b, bias, DIMS(m), -1, 1, (uint32_t)(m + 99));
    onnx_build_node(b, "Conv", in, y);
    onnx_build_ints(b, "pads", DIMS(pad, pad, pad, pad));
}

static void add_batchnorm(struct onnx_build *b, const char *x, const char *y, const char *id, int64_t c)
{
    const char *part[] = {"g", "s", "m", "v"};
    char name[4][32], in[192];
    for (int i = 0; i < 4; i++) {
        snprintf(name[i], sizeof name[i], "%s%s", part[i], id);
        onnx_build_random(b, name[i], DIMS(c), i == 3 ? 0.2f : -1, i == 3 ? 2 : 1, (uint32_t)(c * 13 + i));
    }
    snprintf(in, sizeof in, "%s %s %s %s %s", x, name[0], name[1], name[2], name[3]);
    onnx_build_node(b, "BatchNormalization", in, y);
    onnx_build_float(b, "epsilon", 1e-3f);
}

static void batchnorm_folds_into_the_convolution_before(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(3, 8, 8);
    add_conv(b, "x", "c", "1", 6, 3, 3, 1);
    add_batchnorm(b, "c", "y", "n", 6);
    onnx_build_output(b, "y");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(m.graph->n_nodes, 1);
    assert_string_equal(m.graph->tensor[m.graph->output[0]].name, "y");
    /* The folded weights are the parent's: all specialisations share them. */
    const struct mien_node *here = find_op(m.graph, MIEN_OP_CONV), *parent = find_op(m.parsed, MIEN_OP_CONV);
    assert_ptr_equal(m.graph->tensor[here->in[1]].data, m.parsed->tensor[parent->in[1]].data);
    model_free(&m);
}

static void shared_weights_are_copied_before_folding(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(4, 6, 6);
    onnx_build_random(b, "w", DIMS(4, 4, 1, 1), -1, 1, 5);
    onnx_build_node(b, "Conv", "x w", "c1");
    add_batchnorm(b, "c1", "d1", "1", 4);
    onnx_build_node(b, "Conv", "d1 w", "c2");
    onnx_build_node(b, "Mul", "c2 half", "d2");
    onnx_build_scalar(b, "half", 0.5f);
    onnx_build_node(b, "Conv", "d2 w", "y");
    onnx_build_output(b, "y");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(m.graph->n_nodes, 3);
    model_free(&m);
}

static void batchnorm_folds_into_transposed_and_grouped_convolutions(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(4, 5, 5);
    onnx_build_random(b, "wt", DIMS(4, 3, 3, 3), -1, 1, 5);
    onnx_build_node(b, "ConvTranspose", "x wt", "t");
    onnx_build_ints(b, "strides", DIMS(2, 2));
    onnx_build_int(b, "group", 2);
    add_batchnorm(b, "t", "t1", "1", 6);
    onnx_build_random(b, "wg", DIMS(6, 2, 3, 3), -1, 1, 6);
    onnx_build_node(b, "Conv", "t1 wg", "g");
    onnx_build_int(b, "group", 3);
    add_batchnorm(b, "g", "y", "2", 6);
    onnx_build_output(b, "y");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(m.graph->n_nodes, 2);
    model_free(&m);
}

static void batchnorm_before_a_padded_convolution_stays(void **state)
{
    (void)state;
    for (int64_t pad = 0; pad <= 1; pad++) {
        struct onnx_build *b = image_model(3, 8, 8);
        add_batchnorm(b, "x", "n", "n", 3);
        add_conv(b, "n", "y", "1", 6, 3, 3, pad);
        onnx_build_output(b, "y");
        struct model m;
        MUST_OPEN(&m, b, 1);
        assert_int_equal(count_op(m.graph, MIEN_OP_BATCHNORM), pad);
        if (pad) assert_int_equal(find_op(m.graph, MIEN_OP_BATCHNORM)->n_in, 3);
        model_free(&m);
    }
}

/* iResNet's head: BatchNormalization, Flatten, Gemm, BatchNormalization. */
static void batchnorm_folds_into_gemm_through_flatten(void **state)
{
    (void)state;
    for (int trans = 0; trans < 2; trans++) {
        struct onnx_build *b = image_model(4, 3, 3);
        add_batchnorm(b, "x", "n", "1", 4);
        onnx_build_node(b, "Dropout", "n", "d");
        onnx_build_node(b, "Flatten", "d", "f");
        if (trans) onnx_build_random(b, "w", DIMS(5, 36), -1, 1, 3);
        else onnx_build_random(b, "w", DIMS(36, 5), -1, 1, 3);
        onnx_build_random(b, "b", DIMS(5), -1, 1, 4);
        onnx_build_node(b, "Gemm", "f w b", "g");
        onnx_build_int(b, "transB", trans);
        onnx_build_float(b, "alpha", 0.5f);
        onnx_build_float(b, "beta", 2);
        add_batchnorm(b, "g", "y", "2", 5);
        onnx_build_output(b, "y");
        struct model m;
        MUST_OPEN(&m, b, 1);
        assert_int_equal(m.graph->n_nodes, 2);
        assert_int_equal(count_op(m.graph, MIEN_OP_GEMM), 1);
        model_free(&m);
    }
}

/* Behind Flatten(axis 2) the columns are pixels, not channels. */
static void batchnorm_before_another_flatten_stays(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(4, 2, 4);
    add_batchnorm(b, "x", "n", "1", 4);
    onnx_build_node(b, "Flatten", "n", "f");
    onnx_build_int(b, "axis", 2);
    onnx_build_random(b, "w", DIMS(8, 5), -1, 1, 3);
    onnx_build_node(b, "Gemm", "f w", "y");
    onnx_build_output(b, "y");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(count_op(m.graph, MIEN_OP_BATCHNORM), 1);
    model_free(&m);
}

static void per_channel_arithmetic_folds(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(3, 8, 8);
    float pixels[3] = {127.5f, 100, 90};
    onnx_build_f32(b, "mean", DIMS(1, 3, 1, 1), pixels);
    onnx_build_scalar(b, "std", 128);
    onnx_build_node(b, "Sub", "x mean", "x1");
    onnx_build_node(b, "Div", "x1 std", "x2");
    add_conv(b, "x2", "c", "1", 4, 3, 3, 0);
    onnx_build_random(b, "s", DIMS(4, 1, 1), -1, 1, 8);
    onnx_build_random(b, "t", DIMS(1, 4, 1, 1), -1, 1, 9);
    onnx_build_node(b, "Mul", "s c", "c1");
    onnx_build_node(b, "Sub", "t c1", "c2");
    onnx_build_node(b, "Add", "c2 std", "y");
    onnx_build_output(b, "y");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(m.graph->n_nodes, 1);
    model_free(&m);
}

/* A constant that widens its operand is no per-channel map of it. */
static void broadcasting_constant_does_not_fold(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(1, 4, 4);
    onnx_build_random(b, "s", DIMS(1, 3, 1, 1), 1, 2, 8);
    onnx_build_node(b, "Mul", "x s", "x3");
    add_conv(b, "x3", "c", "1", 1, 3, 1, 0);
    onnx_build_random(b, "wide", DIMS(1, 2, 1, 1), 1, 2, 8);
    onnx_build_node(b, "Mul", "c wide", "y");
    onnx_build_output(b, "y");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(m.graph->n_nodes, 3);
    model_free(&m);
}

static void normalization_before_padding_keeps_only_the_shift(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(3, 8, 8);
    onnx_build_scalar(b, "mean", 127.5f);
    onnx_build_scalar(b, "std", 128);
    onnx_build_node(b, "Sub", "x mean", "x1");
    onnx_build_node(b, "Div", "x1 std", "x2");
    add_conv(b, "x2", "y", "1", 4, 3, 3, 1);
    onnx_build_output(b, "y");
    onnx_build_node(b, "Sub", "mean x", "z1");
    onnx_build_node(b, "Div", "z1 std", "z2");
    onnx_build_node(b, "Abs", "z2", "z");
    onnx_build_output(b, "z");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(count_op(m.graph, MIEN_OP_SUB), 1); /* the shift before the padding; the scale went into the weights */
    assert_int_equal(count_op(m.graph, MIEN_OP_DIV), 0);
    assert_int_equal(count_op(m.graph, MIEN_OP_BATCHNORM), 1);
    assert_int_equal(m.graph->n_nodes, 4);
    model_free(&m);
}

static void a_tensor_with_two_readers_is_not_folded_away(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(3, 6, 6);
    add_conv(b, "x", "c", "1", 4, 3, 1, 0);
    add_batchnorm(b, "c", "n", "1", 4);
    onnx_build_node(b, "Relu", "c", "r");
    onnx_build_node(b, "Add", "n r", "y");
    onnx_build_output(b, "y");
    onnx_build_output(b, "n");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(count_op(m.graph, MIEN_OP_BATCHNORM), 1);
    model_free(&m);
}

static void padding_folds_where_exact(void **state)
{
    (void)state;
    struct { const char *op; float value; int relu, folds; } c[] = {
        {"Conv", 0, 0, 1}, {"Conv", 1, 0, 0}, {"AveragePool", 0, 0, 1}, {"MaxPool", 0, 0, 0}, {"MaxPool", 0, 1, 1}, {"MaxPool", -3.4028235e38f, 0, 1}};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct onnx_build *b = image_model(2, 7, 7);
        const char *x = "x";
        if (c[i].relu) onnx_build_node(b, "Relu", "x", x = "r");
        char in[32];
        snprintf(in, sizeof in, "%s pads value", x);
        onnx_build_i64(b, "pads", 8, (int64_t[]){0, 0, 1, 0, 0, 0, 1, 1});
        onnx_build_scalar(b, "value", c[i].value);
        onnx_build_node(b, "Pad", in, "p");
        if (i < 2) {
            onnx_build_random(b, "w", DIMS(2, 2, 3, 3), -1, 1, 3);
            onnx_build_node(b, "Conv", "p w", "y");
        } else {
            onnx_build_node(b, c[i].op, "p", "y");
        }
        onnx_build_ints(b, "kernel_shape", DIMS(3, 3));
        onnx_build_ints(b, "strides", DIMS(2, 2));
        onnx_build_output(b, "y");
        struct model m;
        MUST_OPEN(&m, b, 1);
        assert_int_equal(count_op(m.graph, MIEN_OP_PAD), !c[i].folds);
        model_free(&m);
    }
}

static void activations_fuse(void **state)
{
    (void)state;
    struct { const char *op; enum mien_act_kind kind; } c[] = {{"Relu", MIEN_ACT_RELU}, {"LeakyRelu", MIEN_ACT_LEAKY}, {"Sigmoid", MIEN_ACT_SIGMOID},
        {"Tanh", MIEN_ACT_TANH}, {"HardSigmoid", MIEN_ACT_HARDSIGMOID}, {"HardSwish", MIEN_ACT_HARDSWISH}, {"Clip", MIEN_ACT_CLIP}, {"PRelu", MIEN_ACT_PRELU}};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct onnx_build *b = onnx_build_new(14);
        onnx_build_input(b, "x", ONNX_FLOAT, DIMS(1, 3, 6, 6));
        add_conv(b, "x", "c", "1", 4, 3, 3, 1);
        onnx_build_scalar(b, "zero", 0);
        onnx_build_scalar(b, "six", 6);
        onnx_build_random(b, "slope", DIMS(4, 1, 1), 0, 1, 3);
        onnx_build_node(b, c[i].op, i == 6 ? "c zero six" : i == 7 ? "c slope" : "c", "y");
        onnx_build_output(b, "y");
        struct model m;
        MUST_OPEN(&m, b, 1);
        assert_int_equal(m.graph->n_nodes, 1);
        assert_int_equal(m.graph->node[0].act.kind, c[i].kind);
        model_free(&m);
    }
}

static void activation_passes_reshape_transpose_and_concat(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(3, 4, 4);
    add_conv(b, "x", "c", "1", 4, 3, 1, 0);
    onnx_build_node(b, "Transpose", "c", "t");
    onnx_build_ints(b, "perm", DIMS(0, 2, 3, 1));
    onnx_build_i64(b, "s", 3, (int64_t[]){0, -1, 1});
    onnx_build_node(b, "Reshape", "t s", "r");
    onnx_build_node(b, "Sigmoid", "r", "y");
    onnx_build_output(b, "y");
    add_conv(b, "x", "d", "2", 2, 3, 3, 1);
    add_conv(b, "x", "e", "3", 5, 3, 1, 0);
    onnx_build_node(b, "Concat", "d e", "k");
    onnx_build_int(b, "axis", 1);
    onnx_build_node(b, "Relu", "k", "k1");
    add_conv(b, "k1", "z", "4", 2, 7, 1, 0);
    onnx_build_output(b, "z");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(count_op(m.graph, MIEN_OP_SIGMOID) + count_op(m.graph, MIEN_OP_RELU), 0);
    model_free(&m);
}

static void intermediate_outputs_keep_their_values(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(3, 6, 6);
    add_conv(b, "x", "c", "1", 4, 3, 3, 1);
    onnx_build_node(b, "Relu", "c", "r");
    add_conv(b, "r", "d", "2", 4, 4, 3, 1);
    onnx_build_node(b, "Add", "d r", "y");
    onnx_build_node(b, "Identity", "y", "same");
    onnx_build_node(b, "Identity", "x", "copy");
    onnx_build_output(b, "c");
    onnx_build_output(b, "d");
    onnx_build_output(b, "y");
    onnx_build_output(b, "same");
    onnx_build_output(b, "copy");
    struct model m;
    MUST_OPEN(&m, b, 1);
    const char *const name[] = {"c", "d", "y", "same", "copy"};
    for (int i = 0; i < 5; i++) assert_string_equal(m.graph->tensor[m.graph->output[i]].name, name[i]);
    model_free(&m);
}

static void residual_addition_fuses_with_its_activation(void **state)
{
    (void)state;
    for (int shortcut = 0; shortcut < 2; shortcut++) {
        struct onnx_build *b = image_model(4, 6, 6);
        add_conv(b, "x", "a", "1", 4, 4, 3, 1);
        onnx_build_node(b, "Relu", "a", "a1");
        add_conv(b, "a1", "c", "2", 4, 4, 3, 1);
        if (shortcut) add_conv(b, "x", "s", "3", 4, 4, 1, 0);
        onnx_build_node(b, "Add", shortcut ? "c s" : "x c", "r");
        onnx_build_node(b, "Relu", "r", "y");
        onnx_build_output(b, "y");
        struct model m;
        MUST_OPEN(&m, b, 1);
        assert_int_equal(m.graph->n_nodes, shortcut ? 3 : 2);
        const struct mien_node *last = &m.graph->node[m.graph->n_nodes - 1];
        assert_true(last->residual >= 0);
        assert_int_equal(last->act.kind, MIEN_ACT_RELU);
        model_free(&m);
    }
}

static void doubled_and_broadcast_additions_stay(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(4, 6, 6);
    add_conv(b, "x", "a", "1", 4, 4, 3, 1);
    onnx_build_node(b, "Add", "a a", "d");
    add_conv(b, "d", "c", "2", 4, 4, 3, 1);
    onnx_build_node(b, "GlobalAveragePool", "x", "p");
    onnx_build_node(b, "Add", "c p", "y");
    onnx_build_output(b, "y");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(count_op(m.graph, MIEN_OP_ADD), 2);
    model_free(&m);
}

static void swish_and_written_out_hard_activations_are_found(void **state)
{
    (void)state;
    for (int form = 0; form < 5; form++) {
        struct onnx_build *b = onnx_build_new(11);
        onnx_build_input(b, "x", ONNX_FLOAT, DIMS(1, 3, 6, 6));
        add_conv(b, "x", "c", "1", 4, 3, 3, 1);
        onnx_build_scalar(b, "three", 3);
        onnx_build_scalar(b, "zero", 0);
        onnx_build_scalar(b, "six", 6);
        onnx_build_scalar(b, "sixth", 1.0f / 6);
        if (form == 0) onnx_build_node(b, "Sigmoid", "c", "s");
        if (form == 1) {
            onnx_build_node(b, "HardSigmoid", "c", "s");
            onnx_build_float(b, "alpha", 0.16666667f);
        }
        if (form >= 2) {
            onnx_build_node(b, "Add", "c three", "c3");
            onnx_build_node(b, "Clip", "c3 zero six", form == 2 ? "s6" : "s");
        }
        if (form == 2) onnx_build_node(b, "Div", "s6 six", "s");
        onnx_build_node(b, "Mul", "c s", form < 3 ? "y" : "m");
        if (form == 3) onnx_build_node(b, "Div", "m six", "y");
        if (form == 4) onnx_build_node(b, "Mul", "sixth m", "y");
        onnx_build_output(b, "y");
        struct model m;
        MUST_OPEN(&m, b, 1);
        if (form == 0) {
            assert_int_equal(m.graph->n_nodes, 1);
            assert_int_equal(m.graph->node[0].act.kind, MIEN_ACT_SWISH);
        } else {
            assert_int_equal(m.graph->n_nodes, 1);
            assert_int_equal(m.graph->node[0].act.kind, MIEN_ACT_HARDSWISH);
        }
        model_free(&m);
    }
}

static void other_hard_sigmoids_stay(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(3, 6, 6);
    add_conv(b, "x", "c", "1", 4, 3, 3, 1);
    onnx_build_node(b, "HardSigmoid", "c", "s"); /* alpha 0.2 */
    onnx_build_node(b, "Mul", "c s", "y");
    onnx_build_output(b, "y");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(count_op(m.graph, MIEN_OP_HARDSIGMOID), 1);
    model_free(&m);
}

static void swish_with_a_third_reader_stays(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(3, 6, 6);
    add_conv(b, "x", "c", "1", 4, 3, 3, 1);
    onnx_build_node(b, "Sigmoid", "c", "s");
    onnx_build_node(b, "Mul", "c s", "m");
    onnx_build_node(b, "Sub", "m c", "y");
    onnx_build_output(b, "y");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(m.graph->node[0].act.kind, MIEN_ACT_NONE);
    model_free(&m);
}

static void matmul_with_bias_is_gemm(void **state)
{
    (void)state;
    struct onnx_build *b = onnx_build_new(13);
    onnx_build_input(b, "x", ONNX_FLOAT, DIMS(-1, 6));
    onnx_build_random(b, "w", DIMS(6, 5), -1, 1, 1);
    onnx_build_random(b, "b", DIMS(1, 5), -1, 1, 2);
    onnx_build_node(b, "MatMul", "x w", "m");
    onnx_build_node(b, "Add", "b m", "a");
    onnx_build_node(b, "Relu", "a", "y");
    onnx_build_output(b, "y");
    struct model m;
    MUST_OPEN(&m, b, 3);
    assert_int_equal(m.graph->n_nodes, 1);
    assert_int_equal(m.graph->node[0].op, MIEN_OP_GEMM);
    assert_int_equal(m.graph->tensor[m.graph->node[0].in[2]].shape.rank, 1);
    model_free(&m);
}

static void transposes_and_reshapes_cancel(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(3, 4, 5);
    onnx_build_node(b, "Transpose", "x", "a");
    onnx_build_ints(b, "perm", DIMS(0, 2, 3, 1));
    onnx_build_node(b, "Transpose", "a", "c");
    onnx_build_ints(b, "perm", DIMS(0, 3, 1, 2));
    onnx_build_node(b, "Relu", "c", "d");
    onnx_build_i64(b, "s1", 2, (int64_t[]){3, -1});
    onnx_build_i64(b, "s2", 4, (int64_t[]){1, 3, 4, 5});
    onnx_build_node(b, "Reshape", "d s1", "e");
    onnx_build_node(b, "Reshape", "e s2", "f");
    onnx_build_node(b, "Abs", "f", "y");
    onnx_build_output(b, "y");
    onnx_build_node(b, "GlobalAveragePool", "y", "p");
    onnx_build_node(b, "Transpose", "p", "q");
    onnx_build_ints(b, "perm", DIMS(0, 2, 3, 1));
    onnx_build_node(b, "Exp", "q", "z");
    onnx_build_output(b, "z");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(count_op(m.graph, MIEN_OP_TRANSPOSE), 0);
    assert_int_equal(count_op(m.graph, MIEN_OP_RESHAPE), 1); /* the transpose that moves only ones */
    assert_int_equal(m.graph->n_nodes, 5);
    model_free(&m);
}

static void spatial_means_are_global_pools(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(3, 4, 5);
    onnx_build_node(b, "ReduceMean", "x", "a");
    onnx_build_ints(b, "axes", DIMS(-2, -1));
    onnx_build_output(b, "a");
    onnx_build_node(b, "ReduceMean", "x", "c");
    onnx_build_ints(b, "axes", DIMS(2, 3));
    onnx_build_int(b, "keepdims", 0);
    onnx_build_output(b, "c");
    onnx_build_node(b, "Transpose", "x", "t");
    onnx_build_ints(b, "perm", DIMS(0, 2, 3, 1));
    onnx_build_node(b, "ReduceMean", "t", "d");
    onnx_build_ints(b, "axes", DIMS(1, 2));
    onnx_build_int(b, "keepdims", 0);
    onnx_build_output(b, "d");
    onnx_build_node(b, "AveragePool", "x", "e");
    onnx_build_ints(b, "kernel_shape", DIMS(4, 5));
    onnx_build_output(b, "e");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(count_op(m.graph, MIEN_OP_GLOBALAVGPOOL), 4);
    assert_int_equal(count_op(m.graph, MIEN_OP_REDUCEMEAN) + count_op(m.graph, MIEN_OP_TRANSPOSE), 0);
    model_free(&m);
}

/* Reductions that only look like one of the cheap forms. */
static void other_reductions_stay(void **state)
{
    (void)state;
    struct onnx_build *b = image_model(3, 4, 5);
    onnx_build_node(b, "Transpose", "x", "t");
    onnx_build_ints(b, "perm", DIMS(0, 3, 2, 1));
    onnx_build_node(b, "ReduceMean", "t", "a"); /* leaves width before channels */
    onnx_build_ints(b, "axes", DIMS(2));
    onnx_build_int(b, "keepdims", 0);
    onnx_build_output(b, "a");
    onnx_build_node(b, "ReduceL2", "x", "c"); /* of one element: its absolute value */
    onnx_build_ints(b, "axes", DIMS(0));
    onnx_build_output(b, "c");
    onnx_build_node(b, "ReduceMean", "x", "d");
    onnx_build_ints(b, "axes", DIMS(1, 2));
    onnx_build_output(b, "d");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(m.graph->n_nodes, 4);
    model_free(&m);
}

static void old_softmax_flattens(void **state)
{
    (void)state;
    struct onnx_build *b = onnx_build_new(11);
    onnx_build_input(b, "x", ONNX_FLOAT, DIMS(2, 3, 4));
    onnx_build_node(b, "Softmax", "x", "y"); /* axis 1: over 3 x 4 values */
    onnx_build_output(b, "y");
    onnx_build_node(b, "Softmax", "x", "z");
    onnx_build_int(b, "axis", -1);
    onnx_build_output(b, "z");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(count_op(m.graph, MIEN_OP_RESHAPE), 2);
    for (int i = 0; i < m.graph->n_nodes; i++) assert_false(m.graph->node[i].attr.legacy);
    model_free(&m);
}

static void nearest_resize_takes_its_canonical_form(void **state)
{
    (void)state;
    const char *coord[] = {"half_pixel", "pytorch_half_pixel", "asymmetric", "half_pixel"};
    const char *nearest[] = {"round_prefer_floor", "round_prefer_ceil", "round_prefer_floor", "ceil"};
    for (int i = 0; i < 4; i++)
        for (int scale = 2; scale <= 3; scale++) {
            struct onnx_build *b = image_model(2, 3, 4);
            float scales[] = {1, 1, (float)scale, (float)scale};
            onnx_build_f32(b, "s", DIMS(4), scales);
            onnx_build_node(b, "Resize", "x _ s", "y");
            onnx_build_string(b, "mode", "nearest");
            onnx_build_string(b, "coordinate_transformation_mode", coord[i]);
            onnx_build_string(b, "nearest_mode", nearest[i]);
            onnx_build_output(b, "y");
            struct model m;
            MUST_OPEN(&m, b, 1);
            bool canonical = m.graph->node[0].attr.resize_coord == 1 && m.graph->node[0].attr.resize_nearest == 1;
            assert_int_equal(canonical, i < 2 || (i == 2 && scale == 2));
            model_free(&m);
        }
}

static void prelu_fuses_with_whole_additions_only(void **state)
{
    (void)state;
    for (int broadcast = 0; broadcast < 2; broadcast++) {
        struct onnx_build *b = image_model(4, 6, 6);
        onnx_build_random(b, "slope", DIMS(4, 1, 1), 0, 1, 3);
        onnx_build_node(b, broadcast ? "GlobalAveragePool" : "Abs", "x", "p");
        onnx_build_node(b, "Add", "x p", "s");
        onnx_build_node(b, "PRelu", "s slope", "y");
        onnx_build_output(b, "y");
        struct model m;
        MUST_OPEN(&m, b, 1);
        assert_int_equal(count_op(m.graph, MIEN_OP_PRELU), broadcast);
        model_free(&m);
    }
}

/* A fold that only shapes make possible must not write into the parent's weights: the second specialisation starts from them. */
static void specialising_leaves_the_parent_alone(void **state)
{
    (void)state;
    struct onnx_build *b = onnx_build_new(13);
    onnx_build_input(b, "x", ONNX_FLOAT, DIMS(-1, 3, 6, 6));
    add_conv(b, "x", "c", "1", 4, 3, 3, 1);
    add_batchnorm(b, "c", "n", "1", 4);
    onnx_build_node(b, "Transpose", "n", "t");
    onnx_build_ints(b, "perm", DIMS(0, 2, 3, 1));
    onnx_build_node(b, "Transpose", "t", "u");
    onnx_build_ints(b, "perm", DIMS(0, 3, 1, 2));
    onnx_build_scalar(b, "two", 2);
    onnx_build_node(b, "Mul", "u two", "y");
    onnx_build_output(b, "y");
    struct model m;
    MUST_OPEN(&m, b, 1);
    assert_int_equal(m.graph->n_nodes, 1);
    struct mien_graph *again;
    struct mien_shape s = {.rank = 4, .dim = {1, 3, 6, 6}};
    assert_int_equal(mien_graph_specialize(m.parsed, &s, 1, &again, &m.e), MIEN_OK);
    assert_true(model_equivalent(&m, 1)); /* both graphs point to the same weights: either would show it */
    mien_graph_free(&again);
    model_free(&m);
}

static uint32_t seed;
static int64_t dice(int64_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (int64_t)(seed >> 8) % n;
}

/* Random nets of the kinds that backbones are made of. */
static void random_graph(struct onnx_build *b, int steps)
{
    char x[16] = "x", y[16], other[16], in[64], id[16];
    int64_t c = 4;
    for (int i = 0; i < steps; i++) {
        snprintf(y, sizeof y, "t%d", i);
        snprintf(id, sizeof id, "_%d", i);
        static const char *const unary[] = {"Relu", "LeakyRelu", "Sigmoid", "HardSwish", "Tanh", "Identity", "Abs"};
        switch (dice(10)) {
        case 0:
        case 1:
        case 2: add_conv(b, x, y, id, c, c, 1 + 2 * dice(2), dice(2)); break;
        case 3: add_batchnorm(b, x, y, id, c); break;
        case 4:
        case 5: onnx_build_node(b, unary[dice(7)], x, y); break;
        case 6:
            onnx_build_random(b, id, DIMS(c, 1, 1), 0.1f, 1, (uint32_t)i);
            snprintf(in, sizeof in, "%s %s", x, id);
            onnx_build_node(b, dice(2) ? "PRelu" : dice(2) ? "Mul" : dice(2) ? "Sub" : "Div", in, y);
            break;
        case 7:
            snprintf(in, sizeof in, "%s %s", x, x);
            onnx_build_node(b, dice(2) ? "Add" : "Mul", in, y);
            break;
        case 8:
            onnx_build_node(b, dice(2) ? "MaxPool" : "AveragePool", x, y);
            onnx_build_ints(b, "kernel_shape", DIMS(2, 2));
            onnx_build_ints(b, "pads", DIMS(1, 0, 0, 1));
            break;
        default: /* a block with a residual: two 1x1 convolutions keep the shape */
            snprintf(other, sizeof other, "q%d", i);
            add_conv(b, x, other, id, c, c, 1, 0);
            snprintf(in, sizeof in, dice(2) ? "%1$s %2$s" : "%2$s %1$s", x, other);
            onnx_build_node(b, "Add", in, y);
            break;
        }
        snprintf(x, sizeof x, "%s", y);
        if (dice(5) == 0) onnx_build_output(b, y);
    }
    onnx_build_node(b, "Exp", "x", "last");
    onnx_build_node(b, "Neg", x, "end");
    onnx_build_output(b, "end");
    onnx_build_output(b, "last");
}

static void random_nets_keep_their_values(void **state)
{
    (void)state;
    for (uint32_t s = 1; s <= 300; s++) {
        seed = s;
        struct onnx_build *b = onnx_build_new(14);
        onnx_build_input(b, "x", ONNX_FLOAT, DIMS(-1, 4, 14, 14));
        random_graph(b, 1 + (int)dice(12));
        struct model m;
        enum mien_code code = model_open(&m, b, 1);
        if (code == MIEN_E_ONNX_SHAPE) { /* shrunk to nothing: as good an answer */
            model_free(&m);
            continue;
        }
        if (code != MIEN_OK) fail_msg("seed %u: %s", s, m.e.msg);
        if (!model_equivalent(&m, 1)) fail_msg("seed %u differs", s);
        model_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batchnorm_folds_into_the_convolution_before),
        cmocka_unit_test(shared_weights_are_copied_before_folding),
        cmocka_unit_test(batchnorm_folds_into_transposed_and_grouped_convolutions),
        cmocka_unit_test(batchnorm_before_a_padded_convolution_stays),
        cmocka_unit_test(batchnorm_folds_into_gemm_through_flatten),
        cmocka_unit_test(batchnorm_before_another_flatten_stays),
        cmocka_unit_test(per_channel_arithmetic_folds),
        cmocka_unit_test(broadcasting_constant_does_not_fold),
        cmocka_unit_test(normalization_before_padding_keeps_only_the_shift),
        cmocka_unit_test(a_tensor_with_two_readers_is_not_folded_away),
        cmocka_unit_test(padding_folds_where_exact),
        cmocka_unit_test(activations_fuse),
        cmocka_unit_test(activation_passes_reshape_transpose_and_concat),
        cmocka_unit_test(intermediate_outputs_keep_their_values),
        cmocka_unit_test(residual_addition_fuses_with_its_activation),
        cmocka_unit_test(doubled_and_broadcast_additions_stay),
        cmocka_unit_test(swish_and_written_out_hard_activations_are_found),
        cmocka_unit_test(other_hard_sigmoids_stay),
        cmocka_unit_test(swish_with_a_third_reader_stays),
        cmocka_unit_test(matmul_with_bias_is_gemm),
        cmocka_unit_test(transposes_and_reshapes_cancel),
        cmocka_unit_test(spatial_means_are_global_pools),
        cmocka_unit_test(other_reductions_stay),
        cmocka_unit_test(old_softmax_flattens),
        cmocka_unit_test(nearest_resize_takes_its_canonical_form),
        cmocka_unit_test(prelu_fuses_with_whole_additions_only),
        cmocka_unit_test(specialising_leaves_the_parent_alone),
        cmocka_unit_test(random_nets_keep_their_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
