/* run_token FOLDER: signs and validates tokens for run_jwt with the keys in FOLDER. Commands on standard input, one a line, one line of answer each:
 *   sign CLAIMS          the token
 *   verify NOW TOKEN     "valid CLAIM_SUB" or "invalid WHY"; issuer "us", audience "bank"
 *   jwks NOW             the key set
 *   rotate NOW           "rotated" */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/jwt.h"

static void sign(struct mien_signer *s, const char *claims)
{
    struct mien_buf b;
    struct mien_err e = {0};
    mien_buf_init(&b, 65536);
    puts(mien_jwt_sign(s, claims, strlen(claims), &b, &e) == MIEN_OK ? b.data : e.msg);
    mien_buf_free(&b);
}

static void verify(struct mien_signer *s, char *arguments)
{
    char *token;
    struct mien_json *claims = NULL;
    struct mien_err e = {0};
    const int64_t now_s = strtoll(arguments, &token, 10);
    token += *token == ' ';
    const struct mien_jwt_rules rules = {.issuer = "us", .audience = "bank", .now_s = now_s, .leeway_s = 0};
    if (mien_jwt_verify(s, token, strlen(token), &rules, &claims, &e) == MIEN_OK)
        printf("valid %s\n", mien_json_string(mien_json_get(claims, "sub"), ""));
    else printf("invalid %s\n", e.msg);
    mien_json_free(&claims);
}

static void jwks(struct mien_signer *s, int64_t now_s)
{
    struct mien_buf b;
    struct mien_jw w;
    mien_buf_init(&b, 1 << 20);
    mien_jw_init(&w, &b);
    mien_signer_jwks(s, now_s, &w);
    puts(b.failed ? "failed" : b.data);
    mien_buf_free(&b);
}

int main(int argc, char **argv)
{
    static char line[1 << 16];
    struct mien_signer *s;
    struct mien_err e = {0};
    if (argc < 2 || mien_signer_open(argv[1], 900, &s, NULL, &e) != MIEN_OK) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "sign ", 5) == 0) sign(s, line + 5);
        else if (strncmp(line, "verify ", 7) == 0) verify(s, line + 7);
        else if (strncmp(line, "jwks ", 5) == 0) jwks(s, strtoll(line + 5, NULL, 10));
        else if (strncmp(line, "rotate ", 7) == 0) puts(mien_signer_rotate(s, strtoll(line + 7, NULL, 10), &e) == MIEN_OK ? "rotated" : e.msg);
        else puts("unknown");
        fflush(stdout);
    }
    mien_signer_free(&s);
    return 0;
}
