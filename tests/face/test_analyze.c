// mien_face_analyze: which parts the wants lead to, which face is chosen, and what must not change the answer.
#include "support/faces.h"

#include <math.h>
#include <time.h>

static const unsigned EVERYTHING = 2 * MIEN_WANT_LANDMARKS106 - 1;

/* ---- pure ---- */

static void wants_are_closed_over_what_they_need(void **state)
{
    (void)state;
    assert_int_equal(mien_wants_closure(0, true), 0);
    assert_int_equal(mien_wants_closure(MIEN_WANT_QUALITY, true), MIEN_WANT_QUALITY | MIEN_WANT_POSE | MIEN_WANT_MESH);
    assert_int_equal(mien_wants_closure(MIEN_WANT_QUALITY, false), MIEN_WANT_QUALITY | MIEN_WANT_POSE);
    assert_int_equal(mien_wants_closure(MIEN_WANT_POSE, false), MIEN_WANT_POSE);
    assert_int_equal(mien_wants_closure(MIEN_WANT_EYES, false), MIEN_WANT_EYES | MIEN_WANT_MESH);
    assert_int_equal(mien_wants_closure(MIEN_WANT_BLENDSHAPES, true), MIEN_WANT_BLENDSHAPES | MIEN_WANT_MESH);
    const unsigned alone = MIEN_WANT_EMBEDDING | MIEN_WANT_EXPRESSION | MIEN_WANT_AGE_GENDER | MIEN_WANT_SPOOF | MIEN_WANT_DEEPFAKE | MIEN_WANT_NET_QUALITY;
    assert_int_equal(mien_wants_closure(alone, true), alone);
    assert_int_equal(mien_wants_closure(EVERYTHING, true), EVERYTHING);
}

static void the_best_face(void **state)
{
    (void)state;
    struct mien_face f[3] = {{.box = {0, 0, 100, 100}, .score = 0.5f}, {.box = {0, 0, 80, 80}, .score = 0.9f}, {.box = {0, 0, 10, 10}, .score = 1.0f}};
    assert_int_equal(mien_faces_best(f, 0, false), -1);
    assert_int_equal(mien_faces_best(f, 3, false), 1); /* 5000, 5760, 100 */
    assert_int_equal(mien_faces_best(f, 3, true), -1); /* none has a quality */
    f[0].have = f[2].have = MIEN_WANT_QUALITY;
    f[0].quality.score = 0.4f;
    f[1].quality.score = 0.9f; /* not computed: must not count */
    f[2].quality.score = 0.6f;
    assert_int_equal(mien_faces_best(f, 3, true), 2);
}

static void scores_become_probabilities(void **state)
{
    (void)state;
    struct mien_model m = {.softmax = true, .live_index = 1};
    float p[3];
    mien_scores(&m, (const float[3]){1.0f, 1.0f + logf(2.0f), -90.0f}, 3, p);
    assert_true(fabsf(p[0] - 1.0f / 3) < 1e-6f && fabsf(p[1] - 2.0f / 3) < 1e-6f && p[2] < 1e-6f);
    mien_scores(&m, (const float[3]){1000.0f, 1000.0f, 0.0f}, 3, p); /* large logits do not overflow */
    assert_true(p[0] == 0.5f && p[1] == 0.5f && p[2] == 0.0f);
    assert_true(fabsf(mien_score_live(&m, (const float[3]){0, logf(2.0f), 0}, 3) - 0.5f) < 1e-6f);
    assert_true(fabsf(mien_score_live(&m, (const float[1]){0}, 1) - 0.5f) < 1e-6f);
    m.softmax = false;
    assert_true(mien_score_live(&m, (const float[3]){0.1f, 0.7f, 0.2f}, 3) == 0.7f);
    assert_true(fabsf(mien_score_live(&m, (const float[1]){0.9f}, 1) - 0.1f) < 1e-6f); /* one output that says "attack" */
    m.live_index = 0;
    assert_true(mien_score_live(&m, (const float[1]){0.9f}, 1) == 0.9f);
    m.live_index = 5;
    assert_true(mien_score_live(&m, (const float[3]){0.1f, 0.7f, 0.2f}, 3) == 0.0f);
    m.live_index = 1;
    assert_true(mien_score_live(&m, (const float[1]){NAN}, 1) == 0.0f);       /* a broken net never says "live" */
    assert_true(mien_score_live(&m, (const float[3]){NAN, NAN, NAN}, 3) == 0.0f);
}

