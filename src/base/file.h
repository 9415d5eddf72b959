/* Whole files: mapped read-only, read into memory, or written so that a reader never sees half of one. */
#ifndef MIEN_BASE_FILE_H
#define MIEN_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

/* What stands behind the last '/' of a path. */
const char *mien_base_name(const char *path);

struct mien_file {
    const unsigned char *data; /* `size` bytes; valid until mien_file_unmap */
    size_t size;
};

/* Maps a regular file of at most `max_bytes` (MIEN_E_LIMIT above). An empty file maps to size 0. */
enum mien_code mien_file_map(const char *path, size_t max_bytes, struct mien_file *out,
                             struct mien_err *e) MIEN_MUST_CHECK;
void mien_file_unmap(struct mien_file *f);

/* Reads path ("-" = standard input) whole; *out is malloc'ed with a NUL after the last byte, the caller frees it. */
enum mien_code mien_file_read(const char *path, size_t max_bytes, unsigned char **out, size_t *size,
                              struct mien_err *e) MIEN_MUST_CHECK;

/* Whether a file with secrets is its owner's alone. What systemd hands over in $CREDENTIALS_DIRECTORY is, although the access list that lets the
 * service read it shows as a permission of the group. */
bool mien_file_is_private(const char *path);

/* Writes to a temporary name beside `path`, then renames. */
enum mien_code mien_file_write(const char *path, const void *data, size_t size,
                               struct mien_err *e) MIEN_MUST_CHECK;
/* The same for a file that exists: its mode stays, a link to it is followed, and it is on the disk when this returns. */
enum mien_code mien_file_replace(const char *path, const void *data, size_t size, struct mien_err *e) MIEN_MUST_CHECK;
/* mien_file_write with mode 0600, and on the disk when it returns. */
enum mien_code mien_file_write_secret(const char *path, const void *data, size_t size, struct mien_err *e) MIEN_MUST_CHECK;
/* The same for a file that does not exist; of several processes that make one at the same time, one does. *made: it was this one; else nothing was written. */
enum mien_code mien_file_make_secret(const char *path, const void *data, size_t size, bool *made, struct mien_err *e) MIEN_MUST_CHECK;

#endif
