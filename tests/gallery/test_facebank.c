/* Facebank files: what is taken, what is refused and how it is said, distances; lines that are appended whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gallery/facebank.h"

static enum mien_code parse(const char *text, int dim, struct mien_facebank *f, struct mien_err *e)
{
    *e = (struct mien_err){0};
    return mien_facebank_parse(text, strlen(text), dim, f, e);
}

static void rows_are_read_and_made_unit(void **state)
{
    (void)state;
    static const char *const same[] = {"3,4\n0,-2\n", "3,4\n0,-2", "3,4\r\n0,-2\r\n", "\n \n3,4\n\r\n\t\n0,-2\n\n", " 3 ,\t4 \n+0.0e0,-2.0\n",
                                       ("\xef\xbb\xbf" "3,4\n0,-.2e1\n"), "3.00000000000000000000000000000000000000000000,4\n0,-2000e-3"};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        struct mien_facebank f;
        struct mien_err e;
        assert_int_equal(parse(same[i], 2, &f, &e), MIEN_OK);
        assert_int_equal(f.rows, 2);
        assert_int_equal(f.dim, 2);
        assert_float_equal(f.row[0], 0.6, 1e-6);
        assert_float_equal(f.row[1], 0.8, 1e-6);
        assert_float_equal(f.row[2], 0, 0);
        assert_float_equal(f.row[3], -1, 1e-6);
        mien_facebank_free(&f);
        assert_null(f.row);
    }
}

static void wrong_rows_are_named_by_line(void **state)
{
    (void)state;
    static const struct { const char *text, *says; } wrong[] = {
        {"", "no rows"}, {"\n\r\n \n", "no rows"}, {"1,2\n\n1\n", "line 3: 1 numbers instead of 2"}, {"1,2,3", "line 1: more than 2 numbers"},
        {"1,2,", "line 1: more than 2 numbers"}, {"1,", "line 1: field 2 is not a number"}, {",1", "line 1: field 1 is not a number"},
        {"1,2\n1,two\n", "line 2: field 2 is not a number"}, {"nan,1", "field 1 is not a number"}, {"1,inf", "field 2 is not a number"},
        {"1,-Infinity", "field 2 is not a number"}, {"0x10,1", "field 1 is not a number"},
        {"1e999,1", "field 1 is too large"}, {"1e39,1", "field 1 is too large"},
        {"1,2\n\n0,0\n", "line 3: all numbers are 0"}, {"1;2", "field 1 is not a number"}, {"1 2,3", "field 1 is not a number"},
        {"1e,2", "field 1 is not a number"},
        {"1.5.2,2", "field 1 is not a number"}, {"\"1\",2", "field 1 is not a number"}, {"e1,embedding_2\n1,2", "line 1: field 1 is not a number"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct mien_facebank f;
        struct mien_err e;
        assert_int_equal(parse(wrong[i].text, 2, &f, &e), MIEN_E_RECORD);
        assert_non_null(strstr(e.msg, wrong[i].says));
        assert_null(f.row);
    }
}

static void bytes_that_are_no_text(void **state)
{
    (void)state;
    struct mien_facebank f;
    struct mien_err e = {0};
    assert_int_equal(mien_facebank_parse("1\0" "2,3\n", 6, 2, &f, &e), MIEN_E_RECORD);
    assert_int_equal(mien_facebank_parse("\xff\xfe,3\n", 5, 2, &f, &e), MIEN_E_RECORD);
    assert_int_equal(mien_facebank_parse("1,2\n", 4, 0, &f, &e), MIEN_E_ARG);
}

/* A line of 20 million numbers, and a number of 10 million digits: refused, at once. */
static void huge_lines_are_refused(void **state)
{
    (void)state;
    const size_t n = 40u << 20;
    char *text = malloc(n);
    struct mien_facebank f;
    struct mien_err e = {0};
    assert_non_null(text);
    for (size_t i = 0; i < n; i += 2) memcpy(text + i, "1,", 2);
    assert_int_equal(mien_facebank_parse(text, n, 512, &f, &e), MIEN_E_RECORD);
    assert_string_equal(e.msg, "line 1: more than 512 numbers");
    memset(text, '1', n);
    assert_int_equal(mien_facebank_parse(text, n, 1, &f, &e), MIEN_E_RECORD);
    assert_string_equal(e.msg, "line 1: field 1 is not a number");
    free(text);
}

