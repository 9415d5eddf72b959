/* The installed models: manifest.json read, checked and turned into networks that are opened on first use.
 *
 * The manifest's grammar is docs/models.md. A pack belongs to the process; all threads share it. Networks open lazily under a
 * lock, so a process that only detects never loads the recogniser. */
#ifndef MIEN_FACE_MODELS_H
#define MIEN_FACE_MODELS_H

#include <stdbool.h>
#include <stdint.h>
#include "engine/engine.h"
#include "image/warp.h"

enum mien_role { MIEN_ROLE_DETECT, MIEN_ROLE_EMBED, MIEN_ROLE_LANDMARKS, MIEN_ROLE_LANDMARKS68, MIEN_ROLE_LANDMARKS106, MIEN_ROLE_IRIS,
    MIEN_ROLE_BLENDSHAPES, MIEN_ROLE_EXPRESSION, MIEN_ROLE_AGE_GENDER, MIEN_ROLE_SPOOF, MIEN_ROLE_DEEPFAKE, MIEN_ROLE_QUALITY, MIEN_ROLE_COUNT };
const char *mien_role_name(enum mien_role r); /* "detect", "embed", ... as in manifest "roles" */

enum mien_crop_kind {
    MIEN_CROP_NONE,
    MIEN_CROP_LETTERBOX,   /* whole picture, top left of a black canvas */
    MIEN_CROP_CENTER_SQUARE, /* whole picture padded to a centred black square */
    MIEN_CROP_ALIGN,       /* similarity transform of points to a template */
    MIEN_CROP_BOX,         /* square of `scale` x max(w,h) about the box centre, optionally rotated to level eyes */
    MIEN_CROP_FIT_BOX,     /* box enlarged by `scale`, shifted to stay inside the picture (MiniFASNet) */
    MIEN_CROP_POINTS       /* coordinates of mesh points, not pixels (blendshapes) */
};
enum mien_point_set { MIEN_POINTS_FIVE, MIEN_POINTS_THREE /* eyes, mouth centre */, MIEN_POINTS_LANDMARKS68 };

struct mien_crop_rule {
    enum mien_crop_kind kind;
    float scale;                 /* BOX, FIT_BOX */
    float shift_y;               /* BOX: centre moved down by shift_y * side before scaling */
    bool rotate;                 /* BOX: level the eye line */
    enum mien_border border;
    enum mien_filter filter;
    enum mien_point_set points;  /* ALIGN */
    int n_points; int index[8]; float template_xy[16]; /* ALIGN: in input pixels */
    int n_mesh; int *mesh;       /* POINTS: mesh indices in order; owned by the pack */
};

enum mien_decoder { MIEN_DECODER_NONE, MIEN_DECODER_SCRFD, MIEN_DECODER_YUNET, MIEN_DECODER_RETINAFACE, MIEN_DECODER_BLAZEFACE, MIEN_DECODER_SSD };

/* As many as one model may have. */
enum { MIEN_MAX_THRESHOLDS = 8, MIEN_MAX_MEASURED = 16 };

/* A figure that was measured with a model (manifest "measured"). */
struct mien_measured {
    char measure[48], set[96], unit[12], conditions[128]; /* unit: rate (0..1), degrees, years, points; conditions may be "" */
    uint64_t n;
    double value, low, high;             /* low, high: 95 % interval */
    bool saved;                          /* on this machine */
};

/* Of a recognition model, with faces found by one detector (manifest "threshold"). */
struct mien_match_threshold {
    float similarity, fmr;               /* cosine, and the false match rate that was measured at it; 0 when unmeasured */
    float slope;                         /* confidence = 1 / (1 + exp(-slope * (similarity - threshold))) */
    char detector[64];                   /* "" when the manifest does not say */
    bool saved;                          /* measured on this machine */
    int n_curve;                         /* 0, or 2 and more: error rates by rising similarity */
    struct mien_rates { float similarity, fmr, fnmr; } curve[64];
};

struct mien_model {
    char id[64], file[256], task[32], licence[256], source[256], obtained_from[256], sha256[65];
    bool f32_only;                       /* manifest "precision": "f32" */
    int width, height;                   /* input size used; detectors: the first of sizes[] */
    struct mien_tensor_spec spec;
    struct mien_crop_rule crop;
    /* detectors */
    enum mien_decoder decoder;
    int n_sizes, sizes[6];               /* tried in order while nothing is found (square); 1 entry for fixed inputs */
    float score_threshold, nms_iou;
    int n_levels; struct { int stride, n_anchors; float anchor[8]; } level[4]; /* anchor sizes in pixels where the decoder has them */
    /* embeddings */
    int dim;
    int n_thresholds; struct mien_match_threshold *thresholds; /* one a detector; owned by the pack */
    const struct mien_match_threshold *matching; /* the one of the pack's detector, else the first */
    float threshold, threshold_fmr, calibration_slope; /* of it, for short */
    bool threshold_foreign;              /* it was measured with another detector than the pack's */
    /* landmarks106 */
    bool points_signed;                  /* coordinates are -1..1 over the input, else 0..1 */
    /* classifiers */
    int n_labels; char (*label)[32];     /* owned by the pack */
    int live_index;                      /* spoof: which output is "live"; deepfake: which is "genuine" */
    bool softmax;                        /* outputs are logits: apply softmax (n > 1) or sigmoid (n = 1) */
    float weight;                        /* in an ensemble; default 1 */
    int n_outputs; struct { char role[24], name[64]; } output[12]; /* manifest "outputs": role -> ONNX output name */
    int n_measured; struct mien_measured *measured; /* owned by the pack */
    bool installed;                      /* the file is there */
};
bool mien_model_has_output(const struct mien_model *m, const char *role);
int mien_model_output(const struct mien_model *m, const char *role, const struct mien_net *net); /* output index of a role; -1 = none */

struct mien_models; /* opaque */

struct mien_models_settings { enum mien_precision precision; };

/* `dir` holds manifest.json and the ONNX files it names. Verifies structure, not hashes (mien models check does that). */
enum mien_code mien_models_open(const char *dir, const struct mien_models_settings *s, struct mien_models **out, struct mien_err *e) MIEN_MUST_CHECK;
/* From text, for tests and fuzzing; `dir` is where files would lie. */
enum mien_code mien_models_parse(const char *json, size_t n, const char *dir, const struct mien_models_settings *s,
                                 struct mien_models **out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_models_free(struct mien_models **m);

const char *mien_models_pack(const struct mien_models *m);  /* "standard", "npm", ... */
const char *mien_models_dir(const struct mien_models *m);
int mien_models_count(const struct mien_models *m);
const struct mien_model *mien_models_at(const struct mien_models *m, int i);
const struct mien_model *mien_models_find(const struct mien_models *m, const char *id);
/* i-th model that serves a role, NULL past the end (an ensemble has several). */
const struct mien_model *mien_models_role(const struct mien_models *m, enum mien_role role, int i);
/* The opened network; opens it when this is the first use. Thread-safe. MIEN_E_MODEL_MISSING names what to install. */
enum mien_code mien_models_net(struct mien_models *m, const struct mien_model *model, struct mien_net **net, struct mien_err *e) MIEN_MUST_CHECK;

/* How often the i-th model's network has run on faces and photos so far, and for how long. Thread-safe. */
struct mien_model_usage { uint64_t runs, ns; };
struct mien_model_usage mien_models_usage(const struct mien_models *m, int i);

#endif
