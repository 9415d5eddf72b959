/* Operator definitions: https://onnx.ai/onnx/operators/ . Written independently of the rooms it checks: of src/onnx it
 * reads only the graph and its attributes. */
#include "support/onnx_ref.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct run { const struct mien_graph *g; float **v; const struct mien_node *n; };

static const struct mien_shape *shape(const struct run *r, int id) { return &r->g->tensor[id].shape; }
static const struct mien_shape *in_shape(const struct run *r, int k) { return shape(r, r->n->in[k]); }
static const struct mien_shape *out_shape(const struct run *r) { return shape(r, r->n->out[0]); }
static const float *in(const struct run *r, int k) { return r->v[r->n->in[k]]; }
static float *out(const struct run *r) { return r->v[r->n->out[0]]; }
static int has(const struct run *r, int k) { return k < r->n->n_in && r->n->in[k] >= 0; }

/* Own versions of two functions of src/onnx: this file is linked into tests of rooms that do not have it. */
static size_t count(const struct mien_shape *s)
{
    size_t n = 1;
    for (int i = 0; i < s->rank; i++) n *= (size_t)s->dim[i];
    return n;
}

static const char *op_text(enum mien_op op)
{
    static const char *const name[] = {
#define X(id, text) text,
        MIEN_OPS(X)
#undef X
    };
    return (unsigned)op < MIEN_OP_COUNT ? name[op] : "?";
}

/* Offset in a tensor broadcast to `to` of the element with coordinates `at`. */
static size_t broadcast_offset(const struct mien_shape *s, const struct mien_shape *to, const int64_t *at)
{
    size_t o = 0;
    for (int i = 0; i < s->rank; i++) o = o * (size_t)s->dim[i] + (s->dim[i] == 1 ? 0 : (size_t)at[i + to->rank - s->rank]);
    return o;
}

static void next(const struct mien_shape *s, int64_t *at)
{
    for (int i = s->rank - 1; i >= 0; i--) {
        if (++at[i] < s->dim[i]) return;
        at[i] = 0;
    }
}

static double act(const struct mien_act *a, double x, double slope)
{
    double p = (double)a->a, q = (double)a->b;
    switch (a->kind) {
    case MIEN_ACT_RELU: return x > 0 ? x : 0;
    case MIEN_ACT_LEAKY: return x > 0 ? x : p * x;
    case MIEN_ACT_CLIP: return x < p ? p : x > q ? q : x;
    case MIEN_ACT_SIGMOID: return 1 / (1 + exp(-x));
    case MIEN_ACT_TANH: return tanh(x);
    case MIEN_ACT_HARDSWISH: return x * fmin(fmax(x / 6 + 0.5, 0), 1);
    case MIEN_ACT_HARDSIGMOID: return fmin(fmax(p * x + q, 0), 1);
    case MIEN_ACT_SWISH: return x / (1 + exp(-x));
    case MIEN_ACT_PRELU: return x > 0 ? x : slope * x;
    default: return x;
    }
}

/* y = act(y + residual) */
static void finish(const struct run *r)
{
    const struct mien_node *n = r->n;
    if (n->residual < 0 && n->act.kind == MIEN_ACT_NONE) return;
    const struct mien_shape *s = out_shape(r);
    size_t total = count(s), inner = 1, slopes = n->act.slope >= 0 ? count(shape(r, n->act.slope)) : 1;
    for (int i = 2; i < s->rank; i++) inner *= (size_t)s->dim[i];
    for (size_t i = 0; i < total; i++) {
        double x = (double)out(r)[i] + (n->residual >= 0 ? (double)r->v[n->residual][i] : 0);
        double slope = n->act.slope >= 0 ? (double)r->v[n->act.slope][slopes == 1 ? 0 : i / inner % slopes] : 0;
        out(r)[i] = (float)act(&n->act, x, slope);
    }
}

