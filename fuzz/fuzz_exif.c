/* Any bytes as an EXIF block. */
#include <stdlib.h>

#include "image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int orientation = mien_exif_orientation(data, size);
    if (orientation < 1 || orientation > 8) abort();
    return 0;
}
