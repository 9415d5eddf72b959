/* The vector kernels, written once over a small set of vector functions.
 *
 * The including file defines, for its instruction set: W (float32 lanes), VF (vector of W floats), and the static
 * functions used below: v_load/v_store (float32), h_load/h_store (bf16 <-> float32), each with a form that touches only
 * the first n < W elements (_n); v_set, v_add ...; v_pick_lt(a, b, x, y) = a < b ? x : y; v_leaky(x, slope) = x < 0 ?
 * x * slope : x; v_ldexp(x, n) = x * 2^n for a whole number n in float; v_sum, v_top: over the lanes. It then names the
 * table with SIMD_TABLE and includes this.
 *
 * Element type (`half`: bf16) and operator are constants at every call of an always-inline function, so each kernel
 * becomes a loop of its own. Loops are not unrolled: one vector an iteration already fills the store port. */

#define INLINE static inline __attribute__((always_inline))

enum { WIDE_MAX = 160 }; /* fewer channels than this, and not whole vectors, are worked on W rows at a time */

INLINE VF ld(const void *p, size_t i, bool half) { return half ? h_load((const uint16_t *)p + i) : v_load((const float *)p + i); }
INLINE VF ld_n(const void *p, size_t i, size_t n, bool half) { return half ? h_load_n((const uint16_t *)p + i, n) : v_load_n((const float *)p + i, n); }

INLINE void st(void *p, size_t i, VF v, bool half)
{
    if (half) h_store((uint16_t *)p + i, v);
    else v_store((float *)p + i, v);
}

INLINE void st_n(void *p, size_t i, VF v, size_t n, bool half)
{
    if (half) h_store_n((uint16_t *)p + i, v, n);
    else v_store_n((float *)p + i, v, n);
}

/* e^x. Range reduction by Cody and Waite: x = k ln2 + r, |r| <= ln2 / 2, with ln2 in two parts so that k * high is
 * exact; then a degree 6 polynomial fitted for the least largest relative error (3e-9). The bounds send everything beyond
 * them to infinity or zero; NaN passes v_min and v_max as the second operand. */
INLINE VF v_exp(VF x)
{
    x = v_max(v_set(-104.0f), v_min(v_set(89.0f), x));
    VF k = v_round(v_mul(x, v_set(1.44269504f)));
    VF r = v_fnma(k, v_set(0.693359375f), x);
    r = v_fnma(k, v_set(-2.12194440e-4f), r);
    VF p = v_fma(r, v_set(0.0013814539415761828f), v_set(0.00836874540621514f));
    p = v_fma(p, r, v_set(0.04166838899254799f));
    p = v_fma(p, r, v_set(0.1666652113199234f));
    p = v_fma(p, r, v_set(0.4999999403953552f));
    p = v_fma(v_mul(p, r), r, v_add(r, v_set(1)));
    return v_ldexp(p, k);
}

INLINE VF v_sigmoid(VF x) { return v_div(v_set(1), v_add(v_set(1), v_exp(v_neg(x)))); }

/* tanh: below 0.625 an odd polynomial (fitted like v_exp's; 4e-9), above it 1 - 2 / (e^2|x| + 1), the split of Cody
 * and Waite, "Software Manual for the Elementary Functions", 1980. */
INLINE VF v_tanh(VF x)
{
    VF z = v_mul(x, x), size = v_abs(x);
    VF p = v_fma(z, v_set(-0.005704986862838268f), v_set(0.02063908614218235f));
    p = v_fma(p, z, v_set(-0.05373971536755562f));
    p = v_fma(p, z, v_set(0.13331441581249237f));
    p = v_fma(p, z, v_set(-0.3333328068256378f));
    VF near = v_fma(v_mul(p, z), x, x);
    VF far = v_sub(v_set(1), v_div(v_set(2), v_add(v_exp(v_add(size, size)), v_set(1))));
    far = v_pick_lt(x, v_set(0), v_neg(far), far);
    return v_pick_lt(size, v_set(0.625f), near, far);
}

INLINE VF v_clip(VF x, VF low, VF high) { return v_min(high, v_max(low, x)); }

