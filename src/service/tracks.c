/* Tracks: a hash table with chains over a fixed array, whose entries are also linked by time of use. One lock: a frame holds it for less than a microsecond.
 * Or values in Redis, changed there by mien_redis_update. */
#include "service/tracks.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "store/redis.h"

enum { NONE = -1 };

/* What is remembered. */
struct memory { struct mien_blink blink; struct mien_turns turns; };

struct track {
    uint64_t client, session; /* session: hash of the id; a client can only collide with itself */
    bool named;               /* false: the client's track without an id */
    uint64_t seen_ns;
    int next;                 /* in its chain */
    int newer, older;         /* by use */
    struct memory memory;
};

struct mien_tracks {
    struct mien_redis *redis; /* NULL: the table */
    pthread_mutex_t lock; /* guards all below */
    int max, used, newest, oldest;
    unsigned mask;
    int *chain;
    struct track *track;
};

struct mien_tracks *mien_tracks_create(int max)
{
    unsigned chains = 16;
    while (chains < (unsigned)max) chains *= 2;
    struct mien_tracks *t = calloc(1, sizeof *t);
    if (t == NULL) return NULL;
    *t = (struct mien_tracks){.max = max, .newest = NONE, .oldest = NONE, .mask = chains - 1};
    t->chain = malloc(chains * sizeof *t->chain);
    t->track = calloc((size_t)max, sizeof *t->track);
    if (t->chain == NULL || t->track == NULL || pthread_mutex_init(&t->lock, NULL) != 0) {
        free(t->chain);
        free(t->track);
        free(t);
        return NULL;
    }
    for (unsigned i = 0; i < chains; i++) t->chain[i] = NONE;
    return t;
}

struct mien_tracks *mien_tracks_create_shared(struct mien_redis *redis)
{
    struct mien_tracks *t = mien_tracks_create(1);
    if (t != NULL) t->redis = redis;
    return t;
}

void mien_tracks_free(struct mien_tracks **t)
{
    if (*t == NULL) return;
    pthread_mutex_destroy(&(*t)->lock);
    free((*t)->chain);
    free((*t)->track);
    free(*t);
    *t = NULL;
}

/* FNV-1a, 64 bits. */
static uint64_t hash(uint64_t h, const void *data, size_t n)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

static uint64_t hash_of_session(const char *session)
{
    return hash(UINT64_C(0xcbf29ce484222325), session, session != NULL ? strlen(session) : 0);
}

static int *chain_of(const struct mien_tracks *t, uint64_t client, uint64_t session)
{
    const uint64_t h = hash(session, &client, sizeof client);
    return &t->chain[(h ^ h >> 32) & t->mask];
}

static void unlink_use(struct mien_tracks *t, int i)
{
    const struct track *k = &t->track[i];
    *(k->newer == NONE ? &t->newest : &t->track[k->newer].older) = k->older;
    *(k->older == NONE ? &t->oldest : &t->track[k->older].newer) = k->newer;
}

static void link_newest(struct mien_tracks *t, int i)
{
    t->track[i].newer = NONE;
    t->track[i].older = t->newest;
    *(t->newest == NONE ? &t->oldest : &t->track[t->newest].newer) = i;
    t->newest = i;
}

static void unlink_chain(struct mien_tracks *t, int i)
{
    int *at = chain_of(t, t->track[i].client, t->track[i].session);
    while (*at != i) at = &t->track[*at].next;
    *at = t->track[i].next;
}

/* A place for a new track: a fresh one, else the oldest's. */
static int take_place(struct mien_tracks *t)
{
    if (t->used < t->max) return t->used++;
    const int i = t->oldest;
    unlink_chain(t, i);
    unlink_use(t, i);
    return i;
}

/* The track of a frame, newest by use; with the lock held. */
static struct track *find(struct mien_tracks *t, const struct mien_track_frame *f)
{
    const bool named = f->session != NULL;
    const uint64_t session = hash_of_session(f->session);
    int *chain = chain_of(t, f->client, session), i = *chain;
    while (i != NONE && (t->track[i].client != f->client || t->track[i].session != session || t->track[i].named != named)) i = t->track[i].next;
    const bool expired = i != NONE && f->now_ns > t->track[i].seen_ns && f->now_ns - t->track[i].seen_ns > MIEN_TRACK_IDLE_S * UINT64_C(1000000000);
    if (i != NONE) {
        unlink_use(t, i);
    } else {
        i = take_place(t);
        t->track[i] = (struct track){.client = f->client, .session = session, .named = named, .next = *chain};
        *chain = i;
    }
    link_newest(t, i);
    struct track *k = &t->track[i];
    if (expired) k->memory = (struct memory){0};
    k->seen_ns = f->now_ns;
    return k;
}

/* ---- a frame ---- */

