/* Every route, member and answer. The words of `help` and `summary` are the API documentation. */
#include "service/route.h"

#include <string.h>

#include "crypto/jwt.h"
#include "gallery/gallery.h"
#include "service/evidence.h"
#include "service/handlers.h"

/* ---- members ---- */

#define END                                                                                                                                                    \
    {                                                                                                                                                          \
        .name = NULL                                                                                                                                           \
    }
#define IMAGE                                                                                                                                                  \
    {                                                                                                                                                          \
        .name = "image", .kind = MIEN_KIND_IMAGE, .required = true, .also = "image_url|image_data", .help = "The photo: base64, data URL or http(s) URL."      \
    }
#define NAMED_IMAGE(n, h)                                                                                                                                      \
    {                                                                                                                                                          \
        .name = n, .kind = MIEN_KIND_IMAGE, .required = true, .help = h                                                                                        \
    }
#define FROM_0_TO_1(n, d, h)                                                                                                                                   \
    {                                                                                                                                                          \
        .name = n, .kind = MIEN_KIND_NUMBER, .low = 0, .high = 1, .otherwise = d, .help = h                                                                    \
    }
#define PERCENT(n, d, h)                                                                                                                                       \
    {                                                                                                                                                          \
        .name = n, .kind = MIEN_KIND_NUMBER, .low = 0, .high = 100, .otherwise = d, .help = h                                                                  \
    }
#define SWITCH(n, d, h)                                                                                                                                        \
    {                                                                                                                                                          \
        .name = n, .kind = MIEN_KIND_BOOL, .otherwise = d, .help = h                                                                                           \
    }
#define SESSION_ID                                                                                                                                             \
    {                                                                                                                                                          \
        .name = "sessionId", .kind = MIEN_KIND_TEXT, .low = 1, .high = 128,                                                                                    \
        .help = "Frames with the same id belong together; without one, those of the same key or address."                                                      \
    }
#define RESET SWITCH("resetSession", 0, "Forget the frames seen so far.")
#define MIRRORED SWITCH("mirrored", 1, "The picture is mirrored, as a selfie camera shows it: left in the image is the person's left.")
#define ANTISPOOF(n)                                                                                                                                           \
    {                                                                                                                                                          \
        .name = n, .kind = MIEN_KIND_NUMBER, .low = 0, .high = 1, .otherwise = 0.3, .from = MIEN_FROM_ANTISPOOF_THRESHOLD,                                     \
        .help = "Least anti-spoof score of a live capture (ANTISPOOF_THRESHOLD)."                                                                              \
    }

static const struct mien_member m_image[] = {IMAGE, END};
#define MATCH_THRESHOLD                                                                                                                                        \
    {                                                                                                                                                          \
        .name = "threshold", .kind = MIEN_KIND_NUMBER, .low = -1, .high = 1, .from = MIEN_FROM_MATCH_THRESHOLD,                                                \
        .help = "Least cosine similarity of a match; by default the model's own (MATCH_THRESHOLD)."                                                            \
    }
#define USER_ID(...)                                                                                                                                           \
    {                                                                                                                                                          \
        .name = "user_id", .kind = MIEN_KIND_TEXT, .required = true, .low = 1, .high = MIEN_USER_ID, __VA_ARGS__                                               \
    }
#define USER_NAME                                                                                                                                              \
    {                                                                                                                                                          \
        .name = "name", .kind = MIEN_KIND_TEXT, .low = 0, .high = MIEN_USER_NAME, .help = "What the person is called; shown in matches."                       \
    }
#define METADATA                                                                                                                                               \
    {                                                                                                                                                          \
        .name = "metadata", .kind = MIEN_KIND_OBJECT, .high = MIEN_USER_METADATA, .help = "Any object of at most 16384 bytes; shown by GET /gallery."          \
    }
#define APPEND SWITCH("append", 0, "Keep the user's templates and add this one; else it replaces them.")

static const struct mien_member m_enroll[] = {
    USER_ID(.help = "Who is enrolled: 1 to 128 bytes without control characters."), IMAGE, USER_NAME, METADATA, APPEND, END};
static const struct mien_member m_unenroll[] = {USER_ID(.in_path = true, .help = "Who is removed, percent-encoded."), END};
static const struct mien_member m_gallery[] = {
    {.name = "limit", .kind = MIEN_KIND_INTEGER, .low = 1, .high = 1000, .otherwise = 100, .help = "Users of a page."},
    {.name = "cursor", .kind = MIEN_KIND_TEXT, .low = 1, .high = MIEN_USER_ID, .help = "What the page before answered as its cursor."},
    END};
static const struct mien_member m_search[] = {
    IMAGE,
    {.name = "top_k", .kind = MIEN_KIND_INTEGER, .low = 1, .high = MIEN_MAX_HITS, .otherwise = 5, .help = "Most matches that are wanted."},
    MATCH_THRESHOLD,
    END};
static const struct mien_member m_verify_user[] = {USER_ID(.help = "Who the person claims to be."), IMAGE, MATCH_THRESHOLD, END};
#define FRAMES                                                                                                                                                 \
    {.name = "images", .kind = MIEN_KIND_IMAGES, .required = true, .low = 1, .high = 20, .help = "Frames of one person in their order."},                      \
    {                                                                                                                                                          \
        .name = "depth_images", .kind = MIEN_KIND_IMAGES, .low = 1, .high = 20,                                                                                \
        .help = "A sensor's depth for each frame: 16-bit gray PNG, millimetres, 0 = unknown."                                                                  \
    }
static const struct mien_member m_frames[] = {
    FRAMES, USER_ID(.help = "Who is enrolled: 1 to 128 bytes without control characters."), USER_NAME, METADATA, APPEND, END};
