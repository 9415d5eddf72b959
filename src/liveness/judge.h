/* Whether a challenge's gesture or expression happens over frames: nod, turn, tilt, mouth, eyes, brows, blink, smile, frown, surprise, neutral, anger.
 *
 * Each is a change against the same face at rest, seen in the mesh's shape, not in one picture: a still photo, another gesture, or a photo that is moved or
 * turned in the plane does not pass. Rules, units, what was measured: docs/challenges.md. Pure: the caller keeps the state; time is that of the frames. */
#ifndef MIEN_LIVENESS_JUDGE_H
#define MIEN_LIVENESS_JUDGE_H

#include <stdbool.h>
#include "liveness/look.h"

enum mien_challenge { MIEN_NOD_UP, MIEN_NOD_DOWN, MIEN_TURN_LEFT, MIEN_TURN_RIGHT, MIEN_TILT_LEFT, MIEN_TILT_RIGHT, MIEN_OPEN_MOUTH, MIEN_CLOSE_EYES,
    MIEN_RAISE_EYEBROWS, MIEN_BLINK, MIEN_SMILE, MIEN_FROWN, MIEN_SURPRISED, MIEN_NEUTRAL, MIEN_ANGRY, MIEN_CHALLENGES };
const char *mien_challenge_name(enum mien_challenge c);        /* "nod_up" */
const char *mien_challenge_instruction(enum mien_challenge c); /* "Nod your head up" */
bool mien_challenge_is_gesture(enum mien_challenge c);         /* else an expression */
int mien_challenge_parse(const char *name);                    /* -1: there is none of this name */

/* The face at rest: medians over the frames before and between challenges. */
struct mien_rest;
enum { MIEN_REST_FRAMES = 15 };
struct mien_rest_sample { float yaw, pitch, roll, ear, mouth, brows; float blendshape[MIEN_BLENDSHAPES]; };
struct mien_rest { int n; struct mien_rest_sample sample[MIEN_REST_FRAMES]; };
/* Takes a frame into account; a ring of the newest. Frames without one face, or with a head that is turned far, are left out. */
void mien_rest_look(struct mien_rest *r, const struct mien_look *look);

struct mien_judge {
    enum mien_challenge challenge;
    bool mirrored;            /* as mien_head_direction: left in the image is the person's left */
    struct mien_rest_sample rest;
    bool has_rest;
    int frames, faces;        /* seen so far, and with one face */
    int held;                 /* frames in a row that show it */
    int state;                /* of the challenge's own steps */
    float best;               /* highest confidence so far */
    int64_t first_ms, since_ms, last_ms;
    float memory[8];          /* the challenge's own */
};
void mien_judge_begin(struct mien_judge *j, enum mien_challenge c, bool mirrored, const struct mien_rest *rest /* NULL: none is known yet */);

struct mien_judgement {
    bool passed;
    float confidence;         /* 0..1: how clearly it is seen now; at least 0.5 when passed */
    float progress;           /* 0..1, for a bar */
    const char *hint;         /* static text for the person ("Turn a little further"); NULL = none */
};
struct mien_judgement mien_judge_look(struct mien_judge *j, const struct mien_look *look);

#endif
