/* 3x3 stride-1 convolution by minimal filtering, NHWC: F(2x2,3x3) and F(4x4,3x3) of Lavin and Gray, "Fast Algorithms for Convolutional
 * Neural Networks", CVPR 2016. 2.25 and 4 times fewer multiplications than the direct form, at the price of transforms and of larger weights
 * (16/9 and 36/9). Used where the processor has no matrix unit and the picture is large enough; see mien_wino_choose.
 *
 *   y = clip(prelu(conv3x3(x, w) + bias + residual))
 *
 * A block of tiles is taken through input transform, (m+2)^2 small matrix products and output transform while it is in the second-level
 * cache, so activations cross memory once. Weights are transformed once, when the plan is built. */
#ifndef MIEN_ENGINE_WINOGRAD_H
#define MIEN_ENGINE_WINOGRAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct mien_wino_shape {
    int n, h, w, ic, oc;     /* input; the output is oh x ow */
    int oh, ow;
    int pad_top, pad_left;   /* 0 or 1 in the nets we know; any value below 3 works */
    bool bf16;               /* activations are bfloat16 (uint16_t) and products are bfloat16 with float32 sums */
};

/* Output tile size m (2 or 4) that pays for this convolution on this processor, or 0: use the direct form. Depends on the shape and
 * mien_cpu_flags() only, so a plan is the same every time. */
int mien_wino_choose(const struct mien_wino_shape *s);

/* Floats (or, for bf16, uint16_t) that the transformed weights take, and how they are made: w is [oc][ic][3][3] float32. */
size_t mien_wino_weight_bytes(const struct mien_wino_shape *s, int m);
void mien_wino_pack(const struct mien_wino_shape *s, int m, const float *w, void *packed);

size_t mien_wino_scratch_bytes(const struct mien_wino_shape *s, int m);

struct mien_wino_args {
    const void *src;        /* [n][h][w][ic] */
    const void *packed;     /* 64-byte aligned */
    const float *bias;      /* oc, or NULL */
    const void *residual;   /* [n][oh][ow][oc], or NULL; may be dst itself */
    const float *slope;     /* oc: negative values are multiplied by it (0 = ReLU), or NULL: none */
    float low, high;        /* bounds applied last; -INFINITY, INFINITY = none */
    void *dst;              /* [n][oh][ow][oc] */
    void *scratch;          /* 64-byte aligned */
};
void mien_wino_run(const struct mien_wino_shape *s, int m, const struct mien_wino_args *a);

#endif
