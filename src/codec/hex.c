#include "codec/hex.h"

void mien_hex(const void *data, size_t n, char *out)
{
    static const char DIGIT[] = "0123456789abcdef";
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++) {
        *out++ = DIGIT[p[i] >> 4];
        *out++ = DIGIT[p[i] & 15];
    }
    *out = '\0';
}

int mien_hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
