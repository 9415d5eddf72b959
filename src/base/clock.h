/* Monotonic time with the unit in the name. */
#ifndef MIEN_BASE_CLOCK_H
#define MIEN_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds since an arbitrary start; never goes back. */
uint64_t mien_now_ns(void);

/* Milliseconds since 1970 UTC, by the system's clock, which may be set. */
int64_t mien_utc_ms(void);
/* Such a time, of 1970 or later, as "2026-11-21T09:32:47.999Z". */
void mien_utc_text(int64_t utc_ms, char out[40]);

/* Milliseconds since `start_ns`, with fraction. */
double mien_elapsed_ms(uint64_t start_ns);

#endif
