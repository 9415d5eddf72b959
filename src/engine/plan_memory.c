/* Where each buffer lies in the work memory.
 *
 * A buffer lives from the first step that touches it to the last. Two buffers may share memory when they do not live at the same time.
 * Largest first, each goes into the lowest gap between the placed buffers it lives together with (greedy by size: Pisarchyk and Lee,
 * "Efficient memory management for deep neural net inference", MLSys 2020; within a few per cent of the lower bound on these nets). */
#include <stdlib.h>

#include "engine/plan.h"

static void touch(struct mien_plan *p, int value, int step)
{
    if (value == MIEN_NO_VALUE || p->value[value].buffer == MIEN_NO_BUFFER) return;
    struct mien_buffer *b = &p->buffer[p->value[value].buffer];
    if (step < b->first) b->first = step;
    if (step > b->last) b->last = step;
}

static void find_lives(struct mien_plan *p)
{
    for (int i = 0; i < p->n_buffers; i++) {
        p->buffer[i].first = p->n_steps;
        p->buffer[i].last = -1;
    }
    for (int i = 0; i < p->n_steps; i++) {
        for (int k = 0; k < p->step[i].n_in; k++) touch(p, p->step[i].in[k], i);
        touch(p, p->step[i].out, i);
    }
    for (int i = 0; i < p->n_buffers; i++)
        if (p->buffer[i].fixed) {
            p->buffer[i].first = 0;
            p->buffer[i].last = p->n_steps;
        }
}

static int larger_first(const void *a, const void *b, void *table)
{
    const struct mien_buffer *buffer = table;
    const size_t x = buffer[*(const int *)a].bytes, y = buffer[*(const int *)b].bytes;
    if (x != y) return x < y ? 1 : -1;
    return *(const int *)a - *(const int *)b;
}

static size_t rounded(size_t n) { return (n + 63) / 64 * 64 + 64; } /* a vector load may run past the end */

/* Lowest place for buffer i beside those already placed (in order of place) that live at the same time. */
static void place(struct mien_plan *p, int i, int *placed, int *n)
{
    struct mien_buffer *b = &p->buffer[i];
    size_t at = 0;
    for (int k = 0; k < *n; k++) {
        const struct mien_buffer *o = &p->buffer[placed[k]];
        if (o->last < b->first || o->first > b->last) continue;
        if (at + rounded(b->bytes) <= o->place) break;
        if (o->place + rounded(o->bytes) > at) at = o->place + rounded(o->bytes);
    }
    b->place = at;
    if (at + rounded(b->bytes) > p->work_bytes) p->work_bytes = at + rounded(b->bytes);
    int k = (*n)++;
    for (; k > 0 && p->buffer[placed[k - 1]].place > at; k--) placed[k] = placed[k - 1];
    placed[k] = i;
}

enum mien_code mien_plan_place(struct mien_plan *p, struct mien_err *e)
{
    find_lives(p);
    int *order = malloc(((size_t)p->n_buffers + 1) * sizeof *order), *placed = malloc(((size_t)p->n_buffers + 1) * sizeof *placed);
    if (order == NULL || placed == NULL) {
        free(order);
        free(placed);
        return MIEN_FAIL(e, MIEN_E_NOMEM, "no memory to plan the network");
    }
    int n = 0, done = 0;
    for (int i = 0; i < p->n_buffers; i++)
        if (p->buffer[i].first <= p->buffer[i].last && p->buffer[i].into == MIEN_NO_BUFFER) order[n++] = i;
    qsort_r(order, (size_t)n, sizeof *order, larger_first, p->buffer);
    for (int i = 0; i < n; i++) place(p, order[i], placed, &done);
    free(order);
    free(placed);
    return MIEN_OK;
}
