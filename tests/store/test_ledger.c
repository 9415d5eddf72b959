// needs: -lsqlite3
// The ledger: what a step leaves behind, and that the chain of the audit log tells every break. Breaks are made by SQLite's own API on the closed file.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "crypto/digest.h"
#include "store/ledger.h"

struct place { char dir[40], db[64]; struct mien_ledger *ledger; };
enum { FIRST_MS = 1000000 };
static const int64_t DAY = 86400000;

static void open_ledger(struct place *p)
{
    struct mien_err e = {0};
    if (mien_ledger_open(p->db, false, &p->ledger, &e) != MIEN_OK) fail_msg("%s", e.msg);
}

static int make_place(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    assert_non_null(p);
    snprintf(p->dir, sizeof p->dir, "/tmp/mien-ledger-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->db, sizeof p->db, "%s/ledger.db", p->dir);
    open_ledger(p);
    *state = p;
    return 0;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    char command[80];
    mien_ledger_close(&p->ledger);
    snprintf(command, sizeof command, "rm -rf %s", p->dir);
    assert_int_equal(system(command), 0);
    free(p);
    return 0;
}

static enum mien_code add_row(struct mien_ledger *l, int i)
{
    char session[32], details[64];
    snprintf(session, sizeof session, "session-%d", i % 3);
    snprintf(details, sizeof details, "{\"number\":%d}", i);
    const struct mien_audit_row row = {.at_ms = FIRST_MS + i, .event = (enum mien_audit_event)(i % 3), .session_id = session, .user_id = i % 2 ? "ann" : "bob",
                                       .client = "127.0.0.1", .details = details};
    return mien_ledger_write(l, &(struct mien_ledger_step){.row = &row, .n_rows = 1}, NULL);
}

static void add_rows(struct place *p, int n)
{
    for (int i = 1; i <= n; i++) assert_int_equal(add_row(p->ledger, i), MIEN_OK);
}

static struct mien_audit_report report_of(struct mien_ledger *l)
{
    struct mien_audit_report r;
    struct mien_err e = {0};
    if (mien_ledger_verify(l, &r, &e) != MIEN_OK) fail_msg("%s", e.msg);
    return r;
}

static struct mien_audit_report must_be_intact(struct mien_ledger *l)
{
    const struct mien_audit_report r = report_of(l);
    if (!r.intact) fail_msg("%s", r.why);
    return r;
}

/* Does `sql` to the file, and leaves it closed. */
static void change(struct place *p, const char *sql)
{
    sqlite3 *db;
    char *why = NULL;
    mien_ledger_close(&p->ledger);
    assert_int_equal(sqlite3_open(p->db, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) fail_msg("%s: %s", sql, why);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* What is found after it. */
static struct mien_audit_report after(struct place *p, const char *sql)
{
    change(p, sql);
    open_ledger(p);
    return report_of(p->ledger);
}

static int64_t count_in(struct place *p, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    assert_int_equal(sqlite3_open_v2(p->db, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    const int64_t n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return n;
}

/* ---- what is kept ---- */

static const struct mien_ledger_session SESSION = {"s1", "ann", "key-a", "created", 1000, 601000, 0};

static void a_step_is_kept_whole(void **state)
{
    struct place *p = *state;
    struct mien_ledger_session s = SESSION;
    const struct mien_ledger_result result = {"s1", "ann", true, 0.9, 0.8, 0.7, 0.825, 5000, ""};
    const struct mien_ledger_token token = {"jti-1", "s1", "ann", 5000, 905000};
    struct mien_ledger_nonce nonce = {"00ff", "s1", "c1", 2000, 302000, 0};
    const struct mien_audit_row row[2] = {{.at_ms = 5000, .event = MIEN_AUDIT_VERIFICATION_RESULT, .session_id = "s1", .user_id = "ann"},
                                          {.at_ms = 5000, .event = MIEN_AUDIT_TOKEN_ISSUANCE, .session_id = "s1", .details = "{\"jti\":\"jti-1\"}"}};
    assert_int_equal(mien_ledger_write(p->ledger, &(struct mien_ledger_step){.session = &s, .nonce = &nonce}, NULL), MIEN_OK);
    s.status = "passed";
    s.ended_ms = 5000;
    nonce.used_ms = 3000;
    assert_int_equal(mien_ledger_write(p->ledger, &(struct mien_ledger_step){&s, &result, &token, &nonce, row, 2}, NULL), MIEN_OK);
    assert_int_equal(count_in(p, "SELECT count(*) FROM sessions WHERE status = 'passed' AND ended_ms = 5000 AND client = 'key-a'"), 1);
    assert_int_equal(count_in(p, "SELECT count(*) FROM verification_results WHERE passed = 1 AND final = 0.825 AND emotion = 0.8"), 1);
    assert_int_equal(count_in(p, "SELECT count(*) FROM tokens WHERE jti = 'jti-1' AND expires_ms = 905000"), 1);
    assert_int_equal(count_in(p, "SELECT count(*) FROM nonces WHERE nonce_hash = '00ff' AND used_ms = 3000"), 1);
    const struct mien_audit_report r = must_be_intact(p->ledger);
    assert_int_equal(r.rows, 2);
    /* A token is written once: the second time nothing of the step is. */
    assert_int_equal(mien_ledger_write(p->ledger, &(struct mien_ledger_step){.token = &token, .result = &result, .row = row, .n_rows = 2}, NULL), MIEN_E_STORE);
    assert_int_equal(count_in(p, "SELECT count(*) FROM verification_results"), 1);
    assert_int_equal(must_be_intact(p->ledger).rows, 2);
}

static void the_file_is_its_owners_and_one_process_writes(void **state)
{
    struct place *p = *state;
    struct stat st;
    struct mien_ledger *other = NULL;
    struct mien_err e = {0};
    assert_int_equal(stat(p->db, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(mien_ledger_open(p->db, false, &other, &e), MIEN_E_STORE_LOCKED);
    assert_null(other);
    add_rows(p, 2);
    assert_int_equal(mien_ledger_open(p->db, true, &other, NULL), MIEN_OK); /* beside it */
    assert_int_equal(must_be_intact(other).rows, 2);
    assert_int_equal(add_row(other, 1), MIEN_E_STORE);
    add_rows(p, 1);
    assert_int_equal(must_be_intact(other).rows, 3);
    mien_ledger_close(&other);
    char nowhere[80];
    snprintf(nowhere, sizeof nowhere, "%s/none.db", p->dir);
    assert_int_equal(mien_ledger_open(nowhere, true, &other, &e), MIEN_E_STORE);
    assert_non_null(strstr(e.msg, "no ledger"));
    assert_int_equal(access(nowhere, F_OK), -1);
}

static void a_foreign_or_newer_file_is_refused(void **state)
{
    struct place *p = *state;
    struct mien_err e = {0};
    change(p, "PRAGMA user_version = 9");
    assert_int_equal(mien_ledger_open(p->db, false, &p->ledger, &e), MIEN_E_STORE_VERSION);
    change(p, "PRAGMA user_version = 1; PRAGMA application_id = 77");
    assert_int_equal(mien_ledger_open(p->db, false, &p->ledger, &e), MIEN_E_STORE);
    assert_non_null(strstr(e.msg, "no ledger"));
}

struct seen { int n; int64_t seq[8]; char user[8][8], hash[65]; };
static enum mien_code see(void *context, const struct mien_audit_row *row, struct mien_err *e)
{
    struct seen *s = context;
    MIEN_FAIL_IF(s->n == 8, e, MIEN_E_LIMIT, "enough");
    s->seq[s->n] = row->seq;
    snprintf(s->user[s->n++], 8, "%s", row->user_id);
    memcpy(s->hash, row->hash, 65);
    return MIEN_OK;
}

static struct seen list(struct place *p, struct mien_audit_filter f)
{
    struct seen s = {0};
    assert_int_equal(mien_ledger_list(p->ledger, &f, see, &s, NULL), MIEN_OK);
    return s;
}

static void the_log_is_listed_by_what_is_asked(void **state)
{
    struct place *p = *state;
    add_rows(p, 12);
    struct seen s = list(p, (struct mien_audit_filter){.event = -1, .limit = 3});
    assert_int_equal(s.n, 3);
    assert_int_equal(s.seq[0], 10);
    assert_int_equal(s.seq[2], 12);
    assert_string_equal(s.hash, must_be_intact(p->ledger).head);
    s = list(p, (struct mien_audit_filter){.session_id = "session-1", .event = -1, .limit = 8});
    assert_int_equal(s.n, 4);
    assert_int_equal(s.seq[0], 1);
    s = list(p, (struct mien_audit_filter){.user_id = "ann", .event = MIEN_AUDIT_SESSION_CREATED, .limit = 8});
    assert_int_equal(s.n, 2); /* 3 and 9 */
    assert_int_equal(s.seq[1], 9);
    assert_string_equal(s.user[0], "ann");
    s = list(p, (struct mien_audit_filter){.event = -1, .since_ms = FIRST_MS + 11, .limit = 8});
    assert_int_equal(s.n, 2);
    assert_int_equal(mien_ledger_list(p->ledger, &(struct mien_audit_filter){.event = -1, .limit = 100}, see, &(struct seen){0}, NULL), MIEN_E_LIMIT);
    for (int i = 0; i < MIEN_AUDIT_EVENTS; i++) assert_int_equal(mien_audit_parse(mien_audit_name((enum mien_audit_event)i)), i);
    assert_int_equal(mien_audit_parse("lunch"), -1);
}

/* ---- the chain ---- */

static void the_hash_is_what_the_documentation_says(void **state)
{
    struct place *p = *state;
    char hash[65];
    const struct mien_audit_row row = {.at_ms = 7, .event = MIEN_AUDIT_SESSION_START, .session_id = "s", .user_id = "ann", .client = "",
                                       .details = "{\"a\":1}"};
    assert_int_equal(mien_ledger_write(p->ledger, &(struct mien_ledger_step){.row = &row, .n_rows = 1}, NULL), MIEN_OK);
    const char TEXT[] = "64:0000000000000000000000000000000000000000000000000000000000000000" "1:1" "1:7" "13:session_start" "1:s" "3:ann" "0:" "7:{\"a\":1}";
    assert_int_equal(mien_sha256_hex(TEXT, sizeof TEXT - 1, hash, NULL), MIEN_OK);
    assert_string_equal(must_be_intact(p->ledger).head, hash);
}

static void an_empty_log_is_intact(void **state)
{
    struct place *p = *state;
    const struct mien_audit_report r = must_be_intact(p->ledger);
    assert_int_equal(r.rows, 0);
    assert_int_equal(r.first_seq, 0);
    assert_int_equal(r.last_seq, 0);
    for (int i = 0; i < 64; i++) assert_int_equal(r.head[i], '0');
}

static void every_break_is_found_and_names_its_row(void **state)
{
    static const struct { const char *what, *sql; int64_t row; } BREAK[] = {
        {"first row removed", "DELETE FROM audit_logs WHERE seq = 1", 1},
        {"middle row removed", "DELETE FROM audit_logs WHERE seq = 4", 4},
        {"last row removed", "DELETE FROM audit_logs WHERE seq = 6", 6},
        {"last two removed", "DELETE FROM audit_logs WHERE seq > 4", 5},
        {"all removed", "DELETE FROM audit_logs", 1},
        {"time changed", "UPDATE audit_logs SET at_ms = at_ms + 1 WHERE seq = 3", 3},
        {"event changed", "UPDATE audit_logs SET event = 'token_issuance' WHERE seq = 3", 3},
        {"session changed", "UPDATE audit_logs SET session_id = 'session-9' WHERE seq = 3", 3},
        {"user changed", "UPDATE audit_logs SET user_id = 'eve' WHERE seq = 1", 1},
        {"client changed", "UPDATE audit_logs SET client = '127.0.0.2' WHERE seq = 6", 6},
        {"details changed", "UPDATE audit_logs SET details = '{}' WHERE seq = 2", 2},
        {"text moved over a field's border", "UPDATE audit_logs SET user_id = user_id || '1', client = substr(client, 2) WHERE seq = 2", 2},
        {"text behind a NUL", "UPDATE audit_logs SET user_id = user_id || char(0) || 'x' WHERE seq = 5", 5},
        {"hash changed", "UPDATE audit_logs SET hash = replace(hash, 'a', 'b') WHERE seq = 5", 5},
        {"hash longer", "UPDATE audit_logs SET hash = hash || 'x' WHERE seq = 5", 5},
        {"hash empty", "UPDATE audit_logs SET hash = '' WHERE seq = 5", 5},
        {"rows swapped", "UPDATE audit_logs SET seq = -1 WHERE seq = 2; UPDATE audit_logs SET seq = 2 WHERE seq = 3;"
         "UPDATE audit_logs SET seq = 3 WHERE seq = -1", 2},
        {"row inserted at the end", "INSERT INTO audit_logs SELECT 7, at_ms, event, session_id, user_id, client, details, hash FROM audit_logs"
         " WHERE seq = 6", 7},
        {"row inserted in the middle", "UPDATE audit_logs SET seq = seq + 100 WHERE seq > 3; UPDATE audit_logs SET seq = seq - 99 WHERE seq > 100;"
         "INSERT INTO audit_logs SELECT 4, at_ms, event, session_id, user_id, client, details, hash FROM audit_logs WHERE seq = 3", 4},
        {"row inserted before", "INSERT INTO audit_logs SELECT 0, at_ms, event, session_id, user_id, client, details, hash FROM audit_logs WHERE seq = 1", 0},
        {"beginning moved", "UPDATE audit_chain SET anchor = replace(anchor, '0', '1')", 1},
        {"beginning moved behind a row", "UPDATE audit_chain SET anchor_seq = 1, anchor = (SELECT hash FROM audit_logs WHERE seq = 1)", 1},
        {"rows cut off as if purged", "UPDATE audit_chain SET anchor_seq = 2, anchor = (SELECT hash FROM audit_logs WHERE seq = 2);"
         "DELETE FROM audit_logs WHERE seq < 3", 2},
        {"end moved", "UPDATE audit_chain SET head = replace(head, substr(head, 1, 1), 'x')", 6},
        {"end moved back", "UPDATE audit_chain SET head_seq = 5, head = (SELECT hash FROM audit_logs WHERE seq = 5)", 6},
    };
    struct place *p = *state;
    char copy[160];
    add_rows(p, 6);
    assert_int_equal(must_be_intact(p->ledger).rows, 6);
    mien_ledger_close(&p->ledger);
    snprintf(copy, sizeof copy, "cp %s %s.good", p->db, p->db);
    assert_int_equal(system(copy), 0);
    snprintf(copy, sizeof copy, "cp %s.good %s", p->db, p->db);
    for (size_t i = 0; i < sizeof BREAK / sizeof BREAK[0]; i++) {
        const struct mien_audit_report r = after(p, BREAK[i].sql);
        char row[32];
        snprintf(row, sizeof row, "row %" PRId64 " ", BREAK[i].row);
        if (r.intact || r.broken_seq != BREAK[i].row || strncmp(r.why, row, strlen(row)) != 0)
            fail_msg("%s: intact %d, row %" PRId64 ": %s", BREAK[i].what, r.intact, r.broken_seq, r.why);
        mien_ledger_close(&p->ledger);
        assert_int_equal(system(copy), 0);
    }
    open_ledger(p);
    must_be_intact(p->ledger);
}

static void a_ledger_without_its_end_is_an_error(void **state)
{
    struct place *p = *state;
    struct mien_audit_report r;
    struct mien_err e = {0};
    add_rows(p, 1);
    change(p, "DELETE FROM audit_chain");
    open_ledger(p);
    assert_int_equal(mien_ledger_verify(p->ledger, &r, &e), MIEN_E_STORE);
    assert_int_equal(add_row(p->ledger, 1), MIEN_E_STORE);
}

/* ---- purging ---- */

static void write_at(struct place *p, int64_t at_ms, const char *secret)
{
    struct mien_ledger_session s = SESSION;
    char name[3][32];
    for (int i = 0; i < 3; i++) snprintf(name[i], sizeof name[i], "%d-%" PRId64, i, at_ms);
    s.session_id = name[0];
    s.created_ms = at_ms;
    s.expires_ms = at_ms + 1000;
    const struct mien_ledger_result result = {name[0], secret, true, 1, 1, 1, 1, at_ms, ""};
    const struct mien_ledger_token token = {name[1], name[0], secret, at_ms, at_ms + 1000};
    const struct mien_ledger_nonce nonce = {name[2], name[0], "c", at_ms, at_ms + 1000, 0};
    const struct mien_audit_row row = {.at_ms = at_ms, .event = MIEN_AUDIT_SESSION_CREATED, .session_id = name[0], .user_id = secret};
    assert_int_equal(mien_ledger_write(p->ledger, &(struct mien_ledger_step){&s, &result, &token, &nonce, &row, 1}, NULL), MIEN_OK);
}

static bool in_files(struct place *p, const char *text)
{
    char command[160];
    snprintf(command, sizeof command, "grep -q -a %s %s/ledger.db*", text, p->dir);
    return system(command) == 0;
}

static void a_purge_keeps_the_chain_provable(void **state)
{
    struct place *p = *state;
    int64_t removed = -1;
    for (int i = 0; i < 5; i++) write_at(p, i * DAY, "OLDPERSON");
    for (int i = 5; i < 10; i++) write_at(p, i * DAY, "newperson");
    const struct mien_audit_report before = must_be_intact(p->ledger);
    assert_int_equal(mien_ledger_purge(p->ledger, 10 * DAY, 5 * DAY, &removed, NULL), MIEN_OK);
    assert_int_equal(removed, 5 * 4 + 10); /* of every table 5, and all nonces */
    const struct mien_audit_report r = must_be_intact(p->ledger);
    assert_int_equal(r.rows, 5 + 2);
    assert_int_equal(r.first_seq, 6);
    assert_int_equal(r.purged_seq, 5);
    assert_string_not_equal(r.head, before.head);
    assert_int_equal(count_in(p, "SELECT count(*) FROM sessions"), 5);
    assert_int_equal(count_in(p, "SELECT count(*) FROM nonces"), 0);
    assert_int_equal(count_in(p, "SELECT count(*) FROM audit_logs WHERE event IN ('log_purge', 'nonce_purge') AND at_ms = 864000000"), 2);
    assert_false(in_files(p, "OLDPERSON")); /* the bytes are gone too */
    assert_true(in_files(p, "newperson"));
    assert_int_equal(mien_ledger_purge(p->ledger, 10 * DAY, 5 * DAY, &removed, NULL), MIEN_OK);
    assert_int_equal(removed, 0); /* nothing to do leaves no row */
    assert_int_equal(must_be_intact(p->ledger).rows, 7);
    /* Breaks around the beginning. */
    char copy[160];
    mien_ledger_close(&p->ledger);
    snprintf(copy, sizeof copy, "cp %s %s.good", p->db, p->db);
    assert_int_equal(system(copy), 0);
    snprintf(copy, sizeof copy, "cp %s.good %s", p->db, p->db);
    const struct { const char *sql; int64_t row; } BREAK[] = {
        {"DELETE FROM audit_logs WHERE seq = 6", 6},
        {"UPDATE audit_chain SET anchor = replace(anchor, substr(anchor, 1, 1), 'x')", 6},
        {"UPDATE audit_chain SET anchor_seq = 6, anchor = (SELECT hash FROM audit_logs WHERE seq = 6); DELETE FROM audit_logs WHERE seq = 6", 6},
        {"UPDATE audit_logs SET user_id = 'x' WHERE seq = 6", 6},
        {"DELETE FROM audit_logs WHERE event = 'log_purge'", 11}};
    for (size_t i = 0; i < sizeof BREAK / sizeof BREAK[0]; i++) {
        const struct mien_audit_report b = after(p, BREAK[i].sql);
        if (b.intact || b.broken_seq != BREAK[i].row) fail_msg("%s: intact %d, row %" PRId64 ": %s", BREAK[i].sql, b.intact, b.broken_seq, b.why);
        mien_ledger_close(&p->ledger);
        assert_int_equal(system(copy), 0);
    }
    open_ledger(p);
    /* Later even that purge's row is purged, and all others. */
    assert_int_equal(mien_ledger_purge(p->ledger, 100 * DAY, 5 * DAY, &removed, NULL), MIEN_OK);
    const struct mien_audit_report last = must_be_intact(p->ledger);
    assert_int_equal(last.rows, 1);
    assert_int_equal(last.first_seq, 13);
    assert_int_equal(last.purged_seq, 12);
}

/* ---- interruption and threads ---- */

static void a_killed_process_leaves_an_intact_chain(void **state)
{
    struct place *p = *state;
    int64_t before = 0;
    mien_ledger_close(&p->ledger);
    for (int round = 0; round < 5; round++) {
        int pipe_fd[2];
        assert_int_equal(pipe(pipe_fd), 0);
        const pid_t child = fork();
        if (child == 0) {
            struct mien_ledger *l = NULL;
            if (mien_ledger_open(p->db, false, &l, NULL) != MIEN_OK) _exit(1);
            for (unsigned char i = 0;; i++)
                if (add_row(l, i) != MIEN_OK || write(pipe_fd[1], &i, 1) != 1) _exit(1);
        }
        close(pipe_fd[1]);
        unsigned char done = 0;
        for (int i = 0; i < 20 + round; i++) assert_int_equal(read(pipe_fd[0], &done, 1), 1);
        assert_int_equal(kill(child, SIGKILL), 0);
        int64_t written = 20 + round;
        while (read(pipe_fd[0], &done, 1) == 1) written++;
        assert_int_equal(waitpid(child, NULL, 0), child);
        close(pipe_fd[0]);
        open_ledger(p);
        const int64_t rows = must_be_intact(p->ledger).rows;
        assert_true(rows >= before + written); /* what was said to be written is */
        before = rows;
        mien_ledger_close(&p->ledger);
    }
    open_ledger(p);
}

static void *write_many(void *context)
{
    struct mien_ledger *l = context;
    struct mien_audit_report r;
    intptr_t bad = 0;
    for (int i = 0; i < 20; i++) bad += add_row(l, i) != MIEN_OK;
    bad += mien_ledger_verify(l, &r, NULL) != MIEN_OK || !r.intact;
    return (void *)bad;
}

static void threads_write_one_chain(void **state)
{
    struct place *p = *state;
    pthread_t thread[8];
    for (int i = 0; i < 8; i++) assert_int_equal(pthread_create(&thread[i], NULL, write_many, p->ledger), 0);
    for (int i = 0; i < 8; i++) {
        void *bad;
        assert_int_equal(pthread_join(thread[i], &bad), 0);
        assert_null(bad);
    }
    const struct mien_audit_report r = must_be_intact(p->ledger);
    assert_int_equal(r.rows, 160);
    assert_int_equal(r.last_seq, 160);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(a_step_is_kept_whole),
        IN_PLACE(the_file_is_its_owners_and_one_process_writes),
        IN_PLACE(a_foreign_or_newer_file_is_refused),
        IN_PLACE(the_log_is_listed_by_what_is_asked),
        IN_PLACE(the_hash_is_what_the_documentation_says),
        IN_PLACE(an_empty_log_is_intact),
        IN_PLACE(every_break_is_found_and_names_its_row),
        IN_PLACE(a_ledger_without_its_end_is_an_error),
        IN_PLACE(a_purge_keeps_the_chain_provable),
        IN_PLACE(a_killed_process_leaves_an_intact_chain),
        IN_PLACE(threads_write_one_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
