/* Workers behind one queue, which is a list under one lock: at most a few hundred jobs wait, and each is worth milliseconds of work. */
#include "base/pool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

enum { MAX_WORKERS = 256, MAX_QUEUE = 1000000 };

struct worker {
    struct mien_pool *pool;
    int number;
    pthread_t thread;
};

struct mien_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;    /* a job has come, or the pool ends */
    pthread_cond_t quiet;   /* nothing waits and nothing runs */
    struct mien_job *first; /* oldest */
    int waiting, running, limit;
    bool closed, ending;
    int workers;
    struct worker worker[];
};

static enum mien_waiting look(struct mien_job *j) { return j->look != NULL ? j->look(j) : MIEN_WAITING; }

/* Takes *at out of the queue. */
static struct mien_job *unlink_job(struct mien_pool *p, struct mien_job **at)
{
    struct mien_job *j = *at;
    *at = j->next;
    j->next = NULL;
    p->waiting--;
    return j;
}

/* Moves jobs that are gone to *gone. Answers where the oldest job that waits is, or the oldest that leaves; NULL when the queue is empty. */
static struct mien_job **next_job(struct mien_pool *p, struct mien_job **gone)
{
    struct mien_job **at = &p->first, **leaving = NULL;
    while (*at != NULL) {
        const enum mien_waiting w = look(*at);
        if (w == MIEN_WAITING) return at;
        if (w == MIEN_LEAVING) {
            if (leaving == NULL) leaving = at;
            at = &(*at)->next;
            continue;
        }
        struct mien_job *j = unlink_job(p, at);
        j->next = *gone;
        *gone = j;
    }
    return leaving;
}

/* Calls drop for a list of jobs; without the lock. */
static void drop_all(struct mien_job *list)
{
    while (list != NULL) {
        struct mien_job *next = list->next;
        list->next = NULL;
        list->drop(list);
        list = next;
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct mien_pool *p = w->pool;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct mien_job *gone = NULL, **at = next_job(p, &gone), *job = at != NULL ? unlink_job(p, at) : NULL;
        if (job != NULL) p->running++;
        if (job == NULL && gone == NULL) {
            if (p->ending) break;
            if (p->running == 0) pthread_cond_broadcast(&p->quiet);
            pthread_cond_wait(&p->work, &p->lock);
            continue;
        }
        pthread_mutex_unlock(&p->lock);
        drop_all(gone);
        if (job != NULL) job->run(job, w->number);
        pthread_mutex_lock(&p->lock);
        if (job != NULL) p->running--;
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static void release(struct mien_pool *p)
{
    pthread_cond_destroy(&p->quiet);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

enum mien_code mien_pool_create(const struct mien_pool_settings *s, struct mien_pool **out, struct mien_err *e)
{
    *out = NULL;
    MIEN_FAIL_IF(s->workers < 1 || s->workers > MAX_WORKERS || s->queue_limit < 0 || s->queue_limit > MAX_QUEUE, e, MIEN_E_ARG, "pool: %d workers, %d jobs",
                 s->workers, s->queue_limit);
    struct mien_pool *p = calloc(1, sizeof *p + (size_t)s->workers * sizeof p->worker[0]);
    MIEN_FAIL_IF(p == NULL, e, MIEN_E_NOMEM, "out of memory for a pool");
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->quiet, &clock);
    pthread_condattr_destroy(&clock);
    p->limit = s->queue_limit;
    for (; p->workers < s->workers; p->workers++) {
        struct worker *w = &p->worker[p->workers];
        char name[16];
        *w = (struct worker){.pool = p, .number = p->workers};
        if (pthread_create(&w->thread, NULL, work, w) != 0) {
            mien_pool_free(&p);
            return MIEN_FAIL(e, MIEN_E_NOMEM, "the system refuses a thread");
        }
        snprintf(name, sizeof name, "%.10s-%d", s->name, p->workers);
        pthread_setname_np(w->thread, name);
    }
    *out = p;
    return MIEN_OK;
}

/* Makes room in a full queue: takes out what is gone, and if nothing was, the newest job that leaves. */
static void make_room(struct mien_pool *p, struct mien_job **out)
{
    struct mien_job **leaving = NULL;
    for (struct mien_job **at = &p->first; *at != NULL;) {
        const enum mien_waiting w = look(*at);
        if (w == MIEN_GONE) {
            struct mien_job *j = unlink_job(p, at);
            j->next = *out;
            *out = j;
            continue;
        }
        if (w == MIEN_LEAVING) leaving = at;
        at = &(*at)->next;
    }
    if (*out == NULL && leaving != NULL) *out = unlink_job(p, leaving);
}

bool mien_pool_submit(struct mien_pool *p, struct mien_job *job)
{
    struct mien_job *out = NULL;
    job->queued_ns = mien_now_ns();
    job->next = NULL;
    pthread_mutex_lock(&p->lock);
    /* an idle worker counts as room: with queue_limit 0 a job is taken when somebody can start it */
    const int room = p->limit + (p->workers - p->running);
    if (!p->closed && p->waiting >= room) make_room(p, &out);
    const bool taken = !p->closed && p->waiting < room;
    if (taken) {
        struct mien_job **at = &p->first;
        while (*at != NULL) at = &(*at)->next;
        *at = job;
        p->waiting++;
        pthread_cond_signal(&p->work);
    }
    pthread_mutex_unlock(&p->lock);
    drop_all(out);
    return taken;
}

void mien_pool_close(struct mien_pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->closed = true;
    pthread_mutex_unlock(&p->lock);
}

bool mien_pool_idle(struct mien_pool *p, int timeout_ms)
{
    const uint64_t end = mien_now_ns() + (uint64_t)timeout_ms * 1000000u;
    const struct timespec until = {.tv_sec = (time_t)(end / 1000000000u), .tv_nsec = (long)(end % 1000000000u)};
    int late = 0;
    pthread_mutex_lock(&p->lock);
    while ((p->waiting > 0 || p->running > 0) && late == 0) late = pthread_cond_timedwait(&p->quiet, &p->lock, &until);
    const bool idle = p->waiting == 0 && p->running == 0;
    pthread_mutex_unlock(&p->lock);
    return idle;
}

void mien_pool_free(struct mien_pool **pp)
{
    if (pp == NULL || *pp == NULL) return;
    struct mien_pool *p = *pp;
    pthread_mutex_lock(&p->lock);
    struct mien_job *left = p->first;
    p->first = NULL;
    p->waiting = 0;
    p->closed = p->ending = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    drop_all(left);
    for (int i = 0; i < p->workers; i++) pthread_join(p->worker[i].thread, NULL);
    release(p);
    *pp = NULL;
}


int mien_pool_waiting(struct mien_pool *p)
{
    pthread_mutex_lock(&p->lock);
    const int n = p->waiting;
    pthread_mutex_unlock(&p->lock);
    return n;
}

int mien_pool_running(struct mien_pool *p)
{
    pthread_mutex_lock(&p->lock);
    const int n = p->running;
    pthread_mutex_unlock(&p->lock);
    return n;
}