static const struct mien_member m_verify_frames[] = {
    FRAMES,
    USER_ID(.help = "Who the person claims to be."),
    MATCH_THRESHOLD,
    END};
static const struct mien_member m_entry[] = {
    USER_ID(.help = "Who is enrolled."),
    {.name = "embedding", .kind = MIEN_KIND_VECTOR, .required = true, .low = 1, .high = MIEN_TEMPLATE_DIM, .help = "Any length above 0."},
    {.name = "model", .kind = MIEN_KIND_TEXT, .low = 1, .high = MIEN_MODEL_ID, .help = "The model that made it: must be the gallery's (409 model_mismatch)."},
    USER_NAME,
    METADATA,
    {.name = "depth", .kind = MIEN_KIND_VECTOR, .low = 1, .high = MIEN_TEMPLATE_DIM, .help = "Descriptor of the face's depth, as it was exported."},
    APPEND,
    END};
static const struct mien_member m_import[] = {
    {.name = "entries", .kind = MIEN_KIND_ITEMS, .required = true, .low = 1, .high = 1000, .sub = m_entry, .help = "All are enrolled or none."}, END};
static const struct mien_member m_embed[] = {
    IMAGE,
    SWITCH("quality", 1, "Measure the quality too. Without it the answer is quicker, and the best of several faces is the largest by score x size."),
    END};
static const struct mien_member m_compare[] = {
    {.name = "image_1", .kind = MIEN_KIND_IMAGE, .required = true, .also = "image_url_1|image1", .help = "The first photo."},
    {.name = "image_2", .kind = MIEN_KIND_IMAGE, .required = true, .also = "image_url_2|image2", .help = "The second photo."},
    MATCH_THRESHOLD,
    END};
static const struct mien_member m_batch[] = {
    {.name = "images", .kind = MIEN_KIND_IMAGES, .required = true, .also = "image_urls", .low = 1, .high = 20, .help = "The photos, at most 20."}, END};
static const struct mien_member m_antispoof[] = {IMAGE, ANTISPOOF("threshold"), END};
static const struct mien_member m_face_match[] = {NAMED_IMAGE("idImage", "The identity document; small and turned portraits are found."),
                                                  NAMED_IMAGE("selfieImage", "The selfie."), FROM_0_TO_1("minConfidence", 0.6, "Least confidence of a match."),
                                                  END};
static const struct mien_member m_verify[] = {NAMED_IMAGE("idImage", "The identity document."), NAMED_IMAGE("selfieImage", "The selfie."),
                                              ANTISPOOF("antispoofThreshold"), FROM_0_TO_1("minFaceMatchConfidence", 0.4, "Least confidence of a match."), END};
static const struct mien_member m_smile[] = {IMAGE, PERCENT("threshold", 50, "Least happyScore of a smile."), END};
static const struct mien_member m_blink[] = {IMAGE, RESET, SESSION_ID, END};
static const struct mien_member m_head[] = {IMAGE, RESET, SESSION_ID, MIRRORED, END};
static const struct mien_member m_turn[] = {
    IMAGE,
    {.name = "direction", .kind = MIEN_KIND_CHOICE, .required = true, .choices = "left|right", .help = "The turn that is asked for."},
    FROM_0_TO_1("threshold", 0.15, "Least yaw of a turn."),
    MIRRORED,
    END};
static const struct mien_member m_challenge[] = {
    NAMED_IMAGE("baselineImage", "The neutral face."),
    NAMED_IMAGE("challengeImage", "The face doing what was asked."),
    {.name = "challengeType", .kind = MIEN_KIND_TEXT, .low = 1, .high = 64, .help = "smile (default). Others are answered with unknown_challenge_type."},
    PERCENT("minEmotionChange", 20, "Least rise of the smile from the baseline."),
    PERCENT("smileThreshold", 50, "Least smile of the challenge image."),
    END};
static const struct mien_member m_result[] = {{.name = "challenge_type",
                                               .kind = MIEN_KIND_CHOICE,
                                               .required = true,
                                               .also = "challengeType",
                                               .choices = MIEN_EVIDENCE_CHALLENGES,
                                               .help = "What was asked for."},
                                              NAMED_IMAGE("image", "The face doing it."),
                                              END};
static const struct mien_member m_multi[] = {
    NAMED_IMAGE("baselineImage", "The neutral face."),
    {.name = "challengeResults", .kind = MIEN_KIND_ITEMS, .required = true, .low = 1, .high = 10, .sub = m_result, .help = "One entry a challenge."},
    MIRRORED,
    END};

static const struct mien_member m_begin[] = {
    {.name = "numChallenges", .kind = MIEN_KIND_INTEGER, .low = 2, .high = 4, .otherwise = 2, .help = "How many challenges are drawn."},
    {.name = "excludeChallenges",
     .kind = MIEN_KIND_CHOICES,
     .high = 10,
     .choices = MIEN_EVIDENCE_CHALLENGES,
     .help = "Challenges that are not drawn."},
    SWITCH("requireHeadTurn", 0, "One of them at least is a turn of the head."),
    END};
static const struct mien_member m_complete[] = {
    {.name = "image", .kind = MIEN_KIND_IMAGE, .help = "A photo of the person doing it, which the server judges."},
    {.name = "images", .kind = MIEN_KIND_IMAGES, .low = 1, .high = 20, .help = "Several photos instead: one must show it, all the same person."},
    {.name = "baselineImage", .kind = MIEN_KIND_IMAGE, .help = "The person at rest, to compare with."},
    {.name = "sessionId", .kind = MIEN_KIND_TEXT, .required = true, .low = 1, .high = 128, .help = "The session."},
    {.name = "challengeType",
     .kind = MIEN_KIND_CHOICE,
     .required = true,
     .choices = MIEN_EVIDENCE_CHALLENGES,
     .help = "What was done: the session's current challenge."},
    {.name = "passed", .kind = MIEN_KIND_BOOL, .help = "The client's own verdict. Needed without photos; with photos both must say yes."},
    {.name = "metadata", .kind = MIEN_KIND_OBJECT, .high = 16384, .help = "Taken for compatibility; neither trusted nor kept."},
    MIRRORED,
    END};
