/* POST /main and /identity: the faces of a photo against the facebank (docs/gallery.md). The `*_sim_score` members are Euclidean distances, lower is more
 * alike; no face is a verdict (200, nulls). Liveness is that of /liveness; a face below SPOOF_BELOW leaves a line in the spoof log. */
#include <stdio.h>
#include <time.h>
#include "base/log.h"
#include "service/exchange.h"
#include "service/handlers.h"
#include "service/liveness_answer.h"

#define SPOOF_BELOW 0.5f
enum { DISTANCE_DECIMALS = 3 };

/* One face's scores. */
struct scored { float least, mean, similarity, liveness; };

static enum mien_code take_bank(struct mien_call *c, const struct mien_facebank **bank, struct mien_err *e)
{
    struct mien_bank *b = c->service->bank;
    *bank = b != NULL ? mien_bank_take(b) : NULL;
    if (*bank != NULL) return MIEN_OK;
    return mien_call_say(c, MIEN_E_MODEL_MISSING, "This server has no facebank: mien facebank create makes one (DATA_FOLDER, FACEBANK).", e);
}

/* ---- spoof_log.csv ---- */

static void log_spoof(const struct mien_call *c, const struct scored *s)
{
    char line[80];
    struct mien_err e = {0};
    struct tm tm;
    const time_t now = time(NULL);
    const char *path = c->service->settings.spoof_log;
    if (path == NULL || gmtime_r(&now, &tm) == NULL) return;
    const size_t n = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%SZ", &tm);
    snprintf(line + n, sizeof line - n, ",%.3f,%.4f", (double)s->mean, (double)s->liveness);
    if (mien_append_line(path, line, &e) != MIEN_OK) mien_log(MIEN_LOG_ERROR, "spoof_log_failed", "id=%s why=%s", mien_request_id(c->request), e.msg);
}

/* ---- answers ---- */

static void put_scores(struct mien_call *c, const struct scored *s, bool with_liveness)
{
    static const char *const NAME[] = {"min_sim_score", "mean_sim_score", "similarity", "liveness_score"};
    for (int i = 0; i < (with_liveness ? 4 : 3); i++) {
        if (s == NULL) mien_put_text(c, NAME[i], NULL);
        else mien_put_fixed(c, NAME[i], (double)(const float[]){s->least, s->mean, s->similarity, s->liveness}[i], i < 2 ? DISTANCE_DECIMALS : 4);
    }
}

static void put_faces(struct mien_call *c, const struct mien_faces *found, const struct scored *s, bool with_liveness)
{
    mien_jw_key(c->json, "faces");
    mien_jw_array(c->json);
    for (int i = 0; i < found->count; i++) {
        mien_jw_object(c->json);
        mien_put_integer(c, "id", i);
        put_scores(c, &s[i], with_liveness);
        mien_put_box(c, "bounding_box", &found->face[i].box);
        mien_jw_end_object(c->json);
    }
    mien_jw_end_array(c->json);
}

static const char *message_of(const struct scored *best, bool with_liveness)
{
    if (best == NULL) return "No faces detected.";
    return with_liveness && best->liveness < SPOOF_BELOW ? "This does not look like a live person." : "Everything is OK.";
}

static enum mien_code score_faces(struct mien_call *c, const struct mien_facebank *bank, struct mien_photo *photo, const struct mien_faces *found,
                                  bool with_liveness, struct scored *s, struct mien_err *e)
{
    for (int i = 0; i < found->count; i++) {
        mien_facebank_compare(bank, found->face[i].embedding, &s[i].least, &s[i].mean, &s[i].similarity);
        if (with_liveness) MIEN_TRY(mien_live_confidence(c, photo, &found->face[i], &s[i].liveness, e));
    }
    return MIEN_OK;
}

/* With the bank in hand. */
static enum mien_code compare(struct mien_call *c, const struct mien_facebank *bank, bool with_liveness, struct mien_err *e)
{
    const unsigned wants = MIEN_WANT_EMBEDDING | MIEN_WANT_QUALITY | (with_liveness ? mien_live_wants(c) : 0u);
    struct mien_faces found;
    struct mien_photo *photo;
    MIEN_TRY(mien_call_analyze(c, mien_call_image(c, "image"), "image", wants, NULL, &found, &photo, e));
    struct scored *s = mien_arena_calloc(c->arena, (size_t)found.count + 1, sizeof *s);
    MIEN_FAIL_IF(s == NULL, e, MIEN_E_NOMEM, "out of memory");
    MIEN_TRY(score_faces(c, bank, photo, &found, with_liveness, s, e));
    for (int i = 0; with_liveness && i < found.count; i++)
        if (s[i].liveness < SPOOF_BELOW) log_spoof(c, &s[i]);
    const struct scored *best = found.best >= 0 ? &s[found.best] : NULL;
    mien_put_text(c, "message", message_of(best, with_liveness));
    put_scores(c, best, with_liveness);
    put_faces(c, &found, s, with_liveness);
    mien_put_integer(c, "processing_time_ms", mien_call_ms(c));
    return MIEN_OK;
}

static enum mien_code answer(struct mien_call *c, bool with_liveness, struct mien_err *e)
{
    const struct mien_facebank *bank;
    const struct mien_model *model;
    MIEN_TRY(mien_call_embedder(c, &model, NULL, e));
    if (with_liveness) MIEN_TRY(mien_live_networks(c, e));
    MIEN_TRY(take_bank(c, &bank, e));
    const enum mien_code code = compare(c, bank, with_liveness, e);
    mien_bank_give(c->service->bank, bank);
    return code;
}

enum mien_code mien_do_main(struct mien_call *c, struct mien_err *e) { return answer(c, true, e); }
enum mien_code mien_do_identity(struct mien_call *c, struct mien_err *e) { return answer(c, false, e); }
