// Crops: a picture whose pixels say where they are, so that every tensor element tells which photo pixel it shows.
#include "support/faces.h"

#include <math.h>

#include "face/inner.h"
#include "face/parts.h"

/* Red = x / 4, green = y / 4: smooth, so bilinear sampling and block averages keep it exact but for rounding. */
static struct mien_image ramp(int w, int h)
{
    struct mien_image im;
    struct mien_err e = {0};
    TEST_TRY(mien_image_alloc(w, h, &im, &e), e);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            uint8_t *p = im.px + (size_t)y * im.stride + 3 * (size_t)x;
            p[0] = (uint8_t)(x / 4);
            p[1] = (uint8_t)(y / 4);
            p[2] = 200;
        }
    return im;
}

static struct mien_model model_of(enum mien_crop_kind kind, int side, float scale)
{
    struct mien_model m = {.id = "test", .task = "expression", .width = side, .height = side, .crop = {.kind = kind, .scale = scale}};
    m.spec = (struct mien_tensor_spec){MIEN_RGB, {0, 0, 0}, {1, 1, 1}};
    return m;
}

static const float TEMPLATE[10] = {38.2946f, 51.6963f, 73.5318f, 51.5014f, 56.0252f, 71.7366f, 41.5493f, 92.3655f, 70.7299f, 92.2041f};

static struct mien_model aligned(int side)
{
    struct mien_model m = model_of(MIEN_CROP_ALIGN, side, 1);
    m.crop.n_points = 5;
    memcpy(m.crop.template_xy, TEMPLATE, sizeof TEMPLATE);
    return m;
}

/* A face whose points are the template turned, scaled and moved. */
static struct mien_detection face_at(float cx, float cy, float scale, float degrees)
{
    const float a = degrees * 0.01745329f, c = scale * cosf(a), s = scale * sinf(a);
    struct mien_detection d = {.box = {cx - 45 * scale, cy - 55 * scale, cx + 45 * scale, cy + 55 * scale}, .score = 1};
    for (int i = 0; i < 10; i += 2) {
        float x = TEMPLATE[i] - 55.5f, y = TEMPLATE[i + 1] - 55.5f;
        d.point[i] = cx + c * x - s * y;
        d.point[i + 1] = cy + s * x + c * y;
    }
    return d;
}

struct crop { float *t; struct mien_affine to_photo; int side; };

static struct crop cut_from(enum mien_crop_source source, const struct mien_model *m, struct mien_photo *photo, const struct mien_detection *d)
{
    struct mien_err e = {0};
    struct crop c = {malloc(sizeof(float) * 3 * (size_t)(m->width * m->height)), {{0}}, m->width};
    assert_non_null(c.t);
    TEST_TRY(mien_crop_face_from(source, m, photo, d, NULL, c.t, &c.to_photo, &e), e);
    return c;
}

static struct crop cut(const struct mien_model *m, const struct mien_image *im, const struct mien_detection *d)
{
    struct mien_photo *photo;
    struct mien_err e = {0};
    TEST_TRY(mien_photo_from_pixels(im, &photo, &e), e);
    struct crop c = cut_from(MIEN_CROP_FROM_ANY, m, photo, d);
    mien_photo_free(&photo);
    return c;
}

/* Every element shows the place that to_photo names: v = 4 steps of the ramp's 1/4 quantisation, x - 1.5 on average. Places
 * outside the picture must be `outside` (-1: not looked at). */
static void assert_shows(const struct crop *c, const struct mien_image *im, float outside)
{
    for (int v = 0; v < c->side; v++)
        for (int u = 0; u < c->side; u++) {
            float x, y;
            const float *p = c->t + 3 * (v * c->side + u);
            mien_affine_apply(&c->to_photo, (float)u, (float)v, &x, &y);
            bool in = x > 8 && y > 8 && x < (float)im->width - 9 && y < (float)im->height - 9;
            bool out = x < -8 || y < -8 || x > (float)im->width + 7 || y > (float)im->height + 7;
            if (in && (fabsf(4 * p[0] + 1.5f - x) > 4.1f || fabsf(4 * p[1] + 1.5f - y) > 4.1f || fabsf(p[2] - 200) > 0.01f))
                fail_msg("element %d,%d shows %.1f,%.1f of blue %.0f, should show %.1f,%.1f", u, v, (double)(4 * p[0] + 1.5f),
                         (double)(4 * p[1] + 1.5f), (double)p[2], (double)x, (double)y);
            if (out && outside >= 0.0f && (p[0] != outside || p[2] != outside)) fail_msg("element %d,%d outside the picture is %.1f", u, v, (double)p[0]);
        }
}

