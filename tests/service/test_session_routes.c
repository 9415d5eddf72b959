/* The routes of sessions without any network: what happens when there is no room, no signer, no ledger, and what a value of another form is. Everything else is
 * tests/http/run_sessions. Every answer is held against its row. */
#include "support/requests.h"

#include "base/clock.h"
#include "base/log.h"
#include "service/exchange.h"
#include "service/openapi.h"

static struct mien_models *models;
static struct mien_signer *signer;

static int set_up(void **state)
{
    (void)state;
    static const char EMPTY[] = "{\"version\":1,\"pack\":\"test\",\"roles\":{},\"models\":[]}";
    mien_log_set_level(MIEN_LOG_OFF);
    if (mien_models_parse(EMPTY, sizeof EMPTY - 1, "/nonexistent", NULL, &models, NULL) != MIEN_OK) return 1;
    return mien_signer_open(NULL, 900, &signer, NULL, NULL) == MIEN_OK ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    mien_signer_free(&signer);
    mien_models_free(&models);
    return 0;
}

static struct mien_service *make(struct mien_signer *with)
{
    struct mien_service_settings s;
    struct mien_service *service;
    struct mien_err e = {0};
    mien_service_settings_default(&s);
    s.live.signer = with;
    if (mien_service_create(&s, models, &service, &e) != MIEN_OK) fail_msg("%s", e.msg);
    return service;
}

static struct answer checked(struct mien_service *service, struct mien_request *q)
{
    char room[160], allow[64];
    const struct mien_route *r = mien_route_find(q->method, q->path, allow);
    struct answer a = request_run(mien_service_handler(service), q);
    const char *wrong = a.status == 200 && r->fields != NULL ? mien_answer_differs(r->fields, a.json, room) : NULL;
    if (wrong != NULL) fail_msg("%s: %s in %s", r->path, wrong, a.body);
    return a;
}

static struct answer post(struct mien_service *service, const char *path, const char *body)
{
    struct mien_request *q = request_new(MIEN_POST, path);
    request_json(q, body);
    return checked(service, q);
}

static struct answer get(struct mien_service *service, const char *path) { return checked(service, request_new(MIEN_GET, path)); }

static void expect(struct answer a, int status, const char *code)
{
    if (a.status != status || strcmp(answer_code(&a), code) != 0) fail_msg("%d %s\n  expected %d %s", a.status, a.body, status, code);
    answer_free(&a);
}

static const char *text(const struct mien_json *object, const char *name) { return mien_json_string(mien_json_get(object, name), ""); }

static void there_is_room_for_so_many_sessions(void **state)
{
    (void)state;
    struct mien_service *service = make(NULL);
    mien_keep_free(&service->keep);
    assert_int_equal(mien_keep_create(2, NULL, &service->keep, NULL), MIEN_OK);
    expect(post(service, "/challenge/session", "{}"), 200, "");
    struct answer a = post(service, "/challenge/session", "{}");
    expect(post(service, "/challenge/session", "{}"), 503, "overloaded");
    char path[80];
    snprintf(path, sizeof path, "/challenge/session/%s", text(a.json, "sessionId"));
    expect(get(service, path), 200, "");
    answer_free(&a);
    mien_service_free(&service);
}

static size_t write_text(void *context, const uint8_t *old, size_t n, uint8_t room[MIEN_KEEP_VALUE])
{
    (void)old;
    (void)n;
    memcpy(room, context, strlen(context));
    return strlen(context);
}

/* What another version may have kept. */
static void a_value_of_another_form_is_no_session(void **state)
{
    (void)state;
    struct mien_service *service = make(NULL);
    char *const value[] = {"\1", "\2\2\1\1\1", "\1\2\3\1\1", "\1\2\1\1", "\1\2\1\1\1\1", "\1\2\1\1\x0f", "\1\2\1\1\xe1", "\1\x09\1\1\1\1\1\1\1\1\1\1"};
    for (size_t i = 0; i < sizeof value / sizeof *value; i++) {
        char key[64], path[80];
        snprintf(key, sizeof key, "challenge:%032zx", i);
        snprintf(path, sizeof path, "/challenge/session/%032zx", i);
        assert_int_equal(mien_keep_update(service->keep, key, 100, mien_now_ns(), write_text, value[i], NULL), MIEN_OK);
        expect(get(service, path), 404, "session_not_found");
    }
    const char *key = "challenge:ffffffffffffffffffffffffffffffff";
    assert_int_equal(mien_keep_update(service->keep, key, 100, mien_now_ns(), write_text, "\1\2\1\x31\1", NULL), MIEN_OK);
    struct answer a = get(service, "/challenge/session/ffffffffffffffffffffffffffffffff");
    assert_int_equal(a.status, 200);
    assert_int_equal(mien_json_integer(mien_json_get(a.json, "currentIndex"), -1), 1);
    assert_string_equal(text(a.json, "assurance"), "client");
    answer_free(&a);
    mien_service_free(&service);
}

