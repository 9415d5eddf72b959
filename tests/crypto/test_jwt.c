// Signed tokens: what is ours validates, and what is forged, stale, foreign or malformed does not. Forgeries are made with OpenSSL and the signer's own key,
// so that the signature is right and only the one thing is wrong. RSA-3072 keys take long to make: the tests share three.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/log.h"
#include "codec/base64.h"
#include "crypto/jwt.h"

enum { NOW = 2000000000, LIFETIME = 900, LATE = 60, ROOM = 20000 };
#define CLAIMS "{\"iss\":\"us\",\"sub\":\"ann\",\"iat\":2000000000,\"exp\":2000000900,\"aud\":\"bank\"}"
static const struct mien_jwt_rules RULES = {.issuer = "us", .now_s = NOW + 1, .leeway_s = 5};

static struct { char dir[40], file[300], kid[64]; struct mien_signer *signer; EVP_PKEY *key; } us;

/* ---- a signer whose key is at hand ---- */

static void read_kid(struct mien_signer *s, int64_t now_s, char kid[64], int *n)
{
    struct mien_buf b;
    struct mien_jw w;
    struct mien_json *json;
    mien_buf_init(&b, 65536);
    mien_jw_init(&w, &b);
    mien_signer_jwks(s, now_s, &w);
    assert_int_equal(mien_json_parse(b.data, b.len, &json, NULL), MIEN_OK);
    const struct mien_json *keys = mien_json_get(json, "keys");
    *n = (int)mien_json_size(keys);
    snprintf(kid, 64, "%s", mien_json_string(mien_json_get(mien_json_at(keys, 0), "kid"), ""));
    for (size_t i = 0; i < mien_json_size(keys); i++) assert_int_equal(mien_json_size(mien_json_at(keys, i)), 6); /* and nothing private */
    mien_json_free(&json);
    mien_buf_free(&b);
}

static int count_keys(struct mien_signer *s, int64_t now_s)
{
    char kid[64];
    int n;
    read_kid(s, now_s, kid, &n);
    return n;
}

/* The PEM files in a folder; the last one's path. */
static int pem_files(const char *dir, char path[300])
{
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        if (strstr(entry->d_name, ".pem") == NULL) continue;
        snprintf(path, 300, "%.30s/%s", dir, entry->d_name);
        n++;
    }
    closedir(d);
    return n;
}

static struct mien_signer *must_open(const char *folder, bool *made)
{
    struct mien_signer *s;
    struct mien_err e = {0};
    if (mien_signer_open(folder, LIFETIME, &s, made, &e) != MIEN_OK) fail_msg("%s", e.msg);
    return s;
}

static int set_up(void **state)
{
    (void)state;
    bool made = false;
    int n;
    mien_log_set_level(MIEN_LOG_OFF);
    snprintf(us.dir, sizeof us.dir, "/tmp/mien-jwt-XXXXXX");
    assert_non_null(mkdtemp(us.dir));
    us.signer = must_open(us.dir, &made);
    assert_true(made);
    assert_int_equal(pem_files(us.dir, us.file), 1);
    FILE *f = fopen(us.file, "r");
    assert_non_null(f);
    us.key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    assert_non_null(us.key);
    fclose(f);
    read_kid(us.signer, NOW, us.kid, &n);
    assert_int_equal(n, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[80];
    mien_signer_free(&us.signer);
    EVP_PKEY_free(us.key);
    snprintf(command, sizeof command, "rm -rf %s", us.dir);
    return system(command);
}

/* ---- tokens ---- */

static size_t base64url(const void *data, size_t n, char *out)
{
    size_t length = mien_base64_encode(data, n, out);
    while (length > 0 && out[length - 1] == '=') out[--length] = '\0';
    for (size_t i = 0; i < length; i++) out[i] = (char)(out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i]);
    return length;
}

static bool padded; /* parts of forgeries keep their = */

