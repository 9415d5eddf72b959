/* Geometry and resampling, against pictures whose answer is known in closed form, and the AVX2 loops against the
 * scalar ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "image/warp.h"

static const struct mien_tensor_spec PLAIN = {MIEN_RGB, {0, 0, 0}, {1, 1, 1}};

static uint32_t rnd_state = 1;
static uint32_t rnd(void) /* xorshift */
{
    rnd_state ^= rnd_state << 13;
    rnd_state ^= rnd_state >> 17;
    return rnd_state ^= rnd_state << 5;
}
static float rnd_float(float lo, float hi) { return lo + (hi - lo) * (float)(rnd() >> 8) * 0x1p-24f; }

static struct mien_image make(int w, int h)
{
    struct mien_image im;
    if (mien_image_alloc(w, h, &im, NULL) != MIEN_OK) fail();
    return im;
}

/* value = r + x * dx + y * dy in each channel, channels differing by their offset */
static struct mien_image ramp(int w, int h, int base, int dx, int dy)
{
    struct mien_image im = make(w, h);
    for (int y = 0; y < h; y++) {
        for (int x = 0; x < w; x++) {
            for (int c = 0; c < 3; c++) im.px[(size_t)y * im.stride + (size_t)(3 * x + c)] = (uint8_t)(base + 10 * c + x * dx + y * dy);
        }
    }
    return im;
}

static struct mien_image noise(int w, int h)
{
    struct mien_image im = make(w, h);
    for (size_t i = 0; i < im.stride * (size_t)h; i++) im.px[i] = (uint8_t)(rnd() >> 13);
    return im;
}

static float *tensor(int w, int h, int c)
{
    /* a guard on either side that nothing may touch, and NaN where something must be written */
    size_t n = (size_t)(w * h * c);
    float *p = malloc((n + 16) * sizeof *p);
    for (size_t i = 0; i < n + 16; i++) p[i] = i < 8 || i >= n + 8 ? 12345.0f : NAN;
    return p + 8;
}

static void release(float *t, int w, int h, int c)
{
    size_t n = (size_t)(w * h * c);
    for (size_t i = 0; i < n; i++) assert_true(t[i] == t[i]);
    for (size_t i = 0; i < 8; i++) {
        assert_true(t[(ptrdiff_t)i - 8] == 12345.0f);
        assert_true(t[n + i] == 12345.0f);
    }
    free(t - 8);
}

static void near_to(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("got %.6f, want %.6f within %g", got, want, tolerance);
}

/* ---- geometry ---- */

static void inverse_undoes(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct mien_affine a = {{rnd_float(1, 3), rnd_float(-1, 1), rnd_float(-100, 100), rnd_float(-1, 1), rnd_float(1.5f, 3), rnd_float(-9, 9)}};
        struct mien_affine b = mien_affine_invert(a);
        float x, y, u, v;
        mien_affine_apply(&a, 12, -34, &x, &y);
        mien_affine_apply(&b, x, y, &u, &v);
        near_to(u, 12, 1e-3);
        near_to(v, -34, 1e-3);
    }
}

static void similarity_finds_a_hand_made_transform(void **state)
{
    (void)state;
    /* turn by 90 degrees, double, shift by (10, 20): (x, y) -> (-2y + 10, 2x + 20) */
    const float src[] = {0, 0, 1, 0, 0, 1, 5, 7, -3, 2};
    float dst[10];
    for (int i = 0; i < 5; i++) {
        dst[2 * i] = -2 * src[2 * i + 1] + 10;
        dst[2 * i + 1] = 2 * src[2 * i] + 20;
    }
    struct mien_affine a;
    assert_int_equal(mien_similarity(src, dst, 5, &a, NULL), MIEN_OK);
    const float want[6] = {0, -2, 10, 2, 0, 20};
    for (int i = 0; i < 6; i++) near_to(a.m[i], want[i], 1e-5);
    assert_int_equal(mien_similarity(src, dst, 2, &a, NULL), MIEN_OK);
    for (int i = 0; i < 6; i++) near_to(a.m[i], want[i], 1e-5);
}

static double residual(const struct mien_affine *a, const float *src, const float *dst, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double x = (double)a->m[0] * src[2 * i] + (double)a->m[1] * src[2 * i + 1] + a->m[2] - dst[2 * i];
        double y = (double)a->m[3] * src[2 * i] + (double)a->m[4] * src[2 * i + 1] + a->m[5] - dst[2 * i + 1];
        sum += x * x + y * y;
    }
    return sum;
}

