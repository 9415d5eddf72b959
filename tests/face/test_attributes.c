// Age, gender, expression, blinking: against labelled pictures, with the figures printed.
#include "support/faces.h"

#include <math.h>

static const struct mien_face_settings primary = {.primary_only = true};

static void age_and_gender_of_utkface(void **state)
{
    (void)state;
    static struct test_csv csv;
    char path[4096];
    test_data(path, "utkface_400/index.csv");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    test_need_role(&p, MIEN_ROLE_AGE_GENDER);
    test_csv_read(path, &csv);
    double error = 0.0, error_adult = 0.0;
    int n = 0, right = 0, n_adult = 0, right_adult = 0;
    for (int i = 1; i < csv.rows; i += TEST_STRIDE) {
        struct test_photo t = test_photo_pixels("utkface_400", csv.cell[i][0], 0.4f, false);
        struct mien_err e = {0};
        struct mien_faces out;
        TEST_TRY(mien_face_analyze(p.models, p.session, t.photo, MIEN_WANT_AGE_GENDER, &primary, p.arena, &out, &e), e);
        if (out.count > 0) {
            double age = atof(test_csv_at(&csv, i, "age"));
            bool ok = (out.face[0].male >= 0.5f) == (strcmp(test_csv_at(&csv, i, "gender"), "male") == 0);
            error += fabs((double)out.face[0].age - age);
            right += ok;
            n++;
            if (age >= 16) {
                error_adult += fabs((double)out.face[0].age - age);
                right_adult += ok;
                n_adult++;
            }
        }
        test_photo_close(&t);
        test_pack_next(&p);
    }
    const int shown = (csv.rows - 2) / TEST_STRIDE + 1;
    printf("utkface (in-sample for this network), %d of %d found: age MAE %.2f years, gender %d right (%.1f %%);", n, shown, error / n, right,
           100.0 * right / n);
    printf(" 16 and older: %d, MAE %.2f, gender %.1f %%\n", n_adult, error_adult / n_adult, 100.0 * right_adult / n_adult);
    assert_true(n >= 0.95 * shown);
    assert_true(error / n < 7.0 && right > 0.80 * n && right_adult > 0.90 * n_adult);
    free(csv.text);
    test_pack_close(&p);
}

/* The pictures are 48x48 crops: the network gets the whole picture, which is what it gets for the box below. */
static void expression_of_fer2013(void **state)
{
    (void)state;
    static struct test_csv csv;
    char path[4096];
    test_data(path, "emotion_fer2013_900/index.csv");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    test_need_role(&p, MIEN_ROLE_EXPRESSION);
    test_csv_read(path, &csv);
    const float scale = mien_models_role(p.models, MIEN_ROLE_EXPRESSION, 0)->crop.scale;
    int n = 0, right = 0, of[MIEN_EMOTIONS] = {0}, right_of[MIEN_EMOTIONS] = {0};
    for (int i = 1; i < csv.rows; i += TEST_STRIDE) {
        struct test_photo t = test_photo_open("emotion_fer2013_900", csv.cell[i][0]);
        const struct mien_face_job job = {p.models, p.session, t.photo, p.arena};
        const float side = (float)mien_photo_width(t.photo), half = 0.5f * side / scale;
        struct mien_face f, boxed = {.box = {0.5f * side - half, 0.5f * side - half, 0.5f * side + half, 0.5f * side + half}};
        struct mien_err e = {0};
        TEST_TRY(mien_face_of_cut(p.models, p.session, t.photo, MIEN_WANT_EXPRESSION, p.arena, &f, &e), e);
        if (n < 3) TEST_TRY(mien_face_expression(&job, &boxed, &e), e);
        if (n < 3) assert_memory_equal(f.emotion, boxed.emotion, sizeof f.emotion);
        int best = 0, truth = mien_emotion_index(test_csv_at(&csv, i, "emotion"));
        float sum = 0.0f;
        for (int k = 0; k < MIEN_EMOTIONS; k++) {
            sum += f.emotion[k];
            if (f.emotion[k] > f.emotion[best]) best = k;
        }
        assert_true(truth >= 0 && fabsf(sum - 1.0f) < 1e-3f);
        n++;
        of[truth]++;
        right += best == truth;
        right_of[truth] += best == truth;
        test_photo_close(&t);
    }
    printf("fer2013 private test, %d crops fed directly: %d right (%.1f %%);", n, right, 100.0 * right / n);
    for (int k = 0; k < MIEN_EMOTIONS; k++) printf(" %s %d/%d", mien_emotion_name[k], right_of[k], of[k]);
    printf("\n");
    assert_true(n >= 800 / TEST_STRIDE && right > 0.40 * n);
    assert_true(right_of[1] > 0.5 * of[1]); /* happy is the one that the challenges rely on */
    free(csv.text);
    test_pack_close(&p);
}

