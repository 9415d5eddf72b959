/* General tensor kernels: any rank up to six, plain C. See kernels.h for what each computes.
 *
 * They share one way of walking: the last axis is an inner loop, the axes before it are counted by an odometer whose
 * offsets are kept in elements. Dimensions may be zero; then nothing is read or written. */
#include "engine/kernels.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { MAX_RANK = 6, TILE = 16, REDUCE_CHUNK = 128 };

static int64_t product(const int64_t *dim, int rank)
{
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= dim[i];
    return n;
}

static void row_major_strides(int64_t *stride, const int64_t *dim, int rank)
{
    int64_t n = 1;
    for (int i = rank - 1; i >= 0; i--) {
        stride[i] = n;
        n *= dim[i];
    }
}

/* Counts through `rank` axes of sizes dim, last fastest, and keeps one offset by the strides given. */
struct walk {
    int rank;
    int64_t dim[MAX_RANK], stride[MAX_RANK], at[MAX_RANK], offset;
};

static void walk_start(struct walk *w, const int64_t *dim, const int64_t *stride, int rank)
{
    *w = (struct walk){.rank = rank};
    for (int i = 0; i < rank; i++) {
        w->dim[i] = dim[i];
        w->stride[i] = stride[i];
    }
}

static void walk_next(struct walk *w)
{
    for (int i = w->rank - 1; i >= 0; i--) {
        w->offset += w->stride[i];
        if (++w->at[i] < w->dim[i]) return;
        w->offset -= w->stride[i] * w->dim[i];
        w->at[i] = 0;
    }
}

/* dst[i] = src[i * step] for elements of `elem` bytes. */
static void copy_strided(unsigned char *dst, const unsigned char *src, int64_t n, int64_t step, size_t elem)
{
    if (step == 1) {
        memcpy(dst, src, (size_t)n * elem);
        return;
    }
    int64_t hop = step * (int64_t)elem;
    switch (elem) {
    case 2:
        for (int64_t i = 0; i < n; i++, dst += 2) memcpy(dst, src + i * hop, 2);
        break;
    case 4:
        for (int64_t i = 0; i < n; i++, dst += 4) memcpy(dst, src + i * hop, 4);
        break;
    default:
        for (int64_t i = 0; i < n; i++, dst += elem) memcpy(dst, src + i * hop, elem);
        break;
    }
}

/* dst (shape dim, row-major) = src read by these strides. */
static void gather_strided(unsigned char *dst, const unsigned char *src, const int64_t *dim, const int64_t *stride, int rank, size_t elem)
{
    int64_t count = product(dim, rank);
    if (count == 0) return;
    if (rank == 0) {
        memcpy(dst, src, elem);
        return;
    }
    int64_t inner = dim[rank - 1];
    struct walk w;
    walk_start(&w, dim, stride, rank - 1);
    for (int64_t i = 0; i < count; i += inner, walk_next(&w))
        copy_strided(dst + (size_t)i * elem, src + w.offset * (int64_t)elem, inner, stride[rank - 1], elem);
}

/* rows x cols -> cols x rows in square tiles, so that both sides stay within a few cache lines. */
static void transpose_tiles(unsigned char *dst, const unsigned char *src, int64_t rows, int64_t cols, size_t elem)
{
    for (int64_t r0 = 0; r0 < rows; r0 += TILE)
        for (int64_t c0 = 0; c0 < cols; c0 += TILE) {
            int64_t r1 = rows - r0 < TILE ? rows : r0 + TILE, c1 = cols - c0 < TILE ? cols : c0 + TILE;
            for (int64_t c = c0; c < c1; c++)
                copy_strided(dst + (size_t)(c * rows + r0) * elem, src + (size_t)(r0 * cols + c) * elem, r1 - r0, cols, elem);
        }
}

/* Joins axes that stay neighbours and drops axes of size one. Returns the new rank; dim and perm are rewritten. */
static int collapse_perm(int64_t *dim, int *perm, const int64_t *src_dim, const int *src_perm, int rank)
{
    int group[MAX_RANK], groups = 0; /* source axis -> joined axis, numbered in destination order first */
    int64_t size[MAX_RANK];
    int first[MAX_RANK], last = -2;
    for (int k = 0; k < rank; k++) {
        int axis = src_perm[k];
        if (src_dim[axis] == 1) continue;
        bool joined = last >= 0 && axis > last;
        for (int between = last + 1; joined && between < axis; between++) joined = src_dim[between] == 1;
        if (joined) {
            size[groups - 1] *= src_dim[axis];
        } else {
            first[groups] = axis;
            size[groups++] = src_dim[axis];
        }
        last = axis;
    }
    for (int k = 0; k < groups; k++) { /* position in source order = how many groups begin earlier */
        group[k] = 0;
        for (int j = 0; j < groups; j++) group[k] += first[j] < first[k];
        perm[k] = group[k];
        dim[group[k]] = size[k];
    }
    return groups;
}

