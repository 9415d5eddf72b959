/* Parts of a route's row that bodies alone do not show: parameters in the path, several rows for one path with scopes and forms of their own, members that are
 * objects or vectors, bodies of lines, members in the query of GET and DELETE. Over a table of its own. */
#include "support/requests.h"

#include <math.h>

#include "base/log.h"
#include "service/call.h"
#include "service/metrics.h"
#include "service/openapi.h"
#include "service/service.h"

#define END {.name = NULL}

static const struct mien_member m_path[] = {{.name = "id", .kind = MIEN_KIND_TEXT, .required = true, .low = 1, .high = 8, .in_path = true}, END};
static const struct mien_member m_page[] = {{.name = "limit", .kind = MIEN_KIND_INTEGER, .low = 1, .high = 9, .otherwise = 5},
                                            {.name = "cursor", .kind = MIEN_KIND_TEXT, .low = 1, .high = 8},
                                            END};
static const struct mien_member m_plain[] = {{.name = "image", .kind = MIEN_KIND_IMAGE, .required = true}, END};
static const struct mien_member m_user[] = {{.name = "user", .kind = MIEN_KIND_TEXT, .required = true, .low = 1, .high = 8},
                                            {.name = "image", .kind = MIEN_KIND_IMAGE, .required = true},
                                            END};
static const struct mien_member m_many[] = {{.name = "user", .kind = MIEN_KIND_TEXT, .required = true, .low = 1, .high = 8},
                                            {.name = "images", .kind = MIEN_KIND_IMAGES, .required = true, .low = 1, .high = 4},
                                            END};
static const struct mien_member m_object[] = {{.name = "image", .kind = MIEN_KIND_IMAGE},
                                              {.name = "extra", .kind = MIEN_KIND_OBJECT, .high = 2048},
                                              {.name = "vector", .kind = MIEN_KIND_VECTOR, .low = 2, .high = 4},
                                              END};
static const struct mien_member m_entry[] = {{.name = "name", .kind = MIEN_KIND_TEXT, .required = true, .low = 1, .high = 8},
                                             {.name = "vector", .kind = MIEN_KIND_VECTOR, .low = 2, .high = 400},
                                             {.name = "flag", .kind = MIEN_KIND_BOOL, .otherwise = 1},
                                             END};
static const struct mien_member m_lines[] = {{.name = "entries", .kind = MIEN_KIND_ITEMS, .required = true, .low = 1, .high = 3, .sub = m_entry},
                                             {.name = "note", .kind = MIEN_KIND_TEXT},
                                             END};

static const struct mien_member m_choices[] = {{.name = "colours", .kind = MIEN_KIND_CHOICES, .high = 3, .choices = "red|green|blue"}, END};

static enum mien_code say_choices(struct mien_call *c, struct mien_err *e)
{
    int n;
    const char *const *choice = mien_call_choices(c, "colours", &n);
    (void)e;
    assert_true((choice != NULL) == mien_call_given(c, "colours"));
    mien_jw_key(c->json, "colours");
    mien_jw_array(c->json);
    for (int i = 0; i < n; i++) mien_jw_string(c->json, choice[i]);
    mien_jw_end_array(c->json);
    return MIEN_OK;
}

static enum mien_code say(struct mien_call *c, struct mien_err *e)
{
    (void)e;
    mien_put_text(c, "row", c->route->summary);
    for (const struct mien_member *m = c->route->members; m != NULL && m->name != NULL; m++) {
        if (m->kind == MIEN_KIND_TEXT || m->kind == MIEN_KIND_OBJECT) mien_put_text(c, m->name, mien_call_text(c, m->name));
        if (m->kind == MIEN_KIND_INTEGER) mien_put_integer(c, m->name, mien_call_integer(c, m->name));
    }
    mien_put_bool(c, "worker", c->session != NULL);
    return MIEN_OK;
}

static enum mien_code say_lines(struct mien_call *c, struct mien_err *e)
{
    mien_jw_key(c->json, "entries");
    mien_jw_array(c->json);
    for (int i = 0; i < mien_call_items(c, "entries"); i++) {
        int n;
        const float *v = mien_call_item_vector(c, "entries", i, "vector", &n);
        if (n == 3) return mien_call_refuse(c, "entries", i, "vector", "must not have 3 numbers", e);
        if (n == 4) return mien_call_say(c, MIEN_E_MODEL_MISMATCH, "four", e);
        mien_jw_string(c->json, mien_call_item_text(c, "entries", i, "name"));
        mien_jw_integer(c->json, n);
        mien_jw_number(c->json, n > 0 ? (double)v[n - 1] : 0.0, 6);
        mien_jw_bool(c->json, mien_call_item_flag(c, "entries", i, "flag") && !mien_call_item_given(c, "entries", i, "flag"));
    }
    mien_jw_end_array(c->json);
    mien_put_text(c, "note", mien_call_text(c, "note"));
    return MIEN_OK;
}

