// Blink, head ratios, directions, turns and the smile score: drawn sequences and meshes, and real frames where they are.
#include "support/faces.h"

#include <math.h>
#include "liveness/gestures.h"

static bool is_near(double a, double b, double tolerance) { return fabs(a - b) <= tolerance; }

/* ---- blink ---- */

/* Plays a text of eyes at a frame rate: '-' open, 'x' closed; returns the blinks and, in `when`, the frame of the last one. */
static int play(const char *eyes, double fps, int *when)
{
    struct mien_blink b = {0};
    for (int i = 0; eyes[i] != '\0'; i++) {
        const uint64_t now = UINT64_C(5000000000) + (uint64_t)(i * 1e9 / fps);
        if (mien_blink_frame(&b, eyes[i] == 'x' ? 0.08f : 0.31f, now) && when != NULL) *when = i;
    }
    return b.count;
}

static void one_closed_frame_is_a_blink_only_at_few_frames_a_second(void **state)
{
    (void)state;
    int when = -1;
    assert_int_equal(play("----x----", 5, &when), 1);
    assert_int_equal(when, 5); /* counted when the eyes are open again */
    assert_int_equal(play("----x----", 9, NULL), 1);
    assert_int_equal(play("----x----", 15, NULL), 0);
    assert_int_equal(play("----x----", 30, NULL), 0);
    assert_int_equal(play("----xx---", 15, NULL), 1);
    assert_int_equal(play("----xx---", 30, NULL), 1);
    assert_int_equal(play("--xx-xx--", 30, NULL), 2);
    assert_int_equal(play("--x-x-x--", 30, NULL), 0);
    assert_int_equal(play("--x-x-x--", 5, NULL), 3);
    assert_int_equal(play("---------", 30, NULL), 0);
    assert_int_equal(play("--xxxxxxxxxxxxxxx-", 30, NULL), 1);
    assert_int_equal(play("--xxxxxxxxxxxxxxx", 30, NULL), 0); /* not opened again */
    assert_int_equal(play("x-", 5, NULL), 1);
    assert_int_equal(play("x-", 30, NULL), 0);
}

static void the_threshold_itself_is_closed(void **state)
{
    (void)state;
    struct mien_blink b = {0};
    assert_false(mien_blink_frame(&b, MIEN_EAR_CLOSED, 1000000000));
    assert_int_equal(b.closed_frames, 1);
    assert_true(mien_blink_frame(&b, nextafterf(MIEN_EAR_CLOSED, 1.0f), 1200000000));
    assert_int_equal(b.count, 1);
}

static void the_rate_follows_the_frames_and_pauses_do_not_break_it(void **state)
{
    (void)state;
    struct mien_blink b = {0};
    uint64_t now = 1000000000;
    for (int i = 0; i < 40; i++) mien_blink_frame(&b, 0.3f, now += 33333333);
    assert_true(is_near((double)b.fps, 30.0, 0.5));
    for (int i = 0; i < 40; i++) mien_blink_frame(&b, 0.3f, now += 200000000);
    assert_true(is_near((double)b.fps, 5.0, 0.1));
    for (int i = 0; i < 40; i++) mien_blink_frame(&b, 0.3f, now += 33333333);
    mien_blink_frame(&b, 0.3f, now += UINT64_C(300000000000));
    assert_true(b.fps > 3.0f); /* five minutes count as one second */
    for (int i = 0; i < 15; i++) mien_blink_frame(&b, 0.3f, now += 33333333);
    assert_true(b.fps > 10.0f);
    /* Two frames of the same moment, and one from before: neither divides by zero nor turns the clock back. */
    mien_blink_frame(&b, 0.3f, now);
    mien_blink_frame(&b, 0.3f, now - 500);
    assert_true(isfinite(b.fps) && b.fps > 10.0f);
    assert_int_equal(b.last_ns, now);
}

/* ---- head ---- */

struct named { int index; double p[3]; };
/* A face that looks straight ahead, x right, y down, z away: contour, corners of the eyes, tip and base of the nose, chin. Eyes at -3, chin at 9: the nose's
 * base at 0.4 of it is 1.8. */
