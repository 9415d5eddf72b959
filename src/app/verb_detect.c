/* mien detect, mien analyze, mien embed: photos in, faces out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "base/file.h"

/* What is printed and how, for a run over several photos. */
struct job {
    struct mien_cli *cli;
    struct mien_models *models;
    struct mien_session *session;
    struct mien_face_settings settings;
    unsigned wants;
    const char *draw; /* PNG to write, or NULL */
    struct mien_buf out;
    struct mien_jw json;
    int photos, without_face, failed;
};

static void photo_json(struct mien_jw *w, const char *path, const struct mien_cli_photo *p, unsigned wants)
{
    mien_jw_object(w);
    mien_jw_key(w, "image");
    mien_jw_string(w, path);
    mien_jw_key(w, "width");
    mien_jw_integer(w, mien_photo_width(p->photo));
    mien_jw_key(w, "height");
    mien_jw_integer(w, mien_photo_height(p->photo));
    mien_jw_key(w, "detect_ms");
    mien_jw_fixed(w, p->faces.detect_ms, 2);
    mien_jw_key(w, "total_ms");
    mien_jw_fixed(w, p->faces.total_ms, 2);
    mien_jw_key(w, "best");
    if (p->faces.best >= 0) mien_jw_integer(w, p->faces.best);
    else mien_jw_null(w);
    mien_jw_key(w, "faces");
    mien_jw_array(w);
    for (int i = 0; i < p->faces.count; i++) mien_cli_face_json(w, &p->faces.face[i], wants);
    mien_jw_end_array(w);
    mien_jw_end_object(w);
}

static void photo_text(struct mien_buf *b, const char *path, const struct mien_cli_photo *p, unsigned wants)
{
    mien_buf_addf(b, "%s: %d face%s (%dx%d, %.1f ms)\n", path, p->faces.count, p->faces.count == 1 ? "" : "s", mien_photo_width(p->photo),
                  mien_photo_height(p->photo), p->faces.total_ms);
    for (int i = 0; i < p->faces.count; i++) mien_cli_face_text(b, &p->faces.face[i], wants);
}

static enum mien_code copy_view(struct mien_photo *photo, struct mien_image *out, struct mien_err *e)
{
    const struct mien_image *view;
    float scale;
    int longest = mien_photo_width(photo) > mien_photo_height(photo) ? mien_photo_width(photo) : mien_photo_height(photo);
    MIEN_TRY(mien_photo_view(photo, longest, &view, &scale, e));
    MIEN_TRY(mien_image_alloc(view->width, view->height, out, e));
    for (int y = 0; y < view->height; y++)
        memcpy(out->px + (size_t)y * out->stride, view->px + (size_t)y * view->stride, 3 * (size_t)view->width);
    return MIEN_OK;
}

/* The photo with its boxes and points (and mesh or 106 points, when there) as PNG. */
static enum mien_code draw_faces(const char *path, const struct mien_cli_photo *p, struct mien_err *e)
{
    static const uint8_t box_colour[3] = {0, 220, 90}, point_colour[3] = {255, 60, 60}, mesh_colour[3] = {80, 180, 255}, points106_colour[3] = {255, 210, 0};
    struct mien_image im = {0};
    unsigned char *png = NULL;
    size_t n = 0;
    enum mien_code code = copy_view(p->photo, &im, e);
    int line = 1 + (im.width + im.height) / 1000;
    for (int i = 0; code == MIEN_OK && i < p->faces.count; i++) {
        const struct mien_face *f = &p->faces.face[i];
        for (int k = 0; k < f->mesh_points; k++) mien_draw_dot(&im, f->mesh[3 * k], f->mesh[3 * k + 1], line / 2, mesh_colour);
        for (int k = 0; k < MIEN_POINTS_106 && f->points106 != NULL; k++)
            mien_draw_dot(&im, f->points106[2 * k], f->points106[2 * k + 1], line / 2, points106_colour);
        mien_draw_rect(&im, f->box.x0, f->box.y0, f->box.x1, f->box.y1, line, box_colour);
        for (int k = 0; k < 5; k++) mien_draw_dot(&im, f->point[2 * k], f->point[2 * k + 1], line + 1, point_colour);
    }
    if (code == MIEN_OK) code = mien_image_encode_png(&im, &png, &n, e);
    if (code == MIEN_OK) code = mien_file_write(path, png, n, e);
    free(png);
    mien_image_free(&im);
    return code;
}

static enum mien_code one_photo(struct job *j, const char *path, struct mien_cli_photo *p, struct mien_err *e)
{
    MIEN_TRY(mien_cli_photo_analyze(path, j->models, j->session, j->wants, &j->settings, p, e));
    if (j->draw != NULL) MIEN_TRY(draw_faces(j->draw, p, e));
    if (j->cli->json) photo_json(&j->json, path, p, j->wants);
    else photo_text(&j->out, path, p, j->wants);
    if (p->faces.count == 0) j->without_face++;
    return MIEN_OK;
}

