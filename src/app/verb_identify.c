/* mien eval identification: searches of a gallery in which half of the people are enrolled (open set), by the index or a whole gallery over a store.
 *
 * Who is enrolled, and in which order, is decided by a hash of the name: the same for the same names, and without regard to the alphabet. A person is enrolled
 * with the first photo; the other photos are mated searches. Every photo of the people who are not enrolled is a non-mated search. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/labelled.h"
#include "app/people.h"
#include "base/thread.h"
#include "codec/hex.h"
#include "crypto/random.h"

enum { SMALLEST_GALLERY = 100, MAX_SIZES = 24, TARGETS = 3, WRITE_AT_ONCE = 256, ID_ROOM = 32 };
static const double TARGET[TARGETS] = {1e-1, 1e-2, 1e-3};

struct size_result {
    size_t gallery, mated;
    struct mien_search_point at[TARGETS], at_model_threshold;
};

struct identification {
    struct mien_cli *cli;
    const char *images, *kind, *face;
    struct mien_labelling how;
    struct mien_labelled photos;
    uint32_t *order;          /* people by hash; the first `enrolled` of them are enrolled */
    size_t *first;            /* of each person: the first photo; persons + 1 of them */
    size_t enrolled, no_template; /* of those: whose photo shows no face */
    /* what is searched: the index alone, or a gallery */
    struct mien_index *index;
    struct mien_people people;
    char folder[MIEN_PATH];   /* of a SQLite gallery; "" = none was made */
    struct mien_searches searches;
    struct size_result size[MAX_SIZES];
    int sizes;
};

/* ---- who is enrolled ---- */

struct hashed { uint64_t hash; const char *name; uint32_t person; };

static uint64_t hash_of(const char *name) /* FNV-1a, then mixed (Murmur's finaliser): the low bits of FNV alone are poor */
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name != '\0'; name++) h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
    h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 33;
}

static int by_hash(const void *a, const void *b)
{
    const struct hashed *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return strcmp(x->name, y->name);
}

static enum mien_code choose_enrolled(struct identification *d, struct mien_err *e)
{
    const struct mien_labelled *l = &d->photos;
    struct hashed *h = mien_arena_calloc(l->arena, l->persons, sizeof *h);
    d->order = mien_arena_calloc(l->arena, l->persons, sizeof *d->order);
    d->first = mien_arena_calloc(l->arena, l->persons + 1, sizeof *d->first);
    MIEN_FAIL_IF(h == NULL || d->order == NULL || d->first == NULL, e, MIEN_E_NOMEM, "out of memory");
    for (size_t i = l->n; i-- > 0;) d->first[l->person[i]] = i;
    d->first[l->persons] = l->n;
    for (size_t p = 0; p < l->persons; p++) h[p] = (struct hashed){hash_of(l->name[p]), l->name[p], (uint32_t)p};
    qsort(h, l->persons, sizeof *h, by_hash);
    for (size_t p = 0; p < l->persons; p++) d->order[p] = h[p].person;
    d->enrolled = l->persons / 2;
    MIEN_FAIL_IF(d->enrolled == 0, e, MIEN_E_ARG, "%.150s: photos of at least 2 people are needed", d->images);
    return MIEN_OK;
}

/* ---- what is searched ---- */

static enum mien_code make_folder(struct identification *d, struct mien_err *e)
{
    const char *temporary = getenv("TMPDIR");
    snprintf(d->folder, sizeof d->folder, "%s/mien-eval-XXXXXX", temporary != NULL && temporary[0] == '/' ? temporary : "/tmp");
    if (mkdtemp(d->folder) != NULL) return MIEN_OK;
    d->folder[0] = '\0';
    return MIEN_FAIL(e, MIEN_E_IO, "no temporary folder can be made");
}