static const struct mien_member m_state[] = {
    {.name = "session_id", .kind = MIEN_KIND_TEXT, .required = true, .low = 1, .high = 128, .in_path = true, .help = "What /challenge/session has answered."},
    END};

static const struct mien_member m_live[] = {
    USER_ID(.help = "Who is to be verified: 1 to 128 bytes without control characters. It becomes the token's sub."), END};
static const struct mien_member m_socket[] = {
    {.name = "session_id", .kind = MIEN_KIND_TEXT, .required = true, .low = 1, .high = 128, .in_path = true, .help = "What /auth/verify has answered."}, END};
static const struct mien_member m_token[] = {
    {.name = "token", .kind = MIEN_KIND_TEXT, .required = true, .low = 1, .high = MIEN_JWT_BYTES, .help = "What verification_success has brought."}, END};

/* ---- answers ---- */

#define INTEGER(n, h)                                                                                                                                          \
    {                                                                                                                                                          \
        .name = n, .kind = MIEN_OUT_INTEGER, .help = h                                                                                                         \
    }
#define NUMBER(n, h)                                                                                                                                           \
    {                                                                                                                                                          \
        .name = n, .kind = MIEN_OUT_NUMBER, .help = h                                                                                                          \
    }
#define BOOL(n, h)                                                                                                                                             \
    {                                                                                                                                                          \
        .name = n, .kind = MIEN_OUT_BOOL, .help = h                                                                                                            \
    }
#define TEXT(n, h)                                                                                                                                             \
    {                                                                                                                                                          \
        .name = n, .kind = MIEN_OUT_TEXT, .help = h                                                                                                            \
    }
#define TEXTS(n, h)                                                                                                                                            \
    {                                                                                                                                                          \
        .name = n, .kind = MIEN_OUT_TEXTS, .help = h                                                                                                           \
    }
#define OBJECT(n, s, h)                                                                                                                                        \
    {                                                                                                                                                          \
        .name = n, .kind = MIEN_OUT_OBJECT, .sub = s, .help = h                                                                                                \
    }
#define OBJECTS(n, s, h)                                                                                                                                       \
    {                                                                                                                                                          \
        .name = n, .kind = MIEN_OUT_OBJECTS, .sub = s, .help = h                                                                                               \
    }
#define OR_NULL(k, n, h)                                                                                                                                       \
    {                                                                                                                                                          \
        .name = n, .kind = k, .nullable = true, .help = h                                                                                                      \
    }
#define MAYBE(k, n, h)                                                                                                                                         \
    {                                                                                                                                                          \
        .name = n, .kind = k, .optional = true, .help = h                                                                                                      \
    }
#define TOOK INTEGER("processing_time_ms", "Time from the end of the headers to the answer.")
#define TOOK_CAMEL INTEGER("processingTimeMs", "Time from the end of the headers to the answer.")
#define ERROR_OR_NULL OR_NULL(MIEN_OUT_TEXT, "error", "Why there is no verdict, or null.")

static const struct mien_field f_box[] = {INTEGER("x", "Left edge."), INTEGER("y", "Top edge."), INTEGER("width", ""), INTEGER("height", ""), END};
static const struct mien_field f_point[] = {NUMBER("x", ""), NUMBER("y", ""), END};
static const struct mien_field f_points[] = {
    OBJECT("left_eye", f_point, "Left in the image."), OBJECT("right_eye", f_point, ""),          OBJECT("nose", f_point, "Tip."),
    OBJECT("mouth_left", f_point, "Corner."),          OBJECT("mouth_right", f_point, "Corner."), END};
static const struct mien_field f_quality[] = {NUMBER("score", "0.30 detection + 0.25 pose + 0.25 sharpness + 0.20 size."),
                                              NUMBER("blur", "0 = sharp, 1 = blurred: 1 - sharpness."),
                                              NUMBER("pose_yaw", "Degrees; below 0 the nose points left in the image."),
                                              NUMBER("pose_pitch", "Degrees; above 0 up."),
                                              NUMBER("pose_roll", "Degrees; above 0 clockwise."),
                                              INTEGER("face_size", "Area of the box in pixels."),
                                              BOOL("is_frontal", "|yaw| < 30, |pitch| < 25, |roll| < 20."),
                                              END};
static const struct mien_field f_services[] = {TEXT("api", "up"), TEXT("database", "up, down, or not_configured."), END};
static const struct mien_field f_health[] = {TEXT("status", "healthy or unhealthy."),
                                             TEXT("service", "mien"),
                                             TEXT("version", ""),
                                             INTEGER("uptime_seconds", ""),
                                             BOOL("model_loaded", "The recognition model is installed."),
                                             OR_NULL(MIEN_OUT_TEXT, "model_name", "The recognition model."),
                                             BOOL("gpu_enabled", "Always false: mien runs on the processor."),
                                             BOOL("redis_connected", ""),
                                             INTEGER("gallery_size", "Enrolled users."),
                                             OR_NULL(MIEN_OUT_NUMBER, "match_threshold", "Cosine similarity of a match."),
                                             OBJECT("services", f_services, ""),
                                             END};
