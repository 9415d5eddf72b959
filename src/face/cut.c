/* Pictures that are cut to a face already (FER2013, AffectNet and most data sets of expressions): the network gets the picture itself.
 *
 * The cropping code stays in the path, so that filters and colours are those of photos: it is given the face whose crop, by the model's own rule, is the whole
 * picture. A picture that is not square is put in the middle of a square one. */
#include "face/parts.h"

#include <math.h>

/* Where the points of an aligned face lie when its crop is the square of `side` whose top left is at (x0, y0). */
static void place_points(const struct mien_model *m, float x0, float y0, float side, float point[10])
{
    const float scale = side / (float)m->width;
    float at[10];
    for (int i = 0; i < 2 * m->crop.n_points && i < 10; i++)
        at[i] = (m->crop.template_xy[i] + 0.5f) * scale - 0.5f + (i % 2 == 0 ? x0 : y0);
    for (int i = 0; i < 10; i++) point[i] = m->crop.points == MIEN_POINTS_FIVE || i < 4 ? at[i] : at[4 + i % 2]; /* the third of three: the mouth's centre */
}

enum mien_code mien_cut_place(const struct mien_model *m, const struct mien_photo *photo, struct mien_face *f, struct mien_err *e)
{
    const struct mien_crop_rule *c = &m->crop;
    const float w = (float)mien_photo_width(photo), h = (float)mien_photo_height(photo), side = fmaxf(w, h);
    const float x0 = 0.5f * (w - side), y0 = 0.5f * (h - side);
    for (int i = 0; i < 10; i++) f->point[i] = 0.0f; /* eyes on one spot turn no crop */
    f->box = (struct mien_box){0.0f, 0.0f, w, h};
    if (c->kind == MIEN_CROP_BOX) {
        const float face = side / c->scale, x = 0.5f * (w - face), y = 0.5f * (h - face) - c->shift_y * face;
        f->box = (struct mien_box){x, y, x + face, y + face};
        return MIEN_OK;
    }
    if (c->kind == MIEN_CROP_FIT_BOX) return MIEN_OK; /* it ends at the picture's edges */
    MIEN_FAIL_IF(c->kind != MIEN_CROP_ALIGN || c->points == MIEN_POINTS_LANDMARKS68, e, MIEN_E_ARG,
                 "model \"%s\": its crop needs more than the picture of a face", m->id);
    place_points(m, x0, y0, side, f->point);
    return MIEN_OK;
}

enum mien_code mien_face_of_cut(struct mien_models *models, struct mien_session *session, struct mien_photo *photo, unsigned wants,
                                struct mien_arena *arena, struct mien_face *out, struct mien_err *e)
{
    static const struct {
        unsigned want;
        enum mien_role role;
        enum mien_code (*run)(const struct mien_face_job *, struct mien_face *, struct mien_err *);
    } PART[] = {
        {MIEN_WANT_EXPRESSION, MIEN_ROLE_EXPRESSION, mien_face_expression}, {MIEN_WANT_AGE_GENDER, MIEN_ROLE_AGE_GENDER, mien_face_age_gender}};
    const struct mien_face_job job = {models, session, photo, arena};
    const struct mien_model *m;
    *out = (struct mien_face){.score = 1.0f};
    MIEN_FAIL_IF((wants & ~(PART[0].want | PART[1].want)) != 0, e, MIEN_E_ARG, "only expression, age and gender can be told from a picture cut to a face");
    for (int i = 0; i < 2; i++) {
        if ((wants & PART[i].want) == 0) continue;
        MIEN_TRY(mien_part_model(models, PART[i].role, &m, e));
        MIEN_TRY(mien_cut_place(m, photo, out, e));
        MIEN_TRY(PART[i].run(&job, out, e));
    }
    return MIEN_OK;
}
