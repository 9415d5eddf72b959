/* Copying between layouts: any strides on both sides, float32 and bfloat16. The shapes that nets need are quick: runs that are
 * contiguous on both sides, and transpositions of two axes (NCHW <-> NHWC) in blocks that keep both sides in the first-level cache. */
#include <string.h>

#include "engine/plan.h"

enum { BLOCK = 16 };

static float load(const unsigned char *p, int64_t i, enum mien_elem t)
{
    if (t == MIEN_BF16) return mien_bf16_to_f32(((const uint16_t *)(const void *)p)[i]);
    return ((const float *)(const void *)p)[i];
}

static void store(unsigned char *p, int64_t i, enum mien_elem t, float v)
{
    if (t == MIEN_BF16) ((uint16_t *)(void *)p)[i] = mien_bf16_from_f32(v);
    else ((float *)(void *)p)[i] = v;
}

static void contiguous(const struct mien_copy *c, const unsigned char *src, unsigned char *dst, size_t n)
{
    if (c->src_type == c->dst_type) memcpy(dst, src, n * mien_elem_size(c->src_type));
    else if (c->dst_type == MIEN_BF16) mien_kernels_get()->f32_to_bf16((uint16_t *)(void *)dst, (const float *)(const void *)src, n);
    else mien_kernels_get()->bf16_to_f32((float *)(void *)dst, (const uint16_t *)(const void *)src, n);
}

#define PLANE(type)                                                                                                          \
    do {                                                                                                                     \
        const type *s = (const type *)(const void *)src;                                                                     \
        type *d = (type *)(void *)dst;                                                                                       \
        for (int64_t i0 = 0; i0 < n; i0 += BLOCK)                                                                            \
            for (int64_t j0 = 0; j0 < m; j0 += BLOCK)                                                                        \
                for (int64_t i = i0; i < n && i < i0 + BLOCK; i++)                                                           \
                    for (int64_t j = j0; j < m && j < j0 + BLOCK; j++) d[i * dn + j * dm] = s[i * sn + j * sm];               \
    } while (0)

/* n x m elements with any strides. */
static void plane(const struct mien_copy *c, const unsigned char *src, int64_t sn, int64_t sm, unsigned char *dst, int64_t dn, int64_t dm, int64_t n, int64_t m)
{
    if (c->src_type == MIEN_F32 && c->dst_type == MIEN_F32) PLANE(float);
    else if (c->src_type == MIEN_BF16 && c->dst_type == MIEN_BF16) PLANE(uint16_t);
    else
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < m; j++) store(dst, i * dn + j * dm, c->dst_type, load(src, i * sn + j * sm, c->src_type));
}

/* Axes of size 1 go, neighbours that are contiguous on both sides become one; what is left is sorted by the destination's strides. */
static int simplify(const struct mien_copy *c, struct mien_copy *o)
{
    int rank = 0;
    for (int i = 0; i < c->rank; i++) {
        if (c->dim[i] == 1) continue;
        int at = rank++;
        for (; at > 0 && o->dst[at - 1] < c->dst[i]; at--) {
            o->dim[at] = o->dim[at - 1];
            o->src[at] = o->src[at - 1];
            o->dst[at] = o->dst[at - 1];
        }
        o->dim[at] = c->dim[i];
        o->src[at] = c->src[i];
        o->dst[at] = c->dst[i];
    }
    int n = 0;
    for (int i = 0; i < rank; i++) {
        if (n > 0 && o->src[n - 1] == o->src[i] * o->dim[i] && o->dst[n - 1] == o->dst[i] * o->dim[i]) {
            o->dim[n - 1] *= o->dim[i];
            o->src[n - 1] = o->src[i];
            o->dst[n - 1] = o->dst[i];
        } else {
            o->dim[n] = o->dim[i];
            o->src[n] = o->src[i];
            o->dst[n] = o->dst[i];
            n++;
        }
    }
    return n;
}

/* Rows that are contiguous on both sides and too short for memcpy to pay: a slice of channels. */
static void short_rows(const struct mien_copy *c, int axis, const unsigned char *src, unsigned char *dst)
{
    const float *s = (const float *)(const void *)src;
    float *d = (float *)(void *)dst;
    const int64_t n = c->dim[axis + 1];
    for (int64_t i = 0; i < c->dim[axis]; i++)
        for (int64_t k = 0; k < n; k++) d[i * c->dst[axis] + k] = s[i * c->src[axis] + k];
}

static void recurse(const struct mien_copy *c, int axis, int rank, const unsigned char *src, unsigned char *dst)
{
    const size_t se = mien_elem_size(c->src_type), de = mien_elem_size(c->dst_type);
    if (rank == 0) {
        store(dst, 0, c->dst_type, load(src, 0, c->src_type));
    } else if (axis == rank - 1) {
        if (c->src[axis] == 1 && c->dst[axis] == 1) contiguous(c, src, dst, (size_t)c->dim[axis]);
        else plane(c, src, 0, c->src[axis], dst, 0, c->dst[axis], 1, c->dim[axis]);
    } else if (axis == rank - 2 && !(c->src[axis + 1] == 1 && c->dst[axis + 1] == 1)) {
        plane(c, src, c->src[axis], c->src[axis + 1], dst, c->dst[axis], c->dst[axis + 1], c->dim[axis], c->dim[axis + 1]);
    } else if (axis == rank - 2 && c->dim[axis + 1] <= 32 && c->src_type == MIEN_F32 && c->dst_type == MIEN_F32) {
        short_rows(c, axis, src, dst);
    } else {
        for (int64_t i = 0; i < c->dim[axis]; i++)
            recurse(c, axis + 1, rank, src + i * c->src[axis] * (int64_t)se, dst + i * c->dst[axis] * (int64_t)de);
    }
}

void mien_run_copy(const struct mien_step *s, unsigned char *const *at, void *scratch)
{
    (void)scratch;
    const struct mien_copy *c = s->more;
    struct mien_copy o = {.src_type = c->src_type, .dst_type = c->dst_type};
    recurse(&o, 0, simplify(c, &o), at[s->in[0]], at[s->out]);
}
