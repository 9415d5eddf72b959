/* mien facebank create: a folder of photos becomes a file of embeddings, one row the best face of a photo. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/own_models.h"
#include "app/people.h"
#include "base/file.h"
#include "base/thread.h"
#include "gallery/facebank.h"

enum { MAX_PHOTOS = 100000, MAX_THREADS = 256, BANK_BYTES = 1 << 30, LIST_BYTES = 256 << 20 };

struct bank_photo {
    const char *path;
    float *embedding; /* NULL: no face, or no photo */
    char *why;        /* cannot be read as a photo; owned */
};

struct making {
    struct mien_models *models;
    struct mien_session **session; /* one a thread */
    struct mien_arena *arena;      /* paths and embeddings' places */
    struct bank_photo *photo;
    size_t n;
    int dim, threads, rows;
};

/* ---- the photos ---- */

static enum mien_code add_photo(void *context, const char *path, const char *within, struct mien_err *e)
{
    struct making *m = context;
    (void)within;
    MIEN_FAIL_IF(m->n == MAX_PHOTOS, e, MIEN_E_LIMIT, "more than %d photos", MAX_PHOTOS);
    struct bank_photo *p = &m->photo[m->n++];
    p->path = mien_arena_strndup(m->arena, path, strlen(path));
    p->embedding = NULL;
    MIEN_FAIL_IF(p->path == NULL, e, MIEN_E_NOMEM, "out of memory");
    return MIEN_OK;
}

static enum mien_code look(void *context, int worker, size_t item, struct mien_err *e)
{
    struct making *m = context;
    struct bank_photo *p = &m->photo[item];
    struct mien_cli_photo photo = {0};
    struct mien_err why = {0};
    const struct mien_face_settings settings = {.best_only = true};
    if (worker == 0) mien_cli_progress("photos", item, m->n);
    if (m->session[worker] == NULL) MIEN_TRY(mien_session_create(&m->session[worker], e));
    enum mien_code code = mien_cli_photo_analyze(p->path, m->models, m->session[worker], MIEN_WANT_EMBEDDING, &settings, &photo, &why);
    if ((code >= MIEN_E_IMAGE_TYPE && code <= MIEN_E_IMAGE_LIMIT) || code == MIEN_E_IO || code == MIEN_E_LIMIT) {
        p->why = strdup(why.msg);
        code = p->why != NULL ? MIEN_OK : MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory");
    } else if (code != MIEN_OK) {
        if (e != NULL) *e = why;
    } else if (photo.faces.best >= 0) {
        p->embedding = malloc((size_t)m->dim * sizeof *p->embedding);
        if (p->embedding == NULL) code = MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory");
        else memcpy(p->embedding, photo.faces.face[photo.faces.best].embedding, (size_t)m->dim * sizeof *p->embedding);
    }
    mien_cli_photo_free(&photo);
    return code;
}

/* ---- the file ---- */

static enum mien_code write_rows(struct making *m, const char *path, struct mien_err *e)
{
    struct mien_buf out;
    mien_buf_init(&out, BANK_BYTES);
    for (size_t i = 0; i < m->n; i++) {
        const struct bank_photo *p = &m->photo[i];
        if (p->embedding != NULL) {
            mien_facebank_row(p->embedding, m->dim, &out);
            m->rows++;
        } else if (p->why != NULL) {
            mien_cli_error("%s", p->why);
        } else {
            mien_cli_error("%s: no face found", p->path);
        }
    }
    enum mien_code code = MIEN_OK;
    if (out.failed) code = MIEN_FAIL(e, MIEN_E_LIMIT, "the facebank would be larger than %d bytes", BANK_BYTES);
    else if (m->rows == 0) code = MIEN_FAIL(e, MIEN_E_NO_FACE, "no photo shows a face: nothing is written");
    if (code == MIEN_OK) code = mien_file_write_secret(path, out.data, out.len, e);
    if (out.data != NULL) explicit_bzero(out.data, out.len);
    mien_buf_free(&out);
    return code;
}

static enum mien_code make_bank(struct mien_cli *cli, const struct mien_config *config, struct making *m, const char *images, const char *output,
                                struct mien_err *e)
{
    struct mien_serve_settings settings;
    MIEN_TRY(mien_config_settings(config, &settings, e));
    MIEN_TRY(mien_own_models(cli, &settings, MIEN_OWN_RESNET, &m->models, e));
    const struct mien_model *model = mien_models_role(m->models, MIEN_ROLE_EMBED, 0);
    MIEN_FAIL_IF(model == NULL, e, MIEN_E_MODEL_MISSING, "the pack \"%.64s\" has no recognition model", mien_models_pack(m->models));
    m->dim = model->dim;
    m->threads = mien_cpu_count() < MAX_THREADS ? mien_cpu_count() : MAX_THREADS;
    m->arena = mien_arena_create(LIST_BYTES);
    m->photo = m->arena != NULL ? mien_arena_calloc(m->arena, MAX_PHOTOS, sizeof *m->photo) : NULL;
    m->session = calloc((size_t)m->threads, sizeof(struct mien_session *));
    MIEN_FAIL_IF(m->photo == NULL || m->session == NULL, e, MIEN_E_NOMEM, "out of memory");
    MIEN_TRY(mien_cli_each_file(images, add_photo, m, e));
    MIEN_TRY(mien_parallel_for(m->threads, m->n, look, m, e));
    mien_cli_progress("photos", m->n, m->n);
    return write_rows(m, output, e);
}

static void free_making(struct making *m)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->photo[i].embedding != NULL) explicit_bzero(m->photo[i].embedding, (size_t)m->dim * sizeof(float));
        free(m->photo[i].embedding);
        free(m->photo[i].why);
    }
    for (int i = 0; m->session != NULL && i < m->threads; i++) mien_session_free(&m->session[i]);
    free(m->session);
    mien_arena_free(&m->arena);
    mien_models_free(&m->models);
}

int mien_verb_facebank_create(struct mien_cli *cli, int argc, char **argv)
{
    struct making m = {0};
    struct mien_err e = {0};
    struct mien_buf out;
    const char *images = NULL, *output = NULL;
    const struct mien_opt opts[] = {{"images", MIEN_OPT_TEXT, &images, "DIR", "the photos; folders below it count", 0, 0},
                                    {"output", MIEN_OPT_TEXT, &output, "FILE", "the facebank, mode 0600", 0, 0}};
    struct mien_config *config;
    int first;
    int status = mien_config_read_with(cli, argc, argv, opts, 2, "DATA_DIR|DATA_FOLDER|RESNET", 0, 0, &first, &config);
    if (status >= 0) return status;
    const bool complete = images != NULL && output != NULL;
    const enum mien_code code = complete ? make_bank(cli, config, &m, images, output, &e)
                                         : MIEN_FAIL(&e, MIEN_E_ARG, "facebank create needs --images DIR and --output FILE");
    const int rows = m.rows, left_out = (int)m.n - rows;
    free_making(&m);
    mien_config_free(&config);
    if (code != MIEN_OK) return mien_cli_fail(&e);
    mien_buf_init(&out, 256);
    mien_buf_addf(&out, cli->json ? "{\"rows\":%d,\"left_out\":%d}\n" : "%d rows, %d photos left out\n", rows, left_out);
    return mien_cli_print(&out, left_out == 0 ? MIEN_EXIT_YES : MIEN_EXIT_NO);
}
