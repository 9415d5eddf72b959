// needs: codec
/* Every network of the mirror against its golden: a generated input and what ONNX Runtime made of it.
 * float32: largest difference over largest value of each output at most 1e-3. Automatic type: embeddings keep a cosine of 0.999. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/clock.h"
#include "base/file.h"
#include "codec/json.h"
#include "engine/engine.h"

static struct mien_json *manifest;
static const char *mirror;

static int load_manifest(void **state)
{
    (void)state;
    mirror = getenv("MIEN_TEST_MODELS");
    if (mirror == NULL) return 0;
    char path[512];
    snprintf(path, sizeof path, "%s/manifest.json", mirror);
    struct mien_err e;
    unsigned char *text;
    size_t n;
    if (mien_file_read(path, 64u << 20, &text, &n, &e) != MIEN_OK) {
        mirror = NULL;
        return 0;
    }
    const enum mien_code code = mien_json_parse((const char *)text, n, &manifest, &e);
    free(text);
    if (code != MIEN_OK) fprintf(stderr, "manifest: %s\n", e.msg);
    return code == MIEN_OK ? 0 : -1;
}

static int free_manifest(void **state)
{
    (void)state;
    mien_json_free(&manifest);
    return 0;
}

/* The golden's generator: x = (1103515245 x + 12345) mod 2^31 from 12345, value (x >> 8) / 2^23; row-major in ONNX order. Ours is NHWC. */
static void fill(float *to, const struct mien_shape *s, float low, float high)
{
    uint32_t x = 12345;
    const int64_t count = mien_shape_count(s), hw = s->rank == 4 ? s->dim[2] * s->dim[3] : 1, c = s->rank == 4 ? s->dim[1] : 1;
    for (int64_t i = 0; i < count; i++) {
        x = (uint32_t)((1103515245ull * x + 12345u) & 0x7fffffffu);
        const float v = (float)(x >> 8) / 8388608.0f * (high - low) + low;
        const int64_t pixel = i % hw, channel = i / hw % c, image = i / hw / c;
        to[(image * hw + pixel) * c + channel] = v;
    }
}

struct result { double worst, cosine, ms; int references; };

/* One output against the golden: largest difference over largest value, and cosine. */
static void compare(const float *got, const float *want, size_t n, struct result *r)
{
    double peak = 0, diff = 0, gg = 0, ww = 0, gw = 0;
    for (size_t i = 0; i < n; i++) {
        const double g = (double)got[i], w = (double)want[i];
        if (!isfinite(g)) diff = INFINITY;
        if (fabs(w) > peak) peak = fabs(w);
        if (fabs(g - w) > diff) diff = fabs(g - w);
        gg += g * g;
        ww += w * w;
        gw += g * w;
    }
    const double rel = diff / (peak > 0 ? peak : 1), cosine = gg > 0 && ww > 0 ? gw / sqrt(gg * ww) : 1;
    if (getenv("MIEN_TEST_VERBOSE") != NULL) print_message("  output of %zu: difference %.2e, largest %.2e\n", n, diff, peak);
    if (!(rel <= r->worst)) r->worst = rel;
    if (cosine < r->cosine) r->cosine = cosine;
}

static void compare_outputs(const struct mien_json *entry, const struct mien_net *net, const struct mien_exec *x, const unsigned char *bytes, size_t size,
                            struct result *r)
{
    const struct mien_json *outputs = mien_json_get(mien_json_get(entry, "golden"), "outputs");
    for (size_t i = 0; i < mien_json_size(outputs); i++) {
        const struct mien_json *o = mien_json_at(outputs, i);
        const int index = mien_net_output_index(net, mien_json_string(mien_json_get(o, "name"), ""));
        assert_true(index >= 0);
        const struct mien_shape s = mien_exec_output_shape(x, index);
        const size_t n = (size_t)mien_shape_count(&s), offset = (size_t)mien_json_integer(mien_json_get(o, "offset"), 0);
        const struct mien_json *shape = mien_json_get(o, "shape");
        size_t want = 1;
        for (size_t k = 0; k < mien_json_size(shape); k++) want *= (size_t)mien_json_integer(mien_json_at(shape, k), 0);
        assert_int_equal(n, want);
        assert_true(offset + n * sizeof(float) <= size);
        compare(mien_exec_output(x, index), (const float *)(const void *)(bytes + offset), n, r);
    }
}

