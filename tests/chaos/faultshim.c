/* File faults and wall clock jumps for one process, switched while it runs by a small text file.
 *
 *   cc -O1 -shared -fPIC -o faultshim.so faultshim.c -ldl
 *   FAULTSHIM_CONTROL=n1.control LD_PRELOAD=./faultshim.so python -m server ...
 *
 * Control file: one "name value" a line; read again when its time or size changes.
 *   path SUBSTRING     only files whose path contains this (default: all)
 *   fsync_errno N      fsync and fdatasync fail with errno N (5 EIO, 28 ENOSPC)
 *   fsync_after N      ... after N more good calls       (default 0: at once)
 *   fsync_times N      ... N times, then good again      (default: for ever)
 *   fsync_delay_ms N   each takes N ms longer (slow disk)
 *   fsync_lie 1        return success without syncing
 *   write_errno N      write, pwrite and writev fail with errno N
 *   write_after N, write_times N       likewise
 *   write_torn N       on the failing write: write N bytes of it, then
 *                      SIGKILL this process (torn write at a crash)
 *   write_short 1      on the failing write: write half and return short
 *   read_errno N       read, pread and preadv fail with errno N
 *   read_flip N        flip one bit in the N-th next read (silent corruption)
 *   clock_ms N         add N ms to the wall clock
 *   clock_rate_ppm N   the wall clock drifts by N parts per million
 *   monotonic_ms N     add N ms to the monotonic clock, for ever: it never goes back. (Only other calls
 *                      than those for this clock read the control file.)
 * An empty or missing file injects nothing. Every injected fault is a line in the file
 * named by FAULTSHIM_LOG, if set.
 *
 * FAULTSHIM_SYNCED, if set, names a file that gets a line "INODE SIZE" whenever a sync has really
 * put a file's first SIZE bytes on disk: what a power cut would leave.
 *
 * Stores through mmap, and rename, unlink, open and sendfile, are not seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static struct {
    char path[256];
    long fsync_errno, fsync_after, fsync_times, fsync_delay_ms, fsync_lie;
    long write_errno, write_after, write_times, write_torn, write_short;
    long read_errno, read_flip, clock_ms, clock_rate_ppm, monotonic_ms;
} c;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static struct timespec seen;
static off_t seen_size = -1;
static int armed, clock_armed;
static long leapt_ms;
static struct timespec drift_from;

/* A signal handler that is entered while its thread is in here finds the door shut: it is left alone, not in a deadlock. */
static __thread volatile int inside;
static int enter(void) {
    if (inside) return 0;
    inside = 1;
    pthread_mutex_lock(&mu);
    return 1;
}
static void leave(void) {
    pthread_mutex_unlock(&mu);
    inside = 0;
}

static long sys_write(int fd, const void *b, size_t n) { return syscall(SYS_write, fd, b, n); }

static void note(const char *fmt, ...) {
    const char *p = getenv("FAULTSHIM_LOG");
    if (!p) return;
    char b[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(b, sizeof b - 1, fmt, ap);
    va_end(ap);
    b[n++] = '\n';
    int fd = syscall(SYS_openat, AT_FDCWD, p, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) { sys_write(fd, b, n); syscall(SYS_close, fd); }
}

static void reload(void) {
    static const char *ctl;
    static int init;
    static struct timespec checked;
    if (!init) { ctl = getenv("FAULTSHIM_CONTROL"); init = 1; }
    if (!ctl) return;
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC_COARSE, &now);
    if (checked.tv_sec == now.tv_sec && now.tv_nsec - checked.tv_nsec < 5000000) return;
    checked = now;
    struct stat st;
    if (stat(ctl, &st)) { if (seen_size != -1) { memset(&c, 0, sizeof c); armed = clock_armed = 0; seen_size = -1; } return; }
    if (st.st_size == seen_size && st.st_mtim.tv_sec == seen.tv_sec && st.st_mtim.tv_nsec == seen.tv_nsec) return;
    seen = st.st_mtim;
    seen_size = st.st_size;
    char buf[2048];
    int fd = syscall(SYS_openat, AT_FDCWD, ctl, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    long n = syscall(SYS_read, fd, buf, sizeof buf - 1);
    syscall(SYS_close, fd);
    buf[n < 0 ? 0 : n] = 0;
    memset(&c, 0, sizeof c);
    c.fsync_times = c.write_times = -1;
    armed = clock_armed = 0;
    for (char *save, *l = strtok_r(buf, "\n", &save); l; l = strtok_r(0, "\n", &save)) {
        char k[64], v[256];
        if (sscanf(l, "%63s %255s", k, v) != 2) continue;
        armed = 1;
        long x = atol(v);
#define F(n) else if (!strcmp(k, #n)) c.n = x;
        if (!strcmp(k, "path")) strcpy(c.path, v);
        F(fsync_errno) F(fsync_after) F(fsync_times) F(fsync_delay_ms) F(fsync_lie)
        F(write_errno) F(write_after) F(write_times) F(write_torn) F(write_short)
        F(read_errno) F(read_flip) F(clock_ms) F(clock_rate_ppm) F(monotonic_ms)
    }
    if (c.write_torn || c.write_short) if (!c.write_errno) c.write_errno = EIO;
    clock_armed = c.clock_ms || c.clock_rate_ppm;
    if (c.monotonic_ms > leapt_ms) leapt_ms = c.monotonic_ms;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &drift_from);
    note("control reloaded (%ld bytes)", n);
}

