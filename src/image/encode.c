/* Encoders for --draw, tests and sample pictures: speed and size do not matter, the bounds of memory do. */
#include <png.h>
#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs FILE */
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>
#include "image/image.h"

static enum mien_code check(const struct mien_image *im, struct mien_err *e)
{
    MIEN_FAIL_IF(im->px == NULL || im->width < 1 || im->height < 1 || im->stride < 3 * (size_t)im->width, e,
                 MIEN_E_ARG, "no picture to encode");
    return MIEN_OK;
}

/* ---- PNG ---- */

struct png_sink {
    jmp_buf jump;
    unsigned char *data;
    size_t n, room;
    png_structp png;
    png_infop info;
};

_Noreturn static void png_failed(png_structp png, png_const_charp text)
{
    (void)text;
    longjmp(((struct png_sink *)png_get_error_ptr(png))->jump, 1);
}

static void png_grow(png_structp png, png_bytep from, size_t n)
{
    struct png_sink *s = png_get_io_ptr(png);
    if (n > s->room - s->n) {
        size_t room = 2 * s->room + n + 4096;
        unsigned char *p = realloc(s->data, room);
        if (p == NULL) png_error(png, "out of memory");
        s->data = p;
        s->room = room;
    }
    memcpy(s->data + s->n, from, n);
    s->n += n;
}

static void png_flush_nothing(png_structp png) { (void)png; }

static int write_png(struct png_sink *s, const struct mien_image *im)
{
    if (setjmp(s->jump) != 0) return -1;
    png_set_write_fn(s->png, s, png_grow, png_flush_nothing);
    png_set_IHDR(s->png, s->info, (png_uint_32)im->width, (png_uint_32)im->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(s->png, s->info);
    for (int y = 0; y < im->height; y++) png_write_row(s->png, im->px + (size_t)y * im->stride);
    png_write_end(s->png, s->info);
    return 0;
}

enum mien_code mien_image_encode_png(const struct mien_image *im, unsigned char **out, size_t *n, struct mien_err *e)
{
    *out = NULL;
    *n = 0;
    MIEN_TRY(check(im, e));
    struct png_sink s = {.data = NULL};
    s.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &s, png_failed, NULL);
    if (s.png != NULL) s.info = png_create_info_struct(s.png);
    int status = s.info != NULL ? write_png(&s, im) : -1;
    png_destroy_write_struct(&s.png, &s.info);
    if (status != 0) {
        free(s.data);
        return MIEN_FAIL(e, MIEN_E_NOMEM, "PNG: encoding failed");
    }
    *out = s.data;
    *n = s.n;
    return MIEN_OK;
}

/* ---- JPEG ---- */

struct jpeg_sink {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr err;
    jmp_buf jump;
    unsigned char *data;
    unsigned long n;
};

_Noreturn static void jpeg_failed(j_common_ptr c)
{
    longjmp(((struct jpeg_sink *)(void *)c)->jump, 1); /* c is the first member */
}

static void jpeg_quiet(j_common_ptr c, int level)
{
    (void)c;
    (void)level;
}

static int write_jpeg(struct jpeg_sink *s, const struct mien_image *im, int quality)
{
    if (setjmp(s->jump) != 0) return -1;
    jpeg_create_compress(&s->c);
    jpeg_mem_dest(&s->c, &s->data, &s->n);
    s->c.image_width = (JDIMENSION)im->width;
    s->c.image_height = (JDIMENSION)im->height;
    s->c.input_components = 3;
    s->c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&s->c);
    jpeg_set_quality(&s->c, quality, TRUE);
    jpeg_start_compress(&s->c, TRUE);
    while (s->c.next_scanline < s->c.image_height) {
        JSAMPROW line = im->px + (size_t)s->c.next_scanline * im->stride;
        jpeg_write_scanlines(&s->c, &line, 1);
    }
    jpeg_finish_compress(&s->c);
    return 0;
}

enum mien_code mien_image_encode_jpeg(const struct mien_image *im, int quality, unsigned char **out, size_t *n,
                                      struct mien_err *e)
{
    *out = NULL;
    *n = 0;
    MIEN_TRY(check(im, e));
    MIEN_FAIL_IF(quality < 1 || quality > 100, e, MIEN_E_ARG, "JPEG quality %d is not in 1..100", quality);
    MIEN_FAIL_IF(im->width > JPEG_MAX_DIMENSION || im->height > JPEG_MAX_DIMENSION, e, MIEN_E_ARG,
                 "%d x %d pixels do not fit into a JPEG", im->width, im->height);
    struct jpeg_sink s = {.data = NULL};
    s.c.err = jpeg_std_error(&s.err);
    s.err.error_exit = jpeg_failed;
    s.err.emit_message = jpeg_quiet;
    int status = write_jpeg(&s, im, quality);
    jpeg_destroy_compress(&s.c);
    /* jpeg_mem_dest tells where its memory is only at the end: after an error s.data may already be freed. */
    MIEN_FAIL_IF(status != 0, e, MIEN_E_NOMEM, "JPEG: encoding failed");
    *out = s.data;
    *n = (size_t)s.n;
    return MIEN_OK;
}
