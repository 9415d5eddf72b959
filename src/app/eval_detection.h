/* Measuring a face detector: labelled boxes, which of them are found, and which boxes are of nobody. No networks here: the input is boxes. */
#ifndef MIEN_APP_EVAL_DETECTION_H
#define MIEN_APP_EVAL_DETECTION_H

#include "app/eval.h"
#include "face/face.h"

/* ---- eval_detection_labels.c: WIDER FACE's format ---- */

struct mien_face_label {
    struct mien_box box;  /* pixels */
    float shorter_side;   /* as the file has it: box.x1 - box.x0 is rounded */
    bool invalid;         /* the file says so, or the box is empty */
};
struct mien_photo_labels {
    const char *file;     /* within the folder of photos: relative, without "..", without control characters */
    size_t line;          /* where the file names it, from 1 */
    struct mien_face_label *face;
    size_t n;
};
struct mien_detection_labels { struct mien_photo_labels *photo; size_t n; };

/* wider_face_val_bbx_gt.txt (http://shuoyang1213.me/WIDERFACE/): a photo is a line with its file, a line with the number of its faces, and a line
 * `x y w h blur expression illumination invalid occlusion pose` a face; `x y w h` alone is taken as well. 0 faces may be followed by one line of
 * zeros. Empty lines are skipped. `limit` > 0 keeps that many photos, evenly spread over the file. Everything lives in the arena.
 * MIEN_E_ARG names the line that is wrong. */
enum mien_code mien_detection_labels_parse(const char *text, size_t n, size_t limit, struct mien_arena *arena, struct mien_detection_labels *out,
                                           struct mien_err *e) MIEN_MUST_CHECK;

/* ---- eval_detection.c ---- */

struct mien_detection_rules {
    float iou;      /* intersection over union from which a box is on a face; above 0 */
    float min_side; /* pixels; a labelled face with a shorter side below this is ignored */
};
enum mien_box_verdict { MIEN_BOX_FALSE, MIEN_BOX_RIGHT, MIEN_BOX_ON_IGNORED };
struct mien_judged_box { struct mien_box box; float score; enum mien_box_verdict verdict; uint32_t photo; /* its number, for samples of photos */ };

struct mien_detection_counts {
    uint64_t photos, photos_with_faces, photos_missed; /* with a face that counts; of those: none of them was found */
    uint64_t faces, ignored, found;                    /* faces: those that count */
    uint64_t boxes, false_boxes, boxes_on_ignored;     /* boxes = found + false_boxes + boxes_on_ignored */
    uint64_t center_found, center_false_boxes;         /* the same by the other rule */
};

/* Compares the n boxes of one photo with its labels: sorts them by falling score, fills their verdicts and adds to *c.
 * One box finds at most one face and one face is found by at most one box. The surest box chooses first: of the faces that count and are not yet
 * found the one that it overlaps most, when that is an IoU of at least `iou`. What is left over is no mistake when it overlaps an ignored face as
 * much (several may, one face), else it is false.
 * Detectors draw boxes tighter or wider than people do, and a small face's IoU suffers most, so a second rule is counted beside it, one to one and the
 * surest first as well: a box is on a face when it holds the face's centre and its side (square root of the area) is at least half and at most
 * twice the face's; of several it finds the one whose centre is nearest to its own. */
enum mien_code mien_eval_judge_boxes(const struct mien_photo_labels *labels, const struct mien_detection_rules *rules, struct mien_judged_box *box,
                                     size_t n, struct mien_detection_counts *c, struct mien_err *e) MIEN_MUST_CHECK;

void mien_eval_add_counts(struct mien_detection_counts *to, const struct mien_detection_counts *c);

/* All boxes of all photos, in any order; sorted by what judges them. */
struct mien_judged_photos {
    struct mien_judged_box *box;
    size_t boxes;
    const uint64_t *faces;   /* that count, of each photo */
    size_t photos;
};

/* Area under the curve of precision over recall, by all of its points (Everingham et al. 2010, VOC's devkit from 2010 on): the precision at a recall is the
 * best one at that recall or above. Boxes of equal score are one point; those on ignored faces are in none. The curve ends at the recall
 * of all boxes, beyond it precision is 0. NaN without faces. `low`, `high` (may be NULL): 95 % interval over bootstrap samples of photos. */
enum mien_code mien_eval_average_precision(const struct mien_judged_photos *all, double *precision, double *low, double *high,
                                           struct mien_err *e) MIEN_MUST_CHECK;

#endif
