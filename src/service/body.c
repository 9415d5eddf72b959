/* From bytes to members: reads a JSON, raw or multipart body (and the query) and checks every member against its row.
 *
 * All wrong members are found before anything is answered. Base64 is decoded where it stands in the body, so an image costs no copy. A `source` hides whether
 * members come from a JSON object, a form or the query: the two last give text, from which numbers are read; in JSON a number must be one. */
#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "codec/base64.h"
#include "codec/multipart.h"
#include "service/exchange.h"

enum { MAX_URL = 2048, MAX_PARTS = 128, FORM_BYTES = 1 << 20 /* of a body, besides its images */, OBJECT_LEVELS = 32 /* of a member that is an object */ };
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "vectors come as they lie in memory");

/* ---- faults ---- */

static void fault(struct mien_exchange *x, const struct mien_where *at, const char *type, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static void fault(struct mien_exchange *x, const struct mien_where *at, const char *type, const char *fmt, ...)
{
    if (x->faults.n == MIEN_MAX_FAULTS) return;
    struct mien_fault *f = &x->faults.fault[x->faults.n++];
    *f = (struct mien_fault){.place = at->place, .member = at->member, .sub = at->sub, .index = at->index, .type = type};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->msg, sizeof f->msg, fmt, ap);
    va_end(ap);
}

/* Memory of the request that is not there makes it fail as a whole (mien_body_read). */
static void *keep(struct mien_exchange *x, void *p)
{
    x->no_memory = x->no_memory || p == NULL;
    return p;
}

static void *room_for(struct mien_exchange *x, size_t count, size_t size) { return keep(x, mien_arena_calloc(x->call.arena, count, size)); }
static const char *copy_of(struct mien_exchange *x, const char *s, size_t n) { return keep(x, mien_arena_strndup(x->call.arena, s, n)); }

static enum mien_problem say(struct mien_exchange *x, enum mien_problem p, const struct mien_where *at, const char *what)
{
    char index[24] = "";
    if (at->index >= 0) snprintf(index, sizeof index, "[%d]", at->index);
    snprintf(x->said, sizeof x->said, "%s%s%s%s %s", at->member, index, at->sub != NULL ? "." : "", at->sub != NULL ? at->sub : "", what);
    return p;
}

/* ---- sources of members ---- */

/* One value as it came: a JSON node, or text (of a form or the query; of a JSON string too). */
struct raw {
    const struct mien_json *node; /* NULL: text */
    char *text;
    size_t size;
    bool file;      /* the text is the bytes of a file */
    bool writable;  /* the text lies in the body and may be changed */
};

struct source {
    const char *place;
    const struct mien_json *object;
    struct mien_request *query;
    struct mien_part *part;
    int n_parts;
    const char *tail;                 /* of the path */
    const struct mien_lifted *lifted; /* of `object` */
    const char *body;                 /* where lifted text may be changed */
    size_t body_size;
};

/* The value of a name; in a form the nth of that name. False: there is none, or it is null. */
static bool look_up(const struct source *s, const char *name, int nth, struct raw *out)
{
    *out = (struct raw){0};
    if (s->tail != NULL) {
        *out = (struct raw){.text = (char *)(uintptr_t)s->tail, .size = strlen(s->tail)};
        return nth == 0;
    }
    if (s->part != NULL) {
        for (int i = 0; i < s->n_parts; i++) {
            if (strcmp(s->part[i].name, name) != 0 || nth-- > 0) continue;
            *out = (struct raw){.text = s->part[i].data, .size = s->part[i].size, .file = s->part[i].is_file, .writable = true};
            return true;
        }
        return false;
    }
    if (nth > 0) return false;
    if (s->query != NULL) {
        const char *text = mien_request_query(s->query, name);
        if (text == NULL) return false;
        *out = (struct raw){.text = (char *)(uintptr_t)text, .size = strlen(text)};
        return true;
    }
    out->node = mien_json_get(s->object, name);
    return !mien_json_is_null(out->node);
}

/* Name of a member: the 0th is the row's, the others are its `also`. False past the end. */
static bool name_of(const struct mien_member *m, int i, char name[64])
{
    const char *at = m->name;
    if (i > 0) {
        at = m->also;
        for (; at != NULL && i > 1; i--) {
            at = strchr(at, '|');
            if (at != NULL) at++;
        }
        if (at == NULL) return false;
    }
    snprintf(name, 64, "%.*s", (int)strcspn(at, "|"), at);
    return true;
}

static bool text_of(const struct source *s, const struct raw *v, char **text, size_t *size, bool *writable)
{
    if (v->node == NULL) {
        *text = v->text;
        *size = v->size;
        *writable = v->writable;
        return true;
    }
    if (!mien_lifted_text(s->lifted, v->node, text, size)) return false;
    *writable = *text >= s->body && *text < s->body + s->body_size;
    return true;
}

