/* What is known of a model's quality, for people and for scripts: its figures, its threshold, and what rate a threshold means. */
#ifndef MIEN_APP_FIGURES_H
#define MIEN_APP_FIGURES_H

#include "codec/json.h"
#include "face/models.h"

/* The false match rate at a threshold: the measured one at the model's own, else that of the calibration curve. NAN when it is not known. */
float mien_figures_fmr(const struct mien_model *embed, float threshold);

/* "1e-4", "3.2e-3", "0.05". Returns `text`. */
const char *mien_figures_rate(double rate, char text[24]);

/* Members of `models list --json`: threshold, threshold_fmr, threshold_detector, threshold_foreign, curve (null for what recognises nobody), measured. */
void mien_figures_json(struct mien_jw *w, const struct mien_model *m);
/* Lines of `models list`, indented: figures (where there are some with the pack's detector, not those with others), "not measured", and of a recognition model
 * the threshold. */
void mien_figures_text(struct mien_buf *b, const struct mien_models *models, const struct mien_model *m);

/* Logs the threshold that a server uses (match_threshold: MATCH_THRESHOLD, NAN = the model's own) with its rate, and warns of one that lets more than 1 of 100
 * strangers pass, that was measured with another detector, or never. Says nothing without a recognition model. */
void mien_figures_log(const struct mien_models *models, float match_threshold);

#endif
