/* Faults of shared file systems, below the folder $FAULT_DIR, for one process and those that it starts.
 *
 * Built as a library and named by LD_PRELOAD. $FAULTS is a list of words:
 *   nolock     no locks of any kind (ENOLCK), as on NFS without a lock server, and many Lustre and FUSE mounts
 *   nolink     neither hard nor symbolic links (EPERM), as on vfat, exFAT and SMB
 *   stale=N    every N-th opening of a file for reading finds it stale, once a file (ESTALE), as on NFS
 *   late=MS    files of other processes are visible after so many milliseconds (ENOENT before), as with caches of NFS
 *   quota=KB   a write fails when this process has written so much (EDQUOT)
 *   full=KB    the same with ENOSPC
 *   readonly   nothing can be created, written, renamed or removed (EROFS)
 *   norename   a file cannot be renamed (EPERM)
 *   squash     owners and modes cannot be changed (EPERM), as for root with root_squash
 *   folded     names differ from each other only beyond case: every name is made lower-case
 *   short=N    a name longer than N bytes is refused (ENAMETOOLONG), as with encrypted folders (143)
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(code) return errno = (code), -1

static const char *option(const char *name) {
    const char *all = getenv("FAULTS"), *found = all;
    size_t length = strlen(name);
    while (found && (found = strstr(found, name))) {
        char end = found[length];
        if ((found == all || found[-1] == ',') && (end == 0 || end == ',' || end == '=')) return found + length + (end == '=');
        found += length;
    }
    return NULL;
}
static long number(const char *name) { const char *text = option(name); return text ? atol(text) : 0; }

static int whole(int dir, const char *path, char *out) {
    char base[PATH_MAX] = "";
    if (path[0] != '/') {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        ssize_t n = dir == AT_FDCWD ? (getcwd(base, sizeof base) ? (ssize_t)strlen(base) : -1) : readlink(link, base, sizeof base - 1);
        if (n < 0) return 0;
        base[n] = 0;
    }
    return snprintf(out, PATH_MAX, "%s%s%s", base, base[0] ? "/" : "", path) < PATH_MAX;
}
static int below(const char *path) {
    const char *folder = getenv("FAULT_DIR");
    size_t n = folder ? strlen(folder) : 0;
    return n && !strncmp(path, folder, n) && (path[n] == 0 || path[n] == '/');
}
static int ours(int dir, const char *path, char *out) { return path && whole(dir, path, out) && below(out); }
static int ours_fd(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return below(path);
}

/* names that this process made: at once visible to it */
static char *made[1 << 16];
static unsigned slot(const char *path) { unsigned h = 5381; while (*path) h = h * 33 + (unsigned char)*path++; return h & 0xffff; }
static void remember(const char *path) { unsigned s = slot(path); char *old = made[s]; made[s] = strdup(path); (void)old; }
static int is_made(const char *path) { char *one = made[slot(path)]; return one && !strcmp(one, path); }
static char was_stale[1 << 16];
static int is_late(const char *path) {
    struct stat found;
    struct timespec now;
    if (!option("late") || is_made(path) || REAL(stat)(path, &found) || !S_ISREG(found.st_mode)) return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    return (now.tv_sec - found.st_ctim.tv_sec) * 1000 + (now.tv_nsec - found.st_ctim.tv_nsec) / 1000000 < number("late");
}

static const char *fold(char *path) {
    if (option("folded")) for (char *c = path + strlen(getenv("FAULT_DIR")); *c; c++) *c = tolower(*c);
    return path;
}
static int is_long(const char *path) {
    long limit = number("short");
    const char *name = strrchr(path, '/');
    return limit && name && (long)strlen(name + 1) > limit;
}

static int refused(char *path) {
    if (is_long(path)) FAIL(ENAMETOOLONG);
    fold(path);
    if (is_late(path)) FAIL(ENOENT);
    return 0;
}

