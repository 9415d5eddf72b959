// WebSockets over real connections, frame by frame: what RFC 6455 allows, what it forbids, bounds, clients that vanish, the end of the server.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "support/echo.h"

enum { PATIENCE_S = 60, LIMIT = 70000, MAX_PIECES = 6 };
enum { FIN = 0x80, RSV1 = 0x40, RSV2 = 0x20, RSV3 = 0x10, MORE = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

/* ---- a client ---- */

static int dial(const struct echo *x)
{
    const struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)mien_server_port(x->server)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    const int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void give(int fd, const void *data, size_t n)
{
    for (size_t at = 0; at < n;) {
        const ssize_t sent = send(fd, (const char *)data + at, n - at, MSG_NOSIGNAL);
        if (sent <= 0) return; /* the server may have ended it: what follows is read and judged */
        at += (size_t)sent;
    }
}

static bool take(int fd, void *data, size_t n)
{
    for (size_t at = 0; at < n;) {
        const ssize_t got = recv(fd, (char *)data + at, n - at, 0);
        if (got <= 0) return false;
        at += (size_t)got;
    }
    return true;
}

/* Up to the empty line; the status. */
static int hear_head(int fd, char head[2048])
{
    size_t n = 0;
    while (n < 2047 && (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) && recv(fd, head + n, 1, 0) == 1) n++;
    head[n] = '\0';
    return n > 12 ? atoi(head + 9) : 0;
}

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define REST "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" KEY "\r\n"
#define HANDSHAKE(path) "GET " path " HTTP/1.1\r\nHost: h\r\n" REST

static int upgrade(const struct echo *x, const char *handshake)
{
    char head[2048];
    const int fd = dial(x);
    give(fd, handshake, strlen(handshake));
    assert_int_equal(hear_head(fd, head), 101);
    assert_non_null(strstr(head, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")); /* RFC 6455, section 1.3 */
    assert_non_null(strcasestr(head, "Upgrade: websocket\r\n"));
    assert_non_null(strcasestr(head, "Connection: Upgrade\r\n"));
    assert_non_null(strstr(head, "X-Request-Id: "));
    assert_null(strcasestr(head, "Sec-WebSocket-Extensions"));
    return fd;
}

static int open_echo(const struct echo *x) { return upgrade(x, HANDSHAKE("/echo")); }
static int open_told(const struct echo *x) { return upgrade(x, HANDSHAKE("/told")); }

/* A frame of a client as bytes; `out` has room for 14 more than n. */
static size_t frame(uint8_t *out, unsigned first, const void *data, size_t n)
{
    static const uint8_t MASK[4] = {0x37, 0xfa, 0x21, 0x3d};
    const size_t bytes = n < 126 ? 0 : n < 65536 ? 2 : 8;
    out[0] = (uint8_t)first;
    out[1] = (uint8_t)(0x80 | (bytes == 0 ? n : bytes == 2 ? 126 : 127));
    for (size_t i = 0; i < bytes; i++) out[2 + i] = (uint8_t)((uint64_t)n >> 8 * (bytes - 1 - i));
    memcpy(out + 2 + bytes, MASK, 4);
    for (size_t i = 0; i < n; i++) out[6 + bytes + i] = ((const uint8_t *)data)[i] ^ MASK[i % 4];
    return 6 + bytes + n;
}

static void tell(int fd, unsigned first, const void *data, size_t n)
{
    uint8_t *bytes = malloc(n + 14);
    assert_non_null(bytes);
    give(fd, bytes, frame(bytes, first, data, n));
    free(bytes);
}

static void tell_text(int fd, const char *text) { tell(fd, FIN | TEXT, text, strlen(text)); }

struct heard {
    int opcode; /* -1: the connection has ended */
    size_t n;
    char *data; /* freed by the next hear */
};

static struct heard hear(int fd)
{
    static char *data;
    struct heard h = {.opcode = -1};
    uint8_t head[2], more[8];
    free(data);
    h.data = data = NULL;
    if (!take(fd, head, 2)) return h;
    assert_int_equal(head[0] & 0xf0, FIN); /* the server neither fragments nor uses reserved bits */
    assert_int_equal(head[1] & 0x80, 0);   /* nor masks */
    h.n = head[1];
    const size_t bytes = h.n == 126 ? 2 : h.n == 127 ? 8 : 0;
    if (!take(fd, more, bytes)) return h;
    if (bytes > 0) h.n = 0;
    for (size_t i = 0; i < bytes; i++) h.n = h.n << 8 | more[i];
    h.data = data = malloc(h.n + 1);
    assert_non_null(data);
    if (!take(fd, data, h.n)) return h;
    data[h.n] = '\0';
    h.opcode = head[0] & 0xf;
    return h;
}

static void expect(int fd, int opcode, const char *data, size_t n)
{
    const struct heard h = hear(fd);
    assert_int_equal(h.opcode, opcode);
    assert_int_equal(h.n, n);
    if (n > 0) assert_memory_equal(h.data, data, n);
}

static void expect_text(int fd, const char *text) { expect(fd, TEXT, text, strlen(text)); }

/* A close frame with this code (1005: without), then the connection's end. */
static void expect_end(int fd, int code)
{
    const struct heard h = hear(fd);
    assert_int_equal(h.opcode, CLOSE);
    assert_int_not_equal(h.n, 1);
    const int heard = h.n >= 2 ? (uint8_t)h.data[0] << 8 | (uint8_t)h.data[1] : 1005;
    assert_int_equal(heard, code);
    assert_true(heard != 1005 || h.n == 0);
    assert_int_equal(hear(fd).opcode, -1);
    close(fd);
}

/* Closes from our side, orderly. */
static void leave(int fd)
{
    tell(fd, FIN | CLOSE, "\x03\xe8", 2);
    expect_end(fd, 1000);
}

static void wait_ms(int ms) { nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL); }

/* ---- the server ---- */

static struct mien_server_settings settings(void)
{
    struct mien_server_settings t;
    echo_settings(&t);
    t.socket_max_message = LIMIT;
    t.socket_controls_per_s = 1000000;
    t.max_connections_per_address = 200;
    return t;
}

static void start(struct echo *x, const struct mien_server_settings *t)
{
    struct mien_err e = {0};
    *x = (struct echo){.server = NULL};
    if (echo_start(x, t, &e) != MIEN_OK) fail_msg("%s", e.msg);
}

/* All sockets have ended, and messages hold no memory. */
static void stop(struct echo *x)
{
    assert_true(echo_await(x, &x->closed, echo_count(x, &x->opened)));
    assert_int_equal(mien_server_state(x->server).body_bytes, 0);
    assert_true(echo_stop(x));
    assert_int_equal(x->closed, x->opened + x->lost);
}

/* Waits for one more end, and answers its code. */
static int next_code(struct echo *x, int before)
{
    assert_true(echo_await(x, &x->closed, before + 1));
    return x->code;
}

/* ---- messages ---- */

static void messages_of_all_sizes(void **state)
{
    (void)state;
    static const size_t SIZE[] = {0, 1, 125, 126, 127, 128, 4095, 4096, 4097, 65535, 65536, LIMIT};
    struct echo x;
    const struct mien_server_settings t = settings();
    static char data[LIMIT + 1];
    start(&x, &t);
    const int fd = open_echo(&x);
    for (size_t i = 0; i < sizeof SIZE / sizeof SIZE[0]; i++) {
        char wanted[64];
        uint32_t sum = 0;
        for (size_t k = 0; k < SIZE[i]; k++) data[k] = (char)(' ' + (k * 7 + i) % 90);
        tell(fd, FIN | TEXT, data, SIZE[i]);
        expect(fd, TEXT, data, SIZE[i]);
        for (size_t k = 0; k < SIZE[i]; k++) data[k] = (char)(k * k + i);
        for (size_t k = 0; k < SIZE[i]; k++) sum = sum * 31 + (uint8_t)data[k];
        tell(fd, FIN | BINARY, data, SIZE[i]);
        snprintf(wanted, sizeof wanted, "%zu %u", SIZE[i], sum);
        expect_text(fd, wanted);
    }
    tell(fd, FIN | TEXT, "a\0b", 3);
    expect(fd, TEXT, "a\0b", 3);
    leave(fd);
    assert_int_equal(next_code(&x, 0), 1000);
    for (int first = TEXT; first <= BINARY; first++) {
        const int other = open_echo(&x);
        tell(other, FIN | (unsigned)first, data, LIMIT + 1);
        expect_end(other, 1009);
        assert_int_equal(next_code(&x, first), 1009);
    }
    const int fd2 = open_echo(&x); /* a huge length alone is enough, with the first byte */
    give(fd2, "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" "1234" "x", 15);
    expect_end(fd2, 1009);
    const int fd3 = open_echo(&x); /* fragments together */
    tell(fd3, TEXT, data, LIMIT);
    tell(fd3, MORE, "", 0);
    tell(fd3, FIN | MORE, "x", 1);
    expect_end(fd3, 1009);
    stop(&x);
}

/* ---- cases: what is sent, and what comes back ---- */

struct piece {
    unsigned first;
    const char *data;
    int n; /* -1: strlen */
};
struct exchange {
    const char *name;
    struct piece sent[MAX_PIECES];  /* ends with first == 0 and data == NULL */
    struct piece heard[MAX_PIECES]; /* opcode, data */
    int code;                       /* of the close frame that then comes; 0: none, the client leaves */
};

#define S(first, text) {first, text, -1}
#define N(first, data, n) {first, data, n}
#define KAPPA "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"

static const struct exchange EXCHANGE[] = {
    {"fragments", {S(TEXT, "ab"), S(MORE, "cd"), S(FIN | MORE, "ef")}, {S(TEXT, "abcdef")}, 0},
    {"empty fragments", {S(TEXT, ""), S(MORE, ""), S(FIN | MORE, "")}, {S(TEXT, "")}, 0},
    {"fragments with a ping between", {S(TEXT, "ab"), S(FIN | PING, "hi"), S(FIN | MORE, "cd")}, {S(PONG, "hi"), S(TEXT, "abcd")}, 0},
    {"fragments with a pong between", {S(TEXT, "ab"), S(FIN | PONG, "hi"), S(FIN | MORE, "cd")}, {S(TEXT, "abcd")}, 0},
    {"close between fragments", {S(TEXT, "ab"), N(FIN | CLOSE, "\x03\xe8", 2)}, {{0}}, 1000},
    {"binary fragments", {N(BINARY, "\xff", 1), N(FIN | MORE, "\0", 1)}, {S(TEXT, "2 7905")}, 0},
    {"two messages", {S(FIN | TEXT, "a"), S(FIN | TEXT, "b")}, {S(TEXT, "a"), S(TEXT, "b")}, 0},
    {"continuation without start", {S(FIN | MORE, "x")}, {{0}}, 1002},
    {"continuation without start, not final", {S(MORE, "x")}, {{0}}, 1002},
    {"continuation after a whole message", {S(FIN | TEXT, "a"), S(FIN | MORE, "x")}, {S(TEXT, "a")}, 1002},
    {"text within text", {S(TEXT, "x"), S(FIN | TEXT, "y")}, {{0}}, 1002},
    {"binary within text", {S(TEXT, "x"), S(BINARY, "y")}, {{0}}, 1002},
    {"ping without data", {S(FIN | PING, "")}, {S(PONG, "")}, 0},
    {"pings in order", {S(FIN | PING, "1"), S(FIN | PING, "2"), S(FIN | TEXT, "3")}, {S(PONG, "1"), S(PONG, "2"), S(TEXT, "3")}, 0},
    {"pong that nobody asked for", {S(FIN | PONG, "x"), S(FIN | TEXT, "y")}, {S(TEXT, "y")}, 0},
    {"fragmented ping", {S(PING, "x"), S(FIN | MORE, "y")}, {{0}}, 1002},
    {"fragmented pong", {S(PONG, "x")}, {{0}}, 1002},
    {"fragmented close", {N(CLOSE, "\x03\xe8", 2)}, {{0}}, 1002},
    {"first reserved bit", {S(FIN | RSV1 | TEXT, "x")}, {{0}}, 1002},
    {"second reserved bit", {S(FIN | RSV2 | BINARY, "x")}, {{0}}, 1002},
    {"third reserved bit, ping", {S(FIN | RSV3 | PING, "")}, {{0}}, 1002},
    {"reserved bit in the second message", {S(FIN | TEXT, "x"), S(FIN | RSV1 | TEXT, "y")}, {S(TEXT, "x")}, 1002},
    {"opcode 3", {S(FIN | 3, "x")}, {{0}}, 1002},
    {"opcode 7 without data", {S(FIN | 7, "")}, {{0}}, 1002},
    {"opcode 7 between fragments", {S(TEXT, "a"), S(FIN | 7, "b")}, {{0}}, 1002},
    {"opcode 11", {S(FIN | 11, "x")}, {{0}}, 1002},
    {"opcode 15 without data", {S(FIN | 15, "")}, {{0}}, 1002},
    {"text beyond ASCII", {S(FIN | TEXT, KAPPA)}, {S(TEXT, KAPPA)}, 0},
    {"a character over two fragments", {S(TEXT, "\xce"), S(FIN | MORE, "\xba")}, {S(TEXT, "\xce\xba")}, 0},
    {"a character over three, ping between",
     {S(TEXT, "\xe4"), S(MORE, "\xb8"), S(FIN | PING, ""), S(FIN | MORE, "\x96")},
     {S(PONG, ""), S(TEXT, "\xe4\xb8\x96")},
     0},
    {"not UTF-8", {S(FIN | TEXT, KAPPA "\xed\xa0\x80" "edited")}, {{0}}, 1007},
    {"half a character", {S(FIN | TEXT, "a\xce")}, {{0}}, 1007},
    {"half a character, then something else", {S(TEXT, "\xce"), S(FIN | MORE, "a")}, {{0}}, 1007},
    {"half a character over fragments", {S(TEXT, "a"), S(MORE, "\xf0\x9f"), S(FIN | MORE, "\x99")}, {{0}}, 1007},
    {"overlong", {N(FIN | TEXT, "\xc0\xaf", 2)}, {{0}}, 1007},
    {"beyond U+10FFFF", {S(FIN | TEXT, "\xf4\x90\x80\x80")}, {{0}}, 1007},
    {"binary need not be UTF-8", {N(FIN | BINARY, "\xff", 1)}, {S(TEXT, "1 255")}, 0},
    {"close without code", {S(FIN | CLOSE, "")}, {{0}}, 1005},
    {"close with one byte", {N(FIN | CLOSE, "\x03", 1)}, {{0}}, 1002},
    {"close with reason", {S(FIN | CLOSE, "\x03\xe8" "bye")}, {{0}}, 1000},
    {"close with reason beyond ASCII", {S(FIN | CLOSE, "\x03\xe9" KAPPA)}, {{0}}, 1001},
    {"close whose reason is not UTF-8", {S(FIN | CLOSE, "\x03\xe8" "ab\xff")}, {{0}}, 1007},
    {"message after close", {N(FIN | CLOSE, "\x03\xe8", 2), S(FIN | TEXT, "late")}, {{0}}, 1000},
    {"ping after close", {N(FIN | CLOSE, "\x03\xe8", 2), S(FIN | PING, "late")}, {{0}}, 1000},
    {"close after close", {N(FIN | CLOSE, "\x03\xe8", 2), N(FIN | CLOSE, "\x03\xe9", 2)}, {{0}}, 1000},
    {"rubbish after close", {N(FIN | CLOSE, "\x03\xe8", 2), S(FIN | RSV1 | 7, "late")}, {{0}}, 1000},
};

static size_t length(const struct piece *p) { return p->n < 0 ? strlen(p->data) : (size_t)p->n; }

/* At once, or byte by byte. */
static void play(const struct echo *x, const struct exchange *c, bool at_once)
{
    uint8_t bytes[1024];
    size_t n = 0;
    const int fd = open_echo(x);
    for (const struct piece *p = c->sent; p < c->sent + MAX_PIECES && p->data != NULL; p++) n += frame(bytes + n, p->first, p->data, length(p));
    if (at_once) give(fd, bytes, n);
    for (size_t i = 0; i < n && !at_once; i++) give(fd, bytes + i, 1);
    for (const struct piece *p = c->heard; p < c->heard + MAX_PIECES && p->data != NULL; p++) expect(fd, (int)p->first, p->data, length(p));
    if (c->code != 0) expect_end(fd, c->code);
    else leave(fd);
}

static void exchanges(void **state)
{
    (void)state;
    struct echo x;
    const struct mien_server_settings t = settings();
    start(&x, &t);
    for (size_t i = 0; i < sizeof EXCHANGE / sizeof EXCHANGE[0]; i++)
        for (int way = 0; way < 2; way++) {
            print_message("# %s, %s\n", EXCHANGE[i].name, way == 0 ? "at once" : "byte by byte");
            play(&x, &EXCHANGE[i], way == 0);
            assert_int_equal(next_code(&x, (int)(2 * i) + way), EXCHANGE[i].code != 0 ? EXCHANGE[i].code : 1000);
        }
    stop(&x);
}

/* What the frame() of the table cannot write. */
static void malformed_frames(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } CASE[] = {{"\x81\x05Hello", 7},                    /* not masked */
                {"\x89\x00\x81\x80\0\0\0\0", 8},         /* nor this, and it is empty */
                {"\x89\xfe\0\x7e\0\0\0\0", 8},           /* ping of 126 bytes */
                {"\x88\xfe\0\x7e\0\0\0\0", 8},           /* close of 126 bytes */
                {"\x8a\xff\0\0\0\0\0\0\0\1\0\0\0\0", 14}, /* pong with a long length */
                {"\x82\xfe\0\x05\0\0\0\0Hello", 13},     /* longer form than needed */
                {"\x82\xff\0\0\0\0\0\0\0\x05\0\0\0\0Hello", 19},
                {"\x82\xff\0\0\0\0\0\0\xff\xff\0\0\0\0Hello", 19},
                {"\x82\xff\x80\0\0\0\0\0\0\x05\0\0\0\0Hello", 19}}; /* highest bit of a length */
    struct echo x;
    const struct mien_server_settings t = settings();
    start(&x, &t);
    for (size_t i = 0; i < sizeof CASE / sizeof CASE[0]; i++)
        for (size_t step = 1; step < 64; step += 62) {
            const int fd = open_echo(&x);
            for (size_t at = 0; at < CASE[i].n; at += step) give(fd, CASE[i].bytes + at, CASE[i].n - at < step ? CASE[i].n - at : step);
            expect_end(fd, 1002);
        }
    stop(&x);
    assert_int_equal(x.messages, 0);
}

static void close_codes(void **state)
{
    (void)state;
    static const int GOOD[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
    static const int BAD[] = {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535};
    struct echo x;
    const struct mien_server_settings t = settings();
    start(&x, &t);
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0] + sizeof BAD / sizeof BAD[0]; i++) {
        const bool good = i < sizeof GOOD / sizeof GOOD[0];
        const int code = good ? GOOD[i] : BAD[i - sizeof GOOD / sizeof GOOD[0]];
        const uint8_t data[2] = {(uint8_t)(code >> 8), (uint8_t)code};
        const int fd = open_echo(&x);
        tell(fd, FIN | CLOSE, data, 2);
        expect_end(fd, good ? code : 1002);
        assert_int_equal(next_code(&x, (int)i), good ? code : 1002);
    }
    stop(&x);
}

