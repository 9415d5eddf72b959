// The state machine of a live session, transition by transition: the clock, the randomness, the judge and the scores are the test's own.
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "liveness/proof.h"

/* ---- what the session uses, in the test's hands: these definitions come before those of the archive ---- */

static struct mien_judgement verdict_of_judge;
static struct mien_proof_scores scores;
static struct {
    int begun, looked, rested, ended, ended_passed, ended_expressions;
    enum mien_challenge challenge;
    bool mirrored, had_rest;
} called;
static unsigned score_wants;

const char *mien_challenge_name(enum mien_challenge c) { (void)c; return "some"; }
const char *mien_challenge_instruction(enum mien_challenge c) { (void)c; return "Do it"; }
bool mien_challenge_is_gesture(enum mien_challenge c) { return c < MIEN_SMILE; }

static enum mien_challenge missing = MIEN_CHALLENGES; /* from here on none is available */
bool mien_challenge_available(enum mien_challenge c, unsigned have) { return have != 0 && c < missing; }
unsigned mien_challenge_wants(enum mien_challenge c, unsigned have) { return have & (c < MIEN_SMILE ? 0u : (unsigned)MIEN_WANT_EXPRESSION); }

void mien_rest_look(struct mien_rest *r, const struct mien_look *look)
{
    (void)look;
    r->n = 1;
    called.rested++;
}

void mien_judge_begin(struct mien_judge *j, enum mien_challenge c, bool mirrored, const struct mien_rest *rest)
{
    *j = (struct mien_judge){.challenge = c, .mirrored = mirrored};
    called.begun++;
    called.challenge = c;
    called.had_rest = rest != NULL;
}

struct mien_judgement mien_judge_look(struct mien_judge *j, const struct mien_look *look)
{
    (void)look;
    called.looked++;
    called.mirrored = j->mirrored;
    return verdict_of_judge;
}

struct mien_proof_settings mien_proof_settings_default(void) { return (struct mien_proof_settings){.pass = 0.70f, .deepfake_floor = 0.5f}; }
struct mien_proof_score *mien_proof_score_create(const struct mien_proof_settings *s) { (void)s; return malloc(1); }
void mien_proof_score_free(struct mien_proof_score **p) { free(*p); *p = NULL; }
unsigned mien_proof_score_wants(const struct mien_proof_score *p) { (void)p; return score_wants; }
void mien_proof_score_look(struct mien_proof_score *p, const struct mien_look *look) { (void)p; (void)look; }
struct mien_proof_scores mien_proof_score_now(const struct mien_proof_score *p) { (void)p; return scores; }

void mien_proof_score_challenge(struct mien_proof_score *p, bool is_expression, bool passed, float confidence)
{
    (void)p;
    (void)confidence;
    called.ended++;
    called.ended_passed += passed;
    called.ended_expressions += is_expression;
}

/* ---- a session and its clock ---- */

static struct {
    struct mien_proof *proof;
    int64_t now, stamp;
    struct mien_proof_action action[MIEN_PROOF_ACTIONS];
    int n;
    uint8_t nonce[MIEN_NONCE], nonce_before[MIEN_NONCE];
    char challenge_id[33];
    unsigned seed;
    const uint8_t *script; /* bytes that come before those of the seed */
    int n_script;
    int random_left; /* bytes until the source fails; negative: never */
    float embedding[4];
} the;

static enum mien_code a_random(void *context, void *out, size_t n, struct mien_err *e)
{
    assert_ptr_equal(context, &the);
    for (size_t i = 0; i < n; i++) {
        if (the.random_left == 0) return MIEN_FAIL(e, MIEN_E_INTERNAL, "no randomness");
        if (the.random_left > 0) the.random_left--;
        if (the.n_script > 0) {
            ((uint8_t *)out)[i] = *the.script++;
            the.n_script--;
            continue;
        }
        the.seed = the.seed * 1664525u + 1013904223u;
        ((uint8_t *)out)[i] = (uint8_t)(the.seed >> 24);
    }
    return MIEN_OK;
}

/* What follows from an event; the newest nonce is kept. */
static void took(int n)
{
    the.n = n;
    assert_true(n <= MIEN_PROOF_ACTIONS);
    for (int i = 0; i < n; i++) {
        if (the.action[i].kind != MIEN_SAY_ISSUED) continue;
        memcpy(the.nonce_before, the.nonce, MIEN_NONCE);
        memcpy(the.nonce, the.action[i].nonce, MIEN_NONCE);
        memcpy(the.challenge_id, the.action[i].challenge_id, sizeof the.challenge_id);
    }
}

static const enum mien_challenge THREE[] = {MIEN_BLINK, MIEN_SMILE, MIEN_TURN_LEFT};

static struct mien_proof_rules rules_of(const enum mien_challenge *list, int n)
{
    struct mien_proof_rules r = mien_proof_rules_default();
    r.n_fixed = n;
    for (int i = 0; i < n; i++) r.fixed[i] = list[i];
    return r;
}

