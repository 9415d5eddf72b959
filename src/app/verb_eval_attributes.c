/* mien eval attributes: what the pack says of single faces - age, gender, expression, pose, live or spoof, real or fake - against the labels of a CSV file.
 *
 * The face of a photo is the primary one (the largest). Tight crops, in which detectors find little, get a black border (--pad); pictures that are cut to the
 * network's taste already go into it as they are (--cut). */
#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "app/eval.h"
#include "app/eval_attributes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/thread.h"
#include "codec/csv.h"

enum { ARENA_BYTES = 1 << 30, MAX_THREADS = 256 };

/* What is measured, in the order of the output: a choice, or `amounts` amounts from `amount` on. */
static const struct measure {
    const char *name, *unit;
    unsigned want;
    enum mien_role role;
    int choice, amount, amounts;
} MEASURE[] = {{"age", "years", MIEN_WANT_AGE_GENDER, MIEN_ROLE_AGE_GENDER, -1, MIEN_AMOUNT_AGE, 1},
               {"gender", "%", MIEN_WANT_AGE_GENDER, MIEN_ROLE_AGE_GENDER, MIEN_CHOICE_GENDER, 0, 0},
               {"emotion", "%", MIEN_WANT_EXPRESSION, MIEN_ROLE_EXPRESSION, MIEN_CHOICE_EMOTION, 0, 0},
               {"pose", "degrees", MIEN_WANT_POSE, MIEN_ROLE_LANDMARKS, -1, MIEN_AMOUNT_YAW, 3},
               {"spoof", "%", MIEN_WANT_SPOOF, MIEN_ROLE_SPOOF, MIEN_CHOICE_SPOOF, 0, 0},
               {"deepfake", "%", MIEN_WANT_DEEPFAKE, MIEN_ROLE_DEEPFAKE, MIEN_CHOICE_DEEPFAKE, 0, 0}};
enum { MEASURES = sizeof MEASURE / sizeof MEASURE[0] };
static const unsigned OF_A_CUT = MIEN_WANT_AGE_GENDER | MIEN_WANT_EXPRESSION;

struct job {
    struct mien_cli *cli;
    const char *labels_path, *images_dir, *group;
    float pad;
    bool cut;
    int limit, threads;
    char folder[PATH_MAX];
    struct mien_arena *arena;
    struct mien_attribute_labels labels;
    struct mien_attribute_seen *seen;
    struct mien_attribute_tally *tally;
    size_t tallies;
    struct mien_models *models;
    bool asked[MEASURES], measured[MEASURES]; /* there are labels; and the pack can answer */
    unsigned wants;
    struct mien_session *session[MAX_THREADS];
    _Atomic size_t done;
    double ms;
};

/* ---- labels and models ---- */

/* The folder that file names start from: --images, else that of the labels. */
static enum mien_code set_folder(struct job *j, struct mien_err *e)
{
    const char *slash = strrchr(j->labels_path, '/'), *folder = j->images_dir != NULL ? j->images_dir : slash != NULL ? j->labels_path : ".";
    const size_t n = j->images_dir == NULL && slash != NULL ? (size_t)(slash - j->labels_path) + (slash == j->labels_path) : strlen(folder);
    MIEN_FAIL_IF(n >= sizeof j->folder, e, MIEN_E_ARG, "the folder's name is too long");
    memcpy(j->folder, folder, n);
    j->folder[n] = '\0';
    return MIEN_OK;
}

static enum mien_code read_labels(struct job *j, struct mien_err *e)
{
    unsigned char *text;
    size_t n;
    j->arena = mien_arena_create(ARENA_BYTES);
    MIEN_FAIL_IF(j->arena == NULL, e, MIEN_E_NOMEM, "out of memory");
    MIEN_TRY(set_folder(j, e));
    MIEN_TRY(mien_file_read(j->labels_path, MIEN_CSV_MAX_BYTES, &text, &n, e));
    const enum mien_code code = mien_attribute_labels_parse((const char *)text, n, j->group, (size_t)j->limit, j->arena, &j->labels, e);
    free(text);
    return mien_cli_about(j->labels_path, code, e);
}

