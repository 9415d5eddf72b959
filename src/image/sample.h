/* The inner loops of resampling: a scalar reference and an AVX2 version, chosen at run time. Private to the room.
 *
 * A picture is resampled in two steps. `combine` makes one row of floats out of several rows of bytes (the vertical
 * filter; it runs over contiguous memory), `gather` makes output pixels out of that row (the horizontal filter) and
 * finishes them: clamp to 0..255, order of channels, mean and scale. `walk` samples along a line for affine warps. */
#ifndef MIEN_IMAGE_SAMPLE_H
#define MIEN_IMAGE_SAMPLE_H

#include <stdbool.h>
#include "image/warp.h"

/* out[c] = clamp(v[swap ? 2 - c : c]) * mul[c] + add[c] */
struct mien_finish {
    bool swap;
    float mul[3], add[3];
};

/* Source positions x0 + u dx, y0 + u dy for u = 0, 1, ... in units of 2^-32 pixel: additions are exact, so that the
 * ends of a walk tell about everything between. */
struct mien_walk {
    int64_t x, y, dx, dy;
};

struct mien_sampler {
    /* out[i] = sum over t of weights[t] * rows[t][i], i < n */
    void (*combine)(const uint8_t *const *rows, const float *weights, int taps, size_t n, float *out);

    /* w pixels; pixel u is the sum over t of weights[u*taps+t] * row[index[u*taps+t] ...+2]. The row has one float
     * of padding. Writes exactly 3 * w floats. */
    void (*gather)(const float *row, const int32_t *index, const float *weights, int taps, int w,
                   const struct mien_finish *f, float *out);

    /* n bilinear samples. At every position the pixels (x,y) .. (x+1,y+1) and two bytes behind them are readable. */
    void (*walk)(const struct mien_image *src, struct mien_walk at, int n, const struct mien_finish *f, float *out);
};

const struct mien_sampler *mien_sampler(void);

extern const struct mien_sampler mien_sampler_scalar, mien_sampler_avx2;

/* Identity order and scale when the spec is gray: the caller reduces three channels to one. */
struct mien_finish mien_finish_of(const struct mien_tensor_spec *spec);

/* Gray as in the spec from n finished RGB pixels. */
void mien_finish_gray(const float *rgb, int n, const struct mien_tensor_spec *spec, float *out);

#endif
