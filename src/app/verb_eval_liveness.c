/* mien eval liveness: labelled clips through what a live session does with its frames, and how many attacks and live people pass.
 *
 * DIR/LABEL/CLIP: the label "live" is for bona fide presentations, every other one names a type of attack. Error rates are those of ISO/IEC 30107-3: APCER of
 * each type of attack (the share that passes) and the worst of them, BPCER (the share of live clips that does not pass). Challenges are not played: what is
 * measured are the scores alone. */
#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "app/clips.h"
#include "app/eval.h"
#include "base/clock.h"
#include "base/thread.h"
#include "liveness/proof_score.h"

enum { MAX_CLIPS = 100000, MAX_LABELS = 256, MAX_THREADS = 256, WORK_BYTES = 256 << 20, NAMES_BYTES = 256 << 20 };
static const char LIVE[] = "live";

/* What one clip, or one window of it, has come to. */
struct outcome { float liveness, emotion, deepfake, final; bool scored, deepfake_detected; int frames, faces; };
struct clip { const char *label, *path; struct outcome *outcome; int n, room; };
/* Of one label. */
struct tally { const char *label; uint64_t n, unscored, live, passed, deepfakes; double liveness, final; };

struct job {
    struct mien_cli *cli;
    const char *dir;
    float fps, seconds, photo_seconds, threshold;
    int limit, threads;
    struct mien_models *models;
    unsigned answerable;
    struct mien_arena *names;
    struct clip *clip;
    size_t n_clips;
    int of_label;          /* clips seen of the last label */
    struct mien_session *session[MAX_THREADS];
    struct mien_proof_settings score;
    struct tally tally[MAX_LABELS];
    int labels;
    _Atomic size_t done;
    double ms;
};

/* ---- which clips there are ---- */

/* Files come in the order of their names, so that a folder's frames follow one another, and a label's clips. `within` is LABEL/CLIP or LABEL/CLIP/FRAME. */
static enum mien_code on_file(void *context, const char *path, const char *within, struct mien_err *e)
{
    struct job *j = context;
    struct clip *last = j->n_clips > 0 ? &j->clip[j->n_clips - 1] : NULL;
    const char *name = strchr(within, '/'), *rest = name != NULL ? strchr(++name, '/') : NULL;
    if (name == NULL || (rest != NULL && (strchr(rest + 1, '/') != NULL || !mien_clip_is_photo(rest)))) return MIEN_OK;
    if (rest == NULL && !mien_clip_is_photo(name) && !mien_clip_is_film(name)) return MIEN_OK;
    const size_t length = rest != NULL ? (size_t)(rest - path) : strlen(path), label = (size_t)(name - 1 - within);
    if (last != NULL && strlen(last->path) == length && strncmp(last->path, path, length) == 0) return MIEN_OK; /* one more frame of it */
    const bool new_label = last == NULL || strlen(last->label) != label || strncmp(last->label, within, label) != 0;
    j->of_label = new_label ? 1 : j->of_label + 1;
    if (j->limit > 0 && j->of_label > j->limit) return MIEN_OK;
    MIEN_FAIL_IF(j->n_clips == MAX_CLIPS, e, MIEN_E_LIMIT, "more than %d clips", MAX_CLIPS);
    struct clip *c = &j->clip[j->n_clips++];
    c->path = mien_arena_strndup(j->names, path, length);
    c->label = mien_arena_strndup(j->names, within, label);
    MIEN_FAIL_IF(c->path == NULL || c->label == NULL, e, MIEN_E_NOMEM, "out of memory");
    return MIEN_OK;
}

static enum mien_code find_clips(struct job *j, struct mien_err *e)
{
    bool has_live = false;
    j->names = mien_arena_create(NAMES_BYTES);
    j->clip = calloc(MAX_CLIPS, sizeof *j->clip);
    MIEN_FAIL_IF(j->names == NULL || j->clip == NULL, e, MIEN_E_NOMEM, "out of memory");
    MIEN_TRY(mien_cli_each_file(j->dir, on_file, j, e));
    for (size_t i = 0; i < j->n_clips; i++) has_live = has_live || strcmp(j->clip[i].label, LIVE) == 0;
    MIEN_FAIL_IF(j->n_clips == 0, e, MIEN_E_ARG, "%.150s: no clips in folders of labels (DIR/LABEL/CLIP)", j->dir);
    MIEN_FAIL_IF(!has_live, e, MIEN_E_ARG, "%.150s: no clips in a folder \"live\"; people's clips are what attacks are compared with", j->dir);
    return MIEN_OK;
}

