/* Redis 7 as the store of several servers: gallery, and the small states that must be one for all of them (frames of a session, rate limits). hiredis.h stays
 * inside redis*.c.
 *
 * Keys, all below a prefix "mien:", and what to configure: docs/redis.md. A write is one script. A lost connection is made anew by the next call. A call that
 * meets it lost does its work once more on a fresh one where that cannot do it twice, else it fails with MIEN_E_STORE; it may then have been done or not.
 * Whether an acknowledged write survives Redis' own end is Redis' configuration (appendonly, appendfsync). */
#ifndef MIEN_STORE_REDIS_H
#define MIEN_STORE_REDIS_H

#include "gallery/store.h"

struct mien_redis;

/* url: redis://[user[:password]@]host[:port][/database]. Connects at once: MIEN_E_STORE when it does not answer, is older than 6.2 or refuses the password (no
 * part of which is in the message); MIEN_E_CONFIG when the url is none (rediss:// is refused by name: no TLS). Timeouts: 2 s each. */
enum mien_code mien_redis_open(const char *url, struct mien_redis **out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_redis_close(struct mien_redis **r); /* after the store that was made of it */
/* Whether it answers. While a store of it is followed this asks nobody: the thread that follows knows. */
bool mien_redis_alive(struct mien_redis *r);

/* The gallery's store; borrows r. */
enum mien_code mien_redis_store(struct mien_redis *r, struct mien_store **out, struct mien_err *e) MIEN_MUST_CHECK;

/* Takes a token of a bucket that fills at `rate` a second up to `burst`, by Redis' own clock. *retry_after_s >= 1 when *taken is false. */
enum mien_code mien_redis_take_token(struct mien_redis *r, const char *key, double rate, int burst, bool *taken, int *retry_after_s, struct mien_err *e)
                                     MIEN_MUST_CHECK;

/* Reads, changes and writes a small value without anybody between (compared before it is written, repeated when somebody was). `change` gets the old value
 * (n 0: there is none) and writes the new one into `room`, returning its size (0: there is none any more); it may be called several times. The key lives
 * ttl_s from now on; with KEEPS_ITS_END only a new one does. */
enum { MIEN_REDIS_VALUE = 512 };
enum mien_redis_end { MIEN_REDIS_LIVES_ON, MIEN_REDIS_KEEPS_ITS_END };
typedef size_t mien_redis_change(void *context, const uint8_t *old, size_t n, uint8_t room[MIEN_REDIS_VALUE]);
enum mien_code mien_redis_update(struct mien_redis *r, const char *key, int ttl_s, enum mien_redis_end end, mien_redis_change *change, void *context,
                                 struct mien_err *e) MIEN_MUST_CHECK;

/* A random number that is the same for all servers: made by the first that asks. */
enum mien_code mien_redis_salt(struct mien_redis *r, uint64_t *salt, struct mien_err *e) MIEN_MUST_CHECK;

#endif
