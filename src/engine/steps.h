/* Steps of the engine's own kernels, for the files that lower nodes. Each adds a step to the plan. */
#ifndef MIEN_ENGINE_STEPS_H
#define MIEN_ENGINE_STEPS_H

#include "engine/plan.h"

/* In place over dense values; `slope` for PRELU (one per channel, which must be the innermost axis), else NULL. */
enum mien_code mien_step_act(struct mien_lower *l, int value, const struct mien_act *act, const float *slope) MIEN_MUST_CHECK;
/* out = act(a + b): same shape, layout and type; out may be a or b. */
enum mien_code mien_step_add_act(struct mien_lower *l, int a, int b, int out, const struct mien_act *act, const float *slope) MIEN_MUST_CHECK;
enum mien_code mien_step_unary(struct mien_lower *l, enum mien_unary op, int in, int out, float a, float b) MIEN_MUST_CHECK;
/* out = in * scale + shift per innermost channel; either may be NULL */
enum mien_code mien_step_affine(struct mien_lower *l, int in, int out, const float *scale, const float *shift, int64_t channels) MIEN_MUST_CHECK;
enum mien_code mien_step_pool(struct mien_lower *l, const struct mien_dnn_pool *d, int in, int out) MIEN_MUST_CHECK;
/* n copies of v in the plan's memory */
enum mien_code mien_step_fill(struct mien_lower *l, int64_t n, float v, const float **out) MIEN_MUST_CHECK;

#endif
