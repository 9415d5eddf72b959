/* mien enroll, search and verify: photos against the gallery, in this process or through the server that has it. */
#include <stdio.h>
#include <string.h>

#include "app/reach.h"
#include "gallery/transfer.h"

/* What is said of one photo. */
struct seen {
    int faces;
    float quality;  /* of the best face; below 0: unknown */
};

static enum mien_code no_face(const char *path, struct mien_err *e) { return MIEN_FAIL(e, MIEN_E_NO_FACE, "%.150s: no face found", path); }

/* POST with a photo: `more` adds the other members. */
typedef void add_members(struct mien_jw *w, const void *context);
static enum mien_code ask_about_photo(struct mien_reach *r, const char *route, const char *path, add_members *more, const void *context,
                                      struct mien_json **answer, struct mien_err *e)
{
    struct mien_buf body;
    struct mien_jw w;
    *answer = NULL;
    MIEN_TRY(mien_reach_photo_body(path, &body, &w, e));
    more(&w, context);
    mien_jw_end_object(&w);
    const struct mien_ask ask = {.method = "POST", .path = route, .body = body.data, .n = body.len, .timeout_ms = MIEN_REACH_PATIENCE_MS};
    enum mien_code code = body.failed ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory") : mien_reach_ask(r, &ask, answer, NULL, e);
    mien_reach_forget(&body);
    if (code == MIEN_E_NO_FACE) return no_face(path, e);
    return code >= MIEN_E_IMAGE_TYPE && code <= MIEN_E_IMAGE_LIMIT ? mien_cli_about(path, code, e) : code;
}

static void user_member(struct mien_jw *w, const void *user_id)
{
    mien_jw_key(w, "user_id");
    mien_jw_string(w, user_id);
}

static void quality_member(struct mien_jw *w, float quality)
{
    mien_jw_key(w, "quality");
    if (quality < 0.0f) mien_jw_null(w);
    else mien_jw_fixed(w, (double)quality, 3);
}

static float quality_in(const struct mien_json *answer)
{
    const struct mien_json *q = mien_json_get(answer, "quality");
    return (float)mien_json_number(mien_json_get(q, "score"), -1.0);
}

static void begin_output(struct mien_buf *out, struct mien_jw *w)
{
    mien_buf_init(out, MIEN_OUTPUT_BYTES);
    mien_jw_init(w, out);
    mien_jw_object(w);
}

static void end_output(struct mien_buf *out, struct mien_jw *w)
{
    mien_jw_end_object(w);
    mien_buf_adds(out, "\n");
}

/* ---- enroll ---- */

struct enrolling {
    const char *user_id, *name, *metadata;
    struct mien_buf kept; /* holds the metadata */
    bool append;
    int enrolled;         /* photos so far */
};

/* One photo's outcome; `why` when it was not enrolled. */
struct enrolled { bool done; float quality; char why[160]; };

static void enroll_members(struct mien_jw *w, const void *context)
{
    const struct enrolling *x = context;
    struct mien_json *metadata = NULL;
    user_member(w, x->user_id);
    if (x->name != NULL) {
        mien_jw_key(w, "name");
        mien_jw_string(w, x->name);
    }
    if (x->metadata != NULL && mien_json_parse(x->metadata, strlen(x->metadata), &metadata, NULL) == MIEN_OK) {
        mien_jw_key(w, "metadata");
        mien_jw_copy(w, metadata);
    }
    mien_json_free(&metadata);
    mien_jw_key(w, "append");
    mien_jw_bool(w, x->append || x->enrolled > 0);
}

static enum mien_code enroll_there(struct mien_reach *r, const struct enrolling *x, const char *path, struct enrolled *out, struct mien_err *e)
{
    struct mien_json *answer;
    const enum mien_code code = ask_about_photo(r, "/enroll", path, enroll_members, x, &answer, e);
    if (code == MIEN_OK) {
        out->done = mien_json_bool(mien_json_get(answer, "success"), false);
        out->quality = quality_in(answer);
        snprintf(out->why, sizeof out->why, "%s", mien_json_string(mien_json_get(answer, "message"), "not enrolled"));
    } else if (code == MIEN_E_NO_FACE) {
        snprintf(out->why, sizeof out->why, "no face found");
    }
    mien_json_free(&answer);
    return code == MIEN_E_NO_FACE ? MIEN_OK : code;
}