static bool installed(const struct job *j, enum mien_role role)
{
    const struct mien_model *m = mien_models_role(j->models, role, 0);
    return m != NULL && m->installed;
}

static enum mien_code choose_measures(struct job *j, struct mien_err *e)
{
    const struct measure *missing = NULL;
    const unsigned can = mien_face_answerable(j->models);
    MIEN_FAIL_IF(!j->cut && !installed(j, MIEN_ROLE_DETECT), e, MIEN_E_MODEL_MISSING, "the pack \"%.64s\" has no model for the role \"detect\"",
                 mien_models_pack(j->models));
    for (int i = 0; i < MEASURES; i++) {
        const struct measure *m = &MEASURE[i];
        j->asked[i] = m->choice >= 0 ? j->labels.has_choice[m->choice] : j->labels.has_amount[m->amount];
        j->measured[i] = j->asked[i] && (j->cut ? (m->want & OF_A_CUT) != 0 && installed(j, m->role) : (m->want & can) != 0);
        if (j->measured[i]) j->wants |= m->want;
        else if (j->asked[i]) missing = m;
    }
    if (j->wants != 0) return MIEN_OK;
    MIEN_FAIL_IF(j->cut && (missing->want & OF_A_CUT) == 0, e, MIEN_E_ARG, "--cut: only emotion, age and gender are told of a picture cut to a face");
    return MIEN_FAIL(e, MIEN_E_MODEL_MISSING, "the pack \"%.64s\" has no model for the role \"%s\"", mien_models_pack(j->models),
                     mien_role_name(missing->role));
}

/* To standard error, what the labels ask for and is not measured. */
static void print_notes(const struct job *j)
{
    for (int i = 0; i < MEASURES; i++) {
        if (!j->asked[i] || j->measured[i]) continue;
        if (j->cut && (MEASURE[i].want & OF_A_CUT) == 0) mien_cli_error("note: %s is not measured with --cut", MEASURE[i].name);
        else mien_cli_error("note: %s is not measured: the pack \"%.64s\" has no model for the role \"%s\"", MEASURE[i].name, mien_models_pack(j->models),
                            mien_role_name(MEASURE[i].role));
    }
}

/* ---- one photo ---- */

/* The photo decoded, with a black border of `pad` of its width and height on every side. */
static enum mien_code pad_photo(struct mien_photo *photo, float pad, struct mien_image *out, struct mien_err *e)
{
    const struct mien_image *view;
    float scale;
    const int w = mien_photo_width(photo), h = mien_photo_height(photo), px = (int)(pad * (float)w), py = (int)(pad * (float)h);
    MIEN_TRY(mien_photo_view(photo, w > h ? w : h, &view, &scale, e));
    MIEN_TRY(mien_image_alloc(w + 2 * px, h + 2 * py, out, e));
    memset(out->px, 0, out->stride * (size_t)out->height);
    for (int y = 0; y < h; y++) memcpy(out->px + (size_t)(y + py) * out->stride + 3 * (size_t)px, view->px + (size_t)y * view->stride, 3 * (size_t)w);
    return MIEN_OK;
}

static enum mien_code look(const struct job *j, struct mien_session *session, struct mien_photo *photo, struct mien_arena *arena, struct mien_face *face,
                           bool *found, struct mien_err *e)
{
    static const struct mien_face_settings primary = {.primary_only = true};
    struct mien_faces faces;
    *found = j->cut;
    if (j->cut) return mien_face_of_cut(j->models, session, photo, j->wants, arena, face, e);
    MIEN_TRY(mien_face_analyze(j->models, session, photo, j->wants, &primary, arena, &faces, e));
    *found = faces.count > 0;
    if (*found) *face = faces.face[0];
    return MIEN_OK;
}