static const struct mien_field f_row[] = {{.name = "row", .kind = MIEN_OUT_TEXT},
                                          {.name = "user", .kind = MIEN_OUT_TEXT, .optional = true},
                                          {.name = "worker", .kind = MIEN_OUT_BOOL},
                                          END};
#define POST(path, scope, takes, m, fn, name, when) {MIEN_POST, path, scope, takes, false, m, f_row, NULL, fn, name, "gallery", when}
const struct mien_route mien_routes[] = {
    {MIEN_GET, "/thing", MIEN_SCOPE_ANALYZE, MIEN_TAKES_QUERY, false, m_page, NULL, NULL, say, "list", "gallery", NULL},
    {MIEN_DELETE, "/thing/{id}", MIEN_SCOPE_ANALYZE, MIEN_TAKES_NOTHING, false, m_path, NULL, NULL, say, "remove", "gallery", NULL},
    {MIEN_GET, "/thing/{id}", MIEN_SCOPE_ANALYZE, MIEN_TAKES_NOTHING, false, m_path, NULL, NULL, say, "one", "gallery", NULL},
    {MIEN_GET, "/thing/all", MIEN_SCOPE_ANALYZE, MIEN_TAKES_NOTHING, false, NULL, NULL, NULL, say, "exact", "gallery", NULL},
    POST("/rows", MIEN_SCOPE_ANALYZE, MIEN_TAKES_JSON | MIEN_TAKES_MULTIPART, m_plain, say, "plain", NULL),
    POST("/rows", MIEN_SCOPE_GALLERY_READ, MIEN_TAKES_IMAGE_FORMS, m_user, say, "user", "user"),
    POST("/rows", MIEN_SCOPE_GALLERY_READ, MIEN_TAKES_JSON | MIEN_TAKES_MULTIPART, m_many, say, "many", "images"),
    {MIEN_POST, "/object", MIEN_SCOPE_NONE, MIEN_TAKES_IMAGE_FORMS, false, m_object, NULL, NULL, say, "object", "gallery", NULL},
    {MIEN_POST, "/choices", MIEN_SCOPE_NONE, MIEN_TAKES_JSON | MIEN_TAKES_MULTIPART, false, m_choices, NULL, NULL, say_choices, "choices", "gallery", NULL},
    {MIEN_POST, "/lines", MIEN_SCOPE_NONE, MIEN_TAKES_JSON | MIEN_TAKES_LINES, false, m_lines, NULL, NULL, say_lines, "lines", "gallery", NULL},
};
const int mien_route_count = (int)(sizeof mien_routes / sizeof mien_routes[0]);

/* ---- service ---- */

static struct mien_models *models;
static struct mien_service *service;

static int set_up(void **state)
{
    (void)state;
    static const char EMPTY[] = "{\"version\":1,\"pack\":\"test\",\"roles\":{},\"models\":[]}";
    struct mien_service_settings s;
    struct mien_err e = {0};
    mien_log_set_level(MIEN_LOG_OFF);
    mien_service_settings_default(&s);
    s.max_request_bytes = 20000;
    s.api_keys = "a:analyzekey0123456789=analyze;g:gallerykey0123456789=gallery:read;n:writerkey00123456789=gallery:write";
    if (mien_models_parse(EMPTY, sizeof EMPTY - 1, "/nonexistent", NULL, &models, NULL) != MIEN_OK) return 1;
    if (mien_service_create(&s, models, &service, &e) != MIEN_OK) fail_msg("%s", e.msg);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mien_service_free(&service);
    mien_models_free(&models);
    return 0;
}

static const char *key = "analyzekey0123456789";

static struct mien_request *ask(enum mien_method method, const char *path)
{
    struct mien_request *q = request_new(method, path);
    if (key != NULL) request_header(q, "X-API-Key", key);
    return q;
}

static struct answer run(struct mien_request *q) { return request_run(mien_service_handler(service), q); }

