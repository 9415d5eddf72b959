/* mien embed and mien compare: the embedding of a photo's best face, and the verdict over two.
 *
 * Both photos of a comparison are worked on at once when there is a processor for each. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "app/cli.h"
#include "app/figures.h"
#include "base/clock.h"
#include "base/thread.h"

struct side {
    const char *path;
    struct mien_cli_photo photo;
    const struct mien_face *face; /* the best one */
};

struct job {
    struct mien_cli *cli;
    struct mien_models *models;
    const struct mien_model *embed;
    unsigned wants;
    struct mien_face_settings settings;
    struct side side[2];
    bool quality;    /* compute and report it */
};

static enum mien_code work(void *context, int worker, size_t item, struct mien_err *e)
{
    struct job *j = context;
    struct side *s = &j->side[item];
    struct mien_session *session = NULL;
    (void)worker;
    enum mien_code code = mien_session_create(&session, e);
    if (code == MIEN_OK) code = mien_cli_photo_analyze(s->path, j->models, session, j->wants, &j->settings, &s->photo, e);
    mien_session_free(&session);
    MIEN_TRY(code);
    MIEN_FAIL_IF(s->photo.faces.best < 0, e, MIEN_E_NO_FACE, "%.150s: no face found", s->path);
    s->face = &s->photo.faces.face[s->photo.faces.best];
    MIEN_FAIL_IF(!(s->face->have & MIEN_WANT_EMBEDDING), e, MIEN_E_INTERNAL, "%.150s: no embedding", s->path);
    return MIEN_OK;
}

static enum mien_code run(struct job *j, size_t n, struct mien_err *e)
{
    MIEN_TRY(mien_cli_models(j->cli, NULL, &j->models, e));
    j->embed = mien_models_role(j->models, MIEN_ROLE_EMBED, 0);
    MIEN_FAIL_IF(j->embed == NULL, e, MIEN_E_MODEL_MISSING, "the pack \"%.64s\" has no recognition model", mien_models_pack(j->models));
    j->settings.best_only = true;
    j->wants = MIEN_WANT_EMBEDDING | (j->quality ? MIEN_WANT_QUALITY : 0u);
    int cpus = mien_cpu_count();
    return mien_parallel_for(cpus < (int)n ? cpus : (int)n, n, work, j, e);
}

static void free_job(struct job *j)
{
    for (int i = 0; i < 2; i++) mien_cli_photo_free(&j->side[i].photo);
    mien_models_free(&j->models);
}

static void per_side(struct mien_jw *w, const char *key, const struct job *j, double (*value)(const struct side *), int decimals)
{
    mien_jw_key(w, key);
    mien_jw_array(w);
    for (int i = 0; i < 2; i++) mien_jw_fixed(w, value(&j->side[i]), decimals);
    mien_jw_end_array(w);
}

static double face_count(const struct side *s) { return (double)s->photo.faces.count; }
static double quality(const struct side *s) { return (double)s->face->quality.score; }
static double detect_ms(const struct side *s) { return s->photo.faces.detect_ms; }
static double side_ms(const struct side *s) { return s->photo.faces.total_ms; }

struct verdict {
    float similarity, threshold, confidence;
    bool match;
    double total_ms;
};

static void compare_json(struct mien_buf *b, const struct job *j, const struct verdict *v)
{
    struct mien_jw w;
    mien_jw_init(&w, b);
    mien_jw_object(&w);
    mien_jw_key(&w, "similarity");
    mien_jw_fixed(&w, (double)v->similarity, 6);
    mien_jw_key(&w, "match");
    mien_jw_bool(&w, v->match);
    mien_jw_key(&w, "threshold");
    mien_jw_fixed(&w, (double)v->threshold, 6);
    mien_cli_number(&w, "threshold_fmr", (double)mien_figures_fmr(j->embed, v->threshold), 3); /* null when it is not known */
    mien_jw_key(&w, "confidence");
    mien_jw_fixed(&w, (double)v->confidence, 6);
    mien_jw_key(&w, "model");
    mien_jw_string(&w, j->embed->id);
    per_side(&w, "faces", j, face_count, 0);
    if (j->quality) per_side(&w, "quality", j, quality, 4);
    per_side(&w, "detect_ms", j, detect_ms, 2);
    per_side(&w, "image_ms", j, side_ms, 2);
    mien_jw_key(&w, "total_ms");
    mien_jw_fixed(&w, v->total_ms, 2);
    mien_jw_end_object(&w);
    mien_buf_adds(b, "\n");
}

