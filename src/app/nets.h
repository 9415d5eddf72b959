/* Single networks for the verbs that look at them one by one (bench models, models inspect, models check). */
#ifndef MIEN_APP_NETS_H
#define MIEN_APP_NETS_H

#include "app/cli.h"

/* One network to look at: where its file is and what it eats. */
struct mien_net_source {
    char id[64], path[4096];
    int width, height; /* of the input; 0 = the file says */
    bool f32_only;
};

/* A list of them. */
struct mien_net_list {
    struct mien_net_source *item; /* owned */
    int n;
};

/* The installed models, or, when `dir` is given, every *.onnx of that folder (of its subfolder onnx/ when there is one), by name. `only` (may be
 * NULL) keeps one id; MIEN_E_ARG when nothing is left. */
enum mien_code mien_nets_list(const struct mien_cli *cli, const char *dir, const char *only, struct mien_net_list *out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_nets_free(struct mien_net_list *l);

/* "1x3x640x640"; every dimension 1..1e6. */
enum mien_code mien_nets_parse_shape(const char *text, struct mien_shape *out, struct mien_err *e) MIEN_MUST_CHECK;

/* An opened network with a plan in a session of its own. Zero-initialise; mien_nets_close accepts any state. */
struct mien_bench_net {
    char id[64];
    struct mien_net *net;
    struct mien_session *session;
    struct mien_exec *exec;
};

enum { MIEN_NETS_MAX_INPUTS = 8 };
/* The shapes to run `net` at: `wanted` (rank -1 = none) for the first input, else the declared shape with N = batch and, where height and
 * width are dynamic, those of the source, else 640 (every net here with dynamic height and width is a detector). */
enum mien_code mien_nets_shapes(const struct mien_net *net, const struct mien_net_source *src, int batch, const struct mien_shape *wanted,
                                struct mien_shape *shape, struct mien_err *e) MIEN_MUST_CHECK;

/* `model` is an id of the installed pack or the path of an ONNX file. */
enum mien_code mien_nets_open_one(const struct mien_cli *cli, const char *model, const struct mien_shape *wanted, struct mien_bench_net *out,
                                  struct mien_err *e) MIEN_MUST_CHECK;
void mien_nets_close(struct mien_bench_net *n);

/* Appends mien_exec_print's lines. */
enum mien_code mien_nets_steps(struct mien_buf *b, const struct mien_exec *x, struct mien_err *e) MIEN_MUST_CHECK;

/* Path of a model's file; false when too long. Bytes of it, 0 when it is not there. */
bool mien_net_file_path(const struct mien_models *models, const struct mien_model *m, char *path, size_t room);
int64_t mien_net_file_bytes(const struct mien_models *models, const struct mien_model *m);

#endif
