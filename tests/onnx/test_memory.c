// needs: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc
/* Each allocation fails once: reading and specialising report MIEN_E_NOMEM and leave nothing behind (the address sanitizer
 * of a SAN build sees leaks). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "support/onnx_check.h"

static long countdown = -1; /* allocations until the one that fails; -1: none does */

static bool refuse(void)
{
    if (countdown < 0) return false;
    return countdown-- == 0;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n) { return refuse() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return refuse() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return refuse() ? NULL : __real_realloc(p, n); }
void *__wrap_aligned_alloc(size_t align, size_t n) { return refuse() ? NULL : __real_aligned_alloc(align, n); }

/* Uses most passes: folding before and after, new nodes, residuals, shape arithmetic. */
static unsigned char *model_bytes(size_t *n)
{
    struct onnx_build *b = onnx_build_new(12);
    onnx_build_input(b, "x", ONNX_FLOAT, DIMS(-1, 4, 8, 8));
    onnx_build_random(b, "w", DIMS(4, 4, 3, 3), -1, 1, 1);
    onnx_build_random(b, "g", DIMS(4), 0.5f, 1, 2);
    onnx_build_node(b, "Conv", "x w", "c");
    onnx_build_ints(b, "pads", DIMS(1, 1, 1, 1));
    onnx_build_node(b, "BatchNormalization", "c g g g g", "n");
    onnx_build_node(b, "Add", "n x", "s");
    onnx_build_node(b, "Relu", "s", "r");
    onnx_build_node(b, "ReduceMean", "r", "m");
    onnx_build_ints(b, "axes", DIMS(2, 3));
    onnx_build_int(b, "keepdims", 0);
    onnx_build_random(b, "k", DIMS(4, 6), -1, 1, 3);
    onnx_build_random(b, "kb", DIMS(6), -1, 1, 3);
    onnx_build_node(b, "MatMul", "m k", "p");
    onnx_build_node(b, "Add", "p kb", "q");
    onnx_build_node(b, "Shape", "q", "qs");
    onnx_build_i64(b, "zero", 1, (int64_t[]){0});
    onnx_build_node(b, "Gather", "qs zero", "batch");
    onnx_build_i64(b, "rest", 2, (int64_t[]){2, 3});
    onnx_build_node(b, "Concat", "batch rest", "t");
    onnx_build_int(b, "axis", 0);
    onnx_build_node(b, "Reshape", "q t", "u");
    onnx_build_node(b, "Softmax", "u", "y");
    onnx_build_int(b, "axis", 1);
    onnx_build_output(b, "y");
    onnx_build_output(b, "n");
    return onnx_build_done(b, n);
}

static void every_failing_allocation_is_reported(void **state)
{
    (void)state;
    size_t n;
    unsigned char *bytes = model_bytes(&n);
    struct mien_shape shape = {.rank = 4, .dim = {2, 4, 8, 8}};
    enum mien_code code = MIEN_E_NOMEM;
    long k = 0;
    for (; code != MIEN_OK && k < 10000; k++) {
        struct mien_graph *parsed = NULL, *g = NULL;
        struct mien_err e = {0};
        countdown = k;
        code = mien_onnx_parse(bytes, n, &parsed, &e);
        if (code == MIEN_OK) code = mien_graph_specialize(parsed, &shape, 1, &g, &e);
        bool failed = countdown < 0;
        countdown = -1;
        if (code != MIEN_OK && (code != MIEN_E_NOMEM || g != NULL)) fail_msg("allocation %ld: code %d, %s", k, code, e.msg);
        if (code == MIEN_OK && failed) fail_msg("allocation %ld failed unnoticed", k);
        mien_graph_free(&g);
        mien_graph_free(&parsed);
    }
    assert_int_equal(code, MIEN_OK);
    assert_true(k > 100); /* it did fail many times */
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_failing_allocation_is_reported)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
