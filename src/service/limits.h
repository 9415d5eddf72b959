/* Token buckets: how many requests a client may send. A fixed table holds the buckets; when it is full, the one that is nearest to full again makes room, whose
 * owner loses nothing by it. Thread-safe. */
#ifndef MIEN_SERVICE_LIMITS_H
#define MIEN_SERVICE_LIMITS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

struct mien_limits;
struct mien_redis;

/* `rate` tokens a second are added up to `burst`. Clients are numbers that are spread evenly (hashes). */
enum mien_code mien_limits_create(double rate, int burst, struct mien_limits **out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_limits_free(struct mien_limits **l);

/* Takes one token of `client` at the time `now_ns`. False: none is left; *retry_after_s (at least 1) says when there will be one. */
bool mien_limits_take(struct mien_limits *l, uint64_t client, uint64_t now_ns, int *retry_after_s);

/* The same of a bucket in Redis, which all its servers share; waits for it. When Redis cannot be asked the answer is true: then only the bucket of this
 * process limits, from which is taken besides. */
bool mien_limits_take_shared(const struct mien_limits *l, struct mien_redis *redis, uint64_t client, int *retry_after_s);

enum { MIEN_LIMITS_SETS = 2048, MIEN_LIMITS_WAYS = 8 };

#endif
