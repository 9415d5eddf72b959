#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/eval_detection.h"

enum { SHORT_LINE = 4, LONG_LINE = 10, INVALID = 7 /* which number of a long line */, MAX_FILE = 1000, SHORTEST_FACE = 8 /* "0 0 0 0\n" */ };
static const double MOST_PX = 1e6;

struct line { const char *p; size_t n, number; };

struct reader {
    const char *p, *end;
    size_t number; /* of the last line read */
    struct mien_arena *arena;
    struct mien_photo_labels *photo;
    size_t n, room;
};

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* The next line that is not empty, without blanks around it. */
static bool next_line(struct reader *r, struct line *l)
{
    while (r->p < r->end) {
        const char *stop = memchr(r->p, '\n', (size_t)(r->end - r->p)), *last = stop != NULL ? stop : r->end;
        *l = (struct line){.p = r->p, .number = ++r->number};
        r->p = stop != NULL ? stop + 1 : r->end;
        while (l->p < last && is_blank(*l->p)) l->p++;
        while (last > l->p && is_blank(last[-1])) last--;
        l->n = (size_t)(last - l->p);
        if (l->n > 0) return true;
    }
    return false;
}

/* Reads the decimal number at *p, and the blanks behind it. */
static bool read_number(const char **p, const char *end, double *v)
{
    char text[32], *stop;
    size_t n = 0;
    while (*p + n < end && !is_blank((*p)[n])) n++;
    if (n == 0 || n >= sizeof text) return false;
    memcpy(text, *p, n);
    text[n] = '\0';
    if (strspn(text, "0123456789+-.eE") != n) return false; /* strtod takes "inf" and "0x1p3", too */
    *v = strtod(text, &stop);
    if (*stop != '\0' || !(fabs(*v) <= MOST_PX)) return false;
    for (*p += n; *p < end && is_blank(**p);) (*p)++;
    return true;
}

/* The numbers of a line; 0 when it has more than LONG_LINE of them or anything else. */
static int read_numbers(const struct line *l, double v[LONG_LINE])
{
    const char *p = l->p, *end = l->p + l->n;
    int n = 0;
    while (p < end) {
        if (n == LONG_LINE || !read_number(&p, end, &v[n])) return 0;
        n++;
    }
    return n;
}

static enum mien_code read_face(const struct line *l, struct mien_face_label *f, struct mien_err *e)
{
    double v[LONG_LINE];
    const int n = read_numbers(l, v);
    MIEN_FAIL_IF(n != SHORT_LINE && n != LONG_LINE, e, MIEN_E_ARG, "labels: line %zu: a face is x y w h, or the ten numbers of WIDER FACE", l->number);
    MIEN_FAIL_IF(v[2] < 0 || v[3] < 0, e, MIEN_E_ARG, "labels: line %zu: the width or height of a face is negative", l->number);
    MIEN_FAIL_IF(n == LONG_LINE && v[INVALID] != 0 && v[INVALID] != 1, e, MIEN_E_ARG, "labels: line %zu: number 8 (invalid) is 0 or 1", l->number);
    *f = (struct mien_face_label){.box = {(float)v[0], (float)v[1], (float)(v[0] + v[2]), (float)(v[1] + v[3])}, .shorter_side = (float)fmin(v[2], v[3])};
    /* As floats a face of 0.001 pixels far to the right is empty, too. */
    f->invalid = (n == LONG_LINE && v[INVALID] == 1) || !(f->box.x1 > f->box.x0) || !(f->box.y1 > f->box.y0);
    return MIEN_OK;
}

/* The name becomes part of a path and of messages. */
static bool is_file_name(const struct line *l)
{
    if (l->n > MAX_FILE || l->p[0] == '/') return false;
    for (size_t i = 0; i < l->n; i++) {
        const bool starts = i == 0 || l->p[i - 1] == '/';
        if ((unsigned char)l->p[i] < ' ' || l->p[i] == 0x7f) return false;
        if (starts && l->n - i >= 2 && memcmp(l->p + i, "..", 2) == 0 && (l->n - i == 2 || l->p[i + 2] == '/')) return false;
    }
    return true;
}

/* WIDER FACE has a line of zeros where nobody is. */
static void skip_zeros(struct reader *r)
{
    const struct reader before = *r;
    struct line l;
    double v[LONG_LINE];
    bool zeros = next_line(r, &l);
    const int n = zeros ? read_numbers(&l, v) : 0;
    zeros = n == SHORT_LINE || n == LONG_LINE;
    for (int i = 0; i < n; i++) zeros = zeros && fpclassify(v[i]) == FP_ZERO;
    if (!zeros) *r = before;
}

