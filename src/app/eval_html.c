/* The report as one HTML page: no script, no font, no request. The curve is an inline SVG. */
#include <math.h>
#include <string.h>

#include "app/eval.h"
#include "mien.h"

enum { WIDTH = 640, HEIGHT = 460, LEFT = 70, BOTTOM = 50, TOP = 16, RIGHT = 16 };

/* Inverse of the normal distribution function by bisection: exact enough for a drawing, and nothing to get wrong. */
static double probit(double p)
{
    double low = -8, high = 8;
    for (int i = 0; i < 60; i++) {
        double mid = 0.5 * (low + high);
        if (0.5 * erfc(-mid / sqrt(2.0)) < p) low = mid;
        else high = mid;
    }
    return 0.5 * (low + high);
}

static const struct tick {
    double rate;
    const char *label;
} X_TICK[] = {{1e-6, "1e-6"}, {1e-5, "1e-5"}, {1e-4, "1e-4"}, {1e-3, "0.1 %"}, {1e-2, "1 %"}, {0.1, "10 %"}, {0.4, "40 %"}},
  Y_TICK[] = {{1e-4, "0.01 %"}, {1e-3, "0.1 %"}, {5e-3, "0.5 %"}, {2e-2, "2 %"}, {0.05, "5 %"}, {0.1, "10 %"}, {0.2, "20 %"}, {0.4, "40 %"}};
enum { N_X = sizeof X_TICK / sizeof X_TICK[0], N_Y = sizeof Y_TICK / sizeof Y_TICK[0] };

static double place(double rate, double least, double most, double from, double to)
{
    double at = (probit(rate) - probit(least)) / (probit(most) - probit(least));
    return from + fmin(fmax(at, 0), 1) * (to - from);
}
static double x_of(double fmr) { return place(fmr, X_TICK[0].rate, X_TICK[N_X - 1].rate, LEFT, WIDTH - RIGHT); }
static double y_of(double fnmr) { return place(fnmr, Y_TICK[0].rate, Y_TICK[N_Y - 1].rate, HEIGHT - BOTTOM, TOP); }

static void escaped(struct mien_buf *b, const char *s)
{
    for (; *s != '\0'; s++) {
        if (*s == '<') mien_buf_adds(b, "&lt;");
        else if (*s == '&') mien_buf_adds(b, "&amp;");
        else mien_buf_add(b, s, 1);
    }
}

static void axes(struct mien_buf *b)
{
    mien_buf_addf(b, "<svg viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" aria-label=\"DET curve\">\n", WIDTH, HEIGHT, WIDTH, HEIGHT);
    for (int i = 0; i < N_X; i++) {
        double x = x_of(X_TICK[i].rate);
        mien_buf_addf(b, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" class=\"g\"/>", x, TOP, x, HEIGHT - BOTTOM);
        mien_buf_addf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", x, HEIGHT - BOTTOM + 18, X_TICK[i].label);
    }
    for (int i = 0; i < N_Y; i++) {
        double y = y_of(Y_TICK[i].rate);
        mien_buf_addf(b, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" class=\"g\"/>", LEFT, y, WIDTH - RIGHT, y);
        mien_buf_addf(b, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 6, y + 4, Y_TICK[i].label);
    }
    mien_buf_addf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">false match rate</text>\n", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8);
    mien_buf_addf(b, "<text transform=\"translate(14 %d) rotate(-90)\" text-anchor=\"middle\">false non-match rate</text>\n", (TOP + HEIGHT - BOTTOM) / 2);
}

/* One point for every pixel column or so: the curve steps where the counts do. */
static void curve(struct mien_buf *b, const struct mien_score_counts *c)
{
    uint64_t impostor = 0, genuine = 0;
    double last_x = -10, last_y = -10;
    mien_buf_adds(b, "<polyline class=\"c\" points=\"");
    for (int i = MIEN_EVAL_BINS - 1; i >= 0; i--) {
        impostor += c->impostor[i];
        genuine += c->genuine[i];
        const double fmr = (double)impostor / (double)c->n_impostor;
        if ((c->impostor[i] == 0 && c->genuine[i] == 0) || fmr < X_TICK[0].rate) continue;
        if (fmr > X_TICK[N_X - 1].rate) break;
        double x = x_of(fmr), y = y_of(1 - (double)genuine / (double)c->n_genuine);
        if (fabs(x - last_x) < 0.7 && fabs(y - last_y) < 0.7) continue;
        mien_buf_addf(b, "%.1f,%.1f ", x, y);
        last_x = x;
        last_y = y;
    }
    mien_buf_adds(b, "\"/>\n");
}

