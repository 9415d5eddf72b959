/* The search index: every template in memory, searched exhaustively.
 *
 * A template is kept as dim bytes (its numbers scaled by its largest one) and as dim halves. A search reads the bytes of all templates, and computes the cosine
 * in float32 from the halves of those whose approximate score could, by the bound of Cauchy and Schwarz over both rounding errors, belong into the answer. So
 * the answer is always that of an exhaustive float32 search over the halves; tests/gallery/test_index.c compares. 1,000,000 templates of 512 are 1.55 GB.
 *
 * Thread-safe. A change is seen by every search that begins after it returned; a search that runs meanwhile sees each user as before or after. Kernels are
 * chosen by mien_cpu_flags: AVX-512 VNNI, AVX2, scalar. */
#ifndef MIEN_GALLERY_INDEX_H
#define MIEN_GALLERY_INDEX_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "gallery/store.h"

struct mien_index;

/* dim: 1..1024. */
enum mien_code mien_index_create(int dim, struct mien_index **out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_index_free(struct mien_index **x); /* wipes */

/* A user's templates from now on: n x dim halves (unit vectors, gallery/template.h). n == 0 removes the user. MIEN_E_NOMEM: nothing has changed. */
enum mien_code mien_index_set(struct mien_index *x, const char *user_id, const char *name, const uint16_t *templates, int n, struct mien_err *e)
                              MIEN_MUST_CHECK;

struct mien_index_state { uint64_t users, templates; size_t bytes; /* memory held */ };
struct mien_index_state mien_index_state(struct mien_index *x);

struct mien_hit {
    float similarity; /* cosine */
    char user_id[MIEN_USER_ID + 1], name[MIEN_USER_NAME + 1];
};

enum { MIEN_MAX_HITS = 100, MIEN_MAX_QUERIES = 16 };

/* The top_k (1..MIEN_MAX_HITS) users by their best template for each of n (1..MIEN_MAX_QUERIES) unit vectors, similarity at or above `threshold`, falling;
 * equals in order of user_id. `hits`: n x top_k; counts[n]. Several queries share one pass over the memory. On the calling thread only. */
enum mien_code mien_index_search(struct mien_index *x, const float *queries, int n, int top_k, float threshold, struct mien_hit *hits, int *counts,
                                 struct mien_err *e) MIEN_MUST_CHECK;

/* Best similarity of one user's templates. MIEN_E_NOT_ENROLLED. */
enum mien_code mien_index_verify(struct mien_index *x, const char *user_id, const float *query, float *similarity, struct mien_err *e) MIEN_MUST_CHECK;

#endif
