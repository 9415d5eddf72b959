/* What a user may be called. */
#include "gallery/store.h"

#include <string.h>

#include "codec/utf8.h"

/* C0, DEL, and C1 (U+0080 to U+009F). */
static bool is_control(const unsigned char *s) { return s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0); }

bool mien_user_id_valid(const char *user_id)
{
    const unsigned char *s = (const unsigned char *)user_id;
    if (s == NULL || s[0] == '\0' || strnlen(user_id, MIEN_USER_ID + 1) > MIEN_USER_ID) return false;
    while (*s != '\0') {
        const size_t n = mien_utf8_length(s);
        if (n == 0 || is_control(s)) return false;
        s += n;
    }
    return true;
}
