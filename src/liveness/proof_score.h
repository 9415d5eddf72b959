/* The three scores of a proof of life over the frames of a session, and the final one. Contract: 0.50 liveness + 0.25 emotion + 0.25 deepfake, pass at 0.70.
 *
 * liveness: 3-D depth from the mesh, movement that no flat photograph explains (mien_motion_score), and the anti-spoofing networks, of which a clear rejection
 * caps it. emotion: smoothness of transitions between frames, the networks' confidence, and whether what was asked for was seen. deepfake: mean of the
 * networks' probability "genuine" with its steadiness from frame to frame. Formulas and what was measured: docs/liveness.md, "Scores of a live session".
 * Pure: no clock, no networks. */
#ifndef MIEN_LIVENESS_PROOF_SCORE_H
#define MIEN_LIVENESS_PROOF_SCORE_H

#include "liveness/fusion.h"
#include "liveness/look.h"

struct mien_proof_settings {
    struct mien_fusion_settings fusion;
    float weight_liveness, weight_emotion, weight_deepfake; /* 0.50, 0.25, 0.25 */
    float pass;                                             /* 0.70 */
    float deepfake_floor;                                   /* 0.5: a steady score below it ends the session */
};
struct mien_proof_settings mien_proof_settings_default(void);

struct mien_proof_score; /* opaque: a few hundred kilobytes at most while frames come, wiped when freed */
struct mien_proof_score *mien_proof_score_create(const struct mien_proof_settings *s); /* NULL: out of memory */
void mien_proof_score_free(struct mien_proof_score **p);

/* MIEN_WANT_* bits that the next frame is to be analysed for beside MESH, POSE, EYES, BLENDSHAPES: the costly networks run on some frames only. */
unsigned mien_proof_score_wants(const struct mien_proof_score *p);
void mien_proof_score_look(struct mien_proof_score *p, const struct mien_look *look);
/* A challenge has ended; `confidence` as mien_judgement has it. */
void mien_proof_score_challenge(struct mien_proof_score *p, bool is_expression, bool passed, float confidence);

struct mien_proof_scores {
    struct mien_modality liveness, emotion, deepfake; /* absent: not seen enough yet, or the pack has no such network: then its weight goes to the others */
    float final;                                      /* 0 without liveness */
    bool deepfake_detected;                           /* enough frames, and below the floor */
};
struct mien_proof_scores mien_proof_score_now(const struct mien_proof_score *p);

#endif
