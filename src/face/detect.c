/* Finding the faces of a photo: which pixels go into the detector, at which size, and what comes back as photo pixels.
 *
 * One pass scales a picture (the photo, a tile of it, or a turned copy) into the network's input, runs it, decodes and
 * suppresses. mien_detect is a plan of passes:
 *
 *   1. The whole photo, at the sizes of the model in turn until something is found. Detectors are trained on faces up to about
 *      half of their input, so a face that fills the frame is missed at 640 and found at 320 or 160. The first size is the
 *      smallest one that holds the photo: enlarging a photo of 250 pixels to 640 costs four times as much and finds nothing
 *      more; the larger sizes come last.
 *   2. `small_faces`: overlapping tiles of a large photo, so that small faces are seen at a higher resolution.
 *   3. `rotations`: the photo turned by 90, 180 and 270 degrees.
 *
 * The photo is decoded no larger than a pass needs it (a JPEG at 1/2, 1/4 or 1/8 by its DCT). A network with free input size gets
 * a canvas of nearly the photo's aspect, since a 3:2 photo on a square canvas wastes a third of the work; the short side is
 * rounded up to few distinct values because every shape is a plan of its own. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "face/inner.h"

enum {
    SHORT_STEP = 64,    /* the canvas' short side is a multiple of this (or the canvas is square) */
    MAX_TILES = 16,
    TILE_OVERLAP = 4,   /* neighbouring tiles share 1/4: a face up to that size lies whole in one of them */
    INNER_EDGE_PX = 3   /* a box within so many canvas pixels of a tile's inner edge is a cut face */
};

struct found { struct mien_detection *d; int n, room; };

struct search {
    struct mien_models *models;
    const struct mien_model *m;
    struct mien_session *session;
    struct mien_photo *photo;
    bool fixed;         /* the network takes one input size */
    float threshold;
    struct found found; /* photo pixels */
    struct mien_detect_times *times;
};

/* A picture to search and how its pixels lie in the photo: x_photo = m[0]x + m[1]y + m[2], as continuous coordinates. */
struct scene { struct mien_image image; struct mien_affine to_photo; bool cut[4]; /* left, top, right, bottom are inner edges */ };

static int round_up(int v, int step) { return (v + step - 1) / step * step; }

void mien_detect_canvas(int w, int h, int size, bool fixed, int *canvas_w, int *canvas_h)
{
    int longer = w > h ? w : h, shorter = w > h ? h : w;
    int side = (int)(((int64_t)shorter * size + longer - 1) / longer);
    side = round_up(side, SHORT_STEP);
    if (side < size / 2) side = round_up(size / 2, SHORT_STEP);
    if (side > size || fixed) side = size;
    *canvas_w = w > h ? size : side;
    *canvas_h = w > h ? side : size;
}

int mien_detect_sizes(const struct mien_model *m, int longer, bool fixed, int order[6])
{
    int first = 0, n = 0;
    for (int i = 1; i < m->n_sizes && !fixed; i++)
        if (m->sizes[i] >= longer && m->sizes[i] >= m->sizes[0] / 2 && m->sizes[i] < m->sizes[first]) first = i;
    for (int i = first; i < m->n_sizes; i++) order[n++] = m->sizes[i];
    for (int i = 0; i < first; i++) order[n++] = m->sizes[i];
    return n;
}

/* The order when the caller chose the first size. */
static int sizes_from(const struct mien_model *m, int first, int order[6])
{
    int n = 0;
    order[n++] = first;
    for (int i = 0; i < m->n_sizes && n < 6; i++)
        if (m->sizes[i] < first) order[n++] = m->sizes[i];
    return n;
}

static enum mien_code make_room(struct found *f, int more, struct mien_err *e)
{
    if (f->n + more <= f->room) return MIEN_OK;
    struct mien_detection *d = realloc(f->d, sizeof *d * (size_t)(f->n + more));
    MIEN_FAIL_IF(d == NULL, e, MIEN_E_NOMEM, "out of memory for %d candidates", f->n + more);
    f->d = d;
    f->room = f->n + more;
    return MIEN_OK;
}

