// The manifest: what is read, and that every mistake is named by model and member. Opening of networks.
#include "support/faces.h"

#include <pthread.h>

#include "base/buf.h"
#include "face/inner.h"

#define DETECTOR                                                                                                                                     \
    "{\"id\":\"d\",\"task\":\"detect\",\"file\":\"d.onnx\",\"input\":{\"width\":640,\"height\":640,\"channels\":\"bgr\",\"mean\":[104,117,123]},"    \
    "\"crop\":{\"kind\":\"letterbox\"},\"decoder\":\"retinaface\",\"sizes\":[640,320],\"levels\":[{\"stride\":8,\"anchors\":2,\"sizes\":[16,32]}],"   \
    "\"score_threshold\":0.5,\"nms_iou\":0.4,\"outputs\":{\"bbox\":\"a\",\"conf\":\"b\",\"landm\":\"c\"}}"
#define EMBEDDED(threshold)                                                                                                                          \
    "{\"id\":\"e-1.0_x\",\"task\":\"embed\",\"file\":\"e.onnx\",\"licence\":\"MIT\",\"precision\":\"f32\",\"input\":{\"width\":112,\"height\":112,"   \
    "\"channels\":\"rgb\",\"mean\":[127.5],\"scale\":[0.5]},\"crop\":{\"kind\":\"align\",\"points\":\"landmarks68\",\"index\":[45,36],"               \
    "\"template\":[1,2,3,4]},\"dim\":128,\"outputs\":{\"embedding\":\"out\"},\"threshold\":" threshold "}"
#define EMBEDDER EMBEDDED(RATES)
#define SPOOF                                                                                                                                        \
    "{\"id\":\"s\",\"task\":\"spoof\",\"file\":\"s.onnx\",\"input\":{\"width\":80,\"height\":80,\"channels\":\"rgb\"},\"crop\":{\"kind\":\"box\","     \
    "\"scale\":1.5,\"rotate\":true,\"shift_y\":-0.1,\"border\":\"reflect101\",\"filter\":\"area_lanczos\"},\"outputs\":{\"prob\":\"p\"},"             \
    "\"labels\":[\"real\",\"spoof\"],\"live_index\":0,\"softmax\":true,\"weight\":2,\"licence\":null,\"golden\":{\"any\":[1]}}"
#define POINTS                                                                                                                                       \
    "{\"id\":\"p\",\"task\":\"blendshapes\",\"file\":\"p.onnx\",\"crop\":{\"kind\":\"points\",\"mesh\":[0,1,477]},\"outputs\":{\"blendshapes\":\"b\"}}"
#define FACE_MODEL(id, task, outputs)                                                                                                                \
    "{\"id\":\"" id "\",\"task\":\"" task "\",\"file\":\"f.onnx\",\"input\":{\"width\":192,\"height\":192,\"channels\":\"rgb\"},"                    \
    "\"crop\":{\"kind\":\"box\",\"scale\":1.5},\"outputs\":{" outputs "}"
#define LANDMARKS106 FACE_MODEL("l", "landmarks106", "\"landmarks\":\"fc1\"") ",\"points_scale\":\"signed\"}"
#define GENDER_AGE FACE_MODEL("g", "age_gender", "\"gender_age\":\"fc1\"") "}"
#define RATES "{\"similarity\":0.25,\"fmr\":0.001,\"slope\":14}" /* in EMBEDDER */
#define FIGURE                                                                                                                                       \
    "{\"measure\":\"accuracy\",\"set\":\"LFW\",\"n\":1200,\"value\":0.9,\"low\":0.8,\"high\":0.95,\"unit\":\"rate\",\"conditions\":\"c\",\"saved\":true}"
#define FIGURED(figures) EMBEDDED(RATES ",\"measured\":" figures)
#define PACK(models, roles) "{\"version\":1,\"pack\":\"test\",\"models\":[" models "],\"roles\":{" roles "}}"

static enum mien_code parse(const char *json, struct mien_models **m, struct mien_err *e)
{
    memset(e, 0, sizeof *e);
    return mien_models_parse(json, strlen(json), "/nonexistent", NULL, m, e);
}

