/* The gallery: keeps store and index in step. Two locks: `writing` makes a write and its way into the index one step; `swap` guards the index pointer, which
 * only a full reload changes. */
#include "gallery/gallery.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "codec/hex.h"
#include "crypto/random.h"

enum {
    LOAD_USERS = 4096,             /* whose templates are opened at a time when loading */
    LOAD_BYTES = 256 << 20,        /* most memory that they may take: 4096 users of 50 records */
    RESEALS = 256,                 /* records of one transaction of a rotation */
    ROTATION_PASSES = 100,
    PROGRESS_MS = 1000
};

struct mien_gallery {
    struct mien_store *store;
    struct mien_keyring *keyring;
    char model[MIEN_MODEL_ID + 1];
    int dim, threads;
    pthread_mutex_t writing, rotating;
    pthread_rwlock_t swap;
    struct mien_index *index;
    atomic_uint_fast64_t unreadable, other_model;
};

/* ---- records to templates ---- */

static void log_unreadable(const struct mien_record *r, const struct mien_err *e)
{
    char id[2 * MIEN_RECORD_ID + 1];
    mien_hex(r->id, MIEN_RECORD_ID, id);
    mien_log(MIEN_LOG_WARN, "template_unreadable", "record=%s error=%s", id, mien_code_name(e->code));
}

/* The templates of one user as rows for the index. */
struct rows {
    const struct mien_gallery *gallery;
    uint16_t half[MIEN_USER_TEMPLATES * MIEN_TEMPLATE_DIM];
    int n;
    uint64_t other_model, unreadable, unknown_key;
    char name[MIEN_USER_NAME + 1];
};

static void begin_rows(struct rows *rows, const struct mien_gallery *g)
{
    rows->gallery = g;
    rows->n = 0;
    rows->other_model = rows->unreadable = rows->unknown_key = 0;
    rows->name[0] = '\0';
}

static void take_name(struct rows *rows, const char *name)
{
    const size_t n = strnlen(name != NULL ? name : "", MIEN_USER_NAME);
    memcpy(rows->name, name != NULL ? name : "", n);
    rows->name[n] = '\0';
}

/* Adds a record; one that cannot be opened is counted and left out. */
static void take_record(struct rows *rows, const struct mien_record *r)
{
    const struct mien_gallery *g = rows->gallery;
    struct mien_template t;
    struct mien_err e = {0};
    if (strcmp(r->model, g->model) != 0) {
        rows->other_model++;
        return;
    }
    if (rows->n == MIEN_USER_TEMPLATES) return;
    enum mien_code code = mien_template_open(g->keyring, r, &t, &e);
    if (code == MIEN_OK && t.dim != g->dim) code = MIEN_FAIL(&e, MIEN_E_RECORD, "the template has another length than the model's");
    if (code == MIEN_OK) {
        memcpy(rows->half + (size_t)rows->n++ * (size_t)g->dim, t.rgb, (size_t)g->dim * sizeof t.rgb[0]);
    } else {
        rows->unreadable++;
        rows->unknown_key += code == MIEN_E_KEY;
        log_unreadable(r, &e);
    }
    explicit_bzero(&t, sizeof t);
}

static enum mien_code rows_into_index(struct rows *rows, struct mien_index *index, const char *user_id, struct mien_err *e)
{
    const enum mien_code code = mien_index_set(index, user_id, rows->name, rows->half, rows->n, e);
    explicit_bzero(rows->half, sizeof rows->half[0] * (size_t)rows->n * (size_t)rows->gallery->dim);
    return code;
}

static enum mien_code on_own_record(void *context, const struct mien_user *user, const struct mien_record *r, struct mien_err *e)
{
    struct rows *rows = context;
    (void)e;
    take_name(rows, user->name);
    take_record(rows, r);
    return MIEN_OK;
}

