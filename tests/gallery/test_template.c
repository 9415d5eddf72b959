/* Half precision, user ids and templates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/cpu.h"
#include "gallery/half.h"
#include "gallery/template.h"

static const char KEY[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
static const unsigned MASKS[] = {0, ~0u};

/* ---- half precision ---- */

/* The value of a half by its definition. */
static double value_of(uint16_t h)
{
    const int exponent = h >> 10 & 31, mantissa = h & 0x3ff;
    const double magnitude = exponent == 0 ? ldexp(mantissa, -24) : exponent == 31 ? (mantissa != 0 ? NAN : INFINITY) : ldexp(1024 + mantissa, exponent - 25);
    return h & 0x8000 ? -magnitude : magnitude;
}

static void every_half_is_read_and_written_back(void **state)
{
    (void)state;
    static uint16_t all[65536], back[65536];
    static float f[65536];
    for (int i = 0; i < 65536; i++) all[i] = (uint16_t)i;
    for (int m = 0; m < 2; m++) {
        mien_cpu_set_mask(MASKS[m]);
        mien_half_to_float(all, f, 65536);
        mien_half_from_float(f, back, 65536);
        for (int i = 0; i < 65536; i++) {
            const double is = value_of(all[i]);
            if (isnan(is)) {
                assert_true(isnan(f[i]) && (back[i] & 0x7e00) == 0x7e00); /* made quiet */
            } else {
                assert_true((double)f[i] == is && !signbit(f[i]) == !signbit(is));
                assert_int_equal(back[i], all[i]);
            }
        }
    }
    mien_cpu_set_mask(~0u);
}

static void floats_round_to_the_nearest_half(void **state)
{
    (void)state;
    enum { N = 300007 };
    float *f = malloc(N * sizeof *f);
    uint16_t *h[2] = {malloc(N * 2), malloc(N * 2)};
    uint32_t r = 1;
    assert_true(f != NULL && h[0] != NULL && h[1] != NULL);
    for (int i = 0; i < N; i++) {
        r = r * 1664525u + 1013904223u;
        const uint32_t bits = i % 3 == 0 ? r : (r & 0x80ffffffu) | (0x33u + (r >> 24) % 0x16u) << 24; /* all floats, and those near halves */
        memcpy(&f[i], &bits, sizeof bits);
        if (i % 3 == 2) { /* exactly between two halves */
            uint32_t tie = (bits & 0xffffe000u) | 0x1000u;
            memcpy(&f[i], &tie, sizeof tie);
        }
    }
    for (int m = 0; m < 2; m++) {
        mien_cpu_set_mask(MASKS[m]);
        mien_half_from_float(f, h[m], N);
    }
    for (int i = 0; i < N; i++) {
        if (isnan(f[i])) continue;
        assert_int_equal(h[0][i], h[1][i]);
        const uint16_t x = (uint16_t)(h[0][i] & 0x7fff);
        const double is = fabs((double)f[i]), got = value_of(x), limit = 65520;
        if (is >= limit) {
            assert_true(isinf(got));
            continue;
        }
        const double down = x > 0 ? value_of((uint16_t)(x - 1)) : -1, up = x + 1 < 0x7c00 ? value_of((uint16_t)(x + 1)) : 65536;
        assert_true(fabs(got - is) <= fabs(down - is) && fabs(got - is) <= fabs(up - is));
        if (fabs(got - is) == fabs(down - is) || fabs(got - is) == fabs(up - is)) assert_int_equal(x & 1, 0);
    }
    mien_cpu_set_mask(~0u);
    free(f);
    free(h[0]);
    free(h[1]);
}

static void random_unit(uint32_t *r, int dim, float *v)
{
    float sum = 0;
    for (int i = 0; i < dim; i++) {
        *r = *r * 1664525u + 1013904223u;
        v[i] = (float)(*r >> 8) / 8388608.0f - 1.0f;
        sum += v[i] * v[i];
    }
    for (int i = 0; i < dim; i++) v[i] /= sqrtf(sum);
}

/* What half.h says rounding costs. */
static void rounding_hardly_moves_a_cosine(void **state)
{
    (void)state;
    enum { DIM = 512, N = 2000 };
    float a[DIM], b[DIM], ra[DIM], rb[DIM];
    uint16_t h[DIM];
    uint32_t r = 7;
    double most = 0, mean = 0;
    for (int k = 0; k < N; k++) {
        double exact = 0, rounded = 0;
        random_unit(&r, DIM, a);
        random_unit(&r, DIM, b);
        mien_half_from_float(a, h, DIM);
        mien_half_to_float(h, ra, DIM);
        mien_half_from_float(b, h, DIM);
        mien_half_to_float(h, rb, DIM);
        for (int i = 0; i < DIM; i++) {
            exact += (double)a[i] * (double)b[i];
            rounded += (double)ra[i] * (double)rb[i];
        }
        most = fmax(most, fabs(exact - rounded));
        mean += fabs(exact - rounded) / N;
    }
    assert_true(most < 1e-3);
    assert_true(mean < 2e-5);
}

