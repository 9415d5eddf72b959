/* Digests over OpenSSL. SHA-256 is fetched once: an implicit fetch at every call takes OpenSSL's locks. */
#include "crypto/digest.h"

#include <openssl/evp.h>
#include <pthread.h>
#include "codec/hex.h"

static EVP_MD *sha256; /* lives as long as the process */

static void fetch_sha256(void) { sha256 = EVP_MD_fetch(NULL, "SHA256", NULL); }

enum mien_code mien_sha256(const void *data, size_t n, uint8_t digest[32], struct mien_err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    unsigned size = 0;
    if (pthread_once(&once, fetch_sha256) != 0 || sha256 == NULL || EVP_Digest(data, n, digest, &size, sha256, NULL) != 1 || size != 32)
        return MIEN_FAIL(e, MIEN_E_INTERNAL, "OpenSSL has no SHA-256");
    return MIEN_OK;
}

enum mien_code mien_sha256_hex(const void *data, size_t n, char hex[65], struct mien_err *e)
{
    uint8_t sum[32];
    MIEN_TRY(mien_sha256(data, n, sum, e));
    mien_hex(sum, sizeof sum, hex);
    return MIEN_OK;
}

enum mien_code mien_sha1(const void *data, size_t n, uint8_t digest[20], struct mien_err *e)
{
    MIEN_FAIL_IF(EVP_Digest(data, n, digest, NULL, EVP_sha1(), NULL) != 1, e, MIEN_E_INTERNAL, "OpenSSL has no SHA-1");
    return MIEN_OK;
}
