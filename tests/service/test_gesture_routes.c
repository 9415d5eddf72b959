/* The routes of gestures and challenges over the real networks, with frames of real clips (decoded by the ffmpeg program) and a picture without a face. Without
 * clips, only the latter. Every answer is held against its row. */
#include "support/faces.h"
#include "support/pictures.h"
#include "support/requests.h"

#include <math.h>

#include "service/openapi.h"
#include "service/person.h"
#include "service/service.h"

static struct test_pack pack;
static struct mien_service *service;

/* ---- pictures: base64, made once ---- */

enum picture { NOTHING, A_NEUTRAL, A_SMILE, A_CLOSED, B_NEUTRAL, B_LEFT, B_RIGHT, PICTURES };
static const struct { const char *clip; int frame; } source[PICTURES] = {[A_NEUTRAL] = {"lp_d19", 36}, [A_SMILE] = {"lp_d19", 96}, [A_CLOSED] = {"lp_d19", 100},
    [B_NEUTRAL] = {"lp_d12", 121}, [B_LEFT] = {"lp_d12", 85}, [B_RIGHT] = {"lp_d12", 37}};
static char *picture[PICTURES];

static char *base64_of(const void *data, size_t n)
{
    char *text = malloc(4 * ((n + 2) / 3) + 1);
    assert_non_null(text);
    text[mien_base64_encode(data, n, text)] = '\0';
    return text;
}

static char *frame_of(const char *clip, int frame)
{
    enum { MAX = 4 << 20 };
    char inner[128], path[4096], command[8192];
    snprintf(inner, sizeof inner, "webcam_videos/videos/%s.mp4", clip);
    snprintf(command, sizeof command, "ffmpeg -nostdin -loglevel quiet -i '%s' -vf 'select=eq(n\\,%d)' -frames:v 1 -q:v 3 -f image2pipe -c:v mjpeg -",
             test_data(path, inner), frame);
    unsigned char *data = malloc(MAX);
    FILE *f = popen(command, "r");
    assert_true(data != NULL && f != NULL);
    const size_t n = fread(data, 1, MAX, f);
    pclose(f);
    assert_true(n > 1000);
    char *text = base64_of(data, n);
    free(data);
    return text;
}

static char *no_face(void)
{
    struct mien_image im = picture_smooth(160, 120);
    struct bytes b = picture_jpeg(&im, (struct jpeg_options){.quality = 80});
    char *text = base64_of(b.data, b.n);
    free(b.data);
    mien_image_free(&im);
    return text;
}

/* Opens the models and the service once; skips the test without models. */
static void ready(void)
{
    struct mien_service_settings s;
    struct mien_err e = {0};
    if (service != NULL) return;
    mien_service_settings_default(&s);
    pack = test_pack_open(MIEN_PRECISION_AUTO);
    TEST_TRY(mien_service_create(&s, pack.models, &service, &e), e);
}

/* The first use of a clip's frame makes it; skips the test when it cannot be had. */
static const char *pic(enum picture p)
{
    char path[4096];
    ready();
    if (picture[p] != NULL) return picture[p];
    if (p != NOTHING) {
        test_data(path, "webcam_videos/index.csv");
        if (system("ffmpeg -version >/dev/null 2>&1") != 0) test_skip("the ffmpeg program");
    }
    return picture[p] = p == NOTHING ? no_face() : frame_of(source[p].clip, source[p].frame);
}

/* ---- requests ---- */

static struct answer post(const char *path, const char *body)
{
    char room[160], allow[64];
    struct mien_request *q = request_new(MIEN_POST, path);
    request_json(q, body);
    struct answer a = request_run(mien_service_handler(service), q);
    if (a.status == 200) {
        const char *wrong = mien_answer_differs(mien_route_find(MIEN_POST, path, allow)->fields, a.json, room);
        if (wrong != NULL) fail_msg("%s: %s in %s", path, wrong, a.body);
    }
    return a;
}

/* One image and further members (", \"threshold\":1" or ""). */
static struct answer post_image(const char *path, enum picture p, const char *more)
{
    const char *image = pic(p);
    char *body = malloc(strlen(image) + strlen(more) + 32);
    sprintf(body, "{\"image\":\"%s\"%s}", image, more);
    struct answer a = post(path, body);
    free(body);
    return a;
}

