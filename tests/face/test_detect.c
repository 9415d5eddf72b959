// Detection over real photos: what is found in labelled sets, and what must not change it.
#include "support/faces.h"

#include <math.h>

#include "codec/json.h"
#include "face/inner.h"

/* ---- helpers ---- */

struct result { struct mien_detection *face; int n; };

static struct result detect(struct test_pack *p, struct mien_photo *photo, const struct mien_face_settings *s)
{
    struct mien_err e = {0};
    struct result r = {0};
    TEST_TRY(mien_detect(p->models, p->session, photo, s, p->arena, &r.face, &r.n, &e), e);
    for (int i = 1; i < r.n; i++) {
        const struct mien_box *a = &r.face[i - 1].box, *b = &r.face[i].box;
        assert_true((a->x1 - a->x0) * (a->y1 - a->y0) >= (b->x1 - b->x0) * (b->y1 - b->y0)); /* largest first */
    }
    return r;
}

static float iou(const struct mien_box *a, const struct mien_box *b)
{
    float w = fminf(a->x1, b->x1) - fmaxf(a->x0, b->x0), h = fminf(a->y1, b->y1) - fmaxf(a->y0, b->y0);
    if (w <= 0 || h <= 0) return 0;
    return w * h / ((a->x1 - a->x0) * (a->y1 - a->y0) + (b->x1 - b->x0) * (b->y1 - b->y0) - w * h);
}

static bool holds(const struct mien_box *b, float x, float y) { return x >= b->x0 && x <= b->x1 && y >= b->y0 && y <= b->y1; }

/* Eyes above nose above mouth, left before right: along the eye line, whatever the head's roll. */
static void assert_points_make_a_face(const struct mien_detection *d)
{
    const float *p = d->point, ex = p[2] - p[0], ey = p[3] - p[1];
    const float mx = 0.5f * (p[6] + p[8] - p[0] - p[2]), my = 0.5f * (p[7] + p[9] - p[1] - p[3]);
    assert_true(ex * my - ey * mx > 0.0f);
    for (int i = 0; i < 10; i++) assert_true(isfinite(p[i]));
}

static struct mien_json *json_of(const char *path)
{
    unsigned char *text;
    size_t n;
    struct mien_json *root;
    struct mien_err e = {0};
    TEST_TRY(mien_file_read(path, 64u << 20, &text, &n, &e), e);
    TEST_TRY(mien_json_parse((const char *)text, n, &root, &e), e);
    free(text);
    return root;
}

/* Detectors for selfies (blazeface) do not see small faces. */
static bool sees_small_faces(const struct test_pack *p) { return mien_models_role(p->models, MIEN_ROLE_DETECT, 0)->decoder != MIEN_DECODER_BLAZEFACE; }

/* ---- labelled sets ---- */

static void every_single_portrait_has_its_face(void **state)
{
    (void)state;
    static struct test_csv csv;
    char path[4096];
    test_data(path, "deepface_pairs/index.csv");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    test_csv_read(path, &csv);
    int photos = 0, found = 0, extra = 0;
    for (int i = 1; i < csv.rows; i += TEST_STRIDE) {
        if (test_csv_at(&csv, i, "identity")[0] == 0) continue;
        struct test_photo t = test_photo_open("deepface_pairs", csv.cell[i][0]);
        struct result r = detect(&p, t.photo, NULL);
        photos++;
        found += r.n >= 1;
        extra += r.n > 1 ? r.n - 1 : 0;
        if (r.n >= 1) assert_points_make_a_face(&r.face[0]);
        else printf("no face: %s\n", csv.cell[i][0]);
        test_photo_close(&t);
        test_pack_next(&p);
    }
    printf("deepface_pairs: %d of %d photos, %d further faces\n", found, photos, extra);
    assert_true(photos > 0 && found == photos);
    free(csv.text);
    test_pack_close(&p);
}

