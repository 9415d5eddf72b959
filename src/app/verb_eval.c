/* mien eval verification: the accuracy of detector + alignment + embedding on labelled pairs.
 *
 * Every image is embedded once, by one worker a processor with a session of its own. LFW's photos are centred on the person that their
 * name says (http://vis-www.cs.umass.edu/lfw/), and other people may be in them, so of several faces the one nearest to the centre is
 * used; --face largest takes the largest instead, as an application would that knows nothing. */
#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/labelled.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/thread.h"
#include "codec/utf8.h"

enum { MAX_PAIRS_BYTES = 256 << 20, ARENA_BYTES = 1 << 30, SET_BYTES = sizeof(((struct mien_measured *)0)->set) - 1 };

struct job {
    struct mien_cli *cli;
    const char *pairs_path, *images_dir, *html_path, *model_id, *face, *set;
    int limit, threads;
    bool save;
    double fmr;
    char manifest[PATH_MAX]; /* where it is saved */
    struct mien_models *models;
    const struct mien_model *embed;
    struct mien_arena *arena;
    struct mien_pairs pairs;
    struct mien_session *session[256];
    float *row;
    bool *present;
    _Atomic size_t done, missed;
    struct mien_score_counts counts;
    struct mien_eval_report report;
};

/* ---- embeddings ---- */

static enum mien_code find_image(const struct job *j, const char *image, char *path, size_t room, struct mien_err *e)
{
    static const char *const ending[] = {"jpg", "jpeg", "png", "webp"};
    for (size_t i = 0; i < sizeof ending / sizeof ending[0]; i++) {
        int n = snprintf(path, room, "%s/%s.%s", j->images_dir, image, ending[i]);
        if (n > 0 && (size_t)n < room && access(path, R_OK) == 0) return MIEN_OK;
    }
    return MIEN_FAIL(e, MIEN_E_IO, "%.80s/%.100s.jpg: no such image", j->images_dir, image);
}

static enum mien_code embed_image(void *context, int worker, size_t item, struct mien_err *e)
{
    struct job *j = context;
    struct mien_cli_photo p = {0};
    const struct mien_face_settings settings = MIEN_FACE_SETTINGS_DEFAULT;
    char path[PATH_MAX];
    MIEN_TRY(find_image(j, j->pairs.image[item], path, sizeof path, e));
    enum mien_code code = j->session[worker] != NULL ? MIEN_OK : mien_session_create(&j->session[worker], e);
    if (code == MIEN_OK) code = mien_cli_photo_analyze(path, j->models, j->session[worker], MIEN_WANT_EMBEDDING, &settings, &p, e);
    const struct mien_face *f = code == MIEN_OK ? mien_labelled_face(&p, strcmp(j->face, "largest") == 0) : NULL;
    if (f != NULL && f->embedding_dim == j->embed->dim) {
        memcpy(j->row + item * (size_t)j->embed->dim, f->embedding, (size_t)j->embed->dim * sizeof(float));
        j->present[item] = true;
    } else if (code == MIEN_OK) atomic_fetch_add(&j->missed, 1);
    mien_cli_photo_free(&p);
    size_t done = atomic_fetch_add(&j->done, 1) + 1;
    if (worker == 0 && done < j->pairs.n_images) mien_cli_progress("images", done, j->pairs.n_images);
    return code;
}

static enum mien_code read_pairs(struct job *j, struct mien_err *e)
{
    unsigned char *text;
    size_t n;
    j->arena = mien_arena_create(ARENA_BYTES);
    MIEN_FAIL_IF(j->arena == NULL, e, MIEN_E_NOMEM, "out of memory");
    MIEN_TRY(mien_file_read(j->pairs_path, MAX_PAIRS_BYTES, &text, &n, e));
    enum mien_code code = mien_pairs_parse((const char *)text, n, (size_t)j->limit, j->arena, &j->pairs, e);
    free(text);
    return code;
}