/* Nobody's gallery is written to. */
static enum mien_code check_empty(struct mien_store *store, struct mien_err *e)
{
    uint64_t users = 0, records = 0;
    MIEN_TRY(store->count(store, &users, &records, e));
    MIEN_FAIL_IF(users > 0, e, MIEN_E_ARG, "REDIS_URL: people are enrolled there; the measurement needs an empty one");
    return MIEN_OK;
}

static enum mien_code open_gallery(struct identification *d, struct mien_err *e)
{
    const char *url = getenv("REDIS_URL");
    const bool redis = strcmp(d->kind, "redis") == 0;
    const struct mien_model *model = d->photos.embed;
    unsigned char random[32];
    char key[2 * sizeof random + 1];
    struct mien_serve_settings s = {.redis_url = "", .template_key = key, .template_key_previous = "", .template_salt = "", .data_folder = "",
                                    .embedding_model = "", .embedding_dim = model->dim};
    MIEN_FAIL_IF(redis && (url == NULL || url[0] == '\0'), e, MIEN_E_CONFIG, "REDIS_URL: is needed for --gallery redis");
    MIEN_TRY(mien_random(random, sizeof random, e));
    mien_hex(random, sizeof random, key);
    MIEN_TRY(make_folder(d, e));
    s.data_dir = d->folder;
    if (redis) s.redis_url = url;
    MIEN_TRY(mien_people_store(&s, false, &d->people, e));
    MIEN_TRY(check_empty(d->people.store, e));
    const enum mien_code code = mien_people_gallery(&s, d->photos.models, &d->people, e);
    explicit_bzero(random, sizeof random);
    explicit_bzero(key, sizeof key);
    return code;
}

static enum mien_code open_searched(struct identification *d, struct mien_err *e)
{
    return strcmp(d->kind, "memory") == 0 ? mien_index_create(d->photos.embed->dim, &d->index, e) : open_gallery(d, e);
}

static void user_id_of(uint32_t person, char id[ID_ROOM]) { snprintf(id, ID_ROOM, "mien-eval/%07u", person); }

static const float *row_of(const struct identification *d, size_t photo) { return d->photos.row + photo * (size_t)d->photos.embed->dim; }

/* Enrols the people at from..to of the order, some at once: a write each would measure the disk. */
static enum mien_code enroll(struct identification *d, size_t from, size_t to, struct mien_err *e)
{
    char id[WRITE_AT_ONCE][ID_ROOM];
    struct mien_enrolment one[WRITE_AT_ONCE];
    struct mien_template t;
    int n = 0;
    for (size_t i = from; i < to; i++) {
        const uint32_t person = d->order[i];
        const size_t photo = d->first[person];
        user_id_of(person, id[n]);
        if (!d->photos.present[photo]) {
            d->no_template++;
        } else if (d->index != NULL) {
            MIEN_TRY(mien_template_make(row_of(d, photo), d->photos.embed->dim, NULL, 0, &t, e));
            MIEN_TRY(mien_index_set(d->index, id[n], "", t.rgb, 1, e));
            explicit_bzero(&t, sizeof t);
        } else {
            one[n] = (struct mien_enrolment){.user_id = id[n], .rgb = row_of(d, photo)};
            n++;
        }
        if (n == WRITE_AT_ONCE || (n > 0 && i + 1 == to)) {
            MIEN_TRY(mien_gallery_enroll(d->people.gallery, one, n, e));
            n = 0;
        }
    }
    if (n > 0) MIEN_TRY(mien_gallery_enroll(d->people.gallery, one, n, e)); /* the last one of all had no face */
    return MIEN_OK;
}

static enum mien_code search(struct identification *d, const float *queries, int n, struct mien_hit *hits, int *counts, struct mien_err *e)
{
    if (d->index != NULL) return mien_index_search(d->index, queries, n, 1, -1.0f, hits, counts, e);
    return mien_gallery_search(d->people.gallery, queries, n, 1, -1.0f, hits, counts, e);
}

/* ---- searches ---- */

