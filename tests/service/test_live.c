// Live sessions over real WebSockets, with networks, judge, scores, ledger and signer in the test's hands: what is said, in which order, what is on record when
// it is said, and that nothing is left when a socket, a worker or the server ends in between.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "codec/hex.h"
#include "service/exchange.h"
#include "service/live_inner.h"

enum { PATIENCE_S = 60, HEARD = 65536, ROWS = 4000 };

/* ---- what sessions use; these definitions come before those of the archives ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t change;
    bool gate;           /* frames wait until it opens */
    int analysing, analysed;
    uint8_t last;        /* third byte of the newest frame that was analysed */
    bool fail_writing;
    int n;
    struct { enum mien_audit_event event; char session[33], details[400]; } row[ROWS];
    char claims[2000], status[16], nonce_hash[65];
    bool mirrored;
} world = {.lock = PTHREAD_MUTEX_INITIALIZER, .change = PTHREAD_COND_INITIALIZER};

const char *mien_challenge_name(enum mien_challenge c) { return c == MIEN_SMILE ? "smile" : "blink"; }
const char *mien_challenge_instruction(enum mien_challenge c) { return c == MIEN_SMILE ? "Please smile" : "Blink"; }
bool mien_challenge_is_gesture(enum mien_challenge c) { return c < MIEN_SMILE; }
bool mien_challenge_available(enum mien_challenge c, unsigned have) { (void)c; return have != 0; }
unsigned mien_challenge_wants(enum mien_challenge c, unsigned have) { (void)c; return have; }
void mien_rest_look(struct mien_rest *r, const struct mien_look *look) { (void)r; (void)look; }

void mien_judge_begin(struct mien_judge *j, enum mien_challenge c, bool mirrored, const struct mien_rest *rest)
{
    (void)rest;
    *j = (struct mien_judge){.challenge = c, .mirrored = mirrored};
}

struct mien_judgement mien_judge_look(struct mien_judge *j, const struct mien_look *look)
{
    const bool passed = look->face != NULL && look->face->score > 0.5f;
    pthread_mutex_lock(&world.lock);
    world.mirrored = j->mirrored;
    pthread_mutex_unlock(&world.lock);
    return (struct mien_judgement){.passed = passed, .confidence = passed ? 0.9f : 0.1f, .hint = passed ? NULL : "A little more"};
}

struct mien_proof_settings mien_proof_settings_default(void) { return (struct mien_proof_settings){.pass = 0.70f}; }
struct mien_proof_score *mien_proof_score_create(const struct mien_proof_settings *s) { (void)s; return malloc(1); }
void mien_proof_score_free(struct mien_proof_score **p) { free(*p); *p = NULL; }
unsigned mien_proof_score_wants(const struct mien_proof_score *p) { (void)p; return 0; }
void mien_proof_score_look(struct mien_proof_score *p, const struct mien_look *look) { (void)p; (void)look; }
void mien_proof_score_challenge(struct mien_proof_score *p, bool is_expression, bool passed, float confidence)
{
    (void)p;
    (void)is_expression;
    (void)passed;
    (void)confidence;
}
struct mien_proof_scores mien_proof_score_now(const struct mien_proof_score *p)
{
    (void)p;
    return (struct mien_proof_scores){.liveness = {true, 0.9f}, .emotion = {true, 0.8f}, .final = 0.875f};
}

void mien_live_rules(const struct mien_service *service, struct mien_proof_rules *rules)
{
    (void)service;
    rules->have = MIEN_WANT_MESH;
}

