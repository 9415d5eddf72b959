// Images by URL: which addresses are public, which hosts are asked, and what a hostile host cannot do. The hosts are a small server on loopback.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/fetch.h"

/* ---- addresses ---- */

static bool is_public(const char *text)
{
    uint8_t ip[16];
    if (inet_pton(AF_INET, text, ip) == 1) return mien_address_is_public(ip, 4);
    assert_int_equal(inet_pton(AF_INET6, text, ip), 1);
    return mien_address_is_public(ip, 16);
}

static void special_addresses_are_not_public(void **state)
{
    (void)state;
    static const char *const SPECIAL[] = {
        "0.0.0.0",          "0.1.2.3",          "10.0.0.1",       "10.255.255.255",  "100.64.0.1",   "100.127.255.255", "127.0.0.1",  "127.255.0.1",
        "169.254.169.254",  "172.16.0.1",       "172.31.255.255", "192.0.0.8",       "192.0.2.1",    "192.168.1.1",     "198.18.0.1", "198.19.255.255",
        "198.51.100.7",     "203.0.113.9",      "224.0.0.1",      "239.1.1.1",       "240.0.0.1",    "255.255.255.255", "::",         "::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1",  "::127.0.0.1",    "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1",          "2001::1",    "2001:db8::1",
        "2002:7f00:1::1",   "2002:c0a8:101::1", "fc00::1",        "fd12::1",         "fe80::1",      "fec0::1",         "ff02::1",    "3fff::1",
        "5f00::1",          "2001:0:7f00:1::1"};
    static const char *const PUBLIC[] = {"1.1.1.1",          "8.8.8.8",         "9.255.255.255",   "11.0.0.0",       "100.63.255.255",  "100.128.0.0",
                                         "126.255.255.255",  "128.0.0.1",       "169.253.0.1",     "172.15.255.255", "172.32.0.0",      "192.0.1.1",
                                         "192.167.255.255",  "192.169.0.0",     "198.17.0.1",      "198.20.0.1",     "223.255.255.255", "::ffff:8.8.8.8",
                                         "64:ff9b::808:808", "2002:808:808::1", "2606:4700::1111", "2a00:1450::1",   "3ffe::1"};
    for (size_t i = 0; i < sizeof SPECIAL / sizeof SPECIAL[0]; i++)
        if (is_public(SPECIAL[i])) fail_msg("%s counts as public", SPECIAL[i]);
    for (size_t i = 0; i < sizeof PUBLIC / sizeof PUBLIC[0]; i++)
        if (!is_public(PUBLIC[i])) fail_msg("%s does not count as public", PUBLIC[i]);
}

/* ---- a host ---- */

struct host {
    int fd, port;
    pthread_t thread;
    atomic_bool ending;
    atomic_int asked;
};

static void say(int fd, const char *text) { (void)!send(fd, text, strlen(text), MSG_NOSIGNAL); }

static void redirect(int fd, const char *to)
{
    char text[512];
    snprintf(text, sizeof text, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmore", to);
    say(fd, text);
}

static void without_end(struct host *h, int fd)
{
    char chunk[4200];
    memset(chunk, 'x', sizeof chunk);
    memcpy(chunk, "1000\r\n", 6);
    memcpy(chunk + 6 + 4096, "\r\n", 2);
    say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (!atomic_load(&h->ending) && send(fd, chunk, 6 + 4096 + 2, MSG_NOSIGNAL) > 0) continue;
}

static void byte_by_byte(struct host *h, int fd)
{
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    while (!atomic_load(&h->ending) && send(fd, "x", 1, MSG_NOSIGNAL) > 0) usleep(50000);
}

static void answer(struct host *h, int fd)
{
    char line[1024] = "", to[128];
    const ssize_t n = recv(fd, line, sizeof line - 1, 0);
    if (n <= 0) return;
    atomic_fetch_add(&h->asked, 1);
    if (strncmp(line, "GET /ok", 7) == 0) say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nimage");
    else if (strncmp(line, "GET /empty", 10) == 0) say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    else if (strncmp(line, "GET /relative", 13) == 0) redirect(fd, "/ok");
    else if (strncmp(line, "GET /loop", 9) == 0) redirect(fd, "/loop");
    else if (strncmp(line, "GET /other", 10) == 0) redirect(fd, "http://127.0.0.2/ok");
    else if (strncmp(line, "GET /six", 8) == 0) redirect(fd, "http://[::1]/ok");
    else if (strncmp(line, "GET /mapped", 11) == 0) redirect(fd, "http://[::ffff:127.0.0.2]/ok");
    else if (strncmp(line, "GET /file", 9) == 0) redirect(fd, "file:///etc/passwd");
    else if (strncmp(line, "GET /ftp", 8) == 0) redirect(fd, "ftp://127.0.0.1/ok");
    else if (strncmp(line, "GET /user", 9) == 0) {
        snprintf(to, sizeof to, "http://a:b@127.0.0.1:%d/ok", h->port);
        redirect(fd, to);
    } else if (strncmp(line, "GET /huge", 9) == 0) say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx");
    else if (strncmp(line, "GET /endless", 12) == 0) without_end(h, fd);
    else if (strncmp(line, "GET /slow", 9) == 0) byte_by_byte(h, fd);
    else say(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone");
}

struct visit { struct host *host; int fd; };

static void *serve_one(void *arg)
{
    struct visit v = *(struct visit *)arg;
    free(arg);
    answer(v.host, v.fd);
    close(v.fd);
    return NULL;
}

static void *serve(void *arg)
{
    struct host *h = arg;
    pthread_t visitor[64];
    int n = 0;
    for (;;) {
        struct visit *v = malloc(sizeof *v);
        assert_non_null(v);
        *v = (struct visit){h, accept(h->fd, NULL, NULL)};
        if (v->fd < 0 || atomic_load(&h->ending) || n == 64) {
            if (v->fd >= 0) close(v->fd);
            free(v);
            break;
        }
        assert_int_equal(pthread_create(&visitor[n++], NULL, serve_one, v), 0);
    }
    for (int i = 0; i < n; i++) pthread_join(visitor[i], NULL);
    return NULL;
}

static struct host *host_start(void)
{
    struct host *h = calloc(1, sizeof *h);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    assert_non_null(h);
    h->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(h->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(h->fd, 16), 0);
    assert_int_equal(getsockname(h->fd, (struct sockaddr *)&a, &size), 0);
    h->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&h->thread, NULL, serve, h), 0);
    return h;
}

