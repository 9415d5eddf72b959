#include "service/pages.h"

#include <dirent.h>
#include <stdbool.h>
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

static bool is_plain(const char *name)
{
    return name[0] != '.' && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == strlen(name);
}

static enum mien_page_kind kind_of(const char *folder, const char *name, const char *type)
{
    const bool html = strncmp(type, "text/html", 9) == 0;
    if (strcmp(folder, "assets/") == 0) return MIEN_PAGE_ASSET;
    if (strcmp(folder, "docs/") == 0) return html ? MIEN_PAGE_DOCS : MIEN_PAGE_NONE;
    return html ? MIEN_PAGE_APP : strcmp(name, "mien-verify.js") == 0 ? MIEN_PAGE_OPEN : MIEN_PAGE_NONE;
}

/* The file and, when it is there, its gzip form. */
static enum mien_code read_page(const char *web_dir, struct mien_page *p, struct mien_err *e)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s.gz", web_dir, p->name);
    MIEN_FAIL_IF(n < 0 || (size_t)n >= sizeof path, e, MIEN_E_CONFIG, "WEB_DIR: too long a name");
    if (mien_file_read(path, MAX_PAGE_BYTES, &p->gz, &p->gz_size, NULL) != MIEN_OK) p->gz = NULL;
    path[n - 3] = 0; /* without .gz */
    MIEN_FAIL_IF(mien_file_read(path, MAX_PAGE_BYTES, &p->data, &p->size, NULL) != MIEN_OK, e, MIEN_E_CONFIG, "WEB_DIR: %s cannot be read", p->name);
    return MIEN_OK;
}

static enum mien_code add_page(const char *web_dir, const char *folder, const char *name, struct mien_pages *out, struct mien_err *e)
{
    struct mien_page p = {.type = is_plain(name) ? type_of(name) : NULL};
    if (p.type == NULL) return MIEN_OK;
    const int n = snprintf(p.name, sizeof p.name, "%s%s", folder, name);
    if (n < 0 || (size_t)n >= sizeof p.name) return MIEN_OK;
    p.kind = kind_of(folder, name, p.type);
    MIEN_FAIL_IF(out->n == MIEN_MAX_PAGES, e, MIEN_E_CONFIG, "WEB_DIR: more than %d files", MIEN_MAX_PAGES);
    out->page[out->n] = p;
    return read_page(web_dir, &out->page[out->n++], e);
}

static enum mien_code load_folder(const char *web_dir, const char *folder, struct mien_pages *out, struct mien_err *e)
{
    char path[4096];
    const int n = snprintf(path, sizeof path, "%s/%s", web_dir, folder);
    MIEN_FAIL_IF(n < 0 || (size_t)n >= sizeof path, e, MIEN_E_CONFIG, "WEB_DIR: too long a name");
    DIR *dir = opendir(path);
    if (dir == NULL) return MIEN_OK;
    enum mien_code code = MIEN_OK;
    for (const struct dirent *d; code == MIEN_OK && (d = readdir(dir)) != NULL;) code = add_page(web_dir, folder, d->d_name, out, e);
    closedir(dir);
    return code;
}

enum mien_code mien_pages_load(const char *web_dir, struct mien_pages *out, struct mien_err *e)
{
    static const char *const FOLDERS[] = {"", "assets/", "docs/"};
    enum mien_code code = MIEN_OK;
    *out = (struct mien_pages){0};
    if (web_dir == NULL || web_dir[0] == 0) return MIEN_OK;
    for (size_t i = 0; code == MIEN_OK && i < sizeof FOLDERS / sizeof *FOLDERS; i++) code = load_folder(web_dir, FOLDERS[i], out, e);
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
