/* The search index. Rows (templates) lie in chunks that never move; users are found by a hash table and own a chain of rows. A search takes the read lock for a
 * block of rows at a time, so that a change waits a fraction of a millisecond; what changed meanwhile is in a log, which the search reads at its end.
 *
 * Rounding: with u the query and v a template, s_u q_u and s_v q_v their bytes times their scales, and e the rounding errors,
 *     |u.v - s_u s_v q_u.q_v| = |e_u.(s_v q_v) + u.e_v| <= |e_u| |s_v q_v| + |u| |e_v|        (Cauchy and Schwarz)
 * so a row whose approximate similarity plus this bound is below the cutoff cannot be among the best. */
#include "gallery/index.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "gallery/half.h"
#include "gallery/scan.h"

enum {
    CHUNK_SHIFT = 16, CHUNK = 1 << CHUNK_SHIFT, MAX_CHUNKS = 4096,
    BLOCK = 4096,               /* rows under one lock */
    LOG = 1 << 16,              /* changes that a search can catch up with */
    TRIES = 3,                  /* searches that give way to changes; the next holds the lock throughout */
    MAX_DIM = 1024, FIRST_USERS = 256
};
_Static_assert(MAX_DIM <= (int)MIEN_SCAN_STRIDE && (int)MIEN_MAX_QUERIES <= (int)MIEN_SCAN_QUERIES && BLOCK % (int)MIEN_SCAN_GROUP == 0,
               "the kernels' limits");
static const uint32_t NONE = UINT32_MAX;
static const float ROUNDING = 2e-5f; /* of float32 sums of 1024 products */
static const double MOST_LENGTH = 1e6; /* of a query, which should be 1: far from where float32 overflows */
static const float LONGEST = 1.001f; /* a unit vector, its numbers rounded to halves */

struct chunk {
    uint8_t *bytes;             /* CHUNK x stride, in groups of rows */
    uint16_t *half;             /* CHUNK x dim */
    float *scale, *error;       /* error -INFINITY: the row is free */
    uint32_t *user, *next;      /* owner; next row of the owner, or of the free rows */
};

struct user {
    char *text;                 /* id, NUL, name, NUL; NULL: the entry is free */
    uint32_t row, next;         /* first row; next user of the bucket, or of the free entries */
    uint32_t hash, born;        /* born: the change that made it, its low bits */
};

struct mien_index {
    pthread_rwlock_t lock;
    int dim, stride;
    struct chunk chunk[MAX_CHUNKS];
    uint32_t rows, free_row;    /* rows ever used; chain of free ones */
    uint64_t live;
    struct user *user;
    uint32_t users, user_room, free_user, people; /* entries ever used, room, chain of free ones; users now */
    uint32_t *bucket, buckets;  /* a power of 2 */
    size_t text_bytes;
    uint64_t changes;           /* so far */
    uint32_t log[LOG];          /* the user of change i at i % LOG */
};

/* A template on its way into the index. */
struct fresh { float scale, error; uint8_t *bytes; };

/* ---- memory ---- */

static void *map(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    madvise(p, n, MADV_HUGEPAGE);
    madvise(p, n, MADV_DONTDUMP);
    return p;
}

static size_t row_bytes(const struct mien_index *x) { return (size_t)x->stride + 2 * (size_t)x->dim; }

static bool make_chunk(struct mien_index *x, struct chunk *c)
{
    uint8_t *rows = map(CHUNK * row_bytes(x));
    float *about = map(CHUNK * 16);
    if (rows == NULL || about == NULL) {
        if (rows != NULL) munmap(rows, CHUNK * row_bytes(x));
        if (about != NULL) munmap(about, CHUNK * 16);
        return false;
    }
    *c = (struct chunk){.bytes = rows, .half = (uint16_t *)(void *)(rows + (size_t)CHUNK * (size_t)x->stride), .scale = about, .error = about + CHUNK};
    c->user = (uint32_t *)(void *)(about + 2 * CHUNK);
    c->next = c->user + CHUNK;
    return true;
}