static void note_answers(const struct mien_face *f, struct mien_attribute_seen *s)
{
    int emotion = 0;
    for (int i = 1; i < MIEN_EMOTIONS; i++)
        if (f->emotion[i] > f->emotion[emotion]) emotion = i;
    s->score[MIEN_CHOICE_GENDER] = (double)f->male;
    s->score[MIEN_CHOICE_SPOOF] = (double)f->live;
    s->score[MIEN_CHOICE_DEEPFAKE] = (double)f->genuine;
    for (int i = 0; i < MIEN_CHOICES; i++) s->choice[i] = s->score[i] >= 0.5;
    s->choice[MIEN_CHOICE_EMOTION] = emotion;
    s->amount[MIEN_AMOUNT_AGE] = (double)f->age;
    s->amount[MIEN_AMOUNT_YAW] = (double)f->yaw;
    s->amount[MIEN_AMOUNT_PITCH] = (double)f->pitch;
    s->amount[MIEN_AMOUNT_ROLL] = (double)f->roll;
}

static enum mien_code judge_photo(struct job *j, struct mien_session *session, const char *path, struct mien_attribute_seen *seen, struct mien_err *e)
{
    struct mien_cli_photo p = {0};
    struct mien_image padded = {0};
    struct mien_photo *with_border = NULL;
    struct mien_face face = {0};
    enum mien_code code = mien_cli_photo_open(path, &p, e);
    if (code == MIEN_OK && (p.arena = mien_arena_create(ARENA_BYTES)) == NULL) code = MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory");
    if (code == MIEN_OK && j->pad > 0.0f) {
        code = pad_photo(p.photo, j->pad, &padded, e);
        if (code == MIEN_OK) code = mien_photo_from_pixels(&padded, &with_border, e);
    }
    if (code == MIEN_OK) code = look(j, session, with_border != NULL ? with_border : p.photo, p.arena, &face, &seen->face, e);
    if (code == MIEN_OK && seen->face) note_answers(&face, seen);
    if (code >= MIEN_E_IMAGE_TYPE && code <= MIEN_E_IMAGE_LIMIT) mien_cli_about(path, code, e);
    mien_photo_free(&with_border);
    mien_image_free(&padded);
    mien_cli_photo_free(&p);
    return code;
}

static enum mien_code judge_row(void *context, int worker, size_t item, struct mien_err *e)
{
    struct job *j = context;
    const char *file = j->labels.row[item].file;
    char path[PATH_MAX];
    const int n = *file == '/' ? snprintf(path, sizeof path, "%s", file) : snprintf(path, sizeof path, "%s/%s", j->folder, file);
    MIEN_FAIL_IF(n < 0 || (size_t)n >= sizeof path, e, MIEN_E_ARG, "%.100s: the file's name is too long", file);
    if (j->session[worker] == NULL) MIEN_TRY(mien_session_create(&j->session[worker], e));
    MIEN_TRY(judge_photo(j, j->session[worker], path, &j->seen[item], e));
    const size_t done = atomic_fetch_add(&j->done, 1) + 1;
    if (worker == 0 && done < j->labels.n) mien_cli_progress("photos", done, j->labels.n);
    return MIEN_OK;
}

static enum mien_code measure(struct job *j, struct mien_err *e)
{
    MIEN_TRY(read_labels(j, e));
    MIEN_TRY(mien_cli_models(j->cli, NULL, &j->models, e));
    MIEN_TRY(choose_measures(j, e));
    j->seen = mien_arena_calloc(j->arena, j->labels.n, sizeof *j->seen);
    MIEN_FAIL_IF(j->seen == NULL, e, MIEN_E_NOMEM, "out of memory");
    const uint64_t start = mien_now_ns();
    const enum mien_code code = mien_parallel_for(j->threads, j->labels.n, judge_row, j, e);
    mien_cli_progress("photos", 1, 1);
    j->ms = mien_elapsed_ms(start);
    MIEN_TRY(code);
    return mien_attribute_tallies(&j->labels, j->seen, j->arena, &j->tally, &j->tallies, e);
}