static enum mien_code embed_all(struct job *j, struct mien_err *e)
{
    MIEN_TRY(mien_cli_models(j->cli, j->model_id, &j->models, e));
    j->embed = mien_models_role(j->models, MIEN_ROLE_EMBED, 0);
    MIEN_FAIL_IF(j->embed == NULL, e, MIEN_E_MODEL_MISSING, "the pack \"%.64s\" has no recognition model", mien_models_pack(j->models));
    j->row = calloc(j->pairs.n_images, (size_t)j->embed->dim * sizeof *j->row);
    j->present = calloc(j->pairs.n_images, sizeof *j->present);
    MIEN_FAIL_IF(j->row == NULL || j->present == NULL, e, MIEN_E_NOMEM, "out of memory");
    uint64_t start = mien_now_ns();
    enum mien_code code = mien_parallel_for(j->threads, j->pairs.n_images, embed_image, j, e);
    mien_cli_progress("images", 1, 1);
    j->report.embed_ms = mien_elapsed_ms(start);
    return code;
}

/* ---- judgement ---- */

static enum mien_code judge(struct job *j, struct mien_err *e)
{
    static const double target[4] = {1e-2, 1e-3, 1e-4, 1e-5};
    struct mien_eval_report *r = &j->report;
    const struct mien_embeddings em = {j->row, j->present, j->pairs.person, j->pairs.n_images, j->embed->dim};
    float *score = malloc(j->pairs.n * sizeof *score);
    MIEN_FAIL_IF(score == NULL, e, MIEN_E_NOMEM, "out of memory");
    mien_eval_pair_scores(&em, &j->pairs, score);
    enum mien_code code = mien_eval_folds(&j->pairs, score, &r->accuracy, e);
    free(score);
    MIEN_TRY(code);
    uint64_t start = mien_now_ns();
    MIEN_TRY(mien_eval_all_pairs(&em, j->threads, &j->counts, e));
    for (int i = 0; i < 4; i++) r->at[i] = mien_eval_at_fmr(&j->counts, target[i]);
    r->at_fmr = mien_eval_at_fmr(&j->counts, j->fmr);
    mien_eval_curve(&j->counts, j->fmr, &r->curve);
    r->median_genuine = mien_eval_median_genuine(&j->counts);
    r->slope_confidence = r->at_fmr.measurable ? mien_eval_confidence_slope(r->median_genuine, r->at_fmr.threshold) : (double)NAN;
    r->genuine = j->counts.n_genuine;
    r->at_model_threshold = mien_eval_at_threshold(&j->counts, (double)j->embed->threshold);
    r->equal_error_rate = mien_eval_equal_error_rate(&j->counts);
    mien_eval_calibrate(&j->counts, &r->slope, &r->midpoint);
    r->compare_ms = mien_elapsed_ms(start);
    return MIEN_OK;
}

static void describe(struct job *j)
{
    struct mien_eval_report *r = &j->report;
    const struct mien_model *detector = mien_models_role(j->models, MIEN_ROLE_DETECT, 0);
    struct mien_net *net;
    r->model = j->embed->id;
    r->detector = detector != NULL ? detector->id : "";
    r->pack = mien_models_pack(j->models);
    r->type = mien_models_net(j->models, j->embed, &net, NULL) == MIEN_OK && mien_net_type(net) == MIEN_BF16 ? "bf16" : "f32";
    r->pairs_file = mien_base_name(j->pairs_path);
    r->face = j->face;
    r->pairs = j->pairs.n;
    r->folds = j->pairs.folds;
    r->images = j->pairs.n_images;
    r->persons = j->pairs.person[j->pairs.n_images - 1] + 1;
    r->missed = atomic_load(&j->missed);
}

/* ---- output ---- */

static const char *const SUFFIX[4] = {"1e-2", "1e-3", "1e-4", "1e-5"};