static bool number_of(const struct raw *v, double *out)
{
    if (v->node != NULL) {
        if (!mien_json_is_number(v->node)) return false;
        *out = mien_json_number(v->node, 0.0);
        return isfinite(*out);
    }
    char text[64], *end;
    if (v->size == 0 || v->size >= sizeof text || strspn(v->text, "0123456789+-.eE") < v->size) return false;
    memcpy(text, v->text, v->size);
    text[v->size] = 0;
    *out = strtod(text, &end);
    return *end == 0 && isfinite(*out);
}

static bool bool_of(const struct raw *v, double *out)
{
    if (v->node != NULL) {
        bool yes = mien_json_bool(v->node, false);
        *out = yes;
        return yes == mien_json_bool(v->node, true); /* the default does not show: it is a boolean */
    }
    static const struct { const char *word; bool value; } WORDS[] = {{"true", true}, {"false", false}, {"1", true}, {"0", false}};
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (v->size == strlen(WORDS[i].word) && memcmp(v->text, WORDS[i].word, v->size) == 0) {
            *out = WORDS[i].value;
            return true;
        }
    return false;
}

/* ---- images ---- */

static void image_failed(struct mien_blob *b, enum mien_code code, const char *why)
{
    *b = (struct mien_blob){.failed = code, .why = why, .url = b->url};
}

static bool is_url(const char *text, size_t n)
{
    return (n > 7 && strncasecmp(text, "http://", 7) == 0) || (n > 8 && strncasecmp(text, "https://", 8) == 0);
}

static void take_url(struct mien_exchange *x, const char *text, size_t n, const struct mien_where *at, struct mien_blob *b)
{
    struct mien_err e = {0};
    if (n > MAX_URL) {
        fault(x, at, "too_long", "a URL has at most %d characters", MAX_URL);
        return;
    }
    b->url = copy_of(x, text, n);
    if (b->url == NULL || mien_fetch_allowed(x->call.service->fetch, b->url, &e) == MIEN_OK) return;
    fault(x, at, "url_not_allowed", "this server does not fetch this URL");
}

static void take_base64(struct mien_exchange *x, char *text, size_t n, bool writable, struct mien_blob *b)
{
    const size_t most = x->call.service->settings.max_image_bytes;
    const char *payload = text;
    struct mien_err e;
    if (!mien_data_url_payload(&payload, &n)) {
        image_failed(b, MIEN_E_BASE64, "is a data URL without base64");
        return;
    }
    if (mien_base64_room(n) > most + 3) {
        image_failed(b, MIEN_E_IMAGE_LIMIT, mien_problem_about_image(MIEN_E_IMAGE_LIMIT));
        return;
    }
    unsigned char *to = writable ? (unsigned char *)text + (payload - text) : room_for(x, mien_base64_room(n), 1);
    if (to == NULL) return;
    if (mien_base64_decode(payload, n, to, &b->size, &e) != MIEN_OK) image_failed(b, MIEN_E_BASE64, mien_problem_about_image(MIEN_E_BASE64));
    else b->data = to;
}

/* Checks an image's bytes against the limits. */
static void check_size(struct mien_exchange *x, struct mien_blob *b)
{
    const struct mien_service_settings *s = &x->call.service->settings;
    if (b->failed != MIEN_OK || b->data == NULL) return;
    if (b->size == 0) image_failed(b, MIEN_E_IMAGE_TYPE, "is empty");
    else if (b->size > s->max_image_bytes) image_failed(b, MIEN_E_IMAGE_LIMIT, mien_problem_about_image(MIEN_E_IMAGE_LIMIT));
    x->image_bytes += b->size;
}

static void add_picture(struct mien_exchange *x, struct mien_blob *b, const struct mien_where *at)
{
    struct mien_picture *p = room_for(x, 1, sizeof *p);
    x->images++;
    if (p == NULL) return;
    *p = (struct mien_picture){.blob = b, .where = *at};
    *x->last_picture = p;
    x->last_picture = &p->next;
}

static void take_image(struct mien_exchange *x, const struct source *s, const struct raw *v, const struct mien_where *at, struct mien_blob *b)
{
    char *text;
    size_t n;
    bool writable;
    if (!text_of(s, v, &text, &n, &writable)) {
        fault(x, at, "string_type", "must be text: base64, a data URL or a URL");
        return;
    }
    add_picture(x, b, at);
    if (v->file) {
        b->data = (const unsigned char *)text;
        b->size = n;
    } else if (n == 0) {
        image_failed(b, MIEN_E_IMAGE_TYPE, "is empty");
    } else if (is_url(text, n)) {
        take_url(x, text, n, at, b);
    } else {
        take_base64(x, text, n, writable, b);
    }
    check_size(x, b);
}