static void alignment_puts_the_points_on_the_template(void **state)
{
    (void)state;
    struct mien_image im = ramp(800, 600);
    const struct mien_model m = aligned(112);
    for (int k = 0; k < 4; k++) {
        const struct mien_detection d = face_at(400, 280, k == 0 ? 1.0f : k == 1 ? 2.3f : k == 2 ? 0.4f : 4.7f, 25.0f * (float)k);
        struct crop c = cut(&m, &im, &d);
        for (int i = 0; i < 10; i += 2) {
            float x, y;
            mien_affine_apply(&c.to_photo, TEMPLATE[i], TEMPLATE[i + 1], &x, &y);
            assert_float_equal(x, d.point[i], 0.05);
            assert_float_equal(y, d.point[i + 1], 0.05);
        }
        assert_shows(&c, &im, 0.0f);
        free(c.t);
    }
    mien_image_free(&im);
}

static void a_face_over_the_edge_gets_a_black_border(void **state)
{
    (void)state;
    struct mien_image im = ramp(400, 300);
    const struct mien_model m = aligned(112);
    for (int k = 0; k < 5; k++) {
        static const float at[5][2] = {{5, 150}, {395, 150}, {200, 5}, {200, 295}, {-500, -500}};
        const struct mien_detection d = face_at(at[k][0], at[k][1], 1.5f, 10.0f);
        struct crop c = cut(&m, &im, &d);
        assert_shows(&c, &im, 0.0f);
        free(c.t);
    }
    mien_image_free(&im);
}

static void three_points_and_landmarks(void **state)
{
    (void)state;
    struct mien_image im = ramp(800, 600);
    struct mien_model m = aligned(112);
    const struct mien_detection d = face_at(300, 300, 2.0f, -15.0f);
    m.crop.points = MIEN_POINTS_THREE;
    m.crop.n_points = 3;
    memcpy(m.crop.template_xy, (const float[6]){38.2946f, 51.6963f, 73.5318f, 51.5014f, 56.1396f, 92.2848f}, 6 * sizeof(float));
    struct crop c = cut(&m, &im, &d);
    float x, y;
    mien_affine_apply(&c.to_photo, 56.0252f, 71.7366f, &x, &y); /* the nose was not used, but lies where the template's nose is */
    assert_float_equal(x, d.point[4], 0.1);
    assert_float_equal(y, d.point[5], 0.1);
    assert_shows(&c, &im, 0.0f);
    free(c.t);

    float landmarks[136] = {0}, tensor[112 * 112 * 3];
    struct mien_photo *photo;
    struct mien_affine map;
    struct mien_err e = {0};
    m.crop.points = MIEN_POINTS_LANDMARKS68;
    m.crop.n_points = 2;
    m.crop.index[0] = 45;
    m.crop.index[1] = 36;
    memcpy(m.crop.template_xy, (const float[4]){80, 40, 30, 40}, 4 * sizeof(float));
    landmarks[90] = 500, landmarks[91] = 200, landmarks[72] = 400, landmarks[73] = 200;
    TEST_TRY(mien_photo_from_pixels(&im, &photo, &e), e);
    TEST_TRY(mien_crop_face(&m, photo, &d, landmarks, tensor, &map, &e), e);
    mien_affine_apply(&map, 30, 40, &x, &y);
    assert_true(fabsf(x - 400) < 0.01f && fabsf(y - 200) < 0.01f);
    assert_int_equal(mien_crop_face(&m, photo, &d, NULL, tensor, NULL, &e), MIEN_E_ARG);
    mien_photo_free(&photo);
    mien_image_free(&im);
}

static void points_on_one_spot_fall_back_to_the_box(void **state)
{
    (void)state;
    struct mien_image im = ramp(400, 400);
    const struct mien_model m = aligned(112);
    struct mien_detection d = face_at(200, 200, 1.2f, 0);
    for (int i = 0; i < 10; i++) d.point[i] = 100;
    struct crop c = cut(&m, &im, &d);
    float x, y;
    mien_affine_apply(&c.to_photo, 56, 72, &x, &y);
    assert_true(fabsf(x - 200) < 10 && fabsf(y - 200) < 20);
    assert_shows(&c, &im, 0.0f);
    free(c.t);
    mien_image_free(&im);
}