static void point_json(struct mien_jw *w, const struct mien_rate_point *p)
{
    mien_jw_object(w);
    if (p->fmr_target > 0) mien_cli_number(w, "fmr_target", p->fmr_target, 3);
    mien_cli_number(w, "threshold", p->threshold, 6);
    mien_cli_number(w, "false_matches", (double)p->false_matches, 15);
    mien_cli_number(w, "false_non_matches", (double)p->false_non_matches, 15);
    mien_cli_number(w, "fmr", p->fmr, 6);
    mien_cli_number(w, "fnmr", p->fnmr, 6);
    mien_cli_number(w, "fnmr_low", p->fnmr_low, 6);
    mien_cli_number(w, "fnmr_high", p->fnmr_high, 6);
    mien_jw_end_object(w);
}

/* "tar_at_1e-3" and "threshold_at_1e-3"; null where the data has too few impostors to say. */
static void members_at(struct mien_jw *w, const char *prefix, const struct mien_eval_report *r, bool tar)
{
    for (int i = 0; i < 4; i++) {
        char key[40];
        snprintf(key, sizeof key, "%s%s", prefix, SUFFIX[i]);
        mien_jw_key(w, key);
        if (r->at[i].measurable) mien_jw_number(w, tar ? 1 - r->at[i].fnmr : r->at[i].threshold, 6);
        else mien_jw_null(w);
    }
}

static void report_json(struct mien_buf *b, const struct job *j)
{
    const struct mien_eval_report *r = &j->report;
    struct mien_jw w;
    mien_jw_init(&w, b);
    mien_jw_object(&w);
    mien_cli_number(&w, "pairs", (double)r->pairs, 15);
    mien_cli_number(&w, "folds", r->folds, 9);
    mien_cli_number(&w, "accuracy", r->accuracy.mean, 6);
    mien_cli_number(&w, "accuracy_standard_error", r->accuracy.standard_error, 4);
    mien_cli_number(&w, "threshold", r->accuracy.threshold, 6);
    mien_cli_number(&w, "images", (double)r->images, 15);
    mien_cli_number(&w, "persons", (double)r->persons, 15);
    mien_cli_number(&w, "missed", (double)r->missed, 15);
    mien_cli_number(&w, "genuine", (double)j->counts.n_genuine, 15);
    mien_cli_number(&w, "impostor", (double)j->counts.n_impostor, 15);
    mien_cli_number(&w, "missed_genuine", (double)j->counts.missed_genuine, 15);
    mien_cli_number(&w, "missed_impostor", (double)j->counts.missed_impostor, 15);
    members_at(&w, "tar_at_", r, true);
    members_at(&w, "threshold_at_", r, false);
    mien_cli_number(&w, "equal_error_rate", r->equal_error_rate, 6);
    mien_jw_key(&w, "points");
    mien_jw_array(&w);
    for (int i = 0; i < 4; i++) point_json(&w, &r->at[i]);
    mien_jw_end_array(&w);
    mien_jw_key(&w, "at_model_threshold");
    point_json(&w, &r->at_model_threshold);
    mien_jw_key(&w, "calibration");
    mien_jw_object(&w);
    mien_cli_number(&w, "slope", r->slope, 5);
    mien_cli_number(&w, "midpoint", r->midpoint, 5);
    mien_jw_end_object(&w);
    mien_jw_key(&w, "at_fmr");
    if (r->at_fmr.measurable) point_json(&w, &r->at_fmr);
    else mien_jw_null(&w);
    mien_jw_key(&w, "curve");
    mien_eval_curve_json(&w, &r->curve);
    mien_cli_number(&w, "median_genuine", r->median_genuine, 6);
    mien_cli_number(&w, "slope_confidence", r->slope_confidence, 4);
    mien_jw_put_string(&w, "model", r->model);
    mien_jw_put_string(&w, "type", r->type);
    mien_jw_put_string(&w, "detector", r->detector);
    mien_jw_put_string(&w, "pack", r->pack);
    mien_jw_put_string(&w, "face", r->face);
    mien_cli_number(&w, "threads", j->threads, 9);
    mien_cli_number(&w, "embed_ms", round(r->embed_ms), 15);
    mien_cli_number(&w, "compare_ms", round(r->compare_ms), 15);
    mien_jw_put_string(&w, "saved", j->save ? j->manifest : NULL);
    mien_jw_end_object(&w);
    mien_buf_adds(b, "\n");
}