/* Is fd a regular file that the faults apply to? */
static int hit(int fd) {
    if (!enter()) return 0;
    reload();
    int a = armed;
    leave();
    if (!a) return 0;
    int e = errno;
    struct stat st;
    char link[64], to[512];
    int yes = 0;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, to, sizeof to - 1);
        if (n > 0) { to[n] = 0; yes = !*c.path || strstr(to, c.path) != 0; }
    }
    errno = e;
    return yes;
}

/* 1 if this call is one that must fail; counts down `after`, then `times`. */
static int due(long err, long *after, long *times) {
    if (!err) return 0;
    if (!enter()) return 0;
    int r = 0;
    if (*after > 0) --*after;
    else if (*times) { if (*times > 0) --*times; r = 1; }
    leave();
    return r;
}

/* Tell that so much of a file is on disk. The size was taken before the sync: what was written meanwhile may not be. */
static void synced(const struct stat *before) {
    static const char *path;
    static int init;
    if (!init) { path = getenv("FAULTSHIM_SYNCED"); init = 1; }
    if (!path || !S_ISREG(before->st_mode)) return;
    char b[64];
    int n = snprintf(b, sizeof b, "%lu %ld\n", (unsigned long)before->st_ino, (long)before->st_size);
    int out = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (out >= 0) { sys_write(out, b, n); syscall(SYS_close, out); }
}

