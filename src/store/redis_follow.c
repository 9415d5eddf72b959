/* Following the stream of changes by a thread with a connection of its own.
 *
 * One invariant finds every loss: the entry that was read last exists. Each reading is followed, on the same connection, by a look whether the entry from which
 * it began is still there; it is not when the stream was cut past it, emptied, or brought back from an older copy. Then everything is told to be read
 * anew, and following begins at the stream's present end. The stream is never without an entry for that reason (see mien_redis_stream_end). */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/log.h"
#include "store/redis_inner.h"

enum { BLOCK_MS = 500, ENTRIES = 1000, FIRST_PAUSE_MS = 100, LONGEST_PAUSE_MS = 2000, TELL_AGAIN_MS = 200 };

struct mien_redis_follower {
    struct mien_redis *redis;
    mien_on_change *call;
    void *context;
    char entry[MIEN_REDIS_ENTRY]; /* read last */
    struct redisContext *connection;
    pthread_t thread;
    pthread_mutex_t lock; /* guards `stop` */
    pthread_cond_t wake;
    bool stop;
};

/* ---- the stream's end ---- */

static bool keep_entry(const redisReply *id, char entry[MIEN_REDIS_ENTRY])
{
    if (id->type != REDIS_REPLY_STRING || id->len == 0 || id->len >= MIEN_REDIS_ENTRY) return false;
    memcpy(entry, id->str, id->len + 1);
    return true;
}

enum mien_code mien_redis_stream_end(struct mien_redis *r, char entry[MIEN_REDIS_ENTRY], struct mien_err *e)
{
    static const char LAST_OR_NEW[] =
        "local last = redis.call('XREVRANGE', '" MIEN_REDIS_CHANGES "', '+', '-', 'COUNT', 1)\n"
        "if last[1] then return last[1][1] end\n"
        "return redis.call('XADD', '" MIEN_REDIS_CHANGES "', '*', 'user', '')";
    struct mien_redis_ask q;
    redisReply *reply = NULL;
    mien_redis_ask_init(&q);
    mien_redis_ask_script(&q, LAST_OR_NEW, 0, 0);
    enum mien_code code = mien_redis_carry(r, &q, MIEN_REDIS_REPEATABLE, &reply, e);
    if (code == MIEN_OK && !keep_entry(reply, entry)) code = mien_redis_nonsense(r, e);
    mien_redis_free_replies(&reply, 1);
    mien_redis_ask_free(&q);
    return code;
}

/* ---- waiting ---- */

/* Sleeps, or until it is to stop. False: stop. */
static bool pause_for(struct mien_redis_follower *f, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&f->lock);
    while (!f->stop && ms > 0 && pthread_cond_timedwait(&f->wake, &f->lock, &until) == 0) {}
    const bool go_on = !f->stop;
    pthread_mutex_unlock(&f->lock);
    return go_on;
}

/* ---- reading ---- */

static bool tell(struct mien_redis_follower *f, const char *user_id)
{
    while (!f->call(f->context, user_id))
        if (!pause_for(f, TELL_AGAIN_MS)) return false;
    return true;
}

/* One entry: [id, ["user", ID]]. False: it is none, or it is to stop. */
static bool take_entry(struct mien_redis_follower *f, const redisReply *entry)
{
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2) return false;
    const redisReply *fields = entry->element[1];
    if (fields->type != REDIS_REPLY_ARRAY || fields->elements != 2 || fields->element[1]->type != REDIS_REPLY_STRING) return false;
    const char *user_id = fields->element[1]->str;
    return (user_id[0] == '\0' || tell(f, user_id)) && keep_entry(entry->element[0], f->entry);
}

/* XREAD's reply: nothing, or [[stream, [entries]]]. */
static bool take_entries(struct mien_redis_follower *f, const redisReply *read)
{
    if (read->type == REDIS_REPLY_NIL) return true;
    if (read->type != REDIS_REPLY_ARRAY || read->elements != 1) return false;
    const redisReply *stream = read->element[0];
    if (stream->type != REDIS_REPLY_ARRAY || stream->elements != 2 || stream->element[1]->type != REDIS_REPLY_ARRAY) return false;
    const redisReply *entries = stream->element[1];
    for (size_t i = 0; i < entries->elements; i++)
        if (!take_entry(f, entries->element[i])) return false;
    return true;
}