static void boxes_are_squares_about_the_centre(void **state)
{
    (void)state;
    struct mien_image im = ramp(800, 600);
    struct mien_detection d = face_at(300, 250, 1.0f, 0);
    d.box = (struct mien_box){250, 180, 350, 320}; /* longer side 140 */
    for (int rotate = 0; rotate < 2; rotate++) { /* the eyes are 0.3 degrees off level: half a pixel at the corners */
        struct mien_model m = model_of(MIEN_CROP_BOX, 64, 1.5f);
        m.crop.rotate = rotate;
        m.crop.shift_y = 0.1f;
        struct crop c = cut(&m, &im, &d);
        float x, y;
        mien_affine_apply(&c.to_photo, -0.5f, -0.5f, &x, &y); /* outer corner of the first pixel */
        assert_float_equal(x + 0.5f, 300 - 105, 1);
        assert_float_equal(y + 0.5f, 250 + 14 - 105, 1);
        mien_affine_apply(&c.to_photo, 63.5f, 63.5f, &x, &y);
        assert_float_equal(x + 0.5f, 300 + 105, 1);
        assert_float_equal(y + 0.5f, 250 + 14 + 105, 1);
        assert_shows(&c, &im, 0.0f);
        free(c.t);
    }
    struct mien_model m = model_of(MIEN_CROP_BOX, 64, 1.3f);
    m.crop.rotate = true;
    d = face_at(300, 250, 1.0f, 30);
    struct crop c = cut(&m, &im, &d);
    assert_float_equal(atan2f(c.to_photo.m[3], c.to_photo.m[0]) * 57.29578f, 29.7f, 0.2); /* the template's eyes are 0.3 degrees off level */
    assert_shows(&c, &im, 0.0f);
    free(c.t);
    mien_image_free(&im);
}

static void the_border_is_what_the_rule_says(void **state)
{
    (void)state;
    struct mien_image im = ramp(200, 200);
    struct mien_detection d = {.box = {-20, 60, 60, 140}, .score = 1};
    for (int k = 0; k < 3; k++) {
        struct mien_model m = model_of(MIEN_CROP_BOX, 80, 2.0f); /* x -60..100: tensor pixel u shows photo x = 2u - 59.5 */
        m.crop.border = k == 0 ? MIEN_BORDER_ZERO : k == 1 ? MIEN_BORDER_REPLICATE : MIEN_BORDER_REFLECT101;
        m.crop.filter = MIEN_AREA_OR_BILINEAR;
        struct crop c = cut(&m, &im, &d);
        const float *p = c.t + 3 * (40 * 80 + 10); /* photo x = -39.5 */
        assert_shows(&c, &im, k == 0 ? 0.0f : -1.0f);
        if (k == 0) assert_true(p[2] == 0);
        if (k == 1) assert_true(p[0] == 0 && fabsf(p[2] - 200) < 0.01f);
        if (k == 2) assert_true(fabsf(p[0] - 39.5f / 4) < 1.5f && fabsf(p[2] - 200) < 0.01f);
        free(c.t);
    }
    mien_image_free(&im);
}

/* Figures worked out with the authors' own function (generate_patches.py, CropImage._get_new_box) by hand. */
static void fit_box_is_the_authors_crop(void **state)
{
    (void)state;
    struct mien_rect r = mien_fit_box((struct mien_box){300, 200, 399, 319}, 2.7f, 1000, 800); /* 100 x 120: 270 x 324 about (350, 260) */
    assert_true(r.x == 215 && r.y == 98 && r.w == 271 && r.h == 325);
    r = mien_fit_box((struct mien_box){10, 10, 109, 129}, 2.7f, 1000, 800); /* shifted, not shrunk: 0..270, 0..324 */
    assert_true(r.x == 0 && r.y == 0 && r.w == 271 && r.h == 325);
    r = mien_fit_box((struct mien_box){900, 700, 999, 799}, 2.7f, 1000, 800); /* to the last pixel: 729..999, 529..799 */
    assert_true(r.x == 729 && r.y == 529 && r.w == 271 && r.h == 271);
    r = mien_fit_box((struct mien_box){0, 0, 199, 99}, 4.0f, 400, 300); /* scale limited to (400-1)/200: 399 x 199.5 */
    assert_true(r.x == 0 && r.y == 0 && r.w == 400 && r.h == 200);
    for (int i = 0; i < 200; i++) { /* always inside */
        float x = (float)(i * 37 % 300 - 60), y = (float)(i * 53 % 260 - 50);
        r = mien_fit_box((struct mien_box){x, y, x + (float)(i * 11 % 150 + 1), y + (float)(i * 7 % 150 + 1)}, 2.7f, 240, 200);
        assert_true(r.x >= 0 && r.y >= 0 && r.w >= 1 && r.h >= 1 && r.x + r.w <= 240 && r.y + r.h <= 200);
    }
    struct mien_image im = ramp(1000, 800);
    struct mien_model m = model_of(MIEN_CROP_FIT_BOX, 80, 2.7f);
    const struct mien_detection d = {.box = {300, 200, 399, 319}, .score = 1};
    struct crop c = cut(&m, &im, &d);
    assert_shows(&c, &im, -1.0f);
    float x, y;
    mien_affine_apply(&c.to_photo, -0.5f, -0.5f, &x, &y);
    assert_true(fabsf(x + 0.5f - 215) < 0.01f && fabsf(y + 0.5f - 98) < 0.01f);
    free(c.t);
    mien_image_free(&im);
}

