/* Every vector version of every kernel against the scalar reference.
 *
 * One table of cases; each case is tried with each instruction set of this processor over random sizes (0, 1, odd tails),
 * unaligned pointers, in place and not, on buffers with canaries around them. The seed is fixed;
 * MIEN_TEST_SEED sets another. */
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
#include "engine/kernels.h"

enum { MAX_ELEMS = 4096, MARGIN = 64, TRIALS = 60 };

static uint64_t rng_state;

static uint32_t rnd(void) /* splitmix64 */
{
    uint64_t z = rng_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z ^ z >> 31);
}

static size_t below(size_t n) { return rnd() % n; }
static float rnd_f32(float limit) { return ((float)(rnd() >> 8) / 8388608.0f - 1) * limit; }

static float from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static const uint32_t special_bits[] = {
    0x00000000, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc12345, 0x7f800001, 0x00000001, 0x807fffff, 0x00800000,
    0x7f7fffff, 0xff7fffff, 0x7f7f8000, 0x3f808000, 0x3f818000, 0x3f807fff, 0x3f808001, 0x7fbfffff, 0x00008000, 0x00018000};
enum { SPECIALS = sizeof special_bits / sizeof special_bits[0] };

/* A buffer with canaries on both sides, at an odd element offset. */
struct guarded {
    unsigned char raw[MAX_ELEMS * 4 + 4 * MARGIN];
    unsigned char *at;
    size_t bytes;
};

static void *guard(struct guarded *g, size_t n, size_t elem)
{
    assert_true(n * elem <= MAX_ELEMS * 4);
    memset(g->raw, 0xa5, sizeof g->raw);
    g->at = g->raw + MARGIN + below(16) * elem;
    g->bytes = n * elem;
    return g->at;
}

static void unharmed(const struct guarded *g)
{
    const unsigned char *end = g->raw + sizeof g->raw;
    for (const unsigned char *p = g->raw; p < g->at; p++) assert_int_equal(*p, 0xa5);
    for (const unsigned char *p = g->at + g->bytes; p < end; p++) assert_int_equal(*p, 0xa5);
}

struct tolerance {
    float relative, absolute;
};
static const struct tolerance exact = {0, 0};
static const struct tolerance contracted = {1e-6f, 4e-6f}; /* a multiply and an add may round once or twice */

static bool close_to(float got, float want, struct tolerance t)
{
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got);
    if (got == want) return true; /* infinities, and zeros of either sign */
    return fabsf(got - want) <= t.absolute + t.relative * fabsf(want);
}

/* bf16: equal, or for inexact operators the neighbour; VCVTNEPS2BF16 turns denormals into zero. */
static bool close_bf16(uint16_t got, uint16_t want, struct tolerance t)
{
    float g = mien_bf16_to_f32(got), w = mien_bf16_to_f32(want);
    if (fabsf(g) < 1.2e-38f && fabsf(w) < 1.2e-38f) return true;
    if (t.relative > 0 || t.absolute > 0) t.relative += 0.0079f;
    return close_to(g, w, t);
}

static void check_f32(const float *got, const float *want, size_t n, struct tolerance t)
{
    for (size_t i = 0; i < n; i++)
        if (!close_to(got[i], want[i], t)) fail_msg("element %zu of %zu: %.9g, reference %.9g", i, n, (double)got[i], (double)want[i]);
}

static void check_bf16(const uint16_t *got, const uint16_t *want, size_t n, struct tolerance t)
{
    for (size_t i = 0; i < n; i++)
        if (!close_bf16(got[i], want[i], t)) fail_msg("element %zu of %zu: %04x, reference %04x", i, n, got[i], want[i]);
}

static void fill(void *p, size_t n, bool half, float limit, bool specials)
{
    for (size_t i = 0; i < n; i++) {
        float v = specials && below(8) == 0 ? from_bits(special_bits[below(SPECIALS)]) : rnd_f32(limit);
        if (half) ((uint16_t *)p)[i] = mien_bf16_from_f32(v);
        else ((float *)p)[i] = v;
    }
}

static size_t some_size(void)
{
    static const size_t often[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65};
    return below(2) ? often[below(sizeof often / sizeof often[0])] : below(900);
}

static const struct mien_kernels *kernels, *reference;
static struct guarded out, in1, in2, in3, ref_out;