static void pings_of_all_sizes(void **state)
{
    (void)state;
    struct echo x;
    const struct mien_server_settings t = settings();
    char data[125];
    start(&x, &t);
    const int fd = open_echo(&x);
    for (size_t n = 0; n <= sizeof data; n++) {
        memset(data, (int)n, sizeof data);
        tell(fd, FIN | PING, data, n);
        expect(fd, PONG, data, n);
    }
    leave(fd);
    stop(&x);
}

static void floods_of_control_frames(void **state)
{
    (void)state;
    static const unsigned FIRST[] = {FIN | PING, FIN | PONG, MORE};
    struct echo x;
    struct mien_server_settings t = settings();
    t.socket_controls_per_s = 20;
    start(&x, &t);
    for (size_t i = 0; i < sizeof FIRST / sizeof FIRST[0]; i++) {
        uint8_t bytes[6 * 100];
        size_t n = 0;
        struct heard h;
        const int fd = open_echo(&x);
        if (FIRST[i] == MORE) tell(fd, TEXT, "a", 1);
        while (n < sizeof bytes) n += frame(bytes + n, FIRST[i], "", 0);
        give(fd, bytes, n);
        int pongs = 0;
        while ((h = hear(fd)).opcode == PONG) pongs++;
        assert_int_equal(pongs, FIRST[i] == (FIN | PING) ? 20 : 0);
        assert_int_equal(h.opcode, CLOSE);
        assert_int_equal((uint8_t)h.data[0] << 8 | (uint8_t)h.data[1], 1008);
        assert_int_equal(hear(fd).opcode, -1);
        close(fd);
        assert_int_equal(next_code(&x, (int)i), 1008);
    }
    const int fd = open_echo(&x); /* as many again in another second */
    for (int second = 0; second < 2; second++) {
        for (int i = 0; i < 15; i++) {
            tell(fd, FIN | PING, "", 0);
            expect(fd, PONG, "", 0);
        }
        wait_ms(1100);
    }
    leave(fd);
    stop(&x);
}