static int locks(int c) { return c == F_SETLK || c == F_SETLKW || c == F_OFD_SETLK || c == F_OFD_SETLKW; }
#define CONTROL(name) int name(int fd, int c, ...) { va_list a; va_start(a, c); void *p = va_arg(a, void *); va_end(a); \
    if (locks(c) && option("nolock") && ours_fd(fd)) FAIL(ENOLCK); \
    return ((int (*)(int, int, ...))dlsym(RTLD_NEXT, #name))(fd, c, p); }
CONTROL(fcntl)
CONTROL(fcntl64)
int flock(int fd, int c) { if (option("nolock") && ours_fd(fd)) FAIL(ENOLCK); return REAL(flock)(fd, c); }

static int opened(const char *name, int dir, const char *path, int flags, mode_t mode) {
    static long reads;
    char full[PATH_MAX];
    int (*real)(int, const char *, int, ...) = dlsym(RTLD_NEXT, name);
    if (!ours(dir, path, full)) return real(dir, path, flags, mode);
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    if (writes && option("readonly")) FAIL(EROFS);
    if (is_long(full)) FAIL(ENAMETOOLONG);
    fold(full);
    if (!writes && option("stale") && !(flags & O_DIRECTORY) && __sync_add_and_fetch(&reads, 1) % number("stale") == 0) {
        if (!was_stale[slot(full)]++) FAIL(ESTALE);
    }
    if (!writes && is_late(full)) FAIL(ENOENT);
    if (flags & O_CREAT) remember(full);
    return real(AT_FDCWD, full, flags, mode);
}
#define MODE mode_t m = 0; if (flags & (O_CREAT | O_TMPFILE)) { va_list a; va_start(a, flags); m = va_arg(a, mode_t); va_end(a); }
int open(const char *path, int flags, ...) { MODE return opened("openat", AT_FDCWD, path, flags, m); }
int open64(const char *path, int flags, ...) { MODE return opened("openat64", AT_FDCWD, path, flags, m); }
int openat(int dir, const char *path, int flags, ...) { MODE return opened("openat", dir, path, flags, m); }
int openat64(int dir, const char *path, int flags, ...) { MODE return opened("openat64", dir, path, flags, m); }

#define LOOK(name, kind) int name(const char *path, kind *out) { char full[PATH_MAX]; \
    int (*real)(const char *, kind *) = dlsym(RTLD_NEXT, #name); \
    if (!ours(AT_FDCWD, path, full)) return real(path, out); \
    if (refused(full)) return -1; return real(full, out); }
LOOK(stat, struct stat)
LOOK(stat64, struct stat64)
LOOK(lstat, struct stat)
LOOK(lstat64, struct stat64)
#define LOOKAT(name, kind) int name(int dir, const char *path, kind *out, int flags) { char full[PATH_MAX]; \
    int (*real)(int, const char *, kind *, int) = dlsym(RTLD_NEXT, #name); \
    if (!path || !path[0] || !ours(dir, path, full)) return real(dir, path, out, flags); \
    if (refused(full)) return -1; return real(AT_FDCWD, full, out, flags); }
LOOKAT(fstatat, struct stat)
LOOKAT(fstatat64, struct stat64)
int access(const char *path, int mode) {
    char full[PATH_MAX];
    if (!ours(AT_FDCWD, path, full)) return REAL(access)(path, mode);
    if (mode & W_OK && option("readonly")) FAIL(EROFS);
    fold(full); if (is_late(full)) FAIL(ENOENT);
    return REAL(access)(full, mode);
}

#define CHANGE(name, call) int name(const char *path, mode_t mode) { char full[PATH_MAX]; \
    if (!ours(AT_FDCWD, path, full)) return REAL(name)(path, mode); if (option("readonly")) FAIL(EROFS); \
    if (is_long(full)) FAIL(ENAMETOOLONG); call; fold(full); return REAL(name)(full, mode); }
CHANGE(mkdir, )
CHANGE(chmod, if (option("squash")) FAIL(EPERM))
int fchmod(int fd, mode_t mode) { if (option("squash") && ours_fd(fd)) FAIL(EPERM); return REAL(fchmod)(fd, mode); }
int chown(const char *p, uid_t u, gid_t g) { char f[PATH_MAX]; if (option("squash") && ours(AT_FDCWD, p, f)) FAIL(EPERM); return REAL(chown)(p, u, g); }
int fchown(int fd, uid_t u, gid_t g) { if (option("squash") && ours_fd(fd)) FAIL(EPERM); return REAL(fchown)(fd, u, g); }

#define REMOVE(name) int name(const char *path) { char full[PATH_MAX]; if (!ours(AT_FDCWD, path, full)) return REAL(name)(path); \
    if (option("readonly")) FAIL(EROFS); fold(full); return REAL(name)(full); }
