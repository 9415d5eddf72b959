#include "service/problem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include "codec/json.h"

static const struct mien_problem_row ROWS[MIEN_PROBLEM_COUNT] = {
    [MIEN_PROBLEM_NONE] = {"", 200, "", "", 0},
    [MIEN_PROBLEM_BAD_REQUEST] = {"bad_request", 400, "Bad request", "The request is not well-formed HTTP.", 0},
    [MIEN_PROBLEM_INVALID_IMAGE] = {"invalid_image", 400, "Invalid image", "An image of the request cannot be read.", 0},
    [MIEN_PROBLEM_NO_FACE] = {"no_face", 400, "No face", "No face detected in image", 0},
    [MIEN_PROBLEM_TOO_FEW_IMAGES] = {"too_few_images", 400, "Too few images", "More images of the person are needed.", 0},
    [MIEN_PROBLEM_UNAUTHORIZED] = {"unauthorized", 401, "Unauthorized", "A valid API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY.", 0},
    [MIEN_PROBLEM_INVALID_TOKEN] = {"invalid_token", 401, "Invalid token", "The token is not valid.", 0},
    [MIEN_PROBLEM_FORBIDDEN] = {"forbidden", 403, "Forbidden", "This request is not allowed.", 0},
    [MIEN_PROBLEM_NOT_FOUND] = {"not_found", 404, "Not found", "There is no such path.", 0},
    [MIEN_PROBLEM_SESSION_NOT_FOUND] = {"session_not_found", 404, "No such session", "There is no such session, or it has expired.", 0},
    [MIEN_PROBLEM_NOT_ENROLLED] = {"not_enrolled", 404, "Not enrolled", "There is no such user in the gallery.", 0},
    [MIEN_PROBLEM_METHOD_NOT_ALLOWED] = {"method_not_allowed", 405, "Method not allowed", "This path does not take this method.", 0},
    [MIEN_PROBLEM_REQUEST_TIMEOUT] = {"request_timeout", 408, "Request timeout", "The request did not arrive in time.", 0},
    [MIEN_PROBLEM_MODEL_MISMATCH] = {"model_mismatch", 409, "Model mismatch", "The user was enrolled with another recognition model; enroll again.", 0},
    [MIEN_PROBLEM_TOO_LARGE] = {"too_large", 413, "Too large", "The request or an image in it is larger than this server accepts.", 0},
    [MIEN_PROBLEM_UNSUPPORTED_MEDIA_TYPE] = {"unsupported_media_type", 415, "Unsupported media type", "This route does not take this Content-Type.", 0},
    [MIEN_PROBLEM_VALIDATION_ERROR] = {"validation_error", 422, "Validation error", "The request is not valid.", 0},
    [MIEN_PROBLEM_UPGRADE_REQUIRED] = {"upgrade_required", 426, "Upgrade required", "This path is a WebSocket.", 0},
    [MIEN_PROBLEM_RATE_LIMITED] = {"rate_limited", 429, "Too many requests", "Too many requests; try again later.", 0},
    [MIEN_PROBLEM_INTERNAL_ERROR] = {"internal_error", 500, "Internal error", "The server failed; the request id identifies the log line.", 0},
    [MIEN_PROBLEM_TEMPLATE_UNREADABLE] = {"template_unreadable", 500, "Template unreadable",
                                          "The stored template was changed, or sealed under a key that this server has not.", 0},
    [MIEN_PROBLEM_OVERLOADED] = {"overloaded", 503, "Overloaded", "The server is busy; try again later.", 1},
    [MIEN_PROBLEM_MODEL_UNAVAILABLE] = {"model_unavailable", 503, "Model unavailable", "A model that this request needs is not installed.", 60},
    [MIEN_PROBLEM_STORE_UNAVAILABLE] = {"store_unavailable", 503, "Store unavailable", "The gallery cannot be read or written now; nothing was changed.", 5},
};

const struct mien_problem_row *mien_problem_row(enum mien_problem p)
{
    assert((unsigned)p < MIEN_PROBLEM_COUNT);
    return &ROWS[p];
}

enum mien_problem mien_problem_of(enum mien_code code)
{
    switch (code) {
    case MIEN_OK: return MIEN_PROBLEM_NONE;
    case MIEN_E_BASE64:
    case MIEN_E_IMAGE_TYPE:
    case MIEN_E_IMAGE_CORRUPT:
    case MIEN_E_URL_FETCH: return MIEN_PROBLEM_INVALID_IMAGE;
    case MIEN_E_NO_FACE: return MIEN_PROBLEM_NO_FACE;
    case MIEN_E_TOO_FEW: return MIEN_PROBLEM_TOO_FEW_IMAGES;
    case MIEN_E_IMAGE_LIMIT:
    case MIEN_E_LIMIT: return MIEN_PROBLEM_TOO_LARGE;
    case MIEN_E_JSON:
    case MIEN_E_MULTIPART:
    case MIEN_E_REQUEST:
    case MIEN_E_URL_REFUSED: return MIEN_PROBLEM_VALIDATION_ERROR;
    case MIEN_E_NOMEM: return MIEN_PROBLEM_OVERLOADED;
    case MIEN_E_MODEL_MISSING: return MIEN_PROBLEM_MODEL_UNAVAILABLE;
    case MIEN_E_SESSION: return MIEN_PROBLEM_SESSION_NOT_FOUND;
    case MIEN_E_TOKEN: return MIEN_PROBLEM_INVALID_TOKEN;
    case MIEN_E_NOT_ENROLLED: return MIEN_PROBLEM_NOT_ENROLLED;
    case MIEN_E_MODEL_MISMATCH: return MIEN_PROBLEM_MODEL_MISMATCH;
    case MIEN_E_KEY:
    case MIEN_E_SEAL: return MIEN_PROBLEM_TEMPLATE_UNREADABLE;
    case MIEN_E_RECORD: return MIEN_PROBLEM_VALIDATION_ERROR;
    case MIEN_E_STORE:
    case MIEN_E_STORE_LOCKED: return MIEN_PROBLEM_STORE_UNAVAILABLE;
    default: return MIEN_PROBLEM_INTERNAL_ERROR;
    }
}

