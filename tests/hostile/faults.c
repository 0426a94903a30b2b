/* A disk that fails: the call numbered FAULT_AT (from 1) of write, fsync or rename on a file below
 * FAULT_BELOW fails with FAULT_ERRNO, and so do all after it where FAULT_LASTS is set. A write that
 * fails for want of room (ENOSPC) writes half of what it was given before. Without FAULT_AT nothing
 * fails; FAULT_COUNT names a file into which the number of calls goes at the end. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long calls;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static int is_below(const char *path) {
    const char *below = getenv("FAULT_BELOW");
    return below && *below && strncmp(path, below, strlen(below)) == 0;
}

static int is_open_below(int file) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int fails(void) {
    const char *at = getenv("FAULT_AT"), *lasts = getenv("FAULT_LASTS");
    const char *count = getenv("FAULT_COUNT"), *number = getenv("FAULT_ERRNO");
    calls++;
    if (count && *count) {
        FILE *file = fopen(count, "w");
        if (file) { fprintf(file, "%ld", calls); fclose(file); }
    }
    if (!at || !*at) return 0;
    if (calls != atol(at) && !(lasts && *lasts && calls > atol(at))) return 0;
    errno = number ? atoi(number) : EIO;
    return 1;
}

ssize_t write(int file, const void *bytes, size_t count) {
    ssize_t (*next)(int, const void *, size_t) = real("write");
    if (!is_open_below(file) || !fails()) return next(file, bytes, count);
    int why = errno;
    if (why == ENOSPC && count > 1 && getenv("FAULT_HALF")) next(file, bytes, count / 2);
    errno = why;
    return -1;
}

ssize_t writev(int file, const struct iovec *pieces, int count) {
    ssize_t (*next)(int, const struct iovec *, int) = real("writev");
    return is_open_below(file) && fails() ? -1 : next(file, pieces, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t place) {
    ssize_t (*next)(int, const void *, size_t, off64_t) = real("pwrite64");
    return is_open_below(file) && fails() ? -1 : next(file, bytes, count, place);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t place) {
    ssize_t (*next)(int, const void *, size_t, off_t) = real("pwrite");
    return is_open_below(file) && fails() ? -1 : next(file, bytes, count, place);
}

int fsync(int file) {
    int (*next)(int) = real("fsync");
    return is_open_below(file) && fails() ? -1 : next(file);
}

int fdatasync(int file) {
    int (*next)(int) = real("fdatasync");
    return is_open_below(file) && fails() ? -1 : next(file);
}

int rename(const char *old, const char *new) {
    int (*next)(const char *, const char *) = real("rename");
    char path[PATH_MAX];
    return realpath(old, path) && is_below(path) && fails() ? -1 : next(old, new);
}

int renameat(int from, const char *old, int to, const char *new) {
    int (*next)(int, const char *, int, const char *) = real("renameat");
    char path[PATH_MAX];
    return from == -100 && realpath(old, path) && is_below(path) && fails()
               ? -1
               : next(from, old, to, new);
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    int (*next)(int, const char *, int, const char *, unsigned) = real("renameat2");
    char path[PATH_MAX];
    return from == -100 && realpath(old, path) && is_below(path) && fails()
               ? -1
               : next(from, old, to, new, flags);
}
