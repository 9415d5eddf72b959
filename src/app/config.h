/* The server's configuration: one table of names. A value comes from a flag, else the environment, else the file, else the table's
 * default; `mien config` shows which. Names are those of the services that mien replaces, where they had one. */
#ifndef MIEN_APP_CONFIG_H
#define MIEN_APP_CONFIG_H

#include "app/cli.h"
#include "net/server.h"
#include "service/service.h"

/* What `mien serve` runs with. Texts belong to struct mien_config. */
struct mien_serve_settings {
    struct mien_server_settings server;
    struct mien_service_settings service;
    const char *data_dir, *data_folder, *facebank, *log_level;
    const char *redis_url, *template_key, *template_key_previous, *template_salt; /* "" = not given */
    const char *embedding_model;
    const char *resnet, *deeppix; /* "" = the pack's networks */
    int embedding_dim;
    const char *database_url, *jwt_keys_dir, *test_challenges; /* the same */
    int audit_retention_days;
    bool use_gpu, encrypt_templates, never_store_raw_images;
};

struct mien_config; /* opaque: the values as text, and origins */

/* Reads flags (argv of a verb), environment and file. Returns -1 to go on, else the exit status (--help, a wrong value), as
 * mien_cli_parse; *out is then NULL. `opts` are the verb's own options besides. */
int mien_config_read(struct mien_cli *cli, int argc, char **argv, const struct mien_opt *opts, int n_opts, struct mien_config **out);
/* The same for verbs with operands: only --config and the flags of `names` ("DATA_DIR|PORT"; NULL = all); operands as mien_cli_parse. */
int mien_config_read_with(struct mien_cli *cli, int argc, char **argv, const struct mien_opt *opts, int n_opts, const char *names, int at_least, int at_most,
                          int *first, struct mien_config **out);
void mien_config_free(struct mien_config **c); /* wipes */

/* The values with their types. MIEN_E_CONFIG names what is wrong, where it came from and what is accepted. */
enum mien_code mien_config_settings(const struct mien_config *c, struct mien_serve_settings *out, struct mien_err *e) MIEN_MUST_CHECK;

/* Every name with value and origin; secrets as "(set)". */
void mien_config_print(const struct mien_config *c, struct mien_buf *out);
void mien_config_json(const struct mien_config *c, struct mien_jw *w);
/* docs/configuration.md. */
void mien_config_markdown(struct mien_buf *out);

#endif