static const struct mien_field f_live[] = {TEXT("status", ""), END};
static const struct mien_field f_root[] = {TEXT("service", "mien"),
                                           TEXT("version", ""),
                                           TEXT("documentation", "Path of the web documentation."),
                                           TEXT("openapi", "Path of the OpenAPI document."),
                                           TEXT("health", "Path of the health check."),
                                           END};
static const struct mien_field f_detected[] = {INTEGER("x", ""),
                                               INTEGER("y", ""),
                                               INTEGER("width", ""),
                                               INTEGER("height", ""),
                                               OBJECT("bounding_box", f_box, "The same."),
                                               NUMBER("confidence", "The detector's."),
                                               OBJECT("landmarks", f_points, "Pixels of the upright image."),
                                               END};
static const struct mien_field f_detect[] = {INTEGER("face_count", ""), OBJECTS("faces", f_detected, "Largest first."), TOOK, END};
static const struct mien_field f_embed[] = {{.name = "embedding", .kind = MIEN_OUT_NUMBERS, .help = "L2-normalised."},
                                            TEXT("model", "Embeddings of different models must not be compared."),
                                            NUMBER("score", "Detection score of the face."),
                                            INTEGER("faces_detected", ""),
                                            {.name = "quality", .kind = MIEN_OUT_OBJECT, .sub = f_quality, .nullable = true, .help = "Null: not wanted."},
                                            TOOK,
                                            END};
static const struct mien_field f_compare[] = {NUMBER("similarity", "Cosine, 4 decimals."),
                                              BOOL("match", ""),
                                              NUMBER("threshold", ""),
                                              NUMBER("confidence", "0.5 at the model's threshold."),
                                              OBJECT("quality_1", f_quality, ""),
                                              OBJECT("quality_2", f_quality, ""),
                                              TEXT("model", ""),
                                              TOOK,
                                              END};
static const struct mien_field f_batch_one[] = {MAYBE(MIEN_OUT_TEXT, "image_url", "When it came as a URL."),
                                                BOOL("success", ""),
                                                MAYBE(MIEN_OUT_NUMBERS, "embedding", ""),
                                                MAYBE(MIEN_OUT_NUMBER, "score", ""),
                                                MAYBE(MIEN_OUT_INTEGER, "faces_detected", ""),
                                                {.name = "quality", .kind = MIEN_OUT_OBJECT, .optional = true, .sub = f_quality, .help = ""},
                                                MAYBE(MIEN_OUT_TEXT, "error", "When success is false."),
                                                END};
static const struct mien_field f_batch[] = {OBJECTS("results", f_batch_one, "In the order of the request."), TEXT("model", ""), TOOK, END};
static const struct mien_field f_checks[] = {NUMBER("screen_pattern", "1 = no periodic pattern of a screen or print."),
                                             NUMBER("color_distribution", ""),
                                             NUMBER("face_proportion", ""),
                                             NUMBER("detection_confidence", ""),
                                             NUMBER("texture_complexity", ""),
                                             {.name = "models", .kind = MIEN_OUT_MAP, .optional = true, .help = "Score of each anti-spoofing network."},
                                             END};
static const struct mien_field f_live_of_face[] = {BOOL("is_live", ""), NUMBER("confidence", ""), OR_NULL(MIEN_OUT_NUMBER, "antispoof_score", ""),
                                                   OBJECT("checks", f_checks, ""), END};
static const struct mien_field f_analyzed[] = {
    {.name = "bbox", .kind = MIEN_OUT_NUMBERS, .help = "x1, y1, x2, y2."},
    NUMBER("detection_score", ""),
    OBJECT("quality", f_quality, ""),
    OR_NULL(MIEN_OUT_INTEGER, "age", "Years."),
    OR_NULL(MIEN_OUT_TEXT, "gender", "M or F."),
    OR_NULL(MIEN_OUT_TEXT, "emotion", "The most probable one."),
    {.name = "emotions", .kind = MIEN_OUT_MAP, .nullable = true, .help = "Probabilities."},
    {.name = "liveness", .kind = MIEN_OUT_OBJECT, .nullable = true, .sub = f_live_of_face, .help = "null without anti-spoofing networks."},
    END};
static const struct mien_field f_analyze[] = {INTEGER("faces_detected", ""), OBJECTS("faces", f_analyzed, "Largest first."), TOOK, END};
static const struct mien_field f_liveness[] = {
    BOOL("is_real", "Exactly one face, no issue, antispoof_score at or above the threshold."),
    NUMBER("antispoof_score", "Probability that the face is a live capture."),
    BOOL("is_live", "confidence above 0.55."),
    NUMBER("confidence", "Networks and image cues together, calibrated."),
    {.name = "checks", .kind = MIEN_OUT_OBJECT, .nullable = true, .sub = f_checks, .help = "null without a face."},
    INTEGER("face_count", ""),
    {.name = "bounding_box", .kind = MIEN_OUT_OBJECT, .nullable = true, .sub = f_box, .help = "Of the primary face."},
    TEXTS("issues", "no_face, multiple_faces, low_face_confidence, face_too_small, face_obscured, spoof_detected."),
    TEXT("message", "For raw requests and people."),
    OR_NULL(MIEN_OUT_NUMBER, "liveness_score", "The confidence; null without a face."),
    TOOK,
    END};
static const struct mien_field f_antispoof[] = {BOOL("is_real", ""), NUMBER("antispoof_score", ""), TOOK, ERROR_OR_NULL, END};
static const struct mien_field f_face_match[] = {BOOL("matched", ""),
                                                 NUMBER("confidence", "Calibrated; 0.5 at the model's threshold."),
                                                 NUMBER("similarity", "Cosine."),
                                                 NUMBER("distance", "1 - similarity."),
                                                 TOOK,
                                                 BOOL("id_face_extracted", ""),
                                                 OR_NULL(MIEN_OUT_TEXT, "id_face_image", "The document's portrait with 30 % around it, a JPEG data URL."),
                                                 ERROR_OR_NULL,
                                                 END};