static void conv(const struct run *r)
{
    const struct mien_attrs *a = &r->n->attr;
    const int64_t *x = in_shape(r, 0)->dim, *y = out_shape(r)->dim, *w = in_shape(r, 1)->dim;
    int64_t outs = y[1] / a->groups;
    float *to = out(r);
    for (int64_t n = 0; n < y[0]; n++)
        for (int64_t m = 0; m < y[1]; m++)
            for (int64_t i = 0; i < y[2]; i++)
                for (int64_t j = 0; j < y[3]; j++) {
                    double sum = has(r, 2) ? (double)in(r, 2)[m] : 0;
                    for (int64_t c = 0; c < w[1]; c++)
                        for (int64_t p = 0; p < w[2]; p++) {
                            int64_t h = i * a->stride[0] - a->pad[0] + p * a->dilation[0];
                            if (h < 0 || h >= x[2]) continue;
                            const float *row = in(r, 0) + ((n * x[1] + m / outs * w[1] + c) * x[2] + h) * x[3];
                            const float *taps = in(r, 1) + ((m * w[1] + c) * w[2] + p) * w[3];
                            for (int64_t q = 0; q < w[3]; q++) {
                                int64_t v = j * a->stride[1] - a->pad[1] + q * a->dilation[1];
                                if (v >= 0 && v < x[3]) sum += (double)row[v] * (double)taps[q];
                            }
                        }
                    *to++ = (float)sum;
                }
}

static void conv_transpose(const struct run *r)
{
    const struct mien_attrs *a = &r->n->attr;
    const int64_t *x = in_shape(r, 0)->dim, *y = out_shape(r)->dim, *w = in_shape(r, 1)->dim;
    int64_t ins = x[1] / a->groups;
    size_t plane = (size_t)(y[2] * y[3]);
    for (size_t i = 0; i < count(out_shape(r)); i++) out(r)[i] = has(r, 2) ? in(r, 2)[i / plane % (size_t)y[1]] : 0;
    for (int64_t n = 0; n < x[0]; n++)
        for (int64_t c = 0; c < x[1]; c++)
            for (int64_t i = 0; i < x[2] * x[3]; i++)
                for (int64_t m = 0; m < w[1]; m++)
                    for (int64_t p = 0; p < w[2] * w[3]; p++) {
                        int64_t h = i / x[3] * a->stride[0] - a->pad[0] + p / w[3] * a->dilation[0];
                        int64_t v = i % x[3] * a->stride[1] - a->pad[1] + p % w[3] * a->dilation[1];
                        if (h < 0 || h >= y[2] || v < 0 || v >= y[3]) continue;
                        out(r)[((n * y[1] + c / ins * w[1] + m) * y[2] + h) * y[3] + v] +=
                            in(r, 0)[(n * x[1] + c) * x[2] * x[3] + i] * in(r, 1)[(c * w[1] + m) * w[2] * w[3] + p];
                    }
}

static void gemm(const struct run *r)
{
    const struct mien_attrs *a = &r->n->attr;
    const struct mien_shape *s = out_shape(r);
    int64_t k = in_shape(r, 0)->dim[!a->trans_a];
    const int64_t *da = in_shape(r, 0)->dim, *db = in_shape(r, 1)->dim;
    int64_t at[MIEN_MAX_RANK] = {0};
    for (size_t i = 0; i < count(s); i++, next(s, at)) {
        double sum = 0;
        for (int64_t q = 0; q < k; q++)
            sum += (double)in(r, 0)[a->trans_a ? q * da[1] + at[0] : at[0] * da[1] + q] * (double)in(r, 1)[a->trans_b ? at[1] * db[1] + q : q * db[1] + at[1]];
        out(r)[i] = (float)(sum * (double)a->alpha + (has(r, 2) ? (double)a->beta * (double)in(r, 2)[broadcast_offset(in_shape(r, 2), s, at)] : 0));
    }
}

