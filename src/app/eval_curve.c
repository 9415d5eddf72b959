#include <math.h>

#include "app/eval.h"
#include "codec/json.h"

/* The i-th of the rates that the curve is asked for, falling from 0.5 to `least`. */
static double step(int i, double least) { return 0.5 * pow(least / 0.5, (double)i / (MIEN_EVAL_CURVE - 1)); }

static int nearest_step(double fmr, double least)
{
    return (int)lround((MIEN_EVAL_CURVE - 1) * log(fmr / 0.5) / log(least / 0.5));
}

void mien_eval_curve(const struct mien_score_counts *c, double fmr, struct mien_eval_curve *out)
{
    const double least = c->n_impostor > 0 ? MIEN_EVAL_CURVE_ERRORS / (double)c->n_impostor : 1;
    out->n = 0;
    if (!(least < 0.5)) return;
    const int asked = fmr >= least && fmr <= 0.5 ? nearest_step(fmr, least) : -1;
    for (int i = 0; i < MIEN_EVAL_CURVE; i++) {
        const struct mien_rate_point p = mien_eval_at_fmr(c, i == asked ? fmr : step(i, least));
        const bool rises = out->n == 0 || p.threshold > out->point[out->n - 1].threshold;
        if (rises && p.false_matches >= MIEN_EVAL_CURVE_ERRORS) out->point[out->n++] = p;
    }
    if (out->n < 2) out->n = 0;
}

void mien_eval_curve_json(struct mien_jw *w, const struct mien_eval_curve *curve)
{
    mien_jw_array(w);
    for (int i = 0; i < curve->n; i++) {
        const struct mien_rate_point *p = &curve->point[i];
        const double v[3] = {p->threshold, p->fmr, p->fnmr};
        mien_jw_array(w);
        for (int k = 0; k < 3; k++) mien_jw_number(w, v[k], 6);
        mien_jw_end_array(w);
    }
    mien_jw_end_array(w);
}

double mien_eval_median_genuine(const struct mien_score_counts *c)
{
    uint64_t total = 0, below = 0;
    int i = 0;
    for (int k = 0; k < MIEN_EVAL_BINS; k++) total += c->genuine[k];
    if (total == 0) return (double)NAN;
    while (2 * (below + c->genuine[i]) < total) below += c->genuine[i++];
    return mien_eval_bin_edge(i);
}

double mien_eval_confidence_slope(double median, double similarity)
{
    return median > similarity ? log(99) / (median - similarity) : (double)NAN;
}
