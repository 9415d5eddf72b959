/* Rates of searches, by the threshold that their scores must reach. */
#include <math.h>
#include <stdlib.h>

#include "app/eval.h"

static int falling(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static uint64_t at_or_above(const float *score, size_t n, double threshold)
{
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++) count += (double)score[i] >= threshold;
    return count;
}

struct mien_search_point mien_eval_searches_at(const struct mien_searches *s, double threshold)
{
    struct mien_search_point p = {.threshold = threshold, .measurable = true};
    p.false_positives = at_or_above(s->non_mated, s->n_non_mated, threshold);
    p.misses = s->n_mated - at_or_above(s->mated, s->n_mated, threshold);
    p.fpir = s->n_non_mated > 0 ? (double)p.false_positives / (double)s->n_non_mated : 0;
    p.fnir = s->n_mated > 0 ? (double)p.misses / (double)s->n_mated : 0;
    mien_eval_wilson(p.false_positives, s->n_non_mated, &p.fpir_low, &p.fpir_high);
    mien_eval_wilson(p.misses, s->n_mated, &p.fnir_low, &p.fnir_high);
    return p;
}

struct mien_search_point mien_eval_at_fpir(struct mien_searches *s, double fpir)
{
    const size_t allowed = (size_t)floor(fpir * (double)s->n_non_mated + 1e-9);
    qsort(s->non_mated, s->n_non_mated, sizeof *s->non_mated, falling);
    /* Just above the first score that must not pass: equal ones must not either. */
    const float first = allowed < s->n_non_mated ? s->non_mated[allowed] : -1.0f;
    struct mien_search_point p = mien_eval_searches_at(s, (double)(allowed < s->n_non_mated ? nextafterf(first, 2.0f) : first));
    p.fpir_target = fpir;
    p.measurable = allowed >= 1;
    return p;
}
