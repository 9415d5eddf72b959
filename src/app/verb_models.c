/* mien models list, inspect. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "app/figures.h"
#include "app/nets.h"

/* ---- list ---- */

static void roles_json(struct mien_jw *w, const struct mien_models *models, const struct mien_model *m)
{
    mien_jw_key(w, "roles");
    mien_jw_array(w);
    for (int r = 0; r < MIEN_ROLE_COUNT; r++)
        for (int i = 0; mien_models_role(models, (enum mien_role)r, i) != NULL; i++)
            if (mien_models_role(models, (enum mien_role)r, i) == m) mien_jw_string(w, mien_role_name((enum mien_role)r));
    mien_jw_end_array(w);
}

static void model_json(struct mien_jw *w, const struct mien_models *models, const struct mien_model *m)
{
    mien_jw_object(w);
    mien_jw_put_string(w, "id", m->id);
    mien_jw_put_string(w, "task", m->task);
    mien_jw_put_string(w, "licence", m->licence);
    mien_jw_put_string(w, "source", m->source);
    mien_jw_put_string(w, "obtained_from", m->obtained_from[0] != '\0' ? m->obtained_from : NULL);
    mien_jw_put_string(w, "sha256", m->sha256);
    mien_jw_put_string(w, "file", m->file);
    mien_jw_key(w, "bytes");
    mien_jw_integer(w, mien_net_file_bytes(models, m));
    mien_jw_put_string(w, "pack", mien_models_pack(models));
    roles_json(w, models, m);
    mien_jw_key(w, "installed");
    mien_jw_bool(w, m->installed);
    mien_jw_put_string(w, "precision", m->f32_only ? "f32" : "auto");
    mien_figures_json(w, m);
    mien_jw_end_object(w);
}

/* The model's line, then, indented, where it is from and what is known of it. */
static void model_text(struct mien_buf *b, const struct mien_models *models, const struct mien_model *m)
{
    mien_buf_addf(b, "  %-24s %-12s %-9s ", m->id, m->task, m->installed ? "installed" : "MISSING");
    mien_cli_add_safe(b, m->licence);
    if (m->source[0] != '\0') mien_buf_adds(b, "\n    source: ");
    mien_cli_add_safe(b, m->source);
    if (m->obtained_from[0] != '\0') mien_buf_adds(b, "\n    obtained from: ");
    mien_cli_add_safe(b, m->obtained_from);
    mien_buf_adds(b, "\n");
    mien_figures_text(b, models, m);
}

int mien_verb_models_list(struct mien_cli *cli, int argc, char **argv)
{
    struct mien_models *models;
    struct mien_err e = {0};
    int first;
    int status = mien_cli_parse(cli, argc, argv, NULL, 0, 0, 0, &first);
    if (status >= 0) return status;
    if (mien_cli_models(cli, NULL, &models, &e) != MIEN_OK) return mien_cli_fail(&e);
    struct mien_buf b;
    struct mien_jw w;
    mien_buf_init(&b, MIEN_OUTPUT_BYTES);
    mien_jw_init(&w, &b);
    if (cli->json) mien_jw_array(&w);
    else mien_buf_addf(&b, "pack %s in %s\n", mien_models_pack(models), mien_models_dir(models));
    for (int i = 0; i < mien_models_count(models); i++) {
        const struct mien_model *m = mien_models_at(models, i);
        if (cli->json) model_json(&w, models, m);
        else model_text(&b, models, m);
    }
    if (cli->json) {
        mien_jw_end_array(&w);
        mien_buf_adds(&b, "\n");
    }
    mien_models_free(&models);
    return mien_cli_print(&b, MIEN_EXIT_YES);
}

/* ---- inspect ---- */

static void shape_text(struct mien_buf *b, struct mien_shape s)
{
    for (int i = 0; i < s.rank; i++) {
        if (s.dim[i] < 0) mien_buf_addf(b, "%s?", i > 0 ? "x" : "");
        else mien_buf_addf(b, "%s%lld", i > 0 ? "x" : "", (long long)s.dim[i]);
    }
}

static void shape_json(struct mien_jw *w, struct mien_shape s)
{
    mien_jw_key(w, "shape");
    mien_jw_array(w);
    for (int i = 0; i < s.rank; i++) mien_jw_integer(w, s.dim[i]);
    mien_jw_end_array(w);
}

