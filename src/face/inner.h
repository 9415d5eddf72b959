/* Between the files of the face room that read models, find faces and cut them out. parts.h has the measurements on a face. */
#ifndef MIEN_FACE_INNER_H
#define MIEN_FACE_INNER_H

#include "face/face.h"

/* manifest.c: one entry of "models" into *m (zeroed before). Nothing is looked up on disk. On failure the caller frees what
 * the entry owns with mien_model_clear all the same. */
struct mien_json;
enum mien_code mien_model_parse(const struct mien_json *entry, int number, struct mien_model *m, struct mien_err *e) MIEN_MUST_CHECK;
void mien_model_clear(struct mien_model *m);

/* models.c: the network in the file at `path`, with the model's settings; its outputs are those of the entry. */
enum mien_code mien_model_open(const struct mien_model *model, const char *path, enum mien_precision precision, struct mien_net **net,
                               struct mien_err *e) MIEN_MUST_CHECK;
enum mien_precision mien_models_precision(const struct mien_models *m);
/* models.c: adds a model and its open network, gives the role to it alone and lengthens the pack's name by "+shown". Takes both over when it succeeds
 * (*model is then empty), else neither. Before threads use the pack; models that were there keep their addresses. */
enum mien_code mien_models_put(struct mien_models *m, enum mien_role role, struct mien_model *model, struct mien_net *net, const char *shown,
                               struct mien_err *e) MIEN_MUST_CHECK;

/* known.c: published networks whose use is known. A network is one of them when role, input and outputs are the row's. */
struct mien_known_model {
    enum mien_role role;
    const char *name;           /* for people: "Inception ResNet v1 (facenet-pytorch)" */
    int side;                   /* input: 3 x side x side */
    int n_outputs;
    const char *output[2];      /* their names; NULL: whatever the file calls its only one */
    int64_t count[2];           /* and their numbers of elements */
    const char *entry;          /* JSON: its entry of a manifest but for id, file, task and sha256; outputs have the roles in the order above */
};
const struct mien_known_model *mien_known_model_at(int i); /* NULL past the end */

/* models.c: the network of `model` bound to `s` for one picture of w x h pixels. *net may be NULL. */
enum mien_code mien_model_exec(struct mien_models *models, struct mien_session *s, const struct mien_model *model, int w, int h,
                               struct mien_net **net, struct mien_exec **x, struct mien_err *e) MIEN_MUST_CHECK;

/* models.c: runs the network, its inputs being written, and counts the run (mien_models_usage). */
enum mien_code mien_model_run(struct mien_models *models, const struct mien_model *model, struct mien_exec *x, struct mien_err *e) MIEN_MUST_CHECK;

/* embed.c: crop, network, L2 norm: `embedding` receives embed->dim floats. `landmarks68` may be NULL: they are computed when the
 * model's crop needs them. Uses the first model of MIEN_ROLE_EMBED. */
enum mien_code mien_embed_face(struct mien_models *models, struct mien_session *s, struct mien_photo *photo, const struct mien_detection *face,
                               const float *landmarks68, float *embedding, struct mien_err *e) MIEN_MUST_CHECK;
/* In place; MIEN_E_INTERNAL when the vector has no finite direction. */
enum mien_code mien_l2_normalise(float *v, int n, struct mien_err *e) MIEN_MUST_CHECK;

/* crop.c: the rectangle, in photo pixels, that a MIEN_CROP_FIT_BOX rule cuts out of a photo of w x h (whole pixels, inside the photo). */
struct mien_rect mien_fit_box(struct mien_box b, float scale, int w, int h);

/* crop.c: mien_crop_face, saying where the pixels come from. */
enum mien_crop_source {
    MIEN_CROP_FROM_ANY,     /* what mien_crop_face does */
    MIEN_CROP_FROM_VIEW,    /* tests: from the smallest view held, whatever its scale */
    MIEN_CROP_FROM_FULL     /* tests: from full resolution */
};
enum mien_code mien_crop_face_from(enum mien_crop_source source, const struct mien_model *m, struct mien_photo *photo, const struct mien_detection *face,
                                   const float *landmarks68, float *tensor, struct mien_affine *to_photo, struct mien_err *e) MIEN_MUST_CHECK;

/* decode.c: how many places the levels of a detector have (0 for ssd, whose levels are inside the network). */
int64_t mien_decode_places(const struct mien_model *m, int w, int h);
/* decode.c: where eyes, nose tip and mouth corners of an upright frontal face lie in its box; for detectors that give no points. */
void mien_points_from_box(struct mien_box b, float point[10]);

/* detect.c: input size for a picture of w x h: the long side is `size`, the short side is what the picture needs, rounded up so that
 * there are few distinct shapes; square when the network's input is fixed. */
void mien_detect_canvas(int w, int h, int size, bool fixed, int *canvas_w, int *canvas_h);
/* detect.c: the model's sizes in the order in which they are tried for a photo whose longer side is `longer`; returns how many. */
int mien_detect_sizes(const struct mien_model *m, int longer, bool fixed, int order[6]);

/* What one mien_detect spends where, for benchmarks and tests; see mien_detect_timed. */
struct mien_detect_times { double view_ms, letterbox_ms, net_ms, decode_ms; int passes; };
enum mien_code mien_detect_timed(struct mien_models *models, const struct mien_model *m, struct mien_session *s, struct mien_photo *photo,
                                 const struct mien_face_settings *settings, struct mien_arena *arena, struct mien_detection **out, int *n,
                                 struct mien_detect_times *times, struct mien_err *e) MIEN_MUST_CHECK;

#endif
