/* mien models check: are the files what the catalogue says, and do the networks compute what they should?
 *
 * Two parts. Installed models: sha256 of every file, then one run on generated input whose outputs must be finite. Goldens, where a folder
 * with them is at hand (goldens.h): every network in float32 and in the automatic type against stored outputs of ONNX Runtime. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/goldens.h"
#include "app/nets.h"
#include "base/file.h"
#include "crypto/digest.h"

enum { MAX_MODEL_BYTES = 1 << 30, MAX_JSON_BYTES = 16 << 20 };

struct report {
    const struct mien_cli *cli;
    struct mien_models *models; /* installed; may be NULL when only goldens are checked */
    struct mien_buf out;
    struct mien_jw json;
    int good, bad, skipped;
};

/* One line of the report. `what`: "sha256", "self test", "golden f32", "golden auto". */
static void line(struct report *r, const char *id, const char *what, const char *verdict, const char *detail)
{
    if (strcmp(verdict, "ok") == 0) r->good++;
    else if (strcmp(verdict, "skipped") == 0) r->skipped++;
    else r->bad++;
    if (!r->cli->json) {
        mien_buf_addf(&r->out, "%-8s %-28s %-12s %s\n", verdict, id, what, detail);
        return;
    }
    const char *const member[4][2] = {{"model", id}, {"check", what}, {"verdict", verdict}, {"detail", detail}};
    mien_jw_object(&r->json);
    for (int i = 0; i < 4; i++) {
        mien_jw_key(&r->json, member[i][0]);
        mien_jw_string(&r->json, member[i][1]);
    }
    mien_jw_end_object(&r->json);
}

/* ---- files ---- */

/* True when the file is there and has the hash; says otherwise in the report. */
static bool hash_holds(struct report *r, const char *id, const char *path, const char *sha256)
{
    struct mien_err e = {0};
    struct mien_file f;
    char hex[65], detail[160];
    enum mien_code code = mien_file_map(path, MAX_MODEL_BYTES, &f, &e);
    if (code == MIEN_OK) {
        code = mien_sha256_hex(f.data, f.size, hex, &e);
        mien_file_unmap(&f);
    }
    if (code != MIEN_OK) {
        line(r, id, "sha256", "bad", e.msg);
        return false;
    }
    if (strcmp(hex, sha256) == 0) {
        line(r, id, "sha256", "ok", "");
        return true;
    }
    snprintf(detail, sizeof detail, "the file has %s, not %s", hex, sha256);
    line(r, id, "sha256", "bad", detail);
    return false;
}

static bool outputs_finite(const struct mien_bench_net *n)
{
    for (int i = 0; i < mien_net_outputs(n->net); i++) {
        const struct mien_shape s = mien_exec_output_shape(n->exec, i);
        const float *v = mien_exec_output(n->exec, i);
        for (int64_t k = 0; k < mien_shape_count(&s); k++)
            if (!isfinite(v[k])) return false;
    }
    return true;
}

static void self_test(struct report *r, const struct mien_model *m)
{
    struct mien_bench_net n = {0};
    struct mien_err e = {0};
    enum mien_code code = mien_nets_open_one(r->cli, m->id, NULL, &n, &e);
    for (int i = 0; code == MIEN_OK && i < mien_net_inputs(n.net); i++) {
        const struct mien_shape s = mien_exec_input_shape(n.exec, i);
        mien_golden_fill(mien_exec_input(n.exec, i), mien_shape_count(&s), -1, 1);
    }
    if (code == MIEN_OK) code = mien_exec_run(n.exec, &e);
    if (code != MIEN_OK) line(r, m->id, "self test", "bad", e.msg);
    else if (!outputs_finite(&n)) line(r, m->id, "self test", "bad", "an output is not finite");
    else line(r, m->id, "self test", "ok", mien_net_type(n.net) == MIEN_BF16 ? "bf16" : "f32");
    mien_nets_close(&n);
}