/* ---- the models that answered ---- */

/* Those that find the face and measure the pose come along with what needs them. */
static bool uses(const struct job *j, enum mien_role role)
{
    bool wanted = role == MIEN_ROLE_DETECT && !j->cut;
    for (int i = 0; i < MEASURES; i++) wanted = wanted || (j->measured[i] && MEASURE[i].role == role);
    return wanted;
}

/* "a", or "a, b, c" of an ensemble; false when there is none. */
static bool model_names(const struct job *j, enum mien_role role, char *text, size_t room)
{
    const struct mien_model *m;
    size_t n = 0;
    text[0] = '\0';
    for (int i = 0; n < room && (m = mien_models_role(j->models, role, i)) != NULL; i++)
        if (m->installed) n += (size_t)snprintf(text + n, room - n, "%s%s", n > 0 ? ", " : "", m->id);
    return n > 0;
}

/* "bf16" as soon as one of the networks runs in it. */
static const char *type_name(const struct job *j)
{
    for (enum mien_role role = 0; role < MIEN_ROLE_COUNT; role++) {
        const struct mien_model *m;
        struct mien_net *net;
        for (int i = 0; uses(j, role) && (m = mien_models_role(j->models, role, i)) != NULL; i++)
            if (m->installed && mien_models_net(j->models, m, &net, NULL) == MIEN_OK && mien_net_type(net) == MIEN_BF16) return "bf16";
    }
    return "f32";
}

/* ---- output ---- */

static const char *const ANGLE[] = {"yaw", "pitch", "roll"};

struct share { double rate, low, high; };

static struct share share_of(uint64_t right, uint64_t n)
{
    struct share s = {n > 0 ? (double)right / (double)n : NAN, NAN, NAN};
    if (n > 0) mien_eval_wilson(right, n, &s.low, &s.high);
    return s;
}

static void share_json(struct mien_jw *w, uint64_t right, uint64_t n)
{
    const struct share s = share_of(right, n);
    mien_cli_count(w, "n", n);
    mien_cli_count(w, "right", right);
    mien_cli_number(w, "rate", s.rate, 6);
    mien_cli_number(w, "low", s.low, 6);
    mien_cli_number(w, "high", s.high, 6);
}

static void choice_json(struct mien_jw *w, enum mien_choice choice, const struct mien_choice_tally *t)
{
    const struct mien_choice_classes *c = &mien_choice_classes[choice];
    mien_jw_object(w);
    share_json(w, t->right, t->n);
    mien_cli_count(w, "no_face", t->no_face);
    if (choice == MIEN_CHOICE_SPOOF || choice == MIEN_CHOICE_DEEPFAKE)
        mien_cli_number(w, "mean_score", t->n > t->no_face ? t->score / (double)(t->n - t->no_face) : NAN, 6);
    mien_jw_key(w, "classes");
    mien_jw_array(w);
    for (int i = 0; i < c->n; i++) {
        mien_jw_object(w);
        mien_jw_put_string(w, c->member, c->name[i]);
        share_json(w, t->right_of[i], t->of[i]);
        mien_jw_end_object(w);
    }
    mien_jw_end_array(w);
    mien_jw_end_object(w);
}

static void mean_json(struct mien_jw *w, const struct mien_amount_tally *t)
{
    const struct mien_mean m = mien_attribute_mean(t);
    mien_cli_number(w, "mean_absolute_error", m.mean, 6);
    mien_cli_number(w, "low", m.low, 6);
    mien_cli_number(w, "high", m.high, 6);
}

static void measure_json(struct mien_jw *w, const struct measure *m, const struct mien_attribute_tally *t)
{
    if (m->choice >= 0) {
        choice_json(w, (enum mien_choice)m->choice, &t->choice[m->choice]);
        return;
    }
    mien_jw_object(w);
    mien_cli_count(w, "n", t->amount[m->amount].n);
    if (m->amounts == 1) mean_json(w, &t->amount[m->amount]);
    for (int i = 0; m->amounts > 1 && i < m->amounts; i++) {
        mien_jw_key(w, ANGLE[i]);
        mien_jw_object(w);
        mean_json(w, &t->amount[m->amount + i]);
        mien_jw_end_object(w);
    }
    mien_jw_end_object(w);
}

