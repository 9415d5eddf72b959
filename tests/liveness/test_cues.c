// Each image cue passes on a photo of a live person and fails when that very photo is made to look like an attack; the fusion rises with every input.
#include "support/faces.h"
#include "support/pictures.h"

#include <math.h>
#include "liveness/cue_measures.h"
#include "liveness/spectrum.h"

#define SAMPLE "tools/models/node_modules/@vladmandic/face-api/demo/screenshot-webcam.png" /* a webcam picture that an npm package ships */

/* What a check must stay under to count as failing, and above to count as passing. */
#define FAILS 0.35f
#define PASSES 0.65f

struct scene { struct test_pack pack; struct mien_image image; };

static struct scene scene_open(void)
{
    struct scene s = {.pack = test_pack_open(MIEN_PRECISION_AUTO)};
    struct mien_file f;
    struct mien_err e = {0};
    FILE *there = fopen(SAMPLE, "rb");
    if (there == NULL) test_skip(SAMPLE);
    else fclose(there);
    TEST_TRY(mien_file_map(SAMPLE, 16u << 20, &f, &e), e);
    TEST_TRY(mien_image_decode(f.data, f.size, NULL, &s.image, &e), e);
    mien_file_unmap(&f);
    return s;
}

static void scene_close(struct scene *s)
{
    mien_image_free(&s->image);
    test_pack_close(&s->pack);
}

static struct mien_cues cues_of_photo(struct scene *s, struct mien_photo *photo)
{
    static const struct mien_face_settings one = {.primary_only = true};
    struct mien_faces found;
    struct mien_cues c;
    struct mien_err e = {0};
    TEST_TRY(mien_face_analyze(s->pack.models, s->pack.session, photo, MIEN_WANT_QUALITY, &one, s->pack.arena, &found, &e), e);
    assert_true(found.count >= 1);
    TEST_TRY(mien_cues_measure(photo, &found.face[0], s->pack.arena, &c, &e), e);
    return c;
}

static struct mien_cues cues_of(struct scene *s, const struct mien_image *im)
{
    struct mien_photo *photo;
    struct mien_err e = {0};
    TEST_TRY(mien_photo_from_pixels(im, &photo, &e), e);
    const struct mien_cues c = cues_of_photo(s, photo);
    mien_photo_free(&photo);
    return c;
}

static uint8_t byte(float v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5f); }

/* Every pixel changed by a function of its place. */
typedef void change_fn(int x, int y, float rgb[3]);

static void change(struct mien_image *im, change_fn *f)
{
    for (int y = 0; y < im->height; y++)
        for (int x = 0; x < im->width; x++) {
            uint8_t *p = im->px + (size_t)y * im->stride + 3 * (size_t)x;
            float rgb[3] = {p[0], p[1], p[2]};
            f(x, y, rgb);
            for (int c = 0; c < 3; c++) p[c] = byte(rgb[c]);
        }
}

static void scale3(float rgb[3], float by)
{
    for (int c = 0; c < 3; c++) rgb[c] *= by;
}

static void pixel_grid(int x, int y, float rgb[3])
{
    const float u = 0.995f * (float)x + 0.1f * (float)y, v = 0.995f * (float)y - 0.1f * (float)x;
    scale3(rgb, 1.0f - 0.12f * (1.0f + cosf(2.094f * u)) - 0.08f * (1.0f + cosf(2.094f * v)));
}

static void moire(int x, int y, float rgb[3])
{
    scale3(rgb, 1.0f - 0.08f * cosf(0.8f * (float)x + 0.5f * (float)y + 0.4f * sinf((float)y / 90.0f)));
}

static void halftone(int x, int y, float rgb[3])
{
    const float dots = 22.0f * (cosf(0.9f * (float)(x + y)) + cosf(0.9f * (float)(x - y)));
    for (int c = 0; c < 3; c++) rgb[c] = 0.85f * rgb[c] + dots;
}

static void gray_copy(int x, int y, float rgb[3])
{
    (void)x;
    (void)y;
    rgb[0] = rgb[1] = rgb[2] = 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
}

static void cold_cast(int x, int y, float rgb[3])
{
    (void)x;
    (void)y;
    rgb[0] *= 0.70f;
    rgb[2] *= 1.30f;
}

static void washed_out(int x, int y, float rgb[3])
{
    (void)x;
    (void)y;
    for (int c = 0; c < 3; c++) rgb[c] = 2.6f * rgb[c] + 30.0f;
}

