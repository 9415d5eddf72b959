/* Any bytes as a facebank: rows that are taken are unit vectors, can be written and read again, and have sane distances. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "gallery/facebank.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good) abort();
}

static void write_again(const struct mien_facebank *f)
{
    struct mien_buf text;
    struct mien_facebank again;
    float least, mean, cosine;
    mien_buf_init(&text, 1 << 26);
    for (int i = 0; i < f->rows; i++) mien_facebank_row(f->row + (size_t)i * (size_t)f->dim, f->dim, &text);
    must(!text.failed && mien_facebank_parse(text.data, text.len, f->dim, &again, NULL) == MIEN_OK && again.rows == f->rows);
    mien_facebank_compare(&again, f->row, &least, &mean, &cosine);
    must(least >= 0.0f && least < 1e-3f && mean >= 0.0f && mean < 2.001f && fabsf(cosine - 1.0f) < 1e-3f);
    mien_facebank_free(&again);
    mien_buf_free(&text);
}

/* The first byte is the dimension. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mien_facebank f;
    struct mien_err e = {0};
    if (size == 0) return 0;
    const enum mien_code code = mien_facebank_parse((const char *)data + 1, size - 1, 1 + data[0] % 32, &f, &e);
    must(code == MIEN_OK || (f.row == NULL && e.msg[0] != '\0'));
    if (code == MIEN_OK) write_again(&f);
    mien_facebank_free(&f);
    return 0;
}