static int sync_call(int fd, long nr) {
    if (hit(fd)) {
        if (c.fsync_delay_ms) { struct timespec d = {c.fsync_delay_ms / 1000, c.fsync_delay_ms % 1000 * 1000000}; nanosleep(&d, 0); }
        if (due(c.fsync_errno, &c.fsync_after, &c.fsync_times)) { note("fsync fd %d -> errno %ld", fd, c.fsync_errno); errno = c.fsync_errno; return -1; }
        if (c.fsync_lie) { note("fsync fd %d -> lie", fd); return 0; }
    }
    struct stat before;
    int known = !fstat(fd, &before);
    int result = syscall(nr, fd);
    if (!result && known) { int e = errno; synced(&before); errno = e; }
    return result;
}
int fsync(int fd) { return sync_call(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_call(fd, SYS_fdatasync); }

static ssize_t bad_write(int fd, const void *b, size_t n, off_t at) {
#define PUT(len) (at < 0 ? syscall(SYS_write, fd, b, (size_t)(len)) : syscall(SYS_pwrite64, fd, b, (size_t)(len), at))
    if (c.write_torn) {
        size_t part = (size_t)c.write_torn < n ? (size_t)c.write_torn : n;
        PUT(part);
        note("write fd %d torn after %zu of %zu bytes, killing", fd, part, n);
        kill(getpid(), SIGKILL);
    }
    if (c.write_short) {
        size_t part = n > 1 ? n / 2 : n;
        note("write fd %d short: %zu of %zu", fd, part, n);
        return PUT(part);
    }
    note("write fd %d -> errno %ld", fd, c.write_errno);
    errno = c.write_errno;
    return -1;
}
ssize_t write(int fd, const void *b, size_t n) {
    if (hit(fd) && due(c.write_errno, &c.write_after, &c.write_times)) return bad_write(fd, b, n, -1);
    return sys_write(fd, b, n);
}
ssize_t pwrite64(int fd, const void *b, size_t n, off_t at) {
    if (hit(fd) && due(c.write_errno, &c.write_after, &c.write_times)) return bad_write(fd, b, n, at);
    return syscall(SYS_pwrite64, fd, b, n, at);
}
ssize_t pwrite(int fd, const void *b, size_t n, off_t at) { return pwrite64(fd, b, n, at); }
ssize_t writev(int fd, const struct iovec *v, int k) {
    if (k > 0 && hit(fd) && due(c.write_errno, &c.write_after, &c.write_times)) return bad_write(fd, v[0].iov_base, v[0].iov_len, -1);
    return syscall(SYS_writev, fd, v, k);
}

static ssize_t after_read(int fd, void *b, ssize_t n) {
    if (n > 0 && c.read_flip > 0 && enter()) {
        int now = c.read_flip > 0 && --c.read_flip == 0;
        leave();
        if (now) { ((unsigned char *)b)[n / 2] ^= 0x10; note("read fd %d: bit flipped at %zd of %zd", fd, n / 2, n); }
    }
    return n;
}
ssize_t read(int fd, void *b, size_t n) {
    int h = hit(fd);
    if (h && c.read_errno) { note("read fd %d -> errno %ld", fd, c.read_errno); errno = c.read_errno; return -1; }
    ssize_t r = syscall(SYS_read, fd, b, n);
    return h ? after_read(fd, b, r) : r;
}
ssize_t pread64(int fd, void *b, size_t n, off_t at) {
    int h = hit(fd);
    if (h && c.read_errno) { note("pread fd %d -> errno %ld", fd, c.read_errno); errno = c.read_errno; return -1; }
    ssize_t r = syscall(SYS_pread64, fd, b, n, at);
    return h ? after_read(fd, b, r) : r;
}
static ssize_t read_vector(int fd, const struct iovec *v, int k, off_t at, int flags) {
    int h = hit(fd);
    if (h && c.read_errno) { note("preadv fd %d -> errno %ld", fd, c.read_errno); errno = c.read_errno; return -1; }
    ssize_t r = syscall(SYS_preadv2, fd, v, k, (long)at, 0L, flags);
    return h && k > 0 && r > 0 && (size_t)r <= v[0].iov_len ? after_read(fd, v[0].iov_base, r) : r;
}
ssize_t preadv(int fd, const struct iovec *v, int k, off_t at) { return read_vector(fd, v, k, at, 0); }
ssize_t preadv64(int fd, const struct iovec *v, int k, off_t at) { return read_vector(fd, v, k, at, 0); }
ssize_t preadv2(int fd, const struct iovec *v, int k, off_t at, int flags) { return read_vector(fd, v, k, at, flags); }
ssize_t preadv64v2(int fd, const struct iovec *v, int k, off_t at, int flags) { return read_vector(fd, v, k, at, flags); }

ssize_t pread(int fd, void *b, size_t n, off_t at) { return pread64(fd, b, n, at); }

static void shift(struct timespec *t) {
    long long ms = c.clock_ms;
    if (c.clock_rate_ppm) {
        struct timespec m;
        syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &m);
        long long el = (m.tv_sec - drift_from.tv_sec) * 1000LL + (m.tv_nsec - drift_from.tv_nsec) / 1000000;
        ms += el * c.clock_rate_ppm / 1000000;
    }
    long long ns = t->tv_nsec + ms % 1000 * 1000000;
    t->tv_sec += ms / 1000;
    if (ns >= 1000000000) { ns -= 1000000000; t->tv_sec++; }
    if (ns < 0) { ns += 1000000000; t->tv_sec--; }
    t->tv_nsec = ns;
}
static int real_clock(clockid_t id, struct timespec *t) {
    static int (*next)(clockid_t, struct timespec *);
    if (!next) next = dlsym(RTLD_NEXT, "clock_gettime");
    return next ? next(id, t) : (int)syscall(SYS_clock_gettime, id, t);
}
int clock_gettime(clockid_t id, struct timespec *t) {
    int r = real_clock(id, t);
    if (!r && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        if (enter()) { reload(); leave(); }
        if (clock_armed) shift(t);
    }
    if (!r && (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE || id == CLOCK_BOOTTIME)) {
        t->tv_sec += leapt_ms / 1000;
        t->tv_nsec += leapt_ms % 1000 * 1000000;
        if (t->tv_nsec >= 1000000000) { t->tv_nsec -= 1000000000; t->tv_sec++; }
    }
    return r;
}
int gettimeofday(struct timeval *restrict tv, void *restrict tz) {
    struct timespec t;
    (void)tz;
    clock_gettime(CLOCK_REALTIME, &t);
    tv->tv_sec = t.tv_sec;
    tv->tv_usec = t.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *p) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (p) *p = t.tv_sec;
    return t.tv_sec;
}
