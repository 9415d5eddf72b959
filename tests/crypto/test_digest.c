/* SHA-256 against the examples of FIPS 180-4 and the lengths around the edge of a padded block; SHA-1 against those of RFC 3174. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "codec/hex.h"
#include "crypto/digest.h"

static void hash(const char *text, const char *expected)
{
    char hex[65];
    assert_int_equal(mien_sha256_hex(text, strlen(text), hex, NULL), MIEN_OK);
    assert_string_equal(hex, expected);
}

static void sha256_gives_known_values(void **state)
{
    (void)state;
    hash("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hash("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    char a[65] = {0};
    memset(a, 'a', 64);
    hash(a, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
    a[55] = '\0';
    hash(a, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
}

static void *hash_often(void *wrong)
{
    for (int i = 0; i < 200; i++) {
        uint8_t sum[32];
        if (mien_sha256("abc", 3, sum, NULL) != MIEN_OK || sum[0] != 0xba || sum[31] != 0xad) *(int *)wrong = 1;
    }
    return NULL;
}

/* First in the list: the threads meet at the first use, where the algorithm is fetched. */
static void threads_may_hash_at_once(void **state)
{
    (void)state;
    enum { THREADS = 8 };
    pthread_t thread[THREADS];
    int wrong[THREADS] = {0};
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&thread[i], NULL, hash_often, &wrong[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(wrong[i], 0);
    }
}

static void bytes_and_digits_agree(void **state)
{
    (void)state;
    char text[200], hex[65], made[65];
    memset(text, 'x', sizeof text);
    for (size_t n = 0; n <= sizeof text; n++) {
        uint8_t sum[32];
        assert_int_equal(mien_sha256(text, n, sum, NULL), MIEN_OK);
        assert_int_equal(mien_sha256_hex(text, n, hex, NULL), MIEN_OK);
        for (size_t i = 0; i < 32; i++) snprintf(made + 2 * i, 3, "%02x", (unsigned)sum[i]);
        assert_string_equal(hex, made);
    }
}

/* RFC 3174, section 7.3. */
static void sha1_gives_known_values(void **state)
{
    (void)state;
    char hex[41], many[640];
    uint8_t sum[20];
    for (size_t i = 0; i < sizeof many; i++) many[i] = (char)('0' + i % 8);
    assert_int_equal(mien_sha1("abc", 3, sum, NULL), MIEN_OK);
    mien_hex(sum, sizeof sum, hex);
    assert_string_equal(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_int_equal(mien_sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, sum, NULL), MIEN_OK);
    mien_hex(sum, sizeof sum, hex);
    assert_string_equal(hex, "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    assert_int_equal(mien_sha1(many, sizeof many, sum, NULL), MIEN_OK);
    mien_hex(sum, sizeof sum, hex);
    assert_string_equal(hex, "dea356a2cddd90c7a7ecedc5ebb563934f460452");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_may_hash_at_once),
        cmocka_unit_test(sha256_gives_known_values),
        cmocka_unit_test(bytes_and_digits_agree),
        cmocka_unit_test(sha1_gives_known_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
