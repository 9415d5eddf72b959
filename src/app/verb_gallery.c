/* mien gallery list, gallery delete and keys rotate. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/reach.h"
#include "app/sessions.h"
#include "base/clock.h"

enum { PAGE = 1000, PATH_BYTES = 8 * MIEN_USER_ID };

/* ---- list ---- */

struct listing {
    bool json;
    struct mien_buf out;
    struct mien_jw w;
    size_t users;
    char last[MIEN_USER_ID + 1];
};

static void begin_listing(struct listing *l)
{
    mien_buf_init(&l->out, MIEN_OUTPUT_BYTES);
    mien_jw_init(&l->w, &l->out);
    if (!l->json) return;
    mien_jw_object(&l->w);
    mien_jw_key(&l->w, "users");
    mien_jw_array(&l->w);
}

static void end_listing(struct listing *l)
{
    if (!l->json) return;
    mien_jw_end_array(&l->w);
    mien_jw_key(&l->w, "total");
    mien_jw_integer(&l->w, (int64_t)l->users);
    mien_jw_end_object(&l->w);
    mien_buf_adds(&l->out, "\n");
}

static void list_user(struct listing *l, const char *user_id, const char *name, const char *enrolled_at, int templates, const struct mien_json *metadata)
{
    l->users++;
    snprintf(l->last, sizeof l->last, "%s", user_id);
    if (!l->json) {
        mien_buf_addf(&l->out, "%2d  ", templates);
        mien_cli_add_safe(&l->out, enrolled_at);
        mien_buf_adds(&l->out, "  ");
        mien_cli_add_safe(&l->out, user_id);
        mien_buf_adds(&l->out, name[0] != '\0' ? "  " : "");
        mien_cli_add_safe(&l->out, name);
        mien_buf_adds(&l->out, "\n");
        return;
    }
    mien_jw_object(&l->w);
    mien_jw_key(&l->w, "user_id");
    mien_jw_string(&l->w, user_id);
    mien_jw_key(&l->w, "name");
    mien_jw_string(&l->w, name);
    mien_jw_key(&l->w, "enrolled_at");
    mien_jw_string(&l->w, enrolled_at);
    mien_jw_key(&l->w, "metadata");
    mien_jw_copy(&l->w, metadata);
    mien_jw_key(&l->w, "templates");
    mien_jw_integer(&l->w, templates);
    mien_jw_end_object(&l->w);
}

static enum mien_code on_user(void *context, const struct mien_user *u, struct mien_err *e)
{
    struct mien_json *metadata = NULL;
    char when[40];
    mien_utc_text(u->enrolled_at, when);
    const enum mien_code code = mien_json_parse(u->metadata, strlen(u->metadata), &metadata, e);
    if (code == MIEN_OK) list_user(context, u->user_id, u->name, when, u->templates, metadata);
    mien_json_free(&metadata);
    return code;
}

static enum mien_code list_here(struct mien_reach *r, struct listing *l, struct mien_err *e)
{
    struct mien_store *s = r->people.store;
    for (size_t before = 0;; before = l->users) {
        char after[MIEN_USER_ID + 1];
        memcpy(after, l->last, sizeof after);
        MIEN_TRY(s->list(s, after, PAGE, on_user, l, e));
        if (l->users - before < PAGE) return MIEN_OK;
    }
}

