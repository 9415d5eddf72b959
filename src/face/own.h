/* A network of the user's own in place of the pack's: an ONNX file anywhere, used as the manifest beside it says, or as is known of the published networks
 * that it has the structure of (known.c). models/README.md tells users. */
#ifndef MIEN_FACE_OWN_H
#define MIEN_FACE_OWN_H

#include "face/models.h"

struct mien_own_model {
    const char *path;      /* the ONNX file */
    const char *sha256;    /* of its bytes: 64 lower-case hexadecimal digits */
    const char *manifest;  /* JSON: the members of one entry of manifest.json but for id, file, task and sha256. NULL: the network must be a known one */
    size_t manifest_bytes;
    const char *version;   /* 8 digits or more that tell this file, fed like this, from all others; NULL: the sha256 */
};

/* Opens the file, checks it against its manifest and gives it `role` (MIEN_ROLE_EMBED or MIEN_ROLE_SPOOF), which the pack's models lose. The model's id is
 * the file's name and the first 8 digits of `version`, so that templates that were made otherwise are not taken for its own; the pack is then called
 * "standard+net.onnx". To be called before threads use the pack. `known` (may be NULL) receives what the network was taken for, NULL when it has a manifest.
 * Fails with what is wrong with the file (onnx, engine), MIEN_E_MANIFEST for its manifest or when it is none of the known. */
enum mien_code mien_models_replace(struct mien_models *m, enum mien_role role, const struct mien_own_model *own, const char **known,
                                   struct mien_err *e) MIEN_MUST_CHECK;

#endif