/* One frame, and what it led to. */
struct step {
    const struct mien_track_frame *frame;
    bool is_turn;
    float ear;                     /* of a blink's frame */
    enum mien_direction direction; /* of a turn's */
    uint64_t now_ns;
    struct memory after;
    bool blinked;
};

static void take_step(struct step *s, struct memory *m)
{
    if (s->frame->reset) *m = (struct memory){0};
    s->blinked = false;
    if (s->is_turn) mien_turns_frame(&m->turns, s->direction);
    else if (isnan(s->ear)) m->blink.closed_frames = 0;
    else s->blinked = mien_blink_frame(&m->blink, s->ear, s->now_ns);
    s->after = *m;
}

/* ---- in Redis ---- */

/* A value: version (1), closed_frames (4), count (4), last_ns (8), fps (4), left_frames (4), right_frames (4), done (1: bit 0 left, bit 1 right); numbers are
 * little-endian. A value of another form is taken for none. */
enum { VERSION = 1, VALUE = 30 };
_Static_assert(VALUE <= (int)MIEN_REDIS_VALUE, "a track fits into a value");

static uint8_t *put_number(uint8_t *at, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++) *at++ = (uint8_t)(v >> 8 * i);
    return at;
}

static uint64_t get_number(const uint8_t **at, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) v |= (uint64_t)*(*at)++ << 8 * i;
    return v;
}

static void encode(const struct memory *m, uint8_t value[VALUE])
{
    uint32_t fps;
    memcpy(&fps, &m->blink.fps, sizeof fps);
    uint8_t *at = put_number(value, VERSION, 1);
    at = put_number(at, (uint32_t)m->blink.closed_frames, 4);
    at = put_number(at, (uint32_t)m->blink.count, 4);
    at = put_number(at, m->blink.last_ns, 8);
    at = put_number(at, fps, 4);
    at = put_number(at, (uint32_t)m->turns.left_frames, 4);
    at = put_number(at, (uint32_t)m->turns.right_frames, 4);
    put_number(at, (unsigned)m->turns.left_done | (unsigned)m->turns.right_done << 1, 1);
}

static struct memory decode(const uint8_t *value, size_t n)
{
    struct memory m = {0};
    if (n != VALUE || value[0] != VERSION) return m;
    const uint8_t *at = value + 1;
    m.blink.closed_frames = (int)get_number(&at, 4);
    m.blink.count = (int)get_number(&at, 4);
    m.blink.last_ns = get_number(&at, 8);
    const uint32_t fps = (uint32_t)get_number(&at, 4);
    memcpy(&m.blink.fps, &fps, sizeof fps);
    m.turns.left_frames = (int)get_number(&at, 4);
    m.turns.right_frames = (int)get_number(&at, 4);
    const uint64_t done = get_number(&at, 1);
    m.turns.left_done = (done & 1) != 0;
    m.turns.right_done = (done & 2) != 0;
    return m;
}

static size_t change(void *context, const uint8_t *old, size_t n, uint8_t room[MIEN_REDIS_VALUE])
{
    struct memory m = decode(old, n);
    take_step(context, &m);
    encode(&m, room);
    return VALUE;
}

static enum mien_code step_shared(struct mien_tracks *t, struct step *s, struct mien_err *e)
{
    char key[64];
    struct timespec now;
    const int n = snprintf(key, sizeof key, "mien:track:%016llx", (unsigned long long)s->frame->client);
    if (s->frame->session != NULL) snprintf(key + n, sizeof key - (size_t)n, ":%016llx", (unsigned long long)hash_of_session(s->frame->session));
    clock_gettime(CLOCK_REALTIME, &now);
    s->now_ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
    return mien_redis_update(t->redis, key, MIEN_TRACK_IDLE_S, MIEN_REDIS_LIVES_ON, change, s, e);
}

/* ---- calls ---- */

static enum mien_code step(struct mien_tracks *t, struct step *s, struct mien_err *e)
{
    if (t->redis != NULL) return step_shared(t, s, e);
    s->now_ns = s->frame->now_ns;
    pthread_mutex_lock(&t->lock);
    take_step(s, &find(t, s->frame)->memory);
    pthread_mutex_unlock(&t->lock);
    return MIEN_OK;
}

enum mien_code mien_tracks_blink(struct mien_tracks *t, const struct mien_track_frame *f, float ear, struct mien_blink *out, bool *blinked,
                                 struct mien_err *e)
{
    struct step s = {.frame = f, .ear = ear};
    MIEN_TRY(step(t, &s, e));
    *out = s.after.blink;
    *blinked = s.blinked;
    return MIEN_OK;
}

enum mien_code mien_tracks_turn(struct mien_tracks *t, const struct mien_track_frame *f, enum mien_direction d, struct mien_turns *out,
                                struct mien_err *e)
{
    struct step s = {.frame = f, .is_turn = true, .direction = d};
    MIEN_TRY(step(t, &s, e));
    *out = s.after.turns;
    return MIEN_OK;
}