static enum mien_code list_there(struct mien_reach *r, struct listing *l, struct mien_err *e)
{
    struct mien_json *page;
    for (bool more = true; more; mien_json_free(&page)) {
        struct mien_buf path;
        mien_buf_init(&path, PATH_BYTES);
        mien_buf_addf(&path, "/gallery?limit=%d", PAGE);
        if (l->last[0] != '\0') {
            mien_buf_adds(&path, "&cursor=");
            mien_url_add(&path, l->last);
        }
        const struct mien_ask ask = {.method = "GET", .path = path.data, .timeout_ms = MIEN_REACH_PATIENCE_MS};
        const enum mien_code code = mien_reach_ask(r, &ask, &page, NULL, e);
        mien_buf_free(&path);
        MIEN_TRY(code);
        const struct mien_json *users = mien_json_get(page, "users"), *u;
        for (size_t i = 0; (u = mien_json_at(users, i)) != NULL; i++)
            list_user(l, mien_json_string(mien_json_get(u, "user_id"), ""), mien_json_string(mien_json_get(u, "name"), ""),
                      mien_json_string(mien_json_get(u, "enrolled_at"), ""), (int)mien_json_integer(mien_json_get(u, "templates"), 0),
                      mien_json_get(u, "metadata"));
        more = mien_json_size(users) > 0 && mien_json_is_string(mien_json_get(page, "cursor"));
    }
    return MIEN_OK;
}

int mien_verb_gallery_list(struct mien_cli *cli, int argc, char **argv)
{
    struct mien_reach r;
    struct mien_err e = {0};
    int first;
    int status = mien_reach_begin(cli, argc, argv, NULL, 0, 0, 0, &first, &r);
    if (status >= 0) return status;
    struct listing *l = calloc(1, sizeof *l);
    enum mien_code code = l != NULL ? mien_reach_open(&r, MIEN_REACH_STORE, &e) : MIEN_FAIL(&e, MIEN_E_NOMEM, "out of memory");
    if (code == MIEN_OK) {
        l->json = cli->json;
        begin_listing(l);
        code = r.client != NULL ? list_there(&r, l, &e) : list_here(&r, l, &e);
        end_listing(l);
    }
    status = mien_reach_end(&r, code, &e, MIEN_EXIT_YES);
    if (code == MIEN_OK) status = mien_cli_print(&l->out, status);
    else if (l != NULL) mien_buf_free(&l->out);
    free(l);
    return status;
}

/* ---- delete ---- */

static enum mien_code delete_one(struct mien_reach *r, const char *user_id, bool *existed, struct mien_err *e)
{
    struct mien_store *s = r->people.store;
    struct mien_json *answer;
    struct mien_buf path;
    if (r->client == NULL) return mien_user_id_valid(user_id) ? s->remove(s, user_id, existed, e) : MIEN_OK;
    mien_buf_init(&path, PATH_BYTES);
    mien_buf_adds(&path, "/enroll/");
    mien_url_add(&path, user_id);
    if (path.failed || user_id[0] == '\0') return MIEN_OK; /* longer than any id */
    const struct mien_ask ask = {.method = "DELETE", .path = path.data, .timeout_ms = MIEN_REACH_PATIENCE_MS};
    const enum mien_code code = mien_reach_ask(r, &ask, &answer, NULL, e);
    mien_json_free(&answer);
    mien_buf_free(&path);
    *existed = code == MIEN_OK;
    return code == MIEN_E_NOT_ENROLLED ? MIEN_OK : code;
}

static enum mien_code delete_all(struct mien_reach *r, char **user, int n, struct mien_buf *out, int *status, struct mien_err *e)
{
    struct mien_jw w;
    mien_jw_init(&w, out);
    if (r->cli->json) mien_jw_array(&w);
    for (int i = 0; i < n; i++) {
        bool existed = false;
        const enum mien_code code = delete_one(r, user[i], &existed, e);
        if (code != MIEN_OK) return mien_cli_about(user[i], code, e);
        if (!existed) *status = MIEN_EXIT_NO;
        if (!r->cli->json) {
            mien_buf_addf(out, "%s: %s\n", user[i], existed ? "deleted" : "not enrolled");
            continue;
        }
        mien_jw_object(&w);
        mien_jw_key(&w, "user_id");
        mien_jw_string(&w, user[i]);
        mien_jw_key(&w, "deleted");
        mien_jw_bool(&w, existed);
        mien_jw_end_object(&w);
    }
    if (!r->cli->json) return MIEN_OK;
    mien_jw_end_array(&w);
    mien_buf_adds(out, "\n");
    return MIEN_OK;
}