static enum mien_code enroll_here(struct mien_reach *r, const struct enrolling *x, const char *path, struct enrolled *out, struct mien_err *e)
{
    struct mien_cli_photo photo = {0};
    const struct mien_face *face;
    const float least = r->settings.service.quality_threshold;
    enum mien_code code = mien_reach_face(r, path, &photo, &face, e);
    if (code == MIEN_OK && face == NULL) {
        snprintf(out->why, sizeof out->why, "no face found");
    } else if (code == MIEN_OK && face->quality.score < least) {
        out->quality = face->quality.score;
        snprintf(out->why, sizeof out->why, "face quality too low (%.2f < %.2g)", (double)face->quality.score, (double)least);
    } else if (code == MIEN_OK) {
        const struct mien_enrolment one = {.user_id = x->user_id, .name = x->name, .metadata = x->metadata, .rgb = face->embedding,
                                           .append = x->append || x->enrolled > 0};
        out->quality = face->quality.score;
        code = mien_gallery_enroll(r->people.gallery, &one, 1, e);
        out->done = code == MIEN_OK;
    }
    mien_cli_photo_free(&photo);
    return code;
}

static void say_enrolled(bool json, struct mien_jw *w, struct mien_buf *out, const char *path, const struct enrolled *x)
{
    if (json) {
        mien_jw_object(w);
        mien_jw_key(w, "image");
        mien_jw_string(w, path);
        mien_jw_key(w, "success");
        mien_jw_bool(w, x->done);
        quality_member(w, x->quality);
        mien_jw_key(w, "message");
        mien_jw_string(w, x->done ? NULL : x->why);
        mien_jw_end_object(w);
    } else {
        mien_buf_addf(out, "%s: ", path);
        mien_cli_add_safe(out, x->done ? "enrolled" : x->why);
        if (x->done && x->quality >= 0.0f) mien_buf_addf(out, ", quality %.2f", (double)x->quality);
        mien_buf_adds(out, "\n");
    }
}

/* Every photo that can be used is enrolled; one that cannot be read, or whose face cannot be used, is named. Failures of the gallery end it. */
static enum mien_code enroll_all(struct mien_reach *r, struct enrolling *x, char **path, int n, struct mien_buf *out, int *status, struct mien_err *e)
{
    struct mien_jw w;
    mien_buf_init(out, MIEN_OUTPUT_BYTES);
    mien_jw_init(&w, out);
    if (r->cli->json) {
        mien_jw_object(&w);
        user_member(&w, x->user_id);
        mien_jw_key(&w, "images");
        mien_jw_array(&w);
    }
    for (int i = 0; i < n; i++) {
        struct enrolled one = {.quality = -1.0f};
        mien_cli_progress("photos", (size_t)i, (size_t)n);
        const enum mien_code code = r->client != NULL ? enroll_there(r, x, path[i], &one, e) : enroll_here(r, x, path[i], &one, e);
        const bool bad_photo = (code >= MIEN_E_IMAGE_TYPE && code <= MIEN_E_IMAGE_LIMIT) || code == MIEN_E_IO;
        if (code != MIEN_OK && !bad_photo) return x->enrolled == 0 ? code : mien_cli_about(path[i], code, e);
        if (bad_photo) {
            snprintf(one.why, sizeof one.why, "%.150s", e->msg);
            *status = MIEN_EXIT_ERROR;
            mien_cli_fail(e);
            *e = (struct mien_err){0};
            continue;
        }
        x->enrolled += one.done;
        if (!one.done && *status == MIEN_EXIT_YES) *status = MIEN_EXIT_NO;
        say_enrolled(r->cli->json, &w, out, path[i], &one);
    }
    mien_cli_progress("photos", (size_t)n, (size_t)n);
    if (!r->cli->json) return MIEN_OK;
    mien_jw_end_array(&w);
    mien_jw_key(&w, "enrolled");
    mien_jw_integer(&w, x->enrolled);
    end_output(out, &w);
    return MIEN_OK;
}

