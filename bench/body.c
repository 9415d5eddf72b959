/* What a JSON body with one photo of 2 MiB costs before the photo can be decoded: lifting the string, reading the rest, base64 in place.
 * Beside it the same body read by jansson alone, and base64 by the scalar loop. Prints best and median of many, one thread, in
 * milliseconds. Every run works on a fresh copy of the body, which is not part of the time. Build and run: make bench-body */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "codec/base64.h"
#include "codec/lift.h"

enum { PHOTO_BYTES = 2 << 20, ARENA_BYTES = 1 << 20, RUNS = 200, RUNS_OF_READER = 20 };

struct times {
    const char *what;
    double ms[RUNS];
    int count;
};

static void must(bool good, const char *what)
{
    if (good) return;
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static size_t make_body(char *body)
{
    static unsigned char photo[PHOTO_BYTES];
    uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < sizeof photo; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        photo[i] = (unsigned char)(state >> 56);
    }
    size_t n = (size_t)sprintf(body, "{\"image\":\"");
    n += mien_base64_encode(photo, sizeof photo, body + n);
    return n + (size_t)sprintf(body + n, "\",\"threshold\":0.3}");
}

/* One body as the server takes it; the three times in order of the steps. */
static void take_body(char *body, size_t n, struct times *lift, struct times *base64, struct times *both)
{
    const uint64_t start = mien_now_ns();
    struct mien_arena *arena = mien_arena_create(ARENA_BYTES);
    must(arena != NULL, "arena");
    struct mien_lifted l;
    must(mien_json_lift(body, n, arena, &l, NULL) == MIEN_OK && l.count == 1, "lift");
    const double lifted = mien_elapsed_ms(start);
    char *text;
    size_t size;
    must(mien_lifted_text(&l, mien_json_get(l.root, "image"), &text, &size), "text");
    must(mien_base64_decode(text, size, (unsigned char *)text, &size, NULL) == MIEN_OK && size == PHOTO_BYTES, "base64");
    mien_json_free(&l.root);
    mien_arena_wipe_free(&arena);
    both->ms[both->count++] = mien_elapsed_ms(start);
    lift->ms[lift->count++] = lifted;
    base64->ms[base64->count++] = both->ms[both->count - 1] - lifted;
}

static int by_time(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(struct times *t)
{
    qsort(t->ms, (size_t)t->count, sizeof *t->ms, by_time);
    printf("%-36s %8.3f %8.3f\n", t->what, t->ms[0], t->ms[t->count / 2]);
}

int main(void)
{
    static struct times t[] = {
        {.what = "lift + read"}, {.what = "base64 in place"}, {.what = "both"}, {.what = "base64 in place, scalar"}, {.what = "jansson alone"},
    };
    struct times unused = {0}, *const scalar = &t[3], *const reader = &t[4];
    const size_t room = PHOTO_BYTES / 3 * 4 + 1000;
    char *original = malloc(room), *body = malloc(room);
    must(original != NULL && body != NULL, "memory");
    const size_t n = make_body(original);
    for (int i = 0; i < RUNS; i++) {
        memcpy(body, original, n);
        take_body(body, n, &t[0], &t[1], &t[2]);
    }
    mien_cpu_set_mask(0);
    for (int i = 0; i < RUNS; i++) {
        memcpy(body, original, n);
        struct times both = {0};
        unused.count = 0;
        take_body(body, n, &unused, scalar, &both);
    }
    for (; reader->count < RUNS_OF_READER; reader->count++) {
        struct mien_json *root;
        const uint64_t start = mien_now_ns();
        must(mien_json_parse(original, n, &root, NULL) == MIEN_OK, "jansson");
        reader->ms[reader->count] = mien_elapsed_ms(start);
        mien_json_free(&root);
    }
    printf("%-36s %8s %8s   ms, body of %zu bytes\n", "", "best", "median", n);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) print(&t[i]);
    free(original);
    free(body);
    return 0;
}