static const struct mien_field f_verify[] = {BOOL("verified", "is_live and faces_match."),
                                             BOOL("is_live", ""),
                                             NUMBER("antispoof_score", ""),
                                             BOOL("faces_match", ""),
                                             NUMBER("face_match_confidence", ""),
                                             TOOK,
                                             TEXTS("issues", ""),
                                             END};
static const struct mien_field f_smile[] = {BOOL("isSmiling", ""),
                                            NUMBER("happyScore", "0..100."),
                                            OR_NULL(MIEN_OUT_TEXT, "dominantEmotion", ""),
                                            {.name = "emotions", .kind = MIEN_OUT_MAP, .help = "0..100 each."},
                                            BOOL("passed", ""),
                                            TOOK_CAMEL,
                                            ERROR_OR_NULL,
                                            END};
static const struct mien_field f_blink[] = {BOOL("blinkDetected", "This frame completes a blink."),
                                            NUMBER("earValue", "Mean eye aspect ratio."),
                                            NUMBER("leftEar", "Eye at image left."),
                                            NUMBER("rightEar", ""),
                                            INTEGER("blinkCount", ""),
                                            BOOL("leftEyeOpen", ""),
                                            BOOL("rightEyeOpen", ""),
                                            BOOL("faceDetected", ""),
                                            TOOK_CAMEL,
                                            ERROR_OR_NULL,
                                            END};
static const struct mien_field f_head[] = {NUMBER("yaw", "-1..1; below 0 the nose is left in the image."),
                                           NUMBER("pitch", "-1..1; above 0 up."),
                                           TEXT("direction", "forward, left, right, up, down."),
                                           BOOL("isTurningLeft", ""),
                                           BOOL("isTurningRight", ""),
                                           BOOL("leftTurnCompleted", "Two frames in a row."),
                                           BOOL("rightTurnCompleted", ""),
                                           BOOL("faceDetected", ""),
                                           NUMBER("yawDegrees", ""),
                                           NUMBER("pitchDegrees", ""),
                                           NUMBER("rollDegrees", ""),
                                           TOOK_CAMEL,
                                           ERROR_OR_NULL,
                                           END};
static const struct mien_field f_turn[] = {BOOL("turnDetected", "Turned in the direction that was asked for."),
                                           NUMBER("yaw", ""),
                                           TEXT("direction", ""),
                                           BOOL("meetsThreshold", "|yaw| at or above the threshold."),
                                           TEXT("requiredDirection", ""),
                                           NUMBER("yawDegrees", ""),
                                           NUMBER("pitchDegrees", ""),
                                           NUMBER("rollDegrees", ""),
                                           TOOK_CAMEL,
                                           ERROR_OR_NULL,
                                           END};
static const struct mien_field f_challenge[] = {BOOL("passed", ""),
                                                TEXT("challengeType", ""),
                                                OR_NULL(MIEN_OUT_NUMBER, "baselineEmotion", "Smile of the baseline, 0..100."),
                                                OR_NULL(MIEN_OUT_NUMBER, "challengeEmotion", ""),
                                                OR_NULL(MIEN_OUT_NUMBER, "emotionChange", ""),
                                                TEXT("message", ""),
                                                TOOK_CAMEL,
                                                ERROR_OR_NULL,
                                                END};
static const struct mien_field f_multi_one[] = {
    INTEGER("index", ""), TEXT("challengeType", ""), BOOL("passed", ""), OR_NULL(MIEN_OUT_NUMBER, "score", "Smile 0..100, yaw, or EAR."), ERROR_OR_NULL, END};
static const struct mien_field f_multi[] = {
    BOOL("allPassed", ""), INTEGER("totalChallenges", ""), INTEGER("passedCount", ""), OBJECTS("results", f_multi_one, ""), TOOK_CAMEL, ERROR_OR_NULL, END};

static const struct mien_field f_enroll[] = {
    TEXT("user_id", ""),
    BOOL("success", "False when no face was found or its quality is below QUALITY_THRESHOLD; then nothing was changed."),
    TEXT("message", ""),
    {.name = "quality", .kind = MIEN_OUT_OBJECT, .sub = f_quality, .nullable = true, .help = "Of the best face; null without one."},
    INTEGER("faces_detected", ""),
    TOOK,
    END};
static const struct mien_field f_unenroll[] = {TEXT("user_id", ""), BOOL("deleted", "Always true."), END};
static const struct mien_field f_user[] = {TEXT("user_id", ""),
                                           OR_NULL(MIEN_OUT_TEXT, "name", ""),
                                           TEXT("enrolled_at", "UTC, of the first enrolment or the last that replaced."),
                                           {.name = "metadata", .kind = MIEN_OUT_ANY, .help = "As it was given."},
                                           INTEGER("templates", "Photos that the user is searched by."),
                                           END};
static const struct mien_field f_gallery[] = {OBJECTS("users", f_user, "By rising user_id (bytes)."), INTEGER("total", "Users of the whole gallery."),
                                              OR_NULL(MIEN_OUT_TEXT, "cursor", "To be sent for the next page; null on the last."), END};
static const struct mien_field f_hit[] = {TEXT("user_id", ""), NUMBER("similarity", "Cosine of the user's best template."),
                                          NUMBER("confidence", "Calibrated; 0.5 at the model's threshold."), OR_NULL(MIEN_OUT_TEXT, "name", ""), END};
static const struct mien_field f_search[] = {OBJECTS("matches", f_hit, "Most similar first; empty for a stranger."),
                                             NUMBER("threshold", ""),
                                             INTEGER("faces_detected", ""),
                                             OBJECT("quality", f_quality, "Of the best face, which is searched for."),
                                             TOOK,
                                             END};
