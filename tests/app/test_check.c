/* What `mien models check` stands on: the golden inputs and the verdict on a difference. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "app/goldens.h"

static void golden_input_starts_as_documented(void **state)
{
    (void)state;
    float x[3];
    uint32_t s = 12345;
    mien_golden_fill(x, 3, -1, 1);
    for (int i = 0; i < 3; i++) {
        s = (uint32_t)((1103515245ull * s + 12345ull) % (1ull << 31));
        double v = (double)(s >> 8) / 8388608.0;
        assert_true(fabs((double)x[i] - (v * 2 - 1)) < 1e-7);
    }
}

static void nchw_becomes_nhwc(void **state)
{
    (void)state;
    const struct mien_shape s = {4, {2, 3, 2, 2, 0, 0}};
    float from[24], to[24];
    for (int i = 0; i < 24; i++) from[i] = (float)i;
    mien_golden_to_nhwc(from, &s, to);
    for (int n = 0; n < 2; n++)
        for (int y = 0; y < 2; y++)
            for (int x = 0; x < 2; x++)
                for (int c = 0; c < 3; c++) assert_true(to[((n * 2 + y) * 2 + x) * 3 + c] == (float)(((n * 3 + c) * 2 + y) * 2 + x));
    const struct mien_shape flat = {2, {3, 8, 0, 0, 0, 0}};
    mien_golden_to_nhwc(from, &flat, to);
    assert_memory_equal(from, to, sizeof from);
}

static void verdicts_follow_the_type(void **state)
{
    (void)state;
    struct mien_golden_result r = {.worst = 9e-4, .cosine = 1, .embedding_cosine = 1, .type = MIEN_F32};
    assert_true(mien_golden_holds(&r));
    r.worst = 2e-3;
    assert_false(mien_golden_holds(&r));
    r.type = MIEN_BF16;
    assert_true(mien_golden_holds(&r));
    r.cosine = 0.995;
    assert_true(mien_golden_holds(&r));
    r.embedding_cosine = 0.998;
    assert_false(mien_golden_holds(&r));
    r = (struct mien_golden_result){.worst = INFINITY, .cosine = 1, .embedding_cosine = 1, .type = MIEN_BF16};
    assert_false(mien_golden_holds(&r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_input_starts_as_documented),
                                       cmocka_unit_test(nchw_becomes_nhwc), cmocka_unit_test(verdicts_follow_the_type)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