static enum mien_code read_faces(struct reader *r, struct mien_photo_labels *photo, struct mien_err *e)
{
    struct line l;
    double v[LONG_LINE];
    MIEN_FAIL_IF(!next_line(r, &l), e, MIEN_E_ARG, "labels: line %zu: the file ends before the number of this photo's faces", photo->line);
    MIEN_FAIL_IF(read_numbers(&l, v) != 1 || v[0] < 0 || v[0] != floor(v[0]), e, MIEN_E_ARG, "labels: line %zu: not the number of a photo's faces", l.number);
    photo->n = (size_t)v[0];
    /* Before memory is asked for: that many lines cannot be there. */
    MIEN_FAIL_IF(photo->n > (size_t)(r->end - r->p + 1) / SHORTEST_FACE, e, MIEN_E_ARG, "labels: line %zu: the file ends before so many faces", l.number);
    if (photo->n == 0) skip_zeros(r);
    else photo->face = mien_arena_calloc(r->arena, photo->n, sizeof *photo->face);
    MIEN_FAIL_IF(photo->n > 0 && photo->face == NULL, e, MIEN_E_NOMEM, "labels: out of memory");
    const size_t counted_at = l.number;
    for (size_t i = 0; i < photo->n; i++) {
        MIEN_FAIL_IF(!next_line(r, &l), e, MIEN_E_ARG, "labels: line %zu: the file ends after %zu of %zu faces", counted_at, i, photo->n);
        MIEN_TRY(read_face(&l, &photo->face[i], e));
    }
    return MIEN_OK;
}

static bool make_room(struct reader *r)
{
    if (r->n < r->room) return true;
    const size_t room = r->room == 0 ? 1024 : r->room * 2;
    struct mien_photo_labels *bigger = mien_arena_calloc(r->arena, room, sizeof *bigger);
    if (bigger == NULL) return false;
    if (r->n > 0) memcpy(bigger, r->photo, r->n * sizeof *bigger);
    r->photo = bigger;
    r->room = room;
    return true;
}

static enum mien_code read_photo(struct reader *r, const struct line *name, struct mien_err *e)
{
    MIEN_FAIL_IF(!is_file_name(name), e, MIEN_E_ARG, "labels: line %zu: not a file within the folder of photos", name->number);
    MIEN_FAIL_IF(!make_room(r), e, MIEN_E_NOMEM, "labels: out of memory");
    struct mien_photo_labels *photo = &r->photo[r->n++];
    photo->line = name->number;
    photo->file = mien_arena_strndup(r->arena, name->p, name->n);
    MIEN_FAIL_IF(photo->file == NULL, e, MIEN_E_NOMEM, "labels: out of memory");
    return read_faces(r, photo, e);
}

static int by_file_and_line(const void *pa, const void *pb)
{
    const struct mien_photo_labels *a = pa, *b = pb;
    const int order = strcmp(a->file, b->file);
    return order != 0 ? order : (a->line > b->line) - (a->line < b->line);
}

/* A photo that is listed twice, a part of its faces each time, would have each box of the other part counted as false. */
static enum mien_code check_once(const struct reader *r, struct mien_err *e)
{
    struct mien_photo_labels *sorted = mien_arena_calloc(r->arena, r->n, sizeof *sorted);
    MIEN_FAIL_IF(sorted == NULL, e, MIEN_E_NOMEM, "labels: out of memory");
    memcpy(sorted, r->photo, r->n * sizeof *sorted);
    qsort(sorted, r->n, sizeof *sorted, by_file_and_line);
    for (size_t i = 1; i < r->n; i++)
        MIEN_FAIL_IF(strcmp(sorted[i].file, sorted[i - 1].file) == 0, e, MIEN_E_ARG, "labels: line %zu: the photo of line %zu again", sorted[i].line,
                     sorted[i - 1].line);
    return MIEN_OK;
}

enum mien_code mien_detection_labels_parse(const char *text, size_t n, size_t limit, struct mien_arena *arena, struct mien_detection_labels *out,
                                           struct mien_err *e)
{
    static const char bom[] = "\xef\xbb\xbf";
    struct reader r = {.p = text, .end = text + n, .arena = arena};
    struct line l;
    *out = (struct mien_detection_labels){0};
    if (n >= 3 && memcmp(text, bom, 3) == 0) r.p += 3;
    while (next_line(&r, &l)) MIEN_TRY(read_photo(&r, &l, e));
    MIEN_FAIL_IF(r.n == 0, e, MIEN_E_ARG, "labels: line 1: no photos in the file");
    MIEN_TRY(check_once(&r, e));
    *out = (struct mien_detection_labels){r.photo, r.n};
    if (limit == 0 || limit >= r.n) return MIEN_OK;
    for (size_t i = 0; i < limit; i++) out->photo[i] = out->photo[i * r.n / limit];
    out->n = limit;
    return MIEN_OK;
}