static void report_text(struct mien_buf *b, const struct job *j)
{
    const struct mien_eval_report *r = &j->report;
    mien_buf_addf(b, "%s (%s), faces found by %s, face taken: %s\n", r->model, r->type, r->detector, r->face);
    mien_buf_addf(b, "accuracy %.2f %% +- %.2f on %zu pairs in %u folds, threshold %.3f\n", 100 * r->accuracy.mean, 100 * r->accuracy.standard_error,
                  r->pairs, r->folds, r->accuracy.threshold);
    mien_buf_addf(b, "%zu images of %zu persons, no face found in %zu; %llu genuine and %llu impostor comparisons\n", r->images, r->persons, r->missed,
                  (unsigned long long)j->counts.n_genuine, (unsigned long long)j->counts.n_impostor);
    mien_buf_addf(b, "%-10s %10s %14s %10s %18s\n", "FMR", "threshold", "false matches", "TAR", "95 % interval");
    for (int i = 0; i < 4; i++) {
        const struct mien_rate_point *p = &r->at[i];
        if (!p->measurable) mien_buf_addf(b, "%-10s too few impostor comparisons\n", SUFFIX[i]);
        else mien_buf_addf(b, "%-10s %10.4f %14llu %8.2f %% %8.2f..%.2f %%\n", SUFFIX[i], p->threshold, (unsigned long long)p->false_matches,
                           100 * (1 - p->fnmr), 100 * (1 - p->fnmr_high), 100 * (1 - p->fnmr_low));
    }
    const struct mien_rate_point *p = &r->at_model_threshold;
    mien_buf_addf(b, "at the model's threshold %.4f: FMR %.2e, TAR %.2f %%; equal error rate %.2f %%\n", p->threshold, p->fmr, 100 * (1 - p->fnmr),
                  100 * r->equal_error_rate);
    mien_buf_addf(b, "calibration: slope %.2f, midpoint %.4f; embedding %.1f s, comparing %.0f ms\n", r->slope, r->midpoint, r->embed_ms * 1e-3,
                  r->compare_ms);
    if (j->save)
        mien_buf_addf(b, "saved in %s: threshold %.4f (false match rate %g), slope %.2f, a curve of %d points\n", j->manifest, r->at_fmr.threshold, j->fmr,
                      r->slope_confidence, r->curve.n);
}

static enum mien_code write_html(const struct job *j, struct mien_err *e)
{
    struct mien_buf b;
    mien_buf_init(&b, MIEN_OUTPUT_BYTES);
    mien_eval_html(&b, &j->report, &j->counts);
    enum mien_code code = b.failed ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory") : mien_file_write(j->html_path, b.data, b.len, e);
    mien_buf_free(&b);
    return code;
}

static bool names_a_set(const char *text)
{
    const size_t n = strlen(text);
    return n > 0 && n <= SET_BYTES && mien_utf8_valid(text, n);
}

/* Says no before the work instead of after it. */
static enum mien_code may_save(struct job *j, struct mien_err *e)
{
    char dir[PATH_MAX - 16];
    MIEN_TRY(mien_cli_models_dir(j->cli, dir, sizeof dir, e));
    snprintf(j->manifest, sizeof j->manifest, "%s/manifest.json", dir);
    return mien_eval_may_save(j->manifest, j->fmr, mien_pairs_impostor(&j->pairs), e);
}

