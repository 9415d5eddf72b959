/* Keyring and sealed records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto/seal.h"

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "FFEEDDCCBBAA99887766554433221100ffeeddccbbaa99887766554433221100"

static const uint8_t ID[MIEN_RECORD_ID] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const char ABOUT[] = "ann", TEXT[] = "a template, which nobody may read";
enum { SEALED = sizeof TEXT + MIEN_SEAL_OVERHEAD };

static struct mien_keyring *ring_of(const char *key, const char *previous, const char *salt)
{
    struct mien_keyring *k;
    assert_int_equal(mien_keyring_open(&(struct mien_keyring_settings){.key = key, .previous = previous, .salt = salt}, &k, NULL, NULL), MIEN_OK);
    return k;
}

static void seal(struct mien_keyring *k, uint8_t out[SEALED]) { assert_int_equal(mien_seal(k, ID, ABOUT, 3, TEXT, sizeof TEXT, out, NULL), MIEN_OK); }

static enum mien_code unseal(struct mien_keyring *k, const uint8_t *sealed, size_t n)
{
    uint8_t plain[SEALED];
    memset(plain, 0xee, sizeof plain);
    const enum mien_code code = mien_unseal(k, ID, ABOUT, 3, sealed, n, plain, NULL);
    if (code == MIEN_OK) {
        assert_memory_equal(plain, TEXT, sizeof TEXT);
    } else {
        for (size_t i = 0; i + 8 < sizeof plain; i++) assert_memory_not_equal(plain + i, "template", 8); /* nothing of it is left */
    }
    return code;
}

/* ---- tests ---- */

static void what_is_sealed_opens_again_and_looks_different_each_time(void **state)
{
    (void)state;
    uint8_t a[SEALED], b[SEALED];
    struct mien_keyring *k = ring_of(KEY_A, NULL, NULL);
    seal(k, a);
    seal(k, b);
    assert_memory_not_equal(a, b, SEALED);
    assert_memory_not_equal(a + 21, b + 21, sizeof TEXT);
    assert_int_equal(unseal(k, a, SEALED), MIEN_OK);
    assert_int_equal(unseal(k, b, SEALED), MIEN_OK);
    assert_true(mien_sealed_is_current(k, a, SEALED));
    assert_int_equal(mien_seal(k, ID, NULL, 0, NULL, 0, a, NULL), MIEN_OK); /* nothing can be sealed too */
    assert_int_equal(mien_unseal(k, ID, NULL, 0, a, MIEN_SEAL_OVERHEAD, b, NULL), MIEN_OK);
    mien_keyring_free(&k);
}

static void every_flipped_bit_and_every_cut_is_refused(void **state)
{
    (void)state;
    uint8_t a[SEALED];
    struct mien_keyring *k = ring_of(KEY_A, NULL, NULL);
    seal(k, a);
    for (size_t i = 0; i < 8 * sizeof a; i++) {
        a[i / 8] ^= (uint8_t)(1u << i % 8);
        const enum mien_code code = unseal(k, a, SEALED);
        assert_int_equal(code, i / 8 >= 1 && i / 8 <= MIEN_KEY_ID ? MIEN_E_KEY : MIEN_E_SEAL);
        a[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t n = 0; n < SEALED; n++) assert_int_equal(unseal(k, a, n), MIEN_E_SEAL);
    assert_int_equal(unseal(k, a, SEALED), MIEN_OK);
    mien_keyring_free(&k);
}

static void a_record_is_bound_to_its_place(void **state)
{
    (void)state;
    uint8_t a[SEALED], plain[SEALED], other[MIEN_RECORD_ID];
    struct mien_keyring *k = ring_of(KEY_A, NULL, NULL), *wrong = ring_of(KEY_B, NULL, NULL), *salted = ring_of(KEY_A, NULL, "salt");
    seal(k, a);
    memcpy(other, ID, sizeof other);
    other[15] ^= 1;
    assert_int_equal(mien_unseal(k, other, ABOUT, 3, a, SEALED, plain, NULL), MIEN_E_SEAL);
    assert_int_equal(mien_unseal(k, ID, "bob", 3, a, SEALED, plain, NULL), MIEN_E_SEAL);
    assert_int_equal(mien_unseal(k, ID, "an", 2, a, SEALED, plain, NULL), MIEN_E_SEAL);
    assert_int_equal(unseal(wrong, a, SEALED), MIEN_E_KEY);
    assert_int_equal(unseal(salted, a, SEALED), MIEN_E_KEY); /* the salt makes another key of it */
    assert_false(mien_sealed_is_current(wrong, a, SEALED));
    mien_keyring_free(&k);
    mien_keyring_free(&wrong);
    mien_keyring_free(&salted);
}

/* HKDF-SHA-256 by OpenSSL's own HKDF. */
static void hkdf(const void *salt, size_t salt_n, const void *key, const void *info, size_t info_n, uint8_t out[32])
{
    char digest[] = "SHA256";
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *c = EVP_KDF_CTX_new(kdf);
    const OSSL_PARAM p[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
                            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key, 32),
                            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt, salt_n),
                            OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info, info_n), OSSL_PARAM_construct_end()};
    assert_int_equal(EVP_KDF_derive(c, out, 32, p), 1);
    EVP_KDF_CTX_free(c);
    EVP_KDF_free(kdf);
}

