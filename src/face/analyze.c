/* One photo and a set of wants in, faces out.
 *
 * The wants form a small graph (the blendshapes need the mesh, the quality needs the pose, which comes from the mesh where
 * the pack has one). It is closed first and the models of the result are looked up before the photo is touched, so a missing
 * model is the same error with and without a face. Then each chosen face runs through the parts in dependency order; a part
 * that a face already has is not run again. */
#include "face/inner.h"
#include "face/parts.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"

unsigned mien_wants_closure(unsigned wants, bool has_mesh)
{
    if (wants & (MIEN_WANT_BLENDSHAPES | MIEN_WANT_EYES)) wants |= MIEN_WANT_MESH;
    if (wants & MIEN_WANT_QUALITY) wants |= MIEN_WANT_POSE;
    if ((wants & MIEN_WANT_POSE) && has_mesh) wants |= MIEN_WANT_MESH;
    return wants;
}

static float area(struct mien_box b) { return (b.x1 - b.x0) * (b.y1 - b.y0); }

int mien_faces_best(const struct mien_face *face, int n, bool by_quality)
{
    int best = -1;
    float top = 0.0f;
    for (int i = 0; i < n; i++) {
        if (by_quality && !(face[i].have & MIEN_WANT_QUALITY)) continue;
        float v = by_quality ? face[i].quality.score : face[i].score * area(face[i].box);
        if (best < 0 || v > top) {
            best = i;
            top = v;
        }
    }
    return best;
}

static enum mien_code pose_part(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e)
{
    (void)job;
    (void)e;
    if (f->have & MIEN_WANT_MESH) mien_pose_from_mesh(f->mesh, 0.0f, &f->yaw, &f->pitch, &f->roll);
    else mien_pose_from_points(f->point, &f->yaw, &f->pitch, &f->roll);
    f->have |= MIEN_WANT_POSE;
    return MIEN_OK;
}

static enum mien_code eyes_part(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e)
{
    (void)job;
    (void)e;
    f->ear_left = mien_ear(f->mesh, true);
    f->ear_right = mien_ear(f->mesh, false);
    f->ear = 0.5f * (f->ear_left + f->ear_right);
    f->have |= MIEN_WANT_EYES;
    return MIEN_OK;
}

static enum mien_code embedding_part(const struct mien_face_job *job, struct mien_face *f, struct mien_err *e)
{
    const struct mien_model *m;
    MIEN_TRY(mien_part_model(job->models, MIEN_ROLE_EMBED, &m, e));
    const struct mien_detection d = mien_part_detection(f);
    f->embedding = mien_arena_calloc(job->arena, (size_t)m->dim, sizeof *f->embedding);
    MIEN_FAIL_IF(f->embedding == NULL, e, MIEN_E_NOMEM, "out of memory for the embedding");
    MIEN_TRY(mien_embed_face(job->models, job->session, job->photo, &d, NULL, f->embedding, e));
    f->embedding_dim = m->dim;
    f->have |= MIEN_WANT_EMBEDDING;
    return MIEN_OK;
}

