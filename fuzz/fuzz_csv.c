/* Any bytes as a table: what is taken can be written with quotes and read again, and is the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "codec/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good) abort();
}

static void add_quoted(struct mien_buf *b, const char *text)
{
    mien_buf_adds(b, "\"");
    for (; *text != '\0'; text++) mien_buf_add(b, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
    mien_buf_adds(b, "\"");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mien_arena *arena = mien_arena_create(1 << 26);
    struct mien_csv c, again;
    struct mien_err e = {0};
    must(arena != NULL);
    const enum mien_code code = mien_csv_parse((const char *)data, size, arena, &c, &e);
    must(code == MIEN_OK || e.msg[0] != '\0');
    if (code == MIEN_OK) {
        struct mien_buf text;
        mien_buf_init(&text, 1 << 26);
        must(c.rows > 0 && c.columns > 0 && c.columns <= MIEN_CSV_MAX_COLUMNS);
        for (size_t i = 0; i < c.rows * c.columns; i++) {
            add_quoted(&text, c.cell[i]);
            mien_buf_adds(&text, (i + 1) % c.columns == 0 ? "\r\n" : ",");
        }
        must(!text.failed && mien_csv_parse(text.data, text.len, arena, &again, NULL) == MIEN_OK);
        must(again.rows == c.rows && again.columns == c.columns);
        for (size_t i = 0; i < c.rows * c.columns; i++) must(strcmp(c.cell[i], again.cell[i]) == 0);
        mien_buf_free(&text);
    }
    mien_arena_free(&arena);
    return 0;
}
