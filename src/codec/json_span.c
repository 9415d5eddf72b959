/* Values as places in a text. The text was parsed before, so brackets and quotes are known to close; every step is bounded by the end all the same. */
#include <string.h>

#include "codec/json.h"

static size_t skip_blanks(const char *text, size_t at, size_t end)
{
    while (at < end && memchr(" \t\r\n", text[at], 4) != NULL) at++;
    return at;
}

/* Behind the string that begins at `at`. */
static size_t skip_string(const char *text, size_t at, size_t end)
{
    for (at++; at < end && text[at] != '"'; at++)
        if (text[at] == '\\') at++;
    return at < end ? at + 1 : end;
}

/* Behind the value that begins at `at`. */
static size_t skip_value(const char *text, size_t at, size_t end)
{
    int depth = 0;
    while (at < end) {
        const char c = text[at];
        if (c == '"') {
            at = skip_string(text, at, end);
            if (depth == 0) return at;
            continue;
        }
        if (depth == 0 && memchr(",]} \t\r\n", c, 7) != NULL) return at; /* behind a number or a word */
        at++;
        if (c == '[' || c == '{') depth++;
        else if ((c == ']' || c == '}') && --depth == 0) return at;
    }
    return end;
}

/* The i-th item of a container, or the member `key` of an object. `opens` is the container's bracket. */
static bool find(const char *text, struct mien_json_span in, char opens, const char *key, size_t i, struct mien_json_span *out)
{
    const size_t end = in.at + in.n;
    if (in.n < 2 || text[in.at] != opens) return false;
    for (size_t at = in.at + 1;; at++) { /* from behind the bracket or a comma */
        bool wanted = key == NULL && i-- == 0;
        at = skip_blanks(text, at, end);
        if (at + 1 >= end) return false;
        if (opens == '{') {
            const size_t name = at + 1;
            at = skip_string(text, at, end);
            wanted = strlen(key) == at - 1 - name && memcmp(text + name, key, at - 1 - name) == 0;
            at = skip_blanks(text, skip_blanks(text, at, end) + 1, end); /* over the colon */
        }
        *out = (struct mien_json_span){at, skip_value(text, at, end) - at};
        if (wanted) return true;
        at = skip_blanks(text, at + out->n, end);
        if (at >= end || text[at] != ',') return false;
    }
}

bool mien_json_span_root(const char *text, size_t n, struct mien_json_span *out)
{
    const size_t at = skip_blanks(text, 0, n);
    *out = (struct mien_json_span){at, skip_value(text, at, n) - at};
    return out->n > 0;
}

bool mien_json_span_member(const char *text, struct mien_json_span object, const char *key, struct mien_json_span *out)
{
    return find(text, object, '{', key, 0, out);
}

bool mien_json_span_at(const char *text, struct mien_json_span array, size_t i, struct mien_json_span *out)
{
    return find(text, array, '[', NULL, i, out);
}
