// needs: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=mien_arena_calloc,--wrap=mien_arena_strndup
/* Each allocation of a request fails once: the client gets 503 or its answer, never half of one, and nothing is left behind (the address sanitizer of a SAN
 * build sees leaks). The same for making the service. */
#include "support/requests.h"

#include "service/call.h"
#include "service/service.h"

static long countdown = -1; /* allocations until the one that fails; -1: none does */

static bool refuse(void)
{
    if (countdown < 0) return false;
    return countdown-- == 0;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
void *__wrap_malloc(size_t n) { return refuse() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return refuse() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return refuse() ? NULL : __real_realloc(p, n); }
void *__wrap_aligned_alloc(size_t align, size_t n) { return refuse() ? NULL : __real_aligned_alloc(align, n); }

/* The arena's blocks are large: what a request keeps in it must fail one by one too. */
void *__real_mien_arena_calloc(struct mien_arena *a, size_t count, size_t size);
char *__real_mien_arena_strndup(struct mien_arena *a, const char *s, size_t n);
void *__wrap_mien_arena_calloc(struct mien_arena *a, size_t count, size_t size);
char *__wrap_mien_arena_strndup(struct mien_arena *a, const char *s, size_t n);
void *__wrap_mien_arena_calloc(struct mien_arena *a, size_t count, size_t size) { return refuse() ? NULL : __real_mien_arena_calloc(a, count, size); }
char *__wrap_mien_arena_strndup(struct mien_arena *a, const char *s, size_t n) { return refuse() ? NULL : __real_mien_arena_strndup(a, s, n); }

#define END {.name = NULL}
static const struct mien_member m_sub[] = {{.name = "image", .kind = MIEN_KIND_IMAGE, .required = true}, END};
static const struct mien_member m_all[] = {{.name = "image", .kind = MIEN_KIND_IMAGE, .required = true},
                                           {.name = "text", .kind = MIEN_KIND_TEXT},
                                           {.name = "choice", .kind = MIEN_KIND_CHOICE, .choices = "a|b"},
                                           {.name = "images", .kind = MIEN_KIND_IMAGES, .high = 20},
                                           {.name = "items", .kind = MIEN_KIND_ITEMS, .high = 20, .sub = m_sub},
                                           END};

static enum mien_code answer_at_length(struct mien_call *c, struct mien_err *e)
{
    (void)e;
    const struct mien_blob *first;
    assert_non_null(mien_call_image(c, "image"));
    assert_string_equal(mien_call_text(c, "text"), "some text");
    assert_string_equal(mien_call_text(c, "choice"), "b");
    assert_int_equal(mien_call_images(c, "images", &first), 4);
    assert_int_equal(mien_call_items(c, "items"), 2);
    float numbers[300] = {0};
    mien_put_embedding(c, "numbers", numbers, 300);
    mien_put_text(c, "end", "of the answer");
    return MIEN_OK;
}

const struct mien_route mien_routes[] = {
    {MIEN_POST, "/all", MIEN_SCOPE_ANALYZE, MIEN_TAKES_JSON | MIEN_TAKES_MULTIPART, false, m_all, NULL, NULL, answer_at_length, "", "", NULL}};
const int mien_route_count = 1;

static struct mien_models *models;

static int set_up(void **state)
{
    (void)state;
    static const char EMPTY[] = "{\"version\":1,\"pack\":\"test\",\"roles\":{},\"models\":[]}";
    request_url_serves("http://a.example/", "picture", 7);
    return mien_models_parse(EMPTY, sizeof EMPTY - 1, "/nonexistent", NULL, &models, NULL) == MIEN_OK ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    mien_models_free(&models);
    return 0;
}

static struct mien_request *json_request(void)
{
    struct mien_request *q = request_new(MIEN_POST, "/all");
    char body[8192];
    size_t n = (size_t)snprintf(body, sizeof body, "{\"text\":\"some text\",\"choice\":\"b\",\"images\":[\"YQ\",\"Yg\",\"http://a.example/\",\"!\"],"
                                                   "\"items\":[{\"image\":\"YQ\"},{\"image\":\"http://a.example/\"}],\"image\":\"");
    memset(body + n, 'A', 4000);
    snprintf(body + n + 4000, sizeof body - n - 4000, "\"}");
    request_json(q, body);
    return q;
}

/* What request_run does, with the failing allocation inside the service only. Returns the status. */
static int run(const struct mien_http_handler *h, struct mien_request *q, long fails_at, bool *failed)
{
    struct mien_response r = {.status = 200};
    size_t max_body = 0;
    mien_buf_init(&r.body, 1u << 20);
    countdown = fails_at;
    if (h->begin(h->context, q, &r, &max_body) == MIEN_PLAN_QUEUE && h->answer(h->context, 0, q, &r) == MIEN_NEXT_FETCH) {
        h->fetch(h->context, q);
        (void)h->answer(h->context, 0, q, &r);
    }
    *failed = countdown < 0;
    countdown = -1;
    if (r.body.data != NULL && r.status == 200) assert_non_null(strstr(r.body.data, "of the answer\"}"));
    if (r.body.data != NULL && r.status != 200) assert_null(strstr(r.body.data, "of the answer"));
    const int status = r.body.data != NULL ? r.status : 503;
    mien_buf_free(&r.body);
    for (int i = 0; i < r.n_headers; i++) free(r.header[i].value);
    h->done(h->context, q, status, 0);
    pairs_free(q->header, q->n_headers);
    free(q->body);
    free(q);
    return status;
}

static void requests(void **state)
{
    (void)state;
    struct mien_service *service = NULL;
    struct mien_service_settings s;
    mien_service_settings_default(&s);
    assert_int_equal(mien_service_create(&s, models, &service, NULL), MIEN_OK);
    const struct mien_http_handler *h = mien_service_handler(service);
    bool failed = true;
    int refused = 0;
    for (long i = 0; failed; i++) {
        const int status = run(h, json_request(), i, &failed);
        if (status != 503 && status != 200) {
            /* A URL whose bytes could not be held is a URL that could not be fetched. */
            assert_int_equal(status, 400);
        }
        refused += status == 503;
        if (!failed) assert_int_equal(status, 200);
    }
    assert_true(refused > 3);
    mien_service_free(&service);
}

static void making_the_service(void **state)
{
    (void)state;
    struct mien_service_settings s;
    mien_service_settings_default(&s);
    s.api_keys = "abcdefghijklmnop second:abcdefghijklmnoq=analyze";
    s.rate_limit = 1.0;
    s.workers = 2;
    enum mien_code code = MIEN_E_NOMEM;
    for (long i = 0; code != MIEN_OK; i++) {
        struct mien_service *service = NULL;
        countdown = i;
        code = mien_service_create(&s, models, &service, NULL);
        countdown = -1;
        assert_true(code == MIEN_OK || service == NULL);
        assert_true(code == MIEN_OK || code == MIEN_E_NOMEM || code == MIEN_E_INTERNAL);
        mien_service_free(&service);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(requests), cmocka_unit_test(making_the_service)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