/* ---- the handshake ---- */

static void handshakes(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        int status;
    } CASE[] = {
        {"GET /echo HTTP/1.1\r\nHost: h\r\n\r\n", 426},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" KEY "\r\n", 426},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" KEY "\r\n", 426},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" KEY "\r\n", 426},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websockets\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" KEY "\r\n", 426},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n" KEY "\r\n", 426},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" KEY "\r\n", 426},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Version: 8\r\n" REST, 426},
        {"GET /echo HTTP/1.0\r\nHost: h\r\n" REST, 426},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hvcnQ=\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==\r\n\r\n", 400},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSEh\r\n\r\n", 400}, /* 18 bytes */
        {"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: -_-_-_-_-_-_-_-_-_-_-w==\r\n\r\n", 400}, /* another alphabet */
        {"GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n\r\n", 400}, /* bits behind the last byte */
        {"GET /echo HTTP/1.1\r\nHost: h\r\n" KEY REST, 400},         /* two keys */
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n" REST, 400},
        {"GET /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n" REST "abc", 400},
        {"GET /other HTTP/1.1\r\nHost: h\r\n" REST, 404},
    };
    struct echo x;
    const struct mien_server_settings t = settings();
    char head[2048];
    int done = 0;
    start(&x, &t);
    for (size_t i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        const int fd = dial(&x);
        give(fd, CASE[i].head, strlen(CASE[i].head));
        print_message("# %zu\n", i);
        assert_int_equal(hear_head(fd, head), CASE[i].status);
        const bool offers = CASE[i].status == 426;
        assert_int_equal(strcasestr(head, "Upgrade: websocket\r\n") != NULL, offers);
        assert_int_equal(strcasestr(head, "Sec-WebSocket-Version: 13\r\n") != NULL, offers);
        close(fd);
        assert_true(echo_await(&x, &x.done, ++done));
        assert_int_equal(x.status, CASE[i].status);
    }
    static const char *const GOOD[] = {HANDSHAKE("/echo"),
                                       "GET /echo HTTP/1.1\r\nHost: h\r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\nsec-websocket-version: 13\r\n"
                                       "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" KEY "\r\n",
                                       "GET /echo?a=b HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nUpgrade: h2c,websocket\r\n" REST};
    for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
        const int fd = upgrade(&x, GOOD[i]);
        assert_true(echo_await(&x, &x.done, ++done));
        assert_int_equal(x.status, 101);
        tell_text(fd, "a");
        expect_text(fd, "a");
        leave(fd);
    }
    stop(&x);
    assert_int_equal(x.opened, 3);
    assert_int_equal(x.done, done);
}