static void make(const struct mien_proof_rules *r)
{
    mien_proof_free(&the.proof);
    memset(&the, 0, sizeof the);
    memset(&called, 0, sizeof called);
    memset(&verdict_of_judge, 0, sizeof verdict_of_judge);
    scores = (struct mien_proof_scores){.liveness = {true, 0.9f}, .emotion = {true, 0.8f}, .deepfake = {true, 0.9f}, .final = 0.88f};
    score_wants = 0;
    the.now = 5000000;
    the.stamp = 1700000000000;
    the.seed = 7;
    the.random_left = -1;
    the.embedding[0] = 1.0f;
    the.proof = mien_proof_create(r, a_random, &the);
    assert_non_null(the.proof);
}

static void begin(void) { took(mien_proof_begin(the.proof, the.now, the.action)); }

static void begin_three(void)
{
    const struct mien_proof_rules r = rules_of(THREE, 3);
    make(&r);
    begin();
}

static bool arrive_as(int64_t stamp, const uint8_t *nonce)
{
    bool analyse = true;
    took(mien_proof_arrival(the.proof, the.now, stamp, nonce, &analyse, the.action));
    return analyse;
}

static void look_at(int faces, unsigned have)
{
    struct mien_face face = {.box = {10, 20, 110, 160}, .have = have, .embedding = the.embedding, .embedding_dim = 4};
    const struct mien_look look = {.at_ms = the.stamp, .faces = faces, .face = faces > 0 ? &face : NULL, .width = 640, .height = 480};
    took(mien_proof_look(the.proof, the.now, &look, the.action));
}

/* One frame `after_ms` later, received and analysed with what is wanted. */
static void frame_after(int after_ms)
{
    the.now += after_ms;
    the.stamp += after_ms;
    if (arrive_as(the.stamp, the.nonce)) look_at(1, mien_proof_wants(the.proof));
}

static void tick_after(int after_ms)
{
    the.now += after_ms;
    took(mien_proof_tick(the.proof, the.now, the.action));
}

/* Frames keep coming, nothing happens in them. */
static void stream_for(int ms)
{
    for (int t = 0; t < ms; t += 100) frame_after(100);
}

static const struct mien_proof_action *said(enum mien_proof_action_kind kind)
{
    for (int i = 0; i < the.n; i++)
        if (the.action[i].kind == kind) return &the.action[i];
    return NULL;
}

static void must_close(int code, const char *reason, const char *security)
{
    assert_true(the.n > 0);
    const struct mien_proof_action *a = &the.action[the.n - 1];
    assert_int_equal(a->kind, MIEN_SAY_CLOSE);
    assert_int_equal(a->close_code, code);
    assert_string_equal(a->reason, reason);
    if (code == 1008) {
        assert_ptr_equal(a - 1, said(MIEN_SAY_REJECTED));
        assert_string_equal(a[-1].reason, reason);
        assert_int_equal(a[-1].close_code, code);
        if (security == NULL) assert_null(a[-1].security);
        else assert_string_equal(a[-1].security, security);
    }
    assert_int_equal(mien_proof_next_ms(the.proof), INT64_MAX);
}

/* After the end nothing is said any more, whatever comes. */
static void must_be_over(enum mien_proof_state state)
{
    assert_int_equal(mien_proof_state(the.proof), state);
    tick_after(500000);
    assert_int_equal(the.n, 0);
    assert_false(arrive_as(the.stamp + 1, the.nonce));
    assert_int_equal(the.n, 0);
    look_at(1, 0);
    assert_int_equal(the.n, 0);
    took(mien_proof_client_done(the.proof, the.now, NULL, the.action));
    assert_int_equal(the.n, 0);
}

static void pass_challenge(void)
{
    frame_after(100);
    verdict_of_judge = (struct mien_judgement){.passed = true, .confidence = 0.8f, .progress = 1.0f};
    frame_after(100);
    verdict_of_judge = (struct mien_judgement){0};
}

static void fail_challenge(void)
{
    frame_after(100);
    took(mien_proof_client_done(the.proof, the.now, the.challenge_id, the.action));
}

/* ---- challenges ---- */

static void begin_issues_the_first_challenge(void **state)
{
    (void)state;
    const struct mien_proof_rules r = rules_of(THREE, 3);
    make(&r);
    assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_NEW);
    begin();
    assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_CHALLENGE);
    assert_int_equal(the.n, 1);
    const struct mien_proof_action *a = said(MIEN_SAY_ISSUED);
    assert_int_equal(a->challenge, MIEN_BLINK);
    assert_int_equal(a->number, 1);
    assert_int_equal(a->total, 3);
    assert_int_equal(strspn(a->challenge_id, "0123456789abcdef"), 32);
    frame_after(100);
    assert_int_equal(called.begun, 1);
    assert_int_equal(called.challenge, MIEN_BLINK);
    assert_false(called.had_rest);
}

