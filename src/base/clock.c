#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t mien_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double mien_elapsed_ms(uint64_t start_ns) { return (double)(mien_now_ns() - start_ns) * 1e-6; }

int64_t mien_utc_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void mien_utc_text(int64_t utc_ms, char out[40])
{
    struct tm tm;
    const time_t s = (time_t)(utc_ms / 1000);
    out[0] = '\0';
    if (gmtime_r(&s, &tm) == NULL) return;
    const size_t n = strftime(out, 40, "%Y-%m-%dT%H:%M:%S", &tm);
    if (n > 0) snprintf(out + n, 40 - n, ".%03dZ", (int)(utc_ms % 1000));
}
