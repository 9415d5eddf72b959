/* Bodies: every kind of member, every error of it, all forms (JSON, raw bytes, multipart, query), through the service's handler over a table of its own. */
#include "support/requests.h"

#include "base/log.h"
#include "service/call.h"
#include "service/service.h"
#include "support/pictures.h"

#define END {.name = NULL}

/* ---- a table for this test: the route answers with what it was given ---- */

static const struct mien_member m_sub[] = {{.name = "what", .kind = MIEN_KIND_CHOICE, .required = true, .also = "kind", .choices = "one|two"},
                                           {.name = "image", .kind = MIEN_KIND_IMAGE, .required = true},
                                           END};
static const struct mien_member m_all[] = {
    {.name = "image", .kind = MIEN_KIND_IMAGE, .required = true, .also = "image_url|image_data"},
    {.name = "second", .kind = MIEN_KIND_IMAGE},
    {.name = "number", .kind = MIEN_KIND_NUMBER, .low = -1, .high = 1, .otherwise = 0.25},
    {.name = "integer", .kind = MIEN_KIND_INTEGER, .low = 0, .high = 9, .otherwise = 3},
    {.name = "flag", .kind = MIEN_KIND_BOOL, .otherwise = 1},
    {.name = "text", .kind = MIEN_KIND_TEXT, .low = 2, .high = 8},
    {.name = "choice", .kind = MIEN_KIND_CHOICE, .choices = "left|right"},
    {.name = "images", .kind = MIEN_KIND_IMAGES, .also = "image_urls", .low = 1, .high = 3},
    {.name = "items", .kind = MIEN_KIND_ITEMS, .low = 1, .high = 2, .sub = m_sub},
    {.name = "antispoof", .kind = MIEN_KIND_NUMBER, .otherwise = 9, .from = MIEN_FROM_ANTISPOOF_THRESHOLD},
    {.name = "match", .kind = MIEN_KIND_NUMBER, .from = MIEN_FROM_MATCH_THRESHOLD},
    END};
static const struct mien_member m_one[] = {{.name = "image", .kind = MIEN_KIND_IMAGE, .required = true, .also = "image_url"},
                                           {.name = "number", .kind = MIEN_KIND_NUMBER, .low = 0, .high = 1, .otherwise = 0.5},
                                           END};

static void put_blob(struct mien_call *c, const struct mien_blob *b)
{
    char text[64];
    snprintf(text, sizeof text, "%.*s", b != NULL && b->failed == MIEN_OK ? (int)b->size : 0, b != NULL ? (const char *)b->data : "");
    mien_jw_string(c->json, b == NULL ? NULL : b->failed != MIEN_OK ? b->why : text);
}

static enum mien_code echo_one(struct mien_call *c, struct mien_err *e)
{
    (void)e;
    mien_jw_key(c->json, "image");
    put_blob(c, mien_call_image(c, "image"));
    mien_put_fixed(c, "number", mien_call_number(c, "number"), 6);
    return MIEN_OK;
}

static enum mien_code echo_all(struct mien_call *c, struct mien_err *e)
{
    const struct mien_blob *first;
    (void)echo_one(c, e);
    mien_jw_key(c->json, "second");
    put_blob(c, mien_call_image(c, "second"));
    mien_put_integer(c, "integer", mien_call_integer(c, "integer"));
    mien_put_bool(c, "flag", mien_call_flag(c, "flag"));
    mien_put_text(c, "text", mien_call_text(c, "text"));
    mien_put_text(c, "choice", mien_call_text(c, "choice"));
    mien_put_fixed(c, "antispoof", mien_call_number(c, "antispoof"), 6);
    mien_put_fixed(c, "match", mien_call_number(c, "match"), 6);
    mien_put_bool(c, "number_given", mien_call_given(c, "number"));
    mien_jw_key(c->json, "images");
    mien_jw_array(c->json);
    const int n = mien_call_images(c, "images", &first);
    for (int i = 0; i < n; i++) put_blob(c, &first[i]);
    mien_jw_end_array(c->json);
    mien_jw_key(c->json, "items");
    mien_jw_array(c->json);
    for (int i = 0; i < mien_call_items(c, "items"); i++) {
        mien_jw_string(c->json, mien_call_item_text(c, "items", i, "what"));
        put_blob(c, mien_call_item_image(c, "items", i, "image"));
    }
    mien_jw_end_array(c->json);
    return MIEN_OK;
}