static const struct named FACE[] = {{234, {-7.5, 0.5, 2.5}}, {454, {7.5, 0.5, 2.5}}, {33, {-4.5, -3, -3}}, {133, {-1.5, -3, -3}}, {362, {1.5, -3, -3}},
                                    {263, {4.5, -3, -3}}, {1, {0, 1, -7.5}}, {2, {0, 1.8, -6}}, {152, {0, 9, -3}}};

/* The face turned: first it nods, then it turns, then it tilts, angles as in struct mien_face; seen from far away. */
static struct mien_face drawn(float *mesh, double yaw, double pitch, double roll)
{
    const double rad = acos(-1.0) / 180.0, a = pitch * rad, b = yaw * rad, c = roll * rad;
    for (size_t i = 0; i < sizeof FACE / sizeof FACE[0]; i++) {
        const double *p = FACE[i].p, y = p[1] * cos(a) + p[2] * sin(a), z = p[2] * cos(a) - p[1] * sin(a), x = p[0] * cos(b) - z * sin(b);
        mesh[3 * FACE[i].index] = (float)(320 + 12 * (x * cos(c) - y * sin(c)));
        mesh[3 * FACE[i].index + 1] = (float)(240 + 12 * (x * sin(c) + y * cos(c)));
        mesh[3 * FACE[i].index + 2] = (float)(12 * z);
    }
    return (struct mien_face){.mesh = mesh, .mesh_points = 468};
}

static struct mien_head head_of(double yaw, double pitch, double roll)
{
    static float mesh[3 * MIEN_MAX_MESH];
    const struct mien_face face = drawn(mesh, yaw, pitch, roll);
    return mien_head_ratio(&face);
}

static void ratios_are_the_contracts_formula(void **state)
{
    (void)state;
    const struct mien_head level = head_of(0, 0, 0);
    assert_true(is_near((double)level.yaw, 0, 1e-5) && is_near((double)level.pitch, 0, 1e-4));
    static float mesh[3 * MIEN_MAX_MESH];
    struct mien_face face = drawn(mesh, 0, 0, 0);
    mesh[3 * 1] -= 18.0f;          /* the tip 18 px left of the middle; the face is 180 px wide */
    mesh[3 * 2 + 1] -= 0.1f * 144; /* the base a tenth of the height (144 px) too high */
    struct mien_head h = mien_head_ratio(&face);
    assert_true(is_near((double)h.yaw, -0.2, 1e-4));
    assert_true(is_near((double)h.pitch, 0.25, 1e-4));
    mesh[3 * 1] += 400.0f;
    mesh[3 * 2 + 1] += 400.0f;
    h = mien_head_ratio(&face);
    assert_true(h.yaw == 1.0f && h.pitch == -1.0f);
    face.mesh_points = 0;
    h = mien_head_ratio(&face);
    assert_true(h.yaw == 0.0f && h.pitch == 0.0f);
    memset(mesh, 0, sizeof mesh); /* all points in one place */
    face.mesh_points = 478;
    h = mien_head_ratio(&face);
    assert_true(h.yaw == 0.0f && h.pitch == 0.0f);
}

static void ratios_rise_with_the_angles_and_tilt_does_not_matter(void **state)
{
    (void)state;
    for (int angle = -35; angle < 35; angle += 5) {
        assert_true(head_of(angle, 0, 0).yaw < head_of(angle + 5, 0, 0).yaw);
        assert_true(head_of(0, angle, 0).pitch < head_of(0, angle + 5, 0).pitch);
    }
    for (int roll = -180; roll < 180; roll += 30) {
        assert_true(is_near((double)head_of(0, 20, roll).yaw, 0.0, 1e-3));
        assert_true(is_near((double)head_of(10, 0, roll).yaw, (double)head_of(10, 0, 0).yaw, 0.01));
        assert_true(is_near((double)head_of(0, -15, roll).pitch, (double)head_of(0, -15, 0).pitch, 0.01));
    }
}

