/* mien eval detection: a pack's detector on photos whose faces people have marked.
 *
 * Faces that are too small to be asked for, or that the labels call invalid, are neither missed when nothing is found there nor is a box on them
 * false: the protocol of WIDER FACE (Yang et al. 2016). What counts as found: eval_detection.h. */
#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "app/eval.h"
#include "app/eval_detection.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/thread.h"

enum { MAX_LABELS_BYTES = 64 << 20, ARENA_BYTES = 1 << 30, MAX_THREADS = 256 };

/* What has come of one photo. */
struct outcome { struct mien_judged_box *box; size_t n; struct mien_detection_counts counts; };

/* k of n with its 95 % interval. */
struct rate { const char *label, *key; uint64_t k, n; double low, high; };
enum { RECALL, PRECISION, CENTER_RECALL, CENTER_PRECISION, N_RATES };

struct job {
    struct mien_cli *cli;
    const char *labels_path, *images_dir;
    struct mien_detection_rules rules;
    struct mien_face_settings settings;
    int limit, threads;
    struct mien_models *models;
    const struct mien_model *model;
    struct mien_arena *arena;
    struct mien_detection_labels labels;
    struct mien_session *session[MAX_THREADS];
    struct outcome *outcome; /* of each photo */
    _Atomic size_t done;
    struct mien_detection_counts counts;
    struct rate rate[N_RATES];
    double average_precision, ap_low, ap_high, ms;
};

/* ---- one photo ---- */

static enum mien_code judge(const struct job *j, const struct mien_faces *faces, const struct mien_photo_labels *labels, struct outcome *o, struct mien_err *e)
{
    o->n = (size_t)faces->count;
    o->box = calloc(o->n + 1, sizeof *o->box);
    MIEN_FAIL_IF(o->box == NULL, e, MIEN_E_NOMEM, "out of memory");
    for (size_t i = 0; i < o->n; i++) o->box[i] = (struct mien_judged_box){.box = faces->face[i].box, .score = faces->face[i].score};
    return mien_eval_judge_boxes(labels, &j->rules, o->box, o->n, &o->counts, e);
}

static enum mien_code judge_photo(void *context, int worker, size_t item, struct mien_err *e)
{
    struct job *j = context;
    const struct mien_photo_labels *labels = &j->labels.photo[item];
    struct mien_cli_photo p = {0};
    char path[PATH_MAX], line[40];
    const int n = snprintf(path, sizeof path, "%s/%s", j->images_dir, labels->file);
    MIEN_FAIL_IF(n < 0 || (size_t)n >= sizeof path, e, MIEN_E_ARG, "labels: line %zu: the path is too long", labels->line);
    snprintf(line, sizeof line, "labels: line %zu", labels->line);
    if (j->session[worker] == NULL) MIEN_TRY(mien_session_create(&j->session[worker], e));
    enum mien_code code = mien_cli_photo_analyze(path, j->models, j->session[worker], MIEN_WANT_BOXES, &j->settings, &p, e);
    code = code == MIEN_OK ? judge(j, &p.faces, labels, &j->outcome[item], e) : mien_cli_about(line, code, e);
    mien_cli_photo_free(&p);
    const size_t done = atomic_fetch_add(&j->done, 1) + 1;
    if (worker == 0 && done < j->labels.n) mien_cli_progress("photos", done, j->labels.n);
    return code;
}

/* ---- all of them ---- */

static enum mien_code read_labels(struct job *j, struct mien_err *e)
{
    unsigned char *text;
    size_t n;
    j->arena = mien_arena_create(ARENA_BYTES);
    MIEN_FAIL_IF(j->arena == NULL, e, MIEN_E_NOMEM, "out of memory");
    MIEN_TRY(mien_file_read(j->labels_path, MAX_LABELS_BYTES, &text, &n, e));
    const enum mien_code code = mien_detection_labels_parse((const char *)text, n, (size_t)j->limit, j->arena, &j->labels, e);
    free(text);
    return code;
}

static struct rate rate_of(const char *label, const char *key, uint64_t k, uint64_t n)
{
    struct rate r = {.label = label, .key = key, .k = k, .n = n};
    mien_eval_wilson(k, n, &r.low, &r.high);
    return r;
}

/* The boxes of all photos in one list, each with its photo's number. */
static enum mien_code judge_precision(struct job *j, struct mien_err *e)
{
    struct mien_judged_box *all = calloc((size_t)j->counts.boxes + 1, sizeof *all);
    uint64_t *faces = calloc(j->labels.n, sizeof *faces);
    size_t boxes = 0;
    for (size_t i = 0; all != NULL && faces != NULL && i < j->labels.n; i++) {
        faces[i] = j->outcome[i].counts.faces;
        for (size_t k = 0; k < j->outcome[i].n; k++) {
            all[boxes] = j->outcome[i].box[k];
            all[boxes++].photo = (uint32_t)i;
        }
    }
    const struct mien_judged_photos photos = {all, boxes, faces, j->labels.n};
    const enum mien_code code = all == NULL || faces == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory")
                                                             : mien_eval_average_precision(&photos, &j->average_precision, &j->ap_low, &j->ap_high, e);
    free(all);
    free(faces);
    return code;
}