static void expect(struct answer a, int status, const char *body)
{
    if (a.status != status || strstr(a.body, body) == NULL) fail_msg("%d %s\n  expected %d %s", a.status, a.body, status, body);
    answer_free(&a);
}

static struct answer post(const char *path, const char *type, const char *body)
{
    struct mien_request *q = ask(MIEN_POST, path);
    request_body(q, type, body, strlen(body));
    return run(q);
}

static struct answer json(const char *path, const char *body) { return post(path, "application/json", body); }

/* ---- tests ---- */

static void paths_have_parameters(void **state)
{
    (void)state;
    char allow[64];
    expect(run(ask(MIEN_DELETE, "/thing/bob")), 200, "{\"row\":\"remove\",\"id\":\"bob\",\"worker\":true}");
    expect(run(ask(MIEN_GET, "/thing/bob")), 200, "\"one\"");
    expect(run(ask(MIEN_GET, "/thing/all")), 200, "\"exact\"");
    expect(run(ask(MIEN_DELETE, "/thing/a/b/")), 200, "\"id\":\"a/b/\"");
    expect(run(ask(MIEN_DELETE, "/thing/\xc3\xbc ?")), 200, "\"id\":\"\xc3\xbc ?\"");
    expect(run(ask(MIEN_DELETE, "/thing/longer than it may be")), 422, "\"loc\":[\"path\",\"id\"]");
    expect(run(ask(MIEN_DELETE, "/thing/")), 404, "not_found");
    expect(run(ask(MIEN_DELETE, "/thingy")), 404, "not_found");
    assert_null(mien_route_find(MIEN_POST, "/thing/bob", allow));
    assert_string_equal(allow, "DELETE, GET, HEAD");
    assert_null(mien_route_find(MIEN_DELETE, "/thing/all", allow));
    assert_string_equal(allow, "GET, HEAD");
}

static void a_query_is_validated(void **state)
{
    (void)state;
    struct mien_request *q = ask(MIEN_GET, "/thing");
    request_query(q, "limit", "7");
    request_query(q, "cursor", "x");
    expect(run(q), 200, "{\"row\":\"list\",\"limit\":7,\"cursor\":\"x\",\"worker\":true}");
    expect(run(ask(MIEN_GET, "/thing")), 200, "\"limit\":5,\"cursor\":null");
    q = ask(MIEN_GET, "/thing");
    request_query(q, "limit", "10");
    request_query(q, "cursor", "");
    expect(run(q), 422, "[{\"loc\":[\"query\",\"limit\"],\"msg\":\"must be at most 9\",\"type\":\"less_than_equal\"},{\"loc\":[\"query\",\"cursor\"]");
}

static void members_choose_the_row(void **state)
{
    (void)state;
    expect(json("/rows", "{\"image\":\"YQ\"}"), 200, "\"plain\"");
    expect(json("/rows", "{\"image\":\"YQ\",\"user\":null}"), 200, "\"plain\"");
    expect(json("/rows", "{}"), 422, "\"loc\":[\"body\",\"image\"]");
    key = "gallerykey0123456789";
    expect(json("/rows", "{\"image\":\"YQ\",\"user\":\"u\"}"), 200, "{\"row\":\"user\",\"user\":\"u\"");
    expect(json("/rows", "{\"images\":[\"YQ\"],\"user\":\"u\"}"), 200, "\"many\"");
    expect(json("/rows", "{\"images\":[\"YQ\"]}"), 422, "\"loc\":[\"body\",\"user\"]");
    expect(post("/rows", "multipart/form-data; boundary=XX",
                "--XX\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nu\r\n"
                "--XX\r\nContent-Disposition: form-data; name=\"images\"; filename=\"a\"\r\n\r\nbytes\r\n--XX--\r\n"),
           200, "\"many\"");
    struct mien_request *q = ask(MIEN_POST, "/rows");
    request_query(q, "user", "v");
    request_body(q, "image/jpeg", "bytes", 5);
    expect(run(q), 200, "{\"row\":\"user\",\"user\":\"v\"");
    key = "analyzekey0123456789";
    q = ask(MIEN_POST, "/rows"); /* the first row has no place for raw bytes */
    request_body(q, "image/jpeg", "bytes", 5);
    expect(run(q), 415, "unsupported_media_type");
    expect(post("/rows", "text/plain", "x"), 415, "unsupported_media_type");
}