/* ---- other kinds ---- */

static void take_text(struct mien_exchange *x, const struct source *s, const struct mien_member *m, const struct raw *v, const struct mien_where *at,
                      struct mien_member_value *to)
{
    char *text;
    size_t n;
    bool writable;
    const bool bounded = m->low != 0 || m->high != 0;
    if (!text_of(s, v, &text, &n, &writable) || memchr(text, 0, n) != NULL) fault(x, at, "string_type", "must be text");
    else if (bounded && (double)n < m->low) fault(x, at, "too_short", "must have at least %g bytes", m->low);
    else if (bounded && (double)n > m->high) fault(x, at, "too_long", "must have at most %g bytes", m->high);
    else to->text = copy_of(x, text, n);
}

static bool is_choice(const char *choices, const char *text)
{
    const size_t n = strlen(text);
    for (const char *at = choices; n > 0 && at != NULL; at = strchr(at, '|'), at = at != NULL ? at + 1 : NULL)
        if (strcspn(at, "|") == n && memcmp(at, text, n) == 0) return true;
    return false;
}

static void take_choice(struct mien_exchange *x, const struct source *s, const struct mien_member *m, const struct raw *v, const struct mien_where *at,
                        struct mien_member_value *to)
{
    const int before = x->faults.n;
    take_text(x, s, m, v, at, to);
    if (x->faults.n > before || to->text == NULL || is_choice(m->choices, to->text)) return;
    fault(x, at, "enum", "must be one of %s", m->choices);
}

static void take_number(struct mien_exchange *x, const struct mien_member *m, const struct raw *v, const struct mien_where *at, struct mien_member_value *to)
{
    const bool whole = m->kind == MIEN_KIND_INTEGER, bounded = m->low != 0 || m->high != 0;
    double d;
    if (!number_of(v, &d)) fault(x, at, whole ? "integer_type" : "number_type", "must be a %s", whole ? "whole number" : "number");
    else if (whole && (d != floor(d) || fabs(d) > 2147483647.0)) fault(x, at, "integer_type", "must be a whole number");
    else if (bounded && d < m->low) fault(x, at, "greater_than_equal", "must be at least %g", m->low);
    else if (bounded && d > m->high) fault(x, at, "less_than_equal", "must be at most %g", m->high);
    else to->number = d;
}

static void take_bool(struct mien_exchange *x, const struct raw *v, const struct mien_where *at, struct mien_member_value *to)
{
    double d;
    if (bool_of(v, &d)) to->number = d;
    else fault(x, at, "bool_type", "must be true or false");
}

/* ---- objects ---- */

/* Copies a value as compact JSON. False: too long, too deep, or with a NUL, which texts here cannot hold. */
static bool write_value(const struct source *s, const struct mien_json *v, struct mien_jw *w, struct mien_arena *arena);

static bool write_members(const struct source *s, const struct mien_json *v, struct mien_jw *w, struct mien_arena *arena)
{
    const bool object = mien_json_is_object(v);
    const size_t n = mien_json_size(v);
    const char *key;
    /* An item takes two bytes at least: what cannot fit is not walked. */
    if (w->depth >= OBJECT_LEVELS || 2 * n > w->out->max) return false;
    if (object) mien_jw_object(w);
    else mien_jw_array(w);
    for (size_t i = 0; i < n; i++) {
        const struct mien_json *one = object ? mien_json_member(v, i, &key) : mien_json_at(v, i);
        if (object) mien_jw_key(w, key);
        if (!write_value(s, one, w, arena) || w->out->failed) return false;
    }
    if (object) mien_jw_end_object(w);
    else mien_jw_end_array(w);
    return true;
}

static bool write_value(const struct source *s, const struct mien_json *v, struct mien_jw *w, struct mien_arena *arena)
{
    char *text;
    size_t n;
    if (mien_json_is_object(v) || mien_json_is_array(v)) return write_members(s, v, w, arena);
    if (!mien_lifted_text(s->lifted, v, &text, &n)) {
        mien_jw_copy(w, v);
        return true;
    }
    const char *copy = memchr(text, 0, n) == NULL && n <= w->out->max ? mien_arena_strndup(arena, text, n) : NULL;
    if (copy != NULL) mien_jw_string(w, copy);
    return copy != NULL;
}

