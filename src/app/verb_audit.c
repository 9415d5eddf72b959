/* mien audit verify and audit list: the audit log of live sessions, read beside a running server. docs/audit.md. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/sessions.h"
#include "base/clock.h"
#include "store/ledger.h"

enum { MOST_ROWS = 1000000000, HASH_DIGITS = 64 };

/* Reads options and opens the ledger for reading. Returns -1 with *out, else the exit status. */
static int open_ledger(struct mien_cli *cli, int argc, char **argv, const struct mien_opt *opts, int n_opts, struct mien_ledger **out)
{
    struct mien_config *config;
    struct mien_serve_settings s;
    struct mien_err e = {0};
    char dir[MIEN_PATH], path[MIEN_PATH];
    int first;
    *out = NULL;
    const int status = mien_config_read_with(cli, argc, argv, opts, n_opts, "DATA_DIR|DATABASE_URL", 0, 0, &first, &config);
    if (status >= 0) return status;
    enum mien_code code = mien_config_settings(config, &s, &e);
    if (code == MIEN_OK) code = mien_data_dir(&s, false, dir, &e);
    if (code == MIEN_OK) code = mien_ledger_path(&s, dir, path, &e);
    if (code == MIEN_OK) code = mien_cli_about(path, mien_ledger_open(path, true, out, &e), &e);
    mien_config_free(&config);
    return code == MIEN_OK ? -1 : mien_cli_fail(&e);
}

static void time_member(struct mien_jw *w, int64_t at_ms)
{
    char text[40];
    mien_utc_text(at_ms, text);
    mien_jw_put_string(w, "at", text);
}

/* ---- verify ---- */

/* A head that somebody has kept: "SEQ:HASH". */
struct kept { int64_t seq; char hash[HASH_DIGITS + 1]; bool found, same; };

static bool read_kept(const char *text, struct kept *k)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') return false;
    k->seq = strtoll(text, &end, 10);
    if (*end != ':' || strlen(end + 1) != HASH_DIGITS || strspn(end + 1, "0123456789abcdef") != HASH_DIGITS) return false;
    memcpy(k->hash, end + 1, sizeof k->hash);
    return true;
}

static enum mien_code compare_kept(void *context, const struct mien_audit_row *row, struct mien_err *e)
{
    (void)e;
    struct kept *k = context;
    if (row->seq != k->seq) return MIEN_OK;
    k->found = true;
    k->same = strcmp(row->hash, k->hash) == 0;
    return MIEN_OK;
}

/* Whether the chain, which is intact, has the kept head. One that lies before what was purged cannot be compared. */
static enum mien_code find_kept(struct mien_ledger *l, struct kept *k, struct mien_audit_report *r, struct mien_err *e)
{
    const struct mien_audit_filter all = {.event = -1, .since_ms = INT64_MIN, .limit = MOST_ROWS};
    if (k->seq == r->purged_seq) { /* also 0 and zeros: an empty log's head */
        k->found = true;
        k->same = strcmp(k->hash, r->purged) == 0;
    } else {
        MIEN_FAIL_IF(k->seq < r->purged_seq, e, MIEN_E_ARG, "--head: row %" PRId64 " was purged; the log begins behind row %" PRId64, k->seq, r->purged_seq);
        MIEN_TRY(mien_ledger_list(l, &all, compare_kept, k, e));
    }
    if (k->found && k->same) return MIEN_OK;
    r->intact = false;
    r->broken_seq = k->seq;
    snprintf(r->why, sizeof r->why, "row %" PRId64 " %s", k->seq, k->found ? "is another one than the head that was kept: the log was made anew"
                                                                           : "of the head that was kept is not in the log: it was cut off");
    return MIEN_OK;
}

