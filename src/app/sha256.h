/* SHA-256 (FIPS 180-4) of model files. Verifies what was downloaded; keys and tokens will use the crypto room. */
#ifndef MIEN_APP_SHA256_H
#define MIEN_APP_SHA256_H

#include <stddef.h>

/* 64 hexadecimal digits and a NUL. */
void mien_sha256_hex(const unsigned char *data, size_t n, char hex[65]);

#endif
