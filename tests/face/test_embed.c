// Embeddings: arithmetic, and over real photos who is who and what must not change the answer.
#include "support/faces.h"

#include <math.h>

#include "face/inner.h"

/* ---- pure ---- */

static void cosine_and_norm(void **state)
{
    (void)state;
    float a[4] = {3, 0, 4, 0}, b[4] = {0, 5, 0, 0}, zero[4] = {0}, bad[4] = {1, NAN, 0, 0}, big[4] = {1e30f, 0, 0, 0};
    struct mien_err e = {0};
    assert_int_equal(mien_l2_normalise(a, 4, &e), MIEN_OK);
    assert_int_equal(mien_l2_normalise(b, 4, &e), MIEN_OK);
    assert_true(fabsf(a[0] - 0.6f) < 1e-6f && fabsf(a[2] - 0.8f) < 1e-6f);
    assert_true(fabsf(mien_similarity_cosine(a, a, 4) - 1.0f) < 1e-6f && mien_similarity_cosine(a, b, 4) == 0.0f);
    const float c[4] = {-0.6f, 0, -0.8f, 0};
    assert_true(mien_similarity_cosine(a, c, 4) >= -1.0f && mien_similarity_cosine(a, c, 4) < -0.9999f);
    assert_int_equal(mien_l2_normalise(zero, 4, &e), MIEN_E_INTERNAL);
    assert_int_equal(mien_l2_normalise(bad, 4, &e), MIEN_E_INTERNAL);
    assert_int_equal(mien_l2_normalise(big, 4, &e), MIEN_E_INTERNAL);
}

static void confidence_is_calibrated(void **state)
{
    (void)state;
    const struct mien_model m = {.threshold = 0.275f, .calibration_slope = 14.0f};
    assert_true(mien_match_confidence(&m, 0.275f) == 0.5f);
    float before = -1.0f;
    for (int i = -100; i <= 100; i++) {
        float c = mien_match_confidence(&m, (float)i / 100.0f);
        assert_true(c > before && c > 0.0f && c <= 1.0f);
        before = c;
    }
    assert_true(mien_match_confidence(&m, 0.7f) > 0.99f && mien_match_confidence(&m, 0.0f) < 0.03f);
}

static void the_curve_is_never_left(void **state)
{
    (void)state;
    struct mien_match_threshold t = {.n_curve = 5, .curve = {{0.1f, 0.5f, 0}, {0.15f, 1e-2f, 0}, {0.2f, 1e-2f, 0}, {0.27f, 1e-4f, 0.1f}, {0.3f, 1e-6f, 0.2f}}};
    const struct mien_model m = {.matching = &t, .threshold = 0.27f}, none = {.threshold = 0.27f};
    for (int i = 0; i < t.n_curve; i++) assert_true(mien_model_fmr(&m, t.curve[i].similarity) == t.curve[i].fmr);
    assert_true(fabsf(mien_model_fmr(&m, 0.235f) / 1e-3f - 1) < 1e-4f); /* half way between 1e-2 and 1e-4 */
    assert_true(fabsf(mien_model_fmr(&m, 0.285f) / 1e-5f - 1) < 1e-4f);
    assert_true(mien_model_fmr(&m, 0.17f) == 1e-2f);
    float before = 1.0f;
    for (int i = 100000; i <= 300000; i++) { /* floats that rise, the curve's own among them */
        const float similarity = (float)i * 1e-6f, fmr = mien_model_fmr(&m, similarity);
        if (similarity < 0.1f || similarity > 0.3f) continue; /* rounding */
        assert_true(fmr <= before && fmr > 0.0f);
        before = fmr;
    }
    assert_true(isnan(mien_model_fmr(&m, nextafterf(0.1f, 0.0f))) && isnan(mien_model_fmr(&m, nextafterf(0.3f, 1.0f))));
    assert_true(isnan(mien_model_fmr(&m, -1.0f)) && isnan(mien_model_fmr(&m, 1.0f)) && isnan(mien_model_fmr(&m, NAN)));
    assert_true(isnan(mien_model_fmr(&none, 0.27f)));
    t.curve[4].fmr = 0.0f; /* no false match was seen */
    assert_true(mien_model_fmr(&m, 0.27f) == 1e-4f && isnan(mien_model_fmr(&m, 0.28f)) && mien_model_fmr(&m, 0.3f) == 0.0f);
    t.n_curve = 0;
    assert_true(isnan(mien_model_fmr(&m, 0.27f)));
}

