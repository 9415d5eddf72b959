/* The gallery's store in Redis: a hash a user, a sorted set of their ids, and a stream that names every user who changed.
 *
 * Each write is one script, which Redis runs whole and without anybody between; it looks whether everything can be done before it changes anything. What was
 * sent before a connection broke may have been done, so the scripts of put and reseal give the same result when they are run twice.
 *
 * A record is the value of t:RECORDHEX: made_at (8 bytes, little-endian), length of the model id (1), model id, sealed bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "codec/hex.h"
#include "store/redis_inner.h"

enum {
    PAGE = 256,            /* users that are read at once */
    RESEALS = 256,         /* of one script */
    WORDS_OF_A_PUT = 6,    /* before its records */
    MOST_WORDS = 1000000,  /* Redis takes 1024 * 1024 */
    HEAD = 9, HEX = 2 * MIEN_RECORD_ID, KEY = sizeof MIEN_REDIS_USER + MIEN_USER_ID
};

struct redis_store {
    struct mien_store store; /* first */
    struct mien_redis *redis;
    struct mien_redis_follower *follower;
    char entry[MIEN_REDIS_ENTRY]; /* the stream's end when the store was opened */
};

static struct redis_store *of(struct mien_store *s) { return (struct redis_store *)s; }

/* ---- scripts ---- */

#define CHANGED(id) "redis.call('XADD', '" MIEN_REDIS_CHANGES "', 'MAXLEN', '~', 100000, '*', 'user', " id ")\n"

/* ARGV: most records of a user; then for each put: id, flags (a append, n name, m metadata), name, metadata, enrolled_at, count, and for each record its field
 * and value. Answers 1, or 0 when somebody would have too many. A record that is there already, from the same put, is not counted again. The first thing
 * written is one that Redis refuses when its memory is full: what follows in a script is not asked about any more. */
static const char PUT[] =
    "local most, have, fresh, at = tonumber(ARGV[1]), {}, {}, 2\n"
    "while at <= #ARGV do\n"
    "  local id, append, n = ARGV[at], string.find(ARGV[at + 1], 'a'), tonumber(ARGV[at + 5])\n"
    "  local key = '" MIEN_REDIS_USER "' .. id\n"
    "  if append and not have[id] then have[id] = math.max(redis.call('HLEN', key) - 3, 0) end\n"
    "  if not append then have[id], fresh[id] = 0, true end\n"
    "  for i = at + 6, at + 4 + 2 * n, 2 do\n"
    "    if fresh[id] or redis.call('HEXISTS', key, ARGV[i]) == 0 then have[id] = have[id] + 1 end\n"
    "  end\n"
    "  if have[id] > most then return 0 end\n"
    "  at = at + 6 + 2 * n\n"
    "end\n"
    "redis.call('INCRBY', '" MIEN_REDIS_RECORDS "', 0)\n"
    "local more\n"
    "at, more = 2, 0\n"
    "while at <= #ARGV do\n"
    "  local id, flags, n = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 5])\n"
    "  local key = '" MIEN_REDIS_USER "' .. id\n"
    "  local before = redis.call('HLEN', key)\n"
    "  more = more - math.max(before - 3, 0)\n"
    "  if before == 0 or not string.find(flags, 'a') then\n"
    "    redis.call('DEL', key)\n"
    "    redis.call('HSET', key, 'name', ARGV[at + 2], 'metadata', ARGV[at + 3], 'enrolled_at', ARGV[at + 4])\n"
    "  else\n"
    "    if string.find(flags, 'n') then redis.call('HSET', key, 'name', ARGV[at + 2]) end\n"
    "    if string.find(flags, 'm') then redis.call('HSET', key, 'metadata', ARGV[at + 3]) end\n"
    "  end\n"
    "  redis.call('HSET', key, unpack(ARGV, at + 6, at + 5 + 2 * n))\n"
    "  more = more + redis.call('HLEN', key) - 3\n"
    "  redis.call('ZADD', '" MIEN_REDIS_USERS "', 0, id)\n"
    "  " CHANGED("id")
    "  at = at + 6 + 2 * n\n"
    "end\n"
    "redis.call('INCRBY', '" MIEN_REDIS_RECORDS "', more)\n"
    "return 1\n";

