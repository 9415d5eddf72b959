/* Networks against golden outputs: a folder with manifest.json, onnx/ and golden/.
 *
 * manifest.json is an array of {id, file, sha256, input, golden}; golden = {file, inputs: [{name, test_shape, test_range}],
 * outputs: [{name, shape, offset}]}. The inputs come from a linear congruential generator (goldens.c), the expected outputs are
 * float32, little endian, row-major, at `offset` in the golden file. */
#ifndef MIEN_APP_GOLDENS_H
#define MIEN_APP_GOLDENS_H

#include <stdbool.h>
#include "codec/json.h"
#include "engine/engine.h"

struct mien_golden_result {
    double worst;       /* over the outputs: largest difference over the golden's largest magnitude */
    double cosine;      /* least cosine over the outputs of more than 16 elements; 1 when there are none */
    double embedding_cosine; /* the same over outputs named "embedding" */
    double worst_small; /* like `worst`, over the outputs of at most 16 elements */
    char output[64];    /* the output that `worst` is of */
    enum mien_elem type; /* in what it was computed: MIEN_F32 or MIEN_BF16 */
    int reference_steps; /* steps without an optimised implementation */
};

/* Runs the entry's golden through `onnx_path`. `entry`: an element of manifest.json; `dir`: the folder. */
enum mien_code mien_golden_check(const char *dir, const struct mien_json *entry, const char *onnx_path, enum mien_precision precision,
                                 bool allow_bf16, struct mien_golden_result *out, struct mien_err *e) MIEN_MUST_CHECK;

/* Does the golden hold? float32: `worst` at most 1e-3. bfloat16 (8 bits of mantissa): cosine at least 0.999 for embeddings and 0.99 for
 * other vectors and maps, `worst_small` at most 0.05. */
bool mien_golden_holds(const struct mien_golden_result *r);

/* Fills `n` elements in row-major ONNX order from the golden generator, starting it anew: values in lo..hi. */
void mien_golden_fill(float *x, int64_t n, double lo, double hi);

/* Row-major N,C,H,W to N,H,W,C. Other ranks are copied. */
void mien_golden_to_nhwc(const float *from, const struct mien_shape *shape, float *to);

#endif
