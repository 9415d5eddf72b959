/* Shapes and folding: each operator's rule on cases whose answers were computed with ONNX Runtime 1.30 or follow from the
 * operator's definition, and the chains that exporters write for dynamic shapes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/onnx_check.h"

static struct onnx_build *input(int opset, int rank, const int64_t *dim)
{
    struct onnx_build *b = onnx_build_new(opset);
    onnx_build_input(b, "x", ONNX_FLOAT, rank, dim);
    return b;
}

/* Ends the model with output y (and checks that simplification keeps the values); its shape must be `rank`, `dim`. */
static void gives(struct onnx_build *b, int rank, const int64_t *dim)
{
    struct model m;
    onnx_build_output(b, "y");
    if (model_open(&m, b, 2) != MIEN_OK) fail_msg("%s", m.e.msg);
    const struct mien_shape *s = &m.graph->tensor[m.graph->output[0]].shape;
    bool same = s->rank == rank;
    for (int i = 0; same && i < rank; i++) same = s->dim[i] == dim[i];
    if (!same) {
        mien_graph_print(m.graph, stderr);
        fail_msg("unexpected shape");
    }
    if (!model_equivalent(&m, 2)) fail_msg("values differ");
    model_free(&m);
}

static void refused(struct onnx_build *b, enum mien_code want)
{
    struct model m;
    onnx_build_output(b, "y");
    enum mien_code code = model_open(&m, b, 2);
    if (code != want) fail_msg("code %d, not %d: %s", code, want, m.e.msg);
    model_free(&m);
}

struct window { const char *op, *auto_pad; int64_t h, w, k[2], s[2], d[2], p[4]; int ceil, include; int64_t oh, ow; };

static struct onnx_build *windowed(const struct window *c)
{
    struct onnx_build *b = input(19, DIMS(-1, 2, c->h, c->w));
    bool conv = strncmp(c->op, "Conv", 4) == 0;
    if (conv) onnx_build_random(b, "w", DIMS(2, 2, c->k[0], c->k[1]), -1, 1, 1);
    onnx_build_node(b, c->op, conv ? "x w" : "x", "y");
    onnx_build_ints(b, "kernel_shape", 2, c->k);
    onnx_build_ints(b, "strides", 2, c->s);
    onnx_build_ints(b, "dilations", 2, c->d);
    if (c->auto_pad != NULL) onnx_build_string(b, "auto_pad", c->auto_pad);
    else onnx_build_ints(b, "pads", 4, c->p);
    if (c->ceil) onnx_build_int(b, "ceil_mode", 1);
    if (c->include) onnx_build_int(b, "count_include_pad", 1);
    return b;
}

