/* Monotonic time with the unit in the name. */
#ifndef MIEN_BASE_CLOCK_H
#define MIEN_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds since an arbitrary start; never goes back. */
uint64_t mien_now_ns(void);

/* Milliseconds since `start_ns`, with fraction. */
double mien_elapsed_ms(uint64_t start_ns);

#endif
