// The public C API: errors without models, results and threads with them.
#include <mien.h> /* first: it must stand alone */

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char *models_dir(void)
{
    const char *dir = getenv("MIEN_MODELS");
    return dir != NULL ? dir : "models/local";
}

/* A context over the installed models; skips the test when there are none. */
static struct mien *open_models(void)
{
    struct mien_settings s = mien_settings_default();
    struct mien *m;
    struct mien_error e;
    s.models_dir = models_dir();
    s.max_sessions = 2;
    char path[4096];
    snprintf(path, sizeof path, "%s/manifest.json", s.models_dir);
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        printf("skipped: %s is not there (models are not installed)\n", path);
        skip();
    }
    fclose(f);
    if (mien_open(&s, &m, &e) != MIEN_STATUS_OK) fail_msg("mien_open: %s", e.text);
    return m;
}

struct file { unsigned char *data; size_t size; };

/* A photo of the development data; skips the test when it is not there. */
static struct file photo(const char *name)
{
    const char *root = getenv("MIEN_TEST_DATA");
    char path[4096];
    snprintf(path, sizeof path, "%s/deepface_pairs/images/%s", root != NULL ? root : "(MIEN_TEST_DATA)", name);
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        printf("skipped: %s is not there\n", path);
        skip();
    }
    struct file out = {malloc(8u << 20), 0};
    assert_non_null(out.data);
    out.size = fread(out.data, 1, 8u << 20, f);
    fclose(f);
    return out;
}

static void settings_have_the_documented_defaults(void **state)
{
    (void)state;
    struct mien_settings s = mien_settings_default();
    assert_string_equal(s.models_dir, "models/local");
    assert_int_equal(s.arithmetic, MIEN_ARITHMETIC_AUTO);
    assert_int_equal(s.max_sessions, 0);
    assert_int_equal(s.max_image_bytes, 10u << 20);
    assert_int_equal(s.max_image_pixels, 50000000);
    assert_true(s.min_score == 0.0f && s.min_face_px == 0 && s.max_faces == 0 && !s.small_faces && !s.rotations);
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(mien_version(), MIEN_VERSION);
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", MIEN_VERSION_MAJOR, MIEN_VERSION_MINOR, MIEN_VERSION_PATCH);
    assert_string_equal(text, MIEN_VERSION);
    assert_string_equal(mien_status_name(MIEN_STATUS_OK), "ok");
    assert_string_equal(mien_status_name(MIEN_STATUS_INTERNAL), "internal_error");
    assert_string_equal(mien_status_name((enum mien_status)99), "unknown");
    assert_string_equal(mien_blendshape(0), "_neutral");
    assert_string_equal(mien_blendshape(51), "noseSneerRight");
    assert_string_equal(mien_emotion(1), "happy");
    assert_null(mien_blendshape(52));
    assert_null(mien_blendshape(-1));
    assert_null(mien_emotion(7));
}

static void opening_fails_with_a_reason(void **state)
{
    (void)state;
    struct mien_settings s = mien_settings_default();
    struct mien *m = (struct mien *)&s;
    struct mien_error e = {0};
    s.models_dir = "/nonexistent/models";
    assert_int_not_equal(mien_open(&s, &m, &e), MIEN_STATUS_OK);
    assert_null(m);
    assert_int_not_equal(e.status, MIEN_STATUS_OK);
    assert_true(strlen(e.text) > 0);
    assert_int_not_equal(mien_open(&s, &m, NULL), MIEN_STATUS_OK);
    assert_int_equal(mien_open(&s, NULL, &e), MIEN_STATUS_INVALID_ARGUMENT);
}

static void bad_settings_are_refused(void **state)
{
    (void)state;
    struct mien_settings bad[8];
    for (int i = 0; i < 8; i++) bad[i] = mien_settings_default();
    bad[0].models_dir = NULL;
    bad[1].max_sessions = -1;
    bad[2].max_sessions = 257;
    bad[3].max_image_bytes = 0;
    bad[4].min_score = 1.5f;
    bad[5].min_score = NAN;
    bad[6].max_faces = -1;
    bad[7].arithmetic = (enum mien_arithmetic)7;
    for (int i = 0; i < 8; i++) {
        struct mien *m;
        struct mien_error e;
        assert_int_equal(mien_open(&bad[i], &m, &e), MIEN_STATUS_INVALID_ARGUMENT);
        assert_null(m);
        assert_int_equal(e.status, MIEN_STATUS_INVALID_ARGUMENT);
    }
}

