/* Small values with a time to live that must be one for all servers: sessions and nonces. In a table of this process, or in Redis when there is one. A full
 * table refuses new values (MIEN_E_LIMIT) rather than forget living ones. Values are wiped when they go. Thread-safe. */
#ifndef MIEN_SERVICE_KEEP_H
#define MIEN_SERVICE_KEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct mien_keep;
struct mien_redis;

enum { MIEN_KEEP_VALUE = 512, MIEN_KEEP_KEY = 95 };

/* Room for `max` values; `redis` (borrowed) or NULL. */
enum mien_code mien_keep_create(int max, struct mien_redis *redis, struct mien_keep **out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_keep_free(struct mien_keep **k);

/* Reads, changes and writes a value with nobody between. `change` gets the old value (n 0: there is none, or it has expired) and writes the new one, returning
 * its size (0: there is none any more); it may be called several times and must not use the keep. A new value lives ttl_s; an old one keeps its end (so that
 * nobody's session is prolonged by use). In Redis the key is "mien:keep:KEY". MIEN_E_STORE: Redis could not be asked. */
typedef size_t mien_keep_change(void *context, const uint8_t *old, size_t n, uint8_t room[MIEN_KEEP_VALUE]);
enum mien_code mien_keep_update(struct mien_keep *k, const char *key, int ttl_s, uint64_t now_ns, mien_keep_change *change, void *context,
                                struct mien_err *e) MIEN_MUST_CHECK;

/* Remembers that this key was used; false when it was used already. Lives ttl_s. */
enum mien_code mien_keep_once(struct mien_keep *k, const char *key, int ttl_s, uint64_t now_ns, bool *first, struct mien_err *e) MIEN_MUST_CHECK;

#endif
