/* Affine maps: algebra, the least-squares similarity, and the bilinear warp. */
#include "image/warp.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include "image/sample.h"

struct mien_affine mien_affine_invert(struct mien_affine a)
{
    const float *m = a.m;
    double det = (double)m[0] * m[4] - (double)m[1] * m[3];
    double i0 = m[4] / det, i1 = -m[1] / det, i3 = -m[3] / det, i4 = m[0] / det;
    return (struct mien_affine){{(float)i0, (float)i1, (float)-(i0 * m[2] + i1 * m[5]), (float)i3, (float)i4,
                                 (float)-(i3 * m[2] + i4 * m[5])}};
}

void mien_affine_apply(const struct mien_affine *a, float u, float v, float *x, float *y)
{
    *x = a->m[0] * u + a->m[1] * v + a->m[2];
    *y = a->m[3] * u + a->m[4] * v + a->m[5];
}

/* Umeyama (1991) in two dimensions has a closed form: with both sets centred, the rotation by the angle of the
 * complex number sum(conj(s) d), scaled by its modulus over sum |s|^2, minimises sum |c R s + t - d|^2 over all
 * similarities without reflection. */
enum mien_code mien_similarity(const float *src, const float *dst, int n, struct mien_affine *out, struct mien_err *e)
{
    MIEN_FAIL_IF(n < 2, e, MIEN_E_ARG, "a similarity needs two points, got %d", n);
    double sx = 0, sy = 0, dx = 0, dy = 0, re = 0, im = 0, spread = 0, extent = 0;
    for (int i = 0; i < n; i++) {
        sx += src[2 * i];
        sy += src[2 * i + 1];
        dx += dst[2 * i];
        dy += dst[2 * i + 1];
    }
    sx /= n, sy /= n, dx /= n, dy /= n;
    for (int i = 0; i < n; i++) {
        double ax = src[2 * i] - sx, ay = src[2 * i + 1] - sy, bx = dst[2 * i] - dx, by = dst[2 * i + 1] - dy;
        re += ax * bx + ay * by;
        im += ax * by - ay * bx;
        spread += ax * ax + ay * ay;
        extent += bx * bx + by * by;
    }
    /* written so that NaN fails too */
    bool fits = spread > 1e-9 && extent > 1e-9 && hypot(re, im) > 1e-9 * sqrt(spread * extent) && isfinite(spread) &&
                isfinite(extent);
    MIEN_FAIL_IF(!fits, e, MIEN_E_ARG, "the points coincide");
    double c = re / spread, s = im / spread;
    *out = (struct mien_affine){
        {(float)c, (float)-s, (float)(dx - c * sx + s * sy), (float)s, (float)c, (float)(dy - s * sx - c * sy)}};
    return MIEN_OK;
}

/* ---- warp ---- */

struct warp {
    const struct mien_image *src;
    enum mien_border border;
    struct mien_finish finish;
};

/* Index of the pixel that stands for pixel i of a line of n, or -1 for black. */
static int border_index(int64_t i, int n, enum mien_border border)
{
    if (i >= 0 && i < n) return (int)i;
    if (border == MIEN_BORDER_ZERO) return -1;
    if (border == MIEN_BORDER_REPLICATE || n == 1) return i < 0 ? 0 : n - 1;
    int64_t period = 2 * ((int64_t)n - 1), r = i % period;
    if (r < 0) r += period;
    return (int)(r < n ? r : period - r);
}

/* One sample with all its border cases: builds the 2x2 neighbourhood and lets the scalar loop read it. */
static void sample_at_border(const struct warp *w, struct mien_walk at, float *out)
{
    uint8_t px[16] = {0};
    for (int j = 0; j < 2; j++) {
        int y = border_index((at.y >> 32) + j, w->src->height, w->border);
        for (int i = 0; i < 2 && y >= 0; i++) {
            int x = border_index((at.x >> 32) + i, w->src->width, w->border);
            if (x >= 0) memcpy(px + 6 * j + 3 * i, w->src->px + (size_t)y * w->src->stride + 3 * (size_t)x, 3);
        }
    }
    struct mien_image four = {.px = px, .width = 2, .height = 2, .stride = 6};
    struct mien_walk inside = {.x = (int64_t)(uint32_t)at.x, .y = (int64_t)(uint32_t)at.y};
    mien_sampler_scalar.walk(&four, inside, 1, &w->finish, out);
}

static struct mien_walk step(struct mien_walk w, int64_t n)
{
    return (struct mien_walk){w.x + n * w.dx, w.y + n * w.dy, w.dx, w.dy};
}

/* The fast loop reads 8 bytes from pixel x on, of rows y and y + 1. */
static bool is_inside(const struct mien_image *im, struct mien_walk at)
{
    int64_t x = at.x >> 32, y = at.y >> 32;
    return x >= 0 && x <= im->width - 3 && y >= 0 && y <= im->height - 2;
}

/* How many of the first n positions lie on the same side as the first one; positions lie on a line and the inside is
 * convex, so within a half that starts inside, inside is a prefix. */
static int inside_prefix(const struct mien_image *im, struct mien_walk at, int n)
{
    int lo = 0, hi = n; /* lo positions are inside, hi + 1 are not */
    while (lo < hi) {
        int mid = lo + (hi - lo + 1) / 2;
        if (is_inside(im, step(at, mid - 1))) lo = mid;
        else hi = mid - 1;
    }
    return lo;
}

/* Row of n pixels: border samples until the walk comes inside, a fast run, border samples again. */
static void warp_row(const struct warp *w, struct mien_walk at, int n, float *out)
{
    int u = 0;
    for (; u < n && !is_inside(w->src, at); u++, at = step(at, 1)) sample_at_border(w, at, out + 3 * u);
    if (u == n) return;
    int run = inside_prefix(w->src, at, n - u);
    mien_sampler()->walk(w->src, at, run, &w->finish, out + 3 * u);
    for (at = step(at, run), u += run; u < n; u++, at = step(at, 1)) sample_at_border(w, at, out + 3 * u);
}

/* 2^32 v, within what additions over a row can bear. NaN becomes the far end. */
static int64_t fixed(double v, double most)
{
    if (!(v < most)) return (int64_t)(most * 0x1p32);
    if (v < -most) return (int64_t)(-most * 0x1p32);
    return (int64_t)llrint(v * 0x1p32);
}

enum { CHUNK = 256 };

void mien_warp_affine(const struct mien_image *src, const struct mien_affine *a, int w, int h, enum mien_border border,
                      const struct mien_tensor_spec *spec, float *out)
{
    assert(w >= 1 && h >= 1);
    struct warp job = {src, border, mien_finish_of(spec)};
    bool gray = spec->channels == MIEN_GRAY;
    float rgb[3 * CHUNK];
    const float *m = a->m;
    for (int v = 0; v < h; v++) {
        for (int u = 0; u < w; u += CHUNK) {
            int n = w - u < CHUNK ? w - u : CHUNK;
            double x = (double)m[0] * u + (double)m[1] * v + m[2], y = (double)m[3] * u + (double)m[4] * v + m[5];
            struct mien_walk at = {fixed(x, 0x1p29), fixed(y, 0x1p29), fixed(m[0], 0x1p20), fixed(m[3], 0x1p20)};
            float *to = out + ((size_t)v * (size_t)w + (size_t)u) * (gray ? 1 : 3);
            warp_row(&job, at, n, gray ? rgb : to);
            if (gray) mien_finish_gray(rgb, n, spec, to);
        }
    }
}