/* ---- user ids ---- */

static void user_ids(void **state)
{
    (void)state;
    static const char *const GOOD[] = {"a", "user 1", "../../etc", "O'Brien; drop table", "J\xc3\xb6rg", "\xe6\x9d\x8e", "\xf0\x9f\x98\x80", "%2f"};
    static const char *const BAD[] = {"", "a\n", "\x01", "\x7f", "\xc2\x85", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xe6\x9d", "a\xc3"};
    char longest[MIEN_USER_ID + 2];
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) assert_true(mien_user_id_valid(GOOD[i]));
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) assert_false(mien_user_id_valid(BAD[i]));
    memset(longest, 'a', sizeof longest);
    longest[MIEN_USER_ID + 1] = '\0';
    assert_false(mien_user_id_valid(longest));
    longest[MIEN_USER_ID] = '\0';
    assert_true(mien_user_id_valid(longest));
    assert_false(mien_user_id_valid(NULL));
}

/* ---- templates ---- */

struct sealed { struct mien_keyring *ring; struct mien_template t; struct mien_record record; uint8_t room[MIEN_SEALED_BYTES]; };

static void make_sealed(struct sealed *s, int dim, int depth_dim)
{
    float v[MIEN_TEMPLATE_DIM], d[MIEN_TEMPLATE_DIM];
    uint32_t r = 3;
    memset(s, 0, sizeof *s);
    assert_int_equal(mien_keyring_open(&(struct mien_keyring_settings){.key = KEY}, &s->ring, NULL, NULL), MIEN_OK);
    random_unit(&r, dim, v);
    if (depth_dim > 0) random_unit(&r, depth_dim, d);
    for (int i = 0; i < dim; i++) v[i] *= 17.0f; /* any length comes in */
    assert_int_equal(mien_template_make(v, dim, depth_dim > 0 ? d : NULL, depth_dim, &s->t, NULL), MIEN_OK);
    s->record = (struct mien_record){.id = {9}, .user_id = "ann", .model = "m1"};
    assert_int_equal(mien_template_seal(s->ring, &s->t, &s->record, s->room, NULL), MIEN_OK);
}

static void templates_are_sealed_and_opened(void **state)
{
    (void)state;
    const int SIZES[][2] = {{512, 0}, {512, 256}, {1, 0}, {1024, 1024}};
    for (size_t k = 0; k < 4; k++) {
        struct sealed s;
        struct mien_template back;
        float v[MIEN_TEMPLATE_DIM];
        double sum = 0;
        make_sealed(&s, SIZES[k][0], SIZES[k][1]);
        assert_int_equal(s.record.sealed_n, MIEN_SEAL_OVERHEAD + 8 + 2 * (SIZES[k][0] + SIZES[k][1]));
        assert_int_equal(mien_template_open(s.ring, &s.record, &back, NULL), MIEN_OK);
        assert_int_equal(back.dim, SIZES[k][0]);
        assert_int_equal(back.depth_dim, SIZES[k][1]);
        assert_memory_equal(back.rgb, s.t.rgb, 2 * (size_t)back.dim);
        assert_memory_equal(back.depth, s.t.depth, 2 * (size_t)back.depth_dim);
        mien_half_to_float(back.rgb, v, (size_t)back.dim);
        for (int i = 0; i < back.dim; i++) sum += (double)v[i] * (double)v[i];
        assert_true(fabs(sum - 1) < 1e-3);
        mien_keyring_free(&s.ring);
    }
}

