/* Peaks in the spectrum of a picture, between the files of this room. */
#ifndef MIEN_LIVENESS_SPECTRUM_H
#define MIEN_LIVENESS_SPECTRUM_H

#include "base/arena.h"
#include "image/image.h"

/* Height of the strongest peak over the local background, as a ratio of powers, in units of what chance alone gives for so many windows: about 1 for
 * natural pictures. Looks at windows of 64 x 64 pixels spread over `im` (Welch's method); 0 when the picture is smaller than one window.
 * Low frequencies (under 6 cycles a window), the axes and the harmonics of JPEG's 8 x 8 blocks are left out. MIEN_E_NOMEM. */
enum mien_code mien_spectrum_peak(const struct mien_image *im, struct mien_arena *arena, float *peak, struct mien_err *e) MIEN_MUST_CHECK;

#endif
