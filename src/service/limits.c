#include "service/limits.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "store/redis.h"

struct bucket { uint64_t client, last_ns; double tokens; bool used; };

struct mien_limits {
    double rate;
    int burst;
    pthread_mutex_t lock;
    struct bucket bucket[MIEN_LIMITS_SETS][MIEN_LIMITS_WAYS];
};

enum mien_code mien_limits_create(double rate, int burst, struct mien_limits **out, struct mien_err *e)
{
    *out = NULL;
    MIEN_FAIL_IF(!(rate > 0.0) || burst < 1, e, MIEN_E_CONFIG, "RATE_LIMIT must be above 0 and RATE_BURST at least 1");
    struct mien_limits *l = calloc(1, sizeof *l);
    MIEN_FAIL_IF(l == NULL, e, MIEN_E_NOMEM, "out of memory");
    l->rate = rate;
    l->burst = burst;
    pthread_mutex_init(&l->lock, NULL);
    *out = l;
    return MIEN_OK;
}

void mien_limits_free(struct mien_limits **l)
{
    if (l == NULL || *l == NULL) return;
    pthread_mutex_destroy(&(*l)->lock);
    free(*l);
    *l = NULL;
}

static double tokens_at(const struct mien_limits *l, const struct bucket *b, uint64_t now_ns)
{
    if (!b->used) return l->burst;
    const double passed = now_ns > b->last_ns ? (double)(now_ns - b->last_ns) * 1e-9 : 0.0;
    return fmin(l->burst, b->tokens + passed * l->rate);
}

static struct bucket *find(struct mien_limits *l, uint64_t client, uint64_t now_ns)
{
    struct bucket *set = l->bucket[client % MIEN_LIMITS_SETS], *fullest = &set[0];
    for (int i = 0; i < MIEN_LIMITS_WAYS; i++) {
        if (set[i].used && set[i].client == client) return &set[i];
        if (tokens_at(l, &set[i], now_ns) > tokens_at(l, fullest, now_ns)) fullest = &set[i];
    }
    *fullest = (struct bucket){.client = client, .last_ns = now_ns, .tokens = l->burst, .used = true};
    return fullest;
}

bool mien_limits_take(struct mien_limits *l, uint64_t client, uint64_t now_ns, int *retry_after_s)
{
    pthread_mutex_lock(&l->lock);
    struct bucket *b = find(l, client, now_ns);
    b->tokens = tokens_at(l, b, now_ns);
    if (now_ns > b->last_ns) b->last_ns = now_ns;
    const bool given = b->tokens >= 1.0;
    if (given) b->tokens -= 1.0;
    *retry_after_s = given ? 0 : (int)fmin(3600.0, fmax(1.0, ceil((1.0 - b->tokens) / l->rate)));
    pthread_mutex_unlock(&l->lock);
    return given;
}

bool mien_limits_take_shared(const struct mien_limits *l, struct mien_redis *redis, uint64_t client, int *retry_after_s)
{
    char key[40];
    bool taken;
    snprintf(key, sizeof key, "mien:rate:%016llx", (unsigned long long)client);
    return mien_redis_take_token(redis, key, l->rate, l->burst, &taken, retry_after_s, NULL) != MIEN_OK || taken;
}