static void each_row_has_its_scope(void **state)
{
    (void)state;
    key = "analyzekey0123456789";
    expect(json("/rows", "{\"image\":\"YQ\"}"), 200, "plain");
    expect(json("/rows", "{\"image\":\"YQ\",\"user\":\"u\"}"), 403, "lacks the scope");
    expect(json("/rows", "{\"images\":[\"YQ\"],\"user\":\"u\"}"), 403, "forbidden");
    key = "gallerykey0123456789";
    expect(json("/rows", "{\"image\":\"YQ\"}"), 403, "forbidden");
    key = "writerkey00123456789";
    expect(json("/rows", "{\"image\":\"YQ\",\"user\":\"u\"}"), 403, "forbidden");
    key = NULL;
    expect(json("/rows", "{\"image\":\"YQ\",\"user\":\"u\"}"), 401, "unauthorized");
    key = "analyzekey0123456789";
}

static void rows_are_one_route_to_others(void **state)
{
    (void)state;
    char allow[64];
    const struct mien_route *first = mien_route_find(MIEN_POST, "/rows", allow);
    assert_ptr_equal(first, &mien_routes[4]);
    assert_ptr_equal(mien_route_first(&mien_routes[6]), first);
    assert_ptr_equal(mien_route_next(mien_route_next(first)), &mien_routes[6]);
    assert_null(mien_route_next(&mien_routes[6]));
    assert_null(mien_route_next(&mien_routes[mien_route_count - 1]));
    assert_null(mien_route_find(MIEN_GET, "/rows", allow));
    assert_string_equal(allow, "POST");
    static struct mien_metrics m;
    struct mien_buf out;
    mien_metrics_request(&m, &mien_routes[4], 200, 1, 0);
    mien_metrics_request(&m, &mien_routes[6], 200, 1, 0);
    mien_buf_init(&out, 1 << 20);
    mien_metrics_write(&m, &(const struct mien_metrics_sources){0}, 1.0, &out);
    assert_non_null(strstr(out.data, "mien_requests_total{route=\"/rows\",method=\"POST\",status=\"200\"} 2\n"));
    mien_buf_free(&out);
}

static void the_document_joins_the_rows(void **state)
{
    (void)state;
    struct mien_buf out;
    struct mien_json *root;
    mien_buf_init(&out, 1 << 20);
    assert_int_equal(mien_service_openapi(&out, NULL), MIEN_OK);
    assert_int_equal(mien_json_parse(out.data, out.len, &root, NULL), MIEN_OK);
    const struct mien_json *paths = mien_json_get(root, "paths");
    const struct mien_json *op = mien_json_get(mien_json_get(paths, "/rows"), "post");
    const struct mien_json *content = mien_json_get(mien_json_get(op, "requestBody"), "content");
    assert_int_equal(mien_json_size(mien_json_get(mien_json_get(mien_json_get(content, "application/json"), "schema"), "anyOf")), 3);
    assert_non_null(mien_json_get(content, "image/*"));
    assert_int_equal(mien_json_size(mien_json_get(op, "security")), 5); /* two scopes, two ways to send a key, and none */
    const struct mien_json *id = mien_json_at(mien_json_get(mien_json_get(mien_json_get(paths, "/thing/{id}"), "delete"), "parameters"), 0);
    assert_string_equal(mien_json_string(mien_json_get(id, "in"), ""), "path");
    assert_true(mien_json_bool(mien_json_get(id, "required"), false));
    assert_int_equal(mien_json_size(mien_json_get(mien_json_get(mien_json_get(paths, "/thing"), "get"), "parameters")), 2);
    mien_json_free(&root);
    mien_buf_free(&out);
}

/* `body` with a text of n times 'x' for its %s. */
static struct answer with_long(const char *path, const char *body, size_t n)
{
    char text[8192], x[4096];
    memset(x, 'x', n);
    x[n] = 0;
    assert_true(snprintf(text, sizeof text, body, x) < (int)sizeof text);
    return json(path, text);
}