/* Opens a record with nothing but OpenSSL and what seal.h says. */
static void check_format(const char *salt)
{
    uint8_t master[32], info[11 + 16], key[32], a[SEALED], plain[sizeof TEXT];
    int n = 0, last = 0;
    struct mien_keyring *k = ring_of(KEY_A, NULL, salt);
    for (int i = 0; i < 32; i++) master[i] = (uint8_t)i;
    seal(k, a);
    assert_int_equal(a[0], 1);
    memcpy(info, "mien record", 11);
    memcpy(info + 11, ID, 16);
    hkdf(salt, strlen(salt), master, info, sizeof info, key);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, a + 9), 1);
    assert_int_equal(EVP_DecryptUpdate(c, NULL, &n, (const uint8_t *)ABOUT, 3), 1);
    assert_int_equal(EVP_DecryptUpdate(c, plain, &n, a + 21, sizeof TEXT), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, 16, a + 21 + sizeof TEXT), 1);
    assert_int_equal(EVP_DecryptFinal_ex(c, plain + n, &last), 1);
    assert_memory_equal(plain, TEXT, sizeof TEXT);
    EVP_CIPHER_CTX_free(c);
    mien_keyring_free(&k);
}

static void the_format_is_as_documented(void **state)
{
    (void)state;
    check_format("a salt");
    check_format("");
}

static void older_keys_open_and_do_not_seal(void **state)
{
    (void)state;
    uint8_t a[SEALED], b[SEALED];
    struct mien_keyring *old = ring_of(KEY_A, NULL, NULL), *both = ring_of(KEY_B, " " KEY_A " , ", NULL), *fresh = ring_of(KEY_B, NULL, NULL);
    seal(old, a);
    seal(both, b);
    assert_int_equal(unseal(both, a, SEALED), MIEN_OK);
    assert_false(mien_sealed_is_current(both, a, SEALED));
    assert_int_equal(unseal(fresh, b, SEALED), MIEN_OK);
    assert_int_equal(unseal(old, b, SEALED), MIEN_E_KEY);
    assert_int_equal(mien_keyring_add(both, NULL), MIEN_E_KEY); /* the settings' key is the operator's to change */
    assert_int_equal(mien_keyring_forget_old(both, NULL), MIEN_OK);
    assert_int_equal(unseal(both, a, SEALED), MIEN_E_KEY);
    mien_keyring_free(&old);
    mien_keyring_free(&both);
    mien_keyring_free(&fresh);
}

static void wrong_settings_are_named_and_keys_are_not(void **state)
{
    (void)state;
    static const char *const WRONG[] = {"12", KEY_A "0", "x00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"};
    for (size_t i = 0; i < 3; i++) {
        struct mien_keyring *k;
        struct mien_err e = {0};
        assert_int_equal(mien_keyring_open(&(struct mien_keyring_settings){.key = WRONG[i]}, &k, NULL, &e), MIEN_E_KEY);
        assert_null(k);
        assert_non_null(strstr(e.msg, "BIOMETRIC_TEMPLATE_KEY"));
        assert_null(strstr(e.msg, WRONG[i]));
        assert_int_equal(mien_keyring_open(&(struct mien_keyring_settings){.key = KEY_A, .previous = WRONG[i]}, &k, NULL, &e), MIEN_E_KEY);
        assert_non_null(strstr(e.msg, "BIOMETRIC_TEMPLATE_KEY_PREVIOUS"));
    }
    struct mien_keyring *k;
    assert_int_equal(mien_keyring_open(&(struct mien_keyring_settings){0}, &k, NULL, NULL), MIEN_E_KEY);
}

/* ---- key files ---- */

