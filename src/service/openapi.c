/* Writes the route table as OpenAPI 3.1. Schemas are JSON Schema: a member's other names are properties too, of which one must be there. */
#include "service/openapi.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "base/version.h"
#include "service/problem.h"

enum { NAME_ROOM = 64 };

static void key_object(struct mien_jw *w, const char *key)
{
    mien_jw_key(w, key);
    mien_jw_object(w);
}

static void key_array(struct mien_jw *w, const char *key)
{
    mien_jw_key(w, key);
    mien_jw_array(w);
}

static void text(struct mien_jw *w, const char *key, const char *value)
{
    if (value == NULL || value[0] == 0) return;
    mien_jw_key(w, key);
    mien_jw_string(w, value);
}

static void number(struct mien_jw *w, const char *key, double value)
{
    mien_jw_key(w, key);
    mien_jw_number(w, value, 6);
}

/* The i-th word of "a|b|c"; false past the end. */
static bool word(const char *list, int i, char out[NAME_ROOM])
{
    for (; list != NULL && i > 0; i--) {
        list = strchr(list, '|');
        if (list != NULL) list++;
    }
    if (list == NULL) return false;
    snprintf(out, NAME_ROOM, "%.*s", (int)strcspn(list, "|"), list);
    return true;
}

/* ---- members ---- */

static void members_schema(struct mien_jw *w, const struct mien_member *members, bool form);

static bool is_bounded(const struct mien_member *m) { return m->low != 0 || m->high != 0; }

static void bounds(struct mien_jw *w, const struct mien_member *m, const char *low, const char *high)
{
    if (!is_bounded(m)) return;
    number(w, low, m->low);
    number(w, high, m->high);
}

static void default_value(struct mien_jw *w, const struct mien_member *m)
{
    if (m->required || m->from == MIEN_FROM_MATCH_THRESHOLD) return;
    mien_jw_key(w, "default");
    if (m->kind == MIEN_KIND_BOOL) mien_jw_bool(w, m->otherwise > 0.5);
    else mien_jw_number(w, m->otherwise, 6);
}

static void image_schema(struct mien_jw *w, bool form)
{
    text(w, "type", "string");
    if (form) text(w, "format", "binary");
}

/* An array of numbers, or text. */
static void vector_schema(struct mien_jw *w, const struct mien_member *m)
{
    key_array(w, "anyOf");
    mien_jw_object(w);
    text(w, "type", "array");
    bounds(w, m, "minItems", "maxItems");
    key_object(w, "items");
    text(w, "type", "number");
    mien_jw_end_object(w);
    mien_jw_end_object(w);
    mien_jw_object(w);
    text(w, "type", "string");
    text(w, "contentEncoding", "base64");
    mien_jw_end_object(w);
    mien_jw_end_array(w);
}

static void choice_schema(struct mien_jw *w, const struct mien_member *m)
{
    char choice[NAME_ROOM];
    text(w, "type", "string");
    key_array(w, "enum");
    for (int i = 0; word(m->choices, i, choice); i++) mien_jw_string(w, choice);
    mien_jw_end_array(w);
}