static enum mien_code fail_halfway(struct mien_call *c, struct mien_err *e)
{
    mien_put_text(c, "secret", "half an answer");
    return MIEN_FAIL(e, MIEN_E_NO_FACE, "No face detected in %s", "image");
}

static enum mien_code fail_inside(struct mien_call *c, struct mien_err *e)
{
    (void)c;
    return MIEN_FAIL(e, MIEN_E_ENGINE_SHAPE, "/etc/path of a library");
}

static enum mien_code look(struct mien_call *c, struct mien_err *e)
{
    struct mien_faces faces;
    return mien_call_analyze(c, mien_call_image(c, "image"), "image", MIEN_WANT_BOXES, NULL, &faces, NULL, e);
}

static enum mien_code ask_for_the_recogniser(struct mien_call *c, struct mien_err *e)
{
    const struct mien_model *m;
    float threshold;
    return mien_call_embedder(c, &m, &threshold, e);
}

static const struct mien_field f_none[] = {END};
const struct mien_route mien_routes[] = {
    {MIEN_POST, "/all", MIEN_SCOPE_ANALYZE, MIEN_TAKES_JSON | MIEN_TAKES_MULTIPART, false, m_all, NULL, NULL, echo_all, "", "", NULL},
    {MIEN_POST, "/one", MIEN_SCOPE_ANALYZE, MIEN_TAKES_IMAGE_FORMS, false, m_one, NULL, NULL, echo_one, "", "", NULL},
    {MIEN_POST, "/query", MIEN_SCOPE_ANALYZE, MIEN_TAKES_IMAGE_FORMS | MIEN_TAKES_QUERY, false, m_one, NULL, NULL, echo_one, "", "", NULL},
    {MIEN_POST, "/fails", MIEN_SCOPE_ANALYZE, MIEN_TAKES_JSON, false, NULL, f_none, NULL, fail_halfway, "", "", NULL},
    {MIEN_POST, "/inside", MIEN_SCOPE_ANALYZE, MIEN_TAKES_JSON, false, NULL, f_none, NULL, fail_inside, "", "", NULL},
    {MIEN_POST, "/look", MIEN_SCOPE_ANALYZE, MIEN_TAKES_IMAGE_FORMS, false, m_one, f_none, NULL, look, "", "", NULL},
    {MIEN_POST, "/recogniser", MIEN_SCOPE_ANALYZE, MIEN_TAKES_JSON, false, NULL, f_none, NULL, ask_for_the_recogniser, "", "", NULL},
};
const int mien_route_count = (int)(sizeof mien_routes / sizeof mien_routes[0]);

/* ---- service ---- */

static struct mien_models *models;
static struct mien_service *service;

static struct mien_service *make(const struct mien_service_settings *s)
{
    struct mien_service *made = NULL;
    struct mien_err e = {0};
    if (mien_service_create(s, models, &made, &e) != MIEN_OK) fail_msg("%s", e.msg);
    return made;
}

static int set_up(void **state)
{
    (void)state;
    static const char EMPTY[] = "{\"version\":1,\"pack\":\"test\",\"roles\":{},\"models\":[]}";
    struct mien_service_settings s;
    mien_log_set_level(MIEN_LOG_OFF);
    mien_service_settings_default(&s);
    s.max_image_bytes = 3000;
    s.max_images = 8;
    s.max_image_pixels = 10000;
    s.max_request_bytes = 8000;
    s.antispoof_threshold = 0.375f;
    s.match_threshold = 0.125f;
    if (mien_models_parse(EMPTY, sizeof EMPTY - 1, "/nonexistent", NULL, &models, NULL) != MIEN_OK) return 1;
    service = make(&s);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    mien_service_free(&service);
    mien_models_free(&models);
    return 0;
}

static struct answer run(struct mien_request *q) { return request_run(mien_service_handler(service), q); }

static struct answer post(const char *path, const char *json)
{
    struct mien_request *q = request_new(MIEN_POST, path);
    request_json(q, json);
    return run(q);
}

static const char *text_at(const struct answer *a, const char *name) { return mien_json_string(mien_json_get(a->json, name), "(none)"); }