/* A frame of the test is three bytes: faces (or 'x': no image), whether it shows what is asked, and a mark. */
enum mien_code mien_live_frame(struct mien_service *service, int worker, const uint8_t *image, size_t n, unsigned wants, struct mien_arena *arena,
                               struct mien_live_sight *out, struct mien_err *e)
{
    (void)service;
    (void)worker;
    (void)wants;
    pthread_mutex_lock(&world.lock);
    world.analysing++;
    pthread_cond_broadcast(&world.change);
    while (world.gate) pthread_cond_wait(&world.change, &world.lock);
    world.analysed++;
    world.last = n > 2 ? image[2] : 0;
    pthread_cond_broadcast(&world.change);
    pthread_mutex_unlock(&world.lock);
    MIEN_FAIL_IF(n < 3 || image[0] == 'x', e, MIEN_E_IMAGE_CORRUPT, "not a frame");
    *out = (struct mien_live_sight){.faces = {.count = image[0]}, .width = 640, .height = 480};
    out->faces.face = mien_arena_calloc(arena, 2, sizeof *out->faces.face);
    out->faces.face[0] = (struct mien_face){.box = {10, 20, 210, 260}, .score = image[1] ? 1.0f : 0.0f};
    return MIEN_OK;
}

enum mien_code mien_ledger_write(struct mien_ledger *l, const struct mien_ledger_step *step, struct mien_err *e)
{
    (void)l;
    pthread_mutex_lock(&world.lock);
    const bool fail = world.fail_writing;
    for (int i = 0; i < step->n_rows && !fail && world.n < ROWS; i++, world.n++) {
        world.row[world.n].event = step->row[i].event;
        snprintf(world.row[world.n].session, sizeof world.row[0].session, "%s", step->row[i].session_id);
        snprintf(world.row[world.n].details, sizeof world.row[0].details, "%s", step->row[i].details);
    }
    if (!fail && step->session != NULL) snprintf(world.status, sizeof world.status, "%s", step->session->status);
    if (!fail && step->nonce != NULL) snprintf(world.nonce_hash, sizeof world.nonce_hash, "%s", step->nonce->nonce_hash);
    pthread_cond_broadcast(&world.change);
    pthread_mutex_unlock(&world.lock);
    MIEN_FAIL_IF(fail, e, MIEN_E_STORE, "the disk is full");
    return MIEN_OK;
}

enum mien_code mien_jwt_sign(struct mien_signer *s, const char *claims, size_t n, struct mien_buf *token, struct mien_err *e)
{
    (void)s;
    pthread_mutex_lock(&world.lock);
    snprintf(world.claims, sizeof world.claims, "%.*s", (int)n, claims);
    pthread_mutex_unlock(&world.lock);
    MIEN_FAIL_IF(!mien_buf_adds(token, "a.b.c"), e, MIEN_E_NOMEM, "out of memory");
    return MIEN_OK;
}

static void open_gate(bool closed)
{
    pthread_mutex_lock(&world.lock);
    world.gate = closed;
    pthread_cond_broadcast(&world.change);
    pthread_mutex_unlock(&world.lock);
}

static void until(int *counter, int wanted)
{
    pthread_mutex_lock(&world.lock);
    while (*counter < wanted) pthread_cond_wait(&world.change, &world.lock);
    pthread_mutex_unlock(&world.lock);
}

static int count_rows(enum mien_audit_event event, const char *session, const char *details)
{
    int n = 0;
    pthread_mutex_lock(&world.lock);
    for (int i = 0; i < world.n; i++)
        n += world.row[i].event == event && (session == NULL || strcmp(world.row[i].session, session) == 0) &&
             (details == NULL || strstr(world.row[i].details, details) != NULL);
    pthread_mutex_unlock(&world.lock);
    return n;
}

/* ---- a server with nothing but live sessions ---- */

static struct { struct mien_service service; struct mien_live *live; struct mien_server *server; struct mien_http_handler handler; } here;

static enum mien_plan on_begin(void *context, struct mien_request *q, struct mien_response *r, size_t *max_body)
{
    (void)context;
    (void)r;
    (void)max_body;
    mien_live_upgrade(here.live, q);
    return MIEN_PLAN_UPGRADE;
}

static void on_refuse(void *context, struct mien_request *q, struct mien_response *r, enum mien_refusal why, const char *detail)
{
    (void)context;
    (void)q;
    (void)why;
    (void)detail;
    r->status = 503;
}

static void on_done(void *context, struct mien_request *q, int status, size_t bytes)
{
    (void)context;
    (void)q;
    (void)status;
    (void)bytes;
}