/* A photo that cannot be read does not stop the others: its line goes to standard error, and the status is 2. */
static int all_photos(struct job *j, char **path, int n)
{
    mien_buf_init(&j->out, MIEN_OUTPUT_BYTES);
    mien_jw_init(&j->json, &j->out);
    if (j->cli->json) mien_jw_array(&j->json);
    for (int i = 0; i < n; i++) {
        struct mien_cli_photo p = {0};
        struct mien_err e = {0};
        mien_cli_progress("photos", (size_t)i, (size_t)n);
        if (one_photo(j, path[i], &p, &e) == MIEN_OK) j->photos++;
        else {
            j->failed++;
            mien_cli_fail(&e);
        }
        mien_cli_photo_free(&p);
    }
    mien_cli_progress("photos", (size_t)n, (size_t)n);
    if (j->photos == 0) {
        mien_buf_free(&j->out);
        return MIEN_EXIT_ERROR;
    }
    if (j->cli->json) {
        mien_jw_end_array(&j->json);
        mien_buf_adds(&j->out, "\n");
    }
    return mien_cli_print(&j->out, j->failed > 0 ? MIEN_EXIT_ERROR : j->without_face > 0 ? MIEN_EXIT_NO : MIEN_EXIT_YES);
}

static enum mien_code open_job(struct job *j, const char *want, struct mien_err *e)
{
    const unsigned usual = MIEN_WANT_POSE | MIEN_WANT_EYES | MIEN_WANT_QUALITY | MIEN_WANT_EXPRESSION | MIEN_WANT_AGE_GENDER | MIEN_WANT_SPOOF;
    MIEN_TRY(mien_cli_models(j->cli, NULL, &j->models, e));
    if (want == NULL) j->wants = usual & mien_face_answerable(j->models);
    else MIEN_TRY(mien_cli_wants(want, j->models, &j->wants, e));
    return mien_session_create(&j->session, e);
}

static int run_job(struct job *j, const char *want, char **path, int n)
{
    struct mien_err e = {0};
    int status = j->draw != NULL && n != 1 ? mien_cli_error("--draw takes one photo at a time")
                 : open_job(j, want, &e) != MIEN_OK ? mien_cli_fail(&e)
                                                    : all_photos(j, path, n);
    mien_session_free(&j->session);
    mien_models_free(&j->models);
    return status;
}

enum { N_FACE_OPTS = 6 };

static void face_opts(struct job *j, struct mien_opt *row)
{
    const struct mien_opt opts[N_FACE_OPTS] = {
        {"draw", MIEN_OPT_TEXT, &j->draw, "OUT.png", "write the photo with what was found drawn on it", 0, 0},
        {"min-score", MIEN_OPT_REAL, &j->settings.min_score, "S", "drop detections below S (default: the detector's threshold)", 0, 1},
        {"min-face", MIEN_OPT_INT, &j->settings.min_face_px, "PX", "drop faces with a shorter side below PX", 0, 1e6},
        {"max-faces", MIEN_OPT_INT, &j->settings.max_faces, "N", "look closer at the N largest only (default: all)", 0, 1e6},
        {"small-faces", MIEN_OPT_FLAG, &j->settings.small_faces, NULL, "look for small faces in a second pass", 0, 0},
        {"rotations", MIEN_OPT_FLAG, &j->settings.rotations, NULL, "turn the photo when nothing is found", 0, 0}};
    memcpy(row, opts, sizeof opts);
}

int mien_verb_detect(struct mien_cli *cli, int argc, char **argv)
{
    struct job j = {.cli = cli};
    struct mien_opt row[N_FACE_OPTS];
    int first;
    face_opts(&j, row);
    int status = mien_cli_parse(cli, argc, argv, row, N_FACE_OPTS, 1, -1, &first);
    return status >= 0 ? status : run_job(&j, "", argv + first, argc - first);
}

int mien_verb_analyze(struct mien_cli *cli, int argc, char **argv)
{
    struct job j = {.cli = cli};
    const char *want = NULL;
    struct mien_opt row[N_FACE_OPTS + 1] = {{"want", MIEN_OPT_TEXT, &want, "LIST", "comma separated: embedding, mesh, pose, eyes, blendshapes, quality, "
        "expression, age_gender, spoof, deepfake, net_quality, landmarks106, all (default: pose, eyes, quality, expression, age_gender, spoof)", 0, 0}};
    int first;
    face_opts(&j, row + 1);
    int status = mien_cli_parse(cli, argc, argv, row, N_FACE_OPTS + 1, 1, -1, &first);
    return status >= 0 ? status : run_job(&j, want, argv + first, argc - first);
}
