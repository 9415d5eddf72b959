/* A naive float32 interpreter of specialised graphs, for tests: simple loops, NCHW, double sums. Slow and obvious. */
#ifndef TESTS_SUPPORT_ONNX_REF_H
#define TESTS_SUPPORT_ONNX_REF_H

#include "onnx/graph.h"

/* inputs[i]: float32 of input i, row-major. *outputs: one malloc'ed array an output (the caller frees each and the list), as
 * float32 whatever the type. Returns NULL, or the name of the operator that it does not know. */
const char *onnx_ref_run(const struct mien_graph *g, const float *const *inputs, float ***outputs);

/* Values of the golden files' generator: x = 1103515245 x + 12345 mod 2^31 from 12345, (x >> 8) / 2^23 scaled to low..high. */
void onnx_ref_fill(float *v, size_t n, float low, float high);

#endif