/* Brings the index to what the store has of one user. The caller holds `writing`. */
static enum mien_code refresh(struct mien_gallery *g, const char *user_id, struct mien_err *e)
{
    struct rows *rows = malloc(sizeof *rows); /* 100 KiB of room: not zeroed for each user of an import */
    MIEN_FAIL_IF(rows == NULL, e, MIEN_E_NOMEM, "no memory for a user's templates");
    begin_rows(rows, g);
    enum mien_code code = g->store->user_records(g->store, user_id, on_own_record, rows, e);
    if (code == MIEN_OK) code = rows_into_index(rows, g->index, user_id, e);
    free(rows);
    return code;
}

/* ---- loading ---- */

struct loaded_user { const char *user_id, *name; struct mien_record *record; int n, room; };

struct loading {
    struct mien_gallery *gallery;
    struct mien_index *index;
    struct mien_arena *arena; /* of the users that wait to be opened */
    struct loaded_user *user;
    int users;
    struct rows **rows;       /* one a thread */
    uint64_t records, total, other_model, unreadable, unknown_key;
    uint64_t said_ns;
};

static enum mien_code open_user(void *context, int worker, size_t item, struct mien_err *e)
{
    struct loading *l = context;
    const struct loaded_user *u = &l->user[item];
    struct rows *rows = l->rows[worker];
    rows->n = 0;
    take_name(rows, u->name);
    for (int i = 0; i < u->n; i++) take_record(rows, &u->record[i]);
    return rows->n > 0 ? rows_into_index(rows, l->index, u->user_id, e) : MIEN_OK;
}

static void say_progress(struct loading *l)
{
    if (mien_elapsed_ms(l->said_ns) < PROGRESS_MS) return;
    l->said_ns = mien_now_ns();
    mien_log(MIEN_LOG_INFO, "gallery_loading", "records=%llu of=%llu", (unsigned long long)l->records, (unsigned long long)l->total);
}

/* Opens and indexes what has been collected. */
static enum mien_code flush(struct loading *l, struct mien_err *e)
{
    const enum mien_code code = mien_parallel_for(l->gallery->threads, (size_t)l->users, open_user, l, e);
    mien_arena_free(&l->arena);
    l->users = 0;
    l->user = NULL;
    say_progress(l);
    return code;
}

static enum mien_code begin_batch(struct loading *l, struct mien_err *e)
{
    l->arena = mien_arena_create(LOAD_BYTES);
    l->user = l->arena != NULL ? mien_arena_calloc(l->arena, LOAD_USERS, sizeof *l->user) : NULL;
    MIEN_FAIL_IF(l->user == NULL, e, MIEN_E_NOMEM, "no memory to load the gallery");
    return MIEN_OK;
}

/* Room for one more record of the last user. */
static struct mien_record *next_record(struct loading *l)
{
    struct loaded_user *u = &l->user[l->users - 1];
    if (u->n == u->room) {
        const int room = u->room == 0 ? 1 : 2 * u->room;
        struct mien_record *more = mien_arena_calloc(l->arena, (size_t)room, sizeof *more);
        if (more == NULL) return NULL;
        if (u->n > 0) memcpy(more, u->record, (size_t)u->n * sizeof *more);
        u->record = more;
        u->room = room;
    }
    return &u->record[u->n++];
}

static enum mien_code collect(void *context, const struct mien_user *user, const struct mien_record *r, struct mien_err *e)
{
    struct loading *l = context;
    const bool another = l->users == 0 || strcmp(l->user[l->users - 1].user_id, user->user_id) != 0;
    if (another && l->users == LOAD_USERS) MIEN_TRY(flush(l, e));
    if (l->arena == NULL) MIEN_TRY(begin_batch(l, e));
    if (another) {
        struct loaded_user *u = &l->user[l->users++];
        u->user_id = mien_arena_strndup(l->arena, user->user_id, strlen(user->user_id));
        u->name = mien_arena_strndup(l->arena, user->name, strlen(user->name));
        MIEN_FAIL_IF(u->user_id == NULL || u->name == NULL, e, MIEN_E_NOMEM, "no memory to load the gallery");
    }
    struct mien_record *to = next_record(l);
    uint8_t *sealed = mien_arena_alloc(l->arena, r->sealed_n > 0 ? r->sealed_n : 1);
    char *model = mien_arena_strndup(l->arena, r->model, strlen(r->model));
    MIEN_FAIL_IF(to == NULL || sealed == NULL || model == NULL, e, MIEN_E_NOMEM, "no memory to load the gallery");
    *to = *r;
    to->user_id = l->user[l->users - 1].user_id;
    to->model = model;
    to->sealed = memcpy(sealed, r->sealed, r->sealed_n);
    l->records++;
    return MIEN_OK;
}