static void groups_are_found_by_their_noses(void **state)
{
    (void)state;
    char path[4096];
    test_data(path, "compreface_samples/annotations.json");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    struct mien_json *root = json_of(path);
    int faces = 0, found = 0, boxes = 0;
    for (size_t i = 0; i < mien_json_size(root); i++) {
        const struct mien_json *v = mien_json_at(root, i), *noses = mien_json_get(v, "noses");
        struct test_photo t = test_photo_open("compreface_samples", mien_json_string(mien_json_get(v, "file"), ""));
        struct result r = detect(&p, t.photo, NULL);
        boxes += r.n;
        for (size_t k = 0; k < mien_json_size(noses); k++) {
            float xy[2];
            int j = 0;
            assert_true(mien_json_floats(mien_json_at(noses, k), xy, 2));
            while (j < r.n && !holds(&r.face[j].box, xy[0], xy[1])) j++;
            faces++;
            found += j < r.n;
        }
        test_photo_close(&t);
        test_pack_next(&p);
    }
    printf("compreface_samples: %d of %d faces, %d boxes\n", found, faces, boxes);
    assert_int_equal(found, faces);
    assert_true(boxes <= faces + 2);
    mien_json_free(&root);
    test_pack_close(&p);
}

/* Boxes of these sets are drawn in other ways than the detector's: IoU 0.4 counts as found. */
struct tally { int faces, found, boxes; bool small; };

static void count_boxes(const struct result *r, const struct mien_json *faces, float scale_to, float min_px, struct tally *t)
{
    t->boxes += r->n;
    for (size_t k = 0; k < mien_json_size(faces); k++) {
        float b[4];
        assert_true(mien_json_floats(mien_json_get(mien_json_at(faces, k), "box"), b, 4));
        struct mien_box box = {b[0] * scale_to, b[1] * scale_to, b[2] * scale_to, b[3] * scale_to};
        if (fminf(box.x1 - box.x0, box.y1 - box.y0) < min_px) continue;
        int j = 0;
        while (j < r->n && iou(&r->face[j].box, &box) < 0.4f) j++;
        t->faces++;
        t->found += j < r->n;
    }
}

static struct tally tally_of(const char *folder, int stride, float min_px, const struct mien_face_settings *s)
{
    char path[4096], name[256];
    struct tally t = {0};
    snprintf(name, sizeof name, "%s/annotations.json", folder);
    test_data(path, name);
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    struct mien_json *root = json_of(path);
    t.small = sees_small_faces(&p);
    for (size_t i = 0; i < mien_json_size(root); i += (size_t)stride) {
        const struct mien_json *v = mien_json_at(root, i);
        struct test_photo photo = test_photo_open(folder, mien_json_string(mien_json_get(v, "file"), ""));
        struct result r = detect(&p, photo.photo, s);
        count_boxes(&r, mien_json_get(v, "faces"), 1.0f, min_px, &t);
        test_photo_close(&photo);
        test_pack_next(&p);
    }
    mien_json_free(&root);
    test_pack_close(&p);
    return t;
}

static void labelled_boxes_are_found(void **state)
{
    (void)state;
    struct tally t = tally_of("dlib_faces_boxes68", 1, 0, NULL);
    printf("dlib_faces_boxes68: %d of %d faces, %d boxes\n", t.found, t.faces, t.boxes);
    assert_true(t.faces == 43 && t.found >= 41 && t.boxes <= 55);
    t = tally_of("wider_val_416", TEST_STRIDE, 16, NULL);
    printf("wider_val_416: %d of %d faces of 16 px or more, %d boxes\n", t.found, t.faces, t.boxes);
    assert_true(t.found * 100 >= t.faces * (!t.small ? 50 : TEST_STRIDE > 1 ? 75 : 85));
}

