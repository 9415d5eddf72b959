/* Random bytes from the kernel; comparison from OpenSSL. */
#include "crypto/random.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <sys/random.h>

enum mien_code mien_random(void *out, size_t n, struct mien_err *e)
{
    unsigned char *p = out;
    while (n > 0) {
        const ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return MIEN_FAIL(e, MIEN_E_INTERNAL, "the system gives no random bytes");
        p += got;
        n -= (size_t)got;
    }
    return MIEN_OK;
}

bool mien_secret_equal(const void *a, const void *b, size_t n) { return CRYPTO_memcmp(a, b, n) == 0; }
