#include "app/goldens.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "engine/kernels.h"

enum { MAX_GOLDEN_BYTES = 64 << 20, MAX_INPUTS = 8, MAX_INPUT_ELEMENTS = 1 << 26 };

void mien_golden_fill(float *x, int64_t n, double lo, double hi)
{
    uint32_t state = 12345; /* x = (1103515245 x + 12345) mod 2^31, value = (x >> 8) / 2^23: exact in float32 */
    for (int64_t i = 0; i < n; i++) {
        state = (state * 1103515245u + 12345u) & 0x7fffffffu;
        x[i] = (float)((double)(state >> 8) / 8388608.0 * (hi - lo) + lo);
    }
}

void mien_golden_to_nhwc(const float *from, const struct mien_shape *s, float *to)
{
    if (s->rank == 4) mien_k_permute(to, from, s->dim, (const int[]){0, 2, 3, 1}, 4, sizeof *to);
    else memcpy(to, from, (size_t)mien_shape_count(s) * sizeof *to);
}

static enum mien_code read_shape(const struct mien_json *a, struct mien_shape *s, struct mien_err *e)
{
    s->rank = (int)mien_json_size(a);
    MIEN_FAIL_IF(!mien_json_is_array(a) || s->rank > MIEN_MAX_RANK, e, MIEN_E_JSON, "golden: bad shape");
    int64_t total = 1;
    for (int i = 0; i < s->rank; i++) {
        s->dim[i] = mien_json_integer(mien_json_at(a, (size_t)i), 0);
        MIEN_FAIL_IF(s->dim[i] < 1 || s->dim[i] > MAX_INPUT_ELEMENTS / total, e, MIEN_E_JSON, "golden: bad shape");
        total *= s->dim[i];
    }
    return MIEN_OK;
}

/* The golden's input of that name; a network with one input takes the only one. */
static const struct mien_json *find_input(const struct mien_json *inputs, const char *name)
{
    for (size_t i = 0; i < mien_json_size(inputs); i++)
        if (strcmp(mien_json_string(mien_json_get(mien_json_at(inputs, i), "name"), ""), name) == 0) return mien_json_at(inputs, i);
    return mien_json_size(inputs) == 1 ? mien_json_at(inputs, 0) : NULL;
}

static enum mien_code fill_inputs(const struct mien_json *inputs, const struct mien_net *net, struct mien_exec *x, struct mien_err *e)
{
    for (int i = 0; i < mien_net_inputs(net); i++) {
        const struct mien_json *in = find_input(inputs, mien_net_input_name(net, i));
        const struct mien_shape s = mien_exec_input_shape(x, i);
        int64_t n = mien_shape_count(&s);
        float range[2];
        MIEN_FAIL_IF(!mien_json_floats(mien_json_get(in, "test_range"), range, 2), e, MIEN_E_JSON, "golden: bad test_range");
        float *nchw = malloc((size_t)n * sizeof *nchw);
        MIEN_FAIL_IF(nchw == NULL, e, MIEN_E_NOMEM, "out of memory");
        mien_golden_fill(nchw, n, (double)range[0], (double)range[1]);
        mien_golden_to_nhwc(nchw, &s, mien_exec_input(x, i));
        free(nchw);
    }
    return MIEN_OK;
}

static enum mien_code bind(struct mien_session *s, struct mien_net *net, const struct mien_json *inputs, struct mien_exec **x, struct mien_err *e)
{
    struct mien_shape shape[MAX_INPUTS];
    int n = mien_net_inputs(net);
    MIEN_FAIL_IF(n > MAX_INPUTS, e, MIEN_E_ENGINE_SHAPE, "%d inputs", n);
    for (int i = 0; i < n; i++) {
        const struct mien_json *in = find_input(inputs, mien_net_input_name(net, i));
        MIEN_FAIL_IF(in == NULL, e, MIEN_E_JSON, "golden: no input \"%.60s\"", mien_net_input_name(net, i));
        MIEN_TRY(read_shape(mien_json_get(in, "test_shape"), &shape[i], e));
    }
    return mien_session_exec(s, net, shape, n, x, e);
}

static void measure(const float *got, const float *want, int64_t n, const char *name, struct mien_golden_result *out)
{
    double diff = 0, top = 0, gg = 0, ww = 0, gw = 0;
    for (int64_t i = 0; i < n; i++) {
        double g = (double)got[i], w = (double)want[i], d = fabs(g - w);
        if (!(d <= diff)) diff = d; /* a NaN stays */
        if (fabs(w) > top) top = fabs(w);
        gg += g * g;
        ww += w * w;
        gw += g * w;
    }
    double relative = isnan(diff) ? INFINITY : top > 0 ? diff / top : diff;
    if (relative >= out->worst) {
        out->worst = relative;
        snprintf(out->output, sizeof out->output, "%s", name);
    }
    double cosine = gg > 0 && ww > 0 ? gw / sqrt(gg * ww) : 0;
    if (n > 16 && !(cosine >= out->cosine)) out->cosine = cosine;
    if (strcmp(name, "embedding") == 0 && !(cosine >= out->embedding_cosine)) out->embedding_cosine = cosine;
    if (n <= 16 && relative > out->worst_small) out->worst_small = relative;
}