/* Portraits cut so that the face fills the frame: missed at 640, found at 320 or 160. */
static void closeups_are_found(void **state)
{
    (void)state;
    static struct test_csv csv;
    char path[4096];
    test_data(path, "deepface_pairs/index.csv");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    test_csv_read(path, &csv);
    int closeups = 0, found = 0, in_place = 0;
    for (int i = 1; i < csv.rows; i += TEST_STRIDE) {
        struct test_photo t = test_photo_pixels("deepface_pairs", csv.cell[i][0], 0.0f, false);
        struct result r = detect(&p, t.photo, NULL);
        if (r.n == 1) {
            const struct mien_box b = r.face[0].box;
            const float mx = 0.05f * (b.x1 - b.x0), my = 0.05f * (b.y1 - b.y0);
            const int x0 = (int)fmaxf(b.x0 - mx, 0), y0 = (int)fmaxf(b.y0 - my, 0);
            const int x1 = (int)fminf(b.x1 + mx, (float)t.pixels.width), y1 = (int)fminf(b.y1 + my, (float)t.pixels.height);
            const struct mien_image tight = {.px = t.pixels.px + (size_t)y0 * t.pixels.stride + 3 * (size_t)x0,
                                             .width = x1 - x0, .height = y1 - y0, .stride = t.pixels.stride};
            struct mien_photo *photo;
            struct mien_err e = {0};
            TEST_TRY(mien_photo_from_pixels(&tight, &photo, &e), e);
            struct result c = detect(&p, photo, NULL);
            const struct mien_box where = {b.x0 - (float)x0, b.y0 - (float)y0, b.x1 - (float)x0, b.y1 - (float)y0};
            closeups++;
            found += c.n >= 1;
            in_place += c.n >= 1 && iou(&c.face[0].box, &where) > 0.5f;
            mien_photo_free(&photo);
        }
        test_photo_close(&t);
        test_pack_next(&p);
    }
    printf("close-ups: %d of %d found, %d with IoU over 0.5\n", found, closeups, in_place);
    assert_true(closeups > 0 && found == closeups && in_place == closeups);
    free(csv.text);
    test_pack_close(&p);
}

static void no_face_is_no_error(void **state)
{
    (void)state;
    char path[4096];
    test_data(path, "compreface_samples/images/017_0.jpg");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    static const char *const NAME[][2] = {{"compreface_samples", "images/017_0.jpg"}, {"dlib_faces_boxes68", "images/dogs.jpg"}};
    for (int i = 0; i < 2; i++) {
        struct test_photo t = test_photo_open(NAME[i][0], NAME[i][1]);
        struct result r = detect(&p, t.photo, NULL);
        if (i == 0) { /* the muzzles of the dogs do pass for faces */
            assert_int_equal(r.n, 0);
            assert_null(r.face);
        }
        printf("%s: %d faces\n", NAME[i][1], r.n);
        r = detect(&p, t.photo, &(struct mien_face_settings){.rotations = true, .small_faces = true});
        printf("%s: %d faces when every pass is tried\n", NAME[i][1], r.n);
        test_photo_close(&t);
    }
    uint8_t px[3] = {9, 9, 9}; /* one pixel */
    const struct mien_image dot = {px, 1, 1, 3};
    struct mien_photo *photo;
    struct mien_err e = {0};
    TEST_TRY(mien_photo_from_pixels(&dot, &photo, &e), e);
    assert_int_equal(detect(&p, photo, &(struct mien_face_settings){.rotations = true, .small_faces = true}).n, 0);
    mien_photo_free(&photo);
    struct mien_image thin;
    TEST_TRY(mien_image_alloc(5000, 2, &thin, &e), e);
    memset(thin.px, 77, thin.stride * 2);
    TEST_TRY(mien_photo_from_pixels(&thin, &photo, &e), e);
    assert_int_equal(detect(&p, photo, &(struct mien_face_settings){.rotations = true, .small_faces = true}).n, 0);
    mien_photo_free(&photo);
    mien_image_free(&thin);
    test_pack_close(&p);
}

/* ---- settings ---- */

static void scores_and_sizes_can_be_limited(void **state)
{
    (void)state;
    char path[4096];
    test_data(path, "compreface_samples/images/000_5.jpg");
    struct test_pack p = test_pack_open(MIEN_PRECISION_F32);
    struct test_photo t = test_photo_open("compreface_samples", "images/000_5.jpg");
    struct result all = detect(&p, t.photo, NULL);
    assert_int_equal(all.n, 5);
    float side = fminf(all.face[2].box.x1 - all.face[2].box.x0, all.face[2].box.y1 - all.face[2].box.y0);
    struct result large = detect(&p, t.photo, &(struct mien_face_settings){.min_face_px = (int)side});
    assert_true(large.n >= 3 && large.n < 5);
    float best = 0;
    for (int i = 0; i < 5; i++) best = fmaxf(best, all.face[i].score);
    struct result sure = detect(&p, t.photo, &(struct mien_face_settings){.min_score = best - 1e-4f});
    assert_true(sure.n >= 1 && sure.n < 5);
    struct mien_err e = {0};
    assert_int_equal(mien_detect(p.models, p.session, t.photo, &(struct mien_face_settings){.min_score = 1.5f}, p.arena, &all.face, &all.n, &e), MIEN_E_ARG);
    test_photo_close(&t);
    test_pack_close(&p);
}

