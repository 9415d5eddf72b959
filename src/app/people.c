/* Opens the enrolled people. */
#include "app/people.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "store/sqlite.h"

/* ---- the process ---- */

void mien_keep_memory_private(void)
{
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L);
}

void mien_memory_is_wiped(void) { prctl(PR_SET_DUMPABLE, 1L, 0L, 0L, 0L); }

/* ---- folders ---- */

static void default_data_dir(char *dir, size_t room)
{
    const char *state = getenv("STATE_DIRECTORY"), *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (state != NULL && state[0] != '\0') snprintf(dir, room, "%s", state);
    else if (xdg != NULL && xdg[0] == '/') snprintf(dir, room, "%s/mien", xdg);
    else snprintf(dir, room, "%s/.local/share/mien", home != NULL ? home : "");
}

static enum mien_code make_dirs(char *dir, struct mien_err *e)
{
    for (char *slash = strchr(dir + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(dir, 0700);
        *slash = '/';
    }
    MIEN_FAIL_IF(mkdir(dir, 0700) != 0 && errno != EEXIST, e, MIEN_E_CONFIG, "DATA_DIR: %s: %s", dir, strerror(errno));
    return MIEN_OK;
}

enum mien_code mien_data_dir(const struct mien_serve_settings *s, bool make, char dir[MIEN_PATH], struct mien_err *e)
{
    struct stat st;
    MIEN_FAIL_IF(strlen(s->data_dir) >= MIEN_PATH, e, MIEN_E_CONFIG, "DATA_DIR: the path is too long");
    if (s->data_dir[0] != '\0') snprintf(dir, MIEN_PATH, "%s", s->data_dir);
    else default_data_dir(dir, MIEN_PATH);
    if (make) MIEN_TRY(make_dirs(dir, e));
    const int access_as = make ? W_OK | X_OK : X_OK;
    MIEN_FAIL_IF(stat(dir, &st) != 0 || !S_ISDIR(st.st_mode) || access(dir, access_as) != 0, e, MIEN_E_CONFIG, "DATA_DIR: %s is not a folder to %s in", dir,
                 make ? "write" : "look");
    return MIEN_OK;
}

enum mien_code mien_data_file(const struct mien_serve_settings *s, const char *dir, const char *name, char path[MIEN_PATH], struct mien_err *e)
{
    const char *folder = s->data_folder[0] != '\0' ? s->data_folder : dir;
    const int n = name[0] == '/' ? snprintf(path, MIEN_PATH, "%s", name) : snprintf(path, MIEN_PATH, "%s/%s", folder, name);
    MIEN_FAIL_IF(n < 0 || n >= MIEN_PATH, e, MIEN_E_CONFIG, "DATA_FOLDER: the path is too long");
    return MIEN_OK;
}

static enum mien_code path_in(const char *dir, const char *name, char path[MIEN_PATH], struct mien_err *e)
{
    const int n = snprintf(path, MIEN_PATH, "%s/%s", dir, name);
    MIEN_FAIL_IF(n < 0 || n >= MIEN_PATH, e, MIEN_E_CONFIG, "DATA_DIR: the path is too long");
    return MIEN_OK;
}

void mien_server_url(const struct mien_serve_settings *s, char url[300])
{
    const char *host = s->server.host;
    if (strcmp(host, "0.0.0.0") == 0) host = "127.0.0.1";
    if (strcmp(host, "::") == 0) host = "::1";
    const bool v6 = strchr(host, ':') != NULL;
    snprintf(url, 300, "http://%s%.255s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "", s->server.port);
}

/* ---- store, keys, gallery ---- */

enum mien_code mien_people_redis(const struct mien_serve_settings *s, struct mien_people *p, struct mien_err *e)
{
    if (s->redis_url[0] == '\0' || p->redis != NULL) return MIEN_OK;
    return mien_cli_about("REDIS_URL", mien_redis_open(s->redis_url, &p->redis, e), e);
}

enum mien_code mien_people_store(const struct mien_serve_settings *s, bool read_only, struct mien_people *p, struct mien_err *e)
{
    char dir[MIEN_PATH], path[MIEN_PATH];
    if (p->store != NULL) return MIEN_OK;
    MIEN_TRY(mien_people_redis(s, p, e));
    if (p->redis != NULL) return mien_redis_store(p->redis, &p->store, e);
    MIEN_TRY(mien_data_dir(s, !read_only, dir, e));
    MIEN_TRY(path_in(dir, "gallery.db", path, e));
    return mien_cli_about(path, mien_sqlite_open(path, read_only, &p->store, e), e);
}

/* A lost key file must not be replaced by a new one: the templates would stay unreadable, and the message would be about a wrong key. */
static enum mien_code check_lost_keys(struct mien_people *p, const char *file, struct mien_err *e)
{
    uint64_t users = 0, records = 0;
    if (access(file, F_OK) == 0) return MIEN_OK;
    MIEN_TRY(p->store->count(p->store, &users, &records, e));
    MIEN_FAIL_IF(records > 0, e, MIEN_E_KEY, "%.120s is not there, and %llu templates are sealed: bring it back, or set BIOMETRIC_TEMPLATE_KEY", file,
                 (unsigned long long)records);
    return MIEN_OK;
}

enum mien_code mien_people_keys(const struct mien_serve_settings *s, bool read_only, struct mien_people *p, struct mien_err *e)
{
    char dir[MIEN_PATH], file[MIEN_PATH] = "";
    bool made = false;
    if (p->keyring != NULL) return MIEN_OK;
    MIEN_TRY(mien_people_store(s, read_only, p, e));
    if (s->template_key[0] == '\0') {
        MIEN_TRY(mien_data_dir(s, !read_only, dir, e));
        MIEN_TRY(path_in(dir, "template.keys", file, e));
        MIEN_TRY(check_lost_keys(p, file, e));
    }
    const struct mien_keyring_settings keys = {.key = s->template_key, .previous = s->template_key_previous, .salt = s->template_salt, .file = file};
    MIEN_TRY(mien_keyring_open(&keys, &p->keyring, &made, e));
    if (made) mien_log(MIEN_LOG_WARN, "template_key_made", "file=%s", file);
    /* Other servers on this Redis could not open what is sealed under it. */
    if (made && p->redis != NULL)
        mien_log(MIEN_LOG_WARN, "template_key_is_local", "file=%s needs=BIOMETRIC_TEMPLATE_KEY", file);
    return MIEN_OK;
}

enum mien_code mien_people_gallery(const struct mien_serve_settings *s, struct mien_models *models, struct mien_people *p, struct mien_err *e)
{
    const struct mien_model *model = mien_models_role(models, MIEN_ROLE_EMBED, 0);
    MIEN_FAIL_IF(model == NULL, e, MIEN_E_MODEL_MISSING, "the pack \"%.64s\" has no recognition model", mien_models_pack(models));
    MIEN_FAIL_IF(s->embedding_model[0] != '\0' && strcmp(s->embedding_model, model->id) != 0, e, MIEN_E_CONFIG,
                 "EMBEDDING_MODEL: the recognition model of the pack is %s", model->id);
    MIEN_FAIL_IF(s->embedding_dim != 0 && s->embedding_dim != model->dim, e, MIEN_E_CONFIG, "EMBEDDING_DIM: %s has %d", model->id, model->dim);
    MIEN_TRY(mien_people_keys(s, false, p, e));
    const struct mien_gallery_settings g = {.store = p->store, .keyring = p->keyring, .model = model->id, .dim = model->dim};
    p->store = NULL;
    p->keyring = NULL;
    return mien_gallery_open(&g, &p->gallery, e);
}

void mien_people_close(struct mien_people *p)
{
    mien_gallery_close(&p->gallery);
    if (p->store != NULL) p->store->close(p->store);
    mien_keyring_free(&p->keyring);
    mien_redis_close(&p->redis);
    *p = (struct mien_people){0};
}