static void map_point(const struct mien_affine *a, float *x, float *y) { mien_affine_apply(a, *x, *y, x, y); }

static void map_detection(const struct mien_affine *a, struct mien_detection *d)
{
    struct mien_box b = d->box;
    map_point(a, &b.x0, &b.y0);
    map_point(a, &b.x1, &b.y1);
    d->box = (struct mien_box){fminf(b.x0, b.x1), fminf(b.y0, b.y1), fmaxf(b.x0, b.x1), fmaxf(b.y0, b.y1)};
    for (int i = 0; i < 10; i += 2) map_point(a, &d->point[i], &d->point[i + 1]);
}

static bool is_cut(const struct scene *s, const struct mien_box *b, float margin)
{
    return (s->cut[0] && b->x0 < margin) || (s->cut[1] && b->y0 < margin) || (s->cut[2] && b->x1 > (float)s->image.width - margin) ||
           (s->cut[3] && b->y1 > (float)s->image.height - margin);
}

/* Writes the network's input. *scale and the offset: picture = input / scale - offset. */
static enum mien_code fill_input(const struct mien_model *m, const struct mien_image *im, int w, int h, float *input, float *scale, float *off_x,
                                 float *off_y, struct mien_err *e)
{
    *off_x = *off_y = 0.0f;
    if (m->crop.kind == MIEN_CROP_LETTERBOX) {
        mien_letterbox(im, w, h, &m->spec, input, scale);
        return MIEN_OK;
    }
    const int side = im->width > im->height ? im->width : im->height;
    *off_x = 0.5f * (float)(side - im->width);
    *off_y = 0.5f * (float)(side - im->height);
    *scale = (float)w / (float)side;
    return mien_crop_resize(im, -*off_x, -*off_y, (float)side - *off_x, (float)side - *off_y, w, h, MIEN_AREA_OR_BILINEAR, MIEN_BORDER_ZERO, &m->spec,
                            input, e);
}

/* Decodes the outputs behind what is already in s->found, in pixels of the input. */
static enum mien_code decode_outputs(struct search *s, struct mien_net *net, const struct mien_exec *x, int w, int h, struct mien_err *e)
{
    const struct mien_model *m = s->m;
    const float *outputs[12];
    struct mien_shape shapes[12];
    int index[12];
    int64_t places = mien_decode_places(m, w, h);
    for (int i = 0; i < m->n_outputs; i++) {
        int o = mien_net_output_index(net, m->output[i].name);
        outputs[i] = mien_exec_output(x, o);
        shapes[i] = mien_exec_output_shape(x, o);
        index[i] = i;
        if (m->n_levels == 0 && mien_shape_count(&shapes[i]) > places) places = mien_shape_count(&shapes[i]);
    }
    MIEN_TRY(make_room(&s->found, (int)places, e));
    int n = mien_decode(m, w, h, outputs, shapes, index, s->threshold, s->found.d + s->found.n, (int)places);
    MIEN_FAIL_IF(n < 0, e, MIEN_E_MANIFEST, "model \"%s\": outputs: sizes do not fit decoder and levels at %d x %d", m->id, w, h);
    s->found.n += mien_nms(s->found.d + s->found.n, n, m->nms_iou);
    return MIEN_OK;
}

