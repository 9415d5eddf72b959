/* Members that several answers share. */
#include <math.h>
#include "service/call.h"

enum { EMBEDDING_DECIMALS = 8 /* a float32 of a vector of length 1 holds no more */ };

void mien_put_text(struct mien_call *c, const char *key, const char *value)
{
    mien_jw_put_string(c->json, key, value);
}

void mien_put_bool(struct mien_call *c, const char *key, bool value)
{
    mien_jw_key(c->json, key);
    mien_jw_bool(c->json, value);
}

void mien_put_integer(struct mien_call *c, const char *key, int64_t value)
{
    mien_jw_put_integer(c->json, key, value);
}

void mien_put_fixed(struct mien_call *c, const char *key, double value, int decimals)
{
    mien_jw_key(c->json, key);
    mien_jw_fixed(c->json, value, decimals);
}

void mien_put_quality(struct mien_call *c, const char *key, const struct mien_quality *q, const struct mien_face *face)
{
    mien_jw_key(c->json, key);
    mien_jw_object(c->json);
    mien_put_fixed(c, "score", (double)q->score, 3);
    mien_put_fixed(c, "blur", 1.0 - (double)q->sharpness, 3);
    mien_put_fixed(c, "pose_yaw", (double)face->yaw, 1);
    mien_put_fixed(c, "pose_pitch", (double)face->pitch, 1);
    mien_put_fixed(c, "pose_roll", (double)face->roll, 1);
    mien_put_integer(c, "face_size", llround((double)q->face_size));
    mien_put_bool(c, "is_frontal", q->is_frontal);
    mien_jw_end_object(c->json);
}

/* Edges are rounded, so that two boxes that share an edge still do. */
void mien_put_box_members(struct mien_call *c, struct mien_box box)
{
    const long long x0 = llround((double)box.x0), y0 = llround((double)box.y0);
    mien_put_integer(c, "x", x0);
    mien_put_integer(c, "y", y0);
    mien_put_integer(c, "width", llround((double)box.x1) - x0);
    mien_put_integer(c, "height", llround((double)box.y1) - y0);
}

void mien_put_box(struct mien_call *c, const char *key, const struct mien_box *box)
{
    mien_jw_key(c->json, key);
    if (box == NULL) {
        mien_jw_null(c->json);
        return;
    }
    mien_jw_object(c->json);
    mien_put_box_members(c, *box);
    mien_jw_end_object(c->json);
}

void mien_put_embedding(struct mien_call *c, const char *key, const float *v, int dim)
{
    mien_jw_key(c->json, key);
    mien_jw_array(c->json);
    for (int i = 0; i < dim; i++) mien_jw_fixed(c->json, (double)v[i], EMBEDDING_DECIMALS);
    mien_jw_end_array(c->json);
}

void mien_put_issues(struct mien_call *c, const char *key, const char *const *issue, int n)
{
    mien_jw_key(c->json, key);
    mien_jw_array(c->json);
    for (int i = 0; i < n; i++) mien_jw_string(c->json, issue[i]);
    mien_jw_end_array(c->json);
}
