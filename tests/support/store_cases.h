/* What every store promises (gallery/store.h), as cases for cmocka. Each begins with an empty store and leaves it as it is. */
#ifndef MIEN_TESTS_STORE_CASES_H
#define MIEN_TESTS_STORE_CASES_H

#include "gallery/store.h"

void store_case_gives_back_what_was_put(struct mien_store *s);
void store_case_replaces_a_user(struct mien_store *s);
void store_case_appends_to_a_user(struct mien_store *s);
void store_case_keeps_to_the_limit(struct mien_store *s);
void store_case_takes_a_user_several_times_in_one_write(struct mien_store *s);
void store_case_removes(struct mien_store *s);
void store_case_reseals_what_still_holds_the_old(struct mien_store *s);
void store_case_lists_by_rising_id(struct mien_store *s);
void store_case_ends_a_walk_with_the_callers_failure(struct mien_store *s);
void store_case_takes_any_bytes(struct mien_store *s);
void store_case_takes_a_thousand_at_once(struct mien_store *s);
void store_case_serves_several_threads(struct mien_store *s);

/* ---- for tests of one's own ---- */

/* A user "name" with `n` records of `size` bytes; ids and bytes follow from `seed`, so that the same call writes the same. */
enum mien_code store_put_simple(struct mien_store *s, const char *user_id, int n, size_t size, unsigned seed, bool append, struct mien_err *e);
/* How many records a user has; -1 when reading fails. */
int store_records_of(struct mien_store *s, const char *user_id);
/* Whether a user has exactly the records that store_put_simple wrote (without append). */
bool store_holds_simple(struct mien_store *s, const char *user_id, int n, size_t size, unsigned seed);

#endif
