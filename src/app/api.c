/* The embeddable library: include/mien.h over the rooms inside.
 *
 * A context holds the models, which all threads share, and a bounded pool of sessions (work memory of one computation). A call
 * takes a free session, makes one while the bound allows, else waits. Everything a call finds lives in one arena that becomes
 * the result's memory; it is wiped when the result is released, as embeddings are personal data.
 *
 * The public header repeats what it needs of the inner types, so that no inner header is part of the interface; the assertions
 * below keep the two in step. */
#include "mien.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/version.h"
#include "face/face.h"

_Static_assert(__builtin_strcmp(MIEN_VERSION, MIEN_VERSION_TEXT) == 0, "one version");
_Static_assert((int)MIEN_GET_EMBEDDING == (int)MIEN_WANT_EMBEDDING && (int)MIEN_GET_MESH == (int)MIEN_WANT_MESH &&
                   (int)MIEN_GET_POSE == (int)MIEN_WANT_POSE && (int)MIEN_GET_EYES == (int)MIEN_WANT_EYES &&
                   (int)MIEN_GET_BLENDSHAPES == (int)MIEN_WANT_BLENDSHAPES && (int)MIEN_GET_QUALITY == (int)MIEN_WANT_QUALITY &&
                   (int)MIEN_GET_EXPRESSION == (int)MIEN_WANT_EXPRESSION && (int)MIEN_GET_AGE_GENDER == (int)MIEN_WANT_AGE_GENDER &&
                   (int)MIEN_GET_SPOOF == (int)MIEN_WANT_SPOOF && (int)MIEN_GET_DEEPFAKE == (int)MIEN_WANT_DEEPFAKE &&
                   (int)MIEN_GET_NET_QUALITY == (int)MIEN_WANT_NET_QUALITY, "MIEN_GET_* and MIEN_WANT_* are one set of bits");
_Static_assert(MIEN_BLENDSHAPE_COUNT == MIEN_BLENDSHAPES && MIEN_EMOTION_COUNT == MIEN_EMOTIONS, "counts of the public header");
_Static_assert(MIEN_LIVE_MODELS == sizeof((struct mien_face *)0)->live_each / sizeof(float), "ensemble size of the public header");

enum {
    MAX_SESSIONS = 256,
    ALL_GETS = MIEN_GET_NET_QUALITY * 2 - 1,
    RESULT_ARENA_BYTES = 256 << 20 /* most memory that the faces of one photo may take: far beyond any real photo */
};

struct mien {
    struct mien_models *models;
    struct mien_settings settings;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t freed;
    struct mien_session **idle; /* stack of sessions that no call uses; room for max_sessions */
    int n_idle, n_made;
};

/* What mien_result_free needs besides what the caller sees. `public_part` comes first: the two addresses are one. */
struct result {
    struct mien_result public_part;
    struct mien_arena *arena;
};

const char *mien_version(void) { return MIEN_VERSION; }

const char *mien_blendshape(int i) { return i >= 0 && i < MIEN_BLENDSHAPES ? mien_blendshape_name[i] : NULL; }
const char *mien_emotion(int i) { return i >= 0 && i < MIEN_EMOTIONS ? mien_emotion_name[i] : NULL; }

const char *mien_status_name(enum mien_status status)
{
    static const char *const NAME[] = {"ok", "invalid_argument", "no_memory", "io_error", "unsupported_image", "invalid_image",
                                       "too_large", "no_face", "model_unavailable", "invalid_model", "internal_error"};
    size_t i = (size_t)status;
    return i < sizeof NAME / sizeof NAME[0] ? NAME[i] : "unknown";
}

