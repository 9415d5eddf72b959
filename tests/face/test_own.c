// needs: -lpthread
// Networks of the user's own: what is recognised, what a manifest says, what is refused; and the score of a network with a map.
#include "support/faces.h"

#include <math.h>
#include <unistd.h>
#include "face/inner.h"
#include "face/own.h"
#include "support/onnx_build.h"

#define SHA "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809"
#define OTHER_SHA "ffeeddcc5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809"
#define SPOOF                                                                                                                              \
    "\"task\":\"spoof\",\"file\":\"s.onnx\",\"input\":{\"width\":80,\"height\":80,\"channels\":\"rgb\"},"                                    \
    "\"crop\":{\"kind\":\"box\",\"scale\":1},\"outputs\":{\"prob\":\"o\"},\"live_index\":0"
static const char PACK[] =
    "{\"version\":1,\"pack\":\"test\",\"roles\":{\"embed\":\"e\",\"spoof\":[\"s\",\"s2\"]},\"models\":["
    "{\"id\":\"e\",\"task\":\"embed\",\"file\":\"e.onnx\",\"input\":{\"width\":112,\"height\":112,\"channels\":\"rgb\"},"
    "\"crop\":{\"kind\":\"box\",\"scale\":1},"
    "\"outputs\":{\"embedding\":\"o\"},\"dim\":128,\"threshold\":{\"similarity\":0.3,\"slope\":14}},"
    "{\"id\":\"s\"," SPOOF "},{\"id\":\"s2\"," SPOOF "}]}";

static char folder[] = "/tmp/mien-own-XXXXXX";

static struct mien_models *pack(void)
{
    struct mien_models *m;
    struct mien_err e = {0};
    TEST_TRY(mien_models_parse(PACK, strlen(PACK), folder, NULL, &m, &e), e);
    return m;
}

static const char *write_file(const char *name, const void *data, size_t n)
{
    static char path[300];
    struct mien_err e = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    TEST_TRY(mien_file_write(path, data, n, &e), e);
    return path;
}

/* 3 x side x side (0: any) -> `count` numbers, as a convolution of the mean pixel. */
static const char *write_embedder(const char *name, int side, int count)
{
    size_t n;
    struct onnx_build *b = onnx_build_new(13);
    onnx_build_input(b, "in", ONNX_FLOAT, 4, (int64_t[]){-1, 3, side > 0 ? side : -1, side > 0 ? side : -1});
    onnx_build_random(b, "w", 4, (int64_t[]){count, 3, 1, 1}, -1.0f, 1.0f, 7);
    onnx_build_node(b, "GlobalAveragePool", "in", "mean");
    onnx_build_node(b, "Conv", "mean w", "wide");
    onnx_build_node(b, "Flatten", "wide", "vector");
    onnx_build_output(b, "vector");
    unsigned char *bytes = onnx_build_done(b, &n);
    const char *path = write_file(name, bytes, n);
    free(bytes);
    return path;
}

/* DeepPixBiS's inputs and outputs: every 16 x 16 pixels a place sigmoid(red), and sigmoid(2 x the mean of green) once. */
static const char *write_deeppix(const char *name, const char *map)
{
    const float red[3] = {1, 0, 0}, green[3] = {0, 2, 0};
    size_t n;
    struct onnx_build *b = onnx_build_new(13);
    onnx_build_input(b, "input", ONNX_FLOAT, 4, (int64_t[]){-1, 3, 224, 224});
    onnx_build_f32(b, "red", 4, (int64_t[]){1, 3, 1, 1}, red);
    onnx_build_f32(b, "green", 4, (int64_t[]){1, 3, 1, 1}, green);
    onnx_build_node(b, "AveragePool", "input", "places");
    onnx_build_ints(b, "kernel_shape", 2, (int64_t[]){16, 16});
    onnx_build_ints(b, "strides", 2, (int64_t[]){16, 16});
    onnx_build_node(b, "Conv", "places red", "logits");
    onnx_build_node(b, "Sigmoid", "logits", map);
    onnx_build_node(b, "GlobalAveragePool", "input", "mean");
    onnx_build_node(b, "Conv", "mean green", "logit");
    onnx_build_node(b, "Flatten", "logit", "flat");
    onnx_build_node(b, "Sigmoid", "flat", "output_binary");
    onnx_build_output(b, map);
    onnx_build_output(b, "output_binary");
    unsigned char *bytes = onnx_build_done(b, &n);
    const char *path = write_file(name, bytes, n);
    free(bytes);
    return path;
}