static enum mien_code walk_store(struct loading *l, struct mien_err *e)
{
    struct mien_store *s = l->gallery->store;
    uint64_t users;
    MIEN_TRY(s->count(s, &users, &l->total, e));
    MIEN_TRY(s->each_record(s, collect, l, e));
    return l->arena != NULL ? flush(l, e) : MIEN_OK;
}

static enum mien_code make_rows(struct loading *l, struct mien_err *e)
{
    l->rows = calloc((size_t)l->gallery->threads, sizeof *l->rows);
    for (int i = 0; l->rows != NULL && i < l->gallery->threads; i++) {
        l->rows[i] = malloc(sizeof **l->rows);
        MIEN_FAIL_IF(l->rows[i] == NULL, e, MIEN_E_NOMEM, "no memory to load the gallery");
        begin_rows(l->rows[i], l->gallery);
    }
    MIEN_FAIL_IF(l->rows == NULL, e, MIEN_E_NOMEM, "no memory to load the gallery");
    return MIEN_OK;
}

static void free_rows(struct loading *l)
{
    for (int i = 0; l->rows != NULL && i < l->gallery->threads; i++) {
        if (l->rows[i] == NULL) continue;
        l->other_model += l->rows[i]->other_model;
        l->unreadable += l->rows[i]->unreadable;
        l->unknown_key += l->rows[i]->unknown_key;
        free(l->rows[i]);
    }
    free(l->rows);
}

/* A new index of everything in the store. The caller holds `writing`, or nobody else knows the gallery yet. */
static enum mien_code load(struct mien_gallery *g, struct mien_index **out, struct mien_err *e)
{
    struct loading l = {.gallery = g, .said_ns = mien_now_ns()};
    const uint64_t start = mien_now_ns();
    MIEN_TRY(mien_index_create(g->dim, &l.index, e));
    enum mien_code code = make_rows(&l, e);
    if (code == MIEN_OK) code = walk_store(&l, e);
    mien_arena_free(&l.arena);
    free_rows(&l);
    if (code == MIEN_OK && l.records > 0 && l.unknown_key == l.records)
        code = MIEN_FAIL(e, MIEN_E_KEY, "no template of the gallery is sealed under a key that this server has");
    if (code != MIEN_OK) {
        mien_index_free(&l.index);
        return code;
    }
    g->unreadable = l.unreadable;
    g->other_model = l.other_model;
    *out = l.index;
    mien_log(MIEN_LOG_INFO, "gallery_loaded", "store=%s templates=%llu other_model=%llu unreadable=%llu ms=%.0f", g->store->kind,
             (unsigned long long)mien_index_state(l.index).templates, (unsigned long long)l.other_model, (unsigned long long)l.unreadable,
             mien_elapsed_ms(start));
    return MIEN_OK;
}

/* ---- opening, changes by others ---- */

static bool reload(struct mien_gallery *g, struct mien_err *e)
{
    struct mien_index *fresh, *old;
    if (load(g, &fresh, e) != MIEN_OK) return false;
    pthread_rwlock_wrlock(&g->swap);
    old = g->index;
    g->index = fresh;
    pthread_rwlock_unlock(&g->swap);
    mien_index_free(&old);
    return true;
}