static void take_object(struct mien_exchange *x, const struct source *s, const struct mien_member *m, const struct raw *v, const struct mien_where *at,
                        struct mien_member_value *to)
{
    const struct mien_lifted plain = {0};
    struct source own = *s;
    struct mien_json *parsed = NULL;
    struct mien_buf text;
    struct mien_jw w;
    const struct mien_json *node = v->node;
    if (node == NULL) { /* of a form or the query */
        own.lifted = &plain;
        if (v->size <= (size_t)m->high && mien_json_parse(v->text, v->size, &parsed, NULL) == MIEN_OK) node = parsed;
    }
    mien_buf_init(&text, (size_t)m->high);
    mien_jw_init(&w, &text);
    if (!mien_json_is_object(node)) fault(x, at, "object_type", "must be an object");
    else if (!write_value(&own, node, &w, x->call.arena) || text.failed)
        fault(x, at, "too_long", "must have at most %g bytes and %d levels", m->high, OBJECT_LEVELS);
    else to->text = copy_of(x, text.data, text.len);
    if (text.data != NULL) explicit_bzero(text.data, text.room);
    mien_buf_free(&text);
    mien_json_free(&parsed);
}

/* ---- vectors ---- */

/* The numbers of base64 text or of an array; NULL when it is neither. */
static float *numbers_of(struct mien_exchange *x, const struct source *s, const struct raw *v, size_t most, size_t *n)
{
    char *text;
    size_t size;
    bool writable;
    if (mien_json_is_array(v->node)) {
        *n = mien_json_size(v->node);
        float *out = *n <= most ? room_for(x, *n + 1, sizeof *out) : NULL;
        return out != NULL && mien_json_floats(v->node, out, *n) ? out : NULL;
    }
    if (!text_of(s, v, &text, &size, &writable) || mien_base64_room(size) > (most + 1) * sizeof(float)) return NULL;
    float *out = room_for(x, most + 2, sizeof *out);
    if (out == NULL || mien_base64_decode(text, size, (unsigned char *)out, &size, NULL) != MIEN_OK || size % sizeof *out != 0) return NULL;
    *n = size / sizeof *out;
    return out;
}

static void take_vector(struct mien_exchange *x, const struct source *s, const struct mien_member *m, const struct raw *v, const struct mien_where *at,
                        struct mien_member_value *to)
{
    size_t n = 0;
    bool finite = true;
    const float *numbers = numbers_of(x, s, v, (size_t)m->high, &n);
    for (size_t i = 0; numbers != NULL && i < n; i++) finite = finite && isfinite(numbers[i]);
    if (numbers == NULL || (double)n < m->low || (double)n > m->high)
        fault(x, at, "vector_type", "must be %g to %g numbers, as an array or as base64 of little-endian float32", m->low, m->high);
    else if (!finite) fault(x, at, "finite_number", "must hold finite numbers only");
    else *to = (struct mien_member_value){.given = to->given, .vector = numbers, .count = (int)n};
}

/* ---- members ---- */

static void take_members(struct mien_exchange *x, const struct source *s, const struct mien_member *members, const struct mien_where *parent,
                         struct mien_member_value *values);

/* An array of images: JSON's, or the repeated field `name` of a form. */
static void take_images(struct mien_exchange *x, const struct source *s, const struct mien_member *m, const char *name, const struct raw *v,
                        const struct mien_where *at, struct mien_member_value *to)
{
    int n = 0;
    if (v->node != NULL && !mien_json_is_array(v->node)) {
        fault(x, at, "array_type", "must be an array");
        return;
    }
    struct raw one;
    if (v->node != NULL) n = (int)mien_json_size(v->node);
    else
        while (look_up(s, name, n, &one)) n++;
    if (n < m->low) fault(x, at, "too_short", "must have at least %g entries", m->low);
    if (n > m->high || n > x->call.service->settings.max_images) {
        x->too_many = true;
        return;
    }
    to->blob = room_for(x, (size_t)n, sizeof *to->blob);
    for (int i = 0; i < n && to->blob != NULL; i++) {
        struct mien_where here = *at;
        here.index = i;
        if (v->node != NULL) one = (struct raw){.node = mien_json_at(v->node, (size_t)i)};
        else look_up(s, name, i, &one);
        take_image(x, s, &one, &here, &to->blob[i]);
        to->count = i + 1;
    }
}

/* How many entries an array has that must be within bounds; false, with a fault, for what is no array or has too many. `none`: the fault's words. */
static bool array_of(struct mien_exchange *x, const struct mien_member *m, const struct raw *v, const struct mien_where *at, const char *none, size_t *n)
{
    if (!mien_json_is_array(v->node)) {
        fault(x, at, "array_type", "%s", none);
        return false;
    }
    *n = mien_json_size(v->node);
    if ((double)*n < m->low) fault(x, at, "too_short", "must have at least %g entries", m->low);
    if ((double)*n <= m->high) return true;
    fault(x, at, "too_long", "must have at most %g entries", m->high);
    return false;
}