/* A pack of a detector alone, which is not installed either: the error comes before the photo is looked at. */
static void a_missing_model_is_named(void **state)
{
    (void)state;
    static const char text[] =
        "{\"version\":1,\"pack\":\"tiny\",\"roles\":{\"detect\":\"d\"},\"models\":[{\"id\":\"d\",\"task\":\"detect\",\"file\":\"d.onnx\","
        "\"sha256\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"bytes\":1,\"licence\":\"none\",\"source\":\"none\","
        "\"input\":{\"width\":64,\"height\":64,\"channels\":\"bgr\",\"mean\":[0],\"scale\":[1]},\"crop\":{\"kind\":\"letterbox\"},\"decoder\":\"yunet\","
        "\"sizes\":[64],\"levels\":[{\"stride\":8,\"anchors\":1}],\"score_threshold\":0.6,\"nms_iou\":0.45,"
        "\"outputs\":{\"cls_8\":\"cls_8\",\"obj_8\":\"obj_8\",\"bbox_8\":\"bbox_8\",\"kps_8\":\"kps_8\"}}]}";
    static const struct { unsigned want; const char *role; } CASES[] = {
        {MIEN_WANT_EMBEDDING, "embed"}, {MIEN_WANT_MESH, "landmarks"}, {MIEN_WANT_EYES, "landmarks"}, {MIEN_WANT_EXPRESSION, "expression"},
        {MIEN_WANT_AGE_GENDER, "age_gender"}, {MIEN_WANT_SPOOF, "spoof"}, {MIEN_WANT_DEEPFAKE, "deepfake"}, {MIEN_WANT_NET_QUALITY, "quality"}};
    struct mien_models *models;
    struct mien_err e = {0};
    const struct mien_models_settings s = {MIEN_PRECISION_F32};
    TEST_TRY(mien_models_parse(text, sizeof text - 1, "/nonexistent", &s, &models, &e), e);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct mien_faces out;
        memset(&e, 0, sizeof e);
        assert_int_equal(mien_face_analyze(models, NULL, NULL, CASES[i].want, NULL, NULL, &out, &e), MIEN_E_MODEL_MISSING);
        assert_non_null(strstr(e.msg, CASES[i].role));
        assert_int_equal(out.count, 0);
    }
    mien_models_free(&models);
}

/* ---- over models and photos ---- */

static struct mien_faces analyze(struct test_pack *p, struct test_photo *t, unsigned wants, const struct mien_face_settings *s)
{
    struct mien_err e = {0};
    struct mien_faces out;
    TEST_TRY(mien_face_analyze(p->models, p->session, t->photo, wants, s, p->arena, &out, &e), e);
    return out;
}

static float box_difference(const struct mien_face *a, const struct mien_face *b)
{
    float d = fmaxf(fabsf(a->box.x0 - b->box.x0), fabsf(a->box.y0 - b->box.y0));
    return fmaxf(d, fmaxf(fabsf(a->box.x1 - b->box.x1), fabsf(a->box.y1 - b->box.y1)));
}

/* Wants of the installed pack: leaves out roles that it has no model for. */
static unsigned wants_of_pack(const struct test_pack *p)
{
    static const struct { unsigned want; enum mien_role role; } NEEDS[] = {
        {MIEN_WANT_EMBEDDING, MIEN_ROLE_EMBED}, {MIEN_WANT_MESH | MIEN_WANT_EYES, MIEN_ROLE_LANDMARKS}, {MIEN_WANT_BLENDSHAPES, MIEN_ROLE_BLENDSHAPES},
        {MIEN_WANT_EXPRESSION, MIEN_ROLE_EXPRESSION}, {MIEN_WANT_AGE_GENDER, MIEN_ROLE_AGE_GENDER}, {MIEN_WANT_SPOOF, MIEN_ROLE_SPOOF},
        {MIEN_WANT_DEEPFAKE, MIEN_ROLE_DEEPFAKE}, {MIEN_WANT_NET_QUALITY, MIEN_ROLE_QUALITY},
        {MIEN_WANT_LANDMARKS106, MIEN_ROLE_LANDMARKS106}};
    unsigned wants = EVERYTHING;
    for (size_t i = 0; i < sizeof NEEDS / sizeof NEEDS[0]; i++) {
        const struct mien_model *m = mien_models_role(p->models, NEEDS[i].role, 0);
        if (m == NULL || !m->installed) wants &= ~NEEDS[i].want;
    }
    return wants;
}

