/* Hexadecimal digits. */
#ifndef MIEN_CODEC_HEX_H
#define MIEN_CODEC_HEX_H

#include <stddef.h>

/* n bytes as 2n lower-case digits and a NUL. */
void mien_hex(const void *data, size_t n, char *out);
/* Value of a digit of either case; -1 for any other character. */
int mien_hex_digit(char c);

#endif
