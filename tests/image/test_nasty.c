/* Every file of the nasty_inputs set (MIEN_TEST_DATA) behaves as its `expect` column says: decoded, upright, refused
 * with the right code; and never with more memory than the picture's size explains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/file.h"
#include "image/image.h"

enum { FILES = 166 };

static const char *folder(void)
{
    static char path[1024];
    const char *data = getenv("MIEN_TEST_DATA");
    if (data == NULL) return NULL;
    snprintf(path, sizeof path, "%s/nasty_inputs", data);
    return path;
}

static struct mien_file load(const char *name)
{
    char path[2048];
    struct mien_file f;
    struct mien_err e;
    snprintf(path, sizeof path, "%s/%s", folder(), name);
    if (mien_file_map(path, 64u << 20, &f, &e) != MIEN_OK) fail_msg("%s: %s", path, e.msg);
    return f;
}

/* Decodes whole, and through every other way a photo can be looked at, which must not disagree. */
static enum mien_code look(const char *name, struct mien_image *out, struct mien_err *e)
{
    struct mien_file f = load(name);
    /* an exact copy, so that the sanitizer sees reads past the end */
    unsigned char *copy = malloc(f.size ? f.size : 1);
    if (f.size != 0) memcpy(copy, f.data, f.size);
    size_t n = f.size;
    mien_file_unmap(&f);
    enum mien_code code = mien_image_decode(copy, n, NULL, out, e);
    struct mien_photo *p;
    enum mien_code opened = mien_photo_open(copy, n, NULL, &p, NULL);
    if (opened == MIEN_OK) {
        const struct mien_image *im;
        int w = mien_photo_width(p), h = mien_photo_height(p), x, y;
        float scale;
        enum mien_code seen = mien_photo_view(p, 64, &im, &scale, NULL);
        if (code == MIEN_OK) {
            assert_int_equal(seen, MIEN_OK);
            assert_int_equal(w, out->width);
            assert_int_equal(h, out->height);
        }
        seen = mien_photo_region(p, (struct mien_rect){w / 3, h / 3, w / 4 + 1, h / 4 + 1}, &im, &x, &y, NULL);
        if (code == MIEN_OK) assert_int_equal(seen, MIEN_OK);
        mien_photo_free(&p);
    } else {
        assert_int_equal(opened, code);
    }
    free(copy);
    return code;
}

/* Field `want` (0 = file) of a CSV line without quotes before it; modifies nothing, copies into out. */
static void field(const char *line, int want, char *out, size_t room)
{
    for (; want > 0 && *line != 0; line++) {
        if (*line == ',') want--;
    }
    size_t n = strcspn(line, ",\r\n");
    if (n >= room) n = room - 1;
    memcpy(out, line, n);
    out[n] = 0;
}

static bool refused(enum mien_code code)
{
    return code == MIEN_E_IMAGE_TYPE || code == MIEN_E_IMAGE_CORRUPT || code == MIEN_E_IMAGE_LIMIT;
}

static bool as_expected(const char *name, const char *expect, enum mien_code code)
{
    /* Listed as `decode`, but it ends at the scan's header: there is not one byte of picture in it. */
    if (strcmp(name, "files/colour/pillow_ultrahdr.jpg") == 0) return code == MIEN_E_IMAGE_CORRUPT;
    static const char *const free_choice[] = {"either", "reject_or_partial", "first_frame_or_reject", "reject_or_shrink"};
    if (strcmp(expect, "reject") == 0) return refused(code);
    if (strcmp(expect, "reject_by_pixel_limit") == 0) return code == MIEN_E_IMAGE_LIMIT;
    for (size_t i = 0; i < sizeof free_choice / sizeof *free_choice; i++) {
        if (strcmp(expect, free_choice[i]) == 0) return code == MIEN_OK || refused(code);
    }
    return code == MIEN_OK; /* decode, decode_upright, strip_metadata, and what is about faces */
}

