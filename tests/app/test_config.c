/* The configuration's defaults are those that the rooms have themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "app/config.h"

static int nothing(struct mien_cli *cli, int argc, char **argv)
{
    (void)cli, (void)argc, (void)argv;
    return 0;
}

static const struct mien_verb VERB = {"test", "", "", "", nothing};

static struct mien_config *read_flags(int argc, char **argv)
{
    struct mien_cli cli = {.verb = &VERB};
    struct mien_config *c;
    assert_int_equal(mien_config_read(&cli, argc, argv, NULL, 0, &c), -1);
    return c;
}

static void fusion_has_its_own_defaults(void **state)
{
    (void)state;
    char *argv[] = {"test", NULL};
    struct mien_serve_settings s;
    struct mien_err e = {0};
    struct mien_config *c = read_flags(1, argv);
    const struct mien_fusion_settings own = mien_fusion_settings_default();
    assert_int_equal(mien_config_settings(c, &s, &e), MIEN_OK);
    assert_memory_equal(&s.service.fusion, &own, sizeof own);
    mien_config_free(&c);
}

static void weights_go_where_their_names_say(void **state)
{
    (void)state;
    char *argv[] = {"test", "--fusion-weights", "motion=0.4,liveness=0.3,depth=0.2,rgb=0.1",
                    "--liveness-weights", "antispoof=0.5,texture=0.4,blink=0.3,motion=0.2,depth=0.1", NULL};
    struct mien_serve_settings s;
    struct mien_err e = {0};
    struct mien_config *c = read_flags(5, argv);
    assert_int_equal(mien_config_settings(c, &s, &e), MIEN_OK);
    const struct mien_fusion_settings *f = &s.service.fusion;
    assert_true(f->weight_rgb == 0.1f && f->weight_depth == 0.2f && f->weight_liveness == 0.3f && f->weight_motion == 0.4f);
    assert_true(f->live_depth == 0.1f && f->live_motion == 0.2f && f->live_blink == 0.3f && f->live_texture == 0.4f && f->live_antispoof == 0.5f);
    mien_config_free(&c);
}

static void verbs_take_only_the_flags_that_they_name(void **state)
{
    (void)state;
    char *good[] = {"test", "user", "--port", "7000", "photo", NULL};
    struct mien_cli cli = {.verb = &VERB};
    struct mien_serve_settings s;
    struct mien_config *c;
    int first;
    assert_int_equal(mien_config_read_with(&cli, 5, good, NULL, 0, "DATA_DIR|PORT", 2, 2, &first, &c), -1);
    assert_string_equal(good[first], "user");
    assert_string_equal(good[first + 1], "photo");
    assert_int_equal(mien_config_settings(c, &s, NULL), MIEN_OK);
    assert_int_equal(s.server.port, 7000);
    mien_config_free(&c);
    char *other[] = {"test", "--workers", "1", NULL};
    assert_int_equal(mien_config_read_with(&cli, 3, other, NULL, 0, "DATA_DIR|PORT", 0, 0, &first, &c), MIEN_EXIT_ERROR);
    assert_null(c);
}

int main(void)
{
    static const char *const OURS[] = {"PORT", "API_PORT", "HOST", "API_HOST", "MIEN_CONFIG", "FUSION_WEIGHTS", "LIVENESS_WEIGHTS"};
    for (size_t i = 0; i < sizeof OURS / sizeof OURS[0]; i++) unsetenv(OURS[i]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(fusion_has_its_own_defaults), cmocka_unit_test(weights_go_where_their_names_say),
                                       cmocka_unit_test(verbs_take_only_the_flags_that_they_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
