/* Depth maps: 16-bit gray PNG under the limits of photos. */
#include <stdlib.h>
#include <string.h>
#include "image/decode.h"

enum mien_code mien_depth_map_read(const unsigned char *data, size_t n, const struct mien_image_limits *limits, struct mien_depth_map *out, struct mien_err *e)
{
    struct mien_image_header h;
    *out = (struct mien_depth_map){0};
    MIEN_FAIL_IF(n > limits->max_bytes, e, MIEN_E_IMAGE_LIMIT, "the depth map is larger than %zu bytes", limits->max_bytes);
    MIEN_FAIL_IF(mien_image_sniff(data, n) != MIEN_IMAGE_PNG, e, MIEN_E_IMAGE_TYPE, "a depth map is a 16-bit gray PNG");
    MIEN_TRY(mien_png_header(data, n, &h, e));
    MIEN_FAIL_IF((uint64_t)h.width * (uint64_t)h.height > limits->max_pixels, e, MIEN_E_IMAGE_LIMIT, "the depth map has too many pixels");
    const enum mien_code code = mien_png_decode_depth(data, n, &h, out, e);
    if (code != MIEN_OK) mien_depth_map_free(out);
    return code;
}

void mien_depth_map_free(struct mien_depth_map *d)
{
    if (d->mm != NULL) explicit_bzero(d->mm, (size_t)d->width * (size_t)d->height * sizeof *d->mm);
    free(d->mm);
    *d = (struct mien_depth_map){0};
}
