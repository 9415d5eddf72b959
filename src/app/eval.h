/* Measuring verification accuracy: labelled pairs, comparison of everything with everything, error rates with intervals.
 *
 * No networks here: the input is embeddings. Rates are "generalised" (ISO/IEC 19795-1): a photo in which no face was found gives a
 * comparison that does not match, so it costs a genuine pair and cannot harm with an impostor pair. */
#ifndef MIEN_APP_EVAL_H
#define MIEN_APP_EVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

/* ---- eval_pairs.c: the LFW pairs format ---- */

struct mien_pair {
    uint32_t image[2];  /* indices into mien_pairs.image */
    bool same;
    uint32_t fold;
};

struct mien_pairs {
    struct mien_pair *pair;
    size_t n;
    uint32_t folds;
    const char **image;   /* "NAME/NAME_0001", without extension; sorted, each once */
    uint32_t *person;     /* of each image; people are numbered in order */
    size_t n_images;
};

/* http://vis-www.cs.umass.edu/lfw/README.txt: an optional first line `FOLDS PAIRS` or `PAIRS` (half of a fold's pairs), then
 * `NAME I J` (same person) and `NAME1 I NAME2 J`; fields are separated by blanks or tabs. A fold is 2 * PAIRS lines. Without folds, or with one
 * fold, pairs are dealt out to 10. `limit` > 0 keeps that many, evenly spread over the file. Everything lives in the arena. */
enum mien_code mien_pairs_parse(const char *text, size_t n, size_t limit, struct mien_arena *arena, struct mien_pairs *out,
                                struct mien_err *e) __attribute__((warn_unused_result));

/* Comparisons of different people when every image is compared with every other one. */
uint64_t mien_pairs_impostor(const struct mien_pairs *p);

/* ---- eval_scores.c: comparisons ---- */

/* Unit vectors, one row an image; a missed image has present[i] == false and its row is not read. */
struct mien_embeddings {
    const float *row;
    const bool *present;
    const uint32_t *person;
    size_t n;
    int dim;
};

/* Similarities of the file's pairs; -1 where an image was missed. */
void mien_eval_pair_scores(const struct mien_embeddings *em, const struct mien_pairs *pairs, float *score);

/* Every image against every other one, counted into bins: bin i holds similarities in [i / (BINS / 2) - 1, (i + 1) / (BINS / 2) - 1). Its edges are exact in
 * float32, so counts at a threshold that is an edge are exact. */
enum { MIEN_EVAL_BINS = 1 << 19 };
struct mien_score_counts {
    uint32_t *genuine, *impostor; /* MIEN_EVAL_BINS each; owned */
    uint64_t n_genuine, n_impostor;           /* comparisons, missed ones included */
    uint64_t missed_genuine, missed_impostor; /* of those: an image was missed; in no bin, never a match */
};
enum mien_code mien_eval_all_pairs(const struct mien_embeddings *em, int threads, struct mien_score_counts *out, struct mien_err *e)
    __attribute__((warn_unused_result));
void mien_score_counts_free(struct mien_score_counts *c);
double mien_eval_bin_edge(int bin);

/* ---- eval_rates.c: from counts to rates ---- */

/* Accuracy over folds: a fold is judged at the threshold that is best on all the others. */
struct mien_fold_accuracy {
    double mean, standard_error, threshold; /* threshold: mean of the folds' */
};
enum mien_code mien_eval_folds(const struct mien_pairs *pairs, const float *score, struct mien_fold_accuracy *out, struct mien_err *e)
    __attribute__((warn_unused_result));

/* Rates at a threshold (similarity >= threshold matches). */
struct mien_rate_point {
    double fmr_target;     /* what was asked for; 0 when the threshold was */
    double threshold;
    uint64_t false_matches, false_non_matches;
    double fmr, fnmr, fnmr_low, fnmr_high; /* 95 % Wilson interval */
    bool measurable;       /* at least one false match may happen at the target */
};
struct mien_rate_point mien_eval_at_threshold(const struct mien_score_counts *c, double threshold);
/* The smallest threshold whose false match rate does not exceed the target. */
struct mien_rate_point mien_eval_at_fmr(const struct mien_score_counts *c, double fmr);
double mien_eval_equal_error_rate(const struct mien_score_counts *c);

/* Wilson score interval (Wilson 1927) for k of n at 95 %. */
void mien_eval_wilson(uint64_t k, uint64_t n, double *low, double *high);

/* Logistic fit P(same) = 1 / (1 + exp(-slope * (similarity - midpoint))) with both classes weighted equally (maximum likelihood by Newton's method). */
void mien_eval_calibrate(const struct mien_score_counts *c, double *slope, double *midpoint);

/* ---- eval_curve.c: what a manifest keeps of a measurement (docs/models.md) ---- */

enum { MIEN_EVAL_CURVE = 24, MIEN_EVAL_CURVE_ERRORS = 10 };
struct mien_eval_curve { int n; struct mien_rate_point point[MIEN_EVAL_CURVE]; };
/* Error rates in even steps of log10(false match rate) from 0.5 down to the rate at which MIEN_EVAL_CURVE_ERRORS false matches are left; the step that is
 * nearest to `fmr` stands exactly there. By strictly rising similarity, steps that coincide once. n is 0 when there are not two points. */
void mien_eval_curve(const struct mien_score_counts *c, double fmr, struct mien_eval_curve *out);
struct mien_jw;
void mien_eval_curve_json(struct mien_jw *w, const struct mien_eval_curve *curve); /* [[similarity, fmr, fnmr], ...] */

/* The median similarity of genuine comparisons; those without a face have none and do not count. NAN when there are none. */
double mien_eval_median_genuine(const struct mien_score_counts *c);