/* One run of the network over a scene; appends to s->found in photo pixels. */
static enum mien_code pass(struct search *s, const struct scene *scene, int size, struct mien_err *e)
{
    int w, h, first = s->found.n, kept = first;
    float scale, off_x, off_y;
    struct mien_net *net;
    struct mien_exec *x;
    mien_detect_canvas(scene->image.width, scene->image.height, size, s->fixed || s->m->crop.kind == MIEN_CROP_CENTER_SQUARE, &w, &h);
    MIEN_TRY(mien_model_exec(s->models, s->session, s->m, w, h, &net, &x, e));
    uint64_t start = mien_now_ns();
    MIEN_TRY(fill_input(s->m, &scene->image, w, h, mien_exec_input(x, 0), &scale, &off_x, &off_y, e));
    s->times->letterbox_ms += mien_elapsed_ms(start);
    start = mien_now_ns();
    MIEN_TRY(mien_model_run(s->models, s->m, x, e));
    s->times->net_ms += mien_elapsed_ms(start);
    start = mien_now_ns();
    MIEN_TRY(decode_outputs(s, net, x, w, h, e));
    const struct mien_affine to_scene = {{1.0f / scale, 0.0f, -off_x, 0.0f, 1.0f / scale, -off_y}};
    for (int i = first; i < s->found.n; i++) {
        struct mien_detection d = s->found.d[i];
        map_detection(&to_scene, &d);
        if (is_cut(scene, &d.box, (float)INNER_EDGE_PX / scale)) continue;
        map_detection(&scene->to_photo, &d);
        s->found.d[kept++] = d;
    }
    s->found.n = kept;
    s->times->decode_ms += mien_elapsed_ms(start);
    s->times->passes++;
    return MIEN_OK;
}

static enum mien_code view_of(struct search *s, int min_long_side, struct scene *scene, struct mien_err *e)
{
    const struct mien_image *view;
    float scale;
    uint64_t start = mien_now_ns();
    MIEN_TRY(mien_photo_view(s->photo, min_long_side, &view, &scale, e));
    s->times->view_ms += mien_elapsed_ms(start);
    *scene = (struct scene){.image = *view, .to_photo = {{1.0f / scale, 0.0f, 0.0f, 0.0f, 1.0f / scale, 0.0f}}};
    return MIEN_OK;
}

static int longer_side(const struct mien_photo *p)
{
    int w = mien_photo_width(p), h = mien_photo_height(p);
    return w > h ? w : h;
}

static enum mien_code search_whole(struct search *s, const int *order, int n, struct mien_err *e)
{
    for (int i = 0; i < n && s->found.n == 0; i++) {
        struct scene whole;
        MIEN_TRY(view_of(s, order[i], &whole, e));
        MIEN_TRY(pass(s, &whole, order[i], e));
    }
    return MIEN_OK;
}

/* ---- tiles ---- */

/* How many tiles of `side` cover `length`. */
static int tiles_across(int length, int side)
{
    int step = side - side / TILE_OVERLAP;
    return length <= side ? 1 : (length - side + step - 1) / step + 1;
}

/* First pixel of tile i of n, the last one ending at the edge. */
static int tile_start(int length, int side, int i, int n) { return n == 1 ? 0 : (int)((int64_t)(length - side) * i / (n - 1)); }

static struct scene tile_of(const struct scene *whole, int x, int y, int w, int h)
{
    struct scene t = *whole;
    t.image.px += (size_t)y * t.image.stride + 3 * (size_t)x;
    t.image.width = w;
    t.image.height = h;
    t.to_photo.m[2] += t.to_photo.m[0] * (float)x;
    t.to_photo.m[5] += t.to_photo.m[4] * (float)y;
    t.cut[0] = x > 0;
    t.cut[1] = y > 0;
    t.cut[2] = x + w < whole->image.width;
    t.cut[3] = y + h < whole->image.height;
    return t;
}