static void drawn_challenges_do_not_repeat_and_have_both_kinds(void **state)
{
    (void)state;
    int drawn[MIEN_CHALLENGES] = {0}, totals[MIEN_PROOF_MAX + 1] = {0};
    enum { SESSIONS = 3000 };
    for (int i = 0; i < SESSIONS; i++) {
        const struct mien_proof_rules r = mien_proof_rules_default();
        bool seen[MIEN_CHALLENGES] = {0};
        int gestures = 0, total;
        make(&r);
        the.seed = (unsigned)i * 2654435761u + 1u;
        begin();
        total = said(MIEN_SAY_ISSUED)->total;
        assert_in_range(total, 3, 5);
        totals[total]++;
        for (int k = 0; k < total; k++) {
            const struct mien_proof_action *a = said(MIEN_SAY_ISSUED);
            assert_non_null(a);
            assert_int_equal(a->number, k + 1);
            assert_false(seen[a->challenge]);
            seen[a->challenge] = true;
            drawn[a->challenge]++;
            gestures += mien_challenge_is_gesture(a->challenge);
            pass_challenge();
        }
        assert_in_range(gestures, 1, total - 1);
        assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_PASSED);
    }
    /* Uniform as far as 3,000 sessions can tell (five standard deviations): a third each; 4 challenges of 15, a little more of the rarer expressions. */
    for (int n = 3; n <= 5; n++) assert_in_range(totals[n], SESSIONS / 3 - 130, SESSIONS / 3 + 130);
    for (int c = 0; c < MIEN_CHALLENGES; c++) assert_in_range(drawn[c], c < MIEN_SMILE ? 620 : 720, c < MIEN_SMILE ? 860 : 1130);
}

/* 256 is no multiple of 15: the last byte would make the first challenge a little likelier, and is drawn again. */
static void drawing_has_no_bias(void **state)
{
    (void)state;
    static const uint8_t SCRIPT[] = {0, 255, 10, 0, 0};
    const struct mien_proof_rules r = mien_proof_rules_default();
    make(&r);
    the.script = SCRIPT;
    the.n_script = sizeof SCRIPT;
    begin();
    assert_int_equal(said(MIEN_SAY_ISSUED)->challenge, MIEN_SMILE);
    assert_int_equal(said(MIEN_SAY_ISSUED)->total, 3);
}

static void only_what_can_be_judged_is_drawn(void **state)
{
    (void)state;
    const struct mien_proof_rules r = mien_proof_rules_default();
    missing = MIEN_FROWN; /* the gestures and the smile are left */
    for (unsigned i = 0; i < 50; i++) {
        make(&r);
        the.seed = i;
        begin();
        bool smiled = false;
        for (int k = 0, total = said(MIEN_SAY_ISSUED)->total; k < total; k++) {
            pass_challenge();
            assert_true(called.challenge < MIEN_FROWN);
            smiled = smiled || called.challenge == MIEN_SMILE;
        }
        assert_true(smiled);
    }
    missing = MIEN_NOD_DOWN; /* too few */
    make(&r);
    begin();
    must_close(1011, "Internal error", NULL);
    missing = MIEN_CHALLENGES;
}

static void each_challenge_has_its_own_nonce_and_id(void **state)
{
    (void)state;
    begin_three();
    uint8_t first[MIEN_NONCE];
    char id[33];
    memcpy(first, the.nonce, sizeof first);
    memcpy(id, the.challenge_id, sizeof id);
    pass_challenge();
    assert_memory_not_equal(first, the.nonce, sizeof first);
    assert_string_not_equal(id, the.challenge_id);
    frame_after(100);
    assert_int_equal(called.begun, 2);
    assert_true(called.had_rest);
}

static void without_randomness_the_session_ends(void **state)
{
    (void)state;
    for (int bytes = 0; bytes < 36; bytes++) {
        const struct mien_proof_rules r = mien_proof_rules_default();
        make(&r);
        the.random_left = bytes;
        begin();
        if (said(MIEN_SAY_ISSUED) != NULL) continue;
        must_close(1011, "Internal error", NULL);
        must_be_over(MIEN_PROOF_ENDED);
    }
    begin_three(); /* ... and when it fails later */
    the.random_left = 5;
    pass_challenge();
    assert_non_null(said(MIEN_SAY_COMPLETED));
    must_close(1011, "Internal error", NULL);
}

static void success_ends_a_challenge_and_issues_the_next(void **state)
{
    (void)state;
    begin_three();
    pass_challenge();
    assert_int_equal(the.n, 4);
    assert_int_equal(the.action[0].kind, MIEN_SAY_FEEDBACK);
    assert_int_equal(the.action[1].kind, MIEN_SAY_COMPLETED);
    assert_int_equal(the.action[2].kind, MIEN_SAY_SCORES);
    assert_int_equal(the.action[3].kind, MIEN_SAY_ISSUED);
    assert_int_equal(the.action[1].completed, 1);
    assert_int_equal(the.action[1].number, 1);
    assert_int_equal(the.action[1].challenge, MIEN_BLINK);
    assert_float_equal(the.action[1].judgement.confidence, 0.8f, 1e-6f);
    assert_int_equal(the.action[3].number, 2);
    assert_int_equal(the.action[3].challenge, MIEN_SMILE);
    assert_int_equal(called.ended_passed, 1);
    assert_int_equal(called.ended_expressions, 0);
    pass_challenge();
    assert_int_equal(called.ended_expressions, 1);
}

