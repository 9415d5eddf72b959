/* Bump allocator for everything that lives and dies together (a parsed graph, a request).
 *
 * Memory comes from blocks of at least 64 KiB up to a hard cap given at creation; one call frees it all.
 * Not thread-safe. Ownership: what mien_arena_alloc returns belongs to the arena. */
#ifndef MIEN_BASE_ARENA_H
#define MIEN_BASE_ARENA_H

#include <stddef.h>
#include "base/err.h"

struct mien_arena;

/* `cap_bytes`: the most memory the arena may hold; allocation beyond it fails. NULL when out of memory. */
struct mien_arena *mien_arena_create(size_t cap_bytes);

/* Frees the arena and everything in it; sets *a to NULL. Accepts NULL and pointer to NULL. */
void mien_arena_free(struct mien_arena **a);

/* Overwrites every byte handed out with zeros, then frees. For memory that held images or keys. */
void mien_arena_wipe_free(struct mien_arena **a);

/* `n` bytes, zeroed, aligned to 64; NULL when the cap or memory is exhausted or n == 0 overflowed. */
void *mien_arena_alloc(struct mien_arena *a, size_t n) __attribute__((malloc));

/* count * size bytes with overflow check. */
void *mien_arena_calloc(struct mien_arena *a, size_t count, size_t size);

/* Copy of n bytes of s plus a terminating NUL. */
char *mien_arena_strndup(struct mien_arena *a, const char *s, size_t n);

/* Bytes handed out so far. */
size_t mien_arena_used(const struct mien_arena *a);

#endif