/* header.claims signed with `digest` and `padding`. */
static void forge(const char *header, const char *claims, const char *digest, int padding, char token[ROOM])
{
    unsigned char signature[512];
    size_t n = sizeof signature, at = padded ? mien_base64_encode(header, strlen(header), token) : base64url(header, strlen(header), token);
    EVP_PKEY_CTX *p;
    token[at++] = '.';
    at += base64url(claims, strlen(claims), token + at);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit_ex(c, &p, digest, NULL, NULL, us.key, NULL), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(p, padding), 1);
    assert_int_equal(EVP_DigestSign(c, signature, &n, (unsigned char *)token, at), 1);
    EVP_MD_CTX_free(c);
    token[at++] = '.';
    base64url(signature, n, token + at);
}

static void forge_claims(const char *claims, char token[ROOM])
{
    char header[200];
    snprintf(header, sizeof header, "{\"alg\":\"RS256\",\"kid\":\"%s\"}", us.kid);
    forge(header, claims, "SHA256", RSA_PKCS1_PADDING, token);
}

static enum mien_code verify_n(const char *token, size_t n, const struct mien_jwt_rules *rules, struct mien_err *e)
{
    struct mien_json *claims = NULL;
    const enum mien_code code = mien_jwt_verify(us.signer, token, n, rules, &claims, e);
    assert_true((code == MIEN_OK) == (claims != NULL));
    mien_json_free(&claims);
    return code;
}

static void must_refuse(const char *token, const struct mien_jwt_rules *rules, const char *word)
{
    struct mien_err e = {0};
    assert_int_equal(verify_n(token, strlen(token), rules, &e), MIEN_E_TOKEN);
    if (strstr(e.msg, word) == NULL) fail_msg("\"%s\" does not say %s", e.msg, word);
}

static void must_take(const char *token, const struct mien_jwt_rules *rules)
{
    struct mien_err e = {0};
    if (verify_n(token, strlen(token), rules, &e) != MIEN_OK) fail_msg("%s", e.msg);
}

static void sign(struct mien_signer *s, const char *claims, char token[ROOM])
{
    struct mien_buf b;
    struct mien_err e = {0};
    mien_buf_init(&b, ROOM - 1);
    if (mien_jwt_sign(s, claims, strlen(claims), &b, &e) != MIEN_OK) fail_msg("%s", e.msg);
    memcpy(token, b.data, b.len + 1);
    mien_buf_free(&b);
}

/* ---- tests ---- */

static void what_is_signed_validates(void **state)
{
    (void)state;
    char token[ROOM];
    struct mien_json *claims;
    sign(us.signer, CLAIMS, token);
    assert_int_equal(mien_jwt_verify(us.signer, token, strlen(token), &RULES, &claims, NULL), MIEN_OK);
    assert_string_equal(mien_json_string(mien_json_get(claims, "sub"), ""), "ann");
    assert_int_equal(mien_json_size(claims), 5);
    mien_json_free(&claims);
    forge_claims(CLAIMS, token); /* the test's own forgeries are right too, when nothing is wrong with them */
    must_take(token, &RULES);
    struct mien_buf b;
    mien_buf_init(&b, ROOM);
    char *long_claims = calloc(1, 8000);
    memset(long_claims, ' ', 7000);
    struct mien_err e = {0};
    assert_int_equal(mien_jwt_sign(us.signer, long_claims, 7000, &b, &e), MIEN_E_LIMIT);
    free(long_claims);
    mien_buf_free(&b);
}

