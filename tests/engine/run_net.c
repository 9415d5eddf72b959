/* Runs one ONNX file on given inputs: what the comparison with ONNX Runtime and the benchmarks drive.
 *
 * usage: run_net TYPE REPEAT MODEL FOLDER SHAPE FILE [SHAPE FILE ...]
 * TYPE: f32, bf16 or auto. SHAPE: 1x3x112x112, FILE: raw float32 in ONNX order, for each input of the model. Writes the outputs to
 * FOLDER/0.f32 ... in the model's order and prints one line of JSON. With FOLDER "-" nothing is written.
 * Ends with 2 and a message when the engine refuses. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "engine/engine.h"
#include "engine/kernels.h"

enum { MAX_INPUTS = 8, FIRST_INPUT = 5 };

struct request {
    const char *model, *folder;
    int repeat, n_inputs;
    struct mien_shape shape[MAX_INPUTS];
    const char *file[MAX_INPUTS];
};

static bool parse_shape(const char *text, struct mien_shape *s)
{
    *s = (struct mien_shape){0};
    for (;; text++) {
        char *end;
        long long n = strtoll(text, &end, 10);
        if (end == text || n < 1 || s->rank == MIEN_MAX_RANK) return false;
        s->dim[s->rank++] = n;
        text = end;
        if (*text == '\0') return true;
        if (*text != 'x') return false;
    }
}

static bool parse(int argc, char **argv, struct request *r, struct mien_net_settings *s)
{
    if (argc < FIRST_INPUT + 2 || (argc - FIRST_INPUT) % 2 != 0 || argc > FIRST_INPUT + 2 * MAX_INPUTS) return false;
    *r = (struct request){.model = argv[3], .folder = argv[4], .repeat = (int)strtol(argv[2], NULL, 10), .n_inputs = (argc - FIRST_INPUT) / 2};
    s->precision = strcmp(argv[1], "f32") == 0 ? MIEN_PRECISION_F32 : strcmp(argv[1], "bf16") == 0 ? MIEN_PRECISION_BF16 : MIEN_PRECISION_AUTO;
    for (int i = 0; i < r->n_inputs; i++) {
        r->file[i] = argv[FIRST_INPUT + 2 * i + 1];
        if (!parse_shape(argv[FIRST_INPUT + 2 * i], &r->shape[i])) return false;
    }
    return r->repeat > 0;
}

/* The engine takes rank 4 as NHWC. */
static bool read_input(struct mien_exec *x, int i, const char *file)
{
    struct mien_shape s = mien_exec_input_shape(x, i);
    size_t n = (size_t)mien_shape_count(&s);
    float *raw = malloc(n * sizeof *raw + 1);
    FILE *f = fopen(file, "rb");
    bool ok = raw != NULL && f != NULL && fread(raw, sizeof *raw, n, f) == n && fgetc(f) == EOF;
    if (ok && s.rank == 4) mien_k_permute(mien_exec_input(x, i), raw, s.dim, (const int[]){0, 2, 3, 1}, 4, sizeof *raw);
    else if (ok) memcpy(mien_exec_input(x, i), raw, n * sizeof *raw);
    if (f != NULL) fclose(f);
    free(raw);
    return ok;
}

static bool write_output(const struct mien_exec *x, int i, const char *folder)
{
    char path[4096];
    struct mien_shape s = mien_exec_output_shape(x, i);
    size_t n = (size_t)mien_shape_count(&s);
    snprintf(path, sizeof path, "%s/%d.f32", folder, i);
    FILE *f = fopen(path, "wb");
    if (f == NULL) return false;
    bool ok = fwrite(mien_exec_output(x, i), sizeof(float), n, f) == n;
    return fclose(f) == 0 && ok;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_result(const struct mien_net *net, const struct mien_exec *x, double *ms, int repeat)
{
    struct mien_exec_info info = mien_exec_info(x);
    qsort(ms, (size_t)repeat, sizeof *ms, by_size);
    printf("{\"type\": \"%s\", \"ms_min\": %.4f, \"ms_p50\": %.4f, \"steps\": %d, \"reference_steps\": %d, \"macs\": %" PRIu64 ", \"outputs\": [",
           mien_net_type(net) == MIEN_BF16 ? "bf16" : "f32", ms[0], ms[repeat / 2], info.steps, info.reference_steps, info.macs);
    for (int i = 0; i < mien_net_outputs(net); i++) {
        struct mien_shape s = mien_exec_output_shape(x, i);
        printf("%s[", i > 0 ? ", " : "");
        for (int k = 0; k < s.rank; k++) printf("%s%" PRId64, k > 0 ? ", " : "", s.dim[k]);
        printf("]");
    }
    printf("]}\n");
}

static enum mien_code run(const struct request *r, struct mien_net *net, struct mien_session *session, struct mien_err *e)
{
    struct mien_exec *x;
    double *ms = calloc((size_t)r->repeat, sizeof *ms);
    enum mien_code code = ms == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory") : mien_session_exec(session, net, r->shape, r->n_inputs, &x, e);
    for (int k = 0; k < r->repeat && code == MIEN_OK; k++) {
        for (int i = 0; i < r->n_inputs && code == MIEN_OK; i++)
            if (!read_input(x, i, r->file[i])) code = MIEN_FAIL(e, MIEN_E_IO, "%s: cannot be read, or has another size than its shape", r->file[i]);
        uint64_t start = mien_now_ns();
        if (code == MIEN_OK) code = mien_exec_run(x, e);
        ms[k] = mien_elapsed_ms(start);
    }
    for (int i = 0; i < mien_net_outputs(net) && code == MIEN_OK && strcmp(r->folder, "-") != 0; i++)
        if (!write_output(x, i, r->folder)) code = MIEN_FAIL(e, MIEN_E_IO, "%s: cannot write output %d", r->folder, i);
    if (code == MIEN_OK) print_result(net, x, ms, r->repeat);
    free(ms);
    return code;
}

int main(int argc, char **argv)
{
    struct request r;
    struct mien_net_settings settings;
    mien_net_settings_default(&settings);
    if (!parse(argc, argv, &r, &settings)) {
        fprintf(stderr, "usage: run_net f32|bf16|auto REPEAT MODEL FOLDER SHAPE FILE [SHAPE FILE ...]\n");
        return 2;
    }
    struct mien_net *net = NULL;
    struct mien_session *session = NULL;
    struct mien_err e = {0};
    enum mien_code code = mien_net_open(r.model, "net", &settings, &net, &e);
    if (code == MIEN_OK) code = mien_session_create(&session, &e);
    if (code == MIEN_OK) code = run(&r, net, session, &e);
    if (code != MIEN_OK) fprintf(stderr, "%s: %s\n", mien_code_name(code), e.msg);
    mien_session_free(&session);
    mien_net_free(&net);
    return code == MIEN_OK ? 0 : 2;
}
