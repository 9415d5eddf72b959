/* The service over the real route table without images: who may come in, headers of every answer, the status routes, the documentation, metrics, the rate
 * limit. Handlers that look at photos are replaced here: this file is about what happens around them. */
#include "support/requests.h"

#include <sys/stat.h>
#include <unistd.h>

#include "service/handlers.h"
#include "service/openapi.h"
#include "service/problem.h"
#include "service/service.h"

static uint64_t last_client;

static enum mien_code nothing(struct mien_call *c, struct mien_err *e)
{
    last_client = c->client;
    return MIEN_FAIL(e, MIEN_E_NO_FACE, "No face detected in image");
}
enum mien_code mien_do_detect(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_embed(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_compare(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_batch_embed(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_analyze(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_liveness(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_antispoof(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_face_match(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_verify_document(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_smile_check(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_blink_check(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_head_pose(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_head_turn_check(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_challenge_validate(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_challenge_validate_multi(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_enroll(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_enroll_frames(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_unenroll(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_gallery(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_search(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_verify_user(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_verify_frames(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_gallery_import(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_keys_rotate(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_main(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }
enum mien_code mien_do_identity(struct mien_call *c, struct mien_err *e) { return nothing(c, e); }

#define KEY_ALL "abcdefghijklmnop"
#define KEY_ANALYZE "analyze-only-key-1"
#define KEY_ADMIN "admin.only.key.22"
#define KEYS KEY_ALL " phone:" KEY_ANALYZE "=analyze,session; ops:" KEY_ADMIN "=admin,gallery:read"

static struct mien_models *models;
static struct mien_service *service;

static void open_service(const struct mien_service_settings *s)
{
    struct mien_err e = {0};
    mien_service_free(&service);
    if (mien_service_create(s, models, &service, &e) != MIEN_OK) fail_msg("%s", e.msg);
}

static struct mien_service_settings settings(void)
{
    struct mien_service_settings s;
    mien_service_settings_default(&s);
    return s;
}

static int set_up(void **state)
{
    (void)state;
    static const char EMPTY[] = "{\"version\":1,\"pack\":\"test\",\"roles\":{},\"models\":[]}";
    return mien_models_parse(EMPTY, sizeof EMPTY - 1, "/nonexistent", NULL, &models, NULL) == MIEN_OK ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    mien_service_free(&service);
    mien_models_free(&models);
    return 0;
}

static struct answer run(struct mien_request *q) { return request_run(mien_service_handler(service), q); }

/* A request with up to three headers. */
static struct answer ask(enum mien_method method, const char *path, const char *const header[6])
{
    struct mien_request *q = request_new(method, path);
    for (int i = 0; i < 6 && header[i] != NULL; i += 2) request_header(q, header[i], header[i + 1]);
    if (method == MIEN_POST) request_json(q, "{\"image\":\"YQ\"}");
    return run(q);
}
#define ASK(method, path, ...) ask(method, path, (const char *const[6]){__VA_ARGS__})

static void expect(struct answer a, int status, const char *code)
{
    if (a.status != status || strcmp(answer_code(&a), code) != 0) fail_msg("expected %d %s: %d %s", status, code, a.status, a.body);
    answer_free(&a);
}

/* ---- keys ---- */

static void keys_open_what_their_scopes_say(void **state)
{
    (void)state;
    struct mien_service_settings s = settings();
    s.api_keys = KEYS;
    open_service(&s);
    assert_true(mien_service_has_keys(service));
    struct answer a = ASK(MIEN_POST, "/detect", NULL);
    assert_string_equal(answer_header(&a, "WWW-Authenticate"), "Bearer realm=\"mien\"");
    expect(a, 401, "unauthorized");
    expect(ASK(MIEN_POST, "/detect", "X-API-Key", KEY_ALL), 400, "no_face");
    const uint64_t first = last_client;
    expect(ASK(MIEN_POST, "/detect", "Authorization", "Bearer " KEY_ANALYZE), 400, "no_face");
    assert_true(last_client != first);
    expect(ASK(MIEN_POST, "/detect", "authorization", "bearer  " KEY_ALL), 400, "no_face");
    assert_true(last_client == first); /* the same key is the same client */
    expect(ASK(MIEN_POST, "/detect", "X-API-Key", KEY_ADMIN), 403, "forbidden");
    expect(ASK(MIEN_GET, "/metrics", "X-API-Key", KEY_ANALYZE), 403, "forbidden");
    expect(ASK(MIEN_GET, "/metrics", NULL), 401, "unauthorized");
    expect(ASK(MIEN_GET, "/metrics", "X-API-Key", KEY_ADMIN), 200, "");
    expect(ASK(MIEN_GET, "/livez", NULL), 200, "");
    static const char *const WRONG[] = {"", "abcdefghijklmno", "abcdefghijklmnopq", "Abcdefghijklmnop", "phone:" KEY_ANALYZE, "phone", KEY_ALL "="};
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++) expect(ASK(MIEN_POST, "/detect", "X-API-Key", WRONG[i]), 401, "unauthorized");
    for (int i = 0; i < 1000; i++) {
        char key[32];
        snprintf(key, sizeof key, "guessed-key-%06d", i);
        expect(ASK(MIEN_POST, "/detect", "X-API-Key", key), 401, "unauthorized");
    }
    expect(ASK(MIEN_POST, "/detect", "Authorization", "Basic " KEY_ALL), 401, "unauthorized");
    expect(ASK(MIEN_GET, "/nowhere", NULL), 404, "not_found");
    expect(ASK(MIEN_POST, "/detect", "Origin", "http://evil.example", "X-API-Key", KEY_ALL), 400, "no_face"); /* the key is what counts */
}

static void wrong_keys_stop_the_start(void **state)
{
    (void)state;
    static const char *const BAD[] = {"short", "abcdefghijklmno", "abcdefghijklmnop=", "abcdefghijklmnop=analyse", "abcdefghijklmnop=,analyze",
                                      ":abcdefghijklmnop", "na me:x", "n/a:abcdefghijklmnop", "abcdefghijklmno\xc3\xa9",
                                      "abcdefghijklmnop a:abcdefghijklmnop", "a:b:abcdefghijklmnop"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        struct mien_service_settings s = settings();
        struct mien_service *made = NULL;
        struct mien_err e = {0};
        s.api_keys = BAD[i];
        if (mien_service_create(&s, models, &made, &e) != MIEN_E_CONFIG) fail_msg("%s was taken", BAD[i]);
        assert_null(made);
        assert_non_null(strstr(e.msg, "API_KEYS"));
        assert_null(strstr(e.msg, "abcdefgh"));
    }
}

static void key_files_are_private(void **state)
{
    (void)state;
    char path[] = "/tmp/mien-keys-XXXXXX";
    static const char TEXT[] = "# keys of the office\nphone:" KEY_ANALYZE "=analyze # its name\n\n" KEY_ALL "\n";
    struct mien_service *made = NULL;
    struct mien_err e = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, TEXT, sizeof TEXT - 1), (int)sizeof TEXT - 1);
    close(fd);
    struct mien_service_settings s = settings();
    s.api_keys_file = path;
    chmod(path, 0640);
    assert_int_equal(mien_service_create(&s, models, &made, &e), MIEN_E_CONFIG);
    assert_non_null(strstr(e.msg, "chmod 600"));
    chmod(path, 0600);
    open_service(&s);
    expect(ASK(MIEN_POST, "/detect", "X-API-Key", KEY_ALL), 400, "no_face");
    expect(ASK(MIEN_POST, "/detect", "X-API-Key", KEY_ANALYZE), 400, "no_face");
    expect(ASK(MIEN_POST, "/detect", NULL), 401, "unauthorized");
    unlink(path);
    assert_int_equal(mien_service_create(&s, models, &made, &e), MIEN_E_CONFIG);
}

/* ---- browsers ---- */

static void without_keys_only_this_machine_asks(void **state)
{
    (void)state;
    struct mien_service_settings s = settings();
    s.allowed_hosts = "face.example, other.example";
    s.cors_origins = "https://app.example,https://two.example";
    open_service(&s);
    static const char *const HOSTS[] = {"localhost", "LOCALHOST:8000", "127.0.0.1:8000", "127.1.2.3", "[::1]:8000", "[::1]", "face.example:80",
                                        "Other.Example"};
    static const char *const FOREIGN[] = {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]", "", "face.example.org",
                                          "[::1"};
    for (size_t i = 0; i < sizeof HOSTS / sizeof *HOSTS; i++) expect(ASK(MIEN_POST, "/detect", "Host", HOSTS[i]), 400, "no_face");
    for (size_t i = 0; i < sizeof FOREIGN / sizeof *FOREIGN; i++) expect(ASK(MIEN_POST, "/detect", "Host", FOREIGN[i]), 403, "forbidden");
    expect(ASK(MIEN_POST, "/detect", "Host", "localhost:8000", "Origin", "http://localhost:8000"), 400, "no_face");
    expect(ASK(MIEN_POST, "/detect", "Host", "localhost:8000", "Origin", "http://localhost:9000"), 403, "forbidden");
    expect(ASK(MIEN_POST, "/detect", "Host", "localhost:8000", "Origin", "null"), 403, "forbidden");
    expect(ASK(MIEN_POST, "/detect", "Host", "localhost:8000", "Origin", "https://app.example.evil"), 403, "forbidden");
    struct answer a = ASK(MIEN_POST, "/detect", "Host", "localhost:8000", "Origin", "https://two.example");
    assert_string_equal(answer_header(&a, "Access-Control-Allow-Origin"), "https://two.example");
    assert_string_equal(answer_header(&a, "Vary"), "Origin");
    assert_non_null(strstr(answer_header(&a, "Access-Control-Expose-Headers"), "Retry-After"));
    assert_string_equal(answer_header(&a, "Cross-Origin-Resource-Policy"), "cross-origin");
    expect(a, 400, "no_face");
    a = ASK(MIEN_POST, "/detect", "Host", "localhost", "Origin", "https://evil.example");
    assert_null(answer_header(&a, "Access-Control-Allow-Origin"));
    expect(a, 403, "forbidden");
}

static void preflights(void **state)
{
    (void)state;
    struct mien_service_settings s = settings();
    s.cors_origins = "https://app.example";
    s.api_keys = KEYS;
    open_service(&s);
    struct answer a = ASK(MIEN_OPTIONS, "/detect", "Origin", "https://app.example", "Access-Control-Request-Method", "POST");
    assert_int_equal(a.status, 204);
    assert_string_equal(answer_header(&a, "Access-Control-Allow-Origin"), "https://app.example");
    assert_string_equal(answer_header(&a, "Access-Control-Allow-Methods"), "POST, OPTIONS");
    assert_non_null(strstr(answer_header(&a, "Access-Control-Allow-Headers"), "X-API-Key"));
    answer_free(&a);
    a = ASK(MIEN_OPTIONS, "/detect", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST");
    assert_null(answer_header(&a, "Access-Control-Allow-Origin"));
    assert_null(answer_header(&a, "Access-Control-Allow-Methods"));
    answer_free(&a);
    expect(ASK(MIEN_OPTIONS, "/nowhere", "Origin", "https://app.example", "Access-Control-Request-Method", "POST"), 404, "not_found");
}

static void addresses_behind_proxies(void **state)
{
    (void)state;
    struct mien_service_settings s = settings();
    s.trusted_proxies = "127.0.0.1, 10.0.0.2";
    s.rate_limit = 0.001;
    s.rate_burst = 1;
    open_service(&s);
    expect(ASK(MIEN_POST, "/detect", "X-Forwarded-For", "203.0.113.5"), 400, "no_face");
    expect(ASK(MIEN_POST, "/detect", "X-Forwarded-For", "1.1.1.1, 203.0.113.5,10.0.0.2"), 429, "rate_limited"); /* the same client */
    expect(ASK(MIEN_POST, "/detect", "X-Forwarded-For", "203.0.113.6"), 400, "no_face");
    expect(ASK(MIEN_POST, "/detect", "X-Forwarded-For", "2001:DB8::1"), 400, "no_face");
    expect(ASK(MIEN_POST, "/detect", "X-Forwarded-For", "2001:db8:0::1"), 429, "rate_limited");
    expect(ASK(MIEN_POST, "/detect", "X-Forwarded-For", "9.9.9.9", "X-Forwarded-For", "203.0.113.5"), 429, "rate_limited"); /* a proxy adds its own line */
    expect(ASK(MIEN_POST, "/detect", "X-Forwarded-For", "nonsense"), 400, "no_face"); /* the proxy's own address */
    expect(ASK(MIEN_POST, "/detect", NULL), 429, "rate_limited");
    struct mien_request *q = request_new(MIEN_POST, "/detect"); /* who is no proxy forwards for nobody */
    snprintf(q->peer, sizeof q->peer, "198.51.100.1");
    request_header(q, "X-Forwarded-For", "203.0.113.77");
    request_json(q, "{\"image\":\"YQ\"}");
    expect(run(q), 400, "no_face");
    expect(ASK(MIEN_POST, "/detect", "X-Forwarded-For", "203.0.113.77"), 400, "no_face");
}

/* ---- limits, methods, headers ---- */

static void rates(void **state)
{
    (void)state;
    struct mien_service_settings s = settings();
    s.rate_limit = 0.01;
    s.rate_burst = 3;
    s.api_keys = KEYS;
    open_service(&s);
    for (int i = 0; i < 3; i++) expect(ASK(MIEN_POST, "/detect", "X-API-Key", KEY_ALL), 400, "no_face");
    struct answer a = ASK(MIEN_POST, "/detect", "X-API-Key", KEY_ALL);
    const char *wait = answer_header(&a, "Retry-After");
    assert_non_null(wait);
    assert_in_range(strtol(wait, NULL, 10), 1, 100);
    expect(a, 429, "rate_limited");
    expect(ASK(MIEN_POST, "/detect", "X-API-Key", KEY_ANALYZE), 400, "no_face"); /* another key, another bucket */
    for (int i = 0; i < 3; i++) expect(ASK(MIEN_POST, "/detect", "X-API-Key", "not-a-key-at-all-"), 401, "unauthorized");
    expect(ASK(MIEN_POST, "/detect", "X-API-Key", "not-a-key-at-all-"), 429, "rate_limited"); /* keys cannot be tried at any speed */
    for (int i = 0; i < 10; i++) expect(ASK(MIEN_GET, "/livez", NULL), 200, "");
}

static void unknown_paths_and_methods(void **state)
{
    (void)state;
    struct mien_service_settings s = settings();
    open_service(&s);
    static const char *const UNKNOWN[] = {"/nowhere", "/detect/", "/Detect", "//detect", "/docs/", "/docs/none.js", "/docs/../metrics"};
    for (size_t i = 0; i < sizeof UNKNOWN / sizeof *UNKNOWN; i++) expect(ASK(MIEN_GET, UNKNOWN[i], NULL), 404, "not_found");
    static const enum mien_method METHODS[] = {MIEN_GET, MIEN_HEAD, MIEN_PUT, MIEN_DELETE, MIEN_PATCH, MIEN_OTHER_METHOD};
    for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++) {
        struct answer a = ASK(METHODS[i], "/detect", NULL);
        assert_string_equal(answer_header(&a, "Allow"), "POST");
        expect(a, 405, "method_not_allowed");
    }
    struct answer a = ASK(MIEN_POST, "/health", NULL);
    assert_string_equal(answer_header(&a, "Allow"), "GET, HEAD");
    expect(a, 405, "method_not_allowed");
    a = ASK(MIEN_OPTIONS, "/health", NULL);
    assert_int_equal(a.status, 204);
    assert_string_equal(answer_header(&a, "Allow"), "GET, HEAD, OPTIONS");
    answer_free(&a);
    expect(ASK(MIEN_HEAD, "/livez", NULL), 200, "");
}

static void every_answer_is_armed(void **state)
{
    (void)state;
    static const char *const PATHS[] = {"/", "/health", "/metrics", "/openapi.json", "/docs", "/detect", "/nowhere"};
    struct mien_service_settings s = settings();
    open_service(&s);
    for (size_t i = 0; i < sizeof PATHS / sizeof *PATHS; i++) {
        struct answer a = ASK(MIEN_GET, PATHS[i], NULL);
        assert_null(answer_header(&a, "X-Request-Id")); /* the server's own */
        assert_string_equal(answer_header(&a, "Cache-Control"), "no-store");
        assert_string_equal(answer_header(&a, "X-Content-Type-Options"), "nosniff");
        assert_string_equal(answer_header(&a, "X-Frame-Options"), "DENY");
        assert_string_equal(answer_header(&a, "Referrer-Policy"), "no-referrer");
        assert_string_equal(answer_header(&a, "Cross-Origin-Resource-Policy"), "same-origin");
        assert_non_null(strstr(answer_header(&a, "Content-Security-Policy"), "default-src 'none'"));
        answer_free(&a);
    }
    const struct mien_http_handler *h = mien_service_handler(service);
    static const struct { enum mien_refusal why; int status; const char *code; } REFUSED[] = {
        {MIEN_REFUSE_MALFORMED, 400, "bad_request"}, {MIEN_REFUSE_TOO_LARGE, 413, "too_large"}, {MIEN_REFUSE_OVERLOADED, 503, "overloaded"},
        {MIEN_REFUSE_TIMEOUT, 408, "request_timeout"}, {MIEN_REFUSE_INTERNAL, 500, "internal_error"}};
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++) {
        struct mien_request *q = request_new(MIEN_POST, "/detect");
        struct mien_response r = {.status = 200};
        mien_buf_init(&r.body, 65536);
        h->refuse(h->context, q, &r, REFUSED[i].why, "two lengths");
        assert_int_equal(r.status, REFUSED[i].status);
        assert_non_null(strstr(r.body.data, REFUSED[i].code));
        assert_true((strstr(r.body.data, "two lengths") != NULL) == (REFUSED[i].why == MIEN_REFUSE_MALFORMED));
        bool retry = false;
        for (int k = 0; k < r.n_headers; k++) {
            retry = retry || strcmp(r.header[k].name, "Retry-After") == 0;
            free(r.header[k].value);
        }
        assert_true(retry == (REFUSED[i].status == 503));
        mien_buf_free(&r.body);
        h->done(h->context, q, r.status, 0);
        free(q);
    }
}

/* ---- status routes ---- */

static void health_says_what_is_missing(void **state)
{
    (void)state;
    struct mien_service_settings s = settings();
    open_service(&s);
    struct answer a = ASK(MIEN_GET, "/health", NULL);
    assert_int_equal(a.status, 503); /* the test's pack is empty */
    assert_string_equal(mien_json_string(mien_json_get(a.json, "status"), ""), "unhealthy");
    assert_string_equal(mien_json_string(mien_json_get(a.json, "service"), ""), "mien");
    assert_false(mien_json_bool(mien_json_get(a.json, "model_loaded"), true));
    assert_true(mien_json_is_null(mien_json_get(a.json, "model_name")));
    char room[160];
    assert_null(mien_answer_differs(mien_routes[1].fields, a.json, room));
    answer_free(&a);
    a = ASK(MIEN_GET, "/readyz", NULL);
    assert_int_equal(a.status, 503);
    assert_string_equal(mien_json_string(mien_json_get(a.json, "status"), ""), "starting");
    answer_free(&a);
    int anything;
    mien_service_attach(service, (struct mien_server *)(void *)&anything);
    expect(ASK(MIEN_GET, "/readyz", NULL), 200, "");
    mien_service_stopping(service);
    expect(ASK(MIEN_GET, "/readyz", NULL), 503, "");
    expect(ASK(MIEN_GET, "/livez", NULL), 200, "");
}

static void root_is_for_programs_and_people(void **state)
{
    (void)state;
    struct mien_service_settings s = settings();
    open_service(&s);
    struct answer a = ASK(MIEN_GET, "/", "Accept", "*/*");
    assert_int_equal(a.status, 200);
    assert_string_equal(mien_json_string(mien_json_get(a.json, "documentation"), ""), "/docs");
    answer_free(&a);
    a = ASK(MIEN_GET, "/", "Accept", "text/html,application/xhtml+xml,application/json;q=0.9");
    assert_int_equal(a.status, 302);
    assert_string_equal(answer_header(&a, "Location"), "/docs");
    answer_free(&a);
    a = ASK(MIEN_GET, "/", "Accept", "application/json, text/html;q=0.1");
    assert_int_equal(a.status, 200);
    answer_free(&a);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Deepest first, the folder itself last. */
static void remove_files(const char *dir, const char *const *file, size_t n)
{
    char path[256];
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, file[i]);
        assert_int_equal(remove(path), 0);
    }
}

static void documentation_files(void **state)
{
    (void)state;
    char dir[] = "/tmp/mien-web-XXXXXX", path[256];
    struct mien_service_settings s = settings();
    open_service(&s);
    struct answer a = ASK(MIEN_GET, "/docs", NULL);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "/head-turn-check"));
    assert_non_null(strstr(a.type, "text/html"));
    answer_free(&a);

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/docs", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(dir, "docs/index.html", "<html>viewer</html>");
    write_file(dir, "docs/viewer.js", "plain");
    write_file(dir, "docs/viewer.js.gz", "zipped");
    write_file(dir, "docs/Odd Name.js", "no");
    write_file(dir, "docs/secret.key", "no");
    s.web_dir = dir;
    open_service(&s);
    a = ASK(MIEN_GET, "/docs", NULL);
    assert_string_equal(a.body, "<html>viewer</html>");
    assert_non_null(strstr(answer_header(&a, "Content-Security-Policy"), "script-src 'self'"));
    answer_free(&a);
    a = ASK(MIEN_GET, "/docs/viewer.js", NULL);
    assert_string_equal(a.body, "plain");
    assert_string_equal(a.type, "text/javascript; charset=utf-8");
    assert_null(answer_header(&a, "Content-Encoding"));
    answer_free(&a);
    a = ASK(MIEN_GET, "/docs/viewer.js", "Accept-Encoding", "br, gzip");
    assert_string_equal(a.body, "zipped");
    assert_string_equal(answer_header(&a, "Content-Encoding"), "gzip");
    assert_string_equal(answer_header(&a, "Vary"), "Accept-Encoding");
    answer_free(&a);
    expect(ASK(MIEN_GET, "/docs/secret.key", NULL), 404, "not_found");
    expect(ASK(MIEN_GET, "/docs/Odd Name.js", NULL), 404, "not_found");
    expect(ASK(MIEN_GET, "/docs/viewer.js.gz", NULL), 404, "not_found");
    expect(ASK(MIEN_GET, "/docs/viewer.js", "Host", "evil.example"), 403, "forbidden");
    static const char *const FILES[] = {"docs/index.html", "docs/viewer.js", "docs/viewer.js.gz", "docs/Odd Name.js", "docs/secret.key", "docs", ""};
    remove_files(dir, FILES, sizeof FILES / sizeof *FILES);
}

static void the_web_page(void **state)
{
    (void)state;
    char dir[] = "/tmp/mien-web-XXXXXX", path[256];
    static const char *const FILES[] = {"index.html", "mien-verify.js", "assets/page-1a.js", "assets", ""};
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/assets", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(dir, "index.html", "<html>page</html>");
    write_file(dir, "mien-verify.js", "element");
    write_file(dir, "assets/page-1a.js", "part");
    struct mien_service_settings s = settings();
    s.web_dir = dir;
    s.cors_origins = "https://listed.example";
    open_service(&s);
    struct answer a = ASK(MIEN_GET, "/", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "<html>page</html>");
    const char *policy = answer_header(&a, "Content-Security-Policy");
    assert_non_null(strstr(policy, "default-src 'self'; "));
    assert_non_null(strstr(policy, "frame-ancestors 'none'"));
    assert_null(strstr(policy, "unsafe"));
    assert_non_null(strstr(answer_header(&a, "Permissions-Policy"), "camera=(self)"));
    assert_string_equal(answer_header(&a, "Cache-Control"), "no-store");
    answer_free(&a);
    a = ASK(MIEN_GET, "/", "Accept", "application/json");
    assert_string_equal(mien_json_string(mien_json_get(a.json, "service"), ""), "mien");
    assert_null(answer_header(&a, "Permissions-Policy"));
    answer_free(&a);
    a = ASK(MIEN_GET, "/assets/page-1a.js", NULL); /* the name changes with what is in it */
    assert_string_equal(a.body, "part");
    assert_non_null(strstr(answer_header(&a, "Cache-Control"), "immutable"));
    assert_string_equal(answer_header(&a, "Cross-Origin-Resource-Policy"), "same-origin");
    answer_free(&a);
    a = ASK(MIEN_GET, "/mien-verify.js", "Origin", "https://listed.example"); /* for pages of other sites */
    assert_string_equal(a.body, "element");
    assert_string_equal(answer_header(&a, "Cross-Origin-Resource-Policy"), "cross-origin");
    assert_string_equal(answer_header(&a, "Access-Control-Allow-Origin"), "*");
    assert_string_equal(answer_header(&a, "Cache-Control"), "no-store");
    answer_free(&a);
    expect(ASK(MIEN_POST, "/mien-verify.js", NULL), 404, "not_found");
    expect(ASK(MIEN_GET, "/assets/", NULL), 404, "not_found");
    expect(ASK(MIEN_GET, "//index.html", NULL), 404, "not_found");
    remove_files(dir, FILES, sizeof FILES / sizeof *FILES);
}

/* ---- OpenAPI ---- */

static const struct mien_json *at(const struct mien_json *v, const char *a, const char *b, const char *c)
{
    v = mien_json_get(v, a);
    if (b != NULL) v = mien_json_get(v, b);
    return c != NULL ? mien_json_get(v, c) : v;
}

static bool lists(const struct mien_json *names, const char *name)
{
    for (size_t i = 0; i < mien_json_size(names); i++)
        if (strcmp(mien_json_string(mien_json_at(names, i), ""), name) == 0) return true;
    return false;
}

static void check_members(const struct mien_json *schema, const struct mien_member *members)
{
    const struct mien_json *properties = mien_json_get(schema, "properties");
    assert_non_null(properties);
    for (const struct mien_member *m = members; m->name != NULL; m++) {
        const struct mien_json *one = mien_json_get(properties, m->name);
        if (one == NULL) fail_msg("%s is not in the document", m->name);
        if (m->kind == MIEN_KIND_ITEMS) check_members(mien_json_get(one, "items"), m->sub);
        if (m->kind == MIEN_KIND_NUMBER && (m->low != 0 || m->high != 0)) {
            assert_true(mien_json_number(mien_json_get(one, "minimum"), -99) == m->low);
            assert_true(mien_json_number(mien_json_get(one, "maximum"), -99) == m->high);
        }
        char other[64];
        for (const char *also = m->also; also != NULL; also = strchr(also, '|'), also = also != NULL ? also + 1 : NULL) {
            snprintf(other, sizeof other, "%.*s", (int)strcspn(also, "|"), also);
            assert_non_null(mien_json_get(properties, other));
        }
        assert_true(lists(mien_json_get(schema, "required"), m->name) == (m->required && m->also == NULL));
    }
}

static void check_fields(const struct mien_json *schema, const struct mien_field *fields)
{
    const struct mien_json *properties = mien_json_get(schema, "properties");
    size_t n = 0;
    for (const struct mien_field *f = fields; f->name != NULL; f++, n++) {
        const struct mien_json *one = mien_json_get(properties, f->name);
        assert_non_null(one);
        assert_true(mien_json_is_array(mien_json_get(one, "type")) == f->nullable);
        assert_true(lists(mien_json_get(schema, "required"), f->name) == !f->optional);
        if (f->kind == MIEN_OUT_OBJECT) check_fields(one, f->sub);
        if (f->kind == MIEN_OUT_OBJECTS) check_fields(mien_json_get(one, "items"), f->sub);
    }
    assert_int_equal(mien_json_size(properties), n);
}

static void check_references(const struct mien_json *root, const struct mien_json *v)
{
    const char *key;
    for (size_t i = 0; i < mien_json_size(v); i++) {
        const struct mien_json *one = mien_json_is_array(v) ? mien_json_at(v, i) : mien_json_member(v, i, &key);
        if (mien_json_is_object(v) && strcmp(key, "$ref") == 0) {
            char kind[32] = "", name[64] = "";
            const char *to = mien_json_string(one, "");
            assert_int_equal(strncmp(to, "#/components/", 13), 0);
            snprintf(kind, sizeof kind, "%.*s", (int)strcspn(to + 13, "/"), to + 13);
            snprintf(name, sizeof name, "%s", strrchr(to, '/') + 1);
            if (at(root, "components", kind, name) == NULL) fail_msg("%s leads nowhere", to);
        }
        check_references(root, one);
    }
}

/* The schema of one row: of several, the one with its summary as the title. */
static const struct mien_json *of_row(const struct mien_json *schema, const struct mien_route *r)
{
    const struct mien_json *any = mien_json_get(schema, "anyOf");
    for (size_t i = 0; i < mien_json_size(any); i++)
        if (strcmp(mien_json_string(mien_json_get(mien_json_at(any, i), "title"), ""), r->summary) == 0) return mien_json_at(any, i);
    return any == NULL ? schema : NULL;
}

static void check_operation(const struct mien_json *root, const struct mien_route *r)
{
    static const char *const KEY[] = {[MIEN_GET] = "get", [MIEN_POST] = "post", [MIEN_DELETE] = "delete"};
    const struct mien_json *op = at(root, "paths", r->path, KEY[r->method]);
    if (op == NULL) fail_msg("%s is not in the document", r->path);
    const struct mien_json *body = at(op, "requestBody", "content", NULL), *answers = mien_json_get(op, "responses");
    const struct mien_json *json = of_row(at(body, "application/json", "schema", NULL), r), *form = of_row(at(body, "multipart/form-data", "schema", NULL), r);
    if ((r->takes & MIEN_TAKES_JSON) != 0 && r->members != NULL) check_members(json, r->members);
    if (r->takes & MIEN_TAKES_MULTIPART) check_members(form, r->members);
    if (r->takes & MIEN_TAKES_RAW) assert_non_null(mien_json_get(body, "image/*"));
    if (r->takes & MIEN_TAKES_LINES) assert_non_null(mien_json_get(body, "application/x-ndjson"));
    if (r->fields != NULL) check_fields(of_row(at(mien_json_get(answers, "200"), "content", "application/json", "schema"), r), r->fields);
    assert_true((mien_json_get(op, "security") != NULL) == (r->scope != MIEN_SCOPE_NONE));
    const bool socket = (r->takes & MIEN_TAKES_UPGRADE) != 0;
    assert_true((mien_json_get(answers, "422") != NULL) == (r->members != NULL && !socket));
    assert_true((mien_json_get(answers, "101") != NULL && mien_json_get(answers, "426") != NULL && mien_json_get(answers, "200") == NULL) == socket);
    assert_true(mien_route_first(r) == r || r->when != NULL);
}

static bool is_new_path(int i)
{
    for (int k = 0; k < i; k++)
        if (strcmp(mien_routes[k].path, mien_routes[i].path) == 0) return false;
    return true;
}

static void the_document_has_every_route_and_member(void **state)
{
    (void)state;
    struct mien_service_settings s = settings();
    open_service(&s);
    struct answer a = ASK(MIEN_GET, "/openapi.json", NULL);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.type, "application/json");
    assert_string_equal(mien_json_string(mien_json_get(a.json, "openapi"), ""), "3.1.0");
    size_t paths = 0;
    for (int i = 0; i < mien_route_count; i++) {
        paths += is_new_path(i);
        check_operation(a.json, &mien_routes[i]);
    }
    assert_int_equal(mien_json_size(mien_json_get(a.json, "paths")), paths);
    assert_non_null(at(a.json, "components", "securitySchemes", "bearer"));
    check_references(a.json, a.json);
    answer_free(&a);
}

static void answers_are_held_against_their_rows(void **state)
{
    (void)state;
    static const struct mien_field inner[] = {{.name = "x", .kind = MIEN_OUT_INTEGER}, {.name = NULL}};
    static const struct mien_field row[] = {{.name = "n", .kind = MIEN_OUT_NUMBER, .nullable = true},
                                            {.name = "list", .kind = MIEN_OUT_OBJECTS, .sub = inner},
                                            {.name = "map", .kind = MIEN_OUT_MAP, .optional = true},
                                            {.name = NULL}};
    static const char *const GOOD[] = {"{\"n\":1.5,\"list\":[]}", "{\"n\":null,\"list\":[{\"x\":1},{\"x\":2}],\"map\":{\"a\":1}}"};
    static const char *const BAD[] = {"[]", "{\"list\":[]}", "{\"n\":1}", "{\"n\":\"1\",\"list\":[]}", "{\"n\":1,\"list\":null}", "{\"n\":1,\"list\":[{}]}",
                                      "{\"n\":1,\"list\":[{\"x\":1.5}]}", "{\"n\":1,\"list\":[],\"more\":1}", "{\"n\":1,\"list\":[],\"map\":{\"a\":\"b\"}}",
                                      "{\"n\":1,\"list\":[{\"x\":1,\"y\":2}]}"};
    char room[160];
    struct mien_json *json = NULL;
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        assert_int_equal(mien_json_parse(GOOD[i], strlen(GOOD[i]), &json, NULL), MIEN_OK);
        assert_null(mien_answer_differs(row, json, room));
        mien_json_free(&json);
    }
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        assert_int_equal(mien_json_parse(BAD[i], strlen(BAD[i]), &json, NULL), MIEN_OK);
        if (mien_answer_differs(row, json, room) == NULL) fail_msg("%s passed", BAD[i]);
        mien_json_free(&json);
    }
}

/* ---- metrics, problems ---- */

static double metric(const char *text, const char *name)
{
    char line[256];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *p = strstr(text, line);
    return p != NULL ? strtod(p + strlen(line), NULL) : -1.0;
}

static void metrics_count(void **state)
{
    (void)state;
    struct mien_service_settings s = settings();
    open_service(&s);
    int anything;
    for (int i = 0; i < 3; i++) expect(ASK(MIEN_POST, "/detect", NULL), 400, "no_face");
    expect(ASK(MIEN_GET, "/livez", NULL), 200, "");
    expect(ASK(MIEN_GET, "/nowhere", NULL), 404, "not_found");
    mien_service_attach(service, (struct mien_server *)(void *)&anything);
    struct answer a = ASK(MIEN_GET, "/metrics", NULL);
    assert_string_equal(a.type, "text/plain; version=0.0.4; charset=utf-8");
    assert_true(metric(a.body, "mien_requests_total{route=\"/detect\",method=\"POST\",status=\"400\"}") == 3.0);
    assert_true(metric(a.body, "mien_requests_total{route=\"/livez\",method=\"GET\",status=\"200\"}") == 1.0);
    assert_true(metric(a.body, "mien_requests_total{route=\"\",method=\"\",status=\"404\"}") == 1.0);
    assert_true(metric(a.body, "mien_request_duration_seconds_count{route=\"/detect\",method=\"POST\"}") == 3.0);
    assert_true(metric(a.body, "mien_request_duration_seconds_bucket{route=\"/detect\",method=\"POST\",le=\"+Inf\"}") == 3.0);
    assert_true(metric(a.body, "mien_rejected_total{reason=\"no_face\"}") == 3.0);
    assert_true(metric(a.body, "mien_rejected_total{reason=\"rate_limited\"}") == 0.0);
    assert_true(metric(a.body, "mien_queue_depth") == 2.0);
    assert_true(metric(a.body, "mien_workers_busy") == 1.0);
    assert_true(metric(a.body, "mien_connections") == 3.0);
    assert_true(metric(a.body, "process_resident_memory_bytes") > 1e6);
    assert_true(metric(a.body, "mien_uptime_seconds") >= 0.0);
    /* Every line is a comment or `name{labels} number`, and every name has its HELP and TYPE. */
    for (const char *line = a.body; *line != 0; line = strchr(line, '\n') + 1) {
        char name[128], help[160];
        if (line[0] == '#') continue;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(line, "{ "), line);
        static const char *const ENDS[] = {"_bucket", "_sum", "_count"};
        snprintf(help, sizeof help, "# TYPE %s ", name);
        for (size_t i = 0; strstr(a.body, help) == NULL && i < 3; i++)
            if (strlen(name) > strlen(ENDS[i]) && strcmp(name + strlen(name) - strlen(ENDS[i]), ENDS[i]) == 0)
                snprintf(help, sizeof help, "# TYPE %.*s ", (int)(strlen(name) - strlen(ENDS[i])), name);
        if (strstr(a.body, help) == NULL) fail_msg("%s has no TYPE", name);
        const char *blank = strchr(line, '}') != NULL && strchr(line, '}') < strchr(line, '\n') ? strchr(line, '}') + 1 : strchr(line, ' ');
        char *end;
        strtod(blank, &end);
        assert_true(*end == '\n' && end > blank + 1);
    }
    answer_free(&a);
}

static void problems_are_one_table(void **state)
{
    (void)state;
    for (int p = MIEN_PROBLEM_NONE + 1; p < MIEN_PROBLEM_COUNT; p++) {
        const struct mien_problem_row *row = mien_problem_row((enum mien_problem)p);
        assert_non_null(row->code);
        assert_true(row->status >= 400 && row->status < 600 && strlen(row->title) > 0 && strlen(row->detail) > 0);
        assert_true((row->status == 503) == (row->retry_after_s > 0));
        for (int k = MIEN_PROBLEM_NONE + 1; k < p; k++) assert_string_not_equal(mien_problem_row((enum mien_problem)k)->code, row->code);
    }
    static const struct { enum mien_code code; int status; const char *name; } CODES[] = {
        {MIEN_E_BASE64, 400, "invalid_image"}, {MIEN_E_IMAGE_TYPE, 400, "invalid_image"}, {MIEN_E_IMAGE_CORRUPT, 400, "invalid_image"},
        {MIEN_E_IMAGE_LIMIT, 413, "too_large"}, {MIEN_E_NO_FACE, 400, "no_face"}, {MIEN_E_MODEL_MISSING, 503, "model_unavailable"},
        {MIEN_E_URL_REFUSED, 422, "validation_error"}, {MIEN_E_URL_FETCH, 400, "invalid_image"}, {MIEN_E_REQUEST, 422, "validation_error"},
        {MIEN_E_NOMEM, 503, "overloaded"}, {MIEN_E_INTERNAL, 500, "internal_error"}, {MIEN_E_ENGINE_SHAPE, 500, "internal_error"},
        {MIEN_E_NOT_ENROLLED, 404, "not_enrolled"}, {MIEN_E_MODEL_MISMATCH, 409, "model_mismatch"}, {MIEN_E_SEAL, 500, "template_unreadable"},
        {MIEN_E_KEY, 500, "template_unreadable"}, {MIEN_E_STORE, 503, "store_unavailable"}, {MIEN_E_RECORD, 422, "validation_error"},
        {MIEN_E_MANIFEST, 500, "internal_error"}, {MIEN_E_IO, 500, "internal_error"}};
    for (size_t i = 0; i < sizeof CODES / sizeof *CODES; i++) {
        const struct mien_problem_row *row = mien_problem_row(mien_problem_of(CODES[i].code));
        assert_int_equal(row->status, CODES[i].status);
        assert_string_equal(row->code, CODES[i].name);
    }
    static const enum mien_scope SCOPES[] = {MIEN_SCOPE_ANALYZE, MIEN_SCOPE_GALLERY_READ, MIEN_SCOPE_GALLERY_WRITE, MIEN_SCOPE_SESSION, MIEN_SCOPE_ADMIN};
    for (size_t i = 0; i < sizeof SCOPES / sizeof *SCOPES; i++) {
        const char *name = mien_scope_name(SCOPES[i]);
        assert_int_equal(mien_scope_parse(name, strlen(name)), SCOPES[i]);
    }
    assert_int_equal(mien_scope_parse("gallery", 7), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys_open_what_their_scopes_say), cmocka_unit_test(wrong_keys_stop_the_start),
                                       cmocka_unit_test(key_files_are_private), cmocka_unit_test(without_keys_only_this_machine_asks),
                                       cmocka_unit_test(preflights), cmocka_unit_test(addresses_behind_proxies), cmocka_unit_test(rates),
                                       cmocka_unit_test(unknown_paths_and_methods), cmocka_unit_test(every_answer_is_armed),
                                       cmocka_unit_test(health_says_what_is_missing), cmocka_unit_test(root_is_for_programs_and_people),
                                       cmocka_unit_test(documentation_files), cmocka_unit_test(the_web_page),
                                       cmocka_unit_test(the_document_has_every_route_and_member),
                                       cmocka_unit_test(answers_are_held_against_their_rows), cmocka_unit_test(metrics_count),
                                       cmocka_unit_test(problems_are_one_table)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