/* `quarters` quarter turns clockwise. */
static struct mien_image turned(const struct mien_image *im, int quarters)
{
    struct mien_image to;
    struct mien_err e = {0};
    bool swap = quarters % 2;
    TEST_TRY(mien_image_alloc(swap ? im->height : im->width, swap ? im->width : im->height, &to, &e), e);
    for (int y = 0; y < im->height; y++)
        for (int x = 0; x < im->width; x++) {
            int u = quarters == 1 ? im->height - 1 - y : quarters == 2 ? im->width - 1 - x : y;
            int v = quarters == 1 ? x : quarters == 2 ? im->height - 1 - y : im->width - 1 - x;
            memcpy(to.px + (size_t)v * to.stride + 3 * (size_t)u, im->px + (size_t)y * im->stride + 3 * (size_t)x, 3);
        }
    return to;
}

static void rotated_photos_are_found_on_request(void **state)
{
    (void)state;
    static const char *const NAME[] = {"images/img1.jpg", "images/img8.jpg", "images/img13.jpg", "images/img20.jpg"};
    char path[4096];
    test_data(path, "deepface_pairs/index.csv");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    double worst = 0, plain = 0;
    for (int i = 0; i < 4; i++) {
        struct test_photo t = test_photo_pixels("deepface_pairs", NAME[i], 0.0f, false);
        struct result upright = detect(&p, t.photo, NULL);
        assert_int_equal(upright.n, 1);
        for (int quarters = 1; quarters <= 3; quarters++) {
            struct mien_image im = turned(&t.pixels, quarters);
            struct mien_photo *photo;
            struct mien_err e = {0};
            TEST_TRY(mien_photo_from_pixels(&im, &photo, &e), e);
            struct result without = detect(&p, photo, NULL), r = detect(&p, photo, &(struct mien_face_settings){.rotations = true});
            const float *a = upright.face[0].point, w = (float)t.pixels.width, h = (float)t.pixels.height, eyes = hypotf(a[2] - a[0], a[3] - a[1]);
            if (r.n != 1) fail_msg("%s turned by %d: %d faces", NAME[i], 90 * quarters, r.n);
            for (int k = 0; k < 10; k += 2) { /* the same eye, nose and mouth corner, where the turn put them */
                float x = quarters == 1 ? h - a[k + 1] : quarters == 2 ? w - a[k] : a[k + 1];
                float y = quarters == 1 ? a[k] : quarters == 2 ? h - a[k + 1] : w - a[k];
                worst = fmax(worst, (double)(hypotf(r.face[0].point[k] - x, r.face[0].point[k + 1] - y) / eyes));
                if (without.n > 0) plain = fmax(plain, (double)(hypotf(without.face[0].point[k] - x, without.face[0].point[k + 1] - y) / eyes));
            }
            mien_photo_free(&photo);
            mien_image_free(&im);
        }
        test_photo_close(&t);
    }
    printf("12 turned photos: points off by at most %.3f of the eye distance, %.3f without turning back\n", worst, plain);
    assert_true(worst < 0.15);
    test_pack_close(&p);
}