/* ---- one clip ---- */

static enum mien_code add_outcome(struct clip *c, const struct outcome *o, struct mien_err *e)
{
    if (c->n == c->room) {
        const int room = c->room > 0 ? 2 * c->room : 1;
        struct outcome *more = realloc(c->outcome, (size_t)room * sizeof *more);
        MIEN_FAIL_IF(more == NULL, e, MIEN_E_NOMEM, "out of memory");
        c->outcome = more;
        c->room = room;
    }
    c->outcome[c->n++] = *o;
    return MIEN_OK;
}

static enum mien_code look(const struct job *j, struct mien_session *session, const unsigned char *bytes, size_t n, int64_t at_ms,
                           struct mien_proof_score *score, struct outcome *o, struct mien_err *e)
{
    static const struct mien_face_settings one = {.primary_only = true};
    const unsigned wants = MIEN_WANT_MESH | MIEN_WANT_POSE | MIEN_WANT_EYES | MIEN_WANT_BLENDSHAPES | mien_proof_score_wants(score);
    struct mien_photo *photo = NULL;
    struct mien_arena *arena = mien_arena_create(WORK_BYTES);
    struct mien_faces faces = {0};
    enum mien_code code = arena == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory") : mien_photo_open(bytes, n, &MIEN_IMAGE_LIMITS_DEFAULT, &photo, e);
    if (code == MIEN_OK) code = mien_face_analyze(j->models, session, photo, wants & j->answerable, &one, arena, &faces, e);
    if (code == MIEN_OK) {
        const struct mien_look seen = {.at_ms = at_ms, .faces = faces.count, .face = faces.count > 0 ? &faces.face[0] : NULL,
                                       .width = mien_photo_width(photo), .height = mien_photo_height(photo)};
        mien_proof_score_look(score, &seen);
        const struct mien_proof_scores now = mien_proof_score_now(score);
        o->frames++;
        o->faces += faces.count > 0;
        o->scored = now.liveness.present;
        o->liveness = now.liveness.score;
        o->emotion = now.emotion.score;
        o->deepfake = now.deepfake.score;
        o->final = now.final;
        o->deepfake_detected = o->deepfake_detected || now.deepfake_detected; /* a session would have ended there */
    }
    mien_photo_free(&photo);
    mien_arena_wipe_free(&arena);
    return code;
}

/* Every window is a session of its own. A last one that is shorter counts only when it is the only one. */
static enum mien_code play(struct job *j, struct clip *c, struct mien_clip *film, struct mien_session *session, struct mien_err *e)
{
    const int window = j->seconds > 0.0f ? (int)ceilf(j->seconds * j->fps) : INT_MAX;
    struct mien_proof_score *score = NULL;
    struct outcome o = {0};
    const unsigned char *bytes;
    size_t n;
    enum mien_code code = MIEN_OK;
    for (int i = 0; code == MIEN_OK; i++) {
        code = mien_clip_next(film, &bytes, &n, e);
        const bool over = code == MIEN_OK && (n == 0 || o.frames == window);
        if (over && (o.frames == window || c->n == 0)) code = add_outcome(c, &o, e);
        if (over) {
            mien_proof_score_free(&score);
            o = (struct outcome){0};
        }
        if (code != MIEN_OK || n == 0) break;
        if (score == NULL) score = mien_proof_score_create(&j->score);
        code = score == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory")
                             : mien_cli_about(c->path, look(j, session, bytes, n, (int64_t)(1000.0f * (float)i / j->fps), score, &o, e), e);
    }
    mien_proof_score_free(&score);
    return code;
}

