/* The scores of a proof of life, gathered frame by frame. What each constant was measured on: docs/liveness.md, "Scores of a live session". */
#include "liveness/proof_score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct mien_proof_settings mien_proof_settings_default(void)
{
    return (struct mien_proof_settings){.fusion = mien_fusion_settings_default(),
                                        .weight_liveness = 0.50f,
                                        .weight_emotion = 0.25f,
                                        .weight_deepfake = 0.25f,
                                        .pass = 0.70f,
                                        .deepfake_floor = 0.5f};
}

/* ---- the newest values of one kind ---- */

enum { NEWEST = 32 };
struct series { float value[NEWEST]; int n; /* ever added; the newest NEWEST are kept */ };

static int kept(const struct series *s) { return s->n < NEWEST ? s->n : NEWEST; }

static void add(struct series *s, float v)
{
    s->value[s->n % NEWEST] = isfinite(v) ? fminf(fmaxf(v, 0.0f), 1.0f) : 0.0f;
    s->n = s->n < 2 * NEWEST - 1 ? s->n + 1 : NEWEST; /* never overflows, and keeps its place in the ring */
}

/* Absent with fewer than `at_least`. */
static struct mien_modality mean(const struct series *s, int at_least)
{
    float sum = 0.0f;
    if (kept(s) < at_least) return (struct mien_modality){0};
    for (int i = 0; i < kept(s); i++) sum += s->value[i];
    return (struct mien_modality){true, sum / (float)kept(s)};
}

/* Mean step from each to the next. */
static float mean_change(const struct series *s)
{
    float sum = 0.0f;
    for (int i = s->n - kept(s) + 1; i < s->n; i++) sum += fabsf(s->value[i % NEWEST] - s->value[(i - 1) % NEWEST]);
    return kept(s) > 1 ? sum / (float)(kept(s) - 1) : 0.0f;
}

/* ---- state ---- */

/* Movement is judged over windows of frames that lie SAMPLE_MS apart: between frames of one tenth of a second lids and lips move no farther than the mesh
 * network's jitter. A window begins with the last frame of the one before. */
enum { WINDOW_PAIRS = 5, SAMPLE_MS = 250 };

/* A transition is looked at over PATH_STEPS steps from frame to frame, while frames come fast enough to see it. */
enum { PATH_STEPS = 4, STEP_MS = 250 };
struct transitions {
    float shape[MIEN_BLENDSHAPES]; /* of the frame before */
    int64_t at_ms;
    bool has_shape;
    float step[PATH_STEPS];
    int steps;                     /* in a row; the newest PATH_STEPS are kept */
    double weight, uneven;         /* sums over all transitions so far, the longer ones weigh more */
};

struct mien_proof_score {
    struct mien_proof_settings settings;
    unsigned looks;
    struct mien_movement movement; /* of the window so far */
    int64_t sampled_ms;
    struct transitions expression;
    struct series depth, motion, antispoof, confidence, match, genuine;
};

struct mien_proof_score *mien_proof_score_create(const struct mien_proof_settings *s)
{
    struct mien_proof_score *p = calloc(1, sizeof *p);
    if (p != NULL) p->settings = *s;
    return p;
}

void mien_proof_score_free(struct mien_proof_score **p)
{
    if (*p != NULL) explicit_bzero(*p, sizeof **p);
    free(*p);
    *p = NULL;
}

/* One costly network a frame, in turn. */
unsigned mien_proof_score_wants(const struct mien_proof_score *p)
{
    static const unsigned turn[] = {MIEN_WANT_EXPRESSION, MIEN_WANT_SPOOF, MIEN_WANT_EXPRESSION, MIEN_WANT_DEEPFAKE};
    return turn[p->looks % (sizeof turn / sizeof *turn)];
}

/* Of a smaller face the mesh network's jitter looks like movement, and the deepfake networks, which were trained on crops of 256 pixels, see blur. Faces that
 * the judges of challenges take (36 pixels between the eyes) are larger. */
#define LEAST_FACE 80.0f