static void objects_are_kept_as_text(void **state)
{
    (void)state;
    char deep[256], expected[2200];
    expect(json("/object", "{ \"extra\" : { \"a\" : [ 1 , -2.5 , \"\\u00e9\\n\" , null , true , {} ] , \"b\":{\"c\":[]}} }"), 200,
           "\"extra\":\"{\\\"a\\\":[1,-2.5,\\\"\xc3\xa9\\\\n\\\",null,true,{}],\\\"b\\\":{\\\"c\\\":[]}}\"");
    expect(json("/object", "{}"), 200, "\"extra\":null");
    expect(json("/object", "{\"extra\":[]}"), 422, "object_type");
    expect(json("/object", "{\"extra\":\"{}\"}"), 422, "object_type");
    /* Long texts are lifted out of the JSON text before it is read: they must come back. */
    memset(expected, 'x', 1500);
    expected[1500] = 0;
    expect(with_long("/object", "{\"extra\":{\"long\":\"%s\"}}", 1500), 200, expected);
    expect(with_long("/object", "{\"extra\":{\"long\":\"%s\"}}", 2037), 200, "xxx"); /* 11 bytes around it: exactly 2048 */
    expect(with_long("/object", "{\"extra\":{\"long\":\"%s\"}}", 2038), 422, "too_long");
    for (int levels = 32; levels <= 33; levels++) { /* the object is one of them */
        size_t n = (size_t)snprintf(deep, sizeof deep, "{\"extra\":{\"d\":");
        memset(deep + n, '[', (size_t)levels - 1);
        memset(deep + n + levels - 1, ']', (size_t)levels - 1);
        snprintf(deep + n + 2 * (levels - 1), 3, "}}");
        expect(json("/object", deep), levels == 32 ? 200 : 422, levels == 32 ? "[[[" : "too_long");
    }
    struct mien_request *q = ask(MIEN_POST, "/object");
    request_query(q, "extra", "{\"q\": 1}");
    request_body(q, "image/png", "bytes", 5);
    expect(run(q), 200, "\"extra\":\"{\\\"q\\\":1}\"");
    expect(post("/object", "multipart/form-data; boundary=XX", "--XX\r\nContent-Disposition: form-data; name=\"extra\"\r\n\r\n{\"f\":[2]}\r\n--XX--\r\n"), 200,
           "\"extra\":\"{\\\"f\\\":[2]}\"");
    expect(post("/object", "multipart/form-data; boundary=XX", "--XX\r\nContent-Disposition: form-data; name=\"extra\"\r\n\r\n{\"f\":\r\n--XX--\r\n"), 422,
           "object_type");
}

static void vectors_are_numbers_or_base64(void **state)
{
    (void)state;
    static const float NUMBERS[4] = {1.0f, -0.5f, 0.25f, 0.0f};
    char text[64], body[160];
    expect(json("/object", "{\"vector\":[1,2.5]}"), 200, "object");
    expect(json("/object", "{\"vector\":[1]}"), 422, "\"type\":\"vector_type\"");
    expect(json("/object", "{\"vector\":[1,2,3,4,5]}"), 422, "vector_type");
    expect(json("/object", "{\"vector\":[1,\"2\"]}"), 422, "vector_type");
    expect(json("/object", "{\"vector\":{\"a\":1}}"), 422, "vector_type");
    expect(json("/object", "{\"vector\":[1,1e300]}"), 422, "finite_number");
    for (size_t n = 1; n <= 16; n++) { /* of bytes: whole numbers only, and 2 of them at least */
        mien_base64_encode(NUMBERS, n, text);
        snprintf(body, sizeof body, "{\"vector\":\"%s\"}", text);
        const bool good = n % 4 == 0 && n >= 8;
        expect(json("/object", body), good ? 200 : 422, good ? "object" : "vector_type");
    }
    const float wrong[2] = {NAN, 1.0f};
    mien_base64_encode(wrong, sizeof wrong, text);
    snprintf(body, sizeof body, "{\"vector\":\"%s\"}", text);
    expect(json("/object", body), 422, "finite_number");
}

