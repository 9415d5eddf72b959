/* Frames of a clip, as a camera would send them: a folder of images, a file of JPEGs one after the other (motion JPEG), a video that ffmpeg decodes, or one
 * photo that is shown again and again. */
#ifndef MIEN_APP_CLIPS_H
#define MIEN_APP_CLIPS_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

/* By the ending of the name. */
bool mien_clip_is_photo(const char *name);
bool mien_clip_is_film(const char *name); /* motion JPEG or video */

struct mien_clip_settings {
    float fps;      /* videos are decoded at this rate; images and JPEGs are taken to have it */
    float seconds;  /* how long one photo is shown */
};

struct mien_clip;

/* `path`: a folder, or a file of which mien_clip_is_photo or mien_clip_is_film is true. Errors name it. MIEN_E_IO;
 * MIEN_E_ARG: ffmpeg is needed and not there. */
enum mien_code mien_clip_open(const char *path, const struct mien_clip_settings *s, struct mien_clip **out, struct mien_err *e) MIEN_MUST_CHECK;
/* The next frame, encoded; it is the clip's, until the next call. *n is 0 at the end. MIEN_E_IMAGE_CORRUPT: what comes is no JPEG, ffmpeg has failed, or
 * there was no frame at all. */
enum mien_code mien_clip_next(struct mien_clip *c, const unsigned char **frame, size_t *n, struct mien_err *e) MIEN_MUST_CHECK;
void mien_clip_close(struct mien_clip **c); /* wipes; accepts NULL in it */

/* Length of the JPEG that begins at `data`: 0 when it is longer than `n`, SIZE_MAX when it is none. */
size_t mien_jpeg_length(const unsigned char *data, size_t n);

#endif
