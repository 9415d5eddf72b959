// needs: store
/* The gallery over the SQLite store, and over one that fails, or changes behind its back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "gallery/gallery.h"
#include "store/sqlite.h"

enum { DIM = 64 };
static const char KEY[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
static const char OTHER_KEY[] = "f0f102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/* ---- a store between the gallery and SQLite ---- */

struct between {
    struct mien_store store;
    struct mien_store *inner;
    bool fail_put, fail_read, alive;
    mien_on_change *call;
    void *context;
};

static struct between *of(struct mien_store *s) { return (struct between *)s; }
static enum mien_code put(struct mien_store *s, const struct mien_put *puts, int n, struct mien_err *e)
{
    return of(s)->fail_put ? MIEN_FAIL(e, MIEN_E_STORE, "full") : of(s)->inner->put(of(s)->inner, puts, n, e);
}
static enum mien_code take_out(struct mien_store *s, const char *user, bool *existed, struct mien_err *e)
{
    return of(s)->fail_put ? MIEN_FAIL(e, MIEN_E_STORE, "full") : of(s)->inner->remove(of(s)->inner, user, existed, e);
}
static enum mien_code reseal(struct mien_store *s, const struct mien_reseal *r, int n, int *done, struct mien_err *e)
{
    return of(s)->fail_put ? MIEN_FAIL(e, MIEN_E_STORE, "full") : of(s)->inner->reseal(of(s)->inner, r, n, done, e);
}
static enum mien_code each_record(struct mien_store *s, mien_on_record *call, void *context, struct mien_err *e)
{
    return of(s)->fail_read ? MIEN_FAIL(e, MIEN_E_STORE, "lost") : of(s)->inner->each_record(of(s)->inner, call, context, e);
}
static enum mien_code user_records(struct mien_store *s, const char *user, mien_on_record *call, void *context, struct mien_err *e)
{
    return of(s)->fail_read ? MIEN_FAIL(e, MIEN_E_STORE, "lost") : of(s)->inner->user_records(of(s)->inner, user, call, context, e);
}
static enum mien_code list(struct mien_store *s, const char *after, int limit, mien_on_user *call, void *context, struct mien_err *e)
{
    return of(s)->inner->list(of(s)->inner, after, limit, call, context, e);
}
static enum mien_code count(struct mien_store *s, uint64_t *users, uint64_t *records, struct mien_err *e)
{
    return of(s)->inner->count(of(s)->inner, users, records, e);
}
static enum mien_code follow(struct mien_store *s, mien_on_change *call, void *context, struct mien_err *e)
{
    (void)e;
    of(s)->call = call;
    of(s)->context = context;
    return MIEN_OK;
}
static bool alive(struct mien_store *s) { return of(s)->alive; }
static void close_both(struct mien_store *s)
{
    of(s)->inner->close(of(s)->inner);
    free(s);
}

/* ---- a folder with a gallery ---- */

struct place { char dir[32], db[64], keys[64]; struct mien_gallery *gallery; struct between *between; };

