#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mien_buf_init(struct mien_buf *b, size_t max_bytes) { *b = (struct mien_buf){.max = max_bytes}; }

void mien_buf_free(struct mien_buf *b)
{
    free(b->data);
    mien_buf_init(b, b->max);
}

static bool fail(struct mien_buf *b)
{
    mien_buf_free(b);
    b->failed = true;
    return false;
}

static bool reserve(struct mien_buf *b, size_t n)
{
    size_t need;
    if (b->failed || n > b->max || b->len > b->max - n || __builtin_add_overflow(b->len + 1, n, &need)) return fail(b);
    if (need <= b->room) return true;
    size_t room = b->room ? b->room : 256;
    while (room < need) room = room > SIZE_MAX / 2 ? need : room * 2;
    char *p = realloc(b->data, room);
    if (p == NULL) return fail(b);
    b->data = p;
    b->room = room;
    return true;
}

bool mien_buf_add(struct mien_buf *b, const void *p, size_t n)
{
    if (!reserve(b, n)) return false;
    if (n != 0) memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = '\0';
    return true;
}

bool mien_buf_adds(struct mien_buf *b, const char *s) { return mien_buf_add(b, s, strlen(s)); }

bool mien_buf_addf(struct mien_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    bool ok = n >= 0 && reserve(b, (size_t)n);
    if (ok) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    } else {
        fail(b);
    }
    va_end(again);
    return ok;
}
