#include "app/figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "base/log.h"

/* A server that takes more than 1 of 100 strangers for somebody is misconfigured rather than lenient. */
static const float TOO_MANY = 1e-2f;

float mien_figures_fmr(const struct mien_model *embed, float threshold)
{
    if (threshold == embed->threshold && embed->threshold_fmr > 0.0f) return embed->threshold_fmr;
    return mien_model_fmr(embed, threshold);
}

const char *mien_figures_rate(double rate, char text[24])
{
    char digits[32], *exponent;
    snprintf(digits, sizeof digits, "%.2e", rate);
    exponent = strchr(digits, 'e');
    if (rate >= 0.01 || rate <= 0 || exponent == NULL) snprintf(text, 24, "%.3g", rate);
    else snprintf(text, 24, "%ge%ld", strtod(digits, NULL) / pow(10, (double)strtol(exponent + 1, NULL, 10)), strtol(exponent + 1, NULL, 10));
    return text;
}

/* ---- JSON ---- */

static void figure_json(struct mien_jw *w, const struct mien_measured *f)
{
    const double v[3] = {f->value, f->low, f->high};
    static const char *const name[3] = {"value", "low", "high"};
    mien_jw_object(w);
    mien_jw_put_string(w, "measure", f->measure);
    mien_jw_put_string(w, "set", f->set);
    mien_cli_count(w, "n", f->n);
    for (int i = 0; i < 3; i++) mien_cli_number(w, name[i], v[i], 6);
    mien_jw_put_string(w, "unit", f->unit);
    mien_jw_put_string(w, "conditions", f->conditions[0] != '\0' ? f->conditions : NULL);
    mien_jw_key(w, "saved");
    mien_jw_bool(w, f->saved);
    mien_jw_end_object(w);
}

static void curve_json(struct mien_jw *w, const struct mien_match_threshold *t)
{
    mien_jw_array(w);
    for (int i = 0; i < t->n_curve; i++) {
        mien_jw_object(w);
        mien_cli_number(w, "similarity", (double)t->curve[i].similarity, 6);
        mien_cli_number(w, "fmr", (double)t->curve[i].fmr, 6);
        mien_cli_number(w, "fnmr", (double)t->curve[i].fnmr, 6);
        mien_jw_end_object(w);
    }
    mien_jw_end_array(w);
}

static void threshold_json(struct mien_jw *w, const struct mien_model *m)
{
    const struct mien_match_threshold *t = m->matching;
    mien_cli_number(w, "threshold", (double)t->similarity, 6);
    mien_jw_key(w, "threshold_fmr");
    if (t->fmr > 0.0f) mien_jw_number(w, (double)t->fmr, 4);
    else mien_jw_null(w);
    mien_jw_put_string(w, "threshold_detector", t->detector[0] != '\0' ? t->detector : NULL);
    mien_jw_key(w, "threshold_foreign");
    mien_jw_bool(w, m->threshold_foreign);
    mien_jw_key(w, "curve");
    curve_json(w, t);
}

void mien_figures_json(struct mien_jw *w, const struct mien_model *m)
{
    static const char *const none[] = {"threshold", "threshold_fmr", "threshold_detector", "threshold_foreign", "curve"};
    if (m->matching != NULL) threshold_json(w, m);
    for (size_t i = 0; m->matching == NULL && i < sizeof none / sizeof none[0]; i++) {
        mien_jw_key(w, none[i]);
        mien_jw_null(w);
    }
    mien_jw_key(w, "measured");
    mien_jw_array(w);
    for (int i = 0; i < m->n_measured; i++) figure_json(w, &m->measured[i]);
    mien_jw_end_array(w);
}

/* ---- text ---- */

static void figure_text(struct mien_buf *b, const struct mien_measured *f)
{
    const unsigned long long n = f->n;
    mien_buf_adds(b, "    ");
    mien_cli_add_safe(b, f->measure);
    if (strcmp(f->unit, "rate") == 0) mien_buf_addf(b, " %.2f %% (%.2f..%.2f, n %llu)", 100 * f->value, 100 * f->low, 100 * f->high, n);
    else mien_buf_addf(b, " %.4g %s (%.4g..%.4g, n %llu)", f->value, f->unit, f->low, f->high, n);
    mien_buf_adds(b, " on ");
    mien_cli_add_safe(b, f->set);
    if (f->conditions[0] != '\0') mien_buf_adds(b, "; ");
    mien_cli_add_safe(b, f->conditions);
    mien_buf_adds(b, f->saved ? "; measured here\n" : "\n");
}