static struct mien_live_settings usual(void)
{
    static char something;
    struct mien_live_settings s;
    mien_live_settings_default(&s);
    s.signer = (struct mien_signer *)(void *)&something;
    s.ledger = (struct mien_ledger *)(void *)&something;
    s.rules.n_fixed = 3;
    s.rules.fixed[0] = MIEN_BLINK;
    s.rules.fixed[1] = MIEN_SMILE;
    s.rules.fixed[2] = MIEN_TURN_LEFT;
    s.rules.gap_ms = s.rules.challenge_ms = s.rules.session_ms = s.rules.first_frame_ms = 1000 * PATIENCE_S; /* no test depends on how fast it runs */
    return s;
}

static void start(const struct mien_live_settings *settings, int queue_limit)
{
    struct mien_err e = {0};
    struct mien_server_settings s;
    world.n = world.analysing = world.analysed = 0;
    world.gate = world.fail_writing = world.mirrored = false;
    here.service = (struct mien_service){.started_ns = 0};
    assert_int_equal(mien_keep_create(1000, NULL, &here.service.keep, &e), MIEN_OK);
    assert_int_equal(mien_live_create(settings, &here.service, &here.live, &e), MIEN_OK);
    here.handler = (struct mien_http_handler){.begin = on_begin, .refuse = on_refuse, .done = on_done};
    mien_server_settings_default(&s);
    s.port = 0;
    s.workers = 2;
    s.queue_limit = queue_limit;
    assert_int_equal(mien_server_start(&s, &here.handler, &here.server, &e), MIEN_OK);
}

static void stop(void)
{
    assert_true(mien_server_stop(&here.server));
    assert_int_equal(mien_live_state(here.live).open, 0);
    mien_live_free(&here.live);
    mien_keep_free(&here.service.keep);
}

static void invite(char id[33])
{
    struct mien_err e = {0};
    assert_int_equal(mien_live_invite(here.live, "anna", "127.0.0.1", id, &e), MIEN_OK);
    assert_int_equal(strspn(id, "0123456789abcdef"), 32);
}

/* ---- a client ---- */

struct client { int fd; char heard[HEARD]; int code; char reason[124]; char nonce[33], challenge[33]; int64_t stamp; };

static bool give(int fd, const void *data, size_t n) { return send(fd, data, n, MSG_NOSIGNAL) == (ssize_t)n; }

static bool take(int fd, void *data, size_t n)
{
    for (size_t at = 0; at < n;) {
        const ssize_t got = recv(fd, (char *)data + at, n - at, 0);
        if (got <= 0) return false;
        at += (size_t)got;
    }
    return true;
}

static void dial(struct client *c, const char *id)
{
    const struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)mien_server_port(here.server)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    char text[512];
    size_t n = 0;
    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM, 0), .stamp = 1000};
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(c->fd, (const struct sockaddr *)&a, sizeof a), 0);
    snprintf(text, sizeof text,
             "GET /ws/verify/%s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", id);
    assert_true(give(c->fd, text, strlen(text)));
    while (n < sizeof text - 1 && (n < 4 || memcmp(text + n - 4, "\r\n\r\n", 4) != 0) && recv(c->fd, text + n, 1, 0) == 1) n++;
    text[n] = '\0';
    assert_int_equal(strncmp(text, "HTTP/1.1 101", 12), 0);
}

static void hang_up(struct client *c) { close(c->fd); }

static bool send_message(struct client *c, bool binary, const void *data, size_t n)
{
    const bool small = n < 126;
    uint8_t message[512] = {(uint8_t)(0x80 | (binary ? 2 : 1)), 0x80 | (uint8_t)(small ? n : 126), (uint8_t)(n >> 8), (uint8_t)n};
    const size_t head = small ? 6 : 8;
    assert_true(n <= sizeof message - head);
    memset(message + head - 4, 0, 4); /* a mask of zeros: the bytes stay as they are */
    memcpy(message + head, data, n);
    return give(c->fd, message, head + n);
}

