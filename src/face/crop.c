/* Cutting a face out of a photo into a network's input.
 *
 * Every rule ends in one of two shapes: an affine warp (aligned or turned crops) or an upright rectangle that is resized. Both
 * are worked out in photo pixels first; only then is decided from which pixels they are sampled.
 *
 * Where pixels come from. The detector left a view of the photo, for a large JPEG at 1/2, 1/4 or 1/8. When the crop is no
 * finer than that view (one tensor pixel is at least one view pixel) the view has all that the crop can hold, and decoding
 * the face at full resolution would change nothing but the time: over 29 photos embeddings agree to a cosine of 0.9995 on
 * average, 0.998 at worst. Otherwise a region is decoded at full resolution.
 *
 * Averaging. A bilinear sample reads 4 pixels however far apart the samples are, so a face much larger than the tensor would be
 * riddled with aliasing, and differently so from view and full picture. Such a tensor pixel is therefore the mean of n x n
 * samples, n = pixels per tensor pixel rounded; from 4 on the pixels are first averaged in blocks, to leave 2 to 3. Below 1.5
 * (faces of the size that recognisers are trained on) it is the plain bilinear warp of the references.
 *
 * Networks that judge the capture itself (spoof, deepfake) look for traces that any of this removes. They always get full
 * resolution and exactly the filter of their rule. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "face/inner.h"

/* Pixels to sample and the map from photo to their index coordinates: index = scale * photo + offset. */
struct pixels {
    struct mien_image image;
    struct mien_image owned; /* reduced copy; px NULL when image is borrowed */
    float scale, off_x, off_y;
};

/* A rectangle with float edges, in photo pixels. */
struct extent { float x0, y0, x1, y1; };

static bool judges_capture(const struct mien_model *m) { return strcmp(m->task, "spoof") == 0 || strcmp(m->task, "deepfake") == 0; }

/* ---- pixels ---- */

/* The rectangle grown by `margin` and clipped to a picture of w x h; at least one pixel, so that a crop wholly outside is
 * sampled as border. */
static struct mien_rect whole_pixels(struct extent r, float margin, int w, int h)
{
    const float x0 = fminf(fmaxf(floorf(r.x0 - margin), 0.0f), (float)(w - 1)), y0 = fminf(fmaxf(floorf(r.y0 - margin), 0.0f), (float)(h - 1));
    const float x1 = fminf(fmaxf(ceilf(r.x1 + margin), x0 + 1.0f), (float)w), y1 = fminf(fmaxf(ceilf(r.y1 + margin), y0 + 1.0f), (float)h);
    return (struct mien_rect){(int)x0, (int)y0, (int)(x1 - x0), (int)(y1 - y0)};
}

/* Reflection shows pixels that lie inside by as much as the crop reaches outside. */
static struct extent with_reflection(struct extent r, int w, int h)
{
    struct extent g = r;
    if (r.x0 < 0.0f) g.x1 = fmaxf(g.x1, 1.0f - r.x0);
    if (r.y0 < 0.0f) g.y1 = fmaxf(g.y1, 1.0f - r.y0);
    if (r.x1 > (float)w) g.x0 = fminf(g.x0, 2.0f * (float)w - r.x1 - 1.0f);
    if (r.y1 > (float)h) g.y0 = fminf(g.y0, 2.0f * (float)h - r.y1 - 1.0f);
    return g;
}

/* Sums of `rows` rows of `from`, f x f block by block, into to[3 * blocks]. */
static void reduce_row(const uint8_t *from, size_t stride, int width, int rows, int f, uint8_t *to)
{
    for (int x = 0; x < width; x += f) {
        const int columns = width - x < f ? width - x : f, n = columns * rows;
        int sum[3] = {n / 2, n / 2, n / 2};
        for (int y = 0; y < rows; y++) {
            const uint8_t *p = from + (size_t)y * stride + 3 * (size_t)x;
            for (int i = 0; i < columns; i++, p += 3) {
                sum[0] += p[0];
                sum[1] += p[1];
                sum[2] += p[2];
            }
        }
        for (int c = 0; c < 3; c++) *to++ = (uint8_t)(sum[c] / n);
    }
}

/* Averages p->image in blocks of f x f; the last ones may be smaller. */
static enum mien_code reduce(struct pixels *p, int f, struct mien_err *e)
{
    if (f < 2) return MIEN_OK;
    const struct mien_image *im = &p->image;
    struct mien_image small;
    MIEN_TRY(mien_image_alloc((im->width + f - 1) / f, (im->height + f - 1) / f, &small, e));
    for (int y = 0; y < small.height; y++) {
        int rows = im->height - y * f < f ? im->height - y * f : f;
        reduce_row(im->px + (size_t)(y * f) * im->stride, im->stride, im->width, rows, f, small.px + (size_t)y * small.stride);
    }
    p->image = p->owned = small;
    p->scale /= (float)f;
    p->off_x = (p->off_x + 0.5f) / (float)f - 0.5f;
    p->off_y = (p->off_y + 0.5f) / (float)f - 0.5f;
    return MIEN_OK;
}