static void windows_have_the_right_size(void **state)
{
    (void)state;
    static const struct window c[] = {
        {"Conv", NULL, 8, 9, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}, 0, 0, 8, 9},
        {"Conv", NULL, 8, 9, {3, 3}, {2, 2}, {1, 1}, {0, 0, 1, 1}, 0, 0, 4, 4},
        {"Conv", NULL, 9, 9, {3, 3}, {1, 2}, {2, 3}, {0, 0, 0, 0}, 0, 0, 5, 2},
        {"Conv", "SAME_UPPER", 8, 9, {3, 4}, {2, 3}, {1, 1}, {0}, 0, 0, 4, 3},
        {"Conv", "SAME_LOWER", 8, 9, {3, 4}, {1, 1}, {1, 1}, {0}, 0, 0, 8, 9},
        {"Conv", "VALID", 8, 9, {3, 4}, {1, 1}, {1, 1}, {0}, 0, 0, 6, 6},
        {"MaxPool", NULL, 7, 8, {3, 3}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 1, 0, 3, 4},
        {"MaxPool", NULL, 6, 6, {2, 2}, {3, 3}, {1, 1}, {0, 0, 0, 0}, 1, 0, 2, 2},
        {"MaxPool", NULL, 5, 5, {2, 2}, {3, 3}, {1, 1}, {1, 1, 1, 1}, 1, 0, 2, 2}, /* a third window would begin in the padding */
        {"AveragePool", NULL, 7, 8, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, 1, 0, 4, 5},
        {"AveragePool", NULL, 7, 8, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, 1, 1, 4, 5},
        {"AveragePool", NULL, 7, 8, {3, 3}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 1, 1, 3, 4},
        {"AveragePool", "VALID", 5, 11, {4, 2}, {2, 1}, {1, 1}, {0}, 1, 1, 2, 10},
        {"AveragePool", "SAME_UPPER", 5, 6, {2, 2}, {2, 2}, {1, 1}, {0}, 0, 0, 3, 3},
        {"ConvTranspose", NULL, 4, 5, {3, 2}, {2, 2}, {1, 1}, {0, 0, 0, 0}, 0, 0, 9, 10},
        {"ConvTranspose", NULL, 4, 5, {4, 4}, {2, 2}, {1, 1}, {1, 1, 1, 1}, 0, 0, 8, 10},
        {"ConvTranspose", "SAME_UPPER", 4, 5, {3, 4}, {2, 3}, {1, 1}, {0}, 0, 0, 8, 15},
        {"ConvTranspose", "SAME_LOWER", 4, 5, {2, 3}, {3, 2}, {1, 1}, {0}, 0, 0, 11, 10},
    };
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) gives(windowed(&c[i]), DIMS(2, 2, c[i].oh, c[i].ow));
    static const struct window small = {"Conv", NULL, 2, 9, {3, 3}, {1, 1}, {1, 1}, {0, 0, 0, 0}, 0, 0, 0, 0};
    refused(windowed(&small), MIEN_E_ONNX_SHAPE);
}

static void overhang_goes_into_the_padding_where_it_can(void **state)
{
    (void)state;
    for (int include = 0; include < 2; include++) {
        struct window c = {"AveragePool", NULL, 7, 8, {3, 3}, {2, 2}, {1, 1}, {1, 1, 1, 1}, 1, include, 4, 5};
        struct model m;
        struct onnx_build *b = windowed(&c);
        onnx_build_output(b, "y");
        assert_int_equal(model_open(&m, b, 1), MIEN_OK);
        assert_int_equal(m.graph->node[0].attr.ceil_mode, include);
        assert_int_equal(m.graph->node[0].attr.pad[3], include ? 1 : 2);
        model_free(&m);
    }
}

static void slices_follow_numpy(void **state)
{
    (void)state;
    static const struct { int64_t n, start, end, step, size; } c[] = {{10, 2, 5, 1, 3}, {10, -3, INT64_MAX, 1, 3}, {10, -100, 100, 3, 4}, {10, 8, 2, -2, 3},
        {10, -1, INT64_MIN, -1, 10}, {10, 20, -20, -3, 4}, {10, 5, 5, 1, 0}, {10, 5, 2, 1, 0}, {1, 0, 1, INT64_MAX, 1}, {10, 9, -11, -9, 2},
        {10, INT64_MIN, INT64_MAX, INT64_MAX, 1}};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct onnx_build *b = input(13, DIMS(c[i].n, 3));
        onnx_build_i64(b, "s", 1, &c[i].start);
        onnx_build_i64(b, "e", 1, &c[i].end);
        onnx_build_i64(b, "a", 1, (int64_t[]){-2});
        onnx_build_i64(b, "t", 1, &c[i].step);
        onnx_build_node(b, "Slice", "x s e a t", "y");
        gives(b, DIMS(c[i].size, 3));
    }
    struct onnx_build *b = input(9, DIMS(5, 6));
    onnx_build_node(b, "Slice", "x", "y");
    onnx_build_ints(b, "starts", DIMS(1));
    onnx_build_ints(b, "ends", DIMS(-1));
    onnx_build_ints(b, "axes", DIMS(1));
    gives(b, DIMS(5, 4));
    b = input(13, DIMS(5));
    onnx_build_i64(b, "s", 1, (int64_t[]){0});
    onnx_build_node(b, "Slice", "x s s s s", "y"); /* step 0 */
    refused(b, MIEN_E_ONNX_SHAPE);
}

