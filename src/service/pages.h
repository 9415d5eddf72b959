/* The files of the documentation page, read into memory once: web_dir/docs/NAME, and beside a file its gzip form NAME.gz. */
#ifndef MIEN_SERVICE_PAGES_H
#define MIEN_SERVICE_PAGES_H

#include <stddef.h>
#include "base/err.h"

enum { MIEN_MAX_PAGES = 32, MIEN_PAGE_NAME = 64 };

struct mien_page {
    char name[MIEN_PAGE_NAME];
    const char *type;    /* media type, by the name's end */
    unsigned char *data; /* owned, as is gz */
    size_t size;
    unsigned char *gz;   /* NULL: there is none */
    size_t gz_size;
};
struct mien_pages { int n; struct mien_page page[MIEN_MAX_PAGES]; };

/* Reads the files with plain names (a-z, 0-9, '.', '-', '_') and a known ending; others are left out. A folder that is not there gives no pages; one whose
 * files cannot be read is MIEN_E_CONFIG. */
enum mien_code mien_pages_load(const char *web_dir, struct mien_pages *out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_pages_free(struct mien_pages *p);
const struct mien_page *mien_pages_find(const struct mien_pages *p, const char *name); /* NULL: there is none */

#endif
