// needs: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=mmap
/* The search index against a list that is searched in float32 from end to end: the answers are equal to the last bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/cpu.h"
#include "gallery/half.h"
#include "gallery/index.h"
#include "gallery/scan.h"

enum { MOST_DIM = 1024 };

static _Atomic uint64_t state = 88172645463325252u;
static uint32_t next_random(void) /* xorshift64 (Marsaglia 2003); threads may lose a step */
{
    uint64_t s = state;
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    state = s;
    return (uint32_t)(s >> 32);
}
static float uniform(void) { return (float)next_random() / 4294967296.0f * 2 - 1; }

/* ---- allocations that fail ---- */

static long countdown = -1; /* until the one that fails; -1: none does */

static bool refuse(void) { return countdown >= 0 && countdown-- == 0; }
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__real_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t n) { return refuse() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return refuse() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return refuse() ? NULL : __real_realloc(p, n); }
void *__wrap_aligned_alloc(size_t align, size_t n) { return refuse() ? NULL : __real_aligned_alloc(align, n); }
void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    return refuse() ? MAP_FAILED : __real_mmap(at, n, protection, flags, fd, offset);
}

/* ---- vectors ---- */

static void unit(float *v, int dim)
{
    double sum = 0;
    for (int i = 0; i < dim; i++) sum += (double)v[i] * (double)v[i];
    for (int i = 0; i < dim; i++) v[i] = sum > 0 ? (float)((double)v[i] / sqrt(sum)) : i == 0 ? 1.0f : 0.0f;
}

enum kind { SCATTERED, NEAR, EQUAL, ONE_LARGE, SPARSE, KINDS };

/* NEAR: closer to each other than bytes can tell. ONE_LARGE: all but one number round to nothing or little. */
static void draw(enum kind kind, const float *centre, int dim, float *v)
{
    for (int i = 0; i < dim; i++) {
        v[i] = uniform();
        if (kind == NEAR) v[i] = centre[i] + 2e-3f * v[i] / sqrtf((float)dim);
        else if (kind == EQUAL) v[i] = centre[i];
        else if (kind == ONE_LARGE) v[i] = i == dim / 2 ? 1 : 3e-3f * v[i];
        else if (kind == SPARSE && next_random() % 8 != 0) v[i] = 0;
    }
    unit(v, dim);
}

/* ---- the list ---- */

struct person { char id[24], name[24]; uint16_t *half; int n; /* 0: nobody */ };
struct list { struct person *person; int n, dim; };

static struct list make_list(int n, int dim)
{
    struct list l = {.person = calloc((size_t)n, sizeof *l.person), .n = n, .dim = dim};
    for (int i = 0; i < n; i++) snprintf(l.person[i].id, sizeof l.person[i].id, "%d", (i * 7919) % 100003); /* whose order is another */
    return l;
}

static void free_list(struct list *l)
{
    for (int i = 0; i < l->n; i++) free(l->person[i].half);
    free(l->person);
}

static void set_person(struct list *l, struct mien_index *x, int who, enum kind kind, const float *centre, int n)
{
    static int version;
    float v[MOST_DIM];
    struct person *p = &l->person[who];
    p->half = realloc(p->half, sizeof *p->half * (size_t)l->dim * (size_t)(n + 1));
    p->n = n;
    snprintf(p->name, sizeof p->name, "name %d", version++);
    for (int k = 0; k < n; k++) {
        draw(kind, centre, l->dim, v);
        mien_half_from_float(v, p->half + (size_t)k * (size_t)l->dim, (size_t)l->dim);
    }
    assert_int_equal(mien_index_set(x, p->id, p->name, p->half, n, NULL), MIEN_OK);
}

static float similarity(const struct list *l, const struct person *p, const float *query)
{
    float most = -INFINITY;
    for (int k = 0; k < p->n; k++) most = fmaxf(most, mien_scan_best()->exact(p->half + (size_t)k * (size_t)l->dim, query, l->dim));
    return most;
}