/* Frames in the same segment as the handshake belong to the socket, be they many or wrong. */
static void frames_behind_the_handshake(void **state)
{
    (void)state;
    static const size_t SIZE[] = {0, 1, 5000, 30000, 60000};
    static char data[60000];
    static uint8_t bytes[70000];
    struct echo x;
    const struct mien_server_settings t = settings();
    start(&x, &t);
    memset(data, 'q', sizeof data);
    for (size_t i = 0; i < sizeof SIZE / sizeof SIZE[0]; i++) {
        char head[2048];
        size_t n = strlen(HANDSHAKE("/echo"));
        const int fd = dial(&x);
        memcpy(bytes, HANDSHAKE("/echo"), n);
        n += frame(bytes + n, FIN | TEXT, data, SIZE[i]);
        n += frame(bytes + n, FIN | TEXT, "then", 4);
        give(fd, bytes, n);
        assert_int_equal(hear_head(fd, head), 101);
        expect(fd, TEXT, data, SIZE[i]);
        expect_text(fd, "then");
        tell_text(fd, "more");
        expect_text(fd, "more");
        leave(fd);
    }
    const int fd = upgrade(&x, HANDSHAKE("/echo") "\x81\x01x");
    expect_end(fd, 1002);
    stop(&x);
}

/* After a request on the same connection, and the connection serves nothing else afterwards. */
static void upgrade_of_a_kept_connection(void **state)
{
    (void)state;
    char head[2048];
    struct echo x;
    const struct mien_server_settings t = settings();
    start(&x, &t);
    const int fd = dial(&x);
    give(fd, "GET /other HTTP/1.1\r\nHost: h\r\n\r\n" HANDSHAKE("/echo"), strlen("GET /other HTTP/1.1\r\nHost: h\r\n\r\n" HANDSHAKE("/echo")));
    assert_int_equal(hear_head(fd, head), 404);
    assert_int_equal(hear_head(fd, head), 101);
    tell_text(fd, "a");
    expect_text(fd, "a");
    give(fd, "GET /other HTTP/1.1\r\nHost: h\r\n\r\n", 32);
    expect_end(fd, 1002);
    stop(&x);
}