static void similarity_is_the_least_squares_one(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        float src[10], dst[10];
        for (int i = 0; i < 10; i++) {
            src[i] = rnd_float(0, 100);
            dst[i] = round % 2 ? rnd_float(0, 100) : src[i] * 1.5f + rnd_float(-5, 5);
        }
        struct mien_affine a;
        assert_int_equal(mien_similarity(src, dst, 5, &a, NULL), MIEN_OK);
        near_to(a.m[0], a.m[4], 0); /* a similarity, not mirrored */
        near_to(a.m[1], -a.m[3], 0);
        double best = residual(&a, src, dst, 5);
        for (int k = 0; k < 40; k++) {
            float c = a.m[0] + rnd_float(-0.02f, 0.02f), s = a.m[3] + rnd_float(-0.02f, 0.02f);
            struct mien_affine b = {{c, -s, a.m[2] + rnd_float(-0.5f, 0.5f), s, c, a.m[5] + rnd_float(-0.5f, 0.5f)}};
            assert_true(residual(&b, src, dst, 5) >= best - 1e-3);
        }
    }
}

static void similarity_refuses_points_that_coincide(void **state)
{
    (void)state;
    const float same[] = {3, 4, 3, 4, 3, 4}, ok[] = {0, 0, 1, 0, 0, 1}, bad[] = {0, 0, NAN, 0, 0, 1};
    struct mien_affine a;
    assert_int_equal(mien_similarity(same, ok, 3, &a, NULL), MIEN_E_ARG);
    assert_int_equal(mien_similarity(ok, same, 3, &a, NULL), MIEN_E_ARG);
    assert_int_equal(mien_similarity(ok, ok, 1, &a, NULL), MIEN_E_ARG);
    assert_int_equal(mien_similarity(bad, ok, 3, &a, NULL), MIEN_E_ARG);
    assert_int_equal(mien_similarity(ok, ok, 3, &a, NULL), MIEN_OK);
}

/* ---- warp ---- */

static void warp_is_exact_on_a_ramp(void **state)
{
    (void)state;
    struct mien_image im = ramp(60, 50, 5, 2, 1);
    struct mien_affine a = {{0.7f, 0.3f, 4.25f, -0.2f, 0.8f, 9.5f}};
    int w = 40, h = 30;
    float *t = tensor(w, h, 3);
    mien_warp_affine(&im, &a, w, h, MIEN_BORDER_ZERO, &PLAIN, t);
    for (int v = 0; v < h; v++) {
        for (int u = 0; u < w; u++) {
            float x, y;
            mien_affine_apply(&a, (float)u, (float)v, &x, &y);
            for (int c = 0; c < 3; c++) near_to(t[3 * (v * w + u) + c], 5 + 10 * c + 2.0 * x + y, 0.01);
        }
    }
    release(t, w, h, 3);
    mien_image_free(&im);
}

static void warp_orders_and_scales_channels(void **state)
{
    (void)state;
    struct mien_image im = make(4, 4);
    for (int i = 0; i < 16; i++) memcpy(im.px + 3 * i, (uint8_t[3]){10, 20, 40}, 3);
    struct mien_affine id = {{1, 0, 0, 0, 1, 0}};
    float bgr[4 * 4 * 3], gray[16];
    mien_warp_affine(&im, &id, 4, 4, MIEN_BORDER_REPLICATE, &(struct mien_tensor_spec){MIEN_BGR, {1, 2, 3}, {0.5f, 1, 2}}, bgr);
    mien_warp_affine(&im, &id, 4, 4, MIEN_BORDER_REPLICATE, &(struct mien_tensor_spec){MIEN_GRAY, {1, 0, 0}, {2, 0, 0}}, gray);
    for (int i = 0; i < 16; i++) {
        near_to(bgr[3 * i], (40 - 1) * 0.5, 1e-4);
        near_to(bgr[3 * i + 1], 20 - 2, 1e-4);
        near_to(bgr[3 * i + 2], (10 - 3) * 2, 1e-4);
        near_to(gray[i], (0.299 * 10 + 0.587 * 20 + 0.114 * 40 - 1) * 2, 1e-3);
    }
    mien_image_free(&im);
}

