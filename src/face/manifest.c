/* One entry of manifest.json -> struct mien_model. The grammar is docs/models.md.
 *
 * A manifest is written by the models tool or by a user by hand, so a mistake must say where it is: every message begins with
 * the model's id (its number while the id itself is wrong) and the member's path. Members that are not in the grammar are
 * ignored; null counts as absent. Each check of a value against its range stands in one of the small readers below, so that
 * the entry's own functions are lists of members. */
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "codec/json.h"
#include "face/inner.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

/* An object being read: `path` goes before the names of its members in messages ("" or "crop."). */
struct reader {
    const struct mien_json *object;
    const char *id, *path;
    struct mien_err *e;
};

#define WRONG(r, member, ...) wrong((r), (member), __LINE__, __VA_ARGS__)
__attribute__((format(printf, 4, 5))) static enum mien_code wrong(const struct reader *r, const char *member, int line, const char *fmt, ...)
{
    char text[120];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return mien_err_set(r->e, MIEN_E_MANIFEST, __FILE__, line, "model %s: %s%s: %s", r->id, r->path, member, text);
}

/* The member, or NULL when it is absent; then `required` decides. */
static enum mien_code member(const struct reader *r, const char *name, bool required, const struct mien_json **v)
{
    *v = mien_json_get(r->object, name);
    if (!mien_json_is_null(*v)) return MIEN_OK;
    *v = NULL;
    return required ? WRONG(r, name, "is missing") : MIEN_OK;
}

static enum mien_code read_text(const struct reader *r, const char *name, bool required, char *out, size_t room)
{
    const struct mien_json *v;
    MIEN_TRY(member(r, name, required, &v));
    if (v == NULL) return MIEN_OK;
    const char *s = mien_json_string(v, NULL);
    if (s == NULL) return WRONG(r, name, "is not a string");
    size_t n = strlen(s);
    if (n == 0 || n >= room) return WRONG(r, name, "has %zu bytes; 1 to %zu are allowed", n, room - 1);
    memcpy(out, s, n + 1);
    return MIEN_OK;
}

static enum mien_code read_float(const struct reader *r, const char *name, bool required, double low, double high, float *out)
{
    const struct mien_json *v;
    MIEN_TRY(member(r, name, required, &v));
    if (v == NULL) return MIEN_OK;
    double d = mien_json_number(v, 0.0);
    if (!mien_json_is_number(v)) return WRONG(r, name, "is not a number");
    if (!(d >= low && d <= high)) return WRONG(r, name, "is outside %g to %g", low, high);
    *out = (float)d;
    return MIEN_OK;
}

static bool is_int(const struct mien_json *v, int low, int high, int *out)
{
    int64_t i = mien_json_integer(v, INT64_MIN);
    if (i < low || i > high) return false;
    *out = (int)i;
    return true;
}

static enum mien_code read_int(const struct reader *r, const char *name, bool required, int low, int high, int *out)
{
    const struct mien_json *v;
    MIEN_TRY(member(r, name, required, &v));
    if (v == NULL || is_int(v, low, high, out)) return MIEN_OK;
    return WRONG(r, name, "is not an integer in %d to %d", low, high);
}

static enum mien_code read_bool(const struct reader *r, const char *name, bool *out)
{
    const struct mien_json *v;
    MIEN_TRY(member(r, name, false, &v));
    if (v == NULL) return MIEN_OK;
    *out = mien_json_bool(v, false);
    return mien_json_bool(v, true) == *out ? MIEN_OK : WRONG(r, name, "is neither true nor false");
}

/* Index of a name in a list; the list is quoted in the message. *out keeps its value when the member is absent. */
static enum mien_code read_choice(const struct reader *r, const char *name, bool required, const char *const *list, int n, int *out)
{
    const struct mien_json *v;
    char all[100] = "";
    MIEN_TRY(member(r, name, required, &v));
    if (v == NULL) return MIEN_OK;
    const char *s = mien_json_string(v, "");
    for (int i = 0; i < n; i++) {
        if (strcmp(s, list[i]) == 0) {
            *out = i;
            return MIEN_OK;
        }
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i > 0 ? ", " : "", list[i]);
    }
    return WRONG(r, name, "is not one of %s", all);
}

