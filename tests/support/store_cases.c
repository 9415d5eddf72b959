#include "support/store_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <cmocka.h>

enum { SEALED = 200, MANY = 1000, THREADS = 4, ROUNDS = 25 };

/* ---- records ---- */

/* Records whose ids and bytes follow from a seed. */
struct made { struct mien_record record[MIEN_USER_TEMPLATES + 1]; uint8_t *bytes; };

static void make(struct made *m, const char *user_id, int n, size_t size, unsigned seed)
{
    uint32_t r = seed * 2654435761u + 1;
    m->bytes = malloc((size_t)n * size);
    assert_non_null(m->bytes);
    for (int i = 0; i < n; i++) {
        uint8_t *sealed = m->bytes + (size_t)i * size;
        m->record[i] = (struct mien_record){.user_id = user_id, .model = "arcface-1", .made_at = 1700000000000 + (int64_t)seed * 100 + i, .sealed = sealed,
                                            .sealed_n = size};
        for (int k = 0; k < MIEN_RECORD_ID; k++) m->record[i].id[k] = (uint8_t)((r = r * 1664525u + 1013904223u) >> 24);
        for (size_t k = 0; k < size; k++) sealed[k] = (uint8_t)((r = r * 1664525u + 1013904223u) >> 24);
    }
}

static struct mien_put put_of(const struct made *m, const char *user_id, const char *name, const char *metadata, int64_t at, int n, bool append)
{
    return (struct mien_put){.user = {.user_id = user_id, .name = name, .metadata = metadata, .enrolled_at = at}, .append = append, .record = m->record,
                             .n_records = n};
}

enum mien_code store_put_simple(struct mien_store *s, const char *user_id, int n, size_t size, unsigned seed, bool append, struct mien_err *e)
{
    struct made m;
    make(&m, user_id, n, size, seed);
    const struct mien_put put = put_of(&m, user_id, "name", "{}", 1700000000000, n, append);
    const enum mien_code code = s->put(s, &put, 1, e);
    free(m.bytes);
    return code;
}

/* ---- what is read ---- */

struct copy { char user_id[MIEN_USER_ID + 1], name[MIEN_USER_NAME + 1], metadata[MIEN_USER_METADATA + 1]; int64_t enrolled_at; int templates; };

static struct copy copy_of(const struct mien_user *u)
{
    struct copy c = {.enrolled_at = u->enrolled_at, .templates = u->templates};
    snprintf(c.user_id, sizeof c.user_id, "%s", u->user_id);
    snprintf(c.name, sizeof c.name, "%s", u->name);
    snprintf(c.metadata, sizeof c.metadata, "%s", u->metadata != NULL ? u->metadata : "");
    return c;
}

/* Compares what is read with what was made. */
struct seen { const struct made *made; int n, found, others; };

static enum mien_code see(void *context, const struct mien_user *user, const struct mien_record *record, struct mien_err *e)
{
    struct seen *seen = context;
    (void)e;
    for (int i = 0; i < seen->n; i++) {
        const struct mien_record *want = &seen->made->record[i];
        if (memcmp(want->id, record->id, MIEN_RECORD_ID) != 0) continue;
        assert_string_equal(record->user_id, want->user_id);
        assert_string_equal(user->user_id, want->user_id);
        assert_string_equal(record->model, want->model);
        assert_int_equal(record->made_at, want->made_at);
        assert_int_equal(record->sealed_n, want->sealed_n);
        assert_memory_equal(record->sealed, want->sealed, want->sealed_n);
        seen->found++;
        return MIEN_OK;
    }
    seen->others++;
    return MIEN_OK;
}

/* The user has exactly the first n of the made records. */
static void assert_has(struct mien_store *s, const char *user_id, const struct made *m, int n)
{
    struct seen seen = {.made = m, .n = n};
    assert_int_equal(s->user_records(s, user_id, see, &seen, NULL), MIEN_OK);
    assert_int_equal(seen.found, n);
    assert_int_equal(seen.others, 0);
}

