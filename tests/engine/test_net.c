// needs: base -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=posix_memalign -lpthread
/* Networks, plans and sessions: cache of plans, several shapes, threads, memory, messages. */
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "engine/engine.h"
#include "support/onnx_build.h"

#define D(...) ((const int64_t[]){__VA_ARGS__})

/* Counts what the engine (not oneDNN, which is another library) takes from the heap. */
static _Thread_local long allocations;
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t a, size_t n);
int __real_posix_memalign(void **p, size_t a, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t a, size_t n);
int __wrap_posix_memalign(void **p, size_t a, size_t n);
void *__wrap_malloc(size_t n) { return allocations++, __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t m) { return allocations++, __real_calloc(n, m); }
void *__wrap_realloc(void *p, size_t n) { return allocations++, __real_realloc(p, n); }
void *__wrap_aligned_alloc(size_t a, size_t n) { return allocations++, __real_aligned_alloc(a, n); }
int __wrap_posix_memalign(void **p, size_t a, size_t n) { return allocations++, __real_posix_memalign(p, a, n); }

/* A small network of every kind of step: first convolution, depthwise, residual, PReLU, Winograd's shape, resize, pooling, Gemm, softmax. */
static unsigned char *model(size_t *size)
{
    struct onnx_build *b = onnx_build_new(13);
    onnx_build_input(b, "x", ONNX_FLOAT, 4, D(-1, 3, -1, -1));
    onnx_build_random(b, "w0", 4, D(32, 3, 3, 3), -0.2f, 0.2f, 1);
    onnx_build_random(b, "b0", 1, D(32), -0.2f, 0.2f, 2);
    onnx_build_node(b, "Conv", "x w0 b0", "a");
    onnx_build_ints(b, "pads", 4, D(1, 1, 1, 1));
    onnx_build_random(b, "s0", 3, D(32, 1, 1), 0, 0.5f, 3);
    onnx_build_node(b, "PRelu", "a s0", "p");
    onnx_build_random(b, "w1", 4, D(32, 1, 3, 3), -0.3f, 0.3f, 4);
    onnx_build_node(b, "Conv", "p w1", "d");
    onnx_build_ints(b, "pads", 4, D(1, 1, 1, 1));
    onnx_build_int(b, "group", 32);
    onnx_build_random(b, "w2", 4, D(32, 32, 3, 3), -0.1f, 0.1f, 5);
    onnx_build_node(b, "Conv", "d w2", "c");
    onnx_build_ints(b, "pads", 4, D(1, 1, 1, 1));
    onnx_build_node(b, "Add", "c p", "r");
    onnx_build_f32(b, "two", 1, D(4), (const float[]){1, 1, 2, 2});
    onnx_build_node(b, "Resize", "r _ two", "u");
    onnx_build_string(b, "mode", "nearest");
    onnx_build_string(b, "coordinate_transformation_mode", "asymmetric");
    onnx_build_string(b, "nearest_mode", "floor");
    onnx_build_node(b, "GlobalAveragePool", "u", "g");
    onnx_build_node(b, "Flatten", "g", "f");
    onnx_build_random(b, "w3", 2, D(32, 10), -1, 1, 6);
    onnx_build_node(b, "Gemm", "f w3", "z");
    onnx_build_node(b, "Softmax", "z", "y");
    onnx_build_output(b, "y");
    onnx_build_output(b, "u");
    return onnx_build_done(b, size);
}

struct fixture { unsigned char *bytes; size_t size; struct mien_net *net; };

static struct fixture open_model(enum mien_precision precision, int max_plans)
{
    struct fixture f;
    struct mien_err e = {.msg = ""};
    struct mien_net_settings s;
    mien_net_settings_default(&s);
    s.precision = precision;
    s.max_plans = max_plans;
    f.bytes = model(&f.size);
    if (mien_net_open_memory(f.bytes, f.size, "small", &s, &f.net, &e) != MIEN_OK) fail_msg("%s", e.msg);
    return f;
}

static void close_model(struct fixture *f)
{
    mien_net_free(&f->net);
    free(f->bytes);
}

static struct mien_shape shape(int64_t n, int64_t h, int64_t w) { return (struct mien_shape){4, {n, 3, h, w}}; }

static struct mien_exec *exec(struct mien_session *s, struct mien_net *n, struct mien_shape in)
{
    struct mien_err e = {.msg = ""};
    struct mien_exec *x;
    if (mien_session_exec(s, n, &in, 1, &x, &e) != MIEN_OK) fail_msg("%s", e.msg);
    return x;
}