struct found { float similarity; const struct person *person; };

static int by_similarity(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->similarity > y->similarity || x->similarity < y->similarity) return x->similarity > y->similarity ? -1 : 1;
    return strcmp(x->person->id, y->person->id);
}

static void compare(const struct list *l, const float *query, int top_k, float threshold, const struct mien_hit *hits, int count)
{
    struct found *all = calloc((size_t)l->n, sizeof *all);
    int n = 0;
    for (int i = 0; i < l->n; i++) {
        const float s = l->person[i].n > 0 ? similarity(l, &l->person[i], query) : -INFINITY;
        if (l->person[i].n > 0 && s >= threshold) all[n++] = (struct found){s, &l->person[i]};
    }
    qsort(all, (size_t)n, sizeof *all, by_similarity);
    assert_int_equal(count, n < top_k ? n : top_k);
    for (int i = 0; i < count; i++) {
        assert_memory_equal(&hits[i].similarity, &all[i].similarity, sizeof(float));
        assert_string_equal(hits[i].user_id, all[i].person->id);
        assert_string_equal(hits[i].name, all[i].person->name);
    }
    free(all);
}

static void search_and_compare(const struct list *l, struct mien_index *x, const float *queries, int n, int top_k, float threshold)
{
    static struct mien_hit hits[MIEN_MAX_QUERIES * MIEN_MAX_HITS];
    int counts[MIEN_MAX_QUERIES];
    assert_int_equal(mien_index_search(x, queries, n, top_k, threshold, hits, counts, NULL), MIEN_OK);
    for (int q = 0; q < n; q++) compare(l, queries + (size_t)q * (size_t)l->dim, top_k, threshold, hits + (size_t)q * (size_t)top_k, counts[q]);
}

static void check_state(const struct list *l, struct mien_index *x)
{
    uint64_t users = 0, templates = 0;
    for (int i = 0; i < l->n; i++) {
        users += l->person[i].n > 0;
        templates += (uint64_t)l->person[i].n;
    }
    const struct mien_index_state s = mien_index_state(x);
    assert_int_equal(s.users, users);
    assert_int_equal(s.templates, templates);
}

/* Queries of the kind, and each instruction set. */
static void search_all_ways(const struct list *l, struct mien_index *x, enum kind kind, const float *centre)
{
    static float queries[MIEN_MAX_QUERIES * MOST_DIM];
    static const unsigned masks[] = {~0u, MIEN_CPU_AVX2, 0};
    static const float thresholds[] = {-1, 0.3f, 0.999f, -INFINITY, INFINITY};
    for (int q = 0; q < MIEN_MAX_QUERIES; q++) draw(q % 4 == 3 ? SCATTERED : kind, centre, l->dim, queries + (size_t)q * (size_t)l->dim);
    for (size_t m = 0; m < sizeof masks / sizeof masks[0]; m++) {
        mien_cpu_set_mask(masks[m]);
        for (size_t t = 0; t < sizeof thresholds / sizeof thresholds[0]; t++) {
            search_and_compare(l, x, queries, 1, 1, thresholds[t]);
            search_and_compare(l, x, queries + l->dim, 3, 5, thresholds[t]);
            search_and_compare(l, x, queries, MIEN_MAX_QUERIES, 1 + (int)(next_random() % MIEN_MAX_HITS), thresholds[t]);
        }
    }
    mien_cpu_set_mask(~0u);
}

