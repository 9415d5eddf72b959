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

const struct mien_route *mien_route_find(enum mien_method method, const char *path, char allow[64])
{
    enum mien_method wanted = method == MIEN_HEAD ? MIEN_GET : method;
    size_t used = 0;
    allow[0] = 0;
    for (int i = 0; i < mien_route_count; i++) {
        const struct mien_route *r = &mien_routes[i];
        if (strcmp(r->path, path) != 0) continue;
        if (r->method == wanted) return r;
        int n = snprintf(allow + used, 64 - used, "%s%s%s", used > 0 ? ", " : "", mien_method_name(r->method), r->method == MIEN_GET ? ", HEAD" : "");
        if (n > 0 && (size_t)n < 64 - used) used += (size_t)n;
    }
    return NULL;
}
