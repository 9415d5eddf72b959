/* Work over several threads: a loop whose iterations are independent. */
#ifndef MIEN_BASE_THREAD_H
#define MIEN_BASE_THREAD_H

#include <stddef.h>
#include "base/err.h"

/* Processors that this process may run on (affinity respected), at least 1. */
int mien_cpu_count(void);

/* One iteration: `item` in 0..n-1, `worker` in 0..workers-1. Two calls with the same worker never overlap, so a worker
 * index may own a session or a buffer. A failure ends the loop: iterations not yet begun are left out. */
typedef enum mien_code mien_work_fn(void *context, int worker, size_t item, struct mien_err *e);

/* Calls fn for every item on `workers` threads (the caller's is worker 0) and returns when all have ended: MIEN_OK or the
 * first failure seen, with its record in *e. Items are handed out in rising order. When the system refuses a thread, the
 * others do its share. workers is taken as at least 1 and at most 256. */
enum mien_code mien_parallel_for(int workers, size_t n, mien_work_fn *fn, void *context, struct mien_err *e) MIEN_MUST_CHECK;

#endif