void mien_k_permute(void *dst, const void *src, const int64_t *src_dim, const int *perm, int rank, size_t elem)
{
    assert(rank >= 0 && rank <= MAX_RANK && elem >= 1 && elem <= 8);
    int64_t dim[MAX_RANK], stride[MAX_RANK], out_dim[MAX_RANK], out_stride[MAX_RANK], total = product(src_dim, rank);
    int order[MAX_RANK];
    if (total == 0) return;
    int n = collapse_perm(dim, order, src_dim, perm, rank);
    bool swap = n == 2 ? order[0] == 1 : n == 3 && order[0] == 0 && order[1] == 2;
    if (swap) { /* NCHW <-> NHWC and every other exchange of the two innermost blocks */
        int64_t rows = dim[n - 2], cols = dim[n - 1];
        for (int64_t i = 0; i < total; i += rows * cols)
            transpose_tiles((unsigned char *)dst + (size_t)i * elem, (const unsigned char *)src + (size_t)i * elem, rows, cols, elem);
        return;
    }
    row_major_strides(stride, dim, n);
    for (int k = 0; k < n; k++) {
        out_dim[k] = dim[order[k]];
        out_stride[k] = stride[order[k]];
    }
    gather_strided(dst, src, out_dim, out_stride, n, elem);
}

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE };

/* Source index for destination index i - begin; -1 = the constant. */
static int64_t pad_index(int64_t i, int64_t n, int mode)
{
    if (i >= 0 && i < n) return i;
    if (mode == PAD_CONSTANT || n == 0) return -1;
    if (mode == PAD_EDGE || n == 1) return i < 0 ? 0 : n - 1;
    int64_t period = 2 * (n - 1); /* reflect: ... 2 1 0 1 2 ... n-1 n-2 ... */
    i %= period;
    if (i < 0) i += period;
    return i < n ? i : period - i;
}

static void pad_line(unsigned char *dst, const unsigned char *src, int64_t n, int64_t begin, int64_t out, int mode, const void *value, size_t elem)
{
    int64_t i = 0, copy_from = begin > 0 ? begin : 0;
    for (; i < out; i++) {
        if (i == copy_from && i - begin < n) { /* the part inside, in one copy */
            int64_t run = n - (i - begin) < out - i ? n - (i - begin) : out - i;
            memcpy(dst + (size_t)i * elem, src + (size_t)(i - begin) * elem, (size_t)run * elem);
            i += run - 1;
            continue;
        }
        int64_t k = pad_index(i - begin, n, mode);
        memcpy(dst + (size_t)i * elem, k < 0 ? value : src + (size_t)k * elem, elem);
    }
}

void mien_k_pad(void *dst, const void *src, const int64_t *src_dim, const int64_t *begin, const int64_t *end, int rank, int mode,
                const void *value, size_t elem)
{
    assert(rank >= 0 && rank <= MAX_RANK && elem >= 1 && elem <= 8);
    static const unsigned char zero[8];
    int64_t dim[MAX_RANK], stride[MAX_RANK];
    unsigned char *d = dst;
    if (value == NULL) value = zero;
    if (rank == 0) {
        memcpy(dst, src, elem);
        return;
    }
    for (int i = 0; i < rank; i++) dim[i] = src_dim[i] + begin[i] + end[i];
    for (int i = 0; i < rank; i++)
        if (dim[i] <= 0) return;
    row_major_strides(stride, src_dim, rank);
    struct walk w;
    walk_start(&w, dim, stride, rank - 1);
    int64_t inner = dim[rank - 1], lines = product(dim, rank - 1);
    for (int64_t l = 0; l < lines; l++, walk_next(&w), d += (size_t)inner * elem) {
        int64_t offset = 0;
        bool outside = false;
        for (int i = 0; i < rank - 1 && !outside; i++) {
            int64_t k = pad_index(w.at[i] - begin[i], src_dim[i], mode);
            outside = k < 0;
            offset += k * stride[i];
        }
        if (outside || src == NULL)
            for (int64_t i = 0; i < inner; i++) memcpy(d + (size_t)i * elem, value, elem);
        else
            pad_line(d, (const unsigned char *)src + offset * (int64_t)elem, src_dim[rank - 1], begin[rank - 1], inner, mode, value, elem);
    }
}

