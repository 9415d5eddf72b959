/* Labelled photos: a folder a person. */
#include "app/labelled.h"

#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/clips.h"
#include "app/own_models.h"
#include "app/people.h"
#include "base/clock.h"
#include "base/thread.h"

enum { MAX_PHOTOS = 1000000, MAX_THREADS = 256, ARENA_BYTES = 1 << 30 };

/* ---- which photos there are ---- */

struct walk {
    struct mien_labelled *to;
    bool all_different;
    size_t room;       /* photos that `path` and `person` have room for; people never outnumber them */
};

static enum mien_code make_room(struct walk *w, struct mien_err *e)
{
    struct mien_labelled *l = w->to;
    const size_t room = w->room == 0 ? 1024 : 2 * w->room;
    const char **path = mien_arena_calloc(l->arena, room, sizeof *path), **name = mien_arena_calloc(l->arena, room, sizeof *name);
    uint32_t *person = mien_arena_calloc(l->arena, room, sizeof *person);
    MIEN_FAIL_IF(path == NULL || name == NULL || person == NULL, e, MIEN_E_NOMEM, "out of memory");
    if (w->room > 0) {
        memcpy(path, l->path, l->n * sizeof *path);
        memcpy(name, l->name, l->persons * sizeof *name);
        memcpy(person, l->person, l->n * sizeof *person);
    }
    l->path = path;
    l->name = name;
    l->person = person;
    w->room = room;
    return MIEN_OK;
}

static enum mien_code add_photo(struct walk *w, const char *path, const char *person, struct mien_err *e)
{
    struct mien_labelled *l = w->to;
    const bool same = !w->all_different && l->persons > 0 && strcmp(l->name[l->persons - 1], person) == 0;
    MIEN_FAIL_IF(l->n == MAX_PHOTOS, e, MIEN_E_LIMIT, "more than %d photos", MAX_PHOTOS);
    if (l->n == w->room) MIEN_TRY(make_room(w, e));
    l->path[l->n] = mien_arena_strndup(l->arena, path, strlen(path));
    if (!same) l->name[l->persons++] = mien_arena_strndup(l->arena, person, strlen(person));
    MIEN_FAIL_IF(l->path[l->n] == NULL || l->name[l->persons - 1] == NULL, e, MIEN_E_NOMEM, "out of memory");
    l->person[l->n++] = (uint32_t)(l->persons - 1);
    return MIEN_OK;
}

/* With labels: folders at depth 1 are people, photos beside them are nobody's and left out, and what is deeper is the person's too. */
static enum mien_code on_file(void *context, const char *path, const char *within, struct mien_err *e)
{
    struct walk *w = context;
    char person[NAME_MAX + 1];
    const char *slash = strchr(within, '/'), *name = strrchr(path, '/') + 1;
    if (!mien_clip_is_photo(name) || (!w->all_different && slash == NULL)) return MIEN_OK;
    if (w->all_different) return add_photo(w, path, path, e);
    snprintf(person, sizeof person, "%.*s", (int)(slash - within), within);
    return add_photo(w, path, person, e);
}

enum mien_code mien_labelled_read(const char *dir, bool all_different, struct mien_labelled *l, struct mien_err *e)
{
    struct walk w = {.to = l, .all_different = all_different};
    l->arena = mien_arena_create(ARENA_BYTES);
    MIEN_FAIL_IF(l->arena == NULL, e, MIEN_E_NOMEM, "out of memory");
    MIEN_TRY(mien_cli_each_file(dir, on_file, &w, e));
    MIEN_FAIL_IF(l->n == 0, e, MIEN_E_ARG, all_different ? "%.150s: no photos there" : "%.150s: no photos in folders of people (DIR/PERSON/PHOTO.jpg)", dir);
    return MIEN_OK;
}

/* ---- embeddings ---- */

struct embedding {
    const struct mien_labelling *how;
    struct mien_labelled *to;
    struct mien_session *session[MAX_THREADS];
    _Atomic size_t done, missed;
};

