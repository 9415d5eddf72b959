/* Keep: a hash table with chains over a fixed array, or values in Redis, changed there by mien_redis_update. One lock. Ends lie in an array of their own, so
 * that looking for what has expired, which is done only when something has, reads little memory. */
#include "service/keep.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "store/redis.h"

_Static_assert((int)MIEN_KEEP_VALUE <= (int)MIEN_REDIS_VALUE, "a value fits into one of Redis");
static const uint64_t NEVER = UINT64_MAX;
enum { NONE = -1 };

struct slot {
    int next; /* in its chain, or of the free ones */
    size_t n;
    char key[MIEN_KEEP_KEY + 1];
    uint8_t value[MIEN_KEEP_VALUE];
};

struct mien_keep {
    struct mien_redis *redis; /* NULL: the table */
    pthread_mutex_t lock;     /* guards all below */
    int max, touched /* slots that were ever used */, free;
    unsigned mask;
    int *chain;
    struct slot *slot;
    uint64_t *end_ns;  /* of each slot; NEVER: it is free */
    uint64_t first_ns; /* no slot ends before this */
};

/* ---- the table ---- */

static enum mien_code make_table(struct mien_keep *k, int max, struct mien_err *e)
{
    unsigned chains = 16;
    while (chains < (unsigned)max) chains *= 2;
    k->max = max;
    k->mask = chains - 1;
    k->chain = malloc(chains * sizeof *k->chain);
    k->slot = calloc((size_t)max, sizeof *k->slot); /* pages that are not used cost nothing */
    k->end_ns = malloc((size_t)max * sizeof *k->end_ns);
    MIEN_FAIL_IF(k->chain == NULL || k->slot == NULL || k->end_ns == NULL, e, MIEN_E_NOMEM, "out of memory");
    for (unsigned i = 0; i < chains; i++) k->chain[i] = NONE;
    return MIEN_OK;
}

enum mien_code mien_keep_create(int max, struct mien_redis *redis, struct mien_keep **out, struct mien_err *e)
{
    *out = NULL;
    MIEN_FAIL_IF(max < 1 || max > 1 << 24, e, MIEN_E_ARG, "room for %d values", max);
    struct mien_keep *k = calloc(1, sizeof *k);
    MIEN_FAIL_IF(k == NULL, e, MIEN_E_NOMEM, "out of memory");
    *k = (struct mien_keep){.redis = redis, .free = NONE, .first_ns = NEVER};
    pthread_mutex_init(&k->lock, NULL);
    const enum mien_code code = redis == NULL ? make_table(k, max, e) : MIEN_OK;
    if (code == MIEN_OK) *out = k;
    else mien_keep_free(&k);
    return code;
}

void mien_keep_free(struct mien_keep **pk)
{
    struct mien_keep *k = *pk;
    if (k == NULL) return;
    if (k->slot != NULL) explicit_bzero(k->slot, (size_t)k->touched * sizeof *k->slot);
    pthread_mutex_destroy(&k->lock);
    free(k->chain);
    free(k->slot);
    free(k->end_ns);
    free(k);
    *pk = NULL;
}

/* FNV-1a, 64 bits. Keys are made by us of random ids: nobody can choose ones that collide. */
static unsigned chain_number(const struct mien_keep *k, const char *key)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (const char *p = key; *p != 0; p++) h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
    return (unsigned)(h ^ h >> 32) & k->mask;
}

/* What points to the slot of a key, or to the end of its chain. */
static int *find(struct mien_keep *k, const char *key)
{
    int *at = &k->chain[chain_number(k, key)];
    while (*at != NONE && strcmp(k->slot[*at].key, key) != 0) at = &k->slot[*at].next;
    return at;
}

static void forget(struct mien_keep *k, int *at)
{
    const int i = *at;
    *at = k->slot[i].next;
    explicit_bzero(&k->slot[i], sizeof k->slot[i]);
    k->end_ns[i] = NEVER;
    k->slot[i].next = k->free;
    k->free = i;
}

static void forget_expired(struct mien_keep *k, uint64_t now_ns)
{
    if (now_ns < k->first_ns) return;
    k->first_ns = NEVER;
    for (int i = 0; i < k->touched; i++) {
        if (k->end_ns[i] <= now_ns) forget(k, find(k, k->slot[i].key));
        else if (k->end_ns[i] < k->first_ns) k->first_ns = k->end_ns[i];
    }
}

/* NONE: the table is full. */
static int take_slot(struct mien_keep *k)
{
    const int i = k->free;
    if (i == NONE) return k->touched < k->max ? k->touched++ : NONE;
    k->free = k->slot[i].next;
    return i;
}

static enum mien_code add(struct mien_keep *k, int *at, const char *key, uint64_t end_ns, struct mien_err *e)
{
    const int i = take_slot(k);
    MIEN_FAIL_IF(i == NONE, e, MIEN_E_LIMIT, "%d values are kept, and there is no room for more", k->max);
    k->slot[i].next = NONE;
    snprintf(k->slot[i].key, sizeof k->slot[i].key, "%s", key);
    k->end_ns[i] = end_ns;
    if (end_ns < k->first_ns) k->first_ns = end_ns;
    *at = i;
    return MIEN_OK;
}

static enum mien_code update_locked(struct mien_keep *k, const char *key, uint64_t end_ns, mien_keep_change *change, void *context, struct mien_err *e)
{
    uint8_t room[MIEN_KEEP_VALUE];
    int *at = find(k, key);
    const size_t n = *at != NONE ? change(context, k->slot[*at].value, k->slot[*at].n, room) : change(context, NULL, 0, room);
    enum mien_code code = MIEN_OK;
    if (n == 0 && *at != NONE) forget(k, at);
    if (n > 0 && *at == NONE) code = add(k, at, key, end_ns, e);
    if (n > 0 && code == MIEN_OK) {
        memcpy(k->slot[*at].value, room, n);
        k->slot[*at].n = n;
    }
    explicit_bzero(room, sizeof room);
    return code;
}

/* ---- calls ---- */

enum mien_code mien_keep_update(struct mien_keep *k, const char *key, int ttl_s, uint64_t now_ns, mien_keep_change *change, void *context, struct mien_err *e)
{
    MIEN_FAIL_IF(key[0] == 0 || strlen(key) > MIEN_KEEP_KEY || ttl_s < 1, e, MIEN_E_ARG, "a key of 1 to %d bytes lives 1 s at least", MIEN_KEEP_KEY);
    if (k->redis != NULL) {
        char name[MIEN_KEEP_KEY + 16];
        snprintf(name, sizeof name, "mien:keep:%s", key);
        return mien_redis_update(k->redis, name, ttl_s, MIEN_REDIS_KEEPS_ITS_END, change, context, e);
    }
    pthread_mutex_lock(&k->lock);
    forget_expired(k, now_ns);
    const enum mien_code code = update_locked(k, key, now_ns + (uint64_t)ttl_s * UINT64_C(1000000000), change, context, e);
    pthread_mutex_unlock(&k->lock);
    return code;
}

static size_t use(void *context, const uint8_t *old, size_t n, uint8_t room[MIEN_KEEP_VALUE])
{
    (void)old;
    *(bool *)context = n == 0;
    room[0] = 1;
    return 1;
}

enum mien_code mien_keep_once(struct mien_keep *k, const char *key, int ttl_s, uint64_t now_ns, bool *first, struct mien_err *e)
{
    *first = false;
    bool unused = false;
    MIEN_TRY(mien_keep_update(k, key, ttl_s, now_ns, use, &unused, e));
    *first = unused;
    return MIEN_OK;
}
