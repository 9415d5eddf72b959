/* From a classifier's numbers to probabilities. */
#include "face/parts.h"

#include <math.h>

static float clamp01(float v) { return v > 0.0f ? (v < 1.0f ? v : 1.0f) : 0.0f; }

static void softmax(const float *in, int n, float *out)
{
    float top = in[0], sum = 0.0f;
    for (int i = 1; i < n; i++) top = fmaxf(top, in[i]);
    for (int i = 0; i < n; i++) {
        out[i] = expf(in[i] - top);
        sum += out[i];
    }
    for (int i = 0; i < n; i++) out[i] /= sum;
}

void mien_scores(const struct mien_model *m, const float *raw, int n, float *out)
{
    if (m->softmax && n == 1) out[0] = 1.0f / (1.0f + expf(-raw[0]));
    else if (m->softmax) softmax(raw, n, out);
    else
        for (int i = 0; i < n; i++) out[i] = raw[i];
    for (int i = 0; i < n; i++) out[i] = clamp01(out[i]); /* also turns NaN into 0: the safe side for every score here */
}

float mien_score_live(const struct mien_model *m, const float *raw, int n)
{
    float p[16];
    if (n > 16) n = 16;
    if (n < 1) return 0.0f;
    mien_scores(m, raw, n, p);
    if (n == 1) return m->live_index == 0 || isnan(raw[0]) ? p[0] : 1.0f - p[0];
    return m->live_index >= 0 && m->live_index < n ? p[m->live_index] : 0.0f;
}

float mien_score_map(const struct mien_model *m, const float *raw, int n)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) {
        float p;
        mien_scores(m, &raw[i], 1, &p);
        sum += (double)p;
    }
    return n > 0 ? (float)(sum / n) : 0.0f;
}
