/* Keyring and sealing over OpenSSL. Algorithms are fetched once (an implicit fetch at every call takes locks in OpenSSL), and HMAC is keyed once a key, so that
 * a record costs one HMAC and one AES-256-GCM. */
#include "crypto/seal.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "codec/hex.h"
#include "crypto/digest.h"
#include "crypto/random.h"

enum { KEY = 32, NONCE = 12, TAG = 16, VERSION = 1, KEY_FILE_BYTES = 1 << 16, HEX = 2 * KEY };

static const char INFO[] = "mien record", ID_LABEL[] = "mien key id";

struct key {
    uint8_t master[KEY], id[MIEN_KEY_ID];
    EVP_MAC_CTX *mac; /* HMAC-SHA-256 keyed with HKDF's PRK; copied for use */
};

struct mien_keyring {
    pthread_rwlock_t lock;
    char *file, *salt;
    int n;
    struct key key[MIEN_MAX_KEYS]; /* the current one first */
};

static EVP_CIPHER *aes;
static EVP_MAC *hmac;

static void fetch_algorithms(void)
{
    aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
}

static enum mien_code need_algorithms(struct mien_err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    MIEN_FAIL_IF(pthread_once(&once, fetch_algorithms) != 0 || aes == NULL || hmac == NULL, e, MIEN_E_INTERNAL, "OpenSSL has no AES-256-GCM or HMAC");
    return MIEN_OK;
}

/* ---- HKDF (RFC 5869) ---- */

static EVP_MAC_CTX *keyed(const void *key, size_t n)
{
    char name[] = "SHA256";
    OSSL_PARAM digest[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0), OSSL_PARAM_construct_end()};
    EVP_MAC_CTX *c = EVP_MAC_CTX_new(hmac);
    if (c != NULL && EVP_MAC_init(c, key, n, digest) == 1) return c;
    EVP_MAC_CTX_free(c);
    return NULL;
}

static bool finish_mac(EVP_MAC_CTX *c, uint8_t out[KEY])
{
    size_t n = 0;
    return EVP_MAC_final(c, out, &n, KEY) == 1 && n == KEY;
}

/* HKDF-Extract; without a salt it is as many zeros as the digest has bytes. */
static bool extract(const char *salt, const uint8_t master[KEY], uint8_t prk[KEY])
{
    static const uint8_t zeros[KEY];
    const bool salted = salt != NULL && salt[0] != '\0';
    EVP_MAC_CTX *c = keyed(salted ? (const void *)salt : zeros, salted ? strlen(salt) : KEY);
    const bool good = c != NULL && EVP_MAC_update(c, master, KEY) == 1 && finish_mac(c, prk);
    EVP_MAC_CTX_free(c);
    return good;
}

/* The record's key: HKDF-Expand to one digest's length is one HMAC. Takes `c`. */
static bool expand(EVP_MAC_CTX *c, const uint8_t record_id[MIEN_RECORD_ID], uint8_t out[KEY])
{
    static const uint8_t one = 1;
    const bool good = c != NULL && EVP_MAC_update(c, (const uint8_t *)INFO, sizeof INFO - 1) == 1 && EVP_MAC_update(c, record_id, MIEN_RECORD_ID) == 1 &&
                      EVP_MAC_update(c, &one, 1) == 1 && finish_mac(c, out);
    EVP_MAC_CTX_free(c);
    return good;
}

/* ---- keys ---- */

static void forget(struct key *k)
{
    EVP_MAC_CTX_free(k->mac);
    explicit_bzero(k, sizeof *k);
}

/* k->master -> id and keyed HMAC. */
static enum mien_code derive(const struct mien_keyring *ring, struct key *k, struct mien_err *e)
{
    uint8_t label[sizeof ID_LABEL - 1 + KEY], sum[32];
    memcpy(label, ID_LABEL, sizeof ID_LABEL - 1);
    enum mien_code code = extract(ring->salt, k->master, label + sizeof ID_LABEL - 1) ? MIEN_OK : MIEN_FAIL(e, MIEN_E_INTERNAL, "HKDF failed");
    if (code == MIEN_OK) code = mien_sha256(label, sizeof label, sum, e);
    if (code == MIEN_OK) {
        memcpy(k->id, sum, sizeof k->id);
        k->mac = keyed(label + sizeof ID_LABEL - 1, KEY);
        if (k->mac == NULL) code = MIEN_FAIL(e, MIEN_E_NOMEM, "no memory for a key");
    }
    explicit_bzero(label, sizeof label);
    return code;
}

