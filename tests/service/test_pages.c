/* Which files of WEB_DIR become pages, and of which kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "service/pages.h"

static char dir[64];

static void put(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(name, f);
    fclose(f);
}

static int set_up(void **state)
{
    char path[128];
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/mien-pages-XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    static const char *const FOLDERS[] = {"assets", "docs", "other"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, FOLDERS[i]);
        if (mkdir(path, 0700) != 0) return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static void files_become_pages(void **state)
{
    (void)state;
    static const struct { const char *name, *type; enum mien_page_kind kind; } WANTED[] = {
        {"index.html", "text/html; charset=utf-8", MIEN_PAGE_APP},
        {"theme.js", "text/javascript; charset=utf-8", MIEN_PAGE_NONE},
        {"favicon.svg", "image/svg+xml", MIEN_PAGE_NONE},
        {"mien-verify.js", "text/javascript; charset=utf-8", MIEN_PAGE_OPEN},
        {"assets/index-0a_b.css", "text/css; charset=utf-8", MIEN_PAGE_ASSET},
        {"assets/mien-verify.js", "text/javascript; charset=utf-8", MIEN_PAGE_ASSET},
        {"docs/index.html", "text/html; charset=utf-8", MIEN_PAGE_DOCS},
        {"docs/start.js", "text/javascript; charset=utf-8", MIEN_PAGE_NONE}};
    static const char *const LEFT_OUT[] = {".page", ".hidden.js", "Upper.js", "space here.js", "notes", "keys.pem", "other/page.html", "docs/.html"};
    enum { N = sizeof WANTED / sizeof *WANTED };
    struct mien_pages p;
    for (size_t i = 0; i < N; i++) put(WANTED[i].name);
    for (size_t i = 0; i < sizeof LEFT_OUT / sizeof *LEFT_OUT; i++) put(LEFT_OUT[i]);
    put("theme.js.gz");
    assert_int_equal(mien_pages_load(dir, &p, NULL), MIEN_OK);
    assert_int_equal(p.n, N);
    for (size_t i = 0; i < N; i++) {
        const struct mien_page *page = mien_pages_find(&p, WANTED[i].name);
        assert_non_null(page);
        assert_string_equal(page->type, WANTED[i].type);
        assert_int_equal(page->kind, WANTED[i].kind);
        assert_int_equal(page->size, strlen(WANTED[i].name));
        assert_memory_equal(page->data, WANTED[i].name, page->size);
        assert_true((page->gz != NULL) == (strcmp(page->name, "theme.js") == 0));
    }
    assert_null(mien_pages_find(&p, "other/page.html"));
    assert_null(mien_pages_find(&p, ""));
    mien_pages_free(&p);
    assert_int_equal(p.n, 0);
}

static void no_folder_no_pages(void **state)
{
    (void)state;
    struct mien_pages p;
    static const char *const NONE[] = {NULL, "", "/nonexistent/web"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mien_pages_load(NONE[i], &p, NULL), MIEN_OK);
        assert_int_equal(p.n, 0);
    }
}

static void what_cannot_be_served_stops_the_start(void **state)
{
    (void)state;
    char name[128];
    struct mien_pages p;
    struct mien_err e = {0};
    for (int i = 0; i <= MIEN_MAX_PAGES; i++) {
        snprintf(name, sizeof name, "assets/part-%d.js", i);
        put(name);
    }
    assert_int_equal(mien_pages_load(dir, &p, &e), MIEN_E_CONFIG);
    assert_non_null(strstr(e.msg, "more than 64 files"));
    assert_int_equal(p.n, 0); /* nothing is left behind */
    snprintf(name, sizeof name, "%s/assets/part-0.js", dir);
    assert_int_equal(remove(name), 0);
    assert_int_equal(mien_pages_load(dir, &p, &e), MIEN_OK);
    assert_int_equal(p.n, MIEN_MAX_PAGES);
    mien_pages_free(&p);
    snprintf(name, sizeof name, "%s/assets/part-1.js", dir);
    assert_int_equal(remove(name), 0);
    assert_int_equal(mkdir(name, 0700), 0); /* a folder by a file's name cannot be read */
    assert_int_equal(mien_pages_load(dir, &p, &e), MIEN_E_CONFIG);
    assert_non_null(strstr(e.msg, "part-1.js cannot be read"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(files_become_pages, set_up, tear_down), cmocka_unit_test(no_folder_no_pages),
                                       cmocka_unit_test_setup_teardown(what_cannot_be_served_stops_the_start, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
