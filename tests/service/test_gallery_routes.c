/* The gallery's routes through the service's handler over a SQLite store. Importing, listing, deleting and rotating need no network; enrolling, searching and
 * verifying run the real ones over photos of the Labeled Faces in the Wild, and are skipped without them. Every answer is held against its row. */
#include "support/faces.h"
#include "support/pictures.h"
#include "support/requests.h"

#include <unistd.h>

#include "base/log.h"
#include "service/openapi.h"
#include "service/service.h"
#include "store/sqlite.h"

enum { DIM = 4 };

/* ---- a service with a gallery ---- */

struct place {
    char dir[40], db[64], keys[64];
    struct mien_models *models;  /* of its own, or the pack's */
    struct test_pack pack;
    struct mien_gallery *gallery;
    struct mien_service *service;
};

static void open_gallery(struct place *p, const char *model, int dim)
{
    const struct mien_keyring_settings keys = {.file = p->keys};
    struct mien_gallery_settings s = {.model = model, .dim = dim, .threads = 1};
    struct mien_err e = {0};
    TEST_TRY(mien_sqlite_open(p->db, false, &s.store, &e), e);
    TEST_TRY(mien_keyring_open(&keys, &s.keyring, NULL, &e), e);
    TEST_TRY(mien_gallery_open(&s, &p->gallery, &e), e);
}

static void open_service(struct place *p, float quality_threshold)
{
    struct mien_service_settings s;
    struct mien_err e = {0};
    mien_service_settings_default(&s);
    s.gallery = p->gallery;
    s.quality_threshold = quality_threshold;
    TEST_TRY(mien_service_create(&s, p->models, &p->service, &e), e);
}

static void make_place(struct place *p)
{
    *p = (struct place){.dir = "/tmp/mien-routes-XXXXXX"};
    mien_log_set_level(MIEN_LOG_OFF);
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->db, sizeof p->db, "%s/gallery.db", p->dir);
    snprintf(p->keys, sizeof p->keys, "%s/template.keys", p->dir);
}

/* Without networks: a gallery of 4 numbers. */
static struct place small_place(void)
{
    static const char EMPTY[] = "{\"version\":1,\"pack\":\"test\",\"roles\":{},\"models\":[]}";
    struct place p;
    make_place(&p);
    assert_int_equal(mien_models_parse(EMPTY, sizeof EMPTY - 1, "/nonexistent", NULL, &p.models, NULL), MIEN_OK);
    open_gallery(&p, "m", DIM);
    open_service(&p, 0.3f);
    return p;
}

static struct place real_place(void)
{
    struct test_pack pack = test_pack_open(MIEN_PRECISION_AUTO);
    struct place p;
    test_need_role(&pack, MIEN_ROLE_EMBED);
    const struct mien_model *m = mien_models_role(pack.models, MIEN_ROLE_EMBED, 0);
    make_place(&p);
    p.pack = pack;
    p.models = pack.models;
    open_gallery(&p, m->id, m->dim);
    open_service(&p, 0.3f);
    return p;
}

static void close_place(struct place *p)
{
    char command[80];
    mien_service_free(&p->service);
    mien_gallery_close(&p->gallery);
    if (p->pack.models != NULL) test_pack_close(&p->pack);
    else mien_models_free(&p->models);
    snprintf(command, sizeof command, "rm -r %s", p->dir);
    assert_int_equal(system(command), 0);
}

/* ---- requests ---- */

static struct answer run(const struct place *p, struct mien_request *q)
{
    char room[160], allow[64];
    const enum mien_method method = q->method;
    const struct mien_route *r = mien_route_find(method, q->path, allow);
    struct answer a = request_run(mien_service_handler(p->service), q);
    const char *wrong = NULL;
    assert_non_null(r);
    for (; a.status == 200 && r != NULL; r = mien_route_next(r)) /* which row it was is not known here: one of them fits */
        if ((wrong = mien_answer_differs(r->fields, a.json, room)) == NULL) break;
    if (wrong != NULL) fail_msg("%s in %s", wrong, a.body);
    return a;
}

static struct answer ask(const struct place *p, enum mien_method method, const char *path) { return run(p, request_new(method, path)); }

static struct answer post(const struct place *p, const char *path, const char *type, const char *body)
{
    struct mien_request *q = request_new(MIEN_POST, path);
    request_body(q, type, body, strlen(body));
    return run(p, q);
}

static struct answer page(const struct place *p, const char *limit, const char *cursor)
{
    struct mien_request *q = request_new(MIEN_GET, "/gallery");
    if (limit != NULL) request_query(q, "limit", limit);
    if (cursor != NULL) request_query(q, "cursor", cursor);
    return run(p, q);
}

