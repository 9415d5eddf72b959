/* Tokens: any bytes as a token, and any header and claims under a right signature. The first byte says which; in a header '@' stands for the key's id. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "crypto/jwt_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mien_signer *signer;
static EVP_PKEY *key;
static char kid[44];
static const struct mien_jwt_rules RULES = {.issuer = "us", .audience = "bank", .now_s = 2000000000, .leeway_s = 5};

static bool is_valid(const char *token, size_t n, struct mien_json **claims)
{
    struct mien_err e = {0};
    const enum mien_code code = mien_jwt_verify(signer, token, n, &RULES, claims, &e);
    if (code != MIEN_OK && (code != MIEN_E_TOKEN || e.msg[0] == '\0' || *claims != NULL)) abort();
    return code == MIEN_OK;
}

static void add_part(struct mien_buf *b, const void *data, size_t n)
{
    char *text = malloc(mien_base64url_room(n));
    if (text == NULL) abort();
    mien_buf_add(b, text, mien_base64url_encode(data, n, text));
    free(text);
}

/* Header and claims, which a NUL parts, as a token. */
static void make_token(const uint8_t *data, size_t size, struct mien_buf *token)
{
    unsigned char signature[MIEN_SIGNATURE];
    struct mien_buf header;
    const uint8_t *end = memchr(data, 0, size);
    const size_t n = end != NULL ? (size_t)(end - data) : size;
    size_t signature_n;
    mien_buf_init(&header, 65536);
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '@') mien_buf_adds(&header, kid);
        else mien_buf_add(&header, &data[i], 1);
    }
    add_part(token, header.data, header.len);
    mien_buf_adds(token, ".");
    add_part(token, data + n + (end != NULL), size - n - (end != NULL));
    if (token->data != NULL && mien_rs256_sign(key, token->data, token->len, signature, &signature_n)) {
        mien_buf_adds(token, ".");
        add_part(token, signature, signature_n);
    }
    mien_buf_free(&header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mien_json *claims = NULL;
    if (signer == NULL && mien_signer_open(NULL, 900, &signer, NULL, NULL) != MIEN_OK) abort();
    if (key == NULL) key = mien_signer_key(signer, NULL, 0, kid);
    if (size == 0 || key == NULL) return 0;
    if (data[0] == 'r') {
        if (is_valid((const char *)data + 1, size - 1, &claims)) abort(); /* nobody guesses a signature */
        return 0;
    }
    struct mien_buf token;
    mien_buf_init(&token, 65536);
    make_token(data + 1, size - 1, &token);
    if (!token.failed && is_valid(token.data, token.len, &claims)) {
        const double exp = mien_json_number(mien_json_get(claims, "exp"), 0.0);
        if (strcmp(mien_json_string(mien_json_get(claims, "iss"), ""), "us") != 0 || exp <= 1999999995.0) abort();
        mien_json_free(&claims);
    }
    mien_buf_free(&token);
    return 0;
}