static void reshapes_resolve_zero_and_minus_one(void **state)
{
    (void)state;
    static const struct { int64_t to[5]; int n; enum mien_code code; int64_t want[5]; } c[] = {
        {{0, -1}, 2, MIEN_OK, {2, 60}}, {{-1}, 1, MIEN_OK, {120}}, {{0, 0, 2, -1}, 4, MIEN_OK, {2, 3, 2, 10}}, {{1, 2, 3, 4, 5}, 5, MIEN_OK, {1, 2, 3, 4, 5}},
        {{-1, -1}, 2, MIEN_E_ONNX_SHAPE, {0}}, {{7, -1}, 2, MIEN_E_ONNX_SHAPE, {0}}, {{121}, 1, MIEN_E_ONNX_SHAPE, {0}}, {{-2, 60}, 2, MIEN_E_ONNX_SHAPE, {0}},
        {{INT64_MAX, INT64_MAX, -1}, 3, MIEN_E_ONNX_SHAPE, {0}}, {{0, 0, 0, 0, 0}, 5, MIEN_E_ONNX_SHAPE, {0}}};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct onnx_build *b = input(13, DIMS(-1, 3, 4, 5));
        onnx_build_i64(b, "s", c[i].n, c[i].to);
        onnx_build_node(b, "Reshape", "x s", "y");
        if (c[i].code == MIEN_OK) gives(b, c[i].n, c[i].want);
        else refused(b, c[i].code);
    }
}

static void data_movers_have_their_shapes(void **state)
{
    (void)state;
    struct onnx_build *b = input(13, DIMS(2, 3, 4));
    onnx_build_i64(b, "a", 2, (int64_t[]){0, -1});
    onnx_build_node(b, "Unsqueeze", "x a", "y");
    gives(b, DIMS(1, 2, 3, 4, 1));
    b = input(11, DIMS(1, 3, 1));
    onnx_build_node(b, "Squeeze", "x", "y");
    gives(b, DIMS(3));
    b = input(11, DIMS(1, 3, 1));
    onnx_build_node(b, "Squeeze", "x", "y");
    onnx_build_ints(b, "axes", DIMS(1));
    refused(b, MIEN_E_ONNX_SHAPE);
    b = input(13, DIMS(2, 3, 4));
    onnx_build_node(b, "Flatten", "x", "y");
    onnx_build_int(b, "axis", -1);
    gives(b, DIMS(6, 4));
    b = input(13, DIMS(2, 3, 4));
    onnx_build_node(b, "Transpose", "x", "y"); /* reversed */
    gives(b, DIMS(4, 3, 2));
    b = input(13, DIMS(2, 1, 4));
    onnx_build_i64(b, "s", 4, (int64_t[]){5, 1, 3, 1});
    onnx_build_node(b, "Expand", "x s", "y");
    gives(b, DIMS(5, 2, 3, 4));
    b = input(13, DIMS(2, 3));
    onnx_build_i64(b, "r", 2, (int64_t[]){2, 3});
    onnx_build_node(b, "Tile", "x r", "y");
    gives(b, DIMS(4, 9));
    b = input(13, DIMS(4, 3));
    onnx_build_raw(b, "i", ONNX_INT64, DIMS(2, 2), (int64_t[]){0, -1, 3, 1}, 32);
    onnx_build_node(b, "Gather", "x i", "y");
    gives(b, DIMS(2, 2, 3));
    b = input(13, DIMS(2, 7));
    onnx_build_i64(b, "s", 2, (int64_t[]){3, 4});
    onnx_build_node(b, "Split", "x s", "z y");
    onnx_build_int(b, "axis", -1);
    onnx_build_output(b, "z");
    struct model m;
    onnx_build_output(b, "y");
    assert_int_equal(model_open(&m, b, 1), MIEN_OK);
    assert_int_equal(m.graph->tensor[m.graph->output[1]].shape.dim[1], 4);
    assert_true(model_equivalent(&m, 1));
    model_free(&m);
    b = input(13, DIMS(1, 8, 2, 3));
    onnx_build_node(b, "DepthToSpace", "x", "y");
    onnx_build_int(b, "blocksize", 2);
    onnx_build_string(b, "mode", "CRD");
    gives(b, DIMS(1, 2, 4, 6));
    b = input(13, DIMS(1, 2, 5, 6));
    onnx_build_i64(b, "p", 8, (int64_t[]){0, 0, 2, -1, 0, 0, 1, 3});
    onnx_build_node(b, "Pad", "x p", "y");
    onnx_build_string(b, "mode", "edge");
    gives(b, DIMS(1, 2, 8, 8));
    b = input(18, DIMS(1, 2, 5, 6));
    onnx_build_i64(b, "p", 2, (int64_t[]){2, 3});
    onnx_build_i64(b, "a", 1, (int64_t[]){-1});
    onnx_build_node(b, "Pad", "x p _ a", "y");
    gives(b, DIMS(1, 2, 5, 11));
}

