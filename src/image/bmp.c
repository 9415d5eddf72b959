/* BMP, own decoder: Windows bitmaps of 1, 4, 8, 16, 24 and 32 bits, uncompressed or with bit fields, either
 * direction, and OS/2 1.x bitmaps. Run-length coded ones are refused. The fourth byte of 32-bit pixels is padding
 * in most files, so alpha is ignored.
 *
 * Layout: 14-byte file header (offset of the pixels at 10), information header whose first word is its size, the
 * masks when compression is 3, the palette, then rows padded to 4 bytes (Microsoft, "Bitmap Storage"). */
#include <string.h>
#include "image/decode.h"

enum { FILE_HEADER = 14, OS2_HEADER = 12, INFO_HEADER = 40, RGB = 0, BIT_FIELDS = 3 };

struct bmp {
    int width, height;
    bool top_down;
    unsigned bits;
    uint32_t mask[3];               /* of red, green, blue when bits is 16 or 32 */
    const unsigned char *palette;   /* blue, green, red (, 0) */
    size_t colours, palette_step;
    const unsigned char *rows;      /* all of them lie within the file */
    size_t stride;
};

static unsigned get16(const unsigned char *p) { return (unsigned)p[0] | (unsigned)p[1] << 8; }
static uint32_t get32(const unsigned char *p) { return get16(p) | (uint32_t)get16(p + 2) << 16; }

static enum mien_code damaged(struct mien_err *e)
{
    return MIEN_FAIL(e, MIEN_E_IMAGE_CORRUPT, "BMP: damaged or truncated");
}

static bool parse_size(const unsigned char *info, size_t info_size, struct bmp *b)
{
    if (info_size == OS2_HEADER) {
        b->width = (int)get16(info + 4);
        b->height = (int)get16(info + 6);
        b->bits = get16(info + 10);
    } else {
        int32_t w = (int32_t)get32(info + 4), h = (int32_t)get32(info + 8);
        if (h == INT32_MIN) return false;
        b->width = w;
        b->top_down = h < 0;
        b->height = h < 0 ? -h : h;
        b->bits = get16(info + 14);
    }
    return b->width >= 1 && b->height >= 1;
}

/* Masks of red, green and blue; *end is moved behind those that follow a 40-byte header. */
static bool parse_masks(const unsigned char *data, size_t n, uint32_t compression, size_t *end, struct bmp *b)
{
    if (b->bits != 16 && b->bits != 32) return compression == RGB;
    if (compression == RGB) {
        static const uint32_t five[3] = {0x7c00, 0x3e0, 0x1f}, eight[3] = {0xff0000, 0xff00, 0xff};
        memcpy(b->mask, b->bits == 16 ? five : eight, sizeof b->mask);
        return true;
    }
    if (n < FILE_HEADER + INFO_HEADER + 12) return false;
    for (int i = 0; i < 3; i++) {
        b->mask[i] = get32(data + FILE_HEADER + INFO_HEADER + 4 * i);
        if (b->mask[i] == 0) return false;
    }
    if (*end < FILE_HEADER + INFO_HEADER + 12) *end = FILE_HEADER + INFO_HEADER + 12;
    return true;
}

static bool parse_palette(const unsigned char *data, size_t n, size_t at, size_t declared, bool os2, struct bmp *b)
{
    if (b->bits > 8) return true;
    b->palette_step = os2 ? 3 : 4;
    b->colours = (size_t)1 << b->bits;
    if (declared != 0 && declared < b->colours) b->colours = declared;
    b->palette = data + at;
    return at <= n && (n - at) / b->palette_step >= b->colours;
}

