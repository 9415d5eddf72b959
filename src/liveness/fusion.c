/* Liveness of frames out of its parts, and the fused decision. Why the weights and the caps are what they are: docs/liveness.md. */
#include "liveness/fusion.h"

#include <math.h>
#include <stddef.h>

/* Liveness of a frame in which one part is a clear sign of an attack is at most this, below what /enroll and /verify take: three parts that were deceived
 * must not outvote the one that was not. */
#define CLEAR_SPOOF_CAP 0.35f
#define CLEAR_SPOOF 0.3f       /* anti-spoofing score below; the limit of /antispoof */
#define CLEARLY_FLAT 0.2f      /* depth score below: the nose stands out by less than half the threshold */
#define TEXTURE_CAP 0.4f

struct mien_fusion_settings mien_fusion_settings_default(void)
{
    return (struct mien_fusion_settings){.weight_rgb = 0.40f,
                                         .weight_depth = 0.25f,
                                         .weight_liveness = 0.20f,
                                         .weight_motion = 0.15f,
                                         .accept = 0.85f,
                                         .reject = 0.45f,
                                         .live_depth = 0.25f,
                                         .live_motion = 0.35f,
                                         .live_blink = 0.25f,
                                         .live_texture = 0.15f,
                                         .live_antispoof = 0.50f,
                                         .texture_spoof_threshold = 0.35f,
                                         .depth_consistency_threshold = 0.12f,
                                         .micro_motion_min_variance = 1e-4f,
                                         .enroll_liveness = 0.5f,
                                         .verify_liveness = 0.4f,
                                         .enroll_min_samples = 3};
}

float mien_mean_of_present(const struct mien_weighed *part, int n)
{
    float sum = 0.0f, weight = 0.0f;
    for (int i = 0; i < n; i++) {
        if (!part[i].value.present) continue;
        sum += part[i].weight * part[i].value.score;
        weight += part[i].weight;
    }
    return weight > 0.0f ? sum / weight : 0.0f;
}

#define MEAN_OF_PRESENT(parts) mien_mean_of_present(parts, (int)(sizeof(parts) / sizeof *(parts)))

static struct mien_modality seen(float score)
{
    return (struct mien_modality){true, isfinite(score) ? fminf(fmaxf(score, 0.0f), 1.0f) : 0.0f};
}

static void cap(struct mien_liveness *l, bool applies, float limit)
{
    if (!applies || l->score <= limit) return;
    l->score = limit;
    l->capped = true;
}

static bool is_below(struct mien_modality m, float limit) { return m.present && m.score < limit; }

void mien_liveness_weigh(const struct mien_fusion_settings *s, struct mien_liveness *l)
{
    const struct mien_weighed parts[] = {
        {l->depth, s->live_depth}, {l->motion, s->live_motion}, {l->blink, s->live_blink}, {l->texture, s->live_texture}, {l->antispoof, s->live_antispoof}};
    l->capped = false;
    l->score = MEAN_OF_PRESENT(parts);
    cap(l, is_below(l->texture, s->texture_spoof_threshold), TEXTURE_CAP);
    cap(l, is_below(l->antispoof, CLEAR_SPOOF), CLEAR_SPOOF_CAP);
}

struct mien_liveness mien_liveness_of_frame(const struct mien_fusion_settings *s, const struct mien_frame *frames, int n, int i)
{
    struct mien_liveness l = {0};
    if (i < 0 || i >= n) return l;
    const struct mien_frame *f = &frames[i];
    l.depth = mien_depth_score(s, f);
    l.motion = mien_motion_score(s, frames, i + 1);
    l.blink = mien_blink_score(frames, i + 1);
    l.texture = seen(f->cues.texture_complexity);
    if ((f->face->have & MIEN_WANT_SPOOF) != 0) l.antispoof = seen(f->face->live);
    mien_liveness_weigh(s, &l);
    cap(&l, f->depth != NULL && is_below(l.depth, CLEARLY_FLAT), CLEAR_SPOOF_CAP); /* a mesh can be flat by mistake: heads far turned */
    return l;
}

float mien_fuse(const struct mien_fusion_settings *s, struct mien_modality rgb, struct mien_modality depth, struct mien_modality liveness,
                struct mien_modality motion)
{
    const struct mien_weighed parts[] = {{rgb, s->weight_rgb}, {depth, s->weight_depth}, {liveness, s->weight_liveness}, {motion, s->weight_motion}};
    return MEAN_OF_PRESENT(parts);
}

enum mien_decision mien_decide(const struct mien_fusion_settings *s, float fused)
{
    if (fused >= s->accept) return MIEN_ACCEPT;
    return fused > s->reject ? MIEN_RE_VERIFY : MIEN_REJECT; /* NaN is no ground to let anybody in */
}

const char *mien_decision_name(enum mien_decision d)
{
    static const char *const name[] = {[MIEN_REJECT] = "reject", [MIEN_RE_VERIFY] = "re_verify", [MIEN_ACCEPT] = "accept"};
    return name[d];
}