static struct answer post_smile(enum picture baseline, enum picture challenge, const char *more)
{
    const char *a = pic(baseline), *b = pic(challenge);
    char *body = malloc(strlen(a) + strlen(b) + strlen(more) + 80);
    sprintf(body, "{\"baselineImage\":\"%s\",\"challengeImage\":\"%s\"%s}", a, b, more);
    struct answer r = post("/challenge/validate", body);
    free(body);
    return r;
}

struct asked { const char *type; enum picture picture; };
static struct answer post_multi(enum picture baseline, const struct asked *asked, int n, const char *more)
{
    size_t size = strlen(pic(baseline)) + strlen(more) + 128;
    for (int i = 0; i < n; i++) size += strlen(pic(asked[i].picture)) + 96;
    char *body = malloc(size), *at = body;
    at += sprintf(at, "{\"baselineImage\":\"%s\",\"challengeResults\":[", pic(baseline));
    for (int i = 0; i < n; i++) at += sprintf(at, "%s{\"challenge_type\":\"%s\",\"image\":\"%s\"}", i > 0 ? "," : "", asked[i].type, pic(asked[i].picture));
    sprintf(at, "]%s}", more);
    struct answer r = post("/challenge/validate-multi", body);
    free(body);
    return r;
}

static const struct mien_json *in(const struct mien_json *object, const char *name)
{
    const struct mien_json *v = mien_json_get(object, name);
    if (v == NULL) fail_msg("no member %s", name);
    return v;
}

static void is_text(const struct mien_json *object, const char *name, const char *value)
{
    const char *is = mien_json_string(in(object, name), NULL);
    if (value == NULL ? !mien_json_is_null(in(object, name)) : is == NULL || strcmp(is, value) != 0)
        fail_msg("%s is %s, not %s", name, is != NULL ? is : "null", value != NULL ? value : "null");
}

static void is_bool(const struct mien_json *object, const char *name, bool value)
{
    if (mien_json_bool(in(object, name), !value) != value) fail_msg("%s is not %s", name, value ? "true" : "false");
}

static double number(const struct mien_json *object, const char *name) { return mien_json_number(in(object, name), -1e9); }

/* ---- one frame ---- */

static void smile_check(void **state)
{
    (void)state;
    struct answer a = post_image("/smile-check", NOTHING, "");
    assert_int_equal(a.status, 200);
    is_text(a.json, "error", "no_face_detected");
    is_bool(a.json, "passed", false);
    is_text(a.json, "dominantEmotion", NULL);
    answer_free(&a);
    a = post_image("/smile-check", A_SMILE, "");
    is_bool(a.json, "passed", true);
    is_bool(a.json, "isSmiling", true);
    is_text(a.json, "dominantEmotion", "happy");
    is_text(a.json, "error", NULL);
    assert_int_equal(mien_json_size(in(a.json, "emotions")), MIEN_EMOTIONS);
    const double happy = number(a.json, "happyScore");
    assert_true(happy > 60 && happy <= 100 && happy == number(in(a.json, "emotions"), "happy"));
    answer_free(&a);
    char more[64];
    snprintf(more, sizeof more, ",\"threshold\":%.2f", happy < 99.9 ? happy + 0.1 : 100.0);
    a = post_image("/smile-check", A_SMILE, more);
    is_bool(a.json, "passed", happy > 99.9);
    answer_free(&a);
    a = post_image("/smile-check", A_NEUTRAL, "");
    is_bool(a.json, "passed", false);
    assert_true(number(a.json, "happyScore") < 30);
    answer_free(&a);
    a = post_image("/smile-check", A_NEUTRAL, ",\"threshold\":101");
    assert_int_equal(a.status, 422);
    answer_free(&a);
}

static int blinks(enum picture p, const char *more, bool *now)
{
    struct answer a = post_image("/blink-check", p, more);
    assert_int_equal(a.status, 200);
    const int n = (int)number(a.json, "blinkCount");
    *now = mien_json_bool(in(a.json, "blinkDetected"), false);
    is_bool(a.json, "faceDetected", p != NOTHING);
    is_text(a.json, "error", p != NOTHING ? NULL : "no_face_detected");
    is_bool(a.json, "leftEyeOpen", p != A_CLOSED && p != NOTHING);
    is_bool(a.json, "rightEyeOpen", p != A_CLOSED && p != NOTHING);
    answer_free(&a);
    return n;
}

#define ONE ",\"sessionId\":\"one\""
#define TWO ",\"sessionId\":\"two\""

