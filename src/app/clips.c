/* Frames of a clip. Videos are decoded by ffmpeg as a program of its own, started without a shell, which writes JPEGs to a pipe; so motion JPEG and videos are
 * read alike. */
#include "app/clips.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

enum { FRAME_BYTES = 64 << 20, READ_BYTES = 256 << 10 };

struct mien_clip {
    const char *path;         /* follows the structure */
    unsigned char *bytes;     /* the current frame first */
    size_t n, room, used;     /* filled; allocated; length of the current frame */
    int frames;               /* so far */
    int repeats;              /* of a photo, still to come */
    struct dirent **entry;    /* of a folder */
    int entries, entry_at;
    int fd;                   /* of a film; -1 = none, or at its end */
    pid_t decoder;            /* 0 = none */
};

/* ---- names ---- */

static bool ends_in(const char *name, const char *const *ending, size_t n)
{
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot != NULL && i < n; i++)
        if (strcasecmp(dot, ending[i]) == 0) return true;
    return false;
}

bool mien_clip_is_photo(const char *name)
{
    static const char *const ending[] = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"};
    return ends_in(name, ending, sizeof ending / sizeof *ending);
}

static bool is_motion_jpeg(const char *name)
{
    static const char *const ending[] = {".mjpeg", ".mjpg"};
    return ends_in(name, ending, sizeof ending / sizeof *ending);
}

bool mien_clip_is_film(const char *name)
{
    static const char *const ending[] = {".mp4", ".mkv", ".webm", ".mov", ".avi"};
    return is_motion_jpeg(name) || ends_in(name, ending, sizeof ending / sizeof *ending);
}

/* ---- JPEGs one after the other ---- */

/* Past the coded data that begins at `i`: to the next marker that is neither a stuffed zero nor a restart. */
static size_t end_of_scan(const unsigned char *d, size_t n, size_t i)
{
    for (; i + 1 < n; i++)
        if (d[i] == 0xff && d[i + 1] != 0x00 && d[i + 1] != 0xff && (d[i + 1] < 0xd0 || d[i + 1] > 0xd7)) break;
    return i;
}

size_t mien_jpeg_length(const unsigned char *data, size_t n)
{
    enum { SOI = 0xd8, EOI = 0xd9, SOS = 0xda };
    size_t i = 2;
    if ((n > 0 && data[0] != 0xff) || (n > 1 && data[1] != SOI)) return SIZE_MAX;
    while (i + 4 <= n || (i + 2 <= n && data[i + 1] == EOI)) {
        const unsigned marker = data[i + 1];
        if (data[i] != 0xff) return SIZE_MAX;
        if (marker == EOI) return i + 2;
        if (marker == 0xff) { /* fill */
            i++;
            continue;
        }
        i += 2 + ((size_t)data[i + 2] << 8 | data[i + 3]);
        if (marker == SOS) i = end_of_scan(data, n, i);
    }
    return 0;
}

/* ---- ffmpeg ---- */