static void matmul(const struct run *r)
{
    const struct mien_shape *s = out_shape(r), *sa = in_shape(r, 0), *sb = in_shape(r, 1);
    int64_t k = sa->dim[sa->rank - 1], at[MIEN_MAX_RANK] = {0};
    for (size_t i = 0; i < count(s); i++, next(s, at)) {
        double sum = 0;
        int64_t a[MIEN_MAX_RANK], b[MIEN_MAX_RANK];
        for (int64_t q = 0; q < k; q++) {
            memcpy(a, at, sizeof a);
            memcpy(b, at, sizeof b);
            a[s->rank - 1] = q;
            b[s->rank - 2] = q;
            sum += (double)in(r, 0)[broadcast_offset(sa, s, a)] * (double)in(r, 1)[broadcast_offset(sb, s, b)];
        }
        out(r)[i] = (float)sum;
    }
}

static void batchnorm(const struct run *r)
{
    const struct mien_shape *s = out_shape(r);
    size_t inner = 1;
    for (int i = 2; i < s->rank; i++) inner *= (size_t)s->dim[i];
    for (size_t i = 0; i < count(s); i++) {
        size_t c = i / inner % (size_t)s->dim[1];
        double x = (double)in(r, 0)[i];
        if (has(r, 3)) x = (x - (double)in(r, 3)[c]) / sqrt((double)in(r, 4)[c] + (double)r->n->attr.epsilon);
        out(r)[i] = (float)(x * (double)in(r, 1)[c] + (double)in(r, 2)[c]);
    }
}

static void pool(const struct run *r)
{
    const struct mien_attrs *a = &r->n->attr;
    const int64_t *x = in_shape(r, 0)->dim, *y = out_shape(r)->dim;
    bool max = r->n->op == MIEN_OP_MAXPOOL || r->n->op == MIEN_OP_GLOBALMAXPOOL;
    bool global = r->n->op == MIEN_OP_GLOBALAVGPOOL || r->n->op == MIEN_OP_GLOBALMAXPOOL;
    float *to = out(r);
    for (int64_t c = 0; c < y[0] * y[1]; c++)
        for (int64_t i = 0; i < y[2]; i++)
            for (int64_t j = 0; j < y[3]; j++) {
                double best = -INFINITY, sum = 0, n = 0;
                int64_t kh = global ? x[2] : a->kernel[0], kw = global ? x[3] : a->kernel[1];
                for (int64_t p = 0; p < kh; p++)
                    for (int64_t q = 0; q < kw; q++) {
                        int64_t h = global ? p : i * a->stride[0] - a->pad[0] + p * a->dilation[0];
                        int64_t v = global ? q : j * a->stride[1] - a->pad[1] + q * a->dilation[1];
                        bool padded = h < x[2] + a->pad[2] && v < x[3] + a->pad[3];
                        if (h < 0 || v < 0 || h >= x[2] || v >= x[3]) {
                            n += a->count_include_pad && padded;
                            continue;
                        }
                        double value = (double)in(r, 0)[(c * x[2] + h) * x[3] + v];
                        best = fmax(best, value);
                        sum += value;
                        n++;
                    }
                *to++ = (float)(max ? best : sum / n);
            }
}