/* Sizes of a rows x channels case. */
static size_t some_rows(size_t *channels)
{
    static const size_t often[] = {1, 2, 3, 5, 8, 10, 16, 17, 24, 32, 40, 57, 63, 64, 65, 103, 128};
    *channels = below(4) ? often[below(sizeof often / sizeof often[0])] : below(300);
    size_t most = *channels != 0 ? MAX_ELEMS / *channels : 50;
    return below(5) == 0 ? below(3) : below(most < 200 ? most : 200);
}

static void check_out(size_t n, bool half, struct tolerance t)
{
    if (half) check_bf16((const uint16_t *)(const void *)out.at, (const uint16_t *)(const void *)ref_out.at, n, t);
    else check_f32((const float *)(const void *)out.at, (const float *)(const void *)ref_out.at, n, t);
    unharmed(&out);
}

static size_t size_of(bool half) { return half ? 2 : 4; }

/* Prepares out and ref_out as copies of the input when the kernel works in place. */
static void in_place_copy(const void *x, size_t n, bool half)
{
    memcpy(guard(&out, n, size_of(half)), x, n * size_of(half));
    memcpy(guard(&ref_out, n, size_of(half)), x, n * size_of(half));
}

static void try_to_bf16(int op)
{
    (void)op;
    size_t n = some_size();
    float *x = guard(&in1, n, 4);
    uint16_t *y = guard(&out, n, 2), *want = guard(&ref_out, n, 2);
    for (size_t i = 0; i < n; i++) x[i] = from_bits(below(3) ? rnd() : special_bits[below(SPECIALS)]);
    kernels->f32_to_bf16(y, x, n);
    reference->f32_to_bf16(want, x, n);
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i])) assert_int_equal(y[i] & 0x7fc0, 0x7fc0); /* quiet NaN */
        else if (fabsf(x[i]) >= 1.2e-38f || y[i] != (want[i] & 0x8000)) assert_int_equal(y[i], want[i]);
    }
    unharmed(&out);
    unharmed(&in1);
}

static void try_from_bf16(int op)
{
    (void)op;
    size_t n = some_size();
    uint16_t *x = guard(&in1, n, 2);
    float *y = guard(&out, n, 4), *want = guard(&ref_out, n, 4);
    for (size_t i = 0; i < n; i++) x[i] = (uint16_t)rnd();
    kernels->bf16_to_f32(y, x, n);
    reference->bf16_to_f32(want, x, n);
    assert_memory_equal(y, want, n * 4);
    unharmed(&out);
}

static void try_prelu(int half)
{
    size_t channels, rows = some_rows(&channels), n = rows * channels;
    float *slope = guard(&in2, channels, 4);
    void *x = guard(&in1, n, size_of(half));
    fill(x, n, half, 4, below(4) == 0);
    fill(slope, channels, false, 1, false);
    in_place_copy(x, n, half);
    if (half) {
        kernels->prelu_bf16((uint16_t *)(void *)out.at, slope, rows, channels);
        reference->prelu_bf16((uint16_t *)(void *)ref_out.at, slope, rows, channels);
    } else {
        kernels->prelu_f32((float *)(void *)out.at, slope, rows, channels);
        reference->prelu_f32((float *)(void *)ref_out.at, slope, rows, channels);
    }
    check_out(n, half, exact);
}

static void try_add_prelu(int half)
{
    size_t channels, rows = some_rows(&channels), n = rows * channels;
    void *x = guard(&in1, n, size_of(half)), *r = guard(&in2, n, size_of(half));
    float *slope = guard(&in3, channels, 4), *used = below(4) ? slope : NULL;
    fill(x, n, half, 4, below(4) == 0);
    fill(r, n, half, 4, false);
    fill(slope, channels, false, 1, false);
    size_t where = below(3); /* dst apart, dst = x, dst = r */
    in_place_copy(where == 2 ? r : x, n, half);
    void *a = where == 1 ? out.at : x, *b = where == 2 ? out.at : r, *to = ref_out.at;
    if (half) {
        kernels->add_prelu_bf16((uint16_t *)(void *)out.at, a, b, used, rows, channels);
        reference->add_prelu_bf16(to, x, r, used, rows, channels);
    } else {
        kernels->add_prelu_f32((float *)(void *)out.at, a, b, used, rows, channels);
        reference->add_prelu_f32(to, x, r, used, rows, channels);
    }
    check_out(n, half, exact);
}