/* ---- over models and photos ---- */

static const float *embed(struct test_pack *p, struct mien_photo *photo, int *faces)
{
    struct mien_err e = {0};
    struct mien_detection *d;
    float *v = mien_arena_calloc(p->arena, MIEN_MAX_EMBEDDING, sizeof *v);
    assert_non_null(v);
    TEST_TRY(mien_detect(p->models, p->session, photo, NULL, p->arena, &d, faces, &e), e);
    if (*faces == 0) return NULL;
    TEST_TRY(mien_embed_face(p->models, p->session, photo, &d[0], NULL, v, &e), e);
    return v;
}

static struct test_pack open_pack(enum mien_precision precision)
{
    struct test_pack p = test_pack_open(precision);
    test_need_role(&p, MIEN_ROLE_EMBED);
    return p;
}

static int dim_of(const struct test_pack *p) { return mien_models_role(p->models, MIEN_ROLE_EMBED, 0)->dim; }

/* Every pair of labelled photos through the whole pipeline at the model's own threshold. */
static void persons_are_told_apart(void **state)
{
    (void)state;
    static struct test_csv csv;
    char path[4096];
    test_data(path, "deepface_pairs/index.csv");
    struct test_pack p = open_pack(MIEN_PRECISION_AUTO);
    test_csv_read(path, &csv);
    const struct mien_model *m = mien_models_role(p.models, MIEN_ROLE_EMBED, 0);
    static const float *v[TEST_CSV_ROWS];
    int same = 0, matched = 0, different = 0, mistaken = 0;
    float lowest = 1.0f, highest = -1.0f;
    for (int i = 1; i < csv.rows; i += TEST_STRIDE) {
        struct test_photo t = test_photo_open("deepface_pairs", csv.cell[i][0]);
        int n;
        v[i] = test_csv_at(&csv, i, "identity")[0] != 0 ? embed(&p, t.photo, &n) : NULL;
        test_photo_close(&t);
    }
    for (int i = 1; i < csv.rows; i++)
        for (int k = 1; k < i; k++) {
            if (v[i] == NULL || v[k] == NULL) continue;
            float s = mien_similarity_cosine(v[i], v[k], m->dim);
            if (strcmp(test_csv_at(&csv, i, "identity"), test_csv_at(&csv, k, "identity")) == 0) {
                same++;
                matched += s >= m->threshold;
                lowest = fminf(lowest, s);
            } else {
                different++;
                mistaken += s >= m->threshold;
                highest = fmaxf(highest, s);
            }
        }
    printf("%s on deepface_pairs: %d of %d same-person pairs match, %d of %d different ones; lowest same %.3f, highest different %.3f, threshold %.3f\n", m->id,
           matched, same, mistaken, different, (double)lowest, (double)highest, (double)m->threshold);
    assert_true(same > 0 && matched * 100 >= same * 97 && mistaken * 1000 <= different * 5);
    free(csv.text);
    test_pack_close(&p);
}

static void orientations_mirror_and_format_keep_the_person(void **state)
{
    (void)state;
    char path[4096], name[64];
    test_data(path, "nasty_inputs/files/derived/face_orientation_1.jpg");
    struct test_pack p = open_pack(MIEN_PRECISION_AUTO);
    int n;
    struct test_photo t = test_photo_open("nasty_inputs", "files/derived/face_orientation_1.jpg");
    const float *first = embed(&p, t.photo, &n);
    assert_non_null(first);
    test_photo_close(&t);
    float worst = 1.0f;
    for (int i = 2; i <= 8; i++) {
        snprintf(name, sizeof name, "files/derived/face_orientation_%d.jpg", i);
        t = test_photo_open("nasty_inputs", name);
        const float *v = embed(&p, t.photo, &n);
        assert_non_null(v);
        worst = fminf(worst, mien_similarity_cosine(first, v, dim_of(&p)));
        test_photo_close(&t);
    }
    t = test_photo_pixels("nasty_inputs", "files/derived/face_orientation_1.jpg", 0.0f, false);
    float pixels = mien_similarity_cosine(first, embed(&p, t.photo, &n), dim_of(&p));
    test_photo_close(&t);
    t = test_photo_pixels("nasty_inputs", "files/derived/face_orientation_1.jpg", 0.0f, true);
    float mirrored = mien_similarity_cosine(first, embed(&p, t.photo, &n), dim_of(&p));
    test_photo_close(&t);
    t = test_photo_pixels("nasty_inputs", "files/derived/face_orientation_1.jpg", 0.5f, false);
    float padded = mien_similarity_cosine(first, embed(&p, t.photo, &n), dim_of(&p));
    test_photo_close(&t);
    printf("cosine with the first: worst of 7 EXIF orientations %.5f, decoded pixels %.5f, mirrored %.4f, half as large in the frame %.4f\n", (double)worst,
           (double)pixels, (double)mirrored, (double)padded);
    assert_true(worst > 0.99f && pixels > 0.99f && mirrored > 0.8f && padded > 0.95f);
    test_pack_close(&p);
}