static void assert_count(struct mien_store *s, uint64_t users, uint64_t records)
{
    uint64_t u = 0, r = 0;
    assert_int_equal(s->count(s, &u, NULL, NULL), MIEN_OK);
    assert_int_equal(u, users);
    assert_int_equal(s->count(s, &u, &r, NULL), MIEN_OK);
    assert_int_equal(u, users);
    assert_int_equal(r, records);
}

static enum mien_code tally(void *context, const struct mien_user *user, const struct mien_record *record, struct mien_err *e)
{
    (void)user;
    (void)record;
    (void)e;
    (*(int *)context)++;
    return MIEN_OK;
}

int store_records_of(struct mien_store *s, const char *user_id)
{
    int n = 0;
    return s->user_records(s, user_id, tally, &n, NULL) == MIEN_OK ? n : -1;
}

static enum mien_code compare(void *context, const struct mien_user *user, const struct mien_record *record, struct mien_err *e)
{
    struct seen *seen = context;
    (void)user;
    (void)e;
    bool same = false;
    for (int i = 0; i < seen->n && !same; i++) {
        const struct mien_record *want = &seen->made->record[i];
        same = memcmp(want->id, record->id, MIEN_RECORD_ID) == 0 && want->sealed_n == record->sealed_n &&
               memcmp(want->sealed, record->sealed, want->sealed_n) == 0;
    }
    *(same ? &seen->found : &seen->others) += 1;
    return MIEN_OK;
}

bool store_holds_simple(struct mien_store *s, const char *user_id, int n, size_t size, unsigned seed)
{
    struct made m;
    make(&m, user_id, n, size, seed);
    struct seen seen = {.made = &m, .n = n};
    const bool read = s->user_records(s, user_id, compare, &seen, NULL) == MIEN_OK;
    free(m.bytes);
    return read && seen.found == n && seen.others == 0;
}

static enum mien_code take_user(void *context, const struct mien_user *user, struct mien_err *e)
{
    (void)e;
    *(struct copy *)context = copy_of(user);
    return MIEN_OK;
}

/* The first user after `after`. */
static struct copy user_after(struct mien_store *s, const char *after)
{
    struct copy c = {.templates = -1};
    assert_int_equal(s->list(s, after, 1, take_user, &c, NULL), MIEN_OK);
    return c;
}

static void assert_user(struct mien_store *s, const char *after, const char *user_id, const char *name, const char *metadata, int64_t at, int templates)
{
    const struct copy c = user_after(s, after);
    assert_string_equal(c.user_id, user_id);
    assert_string_equal(c.name, name);
    assert_string_equal(c.metadata, metadata);
    assert_int_equal(c.enrolled_at, at);
    assert_int_equal(c.templates, templates);
}

/* ---- cases ---- */

struct grouped { char last[MIEN_USER_ID + 1]; int users, records; };

static enum mien_code group(void *context, const struct mien_user *user, const struct mien_record *record, struct mien_err *e)
{
    struct grouped *g = context;
    (void)e;
    assert_string_equal(user->user_id, record->user_id);
    g->users += strcmp(g->last, user->user_id) != 0;
    g->records++;
    snprintf(g->last, sizeof g->last, "%s", user->user_id);
    return MIEN_OK;
}

void store_case_gives_back_what_was_put(struct mien_store *s)
{
    struct made a, b;
    struct grouped g = {.last = ""};
    assert_count(s, 0, 0);
    assert_int_equal(s->each_record(s, group, &g, NULL), MIEN_OK);
    assert_int_equal(g.records, 0);
    assert_int_equal(store_records_of(s, "anna"), 0);
    make(&a, "anna", 3, SEALED, 1);
    make(&b, "bert", 1, SEALED, 2);
    const struct mien_put puts[] = {put_of(&a, "anna", "Anna A.", "{\"k\":1}", 1234567890123, 3, false), put_of(&b, "bert", NULL, NULL, 5, 1, false)};
    assert_int_equal(s->put(s, puts, 2, NULL), MIEN_OK);
    assert_has(s, "anna", &a, 3);
    assert_has(s, "bert", &b, 1);
    assert_user(s, "", "anna", "Anna A.", "{\"k\":1}", 1234567890123, 3);
    assert_user(s, "anna", "bert", "", "{}", 5, 1);
    assert_count(s, 2, 4);
    assert_int_equal(s->each_record(s, group, &g, NULL), MIEN_OK);
    assert_int_equal(g.users, 2);
    assert_int_equal(g.records, 4);
    assert_true(s->alive(s));
    free(a.bytes);
    free(b.bytes);
}

