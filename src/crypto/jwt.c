/* Making and checking tokens. Keys and their folder are in jwt_keys.c. */
#include "crypto/jwt_inner.h"

#include <stdlib.h>
#include <string.h>
#include "codec/base64.h"

enum { DECODED = MIEN_JWT_BYTES / 4 * 3 + 3 };

/* ---- RS256 ---- */

bool mien_rs256_sign(EVP_PKEY *key, const void *data, size_t data_n, unsigned char signature[MIEN_SIGNATURE], size_t *n)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    *n = MIEN_SIGNATURE;
    const bool good = c != NULL && EVP_DigestSignInit_ex(c, NULL, "SHA256", NULL, NULL, key, NULL) == 1 && EVP_DigestSign(c, signature, n, data, data_n) == 1;
    EVP_MD_CTX_free(c);
    return good;
}

bool mien_rs256_verify(EVP_PKEY *key, const void *data, size_t data_n, const unsigned char *signature, size_t n)
{
    if (n != (size_t)EVP_PKEY_get_size(key)) return false;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    const bool good = c != NULL && EVP_DigestVerifyInit_ex(c, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
                      EVP_DigestVerify(c, signature, n, data, data_n) == 1;
    EVP_MD_CTX_free(c);
    return good;
}

/* ---- signing ---- */

static void add_base64url(struct mien_buf *b, const void *data, size_t n)
{
    char *text = malloc(mien_base64url_room(n));
    if (text == NULL) b->failed = true;
    else mien_buf_add(b, text, mien_base64url_encode(data, n, text));
    free(text);
}

/* *made is the whole token. */
static enum mien_code make_token(EVP_PKEY *key, const char *kid, const char *claims, size_t n, struct mien_buf *made, struct mien_err *e)
{
    char header[128];
    unsigned char signature[MIEN_SIGNATURE];
    size_t signature_n;
    const int header_n = snprintf(header, sizeof header, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}", kid);
    add_base64url(made, header, (size_t)header_n);
    mien_buf_adds(made, ".");
    add_base64url(made, claims, n);
    MIEN_FAIL_IF(made->failed, e, MIEN_E_LIMIT, "the claims are too long for a token");
    MIEN_FAIL_IF(!mien_rs256_sign(key, made->data, made->len, signature, &signature_n), e, MIEN_E_INTERNAL, "RS256 failed");
    mien_buf_adds(made, ".");
    add_base64url(made, signature, signature_n);
    MIEN_FAIL_IF(made->failed, e, MIEN_E_LIMIT, "the claims are too long for a token");
    return MIEN_OK;
}

enum mien_code mien_jwt_sign(struct mien_signer *s, const char *claims, size_t n, struct mien_buf *token, struct mien_err *e)
{
    char kid[44];
    struct mien_buf made;
    EVP_PKEY *key = mien_signer_key(s, NULL, 0, kid);
    MIEN_FAIL_IF(key == NULL, e, MIEN_E_KEY, "there is no key for tokens");
    mien_buf_init(&made, MIEN_JWT_BYTES);
    enum mien_code code = make_token(key, kid, claims, n, &made, e);
    if (code == MIEN_OK && !mien_buf_add(token, made.data, made.len)) code = MIEN_FAIL(e, MIEN_E_NOMEM, "no memory for a token");
    mien_buf_free(&made);
    EVP_PKEY_free(key);
    return code;
}

/* ---- form ---- */

struct part { const char *text; size_t n; };

static enum mien_code refuse(struct mien_err *e, const char *why) { return MIEN_FAIL(e, MIEN_E_TOKEN, "%s", why); }

/* Exactly three parts of the URL alphabet, none of them empty. */
static bool split(const char *token, size_t n, struct part part[3])
{
    int at = 0;
    part[0] = (struct part){token, 0};
    for (size_t i = 0; i < n; i++) {
        const char c = token[i];
        if (c == '.') {
            if (part[at].n == 0 || at == 2) return false;
            part[++at] = (struct part){token + i + 1, 0};
        } else if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') {
            part[at].n++;
        } else {
            return false;
        }
    }
    return at == 2 && part[2].n > 0;
}

/* A part that is a JSON object; NULL when it is not. */
static struct mien_json *object_in(const struct part *p)
{
    unsigned char text[DECODED];
    size_t n;
    struct mien_json *json = NULL;
    if (mien_base64_decode(p->text, p->n, text, &n, NULL) != MIEN_OK || mien_json_parse((const char *)text, n, &json, NULL) != MIEN_OK) return NULL;
    if (!mien_json_is_object(json)) mien_json_free(&json);
    return json;
}

/* ---- header ---- */