/* The members of an open schema object; `form`: images are files. */
static void member_schema(struct mien_jw *w, const struct mien_member *m, bool form)
{
    switch (m->kind) {
    case MIEN_KIND_IMAGE: image_schema(w, form); break;
    case MIEN_KIND_IMAGES:
        text(w, "type", "array");
        bounds(w, m, "minItems", "maxItems");
        key_object(w, "items");
        image_schema(w, form);
        mien_jw_end_object(w);
        break;
    case MIEN_KIND_TEXT:
        text(w, "type", "string");
        bounds(w, m, "minLength", "maxLength");
        break;
    case MIEN_KIND_CHOICE: choice_schema(w, m); break;
    case MIEN_KIND_CHOICES:
        text(w, "type", "array");
        bounds(w, m, "minItems", "maxItems");
        key_object(w, "items");
        choice_schema(w, m);
        mien_jw_end_object(w);
        break;
    case MIEN_KIND_NUMBER:
    case MIEN_KIND_INTEGER:
        text(w, "type", m->kind == MIEN_KIND_NUMBER ? "number" : "integer");
        bounds(w, m, "minimum", "maximum");
        default_value(w, m);
        break;
    case MIEN_KIND_BOOL:
        text(w, "type", "boolean");
        default_value(w, m);
        break;
    case MIEN_KIND_ITEMS:
        text(w, "type", "array");
        bounds(w, m, "minItems", "maxItems");
        key_object(w, "items");
        members_schema(w, m->sub, form);
        mien_jw_end_object(w);
        break;
    case MIEN_KIND_OBJECT: text(w, "type", form ? "string" : "object"); break;
    case MIEN_KIND_VECTOR: vector_schema(w, m); break;
    }
}

static void properties(struct mien_jw *w, const struct mien_member *members, bool form)
{
    char other[NAME_ROOM], help[NAME_ROOM + 24];
    key_object(w, "properties");
    for (const struct mien_member *m = members; m != NULL && m->name != NULL; m++) {
        if (m->in_path) continue;
        key_object(w, m->name);
        member_schema(w, m, form);
        text(w, "description", m->help);
        mien_jw_end_object(w);
        for (int i = 0; word(m->also, i, other); i++) {
            key_object(w, other);
            member_schema(w, m, false);
            snprintf(help, sizeof help, "Another name of %s.", m->name);
            text(w, "description", help);
            mien_jw_end_object(w);
        }
    }
    mien_jw_end_object(w);
}

static void one_required(struct mien_jw *w, const char *name)
{
    mien_jw_object(w);
    key_array(w, "required");
    mien_jw_string(w, name);
    mien_jw_end_array(w);
    mien_jw_end_object(w);
}

/* Members with one name go into `required`; of those with several, exactly one name must be there. */
static void required_members(struct mien_jw *w, const struct mien_member *members)
{
    char other[NAME_ROOM];
    int plain = 0, several = 0;
    for (const struct mien_member *m = members; m != NULL && m->name != NULL; m++) {
        plain += m->required && m->also == NULL && !m->in_path;
        several += m->required && m->also != NULL;
    }
    if (plain > 0) {
        key_array(w, "required");
        for (const struct mien_member *m = members; m->name != NULL; m++)
            if (m->required && m->also == NULL && !m->in_path) mien_jw_string(w, m->name);
        mien_jw_end_array(w);
    }
    if (several == 0) return;
    key_array(w, "allOf");
    for (const struct mien_member *m = members; m->name != NULL; m++) {
        if (!m->required || m->also == NULL) continue;
        mien_jw_object(w);
        key_array(w, "oneOf");
        one_required(w, m->name);
        for (int i = 0; word(m->also, i, other); i++) one_required(w, other);
        mien_jw_end_array(w);
        mien_jw_end_object(w);
    }
    mien_jw_end_array(w);
}

static void members_schema(struct mien_jw *w, const struct mien_member *members, bool form)
{
    text(w, "type", "object");
    properties(w, members, form);
    required_members(w, members);
}

static bool any_row(const struct mien_route *r, bool (*is)(const struct mien_route *))
{
    while (r != NULL && !is(r)) r = mien_route_next(r);
    return r != NULL;
}

static bool needs_members(const struct mien_route *r)
{
    for (const struct mien_member *m = r->members; m != NULL && m->name != NULL; m++)
        if (m->required && !m->in_path) return true;
    return false;
}

/* ---- an example body ---- */

static void example_object(struct mien_jw *w, const struct mien_member *members);

