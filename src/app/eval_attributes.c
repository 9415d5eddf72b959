/* From single answers to counts and means, of all rows and of groups of them. */
#include "app/eval_attributes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Angles are at most half a turn apart. */
static double error_of(enum mien_amount amount, double said, double truth)
{
    return fabs(amount == MIEN_AMOUNT_AGE ? said - truth : remainder(said - truth, 360.0));
}

static void add_choice(struct mien_choice_tally *t, enum mien_choice choice, int truth, const struct mien_attribute_seen *seen)
{
    const bool right = seen->face && seen->choice[choice] == truth;
    t->n++;
    t->of[truth]++;
    t->right += right;
    t->right_of[truth] += right;
    t->no_face += !seen->face;
    if (seen->face) t->score += seen->score[choice];
}

static void add_row(struct mien_attribute_tally *t, const struct mien_attribute_row *row, const struct mien_attribute_seen *seen)
{
    t->n++;
    t->no_face += !seen->face;
    for (enum mien_choice i = 0; i < MIEN_CHOICES; i++)
        if (row->choice[i] >= 0) add_choice(&t->choice[i], i, row->choice[i], seen);
    for (enum mien_amount i = 0; i < MIEN_AMOUNTS; i++) {
        if (isnan(row->amount[i]) || !seen->face) continue;
        const double error = error_of(i, seen->amount[i], row->amount[i]);
        t->amount[i].n++;
        t->amount[i].sum += error;
        t->amount[i].squares += error * error;
    }
}

/* Rows by their group, of one group as they stand in the file. */
static int by_group(const void *a, const void *b)
{
    const struct mien_attribute_row *const p = *(const struct mien_attribute_row *const *)a, *const q = *(const struct mien_attribute_row *const *)b;
    const int order = strcmp(p->group, q->group);
    return order != 0 ? order : (p > q) - (p < q);
}

enum mien_code mien_attribute_tallies(const struct mien_attribute_labels *labels, const struct mien_attribute_seen *seen, struct mien_arena *arena,
                                      struct mien_attribute_tally **out, size_t *n, struct mien_err *e)
{
    const bool grouped = labels->n > 0 && labels->row[0].group != NULL;
    const struct mien_attribute_row **order = mien_arena_calloc(arena, labels->n + 1, sizeof *order);
    struct mien_attribute_tally *t = mien_arena_calloc(arena, MIEN_ATTRIBUTE_GROUPS + 1, sizeof *t);
    MIEN_FAIL_IF(order == NULL || t == NULL, e, MIEN_E_NOMEM, "out of memory");
    for (size_t i = 0; i < labels->n; i++) order[i] = &labels->row[i];
    if (grouped) qsort(order, labels->n, sizeof *order, by_group);
    t[0].group = "all";
    *out = t;
    *n = 1;
    for (size_t i = 0; i < labels->n; i++) {
        const struct mien_attribute_seen *s = &seen[order[i] - labels->row];
        add_row(&t[0], order[i], s);
        if (!grouped) continue;
        if (i == 0 || strcmp(order[i]->group, order[i - 1]->group) != 0) {
            MIEN_FAIL_IF(*n > MIEN_ATTRIBUTE_GROUPS, e, MIEN_E_LIMIT, "--group: more than %d different values", MIEN_ATTRIBUTE_GROUPS);
            t[(*n)++].group = order[i]->group;
        }
        add_row(&t[*n - 1], order[i], s);
    }
    return MIEN_OK;
}

struct mien_mean mien_attribute_mean(const struct mien_amount_tally *t)
{
    const double n = (double)t->n, mean = t->sum / n;
    if (t->n == 0) return (struct mien_mean){NAN, NAN, NAN};
    if (t->n == 1) return (struct mien_mean){mean, NAN, NAN};
    const double half = 1.959963984540054 * sqrt(fmax(t->squares - n * mean * mean, 0.0) / (n - 1.0) / n);
    return (struct mien_mean){mean, fmax(mean - half, 0.0), mean + half};
}