/* ---- clients that vanish ---- */

static void abrupt_ends(void **state)
{
    (void)state;
    static const struct linger RESET = {1, 0};
    static char data[5000];
    uint8_t bytes[6000];
    struct echo x;
    const struct mien_server_settings t = settings();
    start(&x, &t);
    int ended = 0;
    const size_t whole = frame(bytes, FIN | TEXT, data, sizeof data);
    static const size_t CUT[] = {0, 1, 3, 5, 8, 9, 4000};
    for (size_t i = 0; i < sizeof CUT / sizeof CUT[0]; i++)
        for (int way = 0; way < 3; way++) {
            const int fd = open_echo(&x);
            assert_true(CUT[i] < whole);
            give(fd, bytes, CUT[i]);
            if (way == 1) shutdown(fd, SHUT_WR);
            if (way == 2) setsockopt(fd, SOL_SOCKET, SO_LINGER, &RESET, sizeof RESET);
            if (way != 1) close(fd);
            assert_int_equal(next_code(&x, ended++), 1006);
            if (way == 1) {
                assert_int_equal(hear(fd).opcode, -1);
                close(fd);
            }
        }
    for (int i = 0; i < 50; i++) { /* gone at once: before or while the handshake is answered */
        const int fd = dial(&x);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &RESET, sizeof RESET);
        give(fd, HANDSHAKE("/told"), strlen(HANDSHAKE("/told")));
        close(fd);
    }
    const int fd = open_echo(&x);
    leave(fd);
    stop(&x);
    assert_int_equal(x.messages, 0);
}

