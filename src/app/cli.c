/* Options as tables, errors, output, progress.
 *
 * Every verb owns a table of options whose rows say where the value goes; this file adds the common rows, turns both into
 * getopt_long's form and prints the help from the same rows, so that help and behaviour cannot differ. */
#include "app/cli.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_OPTS = 96, N_COMMON = 4 };

/* ---- errors ---- */

static void print_line(const char *text)
{
    char line[512];
    size_t n = (size_t)snprintf(line, sizeof line, "mien: %s", text);
    if (n > sizeof line - 2) n = sizeof line - 2;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f) line[i] = '?'; /* a file name must not draw on the terminal */
    line[n] = '\n';
    line[n + 1] = '\0';
    fputs(line, stderr);
}

int mien_cli_error(const char *fmt, ...)
{
    char text[500];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    print_line(text);
    return MIEN_EXIT_ERROR;
}

int mien_cli_fail(const struct mien_err *e)
{
    print_line(e->msg[0] != '\0' ? e->msg : mien_code_name(e->code));
    return MIEN_EXIT_ERROR;
}

enum mien_code mien_cli_about(const char *what, enum mien_code code, struct mien_err *e)
{
    if (code == MIEN_OK || e == NULL || strncmp(e->msg, what, strlen(what)) == 0) return code;
    char msg[2 * sizeof e->msg];
    snprintf(msg, sizeof msg, "%.100s: %s", what, e->msg);
    memcpy(e->msg, msg, sizeof e->msg - 1); /* the last byte stays NUL */
    e->msg[sizeof e->msg - 1] = '\0';
    return code;
}

int mien_cli_print(struct mien_buf *b, int status)
{
    bool ok = !b->failed && (b->len == 0 || fwrite(b->data, 1, b->len, stdout) == b->len) && fflush(stdout) == 0;
    if (!ok) status = mien_cli_error("%s", b->failed ? "the output is too large for memory" : strerror(errno));
    mien_buf_free(b);
    return status;
}

int mien_cli_end(enum mien_code code, struct mien_buf *b, int status, const struct mien_err *e)
{
    if (code == MIEN_OK) return mien_cli_print(b, status);
    mien_buf_free(b);
    return mien_cli_fail(e);
}

void mien_cli_add_safe(struct mien_buf *b, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        const bool c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0; /* U+0080 to U+009F */
        mien_buf_add(b, *at < ' ' || *at == 0x7f || c1 ? "?" : (const char *)at, 1);
        at += c1;
    }
}

void mien_cli_progress(const char *label, size_t done, size_t total)
{
    static _Atomic int terminal = -1;
    static _Atomic size_t shown;
    if (atomic_load(&terminal) < 0) atomic_store(&terminal, isatty(STDERR_FILENO) ? 1 : 0);
    if (atomic_load(&terminal) == 0) return;
    if (done >= total) {
        fprintf(stderr, "\r\033[K");
        atomic_store(&shown, 0);
        return;
    }
    if (done % (total / 200 + 1) != 0 && atomic_load(&shown) != 0) return;
    atomic_store(&shown, 1);
    fprintf(stderr, "\r%s %zu/%zu ", label, done, total);
}

/* ---- options ---- */

static int common_rows(struct mien_cli *cli, struct mien_opt *row)
{
    const struct mien_opt common[N_COMMON] = {
        {"json", MIEN_OPT_FLAG, &cli->json, NULL, "print JSON", 0, 0},
        {"models", MIEN_OPT_TEXT, &cli->models, "DIR", "the models directory (default: $MIEN_MODELS, else models/local)", 0, 0},
        {"type", MIEN_OPT_TEXT, &cli->type, "TYPE", "arithmetic: auto (default), f32 or bf16", 0, 0},
        {"help", MIEN_OPT_FLAG, &cli->help, NULL, "print this text", 0, 0}};
    memcpy(row, common, sizeof common);
    return N_COMMON;
}

static void print_rows(const struct mien_opt *row, int n)
{
    for (int i = 0; i < n; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", row[i].name, row[i].value != NULL ? " " : "", row[i].value != NULL ? row[i].value : "");
        printf("  %-18s %s\n", left, row[i].help);
    }
}

static void print_help(const struct mien_verb *v, const struct mien_opt *row, int n)
{
    printf("usage: mien %s %s\n\n%s\n\n", v->name, v->operands, v->summary);
    print_rows(row, n);
    printf("\nexample: %s\n", v->example);
}