#define FUSED_OR_NULL                                                                                                                                          \
    BOOL("success", "decision is accept."), OR_NULL(MIEN_OUT_TEXT, "decision", "accept, re_verify or reject, by fusion_score."),                               \
        OR_NULL(MIEN_OUT_TEXT, "message", ""),                                                                                                                 \
        OR_NULL(MIEN_OUT_NUMBER, "liveness_score", "0..1; null without anti-spoofing networks."),                                                              \
        OR_NULL(MIEN_OUT_NUMBER, "fusion_score", "0..1: similarity, depth, liveness and motion, as far as they are there.")

static const struct mien_field f_parts[] = {OR_NULL(MIEN_OUT_NUMBER, "depth", ""),   OR_NULL(MIEN_OUT_NUMBER, "motion", ""),
                                            OR_NULL(MIEN_OUT_NUMBER, "blink", ""),   OR_NULL(MIEN_OUT_NUMBER, "texture", ""),
                                            OR_NULL(MIEN_OUT_NUMBER, "antispoof", ""), END};
static const struct mien_field f_enroll_frames[] = {TEXT("user_id", ""),
                                                    BOOL("success", "False: nothing was changed."),
                                                    TEXT("decision", "accept or reject."),
                                                    NUMBER("confidence", "Calibrated similarity of the least alike frame to the template."),
                                                    TEXT("message", ""),
                                                    NUMBER("liveness_score", "Mean of the frames that were used."),
                                                    INTEGER("frames_with_one_face", ""),
                                                    INTEGER("frames_used", "Those whose liveness was high enough."),
                                                    TOOK,
                                                    END};
static const struct mien_field f_verify_frames[] = {
    TEXT("user_id", ""),
    BOOL("verified", "decision is accept."),
    BOOL("match", "similarity is at or above the threshold."),
    FUSED_OR_NULL,
    NUMBER("confidence", "fusion_score."),
    OR_NULL(MIEN_OUT_NUMBER, "similarity", "Of the frame that decided; null when none could be used."),
    NUMBER("threshold", ""),
    OBJECT("liveness", f_parts, "What the liveness was made of; null: not present."),
    {.name = "quality", .kind = MIEN_OUT_OBJECT, .sub = f_quality, .nullable = true, .help = "Of that frame."},
    INTEGER("frames_with_one_face", ""),
    INTEGER("frames_used", "Those whose liveness was high enough."),
    TOOK,
    END};
static const struct mien_field f_verify_user[] = {TEXT("user_id", ""),
                                                  BOOL("verified", "similarity is at or above the threshold."),
                                                  BOOL("match", "The same."),
                                                  NUMBER("similarity", "Cosine of the user's best template."),
                                                  NUMBER("threshold", ""),
                                                  NUMBER("confidence", "Calibrated; 0.5 at the model's threshold."),
                                                  FUSED_OR_NULL,
                                                  INTEGER("faces_detected", ""),
                                                  OBJECT("quality", f_quality, ""),
                                                  TOOK,
                                                  END};
static const struct mien_field f_import[] = {INTEGER("imported", "Templates."), TOOK, END};
static const struct mien_field f_rotate[] = {INTEGER("resealed", "Templates that were sealed anew."), TOOK, END};

#define DISTANCES                                                                                                                                              \
    OR_NULL(MIEN_OUT_NUMBER, "min_sim_score", "Smallest Euclidean distance to the facebank's rows: lower is more alike."),                                     \
        OR_NULL(MIEN_OUT_NUMBER, "mean_sim_score", "Mean distance to the rows."), OR_NULL(MIEN_OUT_NUMBER, "similarity", "Largest cosine.")
#define LIVENESS_SCORE OR_NULL(MIEN_OUT_NUMBER, "liveness_score", "As /liveness answers it; below 0.5 the spoof log gets a line.")
#define FACE_ID INTEGER("id", "From 0, by falling size.")
#define FACE_BOX OBJECT("bounding_box", f_box, "")
static const struct mien_field f_main_face[] = {FACE_ID, DISTANCES, LIVENESS_SCORE, FACE_BOX, END};
static const struct mien_field f_main[] = {TEXT("message", "\"No faces detected.\" with nulls when there is none."), DISTANCES, LIVENESS_SCORE,
                                           OBJECTS("faces", f_main_face, "Every face; the members above are those of the best."), TOOK, END};
static const struct mien_field f_identity_face[] = {FACE_ID, DISTANCES, FACE_BOX, END};
static const struct mien_field f_identity[] = {TEXT("message", ""), DISTANCES, OBJECTS("faces", f_identity_face, ""), TOOK, END};

static const struct mien_field f_asked[] = {TEXT("challengeType", "smile, blink, turn_left or turn_right."),
                                            INTEGER("index", "From 0."),
                                            INTEGER("total", ""),
                                            TEXT("title", ""),
                                            TEXT("instruction", "For the person."),
                                            TEXT("icon", "smile, eye, arrow-left or arrow-right."),
                                            INTEGER("timeoutSeconds", "Guidance for the client; the server does not enforce it."),
                                            END};
#define ASKED_OR_NULL(n, h) {.name = n, .kind = MIEN_OUT_OBJECT, .sub = f_asked, .nullable = true, .help = h}
static const struct mien_field f_session[] = {
    TEXT("sessionId", "32 hexadecimal digits; lives 600 s."),
    TEXTS("challenges", "In the order in which they are to be done."),
    INTEGER("currentIndex", "How many are done."),
    BOOL("isComplete", "All are done."),
    BOOL("isPassed", "All are done and passed."),
    OR_NULL(MIEN_OUT_TEXT, "assurance", "The weakest of those that are done: server (photos were judged) or client (its word only); null before the first."),
    ASKED_OR_NULL("currentChallenge", "Null when all are done."),
    END};
