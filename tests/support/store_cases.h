/* What every store promises (gallery/store.h), as cases for cmocka. Each begins with an empty store and leaves it as it is. */
#ifndef MIEN_TESTS_STORE_CASES_H
#define MIEN_TESTS_STORE_CASES_H

#include "gallery/store.h"

#define STORE_CASES(CASE)                                                                                                                                      \
    CASE(gives_back_what_was_put) CASE(replaces_a_user) CASE(appends_to_a_user)                                                                                \
    CASE(keeps_to_the_limit) CASE(takes_a_user_several_times_in_one_write) CASE(removes)                                                                       \
    CASE(reseals_what_still_holds_the_old) CASE(lists_by_rising_id) CASE(ends_a_walk_with_the_callers_failure)                                                 \
    CASE(takes_any_bytes) CASE(takes_a_thousand_at_once) CASE(serves_several_threads)
#define STORE_CASE_DECLARED(name) void store_case_##name(struct mien_store *s);
STORE_CASES(STORE_CASE_DECLARED)

/* ---- for tests of one's own ---- */

/* A user "name" with `n` records of `size` bytes; ids and bytes follow from `seed`, so that the same call writes the same. */
enum mien_code store_put_simple(struct mien_store *s, const char *user_id, int n, size_t size, unsigned seed, bool append, struct mien_err *e);
/* How many records a user has; -1 when reading fails. */
int store_records_of(struct mien_store *s, const char *user_id);
/* Whether a user has exactly the records that store_put_simple wrote (without append). */
bool store_holds_simple(struct mien_store *s, const char *user_id, int n, size_t size, unsigned seed);

#endif
