/* multipart/form-data (RFC 7578, RFC 2046) from a whole body; parts point into it. */
#ifndef MIEN_CODEC_MULTIPART_H
#define MIEN_CODEC_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

enum { MIEN_MULTIPART_NAME = 64 };

struct mien_part {
    char name[MIEN_MULTIPART_NAME]; /* form field; longer names are an error */
    bool is_file;                   /* had a filename, which is not kept */
    char *data;                     /* into the body */
    size_t size;
};

/* `content_type` is the header's value. At most `max` parts (MIEN_E_LIMIT above). MIEN_E_MULTIPART, with e->pos, for a missing or malformed boundary, a
 * part without a name, headers beyond 4 KiB, or a body that ends before the closing boundary. */
enum mien_code mien_multipart_parse(const char *content_type, char *body, size_t n, struct mien_part *part, int max, int *count,
                                    struct mien_err *e) MIEN_MUST_CHECK;

#endif
