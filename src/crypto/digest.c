#include "crypto/digest.h"

#include <openssl/evp.h>

enum mien_code mien_sha256_hex(const void *data, size_t n, char hex[65], struct mien_err *e)
{
    static const char digit[] = "0123456789abcdef";
    unsigned char sum[32];
    size_t size = 0;
    if (EVP_Q_digest(NULL, "SHA256", NULL, data, n, sum, &size) != 1 || size != sizeof sum)
        return MIEN_FAIL(e, MIEN_E_INTERNAL, "OpenSSL has no SHA-256");
    for (size_t i = 0; i < sizeof sum; i++) {
        hex[2 * i] = digit[sum[i] >> 4];
        hex[2 * i + 1] = digit[sum[i] & 15];
    }
    hex[64] = '\0';
    return MIEN_OK;
}