INLINE VF unary_of(enum mien_unary op, VF x, VF a, VF b)
{
    switch (op) {
    case MIEN_U_RELU: return v_max(v_set(0), x);
    case MIEN_U_LEAKY: return v_leaky(x, a);
    case MIEN_U_CLIP: return v_clip(x, a, b);
    case MIEN_U_SIGMOID: return v_sigmoid(x);
    case MIEN_U_TANH: return v_tanh(x);
    case MIEN_U_HARDSWISH: return v_mul(x, v_clip(v_fma(x, v_set(1.0f / 6), v_set(0.5f)), v_set(0), v_set(1)));
    case MIEN_U_HARDSIGMOID: return v_clip(v_fma(a, x, b), v_set(0), v_set(1));
    case MIEN_U_SWISH: return v_div(x, v_add(v_set(1), v_exp(v_neg(x))));
    case MIEN_U_NEG: return v_neg(x);
    case MIEN_U_ABS: return v_abs(x);
    case MIEN_U_EXP: return v_exp(x);
    case MIEN_U_SQRT: return v_sqrt(x);
    case MIEN_U_RECIPROCAL: return v_div(v_set(1), x);
    case MIEN_U_FLOOR: return v_floor(x);
    case MIEN_U_CEIL: return v_ceil(x);
    default: return v_pick_lt(x, v_set(0), v_mul(a, v_sub(v_exp(x), v_set(1))), x); /* MIEN_U_ELU */
    }
}

INLINE void unary_loop(enum mien_unary op, void *dst, const void *x, size_t n, float a, float b, bool half)
{
    VF va = v_set(a), vb = v_set(b);
    size_t i = 0;
    for (; i + W <= n; i += W) st(dst, i, unary_of(op, ld(x, i, half), va, vb), half);
    if (i < n) st_n(dst, i, unary_of(op, ld_n(x, i, n - i, half), va, vb), n - i, half);
}

/* Operators that have no vector form go to the scalar ones. */
#define UNARY_CASE(op) case op: unary_loop(op, dst, x, n, a, b, half); return true;
INLINE bool unary_any(enum mien_unary op, void *dst, const void *x, size_t n, float a, float b, bool half)
{
    switch (op) {
    UNARY_CASE(MIEN_U_RELU) UNARY_CASE(MIEN_U_LEAKY) UNARY_CASE(MIEN_U_CLIP) UNARY_CASE(MIEN_U_SIGMOID) UNARY_CASE(MIEN_U_TANH)
    UNARY_CASE(MIEN_U_HARDSWISH) UNARY_CASE(MIEN_U_HARDSIGMOID) UNARY_CASE(MIEN_U_SWISH) UNARY_CASE(MIEN_U_NEG) UNARY_CASE(MIEN_U_ABS)
    UNARY_CASE(MIEN_U_EXP) UNARY_CASE(MIEN_U_SQRT) UNARY_CASE(MIEN_U_RECIPROCAL) UNARY_CASE(MIEN_U_FLOOR) UNARY_CASE(MIEN_U_CEIL)
    UNARY_CASE(MIEN_U_ELU)
    default: return false;
    }
}

static void unary_f32(enum mien_unary op, float *dst, const float *x, size_t n, float a, float b)
{
    if (!unary_any(op, dst, x, n, a, b, false)) mien_kernel_unary(op, dst, x, n, a, b);
}

static void unary_bf16(enum mien_unary op, uint16_t *dst, const uint16_t *x, size_t n, float a, float b)
{
    if (!unary_any(op, dst, x, n, a, b, true)) mien_kernel_unary_bf16(op, dst, x, n, a, b);
}

INLINE VF binary_of(enum mien_binary op, VF x, VF y)
{
    switch (op) {
    case MIEN_B_ADD: return v_add(x, y);
    case MIEN_B_SUB: return v_sub(x, y);
    case MIEN_B_MUL: return v_mul(x, y);
    case MIEN_B_DIV: return v_div(x, y);
    case MIEN_B_MIN: return v_min(x, y);
    default: return v_max(x, y); /* MIEN_B_MAX */
    }
}

/* x_all, y_all: the operand is one value for all elements; it was read before anything is written. */
INLINE void binary_loop(enum mien_binary op, void *dst, const void *x, bool x_all, const void *y, bool y_all, size_t n, bool half)
{
    size_t i = 0;
    VF x0 = half ? v_set(mien_bf16_to_f32(*(const uint16_t *)x)) : v_set(*(const float *)x);
    VF y0 = half ? v_set(mien_bf16_to_f32(*(const uint16_t *)y)) : v_set(*(const float *)y);
    for (; i + W <= n; i += W) st(dst, i, binary_of(op, x_all ? x0 : ld(x, i, half), y_all ? y0 : ld(y, i, half)), half);
    if (i < n) st_n(dst, i, binary_of(op, x_all ? x0 : ld_n(x, i, n - i, half), y_all ? y0 : ld_n(y, i, n - i, half)), n - i, half);
}

