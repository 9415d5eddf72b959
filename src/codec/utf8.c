/* UTF-8 sequence by sequence; runs of ASCII eight bytes at a time. */
#include "codec/utf8.h"

#include <stdint.h>
#include <string.h>

/* s[i] is looked at only after s[i-1] was a continuation byte, so the NUL is never passed. */
size_t mien_utf8_length(const unsigned char *s)
{
    const unsigned char c = s[0];
    if (c < 0x80) return 1;
    if (c < 0xc2 || c > 0xf4) return 0;
    const size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) || (c == 0xf0 && s[1] < 0x90) || (c == 0xf4 && s[1] > 0x8f)) return 0;
    return n;
}

bool mien_utf8_valid(const void *text, size_t n)
{
    const unsigned char *s = text;
    for (size_t i = 0; i < n;) {
        uint64_t eight;
        if (n - i >= sizeof eight) {
            memcpy(&eight, s + i, sizeof eight);
            if ((eight & 0x8080808080808080u) == 0) {
                i += sizeof eight;
                continue;
            }
        }
        const size_t length = mien_utf8_length(s + i);
        if (length == 0 || length > n - i) return false;
        i += length;
    }
    return true;
}
