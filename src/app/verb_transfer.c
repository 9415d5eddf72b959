/* mien gallery export and gallery import. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/reach.h"
#include "gallery/transfer.h"
#include "gallery/half.h"

enum { PAGE = 1000, PAGE_BYTES = 64 << 20, LINE_BYTES = 64 << 10, BODY_BYTES = 16 << 20 /* of one request */ };

/* ---- export ---- */

struct exported_user { const char *user_id, *name, *metadata; };

struct exporting {
    FILE *to;
    struct mien_keyring *keyring;
    struct mien_arena *arena;            /* of a page of users */
    struct exported_user *user;
    int n;
    const struct exported_user *current; /* the one whose records come */
    bool first;                          /* its first record is still to come */
    struct mien_buf line;
    struct mien_template template;
    float rgb[MIEN_TEMPLATE_DIM], depth[MIEN_TEMPLATE_DIM];
    uint64_t users, templates, unreadable;
    enum mien_code why;                  /* of an unreadable one */
};

static enum mien_code collect_user(void *context, const struct mien_user *u, struct mien_err *e)
{
    struct exporting *x = context;
    struct exported_user *to = &x->user[x->n++];
    to->user_id = mien_arena_strndup(x->arena, u->user_id, strlen(u->user_id));
    to->name = mien_arena_strndup(x->arena, u->name, strlen(u->name));
    to->metadata = mien_arena_strndup(x->arena, u->metadata, strlen(u->metadata));
    MIEN_FAIL_IF(to->user_id == NULL || to->name == NULL || to->metadata == NULL, e, MIEN_E_NOMEM, "out of memory");
    return MIEN_OK;
}

static enum mien_code write_template(struct exporting *x, const struct mien_record *r, struct mien_err *e)
{
    const struct mien_template *t = &x->template;
    const struct exported_user *u = x->current;
    mien_half_to_float(t->rgb, x->rgb, (size_t)t->dim);
    mien_half_to_float(t->depth, x->depth, (size_t)t->depth_dim);
    const struct mien_line line = {.user_id = u->user_id, .name = x->first && u->name[0] != '\0' ? u->name : NULL, .metadata = x->first ? u->metadata : NULL,
                                   .model = r->model, .rgb = x->rgb, .depth = t->depth_dim > 0 ? x->depth : NULL, .dim = t->dim, .depth_dim = t->depth_dim,
                                   .append = !x->first};
    x->line.len = 0;
    mien_line_write(&x->line, &line);
    MIEN_FAIL_IF(x->line.failed, e, MIEN_E_NOMEM, "out of memory");
    MIEN_FAIL_IF(fwrite(x->line.data, 1, x->line.len, x->to) != x->line.len, e, MIEN_E_IO, "%s", strerror(errno));
    x->users += x->first;
    x->first = false;
    x->templates++;
    return MIEN_OK;
}

static enum mien_code export_record(void *context, const struct mien_user *user, const struct mien_record *r, struct mien_err *e)
{
    struct exporting *x = context;
    (void)user;
    const enum mien_code code = mien_template_open(x->keyring, r, &x->template, NULL);
    if (code == MIEN_OK) return write_template(x, r, e);
    x->unreadable++;
    x->why = code;
    return MIEN_OK;
}

static enum mien_code export_users(struct mien_store *s, struct exporting *x, struct mien_err *e)
{
    for (int i = 0; i < x->n; i++) {
        x->current = &x->user[i];
        x->first = true;
        MIEN_TRY(s->user_records(s, x->current->user_id, export_record, x, e));
    }
    return MIEN_OK;
}

