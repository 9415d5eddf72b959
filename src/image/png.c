/* PNG over libpng's row interface.
 *
 * The header and the EXIF chunk are found by a walk over the chunks that does not need the library; of the
 * ancillary chunks only tRNS reaches it, the others (profiles, compressed text: the home of most of libpng's
 * defects, and of decompression bombs) are skipped unread. Colour profiles are not applied.
 *
 * Text or a profile that inflates beyond a limit is not an accident: such a file is refused, although neither is
 * ever used. */
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "image/decode.h"

enum { MAX_SIDE = 1 << 20, MAX_TEXT = 1 << 20, MAX_PROFILE = 8 << 20, MAX_INFLATED = 16 << 20 };

/* ---- chunks ---- */

struct chunk {
    const unsigned char *type, *body; /* type: 4 letters */
    size_t size;
};

static size_t get32(const unsigned char *p)
{
    return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

/* The chunk at *pos, which is moved behind it; false at the end or when it does not fit. */
static bool next_chunk(const unsigned char *data, size_t n, size_t *pos, struct chunk *c)
{
    if (*pos > n || n - *pos < 12) return false;
    *c = (struct chunk){data + *pos + 4, data + *pos + 8, get32(data + *pos)};
    if (c->size > n - *pos - 12) return false;
    *pos += 12 + c->size;
    return true;
}

static bool is(const struct chunk *c, const char *type) { return memcmp(c->type, type, 4) == 0; }

/* What a zTXt or iCCP chunk has behind its keyword: the method, then deflated bytes, at most `most` when inflated.
 * *total counts over all chunks, so that many small ones cannot keep us busy either. */
static enum mien_code check_compressed(const struct chunk *c, size_t most, size_t *total, struct mien_err *e)
{
    const unsigned char *end = memchr(c->body, 0, c->size);
    if (end == NULL || end + 2 > c->body + c->size) return MIEN_OK; /* skipped anyway */
    MIEN_FAIL_IF(end[1] != 0, e, MIEN_E_IMAGE_CORRUPT, "PNG: unknown compression method");
    unsigned char sink[4096];
    z_stream z = {.next_in = (Bytef *)(uintptr_t)(end + 2), .avail_in = (uInt)(c->body + c->size - (end + 2))};
    MIEN_FAIL_IF(inflateInit(&z) != Z_OK, e, MIEN_E_NOMEM, "PNG: out of memory");
    int status = Z_OK;
    while (status == Z_OK && z.total_out <= most) {
        z.next_out = sink;
        z.avail_out = sizeof sink;
        status = inflate(&z, Z_NO_FLUSH);
    }
    inflateEnd(&z);
    *total += z.total_out;
    MIEN_FAIL_IF(z.total_out > most || *total > MAX_INFLATED, e, MIEN_E_IMAGE_LIMIT, "PNG: a compressed text or profile is too long");
    return MIEN_OK;
}

enum mien_code mien_png_header(const unsigned char *data, size_t n, struct mien_image_header *out,
                               struct mien_err *e)
{
    struct chunk c;
    size_t pos = 8, inflated = 0;
    MIEN_FAIL_IF(!next_chunk(data, n, &pos, &c) || !is(&c, "IHDR") || c.size != 13, e, MIEN_E_IMAGE_CORRUPT,
                 "PNG: no header");
    size_t w = get32(c.body), h = get32(c.body + 4);
    MIEN_FAIL_IF(w == 0 || h == 0 || w > INT32_MAX || h > INT32_MAX, e, MIEN_E_IMAGE_CORRUPT, "PNG: impossible size");
    *out = (struct mien_image_header){.width = (int)w, .height = (int)h, .orientation = 1};
    bool found = false;
    while (next_chunk(data, n, &pos, &c) && !is(&c, "IEND")) {
        if (is(&c, "eXIf") && !found) {
            out->orientation = mien_exif_orientation(c.body, c.size);
            found = true;
        }
        if (is(&c, "zTXt")) MIEN_TRY(check_compressed(&c, MAX_TEXT, &inflated, e));
        if (is(&c, "iCCP")) MIEN_TRY(check_compressed(&c, MAX_PROFILE, &inflated, e));
    }
    return MIEN_OK;
}

/* ---- decoding ---- */

struct reader {
    png_structp png;
    png_infop info;
    jmp_buf jump;
    enum mien_code code;
    struct mien_err *e;
    const unsigned char *data;
    size_t n, pos;
    uint8_t *rows; /* RGBA: one row, or the whole picture when interlaced */
    size_t rows_bytes;
};

_Noreturn static void on_error(png_structp png, png_const_charp text)
{
    struct reader *r = png_get_error_ptr(png);
    r->code = MIEN_FAIL(r->e, MIEN_E_IMAGE_CORRUPT, "PNG: %s", text);
    longjmp(r->jump, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep to, size_t want)
{
    struct reader *r = png_get_io_ptr(png);
    if (want > r->n - r->pos) png_error(png, "the file ends too early");
    memcpy(to, r->data + r->pos, want);
    r->pos += want;
}

static void skip_ancillary(png_structp png)
{
    static const char skipped[] = "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0"
                                  "sRGB\0sTER\0tEXt\0tIME\0zTXt";
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, (png_const_bytep)skipped, sizeof skipped / 5);
}

/* Up to the pixels, as they are stored; may longjmp. */
static void read_info(struct reader *r)
{
    png_set_user_limits(r->png, MAX_SIDE, MAX_SIDE);
    png_set_chunk_malloc_max(r->png, 1 << 20);
    png_set_chunk_cache_max(r->png, 16);
    skip_ancillary(r->png);
    png_set_read_fn(r->png, r, on_read);
    png_read_info(r->png, r->info);
}

/* Header, transformations to 8-bit RGB or RGBA; may longjmp. */
static void start(struct reader *r)
{
    read_info(r);
    png_set_expand(r->png); /* palette, few bits and tRNS to 8-bit gray/RGB(A) */
    png_set_scale_16(r->png);
    png_set_gray_to_rgb(r->png);
}

static enum mien_code take_rows(struct reader *r, size_t bytes)
{
    r->rows = malloc(bytes);
    MIEN_FAIL_IF(r->rows == NULL, r->e, MIEN_E_NOMEM, "out of memory for %zu bytes", bytes);
    r->rows_bytes = bytes;
    return MIEN_OK;
}

/* With several passes (interlaced) pixels come in pieces, so alpha can be laid on white only at the end. */
static enum mien_code read_interlaced(struct reader *r, int passes, bool alpha, struct mien_image *im)
{
    size_t stride = im->stride;
    uint8_t *base = im->px;
    if (alpha) {
        stride = 4 * (size_t)im->width;
        MIEN_TRY(take_rows(r, stride * (size_t)im->height));
        memset(r->rows, 0, r->rows_bytes);
        base = r->rows;
    }
    for (int pass = 0; pass < passes; pass++) {
        for (int y = 0; y < im->height; y++) png_read_row(r->png, base + (size_t)y * stride, NULL);
    }
    for (int y = 0; alpha && y < im->height; y++) {
        mien_rgba_on_white(r->rows + (size_t)y * stride, im->width, im->px + (size_t)y * im->stride);
    }
    return MIEN_OK;
}

static enum mien_code read_rows(struct reader *r, bool alpha, struct mien_image *im)
{
    if (alpha) MIEN_TRY(take_rows(r, 4 * (size_t)im->width));
    for (int y = 0; y < im->height; y++) {
        uint8_t *row = im->px + (size_t)y * im->stride;
        png_read_row(r->png, alpha ? r->rows : row, NULL);
        if (alpha) mien_rgba_on_white(r->rows, im->width, row);
    }
    return MIEN_OK;
}

static enum mien_code decode(struct reader *r, const struct mien_image_header *h, void *to)
{
    struct mien_image *im = to;
    if (setjmp(r->jump) != 0) return r->code;
    start(r);
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    bool alpha = png_get_channels(r->png, r->info) == 4;
    bool as_expected = png_get_image_width(r->png, r->info) == (png_uint_32)h->width &&
                       png_get_image_height(r->png, r->info) == (png_uint_32)h->height &&
                       png_get_rowbytes(r->png, r->info) == (size_t)h->width * (alpha ? 4 : 3);
    MIEN_FAIL_IF(!as_expected, r->e, MIEN_E_INTERNAL, "PNG: rows of an unexpected size");
    MIEN_TRY(mien_image_alloc(h->width, h->height, im, r->e));
    return passes > 1 ? read_interlaced(r, passes, alpha, im) : read_rows(r, alpha, im);
}

/* Makes libpng's structures, runs `work` on them and frees them. */
static enum mien_code with_png(struct reader *r, enum mien_code (*work)(struct reader *r, const struct mien_image_header *h, void *out),
                               const struct mien_image_header *h, void *out)
{
    r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, on_error, on_warning);
    if (r->png != NULL) r->info = png_create_info_struct(r->png);
    const enum mien_code code = r->info != NULL ? work(r, h, out) : MIEN_FAIL(r->e, MIEN_E_NOMEM, "PNG: out of memory");
    png_destroy_read_struct(&r->png, &r->info, NULL);
    if (r->rows != NULL) explicit_bzero(r->rows, r->rows_bytes);
    free(r->rows);
    return code;
}