static bool on_change(void *context, const char *user_id)
{
    struct mien_gallery *g = context;
    struct mien_err e = {0};
    pthread_mutex_lock(&g->writing);
    const bool taken = g->index == NULL /* it could not be loaded */ || (user_id == NULL ? reload(g, &e) : refresh(g, user_id, &e) == MIEN_OK);
    pthread_mutex_unlock(&g->writing);
    if (!taken) mien_log(MIEN_LOG_WARN, "gallery_behind", "error=%s why=%s", mien_code_name(e.code), e.msg);
    return taken;
}

static enum mien_code begin(struct mien_gallery *g, struct mien_err *e)
{
    if (g->store->follow != NULL) MIEN_TRY(g->store->follow(g->store, on_change, g, e));
    return MIEN_OK;
}

enum mien_code mien_gallery_open(const struct mien_gallery_settings *s, struct mien_gallery **out, struct mien_err *e)
{
    struct mien_gallery *g = calloc(1, sizeof *g);
    enum mien_code code = MIEN_OK;
    *out = NULL;
    if (g == NULL || strlen(s->model) > MIEN_MODEL_ID || s->dim < 1 || s->dim > MIEN_TEMPLATE_DIM) {
        struct mien_store *store = s->store;
        struct mien_keyring *keyring = s->keyring;
        code = g == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "no memory for the gallery") : MIEN_FAIL(e, MIEN_E_ARG, "the model's id or dimension is out of range");
        free(g);
        store->close(store);
        mien_keyring_free(&keyring);
        return code;
    }
    *g = (struct mien_gallery){.store = s->store, .keyring = s->keyring, .dim = s->dim, .threads = s->threads > 0 ? s->threads : mien_cpu_count()};
    if (g->threads > 256) g->threads = 256;
    memcpy(g->model, s->model, strlen(s->model) + 1);
    pthread_mutex_init(&g->writing, NULL);
    pthread_mutex_init(&g->rotating, NULL);
    pthread_rwlock_init(&g->swap, NULL);
    /* Changes that come while it loads wait for the lock and are taken up after it. */
    pthread_mutex_lock(&g->writing);
    code = begin(g, e);
    if (code == MIEN_OK) code = load(g, &g->index, e);
    pthread_mutex_unlock(&g->writing);
    if (code == MIEN_OK) *out = g;
    else mien_gallery_close(&g);
    return code;
}

void mien_gallery_close(struct mien_gallery **gallery)
{
    struct mien_gallery *g = *gallery;
    if (g == NULL) return;
    g->store->close(g->store);
    mien_index_free(&g->index);
    mien_keyring_free(&g->keyring);
    pthread_rwlock_destroy(&g->swap);
    pthread_mutex_destroy(&g->rotating);
    pthread_mutex_destroy(&g->writing);
    free(g);
    *gallery = NULL;
}

/* ---- writing ---- */

/* The index after a write that the store has. It cannot fail but for memory, or a store that is lost this moment: one with followers tells again later. */
static void follow_up(struct mien_gallery *g, const char *user_id)
{
    struct mien_err e = {0};
    if (refresh(g, user_id, &e) != MIEN_OK && g->store->follow == NULL && refresh(g, user_id, &e) != MIEN_OK)
        mien_log(MIEN_LOG_ERROR, "gallery_behind", "error=%s why=%s", mien_code_name(e.code), e.msg);
}

struct writing { struct mien_put *put; struct mien_record *record; uint8_t *sealed; };

