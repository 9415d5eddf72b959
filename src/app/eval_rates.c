#include <math.h>
#include <stdlib.h>

#include "app/eval.h"

/* ---- accuracy over folds ---- */

struct scored {
    float score;
    bool same;
};

static int by_score(const void *a, const void *b)
{
    float x = ((const struct scored *)a)->score, y = ((const struct scored *)b)->score;
    return (x > y) - (x < y);
}

/* The threshold with the most right answers on `s` (sorted); the middle one of the best when several are equal. */
static double best_threshold(const struct scored *s, size_t n)
{
    size_t right = 0, top = 0;
    for (size_t i = 0; i < n; i++) right += s[i].same; /* threshold below everything: all match */
    double first = (double)s[0].score - 1e-6, last = first;
    top = right;
    for (size_t i = 0; i < n; i++) {
        if (s[i].same) right--;
        else right++;
        if (i + 1 < n && s[i + 1].score == s[i].score) continue;
        double at = i + 1 < n ? 0.5 * ((double)s[i].score + (double)s[i + 1].score) : (double)s[i].score + 1e-6;
        if (right > top) first = at;
        if (right >= top) last = at;
        if (right > top) top = right;
    }
    return 0.5 * (first + last);
}

static size_t other_folds(const struct mien_pairs *p, const float *score, uint32_t fold, struct scored *out)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        if (p->pair[i].fold != fold) out[n++] = (struct scored){score[i], p->pair[i].same};
    qsort(out, n, sizeof *out, by_score);
    return n;
}

/* Share of right answers in a fold; -1 when it is empty. */
static double fold_accuracy(const struct mien_pairs *p, const float *score, uint32_t fold, double threshold)
{
    size_t n = 0, right = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (p->pair[i].fold != fold) continue;
        n++;
        right += ((double)score[i] >= threshold) == p->pair[i].same;
    }
    return n == 0 ? -1 : (double)right / (double)n;
}

enum mien_code mien_eval_folds(const struct mien_pairs *pairs, const float *score, struct mien_fold_accuracy *out, struct mien_err *e)
{
    double total = 0, squares = 0, thresholds = 0;
    unsigned used = 0;
    struct scored *s = malloc(pairs->n * sizeof *s);
    MIEN_FAIL_IF(s == NULL, e, MIEN_E_NOMEM, "out of memory");
    for (uint32_t fold = 0; fold < pairs->folds; fold++) {
        size_t n = other_folds(pairs, score, fold, s);
        double threshold = n > 0 ? best_threshold(s, n) : 0;
        double accuracy = fold_accuracy(pairs, score, fold, threshold);
        if (accuracy < 0 || n == 0) continue;
        used++;
        total += accuracy;
        squares += accuracy * accuracy;
        thresholds += threshold;
    }
    free(s);
    MIEN_FAIL_IF(used == 0, e, MIEN_E_ARG, "pairs: too few for an accuracy over folds");
    out->mean = total / used;
    double variance = used > 1 ? (squares - total * total / used) / (used - 1) : 0;
    out->standard_error = variance > 0 ? sqrt(variance / used) : 0;
    out->threshold = thresholds / used;
    return MIEN_OK;
}

/* ---- rates ---- */

void mien_eval_wilson(uint64_t k, uint64_t n, double *low, double *high)
{
    const double z = 1.959963984540054, count = (double)n; /* 97.5 % quantile of the normal distribution */
    *low = 0;
    *high = 1;
    if (n == 0) return;
    double p = (double)k / count, centre = p + z * z / (2 * count), half = z * sqrt(p * (1 - p) / count + z * z / (4 * count * count));
    double below = (centre - half) / (1 + z * z / count), above = (centre + half) / (1 + z * z / count);
    *low = k == 0 || below < 0 ? 0 : below;
    *high = k == n || above > 1 ? 1 : above;
}

