/* Writing a response into the socket, past the library: for clients that it would cut off without an answer. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "base/clock.h"
#include "net/server_inner.h"

enum { HEAD_BYTES = 4096 };

/* False when the client does not take it in time, or is gone. */
static bool send_all(int fd, const char *data, size_t n, uint64_t until_ns)
{
    while (n > 0) {
        const ssize_t sent = send(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            data += sent;
            n -= (size_t)sent;
            continue;
        }
        if (sent < 0 && errno == EINTR) continue;
        const uint64_t now = mien_now_ns();
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (sent == 0 || (errno != EAGAIN && errno != EWOULDBLOCK) || now >= until_ns) return false;
        poll(&p, 1, (int)((until_ns - now) / 1000000u) + 1);
    }
    return true;
}

bool mien_send_directly(int fd, const struct mien_response *r, const char *id, int timeout_ms)
{
    struct mien_buf b;
    const char *body = r->fixed != NULL ? r->fixed : r->body.data;
    const size_t size = r->fixed != NULL ? r->fixed_size : r->body.len;
    const uint64_t until = mien_now_ns() + (uint64_t)timeout_ms * 1000000u;
    mien_buf_init(&b, HEAD_BYTES);
    mien_buf_addf(&b, "HTTP/1.1 %d %s\r\nConnection: close\r\nX-Request-Id: %s\r\nContent-Length: %zu\r\n", r->status,
                  MHD_get_reason_phrase_for((unsigned)r->status), id, size);
    if (r->type != NULL) mien_buf_addf(&b, "Content-Type: %s\r\n", r->type);
    for (int i = 0; i < r->n_headers; i++) mien_buf_addf(&b, "%s: %s\r\n", r->header[i].name, r->header[i].value);
    mien_buf_adds(&b, "\r\n");
    const bool sent = !b.failed && send_all(fd, b.data, b.len, until) && send_all(fd, body, size, until);
    mien_buf_free(&b);
    return sent;
}

bool mien_half_closed(int fd)
{
    char c;
    return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}
