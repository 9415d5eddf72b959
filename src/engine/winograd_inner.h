/* Shared by the versions of winograd_body.h: what one processor level offers. */
#ifndef MIEN_ENGINE_WINOGRAD_INNER_H
#define MIEN_ENGINE_WINOGRAD_INNER_H

#include "engine/winograd.h"

enum { MIEN_WINO_LANES = 16 }; /* channels are padded to a multiple of this in all internal buffers */

struct mien_wino_level {
    int block; /* tiles of a block, a multiple of the micro-kernel's rows */
    void (*run)(const struct mien_wino_shape *s, int m, const struct mien_wino_args *a, int block);
};

static inline int mien_wino_pad(int channels) { return (channels + MIEN_WINO_LANES - 1) & -MIEN_WINO_LANES; }

/* Elements between the matrices of two transform positions: a block's rows plus one vector, so that the (m+2)^2 streams of a
 * transform do not fall into the same cache sets. */
static inline size_t mien_wino_plane(int block, int channels) { return (size_t)block * (size_t)mien_wino_pad(channels) + MIEN_WINO_LANES; }

void mien_wino_run_generic(const struct mien_wino_shape *s, int m, const struct mien_wino_args *a, int block);
void mien_wino_run_avx2(const struct mien_wino_shape *s, int m, const struct mien_wino_args *a, int block);
void mien_wino_run_avx512(const struct mien_wino_shape *s, int m, const struct mien_wino_args *a, int block);
void mien_wino_run_avx512bf16(const struct mien_wino_shape *s, int m, const struct mien_wino_args *a, int block);

#endif