/* "body.items.0.what:missing number:..." of all errors, blank between them. */
static void faults_of(const struct answer *a, char *out, size_t room)
{
    const struct mien_json *errors = mien_json_get(a->json, "errors");
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < mien_json_size(errors); i++) {
        const struct mien_json *one = mien_json_at(errors, i), *loc = mien_json_get(one, "loc");
        used += (size_t)snprintf(out + used, room - used, "%s", i > 0 ? " " : "");
        for (size_t k = 0; k < mien_json_size(loc); k++) {
            const struct mien_json *part = mien_json_at(loc, k);
            if (mien_json_is_number(part)) used += (size_t)snprintf(out + used, room - used, "%s%d", k > 0 ? "." : "", (int)mien_json_integer(part, -1));
            else used += (size_t)snprintf(out + used, room - used, "%s%s", k > 0 ? "." : "", mien_json_string(part, "?"));
        }
        assert_true(strlen(mien_json_string(mien_json_get(one, "msg"), "")) > 0);
        used += (size_t)snprintf(out + used, room - used, ":%s", mien_json_string(mien_json_get(one, "type"), "?"));
        assert_true(used < room);
    }
}

static void expect_faults(const char *path, const char *json, const char *expected)
{
    char found[2048];
    struct answer a = post(path, json);
    faults_of(&a, found, sizeof found);
    if (a.status != 422 || strcmp(found, expected) != 0) fail_msg("%s\n  status %d\n  found    %s\n  expected %s", json, a.status, found, expected);
    assert_string_equal(answer_code(&a), "validation_error");
    assert_string_equal(a.type, "application/problem+json");
    answer_free(&a);
}

static void expect_problem(const char *path, const char *json, int status, const char *code, const char *detail)
{
    struct answer a = post(path, json);
    if (a.status != status || strcmp(answer_code(&a), code) != 0 || (detail != NULL && strcmp(text_at(&a, "detail"), detail) != 0))
        fail_msg("%s: %d %s", json, a.status, a.body);
    answer_free(&a);
}

/* ---- JSON ---- */

static void members_come_as_they_are(void **state)
{
    (void)state;
    struct answer a = post("/all", "{\"image\":\"aGVsbG8=\",\"second\":\"data:image/jpeg;base64,d29ybGQ\",\"number\":-0.5,\"integer\":7.0,\"flag\":false,"
                                   "\"text\":\"\\u00e9t\\u00e9\",\"choice\":\"right\",\"images\":[\"YQ==\",\"!\",\"Yg\"],"
                                   "\"items\":[{\"what\":\"one\",\"image\":\"Yw==\"},"
                                   "{\"kind\":\"two\",\"image\":\"ZA==\",\"more\":[1]}],\"antispoof\":5,\"unknown\":{\"a\":1}}");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "{\"image\":\"hello\",\"number\":-0.5,\"second\":\"world\",\"integer\":7,\"flag\":false,\"text\":\"\xc3\xa9t\xc3\xa9\","
                                "\"choice\":\"right\",\"antispoof\":5,\"match\":0.125,\"number_given\":true,\"images\":[\"a\",\"is not valid base64\",\"b\"],"
                                "\"items\":[\"one\",\"c\",\"two\",\"d\"]}");
    answer_free(&a);
}

static void defaults_stand_in(void **state)
{
    (void)state;
    struct answer a = post("/all", "{\"image_data\":\"aGVsbG8\",\"number\":null,\"second\":null}");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "{\"image\":\"hello\",\"number\":0.25,\"second\":null,\"integer\":3,\"flag\":true,\"text\":null,\"choice\":null,"
                                "\"antispoof\":0.375,\"match\":0.125,\"number_given\":false,\"images\":[],\"items\":[]}");
    answer_free(&a);
}

static void bounds_belong_to_the_range(void **state)
{
    (void)state;
    expect_problem("/all", "{\"image\":\"YQ\",\"number\":1,\"integer\":9,\"text\":\"abcdefgh\"}", 200, "", NULL);
    expect_problem("/all", "{\"image\":\"YQ\",\"number\":-1,\"integer\":0,\"text\":\"ab\",\"images\":[\"YQ\"]}", 200, "", NULL);
}

