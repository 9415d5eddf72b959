/* arena, buf, file, err: limits hold, failures are reported, nothing is half-written. */
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

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/err.h"
#include "base/file.h"

static void arena_gives_zeroed_aligned_memory(void **state)
{
    (void)state;
    struct mien_arena *a = mien_arena_create(1 << 20);
    assert_non_null(a);
    for (size_t n = 0; n < 300; n += 7) {
        unsigned char *p = mien_arena_alloc(a, n);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t i = 0; i < n; i++) assert_int_equal(p[i], 0);
        memset(p, 0xee, n);
    }
    mien_arena_free(&a);
    assert_null(a);
    mien_arena_free(&a);
}

static void arena_keeps_its_cap(void **state)
{
    (void)state;
    struct mien_arena *a = mien_arena_create(200 * 1024);
    assert_non_null(mien_arena_alloc(a, 150 * 1024));
    assert_null(mien_arena_alloc(a, 100 * 1024));
    assert_non_null(mien_arena_alloc(a, 16 * 1024)); /* less than a block, still under the cap */
    assert_null(mien_arena_alloc(a, SIZE_MAX));
    assert_null(mien_arena_calloc(a, SIZE_MAX / 2, 4));
    assert_true(mien_arena_used(a) <= 200 * 1024);
    mien_arena_wipe_free(&a);
    assert_null(a);
}

static void arena_survives_large_and_small_mixed(void **state)
{
    (void)state;
    struct mien_arena *a = mien_arena_create(8 << 20);
    char *first = mien_arena_strndup(a, "hello world", 5);
    char *big = mien_arena_alloc(a, 1 << 20);
    char *after = mien_arena_strndup(a, "again", 5);
    memset(big, 1, 1 << 20);
    assert_string_equal(first, "hello");
    assert_string_equal(after, "again");
    assert_true(after - first < 64 * 1024); /* the large block did not strand the small one */
    mien_arena_free(&a);
}

static void buffer_stops_at_its_maximum(void **state)
{
    (void)state;
    struct mien_buf b;
    mien_buf_init(&b, 10);
    assert_true(mien_buf_adds(&b, "12345"));
    assert_true(mien_buf_addf(&b, "%d", 67890));
    assert_string_equal(b.data, "1234567890");
    assert_false(mien_buf_adds(&b, "x"));
    assert_true(b.failed);
    assert_null(b.data);
    assert_false(mien_buf_adds(&b, "")); /* stays failed */
    mien_buf_free(&b);
    mien_buf_init(&b, SIZE_MAX);
    assert_false(mien_buf_add(&b, "x", SIZE_MAX));
    mien_buf_free(&b);
}

static void error_is_recorded_where_it_began(void **state)
{
    (void)state;
    struct mien_err e = {0};
    enum mien_code code = MIEN_FAIL(&e, MIEN_E_LIMIT, "%d is too many", 3);
    assert_int_equal(code, MIEN_E_LIMIT);
    assert_string_equal(e.msg, "3 is too many");
    assert_int_equal(e.line, __LINE__ - 3);
    assert_int_equal(MIEN_FAIL(NULL, MIEN_E_IO, "nobody listens"), MIEN_E_IO);
    assert_string_equal(mien_code_name(MIEN_E_NO_FACE), "no_face");
    assert_string_equal(mien_code_name((enum mien_code)12345), "unknown");
}

static char *scratch(void)
{
    static char dir[] = "/tmp/mien-test-XXXXXX";
    static int made;
    if (!made++) assert_non_null(mkdtemp(dir));
    return dir;
}

