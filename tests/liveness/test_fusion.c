// Weights, fusion and decision of the fusion engine: which part counts how much, and that no part outvotes a clear sign of an attack.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include "liveness/fusion.h"

#define NEAR(a, b) assert_true(fabs((double)(a) - (double)(b)) < 1e-5)

static const struct mien_modality missing = {0};

static struct mien_modality of(float score) { return (struct mien_modality){true, score}; }

static void the_defaults_are_the_documents(void **state)
{
    (void)state;
    const struct mien_fusion_settings s = mien_fusion_settings_default();
    NEAR(s.weight_rgb, 0.40);
    NEAR(s.weight_depth, 0.25);
    NEAR(s.weight_liveness, 0.20);
    NEAR(s.weight_motion, 0.15);
    NEAR(s.accept, 0.85);
    NEAR(s.reject, 0.45);
    NEAR(s.live_depth, 0.25);
    NEAR(s.live_motion, 0.35);
    NEAR(s.live_blink, 0.25);
    NEAR(s.live_texture, 0.15);
    NEAR(s.texture_spoof_threshold, 0.35);
    NEAR(s.enroll_liveness, 0.5);
    NEAR(s.verify_liveness, 0.4);
    assert_int_equal(s.enroll_min_samples, 3);
    assert_true(s.live_antispoof > 0 && s.depth_consistency_threshold > 0 && s.micro_motion_min_variance > 0);
}

static void what_is_missing_leaves_its_weight_to_the_rest(void **state)
{
    (void)state;
    const struct mien_fusion_settings s = mien_fusion_settings_default();
    NEAR(mien_fuse(&s, of(0.9f), of(0.8f), of(0.7f), of(0.6f)), 0.40 * 0.9 + 0.25 * 0.8 + 0.20 * 0.7 + 0.15 * 0.6);
    NEAR(mien_fuse(&s, of(0.9f), missing, of(0.7f), missing), (0.40 * 0.9 + 0.20 * 0.7) / 0.60);
    NEAR(mien_fuse(&s, of(0.9f), missing, missing, missing), 0.9);
    NEAR(mien_fuse(&s, of(0.9f), of(0.0f), missing, missing), 0.40 * 0.9 / 0.65); /* nothing is not zero */
    NEAR(mien_fuse(&s, missing, missing, missing, missing), 0.0);
}

static void no_weight_at_all_is_no_score(void **state)
{
    (void)state;
    struct mien_fusion_settings s = mien_fusion_settings_default();
    s.weight_rgb = s.weight_depth = s.weight_liveness = s.weight_motion = 0.0f;
    NEAR(mien_fuse(&s, of(1.0f), of(1.0f), of(1.0f), of(1.0f)), 0.0);
}

static void the_thresholds_themselves_accept_and_reject(void **state)
{
    (void)state;
    const struct mien_fusion_settings s = mien_fusion_settings_default();
    assert_int_equal(mien_decide(&s, 0.85f), MIEN_ACCEPT);
    assert_int_equal(mien_decide(&s, nextafterf(0.85f, 0.0f)), MIEN_RE_VERIFY);
    assert_int_equal(mien_decide(&s, nextafterf(0.45f, 1.0f)), MIEN_RE_VERIFY);
    assert_int_equal(mien_decide(&s, 0.45f), MIEN_REJECT);
    assert_int_equal(mien_decide(&s, NAN), MIEN_REJECT);
    assert_string_equal(mien_decision_name(MIEN_ACCEPT), "accept");
    assert_string_equal(mien_decision_name(MIEN_RE_VERIFY), "re_verify");
    assert_string_equal(mien_decision_name(MIEN_REJECT), "reject");
}

static struct mien_liveness still(float texture, float antispoof)
{
    const struct mien_fusion_settings s = mien_fusion_settings_default();
    const struct mien_face face = {.have = MIEN_WANT_SPOOF, .live = antispoof};
    const struct mien_frame frame = {.face = &face, .cues = {.texture_complexity = texture}};
    return mien_liveness_of_frame(&s, &frame, 1, 0);
}

static void one_still_photo_is_judged_by_texture_and_the_networks(void **state)
{
    (void)state;
    const struct mien_fusion_settings s = mien_fusion_settings_default();
    const struct mien_liveness l = still(0.8f, 0.9f);
    assert_false(l.depth.present || l.motion.present || l.blink.present || l.capped);
    assert_true(l.texture.present && l.antispoof.present);
    NEAR(l.score, (s.live_texture * 0.8 + s.live_antispoof * 0.9) / (s.live_texture + s.live_antispoof));
}

static void a_flat_texture_caps(void **state)
{
    (void)state;
    const struct mien_liveness l = still(0.34f, 1.0f);
    assert_true(l.capped);
    NEAR(l.score, 0.4);
    assert_false(still(0.35f, 1.0f).capped);
}

static void a_clear_verdict_of_the_networks_caps_below_what_a_verification_takes(void **state)
{
    (void)state;
    const struct mien_fusion_settings s = mien_fusion_settings_default();
    assert_true(still(1.0f, 0.29f).score < s.verify_liveness);
    assert_true(still(1.0f, 0.9f).score >= s.enroll_liveness);
}

static void numbers_that_are_none_do_not_pass(void **state)
{
    (void)state;
    const struct mien_fusion_settings s = mien_fusion_settings_default();
    assert_true(still(NAN, NAN).score < s.verify_liveness);
    assert_true(still(7.0f, 7.0f).score <= 1.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_the_documents),
        cmocka_unit_test(what_is_missing_leaves_its_weight_to_the_rest),
        cmocka_unit_test(no_weight_at_all_is_no_score),
        cmocka_unit_test(the_thresholds_themselves_accept_and_reject),
        cmocka_unit_test(one_still_photo_is_judged_by_texture_and_the_networks),
        cmocka_unit_test(a_flat_texture_caps),
        cmocka_unit_test(a_clear_verdict_of_the_networks_caps_below_what_a_verification_takes),
        cmocka_unit_test(numbers_that_are_none_do_not_pass),
    };
    return cmocka_run_group_tests_name("fusion", tests, NULL, NULL);
}