static void only_rs256_is_taken(void **state)
{
    (void)state;
    char header[200], token[ROOM];
    static const struct { const char *alg, *digest; int padding; } OTHER[] = {
        {"RS384", "SHA384", RSA_PKCS1_PADDING}, {"RS512", "SHA512", RSA_PKCS1_PADDING}, {"PS256", "SHA256", RSA_PKCS1_PSS_PADDING},
        {"none", "SHA256", RSA_PKCS1_PADDING}, {"None", "SHA256", RSA_PKCS1_PADDING}, {"rs256", "SHA256", RSA_PKCS1_PADDING},
        {"HS256", "SHA256", RSA_PKCS1_PADDING}};
    for (size_t i = 0; i < sizeof OTHER / sizeof OTHER[0]; i++) {
        snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\"}", OTHER[i].alg, us.kid);
        forge(header, CLAIMS, OTHER[i].digest, OTHER[i].padding, token);
        must_refuse(token, &RULES, "not signed with RS256");
        /* The same signature under the name RS256. */
        snprintf(header, sizeof header, "{\"alg\":\"RS256\",\"kid\":\"%s\"}", us.kid);
        forge(header, CLAIMS, OTHER[i].digest, OTHER[i].padding, token);
        if (OTHER[i].padding == RSA_PKCS1_PSS_PADDING || strcmp(OTHER[i].digest, "SHA256") != 0) must_refuse(token, &RULES, "signature is wrong");
    }
    must_refuse("eyJhbGciOiJub25lIn0.e30.", &RULES, "not a signed JWT"); /* alg none without a signature */
}

/* The public key, which everybody has, as the secret of HMAC. */
static void the_public_key_is_no_secret(void **state)
{
    (void)state;
    char header[200], token[ROOM], *pem;
    unsigned char mac[32];
    size_t mac_n;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, us.key), 1);
    const long pem_n = BIO_get_mem_data(bio, &pem);
    for (int claimed = 0; claimed < 2; claimed++) {
        snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}", claimed ? "HS256" : "RS256", us.kid);
        size_t at = base64url(header, strlen(header), token);
        token[at++] = '.';
        at += base64url(CLAIMS, strlen(CLAIMS), token + at);
        assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, pem, (size_t)pem_n, (unsigned char *)token, at, mac, sizeof mac, &mac_n));
        token[at++] = '.';
        base64url(mac, mac_n, token + at);
        must_refuse(token, &RULES, claimed ? "not signed with RS256" : "signature is wrong");
    }
    BIO_free(bio);
}

static void the_header_must_be_right(void **state)
{
    (void)state;
    char header[400], token[ROOM];
    static const struct { const char *format, *word; } WRONG[] = {
        {"{\"alg\":\"RS256\"}", "does not name its key"},
        {"{\"alg\":\"RS256\",\"kid\":7}", "does not name its key"},
        {"{\"alg\":\"RS256\",\"kid\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}", "not known here"},
        {"{\"alg\":\"RS256\",\"kid\":\"../%s\"}", "not known here"},
        {"{\"alg\":\"RS256\",\"kid\":\"\"}", "not known here"},
        {"{\"alg\":\"RS256\",\"kid\":\"%s\",\"crit\":[\"b64\"],\"b64\":false}", "extension"},
        {"{\"alg\":\"RS256\",\"kid\":\"%s\",\"crit\":null}", "extension"},
        {"{\"alg\":\"RS256\",\"kid\":\"%s\",\"typ\":\"at+jwt\"}", "type JWT"},
        {"{\"alg\":\"RS256\",\"kid\":\"%s\",\"typ\":1}", "type JWT"},
        {"{\"alg\":[\"RS256\"],\"kid\":\"%s\"}", "RS256"},
        {"{\"kid\":\"%s\"}", "RS256"},
        {"{\"alg\":\"RS256\",\"alg\":\"RS256\",\"kid\":\"%s\"}", "header is not a JSON object"},
        {"[\"%s\"]", "header is not a JSON object"},
        {"{\"alg\":\"RS256\",\"kid\":\"%s\"} x", "header is not a JSON object"}};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        const char *hole = strstr(WRONG[i].format, "%s");
        const int before = hole != NULL ? (int)(hole - WRONG[i].format) : (int)strlen(WRONG[i].format);
        snprintf(header, sizeof header, "%.*s%s%s", before, WRONG[i].format, hole != NULL ? us.kid : "", hole != NULL ? hole + 2 : "");
        forge(header, CLAIMS, "SHA256", RSA_PKCS1_PADDING, token);
        must_refuse(token, &RULES, WRONG[i].word);
    }
    /* What others put there is not looked at: keys and their addresses above all. */
    snprintf(header, sizeof header, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s\",\"jku\":\"https://evil.example/\",\"jwk\":{\"kty\":\"RSA\"}}", us.kid);
    forge(header, CLAIMS, "SHA256", RSA_PKCS1_PADDING, token);
    must_take(token, &RULES);
}