static const struct mien_field f_complete[] = {
    BOOL("success", "The challenge is done now, passed or not. False: it is not the current one, or all are done; nothing was changed."),
    BOOL("passed", ""),
    BOOL("sessionComplete", ""),
    BOOL("sessionPassed", ""),
    OR_NULL(MIEN_OUT_TEXT, "assurance", "Of this challenge: server or client; null when it was not taken."),
    ASKED_OR_NULL("nextChallenge", "What is to be done now; null when all are done."),
    OR_NULL(MIEN_OUT_TEXT, "error", "Why it was not taken, or what the photos lack."),
    END};

static const struct mien_field f_invited[] = {TEXT("session_id", "32 hexadecimal digits; opens one WebSocket, once, within 120 s."),
                                              TEXT("websocket_url", "Where: ws://HOST/ws/verify/ID, wss:// behind a trusted proxy that speaks TLS."),
                                              TEXT("message", ""),
                                              END};
static const struct mien_field f_token[] = {BOOL("valid", "Always true; a token that is not valid is answered with 401 invalid_token."),
                                            {.name = "payload", .kind = MIEN_OUT_ANY, .help = "The token's claims."},
                                            TEXT("user_id", ""),
                                            TEXT("session_id", ""),
                                            INTEGER("issued_at", "Seconds since 1970, as iat."),
                                            INTEGER("expires_at", "... as exp."),
                                            END};
static const struct mien_field f_jwk[] = {TEXT("kty", "RSA"), TEXT("use", "sig"), TEXT("alg", "RS256"), TEXT("kid", "As in a token's header."),
                                          TEXT("n", "Modulus, base64url."), TEXT("e", "Exponent, base64url."), END};
static const struct mien_field f_jwks[] = {OBJECTS("keys", f_jwk, "The key that signs first, then those whose tokens are still valid."), END};

/* ---- routes ---- */

#define STATUS(p, f, t, fn, s)                                                                                                                                 \
    {                                                                                                                                                          \
        MIEN_GET, p, MIEN_SCOPE_NONE, MIEN_TAKES_NOTHING, true, NULL, f, t, fn, s, "status", NULL \
    }
#define POST(p, takes, m, f, fn, s, tag)                                                                                                                       \
    {                                                                                                                                                          \
        MIEN_POST, p, MIEN_SCOPE_ANALYZE, takes, false, m, f, NULL, fn, s, tag, NULL \
    }

#define AUTH(p, m, f, fn, s)                                                                                                                                   \
    {                                                                                                                                                          \
        MIEN_POST, p, MIEN_SCOPE_SESSION, MIEN_TAKES_JSON, false, m, f, NULL, fn, s, "proof of life", NULL \
    }

