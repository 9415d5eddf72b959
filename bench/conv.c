/* One 3x3 convolution, four ways, in the same run on one core: oneDNN's direct form and our Winograd form, float32 and bfloat16.
 * Prints effective GF/s (operations of the direct form over time), best of many. Build and run: make bench-conv */
#include <dnnl.h>
#include <math.h>
#include <omp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "engine/winograd.h"

enum { REPEATS = 60 };

static void *memory(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 127) & ~(size_t)63);
    if (p == NULL) abort();
    return memset(p, 0, (bytes + 127) & ~(size_t)63);
}

/* Best milliseconds of oneDNN's direct convolution; NAN when it has none. */
static double direct(dnnl_engine_t engine, dnnl_stream_t stream, int size, int ic, int oc, dnnl_data_type_t type, const char **impl)
{
    dnnl_dims_t sd = {1, ic, size, size}, dd = {1, oc, size, size}, wd = {oc, ic, 3, 3}, bd = {oc}, one = {1, 1}, none = {0, 0};
    dnnl_memory_desc_t s, w, b, d;
    dnnl_memory_desc_init_by_tag(&s, 4, sd, type, dnnl_nhwc);
    dnnl_memory_desc_init_by_tag(&w, 4, wd, type, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&b, 1, bd, dnnl_f32, dnnl_a);
    dnnl_memory_desc_init_by_tag(&d, 4, dd, type, dnnl_nhwc);
    dnnl_convolution_desc_t desc;
    if (dnnl_dilated_convolution_forward_desc_init(&desc, dnnl_forward_inference, dnnl_convolution_direct, &s, &w, &b, &d, one, none, one, one)) return NAN;
    dnnl_primitive_desc_t pd;
    if (dnnl_primitive_desc_create(&pd, &desc, NULL, engine, NULL)) return NAN;
    dnnl_primitive_t p;
    if (dnnl_primitive_create(&p, pd)) return NAN;
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, impl);
    const dnnl_memory_desc_t *wm = dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    dnnl_memory_t m[4];
    dnnl_memory_create(&m[0], &s, engine, memory(dnnl_memory_desc_get_size(&s)));
    dnnl_memory_create(&m[1], wm, engine, memory(dnnl_memory_desc_get_size(wm)));
    dnnl_memory_create(&m[2], &b, engine, memory((size_t)oc * 4));
    dnnl_memory_create(&m[3], &d, engine, memory(dnnl_memory_desc_get_size(&d)));
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, m[0]}, {DNNL_ARG_WEIGHTS, m[1]}, {DNNL_ARG_BIAS, m[2]}, {DNNL_ARG_DST, m[3]}};
    double best = INFINITY;
    for (int i = 0; i < REPEATS; i++) {
        const uint64_t start = mien_now_ns();
        dnnl_primitive_execute(p, stream, 4, args);
        best = fmin(best, mien_elapsed_ms(start));
    }
    return best; /* a benchmark process: memory goes with it */
}

static double winograd(int size, int ic, int oc, bool bf16, int m)
{
    if (bf16 && !(mien_cpu_flags() & MIEN_CPU_AVX512_BF16)) return NAN;
    const struct mien_wino_shape s = {1, size, size, ic, oc, size, size, 1, 1, bf16};
    float *w = memory((size_t)(ic * oc) * 36);
    const struct mien_wino_args a = {memory((size_t)(size * size * ic) * 4), memory(mien_wino_weight_bytes(&s, m)), NULL, NULL, NULL, -INFINITY, INFINITY,
                                     memory((size_t)(size * size * oc) * 4), memory(mien_wino_scratch_bytes(&s, m))};
    mien_wino_pack(&s, m, w, (void *)(uintptr_t)a.packed);
    double best = INFINITY;
    for (int i = 0; i < REPEATS; i++) {
        const uint64_t start = mien_now_ns();
        mien_wino_run(&s, m, &a);
        best = fmin(best, mien_elapsed_ms(start));
    }
    return best;
}

int main(void)
{
    static const int shapes[][3] = {{112, 64, 64}, {56, 64, 64}, {28, 128, 128}, {14, 256, 256}, {7, 512, 512}, {320, 12, 12}, {320, 12, 24},
                                    {160, 24, 24}, {80, 24, 64}, {80, 64, 20},   {80, 64, 8},    {80, 64, 2},   {80, 48, 48},  {40, 48, 48},
                                    {40, 24, 24},  {20, 80, 80}, {20, 24, 24},   {20, 64, 64},   {12, 64, 64},  {8, 64, 64}};
    omp_set_num_threads(1);
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    if (dnnl_engine_create(&engine, dnnl_cpu, 0) || dnnl_stream_create(&stream, engine, dnnl_stream_default_flags)) return 1;
    printf("%-16s %10s %10s %10s | %10s %10s %10s   GF/s, effective\n", "3x3, size ic oc", "f32", "f32 F2", "f32 F4", "bf16", "bf16 F2", "bf16 F4");
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const int h = shapes[i][0], ic = shapes[i][1], oc = shapes[i][2];
        const double gflop = 2e-6 * 9.0 * h * h * ic * oc;
        const char *f32 = "", *bf16 = "";
        const double a = direct(engine, stream, h, ic, oc, dnnl_f32, &f32), b = direct(engine, stream, h, ic, oc, dnnl_bf16, &bf16);
        printf("%4d %5d %5d  %10.0f %10.0f %10.0f | %10.0f %10.0f %10.0f   %s, %s\n", h, ic, oc, gflop / a, gflop / winograd(h, ic, oc, false, 2),
               gflop / winograd(h, ic, oc, false, 4), gflop / b, gflop / winograd(h, ic, oc, true, 2), gflop / winograd(h, ic, oc, true, 4), f32, bf16);
    }
    return 0;
}