static void reductions_take_axes_as_attribute_and_input(void **state)
{
    (void)state;
    struct onnx_build *b = input(13, DIMS(2, 3, 4));
    onnx_build_i64(b, "a", 1, (int64_t[]){-1});
    onnx_build_node(b, "ReduceSum", "x a", "y");
    gives(b, DIMS(2, 3, 1));
    b = input(18, DIMS(2, 3, 4));
    onnx_build_i64(b, "a", 2, (int64_t[]){0, 2});
    onnx_build_node(b, "ReduceMax", "x a", "y");
    onnx_build_int(b, "keepdims", 0);
    gives(b, DIMS(3));
    b = input(13, DIMS(2, 3, 4));
    onnx_build_node(b, "ReduceSum", "x", "y");
    gives(b, DIMS(1, 1, 1));
    b = input(13, DIMS(2, 3, 4));
    onnx_build_node(b, "ReduceSum", "x", "y");
    onnx_build_int(b, "noop_with_empty_axes", 1);
    gives(b, DIMS(2, 3, 4));
    b = input(13, DIMS(2, 3, 4));
    onnx_build_node(b, "ReduceMean", "x", "y");
    onnx_build_ints(b, "axes", DIMS(1, -2));
    refused(b, MIEN_E_ONNX_SHAPE);
    b = input(13, DIMS(2, 3, 4));
    onnx_build_node(b, "ArgMax", "x", "y");
    onnx_build_int(b, "axis", 1);
    onnx_build_int(b, "keepdims", 0);
    gives(b, DIMS(2, 4));
}

static void products_and_broadcasts(void **state)
{
    (void)state;
    struct onnx_build *b = input(13, DIMS(2, 3, 4));
    onnx_build_random(b, "w", DIMS(5, 1, 4, 6), -1, 1, 1);
    onnx_build_node(b, "MatMul", "x w", "y");
    gives(b, DIMS(5, 2, 3, 6));
    b = input(13, DIMS(2, 3));
    onnx_build_random(b, "w", DIMS(4, 6), -1, 1, 1);
    onnx_build_node(b, "MatMul", "x w", "y");
    refused(b, MIEN_E_ONNX_SHAPE);
    b = input(13, DIMS(3, 2));
    onnx_build_random(b, "w", DIMS(5, 3), -1, 1, 1);
    onnx_build_random(b, "c", DIMS(2, 1), -1, 1, 1);
    onnx_build_node(b, "Gemm", "x w c", "y");
    onnx_build_int(b, "transA", 1);
    onnx_build_int(b, "transB", 1);
    onnx_build_float(b, "beta", 3);
    gives(b, DIMS(2, 5));
    b = input(13, DIMS(3, 1, 2));
    onnx_build_random(b, "c", DIMS(4, 1), -1, 1, 1);
    onnx_build_node(b, "Mul", "c x", "y");
    gives(b, DIMS(3, 4, 2));
    b = input(13, DIMS(3, 2));
    onnx_build_random(b, "c", DIMS(3), -1, 1, 1);
    onnx_build_node(b, "Mul", "c x", "y");
    refused(b, MIEN_E_ONNX_SHAPE);
    b = input(13, DIMS(3, 2));
    onnx_build_node(b, "Sum", "x x x x", "y");
    gives(b, DIMS(3, 2));
    b = input(13, DIMS(3, 2));
    onnx_build_node(b, "Max", "x", "y");
    gives(b, DIMS(3, 2));
}