static void every_wrong_member_is_named(void **state)
{
    (void)state;
    expect_faults("/all", "{}", "body.image:missing");
    expect_faults("/all", "{\"image\":null}", "body.image:missing");
    expect_faults("/all", "{\"image\":5}", "body.image:string_type");
    expect_faults("/all", "{\"image\":[\"YQ\"]}", "body.image:string_type");
    expect_faults("/all", "{\"image\":\"YQ\",\"image_url\":\"YQ\"}", "body.image_url:conflict");
    expect_faults("/all", "{\"image_url\":\"YQ\",\"image_data\":5}", "body.image_data:conflict");
    expect_faults("/all", "{\"image\":\"YQ\",\"number\":\"0.5\"}", "body.number:number_type");
    expect_faults("/all", "{\"image\":\"YQ\",\"number\":true}", "body.number:number_type");
    expect_faults("/all", "{\"image\":\"YQ\",\"number\":1.0001}", "body.number:less_than_equal");
    expect_faults("/all", "{\"image\":\"YQ\",\"number\":-1.0001}", "body.number:greater_than_equal");
    expect_faults("/all", "{\"image\":\"YQ\",\"integer\":2.5}", "body.integer:integer_type");
    expect_faults("/all", "{\"image\":\"YQ\",\"integer\":1e300}", "body.integer:integer_type");
    expect_faults("/all", "{\"image\":\"YQ\",\"integer\":-1}", "body.integer:greater_than_equal");
    expect_faults("/all", "{\"image\":\"YQ\",\"integer\":10}", "body.integer:less_than_equal");
    expect_faults("/all", "{\"image\":\"YQ\",\"flag\":1}", "body.flag:bool_type");
    expect_faults("/all", "{\"image\":\"YQ\",\"flag\":\"true\"}", "body.flag:bool_type");
    expect_faults("/all", "{\"image\":\"YQ\",\"text\":\"a\"}", "body.text:too_short");
    expect_faults("/all", "{\"image\":\"YQ\",\"text\":\"abcdefghi\"}", "body.text:too_long");
    expect_faults("/all", "{\"image\":\"YQ\",\"text\":{}}", "body.text:string_type");
    expect_faults("/all", "{\"image\":\"YQ\",\"choice\":\"lef\"}", "body.choice:enum");
    expect_faults("/all", "{\"image\":\"YQ\",\"choice\":\"left|right\"}", "body.choice:enum");
    expect_faults("/all", "{\"image\":\"YQ\",\"choice\":\"\"}", "body.choice:enum");
    expect_faults("/all", "{\"image\":\"YQ\",\"choice\":3}", "body.choice:string_type");
    expect_faults("/all", "{\"image\":\"YQ\",\"images\":\"YQ\"}", "body.images:array_type");
    expect_faults("/all", "{\"image\":\"YQ\",\"images\":[]}", "body.images:too_short");
    expect_faults("/all", "{\"image\":\"YQ\",\"images\":[\"YQ\",null,{}]}", "body.images.1:string_type body.images.2:string_type");
    expect_faults("/all", "{\"image\":\"YQ\",\"items\":{}}", "body.items:array_type");
    expect_faults("/all", "{\"image\":\"YQ\",\"items\":[]}", "body.items:too_short");
    expect_faults("/all", "{\"image\":\"YQ\",\"items\":[{},{},{}]}", "body.items:too_long");
    expect_faults("/all", "{\"image\":\"YQ\",\"items\":[1,{\"kind\":\"two\"}]}", "body.items.0:object_type body.items.1.image:missing");
    expect_faults("/all", "{\"image\":\"YQ\",\"items\":[{\"what\":\"one\",\"kind\":\"one\",\"image\":7}]}",
                  "body.items.0.kind:conflict body.items.0.image:string_type");
    expect_faults("/all", "{\"number\":\"x\",\"integer\":[],\"flag\":2,\"choice\":\"up\"}",
                  "body.image:missing body.number:number_type body.integer:integer_type body.flag:bool_type body.choice:enum");
}

