// Anti-spoofing and deepfake nets over labelled pictures: too few for rates, so counts are printed.
#include "support/faces.h"

#include <math.h>

enum { MAX_KINDS = 16 };
struct tally { char kind[64]; int n, right, no_face; };

static struct tally *tally_of(struct tally *t, const char *kind)
{
    int i = 0;
    while (i < MAX_KINDS - 1 && t[i].kind[0] != 0 && strcmp(t[i].kind, kind) != 0) i++;
    snprintf(t[i].kind, sizeof t[i].kind, "%s", kind);
    return &t[i];
}

static void print_tally(const char *what, const struct tally *t)
{
    printf("%s, right/n (threshold 0.5):", what);
    for (int i = 0; i < MAX_KINDS && t[i].kind[0] != 0; i++) {
        printf(" %s %d/%d", t[i].kind, t[i].right, t[i].n);
        if (t[i].no_face > 0) printf(" (%d without a face)", t[i].no_face);
    }
    printf("\n");
}

static float weighted_mean(const struct test_pack *p, enum mien_role role, const float *score, int n)
{
    float sum = 0.0f, weights = 0.0f;
    for (int i = 0; i < n; i++) {
        const struct mien_model *m = mien_models_role(p->models, role, i);
        assert_non_null(m);
        sum += m->weight * score[i];
        weights += m->weight;
    }
    assert_null(mien_models_role(p->models, role, n));
    return sum / weights;
}

static void verdicts_per_attack(void **state)
{
    (void)state;
    static struct test_csv csv;
    char path[4096];
    test_data(path, "pad_fullframe_photos/index.csv");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    test_need_role(&p, MIEN_ROLE_SPOOF);
    test_csv_read(path, &csv);
    struct tally tally[MAX_KINDS] = {{{0}, 0, 0, 0}};
    double live_sum = 0, spoof_sum = 0;
    int lives = 0, spoofs = 0, right = 0;
    for (int i = 1; i < csv.rows; i++) {
        struct test_photo t = test_photo_open("pad_fullframe_photos", csv.cell[i][0]);
        struct mien_err e = {0};
        struct mien_faces out;
        TEST_TRY(mien_face_analyze(p.models, p.session, t.photo, MIEN_WANT_SPOOF, &(struct mien_face_settings){.primary_only = true}, p.arena, &out, &e), e);
        const bool live = strcmp(test_csv_at(&csv, i, "label"), "live") == 0, sure = strcmp(test_csv_at(&csv, i, "confidence"), "as_named") != 0;
        char kind[64];
        snprintf(kind, sizeof kind, "%s%s", live ? "live" : test_csv_at(&csv, i, "attack"), sure ? "" : "(as named)");
        struct tally *k = tally_of(tally, kind);
        k->n++;
        if (out.count == 0) k->no_face++;
        else {
            const struct mien_face *f = &out.face[0];
            const bool ok = (f->live >= 0.5f) == live;
            printf("  %-28s %-26s live %.3f (", csv.cell[i][0], kind, (double)f->live);
            for (int m = 0; m < f->n_live; m++) printf("%s%.2f", m > 0 ? " " : "", (double)f->live_each[m]);
            printf(")\n");
            k->right += ok;
            assert_true(fabsf(f->live - weighted_mean(&p, MIEN_ROLE_SPOOF, f->live_each, f->n_live)) < 1e-5f);
            if (sure) {
                right += ok;
                *(live ? &live_sum : &spoof_sum) += f->live;
                (*(live ? &lives : &spoofs))++;
            }
        }
        test_photo_close(&t);
        test_pack_next(&p);
    }
    print_tally("pad_fullframe_photos", tally);
    printf("evident ones: mean P(live) of %d live %.3f, of %d attacks %.3f\n", lives, live_sum / lives, spoofs, spoof_sum / spoofs);
    assert_true(lives >= 3 && spoofs >= 5);
    assert_true(live_sum / lives > spoof_sum / spoofs + 0.3);
    assert_true(right >= (lives + spoofs) * 2 / 3);
    free(csv.text);
    test_pack_close(&p);
}

/* MesoNet's own four samples are in-sample and show only that the polarity and the preprocessing are right. */
static void deepfake_polarity(void **state)
{
    (void)state;
    static struct test_csv csv;
    char path[4096];
    test_data(path, "deepfake_stills_misc/index.csv");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    test_need_role(&p, MIEN_ROLE_DEEPFAKE);
    test_csv_read(path, &csv);
    struct tally tally[MAX_KINDS] = {{{0}, 0, 0, 0}};
    int meso = 0, meso_right = 0;
    for (int i = 1; i < csv.rows; i++) {
        struct test_photo t = test_photo_open("deepfake_stills_misc", csv.cell[i][0]);
        struct mien_err e = {0};
        struct mien_faces out;
        TEST_TRY(mien_face_analyze(p.models, p.session, t.photo, MIEN_WANT_DEEPFAKE, &(struct mien_face_settings){.primary_only = true}, p.arena, &out, &e), e);
        const bool genuine = strcmp(test_csv_at(&csv, i, "label"), "real") == 0;
        struct tally *k = tally_of(tally, genuine ? "real" : test_csv_at(&csv, i, "generator"));
        k->n++;
        if (out.count == 0) k->no_face++;
        else {
            const bool ok = (out.face[0].genuine >= 0.5f) == genuine;
            k->right += ok;
            if (strncmp(csv.cell[i][0], "images/meso_", 12) == 0) {
                meso++;
                meso_right += ok;
                printf("  %-36s genuine %.3f\n", csv.cell[i][0], (double)out.face[0].genuine);
            }
        }
        test_photo_close(&t);
    }
    print_tally("deepfake_stills_misc", tally);
    assert_int_equal(meso, 4);
    assert_true(meso_right >= 3);
    free(csv.text);
    test_pack_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(verdicts_per_attack), cmocka_unit_test(deepfake_polarity)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