REMOVE(unlink)
REMOVE(rmdir)
int unlinkat(int dir, const char *path, int flags) {
    char full[PATH_MAX];
    if (!ours(dir, path, full)) return REAL(unlinkat)(dir, path, flags);
    if (option("readonly")) FAIL(EROFS);
    fold(full);
    return REAL(unlinkat)(AT_FDCWD, full, flags);
}
int rename(const char *from, const char *to) {
    char a[PATH_MAX], b[PATH_MAX];
    int has_a = ours(AT_FDCWD, from, a), has_b = ours(AT_FDCWD, to, b);
    if (!has_a && !has_b) return REAL(rename)(from, to);
    if (option("readonly")) FAIL(EROFS);
    if (option("norename")) FAIL(EPERM);
    if (has_b && is_long(b)) FAIL(ENAMETOOLONG);
    if (has_a) fold(a);
    if (has_b) fold(b), remember(b);
    return REAL(rename)(has_a ? a : from, has_b ? b : to);
}
int link(const char *from, const char *to) { char f[PATH_MAX]; if (option("nolink") && ours(AT_FDCWD, to, f)) FAIL(EPERM); return REAL(link)(from, to); }
int linkat(int d, const char *from, int e, const char *to, int flags) { char f[PATH_MAX]; if (option("nolink") && ours(e, to, f)) FAIL(EPERM); return REAL(linkat)(d, from, e, to, flags); }
int symlink(const char *from, const char *to) { char f[PATH_MAX]; if (option("nolink") && ours(AT_FDCWD, to, f)) FAIL(EPERM); return REAL(symlink)(from, to); }

static int spent(int fd, size_t n) {
    static long long bytes;
    int code = option("quota") ? EDQUOT : option("full") ? ENOSPC : 0;
    if (!code || !ours_fd(fd)) return 0;
    long limit = number("quota") + number("full");
    return __sync_add_and_fetch(&bytes, (long long)n) > limit * 1024LL ? code : 0;
}
ssize_t write(int fd, const void *data, size_t n) { int code = spent(fd, n); if (code) FAIL(code); return REAL(write)(fd, data, n); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { int code = spent(fd, n); if (code) FAIL(code); return REAL(pwrite)(fd, data, n, at); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) { int code = spent(fd, n); if (code) FAIL(code); return REAL(pwrite64)(fd, data, n, at); }
ssize_t writev(int fd, const struct iovec *v, int n) { size_t all = 0; for (int i = 0; i < n; i++) all += v[i].iov_len; int code = spent(fd, all); if (code) FAIL(code); return REAL(writev)(fd, v, n); }
ssize_t copy_file_range(int a, off64_t *i, int b, off64_t *o, size_t n, unsigned f) { int code = spent(b, n); if (code) FAIL(code); return REAL(copy_file_range)(a, i, b, o, n, f); }
ssize_t sendfile64(int out, int in, off64_t *o, size_t n) { int code = spent(out, n); if (code) FAIL(code); return ((ssize_t (*)(int, int, off64_t *, size_t))dlsym(RTLD_NEXT, "sendfile64"))(out, in, o, n); }