/* An array of low..high numbers, all within -limit..limit. Sets *n (NULL: low == high). */
static enum mien_code read_floats(const struct reader *r, const char *name, bool required, int low, int high, float limit, float *out, int *n)
{
    const struct mien_json *v;
    MIEN_TRY(member(r, name, required, &v));
    if (v == NULL) return MIEN_OK;
    size_t size = mien_json_size(v);
    if (!mien_json_is_array(v) || size < (size_t)low || size > (size_t)high) return WRONG(r, name, "is not an array of %d to %d numbers", low, high);
    if (!mien_json_floats(v, out, size)) return WRONG(r, name, "holds something else than numbers");
    for (size_t i = 0; i < size; i++)
        if (!(out[i] >= -limit && out[i] <= limit)) return WRONG(r, name, "[%zu] is outside %g to %g", i, (double)-limit, (double)limit);
    if (n != NULL) *n = (int)size;
    return MIEN_OK;
}

static enum mien_code read_ints(const struct reader *r, const char *name, int at_most, int low, int high, int *out, int *n)
{
    const struct mien_json *v;
    MIEN_TRY(member(r, name, true, &v));
    size_t size = mien_json_size(v);
    if (!mien_json_is_array(v) || size < 1 || size > (size_t)at_most) return WRONG(r, name, "is not an array of 1 to %d integers", at_most);
    for (size_t i = 0; i < size; i++)
        if (!is_int(mien_json_at(v, i), low, high, &out[i])) return WRONG(r, name, "[%zu] is not an integer in %d to %d", i, low, high);
    *n = (int)size;
    return MIEN_OK;
}

/* The object under a name, ready to read. */
static enum mien_code enter(const struct reader *r, const char *name, const char *path, bool required, struct reader *inner)
{
    *inner = (struct reader){NULL, r->id, path, r->e};
    MIEN_TRY(member(r, name, required, &inner->object));
    return inner->object == NULL || mien_json_is_object(inner->object) ? MIEN_OK : WRONG(r, name, "is not an object");
}

/* ---- the parts of an entry ---- */

static bool word_is_plain(const char *s)
{
    for (const char *p = s; *p != 0; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (!letter && (p == s || strchr("._-", *p) == NULL)) return false;
    }
    return true;
}

static enum mien_code read_identity(const struct reader *r, struct mien_model *m)
{
    static const char *const precisions[] = {"auto", "f32"};
    const char *roles[MIEN_ROLE_COUNT];
    int precision = 0, task = 0;
    for (int i = 0; i < MIEN_ROLE_COUNT; i++) roles[i] = mien_role_name((enum mien_role)i);
    MIEN_TRY(read_choice(r, "task", true, roles, MIEN_ROLE_COUNT, &task));
    snprintf(m->task, sizeof m->task, "%s", roles[task]);
    MIEN_TRY(read_text(r, "file", true, m->file, sizeof m->file));
    if (strchr(m->file, '/') != NULL || m->file[0] == '.') return WRONG(r, "file", "holds a '/' or begins with '.'; it lies beside the manifest");
    MIEN_TRY(read_text(r, "sha256", false, m->sha256, sizeof m->sha256));
    if (m->sha256[0] != 0 && strspn(m->sha256, "0123456789abcdef") != 64) return WRONG(r, "sha256", "is not 64 lower-case hexadecimal digits");
    MIEN_TRY(read_text(r, "licence", false, m->licence, sizeof m->licence));
    MIEN_TRY(read_text(r, "source", false, m->source, sizeof m->source));
    MIEN_TRY(read_text(r, "obtained_from", false, m->obtained_from, sizeof m->obtained_from));
    MIEN_TRY(read_choice(r, "precision", false, precisions, COUNT(precisions), &precision));
    m->f32_only = precision == 1;
    m->weight = 1.0f;
    MIEN_TRY(read_float(r, "weight", false, 1e-6, 1e6, &m->weight));
    return read_bool(r, "softmax", &m->softmax);
}

/* One number stands for all channels. */
static enum mien_code read_channels(const struct reader *r, const char *name, int channels, float otherwise, float out[3])
{
    int n = 0;
    MIEN_TRY(read_floats(r, name, false, 1, channels, 1e6f, out, &n));
    if (n != 0 && n != 1 && n != channels) return WRONG(r, name, "has %d numbers; 1 or %d are allowed", n, channels);
    if (n == 0) out[0] = otherwise;
    for (int i = n <= 1 ? 1 : n; i < 3; i++) out[i] = out[0];
    return MIEN_OK;
}