/* Joins neighbouring axes over which both operands advance alike. Returns the new rank. */
static int collapse_broadcast(int64_t *dim, int64_t *xs, int64_t *ys, int rank)
{
    int n = 0;
    for (int i = 0; i < rank; i++) {
        if (dim[i] == 1) continue;
        if (n > 0 && xs[n - 1] == xs[i] * dim[i] && ys[n - 1] == ys[i] * dim[i]) {
            dim[n - 1] *= dim[i];
            xs[n - 1] = xs[i];
            ys[n - 1] = ys[i];
        } else {
            dim[n] = dim[i];
            xs[n] = xs[i];
            ys[n++] = ys[i];
        }
    }
    return n;
}

void mien_k_broadcast(enum mien_binary op, float *dst, const int64_t *dst_dim, const float *x, const int64_t *x_dim, const float *y,
                      const int64_t *y_dim, int rank)
{
    assert(rank >= 0 && rank <= MAX_RANK);
    const struct mien_kernels *k = mien_kernels_get();
    int64_t dim[MAX_RANK], xs[MAX_RANK], ys[MAX_RANK], count = product(dst_dim, rank);
    if (count == 0) return;
    row_major_strides(xs, x_dim, rank);
    row_major_strides(ys, y_dim, rank);
    for (int i = 0; i < rank; i++) {
        assert((x_dim[i] == dst_dim[i] || x_dim[i] == 1) && (y_dim[i] == dst_dim[i] || y_dim[i] == 1));
        dim[i] = dst_dim[i];
        if (x_dim[i] == 1) xs[i] = 0;
        if (y_dim[i] == 1) ys[i] = 0;
    }
    int n = collapse_broadcast(dim, xs, ys, rank);
    if (n == 0) {
        k->binary(op, dst, x, 0, y, 0, 1);
        return;
    }
    struct walk wx, wy;
    walk_start(&wx, dim, xs, n - 1);
    walk_start(&wy, dim, ys, n - 1);
    int64_t inner = dim[n - 1];
    for (int64_t i = 0; i < count; i += inner, walk_next(&wx), walk_next(&wy))
        k->binary(op, dst + i, x + wx.offset, (int)xs[n - 1], y + wy.offset, (int)ys[n - 1], (size_t)inner);
}

static double reduce_first(enum mien_reduce op)
{
    return op == MIEN_R_MAX ? -INFINITY : op == MIEN_R_MIN ? INFINITY : 0;
}

static double reduce_step(enum mien_reduce op, double acc, double v)
{
    switch (op) {
    case MIEN_R_MAX: return v > acc || isnan(v) ? v : acc;
    case MIEN_R_MIN: return v < acc || isnan(v) ? v : acc;
    case MIEN_R_L2: return acc + v * v;
    default: return acc + v;
    }
}

static float reduce_last(enum mien_reduce op, double acc, int64_t n)
{
    return (float)(op == MIEN_R_MEAN ? acc / (double)n : op == MIEN_R_L2 ? sqrt(acc) : acc);
}

void mien_k_reduce(enum mien_reduce op, float *dst, const float *x, const int64_t *dim, int rank, unsigned axis_mask)
{
    assert(rank >= 0 && rank <= MAX_RANK);
    int64_t stride[MAX_RANK], kept[MAX_RANK], kept_stride[MAX_RANK], gone[MAX_RANK], gone_stride[MAX_RANK];
    int n_kept = 0, n_gone = 0;
    row_major_strides(stride, dim, rank);
    for (int i = 0; i < rank; i++) {
        bool reduced = (axis_mask >> i & 1) != 0;
        if (reduced) {
            gone[n_gone] = dim[i];
            gone_stride[n_gone++] = stride[i];
        } else {
            kept[n_kept] = dim[i];
            kept_stride[n_kept++] = stride[i];
        }
    }
    int64_t n_out = product(kept, n_kept), n_red = product(gone, n_gone);
    /* The last axis stays: sum whole lines of it at once. Otherwise one output at a time, over contiguous lines. */
    bool by_lines = n_kept > 0 && (axis_mask >> (rank - 1) & 1) == 0;
    int64_t line = by_lines ? kept[n_kept - 1] : 1;
    struct walk wk, wg;
    walk_start(&wk, kept, kept_stride, by_lines ? n_kept - 1 : n_kept);
    for (int64_t o = 0; o < n_out; o += line, walk_next(&wk))
        for (int64_t c0 = 0; c0 < line; c0 += REDUCE_CHUNK) {
            double acc[REDUCE_CHUNK];
            int64_t m = line - c0 < REDUCE_CHUNK ? line - c0 : REDUCE_CHUNK;
            for (int64_t c = 0; c < m; c++) acc[c] = reduce_first(op);
            walk_start(&wg, gone, gone_stride, n_gone);
            for (int64_t r = 0; r < n_red; r++, walk_next(&wg)) {
                const float *from = x + wk.offset + wg.offset + c0;
                for (int64_t c = 0; c < m; c++) acc[c] = reduce_step(op, acc[c], (double)from[c]);
            }
            for (int64_t c = 0; c < m; c++) dst[o + c0 + c] = reduce_last(op, acc[c], n_red);
        }
}

