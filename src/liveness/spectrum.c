/* The averaged power spectrum of a picture (Welch 1967) and its strongest peak.
 *
 * A screen's pixel grid, a print's halftone and the moire of either with the camera's sensor are periodic: they put their power into a few
 * bins, whereas skin, hair and background fall off smoothly (about 1/f^2; Field 1987). The idea of looking for such peaks is that of Garcia and
 * de Queiroz, "Face-spoofing 2D-detection based on moire-pattern analysis", IEEE TIFS 10(4), 2015; the measure here is our own. */
#include "liveness/spectrum.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { N = 64, LOG_N = 6, GRID = 5, LOW = 6, BLOCK = 8, REACH = 4, INNER = 1 };

struct work {
    float re[N][N], im[N][N];    /* two windows: one is the real part, the other the imaginary part */
    float power[N][N];           /* of all windows so far */
    float hann[N], cosine[N / 2], sine[N / 2];
    int reversed[N];
    int windows;
};

static void prepare(struct work *w)
{
    const float pi = 3.14159265f;
    for (int i = 0; i < N; i++) {
        w->hann[i] = 0.5f - 0.5f * cosf(2.0f * pi * ((float)i + 0.5f) / N);
        int r = 0;
        for (int b = 0; b < LOG_N; b++) r |= ((i >> b) & 1) << (LOG_N - 1 - b);
        w->reversed[i] = r;
    }
    for (int i = 0; i < N / 2; i++) {
        w->cosine[i] = cosf(2.0f * pi * (float)i / N);
        w->sine[i] = -sinf(2.0f * pi * (float)i / N);
    }
}

/* Butterflies between rows a and b of all columns: the transform runs over the first index for all second indices at once. */
static void butterfly(float *ar, float *ai, float *br, float *bi, float c, float s)
{
    for (int x = 0; x < N; x++) {
        const float tr = br[x] * c - bi[x] * s, ti = br[x] * s + bi[x] * c;
        br[x] = ar[x] - tr;
        bi[x] = ai[x] - ti;
        ar[x] += tr;
        ai[x] += ti;
    }
}

static void swap_rows(float a[N], float b[N])
{
    float t[N];
    memcpy(t, a, sizeof t);
    memcpy(a, b, sizeof t);
    memcpy(b, t, sizeof t);
}

/* Cooley and Tukey's transform of every column. */
static void transform_columns(struct work *w)
{
    for (int i = 0; i < N; i++) {
        if (w->reversed[i] <= i) continue;
        swap_rows(w->re[i], w->re[w->reversed[i]]);
        swap_rows(w->im[i], w->im[w->reversed[i]]);
    }
    for (int half = 1; half < N; half *= 2)
        for (int start = 0; start < N; start += 2 * half)
            for (int k = 0; k < half; k++) {
                const int twiddle = k * (N / 2 / half), a = start + k, b = a + half;
                butterfly(w->re[a], w->im[a], w->re[b], w->im[b], w->cosine[twiddle], w->sine[twiddle]);
            }
}

static void transpose(float m[N][N])
{
    for (int y = 0; y < N; y++)
        for (int x = y + 1; x < N; x++) {
            const float t = m[y][x];
            m[y][x] = m[x][y];
            m[x][y] = t;
        }
}

/* Brightness of a window without its mean, under the window function. */
static void load(const struct work *w, const struct mien_image *im, int x0, int y0, float to[N][N])
{
    float sum = 0;
    for (int y = 0; y < N; y++) {
        const uint8_t *p = im->px + (size_t)(y0 + y) * im->stride + 3 * (size_t)x0;
        for (int x = 0; x < N; x++) {
            to[y][x] = 0.299f * p[3 * x] + 0.587f * p[3 * x + 1] + 0.114f * p[3 * x + 2];
            sum += to[y][x];
        }
    }
    const float mean = sum / (N * N);
    for (int y = 0; y < N; y++)
        for (int x = 0; x < N; x++) to[y][x] = (to[y][x] - mean) * w->hann[x] * w->hann[y];
}

