// needs: image -lwebp -lgif -lpng16
/* PNG, WebP, BMP and GIF: every way of storing pixels gives the pixels that were stored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <gif_lib.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <webp/encode.h>

#include "support/pictures.h"

static struct mien_image decoded(struct bytes b)
{
    struct mien_image im;
    struct mien_err e = {0};
    unsigned char *copy = bytes_cut(b, b.n);
    if (mien_image_decode(copy, b.n, NULL, &im, &e) != MIEN_OK) fail_msg("%s", e.msg);
    free(copy);
    return im;
}

static void pixel_is(const struct mien_image *im, int x, int y, int r, int g, int b)
{
    const uint8_t *p = im->px + (size_t)y * im->stride + 3 * (size_t)x;
    if (p[0] != r || p[1] != g || p[2] != b) fail_msg("pixel %d,%d is %d %d %d, not %d %d %d", x, y, p[0], p[1], p[2], r, g, b);
}

/* ---- PNG ---- */

static void append(png_structp png, png_bytep from, size_t n)
{
    struct bytes *b = png_get_io_ptr(png);
    b->data = realloc(b->data, b->n + n);
    memcpy(b->data + b->n, from, n);
    b->n += n;
}

static void no_flush(png_structp png) { (void)png; }

struct png_kind {
    int bits, type, interlace;
    int orientation; /* 0: no eXIf */
    const png_color *palette;
    int colours;
    const unsigned char *alpha; /* of the palette */
    int alphas;
};

