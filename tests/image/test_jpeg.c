// needs: image -ljpeg
/* JPEG: colour spaces, orientations, reduced views and regions, all against the full decode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "support/pictures.h"

static struct mien_image decoded(struct bytes b)
{
    struct mien_image im;
    struct mien_err e = {0};
    if (mien_image_decode(b.data, b.n, NULL, &im, &e) != MIEN_OK) fail_msg("%s", e.msg);
    return im;
}

static struct mien_photo *opened(struct bytes b)
{
    struct mien_photo *p;
    struct mien_err e = {0};
    if (mien_photo_open(b.data, b.n, NULL, &p, &e) != MIEN_OK) fail_msg("%s", e.msg);
    return p;
}

static void every_kind_of_encoding_decodes(void **state)
{
    (void)state;
    static const struct jpeg_options kinds[] = {
        {0}, {.progressive = true}, {.full_chroma = true}, {.restart_rows = 1}, {.arithmetic = true},
        {.progressive = true, .full_chroma = true, .orientation = 1}, {.scans = 40},
    };
    struct mien_image im = picture_smooth(83, 59);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct bytes b = picture_jpeg(&im, kinds[i]);
        assert_int_equal(mien_image_sniff(b.data, b.n), MIEN_IMAGE_JPEG);
        struct mien_image got = decoded(b);
        assert_true(picture_mean_difference(&im, &got) < 3);
        mien_image_free(&got);
        free(b.data);
    }
    mien_image_free(&im);
}

static void gray_has_equal_channels(void **state)
{
    (void)state;
    struct mien_image im = picture_smooth(40, 30);
    struct bytes b = picture_jpeg(&im, (struct jpeg_options){.gray = true});
    struct mien_image got = decoded(b);
    for (int i = 0; i < 40 * 30; i++) {
        const uint8_t *p = got.px + 3 * i, *q = im.px + 3 * i;
        assert_true(p[0] == p[1] && p[1] == p[2]);
        assert_in_range(p[0] + 8 - (0.299 * q[0] + 0.587 * q[1] + 0.114 * q[2]), 0, 16);
    }
    mien_image_free(&got);
    mien_image_free(&im);
    free(b.data);
}

static void cmyk_is_converted(void **state)
{
    (void)state;
    const uint8_t stored[4] = {200, 100, 50, 180};
    for (int adobe = 0; adobe < 2; adobe++) {
        for (int ycck = 0; ycck <= adobe; ycck++) { /* YCCK is announced by the Adobe marker only */
            struct bytes b = picture_cmyk(33, 17, stored, ycck, adobe);
            for (int turned = 0; turned < 2; turned++) {
                struct mien_image got = decoded(b);
                assert_int_equal(got.width, 33);
                for (int i = 0; i < 33 * 17; i++) {
                    for (int c = 0; c < 3; c++) {
                        int want = adobe ? stored[c] * stored[3] / 255 : (255 - stored[c]) * (255 - stored[3]) / 255;
                        assert_in_range(got.px[3 * i + c] + 3 - want, 0, 6);
                    }
                }
                mien_image_free(&got);
            }
            struct mien_photo *p = opened(b);
            const struct mien_image *part;
            int x, y;
            assert_int_equal(mien_photo_region(p, (struct mien_rect){20, 10, 5, 3}, &part, &x, &y, NULL), MIEN_OK);
            assert_in_range(part->px[0] + 3 - (adobe ? 200 * 180 / 255 : 55 * 75 / 255), 0, 6);
            mien_photo_free(&p);
            free(b.data);
        }
    }
}

static void orientations_are_applied(void **state)
{
    (void)state;
    struct mien_image im = picture_smooth(83, 59);
    struct bytes plain = picture_jpeg(&im, (struct jpeg_options){0});
    struct mien_image stored = decoded(plain);
    for (int o = 0; o <= 9; o++) {
        for (int big = 0; big < 2; big++) {
            struct bytes b = picture_jpeg(&im, (struct jpeg_options){.orientation = o, .big_endian = big});
            struct mien_image want = picture_turned(&stored, o > 8 ? 1 : o), got = decoded(b);
            assert_int_equal(picture_largest_difference(&want, &got), 0);
            struct mien_photo *p = opened(b);
            assert_int_equal(mien_photo_width(p), want.width);
            assert_int_equal(mien_photo_height(p), want.height);
            mien_photo_free(&p);
            mien_image_free(&want);
            mien_image_free(&got);
            free(b.data);
        }
    }
    mien_image_free(&stored);
    mien_image_free(&im);
    free(plain.data);
}

/* Mean of full pixels under view pixel (x, y). */
static double mean_under(const struct mien_image *full, int d, int x, int y, int c)
{
    double sum = 0;
    int n = 0;
    for (int j = y * d; j < (y + 1) * d && j < full->height; j++) {
        for (int i = x * d; i < (x + 1) * d && i < full->width; i++, n++) sum += full->px[(size_t)j * full->stride + (size_t)(3 * i + c)];
    }
    return sum / n;
}

