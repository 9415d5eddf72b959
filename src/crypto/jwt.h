/* Signed tokens: JWT (RFC 7519) with RS256 (RFC 7518) and the public keys as a JWKS (RFC 7517). Only RS256 is ever signed or accepted: no other algorithm is
 * known here, so none can be confused with it.
 *
 * A signer holds RSA-3072 keys in a folder, one PEM file (PKCS#8, mode 0600) a key. Key id: the RFC 7638 thumbprint. The newest key signs. A key that has a
 * successor validates until `lifetime_s` and a minute after the successor was made, when the last token that it signed has expired on every server's clock;
 * then it is deleted. A folder that several servers share is read again when it has changed, and when a token names a key that is not known (at most once a
 * second). Thread-safe. */
#ifndef MIEN_CRYPTO_JWT_H
#define MIEN_CRYPTO_JWT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"

struct mien_signer;

enum { MIEN_JWT_BYTES = 8192 /* of a token, at most */ };

/* `folder` is made (0700) when it does not exist, and a key in it when it holds none (*made, may be NULL). NULL: a key in memory only, for tests. `lifetime_s`:
 * of the tokens. MIEN_E_KEY: a key file that others can read, that is damaged, or that is no RSA key of at least 3072 bits; names the file. */
enum mien_code mien_signer_open(const char *folder, int lifetime_s, struct mien_signer **out, bool *made, struct mien_err *e) MIEN_MUST_CHECK;
void mien_signer_free(struct mien_signer **s);
/* A new key that signs from now on; on the disk when this returns. `now_s`: seconds since 1970. */
enum mien_code mien_signer_rotate(struct mien_signer *s, int64_t now_s, struct mien_err *e) MIEN_MUST_CHECK;

/* The key set: the object {"keys":[{kty,use,alg,kid,n,e}, ...]}, the signing key first; only public numbers. */
void mien_signer_jwks(struct mien_signer *s, int64_t now_s, struct mien_jw *w);

/* `claims`: a JSON object as text. Adds the compact token to `token`. */
enum mien_code mien_jwt_sign(struct mien_signer *s, const char *claims, size_t n, struct mien_buf *token, struct mien_err *e) MIEN_MUST_CHECK;

struct mien_jwt_rules {
    const char *issuer;   /* iss must be this */
    const char *audience; /* aud must be this, or an array that holds it; NULL: aud is not looked at */
    int64_t now_s;        /* exp must be beyond it, nbf and iat not (with leeway_s) */
    int leeway_s;
};
/* Checks everything: form (three parts of strict base64url, at most MIEN_JWT_BYTES), header (alg RS256, typ JWT or none, known kid, no crit), signature, rules;
 * exp is required. MIEN_E_TOKEN: not valid; e->msg says why in words for its bearer ("The token has expired."). *claims is freed with mien_json_free. */
enum mien_code mien_jwt_verify(struct mien_signer *s, const char *token, size_t n, const struct mien_jwt_rules *rules, struct mien_json **claims,
                               struct mien_err *e) MIEN_MUST_CHECK;

#endif