static void rows_are_limited(void **state)
{
    (void)state;
    struct mien_facebank f;
    struct mien_err e = {0};
    char *text = malloc(100001 * 2);
    assert_non_null(text);
    for (int i = 0; i < 100001; i++) memcpy(text + 2 * i, "1\n", 2);
    assert_int_equal(mien_facebank_parse(text, 200000, 1, &f, &e), MIEN_OK);
    assert_int_equal(f.rows, 100000);
    mien_facebank_free(&f);
    assert_int_equal(mien_facebank_parse(text, 200002, 1, &f, &e), MIEN_E_LIMIT);
    assert_string_equal(e.msg, "line 100001: more than 100000 rows");
    free(text);
}

static void other_locales_change_nothing(void **state)
{
    (void)state;
    struct mien_facebank f;
    struct mien_err e;
    static const char *const name[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8", "ru_RU.UTF-8"};
    const char *set = NULL;
    for (size_t i = 0; set == NULL && i < sizeof name / sizeof name[0]; i++) set = setlocale(LC_ALL, name[i]);
    if (set == NULL) skip(); /* no locale with a decimal comma is installed */
    const enum mien_code code = parse("0.6,0.8\n", 2, &f, &e);
    setlocale(LC_ALL, "C");
    assert_int_equal(code, MIEN_OK);
    assert_float_equal(f.row[0], 0.6, 1e-6);
    mien_facebank_free(&f);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    enum { DIM = 37 };
    float v[DIM];
    double sum = 0;
    struct mien_buf text;
    struct mien_facebank f;
    struct mien_err e = {0};
    for (int i = 0; i < DIM; i++) sum += pow(v[i] = (float)sin(i * 1.7) * (i % 5 == 0 ? 1e-20f : 1.0f), 2);
    for (int i = 0; i < DIM; i++) v[i] = (float)(v[i] / sqrt(sum));
    mien_buf_init(&text, 1 << 16);
    mien_facebank_row(v, DIM, &text);
    mien_facebank_row(v, DIM, &text);
    assert_false(text.failed);
    assert_int_equal(mien_facebank_parse(text.data, text.len, DIM, &f, &e), MIEN_OK);
    assert_int_equal(f.rows, 2);
    for (int i = 0; i < 2 * DIM; i++) assert_float_equal(f.row[i], v[i % DIM], 1e-7);
    mien_facebank_free(&f);
    mien_buf_free(&text);
}

/* Rows (1, 0, ..), (0.6, 0.8, 0, ..) and (0, 0, -1, ..) against (1, 0, ..): distances 0, sqrt(0.16 + 0.64) and sqrt(2), cosines 1, 0.6, 0. */
static void distances_are_those_of_a_hand_calculation(void **state)
{
    (void)state;
    enum { DIM = 11 }; /* not a multiple of the lanes */
    float query[DIM] = {1}, least, mean, cosine;
    struct mien_facebank f;
    struct mien_err e;
    assert_int_equal(parse("2,0,0,0,0,0,0,0,0,0,0\n3,4,0,0,0,0,0,0,0,0,0\n0,0,-1,0,0,0,0,0,0,0,0\n", DIM, &f, &e), MIEN_OK);
    mien_facebank_compare(&f, query, &least, &mean, &cosine);
    assert_float_equal(least, 0, 1e-6);
    assert_float_equal(mean, (0 + sqrt(0.8) + sqrt(2)) / 3, 1e-6);
    assert_float_equal(cosine, 1, 1e-6);
    query[0] = 0;
    query[DIM - 1] = 1; /* the part behind the lanes */
    mien_facebank_compare(&f, query, &least, &mean, &cosine);
    assert_float_equal(least, sqrt(2), 1e-6);
    assert_float_equal(mean, sqrt(2), 1e-6);
    assert_float_equal(cosine, 0, 1e-6);
    query[DIM - 1] = 0;
    query[0] = -0.6f;
    query[1] = -0.8f;
    mien_facebank_compare(&f, query, &least, &mean, &cosine);
    assert_float_equal(least, sqrt(2), 1e-6);
    assert_float_equal(mean, (sqrt(1.6 * 1.6 + 0.64) + 2 + sqrt(2)) / 3, 1e-6);
    assert_float_equal(cosine, 0, 1e-6);
    mien_facebank_free(&f);
}

/* ---- files ---- */

static char folder[] = "/tmp/mien-facebank-XXXXXX", file_path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) return -1;
    snprintf(file_path, sizeof file_path, "%s/lines.csv", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(file_path);
    return rmdir(folder);
}

