/* The verdict on one photo's liveness, shared by /liveness, /antispoof, /verify and /analyze. */
#ifndef MIEN_SERVICE_LIVENESS_ANSWER_H
#define MIEN_SERVICE_LIVENESS_ANSWER_H

#include "liveness/cues.h"
#include "service/call.h"

enum { MIEN_MAX_ISSUES = 8 };

struct mien_issues { const char *code[MIEN_MAX_ISSUES]; int n; };
void mien_issue_add(struct mien_issues *i, const char *code); /* once */

struct mien_live_verdict {
    const struct mien_face *face; /* the primary one; NULL without a face: the rest is then 0, issues say no_face */
    int faces;
    bool is_real;      /* exactly one face, no issue, the networks' score at or above the threshold (issue spoof_detected) */
    bool is_live;      /* confidence above MIEN_LIVE_CONFIDENCE */
    float antispoof;   /* the networks' score */
    float confidence;  /* networks and image cues together */
    struct mien_cues cues;
    struct mien_issues issues;
};

/* Analyses a selfie: `wants` besides those that the verdict needs. MIEN_E_MODEL_MISSING without anti-spoofing networks. */
enum mien_code mien_live_judge(struct mien_call *c, const struct mien_blob *image, const char *which, double threshold, unsigned wants,
                               struct mien_faces *found, struct mien_live_verdict *out, struct mien_err *e) MIEN_MUST_CHECK;

/* MIEN_E_MODEL_MISSING without anti-spoofing networks. */
enum mien_code mien_live_networks(const struct mien_call *c, struct mien_err *e) MIEN_MUST_CHECK;
/* What a face must have been analysed with for mien_live_confidence. */
unsigned mien_live_wants(const struct mien_call *c);
/* The confidence of one face: networks and image cues together. */
enum mien_code mien_live_confidence(struct mien_call *c, struct mien_photo *photo, const struct mien_face *face, float *confidence,
                                    struct mien_err *e) MIEN_MUST_CHECK;

/* `key: {is_live, confidence, antispoof_score, checks}` of one face that was analysed with MIEN_WANT_SPOOF; null without the networks. */
enum mien_code mien_put_face_liveness(struct mien_call *c, const char *key, struct mien_photo *photo, const struct mien_face *face,
                                      struct mien_err *e) MIEN_MUST_CHECK;

#endif