static void assert_same_want(const struct mien_face *a, const struct mien_face *b, unsigned want)
{
    assert_true((a->have & want) && (b->have & want));
    switch (want) {
    case MIEN_WANT_EMBEDDING: assert_memory_equal(a->embedding, b->embedding, (size_t)a->embedding_dim * sizeof(float)); break;
    case MIEN_WANT_MESH: assert_memory_equal(a->mesh, b->mesh, 3 * (size_t)a->mesh_points * sizeof(float)); break;
    case MIEN_WANT_POSE: assert_true(a->yaw == b->yaw && a->pitch == b->pitch && a->roll == b->roll); break;
    case MIEN_WANT_EYES: assert_true(a->ear_left == b->ear_left && a->ear_right == b->ear_right && a->ear == b->ear); break;
    case MIEN_WANT_BLENDSHAPES: assert_memory_equal(a->blendshape, b->blendshape, sizeof a->blendshape); break;
    case MIEN_WANT_QUALITY: assert_true(a->quality.score == b->quality.score && a->quality.laplacian_variance == b->quality.laplacian_variance); break;
    case MIEN_WANT_EXPRESSION: assert_memory_equal(a->emotion, b->emotion, sizeof a->emotion); break;
    case MIEN_WANT_AGE_GENDER: assert_true(a->age == b->age && a->male == b->male); break;
    case MIEN_WANT_SPOOF: assert_true(a->live == b->live && a->n_live == b->n_live); break;
    case MIEN_WANT_DEEPFAKE: assert_true(a->genuine == b->genuine); break;
    case MIEN_WANT_LANDMARKS106: assert_memory_equal(a->points106, b->points106, 2 * MIEN_POINTS_106 * sizeof(float)); break;
    default: assert_true(a->net_quality == b->net_quality); break;
    }
}

static void one_want_at_a_time_equals_all_at_once(void **state)
{
    (void)state;
    char path[4096];
    test_data(path, "deepface_pairs/images/img1.jpg");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    struct test_photo t = test_photo_open("deepface_pairs", "images/img1.jpg");
    const unsigned wants = wants_of_pack(&p);
    struct mien_faces all = analyze(&p, &t, wants, NULL);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.best, 0);
    assert_int_equal(all.face[0].have & wants, wants);
    for (unsigned want = 1; want <= MIEN_WANT_LANDMARKS106; want <<= 1) {
        if (!(wants & want)) continue;
        struct test_photo again = test_photo_open("deepface_pairs", "images/img1.jpg");
        struct mien_faces one = analyze(&p, &again, want, NULL);
        assert_int_equal(one.count, 1);
        assert_same_want(&one.face[0], &all.face[0], want);
        assert_int_equal(one.face[0].have, mien_wants_closure(want, (wants & MIEN_WANT_MESH) != 0));
        test_photo_close(&again);
    }
    const struct mien_face *f = &all.face[0];
    printf("img1: score %.3f, mesh presence %.3f, yaw %.1f pitch %.1f roll %.1f, EAR %.3f, quality %.3f, age %.1f, male %.2f, live %.3f, genuine %.3f\n",
           (double)f->score, (double)f->mesh_presence, (double)f->yaw, (double)f->pitch, (double)f->roll, (double)f->ear, (double)f->quality.score,
           (double)f->age, (double)f->male, (double)f->live, (double)f->genuine);
    test_photo_close(&t);
    test_pack_close(&p);
}