/* Pixel that a border rule puts at i of a line of n; -1 black. Written independently: walks step by step. */
static int walked_index(int i, int n, enum mien_border border)
{
    if (border == MIEN_BORDER_ZERO) return i < 0 || i >= n ? -1 : i;
    if (border == MIEN_BORDER_REPLICATE) return i < 0 ? 0 : i >= n ? n - 1 : i;
    if (n == 1) return 0;
    while (i < 0 || i >= n) i = i < 0 ? -i : 2 * (n - 1) - i;
    return i;
}

static void whole_shifts_show_the_border_rules(void **state)
{
    (void)state;
    const int sizes[][2] = {{7, 5}, {1, 1}, {2, 2}, {1, 6}, {9, 1}, {3, 3}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct mien_image im = noise(sizes[s][0], sizes[s][1]);
        for (int border = 0; border < 3; border++) {
            struct mien_affine shift = {{1, 0, -20, 0, 1, -15}};
            int w = 45, h = 33;
            float *t = tensor(w, h, 3), *r = tensor(w, h, 3);
            mien_warp_affine(&im, &shift, w, h, (enum mien_border)border, &PLAIN, t);
            assert_int_equal(mien_crop_resize(&im, -20, -15, 25, 18, w, h, MIEN_BILINEAR, (enum mien_border)border, &PLAIN, r, NULL), MIEN_OK);
            for (int v = 0; v < h; v++) {
                for (int u = 0; u < w; u++) {
                    int x = walked_index(u - 20, im.width, (enum mien_border)border), y = walked_index(v - 15, im.height, (enum mien_border)border);
                    for (int c = 0; c < 3; c++) {
                        float want = x < 0 || y < 0 ? 0 : im.px[(size_t)y * im.stride + (size_t)(3 * x + c)];
                        near_to(t[3 * (v * w + u) + c], want, 1e-3);
                        near_to(r[3 * (v * w + u) + c], want, 1e-3);
                    }
                }
            }
            release(t, w, h, 3);
            release(r, w, h, 3);
        }
        mien_image_free(&im);
    }
}

static void wild_maps_are_harmless(void **state)
{
    (void)state;
    struct mien_image im = noise(20, 10);
    const float wild[] = {0, 1e-20f, 1, -1, 1e6f, -1e9f, 1e30f, -3e38f, INFINITY, -INFINITY, NAN};
    size_t n = sizeof wild / sizeof *wild;
    for (int i = 0; i < 3000; i++) {
        struct mien_affine a;
        for (int k = 0; k < 6; k++) a.m[k] = wild[rnd() % n];
        float *t = tensor(17, 3, 3);
        mien_warp_affine(&im, &a, 17, 3, (enum mien_border)(rnd() % 3), &PLAIN, t);
        release(t, 17, 3, 3);
        float *r = tensor(9, 4, 3);
        if (mien_crop_resize(&im, a.m[0], a.m[1], a.m[2], a.m[3], 9, 4, (enum mien_filter)(rnd() % 3),
                             (enum mien_border)(rnd() % 3), &PLAIN, r, NULL) == MIEN_OK) release(r, 9, 4, 3);
        else free(r - 8);
        mien_laplacian_variance(&im, (struct mien_rect){(int)rnd(), (int)rnd(), (int)rnd(), (int)rnd()});
        mien_draw_rect(&im, a.m[0], a.m[1], a.m[2], a.m[3], (int)(rnd() % 5), (const uint8_t[3]){1, 2, 3});
        mien_draw_dot(&im, a.m[4], a.m[5], (int)(rnd() % 5), (const uint8_t[3]){1, 2, 3});
    }
    mien_image_free(&im);
}

/* ---- resizing ---- */

static void bilinear_is_exact_on_a_ramp(void **state)
{
    (void)state;
    struct mien_image im = ramp(50, 40, 3, 2, 2);
    const int sizes[][2] = {{80, 100}, {25, 20}, {33, 47}, {50, 40}};
    for (size_t s = 0; s < 4; s++) {
        int w = sizes[s][0], h = sizes[s][1];
        float *t = tensor(w, h, 3);
        assert_int_equal(mien_crop_resize(&im, 0, 0, 50, 40, w, h, MIEN_BILINEAR, MIEN_BORDER_REPLICATE, &PLAIN, t, NULL), MIEN_OK);
        for (int v = 0; v < h; v++) {
            for (int u = 0; u < w; u++) {
                /* half-pixel centres, held at the edge */
                double x = fmin(fmax((u + 0.5) * 50 / w - 0.5, 0), 49), y = fmin(fmax((v + 0.5) * 40 / h - 0.5, 0), 39);
                for (int c = 0; c < 3; c++) near_to(t[3 * (v * w + u) + c], 3 + 10 * c + 2 * x + 2 * y, 0.01);
            }
        }
        release(t, w, h, 3);
    }
    mien_image_free(&im);
}