bool mien_golden_holds(const struct mien_golden_result *r)
{
    if (r->type == MIEN_BF16) return isfinite(r->worst) && r->embedding_cosine >= 0.999 && r->cosine >= 0.99 && r->worst_small <= 0.05;
    return r->worst <= 1e-3;
}

static enum mien_code compare(const struct mien_json *outputs, const struct mien_net *net, const struct mien_exec *x, const struct mien_file *golden,
                              struct mien_golden_result *out, struct mien_err *e)
{
    MIEN_FAIL_IF(mien_json_size(outputs) == 0, e, MIEN_E_JSON, "golden: no outputs");
    for (size_t k = 0; k < mien_json_size(outputs); k++) {
        const struct mien_json *o = mien_json_at(outputs, k);
        const char *name = mien_json_string(mien_json_get(o, "name"), "");
        struct mien_shape want;
        MIEN_TRY(read_shape(mien_json_get(o, "shape"), &want, e));
        int i = mien_net_output_index(net, name);
        if (i < 0 && mien_json_size(outputs) == 1 && mien_net_outputs(net) == 1) i = 0;
        MIEN_FAIL_IF(i < 0, e, MIEN_E_JSON, "golden: the network has no output \"%.60s\"", name);
        const struct mien_shape got = mien_exec_output_shape(x, i);
        int64_t n = mien_shape_count(&want), at = mien_json_integer(mien_json_get(o, "offset"), -1);
        bool same = got.rank == want.rank;
        for (int d = 0; same && d < got.rank; d++) same = got.dim[d] == want.dim[d];
        MIEN_FAIL_IF(!same, e, MIEN_E_ENGINE_SHAPE, "output \"%.60s\" has another shape than the golden", name);
        MIEN_FAIL_IF(at < 0 || (size_t)at > golden->size || (size_t)n * sizeof(float) > golden->size - (size_t)at, e, MIEN_E_JSON,
                     "golden: output \"%.60s\" lies outside the file", name);
        float *expected = malloc((size_t)n * sizeof *expected); /* a copy: the offset may be unaligned */
        MIEN_FAIL_IF(expected == NULL, e, MIEN_E_NOMEM, "out of memory");
        memcpy(expected, golden->data + at, (size_t)n * sizeof *expected);
        measure(mien_exec_output(x, i), expected, n, name, out);
        free(expected);
    }
    return MIEN_OK;
}

static enum mien_code run(const struct mien_json *golden, const struct mien_file *file, struct mien_net *net, struct mien_session *s,
                          struct mien_golden_result *out, struct mien_err *e)
{
    struct mien_exec *x;
    MIEN_TRY(bind(s, net, mien_json_get(golden, "inputs"), &x, e));
    out->type = mien_net_type(net);
    out->reference_steps = mien_exec_info(x).reference_steps;
    MIEN_TRY(fill_inputs(mien_json_get(golden, "inputs"), net, x, e));
    MIEN_TRY(mien_exec_run(x, e));
    return compare(mien_json_get(golden, "outputs"), net, x, file, out, e);
}

enum mien_code mien_golden_check(const char *dir, const struct mien_json *entry, const char *onnx_path, enum mien_precision precision,
                                 bool allow_bf16, struct mien_golden_result *out, struct mien_err *e)
{
    const struct mien_json *golden = mien_json_get(entry, "golden");
    struct mien_net_settings settings;
    struct mien_file file;
    struct mien_net *net = NULL;
    struct mien_session *session = NULL;
    char path[PATH_MAX];
    *out = (struct mien_golden_result){.cosine = 1, .embedding_cosine = 1};
    int n = snprintf(path, sizeof path, "%s/%s", dir, mien_json_string(mien_json_get(golden, "file"), ""));
    MIEN_FAIL_IF(n < 0 || (size_t)n >= sizeof path, e, MIEN_E_ARG, "path too long");
    MIEN_TRY(mien_file_map(path, MAX_GOLDEN_BYTES, &file, e));
    mien_net_settings_default(&settings);
    settings.precision = precision;
    settings.allow_bf16 = allow_bf16;
    enum mien_code code = mien_net_open(onnx_path, mien_json_string(mien_json_get(entry, "id"), "?"), &settings, &net, e);
    if (code == MIEN_OK) code = mien_session_create(&session, e);
    if (code == MIEN_OK) code = run(golden, &file, net, session, out, e);
    mien_session_free(&session);
    mien_net_free(&net);
    mien_file_unmap(&file);
    return code;
}