static void take_view(const struct mien_image *view, float scale, struct extent need, struct pixels *p)
{
    const struct extent in_view = {need.x0 * scale, need.y0 * scale, need.x1 * scale, need.y1 * scale};
    struct mien_rect r = whole_pixels(in_view, 2.0f, view->width, view->height);
    p->image = *view;
    p->image.px += (size_t)r.y * view->stride + 3 * (size_t)r.x;
    p->image.width = r.w;
    p->image.height = r.h;
    p->scale = scale; /* view index = (photo index + 0.5) * scale - 0.5 */
    p->off_x = 0.5f * scale - 0.5f - (float)r.x;
    p->off_y = 0.5f * scale - 0.5f - (float)r.y;
}

/* The pixels for a crop that reads `need` at `density` photo pixels per tensor pixel. */
static enum mien_code take_pixels(enum mien_crop_source source, const struct mien_model *m, struct mien_photo *photo, struct extent need, float density,
                                  struct pixels *p, struct mien_err *e)
{
    const struct mien_image *from;
    float scale;
    int x, y;
    *p = (struct pixels){0};
    MIEN_FAIL_IF(!(density > 0.0f && density < 1e6f), e, MIEN_E_ARG, "the face has no usable size");
    if (source == MIEN_CROP_FROM_VIEW || (source == MIEN_CROP_FROM_ANY && !judges_capture(m))) {
        MIEN_TRY(mien_photo_view(photo, 1, &from, &scale, e));
        if (source == MIEN_CROP_FROM_VIEW || scale * density >= 1.0f) {
            take_view(from, scale, need, p);
            return MIEN_OK;
        }
    }
    struct mien_rect r = whole_pixels(need, 2.0f, mien_photo_width(photo), mien_photo_height(photo));
    MIEN_TRY(mien_photo_region(photo, r, &from, &x, &y, e));
    *p = (struct pixels){.image = *from, .scale = 1.0f, .off_x = (float)-x, .off_y = (float)-y};
    return MIEN_OK;
}

/* ---- the two shapes ---- */

/* Mean of n x n values: rows of n * width elements of c numbers into one row of width elements. */
static void average_row(const float *fine, int n, int width, int c, float *to)
{
    const float weight = 1.0f / (float)(n * n);
    for (int u = 0; u < width; u++)
        for (int k = 0; k < c; k++) {
            float sum = 0.0f;
            for (int y = 0; y < n; y++)
                for (int x = 0; x < n; x++) sum += fine[((size_t)(y * width + u) * (size_t)n + (size_t)x) * (size_t)c + (size_t)k];
            to[u * c + k] = sum * weight;
        }
}

/* The warp with n x n samples a tensor pixel, spread evenly over it. */
static enum mien_code warp_averaged(const struct mien_image *im, const struct mien_affine *a, const struct mien_model *m, enum mien_border border, int n,
                                    float *tensor, struct mien_err *e)
{
    const int c = m->spec.channels == MIEN_GRAY ? 1 : 3;
    const float step = 1.0f / (float)n, first = 0.5f * step - 0.5f;
    struct mien_affine b = {{a->m[0] * step, a->m[1] * step, 0.0f, a->m[3] * step, a->m[4] * step, 0.0f}};
    float *fine = malloc((size_t)(n * n) * (size_t)(m->width * c) * sizeof *fine);
    MIEN_FAIL_IF(fine == NULL, e, MIEN_E_NOMEM, "out of memory");
    for (int v = 0; v < m->height; v++) {
        mien_affine_apply(a, first, (float)v + first, &b.m[2], &b.m[5]);
        mien_warp_affine(im, &b, n * m->width, n, border, &m->spec, fine);
        average_row(fine, n, m->width, c, tensor + (size_t)v * (size_t)(m->width * c));
    }
    free(fine);
    return MIEN_OK;
}

