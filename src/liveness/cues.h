/* Image cues of liveness: what one photo shows of a screen, a print or a cut-out, each as 0 (like an attack) to 1 (like a live capture), and their
 * fusion with the anti-spoofing networks. How each is measured, on what it was calibrated and what it does not catch: docs/liveness.md. */
#ifndef MIEN_LIVENESS_CUES_H
#define MIEN_LIVENESS_CUES_H

#include <stdbool.h>
#include "face/face.h"

struct mien_cues {
    float screen_pattern;       /* periodic peaks in the face's spectrum (moire, pixel grid): 1 = none, 0.5 = the face is too small to tell */
    float color_distribution;   /* skin colours: spread, clipping, cast */
    float face_proportion;      /* box and landmark proportions of a face that is neither bent nor stretched */
    float detection_confidence; /* the detector's */
    float texture_complexity;   /* detail of skin at the face's scale: 0 = flat or blurred */
};

/* Looks at one face of a photo. `arena` is for work memory. */
enum mien_code mien_cues_measure(struct mien_photo *photo, const struct mien_face *face, struct mien_arena *arena, struct mien_cues *out,
                                 struct mien_err *e) MIEN_MUST_CHECK;

/* Calibrated probability-like confidence 0..1 that this is a live capture; strictly increasing in every cue and in `antispoof` (the networks' score). */
float mien_liveness_confidence(const struct mien_cues *cues, float antispoof);

/* The gallery document's rule: live when the fused confidence is above this. */
#define MIEN_LIVE_CONFIDENCE 0.55f

#endif