static void check_view(const struct mien_image *view, const struct mien_image *full, int d)
{
    assert_int_equal(view->width, (full->width + d - 1) / d);
    assert_int_equal(view->height, (full->height + d - 1) / d);
    double sum = 0;
    for (int y = 0; y < view->height; y++) {
        for (int x = 0; x < view->width; x++) {
            for (int c = 0; c < 3; c++) {
                double diff = view->px[(size_t)y * view->stride + (size_t)(3 * x + c)] - mean_under(full, d, x, y, c);
                if (diff < -16 || diff > 16) fail_msg("1/%d: pixel %d,%d is off by %.1f", d, x, y, diff);
                sum += diff < 0 ? -diff : diff;
            }
        }
    }
    assert_true(sum / (3.0 * view->width * view->height) < 1.5);
}

static void views_agree_with_the_full_picture(void **state)
{
    (void)state;
    const int sizes[][2] = {{400, 240}, {397, 241}, {240, 404}};
    for (int s = 0; s < 3; s++) {
        struct mien_image im = picture_smooth(sizes[s][0], sizes[s][1]);
        for (int o = 1; o <= 8; o++) {
            struct bytes b = picture_jpeg(&im, (struct jpeg_options){.orientation = o, .progressive = o == 3});
            struct mien_image full = decoded(b);
            for (int want = 20; want <= 500; want += 60) {
                struct mien_photo *p = opened(b);
                const struct mien_image *view, *again;
                float scale, scale2;
                assert_int_equal(mien_photo_view(p, want, &view, &scale, NULL), MIEN_OK);
                int longer = view->width > view->height ? view->width : view->height, d = (int)(1 / scale);
                assert_true(longer >= want || scale == 1);
                check_view(view, &full, d);
                if (s == 0 && d < 8) assert_true(longer / 2 < want); /* multiples of 8: the smallest that satisfies */
                assert_int_equal(mien_photo_view(p, want / 2, &again, &scale2, NULL), MIEN_OK);
                assert_int_equal(mien_photo_view(p, want, &again, &scale2, NULL), MIEN_OK);
                assert_ptr_equal(again, view); /* cached */
                assert_true(scale == scale2);
                mien_photo_free(&p);
            }
            mien_image_free(&full);
            free(b.data);
        }
        mien_image_free(&im);
    }
}

static void a_held_view_that_is_large_enough_is_reused(void **state)
{
    (void)state;
    struct mien_image im = picture_smooth(800, 600);
    struct bytes b = picture_jpeg(&im, (struct jpeg_options){0});
    struct mien_photo *p = opened(b);
    const struct mien_image *half, *small, *full;
    float scale;
    assert_int_equal(mien_photo_view(p, 400, &half, &scale, NULL), MIEN_OK);
    assert_true(scale == 0.5f);
    assert_int_equal(mien_photo_view(p, 100, &small, &scale, NULL), MIEN_OK);
    assert_ptr_equal(small, half);
    assert_int_equal(mien_photo_view(p, 100000, &full, &scale, NULL), MIEN_OK);
    assert_true(scale == 1.0f);
    assert_int_equal(half->width, 400); /* still valid */
    mien_photo_free(&p);
    assert_null(p);
    mien_image_free(&im);
    free(b.data);
}

static uint32_t seed = 7;
static int dice(int n)
{
    seed = seed * 1664525 + 1013904223;
    return (int)((seed >> 8) % (uint32_t)n);
}

static void check_region(struct mien_photo *p, const struct mien_image *full, struct mien_rect want)
{
    const struct mien_image *part;
    int x0, y0;
    assert_int_equal(mien_photo_region(p, want, &part, &x0, &y0, NULL), MIEN_OK);
    int left = want.x < 0 ? 0 : want.x, top = want.y < 0 ? 0 : want.y;
    int right = want.x + want.w > full->width ? full->width : want.x + want.w, bottom = want.y + want.h > full->height ? full->height : want.y + want.h;
    assert_int_equal(x0, left);
    assert_int_equal(y0, top);
    assert_int_equal(part->width, right - left);
    assert_int_equal(part->height, bottom - top);
    struct mien_image crop = {full->px + (size_t)top * full->stride + 3 * (size_t)left, part->width, part->height, full->stride};
    int d = picture_largest_difference(part, &crop);
    if (d > 1) fail_msg("region %d,%d %dx%d differs by %d", want.x, want.y, want.w, want.h, d);
}

