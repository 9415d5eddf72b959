/* The fusion engine's verdict on frames of one person against an enrolled user, shared by /verify with one photo and with several frames (do_fusion.c). */
#ifndef MIEN_SERVICE_FUSED_H
#define MIEN_SERVICE_FUSED_H

#include "liveness/fusion.h"
#include "service/call.h"

/* Of one frame. Without anti-spoofing networks nothing is judged. */
struct mien_fused {
    bool judged;
    struct mien_liveness liveness;
    float score; /* 0..1: what mien_decide looks at */
    enum mien_decision decision;
    const char *message;
};

/* The wants of a frame, as far as the pack has networks for them. */
unsigned mien_fused_wants(const struct mien_call *c);

/* A photo by itself: `confidence` is the calibrated one of its similarity, `match` whether it reached the threshold, without which nothing is accepted. */
enum mien_code mien_fused_photo(struct mien_call *c, struct mien_photo *photo, const struct mien_face *face, float confidence, bool match,
                                struct mien_fused *out, struct mien_err *e) MIEN_MUST_CHECK;

/* success, decision, message, liveness_score, fusion_score; false and nulls when nothing was judged. */
void mien_put_fused(struct mien_call *c, const struct mien_fused *f);

#endif
