/* POST /challenge/validate and /challenge/validate-multi: photos of what a person was asked to do, judged against a baseline photo of the same person. A photo
 * without a face is a verdict. Rules and measurements: docs/challenges.md. */
#include <math.h>
#include <string.h>
#include "liveness/gestures.h"
#include "service/evidence.h"
#include "service/handlers.h"
#include "service/person.h"

/* ---- one smile ---- */

static const struct { const char *error, *message; } verdicts[] = {
    {NULL, "Challenge passed"},
    {"unknown_challenge_type", "Unknown challenge type"},
    {MIEN_ERROR_NO_BASELINE_FACE, "No face detected in the baseline image"},
    {MIEN_ERROR_NO_FACE, "No face detected in the challenge image"},
    {MIEN_ERROR_DIFFERENT_PERSON, "The two images do not show the same person"},
    {MIEN_ERROR_NO_SMILE, "No smile detected; please smile"},
    {MIEN_ERROR_LITTLE_CHANGE, "The expression changed too little from the baseline image"},
};
enum verdict { PASSED, UNKNOWN_TYPE, NO_BASELINE_FACE, NO_FACE, DIFFERENT_PERSON, NO_SMILE, TOO_LITTLE_CHANGE };

/* The scores are NAN as long as they are not known. */
struct smile { enum verdict verdict; double baseline, challenge; };

static enum mien_code judge_smile(struct mien_call *c, struct smile *out, struct mien_err *e)
{
    const unsigned wants = MIEN_WANT_EMBEDDING | mien_person_smile_wants(c);
    struct mien_face *baseline, *challenge;
    bool same = false;
    MIEN_TRY(mien_person_look(c, mien_call_image(c, "baselineImage"), "baselineImage", wants, &baseline, e));
    MIEN_TRY(mien_person_look(c, mien_call_image(c, "challengeImage"), "challengeImage", wants, &challenge, e));
    if (baseline != NULL) out->baseline = (double)mien_smile_score(baseline);
    if (challenge != NULL) out->challenge = (double)mien_smile_score(challenge);
    if (baseline != NULL && challenge != NULL) MIEN_TRY(mien_person_same(c, baseline, challenge, &same, e));
    if (baseline == NULL) out->verdict = NO_BASELINE_FACE;
    else if (challenge == NULL) out->verdict = NO_FACE;
    else if (!same) out->verdict = DIFFERENT_PERSON;
    else if (out->challenge < mien_call_number(c, "smileThreshold")) out->verdict = NO_SMILE;
    else if (out->challenge - out->baseline < mien_call_number(c, "minEmotionChange")) out->verdict = TOO_LITTLE_CHANGE;
    else out->verdict = PASSED;
    return MIEN_OK;
}

enum mien_code mien_do_challenge_validate(struct mien_call *c, struct mien_err *e)
{
    const char *type = mien_call_given(c, "challengeType") ? mien_call_text(c, "challengeType") : "smile";
    struct smile s = {UNKNOWN_TYPE, NAN, NAN};
    if (strcmp(type, "smile") == 0) MIEN_TRY(judge_smile(c, &s, e));
    mien_put_bool(c, "passed", s.verdict == PASSED);
    mien_put_text(c, "challengeType", type);
    mien_put_fixed(c, "baselineEmotion", s.baseline, 1);
    mien_put_fixed(c, "challengeEmotion", s.challenge, 1);
    mien_put_fixed(c, "emotionChange", s.challenge - s.baseline, 1);
    mien_put_text(c, "message", verdicts[s.verdict].message);
    mien_put_integer(c, "processingTimeMs", mien_call_ms(c));
    mien_put_text(c, "error", verdicts[s.verdict].error);
    return MIEN_OK;
}

/* ---- several ---- */

static enum mien_code judge_item(struct mien_call *c, int i, enum mien_challenge challenge, const struct mien_face *baseline,
                                 struct mien_evidence *out, struct mien_err *e)
{
    struct mien_face *face;
    bool same;
    *out = (struct mien_evidence){MIEN_ERROR_NO_BASELINE_FACE, NAN, 0};
    const struct mien_blob *image = mien_call_item_image(c, "challengeResults", i, "image");
    MIEN_TRY(mien_person_look(c, image, "image", MIEN_WANT_EMBEDDING | mien_evidence_wants(c, challenge), &face, e));
    if (baseline == NULL) return MIEN_OK;
    out->error = MIEN_ERROR_NO_FACE;
    if (face == NULL) return MIEN_OK;
    *out = mien_evidence_judge(face, challenge, mien_call_flag(c, "mirrored"));
    MIEN_TRY(mien_person_same(c, baseline, face, &same, e));
    if (!same) out->error = MIEN_ERROR_DIFFERENT_PERSON;
    return MIEN_OK;
}

static void put_result(struct mien_call *c, int index, const char *type, const struct mien_evidence *r)
{
    mien_jw_object(c->json);
    mien_put_integer(c, "index", index);
    mien_put_text(c, "challengeType", type);
    mien_put_bool(c, "passed", r->error == NULL);
    mien_put_fixed(c, "score", r->score, r->decimals);
    mien_put_text(c, "error", r->error);
    mien_jw_end_object(c->json);
}

enum mien_code mien_do_challenge_validate_multi(struct mien_call *c, struct mien_err *e)
{
    const int n = mien_call_items(c, "challengeResults");
    struct mien_face *baseline;
    int passed = 0;
    struct mien_evidence *result = mien_arena_calloc(c->arena, (size_t)n, sizeof *result);
    MIEN_FAIL_IF(result == NULL, e, MIEN_E_NOMEM, "out of memory");
    MIEN_TRY(mien_person_look(c, mien_call_image(c, "baselineImage"), "baselineImage", MIEN_WANT_EMBEDDING, &baseline, e));
    for (int i = 0; i < n; i++) {
        const int challenge = mien_challenge_parse(mien_call_item_text(c, "challengeResults", i, "challenge_type"));
        MIEN_TRY(judge_item(c, i, (enum mien_challenge)challenge, baseline, &result[i], e));
        passed += result[i].error == NULL;
    }
    mien_put_bool(c, "allPassed", passed == n);
    mien_put_integer(c, "totalChallenges", n);
    mien_put_integer(c, "passedCount", passed);
    mien_jw_key(c->json, "results");
    mien_jw_array(c->json);
    for (int i = 0; i < n; i++) put_result(c, i, mien_call_item_text(c, "challengeResults", i, "challenge_type"), &result[i]);
    mien_jw_end_array(c->json);
    mien_put_integer(c, "processingTimeMs", mien_call_ms(c));
    mien_put_text(c, "error", baseline != NULL ? NULL : MIEN_ERROR_NO_BASELINE_FACE);
    return MIEN_OK;
}
