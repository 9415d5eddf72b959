/* Scalar reference of the sampling loops, and the choice between it and AVX2. */
#include "image/sample.h"
#include "base/cpu.h"

static void finish(const float v[3], const struct mien_finish *f, float *out)
{
    for (int c = 0; c < 3; c++) {
        float x = v[f->swap ? 2 - c : c];
        x = x < 0 ? 0 : x > 255 ? 255 : x;
        out[c] = x * f->mul[c] + f->add[c];
    }
}

static void combine(const uint8_t *const *rows, const float *weights, int taps, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = 0;
    for (int t = 0; t < taps; t++) {
        const uint8_t *row = rows[t];
        float w = weights[t];
        for (size_t i = 0; i < n; i++) out[i] += w * (float)row[i];
    }
}

static void gather(const float *row, const int32_t *index, const float *weights, int taps, int w,
                   const struct mien_finish *f, float *out)
{
    for (int u = 0; u < w; u++, index += taps, weights += taps, out += 3) {
        float v[3] = {0, 0, 0};
        for (int t = 0; t < taps; t++) {
            for (int c = 0; c < 3; c++) v[c] += weights[t] * row[index[t] + c];
        }
        finish(v, f, out);
    }
}

static void walk(const struct mien_image *src, struct mien_walk at, int n, const struct mien_finish *f, float *out)
{
    for (int u = 0; u < n; u++, at.x += at.dx, at.y += at.dy, out += 3) {
        const uint8_t *p = src->px + (size_t)(at.y >> 32) * src->stride + 3 * (size_t)(at.x >> 32);
        float fx = (float)(uint32_t)at.x * 0x1p-32f, fy = (float)(uint32_t)at.y * 0x1p-32f, v[3];
        for (int c = 0; c < 3; c++) {
            float a = (float)p[c], b = (float)p[c + 3];
            float d = (float)p[src->stride + (size_t)c], e = (float)p[src->stride + (size_t)c + 3];
            float top = a + fx * (b - a), bottom = d + fx * (e - d);
            v[c] = top + fy * (bottom - top);
        }
        finish(v, f, out);
    }
}

const struct mien_sampler mien_sampler_scalar = {combine, gather, walk};

const struct mien_sampler *mien_sampler(void)
{
    return (mien_cpu_flags() & MIEN_CPU_AVX2) != 0 ? &mien_sampler_avx2 : &mien_sampler_scalar;
}

struct mien_finish mien_finish_of(const struct mien_tensor_spec *spec)
{
    struct mien_finish f = {.swap = spec->channels == MIEN_BGR, .mul = {1, 1, 1}};
    for (int c = 0; c < 3 && spec->channels != MIEN_GRAY; c++) {
        f.mul[c] = spec->scale[c];
        f.add[c] = -spec->mean[c] * spec->scale[c];
    }
    return f;
}

void mien_finish_gray(const float *rgb, int n, const struct mien_tensor_spec *spec, float *out)
{
    for (int i = 0; i < n; i++, rgb += 3) {
        float gray = 0.299f * rgb[0] + 0.587f * rgb[1] + 0.114f * rgb[2];
        out[i] = (gray - spec->mean[0]) * spec->scale[0];
    }
}
