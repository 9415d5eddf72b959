/* mien eval verification --save: the threshold, its curve and the figures of a measurement into manifest.json.
 *
 * The file is others' work too (tools/models/pull, a user's editor), so its text is edited in place instead of being written anew, and the result is read as a
 * manifest before it replaces the old one. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/eval.h"
#include "base/file.h"
#include "codec/json.h"
#include "face/models.h"

enum { MAX_MANIFEST = 4 << 20, NAMES = 3 };

/* ---- beforehand ---- */

/* Two digits, rounded up. */
static double rounded_up(double v)
{
    const double unit = pow(10, floor(log10(v)) - 1);
    return ceil(v / unit - 1e-9) * unit;
}

static enum mien_code check_rate(double fmr, uint64_t impostor, struct mien_err *e)
{
    const double expected = fmr * (double)impostor, would_do = impostor > 0 ? rounded_up(MIEN_EVAL_ENOUGH_ERRORS / (double)impostor) : 1;
    if (expected >= MIEN_EVAL_ENOUGH_ERRORS - 1e-6) return MIEN_OK;
    MIEN_FAIL_IF(would_do > 0.5, e, MIEN_E_ARG, "--save: %llu comparisons of different people are too few for any threshold: at least %d are needed",
                 (unsigned long long)impostor, 2 * MIEN_EVAL_ENOUGH_ERRORS);
    return MIEN_FAIL(e, MIEN_E_ARG,
                     "--save: at a false match rate of %g, %.3g false matches are expected among %llu comparisons; %d are needed; --fmr %g would do",
                     fmr, expected, (unsigned long long)impostor, MIEN_EVAL_ENOUGH_ERRORS, would_do);
}

enum mien_code mien_eval_may_save(const char *path, double fmr, uint64_t impostor, struct mien_err *e)
{
    char folder[PATH_MAX];
    MIEN_TRY(check_rate(fmr, impostor, e));
    char *real = realpath(path, folder), *slash = real != NULL ? strrchr(folder, '/') : NULL;
    MIEN_FAIL_IF(slash == NULL, e, MIEN_E_IO, "--save: %.150s: %s", path, strerror(errno));
    *(slash == folder ? slash + 1 : slash) = '\0';
    MIEN_FAIL_IF(access(folder, W_OK | X_OK) != 0, e, MIEN_E_IO, "--save: %.150s: cannot be replaced: %s", path, strerror(errno));
    return MIEN_OK;
}

/* ---- places in the text ---- */

/* A value, as it was parsed and where it stands. */
struct place { const char *text; const struct mien_json *value; struct mien_json_span at; };

static bool member(const struct place *in, const char *key, struct place *out)
{
    *out = (struct place){.text = in->text, .value = mien_json_get(in->value, key)};
    return out->value != NULL && mien_json_span_member(in->text, in->at, key, &out->at);
}

static bool item(const struct place *in, size_t i, struct place *out)
{
    *out = (struct place){.text = in->text, .value = mien_json_at(in->value, i)};
    return out->value != NULL && mien_json_span_at(in->text, in->at, i, &out->at);
}

static const char *text_of(const struct mien_json *object, const char *key) { return mien_json_string(mien_json_get(object, key), ""); }

static enum mien_code find_model(const struct place *root, const struct mien_eval_saving *s, struct place *model, struct mien_err *e)
{
    struct place list;
    const bool found = member(root, "models", &list);
    for (size_t i = 0; found && item(&list, i, model); i++) {
        if (strcmp(text_of(model->value, "id"), s->report->model) != 0) continue;
        const char *sha256 = text_of(model->value, "sha256");
        MIEN_FAIL_IF(strcmp(sha256, s->sha256) != 0, e, MIEN_E_MANIFEST, "model \"%s\": its file was changed while it was measured", s->report->model);
        return MIEN_OK;
    }
    return MIEN_FAIL(e, MIEN_E_MANIFEST, "model \"%s\": is not in the manifest any more", s->report->model);
}

/* ---- lists with new entries ---- */

/* An entry, and the members by which it is told from others. */
struct entry { const char *name[NAMES], *value[NAMES]; struct mien_buf json; bool placed; };

static bool is_same(const struct entry *n, const struct mien_json *old)
{
    for (int i = 0; i < NAMES && n->name[i] != NULL; i++)
        if (strcmp(text_of(old, n->name[i]), n->value[i]) != 0) return false;
    return true;
}

static void add_item(struct mien_buf *out, size_t count, const char *text, size_t n)
{
    mien_buf_adds(out, count == 0 ? "[\n    " : ",\n    ");
    mien_buf_add(out, text, n);
}

