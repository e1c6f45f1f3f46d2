/* A disk that fails: loaded before libc, it makes one call below a directory fail, or that call and
 * all like it from then on.
 *
 * FAIL_IO_BELOW   the directory
 * FAIL_IO_ONLY    or this one path, in place of what lies below a directory
 * FAIL_IO_CALL    write, sync, rename, unlink or truncate
 * FAIL_IO_AT      which such call: 1 is the first
 * FAIL_IO_ERRNO   a number
 * FAIL_IO_FOR_EVER set: the calls after it fail too
 * FAIL_IO_REPORT  a file that gets the path of each call that was made to fail, a line each
 *
 * Never here: a call that does part of what it was asked for.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long passed;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int lies_below(const char *path) {
    const char *below = getenv("FAIL_IO_BELOW"), *only = getenv("FAIL_IO_ONLY");
    if (only)
        return path && strcmp(path, only) == 0;
    return below && path && strncmp(path, below, strlen(below)) == 0;
}

static void report(const char *path) {
    const char *file = getenv("FAIL_IO_REPORT");
    int fd = file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    char line[PATH_MAX + 2];
    int bytes = snprintf(line, sizeof line, "%s\n", path);
    REAL(write)(fd, line, bytes);
    close(fd);
}

/* Whether this call is to fail; errno is set then. */
static int fails(const char *call, const char *path) {
    const char *planned = getenv("FAIL_IO_CALL"), *at = getenv("FAIL_IO_AT");
    if (!planned || !at || strcmp(planned, call) != 0 || !lies_below(path))
        return 0;
    long number = atomic_fetch_add(&passed, 1) + 1, first = atol(at);
    if (number < first || (number > first && !getenv("FAIL_IO_FOR_EVER")))
        return 0;
    report(path);
    const char *code = getenv("FAIL_IO_ERRNO");
    errno = code ? atoi(code) : EIO;
    return 1;
}

static int fails_at(const char *call, int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    if (bytes < 0)
        return 0;
    path[bytes] = 0;
    return fails(call, path);
}

/* Of a path that is relative to a directory handle. */
static int fails_in(const char *call, int dir, const char *path) {
    return path[0] == '/' ? fails(call, path) : fails_at(call, dir);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    return fails_at("write", fd) ? -1 : REAL(write)(fd, bytes, length);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    return fails_at("write", fd) ? -1 : REAL(pwrite)(fd, bytes, length, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    return fails_at("write", fd) ? -1 : REAL(pwrite64)(fd, bytes, length, at);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return fails_at("write", fd) ? -1 : REAL(writev)(fd, parts, count);
}
int fsync(int fd) {
    return fails_at("sync", fd) ? -1 : REAL(fsync)(fd);
}
int fdatasync(int fd) {
    return fails_at("sync", fd) ? -1 : REAL(fdatasync)(fd);
}
int ftruncate(int fd, off_t length) {
    return fails_at("truncate", fd) ? -1 : REAL(ftruncate)(fd, length);
}
int ftruncate64(int fd, off64_t length) {
    return fails_at("truncate", fd) ? -1 : REAL(ftruncate64)(fd, length);
}
int rename(const char *from, const char *to) {
    return fails("rename", to) ? -1 : REAL(rename)(from, to);
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return fails_in("rename", to_dir, to) ? -1 : REAL(renameat)(from_dir, from, to_dir, to);
}
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned int flags) {
    if (fails_in("rename", to_dir, to))
        return -1;
    return REAL(renameat2)(from_dir, from, to_dir, to, flags);
}
int unlink(const char *path) {
    return fails("unlink", path) ? -1 : REAL(unlink)(path);
}
int unlinkat(int dir, const char *path, int flags) {
    return fails_in("unlink", dir, path) ? -1 : REAL(unlinkat)(dir, path, flags);
}
