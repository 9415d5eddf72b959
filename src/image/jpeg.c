/* JPEG over libjpeg-turbo's jpeglib.h.
 *
 * Errors leave the library by longjmp; everything that must be released sits in `struct reader`, which the
 * function that calls setjmp does not own, so no local changes between setjmp and longjmp.
 *
 * Strictness. libjpeg repairs what it can and only warns. Missing pixels are an error here, because a photo cut off
 * by a broken upload would be judged as if it were whole; so are scans that do not fit their frame. Damage inside
 * the data, after which decoding goes on at the next restart marker, and bytes that no decoder needs (junk between
 * markers, an odd JFIF version) pass, as in every viewer. A missing end marker passes in a file of one
 * Huffman-coded scan, where missing data is noticed by itself; with several scans it would silently cost detail, and
 * the arithmetic decoder reads on without a word.
 *
 * Cost. The library's memory is capped at what an honest picture of that size needs, and scans are counted: a
 * small file with thousands of scans takes minutes otherwise. The coefficients that libjpeg holds while it works
 * are freed by it and not wiped. */
#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs FILE */
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>
#include <jerror.h>
#include "image/decode.h"

enum {
    MAX_SCANS = 100,    /* libjpeg's own encoder makes 10; hand-tuned files a few dozen */
    BAND_ROWS = 64,
    CROP_MARGIN = 4     /* chroma is interpolated from the neighbour, two pixels away at 4:2:x */
};

struct reader {
    struct jpeg_decompress_struct c;
    struct jpeg_error_mgr err;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    enum mien_code code;
    struct mien_err *e;
    bool several_scans, end_may_lack; /* known after the header */
    uint8_t *band;
    size_t band_bytes;
};

static struct reader *reader_of(j_common_ptr c) { return (struct reader *)(void *)c; } /* c is the first member */

/* Refuses the picture with the library's pending message. */
_Noreturn static void refuse(j_common_ptr c)
{
    struct reader *r = reader_of(c);
    char text[JMSG_LENGTH_MAX];
    c->err->format_message(c, text);
    switch (c->err->msg_code) {
    case JERR_OUT_OF_MEMORY: r->code = MIEN_E_NOMEM; break;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_CONVERSION_NOTIMPL: r->code = MIEN_E_IMAGE_TYPE; break;
    case JERR_NO_BACKING_STORE: r->code = MIEN_E_IMAGE_LIMIT; break;
    default: r->code = MIEN_E_IMAGE_CORRUPT; break;
    }
    MIEN_FAIL(r->e, r->code, "JPEG: %s", text);
    longjmp(r->jump, 1);
}

static void on_message(j_common_ptr c, int level)
{
    const struct reader *r = reader_of(c);
    if (level >= 0) return; /* trace */
    switch (c->err->msg_code) {
    case JWRN_NOT_SEQUENTIAL: refuse(c);
    case JWRN_HIT_MARKER: { /* data ended before the pixels did: at a restart marker, or for good */
        int marker = r->c.unread_marker;
        if (marker < JPEG_RST0 || marker > JPEG_RST0 + 7) refuse(c);
        break;
    }
    case JWRN_JPEG_EOF:
        if (!r->end_may_lack) refuse(c);
        break;
    default: break;
    }
}

static void count_scans(j_common_ptr c)
{
    struct reader *r = reader_of(c);
    if (r->c.input_scan_number <= MAX_SCANS) return;
    r->code = MIEN_FAIL(r->e, MIEN_E_IMAGE_LIMIT, "JPEG: more than %d scans", MAX_SCANS);
    longjmp(r->jump, 1);
}

static int orientation_of(struct jpeg_decompress_struct *c)
{
    for (jpeg_saved_marker_ptr m = c->marker_list; m != NULL; m = m->next) {
        if (m->marker == JPEG_APP0 + 1 && m->data_length >= 6 && memcmp(m->data, "Exif\0\0", 6) == 0) {
            return mien_exif_orientation(m->data, m->data_length);
        }
    }
    return 1;
}

/* Up to the frame header; may longjmp. */
static void open_reader(struct reader *r, const unsigned char *data, size_t n)
{
    jpeg_create_decompress(&r->c);
    r->progress.progress_monitor = count_scans;
    r->c.progress = &r->progress;
    jpeg_mem_src(&r->c, data, (unsigned long)n);
    jpeg_save_markers(&r->c, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&r->c, TRUE);
    r->several_scans = jpeg_has_multiple_scans(&r->c) != 0;
    r->end_may_lack = !r->several_scans && !r->c.arith_code;
}

static void set_up_errors(struct reader *r, struct mien_err *e)
{
    memset(r, 0, sizeof *r);
    r->c.err = jpeg_std_error(&r->err);
    r->err.error_exit = refuse;
    r->err.emit_message = on_message;
    r->e = e;
}

static void close_reader(struct reader *r)
{
    jpeg_destroy_decompress(&r->c);
    if (r->band != NULL) explicit_bzero(r->band, r->band_bytes);
    free(r->band);
}

static enum mien_code read_header(struct reader *r, const unsigned char *data, size_t n,
                                  struct mien_image_header *out)
{
    if (setjmp(r->jump) != 0) return r->code;
    open_reader(r, data, n);
    if (r->c.jpeg_color_space == JCS_UNKNOWN) {
        return MIEN_FAIL(r->e, MIEN_E_IMAGE_TYPE, "JPEG: %d colour components", r->c.num_components);
    }
    *out = (struct mien_image_header){.width = (int)r->c.image_width,
                                      .height = (int)r->c.image_height,
                                      .orientation = orientation_of(&r->c),
                                      .several_scans = r->several_scans};
    return MIEN_OK;
}

