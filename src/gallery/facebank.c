/* Facebank files, and lines that are appended to a log whole. */
#include "gallery/facebank.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { MAX_ROWS = 100000, MAX_BYTES = 1 << 30, MAX_DIM = 4096, NUMBER_ROOM = 64, LINE_BYTES = 4096 };

/* ---- reading ---- */

struct line { const char *at, *end; int number; };

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

/* The next line that is not blank, without its ending and without blanks around it; false at the end of the text. */
static bool next_line(const char **at, const char *end, struct line *l)
{
    while (*at < end) {
        const char *newline = memchr(*at, '\n', (size_t)(end - *at));
        l->at = *at;
        l->end = newline != NULL ? newline : end;
        l->number++;
        *at = newline != NULL ? newline + 1 : end;
        if (l->end > l->at && l->end[-1] == '\r') l->end--;
        while (l->at < l->end && is_blank(*l->at)) l->at++;
        while (l->end > l->at && is_blank(l->end[-1])) l->end--;
        if (l->at < l->end) return true;
    }
    return false;
}

/* A decimal number and nothing else. strtof alone takes "nan", "inf" and hexadecimal too, and the comma of the process' locale. */
static bool number_of(const char *at, const char *end, locale_t c, float *out)
{
    char text[NUMBER_ROOM], *stop;
    while (at < end && is_blank(*at)) at++;
    while (end > at && is_blank(end[-1])) end--;
    const size_t n = (size_t)(end - at);
    if (n == 0 || n >= sizeof text) return false;
    memcpy(text, at, n);
    text[n] = '\0';
    const bool decimal = strlen(text) == n && strspn(text, "0123456789+-.eE") == n;
    *out = decimal ? strtof_l(text, &stop, c) : NAN;
    const bool whole = decimal && stop == text + n;
    explicit_bzero(text, sizeof text);
    return whole;
}

static enum mien_code make_unit(float *v, int dim, int line, struct mien_err *e)
{
    double sum = 0;
    for (int i = 0; i < dim; i++) sum += (double)v[i] * (double)v[i];
    MIEN_FAIL_IF(!(sum > 0), e, MIEN_E_RECORD, "line %d: all numbers are 0", line);
    const double scale = 1 / sqrt(sum);
    for (int i = 0; i < dim; i++) v[i] = (float)((double)v[i] * scale);
    return MIEN_OK;
}

static enum mien_code read_row(const struct line *l, int dim, locale_t c, float *row, struct mien_err *e)
{
    int n = 0;
    for (const char *at = l->at; at != NULL; n++) {
        const char *comma = memchr(at, ',', (size_t)(l->end - at)), *end = comma != NULL ? comma : l->end;
        MIEN_FAIL_IF(n == dim, e, MIEN_E_RECORD, "line %d: more than %d numbers", l->number, dim);
        MIEN_FAIL_IF(!number_of(at, end, c, &row[n]), e, MIEN_E_RECORD, "line %d: field %d is not a number", l->number, n + 1);
        MIEN_FAIL_IF(!isfinite(row[n]), e, MIEN_E_RECORD, "line %d: field %d is too large", l->number, n + 1);
        at = comma != NULL ? comma + 1 : NULL;
    }
    MIEN_FAIL_IF(n != dim, e, MIEN_E_RECORD, "line %d: %d numbers instead of %d", l->number, n, dim);
    return make_unit(row, dim, l->number, e);
}

/* Rows are counted before memory is taken, so that the file decides about no more than it can fill. */
static enum mien_code count_rows(const char *text, const char *end, int *rows, struct mien_err *e)
{
    struct line l = {0};
    while (next_line(&text, end, &l)) {
        MIEN_FAIL_IF(*rows == MAX_ROWS, e, MIEN_E_LIMIT, "line %d: more than %d rows", l.number, MAX_ROWS);
        ++*rows;
    }
    MIEN_FAIL_IF(*rows == 0, e, MIEN_E_RECORD, "no rows");
    return MIEN_OK;
}

static enum mien_code read_rows(const char *text, const char *end, locale_t c, struct mien_facebank *out, struct mien_err *e)
{
    struct line l = {0};
    for (int i = 0; i < out->rows && next_line(&text, end, &l); i++) MIEN_TRY(read_row(&l, out->dim, c, out->row + (size_t)i * (size_t)out->dim, e));
    return MIEN_OK;
}