/* Cosine between embeddings of one face cut from the detector's view and from full resolution. */
static float view_against_full(struct test_pack *p, struct mien_photo *photo, const struct mien_detection *d, float *density)
{
    const struct mien_model *m = mien_models_role(p->models, MIEN_ROLE_EMBED, 0);
    static const enum mien_crop_source SOURCE[2] = {MIEN_CROP_FROM_VIEW, MIEN_CROP_FROM_FULL};
    float v[2][MIEN_MAX_EMBEDDING];
    struct mien_err e = {0};
    for (int i = 0; i < 2; i++) {
        struct mien_exec *x;
        struct mien_net *net;
        struct mien_affine map;
        TEST_TRY(mien_model_exec(p->models, p->session, m, m->width, m->height, &net, &x, &e), e);
        TEST_TRY(mien_crop_face_from(SOURCE[i], m, photo, d, NULL, mien_exec_input(x, 0), &map, &e), e);
        TEST_TRY(mien_exec_run(x, &e), e);
        memcpy(v[i], mien_exec_output(x, mien_model_output(m, "embedding", net)), (size_t)m->dim * sizeof(float));
        TEST_TRY(mien_l2_normalise(v[i], m->dim, &e), e);
        *density = hypotf(map.m[0], map.m[3]);
    }
    return mien_similarity_cosine(v[0], v[1], m->dim);
}

static void the_view_serves_as_well_as_the_full_picture(void **state)
{
    (void)state;
    static struct test_csv csv;
    char path[4096];
    test_data(path, "deepface_pairs/index.csv");
    struct test_pack p = open_pack(MIEN_PRECISION_F32);
    const struct mien_model *m = mien_models_role(p.models, MIEN_ROLE_EMBED, 0);
    if (m->crop.points == MIEN_POINTS_LANDMARKS68) { /* the points would have to be found first */
        test_pack_close(&p);
        test_skip("an embedding aligned by five points");
    }
    test_csv_read(path, &csv);
    float worst = 1.0f;
    double sum = 0;
    int n_used = 0;
    for (int i = 1; i < csv.rows; i += TEST_STRIDE) {
        struct test_photo t = test_photo_open("deepface_pairs", csv.cell[i][0]);
        struct mien_detection *d;
        struct mien_err e = {0};
        const struct mien_image *view;
        float scale, density;
        int n;
        TEST_TRY(mien_detect(p.models, p.session, t.photo, NULL, p.arena, &d, &n, &e), e);
        TEST_TRY(mien_photo_view(t.photo, 1, &view, &scale, &e), e);
        if (n > 0 && scale < 1.0f) {
            float cosine = view_against_full(&p, t.photo, &d[0], &density);
            if (density * scale >= 1.0f) { /* the rule of crop.c */
                if (cosine < 0.996f || getenv("MIEN_TEST_VERBOSE") != NULL)
                    printf("%s: view 1/%.0f, %.2f view pixels per tensor pixel: cosine %.4f\n", csv.cell[i][0], (double)(1 / scale),
                           (double)(density * scale), (double)cosine);
                worst = fminf(worst, cosine);
                sum += (double)cosine;
                n_used++;
            }
        }
        test_photo_close(&t);
        test_pack_next(&p);
    }
    printf("view against full resolution: %d faces, mean cosine %.5f, worst %.5f\n", n_used, sum / n_used, (double)worst);
    assert_true(n_used > 0 && worst > 0.995f);
    free(csv.text);
    test_pack_close(&p);
}

