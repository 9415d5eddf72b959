/* The guard over any header list. Input: lines `name: value`; the first byte says whether it is HTTP/1.0. What passes must have one meaning only. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/guard.h"

enum { MAX = 128 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int count(const struct mien_header *h, int n, const char *name)
{
    int found = 0;
    for (int i = 0; i < n; i++) found += h[i].name_size == strlen(name) && strncasecmp(h[i].name, name, h[i].name_size) == 0;
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct mien_header h[MAX];
    int lines = 0;
    if (n == 0) return 0;
    const char *at = (const char *)data + 1, *end = (const char *)data + n;
    while (at < end && lines < MAX) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline != NULL ? newline : end;
        const char *colon = memchr(at, ':', (size_t)(stop - at)), *name_end = colon != NULL ? colon : stop, *value = colon != NULL ? colon + 1 : stop;
        while (value < stop && *value == ' ') value++;
        h[lines++] = (struct mien_header){at, value, (size_t)(name_end - at), (size_t)(stop - value)};
        at = stop + 1;
    }
    const bool old = (data[0] & 1) != 0;
    const struct mien_framing f = mien_guard_check(h, lines, old);
    const int lengths = count(h, lines, "Content-Length"), codings = count(h, lines, "Transfer-Encoding"), hosts = count(h, lines, "Host");
    if (f.wrong == NULL && (lengths + codings > 1 || hosts > 1 || (hosts == 0 && !old) || f.chunked != (codings == 1) || f.has_length != (lengths == 1)))
        abort();
    if (lines > 0) mien_guard_request_id(h[0].value, h[0].value_size);
    return 0;
}