static bool send_text(struct client *c, const char *text) { return send_message(c, false, text, strlen(text)); }

static bool send_frame_as(struct client *c, const char *nonce, int faces, int passes, int mark)
{
    uint8_t data[27];
    c->stamp += 100;
    for (int i = 0; i < 8; i++) data[i] = (uint8_t)((uint64_t)c->stamp >> 8 * i);
    for (int i = 0; i < 16; i++) data[8 + i] = (uint8_t)(mien_hex_digit(nonce[2 * i]) << 4 | mien_hex_digit(nonce[2 * i + 1]));
    data[24] = (uint8_t)faces;
    data[25] = (uint8_t)passes;
    data[26] = (uint8_t)mark;
    return send_message(c, true, data, sizeof data);
}

static bool send_frame(struct client *c, int faces, int passes, int mark) { return send_frame_as(c, c->nonce, faces, passes, mark); }

static void copy_member(const char *json, const char *name, char out[33])
{
    const char *at = strstr(json, name);
    assert_non_null(at);
    snprintf(out, 33, "%.32s", at + strlen(name));
}

/* The next message in c->heard; false at the close, with its code. */
static bool hear(struct client *c)
{
    uint8_t head[4];
    size_t n;
    c->heard[0] = '\0';
    if (!take(c->fd, head, 2)) return false;
    n = head[1] & 127;
    if (n == 126) {
        assert_true(take(c->fd, head + 2, 2));
        n = (size_t)head[2] << 8 | head[3];
    }
    assert_true(n < HEARD && take(c->fd, c->heard, n));
    c->heard[n] = '\0';
    if ((head[0] & 15) == 8) {
        c->code = (uint8_t)c->heard[0] << 8 | (uint8_t)c->heard[1];
        snprintf(c->reason, sizeof c->reason, "%s", n > 2 ? c->heard + 2 : "");
        return false;
    }
    if (strstr(c->heard, "\"type\":\"challenge_issued\"") == NULL) return true;
    copy_member(c->heard, "\"nonce\":\"", c->nonce);
    copy_member(c->heard, "\"challenge_id\":\"", c->challenge);
    return true;
}

static bool hear_type(struct client *c, const char *type)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "{\"type\":\"%s\"", type);
    while (hear(c))
        if (strncmp(c->heard, wanted, strlen(wanted)) == 0) return true;
    return false;
}

static void must_close(struct client *c, int code, const char *reason)
{
    while (hear(c)) continue;
    assert_int_equal(c->code, code);
    assert_string_equal(c->reason, reason);
    hang_up(c);
}

static void join(struct client *c, char id[33])
{
    invite(id);
    dial(c, id);
    assert_true(hear_type(c, "challenge_issued"));
}

/* ---- tests ---- */