/* rows: h rows of `stride` bytes in PNG's own layout */
static struct bytes png_of(int w, int h, const unsigned char *rows, size_t stride, struct png_kind k)
{
    struct bytes b = {0};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_set_write_fn(png, &b, append, no_flush);
    png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, k.bits, k.type, k.interlace, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (k.palette != NULL) png_set_PLTE(png, info, k.palette, k.colours);
    if (k.alpha != NULL) png_set_tRNS(png, info, k.alpha, k.alphas, NULL);
    unsigned char exif[40];
    if (k.orientation > 0) png_set_eXIf_1(png, info, (png_uint_32)picture_exif(exif, k.orientation, true, false), exif);
    png_write_info(png, info);
    int passes = png_set_interlace_handling(png);
    for (int p = 0; p < passes; p++) {
        for (int y = 0; y < h; y++) png_write_row(png, rows + (size_t)y * stride);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return b;
}

static void png_round_trip_is_exact(void **state)
{
    (void)state;
    struct mien_image im = picture_smooth(67, 31);
    struct bytes b;
    assert_int_equal(mien_image_encode_png(&im, &b.data, &b.n, NULL), MIEN_OK);
    struct mien_image got = decoded(b);
    assert_int_equal(picture_largest_difference(&im, &got), 0);
    mien_image_free(&got);
    free(b.data);
    for (int o = 1; o <= 8; o++) {
        for (int interlace = 0; interlace < 2; interlace++) {
            b = png_of(67, 31, im.px, im.stride, (struct png_kind){8, PNG_COLOR_TYPE_RGB, interlace, o, NULL, 0, NULL, 0});
            struct mien_image want = picture_turned(&im, o);
            got = decoded(b);
            assert_int_equal(picture_largest_difference(&want, &got), 0);
            mien_image_free(&got);
            mien_image_free(&want);
            free(b.data);
        }
    }
    mien_image_free(&im);
}

static void png_of_few_bits_and_palettes(void **state)
{
    (void)state;
    static const png_color palette[3] = {{10, 20, 30}, {100, 110, 120}, {200, 0, 50}};
    static const unsigned char alpha[2] = {255, 0}, two_bits[1] = {0x1b} /* 0 1 2 3 */, one_bit[1] = {0xa0}, indexed[3] = {2, 1, 0};
    struct bytes b = png_of(4, 1, two_bits, 1, (struct png_kind){2, PNG_COLOR_TYPE_GRAY, 0, 0, NULL, 0, NULL, 0});
    struct mien_image im = decoded(b);
    for (int x = 0; x < 4; x++) pixel_is(&im, x, 0, 85 * x, 85 * x, 85 * x);
    mien_image_free(&im);
    free(b.data);
    b = png_of(3, 1, one_bit, 1, (struct png_kind){1, PNG_COLOR_TYPE_GRAY, 0, 0, NULL, 0, NULL, 0});
    im = decoded(b);
    pixel_is(&im, 0, 0, 255, 255, 255);
    pixel_is(&im, 1, 0, 0, 0, 0);
    mien_image_free(&im);
    free(b.data);
    b = png_of(3, 1, indexed, 3, (struct png_kind){8, PNG_COLOR_TYPE_PALETTE, 0, 0, palette, 3, alpha, 2});
    im = decoded(b);
    pixel_is(&im, 0, 0, 200, 0, 50);
    pixel_is(&im, 1, 0, 255, 255, 255); /* transparent: white shows */
    pixel_is(&im, 2, 0, 10, 20, 30);
    mien_image_free(&im);
    free(b.data);
}

static void png_of_16_bits_and_alpha(void **state)
{
    (void)state;
    static const unsigned char deep[12] = {0x12, 0x34, 0xff, 0xff, 0x00, 0x00, 0x80, 0x80, 0x01, 0x00, 0x7f, 0xff};
    struct bytes b = png_of(2, 1, deep, 12, (struct png_kind){16, PNG_COLOR_TYPE_RGB, 0, 0, NULL, 0, NULL, 0});
    struct mien_image im = decoded(b);
    pixel_is(&im, 0, 0, 0x12, 255, 0); /* 0x1234 / 257 = 18.1 */
    pixel_is(&im, 1, 0, 0x80, 1, 127);
    mien_image_free(&im);
    free(b.data);
    static const unsigned char rgba[16] = {10, 20, 30, 255, 10, 20, 30, 0, 100, 0, 255, 51, 0, 0, 0, 128}, la[4] = {40, 255, 40, 102};
    for (int interlace = 0; interlace < 2; interlace++) {
        b = png_of(4, 1, rgba, 16, (struct png_kind){8, PNG_COLOR_TYPE_RGB_ALPHA, interlace, 0, NULL, 0, NULL, 0});
        im = decoded(b);
        pixel_is(&im, 0, 0, 10, 20, 30);
        pixel_is(&im, 1, 0, 255, 255, 255);
        pixel_is(&im, 2, 0, 224, 204, 255); /* alpha 0.2 */
        pixel_is(&im, 3, 0, 127, 127, 127);
        mien_image_free(&im);
        free(b.data);
        b = png_of(2, 1, la, 4, (struct png_kind){8, PNG_COLOR_TYPE_GRAY_ALPHA, interlace, 0, NULL, 0, NULL, 0});
        im = decoded(b);
        pixel_is(&im, 0, 0, 40, 40, 40);
        pixel_is(&im, 1, 0, 169, 169, 169); /* 0.4 * 40 + 0.6 * 255 */
        mien_image_free(&im);
        free(b.data);
    }
}

/* ---- WebP ---- */

/* Wraps a simple file into the extended format with an EXIF chunk behind the picture. */
static struct bytes with_exif(struct bytes simple, int w, int h, int orientation, bool prefix)
{
    unsigned char exif[40], *p = calloc(simple.n + 100, 1);
    size_t n = picture_exif(exif, orientation, false, prefix), at = 12;
    memcpy(p, "RIFF....WEBPVP8X\x0a\0\0\0\x08\0\0\0", 24);
    for (int i = 0; i < 3; i++) {
        p[24 + i] = (unsigned char)((w - 1) >> 8 * i);
        p[27 + i] = (unsigned char)((h - 1) >> 8 * i);
    }
    at = 30;
    memcpy(p + at, simple.data + 12, simple.n - 12);
    at += simple.n - 12;
    memcpy(p + at, "EXIF", 4);
    p[at + 4] = (unsigned char)n;
    memcpy(p + at + 8, exif, n);
    at += 8 + n;
    for (int i = 0; i < 4; i++) p[4 + i] = (unsigned char)((at - 8) >> 8 * i);
    return (struct bytes){p, at};
}

static void webp_lossless_is_exact_in_every_orientation(void **state)
{
    (void)state;
    struct mien_image im = picture_smooth(45, 29);
    uint8_t *data;
    struct bytes simple = {0};
    simple.n = WebPEncodeLosslessRGB(im.px, 45, 29, (int)im.stride, &data);
    simple.data = data;
    struct mien_image got = decoded(simple);
    assert_int_equal(picture_largest_difference(&im, &got), 0);
    mien_image_free(&got);
    for (int o = 1; o <= 8; o++) {
        struct bytes b = with_exif(simple, 45, 29, o, o % 2);
        struct mien_image want = picture_turned(&im, o);
        got = decoded(b);
        assert_int_equal(picture_largest_difference(&want, &got), 0);
        mien_image_free(&got);
        mien_image_free(&want);
        free(b.data);
    }
    WebPFree(data);
    simple.n = WebPEncodeRGB(im.px, 45, 29, (int)im.stride, 95, &data);
    simple.data = data;
    got = decoded(simple);
    assert_true(picture_mean_difference(&im, &got) < 4);
    mien_image_free(&got);
    WebPFree(data);
    mien_image_free(&im);
}

static void webp_alpha_is_laid_on_white(void **state)
{
    (void)state;
    static const uint8_t rgba[12] = {10, 20, 30, 255, 100, 0, 255, 51, 0, 0, 0, 128};
    uint8_t *data;
    size_t n = WebPEncodeLosslessRGBA(rgba, 3, 1, 12, &data);
    struct mien_image im = decoded((struct bytes){data, n});
    pixel_is(&im, 0, 0, 10, 20, 30);
    pixel_is(&im, 1, 0, 224, 204, 255);
    pixel_is(&im, 2, 0, 127, 127, 127);
    mien_image_free(&im);
    WebPFree(data);
}

/* ---- BMP ---- */

static void put32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> 8 * i);
}