static void text_that_is_not_json(void **state)
{
    (void)state;
    expect_faults("/all", "", "body.image:missing");
    expect_faults("/all", " ", "body.1:json_invalid");
    expect_faults("/all", "[]", "body:object_type");
    expect_faults("/all", "\"text\"", "body:object_type");
    expect_faults("/all", "null", "body:object_type");
    static const char *const BAD[] = {"{", "{\"image\":\"YQ\"", "{\"image\":\"YQ\",}", "{\"image\":\"YQ\",\"image\":\"YQ\"}", "{\"number\":NaN}",
                                      "{\"number\":1e999}", "{\"text\":\"\xff\"}", "{\"image\":\"YQ\"} x"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        struct answer a = post("/all", BAD[i]);
        const struct mien_json *one = mien_json_at(mien_json_get(a.json, "errors"), 0);
        assert_int_equal(a.status, 422);
        assert_string_equal(mien_json_string(mien_json_get(one, "type"), ""), "json_invalid");
        answer_free(&a);
    }
}

static void images_that_cannot_be_read(void **state)
{
    (void)state;
    expect_problem("/all", "{\"image\":\"a\"}", 400, "invalid_image", "image is not valid base64");
    expect_problem("/all", "{\"image\":\"YQ==\",\"second\":\"YQ=\"}", 400, "invalid_image", "second is not valid base64");
    expect_problem("/all", "{\"image_url\":\"ftp://example.org/a.jpg\"}", 400, "invalid_image", "image_url is not valid base64");
    expect_problem("/all", "{\"image\":\"\"}", 400, "invalid_image", "image is empty");
    expect_problem("/all", "{\"image\":\"data:image/png,abc\"}", 400, "invalid_image", "image is a data URL without base64");
    expect_problem("/all", "{\"image\":\"YQ\",\"items\":[{\"what\":\"one\",\"image\":\"YQ\"},{\"what\":\"two\",\"image\":\"%\"}]}", 400, "invalid_image",
                   "items[1].image is not valid base64");
    expect_problem("/all", "{\"image\":\"YQ\",\"images\":[\"YQ\",\"YQ\",\"YQ\",\"YQ\"]}", 413, "too_large", NULL); /* 4 of 3 */
    expect_problem("/all", "{\"image\":\"YQ\",\"second\":\"YQ\",\"images\":[\"YQ\",\"YQ\",\"YQ\"],\"items\":["
                           "{\"what\":\"one\",\"image\":\"YQ\"},{\"what\":\"one\",\"image\":\"YQ\"}]}", 200, "", NULL); /* 7 of 8 */
}

static void image_bytes_have_limits(void **state)
{
    (void)state;
    char bytes[3001];
    memset(bytes, 'x', sizeof bytes);
    for (size_t n = 2999; n <= 3001; n++) {
        struct mien_request *q = request_new(MIEN_POST, "/one");
        request_json_image(q, "{\"image\":\"", bytes, n, "\"}");
        struct answer a = run(q);
        assert_int_equal(a.status, n <= 3000 ? 200 : 413);
        answer_free(&a);
        q = request_new(MIEN_POST, "/one");
        request_body(q, "image/jpeg", bytes, n);
        a = run(q);
        assert_int_equal(a.status, n <= 3000 ? 200 : 413);
        assert_false(a.refused); /* said by the Content-Length, before the body is read */
        answer_free(&a);
    }
    char *three = malloc(16384); /* 3 x 3000 > 8000 together */
    assert_non_null(three);
    size_t used = (size_t)snprintf(three, 16384, "{\"image\":\"YQ\",\"images\":[");
    for (int i = 0; i < 3; i++) {
        three[used++] = '"';
        used += mien_base64_encode(bytes, 3000, three + used);
        used += (size_t)snprintf(three + used, 16384 - used, "\"%s", i < 2 ? "," : "]}");
    }
    expect_problem("/all", three, 413, "too_large", NULL);
    free(three);
}

/* ---- other forms ---- */