/* The frames come slower than 10 a second only when the machine is slow: two closed frames are a blink at every rate. */
static void blink_check(void **state)
{
    (void)state;
    bool now;
    assert_int_equal(blinks(NOTHING, "", &now), 0);
    assert_int_equal(blinks(A_NEUTRAL, ONE ",\"resetSession\":true", &now), 0);
    assert_int_equal(blinks(A_CLOSED, ONE, &now), 0);
    assert_int_equal(blinks(A_CLOSED, ONE, &now), 0);
    assert_false(now);
    assert_int_equal(blinks(A_NEUTRAL, TWO, &now), 0); /* not this session's blink */
    assert_false(now);
    assert_int_equal(blinks(A_NEUTRAL, ONE, &now), 1);
    assert_true(now);
    assert_int_equal(blinks(A_NEUTRAL, ONE, &now), 1);
    assert_false(now);
    assert_int_equal(blinks(A_NEUTRAL, "", &now), 0);
    assert_int_equal(blinks(A_CLOSED, ONE, &now), 1);
    assert_int_equal(blinks(A_CLOSED, ONE, &now), 1);
    assert_int_equal(blinks(NOTHING, ONE, &now), 1);
    assert_int_equal(blinks(A_NEUTRAL, ONE, &now), 1); /* the face was away */
    assert_int_equal(blinks(A_NEUTRAL, ONE ",\"resetSession\":true", &now), 0);
}

static void pose(enum picture p, const char *more, const char *direction, bool left_done, bool right_done)
{
    struct answer a = post_image("/head-pose", p, more);
    assert_int_equal(a.status, 200);
    is_text(a.json, "direction", direction);
    is_bool(a.json, "isTurningLeft", strcmp(direction, "left") == 0);
    is_bool(a.json, "isTurningRight", strcmp(direction, "right") == 0);
    is_bool(a.json, "leftTurnCompleted", left_done);
    is_bool(a.json, "rightTurnCompleted", right_done);
    is_bool(a.json, "faceDetected", p != NOTHING);
    is_text(a.json, "error", p != NOTHING ? NULL : "no_face_detected");
    const double yaw = number(a.json, "yaw"), degrees = number(a.json, "yawDegrees");
    if (p == B_LEFT) assert_true(yaw < -0.15 && yaw >= -1 && degrees < -5);
    if (p == B_RIGHT) assert_true(yaw > 0.15 && yaw <= 1 && degrees > 5);
    answer_free(&a);
}

static void head_pose(void **state)
{
    (void)state;
    pose(NOTHING, ONE ",\"resetSession\":true", "forward", false, false);
    pose(B_NEUTRAL, ONE, "forward", false, false);
    pose(B_LEFT, ONE, "left", false, false);
    pose(NOTHING, ONE, "forward", false, false);
    pose(B_LEFT, ONE, "left", false, false);
    pose(B_LEFT, ONE, "left", true, false);
    pose(B_RIGHT, ONE, "right", true, false);
    pose(B_RIGHT, TWO, "right", false, false);
    pose(B_RIGHT, ONE, "right", true, true);
    pose(B_LEFT, TWO ",\"mirrored\":false", "right", false, true);
}

static void turn(enum picture p, const char *more, const char *required, const char *direction, bool meets, bool turned)
{
    char members[200];
    snprintf(members, sizeof members, ",\"direction\":\"%s\"%s", required, more);
    struct answer a = post_image("/head-turn-check", p, members);
    assert_int_equal(a.status, 200);
    is_text(a.json, "requiredDirection", required);
    is_text(a.json, "direction", direction);
    is_bool(a.json, "meetsThreshold", meets);
    is_bool(a.json, "turnDetected", turned);
    is_text(a.json, "error", p != NOTHING ? NULL : "no_face_detected");
    answer_free(&a);
}

static void head_turn_check(void **state)
{
    (void)state;
    turn(NOTHING, "", "left", "forward", false, false);
    turn(NOTHING, ",\"threshold\":0", "left", "forward", false, false);
    turn(B_LEFT, "", "left", "left", true, true);
    turn(B_LEFT, "", "right", "left", true, false);
    turn(B_RIGHT, "", "right", "right", true, true);
    turn(B_RIGHT, ",\"mirrored\":false", "right", "left", true, false);
    turn(B_RIGHT, ",\"threshold\":0.9", "right", "forward", false, false);
    turn(B_NEUTRAL, "", "left", "forward", false, false);
    struct answer a = post_image("/head-turn-check", NOTHING, "");
    assert_int_equal(a.status, 422);
    answer_free(&a);
    a = post_image("/head-turn-check", NOTHING, ",\"direction\":\"up\"");
    assert_int_equal(a.status, 422);
    answer_free(&a);
}

