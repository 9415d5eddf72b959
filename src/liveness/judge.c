/* Whether a challenge happens over frames. What a frame shows comes as one value (judge_signs.h): 0 at rest, 1 done. Here it is followed through time:
 *
 *     AWAY ---- value below NEAR ----> READY ---- value 1, held, on a way without a jump, by somebody alive ----> passed
 *      ^                                 |
 *      +---- jump, face lost, gap -------+
 *
 * A challenge begins at rest, so that a photo which shows it from the start has not done it; it goes through what lies between, so that a cut to another
 * photo has not done it either; and where a moved photograph would look the same (head, neutral face), lids or lips must have moved on their own. */
#include "liveness/judge.h"

#include <math.h>
#include <string.h>
#include "liveness/judge_signs.h"

enum state { AWAY, TOO_FAST /* away after a jump */, READY, CLOSED /* eyes, of a blink */ };

static const float NEAR = 0.4f;           /* near enough to rest */
static const float STAYS = 0.85f;         /* once done, it counts as held down to this */
static const float LARGEST_STEP = 0.85f;   /* of the whole way, between two frames: more is a jump */
static const int GAP_MS = 700;            /* without a frame: what came before says nothing */
static const int OWN_REST_MS = 300;
static const int BLINK_MS = 500;          /* longest time with closed eyes; longer is not a blink */
static const int MOVEMENT_MS = 200;       /* apart: faster frames hold more jitter than movement */
static const float SAME_POSE_DEG = 8.0f;  /* a nod closes the eyes of a photograph, too */
static const float FACING_DEG = 13.0f;    /* faces are read well that far from their rest */
static const float FAR_TURNED_DEG = 35.0f;
static const float ALIVE = 0.5f;          /* of mien_movement_score, over at least so many pairs of frames */
enum { ALIVE_PAIRS = 5 };
static const float NEAR_ENOUGH_PX = 36.0f; /* between the eyes: the mesh of smaller faces trembles like a live one */

/* ---- what there is ---- */

enum kind { HEAD, FACE, EYES_SHUT, BLINK, STILL_FACE };
struct rule { const char *name, *instruction, *further; enum kind kind; int hold_ms; };

static const struct rule rule_of[MIEN_CHALLENGES] = {
    [MIEN_NOD_UP] = {"nod_up", "Nod your head up", "A little further up", HEAD, 200},
    [MIEN_NOD_DOWN] = {"nod_down", "Nod your head down", "A little further down", HEAD, 200},
    [MIEN_TURN_LEFT] = {"turn_left", "Turn your head to the left", "Turn a little further to your left", HEAD, 200},
    [MIEN_TURN_RIGHT] = {"turn_right", "Turn your head to the right", "Turn a little further to your right", HEAD, 200},
    [MIEN_TILT_LEFT] = {"tilt_left", "Tilt your head to your left shoulder", "Tilt a little further to your left", HEAD, 200},
    [MIEN_TILT_RIGHT] = {"tilt_right", "Tilt your head to your right shoulder", "Tilt a little further to your right", HEAD, 200},
    [MIEN_OPEN_MOUTH] = {"open_mouth", "Open your mouth", "Open your mouth wider", FACE, 200},
    [MIEN_CLOSE_EYES] = {"close_eyes", "Close your eyes for a second", "Close your eyes fully", EYES_SHUT, 600},
    [MIEN_RAISE_EYEBROWS] = {"raise_eyebrows", "Raise your eyebrows", "Raise your eyebrows higher", FACE, 200},
    [MIEN_BLINK] = {"blink", "Blink", "Close your eyes fully, then open them", BLINK, 0},
    [MIEN_SMILE] = {"smile", "Smile", "Smile more", FACE, 300},
    [MIEN_FROWN] = {"frown", "Frown", "Frown more", FACE, 300},
    [MIEN_SURPRISED] = {"surprised", "Look surprised", "Raise your eyebrows and open your mouth", FACE, 200},
    [MIEN_NEUTRAL] = {"neutral", "Keep a neutral face", "Relax your face", STILL_FACE, 1000},
    [MIEN_ANGRY] = {"angry", "Look angry", "Draw your eyebrows together", FACE, 300},
};

static const char NO_FACE[] = "Show your face to the camera", CLOSER[] = "Come closer to the camera", STRAIGHT[] = "Look straight into the camera",
                  BACK[] = "Go back to a straight, relaxed face first", SLOWLY[] = "Go back and do it again, more slowly", HOLD[] = "Hold it",
                  ALIVE_HINT[] = "Hold it and blink", OTHER_WAY[] = "The other way", TOO_LONG[] = "Open your eyes again, quickly";