static enum mien_code put(struct mien_models *m, enum mien_role role, const char *path, const char *sha, const char **known, struct mien_err *e)
{
    return mien_models_replace(m, role, &(struct mien_own_model){.path = path, .sha256 = sha}, known, e);
}

static void known_networks_take_their_role(void **state)
{
    (void)state;
    struct mien_models *m = pack();
    struct mien_err e = {0};
    const char *known = NULL;
    const struct mien_model *old = mien_models_role(m, MIEN_ROLE_EMBED, 0);
    TEST_TRY(put(m, MIEN_ROLE_EMBED, write_embedder("inception resnetv1.onnx", 160, 512), SHA, &known, &e), e);
    const struct mien_model *r = mien_models_role(m, MIEN_ROLE_EMBED, 0);
    assert_string_equal(r->id, "inception_resnetv1-1a2b3c4d");
    assert_string_equal(r->task, "embed");
    assert_string_equal(r->sha256, SHA);
    assert_string_equal(r->output[0].name, "vector");
    assert_non_null(strstr(known, "Inception"));
    assert_true(r->dim == 512 && r->width == 160 && r->height == 160 && r->spec.mean[2] == 127.5f && r->spec.scale[0] == 1.0f / 128.0f && r->installed);
    assert_true(r->threshold == 0.6f && r->threshold_fmr == 0.0f && !r->threshold_foreign && r->matching == &r->thresholds[0]);
    assert_null(mien_models_role(m, MIEN_ROLE_EMBED, 1));
    assert_true(mien_models_find(m, "e") == old && strcmp(old->id, "e") == 0 && mien_models_count(m) == 4);
    assert_string_equal(mien_models_pack(m), "test+inception resnetv1.onnx");

    TEST_TRY(put(m, MIEN_ROLE_SPOOF, write_deeppix("dp.onnx", "output_pixel"), SHA, &known, &e), e);
    const struct mien_model *s = mien_models_role(m, MIEN_ROLE_SPOOF, 0);
    assert_string_equal(s->id, "dp-1a2b3c4d");
    assert_string_equal(known, "DeepPixBiS");
    assert_true(s->f32_only && s->n_outputs == 2 && s->live_index == 0 && s->crop.kind == MIEN_CROP_BOX);
    assert_null(mien_models_role(m, MIEN_ROLE_SPOOF, 1));
    assert_string_equal(mien_models_pack(m), "test+inception resnetv1.onnx+dp.onnx");

    TEST_TRY(put(m, MIEN_ROLE_EMBED, write_embedder("_r50", 112, 512), OTHER_SHA, &known, &e), e);
    r = mien_models_role(m, MIEN_ROLE_EMBED, 0);
    assert_string_equal(r->id, "xr50-ffeeddcc");
    assert_true(r->crop.kind == MIEN_CROP_ALIGN && r->crop.n_points == 5 && strstr(known, "ArcFace") != NULL);
    mien_models_free(&m);
}

#define INPUT "\"input\":{\"width\":96,\"height\":96,\"channels\":\"bgr\"}"
#define BOX "\"crop\":{\"kind\":\"box\",\"scale\":1.2}"
#define EMBED "\"outputs\":{\"embedding\":\"vector\"},\"dim\":64"
#define LIMIT "\"threshold\":{\"similarity\":0.4,\"slope\":10}"
#define DEEP "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]" /* 63 levels */
#define JOIN(a, b, c, d) "{" a "," b "," c "," d "}"

static enum mien_code replace_with(const char *path, const char *sha, const char *manifest, enum mien_role role, char id[64], struct mien_err *e)
{
    struct mien_models *m = pack();
    const char *known = "something";
    const struct mien_own_model own = {path, sha, manifest, manifest != NULL ? strlen(manifest) : 0, NULL};
    const enum mien_code code = mien_models_replace(m, role, &own, &known, e);
    if (manifest != NULL || code != MIEN_OK) assert_null(known);
    snprintf(id, 64, "%s", mien_models_role(m, role, 0)->id);
    if (code != MIEN_OK) assert_true(mien_models_count(m) == 3 && strcmp(mien_models_pack(m), "test") == 0);
    mien_models_free(&m);
    return code;
}

