/* mien bench models, mien bench pipeline: how long does it take on this machine?
 *
 * A measurement warms up, then repeats until both a time and a count are reached, and reports the least and the median. With N
 * threads every thread has a session of its own and all run at once; the figures are over the runs of all threads, so that
 * ms_p50 / threads compares with one thread. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/goldens.h"
#include "app/nets.h"
#include "base/clock.h"
#include "base/thread.h"

enum { MAX_RUNS = 2000, LEAST_RUNS = 5, WARM_UP = 2, STEP_RUNS = 20 };

struct times {
    double *ms; /* room for MAX_RUNS; owned */
    int n;
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Least and median of the runs of several threads. */
static void summarise(struct times *t, int threads, double *p50, double *least)
{
    int n = 0;
    double *all = malloc((size_t)threads * MAX_RUNS * sizeof *all);
    *p50 = *least = NAN;
    for (int i = 0; all != NULL && i < threads; i++)
        for (int k = 0; k < t[i].n; k++) all[n++] = t[i].ms[k];
    if (n > 0) {
        qsort(all, (size_t)n, sizeof *all, by_value);
        *least = all[0];
        *p50 = n % 2 == 1 ? all[n / 2] : 0.5 * (all[n / 2 - 1] + all[n / 2]);
    }
    free(all);
}

static struct times *alloc_times(int threads)
{
    struct times *t = calloc((size_t)threads, sizeof *t);
    for (int i = 0; t != NULL && i < threads; i++) t[i].ms = malloc(MAX_RUNS * sizeof *t[i].ms);
    for (int i = 0; t != NULL && i < threads; i++)
        if (t[i].ms == NULL) {
            for (int k = 0; k < threads; k++) free(t[k].ms);
            free(t);
            return NULL;
        }
    return t;
}

static void free_times(struct times *t, int threads)
{
    for (int i = 0; t != NULL && i < threads; i++) free(t[i].ms);
    free(t);
}

/* ---- bench models ---- */

struct models_job {
    struct mien_cli *cli;
    const char *dir, *only, *shape_text;
    int threads, batch;
    float seconds;
    bool steps;
    struct mien_shape shape; /* rank -1 = the model's */
    struct mien_buf out;
    struct mien_jw json;
};

/* One network at one type, on all threads. */
struct net_run {
    const struct models_job *job;
    struct mien_net *net;
    struct mien_shape shape[MIEN_NETS_MAX_INPUTS];
    struct mien_session **session;
    struct mien_exec **exec;
    struct times *times;
};

static void fill(struct mien_exec *x, int inputs)
{
    for (int i = 0; i < inputs; i++) {
        const struct mien_shape s = mien_exec_input_shape(x, i);
        mien_golden_fill(mien_exec_input(x, i), mien_shape_count(&s), -1, 1);
    }
}

static enum mien_code prepare_thread(void *context, int worker, size_t item, struct mien_err *e)
{
    struct net_run *r = context;
    (void)worker;
    MIEN_TRY(mien_session_create(&r->session[item], e));
    return mien_session_exec(r->session[item], r->net, r->shape, mien_net_inputs(r->net), &r->exec[item], e);
}

static enum mien_code time_thread(void *context, int worker, size_t item, struct mien_err *e)
{
    struct net_run *r = context;
    struct times *t = &r->times[item];
    (void)worker;
    for (int i = 0; i < WARM_UP; i++) {
        fill(r->exec[item], mien_net_inputs(r->net));
        MIEN_TRY(mien_exec_run(r->exec[item], e));
    }
    uint64_t begin = mien_now_ns();
    while (t->n < MAX_RUNS && (t->n < LEAST_RUNS || mien_elapsed_ms(begin) < (double)r->job->seconds * 1e3)) {
        fill(r->exec[item], mien_net_inputs(r->net)); /* plans may work in place: the input is not kept */
        uint64_t start = mien_now_ns();
        MIEN_TRY(mien_exec_run(r->exec[item], e));
        t->ms[t->n++] = mien_elapsed_ms(start);
    }
    return MIEN_OK;
}