/* Of one measurement with several detectors only that with the pack's is of interest here. */
static bool is_of_another_detector(const struct mien_measured *f, const struct mien_model *detector)
{
    static const char by[] = "faces found by ";
    return detector != NULL && strncmp(f->conditions, by, sizeof by - 1) == 0 && strcmp(f->conditions + sizeof by - 1, detector->id) != 0;
}

static void threshold_text(struct mien_buf *b, const struct mien_models *models, const struct mien_model *m)
{
    const struct mien_match_threshold *t = m->matching;
    const struct mien_model *detector = mien_models_role(models, MIEN_ROLE_DETECT, 0);
    char rate[24];
    mien_buf_addf(b, "    threshold %.4g: ", (double)t->similarity);
    if (!(t->fmr > 0.0f)) mien_buf_adds(b, "not measured");
    else mien_buf_addf(b, "false match rate %s", mien_figures_rate((double)t->fmr, rate));
    if (m->threshold_foreign && detector != NULL)
        mien_buf_addf(b, ", measured with faces found by %s, but the pack detects with %s", t->detector, detector->id);
    else if (t->fmr > 0.0f && t->detector[0] != '\0') mien_buf_addf(b, ", faces found by %s", t->detector);
    mien_buf_adds(b, t->saved ? "; measured here\n" : "\n");
}

void mien_figures_text(struct mien_buf *b, const struct mien_models *models, const struct mien_model *m)
{
    const struct mien_model *detector = mien_models_role(models, MIEN_ROLE_DETECT, 0);
    int fitting = 0;
    for (int i = 0; i < m->n_measured; i++) fitting += !is_of_another_detector(&m->measured[i], detector);
    for (int i = 0; i < m->n_measured; i++)
        if (fitting == 0 || !is_of_another_detector(&m->measured[i], detector)) figure_text(b, &m->measured[i]);
    if (m->n_measured == 0) mien_buf_adds(b, "    not measured\n");
    if (m->matching != NULL) threshold_text(b, models, m);
}

/* ---- the server's log ---- */

/* Below its first point the rate is not known, but it is not lower there. */
static bool lets_many_pass(const struct mien_model *embed, float threshold, float fmr)
{
    const struct mien_match_threshold *t = embed->matching;
    if (!isnan(fmr)) return fmr > TOO_MANY;
    return t->n_curve > 0 && threshold < t->curve[0].similarity && t->curve[0].fmr > TOO_MANY;
}

void mien_figures_log(const struct mien_models *models, float match_threshold)
{
    const struct mien_model *embed = mien_models_role(models, MIEN_ROLE_EMBED, 0), *detector = mien_models_role(models, MIEN_ROLE_DETECT, 0);
    if (embed == NULL) return;
    const struct mien_match_threshold *t = embed->matching;
    const float threshold = isnan(match_threshold) ? embed->threshold : match_threshold, fmr = mien_figures_fmr(embed, threshold);
    const char *from = isnan(match_threshold) ? "model" : "MATCH_THRESHOLD";
    char rate[24] = "unknown";
    if (!isnan(fmr)) mien_figures_rate((double)fmr, rate);
    mien_log(MIEN_LOG_INFO, "match_threshold", "threshold=%.4g fmr=%s model=%s from=%s", (double)threshold, rate, embed->id, from);
    if (lets_many_pass(embed, threshold, fmr))
        mien_log(MIEN_LOG_WARN, "threshold_low", "threshold=%.4g fmr=%s why=more than 1 of 100 strangers match from=%s", (double)threshold, rate, from);
    if (embed->threshold_foreign)
        mien_log(MIEN_LOG_WARN, "threshold_foreign", "model=%s measured_with=%s detector=%s next=mien eval verification --save", embed->id, t->detector,
                 detector != NULL ? detector->id : "");
    if (!(t->fmr > 0.0f) && t->n_curve == 0)
        mien_log(MIEN_LOG_WARN, "threshold_unmeasured", "model=%s threshold=%.4g next=mien calibrate, then MATCH_THRESHOLD", embed->id, (double)threshold);
}
