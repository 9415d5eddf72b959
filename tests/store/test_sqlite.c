// needs: -lsqlite3
// The SQLite store: what every store promises, and what becomes of it when the file is foreign, locked, full, read beside it, or its process is killed.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "store/sqlite_inner.h"
#include "support/store_cases.h"

enum { SEALED = 1100 };

/* ---- a folder with a file ---- */

struct place { char dir[40], db[64]; struct mien_store *store; };

static struct mien_store *must_open(const char *path, bool read_only)
{
    struct mien_store *s = NULL;
    struct mien_err e = {0};
    if (mien_sqlite_open(path, read_only, &s, &e) != MIEN_OK) fail_msg("%s", e.msg);
    return s;
}

static int make_place(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    snprintf(p->dir, sizeof p->dir, "/tmp/mien-sqlite-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->db, sizeof p->db, "%s/gallery.db", p->dir);
    p->store = must_open(p->db, false);
    *state = p;
    return 0;
}

static void close_place(struct place *p)
{
    if (p->store != NULL) p->store->close(p->store);
    p->store = NULL;
}

static void reopen(struct place *p)
{
    close_place(p);
    p->store = must_open(p->db, false);
}

static int remove_place(void **state)
{
    struct place *p = *state;
    char command[80];
    close_place(p);
    snprintf(command, sizeof command, "rm -rf %s", p->dir);
    assert_int_equal(system(command), 0);
    free(p);
    return 0;
}

static void write_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static enum mien_code try_open(const char *path, bool read_only, struct mien_err *e)
{
    struct mien_store *s = NULL;
    const enum mien_code code = mien_sqlite_open(path, read_only, &s, e);
    if (code == MIEN_OK) s->close(s);
    else assert_null(s);
    return code;
}

static void must_put(struct mien_store *s, const char *user, int n, unsigned seed, bool append)
{
    struct mien_err e = {0};
    if (store_put_simple(s, user, n, SEALED, seed, append, &e) != MIEN_OK) fail_msg("%s", e.msg);
}

static uint64_t count_users(struct mien_store *s)
{
    uint64_t users = 0, records = 0;
    assert_int_equal(s->count(s, &users, &records, NULL), MIEN_OK);
    return users;
}

/* A connection as another program would have it. */
static sqlite3 *stranger(const struct place *p, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(p->db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    return db;
}

/* ---- what every store promises ---- */

#define CASE(name)                                                                                                                                             \
    static void name(void **state) { store_case_##name(((struct place *)*state)->store); }
STORE_CASES(CASE)

/* ---- opening ---- */

static void everything_is_there_after_reopening(void **state)
{
    struct place *p = *state;
    must_put(p->store, "anna", 3, 1, false);
    must_put(p->store, "o'brien \"x\"; DROP TABLE users; -- \xc3\xa9", 1, 2, false);
    reopen(p);
    assert_true(store_holds_simple(p->store, "anna", 3, SEALED, 1));
    assert_true(store_holds_simple(p->store, "o'brien \"x\"; DROP TABLE users; -- \xc3\xa9", 1, SEALED, 2));
    assert_null(p->store->follow);
    assert_string_equal(p->store->kind, "sqlite");
}

static void the_files_are_their_owners_alone(void **state)
{
    struct place *p = *state;
    static const char *const NAME[] = {"", "-wal", "-shm", ".lock"};
    close_place(p);
    assert_int_equal(unlink(p->db), 0);
    const mode_t before = umask(0);
    p->store = must_open(p->db, false);
    must_put(p->store, "anna", 1, 1, false);
    umask(before);
    for (int i = 0; i < 4; i++) {
        char path[80];
        struct stat st;
        snprintf(path, sizeof path, "%s%s", p->db, NAME[i]);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
}

static void only_one_may_write_and_others_may_read(void **state)
{
    struct place *p = *state;
    struct mien_err e = {0};
    bool existed;
    int done;
    must_put(p->store, "anna", 2, 1, false);
    assert_int_equal(try_open(p->db, false, &e), MIEN_E_STORE_LOCKED);
    struct mien_store *r = must_open(p->db, true);
    assert_true(store_holds_simple(r, "anna", 2, SEALED, 1));
    must_put(p->store, "bert", 1, 2, false);
    assert_true(store_holds_simple(r, "bert", 1, SEALED, 2));
    assert_true(r->alive(r));
    assert_int_equal(store_put_simple(r, "carl", 1, SEALED, 3, false, &e), MIEN_E_STORE);
    assert_int_equal(r->remove(r, "anna", &existed, &e), MIEN_E_STORE);
    assert_int_equal(r->reseal(r, NULL, 0, &done, &e), MIEN_E_STORE);
    assert_int_equal(count_users(r), 2);
    close_place(p); /* the reader keeps what it needs */
    assert_int_equal(count_users(r), 2);
    p->store = must_open(p->db, false);
    must_put(p->store, "dora", 1, 4, false);
    assert_int_equal(count_users(r), 3);
    r->close(r);
}

static void a_file_that_is_no_gallery_is_refused(void **state)
{
    struct place *p = *state;
    char other[64], name[80];
    struct mien_err e = {0};
    snprintf(other, sizeof other, "%s/other.db", p->dir);
    write_file(other, "This is a text and no database. It is long enough for a header, which has one hundred bytes in every SQLite file there is.", 122);
    assert_int_equal(try_open(other, false, &e), MIEN_E_STORE);
    assert_int_equal(try_open(other, true, &e), MIEN_E_STORE);

    unlink(other);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(other, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE bookmarks (x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(try_open(other, false, &e), MIEN_E_STORE);
    assert_non_null(strstr(e.msg, "no gallery"));

    write_file(other, "", 0);
    assert_int_equal(try_open(other, true, &e), MIEN_E_STORE); /* empty: made when opened for writing */
    assert_int_equal(try_open(other, false, &e), MIEN_OK);
    assert_int_equal(try_open(p->dir, false, &e), MIEN_E_STORE);
    snprintf(name, sizeof name, "%s/none/gallery.db", p->dir);
    assert_int_equal(try_open(name, false, &e), MIEN_E_STORE);
    snprintf(name, sizeof name, "%s/none.db", p->dir);
    assert_int_equal(try_open(name, true, &e), MIEN_E_STORE);
    assert_int_equal(access(name, F_OK), -1); /* looking makes nothing */
}

static enum mien_code ignore_record(void *context, const struct mien_user *user, const struct mien_record *r, struct mien_err *e)
{
    (void)context, (void)user, (void)r, (void)e;
    return MIEN_OK;
}

static void a_damaged_file_is_an_error_and_no_crash(void **state)
{
    struct place *p = *state;
    struct mien_err e = {0};
    for (unsigned i = 0; i < 200; i++) {
        char user[16];
        snprintf(user, sizeof user, "user-%u", i);
        must_put(p->store, user, 1, i, false);
    }
    close_place(p);
    struct stat st;
    assert_int_equal(stat(p->db, &st), 0);
    assert_int_equal(truncate(p->db, st.st_size / 2), 0);
    struct mien_store *s = NULL;
    enum mien_code code = mien_sqlite_open(p->db, false, &s, &e);
    if (code == MIEN_OK) code = s->each_record(s, ignore_record, NULL, &e);
    if (s != NULL) s->close(s);
    assert_int_equal(code, MIEN_E_STORE);
    assert_null(strstr(e.msg, "user-"));
}

/* ---- versions ---- */

static int number_of(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    const int n = sqlite3_column_int(s, 0);
    sqlite3_finalize(s);
    return n;
}

static void a_newer_file_is_refused(void **state)
{
    struct place *p = *state;
    struct mien_err e = {0};
    char sql[64];
    must_put(p->store, "anna", 1, 1, false);
    close_place(p);
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", mien_sqlite_version + 1);
    sqlite3_close(stranger(p, sql));
    assert_int_equal(try_open(p->db, false, &e), MIEN_E_STORE_VERSION);
    assert_int_equal(try_open(p->db, true, &e), MIEN_E_STORE_VERSION);
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", mien_sqlite_version);
    sqlite3_close(stranger(p, sql));
    p->store = must_open(p->db, false); /* and was not touched */
    assert_true(store_holds_simple(p->store, "anna", 1, SEALED, 1));
}

/* Versions to come, on a file of the present one. */
static void migration_goes_step_by_step_and_stops_before_one_that_fails(void **state)
{
    struct place *p = *state;
    struct mien_err e = {0};
    const char *step[8];
    const int now = mien_sqlite_version;
    assert_true(now + 3 <= 8);
    for (int i = 0; i < now; i++) step[i] = mien_sqlite_steps[i];
    step[now] = "ALTER TABLE users ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'";
    step[now + 1] = "UPDATE users SET colour = 'red'; UPDATE users SET no_such_column = 1";
    step[now + 2] = "DELETE FROM users";
    must_put(p->store, "anna", 1, 1, false);
    close_place(p);
    sqlite3 *db = stranger(p, "PRAGMA foreign_keys = ON");
    assert_int_equal(mien_sqlite_expect(db, now, &e), MIEN_OK);
    assert_int_equal(mien_sqlite_expect(db, now + 1, &e), MIEN_E_STORE);
    assert_int_equal(mien_sqlite_migrate(db, step, now + 3, &e), MIEN_E_STORE);
    assert_int_equal(number_of(db, "PRAGMA user_version"), now + 1);
    assert_int_equal(number_of(db, "SELECT count(*) FROM users WHERE colour = 'blue'"), 1);
    step[now + 1] = "UPDATE users SET colour = 'red'";
    assert_int_equal(mien_sqlite_migrate(db, step, now + 2, &e), MIEN_OK);
    assert_int_equal(number_of(db, "PRAGMA user_version"), now + 2);
    assert_int_equal(number_of(db, "SELECT count(*) FROM users WHERE colour = 'red'"), 1);
    assert_int_equal(mien_sqlite_migrate(db, step, now, &e), MIEN_E_STORE_VERSION);
    sqlite3_close(db);
}

/* ---- locked, full ---- */

static void a_file_locked_by_another_program_is_an_error_until_it_is_free(void **state)
{
    struct place *p = *state;
    struct mien_err e = {0};
    bool existed;
    must_put(p->store, "anna", 1, 1, false);
    sqlite3 *db = stranger(p, "BEGIN EXCLUSIVE");
    const uint64_t start = mien_now_ns();
    assert_int_equal(store_put_simple(p->store, "bert", 1, SEALED, 2, false, &e), MIEN_E_STORE);
    assert_true(mien_elapsed_ms(start) < 60000);
    assert_int_equal(p->store->remove(p->store, "anna", &existed, &e), MIEN_E_STORE);
    assert_false(existed);
    assert_true(store_holds_simple(p->store, "anna", 1, SEALED, 1)); /* reading goes on */
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(count_users(p->store), 1);
    must_put(p->store, "bert", 1, 2, false);
    assert_true(store_holds_simple(p->store, "bert", 1, SEALED, 2));
}

/* Appends until it fails; how many writes were acknowledged. */
static int fill_up(struct mien_store *s, unsigned from, struct mien_err *e)
{
    for (unsigned i = 0; i < 10000; i++) {
        char user[24];
        snprintf(user, sizeof user, "user-%u", from + i);
        const enum mien_code code = store_put_simple(s, user, 20, SEALED, from + i, false, e);
        if (code == MIEN_E_STORE) return (int)i;
        if (code != MIEN_OK) return -1;
    }
    return -1;
}

static bool holds_all(struct mien_store *s, unsigned from, int n)
{
    bool good = true;
    for (unsigned i = 0; i < (unsigned)n; i++) {
        char user[24];
        snprintf(user, sizeof user, "user-%u", from + i);
        good = good && store_holds_simple(s, user, 20, SEALED, from + i);
    }
    return good;
}

/* In a process of its own: the limit on the size of files stands for a full disk. 0: good; else what went wrong. */
static int live_through_a_full_disk(const char *path)
{
    struct mien_store *s;
    struct mien_err e = {0};
    struct rlimit unlimited, small;
    uint64_t users = 0, records = 0;
    bool existed;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &unlimited);
    small = unlimited;
    if (mien_sqlite_open(path, false, &s, &e) != MIEN_OK) return 1;
    for (unsigned round = 0; round < 3; round++) {
        small.rlim_cur = (round + 1) * 4000000 + 1000 * round;
        setrlimit(RLIMIT_FSIZE, &small);
        const int done = fill_up(s, round * 10000, &e);
        if (done <= 0 || e.code != MIEN_E_STORE || strstr(e.msg, "user-") != NULL) return 2;
        if (s->count(s, &users, &records, &e) != MIEN_OK || records != 20 * users) return 3;
        if (!holds_all(s, round * 10000, done)) return 4;
        setrlimit(RLIMIT_FSIZE, &unlimited);
        if (store_put_simple(s, "after", 20, SEALED, round, false, &e) != MIEN_OK) return 5; /* no restart */
        if (s->remove(s, "user-0", &existed, &e) != MIEN_OK || existed != (round == 0)) return 6;
        if (round == 0 && store_put_simple(s, "user-0", 20, SEALED, 0, false, &e) != MIEN_OK) return 7;
        if (!holds_all(s, round * 10000, done)) return 8;
        if (s->remove(s, "user-0", &existed, &e) != MIEN_OK) return 9;
    }
    s->close(s);
    return 0;
}

static void a_full_disk_is_an_error_until_there_is_room_again(void **state)
{
    struct place *p = *state;
    close_place(p);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(live_through_a_full_disk(p->db));
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    p->store = must_open(p->db, false);
    assert_true(count_users(p->store) > 3);
}

/* ---- deleted bytes ---- */

/* Words that stand in sealed bytes and can be looked for in files. */
enum { WORD = 8, CROWD = 1500, ROUNDS = 6 };

struct words { char word[CROWD * ROUNDS][WORD + 1]; int n; };

static void word_of(unsigned user, unsigned round, char out[WORD + 1])
{
    uint32_t r = (user * 31 + round + 1) * 2654435761u;
    r ^= r >> 15;
    snprintf(out, WORD + 1, "%08x", (unsigned)(r * 2246822519u));
}

static int compare_words(const void *a, const void *b) { return memcmp(a, b, WORD); }

/* How many of the words stand in the files of the folder. In a process of its own: closing a file that SQLite has open would take its locks away. */
static int words_in_folder(const struct place *p, struct words *w)
{
    qsort(w->word, (size_t)w->n, sizeof w->word[0], compare_words);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child != 0) {
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
    }
    int found = 0;
    DIR *dir = opendir(p->dir);
    for (const struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;) {
        char path[320];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", p->dir, d->d_name);
        const int fd = open(path, O_RDONLY);
        char *text = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? malloc((size_t)st.st_size + 1) : NULL;
        const ssize_t n = text != NULL ? read(fd, text, (size_t)st.st_size) : 0;
        for (ssize_t i = 0; i + WORD <= n; i++) found += bsearch(text + i, w->word, (size_t)w->n, sizeof w->word[0], compare_words) != NULL;
    }
    _exit(found > 100 ? 100 : found);
}

/* A round of a crowd: everyone, or every third, gets a template of words. */
static void crowd(struct mien_store *s, unsigned round)
{
    struct mien_put *put = calloc(CROWD, sizeof *put);
    struct mien_record *record = calloc(CROWD, sizeof *record);
    char (*user)[16] = calloc(CROWD, sizeof *user), (*sealed)[2048] = calloc(CROWD, sizeof *sealed);
    int n = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        char word[WORD + 1];
        if (round > 0 && (i * 7 + round) % 3 != 0) continue;
        word_of(i, round, word);
        snprintf(user[n], sizeof user[n], "user-%u", i);
        for (int k = 0; k < 2048; k += WORD) memcpy(sealed[n] + k, word, WORD);
        record[n] = (struct mien_record){.user_id = user[n], .model = "m", .sealed = (uint8_t *)sealed[n], .sealed_n = 800 + (i * 37 + round * 11) % 1200};
        snprintf((char *)record[n].id, MIEN_RECORD_ID, "%u.%s", round, word + 1);
        put[n] = (struct mien_put){.user = {.user_id = user[n], .enrolled_at = 1}, .append = true, .record = &record[n], .n_records = 1};
        n++;
    }
    assert_int_equal(s->put(s, put, n, NULL), MIEN_OK);
    free(put);
    free(record);
    free(user);
    free(sealed);
}

static void add_words(struct words *w, unsigned user)
{
    for (unsigned round = 0; round < ROUNDS; round++)
        if (round == 0 || (user * 7 + round) % 3 == 0) word_of(user, round, w->word[w->n++]);
}

static void removed_and_replaced_bytes_are_in_no_file(void **state)
{
    struct place *p = *state;
    struct words *w = calloc(1, sizeof *w);
    bool existed;
    for (unsigned round = 0; round < ROUNDS; round++) crowd(p->store, round);
    for (unsigned i = 0; i < CROWD; i += 10) add_words(w, i);
    assert_int_equal(words_in_folder(p, w), 100); /* the search finds what is there */
    for (unsigned i = 0; i < CROWD; i += 10) {
        char user[16];
        snprintf(user, sizeof user, "user-%u", i);
        if (i % 20 == 0) assert_int_equal(p->store->remove(p->store, user, &existed, NULL), MIEN_OK);
        else must_put(p->store, user, 1, i, false);
    }
    assert_int_equal(words_in_folder(p, w), 0);
    for (unsigned i = 1; i < CROWD; i += 10) { /* writes to the same pages bring nothing back */
        char user[16];
        snprintf(user, sizeof user, "user-%u", i);
        must_put(p->store, user, 1, i, true);
    }
    assert_int_equal(words_in_folder(p, w), 0);
    reopen(p);
    assert_int_equal(words_in_folder(p, w), 0);
    free(w);
}

/* Somebody else's long look at the file holds up the clearing of it. */
static void a_removal_that_cannot_be_thorough_is_refused(void **state)
{
    struct place *p = *state;
    struct mien_err e = {0};
    struct words *w = calloc(1, sizeof *w);
    bool existed;
    crowd(p->store, 0);
    add_words(w, 7);
    w->n = 1;
    sqlite3 *db = stranger(p, "BEGIN; SELECT count(*) FROM users");
    must_put(p->store, "anna", 1, 1, false); /* writing goes on */
    assert_int_equal(p->store->remove(p->store, "user-7", &existed, &e), MIEN_E_STORE);
    assert_int_equal(store_records_of(p->store, "user-7"), 1);
    mien_log_set_level(MIEN_LOG_OFF);
    must_put(p->store, "user-7", 1, 2, false); /* a replacement is made, and its traces go later */
    must_put(p->store, "user-7", 1, 3, false);
    mien_log_set_level(MIEN_LOG_WARN);
    assert_true(words_in_folder(p, w) > 0);
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    must_put(p->store, "bert", 1, 4, false);
    assert_int_equal(words_in_folder(p, w), 0);
    assert_int_equal(p->store->remove(p->store, "user-7", &existed, &e), MIEN_OK);
    assert_true(existed);
    free(w);
}

static void only_the_gap_of_a_btree_page_is_zeroed(void **state)
{
    (void)state;
    static unsigned char page[4096], want[4096];
    static const struct { unsigned char kind; bool first; size_t from; } ROW[] = {
        {13, false, 8 + 6}, {10, false, 8 + 6}, {5, false, 12 + 6}, {2, false, 12 + 6}, {13, true, 108 + 6}, {0, false, 0}, {1, false, 0}};
    for (size_t i = 0; i < sizeof ROW / sizeof ROW[0]; i++) {
        memset(page, 0xee, sizeof page);
        const size_t at = ROW[i].first ? 100 : 0;
        page[at] = ROW[i].kind;
        page[at + 3] = 0, page[at + 4] = 3;       /* cells */
        page[at + 5] = 0x0f, page[at + 6] = 0x00; /* where they begin */
        memcpy(want, page, sizeof page);
        if (ROW[i].from > 0) memset(want + ROW[i].from, 0, 0xf00 - ROW[i].from);
        mien_sqlite_zero_gap(page, sizeof page, ROW[i].first);
        assert_memory_equal(page, want, sizeof page);
    }
    page[0] = 13, page[3] = 0xff, page[4] = 0xff, page[5] = 0xff, page[6] = 0xff; /* beyond the page */
    memcpy(want, page, sizeof page);
    mien_sqlite_zero_gap(page, sizeof page, false);
    assert_memory_equal(page, want, sizeof page);
}

/* ---- the end of the process ---- */

enum { KILLS = 30, WRITER_TEMPLATES = 3 };

static void user_name(unsigned number, char out[24]) { snprintf(out, 24, "user-%u", number); }

/* Puts users until it is killed, and says of each that it was acknowledged. */
static void put_for_ever(const char *path, unsigned from, int pipe_fd)
{
    struct mien_store *s;
    if (mien_sqlite_open(path, false, &s, NULL) != MIEN_OK) _exit(1);
    for (unsigned i = from;; i++) {
        char user[24];
        user_name(i, user);
        if (store_put_simple(s, user, WRITER_TEMPLATES, SEALED, i, false, NULL) != MIEN_OK) _exit(2);
        if (write(pipe_fd, &i, sizeof i) != sizeof i) _exit(3);
    }
}

/* Starts such a writer, kills it after some time; the last number that was acknowledged, or `from` - 1. */
static unsigned kill_a_writer(const struct place *p, unsigned from, long after_us)
{
    int fd[2];
    unsigned last = from - 1, number;
    assert_int_equal(pipe(fd), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(fd[0]);
        put_for_ever(p->db, from, fd[1]);
    }
    close(fd[1]);
    if (read(fd[0], &number, sizeof number) == sizeof number) last = number; /* it has begun */
    nanosleep(&(struct timespec){0, after_us * 1000}, NULL);
    kill(child, SIGKILL);
    while (read(fd[0], &number, sizeof number) == sizeof number) last = number;
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    close(fd[0]);
    return last;
}

static void acknowledged_users_survive_a_kill_at_any_moment(void **state)
{
    struct place *p = *state;
    unsigned from = 1, random = (unsigned)getpid() * 2654435761u;
    close_place(p);
    for (int round = 0; round < KILLS; round++) {
        char user[24];
        random = random * 1664525u + 1013904223u;
        const unsigned last = kill_a_writer(p, from, (long)(random >> 8) % 40000);
        p->store = must_open(p->db, false);
        for (unsigned i = 1; i <= last; i++) {
            user_name(i, user);
            if (i >= from || i % 17 == 0 || round == KILLS - 1) assert_true(store_holds_simple(p->store, user, WRITER_TEMPLATES, SEALED, i));
        }
        /* The one that it was at when it was killed is there whole or not at all. */
        user_name(last + 1, user);
        const int n = store_records_of(p->store, user);
        assert_true(n == 0 || n == WRITER_TEMPLATES);
        uint64_t users, records;
        assert_int_equal(p->store->count(p->store, &users, &records, NULL), MIEN_OK);
        assert_int_equal(users, last + (n > 0));
        assert_int_equal(records, users * WRITER_TEMPLATES);
        close_place(p);
        from = last + 1 + (n > 0);
        sqlite3 *db = stranger(p, "PRAGMA query_only = ON");
        assert_int_equal(number_of(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
        sqlite3_close(db);
    }
    assert_true(from > KILLS);
}

/* ---- several threads ---- */

struct traffic { struct mien_store *store; atomic_bool end; atomic_int failures; };

static enum mien_code count_user(void *context, const struct mien_user *user, struct mien_err *e)
{
    (void)e;
    *(int *)context += user->templates;
    return MIEN_OK;
}

/* A callback that uses the store it walks over. */
static enum mien_code look_again(void *context, const struct mien_user *user, const struct mien_record *r, struct mien_err *e)
{
    struct mien_store *s = context;
    (void)r;
    return s->user_records(s, user->user_id, ignore_record, NULL, e);
}

static void *read_on(void *context)
{
    struct traffic *t = context;
    struct mien_store *s = t->store;
    while (!atomic_load(&t->end)) {
        int templates = 0;
        uint64_t users, records;
        t->failures += s->list(s, "", 1000, count_user, &templates, NULL) != MIEN_OK;
        t->failures += s->each_record(s, look_again, s, NULL) != MIEN_OK;
        t->failures += s->count(s, &users, &records, NULL) != MIEN_OK || records % 2 != 0;
        t->failures += !s->alive(s);
    }
    return NULL;
}

struct putter { struct traffic *traffic; unsigned number; };

static void *put_some(void *context)
{
    const struct putter *w = context;
    struct traffic *t = w->traffic;
    for (unsigned i = 0; i < 60; i++) {
        char user[24];
        bool existed;
        snprintf(user, sizeof user, "user-%u-%u", w->number, i % 20);
        const unsigned seed = 1000 * w->number + i;
        t->failures += store_put_simple(t->store, user, 2, SEALED, seed, false, NULL) != MIEN_OK;
        t->failures += !store_holds_simple(t->store, user, 2, SEALED, seed);
        if (i % 7 == 0) t->failures += t->store->remove(t->store, user, &existed, NULL) != MIEN_OK || !existed;
    }
    return NULL;
}

static void some_write_while_others_read(void **state)
{
    struct place *p = *state;
    struct traffic t = {.store = p->store};
    struct putter w[2] = {{&t, 1}, {&t, 2}};
    pthread_t writer[2], reader[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&reader[i], NULL, read_on, &t), 0);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&writer[i], NULL, put_some, &w[i]), 0);
    for (int i = 0; i < 2; i++) pthread_join(writer[i], NULL);
    atomic_store(&t.end, true);
    for (int i = 0; i < 2; i++) pthread_join(reader[i], NULL);
    assert_int_equal(t.failures, 0);
}

#define IN_A_PLACE(name) cmocka_unit_test_setup_teardown(name, make_place, remove_place)

#define LISTED(name) IN_A_PLACE(name),

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_CASES(LISTED)
        IN_A_PLACE(everything_is_there_after_reopening),
        IN_A_PLACE(the_files_are_their_owners_alone),
        IN_A_PLACE(only_one_may_write_and_others_may_read),
        IN_A_PLACE(a_file_that_is_no_gallery_is_refused),
        IN_A_PLACE(a_damaged_file_is_an_error_and_no_crash),
        IN_A_PLACE(a_newer_file_is_refused),
        IN_A_PLACE(migration_goes_step_by_step_and_stops_before_one_that_fails),
        IN_A_PLACE(a_file_locked_by_another_program_is_an_error_until_it_is_free),
        IN_A_PLACE(a_full_disk_is_an_error_until_there_is_room_again),
        IN_A_PLACE(removed_and_replaced_bytes_are_in_no_file),
        IN_A_PLACE(a_removal_that_cannot_be_thorough_is_refused),
        cmocka_unit_test(only_the_gap_of_a_btree_page_is_zeroed),
        IN_A_PLACE(acknowledged_users_survive_a_kill_at_any_moment),
        IN_A_PLACE(some_write_while_others_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