static enum mien_code sum_up(struct job *j, struct mien_err *e)
{
    const struct mien_detection_counts *c = &j->counts;
    for (size_t i = 0; i < j->labels.n; i++) mien_eval_add_counts(&j->counts, &j->outcome[i].counts);
    j->rate[RECALL] = rate_of("recall", "recall", c->found, c->faces);
    j->rate[PRECISION] = rate_of("precision", "precision", c->found, c->found + c->false_boxes);
    j->rate[CENTER_RECALL] = rate_of("recall by centres", "center_recall", c->center_found, c->faces);
    j->rate[CENTER_PRECISION] = rate_of("precision by centres", "center_precision", c->center_found, c->center_found + c->center_false_boxes);
    return judge_precision(j, e);
}

static enum mien_code run(struct job *j, struct mien_err *e)
{
    MIEN_TRY(read_labels(j, e));
    MIEN_TRY(mien_cli_models(j->cli, NULL, &j->models, e));
    j->model = mien_models_role(j->models, MIEN_ROLE_DETECT, 0);
    MIEN_FAIL_IF(j->model == NULL, e, MIEN_E_MODEL_MISSING, "the pack \"%.64s\" has no detection model", mien_models_pack(j->models));
    j->outcome = calloc(j->labels.n, sizeof *j->outcome);
    MIEN_FAIL_IF(j->outcome == NULL, e, MIEN_E_NOMEM, "out of memory");
    const uint64_t start = mien_now_ns();
    const enum mien_code code = mien_parallel_for(j->threads, j->labels.n, judge_photo, j, e);
    mien_cli_progress("photos", 1, 1);
    j->ms = mien_elapsed_ms(start);
    return code == MIEN_OK ? sum_up(j, e) : code;
}

/* ---- output ---- */

static const char *type_of(struct job *j)
{
    struct mien_net *net;
    return mien_models_net(j->models, j->model, &net, NULL) == MIEN_OK && mien_net_type(net) == MIEN_BF16 ? "bf16" : "f32";
}

static double min_score(const struct job *j) { return (double)(j->settings.min_score > 0.0f ? j->settings.min_score : j->model->score_threshold); }

/* Nothing is said of the rate of nothing. */
static void rate_json(struct mien_jw *w, const struct rate *r)
{
    const double value[3] = {(double)r->k / (double)r->n, r->low, r->high};
    static const char *const ending[3] = {"", "_low", "_high"};
    for (int i = 0; i < 3; i++) {
        char key[40];
        snprintf(key, sizeof key, "%s%s", r->key, ending[i]);
        mien_cli_number(w, key, r->n > 0 ? value[i] : NAN, 6);
    }
}

static void report_json(struct mien_buf *b, struct job *j)
{
    const struct mien_detection_counts *c = &j->counts;
    struct mien_jw w;
    mien_jw_init(&w, b);
    mien_jw_object(&w);
    mien_cli_count(&w, "images", c->photos);
    mien_cli_count(&w, "faces", c->faces);
    mien_cli_count(&w, "ignored", c->ignored);
    mien_cli_count(&w, "found", c->found);
    rate_json(&w, &j->rate[RECALL]);
    mien_cli_count(&w, "boxes", c->boxes);
    mien_cli_count(&w, "false_boxes", c->false_boxes);
    mien_cli_count(&w, "boxes_on_ignored", c->boxes_on_ignored);
    rate_json(&w, &j->rate[PRECISION]);
    mien_cli_count(&w, "center_found", c->center_found);
    rate_json(&w, &j->rate[CENTER_RECALL]);
    mien_cli_count(&w, "center_false_boxes", c->center_false_boxes);
    rate_json(&w, &j->rate[CENTER_PRECISION]);
    mien_cli_number(&w, "average_precision", j->average_precision, 6);
    mien_cli_number(&w, "average_precision_low", j->ap_low, 6);
    mien_cli_number(&w, "average_precision_high", j->ap_high, 6);
    mien_cli_number(&w, "min_side", (double)j->rules.min_side, 6);
    mien_cli_number(&w, "iou", (double)j->rules.iou, 6);
    mien_cli_number(&w, "min_score", min_score(j), 6);
    mien_cli_count(&w, "photos_with_faces", c->photos_with_faces);
    mien_cli_count(&w, "photos_missed", c->photos_missed);
    mien_jw_put_string(&w, "model", j->model->id);
    mien_jw_put_string(&w, "pack", mien_models_pack(j->models));
    mien_jw_put_string(&w, "type", type_of(j));
    mien_cli_count(&w, "threads", (uint64_t)j->threads);
    mien_cli_number(&w, "ms", round(j->ms), 15);
    mien_jw_end_object(&w);
    mien_buf_adds(b, "\n");
}