static enum mien_code read_input(const struct reader *entry, struct mien_model *m)
{
    static const char *const channels[] = {[MIEN_RGB] = "rgb", [MIEN_BGR] = "bgr", [MIEN_GRAY] = "gray"};
    struct reader r;
    int order = 0;
    MIEN_TRY(enter(entry, "input", "input.", true, &r));
    MIEN_TRY(read_int(&r, "width", true, 8, 4096, &m->width));
    MIEN_TRY(read_int(&r, "height", true, 8, 4096, &m->height));
    MIEN_TRY(read_choice(&r, "channels", true, channels, COUNT(channels), &order));
    m->spec.channels = (enum mien_channels)order;
    int n = m->spec.channels == MIEN_GRAY ? 1 : 3;
    MIEN_TRY(read_channels(&r, "mean", n, 0.0f, m->spec.mean));
    MIEN_TRY(read_channels(&r, "scale", n, 1.0f, m->spec.scale));
    for (int i = 0; i < 3; i++)
        if (m->spec.scale[i] == 0.0f) return WRONG(&r, "scale", "is 0");
    return MIEN_OK;
}

static enum mien_code read_align(const struct reader *r, struct mien_crop_rule *c)
{
    static const char *const sets[] = {[MIEN_POINTS_FIVE] = "five", [MIEN_POINTS_THREE] = "three", [MIEN_POINTS_LANDMARKS68] = "landmarks68"};
    int set = 0, n = 0;
    MIEN_TRY(read_choice(r, "points", true, sets, COUNT(sets), &set));
    c->points = (enum mien_point_set)set;
    c->n_points = c->points == MIEN_POINTS_FIVE ? 5 : 3;
    if (c->points == MIEN_POINTS_LANDMARKS68) MIEN_TRY(read_ints(r, "index", COUNT(c->index), 0, 67, c->index, &c->n_points));
    MIEN_TRY(read_floats(r, "template", true, 4, COUNT(c->template_xy), 1e5f, c->template_xy, &n));
    if (c->n_points < 2 || n != 2 * c->n_points) return WRONG(r, "template", "has %d numbers for %d points", n, c->n_points);
    return MIEN_OK;
}

static enum mien_code read_points(const struct reader *r, struct mien_crop_rule *c)
{
    c->mesh = calloc(MIEN_MAX_MESH, sizeof *c->mesh);
    MIEN_FAIL_IF(c->mesh == NULL, r->e, MIEN_E_NOMEM, "out of memory");
    return read_ints(r, "mesh", MIEN_MAX_MESH, 0, MIEN_MAX_MESH - 1, c->mesh, &c->n_mesh);
}

static enum mien_code read_crop(const struct reader *entry, struct mien_crop_rule *c)
{
    static const char *const kinds[] = {[MIEN_CROP_NONE] = "", [MIEN_CROP_LETTERBOX] = "letterbox", [MIEN_CROP_CENTER_SQUARE] = "center_square",
        [MIEN_CROP_ALIGN] = "align", [MIEN_CROP_BOX] = "box", [MIEN_CROP_FIT_BOX] = "fit_box", [MIEN_CROP_POINTS] = "points"};
    static const char *const borders[] = {[MIEN_BORDER_ZERO] = "zero", [MIEN_BORDER_REPLICATE] = "replicate", [MIEN_BORDER_REFLECT101] = "reflect101"};
    static const char *const filters[] = {[MIEN_BILINEAR] = "bilinear", [MIEN_AREA_OR_BILINEAR] = "area", [MIEN_AREA_OR_LANCZOS] = "area_lanczos"};
    struct reader r;
    int kind = 0, border = 0, filter = 0;
    MIEN_TRY(enter(entry, "crop", "crop.", true, &r));
    MIEN_TRY(read_choice(&r, "kind", true, kinds + 1, COUNT(kinds) - 1, &kind));
    c->kind = (enum mien_crop_kind)(kind + 1);
    MIEN_TRY(read_float(&r, "scale", c->kind == MIEN_CROP_BOX || c->kind == MIEN_CROP_FIT_BOX, 0.1, 10.0, &c->scale));
    MIEN_TRY(read_float(&r, "shift_y", false, -2.0, 2.0, &c->shift_y));
    MIEN_TRY(read_bool(&r, "rotate", &c->rotate));
    MIEN_TRY(read_choice(&r, "border", false, borders, COUNT(borders), &border));
    MIEN_TRY(read_choice(&r, "filter", false, filters, COUNT(filters), &filter));
    c->border = (enum mien_border)border;
    c->filter = (enum mien_filter)filter;
    if (c->kind == MIEN_CROP_ALIGN) return read_align(&r, c);
    return c->kind == MIEN_CROP_POINTS ? read_points(&r, c) : MIEN_OK;
}