static void answers_are_those_of_an_exhaustive_search(void **unused)
{
    (void)unused;
    static const int dims[] = {1, 63, 64, 65, 128, 512, 1024};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++)
        for (enum kind kind = 0; kind < KINDS; kind++) {
            const int dim = dims[d];
            float centre[MOST_DIM];
            struct mien_index *x;
            struct list l = make_list(dim >= 512 ? 60 : 300, dim);
            assert_int_equal(mien_index_create(dim, &x, NULL), MIEN_OK);
            draw(SCATTERED, NULL, dim, centre);
            search_all_ways(&l, x, kind, centre); /* nobody is there */
            for (int i = 0; i < l.n; i++) set_person(&l, x, i, i % 10 == 9 ? SCATTERED : kind, centre, 1 + (int)(next_random() % 3));
            search_all_ways(&l, x, kind, centre);
            check_state(&l, x);
            mien_index_free(&x);
            free_list(&l);
        }
}

/* More rows than a chunk has; users of many templates over its end; rows that end within a block. */
static void large_galleries_are_searched_whole(void **unused)
{
    (void)unused;
    enum { DIM = 16 };
    float centre[DIM];
    struct mien_index *x;
    struct list l = make_list(1400, DIM);
    assert_int_equal(mien_index_create(DIM, &x, NULL), MIEN_OK);
    draw(SCATTERED, NULL, DIM, centre);
    for (int i = 0; i < l.n; i++) set_person(&l, x, i, i % 2 == 0 ? SCATTERED : NEAR, centre, i % 7 == 0 ? 1 : MIEN_USER_TEMPLATES);
    for (int i = 0; i < l.n; i += 3) set_person(&l, x, i, SCATTERED, centre, i % 2 * MIEN_USER_TEMPLATES);
    check_state(&l, x);
    for (int i = 0; i < 4; i++) {
        float queries[MIEN_MAX_QUERIES * DIM];
        for (int q = 0; q < MIEN_MAX_QUERIES; q++) draw(q % 2 == 0 ? NEAR : SCATTERED, centre, DIM, queries + (size_t)q * DIM);
        search_and_compare(&l, x, queries, i % 2 == 0 ? 1 : MIEN_MAX_QUERIES, 1 + 33 * i, -1);
    }
    mien_index_free(&x);
    free_list(&l);
}

static void changes_are_followed(void **unused)
{
    (void)unused;
    static const int dims[] = {3, 64, 130};
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        const int dim = dims[d];
        float centre[MOST_DIM], query[MOST_DIM];
        struct mien_index *x;
        struct list l = make_list(700, dim); /* the tables grow more than once */
        assert_int_equal(mien_index_create(dim, &x, NULL), MIEN_OK);
        draw(SCATTERED, NULL, dim, centre);
        for (int i = 0; i < 6000; i++) {
            const int who = (int)(next_random() % (uint32_t)l.n);
            const bool remove = next_random() % 3 == 0;
            set_person(&l, x, who, (enum kind)(next_random() % KINDS), centre, remove ? 0 : 1 + (int)(next_random() % 4));
            if (i % 20 != 0) continue;
            draw((enum kind)(next_random() % KINDS), centre, dim, query);
            search_and_compare(&l, x, query, 1, 1 + (int)(next_random() % 20), i % 40 == 0 ? -INFINITY : 0.5f); /* free rows are no answer */
            check_state(&l, x);
            float s = 0;
            const enum mien_code code = mien_index_verify(x, l.person[who].id, query, &s, NULL);
            assert_int_equal(code, l.person[who].n > 0 ? MIEN_OK : MIEN_E_NOT_ENROLLED);
            if (code == MIEN_OK) assert_true(s >= similarity(&l, &l.person[who], query) && s <= similarity(&l, &l.person[who], query));
        }
        for (int i = 0; i < l.n; i++) set_person(&l, x, i, SCATTERED, centre, 0);
        search_and_compare(&l, x, query, 1, 5, -1);
        check_state(&l, x);
        mien_index_free(&x);
        free_list(&l);
    }
}

/* ---- arguments ---- */

