/* Prints what the image cues measure on the largest face of each photo, one JSON object a line; for tools/liveness/calibrate.py and for tests.
 *   run_cues MODELS_DIR PHOTO... */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "codec/json.h"
#include "liveness/cue_measures.h"

enum { PHOTO_BYTES = 64 << 20, ARENA_BYTES = 256 << 20 };

static void number(struct mien_jw *w, const char *key, double v)
{
    mien_jw_key(w, key);
    mien_jw_number(w, v, 7);
}

static enum mien_code describe(struct mien_models *models, struct mien_session *session, struct mien_photo *photo, struct mien_arena *arena, struct mien_jw *w,
                               struct mien_err *e)
{
    static const struct mien_face_settings one = {.primary_only = true};
    struct mien_faces found;
    struct mien_cue_measures m;
    MIEN_TRY(mien_face_analyze(models, session, photo, MIEN_WANT_SPOOF | MIEN_WANT_POSE | MIEN_WANT_MESH, &one, arena, &found, e));
    number(w, "faces", found.count);
    if (found.count == 0) return MIEN_OK;
    const struct mien_face *f = &found.face[0];
    const uint64_t start = mien_now_ns();
    MIEN_TRY(mien_cue_measures_take(photo, f, arena, &m, e));
    number(w, "ms", mien_elapsed_ms(start));
    const struct mien_cues c = mien_cues_of(&m, f->score);
    number(w, "x0", (double)f->box.x0);
    number(w, "y0", (double)f->box.y0);
    number(w, "x1", (double)f->box.x1);
    number(w, "y1", (double)f->box.y1);
    number(w, "share", (double)((f->box.x1 - f->box.x0) * (f->box.y1 - f->box.y0)) / mien_photo_width(photo) / mien_photo_height(photo));
    number(w, "score", (double)f->score);
    number(w, "presence", (double)f->mesh_presence);
    number(w, "antispoof", (double)f->live);
    number(w, "peak", (double)m.peak);
    number(w, "skin_share", (double)m.skin_share);
    number(w, "clipped_share", (double)m.clipped_share);
    number(w, "chroma_spread", (double)m.chroma_spread);
    number(w, "proportion", (double)m.proportion);
    number(w, "aspect", (double)m.aspect);
    number(w, "yaw", (double)f->yaw);
    number(w, "gradient", (double)m.gradient);
    number(w, "screen_pattern", (double)c.screen_pattern);
    number(w, "color_distribution", (double)c.color_distribution);
    number(w, "face_proportion", (double)c.face_proportion);
    number(w, "detection_confidence", (double)c.detection_confidence);
    number(w, "texture_complexity", (double)c.texture_complexity);
    number(w, "confidence", (double)mien_liveness_confidence(&c, f->live));
    return MIEN_OK;
}

static enum mien_code one_photo(struct mien_models *models, struct mien_session *session, const char *path, struct mien_buf *out, struct mien_err *e)
{
    unsigned char *bytes;
    size_t n;
    struct mien_photo *photo = NULL;
    struct mien_jw w;
    MIEN_TRY(mien_file_read(path, PHOTO_BYTES, &bytes, &n, e));
    struct mien_arena *arena = mien_arena_create(ARENA_BYTES);
    mien_jw_init(&w, out);
    mien_jw_object(&w);
    mien_jw_key(&w, "photo");
    mien_jw_string(&w, path);
    enum mien_code code = mien_photo_open(bytes, n, &MIEN_IMAGE_LIMITS_DEFAULT, &photo, e);
    if (code == MIEN_OK) code = describe(models, session, photo, arena, &w, e);
    mien_jw_end_object(&w);
    mien_photo_free(&photo);
    mien_arena_free(&arena);
    free(bytes);
    return code;
}

int main(int argc, char **argv)
{
    struct mien_models *models = NULL;
    struct mien_session *session = NULL;
    struct mien_err e = {0};
    const struct mien_models_settings settings = {MIEN_PRECISION_AUTO};
    enum mien_code code = argc < 2 ? MIEN_FAIL(&e, MIEN_E_ARG, "usage: run_cues MODELS_DIR PHOTO...") : mien_models_open(argv[1], &settings, &models, &e);
    if (code == MIEN_OK) code = mien_session_create(&session, &e);
    for (int i = 2; i < argc && code == MIEN_OK; i++) {
        struct mien_buf line;
        mien_buf_init(&line, 1 << 16);
        code = one_photo(models, session, argv[i], &line, &e);
        if (code == MIEN_OK) puts(line.data);
        mien_buf_free(&line);
    }
    if (code != MIEN_OK) fprintf(stderr, "run_cues: %s\n", e.msg);
    mien_session_free(&session);
    mien_models_free(&models);
    return code == MIEN_OK ? 0 : 1;
}