/* Reads --metadata into x->kept, as the gallery keeps it. */
static enum mien_code read_metadata(struct enrolling *x, const char *text, struct mien_err *e)
{
    struct mien_json *json = NULL;
    if (text == NULL) return MIEN_OK;
    enum mien_code code = MIEN_OK;
    if (mien_json_parse(text, strlen(text), &json, NULL) != MIEN_OK || !mien_json_is_object(json))
        code = MIEN_FAIL(e, MIEN_E_ARG, "--metadata takes a JSON object such as '{\"team\":\"blue\"}'");
    else code = mien_metadata_text(json, &x->kept, e);
    x->metadata = x->kept.data;
    mien_json_free(&json);
    return mien_cli_about("--metadata", code, e);
}

static enum mien_code check_enrolling(const struct enrolling *x, struct mien_err *e)
{
    MIEN_FAIL_IF(!mien_user_id_valid(x->user_id), e, MIEN_E_ARG, "a user id has 1 to %d bytes of UTF-8 and no control characters", MIEN_USER_ID);
    MIEN_FAIL_IF(x->name != NULL && strlen(x->name) > MIEN_USER_NAME, e, MIEN_E_ARG, "a name has at most %d bytes", MIEN_USER_NAME);
    return MIEN_OK;
}

int mien_verb_enroll(struct mien_cli *cli, int argc, char **argv)
{
    struct mien_reach r;
    struct enrolling x = {0};
    struct mien_err e = {0};
    struct mien_buf out = {0};
    const char *metadata = NULL;
    const struct mien_opt opts[] = {{"name", MIEN_OPT_TEXT, &x.name, "NAME", "what the person is called", 0, 0},
                                    {"metadata", MIEN_OPT_TEXT, &metadata, "JSON", "an object that is kept with the person", 0, 0},
                                    {"append", MIEN_OPT_FLAG, &x.append, NULL, "keep what is enrolled for the user", 0, 0}};
    int first, done = MIEN_EXIT_YES;
    int status = mien_reach_begin(cli, argc, argv, opts, 3, 2, -1, &first, &r);
    if (status >= 0) return status;
    x.user_id = argv[first];
    enum mien_code code = check_enrolling(&x, &e);
    if (code == MIEN_OK) code = read_metadata(&x, metadata, &e);
    if (code == MIEN_OK) code = mien_reach_open(&r, MIEN_REACH_GALLERY, &e);
    if (code == MIEN_OK) code = enroll_all(&r, &x, argv + first + 1, argc - first - 1, &out, &done, &e);
    status = mien_reach_end(&r, code, &e, done);
    mien_buf_free(&x.kept);
    if (code == MIEN_OK) return mien_cli_print(&out, status);
    mien_buf_free(&out);
    return status;
}

/* ---- search ---- */

struct searching { int top_k; float threshold; bool threshold_given; };
struct match { const char *user_id, *name; double similarity, confidence; };
struct found {
    struct seen seen;
    double threshold; /* below -1: unknown */
    int n;
    struct match match[MIEN_MAX_HITS];
    struct mien_hit hit[MIEN_MAX_HITS]; /* texts of matches found here */
    struct mien_json *answer;           /* texts of matches found there */
};

static void search_members(struct mien_jw *w, const void *context)
{
    const struct searching *x = context;
    mien_jw_key(w, "top_k");
    mien_jw_integer(w, x->top_k);
    if (!x->threshold_given) return;
    mien_jw_key(w, "threshold");
    mien_jw_number(w, (double)x->threshold, 9);
}

static enum mien_code search_there(struct mien_reach *r, const struct searching *x, const char *path, struct found *out, struct mien_err *e)
{
    MIEN_TRY(ask_about_photo(r, "/search", path, search_members, x, &out->answer, e));
    const struct mien_json *matches = mien_json_get(out->answer, "matches");
    out->seen = (struct seen){(int)mien_json_integer(mien_json_get(out->answer, "faces_detected"), 0), quality_in(out->answer)};
    out->threshold = mien_json_number(mien_json_get(out->answer, "threshold"), x->threshold_given ? (double)x->threshold : -2.0);
    MIEN_FAIL_IF(!mien_json_is_array(matches), e, MIEN_E_REQUEST, "the server answers without matches: is it mien?");
    for (const struct mien_json *m; out->n < MIEN_MAX_HITS && (m = mien_json_at(matches, (size_t)out->n)) != NULL; out->n++)
        out->match[out->n] = (struct match){mien_json_string(mien_json_get(m, "user_id"), ""), mien_json_string(mien_json_get(m, "name"), ""),
                                            mien_json_number(mien_json_get(m, "similarity"), 0), mien_json_number(mien_json_get(m, "confidence"), 0)};
    return out->seen.faces > 0 ? MIEN_OK : no_face(path, e);
}