static void add_report(struct mien_buf *b, const struct mien_audit_report *r, bool json)
{
    struct mien_jw w;
    if (!json) {
        if (r->intact) mien_buf_addf(b, "intact: %" PRId64 " rows", r->rows);
        else mien_buf_addf(b, "broken: %s", r->why);
        if (r->intact && r->rows > 0) mien_buf_addf(b, ", %" PRId64 " to %" PRId64, r->first_seq, r->last_seq);
        mien_buf_addf(b, "\n");
        if (r->intact) mien_buf_addf(b, "head: %" PRId64 ":%s\n", r->rows > 0 ? r->last_seq : r->purged_seq, r->head);
        return;
    }
    mien_jw_init(&w, b);
    mien_jw_object(&w);
    mien_jw_key(&w, "intact");
    mien_jw_bool(&w, r->intact);
    mien_jw_put_integer(&w, "rows", r->rows);
    mien_jw_put_integer(&w, "first_seq", r->first_seq);
    mien_jw_put_integer(&w, "last_seq", r->last_seq);
    mien_jw_put_integer(&w, "purged_seq", r->purged_seq);
    mien_jw_put_string(&w, "head", r->head);
    if (!r->intact) {
        mien_jw_put_integer(&w, "broken_seq", r->broken_seq);
        mien_jw_put_string(&w, "why", r->why);
    }
    mien_jw_end_object(&w);
    mien_buf_adds(b, "\n");
}

int mien_verb_audit_verify(struct mien_cli *cli, int argc, char **argv)
{
    const char *head = NULL;
    const struct mien_opt opts[] = {{"head", MIEN_OPT_TEXT, &head, "SEQ:HASH", "a head that this verb has printed earlier: it must be in the log", 0, 0}};
    struct mien_audit_report r;
    struct mien_ledger *l;
    struct mien_err e = {0};
    struct mien_buf b;
    struct kept k = {0};
    const int status = open_ledger(cli, argc, argv, opts, 1, &l);
    if (status >= 0) return status;
    enum mien_code code = head == NULL || read_kept(head, &k) ? MIEN_OK : MIEN_FAIL(&e, MIEN_E_ARG, "--head takes SEQ:HASH, as this verb prints it");
    if (code == MIEN_OK) code = mien_ledger_verify(l, &r, &e);
    if (code == MIEN_OK && r.intact && head != NULL) code = find_kept(l, &k, &r, &e);
    mien_ledger_close(&l);
    if (code != MIEN_OK) return mien_cli_fail(&e);
    mien_buf_init(&b, MIEN_OUTPUT_BYTES);
    add_report(&b, &r, cli->json);
    return mien_cli_print(&b, r.intact ? MIEN_EXIT_YES : MIEN_EXIT_NO);
}

/* ---- list ---- */

struct listing { struct mien_buf out; struct mien_jw w; bool json; };

static void add_json_row(struct mien_jw *w, const struct mien_audit_row *row)
{
    struct mien_json *details = NULL;
    mien_jw_object(w);
    mien_jw_put_integer(w, "seq", row->seq);
    time_member(w, row->at_ms);
    mien_jw_put_string(w, "event", mien_audit_name(row->event));
    mien_jw_put_string(w, "session_id", row->session_id);
    mien_jw_put_string(w, "user_id", row->user_id);
    mien_jw_put_string(w, "client", row->client);
    mien_jw_key(w, "details");
    if (mien_json_parse(row->details, strlen(row->details), &details, NULL) == MIEN_OK) mien_jw_copy(w, details);
    else mien_jw_string(w, row->details); /* somebody has written there */
    mien_json_free(&details);
    mien_jw_put_string(w, "hash", row->hash);
    mien_jw_end_object(w);
}

static void add_word(struct mien_buf *b, const char *word)
{
    mien_buf_adds(b, "  ");
    mien_cli_add_safe(b, word[0] != '\0' ? word : "-");
}