const struct mien_route mien_routes[] = {
    STATUS("/", f_root, NULL, mien_do_root, "What this is, as JSON; the web page for browsers"),
    STATUS("/health", f_health, NULL, mien_do_health, "Health of every part; 503 when one is down"),
    STATUS("/livez", f_live, NULL, mien_do_livez, "The process answers"),
    STATUS("/readyz", f_live, NULL, mien_do_readyz, "Requests will be served; 503 while starting or stopping"),
    {MIEN_GET, "/metrics", MIEN_SCOPE_ADMIN, MIEN_TAKES_NOTHING, true, NULL, NULL, "text/plain; version=0.0.4; charset=utf-8", mien_do_metrics,
     "Prometheus metrics", "status", NULL},
    STATUS("/openapi.json", NULL, "application/json", mien_do_openapi, "This document"),
    STATUS("/docs", NULL, "text/html; charset=utf-8", mien_do_docs, "This documentation, to try out"),
    POST("/detect", MIEN_TAKES_IMAGE_FORMS, m_image, f_detect, mien_do_detect, "Faces in a photo", "faces"),
    POST("/embed", MIEN_TAKES_IMAGE_FORMS, m_embed, f_embed, mien_do_embed, "Embedding and quality of the best face", "faces"),
    POST("/compare", MIEN_TAKES_JSON | MIEN_TAKES_MULTIPART, m_compare, f_compare, mien_do_compare, "Whether two photos show the same person", "faces"),
    POST("/batch/embed", MIEN_TAKES_JSON | MIEN_TAKES_MULTIPART, m_batch, f_batch, mien_do_batch_embed, "Embeddings of several photos", "faces"),
    POST("/analyze", MIEN_TAKES_IMAGE_FORMS | MIEN_TAKES_QUERY, m_image, f_analyze, mien_do_analyze, "Everything about every face", "faces"),
    POST("/liveness", MIEN_TAKES_IMAGE_FORMS, m_antispoof, f_liveness, mien_do_liveness, "Whether a photo is a live capture", "liveness"),
    POST("/antispoof", MIEN_TAKES_IMAGE_FORMS, m_antispoof, f_antispoof, mien_do_antispoof, "The anti-spoofing networks alone", "liveness"),
    POST("/face-match", MIEN_TAKES_JSON | MIEN_TAKES_MULTIPART, m_face_match, f_face_match, mien_do_face_match, "Identity document against selfie",
         "documents"),
    POST("/verify", MIEN_TAKES_JSON | MIEN_TAKES_MULTIPART, m_verify, f_verify, mien_do_verify_document, "Liveness of the selfie and document against selfie",
         "documents"),
    {MIEN_POST, "/verify", MIEN_SCOPE_GALLERY_READ, MIEN_TAKES_IMAGE_FORMS, false, m_verify_user, f_verify_user, NULL, mien_do_verify_user,
     "Whether a photo shows an enrolled user", "gallery", "user_id"},
    {MIEN_POST, "/verify", MIEN_SCOPE_GALLERY_READ, MIEN_TAKES_JSON | MIEN_TAKES_MULTIPART, false, m_verify_frames, f_verify_frames, NULL,
     mien_do_verify_frames, "Whether frames show an enrolled user, alive", "gallery", "images"},
    {MIEN_POST, "/enroll", MIEN_SCOPE_GALLERY_WRITE, MIEN_TAKES_IMAGE_FORMS, false, m_enroll, f_enroll, NULL, mien_do_enroll, "Enroll a person by one photo",
     "gallery", NULL},
    {MIEN_POST, "/enroll", MIEN_SCOPE_GALLERY_WRITE, MIEN_TAKES_JSON | MIEN_TAKES_MULTIPART, false, m_frames, f_enroll_frames, NULL, mien_do_enroll_frames,
     "Enroll a person by several frames", "gallery", "images"},
    {MIEN_DELETE, "/enroll/{user_id}", MIEN_SCOPE_GALLERY_WRITE, MIEN_TAKES_NOTHING, false, m_unenroll, f_unenroll, NULL, mien_do_unenroll,
     "Remove a person and every template", "gallery", NULL},
    {MIEN_GET, "/gallery", MIEN_SCOPE_GALLERY_READ, MIEN_TAKES_QUERY, false, m_gallery, f_gallery, NULL, mien_do_gallery, "Who is enrolled, page by page",
     "gallery", NULL},
    {MIEN_POST, "/search", MIEN_SCOPE_GALLERY_READ, MIEN_TAKES_IMAGE_FORMS, false, m_search, f_search, NULL, mien_do_search, "Who a photo shows", "gallery",
     NULL},
    POST("/main", MIEN_TAKES_IMAGE_FORMS, m_image, f_main, mien_do_main, "Faces against the facebank, with liveness", "facebank"),
    POST("/identity", MIEN_TAKES_IMAGE_FORMS, m_image, f_identity, mien_do_identity, "Faces against the facebank", "facebank"),
    {MIEN_POST, "/gallery/import", MIEN_SCOPE_GALLERY_WRITE, MIEN_TAKES_JSON | MIEN_TAKES_LINES, false, m_import, f_import, NULL, mien_do_gallery_import,
     "Enroll people by ready embeddings", "gallery", NULL},
    {MIEN_POST, "/keys/rotate", MIEN_SCOPE_ADMIN, MIEN_TAKES_JSON, false, NULL, f_rotate, NULL, mien_do_keys_rotate, "Seal every template under a new key",
     "gallery", NULL},
    POST("/smile-check", MIEN_TAKES_IMAGE_FORMS, m_smile, f_smile, mien_do_smile_check, "Smile in one frame", "challenges"),
    POST("/blink-check", MIEN_TAKES_IMAGE_FORMS, m_blink, f_blink, mien_do_blink_check, "Blinks over frames", "challenges"),
    POST("/head-pose", MIEN_TAKES_IMAGE_FORMS, m_head, f_head, mien_do_head_pose, "Head direction over frames", "challenges"),
    POST("/head-turn-check", MIEN_TAKES_IMAGE_FORMS, m_turn, f_turn, mien_do_head_turn_check, "A turn in one frame", "challenges"),
    POST("/challenge/validate", MIEN_TAKES_JSON | MIEN_TAKES_MULTIPART, m_challenge, f_challenge, mien_do_challenge_validate,
         "A smile against a neutral baseline", "challenges"),
    POST("/challenge/validate-multi", MIEN_TAKES_JSON, m_multi, f_multi, mien_do_challenge_validate_multi, "Several challenges at once", "challenges"),
    {MIEN_POST, "/challenge/session", MIEN_SCOPE_SESSION, MIEN_TAKES_JSON, false, m_begin, f_session, NULL, mien_do_challenge_session,
     "Begin a session of challenges drawn at random", "sessions", NULL},
    {MIEN_POST, "/challenge/complete", MIEN_SCOPE_SESSION, MIEN_TAKES_JSON | MIEN_TAKES_MULTIPART, false, m_complete, f_complete, NULL,
     mien_do_challenge_complete, "Finish the session's current challenge, with photos or by the client's word", "sessions", NULL},
    {MIEN_GET, "/challenge/session/{session_id}", MIEN_SCOPE_SESSION, MIEN_TAKES_NOTHING, false, m_state, f_session, NULL, mien_do_challenge_state,
     "Where a session stands", "sessions", NULL},
    AUTH("/auth/verify", m_live, f_invited, mien_do_auth_verify, "Begin a live session: proof of life over a WebSocket"),
    AUTH("/token/validate", m_token, f_token, mien_do_token_validate, "Whether a token is one of ours and valid now"),
    AUTH("/api/auth/verify", m_live, f_invited, mien_do_auth_verify, "The same as /auth/verify"),
    AUTH("/api/token/validate", m_token, f_token, mien_do_token_validate, "The same as /token/validate"),
    {MIEN_GET, "/.well-known/jwks.json", MIEN_SCOPE_NONE, MIEN_TAKES_NOTHING, true, NULL, f_jwks, "application/json", mien_do_jwks,
     "The public keys of tokens (RFC 7517)", "proof of life", NULL},
    {MIEN_GET, "/ws/verify/{session_id}", MIEN_SCOPE_NONE, MIEN_TAKES_UPGRADE, false, m_socket, NULL, NULL, NULL,
     "The WebSocket of a live session; the session's id is the credential", "proof of life", NULL},
};
const int mien_route_count = (int)(sizeof mien_routes / sizeof mien_routes[0]);