static struct mien_rate_point point_at(const struct mien_score_counts *c, double threshold, uint64_t impostors_above, uint64_t genuine_above)
{
    struct mien_rate_point p = {.threshold = threshold, .false_matches = impostors_above, .false_non_matches = c->n_genuine - genuine_above,
                                .measurable = true};
    p.fmr = c->n_impostor > 0 ? (double)p.false_matches / (double)c->n_impostor : 0;
    p.fnmr = c->n_genuine > 0 ? (double)p.false_non_matches / (double)c->n_genuine : 0;
    mien_eval_wilson(p.false_non_matches, c->n_genuine, &p.fnmr_low, &p.fnmr_high);
    return p;
}

struct mien_rate_point mien_eval_at_threshold(const struct mien_score_counts *c, double threshold)
{
    uint64_t impostor = 0, genuine = 0;
    for (int i = MIEN_EVAL_BINS - 1; i >= 0 && mien_eval_bin_edge(i) >= threshold; i--) {
        impostor += c->impostor[i];
        genuine += c->genuine[i];
    }
    return point_at(c, threshold, impostor, genuine);
}

struct mien_rate_point mien_eval_at_fmr(const struct mien_score_counts *c, double fmr)
{
    const uint64_t allowed = (uint64_t)floor(fmr * (double)c->n_impostor + 1e-9);
    uint64_t impostor = 0, genuine = 0;
    int i = MIEN_EVAL_BINS - 1;
    for (; i >= 0 && impostor + c->impostor[i] <= allowed; i--) {
        impostor += c->impostor[i];
        genuine += c->genuine[i];
    }
    struct mien_rate_point p = point_at(c, mien_eval_bin_edge(i + 1), impostor, genuine);
    p.fmr_target = fmr;
    p.measurable = allowed >= 1;
    return p;
}

double mien_eval_equal_error_rate(const struct mien_score_counts *c)
{
    uint64_t impostor = 0, genuine = 0;
    for (int i = MIEN_EVAL_BINS - 1; i >= 0; i--) {
        impostor += c->impostor[i];
        genuine += c->genuine[i];
        struct mien_rate_point p = point_at(c, mien_eval_bin_edge(i), impostor, genuine);
        if (p.fmr >= p.fnmr) return 0.5 * (p.fmr + p.fnmr);
    }
    return 0.5;
}

/* ---- calibration ---- */

enum { COARSE = 4096 };

void mien_eval_calibrate(const struct mien_score_counts *c, double *slope, double *midpoint)
{
    double weight[2][COARSE] = {{0}};
    const uint64_t seen[2] = {c->n_impostor - c->missed_impostor, c->n_genuine - c->missed_genuine};
    *slope = *midpoint = NAN;
    if (seen[0] == 0 || seen[1] == 0) return;
    for (int i = 0; i < MIEN_EVAL_BINS; i++) {
        weight[0][i / (MIEN_EVAL_BINS / COARSE)] += c->impostor[i] * (0.5 / (double)seen[0]);
        weight[1][i / (MIEN_EVAL_BINS / COARSE)] += c->genuine[i] * (0.5 / (double)seen[1]);
    }
    double a = 10, b = -3; /* P = sigmoid(a x + b) */
    for (int step = 0; step < 100; step++) {
        double ga = 0, gb = 0, haa = 1e-9, hab = 0, hbb = 1e-9;
        for (int i = 0; i < COARSE; i++) {
            double x = (i + 0.5) / (COARSE / 2) - 1.0, p = 1 / (1 + exp(-(a * x + b)));
            double r = weight[1][i] * (1 - p) - weight[0][i] * p, h = (weight[0][i] + weight[1][i]) * p * (1 - p);
            ga += r * x;
            gb += r;
            haa += h * x * x;
            hab += h * x;
            hbb += h;
        }
        double det = haa * hbb - hab * hab;
        if (!(det > 1e-18)) break;
        double da = (hbb * ga - hab * gb) / det, db = (haa * gb - hab * ga) / det;
        double most = fmax(fabs(da) / 10, fabs(db) / 4), damp = most > 1 ? 1 / most : 1; /* steps beyond that may overshoot */
        a += damp * da;
        b += damp * db;
        if (fabs(da) < 1e-7 && fabs(db) < 1e-7) break;
    }
    *slope = a;
    *midpoint = -b / a;
}
