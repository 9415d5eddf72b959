/* The keys of a signer and the folder that keeps them.
 *
 * A key's file is named after the second in which it was made, so that its age survives copies: SECONDS-KID.pem. Another *.pem is a key too, as old as the
 * file. Servers that share the folder need no message to each other: the folder's own time of change says that a key came or went, which is looked at before
 * every signature, and a key id that is not known makes it be read as well.
 *
 * Keys are used outside the lock, by references that OpenSSL counts. */
#include "crypto/jwt_inner.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "codec/base64.h"
#include "crypto/digest.h"

enum {
    MOST_KEYS = 16,
    KEY_FILE_BYTES = 1 << 16,
    LATE_S = 60,                        /* a key outlives its last token by this: clocks of servers differ, and tokens are checked with a leeway */
    BETWEEN_READS_NS = 1000 * 1000 * 1000
};

struct mien_signer {
    pthread_mutex_t lock;     /* guards what follows it but for `folder` and `lifetime_s` */
    struct mien_jwt_key key[MOST_KEYS]; /* the newest first */
    int n;
    uint64_t read_ns;         /* when the folder was read */
    struct timespec changed;  /* the folder's time of change then */
    char *folder;             /* NULL: in memory only */
    int lifetime_s;
};

size_t mien_base64url_encode(const void *data, size_t n, char *out)
{
    size_t length = mien_base64_encode(data, n, out);
    while (length > 0 && out[length - 1] == '=') length--;
    out[length] = '\0';
    for (size_t i = 0; i < length; i++) out[i] = (char)(out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i]);
    return length;
}

/* ---- one key ---- */

static void drop(struct mien_jwt_key *k)
{
    EVP_PKEY_free(k->pkey); /* wipes */
    free(k->n);
    free(k->e);
    free(k->file);
    *k = (struct mien_jwt_key){0};
}

/* A public number of the key in base64url, malloc'ed; NULL when it cannot be had. */
static char *number_of(const EVP_PKEY *pkey, const char *name)
{
    unsigned char bytes[MIEN_RSA_MOST_BITS / 8];
    BIGNUM *number = NULL;
    char *text = NULL;
    if (EVP_PKEY_get_bn_param(pkey, name, &number) == 1 && BN_num_bytes(number) <= (int)sizeof bytes) {
        const size_t n = (size_t)BN_bn2bin(number, bytes);
        text = malloc(mien_base64url_room(n));
        if (text != NULL) mien_base64url_encode(bytes, n, text);
    }
    BN_free(number);
    return text;
}

/* k->pkey -> its public numbers and its id, the thumbprint of RFC 7638. */
static enum mien_code describe(struct mien_jwt_key *k, struct mien_err *e)
{
    struct mien_buf b;
    uint8_t sum[32];
    char id[48];
    k->n = number_of(k->pkey, OSSL_PKEY_PARAM_RSA_N);
    k->e = number_of(k->pkey, OSSL_PKEY_PARAM_RSA_E);
    MIEN_FAIL_IF(k->n == NULL || k->e == NULL, e, MIEN_E_INTERNAL, "OpenSSL does not tell an RSA key's numbers");
    mien_buf_init(&b, 8192);
    mien_buf_addf(&b, "{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}", k->e, k->n);
    enum mien_code code = b.failed ? MIEN_FAIL(e, MIEN_E_NOMEM, "no memory for a key") : mien_sha256(b.data, b.len, sum, e);
    mien_buf_free(&b);
    if (code == MIEN_OK) {
        mien_base64url_encode(sum, sizeof sum, id);
        memcpy(k->kid, id, sizeof k->kid);
    }
    return code;
}

/* A key whose numbers do not belong together signs wrongly. */
static bool signs(EVP_PKEY *pkey)
{
    static const char TEXT[] = "a signature to try the key";
    unsigned char signature[MIEN_SIGNATURE];
    size_t n;
    return mien_rs256_sign(pkey, TEXT, sizeof TEXT, signature, &n) && mien_rs256_verify(pkey, TEXT, sizeof TEXT, signature, n);
}

static enum mien_code check_key(EVP_PKEY *pkey, const char *path, struct mien_err *e)
{
    MIEN_FAIL_IF(pkey == NULL, e, MIEN_E_KEY, "%s: no private key in PEM without a passphrase, or damaged", path);
    MIEN_FAIL_IF(!EVP_PKEY_is_a(pkey, "RSA"), e, MIEN_E_KEY, "%s: no RSA key", path);
    const int bits = EVP_PKEY_get_bits(pkey);
    MIEN_FAIL_IF(bits < MIEN_RSA_BITS || bits > MIEN_RSA_MOST_BITS, e, MIEN_E_KEY, "%s: an RSA key of %d bits; it must have at least %d and at most %d", path,
                 bits, MIEN_RSA_BITS, MIEN_RSA_MOST_BITS);
    MIEN_FAIL_IF(!signs(pkey), e, MIEN_E_KEY, "%s: the key is damaged", path);
    return MIEN_OK;
}

