/* What secure_delete leaves: copies of rows in the gap of a page.
 *
 * A b-tree page has its header and cell pointers at one end, cells at the other, and a gap between. secure_delete zeroes a cell that is deleted. But when
 * SQLite moves cells to a neighbour to balance the tree, it lays out the rest anew and leaves in the gap what stood there; a row deleted later from its new
 * page stays readable in the old one (measured: 8 of 1,022 records). Nothing in the file format gives the gap a meaning, so it is zeroed whenever a page is
 * written into the database file, which is at checkpoints only; the WAL, whose frames have checksums, is cut off instead (sqlite_write.c).
 *
 * Pages are told from others by their first byte. In a page of any other kind it is the top byte of a page number, so as long as the file has fewer than
 * MIEN_SQLITE_MOST_PAGES (275 GB), no other page begins like a b-tree page. */
#include "store/sqlite_inner.h"

#include <string.h>

enum { FILE_HEADER = 100, LEAF = 8, INTERIOR = 12 /* bytes of a page's header */ };

static size_t number_at(const unsigned char *p) { return (size_t)p[0] << 8 | p[1]; }

/* Zeroes the gap of a page of n bytes; leaves alone what is no b-tree page. */
void mien_sqlite_zero_gap(unsigned char *page, size_t n, bool first_page)
{
    const size_t at = first_page ? FILE_HEADER : 0;
    if (n < at + INTERIOR) return;
    const unsigned char kind = page[at];
    if (kind != 2 && kind != 5 && kind != 10 && kind != 13) return;
    const size_t from = at + (kind >= 10 ? LEAF : INTERIOR) + 2 * number_at(page + at + 3);
    const size_t cells = number_at(page + at + 5), to = cells != 0 ? cells : 65536;
    if (from <= to && to <= n) memset(page + from, 0, to - from);
}

/* In place of the file's own xWrite. */
static int write_page(sqlite3_file *file, const void *data, int n, sqlite3_int64 at)
{
    struct mien_sqlite_gaps *g = (struct mien_sqlite_gaps *)(uintptr_t)file->pMethods;
    if (n < 512 || (size_t)n > sizeof g->page) return g->write(file, data, n, at);
    memcpy(g->page, data, (size_t)n);
    mien_sqlite_zero_gap(g->page, (size_t)n, at == 0);
    return g->write(file, g->page, n, at);
}

enum mien_code mien_sqlite_watch_gaps(sqlite3 *db, struct mien_sqlite_gaps *g, struct mien_err *e)
{
    sqlite3_file *file = NULL;
    const int result = sqlite3_file_control(db, NULL, SQLITE_FCNTL_FILE_POINTER, &file);
    if (result != SQLITE_OK || file == NULL || file->pMethods == NULL) return MIEN_SQLITE_FAIL(db, SQLITE_CANTOPEN, e);
    g->methods = *file->pMethods;
    g->write = g->methods.xWrite;
    g->methods.xWrite = write_page;
    file->pMethods = &g->methods;
    return MIEN_OK;
}