/* Page by page: what a page does not find has been deleted, what comes meanwhile in front of it is left out. */
static enum mien_code export_pages(struct mien_store *s, struct exporting *x, struct mien_err *e)
{
    char after[MIEN_USER_ID + 1] = "";
    uint64_t total = 0, records = 0, done = 0;
    enum mien_code code = s->count(s, &total, &records, e);
    do {
        x->arena = mien_arena_create(PAGE_BYTES);
        x->user = x->arena != NULL ? mien_arena_calloc(x->arena, PAGE, sizeof *x->user) : NULL;
        x->n = 0;
        if (x->user == NULL) code = MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory");
        if (code == MIEN_OK) code = s->list(s, after, PAGE, collect_user, x, e);
        if (code == MIEN_OK) code = export_users(s, x, e);
        if (code == MIEN_OK && x->n > 0) snprintf(after, sizeof after, "%s", x->user[x->n - 1].user_id);
        mien_arena_free(&x->arena);
        done += (uint64_t)x->n;
        mien_cli_progress("users", done, done < total ? total : done);
    } while (code == MIEN_OK && x->n == PAGE);
    return code;
}

static enum mien_code export_to(struct mien_reach *r, FILE *to, struct exporting *x, struct mien_err *e)
{
    x->to = to;
    x->keyring = r->people.keyring;
    mien_buf_init(&x->line, LINE_BYTES);
    enum mien_code code = export_pages(r->people.store, x, e);
    if (code == MIEN_OK && fflush(to) != 0) code = MIEN_FAIL(e, MIEN_E_IO, "%s", strerror(errno));
    if (code == MIEN_OK && x->unreadable > 0 && x->templates == 0) code = MIEN_FAIL(e, x->why, "no template can be opened with the configured key");
    mien_reach_forget(&x->line);
    return code;
}

static char unfinished[MIEN_PATH]; /* the file that an interrupted export must not leave behind */