static void example_value(struct mien_jw *w, const struct mien_member *m)
{
    static const char IMAGE[] = "data:image/jpeg;base64,...";
    char choice[NAME_ROOM] = "";
    switch (m->kind) {
    case MIEN_KIND_IMAGE: mien_jw_string(w, IMAGE); break;
    case MIEN_KIND_TEXT: mien_jw_string(w, m->name); break;
    case MIEN_KIND_CHOICE:
        word(m->choices, 0, choice);
        mien_jw_string(w, choice);
        break;
    case MIEN_KIND_NUMBER:
    case MIEN_KIND_INTEGER: mien_jw_number(w, m->otherwise, 6); break;
    case MIEN_KIND_BOOL: mien_jw_bool(w, m->otherwise > 0.5); break;
    case MIEN_KIND_OBJECT:
        mien_jw_object(w);
        mien_jw_end_object(w);
        break;
    case MIEN_KIND_VECTOR: mien_jw_string(w, "base64..."); break;
    case MIEN_KIND_IMAGES:
    case MIEN_KIND_ITEMS:
    case MIEN_KIND_CHOICES:
        mien_jw_array(w);
        if (m->kind == MIEN_KIND_ITEMS) example_object(w, m->sub);
        if (m->kind == MIEN_KIND_IMAGES) mien_jw_string(w, IMAGE);
        mien_jw_end_array(w);
        break;
    }
}

static void example_object(struct mien_jw *w, const struct mien_member *members)
{
    mien_jw_object(w);
    for (const struct mien_member *m = members; m->name != NULL; m++) {
        if (!m->required && (m->kind == MIEN_KIND_TEXT || m->kind == MIEN_KIND_VECTOR)) continue;
        if (m->in_path || m->from == MIEN_FROM_MATCH_THRESHOLD) continue;
        mien_jw_key(w, m->name);
        example_value(w, m);
    }
    mien_jw_end_object(w);
}

/* ---- requests ---- */

/* Whether a member may stand in the path or in the query of a request to its row. */
static bool is_parameter(const struct mien_route *r, const struct mien_member *m)
{
    if (m->in_path) return true;
    if (m->kind == MIEN_KIND_IMAGE) return (r->takes & MIEN_TAKES_QUERY) != 0;
    return (r->takes & (MIEN_TAKES_QUERY | MIEN_TAKES_RAW)) != 0 && m->kind != MIEN_KIND_IMAGES && m->kind != MIEN_KIND_ITEMS && m->kind != MIEN_KIND_CHOICES;
}

static bool has_parameter(const struct mien_route *r, const char *name)
{
    for (const struct mien_member *m = r->members; m != NULL && m->name != NULL; m++)
        if (strcmp(m->name, name) == 0 && is_parameter(r, m)) return true;
    return false;
}

static void parameter(struct mien_jw *w, const struct mien_route *r, const struct mien_member *m)
{
    const bool image = m->kind == MIEN_KIND_IMAGE, no_body = (r->takes & MIEN_TAKES_BODY) == 0;
    char name[NAME_ROOM];
    snprintf(name, sizeof name, "%s", m->name);
    if (image) word(m->also, 0, name); /* image_url: what a query can hold */
    mien_jw_object(w);
    text(w, "name", name);
    text(w, "in", m->in_path ? "path" : "query");
    if (m->in_path) {
        mien_jw_key(w, "required");
        mien_jw_bool(w, true);
    }
    text(w, "description", image ? "Instead of a body: URL of the photo." : no_body ? m->help : "For raw bodies, which have no place for it.");
    key_object(w, "schema");
    member_schema(w, m, true);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
}

static void parameters(struct mien_jw *w, const struct mien_route *first)
{
    key_array(w, "parameters");
    for (const struct mien_route *r = first; r != NULL; r = mien_route_next(r)) {
        for (const struct mien_member *m = r->members; m != NULL && m->name != NULL; m++) {
            bool seen = !is_parameter(r, m);
            for (const struct mien_route *k = first; k != r; k = mien_route_next(k)) seen = seen || has_parameter(k, m->name);
            if (!seen) parameter(w, r, m);
        }
    }
    mien_jw_end_array(w);
}