static void group_json(struct mien_jw *w, const struct job *j, const struct mien_attribute_tally *t)
{
    mien_jw_object(w);
    mien_jw_put_string(w, "group", t->group);
    mien_cli_count(w, "n", t->n);
    mien_cli_count(w, "no_face", t->no_face);
    for (int i = 0; i < MEASURES; i++) {
        if (!j->asked[i]) continue;
        mien_jw_key(w, MEASURE[i].name);
        if (j->measured[i]) measure_json(w, &MEASURE[i], t);
        else mien_jw_null(w);
    }
    mien_jw_end_object(w);
}

static void report_json(struct mien_buf *b, const struct job *j)
{
    struct mien_jw w;
    mien_jw_init(&w, b);
    mien_jw_object(&w);
    mien_cli_count(&w, "photos", j->labels.n);
    mien_cli_count(&w, "no_face", j->tally[0].no_face);
    mien_cli_count(&w, "left_out", j->labels.left_out);
    mien_jw_put_string(&w, "group", j->group);
    mien_jw_key(&w, "cut");
    mien_jw_bool(&w, j->cut);
    mien_cli_number(&w, "pad", (double)j->pad, 6);
    mien_jw_put_string(&w, "pack", mien_models_pack(j->models));
    mien_jw_put_string(&w, "type", type_name(j));
    mien_jw_key(&w, "models");
    mien_jw_object(&w);
    for (enum mien_role role = 0; role < MIEN_ROLE_COUNT; role++) {
        char names[1024];
        if (uses(j, role)) mien_jw_put_string(&w, mien_role_name(role), model_names(j, role, names, sizeof names) ? names : NULL);
    }
    mien_jw_end_object(&w);
    mien_jw_key(&w, "groups");
    mien_jw_array(&w);
    for (size_t i = 0; i < j->tallies; i++) group_json(&w, j, &j->tally[i]);
    mien_jw_end_array(&w);
    mien_cli_number(&w, "threads", j->threads, 9);
    mien_cli_number(&w, "ms", round(j->ms), 15);
    mien_jw_end_object(&w);
    mien_buf_adds(b, "\n");
}

static void share_text(struct mien_buf *b, const char *name, uint64_t right, uint64_t n)
{
    const struct share s = share_of(right, n);
    mien_buf_addf(b, "%-12s %7llu %7llu %7.1f %%       %7.1f..%.1f %%", name, (unsigned long long)n, (unsigned long long)right, 100.0 * s.rate, 100.0 * s.low,
                  100.0 * s.high);
}

static void end_text(struct mien_buf *b, const char *group)
{
    mien_buf_adds(b, "   ");
    mien_cli_add_safe(b, group);
    mien_buf_adds(b, "\n");
}

static void choice_text(struct mien_buf *b, const struct measure *m, const struct mien_attribute_tally *t)
{
    const struct mien_choice_tally *c = &t->choice[m->choice];
    const struct mien_choice_classes *classes = &mien_choice_classes[m->choice];
    if (c->n == 0) return;
    share_text(b, m->name, c->right, c->n);
    end_text(b, t->group);
    for (int i = 0; i < classes->n; i++) {
        char name[32];
        if (c->of[i] == 0 || c->of[i] == c->n) continue; /* a class alone is all that there is */
        snprintf(name, sizeof name, "  %s", classes->name[i]);
        share_text(b, name, c->right_of[i], c->of[i]);
        end_text(b, t->group);
    }
}