static enum mien_code read_outputs(const struct reader *entry, struct mien_model *m)
{
    struct reader r;
    MIEN_TRY(enter(entry, "outputs", "outputs.", true, &r));
    size_t n = mien_json_size(r.object);
    if (n < 1 || n > (size_t)COUNT(m->output)) return WRONG(entry, "outputs", "has %zu members; 1 to %d are allowed", n, COUNT(m->output));
    for (size_t i = 0; i < n; i++) {
        const char *role = NULL;
        (void)mien_json_member(r.object, i, &role);
        if (role == NULL || role[0] == 0 || strlen(role) >= sizeof m->output[0].role) return WRONG(entry, "outputs", "a role's name is empty or too long");
        snprintf(m->output[i].role, sizeof m->output[i].role, "%s", role);
        MIEN_TRY(read_text(&r, role, true, m->output[i].name, sizeof m->output[i].name));
    }
    m->n_outputs = (int)n;
    return MIEN_OK;
}

/* The roles that a task's or decoder's code will ask for; "_S" stands for every level's stride. */
static enum mien_code check_outputs(const struct reader *r, const struct mien_model *m)
{
    static const struct { const char *task; enum mien_decoder decoder; const char *role[4]; } needed[] = {
        {"detect", MIEN_DECODER_SCRFD, {"score_S", "bbox_S", "kps_S"}}, {"detect", MIEN_DECODER_YUNET, {"cls_S", "obj_S", "bbox_S", "kps_S"}},
        {"detect", MIEN_DECODER_RETINAFACE, {"bbox", "conf", "landm"}}, {"detect", MIEN_DECODER_SSD, {"boxes", "scores"}},
        {"detect", MIEN_DECODER_BLAZEFACE, {"boxes_S", "scores_S"}}, {"embed", 0, {"embedding"}}, {"landmarks", 0, {"mesh", "presence"}},
        {"landmarks68", 0, {"landmarks"}}, {"landmarks106", 0, {"landmarks"}}, {"iris", 0, {"landmarks"}}, {"blendshapes", 0, {"blendshapes"}},
        {"expression", 0, {"prob"}}, {"age_gender", 0, {"age", "gender"}}, {"spoof", 0, {"prob"}}, {"deepfake", 0, {"prob"}}, {"quality", 0, {"quality"}}};
    if (strcmp(m->task, "age_gender") == 0 && mien_model_has_output(m, "gender_age")) return MIEN_OK; /* one row instead of two outputs */
    const bool flat = m->decoder == MIEN_DECODER_BLAZEFACE && mien_model_has_output(m, "boxes"); /* one tensor of all levels */
    for (int i = 0; i < COUNT(needed); i++) {
        if (strcmp(needed[i].task, m->task) != 0 || needed[i].decoder != m->decoder) continue;
        for (int k = 0; k < 4 && needed[i].role[k] != NULL; k++) {
            int stem = (int)strcspn(needed[i].role[k], "_"), levels = needed[i].role[k][stem] != 0 && !flat ? m->n_levels : 1;
            for (int l = 0; l < levels; l++) {
                char role[40];
                if (needed[i].role[k][stem] != 0 && !flat) snprintf(role, sizeof role, "%.*s_%d", stem, needed[i].role[k], m->level[l].stride);
                else snprintf(role, sizeof role, "%.*s", stem, needed[i].role[k]);
                if (!mien_model_has_output(m, role)) return WRONG(r, "outputs", "no \"%s\"", role);
            }
        }
    }
    return MIEN_OK;
}