/* In dependency order. `role` is MIEN_ROLE_COUNT for parts that run no network of their own. */
static const struct part {
    unsigned want;
    enum mien_role role;
    enum mien_code (*run)(const struct mien_face_job *, struct mien_face *, struct mien_err *);
} PARTS[] = {
    {MIEN_WANT_MESH, MIEN_ROLE_LANDMARKS, mien_face_mesh},
    {MIEN_WANT_POSE, MIEN_ROLE_COUNT, pose_part},
    {MIEN_WANT_EYES, MIEN_ROLE_COUNT, eyes_part},
    {MIEN_WANT_BLENDSHAPES, MIEN_ROLE_BLENDSHAPES, mien_face_blendshapes},
    {MIEN_WANT_QUALITY, MIEN_ROLE_COUNT, mien_face_quality},
    {MIEN_WANT_EMBEDDING, MIEN_ROLE_EMBED, embedding_part},
    {MIEN_WANT_EXPRESSION, MIEN_ROLE_EXPRESSION, mien_face_expression},
    {MIEN_WANT_AGE_GENDER, MIEN_ROLE_AGE_GENDER, mien_face_age_gender},
    {MIEN_WANT_SPOOF, MIEN_ROLE_SPOOF, mien_face_spoof},
    {MIEN_WANT_DEEPFAKE, MIEN_ROLE_DEEPFAKE, mien_face_deepfake},
    {MIEN_WANT_NET_QUALITY, MIEN_ROLE_QUALITY, mien_face_net_quality},
    {MIEN_WANT_LANDMARKS106, MIEN_ROLE_LANDMARKS106, mien_face_landmarks106},
};
enum { PART_COUNT = sizeof PARTS / sizeof PARTS[0] };

static enum mien_code check_models(const struct mien_models *models, unsigned wants, struct mien_err *e)
{
    const struct mien_model *m;
    for (int i = 0; i < PART_COUNT; i++)
        if ((wants & PARTS[i].want) && PARTS[i].role != MIEN_ROLE_COUNT) MIEN_TRY(mien_part_model(models, PARTS[i].role, &m, e));
    return MIEN_OK;
}

static bool installed(const struct mien_models *models, enum mien_role role)
{
    const struct mien_model *m = mien_models_role(models, role, 0);
    return m != NULL && m->installed;
}

unsigned mien_face_answerable(const struct mien_models *models)
{
    unsigned can = 0;
    if (!installed(models, MIEN_ROLE_DETECT)) return 0;
    for (int i = 0; i < PART_COUNT; i++) {
        const unsigned needs = mien_wants_closure(PARTS[i].want, installed(models, MIEN_ROLE_LANDMARKS));
        if (check_models(models, needs, NULL) == MIEN_OK) can |= PARTS[i].want;
    }
    return can;
}

/* Width, in box sides, of what the input of a model shows; 0 when the box does not say. */
static float reach_of(const struct mien_model *m)
{
    switch (m->crop.kind) {
    case MIEN_CROP_BOX: return m->crop.scale * (m->crop.rotate ? 1.42f : 1.0f);
    case MIEN_CROP_FIT_BOX: return m->crop.scale;
    default: return 0.0f;
    }
}

/* Asks once for the widest region at full resolution that the parts will ask for one by one, so that a JPEG is decoded once for
 * all of them. Only the parts that always look at full resolution count (crop.c): the others may do with the detector's view.
 * Only a hint: a part that needs more still gets it. */
static enum mien_code prefetch(const struct mien_face_job *job, const struct mien_face *f, unsigned wants, struct mien_err *e)
{
    const unsigned full_resolution = MIEN_WANT_QUALITY | MIEN_WANT_SPOOF | MIEN_WANT_DEEPFAKE;
    float reach = 1.0f;
    wants &= full_resolution;
    int readers = (wants & MIEN_WANT_QUALITY) != 0;
    const struct mien_model *m;
    for (int i = 0; i < PART_COUNT; i++)
        for (int k = 0; (wants & PARTS[i].want) && PARTS[i].role != MIEN_ROLE_COUNT && (m = mien_models_role(job->models, PARTS[i].role, k)) != NULL; k++) {
            float r = reach_of(m);
            readers += r > 0.0f;
            reach = fmaxf(reach, r);
        }
    if (readers < 2) return MIEN_OK;
    const float w = (float)mien_photo_width(job->photo), h = (float)mien_photo_height(job->photo);
    const float half = 0.5f * reach * fmaxf(f->box.x1 - f->box.x0, f->box.y1 - f->box.y0) + 2.0f;
    const float cx = 0.5f * (f->box.x0 + f->box.x1), cy = 0.5f * (f->box.y0 + f->box.y1);
    const float x0 = fmaxf(cx - half, 0.0f), y0 = fmaxf(cy - half, 0.0f), x1 = fminf(cx + half, w), y1 = fminf(cy + half, h);
    if (!(x1 - x0 >= 1.0f && y1 - y0 >= 1.0f)) return MIEN_OK;
    const struct mien_image *region;
    int at_x, at_y;
    return mien_photo_region(job->photo, (struct mien_rect){(int)x0, (int)y0, (int)(x1 - x0) + 1, (int)(y1 - y0) + 1}, &region, &at_x, &at_y, e);
}