/* Copies of one photo in all eight EXIF orientations (lossless): everything downstream must be the same. */
static void exif_orientations_give_the_same_face(void **state)
{
    (void)state;
    char path[4096], name[64];
    test_data(path, "nasty_inputs/files/derived/face_orientation_1.jpg");
    struct test_pack p = test_pack_open(MIEN_PRECISION_F32);
    const unsigned wants = wants_of_pack(&p);
    struct test_photo first = test_photo_open("nasty_inputs", "files/derived/face_orientation_1.jpg");
    struct mien_faces a = analyze(&p, &first, wants, NULL);
    assert_true(a.count >= 1);
    float worst_cosine = 1.0f, worst_deg = 0.0f;
    for (int i = 2; i <= 8; i++) {
        snprintf(name, sizeof name, "files/derived/face_orientation_%d.jpg", i);
        struct test_photo t = test_photo_open("nasty_inputs", name);
        struct mien_faces b = analyze(&p, &t, wants, NULL);
        assert_int_equal(b.count, a.count);
        const struct mien_face *f = &a.face[0], *g = &b.face[0];
        assert_true(box_difference(f, g) < 0.02f * (f->box.x1 - f->box.x0));
        worst_deg = fmaxf(worst_deg, fmaxf(fabsf(f->yaw - g->yaw), fmaxf(fabsf(f->pitch - g->pitch), fabsf(f->roll - g->roll))));
        if (wants & MIEN_WANT_EMBEDDING) worst_cosine = fminf(worst_cosine, mien_similarity_cosine(f->embedding, g->embedding, f->embedding_dim));
        assert_true(fabsf(f->quality.score - g->quality.score) < 0.02f);
        assert_true(fabsf(f->live - g->live) < 0.05f);
        test_photo_close(&t);
    }
    printf("8 EXIF orientations: worst cosine %.5f, worst angle difference %.2f degrees\n", (double)worst_cosine, (double)worst_deg);
    assert_true(worst_cosine > 0.995f && worst_deg < 1.0f);
    test_photo_close(&first);
    test_pack_close(&p);
}

static void mirroring_flips_yaw_and_roll(void **state)
{
    (void)state;
    static struct test_csv csv;
    char path[4096];
    test_data(path, "deepface_pairs/index.csv");
    struct test_pack p = test_pack_open(MIEN_PRECISION_F32);
    test_need_role(&p, MIEN_ROLE_LANDMARKS);
    test_csv_read(path, &csv);
    double sum[3] = {0};
    int n = 0;
    for (int i = 1; i < csv.rows && n < 12; i += 4) {
        struct test_photo t = test_photo_pixels("deepface_pairs", csv.cell[i][0], 0.0f, false);
        struct test_photo m = test_photo_pixels("deepface_pairs", csv.cell[i][0], 0.0f, true);
        struct mien_faces a = analyze(&p, &t, MIEN_WANT_POSE, NULL), b = analyze(&p, &m, MIEN_WANT_POSE, NULL);
        if (a.count == 1 && b.count == 1) {
            const struct mien_face *f = &a.face[0], *g = &b.face[0];
            sum[0] += fabs((double)f->yaw + g->yaw);
            sum[1] += fabs((double)f->pitch - g->pitch);
            sum[2] += fabs((double)f->roll + g->roll);
            if (fabsf(f->yaw) > 10.0f) assert_true(f->yaw * g->yaw < 0.0f);
            if (fabsf(f->roll) > 10.0f) assert_true(f->roll * g->roll < 0.0f);
            n++;
        }
        test_photo_close(&t);
        test_photo_close(&m);
    }
    printf("mirror symmetry error over %d photos: yaw %.2f, pitch %.2f, roll %.2f degrees\n", n, sum[0] / n, sum[1] / n, sum[2] / n);
    assert_true(n >= 5 && sum[0] / n < 3.0 && sum[1] / n < 3.0 && sum[2] / n < 2.0);
    free(csv.text);
    test_pack_close(&p);
}

/* A large JPEG is looked at through a reduced view, its pixels at full size: both are resampled, differently, so the points move a
 * little. A photo no larger than the detector's input must give the very same. */