/* Image k of the batch is filled from its own seed. */
static void fill(struct mien_exec *x, const unsigned *seed)
{
    const struct mien_shape s = mien_exec_input_shape(x, 0);
    const int64_t picture = s.dim[1] * s.dim[2] * s.dim[3];
    for (int64_t k = 0; k < s.dim[0]; k++) {
        uint32_t v = seed[k];
        for (int64_t i = 0; i < picture; i++) {
            v = v * 1664525u + 1013904223u;
            mien_exec_input(x, 0)[k * picture + i] = (float)(v >> 8) / 8388608.0f - 1.0f;
        }
    }
}

static void run(struct mien_exec *x)
{
    struct mien_err e = {.msg = ""};
    if (mien_exec_run(x, &e) != MIEN_OK) fail_msg("%s", e.msg);
}

static void test_batch(void **state)
{
    (void)state;
    for (int p = MIEN_PRECISION_F32; p <= MIEN_PRECISION_BF16; p++) {
        struct fixture f = open_model((enum mien_precision)p, 8);
        struct mien_session *s;
        assert_int_equal(mien_session_create(&s, NULL), MIEN_OK);
        struct mien_exec *three = exec(s, f.net, shape(3, 20, 24));
        fill(three, (const unsigned[]){5, 6, 7});
        run(three);
        float joint[30];
        memcpy(joint, mien_exec_output(three, 0), sizeof joint);
        struct mien_exec *one = exec(s, f.net, shape(1, 20, 24));
        for (unsigned k = 0; k < 3; k++) {
            fill(one, (const unsigned[]){5 + k});
            run(one);
            for (int i = 0; i < 10; i++)
                assert_true(fabsf(joint[k * 10 + (unsigned)i] - mien_exec_output(one, 0)[i]) < (p == MIEN_PRECISION_F32 ? 1e-5f : 5e-3f));
        }
        mien_session_free(&s);
        close_model(&f);
    }
}

/* Plans beyond the bound go, least recently used first; those in use by a session stay valid, and results do not depend on it. */
static void test_plan_cache(void **state)
{
    (void)state;
    struct fixture f = open_model(MIEN_PRECISION_F32, 2);
    struct mien_session *s;
    assert_int_equal(mien_session_create(&s, NULL), MIEN_OK);
    struct mien_exec *first = exec(s, f.net, shape(1, 16, 16));
    fill(first, (const unsigned[]){1});
    run(first);
    float want[10];
    memcpy(want, mien_exec_output(first, 0), sizeof want);
    for (int64_t h = 17; h < 22; h++) {
        struct mien_exec *x = exec(s, f.net, shape(1, h, 30));
        fill(x, (const unsigned[]){2});
        run(x);
        assert_int_equal(mien_exec_output_shape(x, 1).dim[2], 2 * h);
        assert_int_equal(mien_exec_output_shape(x, 1).dim[3], 60);
    }
    fill(first, (const unsigned[]){1}); /* its plan left the cache long ago */
    run(first);
    assert_memory_equal(want, mien_exec_output(first, 0), sizeof want);
    struct mien_exec *again = exec(s, f.net, shape(1, 16, 16));
    fill(again, (const unsigned[]){1});
    run(again);
    assert_memory_equal(want, mien_exec_output(again, 0), sizeof want);
    assert_ptr_equal(again, exec(s, f.net, shape(1, 16, 16)));
    mien_session_free(&s);
    close_model(&f);
}

/* More execs than a session keeps. */
static void test_many_execs(void **state)
{
    (void)state;
    struct fixture f = open_model(MIEN_PRECISION_F32, 4);
    struct mien_session *s;
    assert_int_equal(mien_session_create(&s, NULL), MIEN_OK);
    for (int64_t i = 0; i < 70; i++) {
        struct mien_exec *x = exec(s, f.net, shape(1, 4 + i % 67, 5));
        fill(x, (const unsigned[]){3});
        run(x);
    }
    mien_session_free(&s);
    close_model(&f);
}

struct worker { struct mien_net *net; int order; float out[2][10]; };

static void *work(void *arg)
{
    struct worker *w = arg;
    struct mien_session *s;
    if (mien_session_create(&s, NULL) != MIEN_OK) return NULL;
    for (int r = 0; r < 6; r++)
        for (int k = 0; k < 2; k++) {
            const int which = (k + w->order) % 2;
            struct mien_exec *x;
            struct mien_shape in = shape(1, which == 0 ? 16 : 24, 20);
            if (mien_session_exec(s, w->net, &in, 1, &x, NULL) != MIEN_OK) return NULL;
            fill(x, (const unsigned[]){9});
            if (mien_exec_run(x, NULL) != MIEN_OK) return NULL;
            memcpy(w->out[which], mien_exec_output(x, 0), sizeof w->out[which]);
        }
    mien_session_free(&s);
    return w;
}

