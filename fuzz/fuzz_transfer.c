/* Any line as one of an exported gallery: what is taken can be written and read again, with the same values. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gallery/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good) abort();
}

static bool same(const char *a, const char *b) { return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0; }

static void write_again(const struct mien_import *one, struct mien_import *other)
{
    const struct mien_enrolment *x = &one->enrolment, *y = &other->enrolment;
    const struct mien_line line = {.user_id = x->user_id, .name = x->name, .metadata = x->metadata, .model = one->model, .rgb = x->rgb, .depth = x->depth,
                                   .dim = one->dim, .depth_dim = x->depth_dim, .append = x->append};
    struct mien_buf text;
    mien_buf_init(&text, MIEN_IMPORT_LINE);
    mien_line_write(&text, &line);
    must(!text.failed && mien_import_parse(text.data, text.len, other, NULL) == MIEN_OK);
    must(same(x->user_id, y->user_id) && same(x->name, y->name) && same(one->model, other->model) && same(x->metadata, y->metadata));
    must(one->dim == other->dim && x->append == y->append && x->depth_dim == y->depth_dim && (x->depth == NULL) == (y->depth == NULL));
    must(memcmp(one->rgb, other->rgb, (size_t)one->dim * sizeof(float)) == 0);
    must(x->depth == NULL || memcmp(one->depth, other->depth, (size_t)x->depth_dim * sizeof(float)) == 0);
    mien_buf_free(&text);
    mien_import_free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct mien_import one, other;
    struct mien_err e = {0};
    const enum mien_code code = mien_import_parse((const char *)data, size, &one, &e);
    must(code == MIEN_OK || (code == MIEN_E_RECORD && e.msg[0] != '\0'));
    if (code == MIEN_OK) write_again(&one, &other);
    mien_import_free(&one);
    return 0;
}
