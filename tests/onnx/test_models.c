// needs: -ljansson
/* The real networks: all parse and specialise, shapes equal the goldens', and the simplified graphs still give the
 * goldens' values (by the naive interpreter, where that takes seconds only). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>

#include "base/file.h"
#include "support/onnx_check.h"

/* Sanitizers make the interpreter slow; the small networks use every pass. */
#ifdef __SANITIZE_ADDRESS__
enum { MAX_MACS_IN_THE_INTERPRETER = 50 * 1000 * 1000 };
#else
enum { MAX_MACS_IN_THE_INTERPRETER = 1000 * 1000 * 1000 };
#endif

static const char *folder;

static json_t *manifest(void)
{
    char path[512];
    folder = getenv("MIEN_TEST_MODELS");
    if (folder == NULL) {
        print_message("MIEN_TEST_MODELS is not set: no real networks to test with\n");
        skip();
    }
    snprintf(path, sizeof path, "%s/manifest.json", folder);
    json_t *m = json_load_file(path, 0, NULL);
    assert_non_null(m);
    return m;
}

static struct mien_shape shape_of(const json_t *list)
{
    struct mien_shape s = {.rank = (int)json_array_size(list)};
    for (int i = 0; i < s.rank && i < MIEN_MAX_RANK; i++) s.dim[i] = json_integer_value(json_array_get(list, (size_t)i));
    return s;
}

static void check_shapes(const char *id, const struct mien_graph *g, const json_t *golden)
{
    const json_t *outputs = json_object_get(golden, "outputs");
    if ((size_t)g->n_outputs != json_array_size(outputs)) fail_msg("%s: %d outputs", id, g->n_outputs);
    for (int i = 0; i < g->n_outputs; i++) {
        const json_t *o = json_array_get(outputs, (size_t)i);
        struct mien_shape want = shape_of(json_object_get(o, "shape")), have = g->tensor[g->output[i]].shape;
        assert_string_equal(g->tensor[g->output[i]].name, json_string_value(json_object_get(o, "name")));
        if (want.rank != have.rank || memcmp(want.dim, have.dim, sizeof want.dim[0] * (size_t)want.rank) != 0) fail_msg("%s: shape of output %d", id, i);
    }
    for (int i = 0; i < g->n_tensors; i++)
        if (mien_shape_count(&g->tensor[i].shape) < 0 || g->tensor[i].type == MIEN_ELEM_NONE)
            fail_msg("%s: tensor %s has no shape or type", id, g->tensor[i].name);
}

static double golden_error(const struct mien_graph *g, const json_t *golden)
{
    char path[512];
    struct mien_file f;
    snprintf(path, sizeof path, "%s/%s", folder, json_string_value(json_object_get(golden, "file")));
    assert_int_equal(mien_file_map(path, 1 << 24, &f, NULL), MIEN_OK);
    float *in[4] = {0}, **out;
    for (int i = 0; i < g->n_inputs; i++) {
        const json_t *spec = json_array_get(json_object_get(golden, "inputs"), (size_t)i), *range = json_object_get(spec, "test_range");
        size_t n = (size_t)mien_shape_count(&g->tensor[g->input[i]].shape);
        in[i] = malloc(n * sizeof(float));
        onnx_ref_fill(in[i], n, (float)json_number_value(json_array_get(range, 0)), (float)json_number_value(json_array_get(range, 1)));
    }
    const char *unknown = onnx_ref_run(g, (const float *const *)in, &out);
    if (unknown != NULL) fail_msg("the interpreter does not know %s", unknown);
    double worst = 0;
    for (int i = 0; i < g->n_outputs; i++) {
        size_t n = (size_t)mien_shape_count(&g->tensor[g->output[i]].shape);
        const unsigned char *want = f.data + json_integer_value(json_object_get(json_array_get(json_object_get(golden, "outputs"), (size_t)i), "offset"));
        double max = 1e-3, diff = 0; /* a sigmoid near zero (facemesh_468's face_flag: 4e-5) is not known to more digits */
        for (size_t k = 0; k < n; k++) {
            float v;
            memcpy(&v, want + 4 * k, sizeof v);
            max = fmax(max, fabs((double)v));
            diff = fmax(diff, fabs((double)v - (double)out[i][k]));
        }
        worst = fmax(worst, diff / max);
        free(out[i]);
    }
    free(out);
    for (int i = 0; i < g->n_inputs; i++) free(in[i]);
    mien_file_unmap(&f);
    return worst;
}

static void check_model(const json_t *entry, int *opened, int *computed)
{
    const char *id = json_string_value(json_object_get(entry, "id"));
    const json_t *golden = json_object_get(entry, "golden"), *inputs = json_object_get(golden, "inputs");
    char path[512];
    struct mien_file f;
    struct mien_err e = {0};
    snprintf(path, sizeof path, "%s/onnx/%s", folder, json_string_value(json_object_get(entry, "file")));
    if (mien_file_map(path, 1 << 30, &f, &e) != MIEN_OK) return; /* only the golden is here */
    struct mien_shape shapes[4];
    for (size_t i = 0; i < json_array_size(inputs) && i < 4; i++) shapes[i] = shape_of(json_object_get(json_array_get(inputs, i), "test_shape"));
    struct mien_graph *parsed = NULL, *g = NULL;
    if (mien_onnx_parse(f.data, f.size, &parsed, &e) != MIEN_OK || mien_graph_specialize(parsed, shapes, (int)json_array_size(inputs), &g, &e) != MIEN_OK)
        fail_msg("%s: %s", id, e.msg);
    check_shapes(id, g, golden);
    ++*opened;
    double error = -1;
    if (g->macs <= MAX_MACS_IN_THE_INTERPRETER) {
        error = golden_error(g, golden);
        ++*computed;
    }
    print_message("%-28s %3d -> %3d nodes, %6.1f MMAC, error %g\n", id, parsed->n_nodes, g->n_nodes, (double)g->macs / 1e6, error);
    if (error > 1e-4) fail_msg("%s: off by %g of the largest value", id, error);
    assert_true(g->macs == (uint64_t)json_integer_value(json_object_get(entry, "macs")) || json_object_get(entry, "macs_at") != NULL);
    mien_graph_free(&g);
    mien_graph_free(&parsed);
    mien_file_unmap(&f);
}

static void real_networks_parse_and_keep_their_values(void **state)
{
    (void)state;
    json_t *all = manifest();
    int opened = 0, computed = 0;
    for (size_t i = 0; i < json_array_size(all); i++) check_model(json_array_get(all, i), &opened, &computed);
    print_message("%d networks opened, %d computed\n", opened, computed);
    assert_true(opened > 0 && computed > 0);
    json_decref(all);
}

/* A truncated real file gives an error at any length, and flipped bits give an error or a graph. */
static void damaged_real_file_is_refused(void **state)
{
    (void)state;
    json_decref(manifest());
    char path[512];
    struct mien_file f;
    snprintf(path, sizeof path, "%s/onnx/open_closed_eye_0001.onnx", folder);
    if (mien_file_map(path, 1 << 24, &f, NULL) != MIEN_OK) skip();
    struct mien_graph *g = NULL;
    for (size_t n = 0; n < f.size; n += 1 + n / 50) {
        assert_int_not_equal(mien_onnx_parse(f.data, n, &g, NULL), MIEN_OK);
        assert_null(g);
    }
    mien_file_unmap(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(real_networks_parse_and_keep_their_values), cmocka_unit_test(damaged_real_file_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
