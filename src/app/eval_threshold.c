/* The threshold for a false match rate, and how far it can be trusted.
 *
 * Only the highest impostor scores matter: those above a floor are kept with the two people that they are of. A bootstrap sample gives each person a weight
 * (how often they were drawn); a comparison of p and q then counts weight[p] * weight[q] times, and the sample's threshold is where the counts, from the
 * highest score down, reach the target's share of all. */
#include <math.h>
#include <stdlib.h>

#include "app/eval.h"
#include "base/thread.h"

enum { KEPT_AT_LEAST = 2000, KEPT_PER_EXPECTED = 8, MAX_KEPT = 20000000, MAX_WORKERS = 256 };

struct top { float score; uint32_t person[2]; };

struct tops { struct top *top; size_t n, room; };

struct gathering {
    const struct mien_embeddings *em;
    float least;
    struct tops of[MAX_WORKERS];
};

/* ---- the highest scores ---- */

static enum mien_code keep(struct tops *t, struct top top, struct mien_err *e)
{
    if (t->n == t->room) {
        const size_t room = t->room == 0 ? 1024 : 2 * t->room;
        struct top *bigger = realloc(t->top, room * sizeof *bigger);
        MIEN_FAIL_IF(bigger == NULL || room > MAX_KEPT, e, MIEN_E_NOMEM, "out of memory");
        t->top = bigger;
        t->room = room;
    }
    t->top[t->n++] = top;
    return MIEN_OK;
}