static double unary(const struct mien_node *n, double x, int *known)
{
    double a = (double)n->attr.alpha, b = (double)n->attr.beta;
    switch (n->op) {
    case MIEN_OP_RELU: return x > 0 ? x : 0;
    case MIEN_OP_LEAKYRELU: return x > 0 ? x : a * x;
    case MIEN_OP_SIGMOID: return 1 / (1 + exp(-x));
    case MIEN_OP_TANH: return tanh(x);
    case MIEN_OP_ELU: return x > 0 ? x : a * (exp(x) - 1);
    case MIEN_OP_SOFTPLUS: return x > 30 ? x : log1p(exp(x));
    case MIEN_OP_HARDSIGMOID: return fmin(fmax(a * x + b, 0), 1);
    case MIEN_OP_HARDSWISH: return x * fmin(fmax(x / 6 + 0.5, 0), 1);
    case MIEN_OP_CLIP: return x < a ? a : x > b ? b : x;
    case MIEN_OP_ERF: return erf(x);
    case MIEN_OP_GELU: return a > 0 ? 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))) : 0.5 * x * (1 + erf(x * 0.7071067811865476));
    case MIEN_OP_NEG: return -x;
    case MIEN_OP_ABS: return fabs(x);
    case MIEN_OP_EXP: return exp(x);
    case MIEN_OP_LOG: return log(x);
    case MIEN_OP_SQRT: return sqrt(x);
    case MIEN_OP_RECIPROCAL: return 1 / x;
    case MIEN_OP_FLOOR: return floor(x);
    case MIEN_OP_CEIL: return ceil(x);
    case MIEN_OP_NOT: return !(x != 0);
    case MIEN_OP_CAST: return n->attr.to == MIEN_F32 ? x : n->attr.to == MIEN_BOOL ? x != 0 : trunc(x);
    default: *known = 0; return 0;
    }
}

static double binary(enum mien_op op, double a, double b, int *known)
{
    switch (op) {
    case MIEN_OP_ADD: return a + b;
    case MIEN_OP_SUB: return a - b;
    case MIEN_OP_MUL: return a * b;
    case MIEN_OP_DIV: return a / b;
    case MIEN_OP_POW: return pow(a, b);
    case MIEN_OP_MIN: return fmin(a, b);
    case MIEN_OP_MAX: return fmax(a, b);
    case MIEN_OP_PRELU: return a > 0 ? a : a * b;
    case MIEN_OP_EQUAL: return a == b;
    case MIEN_OP_LESS: return a < b;
    case MIEN_OP_GREATER: return a > b;
    default: *known = 0; return 0;
    }
}

static int elementwise(const struct run *r)
{
    const struct mien_shape *s = out_shape(r);
    int64_t at[MIEN_MAX_RANK] = {0};
    int known = 1;
    (void)unary(r->n, 1, &known);
    if (known) {
        for (size_t i = 0; i < count(s); i++) out(r)[i] = (float)unary(r->n, (double)in(r, 0)[i], &known);
        return 1;
    }
    known = 1;
    (void)binary(r->n->op, 1, 1, &known);
    for (size_t i = 0; known && i < count(s); i++, next(s, at))
        out(r)[i] = (float)binary(r->n->op, (double)in(r, 0)[broadcast_offset(in_shape(r, 0), s, at)],
                                  (double)in(r, 1)[broadcast_offset(in_shape(r, 1), s, at)], &known);
    return known;
}

/* outer x n x inner around an axis */
static void around(const struct mien_shape *s, int axis, size_t *outer, size_t *n, size_t *inner)
{
    *outer = *inner = 1;
    for (int i = 0; i < axis; i++) *outer *= (size_t)s->dim[i];
    *n = (size_t)s->dim[axis];
    for (int i = axis + 1; i < s->rank; i++) *inner *= (size_t)s->dim[i];
}

