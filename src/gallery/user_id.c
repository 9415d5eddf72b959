/* What a user may be called. */
#include "gallery/store.h"

#include <string.h>

/* Bytes of the UTF-8 sequence at s, 0 when there is none: no overlong forms, no surrogates, nothing above U+10FFFF (RFC 3629). */
static size_t sequence(const unsigned char *s)
{
    const unsigned char c = s[0];
    if (c < 0x80) return 1;
    const size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4) return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) || (c == 0xf0 && s[1] < 0x90) || (c == 0xf4 && s[1] > 0x8f)) return 0;
    return n;
}

/* C0, DEL, and C1 (U+0080 to U+009F). */
static bool is_control(const unsigned char *s) { return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0); }

bool mien_user_id_valid(const char *user_id)
{
    const unsigned char *s = (const unsigned char *)user_id;
    if (s == NULL || s[0] == '\0' || strnlen(user_id, MIEN_USER_ID + 1) > MIEN_USER_ID) return false;
    while (*s != '\0') {
        const size_t n = sequence(s);
        if (n == 0 || is_control(s)) return false;
        s += n;
    }
    return true;
}