static void try_affine(int half)
{
    size_t channels, rows = some_rows(&channels), n = rows * channels;
    void *x = guard(&in1, n, size_of(half)), *to = ref_out.at;
    float *scale = guard(&in2, channels, 4), *shift = guard(&in3, channels, 4);
    fill(x, n, half, 4, below(4) == 0);
    fill(scale, channels, false, 2, false);
    fill(shift, channels, false, 2, false);
    in_place_copy(x, n, half);
    to = ref_out.at;
    void *from = below(2) ? out.at : x;
    if (half) {
        kernels->affine_bf16((uint16_t *)(void *)out.at, from, scale, shift, rows, channels);
        reference->affine_bf16(to, x, scale, shift, rows, channels);
    } else {
        kernels->affine_f32((float *)(void *)out.at, from, scale, shift, rows, channels);
        reference->affine_f32(to, x, scale, shift, rows, channels);
    }
    check_out(n, half, contracted);
}

static void try_scale(int half)
{
    size_t channels, rows = some_rows(&channels);
    if (below(10) == 0) channels = 1000 + below(1000), rows = 2;
    size_t n = rows * channels;
    void *x = guard(&in1, n, size_of(half)), *s = guard(&in2, channels, size_of(half));
    fill(x, n, half, 4, below(4) == 0);
    fill(s, channels, half, 2, false);
    in_place_copy(x, n, half);
    void *from = below(2) ? out.at : x, *to = ref_out.at;
    if (half) {
        kernels->scale_channels_bf16((uint16_t *)(void *)out.at, from, s, rows, channels);
        reference->scale_channels_bf16(to, x, s, rows, channels);
    } else {
        kernels->scale_channels_f32((float *)(void *)out.at, from, s, rows, channels);
        reference->scale_channels_f32(to, x, s, rows, channels);
    }
    check_out(n, half, exact);
}

static struct tolerance unary_tolerance(enum mien_unary op)
{
    switch (op) {
    case MIEN_U_SIGMOID: case MIEN_U_TANH: case MIEN_U_SWISH: case MIEN_U_EXP: return (struct tolerance){1e-6f, 3e-45f};
    case MIEN_U_HARDSWISH: case MIEN_U_HARDSIGMOID: return contracted;
    case MIEN_U_ELU: return (struct tolerance){1e-6f, 3e-7f}; /* e^x - 1 cancels near 0 */
    default: return exact;
    }
}

static void try_unary(int op)
{
    static const float limits[] = {0.7f, 4, 30, 120};
    bool half = op >= MIEN_U_COUNT;
    enum mien_unary u = (enum mien_unary)(op % MIEN_U_COUNT);
    size_t n = some_size();
    float a = u == MIEN_U_CLIP ? -1.5f : 0.25f, b = u == MIEN_U_CLIP ? 3 : 0.5f;
    void *x = guard(&in1, n, size_of(half)), *to;
    fill(x, n, half, limits[below(4)], below(3) == 0);
    in_place_copy(x, n, half);
    void *from = below(2) ? out.at : x;
    to = ref_out.at;
    if (half) {
        kernels->unary_bf16(u, (uint16_t *)(void *)out.at, from, n, a, b);
        reference->unary_bf16(u, to, x, n, a, b);
    } else {
        kernels->unary(u, (float *)(void *)out.at, from, n, a, b);
        reference->unary(u, to, x, n, a, b);
    }
    check_out(n, half, unary_tolerance(u));
}