static void all_challenges_and_the_score_make_a_success(void **state)
{
    (void)state;
    begin_three();
    for (int i = 0; i < 3; i++) pass_challenge();
    assert_int_equal(the.n, 5);
    assert_int_equal(the.action[3].kind, MIEN_SAY_SUCCESS);
    assert_float_equal(the.action[3].scores.final, 0.88f, 1e-6f);
    assert_int_equal(the.action[3].completed, 3);
    must_close(1000, "Verified", NULL);
    must_be_over(MIEN_PROOF_PASSED);
}

static void a_score_below_the_threshold_fails(void **state)
{
    (void)state;
    begin_three();
    scores.final = 0.6999f;
    for (int i = 0; i < 3; i++) pass_challenge();
    assert_string_equal(said(MIEN_SAY_REJECTED)->reason, "Score below threshold");
    must_close(1000, "Not verified", NULL);
    must_be_over(MIEN_PROOF_FAILED);
    begin_three();
    scores.final = 0.70f;
    for (int i = 0; i < 3; i++) pass_challenge();
    assert_non_null(said(MIEN_SAY_SUCCESS));
    begin_three();
    scores.final = 0.0f / 0.0f;
    for (int i = 0; i < 3; i++) pass_challenge();
    assert_null(said(MIEN_SAY_SUCCESS));
}

/* Plays 'p' (pass) and 'f' (fail) over the challenges; returns the reason of the rejection, NULL after success. */
static const char *outcome(const enum mien_challenge *list, const char *play)
{
    const struct mien_proof_rules r = rules_of(list, (int)strlen(play));
    make(&r);
    begin();
    for (int i = 0; play[i] != '\0'; i++) {
        if (play[i] == 'p') pass_challenge();
        else fail_challenge();
    }
    assert_int_not_equal(mien_proof_state(the.proof), MIEN_PROOF_CHALLENGE);
    if (said(MIEN_SAY_SUCCESS) != NULL) return NULL;
    return said(MIEN_SAY_REJECTED)->reason;
}

static void more_than_half_and_one_of_each_kind_must_be_completed(void **state)
{
    (void)state;
    static const enum mien_challenge FOUR[] = {MIEN_BLINK, MIEN_SMILE, MIEN_TURN_LEFT, MIEN_ANGRY};
    static const enum mien_challenge FIVE[] = {MIEN_BLINK, MIEN_SMILE, MIEN_TURN_LEFT, MIEN_NOD_UP, MIEN_NOD_DOWN};
    static const enum mien_challenge FACES[] = {MIEN_BLINK, MIEN_SMILE, MIEN_FROWN, MIEN_NEUTRAL};
    assert_null(outcome(THREE, "ppf"));
    assert_null(outcome(THREE, "fpp"));
    assert_string_equal(outcome(THREE, "pff"), "Too few challenges completed");
    assert_null(outcome(FOUR, "pfpp"));
    assert_string_equal(outcome(FOUR, "pfpf"), "Too few challenges completed");
    assert_null(outcome(FIVE, "fpfpp"));
    assert_string_equal(outcome(FIVE, "pfppp"), "No expression completed");
    assert_string_equal(outcome(FACES, "fppp"), "No gesture completed");
}

static void three_failures_in_a_row_end_the_session(void **state)
{
    (void)state;
    static const enum mien_challenge FIVE[] = {MIEN_BLINK, MIEN_SMILE, MIEN_TURN_LEFT, MIEN_NOD_UP, MIEN_NOD_DOWN};
    assert_string_equal(outcome(FIVE, "pfff"), "Max failures");
    must_close(1008, "Max failures", NULL);
    must_be_over(MIEN_PROOF_ENDED);
    assert_string_equal(outcome(FIVE, "ffpff"), "Too few challenges completed"); /* not in a row */
    assert_string_equal(outcome(THREE, "fff"), "Max failures");
}

static void a_challenge_fails_when_its_time_is_over(void **state)
{
    (void)state;
    begin_three();
    verdict_of_judge = (struct mien_judgement){.confidence = 0.4f};
    stream_for(9900);
    assert_int_equal(mien_proof_next_ms(the.proof), 5000000 + 10000);
    tick_after(99);
    assert_null(said(MIEN_SAY_FAILED));
    tick_after(1);
    assert_non_null(said(MIEN_SAY_FAILED));
    assert_float_equal(said(MIEN_SAY_FAILED)->judgement.confidence, 0.4f, 1e-6f);
    assert_int_equal(said(MIEN_SAY_FAILED)->completed, 0);
    assert_int_equal(said(MIEN_SAY_ISSUED)->number, 2);
    assert_int_equal(called.ended, 1);
    assert_int_equal(called.ended_passed, 0);
    stream_for(9900); /* the next has its own time; here a frame comes before the tick */
    frame_after(100);
    assert_non_null(said(MIEN_SAY_FAILED));
    assert_int_equal(said(MIEN_SAY_ISSUED)->number, 3);
}

