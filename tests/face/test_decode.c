// Decoders: known boxes are written into outputs as each network would, and must come back; NMS.
#include "support/faces.h"

#include <math.h>

#include "face/inner.h"

enum { MAX_OUT = 12, ROOM = 512 };

/* Outputs of a made-up network: filled with what says "no face". */
struct outputs {
    struct mien_model m;
    float *data[MAX_OUT];
    struct mien_shape shape[MAX_OUT];
    int index[MAX_OUT];
};

static float *output(struct outputs *o, const char *role, int rows, int columns, float fill)
{
    int i = o->m.n_outputs++;
    assert_true(i < MAX_OUT);
    snprintf(o->m.output[i].role, sizeof o->m.output[i].role, "%s", role);
    o->shape[i] = (struct mien_shape){3, {1, rows, columns}};
    o->data[i] = malloc(sizeof(float) * (size_t)(rows * columns));
    assert_non_null(o->data[i]);
    for (int k = 0; k < rows * columns; k++) o->data[i][k] = fill;
    o->index[i] = i;
    return o->data[i];
}

static void outputs_free(struct outputs *o)
{
    for (int i = 0; i < o->m.n_outputs; i++) free(o->data[i]);
}

static void level(struct outputs *o, int stride, int anchors, float a, float b)
{
    int l = o->m.n_levels++;
    o->m.level[l].stride = stride;
    o->m.level[l].n_anchors = anchors;
    o->m.level[l].anchor[0] = a;
    o->m.level[l].anchor[1] = b;
}

static int decode(struct outputs *o, int w, int h, float threshold, struct mien_detection *found)
{
    return mien_decode(&o->m, w, h, (const float *const *)o->data, o->shape, o->index, threshold, found, ROOM);
}

static const struct mien_detection FACE = {{40.0f, 30.0f, 100.0f, 110.0f}, 0.8f, {55, 60, 85, 61, 70, 75, 58, 92, 83, 93}};

static void assert_is_face(const struct mien_detection *d)
{
    assert_float_equal(d->score, FACE.score, 1e-4);
    assert_float_equal(d->box.x0, FACE.box.x0, 1e-3);
    assert_float_equal(d->box.y0, FACE.box.y0, 1e-3);
    assert_float_equal(d->box.x1, FACE.box.x1, 1e-3);
    assert_float_equal(d->box.y1, FACE.box.y1, 1e-3);
    for (int i = 0; i < 10; i++) assert_float_equal(d->point[i], FACE.point[i], 1e-3);
}

/* A 192 x 128 canvas: rows and columns cannot be mixed up unnoticed. */
enum { W = 192, H = 128, COLUMN = 4, ROW = 3, STRIDE = 16, CELL = ROW * (W / STRIDE) + COLUMN };

static void scrfd_boxes_come_back(void **state)
{
    (void)state;
    struct outputs o = {.m.decoder = MIEN_DECODER_SCRFD};
    struct mien_detection found[ROOM];
    float *score = NULL, *bbox = NULL, *kps = NULL;
    for (int s = 8; s <= 32; s *= 2) {
        char role[24];
        int places = W / s * (H / s) * 2;
        level(&o, s, 2, 0, 0);
        snprintf(role, sizeof role, "score_%d", s);
        float *a = output(&o, role, places, 1, 0.49f);
        snprintf(role, sizeof role, "bbox_%d", s);
        float *b = output(&o, role, places, 4, 1.0f);
        snprintf(role, sizeof role, "kps_%d", s);
        float *c = output(&o, role, places, 10, 0.0f);
        if (s == STRIDE) score = a, bbox = b, kps = c;
    }
    const int place = 2 * CELL + 1; /* the second anchor of the cell */
    const float cx = COLUMN * STRIDE, cy = ROW * STRIDE;
    score[place] = FACE.score;
    const float distance[4] = {cx - FACE.box.x0, cy - FACE.box.y0, FACE.box.x1 - cx, FACE.box.y1 - cy};
    for (int i = 0; i < 4; i++) bbox[4 * place + i] = distance[i] / STRIDE;
    for (int i = 0; i < 10; i++) kps[10 * place + i] = (FACE.point[i] - (i % 2 ? cy : cx)) / STRIDE;
    assert_int_equal(decode(&o, W, H, 0.5f, found), 1);
    assert_is_face(&found[0]);
    assert_int_equal(decode(&o, W, H, 0.81f, found), 0);
    assert_int_equal(decode(&o, H, W, 0.5f, found), 1); /* the same number of places: another shape */
    assert_int_equal(decode(&o, W, H + 32, 0.5f, found), -1);
    outputs_free(&o);
}

