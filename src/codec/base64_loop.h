/* The inner loop of base64 decoding with AVX2, and what it shares with the scalar reference in base64.c. Private to the room. */
#ifndef MIEN_CODEC_BASE64_LOOP_H
#define MIEN_CODEC_BASE64_LOOP_H

#include <stddef.h>

/* Which alphabet the text has shown so far; 0 while nothing told. Bits above a character's value. */
enum { MIEN_BASE64_FOR_STANDARD = 1 << 6, MIEN_BASE64_FOR_URL = 1 << 7 };

/* Decodes blocks of 32 characters into 24 bytes each and returns the characters done. Stops before a block that holds anything but letters,
 * digits and the two special characters of the alphabet `seen`, and before the last few, because a store is 32 bytes wide. Needs room for
 * n / 4 * 3 bytes in `out`, which may be `s`: a store never reaches what was not read yet. */
size_t mien_base64_loop_avx2(const unsigned char *s, size_t n, unsigned char *out, unsigned seen);

#endif
