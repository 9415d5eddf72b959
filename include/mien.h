/* mien: faces in photos, who they are and whether they are alive, as a C library.
 *
 *     struct mien_settings s = mien_settings_default();
 *     struct mien *m;
 *     struct mien_error err;
 *     if (mien_open(&s, &m, &err) != MIEN_STATUS_OK) { fprintf(stderr, "%s\n", err.text); return 2; }
 *     struct mien_comparison c;
 *     if (mien_compare(m, jpeg_a, size_a, jpeg_b, size_b, &c, &err) == MIEN_STATUS_OK)
 *         printf("%s (similarity %.3f)\n", c.match ? "same person" : "different persons", c.similarity);
 *     mien_close(&m);
 *
 * Threads: one context serves any number of threads at once; results and errors belong to the caller.
 * Photos: encoded JPEG, PNG, WebP, BMP or GIF (first frame), or decoded RGB pixels. Nothing is written to disk and nothing leaves
 * the process. Coordinates are pixels of the upright photo (EXIF orientation applied), x to the right, y down; "left" and
 * "right" of points mean left and right in the image. Scores are in 0..1 unless said.
 * Link with libmien.a and, after it: -ldnnl -lgomp -ljpeg -lpng16 -lz -lwebp -lgif -ljansson -lpthread -lm. */
#ifndef MIEN_H
#define MIEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIEN_VERSION_MAJOR 0
#define MIEN_VERSION_MINOR 1
#define MIEN_VERSION_PATCH 0
#define MIEN_VERSION "0.1.0"

#if defined(__GNUC__)
#define MIEN_API __attribute__((visibility("default")))
#else
#define MIEN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Version of the library that was linked, e.g. "0.1.0". */
MIEN_API const char *mien_version(void);

/* ---- errors ---- */

enum mien_status {
    MIEN_STATUS_OK = 0,
    MIEN_STATUS_INVALID_ARGUMENT = 1,  /* NULL where something is needed, a value out of its range */
    MIEN_STATUS_NO_MEMORY = 2,
    MIEN_STATUS_IO = 3,                /* a file could not be read */
    MIEN_STATUS_UNSUPPORTED_IMAGE = 4, /* not a picture of a type that is taken */
    MIEN_STATUS_INVALID_IMAGE = 5,     /* truncated or damaged picture */
    MIEN_STATUS_TOO_LARGE = 6,         /* more bytes, pixels or memory than the settings allow */
    MIEN_STATUS_NO_FACE = 7,           /* an operation that needs a face found none */
    MIEN_STATUS_MODEL_UNAVAILABLE = 8, /* a model that the call needs is not installed */
    MIEN_STATUS_INVALID_MODEL = 9,     /* the manifest or a model file is wrong */
    MIEN_STATUS_INTERNAL = 10
};

/* Filled by every call that fails, when it is not NULL. No image data, no embedding. */
struct mien_error {
    enum mien_status status;
    char text[256]; /* one line for a person */
};

/* Stable snake_case name of a status: "ok", "no_face", ... never NULL. */
MIEN_API const char *mien_status_name(enum mien_status status);

/* ---- the context ---- */

enum mien_arithmetic {
    MIEN_ARITHMETIC_AUTO = 0, /* bfloat16 where the processor has it natively and the model keeps its accuracy, else float32 */
    MIEN_ARITHMETIC_FLOAT32 = 1
};

struct mien_settings {
    const char *models_dir;    /* holds manifest.json and the ONNX files; default "models/local" */
    enum mien_arithmetic arithmetic; /* default AUTO */
    int max_sessions;          /* calls that compute at the same time, 1..256, others wait; 0 (default) = number of processors */
    size_t max_image_bytes;    /* encoded size; default 10 MiB */
    uint64_t max_image_pixels; /* width * height, checked before decoding; default 50 million */
    float min_score;           /* detections below are dropped, 0..1; 0 (default) = the detector's own threshold */
    int min_face_px;           /* faces whose shorter side is below are dropped; default 0 */
    int max_faces;             /* faces that are analysed beyond detection, largest first; 0 (default) = all */
    bool small_faces;          /* look for small faces in a second pass (ID documents); default false */
    bool rotations;            /* retry turned by 90, 180, 270 degrees when nothing is found; default false */
};

MIEN_API struct mien_settings mien_settings_default(void);

struct mien; /* a context: models and work memory */

/* Opens the models that manifest.json names; each network is loaded when it is first used. `settings` may be NULL (defaults).
 * *out is NULL on failure. */
MIEN_API enum mien_status mien_open(const struct mien_settings *settings, struct mien **out, struct mien_error *error);

/* No call may still be running. Accepts NULL and pointer to NULL; sets *m to NULL. */
MIEN_API void mien_close(struct mien **m);

/* ---- analysis ---- */

/* What mien_analyze_* is to find out, or'ed together; 0 = boxes, scores and five points only. */
enum mien_get {
    MIEN_GET_EMBEDDING = 1 << 0,
    MIEN_GET_MESH = 1 << 1,
    MIEN_GET_POSE = 1 << 2,
    MIEN_GET_EYES = 1 << 3,
    MIEN_GET_BLENDSHAPES = 1 << 4,
    MIEN_GET_QUALITY = 1 << 5,
    MIEN_GET_EXPRESSION = 1 << 6,
    MIEN_GET_AGE_GENDER = 1 << 7,
    MIEN_GET_SPOOF = 1 << 8,
    MIEN_GET_DEEPFAKE = 1 << 9,
    MIEN_GET_NET_QUALITY = 1 << 10
};