static void expect(struct answer a, int status, const char *body)
{
    if (a.status != status || strstr(a.body, body) == NULL) fail_msg("%d %s\n  expected %d %s", a.status, a.body, status, body);
    answer_free(&a);
}

static struct answer lines(const struct place *p, const char *body) { return post(p, "/gallery/import", "application/x-ndjson", body); }

/* ---- without networks ---- */

static void without_a_gallery_the_store_is_not_there(void **state)
{
    (void)state;
    struct place p = small_place();
    mien_service_free(&p.service);
    mien_gallery_close(&p.gallery);
    open_service(&p, 0.3f);
    static const char PHOTO[] = "{\"user_id\":\"a\",\"image\":\"YQ\"}", *const PHOTOS[] = {"/enroll", "/search", "/verify"};
    for (int i = 0; i < 3; i++) expect(post(&p, PHOTOS[i], "application/json", PHOTO), 503, "model_unavailable"); /* that comes before it */
    expect(post(&p, "/keys/rotate", "application/json", "{}"), 503, "store_unavailable");
    expect(lines(&p, "{\"user_id\":\"a\",\"embedding\":[1,2,3,4]}"), 503, "store_unavailable");
    expect(ask(&p, MIEN_GET, "/gallery"), 503, "store_unavailable");
    expect(ask(&p, MIEN_DELETE, "/enroll/a"), 503, "store_unavailable");
    close_place(&p);
}

static void imports_lists_and_deletes(void **state)
{
    (void)state;
    struct place p = small_place();
    expect(ask(&p, MIEN_GET, "/gallery"), 200, "{\"users\":[],\"total\":0,\"cursor\":null}");
    expect(lines(&p, "{\"user_id\":\"b\",\"name\":\"B\",\"metadata\":{\"k\":[1,{}]},\"model\":\"m\",\"embedding\":[1,0,0,0]}\n"
                     "{\"user_id\":\"c/\xc3\xbc \",\"embedding\":\"AACAPwAAAAAAAAAAAAAAAA==\",\"depth\":[1,2]}\n"
                     "{\"user_id\":\"b\",\"embedding\":[0,1,0,0],\"append\":true}\n"),
           200, "{\"imported\":3,");
    expect(post(&p, "/gallery/import", "application/json", "{\"entries\":[{\"user_id\":\"a\",\"embedding\":[0,0,0.5,0]}]}"), 200, "{\"imported\":1,");
    struct answer a = ask(&p, MIEN_GET, "/gallery");
    assert_int_equal(mien_json_integer(mien_json_get(a.json, "total"), 0), 3);
    const struct mien_json *users = mien_json_get(a.json, "users"), *b = mien_json_at(users, 1);
    assert_string_equal(mien_json_string(mien_json_get(mien_json_at(users, 0), "user_id"), ""), "a");
    assert_true(mien_json_is_null(mien_json_get(mien_json_at(users, 0), "name")));
    assert_int_equal(mien_json_size(mien_json_get(mien_json_at(users, 0), "metadata")), 0);
    assert_string_equal(mien_json_string(mien_json_get(b, "name"), ""), "B");
    assert_int_equal(mien_json_integer(mien_json_get(b, "templates"), 0), 2);
    assert_int_equal(mien_json_size(mien_json_get(mien_json_get(b, "metadata"), "k")), 2);
    const char *when = mien_json_string(mien_json_get(b, "enrolled_at"), "");
    assert_true(strlen(when) == 24 && when[4] == '-' && when[10] == 'T' && when[19] == '.' && when[23] == 'Z');
    assert_null(strstr(a.body, "embedding"));
    answer_free(&a);
    expect(page(&p, "1", NULL), 200, "\"cursor\":\"a\"");
    expect(page(&p, "1", "a"), 200, "\"cursor\":\"b\"");
    expect(page(&p, "2", "a"), 200, "\"cursor\":null");
    expect(page(&p, "1", "zz"), 200, "\"users\":[],\"total\":3,\"cursor\":null");
    expect(page(&p, "1001", NULL), 422, "\"loc\":[\"query\",\"limit\"]");
    expect(ask(&p, MIEN_DELETE, "/enroll/c/\xc3\xbc "), 200, "{\"user_id\":\"c/\xc3\xbc \",\"deleted\":true}");
    expect(ask(&p, MIEN_DELETE, "/enroll/c/\xc3\xbc "), 404, "not_enrolled");
    expect(ask(&p, MIEN_DELETE, "/enroll/a\x01"), 404, "not_enrolled");
    expect(ask(&p, MIEN_GET, "/health"), 503, "\"gallery_size\":2"); /* without networks it is not healthy */
    expect(ask(&p, MIEN_GET, "/health"), 503, "\"database\":\"up\"");
    close_place(&p);
}