/* An open schema object: `one` of the row, or any of those of the path's rows that take such a body. */
static void schema_of_rows(struct mien_jw *w, const struct mien_route *first, unsigned takes, void (*one)(struct mien_jw *, const struct mien_route *))
{
    int rows = 0;
    for (const struct mien_route *r = first; r != NULL; r = mien_route_next(r)) rows += takes == 0 || (r->takes & takes) != 0;
    if (rows > 1) key_array(w, "anyOf");
    for (const struct mien_route *r = first; r != NULL; r = mien_route_next(r)) {
        if (takes != 0 && (r->takes & takes) == 0) continue;
        if (rows > 1) {
            mien_jw_object(w);
            text(w, "title", r->summary);
        }
        one(w, r);
        if (rows > 1) mien_jw_end_object(w);
    }
    if (rows > 1) mien_jw_end_array(w);
}

static void json_schema(struct mien_jw *w, const struct mien_route *r) { members_schema(w, r->members, false); }
static void form_schema(struct mien_jw *w, const struct mien_route *r) { members_schema(w, r->members, true); }

static void body_of(struct mien_jw *w, const struct mien_route *r, const char *type, bool form)
{
    key_object(w, type);
    key_object(w, "schema");
    schema_of_rows(w, r, form ? MIEN_TAKES_MULTIPART : MIEN_TAKES_JSON, form ? form_schema : json_schema);
    mien_jw_end_object(w);
    if (!form) {
        mien_jw_key(w, "example");
        example_object(w, r->members);
    }
    mien_jw_end_object(w);
}

static void raw_body(struct mien_jw *w, const char *type)
{
    key_object(w, type);
    key_object(w, "schema");
    image_schema(w, true);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
}

/* A body of lines has no schema in OpenAPI: one line's stands for it. */
static void lines_body(struct mien_jw *w, const struct mien_route *r)
{
    const struct mien_member *m = r->members;
    while (m->kind != MIEN_KIND_ITEMS) m++;
    key_object(w, "application/x-ndjson");
    key_object(w, "schema");
    text(w, "description", "One such object a line.");
    members_schema(w, m->sub, false);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
}

static void request_body(struct mien_jw *w, const struct mien_route *r)
{
    unsigned takes = 0;
    for (const struct mien_route *row = r; row != NULL; row = mien_route_next(row)) takes |= row->takes;
    if ((takes & MIEN_TAKES_BODY) == 0 || r->members == NULL) return;
    key_object(w, "requestBody");
    mien_jw_key(w, "required");
    mien_jw_bool(w, (takes & MIEN_TAKES_QUERY) == 0 && any_row(r, needs_members));
    key_object(w, "content");
    if (takes & MIEN_TAKES_JSON) body_of(w, r, "application/json", false);
    if (takes & MIEN_TAKES_LINES) lines_body(w, r);
    if (takes & MIEN_TAKES_MULTIPART) body_of(w, r, "multipart/form-data", true);
    if (takes & MIEN_TAKES_RAW) {
        raw_body(w, "image/*");
        raw_body(w, "application/octet-stream");
    }
    mien_jw_end_object(w);
    mien_jw_end_object(w);
}

/* ---- answers ---- */

static void field_type(struct mien_jw *w, const struct mien_field *f, const char *type)
{
    mien_jw_key(w, "type");
    if (f->nullable) mien_jw_array(w);
    mien_jw_string(w, type);
    if (f->nullable) {
        mien_jw_string(w, "null");
        mien_jw_end_array(w);
    }
}

static void fields_schema(struct mien_jw *w, const struct mien_field *fields);

static void items_of(struct mien_jw *w, const struct mien_field *f, const char *type)
{
    field_type(w, f, "array");
    key_object(w, "items");
    if (type != NULL) text(w, "type", type);
    else fields_schema(w, f->sub);
    mien_jw_end_object(w);
}

