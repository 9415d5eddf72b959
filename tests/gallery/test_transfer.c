/* Lines of exported galleries: what is written is read, and what is wrong is said. tests/cli/run_gallery has the refusals by the dozen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "gallery/transfer.h"

static void what_is_written_is_read(void **state)
{
    (void)state;
    static struct mien_import in;
    float rgb[MIEN_TEMPLATE_DIM], depth[3] = {1, -2, 3};
    struct mien_buf text;
    for (int i = 0; i < MIEN_TEMPLATE_DIM; i++) rgb[i] = (float)(i - 500) * 0.01f;
    mien_buf_init(&text, MIEN_IMPORT_LINE);
    const struct mien_line line = {.user_id = "\xc3\xbc \"x\"", .name = "N", .metadata = "{\"a\":[1,2.5]}", .model = "m", .rgb = rgb, .depth = depth,
                                   .dim = MIEN_TEMPLATE_DIM, .depth_dim = 3, .append = true};
    mien_line_write(&text, &line);
    assert_false(text.failed);
    assert_int_equal(text.data[text.len - 1], '\n');
    assert_int_equal(mien_import_parse(text.data, text.len, &in, NULL), MIEN_OK);
    assert_string_equal(in.enrolment.user_id, line.user_id);
    assert_string_equal(in.enrolment.name, "N");
    assert_string_equal(in.enrolment.metadata, line.metadata);
    assert_string_equal(in.model, "m");
    assert_int_equal(in.dim, MIEN_TEMPLATE_DIM);
    assert_memory_equal(in.enrolment.rgb, rgb, sizeof rgb);
    assert_int_equal(in.enrolment.depth_dim, 3);
    assert_memory_equal(in.enrolment.depth, depth, sizeof depth);
    assert_true(in.enrolment.append);
    mien_import_free(&in);
    mien_buf_free(&text);
}

static void the_least_line(void **state)
{
    (void)state;
    static struct mien_import in;
    static const char line[] = "{\"user_id\":\"a\",\"name\":null,\"metadata\":null,\"model\":null,\"depth\":null,\"append\":null,\"embedding\":[3,4]}";
    assert_int_equal(mien_import_parse(line, sizeof line - 1, &in, NULL), MIEN_OK);
    const struct mien_enrolment *x = &in.enrolment;
    assert_true(x->name == NULL && x->metadata == NULL && in.model == NULL && x->depth == NULL && !x->append);
    assert_true(in.dim == 2 && in.rgb[0] == 3.0f && in.rgb[1] == 4.0f);
    mien_import_free(&in);
    assert_true(in.rgb[0] == 0.0f); /* wiped */
}

static void metadata_have_a_depth(void **state)
{
    (void)state;
    struct mien_buf out;
    struct mien_err e = {0};
    for (int levels = MIEN_METADATA_DEPTH; levels <= MIEN_METADATA_DEPTH + 1; levels++) {
        char text[8 * (MIEN_METADATA_DEPTH + 1)] = "";
        struct mien_json *json;
        for (int i = 1; i < levels; i++) strcat(text, i % 2 == 1 ? "{\"a\":" : "[");
        strcat(text, levels % 2 == 1 ? "{}" : "[]");
        for (int i = levels - 1; i > 0; i--) strcat(text, i % 2 == 1 ? "}" : "]");
        assert_int_equal(mien_json_parse(text, strlen(text), &json, NULL), MIEN_OK);
        assert_int_equal(mien_json_depth(json), levels);
        assert_int_equal(mien_metadata_text(json, &out, &e), levels == MIEN_METADATA_DEPTH ? MIEN_OK : MIEN_E_RECORD);
        if (levels == MIEN_METADATA_DEPTH) assert_string_equal(out.data, text);
        mien_buf_free(&out);
        mien_json_free(&json);
    }
}

static void wrong_lines_are_said(void **state)
{
    (void)state;
    static struct mien_import in;
    static const struct { const char *line, *word; } WRONG[] = {
        {"", "JSON"}, {"{", "JSON"}, {"7", "object"}, {"{\"user_id\":\"a\",\"embedding\":[1],\"x\":1}", "x"},
        {"{\"user_id\":\"\\u0007\",\"embedding\":[1]}", "user_id"},
        {"{\"user_id\":1,\"embedding\":[1]}", "user_id"}, {"{\"user_id\":\"a\",\"embedding\":[]}", "embedding"},
        {"{\"user_id\":\"a\",\"embedding\":[1,\"2\"]}", "embedding"}, {"{\"user_id\":\"a\",\"embedding\":[0,0]}", "embedding"},
        {"{\"user_id\":\"a\",\"embedding\":\"AACAfw==\"}", "embedding"}, {"{\"user_id\":\"a\",\"embedding\":\"AAAAAA\"}", "embedding"},
        {"{\"user_id\":\"a\",\"embedding\":\"AACA\"}", "embedding"}, {"{\"user_id\":\"a\",\"embedding\":[1],\"depth\":[0]}", "depth"},
        {"{\"user_id\":\"a\",\"embedding\":[1],\"append\":1}", "append"}, {"{\"user_id\":\"a\",\"embedding\":[1],\"model\":1}", "model"}};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        struct mien_err e = {0};
        assert_int_equal(mien_import_parse(WRONG[i].line, strlen(WRONG[i].line), &in, &e), MIEN_E_RECORD);
        assert_non_null(strstr(e.msg, WRONG[i].word));
        mien_import_free(&in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(the_least_line), cmocka_unit_test(metadata_have_a_depth),
                                       cmocka_unit_test(wrong_lines_are_said)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