/* A portrait shrunk into the corner of a large gray picture, as on a scanned document. */
static void small_faces_are_found_on_request(void **state)
{
    (void)state;
    char path[4096];
    test_data(path, "compreface_samples/images/000_5.jpg");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    struct test_photo t = test_photo_pixels("compreface_samples", "images/000_5.jpg", 0.0f, false);
    struct result near = detect(&p, t.photo, NULL);
    struct mien_image sheet;
    struct mien_photo *photo;
    struct mien_err e = {0};
    const int factor = 3, left = 2900, top = 2100, w = t.pixels.width / factor, h = t.pixels.height / factor;
    TEST_TRY(mien_image_alloc(4000, 3000, &sheet, &e), e);
    memset(sheet.px, 128, sheet.stride * 3000);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < 3 * w; x++) {
            int sum = 0;
            for (int k = 0; k < factor * factor; k++) {
                const int from_x = factor * (x / 3) + k % factor, from_y = factor * y + k / factor;
                sum += t.pixels.px[(size_t)from_y * t.pixels.stride + (size_t)(3 * from_x + x % 3)];
            }
            sheet.px[(size_t)(top + y) * sheet.stride + (size_t)(3 * left + x)] = (uint8_t)(sum / (factor * factor));
        }
    TEST_TRY(mien_photo_from_pixels(&sheet, &photo, &e), e);
    struct result without = detect(&p, photo, NULL), r = detect(&p, photo, &(struct mien_face_settings){.small_faces = true});
    int matched = 0;
    for (int i = 0; i < near.n; i++) {
        struct mien_box b = near.face[i].box;
        const struct mien_box where = {b.x0 / 3 + 2900, b.y0 / 3 + 2100, b.x1 / 3 + 2900, b.y1 / 3 + 2100};
        for (int k = 0; k < r.n; k++) matched += iou(&r.face[k].box, &where) > 0.5f;
    }
    printf("faces of 30 px on 12 megapixels: %d found without tiles, %d with, %d in place\n", without.n, r.n, matched);
    assert_true(without.n < 5 && (!sees_small_faces(&p) || (r.n >= 5 && r.n <= 6 && matched == 5)));
    mien_photo_free(&photo);
    mien_image_free(&sheet);
    test_photo_close(&t);
    test_pack_close(&p);
}

/* The same faces are found with tiles as without, once each. */
static void tiles_do_not_double_faces(void **state)
{
    (void)state;
    static const char *const NAME[] = {"images/couple.jpg", "images/img13.jpg", "images/img31.jpg", "images/img33.jpg"};
    char path[4096];
    test_data(path, "deepface_pairs/index.csv");
    struct test_pack p = test_pack_open(MIEN_PRECISION_AUTO);
    for (int i = 0; i < 4; i++) {
        struct test_photo t = test_photo_open("deepface_pairs", NAME[i]);
        struct result a = detect(&p, t.photo, NULL), b = detect(&p, t.photo, &(struct mien_face_settings){.small_faces = true});
        for (int k = 0; k < a.n; k++) {
            int hits = 0;
            for (int j = 0; j < b.n; j++) hits += iou(&a.face[k].box, &b.face[j].box) > 0.4f;
            assert_int_equal(hits, 1);
        }
        if (b.n != a.n) printf("%s: %d faces, %d with tiles\n", NAME[i], a.n, b.n);
        test_photo_close(&t);
    }
    test_pack_close(&p);
}

/* ---- every decoder of the catalogue ---- */

#define LEVELS3(n) "[{\"stride\":8,\"anchors\":" #n "},{\"stride\":16,\"anchors\":" #n "},{\"stride\":32,\"anchors\":" #n "}]"
#define IN(side, channels, mean, scale)                                                                                                           \
    "\"input\":{\"width\":" #side ",\"height\":" #side ",\"channels\":\"" channels "\",\"mean\":[" mean "],\"scale\":[" scale "]}"
#define SCRFD(id)                                                                                                                                  \
    "{\"id\":\"" id "\",\"task\":\"detect\",\"file\":\"" id ".onnx\"," IN(640, "rgb", "127.5", "0.0078125") ",\"crop\":{\"kind\":\"letterbox\"},"    \
    "\"decoder\":\"scrfd\",\"sizes\":[640,320,160],\"levels\":" LEVELS3(2) ",\"score_threshold\":0.5,\"nms_iou\":0.4,"                             \
    "\"outputs\":{\"score_8\":\"score_8\",\"score_16\":\"score_16\",\"score_32\":\"score_32\",\"bbox_8\":\"bbox_8\",\"bbox_16\":\"bbox_16\","       \
    "\"bbox_32\":\"bbox_32\",\"kps_8\":\"kps_8\",\"kps_16\":\"kps_16\",\"kps_32\":\"kps_32\"}}"
