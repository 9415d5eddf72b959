/* Reading: element types and encodings, names, what is refused and why, and damaged files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "onnx/wire.h"
#include "support/onnx_check.h"

static enum mien_code open_code(struct onnx_build *b, const char *says)
{
    struct model m;
    enum mien_code code = model_open(&m, b, 2);
    if (code != MIEN_OK && (says == NULL || strstr(m.e.msg, says) == NULL)) print_message("message: %s\n", m.e.msg);
    if (code != MIEN_OK && says != NULL) assert_non_null(strstr(m.e.msg, says));
    if (code == MIEN_OK && !model_equivalent(&m, 2)) fail_msg("values differ");
    model_free(&m);
    return code;
}

static void varints_are_bounded(void **state)
{
    (void)state;
    static const struct { unsigned char b[12]; size_t n; int ok; uint64_t v; } c[] = {
        {{0}, 1, 1, 0}, {{0x96, 1}, 2, 1, 150}, {{0x80}, 1, 0, 0}, {{0}, 0, 0, 0},
        {{255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, 10, 1, UINT64_MAX},
        {{255, 255, 255, 255, 255, 255, 255, 255, 255, 2}, 10, 0, 0},
        {{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, 11, 0, 0}};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct mien_wire w = {c[i].b, c[i].b + c[i].n};
        uint64_t v = 0;
        assert_int_equal(mien_wire_varint(&w, &v), c[i].ok);
        if (c[i].ok) assert_true(v == c[i].v);
    }
    static const unsigned char group[] = {0x0b}, zero_tag[] = {0x00}, long_bytes[] = {0x0a, 5, 1, 2}, short_fixed[] = {0x0d, 1, 2, 3};
    const unsigned char *bad[] = {group, zero_tag, long_bytes, short_fixed};
    const size_t size[] = {1, 1, 4, 4};
    for (int i = 0; i < 4; i++) {
        struct mien_wire w = {bad[i], bad[i] + size[i]};
        struct mien_field f;
        assert_int_equal(mien_wire_next(&w, &f), -1);
    }
}

/* One constant in every encoding, added to zeros: the values must come out. */
static void check_constant(struct onnx_build *b, enum mien_elem type, const float *want, int n)
{
    struct model m;
    onnx_build_node(b, "Cast", "k", "f");
    onnx_build_int(b, "to", ONNX_FLOAT);
    onnx_build_node(b, "Add", "x f", "y");
    onnx_build_output(b, "y");
    if (model_open(&m, b, 1) != MIEN_OK) fail_msg("%s", m.e.msg);
    (void)type;
    float zeros[8] = {0}, **out;
    const float *in[1] = {zeros};
    assert_null(onnx_ref_run(m.graph, in, &out));
    for (int i = 0; i < n; i++) assert_true(out[0][i] >= want[i] && out[0][i] <= want[i]);
    free(out[0]);
    free(out);
    model_free(&m);
}

static struct onnx_build *constants(void)
{
    struct onnx_build *b = onnx_build_new(13);
    onnx_build_input(b, "x", ONNX_FLOAT, DIMS(4));
    return b;
}