static void the_client_ends_a_challenge(void **state)
{
    (void)state;
    begin_three();
    frame_after(100);
    took(mien_proof_client_done(the.proof, the.now, NULL, the.action)); /* the first challenge: nothing can have crossed */
    assert_non_null(said(MIEN_SAY_FAILED));
    assert_int_equal(said(MIEN_SAY_ISSUED)->number, 2);
}

static void the_clients_end_of_the_challenge_before_is_not_taken_for_this_one(void **state)
{
    (void)state;
    char id[33];
    begin_three();
    memcpy(id, the.challenge_id, sizeof id);
    pass_challenge();
    the.now += 300;
    took(mien_proof_client_done(the.proof, the.now, NULL, the.action));
    assert_int_equal(the.n, 0);
    stream_for(2000);
    took(mien_proof_client_done(the.proof, the.now, id, the.action)); /* named, and over */
    assert_int_equal(the.n, 0);
    took(mien_proof_client_done(the.proof, the.now, NULL, the.action));
    assert_non_null(said(MIEN_SAY_FAILED));
}

/* ---- time ---- */

static void the_session_ends_after_two_minutes(void **state)
{
    (void)state;
    struct mien_proof_rules r = rules_of(THREE, 3);
    r.challenge_ms = 100000;
    make(&r);
    begin();
    stream_for(98000);
    pass_challenge();
    stream_for(120000 - 98200 - 100);
    assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_CHALLENGE);
    assert_int_equal(mien_proof_next_ms(the.proof), 5000000 + 120000);
    tick_after(99);
    assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_CHALLENGE);
    tick_after(1);
    must_close(1008, "Session timeout", NULL);
    must_be_over(MIEN_PROOF_ENDED);
}

static void a_gap_in_the_stream_ends_the_session(void **state)
{
    (void)state;
    begin_three();
    frame_after(100);
    assert_int_equal(mien_proof_next_ms(the.proof), the.now + 2001);
    tick_after(2000);
    assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_CHALLENGE);
    begin_three();
    frame_after(100);
    frame_after(2000);
    assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_CHALLENGE);
    frame_after(2001);
    must_close(1008, "Session timeout", NULL);
    must_be_over(MIEN_PROOF_ENDED);
    begin_three();
    frame_after(100);
    tick_after(2001);
    must_close(1008, "Session timeout", NULL);
}

static void frames_that_never_come_end_the_session(void **state)
{
    (void)state;
    struct mien_proof_rules r = rules_of(THREE, 3);
    r.first_frame_ms = 15000;
    make(&r);
    begin();
    tick_after(10000);
    assert_non_null(said(MIEN_SAY_FAILED)); /* ten seconds after it was issued, frames or not */
    assert_int_equal(mien_proof_next_ms(the.proof), 5000000 + 15000);
    tick_after(5000);
    must_close(1008, "Session timeout", NULL);
    begin_three(); /* with the default both rules end it at 30 s */
    tick_after(10000);
    tick_after(10000);
    tick_after(10000);
    must_close(1008, "Session timeout", NULL);
}

/* ---- frames ---- */

static void a_wrong_nonce_ends_the_session(void **state)
{
    (void)state;
    uint8_t wrong[MIEN_NONCE];
    for (int bit = 0; bit < MIEN_NONCE * 8; bit += 17) {
        begin_three();
        memcpy(wrong, the.nonce, sizeof wrong);
        wrong[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(arrive_as(the.stamp, wrong));
        must_close(1008, "Invalid nonce", "invalid_nonce");
        must_be_over(MIEN_PROOF_ENDED);
    }
    begin_three();
    memset(wrong, 0, sizeof wrong); /* what stands for "no challenge before" is no nonce */
    assert_false(arrive_as(the.stamp, wrong));
    must_close(1008, "Invalid nonce", "invalid_nonce");
}

static void a_nonce_lives_five_minutes(void **state)
{
    (void)state;
    struct mien_proof_rules r = rules_of(THREE, 3);
    r.session_ms = r.challenge_ms = r.gap_ms = r.first_frame_ms = INT_MAX;
    make(&r);
    begin();
    the.now += 299999;
    assert_true(arrive_as(++the.stamp, the.nonce));
    the.now += 1;
    assert_false(arrive_as(++the.stamp, the.nonce));
    must_close(1008, "Invalid nonce", "expired_nonce");
}

static void the_nonce_before_is_let_pass_for_two_seconds(void **state)
{
    (void)state;
    begin_three();
    pass_challenge();
    the.now += 1999;
    assert_false(arrive_as(the.stamp + 1, the.nonce_before)); /* dropped, not analysed */
    assert_int_equal(the.n, 0);
    assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_CHALLENGE);
    the.now += 1;
    assert_false(arrive_as(the.stamp + 2, the.nonce_before));
    must_close(1008, "Invalid nonce", "invalid_nonce");
    begin_three(); /* two challenges ago: never */
    uint8_t first[MIEN_NONCE];
    memcpy(first, the.nonce, sizeof first);
    pass_challenge();
    pass_challenge();
    assert_false(arrive_as(the.stamp + 1, first));
    must_close(1008, "Invalid nonce", "invalid_nonce");
}