static void wrong_arguments_are_refused(void **unused)
{
    (void)unused;
    enum { DIM = 8 };
    struct mien_index *x;
    struct mien_hit hit;
    struct mien_err e;
    uint16_t half[DIM] = {0x3c00}; /* 1 */
    float query[DIM] = {1}, s;
    int count;
    char long_id[MIEN_USER_ID + 2], long_name[MIEN_USER_NAME + 2];
    memset(long_id, 'a', sizeof long_id);
    memset(long_name, 'a', sizeof long_name);
    long_id[sizeof long_id - 1] = long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(mien_index_create(0, &x, &e), MIEN_E_ARG);
    assert_int_equal(mien_index_create(MOST_DIM + 1, &x, &e), MIEN_E_ARG);
    assert_null(x);
    mien_index_free(&x);
    assert_int_equal(mien_index_create(DIM, &x, &e), MIEN_OK);
    assert_int_equal(mien_index_set(x, long_id, "", half, 1, &e), MIEN_E_ARG);
    assert_int_equal(mien_index_set(x, "", "", half, 1, &e), MIEN_E_ARG);
    assert_int_equal(mien_index_set(x, "a", long_name, half, 1, &e), MIEN_E_ARG);
    assert_int_equal(mien_index_set(x, "a", "", half, -1, &e), MIEN_E_ARG);
    assert_int_equal(mien_index_set(x, "a", "", half, MIEN_USER_TEMPLATES + 1, &e), MIEN_E_ARG);
    static const uint16_t bad[] = {0x7e00 /* NaN */, 0x7c00 /* infinity */, 0xfc00, 0x4000 /* 2 */};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint16_t wrong[DIM] = {0x3800, 0, 0, bad[i]};
        assert_int_equal(mien_index_set(x, "a", "", wrong, 1, &e), MIEN_E_ARG);
    }
    assert_int_equal(mien_index_state(x).users, 0);
    assert_int_equal(mien_index_set(x, long_id + 1, long_name + 1, half, 1, &e), MIEN_OK);
    assert_int_equal(mien_index_set(x, "no name", NULL, half, 1, &e), MIEN_OK);
    assert_int_equal(mien_index_search(x, query, 1, 1, -1, &hit, &count, &e), MIEN_OK);
    assert_string_equal(hit.user_id, long_id + 1);
    assert_string_equal(hit.name, long_name + 1);
    assert_int_equal(mien_index_search(x, query, 0, 1, -1, &hit, &count, &e), MIEN_E_ARG);
    assert_int_equal(mien_index_search(x, query, MIEN_MAX_QUERIES + 1, 1, -1, &hit, &count, &e), MIEN_E_ARG);
    assert_int_equal(mien_index_search(x, query, 1, 0, -1, &hit, &count, &e), MIEN_E_ARG);
    assert_int_equal(mien_index_search(x, query, 1, MIEN_MAX_HITS + 1, -1, &hit, &count, &e), MIEN_E_ARG);
    assert_int_equal(mien_index_search(x, query, 1, 1, NAN, &hit, &count, &e), MIEN_E_ARG);
    static const float worse[] = {NAN, INFINITY, -INFINITY, 1e30f};
    for (size_t i = 0; i < sizeof worse / sizeof worse[0]; i++) {
        query[3] = worse[i];
        assert_int_equal(mien_index_search(x, query, 1, 1, -1, &hit, &count, &e), MIEN_E_ARG);
        assert_int_equal(mien_index_verify(x, "no name", query, &s, &e), MIEN_E_ARG);
    }
    query[3] = 0;
    assert_int_equal(mien_index_verify(x, "nobody", query, &s, &e), MIEN_E_NOT_ENROLLED);
    mien_index_free(&x);
    assert_null(x);
}

/* ---- memory ---- */