static void report_text(struct mien_buf *b, struct job *j)
{
    typedef unsigned long long ull;
    const struct mien_detection_counts *c = &j->counts;
    mien_buf_addf(b, "%s (%s), score %.2f or more, on %llu photos: %llu faces of %g px or more, %llu others ignored\n", j->model->id, type_of(j), min_score(j),
                  (ull)c->photos, (ull)c->faces, (double)j->rules.min_side, (ull)c->ignored);
    mien_buf_addf(b, "%-20s %8s %8s %10s %18s\n", "", "n", "of", "rate", "95 % interval");
    for (int i = 0; i < N_RATES; i++) {
        const struct rate *r = &j->rate[i];
        mien_buf_addf(b, "%-20s %8llu %8llu ", r->label, (ull)r->k, (ull)r->n);
        if (r->n == 0) mien_buf_adds(b, "   nothing to count\n");
        else mien_buf_addf(b, "%8.2f %% %8.2f..%.2f %%\n", 100.0 * (double)r->k / (double)r->n, 100.0 * r->low, 100.0 * r->high);
    }
    mien_buf_addf(b, "%llu boxes: %llu on faces that count (IoU %g or more), %llu on ignored ones, %llu false\n", (ull)c->boxes, (ull)c->found,
                  (double)j->rules.iou, (ull)c->boxes_on_ignored, (ull)c->false_boxes);
    if (c->faces > 0) mien_buf_addf(b, "average precision %.4f, 95 %% interval %.4f..%.4f\n", j->average_precision, j->ap_low, j->ap_high);
    mien_buf_addf(b, "no face found in %llu of %llu photos with faces; %.1f s\n", (ull)c->photos_missed, (ull)c->photos_with_faces, j->ms * 1e-3);
}

/* ---- the verb ---- */

static void free_job(struct job *j)
{
    for (int i = 0; i < MAX_THREADS; i++) mien_session_free(&j->session[i]);
    for (size_t i = 0; j->outcome != NULL && i < j->labels.n; i++) free(j->outcome[i].box);
    free(j->outcome);
    mien_models_free(&j->models);
    mien_arena_free(&j->arena);
}

int mien_verb_eval_detection(struct mien_cli *cli, int argc, char **argv)
{
    static struct job j; /* static for its size only */
    const struct mien_opt opts[] = {
        {"labels", MIEN_OPT_TEXT, &j.labels_path, "FILE", "labelled faces in WIDER FACE's format (required)", 0, 0},
        {"images", MIEN_OPT_TEXT, &j.images_dir, "DIR", "the folder that the labels' files are in (required)", 0, 0},
        {"min-side", MIEN_OPT_REAL, &j.rules.min_side, "PX", "ignore labelled faces with a shorter side below PX (16)", 0, 1e6},
        {"iou", MIEN_OPT_REAL, &j.rules.iou, "X", "intersection over union from which a face is found (0.5)", 0.01, 1},
        {"min-score", MIEN_OPT_REAL, &j.settings.min_score, "S", "take detections of S or more (default: the detector's threshold)", 0, 0.999},
        {"limit", MIEN_OPT_INT, &j.limit, "N", "take N photos only, evenly spread over the file", 0, 1e9},
        {"threads", MIEN_OPT_INT, &j.threads, "N", "workers (default: one a processor)", 1, MAX_THREADS}};
    struct mien_err e = {0};
    struct mien_buf b;
    int first;
    j = (struct job){.cli = cli, .rules = {.iou = 0.5f, .min_side = 16.0f}, .threads = mien_cpu_count()};
    const int status = mien_cli_parse(cli, argc, argv, opts, sizeof opts / sizeof *opts, 0, 0, &first);
    if (status >= 0) return status;
    if (j.labels_path == NULL || j.images_dir == NULL) return mien_cli_error("eval detection needs --labels FILE and --images DIR");
    if (j.threads > MAX_THREADS) j.threads = MAX_THREADS;
    mien_buf_init(&b, MIEN_OUTPUT_BYTES);
    const enum mien_code code = run(&j, &e);
    if (code == MIEN_OK && cli->json) report_json(&b, &j);
    else if (code == MIEN_OK) report_text(&b, &j);
    free_job(&j);
    return mien_cli_end(code, &b, MIEN_EXIT_YES, &e);
}