static enum mien_code make_put(struct mien_gallery *g, const struct mien_enrolment *from, int64_t now, struct mien_put *put, struct mien_record *record,
                               uint8_t *sealed, struct mien_err *e)
{
    struct mien_template t;
    MIEN_FAIL_IF(!mien_user_id_valid(from->user_id), e, MIEN_E_ARG, "a user id has 1 to %d bytes of UTF-8 and no control characters", MIEN_USER_ID);
    MIEN_FAIL_IF(from->name != NULL && strlen(from->name) > MIEN_USER_NAME, e, MIEN_E_ARG, "a name has at most %d bytes", MIEN_USER_NAME);
    MIEN_FAIL_IF(from->metadata != NULL && strlen(from->metadata) > MIEN_USER_METADATA, e, MIEN_E_ARG, "metadata has at most %d bytes", MIEN_USER_METADATA);
    *record = (struct mien_record){.user_id = from->user_id, .model = g->model, .made_at = now};
    *put = (struct mien_put){.user = {.user_id = from->user_id, .name = from->name, .metadata = from->metadata, .enrolled_at = now},
                             .append = from->append,
                             .record = record,
                             .n_records = 1};
    MIEN_TRY(mien_random(record->id, sizeof record->id, e));
    enum mien_code code = mien_template_make(from->rgb, g->dim, from->depth, from->depth != NULL ? from->depth_dim : 0, &t, e);
    if (code == MIEN_OK) code = mien_template_seal(g->keyring, &t, record, sealed, e);
    explicit_bzero(&t, sizeof t);
    return code;
}

static enum mien_code write_all(struct mien_gallery *g, const struct mien_enrolment *enrolments, int n, const struct writing *w, struct mien_err *e)
{
    const int64_t now = mien_utc_ms();
    for (int i = 0; i < n; i++) MIEN_TRY(make_put(g, &enrolments[i], now, &w->put[i], &w->record[i], w->sealed + (size_t)i * MIEN_SEALED_BYTES, e));
    MIEN_TRY(g->store->put(g->store, w->put, n, e));
    for (int i = 0; i < n; i++)
        if (i == 0 || strcmp(enrolments[i].user_id, enrolments[i - 1].user_id) != 0) follow_up(g, enrolments[i].user_id);
    return MIEN_OK;
}

enum mien_code mien_gallery_enroll(struct mien_gallery *g, const struct mien_enrolment *enrolments, int n, struct mien_err *e)
{
    struct writing w = {.put = calloc((size_t)n, sizeof *w.put),
                        .record = calloc((size_t)n, sizeof *w.record),
                        .sealed = malloc((size_t)n * MIEN_SEALED_BYTES)};
    enum mien_code code;
    if (w.put == NULL || w.record == NULL || w.sealed == NULL) {
        code = MIEN_FAIL(e, MIEN_E_NOMEM, "no memory for %d enrolments", n);
    } else {
        pthread_mutex_lock(&g->writing); /* sealing too: after a rotation began, nothing is sealed under the old key */
        code = write_all(g, enrolments, n, &w, e);
        pthread_mutex_unlock(&g->writing);
    }
    free(w.put);
    free(w.record);
    free(w.sealed);
    return code;
}

enum mien_code mien_gallery_delete(struct mien_gallery *g, const char *user_id, struct mien_err *e)
{
    bool existed = false;
    MIEN_FAIL_IF(!mien_user_id_valid(user_id), e, MIEN_E_NOT_ENROLLED, "no such user");
    pthread_mutex_lock(&g->writing);
    const enum mien_code code = g->store->remove(g->store, user_id, &existed, e);
    if (code == MIEN_OK && existed) follow_up(g, user_id);
    pthread_mutex_unlock(&g->writing);
    MIEN_TRY(code);
    MIEN_FAIL_IF(!existed, e, MIEN_E_NOT_ENROLLED, "no such user");
    return MIEN_OK;
}

/* ---- reading ---- */

enum mien_code mien_gallery_search(struct mien_gallery *g, const float *queries, int n, int top_k, float threshold, struct mien_hit *hits, int *counts,
                                   struct mien_err *e)
{
    pthread_rwlock_rdlock(&g->swap);
    const enum mien_code code = mien_index_search(g->index, queries, n, top_k, threshold, hits, counts, e);
    pthread_rwlock_unlock(&g->swap);
    return code;
}

struct opening {
    struct mien_gallery *gallery;
    mien_on_template *call;
    void *context;
    int records, opened;
    enum mien_code why;  /* of a record that could not be opened */
};

