/* Runs a fuzz target over files: each argument is a file or a folder (searched to any depth, in the order of names).
 * Works with every compiler, so that the corpora are ordinary tests. Prints how many inputs ran; no input is an error,
 * because a test that looks at nothing proves nothing. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t inputs;

static int run_file(const char *path)
{
    unsigned char *data;
    size_t n;
    struct mien_err e;
    if (mien_file_read(path, 64u << 20, &data, &n, &e) != MIEN_OK) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    /* a copy of exactly n bytes: the one read has a NUL behind it, where the sanitizer sees nothing */
    uint8_t *exact = malloc(n > 0 ? n : 1);
    if (exact == NULL) abort();
    memcpy(exact, data, n);
    free(data);
    if (LLVMFuzzerTestOneInput(exact, n) != 0) abort();
    free(exact);
    inputs++;
    return 0;
}

static int run_path(const char *path);

static int run_folder(const char *path)
{
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort), failed = 0;
    if (n < 0) {
        fprintf(stderr, "%s: cannot be listed\n", path);
        return 1;
    }
    for (int i = 0; i < n; i++) {
        char below[4096];
        int len = snprintf(below, sizeof below, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && len < (int)sizeof below) failed |= run_path(below);
        free(names[i]);
    }
    free(names);
    return failed;
}

static int run_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        fprintf(stderr, "%s: not found\n", path);
        return 1;
    }
    return S_ISDIR(st.st_mode) ? run_folder(path) : run_file(path);
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) failed |= run_path(argv[i]);
    failed |= inputs == 0;
    printf("%s 1 - %zu inputs ran\n", failed ? "not ok" : "ok", inputs); /* a line of TAP, as all tests print */
    return failed;
}