/* Exact mean over the box of source area that output pixel (u, v) covers. */
static double box_mean(const struct mien_image *im, double x0, double x1, double y0, double y1, int c)
{
    double sum = 0;
    for (int y = (int)floor(y0); y < y1; y++) {
        for (int x = (int)floor(x0); x < x1; x++) {
            double area = (fmin(x + 1, x1) - fmax(x, x0)) * (fmin(y + 1, y1) - fmax(y, y0));
            sum += area * im->px[(size_t)y * im->stride + (size_t)(3 * x + c)];
        }
    }
    return sum / ((x1 - x0) * (y1 - y0));
}

static void area_is_the_mean_of_what_a_pixel_covers(void **state)
{
    (void)state;
    struct mien_image im = noise(300, 170);
    const int sizes[][2] = {{100, 85}, {37, 19}, {1, 1}, {299, 5}, {300, 170}};
    for (size_t s = 0; s < 5; s++) {
        int w = sizes[s][0], h = sizes[s][1];
        float *t = tensor(w, h, 3);
        assert_int_equal(mien_crop_resize(&im, 0, 0, 300, 170, w, h, MIEN_AREA_OR_LANCZOS, MIEN_BORDER_ZERO, &PLAIN, t, NULL), MIEN_OK);
        for (int v = 0; v < h; v++) {
            for (int u = 0; u < w; u++) {
                double rx = 300.0 / w, ry = 170.0 / h;
                for (int c = 0; c < 3; c++) near_to(t[3 * (v * w + u) + c], box_mean(&im, u * rx, (u + 1) * rx, v * ry, (v + 1) * ry, c), 0.02);
            }
        }
        release(t, w, h, 3);
    }
    mien_image_free(&im);
}

static void lanczos_keeps_flat_parts_and_overshoots_edges_within_bounds(void **state)
{
    (void)state;
    struct mien_image im = make(40, 20); /* left half 50, right half 200 */
    for (int i = 0; i < 40 * 20 * 3; i++) im.px[i] = i / 3 % 40 < 20 ? 50 : 200;
    int w = 160, h = 80;
    float *t = tensor(w, h, 3);
    assert_int_equal(mien_crop_resize(&im, 0, 0, 40, 20, w, h, MIEN_AREA_OR_LANCZOS, MIEN_BORDER_REPLICATE, &PLAIN, t, NULL), MIEN_OK);
    float low = 255, high = 0;
    for (int u = 0; u < w; u++) {
        float v = t[3 * (40 * w + u)];
        if (u < 60) near_to(v, 50, 0.01);
        if (u >= 100) near_to(v, 200, 0.01);
        near_to(v + t[3 * (40 * w + w - 1 - u)], 250, 0.01); /* symmetric about the edge */
        low = fminf(low, v);
        high = fmaxf(high, v);
    }
    assert_true(low < 45 && low > 25);
    assert_true(high > 205 && high < 225);
    release(t, w, h, 3);
    mien_image_free(&im);
}

static void a_crop_reads_nothing_outside_its_rectangle(void **state)
{
    (void)state;
    struct mien_image im = make(30, 30);
    memset(im.px, 255, 2700);
    for (int y = 10; y < 20; y++) memset(im.px + (size_t)y * im.stride + 30, 7, 30);
    for (int f = 0; f < 3; f++) {
        for (int n = 3; n < 64; n += 20) {
            float *t = tensor(n, n, 3);
            assert_int_equal(mien_crop_resize(&im, 10, 10, 20, 20, n, n, (enum mien_filter)f, MIEN_BORDER_ZERO, &PLAIN, t, NULL), MIEN_OK);
            for (int i = 0; i < n * n * 3; i++) near_to(t[i], 7, 1e-3);
            release(t, n, n, 3);
        }
    }
    assert_int_equal(mien_crop_resize(&im, 10, 10, 10, 20, 4, 4, MIEN_BILINEAR, MIEN_BORDER_ZERO, &PLAIN, (float[48]){0}, NULL), MIEN_E_ARG);
    assert_int_equal(mien_crop_resize(&im, 10, 10, NAN, 20, 4, 4, MIEN_BILINEAR, MIEN_BORDER_ZERO, &PLAIN, (float[48]){0}, NULL), MIEN_E_ARG);
    mien_image_free(&im);
}

