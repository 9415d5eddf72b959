/* How the verbs of the gallery reach it: in this process when nobody else has the database, else through the server that has it. */
#ifndef MIEN_APP_REACH_H
#define MIEN_APP_REACH_H

#include "app/people.h"
#include "net/client.h"

struct mien_reach {
    struct mien_cli *cli;
    const char *server;                  /* --server */
    struct mien_config *config;
    struct mien_serve_settings settings;
    struct mien_models *models;          /* these four: only in this process */
    const struct mien_model *embed;
    struct mien_session *session;
    struct mien_people people;
    struct mien_client *client;          /* not NULL: through a server */
};

/* Reads a verb's options and operands as mien_cli_parse, with --server, --config, --data-dir and --port besides. After -1 the caller ends with
 * mien_reach_end. */
int mien_reach_begin(struct mien_cli *cli, int argc, char **argv, const struct mien_opt *opts, int n_opts, int at_least, int at_most, int *first,
                     struct mien_reach *r);
/* Closes everything; prints the error when `code` is one and then returns 2, else `status`. */
int mien_reach_end(struct mien_reach *r, enum mien_code code, const struct mien_err *e, int status);

enum mien_reach_for {
    MIEN_REACH_STORE,    /* lists and deletes */
    MIEN_REACH_GALLERY,  /* everything else; opens the models too */
};
/* Opens store or gallery, or finds the server: --server, else the configured one when another process has the database, or when Redis has it and the server
 * answers. */
enum mien_code mien_reach_open(struct mien_reach *r, enum mien_reach_for what, struct mien_err *e) MIEN_MUST_CHECK;

/* Asks the server; while it is busy (429, 503 overloaded) again for half a minute. *answer (the caller frees it) is the JSON of a status below 300; others are
 * failures with the server's own words: MIEN_E_NOT_ENROLLED, MIEN_E_MODEL_MISMATCH, MIEN_E_NO_FACE, MIEN_E_IMAGE_CORRUPT, MIEN_E_IMAGE_LIMIT, else
 * MIEN_E_REQUEST. `problem` (may be NULL) then receives the problem document. */
enum mien_code mien_reach_ask(struct mien_reach *r, const struct mien_ask *ask, struct mien_json **answer, struct mien_json **problem, struct mien_err *e)
                              MIEN_MUST_CHECK;
enum { MIEN_REACH_PATIENCE_MS = 60000, MIEN_REACH_LONG_MS = 3600000 };

/* The best face of a photo, with embedding and quality; *face is NULL when there is none. In this process only. */
enum mien_code mien_reach_face(struct mien_reach *r, const char *path, struct mien_cli_photo *photo, const struct mien_face **face, struct mien_err *e)
                               MIEN_MUST_CHECK;
/* Begins a JSON body with the photo's bytes as the member `image`: the writer is inside the object. Wipe and free the buffer with mien_reach_forget. */
enum mien_code mien_reach_photo_body(const char *path, struct mien_buf *body, struct mien_jw *w, struct mien_err *e) MIEN_MUST_CHECK;
void mien_reach_forget(struct mien_buf *body);

/* Similarity from which on two faces match: MATCH_THRESHOLD, else the model's. In this process only. */
float mien_reach_threshold(const struct mien_reach *r);

#endif
