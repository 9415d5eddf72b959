/* Any bytes as a picture: opened, seen small, in part and whole. The pixel limit keeps a run short. */
#include <stdlib.h>

#include "image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads all pixels, so that a sanitizer sees rows that are too short or were never written. */
static void look_at(const struct mien_image *im)
{
    unsigned sum = 0;
    for (int y = 0; y < im->height; y++) {
        for (int x = 0; x < 3 * im->width; x++) sum += im->px[(size_t)y * im->stride + (size_t)x];
    }
    __asm__ volatile("" : : "r"(sum)); /* keeps the loop */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct mien_image_limits limits = {1 << 20, 1 << 18};
    struct mien_photo *p;
    if (mien_photo_open(data, size, &limits, &p, NULL) != MIEN_OK) return 0;
    int w = mien_photo_width(p), h = mien_photo_height(p), x, y;
    if (w < 1 || h < 1 || (uint64_t)w * (uint64_t)h > limits.max_pixels) abort();
    const struct mien_image *im;
    float scale;
    if (mien_photo_view(p, (w > h ? w : h) / 4, &im, &scale, NULL) == MIEN_OK) look_at(im);
    if (mien_photo_region(p, (struct mien_rect){w / 4, h / 3, w / 2, h / 2}, &im, &x, &y, NULL) == MIEN_OK) look_at(im);
    if (mien_photo_view(p, 1 << 30, &im, &scale, NULL) == MIEN_OK) {
        if (im->width != w || im->height != h || scale != 1.0f) abort();
        look_at(im);
    }
    mien_photo_free(&p);
    return 0;
}
