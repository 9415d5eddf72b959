/* The facebank that a server follows: it comes, changes, breaks and goes while requests use it (run under the thread sanitizer too). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "service/bank.h"

enum { READERS = 3, CHANGES = 200 };

static char folder[] = "/tmp/mien-bank-XXXXXX", path[64], beside[64];

static int make_folder(void **state)
{
    (void)state;
    mien_log_set_level(MIEN_LOG_OFF);
    if (mkdtemp(folder) == NULL) return -1;
    snprintf(path, sizeof path, "%s/bank.csv", folder);
    snprintf(beside, sizeof beside, "%s/new", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void replace(const char *text)
{
    FILE *f = fopen(beside, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(rename(beside, path), 0);
}

/* Rows as requests see them now; 0: no facebank. */
static int rows(struct mien_bank *b)
{
    const struct mien_facebank *f = mien_bank_take(b);
    const int n = f != NULL ? f->rows : 0;
    if (f != NULL) mien_bank_give(b, f);
    return n;
}

static void the_file_is_followed(void **state)
{
    (void)state;
    unlink(path);
    struct mien_bank *b = mien_bank_open(path, 2);
    assert_non_null(b);
    assert_int_equal(rows(b), 0);
    replace("1,0\n");
    assert_int_equal(rows(b), 1);
    replace("1,0\n0,1\n");
    assert_int_equal(rows(b), 2);
    replace("1,0\n0,1\n1,1\nx,y\n");
    assert_int_equal(rows(b), 2); /* wrong: those from before stay */
    assert_int_equal(rows(b), 2);
    replace("1,0\n0,1\n1,1\n");
    assert_int_equal(rows(b), 3);
    unlink(path);
    assert_int_equal(rows(b), 0);
    mien_bank_close(&b);
    assert_null(b);
    mien_bank_close(&b);
}

static void a_wrong_file_at_the_start_is_no_facebank(void **state)
{
    (void)state;
    replace("1,0,0\n");
    struct mien_bank *b = mien_bank_open(path, 2);
    assert_non_null(b);
    assert_int_equal(rows(b), 0);
    replace("1,0\n");
    assert_int_equal(rows(b), 1);
    mien_bank_close(&b);
}

static void rows_in_use_outlive_a_change(void **state)
{
    (void)state;
    float least, mean, cosine;
    replace("1,0\n");
    struct mien_bank *b = mien_bank_open(path, 2);
    const struct mien_facebank *before = mien_bank_take(b);
    replace("0,1\n0,1\n");
    assert_int_equal(rows(b), 2);
    unlink(path);
    assert_int_equal(rows(b), 0);
    mien_facebank_compare(before, (const float[]){1, 0}, &least, &mean, &cosine);
    assert_float_equal(least, 0, 1e-6);
    mien_bank_give(b, before);
    mien_bank_close(&b);
}

/* ---- many requests while the file changes ---- */

static struct mien_bank *shared;
static atomic_bool ended;
static atomic_int seen[2], torn;

/* Two rows are all (1, 0), three rows all (0, 1). */
static void *reader(void *context)
{
    (void)context;
    while (!atomic_load(&ended)) {
        const struct mien_facebank *f = mien_bank_take(shared);
        if (f == NULL) continue;
        const int kind = f->rows == 3;
        for (int i = 0; i < f->rows; i++)
            if (f->row[2 * i + kind] != 1.0f || f->row[2 * i + !kind] != 0.0f) atomic_fetch_add(&torn, 1);
        atomic_fetch_add(&seen[kind], 1);
        mien_bank_give(shared, f);
    }
    return NULL;
}

static void nobody_sees_half_a_change(void **state)
{
    (void)state;
    pthread_t thread[READERS];
    replace("1,0\n1,0\n");
    shared = mien_bank_open(path, 2);
    assert_non_null(shared);
    for (int i = 0; i < READERS; i++) assert_int_equal(pthread_create(&thread[i], NULL, reader, NULL), 0);
    for (int i = 0; i < CHANGES || atomic_load(&seen[0]) == 0 || atomic_load(&seen[1]) == 0; i++) {
        replace(i % 2 == 0 ? "0,1\n0,1\n0,1\n" : "1,0\n1,0\n");
        usleep(1000);
    }
    atomic_store(&ended, true);
    for (int i = 0; i < READERS; i++) pthread_join(thread[i], NULL);
    assert_int_equal(torn, 0);
    replace("1,0\n1,0\n1,0\n1,0\n");
    assert_int_equal(rows(shared), 4);
    mien_bank_close(&shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_file_is_followed), cmocka_unit_test(a_wrong_file_at_the_start_is_no_facebank),
                                       cmocka_unit_test(rows_in_use_outlive_a_change), cmocka_unit_test(nobody_sees_half_a_change)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