static char folder[] = "/tmp/mien-seal-XXXXXX", path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) return -1;
    snprintf(path, sizeof path, "%s/template.keys", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static enum mien_code open_file(struct mien_keyring **k, bool *made) { return mien_keyring_open(&(struct mien_keyring_settings){.file = path}, k, made, NULL); }

static void write_path(const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void a_key_file_is_made_once(void **state)
{
    (void)state;
    struct mien_keyring *k, *again;
    struct stat st;
    uint8_t a[SEALED];
    bool made = false;
    unlink(path);
    assert_int_equal(open_file(&k, &made), MIEN_OK);
    assert_true(made);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    seal(k, a);
    assert_int_equal(open_file(&again, &made), MIEN_OK);
    assert_false(made);
    assert_int_equal(unseal(again, a, SEALED), MIEN_OK);
    assert_true(mien_sealed_is_current(again, a, SEALED));
    mien_keyring_free(&k);
    mien_keyring_free(&again);
}

static void a_rotation_lives_in_the_file(void **state)
{
    (void)state;
    struct mien_keyring *k, *again;
    uint8_t a[SEALED], b[SEALED];
    unlink(path);
    assert_int_equal(open_file(&k, NULL), MIEN_OK);
    seal(k, a);
    assert_int_equal(mien_keyring_add(k, NULL), MIEN_OK);
    assert_false(mien_sealed_is_current(k, a, SEALED));
    assert_int_equal(unseal(k, a, SEALED), MIEN_OK);
    seal(k, b);
    assert_int_equal(open_file(&again, NULL), MIEN_OK); /* as after a crash between the two steps */
    assert_int_equal(unseal(again, a, SEALED), MIEN_OK);
    assert_true(mien_sealed_is_current(again, b, SEALED));
    mien_keyring_free(&again);
    assert_int_equal(mien_keyring_forget_old(k, NULL), MIEN_OK);
    assert_int_equal(unseal(k, a, SEALED), MIEN_E_KEY);
    assert_int_equal(open_file(&again, NULL), MIEN_OK);
    assert_int_equal(unseal(again, a, SEALED), MIEN_E_KEY);
    assert_int_equal(unseal(again, b, SEALED), MIEN_OK);
    mien_keyring_free(&again);
    for (int i = 1; i < MIEN_MAX_KEYS; i++) assert_int_equal(mien_keyring_add(k, NULL), MIEN_OK);
    assert_int_equal(mien_keyring_add(k, NULL), MIEN_E_KEY); /* nobody has finished a rotation for long */
    assert_int_equal(unseal(k, b, SEALED), MIEN_OK);
    mien_keyring_free(&k);
}

static void *opens(void *context) { return (void *)(uintptr_t)open_file(context, NULL); }

/* Servers that start at the same time in one new folder have one key. */
static void many_make_one_key_file(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        struct mien_keyring *k[4];
        pthread_t t[4];
        uint8_t a[SEALED];
        unlink(path);
        for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, opens, &k[i]);
        for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
        seal(k[0], a);
        for (int i = 0; i < 4; i++) {
            assert_non_null(k[i]);
            assert_int_equal(unseal(k[i], a, SEALED), MIEN_OK);
        }
        for (int i = 0; i < 4; i++) mien_keyring_free(&k[i]);
    }
}

static void bad_key_files_are_refused(void **state)
{
    (void)state;
    struct mien_keyring *k;
    const struct { const char *text; mode_t mode; enum mien_code code; } FILES[] = {
        {KEY_A "\n", 0640, MIEN_E_KEY}, {KEY_A "\n", 0604, MIEN_E_KEY}, {"", 0600, MIEN_E_KEY}, {"# only words\n\n", 0600, MIEN_E_KEY},
        {KEY_A "\nnot a key\n", 0600, MIEN_E_KEY}, {"# both ends\r\n  " KEY_A " \r\n" KEY_B, 0600, MIEN_OK}};
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        write_path(FILES[i].text, FILES[i].mode);
        assert_int_equal(open_file(&k, NULL), FILES[i].code);
        mien_keyring_free(&k);
    }
    unlink(path);
    assert_int_equal(mien_keyring_open(&(struct mien_keyring_settings){.file = "/nowhere/at/all"}, &k, NULL, NULL), MIEN_E_IO);
}

/* ---- threads ---- */

struct work { struct mien_keyring *ring; atomic_bool stop; atomic_int failures; };

static void *seals(void *context)
{
    struct work *w = context;
    uint8_t a[SEALED], plain[SEALED];
    while (!w->stop)
        if (mien_seal(w->ring, ID, ABOUT, 3, TEXT, sizeof TEXT, a, NULL) != MIEN_OK || mien_unseal(w->ring, ID, ABOUT, 3, a, SEALED, plain, NULL) != MIEN_OK ||
            memcmp(plain, TEXT, sizeof TEXT) != 0)
            w->failures++;
    return NULL;
}

static void keys_change_while_records_are_sealed(void **state)
{
    (void)state;
    struct work w = {0};
    pthread_t t[2];
    unlink(path);
    assert_int_equal(open_file(&w.ring, NULL), MIEN_OK);
    for (int i = 0; i < 2; i++) pthread_create(&t[i], NULL, seals, &w);
    for (int i = 0; i < 10; i++) assert_int_equal(mien_keyring_add(w.ring, NULL), MIEN_OK);
    w.stop = true;
    for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
    assert_int_equal(w.failures, 0);
    mien_keyring_free(&w.ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_opens_again_and_looks_different_each_time), cmocka_unit_test(every_flipped_bit_and_every_cut_is_refused),
        cmocka_unit_test(a_record_is_bound_to_its_place), cmocka_unit_test(the_format_is_as_documented), cmocka_unit_test(older_keys_open_and_do_not_seal),
        cmocka_unit_test(wrong_settings_are_named_and_keys_are_not), cmocka_unit_test(a_key_file_is_made_once), cmocka_unit_test(a_rotation_lives_in_the_file),
        cmocka_unit_test(many_make_one_key_file), cmocka_unit_test(bad_key_files_are_refused), cmocka_unit_test(keys_change_while_records_are_sealed)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