/* Each allocation fails once: of the first row, of the tables that grow, of the rows' second chunk. */
static void without_memory_nothing_changes(void **unused)
{
    (void)unused;
    enum { DIM = 2 };
    static const float centre[DIM] = {1, 0};
    uint16_t half[MIEN_USER_TEMPLATES * DIM];
    struct mien_index *x = NULL;
    struct mien_hit hit;
    int count, refused = 0;
    const float query[DIM] = {0.6f, 0.8f};
    struct list l = make_list(1340, DIM);
    for (long i = 0; x == NULL; i++) {
        countdown = i;
        const enum mien_code code = mien_index_create(DIM, &x, NULL);
        countdown = -1;
        assert_true(code == (x == NULL ? MIEN_E_NOMEM : MIEN_OK));
        assert_true(i < 100);
    }
    for (int i = 0; i < l.n; i++) {
        for (int k = 0; k < MIEN_USER_TEMPLATES; k++) mien_half_from_float(centre, half + (ptrdiff_t)k * DIM, DIM);
        enum mien_code code = MIEN_E_NOMEM;
        for (long k = 0; code != MIEN_OK; k++) {
            countdown = k;
            code = mien_index_set(x, l.person[i].id, "", half, MIEN_USER_TEMPLATES, NULL);
            countdown = -1;
            refused += code == MIEN_E_NOMEM;
            assert_true(code == MIEN_OK || code == MIEN_E_NOMEM);
            assert_int_equal(mien_index_state(x).users, i + (code == MIEN_OK));
            assert_int_equal(mien_index_state(x).templates, (i + (code == MIEN_OK)) * MIEN_USER_TEMPLATES);
        }
    }
    assert_true(refused >= 2 * l.n + 2 + 2 + 6); /* two for each, the maps of two chunks, three growths of two tables */
    for (int i = 0; i < l.n; i++) set_person(&l, x, i, SCATTERED, centre, 1);
    countdown = 0;
    assert_int_equal(mien_index_search(x, query, 1, 1, -1, &hit, &count, NULL), MIEN_E_NOMEM);
    countdown = -1;
    search_and_compare(&l, x, query, 1, 20, -1);
    mien_index_free(&x);
    free_list(&l);
}

/* Where byte k of a template lies from its first: halves one after the other, bytes in a group of rows (scan.h). */
static size_t place_of(size_t k, bool grouped) { return grouped ? MIEN_SCAN_LINE * (k / 4) + k % 4 : k; }

/* How often the bytes lie in this process's memory. They themselves must be kept inverted. */
static int times_in_memory(const uint8_t *inverted, size_t n, bool grouped)
{
    enum { ROOM = 1 << 20 };
    uint8_t *room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FILE *maps = fopen("/proc/self/maps", "r");
    const int memory = open("/proc/self/mem", O_RDONLY);
    char line[512], rights[8];
    const size_t span = place_of(n - 1, grouped) + 1;
    int times = 0;
    assert_true(maps != NULL && memory >= 0);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w' || to - from > 1ul << 30) continue;
        for (unsigned long at = from; at + span <= to; at += ROOM - span + 1) {
            const ssize_t got = pread(memory, room, to - at < ROOM ? to - at : ROOM, (off_t)at);
            for (ssize_t i = 0; i + (ssize_t)span <= got; i++) {
                size_t k = 0;
                while (k < n && (room[(size_t)i + place_of(k, grouped)] ^ inverted[k]) == 0xff) k++;
                times += k == n;
            }
            explicit_bzero(room, ROOM);
        }
    }
    close(memory);
    fclose(maps);
    munmap(room, ROOM);
    return times;
}

