/* Plays challenges over the frames of clips, one JSON object a line; for tests/liveness/run_judge.
 *   run_judge_frames MODELS_DIR [--without-blendshapes] < FILMS
 * A line of FILMS: milliseconds between frames, the frame at which challenges begin, frames after which they begin again (0: only once), then the photos, all
 * separated by tabs. A challenge has three seconds before it as its rest and ten seconds to be passed.
 * Out: {"frames":N,"faces":N,"passed":{"smile":[[frame of begin, frame of the pass, confidence, of all that began]...],...},"begun":N} */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "codec/json.h"
#include "liveness/judge.h"

enum { PHOTO_BYTES = 64 << 20, ARENA_BYTES = 512 << 20, FRAMES = 1000, REST_MS = 3000, CHALLENGE_MS = 10000, LEAST_MS = 2000 };

struct work { struct mien_models *models; struct mien_session *session; struct mien_arena *arena; unsigned wants; };
struct film { int step_ms, first, every, n; struct mien_look look[FRAMES]; };

static enum mien_code open_frame(struct work *w, const char *path, struct mien_look *look, struct mien_err *e)
{
    static const struct mien_face_settings one = {.primary_only = true};
    unsigned char *bytes;
    size_t n;
    struct mien_photo *photo = NULL;
    struct mien_faces faces = {0};
    MIEN_TRY(mien_file_read(path, PHOTO_BYTES, &bytes, &n, e));
    enum mien_code code = mien_photo_open(bytes, n, &MIEN_IMAGE_LIMITS_DEFAULT, &photo, e);
    if (code == MIEN_OK) code = mien_face_analyze(w->models, w->session, photo, w->wants, &one, w->arena, &faces, e);
    if (code == MIEN_OK) {
        look->faces = faces.count;
        look->face = faces.count > 0 ? &faces.face[0] : NULL;
        look->width = mien_photo_width(photo);
        look->height = mien_photo_height(photo);
    }
    mien_photo_free(&photo);
    free(bytes);
    return code;
}

/* The frame in which the challenge that begins at `begin` is passed; -1: it is not. */
static int play(const struct film *f, enum mien_challenge c, int begin, float *confidence)
{
    struct mien_rest rest = {0};
    struct mien_judge j;
    for (int i = begin - REST_MS / f->step_ms < 0 ? 0 : begin - REST_MS / f->step_ms; i < begin; i++) mien_rest_look(&rest, &f->look[i]);
    mien_judge_begin(&j, c, false, &rest);
    for (int i = begin; i < f->n && (i - begin) * f->step_ms <= CHALLENGE_MS; i++) {
        const struct mien_judgement said = mien_judge_look(&j, &f->look[i]);
        *confidence = said.confidence;
        if (said.passed) return i;
    }
    return -1;
}

static void print_challenge(struct mien_jw *w, const struct film *f, enum mien_challenge c, int *begun)
{
    mien_jw_key(w, mien_challenge_name(c));
    mien_jw_array(w);
    *begun = 0;
    for (int begin = f->first; begin == f->first || (f->n - begin) * f->step_ms >= LEAST_MS; begin += f->every) {
        float confidence = 0.0f;
        const int at = play(f, c, begin, &confidence);
        ++*begun;
        if (at >= 0) {
            mien_jw_array(w);
            mien_jw_integer(w, begin);
            mien_jw_integer(w, at);
            mien_jw_number(w, (double)confidence, 3);
            mien_jw_end_array(w);
        }
        if (f->every == 0) break;
    }
    mien_jw_end_array(w);
}

static void print_film(const struct film *f, struct mien_buf *out)
{
    struct mien_jw w;
    int begun = 0, faces = 0;
    for (int i = 0; i < f->n; i++) faces += f->look[i].face != NULL;
    mien_jw_init(&w, out);
    mien_jw_object(&w);
    mien_jw_key(&w, "passed");
    mien_jw_object(&w);
    for (int c = 0; c < MIEN_CHALLENGES; c++) print_challenge(&w, f, (enum mien_challenge)c, &begun);
    mien_jw_end_object(&w);
    mien_jw_key(&w, "frames");
    mien_jw_integer(&w, f->n);
    mien_jw_key(&w, "faces");
    mien_jw_integer(&w, faces);
    mien_jw_key(&w, "begun");
    mien_jw_integer(&w, begun);
    mien_jw_end_object(&w);
    puts(out->data);
    fflush(stdout);
}

static enum mien_code film(struct work *w, char *line, struct film *f, struct mien_buf *out, struct mien_err *e)
{
    char *rest = line, *part;
    int *const number[] = {&f->step_ms, &f->first, &f->every};
    *f = (struct film){0};
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        if ((part = strsep(&rest, "\t\n")) != NULL) *number[i] = atoi(part);
    if (f->step_ms <= 0 || f->first < 0 || f->every < 0)
        return MIEN_FAIL(e, MIEN_E_ARG, "a film begins with milliseconds a frame, first frame, frames between");
    while (f->n < FRAMES && (part = strsep(&rest, "\t\n")) != NULL) {
        if (part[0] == '\0') continue;
        f->look[f->n].at_ms = (int64_t)f->n * f->step_ms;
        MIEN_TRY(open_frame(w, part, &f->look[f->n], e));
        f->n++;
    }
    print_film(f, out);
    return MIEN_OK;
}

static enum mien_code all(struct work *w, struct mien_err *e)
{
    static struct film f;
    char *line = NULL;
    size_t room = 0;
    enum mien_code code = MIEN_OK;
    while (code == MIEN_OK && getline(&line, &room, stdin) >= 0) {
        struct mien_buf out;
        mien_buf_init(&out, 16 << 20);
        w->arena = mien_arena_create(ARENA_BYTES);
        code = film(w, line, &f, &out, e);
        mien_arena_free(&w->arena);
        mien_buf_free(&out);
    }
    free(line);
    return code;
}

int main(int argc, char **argv)
{
    struct work w = {.wants = MIEN_WANT_MESH | MIEN_WANT_POSE | MIEN_WANT_EYES | MIEN_WANT_BLENDSHAPES | MIEN_WANT_EXPRESSION};
    struct mien_err e = {0};
    const struct mien_models_settings settings = {MIEN_PRECISION_AUTO};
    enum mien_code code = argc < 2 ? MIEN_FAIL(&e, MIEN_E_ARG, "usage: run_judge_frames MODELS_DIR [--without-blendshapes] < FILMS")
                                   : mien_models_open(argv[1], &settings, &w.models, &e);
    if (argc > 2 && strcmp(argv[2], "--without-blendshapes") == 0) w.wants &= ~(unsigned)MIEN_WANT_BLENDSHAPES;
    if (code == MIEN_OK) code = mien_session_create(&w.session, &e);
    if (code == MIEN_OK) code = all(&w, &e);
    if (code != MIEN_OK) fprintf(stderr, "run_judge_frames: %s\n", e.msg);
    mien_session_free(&w.session);
    mien_models_free(&w.models);
    return code == MIEN_OK ? 0 : 1;
}
