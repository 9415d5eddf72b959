/* Winograd convolution for one vector width. Included once by each winograd_LEVEL.c after it has defined:
 *   VL             float lanes of a vector (4, 8 or 16)
 *   ROWS           most tiles that the micro-kernel keeps in registers; EACH_ROW_COUNT(X) is X(1) X(2) ... X(ROWS)
 *   WINO_RUN       name of the function to make
 *   ELEM           type of activations and products: float or uint16_t (bfloat16)
 *   LOAD(p), STORE(p, v)               VL elements <-> one float vector
 *   LOAD_PART(p, n), STORE_PART(p, v, n)   the first n < VL elements; zeros behind. Optional: portable ones are made here
 *   K_STEP, RIGHT, MULTIPLY(acc, left, right)   the inner product: elements of k taken at once, a vector of U, acc += left * right
 * Vectors are GCC vector types, so that one text serves all levels. Channels of internal buffers are padded to 16; the padding of V is
 * zero, that of the output is never stored. */

typedef float vec __attribute__((vector_size(VL * 4), aligned(4), may_alias));

typedef int32_t mask __attribute__((vector_size(VL * 4)));

static inline vec splat(float x) { return x - (vec){0}; }

static inline vec choose(mask m, vec yes, vec no) { return (vec)((m & (mask)yes) | (~m & (mask)no)); }

