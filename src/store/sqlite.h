/* The embedded store: one SQLite file, one connection that writes and checkpoints (its WAL mode must not have two: docs/gallery.md), one that reads. Only one
 * process may have it open for writing: a lock file beside it (flock) sees to that. sqlite3.h stays inside sqlite*.c. */
#ifndef MIEN_STORE_SQLITE_H
#define MIEN_STORE_SQLITE_H

#include "gallery/store.h"

/* Opens or makes `path` (mode 0600; its lock is PATH.lock) and brings it to the current schema. `read_only`: for looking at a file that a server writes;
 * put, remove and reseal then fail with MIEN_E_STORE. MIEN_E_STORE_LOCKED: another process has it. MIEN_E_STORE_VERSION: made by a newer version.
 * MIEN_E_STORE: cannot be opened, or is no such file. While another process is in a read transaction for over 2 s, remove fails with MIEN_E_STORE and nothing
 * done, because the bytes would stay in the files; what put and reseal replace then goes with a later write (docs/gallery.md). */
enum mien_code mien_sqlite_open(const char *path, bool read_only, struct mien_store **out, struct mien_err *e) MIEN_MUST_CHECK;

#endif