static void resizes_by_scales_and_sizes(void **state)
{
    (void)state;
    struct onnx_build *b = input(11, DIMS(1, 2, 5, 7));
    float scales[] = {1, 1, 1.5f, 0.5f};
    onnx_build_f32(b, "s", DIMS(4), scales);
    onnx_build_node(b, "Resize", "x _ s", "y");
    onnx_build_string(b, "mode", "linear");
    gives(b, DIMS(1, 2, 7, 3));
    b = input(13, DIMS(1, 2, 5, 7));
    onnx_build_i64(b, "s", 4, (int64_t[]){1, 2, 9, 3});
    onnx_build_node(b, "Resize", "x _ _ s", "y");
    gives(b, DIMS(1, 2, 9, 3));
    b = input(9, DIMS(1, 2, 5, 7));
    float twice[] = {1, 1, 2, 2};
    onnx_build_f32(b, "s", DIMS(4), twice);
    onnx_build_node(b, "Upsample", "x s", "y");
    gives(b, DIMS(1, 2, 10, 14));
    b = input(7, DIMS(1, 2, 5, 7));
    onnx_build_node(b, "Upsample", "x", "y");
    onnx_build_floats(b, "scales", 4, twice);
    gives(b, DIMS(1, 2, 10, 14));
    b = input(10, DIMS(1, 2, 5, 7));
    onnx_build_f32(b, "s", DIMS(4), twice);
    onnx_build_node(b, "Resize", "x s", "y");
    gives(b, DIMS(1, 2, 10, 14));
    b = input(13, DIMS(1, 2, 5, 7));
    onnx_build_i64(b, "s", 4, (int64_t[]){1, 3, 9, 3});
    onnx_build_node(b, "Resize", "x _ _ s", "y");
    refused(b, MIEN_E_ONNX_UNSUPPORTED);
}

/* Before opset 11 the corner of a pixel is its place and positions are rounded down. */
static void old_resizes_keep_their_rule(void **state)
{
    (void)state;
    for (int opset = 9; opset <= 11; opset++) {
        struct onnx_build *b = input(opset, DIMS(1, 2, 4, 6));
        float scales[] = {1, 1, 1.5f, 1.5f};
        onnx_build_f32(b, "s", DIMS(4), scales);
        onnx_build_node(b, opset == 9 ? "Upsample" : "Resize", opset == 11 ? "x _ s" : "x s", "y");
        onnx_build_output(b, "y");
        struct model m;
        assert_int_equal(model_open(&m, b, 1), MIEN_OK);
        assert_int_equal(m.graph->node[0].attr.resize_coord, opset < 11 ? 1 : 0);
        assert_int_equal(m.graph->node[0].attr.resize_nearest, opset < 11 ? 1 : 0);
        model_free(&m);
    }
}

