#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/eval.h"

enum { DEALT_FOLDS = 10, MAX_NAME = 200 };

struct field {
    const char *p;
    size_t n;
};

/* What a line says before images have indices. */
struct raw {
    const char *image[2];
    bool same;
    uint32_t fold;
};

struct reader {
    const char *p, *end;
    size_t line;
    struct mien_arena *arena;
    struct raw *raw;
    size_t n, room;
    uint32_t folds, per_half; /* of the header; 0 = it says nothing */
};

static int split_line(struct reader *r, struct field field[5])
{
    int n = 0;
    while (r->p < r->end && *r->p != '\n') {
        if (*r->p == ' ' || *r->p == '\t' || *r->p == '\r') {
            r->p++;
            continue;
        }
        const char *start = r->p;
        while (r->p < r->end && strchr(" \t\r\n", *r->p) == NULL) r->p++;
        if (n < 5) field[n] = (struct field){start, (size_t)(r->p - start)};
        n++;
    }
    if (r->p < r->end) r->p++;
    r->line++;
    return n;
}

static bool number(struct field f, uint32_t *v)
{
    *v = 0;
    if (f.n == 0 || f.n > 7) return false;
    for (size_t i = 0; i < f.n; i++) {
        if (f.p[i] < '0' || f.p[i] > '9') return false;
        *v = *v * 10 + (uint32_t)(f.p[i] - '0');
    }
    return true;
}

/* NAME and its number -> "NAME/NAME_0001". Names become part of a path: no slash, no leading dot. */
static const char *image_name(struct reader *r, struct field name, struct field index)
{
    uint32_t i;
    char text[2 * MAX_NAME + 16];
    if (!number(index, &i) || name.n > MAX_NAME || name.p[0] == '.' || memchr(name.p, '/', name.n) != NULL) return NULL;
    int n = snprintf(text, sizeof text, "%.*s/%.*s_%04u", (int)name.n, name.p, (int)name.n, name.p, i);
    return n < 0 ? NULL : mien_arena_strndup(r->arena, text, (size_t)n);
}

static bool add(struct reader *r, const struct raw *raw)
{
    if (r->n == r->room) {
        size_t room = r->room == 0 ? 4096 : r->room * 2;
        struct raw *bigger = mien_arena_calloc(r->arena, room, sizeof *bigger);
        if (bigger == NULL) return false;
        if (r->n > 0) memcpy(bigger, r->raw, r->n * sizeof *bigger);
        r->raw = bigger;
        r->room = room;
    }
    r->raw[r->n++] = *raw;
    return true;
}

static enum mien_code read_line(struct reader *r, struct mien_err *e)
{
    struct field f[5];
    struct raw raw = {0};
    uint32_t v[2];
    int n = split_line(r, f);
    if (n == 0) return MIEN_OK;
    if (r->line == 1 && n <= 2 && number(f[0], &v[0]) && (n == 1 || number(f[1], &v[1]))) {
        r->folds = n == 2 ? v[0] : 1;
        r->per_half = n == 2 ? v[1] : v[0];
        return MIEN_OK;
    }
    MIEN_FAIL_IF(n != 3 && n != 4, e, MIEN_E_ARG, "pairs: line %zu has %d fields, not 3 (same person) or 4", r->line, n);
    raw.same = n == 3;
    raw.image[0] = image_name(r, f[0], f[1]);
    raw.image[1] = n == 3 ? image_name(r, f[0], f[2]) : image_name(r, f[2], f[3]);
    MIEN_FAIL_IF(raw.image[0] == NULL || raw.image[1] == NULL, e, MIEN_E_ARG, "pairs: line %zu: not a name and a number", r->line);
    MIEN_FAIL_IF(!add(r, &raw), e, MIEN_E_NOMEM, "pairs: out of memory");
    return MIEN_OK;
}

/* Which fold each pair is in; *folds. */
static void assign_folds(struct reader *r, uint32_t *folds)
{
    size_t per_fold = 2 * (size_t)r->per_half;
    bool declared = r->folds > 1 && per_fold > 0 && r->n == per_fold * r->folds;
    *folds = declared ? r->folds : DEALT_FOLDS;
    for (size_t i = 0; i < r->n; i++) r->raw[i].fold = declared ? (uint32_t)(i / per_fold) : (uint32_t)(i % DEALT_FOLDS);
}

static void spread(struct reader *r, size_t limit)
{
    if (limit == 0 || limit >= r->n) return;
    for (size_t i = 0; i < limit; i++) r->raw[i] = r->raw[i * r->n / limit];
    r->n = limit;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static uint32_t index_of(const struct mien_pairs *p, const char *name)
{
    const char **at = bsearch(&name, p->image, p->n_images, sizeof *p->image, by_name);
    return (uint32_t)(at - p->image);
}

static size_t folder_length(const char *image) { return strcspn(image, "/"); }

static enum mien_code number_images(const struct reader *r, struct mien_pairs *out, struct mien_err *e)
{
    size_t all = 2 * r->n;
    out->image = mien_arena_calloc(r->arena, all, sizeof *out->image);
    out->person = mien_arena_calloc(r->arena, all, sizeof *out->person);
    out->pair = mien_arena_calloc(r->arena, r->n, sizeof *out->pair);
    MIEN_FAIL_IF(out->image == NULL || out->person == NULL || out->pair == NULL, e, MIEN_E_NOMEM, "pairs: out of memory");
    for (size_t i = 0; i < all; i++) out->image[i] = r->raw[i / 2].image[i % 2];
    qsort(out->image, all, sizeof *out->image, by_name);
    for (size_t i = 0; i < all; i++)
        if (i == 0 || strcmp(out->image[i], out->image[out->n_images - 1]) != 0) out->image[out->n_images++] = out->image[i];
    for (size_t i = 1; i < out->n_images; i++) {
        size_t n = folder_length(out->image[i]);
        bool same = folder_length(out->image[i - 1]) == n && strncmp(out->image[i], out->image[i - 1], n) == 0;
        out->person[i] = out->person[i - 1] + (same ? 0 : 1);
    }
    for (size_t i = 0; i < r->n; i++)
        out->pair[i] = (struct mien_pair){{index_of(out, r->raw[i].image[0]), index_of(out, r->raw[i].image[1])}, r->raw[i].same, r->raw[i].fold};
    out->n = r->n;
    return MIEN_OK;
}

enum mien_code mien_pairs_parse(const char *text, size_t n, size_t limit, struct mien_arena *arena, struct mien_pairs *out, struct mien_err *e)
{
    struct reader r = {.p = text, .end = text + n, .arena = arena};
    *out = (struct mien_pairs){0};
    while (r.p < r.end) MIEN_TRY(read_line(&r, e));
    MIEN_FAIL_IF(r.n == 0, e, MIEN_E_ARG, "pairs: no pairs in the file");
    MIEN_FAIL_IF(r.n > 50000000, e, MIEN_E_LIMIT, "pairs: more than 50 million");
    assign_folds(&r, &out->folds);
    spread(&r, limit);
    return number_images(&r, out, e);
}

uint64_t mien_pairs_impostor(const struct mien_pairs *p)
{
    uint64_t of_others = 0;
    for (size_t i = 0, first = 0; i < p->n_images; i++) {
        if (p->person[i] != p->person[first]) first = i;
        of_others += first; /* all images before the person's first */
    }
    return of_others;
}