/* Both measures of the eyes must order the same photos alike: the most closed by one is well below the median of the other. */
static void closed_eyes_have_a_low_aspect_ratio(void **state)
{
    (void)state;
    static struct test_csv csv;
    static float ear[128], blink[128];
    char path[4096];
    test_data(path, "deepface_pairs/index.csv");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    test_need_role(&p, MIEN_ROLE_BLENDSHAPES);
    test_csv_read(path, &csv);
    int n = 0;
    for (int i = 1; i < csv.rows && n < 128; i += TEST_STRIDE > 1 ? 2 : 1) {
        struct test_photo t = test_photo_open("deepface_pairs", csv.cell[i][0]);
        struct mien_err e = {0};
        struct mien_faces out;
        TEST_TRY(mien_face_analyze(p.models, p.session, t.photo, MIEN_WANT_EYES | MIEN_WANT_BLENDSHAPES, &primary, p.arena, &out, &e), e);
        if (out.count > 0) {
            assert_string_equal(mien_blendshape_name[9], "eyeBlinkLeft");
            ear[n] = out.face[0].ear;
            blink[n++] = 0.5f * (out.face[0].blendshape[9] + out.face[0].blendshape[10]);
        }
        test_photo_close(&t);
        test_pack_next(&p);
    }
    double mean_e = 0, mean_b = 0, ee = 0, bb = 0, eb = 0;
    for (int i = 0; i < n; i++) {
        mean_e += ear[i] / (double)n;
        mean_b += blink[i] / (double)n;
    }
    for (int i = 0; i < n; i++) {
        double a = ear[i] - mean_e, b = blink[i] - mean_b;
        ee += a * a;
        bb += b * b;
        eb += a * b;
    }
    double r = eb / sqrt(ee * bb);
    printf("%d photos: mean EAR %.3f, mean blink %.3f, correlation %.2f\n", n, mean_e, mean_b, r);
    assert_true(n >= 25 && r < -0.5);
    assert_true(mean_e > 0.15 && mean_e < 0.5);
    free(csv.text);
    test_pack_close(&p);
}

/* A tilted head is the same face: the coefficients depend on the mesh's shape alone. */
static void blendshapes_ignore_tilt_size_and_place(void **state)
{
    (void)state;
    char path[4096];
    test_data(path, "deepface_pairs/images/img1.jpg");
    struct test_pack p = test_pack_open(MIEN_PRECISION_F32);
    test_need_role(&p, MIEN_ROLE_BLENDSHAPES);
    struct test_photo t = test_photo_open("deepface_pairs", "images/img1.jpg");
    struct mien_err e = {0};
    struct mien_faces out;
    TEST_TRY(mien_face_analyze(p.models, p.session, t.photo, MIEN_WANT_BLENDSHAPES, &primary, p.arena, &out, &e), e);
    assert_int_equal(out.count, 1);
    const struct mien_face_job job = {p.models, p.session, t.photo, p.arena};
    struct mien_face turned = out.face[0];
    turned.mesh = mien_arena_calloc(p.arena, 3 * (size_t)turned.mesh_points, sizeof *turned.mesh);
    const float c = 0.4f * cosf(0.5f), s = 0.4f * sinf(0.5f);
    for (int i = 0; i < turned.mesh_points; i++) {
        const float x = out.face[0].mesh[3 * i], y = out.face[0].mesh[3 * i + 1];
        turned.mesh[3 * i] = c * x - s * y + 500.0f;
        turned.mesh[3 * i + 1] = s * x + c * y - 20.0f;
    }
    TEST_TRY(mien_face_blendshapes(&job, &turned, &e), e);
    for (int i = 0; i < MIEN_BLENDSHAPES; i++) assert_true(fabsf(turned.blendshape[i] - out.face[0].blendshape[i]) < 0.005f);
    test_photo_close(&t);
    test_pack_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(age_and_gender_of_utkface), cmocka_unit_test(expression_of_fer2013),
                                       cmocka_unit_test(closed_eyes_have_a_low_aspect_ratio),
                                       cmocka_unit_test(blendshapes_ignore_tilt_size_and_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