static bool is_large(const struct mien_face *f) { return fminf(f->box.x1 - f->box.x0, f->box.y1 - f->box.y0) >= LEAST_FACE; }

/* ---- depth and movement ---- */

static void end_window(struct mien_proof_score *p)
{
    const struct mien_modality motion = mien_movement_score(&p->settings.fusion, &p->movement);
    if (motion.present) add(&p->motion, motion.score);
    p->movement.moving = p->movement.still = p->movement.warp = 0.0;
    p->movement.pairs = 0;
}

static void take_mesh(struct mien_proof_score *p, const struct mien_look *look)
{
    const struct mien_face *f = look->face;
    const struct mien_frame frame = {.face = f, .photo_width = look->width, .photo_height = look->height};
    if (f->mesh == NULL || f->mesh_points < MIEN_MOVEMENT_POINTS || !(f->mesh_presence >= 0.5f) || !is_large(f)) return;
    if (p->movement.known && look->at_ms - p->sampled_ms < SAMPLE_MS) return;
    const struct mien_modality depth = mien_depth_score(&p->settings.fusion, &frame);
    if (depth.present) add(&p->depth, depth.score);
    mien_movement_add(&p->movement, f);
    p->sampled_ms = look->at_ms;
    if (p->movement.pairs == WINDOW_PAIRS) end_window(p);
}

/* ---- smoothness of expressions ---- */

/* The lids are left out: a blink is over within a frame or two. */
enum { FIRST_EYE = 9, LAST_EYE = 22 };
#define MOVED 0.5 /* shorter paths are jitter */

static float shape_change(const float *a, const float *b)
{
    float sum = 0.0f;
    for (int i = 1; i < MIEN_BLENDSHAPES; i++)
        if (i < FIRST_EYE || i > LAST_EYE) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrtf(sum);
}

/* How unevenly the path over the last steps, each as if it had taken 100 ms, is spread: 0 = each the same, 1 = all in one, as in a cut. */
static void add_transition(struct transitions *t)
{
    double path = 0.0, longest = 0.0;
    for (int i = 0; i < PATH_STEPS; i++) {
        path += (double)t->step[i];
        longest = fmax(longest, (double)t->step[i]);
    }
    if (!(path >= MOVED)) return;
    t->weight += path * path;
    t->uneven += path * path * (longest / path - 1.0 / PATH_STEPS) / (1.0 - 1.0 / PATH_STEPS);
}

static void take_shapes(struct transitions *t, const struct mien_look *look)
{
    const float *shape = look->face->blendshape;
    const int64_t ms = look->at_ms - t->at_ms;
    if (!t->has_shape || ms <= 0 || ms > STEP_MS) t->steps = 0;
    else t->step[t->steps++ % PATH_STEPS] = shape_change(shape, t->shape) * 100.0f / (float)ms; /* frames may be lost on the way */
    if (t->steps == 2 * PATH_STEPS) t->steps = PATH_STEPS;
    if (t->steps >= PATH_STEPS) add_transition(t);
    memcpy(t->shape, shape, sizeof t->shape);
    t->at_ms = look->at_ms;
    t->has_shape = true;
}

#define LEAST_WEIGHT 10.0
#define CUTS 0.3f   /* evenness of most slide shows */
#define SMOOTH 0.6f /* of people */

static struct mien_modality smoothness(const struct transitions *t)
{
    if (t->weight < LEAST_WEIGHT) return (struct mien_modality){0};
    const float even = 1.0f - (float)(t->uneven / t->weight);
    return (struct mien_modality){true, fminf(fmaxf((even - CUTS) / (SMOOTH - CUTS), 0.0f), 1.0f)};
}

/* ---- networks ---- */

/* The networks were trained on as many forged faces as genuine ones; among sessions one in FORGED_ONE_IN is taken to be forged. The same evidence under the
 * other prior (Saerens et al. 2002). */
#define FORGED_ONE_IN 100.0f

static float under_our_prior(float genuine) { return genuine * (FORGED_ONE_IN - 1.0f) / (genuine * (FORGED_ONE_IN - 2.0f) + 1.0f); }

