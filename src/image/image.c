/* Pixels: allocation, wiping, what kind of picture some bytes are, alpha on white. */
#include <stdlib.h>
#include <string.h>
#include "image/decode.h"

/* No picture of more can be asked for, whatever the configured limits: 3 bytes a pixel stay far below SIZE_MAX. */
#define MAX_PIXELS ((uint64_t)1 << 31)

enum mien_code mien_image_alloc(int width, int height, struct mien_image *out, struct mien_err *e)
{
    *out = (struct mien_image){0};
    MIEN_FAIL_IF(width < 1 || height < 1, e, MIEN_E_ARG, "a picture of %d x %d pixels", width, height);
    MIEN_FAIL_IF((uint64_t)width * (uint64_t)height > MAX_PIXELS, e, MIEN_E_IMAGE_LIMIT, "%d x %d pixels", width, height);
    size_t stride = 3 * (size_t)width;
    uint8_t *px = malloc(stride * (size_t)height);
    MIEN_FAIL_IF(px == NULL, e, MIEN_E_NOMEM, "out of memory for %d x %d pixels", width, height);
    *out = (struct mien_image){.px = px, .width = width, .height = height, .stride = stride};
    return MIEN_OK;
}

void mien_image_free(struct mien_image *im)
{
    if (im == NULL) return;
    if (im->px != NULL) {
        explicit_bzero(im->px, im->stride * (size_t)im->height);
        free(im->px);
    }
    *im = (struct mien_image){0};
}

enum mien_image_format mien_image_sniff(const unsigned char *data, size_t n)
{
    if (n < 12) return MIEN_IMAGE_UNKNOWN;
    if (memcmp(data, "\xff\xd8\xff", 3) == 0) return MIEN_IMAGE_JPEG;
    if (memcmp(data, "\x89PNG\r\n\x1a\n", 8) == 0) return MIEN_IMAGE_PNG;
    if (memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WEBP", 4) == 0) return MIEN_IMAGE_WEBP;
    if (memcmp(data, "GIF87a", 6) == 0 || memcmp(data, "GIF89a", 6) == 0) return MIEN_IMAGE_GIF;
    if (memcmp(data, "BM", 2) == 0) return MIEN_IMAGE_BMP;
    return MIEN_IMAGE_UNKNOWN;
}

void mien_rgba_on_white(const uint8_t *rgba, int width, uint8_t *dst)
{
    for (int x = 0; x < width; x++, rgba += 4, dst += 3) {
        unsigned a = rgba[3], white = 255 * (255 - a) + 127;
        uint8_t r = (uint8_t)((rgba[0] * a + white) / 255), g = (uint8_t)((rgba[1] * a + white) / 255),
                b = (uint8_t)((rgba[2] * a + white) / 255);
        dst[0] = r;
        dst[1] = g;
        dst[2] = b;
    }
}