static bool read_hex(const char *s, size_t n, uint8_t out[KEY])
{
    if (n != HEX) return false;
    for (size_t i = 0; i < KEY; i++) {
        const int high = mien_hex_digit(s[2 * i]), low = mien_hex_digit(s[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Adds the key written in s[0..n) at the end. `where` names its place in messages. */
static enum mien_code take_key(struct mien_keyring *ring, const char *s, size_t n, const char *where, int number, struct mien_err *e)
{
    MIEN_FAIL_IF(ring->n == MIEN_MAX_KEYS, e, MIEN_E_KEY, "%s: more than %d keys", where, MIEN_MAX_KEYS);
    struct key *k = &ring->key[ring->n];
    MIEN_FAIL_IF(!read_hex(s, n, k->master), e, MIEN_E_KEY, "%s: key %d is not 64 hexadecimal digits", where, number);
    ring->n++;
    MIEN_TRY(derive(ring, k, e));
    return MIEN_OK;
}

/* Keys between separators, blanks around them dropped; lines that begin with # are comments. */
static enum mien_code take_keys(struct mien_keyring *ring, const char *text, size_t n, char separator, const char *where, struct mien_err *e)
{
    int number = 0;
    for (const char *at = text, *end = text + n; at < end; at++) {
        const char *stop = memchr(at, separator, (size_t)(end - at));
        if (stop == NULL) stop = end;
        const char *from = at, *to = stop;
        while (from < to && strchr(" \t\r", *from) != NULL) from++;
        while (to > from && strchr(" \t\r", to[-1]) != NULL) to--;
        if (from < to && *from != '#') MIEN_TRY(take_key(ring, from, (size_t)(to - from), where, ++number, e));
        at = stop;
    }
    return MIEN_OK;
}

/* ---- key file ---- */

/* The first `n` keys, on the disk when this returns. `made` NULL: instead of what is there; else only when there is nothing. */
static enum mien_code write_file(const struct mien_keyring *ring, int n, bool *made, struct mien_err *e)
{
    static const char HEAD[] =
        "# Keys of mien's templates, the current one first. Without them the templates cannot be opened: keep a copy, and keep it secret.\n";
    char text[sizeof HEAD + (size_t)MIEN_MAX_KEYS * (HEX + 1)], *at = text;
    memcpy(at, HEAD, sizeof HEAD - 1);
    at += sizeof HEAD - 1;
    for (int i = 0; i < n; i++) {
        mien_hex(ring->key[i].master, KEY, at);
        at += HEX;
        *at++ = '\n';
    }
    const size_t size = (size_t)(at - text);
    const enum mien_code code = made != NULL ? mien_file_make_secret(ring->file, text, size, made, e) : mien_file_write_secret(ring->file, text, size, e);
    explicit_bzero(text, sizeof text);
    return code;
}

/* A new key, unless another process makes one this moment (*made false): then that one's counts. */
static enum mien_code make_file(struct mien_keyring *ring, bool *made, struct mien_err *e)
{
    MIEN_TRY(mien_random(ring->key[0].master, KEY, e));
    MIEN_TRY(derive(ring, &ring->key[0], e));
    ring->n = 1;
    MIEN_TRY(write_file(ring, 1, made, e));
    if (!*made) forget(&ring->key[--ring->n]);
    return MIEN_OK;
}

static enum mien_code read_file(struct mien_keyring *ring, struct mien_err *e)
{
    unsigned char *text;
    size_t n;
    MIEN_FAIL_IF(!mien_file_is_private(ring->file), e, MIEN_E_KEY, "%s can be read by others: chmod 600 it", ring->file);
    MIEN_TRY(mien_file_read(ring->file, KEY_FILE_BYTES, &text, &n, e));
    enum mien_code code = take_keys(ring, (const char *)text, n, '\n', ring->file, e);
    explicit_bzero(text, n);
    free(text);
    MIEN_TRY(code);
    MIEN_FAIL_IF(ring->n == 0, e, MIEN_E_KEY, "%s holds no key", ring->file);
    return MIEN_OK;
}

/* ---- the keyring ---- */

static bool given(const char *s) { return s != NULL && s[0] != '\0'; }

static enum mien_code fill(struct mien_keyring *ring, const struct mien_keyring_settings *s, bool *made, struct mien_err *e)
{
    if (given(s->key)) {
        MIEN_TRY(take_key(ring, s->key, strlen(s->key), "BIOMETRIC_TEMPLATE_KEY", 1, e));
    } else {
        MIEN_FAIL_IF(!given(s->file), e, MIEN_E_KEY, "there is no key: set BIOMETRIC_TEMPLATE_KEY");
        ring->file = strdup(s->file);
        MIEN_FAIL_IF(ring->file == NULL, e, MIEN_E_NOMEM, "no memory for the keys");
        if (access(ring->file, F_OK) != 0 && errno == ENOENT) MIEN_TRY(make_file(ring, made, e));
        if (!*made) MIEN_TRY(read_file(ring, e));
    }
    return given(s->previous) ? take_keys(ring, s->previous, strlen(s->previous), ',', "BIOMETRIC_TEMPLATE_KEY_PREVIOUS", e) : MIEN_OK;
}

enum mien_code mien_keyring_open(const struct mien_keyring_settings *s, struct mien_keyring **out, bool *made, struct mien_err *e)
{
    bool written = false;
    *out = NULL;
    MIEN_TRY(need_algorithms(e));
    struct mien_keyring *ring = calloc(1, sizeof *ring);
    MIEN_FAIL_IF(ring == NULL, e, MIEN_E_NOMEM, "no memory for the keys");
    pthread_rwlock_init(&ring->lock, NULL);
    ring->salt = strdup(given(s->salt) ? s->salt : "");
    enum mien_code code = ring->salt == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "no memory for the keys") : fill(ring, s, &written, e);
    if (code != MIEN_OK) mien_keyring_free(&ring);
    if (made != NULL) *made = written && code == MIEN_OK;
    *out = ring;
    return code;
}

void mien_keyring_free(struct mien_keyring **k)
{
    struct mien_keyring *ring = *k;
    if (ring == NULL) return;
    for (int i = 0; i < MIEN_MAX_KEYS; i++) forget(&ring->key[i]);
    if (ring->salt != NULL) explicit_bzero(ring->salt, strlen(ring->salt));
    free(ring->salt);
    free(ring->file);
    pthread_rwlock_destroy(&ring->lock);
    free(ring);
    *k = NULL;
}

bool mien_keyring_has_file(const struct mien_keyring *k) { return k->file != NULL; }

enum mien_code mien_keyring_add(struct mien_keyring *ring, struct mien_err *e)
{
    struct key fresh = {0};
    MIEN_FAIL_IF(ring->file == NULL, e, MIEN_E_KEY,
                 "the key is given by BIOMETRIC_TEMPLATE_KEY: set a new one there and the old one in BIOMETRIC_TEMPLATE_KEY_PREVIOUS");
    MIEN_TRY(mien_random(fresh.master, KEY, e));
    MIEN_TRY(derive(ring, &fresh, e));
    pthread_rwlock_wrlock(&ring->lock);
    enum mien_code code = ring->n < MIEN_MAX_KEYS ? MIEN_OK : MIEN_FAIL(e, MIEN_E_KEY, "%s: more than %d keys", ring->file, MIEN_MAX_KEYS);
    if (code == MIEN_OK) {
        memmove(&ring->key[1], &ring->key[0], (size_t)ring->n * sizeof fresh);
        ring->key[0] = fresh;
        code = write_file(ring, ++ring->n, NULL, e);
        if (code != MIEN_OK) { /* as it was */
            memmove(&ring->key[0], &ring->key[1], (size_t)--ring->n * sizeof fresh);
            explicit_bzero(&ring->key[ring->n], sizeof fresh);
        }
    }
    pthread_rwlock_unlock(&ring->lock);
    if (code != MIEN_OK) forget(&fresh);
    explicit_bzero(&fresh, sizeof fresh);
    return code;
}

enum mien_code mien_keyring_forget_old(struct mien_keyring *ring, struct mien_err *e)
{
    enum mien_code code = MIEN_OK;
    pthread_rwlock_wrlock(&ring->lock);
    if (ring->file != NULL) code = write_file(ring, 1, NULL, e);
    while (code == MIEN_OK && ring->n > 1) forget(&ring->key[--ring->n]);
    pthread_rwlock_unlock(&ring->lock);
    return code;
}

/* ---- records ---- */

/* The key of a record under the key `id`, or the current one when `id` is NULL, whose id is then written to `used`. */
static enum mien_code record_key(struct mien_keyring *ring, const uint8_t *id, const uint8_t record_id[MIEN_RECORD_ID], uint8_t used[MIEN_KEY_ID],
                                 uint8_t out[KEY], struct mien_err *e)
{
    EVP_MAC_CTX *mac = NULL;
    int i = 0;
    pthread_rwlock_rdlock(&ring->lock);
    while (id != NULL && i < ring->n && memcmp(ring->key[i].id, id, MIEN_KEY_ID) != 0) i++;
    const bool found = i < ring->n;
    if (found) {
        memcpy(used, ring->key[i].id, MIEN_KEY_ID);
        mac = EVP_MAC_CTX_dup(ring->key[i].mac);
    }
    pthread_rwlock_unlock(&ring->lock);
    MIEN_FAIL_IF(!found, e, MIEN_E_KEY, "the record is sealed under a key that is not here");
    MIEN_FAIL_IF(!expand(mac, record_id, out), e, MIEN_E_INTERNAL, "HKDF failed");
    return MIEN_OK;
}

bool mien_sealed_is_current(struct mien_keyring *ring, const uint8_t *sealed, size_t n)
{
    if (n < MIEN_SEAL_OVERHEAD || sealed[0] != VERSION) return false;
    pthread_rwlock_rdlock(&ring->lock);
    const bool current = memcmp(sealed + 1, ring->key[0].id, MIEN_KEY_ID) == 0;
    pthread_rwlock_unlock(&ring->lock);
    return current;
}

/* One pass of the cipher; `tag` is written when sealing and checked when not. */
static bool run_cipher(bool seal, const uint8_t key[KEY], const uint8_t nonce[NONCE], const void *about, size_t about_n, const uint8_t *in, size_t n,
                       uint8_t *out, uint8_t tag[TAG])
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int done = 0;
    bool good = c != NULL && EVP_CipherInit_ex2(c, aes, key, nonce, seal, NULL) == 1;
    good = good && (about_n == 0 || EVP_CipherUpdate(c, NULL, &done, about, (int)about_n) == 1);
    good = good && (n == 0 || EVP_CipherUpdate(c, out, &done, in, (int)n) == 1);
    good = good && (seal || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1);
    good = good && EVP_CipherFinal_ex(c, out + n, &done) == 1 && done == 0;
    good = good && (!seal || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG, tag) == 1);
    EVP_CIPHER_CTX_free(c); /* wipes */
    return good;
}

enum mien_code mien_seal(struct mien_keyring *k, const uint8_t record_id[MIEN_RECORD_ID], const void *about, size_t about_n, const void *plain, size_t n,
                         uint8_t *sealed, struct mien_err *e)
{
    uint8_t key[KEY], *nonce = sealed + 1 + MIEN_KEY_ID, *text = nonce + NONCE;
    MIEN_FAIL_IF(n > 1 << 20 || about_n > 1 << 20, e, MIEN_E_ARG, "the record is too long to be sealed");
    sealed[0] = VERSION;
    MIEN_TRY(mien_random(nonce, NONCE, e));
    MIEN_TRY(record_key(k, NULL, record_id, sealed + 1, key, e));
    const bool good = run_cipher(true, key, nonce, about, about_n, plain, n, text, text + n);
    explicit_bzero(key, sizeof key);
    MIEN_FAIL_IF(!good, e, MIEN_E_INTERNAL, "AES-256-GCM failed");
    return MIEN_OK;
}

enum mien_code mien_unseal(struct mien_keyring *k, const uint8_t record_id[MIEN_RECORD_ID], const void *about, size_t about_n, const uint8_t *sealed, size_t n,
                           void *plain, struct mien_err *e)
{
    uint8_t key[KEY], used[MIEN_KEY_ID], tag[TAG];
    MIEN_FAIL_IF(n < MIEN_SEAL_OVERHEAD || n > 2 << 20 || about_n > 1 << 20 || sealed[0] != VERSION, e, MIEN_E_SEAL, "this is no sealed record");
    const uint8_t *nonce = sealed + 1 + MIEN_KEY_ID, *text = nonce + NONCE;
    const size_t text_n = n - MIEN_SEAL_OVERHEAD;
    MIEN_TRY(record_key(k, sealed + 1, record_id, used, key, e));
    memcpy(tag, text + text_n, TAG);
    const bool good = run_cipher(false, key, nonce, about, about_n, text, text_n, plain, tag);
    explicit_bzero(key, sizeof key);
    if (!good) explicit_bzero(plain, text_n);
    MIEN_FAIL_IF(!good, e, MIEN_E_SEAL, "the record is not what was sealed here");
    return MIEN_OK;
}