static void take_networks(struct mien_proof_score *p, const struct mien_face *f)
{
    float surest = 0.0f;
    for (int i = 0; i < MIEN_EMOTIONS; i++) surest = fmaxf(surest, f->emotion[i]);
    if ((f->have & MIEN_WANT_EXPRESSION) != 0) add(&p->confidence, surest);
    if ((f->have & MIEN_WANT_SPOOF) != 0) add(&p->antispoof, f->live);
    if ((f->have & MIEN_WANT_DEEPFAKE) != 0 && is_large(f)) add(&p->genuine, under_our_prior(f->genuine));
}

void mien_proof_score_look(struct mien_proof_score *p, const struct mien_look *look)
{
    if (look->face == NULL) return;
    p->looks++;
    take_mesh(p, look);
    if ((look->face->have & MIEN_WANT_BLENDSHAPES) != 0) take_shapes(&p->expression, look);
    take_networks(p, look->face);
}

void mien_proof_score_challenge(struct mien_proof_score *p, bool is_expression, bool passed, float confidence)
{
    if (is_expression) add(&p->match, passed ? confidence : 0.0f);
}

/* ---- the scores ---- */

/* A face that does not move by itself is a picture, whatever the networks say. With liveness at this cap no session passes:
 * 0.50 x 0.35 + 0.25 + 0.25 = 0.675. */
#define MOTIONLESS 0.2f
#define MOTIONLESS_CAP 0.35f
enum { FEW_EXPRESSIONS = 3, FEW_GENUINE = 3, ENOUGH_GENUINE = 8 };
#define UNSTEADY 0.5f /* share of the mean change from one scored frame to the next that is taken off */

static struct mien_modality liveness(const struct mien_proof_score *p)
{
    struct mien_liveness l = {.depth = mean(&p->depth, 1), .motion = mean(&p->motion, 1), .antispoof = mean(&p->antispoof, 1)};
    if (!l.motion.present) return (struct mien_modality){0};
    mien_liveness_weigh(&p->settings.fusion, &l);
    if (l.motion.score < MOTIONLESS) l.score = fminf(l.score, MOTIONLESS_CAP);
    return (struct mien_modality){true, l.score};
}

/* Never more than the smoothness: an expression that jumps is a picture that was exchanged. */
static struct mien_modality emotion(const struct mien_proof_score *p)
{
    const struct mien_modality smooth = smoothness(&p->expression), sure = mean(&p->confidence, FEW_EXPRESSIONS);
    const struct mien_weighed parts[] = {{smooth, 1.0f}, {sure, 1.0f}, {mean(&p->match, 1), 1.0f}};
    const float score = mien_mean_of_present(parts, 3);
    return (struct mien_modality){sure.present, smooth.present ? fminf(score, smooth.score) : score};
}

/* Unsteadiness lowers the score to the floor at most, never below: people on bad pictures flicker, and only what is low throughout ends a session. */
static struct mien_modality deepfake(const struct mien_proof_score *p)
{
    const struct mien_modality m = mean(&p->genuine, FEW_GENUINE);
    const float lowered = m.score - UNSTEADY * mean_change(&p->genuine);
    return (struct mien_modality){m.present, fmaxf(lowered, fminf(m.score, p->settings.deepfake_floor))};
}

struct mien_proof_scores mien_proof_score_now(const struct mien_proof_score *p)
{
    const struct mien_proof_settings *s = &p->settings;
    struct mien_proof_scores now = {.liveness = liveness(p), .emotion = emotion(p), .deepfake = deepfake(p)};
    const struct mien_weighed parts[] = {{now.liveness, s->weight_liveness}, {now.emotion, s->weight_emotion}, {now.deepfake, s->weight_deepfake}};
    if (now.liveness.present) now.final = mien_mean_of_present(parts, 3); /* nothing stands in for liveness */
    now.deepfake_detected = kept(&p->genuine) >= ENOUGH_GENUINE && now.deepfake.score < s->deepfake_floor;
    return now;
}