static void a_stamp_that_does_not_rise_is_a_replay(void **state)
{
    (void)state;
    for (int back = 0; back <= 1000; back += 500) {
        begin_three();
        frame_after(100);
        the.now += 100;
        assert_false(arrive_as(the.stamp - back, the.nonce));
        must_close(1008, "Replay attack detected", "replayed_frame");
        must_be_over(MIEN_PROOF_ENDED);
    }
    begin_three(); /* also in the next challenge */
    pass_challenge();
    the.now += 100;
    assert_false(arrive_as(the.stamp, the.nonce));
    must_close(1008, "Replay attack detected", "replayed_frame");
}

static void every_frame_is_answered_by_feedback(void **state)
{
    (void)state;
    begin_three();
    verdict_of_judge = (struct mien_judgement){.confidence = 0.3f, .progress = 0.6f, .hint = "A little more"};
    frame_after(100);
    const struct mien_proof_action *a = said(MIEN_SAY_FEEDBACK);
    assert_non_null(a);
    assert_true(a->face_present);
    assert_int_equal(a->faces, 1);
    assert_float_equal(a->box.y1, 160.0f, 0.0f);
    assert_int_equal(a->width, 640);
    assert_string_equal(a->hint, "A little more");
    assert_float_equal(a->judgement.progress, 0.6f, 1e-6f);
    assert_float_equal(a->scores.final, 0.88f, 1e-6f);
    the.now += 100;
    arrive_as(the.stamp += 100, the.nonce);
    look_at(0, 0);
    assert_false(said(MIEN_SAY_FEEDBACK)->face_present);
    assert_non_null(said(MIEN_SAY_FEEDBACK)->hint);
    the.now += 100;
    arrive_as(the.stamp += 100, the.nonce);
    look_at(2, 0);
    assert_string_equal(said(MIEN_SAY_FEEDBACK)->hint, "Only one person may be in the picture");
}

static void a_frame_that_waits_for_its_analysis_is_answered_too(void **state)
{
    (void)state;
    begin_three();
    frame_after(100);
    the.now += 100;
    assert_true(arrive_as(the.stamp += 100, the.nonce));
    the.now += 300;
    assert_true(arrive_as(the.stamp += 300, the.nonce));
    assert_int_equal(mien_proof_next_ms(the.proof), the.now + 200);
    tick_after(199);
    assert_int_equal(the.n, 0);
    tick_after(1);
    assert_int_equal(the.n, 1);
    assert_true(said(MIEN_SAY_FEEDBACK)->face_present);
    assert_string_equal(said(MIEN_SAY_FEEDBACK)->hint, "One moment, the server is busy");
    tick_after(600);
    assert_int_equal(the.n, 0); /* no frame since */
}

static void scores_are_told_about_once_a_second(void **state)
{
    (void)state;
    int updates = 0;
    begin_three();
    for (int t = 0; t < 5000; t += 100) {
        frame_after(100);
        updates += said(MIEN_SAY_SCORES) != NULL;
    }
    assert_int_equal(updates, 5);
}

static void a_frame_taken_before_the_challenge_does_not_count_for_it(void **state)
{
    (void)state;
    begin_three();
    frame_after(100);
    the.now += 100;
    assert_true(arrive_as(the.stamp += 100, the.nonce));
    took(mien_proof_client_done(the.proof, the.now, the.challenge_id, the.action)); /* ends while that frame is being analysed */
    const int looked = called.looked;
    verdict_of_judge.passed = true;
    look_at(1, 0);
    assert_int_equal(called.looked, looked);
    assert_null(said(MIEN_SAY_COMPLETED));
    assert_non_null(said(MIEN_SAY_FEEDBACK));
    frame_after(100);
    assert_int_equal(said(MIEN_SAY_COMPLETED)->number, 2);
}

static void a_face_in_the_act_is_not_taken_for_a_face_at_rest(void **state)
{
    (void)state;
    begin_three();
    frame_after(100);
    assert_int_equal(called.rested, 1);
    verdict_of_judge.confidence = 0.5f;
    frame_after(100);
    assert_int_equal(called.rested, 1);
}