static void directions(void **state)
{
    (void)state;
    static const struct { struct mien_head h; enum mien_direction mirrored, not_mirrored; } c[] = {
        {{0.15f, 0.2f}, MIEN_FORWARD, MIEN_FORWARD}, {{-0.15f, -0.2f}, MIEN_FORWARD, MIEN_FORWARD}, {{-0.16f, 0}, MIEN_LEFT, MIEN_RIGHT},
        {{0.16f, 0}, MIEN_RIGHT, MIEN_LEFT},         {{0.16f, 0.9f}, MIEN_RIGHT, MIEN_LEFT},        {{0.1f, 0.21f}, MIEN_UP, MIEN_UP},
        {{0.1f, -0.21f}, MIEN_DOWN, MIEN_DOWN}};
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        assert_int_equal(mien_head_direction(c[i].h, true), c[i].mirrored);
        assert_int_equal(mien_head_direction(c[i].h, false), c[i].not_mirrored);
    }
    assert_int_equal(mien_head_side((struct mien_head){-0.01f, 0}, true), MIEN_LEFT);
    assert_int_equal(mien_head_side((struct mien_head){-0.01f, 0}, false), MIEN_RIGHT);
    assert_int_equal(mien_head_side((struct mien_head){0, 0}, true), MIEN_FORWARD);
    assert_string_equal(mien_direction_name(MIEN_FORWARD), "forward");
    assert_string_equal(mien_direction_name(MIEN_LEFT), "left");
    assert_string_equal(mien_direction_name(MIEN_RIGHT), "right");
    assert_string_equal(mien_direction_name(MIEN_UP), "up");
    assert_string_equal(mien_direction_name(MIEN_DOWN), "down");
}

static void a_turn_needs_two_frames_in_a_row_and_stays_completed(void **state)
{
    (void)state;
    struct mien_turns t = {0};
    static const enum mien_direction apart[] = {MIEN_LEFT, MIEN_FORWARD, MIEN_LEFT, MIEN_RIGHT, MIEN_LEFT, MIEN_UP, MIEN_RIGHT};
    for (size_t i = 0; i < sizeof apart / sizeof apart[0]; i++) mien_turns_frame(&t, apart[i]);
    assert_false(t.left_done || t.right_done);
    mien_turns_frame(&t, MIEN_RIGHT);
    assert_true(t.right_done && !t.left_done);
    mien_turns_frame(&t, MIEN_LEFT);
    mien_turns_frame(&t, MIEN_LEFT);
    mien_turns_frame(&t, MIEN_FORWARD);
    assert_true(t.right_done && t.left_done);
}

/* ---- smile ---- */

static struct mien_face smiling(float happy, float mouth)
{
    struct mien_face f = {.have = MIEN_WANT_EXPRESSION | MIEN_WANT_BLENDSHAPES};
    f.emotion[0] = 0.75f * (1.0f - happy);
    f.emotion[2] = 0.25f * (1.0f - happy);
    f.emotion[1] = happy;
    for (int i = 0; i < MIEN_BLENDSHAPES; i++) {
        if (strcmp(mien_blendshape_name[i], "mouthSmileLeft") == 0 || strcmp(mien_blendshape_name[i], "mouthSmileRight") == 0) f.blendshape[i] = mouth;
        else f.blendshape[i] = 0.9f; /* what else the face does is of no matter */
    }
    return f;
}

static float score(float happy, float mouth)
{
    const struct mien_face f = smiling(happy, mouth);
    return mien_smile_score(&f);
}

static void a_smile_needs_both_networks(void **state)
{
    (void)state;
    assert_true(is_near((double)score(0, 0), 0, 1e-4));
    assert_true(is_near((double)score(1, 1), 100, 1e-4));
    assert_true(is_near((double)score(0.25f, 0.25f), 50, 1e-4));
    assert_true(score(0.9f, 0.0f) < 50.0f && score(0.0f, 0.9f) < 50.0f);
    assert_true(score(0.5f, 0.3f) < score(0.6f, 0.3f) && score(0.5f, 0.3f) < score(0.5f, 0.4f));
    struct mien_face f = smiling(0.6f, 0.1f);
    f.have = MIEN_WANT_EXPRESSION; /* a pack without blendshapes */
    assert_true(is_near((double)mien_smile_score(&f), 60, 1e-3));
}