static void a_manifest_is_read(void **state)
{
    (void)state;
    struct mien_models *m;
    struct mien_err e;
    TEST_TRY(parse(PACK(DETECTOR "," EMBEDDER "," SPOOF "," POINTS,
                        "\"detect\":\"d\",\"embed\":\"e-1.0_x\",\"iris\":null,\"spoof\":[\"s\"],\"blendshapes\":\"p\""), &m, &e), e);
    assert_string_equal(mien_models_pack(m), "test");
    assert_string_equal(mien_models_dir(m), "/nonexistent");
    assert_int_equal(mien_models_count(m), 4);
    const struct mien_model *d = mien_models_role(m, MIEN_ROLE_DETECT, 0), *x = mien_models_find(m, "e-1.0_x");
    const struct mien_model *s = mien_models_at(m, 2), *p = mien_models_at(m, 3);
    assert_true(d == mien_models_at(m, 0) && x == mien_models_role(m, MIEN_ROLE_EMBED, 0) && s == mien_models_role(m, MIEN_ROLE_SPOOF, 0));
    assert_null(mien_models_role(m, MIEN_ROLE_DETECT, 1));
    assert_null(mien_models_role(m, MIEN_ROLE_DETECT, -1));
    assert_null(mien_models_role(m, MIEN_ROLE_IRIS, 0));
    assert_null(mien_models_at(m, 4));
    assert_null(mien_models_find(m, "nobody"));

    assert_true(d->decoder == MIEN_DECODER_RETINAFACE && d->n_sizes == 2 && d->sizes[1] == 320 && d->width == 640 && !d->installed && !d->f32_only);
    assert_true(d->n_levels == 1 && d->level[0].stride == 8 && d->level[0].n_anchors == 2 && d->level[0].anchor[1] == 32.0f);
    assert_true(d->spec.channels == MIEN_BGR && d->spec.mean[2] == 123.0f && d->spec.scale[0] == 1.0f && d->spec.scale[2] == 1.0f);
    assert_true(d->score_threshold == 0.5f && d->nms_iou == 0.4f && d->n_outputs == 3 && d->weight == 1.0f);
    assert_string_equal(d->output[1].role, "conf");
    assert_string_equal(d->output[1].name, "b");

    assert_true(x->dim == 128 && x->threshold == 0.25f && x->calibration_slope == 14.0f && x->f32_only);
    assert_string_equal(x->licence, "MIT");
    assert_true(x->crop.points == MIEN_POINTS_LANDMARKS68 && x->crop.n_points == 2 && x->crop.index[1] == 36 && x->crop.template_xy[3] == 4.0f);
    assert_true(x->spec.mean[1] == 127.5f && x->spec.scale[2] == 0.5f);

    assert_true(s->crop.kind == MIEN_CROP_BOX && s->crop.scale == 1.5f && s->crop.rotate && s->crop.shift_y == -0.1f);
    assert_true(s->crop.border == MIEN_BORDER_REFLECT101 && s->crop.filter == MIEN_AREA_OR_LANCZOS && s->softmax && s->weight == 2.0f);
    assert_true(s->n_labels == 2 && s->live_index == 0 && s->licence[0] == 0);
    assert_string_equal(s->label[1], "spoof");
    assert_true(p->crop.kind == MIEN_CROP_POINTS && p->crop.n_mesh == 3 && p->crop.mesh[2] == 477);
    mien_models_free(&m);
    assert_null(m);
}

static void points_and_rows_are_read(void **state)
{
    (void)state;
    struct mien_models *m;
    struct mien_err e;
    TEST_TRY(parse(PACK(LANDMARKS106 "," GENDER_AGE, "\"landmarks106\":\"l\",\"age_gender\":[\"g\"]"), &m, &e), e);
    const struct mien_model *l = mien_models_role(m, MIEN_ROLE_LANDMARKS106, 0), *g = mien_models_role(m, MIEN_ROLE_AGE_GENDER, 0);
    assert_true(l != NULL && l->points_signed && g != NULL && g->n_outputs == 1 && !g->points_signed);
    mien_models_free(&m);
    TEST_TRY(parse(PACK(FACE_MODEL("l", "landmarks106", "\"landmarks\":\"fc1\"") ",\"points_scale\":\"unit\"}", ""), &m, &e), e);
    assert_false(mien_models_at(m, 0)->points_signed);
    mien_models_free(&m);
}