static void an_import_is_all_or_nothing(void **state)
{
    (void)state;
    static const struct { const char *second; int status; const char *body; } CASE[] = {
        {"{\"user_id\":\"y\",\"embedding\":[1,2,3]}", 422, "\"detail\":\"entries[1].embedding must have 4 numbers\""},
        {"{\"user_id\":\"y\",\"embedding\":[0,0,0,0]}", 422, "\"loc\":[\"body\",\"entries\",1,\"embedding\"]"},
        {"{\"user_id\":\"y\",\"embedding\":[1e30,0,0,0]}", 422, "\"loc\":[\"body\",\"entries\",1,\"embedding\"]"},
        {"{\"user_id\":\"y\",\"embedding\":\"AADAfwAAgD8AAIA/AACAPw==\"}", 422, "\"loc\":[\"body\",\"entries\",1,\"embedding\"],\"msg\":\"must hold finite"},
        {"{\"user_id\":\"y\",\"embedding\":[1,0,0,0],\"depth\":[0,0]}", 422, "\"loc\":[\"body\",\"entries\",1,\"depth\"]"},
        {"{\"user_id\":\"y\\u0001\",\"embedding\":[1,0,0,0]}", 422, "\"loc\":[\"body\",\"entries\",1,\"user_id\"]"},
        {"{\"user_id\":\"\",\"embedding\":[1,0,0,0]}", 422, "\"loc\":[\"body\",\"entries\",1,\"user_id\"]"},
        {"{\"embedding\":[1,0,0,0]}", 422, "\"loc\":[\"body\",\"entries\",1,\"user_id\"],\"msg\":\"is missing\""},
        {"{\"user_id\":\"y\"}", 422, "\"loc\":[\"body\",\"entries\",1,\"embedding\"],\"msg\":\"is missing\""},
        {"{\"user_id\":\"y\",\"embedding\":[1,0,0,0],\"metadata\":[]}", 422, "\"loc\":[\"body\",\"entries\",1,\"metadata\"]"},
        {"{\"user_id\":\"y\",\"embedding\":[1,0,0,0],\"model\":\"other\"}", 409, "\"detail\":\"entries[1] is of another recognition model"},
    };
    struct place p = small_place();
    char body[512];
    for (size_t i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        snprintf(body, sizeof body, "{\"user_id\":\"x\",\"embedding\":[1,0,0,0]}\n%s\n", CASE[i].second);
        expect(lines(&p, body), CASE[i].status, CASE[i].body);
    }
    expect(ask(&p, MIEN_GET, "/gallery"), 200, "\"total\":0");
    close_place(&p);
}

static void a_user_has_at_most_50_templates(void **state)
{
    (void)state;
    static const char ONE[] = "{\"user_id\":\"x\",\"embedding\":[1,0,0,0],\"append\":true}\n";
    struct place p = small_place();
    char body[sizeof ONE * (MIEN_USER_TEMPLATES + 1)];
    for (int i = 0; i <= MIEN_USER_TEMPLATES; i++) memcpy(body + (sizeof ONE - 1) * (size_t)i, ONE, sizeof ONE);
    expect(lines(&p, body), 422, "would have more than 50 templates");
    expect(ask(&p, MIEN_GET, "/gallery"), 200, "\"total\":0");
    body[(sizeof ONE - 1) * MIEN_USER_TEMPLATES] = 0;
    expect(lines(&p, body), 200, "\"imported\":50");
    expect(lines(&p, ONE), 422, "would have more than 50 templates");
    expect(ask(&p, MIEN_GET, "/gallery"), 200, "\"templates\":50}]");
    close_place(&p);
}

static char *file_text(const char *path, size_t *n)
{
    unsigned char *data;
    struct mien_err e = {0};
    TEST_TRY(mien_file_read(path, 1 << 20, &data, n, &e), e);
    return (char *)data;
}