static enum mien_code read_level(const struct reader *entry, const struct mien_json *v, int i, struct mien_model *m)
{
    char path[24];
    snprintf(path, sizeof path, "levels[%d].", i);
    const struct reader r = {v, entry->id, path, entry->e};
    int n = 0;
    if (!mien_json_is_object(v)) return WRONG(entry, "levels", "[%d] is not an object", i);
    MIEN_TRY(read_int(&r, "stride", true, 1, 256, &m->level[i].stride));
    MIEN_TRY(read_int(&r, "anchors", true, 1, COUNT(m->level[i].anchor), &m->level[i].n_anchors));
    MIEN_TRY(read_floats(&r, "sizes", m->decoder == MIEN_DECODER_RETINAFACE, m->level[i].n_anchors, m->level[i].n_anchors, 1e5f, m->level[i].anchor, &n));
    for (int k = 0; k < n; k++)
        if (!(m->level[i].anchor[k] > 0.0f)) return WRONG(&r, "sizes", "[%d] is not above 0", k);
    if (m->decoder == MIEN_DECODER_YUNET && m->level[i].n_anchors != 1) return WRONG(&r, "anchors", "is 1 for decoder yunet");
    for (int k = 0; k < i; k++)
        if (m->level[k].stride == m->level[i].stride) return WRONG(&r, "stride", "appears twice");
    return MIEN_OK;
}

static enum mien_code read_detector(const struct reader *r, struct mien_model *m)
{
    static const char *const decoders[] = {[MIEN_DECODER_NONE] = "", [MIEN_DECODER_SCRFD] = "scrfd", [MIEN_DECODER_YUNET] = "yunet",
        [MIEN_DECODER_RETINAFACE] = "retinaface", [MIEN_DECODER_BLAZEFACE] = "blazeface", [MIEN_DECODER_SSD] = "ssd"};
    const struct mien_json *levels;
    int decoder = 0;
    MIEN_TRY(read_choice(r, "decoder", true, decoders + 1, COUNT(decoders) - 1, &decoder));
    m->decoder = (enum mien_decoder)(decoder + 1);
    if (m->crop.kind != MIEN_CROP_LETTERBOX && m->crop.kind != MIEN_CROP_CENTER_SQUARE)
        return WRONG(r, "crop.kind", "is letterbox or center_square for a detector");
    MIEN_TRY(read_ints(r, "sizes", COUNT(m->sizes), 32, 4096, m->sizes, &m->n_sizes));
    for (int i = 0; i < m->n_sizes; i++)
        if (m->sizes[i] % 32 != 0) return WRONG(r, "sizes", "[%d] is not a multiple of 32", i);
    if (m->sizes[0] != m->width || m->width != m->height) return WRONG(r, "sizes", "[0], input.width and input.height differ");
    MIEN_TRY(read_float(r, "score_threshold", true, 0.001, 0.999, &m->score_threshold));
    MIEN_TRY(read_float(r, "nms_iou", true, 0.001, 0.999, &m->nms_iou));
    MIEN_TRY(member(r, "levels", m->decoder != MIEN_DECODER_SSD, &levels));
    size_t n = mien_json_size(levels);
    if (levels != NULL && (!mien_json_is_array(levels) || n > (size_t)COUNT(m->level) || (n == 0 && m->decoder != MIEN_DECODER_SSD)))
        return WRONG(r, "levels", "is not an array of 1 to %d levels", COUNT(m->level));
    for (int i = 0; i < (int)n; i++) MIEN_TRY(read_level(r, mien_json_at(levels, (size_t)i), i, m));
    m->n_levels = (int)n;
    return MIEN_OK;
}

/* One point of the calibration curve; the rates must go the way that rates go. */
static enum mien_code read_rates(const struct reader *r, const struct mien_json *v, int i, struct mien_rates *curve)
{
    float p[3];
    if (!mien_json_is_array(v) || mien_json_size(v) != 3 || !mien_json_floats(v, p, 3)) return WRONG(r, "curve", "[%d] is not [similarity, fmr, fnmr]", i);
    if (!(p[0] >= -1.0f && p[0] <= 1.0f && p[1] >= 0.0f && p[1] <= 1.0f && p[2] >= 0.0f && p[2] <= 1.0f)) return WRONG(r, "curve", "[%d] is out of range", i);
    if (i > 0 && !(p[0] > curve[i - 1].similarity && p[1] <= curve[i - 1].fmr && p[2] >= curve[i - 1].fnmr))
        return WRONG(r, "curve", "[%d]: similarity must rise, fmr not rise, fnmr not fall", i);
    curve[i] = (struct mien_rates){p[0], p[1], p[2]};
    return MIEN_OK;
}

