// needs: -lpng16
/* Depth maps: 16-bit gray PNG in, everything else refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include "image/image.h"

enum { W = 37, H = 23, ROOM = 1 << 16 };

static size_t write_png(png_uint_32 format, const void *pixels, unsigned char out[ROOM])
{
    png_image im = {.version = PNG_IMAGE_VERSION, .width = W, .height = H, .format = format};
    png_alloc_size_t n = ROOM;
    assert_true(png_image_write_to_memory(&im, out, &n, 0, pixels, 0, NULL));
    return n;
}

static uint16_t depth_at(int i) { return (uint16_t)(i * 77 + 1); }

static size_t depth_png(unsigned char out[ROOM])
{
    uint16_t mm[W * H];
    for (int i = 0; i < W * H; i++) mm[i] = depth_at(i);
    return write_png(PNG_FORMAT_LINEAR_Y, mm, out);
}

static enum mien_code read(const unsigned char *data, size_t n, uint64_t max_pixels, struct mien_depth_map *out)
{
    return mien_depth_map_read(data, n, &(struct mien_image_limits){ROOM, max_pixels}, out, NULL);
}

static void depth_is_read_as_it_was_written(void **state)
{
    (void)state;
    unsigned char file[ROOM];
    struct mien_depth_map d;
    const size_t n = depth_png(file);
    assert_int_equal(read(file, n, W * H, &d), MIEN_OK);
    assert_int_equal(d.width, W);
    assert_int_equal(d.height, H);
    for (int i = 0; i < W * H; i++) assert_int_equal(d.mm[i], depth_at(i));
    mien_depth_map_free(&d);
    assert_null(d.mm);
}

static void other_pictures_are_refused(void **state)
{
    (void)state;
    unsigned char file[ROOM];
    static uint16_t wide[4 * W * H];
    static uint8_t narrow[4 * W * H];
    struct mien_depth_map d;
    static const png_uint_32 WIDE[] = {PNG_FORMAT_LINEAR_RGB, PNG_FORMAT_LINEAR_Y_ALPHA}, NARROW[] = {PNG_FORMAT_GRAY, PNG_FORMAT_RGB, PNG_FORMAT_RGBA};
    for (int i = 0; i < 2; i++) assert_int_equal(read(file, write_png(WIDE[i], wide, file), W * H, &d), MIEN_E_IMAGE_TYPE);
    for (int i = 0; i < 3; i++) assert_int_equal(read(file, write_png(NARROW[i], narrow, file), W * H, &d), MIEN_E_IMAGE_TYPE);
    assert_int_equal(read((const unsigned char *)"no picture", 10, W * H, &d), MIEN_E_IMAGE_TYPE);
    assert_int_equal(read(file, 0, W * H, &d), MIEN_E_IMAGE_TYPE);
}

static void limits_hold_before_anything_is_decoded(void **state)
{
    (void)state;
    unsigned char file[ROOM];
    struct mien_depth_map d;
    const size_t n = depth_png(file);
    assert_int_equal(read(file, n, W * H - 1, &d), MIEN_E_IMAGE_LIMIT);
    assert_int_equal(mien_depth_map_read(file, n, &(struct mien_image_limits){n - 1, W * H}, &d, NULL), MIEN_E_IMAGE_LIMIT);
    memset(file + 16, 0x7f, 8); /* a header that promises the moon */
    assert_int_equal(read(file, n, W * H, &d), MIEN_E_IMAGE_LIMIT);
}

static void damaged_files_are_errors(void **state)
{
    (void)state;
    unsigned char file[ROOM], *cut;
    struct mien_depth_map d;
    const size_t n = depth_png(file);
    for (size_t k = 0; k < n - 12; k++) { /* the last chunk says only that it is the last */
        cut = malloc(k > 0 ? k : 1);
        assert_non_null(cut);
        memcpy(cut, file, k);
        assert_int_not_equal(read(cut, k, W * H, &d), MIEN_OK);
        assert_null(d.mm);
        free(cut);
    }
    for (size_t k = 0; k < n; k++) { /* no flipped byte crashes */
        file[k] ^= 0x55;
        if (read(file, n, W * H, &d) == MIEN_OK) mien_depth_map_free(&d);
        file[k] ^= 0x55;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(depth_is_read_as_it_was_written), cmocka_unit_test(other_pictures_are_refused),
                                       cmocka_unit_test(limits_hold_before_anything_is_decoded), cmocka_unit_test(damaged_files_are_errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