void store_case_replaces_a_user(struct mien_store *s)
{
    struct made old, fresh;
    make(&old, "anna", 3, SEALED, 1);
    make(&fresh, "anna", 2, SEALED + 1, 2);
    const struct mien_put first = put_of(&old, "anna", "Anna", "{\"old\":true}", 100, 3, false), second = put_of(&fresh, "anna", "Other", NULL, 200, 2, false);
    assert_int_equal(s->put(s, &first, 1, NULL), MIEN_OK);
    assert_int_equal(s->put(s, &second, 1, NULL), MIEN_OK);
    assert_has(s, "anna", &fresh, 2);
    assert_user(s, "", "anna", "Other", "{}", 200, 2);
    assert_count(s, 1, 2);
    free(old.bytes);
    free(fresh.bytes);
}

void store_case_appends_to_a_user(struct mien_store *s)
{
    struct made m;
    make(&m, "anna", 4, SEALED, 1);
    struct mien_put put = put_of(&m, "anna", NULL, NULL, 100, 1, true); /* there is no such user yet */
    assert_int_equal(s->put(s, &put, 1, NULL), MIEN_OK);
    assert_user(s, "", "anna", "", "{}", 100, 1);
    struct made later = m;
    memmove(later.record, later.record + 1, 3 * sizeof later.record[0]);
    put = put_of(&later, "anna", "Anna", NULL, 200, 1, true);
    assert_int_equal(s->put(s, &put, 1, NULL), MIEN_OK);
    assert_user(s, "", "anna", "Anna", "{}", 100, 2);
    memmove(later.record, later.record + 1, 2 * sizeof later.record[0]);
    put = put_of(&later, "anna", NULL, "{\"n\":3}", 300, 2, true);
    assert_int_equal(s->put(s, &put, 1, NULL), MIEN_OK);
    assert_user(s, "", "anna", "Anna", "{\"n\":3}", 100, 4);
    assert_has(s, "anna", &m, 4);
    assert_count(s, 1, 4);
    free(m.bytes);
}

void store_case_keeps_to_the_limit(struct mien_store *s)
{
    struct made m, b;
    make(&m, "anna", MIEN_USER_TEMPLATES + 1, SEALED, 1);
    make(&b, "bert", 1, SEALED, 2);
    struct mien_put put = put_of(&m, "anna", "Anna", NULL, 100, MIEN_USER_TEMPLATES + 1, false);
    assert_int_equal(s->put(s, &put, 1, NULL), MIEN_E_LIMIT);
    assert_count(s, 0, 0);
    put.n_records = MIEN_USER_TEMPLATES;
    assert_int_equal(s->put(s, &put, 1, NULL), MIEN_OK);
    struct made last = m;
    last.record[0] = m.record[MIEN_USER_TEMPLATES];
    const struct mien_put puts[] = {put_of(&b, "bert", "Bert", NULL, 100, 1, false), put_of(&last, "anna", "Changed", NULL, 200, 1, true)};
    struct mien_err e = {0};
    assert_int_equal(s->put(s, puts, 2, &e), MIEN_E_LIMIT);
    assert_int_equal(e.code, MIEN_E_LIMIT);
    assert_user(s, "", "anna", "Anna", "{}", 100, MIEN_USER_TEMPLATES); /* nothing of the write was done */
    assert_has(s, "anna", &m, MIEN_USER_TEMPLATES);
    assert_count(s, 1, MIEN_USER_TEMPLATES);
    put.n_records = 1;
    assert_int_equal(s->put(s, &put, 1, NULL), MIEN_OK); /* replacing is possible */
    assert_count(s, 1, 1);
    free(m.bytes);
    free(b.bytes);
}

