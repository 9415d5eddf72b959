/* The OpenAPI 3.1 document of the route table. */
#ifndef MIEN_SERVICE_OPENAPI_H
#define MIEN_SERVICE_OPENAPI_H

#include <stdbool.h>
#include "codec/json.h"
#include "service/route.h"

/* Writes the whole document as one JSON object. */
void mien_openapi_write(struct mien_jw *w);

/* Whether a JSON answer has exactly the members of its row. NULL when it does; else which does not ("faces[0].box.x: is missing"), in `room`. */
const char *mien_answer_differs(const struct mien_field *fields, const struct mien_json *answer, char room[160]);

#endif
