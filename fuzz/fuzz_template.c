/* Templates: any bytes as a sealed record, and any bytes as what was sealed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "gallery/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char KEY[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", ABOUT[] = "u\0m\0\1";
    static struct mien_keyring *ring;
    static uint8_t sealed[MIEN_SEALED_BYTES];
    struct mien_template t;
    struct mien_record r = {.user_id = "u", .model = "m", .sealed = data, .sealed_n = size};
    if (ring == NULL && mien_keyring_open(&(struct mien_keyring_settings){.key = KEY}, &ring, NULL, NULL) != MIEN_OK) abort();
    if (mien_template_open(ring, &r, &t, NULL) == MIEN_OK) abort(); /* nobody guesses a tag */
    if (size > MIEN_TEMPLATE_BYTES || mien_seal(ring, r.id, ABOUT, 5, data, size, sealed, NULL) != MIEN_OK) return 0;
    r.sealed = sealed;
    r.sealed_n = size + MIEN_SEAL_OVERHEAD;
    if (mien_template_open(ring, &r, &t, NULL) != MIEN_OK) return 0;
    if (t.dim < 1 || t.dim > MIEN_TEMPLATE_DIM || t.depth_dim < 0 || t.depth_dim > MIEN_TEMPLATE_DIM || 8 + 2 * (size_t)(t.dim + t.depth_dim) != size) abort();
    return 0;
}
