/* The manifest reader: any text is either a pack or an error that says why. What `eval verification --save` makes of one is a pack, with that threshold. */
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "app/eval.h"
#include "face/face.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_curve(const struct mien_model *m)
{
    float before = 1.0f;
    for (int i = -64; i <= 64; i++) {
        const float fmr = mien_model_fmr(m, (float)i / 64.0f);
        assert(isnan(fmr) || (fmr >= 0.0f && fmr <= before));
        if (!isnan(fmr)) before = fmr;
    }
}

static void save(const uint8_t *data, size_t size, const struct mien_model *m)
{
    struct mien_eval_report r = {.model = m->id, .detector = "seen_by", .pairs = 3, .accuracy.mean = 1, .slope_confidence = 10};
    const struct mien_eval_saving s = {"", m->sha256, "set", &r};
    struct mien_models *again;
    struct mien_buf out;
    r.at_fmr = (struct mien_rate_point){.threshold = 0.25, .fmr_target = 0.5};
    r.curve.n = 2;
    r.curve.point[1] = (struct mien_rate_point){.threshold = 0.5};
    mien_buf_init(&out, 32 << 20);
    if (mien_eval_edit((const char *)data, size, &s, &out, NULL) == MIEN_OK) {
        assert(mien_models_parse(out.data, out.len, "/nonexistent", NULL, &again, NULL) == MIEN_OK);
        const struct mien_model *saved = mien_models_find(again, m->id);
        bool found = false;
        for (int i = 0; i < saved->n_thresholds; i++) found = found || (strcmp(saved->thresholds[i].detector, "seen_by") == 0 && saved->thresholds[i].saved);
        assert(found && saved->n_measured > 0);
        mien_models_free(&again);
    }
    mien_buf_free(&out);
}

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
        if (one->n_thresholds == 0) continue;
        check_curve(one);
        save(data, size, one);
    }
    mien_models_free(&m);
    return 0;
}