static enum mien_code save(const struct job *j, struct mien_err *e)
{
    const struct mien_eval_saving s = {j->manifest, j->embed->sha256, j->set, &j->report};
    return mien_cli_about(j->manifest, mien_eval_save(&s, e), e);
}

static enum mien_code run(struct job *j, struct mien_err *e)
{
    MIEN_TRY(read_pairs(j, e));
    if (j->save) MIEN_TRY(may_save(j, e));
    MIEN_TRY(embed_all(j, e));
    MIEN_TRY(judge(j, e));
    describe(j);
    if (j->html_path != NULL) MIEN_TRY(write_html(j, e));
    return j->save ? save(j, e) : MIEN_OK;
}

static void free_job(struct job *j)
{
    for (int i = 0; i < 256; i++) mien_session_free(&j->session[i]);
    if (j->row != NULL) explicit_bzero(j->row, j->pairs.n_images * (size_t)j->embed->dim * sizeof *j->row);
    free(j->row);
    free(j->present);
    mien_score_counts_free(&j->counts);
    mien_models_free(&j->models);
    mien_arena_free(&j->arena);
}

int mien_verb_eval_verification(struct mien_cli *cli, int argc, char **argv)
{
    static struct job j; /* static for its size only */
    float fmr = 1e-4f;
    const struct mien_opt opts[] = {
        {"pairs", MIEN_OPT_TEXT, &j.pairs_path, "FILE", "labelled pairs in LFW's format (required)", 0, 0},
        {"images", MIEN_OPT_TEXT, &j.images_dir, "DIR", "photos: DIR/NAME/NAME_0001.jpg (required)", 0, 0},
        {"html", MIEN_OPT_TEXT, &j.html_path, "FILE", "also write a page with the figures and the DET curve", 0, 0},
        {"limit", MIEN_OPT_INT, &j.limit, "N", "take N pairs only, evenly spread over the file", 0, 1e9},
        {"threads", MIEN_OPT_INT, &j.threads, "N", "workers (default: one a processor)", 1, 256},
        {"model", MIEN_OPT_TEXT, &j.model_id, "ID", "embed with this installed model instead of the pack's", 0, 0},
        {"face", MIEN_OPT_TEXT, &j.face, "WHICH", "of several faces: center (default) or largest", 0, 0},
        {"save", MIEN_OPT_FLAG, &j.save, NULL, "write the threshold, its curve and the figures into the models' manifest.json", 0, 0},
        {"fmr", MIEN_OPT_REAL, &fmr, "RATE", "the threshold's false match rate (default 1e-4)", 1e-9, 0.5},
        {"set", MIEN_OPT_TEXT, &j.set, "TEXT", "what the photos are called in the manifest (default: the pairs file's name)", 0, 0}};
    struct mien_err e = {0};
    int first;
    j = (struct job){.cli = cli, .threads = mien_cpu_count(), .face = "center"};
    int status = mien_cli_parse(cli, argc, argv, opts, 10, 0, 0, &first);
    if (status >= 0) return status;
    j.fmr = mien_cli_as_written(fmr);
    if (j.pairs_path == NULL || j.images_dir == NULL) return mien_cli_error("eval verification needs --pairs FILE and --images DIR");
    if (j.set == NULL) j.set = mien_base_name(j.pairs_path);
    if (j.save && !names_a_set(j.set)) return mien_cli_error("--set has 1 to %d bytes of UTF-8 text; it is the pairs file's name by default", SET_BYTES);
    if (strcmp(j.face, "center") != 0 && strcmp(j.face, "largest") != 0) return mien_cli_error("--face is center or largest, not '%s'", j.face);
    struct mien_buf b;
    mien_buf_init(&b, MIEN_OUTPUT_BYTES);
    enum mien_code code = run(&j, &e);
    if (code == MIEN_OK && cli->json) report_json(&b, &j);
    else if (code == MIEN_OK) report_text(&b, &j);
    free_job(&j);
    return mien_cli_end(code, &b, MIEN_EXIT_YES, &e);
}
