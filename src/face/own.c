/* A user's network takes a role: which entry it has, whether the file is what the entry says, and then the pack is told.
 *
 * Nothing is trusted: the file's shapes are asked of the engine, which has checked the file, and the outputs' sizes of a plan at the entry's input size, so
 * that what would fail at the first photo fails here. */
#include "face/own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/file.h"
#include "codec/json.h"
#include "face/inner.h"

enum { MAX_ENTRY = 1 << 20, MAX_DEPTH = 32, HASH_DIGITS = 8 };

/* "nets/My net.onnx" -> "My_net-1a2b3c4d": what is no letter, digit, '.' or '-' becomes '_', at the beginning 'x'. */
static void make_id(const struct mien_own_model *own, char id[64])
{
    char stem[64 - HASH_DIGITS - 1];
    snprintf(stem, sizeof stem, "%s", mien_base_name(own->path));
    char *end = strrchr(stem, '.');
    if (end != NULL && end != stem && strcmp(end, ".onnx") == 0) *end = '\0';
    for (char *p = stem; *p != '\0'; p++) {
        const bool word = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (!word && (p == stem || (*p != '.' && *p != '-'))) *p = p == stem ? 'x' : '_';
    }
    snprintf(id, 64, "%s-%.*s", stem[0] != '\0' ? stem : "x", HASH_DIGITS, own->version != NULL ? own->version : own->sha256);
}

/* ---- the entry ---- */

static bool is_identity(const char *key) { return strcmp(key, "id") == 0 || strcmp(key, "file") == 0 || strcmp(key, "task") == 0; }

/* The entry as a manifest would have it: with id, file and task in front. */
static void complete_entry(const struct mien_json *given, const char *id, enum mien_role role, struct mien_buf *out)
{
    struct mien_jw w;
    const char *key;
    char file[80];
    snprintf(file, sizeof file, "%s.onnx", id);
    mien_jw_init(&w, out);
    mien_jw_object(&w);
    mien_jw_put_string(&w, "id", id);
    mien_jw_put_string(&w, "file", file);
    mien_jw_put_string(&w, "task", mien_role_name(role));
    for (size_t i = 0; i < mien_json_size(given); i++) {
        const struct mien_json *v = mien_json_member(given, i, &key);
        if (is_identity(key)) continue;
        mien_jw_key(&w, key);
        mien_jw_copy(&w, v);
    }
    mien_jw_end_object(&w);
}

static enum mien_code parse_object(const char *text, size_t n, struct mien_json **root, struct mien_err *e)
{
    struct mien_err why = {0};
    MIEN_FAIL_IF(mien_json_parse(text, n, root, &why) != MIEN_OK, e, MIEN_E_MANIFEST, "not JSON: %.120s at byte %zu", why.msg, why.pos);
    if (mien_json_is_object(*root)) return MIEN_OK;
    mien_json_free(root);
    return MIEN_FAIL(e, MIEN_E_MANIFEST, "not a JSON object");
}

/* `text`: the members that are given. On failure the caller clears *m all the same. */
static enum mien_code read_entry(const char *text, size_t n, const char *id, enum mien_role role, struct mien_model *m, struct mien_err *e)
{
    struct mien_json *given = NULL, *entry = NULL;
    struct mien_buf whole;
    MIEN_TRY(parse_object(text, n, &given, e));
    mien_buf_init(&whole, MAX_ENTRY);
    const char *wanted = mien_role_name(role), *task = mien_json_string(mien_json_get(given, "task"), wanted);
    enum mien_code code = MIEN_OK;
    if (mien_json_depth(given) > MAX_DEPTH) code = MIEN_FAIL(e, MIEN_E_MANIFEST, "more than %d levels", MAX_DEPTH); /* which the writer could not take */
    else if (strcmp(task, wanted) != 0) code = MIEN_FAIL(e, MIEN_E_MANIFEST, "task: is \"%.32s\", and \"%s\" is wanted", task, wanted);
    else complete_entry(given, id, role, &whole);
    mien_json_free(&given);
    if (code == MIEN_OK && whole.failed) code = MIEN_FAIL(e, MIEN_E_LIMIT, "the manifest is too large");
    if (code == MIEN_OK) code = parse_object(whole.data, whole.len, &entry, e);
    if (code == MIEN_OK) code = mien_model_parse(entry, 0, m, e);
    mien_json_free(&entry);
    mien_buf_free(&whole);
    return code;
}

