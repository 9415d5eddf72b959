#include "service/pages.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"

enum { MAX_PAGE_BYTES = 16 << 20 };

static const struct { const char *end, *type; } TYPES[] = {
    {".html", "text/html; charset=utf-8"}, {".css", "text/css; charset=utf-8"}, {".js", "text/javascript; charset=utf-8"}, {".svg", "image/svg+xml"},
    {".png", "image/png"}, {".json", "application/json"}, {".txt", "text/plain; charset=utf-8"}, {".ico", "image/x-icon"}};

static const char *type_of(const char *name)
{
    const size_t n = strlen(name);
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++) {
        const size_t k = strlen(TYPES[i].end);
        if (n > k && strcmp(name + n - k, TYPES[i].end) == 0) return TYPES[i].type;
    }
    return NULL;
}

static int is_plain(const char *name)
{
    return name[0] != '.' && strlen(name) < MIEN_PAGE_NAME && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == strlen(name);
}

static enum mien_code read_page(const char *dir, const char *name, unsigned char **data, size_t *size, struct mien_err *e)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/docs/%s", dir, name);
    MIEN_FAIL_IF(n < 0 || (size_t)n >= sizeof path, e, MIEN_E_CONFIG, "WEB_DIR: too long a name");
    MIEN_FAIL_IF(mien_file_read(path, MAX_PAGE_BYTES, data, size, NULL) != MIEN_OK, e, MIEN_E_CONFIG, "WEB_DIR: docs/%.63s cannot be read", name);
    return MIEN_OK;
}

/* `gz` must be there only when it is; a missing one is no error. */
static void read_gz(const char *dir, struct mien_page *p)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/docs/%s.gz", dir, p->name);
    if (n < 0 || (size_t)n >= sizeof path || mien_file_read(path, MAX_PAGE_BYTES, &p->gz, &p->gz_size, NULL) != MIEN_OK) p->gz = NULL;
}

enum mien_code mien_pages_load(const char *web_dir, struct mien_pages *out, struct mien_err *e)
{
    char path[4096];
    *out = (struct mien_pages){0};
    int n = snprintf(path, sizeof path, "%s/docs", web_dir != NULL ? web_dir : "");
    MIEN_FAIL_IF(n < 0 || (size_t)n >= sizeof path, e, MIEN_E_CONFIG, "WEB_DIR: too long a name");
    DIR *dir = web_dir != NULL && web_dir[0] != 0 ? opendir(path) : NULL;
    if (dir == NULL) return MIEN_OK;
    enum mien_code code = MIEN_OK;
    for (const struct dirent *d; code == MIEN_OK && out->n < MIEN_MAX_PAGES && (d = readdir(dir)) != NULL;) {
        const char *type = is_plain(d->d_name) ? type_of(d->d_name) : NULL;
        if (type == NULL) continue;
        struct mien_page *p = &out->page[out->n];
        p->type = type;
        snprintf(p->name, sizeof p->name, "%.63s", d->d_name);
        code = read_page(web_dir, p->name, &p->data, &p->size, e);
        if (code != MIEN_OK) break;
        read_gz(web_dir, p);
        out->n++;
    }
    closedir(dir);
    if (code != MIEN_OK) mien_pages_free(out);
    return code;
}

void mien_pages_free(struct mien_pages *p)
{
    for (int i = 0; i < p->n; i++) {
        free(p->page[i].data);
        free(p->page[i].gz);
    }
    *p = (struct mien_pages){0};
}

const struct mien_page *mien_pages_find(const struct mien_pages *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->page[i].name, name) == 0) return &p->page[i];
    return NULL;
}
