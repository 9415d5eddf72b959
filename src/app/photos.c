/* Models and photos for the verbs: where they are found, opened and freed. */
#include "app/cli.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum {
    MAX_MANIFEST_BYTES = 4 << 20, MAX_LEVELS = 32,
    MAX_PHOTO_BYTES = 64 << 20, /* the user's own file: more than a server takes from strangers */
    FACES_ARENA_BYTES = 256 << 20
};

static bool has_manifest(const char *dir)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/manifest.json", dir);
    return n > 0 && (size_t)n < sizeof path && access(path, R_OK) == 0;
}

bool mien_cli_beside_program(const char *relative, char *path, size_t room)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n < 0 ? 0 : n] = '\0';
    for (int up = 0; up < 3; up++) { /* mien, build, and one more for build/asan/mien */
        char *slash = strrchr(exe, '/');
        if (slash == NULL) break;
        *slash = '\0';
        if (up == 0) continue;
        int len = snprintf(path, room, "%s/%s", exe, relative);
        if (len > 0 && (size_t)len < room && access(path, R_OK) == 0) return true;
    }
    int len = snprintf(path, room, "%s", relative);
    return len > 0 && (size_t)len < room && access(path, R_OK) == 0;
}

enum mien_code mien_cli_models_dir(const struct mien_cli *cli, char *dir, size_t room, struct mien_err *e)
{
    const char *given = cli->models != NULL ? cli->models : getenv("MIEN_MODELS");
    if (given != NULL && given[0] != '\0') {
        MIEN_FAIL_IF(strlen(given) >= room, e, MIEN_E_ARG, "the name of the models directory is too long");
        memcpy(dir, given, strlen(given) + 1);
        MIEN_FAIL_IF(!has_manifest(dir), e, MIEN_E_MODEL_MISSING, "%.120s: no manifest.json there (tools/models/pull makes one)", dir);
        return MIEN_OK;
    }
    MIEN_FAIL_IF(!mien_cli_beside_program("models/local", dir, room) || !has_manifest(dir), e, MIEN_E_MODEL_MISSING,
                 "no models: neither MIEN_MODELS nor models/local beside the program or here; run tools/models/pull");
    return MIEN_OK;
}

/* ---- the manifest with another model in a role ---- */

static void copy_manifest(struct mien_jw *w, const struct mien_json *root, const char *role, const char *id)
{
    const char *key;
    mien_jw_object(w);
    for (size_t i = 0; i < mien_json_size(root); i++) {
        const struct mien_json *m = mien_json_member(root, i, &key);
        mien_jw_key(w, key);
        if (strcmp(key, "roles") != 0) {
            mien_jw_copy(w, m);
            continue;
        }
        mien_jw_object(w);
        for (size_t k = 0; k < mien_json_size(m); k++) {
            const struct mien_json *r = mien_json_member(m, k, &key);
            if (strcmp(key, role) == 0) continue;
            mien_jw_key(w, key);
            mien_jw_copy(w, r);
        }
        mien_jw_key(w, role);
        mien_jw_string(w, id);
        mien_jw_end_object(w);
    }
    mien_jw_end_object(w);
}

static enum mien_code open_with_embed(const char *dir, const struct mien_models_settings *s, const char *embed, struct mien_models **out,
                                      struct mien_err *e)
{
    char path[PATH_MAX];
    unsigned char *text;
    size_t n;
    struct mien_json *root = NULL;
    int len = snprintf(path, sizeof path, "%s/manifest.json", dir);
    MIEN_FAIL_IF(len < 0 || (size_t)len >= sizeof path, e, MIEN_E_ARG, "path too long");
    MIEN_TRY(mien_file_read(path, MAX_MANIFEST_BYTES, &text, &n, e));
    enum mien_code code = mien_json_parse((const char *)text, n, &root, e);
    free(text);
    if (code == MIEN_OK && mien_json_depth(root) > MAX_LEVELS) code = MIEN_FAIL(e, MIEN_E_MANIFEST, "more than %d levels", MAX_LEVELS); /* the writer's bound */
    if (code != MIEN_OK) {
        mien_json_free(&root);
        return mien_cli_about(path, code, e);
    }
    struct mien_buf b;
    mien_buf_init(&b, 2 * MAX_MANIFEST_BYTES);
    struct mien_jw w;
    mien_jw_init(&w, &b);
    copy_manifest(&w, root, "embed", embed);
    mien_json_free(&root);
    code = b.failed ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory") : mien_models_parse(b.data, b.len, dir, s, out, e);
    mien_buf_free(&b);
    return code;
}

