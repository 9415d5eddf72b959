/* A photo that is decoded as far as somebody looks at it.
 *
 * Detectors want the whole picture small, alignment wants faces at full size. A JPEG gives the first by decoding
 * at a reduced DCT scale (about a quarter of the time at 1/4) and the second by decoding part of the rows. What
 * has been decoded is kept: up to one view per scale, and the last region.
 *
 * A view at scale 1/d has ceil(size / d) pixels, the last one covering less than d full pixels. When turning the
 * picture upright moves that one to the front, positions in the view would be off by a fraction of a pixel, so
 * such a scale is used only when it divides the size.
 *
 * Regions: the work to reach the last row of a region is most of the work of decoding, so after MAX_PARTS of them
 * (or for a large one, or when the file has several scans) the full picture is decoded and serves all. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "image/decode.h"

enum { MAGIC = 0x70686f74, SCALES = 4, MAX_PARTS = 2 };

struct mien_photo {
    unsigned magic;
    enum mien_image_format format;
    const unsigned char *data;
    size_t n;
    struct mien_image_header h;
    int width, height;               /* upright */
    bool borrowed;                   /* view[0] is the caller's */
    struct mien_image view[SCALES];  /* at 1/1, 1/2, 1/4, 1/8; px NULL when not decoded */
    struct mien_image part;          /* region decoded last, owned */
    struct mien_rect part_at;        /* upright */
    int parts;                       /* decoded so far */
    struct mien_image window;        /* what mien_photo_region answered; points into view[0] or part */
};

static const struct reader {
    mien_header_fn *header;
    mien_decode_fn *decode; /* NULL: JPEG, which takes more arguments */
} readers[] = {
    [MIEN_IMAGE_JPEG] = {mien_jpeg_header, NULL},
    [MIEN_IMAGE_PNG] = {mien_png_header, mien_png_decode},
    [MIEN_IMAGE_WEBP] = {mien_webp_header, mien_webp_decode},
    [MIEN_IMAGE_BMP] = {mien_bmp_header, mien_bmp_decode},
    [MIEN_IMAGE_GIF] = {mien_gif_header, mien_gif_decode},
};