static void host_stop(struct host *h)
{
    atomic_store(&h->ending, true);
    shutdown(h->fd, SHUT_RDWR);
    pthread_join(h->thread, NULL);
    close(h->fd);
    free(h);
}

/* ---- fetching ---- */

static struct mien_fetch *fetch_of(const char *hosts, const char *networks, int timeout_ms)
{
    struct mien_fetch_settings s = MIEN_FETCH_DEFAULT;
    struct mien_fetch *f;
    struct mien_err e = {0};
    s.hosts = hosts;
    s.networks = networks;
    s.timeout_ms = timeout_ms;
    s.max_bytes = 100000;
    if (mien_fetch_create(&s, &f, &e) != MIEN_OK) fail_msg("%s", e.msg);
    return f;
}

/* The code, and that nothing is left behind by a failure; *size of what came. */
static enum mien_code get(struct mien_fetch *f, const char *url, size_t *size)
{
    unsigned char *data = (unsigned char *)"";
    struct mien_err e = {0};
    enum mien_code code = mien_fetch_get(f, url, &data, size, &e);
    if (code != MIEN_OK) {
        assert_null(data);
        assert_null(strstr(e.msg, "secret"));
    } else {
        assert_memory_equal(data, "image", 5);
        free(data);
    }
    return code;
}

static enum mien_code get_path(struct mien_fetch *f, const struct host *h, const char *path)
{
    char url[256];
    size_t n;
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s?secret", h->port, path);
    return get(f, url, &n);
}

static void hosts_answer_or_fail(void **state)
{
    (void)state;
    struct host *h = host_start();
    struct mien_fetch *f = fetch_of("127.0.0.1", "127.0.0.1/32", 20000);
    assert_int_equal(get_path(f, h, "/ok"), MIEN_OK);
    assert_int_equal(get_path(f, h, "/relative"), MIEN_OK);
    assert_int_equal(get_path(f, h, "/nothing"), MIEN_E_URL_FETCH);
    assert_int_equal(get_path(f, h, "/empty"), MIEN_E_URL_FETCH);
    assert_int_equal(get_path(f, h, "/huge"), MIEN_E_IMAGE_LIMIT);
    assert_int_equal(get_path(f, h, "/endless"), MIEN_E_IMAGE_LIMIT);
    const int before = atomic_load(&h->asked);
    assert_int_equal(get_path(f, h, "/loop"), MIEN_E_URL_FETCH);
    assert_int_equal(atomic_load(&h->asked) - before, 4); /* the first and three redirects */
    mien_fetch_free(&f);
    f = fetch_of("127.0.0.1", "127.0.0.1/32", 400);
    assert_int_equal(get_path(f, h, "/slow"), MIEN_E_URL_FETCH);
    mien_fetch_free(&f);
    host_stop(h);
}

static void redirects_are_checked_like_the_first(void **state)
{
    (void)state;
    static const char *const PATH[] = {"/other", "/six", "/mapped", "/file", "/ftp", "/user"};
    struct host *h = host_start();
    struct mien_fetch *f = fetch_of("*", "127.0.0.1/32", 20000);
    assert_int_equal(get_path(f, h, "/ok"), MIEN_OK);
    for (size_t i = 0; i < sizeof PATH / sizeof PATH[0]; i++)
        if (get_path(f, h, PATH[i]) != MIEN_E_URL_REFUSED) fail_msg("%s", PATH[i]);
    mien_fetch_free(&f);
    f = fetch_of("127.0.0.1", "127.0.0.0/8,::1/128,::ffff:127.0.0.0/104", 20000); /* the address would do, the name does not */
    for (size_t i = 0; i < 3; i++) assert_int_equal(get_path(f, h, PATH[i]), MIEN_E_URL_REFUSED);
    mien_fetch_free(&f);
    host_stop(h);
}