static void every_element_type_and_encoding_is_read(void **state)
{
    (void)state;
    float want[4] = {1, -2, 0.5f, 65504}, whole[4] = {1, -2, 3, 100}, bits[4] = {1, 0, 1, 1};
    uint16_t half[4] = {0x3c00, 0xc000, 0x3800, 0x7bff}, bf16[4] = {0x3f80, 0xc000, 0x3f00, 0x3f80};
    double wide[4] = {1, -2, 0.5, 65504};
    struct onnx_build *b = constants();
    onnx_build_raw(b, "k", ONNX_FLOAT, DIMS(4), want, sizeof want);
    check_constant(b, MIEN_F32, want, 4);
    b = constants();
    onnx_build_raw(b, "k", ONNX_FLOAT16, DIMS(4), half, sizeof half);
    check_constant(b, MIEN_F32, want, 4);
    b = constants();
    onnx_build_raw(b, "k", ONNX_BFLOAT16, DIMS(4), bf16, sizeof bf16);
    check_constant(b, MIEN_F32, want, 3);
    b = constants();
    onnx_build_raw(b, "k", ONNX_DOUBLE, DIMS(4), wide, sizeof wide);
    check_constant(b, MIEN_F32, want, 4);
    for (int packed = 0; packed < 2; packed++) {
        b = constants();
        onnx_build_typed_f32(b, "k", DIMS(4), want, 4, packed);
        check_constant(b, MIEN_F32, want, 4);
        b = constants();
        onnx_build_typed(b, "k", ONNX_INT64, DIMS(4), (int64_t[]){1, -2, 3, 100}, 4, packed);
        check_constant(b, MIEN_I64, whole, 4);
        b = constants();
        onnx_build_typed(b, "k", ONNX_INT32, DIMS(4), (int64_t[]){1, -2, 3, 100}, 4, packed);
        check_constant(b, MIEN_I32, whole, 4);
        b = constants();
        onnx_build_typed(b, "k", ONNX_INT8, DIMS(4), (int64_t[]){1, -2, 3, 100}, 4, packed);
        check_constant(b, MIEN_I8, whole, 4);
        b = constants();
        onnx_build_typed(b, "k", ONNX_BOOL, DIMS(4), (int64_t[]){1, 0, 1, 1}, 4, packed);
        check_constant(b, MIEN_BOOL, bits, 4);
        b = constants();
        onnx_build_typed(b, "k", ONNX_FLOAT16, DIMS(4), (int64_t[]){0x3c00, 0xc000, 0x3800, 0x7bff}, 4, packed);
        check_constant(b, MIEN_F32, want, 4);
    }
    b = constants();
    onnx_build_node(b, "Constant", "", "k");
    onnx_build_ints(b, "value_ints", DIMS(1, -2, 3, 100));
    check_constant(b, MIEN_I64, whole, 4);
    b = constants();
    onnx_build_node(b, "Constant", "", "k");
    onnx_build_tensor(b, "value", ONNX_FLOAT, DIMS(4), want, sizeof want);
    check_constant(b, MIEN_F32, want, 4);
}

static void subnormal_halves_and_infinities_convert(void **state)
{
    (void)state;
    uint16_t half[4] = {0x0001, 0x83ff, 0x7c00, 0x8000};
    float want[4] = {0x1p-24f, -0x1.ff8p-15f, INFINITY, -0.0f};
    struct onnx_build *b = constants();
    onnx_build_raw(b, "k", ONNX_FLOAT16, DIMS(4), half, sizeof half);
    check_constant(b, MIEN_F32, want, 4);
}

static struct onnx_build *base(int opset)
{
    struct onnx_build *b = onnx_build_new(opset);
    onnx_build_input(b, "x", ONNX_FLOAT, DIMS(-1, 3, 8, 8));
    return b;
}

static void initializers_listed_as_inputs_are_not_inputs(void **state)
{
    (void)state;
    struct onnx_build *b = base(9);
    struct model m;
    onnx_build_random(b, "w", DIMS(2, 3, 1, 1), -1, 1, 1);
    onnx_build_input(b, "w", ONNX_FLOAT, DIMS(2, 3, 1, 1));
    onnx_build_node(b, "Conv", "x w", "y");
    onnx_build_output(b, "y");
    assert_int_equal(model_open(&m, b, 1), MIEN_OK);
    assert_int_equal(m.parsed->n_inputs, 1);
    assert_string_equal(m.parsed->tensor[m.parsed->input[0]].name, "x");
    assert_int_equal(m.parsed->tensor[m.parsed->input[0]].shape.dim[0], -1);
    model_free(&m);
}

static void nodes_in_any_order_are_sorted(void **state)
{
    (void)state;
    struct onnx_build *b = base(13);
    struct model m;
    onnx_build_node(b, "Abs", "c", "y");
    onnx_build_node(b, "Exp", "a", "c");
    onnx_build_node(b, "Neg", "x", "a");
    onnx_build_output(b, "y");
    assert_int_equal(model_open(&m, b, 1), MIEN_OK);
    assert_int_equal(m.graph->node[0].op, MIEN_OP_NEG);
    assert_int_equal(m.graph->node[2].op, MIEN_OP_ABS);
    model_free(&m);
}

