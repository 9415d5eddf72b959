/* The manifest reader: any text is either a pack or an error that says why. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "face/models.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mien_models *m;
    struct mien_err e = {0};
    enum mien_code code = mien_models_parse((const char *)data, size, "/nonexistent", NULL, &m, &e);
    assert((code == MIEN_OK) == (m != NULL));
    if (code != MIEN_OK) {
        assert(e.code == code && e.msg[0] != 0 && strlen(e.msg) < sizeof e.msg);
        return 0;
    }
    for (int i = 0; i < mien_models_count(m); i++) {
        const struct mien_model *one = mien_models_at(m, i);
        assert(mien_models_find(m, one->id) == one && !one->installed);
    }
    mien_models_free(&m);
    return 0;
}