static void letterbox_fits_pads_and_says_the_scale(void **state)
{
    (void)state;
    const struct mien_tensor_spec spec = {MIEN_BGR, {127.5f, 127.5f, 127.5f}, {1 / 128.0f, 1 / 128.0f, 1 / 128.0f}};
    const int cases[][4] = {{1600, 1200, 640, 480}, {100, 50, 640, 320}, {50, 100, 320, 640}, {5000, 3, 640, 1}, {640, 640, 640, 640}, {2, 2000, 1, 640}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mien_image im = make(cases[i][0], cases[i][1]);
        memset(im.px, 200, im.stride * (size_t)im.height);
        float *t = tensor(640, 640, 3), scale = 0;
        mien_letterbox(&im, 640, 640, &spec, t, &scale);
        near_to(scale, fmin(640.0 / im.width, 640.0 / im.height), 1e-6);
        for (int y = 0; y < 640; y++) {
            for (int x = 0; x < 640; x++) {
                bool inside = x < cases[i][2] && y < cases[i][3];
                near_to(t[3 * (y * 640 + x) + 1], ((inside ? 200 : 0) - 127.5) / 128, 1e-4);
            }
        }
        release(t, 640, 640, 3);
        mien_image_free(&im);
    }
}

static void letterbox_keeps_positions(void **state)
{
    (void)state;
    /* the centre of a bright square stays where scale says, averaged or interpolated */
    for (int size = 300; size <= 2700; size += 800) {
        struct mien_image im = make(size, size);
        memset(im.px, 0, im.stride * (size_t)size);
        int x0 = size / 3, x1 = size / 2;
        for (int y = x0; y < x1; y++) memset(im.px + (size_t)y * im.stride + 3 * (size_t)x0, 255, 3 * (size_t)(x1 - x0));
        float *t = tensor(320, 320, 3), scale;
        mien_letterbox(&im, 320, 320, &PLAIN, t, &scale);
        double sum = 0, sx = 0, sy = 0;
        for (int i = 0; i < 320 * 320; i++) {
            sum += t[3 * i];
            sx += t[3 * i] * (i % 320 + 0.5);
            sy += t[3 * i] * (i / 320 + 0.5);
        }
        near_to(sx / sum, (x0 + x1) / 2.0 * scale, 0.02);
        near_to(sy / sum, (x0 + x1) / 2.0 * scale, 0.02);
        near_to(sum / 255, pow((x1 - x0) * (double)scale, 2), 2);
        release(t, 320, 320, 3);
        mien_image_free(&im);
    }
}

/* ---- fast and slow loops ---- */

static void compare(const float *a, const float *b, int n)
{
    for (int i = 0; i < n; i++) near_to(a[i], b[i], 0.01);
}

static void fast_loops_agree_with_the_reference(void **state)
{
    (void)state;
    if ((mien_cpu_flags() & MIEN_CPU_AVX2) == 0) skip();
    for (int round = 0; round < 60; round++) {
        struct mien_image im = noise(1 + (int)(rnd() % 200), 1 + (int)(rnd() % 200));
        struct mien_affine a = {{rnd_float(-2, 2), rnd_float(-2, 2), rnd_float(0, (float)im.width),
                                 rnd_float(-2, 2), rnd_float(-2, 2), rnd_float(0, (float)im.height)}};
        int w = 1 + (int)(rnd() % 150), h = 1 + (int)(rnd() % 90), c = round % 3 == 2 ? 1 : 3;
        struct mien_tensor_spec spec = {(enum mien_channels)(round % 3), {rnd_float(0, 9), 2, 3}, {1, rnd_float(0.5f, 1), 0.25f}};
        float edge[4] = {rnd_float(-50, 50), rnd_float(-50, 50), rnd_float(60, 300), rnd_float(60, 300)};
        enum mien_border border = (enum mien_border)(rnd() % 3);
        enum mien_filter filter = (enum mien_filter)(rnd() % 3);
        float *t[2][3];
        for (int fast = 0; fast < 2; fast++) {
            mien_cpu_set_mask(fast ? ~0u : 0);
            for (int i = 0; i < 3; i++) t[fast][i] = tensor(w, h, c);
            mien_warp_affine(&im, &a, w, h, border, &spec, t[fast][0]);
            mien_letterbox(&im, w, h, &spec, t[fast][1], NULL);
            assert_int_equal(mien_crop_resize(&im, edge[0], edge[1], edge[2], edge[3], w, h, filter, border, &spec, t[fast][2], NULL), MIEN_OK);
        }
        for (int i = 0; i < 3; i++) {
            compare(t[0][i], t[1][i], w * h * c);
            release(t[0][i], w, h, c);
            release(t[1][i], w, h, c);
        }
        mien_image_free(&im);
    }
}