static void free_chunk(const struct mien_index *x, struct chunk *c, uint32_t used)
{
    if (c->bytes == NULL) return;
    explicit_bzero(c->bytes, (used + MIEN_SCAN_GROUP - 1) / MIEN_SCAN_GROUP * MIEN_SCAN_GROUP * (size_t)x->stride);
    explicit_bzero(c->half, used * 2 * (size_t)x->dim);
    munmap(c->bytes, CHUNK * row_bytes(x));
    munmap(c->scale, CHUNK * 16);
}

static struct chunk *chunk_of(struct mien_index *x, uint32_t row) { return &x->chunk[row >> CHUNK_SHIFT]; }
static uint32_t in_chunk(uint32_t row) { return row & (CHUNK - 1); }
static uint16_t *half_of(struct mien_index *x, uint32_t row) { return chunk_of(x, row)->half + (size_t)in_chunk(row) * (size_t)x->dim; }

/* The group that a row lies in (scan.h), and a row's bytes into it; NULL: zeros. */
static uint8_t *group_of(struct mien_index *x, uint32_t row)
{
    return chunk_of(x, row)->bytes + (size_t)(in_chunk(row) - row % MIEN_SCAN_GROUP) * (size_t)x->stride;
}
static void put_bytes(struct mien_index *x, uint32_t row, const uint8_t *bytes)
{
    static const uint8_t zeros[4] = {128, 128, 128, 128};
    uint8_t *to = group_of(x, row) + 4 * (row % MIEN_SCAN_GROUP);
    for (int i = 0; i < x->stride; i += 4) memcpy(to + (MIEN_SCAN_LINE / 4) * i, bytes != NULL ? bytes + i : zeros, 4);
}

enum mien_code mien_index_create(int dim, struct mien_index **out, struct mien_err *e)
{
    pthread_rwlockattr_t how;
    *out = NULL;
    MIEN_FAIL_IF(dim < 1 || dim > MAX_DIM, e, MIEN_E_ARG, "an index is of 1 to %d dimensions", MAX_DIM);
    struct mien_index *x = calloc(1, sizeof *x);
    if (x != NULL) x->bucket = malloc(FIRST_USERS * sizeof *x->bucket);
    if (x != NULL) x->user = malloc(FIRST_USERS * sizeof *x->user);
    if (x == NULL || x->bucket == NULL || x->user == NULL) {
        if (x != NULL) {
            free(x->bucket);
            free(x->user);
        }
        free(x);
        return MIEN_FAIL(e, MIEN_E_NOMEM, "no memory for the index");
    }
    memset(x->bucket, 0xff, FIRST_USERS * sizeof *x->bucket);
    x->dim = dim;
    x->stride = (dim + MIEN_SCAN_LINE - 1) / MIEN_SCAN_LINE * MIEN_SCAN_LINE;
    x->buckets = x->user_room = FIRST_USERS;
    x->free_row = x->free_user = NONE;
    pthread_rwlockattr_init(&how);
    pthread_rwlockattr_setkind_np(&how, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP); /* searches come without end */
    pthread_rwlock_init(&x->lock, &how);
    pthread_rwlockattr_destroy(&how);
    *out = x;
    return MIEN_OK;
}

void mien_index_free(struct mien_index **index)
{
    struct mien_index *x = *index;
    if (x == NULL) return;
    for (uint32_t c = 0; c < MAX_CHUNKS; c++)
        free_chunk(x, &x->chunk[c], c < x->rows >> CHUNK_SHIFT ? CHUNK : c == x->rows >> CHUNK_SHIFT ? in_chunk(x->rows) : 0);
    for (uint32_t i = 0; i < x->users; i++) free(x->user[i].text);
    free(x->user);
    free(x->bucket);
    pthread_rwlock_destroy(&x->lock);
    free(x);
    *index = NULL;
}