static enum mien_code run_parts(const struct mien_face_job *job, struct mien_face *f, unsigned wants, struct mien_err *e)
{
    MIEN_TRY(prefetch(job, f, wants & ~f->have, e));
    for (int i = 0; i < PART_COUNT; i++)
        if (wants & PARTS[i].want & ~f->have) MIEN_TRY(PARTS[i].run(job, f, e));
    return MIEN_OK;
}

static enum mien_code fill_faces(struct mien_arena *arena, const struct mien_detection *d, int n, struct mien_faces *out, struct mien_err *e)
{
    out->count = n;
    if (n == 0) return MIEN_OK;
    out->face = mien_arena_calloc(arena, (size_t)n, sizeof *out->face);
    MIEN_FAIL_IF(out->face == NULL, e, MIEN_E_NOMEM, "out of memory for %d faces", n);
    for (int i = 0; i < n; i++) {
        out->face[i].box = d[i].box;
        out->face[i].score = d[i].score;
        memcpy(out->face[i].point, d[i].point, sizeof d[i].point);
    }
    return MIEN_OK;
}

/* Runs the wants on the faces that the settings choose and decides which face is the best. */
static enum mien_code run_faces(const struct mien_face_job *job, unsigned wants, bool has_mesh, const struct mien_face_settings *s,
                                struct mien_faces *out, struct mien_err *e)
{
    int n = s->max_faces > 0 && s->max_faces < out->count ? s->max_faces : out->count;
    if (s->primary_only) {
        out->best = mien_faces_best(out->face, out->count, false);
        return run_parts(job, &out->face[0], wants, e);
    }
    unsigned first = !s->best_only ? wants : n > 1 ? mien_wants_closure(MIEN_WANT_QUALITY, has_mesh) : MIEN_WANT_BOXES;
    for (int i = 0; i < n; i++) MIEN_TRY(run_parts(job, &out->face[i], first, e));
    out->best = mien_faces_best(out->face, n, (first & MIEN_WANT_QUALITY) != 0);
    return s->best_only ? run_parts(job, &out->face[out->best], wants, e) : MIEN_OK;
}

enum mien_code mien_face_analyze(struct mien_models *models, struct mien_session *session, struct mien_photo *photo, unsigned wants,
                                 const struct mien_face_settings *settings, struct mien_arena *arena, struct mien_faces *out,
                                 struct mien_err *e)
{
    const struct mien_face_settings s = settings != NULL ? *settings : MIEN_FACE_SETTINGS_DEFAULT;
    const struct mien_face_job job = {models, session, photo, arena};
    const bool has_mesh = installed(models, MIEN_ROLE_LANDMARKS);
    struct mien_detection *found;
    int n;
    uint64_t start = mien_now_ns();
    *out = (struct mien_faces){.best = -1};
    wants = mien_wants_closure(wants, has_mesh);
    MIEN_TRY(check_models(models, wants, e));
    MIEN_TRY(mien_detect(models, session, photo, &s, arena, &found, &n, e));
    out->detect_ms = mien_elapsed_ms(start);
    MIEN_TRY(fill_faces(arena, found, n, out, e));
    if (n > 0) MIEN_TRY(run_faces(&job, wants, has_mesh, &s, out, e));
    out->total_ms = mien_elapsed_ms(start);
    return MIEN_OK;
}