/* One change to a good manifest, and what the message must hold. */
static const struct { const char *model, *from, *to, *says; } WRONG[] = {
    {DETECTOR, "\"id\":\"d\",", "", "number 0: id: is missing"},
    {DETECTOR, "\"id\":\"d\"", "\"id\":5", "number 0: id: is not a string"},
    {DETECTOR, "\"id\":\"d\"", "\"id\":\"../d\"", "number 0: id: "},
    {DETECTOR, "\"id\":\"d\"", "\"id\":\"\"", "number 0: id: "},
    {DETECTOR, "\"task\":\"detect\"", "\"task\":\"cook\"", "\"d\": task: is not one of detect, embed"},
    {DETECTOR, "\"task\":\"detect\",", "", "\"d\": task: is missing"},
    {DETECTOR, "d.onnx", "../d.onnx", "\"d\": file: "},
    {DETECTOR, "d.onnx", ".hidden", "\"d\": file: "},
    {DETECTOR, "\"file\":\"d.onnx\"", "\"file\":\"d.onnx\",\"sha256\":\"AB\"", "\"d\": sha256: "},
    {DETECTOR, "\"file\":\"d.onnx\"", "\"file\":\"d.onnx\",\"precision\":\"f64\"", "\"d\": precision: is not one of auto, f32"},
    {DETECTOR, "\"file\":\"d.onnx\"", "\"file\":\"d.onnx\",\"weight\":0", "\"d\": weight: "},
    {DETECTOR, "\"file\":\"d.onnx\"", "\"file\":\"d.onnx\",\"softmax\":\"yes\"", "\"d\": softmax: is neither true nor false"},
    {DETECTOR, "\"width\":640", "\"width\":640.5", "\"d\": input.width: is not an integer in 8 to 4096"},
    {DETECTOR, "\"width\":640", "\"width\":5000", "\"d\": input.width: "},
    {DETECTOR, "\"width\":640", "\"width\":320", "\"d\": sizes: "},
    {DETECTOR, "\"bgr\"", "\"hsv\"", "\"d\": input.channels: is not one of rgb, bgr, gray"},
    {DETECTOR, "[104,117,123]", "[104,117]", "\"d\": input.mean: has 2 numbers"},
    {DETECTOR, "[104,117,123]", "[1,2,3,4]", "\"d\": input.mean: "},
    {DETECTOR, "[104,117,123]", "[1e9]", "\"d\": input.mean: [0] is outside"},
    {DETECTOR, "[104,117,123]", "[0],\"scale\":[0]", "\"d\": input.scale: is 0"},
    {DETECTOR, "\"input\":{", "\"in\":{", "\"d\": input: is missing"},
    {DETECTOR, "\"kind\":\"letterbox\"", "\"kind\":\"align\"", "\"d\": crop.points: is missing"},
    {DETECTOR, "\"kind\":\"letterbox\"", "\"kind\":\"fit_box\",\"scale\":2", "\"d\": crop.kind: "},
    {DETECTOR, "\"kind\":\"letterbox\"", "\"kind\":\"\"", "\"d\": crop.kind: is not one of letterbox, center_square"},
    {DETECTOR, "{\"kind\":\"letterbox\"}", "\"letterbox\"", "\"d\": crop: is not an object"},
    {DETECTOR, "\"retinaface\"", "\"yolo\"", "\"d\": decoder: is not one of scrfd, yunet"},
    {DETECTOR, "\"retinaface\"", "\"yunet\"", "\"d\": levels[0].anchors: is 1"},
    {DETECTOR, "\"retinaface\"", "\"scrfd\"", "\"d\": outputs: no \"score_8\""},
    {DETECTOR, "\"retinaface\"", "\"blazeface\"", "\"d\": outputs: no \"boxes_8\""},
    {DETECTOR, "[640,320]", "[]", "\"d\": sizes: is not an array of 1 to 6 integers"},
    {DETECTOR, "[640,320]", "[640,300]", "\"d\": sizes: [1] is not a multiple of 32"},
    {DETECTOR, "[640,320]", "[640,\"a\"]", "\"d\": sizes: [1] is not an integer"},
    {DETECTOR, "\"sizes\":[640,320],", "", "\"d\": sizes: is missing"},
    {DETECTOR, "\"stride\":8", "\"stride\":0", "\"d\": levels[0].stride: "},
    {DETECTOR, "\"anchors\":2", "\"anchors\":9", "\"d\": levels[0].anchors: "},
    {DETECTOR, "\"sizes\":[16,32]", "\"sizes\":[16]", "\"d\": levels[0].sizes: "},
    {DETECTOR, "\"sizes\":[16,32]", "\"sizes\":[16,-1]", "\"d\": levels[0].sizes: [1] is not above 0"},
    {DETECTOR, "[{\"stride\":8,\"anchors\":2,\"sizes\":[16,32]}]", "[7]", "\"d\": levels: [0] is not an object"},
    {DETECTOR, "[{\"stride\":8,\"anchors\":2,\"sizes\":[16,32]}]", "[]", "\"d\": levels: "},
    {DETECTOR, "\"anchors\":2,\"sizes\":[16,32]}", "\"anchors\":1,\"sizes\":[1]},{\"stride\":8,\"anchors\":1,\"sizes\":[1]}",
     "\"d\": levels[1].stride: appears twice"},
    {DETECTOR, "\"score_threshold\":0.5", "\"score_threshold\":1", "\"d\": score_threshold: is outside"},
    {DETECTOR, "\"nms_iou\":0.4", "\"nms_iou\":\"0.4\"", "\"d\": nms_iou: is not a number"},
    {DETECTOR, "\"conf\":\"b\"", "\"konf\":\"b\"", "\"d\": outputs: no \"conf\""},
    {DETECTOR, "\"conf\":\"b\"", "\"conf\":3", "\"d\": outputs.conf: is not a string"},
    {DETECTOR, "{\"bbox\":\"a\",\"conf\":\"b\",\"landm\":\"c\"}", "{}", "\"d\": outputs: has 0 members"},
    {DETECTOR, "\"conf\":\"b\"", "\"a_role_with_far_too_long_a_name\":\"b\"", "\"d\": outputs: a role's name"},
    {EMBEDDER, "[45,36]", "[45,68]", "\"e-1.0_x\": crop.index: [1] is not an integer in 0 to 67"},
    {EMBEDDER, "[45,36]", "[45]", "\"e-1.0_x\": crop.template: has 4 numbers for 1 points"},
    {EMBEDDER, "[1,2,3,4]", "[1,2,3,4,5,6]", "\"e-1.0_x\": crop.template: has 6 numbers for 2 points"},
    {EMBEDDER, "[1,2,3,4]", "[1,2,3,\"x\"]", "\"e-1.0_x\": crop.template: holds something else"},
    {EMBEDDER, "\"dim\":128", "\"dim\":2048", "\"e-1.0_x\": dim: "},
    {EMBEDDER, "\"threshold\":{", "\"limit\":{", "\"e-1.0_x\": threshold: is missing"},
    {EMBEDDER, "\"similarity\":0.25", "\"similarity\":1.5", "\"e-1.0_x\": threshold.similarity: "},
    {EMBEDDER, "\"slope\":14", "\"slope\":0", "\"e-1.0_x\": threshold.slope: "},
    {EMBEDDER, "\"embedding\":\"out\"", "\"emb\":\"out\"", "\"e-1.0_x\": outputs: no \"embedding\""},
    {EMBEDDER, "\"kind\":\"align\"", "\"kind\":\"letterbox\"", "\"e-1.0_x\": crop.kind: "},
    {EMBEDDER, RATES, "7", "\"e-1.0_x\": threshold: is neither an object nor a list"},
    {EMBEDDER, RATES, "[]", "\"e-1.0_x\": threshold: is a list of 0"},
    {EMBEDDER, RATES, "[1,2,3,4,5,6,7,8,9]", "\"e-1.0_x\": threshold: is a list of 9; 1 to 8 are allowed"},
    {EMBEDDER, RATES, "[" RATES ",7]", "\"e-1.0_x\": threshold: is neither"},
    {EMBEDDER, RATES, "[" RATES "," RATES "]", "\"e-1.0_x\": threshold: has two entries of one detector"},
    {EMBEDDER, "\"fmr\":0.001", "\"fmr\":2", "\"e-1.0_x\": threshold.fmr: "},
    {EMBEDDER, "\"fmr\":0.001", "\"detector\":\"\"", "\"e-1.0_x\": threshold.detector: "},
    {EMBEDDER, "\"fmr\":0.001", "\"saved\":1", "\"e-1.0_x\": threshold.saved: is neither true nor false"},
    {EMBEDDER, "\"fmr\":0.001", "\"curve\":{}", "\"e-1.0_x\": threshold.curve: is not a list of 2 to 64 points"},
    {EMBEDDER, "\"fmr\":0.001", "\"curve\":[[0,0.5,0]]", "\"e-1.0_x\": threshold.curve: is not a list of 2 to 64 points"},
    {EMBEDDER, "\"fmr\":0.001", "\"curve\":[[0,0.5,0],[0.1,0.4]]", "\"e-1.0_x\": threshold.curve: [1] is not [similarity, fmr, fnmr]"},
    {EMBEDDER, "\"fmr\":0.001", "\"curve\":[[0,0.5,0],[0.1,\"a\",0]]", "\"e-1.0_x\": threshold.curve: [1] is not"},
    {EMBEDDER, "\"fmr\":0.001", "\"curve\":[[-2,0.5,0],[0.1,0.4,0]]", "\"e-1.0_x\": threshold.curve: [0] is out of range"},
    {EMBEDDER, "\"fmr\":0.001", "\"curve\":[[0,0.5,0],[0.1,0.4,1.5]]", "\"e-1.0_x\": threshold.curve: [1] is out of range"},
    {EMBEDDER, "\"fmr\":0.001", "\"curve\":[[0,0.5,0],[0,0.4,0]]", "\"e-1.0_x\": threshold.curve: [1]: similarity must rise"},
    {EMBEDDER, "\"fmr\":0.001", "\"curve\":[[0,0.5,0],[0.1,0.6,0]]", "\"e-1.0_x\": threshold.curve: [1]: similarity must rise, fmr not rise"},
    {EMBEDDER, "\"fmr\":0.001", "\"curve\":[[0,0.5,0.1],[0.1,0.4,0]]", "\"e-1.0_x\": threshold.curve: [1]: similarity must rise"},
    {FIGURED("[" FIGURE "]"), "[{", "7,\"a\":[{", "\"e-1.0_x\": measured: is not a list of at most 16 objects"},
    {FIGURED("[" FIGURE "]"), "[{", "[[],{", "\"e-1.0_x\": measured: [0] is not an object"},
    {FIGURED("[" FIGURE "]"), "[{", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,{", "\"e-1.0_x\": measured: is not a list"},
    {FIGURED("[" FIGURE "," FIGURE "]"), "},{\"measure\":\"accuracy\"", "},{\"a\":1", "\"e-1.0_x\": measured[1].measure: is missing"},
    {FIGURED("[" FIGURE "]"), "\"LFW\"", "5", "\"e-1.0_x\": measured[0].set: is not a string"},
    {FIGURED("[" FIGURE "]"), "1200", "0", "\"e-1.0_x\": measured[0].n: is not an integer in 1 "},
    {FIGURED("[" FIGURE "]"), "\"value\":0.9", "\"value\":0.99", "\"e-1.0_x\": measured[0].value: is not between low and high"},
    {FIGURED("[" FIGURE "]"), "\"low\":0.8,", "", "\"e-1.0_x\": measured[0].low: is missing"},
    {FIGURED("[" FIGURE "]"), "\"rate\"", "\"metres\"", "\"e-1.0_x\": measured[0].unit: is not one of rate, degrees, years, points"},
    {FIGURED("[" FIGURE "]"), "\"c\"", "\"\"", "\"e-1.0_x\": measured[0].conditions: has 0 bytes"},
    {FIGURED("[" FIGURE "]"), "true", "\"yes\"", "\"e-1.0_x\": measured[0].saved: is neither"},
    {LANDMARKS106, ",\"points_scale\":\"signed\"", "", "\"l\": points_scale: is missing"},
    {LANDMARKS106, "\"signed\"", "\"pixels\"", "\"l\": points_scale: is not one of unit, signed"},
    {LANDMARKS106, "\"landmarks\":", "\"mesh\":", "\"l\": outputs: no \"landmarks\""},
    {GENDER_AGE, "\"gender_age\":", "\"age\":", "\"g\": outputs: no \"gender\""},
    {SPOOF, "\"scale\":1.5", "\"scale\":0", "\"s\": crop.scale: is outside"},
    {SPOOF, "\"scale\":1.5,", "", "\"s\": crop.scale: is missing"},
    {SPOOF, "\"live_index\":0,", "", "\"s\": live_index: is missing"},
    {SPOOF, "\"real\"", "7", "\"s\": labels: [0] is not a string"},
    {SPOOF, "[\"real\",\"spoof\"]", "[]", "\"s\": labels: "},
    {SPOOF, "\"reflect101\"", "\"wrap\"", "\"s\": crop.border: is not one of zero, replicate, reflect101"},
    {SPOOF, "\"area_lanczos\"", "\"cubic\"", "\"s\": crop.filter: is not one of"},
    {SPOOF, "\"rotate\":true", "\"rotate\":1", "\"s\": crop.rotate: is neither"},
    {POINTS, "[0,1,477]", "[0,478]", "\"p\": crop.mesh: [1] is not an integer in 0 to 477"},
    {POINTS, "\"mesh\":[0,1,477]", "\"mash\":[0]", "\"p\": crop.mesh: is missing"},
};

static void every_mistake_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        struct mien_models *m;
        struct mien_err e;
        struct mien_buf b;
        const char *at = strstr(WRONG[i].model, WRONG[i].from);
        if (at == NULL) fail_msg("case %zu changes nothing", i);
        mien_buf_init(&b, 65536);
        mien_buf_adds(&b, "{\"version\":1,\"pack\":\"test\",\"roles\":{},\"models\":[");
        mien_buf_add(&b, WRONG[i].model, (size_t)(at - WRONG[i].model));
        mien_buf_adds(&b, WRONG[i].to);
        mien_buf_adds(&b, at + strlen(WRONG[i].from));
        mien_buf_adds(&b, "]}");
        enum mien_code code = parse(b.data, &m, &e);
        if (code != MIEN_E_MANIFEST || strstr(e.msg, WRONG[i].says) == NULL || m != NULL)
            fail_msg("case %zu: expected \"%s\", got %s \"%s\"", i, WRONG[i].says, mien_code_name(code), e.msg);
        assert_int_equal(mien_models_parse(b.data, b.len, "/nonexistent", NULL, &m, NULL), MIEN_E_MANIFEST);
        mien_buf_free(&b);
    }
}

