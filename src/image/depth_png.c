/* Depth maps: 16-bit gray PNG over libpng. Only the header and the pixels matter; png.c has checked the chunks. */
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include "image/decode.h"

struct source {
    png_structp png;
    png_infop info;
    jmp_buf jump;
    enum mien_code code;
    struct mien_err *e;
    const unsigned char *data;
    size_t n, pos;
    struct mien_depth_map *out;
};

_Noreturn static void on_error(png_structp png, png_const_charp text)
{
    struct source *s = png_get_error_ptr(png);
    s->code = MIEN_FAIL(s->e, MIEN_E_IMAGE_CORRUPT, "PNG: %s", text);
    longjmp(s->jump, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep to, size_t want)
{
    struct source *s = png_get_io_ptr(png);
    if (want > s->n - s->pos) png_error(png, "the file ends too early");
    memcpy(to, s->data + s->pos, want);
    s->pos += want;
}

static enum mien_code read_all(struct source *s, const struct mien_image_header *h)
{
    if (setjmp(s->jump) != 0) return s->code;
    png_set_user_limits(s->png, (png_uint_32)h->width, (png_uint_32)h->height);
    png_set_keep_unknown_chunks(s->png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_chunk_malloc_max(s->png, 1 << 20);
    png_set_read_fn(s->png, s, on_read);
    png_read_info(s->png, s->info);
    MIEN_FAIL_IF(png_get_bit_depth(s->png, s->info) != 16 || png_get_color_type(s->png, s->info) != PNG_COLOR_TYPE_GRAY, s->e, MIEN_E_IMAGE_TYPE,
                 "PNG: not 16-bit gray");
    png_set_swap(s->png); /* little endian, as this processor */
    const int passes = png_set_interlace_handling(s->png);
    png_read_update_info(s->png, s->info);
    s->out->mm = calloc((size_t)h->width * (size_t)h->height, sizeof *s->out->mm);
    MIEN_FAIL_IF(s->out->mm == NULL, s->e, MIEN_E_NOMEM, "out of memory for a depth map");
    s->out->width = h->width;
    s->out->height = h->height;
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < h->height; y++) png_read_row(s->png, (png_bytep)(s->out->mm + (size_t)y * (size_t)h->width), NULL);
    return MIEN_OK;
}

enum mien_code mien_depth_map_read(const unsigned char *data, size_t n, const struct mien_image_limits *limits, struct mien_depth_map *out, struct mien_err *e)
{
    struct mien_image_header h;
    *out = (struct mien_depth_map){0};
    MIEN_FAIL_IF(n > limits->max_bytes, e, MIEN_E_IMAGE_LIMIT, "the depth map is larger than %zu bytes", limits->max_bytes);
    MIEN_FAIL_IF(mien_image_sniff(data, n) != MIEN_IMAGE_PNG, e, MIEN_E_IMAGE_TYPE, "a depth map is a 16-bit gray PNG");
    MIEN_TRY(mien_png_header(data, n, &h, e));
    MIEN_FAIL_IF((uint64_t)h.width * (uint64_t)h.height > limits->max_pixels, e, MIEN_E_IMAGE_LIMIT, "the depth map has too many pixels");
    struct source s = {.e = e, .data = data, .n = n, .out = out};
    s.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &s, on_error, on_warning);
    if (s.png != NULL) s.info = png_create_info_struct(s.png);
    const enum mien_code code = s.info != NULL ? read_all(&s, &h) : MIEN_FAIL(e, MIEN_E_NOMEM, "PNG: out of memory");
    png_destroy_read_struct(&s.png, &s.info, NULL);
    if (code != MIEN_OK) mien_depth_map_free(out);
    return code;
}

void mien_depth_map_free(struct mien_depth_map *d)
{
    if (d->mm != NULL) explicit_bzero(d->mm, (size_t)d->width * (size_t)d->height * sizeof *d->mm);
    free(d->mm);
    *d = (struct mien_depth_map){0};
}