static void what_is_removed_is_gone_from_memory(void **unused)
{
    (void)unused;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* whose shadow memory is too large to look through */
#endif
    enum { DIM = 128 };
    float v[DIM];
    uint16_t half[DIM];
    uint8_t halves[2 * DIM], bytes[DIM];
    struct mien_index *x;
    struct mien_hit hit;
    int count;
    assert_int_equal(mien_index_create(DIM, &x, NULL), MIEN_OK);
    for (int round = 0; round < 3; round++) {
        float scale;
        draw(SCATTERED, NULL, DIM, v);
        mien_half_from_float(v, half, DIM);
        mien_half_to_float(half, v, DIM);
        mien_scan_best()->quantize(v, DIM, (int8_t *)bytes, &scale);
        for (int i = 0; i < DIM; i++) bytes[i] = (uint8_t)~(bytes[i] + 128);
        memcpy(halves, half, sizeof halves);
        for (size_t i = 0; i < sizeof halves; i++) halves[i] = (uint8_t)~halves[i];
        assert_int_equal(mien_index_set(x, "a", "b", half, 1, NULL), MIEN_OK);
        assert_int_equal(mien_index_search(x, v, 1, 1, 0.9f, &hit, &count, NULL), MIEN_OK);
        assert_int_equal(count, 1);
        explicit_bzero(half, sizeof half);
        explicit_bzero(v, sizeof v);
        assert_int_equal(times_in_memory(halves, sizeof halves, false), 1);
        assert_int_equal(times_in_memory(bytes, sizeof bytes, true), 1);
        if (round == 0) assert_int_equal(mien_index_set(x, "a", "b", NULL, 0, NULL), MIEN_OK);
        else if (round == 1) assert_int_equal(mien_index_set(x, "a", "b", (const uint16_t[DIM]){0x3c00}, 1, NULL), MIEN_OK);
        else mien_index_free(&x);
        assert_int_equal(times_in_memory(halves, sizeof halves, false), 0);
        assert_int_equal(times_in_memory(bytes, sizeof bytes, true), 0);
    }
}

/* ---- at the same time ---- */

enum { CROWD_DIM = 32, FILLERS = 9000, REPLACED = 40, COMERS = 20, SEARCHERS = 3 };

/* Each of the replaced has two versions: by turns he is called "0" and has his vector 0 among others, or "1" and his vector 1. */
struct crowd {
    struct mien_index *index;
    float vector[REPLACED + COMERS][2][CROWD_DIM];
    atomic_bool stop;
    atomic_int failures, searches;
};

static void set_version(struct crowd *c, int who, int version, int n)
{
    uint16_t half[6 * CROWD_DIM];
    char id[24], name[2] = {(char)('0' + version), '\0'};
    snprintf(id, sizeof id, "replaced %d", who);
    for (int k = 0; k < n; k++) { /* his own vector is one of them, the others are nearly opposite */
        float v[CROWD_DIM];
        for (int i = 0; i < CROWD_DIM; i++) v[i] = k == n / 2 ? c->vector[who][version][i] : -c->vector[who][version][i] + 0.01f * uniform();
        unit(v, CROWD_DIM);
        mien_half_from_float(v, half + (ptrdiff_t)k * CROWD_DIM, CROWD_DIM);
    }
    if (mien_index_set(c->index, id, name, half, n, NULL) != MIEN_OK) c->failures++;
}

static int rank_of(const struct mien_hit *hits, int n, int who)
{
    char id[24];
    snprintf(id, sizeof id, "replaced %d", who);
    for (int i = 0; i < n; i++)
        if (strcmp(hits[i].user_id, id) == 0) return i;
    return -1;
}

/* A query between a user's two versions finds him among the first, whichever he has, and as one of them. */
static void *searcher(void *context)
{
    struct crowd *c = context;
    struct mien_hit hits[4 * 3];
    int counts[4];
    while (!c->stop) {
        float queries[4 * CROWD_DIM];
        int who[4];
        for (int q = 0; q < 4; q++) {
            who[q] = (int)(next_random() % REPLACED);
            const float(*v)[CROWD_DIM] = c->vector[who[q]];
            for (int i = 0; i < CROWD_DIM; i++) queries[q * CROWD_DIM + i] = 0.8f * v[0][i] + 0.6f * v[1][i]; /* the two are at a right angle */
        }
        if (mien_index_search(c->index, queries, 4, 3, -1, hits, counts, NULL) != MIEN_OK) c->failures++;
        for (int q = 0; q < 4; q++) {
            const struct mien_hit *h = &hits[q * 3];
            const int rank = rank_of(h, counts[q], who[q]);
            const float expected = rank >= 0 && h[rank].name[0] == '0' ? 0.8f : 0.6f;
            if (counts[q] != 3 || rank < 0 || fabsf(h[rank].similarity - expected) > 2e-3f) c->failures++;
        }
        c->searches++;
    }
    return NULL;
}