/* What PyTorch writes for F.interpolate(x, size=y.shape[2:]) and x.view(x.size(0), -1, 10) in SCRFD. */
static void exported_shape_arithmetic_folds(void **state)
{
    (void)state;
    struct onnx_build *b = onnx_build_new(11);
    onnx_build_input(b, "x", ONNX_FLOAT, DIMS(-1, 4, -1, -1));
    onnx_build_random(b, "w", DIMS(4, 4, 3, 3), -1, 1, 1);
    onnx_build_node(b, "Conv", "x w", "d");
    onnx_build_ints(b, "pads", DIMS(1, 1, 1, 1));
    onnx_build_ints(b, "strides", DIMS(2, 2));
    for (int i = 2; i < 4; i++) {
        char shape[16], index[16], size[16], un[16], in[40];
        snprintf(shape, sizeof shape, "s%d", i);
        snprintf(index, sizeof index, "i%d", i);
        snprintf(size, sizeof size, "g%d", i);
        snprintf(un, sizeof un, "u%d", i);
        int64_t at = i;
        onnx_build_node(b, "Shape", "x", shape);
        onnx_build_node(b, "Constant", "", index);
        onnx_build_tensor(b, "value", ONNX_INT64, 0, NULL, &at, sizeof at);
        snprintf(in, sizeof in, "%s %s", shape, index);
        onnx_build_node(b, "Gather", in, size);
        onnx_build_node(b, "Unsqueeze", size, un);
        onnx_build_ints(b, "axes", DIMS(0));
    }
    onnx_build_node(b, "Concat", "u2 u3", "hw");
    onnx_build_int(b, "axis", 0);
    onnx_build_node(b, "Cast", "hw", "hw64");
    onnx_build_int(b, "to", ONNX_INT64);
    onnx_build_i64(b, "zero", 1, (int64_t[]){0});
    onnx_build_i64(b, "two", 1, (int64_t[]){2});
    onnx_build_node(b, "Shape", "d", "ds");
    onnx_build_node(b, "Slice", "ds zero two zero", "nc");
    onnx_build_node(b, "Concat", "nc hw64", "sizes");
    onnx_build_int(b, "axis", 0);
    onnx_build_node(b, "Resize", "d _ _ sizes", "up");
    onnx_build_node(b, "Add", "up x", "sum");
    onnx_build_node(b, "Transpose", "sum", "t");
    onnx_build_ints(b, "perm", DIMS(0, 2, 3, 1));
    onnx_build_node(b, "Gather", "s2 zero", "batch");
    onnx_build_i64(b, "rest", 2, (int64_t[]){-1, 2});
    onnx_build_node(b, "Concat", "batch rest", "view");
    onnx_build_int(b, "axis", 0);
    onnx_build_node(b, "Reshape", "t view", "y");
    onnx_build_output(b, "y");
    struct model m;
    if (model_open(&m, b, 6) != MIEN_OK) fail_msg("%s", m.e.msg);
    assert_true(model_equivalent(&m, 6));
    assert_int_equal(m.graph->n_nodes, 5); /* Conv, Resize, Add, Transpose, Reshape */
    assert_int_equal(m.graph->tensor[m.graph->output[0]].shape.dim[1], 6 * 6 * 4 / 2);
    /* The same graph for another shape, from the same parent. */
    struct mien_graph *other;
    struct mien_shape s = {.rank = 4, .dim = {1, 4, 10, 12}};
    assert_int_equal(mien_graph_specialize(m.parsed, &s, 1, &other, &m.e), MIEN_OK);
    assert_int_equal(other->tensor[other->output[0]].shape.dim[1], 10 * 12 * 2);
    mien_graph_free(&other);
    model_free(&m);
}

/* Constants computed from constants, checked by value: x + f(...) for each. */
static void constants_fold_to_the_right_values(void **state)
{
    (void)state;
    static const struct { const char *op, *in; int64_t want; } c[] = {
        {"Add", "seven minus3", 4}, {"Sub", "seven minus3", 10}, {"Mul", "seven minus3", -21}, {"Div", "seven minus3", -2}, {"Div", "minus7 two", -3},
        {"Pow", "minus3 two", 9}, {"Min", "seven minus3", -3}, {"Max", "seven minus3", 7}, {"Neg", "seven", -7}, {"Abs", "minus3", 3},
        {"Where", "true seven two", 7}, {"Add", "largest two", INT64_MIN + 1}, {"ReduceSum", "list", 15}, {"ReduceMax", "list", 7}, {"Size", "list", 4},
        {"Gather", "list minus3", 3}, {"Slice", "list two seven", 5}};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct onnx_build *b = input(13, DIMS(1));
        struct { const char *name; int64_t v; } k[] = {{"seven", 7}, {"minus3", -3}, {"minus7", -7}, {"two", 2}, {"largest", INT64_MAX}};
        for (int j = 0; j < 5; j++) onnx_build_i64(b, k[j].name, 1, &k[j].v);
        onnx_build_raw(b, "true", ONNX_BOOL, DIMS(1), "\1", 1);
        onnx_build_i64(b, "list", 4, (int64_t[]){7, 3, 5, 0});
        onnx_build_node(b, c[i].op, c[i].in, "k");
        onnx_build_output(b, "k");
        onnx_build_node(b, "Relu", "x", "y");
        onnx_build_output(b, "y");
        struct model m;
        if (model_open(&m, b, 1) != MIEN_OK) fail_msg("%s: %s", c[i].op, m.e.msg);
        const struct mien_tensor *t = &m.graph->tensor[m.graph->output[0]];
        assert_non_null(t->data);
        assert_int_equal(t->type, MIEN_I64);
        if (mien_load_i64(t->data, 0) != c[i].want) fail_msg("%s %s = %lld", c[i].op, c[i].in, (long long)mien_load_i64(t->data, 0));
        model_free(&m);
    }
    struct onnx_build *b = input(13, DIMS(1));
    onnx_build_i64(b, "k", 1, (int64_t[]){0});
    onnx_build_node(b, "Div", "k k", "y");
    refused(b, MIEN_E_ONNX_SHAPE);
}