static void try_binary(int op)
{
    bool half = op >= MIEN_B_COUNT;
    enum mien_binary b = (enum mien_binary)(op % MIEN_B_COUNT);
    size_t n = some_size();
    int xs = below(3) != 0, ys = below(3) != 0;
    void *x = guard(&in1, xs || n == 0 ? n : 1, size_of(half)), *y = guard(&in2, ys || n == 0 ? n : 1, size_of(half));
    fill(x, xs || n == 0 ? n : 1, half, 4, below(4) == 0);
    fill(y, ys || n == 0 ? n : 1, half, 4, below(4) == 0);
    void *from_x = x, *from_y = y;
    void *got = guard(&out, n, size_of(half)), *to = guard(&ref_out, n, size_of(half));
    if (n > 0 && below(2)) { /* in place on x, which may be the repeated operand */
        memcpy(got, x, (xs ? n : 1) * size_of(half));
        from_x = got;
    } else if (n > 0 && below(2)) {
        memcpy(got, y, (ys ? n : 1) * size_of(half));
        from_y = got;
    }
    if (half) {
        kernels->binary_bf16(b, got, from_x, xs, from_y, ys, n);
        reference->binary_bf16(b, to, x, xs, y, ys, n);
    } else {
        kernels->binary(b, got, from_x, xs, from_y, ys, n);
        reference->binary(b, to, x, xs, y, ys, n);
    }
    check_out(n, half, exact);
}

static void try_softmax(int op)
{
    (void)op;
    size_t outer = below(20), n = below(2) ? 1 + below(5) : below(60), inner = below(2) ? 1 : below(40);
    while (outer * n * inner > MAX_ELEMS) inner /= 2, outer /= 2;
    size_t count = outer * n * inner;
    float *x = guard(&in1, count, 4);
    fill(x, count, false, below(2) ? 3 : 150, false);
    in_place_copy(x, count, false);
    kernels->softmax((float *)(void *)out.at, below(2) ? (float *)(void *)out.at : x, outer, n, inner);
    reference->softmax((float *)(void *)ref_out.at, x, outer, n, inner);
    check_out(count, false, (struct tolerance){4e-6f, 1e-37f});
}

static void try_upsample(int op)
{
    (void)op;
    size_t h = below(5), w = below(6), c = below(20), fh = 1 + below(3), fw = 1 + below(3), elem = below(2) ? 2 : 4;
    size_t n = h * w * c * fh * fw;
    unsigned char *x = guard(&in1, h * w * c, elem), *y = guard(&out, n, elem);
    for (size_t i = 0; i < h * w * c * elem; i++) x[i] = (unsigned char)rnd();
    kernels->upsample_nearest(y, x, h, w, c, fh, fw, elem);
    for (size_t i = 0; i < n; i++) {
        size_t ch = i % c, ox = i / c % (w * fw), oy = i / c / (w * fw);
        assert_memory_equal(y + i * elem, x + ((oy / fh * w + ox / fw) * c + ch) * elem, elem);
    }
    unharmed(&out);
}

struct kernel_case {
    const char *name;
    void (*run)(int op);
    int from, to; /* values of op */
};
static const struct kernel_case cases[] = {
    {"f32_to_bf16", try_to_bf16, 0, 1}, {"bf16_to_f32", try_from_bf16, 0, 1},
    {"prelu_f32", try_prelu, 0, 1}, {"prelu_bf16", try_prelu, 1, 2},
    {"add_prelu_f32", try_add_prelu, 0, 1}, {"add_prelu_bf16", try_add_prelu, 1, 2},
    {"affine_f32", try_affine, 0, 1}, {"affine_bf16", try_affine, 1, 2},
    {"scale_channels_f32", try_scale, 0, 1}, {"scale_channels_bf16", try_scale, 1, 2},
    {"unary", try_unary, 0, MIEN_U_COUNT}, {"unary_bf16", try_unary, MIEN_U_COUNT, 2 * MIEN_U_COUNT},
    {"binary", try_binary, 0, MIEN_B_COUNT}, {"binary_bf16", try_binary, MIEN_B_COUNT, 2 * MIEN_B_COUNT},
    {"softmax", try_softmax, 0, 1}, {"upsample_nearest", try_upsample, 0, 1},
};
enum { CASES = sizeof cases / sizeof cases[0] };

struct version {
    const char *name;
    unsigned mask;
};
static const struct version versions[] = {
    {"scalar", 0},
    {"avx2", MIEN_CPU_AVX2},
    {"avx512", MIEN_CPU_AVX2 | MIEN_CPU_AVX512},
    {"avx512bf16", MIEN_CPU_AVX2 | MIEN_CPU_AVX512 | MIEN_CPU_AVX512_BF16},
};
enum { VERSIONS = sizeof versions / sizeof versions[0] };

struct job {
    const struct kernel_case *kernel;
    const struct version *version;
    uint64_t seed;
};

