/* Winograd convolution against the direct sum: every version, odd sizes, channel tails, padding, residual, activation, canaries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "engine/kernels.h"
#include "engine/winograd.h"

static uint32_t seed = 1;
static float noise(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / 8388608.0f - 1.0f;
}

static void *aligned(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 127) & ~(size_t)63);
    assert_non_null(p);
    return memset(p, 0x7b, (bytes + 127) & ~(size_t)63);
}

struct data {
    float *src, *w, *bias, *residual, *slope;
};

static float direct(const struct mien_wino_shape *s, const struct data *d, int image, int o, int y, int x, float low, float high)
{
    double sum = (double)d->bias[o];
    for (int i = 0; i < s->ic; i++)
        for (int dy = 0; dy < 3; dy++)
            for (int dx = 0; dx < 3; dx++) {
                const int v = y + dy - s->pad_top, u = x + dx - s->pad_left;
                if (v < 0 || u < 0 || v >= s->h || u >= s->w) continue;
                sum += (double)d->src[((image * s->h + v) * s->w + u) * s->ic + i] * (double)d->w[(o * s->ic + i) * 9 + dy * 3 + dx];
            }
    if (d->residual != NULL) sum += (double)d->residual[((image * s->oh + y) * s->ow + x) * s->oc + o];
    if (d->slope != NULL && sum < 0) sum *= (double)d->slope[o];
    return fminf(fmaxf((float)sum, low), high);
}

static float *floats(size_t n, float scale, bool bf16)
{
    float *p = malloc((n + 1) * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        p[i] = noise() * scale;
        if (bf16) p[i] = mien_bf16_to_f32(mien_bf16_from_f32(p[i]));
    }
    return p;
}

/* Elements in the type of the shape; the caller frees. */
static void *typed(const float *x, size_t n, bool bf16)
{
    void *p = aligned(n * (bf16 ? 2 : 4));
    for (size_t i = 0; i < n; i++)
        if (bf16) ((uint16_t *)p)[i] = mien_bf16_from_f32(x[i]);
        else ((float *)p)[i] = x[i];
    return p;
}

static void check(struct mien_wino_shape s, int m, bool with_residual, bool with_slope, float low, float high)
{
    s.oh = s.h + 2 * s.pad_top - 2;
    s.ow = s.w + 2 * s.pad_left - 2;
    const size_t in = (size_t)(s.n * s.h * s.w * s.ic), out = (size_t)(s.n * s.oh * s.ow * s.oc), elem = s.bf16 ? 2 : 4;
    struct data d = {floats(in, 1, s.bf16), floats((size_t)(s.oc * s.ic * 9), 1.0f / sqrtf((float)s.ic * 9), false), floats((size_t)s.oc, 1, false),
                     with_residual ? floats(out, 1, s.bf16) : NULL, with_slope ? floats((size_t)s.oc, 0.3f, false) : NULL};
    void *src = typed(d.src, in, s.bf16), *residual = with_residual ? typed(d.residual, out, s.bf16) : NULL;
    void *packed = aligned(mien_wino_weight_bytes(&s, m)), *scratch = aligned(mien_wino_scratch_bytes(&s, m));
    unsigned char *dst = aligned(out * elem);
    mien_wino_pack(&s, m, d.w, packed);
    struct mien_wino_args a = {src, packed, d.bias, residual, d.slope, low, high, dst, scratch};
    mien_wino_run(&s, m, &a);
    const float bound = s.bf16 ? (m == 4 ? 0.12f : 0.03f) : 2e-5f;
    for (int image = 0; image < s.n; image++)
        for (int y = 0; y < s.oh; y++)
            for (int x = 0; x < s.ow; x++)
                for (int o = 0; o < s.oc; o += 3) {
                    const size_t at = (size_t)(((image * s.oh + y) * s.ow + x) * s.oc + o);
                    const float got = s.bf16 ? mien_bf16_to_f32(((uint16_t *)(void *)dst)[at]) : ((float *)(void *)dst)[at];
                    const float want = direct(&s, &d, image, o, y, x, low, high);
                    if (!(fabsf(got - want) <= bound))
                        fail_msg("F%d bf16=%d %dx%dx%d->%d at %d,%d,%d: %g, not %g", m, s.bf16, s.h, s.w, s.ic, s.oc, y, x, o, (double)got, (double)want);
                }
    for (size_t i = out * elem; i < ((out * elem + 127) & ~(size_t)63); i++) assert_int_equal(dst[i], 0x7b);
    const unsigned char *end = (unsigned char *)scratch + mien_wino_scratch_bytes(&s, m);
    for (int i = 0; i < 32; i++) assert_int_equal(end[i], 0x7b);
    free(d.src), free(d.w), free(d.bias), free(d.residual), free(d.slope);
    free(src), free(residual), free(packed), free(scratch), free(dst);
}