/* Tiles as small as the largest input at full resolution, larger when that would be more than MAX_TILES. */
static enum mien_code search_tiles(struct search *s, struct mien_err *e)
{
    const int size = s->m->sizes[0], longer = longer_side(s->photo), width = mien_photo_width(s->photo), height = mien_photo_height(s->photo);
    if (longer <= size) return MIEN_OK;
    int side = size;
    while (tiles_across(width, side) * tiles_across(height, side) > MAX_TILES) side += side / 8;
    if (side >= longer) return MIEN_OK;
    struct scene whole;
    MIEN_TRY(view_of(s, (int)((int64_t)longer * size / side), &whole, e));
    const int vw = whole.image.width, vh = whole.image.height;
    side = (int)((float)side / whole.to_photo.m[0]);
    const int w = side < vw ? side : vw, h = side < vh ? side : vh, across = tiles_across(vw, w), down = tiles_across(vh, h);
    for (int i = 0; i < across * down; i++) {
        struct scene tile = tile_of(&whole, tile_start(vw, w, i % across, across), tile_start(vh, h, i / across, down), w, h);
        MIEN_TRY(pass(s, &tile, size, e));
    }
    s->found.n = mien_nms(s->found.d, s->found.n, s->m->nms_iou);
    return MIEN_OK;
}

/* ---- turned copies ---- */

/* `quarters` quarter turns clockwise of `from` into a new image; from turned to upright is x = m[0]u + m[1]v + m[2]. */
static enum mien_code turn(const struct mien_image *from, int quarters, struct mien_image *to, struct mien_affine *back, struct mien_err *e)
{
    const int w = from->width, h = from->height;
    MIEN_TRY(mien_image_alloc(quarters == 2 ? w : h, quarters == 2 ? h : w, to, e));
    for (int v = 0; v < to->height; v++) {
        for (int u = 0; u < to->width; u++) {
            int x = quarters == 1 ? v : quarters == 2 ? w - 1 - u : w - 1 - v, y = quarters == 1 ? h - 1 - u : quarters == 2 ? h - 1 - v : u;
            memcpy(to->px + (size_t)v * to->stride + 3 * (size_t)u, from->px + (size_t)y * from->stride + 3 * (size_t)x, 3);
        }
    }
    const float fw = (float)w, fh = (float)h;
    const struct mien_affine maps[3] = {{{0, 1, 0, -1, 0, fh}}, {{-1, 0, fw, 0, -1, fh}}, {{0, -1, fw, 1, 0, 0}}};
    *back = maps[quarters - 1];
    return MIEN_OK;
}

/* a after b. */
static struct mien_affine chain(const struct mien_affine *a, const struct mien_affine *b)
{
    struct mien_affine c = {{a->m[0] * b->m[0] + a->m[1] * b->m[3], a->m[0] * b->m[1] + a->m[1] * b->m[4], 0.0f,
                             a->m[3] * b->m[0] + a->m[4] * b->m[3], a->m[3] * b->m[1] + a->m[4] * b->m[4], 0.0f}};
    mien_affine_apply(a, b->m[2], b->m[5], &c.m[2], &c.m[5]);
    return c;
}

static enum mien_code turned_passes(struct search *s, const struct scene *whole, int size, struct mien_err *e)
{
    for (int quarters = 1; quarters <= 3; quarters++) {
        struct scene turned = {0};
        struct mien_affine back;
        MIEN_TRY(turn(&whole->image, quarters, &turned.image, &back, e));
        turned.to_photo = chain(&whole->to_photo, &back);
        enum mien_code code = pass(s, &turned, size, e);
        mien_image_free(&turned.image);
        MIEN_TRY(code);
    }
    return MIEN_OK;
}

/* Detectors do find faces that lie on their side or stand on their head, at a lower score and with the points where an upright face
 * would have them, which is worse than nothing. So all turns are searched, and of the overlapping finds the best score wins. */
static enum mien_code search_turned(struct search *s, const int *order, int n, struct mien_err *e)
{
    struct scene whole;
    MIEN_TRY(view_of(s, order[0], &whole, e));
    MIEN_TRY(turned_passes(s, &whole, order[0], e));
    for (int i = 1; i < n && s->found.n == 0; i++) MIEN_TRY(turned_passes(s, &whole, order[i], e));
    s->found.n = mien_nms(s->found.d, s->found.n, s->m->nms_iou);
    return MIEN_OK;
}