static enum mien_code judge_clip(void *context, int worker, size_t item, struct mien_err *e)
{
    struct job *j = context;
    const struct mien_clip_settings how = {.fps = j->fps, .seconds = j->seconds > 0.0f ? j->seconds : j->photo_seconds};
    struct mien_clip *film = NULL;
    enum mien_code code = j->session[worker] != NULL ? MIEN_OK : mien_session_create(&j->session[worker], e);
    if (code == MIEN_OK) code = mien_clip_open(j->clip[item].path, &how, &film, e);
    if (code == MIEN_OK) code = play(j, &j->clip[item], film, j->session[worker], e);
    mien_clip_close(&film);
    const size_t done = atomic_fetch_add(&j->done, 1) + 1;
    if (worker == 0 && done < j->n_clips) mien_cli_progress("clips", done, j->n_clips);
    return code;
}

/* ---- counts ---- */

static enum mien_code count(struct job *j, struct mien_err *e)
{
    for (size_t i = 0; i < j->n_clips; i++) {
        const struct clip *c = &j->clip[i];
        if (j->labels == 0 || strcmp(j->tally[j->labels - 1].label, c->label) != 0) {
            MIEN_FAIL_IF(j->labels == MAX_LABELS, e, MIEN_E_LIMIT, "more than %d labels", MAX_LABELS);
            j->tally[j->labels++].label = c->label;
        }
        struct tally *t = &j->tally[j->labels - 1];
        for (int k = 0; k < c->n; k++) {
            const struct outcome *o = &c->outcome[k];
            t->n++;
            t->unscored += !o->scored;
            t->live += o->scored && o->liveness >= j->threshold;
            t->passed += o->final >= j->score.pass && !o->deepfake_detected;
            t->deepfakes += o->deepfake_detected;
            t->liveness += (double)o->liveness;
            t->final += (double)o->final;
        }
    }
    return MIEN_OK;
}

/* A share with its interval. Of live clips those count that do not pass, of attacks those that do. */
struct rate { const char *label; uint64_t k, n; double low, high; };

static struct rate rate_of(const struct tally *t, uint64_t passed)
{
    struct rate r = {.label = t->label, .k = strcmp(t->label, LIVE) == 0 ? t->n - passed : passed, .n = t->n};
    mien_eval_wilson(r.k, r.n, &r.low, &r.high);
    return r;
}

/* BPCER, or the worst APCER (no label: there are no attacks), of liveness or of the final score. */
static struct rate worst(const struct job *j, bool live, bool final)
{
    struct rate most = {0};
    for (int i = 0; i < j->labels; i++) {
        const struct tally *t = &j->tally[i];
        const struct rate r = rate_of(t, final ? t->passed : t->live);
        if ((strcmp(t->label, LIVE) == 0) != live) continue;
        if (most.label == NULL || r.k * most.n > most.k * r.n) most = r;
    }
    return most;
}

/* ---- output ---- */

static void rate_json(struct mien_jw *w, const char *key, const struct rate *r)
{
    mien_jw_key(w, key);
    mien_jw_object(w);
    mien_jw_key(w, "label");
    mien_jw_string(w, r->label);
    mien_cli_count(w, "errors", r->k);
    mien_cli_count(w, "n", r->n);
    mien_cli_number(w, "rate", (double)r->k / (double)r->n, 6);
    mien_cli_number(w, "low", r->low, 6);
    mien_cli_number(w, "high", r->high, 6);
    mien_jw_end_object(w);
}

static void score_json(struct mien_jw *w, const struct outcome *o)
{
    mien_jw_object(w);
    mien_cli_count(w, "frames", (uint64_t)o->frames);
    mien_cli_count(w, "faces", (uint64_t)o->faces);
    mien_jw_key(w, "scored");
    mien_jw_bool(w, o->scored);
    mien_cli_number(w, "liveness", (double)o->liveness, 5);
    mien_cli_number(w, "emotion", (double)o->emotion, 5);
    mien_cli_number(w, "deepfake", (double)o->deepfake, 5);
    mien_cli_number(w, "final", (double)o->final, 5);
    mien_jw_key(w, "deepfake_detected");
    mien_jw_bool(w, o->deepfake_detected);
    mien_jw_end_object(w);
}