static void sweep(bool bf16)
{
    static const int sizes[][4] = {{12, 12, 16, 16}, {13, 11, 28, 28}, {10, 17, 3, 5}, {16, 16, 64, 48}, {5, 4, 33, 19}, {3, 3, 16, 16}, {40, 12, 17, 81}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int m = 2; m <= 4; m += 2) {
            struct mien_wino_shape s = {1 + (int)(i & 1), sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], 0, 0, 1, 1, bf16};
            check(s, m, false, false, -INFINITY, INFINITY);
            check(s, m, true, true, -INFINITY, INFINITY);
            s.pad_top = s.pad_left = 0;
            check(s, m, false, true, 0.0f, 0.5f);
        }
}

static void float32_versions_agree_with_the_direct_sum(void **state)
{
    (void)state;
    const unsigned masks[] = {0, MIEN_CPU_AVX2, ~0u};
    for (int i = 0; i < 3; i++) {
        mien_cpu_set_mask(masks[i]);
        sweep(false);
    }
    mien_cpu_set_mask(~0u);
}

static void bfloat16_agrees_with_the_direct_sum(void **state)
{
    (void)state;
    if (!(mien_cpu_flags() & MIEN_CPU_AVX512_BF16)) {
        print_message("this processor has no AVX512_BF16\n");
        skip();
    }
    sweep(true);
}

static void the_residual_may_be_the_destination(void **state)
{
    (void)state;
    struct mien_wino_shape s = {1, 14, 14, 16, 16, 14, 14, 1, 1, false};
    float *src = aligned(14 * 14 * 16 * 4), *a = aligned(14 * 14 * 16 * 4), *b = aligned(14 * 14 * 16 * 4), w[16 * 16 * 9];
    for (int i = 0; i < 14 * 14 * 16; i++) src[i] = noise(), a[i] = b[i] = noise();
    for (int i = 0; i < 16 * 16 * 9; i++) w[i] = noise();
    float *out = aligned(14 * 14 * 16 * 4);
    void *packed = aligned(mien_wino_weight_bytes(&s, 4)), *scratch = aligned(mien_wino_scratch_bytes(&s, 4));
    mien_wino_pack(&s, 4, w, packed);
    struct mien_wino_args one = {src, packed, NULL, a, NULL, -INFINITY, INFINITY, out, scratch}, two = one;
    two.residual = two.dst = b;
    mien_wino_run(&s, 4, &one);
    mien_wino_run(&s, 4, &two);
    assert_memory_equal(out, b, 14 * 14 * 16 * 4);
    free(src), free(a), free(b), free(out), free(packed), free(scratch);
}

static void small_pictures_and_matrix_units_take_the_direct_form(void **state)
{
    (void)state;
    struct mien_wino_shape s = {1, 7, 7, 512, 512, 7, 7, 1, 1, false};
    assert_int_equal(mien_wino_choose(&s), 0);
    s = (struct mien_wino_shape){1, 56, 56, 64, 64, 56, 56, 1, 1, false};
    mien_cpu_set_mask(0);
    assert_int_equal(mien_wino_choose(&s), 0);
    mien_cpu_set_mask(~0u);
    if (mien_cpu_flags() & MIEN_CPU_AVX2) assert_int_equal(mien_wino_choose(&s), 4);
    s.bf16 = true;
    if (mien_cpu_flags() & MIEN_CPU_AMX_BF16) assert_int_equal(mien_wino_choose(&s), 0);
    s.ic = 3;
    assert_int_equal(mien_wino_choose(&s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(float32_versions_agree_with_the_direct_sum),
        cmocka_unit_test(bfloat16_agrees_with_the_direct_sum),
        cmocka_unit_test(the_residual_may_be_the_destination),
        cmocka_unit_test(small_pictures_and_matrix_units_take_the_direct_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