static float cosine(const float *a, const float *b, int dim)
{
    enum { LANES = 8 };
    float lane[LANES] = {0}, sum = 0.0f;
    int i = 0;
    for (; i + LANES <= dim; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += a[i + k] * b[i + k];
    for (; i < dim; i++) sum += a[i] * b[i];
    for (int k = 0; k < LANES; k++) sum += lane[k];
    return sum;
}

static enum mien_code gather_row(void *context, int worker, size_t item, struct mien_err *e)
{
    struct gathering *g = context;
    const struct mien_embeddings *em = g->em;
    const size_t i = em->n - 1 - item, dim = (size_t)em->dim; /* the longest rows first */
    for (size_t j = 0; em->present[i] && j < i && em->person[j] != em->person[i]; j++) { /* a person's photos stand together, so the rest is the same person */
        const float score = em->present[j] ? cosine(em->row + i * dim, em->row + j * dim, em->dim) : -2.0f;
        if (score >= g->least) MIEN_TRY(keep(&g->of[worker], (struct top){score, {em->person[i], em->person[j]}}, e));
    }
    return MIEN_OK;
}

static int falling(const void *a, const void *b)
{
    const struct top *x = a, *y = b;
    if (x->score != y->score) return (x->score < y->score) - (x->score > y->score);
    const int first = (x->person[0] > y->person[0]) - (x->person[0] < y->person[0]); /* so that threads change nothing */
    return first != 0 ? first : (x->person[1] > y->person[1]) - (x->person[1] < y->person[1]);
}

/* The impostor comparisons at or above `least`, highest first. */
static enum mien_code gather(const struct mien_embeddings *em, float least, int threads, struct tops *out, struct mien_err *e)
{
    struct gathering g = {.em = em, .least = least};
    enum mien_code code = mien_parallel_for(threads < MAX_WORKERS ? threads : MAX_WORKERS, em->n, gather_row, &g, e);
    for (int w = 0; w < MAX_WORKERS; w++) {
        for (size_t i = 0; code == MIEN_OK && i < g.of[w].n; i++) code = keep(out, g.of[w].top[i], e);
        free(g.of[w].top);
    }
    if (out->n > 0) qsort(out->top, out->n, sizeof *out->top, falling);
    return code;
}

/* ---- samples of people ---- */

/* The threshold of a sample: just above the first score at which more than the target's share would match. */
static double threshold_of(const struct tops *t, const uint32_t *weight, double allowed)
{
    double count = 0;
    for (size_t i = 0; i < t->n; i++) {
        count += (double)weight[t->top[i].person[0]] * (double)weight[t->top[i].person[1]];
        if (count > allowed + 1e-9) return (double)nextafterf(t->top[i].score, 2.0f);
    }
    return t->n > 0 ? (double)t->top[t->n - 1].score : 1.0;
}

/* Comparisons of different people in a sample. */
static double comparisons_of(const uint32_t *photos, const uint32_t *weight, size_t persons)
{
    double sum = 0, same = 0;
    for (size_t p = 0; p < persons; p++) {
        const double n = (double)photos[p] * (double)weight[p];
        sum += n;
        same += n * n;
    }
    return (sum * sum - same) / 2;
}

/* What a sample's threshold is made of. */
struct sampling { const struct tops *tops; const uint32_t *photos; size_t persons; double fmr; };

static double threshold_of_sample(void *context, const uint32_t *weight)
{
    const struct sampling *s = context;
    return threshold_of(s->tops, weight, s->fmr * comparisons_of(s->photos, weight, s->persons));
}

static enum mien_code estimate(const struct mien_embeddings *em, const struct tops *t, struct mien_threshold *out, struct mien_err *e)
{
    const size_t persons = (size_t)em->person[em->n - 1] + 1;
    uint32_t *photos = calloc(persons, sizeof *photos), *weight = calloc(persons, sizeof *weight);
    const bool got = photos != NULL && weight != NULL;
    if (got) {
        for (size_t i = 0; i < em->n; i++) photos[em->person[i]]++;
        for (size_t p = 0; p < persons; p++) weight[p] = 1;
        out->threshold = threshold_of(t, weight, floor(out->expected + 1e-9));
        for (size_t i = 0; i < t->n && (double)t->top[i].score >= out->threshold; i++) out->false_matches++;
        struct sampling s = {t, photos, persons, out->fmr_target};
        mien_eval_bootstrap(persons, weight, threshold_of_sample, &s, &out->low, &out->high);
    }
    free(photos);
    free(weight);
    MIEN_FAIL_IF(!got, e, MIEN_E_NOMEM, "out of memory");
    return MIEN_OK;
}

/* The score that enough of the highest impostor comparisons reach. */
static enum mien_code floor_of(const struct mien_embeddings *em, double fmr, int threads, float *least, struct mien_threshold *out, struct mien_err *e)
{
    struct mien_score_counts c;
    uint64_t above = 0;
    int bin = MIEN_EVAL_BINS - 1;
    MIEN_TRY(mien_eval_all_pairs(em, threads, &c, e));
    *out = (struct mien_threshold){.fmr_target = fmr, .impostor = c.n_impostor, .expected = fmr * (double)c.n_impostor};
    const double wanted = fmax(KEPT_AT_LEAST, KEPT_PER_EXPECTED * out->expected);
    for (; bin > 0 && (double)above < wanted; bin--) above += c.impostor[bin];
    *least = (float)mien_eval_bin_edge(bin);
    mien_score_counts_free(&c);
    return MIEN_OK;
}

enum mien_code mien_eval_threshold(const struct mien_embeddings *em, double fmr, int threads, struct mien_threshold *out, struct mien_err *e)
{
    struct tops t = {0};
    float least;
    *out = (struct mien_threshold){0};
    MIEN_FAIL_IF(em->n == 0 || em->person[em->n - 1] < 2, e, MIEN_E_ARG, "photos of at least 3 people are needed");
    MIEN_TRY(floor_of(em, fmr, threads, &least, out, e));
    MIEN_FAIL_IF(out->expected < 1, e, MIEN_E_ARG, "a false match rate of %g needs at least %.0f comparisons of different people; there are %llu", fmr,
                 ceil(1 / fmr), (unsigned long long)out->impostor);
    enum mien_code code = gather(em, least, threads, &t, e);
    if (code == MIEN_OK) code = estimate(em, &t, out, e);
    free(t.top);
    return code;
}
