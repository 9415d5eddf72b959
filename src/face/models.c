/* A pack of models: the manifest as read, and its networks as they are opened.
 *
 * The list of models never changes after the pack is made, so it is read without a lock. Networks are opened on first use:
 * `net[i]` is published with release order after it is complete, and a lock keeps two threads from opening one twice. */
#include "face/models.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/file.h"
#include "codec/json.h"
#include "face/inner.h"

enum {
    MAGIC = 0x6d6f6465,
    MAX_MODELS = 128,
    MAX_OF_ROLE = 4,            /* size of an ensemble: struct mien_face keeps that many scores */
    MAX_MANIFEST = 4 << 20,     /* bytes */
    MAX_PACK = 64,              /* bytes of a pack's name in a manifest */
    MAX_OWN = 4,                /* models added after the manifest was read (mien_models_put) */
    DETECTOR_PLANS = 16         /* input shapes of a detector held at once; see mien_detect_canvas */
};

struct mien_models {
    unsigned magic;
    char *dir, pack[MAX_PACK + MAX_OWN * 64];
    struct mien_models_settings settings;
    int count, n_own;                /* models; those of them that mien_models_put added, for which there is room */
    struct mien_model *model;
    _Atomic(struct mien_net *) *net; /* beside model[]; NULL until first use */
    struct { atomic_uint_fast64_t runs, ns; } *usage; /* beside model[]; relaxed counters */
    int n_role[MIEN_ROLE_COUNT], role[MIEN_ROLE_COUNT][MAX_OF_ROLE]; /* indices of models */
    pthread_mutex_t lock; /* opening a network */
};

const char *mien_role_name(enum mien_role r)
{
    static const char *const NAME[MIEN_ROLE_COUNT] = {
        [MIEN_ROLE_DETECT] = "detect", [MIEN_ROLE_EMBED] = "embed", [MIEN_ROLE_LANDMARKS] = "landmarks", [MIEN_ROLE_LANDMARKS68] = "landmarks68",
        [MIEN_ROLE_LANDMARKS106] = "landmarks106",
        [MIEN_ROLE_IRIS] = "iris", [MIEN_ROLE_BLENDSHAPES] = "blendshapes", [MIEN_ROLE_EXPRESSION] = "expression",
        [MIEN_ROLE_AGE_GENDER] = "age_gender", [MIEN_ROLE_SPOOF] = "spoof", [MIEN_ROLE_DEEPFAKE] = "deepfake", [MIEN_ROLE_QUALITY] = "quality"};
    return (unsigned)r < MIEN_ROLE_COUNT ? NAME[r] : "?";
}

bool mien_model_has_output(const struct mien_model *m, const char *role)
{
    for (int i = 0; i < m->n_outputs; i++)
        if (strcmp(m->output[i].role, role) == 0) return true;
    return false;
}

int mien_model_output(const struct mien_model *m, const char *role, const struct mien_net *net)
{
    for (int i = 0; i < m->n_outputs; i++)
        if (strcmp(m->output[i].role, role) == 0) return mien_net_output_index(net, m->output[i].name);
    return -1;
}

/* ---- reading ---- */

static int index_of(const struct mien_models *m, const char *id)
{
    for (int i = 0; i < m->count; i++)
        if (strcmp(m->model[i].id, id) == 0) return i;
    return -1;
}