static void object_members(struct mien_jw *w, const struct mien_field *fields);

static void field_schema(struct mien_jw *w, const struct mien_field *f)
{
    switch (f->kind) {
    case MIEN_OUT_INTEGER: field_type(w, f, "integer"); break;
    case MIEN_OUT_NUMBER: field_type(w, f, "number"); break;
    case MIEN_OUT_BOOL: field_type(w, f, "boolean"); break;
    case MIEN_OUT_TEXT: field_type(w, f, "string"); break;
    case MIEN_OUT_NUMBERS: items_of(w, f, "number"); break;
    case MIEN_OUT_TEXTS: items_of(w, f, "string"); break;
    case MIEN_OUT_OBJECTS: items_of(w, f, NULL); break;
    case MIEN_OUT_OBJECT:
        field_type(w, f, "object");
        object_members(w, f->sub);
        break;
    case MIEN_OUT_ANY: field_type(w, f, "object"); break;
    case MIEN_OUT_MAP:
        field_type(w, f, "object");
        key_object(w, "additionalProperties");
        text(w, "type", "number");
        mien_jw_end_object(w);
        break;
    }
    text(w, "description", f->help);
}

static void object_members(struct mien_jw *w, const struct mien_field *fields)
{
    key_object(w, "properties");
    for (const struct mien_field *f = fields; f->name != NULL; f++) {
        key_object(w, f->name);
        field_schema(w, f);
        mien_jw_end_object(w);
    }
    mien_jw_end_object(w);
    key_array(w, "required");
    for (const struct mien_field *f = fields; f->name != NULL; f++)
        if (!f->optional) mien_jw_string(w, f->name);
    mien_jw_end_array(w);
}

static void fields_schema(struct mien_jw *w, const struct mien_field *fields)
{
    text(w, "type", "object");
    object_members(w, fields);
}

static void reference(struct mien_jw *w, const char *key, const char *kind, const char *name)
{
    char where[120];
    snprintf(where, sizeof where, "#/components/%s/%s", kind, name);
    key_object(w, key);
    text(w, "$ref", where);
    mien_jw_end_object(w);
}

static void row_schema(struct mien_jw *w, const struct mien_route *r)
{
    if (r->fields != NULL) fields_schema(w, r->fields);
    else text(w, "type", r->type == NULL || strncmp(r->type, "application/json", 16) == 0 ? "object" : "string");
}

/* 200's answer; the same body also comes with 503 on routes that tell whether the server is well. */
static void answer_of(struct mien_jw *w, const struct mien_route *r, const char *status, const char *what)
{
    char type[NAME_ROOM];
    snprintf(type, sizeof type, "%.*s", (int)strcspn(r->type != NULL ? r->type : "application/json", ";"), r->type != NULL ? r->type : "application/json");
    key_object(w, status);
    text(w, "description", what);
    key_object(w, "headers");
    reference(w, "X-Request-Id", "headers", "X-Request-Id");
    mien_jw_end_object(w);
    key_object(w, "content");
    key_object(w, type);
    key_object(w, "schema");
    schema_of_rows(w, r, 0, row_schema);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
}

static bool has_body(const struct mien_route *r) { return (r->takes & MIEN_TAKES_BODY) != 0; }
static bool has_members(const struct mien_route *r) { return r->members != NULL; }
static bool is_about_users(const struct mien_route *r) { return strcmp(r->tag, "gallery") == 0; }
static bool is_socket(const struct mien_route *r) { return (r->takes & MIEN_TAKES_UPGRADE) != 0; }
static bool is_about_sessions(const struct mien_route *r) { return strcmp(r->tag, "sessions") == 0; }

