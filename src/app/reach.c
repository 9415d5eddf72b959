/* The gallery for the verbs: in this process or through a server. */
#include "app/reach.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/own_models.h"
#include "base/file.h"
#include "codec/base64.h"

enum { ANSWER_BYTES = 256 << 20, BODY_BYTES = 512 << 20, PHOTO_BYTES = 64 << 20, LIVE_MS = 3000, BUSY_S = 30, MAX_OWN = 8, N_REACH = 1 };

/* ---- options ---- */

int mien_reach_begin(struct mien_cli *cli, int argc, char **argv, const struct mien_opt *opts, int n_opts, int at_least, int at_most, int *first,
                     struct mien_reach *r)
{
    struct mien_opt all[MAX_OWN + N_REACH];
    struct mien_err e = {0};
    *r = (struct mien_reach){.cli = cli};
    for (int i = 0; i < n_opts; i++) all[i] = opts[i];
    all[n_opts] = (struct mien_opt){"server", MIEN_OPT_TEXT, &r->server, "URL",
                                    "the server that has the gallery; its key is $MIEN_API_KEY (default: open the gallery here, or HOST and PORT)", 0, 0};
    const int status = mien_config_read_with(cli, argc, argv, all, n_opts + N_REACH, "DATA_DIR|PORT|DATA_FOLDER|RESNET", at_least, at_most, first, &r->config);
    if (status >= 0) return status;
    mien_keep_memory_private();
    const enum mien_code code = mien_config_settings(r->config, &r->settings, &e);
    return code == MIEN_OK ? -1 : mien_reach_end(r, code, &e, MIEN_EXIT_ERROR);
}

int mien_reach_end(struct mien_reach *r, enum mien_code code, const struct mien_err *e, int status)
{
    mien_client_free(&r->client);
    mien_people_close(&r->people);
    mien_session_free(&r->session);
    mien_models_free(&r->models);
    mien_config_free(&r->config);
    mien_memory_is_wiped();
    return code == MIEN_OK ? status : mien_cli_fail(e);
}

/* ---- opening ---- */

static enum mien_code connect_to(struct mien_reach *r, const char *url, struct mien_err *e)
{
    return mien_cli_about("--server", mien_client_create(url, getenv("MIEN_API_KEY"), &r->client, e), e);
}

/* The configured server, when it answers. */
static bool find_server(struct mien_reach *r, char url[300])
{
    struct mien_buf answer;
    int status = 0;
    mien_server_url(&r->settings, url);
    if (connect_to(r, url, NULL) != MIEN_OK) return false;
    mien_buf_init(&answer, 1 << 20);
    const struct mien_ask ask = {.method = "GET", .path = "/livez", .timeout_ms = LIVE_MS};
    const bool alive = mien_client_ask(r->client, &ask, &status, &answer, NULL) == MIEN_OK && status == 200;
    mien_buf_free(&answer);
    if (!alive) mien_client_free(&r->client);
    return alive;
}

static enum mien_code open_here(struct mien_reach *r, enum mien_reach_for what, struct mien_err *e)
{
    if (what == MIEN_REACH_STORE) return mien_people_store(&r->settings, false, &r->people, e);
    MIEN_TRY(mien_own_models(r->cli, &r->settings, MIEN_OWN_RESNET, &r->models, e));
    MIEN_TRY(mien_people_gallery(&r->settings, r->models, &r->people, e));
    r->embed = mien_models_role(r->models, MIEN_ROLE_EMBED, 0);
    return MIEN_OK;
}

enum mien_code mien_reach_open(struct mien_reach *r, enum mien_reach_for what, struct mien_err *e)
{
    char url[300];
    if (r->server != NULL) return connect_to(r, r->server, e);
    if (r->settings.redis_url[0] != '\0' && find_server(r, url)) return MIEN_OK;
    const enum mien_code code = open_here(r, what, e);
    if (code != MIEN_E_STORE_LOCKED) return code;
    mien_people_close(&r->people);
    MIEN_FAIL_IF(!find_server(r, url), e, MIEN_E_STORE_LOCKED, "another process has the gallery, and no server answers at %.80s: name it with --server", url);
    return MIEN_OK;
}

/* ---- asking ---- */

/* The member that an error of a problem document is about: the last name in its loc. */
static const char *member_of(const struct mien_json *fault)
{
    const struct mien_json *loc = mien_json_get(fault, "loc");
    const size_t n = mien_json_size(loc);
    return n > 1 ? mien_json_string(mien_json_at(loc, n - 1), "") : "";
}