static bool is_file(const char *dir, const char *name)
{
    char path[4096];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    return n > 0 && (size_t)n < sizeof path && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static enum mien_code read_models(struct mien_models *m, const struct mien_json *list, struct mien_err *e)
{
    size_t n = mien_json_size(list);
    MIEN_FAIL_IF(!mien_json_is_array(list) || n > MAX_MODELS, e, MIEN_E_MANIFEST, "models: is not an array of at most %d models", MAX_MODELS);
    m->model = calloc(n + MAX_OWN, sizeof *m->model);
    m->net = calloc(n + MAX_OWN, sizeof *m->net);
    m->usage = calloc(n + MAX_OWN, sizeof *m->usage);
    MIEN_FAIL_IF(m->model == NULL || m->net == NULL || m->usage == NULL, e, MIEN_E_NOMEM, "out of memory for %zu models", n);
    for (size_t i = 0; i < n; i++) {
        struct mien_model *one = &m->model[i];
        enum mien_code code = mien_model_parse(mien_json_at(list, i), (int)i, one, e);
        bool twice = code == MIEN_OK && index_of(m, one->id) >= 0;
        m->count++; /* counted even when wrong, so that mien_models_free releases what it owns */
        if (code != MIEN_OK) return code;
        MIEN_FAIL_IF(twice, e, MIEN_E_MANIFEST, "model \"%s\": id: appears twice", one->id);
        one->installed = is_file(m->dir, one->file);
    }
    return MIEN_OK;
}

static enum mien_code add_role(struct mien_models *m, int role, const struct mien_json *id, struct mien_err *e)
{
    const char *text = mien_json_string(id, NULL), *name = mien_role_name((enum mien_role)role);
    MIEN_FAIL_IF(text == NULL, e, MIEN_E_MANIFEST, "roles.%s: is neither the id of a model nor an array of ids", name);
    int i = index_of(m, text);
    MIEN_FAIL_IF(i < 0, e, MIEN_E_MANIFEST, "roles.%s: no model \"%.63s\"", name, text);
    MIEN_FAIL_IF(strcmp(m->model[i].task, name) != 0, e, MIEN_E_MANIFEST, "roles.%s: model \"%s\" has task %s", name, text, m->model[i].task);
    MIEN_FAIL_IF(m->n_role[role] == MAX_OF_ROLE, e, MIEN_E_MANIFEST, "roles.%s: more than %d models", name, MAX_OF_ROLE);
    m->role[role][m->n_role[role]++] = i;
    return MIEN_OK;
}

static enum mien_code read_roles(struct mien_models *m, const struct mien_json *roles, struct mien_err *e)
{
    const char *key;
    const struct mien_json *v;
    MIEN_FAIL_IF(!mien_json_is_object(roles), e, MIEN_E_MANIFEST, "roles: is not an object");
    for (size_t i = 0; (v = mien_json_member(roles, i, &key)) != NULL; i++) {
        int role = 0;
        while (role < MIEN_ROLE_COUNT && strcmp(mien_role_name((enum mien_role)role), key) != 0) role++;
        MIEN_FAIL_IF(role == MIEN_ROLE_COUNT, e, MIEN_E_MANIFEST, "roles.%.32s: there is no such role", key);
        if (mien_json_is_null(v)) continue;
        if (!mien_json_is_array(v)) MIEN_TRY(add_role(m, role, v, e));
        else
            for (size_t k = 0; k < mien_json_size(v); k++) MIEN_TRY(add_role(m, role, mien_json_at(v, k), e));
    }
    return MIEN_OK;
}

/* Thresholds belong to a model and the detector whose faces it was measured on. */
static void choose_threshold(const struct mien_models *m, struct mien_model *one)
{
    const struct mien_model *detector = mien_models_role(m, MIEN_ROLE_DETECT, 0);
    if (one->n_thresholds == 0) return;
    one->matching = &one->thresholds[0];
    for (int k = 0; detector != NULL && k < one->n_thresholds; k++)
        if (strcmp(one->thresholds[k].detector, detector->id) == 0) one->matching = &one->thresholds[k];
    const struct mien_match_threshold *t = one->matching;
    one->threshold = t->similarity;
    one->threshold_fmr = t->fmr;
    one->calibration_slope = t->slope;
    one->threshold_foreign = detector != NULL && t->detector[0] != '\0' && strcmp(t->detector, detector->id) != 0;
}

static enum mien_code read_pack(struct mien_models *m, const struct mien_json *root, struct mien_err *e)
{
    MIEN_FAIL_IF(!mien_json_is_object(root), e, MIEN_E_MANIFEST, "the manifest is not an object");
    MIEN_FAIL_IF(mien_json_integer(mien_json_get(root, "version"), 0) != 1, e, MIEN_E_MANIFEST, "version: is not 1");
    const char *pack = mien_json_string(mien_json_get(root, "pack"), "");
    MIEN_FAIL_IF(pack[0] == 0 || strlen(pack) >= MAX_PACK, e, MIEN_E_MANIFEST, "pack: is not a string of 1 to %d bytes", MAX_PACK - 1);
    snprintf(m->pack, sizeof m->pack, "%s", pack);
    MIEN_TRY(read_models(m, mien_json_get(root, "models"), e));
    MIEN_TRY(read_roles(m, mien_json_get(root, "roles"), e));
    for (int i = 0; i < m->count; i++) choose_threshold(m, &m->model[i]);
    return MIEN_OK;
}

enum mien_code mien_models_parse(const char *json, size_t n, const char *dir, const struct mien_models_settings *s, struct mien_models **out,
                                 struct mien_err *e)
{
    *out = NULL;
    struct mien_models *m = calloc(1, sizeof *m);
    MIEN_FAIL_IF(m == NULL, e, MIEN_E_NOMEM, "out of memory");
    m->magic = MAGIC;
    m->dir = strdup(dir);
    m->settings.precision = s != NULL ? s->precision : MIEN_PRECISION_AUTO;
    pthread_mutex_init(&m->lock, NULL);
    struct mien_json *root = NULL;
    enum mien_code code = m->dir != NULL ? mien_json_parse(json, n, &root, e) : MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory");
    if (code == MIEN_E_JSON && e != NULL) { /* to the caller a manifest that is not JSON is a wrong manifest */
        char why[120];
        snprintf(why, sizeof why, "%.119s", e->msg);
        size_t pos = e->pos;
        code = MIEN_FAIL(e, MIEN_E_MANIFEST, "the manifest is not JSON: %s at byte %zu", why, pos);
        e->pos = pos;
    } else if (code == MIEN_E_JSON) {
        code = MIEN_E_MANIFEST;
    }
    if (code == MIEN_OK) code = read_pack(m, root, e);
    mien_json_free(&root);
    if (code == MIEN_OK) *out = m;
    else mien_models_free(&m);
    return code;
}

enum mien_code mien_models_open(const char *dir, const struct mien_models_settings *s, struct mien_models **out, struct mien_err *e)
{
    *out = NULL;
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/manifest.json", dir);
    MIEN_FAIL_IF(n < 0 || (size_t)n >= sizeof path, e, MIEN_E_ARG, "the models' directory has too long a name");
    MIEN_FAIL_IF(!is_file(dir, "manifest.json"), e, MIEN_E_MODEL_MISSING, "no models: %.120s is not there; tools/models/pull installs them", path);
    unsigned char *text;
    size_t size;
    MIEN_TRY(mien_file_read(path, MAX_MANIFEST, &text, &size, e));
    enum mien_code code = mien_models_parse((const char *)text, size, dir, s, out, e);
    free(text);
    return code;
}

void mien_models_free(struct mien_models **models)
{
    if (models == NULL || *models == NULL) return;
    struct mien_models *m = *models;
    assert(m->magic == MAGIC);
    for (int i = 0; i < m->count; i++) {
        struct mien_net *net = atomic_load(&m->net[i]);
        mien_net_free(&net);
        mien_model_clear(&m->model[i]);
    }
    pthread_mutex_destroy(&m->lock);
    free(m->model);
    free((void *)m->net);
    free(m->usage);
    free(m->dir);
    m->magic = 0;
    free(m);
    *models = NULL;
}

/* ---- answers ---- */

const char *mien_models_pack(const struct mien_models *m) { return m->pack; }
const char *mien_models_dir(const struct mien_models *m) { return m->dir; }
int mien_models_count(const struct mien_models *m) { return m->count; }
const struct mien_model *mien_models_at(const struct mien_models *m, int i) { return i >= 0 && i < m->count ? &m->model[i] : NULL; }

const struct mien_model *mien_models_find(const struct mien_models *m, const char *id)
{
    int i = index_of(m, id);
    return i >= 0 ? &m->model[i] : NULL;
}

const struct mien_model *mien_models_role(const struct mien_models *m, enum mien_role role, int i)
{
    assert((unsigned)role < MIEN_ROLE_COUNT);
    return i >= 0 && i < m->n_role[role] ? &m->model[m->role[role][i]] : NULL;
}

/* ---- networks ---- */

static enum mien_code check_net(const struct mien_model *model, const struct mien_net *net, struct mien_err *e)
{
    MIEN_FAIL_IF(mien_net_inputs(net) != 1, e, MIEN_E_MANIFEST, "model \"%s\": file: the network has %d inputs, 1 is supported", model->id,
                 mien_net_inputs(net));
    for (int i = 0; i < model->n_outputs; i++)
        MIEN_FAIL_IF(mien_net_output_index(net, model->output[i].name) < 0, e, MIEN_E_MANIFEST, "model \"%s\": outputs.%s: the network has no output \"%s\"",
                     model->id, model->output[i].role, model->output[i].name);
    return MIEN_OK;
}

enum mien_code mien_model_open(const struct mien_model *model, const char *path, enum mien_precision precision, struct mien_net **net, struct mien_err *e)
{
    struct mien_net_settings s;
    mien_net_settings_default(&s);
    s.precision = precision;
    s.allow_bf16 = !model->f32_only;
    if (model->decoder != MIEN_DECODER_NONE) s.max_plans = DETECTOR_PLANS;
    MIEN_TRY(mien_net_open(path, model->id, &s, net, e));
    enum mien_code code = check_net(model, *net, e);
    if (code != MIEN_OK) mien_net_free(net);
    return code;
}

static enum mien_code open_net(const struct mien_models *m, const struct mien_model *model, struct mien_net **net, struct mien_err *e)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", m->dir, model->file);
    MIEN_FAIL_IF(n < 0 || (size_t)n >= sizeof path || !is_file(m->dir, model->file), e, MIEN_E_MODEL_MISSING,
                 "model \"%s\" is not installed: no file %.80s in the models' directory; tools/models/pull installs it", model->id, model->file);
    return mien_model_open(model, path, m->settings.precision, net, e);
}