/* Comes and goes, and must see that at once. */
static void *comer(void *context)
{
    struct crowd *c = context;
    struct mien_hit hits[3];
    int count;
    while (!c->stop) {
        const int who = REPLACED + (int)(next_random() % COMERS);
        set_version(c, who, 0, 1 + (int)(next_random() % 5));
        if (mien_index_search(c->index, c->vector[who][0], 1, 1, 0.99f, hits, &count, NULL) != MIEN_OK || rank_of(hits, count, who) != 0) c->failures++;
        set_version(c, who, 0, 0);
        if (mien_index_search(c->index, c->vector[who][0], 1, 3, -1, hits, &count, NULL) != MIEN_OK || rank_of(hits, count, who) != -1) c->failures++;
    }
    return NULL;
}

static void right_angles(float (*v)[CROWD_DIM])
{
    float product = 0;
    draw(SCATTERED, NULL, CROWD_DIM, v[0]);
    draw(SCATTERED, NULL, CROWD_DIM, v[1]);
    v[0][CROWD_DIM / 2] = v[1][CROWD_DIM / 2] = 0; /* where the others are */
    unit(v[0], CROWD_DIM);
    for (int i = 0; i < CROWD_DIM; i++) product += v[0][i] * v[1][i];
    for (int i = 0; i < CROWD_DIM; i++) v[1][i] -= product * v[0][i];
    unit(v[1], CROWD_DIM);
}

static void searches_see_everybody_while_users_change(void **unused)
{
    (void)unused;
    static struct crowd c;
    pthread_t thread[SEARCHERS + 1];
    struct list fill = make_list(FILLERS, CROWD_DIM);
    float centre[CROWD_DIM];
    draw(SCATTERED, NULL, CROWD_DIM, centre);
    for (int i = 0; i < REPLACED + COMERS; i++) right_angles(c.vector[i]);
    assert_int_equal(mien_index_create(CROWD_DIM, &c.index, NULL), MIEN_OK);
    for (int i = 0; i < FILLERS; i++) { /* among the others, who are far from every query */
        if (i % (FILLERS / REPLACED) == 0 && i / (FILLERS / REPLACED) < REPLACED) set_version(&c, i / (FILLERS / REPLACED), 0, 3);
        set_person(&fill, c.index, i, ONE_LARGE, centre, 1);
    }
    for (int i = 0; i < SEARCHERS; i++) assert_int_equal(pthread_create(&thread[i], NULL, searcher, &c), 0);
    assert_int_equal(pthread_create(&thread[SEARCHERS], NULL, comer, &c), 0);
    for (int i = 0; i < 20000 || c.searches < 200; i++) set_version(&c, (int)(next_random() % REPLACED), i % 2, 1 + (int)(next_random() % 5));
    c.stop = true;
    for (int i = 0; i <= SEARCHERS; i++) pthread_join(thread[i], NULL);
    assert_int_equal(c.failures, 0);
    mien_index_free(&c.index);
    free_list(&fill);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_those_of_an_exhaustive_search), cmocka_unit_test(large_galleries_are_searched_whole),
        cmocka_unit_test(changes_are_followed), cmocka_unit_test(wrong_arguments_are_refused), cmocka_unit_test(without_memory_nothing_changes),
        cmocka_unit_test(what_is_removed_is_gone_from_memory), cmocka_unit_test(searches_see_everybody_while_users_change)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