static void lines_are_entries(void **state)
{
    (void)state;
    static const char LINES[] = "application/x-ndjson";
    static float many[400];
    char body[4096], text[2200];
    expect(post("/lines", LINES, "{\"name\":\"a\",\"vector\":[1,2]}\r\n\n  \n{\"name\":\"b\",\"flag\":false}"), 200,
           "{\"entries\":[\"a\",2,2,true,\"b\",0,0,false],\"note\":null}");
    expect(json("/lines", "{\"entries\":[{\"name\":\"a\",\"vector\":[1,2]},{\"name\":\"b\",\"flag\":false}],\"note\":\"n\"}"), 200,
           "{\"entries\":[\"a\",2,2,true,\"b\",0,0,false],\"note\":\"n\"}");
    struct mien_request *q = ask(MIEN_POST, "/lines");
    request_query(q, "note", "m");
    request_body(q, LINES, "{\"name\":\"a\"}\n", 13);
    expect(run(q), 200, "\"note\":\"m\"");
    many[399] = 0.5f; /* a text that is lifted out of the line */
    mien_base64_encode(many, sizeof many, text);
    snprintf(body, sizeof body, "{\"name\":\"a\"}\n{\"name\":\"l\",\"vector\":\"%s\"}\n", text);
    expect(post("/lines", LINES, body), 200, "[\"a\",0,0,true,\"l\",400,0.5,true]");
    expect(post("/lines", LINES, ""), 422, "body");
    expect(post("/lines", LINES, "\n\n"), 422, "too_short");
    expect(post("/lines", LINES, "{\"name\":\"a\"}\n{\"name\":1}\n{"), 422, "\"loc\":[\"body\",\"entries\",1,\"name\"]");
    expect(post("/lines", LINES, "{\"name\":\"a\"}\n{\"name\":1}\n{"), 422, "{\"loc\":[\"body\",\"entries\",2],\"msg\":\"is not valid");
    expect(post("/lines", LINES, "{\"name\":\"a\"}\n[]"), 422, "{\"loc\":[\"body\",\"entries\",1],\"msg\":\"must be an object\"");
    expect(post("/lines", LINES, "{\"name\":\"a\"}\n{}"), 422, "{\"loc\":[\"body\",\"entries\",1,\"name\"],\"msg\":\"is missing\"");
    expect(post("/lines", LINES, "{\"name\":\"a\"}\n{\"name\":\"a\"}\n{\"name\":\"a\"}\n{\"name\":\"a\"}\n"), 422, "at most 3 entries");
    /* What a handler refuses names the entry too. */
    expect(post("/lines", LINES, "{\"name\":\"a\"}\n{\"name\":\"b\",\"vector\":[1,2,3]}\n"), 422,
           "\"detail\":\"entries[1].vector must not have 3 numbers\",\"code\":\"validation_error\",\"errors\":[{\"loc\":[\"body\",\"entries\",1,\"vector\"],"
           "\"msg\":\"must not have 3 numbers\",\"type\":\"value_error\"}]");
    expect(post("/lines", LINES, "{\"name\":\"b\",\"vector\":[1,2,3,4]}"), 409, "\"detail\":\"four\",\"code\":\"model_mismatch\"");
}

static void answers_may_hold_any_object(void **state)
{
    (void)state;
    static const struct mien_field row[] = {{.name = "any", .kind = MIEN_OUT_ANY}, END};
    static const char *const TEXT[] = {"{\"any\":{\"a\":[1,{}]}}", "{\"any\":{}}", "{\"any\":[]}", "{\"any\":null}"};
    char room[160];
    for (int i = 0; i < 4; i++) {
        struct mien_json *v;
        assert_int_equal(mien_json_parse(TEXT[i], strlen(TEXT[i]), &v, NULL), MIEN_OK);
        assert_true((mien_answer_differs(row, v, room) == NULL) == (i < 2));
        mien_json_free(&v);
    }
}

static void several_choices(void **state)
{
    (void)state;
    expect(json("/choices", "{}"), 200, "[]");
    expect(json("/choices", "{\"colours\":[]}"), 200, "[]");
    expect(json("/choices", "{\"colours\":[\"blue\",\"red\",\"blue\"]}"), 200, "[\"blue\",\"red\",\"blue\"]");
    expect(json("/choices", "{\"colours\":[\"red\",\"pink\"]}"), 422, "[\"body\",\"colours\",1]");
    expect(json("/choices", "{\"colours\":[\"red\",5]}"), 422, "string_type");
    expect(json("/choices", "{\"colours\":[\"red\",null]}"), 422, "string_type");
    expect(json("/choices", "{\"colours\":[\"red\",\"red\",\"red\",\"red\"]}"), 422, "too_long");
    expect(json("/choices", "{\"colours\":\"red\"}"), 422, "array_type");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_have_parameters), cmocka_unit_test(a_query_is_validated), cmocka_unit_test(members_choose_the_row),
        cmocka_unit_test(each_row_has_its_scope), cmocka_unit_test(rows_are_one_route_to_others), cmocka_unit_test(the_document_joins_the_rows),
        cmocka_unit_test(objects_are_kept_as_text), cmocka_unit_test(vectors_are_numbers_or_base64), cmocka_unit_test(lines_are_entries),
        cmocka_unit_test(answers_may_hold_any_object),
        cmocka_unit_test(several_choices)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
