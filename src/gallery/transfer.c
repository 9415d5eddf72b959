/* The lines of exported galleries. */
#include "gallery/transfer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base64.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "embeddings are written as they lie in memory");

/* ---- reading ---- */

/* An embedding's numbers; their count, or -1 when the value is no embedding. */
static int numbers_of(const struct mien_json *v, float out[MIEN_TEMPLATE_DIM])
{
    unsigned char raw[MIEN_TEMPLATE_DIM * sizeof *out + 3];
    size_t bytes = 0;
    if (mien_json_is_array(v)) {
        const size_t n = mien_json_size(v);
        return n >= 1 && n <= MIEN_TEMPLATE_DIM && mien_json_floats(v, out, n) ? (int)n : -1;
    }
    const char *text = mien_json_string(v, NULL);
    if (text == NULL || mien_base64_room(strlen(text)) > sizeof raw) return -1;
    const bool good = mien_base64_decode(text, strlen(text), raw, &bytes, NULL) == MIEN_OK && bytes > 0 && bytes % sizeof *out == 0 &&
                      bytes <= MIEN_TEMPLATE_DIM * sizeof *out;
    if (good) memcpy(out, raw, bytes);
    explicit_bzero(raw, sizeof raw);
    return good ? (int)(bytes / sizeof *out) : -1;
}

/* What mien_template_make refuses, so that the line can be named. */
static bool has_direction(const float *v, int n)
{
    float sum = 0.0f;
    for (int i = 0; i < n; i++) sum += fabsf(v[i]);
    return isfinite(sum) && sum > 0.0f;
}

static enum mien_code read_numbers(const struct mien_json *line, const char *member, float *out, int *n, struct mien_err *e)
{
    *n = numbers_of(mien_json_get(line, member), out);
    MIEN_FAIL_IF(*n < 0, e, MIEN_E_RECORD, "%s: not an array of numbers or base64 of float32", member);
    MIEN_FAIL_IF(!has_direction(out, *n), e, MIEN_E_RECORD, "%s: a number is not finite, or all are 0", member);
    return MIEN_OK;
}

static enum mien_code check_members(const struct mien_json *line, struct mien_err *e)
{
    static const char *const KNOWN[] = {"user_id", "name", "metadata", "model", "embedding", "depth", "append"};
    const char *key;
    MIEN_FAIL_IF(!mien_json_is_object(line), e, MIEN_E_RECORD, "not a JSON object");
    for (size_t i = 0; mien_json_member(line, i, &key) != NULL; i++) {
        size_t k = 0;
        while (k < sizeof KNOWN / sizeof KNOWN[0] && strcmp(KNOWN[k], key) != 0) k++;
        MIEN_FAIL_IF(k == sizeof KNOWN / sizeof KNOWN[0], e, MIEN_E_RECORD, "unknown member '%.40s'", key);
    }
    return MIEN_OK;
}

static enum mien_code optional_text(const struct mien_json *line, const char *member, size_t most, const char **out, struct mien_err *e)
{
    const struct mien_json *v = mien_json_get(line, member);
    *out = mien_json_string(v, NULL);
    MIEN_FAIL_IF(*out == NULL && !mien_json_is_null(v), e, MIEN_E_RECORD, "%s: not a text", member);
    MIEN_FAIL_IF(*out != NULL && strlen(*out) > most, e, MIEN_E_RECORD, "%s: more than %zu bytes", member, most);
    return MIEN_OK;
}

enum mien_code mien_metadata_text(const struct mien_json *v, struct mien_buf *out, struct mien_err *e)
{
    struct mien_jw w;
    mien_buf_init(out, MIEN_USER_METADATA);
    if (mien_json_is_null(v)) return MIEN_OK;
    MIEN_FAIL_IF(!mien_json_is_object(v), e, MIEN_E_RECORD, "metadata: not an object");
    MIEN_FAIL_IF(mien_json_depth(v) > MIEN_METADATA_DEPTH, e, MIEN_E_RECORD, "metadata: more than %d levels", MIEN_METADATA_DEPTH);
    mien_jw_init(&w, out);
    mien_jw_copy(&w, v);
    MIEN_FAIL_IF(out->failed, e, MIEN_E_RECORD, "metadata: more than %d bytes", MIEN_USER_METADATA);
    return MIEN_OK;
}

