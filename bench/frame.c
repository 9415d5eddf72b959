/* What one frame of a live session costs on one core: a JPEG through detection, mesh, blendshapes, expression, anti-spoofing, deepfake and embedding networks.
 *
 *   frame MODELS-DIR RUNS PHOTO...   median milliseconds of this thread's processor time, for each set of parts, as JSON; other load does not count */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/file.h"
#include "engine/engine.h"
#include "face/face.h"

enum { MAX_RUNS = 2000, WARM_UP = 5, ARENA_BYTES = 64 << 20 };

static const unsigned LIVE = MIEN_WANT_MESH | MIEN_WANT_POSE | MIEN_WANT_EYES | MIEN_WANT_BLENDSHAPES;
static const struct { const char *name; unsigned wants; int size; } SETS[] = {
    {"boxes_640", MIEN_WANT_BOXES, 640},
    {"boxes_320", MIEN_WANT_BOXES, 320},
    {"boxes_192", MIEN_WANT_BOXES, 192},
    {"mesh_320", LIVE, 320},
    {"spoof_320", MIEN_WANT_SPOOF, 320},
    {"deepfake_320", MIEN_WANT_DEEPFAKE, 320},
    {"expression_320", MIEN_WANT_EXPRESSION, 320},
    {"embedding_320", MIEN_WANT_EMBEDDING, 320},
    {"mesh_blendshapes_spoof_deepfake_320", LIVE | MIEN_WANT_SPOOF | MIEN_WANT_DEEPFAKE, 320},
    {"mesh_blendshapes_spoof_deepfake_640", LIVE | MIEN_WANT_SPOOF | MIEN_WANT_DEEPFAKE, 640},
    {"everything_320", LIVE | MIEN_WANT_SPOOF | MIEN_WANT_DEEPFAKE | MIEN_WANT_EXPRESSION | MIEN_WANT_EMBEDDING, 320},
};

static void stop(const struct mien_err *e)
{
    fprintf(stderr, "frame: %s\n", e->msg);
    exit(2);
}

static double thread_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void analyze(struct mien_models *models, struct mien_session *session, const struct mien_file *file, size_t set)
{
    struct mien_err e = {0};
    struct mien_photo *photo = NULL;
    struct mien_faces faces;
    const struct mien_image_limits limits = MIEN_IMAGE_LIMITS_DEFAULT;
    const struct mien_face_settings settings = {.primary_only = true, .detection_size = SETS[set].size};
    struct mien_arena *arena = mien_arena_create(ARENA_BYTES);
    if (mien_photo_open(file->data, file->size, &limits, &photo, &e) != MIEN_OK) stop(&e);
    if (mien_face_analyze(models, session, photo, SETS[set].wants, &settings, arena, &faces, &e) != MIEN_OK) stop(&e);
    if (faces.count != 1) fprintf(stderr, "frame: %d faces\n", faces.count);
    mien_photo_free(&photo);
    mien_arena_free(&arena);
}

int main(int argc, char **argv)
{
    static double ms[MAX_RUNS];
    struct mien_err e = {0};
    struct mien_models *models = NULL;
    struct mien_session *session = NULL;
    struct mien_file file;
    const struct mien_models_settings how = {MIEN_PRECISION_AUTO};
    const int runs = argc == 4 ? (int)strtol(argv[2], NULL, 10) : 0;
    if (runs < 1 || runs > MAX_RUNS) {
        fprintf(stderr, "usage: frame MODELS-DIR RUNS PHOTO\n");
        return 2;
    }
    if (mien_models_open(argv[1], &how, &models, &e) != MIEN_OK || mien_session_create(&session, &e) != MIEN_OK) stop(&e);
    if (mien_file_map(argv[3], 64u << 20, &file, &e) != MIEN_OK) stop(&e);
    printf("{");
    for (size_t set = 0; set < sizeof SETS / sizeof SETS[0]; set++) {
        for (int i = 0; i < WARM_UP; i++) analyze(models, session, &file, set);
        for (int i = 0; i < runs; i++) {
            const double start = thread_ms();
            analyze(models, session, &file, set);
            ms[i] = thread_ms() - start;
        }
        qsort(ms, (size_t)runs, sizeof ms[0], by_value);
        printf("%s\"%s\": %.2f", set > 0 ? ", " : "", SETS[set].name, ms[runs / 2]);
    }
    printf("}\n");
    mien_file_unmap(&file);
    mien_session_free(&session);
    mien_models_free(&models);
    return 0;
}