const char *mien_challenge_name(enum mien_challenge c) { return rule_of[c].name; }

const char *mien_challenge_instruction(enum mien_challenge c) { return rule_of[c].instruction; }

bool mien_challenge_is_gesture(enum mien_challenge c) { return c < MIEN_SMILE; }

int mien_challenge_parse(const char *name)
{
    for (int c = 0; c < MIEN_CHALLENGES; c++)
        if (strcmp(name, rule_of[c].name) == 0) return c;
    return -1;
}

bool mien_challenge_available(enum mien_challenge c, unsigned have)
{
    if ((have & MIEN_WANT_MESH) == 0) return false;
    if (c == MIEN_SMILE) return (have & (MIEN_WANT_EXPRESSION | MIEN_WANT_BLENDSHAPES)) != 0;
    return (c != MIEN_SURPRISED && c != MIEN_NEUTRAL && c != MIEN_ANGRY) || (have & MIEN_WANT_EXPRESSION) != 0;
}

unsigned mien_challenge_wants(enum mien_challenge c, unsigned have)
{
    const unsigned always = MIEN_WANT_MESH | MIEN_WANT_POSE | MIEN_WANT_EYES | MIEN_WANT_BLENDSHAPES;
    return have & (mien_challenge_is_gesture(c) ? always : always | MIEN_WANT_EXPRESSION);
}

/* ---- rest ---- */

void mien_rest_look(struct mien_rest *r, const struct mien_look *look)
{
    static const struct mien_rest_sample straight;
    struct mien_rest_sample now;
    if (look->face == NULL || !mien_signs_of(look->face, &now) || mien_signs_head_change(&now, &straight) > FAR_TURNED_DEG) return;
    r->sample[r->next] = now;
    r->next = (r->next + 1) % MIEN_REST_FRAMES;
    if (r->n < MIEN_REST_FRAMES) r->n++;
}

/* ---- one challenge ---- */

void mien_judge_begin(struct mien_judge *j, enum mien_challenge c, bool mirrored, const struct mien_rest *rest)
{
    *j = (struct mien_judge){.challenge = c, .mirrored = mirrored, .state = AWAY};
    j->has_rest = rest != NULL && mien_signs_median(rest, &j->rest);
}

static struct mien_judgement nothing_yet(const char *hint) { return (struct mien_judgement){.hint = hint}; }

static void lose_the_way(struct mien_judge *j)
{
    j->state = AWAY;
    j->held = 0;
    j->base = j->before = j->peak = j->step = 0.0f;
}

static void follow_movement(struct mien_judge *j, const struct mien_look *look)
{
    if (j->movement.known && look->at_ms - j->moved_ms < MOVEMENT_MS) return;
    mien_movement_add(&j->movement, look->face);
    j->moved_ms = look->at_ms;
}

static bool alive(const struct mien_judge *j)
{
    const struct mien_fusion_settings settings = mien_fusion_settings_default();
    const struct mien_modality m = mien_movement_score(&settings, &j->movement);
    return m.present && m.score >= ALIVE && j->movement.pairs >= ALIVE_PAIRS;
}

/* Counts how long the value is high. */
static int held_ms(struct mien_judge *j, float value, int64_t now_ms)
{
    if (value < (j->held > 0 ? STAYS : 1.0f)) {
        j->held = 0;
        return 0;
    }
    if (j->held++ == 0) j->since_ms = now_ms;
    return (int)(now_ms - j->since_ms);
}

/* Follows the value out of rest. */
static void follow_the_way(struct mien_judge *j, float value)
{
    if (value < NEAR) {
        j->state = READY;
        j->base = j->peak = value;
        j->step = 0.0f;
    } else if (j->state == READY) {
        j->step = fmaxf(j->step, value - j->before);
        j->peak = fmaxf(j->peak, value);
    }
    j->before = value;
}

static struct mien_judgement judgement(struct mien_judge *j, float value, bool passed, float progress, const char *hint)
{
    const float seen = fminf(fmaxf(0.5f * value, 0.0f), 1.0f), confidence = passed ? fmaxf(seen, 0.5f) : seen;
    j->best = fmaxf(j->best, confidence);
    return (struct mien_judgement){passed, confidence, passed ? 1.0f : fminf(fmaxf(progress, 0.0f), 0.95f), passed ? NULL : hint};
}

