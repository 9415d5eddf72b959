/* One service, many threads, as the server uses it (run under the thread sanitizer too): nothing is counted twice or lost, and limits hold. */
#include "support/requests.h"

#include <pthread.h>
#include <stdatomic.h>

#include "service/handlers.h"
#include "service/service.h"

#define END {.name = NULL}
#define KEY "one-key-for-all-threads"
enum { THREADS = 4, ROUNDS = 500, BURST = 700 };

static const struct mien_member m_one[] = {{.name = "image", .kind = MIEN_KIND_IMAGE, .required = true}, END};
static atomic_int answered;

static enum mien_code echo(struct mien_call *c, struct mien_err *e)
{
    (void)e;
    atomic_fetch_add(&answered, 1);
    mien_put_integer(c, "bytes", (int64_t)mien_call_image(c, "image")->size);
    return MIEN_OK;
}

const struct mien_route mien_routes[] = {
    {MIEN_POST, "/free", MIEN_SCOPE_NONE, MIEN_TAKES_IMAGE_FORMS, false, m_one, NULL, NULL, echo, "", "", NULL},
    {MIEN_POST, "/limited", MIEN_SCOPE_ANALYZE, MIEN_TAKES_IMAGE_FORMS, false, m_one, NULL, NULL, echo, "", "", NULL},
    {MIEN_GET, "/metrics", MIEN_SCOPE_NONE, MIEN_TAKES_NOTHING, true, NULL, NULL, "text/plain", mien_do_metrics, "", "", NULL}};
const int mien_route_count = 3;

static struct mien_service *service;
static atomic_int passed, limited;

static void send(const char *path, bool wrong, int number)
{
    struct mien_request *q = request_new(MIEN_POST, path);
    q->worker = number;
    request_header(q, "X-API-Key", KEY);
    request_json(q, wrong ? "{\"image\":7}" : "{\"image\":\"YWJj\"}");
    struct answer a = request_run(mien_service_handler(service), q);
    if (a.status == 200) atomic_fetch_add(&passed, 1);
    if (a.status == 429) atomic_fetch_add(&limited, 1);
    answer_free(&a);
}

static void *worker(void *context)
{
    const int number = *(const int *)context;
    for (int i = 0; i < ROUNDS; i++) {
        send("/free", i % 5 == 0, number);
        send("/limited", false, number);
        if (i % 50 == 0) {
            struct answer a = request_run(mien_service_handler(service), request_new(MIEN_GET, "/metrics"));
            answer_free(&a);
        }
    }
    return NULL;
}

static double metric(const char *text, const char *name)
{
    const char *p = strstr(text, name);
    return p != NULL ? strtod(p + strlen(name), NULL) : -1.0;
}

static void nothing_is_lost(void **state)
{
    (void)state;
    static const char EMPTY[] = "{\"version\":1,\"pack\":\"test\",\"roles\":{},\"models\":[]}";
    struct mien_models *models = NULL;
    struct mien_service_settings s;
    pthread_t thread[THREADS];
    int number[THREADS] = {0, 1, 2, 3};
    mien_service_settings_default(&s);
    s.workers = THREADS;
    s.api_keys = KEY;
    s.rate_limit = 1e-6;
    s.rate_burst = BURST;
    assert_int_equal(mien_models_parse(EMPTY, sizeof EMPTY - 1, "/nonexistent", NULL, &models, NULL), MIEN_OK);
    assert_int_equal(mien_service_create(&s, models, &service, NULL), MIEN_OK);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&thread[i], NULL, worker, &number[i]), 0);
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    const int free_ok = THREADS * ROUNDS * 4 / 5;
    assert_int_equal(atomic_load(&passed), free_ok + BURST);
    assert_int_equal(atomic_load(&answered), free_ok + BURST);
    assert_int_equal(atomic_load(&limited), THREADS * ROUNDS - BURST);
    struct answer a = request_run(mien_service_handler(service), request_new(MIEN_GET, "/metrics"));
    assert_true(metric(a.body, "mien_requests_total{route=\"/free\",method=\"POST\",status=\"200\"} ") == (double)free_ok);
    assert_true(metric(a.body, "mien_requests_total{route=\"/free\",method=\"POST\",status=\"422\"} ") == (double)(THREADS * ROUNDS - free_ok));
    assert_true(metric(a.body, "mien_requests_total{route=\"/limited\",method=\"POST\",status=\"200\"} ") == (double)BURST);
    assert_true(metric(a.body, "mien_rejected_total{reason=\"rate_limited\"} ") == (double)(THREADS * ROUNDS - BURST));
    answer_free(&a);
    mien_service_free(&service);
    mien_models_free(&models);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