static void pixels_and_jpeg_agree(void **state)
{
    (void)state;
    char path[4096], name[64];
    test_data(path, "deepface_pairs/images/img1.jpg");
    struct test_pack p = test_pack_open(MIEN_PRECISION_F32);
    test_need_role(&p, MIEN_ROLE_EMBED);
    const unsigned wants = wants_of_pack(&p) & (MIEN_WANT_EMBEDDING | MIEN_WANT_POSE | MIEN_WANT_SPOOF);
    float worst_box = 0.0f, worst_cosine = 1.0f, worst_yaw = 0.0f, worst_live = 0.0f, sum = 0.0f;
    const int n = 8, input = mien_models_role(p.models, MIEN_ROLE_DETECT, 0)->width;
    for (int i = 1; i <= n; i++) {
        snprintf(name, sizeof name, "images/img%d.jpg", i);
        struct test_photo t = test_photo_open("deepface_pairs", name), q = test_photo_pixels("deepface_pairs", name, 0.0f, false);
        struct mien_faces a = analyze(&p, &t, wants, NULL), b = analyze(&p, &q, wants, NULL);
        assert_true(a.count >= 1 && a.count == b.count);
        const struct mien_face *f = &a.face[0], *g = &b.face[0];
        const float cosine = mien_similarity_cosine(f->embedding, g->embedding, f->embedding_dim);
        if (mien_photo_width(t.photo) <= input && mien_photo_height(t.photo) <= input) assert_true(cosine > 0.99999f && box_difference(f, g) < 0.01f);
        worst_box = fmaxf(worst_box, box_difference(f, g) / (f->box.x1 - f->box.x0));
        worst_cosine = fminf(worst_cosine, cosine);
        worst_yaw = fmaxf(worst_yaw, fabsf(f->yaw - g->yaw));
        worst_live = fmaxf(worst_live, fabsf(f->live - g->live));
        sum += cosine;
        test_photo_close(&t);
        test_photo_close(&q);
    }
    printf("%d JPEGs against their pixels: worst box %.1f %% of its width, cosine worst %.4f mean %.4f, worst yaw %.2f degrees, live %.3f\n", n,
           100.0 * (double)worst_box, (double)worst_cosine, (double)sum / n, (double)worst_yaw, (double)worst_live);
    assert_true(worst_box < 0.04f && worst_cosine > 0.95f && sum / (float)n > 0.985f && worst_yaw < 2.0f && worst_live < 0.1f);
    test_pack_close(&p);
}

/* Blocks of 4 x 4 pixels averaged. */
static struct mien_image quarter(const struct mien_image *im)
{
    struct mien_image out;
    struct mien_err e = {0};
    TEST_TRY(mien_image_alloc(im->width / 4, im->height / 4, &out, &e), e);
    for (int y = 0; y < out.height; y++)
        for (int x = 0; x < 3 * out.width; x++) {
            int sum = 0;
            for (int k = 0; k < 16; k++) sum += im->px[(size_t)(4 * y + k / 4) * im->stride + 3 * (size_t)(4 * (x / 3) + k % 4) + (size_t)(x % 3)];
            out.px[(size_t)y * out.stride + (size_t)x] = (uint8_t)(sum / 16);
        }
    return out;
}

/* Depth must be brought to photo pixels like x and y, or the angles would change with the size of the photo. */
static void a_smaller_photo_gives_the_same_pose_and_shape(void **state)
{
    (void)state;
    char path[4096], name[64];
    test_data(path, "deepface_pairs/images/img1.jpg");
    struct test_pack p = test_pack_open(MIEN_PRECISION_F32);
    test_need_role(&p, MIEN_ROLE_LANDMARKS);
    const int pick[4] = {1, 3, 4, 7}; /* faces of about 600 pixels */
    double sum[3] = {0}, depth = 0.0;
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "images/img%d.jpg", pick[i]);
        struct test_photo t = test_photo_pixels("deepface_pairs", name, 0.0f, false), q = {0};
        q.pixels = quarter(&t.pixels);
        struct mien_err e = {0};
        TEST_TRY(mien_photo_from_pixels(&q.pixels, &q.photo, &e), e);
        struct mien_faces a = analyze(&p, &t, MIEN_WANT_POSE, NULL), b = analyze(&p, &q, MIEN_WANT_POSE, NULL);
        assert_true(a.count >= 1 && b.count >= 1);
        const struct mien_face *f = &a.face[0], *g = &b.face[0];
        sum[0] += fabs((double)f->yaw - g->yaw);
        sum[1] += fabs((double)f->pitch - g->pitch);
        sum[2] += fabs((double)f->roll - g->roll);
        /* nose tip to ears in depth: four times as many pixels in the larger photo */
        depth += (double)(f->mesh[3 * 454 + 2] - f->mesh[3 * 1 + 2]) / (double)(g->mesh[3 * 454 + 2] - g->mesh[3 * 1 + 2]);
        test_photo_close(&t);
        test_photo_close(&q);
    }
    printf("4 photos at a quarter of their size: yaw %.2f, pitch %.2f, roll %.2f degrees apart;", sum[0] / 4, sum[1] / 4, sum[2] / 4);
    printf(" depth ratio %.2f\n", depth / 4);
    assert_true(sum[0] / 4 < 1.5 && sum[1] / 4 < 2.0 && sum[2] / 4 < 1.0);
    assert_true(depth / 4 > 3.6 && depth / 4 < 4.4);
    test_pack_close(&p);
}