static enum mien_code read_threshold(const struct reader *entry, const struct mien_json *v, struct mien_match_threshold *t)
{
    const struct reader r = {v, entry->id, "threshold.", entry->e};
    const struct mien_json *curve;
    if (!mien_json_is_object(v)) return WRONG(entry, "threshold", "is neither an object nor a list of objects");
    MIEN_TRY(read_float(&r, "similarity", true, -1.0, 1.0, &t->similarity));
    MIEN_TRY(read_float(&r, "fmr", false, 0.0, 1.0, &t->fmr));
    MIEN_TRY(read_float(&r, "slope", true, 0.01, 1000.0, &t->slope));
    MIEN_TRY(read_text(&r, "detector", false, t->detector, sizeof t->detector));
    MIEN_TRY(read_bool(&r, "saved", &t->saved));
    MIEN_TRY(member(&r, "curve", false, &curve));
    if (curve == NULL) return MIEN_OK;
    const size_t n = mien_json_size(curve);
    if (!mien_json_is_array(curve) || n < 2 || n > (size_t)COUNT(t->curve)) return WRONG(&r, "curve", "is not a list of 2 to %d points", COUNT(t->curve));
    for (int i = 0; i < (int)n; i++) MIEN_TRY(read_rates(&r, mien_json_at(curve, (size_t)i), i, t->curve));
    t->n_curve = (int)n;
    return MIEN_OK;
}

/* One threshold, or one a detector. */
static enum mien_code read_thresholds(const struct reader *r, struct mien_model *m)
{
    const struct mien_json *v;
    MIEN_TRY(member(r, "threshold", true, &v));
    const bool list = mien_json_is_array(v);
    const size_t n = list ? mien_json_size(v) : 1;
    if (n < 1 || n > MIEN_MAX_THRESHOLDS) return WRONG(r, "threshold", "is a list of %zu; 1 to %d are allowed", n, MIEN_MAX_THRESHOLDS);
    m->thresholds = calloc(n, sizeof *m->thresholds);
    MIEN_FAIL_IF(m->thresholds == NULL, r->e, MIEN_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        MIEN_TRY(read_threshold(r, list ? mien_json_at(v, i) : v, &m->thresholds[i]));
        for (size_t k = 0; k < i; k++)
            if (strcmp(m->thresholds[k].detector, m->thresholds[i].detector) == 0) return WRONG(r, "threshold", "has two entries of one detector");
    }
    m->n_thresholds = (int)n;
    return MIEN_OK;
}

static enum mien_code read_embedding(const struct reader *r, struct mien_model *m)
{
    MIEN_TRY(read_int(r, "dim", true, 1, MIEN_MAX_EMBEDDING, &m->dim));
    return read_thresholds(r, m);
}

static enum mien_code read_figure(const struct reader *entry, const struct mien_json *v, int i, struct mien_measured *f)
{
    static const char *const units[] = {"rate", "degrees", "years", "points"};
    char path[24];
    snprintf(path, sizeof path, "measured[%d].", i);
    const struct reader r = {v, entry->id, path, entry->e};
    const struct { const char *name; double *to; } number[] = {{"value", &f->value}, {"low", &f->low}, {"high", &f->high}};
    int n = 0, unit = 0;
    if (!mien_json_is_object(v)) return WRONG(entry, "measured", "[%d] is not an object", i);
    MIEN_TRY(read_text(&r, "measure", true, f->measure, sizeof f->measure));
    MIEN_TRY(read_text(&r, "set", true, f->set, sizeof f->set));
    MIEN_TRY(read_text(&r, "conditions", false, f->conditions, sizeof f->conditions));
    MIEN_TRY(read_bool(&r, "saved", &f->saved));
    MIEN_TRY(read_int(&r, "n", true, 1, INT_MAX, &n));
    MIEN_TRY(read_choice(&r, "unit", true, units, COUNT(units), &unit));
    for (int k = 0; k < COUNT(number); k++) {
        float in_range = 0.0f;
        MIEN_TRY(read_float(&r, number[k].name, true, -1e6, 1e6, &in_range));
        *number[k].to = mien_json_number(mien_json_get(v, number[k].name), 0.0);
    }
    if (!(f->low <= f->value && f->value <= f->high)) return WRONG(&r, "value", "is not between low and high");
    snprintf(f->unit, sizeof f->unit, "%s", units[unit]);
    f->n = (uint64_t)n;
    return MIEN_OK;
}