/* ---- all together ---- */

static float area(const struct mien_detection *d) { return (d->box.x1 - d->box.x0) * (d->box.y1 - d->box.y0); }

static int by_falling_area(const void *a, const void *b)
{
    float p = area(a), q = area(b);
    return p > q ? -1 : p < q;
}

static enum mien_code search_all(struct search *s, const struct mien_face_settings *settings, struct mien_err *e)
{
    struct mien_net *net;
    int order[6];
    MIEN_TRY(mien_models_net(s->models, s->m, &net, e));
    struct mien_shape shape = mien_net_input_shape(net, 0);
    s->fixed = shape.rank == 4 && (shape.dim[2] > 0 || shape.dim[3] > 0);
    const bool chosen = settings->detection_size > 0 && !s->fixed;
    int n = chosen ? sizes_from(s->m, settings->detection_size, order) : mien_detect_sizes(s->m, longer_side(s->photo), s->fixed, order);
    MIEN_TRY(search_whole(s, order, n, e));
    if (settings->small_faces) MIEN_TRY(search_tiles(s, e));
    if (settings->rotations) MIEN_TRY(search_turned(s, order, n, e));
    return MIEN_OK;
}

static enum mien_code deliver(struct found *f, int min_face_px, struct mien_arena *arena, struct mien_detection **out, int *n, struct mien_err *e)
{
    int kept = 0;
    for (int i = 0; i < f->n; i++) {
        const struct mien_box *b = &f->d[i].box;
        if (fminf(b->x1 - b->x0, b->y1 - b->y0) >= (float)min_face_px) f->d[kept++] = f->d[i];
    }
    if (kept == 0) return MIEN_OK;
    qsort(f->d, (size_t)kept, sizeof *f->d, by_falling_area);
    *out = mien_arena_calloc(arena, (size_t)kept, sizeof **out);
    MIEN_FAIL_IF(*out == NULL, e, MIEN_E_NOMEM, "out of memory for %d faces", kept);
    memcpy(*out, f->d, sizeof **out * (size_t)kept);
    *n = kept;
    return MIEN_OK;
}

enum mien_code mien_detect_timed(struct mien_models *models, const struct mien_model *m, struct mien_session *session, struct mien_photo *photo,
                                 const struct mien_face_settings *settings, struct mien_arena *arena, struct mien_detection **out, int *n,
                                 struct mien_detect_times *times, struct mien_err *e)
{
    static const struct mien_face_settings none;
    struct mien_detect_times unused;
    if (settings == NULL) settings = &none;
    struct search s = {.models = models, .m = m, .session = session, .photo = photo, .times = times != NULL ? times : &unused,
                       .threshold = settings->min_score > 0.0f ? settings->min_score : m->score_threshold};
    *out = NULL;
    *n = 0;
    *s.times = (struct mien_detect_times){0};
    MIEN_FAIL_IF(!(s.threshold < 1.0f), e, MIEN_E_ARG, "min_score is not below 1");
    enum mien_code code = search_all(&s, settings, e);
    if (code == MIEN_OK) code = deliver(&s.found, settings->min_face_px, arena, out, n, e);
    free(s.found.d);
    return code;
}

enum mien_code mien_detect(struct mien_models *models, struct mien_session *s, struct mien_photo *photo, const struct mien_face_settings *settings,
                           struct mien_arena *arena, struct mien_detection **out, int *n, struct mien_err *e)
{
    const struct mien_model *m = mien_models_role(models, MIEN_ROLE_DETECT, 0);
    MIEN_FAIL_IF(m == NULL, e, MIEN_E_MODEL_MISSING, "pack \"%s\" has no model for \"detect\"", mien_models_pack(models));
    return mien_detect_timed(models, m, s, photo, settings, arena, out, n, NULL, e);
}
