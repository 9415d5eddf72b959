/* Between redis*.c: commands as the bytes that Redis reads, and the connections that carry them. */
#ifndef MIEN_STORE_REDIS_INNER_H
#define MIEN_STORE_REDIS_INNER_H

#include <hiredis/hiredis.h>
#include "base/buf.h"
#include "store/redis.h"

/* ---- commands ---- */

/* One or more commands that are sent together. Built by saying how many words a command has and then adding them. */
struct mien_redis_ask { struct mien_buf bytes; int commands; };

void mien_redis_ask_init(struct mien_redis_ask *q);
void mien_redis_ask_free(struct mien_redis_ask *q); /* wipes it */
void mien_redis_ask_begin(struct mien_redis_ask *q, int words);
void mien_redis_ask_bytes(struct mien_redis_ask *q, const void *p, size_t n);
void mien_redis_ask_text(struct mien_redis_ask *q, const char *s);
void mien_redis_ask_number(struct mien_redis_ask *q, long long v);
/* A whole command of texts; the last argument is NULL. */
void mien_redis_ask_command(struct mien_redis_ask *q, ...) __attribute__((sentinel));
/* EVAL of a script: its keys and arguments together are the `words` that follow. */
void mien_redis_ask_script(struct mien_redis_ask *q, const char *script, int keys, int words);

/* ---- carrying them ---- */

/* Whether commands may be carried out twice: what was sent before a connection broke may have been. */
enum mien_redis_repeat { MIEN_REDIS_ONCE, MIEN_REDIS_REPEATABLE };

/* Sends the commands and reads a reply to each: reply[i], to be freed with mien_redis_free_replies. MIEN_E_STORE when one of them is an error, or Redis could
 * not be asked; then there is none. */
enum mien_code mien_redis_carry(struct mien_redis *r, const struct mien_redis_ask *q, enum mien_redis_repeat repeat, struct redisReply **reply,
                                struct mien_err *e) MIEN_MUST_CHECK;
/* One command whose reply is a number. */
enum mien_code mien_redis_number(struct mien_redis *r, const struct mien_redis_ask *q, enum mien_redis_repeat repeat, long long *out,
                                 struct mien_err *e) MIEN_MUST_CHECK;
void mien_redis_free_replies(struct redisReply **reply, int n);
/* Fails as a reply that is not what Redis would say. */
enum mien_code mien_redis_nonsense(const struct mien_redis *r, struct mien_err *e);

/* A connection of one's own, outside the pool. */
enum mien_code mien_redis_connect(struct mien_redis *r, struct redisContext **out, struct mien_err *e) MIEN_MUST_CHECK;
enum mien_code mien_redis_carry_on(struct mien_redis *r, struct redisContext *c, const struct mien_redis_ask *q, struct redisReply **reply,
                                   struct mien_err *e) MIEN_MUST_CHECK;

/* ---- following ---- */

/* Its thread keeps Redis' state known from now on or no longer: mien_redis_alive then asks nobody. */
void mien_redis_watched(struct mien_redis *r, bool by_thread);

/* The end of the stream of changes now, which is an entry that exists. */
enum { MIEN_REDIS_ENTRY = 48 };
enum mien_code mien_redis_stream_end(struct mien_redis *r, char entry[MIEN_REDIS_ENTRY], struct mien_err *e) MIEN_MUST_CHECK;

struct mien_redis_follower;
/* Calls on its own thread for every change after `entry`. */
enum mien_code mien_redis_follow(struct mien_redis *r, const char *entry, mien_on_change *call, void *context, struct mien_redis_follower **out,
                                 struct mien_err *e) MIEN_MUST_CHECK;
void mien_redis_unfollow(struct mien_redis_follower **f);

/* ---- keys ---- */

#define MIEN_REDIS_USER "mien:user:"      /* + ID: hash name, metadata, enrolled_at, t:RECORDHEX */
#define MIEN_REDIS_USERS "mien:users"     /* sorted set of IDs, all with score 0 */
#define MIEN_REDIS_RECORDS "mien:records" /* how many there are */
#define MIEN_REDIS_CHANGES "mien:changes" /* stream: user = ID, or "" in an entry that says nothing */
#define MIEN_REDIS_SALT "mien:salt"       /* one number of all servers */

#endif