static void with_two_people_in_the_picture_nothing_is_passed(void **state)
{
    (void)state;
    begin_three();
    frame_after(100);
    the.now += 100;
    assert_true(arrive_as(the.stamp += 100, the.nonce));
    verdict_of_judge = (struct mien_judgement){.passed = true, .confidence = 0.9f};
    const int begun = called.begun;
    look_at(2, 0);
    assert_null(said(MIEN_SAY_COMPLETED));
    frame_after(100);
    assert_int_equal(called.begun, begun + 1); /* from the beginning */
    assert_non_null(said(MIEN_SAY_COMPLETED));
}

static void frames_are_mirrored_only_as_the_first_one_says(void **state)
{
    (void)state;
    begin_three();
    mien_proof_mirror(the.proof, true);
    frame_after(100);
    assert_true(called.mirrored);
    mien_proof_mirror(the.proof, false);
    pass_challenge();
    frame_after(100);
    assert_true(called.mirrored);
}

/* ---- identity and deepfakes ---- */

static void wants_follow_scores_challenge_and_identity(void **state)
{
    (void)state;
    const unsigned always = MIEN_WANT_MESH | MIEN_WANT_POSE | MIEN_WANT_EYES | MIEN_WANT_BLENDSHAPES;
    begin_three();
    assert_int_equal(mien_proof_wants(the.proof), always | MIEN_WANT_EMBEDDING);
    frame_after(100);
    assert_int_equal(mien_proof_wants(the.proof), always);
    score_wants = MIEN_WANT_SPOOF;
    assert_int_equal(mien_proof_wants(the.proof), always | MIEN_WANT_SPOOF);
    score_wants = 0;
    stream_for(900);
    assert_int_equal(mien_proof_wants(the.proof), always);
    the.now += 100;
    arrive_as(the.stamp += 100, the.nonce);
    assert_int_equal(mien_proof_wants(the.proof), always | MIEN_WANT_EMBEDDING); /* a second later */
    look_at(0, 0);
    the.now += 100;
    arrive_as(the.stamp += 100, the.nonce);
    assert_int_equal(mien_proof_wants(the.proof), always | MIEN_WANT_EMBEDDING); /* the face was lost */
    look_at(2, MIEN_WANT_EMBEDDING);
    assert_int_equal(mien_proof_wants(the.proof), always | MIEN_WANT_EMBEDDING); /* which of two is no matter */
    frame_after(100);
    assert_int_equal(mien_proof_wants(the.proof), always);
    pass_challenge(); /* now a smile */
    assert_int_equal(mien_proof_wants(the.proof), always | MIEN_WANT_EXPRESSION);
    struct mien_proof_rules r = rules_of(THREE, 3);
    r.have = always & ~(unsigned)MIEN_WANT_BLENDSHAPES; /* no more than there is */
    make(&r);
    begin();
    assert_int_equal(mien_proof_wants(the.proof), r.have);
}

static void become(float x, float y)
{
    the.embedding[0] = x;
    the.embedding[1] = y;
}

static void another_persons_face_ends_the_session(void **state)
{
    (void)state;
    begin_three();
    stream_for(3000);
    become(0.29f, 0.957f);
    frame_after(100); /* a second after the last look at who it is */
    assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_CHALLENGE);
    frame_after(100);
    must_close(1008, "Replay attack detected", "identity_changed");
    must_be_over(MIEN_PROOF_ENDED);
}

static void one_unlike_frame_is_looked_at_again(void **state)
{
    (void)state;
    begin_three();
    stream_for(1000);
    become(0.0f, 1.0f);
    while ((mien_proof_wants(the.proof) & MIEN_WANT_EMBEDDING) == 0) {
        the.now += 100;
        arrive_as(the.stamp += 100, the.nonce);
        if ((mien_proof_wants(the.proof) & MIEN_WANT_EMBEDDING) == 0) look_at(1, 0);
    }
    verdict_of_judge.passed = true;
    look_at(1, MIEN_WANT_EMBEDDING);
    assert_null(said(MIEN_SAY_COMPLETED)); /* a stranger passes nothing */
    assert_true((mien_proof_wants(the.proof) & MIEN_WANT_EMBEDDING) != 0);
    become(0.95f, 0.312f);
    frame_after(100);
    assert_non_null(said(MIEN_SAY_COMPLETED));
    assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_CHALLENGE);
}

static void the_person_is_the_mean_of_the_first_faces(void **state)
{
    (void)state;
    begin_three();
    frame_after(100); /* (1, 0) */
    become(0.8f, 0.6f);
    stream_for(1000);
    become(0.6f, 0.8f);
    stream_for(1000);
    become(0.0f, 1.0f); /* 0.50 from the mean; 0 from the first */
    stream_for(2000);
    assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_CHALLENGE);
    become(-0.6f, 0.8f); /* 0.03 */
    stream_for(1300);
    assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_ENDED);
}