static enum mien_code time_net(struct net_run *r, struct mien_err *e)
{
    size_t n = (size_t)r->job->threads;
    /* One after the other: plans are built under a lock anyway, and the timed part then starts on all threads at once. */
    MIEN_TRY(mien_parallel_for(1, n, prepare_thread, r, e));
    return mien_parallel_for(r->job->threads, n, time_thread, r, e);
}

/* The steps with the least processor time of each, as text or as a member of the JSON object that is open. */
static enum mien_code report_steps(struct models_job *j, struct mien_exec *x, struct mien_err *e)
{
    const int n = mien_exec_info(x).steps;
    double *ms = calloc((size_t)n + 1, sizeof *ms);
    struct mien_buf text;
    mien_buf_init(&text, 1 << 24);
    enum mien_code code = ms == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory") : mien_exec_time_steps(x, STEP_RUNS, ms, e);
    if (code == MIEN_OK) code = mien_nets_steps(&text, x, e);
    if (code == MIEN_OK && j->cli->json) {
        mien_jw_key(&j->json, "steps");
        mien_jw_array(&j->json);
        for (int i = 0; i < n; i++) {
            const char *node = NULL, *impl = mien_exec_step_impl(x, i, &node);
            mien_jw_object(&j->json);
            mien_jw_key(&j->json, "node");
            mien_jw_string(&j->json, node);
            mien_jw_key(&j->json, "impl");
            mien_jw_string(&j->json, impl);
            mien_jw_key(&j->json, "ms");
            mien_jw_fixed(&j->json, ms[i], 4);
            mien_jw_end_object(&j->json);
        }
        mien_jw_end_array(&j->json);
    } else if (code == MIEN_OK) {
        const char *line = text.data;
        for (int i = 0; i < n && line != NULL && *line != '\0'; i++) { /* one line a step */
            size_t len = strcspn(line, "\n");
            mien_buf_addf(&j->out, "%10.4f ms %.*s\n", ms[i], (int)len, line);
            line += len + (line[len] == '\n');
        }
    }
    mien_buf_free(&text);
    free(ms);
    return code;
}

static enum mien_code report_net(struct models_job *j, const struct mien_net_source *src, struct net_run *r, struct mien_err *e)
{
    const struct mien_exec_info info = mien_exec_info(r->exec[0]);
    const char *type = mien_net_type(r->net) == MIEN_BF16 ? "bf16" : "f32";
    double p50, least;
    summarise(r->times, j->threads, &p50, &least);
    if (!j->cli->json) {
        mien_buf_addf(&j->out, "%-28s %-4s %7d %5d %10.3f %10.3f %9.1f\n", src->id, type, j->threads, j->batch, p50, least, (double)info.macs * 1e-6);
        return j->steps ? report_steps(j, r->exec[0], e) : MIEN_OK;
    }
    mien_jw_object(&j->json);
    mien_jw_key(&j->json, "model");
    mien_jw_string(&j->json, src->id);
    mien_jw_key(&j->json, "type");
    mien_jw_string(&j->json, type);
    const struct { const char *key; int64_t v; } number[] = {{"threads", j->threads}, {"batch", j->batch}, {"macs", (int64_t)info.macs},
                                                             {"reference_steps", info.reference_steps}};
    for (size_t i = 0; i < sizeof number / sizeof number[0]; i++) {
        mien_jw_key(&j->json, number[i].key);
        mien_jw_integer(&j->json, number[i].v);
    }
    mien_jw_key(&j->json, "ms_p50");
    mien_jw_fixed(&j->json, p50, 4);
    mien_jw_key(&j->json, "ms_min");
    mien_jw_fixed(&j->json, least, 4);
    mien_jw_key(&j->json, "shape");
    mien_jw_array(&j->json);
    for (int i = 0; i < r->shape[0].rank; i++) mien_jw_integer(&j->json, r->shape[0].dim[i]);
    mien_jw_end_array(&j->json);
    enum mien_code code = j->steps ? report_steps(j, r->exec[0], e) : MIEN_OK;
    mien_jw_end_object(&j->json);
    return code;
}