static void folded_weights_equal_computed_ones(void **state)
{
    (void)state;
    static const char *const op[] = {"Exp", "Sqrt", "Tanh", "Erf", "Reciprocal", "Neg", "Softplus", "Floor", "Ceil", "Sigmoid"};
    for (size_t i = 0; i < sizeof op / sizeof op[0]; i++) {
        struct onnx_build *b = input(13, DIMS(4, 6));
        onnx_build_random(b, "k", DIMS(3, 2, 4), 0.5f, 2, 3);
        onnx_build_node(b, op[i], "k", "k1");
        onnx_build_node(b, "Transpose", "k1", "k2");
        onnx_build_ints(b, "perm", DIMS(2, 0, 1));
        onnx_build_i64(b, "s", 2, (int64_t[]){4, 6});
        onnx_build_node(b, "Reshape", "k2 s", "k3");
        onnx_build_node(b, "ReduceL2", "k3", "k4");
        onnx_build_ints(b, "axes", DIMS(1));
        onnx_build_node(b, "Div", "k3 k4", "k5");
        onnx_build_node(b, "Add", "x k5", "y");
        onnx_build_output(b, "y");
        struct model m, n;
        if (model_open(&m, b, 1) != MIEN_OK) fail_msg("%s", m.e.msg);
        assert_int_equal(m.graph->n_nodes, 1);
        /* The same computed at run time: the constant comes in as an input of the same values. */
        b = input(13, DIMS(4, 6));
        onnx_build_random(b, "k0", DIMS(3, 2, 4), 0.5f, 2, 3);
        onnx_build_node(b, "ReduceMin", "x", "z0");
        onnx_build_int(b, "keepdims", 0);
        onnx_build_node(b, "Sub", "z0 z0", "z");
        onnx_build_node(b, "Add", "k0 z", "k");
        onnx_build_node(b, op[i], "k", "k1");
        onnx_build_node(b, "Transpose", "k1", "k2");
        onnx_build_ints(b, "perm", DIMS(2, 0, 1));
        onnx_build_i64(b, "s", 2, (int64_t[]){4, 6});
        onnx_build_node(b, "Reshape", "k2 s", "k3");
        onnx_build_node(b, "ReduceL2", "k3", "k4");
        onnx_build_ints(b, "axes", DIMS(1));
        onnx_build_node(b, "Div", "k3 k4", "k5");
        onnx_build_node(b, "Add", "x k5", "y");
        onnx_build_output(b, "y");
        if (model_open(&n, b, 1) != MIEN_OK) fail_msg("%s", n.e.msg);
        double d = graphs_differ(m.graph, n.graph);
        if (!(d >= 0 && d < 1e-6)) fail_msg("%s: %g", op[i], d);
        model_free(&n);
        model_free(&m);
    }
}