enum mien_code mien_models_net(struct mien_models *m, const struct mien_model *model, struct mien_net **net, struct mien_err *e)
{
    assert(m->magic == MAGIC && model >= m->model && model < m->model + m->count);
    _Atomic(struct mien_net *) *slot = &m->net[model - m->model];
    *net = atomic_load_explicit(slot, memory_order_acquire);
    if (*net != NULL) return MIEN_OK;
    pthread_mutex_lock(&m->lock);
    enum mien_code code = MIEN_OK;
    *net = atomic_load_explicit(slot, memory_order_relaxed);
    if (*net == NULL) {
        code = open_net(m, model, net, e);
        if (code == MIEN_OK) atomic_store_explicit(slot, *net, memory_order_release);
    }
    pthread_mutex_unlock(&m->lock);
    return code;
}

enum mien_code mien_models_put(struct mien_models *m, enum mien_role role, struct mien_model *model, struct mien_net *net, const char *shown,
                               struct mien_err *e)
{
    const int i = m->count;
    MIEN_FAIL_IF(index_of(m, model->id) >= 0, e, MIEN_E_ARG, "model \"%s\" is there already", model->id);
    MIEN_FAIL_IF(m->n_own == MAX_OWN, e, MIEN_E_ARG, "more than %d models beside the manifest's", MAX_OWN);
    m->model[i] = *model;
    m->model[i].installed = true;
    choose_threshold(m, &m->model[i]);
    atomic_store_explicit(&m->net[i], net, memory_order_release);
    m->role[role][0] = i;
    m->n_role[role] = 1;
    m->count++;
    m->n_own++;
    const size_t used = strlen(m->pack);
    snprintf(m->pack + used, sizeof m->pack - used, "+%.62s", shown);
    *model = (struct mien_model){0};
    return MIEN_OK;
}