static void make_place(struct place *p)
{
    memset(p, 0, sizeof *p);
    snprintf(p->dir, sizeof p->dir, "/tmp/mien-gallery-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->db, sizeof p->db, "%s/gallery.db", p->dir);
    snprintf(p->keys, sizeof p->keys, "%s/template.keys", p->dir);
}

/* `key` NULL: of the folder's key file. `model` of DIM numbers. */
static enum mien_code open_place(struct place *p, const char *key, const char *model, bool follows)
{
    struct mien_err e = {0};
    struct mien_gallery_settings s = {.model = model, .dim = DIM, .threads = 2};
    struct mien_store *sqlite;
    assert_int_equal(mien_keyring_open(&(struct mien_keyring_settings){.key = key, .file = p->keys}, &s.keyring, NULL, &e), MIEN_OK);
    assert_int_equal(mien_sqlite_open(p->db, false, &sqlite, &e), MIEN_OK);
    p->between = calloc(1, sizeof *p->between);
    assert_non_null(p->between);
    *p->between =
        (struct between){.inner = sqlite,
                         .alive = true,
                         .store = {"between", put, take_out, reseal, each_record, user_records, list, count, follows ? follow : NULL, alive, close_both}};
    s.store = &p->between->store;
    return mien_gallery_open(&s, &p->gallery, &e);
}

static void remove_place(struct place *p)
{
    char command[128];
    mien_gallery_close(&p->gallery);
    snprintf(command, sizeof command, "rm -rf %s", p->dir);
    assert_int_equal(system(command), 0);
}

/* A unit vector of its own for each number. */
static void face_of(int person, float noise, float out[DIM])
{
    unsigned r = (unsigned)person * 2654435761u + 1u, q = (unsigned)(noise * 1e6f) + 7u;
    float sum = 0;
    for (int i = 0; i < DIM; i++) {
        r = r * 1664525u + 1013904223u;
        q = q * 22695477u + 1u;
        out[i] = (float)(r >> 8) / 8388608.0f - 1.0f + noise * ((float)(q >> 8) / 8388608.0f - 1.0f);
        sum += out[i] * out[i];
    }
    for (int i = 0; i < DIM; i++) out[i] /= sqrtf(sum);
}

static enum mien_code enroll(struct place *p, const char *user, int person, bool append)
{
    float v[DIM];
    face_of(person, 0, v);
    return mien_gallery_enroll(p->gallery, &(struct mien_enrolment){.user_id = user, .name = user, .rgb = v, .append = append}, 1, NULL);
}

/* Who looks like that person; "" = nobody. */
static const char *who(struct place *p, int person)
{
    static struct mien_hit hit;
    float v[DIM];
    int n;
    face_of(person, 0.1f, v);
    assert_int_equal(mien_gallery_search(p->gallery, v, 1, 1, 0.8f, &hit, &n, NULL), MIEN_OK);
    return n == 1 ? hit.user_id : "";
}

/* ---- tests ---- */

static void people_are_enrolled_found_and_deleted(void **state)
{
    (void)state;
    struct place p;
    float v[DIM], similarity;
    make_place(&p);
    assert_int_equal(open_place(&p, NULL, "m", false), MIEN_OK);
    assert_string_equal(who(&p, 1), "");
    assert_int_equal(enroll(&p, "ann", 1, false), MIEN_OK);
    assert_int_equal(enroll(&p, "bob", 2, false), MIEN_OK);
    assert_string_equal(who(&p, 1), "ann");
    assert_string_equal(who(&p, 2), "bob");
    assert_string_equal(who(&p, 3), "");
    assert_int_equal(enroll(&p, "ann", 3, true), MIEN_OK); /* a second face of the same user */
    assert_string_equal(who(&p, 1), "ann");
    assert_string_equal(who(&p, 3), "ann");
    assert_int_equal(mien_gallery_state(p.gallery).index.templates, 3);
    assert_int_equal(enroll(&p, "ann", 4, false), MIEN_OK); /* instead of both */
    assert_string_equal(who(&p, 1), "");
    assert_string_equal(who(&p, 4), "ann");
    face_of(4, 0, v);
    assert_int_equal(mien_gallery_verify(p.gallery, "ann", v, &similarity, NULL), MIEN_OK);
    assert_true(similarity > 0.999f);
    assert_int_equal(mien_gallery_verify(p.gallery, "bob", v, &similarity, NULL), MIEN_OK);
    assert_true(similarity < 0.8f);
    assert_int_equal(mien_gallery_delete(p.gallery, "ann", NULL), MIEN_OK);
    assert_string_equal(who(&p, 4), "");
    assert_int_equal(mien_gallery_delete(p.gallery, "ann", NULL), MIEN_E_NOT_ENROLLED);
    assert_int_equal(mien_gallery_verify(p.gallery, "ann", v, &similarity, NULL), MIEN_E_NOT_ENROLLED);
    mien_gallery_close(&p.gallery);
    assert_int_equal(open_place(&p, NULL, "m", false), MIEN_OK); /* what was acknowledged is there again */
    assert_string_equal(who(&p, 2), "bob");
    assert_int_equal(mien_gallery_state(p.gallery).index.users, 1);
    remove_place(&p);
}

static void wrong_enrolments_change_nothing(void **state)
{
    (void)state;
    struct place p;
    float v[DIM], zero[DIM] = {0}, nan[DIM];
    char long_name[MIEN_USER_NAME + 2];
    make_place(&p);
    assert_int_equal(open_place(&p, NULL, "m", false), MIEN_OK);
    face_of(1, 0, v);
    memcpy(nan, v, sizeof nan);
    nan[5] = NAN;
    memset(long_name, 'n', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    const struct { struct mien_enrolment e; enum mien_code code; } WRONG[] = {
        {{.user_id = "", .rgb = v}, MIEN_E_ARG}, {{.user_id = "a\nb", .rgb = v}, MIEN_E_ARG}, {{.user_id = "\xff", .rgb = v}, MIEN_E_ARG},
        {{.user_id = "a", .rgb = zero}, MIEN_E_RECORD}, {{.user_id = "a", .rgb = nan}, MIEN_E_RECORD},
        {{.user_id = "a", .name = long_name, .rgb = v}, MIEN_E_ARG}};
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        const struct mien_enrolment two[2] = {{.user_id = "good", .rgb = v}, WRONG[i].e};
        assert_int_equal(mien_gallery_enroll(p.gallery, two, 2, NULL), WRONG[i].code);
    }
    assert_int_equal(mien_gallery_state(p.gallery).index.users, 0);
    for (int i = 0; i < MIEN_USER_TEMPLATES; i++) assert_int_equal(enroll(&p, "many", i, true), MIEN_OK);
    assert_int_equal(enroll(&p, "many", 99, true), MIEN_E_LIMIT);
    assert_string_equal(who(&p, 99), "");
    assert_string_equal(who(&p, MIEN_USER_TEMPLATES - 1), "many");
    p.between->fail_put = true;
    assert_int_equal(enroll(&p, "late", 500, false), MIEN_E_STORE);
    assert_int_equal(mien_gallery_delete(p.gallery, "many", NULL), MIEN_E_STORE);
    assert_string_equal(who(&p, 500), "");
    assert_string_equal(who(&p, 1), "many");
    p.between->fail_put = false;
    assert_int_equal(enroll(&p, "late", 500, false), MIEN_OK);
    assert_string_equal(who(&p, 500), "late");
    remove_place(&p);
}

static enum mien_code first_of(void *context, const struct mien_user *user, const struct mien_template *t, struct mien_err *e)
{
    (void)user, (void)e;
    if (((struct mien_template *)context)->dim == 0) *(struct mien_template *)context = *t;
    return MIEN_OK;
}

static void templates_of_another_model_or_key_are_told_apart(void **state)
{
    (void)state;
    struct place p;
    float v[DIM], similarity;
    struct mien_template t = {0};
    make_place(&p);
    face_of(1, 0, v);
    assert_int_equal(open_place(&p, KEY, "m", false), MIEN_OK);
    assert_int_equal(mien_gallery_enroll(p.gallery, &(struct mien_enrolment){.user_id = "ann", .rgb = v, .depth = v, .depth_dim = 16}, 1, NULL), MIEN_OK);
    assert_int_equal(mien_gallery_templates(p.gallery, "ann", first_of, &t, NULL), MIEN_OK);
    assert_int_equal(t.dim, DIM);
    assert_int_equal(t.depth_dim, 16);
    mien_gallery_close(&p.gallery);
    assert_int_equal(open_place(&p, KEY, "m2", false), MIEN_OK);
    assert_int_equal(mien_gallery_verify(p.gallery, "ann", v, &similarity, NULL), MIEN_E_MODEL_MISMATCH);
    assert_int_equal(mien_gallery_state(p.gallery).other_model, 1);
    assert_string_equal(who(&p, 1), "");
    assert_int_equal(enroll(&p, "ann", 1, false), MIEN_OK); /* enrolled again with this one */
    assert_int_equal(mien_gallery_verify(p.gallery, "ann", v, &similarity, NULL), MIEN_OK);
    mien_gallery_close(&p.gallery);
    assert_int_equal(open_place(&p, OTHER_KEY, "m2", false), MIEN_E_KEY);
    assert_null(p.gallery);
    /* With some records of its own it starts, and names the others unreadable. */
    assert_int_equal(open_place(&p, KEY, "m2", false), MIEN_OK);
    assert_int_equal(mien_gallery_delete(p.gallery, "ann", NULL), MIEN_OK);
    mien_gallery_close(&p.gallery);
    assert_int_equal(open_place(&p, OTHER_KEY, "m2", false), MIEN_OK);
    assert_int_equal(enroll(&p, "bob", 2, false), MIEN_OK);
    mien_gallery_close(&p.gallery);
    assert_int_equal(open_place(&p, KEY, "m2", false), MIEN_E_KEY); /* bob's only */
    remove_place(&p);
}

/* Somebody else's record under this user's name: what a copied database row would be. */
static void swapped_rows_never_match(void **state)
{
    (void)state;
    struct place p;
    float v[DIM], similarity;
    char command[700];
    make_place(&p);
    assert_int_equal(open_place(&p, KEY, "m", false), MIEN_OK);
    assert_int_equal(enroll(&p, "ann", 1, false), MIEN_OK);
    assert_int_equal(enroll(&p, "bob", 2, false), MIEN_OK);
    assert_int_equal(enroll(&p, "eve", 3, false), MIEN_OK);
    mien_gallery_close(&p.gallery);
    snprintf(command, sizeof command,
             "sqlite3 %s \"create temp table n as select user_id, number from users; update records set user = -1 where user in (select number from n where "
             "user_id='eve'); update records set user = (select number from n where user_id='eve') where user = (select number from n where user_id='ann'); "
             "update records set user = (select number from n where user_id='ann') where user = -1;\"",
             p.db);
    if (system(command) != 0) {
        print_message("sqlite3 is missing\n");
        fail();
    }
    assert_int_equal(open_place(&p, KEY, "m", false), MIEN_OK);
    face_of(1, 0, v);
    assert_string_equal(who(&p, 1), ""); /* eve has ann's bytes and is not ann */
    assert_string_equal(who(&p, 3), "");
    assert_string_equal(who(&p, 2), "bob");
    assert_int_equal(mien_gallery_state(p.gallery).unreadable, 2);
    assert_int_equal(mien_gallery_verify(p.gallery, "eve", v, &similarity, NULL), MIEN_E_SEAL);
    assert_int_equal(mien_gallery_verify(p.gallery, "ann", v, &similarity, NULL), MIEN_E_SEAL);
    remove_place(&p);
}

static void rotation_leaves_nothing_under_the_old_key(void **state)
{
    (void)state;
    struct place p;
    uint64_t done;
    char name[16], command[400];
    make_place(&p);
    assert_int_equal(open_place(&p, NULL, "m", false), MIEN_OK);
    for (int i = 0; i < 600; i++) {
        snprintf(name, sizeof name, "u%d", i);
        assert_int_equal(enroll(&p, name, i, false), MIEN_OK);
    }
    snprintf(command, sizeof command, "cp %s %s/old.keys && chmod 600 %s/old.keys", p.keys, p.dir, p.dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(mien_gallery_rotate(p.gallery, &done, NULL), MIEN_OK);
    assert_int_equal(done, 600);
    assert_string_equal(who(&p, 77), "u77");
    mien_gallery_close(&p.gallery);
    snprintf(command, sizeof command, "! cmp -s %s %s/old.keys && test $(grep -c '^[0-9a-f]' %s) = 1", p.keys, p.dir, p.keys);
    assert_int_equal(system(command), 0);
    assert_int_equal(open_place(&p, NULL, "m", false), MIEN_OK);
    assert_int_equal(mien_gallery_state(p.gallery).index.templates, 600);
    assert_int_equal(mien_gallery_state(p.gallery).unreadable, 0);
    mien_gallery_close(&p.gallery);
    snprintf(p.keys, sizeof p.keys, "%s/old.keys", p.dir);
    assert_int_equal(open_place(&p, NULL, "m", false), MIEN_E_KEY);
    remove_place(&p);
}

static void a_failed_rotation_can_be_repeated(void **state)
{
    (void)state;
    struct place p;
    uint64_t done;
    make_place(&p);
    assert_int_equal(open_place(&p, NULL, "m", false), MIEN_OK);
    assert_int_equal(enroll(&p, "ann", 1, false), MIEN_OK);
    p.between->fail_put = true;
    assert_int_equal(mien_gallery_rotate(p.gallery, &done, NULL), MIEN_E_STORE);
    p.between->fail_put = false;
    mien_gallery_close(&p.gallery);
    assert_int_equal(open_place(&p, NULL, "m", false), MIEN_OK); /* under the old key still, which is in the file */
    assert_string_equal(who(&p, 1), "ann");
    assert_int_equal(mien_gallery_rotate(p.gallery, &done, NULL), MIEN_OK);
    assert_int_equal(done, 1);
    assert_string_equal(who(&p, 1), "ann");
    remove_place(&p);
}

static void changes_by_others_are_taken_up(void **state)
{
    (void)state;
    struct place p;
    float v[DIM];
    make_place(&p);
    assert_int_equal(open_place(&p, KEY, "m", true), MIEN_OK);
    assert_int_equal(enroll(&p, "ann", 1, false), MIEN_OK);
    /* Another gallery over the same store. */
    struct between *b = calloc(1, sizeof *b);
    struct mien_gallery *other;
    struct mien_gallery_settings s = {.model = "m", .dim = DIM, .threads = 1, .store = &b->store};
    *b = *p.between;
    b->store.follow = NULL;
    b->store.close = (void (*)(struct mien_store *))free;
    assert_int_equal(mien_keyring_open(&(struct mien_keyring_settings){.key = KEY}, &s.keyring, NULL, NULL), MIEN_OK);
    assert_int_equal(mien_gallery_open(&s, &other, NULL), MIEN_OK);
    face_of(2, 0, v);
    assert_int_equal(mien_gallery_enroll(other, &(struct mien_enrolment){.user_id = "bob", .rgb = v}, 1, NULL), MIEN_OK);
    assert_string_equal(who(&p, 2), "");
    assert_true(p.between->call(p.between->context, "bob"));
    assert_string_equal(who(&p, 2), "bob");
    assert_int_equal(mien_gallery_delete(other, "ann", NULL), MIEN_OK);
    assert_int_equal(mien_gallery_delete(other, "bob", NULL), MIEN_OK);
    p.between->fail_read = true; /* lost: told again later, and nothing is forgotten meanwhile */
    assert_false(p.between->call(p.between->context, "ann"));
    assert_false(p.between->call(p.between->context, NULL));
    assert_string_equal(who(&p, 1), "ann");
    p.between->fail_read = false;
    assert_true(p.between->call(p.between->context, NULL)); /* anything may have changed */
    assert_string_equal(who(&p, 1), "");
    assert_string_equal(who(&p, 2), "");
    mien_gallery_close(&other);
    remove_place(&p);
}

struct crowd { struct place *place; atomic_int failures; atomic_bool stop; };

static void *enrolls(void *context)
{
    struct crowd *c = context;
    char name[16];
    for (int i = 1000; !c->stop; i++) {
        snprintf(name, sizeof name, "w%d", i % 20);
        if (enroll(c->place, name, i, i % 3 == 0) != MIEN_OK) c->failures++;
        if (i % 7 == 0 && mien_gallery_delete(c->place->gallery, name, NULL) != MIEN_OK) c->failures++;
    }
    return NULL;
}

static void *searches(void *context)
{
    struct crowd *c = context;
    struct mien_hit hit;
    float v[DIM];
    int n;
    while (!c->stop) {
        face_of(5, 0.1f, v);
        if (mien_gallery_search(c->place->gallery, v, 1, 1, 0.8f, &hit, &n, NULL) != MIEN_OK || n != 1 || strcmp(hit.user_id, "stays") != 0) c->failures++;
    }
    return NULL;
}

/* Rotations of keys, or whole reloads, while others write and search. */
static void load_with(bool follows)
{
    struct place p;
    struct crowd c = {.place = &p};
    pthread_t t[3];
    uint64_t done;
    make_place(&p);
    assert_int_equal(open_place(&p, NULL, "m", follows), MIEN_OK);
    assert_int_equal(enroll(&p, "stays", 5, false), MIEN_OK);
    pthread_create(&t[0], NULL, enrolls, &c);
    pthread_create(&t[1], NULL, searches, &c);
    pthread_create(&t[2], NULL, searches, &c);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mien_gallery_rotate(p.gallery, &done, NULL), follows ? MIEN_E_REQUEST : MIEN_OK); /* other servers would not have the key */
        if (follows) assert_true(p.between->call(p.between->context, NULL));
    }
    c.stop = true;
    for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
    assert_int_equal(c.failures, 0);
    const uint64_t before = mien_gallery_state(p.gallery).index.templates;
    mien_gallery_close(&p.gallery);
    assert_int_equal(open_place(&p, NULL, "m", false), MIEN_OK);
    assert_int_equal(mien_gallery_state(p.gallery).index.templates, before); /* memory was what the store has */
    assert_int_equal(mien_gallery_state(p.gallery).unreadable, 0);
    remove_place(&p);
}

static void nothing_is_lost_under_load(void **state)
{
    (void)state;
    load_with(false);
    load_with(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(people_are_enrolled_found_and_deleted), cmocka_unit_test(wrong_enrolments_change_nothing),
                                       cmocka_unit_test(templates_of_another_model_or_key_are_told_apart), cmocka_unit_test(swapped_rows_never_match),
                                       cmocka_unit_test(rotation_leaves_nothing_under_the_old_key), cmocka_unit_test(a_failed_rotation_can_be_repeated),
                                       cmocka_unit_test(changes_by_others_are_taken_up), cmocka_unit_test(nothing_is_lost_under_load)};
    mien_log_set_level(MIEN_LOG_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
