/* Faces in a photo, and everything that can be said about them.
 *
 * mien_face_analyze runs only the networks that the wants need. No I/O, no globals. Scores are in 0..1 unless said; angles are
 * degrees; coordinates are pixels of the upright full-size photo. "left"/"right" of points mean left/right in the IMAGE. */
#ifndef MIEN_FACE_FACE_H
#define MIEN_FACE_FACE_H

#include <stdbool.h>
#include "base/arena.h"
#include "face/models.h"
#include "image/image.h"

enum mien_want {
    MIEN_WANT_BOXES = 0,            /* always: box, score, five points */
    MIEN_WANT_EMBEDDING = 1 << 0,
    MIEN_WANT_MESH = 1 << 1,        /* 478 (or 468) points */
    MIEN_WANT_POSE = 1 << 2,        /* yaw, pitch, roll; from the mesh */
    MIEN_WANT_EYES = 1 << 3,        /* EAR; from the mesh */
    MIEN_WANT_BLENDSHAPES = 1 << 4,
    MIEN_WANT_QUALITY = 1 << 5,     /* CONTRACT formula; needs the pose */
    MIEN_WANT_EXPRESSION = 1 << 6,
    MIEN_WANT_AGE_GENDER = 1 << 7,
    MIEN_WANT_SPOOF = 1 << 8,
    MIEN_WANT_DEEPFAKE = 1 << 9,
    MIEN_WANT_NET_QUALITY = 1 << 10, /* the quality network's own score, where the pack has one */
    MIEN_WANT_LANDMARKS106 = 1 << 11 /* 106 points, where the pack has a network for them */
};

enum { MIEN_MAX_EMBEDDING = 1024, MIEN_MAX_MESH = 478, MIEN_POINTS_106 = 106, MIEN_BLENDSHAPES = 52, MIEN_EMOTIONS = 7 };
/* Order of emotions: neutral, happy, sad, angry, fearful, disgusted, surprised */
extern const char *const mien_emotion_name[MIEN_EMOTIONS];
/* Index of an emotion by its name, or by the nouns of FER2013, AffectNet and RAF-DB ("happiness", "fear", ...); -1 for other words. */
int mien_emotion_index(const char *word);
extern const char *const mien_blendshape_name[MIEN_BLENDSHAPES]; /* "_neutral", "browDownLeft", ... MediaPipe's order */

struct mien_box { float x0, y0, x1, y1; };

/* Formula in quality.c; the parts are 0..1, face_size is the box's area in square pixels. */
struct mien_quality { float score, detection, pose, sharpness, size; float laplacian_variance, face_size; bool is_frontal; };

struct mien_face {
    struct mien_box box;
    float score;              /* detector's confidence */
    float point[10];          /* x,y of: image-left eye, image-right eye, nose tip, image-left mouth corner, image-right mouth corner */
    unsigned have;            /* MIEN_WANT_* bits that were computed */
    float *embedding;         /* dim floats, L2-normalised; in the arena */
    int embedding_dim;
    float *mesh;              /* n x (x,y,z) photo pixels, z in the same scale, smaller = nearer; in the arena */
    int mesh_points;
    float mesh_presence;
    float *points106;         /* MIEN_POINTS_106 x (x,y) photo pixels; in the arena */
    float yaw, pitch, roll;   /* degrees: yaw < 0 the nose points to image left; pitch > 0 the nose points up; roll > 0 the head is clockwise in the image */
    float ear_left, ear_right, ear; /* eye aspect ratio of the image-left / image-right eye and their mean */
    float blendshape[MIEN_BLENDSHAPES];
    struct mien_quality quality;
    float net_quality;
    float emotion[MIEN_EMOTIONS];
    float age, male;          /* years; probability of "male" */
    float live;               /* anti-spoof: probability that this is a live capture (weighted mean of the ensemble) */
    float live_each[4]; int n_live;
    float genuine;            /* deepfake: probability that the face is genuine */
};

struct mien_faces {
    int count;
    struct mien_face *face;   /* by falling box area; face[0] is the PRIMARY face */
    int best;                 /* index of the best-quality face (by detection score x size when quality was not wanted); -1 when none */
    double detect_ms, total_ms;
};

struct mien_face_settings {
    float min_score;      /* 0 = the detector's own threshold */
    int max_faces;        /* analysed beyond detection, largest first; 0 = all; default 0 */
    bool primary_only;    /* run the wants only on face[0] (all faces are still detected) */
    bool best_only;       /* run the wants only on the best face: quality is computed for all when there are several, the other wants for one */
    int detection_size;   /* longer side that the photo is searched at first, a multiple of 32; the detector's smaller sizes follow while nothing is
                           * found; 0 = the detector's own sizes; without effect on detectors of fixed size; default 0 */
    int min_face_px;      /* faces with a shorter side below this are dropped; default 0 */
    bool small_faces;     /* also look for small faces: a second pass on overlapping tiles when the photo is larger than the detector's input
                           * (ID documents); default false */
    bool rotations;       /* also look at the photo turned by 90, 180, 270 degrees (rotated ID portraits): three more passes; of one face's
                           * finds the surest stays. Boxes and points are those of the photo as it is; "left" and "right" of the points then
                           * mean those of the face held upright; default false */
};
#define MIEN_FACE_SETTINGS_DEFAULT ((struct mien_face_settings){0})