static bool may_answer(const struct mien_route *r, int status)
{
    switch (status) {
    case 401: return r->scope != MIEN_SCOPE_NONE;
    case 429: return r->scope != MIEN_SCOPE_NONE || is_socket(r);
    case 426: return is_socket(r);
    case 400:
    case 408:
    case 413:
    case 415: return any_row(r, has_body);
    case 404: return any_row(r, is_about_users) || any_row(r, is_about_sessions);
    case 409: return any_row(r, is_about_users);
    case 422: return any_row(r, has_members) && !is_socket(r);
    case 503: return any_row(r, has_body) || any_row(r, is_about_users) || any_row(r, is_about_sessions);
    case 403:
    case 500: return true;
    default: return false;
    }
}

/* Statuses of the problem table, each once. Calls `each` with a status and the first row that has it. */
static void each_status(struct mien_jw *w, const struct mien_route *r, void (*each)(struct mien_jw *, const struct mien_route *, int))
{
    for (int p = MIEN_PROBLEM_NONE + 1; p < MIEN_PROBLEM_COUNT; p++) {
        const int status = mien_problem_row((enum mien_problem)p)->status;
        bool seen = false;
        for (int k = MIEN_PROBLEM_NONE + 1; k < p; k++) seen = seen || mien_problem_row((enum mien_problem)k)->status == status;
        if (!seen) each(w, r, status);
    }
}

static void refer_to_problem(struct mien_jw *w, const struct mien_route *r, int status)
{
    char code[16], name[24];
    if (!may_answer(r, status)) return;
    snprintf(code, sizeof code, "%d", status);
    snprintf(name, sizeof name, "Problem%d", status);
    reference(w, code, "responses", name);
}

static bool tells_health(const struct mien_route *r) { return strcmp(r->path, "/health") == 0 || strcmp(r->path, "/readyz") == 0; }

static void security(struct mien_jw *w, const struct mien_route *r)
{
    if (r->scope == MIEN_SCOPE_NONE) return;
    static const char *const SCHEME[] = {"bearer", "apiKey"};
    unsigned named = 0;
    key_array(w, "security");
    for (; r != NULL; r = mien_route_next(r)) {
        for (int i = 0; i < 2 && (named & (unsigned)r->scope) == 0; i++) {
            mien_jw_object(w);
            key_array(w, SCHEME[i]);
            mien_jw_string(w, mien_scope_name(r->scope));
            mien_jw_end_array(w);
            mien_jw_end_object(w);
        }
        named |= (unsigned)r->scope;
    }
    mien_jw_object(w); /* a server without keys */
    mien_jw_end_object(w);
    mien_jw_end_array(w);
}

/* Of several rows: which members make it which. */
static void which_row(struct mien_jw *w, const struct mien_route *r)
{
    char said[400];
    int n = 0;
    while ((r = mien_route_next(r)) != NULL && n >= 0 && n < (int)sizeof said)
        n += snprintf(said + n, sizeof said - (size_t)n, "%sWith %s: %s (scope %s).", n > 0 ? " " : "", r->when, r->summary, mien_scope_name(r->scope));
    text(w, "description", said);
}

static void becomes_socket(struct mien_jw *w)
{
    key_object(w, "101");
    text(w, "description", "The connection is a WebSocket from here on. An unknown or used session is closed with 1008.");
    mien_jw_end_object(w);
}

static void operation(struct mien_jw *w, const struct mien_route *r)
{
    char method[16], id[NAME_ROOM];
    snprintf(method, sizeof method, "%s", mien_method_name(r->method));
    for (char *c = method; *c != 0; c++) *c = (char)tolower((unsigned char)*c);
    snprintf(id, sizeof id, "%s%s", method, strcmp(r->path, "/") == 0 ? "_root" : r->path);
    for (char *c = id; *c != 0; c++)
        if (!isalnum((unsigned char)*c)) *c = '_';
    key_object(w, method);
    text(w, "operationId", id);
    text(w, "summary", r->summary);
    if (mien_route_next(r) != NULL) which_row(w, r);
    key_array(w, "tags");
    mien_jw_string(w, r->tag);
    mien_jw_end_array(w);
    security(w, r);
    parameters(w, r);
    request_body(w, r);
    key_object(w, "responses");
    if (is_socket(r)) becomes_socket(w);
    else answer_of(w, r, "200", "The answer.");
    if (tells_health(r)) answer_of(w, r, "503", "Not now.");
    each_status(w, r, refer_to_problem);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
}