static void along_axis(const struct run *r)
{
    size_t outer, n, inner;
    struct mien_shape s = *in_shape(r, 0);
    if (s.rank == 0) s = (struct mien_shape){.rank = 1, .dim = {1}};
    if (r->n->attr.legacy) { /* flattened to two dimensions */
        for (int i = r->n->attr.axis + 1; i < s.rank; i++) s.dim[r->n->attr.axis] *= s.dim[i];
        s.rank = r->n->attr.axis + 1;
    }
    around(&s, r->n->attr.axis, &outer, &n, &inner);
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < inner; i++) {
            const float *x = in(r, 0) + o * n * inner + i;
            double max = -INFINITY, sum = 0;
            size_t best = 0;
            for (size_t k = 0; k < n; k++) {
                if ((double)x[k * inner] > max) best = k;
                max = fmax(max, (double)x[k * inner]);
            }
            if (r->n->op == MIEN_OP_ARGMAX) {
                out(r)[o * inner + i] = (float)best;
                continue;
            }
            for (size_t k = 0; k < n; k++) {
                double v = (double)x[k * inner];
                sum += r->n->op == MIEN_OP_SOFTMAX ? exp(v - max) : r->n->attr.alpha > 1 ? v * v : fabs(v);
            }
            if (r->n->op == MIEN_OP_LPNORM && r->n->attr.alpha > 1) sum = sqrt(sum);
            for (size_t k = 0; k < n; k++) {
                double v = (double)x[k * inner];
                out(r)[(o * n + k) * inner + i] = (float)((r->n->op == MIEN_OP_SOFTMAX ? exp(v - max) : v) / sum);
            }
        }
}

static void reduce(const struct run *r)
{
    const struct mien_shape *s = in_shape(r, 0);
    struct mien_shape kept = *s;
    for (int i = 0; i < r->n->attr.n_axes; i++) kept.dim[r->n->attr.axes[i]] = 1;
    size_t n = count(&kept), total = count(s);
    double *sum = calloc(n + 1, sizeof *sum);
    int64_t at[MIEN_MAX_RANK] = {0};
    enum mien_op op = r->n->op;
    if (sum == NULL) abort();
    for (size_t i = 0; i < n; i++) sum[i] = op == MIEN_OP_REDUCEMAX ? -INFINITY : op == MIEN_OP_REDUCEMIN ? INFINITY : 0;
    for (size_t i = 0; i < total; i++, next(s, at)) {
        double v = (double)in(r, 0)[i], *to = &sum[broadcast_offset(&kept, s, at)];
        *to = op == MIEN_OP_REDUCEMAX ? fmax(*to, v) : op == MIEN_OP_REDUCEMIN ? fmin(*to, v) : *to + (op == MIEN_OP_REDUCEL2 ? v * v : v);
    }
    for (size_t i = 0; i < n; i++)
        out(r)[i] = (float)(op == MIEN_OP_REDUCEMEAN ? sum[i] * (double)n / (double)total : op == MIEN_OP_REDUCEL2 ? sqrt(sum[i]) : sum[i]);
    free(sum);
}

/* Operators where each output element is one input element, or padding. */
static int moved(const struct run *r)
{
    const struct mien_attrs *a = &r->n->attr;
    const struct mien_shape *s = in_shape(r, 0), *to = out_shape(r);
    int64_t at[MIEN_MAX_RANK] = {0};
    for (size_t i = 0; i < count(to); i++, next(to, at)) {
        int64_t from[MIEN_MAX_RANK] = {0}, b = a->block;
        bool inside = true;
        for (int d = 0; d < s->rank; d++) {
            int k = to->rank - s->rank + d;
            switch (r->n->op) {
            case MIEN_OP_TRANSPOSE: from[a->perm[d]] = at[d]; break;
            case MIEN_OP_SLICE: from[d] = a->starts[d] + at[d] * a->steps[d]; break;
            case MIEN_OP_EXPAND: from[d] = s->dim[d] == 1 ? 0 : at[k]; break;
            case MIEN_OP_TILE: from[d] = at[d] % s->dim[d]; break;
            case MIEN_OP_PAD:
                from[d] = at[d] - a->pads[d];
                if (a->pad_mode == 1 && from[d] < 0) from[d] = -from[d];
                if (a->pad_mode == 1 && from[d] >= s->dim[d]) from[d] = 2 * s->dim[d] - 2 - from[d];
                if (a->pad_mode == 2) from[d] = from[d] < 0 ? 0 : from[d] >= s->dim[d] ? s->dim[d] - 1 : from[d];
                inside &= from[d] >= 0 && from[d] < s->dim[d];
                break;
            default: return 0;
            }
        }
        (void)b;
        out(r)[i] = inside ? in(r, 0)[broadcast_offset(s, s, from)] : a->pad_value;
    }
    return 1;
}