static void on_interrupt(int signal_number)
{
    unlink(unfinished);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* Writes, and puts it on the disk. Closes `to`. */
static enum mien_code export_and_close(struct mien_reach *r, FILE *to, struct exporting *x, struct mien_err *e)
{
    enum mien_code code = export_to(r, to, x, e);
    if (code == MIEN_OK && fsync(fileno(to)) != 0) code = MIEN_FAIL(e, MIEN_E_IO, "%s", strerror(errno));
    if (fclose(to) != 0 && code == MIEN_OK) code = MIEN_FAIL(e, MIEN_E_IO, "%s", strerror(errno));
    return code;
}

static void on_ends(void (*handler)(int))
{
    static const int ENDS[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof ENDS / sizeof ENDS[0]; i++) signal(ENDS[i], handler);
}

/* Into a file of its owner alone that appears when it is whole. */
static enum mien_code export_file(struct mien_reach *r, const char *path, struct exporting *x, struct mien_err *e)
{
    const int n = snprintf(unfinished, sizeof unfinished, "%s.tmp.%ld", path, (long)getpid());
    MIEN_FAIL_IF(n < 0 || n >= MIEN_PATH, e, MIEN_E_ARG, "path too long");
    on_ends(on_interrupt); /* before there is a file */
    const int fd = open(unfinished, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    MIEN_FAIL_IF(fd < 0, e, MIEN_E_IO, "%s: %s", path, strerror(errno));
    FILE *to = fdopen(fd, "w");
    enum mien_code code = to != NULL ? export_and_close(r, to, x, e) : MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory");
    if (to == NULL) close(fd);
    if (code == MIEN_OK && rename(unfinished, path) != 0) code = MIEN_FAIL(e, MIEN_E_IO, "%s", strerror(errno));
    if (code != MIEN_OK) unlink(unfinished);
    on_ends(SIG_DFL);
    return code == MIEN_E_IO ? mien_cli_about(path, code, e) : code;
}

static int say_exported(const struct mien_cli *cli, const char *path, const struct exporting *x, int status)
{
    struct mien_buf out;
    if (x->unreadable > 0)
        status = (mien_cli_error("%llu templates cannot be opened with the configured key and are not in the file", (unsigned long long)x->unreadable),
                  MIEN_EXIT_NO);
    mien_cli_error("%s holds biometric templates in the clear: keep it as you would keep a key", path);
    if (strcmp(path, "-") == 0) return status;
    mien_buf_init(&out, 256);
    mien_buf_addf(&out, cli->json ? "{\"users\":%llu,\"templates\":%llu,\"unreadable\":%llu}\n" : "%llu users, %llu templates\n",
                  (unsigned long long)x->users, (unsigned long long)x->templates, (unsigned long long)x->unreadable);
    return mien_cli_print(&out, status);
}

int mien_verb_gallery_export(struct mien_cli *cli, int argc, char **argv)
{
    struct mien_reach r;
    struct mien_err e = {0};
    const char *path = NULL;
    const struct mien_opt opts[] = {{"output", MIEN_OPT_TEXT, &path, "FILE", "where it goes, mode 0600; - is standard output", 0, 0}};
    int first;
    int status = mien_reach_begin(cli, argc, argv, opts, 1, 0, 0, &first, &r);
    if (status >= 0) return status;
    struct exporting *x = calloc(1, sizeof *x);
    enum mien_code code = x == NULL ? MIEN_FAIL(&e, MIEN_E_NOMEM, "out of memory") : MIEN_OK;
    if (path == NULL) code = MIEN_FAIL(&e, MIEN_E_ARG, "gallery export needs --output FILE");
    else if (r.server != NULL) code = MIEN_FAIL(&e, MIEN_E_ARG, "gallery export reads the store itself, with the key: run it where the server runs");
    if (code == MIEN_OK) code = mien_people_keys(&r.settings, true, &r.people, &e);
    if (code == MIEN_OK) code = strcmp(path, "-") == 0 ? export_to(&r, stdout, x, &e) : export_file(&r, path, x, &e);
    status = mien_reach_end(&r, code, &e, MIEN_EXIT_YES);
    if (code == MIEN_OK) status = say_exported(cli, path, x, status);
    if (x != NULL) explicit_bzero(x, sizeof *x);
    free(x);
    return status;
}

/* ---- import ---- */

struct importing {
    struct mien_reach *r;
    FILE *from;
    char *text;                /* MIEN_IMPORT_LINE */
    struct mien_import *line;  /* MIEN_IMPORT_BATCH */
    struct mien_enrolment *enrolment;
    size_t *number, *begin;    /* of each line: its number, and where it begins in `body` */
    int n;
    struct mien_buf body;      /* of the request, when a server takes it */
    size_t lines, committed;   /* read; the last one that is enrolled */
    uint64_t enrolled;
    long long bytes, size;     /* read, and of the file (0: unknown) */
};

static void show_progress(const struct importing *x)
{
    if (x->size > 0) mien_cli_progress("percent", (size_t)(100 * x->bytes / x->size), 100);
}

/* Which line of the batch the server means: "entries[7]" in its words, or the first number in an error's loc. -1: none. */
static int blamed_line(const struct mien_json *problem, int n)
{
    const struct mien_json *loc = mien_json_get(mien_json_at(mien_json_get(problem, "errors"), 0), "loc"), *at;
    const char *words = strstr(mien_json_string(mien_json_get(problem, "detail"), ""), "entries[");
    for (size_t i = 0; words == NULL && (at = mien_json_at(loc, i)) != NULL; i++)
        if (mien_json_is_number(at) && mien_json_integer(at, -1) >= 0 && mien_json_integer(at, -1) < n) return (int)mien_json_integer(at, -1);
    const long index = words != NULL ? strtol(words + strlen("entries["), NULL, 10) : -1;
    return index >= 0 && index < n ? (int)index : -1;
}

/* Sends the first n lines. */
static enum mien_code send_lines(struct importing *x, int n, int *blamed, struct mien_err *e)
{
    const struct mien_ask ask = {.method = "POST", .path = "/gallery/import", .type = "application/x-ndjson", .body = x->body.data,
                                 .n = n < x->n ? x->begin[n] : x->body.len, .timeout_ms = MIEN_REACH_LONG_MS};
    struct mien_json *answer, *problem = NULL;
    MIEN_FAIL_IF(x->body.failed, e, MIEN_E_NOMEM, "out of memory");
    const enum mien_code code = mien_reach_ask(x->r, &ask, &answer, &problem, e);
    *blamed = blamed_line(problem, n);
    mien_json_free(&answer);
    mien_json_free(&problem);
    return code;
}

static void forget_batch(struct importing *x)
{
    for (int i = 0; i < x->n; i++) mien_import_free(&x->line[i]);
    if (x->body.data != NULL) explicit_bzero(x->body.data, x->body.len);
    x->body.len = 0;
    x->n = 0;
}

static void count_lines(struct importing *x, int n)
{
    if (n > 0) x->committed = x->number[n - 1];
    x->enrolled += (uint64_t)n;
}

/* Enrols what has been read: all of it or nothing, but that what stands before a line which the server refuses is sent again without it. */
static enum mien_code commit(struct importing *x, struct mien_err *e)
{
    int blamed = -1, other;
    enum mien_code code = MIEN_OK;
    if (x->n == 0) return MIEN_OK;
    for (int i = 0; i < x->n; i++) x->enrolment[i] = x->line[i].enrolment;
    if (x->r->client != NULL) code = send_lines(x, x->n, &blamed, e);
    else code = mien_gallery_enroll(x->r->people.gallery, x->enrolment, x->n, e);
    if (code == MIEN_OK) count_lines(x, x->n);
    else if (blamed > 0 && send_lines(x, blamed, &other, NULL) == MIEN_OK) count_lines(x, blamed);
    if (code != MIEN_OK) {
        char which[64];
        snprintf(which, sizeof which, blamed >= 0 ? "line %zu" : "lines %zu to %zu", x->number[blamed >= 0 ? blamed : 0], x->number[x->n - 1]);
        code = mien_cli_about(which, code, e);
    }
    forget_batch(x);
    return code;
}

static enum mien_code check_model(const struct importing *x, const struct mien_import *line, struct mien_err *e)
{
    const struct mien_model *model = x->r->embed;
    if (model == NULL) return MIEN_OK; /* the server does */
    MIEN_FAIL_IF(line->model != NULL && strcmp(line->model, model->id) != 0, e, MIEN_E_MODEL_MISMATCH, "model: '%.40s', and the pack has %s", line->model,
                 model->id);
    MIEN_FAIL_IF(line->dim != model->dim, e, MIEN_E_RECORD, "embedding: %d numbers, and %s has %d", line->dim, model->id, model->dim);
    return MIEN_OK;
}

static enum mien_code take_line(struct importing *x, size_t n, struct mien_err *e)
{
    struct mien_import *line = &x->line[x->n];
    while (n > 0 && strchr(" \t\r\n", x->text[n - 1]) != NULL) n--;
    if (n == 0) return MIEN_OK;
    enum mien_code code = mien_import_parse(x->text, n, line, e);
    if (code == MIEN_OK) code = check_model(x, line, e);
    if (code != MIEN_OK) {
        mien_import_free(line);
        return code;
    }
    if (x->r->client != NULL) {
        const struct mien_enrolment *t = &line->enrolment;
        const struct mien_line out = {.user_id = t->user_id, .name = t->name, .metadata = t->metadata, .model = line->model, .rgb = t->rgb, .depth = t->depth,
                                      .dim = line->dim, .depth_dim = t->depth_dim, .append = t->append};
        x->begin[x->n] = x->body.len;
        mien_line_write(&x->body, &out);
    }
    x->number[x->n++] = x->lines;
    return x->n == MIEN_IMPORT_BATCH || x->body.len > BODY_BYTES - MIEN_IMPORT_LINE ? commit(x, e) : MIEN_OK;
}

/* Reads to the end of the file, or to the first line that is wrong; what stands before that line is enrolled too. */
static enum mien_code import_lines(struct importing *x, struct mien_err *e)
{
    while (fgets(x->text, MIEN_IMPORT_LINE, x->from) != NULL) {
        const size_t n = strlen(x->text);
        char which[32];
        x->lines++;
        x->bytes += (long long)n;
        snprintf(which, sizeof which, "line %zu", x->lines);
        enum mien_code code = MIEN_OK;
        if (n == MIEN_IMPORT_LINE - 1 && x->text[n - 1] != '\n') code = MIEN_FAIL(e, MIEN_E_RECORD, "longer than %d bytes", MIEN_IMPORT_LINE - 2);
        const size_t before = x->committed;
        if (code == MIEN_OK) code = take_line(x, n, e);
        if (code != MIEN_OK && strncmp(e->msg, "line", 4) != 0) { /* this line, not a batch */
            struct mien_err other = {0};
            mien_cli_about(which, code, e);
            return commit(x, &other) == MIEN_OK ? code : mien_cli_about(which, code, e);
        }
        MIEN_TRY(code);
        if (x->committed != before) show_progress(x);
    }
    MIEN_FAIL_IF(ferror(x->from), e, MIEN_E_IO, "%s", strerror(errno));
    return commit(x, e);
}

static enum mien_code open_import(struct importing *x, const char *path, struct mien_err *e)
{
    struct stat st;
    const bool input = strcmp(path, "-") == 0;
    x->from = input ? stdin : fopen(path, "re");
    MIEN_FAIL_IF(x->from == NULL, e, MIEN_E_IO, "%.150s: %s", path, strerror(errno));
    MIEN_FAIL_IF(fstat(fileno(x->from), &st) == 0 && S_ISDIR(st.st_mode), e, MIEN_E_IO, "%.150s: is a folder", path);
    x->size = S_ISREG(st.st_mode) ? (long long)st.st_size : 0;
    x->text = malloc(MIEN_IMPORT_LINE);
    x->line = calloc(MIEN_IMPORT_BATCH, sizeof *x->line);
    x->enrolment = calloc(MIEN_IMPORT_BATCH, sizeof *x->enrolment);
    x->number = calloc(MIEN_IMPORT_BATCH, sizeof *x->number);
    x->begin = calloc(MIEN_IMPORT_BATCH, sizeof *x->begin);
    mien_buf_init(&x->body, BODY_BYTES);
    MIEN_FAIL_IF(x->text == NULL || x->line == NULL || x->enrolment == NULL || x->number == NULL || x->begin == NULL, e, MIEN_E_NOMEM, "out of memory");
    return MIEN_OK;
}

static void close_import(struct importing *x)
{
    if (x->line != NULL) forget_batch(x);
    if (x->text != NULL) explicit_bzero(x->text, MIEN_IMPORT_LINE);
    if (x->from != NULL && x->from != stdin) fclose(x->from);
    mien_buf_free(&x->body);
    free(x->text);
    free(x->line);
    free(x->enrolment);
    free(x->number);
    free(x->begin);
}

/* Adds how far it went: the file can be cut there and imported again. */
static enum mien_code say_how_far(const struct importing *x, enum mien_code code, struct mien_err *e)
{
    char what[100];
    if (code == MIEN_OK || x->lines == 0) return code;
    if (x->committed > 0) snprintf(what, sizeof what, "; lines 1 to %zu are enrolled", x->committed);
    else snprintf(what, sizeof what, "; nothing is enrolled");
    const size_t keep = sizeof e->msg - 1 - strlen(what), n = strlen(e->msg);
    memcpy(e->msg + (n < keep ? n : keep), what, strlen(what) + 1);
    return code;
}

int mien_verb_gallery_import(struct mien_cli *cli, int argc, char **argv)
{
    struct mien_reach r;
    struct importing x = {.r = &r};
    struct mien_err e = {0};
    struct mien_buf out;
    int first;
    int status = mien_reach_begin(cli, argc, argv, NULL, 0, 1, 1, &first, &r);
    if (status >= 0) return status;
    enum mien_code code = open_import(&x, argv[first], &e);
    if (code == MIEN_OK) code = mien_reach_open(&r, MIEN_REACH_GALLERY, &e);
    if (code == MIEN_OK) code = say_how_far(&x, import_lines(&x, &e), &e);
    mien_cli_progress("percent", 1, 1);
    close_import(&x);
    status = mien_reach_end(&r, code, &e, MIEN_EXIT_YES);
    if (code != MIEN_OK) return status;
    mien_buf_init(&out, 256);
    mien_buf_addf(&out, cli->json ? "{\"enrolled\":%llu}\n" : "%llu templates enrolled\n", (unsigned long long)x.enrolled);
    return mien_cli_print(&out, status);
}