static void files_are_read(void **state)
{
    (void)state;
    struct mien_facebank f;
    struct mien_err e = {0};
    unlink(file_path);
    assert_int_equal(mien_facebank_read(file_path, 2, &f, &e), MIEN_E_IO);
    assert_int_equal(mien_append_line(file_path, "1,2", &e), MIEN_OK);
    assert_int_equal(mien_facebank_read(file_path, 2, &f, &e), MIEN_OK);
    assert_int_equal(f.rows, 1);
    mien_facebank_free(&f);
}

static void a_new_file_is_private(void **state)
{
    (void)state;
    struct stat st;
    struct mien_err e = {0};
    char line[5000];
    unlink(file_path);
    umask(0);
    assert_int_equal(mien_append_line(file_path, "a", &e), MIEN_OK);
    assert_int_equal(stat(file_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(mien_append_line("/nonexistent/x.csv", "a", &e), MIEN_E_IO);
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    assert_int_equal(mien_append_line(file_path, line, &e), MIEN_E_LIMIT);
    assert_int_equal(stat(file_path, &st), 0);
    assert_int_equal(st.st_size, 2);
}

enum { WRITERS = 4, LINES_EACH = 500, LONGEST = 300 };

static void several_processes_append_whole_lines(void **state)
{
    (void)state;
    char line[LONGEST + 2];
    int count[WRITERS] = {0};
    unlink(file_path);
    for (int w = 0; w < WRITERS; w++) {
        if (fork() != 0) continue;
        for (int i = 0; i < LINES_EACH; i++) {
            const int n = 1 + (i * 37 + w * 11) % LONGEST;
            memset(line, 'a' + w, (size_t)n);
            line[n] = '\0';
            if (mien_append_line(file_path, line, NULL) != MIEN_OK) _exit(1);
        }
        _exit(0);
    }
    for (int w = 0; w < WRITERS; w++) {
        int status;
        assert_true(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    FILE *f = fopen(file_path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        const int w = line[0] - 'a', n = 1 + (count[w] * 37 + w * 11) % LONGEST;
        assert_in_range(w, 0, WRITERS - 1);
        for (int i = 0; i < n; i++) assert_int_equal(line[i], 'a' + w);
        assert_string_equal(line + n, "\n");
        count[w]++;
    }
    fclose(f);
    for (int w = 0; w < WRITERS; w++) assert_int_equal(count[w], LINES_EACH);
}

/* A limit on the file's size is to a write what a full disk is: it takes a part, then nothing. */
static void a_full_disk_leaves_no_half_line(void **state)
{
    (void)state;
    struct stat st;
    unlink(file_path);
    const pid_t child = fork();
    if (child == 0) {
        struct mien_err e = {0};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){25, 25});
        const bool first = mien_append_line(file_path, "123456789", &e) == MIEN_OK && mien_append_line(file_path, "123456789", &e) == MIEN_OK;
        const bool third = mien_append_line(file_path, "123456789", &e) == MIEN_E_IO; /* 5 of its 10 bytes would fit */
        const bool fits = mien_append_line(file_path, "1234", &e) == MIEN_OK, full = mien_append_line(file_path, "", &e) == MIEN_E_IO;
        _exit(first && third && fits && full ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(stat(file_path, &st), 0);
    assert_int_equal(st.st_size, 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_read_and_made_unit), cmocka_unit_test(wrong_rows_are_named_by_line),
        cmocka_unit_test(bytes_that_are_no_text), cmocka_unit_test(huge_lines_are_refused),
        cmocka_unit_test(rows_are_limited), cmocka_unit_test(other_locales_change_nothing),
        cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(distances_are_those_of_a_hand_calculation),
        cmocka_unit_test(files_are_read), cmocka_unit_test(a_new_file_is_private),
        cmocka_unit_test(several_processes_append_whole_lines), cmocka_unit_test(a_full_disk_leaves_no_half_line)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