/* ---- challenges ---- */

static void smile(enum picture baseline, enum picture challenge, const char *more, const char *error)
{
    struct answer a = post_smile(baseline, challenge, more);
    assert_int_equal(a.status, 200);
    is_text(a.json, "error", error);
    is_bool(a.json, "passed", error == NULL);
    assert_true(strlen(mien_json_string(in(a.json, "message"), "")) > 0);
    const struct mien_json *b = in(a.json, "baselineEmotion"), *c = in(a.json, "challengeEmotion"), *change = in(a.json, "emotionChange");
    if (mien_json_is_number(b) && mien_json_is_number(c))
        assert_true(fabs(mien_json_number(c, 0) - mien_json_number(b, 0) - mien_json_number(change, 1e9)) < 0.11);
    else assert_true(mien_json_is_null(change));
    answer_free(&a);
}

static void challenge_validate(void **state)
{
    (void)state;
    smile(NOTHING, NOTHING, "", "baseline_face_not_detected");
    smile(NOTHING, NOTHING, ",\"challengeType\":\"nod\"", "unknown_challenge_type");
    smile(A_NEUTRAL, NOTHING, "", "face_not_detected");
    smile(NOTHING, A_SMILE, "", "baseline_face_not_detected");
    smile(A_NEUTRAL, A_SMILE, "", NULL);
    smile(A_NEUTRAL, A_SMILE, ",\"challengeType\":\"smile\"", NULL);
    smile(A_NEUTRAL, A_NEUTRAL, "", "smile_not_detected");
    smile(A_SMILE, A_SMILE, "", "insufficient_emotion_change");
    smile(A_SMILE, A_SMILE, ",\"minEmotionChange\":0", NULL);
    smile(A_NEUTRAL, A_NEUTRAL, ",\"minEmotionChange\":0,\"smileThreshold\":0", NULL);
    smile(B_NEUTRAL, A_SMILE, "", "different_person");
}

static void multi(enum picture baseline, const struct asked *asked, const char *const *error, int n, const char *more)
{
    int passed = 0;
    struct answer a = post_multi(baseline, asked, n, more);
    assert_int_equal(a.status, 200);
    for (int i = 0; i < n; i++) {
        const struct mien_json *r = mien_json_at(in(a.json, "results"), (size_t)i);
        is_text(r, "error", error[i]);
        is_bool(r, "passed", error[i] == NULL);
        is_text(r, "challengeType", asked[i].type);
        assert_true(number(r, "index") == i);
        passed += error[i] == NULL;
    }
    assert_int_equal(mien_json_size(in(a.json, "results")), n);
    is_bool(a.json, "allPassed", passed == n);
    assert_true(number(a.json, "totalChallenges") == n && number(a.json, "passedCount") == passed);
    is_text(a.json, "error", baseline == NOTHING ? "baseline_face_not_detected" : NULL);
    answer_free(&a);
}

static void challenge_validate_multi(void **state)
{
    (void)state;
    multi(NOTHING, (const struct asked[]){{"smile", NOTHING}}, (const char *const[]){"baseline_face_not_detected"}, 1, "");
    multi(A_NEUTRAL, (const struct asked[]){{"smile", A_SMILE}, {"blink", A_CLOSED}}, (const char *const[]){NULL, NULL}, 2, "");
    multi(A_NEUTRAL, (const struct asked[]){{"smile", A_NEUTRAL}, {"blink", A_NEUTRAL}, {"turn_left", A_NEUTRAL}, {"blink", NOTHING}},
          (const char *const[]){"smile_not_detected", "blink_not_detected", "turn_not_detected", "face_not_detected"}, 4, "");
    multi(B_NEUTRAL, (const struct asked[]){{"turn_left", B_LEFT}, {"turn_right", B_RIGHT}, {"turn_left", B_RIGHT}, {"smile", A_SMILE}},
          (const char *const[]){NULL, NULL, "turn_not_detected", "different_person"}, 4, "");
    multi(B_NEUTRAL, (const struct asked[]){{"turn_right", B_LEFT}}, (const char *const[]){NULL}, 1, ",\"mirrored\":false");
    struct answer a = post_multi(NOTHING, (const struct asked[]){{"nod", NOTHING}}, 1, "");
    assert_int_equal(a.status, 422);
    answer_free(&a);
    a = post_multi(NOTHING, NULL, 0, "");
    assert_int_equal(a.status, 422);
    answer_free(&a);
}