enum mien_code mien_import_parse(const char *line, size_t n, struct mien_import *out, struct mien_err *e)
{
    struct mien_enrolment *x = &out->enrolment;
    *x = (struct mien_enrolment){.rgb = out->rgb};
    out->json = NULL;
    mien_buf_init(&out->metadata, MIEN_USER_METADATA);
    MIEN_FAIL_IF(mien_json_parse(line, n, &out->json, NULL) != MIEN_OK, e, MIEN_E_RECORD, "not JSON");
    MIEN_TRY(check_members(out->json, e));
    x->user_id = mien_json_string(mien_json_get(out->json, "user_id"), "");
    MIEN_FAIL_IF(!mien_user_id_valid(x->user_id), e, MIEN_E_RECORD, "user_id: not a text of 1 to %d bytes without control characters", MIEN_USER_ID);
    MIEN_TRY(optional_text(out->json, "name", MIEN_USER_NAME, &x->name, e));
    MIEN_TRY(optional_text(out->json, "model", MIEN_MODEL_ID, &out->model, e));
    MIEN_TRY(mien_metadata_text(mien_json_get(out->json, "metadata"), &out->metadata, e));
    x->metadata = out->metadata.data;
    MIEN_TRY(read_numbers(out->json, "embedding", out->rgb, &out->dim, e));
    if (!mien_json_is_null(mien_json_get(out->json, "depth"))) {
        MIEN_TRY(read_numbers(out->json, "depth", out->depth, &x->depth_dim, e));
        x->depth = out->depth;
    }
    const struct mien_json *append = mien_json_get(out->json, "append");
    x->append = mien_json_bool(append, false);
    MIEN_FAIL_IF(!mien_json_is_null(append) && x->append != mien_json_bool(append, true), e, MIEN_E_RECORD, "append: not true or false");
    return MIEN_OK;
}

void mien_import_free(struct mien_import *i)
{
    mien_json_free(&i->json);
    mien_buf_free(&i->metadata);
    explicit_bzero(i->rgb, sizeof i->rgb);
    explicit_bzero(i->depth, sizeof i->depth);
}

/* ---- writing ---- */

static void write_numbers(struct mien_jw *w, const char *member, const float *v, int n)
{
    char text[4 * ((MIEN_TEMPLATE_DIM * sizeof(float) + 2) / 3) + 1];
    mien_base64_encode(v, (size_t)n * sizeof *v, text);
    mien_jw_key(w, member);
    mien_jw_string(w, text);
    explicit_bzero(text, sizeof text);
}

void mien_line_write(struct mien_buf *out, const struct mien_line *line)
{
    struct mien_jw w;
    mien_jw_init(&w, out);
    mien_jw_object(&w);
    mien_jw_key(&w, "user_id");
    mien_jw_string(&w, line->user_id);
    if (line->name != NULL) {
        mien_jw_key(&w, "name");
        mien_jw_string(&w, line->name);
    }
    if (line->model != NULL) {
        mien_jw_key(&w, "model");
        mien_jw_string(&w, line->model);
    }
    mien_jw_key(&w, "append");
    mien_jw_bool(&w, line->append);
    write_numbers(&w, "embedding", line->rgb, line->dim);
    if (line->depth != NULL) write_numbers(&w, "depth", line->depth, line->depth_dim);
    if (line->metadata != NULL) mien_buf_addf(out, ",\"metadata\":%s", line->metadata);
    mien_jw_end_object(&w);
    mien_buf_adds(out, "\n");
}
