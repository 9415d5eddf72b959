/* Separable resizing without allocation.
 *
 * The output is made in strips of columns. For a strip the horizontal taps (which source pixels, with what weight) are
 * tabled once; for every output row the source rows are combined over the strip's span and the taps are gathered.
 * Vertical first: it runs over contiguous bytes, and when shrinking it leaves few rows for the horizontal step.
 *
 * Sample positions are those of cv2.resize: output pixel u covers [u, u + 1) * ratio. Taps are first clamped to the
 * rectangle, as if it had been cut out, and then follow the border rule of the picture. */
#include <assert.h>
#include <math.h>
#include <string.h>
#include "image/sample.h"

enum {
    MAX_TAPS = 2048,          /* of one output pixel and of a strip; 24 KB of tables on the stack */
    MAX_SPAN = 2 * MAX_TAPS,  /* source pixels under a strip */
    MAX_STRIP = 128,
    LANCZOS = 8
};

enum kernel { LINEAR, AREA, LANCZOS4 };

/* One axis: source interval [from, from + size) is laid on `out` pixels. */
struct axis {
    double from, ratio;        /* ratio: source pixels per output pixel */
    int64_t first, last;       /* taps are clamped to this range: the rectangle's pixels */
    int n;                     /* pixels of the picture */
    int taps;
    enum kernel kernel;
    enum mien_border border;
};

static struct axis make_axis(double from, double to, int out, int n, enum kernel kernel, enum mien_border border)
{
    struct axis a = {from, (to - from) / out, (int64_t)floor(from), (int64_t)ceil(to) - 1, n, 2, kernel, border};
    if (a.last < a.first) a.last = a.first;
    if (kernel == LANCZOS4) a.taps = LANCZOS;
    if (kernel == AREA) a.taps = (int)ceil(fmin(a.ratio, MAX_TAPS - 2)) + 1;
    return a;
}

static int border_index(const struct axis *a, int64_t i)
{
    if (i < a->first) i = a->first;
    if (i > a->last) i = a->last;
    if (i >= 0 && i < a->n) return (int)i;
    if (a->border == MIEN_BORDER_ZERO) return -1;
    if (a->border == MIEN_BORDER_REPLICATE || a->n == 1) return i < 0 ? 0 : a->n - 1;
    int64_t period = 2 * ((int64_t)a->n - 1), r = i % period;
    if (r < 0) r += period;
    return (int)(r < a->n ? r : period - r);
}

/* Lanczos window of 4: sinc(t) sinc(t / 4), scaled so that the weights sum to 1. */
static void lanczos_weights(double f, float *weights)
{
    double w[LANCZOS], sum = 0;
    for (int i = 0; i < LANCZOS; i++) {
        double t = M_PI * (f + 3 - i);
        w[i] = fabs(t) < 1e-9 ? 1 : 4 * sin(t) * sin(t / 4) / (t * t);
        sum += w[i];
    }
    for (int i = 0; i < LANCZOS; i++) weights[i] = (float)(w[i] / sum);
}

/* Weights of output pixel u for source pixels first, first + 1, ...; returns first. */
static int64_t weights_of(const struct axis *a, int u, float *weights)
{
    if (a->kernel == AREA) {
        /* beyond what the tables hold, the middle of a pixel's area stands for all of it */
        double cover = fmin(a->ratio, MAX_TAPS - 2), lo = a->from + u * a->ratio + (a->ratio - cover) / 2, hi = lo + cover;
        int64_t first = (int64_t)floor(lo);
        for (int t = 0; t < a->taps; t++) {
            double left = fmax((double)(first + t), lo), right = fmin((double)(first + t + 1), hi);
            weights[t] = right > left ? (float)((right - left) / cover) : 0;
        }
        return first;
    }
    double x = a->from + (u + 0.5) * a->ratio - 0.5, whole = floor(x);
    if (a->kernel == LANCZOS4) {
        lanczos_weights(x - whole, weights);
        return (int64_t)whole - 3;
    }
    weights[1] = (float)(x - whole);
    weights[0] = 1 - weights[1];
    return (int64_t)whole;
}

/* Taps of output pixel u: index -1 never appears, black taps get weight 0 and index `spare`. */
static void taps_of(const struct axis *a, int u, int32_t *index, float *weights, int spare)
{
    int64_t first = weights_of(a, u, weights);
    for (int t = 0; t < a->taps; t++) {
        int i = border_index(a, first + t);
        if (i < 0) weights[t] = 0;
        index[t] = i < 0 ? spare : i;
    }
}

struct resize {
    const struct mien_image *src;
    struct axis x, y;
    int w, h;               /* output pixels */
    size_t out_width;       /* of the tensor; pixels from row to row */
    const struct mien_tensor_spec *spec;
    struct mien_finish finish;
    const struct mien_sampler *sampler;
};

/* Tables of a strip; the row has padding for the loops that read four floats. */
struct strip {
    int u, n;                        /* output columns u .. u + n - 1 */
    int left, span;                  /* source columns left .. left + span - 1 */
    int32_t index[MAX_TAPS];
    float weights[MAX_TAPS];
    float row[3 * MAX_SPAN + 4];
    float rgb[3 * MAX_STRIP];
};

/* As many columns as the tables hold; at least one always fits, because MAX_TAPS <= MAX_SPAN. Reflection can spread the
 * taps of neighbours, hence the check of the span. */