static void amounts_text(struct mien_buf *b, const struct measure *m, const struct mien_attribute_tally *t)
{
    for (int i = 0; i < m->amounts; i++) {
        const struct mien_amount_tally *a = &t->amount[m->amount + i];
        const struct mien_mean mean = mien_attribute_mean(a);
        if (a->n == 0) continue;
        mien_buf_addf(b, "%-12s %7llu %7s %7.2f %-7s ", m->amounts > 1 ? ANGLE[i] : m->name, (unsigned long long)a->n, "", mean.mean, m->unit);
        if (isnan(mean.low)) mien_buf_adds(b, " one is too few"); /* for an interval */
        else mien_buf_addf(b, "%7.2f..%.2f", mean.low, mean.high);
        end_text(b, t->group);
    }
}

static void report_text(struct mien_buf *b, const struct job *j)
{
    mien_buf_addf(b, "%zu photos, no face found in %llu, %zu left out; %s:", j->labels.n, (unsigned long long)j->tally[0].no_face, j->labels.left_out,
                  type_name(j));
    for (enum mien_role role = 0; role < MIEN_ROLE_COUNT; role++) {
        char names[1024];
        if (uses(j, role)) mien_buf_addf(b, " %s %s;", mien_role_name(role), model_names(j, role, names, sizeof names) ? names : "none");
    }
    mien_buf_addf(b, "\n%-12s %7s %7s %-15s %-17s  group\n", "", "n", "right", " rate or error", "    95 % interval");
    for (size_t i = 0; i < j->tallies; i++)
        for (int k = 0; k < MEASURES; k++) {
            if (!j->measured[k]) continue;
            if (MEASURE[k].choice >= 0) choice_text(b, &MEASURE[k], &j->tally[i]);
            else amounts_text(b, &MEASURE[k], &j->tally[i]);
        }
}

static void free_job(struct job *j)
{
    for (int i = 0; i < MAX_THREADS; i++) mien_session_free(&j->session[i]);
    mien_models_free(&j->models);
    mien_arena_wipe_free(&j->arena);
}

int mien_verb_eval_attributes(struct mien_cli *cli, int argc, char **argv)
{
    static struct job j; /* static for its size only */
    const struct mien_opt opts[] = {
        {"labels", MIEN_OPT_TEXT, &j.labels_path, "FILE", "CSV with a header: file, and age, gender, emotion, label, ... (required)", 0, 0},
        {"images", MIEN_OPT_TEXT, &j.images_dir, "DIR", "what file names are relative to (default: the folder of the CSV)", 0, 0},
        {"group", MIEN_OPT_TEXT, &j.group, "COLUMN", "also give the results for each value of a column, or of several: A,B", 0, 0},
        {"pad", MIEN_OPT_REAL, &j.pad, "F", "put a black border of F of width and height around photos (tight crops: 0.4)", 0, 2},
        {"cut", MIEN_OPT_FLAG, &j.cut, NULL, "a photo is the cut of one face: no detection; only emotion, age, gender", 0, 0},
        {"limit", MIEN_OPT_INT, &j.limit, "N", "take N photos only, evenly spread over the file", 0, 1e9},
        {"threads", MIEN_OPT_INT, &j.threads, "N", "workers (default: one a processor)", 1, MAX_THREADS}};
    struct mien_err e = {0};
    int first;
    j = (struct job){.cli = cli, .threads = mien_cpu_count()};
    const int status = mien_cli_parse(cli, argc, argv, opts, 7, 0, 0, &first);
    if (status >= 0) return status;
    if (j.labels_path == NULL) return mien_cli_error("eval attributes needs --labels FILE");
    if (j.cut && j.pad > 0.0f) return mien_cli_error("--pad is for photos that faces are looked for in: not with --cut");
    struct mien_buf b;
    mien_buf_init(&b, MIEN_OUTPUT_BYTES);
    const enum mien_code code = measure(&j, &e);
    if (code == MIEN_OK && cli->json) report_json(&b, &j);
    else if (code == MIEN_OK) report_text(&b, &j);
    if (code == MIEN_OK) print_notes(&j);
    free_job(&j);
    return mien_cli_end(code, &b, MIEN_EXIT_YES, &e);
}