static struct result run_golden(const struct mien_json *entry, enum mien_precision precision)
{
    char path[512];
    struct mien_err e = {.msg = ""};
    struct mien_net_settings settings;
    struct mien_net *net;
    struct mien_session *session;
    struct mien_exec *x;
    struct mien_file golden;
    struct result r = {.worst = 0, .cosine = 1};
    const struct mien_json *g = mien_json_get(entry, "golden"), *inputs = mien_json_get(g, "inputs");
    struct mien_shape shapes[4];
    mien_net_settings_default(&settings);
    settings.precision = precision;
    snprintf(path, sizeof path, "%s/onnx/%s", mirror, mien_json_string(mien_json_get(entry, "file"), ""));
    if (mien_net_open(path, mien_json_string(mien_json_get(entry, "id"), ""), &settings, &net, &e) != MIEN_OK) fail_msg("%s: %s", path, e.msg);
    assert_int_equal(mien_session_create(&session, &e), MIEN_OK);
    for (size_t i = 0; i < mien_json_size(inputs); i++) {
        const struct mien_json *shape = mien_json_get(mien_json_at(inputs, i), "test_shape");
        shapes[i] = (struct mien_shape){.rank = (int)mien_json_size(shape)};
        for (int k = 0; k < shapes[i].rank; k++) shapes[i].dim[k] = mien_json_integer(mien_json_at(shape, (size_t)k), 0);
    }
    if (mien_session_exec(session, net, shapes, (int)mien_json_size(inputs), &x, &e) != MIEN_OK) fail_msg("%s: %s", path, e.msg);
    for (size_t i = 0; i < mien_json_size(inputs); i++) {
        float range[2] = {0, 1};
        assert_true(mien_json_floats(mien_json_get(mien_json_at(inputs, i), "test_range"), range, 2));
        fill(mien_exec_input(x, (int)i), &shapes[i], range[0], range[1]);
    }
    if (getenv("MIEN_TEST_VERBOSE") != NULL) mien_exec_print(x, stderr);
    if (mien_exec_run(x, &e) != MIEN_OK) fail_msg("%s: %s", path, e.msg);
    const uint64_t start = mien_now_ns();
    if (mien_exec_run(x, &e) != MIEN_OK) fail_msg("%s: %s", path, e.msg);
    r.ms = mien_elapsed_ms(start);
    snprintf(path, sizeof path, "%s/%s", mirror, mien_json_string(mien_json_get(g, "file"), ""));
    assert_int_equal(mien_file_map(path, 1u << 30, &golden, &e), MIEN_OK);
    compare_outputs(entry, net, x, golden.data, golden.size, &r);
    r.references = mien_exec_info(x).reference_steps;
    mien_file_unmap(&golden);
    mien_session_free(&session);
    mien_net_free(&net);
    return r;
}

static bool has_weights(const struct mien_json *entry)
{
    char path[512];
    const char *only = getenv("MIEN_TEST_ONLY");
    if (only != NULL && strcmp(only, mien_json_string(mien_json_get(entry, "id"), "")) != 0) return false;
    snprintf(path, sizeof path, "%s/onnx/%s", mirror, mien_json_string(mien_json_get(entry, "file"), "?"));
    FILE *f = fopen(path, "rb");
    if (f != NULL) fclose(f);
    return f != NULL;
}

static void need_mirror(void)
{
    if (mirror != NULL) return;
    print_message("skipped: MIEN_TEST_MODELS does not name a folder with manifest.json, onnx/ and golden/\n");
    skip();
}

static void test_float32(void **state)
{
    (void)state;
    need_mirror();
    int bad = 0, nets = 0;
    for (size_t i = 0; i < mien_json_size(manifest); i++) {
        const struct mien_json *entry = mien_json_at(manifest, i);
        if (!has_weights(entry)) continue;
        const struct result r = run_golden(entry, MIEN_PRECISION_F32);
        const bool good = r.worst <= 1e-3 && r.references == 0;
        print_message("%-28s f32   max diff / max value %.1e  reference steps %d  %.2f ms%s\n", mien_json_string(mien_json_get(entry, "id"), ""), r.worst,
                      r.references, r.ms, good ? "" : "  <-- wrong");
        nets++;
        if (!good) bad++;
    }
    assert_true(nets > 0);
    assert_int_equal(bad, 0);
}

static void test_automatic(void **state)
{
    (void)state;
    need_mirror();
    int bad = 0;
    for (size_t i = 0; i < mien_json_size(manifest); i++) {
        const struct mien_json *entry = mien_json_at(manifest, i);
        if (!has_weights(entry)) continue;
        const struct result r = run_golden(entry, MIEN_PRECISION_AUTO);
        const bool embeds = strstr(mien_json_string(mien_json_get(entry, "task"), ""), "embedding") != NULL;
        const bool good = isfinite(r.worst) && r.references == 0 && (!embeds || r.cosine >= 0.999);
        print_message("%-28s auto  max diff / max value %.1e  least cosine %.5f  reference steps %d  %.2f ms%s\n",
                      mien_json_string(mien_json_get(entry, "id"), ""), r.worst, r.cosine, r.references, r.ms, good ? "" : "  <-- wrong");
        if (!good) bad++;
    }
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_float32), cmocka_unit_test(test_automatic)};
    return cmocka_run_group_tests(tests, load_manifest, free_manifest);
}