static void rotating_changes_key_and_seals(void **state)
{
    (void)state;
    struct place p = small_place();
    size_t n, m;
    expect(lines(&p, "{\"user_id\":\"x\",\"embedding\":[1,0,0,0]}\n{\"user_id\":\"y\",\"embedding\":[0,1,0,0]}"), 200, "imported");
    char *before = file_text(p.keys, &n);
    expect(post(&p, "/keys/rotate", "application/json", "{}"), 200, "{\"resealed\":2,");
    char *after = file_text(p.keys, &m);
    assert_true(n != m || memcmp(before, after, n) != 0);
    free(before);
    free(after);
    expect(ask(&p, MIEN_POST, "/keys/rotate"), 200, "\"resealed\":2"); /* without a body too */
    mien_service_free(&p.service);
    mien_gallery_close(&p.gallery);
    open_gallery(&p, "m", DIM); /* everything opens under the new key */
    assert_int_equal(mien_gallery_state(p.gallery).index.templates, 2);
    assert_int_equal(mien_gallery_state(p.gallery).unreadable, 0);
    close_place(&p);
}

static void metrics_tell_about_the_gallery(void **state)
{
    (void)state;
    struct place p = small_place();
    expect(lines(&p, "{\"user_id\":\"x\",\"embedding\":[1,0,0,0]}\n{\"user_id\":\"x\",\"embedding\":[0,1,0,0],\"append\":true}"), 200, "imported");
    struct answer a = request_run(mien_service_handler(p.service), request_new(MIEN_GET, "/metrics"));
    assert_non_null(strstr(a.body, "\nmien_gallery_up 1\n"));
    assert_non_null(strstr(a.body, "\nmien_gallery_users 1\n"));
    assert_non_null(strstr(a.body, "\nmien_gallery_templates 2\n"));
    assert_non_null(strstr(a.body, "\nmien_gallery_unreadable 0\n"));
    assert_non_null(strstr(a.body, "\nmien_search_seconds_count 0\n"));
    answer_free(&a);
    /* The store loses its file. */
    assert_int_equal(unlink(p.db), 0);
    expect(ask(&p, MIEN_GET, "/health"), 503, "\"database\":\"down\"");
    close_place(&p);
}

/* ---- over real networks ---- */

struct photos { char *one, *same, *other, *nothing; };

static char *base64_file(const char *person, int number)
{
    char inner[256], path[4096];
    unsigned char *data;
    size_t n;
    struct mien_err e = {0};
    snprintf(inner, sizeof inner, "lfw/images/%s/%s_%04d.jpg", person, person, number);
    TEST_TRY(mien_file_read(test_data(path, inner), 1 << 20, &data, &n, &e), e);
    char *text = malloc(4 * ((n + 2) / 3) + 1);
    assert_non_null(text);
    mien_base64_encode(data, n, text);
    free(data);
    return text;
}

static char *no_face(void)
{
    struct mien_image im = picture_smooth(160, 120);
    struct bytes b = picture_jpeg(&im, (struct jpeg_options){.quality = 80});
    char *text = malloc(4 * ((b.n + 2) / 3) + 1);
    assert_non_null(text);
    mien_base64_encode(b.data, b.n, text);
    free(b.data);
    mien_image_free(&im);
    return text;
}

static struct answer with_image(const struct place *p, const char *path, const char *members, const char *image)
{
    char *body = malloc(strlen(image) + strlen(members) + 32);
    assert_non_null(body);
    sprintf(body, "{%s\"image\":\"%s\"}", members, image);
    struct answer a = post(p, path, "application/json", body);
    free(body);
    return a;
}

/* similarity of the first match, or -2. */
static double first_match(const struct answer *a, const char *user_id)
{
    const struct mien_json *hit = mien_json_at(mien_json_get(a->json, "matches"), 0);
    const bool right = strcmp(mien_json_string(mien_json_get(hit, "user_id"), ""), user_id) == 0;
    return right ? mien_json_number(mien_json_get(hit, "similarity"), -2) : -2;
}