static void take_items(struct mien_exchange *x, const struct source *s, const struct mien_member *m, const struct raw *v, const struct mien_where *at,
                       struct mien_member_value *to)
{
    size_t n;
    if (!array_of(x, m, v, at, "must be an array of objects", &n)) return;
    to->item = room_for(x, n, sizeof *to->item);
    for (size_t i = 0; i < n && to->item != NULL; i++) {
        struct mien_where here = *at;
        struct source inner = *s;
        here.index = (int)i;
        inner.object = mien_json_at(v->node, i);
        if (mien_json_is_object(inner.object)) take_members(x, &inner, m->sub, &here, to->item[i].value);
        else fault(x, &here, "object_type", "must be an object");
    }
    to->count = (int)n;
}

static void take_choices(struct mien_exchange *x, const struct source *s, const struct mien_member *m, const struct raw *v, const struct mien_where *at,
                         struct mien_member_value *to)
{
    size_t n;
    if (!array_of(x, m, v, at, "must be an array of texts", &n)) return;
    const struct mien_member each = {.name = m->name, .choices = m->choices}; /* the bounds are the array's */
    to->choice = room_for(x, n + 1, sizeof *to->choice);
    for (size_t i = 0; i < n && to->choice != NULL; i++) {
        const struct raw one = {.node = mien_json_at(v->node, i)};
        struct mien_where here = *at;
        here.index = (int)i;
        take_choice(x, s, &each, &one, &here, to);
        to->choice[to->count++] = to->text;
    }
}

static void take_value(struct mien_exchange *x, const struct source *s, const struct mien_member *m, const char *name, const struct raw *v,
                       const struct mien_where *at, struct mien_member_value *to)
{
    switch (m->kind) {
    case MIEN_KIND_IMAGE:
        to->blob = room_for(x, 1, sizeof *to->blob);
        if (to->blob != NULL) take_image(x, s, v, at, to->blob);
        break;
    case MIEN_KIND_IMAGES: take_images(x, s, m, name, v, at, to); break;
    case MIEN_KIND_TEXT: take_text(x, s, m, v, at, to); break;
    case MIEN_KIND_CHOICE: take_choice(x, s, m, v, at, to); break;
    case MIEN_KIND_CHOICES: take_choices(x, s, m, v, at, to); break;
    case MIEN_KIND_NUMBER:
    case MIEN_KIND_INTEGER: take_number(x, m, v, at, to); break;
    case MIEN_KIND_BOOL: take_bool(x, v, at, to); break;
    case MIEN_KIND_ITEMS: take_items(x, s, m, v, at, to); break;
    case MIEN_KIND_OBJECT: take_object(x, s, m, v, at, to); break;
    case MIEN_KIND_VECTOR: take_vector(x, s, m, v, at, to); break;
    }
}

static bool is_first_image(const struct mien_member *members, const struct mien_member *m)
{
    const struct mien_member *first = members;
    while (first->name != NULL && first->kind != MIEN_KIND_IMAGE && first->kind != MIEN_KIND_IMAGES) first++;
    return first == m;
}

/* One member by all its names. */
static void take_member(struct mien_exchange *x, const struct source *s, const struct mien_member *members, const struct mien_member *m,
                        const struct mien_where *parent, struct mien_member_value *to)
{
    char name[64];
    struct mien_where at = *parent;
    const char **slot = parent->member != NULL ? &at.sub : &at.member;
    struct raw v, second;
    bool more = true;
    for (int i = 0; more; i++) {
        more = name_of(m, i, name);
        /* A form's field `file` is one more name of the first image. */
        if (!more && (s->part == NULL || !is_first_image(members, m))) break;
        if (!more) snprintf(name, sizeof name, "file");
        if (!look_up(s, name, 0, &v)) continue;
        *slot = copy_of(x, name, strlen(name));
        if (to->given) fault(x, &at, "conflict", "another name of the same member is given too");
        else if (m->kind != MIEN_KIND_IMAGES && look_up(s, name, 1, &second)) fault(x, &at, "duplicate", "is given more than once");
        else take_value(x, s, m, name, &v, &at, to);
        to->given = true;
    }
}

/* Adds what `s` has of the members that have no value yet. */
static void take_members(struct mien_exchange *x, const struct source *s, const struct mien_member *members, const struct mien_where *parent,
                         struct mien_member_value *values)
{
    for (int i = 0; members != NULL && members[i].name != NULL; i++) {
        assert(i < MIEN_MAX_MEMBERS);
        if (members[i].in_path) continue; /* is not in a body */
        values[i].number = members[i].otherwise;
        take_member(x, s, members, &members[i], parent, &values[i]);
        if (values[i].given || !members[i].required) continue;
        struct mien_where at = *parent;
        if (parent->member != NULL) at.sub = members[i].name;
        else at.member = members[i].name;
        fault(x, &at, "missing", "is missing");
    }
}

/* ---- rows ---- */