static void what_is_not_supported_is_named(void **state)
{
    (void)state;
    struct onnx_build *b = base(13);
    onnx_build_node(b, "NonMaxSuppression", "x", "y");
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, "NonMaxSuppression"), MIEN_E_ONNX_UNSUPPORTED);
    b = base(13);
    onnx_build_node(b, "Relu", "x", "y");
    onnx_build_domain(b, "my.domain");
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, "my.domain.Relu"), MIEN_E_ONNX_UNSUPPORTED);
    b = base(13);
    onnx_build_node(b, "Gelu", "x", "y");
    onnx_build_domain(b, "com.microsoft");
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, NULL), MIEN_OK);
    b = base(13);
    onnx_build_node(b, "If", "x", "y");
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, "If"), MIEN_E_ONNX_UNSUPPORTED);
    b = base(6);
    onnx_build_node(b, "Relu", "x", "y");
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, "opset 6"), MIEN_E_ONNX_UNSUPPORTED);
    b = base(22);
    onnx_build_node(b, "Relu", "x", "y");
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, "opset 22"), MIEN_E_ONNX_UNSUPPORTED);
    b = base(13);
    onnx_build_model_field(b, 25, "", 0);
    onnx_build_node(b, "Relu", "x", "y");
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, "functions"), MIEN_E_ONNX_UNSUPPORTED);
    b = base(13); /* data_location 1 */
    onnx_build_graph_field(b, 5, "\x08\x01\x10\x01\x42\x01w\x70\x01", 9);
    onnx_build_node(b, "Relu", "x", "y");
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, "another file"), MIEN_E_ONNX_UNSUPPORTED);
    b = base(13);
    onnx_build_node(b, "MaxPool", "x", "y i");
    onnx_build_ints(b, "kernel_shape", DIMS(2, 2));
    onnx_build_output(b, "y");
    onnx_build_output(b, "i");
    assert_int_equal(open_code(b, "MaxPool"), MIEN_E_ONNX_UNSUPPORTED);
    b = base(13);
    onnx_build_node(b, "BatchNormalization", "x x x x x", "y");
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, "BatchNormalization"), MIEN_E_ONNX_UNSUPPORTED);
}

static void unread_second_outputs_do_no_harm(void **state)
{
    (void)state;
    struct onnx_build *b = base(13);
    onnx_build_node(b, "MaxPool", "x", "p i");
    onnx_build_ints(b, "kernel_shape", DIMS(2, 2));
    onnx_build_node(b, "Dropout", "p", "y mask");
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, NULL), MIEN_OK);
    b = base(13);
    onnx_build_node(b, "Dropout", "x", "y mask");
    onnx_build_output(b, "y");
    onnx_build_output(b, "mask");
    assert_int_equal(open_code(b, "mask"), MIEN_E_ONNX_UNSUPPORTED);
}

static void inconsistent_graphs_are_refused(void **state)
{
    (void)state;
    struct onnx_build *b = base(13); /* a cycle */
    onnx_build_node(b, "Add", "x c", "a");
    onnx_build_node(b, "Relu", "a", "c");
    onnx_build_output(b, "c");
    assert_int_equal(open_code(b, "depends on its own result"), MIEN_E_ONNX_FORMAT);
    b = base(13);
    onnx_build_node(b, "Relu", "a", "a");
    onnx_build_output(b, "a");
    assert_int_equal(open_code(b, "depends on its own result"), MIEN_E_ONNX_FORMAT);
    b = base(13);
    onnx_build_node(b, "Relu", "nowhere", "y");
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, "nowhere"), MIEN_E_ONNX_FORMAT);
    b = base(13);
    onnx_build_node(b, "Relu", "x", "y");
    onnx_build_node(b, "Abs", "x", "y");
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, "defined twice"), MIEN_E_ONNX_FORMAT);
    b = base(13);
    onnx_build_node(b, "Relu", "x", "x");
    onnx_build_output(b, "x");
    assert_int_equal(open_code(b, "defined twice"), MIEN_E_ONNX_FORMAT);
    b = base(13);
    onnx_build_node(b, "Relu", "x", "y");
    onnx_build_output(b, "z");
    assert_int_equal(open_code(b, "no node makes it"), MIEN_E_ONNX_FORMAT);
    b = base(13);
    onnx_build_node(b, "Relu", "x", "y");
    assert_int_equal(open_code(b, "no outputs"), MIEN_E_ONNX_FORMAT);
    b = base(13);
    onnx_build_node(b, "Relu", "_", "y");
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, "no input"), MIEN_E_ONNX_FORMAT);
    b = base(13);
    onnx_build_node(b, "Add", "x", "y");
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, "input 1 is missing"), MIEN_E_ONNX_FORMAT);
}

