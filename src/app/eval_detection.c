#include "app/eval_detection.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Equal scores are ordered by place, so that the same boxes give the same counts in whatever order they come. */
static int by_falling_score(const void *pa, const void *pb)
{
    const struct mien_judged_box *a = pa, *b = pb;
    const float key[3][2] = {{b->score, a->score}, {a->box.x0, b->box.x0}, {a->box.y0, b->box.y0}};
    for (int i = 0; i < 3; i++)
        if (key[i][0] < key[i][1] || key[i][0] > key[i][1]) return key[i][0] < key[i][1] ? -1 : 1;
    return 0;
}

static void sort(struct mien_judged_box *box, size_t n)
{
    if (n > 0) qsort(box, n, sizeof *box, by_falling_score);
}

/* ---- one photo ---- */

static double area(const struct mien_box *b) { return ((double)b->x1 - (double)b->x0) * ((double)b->y1 - (double)b->y0); }

static double iou_of(const struct mien_box *a, const struct mien_box *b)
{
    const double w = (double)fminf(a->x1, b->x1) - (double)fmaxf(a->x0, b->x0), h = (double)fminf(a->y1, b->y1) - (double)fmaxf(a->y0, b->y0);
    if (!(w > 0) || !(h > 0)) return 0;
    return w * h / (area(a) + area(b) - w * h);
}

/* How well a box is on a face, or -1 when it is not; the larger the better. */
typedef double fit_fn(const struct mien_box *box, const struct mien_box *face, double iou);

static double fit_by_overlap(const struct mien_box *box, const struct mien_box *face, double iou)
{
    const double overlap = iou_of(box, face);
    return overlap >= iou ? overlap : -1;
}

static double fit_by_centre(const struct mien_box *box, const struct mien_box *face, double iou)
{
    const double x = 0.5 * ((double)face->x0 + (double)face->x1), y = 0.5 * ((double)face->y0 + (double)face->y1);
    const double dx = 0.5 * ((double)box->x0 + (double)box->x1) - x, dy = 0.5 * ((double)box->y0 + (double)box->y1) - y;
    const double times = area(box) / area(face); /* of the sides: its square root */
    (void)iou;
    if (x < (double)box->x0 || x > (double)box->x1 || y < (double)box->y0 || y > (double)box->y1 || !(times >= 0.25 && times <= 4.0)) return -1;
    return 1.0 / (1.0 + dx * dx + dy * dy);
}

static bool is_ignored(const struct mien_face_label *f, const struct mien_detection_rules *rules)
{
    return f->invalid || f->shorter_side < rules->min_side;
}

/* Whether the box finds a face: takes it. */
static bool take_face(const struct mien_photo_labels *labels, const struct mien_detection_rules *rules, const struct mien_box *box, fit_fn *fit,
                           bool *taken)
{
    ptrdiff_t best = -1;
    double most = -1;
    for (size_t i = 0; i < labels->n; i++) {
        if (taken[i] || is_ignored(&labels->face[i], rules)) continue;
        const double fits = fit(box, &labels->face[i].box, (double)rules->iou);
        if (fits <= most) continue;
        most = fits;
        best = (ptrdiff_t)i;
    }
    if (best >= 0) taken[best] = true;
    return best >= 0;
}

static bool is_on_ignored(const struct mien_photo_labels *labels, const struct mien_detection_rules *rules, const struct mien_box *box, fit_fn *fit)
{
    for (size_t i = 0; i < labels->n; i++)
        if (is_ignored(&labels->face[i], rules) && fit(box, &labels->face[i].box, (double)rules->iou) >= 0) return true;
    return false;
}

static enum mien_box_verdict verdict_on(const struct mien_photo_labels *labels, const struct mien_detection_rules *rules, const struct mien_box *box,
                                        fit_fn *fit, bool *taken)
{
    if (take_face(labels, rules, box, fit, taken)) return MIEN_BOX_RIGHT;
    return is_on_ignored(labels, rules, box, fit) ? MIEN_BOX_ON_IGNORED : MIEN_BOX_FALSE;
}