static void marks(struct mien_buf *b, const struct mien_eval_report *r)
{
    for (int i = 0; i < 4; i++) {
        if (!r->at[i].measurable) continue;
        double x = x_of(r->at[i].fmr);
        mien_buf_addf(b, "<line class=\"i\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", x, y_of(r->at[i].fnmr_low), x, y_of(r->at[i].fnmr_high));
        mien_buf_addf(b, "<circle class=\"m\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n", x, y_of(r->at[i].fnmr));
    }
    mien_buf_adds(b, "</svg>\n");
}

static void row(struct mien_buf *b, const char *name, const struct mien_rate_point *p)
{
    mien_buf_addf(b, "<tr><th>%s</th>", name);
    if (!p->measurable) mien_buf_adds(b, "<td colspan=\"5\">too few impostor comparisons</td></tr>\n");
    else mien_buf_addf(b, "<td>%.4f</td><td>%llu</td><td>%.2e</td><td>%llu</td><td>%.2f %% (%.2f to %.2f)</td></tr>\n", p->threshold,
                       (unsigned long long)p->false_matches, p->fmr, (unsigned long long)p->false_non_matches, 100 * (1 - p->fnmr),
                       100 * (1 - p->fnmr_high), 100 * (1 - p->fnmr_low));
}

static void condition(struct mien_buf *b, const char *name, const char *value)
{
    mien_buf_addf(b, "<tr><th>%s</th><td>", name);
    escaped(b, value);
    mien_buf_adds(b, "</td></tr>\n");
}

void mien_eval_html(struct mien_buf *b, const struct mien_eval_report *r, const struct mien_score_counts *c)
{
    static const char *const target[4] = {"FMR 1e-2", "FMR 1e-3", "FMR 1e-4", "FMR 1e-5"};
    mien_buf_adds(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Verification accuracy: ");
    escaped(b, r->model);
    mien_buf_adds(b, "</title>\n<style>body{font:15px/1.45 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b;background:#fff}"
                     "table{border-collapse:collapse;margin:1rem 0}th,td{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top;"
                     "font-variant-numeric:tabular-nums}th{font-weight:600}svg{max-width:100%;height:auto}svg text{font-size:12px;fill:#444}"
                     ".g{stroke:#ddd}.c{fill:none;stroke:#0b63c5;stroke-width:2}.m{fill:#c5300b}.i{stroke:#c5300b}</style></head>\n<body><h1>");
    escaped(b, r->model);
    mien_buf_addf(b, "</h1>\n<p>Accuracy <strong>%.2f %%</strong> (standard error %.2f) on %zu pairs in %u folds, mean threshold %.3f. ",
                  100 * r->accuracy.mean, 100 * r->accuracy.standard_error, r->pairs, r->folds, r->accuracy.threshold);
    mien_buf_addf(b, "Equal error rate %.2f %%.</p>\n", 100 * r->equal_error_rate);
    axes(b);
    curve(b, c);
    marks(b, r);
    mien_buf_adds(b, "<table><tr><th></th><th>threshold</th><th>false matches</th><th>FMR</th><th>false non-matches</th>"
                     "<th>true accepts (95 % interval)</th></tr>\n");
    for (int i = 0; i < 4; i++) row(b, target[i], &r->at[i]);
    row(b, "model's threshold", &r->at_model_threshold);
    mien_buf_addf(b, "</table>\n<p>Every image against every other: %llu comparisons of one person, %llu of two. ", (unsigned long long)c->n_genuine,
                  (unsigned long long)c->n_impostor);
    mien_buf_addf(b, "An image without a found face (%zu of %zu) never matches. Intervals are Wilson's and take comparisons as independent, which those "
                     "of one person are not.</p>\n<h2>Conditions</h2>\n<table>\n", r->missed, r->images);
    condition(b, "model", r->model);
    condition(b, "arithmetic", r->type);
    condition(b, "detector", r->detector);
    condition(b, "pack", r->pack);
    condition(b, "face taken of several", r->face);
    condition(b, "pairs", r->pairs_file);
    mien_buf_addf(b, "<tr><th>images, persons</th><td>%zu, %zu</td></tr>\n", r->images, r->persons);
    mien_buf_addf(b, "<tr><th>calibration</th><td>slope %.2f, midpoint %.4f</td></tr>\n", r->slope, r->midpoint);
    condition(b, "program", "mien " MIEN_VERSION);
    mien_buf_adds(b, "</table></body></html>\n");
}