static void null_is_an_error_not_a_crash(void **state)
{
    (void)state;
    struct mien_result *r = NULL;
    struct mien_comparison c;
    struct mien_error e;
    float v[4];
    int faces = -1;
    mien_close(NULL);
    struct mien *none = NULL;
    mien_close(&none);
    mien_result_free(NULL);
    mien_result_free(&r);
    assert_int_equal(mien_analyze_bytes(NULL, "x", 1, 0, &r, &e), MIEN_STATUS_INVALID_ARGUMENT);
    assert_int_equal(mien_analyze_pixels(NULL, NULL, 1, 1, 3, 0, &r, NULL), MIEN_STATUS_INVALID_ARGUMENT);
    assert_int_equal(mien_embed(NULL, "x", 1, v, 4, &faces, &e), MIEN_STATUS_INVALID_ARGUMENT);
    assert_int_equal(faces, 0);
    assert_int_equal(mien_compare(NULL, "x", 1, "y", 1, &c, &e), MIEN_STATUS_INVALID_ARGUMENT);
    assert_int_equal(mien_compare_embeddings(NULL, v, v, &c, &e), MIEN_STATUS_INVALID_ARGUMENT);
    assert_int_equal(mien_embedding_size(NULL), 0);
    assert_null(mien_embedding_model(NULL));
}

static void bad_images(void **state)
{
    (void)state;
    struct mien *m = open_models();
    struct mien_result *r = NULL;
    struct mien_error e;
    struct mien_comparison c;
    static const char text[] = "this is certainly not a picture of anybody";
    assert_int_equal(mien_analyze_bytes(m, text, sizeof text, 0, &r, &e), MIEN_STATUS_UNSUPPORTED_IMAGE);
    assert_null(r);
    assert_true(strlen(e.text) > 0);
    assert_int_equal(mien_analyze_bytes(m, text, 0, 0, &r, NULL), MIEN_STATUS_INVALID_ARGUMENT);
    assert_int_equal(mien_analyze_bytes(m, NULL, 5, 0, &r, NULL), MIEN_STATUS_INVALID_ARGUMENT);
    assert_int_equal(mien_analyze_bytes(m, text, sizeof text, 0, NULL, &e), MIEN_STATUS_INVALID_ARGUMENT);
    assert_int_not_equal(mien_compare(m, text, sizeof text, text, sizeof text, &c, &e), MIEN_STATUS_OK);
    assert_int_equal(mien_compare(m, text, sizeof text, text, sizeof text, NULL, &e), MIEN_STATUS_INVALID_ARGUMENT);
    static uint8_t gray[64 * 64 * 3];
    memset(gray, 128, sizeof gray);
    assert_int_equal(mien_analyze_pixels(m, gray, 64, 64, 191, 0, &r, &e), MIEN_STATUS_INVALID_ARGUMENT);
    assert_int_equal(mien_analyze_pixels(m, gray, 0, 64, 192, 0, &r, &e), MIEN_STATUS_INVALID_ARGUMENT);
    assert_int_equal(mien_analyze_pixels(m, gray, 64, 64, 192, 1u << 20, &r, &e), MIEN_STATUS_INVALID_ARGUMENT);
    assert_int_equal(mien_analyze_pixels(m, gray, 64, 64, 192, 0, &r, &e), MIEN_STATUS_OK);
    assert_int_equal(r->face_count, 0);
    assert_int_equal(r->best, -1);
    assert_int_equal(r->width, 64);
    mien_result_free(&r);
    assert_null(r);
    mien_close(&m);
    assert_null(m);
}

static void a_photo_without_a_face_is_no_face(void **state)
{
    (void)state;
    struct mien *m = open_models();
    /* A valid PNG needs no library: 1x1 gray, as the specification's smallest example. */
    static const unsigned char png[] = {
        0x89, 'P', 'N', 'G', 13, 10, 26, 10, 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0, 0x3a, 0x7e, 0x9b, 0x55,
        0, 0, 0, 10, 'I', 'D', 'A', 'T', 0x78, 0x9c, 0x63, 0x68, 0, 0, 0, 0x82, 0, 0x81, 0x77, 0xcd, 0x72, 0xb6,
        0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};
    float *v = calloc(2048, sizeof *v);
    struct mien_error e;
    int faces = -1;
    enum mien_status status = mien_embed(m, png, sizeof png, v, 2048, &faces, &e);
    if (status != MIEN_STATUS_NO_FACE) fail_msg("%s: %s", mien_status_name(status), e.text);
    assert_int_equal(faces, 0);
    assert_int_equal(mien_embed(m, png, sizeof png, v, 1, &faces, &e), MIEN_STATUS_INVALID_ARGUMENT);
    free(v);
    mien_close(&m);
}

