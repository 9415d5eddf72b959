// needs: image -lwebp -lz -ljpeg
/* Bytes that mean harm or have suffered: cut at every length, flipped, bombs, limits, other formats, bad EXIF. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <webp/encode.h>
#include <zlib.h>

#include "support/pictures.h"

enum { KINDS = 7 };

static struct bytes gif(void)
{
    static const unsigned char g[] = {'G', 'I', 'F', '8', '9', 'a', 3, 0, 2, 0, 0x80, 0, 0, 1, 2, 3, 250, 240, 230, 0x21, 0xf9, 4, 0, 0, 0, 0, 0,
                                      0x2c, 0, 0, 0, 0, 3, 0, 2, 0, 0, 2, 4, 0x44, 0x88, 0x10, 0x29, 0, 0x3b};
    return (struct bytes){bytes_cut((struct bytes){(unsigned char *)(uintptr_t)g, sizeof g}, sizeof g), sizeof g};
}

static struct bytes bmp(void)
{
    unsigned char *p = calloc(54 + 24, 1);
    memcpy(p, "BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\3\0\0\0\2\0\0\0\1\0\x18", 29);
    return (struct bytes){p, 78};
}

static struct bytes webp(const struct mien_image *im)
{
    uint8_t *data;
    size_t n = WebPEncodeRGB(im->px, im->width, im->height, (int)im->stride, 70, &data);
    struct bytes b = {bytes_cut((struct bytes){data, n}, n), n};
    WebPFree(data);
    return b;
}

static struct bytes sample(int kind)
{
    struct mien_image im = picture_smooth(37, 21);
    struct bytes b = {0};
    switch (kind) {
    case 0: b = picture_jpeg(&im, (struct jpeg_options){.orientation = 6}); break;
    case 1: b = picture_jpeg(&im, (struct jpeg_options){.orientation = 3, .progressive = true}); break;
    case 2: b = picture_jpeg(&im, (struct jpeg_options){.arithmetic = true, .restart_rows = 1}); break;
    case 3:
        if (mien_image_encode_png(&im, &b.data, &b.n, NULL) != MIEN_OK) fail();
        break;
    case 4: b = webp(&im); break;
    case 5: b = gif(); break;
    default: b = bmp(); break;
    }
    mien_image_free(&im);
    return b;
}

/* Looks at the bytes in every way; returns what the whole decode said. */
static enum mien_code poke(const unsigned char *data, size_t n)
{
    static const struct mien_image_limits small = {1 << 20, 1 << 20};
    struct mien_photo *p;
    enum mien_code code = mien_photo_open(data, n, &small, &p, NULL);
    if (code != MIEN_OK) return code;
    const struct mien_image *im;
    int w = mien_photo_width(p), h = mien_photo_height(p), x, y;
    assert_true((int64_t)w * h <= 1 << 20);
    code = mien_photo_region(p, (struct mien_rect){w / 3, h / 3, w / 4 + 1, h / 4 + 1}, &im, &x, &y, NULL);
    if (code == MIEN_OK) assert_int_equal(im->width, w / 4 + 1);
    if (mien_photo_view(p, 8, &im, NULL, NULL) == MIEN_OK) assert_true(im->width <= w);
    code = mien_photo_view(p, 100000, &im, NULL, NULL);
    if (code == MIEN_OK) {
        unsigned sum = 0; /* every pixel is written: an uninitialised one shows under valgrind or MSan */
        for (int i = 0; i < im->height; i++) {
            for (int j = 0; j < 3 * im->width; j++) sum += im->px[(size_t)i * im->stride + (size_t)j];
        }
        assert_true(sum <= 255u * 3 * (1u << 20));
    }
    mien_photo_free(&p);
    return code;
}

static void cut_at_every_length(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        struct bytes b = sample(kind);
        assert_int_equal(poke(b.data, b.n), MIEN_OK);
        for (size_t n = 0; n < b.n; n++) {
            unsigned char *cut = bytes_cut(b, n);
            enum mien_code code = poke(cut, n);
            free(cut);
            /* half a picture is never shown as a whole one */
            if (n < b.n / 2 && code == MIEN_OK) fail_msg("kind %d was taken with %zu of %zu bytes", kind, n, b.n);
        }
        free(b.data);
    }
}

