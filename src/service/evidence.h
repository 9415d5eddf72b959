/* Photos as evidence that somebody did what a challenge asked for: one way of judging for all routes. Rules and measurements: docs/challenges.md. */
#ifndef MIEN_SERVICE_EVIDENCE_H
#define MIEN_SERVICE_EVIDENCE_H

#include "liveness/judge.h"
#include "service/call.h"

/* The challenges that single photos can show, as a CHOICE's list. */
#define MIEN_EVIDENCE_CHALLENGES "smile|blink|turn_left|turn_right"

#define MIEN_ERROR_NO_BASELINE_FACE "baseline_face_not_detected"
#define MIEN_ERROR_NO_FACE "face_not_detected"
#define MIEN_ERROR_DIFFERENT_PERSON "different_person"
#define MIEN_ERROR_NO_SMILE "smile_not_detected"
#define MIEN_ERROR_LITTLE_CHANGE "insufficient_emotion_change"

/* What of a face is needed to judge. */
unsigned mien_evidence_wants(const struct mien_call *c, enum mien_challenge challenge);

/* `error` NULL: the photo shows it. `score`: the smile, EAR or yaw, to so many decimals; NAN: not known. */
struct mien_evidence { const char *error; double score; int decimals; };
struct mien_evidence mien_evidence_judge(const struct mien_face *face, enum mien_challenge challenge, bool mirrored);

/* Several photos of one person and, unless NULL, a baseline among them: each must show a face and the same person, one of them the challenge. A smile must rise
 * over the baseline; of several photos of a blink one must show open eyes. *error NULL: passed. */
struct mien_evidence_photos { const struct mien_blob *baseline, *image; int images; bool mirrored; };
enum mien_code mien_evidence_several(struct mien_call *c, const struct mien_evidence_photos *photos, enum mien_challenge challenge, const char **error,
                                     struct mien_err *e) MIEN_MUST_CHECK;

#endif
