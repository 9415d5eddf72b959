/* Everything against everything.
 *
 * A million comparisons of 512 numbers are half a gigaflop: what matters is to read the rows from the cache. Images are cut into tiles of
 * TILE rows; a work item is a tile against all tiles before it, and a row meets two rows at a time. Each worker counts into bins of its own. */
#include <stdlib.h>
#include <string.h>

#include "app/eval.h"
#include "base/thread.h"

enum { TILE = 64, LANES = 4 };

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef float lanes_u __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

struct bins {
    uint32_t genuine[MIEN_EVAL_BINS], impostor[MIEN_EVAL_BINS];
};

struct job {
    const struct mien_embeddings *em;
    struct bins **worker;
};

double mien_eval_bin_edge(int bin) { return (double)bin / (MIEN_EVAL_BINS / 2) - 1.0; }

static int bin_of(float similarity)
{
    double at = ((double)similarity + 1.0) * (MIEN_EVAL_BINS / 2);
    return !(at > 0) ? 0 : at >= MIEN_EVAL_BINS ? MIEN_EVAL_BINS - 1 : (int)at;
}

static float sum(lanes v)
{
    float s = 0;
    for (int i = 0; i < LANES; i++) s += v[i];
    return s;
}

/* out[r] = a . b[r] for two rows at `b` and b + stride. */
static void dot2(const float *a, const float *b, size_t stride, int dim, float out[2])
{
    lanes s[2] = {{0}, {0}}, t[2] = {{0}, {0}};
    int i = 0;
    for (; i + 2 * LANES <= dim; i += 2 * LANES) {
        const lanes x = *(const lanes_u *)(a + i), y = *(const lanes_u *)(a + i + LANES);
        s[0] += x * *(const lanes_u *)(b + i);
        s[1] += x * *(const lanes_u *)(b + stride + i);
        t[0] += y * *(const lanes_u *)(b + i + LANES);
        t[1] += y * *(const lanes_u *)(b + stride + i + LANES);
    }
    out[0] = sum(s[0] + t[0]);
    out[1] = sum(s[1] + t[1]);
    for (; i < dim; i++) {
        out[0] += a[i] * b[i];
        out[1] += a[i] * b[stride + (size_t)i];
    }
}

static float dot(const float *a, const float *b, int dim)
{
    float v[2];
    dot2(a, b, 0, dim, v);
    return v[0];
}

void mien_eval_pair_scores(const struct mien_embeddings *em, const struct mien_pairs *pairs, float *score)
{
    for (size_t i = 0; i < pairs->n; i++) {
        const uint32_t *image = pairs->pair[i].image;
        bool both = em->present[image[0]] && em->present[image[1]];
        score[i] = both ? dot(em->row + image[0] * (size_t)em->dim, em->row + image[1] * (size_t)em->dim, em->dim) : -1.0f;
    }
}

static void count(const struct mien_embeddings *em, struct bins *b, size_t i, size_t j, float similarity)
{
    if (!em->present[i] || !em->present[j]) return;
    uint32_t *bin = em->person[i] == em->person[j] ? b->genuine : b->impostor;
    bin[bin_of(similarity)]++;
}

static void compare_tiles(const struct mien_embeddings *em, struct bins *b, size_t i0, size_t j0)
{
    const size_t dim = (size_t)em->dim;
    size_t i1 = i0 + TILE < em->n ? i0 + TILE : em->n;
    for (size_t i = i0; i < i1; i++) {
        size_t j1 = j0 + TILE < i ? j0 + TILE : i; /* each pair once: j < i */
        size_t j = j0;
        for (; j + 2 <= j1; j += 2) {
            float v[2];
            dot2(em->row + i * dim, em->row + j * dim, dim, em->dim, v);
            count(em, b, i, j, v[0]);
            count(em, b, i, j + 1, v[1]);
        }
        if (j < j1) count(em, b, i, j, dot(em->row + i * dim, em->row + j * dim, em->dim));
    }
}

static enum mien_code work(void *context, int worker, size_t item, struct mien_err *e)
{
    struct job *job = context;
    (void)e;
    size_t i0 = ((job->em->n - 1) / TILE - item) * TILE; /* the longest ones first */
    for (size_t j0 = 0; j0 <= i0; j0 += TILE) compare_tiles(job->em, job->worker[worker], i0, j0);
    return MIEN_OK;
}

/* How many comparisons there are, by people and by missed images. */
static void count_totals(const struct mien_embeddings *em, struct mien_score_counts *out)
{
    uint64_t present = 0, genuine_seen = 0;
    for (size_t i = 0; i < em->n;) {
        uint64_t all = 0, seen = 0;
        for (uint32_t person = em->person[i]; i < em->n && em->person[i] == person; i++) {
            all++;
            seen += em->present[i];
        }
        out->n_genuine += all * (all - 1) / 2;
        genuine_seen += seen * (seen - 1) / 2;
        present += seen;
    }
    const uint64_t n = em->n, pairs = n * (n - 1) / 2, pairs_seen = present > 0 ? present * (present - 1) / 2 : 0;
    out->n_impostor = pairs - out->n_genuine;
    out->missed_genuine = out->n_genuine - genuine_seen;
    out->missed_impostor = out->n_impostor - (pairs_seen - genuine_seen);
}

static void merge(const struct job *job, int threads, struct mien_score_counts *out)
{
    for (int t = 0; t < threads; t++)
        for (int i = 0; i < MIEN_EVAL_BINS; i++) {
            out->genuine[i] += job->worker[t]->genuine[i];
            out->impostor[i] += job->worker[t]->impostor[i];
        }
}

static enum mien_code alloc_counts(struct mien_score_counts *out, struct mien_err *e)
{
    out->genuine = calloc(MIEN_EVAL_BINS, sizeof *out->genuine);
    out->impostor = calloc(MIEN_EVAL_BINS, sizeof *out->impostor);
    MIEN_FAIL_IF(out->genuine == NULL || out->impostor == NULL, e, MIEN_E_NOMEM, "out of memory");
    return MIEN_OK;
}

enum mien_code mien_eval_all_pairs(const struct mien_embeddings *em, int threads, struct mien_score_counts *out, struct mien_err *e)
{
    *out = (struct mien_score_counts){0};
    if (threads < 1) threads = 1;
    struct job job = {em, calloc((size_t)threads, sizeof(struct bins *))};
    enum mien_code code = job.worker == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory") : alloc_counts(out, e);
    for (int t = 0; code == MIEN_OK && t < threads; t++) {
        job.worker[t] = calloc(1, sizeof *job.worker[t]);
        if (job.worker[t] == NULL) code = MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory");
    }
    if (code == MIEN_OK) code = mien_parallel_for(threads, (em->n + TILE - 1) / TILE, work, &job, e);
    if (code == MIEN_OK) {
        merge(&job, threads, out);
        count_totals(em, out);
    }
    for (int t = 0; job.worker != NULL && t < threads; t++) free(job.worker[t]);
    free(job.worker);
    if (code != MIEN_OK) mien_score_counts_free(out);
    return code;
}

void mien_score_counts_free(struct mien_score_counts *c)
{
    free(c->genuine);
    free(c->impostor);
    *c = (struct mien_score_counts){0};
}
