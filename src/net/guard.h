/* What the HTTP library lets through and a server must not (RFC 9112, sections 3.2, 6.1 and 6.3): message framing that another
 * server in front may read differently, which is how requests are smuggled. Pure functions over header lists. */
#ifndef MIEN_NET_GUARD_H
#define MIEN_NET_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mien_header {
    const char *name, *value;
    size_t name_size, value_size; /* bytes; the library may hand over values with NUL bytes inside */
};

struct mien_framing {
    const char *wrong;  /* NULL: the request may be answered; else one line that says what is wrong */
    bool chunked;
    bool has_length;
    uint64_t length;    /* Content-Length */
};

/* Refuses Transfer-Encoding together with Content-Length, more than one of either, any coding but `chunked`, a length that is not plain digits, a Host count
 * other than 1 (0 is allowed for HTTP/1.0), control bytes in names or values, and more than 100 headers. */
struct mien_framing mien_guard_check(const struct mien_header *h, int n, bool http_1_0);

/* A client's X-Request-Id is taken over when it is 1 to 64 characters of A-Z a-z 0-9 . _ - */
bool mien_guard_request_id(const char *s, size_t n);

#endif
