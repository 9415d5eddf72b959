#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

enum mien_code mien_err_set(struct mien_err *e, enum mien_code code, const char *file, int line,
                            const char *fmt, ...)
{
    if (e == NULL) return code;
    e->code = code;
    e->file = file;
    e->line = line;
    e->pos = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    return code;
}

const char *mien_code_name(enum mien_code code)
{
    switch (code) {
    case MIEN_OK: return "ok";
    case MIEN_E_NOMEM: return "no_memory";
    case MIEN_E_ARG: return "invalid_argument";
    case MIEN_E_IO: return "io_error";
    case MIEN_E_LIMIT: return "limit_exceeded";
    case MIEN_E_INTERNAL: return "internal_error";
    case MIEN_E_JSON: return "invalid_json";
    case MIEN_E_BASE64: return "invalid_base64";
    case MIEN_E_MULTIPART: return "invalid_multipart";
    case MIEN_E_IMAGE_TYPE: return "unsupported_image";
    case MIEN_E_IMAGE_CORRUPT: return "invalid_image";
    case MIEN_E_IMAGE_LIMIT: return "too_large";
    case MIEN_E_ONNX_FORMAT: return "invalid_onnx";
    case MIEN_E_ONNX_UNSUPPORTED: return "unsupported_onnx";
    case MIEN_E_ONNX_SHAPE: return "onnx_shape";
    case MIEN_E_ENGINE_UNSUPPORTED: return "unsupported_node";
    case MIEN_E_ENGINE_SHAPE: return "input_shape";
    case MIEN_E_MODEL_MISSING: return "model_unavailable";
    case MIEN_E_MANIFEST: return "invalid_manifest";
    case MIEN_E_NO_FACE: return "no_face";
    case MIEN_E_URL_REFUSED: return "url_refused";
    case MIEN_E_URL_FETCH: return "url_fetch";
    case MIEN_E_ADDRESS: return "address";
    case MIEN_E_CONFIG: return "invalid_configuration";
    case MIEN_E_REQUEST: return "validation_error";
    case MIEN_E_TOO_FEW: return "too_few_images";
    case MIEN_E_SESSION: return "session_not_found";
    case MIEN_E_KEY: return "key";
    case MIEN_E_SEAL: return "seal";
    case MIEN_E_TOKEN: return "invalid_token";
    case MIEN_E_NOT_ENROLLED: return "not_enrolled";
    case MIEN_E_MODEL_MISMATCH: return "model_mismatch";
    case MIEN_E_RECORD: return "invalid_record";
    case MIEN_E_STORE: return "store_unavailable";
    case MIEN_E_STORE_LOCKED: return "store_locked";
    case MIEN_E_STORE_VERSION: return "store_version";
    }
    return "unknown";
}
