#include "net/guard.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

enum { MAX_HEADERS = 100 };

/* A token of RFC 9110, section 5.6.2. */
static bool is_token(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        if (c <= 0x20 || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL) return false;
    }
    return n > 0;
}

/* What a value may hold: no control bytes but the tab. */
static bool is_value(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) return false;
    }
    return true;
}

static bool is_named(const struct mien_header *h, const char *name) { return h->name_size == strlen(name) && strncasecmp(h->name, name, h->name_size) == 0; }

static bool length_of(const struct mien_header *h, uint64_t *length)
{
    *length = 0;
    if (h->value_size == 0 || h->value_size > 18) return false;
    for (size_t i = 0; i < h->value_size; i++) {
        if (h->value[i] < '0' || h->value[i] > '9') return false;
        *length = *length * 10 + (uint64_t)(h->value[i] - '0');
    }
    return true;
}

struct mien_framing mien_guard_check(const struct mien_header *h, int n, bool http_1_0)
{
    struct mien_framing f = {0};
    int hosts = 0, lengths = 0, codings = 0;
    if (n > MAX_HEADERS) return (struct mien_framing){.wrong = "too many headers"};
    for (int i = 0; i < n; i++) {
        if (!is_token(h[i].name, h[i].name_size)) return (struct mien_framing){.wrong = "a header's name has characters that no name has"};
        if (!is_value(h[i].value, h[i].value_size)) return (struct mien_framing){.wrong = "a header's value has control characters"};
        if (is_named(&h[i], "Host")) hosts++;
        if (is_named(&h[i], "Content-Length")) {
            lengths++;
            f.has_length = true;
            if (!length_of(&h[i], &f.length)) return (struct mien_framing){.wrong = "Content-Length is not a number"};
        }
        if (is_named(&h[i], "Transfer-Encoding")) {
            codings++;
            f.chunked = true;
            if (h[i].value_size != 7 || strncasecmp(h[i].value, "chunked", 7) != 0)
                return (struct mien_framing){.wrong = "Transfer-Encoding is not \"chunked\""};
        }
    }
    if (lengths > 1) f.wrong = "more than one Content-Length";
    else if (codings > 1) f.wrong = "more than one Transfer-Encoding";
    else if (codings == 1 && lengths == 1) f.wrong = "Transfer-Encoding together with Content-Length";
    else if (codings == 1 && http_1_0) f.wrong = "Transfer-Encoding in HTTP/1.0";
    else if (hosts > 1) f.wrong = "more than one Host";
    else if (hosts == 0 && !http_1_0) f.wrong = "no Host";
    return f;
}

bool mien_guard_request_id(const char *s, size_t n)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    if (n < 1 || n > 64) return false;
    for (size_t i = 0; i < n; i++)
        if (s[i] == '\0' || strchr(allowed, s[i]) == NULL) return false;
    return true;
}