static void names_and_forms_of_loopback_are_refused(void **state)
{
    (void)state;
    static const char *const NAME[] = {"localhost", "127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::ffff:7f00:1]", "[::1]", "0"};
    struct host *h = host_start();
    struct mien_fetch *f = fetch_of("*", "", 20000);
    for (size_t i = 0; i < sizeof NAME / sizeof NAME[0]; i++) {
        char url[128];
        size_t n;
        snprintf(url, sizeof url, "http://%s:%d/ok", NAME[i], h->port);
        if (get(f, url, &n) != MIEN_E_URL_REFUSED) fail_msg("%s", url);
    }
    assert_int_equal(atomic_load(&h->asked), 0);
    mien_fetch_free(&f);
    host_stop(h);
}

static void only_listed_hosts_and_plain_urls(void **state)
{
    (void)state;
    static const struct { const char *hosts, *url; bool good;
    } CASE[] = {{NULL, "http://example.org/", false},
                {"", "http://example.org/", false},
                {"example.org", "http://example.org/a.jpg", true},
                {"example.org", "https://EXAMPLE.org:8443/", true},
                {"example.org", "http://www.example.org/", false},
                {"example.org", "http://example.org.evil.net/", false},
                {"*.example.org", "http://www.example.org/", true},
                {"*.example.org", "http://example.org/", false},
                {"*.example.org", "http://evilexample.org/", false},
                {"a.org, b.org", "http://b.org/", true},
                {"*", "http://anything.net/", true},
                {"*", "ftp://example.org/", false},
                {"*", "file:///etc/passwd", false},
                {"*", "gopher://example.org/", false},
                {"*", "http://user@example.org/", false},
                {"*", "http://user:word@example.org/", false},
                {"*", "http://", false},
                {"*", "//example.org/", false},
                {"*", "http://exa mple.org/", false},
                {"*", "", false}};
    for (size_t i = 0; i < sizeof CASE / sizeof CASE[0]; i++) {
        struct mien_fetch *f = fetch_of(CASE[i].hosts, NULL, 1000);
        struct mien_err e = {0};
        const bool good = mien_fetch_allowed(f, CASE[i].url, &e) == MIEN_OK;
        if (good != CASE[i].good) fail_msg("hosts \"%s\", %s", CASE[i].hosts, CASE[i].url);
        if (!good) assert_int_equal(e.code, MIEN_E_URL_REFUSED);
        mien_fetch_free(&f);
    }
}

static void malformed_settings_are_named(void **state)
{
    (void)state;
    static const struct mien_fetch_settings WRONG[] = {{.hosts = "http://a.org"},
                                                       {.hosts = "a.org/path"},
                                                       {.hosts = "*a.org"},
                                                       {.hosts = "a.org,b org!"},
                                                       {.hosts = "a", .networks = "10.0.0.0"},
                                                       {.hosts = "a", .networks = "10.0.0.0/33"},
                                                       {.hosts = "a", .networks = "10.0.0/8"},
                                                       {.hosts = "a", .networks = "fd00::/129"},
                                                       {.hosts = "a", .networks = "10.0.0.0/8x"},
                                                       {.hosts = "a", .networks = "10.0.0.0/-1"}};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        struct mien_fetch *f;
        struct mien_err e = {0};
        if (mien_fetch_create(&WRONG[i], &f, &e) != MIEN_E_CONFIG) fail_msg("case %zu", i);
        assert_null(f);
    }
}

struct crowd { struct mien_fetch *fetch; const struct host *host; };

static void *fetch_some(void *arg)
{
    const struct crowd *c = arg;
    for (int i = 0; i < 5; i++) assert_int_equal(get_path(c->fetch, c->host, i % 2 == 0 ? "/ok" : "/relative"), MIEN_OK);
    return NULL;
}

static void several_threads_share_one(void **state)
{
    (void)state;
    struct host *h = host_start();
    struct crowd c = {fetch_of("127.0.0.1", "127.0.0.1/32", 30000), h};
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&thread[i], NULL, fetch_some, &c), 0);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    mien_fetch_free(&c.fetch);
    host_stop(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(special_addresses_are_not_public),
                                       cmocka_unit_test(hosts_answer_or_fail),
                                       cmocka_unit_test(redirects_are_checked_like_the_first),
                                       cmocka_unit_test(names_and_forms_of_loopback_are_refused),
                                       cmocka_unit_test(only_listed_hosts_and_plain_urls),
                                       cmocka_unit_test(malformed_settings_are_named),
                                       cmocka_unit_test(several_threads_share_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
