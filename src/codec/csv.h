/* CSV (RFC 4180): untrusted text to a table of strings whose first line names the columns.
 *
 * Fields are separated by commas; a quoted one may hold commas, line ends and doubled quotes. Lines end with LF or CRLF, a byte order mark and
 * empty lines are skipped, blanks belong to the field. Bytes are not looked at otherwise: they need not be UTF-8. */
#ifndef MIEN_CODEC_CSV_H
#define MIEN_CODEC_CSV_H

#include <stddef.h>
#include "base/arena.h"
#include "base/err.h"

enum { MIEN_CSV_MAX_COLUMNS = 256, MIEN_CSV_MAX_BYTES = 64 << 20 };

/* Row 0 is the header. Everything is in the arena, which takes up to 17 bytes a byte of text. */
struct mien_csv {
    size_t rows, columns;
    const char **cell;  /* rows x columns; each ends with NUL */
    const size_t *line; /* of each row: its first line in the text, from 1 */
};

/* MIEN_E_ARG names the line: another number of fields than the header's, a quote that is not closed or stands in the middle of a field, a NUL, two columns of
 * the same name; or there is no line at all. MIEN_E_LIMIT, MIEN_E_NOMEM. */
enum mien_code mien_csv_parse(const char *text, size_t n, struct mien_arena *arena, struct mien_csv *out, struct mien_err *e) MIEN_MUST_CHECK;

/* Index of the column with this name, -1 when there is none. */
int mien_csv_column(const struct mien_csv *c, const char *name);
const char *mien_csv_cell(const struct mien_csv *c, size_t row, int column);

#endif