static void compare_text(struct mien_buf *b, const struct job *j, const struct verdict *v)
{
    mien_buf_addf(b, "%s: similarity %.3f, threshold %.3f", v->match ? "same person" : "different persons", (double)v->similarity, (double)v->threshold);
    const float fmr = mien_figures_fmr(j->embed, v->threshold);
    char rate[24];
    if (!isnan(fmr)) mien_buf_addf(b, " (false match rate %s)", mien_figures_rate((double)fmr, rate));
    mien_buf_addf(b, ", confidence %.3f, %.0f ms\n", (double)v->confidence, v->total_ms);
    for (int i = 0; i < 2; i++) {
        const struct side *s = &j->side[i];
        mien_buf_addf(b, "  %s: %d face%s", s->path, s->photo.faces.count, s->photo.faces.count == 1 ? "" : "s, the best is used");
        if (j->quality) mien_buf_addf(b, ", quality %.2f", (double)s->face->quality.score);
        mien_buf_adds(b, "\n");
    }
}

int mien_verb_compare(struct mien_cli *cli, int argc, char **argv)
{
    struct job j = {.cli = cli};
    struct mien_err e = {0};
    bool no_quality = false;
    float threshold = -2.0f; /* not given */
    const struct mien_opt opts[] = {
        {"threshold", MIEN_OPT_REAL, &threshold, "T", "the cosine from which on it is a match (default: the model's)", -1, 1},
        {"no-quality", MIEN_OPT_FLAG, &no_quality, NULL, "do not say how good the photos are: without the landmark network it is faster", 0, 0}};
    int first;
    int status = mien_cli_parse(cli, argc, argv, opts, 2, 2, 2, &first);
    if (status >= 0) return status;
    j.quality = !no_quality;
    j.side[0].path = argv[first];
    j.side[1].path = argv[first + 1];
    if (strcmp(argv[first], "-") == 0 && strcmp(argv[first + 1], "-") == 0) return mien_cli_error("only one of the two can be standard input");
    uint64_t start = mien_now_ns();
    if (run(&j, 2, &e) != MIEN_OK) {
        free_job(&j);
        return mien_cli_fail(&e);
    }
    struct verdict v = {.threshold = threshold > -2.0f ? threshold : j.embed->threshold};
    v.similarity = mien_similarity_cosine(j.side[0].face->embedding, j.side[1].face->embedding, j.side[0].face->embedding_dim);
    v.confidence = mien_match_confidence(j.embed, v.similarity);
    v.match = v.similarity >= v.threshold;
    v.total_ms = mien_elapsed_ms(start);
    struct mien_buf b;
    mien_buf_init(&b, MIEN_OUTPUT_BYTES);
    if (cli->json) compare_json(&b, &j, &v);
    else compare_text(&b, &j, &v);
    free_job(&j);
    return mien_cli_print(&b, v.match ? MIEN_EXIT_YES : MIEN_EXIT_NO);
}

static void embed_json(struct mien_buf *b, const struct job *j)
{
    const struct side *s = &j->side[0];
    struct mien_jw w;
    mien_jw_init(&w, b);
    mien_jw_object(&w);
    mien_jw_key(&w, "model");
    mien_jw_string(&w, j->embed->id);
    mien_jw_key(&w, "dim");
    mien_jw_integer(&w, s->face->embedding_dim);
    mien_jw_key(&w, "faces");
    mien_jw_integer(&w, s->photo.faces.count);
    mien_jw_key(&w, "total_ms");
    mien_jw_fixed(&w, s->photo.faces.total_ms, 2);
    mien_jw_key(&w, "face");
    mien_cli_face_json(&w, s->face, MIEN_WANT_QUALITY);
    mien_jw_key(&w, "embedding");
    mien_jw_array(&w);
    for (int i = 0; i < s->face->embedding_dim; i++) mien_jw_number(&w, (double)s->face->embedding[i], 9);
    mien_jw_end_array(&w);
    mien_jw_end_object(&w);
    mien_buf_adds(b, "\n");
}

int mien_verb_embed(struct mien_cli *cli, int argc, char **argv)
{
    struct job j = {.cli = cli};
    struct mien_err e = {0};
    int first;
    int status = mien_cli_parse(cli, argc, argv, NULL, 0, 1, 1, &first);
    if (status >= 0) return status;
    j.side[0].path = argv[first];
    if (run(&j, 1, &e) != MIEN_OK) {
        free_job(&j);
        return mien_cli_fail(&e);
    }
    struct mien_buf b;
    mien_buf_init(&b, MIEN_OUTPUT_BYTES);
    if (cli->json) embed_json(&b, &j);
    else
        for (int i = 0; i < j.side[0].face->embedding_dim; i++) mien_buf_addf(&b, "%.9g\n", (double)j.side[0].face->embedding[i]);
    free_job(&j);
    return mien_cli_print(&b, MIEN_EXIT_YES);
}