/* ---- packs without some networks ---- */

/* The installed manifest with one role empty. */
static struct mien_models *pack_without(const char *role)
{
    char path[4200], name[64];
    unsigned char *text;
    size_t n;
    struct mien_models *models;
    struct mien_err e = {0};
    snprintf(path, sizeof path, "%s/manifest.json", mien_models_dir(pack.models));
    snprintf(name, sizeof name, "\"%s\": \"", role);
    TEST_TRY(mien_file_read(path, 16u << 20, &text, &n, &e), e);
    char *at = strstr((char *)text, name); /* roles come before models; a pack may be without this one anyway */
    if (at != NULL) {
        at += strlen(name) - 1;
        memset(at, ' ', strcspn(at + 1, "\"") + 2);
        memcpy(at, "null", 4);
    }
    TEST_TRY(mien_models_parse((char *)text, n, mien_models_dir(pack.models), NULL, &models, &e), e);
    free(text);
    return models;
}

/* Without a network there is no verdict, not even that there is no face. */
static void answers_without(const char *role, const char *path, struct answer (*post_it)(const char *path), bool available)
{
    struct mien_service *whole = service;
    struct mien_models *models = pack_without(role);
    struct mien_service_settings s;
    struct mien_err e = {0};
    mien_service_settings_default(&s);
    TEST_TRY(mien_service_create(&s, models, &service, &e), e);
    struct answer a = post_it(path);
    if (a.status != (available ? 200 : 503)) fail_msg("%s without %s: %d %s", path, role, a.status, a.body);
    assert_string_equal(answer_code(&a), available ? "" : "model_unavailable");
    answer_free(&a);
    mien_service_free(&service);
    mien_models_free(&models);
    service = whole;
}

static struct answer one_image(const char *path) { return post_image(path, NOTHING, strcmp(path, "/head-turn-check") == 0 ? ",\"direction\":\"left\"" : ""); }
static struct answer two_images(const char *path)
{
    (void)path;
    return post_smile(NOTHING, NOTHING, "");
}
static struct answer several_images(const char *path)
{
    (void)path;
    return post_multi(NOTHING, (const struct asked[]){{"blink", NOTHING}}, 1, "");
}

static void without_a_network_there_is_no_verdict(void **state)
{
    (void)state;
    ready();
    answers_without("detect", "/smile-check", one_image, false);
    answers_without("expression", "/smile-check", one_image, false);
    answers_without("blendshapes", "/smile-check", one_image, true);
    answers_without("embed", "/smile-check", one_image, true);
    answers_without("landmarks", "/blink-check", one_image, false);
    answers_without("landmarks", "/head-pose", one_image, false);
    answers_without("landmarks", "/head-turn-check", one_image, false);
    answers_without("expression", "/challenge/validate", two_images, false);
    answers_without("embed", "/challenge/validate", two_images, false);
    answers_without("embed", "/challenge/validate-multi", several_images, false);
    answers_without("landmarks", "/challenge/validate-multi", several_images, false);
    answers_without("expression", "/challenge/validate-multi", several_images, true);
}

/* Confidence 0.75 of a match, whatever the threshold. */
static void same_person_asks_for_more_than_a_match(void **state)
{
    (void)state;
    struct mien_model m = {.threshold = 0.275f, .calibration_slope = 14.0f};
    assert_true(fabsf(mien_match_confidence(&m, mien_person_threshold(&m, m.threshold)) - 0.75f) < 1e-4f);
    assert_true(fabsf(mien_person_threshold(&m, 0.4f) - 0.4785f) < 1e-4f);
    m.calibration_slope = 0.0f;
    assert_true(mien_person_threshold(&m, 0.4f) == 0.4f);
}

static int tear_down(void **state)
{
    (void)state;
    mien_service_free(&service);
    test_pack_close(&pack);
    for (int i = 0; i < PICTURES; i++) free(picture[i]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(smile_check), cmocka_unit_test(blink_check), cmocka_unit_test(head_pose),
                                       cmocka_unit_test(head_turn_check), cmocka_unit_test(challenge_validate), cmocka_unit_test(challenge_validate_multi),
                                       cmocka_unit_test(without_a_network_there_is_no_verdict), cmocka_unit_test(same_person_asks_for_more_than_a_match)};
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