static void yunet_boxes_come_back(void **state)
{
    (void)state;
    struct outputs o = {.m.decoder = MIEN_DECODER_YUNET};
    struct mien_detection found[ROOM];
    const int places = W / STRIDE * (H / STRIDE);
    level(&o, STRIDE, 1, 0, 0);
    float *cls = output(&o, "cls_16", places, 1, 1.0f), *obj = output(&o, "obj_16", places, 1, 0.0f);
    float *bbox = output(&o, "bbox_16", places, 4, 0.0f), *kps = output(&o, "kps_16", places, 10, 0.0f);
    const float cx = COLUMN * STRIDE, cy = ROW * STRIDE;
    cls[CELL] = 1.2f; /* clipped to 1 */
    obj[CELL] = FACE.score * FACE.score;
    bbox[4 * CELL] = (0.5f * (FACE.box.x0 + FACE.box.x1) - cx) / STRIDE;
    bbox[4 * CELL + 1] = (0.5f * (FACE.box.y0 + FACE.box.y1) - cy) / STRIDE;
    bbox[4 * CELL + 2] = logf((FACE.box.x1 - FACE.box.x0) / STRIDE);
    bbox[4 * CELL + 3] = logf((FACE.box.y1 - FACE.box.y0) / STRIDE);
    for (int i = 0; i < 10; i++) kps[10 * CELL + i] = (FACE.point[i] - (i % 2 ? cy : cx)) / STRIDE;
    assert_int_equal(decode(&o, W, H, 0.79f, found), 1);
    assert_is_face(&found[0]);
    assert_int_equal(decode(&o, W, H, 0.81f, found), 0);
    bbox[4 * CELL + 2] = 500.0f; /* exp overflows: not a box */
    assert_int_equal(decode(&o, W, H, 0.6f, found), 0);
    bbox[4 * CELL + 2] = 1.0f;
    kps[10 * CELL + 3] = NAN;
    assert_int_equal(decode(&o, W, H, 0.6f, found), 0);
    kps[10 * CELL + 3] = 0.0f;
    obj[CELL] = NAN;
    assert_int_equal(decode(&o, W, H, 0.6f, found), 0);
    outputs_free(&o);
}

static void retinaface_boxes_come_back(void **state)
{
    (void)state;
    struct outputs o = {.m.decoder = MIEN_DECODER_RETINAFACE};
    struct mien_detection found[ROOM];
    level(&o, 8, 2, 16, 32);
    level(&o, 16, 2, 64, 128);
    const int first = W / 8 * (H / 8) * 2, places = first + W / 16 * (H / 16) * 2, at = first + 2 * CELL + 1;
    float *bbox = output(&o, "bbox", places, 4, 0.0f), *conf = output(&o, "conf", places, 2, 0.0f), *landm = output(&o, "landm", places, 10, 0.0f);
    const float size = 128.0f, cx = (COLUMN + 0.5f) * STRIDE, cy = (ROW + 0.5f) * STRIDE;
    for (int i = 0; i < places; i++) conf[2 * i] = 1.0f; /* index 0 is background */
    conf[2 * at + 1] = FACE.score;
    bbox[4 * at] = (0.5f * (FACE.box.x0 + FACE.box.x1) - cx) / (0.1f * size);
    bbox[4 * at + 1] = (0.5f * (FACE.box.y0 + FACE.box.y1) - cy) / (0.1f * size);
    bbox[4 * at + 2] = logf((FACE.box.x1 - FACE.box.x0) / size) / 0.2f;
    bbox[4 * at + 3] = logf((FACE.box.y1 - FACE.box.y0) / size) / 0.2f;
    for (int i = 0; i < 10; i++) landm[10 * at + i] = (FACE.point[i] - (i % 2 ? cy : cx)) / (0.1f * size);
    assert_int_equal(decode(&o, W, H, 0.5f, found), 1);
    assert_is_face(&found[0]);
    outputs_free(&o);
}