enum mien_code mien_cli_models(const struct mien_cli *cli, const char *embed, struct mien_models **out, struct mien_err *e)
{
    char dir[PATH_MAX];
    const struct mien_models_settings s = {cli->precision};
    *out = NULL;
    MIEN_TRY(mien_cli_models_dir(cli, dir, sizeof dir, e));
    if (embed == NULL) return mien_models_open(dir, &s, out, e);
    return open_with_embed(dir, &s, embed, out, e);
}

/* ---- photos ---- */

enum mien_code mien_cli_photo_open(const char *path, struct mien_cli_photo *p, struct mien_err *e)
{
    const struct mien_image_limits defaults = MIEN_IMAGE_LIMITS_DEFAULT;
    const struct mien_image_limits limits = {MAX_PHOTO_BYTES, defaults.max_pixels};
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    enum mien_code code = mien_file_read(path, MAX_PHOTO_BYTES, &p->bytes, &p->n, e);
    if (code == MIEN_OK && p->n == 0) code = MIEN_FAIL(e, MIEN_E_IMAGE_TYPE, "empty file");
    if (code == MIEN_OK) code = mien_photo_open(p->bytes, p->n, &limits, &p->photo, e);
    return mien_cli_about(name, code, e);
}

enum mien_code mien_cli_photo_analyze(const char *path, struct mien_models *models, struct mien_session *session, unsigned wants,
                                      const struct mien_face_settings *settings, struct mien_cli_photo *p, struct mien_err *e)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    MIEN_TRY(mien_cli_photo_open(path, p, e));
    p->arena = mien_arena_create(FACES_ARENA_BYTES);
    MIEN_FAIL_IF(p->arena == NULL, e, MIEN_E_NOMEM, "out of memory");
    enum mien_code code = mien_face_analyze(models, session, p->photo, wants, settings, p->arena, &p->faces, e);
    return code >= MIEN_E_IMAGE_TYPE && code <= MIEN_E_IMAGE_LIMIT ? mien_cli_about(name, code, e) : code;
}

void mien_cli_photo_free(struct mien_cli_photo *p)
{
    mien_photo_free(&p->photo);
    mien_arena_wipe_free(&p->arena);
    if (p->bytes != NULL) explicit_bzero(p->bytes, p->n);
    free(p->bytes);
    *p = (struct mien_cli_photo){0};
}

/* ---- folders ---- */

struct file_walk { size_t root; mien_cli_on_file *call; void *context; };

static int is_visible(const struct dirent *d) { return d->d_name[0] != '.'; }

static enum mien_code walk_folder(const struct file_walk *w, const char *folder, int depth, struct mien_err *e)
{
    enum { PATH_ROOM = 4096, MAX_DEPTH = 16 };
    struct dirent **entry = NULL;
    const int n = scandir(folder, &entry, is_visible, alphasort);
    enum mien_code code = MIEN_OK;
    MIEN_FAIL_IF(n < 0, e, MIEN_E_IO, "%.150s: %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        char path[PATH_ROOM];
        struct stat st;
        const int length = snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
        free(entry[i]);
        if (code != MIEN_OK || length < 0 || length >= PATH_ROOM || stat(path, &st) != 0) continue;
        if (S_ISREG(st.st_mode)) code = w->call(w->context, path, path + w->root, e);
        else if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH) code = walk_folder(w, path, depth + 1, e);
    }
    free(entry);
    return code;
}

enum mien_code mien_cli_each_file(const char *folder, mien_cli_on_file *call, void *context, struct mien_err *e)
{
    return walk_folder(&(struct file_walk){strlen(folder) + 1, call, context}, folder, 0, e);
}