/* Name of a picture type that is recognised but not taken, or NULL. */
static const char *foreign_type(const unsigned char *data, size_t n)
{
    static const struct {
        size_t at, size;
        const char *bytes, *name;
    } known[] = {
        {4, 8, "ftypheic", "HEIC"}, {4, 8, "ftypheix", "HEIC"}, {4, 8, "ftypmif1", "HEIF"}, {4, 8, "ftypmsf1", "HEIF"},
        {4, 8, "ftypavif", "AVIF"}, {4, 8, "ftypavis", "AVIF"}, {0, 4, "II*\0", "TIFF"},    {0, 4, "MM\0*", "TIFF"},
        {4, 4, "jP  ", "JPEG 2000"}, {0, 4, "<svg", "SVG"},     {0, 5, "<?xml", "XML or SVG"}, {0, 4, "%PDF", "PDF"},
        {0, 4, "8BPS", "Photoshop"}, {0, 4, "\0\0\1\0", "icon"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (n >= known[i].at + known[i].size && memcmp(data + known[i].at, known[i].bytes, known[i].size) == 0) {
            return known[i].name;
        }
    }
    return NULL;
}

static enum mien_code read_header(struct mien_photo *p, const struct mien_image_limits *limits, struct mien_err *e)
{
    MIEN_FAIL_IF(p->n > limits->max_bytes, e, MIEN_E_IMAGE_LIMIT, "%zu bytes; at most %zu are taken", p->n,
                 limits->max_bytes);
    p->format = mien_image_sniff(p->data, p->n);
    if (p->format == MIEN_IMAGE_UNKNOWN) {
        const char *name = foreign_type(p->data, p->n);
        return name != NULL ? MIEN_FAIL(e, MIEN_E_IMAGE_TYPE, "%s files are not taken", name)
                            : MIEN_FAIL(e, MIEN_E_IMAGE_TYPE, "not a JPEG, PNG, WebP, BMP or GIF picture");
    }
    MIEN_TRY(readers[p->format].header(p->data, p->n, &p->h, e));
    uint64_t pixels = (uint64_t)p->h.width * (uint64_t)p->h.height;
    if (p->h.extent_px > pixels) pixels = p->h.extent_px;
    MIEN_FAIL_IF(pixels > limits->max_pixels, e, MIEN_E_IMAGE_LIMIT, "%llu pixels; at most %llu are taken",
                 (unsigned long long)pixels, (unsigned long long)limits->max_pixels);
    bool turned = p->h.orientation >= 5;
    p->width = turned ? p->h.height : p->h.width;
    p->height = turned ? p->h.width : p->h.height;
    return MIEN_OK;
}

enum mien_code mien_photo_open(const unsigned char *data, size_t n, const struct mien_image_limits *limits,
                               struct mien_photo **out, struct mien_err *e)
{
    *out = NULL;
    struct mien_image_limits defaults = MIEN_IMAGE_LIMITS_DEFAULT;
    struct mien_photo *p = calloc(1, sizeof *p);
    MIEN_FAIL_IF(p == NULL, e, MIEN_E_NOMEM, "out of memory");
    p->magic = MAGIC;
    p->data = data;
    p->n = n;
    enum mien_code code = read_header(p, limits != NULL ? limits : &defaults, e);
    if (code == MIEN_OK) *out = p;
    else mien_photo_free(&p);
    return code;
}

enum mien_code mien_photo_from_pixels(const struct mien_image *pixels, struct mien_photo **out, struct mien_err *e)
{
    *out = NULL;
    MIEN_FAIL_IF(pixels->px == NULL || pixels->width < 1 || pixels->height < 1, e, MIEN_E_ARG, "no pixels");
    struct mien_photo *p = calloc(1, sizeof *p);
    MIEN_FAIL_IF(p == NULL, e, MIEN_E_NOMEM, "out of memory");
    p->magic = MAGIC;
    p->width = p->h.width = pixels->width;
    p->height = p->h.height = pixels->height;
    p->h.orientation = 1;
    p->view[0] = *pixels;
    p->borrowed = true;
    *out = p;
    return MIEN_OK;
}

void mien_photo_free(struct mien_photo **photo)
{
    if (photo == NULL || *photo == NULL) return;
    struct mien_photo *p = *photo;
    assert(p->magic == MAGIC);
    for (int i = p->borrowed ? 1 : 0; i < SCALES; i++) mien_image_free(&p->view[i]);
    mien_image_free(&p->part);
    p->magic = 0;
    free(p);
    *photo = NULL;
}

int mien_photo_width(const struct mien_photo *p) { return p->width; }
int mien_photo_height(const struct mien_photo *p) { return p->height; }

/* Whether 1 / 2^i keeps positions exact; see above. */
static bool scale_is_exact(const struct mien_photo *p, int i)
{
    int o = p->h.orientation, d = 1 << i;
    bool x_from_end = o == 2 || o == 3 || o == 7 || o == 8, y_from_end = o == 3 || o == 4 || o == 6 || o == 7;
    return !(x_from_end && p->h.width % d != 0) && !(y_from_end && p->h.height % d != 0);
}

static int smallest_scale(const struct mien_photo *p, int min_long_side)
{
    int longer = p->width > p->height ? p->width : p->height, i = SCALES - 1;
    if (p->format != MIEN_IMAGE_JPEG || min_long_side >= longer) return 0;
    while (i > 0 && ((longer + (1 << i) - 1) >> i < min_long_side || !scale_is_exact(p, i))) i--;
    return i;
}

static enum mien_code decode_view(struct mien_photo *p, int i, struct mien_err *e)
{
    if (p->format != MIEN_IMAGE_JPEG) return readers[p->format].decode(p->data, p->n, &p->h, &p->view[i], e);
    return mien_jpeg_decode(p->data, p->n, &p->h, (struct mien_jpeg_what){.denom = 1 << i}, &p->view[i], e);
}

enum mien_code mien_photo_view(struct mien_photo *p, int min_long_side, const struct mien_image **view, float *scale,
                               struct mien_err *e)
{
    assert(p->magic == MAGIC);
    int wanted = smallest_scale(p, min_long_side), i = wanted;
    while (i > 0 && p->view[i].px == NULL) i--;
    if (p->view[i].px == NULL) {
        i = wanted;
        MIEN_TRY(decode_view(p, i, e));
    }
    *view = &p->view[i];
    if (scale != NULL) *scale = 1.0f / (float)(1 << i);
    return MIEN_OK;
}

/* want within the picture; .w or .h is 0 when they do not meet. 64 bits, because the edges are the caller's. */
static struct mien_rect clip(struct mien_rect want, int width, int height)
{
    int64_t x0 = want.x, y0 = want.y, x1 = x0 + want.w, y1 = y0 + want.h;
    if (x0 < 0) x0 = 0;
    if (y0 < 0) y0 = 0;
    if (x1 > width) x1 = width;
    if (y1 > height) y1 = height;
    if (x1 <= x0 || y1 <= y0) return (struct mien_rect){0};
    return (struct mien_rect){(int)x0, (int)y0, (int)(x1 - x0), (int)(y1 - y0)};
}

static bool contains(struct mien_rect a, struct mien_rect b)
{
    return b.x >= a.x && b.y >= a.y && b.x + b.w <= a.x + a.w && b.y + b.h <= a.y + a.h;
}

static bool part_pays(const struct mien_photo *p, struct mien_rect r)
{
    if (p->format != MIEN_IMAGE_JPEG || p->h.several_scans || p->parts >= MAX_PARTS) return false;
    return (int64_t)r.w * r.h * 2 < (int64_t)p->width * p->height;
}

static enum mien_code decode_part(struct mien_photo *p, struct mien_rect r, struct mien_err *e)
{
    mien_image_free(&p->part);
    struct mien_jpeg_what what = {1, mien_orient_back(r, p->h.width, p->h.height, p->h.orientation)};
    MIEN_TRY(mien_jpeg_decode(p->data, p->n, &p->h, what, &p->part, e));
    p->part_at = r;
    p->parts++;
    return MIEN_OK;
}

enum mien_code mien_photo_region(struct mien_photo *p, struct mien_rect want, const struct mien_image **region,
                                 int *x0, int *y0, struct mien_err *e)
{
    assert(p->magic == MAGIC);
    struct mien_rect r = clip(want, p->width, p->height);
    MIEN_FAIL_IF(r.w == 0, e, MIEN_E_ARG, "the region lies outside the picture");
    bool have_part = p->part.px != NULL && contains(p->part_at, r);
    if (p->view[0].px == NULL && !have_part) {
        have_part = part_pays(p, r);
        MIEN_TRY(have_part ? decode_part(p, r, e) : decode_view(p, 0, e));
    }
    const struct mien_image *from = p->view[0].px != NULL ? &p->view[0] : &p->part;
    int dx = p->view[0].px != NULL ? r.x : r.x - p->part_at.x, dy = p->view[0].px != NULL ? r.y : r.y - p->part_at.y;
    p->window = (struct mien_image){.px = from->px + (size_t)dy * from->stride + 3 * (size_t)dx,
                                    .width = r.w, .height = r.h, .stride = from->stride};
    *region = &p->window;
    *x0 = r.x;
    *y0 = r.y;
    return MIEN_OK;
}

enum mien_code mien_image_decode(const unsigned char *data, size_t n, const struct mien_image_limits *limits,
                                 struct mien_image *out, struct mien_err *e)
{
    *out = (struct mien_image){0};
    struct mien_photo *p;
    MIEN_TRY(mien_photo_open(data, n, limits, &p, e));
    enum mien_code code = decode_view(p, 0, e);
    if (code == MIEN_OK) {
        *out = p->view[0];
        p->view[0] = (struct mien_image){0};
    }
    mien_photo_free(&p);
    return code;
}
