/* Base64 (RFC 4648), strict, from untrusted text. */
#ifndef MIEN_CODEC_BASE64_H
#define MIEN_CODEC_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

/* Bytes that n characters can decode to, at most. */
size_t mien_base64_room(size_t n);

/* Decodes n characters of the standard or the URL alphabet (not mixed), with or without padding, into `out` (room for
 * mien_base64_room(n)). `out` may be `text` itself: decoding in place is safe. `*size` receives the bytes. MIEN_E_BASE64 with e->pos for
 * blanks, foreign characters, wrong padding, a length that cannot be, or tail bits that are not 0; text decoded in place is then spoilt. */
enum mien_code mien_base64_decode(const char *text, size_t n, unsigned char *out, size_t *size, struct mien_err *e) MIEN_MUST_CHECK;

/* A data URL's payload: when `text` begins with "data:", checks that it says ";base64," and moves *text and *n to what follows. True for plain
 * text too, which is left as it is; false for a data URL that is not base64. Of the media type nothing is believed. */
bool mien_data_url_payload(const char **text, size_t *n);

/* Standard alphabet with padding, NUL-terminated; `out` has room for 4 * ((n + 2) / 3) + 1. Returns the length without NUL. */
size_t mien_base64_encode(const void *data, size_t n, char *out);

#endif
