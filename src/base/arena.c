#include "base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 64 * 1024, ALIGN = 64 };

struct block {
    struct block *next;
    size_t used, size; /* bytes of payload; the payload starts ALIGN bytes after the block */
};

struct mien_arena {
    struct block *head;
    size_t cap, held, used;
};

static unsigned char *payload(struct block *b) { return (unsigned char *)b + ALIGN; }

struct mien_arena *mien_arena_create(size_t cap_bytes)
{
    struct mien_arena *a = calloc(1, sizeof *a);
    if (a != NULL) a->cap = cap_bytes;
    return a;
}

static void release(struct mien_arena **pa, int wipe)
{
    if (pa == NULL || *pa == NULL) return;
    struct block *b = (*pa)->head;
    while (b != NULL) {
        struct block *next = b->next;
        if (wipe) explicit_bzero(payload(b), b->used);
        free(b);
        b = next;
    }
    free(*pa);
    *pa = NULL;
}

void mien_arena_free(struct mien_arena **a) { release(a, 0); }
void mien_arena_wipe_free(struct mien_arena **a) { release(a, 1); }

void *mien_arena_alloc(struct mien_arena *a, size_t n)
{
    static_assert(sizeof(struct block) <= ALIGN, "block header must fit before the payload");
    if (n == 0) n = 1;
    if (n > SIZE_MAX - 4 * ALIGN) return NULL;
    size_t need = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct block *b = a->head;
    if (b == NULL || b->size - b->used < need) {
        size_t size = need > BLOCK_BYTES ? need : BLOCK_BYTES;
        if (a->held > a->cap || size > a->cap - a->held) {
            size = need;
            if (size > a->cap - a->held) return NULL;
        }
        b = aligned_alloc(ALIGN, size + ALIGN);
        if (b == NULL) return NULL;
        b->used = 0;
        b->size = size;
        a->held += size;
        /* A block made for one large request goes behind the head, which may still have room. */
        if (a->head != NULL && size == need && need > BLOCK_BYTES) {
            b->next = a->head->next;
            a->head->next = b;
        } else {
            b->next = a->head;
            a->head = b;
        }
    }
    void *p = payload(b) + b->used;
    b->used += need;
    a->used += need;
    return memset(p, 0, need);
}

void *mien_arena_calloc(struct mien_arena *a, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) return NULL;
    return mien_arena_alloc(a, n);
}

char *mien_arena_strndup(struct mien_arena *a, const char *s, size_t n)
{
    if (n == SIZE_MAX) return NULL;
    char *p = mien_arena_alloc(a, n + 1);
    if (p != NULL) memcpy(p, s, n);
    return p;
}

size_t mien_arena_used(const struct mien_arena *a) { return a->used; }