static void settings_choose_the_faces(void **state)
{
    (void)state;
    char path[4096];
    test_data(path, "compreface_samples/images/000_5.jpg");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    const unsigned wants = wants_of_pack(&p) & (MIEN_WANT_QUALITY | MIEN_WANT_EMBEDDING);
    struct test_photo t = test_photo_open("compreface_samples", "images/000_5.jpg");
    struct mien_faces all = analyze(&p, &t, wants | MIEN_WANT_QUALITY, NULL);
    printf("000_5.jpg: %d faces of 5, best %d\n", all.count, all.best);
    assert_int_equal(all.count, 5);
    for (int i = 0; i < all.count; i++) {
        assert_true(all.face[i].have & MIEN_WANT_QUALITY);
        assert_true(all.face[i].quality.score <= all.face[all.best].quality.score);
        if (i > 0) assert_true(all.face[i].quality.face_size <= all.face[i - 1].quality.face_size);
    }
    struct mien_faces primary = analyze(&p, &t, wants, &(struct mien_face_settings){.primary_only = true});
    assert_int_equal(primary.count, 5);
    assert_int_equal(primary.face[0].have & wants, wants);
    for (int i = 1; i < 5; i++) assert_int_equal(primary.face[i].have, 0);
    struct mien_faces best = analyze(&p, &t, MIEN_WANT_EMBEDDING & wants, &(struct mien_face_settings){.best_only = true});
    assert_int_equal(best.best, all.best);
    for (int i = 0; i < 5; i++) {
        assert_true(best.face[i].have & MIEN_WANT_QUALITY);
        assert_int_equal((best.face[i].have & MIEN_WANT_EMBEDDING) != 0, (wants & MIEN_WANT_EMBEDDING) && i == best.best);
    }
    struct mien_faces two = analyze(&p, &t, MIEN_WANT_QUALITY, &(struct mien_face_settings){.max_faces = 2});
    assert_int_equal(two.count, 5);
    for (int i = 0; i < 5; i++) assert_int_equal((two.face[i].have & MIEN_WANT_QUALITY) != 0, i < 2);
    assert_true(two.best >= 0 && two.best < 2);
    test_photo_close(&t);
    test_pack_close(&p);
}

/* Processor time, so that other work on the machine hardly counts. */
static double processor_ms(struct test_pack *p, struct test_photo *t, unsigned wants)
{
    const clock_t start = clock();
    analyze(p, t, wants, NULL);
    return 1e3 * (double)(clock() - start) / CLOCKS_PER_SEC;
}

/* What each want costs on one face, with what it depends on. Printed, not judged. */
static void time_of_each_want(void **state)
{
    (void)state;
    static const char *const NAME[] = {"embedding", "mesh", "pose", "eyes", "blendshapes", "quality",
                                       "expression", "age_gender", "spoof", "deepfake", "net_quality", "landmarks106"};
    char path[4096];
    test_data(path, "deepface_pairs/images/img1.jpg");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    struct test_photo t = test_photo_open("deepface_pairs", "images/img1.jpg");
    const unsigned wants = wants_of_pack(&p);
    analyze(&p, &t, wants, NULL); /* opens the networks, builds the plans */
    double detect = 1e9;
    for (int k = 0; k < 5; k++) detect = fmin(detect, processor_ms(&p, &t, 0));
    printf("%dx%d JPEG decoded before, processor time, best of 5, ms: detect %.2f; beyond it:", mien_photo_width(t.photo), mien_photo_height(t.photo), detect);
    for (size_t i = 0; i < sizeof NAME / sizeof NAME[0]; i++) {
        double best = 1e9;
        for (int k = 0; k < 5 && (wants & (1u << i)); k++) best = fmin(best, processor_ms(&p, &t, 1u << i));
        if (wants & (1u << i)) printf(" %s %.2f", NAME[i], best - detect);
    }
    printf("\n");
    test_photo_close(&t);
    test_pack_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wants_are_closed_over_what_they_need), cmocka_unit_test(the_best_face), cmocka_unit_test(scores_become_probabilities),
        cmocka_unit_test(a_missing_model_is_named), cmocka_unit_test(one_want_at_a_time_equals_all_at_once),
        cmocka_unit_test(exif_orientations_give_the_same_face), cmocka_unit_test(mirroring_flips_yaw_and_roll),
        cmocka_unit_test(pixels_and_jpeg_agree), cmocka_unit_test(a_smaller_photo_gives_the_same_pose_and_shape),
        cmocka_unit_test(settings_choose_the_faces), cmocka_unit_test(time_of_each_want)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