static void depth_to_space(const struct run *r)
{
    const struct mien_attrs *a = &r->n->attr;
    const struct mien_shape *s = in_shape(r, 0), *to = out_shape(r);
    bool down = r->n->op == MIEN_OP_SPACETODEPTH;
    const struct mien_shape *small = down ? to : s, *wide = down ? s : to;
    int64_t at[MIEN_MAX_RANK] = {0}, b = a->block, c = wide->dim[1];
    for (size_t i = 0; i < count(wide); i++, next(wide, at)) { /* walk the side with few channels */
        int64_t h = at[2] % b, w = at[3] % b, from[4] = {at[0], 0, at[2] / b, at[3] / b};
        from[1] = down || a->dcr ? (h * b + w) * c + at[1] : at[1] * b * b + h * b + w;
        size_t o = broadcast_offset(small, small, from);
        if (down) out(r)[o] = in(r, 0)[i];
        else out(r)[i] = in(r, 0)[o];
    }
}

static void concat(const struct run *r)
{
    size_t outer, n, inner, at = 0;
    around(out_shape(r), r->n->attr.axis, &outer, &n, &inner);
    for (int k = 0; k < r->n->n_in; k++) {
        size_t part = (size_t)in_shape(r, k)->dim[r->n->attr.axis] * inner;
        for (size_t o = 0; o < outer; o++) memcpy(out(r) + o * n * inner + at, in(r, k) + o * part, part * sizeof(float));
        at += part;
    }
}

static void split(const struct run *r)
{
    size_t outer, n, inner, at = 0;
    around(in_shape(r, 0), r->n->attr.axis, &outer, &n, &inner);
    for (int k = 0; k < r->n->n_out; k++) {
        if (r->n->out[k] < 0) abort();
        size_t part = (size_t)shape(r, r->n->out[k])->dim[r->n->attr.axis] * inner;
        for (size_t o = 0; o < outer; o++) memcpy(r->v[r->n->out[k]] + o * part, in(r, 0) + o * n * inner + at, part * sizeof(float));
        at += part;
    }
}

static void gather(const struct run *r)
{
    size_t outer, n, inner, k = count(in_shape(r, 1));
    around(in_shape(r, 0), r->n->attr.axis, &outer, &n, &inner);
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < k; i++) {
            double at = (double)in(r, 1)[i];
            size_t row = (size_t)(at < 0 ? at + (double)n : at);
            memcpy(out(r) + (o * k + i) * inner, in(r, 0) + (o * n + row) * inner, inner * sizeof(float));
        }
}

/* In float32, as ONNX Runtime: halves decide which neighbour is nearest. */
static float resize_from(const struct mien_attrs *a, int64_t at, int d, int64_t in_n, int64_t out_n)
{
    float s = a->scale[d], x = (float)at;
    switch (a->resize_coord) {
    case 0: return (x + 0.5f) / s - 0.5f;
    case 1: return x / s;
    case 2: return out_n == 1 ? 0 : x * (float)(in_n - 1) / (float)(out_n - 1);
    default: return out_n == 1 ? 0 : (x + 0.5f) / s - 0.5f;
    }
}

static int64_t clampi(int64_t v, int64_t n) { return v < 0 ? 0 : v >= n ? n - 1 : v; }

