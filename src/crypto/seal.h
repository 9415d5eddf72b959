/* Sealing small records under a master key: AES-256-GCM (NIST SP 800-38D) with a key for each record.
 *
 * record key = HKDF-Expand(HKDF-Extract(salt, master), "mien record" || record id) with SHA-256 (RFC 5869), so no two records share a key and random nonces
 * are far from their limit. A sealed record is: version (1 byte, 1), key id (8), nonce (12), ciphertext, tag (16). The key id is the first 8 bytes of
 * SHA-256("mien key id" || PRK) and says nothing about the key.
 *
 * A keyring holds the current key, under which is sealed, and older ones, which only open. Thread-safe. Keys are wiped when they are freed. */
#ifndef MIEN_CRYPTO_SEAL_H
#define MIEN_CRYPTO_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

enum { MIEN_SEAL_OVERHEAD = 1 + 8 + 12 + 16, MIEN_RECORD_ID = 16, MIEN_KEY_ID = 8, MIEN_MAX_KEYS = 16 };

struct mien_keyring;

struct mien_keyring_settings {
    const char *key;      /* 64 hexadecimal digits (BIOMETRIC_TEMPLATE_KEY); NULL or "" = the file's */
    const char *previous; /* older keys that still open, separated by commas (BIOMETRIC_TEMPLATE_KEY_PREVIOUS); NULL = none */
    const char *salt;     /* any text (BIOMETRIC_TEMPLATE_SALT); NULL or "" = none */
    const char *file;     /* keys in hexadecimal, one a line, the current one first, # comments; used when `key` is not given. Made with a random key and mode
                           * 0600 when it does not exist. MIEN_E_KEY when others can read it. */
};

/* *made (may be NULL): a new key file was written. MIEN_E_KEY names what is wrong with which setting, never a digit of a key. */
enum mien_code mien_keyring_open(const struct mien_keyring_settings *s, struct mien_keyring **out, bool *made, struct mien_err *e) MIEN_MUST_CHECK;
void mien_keyring_free(struct mien_keyring **k);

/* Whether a sealed record is under the current key. False for what is too short to be one. */
bool mien_sealed_is_current(struct mien_keyring *k, const uint8_t *sealed, size_t n);

/* Begins a rotation: a new random key becomes the current one and stands first in the file, which is on the disk when this returns. MIEN_E_KEY when the key
 * came from the settings: then the operator rotates, with the old key in `previous`. */
enum mien_code mien_keyring_add(struct mien_keyring *k, struct mien_err *e) MIEN_MUST_CHECK;
/* Ends it: only the current key stays, in memory and in the file. Without a file: in memory only. */
enum mien_code mien_keyring_forget_old(struct mien_keyring *k, struct mien_err *e) MIEN_MUST_CHECK;
bool mien_keyring_has_file(const struct mien_keyring *k);

/* `sealed` has room for n + MIEN_SEAL_OVERHEAD bytes. `about` is authenticated with the record (additional data). */
enum mien_code mien_seal(struct mien_keyring *k, const uint8_t record_id[MIEN_RECORD_ID], const void *about, size_t about_n, const void *plain, size_t n,
                         uint8_t *sealed, struct mien_err *e) MIEN_MUST_CHECK;
/* `plain` has room for n - MIEN_SEAL_OVERHEAD bytes; nothing of it is left there on failure. MIEN_E_KEY: sealed under a key that is not in the ring.
 * MIEN_E_SEAL: not what was sealed under this id and `about`. */
enum mien_code mien_unseal(struct mien_keyring *k, const uint8_t record_id[MIEN_RECORD_ID], const void *about, size_t about_n, const uint8_t *sealed, size_t n,
                           void *plain, struct mien_err *e) MIEN_MUST_CHECK;

#endif