static void the_pack_itself_is_checked(void **state)
{
    (void)state;
    static const struct { const char *text, *says; } CASES[] = {
        {"", "not JSON"}, {"{", "not JSON"}, {"[]", "not an object"}, {"{}", "version"}, {"{\"version\":2}", "version"}, {"{\"version\":1}", "pack"},
        {"{\"version\":1,\"pack\":\"x\"}", "models: "}, {"{\"version\":1,\"pack\":\"x\",\"models\":[]}", "roles: "},
        {"{\"version\":1,\"pack\":\"x\",\"models\":[3],\"roles\":{}}", "models[0]"},
        {PACK(DETECTOR "," DETECTOR, ""), "\"d\": id: appears twice"}, {PACK(DETECTOR, "\"cook\":\"d\""), "roles.cook: "},
        {PACK(DETECTOR, "\"detect\":\"x\""), "roles.detect: no model \"x\""}, {PACK(DETECTOR, "\"detect\":7"), "roles.detect: "},
        {PACK(DETECTOR, "\"embed\":\"d\""), "roles.embed: model \"d\" has task detect"}, {PACK(DETECTOR, "\"detect\":[\"d\",{}]"), "roles.detect: "},
        {PACK(DETECTOR, "\"detect\":[\"d\",\"d\",\"d\",\"d\",\"d\"]"), "roles.detect: more than 4"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct mien_models *m;
        struct mien_err e;
        enum mien_code code = parse(CASES[i].text, &m, &e);
        if (code != MIEN_E_MANIFEST || strstr(e.msg, CASES[i].says) == NULL)
            fail_msg("case %zu: expected \"%s\", got %s \"%s\"", i, CASES[i].says, mien_code_name(code), e.msg);
    }
}

/* ---- thresholds and figures ---- */

static const struct mien_model *embedder(const char *json, struct mien_models **m)
{
    struct mien_err e;
    TEST_TRY(parse(json, m, &e), e);
    return mien_models_find(*m, "e-1.0_x");
}

static void the_threshold_is_that_of_the_detector(void **state)
{
    (void)state;
    struct mien_models *m;
    const struct mien_model *x = embedder(PACK(DETECTOR "," EMBEDDER, "\"detect\":\"d\""), &m);
    assert_true(x->n_thresholds == 1 && x->matching == x->thresholds && x->threshold_fmr == 0.001f && !x->threshold_foreign && !x->matching->saved);
    mien_models_free(&m);
#define OTHERS "{\"similarity\":0.5,\"fmr\":0.01,\"detector\":\"other\",\"slope\":20}"
#define OWN "{\"similarity\":0.25,\"fmr\":0.0001,\"detector\":\"d\",\"slope\":15,\"saved\":true,\"curve\":[[0.1,0.5,0],[0.25,0.0001,0.125]]}"
    x = embedder(PACK(EMBEDDED("[" OTHERS "," OWN "," RATES "]") "," DETECTOR, "\"detect\":\"d\""), &m); /* the model stands before the detector */
    assert_true(x->n_thresholds == 3 && x->matching == &x->thresholds[1] && !x->threshold_foreign);
    assert_true(x->threshold == 0.25f && x->threshold_fmr == 0.0001f && x->calibration_slope == 15.0f && x->matching->saved);
    assert_true(x->matching->n_curve == 2 && x->matching->curve[1].similarity == 0.25f && x->matching->curve[1].fnmr == 0.125f);
    mien_models_free(&m);
    x = embedder(PACK(DETECTOR "," EMBEDDED("[" OTHERS "]"), "\"detect\":\"d\""), &m);
    assert_true(x->threshold == 0.5f && x->threshold_foreign);
    mien_models_free(&m);
    x = embedder(PACK(EMBEDDED("[" OTHERS "," OWN "]"), ""), &m); /* no detector at all */
    assert_true(x->threshold == 0.5f && !x->threshold_foreign && x->n_measured == 0);
    mien_models_free(&m);
}

static void figures_are_read(void **state)
{
    (void)state;
    struct mien_models *m;
    const struct mien_model *x = embedder(PACK(FIGURED("[" FIGURE ",{\"measure\":\"yaw\",\"set\":\"AFLW\",\"n\":16,\"value\":4.5,\"low\":4,\"high\":5,"
                                                       "\"unit\":\"degrees\"}],\"obtained_from\":\"a mirror\""), ""), &m);
    assert_string_equal(x->obtained_from, "a mirror");
    assert_int_equal(x->n_measured, 2);
    const struct mien_measured *a = &x->measured[0], *b = &x->measured[1];
    assert_true(strcmp(a->measure, "accuracy") == 0 && strcmp(a->set, "LFW") == 0 && strcmp(a->conditions, "c") == 0 && strcmp(a->unit, "rate") == 0);
    assert_true(a->n == 1200 && a->value == 0.9 && a->low == 0.8 && a->high == 0.95 && a->saved);
    assert_true(strcmp(b->unit, "degrees") == 0 && b->conditions[0] == 0 && b->value == 4.5 && !b->saved);
    mien_models_free(&m);
}

static void what_is_not_installed_is_said(void **state)
{
    (void)state;
    struct mien_models *m;
    struct mien_net *net;
    struct mien_err e;
    TEST_TRY(parse(PACK(DETECTOR, ""), &m, &e), e);
    assert_int_equal(mien_models_net(m, mien_models_at(m, 0), &net, &e), MIEN_E_MODEL_MISSING);
    assert_non_null(strstr(e.msg, "\"d\""));
    mien_models_free(&m);
    assert_int_equal(mien_models_open("/nonexistent", NULL, &m, &e), MIEN_E_MODEL_MISSING);
    assert_null(m);
    mien_models_free(&m);
    mien_models_free(NULL);
}

/* ---- the installed pack ---- */

static void every_installed_network_opens(void **state)
{
    (void)state;
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    struct mien_err e = {0};
    int opened = 0;
    for (int i = 0; i < mien_models_count(p.models); i++) {
        const struct mien_model *m = mien_models_at(p.models, i);
        struct mien_net *net, *again;
        if (!m->installed) continue;
        TEST_TRY(mien_models_net(p.models, m, &net, &e), e);
        TEST_TRY(mien_models_net(p.models, m, &again, &e), e);
        assert_true(net == again);
        for (int k = 0; k < m->n_outputs; k++) assert_true(mien_model_output(m, m->output[k].role, net) >= 0);
        assert_int_equal(mien_model_output(m, "nothing", net), -1);
        opened++;
    }
    assert_true(opened > 0);
    test_pack_close(&p);
}

struct opener { struct mien_models *models; struct mien_net *net; enum mien_code code; };

static void *open_it(void *context)
{
    struct opener *o = context;
    o->code = mien_models_net(o->models, mien_models_role(o->models, MIEN_ROLE_DETECT, 0), &o->net, NULL);
    return NULL;
}

static void threads_share_one_network(void **state)
{
    (void)state;
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    test_need_role(&p, MIEN_ROLE_DETECT);
    struct opener o[4];
    pthread_t t[4];
    for (int i = 0; i < 4; i++) {
        o[i] = (struct opener){p.models, NULL, MIEN_E_INTERNAL};
        assert_int_equal(pthread_create(&t[i], NULL, open_it, &o[i]), 0);
    }
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < 4; i++) assert_true(o[i].code == MIEN_OK && o[i].net == o[0].net);
    test_pack_close(&p);
}