static void a_session_goes_from_invitation_to_token(void **state)
{
    (void)state;
    struct client c;
    char id[33];
    struct mien_live_settings s = usual();
    s.audience = "shop";
    start(&s, 8);
    join(&c, id);
    assert_non_null(strstr(c.heard, "\"challenge\":\"blink\",\"type\":\"gesture\",\"instruction\":\"Blink\""));
    assert_non_null(strstr(c.heard, "\"challenge_number\":1,\"total_challenges\":3"));
    assert_int_equal(count_rows(MIEN_AUDIT_SESSION_START, id, NULL), 1); /* before it is said */
    for (int i = 0; i < 3; i++) {
        send_frame(&c, 1, 0, 0);
        assert_true(hear_type(&c, "feedback"));
        assert_non_null(strstr(c.heard, "\"face_present\":true,\"faces\":1,\"box\":{\"x\":10,\"y\":20,\"width\":200,\"height\":240}"));
        assert_non_null(strstr(c.heard, "\"hint\":\"A little more\""));
        assert_non_null(strstr(c.heard, "\"liveness_score\":0.9,\"emotion_score\":0.8,\"deepfake_score\":null"));
        usleep(120000); /* ten frames a second */
        send_frame(&c, 1, 1, 0);
        assert_true(hear_type(&c, "challenge_completed"));
        assert_int_equal(count_rows(MIEN_AUDIT_CHALLENGE_COMPLETED, id, "\"confidence\":0.9"), i + 1);
        assert_true(hear_type(&c, "score_update"));
        assert_true(hear_type(&c, i < 2 ? "challenge_issued" : "verification_success"));
        usleep(120000);
    }
    assert_non_null(strstr(c.heard, "\"token\":\"a.b.c\""));
    assert_non_null(strstr(c.heard, "\"final_score\":0.875,\"expires_in_minutes\":15"));
    assert_int_equal(count_rows(MIEN_AUDIT_TOKEN_ISSUANCE, id, "jti"), 1);
    assert_int_equal(count_rows(MIEN_AUDIT_VERIFICATION_RESULT, id, "\"passed\":true"), 1);
    assert_string_equal(world.status, "passed");
    must_close(&c, 1000, "Verified");
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"session_id\":\"%s\"", id);
    assert_non_null(strstr(world.claims, wanted));
    assert_non_null(strstr(world.claims, "\"iss\":\"proof-of-life-auth\",\"sub\":\"anna\",\"user_id\":\"anna\""));
    assert_non_null(strstr(world.claims, "\"aud\":\"shop\",\"final_score\":0.875,\"verification_score\":0.875,\"iat\":"));
    assert_int_equal(mien_live_state(here.live).passed, 1);
    stop();
    assert_int_equal(count_rows(MIEN_AUDIT_SESSION_TERMINATED, id, NULL), 0);
}

static void a_session_id_opens_one_socket_once(void **state)
{
    (void)state;
    struct client c, d;
    char id[33];
    const struct mien_live_settings s = usual();
    start(&s, 8);
    join(&c, id);
    static const char *const WRONG[] = {"0123456789abcdef0123456789abcdef", "0", "", "..", "%00", "0123456789ABCDEF0123456789ABCDEF"};
    dial(&d, id);
    must_close(&d, 1008, "Invalid session");
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        dial(&d, WRONG[i]);
        must_close(&d, 1008, "Invalid session");
    }
    send_frame(&c, 1, 0, 0); /* the first goes on */
    assert_true(hear_type(&c, "feedback"));
    hang_up(&c);
    stop();
    assert_int_equal(count_rows(MIEN_AUDIT_SESSION_START, NULL, NULL), 1);
    assert_int_equal(count_rows(MIEN_AUDIT_SESSION_TERMINATED, id, "Disconnected"), 1);
    assert_string_equal(world.status, "terminated");
}

static void a_wrong_nonce_is_refused_and_recorded(void **state)
{
    (void)state;
    struct client c;
    char id[33];
    const struct mien_live_settings s = usual();
    start(&s, 8);
    join(&c, id);
    send_frame_as(&c, "00112233445566778899aabbccddeeff", 1, 1, 0);
    assert_true(hear_type(&c, "verification_failed"));
    assert_non_null(strstr(c.heard, "\"reason\":\"Invalid nonce\",\"threshold\":0.7"));
    must_close(&c, 1008, "Invalid nonce");
    stop();
    assert_int_equal(count_rows(MIEN_AUDIT_SECURITY_EVENT, id, "invalid_nonce"), 1);
    assert_int_equal(count_rows(MIEN_AUDIT_SESSION_TERMINATED, id, "Invalid nonce"), 1);
    assert_null(strstr(world.nonce_hash, c.nonce));
    assert_int_equal(strlen(world.nonce_hash), 64);
}