/* Searches that wait to be made together, as a server does under load. */
struct batch {
    struct identification *d;
    float query[MIEN_MAX_QUERIES * MIEN_TEMPLATE_DIM];
    float *to[MIEN_MAX_QUERIES];      /* where the score goes */
    uint32_t mate[MIEN_MAX_QUERIES];  /* UINT32_MAX: none */
    int n;
};

static enum mien_code flush(struct batch *b, struct mien_err *e)
{
    struct mien_hit hit[MIEN_MAX_QUERIES];
    int count[MIEN_MAX_QUERIES];
    char id[ID_ROOM];
    if (b->n == 0) return MIEN_OK;
    MIEN_TRY(search(b->d, b->query, b->n, hit, count, e));
    for (int i = 0; i < b->n; i++) {
        user_id_of(b->mate[i], id);
        const bool counts = count[i] > 0 && (b->mate[i] == UINT32_MAX || strcmp(hit[i].user_id, id) == 0);
        *b->to[i] = counts ? hit[i].similarity : -2.0f;
    }
    b->n = 0;
    return MIEN_OK;
}

static enum mien_code add_search(struct batch *b, size_t photo, uint32_t mate, float *to, struct mien_err *e)
{
    const size_t dim = (size_t)b->d->photos.embed->dim;
    *to = -2.0f;
    if (!b->d->photos.present[photo]) return MIEN_OK;
    memcpy(b->query + (size_t)b->n * dim, row_of(b->d, photo), dim * sizeof(float));
    b->to[b->n] = to;
    b->mate[b->n++] = mate;
    return b->n == MIEN_MAX_QUERIES ? flush(b, e) : MIEN_OK;
}

static enum mien_code search_all(struct identification *d, size_t gallery, struct mien_err *e)
{
    struct mien_searches *s = &d->searches;
    struct batch *b = calloc(1, sizeof *b);
    enum mien_code code = b != NULL ? MIEN_OK : MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory");
    s->n_mated = s->n_non_mated = 0;
    if (b != NULL) b->d = d;
    for (size_t i = 0; code == MIEN_OK && i < d->photos.persons; i++) {
        const uint32_t person = d->order[i];
        const bool in = i < gallery, stranger = i >= d->enrolled;
        if (!in && !stranger) continue; /* will be enrolled in a larger gallery */
        for (size_t photo = d->first[person] + in; code == MIEN_OK && photo < d->first[person + 1]; photo++)
            code = add_search(b, photo, in ? person : UINT32_MAX, in ? &s->mated[s->n_mated++] : &s->non_mated[s->n_non_mated++], e);
    }
    if (code == MIEN_OK) code = flush(b, e);
    if (b != NULL) explicit_bzero(b, sizeof *b);
    free(b);
    return code;
}

static enum mien_code measure(struct identification *d, size_t gallery, struct mien_err *e)
{
    struct size_result *r = &d->size[d->sizes++];
    MIEN_TRY(search_all(d, gallery, e));
    r->gallery = gallery;
    r->mated = d->searches.n_mated;
    for (int i = 0; i < TARGETS; i++) r->at[i] = mien_eval_at_fpir(&d->searches, TARGET[i]);
    r->at_model_threshold = mien_eval_searches_at(&d->searches, (double)d->photos.embed->threshold);
    return MIEN_OK;
}

/* Galleries of 100, 200, 400, ... and all. */
static enum mien_code measure_all(struct identification *d, struct mien_err *e)
{
    size_t done = 0;
    d->searches.mated = mien_arena_calloc(d->photos.arena, d->photos.n, sizeof(float));
    d->searches.non_mated = mien_arena_calloc(d->photos.arena, d->photos.n, sizeof(float));
    MIEN_FAIL_IF(d->searches.mated == NULL || d->searches.non_mated == NULL, e, MIEN_E_NOMEM, "out of memory");
    for (size_t next = SMALLEST_GALLERY; done < d->enrolled; next *= 2) {
        const size_t size = next < d->enrolled && d->sizes < MAX_SIZES - 1 ? next : d->enrolled;
        MIEN_TRY(enroll(d, done, size, e));
        MIEN_TRY(measure(d, size, e));
        done = size;
    }
    return MIEN_OK;
}