/* ---- files ---- */

/* OpenSSL would ask the terminal. */
static int no_passphrase(char *to, int room, int writes, void *unused)
{
    (void)to, (void)room, (void)writes, (void)unused;
    return -1;
}

static enum mien_code path_of(const struct mien_signer *s, const char *file, char path[PATH_MAX], struct mien_err *e)
{
    const int n = snprintf(path, PATH_MAX, "%s/%s", s->folder, file);
    MIEN_FAIL_IF(n < 0 || n >= PATH_MAX, e, MIEN_E_ARG, "the path of the keys' folder is too long");
    return MIEN_OK;
}

/* The seconds that the name begins with; another name's file is as old as it says itself. */
static int64_t age_of(const char *file, const char *path)
{
    struct stat st;
    char *end;
    errno = 0;
    const long long seconds = strtoll(file, &end, 10);
    if (isdigit((unsigned char)file[0]) && errno == 0 && *end == '-') return seconds;
    return stat(path, &st) == 0 ? (int64_t)st.st_mtime : 0;
}

static enum mien_code load(const struct mien_signer *s, const char *file, struct mien_jwt_key *k, struct mien_err *e)
{
    char path[PATH_MAX];
    unsigned char *pem;
    size_t n;
    MIEN_TRY(path_of(s, file, path, e));
    MIEN_FAIL_IF(!mien_file_is_private(path), e, MIEN_E_KEY, "%s can be read by others: chmod 600 it", path);
    MIEN_TRY(mien_file_read(path, KEY_FILE_BYTES, &pem, &n, e));
    BIO *bio = BIO_new_mem_buf(pem, (int)n);
    k->pkey = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    explicit_bzero(pem, n);
    free(pem);
    k->made_s = age_of(file, path);
    k->file = strdup(file);
    enum mien_code code = k->file == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "no memory for a key") : check_key(k->pkey, path, e);
    if (code == MIEN_OK) code = describe(k, e);
    if (code != MIEN_OK) drop(k);
    return code;
}

/* Puts the key into the folder. */
static enum mien_code save(const struct mien_signer *s, struct mien_jwt_key *k, struct mien_err *e)
{
    char name[96], path[PATH_MAX], *pem = NULL;
    bool made = false;
    snprintf(name, sizeof name, "%lld-%s.pem", (long long)k->made_s, k->kid);
    MIEN_TRY(path_of(s, name, path, e));
    k->file = strdup(name);
    BIO *bio = BIO_new(BIO_s_mem()); /* wipes its memory when it is freed */
    const bool good = k->file != NULL && bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, k->pkey, NULL, NULL, 0, NULL, NULL) == 1;
    const long n = good ? BIO_get_mem_data(bio, &pem) : 0;
    const enum mien_code code = n > 0 ? mien_file_make_secret(path, pem, (size_t)n, &made, e) : MIEN_FAIL(e, MIEN_E_NOMEM, "no memory for a key");
    BIO_free(bio);
    return code;
}

/* ---- the list; the caller holds the lock ---- */

static void put_in(struct mien_signer *s, const struct mien_jwt_key *k)
{
    int at = 0;
    while (at < s->n && (s->key[at].made_s > k->made_s || (s->key[at].made_s == k->made_s && strcmp(s->key[at].kid, k->kid) > 0))) at++;
    memmove(&s->key[at + 1], &s->key[at], (size_t)(s->n - at) * sizeof *k);
    s->key[at] = *k;
    s->n++;
}

static void take_out(struct mien_signer *s, int at)
{
    drop(&s->key[at]);
    memmove(&s->key[at], &s->key[at + 1], (size_t)(--s->n - at) * sizeof s->key[0]);
}

/* A key whose last token has expired goes, from the disk too. */
static void forget_old(struct mien_signer *s, int64_t now_s)
{
    char path[PATH_MAX];
    for (int i = s->n - 1; i > 0; i--) {
        if (now_s < s->key[i - 1].made_s + s->lifetime_s + LATE_S) continue;
        if (s->key[i].file != NULL && path_of(s, s->key[i].file, path, NULL) == MIEN_OK && unlink(path) != 0 && errno != ENOENT)
            mien_log(MIEN_LOG_WARN, "token_key_stays", "file=%s why=\"%s\"", path, strerror(errno));
        take_out(s, i);
    }
}