static enum mien_code open_record(void *context, const struct mien_user *user, const struct mien_record *r, struct mien_err *e)
{
    struct opening *o = context;
    struct mien_template t;
    o->records++;
    if (strcmp(r->model, o->gallery->model) != 0) return MIEN_OK;
    enum mien_code code = mien_template_open(o->gallery->keyring, r, &t, NULL);
    if (code == MIEN_OK && t.dim != o->gallery->dim) code = MIEN_E_RECORD;
    if (code == MIEN_OK) {
        o->opened++;
        code = o->call(o->context, user, &t, e);
    } else {
        o->why = code;
        code = MIEN_OK;
    }
    explicit_bzero(&t, sizeof t);
    return code;
}

enum mien_code mien_gallery_templates(struct mien_gallery *g, const char *user_id, mien_on_template *call, void *context, struct mien_err *e)
{
    struct opening o = {.gallery = g, .call = call, .context = context};
    MIEN_FAIL_IF(!mien_user_id_valid(user_id), e, MIEN_E_NOT_ENROLLED, "no such user");
    MIEN_TRY(g->store->user_records(g->store, user_id, open_record, &o, e));
    MIEN_FAIL_IF(o.records == 0, e, MIEN_E_NOT_ENROLLED, "no such user");
    MIEN_FAIL_IF(o.opened == 0 && o.why != MIEN_OK, e, o.why, "the user's templates cannot be opened");
    MIEN_FAIL_IF(o.opened == 0, e, MIEN_E_MODEL_MISMATCH, "the user was enrolled with another recognition model");
    return MIEN_OK;
}

static enum mien_code nothing(void *context, const struct mien_user *user, const struct mien_template *t, struct mien_err *e)
{
    (void)context, (void)user, (void)t, (void)e;
    return MIEN_OK;
}

enum mien_code mien_gallery_verify(struct mien_gallery *g, const char *user_id, const float *query, float *similarity, struct mien_err *e)
{
    pthread_rwlock_rdlock(&g->swap);
    const enum mien_code code = mien_index_verify(g->index, user_id, query, similarity, e);
    pthread_rwlock_unlock(&g->swap);
    if (code != MIEN_E_NOT_ENROLLED) return code;
    MIEN_TRY(mien_gallery_templates(g, user_id, nothing, NULL, e)); /* why it is not in memory */
    return MIEN_FAIL(e, MIEN_E_NOT_ENROLLED, "no such user");       /* enrolled this moment */
}

enum mien_code mien_gallery_list(struct mien_gallery *g, const char *after, int limit, mien_on_user *call, void *context, struct mien_err *e)
{
    return g->store->list(g->store, after, limit, call, context, e);
}

enum mien_code mien_gallery_count(struct mien_gallery *g, uint64_t *users, uint64_t *records, struct mien_err *e)
{
    return g->store->count(g->store, users, records, e);
}

/* ---- rotation ---- */

struct rotation {
    struct mien_gallery *gallery;
    struct mien_reseal reseal[RESEALS];
    uint8_t *sealed, *old;                   /* RESEALS x MIEN_SEALED_BYTES each */
    char user[RESEALS][MIEN_USER_ID + 1], model[RESEALS][MIEN_MODEL_ID + 1];
    int n;
    uint64_t stale, done;                    /* found in this pass; replaced in all */
};

static enum mien_code write_resealed(struct rotation *r, struct mien_err *e)
{
    struct mien_store *s = r->gallery->store;
    int done = 0;
    MIEN_TRY(r->n > 0 ? s->reseal(s, r->reseal, r->n, &done, e) : MIEN_OK);
    r->done += (uint64_t)done;
    r->n = 0;
    return MIEN_OK;
}