static void files_are_whole_or_absent(void **state)
{
    (void)state;
    char path[256], missing[300];
    snprintf(path, sizeof path, "%s/file", scratch());
    struct mien_err e;
    assert_int_equal(mien_file_write(path, "content", 7, &e), MIEN_OK);
    struct mien_file f;
    assert_int_equal(mien_file_map(path, 100, &f, &e), MIEN_OK);
    assert_int_equal(f.size, 7);
    assert_memory_equal(f.data, "content", 7);
    mien_file_unmap(&f);
    assert_int_equal(mien_file_map(path, 6, &f, &e), MIEN_E_LIMIT);
    unsigned char *p;
    size_t n;
    assert_int_equal(mien_file_read(path, 7, &p, &n, &e), MIEN_OK);
    assert_int_equal(n, 7);
    assert_int_equal(p[7], 0);
    free(p);
    assert_int_equal(mien_file_read(path, 6, &p, &n, &e), MIEN_E_LIMIT);
    assert_null(p);
    snprintf(missing, sizeof missing, "%s/no/such", scratch());
    assert_int_equal(mien_file_read(missing, 7, &p, &n, &e), MIEN_E_IO);
    assert_int_equal(mien_file_map(scratch(), 100, &f, &e), MIEN_E_IO); /* a folder */
    assert_int_equal(mien_file_write(missing, "x", 1, &e), MIEN_E_IO);
    assert_non_null(strstr(e.msg, missing));
    assert_int_equal(mien_file_write(path, "", 0, &e), MIEN_OK);
    assert_int_equal(mien_file_map(path, 100, &f, &e), MIEN_OK);
    assert_int_equal(f.size, 0);
    mien_file_unmap(&f);
    unlink(path);
    rmdir(scratch());
}

static void a_file_is_replaced_with_its_mode(void **state)
{
    (void)state;
    char path[256], link_path[256];
    struct mien_file f;
    struct mien_err e;
    struct stat st;
    snprintf(path, sizeof path, "%s/file", scratch());
    snprintf(link_path, sizeof link_path, "%s/link", scratch());
    mkdir(scratch(), 0700); /* gone with the test before */
    assert_int_equal(mien_file_replace(path, "new", 3, &e), MIEN_E_IO); /* there is none */
    assert_int_equal(mien_file_replace(scratch(), "new", 3, &e), MIEN_E_IO);
    assert_int_equal(mien_file_write(path, "content", 7, &e), MIEN_OK);
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink("file", link_path), 0);
    assert_int_equal(mien_file_replace(link_path, "new", 3, &e), MIEN_OK);
    assert_true(lstat(link_path, &st) == 0 && S_ISLNK(st.st_mode));
    assert_true(lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0640);
    assert_int_equal(mien_file_map(path, 100, &f, &e), MIEN_OK);
    assert_int_equal(f.size, 3);
    assert_memory_equal(f.data, "new", 3);
    mien_file_unmap(&f);
    unlink(link_path);
    unlink(path);
    assert_int_equal(rmdir(scratch()), 0); /* nothing else is left */
}

static void cpu_mask_hides_flags(void **state)
{
    (void)state;
    unsigned all = mien_cpu_flags();
    mien_cpu_set_mask(0);
    assert_int_equal(mien_cpu_flags(), 0);
    mien_cpu_set_mask(MIEN_CPU_AVX2);
    assert_int_equal(mien_cpu_flags(), all & MIEN_CPU_AVX2);
    mien_cpu_set_mask(~0u);
    assert_int_equal(mien_cpu_flags(), all);
    if (all & MIEN_CPU_AVX512_BF16) assert_true(all & MIEN_CPU_AVX512);
}

static void utc_times_are_written(void **state)
{
    (void)state;
    char text[40];
    mien_utc_text(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    mien_utc_text(951782400123, text);
    assert_string_equal(text, "2000-02-29T00:00:00.123Z");
    mien_utc_text(INT64_MAX, text);
    assert_string_equal(text, "292278994-08-17T07:12:55.807Z");
    assert_true(mien_utc_ms() > 951782400123);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utc_times_are_written),
        cmocka_unit_test(arena_gives_zeroed_aligned_memory),
        cmocka_unit_test(arena_keeps_its_cap),
        cmocka_unit_test(arena_survives_large_and_small_mixed),
        cmocka_unit_test(buffer_stops_at_its_maximum),
        cmocka_unit_test(error_is_recorded_where_it_began),
        cmocka_unit_test(files_are_whole_or_absent), cmocka_unit_test(a_file_is_replaced_with_its_mode),
        cmocka_unit_test(cpu_mask_hides_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