static void types_agree(void **state)
{
    (void)state;
    char path[4096];
    test_data(path, "deepface_pairs/images/img1.jpg");
    struct test_pack p = open_pack(MIEN_PRECISION_F32), q = open_pack(MIEN_PRECISION_AUTO);
    static const char *const NAME[] = {"images/img1.jpg", "images/img8.jpg", "images/img20.jpg", "images/img38.jpg"};
    float worst = 1.0f;
    for (int i = 0; i < 4; i++) {
        int n;
        struct test_photo t = test_photo_open("deepface_pairs", NAME[i]);
        const float *a = embed(&p, t.photo, &n), *b = embed(&q, t.photo, &n);
        worst = fminf(worst, mien_similarity_cosine(a, b, dim_of(&p)));
        test_photo_close(&t);
    }
    printf("automatic type against float32: worst cosine %.5f\n", (double)worst);
    assert_true(worst > 0.999f);
    test_pack_close(&p);
    test_pack_close(&q);
}

/* One line of pairs.txt: NAME A B or NAME1 A NAME2 B. */
static bool lfw_pair(char *line, char a[256], char b[256], bool *same)
{
    char *field[5] = {0}, *save = NULL;
    int n = 0;
    for (char *f = strtok_r(line, "\t\r\n ", &save); f != NULL && n < 5; f = strtok_r(NULL, "\t\r\n ", &save)) field[n++] = f;
    if (n != 3 && n != 4) return false;
    *same = n == 3;
    snprintf(a, 256, "images/%s/%s_%04ld.jpg", field[0], field[0], strtol(field[1], NULL, 10));
    const char *other = n == 3 ? field[0] : field[2];
    snprintf(b, 256, "images/%s/%s_%04ld.jpg", other, other, strtol(field[n - 1], NULL, 10));
    return true;
}

/* A sample of the official pairs: every 6th (the full figure is `mien eval verification`). */
static void labelled_faces_in_the_wild(void **state)
{
    (void)state;
    char path[4096], a[256], b[256];
    unsigned char *text;
    size_t size;
    test_data(path, "lfw/pairs.txt");
    struct test_pack p = open_pack(MIEN_PRECISION_AUTO);
    struct mien_err e = {0};
    TEST_TRY(mien_file_read(path, 1 << 20, &text, &size, &e), e);
    const struct mien_model *m = mien_models_role(p.models, MIEN_ROLE_EMBED, 0);
    const float threshold = m->threshold;
    const int percent = m->crop.points == MIEN_POINTS_LANDMARKS68 ? 92 : 97; /* dlib's network is the weaker one */
    int pairs = 0, right = 0, missed = 0, number = 0;
    char *save = NULL;
    for (char *line = strtok_r((char *)text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        bool same;
        if (!lfw_pair(line, a, b, &same) || number++ % (6 * TEST_STRIDE) != 0) continue;
        int n, k;
        struct test_photo s = test_photo_open("lfw", a), t = test_photo_open("lfw", b);
        const float *v = embed(&p, s.photo, &n), *w = embed(&p, t.photo, &k);
        missed += (v == NULL) + (w == NULL);
        pairs++;
        if (v != NULL && w != NULL) right += (mien_similarity_cosine(v, w, dim_of(&p)) >= threshold) == same;
        test_photo_close(&s);
        test_photo_close(&t);
        test_pack_next(&p);
    }
    printf("LFW: %d of %d pairs right at threshold %.3f, %d photos without a face\n", right, pairs, (double)threshold, missed);
    assert_true(pairs > 0 && right * 100 >= pairs * percent && missed == 0);
    free(text);
    test_pack_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cosine_and_norm), cmocka_unit_test(confidence_is_calibrated), cmocka_unit_test(the_curve_is_never_left),
        cmocka_unit_test(persons_are_told_apart),
        cmocka_unit_test(orientations_mirror_and_format_keep_the_person), cmocka_unit_test(the_view_serves_as_well_as_the_full_picture),
        cmocka_unit_test(types_agree), cmocka_unit_test(labelled_faces_in_the_wild),
    };
    return cmocka_run_group_tests_name("face/embed", tests, NULL, NULL);
}
