/* POST /smile-check, /blink-check, /head-pose, /head-turn-check: one frame a request. No face is a verdict. Blinks and turns are counted over the frames of a
 * track (tracks.h). Rules and measurements: docs/challenges.md. */
#include <math.h>
#include "base/clock.h"
#include "service/handlers.h"
#include "service/person.h"
#include "service/tracks.h"

static const char NO_FACE[] = "no_face_detected";

static struct mien_track_frame frame_of(const struct mien_call *c)
{
    return (struct mien_track_frame){c->client, mien_call_text(c, "sessionId"), mien_call_flag(c, "resetSession"), mien_now_ns()};
}

static void put_end(struct mien_call *c, bool found)
{
    mien_put_integer(c, "processingTimeMs", mien_call_ms(c));
    mien_put_text(c, "error", found ? NULL : NO_FACE);
}

enum mien_code mien_do_smile_check(struct mien_call *c, struct mien_err *e)
{
    struct mien_face *face;
    float percent[MIEN_EMOTIONS] = {0};
    MIEN_TRY(mien_person_look(c, mien_call_image(c, "image"), "image", mien_person_smile_wants(c), &face, e));
    const char *dominant = face != NULL ? mien_emotion_name[mien_smile_emotions(face, percent)] : NULL;
    const double happy = face != NULL ? (double)mien_smile_score(face) : 0.0;
    const bool smiles = face != NULL && happy >= mien_call_number(c, "threshold");
    mien_put_bool(c, "isSmiling", smiles);
    mien_put_fixed(c, "happyScore", happy, 1);
    mien_put_text(c, "dominantEmotion", dominant);
    mien_jw_key(c->json, "emotions");
    mien_jw_object(c->json);
    for (int i = 0; face != NULL && i < MIEN_EMOTIONS; i++) mien_put_fixed(c, mien_emotion_name[i], (double)percent[i], 1);
    mien_jw_end_object(c->json);
    mien_put_bool(c, "passed", smiles);
    put_end(c, face != NULL);
    return MIEN_OK;
}

enum mien_code mien_do_blink_check(struct mien_call *c, struct mien_err *e)
{
    struct mien_face *face;
    struct mien_blink blink;
    bool blinked;
    MIEN_TRY(mien_person_look(c, mien_call_image(c, "image"), "image", MIEN_WANT_EYES, &face, e));
    const struct mien_track_frame frame = frame_of(c);
    MIEN_TRY(mien_tracks_blink(mien_service_tracks(c->service), &frame, face != NULL ? face->ear : NAN, &blink, &blinked, e));
    const float left = face != NULL ? face->ear_left : 0.0f, right = face != NULL ? face->ear_right : 0.0f;
    mien_put_bool(c, "blinkDetected", blinked);
    mien_put_fixed(c, "earValue", face != NULL ? (double)face->ear : 0.0, 4);
    mien_put_fixed(c, "leftEar", (double)left, 4);
    mien_put_fixed(c, "rightEar", (double)right, 4);
    mien_put_integer(c, "blinkCount", blink.count);
    mien_put_bool(c, "leftEyeOpen", left > MIEN_EAR_CLOSED);
    mien_put_bool(c, "rightEyeOpen", right > MIEN_EAR_CLOSED);
    mien_put_bool(c, "faceDetected", face != NULL);
    put_end(c, face != NULL);
    return MIEN_OK;
}

static void put_degrees(struct mien_call *c, const struct mien_face *face)
{
    mien_put_fixed(c, "yawDegrees", face != NULL ? (double)face->yaw : 0.0, 1);
    mien_put_fixed(c, "pitchDegrees", face != NULL ? (double)face->pitch : 0.0, 1);
    mien_put_fixed(c, "rollDegrees", face != NULL ? (double)face->roll : 0.0, 1);
}

enum mien_code mien_do_head_pose(struct mien_call *c, struct mien_err *e)
{
    struct mien_face *face;
    MIEN_TRY(mien_person_look(c, mien_call_image(c, "image"), "image", MIEN_WANT_MESH | MIEN_WANT_POSE, &face, e));
    const struct mien_head head = face != NULL ? mien_head_ratio(face) : (struct mien_head){0};
    const enum mien_direction direction = mien_head_direction(head, mien_call_flag(c, "mirrored"));
    const struct mien_track_frame frame = frame_of(c);
    struct mien_turns turns;
    MIEN_TRY(mien_tracks_turn(mien_service_tracks(c->service), &frame, direction, &turns, e));
    mien_put_fixed(c, "yaw", (double)head.yaw, 4);
    mien_put_fixed(c, "pitch", (double)head.pitch, 4);
    mien_put_text(c, "direction", mien_direction_name(direction));
    mien_put_bool(c, "isTurningLeft", direction == MIEN_LEFT);
    mien_put_bool(c, "isTurningRight", direction == MIEN_RIGHT);
    mien_put_bool(c, "leftTurnCompleted", turns.left_done);
    mien_put_bool(c, "rightTurnCompleted", turns.right_done);
    mien_put_bool(c, "faceDetected", face != NULL);
    put_degrees(c, face);
    put_end(c, face != NULL);
    return MIEN_OK;
}

enum mien_code mien_do_head_turn_check(struct mien_call *c, struct mien_err *e)
{
    struct mien_face *face;
    const char *required = mien_call_text(c, "direction");
    MIEN_TRY(mien_person_look(c, mien_call_image(c, "image"), "image", MIEN_WANT_MESH | MIEN_WANT_POSE, &face, e));
    const struct mien_head head = face != NULL ? mien_head_ratio(face) : (struct mien_head){0};
    const bool meets = face != NULL && fabs((double)head.yaw) >= mien_call_number(c, "threshold"), mirrored = mien_call_flag(c, "mirrored");
    const enum mien_direction side = mien_head_side(head, mirrored), level = mien_head_direction((struct mien_head){.pitch = head.pitch}, mirrored);
    const bool turned = meets && side == (required[0] == 'l' ? MIEN_LEFT : MIEN_RIGHT);
    mien_put_bool(c, "turnDetected", turned);
    mien_put_fixed(c, "yaw", (double)head.yaw, 4);
    mien_put_text(c, "direction", mien_direction_name(meets ? side : level));
    mien_put_bool(c, "meetsThreshold", meets);
    mien_put_text(c, "requiredDirection", required);
    put_degrees(c, face);
    put_end(c, face != NULL);
    return MIEN_OK;
}