/* 3x2 pixels; `rows`: the stored rows, bottom up unless height is negative. */
static struct bytes bmp_of(int height, unsigned bits, unsigned compression, const void *extra, size_t extra_n, const void *rows, size_t rows_n)
{
    size_t start = 54 + extra_n, n = start + rows_n;
    unsigned char *p = calloc(n, 1);
    memcpy(p, "BM", 2);
    put32(p + 2, (uint32_t)n);
    put32(p + 10, (uint32_t)start);
    put32(p + 14, 40);
    put32(p + 18, 3);
    put32(p + 22, (uint32_t)height);
    p[26] = 1;
    p[28] = (unsigned char)bits;
    put32(p + 30, compression);
    if (extra_n) memcpy(p + 54, extra, extra_n);
    if (bits <= 8) put32(p + 46, (uint32_t)extra_n / 4);
    memcpy(p + start, rows, rows_n);
    return (struct bytes){p, n};
}

/* The picture all variants show: red green blue / white black gray(99). */
static void check_bmp(struct bytes b, int tolerance)
{
    static const int want[6][3] = {{255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 255}, {0, 0, 0}, {99, 99, 99}};
    struct mien_image im = decoded(b);
    assert_int_equal(im.width, 3);
    assert_int_equal(im.height, 2);
    for (int i = 0; i < 6; i++) {
        for (int c = 0; c < 3; c++) assert_in_range(im.px[3 * i + c] + tolerance - want[i][c], 0, 2 * tolerance);
    }
    mien_image_free(&im);
    free(b.data);
}