INLINE void binary_shapes(enum mien_binary op, void *dst, const void *x, int xs, const void *y, int ys, size_t n, bool half)
{
    if (xs && ys) binary_loop(op, dst, x, false, y, false, n, half);
    else if (xs) binary_loop(op, dst, x, false, y, true, n, half);
    else binary_loop(op, dst, x, true, y, !ys, n, half);
}

#define BINARY_CASE(op) case op: binary_shapes(op, dst, x, xs, y, ys, n, half); return true;
INLINE bool binary_any(enum mien_binary op, void *dst, const void *x, int xs, const void *y, int ys, size_t n, bool half)
{
    if (n == 0) return true;
    switch (op) {
    BINARY_CASE(MIEN_B_ADD) BINARY_CASE(MIEN_B_SUB) BINARY_CASE(MIEN_B_MUL)
    BINARY_CASE(MIEN_B_DIV) BINARY_CASE(MIEN_B_MIN) BINARY_CASE(MIEN_B_MAX)
    default: return false;
    }
}

static void binary_f32(enum mien_binary op, float *dst, const float *x, int x_stride, const float *y, int y_stride, size_t n)
{
    if (!binary_any(op, dst, x, x_stride, y, y_stride, n, false)) mien_kernel_binary(op, dst, x, x_stride, y, y_stride, n);
}

static void binary_bf16(enum mien_binary op, uint16_t *dst, const uint16_t *x, int x_stride, const uint16_t *y, int y_stride, size_t n)
{
    if (!binary_any(op, dst, x, x_stride, y, y_stride, n, true)) mien_kernel_binary_bf16(op, dst, x, x_stride, y, y_stride, n);
}

static void f32_to_bf16(uint16_t *dst, const float *src, size_t n)
{
    size_t i = 0;
    for (; i + W <= n; i += W) h_store(dst + i, v_load(src + i));
    if (i < n) h_store_n(dst + i, v_load_n(src + i, n - i), n - i);
}

static void bf16_to_f32(float *dst, const uint16_t *src, size_t n)
{
    size_t i = 0;
    for (; i + W <= n; i += W) v_store(dst + i, h_load(src + i));
    if (i < n) v_store_n(dst + i, h_load_n(src + i, n - i), n - i);
}

/* The kernels over rows of channels share one loop. What it computes of x, r and two vectors per channel: */
enum row_op { ROW_PRELU, ROW_ADD, ROW_ADD_PRELU, ROW_AFFINE, ROW_SCALE };

INLINE VF row_of(enum row_op op, VF x, VF r, VF u, VF v)
{
    switch (op) {
    case ROW_PRELU: return v_leaky(x, u);
    case ROW_ADD: return v_add(x, r);
    case ROW_ADD_PRELU: return v_leaky(v_add(x, r), u);
    case ROW_AFFINE: return v_fma(x, u, v);
    default: return v_mul(x, u); /* ROW_SCALE */
    }
}

INLINE void row_part(enum row_op op, void *dst, const void *x, const void *r, const float *u, const float *v, size_t at, size_t c, bool half)
{
    bool adds = op == ROW_ADD || op == ROW_ADD_PRELU, two = op == ROW_AFFINE, one = op != ROW_ADD;
    VF none = v_set(0);
    st(dst, at, row_of(op, ld(x, at, half), adds ? ld(r, at, half) : none, one ? v_load(u + c) : none, two ? v_load(v + c) : none), half);
}

INLINE void rows_loop(enum row_op op, void *dst, const void *x, const void *r, const float *u, const float *v, size_t rows, size_t channels, bool half)
{
    bool adds = op == ROW_ADD || op == ROW_ADD_PRELU, two = op == ROW_AFFINE, one = op != ROW_ADD;
    size_t at = 0, tail = channels % W;
    VF none = v_set(0);
    for (size_t row = 0; row < rows; row++) {
        size_t c = 0;
        for (; c + W <= channels; c += W, at += W) row_part(op, dst, x, r, u, v, at, c, half);
        if (tail == 0) continue;
        VF y = row_of(op, ld_n(x, at, tail, half), adds ? ld_n(r, at, tail, half) : none,
                      one ? v_load_n(u + c, tail) : none, two ? v_load_n(v + c, tail) : none);
        st_n(dst, at, y, tail, half);
        at += tail;
    }
}

