/* The web pages: files of WEB_DIR, read into memory once, each with its gzip form NAME.gz when that is there. Three folders are looked into: the top (the
 * page, the element for other sites, the icon), assets/ (parts of the page; their names carry a hash of what is in them) and docs/ (the API documentation). */
#ifndef MIEN_SERVICE_PAGES_H
#define MIEN_SERVICE_PAGES_H

#include <stddef.h>
#include "base/err.h"

enum { MIEN_MAX_PAGES = 64, MIEN_PAGE_NAME = 64 };

/* What a file is to a browser: which headers it is sent with (access.c). */
enum mien_page_kind {
    MIEN_PAGE_NONE,  /* no page, or a part that needs nothing besides what every answer has */
    MIEN_PAGE_APP,   /* HTML that uses the camera */
    MIEN_PAGE_DOCS,  /* HTML of the API documentation */
    MIEN_PAGE_ASSET, /* never changes under its name */
    MIEN_PAGE_OPEN,  /* a script that pages of other sites may load */
    MIEN_PAGE_KEYS   /* no page: the public keys of tokens, which may be kept for a while */
};

struct mien_page {
    char name[MIEN_PAGE_NAME]; /* below WEB_DIR: "index.html", "docs/start.js" */
    enum mien_page_kind kind;
    const char *type;          /* media type, by the name's end */
    unsigned char *data;       /* owned, as is gz */
    size_t size;
    unsigned char *gz;         /* NULL: there is none */
    size_t gz_size;
};
struct mien_pages { int n; struct mien_page page[MIEN_MAX_PAGES]; };

/* Reads the files with plain names (a-z, 0-9, '.', '-', '_') and a known ending; others are left out. A folder that is not there gives no pages; one whose
 * files cannot be read, or with too many of them, is MIEN_E_CONFIG. */
enum mien_code mien_pages_load(const char *web_dir, struct mien_pages *out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_pages_free(struct mien_pages *p);
const struct mien_page *mien_pages_find(const struct mien_pages *p, const char *name); /* NULL: there is none */

#endif
