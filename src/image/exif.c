/* EXIF orientation: one tag of the first directory of a TIFF structure (Exif 2.32, 4.6.2 and table 4). */
#include <stdbool.h>
#include <string.h>
#include "image/image.h"

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3 };

static unsigned get16(const unsigned char *p, bool big)
{
    return big ? (unsigned)p[0] << 8 | p[1] : (unsigned)p[1] << 8 | p[0];
}

static size_t get32(const unsigned char *p, bool big)
{
    unsigned a = get16(p, big), b = get16(p + 2, big);
    return big ? (size_t)a << 16 | b : (size_t)b << 16 | a;
}

int mien_exif_orientation(const unsigned char *tiff, size_t n)
{
    if (n >= 6 && memcmp(tiff, "Exif\0\0", 6) == 0) { /* JPEG always has it, WebP and PNG sometimes */
        tiff += 6;
        n -= 6;
    }
    if (n < 10 || !(memcmp(tiff, "II*\0", 4) == 0 || memcmp(tiff, "MM\0*", 4) == 0)) return 1;
    bool big = tiff[0] == 'M';
    size_t dir = get32(tiff + 4, big);
    if (dir > n - 2) return 1;
    size_t count = get16(tiff + dir, big), room = (n - dir - 2) / 12;
    for (size_t i = 0; i < count && i < room; i++) {
        const unsigned char *entry = tiff + dir + 2 + 12 * i;
        if (get16(entry, big) != TAG_ORIENTATION) continue;
        unsigned value = get16(entry + 8, big);
        bool valid = get16(entry + 2, big) == TYPE_SHORT && get32(entry + 4, big) == 1 && value >= 1 && value <= 8;
        return valid ? (int)value : 1;
    }
    return 1;
}