static void nonsense_is_an_error(void **state)
{
    (void)state;
    struct mien_image im = ramp(100, 100);
    struct mien_photo *photo;
    struct mien_err e = {0};
    float tensor[64 * 64 * 3];
    TEST_TRY(mien_photo_from_pixels(&im, &photo, &e), e);
    const struct mien_model box = model_of(MIEN_CROP_BOX, 64, 1), whole = model_of(MIEN_CROP_LETTERBOX, 64, 1);
    struct mien_detection d = {.box = {50, 50, 50, 60}};
    assert_int_equal(mien_crop_face(&box, photo, &d, NULL, tensor, NULL, &e), MIEN_E_ARG);
    d.box = (struct mien_box){NAN, 0, 50, 60};
    assert_int_equal(mien_crop_face(&box, photo, &d, NULL, tensor, NULL, &e), MIEN_E_ARG);
    d.box = (struct mien_box){10, 10, 50, 60};
    assert_int_equal(mien_crop_face(&whole, photo, &d, NULL, tensor, NULL, &e), MIEN_E_ARG);
    d.box = (struct mien_box){500, 500, 600, 600}; /* outside: black, no error */
    assert_int_equal(mien_crop_face(&box, photo, &d, NULL, tensor, NULL, &e), MIEN_OK);
    assert_true(tensor[0] == 0.0f && tensor[3 * 64 * 64 - 1] == 0.0f);
    mien_photo_free(&photo);
    mien_image_free(&im);
}

/* The detector's reduced view of a JPEG and the full picture give the same crop where the rule lets the view serve. */
static void view_and_full_picture_agree(void **state)
{
    (void)state;
    struct mien_image im = ramp(1016, 1000);
    for (int y = 0; y < im.height; y++)
        for (int x = 0; x < im.width; x++) im.px[(size_t)y * im.stride + 3 * (size_t)x + 2] = (uint8_t)(127.5 + 120 * sin(x / 17.0) * cos(y / 23.0));
    unsigned char *jpeg;
    size_t n;
    struct mien_err e = {0};
    TEST_TRY(mien_image_encode_jpeg(&im, 95, &jpeg, &n, &e), e);
    for (int k = 0; k < 3; k++) {
        struct mien_photo *photo;
        const struct mien_image *view;
        float scale;
        TEST_TRY(mien_photo_open(jpeg, n, NULL, &photo, &e), e);
        TEST_TRY(mien_photo_view(photo, 320, &view, &scale, &e), e);
        assert_true(scale == 0.5f);
        struct mien_model m = k == 0 ? aligned(112) : model_of(MIEN_CROP_BOX, 96, 1.3f);
        m.crop.filter = k == 1 ? MIEN_BILINEAR : MIEN_AREA_OR_BILINEAR;
        const struct mien_detection d = face_at(500, 480, k == 0 ? 2.6f : 4.0f, 12.0f);
        struct crop a = cut_from(MIEN_CROP_FROM_VIEW, &m, photo, &d), b = cut_from(MIEN_CROP_FROM_FULL, &m, photo, &d);
        struct crop c = cut_from(MIEN_CROP_FROM_ANY, &m, photo, &d);
        double dot = 0, aa = 0, bb = 0, shift[3] = {0};
        for (int i = 0; i < 3 * m.width * m.height; i++) {
            double p = a.t[i] - 127.5, q = b.t[i] - 127.5;
            dot += p * q, aa += p * p, bb += q * q;
            shift[i % 3] += 4 * (p - q) / (m.width * m.height); /* of the ramps, in photo pixels */
            assert_true(a.t[i] == c.t[i]); /* the view was chosen */
        }
        assert_true(dot / sqrt(aa * bb) > 0.999);
        assert_true(fabs(shift[0]) < 0.2 && fabs(shift[1]) < 0.2);
        free(a.t), free(b.t), free(c.t);

        snprintf(m.task, sizeof m.task, "spoof"); /* judges of the capture get every pixel */
        b = cut_from(MIEN_CROP_FROM_FULL, &m, photo, &d), c = cut_from(MIEN_CROP_FROM_ANY, &m, photo, &d);
        assert_memory_equal(b.t, c.t, sizeof(float) * 3 * (size_t)(m.width * m.height));
        free(b.t), free(c.t);
        mien_photo_free(&photo);
    }
    free(jpeg);
    mien_image_free(&im);
}