static void raw_bytes(void **state)
{
    (void)state;
    static const char *const TAKEN[] = {"image/jpeg", "IMAGE/PNG", "application/octet-stream", "application/octet-stream; x=y", NULL};
    static const char *const REFUSED[] = {"text/plain", "application/x-www-form-urlencoded", "application/octet-streams", "application/jsonx",
                                          "multipart/mixed"};
    for (size_t i = 0; i < sizeof TAKEN / sizeof *TAKEN; i++) {
        struct mien_request *q = request_new(MIEN_POST, "/one");
        request_body(q, TAKEN[i], "http://x", 8); /* bytes, whatever they look like */
        request_query(q, "number", "0.75");
        struct answer a = run(q);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, "{\"image\":\"http://x\",\"number\":0.75}");
        answer_free(&a);
    }
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++) {
        struct mien_request *q = request_new(MIEN_POST, "/one");
        request_body(q, REFUSED[i], "abc", 3);
        struct answer a = run(q);
        assert_int_equal(a.status, 415);
        assert_string_equal(answer_code(&a), "unsupported_media_type");
        answer_free(&a);
    }
    struct mien_request *q = request_new(MIEN_POST, "/all"); /* takes no raw bytes */
    request_body(q, NULL, "abc", 3);
    struct answer a = run(q);
    assert_int_equal(a.status, 415);
    answer_free(&a);
    q = request_new(MIEN_POST, "/one");
    char found[256];
    a = run(q);
    faults_of(&a, found, sizeof found);
    assert_string_equal(found, "body.image:missing");
    answer_free(&a);
    q = request_new(MIEN_POST, "/one");
    request_body(q, "application/vnd.example+json; charset=utf-8", "{\"image\":\"YQ\"}", 14);
    a = run(q);
    assert_int_equal(a.status, 200);
    answer_free(&a);
}

static void members_in_the_query(void **state)
{
    (void)state;
    char found[512];
    request_url_serves("https://pictures.example/a", "fetched", 7);
    struct mien_request *q = request_new(MIEN_POST, "/query");
    request_query(q, "image_url", "https://pictures.example/a");
    request_query(q, "number", "1e-1");
    struct answer a = run(q);
    assert_int_equal(a.status, 200);
    assert_true(a.fetched);
    assert_string_equal(a.body, "{\"image\":\"fetched\",\"number\":0.1}");
    answer_free(&a);
    static const char *const NOT_NUMBERS[] = {"", "x", "0.5x", "nan", "inf", "0x1", " 1", "1e999"};
    for (size_t i = 0; i < sizeof NOT_NUMBERS / sizeof *NOT_NUMBERS; i++) {
        q = request_new(MIEN_POST, "/query");
        request_query(q, "image", "YQ");
        request_query(q, "number", NOT_NUMBERS[i]);
        a = run(q);
        faults_of(&a, found, sizeof found);
        assert_string_equal(found, "query.number:number_type");
        answer_free(&a);
    }
    q = request_new(MIEN_POST, "/query");
    a = run(q);
    faults_of(&a, found, sizeof found);
    assert_string_equal(found, "query.image:missing");
    answer_free(&a);
}

static struct answer form(const char *text)
{
    struct mien_request *q = request_new(MIEN_POST, "/all");
    request_body(q, "multipart/form-data; boundary=XX", text, strlen(text));
    return run(q);
}

#define FIELD(name, value) "--XX\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"
#define FILE_FIELD(name, value) \
    "--XX\r\nContent-Disposition: form-data; name=\"" name "\"; filename=\"a.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n" value "\r\n"

static void forms(void **state)
{
    (void)state;
    char found[512];
    struct answer a = form(FILE_FIELD("file", "bytes") FIELD("second", "d29ybGQ=") FIELD("number", "0.5") FIELD("flag", "false") FIELD("integer", "4")
                               FIELD("text", "word") FIELD("choice", "left") FILE_FIELD("images", "i1") FIELD("images", "aTI=")
                                   FILE_FIELD("images", "i3") "--XX--\r\n");
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "{\"image\":\"bytes\",\"number\":0.5,\"second\":\"world\",\"integer\":4,\"flag\":false,\"text\":\"word\",\"choice\":\"left\","
                                "\"antispoof\":0.375,\"match\":0.125,\"number_given\":true,\"images\":[\"i1\",\"i2\",\"i3\"],\"items\":[]}");
    answer_free(&a);
    a = form(FILE_FIELD("image", "one") FILE_FIELD("file", "two") FIELD("number", "x") FIELD("number", "1") FIELD("flag", "yes") FIELD("items", "[]")
                 "--XX--\r\n");
    faults_of(&a, found, sizeof found);
    assert_int_equal(a.status, 422);
    assert_string_equal(found, "body.file:conflict body.number:duplicate body.flag:bool_type body.items:array_type");
    answer_free(&a);
    a = form("--XX\r\nbroken");
    faults_of(&a, found, sizeof found);
    assert_string_equal(found, "body:multipart_invalid");
    answer_free(&a);
    a = form(FILE_FIELD("image", "") "--XX--\r\n");
    assert_string_equal(text_at(&a, "detail"), "image is empty");
    answer_free(&a);
}

