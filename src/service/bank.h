/* The facebank that /main and /identity compare with: read when the server starts, and again when its file has changed. Thread-safe. */
#ifndef MIEN_SERVICE_BANK_H
#define MIEN_SERVICE_BANK_H

#include "gallery/facebank.h"

struct mien_bank;

/* Reads the file, if there is one; what is wrong with it goes to the log, and the server runs without. NULL: out of memory. `path` is borrowed. */
struct mien_bank *mien_bank_open(const char *path, int dim);
void mien_bank_close(struct mien_bank **b);

/* The rows as the file has them now, to be given back; NULL when there is no file, or none that could be read since the server started. While another thread
 * reads a changed file, and when the changed one is wrong, the rows are those from before. */
const struct mien_facebank *mien_bank_take(struct mien_bank *b);
void mien_bank_give(struct mien_bank *b, const struct mien_facebank *taken);

#endif