/* ---- users ---- */

/* FNV-1a (Fowler, Noll, Vo), its bits mixed once more for the low ones. User ids come with a key that may write, so this need not withstand an attack. */
static uint32_t hash_of(const char *s)
{
    uint32_t h = 2166136261u;
    for (; *s != '\0'; s++) h = (h ^ (unsigned char)*s) * 16777619u;
    return h ^ h >> 15;
}

static uint32_t find_user(const struct mien_index *x, const char *id, uint32_t hash)
{
    uint32_t i = x->bucket[hash & (x->buckets - 1)];
    while (i != NONE && (x->user[i].hash != hash || strcmp(x->user[i].text, id) != 0)) i = x->user[i].next;
    return i;
}

/* Room for one more user in the table and the buckets. */
static bool reserve_user(struct mien_index *x)
{
    if (x->free_user != NONE || x->users < x->user_room) return true;
    const uint32_t room = 2 * x->user_room;
    struct user *more = realloc(x->user, room * sizeof *more);
    if (more == NULL) return false;
    x->user = more;
    uint32_t *bucket = malloc(room * sizeof *bucket);
    if (bucket == NULL) return false; /* the larger table does no harm */
    memset(bucket, 0xff, room * sizeof *bucket);
    for (uint32_t i = 0; i < x->users; i++) {
        if (x->user[i].text == NULL) continue;
        uint32_t *head = &bucket[x->user[i].hash & (room - 1)];
        x->user[i].next = *head;
        *head = i;
    }
    free(x->bucket);
    x->bucket = bucket;
    x->buckets = x->user_room = room;
    return true;
}

static size_t text_size(const char *text)
{
    const size_t id = strlen(text) + 1;
    return id + strlen(text + id) + 1;
}

static uint32_t add_user(struct mien_index *x, uint32_t hash)
{
    uint32_t i = x->free_user;
    if (i != NONE) x->free_user = x->user[i].next;
    else i = x->users++;
    uint32_t *head = &x->bucket[hash & (x->buckets - 1)];
    x->user[i] = (struct user){.row = NONE, .next = *head, .hash = hash, .born = (uint32_t)x->changes};
    *head = i;
    x->people++;
    return i;
}

static void drop_user(struct mien_index *x, uint32_t i)
{
    uint32_t *at = &x->bucket[x->user[i].hash & (x->buckets - 1)];
    while (*at != i) at = &x->user[*at].next;
    *at = x->user[i].next;
    x->text_bytes -= text_size(x->user[i].text);
    free(x->user[i].text);
    x->user[i] = (struct user){.row = NONE, .next = x->free_user};
    x->free_user = i;
    x->people--;
}

/* ---- rows ---- */

/* v as bytes, and the length of what rounding took away; a little more, for the rounding of that sum. */
static void quantize(const struct mien_index *x, const float *v, int8_t *bytes, float *scale, float *error)
{
    *error = sqrtf(mien_scan_best()->quantize(v, x->dim, bytes, scale)) * 1.001f;
    memset(bytes + x->dim, 0, (size_t)(x->stride - x->dim));
}

