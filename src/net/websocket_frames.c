/* Frames into messages. A message's memory grows with what arrived, never by what a frame announces. */
#include "net/websocket_frames.h"

#include <stdlib.h>
#include <string.h>

#include <wslay/wslay.h>

#include "codec/utf8.h"

enum { FIRST_ROOM = 2048, PROTOCOL_ERROR = 1002, NO_CODE = 1005, NOT_UTF8 = 1007, TOO_BIG = 1009, NO_MEMORY = 1011 };

static ssize_t read_bytes(uint8_t *to, size_t room, int flags, void *context)
{
    struct mien_frames *f = context;
    const size_t n = f->source(f->context, to, room);
    (void)flags;
    if (n == 0) return -1;
    if (f->used_from == NULL || to < f->used_from) f->used_from = to;
    if (to + n > f->used_to) f->used_to = to + n;
    return (ssize_t)n;
}

bool mien_frames_init(struct mien_frames *f, mien_frames_source *source, void *context, size_t max_message, atomic_size_t *memory, size_t max_memory)
{
    const struct wslay_frame_callbacks callbacks = {.recv_callback = read_bytes};
    *f = (struct mien_frames){.source = source, .context = context, .max_message = max_message, .memory = memory, .max_memory = max_memory};
    return wslay_frame_context_init(&f->library, &callbacks, f) == 0;
}

static void drop_message(struct mien_frames *f)
{
    if (f->message != NULL) {
        explicit_bzero(f->message, f->room);
        free(f->message);
        atomic_fetch_sub(f->memory, f->room);
    }
    f->message = NULL;
    f->size = f->room = 0;
}

void mien_frames_free(struct mien_frames *f)
{
    if (f->library == NULL) return;
    drop_message(f);
    if (f->used_from != NULL) explicit_bzero(f->used_from, (size_t)(f->used_to - f->used_from));
    wslay_frame_context_free(f->library);
    explicit_bzero(f, sizeof *f);
}

static bool grow(struct mien_frames *f, size_t need)
{
    size_t room = f->room > 0 ? f->room : FIRST_ROOM;
    while (room < need) room *= 2;
    if (room > f->max_message + 1) room = f->max_message + 1;
    const size_t more = room - f->room;
    uint8_t *grown = atomic_fetch_add(f->memory, more) + more <= f->max_memory ? malloc(room) : NULL;
    if (grown == NULL) {
        atomic_fetch_sub(f->memory, more);
        return false;
    }
    if (f->message != NULL) {
        memcpy(grown, f->message, f->size);
        explicit_bzero(f->message, f->room);
        free(f->message);
    }
    f->message = grown;
    f->room = room;
    return true;
}

static enum mien_arrival wrong(struct mien_frames *f, int code)
{
    f->code = code;
    return MIEN_ARRIVED_WRONG;
}

/* Whether a frame may stand here; 0 or the code to close with. */
static int check_frame(struct mien_frames *f, const struct wslay_frame_iocb *p)
{
    if (p->rsv != 0 || !p->mask) return PROTOCOL_ERROR;
    if (wslay_is_ctrl_frame(p->opcode)) return p->opcode > WSLAY_PONG ? PROTOCOL_ERROR : 0;
    if (p->opcode > WSLAY_BINARY_FRAME || f->in_message != (p->opcode == WSLAY_CONTINUATION_FRAME)) return PROTOCOL_ERROR;
    if (p->payload_length > f->max_message - f->size) return TOO_BIG;
    if (p->opcode != WSLAY_CONTINUATION_FRAME) f->binary = p->opcode == WSLAY_BINARY_FRAME;
    f->in_message = true;
    return 0;
}

/* Codes that an endpoint may send (section 7.4 and IANA's registry). */
static bool is_close_code(int code) { return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999); }

static enum mien_arrival end_control(struct mien_frames *f, const struct wslay_frame_iocb *p)
{
    f->data = f->control;
    f->n = (size_t)p->payload_length;
    f->control[f->n] = '\0';
    if (p->opcode == WSLAY_PING) return MIEN_ARRIVED_PING;
    if (p->opcode == WSLAY_PONG) return MIEN_ARRIVED_PONG;
    f->code = f->n >= 2 ? f->control[0] << 8 | f->control[1] : NO_CODE;
    if (f->n == 1 || (f->n >= 2 && !is_close_code(f->code))) return wrong(f, PROTOCOL_ERROR);
    if (f->n > 2 && !mien_utf8_valid(f->control + 2, f->n - 2)) return wrong(f, NOT_UTF8);
    return MIEN_ARRIVED_CLOSE;
}

static enum mien_arrival end_data(struct mien_frames *f, const struct wslay_frame_iocb *p)
{
    if (!p->fin) return p->payload_length == 0 ? MIEN_ARRIVED_EMPTY : MIEN_ARRIVED_NOTHING;
    if (f->message == NULL && !grow(f, 1)) return wrong(f, NO_MEMORY); /* an empty one has its NUL too */
    f->message[f->size] = '\0';
    if (!f->binary && !mien_utf8_valid(f->message, f->size)) return wrong(f, NOT_UTF8);
    f->data = f->message;
    f->n = f->size;
    f->in_message = false;
    f->given = true;
    return MIEN_ARRIVED_MESSAGE;
}

/* A piece of a frame: all of its payload, or some. */
static enum mien_arrival take(struct mien_frames *f, const struct wslay_frame_iocb *p)
{
    const bool control = wslay_is_ctrl_frame(p->opcode) != 0;
    if (!f->in_frame) {
        const int code = check_frame(f, p);
        if (code != 0) return wrong(f, code);
        f->in_frame = true;
        f->frame_bytes = 0;
    }
    if (control) {
        if (p->data_length > 0) memcpy(f->control + f->frame_bytes, p->data, p->data_length); /* wslay has refused longer ones */
    } else if (p->data_length > 0) {
        if (f->size + p->data_length + 1 > f->room && !grow(f, f->size + p->data_length + 1)) return wrong(f, NO_MEMORY);
        memcpy(f->message + f->size, p->data, p->data_length);
        f->size += p->data_length;
    }
    f->frame_bytes += p->data_length;
    if (f->frame_bytes < p->payload_length) return MIEN_ARRIVED_NOTHING;
    f->in_frame = false;
    return control ? end_control(f, p) : end_data(f, p);
}

enum mien_arrival mien_frames_next(struct mien_frames *f)
{
    if (f->given) drop_message(f);
    f->given = false;
    f->data = NULL;
    f->n = 0;
    for (;;) {
        struct wslay_frame_iocb piece = {.data_length = 0};
        const ssize_t got = wslay_frame_recv(f->library, &piece);
        if (got == WSLAY_ERR_WANT_READ) return MIEN_ARRIVED_NOTHING;
        if (got < 0) return wrong(f, PROTOCOL_ERROR);
        const enum mien_arrival arrival = take(f, &piece);
        if (arrival != MIEN_ARRIVED_NOTHING) return arrival;
    }
}

size_t mien_frame_head(enum mien_opcode opcode, size_t n, uint8_t head[MIEN_FRAME_HEAD])
{
    const size_t bytes = n < 126 ? 0 : n <= UINT16_MAX ? 2 : 8;
    head[0] = (uint8_t)(0x80 | opcode);
    head[1] = (uint8_t)(bytes == 0 ? n : bytes == 2 ? 126 : 127);
    for (size_t i = 0; i < bytes; i++) head[2 + i] = (uint8_t)((uint64_t)n >> 8 * (bytes - 1 - i));
    return 2 + bytes;
}