/* Of the path's rows the last whose member is there; else the first. MIEN_PROBLEM_NONE, or why the sender may not use the row. */
static enum mien_problem choose_row(struct mien_exchange *x, const struct source *s)
{
    struct raw v;
    for (const struct mien_route *r = mien_route_next(x->call.route); r != NULL; r = mien_route_next(r))
        if (r->when != NULL && look_up(s, r->when, 0, &v)) x->call.route = r;
    if (!mien_body_taken(x->call.route, x->media)) return MIEN_PROBLEM_UNSUPPORTED_MEDIA_TYPE;
    const char *why = NULL;
    const enum mien_problem p = mien_access_scope(x->call.service->access, &x->caller, (unsigned)x->call.route->scope, &why);
    if (why != NULL) snprintf(x->said, sizeof x->said, "%s", why);
    return p;
}

/* What stands in the path, then what the source has. */
static enum mien_problem take_all(struct mien_exchange *x, const struct source *s, const struct mien_where *root)
{
    const enum mien_problem p = choose_row(x, s);
    if (p != MIEN_PROBLEM_NONE) return p;
    const struct mien_member *members = x->call.route->members;
    const struct source path = {.place = "path", .tail = mien_route_tail(x->call.route, mien_request_path(x->call.request))};
    const struct mien_where at = {.place = "path", .index = -1};
    for (int i = 0; path.tail != NULL && members[i].name != NULL; i++)
        if (members[i].in_path) take_member(x, &path, members, &members[i], &at, &x->value[i]);
    take_members(x, s, members, root, x->value);
    return MIEN_PROBLEM_NONE;
}

/* ---- bodies ---- */

/* Parses a JSON text of the request. *lifted is filled when it is one; what is wrong with it becomes a fault at `at`. */
static enum mien_problem parse(struct mien_exchange *x, char *text, size_t n, const struct mien_where *at, struct mien_lifted *lifted)
{
    struct mien_err e = {0};
    struct mien_where here = *at;
    const enum mien_code code = mien_json_lift(text, n, x->call.arena, lifted, &e);
    if (code != MIEN_E_JSON) return mien_problem_of(code);
    if (here.member == NULL) here.index = e.pos > INT32_MAX ? INT32_MAX : (int)e.pos;
    fault(x, &here, "json_invalid", "is not valid %.80s", e.msg); /* our own words: codec/json.c */
    return MIEN_PROBLEM_NONE;
}

static enum mien_problem read_json(struct mien_exchange *x, char *body, size_t n)
{
    struct mien_lifted lifted = {0};
    const struct mien_where root = {.place = "body", .index = -1};
    enum mien_problem p = parse(x, body, n, &root, &lifted);
    if (p != MIEN_PROBLEM_NONE || lifted.root == NULL) return p;
    const struct source s = {.place = "body", .object = lifted.root, .lifted = &lifted, .body = body, .body_size = n};
    if (mien_json_is_object(lifted.root)) p = take_all(x, &s, &root);
    else fault(x, &root, "object_type", "must be an object");
    mien_json_free(&lifted.root);
    return p;
}

/* One line of a body of lines: an entry of the member m. */
static enum mien_problem read_line(struct mien_exchange *x, char *line, size_t n, const struct mien_member *m, int i, struct mien_item *to)
{
    struct mien_lifted lifted = {0};
    const struct mien_where at = {.place = "body", .member = m->name, .index = i};
    const enum mien_problem p = parse(x, line, n, &at, &lifted);
    if (p != MIEN_PROBLEM_NONE || lifted.root == NULL) return p;
    const struct source s = {.place = "body", .object = lifted.root, .lifted = &lifted, .body = line, .body_size = n};
    if (mien_json_is_object(lifted.root)) take_members(x, &s, m->sub, &at, to->value);
    else fault(x, &at, "object_type", "must be an object");
    mien_json_free(&lifted.root);
    return MIEN_PROBLEM_NONE;
}

static bool is_blank(const char *text, size_t n)
{
    while (n > 0 && memchr(" \t\r", text[n - 1], 3) != NULL) n--;
    return n == 0;
}

