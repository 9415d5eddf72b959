/* Prints what the fusion engine says of sequences of photos, one JSON object a line; for tools/liveness/motion.py.
 *   run_fusion MODELS_DIR [--mesh] < SEQUENCES
 * A line of SEQUENCES is the photos of one person in order, separated by tabs. The largest face of each photo counts; photos without a face are left out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "codec/json.h"
#include "liveness/fusion.h"

enum { PHOTO_BYTES = 64 << 20, ARENA_BYTES = 256 << 20, FRAMES = 100 };

struct work { struct mien_models *models; struct mien_session *session; struct mien_arena *arena; };

static enum mien_code analyse(struct work *w, struct mien_photo *photo, struct mien_frame *frame, bool *found, struct mien_err *e)
{
    static const struct mien_face_settings one = {.primary_only = true};
    const unsigned wants = MIEN_WANT_SPOOF | MIEN_WANT_POSE | MIEN_WANT_MESH | MIEN_WANT_EYES;
    struct mien_faces faces;
    MIEN_TRY(mien_face_analyze(w->models, w->session, photo, wants, &one, w->arena, &faces, e));
    *found = faces.count > 0;
    if (faces.count == 0) return MIEN_OK;
    *frame = (struct mien_frame){.face = &faces.face[0], .photo_width = mien_photo_width(photo), .photo_height = mien_photo_height(photo)};
    return mien_cues_measure(photo, &faces.face[0], w->arena, &frame->cues, e);
}

static enum mien_code open_frame(struct work *w, const char *path, struct mien_frame *frame, bool *found, struct mien_err *e)
{
    unsigned char *bytes;
    size_t n;
    struct mien_photo *photo = NULL;
    MIEN_TRY(mien_file_read(path, PHOTO_BYTES, &bytes, &n, e));
    enum mien_code code = mien_photo_open(bytes, n, &MIEN_IMAGE_LIMITS_DEFAULT, &photo, e);
    if (code == MIEN_OK) code = analyse(w, photo, frame, found, e);
    mien_photo_free(&photo);
    free(bytes);
    return code;
}

static void number(struct mien_jw *w, const char *key, double v)
{
    mien_jw_key(w, key);
    mien_jw_number(w, v, 7);
}

static void part(struct mien_jw *w, const char *key, struct mien_modality m)
{
    if (m.present) number(w, key, (double)m.score);
}

static void print_frame(struct mien_jw *w, const struct mien_frame *f, const struct mien_liveness *l, bool with_mesh)
{
    mien_jw_object(w);
    part(w, "depth", l->depth);
    part(w, "motion", l->motion);
    part(w, "blink", l->blink);
    part(w, "texture", l->texture);
    part(w, "antispoof", l->antispoof);
    number(w, "live", (double)l->score);
    number(w, "capped", l->capped);
    number(w, "ear_left", (double)f->face->ear_left);
    number(w, "ear_right", (double)f->face->ear_right);
    number(w, "yaw", (double)f->face->yaw);
    number(w, "pitch", (double)f->face->pitch);
    mien_jw_key(w, "point");
    mien_jw_array(w);
    for (int i = 0; i < 10; i++) mien_jw_number(w, (double)f->face->point[i], 6);
    mien_jw_end_array(w);
    mien_jw_key(w, "mesh");
    mien_jw_array(w);
    for (int i = 0; with_mesh && i < 3 * f->face->mesh_points; i++) mien_jw_number(w, (double)f->face->mesh[i], 7);
    mien_jw_end_array(w);
    mien_jw_end_object(w);
}

static enum mien_code sequence(struct work *w, char *line, bool with_mesh, struct mien_buf *out, struct mien_err *e)
{
    const struct mien_fusion_settings settings = mien_fusion_settings_default();
    struct mien_frame frame[FRAMES];
    struct mien_liveness live[FRAMES];
    struct mien_jw json;
    int n = 0;
    for (char *path, *rest = line; n < FRAMES && (path = strsep(&rest, "\t\n")) != NULL;) {
        bool found = false;
        if (path[0] != '\0') MIEN_TRY(open_frame(w, path, &frame[n], &found, e));
        n += found;
    }
    const uint64_t start = mien_now_ns();
    for (int i = 0; i < n; i++) live[i] = mien_liveness_of_frame(&settings, frame, n, i);
    mien_jw_init(&json, out);
    mien_jw_object(&json);
    number(&json, "ms", mien_elapsed_ms(start));
    mien_jw_key(&json, "frames");
    mien_jw_array(&json);
    for (int i = 0; i < n; i++) print_frame(&json, &frame[i], &live[i], with_mesh);
    mien_jw_end_array(&json);
    mien_jw_end_object(&json);
    puts(out->data);
    return MIEN_OK;
}

static enum mien_code all(struct work *w, bool with_mesh, struct mien_err *e)
{
    char *line = NULL;
    size_t room = 0;
    enum mien_code code = MIEN_OK;
    while (code == MIEN_OK && getline(&line, &room, stdin) >= 0) {
        struct mien_buf out;
        mien_buf_init(&out, 64 << 20);
        w->arena = mien_arena_create(ARENA_BYTES);
        code = sequence(w, line, with_mesh, &out, e);
        mien_arena_free(&w->arena);
        mien_buf_free(&out);
    }
    free(line);
    return code;
}

int main(int argc, char **argv)
{
    struct work w = {0};
    struct mien_err e = {0};
    const struct mien_models_settings settings = {MIEN_PRECISION_AUTO};
    enum mien_code code =
        argc < 2 ? MIEN_FAIL(&e, MIEN_E_ARG, "usage: run_fusion MODELS_DIR [--mesh] < SEQUENCES") : mien_models_open(argv[1], &settings, &w.models, &e);
    if (code == MIEN_OK) code = mien_session_create(&w.session, &e);
    if (code == MIEN_OK) code = all(&w, argc > 2 && strcmp(argv[2], "--mesh") == 0, &e);
    if (code != MIEN_OK) fprintf(stderr, "run_fusion: %s\n", e.msg);
    mien_session_free(&w.session);
    mien_models_free(&w.models);
    return code == MIEN_OK ? 0 : 1;
}