/* Not finite when one of its numbers is not. */
static double length_of(const float *v, int dim)
{
    double sum = 0;
    for (int i = 0; i < dim; i++) sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

static bool prepare(const struct mien_index *x, const uint16_t *templates, int n, struct fresh *out)
{
    float v[MAX_DIM];
    for (int k = 0; k < n; k++) {
        mien_half_to_float(templates + (size_t)k * (size_t)x->dim, v, (size_t)x->dim);
        if (!(length_of(v, x->dim) <= (double)LONGEST)) return false; /* or no number */
        int8_t *bytes = (int8_t *)out[k].bytes;
        quantize(x, v, bytes, &out[k].scale, &out[k].error);
        for (int i = 0; i < x->stride; i++) out[k].bytes[i] = (uint8_t)(bytes[i] + 128);
    }
    explicit_bzero(v, sizeof v);
    return true;
}

/* Makes sure that `n` rows can be taken without failing. */
static bool reserve_rows(struct mien_index *x, int n)
{
    const uint64_t last = (uint64_t)x->rows + (uint64_t)n - 1;
    if (last >= (uint64_t)MAX_CHUNKS << CHUNK_SHIFT) return false;
    for (uint32_t c = x->rows >> CHUNK_SHIFT; c <= last >> CHUNK_SHIFT; c++)
        if (x->chunk[c].bytes == NULL && !make_chunk(x, &x->chunk[c])) return false;
    return true;
}

static void release_row(struct mien_index *x, uint32_t row)
{
    struct chunk *c = chunk_of(x, row);
    const uint32_t i = in_chunk(row);
    explicit_bzero(half_of(x, row), 2 * (size_t)x->dim);
    put_bytes(x, row, NULL);
    c->error[i] = -INFINITY;
    c->scale[i] = 0;
    c->user[i] = NONE;
    c->next[i] = x->free_row;
    x->free_row = row;
    x->live--;
}

static void add_row(struct mien_index *x, uint32_t user, const struct fresh *f, const uint16_t *half)
{
    uint32_t row = x->free_row;
    if (row != NONE) x->free_row = chunk_of(x, row)->next[in_chunk(row)];
    else row = x->rows++;
    struct chunk *c = chunk_of(x, row);
    const uint32_t i = in_chunk(row);
    put_bytes(x, row, f->bytes);
    memcpy(half_of(x, row), half, 2 * (size_t)x->dim);
    c->scale[i] = f->scale;
    c->error[i] = f->error;
    c->user[i] = user;
    c->next[i] = x->user[user].row;
    x->user[user].row = row;
    x->live++;
}

static void release_rows(struct mien_index *x, uint32_t user)
{
    for (uint32_t row = x->user[user].row; row != NONE;) {
        const uint32_t next = chunk_of(x, row)->next[in_chunk(row)];
        release_row(x, row);
        row = next;
    }
    x->user[user].row = NONE;
}

/* Under the write lock. Takes `text`. */
static bool set_user(struct mien_index *x, char *text, const uint16_t *templates, const struct fresh *fresh, int n)
{
    const uint32_t hash = hash_of(text);
    uint32_t i = find_user(x, text, hash);
    if (n > 0 && (!reserve_rows(x, n) || (i == NONE && !reserve_user(x)))) return false;
    if (i == NONE && n == 0) {
        free(text);
        return true;
    }
    if (i == NONE) i = add_user(x, hash);
    else release_rows(x, i);
    x->log[x->changes++ % LOG] = i;
    for (int k = n - 1; k >= 0; k--) add_row(x, i, &fresh[k], templates + (size_t)k * (size_t)x->dim);
    if (x->user[i].text != NULL) x->text_bytes -= text_size(x->user[i].text);
    free(x->user[i].text);
    x->user[i].text = text;
    x->text_bytes += text_size(text);
    if (n == 0) drop_user(x, i);
    return true;
}

static char *text_of(const char *id, const char *name)
{
    const size_t a = strlen(id) + 1, b = strlen(name != NULL ? name : "") + 1;
    char *text = malloc(a + b);
    if (text == NULL) return NULL;
    memcpy(text, id, a);
    memcpy(text + a, name != NULL ? name : "", b);
    return text;
}

enum mien_code mien_index_set(struct mien_index *x, const char *user_id, const char *name, const uint16_t *templates, int n, struct mien_err *e)
{
    MIEN_FAIL_IF(n < 0 || n > MIEN_USER_TEMPLATES || !mien_user_id_valid(user_id) || (name != NULL && strlen(name) > MIEN_USER_NAME), e, MIEN_E_ARG,
                 "a user's id, name or number of templates is out of range");
    struct fresh fresh[MIEN_USER_TEMPLATES];
    uint8_t *bytes = malloc((size_t)(n + 1) * (size_t)x->stride);
    char *text = text_of(user_id, name);
    for (int k = 0; k < n && bytes != NULL; k++) fresh[k].bytes = bytes + (size_t)k * (size_t)x->stride;
    const bool memory = bytes != NULL && text != NULL, sound = memory && prepare(x, templates, n, fresh);
    bool done = false;
    if (sound) {
        pthread_rwlock_wrlock(&x->lock);
        done = set_user(x, text, templates, fresh, n);
        pthread_rwlock_unlock(&x->lock);
    }
    if (!done) free(text);
    if (bytes != NULL) explicit_bzero(bytes, (size_t)n * (size_t)x->stride);
    free(bytes);
    MIEN_FAIL_IF(memory && !sound, e, MIEN_E_ARG, "a template is not a unit vector");
    MIEN_FAIL_IF(!done, e, MIEN_E_NOMEM, "no memory for a template in the index");
    return MIEN_OK;
}

struct mien_index_state mien_index_state(struct mien_index *x)
{
    pthread_rwlock_rdlock(&x->lock);
    const size_t per_row = row_bytes(x) + 16;
    const struct mien_index_state s = {.users = x->people, .templates = x->live,
                                       .bytes = sizeof *x + x->rows * per_row + x->user_room * (sizeof *x->user + sizeof *x->bucket) + x->text_bytes};
    pthread_rwlock_unlock(&x->lock);
    return s;
}

/* ---- search ---- */

struct best { float similarity; uint32_t user; };

struct query {
    const float *v;
    float scale, error, norm;
    int32_t shift;              /* what the rows' offset of 128 adds to every sum */
    struct best best[MIEN_MAX_HITS];
    int n;
};

struct search {
    struct mien_index *index;
    const struct mien_scan *scan;
    struct query query[MIEN_MAX_QUERIES];
    int n, top_k;
    float threshold;
    int8_t bytes[MIEN_MAX_QUERIES * MAX_DIM] __attribute__((aligned(64)));
    int32_t dot[MIEN_MAX_QUERIES * BLOCK];
    int candidate[BLOCK];
};

static float cutoff_of(const struct search *s, const struct query *q) { return q->n < s->top_k ? s->threshold : q->best[q->n - 1].similarity; }

/* A user in a list may have been deleted since: catch_up will see it. */
static const char *id_of(const struct mien_index *x, uint32_t user) { return x->user[user].text != NULL ? x->user[user].text : ""; }

/* Whether a comes before b in an answer. */
static bool before(const struct mien_index *x, struct best a, struct best b)
{
    if (a.similarity > b.similarity) return true;
    return !(a.similarity < b.similarity) && strcmp(id_of(x, a.user), id_of(x, b.user)) < 0;
}

static void take_out(struct query *q, int i)
{
    q->n--;
    memmove(&q->best[i], &q->best[i + 1], (size_t)(q->n - i) * sizeof q->best[0]);
}

/* Puts one of a user's similarities into the list, which has a user once, by his largest. */
static void offer(const struct search *s, struct query *q, struct best b)
{
    int i = 0;
    if (b.similarity < s->threshold) return;
    while (i < q->n && q->best[i].user != b.user) i++;
    if (i < q->n && q->best[i].similarity >= b.similarity) return;
    if (i < q->n) take_out(q, i);
    else if (q->n == s->top_k && !before(s->index, b, q->best[q->n - 1])) return;
    else if (q->n == s->top_k) q->n--;
    i = q->n++;
    for (; i > 0 && before(s->index, b, q->best[i - 1]); i--) q->best[i] = q->best[i - 1];
    q->best[i] = b;
}

/* `n` rows of one chunk from `first` on, under the read lock. */
static void scan_rows(struct search *s, uint32_t first, int n)
{
    struct mien_index *x = s->index;
    const struct chunk *c = chunk_of(x, first);
    const uint32_t at = in_chunk(first);
    s->scan->dots(group_of(x, first), n, x->stride, s->bytes, s->n, s->dot);
    for (int k = 0; k < s->n; k++) {
        struct query *q = &s->query[k];
        /* |s_v q_v| <= |v| + |e_v| */
        const struct mien_scan_bound bound = {.slope = q->scale, .weight = q->norm + q->error, .slack = LONGEST * q->error + ROUNDING * fmaxf(q->norm, 1.0f),
                                              .shift = q->shift, .cutoff = cutoff_of(s, q)};
        const int found = s->scan->candidates(s->dot + (size_t)k * (size_t)n, c->scale + at, c->error + at, n, &bound, s->candidate);
        for (int i = 0; i < found; i++) {
            const uint32_t row = first + (uint32_t)s->candidate[i], r = at + (uint32_t)s->candidate[i];
            /* The cutoff has risen since the row was named a candidate: most need no exact look any more. */
            const float upper = bound.slope * c->scale[r] * (float)(s->dot[(size_t)k * (size_t)n + (size_t)s->candidate[i]] - bound.shift) +
                                bound.weight * c->error[r] + bound.slack;
            if (upper >= cutoff_of(s, q)) offer(s, q, (struct best){s->scan->exact(half_of(x, row), q->v, x->dim), c->user[r]});
        }
    }
}

static void scan_all(struct search *s, bool hold)
{
    struct mien_index *x = s->index;
    for (uint32_t first = 0;;) {
        if (!hold) pthread_rwlock_rdlock(&x->lock);
        const uint32_t rest = x->rows > first ? x->rows - first : 0, in_this = CHUNK - in_chunk(first);
        const uint32_t most = rest < in_this ? rest : in_this, n = most < BLOCK ? most : BLOCK;
        if (n > 0) scan_rows(s, first, (int)n);
        if (!hold) pthread_rwlock_unlock(&x->lock);
        if (n == 0) return;
        first += n;
    }
}

/* Best similarity of a user's rows; -INFINITY without any. */
static float best_of(struct search *s, const struct query *q, uint32_t user)
{
    struct mien_index *x = s->index;
    float most = -INFINITY;
    for (uint32_t row = x->user[user].row; row != NONE; row = chunk_of(x, row)->next[in_chunk(row)])
        most = fmaxf(most, s->scan->exact(half_of(x, row), q->v, x->dim));
    return most;
}

/* Brings in what changed since change number `since`, under the read lock. False: somebody in a list is less similar than he was, or gone, and whom he
 * kept out is not known any more; or too much has changed. */
static bool catch_up(struct search *s, uint64_t since)
{
    struct mien_index *x = s->index;
    if (x->changes - since > LOG) return false;
    for (uint64_t i = since; i < x->changes; i++) {
        const uint32_t user = x->log[i % LOG];
        const bool anew = (uint32_t)(x->user[user].born - (uint32_t)since) < LOG; /* may be another's entry now, whose place among equals differs */
        for (int k = 0; k < s->n; k++) {
            struct query *q = &s->query[k];
            const float now = x->user[user].text != NULL ? best_of(s, q, user) : -INFINITY;
            for (int j = 0; j < q->n; j++)
                if (q->best[j].user == user && (q->best[j].similarity > now || (anew && q->best[j].similarity >= now))) return false;
            if (x->user[user].text != NULL) offer(s, q, (struct best){now, user});
        }
    }
    return true;
}

static void write_hits(const struct search *s, struct mien_hit *hits, int *counts)
{
    for (int k = 0; k < s->n; k++) {
        const struct query *q = &s->query[k];
        counts[k] = q->n;
        for (int i = 0; i < q->n; i++) {
            struct mien_hit *h = &hits[(size_t)k * (size_t)s->top_k + (size_t)i];
            const char *id = s->index->user[q->best[i].user].text, *name = id + strlen(id) + 1;
            h->similarity = q->best[i].similarity;
            memcpy(h->user_id, id, strlen(id) + 1);
            memcpy(h->name, name, strlen(name) + 1);
        }
    }
}

/* One try; the last, with `hold`, keeps changes out from its beginning to its end. */
static bool try_search(struct search *s, bool hold, struct mien_hit *hits, int *counts)
{
    struct mien_index *x = s->index;
    for (int k = 0; k < s->n; k++) s->query[k].n = 0;
    pthread_rwlock_rdlock(&x->lock);
    const uint64_t since = x->changes;
    if (!hold) pthread_rwlock_unlock(&x->lock);
    scan_all(s, hold);
    if (!hold) pthread_rwlock_rdlock(&x->lock);
    const bool good = catch_up(s, since);
    if (good) write_hits(s, hits, counts);
    pthread_rwlock_unlock(&x->lock);
    return good;
}

static bool take_query(struct search *s, int k, const float *v)
{
    const struct mien_index *x = s->index;
    struct query *q = &s->query[k];
    int8_t *bytes = s->bytes + (size_t)k * (size_t)x->stride;
    const double norm = length_of(v, x->dim);
    q->v = v;
    if (!(norm <= MOST_LENGTH)) return false;
    quantize(x, v, bytes, &q->scale, &q->error);
    q->norm = (float)norm * 1.00001f;
    for (int i = 0; i < x->stride; i++) q->shift += 128 * bytes[i];
    return true;
}

enum mien_code mien_index_search(struct mien_index *x, const float *queries, int n, int top_k, float threshold, struct mien_hit *hits, int *counts,
                                 struct mien_err *e)
{
    MIEN_FAIL_IF(n < 1 || n > MIEN_MAX_QUERIES || top_k < 1 || top_k > MIEN_MAX_HITS || isnan(threshold), e, MIEN_E_ARG,
                 "the number of queries or hits, or the threshold, is out of range");
    struct search *s = aligned_alloc(64, (sizeof *s + 63) / 64 * 64);
    MIEN_FAIL_IF(s == NULL, e, MIEN_E_NOMEM, "no memory for a search");
    memset(s, 0, offsetof(struct search, bytes));
    s->index = x;
    s->scan = mien_scan_best();
    s->n = n;
    s->top_k = top_k;
    s->threshold = fmaxf(threshold, -FLT_MAX); /* free rows are at -INFINITY */
    bool sound = true;
    for (int k = 0; k < n; k++) sound = take_query(s, k, queries + (size_t)k * (size_t)x->dim) && sound;
    for (int i = 0; sound && !try_search(s, i == TRIES, hits, counts); i++) {}
    explicit_bzero(s->bytes, sizeof s->bytes);
    free(s);
    MIEN_FAIL_IF(!sound, e, MIEN_E_ARG, "a query has a number that is not finite");
    return MIEN_OK;
}

enum mien_code mien_index_verify(struct mien_index *x, const char *user_id, const float *query, float *similarity, struct mien_err *e)
{
    const struct mien_scan *scan = mien_scan_best();
    *similarity = -INFINITY;
    MIEN_FAIL_IF(!(length_of(query, x->dim) <= MOST_LENGTH), e, MIEN_E_ARG, "a query has a number that is not finite");
    pthread_rwlock_rdlock(&x->lock);
    const uint32_t i = find_user(x, user_id, hash_of(user_id));
    for (uint32_t row = i != NONE ? x->user[i].row : NONE; row != NONE; row = chunk_of(x, row)->next[in_chunk(row)])
        *similarity = fmaxf(*similarity, scan->exact(half_of(x, row), query, x->dim));
    pthread_rwlock_unlock(&x->lock);
    MIEN_FAIL_IF(i == NONE, e, MIEN_E_NOT_ENROLLED, "no such user");
    return MIEN_OK;
}