static void test_threads(void **state)
{
    (void)state;
    for (int p = MIEN_PRECISION_F32; p <= MIEN_PRECISION_BF16; p++) {
        struct fixture f = open_model((enum mien_precision)p, 1); /* one plan: the threads evict each other's */
        struct worker w[3] = {{.net = f.net, .order = 0}, {.net = f.net, .order = 1}, {.net = f.net, .order = 0}};
        pthread_t t[2];
        for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
        for (int i = 0; i < 2; i++) {
            void *done;
            pthread_join(t[i], &done);
            assert_ptr_equal(done, &w[i]);
        }
        assert_ptr_equal(work(&w[2]), &w[2]);
        for (int i = 0; i < 2; i++) assert_memory_equal(w[i].out, w[2].out, sizeof w[2].out);
        close_model(&f);
    }
}

/* A run takes nothing from the heap, and leaves oneDNN's own (the list of arguments of a call) as it was. */
static void test_no_allocation(void **state)
{
    (void)state;
    for (int p = MIEN_PRECISION_F32; p <= MIEN_PRECISION_BF16; p++) {
        struct fixture f = open_model((enum mien_precision)p, 8);
        struct mien_session *s;
        const long before_open = allocations;
        assert_int_equal(mien_session_create(&s, NULL), MIEN_OK);
        struct mien_exec *x = exec(s, f.net, shape(1, 20, 20));
        assert_true(allocations > before_open); /* the counter works */
        fill(x, (const unsigned[]){4});
        run(x);
        const long before = allocations;
        const size_t held = mallinfo2().uordblks, session = mien_session_bytes(s);
        struct mien_err e;
        for (int i = 0; i < 20; i++)
            if (mien_exec_run(x, &e) != MIEN_OK) fail();
        assert_int_equal(allocations, before);
        assert_int_equal(mallinfo2().uordblks, held);
        assert_int_equal(mien_session_bytes(s), session);
        mien_session_free(&s);
        close_model(&f);
    }
}

/* One session, two networks and shapes: the memory grows to the larger, and earlier execs move with it. */
static void test_shared_memory(void **state)
{
    (void)state;
    struct fixture f = open_model(MIEN_PRECISION_F32, 8);
    struct mien_session *s;
    assert_int_equal(mien_session_create(&s, NULL), MIEN_OK);
    struct mien_exec *small = exec(s, f.net, shape(1, 8, 8));
    const size_t bytes = mien_session_bytes(s);
    fill(small, (const unsigned[]){1});
    run(small);
    float want[10];
    memcpy(want, mien_exec_output(small, 0), sizeof want);
    struct mien_exec *large = exec(s, f.net, shape(2, 64, 64));
    assert_true(mien_session_bytes(s) > bytes);
    assert_true(mien_session_bytes(s) < bytes + mien_exec_info(large).activation_bytes + mien_exec_info(large).scratch_bytes + 16384);
    fill(large, (const unsigned[]){1, 2});
    run(large);
    fill(small, (const unsigned[]){1});
    run(small);
    assert_memory_equal(want, mien_exec_output(small, 0), sizeof want);
    mien_session_free(&s);
    close_model(&f);
}

static void test_information(void **state)
{
    (void)state;
    struct fixture f = open_model(MIEN_PRECISION_F32, 8);
    struct mien_session *s;
    assert_int_equal(mien_session_create(&s, NULL), MIEN_OK);
    struct mien_exec *x = exec(s, f.net, shape(1, 20, 20));
    const struct mien_exec_info i = mien_exec_info(x);
    assert_true(i.steps >= 8 && i.reference_steps == 0 && i.macs > 20 * 20 * 32 * 32 * 9 && i.weight_bytes > 0 && i.activation_bytes > 0);
    assert_int_equal(mien_net_type(f.net), MIEN_F32);
    assert_string_equal(mien_net_name(f.net), "small");
    assert_int_equal(mien_net_inputs(f.net), 1);
    assert_int_equal(mien_net_outputs(f.net), 2);
    assert_int_equal(mien_net_output_index(f.net, "u"), 1);
    assert_int_equal(mien_net_output_index(f.net, "nothing"), -1);
    assert_int_equal(mien_net_input_shape(f.net, 0).dim[1], 3);
    assert_int_equal(mien_net_input_shape(f.net, 0).dim[2], -1);
    const char *node;
    assert_true(strlen(mien_exec_step_impl(x, 0, &node)) > 0 && strlen(node) > 0);
    double ms[64];
    assert_true(i.steps <= 64);
    assert_int_equal(mien_exec_time_steps(x, 2, ms, NULL), MIEN_OK);
    for (int k = 0; k < i.steps; k++) assert_true(ms[k] >= 0);
    mien_session_free(&s);
    close_model(&f);
}