/* However many faces the mean is made of: nearly at the threshold of 0.3, on either side. */
static void the_threshold_holds_for_a_mean_of_several_faces(void **state)
{
    (void)state;
    for (int seconds = 1; seconds <= 4; seconds++) {
        begin_three();
        stream_for(seconds * 1000);
        become(0.31f, 0.950737f);
        stream_for(3000);
        assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_CHALLENGE);
        begin_three();
        stream_for(seconds * 1000);
        become(0.29f, 0.957027f);
        stream_for(1300);
        assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_ENDED);
    }
    struct mien_proof_rules r = rules_of(THREE, 3);
    r.same_person = 0.9f; /* likeness is not cut off either */
    make(&r);
    begin();
    stream_for(4000);
    become(0.91f, 0.41461f);
    stream_for(3000);
    assert_int_equal(mien_proof_state(the.proof), MIEN_PROOF_CHALLENGE);
}

static void a_deepfake_ends_the_session(void **state)
{
    (void)state;
    begin_three();
    stream_for(500);
    scores.deepfake_detected = true;
    verdict_of_judge.passed = true; /* even in the frame that would have passed */
    frame_after(100);
    must_close(1008, "Deepfake detected", "deepfake");
    must_be_over(MIEN_PROOF_ENDED);
}

static void something_outside_ends_the_session(void **state)
{
    (void)state;
    begin_three();
    frame_after(100);
    took(mien_proof_stop(the.proof, the.now, "Max failures", "flood", the.action));
    must_close(1008, "Max failures", "flood");
    must_be_over(MIEN_PROOF_ENDED);
    took(mien_proof_stop(the.proof, the.now, "Max failures", "flood", the.action));
    assert_int_equal(the.n, 0);
}

static void everything_at_once_fits_into_the_actions(void **state)
{
    (void)state;
    struct mien_proof_rules r = rules_of(THREE, 3);
    r.gap_ms = 60000;
    make(&r);
    begin();
    frame_after(100);
    the.now += 100;
    assert_true(arrive_as(the.stamp += 100, the.nonce));
    the.now += 20000;
    scores.deepfake_detected = true;
    look_at(1, 0); /* late: ends the challenge, issues one, and then itself ends the session */
    assert_non_null(said(MIEN_SAY_FAILED));
    must_close(1008, "Deepfake detected", "deepfake");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(begin_issues_the_first_challenge),
        cmocka_unit_test(drawn_challenges_do_not_repeat_and_have_both_kinds),
        cmocka_unit_test(drawing_has_no_bias),
        cmocka_unit_test(only_what_can_be_judged_is_drawn),
        cmocka_unit_test(each_challenge_has_its_own_nonce_and_id),
        cmocka_unit_test(without_randomness_the_session_ends),
        cmocka_unit_test(success_ends_a_challenge_and_issues_the_next),
        cmocka_unit_test(all_challenges_and_the_score_make_a_success),
        cmocka_unit_test(a_score_below_the_threshold_fails),
        cmocka_unit_test(more_than_half_and_one_of_each_kind_must_be_completed),
        cmocka_unit_test(three_failures_in_a_row_end_the_session),
        cmocka_unit_test(a_challenge_fails_when_its_time_is_over),
        cmocka_unit_test(the_client_ends_a_challenge),
        cmocka_unit_test(the_clients_end_of_the_challenge_before_is_not_taken_for_this_one),
        cmocka_unit_test(the_session_ends_after_two_minutes),
        cmocka_unit_test(a_gap_in_the_stream_ends_the_session),
        cmocka_unit_test(frames_that_never_come_end_the_session),
        cmocka_unit_test(a_wrong_nonce_ends_the_session),
        cmocka_unit_test(a_nonce_lives_five_minutes),
        cmocka_unit_test(the_nonce_before_is_let_pass_for_two_seconds),
        cmocka_unit_test(a_stamp_that_does_not_rise_is_a_replay),
        cmocka_unit_test(every_frame_is_answered_by_feedback),
        cmocka_unit_test(a_frame_that_waits_for_its_analysis_is_answered_too),
        cmocka_unit_test(scores_are_told_about_once_a_second),
        cmocka_unit_test(a_frame_taken_before_the_challenge_does_not_count_for_it),
        cmocka_unit_test(a_face_in_the_act_is_not_taken_for_a_face_at_rest),
        cmocka_unit_test(with_two_people_in_the_picture_nothing_is_passed),
        cmocka_unit_test(frames_are_mirrored_only_as_the_first_one_says),
        cmocka_unit_test(wants_follow_scores_challenge_and_identity),
        cmocka_unit_test(another_persons_face_ends_the_session),
        cmocka_unit_test(one_unlike_frame_is_looked_at_again),
        cmocka_unit_test(the_person_is_the_mean_of_the_first_faces),
        cmocka_unit_test(the_threshold_holds_for_a_mean_of_several_faces),
        cmocka_unit_test(a_deepfake_ends_the_session),
        cmocka_unit_test(something_outside_ends_the_session),
        cmocka_unit_test(everything_at_once_fits_into_the_actions),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    mien_proof_free(&the.proof);
    return failed;
}