/* Transforms both windows and adds their power, each by its own total, so that one window of high contrast does not drown the others. */
static void add_power(struct work *w)
{
    float total[2] = {1e-6f, 1e-6f};
    transform_columns(w);
    transpose(w->re);
    transpose(w->im);
    transform_columns(w);
    /* Of two real pictures in one transform: Z(k) and conj Z(-k) separate them. */
    for (int pass = 0; pass < 2; pass++)
        for (int u = 0; u < N; u++)
            for (int v = 0; v < N; v++) {
                const int mu = (N - u) % N, mv = (N - v) % N;
                const float ar = w->re[u][v] + w->re[mu][mv], ai = w->im[u][v] - w->im[mu][mv];
                const float br = w->im[u][v] + w->im[mu][mv], bi = w->re[mu][mv] - w->re[u][v];
                const float a = ar * ar + ai * ai, b = br * br + bi * bi;
                if (pass == 1) w->power[u][v] += a / total[0] + b / total[1];
                else if (u + v > 2 && mu + mv > 2) {
                    total[0] += a;
                    total[1] += b;
                }
            }
    w->windows += 2;
}

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Whether bin (u, v), each -N/2..N/2-1, may hold a peak that tells something: no low frequency, and not on the lattice that JPEG's blocks make (bins beside the
 * lattice are lower than those on it, and no summits). */
static bool is_telling(int u, int v)
{
    const int least = abs(u) < 2 || abs(v) < 2 ? 2 * LOW : LOW; /* straight edges put their power along the axes */
    return u * u + v * v >= least * least && (u % BLOCK != 0 || v % BLOCK != 0);
}

/* Median of the power around a bin, the bin and its next neighbours left out. */
static float background(const struct work *w, int u, int v)
{
    float around[(2 * REACH + 1) * (2 * REACH + 1)];
    int n = 0;
    for (int du = -REACH; du <= REACH; du++)
        for (int dv = -REACH; dv <= REACH; dv++)
            if (abs(du) > INNER || abs(dv) > INNER) around[n++] = w->power[(u + du + N) % N][(v + dv + N) % N];
    qsort(around, (size_t)n, sizeof around[0], compare_floats);
    return around[n / 2];
}

static float strongest_peak(const struct work *w)
{
    float most = 0, floor_power = 0;
    for (int u = 0; u < N; u++)
        for (int v = 0; v < N; v++) floor_power += w->power[u][v];
    floor_power *= 1e-6f / (N * N); /* silence must not make peaks */
    for (int u = 0; u < N / 2; u++) /* the other half mirrors it */
        for (int v = 1 - N / 2; v < N / 2; v++) {
            const float here = w->power[u][(v + N) % N];
            if (!is_telling(u, v) || here <= 3.0f * floor_power) continue;
            const float left = w->power[u][(v - 1 + N) % N], right = w->power[u][(v + 1 + N) % N], up = w->power[(u - 1 + N) % N][(v + N) % N],
                        down = w->power[u + 1][(v + N) % N];
            if (here < left || here < right || here < up || here < down) continue; /* not a summit */
            const float ratio = here / (background(w, u, v) + floor_power);
            if (ratio > most) most = ratio;
        }
    return most;
}

/* Position of window i of n along a side. */
static int place(int i, int n, int side) { return n == 1 ? (side - N) / 2 : i * (side - N) / (n - 1); }

static int count_along(int side)
{
    const int n = side / (N / 2) - 1;
    return n < 1 ? 1 : n > GRID ? GRID : n;
}

enum mien_code mien_spectrum_peak(const struct mien_image *im, struct mien_arena *arena, float *peak, struct mien_err *e)
{
    *peak = 0;
    if (im->width < N || im->height < N) return MIEN_OK;
    struct work *w = mien_arena_alloc(arena, sizeof *w);
    MIEN_FAIL_IF(w == NULL, e, MIEN_E_NOMEM, "out of memory for a spectrum");
    const int nx = count_along(im->width), ny = count_along(im->height);
    prepare(w);
    for (int i = 0; i < nx * ny; i += 2) {
        const int j = i + 1 < nx * ny ? i + 1 : i;
        load(w, im, place(i % nx, nx, im->width), place(i / nx, ny, im->height), w->re);
        load(w, im, place(j % nx, nx, im->width), place(j / nx, ny, im->height), w->im);
        add_power(w);
    }
    /* The greatest of so many averages of k exponentials lies near 1 + 3.3 / sqrt(k) + 4 / k times the mean. Windows overlap by half: k is
     * about half their number. */
    const float k = fmaxf(1.0f, 0.5f * (float)w->windows), chance = 1.0f + 3.3f / sqrtf(k) + 4.0f / k;
    *peak = strongest_peak(w) / chance;
    return MIEN_OK;
}
