/* What the tests over real models and pictures share: finding them, or skipping with the reason.
 *
 * MIEN_MODELS      the installed models, default models/local
 * MIEN_TEST_DATA   the folder of labelled pictures */
#ifndef MIEN_TESTS_SUPPORT_FACES_H
#define MIEN_TESTS_SUPPORT_FACES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "face/parts.h"

/* Sanitised builds are slow: they look at every 8th picture of the larger folders, others at all. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_STRIDE 8
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_STRIDE 8
#endif
#endif
#ifndef TEST_STRIDE
#define TEST_STRIDE 1
#endif

#define TEST_TRY(expr, e)                                                                          \
    do {                                                                                           \
        if ((expr) != MIEN_OK) fail_msg("%s: %s (%s:%d)", #expr, (e).msg, (e).file, (e).line);     \
    } while (0)

struct test_pack { struct mien_models *models; struct mien_session *session; struct mien_arena *arena; };

static inline void test_pack_close(struct test_pack *p)
{
    mien_session_free(&p->session);
    mien_models_free(&p->models);
    mien_arena_free(&p->arena);
}

static inline void test_skip(const char *what)
{
    printf("skipped: %s is not there\n", what);
    skip();
}

static inline struct test_pack test_pack_open(enum mien_precision precision)
{
    const char *dir = getenv("MIEN_MODELS");
    char path[4096];
    struct mien_err e = {0};
    struct test_pack p = {0};
    snprintf(path, sizeof path, "%s/manifest.json", dir != NULL ? dir : "models/local");
    FILE *f = fopen(path, "rb");
    if (f == NULL) test_skip(path);
    else fclose(f);
    const struct mien_models_settings s = {precision};
    TEST_TRY(mien_models_open(dir != NULL ? dir : "models/local", &s, &p.models, &e), e);
    TEST_TRY(mien_session_create(&p.session, &e), e);
    p.arena = mien_arena_create(1u << 30);
    assert_non_null(p.arena);
    return p;
}

/* For folders of many pictures: forgets the faces of the pictures before. */
static inline void test_pack_next(struct test_pack *p)
{
    mien_arena_free(&p->arena);
    p->arena = mien_arena_create(1u << 30);
    assert_non_null(p->arena);
}

/* Skips unless every role is there. */
static inline void test_need_role(struct test_pack *p, enum mien_role role)
{
    const struct mien_model *m = mien_models_role(p->models, role, 0);
    if (m != NULL && m->installed) return;
    char text[64];
    snprintf(text, sizeof text, "a model for \"%s\"", mien_role_name(role));
    test_pack_close(p);
    test_skip(text);
}

/* "$MIEN_TEST_DATA/name" in `path`; skips when it is not there. Call before anything is opened. */
static inline const char *test_data(char path[4096], const char *name)
{
    const char *root = getenv("MIEN_TEST_DATA");
    snprintf(path, 4096, "%s/%s", root != NULL ? root : "(MIEN_TEST_DATA is not set)", name);
    FILE *f = fopen(path, "rb");
    if (f == NULL) test_skip(path);
    else fclose(f);
    return path;
}

/* A table: index.csv of a folder, read whole. Cells are cut in place. */
enum { TEST_CSV_ROWS = 2048, TEST_CSV_COLUMNS = 16 };
struct test_csv { char *text; int rows, columns; char *cell[TEST_CSV_ROWS][TEST_CSV_COLUMNS]; };

static inline char *test_csv_cell(char **at)
{
    char *p = *at, quote = *p == '"' ? '"' : 0, *from = p += quote != 0;
    while (*p != 0 && (quote ? *p != '"' : *p != ',' && *p != '\n' && *p != '\r')) p++;
    *at = p + (quote && *p != 0);
    return from;
}

static inline void test_csv_read(const char *path, struct test_csv *c)
{
    unsigned char *data;
    size_t n;
    struct mien_err e = {0};
    TEST_TRY(mien_file_read(path, 64u << 20, &data, &n, &e), e);
    memset(c, 0, sizeof *c);
    c->text = (char *)data;
    for (char *p = c->text; *p != 0 && c->rows < TEST_CSV_ROWS; c->rows++) {
        int k = 0;
        for (;;) {
            bool quoted = *p == '"';
            char *from = test_csv_cell(&p), *end = p - quoted, stop = *p;
            if (k < TEST_CSV_COLUMNS) c->cell[c->rows][k++] = from;
            if (stop != 0) p++;
            *end = 0;
            if (stop != ',') {
                if (stop == '\r' && *p == '\n') p++;
                break;
            }
        }
        if (k > c->columns) c->columns = k;
    }
}

/* Value of a named column in a row (1 = first after the heading); "" when absent. */
static inline const char *test_csv_at(const struct test_csv *c, int row, const char *column)
{
    for (int k = 0; k < c->columns; k++)
        if (c->cell[0][k] != NULL && strcmp(c->cell[0][k], column) == 0) return c->cell[row][k] != NULL ? c->cell[row][k] : "";
    return "";
}

struct test_photo { unsigned char *data; size_t size; struct mien_image pixels; struct mien_photo *photo; };

/* folder/name of the data, opened. */
static inline struct test_photo test_photo_open(const char *folder, const char *name)
{
    char path[4096], inner[2048];
    struct mien_err e = {0};
    struct test_photo t = {0};
    snprintf(inner, sizeof inner, "%s/%s", folder, name);
    TEST_TRY(mien_file_read(test_data(path, inner), 64u << 20, &t.data, &t.size, &e), e);
    const struct mien_image_limits limits = {64u << 20, 100000000};
    TEST_TRY(mien_photo_open(t.data, t.size, &limits, &t.photo, &e), e);
    return t;
}

/* The same picture decoded, with `pad` of its size added as black on every side, optionally mirrored. */
static inline struct test_photo test_photo_pixels(const char *folder, const char *name, float pad, bool mirror)
{
    char path[4096], inner[2048];
    struct mien_err e = {0};
    struct mien_image full;
    struct test_photo t = {0};
    snprintf(inner, sizeof inner, "%s/%s", folder, name);
    TEST_TRY(mien_file_read(test_data(path, inner), 64u << 20, &t.data, &t.size, &e), e);
    const struct mien_image_limits limits = {64u << 20, 100000000};
    TEST_TRY(mien_image_decode(t.data, t.size, &limits, &full, &e), e);
    int px = (int)(pad * (float)full.width), py = (int)(pad * (float)full.height);
    TEST_TRY(mien_image_alloc(full.width + 2 * px, full.height + 2 * py, &t.pixels, &e), e);
    memset(t.pixels.px, 0, t.pixels.stride * (size_t)t.pixels.height);
    for (int y = 0; y < full.height; y++)
        for (int x = 0; x < full.width; x++)
            memcpy(t.pixels.px + (size_t)(y + py) * t.pixels.stride + 3 * (size_t)(x + px),
                   full.px + (size_t)y * full.stride + 3 * (size_t)(mirror ? full.width - 1 - x : x), 3);
    mien_image_free(&full);
    TEST_TRY(mien_photo_from_pixels(&t.pixels, &t.photo, &e), e);
    return t;
}

static inline void test_photo_close(struct test_photo *t)
{
    mien_photo_free(&t->photo);
    mien_image_free(&t->pixels);
    free(t->data);
    t->data = NULL;
}

#endif