static void bmp_of_every_depth_and_direction(void **state)
{
    (void)state;
    static const unsigned char r24[24] = {255, 255, 255, 0, 0, 0, 99, 99, 99, 0, 0, 0, 0, 0, 255, 0, 255, 0, 255, 0, 0, 0, 0, 0};
    unsigned char top_down[24], r32[24], r8[8] = {3, 4, 5, 0, 0, 1, 2, 0}, r4[8] = {0x34, 0x50, 0, 0, 0x01, 0x20, 0, 0};
    memcpy(top_down, r24 + 12, 12);
    memcpy(top_down + 12, r24, 12);
    static const unsigned char palette[24] = {0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0, 255, 255, 255, 0, 0, 0, 0, 0, 99, 99, 99, 0};
    for (int i = 0; i < 6; i++) {
        memcpy(r32 + 4 * i, (i < 3 ? r24 : r24 + 12) + 3 * (i % 3), 3);
        r32[4 * i + 3] = (unsigned char)(40 * i); /* padding, not alpha */
    }
    check_bmp(bmp_of(2, 24, 0, NULL, 0, r24, 24), 0);
    check_bmp(bmp_of(2, 24, 0, NULL, 0, r24, 21), 0); /* last row without its padding */
    check_bmp(bmp_of(-2, 24, 0, NULL, 0, top_down, 24), 0);
    check_bmp(bmp_of(2, 32, 0, NULL, 0, r32, 24), 0);
    check_bmp(bmp_of(2, 8, 0, palette, 24, r8, 8), 0);
    check_bmp(bmp_of(2, 4, 0, palette, 24, r4, 8), 0);
    static const unsigned char masks565[12] = {0, 0xf8, 0, 0, 0xe0, 7, 0, 0, 0x1f, 0, 0, 0};
    static const unsigned char r565[16] = {0xff, 0xff, 0, 0, 0x2c, 0x63, 0, 0, 0, 0xf8, 0xe0, 7, 0x1f, 0, 0, 0};
    check_bmp(bmp_of(2, 16, 3, masks565, 12, r565, 16), 5);
    static const unsigned char masks_bgr[12] = {0xff, 0, 0, 0, 0, 0xff, 0, 0, 0, 0, 0xff, 0};
    unsigned char swapped[24];
    for (int i = 0; i < 24; i++) swapped[i] = r32[i / 4 * 4 + (i % 4 == 3 ? 3 : 2 - i % 4)];
    check_bmp(bmp_of(2, 32, 3, masks_bgr, 12, swapped, 24), 0);
}