static void repeat(float *wide, const float *v, size_t channels)
{
    for (size_t i = 0; i < W; i++, wide += channels) memcpy(wide, v, channels * sizeof *v);
}

/* W rows of an awkward number of channels are one row of whole vectors, with the vectors per channel repeated. */
INLINE void rows_any(enum row_op op, void *dst, const void *x, const void *r, const float *u, const float *v, size_t rows, size_t channels, bool half)
{
    float wide_u[WIDE_MAX * W], wide_v[WIDE_MAX * W];
    size_t done = 0, elem = half ? 2 : 4;
    if (op != ROW_ADD && channels % W != 0 && channels < WIDE_MAX && rows >= 4 * W) {
        repeat(wide_u, u, channels);
        if (op == ROW_AFFINE) repeat(wide_v, v, channels);
        done = rows / W * W;
        rows_loop(op, dst, x, r, wide_u, wide_v, rows / W, channels * W, half);
    }
    size_t skip = done * channels * elem;
    const unsigned char *r_rest = r == NULL ? NULL : (const unsigned char *)r + skip;
    rows_loop(op, (unsigned char *)dst + skip, (const unsigned char *)x + skip, r_rest, u, v, rows - done, channels, half);
}

static void prelu_f32(float *x, const float *slope, size_t rows, size_t channels) { rows_any(ROW_PRELU, x, x, NULL, slope, NULL, rows, channels, false); }
static void prelu_bf16(uint16_t *x, const float *slope, size_t rows, size_t channels) { rows_any(ROW_PRELU, x, x, NULL, slope, NULL, rows, channels, true); }

static void add_prelu_f32(float *dst, const float *x, const float *r, const float *slope, size_t rows, size_t channels)
{
    if (slope == NULL) rows_any(ROW_ADD, dst, x, r, NULL, NULL, 1, rows * channels, false);
    else rows_any(ROW_ADD_PRELU, dst, x, r, slope, NULL, rows, channels, false);
}

static void add_prelu_bf16(uint16_t *dst, const uint16_t *x, const uint16_t *r, const float *slope, size_t rows, size_t channels)
{
    if (slope == NULL) rows_any(ROW_ADD, dst, x, r, NULL, NULL, 1, rows * channels, true);
    else rows_any(ROW_ADD_PRELU, dst, x, r, slope, NULL, rows, channels, true);
}

static void affine_f32(float *dst, const float *x, const float *scale, const float *shift, size_t rows, size_t channels)
{
    rows_any(ROW_AFFINE, dst, x, NULL, scale, shift, rows, channels, false);
}

static void affine_bf16(uint16_t *dst, const uint16_t *x, const float *scale, const float *shift, size_t rows, size_t channels)
{
    rows_any(ROW_AFFINE, dst, x, NULL, scale, shift, rows, channels, true);
}

static void scale_channels_f32(float *dst, const float *x, const float *s, size_t rows, size_t channels)
{
    rows_any(ROW_SCALE, dst, x, NULL, s, NULL, rows, channels, false);
}

/* The scale is bf16 too: widened a block of channels at a time. */
static void scale_channels_bf16(uint16_t *dst, const uint16_t *x, const uint16_t *s, size_t rows, size_t channels)
{
    enum { BLOCK = 1024 };
    float wide[BLOCK];
    if (channels <= BLOCK) {
        bf16_to_f32(wide, s, channels);
        rows_any(ROW_SCALE, dst, x, NULL, wide, NULL, rows, channels, true);
        return;
    }
    for (size_t c = 0; c < channels; c += BLOCK) {
        size_t n = channels - c < BLOCK ? channels - c : BLOCK;
        bf16_to_f32(wide, s + c, n);
        for (size_t r = 0; r < rows; r++) rows_loop(ROW_SCALE, dst + r * channels + c, x + r * channels + c, NULL, wide, NULL, 1, n, true);
    }
}

INLINE VF v_pad_n(VF v, VF fill, size_t n) /* lanes from n on become fill */
{
    static const float lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return v_pick_lt(v_load(lane), v_set((float)n), v, fill);
}

