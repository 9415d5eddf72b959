/* UTF-8 (RFC 3629) from untrusted bytes: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef MIEN_CODEC_UTF8_H
#define MIEN_CODEC_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the sequence at s, 0 when it is none. s is NUL-terminated (a NUL is a sequence of one byte, so stop there). */
size_t mien_utf8_length(const unsigned char *s);

/* Whether all n bytes are UTF-8; U+0000 is. A NUL follows them. */
bool mien_utf8_valid(const void *text, size_t n);

#endif