enum mien_code mien_eval_judge_boxes(const struct mien_photo_labels *labels, const struct mien_detection_rules *rules, struct mien_judged_box *box,
                                     size_t n, struct mien_detection_counts *c, struct mien_err *e)
{
    struct mien_detection_counts now = {.photos = 1, .boxes = n};
    bool *taken = calloc(2 * labels->n + 1, sizeof *taken);
    MIEN_FAIL_IF(taken == NULL, e, MIEN_E_NOMEM, "out of memory");
    bool *taken_by_centre = taken + labels->n;
    for (size_t i = 0; i < labels->n; i++) now.ignored += is_ignored(&labels->face[i], rules);
    now.faces = labels->n - now.ignored;
    sort(box, n);
    for (size_t i = 0; i < n; i++) {
        const enum mien_box_verdict by_centre = verdict_on(labels, rules, &box[i].box, fit_by_centre, taken_by_centre);
        box[i].verdict = verdict_on(labels, rules, &box[i].box, fit_by_overlap, taken);
        now.found += box[i].verdict == MIEN_BOX_RIGHT;
        now.false_boxes += box[i].verdict == MIEN_BOX_FALSE;
        now.boxes_on_ignored += box[i].verdict == MIEN_BOX_ON_IGNORED;
        now.center_found += by_centre == MIEN_BOX_RIGHT;
        now.center_false_boxes += by_centre == MIEN_BOX_FALSE;
    }
    free(taken);
    now.photos_with_faces = now.faces > 0;
    now.photos_missed = now.faces > 0 && now.found == 0;
    mien_eval_add_counts(c, &now);
    return MIEN_OK;
}

void mien_eval_add_counts(struct mien_detection_counts *to, const struct mien_detection_counts *c)
{
    to->photos += c->photos;
    to->photos_with_faces += c->photos_with_faces;
    to->photos_missed += c->photos_missed;
    to->faces += c->faces;
    to->ignored += c->ignored;
    to->found += c->found;
    to->center_found += c->center_found;
    to->center_false_boxes += c->center_false_boxes;
    to->boxes += c->boxes;
    to->false_boxes += c->false_boxes;
    to->boxes_on_ignored += c->boxes_on_ignored;
}

/* ---- all photos ---- */

/* From the lowest score to the highest, so that the best precision at a recall or above is the best seen so far. The boxes are sorted; a photo stands
 * weight[photo] times in the sample. */
static double precision_of_sample(void *context, const uint32_t *weight)
{
    const struct mien_judged_photos *all = context;
    const struct mien_judged_box *box = all->box;
    double right = 0, wrong = 0, best = 0, sum = 0, faces = 0;
    for (size_t p = 0; p < all->photos; p++) faces += (double)all->faces[p] * weight[p];
    for (size_t i = 0; i < all->boxes; i++) {
        right += (box[i].verdict == MIEN_BOX_RIGHT) * (double)weight[box[i].photo];
        wrong += (box[i].verdict == MIEN_BOX_FALSE) * (double)weight[box[i].photo];
    }
    for (size_t end = all->boxes; end > 0;) {
        const float score = box[end - 1].score;
        const double precision = right > 0 ? right / (right + wrong) : 0, before = right;
        if (precision > best) best = precision;
        for (; end > 0 && box[end - 1].score <= score; end--) {
            right -= (box[end - 1].verdict == MIEN_BOX_RIGHT) * (double)weight[box[end - 1].photo];
            wrong -= (box[end - 1].verdict == MIEN_BOX_FALSE) * (double)weight[box[end - 1].photo];
        }
        sum += best * (before - right);
    }
    return faces > 0 ? sum / faces : NAN;
}

enum mien_code mien_eval_average_precision(const struct mien_judged_photos *all, double *precision, double *low, double *high, struct mien_err *e)
{
    struct mien_judged_photos sorted = *all;
    uint32_t *weight = calloc(all->photos + 1, sizeof *weight);
    MIEN_FAIL_IF(weight == NULL, e, MIEN_E_NOMEM, "out of memory");
    sort(sorted.box, sorted.boxes);
    for (size_t p = 0; p < all->photos; p++) weight[p] = 1;
    *precision = precision_of_sample(&sorted, weight);
    if (low != NULL && high != NULL) mien_eval_bootstrap(all->photos, weight, precision_of_sample, &sorted, low, high);
    free(weight);
    return MIEN_OK;
}