/* The value `old` (a list, one object or nothing) with new entries: each in the place of the one that it replaces, else at the end. Returns their number. */
static size_t merge(const struct place *old, struct entry *added, int n_added, struct mien_buf *out)
{
    const bool list = mien_json_is_array(old->value), alone = mien_json_is_object(old->value);
    const size_t n = list ? mien_json_size(old->value) : alone;
    size_t count = 0;
    struct place one = *old;
    for (size_t i = 0; i < n && (alone || item(old, i, &one)); i++) {
        struct entry *instead = NULL;
        for (int k = 0; k < n_added; k++)
            if (!added[k].placed && is_same(&added[k], one.value)) instead = &added[k];
        if (alone && instead != NULL && n_added == 1) {
            mien_buf_add(out, instead->json.data, instead->json.len);
            return 1;
        }
        if (instead != NULL) instead->placed = true;
        add_item(out, count++, instead != NULL ? instead->json.data : old->text + one.at.at, instead != NULL ? instead->json.len : one.at.n);
    }
    for (int k = 0; k < n_added; k++)
        if (!added[k].placed) add_item(out, count++, added[k].json.data, added[k].json.len);
    mien_buf_adds(out, "\n   ]");
    return count;
}

/* ---- the entries ---- */

static void put_number(struct mien_jw *w, const char *key, double v)
{
    mien_jw_key(w, key);
    mien_jw_number(w, v, 6);
}

static void write_threshold(struct entry *t, const struct mien_eval_report *r)
{
    struct mien_jw w;
    *t = (struct entry){.name = {"detector"}, .value = {r->detector}};
    mien_buf_init(&t->json, MAX_MANIFEST);
    mien_jw_init(&w, &t->json);
    mien_jw_object(&w);
    put_number(&w, "similarity", r->at_fmr.threshold);
    put_number(&w, "fmr", r->at_fmr.fmr_target);
    mien_jw_put_string(&w, "detector", r->detector);
    mien_jw_key(&w, "slope");
    mien_jw_number(&w, r->slope_confidence, 4);
    mien_jw_key(&w, "curve");
    mien_eval_curve_json(&w, &r->curve);
    mien_jw_key(&w, "saved");
    mien_jw_bool(&w, true);
    mien_jw_end_object(&w);
}

struct rate { const char *measure; uint64_t n; double value, low, high; };

static void write_rate(struct entry *f, const struct rate *rate, const char *set, const char *conditions)
{
    struct mien_jw w;
    *f = (struct entry){.name = {"measure", "set", "conditions"}, .value = {rate->measure, set, conditions}};
    mien_buf_init(&f->json, MAX_MANIFEST);
    mien_jw_init(&w, &f->json);
    mien_jw_object(&w);
    mien_jw_put_string(&w, "measure", rate->measure);
    mien_jw_put_string(&w, "set", set);
    mien_jw_put_integer(&w, "n", (int64_t)rate->n);
    put_number(&w, "value", rate->value);
    put_number(&w, "low", rate->low);
    put_number(&w, "high", rate->high);
    mien_jw_put_string(&w, "unit", "rate");
    mien_jw_put_string(&w, "conditions", conditions);
    mien_jw_key(&w, "saved");
    mien_jw_bool(&w, true);
    mien_jw_end_object(&w);
}

/* Accuracy, and what matches where 1 of 1,000 and 1 of 10,000 strangers do. Returns how many could be measured. */
static int figures(const struct mien_eval_saving *s, const char *conditions, struct entry f[3])
{
    static const char *const name[2] = {"TAR at FMR 1e-3", "TAR at FMR 1e-4"};
    const struct mien_eval_report *r = s->report;
    struct rate rate = {.measure = "accuracy", .n = r->pairs, .value = r->accuracy.mean};
    int n = 0;
    mien_eval_wilson((uint64_t)llround(r->accuracy.mean * (double)r->pairs), r->pairs, &rate.low, &rate.high);
    rate.low = fmin(rate.low, rate.value); /* the mean over folds of different sizes is not quite the share of all */
    rate.high = fmax(rate.high, rate.value);
    write_rate(&f[n++], &rate, s->set, conditions);
    for (int i = 0; i < 2; i++) {
        const struct mien_rate_point *p = &r->at[i + 1];
        rate = (struct rate){name[i], r->genuine, 1 - p->fnmr, 1 - p->fnmr_high, 1 - p->fnmr_low};
        if (p->measurable && r->genuine > 0) write_rate(&f[n++], &rate, s->set, conditions);
    }
    return n;
}

/* ---- the edit ---- */