/* `a`: from tensor pixels to photo pixels (indices). */
static enum mien_code warp(enum mien_crop_source source, const struct mien_model *m, struct mien_photo *photo, struct mien_affine a, float *tensor,
                           struct mien_err *e)
{
    const float density = sqrtf(fabsf(a.m[0] * a.m[4] - a.m[1] * a.m[3]));
    struct extent need = {INFINITY, INFINITY, -INFINITY, -INFINITY};
    struct pixels p;
    for (int i = 0; i < 4; i++) {
        float x, y;
        mien_affine_apply(&a, i & 1 ? (float)m->width : -1.0f, i & 2 ? (float)m->height : -1.0f, &x, &y);
        need = (struct extent){fminf(need.x0, x), fminf(need.y0, y), fmaxf(need.x1, x), fmaxf(need.y1, y)};
    }
    const enum mien_border border = m->crop.kind == MIEN_CROP_ALIGN ? MIEN_BORDER_ZERO : m->crop.border;
    if (border == MIEN_BORDER_REFLECT101) need = with_reflection(need, mien_photo_width(photo), mien_photo_height(photo));
    MIEN_TRY(take_pixels(source, m, photo, need, density, &p, e));
    if (!judges_capture(m)) MIEN_TRY(reduce(&p, (int)(0.5f * density * p.scale), e));
    for (int i = 0; i < 6; i++) a.m[i] *= p.scale;
    a.m[2] += p.off_x;
    a.m[5] += p.off_y;
    enum mien_code code = MIEN_OK;
    const int n = judges_capture(m) ? 1 : (int)(density * p.scale + 0.5f);
    if (n > 1) code = warp_averaged(&p.image, &a, m, border, n, tensor, e);
    else mien_warp_affine(&p.image, &a, m->width, m->height, border, &m->spec, tensor);
    mien_image_free(&p.owned);
    return code;
}

static enum mien_code resize(enum mien_crop_source source, const struct mien_model *m, struct mien_photo *photo, struct extent r, enum mien_filter filter,
                             enum mien_border border, float *tensor, struct mien_affine *to_photo, struct mien_err *e)
{
    const float sx = (r.x1 - r.x0) / (float)m->width, sy = (r.y1 - r.y0) / (float)m->height;
    const struct extent need = border == MIEN_BORDER_REFLECT101 ? with_reflection(r, mien_photo_width(photo), mien_photo_height(photo)) : r;
    struct pixels p;
    MIEN_TRY(take_pixels(source, m, photo, need, fminf(sx, sy), &p, e));
    if (filter == MIEN_BILINEAR && !judges_capture(m)) filter = MIEN_AREA_OR_BILINEAR;
    /* edges lie half a pixel from the centre of the pixel they bound */
    const float x0 = (r.x0 - 0.5f) * p.scale + p.off_x + 0.5f, y0 = (r.y0 - 0.5f) * p.scale + p.off_y + 0.5f;
    enum mien_code code = mien_crop_resize(&p.image, x0, y0, x0 + (r.x1 - r.x0) * p.scale, y0 + (r.y1 - r.y0) * p.scale, m->width, m->height, filter, border,
                                           &m->spec, tensor, e);
    *to_photo = (struct mien_affine){{sx, 0.0f, r.x0 + 0.5f * sx - 0.5f, 0.0f, sy, r.y0 + 0.5f * sy - 0.5f}};
    return code;
}

/* ---- the rules ---- */

static void template_points(const struct mien_crop_rule *c, const float point[10], const float *landmarks68, float *from)
{
    if (c->points == MIEN_POINTS_FIVE) {
        memcpy(from, point, 10 * sizeof *from);
    } else if (c->points == MIEN_POINTS_THREE) {
        memcpy(from, point, 4 * sizeof *from);
        from[4] = 0.5f * (point[6] + point[8]);
        from[5] = 0.5f * (point[7] + point[9]);
    } else {
        for (int i = 0; i < c->n_points; i++) memcpy(from + 2 * i, landmarks68 + 2 * c->index[i], 2 * sizeof *from);
    }
}

/* A detector that puts all points on one spot has still found a box: the mean face in it is used instead. */
static enum mien_code align(enum mien_crop_source source, const struct mien_model *m, struct mien_photo *photo, const struct mien_detection *face,
                            const float *landmarks68, float *tensor, struct mien_affine *to_photo, struct mien_err *e)
{
    const struct mien_crop_rule *c = &m->crop;
    float from[16], typical[10];
    struct mien_affine a;
    MIEN_FAIL_IF(c->points == MIEN_POINTS_LANDMARKS68 && landmarks68 == NULL, e, MIEN_E_ARG, "model \"%s\" is aligned by 68 landmarks; none were given", m->id);
    template_points(c, face->point, landmarks68, from);
    if (mien_similarity(from, c->template_xy, c->n_points, &a, NULL) != MIEN_OK) {
        MIEN_FAIL_IF(c->points == MIEN_POINTS_LANDMARKS68, e, MIEN_E_ARG, "the landmarks coincide");
        mien_points_from_box(face->box, typical);
        template_points(c, typical, NULL, from);
        MIEN_TRY(mien_similarity(from, c->template_xy, c->n_points, &a, e));
    }
    *to_photo = mien_affine_invert(a);
    return warp(source, m, photo, *to_photo, tensor, e);
}