static const char REMOVE[] =
    "local key = '" MIEN_REDIS_USER "' .. ARGV[1]\n"
    "local before = redis.call('HLEN', key)\n"
    "if before == 0 then return 0 end\n"
    "redis.call('DEL', key)\n"
    "redis.call('ZREM', '" MIEN_REDIS_USERS "', ARGV[1])\n"
    "redis.call('DECRBY', '" MIEN_REDIS_RECORDS "', before - 3)\n"
    CHANGED("ARGV[1]")
    "return 1\n";

/* ARGV: for each record: id, field, old and new sealed bytes. Answers how many hold the new ones. No change is told: what is sealed stays the same. */
static const char RESEAL[] =
    "local done = 0\n"
    "for at = 1, #ARGV, 4 do\n"
    "  local key = '" MIEN_REDIS_USER "' .. ARGV[at]\n"
    "  local value = redis.call('HGET', key, ARGV[at + 1])\n"
    "  if value and #value >= 9 then\n"
    "    local head = 9 + string.byte(value, 9)\n"
    "    local sealed = string.sub(value, head + 1)\n"
    "    if sealed == ARGV[at + 2] then\n"
    "      redis.call('HSET', key, ARGV[at + 1], string.sub(value, 1, head) .. ARGV[at + 3])\n"
    "      done = done + 1\n"
    "    elseif sealed == ARGV[at + 3] then\n"
    "      done = done + 1\n"
    "    end\n"
    "  end\n"
    "end\n"
    "return done\n";

/* ---- records as values ---- */

static void field_of(const uint8_t id[MIEN_RECORD_ID], char field[2 + HEX + 1])
{
    field[0] = 't';
    field[1] = ':';
    mien_hex(id, MIEN_RECORD_ID, field + 2);
}