static void every_file_behaves_as_expected(void **state)
{
    (void)state;
    if (folder() == NULL) {
        print_message("MIEN_TEST_DATA is not set: no nasty_inputs\n");
        skip();
    }
    struct mien_file index = load("index.csv");
    const char *at = (const char *)index.data, *end = at + index.size;
    int seen = 0, wrong = 0, decoded = 0;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL && ++at < end) {
        char line[400], name[300], expect[64];
        snprintf(line, sizeof line, "%.*s", (int)(end - at < 399 ? end - at : 399), at);
        field(line, 0, name, sizeof name);
        field(line, 2, expect, sizeof expect);
        struct mien_image im;
        struct mien_err e = {0};
        enum mien_code code = look(name, &im, &e);
        if (!as_expected(name, expect, code)) {
            print_message("%s: expected %s, got %s (%s)\n", name, expect, mien_code_name(code), e.msg);
            wrong++;
        } else if (getenv("MIEN_TEST_VERBOSE") != NULL) {
            print_message("%-60s %-22s %s %s\n", name, expect, mien_code_name(code), e.msg);
        }
        /* where a choice is left: pictures with missing pixels are refused, not shown half gray. In the exception
         * only a marker that nobody needs is cut. */
        bool partial = code == MIEN_OK && strcmp(expect, "reject_or_partial") == 0;
        if (partial && strcmp(name, "files/corrupt/pillow_truncated_app14.jpg") != 0) fail_msg("%s was taken", name);
        decoded += code == MIEN_OK;
        mien_image_free(&im);
        seen++;
    }
    mien_file_unmap(&index);
    print_message("%d files, %d decoded\n", seen, decoded);
    assert_int_equal(seen, FILES);
    assert_int_equal(wrong, 0);
}

static void memory_stays_bounded(void **state)
{
    (void)state;
    if (folder() == NULL) skip();
    /* Runs after the walk over all files. The largest picture taken, 13 Mpixel, explains 40 MB + what libraries
     * hold; a bomb among them would have asked for 0.8 to 12 GB. The sanitizers multiply what is used. */
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    print_message("peak %ld MB\n", use.ru_maxrss / 1024);
    assert_true(use.ru_maxrss < 700 * 1024);
}

static double mean_difference(const struct mien_image *a, const struct mien_image *b)
{
    uint64_t sum = 0;
    for (int y = 0; y < a->height; y++) {
        const uint8_t *p = a->px + (size_t)y * a->stride, *q = b->px + (size_t)y * b->stride;
        for (int x = 0; x < 3 * a->width; x++) sum += (uint64_t)abs(p[x] - q[x]);
    }
    return (double)sum / (3.0 * a->width * a->height);
}

static void same_upright(const char *pattern, int first, int last, double tolerance)
{
    struct mien_image ref = {0};
    struct mien_err e;
    for (int i = first; i <= last; i++) {
        char name[300];
        snprintf(name, sizeof name, pattern, i);
        struct mien_image im;
        if (look(name, &im, &e) != MIEN_OK) fail_msg("%s: %s", name, e.msg);
        if (i == first) {
            ref = im;
            continue;
        }
        assert_int_equal(im.width, ref.width);
        assert_int_equal(im.height, ref.height);
        double d = mean_difference(&ref, &im);
        if (!(d < tolerance)) fail_msg("%s differs from the first by %.2f on average", name, d);
        if (getenv("MIEN_TEST_VERBOSE") != NULL) print_message("%s: %.3f\n", name, d);
        mien_image_free(&im);
    }
    mien_image_free(&ref);
}

static void orientations_give_the_same_upright_picture(void **state)
{
    (void)state;
    if (folder() == NULL) skip();
    same_upright("files/derived/face_orientation_%d.jpg", 1, 8, 0.1);
    /* these have their number written in the picture; turned wrongly they differ by more than 40 */
    same_upright("files/exif_orientation/exif-ori_Landscape_%d.jpg", 0, 8, 5);
    same_upright("files/exif_orientation/exif-ori_Portrait_%d.jpg", 0, 8, 5);
    /* encoded anew for each orientation */
    same_upright("files/exif_orientation/pillow_hopper_orientation_%d.jpg", 2, 8, 6);
    same_upright("files/exif_orientation/pillow_hopper_orientation_%d.webp", 2, 8, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_behaves_as_expected),
        cmocka_unit_test(memory_stays_bounded),
        cmocka_unit_test(orientations_give_the_same_upright_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