static void made_tensors_have_bounds(void **state)
{
    (void)state;
    struct onnx_build *b = input(13, DIMS(3));
    onnx_build_i64(b, "s", 2, (int64_t[]){2, 3});
    int64_t four = 4;
    onnx_build_node(b, "ConstantOfShape", "s", "k");
    onnx_build_tensor(b, "value", ONNX_INT64, DIMS(1), &four, sizeof four);
    onnx_build_node(b, "Cast", "k", "f");
    onnx_build_int(b, "to", ONNX_FLOAT);
    onnx_build_node(b, "Add", "x f", "y");
    gives(b, DIMS(2, 3));
    b = input(13, DIMS(1));
    onnx_build_i64(b, "a", 1, (int64_t[]){3});
    onnx_build_i64(b, "z", 1, (int64_t[]){-4});
    onnx_build_i64(b, "d", 1, (int64_t[]){-2});
    onnx_build_node(b, "Range", "a z d", "k");
    onnx_build_node(b, "Cast", "k", "f");
    onnx_build_int(b, "to", ONNX_FLOAT);
    onnx_build_node(b, "Add", "x f", "y");
    gives(b, DIMS(4));
    b = input(13, DIMS(1)); /* nothing is allocated by a number from the file */
    onnx_build_i64(b, "s", 3, (int64_t[]){100000, 100000, 100000});
    onnx_build_node(b, "ConstantOfShape", "s", "k");
    onnx_build_node(b, "Add", "x k", "y");
    refused(b, MIEN_E_LIMIT);
    b = input(13, DIMS(1));
    onnx_build_i64(b, "s", 1, (int64_t[]){INT64_MAX});
    onnx_build_node(b, "Tile", "x s", "y");
    refused(b, MIEN_E_LIMIT);
    b = input(13, DIMS(1));
    onnx_build_i64(b, "s", 6, (int64_t[]){INT64_MAX, INT64_MAX, 2, 2, 2, 2});
    onnx_build_node(b, "Expand", "x s", "y");
    refused(b, MIEN_E_LIMIT);
    b = input(13, DIMS(1));
    onnx_build_i64(b, "a", 1, (int64_t[]){0});
    onnx_build_i64(b, "z", 1, (int64_t[]){INT64_MAX});
    onnx_build_node(b, "Range", "a z a", "k"); /* step 0 */
    onnx_build_node(b, "Cast", "k", "f");
    onnx_build_int(b, "to", ONNX_FLOAT);
    onnx_build_node(b, "Add", "x f", "y");
    refused(b, MIEN_E_ONNX_SHAPE);
}

static void multiply_accumulates_are_counted(void **state)
{
    (void)state;
    struct onnx_build *b = input(13, DIMS(2, 4, 6, 6));
    onnx_build_random(b, "w", DIMS(8, 2, 3, 3), -1, 1, 1);
    onnx_build_random(b, "v", DIMS(8, 3, 2, 2), -1, 1, 1);
    onnx_build_random(b, "k", DIMS(192, 5), -1, 1, 1);
    onnx_build_node(b, "Conv", "x w", "c");
    onnx_build_int(b, "group", 2);
    onnx_build_node(b, "ConvTranspose", "c v", "d");
    onnx_build_ints(b, "strides", DIMS(2, 2));
    onnx_build_node(b, "Flatten", "d", "f");
    onnx_build_node(b, "Gemm", "f k", "y");
    onnx_build_output(b, "y");
    struct model m;
    if (model_open(&m, b, 1) != MIEN_OK) fail_msg("%s", m.e.msg);
    assert_int_equal(m.graph->macs, 2 * 8 * 16 * 2 * 9 + 2 * 8 * 16 * 3 * 4 + 2 * 192 * 5);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_have_the_right_size),
        cmocka_unit_test(overhang_goes_into_the_padding_where_it_can),
        cmocka_unit_test(slices_follow_numpy),
        cmocka_unit_test(reshapes_resolve_zero_and_minus_one),
        cmocka_unit_test(data_movers_have_their_shapes),
        cmocka_unit_test(reductions_take_axes_as_attribute_and_input),
        cmocka_unit_test(products_and_broadcasts),
        cmocka_unit_test(resizes_by_scales_and_sizes),
        cmocka_unit_test(old_resizes_keep_their_rule),
        cmocka_unit_test(exported_shape_arithmetic_folds),
        cmocka_unit_test(constants_fold_to_the_right_values),
        cmocka_unit_test(folded_weights_equal_computed_ones),
        cmocka_unit_test(made_tensors_have_bounds),
        cmocka_unit_test(multiply_accumulates_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