void store_case_takes_a_user_several_times_in_one_write(struct mien_store *s)
{
    struct made a, b;
    make(&a, "anna", MIEN_USER_TEMPLATES, SEALED, 1);
    make(&b, "anna", 2, SEALED, 2);
    assert_int_equal(store_put_simple(s, "anna", 5, SEALED, 3, false, NULL), MIEN_OK);
    const struct mien_put fits[] = {put_of(&a, "anna", NULL, NULL, 1, MIEN_USER_TEMPLATES - 2, false), put_of(&b, "anna", NULL, NULL, 2, 2, true)};
    assert_int_equal(s->put(s, fits, 2, NULL), MIEN_OK);
    assert_count(s, 1, MIEN_USER_TEMPLATES);
    assert_user(s, "", "anna", "", "{}", 1, MIEN_USER_TEMPLATES);
    const struct mien_put too_many[] = {put_of(&a, "anna", NULL, NULL, 1, MIEN_USER_TEMPLATES - 1, false), put_of(&b, "anna", NULL, NULL, 2, 2, true)};
    assert_int_equal(s->put(s, too_many, 2, NULL), MIEN_E_LIMIT);
    assert_count(s, 1, MIEN_USER_TEMPLATES);
    const struct mien_put last_wins[] = {put_of(&a, "anna", "first", NULL, 1, 3, false), put_of(&b, "anna", "second", NULL, 2, 2, false)};
    assert_int_equal(s->put(s, last_wins, 2, NULL), MIEN_OK);
    assert_has(s, "anna", &b, 2);
    assert_user(s, "", "anna", "second", "{}", 2, 2);
    free(a.bytes);
    free(b.bytes);
}

void store_case_removes(struct mien_store *s)
{
    bool existed = true;
    assert_int_equal(s->remove(s, "anna", &existed, NULL), MIEN_OK);
    assert_false(existed);
    assert_int_equal(store_put_simple(s, "anna", 3, SEALED, 1, false, NULL), MIEN_OK);
    assert_int_equal(store_put_simple(s, "bert", 2, SEALED, 2, false, NULL), MIEN_OK);
    assert_int_equal(s->remove(s, "anna", &existed, NULL), MIEN_OK);
    assert_true(existed);
    assert_int_equal(store_records_of(s, "anna"), 0);
    assert_count(s, 1, 2);
    assert_string_equal(user_after(s, "").user_id, "bert");
    assert_int_equal(s->remove(s, "anna", &existed, NULL), MIEN_OK);
    assert_false(existed);
    assert_count(s, 1, 2);
    assert_int_equal(store_put_simple(s, "anna", 1, SEALED, 3, true, NULL), MIEN_OK); /* nothing of the old is left */
    assert_true(store_holds_simple(s, "anna", 1, SEALED, 3));
}

void store_case_reseals_what_still_holds_the_old(struct mien_store *s)
{
    static const uint8_t FRESH[] = "newly\0sealed\r\n", LATER[] = "later";
    struct made m;
    make(&m, "anna", 3, SEALED, 1);
    const struct mien_put put = put_of(&m, "anna", "Anna", NULL, 100, 3, false);
    assert_int_equal(s->put(s, &put, 1, NULL), MIEN_OK);
    struct mien_reseal r[4];
    for (int i = 0; i < 3; i++) r[i] = (struct mien_reseal){.record = m.record[i], .old = m.record[i].sealed, .old_n = SEALED};
    for (int i = 0; i < 3; i++) {
        r[i].record.sealed = FRESH;
        r[i].record.sealed_n = sizeof FRESH;
    }
    r[1].old = FRESH; /* it does not hold that */
    r[1].old_n = sizeof FRESH;
    r[1].record.sealed = LATER;
    r[1].record.sealed_n = sizeof LATER;
    r[3] = r[0];
    r[3].record.user_id = "nobody";
    int done = -1;
    assert_int_equal(s->reseal(s, r, 4, &done, NULL), MIEN_OK);
    assert_int_equal(done, 2);
    m.record[0].sealed = m.record[2].sealed = FRESH;
    m.record[0].sealed_n = m.record[2].sealed_n = sizeof FRESH;
    assert_has(s, "anna", &m, 3); /* the record that was left, and model and time of the others */
    assert_int_equal(store_records_of(s, "nobody"), 0);
    assert_count(s, 1, 3);
    free(m.bytes);
}