enum { COORD_HALF_PIXEL, COORD_ASYMMETRIC, COORD_ALIGN_CORNERS, COORD_PYTORCH_HALF_PIXEL };
enum { RESIZE_NEAREST, RESIZE_LINEAR, RESIZE_CUBIC };

/* Where output index i lies in the input, as the ONNX operator Resize defines it; float32 as in ONNX Runtime, so that
 * ties fall alike. */
static float resize_source(int64_t i, int64_t n, int64_t out, float scale, int coord)
{
    float at = (float)i;
    switch (coord) {
    case COORD_ASYMMETRIC: return at / scale;
    case COORD_ALIGN_CORNERS: return out == 1 ? 0 : at * (float)(n - 1) / (float)(out - 1);
    case COORD_PYTORCH_HALF_PIXEL: return out > 1 ? (at + 0.5f) / scale - 0.5f : 0;
    default: return (at + 0.5f) / scale - 0.5f;
    }
}

static int64_t clamp_index(int64_t i, int64_t n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }

static int64_t nearest_index(float at, int64_t n, int rule)
{
    float low = floorf(at), r;
    switch (rule) {
    case 1: r = low; break;
    case 2: r = ceilf(at); break;
    case 3: r = floorf(at + 0.5f); break;              /* ties up */
    default: r = at - low > 0.5f ? low + 1 : low; break; /* ties down */
    }
    return clamp_index((int64_t)r, n);
}

/* The source indices of one output index and their weights; 1, 2 or 4 of them by mode. Cubic: Keys 1981 with a = -0.75. */
struct taps {
    int n;
    int64_t index[4];
    float weight[4];
};

static struct taps taps_at(float at, int64_t n, int mode, int nearest)
{
    struct taps t = {.n = 1, .weight = {1}};
    if (mode == RESIZE_NEAREST) {
        t.index[0] = nearest_index(at, n, nearest);
        return t;
    }
    if (mode == RESIZE_LINEAR) {
        at = at < 0 ? 0 : at > (float)(n - 1) ? (float)(n - 1) : at;
        int64_t low = (int64_t)at;
        t = (struct taps){.n = 2, .index = {low, clamp_index(low + 1, n)}};
        t.weight[1] = at - (float)low;
        t.weight[0] = 1 - t.weight[1];
        return t;
    }
    const float a = -0.75f;
    float low = floorf(at), f = at - low;
    t.n = 4;
    for (int i = 0; i < 4; i++) t.index[i] = clamp_index((int64_t)low + i - 1, n);
    for (int i = 0; i < 4; i++) {
        float d = fabsf(f + 1 - (float)i); /* distance of tap i - 1 */
        t.weight[i] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    }
    return t;
}

void mien_k_resize(float *dst, const float *src, int64_t h, int64_t w, int64_t channels, int64_t oh, int64_t ow, float scale_h,
                   float scale_w, int mode, int coord, int nearest)
{
    for (int64_t y = 0; y < oh; y++) {
        struct taps ty = taps_at(resize_source(y, h, oh, scale_h, coord), h, mode, nearest);
        for (int64_t x = 0; x < ow; x++, dst += channels) {
            struct taps tx = taps_at(resize_source(x, w, ow, scale_w, coord), w, mode, nearest);
            if (mode == RESIZE_NEAREST) {
                memcpy(dst, src + (ty.index[0] * w + tx.index[0]) * channels, (size_t)channels * sizeof *dst);
                continue;
            }
            memset(dst, 0, (size_t)channels * sizeof *dst);
            for (int i = 0; i < ty.n; i++)
                for (int j = 0; j < tx.n; j++) {
                    const float *from = src + (ty.index[i] * w + tx.index[j]) * channels;
                    float weight = ty.weight[i] * tx.weight[j];
                    for (int64_t c = 0; c < channels; c++) dst[c] += weight * from[c];
                }
        }
    }
}

void mien_k_gather(void *dst, const void *src, size_t outer, size_t src_n, size_t inner, const int64_t *index, size_t n, size_t elem)
{
    size_t bytes = inner * elem;
    unsigned char *d = dst;
    const unsigned char *s = src;
    if (bytes == 0) return;
    for (size_t o = 0; o < outer; o++, s += src_n * bytes)
        for (size_t i = 0; i < n; i++, d += bytes) {
            int64_t k = index[i] < 0 ? index[i] + (int64_t)src_n : index[i];
            if (k >= 0 && k < (int64_t)src_n)
                memcpy(d, s + (size_t)k * bytes, bytes);
            else
                memset(d, 0, bytes); /* a computed index that is out of range reads nothing */
        }
}