/* Means over squares of n pixels, put back at full size: what a lens out of focus, or a small copy enlarged, leaves. */
static void blur(struct mien_image *im, int n)
{
    for (int pass = 0; pass < 2; pass++)
        for (int y = 0; y < im->height; y++) {
            uint8_t *row = im->px + (size_t)y * im->stride;
            for (int c = 0; c < 3; c++) {
                float mean = row[c];
                for (int x = 0; x < im->width; x++) row[3 * x + c] = byte(mean += ((float)row[3 * x + c] - mean) / (float)n);
                for (int x = im->width - 1; x >= 0; x--) row[3 * x + c] = byte(mean += ((float)row[3 * x + c] - mean) / (float)n);
            }
        }
    for (int x = 0; x < im->width; x++)
        for (int c = 0; c < 3; c++) {
            float mean = im->px[3 * x + c];
            for (int y = 0; y < im->height; y++) {
                uint8_t *p = im->px + (size_t)y * im->stride + 3 * (size_t)x + c;
                *p = byte(mean += ((float)*p - mean) / (float)n);
            }
            for (int y = im->height - 1; y >= 0; y--) {
                uint8_t *p = im->px + (size_t)y * im->stride + 3 * (size_t)x + c;
                *p = byte(mean += ((float)*p - mean) / (float)n);
            }
        }
}

static void a_webcam_picture_passes_every_check(void **state)
{
    (void)state;
    struct scene s = scene_open();
    if (mien_models_role(s.pack.models, MIEN_ROLE_SPOOF, 0) == NULL) {
        scene_close(&s);
        test_skip("a pack with anti-spoofing networks, to whose detector the cues are fitted,");
    }
    const struct mien_cues c = cues_of(&s, &s.image);
    assert_true(c.screen_pattern > PASSES);
    assert_true(c.color_distribution > PASSES);
    assert_true(c.face_proportion > PASSES);
    assert_true(c.detection_confidence > PASSES);
    assert_true(c.texture_complexity > PASSES);
    scene_close(&s);
}

static void periodic_patterns_fail_the_screen_check(void **state)
{
    (void)state;
    change_fn *const PATTERN[] = {pixel_grid, moire, halftone};
    for (int i = 0; i < 3; i++) {
        struct scene s = scene_open();
        change(&s.image, PATTERN[i]);
        assert_true(cues_of(&s, &s.image).screen_pattern < FAILS);
        scene_close(&s);
    }
}

static void jpeg_blocks_are_no_screen(void **state)
{
    (void)state;
    struct scene s = scene_open();
    for (int quality = 25; quality <= 85; quality += 30) {
        const struct bytes jpeg = picture_jpeg(&s.image, (struct jpeg_options){.quality = quality});
        struct mien_photo *photo;
        struct mien_err e = {0};
        TEST_TRY(mien_photo_open(jpeg.data, jpeg.n, NULL, &photo, &e), e);
        assert_true(cues_of_photo(&s, photo).screen_pattern > PASSES);
        mien_photo_free(&photo);
        free(jpeg.data);
    }
    scene_close(&s);
}

static void wrong_colours_fail_the_colour_check(void **state)
{
    (void)state;
    change_fn *const WRONG[] = {gray_copy, cold_cast, washed_out};
    for (int i = 0; i < 3; i++) {
        struct scene s = scene_open();
        change(&s.image, WRONG[i]);
        assert_true(cues_of(&s, &s.image).color_distribution < FAILS);
        scene_close(&s);
    }
}

static void a_squeezed_face_fails_the_proportion_check(void **state)
{
    (void)state;
    struct scene s = scene_open();
    for (int y = 0; y < s.image.height; y++) {
        uint8_t *row = s.image.px + (size_t)y * s.image.stride;
        for (int x = 0; x < s.image.width / 2; x++) memcpy(row + 3 * x, row + 6 * x, 3);
    }
    s.image.width /= 2;
    assert_true(cues_of(&s, &s.image).face_proportion < FAILS);
    scene_close(&s);
}

static void a_blurred_face_fails_the_texture_check(void **state)
{
    (void)state;
    struct scene s = scene_open();
    blur(&s.image, 12);
    assert_true(cues_of(&s, &s.image).texture_complexity < FAILS);
    scene_close(&s);
}