/* One tensor a level and one tensor of all levels mean the same. */
static void blazeface_boxes_come_back(void **state)
{
    (void)state;
    for (int flat = 0; flat < 2; flat++) {
        struct outputs o = {.m.decoder = MIEN_DECODER_BLAZEFACE};
        struct mien_detection found[ROOM];
        level(&o, 8, 2, 0, 0);
        level(&o, 16, 6, 0, 0);
        const int one = W / 8 * (H / 8) * 2, two = W / 16 * (H / 16) * 6;
        float *scores, *boxes;
        if (flat) {
            boxes = output(&o, "boxes", one + two, 16, 0.0f) + 16 * one;
            scores = output(&o, "scores", one + two, 1, -5.0f) + one;
        } else {
            output(&o, "boxes_8", one, 16, 0.0f);
            output(&o, "scores_8", one, 1, -5.0f);
            boxes = output(&o, "boxes_16", two, 16, 0.0f);
            scores = output(&o, "scores_16", two, 1, -5.0f);
        }
        const int at = 6 * CELL + 5;
        const float cx = (COLUMN + 0.5f) * STRIDE, cy = (ROW + 0.5f) * STRIDE;
        float *b = boxes + 16 * at;
        scores[at] = logf(FACE.score / (1.0f - FACE.score));
        b[0] = 0.5f * (FACE.box.x0 + FACE.box.x1) - cx;
        b[1] = 0.5f * (FACE.box.y0 + FACE.box.y1) - cy;
        b[2] = FACE.box.x1 - FACE.box.x0;
        b[3] = FACE.box.y1 - FACE.box.y0;
        for (int i = 0; i < 6; i++) b[4 + i] = FACE.point[i] - (i % 2 ? cy : cx);
        b[10] = 70.5f - cx; /* mouth centre */
        b[11] = 92.5f - cy;
        assert_int_equal(decode(&o, W, H, 0.5f, found), 1);
        struct mien_detection got = found[0];
        assert_float_equal(0.5f * (got.point[6] + got.point[8]), 70.5f, 1e-3);
        assert_float_equal(0.5f * (got.point[7] + got.point[9]), 92.5f, 1e-3);
        assert_float_equal(got.point[8] - got.point[6], 30.0f * 29.2f / 35.2f, 1e-2); /* along the eye line */
        memcpy(got.point + 6, FACE.point + 6, 4 * sizeof(float));
        assert_is_face(&got);
        outputs_free(&o);
    }
}

static void ssd_boxes_come_back(void **state)
{
    (void)state;
    struct outputs o = {.m.decoder = MIEN_DECODER_SSD};
    struct mien_detection found[ROOM];
    float *boxes = output(&o, "boxes", 50, 4, 0.0f), *scores = output(&o, "scores", 1, 50, 0.0f);
    scores[7] = FACE.score;
    const float b[4] = {FACE.box.y0 / H, FACE.box.x0 / W, FACE.box.y1 / H, FACE.box.x1 / W};
    memcpy(boxes + 4 * 7, b, sizeof b);
    assert_int_equal(decode(&o, W, H, 0.5f, found), 1);
    struct mien_detection got = found[0];
    assert_true(got.point[0] > got.box.x0 && got.point[2] < got.box.x1 && got.point[0] < got.point[2]); /* eyes inside, left first */
    assert_true(got.point[5] > got.point[1] && got.point[7] > got.point[5] && got.point[7] < got.box.y1);
    memcpy(got.point, FACE.point, sizeof got.point);
    assert_is_face(&got);
    const float outside[4] = {-0.5f, 0.2f, 1.5f, 0.6f}; /* clipped to the picture */
    memcpy(boxes + 4 * 7, outside, sizeof outside);
    assert_int_equal(decode(&o, W, H, 0.5f, found), 1);
    assert_true(found[0].box.y0 == 0.0f && found[0].box.y1 == H);
    outputs_free(&o);
}

static void a_missing_output_is_reported_and_room_is_kept(void **state)
{
    (void)state;
    struct outputs o = {.m.decoder = MIEN_DECODER_SSD};
    struct mien_detection found[ROOM];
    float *boxes = output(&o, "boxes", 50, 4, 0.0f);
    for (int i = 0; i < 50; i++) boxes[4 * i + 2] = boxes[4 * i + 3] = 1.0f;
    assert_int_equal(decode(&o, W, H, 0.5f, found), -1);
    output(&o, "scores", 1, 50, 0.9f);
    assert_int_equal(decode(&o, W, H, 0.5f, found), 50);
    assert_int_equal(mien_decode(&o.m, W, H, (const float *const *)o.data, o.shape, o.index, 0.5f, found, 3), 3);
    o.index[1] = -1;
    assert_int_equal(decode(&o, W, H, 0.5f, found), -1);
    outputs_free(&o);
}

