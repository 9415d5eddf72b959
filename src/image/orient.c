/* Turning pictures upright.
 *
 * Every EXIF orientation is an affine map of pixel indices with unit steps, so a stored pixel (x, y) goes to
 * origin + x * step_x + y * step_y in the turned picture, all in bytes. Rows come in bands and bands are copied
 * in blocks of columns, so that the transposing four stay within the cache. */
#include <string.h>
#include "image/decode.h"

enum { BLOCK = 32 };

struct steps {
    ptrdiff_t origin, x, y;
};

static bool transposes(int orientation) { return orientation >= 5; }

/* Orientation as the Exif standard numbers it: where the stored picture's first row and column are seen. */
static struct steps steps_of(int w, int h, int orientation, size_t stride)
{
    ptrdiff_t s = (ptrdiff_t)stride, right = 3 * ((ptrdiff_t)w - 1), down = s * ((ptrdiff_t)h - 1);
    ptrdiff_t t_right = 3 * ((ptrdiff_t)h - 1), t_down = s * ((ptrdiff_t)w - 1);
    switch (orientation) {
    case 2: return (struct steps){right, -3, s};              /* mirrored */
    case 3: return (struct steps){right + down, -3, -s};      /* turned by 180 degrees */
    case 4: return (struct steps){down, 3, -s};               /* upside down mirror */
    case 5: return (struct steps){0, s, 3};                   /* transposed */
    case 6: return (struct steps){t_right, s, -3};            /* turn clockwise to see it upright */
    case 7: return (struct steps){t_right + t_down, -s, -3};  /* transposed over the other diagonal */
    case 8: return (struct steps){t_down, -s, 3};             /* turn counter-clockwise */
    default: return (struct steps){0, 3, s};
    }
}

enum mien_code mien_orient_alloc(int w, int h, int orientation, struct mien_image *out, struct mien_err *e)
{
    return transposes(orientation) ? mien_image_alloc(h, w, out, e) : mien_image_alloc(w, h, out, e);
}

static void put_block(const uint8_t *src, size_t stride, int columns, int rows, uint8_t *dst, const struct steps *s)
{
    for (int x = 0; x < columns; x++) {
        const uint8_t *from = src + 3 * x;
        uint8_t *to = dst + x * s->x;
        for (int y = 0; y < rows; y++, from += stride, to += s->y) {
            to[0] = from[0];
            to[1] = from[1];
            to[2] = from[2];
        }
    }
}

void mien_orient_put(const uint8_t *band, size_t stride, int w, int h, int y, int rows, int orientation,
                     struct mien_image *out)
{
    struct steps s = steps_of(w, h, orientation, out->stride);
    for (int done = 0; done < rows; done += BLOCK) {
        int n = rows - done < BLOCK ? rows - done : BLOCK;
        const uint8_t *from = band + (size_t)done * stride;
        uint8_t *to = out->px + s.origin + (y + done) * s.y;
        if (s.x == 3) {
            for (int i = 0; i < n; i++) memcpy(to + i * s.y, from + (size_t)i * stride, 3 * (size_t)w);
            continue;
        }
        for (int x = 0; x < w; x += BLOCK) {
            put_block(from + 3 * x, stride, w - x < BLOCK ? w - x : BLOCK, n, to + x * s.x, &s);
        }
    }
}

struct mien_rect mien_orient_back(struct mien_rect r, int w, int h, int orientation)
{
    int left = r.x, top = r.y; /* along the stored axes, still possibly counted from the far edge */
    if (transposes(orientation)) r = (struct mien_rect){top, left, r.h, r.w};
    if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) r.x = w - r.x - r.w;
    if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) r.y = h - r.y - r.h;
    return r;
}

enum mien_code mien_orient_whole(struct mien_image *stored, int orientation, struct mien_image *out,
                                 struct mien_err *e)
{
    if (orientation <= 1 || orientation > 8) {
        *out = *stored;
        *stored = (struct mien_image){0};
        return MIEN_OK;
    }
    enum mien_code code = mien_orient_alloc(stored->width, stored->height, orientation, out, e);
    if (code == MIEN_OK) {
        mien_orient_put(stored->px, stored->stride, stored->width, stored->height, 0, stored->height, orientation, out);
    }
    mien_image_free(stored);
    return code;
}