static enum mien_status status_of(enum mien_code code)
{
    switch (code) {
    case MIEN_OK: return MIEN_STATUS_OK;
    case MIEN_E_NOMEM: return MIEN_STATUS_NO_MEMORY;
    case MIEN_E_ARG: return MIEN_STATUS_INVALID_ARGUMENT;
    case MIEN_E_IO: return MIEN_STATUS_IO;
    case MIEN_E_LIMIT:
    case MIEN_E_IMAGE_LIMIT: return MIEN_STATUS_TOO_LARGE;
    case MIEN_E_IMAGE_TYPE: return MIEN_STATUS_UNSUPPORTED_IMAGE;
    case MIEN_E_IMAGE_CORRUPT: return MIEN_STATUS_INVALID_IMAGE;
    case MIEN_E_NO_FACE: return MIEN_STATUS_NO_FACE;
    case MIEN_E_MODEL_MISSING: return MIEN_STATUS_MODEL_UNAVAILABLE;
    case MIEN_E_JSON:
    case MIEN_E_MANIFEST:
    case MIEN_E_ONNX_FORMAT:
    case MIEN_E_ONNX_UNSUPPORTED:
    case MIEN_E_ONNX_SHAPE:
    case MIEN_E_ENGINE_UNSUPPORTED:
    case MIEN_E_ENGINE_SHAPE: return MIEN_STATUS_INVALID_MODEL;
    case MIEN_E_INTERNAL:
    case MIEN_E_BASE64: /* the library reads no text, opens no URL and serves nothing */
    case MIEN_E_MULTIPART:
    case MIEN_E_URL_REFUSED:
    case MIEN_E_URL_FETCH:
    case MIEN_E_ADDRESS:
    case MIEN_E_CONFIG:
    case MIEN_E_REQUEST:
    case MIEN_E_TOO_FEW:
    case MIEN_E_SESSION:
    case MIEN_E_KEY: /* nor keeps anybody */
    case MIEN_E_SEAL:
    case MIEN_E_TOKEN:
    case MIEN_E_NOT_ENROLLED:
    case MIEN_E_MODEL_MISMATCH:
    case MIEN_E_RECORD:
    case MIEN_E_STORE:
    case MIEN_E_STORE_LOCKED:
    case MIEN_E_STORE_VERSION: break;
    }
    return MIEN_STATUS_INTERNAL;
}

/* Ends every public call: hands the inner error to the caller. */
static enum mien_status finish(enum mien_code code, const struct mien_err *from, struct mien_error *to)
{
    enum mien_status status = status_of(code);
    if (to == NULL) return status;
    to->status = status;
    snprintf(to->text, sizeof to->text, "%s", code == MIEN_OK ? "" : from->msg);
    return status;
}

/* ---- context ---- */

struct mien_settings mien_settings_default(void)
{
    const struct mien_image_limits limits = MIEN_IMAGE_LIMITS_DEFAULT;
    return (struct mien_settings){.models_dir = "models/local", .max_image_bytes = limits.max_bytes, .max_image_pixels = limits.max_pixels};
}

static enum mien_code check_settings(const struct mien_settings *s, struct mien_err *e)
{
    MIEN_FAIL_IF(s->models_dir == NULL || s->models_dir[0] == '\0', e, MIEN_E_ARG, "settings: models_dir is missing");
    MIEN_FAIL_IF(s->arithmetic != MIEN_ARITHMETIC_AUTO && s->arithmetic != MIEN_ARITHMETIC_FLOAT32, e, MIEN_E_ARG, "settings: arithmetic %d",
                 (int)s->arithmetic);
    MIEN_FAIL_IF(s->max_sessions < 0 || s->max_sessions > MAX_SESSIONS, e, MIEN_E_ARG, "settings: max_sessions must be 0..%d", MAX_SESSIONS);
    MIEN_FAIL_IF(s->max_image_bytes == 0 || s->max_image_pixels == 0, e, MIEN_E_ARG, "settings: an image limit is 0");
    MIEN_FAIL_IF(!(s->min_score >= 0.0f && s->min_score <= 1.0f), e, MIEN_E_ARG, "settings: min_score must be 0..1");
    MIEN_FAIL_IF(s->min_face_px < 0 || s->max_faces < 0, e, MIEN_E_ARG, "settings: min_face_px and max_faces must not be negative");
    return MIEN_OK;
}

static int default_sessions(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > MAX_SESSIONS ? MAX_SESSIONS : (int)n;
}

