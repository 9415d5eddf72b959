/* Any text as base64: the scalar and the vector loop, into other memory and in place, all give the same bytes or the same error at the same
 * place. What was taken encodes to the same text again, but for the alphabet and the padding. And the input as bytes survives the round trip. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "codec/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum mien_code code;
    size_t size, pos;
    unsigned char *memory; /* owned */
};

static void must(bool good)
{
    if (!good) abort();
}

static void *memory(size_t n)
{
    void *p = malloc(n > 0 ? n : 1);
    must(p != NULL);
    return p;
}

static struct outcome decode(const char *text, size_t n, bool vector, bool in_place)
{
    struct outcome o = {.memory = memory(in_place ? n : mien_base64_room(n))};
    struct mien_err e = {0};
    if (in_place && n > 0) memcpy(o.memory, text, n);
    mien_cpu_set_mask(vector ? ~0u : 0u);
    o.code = mien_base64_decode(in_place ? (const char *)o.memory : text, n, o.memory, &o.size, &e);
    o.pos = e.pos;
    must(o.code == MIEN_OK ? o.size <= mien_base64_room(n) : o.code == MIEN_E_BASE64 && o.pos < n);
    return o;
}

static void compare_text(const char *text, size_t n, const struct outcome *o)
{
    char *again = memory(4 * ((o->size + 2) / 3) + 1);
    const size_t length = mien_base64_encode(o->memory, o->size, again);
    must(length >= n && length - n <= 2);
    for (size_t i = 0; i < n; i++) must(text[i] == again[i] || (text[i] == '-' && again[i] == '+') || (text[i] == '_' && again[i] == '/'));
    free(again);
}

static void round_trip(const uint8_t *data, size_t size)
{
    char *text = memory(4 * ((size + 2) / 3) + 1);
    const size_t n = mien_base64_encode(data, size, text);
    struct outcome o = decode(text, n, true, false);
    must(o.code == MIEN_OK && o.size == size && (size == 0 || memcmp(o.memory, data, size) == 0));
    free(o.memory);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t n = size;
    if (size == 0) text = "";
    if (!mien_data_url_payload(&text, &n)) n = size;
    struct outcome first = decode(text, n, false, false);
    for (int way = 1; way < 4; way++) {
        struct outcome o = decode(text, n, (way & 1) != 0, (way & 2) != 0);
        must(o.code == first.code && o.size == first.size && o.pos == first.pos);
        must(o.code != MIEN_OK || memcmp(o.memory, first.memory, o.size) == 0);
        free(o.memory);
    }
    if (first.code == MIEN_OK) compare_text(text, n, &first);
    free(first.memory);
    round_trip(data, size);
    return 0;
}
