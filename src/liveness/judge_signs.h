/* Inner part of the judge: what is read off one face, and how far that is a challenge's gesture against the same face at rest. */
#ifndef MIEN_LIVENESS_JUDGE_SIGNS_H
#define MIEN_LIVENESS_JUDGE_SIGNS_H

#include "liveness/judge.h"

/* False for a face that says nothing: no mesh, or the mesh network does not see it. */
bool mien_signs_of(const struct mien_face *face, struct mien_rest_sample *out);
/* Medians of what the samples have; false below 3. */
bool mien_signs_median(const struct mien_rest *r, struct mien_rest_sample *out);

/* 0 at rest, 1 where it counts as done, beyond when it is done more than that. */
float mien_signs_value(enum mien_challenge c, bool mirrored, const struct mien_rest_sample *rest, const struct mien_rest_sample *now);
/* The largest change of an angle of the head, degrees. */
float mien_signs_head_change(const struct mien_rest_sample *a, const struct mien_rest_sample *b);

/* Whether the nose is shorter or longer, against the distance between the eyes, than a face has it that looks the way it did at rest: a photo that is nodded
 * narrows its eyes, and all else. */
bool mien_signs_foreshortened(const struct mien_rest_sample *rest, const struct mien_rest_sample *now);

/* Whether the face stands elsewhere, or is larger or smaller, than it can have come from one frame to the next. */
bool mien_signs_jump(const struct mien_rest_sample *a, const struct mien_rest_sample *b);

#endif