static void flipped_bytes(void **state)
{
    (void)state;
    uint32_t seed = 12345;
    for (int kind = 0; kind < KINDS; kind++) {
        struct bytes b = sample(kind);
        for (int round = 0; round < 1500; round++) {
            unsigned char *bad = bytes_cut(b, b.n);
            for (int k = 0; k < 1 + round % 4; k++) {
                seed = seed * 1664525 + 1013904223;
                size_t at = (seed >> 4) % b.n;
                if (round % 2 == 0 && at > 64) at %= 64; /* headers suffer more */
                bad[at] = round % 3 == 0 ? 0xff : (unsigned char)(seed >> 24);
            }
            (void)poke(bad, b.n);
            free(bad);
        }
        free(b.data);
    }
}

static void limits_come_before_pixels(void **state)
{
    (void)state;
    struct mien_photo *p;
    for (int kind = 0; kind < 5; kind++) {
        struct bytes b = sample(kind);
        struct mien_image_limits exact = {b.n, 37 * 21}, bytes = {b.n - 1, 1000000}, pixels = {b.n, 37 * 21 - 1};
        assert_int_equal(mien_photo_open(b.data, b.n, &bytes, &p, NULL), MIEN_E_IMAGE_LIMIT);
        assert_null(p);
        assert_int_equal(mien_photo_open(b.data, b.n, &pixels, &p, NULL), MIEN_E_IMAGE_LIMIT);
        assert_null(p);
        assert_int_equal(mien_photo_open(b.data, b.n, &exact, &p, NULL), MIEN_OK);
        mien_photo_free(&p);
        free(b.data);
    }
    /* headers alone that announce more than 2^31 pixels */
    static const unsigned char png[45] = "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x02\0\0\0....\0\0\0\0IDAT....";
    assert_int_equal(mien_photo_open(png, sizeof png, NULL, &p, NULL), MIEN_E_IMAGE_LIMIT);
    struct mien_image_limits none = {SIZE_MAX, UINT64_MAX};
    struct mien_image im;
    assert_int_equal(mien_image_decode(png, sizeof png, &none, &im, NULL) == MIEN_OK, 0);
    assert_int_equal(mien_image_alloc(1 << 20, 1 << 20, &im, NULL), MIEN_E_IMAGE_LIMIT);
    assert_int_equal(mien_image_alloc(0, 5, &im, NULL), MIEN_E_ARG);
    assert_int_equal(mien_image_alloc(5, -5, &im, NULL), MIEN_E_ARG);
}

static void many_scans_are_refused(void **state)
{
    (void)state;
    struct mien_image im = picture_smooth(32, 32), got;
    struct bytes b = picture_jpeg(&im, (struct jpeg_options){.scans = 190, .full_chroma = true});
    assert_int_equal(mien_image_decode(b.data, b.n, NULL, &got, NULL), MIEN_E_IMAGE_LIMIT);
    free(b.data);
    b = picture_jpeg(&im, (struct jpeg_options){.scans = 60, .full_chroma = true});
    assert_int_equal(mien_image_decode(b.data, b.n, NULL, &got, NULL), MIEN_OK);
    mien_image_free(&got);
    mien_image_free(&im);
    free(b.data);
}

/* The PNG with a zTXt chunk of `text` zeros, `copies` times, put behind its header. */
static struct bytes with_text(struct bytes png, size_t text, int copies)
{
    unsigned char *zeros = calloc(text, 1), *chunk = malloc(compressBound(text) + 32);
    uLongf n = compressBound(text);
    compress2(chunk + 13, &n, zeros, text, 9);
    memcpy(chunk + 4, "zTXtkey\0\0", 9);
    size_t body = 5 + n, whole = 12 + body;
    for (int i = 0; i < 4; i++) chunk[i] = (unsigned char)(body >> (24 - 8 * i));
    uLong crc = crc32(0, chunk + 4, (uInt)(4 + body));
    for (int i = 0; i < 4; i++) chunk[8 + body + (size_t)i] = (unsigned char)(crc >> (24 - 8 * i));
    struct bytes out = {malloc(png.n + whole * (size_t)copies), png.n + whole * (size_t)copies};
    memcpy(out.data, png.data, 33);
    for (int i = 0; i < copies; i++) memcpy(out.data + 33 + whole * (size_t)i, chunk, whole);
    memcpy(out.data + 33 + whole * (size_t)copies, png.data + 33, png.n - 33);
    free(zeros);
    free(chunk);
    return out;
}