static const char DETECTORS[] =
    "{\"version\":1,\"pack\":\"test\",\"roles\":{},\"models\":[" SCRFD("scrfd_2.5g_bnkps") "," SCRFD("scrfd_500m_bnkps") ","
    "{\"id\":\"yunet_n\",\"task\":\"detect\",\"file\":\"yunet_n.onnx\"," IN(640, "bgr", "0", "1") ",\"crop\":{\"kind\":\"letterbox\"},"
    "\"decoder\":\"yunet\",\"sizes\":[640,320,160],\"levels\":" LEVELS3(1) ",\"score_threshold\":0.6,\"nms_iou\":0.45,"
    "\"outputs\":{\"cls_8\":\"cls_8\",\"cls_16\":\"cls_16\",\"cls_32\":\"cls_32\",\"obj_8\":\"obj_8\",\"obj_16\":\"obj_16\",\"obj_32\":\"obj_32\","
    "\"bbox_8\":\"bbox_8\",\"bbox_16\":\"bbox_16\",\"bbox_32\":\"bbox_32\",\"kps_8\":\"kps_8\",\"kps_16\":\"kps_16\",\"kps_32\":\"kps_32\"}},"
    "{\"id\":\"retinaface_mnet025\",\"task\":\"detect\",\"file\":\"retinaface_mnet025.onnx\"," IN(640, "bgr", "104,117,123", "1") ","
    "\"crop\":{\"kind\":\"letterbox\"},\"decoder\":\"retinaface\",\"sizes\":[640,320,160],\"levels\":[{\"stride\":8,\"anchors\":2,\"sizes\":[16,32]},"
    "{\"stride\":16,\"anchors\":2,\"sizes\":[64,128]},{\"stride\":32,\"anchors\":2,\"sizes\":[256,512]}],\"score_threshold\":0.5,\"nms_iou\":0.4,"
    "\"outputs\":{\"bbox\":\"bbox\",\"conf\":\"conf\",\"landm\":\"landm\"}},"
    "{\"id\":\"mp_blazeface_short\",\"task\":\"detect\",\"file\":\"mp_blazeface_short.onnx\"," IN(128, "rgb", "127.5", "0.0078431373") ","
    "\"crop\":{\"kind\":\"center_square\"},\"decoder\":\"blazeface\",\"sizes\":[128],\"levels\":[{\"stride\":8,\"anchors\":2},{\"stride\":16,\"anchors\":6}],"
    "\"score_threshold\":0.5,\"nms_iou\":0.3,\"outputs\":{\"boxes\":\"regressors\",\"scores\":\"classificators\"}},"
    "{\"id\":\"blazeface_back\",\"task\":\"detect\",\"file\":\"blazeface_back.onnx\"," IN(256, "rgb", "127.5", "0.0078431373") ","
    "\"crop\":{\"kind\":\"center_square\"},\"decoder\":\"blazeface\",\"sizes\":[256],\"levels\":[{\"stride\":16,\"anchors\":2},{\"stride\":32,\"anchors\":6}],"
    "\"score_threshold\":0.5,\"nms_iou\":0.3,\"outputs\":{\"boxes_16\":\"boxes_16\",\"boxes_32\":\"boxes_32\","
    "\"scores_16\":\"scores_16\",\"scores_32\":\"scores_32\"}},"
    "{\"id\":\"faceapi_ssd_mobilenetv1\",\"task\":\"detect\",\"file\":\"faceapi_ssd_mobilenetv1.onnx\"," IN(512, "rgb", "127.5", "0.0078431373") ","
    "\"crop\":{\"kind\":\"letterbox\"},\"decoder\":\"ssd\",\"sizes\":[512],\"score_threshold\":0.5,\"nms_iou\":0.5,"
    "\"outputs\":{\"boxes\":\"boxes\",\"scores\":\"scores\"}}]}";

