/* Between jwt.c and jwt_keys.c: a key of the signer, how one is found, and RS256 itself. */
#ifndef MIEN_CRYPTO_JWT_INNER_H
#define MIEN_CRYPTO_JWT_INNER_H

#include <openssl/evp.h>
#include "crypto/jwt.h"

enum { MIEN_RSA_BITS = 3072, MIEN_RSA_MOST_BITS = 8192, MIEN_SIGNATURE = MIEN_RSA_MOST_BITS / 8 };

struct mien_jwt_key {
    EVP_PKEY *pkey;
    int64_t made_s;
    char kid[44];   /* base64url of 32 bytes */
    char *n, *e;    /* modulus and exponent in base64url */
    bool there;     /* while the folder is read: the file is there */
    char *file;     /* its name in the folder; NULL: in memory only */
};

/* The key that signs now (kid NULL), or the one with this id when it still validates at now_s: a reference that the caller frees. NULL: none. `kid_out` (may be
 * NULL) receives the id. */
EVP_PKEY *mien_signer_key(struct mien_signer *s, const char *kid, int64_t now_s, char kid_out[44]);

/* RSASSA-PKCS1-v1_5 with SHA-256. *n: its bytes. */
bool mien_rs256_sign(EVP_PKEY *key, const void *data, size_t data_n, unsigned char signature[MIEN_SIGNATURE], size_t *n);
bool mien_rs256_verify(EVP_PKEY *key, const void *data, size_t data_n, const unsigned char *signature, size_t n);

/* base64url without padding; a terminated text. `out` has room for mien_base64url_room(n). */
static inline size_t mien_base64url_room(size_t n) { return 4 * ((n + 2) / 3) + 1; }
size_t mien_base64url_encode(const void *data, size_t n, char *out);

#endif