#define MIEN_BLENDSHAPE_COUNT 52
#define MIEN_EMOTION_COUNT 7
#define MIEN_LIVE_MODELS 4

/* One face. Members of what was not computed (see `have`) are 0 or NULL. */
struct mien_result_face {
    unsigned have;           /* MIEN_GET_* that were computed, including what others depend on */
    float box[4];            /* x0, y0, x1, y1 */
    float score;             /* the detector's */
    float points[10];        /* x, y of: image-left eye, image-right eye, nose tip, image-left and image-right mouth corner */
    const float *embedding;  /* embedding_size floats of length 1 */
    int embedding_size;
    const float *mesh;       /* mesh_points x (x, y, z); z in pixels too, smaller = nearer */
    int mesh_points;
    float mesh_presence;     /* probability that the mesh lies on a face */
    float yaw, pitch, roll;  /* degrees: yaw < 0 the nose points to image left; pitch > 0 up; roll > 0 clockwise in the image */
    float eye_left, eye_right; /* eye aspect ratio of the image-left and image-right eye; about 0.3 open, below 0.21 closed */
    float blendshapes[MIEN_BLENDSHAPE_COUNT]; /* named by mien_blendshape */
    float quality;           /* 0.30 detection + 0.25 pose + 0.25 sharpness + 0.20 size */
    float sharpness;         /* variance of the Laplacian of the gray face */
    bool frontal;            /* |yaw| < 30, |pitch| < 25, |roll| < 20 */
    float net_quality;       /* the quality network's own score */
    float emotions[MIEN_EMOTION_COUNT]; /* probabilities, named by mien_emotion */
    float age;               /* years */
    float male;              /* probability */
    float live;              /* probability that this is a live capture and not a print, screen or mask */
    float live_each[MIEN_LIVE_MODELS]; /* the same by each network of the ensemble */
    int live_models;
    float genuine;           /* probability that the face was not generated or swapped: a weak hint */
};

struct mien_result {
    int width, height;        /* of the upright photo */
    int face_count;
    const struct mien_result_face *faces; /* by falling box area: faces[0] is the primary face */
    int best;                 /* the face of best quality (of largest score x area when quality was not asked for); -1 = no face */
    double detect_ms, total_ms;
};

/* Names by index, NULL out of range: "_neutral", "browDownLeft", ... and "neutral", "happy", ... */
MIEN_API const char *mien_blendshape(int i);
MIEN_API const char *mien_emotion(int i);

/* Finds the faces of one photo and answers `get` (MIEN_GET_* or'ed) for each. No face is not an error: face_count 0.
 * *out is to be released with mien_result_free; NULL on failure. `error` may be NULL. */
MIEN_API enum mien_status mien_analyze_bytes(struct mien *m, const void *bytes, size_t size, unsigned get, struct mien_result **out,
                                             struct mien_error *error);

/* The same for decoded pixels: 8-bit RGB, upright, `stride` bytes from row to row (>= 3 * width). */
MIEN_API enum mien_status mien_analyze_pixels(struct mien *m, const uint8_t *rgb, int width, int height, size_t stride, unsigned get,
                                              struct mien_result **out, struct mien_error *error);

/* Wipes and frees. Accepts NULL and pointer to NULL; sets *r to NULL. */
MIEN_API void mien_result_free(struct mien_result **r);

/* ---- recognition ---- */

/* Number of floats of an embedding; 0 when no recognition model is installed. */
MIEN_API int mien_embedding_size(const struct mien *m);
/* Identifies the recognition model; embeddings of different models must not be compared. NULL when there is none. */
MIEN_API const char *mien_embedding_model(const struct mien *m);

/* Embedding of the best face: `room` floats at `out`, at least mien_embedding_size. MIEN_STATUS_NO_FACE when there is none.
 * `faces` (may be NULL) receives how many faces the photo shows. */
MIEN_API enum mien_status mien_embed(struct mien *m, const void *bytes, size_t size, float *out, size_t room, int *faces,
                                     struct mien_error *error);

struct mien_comparison {
    float similarity; /* cosine, -1..1 */
    float threshold;  /* the model's default, measured at a false match rate of `threshold_fmr` (0 = not measured) */
    float threshold_fmr;
    float confidence; /* 0..1, strictly increasing in similarity, 0.5 at the threshold */
    bool match;       /* similarity >= threshold */
    int faces[2];     /* seen in the first and the second photo; 0 without photos */
};

/* Compares the best faces of two photos. */
MIEN_API enum mien_status mien_compare(struct mien *m, const void *bytes_a, size_t size_a, const void *bytes_b, size_t size_b,
                                       struct mien_comparison *out, struct mien_error *error);

/* Compares two embeddings of the installed model, each of mien_embedding_size floats. */
MIEN_API enum mien_status mien_compare_embeddings(const struct mien *m, const float *a, const float *b, struct mien_comparison *out,
                                                  struct mien_error *error);

#ifdef __cplusplus
}
#endif

#endif