static enum mien_code read_measured(const struct reader *r, struct mien_model *m)
{
    const struct mien_json *list;
    MIEN_TRY(member(r, "measured", false, &list));
    const size_t n = mien_json_size(list);
    if (list != NULL && (!mien_json_is_array(list) || n > MIEN_MAX_MEASURED))
        return WRONG(r, "measured", "is not a list of at most %d objects", MIEN_MAX_MEASURED);
    if (n == 0) return MIEN_OK;
    m->measured = calloc(n, sizeof *m->measured);
    MIEN_FAIL_IF(m->measured == NULL, r->e, MIEN_E_NOMEM, "out of memory");
    for (int i = 0; i < (int)n; i++) MIEN_TRY(read_figure(r, mien_json_at(list, (size_t)i), i, &m->measured[i]));
    m->n_measured = (int)n;
    return MIEN_OK;
}

static enum mien_code read_points_scale(const struct reader *r, struct mien_model *m)
{
    static const char *const scales[] = {"unit", "signed"};
    int scale = 0;
    MIEN_TRY(read_choice(r, "points_scale", true, scales, COUNT(scales), &scale));
    m->points_signed = scale == 1;
    return MIEN_OK;
}

static enum mien_code read_labels(const struct reader *r, struct mien_model *m)
{
    const struct mien_json *labels;
    MIEN_TRY(member(r, "labels", false, &labels));
    if (labels == NULL) return MIEN_OK;
    size_t n = mien_json_size(labels);
    if (!mien_json_is_array(labels) || n < 1 || n > 64) return WRONG(r, "labels", "is not an array of 1 to 64 strings");
    m->label = calloc(n, sizeof *m->label);
    MIEN_FAIL_IF(m->label == NULL, r->e, MIEN_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const char *s = mien_json_string(mien_json_at(labels, i), "");
        if (s[0] == 0 || strlen(s) >= sizeof m->label[i]) return WRONG(r, "labels", "[%zu] is not a string of 1 to %zu bytes", i, sizeof m->label[i] - 1);
        snprintf(m->label[i], sizeof m->label[i], "%s", s);
    }
    m->n_labels = (int)n;
    return MIEN_OK;
}

enum mien_code mien_model_parse(const struct mien_json *entry, int number, struct mien_model *m, struct mien_err *e)
{
    char id[80];
    struct reader r = {entry, id, "", e};
    snprintf(id, sizeof id, "number %d", number);
    MIEN_FAIL_IF(!mien_json_is_object(entry), e, MIEN_E_MANIFEST, "models[%d] is not an object", number);
    MIEN_TRY(read_text(&r, "id", true, m->id, sizeof m->id));
    if (!word_is_plain(m->id)) return WRONG(&r, "id", "holds something else than letters, digits and ._-");
    snprintf(id, sizeof id, "\"%s\"", m->id);
    MIEN_TRY(read_identity(&r, m));
    MIEN_TRY(read_crop(&r, &m->crop));
    if (m->crop.kind != MIEN_CROP_POINTS) MIEN_TRY(read_input(&r, m));
    MIEN_TRY(read_outputs(&r, m));
    MIEN_TRY(read_labels(&r, m));
    if (strcmp(m->task, "detect") == 0) MIEN_TRY(read_detector(&r, m));
    else if (m->crop.kind == MIEN_CROP_LETTERBOX || m->crop.kind == MIEN_CROP_CENTER_SQUARE)
        return WRONG(&r, "crop.kind", "cuts no face; only detectors see the whole picture");
    if (strcmp(m->task, "embed") == 0) MIEN_TRY(read_embedding(&r, m));
    if (strcmp(m->task, "landmarks106") == 0) MIEN_TRY(read_points_scale(&r, m));
    MIEN_TRY(read_measured(&r, m));
    bool judges = strcmp(m->task, "spoof") == 0 || strcmp(m->task, "deepfake") == 0;
    MIEN_TRY(read_int(&r, "live_index", judges, 0, 63, &m->live_index));
    return check_outputs(&r, m);
}

void mien_model_clear(struct mien_model *m)
{
    free(m->crop.mesh);
    free(m->label);
    free(m->thresholds);
    free(m->measured);
    m->crop.mesh = NULL;
    m->label = NULL;
    m->thresholds = NULL;
    m->measured = NULL;
}