/* ---- output ---- */

static void point_json(struct mien_jw *w, const struct mien_search_point *p)
{
    mien_jw_object(w);
    if (p->fpir_target > 0) mien_cli_number(w, "fpir_target", p->fpir_target, 3);
    mien_cli_number(w, "threshold", p->threshold, 7);
    mien_cli_count(w, "false_positives", p->false_positives);
    mien_cli_number(w, "fpir", p->fpir, 6);
    mien_cli_number(w, "fpir_low", p->fpir_low, 6);
    mien_cli_number(w, "fpir_high", p->fpir_high, 6);
    mien_cli_count(w, "misses", p->misses);
    mien_cli_number(w, "fnir", p->fnir, 6);
    mien_cli_number(w, "fnir_low", p->fnir_low, 6);
    mien_cli_number(w, "fnir_high", p->fnir_high, 6);
    mien_jw_end_object(w);
}

static void size_json(struct mien_jw *w, const struct size_result *r)
{
    mien_jw_object(w);
    mien_cli_count(w, "gallery_size", r->gallery);
    mien_cli_count(w, "mated_searches", r->mated);
    mien_jw_key(w, "at");
    mien_jw_array(w);
    for (int i = 0; i < TARGETS; i++)
        if (r->at[i].measurable) point_json(w, &r->at[i]);
    mien_jw_end_array(w);
    mien_jw_key(w, "at_model_threshold");
    point_json(w, &r->at_model_threshold);
    mien_jw_end_object(w);
}

static void result_json(struct mien_buf *b, const struct identification *d)
{
    struct mien_jw w;
    mien_jw_init(&w, b);
    mien_jw_object(&w);
    mien_jw_key(&w, "gallery");
    mien_jw_string(&w, d->kind);
    mien_jw_key(&w, "model");
    mien_jw_string(&w, d->photos.embed->id);
    mien_cli_count(&w, "photos", d->photos.n);
    mien_cli_count(&w, "persons", d->photos.persons);
    mien_cli_count(&w, "missed", d->photos.missed);
    mien_cli_count(&w, "enrolled", d->enrolled);
    mien_cli_count(&w, "not_enrolled_without_face", d->no_template);
    mien_cli_count(&w, "non_mated_searches", d->searches.n_non_mated);
    mien_jw_key(&w, "sizes");
    mien_jw_array(&w);
    for (int i = 0; i < d->sizes; i++) size_json(&w, &d->size[i]);
    mien_jw_end_array(&w);
    mien_cli_number(&w, "embed_ms", round(d->photos.embed_ms), 15);
    mien_jw_end_object(&w);
    mien_buf_adds(b, "\n");
}

static void point_text(struct mien_buf *b, const char *label, const struct size_result *r, const struct mien_search_point *p)
{
    if (!p->measurable) return;
    mien_buf_addf(b, "%8zu  %-8s %9.4f  %6llu (%.2e)  %5llu of %-6zu %6.2f %%  %6.2f..%.2f %%\n", r->gallery, label, p->threshold,
                  (unsigned long long)p->false_positives, p->fpir, (unsigned long long)p->misses, r->mated, 100 * p->fnir, 100 * p->fnir_low,
                  100 * p->fnir_high);
}

static void result_text(struct mien_buf *b, const struct identification *d)
{
    static const char *const label[TARGETS] = {"1e-1", "1e-2", "1e-3"};
    mien_buf_addf(b, "%s, gallery: %s; %zu photos of %zu people, no face found in %zu; %zu people enrolled with one photo, %zu non-mated searches\n",
                  d->photos.embed->id, d->kind, d->photos.n, d->photos.persons, d->photos.missed, d->enrolled, d->searches.n_non_mated);
    mien_buf_addf(b, "%8s  %-8s %9s  %-17s  %-25s  %s\n", "gallery", "FPIR", "threshold", "false positives", "misses and FNIR", "95 % interval of FNIR");
    for (int i = 0; i < d->sizes; i++) {
        for (int k = 0; k < TARGETS; k++) point_text(b, label[k], &d->size[i], &d->size[i].at[k]);
        point_text(b, "(model)", &d->size[i], &d->size[i].at_model_threshold);
    }
}