static enum mien_code failure_of(const struct mien_json *problem, int status, struct mien_err *e)
{
    static const struct { const char *code; enum mien_code is; } KNOWN[] = {
        {"not_enrolled", MIEN_E_NOT_ENROLLED}, {"model_mismatch", MIEN_E_MODEL_MISMATCH}, {"no_face", MIEN_E_NO_FACE},
        {"invalid_image", MIEN_E_IMAGE_CORRUPT}, {"too_large", MIEN_E_IMAGE_LIMIT}};
    const struct mien_json *fault = mien_json_at(mien_json_get(problem, "errors"), 0);
    const char *code = mien_json_string(mien_json_get(problem, "code"), "");
    const char *detail = mien_json_string(mien_json_get(fault, "msg"), mien_json_string(mien_json_get(problem, "detail"), "no words"));
    enum mien_code is = MIEN_E_REQUEST;
    for (size_t i = 0; i < sizeof KNOWN / sizeof KNOWN[0]; i++)
        if (strcmp(code, KNOWN[i].code) == 0) is = KNOWN[i].is;
    const char *member = member_of(fault);
    return MIEN_FAIL(e, is, "the server answers %d %.32s: %.40s%s%.80s", status, code, member, member[0] != '\0' ? " " : "", detail);
}

static enum mien_code ask_once(struct mien_reach *r, const struct mien_ask *ask, int *status, struct mien_json **json, struct mien_err *e)
{
    struct mien_buf text;
    *json = NULL;
    mien_buf_init(&text, ANSWER_BYTES);
    enum mien_code code = mien_client_ask(r->client, ask, status, &text, e);
    if (code == MIEN_OK && mien_json_parse(text.len > 0 ? text.data : "null", text.len > 0 ? text.len : 4, json, NULL) != MIEN_OK)
        code = MIEN_FAIL(e, MIEN_E_REQUEST, "the server answers %d, and not with JSON: is it mien?", *status);
    mien_buf_free(&text);
    return code;
}

static bool is_busy(int status, const struct mien_json *problem)
{
    return status == 429 || (status == 503 && strcmp(mien_json_string(mien_json_get(problem, "code"), ""), "overloaded") == 0);
}

enum mien_code mien_reach_ask(struct mien_reach *r, const struct mien_ask *ask, struct mien_json **answer, struct mien_json **problem, struct mien_err *e)
{
    struct mien_json *json;
    int status = 0;
    *answer = NULL;
    enum mien_code code = ask_once(r, ask, &status, &json, e);
    for (int i = 0; code == MIEN_OK && is_busy(status, json) && i < BUSY_S; i++) {
        mien_json_free(&json);
        sleep(1);
        code = ask_once(r, ask, &status, &json, e);
    }
    if (code == MIEN_OK && status >= 300) code = failure_of(json, status, e);
    if (code == MIEN_OK) {
        *answer = json;
    } else if (problem != NULL) {
        *problem = json;
    } else {
        mien_json_free(&json);
    }
    return code;
}

/* ---- photos ---- */

enum mien_code mien_reach_face(struct mien_reach *r, const char *path, struct mien_cli_photo *photo, const struct mien_face **face, struct mien_err *e)
{
    const struct mien_face_settings settings = {.best_only = true, .detection_size = r->settings.service.detection_size};
    *face = NULL;
    if (r->session == NULL) MIEN_TRY(mien_session_create(&r->session, e));
    MIEN_TRY(mien_cli_photo_analyze(path, r->models, r->session, MIEN_WANT_EMBEDDING | MIEN_WANT_QUALITY, &settings, photo, e));
    if (photo->faces.best >= 0) *face = &photo->faces.face[photo->faces.best];
    MIEN_FAIL_IF(*face != NULL && !((*face)->have & MIEN_WANT_EMBEDDING), e, MIEN_E_INTERNAL, "%.150s: no embedding", path);
    return MIEN_OK;
}

static void add_image(struct mien_jw *w, const unsigned char *bytes, size_t n, struct mien_buf *body)
{
    char *text = malloc(4 * ((n + 2) / 3) + 1);
    if (text == NULL) {
        body->failed = true;
        return;
    }
    const size_t length = mien_base64_encode(bytes, n, text);
    mien_jw_key(w, "image");
    mien_jw_string(w, text);
    explicit_bzero(text, length);
    free(text);
}

enum mien_code mien_reach_photo_body(const char *path, struct mien_buf *body, struct mien_jw *w, struct mien_err *e)
{
    unsigned char *bytes;
    size_t n;
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    mien_buf_init(body, BODY_BYTES);
    const enum mien_code code = mien_file_read(path, PHOTO_BYTES, &bytes, &n, e);
    if (code != MIEN_OK) return mien_cli_about(name, code, e);
    mien_jw_init(w, body);
    mien_jw_object(w);
    add_image(w, bytes, n, body);
    explicit_bzero(bytes, n);
    free(bytes);
    MIEN_FAIL_IF(body->failed, e, MIEN_E_NOMEM, "%.150s: out of memory", name);
    return MIEN_OK;
}

void mien_reach_forget(struct mien_buf *body)
{
    if (body->data != NULL) explicit_bzero(body->data, body->len);
    mien_buf_free(body);
}

float mien_reach_threshold(const struct mien_reach *r)
{
    return isnan(r->settings.service.match_threshold) ? r->embed->threshold : r->settings.service.match_threshold;
}
