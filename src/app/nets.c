#include "app/nets.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool mien_net_file_path(const struct mien_models *models, const struct mien_model *m, char *path, size_t room)
{
    int n = snprintf(path, room, "%s/%s", mien_models_dir(models), m->file);
    return n > 0 && (size_t)n < room;
}

int64_t mien_net_file_bytes(const struct mien_models *models, const struct mien_model *m)
{
    char path[PATH_MAX];
    struct stat st;
    return mien_net_file_path(models, m, path, sizeof path) && stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

/* ---- lists ---- */

static void source_of_model(const struct mien_models *models, const struct mien_model *m, struct mien_net_source *s)
{
    *s = (struct mien_net_source){.width = m->width, .height = m->height, .f32_only = m->f32_only};
    snprintf(s->id, sizeof s->id, "%s", m->id);
    if (!mien_net_file_path(models, m, s->path, sizeof s->path)) s->path[0] = '\0';
}

static enum mien_code list_installed(const struct mien_cli *cli, const char *only, struct mien_net_list *out, struct mien_err *e)
{
    struct mien_models *models;
    MIEN_TRY(mien_cli_models(cli, NULL, &models, e));
    enum mien_code code = MIEN_OK;
    out->item = calloc((size_t)mien_models_count(models) + 1, sizeof *out->item);
    if (out->item == NULL) code = MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory");
    for (int i = 0; code == MIEN_OK && i < mien_models_count(models); i++) {
        const struct mien_model *m = mien_models_at(models, i);
        if (m->installed && (only == NULL || strcmp(only, m->id) == 0)) source_of_model(models, m, &out->item[out->n++]);
    }
    mien_models_free(&models);
    return code;
}

static int is_onnx(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n > 5 && strcmp(d->d_name + n - 5, ".onnx") == 0;
}

static enum mien_code list_folder(const char *dir, const char *only, struct mien_net_list *out, struct mien_err *e)
{
    char inner[PATH_MAX];
    struct dirent **entry = NULL;
    int len = snprintf(inner, sizeof inner, "%s/onnx", dir);
    MIEN_FAIL_IF(len < 0 || (size_t)len >= sizeof inner, e, MIEN_E_ARG, "path too long");
    const char *folder = inner;
    int n = scandir(inner, &entry, is_onnx, alphasort);
    if (n < 0) n = scandir(folder = dir, &entry, is_onnx, alphasort);
    MIEN_FAIL_IF(n < 0, e, MIEN_E_IO, "%.150s: %s", dir, strerror(errno));
    out->item = calloc((size_t)n + 1, sizeof *out->item);
    for (int i = 0; i < n; i++) {
        struct mien_net_source s = {0};
        snprintf(s.id, sizeof s.id, "%.*s", (int)(strlen(entry[i]->d_name) - 5), entry[i]->d_name);
        int path_n = snprintf(s.path, sizeof s.path, "%s/%s", folder, entry[i]->d_name);
        if (path_n > 0 && (size_t)path_n < sizeof s.path && out->item != NULL && (only == NULL || strcmp(only, s.id) == 0)) out->item[out->n++] = s;
        free(entry[i]);
    }
    free(entry);
    MIEN_FAIL_IF(out->item == NULL, e, MIEN_E_NOMEM, "out of memory");
    return MIEN_OK;
}

enum mien_code mien_nets_list(const struct mien_cli *cli, const char *dir, const char *only, struct mien_net_list *out, struct mien_err *e)
{
    *out = (struct mien_net_list){0};
    enum mien_code code = dir != NULL ? list_folder(dir, only, out, e) : list_installed(cli, only, out, e);
    if (code == MIEN_OK && out->n == 0)
        code = only != NULL ? MIEN_FAIL(e, MIEN_E_MODEL_MISSING, "no model \"%.64s\" is installed; see mien models list", only)
                            : MIEN_FAIL(e, MIEN_E_MODEL_MISSING, "%.150s: no models there", dir != NULL ? dir : "the models directory");
    if (code != MIEN_OK) mien_nets_free(out);
    return code;
}

void mien_nets_free(struct mien_net_list *l)
{
    free(l->item);
    *l = (struct mien_net_list){0};
}

/* ---- shapes ---- */

enum mien_code mien_nets_parse_shape(const char *text, struct mien_shape *out, struct mien_err *e)
{
    *out = (struct mien_shape){0};
    const char *p = text;
    do {
        char *end;
        long v = strtol(p, &end, 10);
        MIEN_FAIL_IF(end == p || v < 1 || v > 1000000 || (*end != '\0' && *end != 'x') || out->rank == MIEN_MAX_RANK, e, MIEN_E_ARG,
                     "'%.60s' is not a shape such as 1x3x640x640", text);
        out->dim[out->rank++] = v;
        p = end + (*end == 'x');
        MIEN_FAIL_IF(*end == 'x' && *p == '\0', e, MIEN_E_ARG, "'%.60s' is not a shape such as 1x3x640x640", text);
    } while (*p != '\0');
    return MIEN_OK;
}

enum mien_code mien_nets_shapes(const struct mien_net *net, const struct mien_net_source *src, int batch, const struct mien_shape *wanted,
                                struct mien_shape *shape, struct mien_err *e)
{
    MIEN_FAIL_IF(mien_net_inputs(net) > MIEN_NETS_MAX_INPUTS, e, MIEN_E_ENGINE_SHAPE, "%.60s: %d inputs", mien_net_name(net), mien_net_inputs(net));
    for (int i = 0; i < mien_net_inputs(net); i++) {
        shape[i] = mien_net_input_shape(net, i);
        if (i == 0 && wanted != NULL && wanted->rank >= 0) {
            shape[i] = *wanted;
            continue;
        }
        MIEN_FAIL_IF(shape[i].rank < 0, e, MIEN_E_ENGINE_SHAPE, "%.60s: input of unknown rank; give --shape", mien_net_name(net));
        for (int d = 0; d < shape[i].rank; d++) {
            int64_t given = d == 2 ? src->height : src->width;
            if (d == 0 && (shape[i].dim[0] < 0 || batch > 1)) shape[i].dim[0] = batch;
            else if (shape[i].dim[d] < 0 && shape[i].rank == 4 && d >= 2) shape[i].dim[d] = given > 0 ? given : 640;
            MIEN_FAIL_IF(shape[i].dim[d] < 0, e, MIEN_E_ENGINE_SHAPE, "%.60s: dimension %d is open; give --shape", mien_net_name(net), d);
        }
    }
    return MIEN_OK;
}

/* ---- one network ---- */

static bool looks_like_file(const char *model)
{
    size_t n = strlen(model);
    return strchr(model, '/') != NULL || (n > 5 && strcmp(model + n - 5, ".onnx") == 0);
}

static enum mien_code find_one(const struct mien_cli *cli, const char *model, struct mien_net_source *out, struct mien_err *e)
{
    if (looks_like_file(model)) {
        const char *slash = strrchr(model, '/');
        *out = (struct mien_net_source){0};
        MIEN_FAIL_IF(strlen(model) >= sizeof out->path, e, MIEN_E_ARG, "path too long");
        snprintf(out->path, sizeof out->path, "%s", model);
        snprintf(out->id, sizeof out->id, "%s", slash != NULL ? slash + 1 : model);
        return MIEN_OK;
    }
    struct mien_net_list list;
    MIEN_TRY(mien_nets_list(cli, NULL, model, &list, e));
    *out = list.item[0];
    mien_nets_free(&list);
    return MIEN_OK;
}

enum mien_code mien_nets_open_one(const struct mien_cli *cli, const char *model, const struct mien_shape *wanted, struct mien_bench_net *out,
                                  struct mien_err *e)
{
    struct mien_net_source src;
    struct mien_net_settings settings;
    struct mien_shape shape[MIEN_NETS_MAX_INPUTS];
    MIEN_TRY(find_one(cli, model, &src, e));
    snprintf(out->id, sizeof out->id, "%s", src.id);
    mien_net_settings_default(&settings);
    settings.precision = cli->precision;
    settings.allow_bf16 = !src.f32_only;
    MIEN_TRY(mien_net_open(src.path, src.id, &settings, &out->net, e));
    MIEN_TRY(mien_nets_shapes(out->net, &src, 1, wanted, shape, e));
    MIEN_TRY(mien_session_create(&out->session, e));
    return mien_session_exec(out->session, out->net, shape, mien_net_inputs(out->net), &out->exec, e);
}

void mien_nets_close(struct mien_bench_net *n)
{
    mien_session_free(&n->session);
    mien_net_free(&n->net);
    *n = (struct mien_bench_net){0};
}

enum mien_code mien_nets_steps(struct mien_buf *b, const struct mien_exec *x, struct mien_err *e)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    MIEN_FAIL_IF(f == NULL, e, MIEN_E_NOMEM, "out of memory");
    mien_exec_print(x, f);
    fclose(f);
    mien_buf_adds(b, text != NULL ? text : "");
    free(text);
    return MIEN_OK;
}
