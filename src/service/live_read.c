/* What a client of a live session says: JSON as text, or a frame as bytes. Untrusted. */
#include <math.h>
#include <string.h>
#include "codec/base64.h"
#include "codec/hex.h"
#include "codec/lift.h"
#include "service/live_inner.h"

enum { STAMP_BYTES = 8, ARENA_BYTES = 8 << 20 };
static const double MOST_MS = 9007199254740992.0; /* 2^53: what a JSON number can say exactly */

static void nonsense(struct mien_client_message *m, const char *code, const char *why)
{
    *m = (struct mien_client_message){.kind = MIEN_SAID_NONSENSE, .wrong = code, .why = why};
}

static void read_binary(const uint8_t *data, size_t n, struct mien_client_message *m)
{
    uint64_t stamp = 0;
    if (n <= STAMP_BYTES + MIEN_NONCE) {
        nonsense(m, "invalid_message", "A binary message is 8 bytes of time stamp, 16 bytes of nonce and an image");
        return;
    }
    for (int i = 0; i < STAMP_BYTES; i++) stamp |= (uint64_t)data[i] << 8 * i;
    if (stamp > (uint64_t)MOST_MS) {
        nonsense(m, "invalid_message", "The time stamp is not a number of milliseconds");
        return;
    }
    m->kind = MIEN_SAID_FRAME;
    m->stamp_ms = (int64_t)stamp;
    memcpy(m->nonce, data + STAMP_BYTES, MIEN_NONCE);
    m->image = data + STAMP_BYTES + MIEN_NONCE;
    m->image_size = n - STAMP_BYTES - MIEN_NONCE;
}

/* A nonce that is not 32 hexadecimal digits is a wrong one, which the session judges: it becomes one that no challenge has. */
static void read_nonce(const char *text, uint8_t nonce[MIEN_NONCE])
{
    memset(nonce, 0, MIEN_NONCE);
    if (strlen(text) != 2 * MIEN_NONCE) return;
    for (int i = 0; i < MIEN_NONCE; i++) {
        const int high = mien_hex_digit(text[2 * i]), low = mien_hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            memset(nonce, 0, MIEN_NONCE);
            return;
        }
        nonce[i] = (uint8_t)(high << 4 | low);
    }
}

/* The image goes to the message's beginning: a short text stands in the JSON tree, which does not live as long. */
static void read_frame(const struct mien_lifted *l, char *message, struct mien_client_message *m)
{
    char *text;
    size_t n;
    const char *payload;
    const struct mien_json *mirrored = mien_json_get(l->root, "mirrored");
    const double stamp = mien_json_number(mien_json_get(l->root, "timestamp"), NAN);
    const char *nonce = mien_json_string(mien_json_get(l->root, "nonce"), NULL);
    if (!mien_lifted_text(l, mien_json_get(l->root, "frame"), &text, &n)) {
        nonsense(m, "invalid_message", "'frame' is missing or not text");
        return;
    }
    if (!(stamp >= 0.0 && stamp <= MOST_MS)) {
        nonsense(m, "invalid_message", "'timestamp' is missing or not a number of milliseconds");
        return;
    }
    if (nonce == NULL) {
        nonsense(m, "invalid_message", "'nonce' is missing or not text");
        return;
    }
    payload = text;
    const bool is_base64 = mien_data_url_payload(&payload, &n);
    unsigned char *image = (unsigned char *)text + (payload - text); /* decoded where it stands */
    if (!is_base64 || mien_base64_decode(payload, n, image, &m->image_size, NULL) != MIEN_OK || m->image_size == 0) {
        nonsense(m, "invalid_image", "'frame' is not valid base64");
        return;
    }
    m->kind = MIEN_SAID_FRAME;
    m->stamp_ms = (int64_t)stamp;
    m->mirrored_given = mirrored != NULL;
    m->mirrored = mien_json_bool(mirrored, false);
    read_nonce(nonce, m->nonce);
    memmove(message, image, m->image_size);
    m->image = (const uint8_t *)message;
}

static void read_done(const struct mien_json *root, struct mien_client_message *m)
{
    const char *id = mien_json_string(mien_json_get(root, "challenge_id"), NULL);
    m->kind = MIEN_SAID_DONE;
    m->challenge_given = id != NULL;
    if (id != NULL && strlen(id) < sizeof m->challenge_id) memcpy(m->challenge_id, id, strlen(id) + 1); /* a longer one is none of ours: "" */
}

static void read_text(char *text, size_t n, struct mien_arena *arena, struct mien_client_message *m)
{
    struct mien_lifted l = {0};
    if (mien_json_lift(text, n, arena, &l, NULL) != MIEN_OK || !mien_json_is_object(l.root)) {
        nonsense(m, "invalid_message", "The message is not a JSON object");
        mien_json_free(&l.root);
        return;
    }
    const char *type = mien_json_string(mien_json_get(l.root, "type"), "");
    if (strcmp(type, "video_frame") == 0) read_frame(&l, text, m);
    else if (strcmp(type, "challenge_complete") == 0) read_done(l.root, m);
    else nonsense(m, "unknown_type", "'type' is neither video_frame nor challenge_complete");
    mien_json_free(&l.root);
}

void mien_live_read(bool binary, uint8_t *data, size_t n, struct mien_client_message *out)
{
    *out = (struct mien_client_message){.kind = MIEN_SAID_NONSENSE};
    if (binary) {
        read_binary(data, n, out);
        return;
    }
    struct mien_arena *arena = mien_arena_create(ARENA_BYTES);
    if (arena == NULL) nonsense(out, "overloaded", "The server has no memory left for this message");
    else read_text((char *)data, n, arena, out);
    mien_arena_wipe_free(&arena);
}
