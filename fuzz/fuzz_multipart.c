/* Any bytes as a form. The first line is the Content-Type, the rest the body. Parts lie inside the body, one behind the other, and a form made of
 * them reads back as the same parts. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/multipart.h"

enum { MOST = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good) abort();
}

static void put_name(struct mien_buf *b, const char *name)
{
    for (; *name != '\0'; name++) {
        if (*name == '"' || *name == '\\') mien_buf_adds(b, "\\");
        mien_buf_add(b, name, 1);
    }
}

/* Returns whether the content of a part holds the line of the boundary that is used here. */
static bool put_form(struct mien_buf *b, const struct mien_part *part, int count)
{
    for (int i = 0; i < count; i++) {
        if (memmem(part[i].data, part[i].size, "\r\n--=", 5) != NULL) return true;
        mien_buf_adds(b, "--=\r\nContent-Disposition: form-data; name=\"");
        put_name(b, part[i].name);
        mien_buf_adds(b, part[i].is_file ? "\"; filename=\"f\"\r\n\r\n" : "\"\r\n\r\n");
        mien_buf_add(b, part[i].data, part[i].size);
        mien_buf_adds(b, "\r\n");
        if (part[i].size >= 3 && memcmp(part[i].data, "--=", 3) == 0) return true; /* with the empty line before it */
    }
    mien_buf_adds(b, "--=--");
    return false;
}

static void read_again(const struct mien_part *part, int count)
{
    struct mien_buf b;
    struct mien_part again[MOST];
    int n;
    mien_buf_init(&b, 64 << 20);
    if (!put_form(&b, part, count)) {
        must(!b.failed);
        must(mien_multipart_parse("multipart/form-data; boundary==", b.data, b.len, again, MOST, &n, NULL) == MIEN_OK && n == count);
        for (int i = 0; i < n; i++) {
            must(strcmp(again[i].name, part[i].name) == 0 && again[i].is_file == part[i].is_file);
            must(again[i].size == part[i].size && memcmp(again[i].data, part[i].data, part[i].size) == 0);
        }
    }
    mien_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line_end = size > 0 ? memchr(data, '\n', size) : NULL;
    const size_t type_size = line_end != NULL ? (size_t)(line_end - data) : size;
    const size_t n = line_end != NULL ? size - type_size - 1 : 0;
    char *type = calloc(type_size + 1, 1), *body = malloc(n > 0 ? n : 1);
    must(type != NULL && body != NULL);
    if (type_size > 0) memcpy(type, data, type_size);
    if (n > 0) memcpy(body, line_end + 1, n);
    struct mien_part part[MOST];
    struct mien_err e = {0};
    int count;
    const enum mien_code code = mien_multipart_parse(type, body, n, part, MOST, &count, &e);
    must(code == MIEN_OK || code == MIEN_E_MULTIPART || code == MIEN_E_LIMIT);
    must(count >= 0 && count <= MOST && (code == MIEN_OK || e.pos <= n));
    const char *from = body;
    for (int i = 0; i < count; i++) {
        must(part[i].data >= from && part[i].size <= n - (size_t)(part[i].data - body) && part[i].name[0] != '\0');
        must(strnlen(part[i].name, sizeof part[i].name) < sizeof part[i].name);
        from = part[i].data + part[i].size;
    }
    if (code == MIEN_OK) read_again(part, count);
    free(type);
    free(body);
    return 0;
}