static void every_changed_character_is_refused(void **state)
{
    (void)state;
    char token[ROOM];
    sign(us.signer, CLAIMS, token);
    const size_t n = strlen(token);
    for (size_t i = 0; i < n; i++) {
        const char was = token[i];
        token[i] = was == 'A' ? 'B' : 'A';
        assert_int_equal(verify_n(token, n, &RULES, NULL), MIEN_E_TOKEN);
        token[i] = was;
    }
    for (size_t i = 0; i < n; i++) assert_int_equal(verify_n(token, i, &RULES, NULL), MIEN_E_TOKEN); /* cut */
    must_take(token, &RULES);
}

static void the_form_is_strict(void **state)
{
    (void)state;
    char token[ROOM], other[ROOM + 200];
    sign(us.signer, CLAIMS, token);
    const char *dot1 = strchr(token, '.'), *dot2 = strrchr(token, '.');
    const int h = (int)(dot1 - token), b = (int)(dot2 - token);
    static const char *const SHAPE[] = {"=", " ", "\n", ".", ".e30", "A", "AA", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof SHAPE / sizeof SHAPE[0]; i++) {
        snprintf(other, sizeof other, "%s%s", token, SHAPE[i]); /* behind */
        assert_int_equal(verify_n(other, strlen(other), &RULES, NULL), MIEN_E_TOKEN);
        snprintf(other, sizeof other, "%s%s", SHAPE[i], token); /* in front */
        assert_int_equal(verify_n(other, strlen(other), &RULES, NULL), MIEN_E_TOKEN);
        snprintf(other, sizeof other, "%.*s%s%s", h, token, SHAPE[i], dot1); /* behind the header */
        assert_int_equal(verify_n(other, strlen(other), &RULES, NULL), MIEN_E_TOKEN);
        snprintf(other, sizeof other, "%.*s%s%s", b, token, SHAPE[i], dot2); /* behind the claims */
        assert_int_equal(verify_n(other, strlen(other), &RULES, NULL), MIEN_E_TOKEN);
    }
    snprintf(other, sizeof other, "{\"alg\":\"RS256\",\"kid\":\"%s\"}", us.kid);
    padded = true; /* under a right signature too */
    for (int blanks = 0; blanks < 3; blanks++) {
        snprintf(other + strlen(other), sizeof other - strlen(other), "%s", blanks > 0 ? " " : "");
        forge(other, CLAIMS, "SHA256", RSA_PKCS1_PADDING, other + 200);
        if (strchr(other + 200, '=') != NULL) must_refuse(other + 200, &RULES, "compact form");
    }
    padded = false;
    snprintf(other, sizeof other, "%.*s", b, token); /* two parts */
    must_refuse(other, &RULES, "compact form");
    must_refuse("", &RULES, "compact form");
    must_refuse("..", &RULES, "compact form");
    assert_int_equal(verify_n(token, strlen(token) + 1, &RULES, NULL), MIEN_E_TOKEN); /* a NUL behind */
    /* The standard alphabet for the same bytes, when the signature has such a character (it nearly always has several). */
    snprintf(other, sizeof other, "%s", token);
    for (char *at = strrchr(other, '.'); *at != '\0'; at++) *at = (char)(*at == '-' ? '+' : *at == '_' ? '/' : *at);
    if (strcmp(other, token) != 0) must_refuse(other, &RULES, "compact form");
    char *huge = malloc(MIEN_JWT_BYTES + 2);
    assert_non_null(huge);
    memset(huge, 'A', MIEN_JWT_BYTES + 1);
    struct mien_err e = {0};
    assert_int_equal(verify_n(huge, MIEN_JWT_BYTES + 1, &RULES, &e), MIEN_E_TOKEN);
    assert_non_null(strstr(e.msg, "too long"));
    huge[1] = huge[MIEN_JWT_BYTES - 2] = '.';
    assert_int_equal(verify_n(huge, MIEN_JWT_BYTES, &RULES, NULL), MIEN_E_TOKEN);
    free(huge);
}

