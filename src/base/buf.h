/* Growable byte buffer with a maximum given at init (no buffer without a limit).
 * After a failed append the buffer is empty and stays failed, so a chain of appends needs one check. */
#ifndef MIEN_BASE_BUF_H
#define MIEN_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct mien_buf {
    char *data; /* NUL-terminated when not NULL; owned */
    size_t len, room, max;
    bool failed;
};

void mien_buf_init(struct mien_buf *b, size_t max_bytes);
void mien_buf_free(struct mien_buf *b);
bool mien_buf_add(struct mien_buf *b, const void *p, size_t n);
bool mien_buf_adds(struct mien_buf *b, const char *s);
bool mien_buf_addf(struct mien_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
