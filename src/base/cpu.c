#include "base/cpu.h"

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>
#include <stdlib.h>

static _Atomic unsigned cpu_mask = ~0u;

__attribute__((target("xsave"))) static unsigned long long xcr0(void) { return (unsigned long long)_xgetbv(0); }

static unsigned detect(void)
{
    unsigned a, b, c, d, flags = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    int fma = (c & bit_FMA) != 0 && (c & bit_F16C) != 0;
    unsigned long long os = xcr0();
    unsigned b7, c7, d7;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return 0;
    if (fma && (b7 & bit_AVX2) && (os & 6) == 6) flags |= MIEN_CPU_AVX2;
    unsigned need = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if ((flags & MIEN_CPU_AVX2) && (b7 & need) == need && (os & 0xe6) == 0xe6) {
        flags |= MIEN_CPU_AVX512;
        if (c7 & bit_AVX512VNNI) flags |= MIEN_CPU_AVX512_VNNI;
        if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5))) flags |= MIEN_CPU_AVX512_BF16;
        if ((os & 0x60000) == 0x60000) { /* tile configuration and data enabled by the system */
            if (d7 & (1u << 22)) flags |= MIEN_CPU_AMX_BF16;
            if (d7 & (1u << 25)) flags |= MIEN_CPU_AMX_INT8;
        }
    }
    return flags;
}

unsigned mien_cpu_flags(void)
{
    static _Atomic unsigned known; /* detected flags + 1 bit that says they are valid */
    unsigned k = atomic_load(&known);
    if (k == 0) {
        const char *only = getenv("MIEN_CPU_MASK");
        k = detect();
        if (only != NULL) k &= (unsigned)strtoul(only, NULL, 0);
        k |= 1u << 31;
        atomic_store(&known, k);
    }
    return k & ~(1u << 31) & atomic_load(&cpu_mask);
}

void mien_cpu_set_mask(unsigned mask) { atomic_store(&cpu_mask, mask); }
