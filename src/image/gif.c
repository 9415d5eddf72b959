/* GIF over giflib: the first frame, laid on a white canvas.
 *
 * DGifSlurp would allocate every frame, so records are read one by one up to the first picture and then line by
 * line. Frames are clipped to the canvas, but count for the pixel limit with their full extent, all of them: a file
 * that carries a bomb for the next reader is refused. */
#include <gif_lib.h>
#include <stdlib.h>
#include <string.h>
#include "image/decode.h"

static enum mien_code damaged(struct mien_err *e)
{
    return MIEN_FAIL(e, MIEN_E_IMAGE_CORRUPT, "GIF: damaged or truncated");
}

/* ---- header ---- */

static size_t get16(const unsigned char *p) { return (size_t)p[0] | (size_t)p[1] << 8; }

/* Bytes of a palette whose packed field is `flags`. */
static size_t palette_size(unsigned flags) { return (flags & 0x80) != 0 ? (size_t)3 << ((flags & 7) + 1) : 0; }

/* Position behind the data sub-blocks that begin at pos; n or more when they do not end. */
static size_t skip_blocks(const unsigned char *data, size_t n, size_t pos)
{
    while (pos < n && data[pos] != 0) pos += (size_t)data[pos] + 1;
    return pos + 1;
}

/* Largest right * bottom edge of any frame. Walks the blocks of the file without decoding; stops at damage, which
 * is the decoder's business when it concerns the first frame. */
static uint64_t largest_extent(const unsigned char *data, size_t n)
{
    uint64_t largest = 0;
    size_t pos = 13 + palette_size(data[10]);
    while (pos < n) {
        if (data[pos] == 0x21) { /* extension: label, sub-blocks */
            pos = skip_blocks(data, n, pos + 2);
        } else if (data[pos] == 0x2c && n - pos >= 11) { /* image: descriptor, palette, code size, sub-blocks */
            const unsigned char *d = data + pos + 1;
            uint64_t extent = (uint64_t)(get16(d) + get16(d + 4)) * (get16(d + 2) + get16(d + 6));
            if (extent > largest) largest = extent;
            pos = skip_blocks(data, n, pos + 11 + palette_size(d[8]));
        } else {
            break;
        }
    }
    return largest;
}

enum mien_code mien_gif_header(const unsigned char *data, size_t n, struct mien_image_header *out,
                               struct mien_err *e)
{
    if (n < 13) return damaged(e);
    int w = (int)get16(data + 6), h = (int)get16(data + 8);
    if (w < 1 || h < 1) return damaged(e);
    *out = (struct mien_image_header){
        .width = w, .height = h, .orientation = 1, .extent_px = largest_extent(data, n)};
    return MIEN_OK;
}

/* ---- first frame ---- */

struct reader {
    const unsigned char *data;
    size_t n, pos;
    GifFileType *gif;
    int transparent; /* palette index, -1 when none */
};

static int on_read(GifFileType *gif, GifByteType *to, int want)
{
    struct reader *r = gif->UserData;
    size_t have = r->n - r->pos, n = (size_t)want < have ? (size_t)want : have;
    memcpy(to, r->data + r->pos, n);
    r->pos += n;
    return (int)n;
}

static bool read_extension(struct reader *r)
{
    GifByteType *block;
    int code;
    if (DGifGetExtension(r->gif, &code, &block) == GIF_ERROR) return false;
    GraphicsControlBlock gcb;
    if (code == GRAPHICS_EXT_FUNC_CODE && block != NULL && DGifExtensionToGCB(block[0], block + 1, &gcb) == GIF_OK) {
        r->transparent = gcb.TransparentColor;
    }
    while (block != NULL) {
        if (DGifGetExtensionNext(r->gif, &block) == GIF_ERROR) return false;
    }
    return true;
}