static void a_manifest_describes_any_other(void **state)
{
    (void)state;
    static const struct { const char *manifest, *says; } WRONG[] = {
        {"", "not JSON"}, {"[]", "not a JSON object"}, {"{", "not JSON"}, {"{}", "crop: is missing"},
        {JOIN("\"x\":" DEEP, BOX, EMBED, LIMIT), "more than 32 levels"},
        {JOIN("\"task\":\"spoof\"", BOX, EMBED, LIMIT), "task: is \"spoof\", and \"embed\" is wanted"},
        {JOIN(INPUT, BOX, EMBED, "\"x\":1"), "threshold: is missing"},
        {JOIN(INPUT, "\"crop\":{\"kind\":\"box\"}", EMBED, LIMIT), "crop.scale: is missing"},
        {JOIN(INPUT, "\"crop\":{\"kind\":\"letterbox\"}", EMBED, LIMIT), "crop.kind"},
        {JOIN(INPUT, BOX, "\"outputs\":{\"embedding\":\"vector\"},\"dim\":65", LIMIT), "dim: is 65, but the output has 64 elements"},
        {JOIN(INPUT, BOX, "\"outputs\":{\"embedding\":\"victor\"},\"dim\":64", LIMIT), "the network has no output \"victor\""},
        {JOIN("\"input\":{\"width\":112,\"height\":96,\"channels\":\"bgr\"}", BOX, EMBED, LIMIT),
         "input: the network takes ?x3x96x96, the manifest says 1x3x96x112"},
        {JOIN("\"input\":{\"width\":96,\"height\":96,\"channels\":\"gray\"}", BOX, EMBED, LIMIT), "the manifest says 1x1x96x96"},
        {JOIN("\"crop\":{\"kind\":\"points\",\"mesh\":[0]}", "\"a\":1", EMBED, LIMIT), "crop.kind"},
        {JOIN(INPUT ",\"sha256\":\"" OTHER_SHA "\"", BOX, EMBED, LIMIT), "sha256: the file has 1a2b3c4d"}};
    struct mien_err e = {0};
    char path[300], id[64];
    snprintf(path, sizeof path, "%s", write_embedder("mine.onnx", 96, 64));
    TEST_TRY(replace_with(path, SHA, JOIN(INPUT, BOX, EMBED, LIMIT), MIEN_ROLE_EMBED, id, &e), e);
    assert_string_equal(id, "mine-1a2b3c4d");
    TEST_TRY(replace_with(path, SHA, JOIN("\"id\":\"../x\",\"file\":\"/y\",\"task\":\"embed\",\"sha256\":\"" SHA "\"," INPUT, BOX, EMBED, LIMIT),
                          MIEN_ROLE_EMBED, id, &e), e);
    assert_string_equal(id, "mine-1a2b3c4d");
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        const enum mien_code code = replace_with(path, SHA, WRONG[i].manifest, MIEN_ROLE_EMBED, id, &e);
        if (code != MIEN_E_MANIFEST || strstr(e.msg, WRONG[i].says) == NULL) fail_msg("case %zu: expected \"%s\", got \"%s\"", i, WRONG[i].says, e.msg);
        assert_string_equal(id, "e");
    }
}

static void what_is_not_known_is_refused(void **state)
{
    (void)state;
    struct mien_err e = {0};
    char id[64];
    assert_int_equal(replace_with(write_embedder("odd.onnx", 128, 512), SHA, NULL, MIEN_ROLE_EMBED, id, &e), MIEN_E_MANIFEST);
    assert_non_null(strstr(e.msg, "input ?x3x128x128, outputs vector"));
    assert_non_null(strstr(e.msg, "odd.json"));
    assert_int_equal(replace_with(write_embedder("free.onnx", 0, 512), SHA, NULL, MIEN_ROLE_EMBED, id, &e), MIEN_E_MANIFEST); /* any height and width */
    assert_int_equal(replace_with(write_embedder("few.onnx", 160, 128), SHA, NULL, MIEN_ROLE_EMBED, id, &e), MIEN_E_MANIFEST);
    assert_non_null(strstr(e.msg, "has 128 elements, and 512 are those of"));
    assert_int_equal(replace_with(write_deeppix("map.onnx", "depth"), SHA, NULL, MIEN_ROLE_SPOOF, id, &e), MIEN_E_MANIFEST);
    assert_int_equal(replace_with(write_deeppix("dp2.onnx", "output_pixel"), SHA, NULL, MIEN_ROLE_EMBED, id, &e), MIEN_E_MANIFEST);
    assert_int_equal(replace_with(write_file("junk.onnx", "junk", 4), SHA, NULL, MIEN_ROLE_EMBED, id, &e), MIEN_E_ONNX_FORMAT);
    assert_int_equal(replace_with("/nonexistent/x.onnx", SHA, NULL, MIEN_ROLE_EMBED, id, &e), MIEN_E_IO);
    assert_int_equal(replace_with(write_embedder("e2.onnx", 160, 512), "short", NULL, MIEN_ROLE_EMBED, id, &e), MIEN_E_ARG);
    assert_int_equal(replace_with(write_embedder("e2.onnx", 160, 512), SHA, NULL, MIEN_ROLE_SPOOF, id, &e), MIEN_E_MANIFEST);

    struct mien_models *m = pack();
    const struct mien_own_model own = {.path = write_embedder("e2.onnx", 160, 512), .sha256 = SHA};
    TEST_TRY(mien_models_replace(m, MIEN_ROLE_EMBED, &own, NULL, &e), e);
    assert_int_equal(mien_models_replace(m, MIEN_ROLE_EMBED, &own, NULL, &e), MIEN_E_ARG);
    assert_int_equal(mien_models_replace(m, MIEN_ROLE_DETECT, &own, NULL, &e), MIEN_E_ARG);
    mien_models_free(&m);
}