const char *mien_problem_about_image(enum mien_code code)
{
    switch (code) {
    case MIEN_E_BASE64: return "is not valid base64";
    case MIEN_E_IMAGE_TYPE: return "is not a JPEG, PNG, WebP, BMP or GIF picture";
    case MIEN_E_IMAGE_CORRUPT: return "is a damaged picture";
    case MIEN_E_IMAGE_LIMIT: return "is larger than this server accepts";
    case MIEN_E_URL_REFUSED: return "is a URL that this server does not fetch";
    case MIEN_E_URL_FETCH: return "could not be fetched";
    default: return NULL;
    }
}

static void write_location(struct mien_jw *w, const struct mien_fault *f)
{
    mien_jw_array(w);
    mien_jw_string(w, f->place);
    if (f->member != NULL) mien_jw_string(w, f->member);
    if (f->index >= 0) mien_jw_integer(w, f->index);
    if (f->sub != NULL) mien_jw_string(w, f->sub);
    mien_jw_end_array(w);
}

static void write_faults(struct mien_jw *w, const struct mien_faults *faults)
{
    mien_jw_key(w, "errors");
    mien_jw_array(w);
    for (int i = 0; i < faults->n; i++) {
        mien_jw_object(w);
        mien_jw_key(w, "loc");
        write_location(w, &faults->fault[i]);
        mien_jw_key(w, "msg");
        mien_jw_string(w, faults->fault[i].msg);
        mien_jw_key(w, "type");
        mien_jw_string(w, faults->fault[i].type);
        mien_jw_end_object(w);
    }
    mien_jw_end_array(w);
}

static void put(struct mien_jw *w, const char *key, const char *text)
{
    mien_jw_key(w, key);
    mien_jw_string(w, text);
}

static const char *category_of(const struct mien_problem_row *row)
{
    if (row->status >= 500) return "server";
    if (row->status == 429) return "rate_limit";
    return row->status == 401 || row->status == 403 ? "authentication" : "request";
}

/* Recoverable: the same request may be answered well later. */
static void write_beside(struct mien_jw *w, enum mien_problem p, const char *detail)
{
    const struct mien_problem_row *row = mien_problem_row(p);
    if (p == MIEN_PROBLEM_INVALID_TOKEN) {
        mien_jw_key(w, "valid");
        mien_jw_bool(w, false);
    }
    mien_jw_key(w, "error");
    mien_jw_object(w);
    put(w, "code", row->code);
    put(w, "message", detail);
    put(w, "category", category_of(row));
    mien_jw_key(w, "recoverable");
    mien_jw_bool(w, row->status == 408 || row->status == 429 || row->status == 503);
    mien_jw_end_object(w);
}

void mien_problem_write(struct mien_response *r, enum mien_problem p, const char *detail, const struct mien_faults *faults, bool beside)
{
    const struct mien_problem_row *row = mien_problem_row(p);
    if (detail == NULL || detail[0] == 0) detail = row->detail;
    struct mien_jw w;
    char text[64];
    if (r->body.data != NULL) explicit_bzero(r->body.data, r->body.room);
    r->body.len = 0;
    r->body.failed = false;
    r->fixed = NULL;
    r->status = row->status;
    r->type = "application/problem+json";
    mien_jw_init(&w, &r->body);
    mien_jw_object(&w);
    snprintf(text, sizeof text, "urn:mien:problem:%s", row->code);
    put(&w, "type", text);
    put(&w, "title", row->title);
    mien_jw_key(&w, "status");
    mien_jw_integer(&w, row->status);
    put(&w, "detail", detail);
    put(&w, "code", row->code);
    if (p == MIEN_PROBLEM_VALIDATION_ERROR) write_faults(&w, faults != NULL ? faults : &(const struct mien_faults){0});
    if (beside) write_beside(&w, p, detail);
    mien_jw_end_object(&w);
    if (row->retry_after_s > 0) {
        snprintf(text, sizeof text, "%d", row->retry_after_s);
        mien_response_header(r, "Retry-After", text);
    }
    if (p == MIEN_PROBLEM_UNAUTHORIZED) mien_response_header(r, "WWW-Authenticate", "Bearer realm=\"mien\"");
    if (p == MIEN_PROBLEM_INVALID_TOKEN) mien_response_header(r, "WWW-Authenticate", "Bearer realm=\"mien\", error=\"invalid_token\"");
}