/* All results live in `arena`. The photo's and session's memory may be reused by the next call.
 * MIEN_E_MODEL_MISSING when a want needs a model the pack has not. No face is not an error: count 0. */
enum mien_code mien_face_analyze(struct mien_models *models, struct mien_session *session, struct mien_photo *photo, unsigned wants,
                                 const struct mien_face_settings *settings, struct mien_arena *arena, struct mien_faces *out,
                                 struct mien_err *e) MIEN_MUST_CHECK;

/* The picture is the cut of one face: nothing is looked for, each network gets the whole picture as if its own rule had cut it. `wants`:
 * MIEN_WANT_EXPRESSION and MIEN_WANT_AGE_GENDER; MIEN_E_ARG for others and for models that are aligned by 68 landmarks. Box and points of *out
 * say nothing. */
enum mien_code mien_face_of_cut(struct mien_models *models, struct mien_session *session, struct mien_photo *photo, unsigned wants,
                                struct mien_arena *arena, struct mien_face *out, struct mien_err *e) MIEN_MUST_CHECK;

/* The wants that the installed models can answer; 0 without a detector. */
unsigned mien_face_answerable(const struct mien_models *models);

/* Opens the networks that the wants need and the detector, builds their plans for the common shapes and runs each once on nothing, so that the first photo
 * does not pay for it. What the pack has not is left out; what it has and cannot be opened is a failure. */
enum mien_code mien_face_warm(struct mien_models *models, struct mien_session *session, unsigned wants, struct mien_err *e) MIEN_MUST_CHECK;

/* Cosine of two L2-normalised embeddings. */
float mien_similarity_cosine(const float *a, const float *b, int dim);
/* Calibrated 0..1, strictly increasing in similarity, 0.5 at the model's default threshold. */
float mien_match_confidence(const struct mien_model *embed, float similarity);
/* The share of different people whose comparison has at least this similarity, from the calibration curve of the model's threshold: at a point of the curve
 * that point's rate, between two log10(rate) is linear. It never rises with the similarity. NAN outside of the curve, between two points of which one has no
 * false match, and without a curve: never an extrapolation. */
float mien_model_fmr(const struct mien_model *embed, float similarity);

/* ---- rooms' inner parts, used by analyze() and by tests ---- */

/* detect.c: boxes and points of the whole photo; scores at or above the threshold, after NMS, largest first. */
struct mien_detection { struct mien_box box; float score; float point[10]; };
enum mien_code mien_detect(struct mien_models *models, struct mien_session *s, struct mien_photo *photo, const struct mien_face_settings *settings,
                           struct mien_arena *arena, struct mien_detection **out, int *n, struct mien_err *e) MIEN_MUST_CHECK;
/* decode.c: decoders over raw outputs, in pixels of a w x h input; fills `found` (room for max; what is beyond is dropped). Returns how
 * many, or -1 when an output is missing or has not the size that the model's levels ask for. outputs[i] and shapes[i] are the network's
 * outputs, role_index[k] says which of them serves m->output[k] (-1: none). Scores at or above `threshold`; nothing non-finite comes out. */
int mien_decode(const struct mien_model *m, int w, int h, const float *const *outputs, const struct mien_shape *shapes, const int *role_index,
                float threshold, struct mien_detection *found, int max);
/* nms.c: greedy non-maximum suppression in place by falling score (a box goes when its IoU with a kept one is above `iou`); returns how many are kept. */
int mien_nms(struct mien_detection *d, int n, float iou);

/* crop.c: writes the network's input tensor for one face (kinds ALIGN, BOX, FIT_BOX). `landmarks68` may be NULL unless the rule needs it.
 * `to_photo` (may be NULL) receives the map from input pixels to photo pixels. */
enum mien_code mien_crop_face(const struct mien_model *m, struct mien_photo *photo, const struct mien_detection *face, const float *landmarks68,
                              float *tensor, struct mien_affine *to_photo, struct mien_err *e) MIEN_MUST_CHECK;

/* pose.c, eyes.c, quality.c: pure functions over points. `roi_roll_deg` is the clockwise rotation of the frame that the mesh is given in;
 * 0 for meshes in photo pixels (what mien_face holds). Signs of the angles as in struct mien_face. */
void mien_pose_from_mesh(const float *mesh, float roi_roll_deg, float *yaw, float *pitch, float *roll);
void mien_pose_from_points(const float point[10], float *yaw, float *pitch, float *roll); /* coarse, when there is no mesh */
/* Labels of AFLW2000-3D and 300W-LP in degrees as the product's angles: out[0..2] = yaw, pitch, roll; (-yaw, pitch, roll) while one axis is turned. */
void mien_pose_from_aflw(double pitch, double yaw, double roll, double out[3]);
float mien_ear(const float *mesh, bool image_left);
struct mien_quality mien_quality_of(float detection, float yaw, float pitch, float roll, float laplacian_variance, float area);

#endif