static enum mien_code open_context(const struct mien_settings *s, struct mien **out, struct mien_err *e)
{
    MIEN_TRY(check_settings(s, e));
    struct mien *m = calloc(1, sizeof *m);
    MIEN_FAIL_IF(m == NULL, e, MIEN_E_NOMEM, "out of memory");
    pthread_mutex_init(&m->lock, NULL); /* default attributes: cannot fail on this system */
    pthread_cond_init(&m->freed, NULL);
    m->settings = *s;
    m->settings.models_dir = NULL; /* the caller's string need not outlive this call */
    if (m->settings.max_sessions == 0) m->settings.max_sessions = default_sessions();
    m->idle = calloc((size_t)m->settings.max_sessions, sizeof(struct mien_session *));
    const struct mien_models_settings ms = {s->arithmetic == MIEN_ARITHMETIC_FLOAT32 ? MIEN_PRECISION_F32 : MIEN_PRECISION_AUTO};
    enum mien_code code = m->idle == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory") : mien_models_open(s->models_dir, &ms, &m->models, e);
    if (code != MIEN_OK) mien_close(&m);
    *out = m;
    return code;
}

enum mien_status mien_open(const struct mien_settings *settings, struct mien **out, struct mien_error *error)
{
    struct mien_err e = {0};
    const struct mien_settings otherwise = mien_settings_default();
    if (out == NULL) return finish(MIEN_FAIL(&e, MIEN_E_ARG, "mien_open: out is NULL"), &e, error);
    *out = NULL;
    return finish(open_context(settings != NULL ? settings : &otherwise, out, &e), &e, error);
}

void mien_close(struct mien **m)
{
    if (m == NULL || *m == NULL) return;
    for (int i = 0; i < (*m)->n_idle; i++) mien_session_free(&(*m)->idle[i]);
    free((*m)->idle);
    mien_models_free(&(*m)->models);
    pthread_cond_destroy(&(*m)->freed);
    pthread_mutex_destroy(&(*m)->lock);
    free(*m);
    *m = NULL;
}

/* ---- the pool ---- */

static void give_session(struct mien *m, struct mien_session *s)
{
    pthread_mutex_lock(&m->lock);
    m->idle[m->n_idle++] = s;
    pthread_cond_signal(&m->freed);
    pthread_mutex_unlock(&m->lock);
}

static enum mien_code take_session(struct mien *m, struct mien_session **out, struct mien_err *e)
{
    *out = NULL;
    pthread_mutex_lock(&m->lock);
    while (m->n_idle == 0 && m->n_made == m->settings.max_sessions) pthread_cond_wait(&m->freed, &m->lock);
    if (m->n_idle > 0) *out = m->idle[--m->n_idle];
    else m->n_made++;
    pthread_mutex_unlock(&m->lock);
    if (*out != NULL) return MIEN_OK;
    enum mien_code code = mien_session_create(out, e);
    if (code != MIEN_OK) { /* the place in the bound goes back, and to whoever waits for it */
        pthread_mutex_lock(&m->lock);
        m->n_made--;
        pthread_cond_signal(&m->freed);
        pthread_mutex_unlock(&m->lock);
    }
    return code;
}

/* ---- analysis ---- */

static enum mien_code open_photo(const struct mien *m, const void *bytes, size_t size, struct mien_photo **photo, struct mien_err *e)
{
    const struct mien_image_limits limits = {m->settings.max_image_bytes, m->settings.max_image_pixels};
    MIEN_FAIL_IF(bytes == NULL || size == 0, e, MIEN_E_ARG, "no image bytes");
    return mien_photo_open(bytes, size, &limits, photo, e);
}

static struct mien_face_settings face_settings(const struct mien *m)
{
    const struct mien_settings *s = &m->settings;
    return (struct mien_face_settings){.min_score = s->min_score, .max_faces = s->max_faces, .min_face_px = s->min_face_px,
                                       .small_faces = s->small_faces, .rotations = s->rotations};
}