static void frames_may_come_as_json(void **state)
{
    (void)state;
    struct client c;
    char id[33], text[400];
    const struct mien_live_settings s = usual();
    start(&s, 8);
    join(&c, id);
    snprintf(text, sizeof text, "{\"type\":\"video_frame\",\"frame\":\"data:image/jpeg;base64,AQEH\",\"timestamp\":5000.25,\"nonce\":\"%s\",\"mirrored\":true}",
             c.nonce);
    send_text(&c, text);
    assert_true(hear_type(&c, "challenge_completed"));
    assert_true(world.mirrored);
    assert_int_equal(world.last, 7);
    assert_true(hear_type(&c, "challenge_issued"));
    usleep(120000);
    snprintf(text, sizeof text, "{\"nonce\":\"%s\",\"type\":\"video_frame\",\"frame\":\"AQEI\",\"timestamp\":5100}", c.nonce);
    send_text(&c, text);
    assert_true(hear_type(&c, "challenge_completed"));
    assert_true(hear_type(&c, "challenge_issued"));
    usleep(120000);
    snprintf(text, sizeof text, "{\"nonce\":\"%s\",\"type\":\"video_frame\",\"frame\":\"AQEI\",\"timestamp\":5100}", c.nonce); /* the same time again */
    send_text(&c, text);
    must_close(&c, 1008, "Replay attack detected");
    stop();
}

static void nonsense_is_answered_and_ends_the_session_when_it_is_too_much(void **state)
{
    (void)state;
    static const char *const TEXT[] = {"", "x", "[]", "{}", "{\"type\":5}", "{\"type\":\"video_frame\"}", "{\"type\":\"video_frame\",\"frame\":\"AQEH\"}",
        "{\"type\":\"video_frame\",\"frame\":\"AQEH\",\"timestamp\":-1,\"nonce\":\"\"}", "{\"type\":\"video_frame\",\"frame\":\"AQEH\",\"timestamp\":1}",
        "{\"type\":\"video_frame\",\"frame\":\"=\",\"timestamp\":1,\"nonce\":\"\"}", "{\"type\":\"video_frame\",\"frame\":[],\"timestamp\":1,\"nonce\":\"\"}",
        "{\"type\":\"video_frame\",\"frame\":\"data:x,AQEH\",\"timestamp\":1,\"nonce\":\"\"}", "{\"type\":\"a\",\"type\":\"b\"}"};
    enum { N = sizeof TEXT / sizeof TEXT[0] };
    struct client c;
    char id[33];
    const struct mien_live_settings s = usual();
    start(&s, 8);
    join(&c, id);
    for (size_t i = 0; i < N; i++) {
        send_text(&c, TEXT[i]);
        assert_true(hear_type(&c, "error"));
        assert_non_null(strstr(c.heard, "\"code\":\""));
    }
    for (int i = 0; i < 3; i++) {
        send_message(&c, true, "0123456789012345678901234567890", i == 0 ? 0 : i == 1 ? 24 : 30); /* the last: a stamp beyond 2^53 */
        assert_true(hear_type(&c, "error"));
    }
    send_frame(&c, 'x', 0, 0);
    assert_true(hear_type(&c, "error"));
    assert_non_null(strstr(c.heard, "invalid_image"));
    usleep(120000);
    send_frame(&c, 1, 1, 0); /* it goes on */
    assert_true(hear_type(&c, "challenge_completed"));
    for (int i = 0; i < 3; i++) send_text(&c, "x");
    must_close(&c, 1008, "Max failures");
    stop();
    assert_int_equal(count_rows(MIEN_AUDIT_SECURITY_EVENT, id, "invalid_messages"), 1);
}

static void the_newest_frame_wins(void **state)
{
    (void)state;
    struct client c;
    char id[33];
    const struct mien_live_settings s = usual();
    start(&s, 8);
    join(&c, id);
    open_gate(true);
    for (int i = 1; i <= 4; i++) {
        send_frame(&c, 1, 0, i);
        if (i == 1) until(&world.analysing, 1);
        usleep(150000);
    }
    while (mien_live_state(here.live).dropped < 2) usleep(1000);
    open_gate(false);
    until(&world.analysed, 2);
    assert_int_equal(world.last, 4);
    send_text(&c, "{\"type\":\"challenge_complete\"}");
    assert_true(hear_type(&c, "challenge_failed"));
    assert_int_equal(world.analysed, 2);
    hang_up(&c);
    stop();
}