static enum mien_code start_decoder(struct mien_clip *c, float fps, struct mien_err *e)
{
    char filter[120], source[PATH_MAX + 8];
    posix_spawn_file_actions_t files;
    int end[2];
    /* No larger than what a browser sends. "file:" keeps a name from being taken for an option or a protocol. */
    snprintf(filter, sizeof filter, "fps=%.3f,scale=w='min(640,iw)':h='min(640,ih)':force_original_aspect_ratio=decrease:force_divisible_by=2", (double)fps);
    snprintf(source, sizeof source, "file:%s", c->path);
    char *const argument[] = {"ffmpeg", "-v", "quiet", "-nostdin", "-i", source, "-map", "0:v:0", "-vf", filter, "-c:v", "mjpeg", "-q:v", "3", "-f",
                              "image2pipe", "-", NULL};
    MIEN_FAIL_IF(pipe2(end, O_CLOEXEC) != 0, e, MIEN_E_IO, "%.150s: %s", c->path, strerror(errno));
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, end[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    const int failure = posix_spawnp(&c->decoder, "ffmpeg", &files, NULL, argument, environ);
    posix_spawn_file_actions_destroy(&files);
    close(end[1]);
    c->fd = end[0];
    if (failure == 0) return MIEN_OK;
    c->decoder = 0;
    if (failure == ENOENT) return MIEN_FAIL(e, MIEN_E_ARG, "%.150s: videos need ffmpeg, which is not installed (no ffmpeg in PATH)", c->path);
    return MIEN_FAIL(e, MIEN_E_IO, "%.150s: ffmpeg cannot be started: %s", c->path, strerror(failure));
}

/* The film has ended: has ffmpeg ended well? */
static enum mien_code end_film(struct mien_clip *c, struct mien_err *e)
{
    int status = 0;
    close(c->fd);
    c->fd = -1;
    if (c->decoder == 0) return MIEN_OK;
    while (waitpid(c->decoder, &status, 0) < 0 && errno == EINTR) continue;
    c->decoder = 0;
    MIEN_FAIL_IF(status != 0, e, MIEN_E_IMAGE_CORRUPT, "%.150s: ffmpeg cannot decode it", c->path);
    return MIEN_OK;
}

/* ---- frames of each kind ---- */

static enum mien_code make_room(struct mien_clip *c, struct mien_err *e)
{
    if (c->room - c->n >= READ_BYTES) return MIEN_OK;
    const size_t room = 2 * c->room + READ_BYTES;
    MIEN_FAIL_IF(c->n > FRAME_BYTES, e, MIEN_E_IMAGE_LIMIT, "%.150s: a frame of more than %d bytes", c->path, (int)FRAME_BYTES);
    unsigned char *bytes = malloc(room);
    MIEN_FAIL_IF(bytes == NULL, e, MIEN_E_NOMEM, "out of memory");
    if (c->n > 0) {
        memcpy(bytes, c->bytes, c->n);
        explicit_bzero(c->bytes, c->n);
    }
    free(c->bytes);
    c->bytes = bytes;
    c->room = room;
    return MIEN_OK;
}

/* c->used is 0 afterwards when there are no more frames. */
static enum mien_code next_of_film(struct mien_clip *c, struct mien_err *e)
{
    if (c->used > 0) memmove(c->bytes, c->bytes + c->used, c->n -= c->used);
    c->used = 0;
    for (;;) {
        const size_t length = c->n > 0 ? mien_jpeg_length(c->bytes, c->n) : 0;
        MIEN_FAIL_IF(length == SIZE_MAX, e, MIEN_E_IMAGE_CORRUPT, "%.150s: no JPEG after frame %d", c->path, c->frames);
        c->used = length;
        if (length > 0) return MIEN_OK;
        if (c->fd < 0) break;
        MIEN_TRY(make_room(c, e));
        const ssize_t got = read(c->fd, c->bytes + c->n, READ_BYTES);
        if (got > 0) c->n += (size_t)got;
        else if (got == 0) MIEN_TRY(end_film(c, e));
        else MIEN_FAIL_IF(errno != EINTR, e, MIEN_E_IO, "%.150s: %s", c->path, strerror(errno));
    }
    MIEN_FAIL_IF(c->n > 0, e, MIEN_E_IMAGE_CORRUPT, "%.150s: ends within frame %d", c->path, c->frames + 1);
    return MIEN_OK;
}

static void forget_frame(struct mien_clip *c)
{
    if (c->bytes != NULL) explicit_bzero(c->bytes, c->room);
    free(c->bytes);
    c->bytes = NULL;
    c->n = c->used = c->room = 0;
}

static enum mien_code read_photo(struct mien_clip *c, const char *path, struct mien_err *e)
{
    forget_frame(c);
    MIEN_TRY(mien_file_read(path, FRAME_BYTES, &c->bytes, &c->n, e));
    MIEN_FAIL_IF(c->n == 0, e, MIEN_E_IMAGE_TYPE, "%.150s: empty file", path);
    c->used = c->room = c->n;
    return MIEN_OK;
}

static enum mien_code next_of_folder(struct mien_clip *c, struct mien_err *e)
{
    char path[PATH_MAX];
    while (c->entry_at < c->entries && !mien_clip_is_photo(c->entry[c->entry_at]->d_name)) c->entry_at++;
    if (c->entry_at == c->entries) {
        forget_frame(c);
        return MIEN_OK;
    }
    const int length = snprintf(path, sizeof path, "%s/%s", c->path, c->entry[c->entry_at++]->d_name);
    MIEN_FAIL_IF(length < 0 || (size_t)length >= sizeof path, e, MIEN_E_IO, "%.150s: a path that is too long", c->path);
    return read_photo(c, path, e);
}

/* ---- clips ---- */

static int is_visible(const struct dirent *d) { return d->d_name[0] != '.'; }

static enum mien_code open_clip(struct mien_clip *c, const struct mien_clip_settings *s, struct mien_err *e)
{
    struct stat st;
    MIEN_FAIL_IF(stat(c->path, &st) != 0, e, MIEN_E_IO, "%.150s: %s", c->path, strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        c->entries = scandir(c->path, &c->entry, is_visible, versionsort); /* 9.jpg before 10.jpg */
        MIEN_FAIL_IF(c->entries < 0, e, MIEN_E_IO, "%.150s: %s", c->path, strerror(errno));
        return MIEN_OK;
    }
    if (mien_clip_is_photo(c->path)) {
        c->repeats = (int)(s->seconds * s->fps);
        return read_photo(c, c->path, e);
    }
    if (!is_motion_jpeg(c->path)) return start_decoder(c, s->fps, e);
    c->fd = open(c->path, O_RDONLY | O_CLOEXEC);
    MIEN_FAIL_IF(c->fd < 0, e, MIEN_E_IO, "%.150s: %s", c->path, strerror(errno));
    return MIEN_OK;
}

enum mien_code mien_clip_open(const char *path, const struct mien_clip_settings *s, struct mien_clip **out, struct mien_err *e)
{
    struct mien_clip *c = calloc(1, sizeof *c + strlen(path) + 1);
    *out = NULL;
    MIEN_FAIL_IF(c == NULL, e, MIEN_E_NOMEM, "out of memory");
    c->fd = -1;
    c->path = memcpy(c + 1, path, strlen(path) + 1);
    const enum mien_code code = open_clip(c, s, e);
    if (code == MIEN_OK) *out = c;
    else mien_clip_close(&c);
    return code;
}

enum mien_code mien_clip_next(struct mien_clip *c, const unsigned char **frame, size_t *n, struct mien_err *e)
{
    *n = 0;
    if (c->entry != NULL) MIEN_TRY(next_of_folder(c, e));
    else if (!mien_clip_is_photo(c->path)) MIEN_TRY(next_of_film(c, e));
    else if (c->frames == c->repeats) c->used = 0;
    MIEN_FAIL_IF(c->used == 0 && c->frames == 0, e, MIEN_E_IMAGE_CORRUPT, "%.150s: no frames in it", c->path);
    c->frames += c->used > 0;
    *frame = c->bytes;
    *n = c->used;
    return MIEN_OK;
}

void mien_clip_close(struct mien_clip **clip)
{
    struct mien_clip *c = *clip;
    if (c == NULL) return;
    if (c->fd >= 0) close(c->fd);
    if (c->decoder != 0) {
        kill(c->decoder, SIGKILL);
        while (waitpid(c->decoder, NULL, 0) < 0 && errno == EINTR) continue;
    }
    for (int i = 0; i < c->entries; i++) free(c->entry[i]);
    free(c->entry);
    forget_frame(c);
    free(c);
    *clip = NULL;
}