/* ---- reading the folder; the caller holds the lock ---- */

static bool is_key_file(const char *name)
{
    const size_t n = strlen(name);
    return n > 4 && name[0] != '.' && strcmp(name + n - 4, ".pem") == 0;
}

/* A key that is there under another name already is not taken twice. */
static enum mien_code take_file(struct mien_signer *s, const char *file, struct mien_err *e)
{
    struct mien_jwt_key k = {0};
    MIEN_FAIL_IF(s->n == MOST_KEYS, e, MIEN_E_KEY, "%s holds more than %d keys", s->folder, MOST_KEYS);
    MIEN_TRY(load(s, file, &k, e));
    for (int i = 0; i < s->n; i++) {
        if (strcmp(s->key[i].kid, k.kid) != 0) continue;
        drop(&k);
        return MIEN_OK; /* the first one's name stands for it */
    }
    k.there = true;
    put_in(s, &k);
    return MIEN_OK;
}

struct names { char *name[MOST_KEYS + 1]; int n; };

/* Marks the key of this file, or notes the file as new. */
static void see_file(struct mien_signer *s, const char *file, struct names *fresh)
{
    if (!is_key_file(file)) return;
    for (int i = 0; i < s->n; i++) {
        if (strcmp(s->key[i].file, file) != 0) continue;
        s->key[i].there = true;
        return;
    }
    char *copy = fresh->n <= MOST_KEYS ? strdup(file) : NULL;
    if (copy != NULL) fresh->name[fresh->n++] = copy;
}

static enum mien_code see_folder(struct mien_signer *s, struct names *fresh, struct mien_err *e)
{
    struct stat st;
    DIR *d = opendir(s->folder);
    MIEN_FAIL_IF(d == NULL, e, MIEN_E_KEY, "%s: %s", s->folder, strerror(errno));
    for (int i = 0; i < s->n; i++) s->key[i].there = false;
    const bool known = fstat(dirfd(d), &st) == 0;
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) see_file(s, entry->d_name, fresh);
    closedir(d);
    /* What changes in the same tick of the file system's clock would not be noticed: then it is read once more. */
    const bool settled = known && mien_utc_ms() / 1000 - st.st_mtim.tv_sec > 2;
    s->changed = settled ? st.st_mtim : (struct timespec){0};
    s->read_ns = mien_now_ns();
    return MIEN_OK;
}

/* Takes what is new and drops what is gone. `strict`: a file that is no good key is an error; else it is logged, and the server goes on with the others. */
static enum mien_code read_folder(struct mien_signer *s, bool strict, struct mien_err *e)
{
    struct names fresh = {.n = 0};
    enum mien_code code = see_folder(s, &fresh, e);
    for (int i = 0; i < fresh.n; i++) {
        struct mien_err why = {0};
        if (code == MIEN_OK && take_file(s, fresh.name[i], &why) != MIEN_OK) {
            if (strict) code = MIEN_FAIL(e, why.code, "%s", why.msg);
            else mien_log(MIEN_LOG_WARN, "token_key_refused", "why=\"%s\"", why.msg);
        }
        free(fresh.name[i]);
    }
    for (int i = s->n - 1; code == MIEN_OK && i >= 0; i--)
        if (!s->key[i].there && s->n > 1) take_out(s, i); /* the last one stays, should somebody have emptied the folder */
    return code;
}

/* Reads the folder when it has changed, or in any case, but at most once a second. */
static void refresh(struct mien_signer *s, bool in_any_case)
{
    struct stat st;
    struct mien_err e = {0};
    if (s->folder == NULL || mien_now_ns() - s->read_ns < BETWEEN_READS_NS) return;
    const bool same = stat(s->folder, &st) == 0 && st.st_mtim.tv_sec == s->changed.tv_sec && st.st_mtim.tv_nsec == s->changed.tv_nsec;
    if ((in_any_case || !same) && read_folder(s, false, &e) != MIEN_OK) {
        s->read_ns = mien_now_ns();
        mien_log(MIEN_LOG_WARN, "token_keys_unread", "why=\"%s\"", e.msg);
    }
}

/* ---- the signer ---- */