/* The header's last character has bits that no byte needs: set, they say the same and are still refused. */
static void bits_left_over_are_refused(void **state)
{
    (void)state;
    char token[ROOM], part[16];
    unsigned char bytes[16];
    size_t n;
    assert_int_equal(base64url("{}", 2, part), 3);
    part[2]++; /* e30 -> e31 */
    assert_int_not_equal(mien_base64_decode(part, 3, bytes, &n, NULL), MIEN_OK);
    for (int more = 0; more < 3; more++) { /* one of three lengths leaves no bits */
        char claims[200];
        snprintf(claims, sizeof claims, "%s%.*s", CLAIMS, more, "  ");
        forge_claims(claims, token);
        char *last = strrchr(token, '.') - 1;
        if (strchr("AQgw", *last) == NULL && strchr("AEIMQUYcgkosw048", *last) == NULL) continue;
        (*last)++;
        assert_int_equal(verify_n(token, strlen(token), &RULES, NULL), MIEN_E_TOKEN);
    }
}

static void claims_must_fit(void **state)
{
    (void)state;
    char token[ROOM];
    struct mien_jwt_rules bank = RULES, rules = RULES;
    bank.audience = "bank";
    static const struct { const char *claims, *word; } WRONG[] = {
        {"{\"iss\":\"them\",\"exp\":2000000900}", "somebody else"},
        {"{\"exp\":2000000900}", "somebody else"},
        {"{\"iss\":[\"us\"],\"exp\":2000000900}", "somebody else"},
        {"{\"iss\":\"us\",\"iss\":\"us\",\"exp\":2000000900}", "claims are not a JSON object"},
        {"[1]", "claims are not a JSON object"},
        {"\"us\"", "claims are not a JSON object"},
        {"{\"iss\":\"us\"}", "when it expires"},
        {"{\"iss\":\"us\",\"exp\":\"2000000900\"}", "when it expires"},
        {"{\"iss\":\"us\",\"exp\":null}", "when it expires"},
        {"{\"iss\":\"us\",\"exp\":1999999996}", "has expired"},
        {"{\"iss\":\"us\",\"exp\":-1}", "has expired"},
        {"{\"iss\":\"us\",\"exp\":2000000900,\"nbf\":2000000007}", "not valid yet"},
        {"{\"iss\":\"us\",\"exp\":2000000900,\"nbf\":\"x\"}", "no number"},
        {"{\"iss\":\"us\",\"exp\":2000000900,\"iat\":2000000007}", "in the future"},
        {"{\"iss\":\"us\",\"exp\":2000000900,\"iat\":true}", "no number"}};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        forge_claims(WRONG[i].claims, token);
        must_refuse(token, &RULES, WRONG[i].word);
    }
    forge_claims("{\"iss\":\"us\",\"exp\":1999999997,\"nbf\":2000000006,\"iat\":2000000006.0}", token); /* within the leeway */
    must_take(token, &RULES);
    sign(us.signer, CLAIMS, token);
    rules.now_s = NOW + 904;
    must_take(token, &rules);
    rules.now_s = NOW + 905;
    must_refuse(token, &rules, "has expired");
    must_take(token, &bank);
    bank.audience = "ban";
    must_refuse(token, &bank, "another audience");
    bank.audience = "bank";
    static const char *const AUD[] = {"", ",\"aud\":\"shop\"", ",\"aud\":[\"shop\"]", ",\"aud\":[]", ",\"aud\":[[\"bank\"]]",
                                      ",\"aud\":{\"bank\":1}", ",\"aud\":null"};
    for (size_t i = 0; i < sizeof AUD / sizeof AUD[0]; i++) {
        char claims[200];
        snprintf(claims, sizeof claims, "{\"iss\":\"us\",\"exp\":2000000900%s}", AUD[i]);
        forge_claims(claims, token);
        must_refuse(token, &bank, "another audience");
        must_take(token, &RULES);
    }
    forge_claims("{\"iss\":\"us\",\"exp\":2000000900,\"aud\":[\"shop\",\"bank\"]}", token);
    must_take(token, &bank);
}

