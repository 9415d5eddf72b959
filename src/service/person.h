/* Looking at the one face of a gesture or challenge photo, and whether two such faces are one person's. */
#ifndef MIEN_SERVICE_PERSON_H
#define MIEN_SERVICE_PERSON_H

#include "service/call.h"

/* The wants of a smile: the expression network, and blendshapes where the pack has them. */
unsigned mien_person_smile_wants(const struct mien_call *c);

/* The primary face of a photo with what is wanted; *face NULL when the photo shows none. MIEN_E_MODEL_MISSING when the pack lacks a network for the wants, face
 * or not. */
enum mien_code mien_person_look(struct mien_call *c, const struct mien_blob *image, const char *which, unsigned wants, struct mien_face **face,
                                struct mien_err *e) MIEN_MUST_CHECK;

/* Least cosine similarity of two photos of one challenge: that of a match with confidence 0.75 (0.5 is at the recogniser's threshold). Photos that one camera
 * takes within minutes are far more alike than those that a recogniser's threshold is made for: docs/challenges.md. */
float mien_person_threshold(const struct mien_model *embed, float match_threshold);
enum mien_code mien_person_same(const struct mien_call *c, const struct mien_face *a, const struct mien_face *b, bool *same,
                                struct mien_err *e) MIEN_MUST_CHECK;

#endif