static enum mien_code check_header(const struct mien_json *h, struct mien_err *e)
{
    const struct mien_json *typ = mien_json_get(h, "typ");
    if (strcmp(mien_json_string(mien_json_get(h, "alg"), ""), "RS256") != 0) return refuse(e, "The token is not signed with RS256.");
    if (typ != NULL && strcmp(mien_json_string(typ, ""), "JWT") != 0) return refuse(e, "The token is not of the type JWT.");
    if (mien_json_get(h, "crit") != NULL) return refuse(e, "The token needs an extension that is not known here.");
    if (!mien_json_is_string(mien_json_get(h, "kid"))) return refuse(e, "The token does not name its key.");
    return MIEN_OK;
}

static enum mien_code check_signature(struct mien_signer *s, const struct mien_json *header, const char *token, const struct part part[3], int64_t now_s,
                                      struct mien_err *e)
{
    unsigned char signature[DECODED];
    size_t n;
    MIEN_TRY(check_header(header, e));
    EVP_PKEY *key = mien_signer_key(s, mien_json_string(mien_json_get(header, "kid"), ""), now_s, NULL);
    if (key == NULL) return refuse(e, "The token was signed with a key that is not known here.");
    const size_t signed_n = (size_t)(part[2].text - token) - 1;
    const bool good = mien_base64_decode(part[2].text, part[2].n, signature, &n, NULL) == MIEN_OK && mien_rs256_verify(key, token, signed_n, signature, n);
    EVP_PKEY_free(key);
    return good ? MIEN_OK : refuse(e, "The token's signature is wrong.");
}

/* ---- claims ---- */

static bool names_audience(const struct mien_json *aud, const char *wanted)
{
    const struct mien_json *one;
    if (strcmp(mien_json_string(aud, ""), wanted) == 0) return mien_json_is_string(aud);
    for (size_t i = 0; (one = mien_json_at(aud, i)) != NULL; i++)
        if (mien_json_is_string(one) && strcmp(mien_json_string(one, ""), wanted) == 0) return true;
    return false;
}

static bool is_time(const struct mien_json *t) { return t == NULL || mien_json_is_number(t); }

static enum mien_code check_times(const struct mien_json *c, double now, double leeway, struct mien_err *e)
{
    const struct mien_json *exp = mien_json_get(c, "exp"), *nbf = mien_json_get(c, "nbf"), *iat = mien_json_get(c, "iat");
    if (exp == NULL || !is_time(exp)) return refuse(e, "The token does not say when it expires.");
    if (!is_time(nbf) || !is_time(iat)) return refuse(e, "The token has a time that is no number.");
    if (now >= mien_json_number(exp, 0.0) + leeway) return refuse(e, "The token has expired.");
    if (nbf != NULL && mien_json_number(nbf, 0.0) > now + leeway) return refuse(e, "The token is not valid yet.");
    if (iat != NULL && mien_json_number(iat, 0.0) > now + leeway) return refuse(e, "The token was issued in the future.");
    return MIEN_OK;
}

static enum mien_code check_claims(const struct mien_json *c, const struct mien_jwt_rules *rules, struct mien_err *e)
{
    const struct mien_json *iss = mien_json_get(c, "iss");
    if (c == NULL) return refuse(e, "The token's claims are not a JSON object.");
    if (!mien_json_is_string(iss) || strcmp(mien_json_string(iss, ""), rules->issuer) != 0) return refuse(e, "The token was issued by somebody else.");
    if (rules->audience != NULL && !names_audience(mien_json_get(c, "aud"), rules->audience)) return refuse(e, "The token is for another audience.");
    return check_times(c, (double)rules->now_s, (double)rules->leeway_s, e);
}

enum mien_code mien_jwt_verify(struct mien_signer *s, const char *token, size_t n, const struct mien_jwt_rules *rules, struct mien_json **claims,
                               struct mien_err *e)
{
    struct part part[3];
    *claims = NULL;
    if (n > MIEN_JWT_BYTES) return refuse(e, "The token is too long.");
    if (!split(token, n, part)) return refuse(e, "The token is not a signed JWT in its compact form.");
    struct mien_json *header = object_in(&part[0]), *body = NULL;
    if (header == NULL) return refuse(e, "The token's header is not a JSON object.");
    enum mien_code code = check_signature(s, header, token, part, rules->now_s, e);
    mien_json_free(&header);
    if (code == MIEN_OK) { /* what has no good signature is not looked into */
        body = object_in(&part[1]);
        code = check_claims(body, rules, e);
    }
    if (code == MIEN_OK) *claims = body;
    else mien_json_free(&body);
    return code;
}