/* Reset while its handshake is looked at: the handler hears of it, once. */
static void gone_before_the_answer(void **state)
{
    (void)state;
    static const struct linger RESET = {1, 0};
    struct echo x;
    const struct mien_server_settings t = settings();
    start(&x, &t);
    echo_hold(&x, true);
    const int fd = dial(&x);
    give(fd, HANDSHAKE("/echo"), strlen(HANDSHAKE("/echo")));
    assert_true(echo_await(&x, &x.begun, 1));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &RESET, sizeof RESET);
    close(fd);
    echo_hold(&x, false);
    assert_true(echo_await(&x, &x.done, 1));
    assert_int_equal(next_code(&x, 0), 1006);
    stop(&x);
    assert_int_equal(x.lost, 1);
    assert_int_equal(x.opened, 0);
    assert_int_equal(x.status, 0);
}

static void a_client_that_answers_no_ping_is_dropped(void **state)
{
    (void)state;
    struct echo x;
    struct mien_server_settings t = settings();
    t.socket_ping_ms = 100;
    start(&x, &t);
    const int silent = open_echo(&x);
    expect(silent, PING, "", 0);
    assert_int_equal(hear(silent).opcode, -1);
    assert_int_equal(next_code(&x, 0), 1006);
    close(silent);
    stop(&x);
    t.socket_ping_ms = 1500;
    start(&x, &t);
    const int alive = open_echo(&x);
    for (int i = 0; i < 2; i++) {
        expect(alive, PING, "", 0);
        tell(alive, FIN | PONG, "", 0);
    }
    tell_text(alive, "still here");
    expect_text(alive, "still here");
    leave(alive);
    stop(&x);
}

static void a_client_that_does_not_read_is_cut(void **state)
{
    (void)state;
    struct echo x;
    struct mien_server_settings t = settings();
    t.socket_max_waiting = 100000;
    start(&x, &t);
    const int fd = open_told(&x);
    tell_text(fd, "send 1 1000000 1000"); /* a gigabyte: no kernel holds that */
    assert_int_equal(next_code(&x, 0), 1006);
    close(fd);
    const int other = open_echo(&x); /* an answer that is longer than what may wait */
    static char data[LIMIT];
    memset(data, 'x', sizeof data);
    tell(other, FIN | TEXT, data, sizeof data);
    expect(other, TEXT, data, sizeof data);
    leave(other);
    stop(&x);
}

static void messages_count_as_bodies(void **state)
{
    (void)state;
    struct echo x;
    struct mien_server_settings t = settings();
    static char data[LIMIT];
    t.max_body_memory = 40000;
    start(&x, &t);
    memset(data, 'x', sizeof data);
    const int fd = open_echo(&x), held = open_echo(&x);
    tell(held, BINARY, data, 20000);
    tell(held, FIN | PING, "", 0);
    expect(held, PONG, "", 0);
    assert_true(mien_server_state(x.server).body_bytes >= 20000);
    tell(fd, FIN | TEXT, data, 30000);
    expect_end(fd, 1011);
    tell(held, FIN | MORE, "", 0);
    assert_int_equal(hear(held).opcode, TEXT);
    leave(held);
    stop(&x);
}

/* ---- the handler's side ---- */