/* Reads up to and including the first image descriptor. */
static enum mien_code seek_frame(struct reader *r, struct mien_err *e)
{
    for (;;) {
        GifRecordType type;
        if (DGifGetRecordType(r->gif, &type) == GIF_ERROR) return damaged(e);
        if (type == IMAGE_DESC_RECORD_TYPE) break;
        if (type != EXTENSION_RECORD_TYPE || !read_extension(r)) return damaged(e);
    }
    if (DGifGetImageDesc(r->gif) == GIF_ERROR) return damaged(e);
    const GifImageDesc *d = &r->gif->Image;
    if (d->Width < 1 || d->Height < 1 || d->Left < 0 || d->Top < 0) return damaged(e);
    return MIEN_OK;
}

static enum mien_code open_reader(struct reader *r, const unsigned char *data, size_t n, struct mien_err *e)
{
    *r = (struct reader){.data = data, .n = n, .transparent = -1};
    int error = 0;
    r->gif = DGifOpen(r, on_read, &error);
    if (r->gif == NULL) {
        return error == D_GIF_ERR_NOT_ENOUGH_MEM ? MIEN_FAIL(e, MIEN_E_NOMEM, "GIF: out of memory") : damaged(e);
    }
    return seek_frame(r, e);
}

static void close_reader(struct reader *r)
{
    int error;
    if (r->gif != NULL) (void)DGifCloseFile(r->gif, &error);
}

static void put_line(const struct reader *r, const ColorMapObject *map, const GifPixelType *line, uint8_t *row,
                     int canvas_width)
{
    const GifImageDesc *d = &r->gif->Image;
    for (int i = 0; i < d->Width && d->Left + i < canvas_width; i++) {
        int index = line[i];
        if (index == r->transparent || index >= map->ColorCount) continue; /* white shows through */
        const GifColorType *c = &map->Colors[index];
        uint8_t *to = row + 3 * (d->Left + i);
        to[0] = c->Red;
        to[1] = c->Green;
        to[2] = c->Blue;
    }
}

/* Row of the frame that comes at place i of the file (GIF89a, appendix E: interlacing in four passes). */
static int row_at(int i, int height, bool interlaced)
{
    static const int first[4] = {0, 4, 2, 1}, step[4] = {8, 8, 4, 2};
    for (int pass = 0; interlaced && pass < 4; pass++) {
        int n = height > first[pass] ? (height - first[pass] + step[pass] - 1) / step[pass] : 0;
        if (i < n) return first[pass] + i * step[pass];
        i -= n;
    }
    return i;
}

static enum mien_code draw_frame(struct reader *r, struct mien_image *im, struct mien_err *e)
{
    const GifImageDesc *d = &r->gif->Image;
    const ColorMapObject *map = d->ColorMap != NULL ? d->ColorMap : r->gif->SColorMap;
    MIEN_FAIL_IF(map == NULL, e, MIEN_E_IMAGE_CORRUPT, "GIF: no palette");
    size_t width = (size_t)d->Width;
    GifPixelType *line = calloc(width, 1);
    MIEN_FAIL_IF(line == NULL, e, MIEN_E_NOMEM, "out of memory for %zu bytes", width);
    enum mien_code code = MIEN_OK;
    for (int i = 0; i < d->Height && code == MIEN_OK; i++) {
        int y = d->Top + row_at(i, d->Height, d->Interlace);
        if (DGifGetLine(r->gif, line, d->Width) == GIF_ERROR) code = damaged(e);
        else if (y < im->height) put_line(r, map, line, im->px + (size_t)y * im->stride, im->width);
    }
    explicit_bzero(line, width);
    free(line);
    return code;
}

enum mien_code mien_gif_decode(const unsigned char *data, size_t n, const struct mien_image_header *h,
                               struct mien_image *out, struct mien_err *e)
{
    *out = (struct mien_image){0};
    struct reader r;
    enum mien_code code = open_reader(&r, data, n, e);
    if (code == MIEN_OK) code = mien_image_alloc(h->width, h->height, out, e);
    if (code == MIEN_OK) {
        memset(out->px, 255, out->stride * (size_t)out->height);
        code = draw_frame(&r, out, e);
    }
    close_reader(&r);
    if (code != MIEN_OK) mien_image_free(out);
    return code;
}