static enum mien_code search_here(struct mien_reach *r, const struct searching *x, const char *path, struct found *out, struct mien_err *e)
{
    struct mien_cli_photo photo = {0};
    const struct mien_face *face;
    const float threshold = x->threshold_given ? x->threshold : mien_reach_threshold(r);
    enum mien_code code = mien_reach_face(r, path, &photo, &face, e);
    if (code == MIEN_OK && face == NULL) code = no_face(path, e);
    if (code == MIEN_OK) code = mien_gallery_search(r->people.gallery, face->embedding, 1, x->top_k, threshold, out->hit, &out->n, e);
    if (code == MIEN_OK) {
        out->seen = (struct seen){photo.faces.count, face->quality.score};
        out->threshold = (double)threshold;
        for (int i = 0; i < out->n; i++)
            out->match[i] = (struct match){out->hit[i].user_id, out->hit[i].name, (double)out->hit[i].similarity,
                                           (double)mien_match_confidence(r->embed, out->hit[i].similarity)};
    }
    mien_cli_photo_free(&photo);
    return code;
}

static void threshold_member(struct mien_jw *w, double threshold)
{
    mien_jw_key(w, "threshold");
    if (threshold < -1.0) mien_jw_null(w);
    else mien_jw_fixed(w, threshold, 4);
}

static void found_json(struct mien_buf *out, const struct found *f)
{
    struct mien_jw w;
    begin_output(out, &w);
    mien_jw_key(&w, "matches");
    mien_jw_array(&w);
    for (int i = 0; i < f->n; i++) {
        mien_jw_object(&w);
        mien_jw_key(&w, "user_id");
        mien_jw_string(&w, f->match[i].user_id);
        mien_jw_key(&w, "similarity");
        mien_jw_fixed(&w, f->match[i].similarity, 4);
        mien_jw_key(&w, "confidence");
        mien_jw_fixed(&w, f->match[i].confidence, 4);
        mien_jw_key(&w, "name");
        mien_jw_string(&w, f->match[i].name);
        mien_jw_end_object(&w);
    }
    mien_jw_end_array(&w);
    threshold_member(&w, f->threshold);
    mien_jw_key(&w, "faces_detected");
    mien_jw_integer(&w, f->seen.faces);
    quality_member(&w, f->seen.quality);
    end_output(out, &w);
}

static void found_text(struct mien_buf *out, const struct found *f)
{
    mien_buf_init(out, MIEN_OUTPUT_BYTES);
    for (int i = 0; i < f->n; i++) {
        const struct match *m = &f->match[i];
        mien_buf_addf(out, "%.3f  ", m->similarity);
        mien_cli_add_safe(out, m->user_id);
        mien_buf_adds(out, m->name[0] != '\0' ? "  " : "");
        mien_cli_add_safe(out, m->name);
        mien_buf_adds(out, "\n");
    }
    if (f->n == 0) mien_buf_adds(out, "nobody\n");
}

int mien_verb_search(struct mien_cli *cli, int argc, char **argv)
{
    static struct found f; /* 40 KiB */
    struct mien_reach r;
    struct searching x = {.top_k = 5, .threshold = -2.0f};
    struct mien_err e = {0};
    struct mien_buf out;
    const struct mien_opt opts[] = {
        {"top", MIEN_OPT_INT, &x.top_k, "K", "people that are listed, at most (default 5)", 1, MIEN_MAX_HITS},
        {"threshold", MIEN_OPT_REAL, &x.threshold, "T", "the cosine from which on somebody is listed (default: MATCH_THRESHOLD, else the model's)", -1, 1}};
    int first;
    int status = mien_reach_begin(cli, argc, argv, opts, 2, 1, 1, &first, &r);
    if (status >= 0) return status;
    x.threshold_given = x.threshold >= -1.0f;
    enum mien_code code = mien_reach_open(&r, MIEN_REACH_GALLERY, &e);
    if (code == MIEN_OK) code = r.client != NULL ? search_there(&r, &x, argv[first], &f, &e) : search_here(&r, &x, argv[first], &f, &e);
    if (code == MIEN_OK && cli->json) found_json(&out, &f);
    else if (code == MIEN_OK) found_text(&out, &f);
    mien_json_free(&f.answer);
    status = mien_reach_end(&r, code, &e, f.n > 0 ? MIEN_EXIT_YES : MIEN_EXIT_NO);
    return code == MIEN_OK ? mien_cli_print(&out, status) : status;
}