const struct mien_face *mien_labelled_face(const struct mien_cli_photo *p, bool largest)
{
    const struct mien_face *best = NULL;
    double nearest = INFINITY;
    const double cx = mien_photo_width(p->photo) * 0.5, cy = mien_photo_height(p->photo) * 0.5;
    if (p->faces.count > 0 && largest) return &p->faces.face[0];
    for (int i = 0; i < p->faces.count; i++) {
        const struct mien_box *b = &p->faces.face[i].box;
        const double d = hypot(0.5 * (double)(b->x0 + b->x1) - cx, 0.5 * (double)(b->y0 + b->y1) - cy);
        if (d < nearest) {
            nearest = d;
            best = &p->faces.face[i];
        }
    }
    return best;
}

static enum mien_code embed_photo(void *context, int worker, size_t item, struct mien_err *e)
{
    struct embedding *x = context;
    struct mien_labelled *l = x->to;
    struct mien_cli_photo p = {0};
    const struct mien_face_settings settings = MIEN_FACE_SETTINGS_DEFAULT;
    enum mien_code code = x->session[worker] != NULL ? MIEN_OK : mien_session_create(&x->session[worker], e);
    if (code == MIEN_OK) code = mien_cli_photo_analyze(l->path[item], l->models, x->session[worker], MIEN_WANT_EMBEDDING, &settings, &p, e);
    const struct mien_face *f = code == MIEN_OK ? mien_labelled_face(&p, x->how->largest) : NULL;
    if (f != NULL) {
        memcpy(l->row + item * (size_t)l->embed->dim, f->embedding, (size_t)l->embed->dim * sizeof(float));
        l->present[item] = true;
    } else if (code == MIEN_OK) {
        atomic_fetch_add(&x->missed, 1);
    }
    mien_cli_photo_free(&p);
    const size_t done = atomic_fetch_add(&x->done, 1) + 1;
    if (worker == 0 && done < l->n) mien_cli_progress("photos", done, l->n);
    return code;
}

enum mien_code mien_labelled_embed(const struct mien_cli *cli, const struct mien_labelling *how, struct mien_labelled *l, struct mien_err *e)
{
    struct embedding x = {.how = how, .to = l};
    if (how->settings != NULL && how->model_id == NULL) MIEN_TRY(mien_own_models(cli, how->settings, MIEN_OWN_RESNET, &l->models, e));
    else MIEN_TRY(mien_cli_models(cli, how->model_id, &l->models, e));
    l->embed = mien_models_role(l->models, MIEN_ROLE_EMBED, 0);
    MIEN_FAIL_IF(l->embed == NULL, e, MIEN_E_MODEL_MISSING, "the pack \"%.64s\" has no recognition model", mien_models_pack(l->models));
    l->row = calloc(l->n, (size_t)l->embed->dim * sizeof *l->row);
    l->present = calloc(l->n, sizeof *l->present);
    MIEN_FAIL_IF(l->row == NULL || l->present == NULL, e, MIEN_E_NOMEM, "out of memory");
    const uint64_t start = mien_now_ns();
    const enum mien_code code = mien_parallel_for(how->threads < MAX_THREADS ? how->threads : MAX_THREADS, l->n, embed_photo, &x, e);
    mien_cli_progress("photos", 1, 1);
    l->embed_ms = mien_elapsed_ms(start);
    l->missed = atomic_load(&x.missed);
    for (int i = 0; i < MAX_THREADS; i++) mien_session_free(&x.session[i]);
    return code;
}

struct mien_embeddings mien_labelled_embeddings(const struct mien_labelled *l)
{
    return (struct mien_embeddings){l->row, l->present, l->person, l->n, l->embed->dim};
}

void mien_labelled_free(struct mien_labelled *l)
{
    if (l->row != NULL) explicit_bzero(l->row, l->n * (size_t)l->embed->dim * sizeof *l->row);
    free(l->row);
    free(l->present);
    mien_models_free(&l->models);
    mien_arena_free(&l->arena);
    *l = (struct mien_labelled){0};
}
