/* Gestures over one or several frames: blink, head turn, smile. Pure functions and small state machines; the caller keeps the state and the clock. */
#ifndef MIEN_LIVENESS_GESTURES_H
#define MIEN_LIVENESS_GESTURES_H

#include <stdbool.h>
#include <stdint.h>
#include "face/face.h"

#define MIEN_EAR_CLOSED 0.21f   /* an eye is closed at or below (Soukupova and Cech 2016 use 0.2) */
#define MIEN_YAW_TURNED 0.15f   /* ratio, see mien_head_ratio */
#define MIEN_PITCH_TILTED 0.2f

/* Blinks of one person over frames: closed for at least 1 frame (below 10 frames a second) or 2 (above), counted when reopened. */
struct mien_blink { int closed_frames, count; uint64_t last_ns; float fps; /* smoothed; 0 = unknown */ };
/* True when this frame completes a blink. `now_ns` rises from frame to frame. */
bool mien_blink_frame(struct mien_blink *b, float ear, uint64_t now_ns);

/* The contract's unit-less yaw and pitch, -1..1: yaw < 0 = the nose is left in the image; pitch > 0 = it points up. From the mesh (478 or 468 points), measured
 * along the line of the eyes, so that a tilted head is not a turned one; zeros without a mesh. */
struct mien_head { float yaw, pitch; };
struct mien_head mien_head_ratio(const struct mien_face *face);

enum mien_direction { MIEN_FORWARD, MIEN_LEFT, MIEN_RIGHT, MIEN_UP, MIEN_DOWN };
const char *mien_direction_name(enum mien_direction d); /* "forward", "left", ... */
/* For a mirrored picture (a selfie as its taker sees it) left in the image is the person's left; `mirrored` false swaps left and right. */
enum mien_direction mien_head_direction(struct mien_head h, bool mirrored);
/* The side to which the head is turned, however little: MIEN_LEFT or MIEN_RIGHT; MIEN_FORWARD at yaw 0. */
enum mien_direction mien_head_side(struct mien_head h, bool mirrored);

/* Completed after two frames in a row. */
struct mien_turns { int left_frames, right_frames; bool left_done, right_done; };
void mien_turns_frame(struct mien_turns *t, enum mien_direction d);

/* Smile 0..100 of a face with MIEN_WANT_EXPRESSION (and, where the pack has them, MIEN_WANT_BLENDSHAPES). How the two are put together: docs/challenges.md. */
float mien_smile_score(const struct mien_face *face);
/* All emotions in percent: happy is the smile score, the others share the rest in the network's proportions. Returns the index of the largest. */
int mien_smile_emotions(const struct mien_face *face, float percent[MIEN_EMOTIONS]);

#endif