static enum mien_code box(enum mien_crop_source source, const struct mien_model *m, struct mien_photo *photo, const struct mien_detection *face, float *tensor,
                          struct mien_affine *to_photo, struct mien_err *e)
{
    const struct mien_crop_rule *c = &m->crop;
    const struct mien_box *b = &face->box;
    const float longer = fmaxf(b->x1 - b->x0, b->y1 - b->y0), side = c->scale * longer;
    const float dx = face->point[2] - face->point[0], dy = face->point[3] - face->point[1], eyes = hypotf(dx, dy);
    const bool turned = c->rotate && eyes > 0.0f;
    const float cosine = turned ? dx / eyes : 1.0f, sine = turned ? dy / eyes : 0.0f;
    const float cx = 0.5f * (b->x0 + b->x1) - sine * c->shift_y * longer, cy = 0.5f * (b->y0 + b->y1) + cosine * c->shift_y * longer;
    if (!turned)
        return resize(source, m, photo, (struct extent){cx - 0.5f * side, cy - 0.5f * side, cx + 0.5f * side, cy + 0.5f * side}, c->filter, c->border, tensor,
                      to_photo, e);
    /* tensor index -> offset from the centre in sides -> turned -> photo index */
    const float kx = side / (float)m->width, ky = side / (float)m->height, u0 = 0.5f * kx - 0.5f * side, v0 = 0.5f * ky - 0.5f * side;
    *to_photo = (struct mien_affine){{cosine * kx, -sine * ky, cx + cosine * u0 - sine * v0 - 0.5f,
                                      sine * kx, cosine * ky, cy + sine * u0 + cosine * v0 - 0.5f}};
    return warp(source, m, photo, *to_photo, tensor, e);
}

/* As the authors of MiniFASNet cut their training patches (Silent-Face-Anti-Spoofing, generate_patches.py): sizes count
 * pixels inclusively, corners are truncated to integers. */
struct mien_rect mien_fit_box(struct mien_box b, float scale, int w, int h)
{
    const float bw = fmaxf(b.x1 - b.x0 + 1.0f, 1.0f), bh = fmaxf(b.y1 - b.y0 + 1.0f, 1.0f);
    const float last_x = (float)(w - 1), last_y = (float)(h - 1), s = fminf(scale, fminf(last_y / bh, last_x / bw));
    const float nw = bw * s, nh = bh * s;
    float x0 = b.x0 + 0.5f * bw - 0.5f * nw, y0 = b.y0 + 0.5f * bh - 0.5f * nh, x1 = x0 + nw, y1 = y0 + nh;
    if (x0 < 0.0f) x1 -= x0, x0 = 0.0f;
    if (y0 < 0.0f) y1 -= y0, y0 = 0.0f;
    if (x1 > last_x) x0 -= x1 - last_x, x1 = last_x;
    if (y1 > last_y) y0 -= y1 - last_y, y1 = last_y;
    x0 = fmaxf(x0, 0.0f);
    y0 = fmaxf(y0, 0.0f);
    return (struct mien_rect){(int)x0, (int)y0, (int)x1 - (int)x0 + 1, (int)y1 - (int)y0 + 1};
}

enum mien_code mien_crop_face_from(enum mien_crop_source source, const struct mien_model *m, struct mien_photo *photo, const struct mien_detection *face,
                                   const float *landmarks68, float *tensor, struct mien_affine *to_photo, struct mien_err *e)
{
    struct mien_affine unused;
    const struct mien_box b = face->box;
    if (to_photo == NULL) to_photo = &unused;
    MIEN_FAIL_IF(!(b.x1 > b.x0 && b.y1 > b.y0 && fabsf(b.x0) < 1e6f && fabsf(b.y0) < 1e6f && b.x1 < 1e6f && b.y1 < 1e6f), e, MIEN_E_ARG, "not a box");
    switch (m->crop.kind) {
    case MIEN_CROP_ALIGN: return align(source, m, photo, face, landmarks68, tensor, to_photo, e);
    case MIEN_CROP_BOX: return box(source, m, photo, face, tensor, to_photo, e);
    case MIEN_CROP_FIT_BOX: {
        const struct mien_rect r = mien_fit_box(b, m->crop.scale, mien_photo_width(photo), mien_photo_height(photo));
        const struct extent x = {(float)r.x, (float)r.y, (float)(r.x + r.w), (float)(r.y + r.h)};
        return resize(source, m, photo, x, MIEN_BILINEAR, MIEN_BORDER_REPLICATE, tensor, to_photo, e);
    }
    default: return MIEN_FAIL(e, MIEN_E_ARG, "model \"%s\": crop.kind cuts no face", m->id);
    }
}

enum mien_code mien_crop_face(const struct mien_model *m, struct mien_photo *photo, const struct mien_detection *face, const float *landmarks68,
                              float *tensor, struct mien_affine *to_photo, struct mien_err *e)
{
    return mien_crop_face_from(MIEN_CROP_FROM_ANY, m, photo, face, landmarks68, tensor, to_photo, e);
}