static struct mien_model_usage usage_of(const struct test_pack *p, const struct mien_model *m)
{
    int i = 0;
    while (mien_models_at(p->models, i) != m) i++;
    return mien_models_usage(p->models, i);
}

/* After warming, each network of the wants has run once and holds its plan; the others are not even open. */
static void warming_runs_what_is_wanted(void **state)
{
    (void)state;
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    struct mien_err e = {0};
    test_need_role(&p, MIEN_ROLE_DETECT);
    test_need_role(&p, MIEN_ROLE_EMBED);
    const struct mien_model *detect = mien_models_role(p.models, MIEN_ROLE_DETECT, 0), *embed = mien_models_role(p.models, MIEN_ROLE_EMBED, 0);
    const struct mien_model *mesh = mien_models_role(p.models, MIEN_ROLE_LANDMARKS, 0);
    assert_int_equal(usage_of(&p, embed).runs, 0);
    if (mien_face_warm(p.models, p.session, MIEN_WANT_EMBEDDING, &e) != MIEN_OK) fail_msg("%s", e.msg);
    assert_int_equal(usage_of(&p, embed).runs, 1);
    assert_true(usage_of(&p, embed).ns > 0 && usage_of(&p, detect).runs >= 3);
    if (mesh != NULL) assert_int_equal(usage_of(&p, mesh).runs, 0);
    if (mien_face_warm(p.models, p.session, ~0u, &e) != MIEN_OK) fail_msg("%s", e.msg);
    if (mesh != NULL && mesh->installed) assert_int_equal(usage_of(&p, mesh).runs, 1);
    assert_int_equal(mien_models_usage(p.models, -1).runs + mien_models_usage(p.models, mien_models_count(p.models)).runs, 0);
    test_pack_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_is_read), cmocka_unit_test(points_and_rows_are_read), cmocka_unit_test(every_mistake_is_named),
        cmocka_unit_test(the_pack_itself_is_checked),
        cmocka_unit_test(the_threshold_is_that_of_the_detector), cmocka_unit_test(figures_are_read),
        cmocka_unit_test(what_is_not_installed_is_said), cmocka_unit_test(every_installed_network_opens), cmocka_unit_test(threads_share_one_network),
        cmocka_unit_test(warming_runs_what_is_wanted),
    };
    return cmocka_run_group_tests_name("face/models", tests, NULL, NULL);
}