/* JSON objects, one a line: the entries of the first ITEMS member; the other members may come in the query. */
static enum mien_problem read_lines(struct mien_exchange *x, char *body, size_t n)
{
    const struct mien_where root = {.place = "query", .index = -1};
    const struct source query = {.place = "query", .query = x->call.request};
    const enum mien_problem allowed = choose_row(x, &query);
    const struct mien_member *m = x->call.route->members;
    int row = 0;
    if (allowed != MIEN_PROBLEM_NONE) return allowed;
    while (m[row].kind != MIEN_KIND_ITEMS) row++;
    const struct mien_where at = {.place = "body", .member = m[row].name, .index = -1};
    struct mien_member_value *to = &x->value[row];
    to->item = room_for(x, (size_t)m[row].high, sizeof *to->item);
    to->given = true;
    while (n > 0 && to->item != NULL) {
        const char *end = memchr(body, '\n', n);
        const size_t length = end != NULL ? (size_t)(end - body) : n;
        if (!is_blank(body, length)) {
            if (to->count >= (int)m[row].high) {
                fault(x, &at, "too_long", "must have at most %g entries", m[row].high);
                return MIEN_PROBLEM_NONE;
            }
            const enum mien_problem p = read_line(x, body, length, &m[row], to->count, &to->item[to->count]);
            if (p != MIEN_PROBLEM_NONE) return p;
            to->count++;
        }
        body += length + (end != NULL);
        n -= length + (end != NULL);
    }
    if (to->count < m[row].low) fault(x, &at, "too_short", "must have at least %g entries", m[row].low);
    take_members(x, &query, m, &root, x->value);
    return MIEN_PROBLEM_NONE;
}

static enum mien_problem read_multipart(struct mien_exchange *x, char *body, size_t n)
{
    struct mien_err e = {0};
    const struct mien_where root = {.place = "body", .index = -1};
    struct source s = {.place = "body"};
    s.part = mien_arena_calloc(x->call.arena, MAX_PARTS, sizeof *s.part);
    if (s.part == NULL) return MIEN_PROBLEM_OVERLOADED;
    enum mien_code code = mien_multipart_parse(mien_request_header(x->call.request, "Content-Type"), body, n, s.part, MAX_PARTS, &s.n_parts, &e);
    if (code == MIEN_E_MULTIPART) fault(x, &root, "multipart_invalid", "is not valid multipart/form-data");
    else if (code != MIEN_OK) return mien_problem_of(code);
    else return take_all(x, &s, &root);
    return MIEN_PROBLEM_NONE;
}

/* The query alone, or beside raw bytes, which are the image: they have no place for the other members. */
static enum mien_problem read_raw(struct mien_exchange *x, char *body, size_t n)
{
    const bool image_here = x->media == MIEN_MEDIA_RAW && n > 0;
    const char *place = image_here || (x->call.route->takes & MIEN_TAKES_QUERY) != 0 ? "query" : "body";
    const struct mien_where root = {.place = place, .index = -1};
    struct source s = {.place = place, .query = x->call.request};
    if (strcmp(place, "body") == 0) s = (struct source){.place = place}; /* an empty body has nothing */
    if (image_here) {
        const enum mien_problem p = choose_row(x, &s);
        const struct mien_member *members = x->call.route->members;
        if (p != MIEN_PROBLEM_NONE) return p;
        for (int i = 0; members != NULL && members[i].name != NULL; i++) {
            if (members[i].kind != MIEN_KIND_IMAGE) continue;
            const struct mien_where at = {.place = "body", .member = members[i].name, .index = -1};
            const struct raw v = {.text = body, .size = n, .file = true};
            x->value[i].given = true;
            take_value(x, &s, &members[i], members[i].name, &v, &at, &x->value[i]);
            break;
        }
    }
    return take_all(x, &s, &root);
}

static void configured_defaults(struct mien_exchange *x)
{
    const struct mien_service_settings *s = &x->call.service->settings;
    const struct mien_member *m = x->call.route->members;
    const struct mien_model *embed = mien_models_role(x->call.models, MIEN_ROLE_EMBED, 0);
    for (int i = 0; m != NULL && m[i].name != NULL; i++) {
        if (x->value[i].given) continue;
        if (m[i].from == MIEN_FROM_ANTISPOOF_THRESHOLD) x->value[i].number = (double)s->antispoof_threshold;
        if (m[i].from != MIEN_FROM_MATCH_THRESHOLD) continue;
        x->value[i].number = isnan(s->match_threshold) ? embed != NULL ? (double)embed->threshold : 0.0 : (double)s->match_threshold;
    }
}

enum mien_problem mien_body_read(struct mien_exchange *x)
{
    size_t n = 0;
    char *body = mien_request_body(x->call.request, &n);
    const struct mien_service_settings *s = &x->call.service->settings;
    enum mien_problem p = MIEN_PROBLEM_NONE;
    x->bytes_in = n;
    x->last_picture = &x->picture;
    if (x->media == MIEN_MEDIA_JSON) p = read_json(x, body != NULL ? body : (char[]){""}, n);
    else if (x->media == MIEN_MEDIA_LINES) p = read_lines(x, body, n);
    else if (x->media == MIEN_MEDIA_MULTIPART) p = read_multipart(x, body != NULL ? body : (char[]){""}, n);
    else p = read_raw(x, body, n);
    if (p != MIEN_PROBLEM_NONE) return p;
    if (x->no_memory) return MIEN_PROBLEM_OVERLOADED;
    if (x->faults.n > 0) return MIEN_PROBLEM_VALIDATION_ERROR;
    if (x->too_many || x->images > s->max_images) return MIEN_PROBLEM_TOO_LARGE;
    configured_defaults(x);
    return MIEN_PROBLEM_NONE;
}

