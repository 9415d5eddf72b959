/* Galleries as files: one JSON object a line, {"user_id","name","metadata","model","embedding","depth","append"}. An embedding is an array of numbers or the
 * base64 of little-endian float32. What is exported can be imported. */
#ifndef MIEN_GALLERY_TRANSFER_H
#define MIEN_GALLERY_TRANSFER_H

#include "codec/json.h"
#include "gallery/gallery.h"

enum { MIEN_IMPORT_BATCH = 1000, MIEN_IMPORT_LINE = 256 << 10 /* bytes of a line, at most */ };

/* Metadata as they are kept: an object, or nothing for NULL and null, as text of at most MIEN_USER_METADATA bytes. At most MIEN_METADATA_DEPTH levels, so that
 * it can stand inside of answers. `out` is initialised here. MIEN_E_RECORD. */
enum { MIEN_METADATA_DEPTH = 32 };
enum mien_code mien_metadata_text(const struct mien_json *v, struct mien_buf *out, struct mien_err *e) MIEN_MUST_CHECK;

/* A line that was read. Everything but the enrolment's user_id, name and metadata belongs to this structure itself. */
struct mien_import {
    struct mien_enrolment enrolment;
    struct mien_json *json;            /* holds user_id and name */
    struct mien_buf metadata;          /* holds the metadata; empty when there is none */
    const char *model;                 /* NULL: not given */
    int dim;
    float rgb[MIEN_TEMPLATE_DIM], depth[MIEN_TEMPLATE_DIM];
};

/* MIEN_E_RECORD says what is wrong with the line. `out` is to be freed in any case. */
enum mien_code mien_import_parse(const char *line, size_t n, struct mien_import *out, struct mien_err *e) MIEN_MUST_CHECK;
void mien_import_free(struct mien_import *i); /* wipes */

/* Writes a line with its newline, embeddings as base64. `metadata` is JSON text or NULL. */
struct mien_line {
    const char *user_id, *name, *metadata, *model;
    const float *rgb, *depth;          /* depth NULL: none */
    int dim, depth_dim;
    bool append;
};
void mien_line_write(struct mien_buf *out, const struct mien_line *line);

#endif
