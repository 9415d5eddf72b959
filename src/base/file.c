#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static enum mien_code open_regular(const char *path, size_t max_bytes, int *fd, size_t *size,
                                   struct mien_err *e)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    MIEN_FAIL_IF(*fd < 0, e, MIEN_E_IO, "%s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(*fd);
        return MIEN_FAIL(e, MIEN_E_IO, "%s: not a regular file", path);
    }
    if ((uint64_t)st.st_size > max_bytes) {
        close(*fd);
        return MIEN_FAIL(e, MIEN_E_LIMIT, "%s: %lld bytes, the limit is %zu", path,
                         (long long)st.st_size, max_bytes);
    }
    *size = (size_t)st.st_size;
    return MIEN_OK;
}

const char *mien_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

enum mien_code mien_file_map(const char *path, size_t max_bytes, struct mien_file *out,
                             struct mien_err *e)
{
    *out = (struct mien_file){0};
    int fd;
    size_t size;
    MIEN_TRY(open_regular(path, max_bytes, &fd, &size, e));
    void *p = NULL;
    if (size != 0) p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    int err = errno;
    close(fd);
    MIEN_FAIL_IF(p == MAP_FAILED, e, MIEN_E_IO, "%s: %s", path, strerror(err));
    out->data = p;
    out->size = size;
    return MIEN_OK;
}

void mien_file_unmap(struct mien_file *f)
{
    if (f->data != NULL) munmap((void *)(uintptr_t)f->data, f->size);
    *f = (struct mien_file){0};
}

static enum mien_code read_fd(int fd, const char *path, size_t max_bytes, unsigned char **out,
                              size_t *size, struct mien_err *e)
{
    size_t room = 64 * 1024, len = 0;
    unsigned char *p = malloc(room + 1);
    MIEN_FAIL_IF(p == NULL, e, MIEN_E_NOMEM, "%s: out of memory", path);
    for (;;) {
        ssize_t n = read(fd, p + len, room - len);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) {
            int err = errno;
            free(p);
            return MIEN_FAIL(e, MIEN_E_IO, "%s: %s", path, strerror(err));
        }
        if (n == 0) break;
        len += (size_t)n;
        if (len > max_bytes) {
            free(p);
            return MIEN_FAIL(e, MIEN_E_LIMIT, "%s: more than %zu bytes", path, max_bytes);
        }
        if (len == room) {
            unsigned char *q = realloc(p, room * 2 + 1);
            if (q == NULL) {
                free(p);
                return MIEN_FAIL(e, MIEN_E_NOMEM, "%s: out of memory", path);
            }
            p = q;
            room *= 2;
        }
    }
    p[len] = '\0';
    *out = p;
    *size = len;
    return MIEN_OK;
}

enum mien_code mien_file_read(const char *path, size_t max_bytes, unsigned char **out, size_t *size,
                              struct mien_err *e)
{
    *out = NULL;
    *size = 0;
    if (strcmp(path, "-") == 0) return read_fd(STDIN_FILENO, path, max_bytes, out, size, e);
    int fd;
    size_t known;
    MIEN_TRY(open_regular(path, max_bytes, &fd, &known, e));
    enum mien_code code = read_fd(fd, path, max_bytes, out, size, e);
    close(fd);
    return code;
}

static enum mien_code write_all(int fd, const char *path, const void *data, size_t size,
                                struct mien_err *e)
{
    const char *p = data;
    while (size != 0) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR) continue;
        MIEN_FAIL_IF(n < 0, e, MIEN_E_IO, "%s: %s", path, strerror(errno));
        p += n;
        size -= (size_t)n;
    }
    return MIEN_OK;
}

/* The folder's entry of a renamed file is on the disk only when the folder is. */
static bool sync_folder(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path), slash == NULL ? "." : path);
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    return good;
}

/* Writes `temp`, which is open as fd, and closes it. */
static enum mien_code fill(int fd, const char *path, const void *data, size_t size, bool sync, struct mien_err *e)
{
    enum mien_code code = write_all(fd, path, data, size, e);
    if (code == MIEN_OK && sync && fsync(fd) != 0) code = MIEN_FAIL(e, MIEN_E_IO, "%s: %s", path, strerror(errno));
    if (close(fd) != 0 && code == MIEN_OK) code = MIEN_FAIL(e, MIEN_E_IO, "%s: %s", path, strerror(errno));
    return code;
}