struct listed { char last[MIEN_USER_ID + 1]; int n, templates; };

static enum mien_code list_one(void *context, const struct mien_user *user, struct mien_err *e)
{
    struct listed *l = context;
    (void)e;
    assert_true(strcmp(l->last, user->user_id) < 0);
    snprintf(l->last, sizeof l->last, "%s", user->user_id);
    l->n++;
    l->templates += user->templates;
    return MIEN_OK;
}

void store_case_lists_by_rising_id(struct mien_store *s)
{
    static const char *const ODD[] = {"!", "Z", "a", "a b", "ab", "z\xc3\xa4", "\xc3\xa4", "\xf0\x9f\x99\x82"};
    struct listed l = {.last = ""};
    for (unsigned i = 0; i < 8; i++) assert_int_equal(store_put_simple(s, ODD[(i * 3) % 8], (int)i + 1, 20, i, false, NULL), MIEN_OK);
    assert_int_equal(s->list(s, "", 100, list_one, &l, NULL), MIEN_OK);
    assert_int_equal(l.n, 8);
    assert_int_equal(l.templates, 36);
    l = (struct listed){.last = "a"};
    assert_int_equal(s->list(s, "a", 2, list_one, &l, NULL), MIEN_OK);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.last, "ab");
    assert_string_equal(user_after(s, "b").user_id, "z\xc3\xa4"); /* after somebody who is not there */
    assert_string_equal(user_after(s, "a ").user_id, "a b");
    l = (struct listed){.last = ""};
    assert_int_equal(s->list(s, "\xf0\x9f\x99\x82", 5, list_one, &l, NULL), MIEN_OK);
    assert_int_equal(l.n, 0);
    for (int i = 0; i < 700; i++) {
        char id[24];
        snprintf(id, sizeof id, "m%03d", i);
        assert_int_equal(store_put_simple(s, id, 1, 20, (unsigned)i, false, NULL), MIEN_OK);
    }
    l = (struct listed){.last = ""};
    assert_int_equal(s->list(s, "", 1000, list_one, &l, NULL), MIEN_OK);
    assert_int_equal(l.n, 708);
    l = (struct listed){.last = ""};
    assert_int_equal(s->list(s, "", 600, list_one, &l, NULL), MIEN_OK);
    assert_int_equal(l.n, 600);
}

static enum mien_code stop_at_second_user(void *context, const struct mien_user *user, struct mien_err *e)
{
    (void)user;
    return ++*(int *)context == 2 ? MIEN_FAIL(e, MIEN_E_RECORD, "enough") : MIEN_OK;
}

static enum mien_code stop_at_second(void *context, const struct mien_user *user, const struct mien_record *record, struct mien_err *e)
{
    (void)record;
    return stop_at_second_user(context, user, e);
}

void store_case_ends_a_walk_with_the_callers_failure(struct mien_store *s)
{
    struct mien_err e = {0};
    int n = 0;
    for (unsigned i = 0; i < 3; i++) assert_int_equal(store_put_simple(s, (const char *[]){"a", "b", "c"}[i], 3, 20, i, false, NULL), MIEN_OK);
    assert_int_equal(s->each_record(s, stop_at_second, &n, &e), MIEN_E_RECORD);
    assert_int_equal(n, 2);
    assert_string_equal(e.msg, "enough");
    n = 0;
    assert_int_equal(s->user_records(s, "b", stop_at_second, &n, NULL), MIEN_E_RECORD);
    n = 0;
    assert_int_equal(s->list(s, "", 10, stop_at_second_user, &n, NULL), MIEN_E_RECORD);
    assert_int_equal(n, 2);
    assert_int_equal(store_records_of(s, "b"), 3); /* the store goes on */
}