/* One photo by every detector that is there: boxes agree with yunet's (IoU 0.5), points lie on the same features. */
static int compare_detectors(struct test_pack *p, struct test_photo *t, int *agree, double *point_error)
{
    struct mien_err e = {0};
    struct result truth;
    const struct mien_model *yunet = mien_models_find(p->models, "yunet_n");
    TEST_TRY(mien_detect_timed(p->models, yunet, p->session, t->photo, NULL, p->arena, &truth.face, &truth.n, NULL, &e), e);
    if (truth.n != 1) return 0;
    const float *q = truth.face[0].point, eyes = hypotf(q[2] - q[0], q[3] - q[1]);
    for (int k = 0; k < mien_models_count(p->models); k++) {
        const struct mien_model *m = mien_models_at(p->models, k);
        struct result r;
        if (!m->installed) continue;
        TEST_TRY(mien_detect_timed(p->models, m, p->session, t->photo, NULL, p->arena, &r.face, &r.n, NULL, &e), e);
        if (r.n < 1 || iou(&r.face[0].box, &truth.face[0].box) <= 0.5f) continue;
        agree[k]++;
        for (int i = 0; i < 10; i += 2) point_error[k] += (double)(hypotf(r.face[0].point[i] - q[i], r.face[0].point[i + 1] - q[i + 1]) / eyes / 5);
    }
    return 1;
}

static void all_decoders_find_the_same_faces(void **state)
{
    (void)state;
    static struct test_csv csv;
    char path[4096], dir[4000], file[4096];
    const char *mirror = getenv("MIEN_TEST_MODELS");
    snprintf(dir, sizeof dir, "%s/onnx", mirror != NULL ? mirror : "(MIEN_TEST_MODELS is not set)");
    snprintf(file, sizeof file, "%s/yunet_n.onnx", dir);
    FILE *f = fopen(file, "rb");
    if (f == NULL) test_skip(file);
    else fclose(f);
    test_data(path, "deepface_pairs/index.csv");
    struct mien_err e = {0};
    struct test_pack p = {.arena = mien_arena_create(1u << 30)};
    const struct mien_models_settings f32 = {MIEN_PRECISION_F32};
    TEST_TRY(mien_models_parse(DETECTORS, sizeof DETECTORS - 1, dir, &f32, &p.models, &e), e);
    TEST_TRY(mien_session_create(&p.session, &e), e);
    test_csv_read(path, &csv);
    int photos = 0, agree[8] = {0};
    double point_error[8] = {0};
    for (int i = 1; i < csv.rows; i += 3 * TEST_STRIDE) {
        struct test_photo t = test_photo_open("deepface_pairs", csv.cell[i][0]);
        photos += compare_detectors(&p, &t, agree, point_error);
        test_photo_close(&t);
        test_pack_next(&p);
    }
    for (int k = 0; k < mien_models_count(p.models); k++) {
        const struct mien_model *m = mien_models_at(p.models, k);
        if (!m->installed) {
            printf("skipped: no %s\n", m->file);
            continue;
        }
        printf("%-24s %d of %d photos agree with yunet_n, points differ by %.3f of the eye distance\n", m->id, agree[k], photos, point_error[k] / agree[k]);
        assert_true(agree[k] * 10 >= photos * (m->decoder == MIEN_DECODER_BLAZEFACE ? 7 : 9)); /* blazeface: selfie range only */
        assert_true(point_error[k] / agree[k] < (m->decoder == MIEN_DECODER_SSD ? 0.25 : 0.15));
    }
    assert_true(photos > 0);
    free(csv.text);
    test_pack_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_single_portrait_has_its_face), cmocka_unit_test(groups_are_found_by_their_noses), cmocka_unit_test(labelled_boxes_are_found),
        cmocka_unit_test(closeups_are_found), cmocka_unit_test(no_face_is_no_error), cmocka_unit_test(scores_and_sizes_can_be_limited),
        cmocka_unit_test(rotated_photos_are_found_on_request), cmocka_unit_test(small_faces_are_found_on_request),
        cmocka_unit_test(tiles_do_not_double_faces), cmocka_unit_test(all_decoders_find_the_same_faces),
    };
    return cmocka_run_group_tests_name("face/detect", tests, NULL, NULL);
}