static int resize(const struct run *r)
{
    const struct mien_attrs *a = &r->n->attr;
    const int64_t *x = in_shape(r, 0)->dim, *y = out_shape(r)->dim;
    float *to = out(r);
    if (a->resize_mode == 2) return 0;
    for (int64_t c = 0; c < y[0] * y[1]; c++)
        for (int64_t i = 0; i < y[2]; i++)
            for (int64_t j = 0; j < y[3]; j++) {
                double p[2] = {(double)resize_from(a, i, 0, x[2], y[2]), (double)resize_from(a, j, 1, x[3], y[3])};
                const float *plane = in(r, 0) + c * x[2] * x[3];
                if (a->resize_mode == 0) {
                    int64_t at[2];
                    for (int d = 0; d < 2; d++) {
                        int how = a->resize_nearest;
                        double v = how == 0 ? ceil(p[d] - 0.5) : how == 1 ? floor(p[d]) : how == 2 ? ceil(p[d]) : floor(p[d] + 0.5);
                        at[d] = clampi((int64_t)v, x[2 + d]);
                    }
                    *to++ = plane[at[0] * x[3] + at[1]];
                    continue;
                }
                for (int d = 0; d < 2; d++) p[d] = fmin(fmax(p[d], 0), (double)(x[2 + d] - 1));
                int64_t h = (int64_t)p[0], w = (int64_t)p[1], h2 = clampi(h + 1, x[2]), w2 = clampi(w + 1, x[3]);
                double fh = p[0] - (double)h, fw = p[1] - (double)w;
                double top = (1 - fw) * (double)plane[h * x[3] + w] + fw * (double)plane[h * x[3] + w2];
                double low = (1 - fw) * (double)plane[h2 * x[3] + w] + fw * (double)plane[h2 * x[3] + w2];
                *to++ = (float)((1 - fh) * top + fh * low);
            }
    return 1;
}

static void where(const struct run *r)
{
    const struct mien_shape *s = out_shape(r);
    int64_t at[MIEN_MAX_RANK] = {0};
    for (size_t i = 0; i < count(s); i++, next(s, at)) {
        int k = in(r, 0)[broadcast_offset(in_shape(r, 0), s, at)] != 0 ? 1 : 2;
        out(r)[i] = in(r, k)[broadcast_offset(in_shape(r, k), s, at)];
    }
}

static void normalize(const struct run *r)
{
    const struct mien_shape *s = in_shape(r, 0);
    bool layer = r->n->op == MIEN_OP_LAYERNORM;
    int axis = layer ? r->n->attr.axis : 2;
    size_t outer = 1, n = 1;
    for (int i = 0; i < s->rank; i++) *(i < axis ? &outer : &n) *= (size_t)s->dim[i];
    for (size_t o = 0; o < outer; o++) {
        const float *x = in(r, 0) + o * n;
        double mean = 0, var = 0;
        for (size_t i = 0; i < n; i++) mean += (double)x[i] / (double)n;
        for (size_t i = 0; i < n; i++) var += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
        for (size_t i = 0; i < n; i++) {
            size_t k = layer ? i : o % (size_t)s->dim[1];
            double v = ((double)x[i] - mean) / sqrt(var + (double)r->n->attr.epsilon);
            out(r)[o * n + i] = (float)(v * (double)in(r, 1)[k] + (has(r, 2) ? (double)in(r, 2)[k] : 0));
        }
    }
}