static enum mien_code analyze_photo(struct mien *m, struct mien_photo *photo, unsigned get, const struct mien_face_settings *s,
                                    struct mien_arena *arena, struct mien_faces *found, struct mien_err *e)
{
    struct mien_session *session;
    MIEN_TRY(take_session(m, &session, e));
    enum mien_code code = mien_face_analyze(m->models, session, photo, get, s, arena, found, e);
    mien_session_wipe(session);
    give_session(m, session);
    return code;
}

static void fill_public_face(const struct mien_face *f, struct mien_result_face *out)
{
    *out = (struct mien_result_face){
        .have = f->have, .box = {f->box.x0, f->box.y0, f->box.x1, f->box.y1}, .score = f->score,
        .embedding = f->embedding, .embedding_size = f->embedding_dim, .mesh = f->mesh, .mesh_points = f->mesh_points,
        .mesh_presence = f->mesh_presence, .yaw = f->yaw, .pitch = f->pitch, .roll = f->roll, .eye_left = f->ear_left,
        .eye_right = f->ear_right, .quality = f->quality.score, .sharpness = f->quality.laplacian_variance,
        .frontal = f->quality.is_frontal, .net_quality = f->net_quality, .age = f->age, .male = f->male, .live = f->live,
        .live_models = f->n_live, .genuine = f->genuine};
    memcpy(out->points, f->point, sizeof out->points);
    memcpy(out->blendshapes, f->blendshape, sizeof out->blendshapes);
    memcpy(out->emotions, f->emotion, sizeof out->emotions);
    memcpy(out->live_each, f->live_each, sizeof out->live_each);
}

static enum mien_code fill_result(const struct mien_photo *photo, const struct mien_faces *found, struct mien_arena *arena,
                                  struct mien_result **out, struct mien_err *e)
{
    struct result *r = mien_arena_alloc(arena, sizeof *r);
    struct mien_result_face *face = found->count > 0 ? mien_arena_calloc(arena, (size_t)found->count, sizeof *face) : NULL;
    MIEN_FAIL_IF(r == NULL || (found->count > 0 && face == NULL), e, MIEN_E_NOMEM, "out of memory for the result");
    for (int i = 0; i < found->count; i++) fill_public_face(&found->face[i], &face[i]);
    r->arena = arena;
    r->public_part = (struct mien_result){.width = mien_photo_width(photo), .height = mien_photo_height(photo), .face_count = found->count,
                                          .faces = face, .best = found->best, .detect_ms = found->detect_ms, .total_ms = found->total_ms};
    *out = &r->public_part;
    return MIEN_OK;
}

static enum mien_code analyze(struct mien *m, struct mien_photo *photo, unsigned get, struct mien_result **out, struct mien_err *e)
{
    MIEN_FAIL_IF((get & ~(unsigned)ALL_GETS) != 0, e, MIEN_E_ARG, "get: unknown bits");
    struct mien_arena *arena = mien_arena_create(RESULT_ARENA_BYTES);
    MIEN_FAIL_IF(arena == NULL, e, MIEN_E_NOMEM, "out of memory");
    const struct mien_face_settings s = face_settings(m);
    struct mien_faces found;
    enum mien_code code = analyze_photo(m, photo, get, &s, arena, &found, e);
    if (code == MIEN_OK) code = fill_result(photo, &found, arena, out, e);
    if (code != MIEN_OK) mien_arena_wipe_free(&arena);
    return code;
}

enum mien_status mien_analyze_bytes(struct mien *m, const void *bytes, size_t size, unsigned get, struct mien_result **out,
                                    struct mien_error *error)
{
    struct mien_err e = {0};
    struct mien_photo *photo = NULL;
    if (out != NULL) *out = NULL;
    if (m == NULL || out == NULL) return finish(MIEN_FAIL(&e, MIEN_E_ARG, "mien_analyze_bytes: an argument is NULL"), &e, error);
    enum mien_code code = open_photo(m, bytes, size, &photo, &e);
    if (code == MIEN_OK) code = analyze(m, photo, get, out, &e);
    mien_photo_free(&photo);
    return finish(code, &e, error);
}