static void check_installed(struct report *r)
{
    for (int i = 0; i < mien_models_count(r->models); i++) {
        const struct mien_model *m = mien_models_at(r->models, i);
        char path[PATH_MAX];
        mien_cli_progress("installed models", (size_t)i, (size_t)mien_models_count(r->models));
        if (!mien_net_file_path(r->models, m, path, sizeof path)) line(r, m->id, "sha256", "bad", "path too long");
        else if (hash_holds(r, m->id, path, m->sha256)) self_test(r, m);
    }
    mien_cli_progress("installed models", 1, 1);
}

/* ---- goldens ---- */

static enum mien_code read_json(const char *path, struct mien_json **root, struct mien_err *e)
{
    unsigned char *text;
    size_t n;
    MIEN_TRY(mien_file_read(path, MAX_JSON_BYTES, &text, &n, e));
    enum mien_code code = mien_json_parse((const char *)text, n, root, e);
    free(text);
    return mien_cli_about(path, code, e);
}

/* The entry's network: onnx/ of the golden folder, else the installed models (converted npm models lie there). */
static bool find_network(const struct report *r, const char *dir, const struct mien_json *entry, char *path, size_t room)
{
    const char *file = mien_json_string(mien_json_get(entry, "file"), "");
    const struct mien_model *m = r->models != NULL ? mien_models_find(r->models, mien_json_string(mien_json_get(entry, "id"), "")) : NULL;
    int n = snprintf(path, room, "%s/onnx/%s", dir, file);
    if (file[0] != '\0' && strchr(file, '/') == NULL && n > 0 && (size_t)n < room && access(path, R_OK) == 0) return true;
    return m != NULL && m->installed && mien_net_file_path(r->models, m, path, room);
}

/* The word of the installed manifest, else of the checkout's catalogue, on whether bfloat16 keeps this model's accuracy. */
static bool allows_bf16(const struct report *r, const struct mien_json *entry, const struct mien_json *catalogue)
{
    const char *id = mien_json_string(mien_json_get(entry, "id"), "");
    const struct mien_model *m = r->models != NULL ? mien_models_find(r->models, id) : NULL;
    if (m != NULL) return !m->f32_only;
    const struct mien_json *models = mien_json_get(catalogue, "models"), *runtime = NULL;
    for (size_t i = 0; i < mien_json_size(models); i++)
        if (strcmp(mien_json_string(mien_json_get(mien_json_at(models, i), "id"), ""), id) == 0)
            runtime = mien_json_get(mien_json_at(models, i), "runtime");
    return strcmp(mien_json_string(mien_json_get(runtime, "precision"), "auto"), "f32") != 0;
}

static void check_golden(struct report *r, const char *dir, const struct mien_json *entry, const struct mien_json *catalogue)
{
    static const enum mien_precision precision[2] = {MIEN_PRECISION_F32, MIEN_PRECISION_AUTO};
    static const char *const what[2] = {"golden f32", "golden auto"};
    const char *id = mien_json_string(mien_json_get(entry, "id"), "?");
    char path[PATH_MAX];
    if (mien_json_get(entry, "golden") == NULL) return;
    if (!find_network(r, dir, entry, path, sizeof path)) {
        line(r, id, "golden", "skipped", "the network is not here");
        return;
    }
    for (int i = 0; i < 2; i++) {
        struct mien_golden_result g;
        struct mien_err e = {0};
        char detail[200];
        if (mien_golden_check(dir, entry, path, precision[i], allows_bf16(r, entry, catalogue), &g, &e) != MIEN_OK) {
            line(r, id, what[i], "bad", e.msg);
            continue;
        }
        snprintf(detail, sizeof detail, "%s: largest difference %.2g of the largest value (%s), cosine %.6f%s", g.type == MIEN_BF16 ? "bf16" : "f32",
                 g.worst, g.output, g.cosine, g.reference_steps > 0 ? ", unoptimised steps" : "");
        line(r, id, what[i], mien_golden_holds(&g) ? "ok" : "bad", detail);
    }
}