void mien_cli_print_common_help(void)
{
    struct mien_cli unused = {0};
    struct mien_opt row[N_COMMON];
    print_rows(row, common_rows(&unused, row));
}

static int store_value(const struct mien_opt *o, const char *text)
{
    if (o->kind == MIEN_OPT_FLAG) *(bool *)o->to = true;
    else if (o->kind == MIEN_OPT_TEXT) *(const char **)o->to = text;
    else {
        char *end;
        errno = 0;
        double v = strtod(text, &end);
        bool whole = o->kind != MIEN_OPT_INT || v == floor(v);
        if (end == text || *end != '\0' || errno != 0 || !whole || !(v >= o->min && v <= o->max))
            return mien_cli_error("--%s takes %s from %g to %g, not '%s'", o->name, o->kind == MIEN_OPT_INT ? "a whole number" : "a number",
                                  o->min, o->max, text);
        if (o->kind == MIEN_OPT_INT) *(int *)o->to = (int)v;
        else *(float *)o->to = (float)v;
    }
    return -1;
}

static int set_type(struct mien_cli *cli)
{
    const char *t = cli->type != NULL ? cli->type : "auto";
    if (strcmp(t, "auto") == 0) cli->precision = MIEN_PRECISION_AUTO;
    else if (strcmp(t, "f32") == 0) cli->precision = MIEN_PRECISION_F32;
    else if (strcmp(t, "bf16") == 0) cli->precision = MIEN_PRECISION_BF16;
    else return mien_cli_error("--type is auto, f32 or bf16, not '%s'", t);
    return -1;
}

/* getopt_long over the rows. `order`: "+:" stops at the first operand, ":" gathers operands at the end. */
static int read_rows(const char *order, const char *verb, int argc, char **argv, const struct mien_opt *row, int n)
{
    struct option longs[MAX_OPTS + 1] = {{0}};
    for (int i = 0; i < n; i++) longs[i] = (struct option){row[i].name, row[i].kind == MIEN_OPT_FLAG ? no_argument : required_argument, NULL, 256 + i};
    opterr = 0;
    optind = 0; /* 0, not 1: glibc then starts afresh */
    for (;;) {
        int at = optind == 0 ? 1 : optind;
        int c = getopt_long(argc, argv, order, longs, NULL);
        if (c == -1) return -1;
        const char *word = at < argc ? argv[at] : "";
        if (c == ':') return mien_cli_error("option '%s' needs a value", optopt >= 256 ? longs[optopt - 256].name : word);
        if (c < 256) return mien_cli_error("unknown option '%s'; see mien %s%s--help", optind > 1 ? argv[optind - 1] : word, verb, verb[0] != '\0' ? " " : "");
        int status = store_value(&row[c - 256], optarg);
        if (status >= 0) return status;
    }
}

int mien_cli_parse(struct mien_cli *cli, int argc, char **argv, const struct mien_opt *opts, int n_opts, int at_least, int at_most, int *first)
{
    struct mien_opt row[MAX_OPTS];
    if (n_opts > 0) memcpy(row, opts, (size_t)n_opts * sizeof *opts);
    int n = n_opts + common_rows(cli, row + n_opts);
    int status = read_rows(":", cli->verb->name, argc, argv, row, n);
    if (status >= 0) return status;
    if (cli->help) {
        print_help(cli->verb, row, n);
        return MIEN_EXIT_YES;
    }
    *first = optind;
    int operands = argc - optind;
    if (operands < at_least || (at_most >= 0 && operands > at_most))
        return mien_cli_error("usage: mien %s %s", cli->verb->name, cli->verb->operands);
    return set_type(cli);
}

int mien_cli_parse_common(struct mien_cli *cli, int argc, char **argv, int *first)
{
    struct mien_opt row[N_COMMON];
    int status = read_rows("+:", "", argc, argv, row, common_rows(cli, row));
    *first = optind;
    return status;
}

double mien_cli_as_written(float v)
{
    char text[32];
    snprintf(text, sizeof text, "%.7g", (double)v);
    return strtod(text, NULL);
}

void mien_cli_number(struct mien_jw *w, const char *key, double v, int digits)
{
    mien_jw_key(w, key);
    mien_jw_number(w, v, digits);
}

void mien_cli_count(struct mien_jw *w, const char *key, uint64_t v)
{
    mien_jw_put_integer(w, key, (int64_t)v);
}