static void ends_json(struct mien_jw *w, const struct mien_bench_net *n)
{
    mien_jw_key(w, "inputs");
    mien_jw_array(w);
    for (int i = 0; i < mien_net_inputs(n->net); i++) {
        mien_jw_object(w);
        mien_jw_put_string(w, "name", mien_net_input_name(n->net, i));
        shape_json(w, mien_exec_input_shape(n->exec, i));
        mien_jw_end_object(w);
    }
    mien_jw_end_array(w);
    mien_jw_key(w, "outputs");
    mien_jw_array(w);
    for (int i = 0; i < mien_net_outputs(n->net); i++) {
        mien_jw_object(w);
        mien_jw_put_string(w, "name", mien_net_output_name(n->net, i));
        shape_json(w, mien_exec_output_shape(n->exec, i));
        mien_jw_end_object(w);
    }
    mien_jw_end_array(w);
}

static void inspect_json(struct mien_buf *b, const struct mien_bench_net *n)
{
    const struct mien_exec_info info = mien_exec_info(n->exec);
    struct mien_jw w;
    mien_jw_init(&w, b);
    mien_jw_object(&w);
    mien_jw_put_string(&w, "id", n->id);
    mien_jw_put_string(&w, "type", mien_net_type(n->net) == MIEN_BF16 ? "bf16" : "f32");
    ends_json(&w, n);
    const struct { const char *key; int64_t v; } number[] = {{"macs", (int64_t)info.macs}, {"weight_bytes", (int64_t)info.weight_bytes},
        {"activation_bytes", (int64_t)info.activation_bytes}, {"scratch_bytes", (int64_t)info.scratch_bytes},
        {"reference_steps", info.reference_steps}};
    for (size_t i = 0; i < sizeof number / sizeof number[0]; i++) {
        mien_jw_key(&w, number[i].key);
        mien_jw_integer(&w, number[i].v);
    }
    mien_jw_key(&w, "steps");
    mien_jw_array(&w);
    for (int i = 0; i < info.steps; i++) {
        const char *node = NULL;
        const char *impl = mien_exec_step_impl(n->exec, i, &node);
        mien_jw_object(&w);
        mien_jw_put_string(&w, "node", node);
        mien_jw_put_string(&w, "impl", impl);
        mien_jw_end_object(&w);
    }
    mien_jw_end_array(&w);
    mien_jw_end_object(&w);
    mien_buf_adds(b, "\n");
}

static enum mien_code inspect_text(struct mien_buf *b, const struct mien_bench_net *n, struct mien_err *e)
{
    const struct mien_exec_info info = mien_exec_info(n->exec);
    mien_buf_addf(b, "%s, computed in %s\n", n->id, mien_net_type(n->net) == MIEN_BF16 ? "bfloat16" : "float32");
    for (int i = 0; i < mien_net_inputs(n->net); i++) {
        mien_buf_addf(b, "  input  %-16s ", mien_net_input_name(n->net, i));
        shape_text(b, mien_exec_input_shape(n->exec, i));
        mien_buf_adds(b, " (declared ");
        shape_text(b, mien_net_input_shape(n->net, i));
        mien_buf_adds(b, ")\n");
    }
    for (int i = 0; i < mien_net_outputs(n->net); i++) {
        mien_buf_addf(b, "  output %-16s ", mien_net_output_name(n->net, i));
        shape_text(b, mien_exec_output_shape(n->exec, i));
        mien_buf_adds(b, "\n");
    }
    mien_buf_addf(b, "  %.1f million multiply-accumulates, %d steps (%d unoptimised), weights %.1f MiB, activations %.1f MiB, scratch %.1f MiB\n",
                  (double)info.macs * 1e-6, info.steps, info.reference_steps, (double)info.weight_bytes / 1048576.0,
                  (double)info.activation_bytes / 1048576.0, (double)info.scratch_bytes / 1048576.0);
    return mien_nets_steps(b, n->exec, e);
}

int mien_verb_models_inspect(struct mien_cli *cli, int argc, char **argv)
{
    const char *shape = NULL;
    const struct mien_opt opts[] = {{"shape", MIEN_OPT_TEXT, &shape, "NxCxHxW", "input shape (default: the model's, batch 1)", 0, 0}};
    struct mien_err e = {0};
    struct mien_bench_net n = {0};
    struct mien_shape wanted = {.rank = -1};
    int first;
    int status = mien_cli_parse(cli, argc, argv, opts, 1, 1, 1, &first);
    if (status >= 0) return status;
    struct mien_buf b;
    mien_buf_init(&b, MIEN_OUTPUT_BYTES);
    enum mien_code code = shape == NULL ? MIEN_OK : mien_nets_parse_shape(shape, &wanted, &e);
    if (code == MIEN_OK) code = mien_nets_open_one(cli, argv[first], &wanted, &n, &e);
    if (code == MIEN_OK && cli->json) inspect_json(&b, &n);
    else if (code == MIEN_OK) code = inspect_text(&b, &n, &e);
    mien_nets_close(&n);
    return mien_cli_end(code, &b, MIEN_EXIT_YES, &e);
}