static void expect_error(struct onnx_build *b, const struct mien_shape *in, enum mien_code code, const char *part, const char *part2)
{
    size_t size;
    unsigned char *bytes = onnx_build_done(b, &size);
    struct mien_net *net;
    struct mien_session *s;
    struct mien_exec *x;
    struct mien_err e = {.msg = ""};
    if (mien_net_open_memory(bytes, size, "bad", NULL, &net, &e) != MIEN_OK) fail_msg("%s", e.msg);
    assert_int_equal(mien_session_create(&s, NULL), MIEN_OK);
    assert_int_equal(mien_session_exec(s, net, in, 1, &x, &e), code);
    assert_null(x);
    if (strstr(e.msg, part) == NULL || strstr(e.msg, part2) == NULL) fail_msg("\"%s\" should hold \"%s\" and \"%s\"", e.msg, part, part2);
    assert_int_equal(mien_session_exec(s, net, in, 1, &x, NULL), code); /* without an error record */
    mien_session_free(&s);
    mien_net_free(&net);
    free(bytes);
}

static struct onnx_build *with_input(void)
{
    struct onnx_build *b = onnx_build_new(13);
    onnx_build_input(b, "x", ONNX_FLOAT, 4, D(-1, 3, -1, -1));
    return b;
}

static void test_messages(void **state)
{
    (void)state;
    const struct mien_shape in = shape(1, 8, 8), wrong = {3, {3, 8, 8}};
    struct onnx_build *b = with_input();
    onnx_build_node(b, "Less", "x x", "which");
    onnx_build_output(b, "which");
    expect_error(b, &in, MIEN_E_ENGINE_UNSUPPORTED, "Less", "while running");
    b = with_input();
    onnx_build_node(b, "GlobalAveragePool", "x", "w");
    onnx_build_node(b, "Conv", "x w", "y");
    onnx_build_output(b, "y");
    expect_error(b, &in, MIEN_E_ENGINE_UNSUPPORTED, "Conv", "constant");
    b = with_input();
    onnx_build_node(b, "Relu", "x", "y");
    onnx_build_output(b, "y");
    expect_error(b, &wrong, MIEN_E_ONNX_SHAPE, "x", "dimensions");
    struct fixture f = open_model(MIEN_PRECISION_F32, 8);
    struct mien_session *s;
    struct mien_exec *x;
    assert_int_equal(mien_session_create(&s, NULL), MIEN_OK);
    const struct mien_shape two[2] = {in, in}, empty = shape(1, 0, 8);
    assert_int_equal(mien_session_exec(s, f.net, two, 2, &x, NULL), MIEN_E_ENGINE_SHAPE);
    assert_int_equal(mien_session_exec(s, f.net, &empty, 1, &x, NULL), MIEN_E_ENGINE_SHAPE);
    mien_session_free(&s);
    struct mien_net_settings settings;
    mien_net_settings_default(&settings);
    settings.max_plans = 0;
    struct mien_net *net;
    assert_int_equal(mien_net_open_memory(f.bytes, f.size, "small", &settings, &net, NULL), MIEN_E_ARG);
    assert_null(net);
    assert_int_equal(mien_net_open("/nonexistent/model.onnx", "none", NULL, &net, NULL), MIEN_E_IO);
    close_model(&f);
}

/* After a wipe neither input nor results of any plan of the session are left, and the plans still work. */
static void test_wipe(void **state)
{
    (void)state;
    struct fixture f = open_model(MIEN_PRECISION_F32, 8);
    struct mien_session *s;
    assert_int_equal(mien_session_create(&s, NULL), MIEN_OK);
    struct mien_exec *small = exec(s, f.net, shape(1, 12, 12)), *large = exec(s, f.net, shape(1, 40, 40));
    fill(large, (const unsigned[]){1});
    run(large);
    fill(small, (const unsigned[]){2});
    run(small);
    float want[10];
    memcpy(want, mien_exec_output(small, 0), sizeof want);
    mien_session_wipe(s);
    const float *const left[] = {mien_exec_output(large, 0), mien_exec_output(large, 1), mien_exec_output(small, 0), mien_exec_output(small, 1),
                                 mien_exec_input(large, 0)};
    const int count[] = {10, 32 * 80 * 80, 10, 32 * 24 * 24, 3 * 40 * 40};
    for (int k = 0; k < 5; k++)
        for (int i = 0; i < count[k]; i++) assert_true(left[k][i] == 0.0f);
    fill(small, (const unsigned[]){2});
    run(small);
    assert_memory_equal(want, mien_exec_output(small, 0), sizeof want);
    mien_session_free(&s);
    close_model(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_batch), cmocka_unit_test(test_plan_cache), cmocka_unit_test(test_many_execs),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_no_allocation), cmocka_unit_test(test_shared_memory), cmocka_unit_test(test_information),
        cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_messages)};
    return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