static bool begin_anew(struct mien_redis_follower *f)
{
    mien_log(MIEN_LOG_WARN, "redis_changes_lost", "entry=%s", f->entry);
    return mien_redis_stream_end(f->redis, f->entry, NULL) == MIEN_OK && tell(f, NULL);
}

/* Waits for changes once. False: the connection is to be made anew. */
static bool read_changes(struct mien_redis_follower *f)
{
    struct mien_redis_ask q;
    redisReply *reply[2];
    mien_redis_ask_init(&q);
    mien_redis_ask_begin(&q, 8);
    mien_redis_ask_text(&q, "XREAD");
    mien_redis_ask_text(&q, "COUNT");
    mien_redis_ask_number(&q, ENTRIES);
    mien_redis_ask_text(&q, "BLOCK");
    mien_redis_ask_number(&q, BLOCK_MS);
    mien_redis_ask_text(&q, "STREAMS");
    mien_redis_ask_text(&q, MIEN_REDIS_CHANGES);
    mien_redis_ask_text(&q, f->entry);
    mien_redis_ask_command(&q, "XRANGE", MIEN_REDIS_CHANGES, f->entry, f->entry, NULL);
    bool good = mien_redis_carry_on(f->redis, f->connection, &q, reply, NULL) == MIEN_OK;
    mien_redis_ask_free(&q);
    if (!good) return false;
    if (reply[1]->type != REDIS_REPLY_ARRAY) good = false;
    else if (reply[1]->elements == 0) good = begin_anew(f);
    else good = take_entries(f, reply[0]);
    mien_redis_free_replies(reply, 2);
    return good;
}

static void *run(void *p)
{
    struct mien_redis_follower *f = p;
    int pause_ms = 0;
    while (pause_for(f, pause_ms)) {
        const bool connected = f->connection != NULL || mien_redis_connect(f->redis, &f->connection, NULL) == MIEN_OK;
        if (connected && read_changes(f)) {
            if (pause_ms != 0) mien_log(MIEN_LOG_INFO, "redis_back", "entry=%s", f->entry);
            pause_ms = 0;
            continue;
        }
        if (f->connection != NULL) redisFree(f->connection);
        f->connection = NULL;
        if (pause_ms == 0) mien_log(MIEN_LOG_WARN, "redis_lost", "entry=%s", f->entry);
        pause_ms = pause_ms == 0 ? FIRST_PAUSE_MS : pause_ms < LONGEST_PAUSE_MS / 2 ? 2 * pause_ms : LONGEST_PAUSE_MS;
    }
    return NULL;
}

/* ---- the thread's life ---- */

static void free_follower(struct mien_redis_follower *f)
{
    if (f->connection != NULL) redisFree(f->connection);
    pthread_cond_destroy(&f->wake);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

enum mien_code mien_redis_follow(struct mien_redis *r, const char *entry, mien_on_change *call, void *context, struct mien_redis_follower **out,
                                 struct mien_err *e)
{
    pthread_condattr_t monotonic;
    *out = NULL;
    struct mien_redis_follower *f = calloc(1, sizeof *f);
    MIEN_FAIL_IF(f == NULL, e, MIEN_E_NOMEM, "out of memory");
    *f = (struct mien_redis_follower){.redis = r, .call = call, .context = context};
    memcpy(f->entry, entry, strnlen(entry, sizeof f->entry - 1));
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&f->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&f->lock, NULL);
    if (pthread_create(&f->thread, NULL, run, f) != 0) {
        free_follower(f);
        return MIEN_FAIL(e, MIEN_E_NOMEM, "no thread for following the changes in Redis");
    }
    mien_redis_watched(r, true);
    *out = f;
    return MIEN_OK;
}

void mien_redis_unfollow(struct mien_redis_follower **pf)
{
    if (*pf == NULL) return;
    struct mien_redis_follower *f = *pf;
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    mien_redis_watched(f->redis, false);
    free_follower(f);
    *pf = NULL;
}