static double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

/* A picture whose left half is one colour and whose right half another is what the face's box holds. */
static void the_score_is_the_mean_of_map_and_answer(void **state)
{
    (void)state;
    static const uint8_t LEFT[3] = {30, 200, 90}, RIGHT[3] = {220, 120, 10};
    static const char MANIFEST[] =
        "{\"input\":{\"width\":224,\"height\":224,\"channels\":\"rgb\",\"mean\":[128],\"scale\":[0.03125]},\"precision\":\"f32\","
        "\"crop\":{\"kind\":\"box\",\"scale\":1},\"outputs\":{\"map\":\"output_pixel\",\"prob\":\"output_binary\"},\"live_index\":0}";
    struct mien_models *m = pack();
    struct mien_err e = {0};
    struct mien_image image;
    struct mien_photo *photo;
    struct mien_session *session;
    struct mien_face face = {.box = {0, 0, 224, 224}, .score = 1};
    const struct mien_own_model own = {write_deeppix("dp3.onnx", "output_pixel"), SHA, MANIFEST, sizeof MANIFEST - 1, NULL};
    TEST_TRY(mien_models_replace(m, MIEN_ROLE_SPOOF, &own, NULL, &e), e);
    TEST_TRY(mien_image_alloc(224, 224, &image, &e), e);
    for (int y = 0; y < 224; y++)
        for (int x = 0; x < 224; x++) memcpy(image.px + (size_t)y * image.stride + 3 * (size_t)x, x < 112 ? LEFT : RIGHT, 3);
    TEST_TRY(mien_photo_from_pixels(&image, &photo, &e), e);
    TEST_TRY(mien_session_create(&session, &e), e);
    const struct mien_face_job job = {.models = m, .session = session, .photo = photo};
    TEST_TRY(mien_face_spoof(&job, &face, &e), e);
    const double map = 0.5 * (sigmoid((30 - 128) / 32.0) + sigmoid((220 - 128) / 32.0)), once = sigmoid(2 * ((200 + 120) / 2.0 - 128) / 32.0);
    assert_true(face.n_live == 1 && fabs((double)face.live - 0.5 * (map + once)) < 1e-5);
    assert_true(fabs(map - once) > 0.2); /* neither of the two alone would do */
    mien_session_free(&session);
    mien_photo_free(&photo);
    mien_image_free(&image);
    mien_models_free(&m);
}

static void a_map_is_read_place_by_place(void **state)
{
    (void)state;
    const float places[5] = {0.2f, 1.5f, -3.0f, NAN, 0.8f}, logits[2] = {0.0f, 100.0f};
    struct mien_model m = {.live_index = 1}; /* of the single answer; the map says live all the same */
    assert_true(fabsf(mien_score_map(&m, places, 5) - 2.0f / 5.0f) < 1e-6f);
    assert_true(mien_score_map(&m, places, 0) == 0.0f);
    m.softmax = true;
    assert_true(fabsf(mien_score_map(&m, logits, 2) - 0.75f) < 1e-6f);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[80];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_networks_take_their_role), cmocka_unit_test(a_manifest_describes_any_other),
                                       cmocka_unit_test(what_is_not_known_is_refused), cmocka_unit_test(the_score_is_the_mean_of_map_and_answer),
                                       cmocka_unit_test(a_map_is_read_place_by_place)};
    return cmocka_run_group_tests_name("face/own", tests, make_folder, remove_folder);
}