/* ---- images that fail, and those that must be fetched ---- */

/* Routes with an array of images answer for each of them; only one that is too large to be held at all fails the request. */
static bool answers_each(const struct mien_picture *p)
{
    if (p->where.index < 0 || p->where.sub != NULL) return false;
    return p->blob->failed != MIEN_E_IMAGE_LIMIT || p->blob->url != NULL;
}

enum mien_problem mien_body_images(struct mien_exchange *x)
{
    for (const struct mien_picture *p = x->picture; p != NULL; p = p->next) {
        const enum mien_code code = p->blob->failed;
        if (code == MIEN_OK || answers_each(p)) continue;
        if (code == MIEN_E_URL_REFUSED) {
            fault(x, &p->where, "url_not_allowed", "this server does not fetch this URL");
            return MIEN_PROBLEM_VALIDATION_ERROR;
        }
        return say(x, mien_problem_of(code), &p->where, p->blob->why);
    }
    return x->image_bytes > x->call.service->settings.max_request_bytes ? MIEN_PROBLEM_TOO_LARGE : MIEN_PROBLEM_NONE;
}

static bool wants_fetch(const struct mien_picture *p) { return p->blob->url != NULL && p->blob->data == NULL && p->blob->failed == MIEN_OK; }

bool mien_body_has_urls(const struct mien_exchange *x)
{
    for (const struct mien_picture *p = x->picture; p != NULL; p = p->next)
        if (wants_fetch(p)) return true;
    return false;
}

void mien_body_fetch(struct mien_exchange *x)
{
    for (struct mien_picture *p = x->picture; p != NULL; p = p->next) {
        struct mien_err e = {0};
        size_t n = 0;
        if (!wants_fetch(p)) continue;
        enum mien_code code = x->image_bytes > x->call.service->settings.max_request_bytes
                                  ? MIEN_E_IMAGE_LIMIT
                                  : mien_fetch_get(x->call.service->fetch, p->blob->url, &p->fetched, &n, &e);
        if (code == MIEN_OK) {
            p->blob->data = p->fetched;
            p->blob->size = p->fetched_size = n;
            check_size(x, p->blob);
        } else {
            const char *why = mien_problem_about_image(code);
            image_failed(p->blob, code, why != NULL ? why : mien_problem_about_image(MIEN_E_URL_FETCH));
        }
    }
}

/* ---- limits ---- */

bool mien_body_taken(const struct mien_route *route, enum mien_media media)
{
    static const unsigned TAKES[] = {[MIEN_MEDIA_JSON] = MIEN_TAKES_JSON, [MIEN_MEDIA_RAW] = MIEN_TAKES_RAW, [MIEN_MEDIA_MULTIPART] = MIEN_TAKES_MULTIPART,
                                     [MIEN_MEDIA_LINES] = MIEN_TAKES_LINES};
    return media == MIEN_MEDIA_NONE || (route->takes & TAKES[media]) != 0;
}

static bool has_vectors(const struct mien_member *m)
{
    for (; m != NULL && m->name != NULL; m++)
        if (m->kind == MIEN_KIND_VECTOR || (m->kind == MIEN_KIND_ITEMS && has_vectors(m->sub))) return true;
    return false;
}

static size_t images_of(const struct mien_member *m)
{
    size_t n = 0;
    for (; m != NULL && m->name != NULL; m++) {
        if (m->kind == MIEN_KIND_IMAGE) n += 1;
        if (m->kind == MIEN_KIND_IMAGES) n += (size_t)m->high;
        if (m->kind == MIEN_KIND_ITEMS) n += (size_t)m->high * images_of(m->sub);
    }
    return n;
}

size_t mien_body_limit(const struct mien_service_settings *s, const struct mien_route *route, enum mien_media media)
{
    size_t n = 0, bytes = s->max_request_bytes;
    if (media == MIEN_MEDIA_NONE) return 0;
    if (media == MIEN_MEDIA_RAW) return s->max_image_bytes;
    for (const struct mien_route *r = mien_route_first(route); r != NULL; r = mien_route_next(r)) {
        const size_t images = images_of(r->members);
        if (has_vectors(r->members)) return s->max_request_bytes;
        if (images > n) n = images;
    }
    if (s->max_image_bytes < bytes / (n > 0 ? n : 1)) bytes = n * s->max_image_bytes;
    return bytes + bytes / 3 + FORM_BYTES;
}
