/* Making, sealing and opening templates. */
#include "gallery/template.h"

#include <math.h>
#include <string.h>
#include "gallery/half.h"

enum { HEAD = 8, VERSION = 1, WITH_DEPTH = 1, ABOUT = MIEN_USER_ID + 1 + MIEN_MODEL_ID + 1 + 1 };

static enum mien_code unit(const float *in, int dim, uint16_t *out, const char *what, struct mien_err *e)
{
    float v[MIEN_TEMPLATE_DIM];
    double sum = 0;
    MIEN_FAIL_IF(dim < 1 || dim > MIEN_TEMPLATE_DIM, e, MIEN_E_RECORD, "the %s has not 1 to %d numbers", what, MIEN_TEMPLATE_DIM);
    for (int i = 0; i < dim; i++) sum += (double)in[i] * (double)in[i];
    MIEN_FAIL_IF(!isfinite(sum), e, MIEN_E_RECORD, "the %s has a number that is not finite", what);
    MIEN_FAIL_IF(sum < 1e-30, e, MIEN_E_RECORD, "the %s has no length", what);
    const double scale = 1.0 / sqrt(sum);
    for (int i = 0; i < dim; i++) v[i] = (float)((double)in[i] * scale);
    mien_half_from_float(v, out, (size_t)dim);
    explicit_bzero(v, sizeof v);
    return MIEN_OK;
}

enum mien_code mien_template_make(const float *rgb, int dim, const float *depth, int depth_dim, struct mien_template *out, struct mien_err *e)
{
    out->dim = dim;
    out->depth_dim = depth != NULL ? depth_dim : 0;
    MIEN_TRY(unit(rgb, dim, out->rgb, "embedding", e));
    return depth != NULL ? unit(depth, depth_dim, out->depth, "depth embedding", e) : MIEN_OK;
}

/* ---- sealing ---- */

/* What a sealed template is bound to: whose it is, of which model, in which format. */
static enum mien_code about(const struct mien_record *r, uint8_t out[ABOUT], size_t *n, struct mien_err *e)
{
    const size_t user = strlen(r->user_id) + 1, model = strlen(r->model) + 1;
    MIEN_FAIL_IF(user > MIEN_USER_ID + 1 || model > MIEN_MODEL_ID + 1, e, MIEN_E_RECORD, "a user or model id is too long");
    memcpy(out, r->user_id, user);
    memcpy(out + user, r->model, model);
    out[user + model] = VERSION;
    *n = user + model + 1;
    return MIEN_OK;
}

/* Halves are written as the processor has them: little endian everywhere that mien runs (asserted here). */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "templates are stored in little endian");

static size_t write_plain(const struct mien_template *t, uint8_t plain[MIEN_TEMPLATE_BYTES])
{
    const size_t rgb = 2 * (size_t)t->dim, depth = 2 * (size_t)t->depth_dim;
    const uint8_t head[HEAD] = {'M', 'T', VERSION, t->depth_dim > 0 ? WITH_DEPTH : 0, (uint8_t)t->dim, (uint8_t)(t->dim >> 8), (uint8_t)t->depth_dim,
                                (uint8_t)(t->depth_dim >> 8)};
    memcpy(plain, head, HEAD);
    memcpy(plain + HEAD, t->rgb, rgb);
    memcpy(plain + HEAD + rgb, t->depth, depth);
    return HEAD + rgb + depth;
}

static enum mien_code read_plain(const uint8_t *plain, size_t n, struct mien_template *t, struct mien_err *e)
{
    MIEN_FAIL_IF(n < HEAD || plain[0] != 'M' || plain[1] != 'T', e, MIEN_E_RECORD, "this is no template");
    MIEN_FAIL_IF(plain[2] != VERSION || plain[3] > WITH_DEPTH, e, MIEN_E_RECORD, "a template of an unknown version");
    const int dim = plain[4] | plain[5] << 8, depth = plain[6] | plain[7] << 8;
    const bool sizes = dim >= 1 && dim <= MIEN_TEMPLATE_DIM && depth <= MIEN_TEMPLATE_DIM && (depth > 0) == (plain[3] == WITH_DEPTH);
    MIEN_FAIL_IF(!sizes || n != HEAD + 2 * (size_t)(dim + depth), e, MIEN_E_RECORD, "a template whose length does not fit");
    t->dim = dim;
    t->depth_dim = depth;
    memcpy(t->rgb, plain + HEAD, 2 * (size_t)dim);
    memcpy(t->depth, plain + HEAD + 2 * dim, 2 * (size_t)depth);
    return MIEN_OK;
}

enum mien_code mien_template_seal(struct mien_keyring *k, const struct mien_template *t, struct mien_record *record, uint8_t *room, struct mien_err *e)
{
    uint8_t plain[MIEN_TEMPLATE_BYTES], to[ABOUT];
    size_t about_n;
    MIEN_TRY(about(record, to, &about_n, e));
    const size_t n = write_plain(t, plain);
    const enum mien_code code = mien_seal(k, record->id, to, about_n, plain, n, room, e);
    explicit_bzero(plain, n);
    record->sealed = room;
    record->sealed_n = n + MIEN_SEAL_OVERHEAD;
    return code;
}

enum mien_code mien_template_open(struct mien_keyring *k, const struct mien_record *record, struct mien_template *out, struct mien_err *e)
{
    uint8_t plain[MIEN_TEMPLATE_BYTES], to[ABOUT];
    size_t about_n;
    MIEN_FAIL_IF(record->sealed_n < MIEN_SEAL_OVERHEAD || record->sealed_n > MIEN_SEALED_BYTES, e, MIEN_E_SEAL, "this is no sealed template");
    MIEN_TRY(about(record, to, &about_n, e));
    const size_t n = record->sealed_n - MIEN_SEAL_OVERHEAD;
    MIEN_TRY(mien_unseal(k, record->id, to, about_n, record->sealed, record->sealed_n, plain, e));
    const enum mien_code code = read_plain(plain, n, out, e);
    explicit_bzero(plain, n);
    return code;
}