static int step(const struct run *r)
{
    switch (r->n->op) {
    case MIEN_OP_CONV: conv(r); return 1;
    case MIEN_OP_CONV_TRANSPOSE: conv_transpose(r); return 1;
    case MIEN_OP_GEMM: gemm(r); return 1;
    case MIEN_OP_MATMUL: matmul(r); return 1;
    case MIEN_OP_BATCHNORM: batchnorm(r); return 1;
    case MIEN_OP_INSTANCENORM:
    case MIEN_OP_LAYERNORM: normalize(r); return 1;
    case MIEN_OP_MAXPOOL:
    case MIEN_OP_AVGPOOL:
    case MIEN_OP_GLOBALAVGPOOL:
    case MIEN_OP_GLOBALMAXPOOL: pool(r); return 1;
    case MIEN_OP_SOFTMAX:
    case MIEN_OP_LPNORM:
    case MIEN_OP_ARGMAX: along_axis(r); return 1;
    case MIEN_OP_REDUCEMEAN:
    case MIEN_OP_REDUCESUM:
    case MIEN_OP_REDUCEMAX:
    case MIEN_OP_REDUCEMIN:
    case MIEN_OP_REDUCEL2: reduce(r); return 1;
    case MIEN_OP_RESHAPE:
    case MIEN_OP_FLATTEN:
    case MIEN_OP_SQUEEZE:
    case MIEN_OP_UNSQUEEZE: memcpy(out(r), in(r, 0), count(out_shape(r)) * sizeof(float)); return 1;
    case MIEN_OP_TRANSPOSE:
    case MIEN_OP_SLICE:
    case MIEN_OP_EXPAND:
    case MIEN_OP_TILE:
    case MIEN_OP_PAD: return moved(r);
    case MIEN_OP_DEPTHTOSPACE:
    case MIEN_OP_SPACETODEPTH: depth_to_space(r); return 1;
    case MIEN_OP_CONCAT: concat(r); return 1;
    case MIEN_OP_SPLIT: split(r); return 1;
    case MIEN_OP_GATHER: gather(r); return 1;
    case MIEN_OP_RESIZE: return resize(r);
    case MIEN_OP_WHERE: where(r); return 1;
    default: return elementwise(r);
    }
}

static float *constant(const struct mien_tensor *t)
{
    size_t n = count(&t->shape);
    float *v = malloc((n + 1) * sizeof *v);
    if (v == NULL) abort();
    const unsigned char *p = t->data;
    for (size_t i = 0; i < n; i++) {
        int64_t wide;
        int32_t narrow;
        switch (t->type) {
        case MIEN_F32: memcpy(&v[i], p + 4 * i, 4); break;
        case MIEN_I64: memcpy(&wide, p + 8 * i, 8); v[i] = (float)wide; break;
        case MIEN_I32: memcpy(&narrow, p + 4 * i, 4); v[i] = (float)narrow; break;
        case MIEN_I8: v[i] = (float)(int8_t)p[i]; break;
        default: v[i] = (float)p[i]; break;
        }
    }
    return v;
}

const char *onnx_ref_run(const struct mien_graph *g, const float *const *inputs, float ***outputs)
{
    const char *unknown = NULL;
    struct run r = {.g = g, .v = calloc((size_t)g->n_tensors + 1, sizeof *r.v)};
    float **list = calloc((size_t)g->n_outputs + 1, sizeof *list);
    if (r.v == NULL || list == NULL) abort();
    for (int i = 0; i < g->n_tensors; i++) {
        if (g->tensor[i].data != NULL) r.v[i] = constant(&g->tensor[i]);
        else r.v[i] = calloc(count(&g->tensor[i].shape) + 1, sizeof(float));
        if (r.v[i] == NULL) abort();
    }
    for (int i = 0; i < g->n_inputs; i++) memcpy(r.v[g->input[i]], inputs[i], count(&g->tensor[g->input[i]].shape) * sizeof(float));
    for (int i = 0; i < g->n_nodes && unknown == NULL; i++) {
        r.n = &g->node[i];
        if (!step(&r)) unknown = op_text(r.n->op);
        else finish(&r);
    }
    for (int i = 0; i < g->n_outputs; i++) {
        size_t n = count(&g->tensor[g->output[i]].shape);
        list[i] = malloc((n + 1) * sizeof(float));
        if (list[i] == NULL) abort();
        memcpy(list[i], r.v[g->output[i]], n * sizeof(float));
    }
    for (int i = 0; i < g->n_tensors; i++) free(r.v[i]);
    free(r.v);
    *outputs = list;
    return unknown;
}

void onnx_ref_fill(float *v, size_t n, float low, float high)
{
    uint32_t x = 12345;
    for (size_t i = 0; i < n; i++) {
        x = (1103515245u * x + 12345u) & 0x7fffffffu;
        v[i] = (float)(x >> 8) / 8388608.0f * (high - low) + low;
    }
}