static void more_than_ten_frames_a_second_are_not_analysed(void **state)
{
    (void)state;
    struct client c;
    char id[33];
    const struct mien_live_settings s = usual();
    start(&s, 8);
    join(&c, id);
    const uint64_t begun = mien_now_ns();
    for (int i = 0; i < 50; i++) send_frame(&c, 1, 0, i);
    send_text(&c, "{\"type\":\"challenge_complete\"}");
    assert_true(hear_type(&c, "challenge_failed"));
    assert_true(world.analysed <= 2 + (int)(mien_elapsed_ms(begun) / 100.0));
    assert_true(mien_live_state(here.live).dropped + (unsigned)world.analysed == 50);
    hang_up(&c);
    stop();
}

static void a_claim_waits_for_the_frames_before_it(void **state)
{
    (void)state;
    struct client c;
    char id[33];
    const struct mien_live_settings s = usual();
    start(&s, 8);
    join(&c, id);
    open_gate(true);
    send_frame(&c, 1, 1, 0);
    until(&world.analysing, 1);
    send_text(&c, "{\"type\":\"challenge_complete\"}");
    usleep(50000);
    open_gate(false);
    assert_true(hear(&c)); /* feedback */
    assert_true(hear(&c));
    assert_int_equal(strncmp(c.heard, "{\"type\":\"challenge_completed\"", 29), 0);
    hang_up(&c);
    stop();
    assert_int_equal(count_rows(MIEN_AUDIT_CHALLENGE_FAILED, NULL, NULL), 0);
}

static void without_record_there_is_no_token(void **state)
{
    (void)state;
    struct client c;
    char id[33];
    struct mien_live_settings s = usual();
    s.rules.n_fixed = 2;
    start(&s, 8);
    join(&c, id);
    send_frame(&c, 1, 1, 0);
    assert_true(hear_type(&c, "challenge_issued"));
    usleep(120000);
    pthread_mutex_lock(&world.lock);
    world.fail_writing = true;
    pthread_mutex_unlock(&world.lock);
    send_frame(&c, 1, 1, 0);
    assert_true(hear_type(&c, "error"));
    assert_non_null(strstr(c.heard, "internal_error"));
    must_close(&c, 1011, "Internal error");
    stop();
}

static void too_many_sessions_are_sent_away(void **state)
{
    (void)state;
    struct client c, d;
    char id[33], other[33];
    struct mien_live_settings s = usual();
    s.max_sessions = 1;
    start(&s, 8);
    join(&c, id);
    invite(other);
    dial(&d, other);
    must_close(&d, 1013, "Try again later");
    hang_up(&c);
    while (mien_live_state(here.live).open > 0) usleep(1000);
    dial(&d, other); /* its invitation still holds */
    assert_true(hear_type(&d, "challenge_issued"));
    hang_up(&d);
    stop();
}

static void time_ends_a_session_without_frames(void **state)
{
    (void)state;
    struct client c;
    char id[33];
    struct mien_live_settings s = usual();
    s.rules.first_frame_ms = 50;
    start(&s, 8);
    join(&c, id);
    assert_true(hear_type(&c, "verification_failed"));
    must_close(&c, 1008, "Session timeout");
    stop();
    assert_int_equal(count_rows(MIEN_AUDIT_SESSION_TERMINATED, id, "Session timeout"), 1);
    assert_int_equal(count_rows(MIEN_AUDIT_SECURITY_EVENT, NULL, NULL), 0);
}

static void a_client_that_vanishes_leaves_nothing(void **state)
{
    (void)state;
    struct client c;
    char id[33];
    const struct mien_live_settings s = usual();
    start(&s, 8);
    join(&c, id);
    open_gate(true);
    send_frame(&c, 1, 1, 0);
    until(&world.analysing, 1);
    send_frame(&c, 1, 1, 0); /* one that waits */
    hang_up(&c);
    usleep(50000);
    open_gate(false);
    while (mien_live_state(here.live).open > 0) usleep(1000);
    assert_int_equal(count_rows(MIEN_AUDIT_SESSION_TERMINATED, id, "Disconnected"), 1);
    stop();
}