/* Everything but the rows. */
static enum mien_code parse(const unsigned char *data, size_t n, struct bmp *b, struct mien_err *e)
{
    *b = (struct bmp){0};
    if (n < FILE_HEADER + OS2_HEADER) return damaged(e);
    size_t info_size = get32(data + FILE_HEADER), end;
    if (info_size != OS2_HEADER && info_size < INFO_HEADER) return damaged(e);
    if (__builtin_add_overflow((size_t)FILE_HEADER, info_size, &end) || end > n) return damaged(e);
    const unsigned char *info = data + FILE_HEADER;
    if (!parse_size(info, info_size, b)) return damaged(e);
    bool os2 = info_size == OS2_HEADER;
    uint32_t compression = os2 ? RGB : get32(info + 16);
    bool known = b->bits == 1 || b->bits == 4 || b->bits == 8 || b->bits == 16 || b->bits == 24 || b->bits == 32;
    MIEN_FAIL_IF(!known || (compression != RGB && compression != BIT_FIELDS), e, MIEN_E_IMAGE_TYPE,
                 "BMP: %u bits with compression %u are not taken", b->bits, (unsigned)compression);
    if (!parse_masks(data, n, compression, &end, b)) return damaged(e);
    if (!parse_palette(data, n, end, os2 ? 0 : get32(info + 32), os2, b)) return damaged(e);
    return MIEN_OK;
}

enum mien_code mien_bmp_header(const unsigned char *data, size_t n, struct mien_image_header *out,
                               struct mien_err *e)
{
    struct bmp b;
    MIEN_TRY(parse(data, n, &b, e));
    *out = (struct mien_image_header){.width = b.width, .height = b.height, .orientation = 1};
    return MIEN_OK;
}

static bool find_rows(const unsigned char *data, size_t n, struct bmp *b)
{
    size_t start = get32(data + 10);
    b->stride = ((size_t)b->width * b->bits + 31) / 32 * 4;
    if (start > n || (n - start) / b->stride < (size_t)b->height) {
        /* the last row may lack its padding */
        size_t bare = ((size_t)b->width * b->bits + 7) / 8, rest = (size_t)b->height - 1;
        if (start > n || n - start < bare || (n - start - bare) / b->stride < rest) return false;
    }
    b->rows = data + start;
    return true;
}

/* The field under `mask` of v, stretched to 8 bits. */
static uint8_t field(uint32_t v, uint32_t mask)
{
    int shift = __builtin_ctz(mask);
    uint64_t most = mask >> shift, value = (v & mask) >> shift;
    return (uint8_t)((value * 255 + most / 2) / most);
}

static void put_indexed(const struct bmp *b, const unsigned char *row, uint8_t *to)
{
    unsigned per_byte = 8 / b->bits, most = (1u << b->bits) - 1;
    for (int x = 0; x < b->width; x++, to += 3) {
        unsigned shift = 8 - b->bits * ((unsigned)x % per_byte + 1);
        size_t index = (unsigned)row[(unsigned)x / per_byte] >> shift & most;
        const unsigned char *c = b->palette + b->palette_step * (index < b->colours ? index : 0);
        to[0] = c[2];
        to[1] = c[1];
        to[2] = c[0];
    }
}

static void put_masked(const struct bmp *b, const unsigned char *row, uint8_t *to)
{
    size_t step = b->bits / 8;
    for (int x = 0; x < b->width; x++, row += step, to += 3) {
        uint32_t v = step == 2 ? get16(row) : get32(row);
        for (int i = 0; i < 3; i++) to[i] = field(v, b->mask[i]);
    }
}

static void put_row(const struct bmp *b, const unsigned char *row, uint8_t *to)
{
    if (b->bits <= 8) {
        put_indexed(b, row, to);
    } else if (b->bits == 24) {
        for (int x = 0; x < b->width; x++, row += 3, to += 3) {
            to[0] = row[2];
            to[1] = row[1];
            to[2] = row[0];
        }
    } else {
        put_masked(b, row, to);
    }
}

enum mien_code mien_bmp_decode(const unsigned char *data, size_t n, const struct mien_image_header *h,
                               struct mien_image *out, struct mien_err *e)
{
    *out = (struct mien_image){0};
    struct bmp b;
    MIEN_TRY(parse(data, n, &b, e));
    if (!find_rows(data, n, &b)) return damaged(e);
    MIEN_TRY(mien_image_alloc(h->width, h->height, out, e));
    for (int y = 0; y < b.height; y++) {
        int to = b.top_down ? y : b.height - 1 - y;
        put_row(&b, b.rows + (size_t)y * b.stride, out->px + (size_t)to * out->stride);
    }
    return MIEN_OK;
}
