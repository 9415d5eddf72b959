/* What the verbs of the command line share: options as tables, photos, models, output and errors.
 *
 * Contract with scripts: results go to standard output, whole or not at all; errors are one line `mien: ...` on standard
 * error; the exit status is 0 yes, 1 no, 2 error. */
#ifndef MIEN_APP_CLI_H
#define MIEN_APP_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "codec/json.h"
#include "face/face.h"

enum { MIEN_EXIT_YES = 0, MIEN_EXIT_NO = 1, MIEN_EXIT_ERROR = 2 };

struct mien_cli {
    const struct mien_verb *verb;
    bool json, help;
    const char *models; /* --models; NULL = look for it */
    const char *type;   /* --type; NULL = not given, which means auto */
    enum mien_precision precision;
};

/* A row of the command table. `name` may be two words; `run` gets its own name as argv[0]. */
struct mien_verb {
    const char *name, *operands, *summary, *example;
    int (*run)(struct mien_cli *cli, int argc, char **argv);
};

int mien_verb_detect(struct mien_cli *cli, int argc, char **argv);
int mien_verb_analyze(struct mien_cli *cli, int argc, char **argv);
int mien_verb_embed(struct mien_cli *cli, int argc, char **argv);
int mien_verb_compare(struct mien_cli *cli, int argc, char **argv);
int mien_verb_eval_verification(struct mien_cli *cli, int argc, char **argv);
int mien_verb_bench_models(struct mien_cli *cli, int argc, char **argv);
int mien_verb_bench_pipeline(struct mien_cli *cli, int argc, char **argv);
int mien_verb_models_list(struct mien_cli *cli, int argc, char **argv);
int mien_verb_models_inspect(struct mien_cli *cli, int argc, char **argv);
int mien_verb_models_check(struct mien_cli *cli, int argc, char **argv);
int mien_verb_serve(struct mien_cli *cli, int argc, char **argv);
int mien_verb_config(struct mien_cli *cli, int argc, char **argv);
int mien_verb_openapi(struct mien_cli *cli, int argc, char **argv);
int mien_verb_health(struct mien_cli *cli, int argc, char **argv);
int mien_verb_enroll(struct mien_cli *cli, int argc, char **argv);
int mien_verb_search(struct mien_cli *cli, int argc, char **argv);
int mien_verb_verify(struct mien_cli *cli, int argc, char **argv);
int mien_verb_gallery_list(struct mien_cli *cli, int argc, char **argv);
int mien_verb_gallery_delete(struct mien_cli *cli, int argc, char **argv);
int mien_verb_gallery_export(struct mien_cli *cli, int argc, char **argv);
int mien_verb_gallery_import(struct mien_cli *cli, int argc, char **argv);
int mien_verb_keys_rotate(struct mien_cli *cli, int argc, char **argv);
int mien_verb_audit_verify(struct mien_cli *cli, int argc, char **argv);
int mien_verb_audit_list(struct mien_cli *cli, int argc, char **argv);
int mien_verb_facebank_create(struct mien_cli *cli, int argc, char **argv);
int mien_verb_eval_identification(struct mien_cli *cli, int argc, char **argv);
int mien_verb_eval_liveness(struct mien_cli *cli, int argc, char **argv);
int mien_verb_eval_detection(struct mien_cli *cli, int argc, char **argv);
int mien_verb_eval_attributes(struct mien_cli *cli, int argc, char **argv);
int mien_verb_calibrate(struct mien_cli *cli, int argc, char **argv);

/* ---- options ---- */

enum mien_opt_kind { MIEN_OPT_FLAG /* bool */, MIEN_OPT_TEXT /* const char * */, MIEN_OPT_INT /* int */, MIEN_OPT_REAL /* float */ };
struct mien_opt {
    const char *name;
    enum mien_opt_kind kind;
    void *to;               /* where the value goes; keeps its default when the option is not given */
    const char *value, *help; /* name of the value in the help text */
    double min, max;        /* INT, REAL: what is accepted */
};

/* Reads a verb's options (n_opts rows) and the common ones. Operands are moved to argv[*first]..argv[argc - 1]; there must be
 * at least `at_least` and at most `at_most` (-1 = any number). Returns -1 to go on, else the exit status: 0 after --help,
 * 2 after a wrong option. */
int mien_cli_parse(struct mien_cli *cli, int argc, char **argv, const struct mien_opt *opts, int n_opts, int at_least, int at_most, int *first);