static void the_end_of_the_server_ends_its_sessions(void **state)
{
    (void)state;
    struct client c, d;
    char id[33], other[33];
    const struct mien_live_settings s = usual();
    start(&s, 8);
    join(&c, id);
    join(&d, other);
    send_frame(&c, 1, 0, 0);
    stop();
    must_close(&c, 1001, "");
    must_close(&d, 1001, "");
    assert_int_equal(count_rows(MIEN_AUDIT_SESSION_TERMINATED, NULL, "Disconnected"), 2);
}

/* Many sessions at once over two workers and a queue that is always full: each goes its whole way, or vanishes anywhere on it. */
static void *one_of_many(void *arg)
{
    const unsigned seed = (unsigned)(uintptr_t)arg;
    for (unsigned round = 0; round < 3; round++) {
        struct client *c = calloc(1, sizeof *c);
        char id[33];
        const unsigned leave = (seed * 7 + round * 3) % 9; /* frames until it vanishes; 6 and more: never */
        invite(id);
        dial(c, id);
        bool on = hear_type(c, "challenge_issued");
        for (unsigned i = 0; on && i < 300; i++) {
            if (i == leave && leave < 6) break;
            if (!send_frame(c, 1, i % 2 == 1, (int)i) || !hear(c)) break;
            usleep(20000);
        }
        hang_up(c);
        free(c);
    }
    return NULL;
}

static void many_sessions_at_once(void **state)
{
    (void)state;
    enum { MANY = 12 };
    pthread_t thread[MANY];
    const struct mien_live_settings s = usual();
    start(&s, 1);
    for (uintptr_t i = 0; i < MANY; i++) assert_int_equal(pthread_create(&thread[i], NULL, one_of_many, (void *)i), 0);
    for (int i = 0; i < MANY; i++) pthread_join(thread[i], NULL);
    stop();
    const int started = count_rows(MIEN_AUDIT_SESSION_START, NULL, NULL), results = count_rows(MIEN_AUDIT_VERIFICATION_RESULT, NULL, NULL);
    const int gone = count_rows(MIEN_AUDIT_SESSION_TERMINATED, NULL, "Disconnected");
    assert_int_equal(started, 3 * MANY);
    assert_int_equal(results + gone, started); /* every session has exactly one end */
    assert_true(count_rows(MIEN_AUDIT_TOKEN_ISSUANCE, NULL, NULL) > 0);
}

static void invitations_are_checked(void **state)
{
    (void)state;
    struct mien_err e = {0};
    char id[33];
    struct mien_live_settings s = usual();
    start(&s, 8);
    assert_int_equal(mien_live_invite(here.live, "", "x", id, &e), MIEN_E_ARG);
    assert_int_equal(mien_live_invite(here.live, "a\nb", "x", id, &e), MIEN_E_ARG);
    stop();
    s.ledger = NULL;
    start(&s, 8);
    assert_int_equal(mien_live_invite(here.live, "anna", "x", id, &e), MIEN_E_STORE);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_goes_from_invitation_to_token),
        cmocka_unit_test(a_session_id_opens_one_socket_once),
        cmocka_unit_test(a_wrong_nonce_is_refused_and_recorded),
        cmocka_unit_test(frames_may_come_as_json),
        cmocka_unit_test(nonsense_is_answered_and_ends_the_session_when_it_is_too_much),
        cmocka_unit_test(the_newest_frame_wins),
        cmocka_unit_test(more_than_ten_frames_a_second_are_not_analysed),
        cmocka_unit_test(a_claim_waits_for_the_frames_before_it),
        cmocka_unit_test(without_record_there_is_no_token),
        cmocka_unit_test(too_many_sessions_are_sent_away),
        cmocka_unit_test(time_ends_a_session_without_frames),
        cmocka_unit_test(a_client_that_vanishes_leaves_nothing),
        cmocka_unit_test(the_end_of_the_server_ends_its_sessions),
        cmocka_unit_test(many_sessions_at_once),
        cmocka_unit_test(invitations_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
