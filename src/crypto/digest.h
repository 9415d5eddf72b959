/* Message digests. OpenSSL stays inside this room. */
#ifndef MIEN_CRYPTO_DIGEST_H
#define MIEN_CRYPTO_DIGEST_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

/* SHA-256 (FIPS 180-4) as 64 lower-case hexadecimal digits and a NUL. MIEN_E_INTERNAL when OpenSSL cannot provide it. */
enum mien_code mien_sha256_hex(const void *data, size_t n, char hex[65], struct mien_err *e) MIEN_MUST_CHECK;

/* SHA-256 as 32 bytes. */
enum mien_code mien_sha256(const void *data, size_t n, uint8_t digest[32], struct mien_err *e) MIEN_MUST_CHECK;

/* SHA-1 as 20 bytes, for the WebSocket handshake, which wants it. Protects nothing. */
enum mien_code mien_sha1(const void *data, size_t n, uint8_t digest[20], struct mien_err *e) MIEN_MUST_CHECK;

#endif
