/* One pass over the text. Fields are copied behind one another; a field with its NUL is never longer than it was with its separator, so the copy needs the
 * text's size and one byte for the last field. */
#include "codec/csv.h"

#include <stdbool.h>
#include <string.h>

struct reader {
    const char *at, *end;
    char *to;          /* where the next field is copied */
    const char **cell; /* where its address goes */
    size_t line;
};

static bool at_line_end(const struct reader *r)
{
    return r->at < r->end && (*r->at == '\n' || (*r->at == '\r' && r->at + 1 < r->end && r->at[1] == '\n'));
}

static bool at_field_end(const struct reader *r) { return r->at == r->end || *r->at == ',' || at_line_end(r); }

static enum mien_code read_quoted(struct reader *r, struct mien_err *e)
{
    const size_t began = r->line;
    for (r->at++;; r->at++) {
        MIEN_FAIL_IF(r->at == r->end, e, MIEN_E_ARG, "line %zu: a quote that is not closed", began);
        if (*r->at == '"') {
            r->at++;
            if (r->at == r->end || *r->at != '"') break; /* of two quotes the second is copied */
        }
        r->line += *r->at == '\n';
        *r->to++ = *r->at;
    }
    MIEN_FAIL_IF(!at_field_end(r), e, MIEN_E_ARG, "line %zu: text after a quoted field", r->line);
    return MIEN_OK;
}

static enum mien_code read_field(struct reader *r, struct mien_err *e)
{
    *r->cell++ = r->to;
    if (r->at < r->end && *r->at == '"') MIEN_TRY(read_quoted(r, e));
    for (; !at_field_end(r); r->at++) {
        MIEN_FAIL_IF(*r->at == '"', e, MIEN_E_ARG, "line %zu: a quote in the middle of a field", r->line);
        *r->to++ = *r->at;
    }
    *r->to++ = '\0';
    return MIEN_OK;
}

static void end_line(struct reader *r)
{
    if (r->at == r->end) return;
    r->at += *r->at == '\r' ? 2 : 1;
    r->line++;
}

static enum mien_code read_row(struct reader *r, struct mien_csv *c, size_t *line, struct mien_err *e)
{
    size_t n = 0;
    *line = r->line;
    for (;; r->at++) { /* over the comma */
        MIEN_FAIL_IF(n == MIEN_CSV_MAX_COLUMNS, e, MIEN_E_LIMIT, "line %zu: more than %d fields", *line, MIEN_CSV_MAX_COLUMNS);
        MIEN_TRY(read_field(r, e));
        n++;
        if (r->at == r->end || *r->at != ',') break;
    }
    end_line(r);
    if (c->rows++ == 0) c->columns = n;
    MIEN_FAIL_IF(n != c->columns, e, MIEN_E_ARG, "line %zu: %zu fields; the first line has %zu", *line, n, c->columns);
    return MIEN_OK;
}

static enum mien_code check_names(const struct mien_csv *c, struct mien_err *e)
{
    for (size_t i = 0; i < c->columns; i++)
        for (size_t k = 0; k < i; k++)
            MIEN_FAIL_IF(c->cell[i][0] != '\0' && strcmp(c->cell[i], c->cell[k]) == 0, e, MIEN_E_ARG, "two columns are named \"%.60s\"", c->cell[i]);
    return MIEN_OK;
}

enum mien_code mien_csv_parse(const char *text, size_t n, struct mien_arena *arena, struct mien_csv *out, struct mien_err *e)
{
    size_t fields = 1, lines = 1;
    *out = (struct mien_csv){0};
    MIEN_FAIL_IF(n > MIEN_CSV_MAX_BYTES, e, MIEN_E_LIMIT, "%zu bytes; at most %d are taken", n, MIEN_CSV_MAX_BYTES);
    for (size_t i = 0; i < n; i++) {
        MIEN_FAIL_IF(text[i] == '\0', e, MIEN_E_ARG, "line %zu: a NUL byte", lines);
        lines += text[i] == '\n';
        fields += text[i] == ',';
    }
    fields += lines - 1;
    struct reader r = {.at = text, .end = text + n, .line = 1};
    out->cell = r.cell = mien_arena_calloc(arena, fields, sizeof *r.cell);
    size_t *line = mien_arena_calloc(arena, lines, sizeof *line);
    r.to = mien_arena_alloc(arena, n + 1);
    MIEN_FAIL_IF(r.cell == NULL || line == NULL || r.to == NULL, e, MIEN_E_NOMEM, "out of memory for a table of %zu lines", lines);
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) r.at += 3;
    out->line = line;
    while (r.at < r.end) {
        if (at_line_end(&r)) end_line(&r);
        else MIEN_TRY(read_row(&r, out, line + out->rows, e));
    }
    MIEN_FAIL_IF(out->rows == 0, e, MIEN_E_ARG, "the file is empty");
    return check_names(out, e);
}

int mien_csv_column(const struct mien_csv *c, const char *name)
{
    for (size_t i = 0; i < c->columns; i++)
        if (strcmp(c->cell[i], name) == 0) return (int)i;
    return -1;
}

const char *mien_csv_cell(const struct mien_csv *c, size_t row, int column) { return c->cell[row * c->columns + (size_t)column]; }
