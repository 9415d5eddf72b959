/* RESNET and DEEPPIX: networks of the user's own, as the configuration names them, in place of the pack's. */
#ifndef MIEN_APP_OWN_MODELS_H
#define MIEN_APP_OWN_MODELS_H

#include "app/config.h"

/* What a verb needs of them; MIEN_OWN_WARN: and that the log warns of what has not been measured. */
enum { MIEN_OWN_RESNET = 1, MIEN_OWN_DEEPPIX = 2, MIEN_OWN_WARN = 4, MIEN_OWN_ALL = 7 };

/* Opens the pack and puts in what is configured, with the manifest beside it (net.onnx: net.json) when there is one. A relative name is looked for in
 * DATA_FOLDER, else in the data folder. Without either it is mien_cli_models. Failures name the setting and the file. The log says what a network without a
 * manifest was taken for. */
enum mien_code mien_own_models(const struct mien_cli *cli, const struct mien_serve_settings *s, unsigned which, struct mien_models **out,
                               struct mien_err *e) MIEN_MUST_CHECK;

#endif
