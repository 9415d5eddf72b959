/* WebP over libwebp; still pictures only (lossy, lossless, alpha).
 * The container walk follows the "WebP Container Specification": RIFF chunks of even size after a 12-byte head. */
#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>
#include "image/decode.h"

static size_t get32(const unsigned char *p)
{
    return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

static int orientation_of(const unsigned char *data, size_t n)
{
    for (size_t pos = 12; n - pos >= 8;) {
        size_t size = get32(data + pos + 4);
        if (size > n - pos - 8) break;
        if (memcmp(data + pos, "EXIF", 4) == 0) return mien_exif_orientation(data + pos + 8, size);
        pos += 8 + size;
        if ((size & 1) != 0 && pos < n) pos++;
    }
    return 1;
}

enum mien_code mien_webp_header(const unsigned char *data, size_t n, struct mien_image_header *out,
                                struct mien_err *e)
{
    WebPBitstreamFeatures f;
    VP8StatusCode status = WebPGetFeatures(data, n, &f);
    MIEN_FAIL_IF(status == VP8_STATUS_UNSUPPORTED_FEATURE, e, MIEN_E_IMAGE_TYPE, "WebP: unsupported feature");
    MIEN_FAIL_IF(status != VP8_STATUS_OK || f.width < 1 || f.height < 1, e, MIEN_E_IMAGE_CORRUPT,
                 "WebP: damaged header");
    MIEN_FAIL_IF(f.has_animation, e, MIEN_E_IMAGE_TYPE, "WebP: animations are not taken");
    *out = (struct mien_image_header){.width = f.width, .height = f.height, .orientation = orientation_of(data, n)};
    return MIEN_OK;
}

/* Decodes into memory of ours, `channels` bytes a pixel. */
static enum mien_code decode_into(const unsigned char *data, size_t n, const struct mien_image_header *h,
                                  uint8_t *px, size_t stride, WEBP_CSP_MODE mode, struct mien_err *e)
{
    WebPDecoderConfig config;
    MIEN_FAIL_IF(!WebPInitDecoderConfig(&config), e, MIEN_E_INTERNAL, "WebP: library version");
    config.output.colorspace = mode;
    config.output.is_external_memory = 1;
    config.output.u.RGBA = (WebPRGBABuffer){.rgba = px, .stride = (int)stride, .size = stride * (size_t)h->height};
    VP8StatusCode status = WebPDecode(data, n, &config);
    bool same_size = config.output.width == h->width && config.output.height == h->height;
    WebPFreeDecBuffer(&config.output);
    MIEN_FAIL_IF(status == VP8_STATUS_OUT_OF_MEMORY, e, MIEN_E_NOMEM, "WebP: out of memory");
    MIEN_FAIL_IF(status != VP8_STATUS_OK || !same_size, e, MIEN_E_IMAGE_CORRUPT, "WebP: damaged or truncated");
    return MIEN_OK;
}

static enum mien_code decode_alpha(const unsigned char *data, size_t n, const struct mien_image_header *h,
                                   struct mien_image *im, struct mien_err *e)
{
    size_t stride = 4 * (size_t)h->width, bytes = stride * (size_t)h->height;
    uint8_t *rgba = malloc(bytes);
    MIEN_FAIL_IF(rgba == NULL, e, MIEN_E_NOMEM, "out of memory for %zu bytes", bytes);
    enum mien_code code = decode_into(data, n, h, rgba, stride, MODE_RGBA, e);
    for (int y = 0; code == MIEN_OK && y < h->height; y++) {
        mien_rgba_on_white(rgba + (size_t)y * stride, h->width, im->px + (size_t)y * im->stride);
    }
    explicit_bzero(rgba, bytes);
    free(rgba);
    return code;
}

enum mien_code mien_webp_decode(const unsigned char *data, size_t n, const struct mien_image_header *h,
                                struct mien_image *out, struct mien_err *e)
{
    *out = (struct mien_image){0};
    struct mien_image stored;
    WebPBitstreamFeatures f;
    MIEN_FAIL_IF(WebPGetFeatures(data, n, &f) != VP8_STATUS_OK, e, MIEN_E_IMAGE_CORRUPT, "WebP: damaged header");
    MIEN_TRY(mien_image_alloc(h->width, h->height, &stored, e));
    enum mien_code code = f.has_alpha ? decode_alpha(data, n, h, &stored, e)
                                      : decode_into(data, n, h, stored.px, stored.stride, MODE_RGB, e);
    if (code == MIEN_OK) return mien_orient_whole(&stored, h->orientation, out, e);
    mien_image_free(&stored);
    return code;
}
