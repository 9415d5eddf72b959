/* Shorthand of the onnx tests: a built model read and run in two ways. Included by tests that link src/onnx. */
#ifndef TESTS_SUPPORT_ONNX_CHECK_H
#define TESTS_SUPPORT_ONNX_CHECK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/internal.h"
#include "onnx/passes.h"
#include "support/onnx_build.h"
#include "support/onnx_ref.h"

struct model { unsigned char *bytes; size_t n; struct mien_graph *parsed, *graph; struct mien_err e; };

static inline void model_free(struct model *m)
{
    mien_graph_free(&m->graph);
    mien_graph_free(&m->parsed);
    free(m->bytes);
    *m = (struct model){0};
}

/* Input shapes: the declared ones, unknown dimensions as `unknown`. */
static inline enum mien_code model_shapes(const struct mien_graph *g, int64_t unknown, struct mien_shape *s)
{
    for (int i = 0; i < g->n_inputs && i < 8; i++) {
        s[i] = g->tensor[g->input[i]].shape;
        for (int d = 0; d < s[i].rank; d++)
            if (s[i].dim[d] < 0) s[i].dim[d] = unknown;
    }
    return MIEN_OK;
}

/* Parses and specialises; the code of the first failure. Takes over b. */
static inline enum mien_code model_open(struct model *m, struct onnx_build *b, int64_t unknown)
{
    struct mien_shape s[8];
    *m = (struct model){0};
    m->bytes = onnx_build_done(b, &m->n);
    enum mien_code code = mien_onnx_parse(m->bytes, m->n, &m->parsed, &m->e);
    if (code == MIEN_OK) code = model_shapes(m->parsed, unknown, s);
    return code == MIEN_OK ? mien_graph_specialize(m->parsed, s, m->parsed->n_inputs, &m->graph, &m->e) : code;
}

/* Largest difference over the largest value of all outputs of two graphs on the same generated inputs; -1 when one cannot run. */
static inline double graphs_differ(const struct mien_graph *a, const struct mien_graph *b)
{
    float *in[8] = {0}, **x = NULL, **y = NULL;
    double worst = 0;
    for (int i = 0; i < a->n_inputs && i < 8; i++) {
        size_t n = (size_t)mien_shape_count(&a->tensor[a->input[i]].shape);
        in[i] = malloc((n + 1) * sizeof(float));
        onnx_ref_fill(in[i], n, -3, 5);
    }
    const char *u = onnx_ref_run(a, (const float *const *)in, &x), *v = onnx_ref_run(b, (const float *const *)in, &y);
    if (u != NULL || v != NULL) {
        fprintf(stderr, "the reference interpreter does not know %s\n", u ? u : v);
        worst = -1;
    }
    for (int i = 0; i < a->n_outputs; i++) {
        size_t n = (size_t)mien_shape_count(&a->tensor[a->output[i]].shape);
        double max = 1e-6, diff = 0;
        for (size_t k = 0; k < n; k++) {
            max = fmax(max, fabs((double)x[i][k]));
            diff = fmax(diff, fabs((double)x[i][k] - (double)y[i][k]));
            if (isnan(x[i][k]) != isnan(y[i][k])) diff = INFINITY;
        }
        if (worst >= 0) worst = fmax(worst, diff / max);
        free(x[i]);
        free(y[i]);
    }
    free(x);
    free(y);
    for (int i = 0; i < 8; i++) free(in[i]);
    return worst;
}

/* Optimised against as written (inference and folding only), 1e-4 of the largest value: rounding differs, and layers amplify it. */
static inline int model_equivalent(const struct model *m, int64_t unknown)
{
    struct mien_graph *raw = NULL, *plain = NULL;
    struct mien_err e = {0};
    struct mien_shape s[8];
    double d = INFINITY;
    if (mien_onnx_read(m->bytes, m->n, &raw, &e) == MIEN_OK && mien_pass_identity(raw, &e) == MIEN_OK && model_shapes(raw, unknown, s) == MIEN_OK &&
        mien_graph_infer(raw, s, raw->n_inputs, &plain, &e) == MIEN_OK && plain->n_outputs == m->graph->n_outputs) {
        d = graphs_differ(plain, m->graph);
        for (int i = 0; i < plain->n_outputs; i++)
            if (strcmp(plain->tensor[plain->output[i]].name, m->graph->tensor[m->graph->output[i]].name) != 0) {
                fprintf(stderr, "output %d lost its name: %s, not %s\n", i, m->graph->tensor[m->graph->output[i]].name, plain->tensor[plain->output[i]].name);
                d = INFINITY;
            }
    } else {
        fprintf(stderr, "%s\n", e.msg);
    }
    if (!(d >= 0 && d < 1e-4)) {
        fprintf(stderr, "differ by %g\n", d);
        if (plain != NULL) mien_graph_print(plain, stderr);
        mien_graph_print(m->graph, stderr);
    }
    mien_graph_free(&plain);
    mien_graph_free(&raw);
    return d >= 0 && d < 1e-4;
}

/* How many nodes of an operator. */
static inline int count_op(const struct mien_graph *g, enum mien_op op)
{
    int n = 0;
    for (int i = 0; i < g->n_nodes; i++) n += g->node[i].op == op;
    return n;
}

static inline const struct mien_node *find_op(const struct mien_graph *g, enum mien_op op)
{
    for (int i = 0; i < g->n_nodes; i++)
        if (g->node[i].op == op) return &g->node[i];
    return NULL;
}

#define DIMS(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__}

#endif