static void peaks_are_those_of_the_drawing(void **state)
{
    (void)state;
    struct mien_arena *arena = mien_arena_create(64u << 20);
    struct mien_image im;
    struct mien_err e = {0};
    float peak;
    TEST_TRY(mien_image_alloc(256, 256, &im, &e), e);
    for (uint32_t i = 0, r = 1; i < 256 * 256; i++) { /* noise: no frequency stands out */
        r = r * 1664525u + 1013904223u;
        memset(im.px + (i / 256) * im.stride + 3 * (i % 256), (int)(100 + (r >> 26)), 3);
    }
    TEST_TRY(mien_spectrum_peak(&im, arena, &peak, &e), e);
    assert_true(peak > 0.2f && peak < 3.0f);
    change(&im, moire);
    TEST_TRY(mien_spectrum_peak(&im, arena, &peak, &e), e);
    assert_true(peak > 10.0f);
    const struct mien_image small = {im.px, 63, 63, im.stride};
    TEST_TRY(mien_spectrum_peak(&small, arena, &peak, &e), e);
    assert_true(peak == 0.0f);
    memset(im.px, 77, (size_t)im.height * im.stride); /* one colour: nothing to divide by */
    TEST_TRY(mien_spectrum_peak(&im, arena, &peak, &e), e);
    assert_true(isfinite(peak) && peak < 3.0f);
    mien_image_free(&im);
    mien_arena_free(&arena);
}

static void confidence_rises_with_every_input(void **state)
{
    (void)state;
    for (int k = 0; k < 6; k++) {
        float last = -1;
        for (int i = 0; i <= 20; i++) {
            float v[6] = {0.6f, 0.6f, 0.6f, 0.6f, 0.6f, 0.6f};
            v[k] = (float)i / 20.0f;
            const struct mien_cues c = {v[0], v[1], v[2], v[3], v[4]};
            const float confidence = mien_liveness_confidence(&c, v[5]);
            assert_true(confidence > last && confidence > 0 && confidence < 1);
            last = confidence;
        }
    }
    const struct mien_cues all = {1, 1, 1, 0.95f, 1}, none = {0};
    assert_true(mien_liveness_confidence(&all, 0.95f) > MIEN_LIVE_CONFIDENCE);
    assert_true(mien_liveness_confidence(&all, 0.05f) < MIEN_LIVE_CONFIDENCE);
    assert_true(mien_liveness_confidence(&none, 1.0f) < MIEN_LIVE_CONFIDENCE);
}

static void labelled_photos(void **state)
{
    (void)state;
    static struct test_csv csv;
    char path[4096];
    test_data(path, "pad_fullframe_photos/index.csv");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    test_need_role(&p, MIEN_ROLE_SPOOF);
    test_csv_read(path, &csv);
    int lives = 0, lives_right = 0, attacks = 0, attacks_right = 0;
    for (int i = 1; i < csv.rows; i++) {
        struct test_photo t = test_photo_open("pad_fullframe_photos", csv.cell[i][0]);
        struct mien_err e = {0};
        struct mien_faces out;
        struct mien_cues c;
        TEST_TRY(mien_face_analyze(p.models, p.session, t.photo, MIEN_WANT_SPOOF, &(struct mien_face_settings){.primary_only = true}, p.arena, &out, &e), e);
        assert_true(out.count >= 1);
        TEST_TRY(mien_cues_measure(t.photo, &out.face[0], p.arena, &c, &e), e);
        const bool live = strcmp(test_csv_at(&csv, i, "label"), "live") == 0;
        const bool said = mien_liveness_confidence(&c, out.face[0].live) > MIEN_LIVE_CONFIDENCE;
        *(live ? &lives : &attacks) += 1;
        *(live ? &lives_right : &attacks_right) += said == live;
        test_photo_close(&t);
        test_pack_next(&p);
    }
    printf("live passed %d/%d, attacks refused %d/%d\n", lives_right, lives, attacks_right, attacks);
    assert_int_equal(lives_right, lives);
    assert_true(attacks_right >= attacks - 2); /* a worn mask, and one whose attack cannot be seen: docs/liveness.md */
    test_pack_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_webcam_picture_passes_every_check),
                                       cmocka_unit_test(periodic_patterns_fail_the_screen_check),
                                       cmocka_unit_test(jpeg_blocks_are_no_screen),
                                       cmocka_unit_test(wrong_colours_fail_the_colour_check),
                                       cmocka_unit_test(a_squeezed_face_fails_the_proportion_check),
                                       cmocka_unit_test(a_blurred_face_fails_the_texture_check),
                                       cmocka_unit_test(peaks_are_those_of_the_drawing),
                                       cmocka_unit_test(confidence_rises_with_every_input),
                                       cmocka_unit_test(labelled_photos)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