enum mien_code mien_facebank_parse(const char *text, size_t n, int dim, struct mien_facebank *out, struct mien_err *e)
{
    *out = (struct mien_facebank){.dim = dim};
    MIEN_FAIL_IF(dim < 1 || dim > MAX_DIM, e, MIEN_E_ARG, "an embedding has 1 to %d numbers", MAX_DIM);
    MIEN_FAIL_IF(n > MAX_BYTES, e, MIEN_E_LIMIT, "more than %d bytes", MAX_BYTES);
    const char *end = n > 0 ? text + n : text;
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) text += 3; /* spreadsheets put it before the first number */
    MIEN_TRY(count_rows(text, end, &out->rows, e));
    const locale_t c = newlocale(LC_ALL_MASK, "C", NULL);
    out->row = calloc((size_t)out->rows, (size_t)dim * sizeof *out->row);
    enum mien_code code = c != NULL && out->row != NULL ? read_rows(text, end, c, out, e) : MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory");
    if (c != NULL) freelocale(c);
    if (code != MIEN_OK) mien_facebank_free(out);
    return code;
}

enum mien_code mien_facebank_read(const char *path, int dim, struct mien_facebank *out, struct mien_err *e)
{
    unsigned char *text;
    size_t n;
    *out = (struct mien_facebank){0};
    MIEN_TRY(mien_file_read(path, MAX_BYTES, &text, &n, e));
    const enum mien_code code = mien_facebank_parse((const char *)text, n, dim, out, e);
    explicit_bzero(text, n);
    free(text);
    return code;
}

void mien_facebank_free(struct mien_facebank *f)
{
    if (f->row != NULL) explicit_bzero(f->row, (size_t)f->rows * (size_t)f->dim * sizeof *f->row);
    free(f->row);
    *f = (struct mien_facebank){0};
}

/* ---- writing ---- */

void mien_facebank_row(const float *embedding, int dim, struct mien_buf *out)
{
    for (int i = 0; i < dim; i++) mien_buf_addf(out, i + 1 < dim ? "%.9g," : "%.9g\n", (double)embedding[i]);
}

/* ---- comparing ---- */

enum { LANES = 8 };

static float squared_distance(const float *a, const float *b, int dim)
{
    float lane[LANES] = {0}, sum = 0.0f;
    int i = 0;
    for (; i + LANES <= dim; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += (a[i + k] - b[i + k]) * (a[i + k] - b[i + k]);
    for (; i < dim; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    for (int k = 0; k < LANES; k++) sum += lane[k];
    return sum;
}

void mien_facebank_compare(const struct mien_facebank *f, const float *embedding, float *least, float *mean, float *cosine)
{
    float nearest = INFINITY;
    double sum = 0;
    for (int i = 0; i < f->rows; i++) {
        const float d = squared_distance(f->row + (size_t)i * (size_t)f->dim, embedding, f->dim);
        nearest = fminf(nearest, d);
        sum += sqrt((double)d);
    }
    *least = sqrtf(nearest);
    *mean = (float)(sum / f->rows);
    *cosine = 1.0f - 0.5f * nearest; /* of unit vectors */
}

/* ---- appending ---- */

static int lock_file(int file)
{
    int failed;
    do failed = flock(file, LOCK_EX);
    while (failed != 0 && errno == EINTR);
    return failed;
}

/* The lock is for the case that the disk takes a part only: what it took can be cut off again, since nobody has written behind it. */
static enum mien_code append(int file, const char *path, const struct mien_buf *text, struct mien_err *e)
{
    struct stat before;
    MIEN_FAIL_IF(lock_file(file) != 0 || fstat(file, &before) != 0, e, MIEN_E_IO, "%.150s: %s", path, strerror(errno));
    const ssize_t wrote = write(file, text->data, text->len);
    if (wrote == (ssize_t)text->len) return MIEN_OK;
    const int why = wrote < 0 ? errno : ENOSPC;
    const bool cut = wrote <= 0 || ftruncate(file, before.st_size) == 0;
    return MIEN_FAIL(e, MIEN_E_IO, "%.150s: %s%s", path, strerror(why), cut ? "" : ", and half a line is left");
}

enum mien_code mien_append_line(const char *path, const char *line, struct mien_err *e)
{
    struct mien_buf text;
    const int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    MIEN_FAIL_IF(file < 0, e, MIEN_E_IO, "%.150s: %s", path, strerror(errno));
    mien_buf_init(&text, LINE_BYTES);
    mien_buf_addf(&text, "%s\n", line);
    const enum mien_code code = text.failed ? MIEN_FAIL(e, MIEN_E_LIMIT, "a line has at most %d bytes", LINE_BYTES) : append(file, path, &text, e);
    mien_buf_free(&text);
    close(file); /* gives the lock up */
    return code;
}
