/* What the image cues are made of, for calibration and tests. */
#ifndef MIEN_LIVENESS_CUE_MEASURES_H
#define MIEN_LIVENESS_CUE_MEASURES_H

#include "liveness/cues.h"

struct mien_cue_measures {
    float peak;           /* of the spectrum around the face, see spectrum.h; 0 = the face is too small to tell */
    float skin_share;     /* of the face's middle that has a colour of skin, 0..1 */
    float clipped_share;  /* ... that is as bright as it gets in some channel */
    float chroma_spread;  /* standard deviation of Cb and Cr together */
    float proportion;     /* eye distance by eyes-to-mouth distance, as if frontal */
    float aspect;         /* the box's width by its height */
    float gradient;       /* mean gradient of brightness at 128 x 128, 0..360 */
};

enum mien_code mien_cue_measures_take(struct mien_photo *photo, const struct mien_face *face, struct mien_arena *arena, struct mien_cue_measures *m,
                                      struct mien_err *e) MIEN_MUST_CHECK;
/* The measures on the scale of cues; `detection` is the detector's score. */
struct mien_cues mien_cues_of(const struct mien_cue_measures *m, float detection);

#endif