static void emotions_add_up_and_happy_is_the_score(void **state)
{
    (void)state;
    float percent[MIEN_EMOTIONS], sum = 0;
    struct mien_face f = smiling(0.16f, 0.04f); /* score 30 */
    assert_int_equal(mien_smile_emotions(&f, percent), 0);
    for (int i = 0; i < MIEN_EMOTIONS; i++) sum += percent[i];
    assert_true(is_near((double)sum, 100, 1e-3));
    assert_true(is_near((double)percent[1], 30, 1e-3) && is_near((double)percent[0], 52.5, 1e-3) && is_near((double)percent[2], 17.5, 1e-3));
    f = smiling(1.0f, 0.25f); /* nothing is left for the others */
    assert_int_equal(mien_smile_emotions(&f, percent), 1);
    assert_true(is_near((double)percent[1], 75, 1e-3) && percent[0] == 0.0f);
}

/* ---- real pictures ---- */

/* The primary face of a picture; NULL when there is none. Lives until the pack's next picture. */
static struct mien_face *look(struct test_pack *p, const char *folder, const char *name, unsigned wants, bool mirror)
{
    struct mien_err e = {0};
    struct mien_faces faces;
    struct test_photo photo = mirror ? test_photo_pixels(folder, name, 0.0f, true) : test_photo_open(folder, name);
    TEST_TRY(mien_face_analyze(p->models, p->session, photo.photo, wants, &(struct mien_face_settings){.primary_only = true}, p->arena, &faces, &e), e);
    test_photo_close(&photo);
    return faces.count > 0 ? faces.face : NULL;
}

/* AFLW2000-3D: their yaw above 0 is a nose at the picture's left. */
static void real_heads_turn_where_their_labels_say(void **state)
{
    (void)state;
    static const struct { const char *name; int side; } c[] = {{"image00081.jpg", -1}, {"image00251.jpg", 1}, {"image00475.jpg", -1}, {"image00516.jpg", 1},
                                                                {"image02283.jpg", 1}, {"image02420.jpg", -1}, {"image02616.jpg", -1}, {"image03614.jpg", -1}};
    char path[4096];
    test_data(path, "aflw2000_prnet16/images/image00081.jpg");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    test_need_role(&p, MIEN_ROLE_LANDMARKS);
    for (size_t i = 0; i < sizeof c / sizeof c[0]; i++) {
        const struct mien_face *face = look(&p, "aflw2000_prnet16/images", c[i].name, MIEN_WANT_MESH | MIEN_WANT_POSE, false);
        assert_non_null(face);
        const float yaw = mien_head_ratio(face).yaw;
        assert_true(yaw * (float)c[i].side > MIEN_YAW_TURNED);
        assert_true(yaw * face->yaw > 0.0f);
        face = look(&p, "aflw2000_prnet16/images", c[i].name, MIEN_WANT_MESH, true);
        assert_non_null(face);
        assert_true(mien_head_ratio(face).yaw * (float)c[i].side < -MIEN_YAW_TURNED);
        test_pack_next(&p);
    }
    /* Up and down. */
    const struct mien_face *up = look(&p, "aflw2000_prnet16/images", "image00514.jpg", MIEN_WANT_MESH, false);
    const struct mien_face *down = look(&p, "aflw2000_prnet16/images", "image02545.jpg", MIEN_WANT_MESH, false);
    assert_true(up != NULL && mien_head_ratio(up).pitch > MIEN_PITCH_TILTED);
    assert_true(down != NULL && mien_head_ratio(down).pitch < -MIEN_PITCH_TILTED);
    test_pack_close(&p);
}

/* The first second of a clip, 30 frames of 640 x 360, eye aspect ratio of each into `ear`; decoded by the ffmpeg program. */
enum { CLIP_FRAMES = 30 };
static void clip_ears(struct test_pack *p, const char *path, float ear[CLIP_FRAMES])
{
    enum { W = 640, H = 360 };
    char command[4200];
    struct mien_err e = {0};
    snprintf(command, sizeof command, "ffmpeg -nostdin -loglevel quiet -i '%s' -frames:v %d -s %dx%d -f rawvideo -pix_fmt rgb24 -", path, CLIP_FRAMES, W, H);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    for (int i = 0; i < CLIP_FRAMES; i++) {
        struct mien_image frame;
        struct mien_photo *photo = NULL;
        struct mien_faces faces;
        TEST_TRY(mien_image_alloc(W, H, &frame, &e), e);
        for (int y = 0; y < H; y++) assert_int_equal(fread(frame.px + (size_t)y * frame.stride, 3, W, f), W);
        TEST_TRY(mien_photo_from_pixels(&frame, &photo, &e), e);
        TEST_TRY(mien_face_analyze(p->models, p->session, photo, MIEN_WANT_EYES, NULL, p->arena, &faces, &e), e);
        assert_int_equal(faces.count, 1);
        ear[i] = faces.face[0].ear;
        mien_photo_free(&photo);
        mien_image_free(&frame);
        test_pack_next(p);
    }
    pclose(f);
}