/* Sizes that the bytes do not back are refused before anything is allocated by them. */
static void dimensions_must_fit_the_bytes(void **state)
{
    (void)state;
    float one = 1;
    int64_t dims[][3] = {{1000, 1000, 1000}, {INT32_MAX, INT32_MAX, INT32_MAX}, {-1, 1, 1}, {INT64_MAX, 2, 2}, {2, 1, 1}, {0, 1, 1}};
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++)
        for (int form = 0; form < 3; form++) {
            struct onnx_build *b = base(13);
            int64_t v = 1;
            if (form == 0) onnx_build_raw(b, "w", ONNX_FLOAT, 3, dims[i], &one, sizeof one);
            if (form == 1) onnx_build_typed_f32(b, "w", 3, dims[i], &one, 1, 1);
            if (form == 2) onnx_build_typed(b, "w", ONNX_INT64, 3, dims[i], &v, 1, 0);
            onnx_build_node(b, "Relu", "x", "y");
            onnx_build_output(b, "y");
            assert_int_equal(open_code(b, "initializer w"), MIEN_E_ONNX_FORMAT);
        }
}

static void attributes_out_of_range_are_refused(void **state)
{
    (void)state;
    struct { const char *name; int64_t v[4]; int n; } c[] = {{"strides", {0, 1}, 2}, {"strides", {1, 1, 1}, 3}, {"dilations", {1, -5}, 2},
        {"pads", {1, 1, 1, -1}, 4}, {"kernel_shape", {INT64_MAX, 1}, 2}, {"group", {0}, 0}, {"group", {INT64_MIN}, 0}, {"kernel_shape", {2, 2}, 2}};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        struct onnx_build *b = base(13);
        onnx_build_random(b, "w", DIMS(2, 3, 3, 3), -1, 1, 1);
        onnx_build_node(b, "Conv", "x w", "y");
        if (c[i].n > 0) onnx_build_ints(b, c[i].name, c[i].n, c[i].v);
        else onnx_build_int(b, c[i].name, c[i].v[0]);
        onnx_build_output(b, "y");
        assert_int_not_equal(open_code(b, "Conv"), MIEN_OK);
    }
    struct onnx_build *b = base(13);
    onnx_build_node(b, "Transpose", "x", "y");
    onnx_build_ints(b, "perm", DIMS(0, 1, 1, 3));
    onnx_build_output(b, "y");
    assert_int_equal(open_code(b, "permutation"), MIEN_E_ONNX_FORMAT);
}

static void shapes_given_must_match(void **state)
{
    (void)state;
    struct onnx_build *b = base(13);
    struct model m;
    onnx_build_node(b, "Relu", "x", "y");
    onnx_build_output(b, "y");
    assert_int_equal(model_open(&m, b, 5), MIEN_OK);
    struct mien_graph *g;
    struct mien_shape bad[] = {{.rank = 3, .dim = {1, 3, 8}}, {.rank = 4, .dim = {1, 4, 8, 8}}, {.rank = 4, .dim = {0, 3, 8, 8}},
                               {.rank = 4, .dim = {-1, 3, 8, 8}}, {.rank = 4, .dim = {INT64_MAX, 3, 8, 8}}, {.rank = -1}, {.rank = 100},
                               {.rank = 4, .dim = {INT32_MAX, 3, 8, 8}}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_not_equal(mien_graph_specialize(m.parsed, &bad[i], 1, &g, &m.e), MIEN_OK);
        assert_null(g);
    }
    assert_int_equal(mien_graph_specialize(m.parsed, bad, 0, &g, &m.e), MIEN_E_ARG);
    model_free(&m);
}

static struct onnx_build *varied(void)
{
    struct onnx_build *b = base(12);
    onnx_build_random(b, "w", DIMS(4, 3, 3, 3), -1, 1, 1);
    onnx_build_random(b, "g", DIMS(4), 0.5f, 1, 2);
    onnx_build_typed_f32(b, "k", DIMS(4, 1, 1), (float[]){1, 2, 3, 4}, 4, 1);
    onnx_build_node(b, "Conv", "x w", "c");
    onnx_build_ints(b, "pads", DIMS(1, 1, 1, 1));
    onnx_build_node(b, "BatchNormalization", "c g g g g", "n");
    onnx_build_node(b, "PRelu", "n k", "r");
    onnx_build_node(b, "Shape", "r", "s");
    onnx_build_typed(b, "zero", ONNX_INT64, 1, (int64_t[]){1}, (int64_t[]){0}, 1, 0);
    onnx_build_i64(b, "rest", 1, (int64_t[]){-1});
    onnx_build_node(b, "Gather", "s zero", "batch");
    onnx_build_node(b, "Concat", "batch rest", "t");
    onnx_build_int(b, "axis", 0);
    onnx_build_node(b, "Reshape", "r t", "flat");
    onnx_build_node(b, "Slice", "flat zero rest rest", "part");
    onnx_build_node(b, "Softmax", "part", "y");
    onnx_build_string(b, "unknown", "attribute");
    onnx_build_output(b, "y");
    onnx_build_output(b, "n");
    return b;
}

