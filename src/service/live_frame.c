/* One frame of a live session through the networks. What it costs is measured by bench/frame. */
#include <math.h>
#include "service/exchange.h"
#include "service/live_inner.h"
#include "service/person.h"

enum {
    FRAME_BYTES = 1 << 20,
    FRAME_PIXELS = 4096 * 2160, /* of the largest camera in use */
    DETECTION_SIZE = 320        /* a face in front of a camera is large */
};

void mien_live_rules(const struct mien_service *service, struct mien_proof_rules *rules)
{
    const struct mien_model *embed = mien_models_role(service->models, MIEN_ROLE_EMBED, 0);
    const float match = service->settings.match_threshold;
    rules->have = mien_face_answerable(service->models);
    if (embed != NULL) rules->same_person = mien_person_threshold(embed, isnan(match) ? embed->threshold : match);
}

static enum mien_code analyze(struct mien_service *service, int worker, struct mien_photo *photo, unsigned wants, struct mien_arena *arena,
                              struct mien_live_sight *out, struct mien_err *e)
{
    const struct mien_face_settings how = {.primary_only = true, .detection_size = DETECTION_SIZE, .min_score = service->settings.min_score};
    out->width = mien_photo_width(photo);
    out->height = mien_photo_height(photo);
    return mien_face_analyze(service->models, service->session[worker], photo, wants, &how, arena, &out->faces, e);
}

enum mien_code mien_live_frame(struct mien_service *service, int worker, const uint8_t *image, size_t n, unsigned wants, struct mien_arena *arena,
                               struct mien_live_sight *out, struct mien_err *e)
{
    const struct mien_image_limits limits = {FRAME_BYTES, FRAME_PIXELS};
    struct mien_photo *photo = NULL;
    *out = (struct mien_live_sight){.faces.best = -1};
    MIEN_TRY(mien_photo_open(image, n, &limits, &photo, e));
    const enum mien_code code = analyze(service, worker, photo, wants, arena, out, e);
    mien_session_wipe(service->session[worker]);
    mien_photo_free(&photo);
    if (code == MIEN_OK) mien_metrics_faces(&service->metrics, out->faces.count);
    return code;
}