/* B^T d for one column of m+2 values (rows of the 1-D input transform). */
static inline void input_4(const vec d[6], vec t[6])
{
    const vec a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1], c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
    t[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
    t[1] = a + b;
    t[2] = a - b;
    t[3] = c + e;
    t[4] = c - e;
    t[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
}

static inline void input_2(const vec d[4], vec t[4])
{
    t[0] = d[0] - d[2];
    t[1] = d[1] + d[2];
    t[2] = d[2] - d[1];
    t[3] = d[1] - d[3];
}

/* A^T m for one column of m+2 products. */
static inline void output_4(const vec x[6], vec y[4])
{
    const vec a = x[1] + x[2], b = x[1] - x[2], c = x[3] + x[4], d = x[3] - x[4];
    y[0] = x[0] + a + c;
    y[1] = b + 2.0f * d;
    y[2] = a + 4.0f * c;
    y[3] = b + 8.0f * d + x[5];
}

static inline void output_2(const vec x[4], vec y[2])
{
    y[0] = x[0] + x[1] + x[2];
    y[1] = x[1] - x[2] - x[3];
}

#ifndef LOAD_PART
#define LOAD_PART load_part
#define STORE_PART store_part
static vec load_part(const ELEM *p, int n)
{
    ELEM t[VL] = {0};
    memcpy(t, p, (size_t)n * sizeof *p);
    return LOAD(t);
}

static void store_part(ELEM *p, vec v, int n)
{
    ELEM t[VL];
    STORE(t, v);
    memcpy(p, t, (size_t)n * sizeof *p);
}
#endif

/* The loops over a tile are short and of fixed length; rolled, their arrays would live in memory: twice the time of a whole network (gcc at -O2
 * unrolls only what makes the code smaller). */
#define UNROLL _Pragma("GCC unroll 16")

/* Input transform of one tile whose top-left input pixel is (y0, x0): V[p][row][channel]. */
static inline __attribute__((always_inline)) void tile_in(const struct mien_wino_shape *s, const int m, const ELEM *image, int y0, int x0,
                                                          ELEM *v, size_t plane)
{
    const int t = m + 2, padded = mien_wino_pad(s->ic);
    const ELEM *at[36];
    UNROLL for (int i = 0; i < t; i++)
        UNROLL for (int j = 0; j < t; j++) {
            const int y = y0 + i, x = x0 + j;
            const bool inside = y >= 0 && y < s->h && x >= 0 && x < s->w;
            at[i * t + j] = inside ? image + ((size_t)y * (size_t)s->w + (size_t)x) * (size_t)s->ic : NULL;
        }
    for (int c = 0; c < padded; c += VL) {
        const int left = s->ic - c;
        vec half[36]; /* half[j * t + i]: column j after the vertical transform */
        UNROLL for (int j = 0; j < t; j++) {
            vec d[6];
            UNROLL for (int i = 0; i < t; i++) {
                const ELEM *p = at[i * t + j];
                d[i] = p == NULL || left <= 0 ? splat(0) : left >= VL ? LOAD(p + c) : LOAD_PART(p + c, left);
            }
            if (m == 4) input_4(d, half + j * t);
            else input_2(d, half + j * t);
        }
        UNROLL for (int i = 0; i < t; i++) {
            vec d[6], r[6];
            UNROLL for (int j = 0; j < t; j++) d[j] = half[j * t + i];
            if (m == 4) input_4(d, r);
            else input_2(d, r);
            UNROLL for (int j = 0; j < t; j++) STORE(v + (size_t)(i * t + j) * plane + (size_t)c, r[j]);
        }
    }
}

/* Output transform of one tile with bias, residual and activation; (y0, x0) is its top-left output pixel. */
static inline __attribute__((always_inline)) void tile_out(const struct mien_wino_shape *s, const int m, const struct mien_wino_args *a,
                                                           const float *bias_slope,
                                                           size_t image, int y0, int x0, const float *products, size_t plane)
{
    const int t = m + 2;
    for (int c = 0; c < s->oc; c += VL) {
        const int left = s->oc - c;
        const vec bias = *(const vec *)(bias_slope + c), slope = *(const vec *)(bias_slope + mien_wino_pad(s->oc) + c);
        vec half[24]; /* half[i * t + j]: m rows after the vertical transform */
        UNROLL for (int j = 0; j < t; j++) {
            vec d[6], y[4];
            UNROLL for (int i = 0; i < t; i++) d[i] = *(const vec *)(products + (size_t)(i * t + j) * plane + (size_t)c);
            if (m == 4) output_4(d, y);
            else output_2(d, y);
            UNROLL for (int i = 0; i < m; i++) half[i * t + j] = y[i];
        }
        UNROLL for (int i = 0; i < m; i++) {
            if (y0 + i >= s->oh) break;
            vec y[4];
            if (m == 4) output_4(half + i * t, y);
            else output_2(half + i * t, y);
            UNROLL for (int j = 0; j < m; j++) {
                if (x0 + j >= s->ow) break;
                const size_t at = ((image * (size_t)s->oh + (size_t)(y0 + i)) * (size_t)s->ow + (size_t)(x0 + j)) * (size_t)s->oc + (size_t)c;
                vec r = y[j] + bias;
                if (a->residual != NULL) {
                    const ELEM *p = (const ELEM *)a->residual + at;
                    r += left >= VL ? LOAD(p) : LOAD_PART(p, left);
                }
                if (a->slope != NULL) r = choose(r < 0, r * slope, r);
                r = choose(r < a->low, splat(a->low), r);
                r = choose(r > a->high, splat(a->high), r);
                ELEM *p = (ELEM *)a->dst + at;
                if (left >= VL) STORE(p, r);
                else STORE_PART(p, r, left);
            }
        }
    }
}

/* products[row][column..] = V[row][k] * U[k][column..] for `rows` rows and 32 (or 16) columns; U is packed [k][columns]
 * (bfloat16: [k/2][columns][2]). */
#define MICRO(NAME, R, COLUMNS)                                                                                    \
    static void NAME(const ELEM *v, size_t v_stride, const ELEM *u, int k_count, float *out, size_t out_stride)    \
    {                                                                                                              \
        enum { N = (COLUMNS) / VL };                                                                               \
        vec acc[R][N];                                                                                             \
        UNROLL for (int r = 0; r < (R); r++)                                                                       \
            UNROLL for (int n = 0; n < N; n++) acc[r][n] = splat(0);                                               \
        for (int k = 0; k < k_count; k += K_STEP, u += (COLUMNS) * K_STEP) {                                       \
            RIGHT b[N];                                                                                            \
            UNROLL for (int n = 0; n < N; n++) b[n] = *(const RIGHT *)(u + n * VL * K_STEP);                       \
            UNROLL for (int r = 0; r < (R); r++)                                                                   \
                UNROLL for (int n = 0; n < N; n++) MULTIPLY(acc[r][n], v + (size_t)r * v_stride + k, b[n]);        \
        }                                                                                                          \
        UNROLL for (int r = 0; r < (R); r++)                                                                       \
            UNROLL for (int n = 0; n < N; n++) *(vec *)(out + (size_t)r * out_stride + n * VL) = acc[r][n];        \
    }

#define MICRO_PAIR(R) MICRO(micro_32_##R, R, 32) MICRO(micro_16_##R, R, 16)
EACH_ROW_COUNT(MICRO_PAIR)

typedef void micro_fn(const ELEM *v, size_t v_stride, const ELEM *u, int k_count, float *out, size_t out_stride);
#define NAME_32(R) micro_32_##R,
#define NAME_16(R) micro_16_##R,
static micro_fn *const micro_32[ROWS] = {EACH_ROW_COUNT(NAME_32)}, *const micro_16[ROWS] = {EACH_ROW_COUNT(NAME_16)};

/* Rows are split evenly: 16 rows are 8 + 8, not 14 + 2, which would leave the multipliers idle in the second pass. */
static void multiply(const ELEM *v, const ELEM *u, float *out, int rows, int ic, int oc)
{
    const int k = mien_wino_pad(ic), columns = mien_wino_pad(oc), passes = (rows + ROWS - 1) / ROWS;
    const size_t vs = (size_t)k, os = (size_t)columns;
    for (int n = 0; n < columns;) {
        const bool wide = columns - n >= 32;
        for (int pass = 0, r = 0; pass < passes; pass++) {
            const int count = (rows - r + passes - pass - 1) / (passes - pass);
            micro_fn *const micro = wide ? micro_32[count - 1] : micro_16[count - 1];
            micro(v + (size_t)r * vs, vs, u, k, out + (size_t)r * os + n, os);
            r += count;
        }
        u += (size_t)k * (wide ? 32 : 16);
        n += wide ? 32 : 16;
    }
}

static inline __attribute__((always_inline)) void run_m(const struct mien_wino_shape *s, const int m, const struct mien_wino_args *a, int block)
{
    const int t = m + 2, down = (s->oh + m - 1) / m, across = (s->ow + m - 1) / m, tiles = down * across;
    const size_t v_plane = mien_wino_plane(block, s->ic), o_plane = mien_wino_plane(block, s->oc);
    const size_t k = (size_t)mien_wino_pad(s->ic), columns = (size_t)mien_wino_pad(s->oc);
    float *bias_slope = a->scratch; /* both padded to whole vectors */
    for (size_t c = 0; c < columns; c++) {
        const bool real = c < (size_t)s->oc;
        bias_slope[c] = real && a->bias != NULL ? a->bias[c] : 0.0f;
        bias_slope[columns + c] = real && a->slope != NULL ? a->slope[c] : 1.0f;
    }
    float *products = bias_slope + 2 * columns;
    ELEM *v = (ELEM *)(products + (size_t)(t * t) * o_plane);
    for (int image = 0; image < s->n; image++) {
        const ELEM *src = (const ELEM *)a->src + (size_t)image * (size_t)s->h * (size_t)s->w * (size_t)s->ic;
        for (int first = 0; first < tiles; first += block) {
            const int count = tiles - first < block ? tiles - first : block;
            for (int i = 0; i < count; i++) {
                const int y = (first + i) / across * m, x = (first + i) % across * m;
                tile_in(s, m, src, y - s->pad_top, x - s->pad_left, v + (size_t)i * k, v_plane);
            }
            for (int p = 0; p < t * t; p++)
                multiply(v + (size_t)p * v_plane, (const ELEM *)a->packed + (size_t)p * k * columns, products + (size_t)p * o_plane, count, s->ic, s->oc);
            for (int i = 0; i < count; i++) {
                const int y = (first + i) / across * m, x = (first + i) % across * m;
                tile_out(s, m, a, bias_slope, (size_t)image, y, x, products + (size_t)i * columns, o_plane);
            }
        }
    }
}

void WINO_RUN(const struct mien_wino_shape *s, int m, const struct mien_wino_args *a, int block)
{
    if (m == 4) run_m(s, 4, a, block);
    else run_m(s, 2, a, block);
}