static enum mien_code add_row(void *context, const struct mien_audit_row *row, struct mien_err *e)
{
    struct listing *l = context;
    char at[40];
    if (l->json) {
        add_json_row(&l->w, row);
    } else {
        mien_utc_text(row->at_ms, at);
        mien_buf_addf(&l->out, "%6" PRId64 "  %s  %-19s", row->seq, at, mien_audit_name(row->event));
        add_word(&l->out, row->session_id);
        add_word(&l->out, row->user_id);
        add_word(&l->out, row->client);
        add_word(&l->out, row->details);
        mien_buf_adds(&l->out, "\n");
    }
    MIEN_FAIL_IF(l->out.failed, e, MIEN_E_LIMIT, "the list is too long for memory: use --limit");
    return MIEN_OK;
}

/* "2026-11-21" or "2026-11-21T09:30:00Z". */
static bool read_time(const char *text, int64_t *at_ms)
{
    struct tm day = {0}, moment = {0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &moment);
    if (end != NULL && *end == '\0') day = moment;
    else if ((end = strptime(text, "%Y-%m-%d", &day)) == NULL || *end != '\0') return false;
    *at_ms = (int64_t)timegm(&day) * 1000;
    return true;
}

static enum mien_code read_filter(const char *event, const char *since, struct mien_audit_filter *f, struct mien_err *e)
{
    f->event = event != NULL ? mien_audit_parse(event) : -1;
    f->since_ms = INT64_MIN;
    MIEN_FAIL_IF(event != NULL && f->event < 0, e, MIEN_E_ARG, "--event: there is no event '%.60s'", event);
    MIEN_FAIL_IF(since != NULL && !read_time(since, &f->since_ms), e, MIEN_E_ARG, "--since takes 2026-11-21 or 2026-11-21T09:30:00Z (UTC), not '%.60s'", since);
    return MIEN_OK;
}

static enum mien_code list_rows(struct mien_ledger *ledger, const struct mien_audit_filter *f, struct listing *l, struct mien_err *e)
{
    mien_jw_init(&l->w, &l->out);
    if (l->json) {
        mien_jw_object(&l->w);
        mien_jw_key(&l->w, "rows");
        mien_jw_array(&l->w);
    }
    MIEN_TRY(mien_ledger_list(ledger, f, add_row, l, e));
    if (l->json) {
        mien_jw_end_array(&l->w);
        mien_jw_end_object(&l->w);
        mien_buf_adds(&l->out, "\n");
    }
    return MIEN_OK;
}

int mien_verb_audit_list(struct mien_cli *cli, int argc, char **argv)
{
    const char *event = NULL, *since = NULL;
    struct mien_audit_filter f = {.limit = 100};
    const struct mien_opt opts[] = {
        {"session", MIEN_OPT_TEXT, &f.session_id, "ID", "only of this session", 0, 0},
        {"user", MIEN_OPT_TEXT, &f.user_id, "ID", "only of this user", 0, 0},
        {"event", MIEN_OPT_TEXT, &event, "NAME", "only this event: session_created, token_issuance, ... (docs/audit.md)", 0, 0},
        {"since", MIEN_OPT_TEXT, &since, "TIME", "not before this day or moment, UTC", 0, 0},
        {"limit", MIEN_OPT_INT, &f.limit, "N", "the newest so many (default 100)", 1, MOST_ROWS}};
    struct mien_ledger *ledger;
    struct mien_err e = {0};
    struct listing l = {.json = false};
    const int status = open_ledger(cli, argc, argv, opts, sizeof opts / sizeof opts[0], &ledger);
    if (status >= 0) return status;
    l.json = cli->json;
    mien_buf_init(&l.out, MIEN_OUTPUT_BYTES);
    enum mien_code code = read_filter(event, since, &f, &e);
    if (code == MIEN_OK) code = list_rows(ledger, &f, &l, &e);
    mien_ledger_close(&ledger);
    if (code == MIEN_OK) return mien_cli_print(&l.out, MIEN_EXIT_YES);
    mien_buf_free(&l.out);
    return mien_cli_fail(&e);
}
