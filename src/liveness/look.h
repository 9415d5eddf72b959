/* One frame of a live session as the judges see it: analysed, with the time at which it was taken. Photos and faces are borrowed for the call only. */
#ifndef MIEN_LIVENESS_LOOK_H
#define MIEN_LIVENESS_LOOK_H

#include <stdint.h>
#include "face/face.h"

struct mien_look {
    int64_t at_ms;                 /* by the client's stamps: rises from frame to frame; any start */
    int faces;                     /* in the frame */
    const struct mien_face *face;  /* the primary one: MESH, POSE, EYES and BLENDSHAPES always as far as the pack has them, EXPRESSION, SPOOF, DEEPFAKE and
                                    * EMBEDDING when they were asked for (face->have); NULL without a face */
    int width, height;             /* of the frame, pixels */
};

#endif