static void kernel_matches_reference(void **state)
{
    const struct job *j = *state;
    mien_cpu_set_mask(~0u);
    if ((mien_cpu_flags() & j->version->mask) != j->version->mask) {
        print_message("this processor has no %s\n", j->version->name);
        skip();
    }
    mien_cpu_set_mask(j->version->mask);
    kernels = mien_kernels_get();
    reference = mien_kernels_reference();
    mien_cpu_set_mask(~0u);
    assert_true((kernels == reference) == (j->version->mask == 0));
    for (int op = j->kernel->from; op < j->kernel->to; op++)
        for (int i = 0; i < TRIALS; i++) {
            rng_state = j->seed + (uint64_t)(op * TRIALS + i) * 1000003;
            j->kernel->run(op);
        }
}

/* The bounds the header promises for the transcendental kernels, over the whole range and against double precision. */
static void exponentials_are_accurate(void **state)
{
    (void)state;
    for (size_t v = 1; v < VERSIONS; v++) {
        mien_cpu_set_mask(~0u);
        if ((mien_cpu_flags() & versions[v].mask) != versions[v].mask) continue;
        mien_cpu_set_mask(versions[v].mask);
        const struct mien_kernels *k = mien_kernels_get();
        mien_cpu_set_mask(~0u);
        double worst[3] = {0, 0, 0};
        for (double at = -87; at < 88; at += 0.0137) {
            float x = (float)at, y[3];
            k->unary(MIEN_U_EXP, &y[0], &x, 1, 0, 0);
            k->unary(MIEN_U_SIGMOID, &y[1], &x, 1, 0, 0);
            k->unary(MIEN_U_TANH, &y[2], &x, 1, 0, 0);
            double d = (double)x, want[3] = {exp(d), 1 / (1 + exp(-d)), tanh(d)};
            for (int i = 0; i < 3; i++) worst[i] = fmax(worst[i], fabs((double)y[i] - want[i]) / fabs(want[i]));
        }
        for (int i = 0; i < 3; i++)
            if (worst[i] > 1e-6) fail_msg("%s, function %d: relative error %g", versions[v].name, i, worst[i]);
    }
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    assert_int_equal(mien_bf16_from_f32(1), 0x3f80);
    assert_int_equal(mien_bf16_from_f32(from_bits(0x3f808000)), 0x3f80); /* tie, even below */
    assert_int_equal(mien_bf16_from_f32(from_bits(0x3f818000)), 0x3f82); /* tie, even above */
    assert_int_equal(mien_bf16_from_f32(from_bits(0x3f808001)), 0x3f81);
    assert_int_equal(mien_bf16_from_f32(from_bits(0x7f7fffff)), 0x7f80); /* overflows to infinity */
    assert_int_equal(mien_bf16_from_f32(from_bits(0x7f800001)), 0x7fc0); /* signalling NaN stays a NaN, quiet */
    assert_int_equal(mien_bf16_from_f32(from_bits(0x80000001)), 0x8000);
    assert_true(mien_bf16_to_f32(0xc000) == -2.0f);
}

int main(void)
{
    const char *seed = getenv("MIEN_TEST_SEED");
    uint64_t base = seed != NULL ? strtoull(seed, NULL, 10) : 20240607;
    static struct CMUnitTest tests[CASES * VERSIONS + 2];
    static struct job jobs[CASES * VERSIONS];
    static char names[CASES * VERSIONS][48];
    size_t n = 0;
    for (size_t v = 0; v < VERSIONS; v++)
        for (size_t c = 0; c < CASES; c++, n++) {
            snprintf(names[n], sizeof names[n], "%s %s", versions[v].name, cases[c].name);
            jobs[n] = (struct job){&cases[c], &versions[v], base};
            tests[n] = (struct CMUnitTest){names[n], kernel_matches_reference, NULL, NULL, &jobs[n]};
        }
    tests[n++] = (struct CMUnitTest){"exponentials_are_accurate", exponentials_are_accurate, NULL, NULL, NULL};
    tests[n++] = (struct CMUnitTest){"bf16_rounds_to_nearest_even", bf16_rounds_to_nearest_even, NULL, NULL, NULL};
    return _cmocka_run_group_tests("kernels", tests, n, NULL, NULL);
}