static int digit_of(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

static bool id_of(const redisReply *field, uint8_t id[MIEN_RECORD_ID])
{
    if (field->len != 2 + HEX || field->str[0] != 't' || field->str[1] != ':') return false;
    for (int i = 0; i < MIEN_RECORD_ID; i++) {
        const int high = digit_of(field->str[2 + 2 * i]), low = digit_of(field->str[3 + 2 * i]);
        if (high < 0 || low < 0) return false;
        id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static void ask_value(struct mien_redis_ask *q, const struct mien_record *record)
{
    char head[HEAD + MIEN_MODEL_ID];
    const size_t model = strnlen(record->model, MIEN_MODEL_ID);
    for (int i = 0; i < 8; i++) head[i] = (char)((uint64_t)record->made_at >> 8 * i & 255);
    head[8] = (char)model;
    memcpy(head + HEAD, record->model, model);
    mien_buf_addf(&q->bytes, "$%zu\r\n", HEAD + model + record->sealed_n);
    mien_buf_add(&q->bytes, head, HEAD + model);
    mien_buf_add(&q->bytes, record->sealed, record->sealed_n);
    mien_buf_add(&q->bytes, "\r\n", 2);
}

/* `model` is room for the id, which ends with no NUL in the value. */
static bool read_value(const redisReply *value, struct mien_record *record, char model[MIEN_MODEL_ID + 1])
{
    const uint8_t *v = (const uint8_t *)value->str;
    if (value->len < HEAD || v[8] > MIEN_MODEL_ID || value->len < (size_t)HEAD + v[8]) return false;
    uint64_t made_at = 0;
    for (int i = 0; i < 8; i++) made_at |= (uint64_t)v[i] << 8 * i;
    memcpy(model, v + HEAD, v[8]);
    model[v[8]] = '\0';
    record->made_at = (int64_t)made_at;
    record->model = model;
    record->sealed = v + HEAD + v[8];
    record->sealed_n = value->len - HEAD - v[8];
    return true;
}

static bool are_texts(const redisReply *array)
{
    if (array->type != REDIS_REPLY_ARRAY) return false;
    for (size_t i = 0; i < array->elements; i++)
        if (array->element[i]->type != REDIS_REPLY_STRING) return false;
    return true;
}

static enum mien_code user_key(const char *user_id, char key[KEY], struct mien_err *e)
{
    const int n = snprintf(key, KEY, MIEN_REDIS_USER "%s", user_id);
    MIEN_FAIL_IF(n < 0 || n >= KEY, e, MIEN_E_ARG, "the user id is longer than %d bytes", MIEN_USER_ID);
    return MIEN_OK;
}

/* ---- put, remove, reseal ---- */

static void ask_put(struct mien_redis_ask *q, const struct mien_put *p)
{
    const struct mien_user *u = &p->user;
    char flags[4], field[2 + HEX + 1];
    snprintf(flags, sizeof flags, "%s%s%s", p->append ? "a" : "", u->name != NULL ? "n" : "", u->metadata != NULL ? "m" : "");
    mien_redis_ask_text(q, u->user_id);
    mien_redis_ask_text(q, flags);
    mien_redis_ask_text(q, u->name != NULL ? u->name : "");
    mien_redis_ask_text(q, u->metadata != NULL ? u->metadata : "{}");
    mien_redis_ask_number(q, u->enrolled_at);
    mien_redis_ask_number(q, p->n_records);
    for (int i = 0; i < p->n_records; i++) {
        field_of(p->record[i].id, field);
        mien_redis_ask_text(q, field);
        ask_value(q, &p->record[i]);
    }
}

static enum mien_code put(struct mien_store *s, const struct mien_put *puts, int n, struct mien_err *e)
{
    struct mien_redis_ask q;
    int words = 1;
    long long fits;
    for (int i = 0; i < n; i++) {
        MIEN_FAIL_IF(puts[i].n_records < 1, e, MIEN_E_ARG, "a put without a record");
        MIEN_FAIL_IF(puts[i].n_records > MIEN_USER_TEMPLATES, e, MIEN_E_LIMIT, "more than %d templates of one user", MIEN_USER_TEMPLATES);
        words += WORDS_OF_A_PUT + 2 * puts[i].n_records;
        MIEN_FAIL_IF(words > MOST_WORDS, e, MIEN_E_ARG, "too many puts at once");
    }
    if (n == 0) return MIEN_OK;
    mien_redis_ask_init(&q);
    mien_redis_ask_script(&q, PUT, 0, words);
    mien_redis_ask_number(&q, MIEN_USER_TEMPLATES);
    for (int i = 0; i < n; i++) ask_put(&q, &puts[i]);
    const enum mien_code code = mien_redis_number(of(s)->redis, &q, MIEN_REDIS_REPEATABLE, &fits, e);
    mien_redis_ask_free(&q);
    MIEN_TRY(code);
    MIEN_FAIL_IF(fits == 0, e, MIEN_E_LIMIT, "more than %d templates of one user", MIEN_USER_TEMPLATES);
    return MIEN_OK;
}

/* Once only: the second time it would say that there was no such user. */
static enum mien_code remove_user(struct mien_store *s, const char *user_id, bool *existed, struct mien_err *e)
{
    struct mien_redis_ask q;
    long long there;
    mien_redis_ask_init(&q);
    mien_redis_ask_script(&q, REMOVE, 0, 1);
    mien_redis_ask_text(&q, user_id);
    const enum mien_code code = mien_redis_number(of(s)->redis, &q, MIEN_REDIS_ONCE, &there, e);
    mien_redis_ask_free(&q);
    *existed = code == MIEN_OK && there != 0;
    return code;
}

static enum mien_code reseal_some(struct mien_store *s, const struct mien_reseal *reseals, int n, int *done, struct mien_err *e)
{
    struct mien_redis_ask q;
    char field[2 + HEX + 1];
    long long held;
    mien_redis_ask_init(&q);
    mien_redis_ask_script(&q, RESEAL, 0, 4 * n);
    for (int i = 0; i < n; i++) {
        const struct mien_reseal *one = &reseals[i];
        field_of(one->record.id, field);
        mien_redis_ask_text(&q, one->record.user_id);
        mien_redis_ask_text(&q, field);
        mien_redis_ask_bytes(&q, one->old, one->old_n);
        mien_redis_ask_bytes(&q, one->record.sealed, one->record.sealed_n);
    }
    const enum mien_code code = mien_redis_number(of(s)->redis, &q, MIEN_REDIS_REPEATABLE, &held, e);
    mien_redis_ask_free(&q);
    if (code == MIEN_OK) *done += (int)held;
    return code;
}

static enum mien_code reseal(struct mien_store *s, const struct mien_reseal *reseals, int n, int *done, struct mien_err *e)
{
    *done = 0;
    for (int i = 0; i < n; i += RESEALS) MIEN_TRY(reseal_some(s, reseals + i, n - i < RESEALS ? n - i : RESEALS, done, e));
    return MIEN_OK;
}

/* ---- reading users ---- */

/* HGETALL's reply as a user and their records. `call` is given each record. */
static enum mien_code deliver(const struct mien_redis *r, const char *user_id, const redisReply *hash, mien_on_record *call, void *context, struct mien_err *e)
{
    struct mien_user user = {.user_id = user_id, .name = "", .metadata = "{}"};
    char model[MIEN_MODEL_ID + 1];
    if (!are_texts(hash) || hash->elements % 2 != 0) return mien_redis_nonsense(r, e);
    for (size_t i = 0; i < hash->elements; i += 2) {
        const char *field = hash->element[i]->str, *value = hash->element[i + 1]->str;
        if (strcmp(field, "name") == 0) user.name = value;
        else if (strcmp(field, "metadata") == 0) user.metadata = value;
        else if (strcmp(field, "enrolled_at") == 0) user.enrolled_at = strtoll(value, NULL, 10);
        else user.templates++;
    }
    for (size_t i = 0; i < hash->elements; i += 2) {
        struct mien_record record = {.user_id = user_id};
        if (strncmp(hash->element[i]->str, "t:", 2) != 0) continue;
        if (id_of(hash->element[i], record.id) && read_value(hash->element[i + 1], &record, model)) MIEN_TRY(call(context, &user, &record, e));
        else mien_log(MIEN_LOG_WARN, "record_malformed", "field=%.40s", hash->element[i]->str);
    }
    return MIEN_OK;
}

static enum mien_code user_records(struct mien_store *s, const char *user_id, mien_on_record *call, void *context, struct mien_err *e)
{
    struct mien_redis *r = of(s)->redis;
    struct mien_redis_ask q;
    redisReply *reply = NULL;
    char key[KEY];
    MIEN_TRY(user_key(user_id, key, e));
    mien_redis_ask_init(&q);
    mien_redis_ask_command(&q, "HGETALL", key, NULL);
    enum mien_code code = mien_redis_carry(r, &q, MIEN_REDIS_REPEATABLE, &reply, e);
    if (code == MIEN_OK) code = deliver(r, user_id, reply, call, context, e);
    mien_redis_free_replies(&reply, 1);
    mien_redis_ask_free(&q);
    return code;
}

/* At most `limit` ids after `after` ("" = from the start). */
static enum mien_code next_ids(struct mien_redis *r, const char *after, int limit, redisReply **ids, struct mien_err *e)
{
    struct mien_redis_ask q;
    char from[1 + MIEN_USER_ID + 1];
    const int n = after[0] == '\0' ? snprintf(from, sizeof from, "-") : snprintf(from, sizeof from, "(%s", after);
    MIEN_FAIL_IF(n < 0 || n >= (int)sizeof from, e, MIEN_E_ARG, "the user id is longer than %d bytes", MIEN_USER_ID);
    mien_redis_ask_init(&q);
    mien_redis_ask_begin(&q, 7);
    mien_redis_ask_text(&q, "ZRANGEBYLEX");
    mien_redis_ask_text(&q, MIEN_REDIS_USERS);
    mien_redis_ask_text(&q, from);
    mien_redis_ask_text(&q, "+");
    mien_redis_ask_text(&q, "LIMIT");
    mien_redis_ask_number(&q, 0);
    mien_redis_ask_number(&q, limit);
    const enum mien_code code = mien_redis_carry(r, &q, MIEN_REDIS_REPEATABLE, ids, e);
    mien_redis_ask_free(&q);
    MIEN_TRY(code);
    if (are_texts(*ids)) return MIEN_OK;
    mien_redis_free_replies(ids, 1);
    return mien_redis_nonsense(r, e);
}

/* What one page of ids is asked for and what is done with the replies: `per_user` of them for each. */
struct walk {
    struct mien_redis *redis;
    int per_user;
    void (*ask)(struct mien_redis_ask *q, const char *key);
    enum mien_code (*take)(struct walk *w, const char *user_id, redisReply **reply, struct mien_err *e);
    mien_on_record *on_record;
    mien_on_user *on_user;
    void *context;
    int taken;
};

static enum mien_code walk_page(struct walk *w, const redisReply *ids, struct mien_err *e)
{
    struct mien_redis_ask q;
    redisReply *reply[2 * PAGE] = {NULL};
    char key[KEY];
    enum mien_code code = MIEN_OK;
    const int n = (int)ids->elements;
    mien_redis_ask_init(&q);
    for (int i = 0; code == MIEN_OK && i < n; i++) {
        code = user_key(ids->element[i]->str, key, e);
        if (code == MIEN_OK) w->ask(&q, key);
    }
    if (code == MIEN_OK) code = mien_redis_carry(w->redis, &q, MIEN_REDIS_REPEATABLE, reply, e);
    for (int i = 0; code == MIEN_OK && i < n; i++) code = w->take(w, ids->element[i]->str, reply + i * w->per_user, e);
    mien_redis_free_replies(reply, 2 * PAGE);
    mien_redis_ask_free(&q);
    return code;
}

/* Users by rising id after `after`, until `limit` were taken. */
static enum mien_code walk(struct walk *w, const char *after, int limit, struct mien_err *e)
{
    char last[MIEN_USER_ID + 1];
    enum mien_code code = MIEN_OK;
    snprintf(last, sizeof last, "%s", after);
    for (size_t got = 1; code == MIEN_OK && got > 0 && w->taken < limit;) {
        redisReply *ids = NULL;
        MIEN_TRY(next_ids(w->redis, last, limit - w->taken < PAGE ? limit - w->taken : PAGE, &ids, e));
        got = ids->elements;
        if (got > PAGE) code = mien_redis_nonsense(w->redis, e);
        else if (got > 0) code = walk_page(w, ids, e);
        if (got > 0) snprintf(last, sizeof last, "%s", ids->element[got - 1]->str);
        mien_redis_free_replies(&ids, 1);
    }
    return code;
}

static void ask_all(struct mien_redis_ask *q, const char *key) { mien_redis_ask_command(q, "HGETALL", key, NULL); }

static enum mien_code take_all(struct walk *w, const char *user_id, redisReply **reply, struct mien_err *e)
{
    return deliver(w->redis, user_id, reply[0], w->on_record, w->context, e);
}

static enum mien_code each_record(struct mien_store *s, mien_on_record *call, void *context, struct mien_err *e)
{
    struct walk w = {.redis = of(s)->redis, .per_user = 1, .ask = ask_all, .take = take_all, .on_record = call, .context = context};
    return walk(&w, "", INT32_MAX, e);
}

static void ask_about(struct mien_redis_ask *q, const char *key)
{
    mien_redis_ask_command(q, "HMGET", key, "name", "metadata", "enrolled_at", NULL);
    mien_redis_ask_command(q, "HLEN", key, NULL);
}

static enum mien_code take_about(struct walk *w, const char *user_id, redisReply **reply, struct mien_err *e)
{
    if (reply[1]->type != REDIS_REPLY_INTEGER) return mien_redis_nonsense(w->redis, e);
    if (reply[1]->integer < 3) return MIEN_OK; /* removed since its id was read */
    if (!are_texts(reply[0]) || reply[0]->elements != 3) return mien_redis_nonsense(w->redis, e);
    redisReply **about = reply[0]->element;
    const struct mien_user user = {user_id, about[0]->str, about[1]->str, strtoll(about[2]->str, NULL, 10), (int)reply[1]->integer - 3};
    w->taken++;
    return w->on_user(w->context, &user, e);
}

static enum mien_code list(struct mien_store *s, const char *after, int limit, mien_on_user *call, void *context, struct mien_err *e)
{
    struct walk w = {.redis = of(s)->redis, .per_user = 2, .ask = ask_about, .take = take_about, .on_user = call, .context = context};
    return walk(&w, after, limit, e);
}

static enum mien_code count(struct mien_store *s, uint64_t *users, uint64_t *records, struct mien_err *e)
{
    struct mien_redis *r = of(s)->redis;
    struct mien_redis_ask q;
    redisReply *reply[2];
    mien_redis_ask_init(&q);
    mien_redis_ask_command(&q, "ZCARD", MIEN_REDIS_USERS, NULL);
    mien_redis_ask_command(&q, "GET", MIEN_REDIS_RECORDS, NULL);
    const enum mien_code code = mien_redis_carry(r, &q, MIEN_REDIS_REPEATABLE, reply, e);
    mien_redis_ask_free(&q);
    MIEN_TRY(code);
    const bool right = reply[0]->type == REDIS_REPLY_INTEGER && (reply[1]->type == REDIS_REPLY_STRING || reply[1]->type == REDIS_REPLY_NIL);
    *users = right ? (uint64_t)reply[0]->integer : 0;
    if (records != NULL) *records = right && reply[1]->type == REDIS_REPLY_STRING ? strtoull(reply[1]->str, NULL, 10) : 0;
    mien_redis_free_replies(reply, 2);
    return right ? MIEN_OK : mien_redis_nonsense(r, e);
}

/* ---- the store's life ---- */

static enum mien_code follow(struct mien_store *s, mien_on_change *call, void *context, struct mien_err *e)
{
    return mien_redis_follow(of(s)->redis, of(s)->entry, call, context, &of(s)->follower, e);
}

static bool alive(struct mien_store *s) { return mien_redis_alive(of(s)->redis); }

static void close_store(struct mien_store *s)
{
    mien_redis_unfollow(&of(s)->follower);
    free(of(s));
}

enum mien_code mien_redis_store(struct mien_redis *r, struct mien_store **out, struct mien_err *e)
{
    *out = NULL;
    struct redis_store *s = calloc(1, sizeof *s);
    MIEN_FAIL_IF(s == NULL, e, MIEN_E_NOMEM, "out of memory");
    s->redis = r;
    s->store = (struct mien_store){.kind = "redis", .put = put, .remove = remove_user, .reseal = reseal, .each_record = each_record,
                                   .user_records = user_records, .list = list, .count = count, .follow = follow, .alive = alive, .close = close_store};
    const enum mien_code code = mien_redis_stream_end(r, s->entry, e);
    if (code == MIEN_OK) *out = &s->store;
    else free(s);
    return code;
}