void store_case_takes_any_bytes(struct mien_store *s)
{
    char id[MIEN_USER_ID + 1], name[MIEN_USER_NAME + 1], *metadata = malloc(MIEN_USER_METADATA + 1);
    memset(id, 'x', sizeof id);
    memcpy(id, "' OR 1=1; -- \"*$%%s\\", 20);
    id[MIEN_USER_ID] = '\0';
    memset(name, '\'', sizeof name);
    name[MIEN_USER_NAME] = '\0';
    memset(metadata, ' ', MIEN_USER_METADATA);
    metadata[0] = '{';
    metadata[MIEN_USER_METADATA - 1] = '}';
    metadata[MIEN_USER_METADATA] = '\0';
    struct made m;
    make(&m, id, 3, 4096, 1);
    memset(m.bytes, 0, 4096);
    memcpy(m.bytes, "\r\n$5\r\n", 6);
    m.record[1].sealed_n = 37;
    m.record[2].made_at = INT64_MAX;
    const struct mien_put put = put_of(&m, id, name, metadata, INT64_MAX, 3, false);
    assert_int_equal(s->put(s, &put, 1, NULL), MIEN_OK);
    assert_has(s, id, &m, 3);
    assert_user(s, "", id, name, metadata, INT64_MAX, 3);
    bool existed;
    assert_int_equal(s->remove(s, id, &existed, NULL), MIEN_OK);
    assert_true(existed);
    free(m.bytes);
    free(metadata);
}

void store_case_takes_a_thousand_at_once(struct mien_store *s)
{
    struct made *m = calloc(MANY, sizeof *m);
    struct mien_put *put = calloc(MANY, sizeof *put);
    char (*id)[24] = calloc(MANY, sizeof *id);
    for (int i = 0; i < MANY; i++) {
        snprintf(id[i], sizeof id[i], "user-%04d", i);
        make(&m[i], id[i], 1, 1100, (unsigned)i);
        put[i] = put_of(&m[i], id[i], "name", NULL, 1, 1, i % 2 == 0);
    }
    assert_int_equal(s->put(s, put, MANY, NULL), MIEN_OK);
    assert_count(s, MANY, MANY);
    for (int i = 0; i < MANY; i += 111) assert_has(s, id[i], &m[i], 1);
    struct grouped g = {.last = ""};
    assert_int_equal(s->each_record(s, group, &g, NULL), MIEN_OK);
    assert_int_equal(g.users, MANY);
    for (int i = 0; i < MANY; i++) free(m[i].bytes);
    free(id);
    free(put);
    free(m);
}

/* Each thread appends to one user of all, and replaces, reads and removes one of its own. */
struct worker { struct mien_store *store; unsigned number; int failures; };

static void *work(void *p)
{
    struct worker *w = p;
    struct mien_store *s = w->store;
    char own[24];
    snprintf(own, sizeof own, "own-%u", w->number);
    for (unsigned i = 0; i < ROUNDS; i++) {
        const unsigned seed = 1000 * (w->number + 1) + i;
        bool existed;
        if (i % 10 == 0) w->failures += store_put_simple(s, "all", 4, SEALED, seed, true, NULL) != MIEN_OK;
        w->failures += store_put_simple(s, own, 2, SEALED, seed, false, NULL) != MIEN_OK;
        w->failures += !store_holds_simple(s, own, 2, SEALED, seed);
        if (i % 5 == 4) w->failures += s->remove(s, own, &existed, NULL) != MIEN_OK || !existed;
        w->failures += store_records_of(s, "all") < 4;
    }
    return NULL;
}

void store_case_serves_several_threads(struct mien_store *s)
{
    struct worker w[THREADS];
    pthread_t thread[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        w[i] = (struct worker){.store = s, .number = i};
        assert_int_equal(pthread_create(&thread[i], NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(w[i].failures, 0);
    }
    assert_int_equal(store_records_of(s, "all"), 4 * THREADS * 3);
    assert_count(s, 1, 4 * THREADS * 3); /* each removed its own in the last round */
}