enum mien_code mien_file_write(const char *path, const void *data, size_t size, struct mien_err *e)
{
    char temp[4096];
    int n = snprintf(temp, sizeof temp, "%s.tmp.%ld", path, (long)getpid());
    MIEN_FAIL_IF(n < 0 || (size_t)n >= sizeof temp, e, MIEN_E_ARG, "path too long");
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    MIEN_FAIL_IF(fd < 0, e, MIEN_E_IO, "%s: %s", path, strerror(errno));
    enum mien_code code = fill(fd, path, data, size, false, e);
    if (code == MIEN_OK && rename(temp, path) != 0) code = MIEN_FAIL(e, MIEN_E_IO, "%s: %s", path, strerror(errno));
    if (code != MIEN_OK) unlink(temp);
    return code;
}

/* Onto the disk, with this mode. `made` NULL: replaces what is there. Else link(2) puts the file in its place, which fails when there is one. */
static enum mien_code put(const char *path, mode_t mode, const void *data, size_t size, bool *made, struct mien_err *e)
{
    char temp[4096];
    int n = snprintf(temp, sizeof temp, "%s.tmp.XXXXXX", path);
    MIEN_FAIL_IF(n < 0 || (size_t)n >= sizeof temp, e, MIEN_E_ARG, "path too long");
    int fd = mkostemp(temp, O_CLOEXEC); /* mode 0600 */
    MIEN_FAIL_IF(fd < 0, e, MIEN_E_IO, "%s: %s", path, strerror(errno));
    const int changed = mode != 0600 ? fchmod(fd, mode) : 0, why = errno;
    enum mien_code code = fill(fd, path, data, size, true, e);
    if (code == MIEN_OK && changed != 0) code = MIEN_FAIL(e, MIEN_E_IO, "%s: %s", path, strerror(why));
    const int placed = code != MIEN_OK ? 0 : made != NULL ? link(temp, path) : rename(temp, path);
    const bool other = placed != 0 && made != NULL && errno == EEXIST;
    if (placed != 0 && !other) code = MIEN_FAIL(e, MIEN_E_IO, "%s: %s", path, strerror(errno));
    if (code != MIEN_OK || made != NULL) unlink(temp);
    if (made != NULL) *made = code == MIEN_OK && !other;
    if (code == MIEN_OK && !sync_folder(path)) code = MIEN_FAIL(e, MIEN_E_IO, "%s: %s", path, strerror(errno));
    return code;
}

enum mien_code mien_file_replace(const char *path, const void *data, size_t size, struct mien_err *e)
{
    struct stat st;
    char *real = realpath(path, NULL);
    MIEN_FAIL_IF(real == NULL, e, MIEN_E_IO, "%s: %s", path, strerror(errno));
    enum mien_code code = stat(real, &st) == 0 && S_ISREG(st.st_mode) ? MIEN_OK : MIEN_FAIL(e, MIEN_E_IO, "%s: not a regular file", path);
    if (code == MIEN_OK) code = put(real, st.st_mode & 07777, data, size, NULL, e);
    free(real);
    return code;
}

enum mien_code mien_file_write_secret(const char *path, const void *data, size_t size, struct mien_err *e) { return put(path, 0600, data, size, NULL, e); }

enum mien_code mien_file_make_secret(const char *path, const void *data, size_t size, bool *made, struct mien_err *e)
{
    return put(path, 0600, data, size, made, e);
}

static bool is_credential(const char *path)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    const size_t n = folder != NULL ? strlen(folder) : 0;
    return n > 0 && strncmp(path, folder, n) == 0 && path[n] == '/' && strstr(path, "/../") == NULL;
}

bool mien_file_is_private(const char *path)
{
    struct stat st;
    const mode_t others = is_credential(path) ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    return stat(path, &st) == 0 && (st.st_mode & others) == 0;
}
