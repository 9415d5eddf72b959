/* Labelled photos for measurements: which there are, whom they show, and their embeddings. */
#ifndef MIEN_APP_LABELLED_H
#define MIEN_APP_LABELLED_H

#include "app/cli.h"
#include "app/eval.h"

struct mien_serve_settings;

/* Zero-initialise; mien_labelled_free accepts any state. */
struct mien_labelled {
    struct mien_arena *arena;
    size_t n, persons;
    const char **path;     /* of each photo */
    uint32_t *person;      /* of each photo, rising */
    const char **name;     /* of each person: the folder's, or the photo's */
    struct mien_models *models;
    const struct mien_model *embed;
    float *row;            /* n x embed->dim, unit length */
    bool *present;         /* false: no face was found */
    size_t missed;
    double embed_ms;
};

/* The photos of a folder by the order of their names: DIR/PERSON/PHOTO. `all_different`: every photo in DIR and below is another person. Hidden files and files
 * of other types than photos are left out. MIEN_E_IO; MIEN_E_ARG when there are none. */
enum mien_code mien_labelled_read(const char *dir, bool all_different, struct mien_labelled *l, struct mien_err *e) MIEN_MUST_CHECK;

struct mien_labelling {
    const char *model_id;  /* NULL = the pack's recognition model */
    const struct mien_serve_settings *settings; /* NULL, or: without model_id the one of RESNET, when it is set */
    int threads;
    bool largest;          /* of several faces the largest, else the one nearest to the centre */
};
enum mien_code mien_labelled_embed(const struct mien_cli *cli, const struct mien_labelling *how, struct mien_labelled *l, struct mien_err *e) MIEN_MUST_CHECK;
struct mien_embeddings mien_labelled_embeddings(const struct mien_labelled *l);
void mien_labelled_free(struct mien_labelled *l); /* wipes */

/* Of several faces that of the photo's subject: the largest, or the one nearest to the centre. NULL when there is none. */
const struct mien_face *mien_labelled_face(const struct mien_cli_photo *p, bool largest);

#endif
