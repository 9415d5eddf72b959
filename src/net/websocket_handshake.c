/* The opening handshake (RFC 6455, section 4.2): what the headers must say, and the proof that they were read. */
#include <string.h>
#include <strings.h>

#include <microhttpd.h>

#include "codec/base64.h"
#include "crypto/digest.h"
#include "net/websocket_inner.h"

enum { KEY_TEXT = 24, KEY_BYTES = 16 };

struct token {
    const char *name, *token;
    bool found;
};

static bool lists(const char *value, const char *token)
{
    const size_t n = strlen(token);
    for (const char *at = value; *at != '\0';) {
        at += strspn(at, ", \t");
        const size_t length = strcspn(at, ", \t");
        if (length == n && strncasecmp(at, token, n) == 0) return true;
        at += length;
    }
    return false;
}

static enum MHD_Result find_token(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct token *t = cls;
    (void)kind;
    if (strcasecmp(key, t->name) == 0 && value != NULL) t->found |= lists(value, t->token);
    return MHD_YES;
}

static bool has_token(const struct mien_request *q, const char *name, const char *token)
{
    struct token t = {name, token, false};
    MHD_get_connection_values(q->connection, MHD_HEADER_KIND, find_token, &t);
    return t.found;
}

/* The value of a header that comes once, else NULL. */
static const char *only(const struct mien_request *q, const char *name)
{
    const char *value = mien_request_header(q, name);
    return value == mien_request_header_last(q, name) ? value : NULL;
}

static bool is_key(const char *key)
{
    unsigned char bytes[KEY_TEXT];
    char again[KEY_TEXT + 1];
    size_t n = 0;
    if (key == NULL || strlen(key) != KEY_TEXT || mien_base64_decode(key, KEY_TEXT, bytes, &n, NULL) != MIEN_OK || n != KEY_BYTES) return false;
    mien_base64_encode(bytes, n, again); /* padding and alphabet as the RFC has them */
    return strcmp(again, key) == 0;
}

static bool answer_key(const char *key, char accept[MIEN_SOCKET_ACCEPT])
{
    static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[KEY_TEXT + sizeof GUID];
    uint8_t digest[20];
    memcpy(text, key, KEY_TEXT);
    memcpy(text + KEY_TEXT, GUID, sizeof GUID);
    if (mien_sha1(text, sizeof text - 1, digest, NULL) != MIEN_OK) return false;
    mien_base64_encode(digest, sizeof digest, accept);
    return true;
}

enum mien_handshake mien_handshake(const struct mien_request *q, const char *version, char accept[MIEN_SOCKET_ACCEPT], const char **why)
{
    const char *wanted = only(q, "Sec-WebSocket-Version"), *key = only(q, "Sec-WebSocket-Key");
    *why = NULL;
    if (strcmp(version, "HTTP/1.1") != 0 || !has_token(q, "Upgrade", "websocket") || !has_token(q, "Connection", "Upgrade")) return MIEN_HANDSHAKE_NONE;
    if (wanted == NULL || strcmp(wanted, "13") != 0) return MIEN_HANDSHAKE_NONE;
    if (q->method != MIEN_GET) *why = "A WebSocket begins with GET.";
    else if (!is_key(key)) *why = "Sec-WebSocket-Key is not 16 bytes in base64.";
    else if (!answer_key(key, accept)) *why = "SHA-1 is not available.";
    return *why == NULL ? MIEN_HANDSHAKE_GOOD : MIEN_HANDSHAKE_WRONG;
}
