/* What the processor offers, for the runtime choice of kernels. */
#ifndef MIEN_BASE_CPU_H
#define MIEN_BASE_CPU_H

enum mien_cpu_flag {
    MIEN_CPU_AVX2 = 1 << 0,       /* AVX2 + FMA + F16C */
    MIEN_CPU_AVX512 = 1 << 1,     /* AVX-512 F, BW, DQ, VL */
    MIEN_CPU_AVX512_VNNI = 1 << 2,
    MIEN_CPU_AVX512_BF16 = 1 << 3,
    MIEN_CPU_AMX_BF16 = 1 << 4,   /* AMX tiles with bfloat16 */
    MIEN_CPU_AMX_INT8 = 1 << 5
};

/* Flags of this machine, less those that the environment's MIEN_CPU_MASK (a number, e.g. 1 = AVX2 only) lacks, after the mask below. Cheap after the first
 * call; thread-safe. */
unsigned mien_cpu_flags(void);

/* Hides flags that are not in `mask` from mien_cpu_flags (tests, --cpumask). ~0u = all. */
void mien_cpu_set_mask(unsigned mask);

#endif