/* The options before the verb: returns -1 and the verb's position in *first, else the exit status. */
int mien_cli_parse_common(struct mien_cli *cli, int argc, char **argv, int *first);
void mien_cli_print_common_help(void);

/* An option's float as the decimal number that was meant: 1e-4 of 10,000 comparisons is one. */
double mien_cli_as_written(float v);

/* ---- errors and output ---- */

int mien_cli_error(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* prints one line, returns 2 */
int mien_cli_fail(const struct mien_err *e);                                    /* the same for an error record */
/* Puts `what: ` before e->msg unless it begins with it. Returns `code`. */
enum mien_code mien_cli_about(const char *what, enum mien_code code, struct mien_err *e);

/* Writes the buffer to standard output and frees it; `status`, or 2 when it cannot be written. */
int mien_cli_print(struct mien_buf *b, int status);
/* The end of a verb: mien_cli_print when `code` is MIEN_OK, else mien_cli_fail without a word on standard output. Frees the buffer. */
int mien_cli_end(enum mien_code code, struct mien_buf *b, int status, const struct mien_err *e);
enum { MIEN_OUTPUT_BYTES = 512 << 20 }; /* most that one command may print */

/* Members of JSON results. */
void mien_cli_number(struct mien_jw *w, const char *key, double v, int digits);
void mien_cli_count(struct mien_jw *w, const char *key, uint64_t v);

/* Appends text that others have chosen, for a terminal: control characters become '?'. */
void mien_cli_add_safe(struct mien_buf *b, const char *text);

/* `label done/total` on one line of standard error while that is a terminal; erased when done == total. Any thread. */
void mien_cli_progress(const char *label, size_t done, size_t total);


/* ---- models and photos ---- */

/* Calls `call` for every regular file in `folder` and below it (16 levels) by the order of names. `within` is the path below `folder`. Hidden files, links
 * that lead nowhere and paths of 4096 bytes are left out. MIEN_E_IO names the folder that cannot be read; a failure of `call` ends the walk. */
typedef enum mien_code mien_cli_on_file(void *context, const char *path, const char *within, struct mien_err *e);
enum mien_code mien_cli_each_file(const char *folder, mien_cli_on_file *call, void *context, struct mien_err *e) MIEN_MUST_CHECK;

/* The models directory: --models, else $MIEN_MODELS, else models/local beside the folder of this executable or in the current
 * one. Fills dir; MIEN_E_MODEL_MISSING names where it looked. */
enum mien_code mien_cli_models_dir(const struct mien_cli *cli, char *dir, size_t room, struct mien_err *e) MIEN_MUST_CHECK;

/* `relative` inside the checkout that this executable was built in (build/mien or build/asan/mien), else in the current directory:
 * fills path and returns true when it exists. */
bool mien_cli_beside_program(const char *relative, char *path, size_t room);

/* Opens the installed models; `embed` (may be NULL) is the id of the model to use for embeddings instead of the pack's. */
enum mien_code mien_cli_models(const struct mien_cli *cli, const char *embed, struct mien_models **out, struct mien_err *e) MIEN_MUST_CHECK;

/* Everything that one photo needs. Zero-initialise; mien_cli_photo_free accepts any state. */
struct mien_cli_photo {
    unsigned char *bytes;
    size_t n;
    struct mien_photo *photo;
    struct mien_arena *arena;
    struct mien_faces faces;
};
/* Reads and opens `path` ("-" = standard input); errors name it. */
enum mien_code mien_cli_photo_open(const char *path, struct mien_cli_photo *p, struct mien_err *e) MIEN_MUST_CHECK;
/* The same, and analyses it into p->faces. */
enum mien_code mien_cli_photo_analyze(const char *path, struct mien_models *models, struct mien_session *session, unsigned wants,
                                      const struct mien_face_settings *settings, struct mien_cli_photo *p, struct mien_err *e) MIEN_MUST_CHECK;
void mien_cli_photo_free(struct mien_cli_photo *p); /* wipes */

/* ---- what is said of a face (faces.c) ---- */

/* "pose,eyes" -> MIEN_WANT_* bits; MIEN_E_ARG names an unknown word. "all" is everything that the pack has models for. */
enum mien_code mien_cli_wants(const char *list, const struct mien_models *models, unsigned *wants, struct mien_err *e) MIEN_MUST_CHECK;
const char *mien_cli_want_names(void); /* for help texts */

void mien_cli_face_json(struct mien_jw *w, const struct mien_face *f, unsigned wants);
void mien_cli_face_text(struct mien_buf *b, const struct mien_face *f, unsigned wants);

#endif