static void urls(void **state)
{
    (void)state;
    char found[512], longer[2200] = "{\"image\":\"http://", *end = longer + strlen(longer);
    request_url_serves("http://pictures.example/b", "picture b", 9);
    char large[3001];
    memset(large, 'x', sizeof large);
    request_url_serves("http://pictures.example/large", large, sizeof large);
    struct answer a = post("/all", "{\"image_url\":\"http://pictures.example/b\",\"images\":[\"http://pictures.example/none\",\"YQ\",\"http://guarded/\"]}");
    assert_int_equal(a.status, 200);
    assert_true(a.fetched);
    assert_string_equal(text_at(&a, "image"), "picture b");
    const struct mien_json *images = mien_json_get(a.json, "images");
    assert_string_equal(mien_json_string(mien_json_at(images, 0), ""), "could not be fetched");
    assert_string_equal(mien_json_string(mien_json_at(images, 1), ""), "a");
    assert_string_equal(mien_json_string(mien_json_at(images, 2), ""), "is a URL that this server does not fetch");
    answer_free(&a);
    expect_problem("/one", "{\"image\":\"http://pictures.example/none\"}", 400, "invalid_image", "image could not be fetched");
    expect_problem("/one", "{\"image\":\"http://pictures.example/large\"}", 413, "too_large", NULL);
    expect_faults("/one", "{\"image\":\"http://refused/a\"}", "body.image:url_not_allowed");
    expect_faults("/one", "{\"image_url\":\"HTTP://guarded/a\"}", "body.image_url:url_not_allowed");
    a = post("/one", "{\"image\":\"http://guarded/a\"}");
    faults_of(&a, found, sizeof found);
    assert_string_equal(found, "body.image:url_not_allowed");
    answer_free(&a);
    memset(end, 'a', 2100);
    snprintf(end + 2100, 4, "\"}");
    expect_faults("/one", longer, "body.image:too_long");
}

/* ---- failures of handlers ---- */

static void a_failure_replaces_the_answer(void **state)
{
    (void)state;
    struct answer a = post("/fails", "{}");
    assert_int_equal(a.status, 400);
    assert_string_equal(answer_code(&a), "no_face");
    assert_string_equal(text_at(&a, "detail"), "No face detected in image");
    assert_null(strstr(a.body, "half an answer"));
    answer_free(&a);
    a = post("/inside", "{}");
    assert_int_equal(a.status, 500);
    assert_string_equal(answer_code(&a), "internal_error");
    assert_null(strstr(a.body, "library"));
    answer_free(&a);
}

static void expect_look(const void *data, size_t n, int status, const char *code, const char *detail)
{
    struct mien_request *q = request_new(MIEN_POST, "/look");
    request_body(q, "image/png", data, n);
    struct answer a = run(q);
    if (a.status != status || strcmp(answer_code(&a), code) != 0 || strcmp(text_at(&a, "detail"), detail) != 0) fail_msg("%d %s", a.status, a.body);
    assert_true((answer_header(&a, "Retry-After") != NULL) == (status == 503));
    answer_free(&a);
}

static void photos_fail_in_our_own_words(void **state)
{
    (void)state;
    struct mien_image small = picture_smooth(20, 20), large = picture_smooth(101, 100);
    unsigned char *data;
    size_t n;
    expect_look("not a picture at all", 20, 400, "invalid_image", "image is not a JPEG, PNG, WebP, BMP or GIF picture");
    expect_look("x", 1, 400, "invalid_image", "image is not a JPEG, PNG, WebP, BMP or GIF picture");
    assert_int_equal(mien_image_encode_png(&small, &data, &n, NULL), MIEN_OK);
    expect_look(data, n, 503, "model_unavailable", "A model that this request needs is not installed.");
    expect_look(data, 30, 400, "invalid_image", "image is a damaged picture");
    free(data);
    assert_int_equal(mien_image_encode_jpeg(&large, 20, &data, &n, NULL), MIEN_OK); /* 10,100 of 10,000 pixels */
    expect_look(data, n, 413, "too_large", "image is larger than this server accepts");
    free(data);
    mien_image_free(&small);
    mien_image_free(&large);
    expect_problem("/recogniser", "{}", 503, "model_unavailable", NULL);
}