enum mien_precision mien_models_precision(const struct mien_models *m) { return m->settings.precision; }

enum mien_code mien_model_exec(struct mien_models *models, struct mien_session *s, const struct mien_model *model, int w, int h,
                               struct mien_net **net, struct mien_exec **x, struct mien_err *e)
{
    struct mien_net *n;
    MIEN_TRY(mien_models_net(models, model, &n, e));
    if (net != NULL) *net = n;
    struct mien_shape shape = {4, {1, model->spec.channels == MIEN_GRAY ? 1 : 3, h, w}};
    return mien_session_exec(s, n, &shape, 1, x, e);
}

enum mien_code mien_model_run(struct mien_models *m, const struct mien_model *model, struct mien_exec *x, struct mien_err *e)
{
    const uint64_t start = mien_now_ns();
    MIEN_TRY(mien_exec_run(x, e));
    atomic_fetch_add_explicit(&m->usage[model - m->model].ns, mien_now_ns() - start, memory_order_relaxed);
    atomic_fetch_add_explicit(&m->usage[model - m->model].runs, 1, memory_order_relaxed);
    return MIEN_OK;
}

struct mien_model_usage mien_models_usage(const struct mien_models *m, int i)
{
    if (i < 0 || i >= m->count) return (struct mien_model_usage){0};
    return (struct mien_model_usage){.runs = atomic_load_explicit(&m->usage[i].runs, memory_order_relaxed),
                                     .ns = atomic_load_explicit(&m->usage[i].ns, memory_order_relaxed)};
}
