/* The receiving side of a WebSocket without its connection: bytes in, whole messages and control frames out (RFC 6455, section 5, server's side).
 *
 * wslay parses and unmasks frames (its frame interface). What frames mean is decided here and not by its event interface, which answers malformed frames
 * with a close frame without a code, skips bytes of a close reason that comes in pieces, and frees messages without wiping them. */
#ifndef MIEN_NET_WEBSOCKET_FRAMES_H
#define MIEN_NET_WEBSOCKET_FRAMES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum mien_opcode { MIEN_FRAME_TEXT = 1, MIEN_FRAME_BINARY = 2, MIEN_FRAME_CLOSE = 8, MIEN_FRAME_PING = 9, MIEN_FRAME_PONG = 10 };
enum { MIEN_FRAME_HEAD = 10, MIEN_CONTROL_BYTES = 125 };

enum mien_arrival {
    MIEN_ARRIVED_NOTHING, /* the source has no more for now */
    MIEN_ARRIVED_MESSAGE, /* data, n, binary */
    MIEN_ARRIVED_EMPTY,   /* a fragment without a byte that is not the last one: costs its sender nothing, so it is counted */
    MIEN_ARRIVED_PING,    /* data, n: what the pong repeats */
    MIEN_ARRIVED_PONG,
    MIEN_ARRIVED_CLOSE,   /* code, 1005 without one */
    MIEN_ARRIVED_WRONG    /* code to close with: 1002, 1007, 1009, 1011; nothing after it can be understood */
};

/* Up to `room` bytes; 0: none for now. */
typedef size_t mien_frames_source(void *context, uint8_t *to, size_t room);

struct mien_frames {
    /* What arrived last, until the next call. `data` may be changed and has a NUL after its last byte. */
    uint8_t *data;
    size_t n;
    bool binary;
    int code;
    /* inner */
    struct wslay_frame_context *library;
    mien_frames_source *source;
    void *context;
    size_t max_message, max_memory;
    atomic_size_t *memory; /* bytes that messages hold at this moment, of all connections together */
    uint8_t *message;
    size_t size, room;
    bool in_message, in_frame, given;
    uint64_t frame_bytes;
    uint8_t control[MIEN_CONTROL_BYTES + 1];
    uint8_t *used_from, *used_to; /* of the library's buffer, for wiping */
};

/* False when out of memory. */
bool mien_frames_init(struct mien_frames *f, mien_frames_source *source, void *context, size_t max_message, atomic_size_t *memory, size_t max_memory);
void mien_frames_free(struct mien_frames *f); /* also what is all zero */
enum mien_arrival mien_frames_next(struct mien_frames *f);

/* The head of an unfragmented frame from a server; its bytes. */
size_t mien_frame_head(enum mien_opcode opcode, size_t n, uint8_t head[MIEN_FRAME_HEAD]);

#endif