static void the_server_closes(void **state)
{
    (void)state;
    struct echo x;
    struct mien_server_settings t = settings();
    t.socket_close_ms = 300;
    start(&x, &t);
    const int fd = open_told(&x);
    tell_text(fd, "close 1008 Replay attack detected");
    tell_text(fd, "what is sent after it is not answered");
    expect(fd, CLOSE, "\x03\xf0Replay attack detected", 24);
    tell_text(fd, "nor this");
    tell(fd, FIN | CLOSE, "\x03\xf0", 2);
    assert_int_equal(hear(fd).opcode, -1);
    assert_int_equal(next_code(&x, 0), 1008);
    close(fd);
    assert_int_equal(echo_count(&x, &x.messages), 1);
    const int deaf = open_told(&x); /* never answers the close: the deadline ends it */
    tell_text(deaf, "close 4000");
    expect(deaf, CLOSE, "\x0f\xa0", 2);
    assert_int_equal(hear(deaf).opcode, -1);
    assert_int_equal(next_code(&x, 1), 4000);
    close(deaf);
    stop(&x);
}

static void timers_and_jobs(void **state)
{
    (void)state;
    struct echo x;
    const struct mien_server_settings t = settings();
    start(&x, &t);
    const int fd = open_told(&x);
    tell_text(fd, "wake 1");
    expect_text(fd, "woke");
    tell_text(fd, "wake 100000000");
    tell_text(fd, "wake 20");
    expect_text(fd, "woke");
    tell_text(fd, "job");
    expect_text(fd, "job");
    leave(fd);
    stop(&x);
}

static void many_threads_send(void **state)
{
    (void)state;
    enum { THREADS = 16, EACH = 300 };
    struct echo x;
    struct mien_server_settings t = settings();
    int next[THREADS] = {0};
    t.socket_max_waiting = 64 << 20;
    start(&x, &t);
    const int fd = open_told(&x);
    tell_text(fd, "send 16 300 500");
    for (int i = 0; i < THREADS * EACH; i++) {
        int thread = -1, number = -1;
        const struct heard h = hear(fd);
        assert_int_equal(h.opcode, TEXT);
        assert_int_equal(h.n, 500);
        assert_int_equal(sscanf(h.data, "%d %d x", &thread, &number), 2);
        assert_in_range(thread, 0, THREADS - 1);
        assert_int_equal(number, next[thread]++); /* each thread's in order, none lost, none torn */
    }
    leave(fd);
    stop(&x);
}

/* Whole frames, then one close frame, then the end, whoever closes. */
static void close_while_threads_send(void **state)
{
    (void)state;
    struct echo x;
    struct mien_server_settings t = settings();
    t.socket_max_waiting = 1 << 30;
    start(&x, &t);
    for (int way = 0; way < 3; way++) {
        struct heard h;
        const int fd = open_told(&x);
        tell_text(fd, "send 4 20000 200");
        assert_int_equal(hear(fd).opcode, TEXT);
        if (way == 0) tell(fd, FIN | CLOSE, "\x03\xe8", 2);
        if (way == 1) tell_text(fd, "close 1000");
        if (way == 2) give(fd, "\xff", 1), give(fd, "\xff", 1), give(fd, "\0\0\0\0\0\1\0\0\0\0\0\0x", 13);
        while ((h = hear(fd)).opcode == TEXT) assert_int_equal(h.n, 200);
        assert_int_equal(h.opcode, CLOSE);
        if (way == 1) tell(fd, FIN | CLOSE, "\x03\xe8", 2);
        assert_int_equal(hear(fd).opcode, -1);
        close(fd);
        assert_int_equal(next_code(&x, way), way == 2 ? 1002 : 1000);
    }
    stop(&x);
}

/* ---- limits of connections, deadlines of HTTP, the end of the server ---- */

static void sockets_count_as_connections(void **state)
{
    (void)state;
    struct echo x;
    struct mien_server_settings t = settings();
    char head[2048];
    int fd[3];
    t.max_connections_per_address = 3;
    start(&x, &t);
    for (int i = 0; i < 3; i++) fd[i] = open_echo(&x);
    assert_int_equal(mien_server_state(x.server).connections, 3);
    const int refused = dial(&x);
    give(refused, HANDSHAKE("/echo"), strlen(HANDSHAKE("/echo")));
    assert_int_equal(hear_head(refused, head), 0);
    close(refused);
    leave(fd[1]);
    while (mien_server_state(x.server).connections > 2) wait_ms(2);
    fd[1] = open_echo(&x);
    for (int i = 0; i < 3; i++) leave(fd[i]);
    while (mien_server_state(x.server).connections > 0) wait_ms(2);
    stop(&x);
}

static void deadlines_of_http_do_not_end_sockets(void **state)
{
    (void)state;
    struct echo x;
    struct mien_server_settings t = settings();
    t.header_timeout_ms = t.body_timeout_ms = t.response_timeout_ms = 200;
    start(&x, &t);
    const int fd = open_echo(&x);
    wait_ms(1200);
    tell_text(fd, "a");
    expect_text(fd, "a");
    leave(fd);
    stop(&x);
}