/* ---- files ---- */

static void write_pem(const char *dir, const char *name, EVP_PKEY *key, mode_t mode, char path[300])
{
    snprintf(path, 300, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    if (key != NULL) assert_int_equal(PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    else fputs("-----BEGIN PRIVATE KEY-----\nMIIG\n-----END PRIVATE KEY-----\n", f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void must_not_open(const char *dir, const char *file, const char *word)
{
    struct mien_signer *s;
    struct mien_err e = {0};
    bool made = true;
    assert_int_equal(mien_signer_open(dir, LIFETIME, &s, &made, &e), MIEN_E_KEY);
    assert_null(s);
    assert_false(made);
    if (strstr(e.msg, file) == NULL || strstr(e.msg, word) == NULL) fail_msg("%s", e.msg);
}

static void bad_key_files_are_refused_by_name(void **state)
{
    (void)state;
    char dir[] = "/tmp/mien-jwt-XXXXXX", path[300];
    struct stat st;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(stat(us.file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    write_pem(dir, "a.pem", us.key, 0640, path);
    must_not_open(dir, "a.pem", "read by others");
    write_pem(dir, "a.pem", NULL, 0600, path);
    must_not_open(dir, "a.pem", "damaged");
    EVP_PKEY *small = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048), *curve = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    write_pem(dir, "a.pem", small, 0600, path);
    must_not_open(dir, "a.pem", "2048 bits");
    write_pem(dir, "a.pem", curve, 0600, path);
    must_not_open(dir, "a.pem", "no RSA key");
    EVP_PKEY_free(small);
    EVP_PKEY_free(curve);
    /* A modulus in which a few bits are others: the file can be read, but the key does not sign. */
    write_pem(dir, "a.pem", us.key, 0600, path);
    char command[600];
    snprintf(command, sizeof command, "sed -i '5s/[A-Za-z]/7/3' %s", path);
    assert_int_equal(system(command), 0);
    must_not_open(dir, "a.pem", "damaged");
    write_pem(dir, "a.pem", us.key, 0600, path);
    assert_int_equal(chmod(dir, 0777), 0);
    must_not_open(dir, dir, "written by others");
    assert_int_equal(chmod(dir, 0700), 0);
    struct mien_signer *s = must_open(dir, NULL); /* a key under another name, twice */
    assert_int_equal(count_keys(s, NOW), 1);
    mien_signer_free(&s);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
    struct mien_signer *none;
    assert_int_equal(mien_signer_open("/nowhere/at/all", LIFETIME, &none, NULL, NULL), MIEN_E_KEY);
}

/* ---- rotation ---- */

static void second(void) { nanosleep(&(struct timespec){1, 50000000}, NULL); }

static void *use(void *signer)
{
    char token[ROOM];
    intptr_t bad = 0;
    for (int i = 0; i < 20; i++) {
        struct mien_json *claims = NULL;
        sign(signer, CLAIMS, token);
        bad += mien_jwt_verify(signer, token, strlen(token), &RULES, &claims, NULL) != MIEN_OK;
        mien_json_free(&claims);
    }
    return (void *)bad;
}

/* The last of the tests: afterwards the folder has another key. */
static void a_rotated_key_validates_until_its_last_token_has_expired(void **state)
{
    (void)state;
    char old[ROOM], fresh[ROOM], kid[64], path[300];
    int n;
    bool made = true;
    struct mien_jwt_rules late = RULES;
    struct mien_json *claims;
    sign(us.signer, CLAIMS, old);
    struct mien_signer *other = must_open(us.dir, &made); /* another server with the same folder */
    assert_false(made);
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&thread[i], NULL, use, us.signer), 0); /* who sign and validate meanwhile */
    assert_int_equal(mien_signer_rotate(us.signer, NOW, NULL), MIEN_OK);
    for (int i = 0; i < 4; i++) {
        void *bad;
        assert_int_equal(pthread_join(thread[i], &bad), 0);
        assert_null(bad);
    }
    assert_int_equal(pem_files(us.dir, path), 2);
    read_kid(us.signer, NOW, kid, &n);
    assert_int_equal(n, 2);
    assert_string_not_equal(kid, us.kid); /* the new one first */
    sign(us.signer, CLAIMS, fresh);
    must_take(old, &RULES);
    must_take(fresh, &RULES);
    second();
    assert_int_equal(mien_jwt_verify(other, fresh, strlen(fresh), &RULES, &claims, NULL), MIEN_OK); /* learns the key by its id */
    mien_json_free(&claims);
    read_kid(other, NOW, path, &n);
    assert_int_equal(n, 2);
    assert_string_equal(path, kid);
    /* The old key goes when its time has come, from the folder too. */
    late.now_s = NOW + LIFETIME + LATE - 1;
    must_refuse(old, &late, "has expired");
    assert_int_equal(count_keys(us.signer, late.now_s), 2);
    late.now_s++;
    must_refuse(old, &late, "not known here");
    assert_int_equal(count_keys(us.signer, late.now_s), 1);
    assert_int_equal(pem_files(us.dir, path), 1);
    mien_signer_free(&other);
    other = must_open(us.dir, &made);
    assert_false(made);
    read_kid(other, NOW, path, &n);
    assert_int_equal(n, 1);
    assert_string_equal(path, kid);
    mien_signer_free(&other);
}

/* At most one re-read a second: what a key id that nobody knows costs is bounded. */
static void an_unknown_key_is_looked_for_once_a_second(void **state)
{
    (void)state;
    char dir[] = "/tmp/mien-jwt-XXXXXX", path[300], old[ROOM], command[80];
    struct mien_json *claims;
    assert_non_null(mkdtemp(dir));
    forge_claims(CLAIMS, old); /* by the first key, which only this test has now */
    char place[300];
    assert_int_equal(pem_files(us.dir, place), 1);
    snprintf(command, sizeof command, "cp -p %s/*.pem %s", us.dir, dir);
    assert_int_equal(system(command), 0);
    struct mien_signer *s = must_open(dir, NULL);
    write_pem(dir, "1-old.pem", us.key, 0600, path); /* older than the other: it does not sign */
    assert_int_equal(mien_jwt_verify(s, old, strlen(old), &RULES, &claims, NULL), MIEN_E_TOKEN); /* the folder was read a moment ago */
    second();
    const struct mien_jwt_rules early = {.issuer = "us", .now_s = 1, .leeway_s = 2000000000}; /* when the old key has not expired */
    assert_int_equal(mien_jwt_verify(s, old, strlen(old), &early, &claims, NULL), MIEN_OK);
    mien_json_free(&claims);
    assert_int_equal(unlink(path), 0); /* taken away: not valid any more */
    write_pem(dir, "2-bad.pem", NULL, 0600, path); /* logged, not fatal */
    second();
    char token[ROOM];
    assert_int_equal(mien_jwt_verify(s, old, strlen(old), &early, &claims, NULL), MIEN_E_TOKEN);
    sign(s, CLAIMS, token);
    assert_int_equal(count_keys(s, 1), 1);
    mien_signer_free(&s);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_signed_validates),
        cmocka_unit_test(only_rs256_is_taken),
        cmocka_unit_test(the_public_key_is_no_secret),
        cmocka_unit_test(the_header_must_be_right),
        cmocka_unit_test(every_changed_character_is_refused),
        cmocka_unit_test(the_form_is_strict),
        cmocka_unit_test(bits_left_over_are_refused),
        cmocka_unit_test(claims_must_fit),
        cmocka_unit_test(bad_key_files_are_refused_by_name),
        cmocka_unit_test(a_rotated_key_validates_until_its_last_token_has_expired),
        cmocka_unit_test(an_unknown_key_is_looked_for_once_a_second),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