EVP_PKEY *mien_signer_key(struct mien_signer *s, const char *kid, int64_t now_s, char kid_out[44])
{
    EVP_PKEY *found = NULL;
    pthread_mutex_lock(&s->lock);
    for (int again = 0; again < 2 && found == NULL; again++) {
        int i = 0;
        refresh(s, again > 0);
        if (kid != NULL) forget_old(s, now_s);
        while (i < s->n && kid != NULL && strcmp(s->key[i].kid, kid) != 0) i++;
        if (i == s->n || EVP_PKEY_up_ref(s->key[i].pkey) != 1) continue;
        found = s->key[i].pkey;
        if (kid_out != NULL) memcpy(kid_out, s->key[i].kid, sizeof s->key[i].kid);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* Makes the key outside the lock: it takes a second. */
enum mien_code mien_signer_rotate(struct mien_signer *s, int64_t now_s, struct mien_err *e)
{
    struct mien_jwt_key k = {.pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)MIEN_RSA_BITS), .there = true};
    enum mien_code code = k.pkey == NULL ? MIEN_FAIL(e, MIEN_E_INTERNAL, "OpenSSL makes no RSA key") : describe(&k, e);
    pthread_mutex_lock(&s->lock);
    forget_old(s, now_s);
    k.made_s = s->n > 0 && s->key[0].made_s >= now_s ? s->key[0].made_s + 1 : now_s; /* the newest, although another was made in this second */
    if (code == MIEN_OK && s->n == MOST_KEYS) code = MIEN_FAIL(e, MIEN_E_KEY, "there are %d keys for tokens that have not expired: wait", MOST_KEYS);
    if (code == MIEN_OK && s->folder != NULL) code = save(s, &k, e);
    if (code == MIEN_OK) put_in(s, &k);
    else drop(&k);
    pthread_mutex_unlock(&s->lock);
    return code;
}

static enum mien_code open_folder(struct mien_signer *s, const char *folder, struct mien_err *e)
{
    struct stat st;
    MIEN_FAIL_IF(mkdir(folder, 0700) != 0 && errno != EEXIST, e, MIEN_E_KEY, "%s: %s", folder, strerror(errno));
    MIEN_FAIL_IF(stat(folder, &st) == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) != 0, e, MIEN_E_KEY, "%s can be written by others: chmod 700 it", folder);
    s->folder = strdup(folder);
    MIEN_FAIL_IF(s->folder == NULL, e, MIEN_E_NOMEM, "no memory for the keys of tokens");
    return read_folder(s, true, e);
}

enum mien_code mien_signer_open(const char *folder, int lifetime_s, struct mien_signer **out, bool *made, struct mien_err *e)
{
    const int64_t now_s = mien_utc_ms() / 1000;
    *out = NULL;
    if (made != NULL) *made = false;
    MIEN_FAIL_IF(lifetime_s < 1, e, MIEN_E_ARG, "tokens live at least a second");
    struct mien_signer *s = calloc(1, sizeof *s);
    MIEN_FAIL_IF(s == NULL, e, MIEN_E_NOMEM, "no memory for the keys of tokens");
    s->lifetime_s = lifetime_s;
    pthread_mutex_init(&s->lock, NULL);
    enum mien_code code = folder != NULL ? open_folder(s, folder, e) : MIEN_OK;
    forget_old(s, now_s);
    const bool none = s->n == 0;
    if (code == MIEN_OK && none) code = mien_signer_rotate(s, now_s, e);
    if (code != MIEN_OK) mien_signer_free(&s);
    if (made != NULL) *made = none && code == MIEN_OK;
    *out = s;
    return code;
}

void mien_signer_free(struct mien_signer **s)
{
    if (*s == NULL) return;
    while ((*s)->n > 0) take_out(*s, (*s)->n - 1);
    pthread_mutex_destroy(&(*s)->lock);
    free((*s)->folder);
    free(*s);
    *s = NULL;
}

static void add_member(struct mien_jw *w, const char *name, const char *value)
{
    mien_jw_key(w, name);
    mien_jw_string(w, value);
}

void mien_signer_jwks(struct mien_signer *s, int64_t now_s, struct mien_jw *w)
{
    mien_jw_object(w);
    mien_jw_key(w, "keys");
    mien_jw_array(w);
    pthread_mutex_lock(&s->lock);
    refresh(s, false);
    forget_old(s, now_s);
    for (int i = 0; i < s->n; i++) {
        mien_jw_object(w);
        add_member(w, "kty", "RSA");
        add_member(w, "use", "sig");
        add_member(w, "alg", "RS256");
        add_member(w, "kid", s->key[i].kid);
        add_member(w, "n", s->key[i].n);
        add_member(w, "e", s->key[i].e);
        mien_jw_end_object(w);
    }
    pthread_mutex_unlock(&s->lock);
    mien_jw_end_array(w);
    mien_jw_end_object(w);
}
