/* Times the search index against its own float32 scan and the speed at which this core reads memory; bench/search runs it and adds numpy.
 *
 *     search TEMPLATES DIM ROUNDS [FILE]     prints JSON; FILE: the first templates as float32, for others to search */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/clock.h"
#include "gallery/half.h"
#include "gallery/index.h"
#include "gallery/scan.h"

enum { QUERIES = 16, TOP = 5, MOST = 1024 };

static uint64_t state = 88172645463325252u;
static uint64_t next_random(void) /* xorshift64 (Marsaglia 2003) */
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

/* About normal: a sum of uniform numbers. */
static float normal(void)
{
    const uint64_t r = next_random();
    return ((float)(r & 0xffff) + (float)(r >> 16 & 0xffff) + (float)(r >> 32 & 0xffff) + (float)(r >> 48)) / 32768.0f - 4.0f;
}

static void unit(float *v, int dim)
{
    float sum = 0;
    for (int i = 0; i < dim; i++) sum += v[i] * v[i];
    for (int i = 0; i < dim; i++) v[i] /= sqrtf(sum);
}

/* Of recognisers' embeddings no two people are quite independent: a common part gives similarities that spread around more than 0. */
static void face(const float *common, int dim, float *v)
{
    for (int i = 0; i < dim; i++) v[i] = normal() + 0.3f * common[i];
    unit(v, dim);
}

