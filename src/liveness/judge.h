/* Whether a challenge's gesture or expression happens over frames: nod, turn, tilt, mouth, eyes, brows, blink, smile, frown, surprise, neutral, anger.
 *
 * Each is a change against the same face at rest, seen in the mesh's shape, not in one picture: a still photo, another gesture, or a photo that is moved or
 * turned in the plane does not pass. Rules, units, what was measured: docs/challenges.md. Pure: the caller keeps the state; time is that of the frames. */
#ifndef MIEN_LIVENESS_JUDGE_H
#define MIEN_LIVENESS_JUDGE_H

#include <stdbool.h>
#include "liveness/fusion.h"
#include "liveness/look.h"

enum mien_challenge { MIEN_NOD_UP, MIEN_NOD_DOWN, MIEN_TURN_LEFT, MIEN_TURN_RIGHT, MIEN_TILT_LEFT, MIEN_TILT_RIGHT, MIEN_OPEN_MOUTH, MIEN_CLOSE_EYES,
    MIEN_RAISE_EYEBROWS, MIEN_BLINK, MIEN_SMILE, MIEN_FROWN, MIEN_SURPRISED, MIEN_NEUTRAL, MIEN_ANGRY, MIEN_CHALLENGES };
const char *mien_challenge_name(enum mien_challenge c);        /* "nod_up" */
const char *mien_challenge_instruction(enum mien_challenge c); /* "Nod your head up" */
bool mien_challenge_is_gesture(enum mien_challenge c);         /* else an expression */
int mien_challenge_parse(const char *name);                    /* -1: there is none of this name */
/* Whether it can be judged at all with what the installed networks tell (MIEN_WANT_* bits), and which bits its frames need. */
bool mien_challenge_available(enum mien_challenge c, unsigned have);
unsigned mien_challenge_wants(enum mien_challenge c, unsigned have);

/* What is read off one face: degrees, pixels (X, Y: middle of the eyes; EYES: their distance), ratios of the mesh (docs/challenges.md), and the networks'
 * values. */
enum mien_sign { MIEN_SIGN_YAW, MIEN_SIGN_PITCH, MIEN_SIGN_ROLL, MIEN_SIGN_X, MIEN_SIGN_Y, MIEN_SIGN_EYES, MIEN_SIGN_RATIO, MIEN_SIGN_EAR, MIEN_SIGN_NOSE,
    MIEN_SIGN_MOUTH, MIEN_SIGN_BROWS, MIEN_SIGN_CORNERS, MIEN_SIGN_SHAPES, MIEN_SIGN_EMOTIONS = MIEN_SIGN_SHAPES + MIEN_BLENDSHAPES,
    MIEN_SIGNS = MIEN_SIGN_EMOTIONS + MIEN_EMOTIONS };
struct mien_rest_sample { float sign[MIEN_SIGNS]; unsigned have; /* MIEN_WANT_BLENDSHAPES, MIEN_WANT_EXPRESSION */ };

/* The face at rest: medians over the frames before and between challenges. {0} to begin. */
enum { MIEN_REST_FRAMES = 15 };
struct mien_rest { int n, next; struct mien_rest_sample sample[MIEN_REST_FRAMES]; };
/* Takes a frame into account; a ring of the newest. Frames without a face, or with a head that is turned far, are left out. */
void mien_rest_look(struct mien_rest *r, const struct mien_look *look);

/* One challenge while it runs; about 8 KB. */
struct mien_judge {
    enum mien_challenge challenge;
    bool mirrored;            /* as mien_head_direction: left in the image is the person's left */
    struct mien_rest own;     /* gathered from the first frames when no rest was given: nobody obeys within a third of a second */
    struct mien_rest_sample rest;
    bool has_rest;
    int frames, faces;        /* seen so far, and with a face */
    int held;                 /* frames in a row that show it */
    int state;                /* where it stands on its way: enum of judge.c */
    float best;               /* highest confidence so far */
    float base, before, peak, step; /* its way out of rest: last value near rest, that of the frame before, the highest, largest step between frames */
    int64_t first_ms, since_ms, last_ms, moved_ms;
    struct mien_rest_sample last;
    struct mien_movement movement;
};
/* `rest` is copied; NULL or with fewer than 3 frames: none is known yet, and the first frames serve. */
void mien_judge_begin(struct mien_judge *j, enum mien_challenge c, bool mirrored, const struct mien_rest *rest);

struct mien_judgement {
    bool passed;
    float confidence;         /* 0..1: how clearly it is seen now; at least 0.5 when passed */
    float progress;           /* 0..1, for a bar */
    const char *hint;         /* static text for the person ("Turn a little further"); NULL = none */
};
/* After a pass the judge is done: begin the next one. */
struct mien_judgement mien_judge_look(struct mien_judge *j, const struct mien_look *look);

#endif