/* ---- known networks ---- */

static bool has_input(const struct mien_net *net, int side)
{
    const struct mien_shape s = mien_net_input_shape(net, 0);
    return mien_net_inputs(net) == 1 && s.rank == 4 && s.dim[1] == 3 && s.dim[2] == side && s.dim[3] == side;
}

static bool has_outputs(const struct mien_net *net, const struct mien_known_model *k)
{
    if (mien_net_outputs(net) != k->n_outputs) return false;
    for (int i = 0; i < k->n_outputs; i++)
        if (k->output[i] != NULL && mien_net_output_index(net, k->output[i]) < 0) return false;
    return true;
}

/* "1x3x160x160", "?" for what the file leaves open. */
static void shape_text(const struct mien_shape *s, char *out, size_t room)
{
    out[0] = '\0';
    for (int i = 0; i < s->rank; i++) {
        const size_t used = strlen(out);
        if (s->dim[i] < 0) snprintf(out + used, room - used, "%s?", i > 0 ? "x" : "");
        else snprintf(out + used, room - used, "%s%lld", i > 0 ? "x" : "", (long long)s->dim[i]);
    }
}

static enum mien_code unknown(const struct mien_own_model *own, const struct mien_net *net, struct mien_err *e)
{
    char in[60] = "no", names[80] = "";
    const char *file = mien_base_name(own->path), *end = strrchr(file, '.');
    const int stem = end != NULL && strcmp(end, ".onnx") == 0 ? (int)(end - file) : (int)strlen(file);
    const struct mien_shape s = mien_net_inputs(net) > 0 ? mien_net_input_shape(net, 0) : (struct mien_shape){0};
    if (mien_net_inputs(net) > 0) shape_text(&s, in, sizeof in);
    for (int i = 0; i < mien_net_outputs(net) && strlen(names) < 50; i++) {
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%.24s", i > 0 ? ", " : "", mien_net_output_name(net, i));
    }
    return MIEN_FAIL(e, MIEN_E_MANIFEST, "its structure (input %s, outputs %s) is not known: write its manifest, %.*s.json (models/README.md)", in, names, stem,
                     file);
}

/* The row that the network fits, and its entry in *m. */
static enum mien_code recognise(const struct mien_own_model *own, enum mien_role role, const char *id, struct mien_model *m,
                                const struct mien_known_model **known, struct mien_err *e)
{
    struct mien_net *net;
    struct mien_net_settings s;
    mien_net_settings_default(&s);
    MIEN_TRY(mien_net_open(own->path, id, &s, &net, e));
    const struct mien_known_model *k = NULL;
    for (int i = 0; (k = mien_known_model_at(i)) != NULL; i++)
        if (k->role == role && has_input(net, k->side) && has_outputs(net, k)) break;
    enum mien_code code = k != NULL ? read_entry(k->entry, strlen(k->entry), id, role, m, e) : unknown(own, net, e);
    if (code == MIEN_OK && k->output[0] == NULL) {
        const char *name = mien_net_output_name(net, 0);
        if (strlen(name) < sizeof m->output[0].name) snprintf(m->output[0].name, sizeof m->output[0].name, "%s", name);
        else code = MIEN_FAIL(e, MIEN_E_MANIFEST, "the name of its output is too long");
    }
    mien_net_free(&net);
    *known = k;
    return code;
}

/* ---- is the network what the entry says? ---- */

static int64_t count_of(const struct mien_model *m, const struct mien_net *net, const struct mien_exec *x, const char *role)
{
    const int i = mien_model_output(m, role, net);
    const struct mien_shape s = i >= 0 ? mien_exec_output_shape(x, i) : (struct mien_shape){0};
    return i >= 0 ? mien_shape_count(&s) : 0;
}