static void plan_strip(const struct resize *r, int u, struct strip *s)
{
    int taps = r->x.taps, most = MAX_TAPS / taps < MAX_STRIP ? MAX_TAPS / taps : MAX_STRIP;
    if (most > r->w - u) most = r->w - u;
    int lo = INT32_MAX, hi = -1;
    s->u = u;
    for (s->n = 0; s->n < most; s->n++) {
        int32_t *index = s->index + s->n * taps;
        taps_of(&r->x, u + s->n, index, s->weights + s->n * taps, -1);
        int new_lo = lo, new_hi = hi;
        for (int t = 0; t < taps; t++) {
            if (index[t] < 0) continue;
            if (index[t] < new_lo) new_lo = index[t];
            if (index[t] > new_hi) new_hi = index[t];
        }
        if (new_hi - new_lo >= MAX_SPAN) break;
        lo = new_lo;
        hi = new_hi;
    }
    assert(s->n > 0);
    s->left = hi < 0 ? 0 : lo;
    s->span = hi < 0 ? 1 : hi - lo + 1;
    for (int i = 0; i < s->n * taps; i++) s->index[i] = s->index[i] < 0 ? 0 : 3 * (s->index[i] - s->left);
}

static void draw_strip(const struct resize *r, struct strip *s, float *out)
{
    int32_t index[MAX_TAPS];
    float weights[MAX_TAPS];
    const uint8_t *rows[MAX_TAPS];
    bool gray = r->spec->channels == MIEN_GRAY;
    for (int v = 0; v < r->h; v++) {
        taps_of(&r->y, v, index, weights, 0);
        int used = 0;
        for (int t = 0; t < r->y.taps; t++) {
            if (weights[t] == 0) continue;
            weights[used] = weights[t];
            rows[used++] = r->src->px + (size_t)index[t] * r->src->stride + 3 * (size_t)s->left;
        }
        r->sampler->combine(rows, weights, used, 3 * (size_t)s->span, s->row);
        float *to = out + ((size_t)v * r->out_width + (size_t)s->u) * (gray ? 1 : 3);
        r->sampler->gather(s->row, s->index, s->weights, r->x.taps, s->n, &r->finish, gray ? s->rgb : to);
        if (gray) mien_finish_gray(s->rgb, s->n, r->spec, to);
    }
}

static void resize(struct resize *r, float *out)
{
    struct strip s;
    memset(s.row, 0, sizeof s.row);
    r->finish = mien_finish_of(r->spec);
    r->sampler = mien_sampler();
    for (int u = 0; u < r->w; u += s.n) {
        plan_strip(r, u, &s);
        draw_strip(r, &s, out);
    }
}

/* Fills columns from..w of rows top..bottom with black as the network sees it. */
static void blacken(float *out, int w, int from, int top, int bottom, const struct mien_tensor_spec *spec)
{
    int channels = spec->channels == MIEN_GRAY ? 1 : 3;
    float black[3];
    for (int c = 0; c < channels; c++) black[c] = -spec->mean[c] * spec->scale[c];
    for (int y = top; y < bottom; y++) {
        float *p = out + ((size_t)y * (size_t)w + (size_t)from) * (size_t)channels;
        for (int x = from; x < w; x++) {
            for (int c = 0; c < channels; c++) *p++ = black[c];
        }
    }
}

static int at_least_one(double v) { return v < 1 ? 1 : (int)v; }

void mien_letterbox(const struct mien_image *src, int w, int h, const struct mien_tensor_spec *spec, float *out,
                    float *scale)
{
    assert(w >= 1 && h >= 1);
    double s = fmin((double)w / src->width, (double)h / src->height);
    int rw = at_least_one(floor(src->width * s + 0.5)), rh = at_least_one(floor(src->height * s + 0.5));
    if (rw > w) rw = w;
    if (rh > h) rh = h;
    enum kernel kernel = s < 0.5 ? AREA : LINEAR;
    struct resize r = {.src = src,
                       .x = make_axis(0, src->width, rw, src->width, kernel, MIEN_BORDER_REPLICATE),
                       .y = make_axis(0, src->height, rh, src->height, kernel, MIEN_BORDER_REPLICATE),
                       .w = rw, .h = rh, .out_width = (size_t)w, .spec = spec};
    resize(&r, out);
    blacken(out, w, rw, 0, rh, spec);
    blacken(out, w, 0, rh, h, spec);
    if (scale != NULL) *scale = (float)s;
}

enum mien_code mien_crop_resize(const struct mien_image *src, float x0, float y0, float x1, float y1, int w, int h,
                                enum mien_filter filter, enum mien_border border, const struct mien_tensor_spec *spec,
                                float *out, struct mien_err *e)
{
    const float most = 1 << 24; /* beyond, floats do not tell pixels apart */
    bool sane = x0 > -most && y0 > -most && x1 < most && y1 < most && x1 > x0 && y1 > y0; /* false for NaN */
    MIEN_FAIL_IF(!sane || w < 1 || h < 1, e, MIEN_E_ARG, "an empty or endless rectangle");
    double ratio_x = ((double)x1 - x0) / w, ratio_y = ((double)y1 - y0) / h;
    enum kernel kernel = LINEAR;
    if (filter != MIEN_BILINEAR && ratio_x >= 1 && ratio_y >= 1) kernel = AREA;
    else if (filter == MIEN_AREA_OR_LANCZOS) kernel = LANCZOS4;
    struct resize r = {.src = src,
                       .x = make_axis(x0, x1, w, src->width, kernel, border),
                       .y = make_axis(y0, y1, h, src->height, kernel, border),
                       .w = w, .h = h, .out_width = (size_t)w, .spec = spec};
    resize(&r, out);
    return MIEN_OK;
}