static enum mien_code run_net(struct models_job *j, const struct mien_net_source *src, struct net_run *r, struct mien_err *e)
{
    size_t n = (size_t)j->threads;
    MIEN_TRY(mien_nets_shapes(r->net, src, j->batch, &j->shape, r->shape, e));
    r->session = calloc(n, sizeof(struct mien_session *));
    r->exec = calloc(n, sizeof(struct mien_exec *));
    r->times = alloc_times(j->threads);
    MIEN_FAIL_IF(r->session == NULL || r->exec == NULL || r->times == NULL, e, MIEN_E_NOMEM, "out of memory");
    MIEN_TRY(time_net(r, e));
    return report_net(j, src, r, e);
}

/* *type: what it ran in. Skipped without a line when the automatic type is float32 and float32 has been measured. */
static enum mien_code bench_net(struct models_job *j, const struct mien_net_source *src, enum mien_precision precision, bool have_f32,
                                struct mien_err *e)
{
    struct net_run r = {.job = j};
    struct mien_net_settings settings;
    mien_net_settings_default(&settings);
    settings.precision = precision;
    settings.allow_bf16 = !src->f32_only;
    enum mien_code code = mien_net_open(src->path, src->id, &settings, &r.net, e);
    if (code == MIEN_OK && !(have_f32 && mien_net_type(r.net) == MIEN_F32)) code = run_net(j, src, &r, e);
    for (int i = 0; r.session != NULL && i < j->threads; i++) mien_session_free(&r.session[i]);
    mien_net_free(&r.net);
    free_times(r.times, j->threads);
    free(r.session);
    free(r.exec);
    return code;
}

static enum mien_code bench_all(struct models_job *j, struct mien_err *e)
{
    struct mien_net_list list;
    if (j->shape_text != NULL) MIEN_TRY(mien_nets_parse_shape(j->shape_text, &j->shape, e));
    MIEN_TRY(mien_nets_list(j->cli, j->dir, j->only, &list, e));
    enum mien_code code = MIEN_OK;
    for (int i = 0; code == MIEN_OK && i < list.n; i++) {
        mien_cli_progress("networks", (size_t)i, (size_t)list.n);
        if (j->cli->type != NULL) code = bench_net(j, &list.item[i], j->cli->precision, false, e);
        else {
            code = bench_net(j, &list.item[i], MIEN_PRECISION_F32, false, e);
            if (code == MIEN_OK) code = bench_net(j, &list.item[i], MIEN_PRECISION_AUTO, true, e);
        }
        code = mien_cli_about(list.item[i].id, code, e);
    }
    mien_cli_progress("networks", 1, 1);
    mien_nets_free(&list);
    return code;
}

/* Prints the table or closes and prints the JSON array; on failure only the error. Returns the exit status. */
static int finish(const struct mien_cli *cli, struct mien_buf *out, struct mien_jw *json, enum mien_code code, const struct mien_err *e)
{
    if (code != MIEN_OK) {
        mien_buf_free(out);
        return mien_cli_fail(e);
    }
    if (cli->json) {
        mien_jw_end_array(json);
        mien_buf_adds(out, "\n");
    }
    return mien_cli_print(out, MIEN_EXIT_YES);
}