static void paths(struct mien_jw *w)
{
    key_object(w, "paths");
    for (int i = 0; i < mien_route_count; i++) {
        bool seen = false;
        for (int k = 0; k < i; k++) seen = seen || strcmp(mien_routes[k].path, mien_routes[i].path) == 0;
        if (seen) continue;
        key_object(w, mien_routes[i].path);
        for (int k = i; k < mien_route_count; k++)
            if (strcmp(mien_routes[k].path, mien_routes[i].path) == 0 && mien_route_first(&mien_routes[k]) == &mien_routes[k]) operation(w, &mien_routes[k]);
        mien_jw_end_object(w);
    }
    mien_jw_end_object(w);
}

/* ---- components ---- */

static const struct mien_field BESIDE[] = {{.name = "code", .kind = MIEN_OUT_TEXT, .help = "The problem's."},
                                           {.name = "message", .kind = MIEN_OUT_TEXT, .help = "Its detail."},
                                           {.name = "category", .kind = MIEN_OUT_TEXT, .help = "authentication, request, rate_limit or server."},
                                           {.name = "recoverable", .kind = MIEN_OUT_BOOL, .help = "The same request may be answered well later."},
                                           {.name = NULL}};
static const struct mien_field PROBLEM[] = {{.name = "type", .kind = MIEN_OUT_TEXT, .help = "A URN that ends with the code."},
                                            {.name = "title", .kind = MIEN_OUT_TEXT},
                                            {.name = "status", .kind = MIEN_OUT_INTEGER},
                                            {.name = "detail", .kind = MIEN_OUT_TEXT},
                                            {.name = "code", .kind = MIEN_OUT_TEXT, .help = "Stable; for programs."},
                                            {.name = "valid", .kind = MIEN_OUT_BOOL, .optional = true, .help = "False: of a token that is not valid."},
                                            {.name = "error", .kind = MIEN_OUT_OBJECT, .optional = true, .sub = BESIDE, .help = "On /auth and /token routes."},
                                            {.name = NULL}};

/* An entry of `errors`: its place mixes names and indices, which the table's kinds do not know. */
static void fault_schema(struct mien_jw *w)
{
    text(w, "type", "object");
    key_object(w, "properties");
    key_object(w, "loc");
    text(w, "type", "array");
    text(w, "description", "body or query, then names and indices.");
    key_object(w, "items");
    key_array(w, "type");
    mien_jw_string(w, "string");
    mien_jw_string(w, "integer");
    mien_jw_end_array(w);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
    key_object(w, "msg");
    text(w, "type", "string");
    mien_jw_end_object(w);
    key_object(w, "type");
    text(w, "type", "string");
    text(w, "description", "missing, string_type, number_type, greater_than_equal, enum, ...");
    mien_jw_end_object(w);
    mien_jw_end_object(w);
}

/* With 422 the problem also names every wrong member. */
static void problem_schemas(struct mien_jw *w)
{
    key_object(w, "Problem");
    fields_schema(w, PROBLEM);
    mien_jw_end_object(w);
    key_object(w, "ValidationProblem");
    key_array(w, "allOf");
    mien_jw_object(w);
    text(w, "$ref", "#/components/schemas/Problem");
    mien_jw_end_object(w);
    mien_jw_object(w);
    text(w, "type", "object");
    key_object(w, "properties");
    key_object(w, "errors");
    text(w, "type", "array");
    key_object(w, "items");
    fault_schema(w);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
    mien_jw_end_array(w);
    mien_jw_end_object(w);
}