static enum mien_code check_counts(const struct mien_model *m, const struct mien_net *net, const struct mien_exec *x, const struct mien_known_model *known,
                                   struct mien_err *e)
{
    for (int i = 0; i < m->n_outputs; i++) {
        const int64_t n = count_of(m, net, x, m->output[i].role);
        MIEN_FAIL_IF(known != NULL && n != known->count[i], e, MIEN_E_MANIFEST, "output \"%s\" has %lld elements, and %lld are those of %s: write its manifest",
                     m->output[i].name, (long long)n, (long long)known->count[i], known->name);
    }
    if (m->dim > 0) {
        const int64_t n = count_of(m, net, x, "embedding");
        MIEN_FAIL_IF(n != m->dim, e, MIEN_E_MANIFEST, "dim: is %d, but the output has %lld elements", m->dim, (long long)n);
        return MIEN_OK;
    }
    const int64_t n = count_of(m, net, x, "prob");
    MIEN_FAIL_IF(n < 1 || (n > 1 && m->live_index >= n), e, MIEN_E_MANIFEST, "live_index: is %d, but the output has %lld elements", m->live_index,
                 (long long)n);
    return MIEN_OK;
}

static enum mien_code check_network(const struct mien_model *m, struct mien_net *net, const struct mien_known_model *known, struct mien_err *e)
{
    const struct mien_shape declared = mien_net_input_shape(net, 0), wanted = {4, {1, m->spec.channels == MIEN_GRAY ? 1 : 3, m->height, m->width}};
    char text[60];
    bool fits = declared.rank == 4;
    for (int i = 0; fits && i < 4; i++) fits = declared.dim[i] < 0 || declared.dim[i] == wanted.dim[i] || (i == 0 && declared.dim[0] == 1);
    shape_text(&declared, text, sizeof text);
    MIEN_FAIL_IF(!fits, e, MIEN_E_MANIFEST, "input: the network takes %s, the manifest says 1x%dx%dx%d", text, (int)wanted.dim[1], m->height, m->width);
    struct mien_session *session;
    struct mien_exec *x;
    MIEN_TRY(mien_session_create(&session, e));
    enum mien_code code = mien_session_exec(session, net, &wanted, 1, &x, e);
    if (code == MIEN_OK) code = check_counts(m, net, x, known, e);
    mien_session_free(&session);
    return code;
}

static enum mien_code open_checked(struct mien_models *models, const struct mien_own_model *own, const struct mien_model *m,
                                   const struct mien_known_model *known, struct mien_net **net, struct mien_err *e)
{
    MIEN_FAIL_IF(m->crop.kind == MIEN_CROP_POINTS, e, MIEN_E_MANIFEST, "crop.kind: is points; the network must take pixels");
    MIEN_FAIL_IF(m->sha256[0] != '\0' && strcmp(m->sha256, own->sha256) != 0, e, MIEN_E_MANIFEST, "sha256: the file has %.16s...", own->sha256);
    MIEN_TRY(mien_model_open(m, own->path, mien_models_precision(models), net, e));
    const enum mien_code code = check_network(m, *net, known, e);
    if (code != MIEN_OK) mien_net_free(net);
    return code;
}

enum mien_code mien_models_replace(struct mien_models *models, enum mien_role role, const struct mien_own_model *own, const char **known_as,
                                   struct mien_err *e)
{
    struct mien_model m = {0};
    const struct mien_known_model *known = NULL;
    struct mien_net *net = NULL;
    char id[64];
    if (known_as != NULL) *known_as = NULL;
    MIEN_FAIL_IF((role != MIEN_ROLE_EMBED && role != MIEN_ROLE_SPOOF) || strlen(own->sha256) != 64, e, MIEN_E_ARG, "no network of one's own for this role");
    make_id(own, id);
    enum mien_code code = own->manifest != NULL ? read_entry(own->manifest, own->manifest_bytes, id, role, &m, e) : recognise(own, role, id, &m, &known, e);
    if (code == MIEN_OK) code = open_checked(models, own, &m, known, &net, e);
    if (code == MIEN_OK) snprintf(m.sha256, sizeof m.sha256, "%s", own->sha256);
    if (code == MIEN_OK) code = mien_models_put(models, role, &m, net, mien_base_name(own->path), e);
    if (code != MIEN_OK) {
        mien_net_free(&net);
        mien_model_clear(&m);
    }
    if (known_as != NULL && code == MIEN_OK && known != NULL) *known_as = known->name;
    return code;
}
