/* The client against servers that are made here: one connection each, one answer, then the end. */
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
#include <unistd.h>

#include "net/client.h"

struct peer {
    int listener, port;
    const char *answer; /* NULL: closes without one */
    char asked[4096];
    pthread_t thread;
};

/* Reads until the request's last bytes ("end") have come. */
static void *serve_once(void *cls)
{
    struct peer *p = cls;
    size_t n = 0;
    const int fd = accept(p->listener, NULL, NULL);
    while (fd >= 0 && n < sizeof p->asked - 1 && strstr(p->asked, "\r\n\r\n") == NULL) {
        const ssize_t got = read(fd, p->asked + n, sizeof p->asked - 1 - n);
        if (got <= 0) break;
        n += (size_t)got;
    }
    if (p->answer != NULL && send(fd, p->answer, strlen(p->answer), MSG_NOSIGNAL) < 0) p->asked[0] = '\0';
    close(fd);
    return NULL;
}

static void start(struct peer *p, const char *answer)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    *p = (struct peer){.answer = answer};
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(p->listener, 4), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&a, &size), 0);
    p->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&p->thread, NULL, serve_once, p), 0);
}

static void stop(struct peer *p)
{
    pthread_join(p->thread, NULL);
    close(p->listener);
}

static enum mien_code ask(struct peer *p, const char *below, const char *key, const struct mien_ask *question, int *status, struct mien_buf *answer,
                          struct mien_err *e)
{
    struct mien_client *c;
    char url[100];
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", p->port, below);
    assert_int_equal(mien_client_create(url, key, &c, e), MIEN_OK);
    const enum mien_code code = mien_client_ask(c, question, status, answer, e);
    mien_client_free(&c);
    return code;
}

static void a_question_and_its_answer(void **state)
{
    (void)state;
    struct peer p;
    struct mien_buf answer;
    struct mien_err e = {0};
    int status;
    setenv("http_proxy", "http://127.0.0.1:9", 1); /* nobody is there: must not be asked for loopback */
    start(&p, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone");
    mien_buf_init(&answer, 100);
    const struct mien_ask question = {.method = "DELETE", .path = "/enroll/a%2Fb", .timeout_ms = 20000};
    assert_int_equal(ask(&p, "/base/", "a-key", &question, &status, &answer, &e), MIEN_OK);
    stop(&p);
    assert_int_equal(status, 404);
    assert_string_equal(answer.data, "none");
    assert_non_null(strstr(p.asked, "DELETE /base/enroll/a%2Fb HTTP/1.1\r\n"));
    assert_non_null(strstr(p.asked, "Authorization: Bearer a-key\r\n"));
    assert_null(strstr(p.asked, "Content-Type"));
    mien_buf_free(&answer);
    unsetenv("http_proxy");
}

static void redirects_do_not_carry_the_key_away(void **state)
{
    (void)state;
    struct peer p;
    struct mien_buf answer;
    struct mien_err e = {0};
    int status;
    start(&p, "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    mien_buf_init(&answer, 100);
    const struct mien_ask question = {.method = "POST", .path = "/search", .body = "{}", .n = 2, .timeout_ms = 20000};
    assert_int_equal(ask(&p, "", "a-key", &question, &status, &answer, &e), MIEN_OK);
    stop(&p);
    assert_int_equal(status, 307);
    assert_non_null(strstr(p.asked, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(p.asked, "Content-Length: 2\r\n"));
    mien_buf_free(&answer);
}

static void answers_that_are_none(void **state)
{
    (void)state;
    struct peer p;
    struct mien_buf answer;
    struct mien_err e = {0};
    int status;
    const struct mien_ask question = {.method = "GET", .path = "/", .timeout_ms = 20000};
    start(&p, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\nConnection: close\r\n\r\n01234567890123456789");
    mien_buf_init(&answer, 10);
    assert_int_equal(ask(&p, "", NULL, &question, &status, &answer, &e), MIEN_E_LIMIT);
    stop(&p);
    assert_null(strstr(p.asked, "Authorization"));
    start(&p, NULL);
    mien_buf_init(&answer, 10);
    assert_int_equal(ask(&p, "", NULL, &question, &status, &answer, &e), MIEN_E_URL_FETCH);
    stop(&p);
    e = (struct mien_err){0};
    p.port = 1;
    assert_int_equal(ask(&p, "/secret", "a-key", &question, &status, &answer, &e), MIEN_E_URL_FETCH);
    assert_non_null(strstr(e.msg, "127.0.0.1:1"));
    assert_null(strstr(e.msg, "secret"));
    mien_buf_free(&answer);
}

static void what_is_no_server(void **state)
{
    (void)state;
    static const char *const WRONG[] = {"", "host", "ftp://host", "file:///etc/passwd", "http://", "http://user:pass@host/",
                                        "http://host/?query=1", "http://host/#x"};
    struct mien_client *c;
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        assert_int_equal(mien_client_create(WRONG[i], NULL, &c, NULL), MIEN_E_ARG);
        assert_null(c);
    }
    assert_int_equal(mien_client_create("http://host", "two\r\nlines", &c, NULL), MIEN_E_ARG);
}

static void names_of_this_machine(void **state)
{
    (void)state;
    assert_true(mien_host_is_loopback("localhost") && mien_host_is_loopback("127.0.0.1") && mien_host_is_loopback("127.9.9.9"));
    assert_true(mien_host_is_loopback("::1") && mien_host_is_loopback("[::1]"));
    assert_false(mien_host_is_loopback("0.0.0.0") || mien_host_is_loopback("::") || mien_host_is_loopback("128.0.0.1"));
    assert_false(mien_host_is_loopback("127.0.0.1.example.org") || mien_host_is_loopback("localhost.example.org") || mien_host_is_loopback(""));
}

static void parts_of_a_path(void **state)
{
    (void)state;
    struct mien_buf b;
    mien_buf_init(&b, 100);
    mien_url_add(&b, "a-Z_0.~ /?#%&\xc3\xbc");
    assert_string_equal(b.data, "a-Z_0.~%20%2F%3F%23%25%26%C3%BC");
    mien_buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_question_and_its_answer), cmocka_unit_test(redirects_do_not_carry_the_key_away),
                                       cmocka_unit_test(answers_that_are_none), cmocka_unit_test(what_is_no_server), cmocka_unit_test(names_of_this_machine),
                                       cmocka_unit_test(parts_of_a_path)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
