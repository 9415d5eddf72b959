/* Parse, then specialise with small shapes for whatever the file leaves open. Anything may be refused; nothing may crash,
 * leak, or take more memory than a few times the limit of the input. The seeds in corpus/onnx were written with
 * tests/support/onnx_build: random weights, no real network. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "onnx/graph.h"

enum { MAX_BYTES = 1 << 20, MAX_INPUTS = 8, GUESSED_SIZE = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mien_graph *g, *s;
    struct mien_err e;
    struct mien_shape shape[MAX_INPUTS];
    if (size > MAX_BYTES || mien_onnx_parse(data, size, &g, &e) != MIEN_OK) return 0;
    if (g->n_inputs <= MAX_INPUTS) {
        for (int i = 0; i < g->n_inputs; i++) {
            shape[i] = g->tensor[g->input[i]].shape;
            if (shape[i].rank < 0) shape[i] = (struct mien_shape){.rank = 4, .dim = {1, 3, -1, -1}};
            for (int d = 0; d < shape[i].rank; d++)
                if (shape[i].dim[d] < 0) shape[i].dim[d] = d == 0 ? 1 : GUESSED_SIZE;
        }
        if (mien_graph_specialize(g, shape, g->n_inputs, &s, &e) == MIEN_OK) {
            FILE *null = fopen("/dev/null", "w");
            if (null != NULL) {
                mien_graph_print(s, null);
                fclose(null);
            }
            mien_graph_free(&s);
        }
    }
    mien_graph_free(&g);
    return 0;
}
