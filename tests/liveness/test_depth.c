// Depth: maps of a drawn face, of flat and bent sheets, with noise and holes; meshes with and without depth; descriptors.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include "liveness/fusion.h"

enum { W = 240, H = 180, EYES = 50 /* pixels from eye to eye */, POINTS = 468 };

/* Heights in millimetres over places in units of the distance between the eyes (from their middle). */
typedef float surface(float u, float v);

static float head(float u, float v) { return -28.0f * (u * u + 0.35f * (v - 0.4f) * (v - 0.4f)); }
static float nose(float u, float v, float wide) { return 20.0f * expf(-(u * u / (2.0f * wide * wide) + (v - 0.62f) * (v - 0.62f) / 0.08f)); }
static float a_face(float u, float v) { return head(u, v) + nose(u, v, 0.14f); }
static float other_face(float u, float v) { return 0.4f * head(u, v) + nose(u, v, 0.20f) + 6.0f * cosf(5.0f * v) - 8.0f * u * u * v; }
static float flat(float u, float v) { return 0.0f * (u + v); }
static float slanted(float u, float v) { return 25.0f * u - 18.0f * v; }
static float bent(float u, float v) { return slanted(u, v) - 35.0f * u * u; }
static float bent_inwards(float u, float v) { return 30.0f * (0.6f * u + 0.8f * v) * (0.6f * u + 0.8f * v); }
static float dished(float u, float v) { return -20.0f * (u * u + v * v); }

struct map { struct mien_depth_map depth; uint16_t mm[W * H]; };

/* The face of a photo of twice the map's size. */
static struct mien_face face_in_photo(void)
{
    const float x = W / 2, y = H / 2 - 20, e = EYES;
    const float p[10] = {x - e / 2, y, x + e / 2, y, x, y + 0.62f * e, x - 0.4f * e, y + e, x + 0.4f * e, y + e};
    struct mien_face f = {0};
    for (int i = 0; i < 10; i++) f.point[i] = 2.0f * p[i];
    return f;
}

static struct map *map_of(surface *s, float noise_mm, int holes_percent)
{
    struct map *m = calloc(1, sizeof *m);
    assert_non_null(m);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            const float u = ((float)x - W / 2) / EYES, v = ((float)y - (H / 2 - 20)) / EYES, noise = noise_mm * (float)(rand() % 2001 - 1000) / 1000.0f;
            m->mm[y * W + x] = rand() % 100 < holes_percent ? 0 : (uint16_t)(500.0f - s(u, v) + noise);
        }
    m->depth = (struct mien_depth_map){W, H, m->mm};
    return m;
}

static struct mien_modality score_of(const struct map *m)
{
    const struct mien_fusion_settings s = mien_fusion_settings_default();
    const struct mien_face f = face_in_photo();
    const struct mien_frame frame = {.face = &f, .photo_width = 2 * W, .photo_height = 2 * H, .depth = &m->depth};
    return mien_depth_score(&s, &frame);
}

static float score(surface *s, float noise_mm, int holes_percent)
{
    struct map *m = map_of(s, noise_mm, holes_percent);
    const struct mien_modality d = score_of(m);
    assert_true(d.present && d.score >= 0.0f && d.score <= 1.0f);
    free(m);
    return d.score;
}

static void a_nose_stands_out_of_a_face(void **state)
{
    (void)state;
    assert_true(score(a_face, 0.0f, 0) > 0.6f);
    assert_true(score(a_face, 5.0f, 5) > 0.6f);
    assert_true(score(a_face, 5.0f, 30) > 0.6f);
    assert_true(score(other_face, 3.0f, 5) > 0.5f);
}

static void sheets_have_no_nose(void **state)
{
    (void)state;
    surface *const sheets[] = {flat, slanted, bent, bent_inwards, dished};
    for (size_t i = 0; i < sizeof sheets / sizeof *sheets; i++) {
        assert_true(score(sheets[i], 0.0f, 0) < 0.05f);
        assert_true(score(sheets[i], 5.0f, 5) < 0.1f);
    }
}

static void a_flat_sensor_map_caps_whatever_the_rest_says(void **state)
{
    (void)state;
    const struct mien_fusion_settings s = mien_fusion_settings_default();
    struct mien_face f = face_in_photo();
    struct map *paper = map_of(bent, 2.0f, 2), *real = map_of(a_face, 2.0f, 2);
    struct mien_frame frame = {.face = &f, .photo_width = 2 * W, .photo_height = 2 * H, .depth = &paper->depth, .cues = {.texture_complexity = 1.0f}};
    f.have = MIEN_WANT_SPOOF;
    f.live = 1.0f;
    assert_true(mien_liveness_of_frame(&s, &frame, 1, 0).capped);
    assert_true(mien_liveness_of_frame(&s, &frame, 1, 0).score < s.verify_liveness);
    frame.depth = &real->depth;
    assert_false(mien_liveness_of_frame(&s, &frame, 1, 0).capped);
    assert_true(mien_liveness_of_frame(&s, &frame, 1, 0).score > s.enroll_liveness);
    free(paper);
    free(real);
}

