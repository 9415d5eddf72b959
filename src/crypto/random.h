/* Randomness, and comparison without timing differences. */
#ifndef MIEN_CRYPTO_RANDOM_H
#define MIEN_CRYPTO_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

/* n bytes from the system's generator (getrandom). MIEN_E_INTERNAL when there are none. */
enum mien_code mien_random(void *out, size_t n, struct mien_err *e) MIEN_MUST_CHECK;

/* Compares n bytes in time that does not depend on them. */
bool mien_secret_equal(const void *a, const void *b, size_t n);

#endif