int mien_verb_bench_models(struct mien_cli *cli, int argc, char **argv)
{
    struct models_job j = {.cli = cli, .threads = 1, .batch = 1, .seconds = 0.5f, .shape = {.rank = -1}};
    const struct mien_opt opts[] = {
        {"model", MIEN_OPT_TEXT, &j.only, "ID", "this model only", 0, 0},
        {"dir", MIEN_OPT_TEXT, &j.dir, "DIR", "every ONNX file of this folder instead of the installed models", 0, 0},
        {"threads", MIEN_OPT_INT, &j.threads, "N", "N sessions in N threads at once (default 1)", 1, 256},
        {"batch", MIEN_OPT_INT, &j.batch, "N", "images in one run (default 1)", 1, 256},
        {"shape", MIEN_OPT_TEXT, &j.shape_text, "NxCxHxW", "input shape (default: the model's; 640x640 where it is open)", 0, 0},
        {"seconds", MIEN_OPT_REAL, &j.seconds, "S", "measure for S seconds (default 0.5), at least 5 runs", 0, 3600},
        {"steps", MIEN_OPT_FLAG, &j.steps, NULL, "also print the steps that are executed, with the processor time of each", 0, 0}};
    struct mien_err e = {0};
    int first;
    int status = mien_cli_parse(cli, argc, argv, opts, 7, 0, 0, &first);
    if (status >= 0) return status;
    mien_buf_init(&j.out, MIEN_OUTPUT_BYTES);
    mien_jw_init(&j.json, &j.out);
    if (cli->json) mien_jw_array(&j.json);
    else mien_buf_addf(&j.out, "%-28s %-4s %7s %5s %10s %10s %9s\n", "model", "type", "threads", "batch", "ms p50", "ms min", "MMAC");
    return finish(cli, &j.out, &j.json, bench_all(&j, &e), &e);
}

/* ---- bench pipeline ---- */

struct stage {
    const char *name;
    unsigned wants;
};

struct pipeline_job {
    struct mien_cli *cli;
    struct mien_models *models;
    struct mien_session *session;
    float seconds;
    struct mien_buf out;
    struct mien_jw json;
};

/* From encoded bytes in memory to faces, as a server would: nothing is kept between two runs. */
static enum mien_code once(struct pipeline_job *j, const struct mien_cli_photo *file, unsigned wants, struct mien_faces *found, struct mien_err *e)
{
    const struct mien_image_limits limits = {file->n, MIEN_IMAGE_LIMITS_DEFAULT.max_pixels};
    const struct mien_face_settings settings = {.best_only = true};
    struct mien_photo *photo = NULL;
    struct mien_arena *arena = mien_arena_create(256 << 20);
    MIEN_FAIL_IF(arena == NULL, e, MIEN_E_NOMEM, "out of memory");
    enum mien_code code = mien_photo_open(file->bytes, file->n, &limits, &photo, e);
    if (code == MIEN_OK) code = mien_face_analyze(j->models, j->session, photo, wants, &settings, arena, found, e);
    found->face = NULL; /* dies with the arena */
    mien_photo_free(&photo);
    mien_arena_free(&arena);
    return code;
}

static enum mien_code time_stage(struct pipeline_job *j, const struct mien_cli_photo *file, unsigned wants, struct times *t, struct mien_faces *found,
                                 struct mien_err *e)
{
    for (int i = 0; i < WARM_UP; i++) MIEN_TRY(once(j, file, wants, found, e));
    uint64_t begin = mien_now_ns();
    for (t->n = 0; t->n < MAX_RUNS && (t->n < LEAST_RUNS || mien_elapsed_ms(begin) < (double)j->seconds * 1e3);) {
        uint64_t start = mien_now_ns();
        MIEN_TRY(once(j, file, wants, found, e));
        t->ms[t->n++] = mien_elapsed_ms(start);
    }
    return MIEN_OK;
}

