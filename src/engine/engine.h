/* Runs networks: an ONNX graph becomes a plan of oneDNN primitives and own kernels.
 *
 * struct mien_net      a loaded network: parsed graph and packed weights. Shared by all threads, thread-safe.
 * struct mien_session  what one thread needs to run networks: one work memory for all plans. One thread at a time.
 * struct mien_exec     a plan (network at one input shape) bound to a session's memory; owned by the session.
 *
 * Plans are cached in the net per input shape with a bound; primitives and packed weights are shared between threads,
 * scratch and activations belong to the session. mien_exec_run allocates nothing.
 * Activations are NHWC inside; inputs are written as float32 NHWC (rank 4) or row-major (other ranks) straight into
 * the plan's input, outputs are read as float32 in ONNX order (what ONNX Runtime would return). */
#ifndef MIEN_ENGINE_ENGINE_H
#define MIEN_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include "base/err.h"
#include "onnx/graph.h"

enum mien_precision {
    MIEN_PRECISION_AUTO, /* bfloat16 where the processor has it natively and `allow_bf16`, else float32 */
    MIEN_PRECISION_F32,
    MIEN_PRECISION_BF16
};

struct mien_net_settings {
    enum mien_precision precision; /* default AUTO */
    bool allow_bf16;               /* the manifest's word on whether bfloat16 keeps this model's accuracy; default true */
    int max_plans;                 /* cached input shapes, least recently used goes first; default 8, 1..64 */
};
void mien_net_settings_default(struct mien_net_settings *s);

struct mien_net;
struct mien_session;
struct mien_exec;

/* Maps and parses the file; primitives are made by the first mien_session_exec for a shape. `name` is for messages. */
enum mien_code mien_net_open(const char *path, const char *name, const struct mien_net_settings *s, struct mien_net **out,
                             struct mien_err *e) MIEN_MUST_CHECK;
/* The same from memory, which must outlive the net. */
enum mien_code mien_net_open_memory(const unsigned char *data, size_t n, const char *name, const struct mien_net_settings *s,
                                    struct mien_net **out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_net_free(struct mien_net **n); /* no session may still use it */

const char *mien_net_name(const struct mien_net *n);
enum mien_elem mien_net_type(const struct mien_net *n); /* MIEN_F32 or MIEN_BF16: what AUTO chose */
int mien_net_inputs(const struct mien_net *n);
int mien_net_outputs(const struct mien_net *n);
const char *mien_net_input_name(const struct mien_net *n, int i);
const char *mien_net_output_name(const struct mien_net *n, int i);
int mien_net_output_index(const struct mien_net *n, const char *name); /* -1 when there is none */
struct mien_shape mien_net_input_shape(const struct mien_net *n, int i); /* declared, ONNX order, -1 = dynamic */

enum mien_code mien_session_create(struct mien_session **out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_session_free(struct mien_session **s); /* wipes its memory */
/* Overwrites what the last runs left in the work memory (crops of faces, embeddings) with zeros: at the end of a request. */
void mien_session_wipe(struct mien_session *s);
size_t mien_session_bytes(const struct mien_session *s); /* work memory held */

/* Finds or builds the plan for these input shapes (ONNX order: N,C,H,W) and binds it to the session. The result is
 * owned by the session and stays valid until the session is freed or evicts it (more than 64 execs in one session,
 * least recently used first). Allocates; call it outside the measured path or let the first request pay. */
enum mien_code mien_session_exec(struct mien_session *s, struct mien_net *n, const struct mien_shape *shapes, int n_shapes,
                                 struct mien_exec **out, struct mien_err *e) MIEN_MUST_CHECK;

/* Where to write input i before running. Element count by mien_exec_input_shape (ONNX order; memory order NHWC for rank 4).
 * All plans of a session share one work memory: write the inputs, run, and read the outputs before touching another
 * exec of the same session. */
float *mien_exec_input(struct mien_exec *x, int i);
struct mien_shape mien_exec_input_shape(const struct mien_exec *x, int i);

enum mien_code mien_exec_run(struct mien_exec *x, struct mien_err *e) MIEN_MUST_CHECK;

/* Valid until the session's next mien_exec_input/run. Row-major in ONNX order. */
const float *mien_exec_output(const struct mien_exec *x, int i);
struct mien_shape mien_exec_output_shape(const struct mien_exec *x, int i);

/* What was built, for `mien models inspect`, benchmarks and tests. */
struct mien_exec_info {
    int steps;
    int reference_steps;      /* steps that fell to an unoptimised implementation: a defect */
    size_t activation_bytes, weight_bytes, scratch_bytes;
    uint64_t macs;
};
struct mien_exec_info mien_exec_info(const struct mien_exec *x);
/* One line a step: index, operator, node name, output shape, data type, implementation string. */
void mien_exec_print(const struct mien_exec *x, FILE *to);
/* Runs the plan `repeats` times and gives the least processor time of each step in milliseconds; `ms` has room for mien_exec_info().steps. */
enum mien_code mien_exec_time_steps(struct mien_exec *x, int repeats, double *ms, struct mien_err *e) MIEN_MUST_CHECK;
const char *mien_exec_step_impl(const struct mien_exec *x, int step, const char **node_name);

#endif
