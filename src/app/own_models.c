/* From the names of files in the configuration to networks in the pack. */
#include "app/own_models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/people.h"
#include "base/file.h"
#include "base/log.h"
#include "codec/json.h"
#include "crypto/digest.h"
#include "face/own.h"

#define MAX_ONNX_BYTES ((size_t)2 << 30) /* what a protobuf may have */
enum { MAX_MANIFEST_BYTES = 1 << 20, MAX_LEVELS = 32 };

struct own_setting { unsigned bit; const char *name, *file; enum mien_role role; };

/* net.onnx -> net.json, net -> net.json. */
static bool manifest_path(const char *path, char out[MIEN_PATH])
{
    size_t n = strlen(path);
    if (n > 5 && strcmp(path + n - 5, ".onnx") == 0) n -= 5;
    const int length = snprintf(out, MIEN_PATH, "%.*s.json", (int)n, path);
    return length > 0 && length < MIEN_PATH;
}

static enum mien_code hash_of(const char *path, char hex[65], struct mien_err *e)
{
    struct mien_file f;
    MIEN_TRY(mien_file_map(path, MAX_ONNX_BYTES, &f, e));
    const enum mien_code code = mien_sha256_hex(f.data, f.size, hex, e);
    mien_file_unmap(&f);
    return code;
}

/* What makes an embedding: the file, and how its manifest feeds it. A threshold may change without anybody being enrolled again. A manifest that cannot be
 * read adds nothing here: it is refused soon. */
static enum mien_code version_of(const char *file_sha256, const struct mien_own_model *own, char hex[65], struct mien_err *e)
{
    static const char *const MEMBER[] = {"input", "crop", "outputs"};
    struct mien_json *manifest = NULL;
    struct mien_buf b;
    struct mien_jw w;
    mien_buf_init(&b, 2 * MAX_MANIFEST_BYTES);
    mien_jw_init(&w, &b);
    mien_jw_object(&w);
    mien_jw_put_string(&w, "file", file_sha256);
    const bool readable = mien_json_parse(own->manifest, own->manifest_bytes, &manifest, NULL) == MIEN_OK && mien_json_depth(manifest) <= MAX_LEVELS;
    for (size_t i = 0; readable && i < sizeof MEMBER / sizeof MEMBER[0]; i++) {
        mien_jw_key(&w, MEMBER[i]);
        mien_jw_copy(&w, mien_json_get(manifest, MEMBER[i]));
    }
    mien_jw_end_object(&w);
    const enum mien_code code = b.failed ? MIEN_FAIL(e, MIEN_E_NOMEM, "out of memory") : mien_sha256_hex(b.data, b.len, hex, e);
    mien_json_free(&manifest);
    mien_buf_free(&b);
    return code;
}

/* That a recognition model has no measured threshold is said for every pack (mien_figures_log). */
static void warn(const struct own_setting *o, const struct mien_models *models)
{
    const struct mien_model *m = mien_models_role(models, o->role, 0);
    if (o->role == MIEN_ROLE_SPOOF)
        mien_log(MIEN_LOG_WARN, "antispoof_unmeasured",
                 "model=%s why=the thresholds of liveness were chosen for the packs' networks next=try live and fake photos, then ANTISPOOF_THRESHOLD", m->id);
}

static enum mien_code put(const struct own_setting *o, const char *path, struct mien_models *models, struct mien_err *e)
{
    char hex[65], version[65], beside[MIEN_PATH], what[100];
    unsigned char *text = NULL;
    const char *known = NULL;
    struct mien_own_model own = {.path = path, .sha256 = hex};
    MIEN_FAIL_IF(!manifest_path(path, beside), e, MIEN_E_CONFIG, "%s: the path is too long", o->name);
    enum mien_code code = mien_cli_about(o->name, hash_of(path, hex, e), e);
    if (code == MIEN_OK && access(beside, F_OK) == 0)
        code = mien_cli_about(o->name, mien_file_read(beside, MAX_MANIFEST_BYTES, &text, &own.manifest_bytes, e), e);
    if (code != MIEN_OK) return code;
    if (text != NULL) {
        own.manifest = (const char *)text;
        own.version = version;
        code = version_of(hex, &own, version, e);
    }
    if (code == MIEN_OK) code = mien_models_replace(models, o->role, &own, &known, e);
    if (code == MIEN_OK)
        mien_log(MIEN_LOG_INFO, "own_model", "setting=%s model=%s used_as=%s", o->name, mien_models_role(models, o->role, 0)->id,
                 known != NULL ? known : "its manifest says");
    snprintf(what, sizeof what, "%s: %.80s", o->name, mien_base_name(code == MIEN_E_MANIFEST && text != NULL ? beside : path));
    free(text);
    return mien_cli_about(what, code, e);
}

enum mien_code mien_own_models(const struct mien_cli *cli, const struct mien_serve_settings *s, unsigned which, struct mien_models **out, struct mien_err *e)
{
    const struct own_setting setting[] = {{MIEN_OWN_RESNET, "RESNET", s->resnet, MIEN_ROLE_EMBED}, {MIEN_OWN_DEEPPIX, "DEEPPIX", s->deeppix, MIEN_ROLE_SPOOF}};
    char dir[MIEN_PATH] = "", path[MIEN_PATH];
    MIEN_TRY(mien_cli_models(cli, NULL, out, e));
    enum mien_code code = MIEN_OK;
    for (size_t i = 0; code == MIEN_OK && i < sizeof setting / sizeof setting[0]; i++) {
        const struct own_setting *o = &setting[i];
        if ((which & o->bit) == 0 || o->file[0] == '\0') continue;
        if (o->file[0] != '/' && s->data_folder[0] == '\0' && dir[0] == '\0') code = mien_data_dir(s, false, dir, e);
        if (code == MIEN_OK) code = mien_data_file(s, dir, o->file, path, e);
        if (code == MIEN_OK) code = put(o, path, *out, e);
        if (code == MIEN_OK && (which & MIEN_OWN_WARN) != 0) warn(o, *out);
    }
    if (code != MIEN_OK) mien_models_free(out);
    return code;
}
