/* A fixed set of worker threads behind one bounded queue.
 *
 * Jobs are embedded in what they work on (a request, a frame), so submitting allocates nothing. Order: first come, first served among
 * jobs whose client still waits. A job may say that its client has half closed (LEAVING: it may still read, or be gone): such jobs
 * run when nobody else waits and are the first to make room in a full queue. Jobs that are GONE are dropped, never run. */
#ifndef MIEN_BASE_POOL_H
#define MIEN_BASE_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

enum mien_waiting { MIEN_WAITING, MIEN_LEAVING, MIEN_GONE };

struct mien_job {
    /* The work; worker in 0..workers-1, and two jobs never run on one worker at a time. May submit jobs (itself too, as its last act). */
    void (*run)(struct mien_job *job, int worker);
    /* Called for a job that will not run: it is gone, it had to make room, or the pool is being freed. No lock is held. */
    void (*drop)(struct mien_job *job);
    /* Whether somebody still waits for the result; cheap, called with the queue's lock held. NULL: always MIEN_WAITING. */
    enum mien_waiting (*look)(struct mien_job *job);
    struct mien_job *next; /* the pool's */
    uint64_t queued_ns;    /* set by mien_pool_submit, mien_now_ns */
};

struct mien_pool;

struct mien_pool_settings {
    const char *name; /* threads are called NAME-0, NAME-1, ... (at most 10 bytes) */
    int workers;      /* 1..256 */
    int queue_limit;  /* jobs that may wait besides those that run, 0..1000000 */
};

enum mien_code mien_pool_create(const struct mien_pool_settings *s, struct mien_pool **out, struct mien_err *e) MIEN_MUST_CHECK;

/* False when the queue is full or closed; the job then stays the caller's and neither run nor drop is called. */
bool mien_pool_submit(struct mien_pool *p, struct mien_job *job) MIEN_MUST_CHECK;

/* From now on mien_pool_submit answers false; what waits and runs goes on. */
void mien_pool_close(struct mien_pool *p);
/* Waits until nothing waits and nothing runs, at most timeout_ms; true when that is so. */
bool mien_pool_idle(struct mien_pool *p, int timeout_ms);
/* Drops what waits, lets what runs end, joins the threads. Accepts NULL and pointer to NULL. */
void mien_pool_free(struct mien_pool **p);

int mien_pool_waiting(struct mien_pool *p); /* jobs in the queue now */
int mien_pool_running(struct mien_pool *p);

#endif
