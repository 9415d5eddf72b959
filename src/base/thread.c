#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum { MAX_WORKERS = 256 };

int mien_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int n = CPU_COUNT(&set);
    return n < 1 ? 1 : n;
}

struct loop {
    mien_work_fn *fn;
    void *context;
    size_t n;
    _Atomic size_t next;
    _Atomic int failed;
    pthread_mutex_t lock; /* guards code and err */
    enum mien_code code;
    struct mien_err err;
};

struct worker {
    struct loop *loop;
    int index;
    pthread_t thread;
};

static void note_failure(struct loop *l, enum mien_code code, const struct mien_err *e)
{
    pthread_mutex_lock(&l->lock);
    if (l->code == MIEN_OK) {
        l->code = code;
        l->err = *e;
    }
    pthread_mutex_unlock(&l->lock);
    atomic_store(&l->failed, 1);
}

static void *work(void *p)
{
    struct worker *w = p;
    struct loop *l = w->loop;
    while (!atomic_load(&l->failed)) {
        size_t item = atomic_fetch_add(&l->next, 1);
        if (item >= l->n) break;
        struct mien_err e = {0};
        enum mien_code code = l->fn(l->context, w->index, item, &e);
        if (code != MIEN_OK) note_failure(l, code, &e);
    }
    return NULL;
}

enum mien_code mien_parallel_for(int workers, size_t n, mien_work_fn *fn, void *context, struct mien_err *e)
{
    struct loop loop = {.fn = fn, .context = context, .n = n, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct worker worker[MAX_WORKERS];
    if (workers < 1) workers = 1;
    if (workers > MAX_WORKERS) workers = MAX_WORKERS;
    if ((size_t)workers > n) workers = n < 1 ? 1 : (int)n;
    int started = 1;
    worker[0] = (struct worker){&loop, 0, pthread_self()};
    for (; started < workers; started++) {
        worker[started] = (struct worker){.loop = &loop, .index = started};
        if (pthread_create(&worker[started].thread, NULL, work, &worker[started]) != 0) break;
    }
    work(&worker[0]);
    for (int i = 1; i < started; i++) pthread_join(worker[i].thread, NULL);
    if (loop.code != MIEN_OK && e != NULL) *e = loop.err;
    return loop.code;
}