static void tally_json(struct mien_jw *w, const struct job *j, const struct tally *t)
{
    const bool live = strcmp(t->label, LIVE) == 0;
    const struct rate by_liveness = rate_of(t, t->live), by_final = rate_of(t, t->passed);
    mien_jw_object(w);
    mien_jw_key(w, "label");
    mien_jw_string(w, t->label);
    mien_cli_count(w, "n", t->n);
    mien_cli_count(w, "no_score", t->unscored);
    mien_cli_count(w, "live", t->live);
    mien_cli_count(w, "passed", t->passed);
    mien_cli_count(w, "deepfake_detected", t->deepfakes);
    mien_cli_number(w, "mean_liveness", t->liveness / (double)t->n, 5);
    mien_cli_number(w, "mean_final", t->final / (double)t->n, 5);
    rate_json(w, live ? "bpcer" : "apcer", &by_liveness);
    rate_json(w, live ? "bpcer_final" : "apcer_final", &by_final);
    mien_jw_key(w, "clips");
    mien_jw_array(w);
    for (size_t i = 0; i < j->n_clips; i++) {
        if (strcmp(j->clip[i].label, t->label) != 0) continue;
        mien_jw_object(w);
        mien_jw_key(w, "clip");
        mien_jw_string(w, strrchr(j->clip[i].path, '/') + 1);
        mien_jw_key(w, "windows");
        mien_jw_array(w);
        for (int k = 0; k < j->clip[i].n; k++) score_json(w, &j->clip[i].outcome[k]);
        mien_jw_end_array(w);
        mien_jw_end_object(w);
    }
    mien_jw_end_array(w);
    mien_jw_end_object(w);
}

static void report_json(struct mien_buf *b, const struct job *j)
{
    static const char *const key[2][2] = {{"bpcer", "apcer"}, {"bpcer_final", "apcer_final"}};
    struct mien_jw w;
    mien_jw_init(&w, b);
    mien_jw_object(&w);
    mien_cli_number(&w, "fps", (double)j->fps, 6);
    mien_cli_number(&w, "seconds", (double)j->seconds, 6);
    mien_cli_number(&w, "threshold", (double)j->threshold, 6);
    mien_cli_number(&w, "pass", (double)j->score.pass, 6);
    for (int i = 0; i < 4; i++) {
        const struct rate r = worst(j, i % 2 == 0, i / 2 == 1);
        if (r.n > 0) rate_json(&w, key[i / 2][i % 2], &r);
    }
    mien_jw_key(&w, "labels");
    mien_jw_array(&w);
    for (int i = 0; i < j->labels; i++) tally_json(&w, j, &j->tally[i]);
    mien_jw_end_array(&w);
    mien_cli_number(&w, "threads", j->threads, 9);
    mien_cli_number(&w, "ms", round(j->ms), 15);
    mien_jw_end_object(&w);
    mien_buf_adds(b, "\n");
}

static void rate_text(struct mien_buf *b, const struct job *j, bool final)
{
    const struct rate live = worst(j, true, final), attack = worst(j, false, final);
    mien_buf_addf(b, "%s >= %.2f: BPCER %.1f %% (%llu of %llu; 95 %%: %.1f..%.1f %%)", final ? "final" : "liveness",
                  (double)(final ? j->score.pass : j->threshold), 100.0 * (double)live.k / (double)live.n, (unsigned long long)live.k,
                  (unsigned long long)live.n, 100.0 * live.low, 100.0 * live.high);
    if (attack.n > 0) {
        mien_buf_addf(b, ", worst APCER %.1f %% (%llu of %llu; 95 %%: %.1f..%.1f %%) by ", 100.0 * (double)attack.k / (double)attack.n,
                      (unsigned long long)attack.k, (unsigned long long)attack.n, 100.0 * attack.low, 100.0 * attack.high);
        mien_cli_add_safe(b, attack.label);
    }
    mien_buf_adds(b, "\n");
}

