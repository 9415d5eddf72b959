/* mien calibrate: the threshold at which photos of different people are taken for one person at a stated rate, measured on photos of the user's own. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/config.h"
#include "app/labelled.h"
#include "base/thread.h"

struct calibration {
    struct mien_cli *cli;
    const char *images, *unlabelled, *face;
    double fmr;
    struct mien_labelling how;
    struct mien_labelled photos;
    struct mien_threshold found;
    struct mien_rate_point at; /* of the found threshold, in which genuine pairs count too */
    uint64_t genuine;
    char warning[300];         /* "" = none */
};

static enum mien_code run(struct calibration *c, struct mien_err *e)
{
    struct mien_score_counts counts;
    MIEN_TRY(mien_labelled_read(c->images != NULL ? c->images : c->unlabelled, c->images == NULL, &c->photos, e));
    MIEN_TRY(mien_labelled_embed(c->cli, &c->how, &c->photos, e));
    const struct mien_embeddings em = mien_labelled_embeddings(&c->photos);
    MIEN_TRY(mien_eval_threshold(&em, c->fmr, c->how.threads, &c->found, e));
    MIEN_TRY(mien_eval_all_pairs(&em, c->how.threads, &counts, e));
    c->at = mien_eval_at_threshold(&counts, c->found.threshold);
    c->genuine = counts.n_genuine;
    mien_score_counts_free(&counts);
    if (c->found.expected < MIEN_EVAL_ENOUGH_ERRORS)
        snprintf(c->warning, sizeof c->warning,
                 "too few comparisons: %.3g false matches are expected at this rate among %llu, and at least %d are needed (%.0f comparisons); take the "
                 "upper end of the interval, or add people",
                 c->found.expected, (unsigned long long)c->found.impostor, MIEN_EVAL_ENOUGH_ERRORS, ceil(MIEN_EVAL_ENOUGH_ERRORS / c->fmr));
    return MIEN_OK;
}

/* ---- output ---- */

static void result_json(struct mien_buf *b, const struct calibration *c)
{
    struct mien_jw w;
    mien_jw_init(&w, b);
    mien_jw_object(&w);
    mien_cli_number(&w, "fmr", c->fmr, 6);
    mien_cli_number(&w, "threshold", c->found.threshold, 6);
    mien_cli_number(&w, "threshold_low", c->found.low, 6);
    mien_cli_number(&w, "threshold_high", c->found.high, 6);
    mien_cli_count(&w, "false_matches", c->found.false_matches);
    mien_cli_count(&w, "impostor", c->found.impostor);
    mien_cli_number(&w, "expected_false_matches", c->found.expected, 6);
    mien_cli_count(&w, "genuine", c->genuine);
    mien_jw_key(&w, "fnmr");
    if (c->genuine > 0) mien_jw_number(&w, c->at.fnmr, 6);
    else mien_jw_null(&w);
    mien_cli_count(&w, "photos", c->photos.n);
    mien_jw_key(&w, "persons");
    if (c->images != NULL) mien_jw_integer(&w, (int64_t)c->photos.persons);
    else mien_jw_null(&w);
    mien_cli_count(&w, "missed", c->photos.missed);
    mien_jw_key(&w, "labelled");
    mien_jw_bool(&w, c->images != NULL);
    mien_jw_key(&w, "model");
    mien_jw_string(&w, c->photos.embed->id);
    mien_cli_number(&w, "model_threshold", (double)c->photos.embed->threshold, 6);
    mien_jw_key(&w, "warning");
    mien_jw_string(&w, c->warning[0] != '\0' ? c->warning : NULL);
    mien_jw_end_object(&w);
    mien_buf_adds(b, "\n");
}

static void result_text(struct mien_buf *b, const struct calibration *c)
{
    const struct mien_threshold *t = &c->found;
    mien_buf_addf(b, "threshold %.4f (95 %% interval %.4f..%.4f) for a false match rate of %g; set it with MATCH_THRESHOLD\n", t->threshold, t->low, t->high,
                  c->fmr);
    mien_buf_addf(b, "%s, whose own threshold is %.4f; %zu photos", c->photos.embed->id, (double)c->photos.embed->threshold, c->photos.n);
    if (c->images != NULL) mien_buf_addf(b, " of %zu people", c->photos.persons);
    mien_buf_addf(b, ", no face found in %zu; %llu false matches of %llu comparisons of different people\n", c->photos.missed,
                  (unsigned long long)t->false_matches, (unsigned long long)t->impostor);
    if (c->genuine > 0)
        mien_buf_addf(b, "at this threshold %.2f %% of %llu comparisons of the same person do not match (95 %% interval %.2f..%.2f %%)\n", 100 * c->at.fnmr,
                      (unsigned long long)c->genuine, 100 * c->at.fnmr_low, 100 * c->at.fnmr_high);
    if (c->images == NULL) mien_buf_adds(b, "every photo is taken to show another person: anybody who is on two of them makes the threshold too high\n");
    if (c->warning[0] != '\0') mien_buf_addf(b, "warning: %s\n", c->warning);
}

/* With the options read. */
static int calibrate(struct calibration *c, float fmr, const struct mien_config *config)
{
    struct mien_serve_settings settings;
    struct mien_err e = {0};
    struct mien_buf b;
    c->fmr = mien_cli_as_written(fmr);
    if (c->fmr <= 0 || (c->images == NULL) == (c->unlabelled == NULL))
        return mien_cli_error("calibrate needs --fmr RATE and either --images DIR or --unlabelled DIR");
    if (strcmp(c->face, "center") != 0 && strcmp(c->face, "largest") != 0) return mien_cli_error("--face is center or largest, not '%s'", c->face);
    c->how.largest = strcmp(c->face, "largest") == 0;
    c->how.settings = &settings;
    mien_buf_init(&b, MIEN_OUTPUT_BYTES);
    enum mien_code code = mien_config_settings(config, &settings, &e);
    if (code == MIEN_OK) code = run(c, &e);
    if (code == MIEN_OK && c->cli->json) result_json(&b, c);
    else if (code == MIEN_OK) result_text(&b, c);
    mien_labelled_free(&c->photos);
    return mien_cli_end(code, &b, MIEN_EXIT_YES, &e);
}

int mien_verb_calibrate(struct mien_cli *cli, int argc, char **argv)
{
    float fmr = 0.0f;
    struct calibration c = {.cli = cli, .face = "center", .how.threads = mien_cpu_count()};
    const struct mien_opt opts[] = {
        {"fmr", MIEN_OPT_REAL, &fmr, "RATE", "false match rate that is wanted, such as 1e-4 (required)", 1e-9, 0.5},
        {"images", MIEN_OPT_TEXT, &c.images, "DIR", "labelled photos: DIR/NAME/PHOTO.jpg", 0, 0},
        {"unlabelled", MIEN_OPT_TEXT, &c.unlabelled, "DIR", "or photos of which each shows another person; folders below it count", 0, 0},
        {"threads", MIEN_OPT_INT, &c.how.threads, "N", "workers (default: one a processor)", 1, 256},
        {"model", MIEN_OPT_TEXT, &c.how.model_id, "ID", "embed with this installed model instead of the pack's", 0, 0},
        {"face", MIEN_OPT_TEXT, &c.face, "WHICH", "of several faces: center (default) or largest", 0, 0}};
    struct mien_config *config;
    int first;
    int status = mien_config_read_with(cli, argc, argv, opts, 6, "DATA_DIR|DATA_FOLDER|RESNET", 0, 0, &first, &config);
    if (status >= 0) return status;
    status = calibrate(&c, fmr, config);
    mien_config_free(&config);
    return status;
}