static void a_map_that_knows_too_little_is_no_depth(void **state)
{
    (void)state;
    struct map *m = map_of(a_face, 0.0f, 100);
    const struct mien_face f = face_in_photo();
    float out[MIEN_DEPTH_DIM];
    assert_false(score_of(m).present);
    assert_false(mien_depth_descriptor(&m->depth, 2 * W, 2 * H, &f, out));
    free(m);
    m = map_of(a_face, 0.0f, 60);
    assert_false(mien_depth_descriptor(&m->depth, 2 * W, 2 * H, &f, out));
    free(m);
}

static void points_outside_the_map_are_unknown(void **state)
{
    (void)state;
    struct map *m = map_of(a_face, 0.0f, 0);
    struct mien_face f = face_in_photo();
    float out[MIEN_DEPTH_DIM];
    for (int i = 0; i < 10; i += 2) f.point[i] += 1.5f * W;
    assert_false(mien_depth_descriptor(&m->depth, 2 * W, 2 * H, &f, out));
    for (int i = 0; i < 10; i++) f.point[i] = i == 3 ? NAN : 1e30f;
    assert_false(mien_depth_descriptor(&m->depth, 2 * W, 2 * H, &f, out));
    assert_false(mien_depth_descriptor(&m->depth, 0, 0, &f, out));
    free(m);
}

static float mesh_score(surface *s)
{
    static float mesh[3 * POINTS];
    const struct mien_fusion_settings settings = mien_fusion_settings_default();
    struct mien_face f = face_in_photo();
    f.mesh = mesh;
    f.mesh_points = POINTS;
    for (int i = 0; i < POINTS; i++) {
        const float r = sqrtf((float)i / POINTS), turn = 2.399963f * (float)i, u = 0.8f * r * cosf(turn), v = 0.5f + 0.9f * r * sinf(turn);
        mesh[3 * i] = 2.0f * ((float)(W / 2) + EYES * u);
        mesh[3 * i + 1] = 2.0f * ((float)(H / 2 - 20) + EYES * v);
        mesh[3 * i + 2] = -s(u, v) / 63.0f * 2.0f * EYES;
    }
    const struct mien_frame frame = {.face = &f};
    const struct mien_modality d = mien_depth_score(&settings, &frame);
    assert_true(d.present);
    return d.score;
}

static void a_mesh_counts_less_and_a_flat_one_nothing(void **state)
{
    (void)state;
    assert_true(mesh_score(a_face) > 0.3f && mesh_score(a_face) <= 0.6f);
    assert_true(mesh_score(flat) < 0.01f);
    assert_true(mesh_score(bent) < 0.05f);
    const struct mien_fusion_settings s = mien_fusion_settings_default();
    const struct mien_face none = face_in_photo();
    const struct mien_frame frame = {.face = &none};
    assert_false(mien_depth_score(&s, &frame).present);
}

static void describe(surface *s, float noise_mm, float out[MIEN_DEPTH_DIM])
{
    struct map *m = map_of(s, noise_mm, 3);
    const struct mien_face f = face_in_photo();
    double sum = 0.0;
    assert_true(mien_depth_descriptor(&m->depth, 2 * W, 2 * H, &f, out));
    for (int i = 0; i < MIEN_DEPTH_DIM; i++) sum += (double)(out[i] * out[i]);
    assert_true(fabs(sum - 1.0) < 1e-4);
    free(m);
}

static void descriptors_tell_shapes_apart(void **state)
{
    (void)state;
    float one[MIEN_DEPTH_DIM], again[MIEN_DEPTH_DIM], other[MIEN_DEPTH_DIM], paper[MIEN_DEPTH_DIM];
    describe(a_face, 3.0f, one);
    describe(a_face, 3.0f, again);
    describe(other_face, 3.0f, other);
    describe(bent, 3.0f, paper);
    const float same = mien_similarity_cosine(one, again, MIEN_DEPTH_DIM), different = mien_similarity_cosine(one, other, MIEN_DEPTH_DIM);
    assert_true(same > 0.97f);
    assert_true(different < same - 0.1f);
    assert_true(mien_depth_confidence(same) > 0.8f);
    assert_true(mien_depth_confidence(different) < 0.5f);
    assert_true(mien_depth_confidence(mien_similarity_cosine(one, paper, MIEN_DEPTH_DIM)) < 0.5f);
}

static void confidence_rises_with_the_cosine(void **state)
{
    (void)state;
    for (float c = -1.0f; c < 1.0f; c += 0.01f) {
        assert_true(mien_depth_confidence(c + 0.01f) >= mien_depth_confidence(c));
        assert_true(mien_depth_confidence(c) >= 0.0f && mien_depth_confidence(c) <= 1.0f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_nose_stands_out_of_a_face),
        cmocka_unit_test(sheets_have_no_nose),
        cmocka_unit_test(a_flat_sensor_map_caps_whatever_the_rest_says),
        cmocka_unit_test(a_map_that_knows_too_little_is_no_depth),
        cmocka_unit_test(points_outside_the_map_are_unknown),
        cmocka_unit_test(a_mesh_counts_less_and_a_flat_one_nothing),
        cmocka_unit_test(descriptors_tell_shapes_apart),
        cmocka_unit_test(confidence_rises_with_the_cosine),
    };
    return cmocka_run_group_tests_name("depth", tests, NULL, NULL);
}
