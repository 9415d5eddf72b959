/* Judging photos: the rules are those of /challenge/validate-multi; a smile against a baseline rises as in /challenge/validate. */
#include "service/evidence.h"

#include <math.h>
#include "liveness/gestures.h"
#include "service/person.h"

static const double LEAST_HAPPY = 30.0, LEAST_RISE = 20.0;

unsigned mien_evidence_wants(const struct mien_call *c, enum mien_challenge challenge)
{
    if (challenge == MIEN_SMILE) return mien_person_smile_wants(c);
    return challenge == MIEN_BLINK ? MIEN_WANT_EYES : MIEN_WANT_MESH;
}

struct mien_evidence mien_evidence_judge(const struct mien_face *face, enum mien_challenge challenge, bool mirrored)
{
    if (challenge == MIEN_SMILE) {
        const double smile = (double)mien_smile_score(face);
        return (struct mien_evidence){smile >= LEAST_HAPPY ? NULL : MIEN_ERROR_NO_SMILE, smile, 1};
    }
    if (challenge == MIEN_BLINK) return (struct mien_evidence){face->ear < MIEN_EAR_CLOSED ? NULL : "blink_not_detected", (double)face->ear, 4};
    const struct mien_head head = mien_head_ratio(face);
    const enum mien_direction asked = challenge == MIEN_TURN_LEFT ? MIEN_LEFT : MIEN_RIGHT;
    return (struct mien_evidence){mien_head_direction(head, mirrored) == asked ? NULL : "turn_not_detected", (double)head.yaw, 4};
}

/* What the photos that were looked at say together. */
struct sum {
    enum mien_challenge challenge;
    const struct mien_face *first; /* whom the others must show */
    bool same, eyes_open;
    double baseline, best; /* scores; NAN: none */
    const char *error;     /* of the gesture: NULL as soon as one photo shows it */
};

static enum mien_code add(struct mien_call *c, struct sum *s, const struct mien_face *face, bool is_baseline, bool mirrored, struct mien_err *e)
{
    bool same = true;
    if (s->first != NULL) MIEN_TRY(mien_person_same(c, s->first, face, &same, e));
    if (s->first == NULL) s->first = face;
    s->same = s->same && same;
    const struct mien_evidence shown = mien_evidence_judge(face, s->challenge, mirrored);
    if (s->challenge == MIEN_BLINK && shown.error != NULL) s->eyes_open = true;
    if (is_baseline) {
        s->baseline = shown.score;
        return MIEN_OK;
    }
    if (shown.error == NULL || isnan(s->best)) s->error = shown.error;
    s->best = fmax(s->best, shown.score);
    return MIEN_OK;
}

static const char *verdict(const struct sum *s, int photos)
{
    if (!s->same) return MIEN_ERROR_DIFFERENT_PERSON;
    if (s->error != NULL) return s->error;
    if (s->challenge == MIEN_SMILE && s->best - s->baseline < LEAST_RISE) return MIEN_ERROR_LITTLE_CHANGE; /* false without a baseline */
    return s->challenge == MIEN_BLINK && photos > 1 && !s->eyes_open ? "open_eyes_not_detected" : NULL;
}

enum mien_code mien_evidence_several(struct mien_call *c, const struct mien_evidence_photos *p, enum mien_challenge challenge, const char **error,
                                     struct mien_err *e)
{
    struct sum sum = {.challenge = challenge, .same = true, .baseline = NAN, .best = NAN};
    const bool compared = p->baseline != NULL || p->images > 1;
    const unsigned wants = mien_evidence_wants(c, challenge) | (compared ? (unsigned)MIEN_WANT_EMBEDDING : 0u);
    for (int i = p->baseline != NULL ? -1 : 0; i < p->images; i++) {
        struct mien_face *face;
        MIEN_TRY(mien_person_look(c, i < 0 ? p->baseline : &p->image[i], i < 0 ? "baselineImage" : "image", wants, &face, e));
        *error = i < 0 ? MIEN_ERROR_NO_BASELINE_FACE : MIEN_ERROR_NO_FACE;
        if (face == NULL) return MIEN_OK;
        MIEN_TRY(add(c, &sum, face, i < 0, p->mirrored, e));
    }
    *error = verdict(&sum, p->images + (p->baseline != NULL));
    return MIEN_OK;
}