static void without_a_signer(void **state)
{
    (void)state;
    struct mien_service *service = make(NULL);
    struct answer a = post(service, "/token/validate", "{\"token\":\"a.b.c\"}");
    assert_int_equal(a.status, 503);
    assert_string_equal(answer_code(&a), "store_unavailable");
    const struct mien_json *error = mien_json_get(a.json, "error");
    assert_string_equal(text(error, "category"), "server");
    assert_true(mien_json_bool(mien_json_get(error, "recoverable"), false));
    answer_free(&a);
    expect(get(service, "/.well-known/jwks.json"), 503, "store_unavailable");
    a = post(service, "/auth/verify", "{\"user_id\":\"anna\"}");
    assert_int_equal(a.status, 503);
    assert_non_null(mien_json_get(mien_json_get(a.json, "error"), "message"));
    answer_free(&a);
    mien_service_free(&service);
}

static void a_token_is_validated(void **state)
{
    (void)state;
    struct mien_service *service = make(signer);
    struct mien_buf token;
    char claims[200], body[9000];
    const int64_t now_s = mien_utc_ms() / 1000;
    mien_buf_init(&token, MIEN_JWT_BYTES);
    snprintf(claims, sizeof claims, "{\"iss\":\"%s\",\"user_id\":\"anna\",\"session_id\":\"s\",\"iat\":%lld,\"exp\":%lld}", MIEN_TOKEN_ISSUER, (long long)now_s,
             (long long)now_s + 60);
    assert_int_equal(mien_jwt_sign(signer, claims, strlen(claims), &token, NULL), MIEN_OK);
    snprintf(body, sizeof body, "{\"token\":\"%.*s\"}", (int)token.len, token.data);
    struct answer a = post(service, "/token/validate", body);
    assert_int_equal(a.status, 200);
    assert_string_equal(text(a.json, "user_id"), "anna");
    assert_true(mien_json_integer(mien_json_get(a.json, "expires_at"), 0) == now_s + 60);
    answer_free(&a);
    a = post(service, "/api/token/validate", "{\"token\":\"a.b.c\"}");
    assert_int_equal(a.status, 401);
    assert_string_equal(answer_header(&a, "WWW-Authenticate"), "Bearer realm=\"mien\", error=\"invalid_token\"");
    assert_false(mien_json_bool(mien_json_get(a.json, "valid"), true));
    assert_string_equal(text(mien_json_get(a.json, "error"), "code"), "invalid_token");
    answer_free(&a);
    a = get(service, "/.well-known/jwks.json");
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_header(&a, "Cache-Control"), "public, max-age=300");
    assert_int_equal(mien_json_size(mien_json_get(a.json, "keys")), 1);
    answer_free(&a);
    mien_buf_free(&token);
    mien_service_free(&service);
}

static void the_socket_is_handed_over(void **state)
{
    (void)state;
    struct mien_service *service = make(signer);
    struct answer a = request_run(mien_service_handler(service), request_new(MIEN_GET, "/ws/verify/0123456789abcdef0123456789abcdef"));
    assert_int_equal(a.status, 101);
    answer_free(&a);
    mien_service_free(&service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(there_is_room_for_so_many_sessions), cmocka_unit_test(a_value_of_another_form_is_no_session),
                                       cmocka_unit_test(without_a_signer), cmocka_unit_test(a_token_is_validated),
                                       cmocka_unit_test(the_socket_is_handed_over)};
    return cmocka_run_group_tests_name("service/session_routes", tests, set_up, tear_down);
}
