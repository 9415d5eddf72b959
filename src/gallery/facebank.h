/* A facebank: a headerless CSV file with one embedding a row, all of one person or group (docs/gallery.md). Distances are Euclidean, between unit vectors. */
#ifndef MIEN_GALLERY_FACEBANK_H
#define MIEN_GALLERY_FACEBANK_H

#include "base/buf.h"
#include "base/err.h"

struct mien_facebank { int rows, dim; float *row; /* rows x dim, unit length; owned */ };

/* At most 100,000 rows and 1 GiB. Blank lines are skipped. MIEN_E_RECORD names the line and what is wrong with it (not a number, not finite, another length
 * than `dim`). A file without rows is MIEN_E_RECORD. */
enum mien_code mien_facebank_read(const char *path, int dim, struct mien_facebank *out, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_facebank_parse(const char *text, size_t n, int dim, struct mien_facebank *out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_facebank_free(struct mien_facebank *f); /* wipes */
/* One row as text with a newline. */
void mien_facebank_row(const float *embedding, int dim, struct mien_buf *out);

/* Smallest and mean Euclidean distance of a unit vector to the rows, and the largest cosine. */
void mien_facebank_compare(const struct mien_facebank *f, const float *embedding, float *least, float *mean, float *cosine);

/* Appends one line with one write(2) to an O_APPEND file that is made with mode 0600; a line is whole or not there. */
enum mien_code mien_append_line(const char *path, const char *line, struct mien_err *e) MIEN_MUST_CHECK;

#endif