static size_t resident(void)
{
    size_t pages = 0, total = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%zu %zu", &total, &pages) != 2) pages = 0;
    if (f != NULL) fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static double least(double a, double b) { return a < b ? a : b; }

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ---- the speed of memory ---- */

typedef uint64_t line __attribute__((vector_size(64)));

static line *make_block(size_t bytes)
{
    line *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if ((void *)p == MAP_FAILED) return NULL;
    madvise(p, bytes, MADV_HUGEPAGE);
    memset(p, 1, bytes);
    return p;
}

/* Reads a block far larger than the caches: `streams` places at a time, fetched `ahead` lines in advance, in the widest registers there are. */
__attribute__((target_clones("avx512f", "avx2", "default"))) static uint64_t read_block(const line *p, size_t lines, size_t streams, size_t ahead)
{
    const size_t part = lines / streams;
    line s = {0}, t = {0};
    for (size_t i = 0; i + 4 <= part; i += 4)
        for (size_t k = 0; k < streams; k++) {
            const line *at = p + k * part + i;
            for (size_t j = 0; ahead > 0 && j < 4; j++) __builtin_prefetch(at + j + ahead);
            s ^= at[0] ^ at[1];
            t ^= at[2] ^ at[3];
        }
    s ^= t;
    return s[0] ^ s[1] ^ s[2] ^ s[3] ^ s[4] ^ s[5] ^ s[6] ^ s[7];
}

/* Milliseconds for the block, by the best of several ways to read it. */
static double read_ms(const line *p, size_t bytes)
{
    static const size_t way[][2] = {{1, 0}, {1, 64}, {4, 0}, {4, 16}, {4, 64}, {8, 0}};
    static volatile uint64_t result;
    double best = 1e9;
    for (size_t i = 0; i < sizeof way / sizeof way[0]; i++) {
        const uint64_t start = mien_now_ns();
        result = read_block(p, bytes / sizeof *p, way[i][0], way[i][1]);
        best = least(best, mien_elapsed_ms(start));
    }
    (void)result;
    return best;
}

/* The same question asked of every template in float32. */
static double float_scan(const float *all, int n, int dim, const float *query, int *best_row)
{
    const uint64_t start = mien_now_ns();
    float best = -2;
    for (int r = 0; r < n; r++) {
        const float *v = all + (size_t)r * (size_t)dim;
        float s[16] = {0};
        for (int i = 0; i + 16 <= dim; i += 16)
            for (int k = 0; k < 16; k++) s[k] += v[i + k] * query[i + k];
        float sum = 0;
        for (int k = 0; k < 16; k++) sum += s[k];
        if (sum > best) {
            best = sum;
            *best_row = r;
        }
    }
    return mien_elapsed_ms(start);
}

static int fail(const char *what)
{
    fprintf(stderr, "search: %s\n", what);
    return 2;
}

int main(int argc, char **argv)
{
    const int n = argc > 3 ? (int)strtol(argv[1], NULL, 10) : 0, dim = argc > 3 ? (int)strtol(argv[2], NULL, 10) : 0;
    const int rounds = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0;
    static float common[MOST], v[MOST], queries[QUERIES * MOST];
    static uint16_t half[MOST];
    static struct mien_hit hits[QUERIES * TOP];
    struct mien_index *index;
    int counts[QUERIES], floats = n < 200000 ? n : 200000, row = 0;
    if (n < 1 || dim < 16 || dim > MOST || dim % 16 != 0 || rounds < 1) return fail("usage: search TEMPLATES DIM ROUNDS [FILE]");
    float *all = malloc((size_t)floats * (size_t)dim * sizeof *all);
    if (all == NULL || mien_index_create(dim, &index, NULL) != MIEN_OK) return fail("no memory");
    memset(all, 0, (size_t)floats * (size_t)dim * sizeof *all);
    for (int i = 0; i < dim; i++) common[i] = normal();
    const size_t with_floats = resident();
    uint64_t start = mien_now_ns();
    double made_ms = 0;
    for (int i = 0; i < n; i++) {
        char id[24];
        uint64_t t = mien_now_ns();
        face(common, dim, v);
        mien_half_from_float(v, half, (size_t)dim);
        if (i < floats) mien_half_to_float(half, all + (size_t)i * (size_t)dim, (size_t)dim);
        made_ms += mien_elapsed_ms(t);
        snprintf(id, sizeof id, "user%08d", i);
        if (mien_index_set(index, id, id, half, 1, NULL) != MIEN_OK) return fail("the index is full");
    }
    const double fill_ms = mien_elapsed_ms(start) - made_ms;
    const size_t memory = resident() - with_floats;
    for (int q = 0; q < QUERIES; q++) face(common, dim, queries + q * dim);
    const size_t block_bytes = (size_t)1 << 29;
    line *block = make_block(block_bytes);
    double many = 1e9, scan = 1e9, read = 1e9, *single = malloc((size_t)rounds * QUERIES * sizeof *single);
    if (single == NULL || block == NULL) return fail("no memory");
    for (int r = 0; r < rounds; r++) {
        read = least(read, read_ms(block, block_bytes));
        for (int q = 0; q < QUERIES; q++) {
            start = mien_now_ns();
            if (mien_index_search(index, queries + q * dim, 1, TOP, -1.0f, hits, counts, NULL) != MIEN_OK) return fail("search failed");
            single[r * QUERIES + q] = mien_elapsed_ms(start);
        }
        start = mien_now_ns();
        if (mien_index_search(index, queries, QUERIES, TOP, -1.0f, hits, counts, NULL) != MIEN_OK) return fail("search failed");
        many = least(many, mien_elapsed_ms(start));
        scan = least(scan, float_scan(all, floats, dim, queries, &row) * n / floats);
    }
    qsort(single, (size_t)rounds * QUERIES, sizeof *single, rising);
    if (argc > 4) {
        FILE *f = fopen(argv[4], "wb");
        const size_t numbers = (size_t)floats * (size_t)dim;
        if (f == NULL || fwrite(all, sizeof *all, numbers, f) != numbers || fclose(f) != 0) return fail("cannot write");
    }
    const double one = single[0], scanned = (double)n * dim / (one * 1e-3), speed = (double)block_bytes / (read * 1e-3);
    printf("{\"kernel\": \"%s\", \"templates\": %d, \"dim\": %d, \"one_ms\": %.2f, \"median_ms\": %.2f, \"batch_of_16_ms\": %.2f, ", mien_scan_best()->name, n,
           dim, one, single[rounds * QUERIES / 2], many);
    printf("\"batch_gain\": %.2f, \"float32_ms\": %.2f, \"float32_ratio\": %.2f, \"read_gb_s\": %.2f, \"scanned_gb_s\": %.2f, ", QUERIES * one / many, scan,
           scan / one, speed * 1e-9, scanned * 1e-9);
    printf("\"share_of_read\": %.3f, \"resident_bytes\": %zu, \"fill_ms\": %.0f, \"float_rows\": %d, \"float_best\": %d}\n", scanned / speed, memory, fill_ms,
           floats, row);
    free(single);
    munmap(block, block_bytes);
    mien_index_free(&index);
    free(all);
    return 0;
}