static void text_bombs_are_refused(void **state)
{
    (void)state;
    struct bytes png = sample(3);
    static const struct {
        size_t text;
        int copies;
        enum mien_code code;
    } cases[] = {{1000, 1, MIEN_OK}, {1000, 500, MIEN_OK}, {3 << 20, 1, MIEN_E_IMAGE_LIMIT}, {1000000, 200, MIEN_E_IMAGE_LIMIT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes b = with_text(png, cases[i].text, cases[i].copies);
        struct mien_image im;
        assert_int_equal(mien_image_decode(b.data, b.n, NULL, &im, NULL), cases[i].code);
        mien_image_free(&im);
        free(b.data);
    }
    free(png.data);
}

static void gif_frames_count_with_their_extent(void **state)
{
    (void)state;
    struct bytes b = gif();
    unsigned char *later = malloc(b.n + 15); /* a second frame that claims 65535 x 65535 */
    memcpy(later, b.data, b.n - 1);
    memcpy(later + b.n - 1, "\x2c\0\0\0\0\xff\xff\xff\xff\0\2\1\0\0\x3b", 15);
    struct mien_image im;
    assert_int_equal(mien_image_decode(later, b.n + 14, NULL, &im, NULL), MIEN_E_IMAGE_LIMIT);
    b.data[32] = 0; /* first frame of width 0 */
    assert_int_equal(mien_image_decode(b.data, b.n, NULL, &im, NULL), MIEN_E_IMAGE_CORRUPT);
    free(later);
    free(b.data);
}

static void other_formats_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *name;
        size_t n;
    } cases[] = {{"\0\0\0\x18" "ftypheic\0\0\0\0", "HEIC", 16}, {"\0\0\0\x1c" "ftypavif\0\0\0\0", "AVIF", 16}, {"II*\0\x08\0\0\0\0\0\0\0", "TIFF", 12},
                 {"<svg xmlns=\"x\"/>", "SVG", 16},             {"%PDF-1.7 ....", "PDF", 13},                  {"<html><body></body>", "not a", 19},
                 {"", "not a", 0},                               {"\xff\xd8\xff", "not a", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mien_photo *p;
        struct mien_err e = {0};
        const unsigned char *data = (const unsigned char *)cases[i].bytes;
        assert_int_equal(mien_photo_open(data, cases[i].n, NULL, &p, &e), MIEN_E_IMAGE_TYPE);
        assert_non_null(strstr(e.msg, cases[i].name));
        assert_int_equal(mien_image_sniff(data, cases[i].n), MIEN_IMAGE_UNKNOWN);
    }
}

static void exif_is_read_within_bounds(void **state)
{
    (void)state;
    unsigned char exif[40];
    for (int big = 0; big < 2; big++) {
        for (int prefix = 0; prefix < 2; prefix++) {
            for (int o = 0; o <= 255; o++) {
                size_t n = picture_exif(exif, o, big, prefix);
                assert_int_equal(mien_exif_orientation(exif, n), o >= 1 && o <= 8 ? o : 1);
            }
            size_t n = picture_exif(exif, 6, big, prefix);
            for (size_t k = 0; k < n; k++) {
                unsigned char *cut = bytes_cut((struct bytes){exif, n}, k);
                int got = mien_exif_orientation(cut, k);
                assert_true(got == 1 || (got == 6 && k >= n - 4)); /* all but the next-directory pointer is there */
                free(cut);
            }
            /* every byte wrong in turn: some answer, no crash; with a wrong type or count none */
            for (size_t k = 0; k < n; k++) {
                unsigned char *bad = bytes_cut((struct bytes){exif, n}, n);
                bad[k] = 0xff;
                assert_in_range(mien_exif_orientation(bad, n), 1, 8);
                free(bad);
            }
        }
    }
    assert_int_equal(mien_exif_orientation(NULL, 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_at_every_length),
        cmocka_unit_test(flipped_bytes),
        cmocka_unit_test(limits_come_before_pixels),
        cmocka_unit_test(many_scans_are_refused),
        cmocka_unit_test(text_bombs_are_refused),
        cmocka_unit_test(gif_frames_count_with_their_extent),
        cmocka_unit_test(other_formats_are_named),
        cmocka_unit_test(exif_is_read_within_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
