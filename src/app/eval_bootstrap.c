#include "app/eval.h"

#include <math.h>
#include <stdlib.h>

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void mien_eval_bootstrap(size_t units, uint32_t *weight, mien_eval_sampled *figure, void *context, double *low, double *high)
{
    double sample[MIEN_EVAL_REPLICATES];
    uint64_t state = 20260101;
    size_t n = 0;
    for (int r = 0; r < MIEN_EVAL_REPLICATES; r++) {
        for (size_t i = 0; i < units; i++) weight[i] = 0;
        for (size_t i = 0; i < units; i++) weight[next_random(&state) % units]++;
        sample[n] = figure(context, weight);
        if (!isnan(sample[n])) n++;
    }
    qsort(sample, n, sizeof *sample, rising);
    *low = n > 0 ? sample[n / 40] : (double)NAN;
    *high = n > 0 ? sample[n - 1 - n / 40] : (double)NAN;
}
