/* Everything that the first photo would otherwise wait for: opening networks, building plans, touching work memory. */
#include "face/inner.h"
#include "face/parts.h"

/* Shapes of photos: nothing is found on a blank one, so the detector tries all of its sizes in turn and each becomes a plan. */
static const struct { int w, h; } PHOTOS[] = {{640, 480}, {480, 640}, {640, 640}};

static const struct { unsigned want; enum mien_role role; } NETS[] = {
    {MIEN_WANT_EMBEDDING, MIEN_ROLE_EMBED}, {MIEN_WANT_MESH, MIEN_ROLE_LANDMARKS}, {MIEN_WANT_BLENDSHAPES, MIEN_ROLE_BLENDSHAPES},
    {MIEN_WANT_EXPRESSION, MIEN_ROLE_EXPRESSION}, {MIEN_WANT_AGE_GENDER, MIEN_ROLE_AGE_GENDER}, {MIEN_WANT_SPOOF, MIEN_ROLE_SPOOF},
    {MIEN_WANT_DEEPFAKE, MIEN_ROLE_DEEPFAKE}, {MIEN_WANT_NET_QUALITY, MIEN_ROLE_QUALITY},
    {MIEN_WANT_LANDMARKS106, MIEN_ROLE_LANDMARKS106}};

static enum mien_code warm_detector(struct mien_models *models, struct mien_session *s, int w, int h, struct mien_err *e)
{
    struct mien_image blank;
    struct mien_photo *photo = NULL;
    struct mien_detection *found;
    int n;
    MIEN_TRY(mien_image_alloc(w, h, &blank, e));
    for (int y = 0; y < h; y++)
        for (size_t i = 0; i < 3 * (size_t)w; i++) blank.px[(size_t)y * blank.stride + i] = 0;
    struct mien_arena *arena = mien_arena_create(64 << 20);
    enum mien_code code = arena != NULL ? MIEN_OK : MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory");
    if (code == MIEN_OK) code = mien_photo_from_pixels(&blank, &photo, e);
    if (code == MIEN_OK) code = mien_detect(models, s, photo, &MIEN_FACE_SETTINGS_DEFAULT, arena, &found, &n, e);
    mien_photo_free(&photo);
    mien_arena_free(&arena);
    mien_image_free(&blank);
    return code;
}

static enum mien_code warm_net(struct mien_models *models, struct mien_session *s, const struct mien_model *m, struct mien_err *e)
{
    struct mien_net *net;
    struct mien_exec *x;
    if (m->crop.kind != MIEN_CROP_POINTS) {
        MIEN_TRY(mien_model_exec(models, s, m, m->width, m->height, NULL, &x, e));
    } else {
        const struct mien_shape points = {3, {1, m->crop.n_mesh, 2}};
        MIEN_TRY(mien_models_net(models, m, &net, e));
        MIEN_TRY(mien_session_exec(s, net, &points, 1, &x, e));
    }
    const struct mien_shape shape = mien_exec_input_shape(x, 0);
    float *input = mien_exec_input(x, 0);
    for (int64_t i = 0; i < mien_shape_count(&shape); i++) input[i] = 0.0f;
    return mien_model_run(models, m, x, e);
}

enum mien_code mien_face_warm(struct mien_models *models, struct mien_session *session, unsigned wants, struct mien_err *e)
{
    const struct mien_model *m = mien_models_role(models, MIEN_ROLE_DETECT, 0);
    for (size_t i = 0; m != NULL && m->installed && i < sizeof PHOTOS / sizeof *PHOTOS; i++)
        MIEN_TRY(warm_detector(models, session, PHOTOS[i].w, PHOTOS[i].h, e));
    for (size_t i = 0; i < sizeof NETS / sizeof *NETS; i++)
        for (int k = 0; (wants & NETS[i].want) != 0 && (m = mien_models_role(models, NETS[i].role, k)) != NULL; k++)
            if (m->installed) MIEN_TRY(warm_net(models, session, m, e));
    return MIEN_OK;
}
