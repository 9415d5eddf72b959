/* Looking up rows of the route table, and the names of scopes. */
#include "service/route.h"

#include <stdio.h>
#include <string.h>

static const struct { const char *name; enum mien_scope scope; } SCOPES[] = {
    {"analyze", MIEN_SCOPE_ANALYZE}, {"gallery:read", MIEN_SCOPE_GALLERY_READ}, {"gallery:write", MIEN_SCOPE_GALLERY_WRITE},
    {"session", MIEN_SCOPE_SESSION}, {"admin", MIEN_SCOPE_ADMIN}};
enum { SCOPE_COUNT = sizeof SCOPES / sizeof SCOPES[0] };

unsigned mien_scope_parse(const char *name, size_t n)
{
    for (int i = 0; i < SCOPE_COUNT; i++)
        if (strlen(SCOPES[i].name) == n && memcmp(SCOPES[i].name, name, n) == 0) return (unsigned)SCOPES[i].scope;
    return 0;
}

const char *mien_scope_name(enum mien_scope one)
{
    for (int i = 0; i < SCOPE_COUNT; i++)
        if (SCOPES[i].scope == one) return SCOPES[i].name;
    return one == MIEN_SCOPE_NONE ? "none" : "?";
}

const char *mien_route_tail(const struct mien_route *r, const char *path)
{
    const size_t fixed = strcspn(r->path, "{");
    return r->path[fixed] == '{' && strncmp(r->path, path, fixed) == 0 ? path + fixed : NULL;
}

static bool matches(const struct mien_route *r, const char *path, bool exact)
{
    if (exact) return strcmp(r->path, path) == 0;
    const char *tail = mien_route_tail(r, path);
    return tail != NULL && tail[0] != 0;
}

static bool are_siblings(const struct mien_route *a, const struct mien_route *b) { return a->method == b->method && strcmp(a->path, b->path) == 0; }

const struct mien_route *mien_route_first(const struct mien_route *r)
{
    while (r > mien_routes && are_siblings(r - 1, r)) r--;
    return r;
}

const struct mien_route *mien_route_next(const struct mien_route *r)
{
    return r + 1 < mien_routes + mien_route_count && are_siblings(r + 1, r) ? r + 1 : NULL;
}

static const struct mien_route *find(enum mien_method method, const char *path, bool exact, char allow[64])
{
    size_t used = 0;
    allow[0] = 0;
    for (int i = 0; i < mien_route_count; i++) {
        const struct mien_route *r = &mien_routes[i];
        if (mien_route_first(r) != r || !matches(r, path, exact)) continue;
        if (r->method == method) return r;
        int n = snprintf(allow + used, 64 - used, "%s%s%s", used > 0 ? ", " : "", mien_method_name(r->method), r->method == MIEN_GET ? ", HEAD" : "");
        if (n > 0 && (size_t)n < 64 - used) used += (size_t)n;
    }
    return NULL;
}

const struct mien_route *mien_route_find(enum mien_method method, const char *path, char allow[64])
{
    const enum mien_method wanted = method == MIEN_HEAD ? MIEN_GET : method;
    const struct mien_route *r = find(wanted, path, true, allow);
    return r != NULL || allow[0] != 0 ? r : find(wanted, path, false, allow);
}