/* ---- sharpness, drawing ---- */

static void laplacian_variance_of_known_pictures(void **state)
{
    (void)state;
    struct mien_image flat = ramp(1200, 9, 20, 0, 3); /* linear: second derivative is 0 */
    near_to(mien_laplacian_variance(&flat, (struct mien_rect){0, 0, 1200, 9}), 0, 1.5); /* rounding of gray only */
    mien_image_free(&flat);
    struct mien_image board = make(1100, 12); /* 0/100 chessboard: the Laplacian is +-400 everywhere */
    for (int i = 0; i < 1100 * 12; i++) memset(board.px + 3 * i, (i % 1100 + i / 1100) % 2 * 100, 3);
    near_to(mien_laplacian_variance(&board, (struct mien_rect){-5, -5, 5000, 5000}), 160000, 1);
    near_to(mien_laplacian_variance(&board, (struct mien_rect){3, 3, 4, 4}), 160000, 1);
    near_to(mien_laplacian_variance(&board, (struct mien_rect){3, 3, 2, 9}), 0, 0);
    near_to(mien_laplacian_variance(&board, (struct mien_rect){1098, 0, 9, 9}), 0, 0);
    mien_image_free(&board);
}

static int count_red(const struct mien_image *im)
{
    int n = 0;
    for (int i = 0; i < im->width * im->height; i++) n += im->px[3 * i] == 255;
    return n;
}

static void marks_stay_inside(void **state)
{
    (void)state;
    const uint8_t red[3] = {255, 0, 0};
    struct mien_image im = make(20, 20);
    memset(im.px, 0, 1200);
    mien_draw_rect(&im, 5, 5, 15, 15, 1, red);
    assert_int_equal(count_red(&im), 36);
    assert_int_equal(im.px[(5 * 20 + 5) * 3], 255);
    assert_int_equal(im.px[(14 * 20 + 14) * 3], 255);
    assert_int_equal(im.px[(15 * 20 + 15) * 3], 0);
    memset(im.px, 0, 1200);
    mien_draw_dot(&im, 10, 10, 0, red);
    assert_int_equal(count_red(&im), 1);
    mien_draw_dot(&im, 10, 10, 1, red);
    assert_int_equal(count_red(&im), 9);
    memset(im.px, 0, 1200);
    mien_draw_rect(&im, -5, -5, 100, 100, 3, red);
    assert_int_equal(count_red(&im), 0);
    mien_draw_rect(&im, -5, -5, 100, 5, 3, red);
    assert_int_equal(count_red(&im), 60);
    mien_image_free(&im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inverse_undoes),
        cmocka_unit_test(similarity_finds_a_hand_made_transform),
        cmocka_unit_test(similarity_is_the_least_squares_one),
        cmocka_unit_test(similarity_refuses_points_that_coincide),
        cmocka_unit_test(warp_is_exact_on_a_ramp),
        cmocka_unit_test(warp_orders_and_scales_channels),
        cmocka_unit_test(whole_shifts_show_the_border_rules),
        cmocka_unit_test(wild_maps_are_harmless),
        cmocka_unit_test(bilinear_is_exact_on_a_ramp),
        cmocka_unit_test(area_is_the_mean_of_what_a_pixel_covers),
        cmocka_unit_test(lanczos_keeps_flat_parts_and_overshoots_edges_within_bounds),
        cmocka_unit_test(a_crop_reads_nothing_outside_its_rectangle),
        cmocka_unit_test(letterbox_fits_pads_and_says_the_scale),
        cmocka_unit_test(letterbox_keeps_positions),
        cmocka_unit_test(fast_loops_agree_with_the_reference),
        cmocka_unit_test(laplacian_variance_of_known_pictures),
        cmocka_unit_test(marks_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