static void report_stage(struct pipeline_job *j, const char *path, const struct mien_cli_photo *p, const char *stage, int faces, struct times *t)
{
    double p50, least;
    summarise(t, 1, &p50, &least);
    if (!j->cli->json) {
        mien_buf_addf(&j->out, "%-40s %5dx%-5d %5d %-16s %10.2f %10.2f\n", path, mien_photo_width(p->photo), mien_photo_height(p->photo), faces, stage,
                      p50, least);
        return;
    }
    mien_jw_object(&j->json);
    mien_jw_key(&j->json, "image");
    mien_jw_string(&j->json, path);
    mien_jw_key(&j->json, "width");
    mien_jw_integer(&j->json, mien_photo_width(p->photo));
    mien_jw_key(&j->json, "height");
    mien_jw_integer(&j->json, mien_photo_height(p->photo));
    mien_jw_key(&j->json, "faces");
    mien_jw_integer(&j->json, faces);
    mien_jw_key(&j->json, "stage");
    mien_jw_string(&j->json, stage);
    mien_jw_key(&j->json, "ms_p50");
    mien_jw_fixed(&j->json, p50, 4);
    mien_jw_key(&j->json, "ms_min");
    mien_jw_fixed(&j->json, least, 4);
    mien_jw_end_object(&j->json);
}

static enum mien_code bench_photo(struct pipeline_job *j, const char *path, struct mien_err *e)
{
    const struct stage stage[] = {{"detect", 0}, {"detect+embed", MIEN_WANT_EMBEDDING},
                                  {"everything", mien_face_answerable(j->models)}};
    struct mien_cli_photo p = {0};
    struct mien_faces found = {0};
    struct times *t = alloc_times(1);
    enum mien_code code = t == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory") : mien_cli_photo_open(path, &p, e);
    for (size_t i = 0; code == MIEN_OK && i < sizeof stage / sizeof stage[0]; i++) {
        code = time_stage(j, &p, stage[i].wants, t, &found, e);
        if (code == MIEN_OK) report_stage(j, path, &p, stage[i].name, found.count, t);
    }
    mien_cli_photo_free(&p);
    free_times(t, 1);
    return code;
}

static enum mien_code bench_photos(struct pipeline_job *j, char **path, int n, struct mien_err *e)
{
    char sample[4096];
    char *samples[1] = {sample};
    if (n == 0) {
        MIEN_FAIL_IF(!mien_cli_beside_program("tools/models/node_modules/@vladmandic/face-api/demo/sample1.jpg", sample, sizeof sample), e, MIEN_E_ARG,
                     "no photo given, and the sample photos of the npm packages are not installed");
        path = samples;
        n = 1;
    }
    MIEN_TRY(mien_cli_models(j->cli, NULL, &j->models, e));
    MIEN_TRY(mien_session_create(&j->session, e));
    for (int i = 0; i < n; i++) {
        mien_cli_progress("photos", (size_t)i, (size_t)n);
        MIEN_TRY(bench_photo(j, path[i], e));
    }
    mien_cli_progress("photos", 1, 1);
    return MIEN_OK;
}

int mien_verb_bench_pipeline(struct mien_cli *cli, int argc, char **argv)
{
    struct pipeline_job j = {.cli = cli, .seconds = 1.0f};
    const struct mien_opt opts[] = {{"seconds", MIEN_OPT_REAL, &j.seconds, "S", "measure each stage for S seconds (default 1), at least 5 runs", 0, 3600}};
    struct mien_err e = {0};
    int first;
    int status = mien_cli_parse(cli, argc, argv, opts, 1, 0, -1, &first);
    if (status >= 0) return status;
    mien_buf_init(&j.out, MIEN_OUTPUT_BYTES);
    mien_jw_init(&j.json, &j.out);
    if (cli->json) mien_jw_array(&j.json);
    else mien_buf_addf(&j.out, "%-40s %11s %5s %-16s %10s %10s\n", "photo", "pixels", "faces", "stage", "ms p50", "ms min");
    enum mien_code code = bench_photos(&j, argv + first, argc - first, &e);
    mien_session_free(&j.session);
    mien_models_free(&j.models);
    return finish(cli, &j.out, &j.json, code, &e);
}