static void regions_are_crops_of_the_full_picture(void **state)
{
    (void)state;
    struct mien_image im = picture_smooth(311, 203);
    for (int i = 0; i < 311 * 203; i++) im.px[3 * i + i % 3] ^= (uint8_t)(dice(64)); /* detail in colour too */
    for (int kind = 0; kind < 4; kind++) {
        for (int o = 1; o <= 8; o++) {
            struct jpeg_options options = {.orientation = o, .progressive = kind == 1, .full_chroma = kind == 2, .restart_rows = kind == 3};
            struct bytes b = picture_jpeg(&im, options);
            struct mien_image full = decoded(b);
            for (int round = 0; round < 12; round++) {
                struct mien_photo *p = opened(b);
                if (round == 11) {
                    const struct mien_image *view;
                    assert_int_equal(mien_photo_view(p, 10000, &view, NULL, NULL), MIEN_OK);
                }
                for (int k = 0; k < 4; k++) { /* part, part, then the full picture serves */
                    struct mien_rect r = {dice(full.width) - 20, dice(full.height) - 20, 21 + dice(60), 21 + dice(60)};
                    if (round == 10) r = (struct mien_rect){-5, -5, 5000, 5000};
                    check_region(p, &full, r);
                }
                mien_photo_free(&p);
            }
            mien_image_free(&full);
            free(b.data);
        }
    }
    mien_image_free(&im);
}

static void regions_outside_are_refused(void **state)
{
    (void)state;
    struct mien_image im = picture_smooth(50, 40);
    struct bytes b = picture_jpeg(&im, (struct jpeg_options){0});
    struct mien_photo *p = opened(b);
    const struct mien_rect bad[] = {
        {50, 0, 5, 5}, {0, 40, 5, 5}, {-5, 0, 5, 5}, {0, 0, 0, 5}, {5, 5, -1, 3}, {INT32_MAX, 0, INT32_MAX, 1}, {INT32_MIN, INT32_MIN, 9, 9}};
    const struct mien_image *part;
    int x, y;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(mien_photo_region(p, bad[i], &part, &x, &y, NULL), MIEN_E_ARG);
    assert_int_equal(mien_photo_region(p, (struct mien_rect){INT32_MIN, INT32_MIN, INT32_MAX, INT32_MAX}, &part, &x, &y, NULL), MIEN_E_ARG);
    assert_int_equal(mien_photo_region(p, (struct mien_rect){49, 39, INT32_MAX, INT32_MAX}, &part, &x, &y, NULL), MIEN_OK);
    assert_int_equal(part->width, 1);
    mien_photo_free(&p);
    mien_image_free(&im);
    free(b.data);
}

static void a_photo_over_pixels_borrows_them(void **state)
{
    (void)state;
    struct mien_image im = picture_smooth(60, 40);
    struct mien_photo *p;
    assert_int_equal(mien_photo_from_pixels(&im, &p, NULL), MIEN_OK);
    const struct mien_image *view, *part;
    float scale;
    int x, y;
    assert_int_equal(mien_photo_view(p, 10, &view, &scale, NULL), MIEN_OK);
    assert_ptr_equal(view->px, im.px);
    assert_true(scale == 1.0f);
    assert_int_equal(mien_photo_region(p, (struct mien_rect){10, 20, 5, 5}, &part, &x, &y, NULL), MIEN_OK);
    assert_ptr_equal(part->px, im.px + 20 * im.stride + 30);
    mien_photo_free(&p);
    assert_true(im.px[0] != 0 || im.px[1] != 0); /* not wiped */
    mien_image_free(&im);
    assert_int_equal(mien_photo_from_pixels(&im, &p, NULL), MIEN_E_ARG);
}

static void damage_inside_passes_but_missing_data_does_not(void **state)
{
    (void)state;
    struct mien_image im = picture_smooth(200, 200), got;
    for (int progressive = 0; progressive < 2; progressive++) {
        struct bytes b = picture_jpeg(&im, (struct jpeg_options){.progressive = progressive, .restart_rows = 1});
        assert_int_equal(mien_image_decode(b.data, b.n / 2, NULL, &got, NULL), MIEN_E_IMAGE_CORRUPT);
        assert_int_equal(mien_image_decode(b.data, b.n * 9 / 10, NULL, &got, NULL), MIEN_E_IMAGE_CORRUPT);
        /* without the end marker: all pixels are there when there is one scan */
        assert_int_equal(mien_image_decode(b.data, b.n - 2, NULL, &got, NULL), progressive ? MIEN_E_IMAGE_CORRUPT : MIEN_OK);
        mien_image_free(&got);
        if (!progressive) {
            for (size_t i = b.n / 2; i < b.n / 2 + 3; i++) b.data[i] = 0x55; /* within one row of blocks */
            got = decoded(b);
            assert_true(picture_mean_difference(&im, &got) < 10);
            mien_image_free(&got);
        }
        free(b.data);
    }
    mien_image_free(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_encoding_decodes),
        cmocka_unit_test(gray_has_equal_channels),
        cmocka_unit_test(cmyk_is_converted),
        cmocka_unit_test(orientations_are_applied),
        cmocka_unit_test(views_agree_with_the_full_picture),
        cmocka_unit_test(a_held_view_that_is_large_enough_is_reused),
        cmocka_unit_test(regions_are_crops_of_the_full_picture),
        cmocka_unit_test(regions_outside_are_refused),
        cmocka_unit_test(a_photo_over_pixels_borrows_them),
        cmocka_unit_test(damage_inside_passes_but_missing_data_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