static void report_text(struct mien_buf *b, const struct job *j)
{
    mien_buf_addf(b, "%6s %9s  %8s %6s %18s  %8s %6s %18s  %8s  label\n", "n", "no score", "liveness", "mean", "APCER, 95 %", "final", "mean", "APCER, 95 %",
                  "deepfake");
    for (int i = 0; i < j->labels; i++) {
        const struct tally *t = &j->tally[i];
        const double n = (double)t->n;
        const struct rate r = rate_of(t, t->live), f = rate_of(t, t->passed);
        mien_buf_addf(b, "%6llu %9llu  %8llu %6.3f %4.0f %% %4.1f..%4.1f %%  %8llu %6.3f %4.0f %% %4.1f..%4.1f %%  %8llu  ", (unsigned long long)t->n,
                      (unsigned long long)t->unscored, (unsigned long long)t->live, t->liveness / n, 100.0 * (double)r.k / n, 100.0 * r.low, 100.0 * r.high,
                      (unsigned long long)t->passed, t->final / n, 100.0 * (double)f.k / n, 100.0 * f.low, 100.0 * f.high, (unsigned long long)t->deepfakes);
        mien_cli_add_safe(b, t->label);
        mien_buf_adds(b, strcmp(t->label, LIVE) == 0 ? " (BPCER)\n" : "\n");
    }
    rate_text(b, j, false);
    rate_text(b, j, true);
}

/* ---- the verb ---- */

static enum mien_code run(struct job *j, struct mien_err *e)
{
    static const unsigned all = MIEN_WANT_MESH | MIEN_WANT_POSE | MIEN_WANT_EYES | MIEN_WANT_BLENDSHAPES | MIEN_WANT_EXPRESSION | MIEN_WANT_SPOOF |
                                MIEN_WANT_DEEPFAKE;
    MIEN_TRY(find_clips(j, e));
    MIEN_TRY(mien_cli_models(j->cli, NULL, &j->models, e));
    j->answerable = all & mien_face_answerable(j->models);
    MIEN_FAIL_IF((j->answerable & MIEN_WANT_MESH) == 0, e, MIEN_E_MODEL_MISSING, "the pack \"%.64s\" has no mesh model", mien_models_pack(j->models));
    const uint64_t start = mien_now_ns();
    const enum mien_code code = mien_parallel_for(j->threads, j->n_clips, judge_clip, j, e);
    mien_cli_progress("clips", 1, 1);
    j->ms = mien_elapsed_ms(start);
    return code == MIEN_OK ? count(j, e) : code;
}

static void free_job(struct job *j)
{
    for (int i = 0; i < MAX_THREADS; i++) mien_session_free(&j->session[i]);
    for (size_t i = 0; i < j->n_clips; i++) free(j->clip[i].outcome);
    free(j->clip);
    mien_models_free(&j->models);
    mien_arena_free(&j->names);
}

int mien_verb_eval_liveness(struct mien_cli *cli, int argc, char **argv)
{
    static struct job j; /* static for its size only */
    const struct mien_opt opts[] = {
        {"fps", MIEN_OPT_REAL, &j.fps, "N", "frames a second: of decoded videos, and what folders and motion JPEG are taken to have (10)", 1, 60},
        {"seconds", MIEN_OPT_REAL, &j.seconds, "S", "judge windows of S seconds, each as a session of its own (default: whole clips)", 1, 600},
        {"threshold", MIEN_OPT_REAL, &j.threshold, "X", "liveness from which a clip counts as live (0.5)", 0, 1},
        {"limit", MIEN_OPT_INT, &j.limit, "N", "take the first N clips of each label only", 0, 1e9},
        {"threads", MIEN_OPT_INT, &j.threads, "N", "workers (default: one a processor)", 1, MAX_THREADS}};
    struct mien_err e = {0};
    struct mien_buf b;
    int first;
    j = (struct job){.cli = cli, .fps = 10.0f, .threshold = 0.5f, .photo_seconds = 6.0f, .threads = mien_cpu_count(), .score = mien_proof_settings_default()};
    const int status = mien_cli_parse(cli, argc, argv, opts, sizeof opts / sizeof *opts, 1, 1, &first);
    if (status >= 0) return status;
    j.dir = argv[first];
    if (j.threads > MAX_THREADS) j.threads = MAX_THREADS;
    mien_buf_init(&b, MIEN_OUTPUT_BYTES);
    const enum mien_code code = run(&j, &e);
    if (code == MIEN_OK && cli->json) report_json(&b, &j);
    else if (code == MIEN_OK) report_text(&b, &j);
    free_job(&j);
    return mien_cli_end(code, &b, MIEN_EXIT_YES, &e);
}