static void large_images_are_decoded_in_the_body(void **state)
{
    (void)state;
    char bytes[2500];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)('a' + i % 26);
    struct mien_request *q = request_new(MIEN_POST, "/one");
    request_json_image(q, "{\"number\":0.125,\"image\":\"data:image/png;base64,", bytes, sizeof bytes, "\"}");
    struct answer a = run(q);
    assert_int_equal(a.status, 200);
    assert_memory_equal(text_at(&a, "image"), bytes, 63);
    answer_free(&a);
}

/* ---- mutations ---- */

static uint32_t random_state = 1;
static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)random_state * n) >> 32);
}

/* Changes, removes or repeats some bytes. Returns the new length. */
static size_t mutate(char *s, size_t n, size_t room)
{
    static const char BYTES[] = "\"\\{}[]:,0 -e\r\n\0\xff\xc3=;nt/u";
    for (uint32_t k = 1 + random_below(4); k > 0 && n > 0; k--) {
        const size_t at = random_below((uint32_t)n), length = 1 + random_below(12), span = at + length > n ? n - at : length;
        switch (random_below(4)) {
        case 0: s[at] = BYTES[random_below(sizeof BYTES - 1)]; break;
        case 1: s[at] = (char)(s[at] ^ (1 << random_below(8))); break;
        case 2:
            memmove(s + at, s + at + span, n - at - span);
            n -= span;
            break;
        default:
            if (n + span > room) break;
            memmove(s + at + span, s + at, n - at);
            n += span;
        }
    }
    return n;
}

/* Whatever comes, the answer is one of the documented ones. */
static void mutated_bodies(void **state)
{
    (void)state;
    static const char JSON[] = "{\"image\":\"aGVsbG8=\",\"second\":\"data:image/jpeg;base64,d29ybGQ\",\"number\":-0.5,\"integer\":7,\"flag\":false,"
                               "\"text\":\"abc\",\"choice\":\"right\",\"images\":[\"YQ==\",\"Yg\"],\"items\":[{\"what\":\"one\",\"image\":\"Yw==\"}]}";
    static const char FORM[] = FILE_FIELD("file", "bytes") FIELD("second", "d29ybGQ=") FIELD("number", "0.5") FIELD("flag", "false") FILE_FIELD("images", "i1")
        FIELD("images", "aTI=") "--XX--\r\n";
    int good = 0;
    for (int i = 0; i < 20000; i++) {
        char text[2048];
        const bool json = i % 2 == 0;
        size_t n = json ? sizeof JSON - 1 : sizeof FORM - 1;
        memcpy(text, json ? JSON : FORM, n);
        n = mutate(text, n, sizeof text);
        struct mien_request *q = request_new(MIEN_POST, "/all");
        request_body(q, json ? "application/json" : "multipart/form-data; boundary=XX", text, n);
        struct answer a = run(q);
        if (a.status != 200 && a.status != 400 && a.status != 413 && a.status != 422) fail_msg("%d: %.*s", a.status, (int)n, text);
        good += a.status == 200;
        answer_free(&a);
    }
    assert_in_range(good, 100, 19900);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_as_they_are), cmocka_unit_test(defaults_stand_in), cmocka_unit_test(bounds_belong_to_the_range),
        cmocka_unit_test(every_wrong_member_is_named),
        cmocka_unit_test(text_that_is_not_json), cmocka_unit_test(images_that_cannot_be_read), cmocka_unit_test(image_bytes_have_limits),
        cmocka_unit_test(raw_bytes), cmocka_unit_test(members_in_the_query), cmocka_unit_test(forms), cmocka_unit_test(urls),
        cmocka_unit_test(a_failure_replaces_the_answer), cmocka_unit_test(large_images_are_decoded_in_the_body),
        cmocka_unit_test(photos_fail_in_our_own_words), cmocka_unit_test(mutated_bodies)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