/* Puts a record that is under an older key among those to be written. One that cannot be opened stays as it is: no key of ours will open it later. */
static enum mien_code take_stale(void *context, const struct mien_user *user, const struct mien_record *record, struct mien_err *e)
{
    struct rotation *r = context;
    struct mien_template t;
    (void)user;
    if (mien_sealed_is_current(r->gallery->keyring, record->sealed, record->sealed_n) || record->sealed_n > MIEN_SEALED_BYTES) return MIEN_OK;
    if (r->n == RESEALS) MIEN_TRY(write_resealed(r, e));
    struct mien_reseal *to = &r->reseal[r->n];
    if (mien_template_open(r->gallery->keyring, record, &t, NULL) != MIEN_OK) return MIEN_OK;
    to->record = *record;
    to->record.user_id = memcpy(r->user[r->n], record->user_id, strlen(record->user_id) + 1);
    to->record.model = memcpy(r->model[r->n], record->model, strlen(record->model) + 1);
    to->old = memcpy(r->old + (size_t)r->n * MIEN_SEALED_BYTES, record->sealed, record->sealed_n);
    to->old_n = record->sealed_n;
    const enum mien_code code = mien_template_seal(r->gallery->keyring, &t, &to->record, r->sealed + (size_t)r->n * MIEN_SEALED_BYTES, e);
    explicit_bzero(&t, sizeof t);
    r->n += code == MIEN_OK;
    r->stale++;
    return code;
}

/* Walks until a walk finds nothing under an older key. */
static enum mien_code reseal_all(struct rotation *r, struct mien_err *e)
{
    struct mien_store *s = r->gallery->store;
    for (int pass = 0; pass < ROTATION_PASSES; pass++) {
        r->stale = 0;
        MIEN_TRY(s->each_record(s, take_stale, r, e));
        MIEN_TRY(write_resealed(r, e));
        if (r->stale == 0) return MIEN_OK;
    }
    return MIEN_FAIL(e, MIEN_E_STORE, "records under the old key keep coming: another server still uses it");
}

static enum mien_code rotate(struct mien_gallery *g, struct rotation *r, struct mien_err *e)
{
    const bool own_file = mien_keyring_has_file(g->keyring);
    MIEN_FAIL_IF(own_file && g->store->follow != NULL, e, MIEN_E_REQUEST,
                 "other servers share this gallery: set a new BIOMETRIC_TEMPLATE_KEY and the old one as BIOMETRIC_TEMPLATE_KEY_PREVIOUS on all of them");
    if (own_file) {
        pthread_mutex_lock(&g->writing);
        const enum mien_code code = mien_keyring_add(g->keyring, e);
        pthread_mutex_unlock(&g->writing);
        MIEN_TRY(code);
    }
    MIEN_TRY(reseal_all(r, e));
    return own_file ? mien_keyring_forget_old(g->keyring, e) : MIEN_OK;
}

enum mien_code mien_gallery_rotate(struct mien_gallery *g, uint64_t *done, struct mien_err *e)
{
    struct rotation *r = calloc(1, sizeof *r);
    uint8_t *bytes = malloc(2 * (size_t)RESEALS * MIEN_SEALED_BYTES);
    enum mien_code code = MIEN_OK;
    *done = 0;
    if (r == NULL || bytes == NULL) {
        code = MIEN_FAIL(e, MIEN_E_NOMEM, "no memory for the rotation");
    } else {
        r->gallery = g;
        r->sealed = bytes;
        r->old = bytes + (size_t)RESEALS * MIEN_SEALED_BYTES;
        pthread_mutex_lock(&g->rotating);
        code = rotate(g, r, e);
        pthread_mutex_unlock(&g->rotating);
        *done = r->done;
    }
    free(bytes);
    free(r);
    return code;
}

/* ---- state ---- */

struct mien_gallery_state mien_gallery_state(struct mien_gallery *g)
{
    struct mien_gallery_state s = {.unreadable = g->unreadable, .other_model = g->other_model, .kind = g->store->kind};
    s.available = g->store->alive(g->store);
    pthread_rwlock_rdlock(&g->swap);
    s.index = mien_index_state(g->index);
    pthread_rwlock_unlock(&g->swap);
    return s;
}

const char *mien_gallery_model(const struct mien_gallery *g) { return g->model; }
int mien_gallery_dim(const struct mien_gallery *g) { return g->dim; }