/* Puts the new values where the old ones stand; new figures stand behind the threshold when there were none. */
static void splice(const struct place *root, size_t n, const struct place *threshold, const struct mien_buf *t, const struct place *measured,
                   const struct mien_buf *m, struct mien_buf *out)
{
    const bool insert = measured->value == NULL, measured_first = !insert && measured->at.at < threshold->at.at;
    const size_t behind = threshold->at.at + threshold->at.n;
    const struct mien_json_span at[2] = {threshold->at, insert ? (struct mien_json_span){behind, 0} : measured->at};
    const struct mien_buf *with[2] = {t, m};
    size_t from = 0;
    for (int i = 0; i < 2; i++) {
        const int k = measured_first ? 1 - i : i;
        mien_buf_add(out, root->text + from, at[k].at - from);
        if (k == 1 && insert) mien_buf_adds(out, ",\n   \"measured\": ");
        mien_buf_add(out, with[k]->data, with[k]->len);
        from = at[k].at + at[k].n;
    }
    mien_buf_add(out, root->text + from, n - from);
}

static enum mien_code edit(const struct place *root, size_t n, const struct mien_eval_saving *s, struct mien_buf *out, struct mien_err *e)
{
    struct place model = {0}, threshold, measured;
    struct entry t, f[3];
    struct mien_buf thresholds, list;
    char conditions[128];
    MIEN_TRY(find_model(root, s, &model, e));
    const bool one = member(&model, "threshold", &threshold) && (mien_json_is_object(threshold.value) || mien_json_is_array(threshold.value));
    const bool other = member(&model, "measured", &measured) ? mien_json_is_array(measured.value) || mien_json_is_null(measured.value) : measured.value == NULL;
    MIEN_FAIL_IF(!one || !other, e, MIEN_E_MANIFEST, "model \"%s\": threshold or measured: is not where it can be edited", s->report->model);
    snprintf(conditions, sizeof conditions, "faces found by %.100s", s->report->detector);
    write_threshold(&t, s->report);
    const int n_figures = figures(s, conditions, f);
    mien_buf_init(&thresholds, MAX_MANIFEST);
    mien_buf_init(&list, MAX_MANIFEST);
    const size_t n_thresholds = merge(&threshold, &t, 1, &thresholds), n_measured = merge(&measured, f, n_figures, &list);
    splice(root, n, &threshold, &thresholds, &measured, &list, out);
    const bool failed = out->failed || thresholds.failed || list.failed;
    mien_buf_free(&t.json);
    for (int i = 0; i < n_figures; i++) mien_buf_free(&f[i].json);
    mien_buf_free(&thresholds);
    mien_buf_free(&list);
    MIEN_FAIL_IF(failed, e, MIEN_E_NOMEM, "out of memory");
    MIEN_FAIL_IF(n_thresholds > MIEN_MAX_THRESHOLDS || n_measured > MIEN_MAX_MEASURED, e, MIEN_E_ARG,
                 "model \"%s\": there is room for %d thresholds and %d figures; take some out of manifest.json by hand", s->report->model, MIEN_MAX_THRESHOLDS,
                 MIEN_MAX_MEASURED);
    return MIEN_OK;
}

enum mien_code mien_eval_edit(const char *text, size_t n, const struct mien_eval_saving *s, struct mien_buf *out, struct mien_err *e)
{
    const struct mien_eval_report *r = s->report;
    struct place root = {.text = text};
    struct mien_json *tree;
    struct mien_models *models = NULL;
    MIEN_FAIL_IF(r->detector[0] == '\0' || r->curve.n == 0, e, MIEN_E_ARG, "--save: there are too few comparisons for a curve");
    MIEN_FAIL_IF(!(r->slope_confidence >= 0.01 && r->slope_confidence <= 1000), e, MIEN_E_ARG,
                 "--save: half of the comparisons of the same person are below the threshold %.4f or hardly above: they say nothing of a confidence",
                 r->at_fmr.threshold);
    MIEN_TRY(mien_json_parse(text, n, &tree, e));
    root.value = tree;
    enum mien_code code = mien_json_span_root(text, n, &root.at) ? edit(&root, n, s, out, e) : MIEN_FAIL(e, MIEN_E_MANIFEST, "is empty");
    mien_json_free(&tree);
    if (code == MIEN_OK) code = mien_models_parse(out->data, out->len, ".", NULL, &models, e); /* what is written must be a manifest */
    mien_models_free(&models);
    return code;
}

enum mien_code mien_eval_save(const struct mien_eval_saving *s, struct mien_err *e)
{
    unsigned char *text;
    size_t n;
    struct mien_buf out;
    mien_buf_init(&out, 2 * MAX_MANIFEST);
    MIEN_TRY(mien_file_read(s->path, MAX_MANIFEST, &text, &n, e));
    enum mien_code code = mien_eval_edit((const char *)text, n, s, &out, e);
    if (code == MIEN_OK) code = mien_file_replace(s->path, out.data, out.len, e);
    free(text);
    mien_buf_free(&out);
    return code;
}