static void the_end_of_the_server(void **state)
{
    (void)state;
    enum { MANY = 40 };
    struct echo x;
    struct mien_server_settings t = settings();
    int fd[MANY];
    t.socket_close_ms = 500;
    start(&x, &t);
    for (int i = 0; i < MANY; i++) fd[i] = i % 2 == 0 ? open_echo(&x) : open_told(&x);
    tell(fd[0], TEXT, "half a message", 14);
    tell_text(fd[1], "send 1 1000000 1000"); /* and does not read */
    tell_text(fd[3], "wake 100000000");
    assert_true(echo_stop(&x)); /* nobody answers the close frames: the deadline ends it */
    assert_int_equal(x.opened, MANY);
    assert_int_equal(x.closed, MANY);
    for (int i = 0; i < MANY; i++) {
        if (i == 1) close(fd[i]);
        else expect_end(fd[i], 1001);
    }
}

/* The server's end while clients come and go. */
static void the_end_amid_traffic(void **state)
{
    (void)state;
    for (int round = 0; round < 10; round++) {
        struct echo x;
        struct mien_server_settings t = settings();
        int fd[30];
        t.socket_close_ms = 200;
        start(&x, &t);
        for (int i = 0; i < 30; i++) {
            fd[i] = dial(&x);
            give(fd[i], HANDSHAKE("/told"), strlen(HANDSHAKE("/told")));
            tell_text(fd[i], i % 3 == 0 ? "send 1 50 1000" : "wake 1");
            if (i % 5 == 0) close(fd[i]);
        }
        wait_ms(round);
        assert_true(echo_stop(&x));
        assert_int_equal(x.opened + x.lost, x.closed);
        for (int i = 0; i < 30; i++)
            if (i % 5 != 0) close(fd[i]);
    }
}

static void *stop_it(void *arg)
{
    assert_true(mien_server_stop(&((struct echo *)arg)->server));
    return NULL;
}

/* A handshake that the server's end overtakes, while other sockets still close (round 0) or none is there any more. */
static void the_end_amid_a_handshake(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        struct echo x;
        struct mien_server_settings t = settings();
        pthread_t stopper;
        char head[2048];
        t.socket_close_ms = 1500;
        start(&x, &t);
        const int deaf = round == 0 ? open_echo(&x) : -1;
        echo_hold(&x, true);
        const int fd = dial(&x);
        give(fd, HANDSHAKE("/echo"), strlen(HANDSHAKE("/echo")));
        assert_true(echo_await(&x, &x.begun, round == 0 ? 2 : 1));
        assert_int_equal(pthread_create(&stopper, NULL, stop_it, &x), 0);
        wait_ms(200);
        echo_hold(&x, false);
        if (hear_head(fd, head) == 101 && round == 0) expect_end(fd, 1001);
        else close(fd);
        pthread_join(stopper, NULL);
        assert_int_equal(x.closed, x.opened + x.lost);
        assert_true(echo_stop(&x));
        if (deaf >= 0) close(deaf);
    }
}

/* Whatever the closing handshake may take, the server's end has a time. */
static void the_end_has_a_deadline(void **state)
{
    (void)state;
    struct echo x;
    struct mien_server_settings t = settings();
    t.socket_close_ms = 3600 * 1000;
    t.stop_timeout_ms = 300;
    start(&x, &t);
    const int deaf = open_echo(&x);
    assert_true(echo_stop(&x));
    assert_int_equal(x.code, 1001);
    expect_end(deaf, 1001);
}

/* The last test: the server stays. */
static void a_job_that_does_not_end(void **state)
{
    (void)state;
    static struct echo x;
    struct mien_server_settings t = settings();
    t.stop_timeout_ms = 300;
    start(&x, &t);
    const int fd = open_told(&x);
    echo_hold(&x, true);
    tell_text(fd, "job");
    expect_text(fd, "job");
    assert_false(mien_server_stop(&x.server));
    assert_null(x.server);
    const struct heard h = hear(fd);
    assert_true(h.opcode == CLOSE || h.opcode == -1);
    close(fd);
    assert_true(echo_await(&x, &x.closed, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(messages_of_all_sizes),
                                       cmocka_unit_test(exchanges),
                                       cmocka_unit_test(malformed_frames),
                                       cmocka_unit_test(close_codes),
                                       cmocka_unit_test(pings_of_all_sizes),
                                       cmocka_unit_test(floods_of_control_frames),
                                       cmocka_unit_test(handshakes),
                                       cmocka_unit_test(frames_behind_the_handshake),
                                       cmocka_unit_test(upgrade_of_a_kept_connection),
                                       cmocka_unit_test(abrupt_ends),
                                       cmocka_unit_test(gone_before_the_answer),
                                       cmocka_unit_test(a_client_that_answers_no_ping_is_dropped),
                                       cmocka_unit_test(a_client_that_does_not_read_is_cut),
                                       cmocka_unit_test(messages_count_as_bodies),
                                       cmocka_unit_test(the_server_closes),
                                       cmocka_unit_test(timers_and_jobs),
                                       cmocka_unit_test(many_threads_send),
                                       cmocka_unit_test(close_while_threads_send),
                                       cmocka_unit_test(sockets_count_as_connections),
                                       cmocka_unit_test(deadlines_of_http_do_not_end_sockets),
                                       cmocka_unit_test(the_end_of_the_server),
                                       cmocka_unit_test(the_end_amid_traffic),
                                       cmocka_unit_test(the_end_amid_a_handshake),
                                       cmocka_unit_test(the_end_has_a_deadline),
                                       cmocka_unit_test(a_job_that_does_not_end)};
    return cmocka_run_group_tests_name("websocket", tests, NULL, NULL);
}