static void bmp_oddities_are_refused(void **state)
{
    (void)state;
    static const unsigned char rows[24] = {0};
    const struct {
        int height;
        unsigned bits, compression;
        size_t rows_n;
        enum mien_code code;
    } cases[] = {{2, 24, 0, 20, MIEN_E_IMAGE_CORRUPT}, {0, 24, 0, 24, MIEN_E_IMAGE_CORRUPT}, {INT32_MIN, 24, 0, 24, MIEN_E_IMAGE_CORRUPT},
                 {2, 8, 1, 24, MIEN_E_IMAGE_TYPE},     {2, 7, 0, 24, MIEN_E_IMAGE_TYPE},     {2, 32, 3, 8, MIEN_E_IMAGE_CORRUPT},
                 {2, 8, 0, 4, MIEN_E_IMAGE_CORRUPT},   {INT32_MAX, 24, 0, 24, MIEN_E_IMAGE_LIMIT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes b = bmp_of(cases[i].height, cases[i].bits, cases[i].compression, NULL, 0, rows, cases[i].rows_n);
        struct mien_image im;
        assert_int_equal(mien_image_decode(b.data, b.n, NULL, &im, NULL), cases[i].code);
        assert_null(im.px);
        free(b.data);
    }
}

/* ---- GIF ---- */

static int append_gif(GifFileType *gif, const GifByteType *from, int n)
{
    struct bytes *b = gif->UserData;
    b->data = realloc(b->data, b->n + (size_t)n);
    memcpy(b->data + b->n, from, (size_t)n);
    b->n += (size_t)n;
    return n;
}

/* A canvas of w x h with one frame of 4 x 9 at (left, top) whose row y has the index y % 4. */
static struct bytes gif_of(int w, int h, int left, int top, bool interlaced, int transparent)
{
    static const GifColorType colours[4] = {{10, 20, 30}, {200, 0, 0}, {0, 200, 0}, {0, 0, 200}};
    struct bytes b = {0};
    int error;
    GifFileType *gif = EGifOpen(&b, append_gif, &error);
    ColorMapObject *map = GifMakeMapObject(4, colours);
    EGifSetGifVersion(gif, true);
    EGifPutScreenDesc(gif, w, h, 2, 0, map);
    if (transparent >= 0) {
        GraphicsControlBlock gcb = {.TransparentColor = transparent};
        GifByteType ext[4];
        EGifGCBToExtension(&gcb, ext);
        EGifPutExtension(gif, GRAPHICS_EXT_FUNC_CODE, 4, ext);
    }
    EGifPutImageDesc(gif, left, top, 4, 9, interlaced, NULL);
    static const int order[9] = {0, 8, 4, 2, 6, 1, 3, 5, 7};
    for (int i = 0; i < 9; i++) {
        int y = interlaced ? order[i] : i;
        GifPixelType line[4];
        memset(line, y % 4, 4);
        EGifPutLine(gif, line, 4);
    }
    EGifCloseFile(gif, &error);
    GifFreeMapObject(map);
    return b;
}

static void gif_first_frame_lies_on_white(void **state)
{
    (void)state;
    static const int want[4][3] = {{10, 20, 30}, {200, 0, 0}, {0, 200, 0}, {0, 0, 200}};
    for (int interlaced = 0; interlaced < 2; interlaced++) {
        for (int transparent = -1; transparent < 3; transparent += 3) { /* none, 2 */
            struct bytes b = gif_of(8, 12, 3, 2, interlaced, transparent);
            struct mien_image im = decoded(b);
            assert_int_equal(im.width, 8);
            assert_int_equal(im.height, 12);
            for (int y = 0; y < 12; y++) {
                for (int x = 0; x < 8; x++) {
                    int i = (y - 2) % 4;
                    bool white = x < 3 || x >= 7 || y < 2 || y >= 11 || i == transparent;
                    if (white) pixel_is(&im, x, y, 255, 255, 255);
                    else pixel_is(&im, x, y, want[i][0], want[i][1], want[i][2]);
                }
            }
            mien_image_free(&im);
            free(b.data);
        }
    }
}

static void gif_frame_beyond_the_canvas_is_clipped(void **state)
{
    (void)state;
    struct bytes b = gif_of(5, 5, 3, 3, false, -1);
    struct mien_image im = decoded(b);
    assert_int_equal(im.width, 5);
    pixel_is(&im, 2, 3, 255, 255, 255);
    pixel_is(&im, 3, 3, 10, 20, 30);
    pixel_is(&im, 4, 4, 200, 0, 0);
    mien_image_free(&im);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_round_trip_is_exact),
        cmocka_unit_test(png_of_few_bits_and_palettes),
        cmocka_unit_test(png_of_16_bits_and_alpha),
        cmocka_unit_test(webp_lossless_is_exact_in_every_orientation),
        cmocka_unit_test(webp_alpha_is_laid_on_white),
        cmocka_unit_test(bmp_of_every_depth_and_direction),
        cmocka_unit_test(bmp_oddities_are_refused),
        cmocka_unit_test(gif_first_frame_lies_on_white),
        cmocka_unit_test(gif_frame_beyond_the_canvas_is_clipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