/* ---- verify ---- */

struct verified { struct seen seen; bool yes; double similarity, threshold; };

static enum mien_code verify_there(struct mien_reach *r, const char *user_id, const char *path, struct verified *out, struct mien_err *e)
{
    struct mien_json *answer;
    MIEN_TRY(ask_about_photo(r, "/verify", path, user_member, user_id, &answer, e));
    const struct mien_json *similarity = mien_json_get(answer, "similarity");
    *out = (struct verified){.seen = {1, quality_in(answer)},
                             .yes = mien_json_bool(mien_json_get(answer, "verified"), false),
                             .similarity = mien_json_number(similarity, 0),
                             .threshold = mien_json_number(mien_json_get(answer, "threshold"), -2.0)};
    const bool compared = mien_json_is_number(similarity);
    mien_json_free(&answer);
    return compared ? MIEN_OK : no_face(path, e);
}

static enum mien_code verify_here(struct mien_reach *r, const char *user_id, const char *path, struct verified *out, struct mien_err *e)
{
    struct mien_cli_photo photo = {0};
    const struct mien_face *face;
    float similarity = 0.0f;
    const float threshold = mien_reach_threshold(r);
    enum mien_code code = mien_reach_face(r, path, &photo, &face, e);
    if (code == MIEN_OK && face == NULL) code = no_face(path, e);
    if (code == MIEN_OK) code = mien_gallery_verify(r->people.gallery, user_id, face->embedding, &similarity, e);
    if (code == MIEN_OK)
        *out = (struct verified){.seen = {photo.faces.count, face->quality.score}, .yes = similarity >= threshold, .similarity = (double)similarity,
                                 .threshold = (double)threshold};
    mien_cli_photo_free(&photo);
    return code;
}

static void say_verified(bool json, const char *user_id, const struct verified *v, struct mien_buf *out)
{
    struct mien_jw w;
    if (json) {
        begin_output(out, &w);
        user_member(&w, user_id);
        mien_jw_key(&w, "verified");
        mien_jw_bool(&w, v->yes);
        mien_jw_key(&w, "similarity");
        mien_jw_fixed(&w, v->similarity, 4);
        threshold_member(&w, v->threshold);
        quality_member(&w, v->seen.quality);
        end_output(out, &w);
    } else {
        mien_buf_init(out, MIEN_OUTPUT_BYTES);
        mien_buf_addf(out, "%s: %s, similarity %.3f, threshold %.3f\n", user_id, v->yes ? "yes" : "no", v->similarity, v->threshold);
    }
}

int mien_verb_verify(struct mien_cli *cli, int argc, char **argv)
{
    struct mien_reach r;
    struct verified v = {0};
    struct mien_err e = {0};
    struct mien_buf out;
    int first;
    int status = mien_reach_begin(cli, argc, argv, NULL, 0, 2, 2, &first, &r);
    if (status >= 0) return status;
    const char *user_id = argv[first], *path = argv[first + 1];
    enum mien_code code = mien_reach_open(&r, MIEN_REACH_GALLERY, &e);
    if (code == MIEN_OK) code = r.client != NULL ? verify_there(&r, user_id, path, &v, &e) : verify_here(&r, user_id, path, &v, &e);
    if (code == MIEN_OK) say_verified(cli->json, user_id, &v, &out);
    else if (code == MIEN_E_NOT_ENROLLED) code = MIEN_FAIL(&e, code, "%.128s: no such user", user_id);
    status = mien_reach_end(&r, code, &e, v.yes ? MIEN_EXIT_YES : MIEN_EXIT_NO);
    return code == MIEN_OK ? mien_cli_print(&out, status) : status;
}