/* The crop of a face that is placed in a picture which is a cut already: the whole picture, in the middle of a square. */
static void a_cut_is_its_own_crop(void **state)
{
    (void)state;
    static const int SIZE[3][2] = {{480, 480}, {640, 400}, {300, 440}};
    struct mien_model model[5] = {model_of(MIEN_CROP_BOX, 112, 1.3f), model_of(MIEN_CROP_BOX, 48, 1.0f), aligned(112), aligned(112),
                                  model_of(MIEN_CROP_FIT_BOX, 80, 2.7f)};
    model[0].crop.shift_y = 0.1f;
    model[0].crop.rotate = true;
    model[3].crop.points = MIEN_POINTS_THREE;
    model[3].crop.n_points = 3;
    memcpy(model[3].crop.template_xy, (float[6]){30, 40, 80, 41, 56, 90}, 6 * sizeof(float));
    for (int i = 0; i < 15; i++) {
        const struct mien_model *m = &model[i / 3];
        struct mien_image im = ramp(SIZE[i % 3][0], SIZE[i % 3][1]);
        struct mien_photo *photo;
        struct mien_face f = {.point = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}};
        struct mien_err e = {0};
        TEST_TRY(mien_photo_from_pixels(&im, &photo, &e), e);
        TEST_TRY(mien_cut_place(m, photo, &f, &e), e);
        const struct mien_detection d = mien_part_detection(&f);
        struct crop c = cut_from(MIEN_CROP_FROM_ANY, m, photo, &d);
        const bool fit = m->crop.kind == MIEN_CROP_FIT_BOX; /* stretched, and up to two pixels short */
        const float w = (float)im.width, h = (float)im.height, side = fmaxf(w, h), last = (float)m->width - 0.5f, wide = fit ? w : side, high = fit ? h : side;
        float x0, y0, x1, y1;
        mien_affine_apply(&c.to_photo, -0.5f, -0.5f, &x0, &y0);
        mien_affine_apply(&c.to_photo, last, last, &x1, &y1);
        const float far[4] = {x0 + 0.5f - 0.5f * (w - wide), y0 + 0.5f - 0.5f * (h - high), x1 + 0.5f - 0.5f * (w + wide), y1 + 0.5f - 0.5f * (h + high)};
        for (int k = 0; k < 4; k++)
            if (fabsf(far[k]) > (fit ? 2.5f : 0.05f)) fail_msg("model %d, %.0f x %.0f: edge %d is off by %.2f", i / 3, (double)w, (double)h, k, (double)far[k]);
        if (!fit) assert_shows(&c, &im, 0.0f);
        free(c.t);
        mien_photo_free(&photo);
        mien_image_free(&im);
    }
    struct mien_model landmarks = aligned(112), points = model_of(MIEN_CROP_POINTS, 1, 1);
    struct mien_image im = ramp(64, 64);
    struct mien_photo *photo;
    struct mien_face f;
    struct mien_err e = {0};
    landmarks.crop.points = MIEN_POINTS_LANDMARKS68;
    TEST_TRY(mien_photo_from_pixels(&im, &photo, &e), e);
    assert_int_equal(mien_cut_place(&landmarks, photo, &f, &e), MIEN_E_ARG);
    assert_int_equal(mien_cut_place(&points, photo, &f, &e), MIEN_E_ARG);
    mien_photo_free(&photo);
    mien_image_free(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alignment_puts_the_points_on_the_template), cmocka_unit_test(a_face_over_the_edge_gets_a_black_border),
        cmocka_unit_test(three_points_and_landmarks), cmocka_unit_test(points_on_one_spot_fall_back_to_the_box),
        cmocka_unit_test(boxes_are_squares_about_the_centre), cmocka_unit_test(the_border_is_what_the_rule_says),
        cmocka_unit_test(fit_box_is_the_authors_crop), cmocka_unit_test(nonsense_is_an_error), cmocka_unit_test(view_and_full_picture_agree),
        cmocka_unit_test(a_cut_is_its_own_crop),
    };
    return cmocka_run_group_tests_name("face/crop", tests, NULL, NULL);
}