/* dst = e^(x - top), n contiguous elements */
INLINE float exp_line(float *dst, const float *x, size_t n, float top)
{
    VF sum = v_set(0), vtop = v_set(top);
    size_t i = 0;
    for (; i + W <= n; i += W) {
        VF e = v_exp(v_sub(v_load(x + i), vtop));
        v_store(dst + i, e);
        sum = v_add(sum, e);
    }
    if (i < n) {
        VF e = v_exp(v_sub(v_load_n(x + i, n - i), vtop));
        v_store_n(dst + i, e, n - i);
        sum = v_add(sum, v_pad_n(e, v_set(0), n - i));
    }
    return v_sum(sum);
}

static void softmax_long(float *dst, const float *x, size_t n)
{
    size_t i = W;
    VF best = v_load(x);
    for (; i + W <= n; i += W) best = v_max(best, v_load(x + i));
    if (i < n) best = v_max(best, v_pad_n(v_load_n(x + i, n - i), best, n - i));
    float sum = exp_line(dst, x, n, v_top(best));
    binary_f32(MIEN_B_DIV, dst, dst, 1, &sum, 0, n);
}

/* Lines shorter than a vector (class scores): many lines share one pass of exponentials. */
static void softmax_short(float *dst, const float *x, size_t lines, size_t n)
{
    for (size_t l = 0; l < lines; l++) {
        const float *from = x + l * n;
        float *to = dst + l * n, top = from[0];
        for (size_t i = 1; i < n; i++) top = from[i] > top ? from[i] : top;
        for (size_t i = 0; i < n; i++) to[i] = from[i] - top;
    }
    unary_f32(MIEN_U_EXP, dst, dst, lines * n, 0, 0);
    for (size_t l = 0; l < lines; l++, dst += n) {
        float sum = 0;
        for (size_t i = 0; i < n; i++) sum += dst[i];
        for (size_t i = 0; i < n; i++) dst[i] /= sum;
    }
}

/* Softmax over n vectors that lie `inner` elements apart; `part` lanes of each. */
INLINE void softmax_columns(float *dst, const float *x, size_t n, size_t inner, size_t part)
{
    bool all = part == W;
    VF top = all ? v_load(x) : v_load_n(x, part), sum = v_set(0);
    for (size_t i = 1; i < n; i++) top = v_max(all ? v_load(x + i * inner) : v_load_n(x + i * inner, part), top);
    for (size_t i = 0; i < n; i++) {
        VF e = v_exp(v_sub(all ? v_load(x + i * inner) : v_load_n(x + i * inner, part), top));
        sum = v_add(sum, e);
        if (all) v_store(dst + i * inner, e);
        else v_store_n(dst + i * inner, e, part);
    }
    for (size_t i = 0; i < n; i++) {
        float *p = dst + i * inner;
        if (all) v_store(p, v_div(v_load(p), sum));
        else v_store_n(p, v_div(v_load_n(p, part), sum), part);
    }
}

static void softmax(float *dst, const float *x, size_t outer, size_t n, size_t inner)
{
    enum { BLOCK = 1024 }; /* lines at a time, so that the block stays in the first cache */
    if (n == 0 || inner == 0) return;
    if (inner > 1) {
        for (size_t o = 0; o < outer; o++, dst += n * inner, x += n * inner) {
            size_t c = 0;
            for (; c + W <= inner; c += W) softmax_columns(dst + c, x + c, n, inner, W);
            if (c < inner) softmax_columns(dst + c, x + c, n, inner, inner - c);
        }
    } else if (n >= W) {
        for (size_t o = 0; o < outer; o++) softmax_long(dst + o * n, x + o * n, n);
    } else {
        for (size_t o = 0; o < outer; o += BLOCK) softmax_short(dst + o * n, x + o * n, outer - o < BLOCK ? outer - o : BLOCK, n);
    }
}

const struct mien_kernels SIMD_TABLE = {
    .f32_to_bf16 = f32_to_bf16,
    .bf16_to_f32 = bf16_to_f32,
    .prelu_f32 = prelu_f32,
    .prelu_bf16 = prelu_bf16,
    .add_prelu_f32 = add_prelu_f32,
    .add_prelu_bf16 = add_prelu_bf16,
    .affine_f32 = affine_f32,
    .affine_bf16 = affine_bf16,
    .unary = unary_f32,
    .binary = binary_f32,
    .unary_bf16 = unary_bf16,
    .binary_bf16 = binary_bf16,
    .scale_channels_f32 = scale_channels_f32,
    .scale_channels_bf16 = scale_channels_bf16,
    .softmax = softmax,
    .upsample_nearest = mien_kernel_upsample_nearest,
};