static struct mien_judgement hold(struct mien_judge *j, float value, int64_t now_ms, bool needs_way)
{
    const struct rule *rule = &rule_of[j->challenge];
    if (needs_way) follow_the_way(j, value);
    const int ms = held_ms(j, value, now_ms);
    const float on_the_way = 0.6f * value;
    if (needs_way && j->state != READY) return judgement(j, 0.0f, false, 0.0f, j->state == TOO_FAST ? SLOWLY : BACK);
    if (j->held == 0) return judgement(j, value, false, on_the_way, value < -0.6f ? OTHER_WAY : value > NEAR ? rule->further : NULL);
    if (j->held < 2 || ms < rule->hold_ms) return judgement(j, value, false, 0.6f + 0.3f * (float)ms / (float)rule->hold_ms, HOLD);
    if (rule->kind != EYES_SHUT && needs_way && j->step > LARGEST_STEP * (j->peak - j->base)) {
        lose_the_way(j);
        j->state = TOO_FAST;
        return judgement(j, 0.0f, false, 0.0f, SLOWLY);
    }
    if (!alive(j)) return judgement(j, value, false, 0.9f, ALIVE_HINT);
    return judgement(j, value, true, 1.0f, NULL);
}

/* Closed and open again, in one pose. `last` is the newest frame with open eyes. */
static struct mien_judgement blink(struct mien_judge *j, float value, const struct mien_rest_sample *now, int64_t now_ms)
{
    const bool open = value < NEAR, same = j->faces > 1 && mien_signs_head_change(&j->last, now) <= SAME_POSE_DEG &&
                                        !mien_signs_foreshortened(&j->rest, now);
    if (j->state == CLOSED && open) {
        const bool quick = j->last_ms - j->since_ms <= BLINK_MS;
        j->state = READY;
        if (quick && same) return judgement(j, 2.0f * j->peak, true, 1.0f, NULL);
        return judgement(j, 0.0f, false, 0.0f, quick ? STRAIGHT : TOO_LONG);
    }
    if (open) {
        j->state = READY;
        j->peak = 0.0f;
    }
    if (j->state == READY && value >= 1.0f && same) {
        j->state = CLOSED;
        j->since_ms = now_ms;
    }
    if (j->state == CLOSED) j->peak = fmaxf(j->peak, 0.5f * value);
    return judgement(j, value, false, 0.5f * value,
                     j->state == CLOSED && now_ms - j->since_ms > BLINK_MS ? TOO_LONG
                     : value > NEAR                                        ? rule_of[MIEN_BLINK].further
                                                                           : NULL);
}

static struct mien_judgement judge(struct mien_judge *j, const struct mien_rest_sample *now, int64_t now_ms)
{
    const enum kind kind = rule_of[j->challenge].kind;
    float value = mien_signs_value(j->challenge, j->mirrored, &j->rest, now);
    if (kind == HEAD) return hold(j, value, now_ms, true);
    const bool facing = mien_signs_head_change(&j->rest, now) <= FACING_DEG;
    if (!facing) value = fminf(value, 0.9f * STAYS);
    struct mien_judgement said = kind == BLINK ? blink(j, value, now, now_ms) : hold(j, value, now_ms, kind != STILL_FACE);
    if (!facing && !said.passed) said.hint = STRAIGHT;
    return said;
}

/* The first frames stand in for a rest that nobody has seen. */
static bool gather_rest(struct mien_judge *j, const struct mien_look *look)
{
    mien_rest_look(&j->own, look);
    if (look->at_ms - j->first_ms >= OWN_REST_MS) j->has_rest = mien_signs_median(&j->own, &j->rest);
    return j->has_rest;
}

struct mien_judgement mien_judge_look(struct mien_judge *j, const struct mien_look *look)
{
    struct mien_rest_sample now;
    if (j->frames++ == 0) j->first_ms = look->at_ms;
    if (look->face == NULL || !mien_signs_of(look->face, &now)) {
        lose_the_way(j);
        return nothing_yet(NO_FACE);
    }
    if (now.sign[MIEN_SIGN_EYES] < NEAR_ENOUGH_PX) {
        lose_the_way(j);
        return nothing_yet(CLOSER);
    }
    if (j->faces++ > 0 && (look->at_ms - j->last_ms > GAP_MS || mien_signs_jump(&j->last, &now))) lose_the_way(j);
    follow_movement(j, look);
    const bool known = j->has_rest || gather_rest(j, look);
    const struct mien_judgement said = known ? judge(j, &now, look->at_ms) : nothing_yet(STRAIGHT);
    if (rule_of[j->challenge].kind != BLINK || j->state != CLOSED) j->last = now;
    j->last_ms = look->at_ms;
    return said;
}
