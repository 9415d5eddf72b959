#include "support/pictures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jpeglib.h>

static struct mien_image blank(int w, int h)
{
    struct mien_image im;
    if (mien_image_alloc(w, h, &im, NULL) != MIEN_OK) abort();
    return im;
}

struct mien_image picture_smooth(int w, int h)
{
    struct mien_image im = blank(w, h);
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < w; x++) {
            double u = (x + 0.5) / w, v = (y + 0.5) / h;
            uint8_t *p = im.px + (size_t)y * im.stride + 3 * (size_t)x;
            p[0] = (uint8_t)(20 + 200 * u);
            p[1] = (uint8_t)(20 + 200 * v * v);
            p[2] = (uint8_t)(128 + 100 * sin(5 * u + 3 * v));
        }
    }
    return im;
}

struct mien_image picture_turned(const struct mien_image *s, int o)
{
    bool swap = o >= 5;
    int w = s->width, h = s->height;
    struct mien_image out = swap ? blank(h, w) : blank(w, h);
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < w; x++) {
            /* Exif 2.32, tag Orientation: where the 0th row and the 0th column are on the screen */
            int row = o == 3 || o == 4 || o == 6 || o == 7 ? h - 1 - y : y; /* counted from the 0th row's side */
            int col = o == 2 || o == 3 || o == 7 || o == 8 ? w - 1 - x : x;
            int X = swap ? row : col, Y = swap ? col : row;
            memcpy(out.px + (size_t)Y * out.stride + 3 * (size_t)X, s->px + (size_t)y * s->stride + 3 * (size_t)x, 3);
        }
    }
    return out;
}

size_t picture_exif(unsigned char out[40], int orientation, bool big, bool prefix)
{
    static const unsigned char le[26] = {'I', 'I', '*', 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    static const unsigned char be[26] = {'M', 'M', 0, '*', 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0};
    size_t at = prefix ? 6 : 0;
    if (prefix) memcpy(out, "Exif\0\0", 6);
    memcpy(out + at, big ? be : le, 26);
    out[at + (big ? 19 : 18)] = (unsigned char)orientation;
    return at + 26;
}

static void write_exif(struct jpeg_compress_struct *c, const struct jpeg_options *o)
{
    unsigned char exif[40];
    size_t n = picture_exif(exif, o->orientation, o->big_endian, true);
    jpeg_write_marker(c, JPEG_APP0 + 1, exif, (unsigned)n);
}

/* DC of all, then coefficient after coefficient. */
static void many_scans(struct jpeg_compress_struct *c, jpeg_scan_info *scans, int n)
{
    memset(scans, 0, (size_t)n * sizeof *scans);
    scans[0].comps_in_scan = c->num_components;
    for (int i = 0; i < c->num_components; i++) scans[0].component_index[i] = i;
    for (int i = 1; i < n; i++) {
        scans[i].comps_in_scan = 1;
        scans[i].component_index[0] = (i - 1) % 3;
        scans[i].Ss = scans[i].Se = 1 + (i - 1) / 3;
    }
    c->scan_info = scans;
    c->num_scans = n;
}

static void set_options(struct jpeg_compress_struct *c, const struct jpeg_options *o)
{
    if (o->gray) jpeg_set_colorspace(c, JCS_GRAYSCALE);
    if (o->full_chroma) c->comp_info[0].h_samp_factor = c->comp_info[0].v_samp_factor = 1;
    jpeg_set_quality(c, o->quality ? o->quality : 90, TRUE);
    if (o->progressive) jpeg_simple_progression(c);
    c->arith_code = o->arithmetic;
    c->restart_in_rows = o->restart_rows;
}

struct bytes picture_jpeg(const struct mien_image *im, struct jpeg_options o)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr err;
    unsigned char *data = NULL;
    unsigned long n = 0;
    jpeg_scan_info scans[190];
    c.err = jpeg_std_error(&err);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &data, &n);
    c.image_width = (JDIMENSION)im->width;
    c.image_height = (JDIMENSION)im->height;
    c.input_components = 3;
    c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&c);
    set_options(&c, &o);
    if (o.scans > 0) many_scans(&c, scans, o.scans);
    jpeg_start_compress(&c, TRUE);
    if (o.orientation > 0) write_exif(&c, &o);
    while (c.next_scanline < c.image_height) {
        JSAMPROW line = im->px + (size_t)c.next_scanline * im->stride;
        jpeg_write_scanlines(&c, &line, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    return (struct bytes){data, n};
}

struct bytes picture_cmyk(int w, int h, const uint8_t stored[4], bool ycck, bool adobe)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr err;
    unsigned char *data = NULL, *row = malloc(4 * (size_t)w);
    unsigned long n = 0;
    c.err = jpeg_std_error(&err);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &data, &n);
    c.image_width = (JDIMENSION)w;
    c.image_height = (JDIMENSION)h;
    c.input_components = 4;
    c.in_color_space = JCS_CMYK;
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, ycck ? JCS_YCCK : JCS_CMYK);
    jpeg_set_quality(&c, 100, TRUE);
    c.write_Adobe_marker = adobe;
    jpeg_start_compress(&c, TRUE);
    for (int x = 0; x < w; x++) memcpy(row + 4 * x, stored, 4);
    while (c.next_scanline < c.image_height) jpeg_write_scanlines(&c, &row, 1);
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    free(row);
    return (struct bytes){data, n};
}

unsigned char *bytes_cut(struct bytes b, size_t n)
{
    unsigned char *copy = malloc(n ? n : 1);
    if (copy == NULL) abort();
    memcpy(copy, b.data, n);
    return copy;
}

static double differences(const struct mien_image *a, const struct mien_image *b, int *largest)
{
    if (a->width != b->width || a->height != b->height) {
        *largest = 1000;
        return 1000;
    }
    double sum = 0;
    *largest = 0;
    for (int y = 0; y < a->height; y++) {
        const uint8_t *p = a->px + (size_t)y * a->stride, *q = b->px + (size_t)y * b->stride;
        for (int x = 0; x < 3 * a->width; x++) {
            int d = abs(p[x] - q[x]);
            sum += d;
            if (d > *largest) *largest = d;
        }
    }
    return sum / (3.0 * a->width * a->height);
}

double picture_mean_difference(const struct mien_image *a, const struct mien_image *b)
{
    int largest;
    return differences(a, b, &largest);
}

int picture_largest_difference(const struct mien_image *a, const struct mien_image *b)
{
    int largest;
    differences(a, b, &largest);
    return largest;
}