/* The rule for a manifest's slope: the median genuine comparison has a confidence of 0.99 (the threshold `similarity` has 0.5): ln(99) / (median - similarity).
 * (A logistic fit, mien_eval_calibrate, is steeper: nearly every confidence would be 0 or 1.) NAN unless the median is above. */
double mien_eval_confidence_slope(double median, double similarity);

/* ---- eval_identify.c: searches of a gallery in which not everybody is ---- */

/* What came of searches: the score of the most similar person, or -2 where there was none (no face was found). */
struct mien_searches {
    float *mated;     /* searches for enrolled people; -2 too where another person was the most similar */
    float *non_mated; /* searches for people who are not enrolled */
    size_t n_mated, n_non_mated;
};
/* ISO/IEC 19795-1: false positive identification rate, and false negative identification rate at rank 1; 95 % Wilson intervals. */
struct mien_search_point {
    double fpir_target;    /* what was asked for; 0 when the threshold was */
    double threshold;
    uint64_t false_positives, misses;
    double fpir, fpir_low, fpir_high, fnir, fnir_low, fnir_high;
    bool measurable;       /* at least one false positive may happen at the target */
};
struct mien_search_point mien_eval_searches_at(const struct mien_searches *s, double threshold);
/* The smallest threshold whose false positive identification rate does not exceed the target. Sorts s->non_mated. */
struct mien_search_point mien_eval_at_fpir(struct mien_searches *s, double fpir);

/* Below 30 errors an observed rate is not within 30 % of the true one with 90 % confidence (the rule of 30, ISO/IEC 19795-1). */
enum { MIEN_EVAL_ENOUGH_ERRORS = 30 };

/* ---- eval_bootstrap.c: intervals of what has no formula ---- */

enum { MIEN_EVAL_REPLICATES = 400 };
/* A figure of a sample in which unit i stands weight[i] times. */
typedef double mien_eval_sampled(void *context, const uint32_t *weight);
/* 95 % percentile interval (Efron 1979) of a figure over MIEN_EVAL_REPLICATES samples of `units` units, drawn with replacement; the same every time.
 * NaN figures are left out; both ends are NaN when all are. `weight` is room for `units` numbers. */
void mien_eval_bootstrap(size_t units, uint32_t *weight, mien_eval_sampled *figure, void *context, double *low, double *high);

/* ---- eval_threshold.c: the threshold for a false match rate ---- */

struct mien_threshold {
    double fmr_target, threshold, low, high; /* low, high: 95 % percentile interval of MIEN_EVAL_REPLICATES bootstrap samples of people */
    uint64_t false_matches, impostor;        /* at the threshold, of so many comparisons */
    double expected;                         /* false matches at the target */
};
/* Comparisons that share a person are not independent of one another, so people are drawn, not comparisons; the same numbers come out every time.
 * MIEN_E_ARG: fewer than one false match is expected, or fewer than 3 people. */
enum mien_code mien_eval_threshold(const struct mien_embeddings *em, double fmr, int threads, struct mien_threshold *out, struct mien_err *e)
    __attribute__((warn_unused_result));

/* ---- eval_html.c ---- */

struct mien_eval_report {
    const char *model, *type, *detector, *pack, *pairs_file, *face;
    size_t pairs, images, missed, persons;
    uint64_t genuine;
    struct mien_fold_accuracy accuracy;
    uint32_t folds;
    struct mien_rate_point at[4], at_model_threshold; /* at: false match rate 1e-2 ... 1e-5 */
    struct mien_rate_point at_fmr;                    /* at the rate that --fmr asks for */
    struct mien_eval_curve curve;
    double equal_error_rate, slope, midpoint;
    double median_genuine, slope_confidence;          /* NAN when there is none */
    double embed_ms, compare_ms;
};
/* A page that needs nothing besides itself: figures, conditions and the DET curve (both axes in normal deviates, Martin et al. 1997). */
void mien_eval_html(struct mien_buf *b, const struct mien_eval_report *r, const struct mien_score_counts *c);

/* ---- eval_save.c: a measurement written into a manifest ---- */

struct mien_eval_saving {
    const char *path;    /* manifest.json */
    const char *sha256;  /* of the model that was measured; "" when the manifest did not say */
    const char *set;     /* what the photos are called */
    const struct mien_eval_report *report;
};

/* Whether a rate can be saved at all, to be asked before hours of work: MIEN_E_ARG when fewer than 30 false matches are expected at `fmr` among `impostor`
 * comparisons (the rule of 30, ISO/IEC 19795-1); MIEN_E_IO when the manifest cannot be replaced. */
enum mien_code mien_eval_may_save(const char *path, double fmr, uint64_t impostor, struct mien_err *e) __attribute__((warn_unused_result));

/* The manifest with the measurement in it: in the model's entry the `threshold` of the detector, and `measured` "accuracy" (interval: Wilson's of the right
 * answers), "TAR at FMR 1e-3" and "TAR at FMR 1e-4" as far as measurable. Entries of the same detector, and of the same measure, set and conditions, are
 * replaced; a second detector makes a list of a threshold. Every other byte of the text stays. MIEN_E_ARG when the measurement says too little or there is no
 * room; MIEN_E_MANIFEST when the text is not a manifest with that model. */
enum mien_code mien_eval_edit(const char *text, size_t n, const struct mien_eval_saving *s, struct mien_buf *out, struct mien_err *e)
    __attribute__((warn_unused_result));
/* Does so in the file, which is replaced whole. */
enum mien_code mien_eval_save(const struct mien_eval_saving *s, struct mien_err *e) __attribute__((warn_unused_result));

#endif
