/* The inner loops of a search, by instruction set; the scalar ones are the reference. All give the same integers.
 *
 * A row is `stride` bytes (a multiple of 64, at most 1024), each a number of -127..127 plus 128; a query is `stride` signed bytes. Rows lie in groups of 16,
 * four bytes of each in turn: byte i of row r is at byte 64 * (i / 4) + 4 * r + i % 4 of its group. So a vector register holds the same four numbers of 16
 * rows, what is added up for a row stays in one lane, and the memory is read in one stream. */
#ifndef MIEN_GALLERY_SCAN_H
#define MIEN_GALLERY_SCAN_H

#include <stddef.h>
#include <stdint.h>

enum { MIEN_SCAN_LINE = 64, MIEN_SCAN_GROUP = 16, MIEN_SCAN_STRIDE = 1024, MIEN_SCAN_QUERIES = 16 /* at most */ };

struct mien_scan_bound { float slope, weight, slack, cutoff; int32_t shift; };

struct mien_scan {
    const char *name; /* "avx512vnni", "avx2", "scalar" */
    /* out[q * n + r] = sum of row[r][i] * query[q][i]; rows begin with a group, whose last may be unfinished; queries lie `stride` bytes apart. */
    void (*dots)(const uint8_t *rows, int n, int stride, const int8_t *queries, int n_queries, int32_t *out);
    /* Which rows may be above the cutoff: indices of those with slope * scale[r] * (dots[r] - shift) + weight * error[r] + slack >= cutoff, in order. */
    int (*candidates)(const int32_t *dots, const float *scale, const float *error, int n, const struct mien_scan_bound *bound, int *index);
    /* Scales v so that its largest number becomes 127 and rounds: bytes[i] * *scale is about v[i]. Returns the sum of the squares of what rounding lost. */
    float (*quantize)(const float *v, int dim, int8_t *bytes, float *scale);
    /* Sum of half[i] * query[i] in float32; dim any. */
    float (*exact)(const uint16_t *half, const float *query, int dim);
};

/* The best that this processor and mien_cpu_set_mask allow. */
const struct mien_scan *mien_scan_best(void);

extern const struct mien_scan mien_scan_scalar, mien_scan_avx2, mien_scan_avx512vnni;

#endif
