/* The facebank's rows and the file that they came from. */
#include "service/bank.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/log.h"

/* What tells one state of the file from another. */
struct stamp { bool there; dev_t device; ino_t inode; off_t size; struct timespec changed; };

/* Rows that requests may still be using after newer ones have come. */
struct rows { struct mien_facebank bank; int users; }; /* bank first: requests hold a pointer to it */

struct mien_bank {
    const char *path;
    int dim;
    pthread_mutex_t lock;
    struct rows *now;   /* NULL: none */
    struct stamp stamp; /* of the file that was read, or tried, last */
    bool reading;
};

static struct stamp stamp_of(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) return (struct stamp){.there = errno != ENOENT && errno != ENOTDIR};
    return (struct stamp){true, st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

static bool same(const struct stamp *a, const struct stamp *b)
{
    return a->there == b->there && a->device == b->device && a->inode == b->inode && a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

static struct rows *read_rows(const struct mien_bank *b)
{
    struct mien_err e = {0};
    struct rows *r = calloc(1, sizeof *r);
    const enum mien_code code = r != NULL ? mien_facebank_read(b->path, b->dim, &r->bank, &e) : MIEN_FAIL(&e, MIEN_E_NOMEM, "out of memory");
    if (code == MIEN_OK) {
        mien_log(MIEN_LOG_INFO, "facebank_read", "rows=%d", r->bank.rows);
        return r;
    }
    mien_log(MIEN_LOG_ERROR, "facebank_refused", "file=%s why=%s", b->path, e.msg);
    free(r);
    return NULL;
}

static void drop(struct rows *r)
{
    if (r == NULL || --r->users > 0) return;
    mien_facebank_free(&r->bank);
    free(r);
}

/* Holds the lock, but not while the file is read. A file that is gone takes its rows with it: whoever removes it wants nobody to match. */
static void follow_file(struct mien_bank *b)
{
    const struct stamp stamp = stamp_of(b->path);
    if (b->reading || same(&stamp, &b->stamp)) return;
    b->reading = true;
    b->stamp = stamp;
    pthread_mutex_unlock(&b->lock);
    struct rows *fresh = stamp.there ? read_rows(b) : NULL;
    pthread_mutex_lock(&b->lock);
    b->reading = false;
    if (fresh == NULL && stamp.there) return;
    if (fresh == NULL) mien_log(MIEN_LOG_WARN, "facebank_gone", "file=%s", b->path);
    drop(b->now);
    if (fresh != NULL) fresh->users = 1;
    b->now = fresh;
}

struct mien_bank *mien_bank_open(const char *path, int dim)
{
    struct mien_bank *b = calloc(1, sizeof *b);
    if (b == NULL || pthread_mutex_init(&b->lock, NULL) != 0) {
        free(b);
        return NULL;
    }
    b->path = path;
    b->dim = dim;
    pthread_mutex_lock(&b->lock);
    follow_file(b);
    pthread_mutex_unlock(&b->lock);
    return b;
}

void mien_bank_close(struct mien_bank **pb)
{
    struct mien_bank *b = *pb;
    if (b == NULL) return;
    drop(b->now);
    pthread_mutex_destroy(&b->lock);
    free(b);
    *pb = NULL;
}

const struct mien_facebank *mien_bank_take(struct mien_bank *b)
{
    pthread_mutex_lock(&b->lock);
    follow_file(b);
    struct rows *r = b->now;
    if (r != NULL) r->users++;
    pthread_mutex_unlock(&b->lock);
    return r != NULL ? &r->bank : NULL;
}

void mien_bank_give(struct mien_bank *b, const struct mien_facebank *taken)
{
    pthread_mutex_lock(&b->lock);
    drop((struct rows *)(uintptr_t)(const void *)taken);
    pthread_mutex_unlock(&b->lock);
}