static void fault_example(struct mien_jw *w)
{
    key_array(w, "errors");
    mien_jw_object(w);
    key_array(w, "loc");
    mien_jw_string(w, "body");
    mien_jw_string(w, "threshold");
    mien_jw_end_array(w);
    text(w, "msg", "must be a number");
    text(w, "type", "number_type");
    mien_jw_end_object(w);
    mien_jw_end_array(w);
}

static void problem_example(struct mien_jw *w, const struct mien_problem_row *row)
{
    char type[NAME_ROOM + 24];
    snprintf(type, sizeof type, "urn:mien:problem:%s", row->code);
    key_object(w, row->code);
    key_object(w, "value");
    text(w, "type", type);
    text(w, "title", row->title);
    mien_jw_key(w, "status");
    mien_jw_integer(w, row->status);
    text(w, "detail", row->status == 422 ? "threshold must be a number" : row->detail);
    text(w, "code", row->code);
    if (row->status == 422) fault_example(w);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
}

static void problem_response(struct mien_jw *w, const struct mien_route *r, int status)
{
    (void)r;
    char name[24], codes[160];
    size_t used = 0;
    snprintf(name, sizeof name, "Problem%d", status);
    for (int p = MIEN_PROBLEM_NONE + 1; p < MIEN_PROBLEM_COUNT; p++) {
        const struct mien_problem_row *row = mien_problem_row((enum mien_problem)p);
        if (row->status != status) continue;
        int n = snprintf(codes + used, sizeof codes - used, "%s%s", used > 0 ? ", " : "", row->code);
        if (n > 0 && used + (size_t)n < sizeof codes) used += (size_t)n;
    }
    key_object(w, name);
    text(w, "description", codes);
    key_object(w, "content");
    key_object(w, "application/problem+json");
    reference(w, "schema", "schemas", status == 422 ? "ValidationProblem" : "Problem");
    key_object(w, "examples");
    for (int p = MIEN_PROBLEM_NONE + 1; p < MIEN_PROBLEM_COUNT; p++)
        if (mien_problem_row((enum mien_problem)p)->status == status) problem_example(w, mien_problem_row((enum mien_problem)p));
    mien_jw_end_object(w);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
}

static void security_schemes(struct mien_jw *w)
{
    key_object(w, "securitySchemes");
    key_object(w, "bearer");
    text(w, "type", "http");
    text(w, "scheme", "bearer");
    mien_jw_end_object(w);
    key_object(w, "apiKey");
    text(w, "type", "apiKey");
    text(w, "in", "header");
    text(w, "name", "X-API-Key");
    mien_jw_end_object(w);
    mien_jw_end_object(w);
}

static void components(struct mien_jw *w)
{
    key_object(w, "components");
    key_object(w, "schemas");
    problem_schemas(w);
    mien_jw_end_object(w);
    key_object(w, "headers");
    key_object(w, "X-Request-Id");
    text(w, "description", "The request's id: that of the request when it had one, else made by the server.");
    key_object(w, "schema");
    text(w, "type", "string");
    mien_jw_end_object(w);
    mien_jw_end_object(w);
    mien_jw_end_object(w);
    key_object(w, "responses");
    each_status(w, NULL, problem_response);
    mien_jw_end_object(w);
    security_schemes(w);
    mien_jw_end_object(w);
}

void mien_openapi_write(struct mien_jw *w)
{
    mien_jw_object(w);
    text(w, "openapi", "3.1.0");
    key_object(w, "info");
    text(w, "title", "mien");
    text(w, "version", MIEN_VERSION_TEXT);
    text(w, "description",
         "Face detection, recognition and liveness. Images are base64, data URLs or, where the server allows it, http(s) URLs; routes with one image also take "
         "its bytes. Errors are application/problem+json.");
    mien_jw_end_object(w);
    key_array(w, "servers");
    mien_jw_object(w);
    text(w, "url", "/");
    mien_jw_end_object(w);
    mien_jw_end_array(w);
    paths(w);
    components(w);
    mien_jw_end_object(w);
}
