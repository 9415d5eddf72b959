/* Whether an answer is what its row promises; called for every answer in builds with the address sanitizer, and by tests. */
#include <stdio.h>
#include <string.h>
#include "service/openapi.h"

static const char *type_differs(const struct mien_field *f, const struct mien_json *v, char room[160]);

static const char *wrong(char room[160], const char *name, const char *what)
{
    snprintf(room, 160, "%.60s: %.90s", name, what);
    return room;
}

static bool is_bool(const struct mien_json *v) { return mien_json_bool(v, true) == mien_json_bool(v, false); }
static bool is_integer(const struct mien_json *v) { return mien_json_is_number(v) && mien_json_integer(v, INT64_MIN) != INT64_MIN; }

static bool all_are(const struct mien_json *array, bool (*is)(const struct mien_json *))
{
    for (size_t i = 0; i < mien_json_size(array); i++)
        if (!is(mien_json_at(array, i))) return false;
    return mien_json_is_array(array);
}

static bool is_map(const struct mien_json *v)
{
    const char *key;
    for (size_t i = 0; i < mien_json_size(v); i++)
        if (!mien_json_is_number(mien_json_member(v, i, &key))) return false;
    return mien_json_is_object(v);
}

static bool is_of_kind(enum mien_out kind, const struct mien_json *v)
{
    switch (kind) {
    case MIEN_OUT_INTEGER: return is_integer(v);
    case MIEN_OUT_NUMBER: return mien_json_is_number(v);
    case MIEN_OUT_BOOL: return is_bool(v);
    case MIEN_OUT_TEXT: return mien_json_is_string(v);
    case MIEN_OUT_OBJECT:
    case MIEN_OUT_ANY: return mien_json_is_object(v);
    case MIEN_OUT_OBJECTS: return all_are(v, mien_json_is_object);
    case MIEN_OUT_NUMBERS: return all_are(v, mien_json_is_number);
    case MIEN_OUT_TEXTS: return all_are(v, mien_json_is_string);
    case MIEN_OUT_MAP: return is_map(v);
    }
    return false;
}

static const char *type_differs(const struct mien_field *f, const struct mien_json *v, char room[160])
{
    const char *bad = NULL;
    if (!is_of_kind(f->kind, v)) return wrong(room, f->name, "is of another type");
    if (f->kind == MIEN_OUT_OBJECT) bad = mien_answer_differs(f->sub, v, room);
    for (size_t i = 0; bad == NULL && f->kind == MIEN_OUT_OBJECTS && i < mien_json_size(v); i++) bad = mien_answer_differs(f->sub, mien_json_at(v, i), room);
    return bad;
}

const char *mien_answer_differs(const struct mien_field *fields, const struct mien_json *answer, char room[160])
{
    const char *key, *bad = NULL;
    if (!mien_json_is_object(answer)) return wrong(room, "answer", "is not an object");
    for (const struct mien_field *f = fields; f->name != NULL && bad == NULL; f++) {
        const struct mien_json *v = mien_json_get(answer, f->name);
        if (v == NULL) bad = f->optional ? NULL : wrong(room, f->name, "is missing");
        else if (mien_json_is_null(v)) bad = f->nullable ? NULL : wrong(room, f->name, "is null");
        else bad = type_differs(f, v, room);
    }
    for (size_t i = 0; bad == NULL && i < mien_json_size(answer); i++) {
        const struct mien_field *f = fields;
        mien_json_member(answer, i, &key);
        while (f->name != NULL && strcmp(f->name, key) != 0) f++;
        if (f->name == NULL) bad = wrong(room, key, "is not in the row");
    }
    return bad;
}