static struct mien_detection at(float x, float y, float side, float score)
{
    return (struct mien_detection){.box = {x, y, x + side, y + side}, .score = score};
}

static void nms_keeps_the_best_of_what_overlaps(void **state)
{
    (void)state;
    struct mien_detection d[] = {at(0, 0, 100, 0.7f), at(10, 0, 100, 0.9f), at(300, 0, 50, 0.6f), at(12, 0, 100, 0.8f), at(45, 0, 100, 0.65f)};
    /* IoU of shift s of side 100 is (100-s)/(100+s): 0.82 for 10, 0.48 for 35 */
    assert_int_equal(mien_nms(d, 5, 0.5f), 3);
    assert_true(d[0].score == 0.9f && d[1].score == 0.65f && d[2].score == 0.6f);
    assert_int_equal(mien_nms(d, 3, 0.45f), 2);
    assert_true(d[0].score == 0.9f && d[1].score == 0.6f);
    assert_int_equal(mien_nms(d, 0, 0.45f), 0);
}

static void nms_does_not_depend_on_the_order(void **state)
{
    (void)state;
    struct mien_detection a[64], b[64];
    unsigned seed = 7;
    for (int i = 0; i < 64; i++) {
        seed = seed * 1664525u + 1013904223u;
        a[i] = at((float)(seed >> 8 & 255), (float)(seed >> 16 & 255), 40, (float)(seed >> 28) / 16.0f); /* few distinct scores: ties */
        b[63 - i] = a[i];
    }
    int n = mien_nms(a, 64, 0.3f);
    assert_int_equal(mien_nms(b, 64, 0.3f), n);
    assert_true(n > 8 && n < 64);
    assert_memory_equal(a, b, sizeof *a * (size_t)n);
}

static void canvases_are_few_and_hold_the_picture(void **state)
{
    (void)state;
    int w, h, seen[64], n = 0;
    mien_detect_canvas(4000, 3000, 640, false, &w, &h);
    assert_true(w == 640 && h == 512);
    mien_detect_canvas(1080, 1920, 640, false, &w, &h);
    assert_true(w == 384 && h == 640);
    mien_detect_canvas(1080, 1920, 640, true, &w, &h);
    assert_true(w == 640 && h == 640);
    for (int x = 1; x <= 2000; x += 3) {
        mien_detect_canvas(1000, x, 640, false, &w, &h);
        assert_true(w % 32 == 0 && h % 32 == 0 && w <= 640 && h <= 640);
        assert_true((float)w / 1000.0f >= 640.0f / (float)(x > 1000 ? x : 1000) && (float)h / (float)x >= 640.0f / (float)(x > 1000 ? x : 1000) - 1e-6f);
        int k = 0;
        while (k < n && seen[k] != w * 10000 + h) k++;
        if (k == n) seen[n++] = w * 10000 + h;
    }
    assert_true(n <= 11);
    mien_detect_canvas(100, 90, 160, false, &w, &h);
    assert_true(w == 160 && h == 160);
}

static void sizes_begin_with_the_smallest_that_holds_the_photo(void **state)
{
    (void)state;
    const struct mien_model m = {.n_sizes = 3, .sizes = {640, 320, 160}};
    int order[6];
    assert_int_equal(mien_detect_sizes(&m, 2000, false, order), 3);
    assert_true(order[0] == 640 && order[1] == 320 && order[2] == 160);
    assert_int_equal(mien_detect_sizes(&m, 250, false, order), 3);
    assert_true(order[0] == 320 && order[1] == 160 && order[2] == 640);
    assert_int_equal(mien_detect_sizes(&m, 100, false, order), 3);
    assert_true(order[0] == 320);
    assert_int_equal(mien_detect_sizes(&m, 100, true, order), 3);
    assert_true(order[0] == 640);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scrfd_boxes_come_back), cmocka_unit_test(yunet_boxes_come_back), cmocka_unit_test(retinaface_boxes_come_back),
        cmocka_unit_test(blazeface_boxes_come_back), cmocka_unit_test(ssd_boxes_come_back), cmocka_unit_test(a_missing_output_is_reported_and_room_is_kept),
        cmocka_unit_test(nms_keeps_the_best_of_what_overlaps), cmocka_unit_test(nms_does_not_depend_on_the_order),
        cmocka_unit_test(canvases_are_few_and_hold_the_picture), cmocka_unit_test(sizes_begin_with_the_smallest_that_holds_the_photo),
    };
    return cmocka_run_group_tests_name("face/decode", tests, NULL, NULL);
}