static void try_bytes(const unsigned char *p, size_t n)
{
    struct mien_graph *g = NULL, *s = NULL;
    struct mien_err e = {0};
    struct mien_shape shape[8];
    if (mien_onnx_parse(p, n, &g, &e) != MIEN_OK) {
        assert_null(g);
        assert_int_not_equal(e.code, MIEN_OK);
        assert_true(e.msg[0] != 0);
        return;
    }
    if (g->n_inputs <= 8 && model_shapes(g, 2, shape) == MIEN_OK && mien_graph_specialize(g, shape, g->n_inputs, &s, &e) == MIEN_OK) {
        FILE *null = fopen("/dev/null", "w");
        if (null != NULL) {
            mien_graph_print(s, null);
            mien_graph_print(g, null);
            fclose(null);
        }
    }
    mien_graph_free(&s);
    mien_graph_free(&g);
}

static void truncation_at_every_byte_is_survived(void **state)
{
    (void)state;
    size_t n;
    unsigned char *p = onnx_build_done(varied(), &n);
    for (size_t k = 0; k < n; k++) {
        unsigned char *cut = malloc(k + 1); /* of exact size, so that a sanitizer sees a read beyond it */
        memcpy(cut, p, k);
        cut = realloc(cut, k > 0 ? k : 1);
        try_bytes(cut, k);
        free(cut);
    }
    free(p);
}

static void flipped_and_random_bytes_are_survived(void **state)
{
    (void)state;
    size_t n;
    unsigned char *p = onnx_build_done(varied(), &n);
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            p[i] = (unsigned char)(p[i] ^ 1 << bit);
            try_bytes(p, n);
            p[i] = (unsigned char)(p[i] ^ 1 << bit);
        }
    uint32_t x = 7;
    for (int round = 0; round < 3000; round++) {
        unsigned char saved[4];
        size_t at[4];
        for (int k = 0; k < 4; k++) {
            x = x * 1664525u + 1013904223u;
            at[k] = (x >> 8) % n;
            saved[k] = p[at[k]];
            p[at[k]] = (unsigned char)(x >> 24);
        }
        try_bytes(p, n);
        for (int k = 3; k >= 0; k--) p[at[k]] = saved[k];
    }
    free(p);
}

static void names_with_control_bytes_are_shown_safely(void **state)
{
    (void)state;
    struct onnx_build *b = base(13);
    struct model m;
    onnx_build_node(b, "Relu", "x", "y\n\x1b[2J");
    onnx_build_output(b, "y\n\x1b[2J");
    assert_int_equal(model_open(&m, b, 1), MIEN_OK);
    assert_string_equal(m.graph->tensor[m.graph->output[0]].name, "y??[2J");
    model_free(&m);
}

static void many_nodes_stay_fast(void **state)
{
    (void)state;
    struct onnx_build *b = base(13);
    char x[16] = "x", y[16];
    for (int i = 0; i < 20000; i++) {
        snprintf(y, sizeof y, "t%d", i);
        onnx_build_node(b, i % 2 ? "Identity" : "Relu", x, y);
        memcpy(x, y, sizeof x);
    }
    onnx_build_output(b, x);
    struct model m;
    assert_int_equal(model_open(&m, b, 1), MIEN_OK);
    assert_int_equal(m.graph->n_nodes, 10000);
    model_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varints_are_bounded),
        cmocka_unit_test(every_element_type_and_encoding_is_read),
        cmocka_unit_test(subnormal_halves_and_infinities_convert),
        cmocka_unit_test(initializers_listed_as_inputs_are_not_inputs),
        cmocka_unit_test(nodes_in_any_order_are_sorted),
        cmocka_unit_test(what_is_not_supported_is_named),
        cmocka_unit_test(unread_second_outputs_do_no_harm),
        cmocka_unit_test(inconsistent_graphs_are_refused),
        cmocka_unit_test(dimensions_must_fit_the_bytes),
        cmocka_unit_test(attributes_out_of_range_are_refused),
        cmocka_unit_test(shapes_given_must_match),
        cmocka_unit_test(truncation_at_every_byte_is_survived),
        cmocka_unit_test(flipped_and_random_bytes_are_survived),
        cmocka_unit_test(names_with_control_bytes_are_shown_safely),
        cmocka_unit_test(many_nodes_stay_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
