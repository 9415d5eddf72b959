/* A template: what is kept of an enrolled face. Half-precision numbers, sealed (crypto/seal.h) with user, model and format as additional data.
 *
 * Inside the seal, little endian: 'M' 'T', version 1, flags (bit 0: with depth), u16 dim, u16 depth_dim, dim halves, depth_dim halves. */
#ifndef MIEN_GALLERY_TEMPLATE_H
#define MIEN_GALLERY_TEMPLATE_H

#include "crypto/seal.h"
#include "gallery/store.h"

enum { MIEN_TEMPLATE_DIM = 1024, MIEN_TEMPLATE_BYTES = 8 + 2 * 2 * MIEN_TEMPLATE_DIM, MIEN_SEALED_BYTES = MIEN_TEMPLATE_BYTES + MIEN_SEAL_OVERHEAD };

/* Unit vectors. Holds biometric data: wipe it (explicit_bzero) when done. */
struct mien_template {
    int dim, depth_dim; /* depth_dim 0: no depth */
    uint16_t rgb[MIEN_TEMPLATE_DIM], depth[MIEN_TEMPLATE_DIM];
};

/* Normalises both vectors to unit length (L2) and rounds them. `depth` may be NULL. MIEN_E_RECORD: a number is not finite, all are 0, or dim is not 1..1024. */
enum mien_code mien_template_make(const float *rgb, int dim, const float *depth, int depth_dim, struct mien_template *out, struct mien_err *e) MIEN_MUST_CHECK;

/* Seals *t as record->user_id's and record->model's under record->id. Fills record->sealed, which must point to room for MIEN_SEALED_BYTES, and sealed_n. */
enum mien_code mien_template_seal(struct mien_keyring *k, const struct mien_template *t, struct mien_record *record, uint8_t *room, struct mien_err *e)
                                  MIEN_MUST_CHECK;
/* MIEN_E_KEY, MIEN_E_SEAL as mien_unseal; MIEN_E_RECORD when what was sealed is no template of a known version. */
enum mien_code mien_template_open(struct mien_keyring *k, const struct mien_record *record, struct mien_template *out, struct mien_err *e) MIEN_MUST_CHECK;

#endif