static enum mien_code photo_of_pixels(const struct mien *m, const struct mien_image *im, struct mien_photo **photo, struct mien_err *e)
{
    MIEN_FAIL_IF(im->px == NULL || im->width < 1 || im->height < 1, e, MIEN_E_ARG, "no pixels");
    MIEN_FAIL_IF(im->stride < 3 * (size_t)im->width, e, MIEN_E_ARG, "stride is less than 3 * width");
    MIEN_FAIL_IF((uint64_t)im->width * (uint64_t)im->height > m->settings.max_image_pixels, e, MIEN_E_IMAGE_LIMIT, "%d x %d pixels are too many",
                 im->width, im->height);
    return mien_photo_from_pixels(im, photo, e);
}

enum mien_status mien_analyze_pixels(struct mien *m, const uint8_t *rgb, int width, int height, size_t stride, unsigned get,
                                     struct mien_result **out, struct mien_error *error)
{
    struct mien_err e = {0};
    struct mien_photo *photo = NULL;
    if (out != NULL) *out = NULL;
    if (m == NULL || out == NULL) return finish(MIEN_FAIL(&e, MIEN_E_ARG, "mien_analyze_pixels: an argument is NULL"), &e, error);
    union { const uint8_t *given; uint8_t *lent; } px = {.given = rgb}; /* a photo over pixels only reads them */
    const struct mien_image im = {px.lent, width, height, stride};
    enum mien_code code = photo_of_pixels(m, &im, &photo, &e);
    if (code == MIEN_OK) code = analyze(m, photo, get, out, &e);
    mien_photo_free(&photo);
    return finish(code, &e, error);
}

void mien_result_free(struct mien_result **r)
{
    if (r == NULL || *r == NULL) return;
    struct mien_arena *arena = ((struct result *)*r)->arena;
    mien_arena_wipe_free(&arena);
    *r = NULL;
}

/* ---- recognition ---- */

static const struct mien_model *embedder(const struct mien *m)
{
    const struct mien_model *model = m != NULL ? mien_models_role(m->models, MIEN_ROLE_EMBED, 0) : NULL;
    return model != NULL && model->installed ? model : NULL;
}

int mien_embedding_size(const struct mien *m) { return embedder(m) != NULL ? embedder(m)->dim : 0; }
const char *mien_embedding_model(const struct mien *m) { return embedder(m) != NULL ? embedder(m)->id : NULL; }

/* Embedding of the best face into out (dim floats). `which` names the photo in the message. */
static enum mien_code embed(struct mien *m, const void *bytes, size_t size, const char *which, float *out, int dim, int *faces,
                            struct mien_err *e)
{
    struct mien_photo *photo = NULL;
    struct mien_faces found = {0};
    struct mien_face_settings s = face_settings(m);
    s.best_only = true;
    MIEN_TRY(open_photo(m, bytes, size, &photo, e));
    struct mien_arena *arena = mien_arena_create(RESULT_ARENA_BYTES);
    enum mien_code code = arena == NULL ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory")
                                        : analyze_photo(m, photo, MIEN_WANT_EMBEDDING, &s, arena, &found, e);
    if (code == MIEN_OK) {
        *faces = found.count;
        const struct mien_face *best = found.best >= 0 ? &found.face[found.best] : NULL;
        if (best == NULL) code = MIEN_FAIL(e, MIEN_E_NO_FACE, "No face detected in %s", which);
        else if (best->embedding_dim != dim) code = MIEN_FAIL(e, MIEN_E_MANIFEST, "the embedding has %d elements, not %d", best->embedding_dim, dim);
        else memcpy(out, best->embedding, (size_t)dim * sizeof *out);
    }
    mien_arena_wipe_free(&arena);
    mien_photo_free(&photo);
    return code;
}