static void templates_are_bound_to_user_and_model(void **state)
{
    (void)state;
    struct sealed s;
    struct mien_template back;
    make_sealed(&s, 512, 0);
    struct mien_record r = s.record;
    r.user_id = "bob";
    assert_int_equal(mien_template_open(s.ring, &r, &back, NULL), MIEN_E_SEAL);
    r = s.record;
    r.model = "m2";
    assert_int_equal(mien_template_open(s.ring, &r, &back, NULL), MIEN_E_SEAL);
    r = s.record;
    r.user_id = "annm";  /* the same letters in all, divided elsewhere */
    r.model = "1";
    assert_int_equal(mien_template_open(s.ring, &r, &back, NULL), MIEN_E_SEAL);
    r = s.record;
    r.id[0] = 8;
    assert_int_equal(mien_template_open(s.ring, &r, &back, NULL), MIEN_E_SEAL);
    r = s.record;
    r.sealed_n = MIEN_SEALED_BYTES + 1;
    assert_int_equal(mien_template_open(s.ring, &r, &back, NULL), MIEN_E_SEAL);
    assert_int_equal(mien_template_open(s.ring, &s.record, &back, NULL), MIEN_OK);
    mien_keyring_free(&s.ring);
}

/* Sealed by whoever has the key, but no template. */
static void what_is_no_template_is_refused(void **state)
{
    (void)state;
    struct sealed s;
    struct mien_template back;
    static const struct { uint8_t plain[16]; size_t n; } WRONG[] = {
        {{0}, 0}, {{'M', 'T', 1, 0, 1, 0, 0}, 7}, {{'X', 'T', 1, 0, 1, 0, 0, 0, 0, 0}, 10}, {{'M', 'T', 2, 0, 1, 0, 0, 0, 0, 0}, 10},
        {{'M', 'T', 1, 2, 1, 0, 0, 0, 0, 0}, 10}, {{'M', 'T', 1, 0, 2, 0, 0, 0, 0, 0}, 10}, {{'M', 'T', 1, 0, 0, 0, 0, 0}, 8},
        {{'M', 'T', 1, 1, 1, 0, 0, 0, 0, 0}, 10}, {{'M', 'T', 1, 0, 1, 0, 1, 0, 0, 0, 0, 0}, 12}, {{'M', 'T', 1, 0, 0xff, 0xff, 0, 0, 0, 0}, 10}};
    static const char ABOUT[] = "ann\0m1\0\1";
    make_sealed(&s, 4, 0);
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        assert_int_equal(mien_seal(s.ring, s.record.id, ABOUT, 8, WRONG[i].plain, WRONG[i].n, s.room, NULL), MIEN_OK);
        s.record.sealed_n = WRONG[i].n + MIEN_SEAL_OVERHEAD;
        assert_int_equal(mien_template_open(s.ring, &s.record, &back, NULL), MIEN_E_RECORD);
    }
    static const uint8_t good[10] = {'M', 'T', 1, 0, 1, 0, 0, 0, 0, 0x3c};
    assert_int_equal(mien_seal(s.ring, s.record.id, ABOUT, 8, good, 10, s.room, NULL), MIEN_OK);
    s.record.sealed_n = 10 + MIEN_SEAL_OVERHEAD;
    assert_int_equal(mien_template_open(s.ring, &s.record, &back, NULL), MIEN_OK);
    mien_keyring_free(&s.ring);
}

static void numbers_that_are_no_direction_are_refused(void **state)
{
    (void)state;
    struct mien_template t;
    float v[4] = {1, 2, 3, 4}, zero[4] = {0}, nan[4] = {1, NAN, 0, 0}, inf[4] = {1, INFINITY, 0, 0}, huge[4] = {3e38f, 3e38f, 3e38f, 3e38f};
    assert_int_equal(mien_template_make(zero, 4, NULL, 0, &t, NULL), MIEN_E_RECORD);
    assert_int_equal(mien_template_make(nan, 4, NULL, 0, &t, NULL), MIEN_E_RECORD);
    assert_int_equal(mien_template_make(inf, 4, NULL, 0, &t, NULL), MIEN_E_RECORD);
    assert_int_equal(mien_template_make(v, 0, NULL, 0, &t, NULL), MIEN_E_RECORD);
    assert_int_equal(mien_template_make(v, 4, nan, 4, &t, NULL), MIEN_E_RECORD);
    assert_int_equal(mien_template_make(v, 4, zero, 4, &t, NULL), MIEN_E_RECORD);
    assert_int_equal(mien_template_make(huge, 4, NULL, 0, &t, NULL), MIEN_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_half_is_read_and_written_back), cmocka_unit_test(floats_round_to_the_nearest_half),
                                       cmocka_unit_test(rounding_hardly_moves_a_cosine),      cmocka_unit_test(user_ids),
                                       cmocka_unit_test(templates_are_sealed_and_opened),     cmocka_unit_test(templates_are_bound_to_user_and_model),
                                       cmocka_unit_test(what_is_no_template_is_refused),      cmocka_unit_test(numbers_that_are_no_direction_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
