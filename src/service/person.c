/* The rule of two photos of one person: docs/challenges.md. */
#include "service/person.h"

#include <math.h>

unsigned mien_person_smile_wants(const struct mien_call *c)
{
    const bool shapes = mien_call_has(c, MIEN_ROLE_BLENDSHAPES) && mien_call_has(c, MIEN_ROLE_LANDMARKS);
    return MIEN_WANT_EXPRESSION | (shapes ? MIEN_WANT_BLENDSHAPES : 0u);
}

enum mien_code mien_person_look(struct mien_call *c, const struct mien_blob *image, const char *which, unsigned wants, struct mien_face **face,
                                struct mien_err *e)
{
    struct mien_faces faces;
    *face = NULL;
    MIEN_TRY(mien_call_analyze(c, image, which, wants, &(struct mien_face_settings){.primary_only = true}, &faces, NULL, e));
    if (faces.count > 0) *face = &faces.face[0];
    return MIEN_OK;
}

float mien_person_threshold(const struct mien_model *embed, float match_threshold)
{
    const float odds = 3.0f; /* confidence 0.75 */
    return embed->calibration_slope > 0.0f ? match_threshold + logf(odds) / embed->calibration_slope : match_threshold;
}

enum mien_code mien_person_same(const struct mien_call *c, const struct mien_face *a, const struct mien_face *b, bool *same, struct mien_err *e)
{
    const struct mien_model *embed;
    float threshold;
    MIEN_TRY(mien_call_embedder(c, &embed, &threshold, e));
    *same = mien_similarity_cosine(a->embedding, b->embedding, a->embedding_dim) >= mien_person_threshold(embed, threshold);
    return MIEN_OK;
}