static enum mien_code need_embedder(const struct mien *m, const struct mien_model **model, struct mien_err *e)
{
    MIEN_FAIL_IF(m == NULL, e, MIEN_E_ARG, "the context is NULL");
    *model = embedder(m);
    MIEN_FAIL_IF(*model == NULL, e, MIEN_E_MODEL_MISSING, "no recognition model is installed");
    MIEN_FAIL_IF((*model)->dim < 1 || (*model)->dim > MIEN_MAX_EMBEDDING, e, MIEN_E_MANIFEST, "model \"%s\": dim", (*model)->id);
    return MIEN_OK;
}

static enum mien_code embed_into(struct mien *m, const void *bytes, size_t size, float *out, size_t room, int *faces, struct mien_err *e)
{
    const struct mien_model *model;
    MIEN_TRY(need_embedder(m, &model, e));
    MIEN_FAIL_IF(out == NULL, e, MIEN_E_ARG, "mien_embed: out is NULL");
    MIEN_FAIL_IF(room < (size_t)model->dim, e, MIEN_E_ARG, "mien_embed: room for %zu floats, %d are needed", room, model->dim);
    return embed(m, bytes, size, "image", out, model->dim, faces, e);
}

enum mien_status mien_embed(struct mien *m, const void *bytes, size_t size, float *out, size_t room, int *faces, struct mien_error *error)
{
    struct mien_err e = {0};
    int seen = 0;
    enum mien_code code = embed_into(m, bytes, size, out, room, &seen, &e);
    if (faces != NULL) *faces = seen;
    return finish(code, &e, error);
}

static struct mien_comparison compare(const struct mien_model *model, const float *a, const float *b)
{
    float similarity = mien_similarity_cosine(a, b, model->dim);
    return (struct mien_comparison){.similarity = similarity, .threshold = model->threshold, .threshold_fmr = model->threshold_fmr,
                                    .confidence = mien_match_confidence(model, similarity), .match = similarity >= model->threshold};
}

static enum mien_code compare_photos(struct mien *m, const void *const bytes[2], const size_t size[2], struct mien_comparison *out,
                                     struct mien_err *e)
{
    const struct mien_model *model;
    int faces[2] = {0, 0};
    MIEN_TRY(need_embedder(m, &model, e));
    MIEN_FAIL_IF(out == NULL, e, MIEN_E_ARG, "mien_compare: out is NULL");
    float *both = calloc(2 * (size_t)model->dim, sizeof *both);
    MIEN_FAIL_IF(both == NULL, e, MIEN_E_NOMEM, "out of memory");
    float *embedding[2] = {both, both + model->dim};
    enum mien_code code = MIEN_OK;
    for (int i = 0; i < 2 && code == MIEN_OK; i++)
        code = embed(m, bytes[i], size[i], i == 0 ? "the first image" : "the second image", embedding[i], model->dim, &faces[i], e);
    if (code == MIEN_OK) *out = compare(model, embedding[0], embedding[1]);
    memcpy(out->faces, faces, sizeof faces);
    explicit_bzero(both, 2 * (size_t)model->dim * sizeof *both);
    free(both);
    return code;
}

enum mien_status mien_compare(struct mien *m, const void *bytes_a, size_t size_a, const void *bytes_b, size_t size_b,
                              struct mien_comparison *out, struct mien_error *error)
{
    struct mien_err e = {0};
    if (out != NULL) *out = (struct mien_comparison){0};
    enum mien_code code = compare_photos(m, (const void *const[2]){bytes_a, bytes_b}, (const size_t[2]){size_a, size_b}, out, &e);
    return finish(code, &e, error);
}

enum mien_status mien_compare_embeddings(const struct mien *m, const float *a, const float *b, struct mien_comparison *out,
                                         struct mien_error *error)
{
    struct mien_err e = {0};
    const struct mien_model *model;
    enum mien_code code = need_embedder(m, &model, &e);
    if (code == MIEN_OK && (a == NULL || b == NULL || out == NULL))
        code = MIEN_FAIL(&e, MIEN_E_ARG, "mien_compare_embeddings: an argument is NULL");
    if (out != NULL) *out = (struct mien_comparison){0};
    if (code == MIEN_OK) *out = compare(model, a, b);
    return finish(code, &e, error);
}