static enum mien_code check_goldens(struct report *r, const char *dir, struct mien_err *e)
{
    char path[PATH_MAX], near[PATH_MAX];
    struct mien_json *root = NULL, *catalogue = NULL;
    int n = snprintf(path, sizeof path, "%s/manifest.json", dir);
    MIEN_FAIL_IF(n < 0 || (size_t)n >= sizeof path, e, MIEN_E_ARG, "path too long");
    MIEN_TRY(read_json(path, &root, e));
    if (mien_cli_beside_program("models/catalogue.json", near, sizeof near) && read_json(near, &catalogue, NULL) != MIEN_OK) catalogue = NULL;
    size_t goldens = 0;
    for (size_t i = 0; i < mien_json_size(root); i++) {
        const struct mien_json *entry = mien_json_at(root, i);
        mien_cli_progress("goldens", i, mien_json_size(root));
        if (mien_json_get(entry, "golden") != NULL) goldens++;
        check_golden(r, dir, entry, catalogue);
    }
    mien_cli_progress("goldens", 1, 1);
    mien_json_free(&root);
    mien_json_free(&catalogue);
    MIEN_FAIL_IF(goldens == 0, e, MIEN_E_JSON, "%.150s: no goldens in there", path);
    return MIEN_OK;
}

/* $MIEN_TEST_MODELS, else a folder shared/models beside the checkout. */
static bool default_goldens(char *dir, size_t room)
{
    char probe[PATH_MAX];
    const char *given = getenv("MIEN_TEST_MODELS");
    if (given != NULL && given[0] != '\0') return snprintf(dir, room, "%s", given) < (int)room;
    if (!mien_cli_beside_program("../shared/models/golden", probe, sizeof probe)) return false;
    int n = snprintf(dir, room, "%.*s", (int)(strlen(probe) - strlen("/golden")), probe);
    return n > 0 && (size_t)n < room;
}

static enum mien_code check(struct report *r, const char *dir, struct mien_err *e)
{
    char found[PATH_MAX];
    enum mien_code code = mien_cli_models(r->cli, NULL, &r->models, e);
    if (code != MIEN_OK && (dir == NULL || r->cli->models != NULL)) return code; /* goldens can be checked without a pack */
    if (dir != NULL) return check_goldens(r, dir, e);
    check_installed(r);
    return default_goldens(found, sizeof found) ? check_goldens(r, found, e) : MIEN_OK;
}

int mien_verb_models_check(struct mien_cli *cli, int argc, char **argv)
{
    const char *dir = NULL;
    const struct mien_opt opts[] = {{"dir", MIEN_OPT_TEXT, &dir, "DIR", "check the networks and goldens of this folder (default: installed models, and "
                                     "the goldens of $MIEN_TEST_MODELS or of shared/models beside the checkout)", 0, 0}};
    struct report r = {.cli = cli};
    struct mien_err e = {0};
    int first;
    int status = mien_cli_parse(cli, argc, argv, opts, 1, 0, 0, &first);
    if (status >= 0) return status;
    mien_buf_init(&r.out, MIEN_OUTPUT_BYTES);
    mien_jw_init(&r.json, &r.out);
    if (cli->json) {
        mien_jw_object(&r.json);
        mien_jw_key(&r.json, "checks");
        mien_jw_array(&r.json);
    }
    enum mien_code code = check(&r, dir, &e);
    mien_models_free(&r.models);
    if (code != MIEN_OK) {
        mien_buf_free(&r.out);
        return mien_cli_fail(&e);
    }
    if (cli->json) {
        const struct { const char *key; int v; } count[] = {{"good", r.good}, {"bad", r.bad}, {"skipped", r.skipped}};
        mien_jw_end_array(&r.json);
        for (int i = 0; i < 3; i++) {
            mien_jw_key(&r.json, count[i].key);
            mien_jw_integer(&r.json, count[i].v);
        }
        mien_jw_end_object(&r.json);
    }
    else mien_buf_addf(&r.out, "%d good, %d bad, %d skipped", r.good, r.bad, r.skipped);
    mien_buf_adds(&r.out, "\n");
    return mien_cli_print(&r.out, r.bad > 0 ? MIEN_EXIT_NO : MIEN_EXIT_YES);
}