/* ---- the verb ---- */

static void forget_users(struct identification *d)
{
    char id[ID_ROOM];
    for (size_t i = 0; d->people.redis != NULL && d->people.gallery != NULL && i < d->enrolled; i++) {
        user_id_of(d->order[i], id);
        if (mien_gallery_delete(d->people.gallery, id, NULL) == MIEN_E_STORE) return; /* lost: nothing more can be done */
    }
}

static void clean_up(struct identification *d)
{
    static const char *const file[] = {"gallery.db", "gallery.db-wal", "gallery.db-shm", "gallery.db.lock"};
    char path[MIEN_PATH + 32];
    forget_users(d);
    mien_people_close(&d->people);
    mien_index_free(&d->index);
    for (size_t i = 0; d->folder[0] != '\0' && i < sizeof file / sizeof file[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", d->folder, file[i]);
        unlink(path);
    }
    if (d->folder[0] != '\0') rmdir(d->folder);
    mien_labelled_free(&d->photos);
}

static enum mien_code run(struct identification *d, struct mien_err *e)
{
    MIEN_TRY(mien_labelled_read(d->images, false, &d->photos, e));
    MIEN_TRY(choose_enrolled(d, e));
    MIEN_TRY(mien_labelled_embed(d->cli, &d->how, &d->photos, e));
    MIEN_TRY(open_searched(d, e));
    return measure_all(d, e);
}

int mien_verb_eval_identification(struct mien_cli *cli, int argc, char **argv)
{
    static struct identification d; /* static for its size only */
    const struct mien_opt opts[] = {
        {"images", MIEN_OPT_TEXT, &d.images, "DIR", "photos: DIR/NAME/PHOTO.jpg (required)", 0, 0},
        {"gallery", MIEN_OPT_TEXT, &d.kind, "KIND", "what is searched: memory (the index, default), sqlite (a temporary file), redis (REDIS_URL, empty)", 0, 0},
        {"threads", MIEN_OPT_INT, &d.how.threads, "N", "workers (default: one a processor)", 1, 256},
        {"model", MIEN_OPT_TEXT, &d.how.model_id, "ID", "embed with this installed model instead of the pack's", 0, 0},
        {"face", MIEN_OPT_TEXT, &d.face, "WHICH", "of several faces: center (default) or largest", 0, 0}};
    struct mien_err e = {0};
    struct mien_buf b;
    int first;
    d = (struct identification){.cli = cli, .kind = "memory", .face = "center", .how.threads = mien_cpu_count()};
    const int status = mien_cli_parse(cli, argc, argv, opts, 5, 0, 0, &first);
    if (status >= 0) return status;
    if (d.images == NULL) return mien_cli_error("eval identification needs --images DIR");
    if (strcmp(d.kind, "memory") != 0 && strcmp(d.kind, "sqlite") != 0 && strcmp(d.kind, "redis") != 0)
        return mien_cli_error("--gallery is memory, sqlite or redis, not '%s'", d.kind);
    if (strcmp(d.face, "center") != 0 && strcmp(d.face, "largest") != 0) return mien_cli_error("--face is center or largest, not '%s'", d.face);
    d.how.largest = strcmp(d.face, "largest") == 0;
    mien_buf_init(&b, MIEN_OUTPUT_BYTES);
    const enum mien_code code = run(&d, &e);
    if (code == MIEN_OK && cli->json) result_json(&b, &d);
    else if (code == MIEN_OK) result_text(&b, &d);
    clean_up(&d);
    return mien_cli_end(code, &b, MIEN_EXIT_YES, &e);
}