int mien_verb_gallery_delete(struct mien_cli *cli, int argc, char **argv)
{
    struct mien_reach r;
    struct mien_err e = {0};
    struct mien_buf out;
    int first, done = MIEN_EXIT_YES;
    int status = mien_reach_begin(cli, argc, argv, NULL, 0, 1, -1, &first, &r);
    if (status >= 0) return status;
    mien_buf_init(&out, MIEN_OUTPUT_BYTES);
    enum mien_code code = mien_reach_open(&r, MIEN_REACH_STORE, &e);
    if (code == MIEN_OK) code = delete_all(&r, argv + first, argc - first, &out, &done, &e);
    status = mien_reach_end(&r, code, &e, done);
    if (code == MIEN_OK) return mien_cli_print(&out, status);
    mien_buf_free(&out);
    return status;
}

/* ---- keys rotate ---- */

static enum mien_code rotate_there(struct mien_reach *r, uint64_t *done, struct mien_err *e)
{
    const struct mien_ask ask = {.method = "POST", .path = "/keys/rotate", .body = "{}", .n = 2, .timeout_ms = MIEN_REACH_LONG_MS};
    struct mien_json *answer;
    const enum mien_code code = mien_reach_ask(r, &ask, &answer, NULL, e);
    *done = (uint64_t)mien_json_integer(mien_json_get(answer, "resealed"), 0);
    mien_json_free(&answer);
    return code;
}

/* A new key that signs tokens. Servers see by the folder that there is one. */
static enum mien_code rotate_tokens(const struct mien_reach *r, struct mien_err *e)
{
    char dir[MIEN_PATH];
    struct mien_signer *signer = NULL;
    MIEN_FAIL_IF(r->server != NULL, e, MIEN_E_ARG, "--tokens: the keys are in a folder (JWT_KEYS_DIR); rotate them where it is");
    MIEN_TRY(mien_data_dir(&r->settings, true, dir, e));
    enum mien_code code = mien_token_keys(&r->settings, dir, &signer, e);
    if (code == MIEN_OK) code = mien_signer_rotate(signer, mien_utc_ms() / 1000, e);
    mien_signer_free(&signer);
    return code;
}

int mien_verb_keys_rotate(struct mien_cli *cli, int argc, char **argv)
{
    struct mien_reach r;
    struct mien_err e = {0};
    struct mien_buf out;
    uint64_t done = 0;
    bool tokens = false;
    int first;
    const struct mien_opt opts[] = {{"tokens", MIEN_OPT_FLAG, &tokens, NULL, "a new key for tokens instead; old tokens stay valid until they expire", 0, 0}};
    int status = mien_reach_begin(cli, argc, argv, opts, 1, 0, 0, &first, &r);
    if (status >= 0) return status;
    if (tokens) {
        const enum mien_code code = rotate_tokens(&r, &e);
        if (code == MIEN_OK) printf(cli->json ? "{\"rotated\":\"tokens\"}\n" : "tokens are signed with a new key\n");
        return mien_reach_end(&r, code, &e, MIEN_EXIT_YES);
    }
    enum mien_code code = mien_reach_open(&r, MIEN_REACH_GALLERY, &e);
    if (code == MIEN_OK) code = r.client != NULL ? rotate_there(&r, &done, &e) : mien_gallery_rotate(r.people.gallery, &done, &e);
    status = mien_reach_end(&r, code, &e, MIEN_EXIT_YES);
    if (code != MIEN_OK) return status;
    mien_buf_init(&out, 256);
    mien_buf_addf(&out, cli->json ? "{\"resealed\":%llu}\n" : "%llu templates are sealed anew\n", (unsigned long long)done);
    return mien_cli_print(&out, status);
}
