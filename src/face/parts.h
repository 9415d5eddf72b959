/* The single measurements on a face that mien_face_analyze puts together. Inner to the face room.
 *
 * Each mien_face_* function fills its members of *f and sets the want's bit in f->have; f->box, f->point and f->score are set
 * before. The functions return MIEN_E_MODEL_MISSING when the pack has no model for the role. */
#ifndef MIEN_FACE_PARTS_H
#define MIEN_FACE_PARTS_H

#include "face/face.h"

/* What every part needs. One photo, one thread. */
struct mien_face_job {
    struct mien_models *models;
    struct mien_session *session;
    struct mien_photo *photo;
    struct mien_arena *arena;
};

/* analyze.c: the wants and everything they depend on. `has_mesh`: the pack has a mesh model. */
unsigned mien_wants_closure(unsigned wants, bool has_mesh);
/* Index of the best face: highest quality among those that have it when `by_quality`, else highest score x area; -1 for none. */
int mien_faces_best(const struct mien_face *face, int n, bool by_quality);

/* scores.c: raw outputs of a classifier to probabilities. out[i] = softmax or sigmoid (n == 1) when the model's outputs are
 * logits, else the value itself; everything is clamped to 0..1. `out` may be `raw`. */
void mien_scores(const struct mien_model *m, const float *raw, int n, float *out);
/* P(live) or P(genuine) out of a detector of attacks with n outputs: the probability at live_index; with a single output
 * live_index 0 says that the output is P(live), any other value that it is P(attack). */
float mien_score_live(const struct mien_model *m, const float *raw, int n);
/* Mean of a map of n places, each P(live) whatever live_index is (a logit of it when the model's outputs are logits); a place that is no number is 0. */
float mien_score_map(const struct mien_model *m, const float *raw, int n);

/* run.c: what the crops need to know of a face. */
struct mien_detection mien_part_detection(const struct mien_face *f);
/* Cuts the input of `m` for one face and runs it. The outputs are read from *x with mien_part_output before anything
 * else touches the session. `to_photo` may be NULL. */
enum mien_code mien_part_run(const struct mien_face_job *job, const struct mien_model *m, const struct mien_face *f,
                             struct mien_exec **x, struct mien_affine *to_photo, struct mien_err *e) MIEN_MUST_CHECK;
/* Output of a role with its element count; MIEN_E_MANIFEST when it is not there or has fewer than `at_least` elements. */
enum mien_code mien_part_output(const struct mien_face_job *job, const struct mien_model *m, const struct mien_exec *x, const char *role,
                                int at_least, const float **data, int *count, struct mien_err *e) MIEN_MUST_CHECK;
/* First model of a role that is installed; MIEN_E_MODEL_MISSING otherwise. */
enum mien_code mien_part_model(const struct mien_models *models, enum mien_role role, const struct mien_model **m,
                               struct mien_err *e) MIEN_MUST_CHECK;

/* cut.c: the box and points for which the crop of `m` is the whole picture, in the middle of a square when it is not square. MIEN_E_ARG for crops by
 * 68 landmarks and for rules that cut no face. */
enum mien_code mien_cut_place(const struct mien_model *m, const struct mien_photo *photo, struct mien_face *f, struct mien_err *e) MIEN_MUST_CHECK;

enum mien_code mien_face_mesh(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_face_landmarks106(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_face_blendshapes(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_face_quality(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_face_net_quality(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_face_expression(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_face_age_gender(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_face_spoof(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_face_deepfake(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e) MIEN_MUST_CHECK;

#endif