enum mien_code mien_png_decode(const unsigned char *data, size_t n, const struct mien_image_header *h,
                               struct mien_image *out, struct mien_err *e)
{
    *out = (struct mien_image){0};
    struct mien_image stored = {0};
    struct reader r = {.e = e, .data = data, .n = n};
    const enum mien_code code = with_png(&r, decode, h, &stored);
    if (code == MIEN_OK) return mien_orient_whole(&stored, h->orientation, out, e);
    mien_image_free(&stored);
    return code;
}

static enum mien_code decode_depth(struct reader *r, const struct mien_image_header *h, void *to)
{
    struct mien_depth_map *out = to;
    if (setjmp(r->jump) != 0) return r->code;
    read_info(r);
    MIEN_FAIL_IF(png_get_bit_depth(r->png, r->info) != 16 || png_get_color_type(r->png, r->info) != PNG_COLOR_TYPE_GRAY, r->e, MIEN_E_IMAGE_TYPE,
                 "PNG: not 16-bit gray");
    png_set_swap(r->png); /* stored in big endian */
    const int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    out->mm = calloc((size_t)h->width * (size_t)h->height, sizeof *out->mm);
    MIEN_FAIL_IF(out->mm == NULL, r->e, MIEN_E_NOMEM, "out of memory for a depth map");
    out->width = h->width;
    out->height = h->height;
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < h->height; y++) png_read_row(r->png, (png_bytep)(out->mm + (size_t)y * (size_t)h->width), NULL);
    return MIEN_OK;
}

enum mien_code mien_png_decode_depth(const unsigned char *data, size_t n, const struct mien_image_header *h, struct mien_depth_map *out,
                                     struct mien_err *e)
{
    struct reader r = {.e = e, .data = data, .n = n};
    *out = (struct mien_depth_map){0};
    return with_png(&r, decode_depth, h, out);
}
