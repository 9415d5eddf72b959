/* Small states that are one for all servers: token buckets, values that several change, and one number. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/random.h"
#include "store/redis_inner.h"

enum { UPDATE_ATTEMPTS = 100 };

/* KEYS: the bucket. ARGV: tokens a second, most tokens. Answers 0 when one was taken, else the seconds until there will be one. A bucket that would be full
 * again need not exist. */
static const char TAKE[] =
    "local t = redis.call('TIME')\n"
    "local now, rate, burst = tonumber(t[1]) + tonumber(t[2]) / 1000000, tonumber(ARGV[1]), tonumber(ARGV[2])\n"
    "local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')\n"
    "local tokens, at = tonumber(bucket[1] or burst), tonumber(bucket[2] or now)\n"
    "tokens = math.min(burst, tokens + math.max(0, now - at) * rate)\n"
    "local taken = tokens >= 1\n"
    "if taken then tokens = tokens - 1 end\n"
    "redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.6f', math.max(now, at)))\n"
    "redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil((burst - tokens) / rate * 1000) + 1))\n"
    "if taken then return 0 end\n"
    "return math.min(3600, math.max(1, math.ceil((1 - tokens) / rate)))\n";

/* KEYS: the value. ARGV: what it must be, what it becomes ("" = nothing), seconds to live, whether an old one keeps its end (1). */
static const char CHANGE[] =
    "if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end\n"
    "if ARGV[2] == '' then redis.call('DEL', KEYS[1])\n"
    "elseif ARGV[1] ~= '' and ARGV[4] == '1' then redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')\n"
    "else redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end\n"
    "return 1\n";

enum mien_code mien_redis_take_token(struct mien_redis *r, const char *key, double rate, int burst, bool *taken, int *retry_after_s, struct mien_err *e)
{
    struct mien_redis_ask q;
    char text[32];
    long long wait_s;
    snprintf(text, sizeof text, "%.17g", rate);
    mien_redis_ask_init(&q);
    mien_redis_ask_script(&q, TAKE, 1, 3);
    mien_redis_ask_text(&q, key);
    mien_redis_ask_text(&q, text);
    mien_redis_ask_number(&q, burst);
    const enum mien_code code = mien_redis_number(r, &q, MIEN_REDIS_ONCE, &wait_s, e);
    mien_redis_ask_free(&q);
    MIEN_TRY(code);
    *taken = wait_s == 0;
    *retry_after_s = (int)wait_s;
    return MIEN_OK;
}

static enum mien_code read_value(struct mien_redis *r, const char *key, redisReply **reply, struct mien_err *e)
{
    struct mien_redis_ask q;
    mien_redis_ask_init(&q);
    mien_redis_ask_command(&q, "GET", key, NULL);
    const enum mien_code code = mien_redis_carry(r, &q, MIEN_REDIS_REPEATABLE, reply, e);
    mien_redis_ask_free(&q);
    MIEN_TRY(code);
    if ((*reply)->type == REDIS_REPLY_STRING || (*reply)->type == REDIS_REPLY_NIL) return MIEN_OK;
    mien_redis_free_replies(reply, 1);
    return mien_redis_nonsense(r, e);
}

struct wanted { int ttl_s; enum mien_redis_end end; };

/* Once only: when it had been done and were done again, the change would be made to what it had made itself. */
static enum mien_code write_value(struct mien_redis *r, const char *key, const redisReply *old, const uint8_t *value, size_t n, struct wanted wanted,
                                  long long *done, struct mien_err *e)
{
    struct mien_redis_ask q;
    const bool there = old->type == REDIS_REPLY_STRING;
    *done = 1;
    if (!there && n == 0) return MIEN_OK;
    if (there && n == old->len && memcmp(value, old->str, n) == 0 && wanted.end == MIEN_REDIS_KEEPS_ITS_END) return MIEN_OK;
    mien_redis_ask_init(&q);
    mien_redis_ask_script(&q, CHANGE, 1, 5);
    mien_redis_ask_text(&q, key);
    mien_redis_ask_bytes(&q, there ? old->str : "", there ? old->len : 0);
    mien_redis_ask_bytes(&q, value, n);
    mien_redis_ask_number(&q, wanted.ttl_s);
    mien_redis_ask_number(&q, wanted.end == MIEN_REDIS_KEEPS_ITS_END);
    const enum mien_code code = mien_redis_number(r, &q, MIEN_REDIS_ONCE, done, e);
    mien_redis_ask_free(&q);
    return code;
}

enum mien_code mien_redis_update(struct mien_redis *r, const char *key, int ttl_s, enum mien_redis_end end, mien_redis_change *change, void *context,
                                 struct mien_err *e)
{
    for (int i = 0; i < UPDATE_ATTEMPTS; i++) {
        uint8_t room[MIEN_REDIS_VALUE];
        redisReply *old = NULL;
        long long done;
        MIEN_TRY(read_value(r, key, &old, e));
        const size_t n = old->type == REDIS_REPLY_STRING ? change(context, (const uint8_t *)old->str, old->len, room) : change(context, NULL, 0, room);
        const enum mien_code code = write_value(r, key, old, room, n, (struct wanted){ttl_s, end}, &done, e);
        mien_redis_free_replies(&old, 1);
        MIEN_TRY(code);
        if (done != 0) return MIEN_OK;
    }
    return MIEN_FAIL(e, MIEN_E_STORE, "a value in Redis is changed by others all the time");
}

enum mien_code mien_redis_salt(struct mien_redis *r, uint64_t *salt, struct mien_err *e)
{
    struct mien_redis_ask q;
    redisReply *reply[2] = {NULL, NULL};
    uint64_t ours;
    char text[24];
    MIEN_TRY(mien_random(&ours, sizeof ours, e));
    snprintf(text, sizeof text, "%016llx", (unsigned long long)ours);
    mien_redis_ask_init(&q);
    mien_redis_ask_command(&q, "SETNX", MIEN_REDIS_SALT, text, NULL);
    mien_redis_ask_command(&q, "GET", MIEN_REDIS_SALT, NULL);
    enum mien_code code = mien_redis_carry(r, &q, MIEN_REDIS_REPEATABLE, reply, e);
    if (code == MIEN_OK && reply[1]->type != REDIS_REPLY_STRING) code = mien_redis_nonsense(r, e);
    if (code == MIEN_OK) *salt = strtoull(reply[1]->str, NULL, 16);
    mien_redis_free_replies(reply, 2);
    mien_redis_ask_free(&q);
    return code;
}