static void two_photos_of_one_person_match(void **state)
{
    (void)state;
    struct file a = photo("img1.jpg"), b = photo("img2.jpg"), other = photo("img3.jpg"); /* may skip: before anything is open */
    struct mien *m = open_models();
    struct mien_comparison same, different, again;
    struct mien_error e;
    assert_int_equal(mien_compare(m, a.data, a.size, b.data, b.size, &same, &e), MIEN_STATUS_OK);
    assert_int_equal(mien_compare(m, a.data, a.size, other.data, other.size, &different, &e), MIEN_STATUS_OK);
    printf("same %.3f, different %.3f, threshold %.3f\n", (double)same.similarity, (double)different.similarity, (double)same.threshold);
    assert_true(same.match && !different.match && same.confidence > 0.5f && different.confidence < 0.5f);
    assert_int_equal(same.faces[0], 1);
    int n = mien_embedding_size(m);
    float *v = calloc(2 * (size_t)n, sizeof *v);
    assert_int_equal(mien_embed(m, a.data, a.size, v, (size_t)n, NULL, &e), MIEN_STATUS_OK);
    assert_int_equal(mien_embed(m, b.data, b.size, v + n, (size_t)n, NULL, &e), MIEN_STATUS_OK);
    assert_int_equal(mien_compare_embeddings(m, v, v + n, &again, &e), MIEN_STATUS_OK);
    assert_true(fabsf(again.similarity - same.similarity) < 1e-5f);
    free(v);
    free(a.data);
    free(b.data);
    free(other.data);
    mien_close(&m);
}

struct job { struct mien *m; struct file photo; const struct mien_result *expect; int wrong; };

static bool same_result(const struct mien_result *a, const struct mien_result *b)
{
    if (a->face_count != b->face_count || a->best != b->best) return false;
    for (int i = 0; i < a->face_count; i++) {
        const struct mien_result_face *f = &a->faces[i], *g = &b->faces[i];
        if (memcmp(f->box, g->box, sizeof f->box) != 0 || f->emotions[1] != g->emotions[1] || f->yaw != g->yaw || f->quality != g->quality) return false;
        if (f->embedding_size != g->embedding_size || f->embedding_size < 1) return false;
        if (memcmp(f->embedding, g->embedding, (size_t)f->embedding_size * sizeof *f->embedding) != 0) return false;
    }
    return true;
}

static const unsigned GET = MIEN_GET_EMBEDDING | MIEN_GET_QUALITY | MIEN_GET_EXPRESSION; /* every pack has these */

static void *call_ten_times(void *arg)
{
    struct job *j = arg;
    for (int i = 0; i < 10; i++) {
        struct mien_result *r;
        if (mien_analyze_bytes(j->m, j->photo.data, j->photo.size, GET, &r, NULL) != MIEN_STATUS_OK) {
            j->wrong++;
            continue;
        }
        if (!same_result(r, j->expect)) j->wrong++;
        mien_result_free(&r);
    }
    return NULL;
}

/* Four threads on a context of two sessions: some must wait, all must see the same. */
static void threads_share_a_context(void **state)
{
    (void)state;
    struct file a = photo("img1.jpg");
    struct mien *m = open_models();
    struct mien_result *expect;
    struct mien_error e;
    enum mien_status status = mien_analyze_bytes(m, a.data, a.size, GET, &expect, &e);
    assert_int_equal(status, MIEN_STATUS_OK);
    assert_int_equal(expect->face_count, 1);
    pthread_t thread[4];
    struct job job[4];
    for (int i = 0; i < 4; i++) {
        job[i] = (struct job){m, a, expect, 0};
        assert_int_equal(pthread_create(&thread[i], NULL, call_ten_times, &job[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(job[i].wrong, 0);
    }
    mien_result_free(&expect);
    free(a.data);
    mien_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_have_the_documented_defaults), cmocka_unit_test(names),
        cmocka_unit_test(opening_fails_with_a_reason), cmocka_unit_test(bad_settings_are_refused),
        cmocka_unit_test(null_is_an_error_not_a_crash), cmocka_unit_test(bad_images),
        cmocka_unit_test(a_photo_without_a_face_is_no_face), cmocka_unit_test(two_photos_of_one_person_match),
        cmocka_unit_test(threads_share_a_context)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
