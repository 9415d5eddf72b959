/* Measuring what is said of single faces against labels: a table of labelled photos, and counts with intervals. No networks here.
 *
 * Two kinds of answers: choices between classes (gender, emotion, live or spoof, real or fake), which are right or wrong, and amounts (age, angles), which
 * are off by something. A photo in which no face is found costs a choice, as in a product it would; it has no amount, so it does not count there. */
#ifndef MIEN_APP_EVAL_ATTRIBUTES_H
#define MIEN_APP_EVAL_ATTRIBUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"

enum mien_choice { MIEN_CHOICE_GENDER, MIEN_CHOICE_EMOTION, MIEN_CHOICE_SPOOF, MIEN_CHOICE_DEEPFAKE, MIEN_CHOICES };
enum mien_amount { MIEN_AMOUNT_AGE /* years */, MIEN_AMOUNT_YAW /* degrees, signs as in face.h */, MIEN_AMOUNT_PITCH, MIEN_AMOUNT_ROLL, MIEN_AMOUNTS };
enum { MIEN_CHOICE_CLASSES = 7 /* at most */, MIEN_ATTRIBUTE_ROWS = 1000000, MIEN_ATTRIBUTE_GROUPS = 1000, MIEN_ATTRIBUTE_GROUP_COLUMNS = 4 };

/* Of two classes the second is the one that a score of 0.5 or more says. */
struct mien_choice_classes { int n; const char *member, *const *name; };
extern const struct mien_choice_classes mien_choice_classes[MIEN_CHOICES];

/* ---- eval_attributes_labels.c ---- */

struct mien_attribute_row {
    const char *file;
    const char *group;            /* values of the group's columns; NULL without --group */
    int choice[MIEN_CHOICES];     /* the true class; -1: not labelled */
    double amount[MIEN_AMOUNTS];  /* the true amount; NAN: not labelled */
};
struct mien_attribute_labels {
    struct mien_attribute_row *row;
    size_t n;
    size_t left_out;              /* rows whose `label` is another word (they stay for their other labels), and rows without any label (they do not) */
    bool has_choice[MIEN_CHOICES], has_amount[MIEN_AMOUNTS]; /* there is a column for it; of `label`: a row that says so */
};

/* CSV with the columns `file` and at least one of `age`, `gender`, `emotion`, `label`, and `pitch_deg`, `yaw_deg`, `roll_deg` (AFLW2000-3D's
 * convention; turned into ours). Words in any case; an empty field is no label. `group` (may be NULL): up to 4 names of columns, separated by commas; their
 * values are joined by ", ", an empty one is "-". `limit` > 0 keeps that many rows, evenly spread. Everything lives in the arena. MIEN_E_ARG names line
 * and value. */
enum mien_code mien_attribute_labels_parse(const char *text, size_t n, const char *group, size_t limit, struct mien_arena *arena,
                                           struct mien_attribute_labels *out, struct mien_err *e) __attribute__((warn_unused_result));

/* ---- eval_attributes.c ---- */

/* What was said of a row's photo. Only the members that the row has labels for are read. */
struct mien_attribute_seen {
    bool face;
    int choice[MIEN_CHOICES];
    double score[MIEN_CHOICES];   /* of two classes: that of the second */
    double amount[MIEN_AMOUNTS];
};

struct mien_choice_tally {
    uint64_t n, no_face, right;
    uint64_t of[MIEN_CHOICE_CLASSES], right_of[MIEN_CHOICE_CLASSES];
    double score;                 /* sum over the n - no_face faces */
};
struct mien_amount_tally { uint64_t n; double sum, squares; }; /* of absolute errors */
struct mien_attribute_tally {
    const char *group;
    uint64_t n, no_face;
    struct mien_choice_tally choice[MIEN_CHOICES];
    struct mien_amount_tally amount[MIEN_AMOUNTS];
};

/* The first tally is that of all rows ("all"), the others are those of the groups by the order of their names. `seen` is in the order of the rows. */
enum mien_code mien_attribute_tallies(const struct mien_attribute_labels *labels, const struct mien_attribute_seen *seen, struct mien_arena *arena,
                                      struct mien_attribute_tally **out, size_t *n, struct mien_err *e) __attribute__((warn_unused_result));

/* Mean absolute error with its 95 % interval: mean +- 1.96 s / sqrt(n), s the sample's standard deviation, not below 0. NAN where n is too small for it. */
struct mien_mean { double mean, low, high; };
struct mien_mean mien_attribute_mean(const struct mien_amount_tally *t);

#endif
