/* Liveness over several frames of one person, and the fusion of similarity, depth, liveness and motion into a decision. Rules: docs/liveness.md; weights and
 * thresholds have the names of the fusion engine's document. No networks are run here: the frames come analysed. */
#ifndef MIEN_LIVENESS_FUSION_H
#define MIEN_LIVENESS_FUSION_H

#include "image/image.h"
#include "liveness/cues.h"

struct mien_fusion_settings {
    float weight_rgb, weight_depth, weight_liveness, weight_motion;      /* 0.40, 0.25, 0.20, 0.15 */
    float accept, reject;                                                /* 0.85, 0.45 */
    float live_depth, live_motion, live_blink, live_texture, live_antispoof; /* 0.25, 0.35, 0.25, 0.15; 0.50 */
    float texture_spoof_threshold;                                       /* 0.35: texture below it caps liveness at 0.4 */
    float depth_consistency_threshold;                                   /* 0.12: relief of the nose, in distances between the eyes, that scores 0.5 */
    float micro_motion_min_variance;                                     /* 1e-4: mean square movement of lids and lips, in squares of that distance,
                                                                          * that scores 0.5 where there is no jitter */
    float enroll_liveness, verify_liveness;                              /* 0.5, 0.4: frames below are not used */
    int enroll_min_samples;                                              /* 3 */
};
struct mien_fusion_settings mien_fusion_settings_default(void);

/* A score that may be missing. */
struct mien_modality { bool present; float score; };

/* What is known of one frame. */
struct mien_frame {
    const struct mien_face *face;        /* MESH, EYES, POSE and SPOOF as far as the pack has them */
    struct mien_cues cues;               /* of this frame */
    int photo_width, photo_height;       /* pixels of the upright photo; needed where there is a sensor's depth */
    const struct mien_depth_map *depth;  /* of a sensor, over the same view as the photo (any size: positions scale), or NULL */
};

struct mien_liveness {
    struct mien_modality depth, motion, blink, texture, antispoof;
    float score; /* 0..1, over what is present */
    bool capped; /* by texture, by the anti-spoofing networks or by a sensor that sees a flat face: whatever the other parts say, the score stays low */
};

/* Frame `i` of n, judged by itself (depth, texture, anti-spoofing) and by the frames up to it (motion, blink: at least 2 frames). Frames are of one person in
 * the order in which they were taken; no times are needed. */
struct mien_liveness mien_liveness_of_frame(const struct mien_fusion_settings *s, const struct mien_frame *frames, int n, int i);

/* Score and caps of parts that are known already, over those that are present: fills l->score and l->capped. */
void mien_liveness_weigh(const struct mien_fusion_settings *s, struct mien_liveness *l);

/* Weighted mean over what is present; 0 when nothing is, or nothing that weighs. */
struct mien_weighed { struct mien_modality value; float weight; };
float mien_mean_of_present(const struct mien_weighed *part, int n);

/* 0..1: movement of the face that no moving, turning or bending of a flat photograph explains. Absent below 2 frames or without meshes. */
struct mien_modality mien_motion_score(const struct mien_fusion_settings *s, const struct mien_frame *frames, int n);
/* The same, frame by frame: sums over neighbouring frames, and the newest frame's points. {0} to begin; frames without a good mesh are left out. */
enum { MIEN_MOVEMENT_POINTS = 468 };
struct mien_movement { double moving, still, warp; int pairs; bool known; float x[MIEN_MOVEMENT_POINTS], y[MIEN_MOVEMENT_POINTS]; };
void mien_movement_add(struct mien_movement *m, const struct mien_face *face);
struct mien_modality mien_movement_score(const struct mien_fusion_settings *s, const struct mien_movement *m);
/* 0..1: an eye closed and opened again, or the reverse, in the same head pose; half of that counts half. Absent when there is none in fewer than 8 frames:
 * that says nothing. */
struct mien_modality mien_blink_score(const struct mien_frame *frames, int n);
/* 0..1: the face is not flat. From the sensor's map where there is one, else from the mesh. */
struct mien_modality mien_depth_score(const struct mien_fusion_settings *s, const struct mien_frame *frame);

/* Descriptor of a face's shape out of a sensor's depth map: heights above the face's own mean plane, sampled on a grid that the five points align; unit length.
 * False when too much of the face has no depth. */
enum { MIEN_DEPTH_DIM = 256 };
bool mien_depth_descriptor(const struct mien_depth_map *depth, int photo_width, int photo_height, const struct mien_face *face, float out[MIEN_DEPTH_DIM]);
/* Calibrated confidence 0..1 of two descriptors' cosine. */
float mien_depth_confidence(float cosine);

enum mien_decision { MIEN_REJECT, MIEN_RE_VERIFY, MIEN_ACCEPT };
const char *mien_decision_name(enum mien_decision d); /* "reject", "re_verify", "accept" */

/* Weighted mean over the present parts. `rgb` and `depth` are confidences. */
float mien_fuse(const struct mien_fusion_settings *s, struct mien_modality rgb, struct mien_modality depth, struct mien_modality liveness,
                struct mien_modality motion);
enum mien_decision mien_decide(const struct mien_fusion_settings *s, float fused);

#endif