/* A woman on a sofa blinks once, 0.2 to 0.4 s into the clip. */
static void a_real_blink_is_counted_once_at_every_frame_rate(void **state)
{
    (void)state;
    char path[4096];
    float ear[CLIP_FRAMES];
    test_data(path, "webcam_videos/videos/lp_s18.mp4");
    if (system("ffmpeg -version >/dev/null 2>&1") != 0) test_skip("the ffmpeg program");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    test_need_role(&p, MIEN_ROLE_LANDMARKS);
    clip_ears(&p, path, ear);
    test_pack_close(&p);
    static const int every[] = {1, 2, 6}; /* 30, 15 and 5 frames a second */
    for (int k = 0; k < 3; k++) {
        struct mien_blink b = {0};
        for (int i = 0; i < CLIP_FRAMES; i += every[k]) mien_blink_frame(&b, ear[i], UINT64_C(1000000000) + (uint64_t)i * 33333333u);
        assert_int_equal(b.count, 1);
    }
}

/* FER2013: 50 separates smiles from neutral faces. The figures of docs/challenges.md with room for other arithmetic. */
static void real_smiles_score_above_50(void **state)
{
    (void)state;
    char path[4096];
    static struct test_csv csv;
    test_csv_read(test_data(path, "emotion_fer2013_900/index.csv"), &csv);
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    test_need_role(&p, MIEN_ROLE_EXPRESSION);
    test_need_role(&p, MIEN_ROLE_BLENDSHAPES);
    int faces[3] = {0}, at_50[3] = {0}, at_30[3] = {0};
    for (int row = 1; row < csv.rows; row += TEST_STRIDE) {
        const char *emotion = test_csv_at(&csv, row, "emotion");
        const int kind = strcmp(emotion, "happy") == 0 ? 0 : strcmp(emotion, "neutral") == 0 ? 1 : 2;
        const struct mien_face *face = look(&p, "emotion_fer2013_900", test_csv_at(&csv, row, "file"), MIEN_WANT_EXPRESSION | MIEN_WANT_BLENDSHAPES, false);
        const float smile = face != NULL ? mien_smile_score(face) : 0.0f;
        faces[kind] += face != NULL;
        at_50[kind] += smile >= 50.0f;
        at_30[kind] += smile >= 30.0f;
        test_pack_next(&p);
    }
    free(csv.text);
    test_pack_close(&p);
    printf("# smile at 50: happy %d of %d, neutral %d of %d, others %d of %d; at 30: %d, %d, %d\n", at_50[0], faces[0], at_50[1], faces[1], at_50[2], faces[2],
           at_30[0], at_30[1], at_30[2]);
    assert_true(at_50[0] >= 0.70 * faces[0] && at_50[1] <= 0.15 * faces[1] && at_50[2] <= 0.12 * faces[2]);
    assert_true(at_30[0] >= 0.80 * faces[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_closed_frame_is_a_blink_only_at_few_frames_a_second),
                                       cmocka_unit_test(the_threshold_itself_is_closed),
                                       cmocka_unit_test(the_rate_follows_the_frames_and_pauses_do_not_break_it),
                                       cmocka_unit_test(ratios_are_the_contracts_formula),
                                       cmocka_unit_test(ratios_rise_with_the_angles_and_tilt_does_not_matter),
                                       cmocka_unit_test(directions),
                                       cmocka_unit_test(a_turn_needs_two_frames_in_a_row_and_stays_completed),
                                       cmocka_unit_test(a_smile_needs_both_networks),
                                       cmocka_unit_test(emotions_add_up_and_happy_is_the_score),
                                       cmocka_unit_test(real_heads_turn_where_their_labels_say),
                                       cmocka_unit_test(a_real_blink_is_counted_once_at_every_frame_rate),
                                       cmocka_unit_test(real_smiles_score_above_50)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