enum mien_code mien_jpeg_header(const unsigned char *data, size_t n, struct mien_image_header *out,
                                struct mien_err *e)
{
    struct reader r;
    set_up_errors(&r, e);
    enum mien_code code = read_header(&r, data, n, out);
    close_reader(&r);
    return code;
}

/* CMYK to RGB in place. Adobe's programs store inks inverted (0 = full ink) and everybody follows them when the
 * Adobe marker is present; without a colour profile the product of the two transmissions is the usual answer. */
static void cmyk_to_rgb(uint8_t *row, int width, bool inverted)
{
    unsigned flip = inverted ? 0 : 255;
    for (int x = 0; x < width; x++) {
        unsigned k = row[4 * x + 3] ^ flip;
        for (int i = 0; i < 3; i++) row[3 * x + i] = (uint8_t)(((row[4 * x + i] ^ flip) * k + 127) / 255);
    }
}

/* Rows and columns of the library's output that are wanted. */
struct window {
    int left, width, height;
};

/* Reads win->height rows through a band into *out, turning, cutting and converting them; may longjmp. */
static void read_bands(struct reader *r, const struct window *win, int orientation, struct mien_image *out)
{
    size_t stride = (size_t)r->c.output_width * (size_t)r->c.output_components;
    bool cmyk = r->c.out_color_space == JCS_CMYK;
    for (int y = 0; y < win->height;) {
        int rows = win->height - y < BAND_ROWS ? win->height - y : BAND_ROWS, have = 0;
        while (have < rows) {
            JSAMPROW line = r->band + (size_t)have * stride;
            have += (int)jpeg_read_scanlines(&r->c, &line, 1);
        }
        for (int i = 0; i < rows && cmyk; i++) {
            cmyk_to_rgb(r->band + (size_t)i * stride, (int)r->c.output_width, r->c.saw_Adobe_marker != 0);
        }
        mien_orient_put(r->band + 3 * (size_t)win->left, stride, win->width, win->height, y, rows, orientation, out);
        y += rows;
    }
}

static void read_straight(struct reader *r, struct mien_image *out)
{
    while (r->c.output_scanline < r->c.output_height) {
        JSAMPROW lines[8];
        JDIMENSION n = 0;
        for (; n < 8 && r->c.output_scanline + n < r->c.output_height; n++) {
            lines[n] = out->px + (size_t)(r->c.output_scanline + n) * out->stride;
        }
        jpeg_read_scanlines(&r->c, lines, n);
    }
}

/* An honest file needs 2 bytes per coefficient (several scans only), at most 4 components, blocks rounded up. */
static long memory_cap(const struct mien_image_header *h)
{
    return (64L << 20) + 8L * h->width * h->height;
}

/* Starts decompression and moves to the first wanted row; may longjmp. */
static struct window start(struct reader *r, const struct mien_image_header *h, struct mien_jpeg_what what)
{
    bool cmyk = r->c.jpeg_color_space == JCS_CMYK || r->c.jpeg_color_space == JCS_YCCK;
    r->c.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    r->c.scale_num = 8 / (unsigned)what.denom;
    r->c.scale_denom = 8;
    r->c.mem->max_memory_to_use = memory_cap(h);
    jpeg_start_decompress(&r->c);
    if (what.part.w <= 0) return (struct window){0, (int)r->c.output_width, (int)r->c.output_height};

    int left = what.part.x < CROP_MARGIN ? 0 : what.part.x - CROP_MARGIN;
    int right = what.part.x + what.part.w + CROP_MARGIN;
    if (right > h->width) right = h->width;
    JDIMENSION x = (JDIMENSION)left, width = (JDIMENSION)(right - left);
    jpeg_crop_scanline(&r->c, &x, &width);
    if (what.part.y > 0) jpeg_skip_scanlines(&r->c, (JDIMENSION)what.part.y);
    return (struct window){what.part.x - (int)x, what.part.w, what.part.h};
}

static enum mien_code decode(struct reader *r, const unsigned char *data, size_t n, const struct mien_image_header *h,
                             const struct mien_jpeg_what *what, struct mien_image *out)
{
    if (setjmp(r->jump) != 0) return r->code;
    open_reader(r, data, n);
    struct window win = start(r, h, *what);
    MIEN_TRY(mien_orient_alloc(win.width, win.height, h->orientation, out, r->e));
    bool whole = win.width == (int)r->c.output_width && win.height == (int)r->c.output_height;
    if (whole && h->orientation == 1 && r->c.out_color_space == JCS_RGB) {
        read_straight(r, out);
        return MIEN_OK;
    }
    r->band_bytes = (size_t)r->c.output_width * (size_t)r->c.output_components * BAND_ROWS;
    r->band = malloc(r->band_bytes);
    MIEN_FAIL_IF(r->band == NULL, r->e, MIEN_E_NOMEM, "out of memory for %zu bytes", r->band_bytes);
    read_bands(r, &win, h->orientation, out);
    return MIEN_OK;
}

enum mien_code mien_jpeg_decode(const unsigned char *data, size_t n, const struct mien_image_header *h,
                                struct mien_jpeg_what what, struct mien_image *out, struct mien_err *e)
{
    *out = (struct mien_image){0};
    struct reader r;
    set_up_errors(&r, e);
    enum mien_code code = decode(&r, data, n, h, &what, out);
    close_reader(&r);
    if (code != MIEN_OK) mien_image_free(out);
    return code;
}
