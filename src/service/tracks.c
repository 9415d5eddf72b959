/* Tracks: a hash table with chains over a fixed array, whose entries are also linked by time of use. One lock: a frame holds it for less than a microsecond. */
#include "service/tracks.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { NONE = -1 };

struct track {
    uint64_t client, session; /* session: hash of the id; a client can only collide with itself */
    bool named;               /* false: the client's track without an id */
    uint64_t seen_ns;
    int next;                 /* in its chain */
    int newer, older;         /* by use */
    struct mien_blink blink;
    struct mien_turns turns;
};

struct mien_tracks {
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
    const uint64_t session = hash(UINT64_C(0xcbf29ce484222325), f->session, named ? strlen(f->session) : 0);
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
    if (f->reset || expired) {
        k->blink = (struct mien_blink){0};
        k->turns = (struct mien_turns){0};
    }
    k->seen_ns = f->now_ns;
    return k;
}

struct mien_blink mien_tracks_blink(struct mien_tracks *t, const struct mien_track_frame *f, float ear, bool *blinked)
{
    *blinked = false;
    pthread_mutex_lock(&t->lock);
    struct mien_blink *b = &find(t, f)->blink;
    if (isnan(ear)) b->closed_frames = 0;
    else *blinked = mien_blink_frame(b, ear, f->now_ns);
    const struct mien_blink now = *b;
    pthread_mutex_unlock(&t->lock);
    return now;
}

struct mien_turns mien_tracks_turn(struct mien_tracks *t, const struct mien_track_frame *f, enum mien_direction d)
{
    pthread_mutex_lock(&t->lock);
    struct mien_turns *turns = &find(t, f)->turns;
    mien_turns_frame(turns, d);
    const struct mien_turns now = *turns;
    pthread_mutex_unlock(&t->lock);
    return now;
}