static void enrolled_people_are_found(const struct place *p, const struct photos *x)
{
    expect(with_image(p, "/search", "", x->one), 200, "\"matches\":[]"); /* nobody is there */
    expect(with_image(p, "/enroll", "\"user_id\":\"u\",\"name\":\"U\",\"metadata\":{\"a\":1},", x->one), 200, "\"success\":true");
    struct answer a = with_image(p, "/search", "\"top_k\":3,", x->same);
    const double same = first_match(&a, "u");
    assert_true(same > 0.275 && same < 0.99);
    assert_non_null(strstr(a.body, "\"name\":\"U\""));
    answer_free(&a);
    expect(with_image(p, "/search", "", x->other), 200, "\"matches\":[]"); /* a stranger */
    expect(with_image(p, "/search", "\"threshold\":-1,", x->other), 200, "\"user_id\":\"u\"");
    expect(with_image(p, "/verify", "\"user_id\":\"u\",", x->same), 200, "\"verified\":true");
    expect(with_image(p, "/verify", "\"user_id\":\"u\",", x->other), 200, "\"verified\":false");
    expect(with_image(p, "/verify", "\"user_id\":\"u\",\"threshold\":0.999,", x->same), 200, "\"verified\":false");
    expect(with_image(p, "/verify", "\"user_id\":\"nobody\",", x->same), 404, "not_enrolled");
    /* Another photo beside the first, then instead of it. */
    expect(with_image(p, "/enroll", "\"user_id\":\"u\",\"append\":true,", x->same), 200, "\"success\":true");
    expect(ask(p, MIEN_GET, "/gallery"), 200, "\"name\":\"U\"");
    expect(ask(p, MIEN_GET, "/gallery"), 200, "\"templates\":2");
    a = with_image(p, "/search", "", x->same);
    assert_true(first_match(&a, "u") > 0.999);
    assert_int_equal(mien_json_size(mien_json_get(a.json, "matches")), 1); /* a user once */
    answer_free(&a);
    expect(with_image(p, "/enroll", "\"user_id\":\"u\",", x->other), 200, "\"success\":true");
    expect(ask(p, MIEN_GET, "/gallery"), 200, "\"metadata\":{},\"templates\":1");
    expect(with_image(p, "/search", "", x->one), 200, "\"matches\":[]");
    expect(ask(p, MIEN_DELETE, "/enroll/u"), 200, "deleted");
    expect(with_image(p, "/search", "", x->other), 200, "\"matches\":[]");
}

static void what_is_not_enrolled(const struct place *p, const struct photos *x)
{
    struct mien_request *q = request_new(MIEN_POST, "/enroll");
    expect(with_image(p, "/enroll", "\"user_id\":\"u\",", x->nothing), 200, "\"success\":false,\"message\":\"No face detected in image\",\"quality\":null");
    expect(with_image(p, "/search", "", x->nothing), 400, "No face detected in image");
    expect(with_image(p, "/verify", "\"user_id\":\"u\",", x->nothing), 400, "no_face");
    expect(with_image(p, "/enroll", "\"user_id\":\"u\\n\",", x->one), 422, "\"loc\":[\"body\",\"user_id\"]");
    expect(with_image(p, "/enroll", "", x->one), 422, "\"loc\":[\"body\",\"user_id\"]");
    expect(with_image(p, "/enroll", "\"user_id\":\"u\",\"metadata\":7,", x->one), 422, "\"loc\":[\"body\",\"metadata\"]");
    request_query(q, "user_id", "u"); /* raw bytes that are no photo */
    request_body(q, "image/jpeg", "bytes", 5);
    expect(run(p, q), 400, "invalid_image");
    expect(ask(p, MIEN_GET, "/gallery"), 200, "\"total\":0");
}

static void poor_photos_are_refused(struct place *p, const struct photos *x)
{
    double shown;
    char rest[80];
    mien_service_free(&p->service);
    open_service(p, 0.99f);
    struct answer a = with_image(p, "/enroll", "\"user_id\":\"u\",", x->one);
    const double score = mien_json_number(mien_json_get(mien_json_get(a.json, "quality"), "score"), -1);
    const char *message = mien_json_string(mien_json_get(a.json, "message"), "");
    assert_int_equal(sscanf(message, "Face quality too low (%lf < 0.99)%79[^\n]", &shown, rest), 2);
    assert_string_equal(rest, ". Please use a clearer, frontal photo.");
    assert_true(score > 0.3 && shown <= score && shown > score - 0.011);
    assert_non_null(strstr(a.body, "\"success\":false"));
    answer_free(&a);
    expect(ask(p, MIEN_GET, "/gallery"), 200, "\"total\":0");
}

static void photos_of_people(void **state)
{
    (void)state;
    const struct photos x = {base64_file("Abdullah_Gul", 1), base64_file("Abdullah_Gul", 6), base64_file("Abdul_Rahman", 1), no_face()};
    struct place p = real_place();
    what_is_not_enrolled(&p, &x);
    enrolled_people_are_found(&p, &x);
    poor_photos_are_refused(&p, &x);
    close_place(&p);
    free(x.one);
    free(x.same);
    free(x.other);
    free(x.nothing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(without_a_gallery_the_store_is_not_there), cmocka_unit_test(imports_lists_and_deletes),
                                       cmocka_unit_test(an_import_is_all_or_nothing), cmocka_unit_test(a_user_has_at_most_50_templates),
                                       cmocka_unit_test(rotating_changes_key_and_seals), cmocka_unit_test(metrics_tell_about_the_gallery),
                                       cmocka_unit_test(photos_of_people)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
