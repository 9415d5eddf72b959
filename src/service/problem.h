/* Every error that a client can see: one table of codes, and the document that carries one (RFC 9457, application/problem+json).
 *
 * What the rooms below say (struct mien_err) never reaches a client: a code of theirs becomes a row of this table with a text of our own. Only messages of
 * MIEN_E_NO_FACE and MIEN_E_REQUEST, which handlers write for clients, are shown as they are. */
#ifndef MIEN_SERVICE_PROBLEM_H
#define MIEN_SERVICE_PROBLEM_H

#include "base/err.h"
#include "net/server.h"

enum mien_problem { MIEN_PROBLEM_NONE, MIEN_PROBLEM_BAD_REQUEST, MIEN_PROBLEM_INVALID_IMAGE, MIEN_PROBLEM_NO_FACE, MIEN_PROBLEM_TOO_FEW_IMAGES,
    MIEN_PROBLEM_UNAUTHORIZED, MIEN_PROBLEM_INVALID_TOKEN, MIEN_PROBLEM_FORBIDDEN, MIEN_PROBLEM_NOT_FOUND, MIEN_PROBLEM_NOT_ENROLLED,
    MIEN_PROBLEM_SESSION_NOT_FOUND, MIEN_PROBLEM_METHOD_NOT_ALLOWED, MIEN_PROBLEM_REQUEST_TIMEOUT, MIEN_PROBLEM_MODEL_MISMATCH, MIEN_PROBLEM_TOO_LARGE,
    MIEN_PROBLEM_UNSUPPORTED_MEDIA_TYPE, MIEN_PROBLEM_VALIDATION_ERROR, MIEN_PROBLEM_UPGRADE_REQUIRED, MIEN_PROBLEM_RATE_LIMITED, MIEN_PROBLEM_INTERNAL_ERROR,
    MIEN_PROBLEM_TEMPLATE_UNREADABLE, MIEN_PROBLEM_OVERLOADED, MIEN_PROBLEM_MODEL_UNAVAILABLE, MIEN_PROBLEM_STORE_UNAVAILABLE, MIEN_PROBLEM_COUNT };

struct mien_problem_row {
    const char *code;   /* stable, snake_case */
    int status;
    const char *title, *detail; /* `detail` when there is nothing more exact to say */
    int retry_after_s;  /* header Retry-After; 0 = none */
};
const struct mien_problem_row *mien_problem_row(enum mien_problem p);

/* What a failure of the rooms below is to a client. */
enum mien_problem mien_problem_of(enum mien_code code);
/* What is wrong with an image, as the end of a sentence that begins with the image's name ("is not valid base64"); NULL for codes that are not about one. */
const char *mien_problem_about_image(enum mien_code code);

/* One wrong member of a request: loc is [place, member, index, sub] as far as they are given. */
struct mien_fault {
    const char *place, *member, *sub; /* place: "body", "query"; the others may be NULL */
    int index;                        /* -1: none. Without `member`: a position in the body */
    const char *type;                 /* "missing", "number_type", ... */
    char msg[120];
};
enum { MIEN_MAX_FAULTS = 32 };
struct mien_faults { int n; struct mien_fault fault[MIEN_MAX_FAULTS]; };

/* Makes *r the answer to a failed request: what its body held is wiped. `detail` and `faults` may be NULL. `beside`: the members of routes about tokens stand
 * beside the problem's: error{code,message,category,recoverable}, and valid:false when it is the token that is wrong. */
void mien_problem_write(struct mien_response *r, enum mien_problem p, const char *detail, const struct mien_faults *faults, bool beside);

#endif
