/* Greedy non-maximum suppression: of boxes that overlap, the best stays. */
#include "face/face.h"

#include <stdlib.h>

/* More candidates than this are not looked at, best first: a bound on the quadratic part for hostile pictures. A thousand
 * faces give some 6,000. */
enum { MAX_CANDIDATES = 8192 };

/* Falling score; position decides between equal scores, so that the result does not depend on the sort. */
static int by_score(const void *a, const void *b)
{
    const struct mien_detection *p = a, *q = b;
    if (p->score != q->score) return p->score > q->score ? -1 : 1;
    if (p->box.y0 != q->box.y0) return p->box.y0 < q->box.y0 ? -1 : 1;
    return p->box.x0 < q->box.x0 ? -1 : p->box.x0 > q->box.x0;
}

static float area(const struct mien_box *b) { return (b->x1 - b->x0) * (b->y1 - b->y0); }

static bool overlap(const struct mien_box *a, const struct mien_box *b, float iou)
{
    float w = (a->x1 < b->x1 ? a->x1 : b->x1) - (a->x0 > b->x0 ? a->x0 : b->x0);
    float h = (a->y1 < b->y1 ? a->y1 : b->y1) - (a->y0 > b->y0 ? a->y0 : b->y0);
    if (!(w > 0.0f && h > 0.0f)) return false;
    return w * h > iou * (area(a) + area(b) - w * h);
}

int mien_nms(struct mien_detection *d, int n, float iou)
{
    int kept = 0;
    if (n <= 0) return 0;
    qsort(d, (size_t)n, sizeof *d, by_score);
    if (n > MAX_CANDIDATES) n = MAX_CANDIDATES;
    for (int i = 0; i < n; i++) {
        int k = 0;
        while (k < kept && !overlap(&d[i].box, &d[k].box, iou)) k++;
        if (k == kept) d[kept++] = d[i];
    }
    return kept;
}
