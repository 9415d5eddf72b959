/* Errors of the whole program: one closed set of codes, one small record that says what happened.
 *
 * A function that can fail returns `enum mien_code` and takes a `struct mien_err *` that may be NULL.
 * The record is filled once, where the error begins, and passed up unchanged; `msg` may hold names from
 * a model file or a path given on the command line, never image data, keys or embeddings. */
#ifndef MIEN_BASE_ERR_H
#define MIEN_BASE_ERR_H

#include <stddef.h>

enum mien_code {
    MIEN_OK = 0,
    /* base 1..99 */
    MIEN_E_NOMEM = 1,       /* memory or a stated memory limit exhausted */
    MIEN_E_ARG = 2,         /* the caller's argument is out of its documented range */
    MIEN_E_IO = 3,          /* a file could not be opened, read or written */
    MIEN_E_LIMIT = 4,       /* a stated limit (bytes, pixels, depth, count) was exceeded */
    MIEN_E_INTERNAL = 5,    /* a library failed in a way that input cannot cause */
    /* codec 100..199 */
    MIEN_E_JSON = 100,      /* text is not valid JSON, or has not the expected shape */
    MIEN_E_BASE64 = 101,    /* text is not valid base64 */
    MIEN_E_MULTIPART = 102, /* body is not valid multipart/form-data */
    /* image 200..299 */
    MIEN_E_IMAGE_TYPE = 200,    /* not a picture of a type that is taken */
    MIEN_E_IMAGE_CORRUPT = 201, /* truncated or damaged picture */
    MIEN_E_IMAGE_LIMIT = 202,   /* too many bytes or pixels */
    /* onnx 300..399 */
    MIEN_E_ONNX_FORMAT = 300,      /* malformed file */
    MIEN_E_ONNX_UNSUPPORTED = 301, /* well-formed, but uses something that is not supported */
    MIEN_E_ONNX_SHAPE = 302,       /* shapes do not fit together */
    /* engine 400..499 */
    MIEN_E_ENGINE_UNSUPPORTED = 400, /* no implementation for a node with these shapes */
    MIEN_E_ENGINE_SHAPE = 401,       /* input shape not accepted by this network */
    /* face 500..599 */
    MIEN_E_MODEL_MISSING = 500, /* a wanted model is not installed */
    MIEN_E_MANIFEST = 501,      /* manifest.json is wrong; msg names the model and member */
    MIEN_E_NO_FACE = 502,       /* an operation that needs a face found none */
    /* net 600..699 */
    MIEN_E_URL_REFUSED = 600,   /* a URL that this server does not fetch: switched off, host not allowed, address not public */
    MIEN_E_URL_FETCH = 601,     /* a URL that could not be fetched: no answer, an error status, too slow */
    MIEN_E_ADDRESS = 602,       /* the server cannot listen on the address: taken, not ours, not permitted */
    /* service 700..799 */
    MIEN_E_CONFIG = 700,        /* a configuration value is unknown or out of range; msg names it */
    MIEN_E_REQUEST = 701,       /* a request's member is missing, of the wrong type or out of range */
    MIEN_E_TOO_FEW = 702,       /* fewer images than an operation needs */
    MIEN_E_SESSION = 703,       /* no such session, or it has expired */
    /* crypto 800..899 */
    MIEN_E_KEY = 800,           /* a key is missing, malformed, readable by others, or not the one that something was sealed under */
    MIEN_E_SEAL = 801,          /* a sealed record is not what was sealed: changed, moved, or cut */
    MIEN_E_TOKEN = 802,         /* a token is not one of ours, or not valid any more; msg says why in words for its bearer */
    /* gallery 900..999 */
    MIEN_E_NOT_ENROLLED = 900,  /* no such user */
    MIEN_E_MODEL_MISMATCH = 901, /* the user's templates were made by another model */
    MIEN_E_RECORD = 902,        /* an embedding, template or facebank row is malformed */
    /* store 1000..1099 */
    MIEN_E_STORE = 1000,        /* the store cannot do it now: disk full, file locked, connection lost; nothing was done */
    MIEN_E_STORE_LOCKED = 1001, /* another process has the store */
    MIEN_E_STORE_VERSION = 1002 /* made by a newer version of mien */
};

struct mien_err {
    enum mien_code code;
    const char *file; /* source position where the error began */
    int line;
    size_t pos;       /* byte position in the input when meaningful, else 0 */
    char msg[200];    /* one line for a person, no trailing newline */
};

/* Fills *e (when not NULL) and returns `code`, so that `return mien_fail(...)` reads well. */
enum mien_code mien_err_set(struct mien_err *e, enum mien_code code, const char *file, int line,
                            const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Stable snake_case name of a code: "no_memory", "invalid_image", ... never NULL. */
const char *mien_code_name(enum mien_code code);

#define MIEN_FAIL(e, code, ...) mien_err_set((e), (code), __FILE__, __LINE__, __VA_ARGS__)

#define MIEN_TRY(expr)                                                                             \
    do {                                                                                           \
        enum mien_code mien_try_ = (expr);                                                         \
        if (mien_try_ != MIEN_OK) return mien_try_;                                                \
    } while (0)

#define MIEN_FAIL_IF(cond, e, code, ...)                                                           \
    do {                                                                                           \
        if (cond) return MIEN_FAIL((e), (code), __VA_ARGS__);                                      \
    } while (0)

#define MIEN_MUST_CHECK __attribute__((warn_unused_result))

#endif
