/* Marks on pictures, and how sharp a picture is. */
#include <math.h>
#include "image/warp.h"

static void put(struct mien_image *im, int x, int y, const uint8_t rgb[3])
{
    uint8_t *p = im->px + (size_t)y * im->stride + 3 * (size_t)x;
    p[0] = rgb[0];
    p[1] = rgb[1];
    p[2] = rgb[2];
}

/* v rounded and limited to 0 .. n; NaN becomes 0. */
static int edge(float v, int n)
{
    if (!(v > 0)) return 0;
    return v > (float)n ? n : (int)(v + 0.5f) < n ? (int)(v + 0.5f) : n;
}

static void fill(struct mien_image *im, float x0, float y0, float x1, float y1, const uint8_t rgb[3])
{
    int right = edge(x1, im->width), bottom = edge(y1, im->height);
    for (int y = edge(y0, im->height); y < bottom; y++) {
        for (int x = edge(x0, im->width); x < right; x++) put(im, x, y, rgb);
    }
}

void mien_draw_rect(struct mien_image *im, float x0, float y0, float x1, float y1, int thickness, const uint8_t rgb[3])
{
    float t = (float)(thickness < 1 ? 1 : thickness);
    fill(im, x0, y0, x1, fminf(y0 + t, y1), rgb);
    fill(im, x0, fmaxf(y1 - t, y0), x1, y1, rgb);
    fill(im, x0, y0, fminf(x0 + t, x1), y1, rgb);
    fill(im, fmaxf(x1 - t, x0), y0, x1, y1, rgb);
}

void mien_draw_dot(struct mien_image *im, float x, float y, int radius, const uint8_t rgb[3])
{
    float r = (float)(radius < 0 ? 0 : radius) + 0.5f;
    int right = edge(x + r + 1, im->width), bottom = edge(y + r + 1, im->height);
    for (int j = edge(y - r, im->height); j < bottom; j++) {
        for (int i = edge(x - r, im->width); i < right; i++) {
            float dx = (float)i - x, dy = (float)j - y;
            if (dx * dx + dy * dy <= r * r) put(im, i, j, rgb);
        }
    }
}

/* ---- sharpness ---- */

enum { STRIP = 510 };

/* Gray with the integer weights that OpenCV uses (sum 2^14). */
static void gray_row(const uint8_t *rgb, int n, int *out)
{
    for (int i = 0; i < n; i++, rgb += 3) out[i] = (4899 * rgb[0] + 9617 * rgb[1] + 1868 * rgb[2] + 8192) >> 14;
}

/* Adds sum and sum of squares of the Laplacian over one row of n inner pixels. */
static void add_row(const int *above, const int *here, const int *below, int n, int64_t *sum, int64_t *squares)
{
    int s = 0; /* |value| <= 1020, so a strip stays far within 32 bits */
    int q = 0;
    for (int i = 1; i <= n; i++) {
        int l = above[i] + below[i] + here[i - 1] + here[i + 1] - 4 * here[i];
        s += l;
        q += l * l;
    }
    *sum += s;
    *squares += q;
}

float mien_laplacian_variance(const struct mien_image *src, struct mien_rect r)
{
    int64_t x0 = r.x, y0 = r.y, x1 = x0 + r.w, y1 = y0 + r.h, sum = 0, squares = 0;
    if (x0 < 0) x0 = 0;
    if (y0 < 0) y0 = 0;
    if (x1 > src->width) x1 = src->width;
    if (y1 > src->height) y1 = src->height;
    if (x1 - x0 < 3 || y1 - y0 < 3) return 0;
    for (int64_t left = x0; left + 2 < x1; left += STRIP) {
        int n = x1 - left - 2 < STRIP ? (int)(x1 - left - 2) : STRIP;
        int rows[3][STRIP + 2];
        for (int64_t y = y0; y < y1; y++) {
            gray_row(src->px + (size_t)y * src->stride + 3 * (size_t)left, n + 2, rows[y % 3]);
            if (y >= y0 + 2) add_row(rows[(y - 2) % 3], rows[(y - 1) % 3], rows[y % 3], n, &sum, &squares);
        }
    }
    double count = (double)(x1 - x0 - 2) * (double)(y1 - y0 - 2), mean = (double)sum / count;
    return (float)((double)squares / count - mean * mean);
}
