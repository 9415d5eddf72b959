/* Any text read by the reader alone and with its long strings lifted out: both take it or both refuse it at the same place, and every value is the
 * same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "codec/lift.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good) abort();
}

static void compare(const struct mien_lifted *l, const struct mien_json *a, const struct mien_json *b)
{
    char *text;
    size_t n;
    const bool is_string = mien_lifted_text(l, b, &text, &n);
    must(is_string == mien_json_is_string(a));
    if (is_string) must(strlen(mien_json_string(a, "")) == n && memcmp(mien_json_string(a, ""), text, n) == 0);
    must(mien_json_is_object(a) == mien_json_is_object(b) && mien_json_is_array(a) == mien_json_is_array(b));
    must(mien_json_is_null(a) == mien_json_is_null(b) && mien_json_bool(a, true) == mien_json_bool(b, true));
    must(mien_json_bool(a, false) == mien_json_bool(b, false) && mien_json_number(a, -1) == mien_json_number(b, -1));
    must(mien_json_size(a) == mien_json_size(b));
    for (size_t i = 0; i < mien_json_size(a); i++) {
        const char *key_a = "", *key_b = "";
        const struct mien_json *one = mien_json_is_array(a) ? mien_json_at(a, i) : mien_json_member(a, i, &key_a);
        const struct mien_json *other = mien_json_is_array(b) ? mien_json_at(b, i) : mien_json_member(b, i, &key_b);
        must(strcmp(key_a, key_b) == 0);
        compare(l, one, other);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mien_arena *arena = mien_arena_create(8 << 20);
    char *body = malloc(size > 0 ? size : 1);
    must(arena != NULL && body != NULL);
    if (size > 0) memcpy(body, data, size);
    struct mien_json *root;
    struct mien_lifted l;
    struct mien_err alone = {0}, lifted = {0};
    const enum mien_code code = mien_json_parse((const char *)data, size, &root, &alone);
    const enum mien_code again = mien_json_lift(body, size, arena, &l, &lifted);
    must(again == code || (again == MIEN_E_LIMIT && size > MIEN_LIFT_REST_BYTES));
    must((code == MIEN_OK) == (root != NULL) && (again == MIEN_OK) == (l.root != NULL));
    if (again == MIEN_OK) compare(&l, root, l.root);
    else if (again == code) must(alone.pos == lifted.pos && alone.pos <= size && strcmp(alone.msg, lifted.msg) == 0);
    mien_json_free(&root);
    mien_json_free(&l.root);
    mien_arena_wipe_free(&arena);
    free(body);
    return 0;
}
