/* Faults of disks and clocks, put between a program and the C library (LD_PRELOAD).
 *
 * faults_arm(directory, at, what): the call number `at`, counted from 1, of those that change
 * something below `directory`, and what then happens:
 *
 *     FAULT_KILL    the process dies by SIGKILL before that call does anything
 *     FAULT_FULL    that call, and all later ones that need room, fail with ENOSPC
 *     FAULT_ERROR   that call alone fails with EIO
 *
 * faults_count() is the number of such calls so far. With FAULTS_NO_SHARED_MEMORY in the
 * environment, files with "-shm" in their names cannot be mapped, as on filesystems that have no
 * shared memory. Threads count together.
 *
 * With FAULTS_CLOCK_S in the environment, the clock is so many seconds ahead, or behind if negative.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { FAULT_KILL = 1, FAULT_FULL = 2, FAULT_ERROR = 3 };

static char below[4096];
static long fault_at;
static int fault;
static atomic_long calls;

void faults_arm(const char *directory, long at, int what)
{
    snprintf(below, sizeof below, "%s", directory);
    fault_at = at;
    fault = what;
    atomic_store(&calls, 0);
}

long faults_count(void)
{
    return atomic_load(&calls);
}

/* Whether a call on this path fails; sets errno. */
static int fails(const char *path, int needs_room)
{
    if (!below[0] || strncmp(path, below, strlen(below)) != 0)
        return 0;
    long number = atomic_fetch_add(&calls, 1) + 1;
    if (fault == FAULT_KILL && number == fault_at)
        kill(getpid(), SIGKILL);
    if (fault == FAULT_ERROR && number == fault_at) {
        errno = EIO;
        return 1;
    }
    if (fault == FAULT_FULL && number >= fault_at && needs_room) {
        errno = ENOSPC;
        return 1;
    }
    return 0;
}

/* The same for an open file. */
static int fails_open(int descriptor, int needs_room)
{
    if (!below[0])
        return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    return fails(path, needs_room);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define OPEN(name)                                             \
    int name(const char *path, int flags, ...)                 \
    {                                                          \
        va_list more;                                          \
        va_start(more, flags);                                 \
        mode_t mode = va_arg(more, mode_t);                    \
        va_end(more);                                          \
        if ((flags & O_CREAT) && fails(path, 1))               \
            return -1;                                         \
        return REAL(name)(path, flags, mode);                  \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int descriptor, const void *data, size_t size)
{
    return fails_open(descriptor, 1) ? -1 : REAL(write)(descriptor, data, size);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t at)
{
    return fails_open(descriptor, 1) ? -1 : REAL(pwrite)(descriptor, data, size, at);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t at)
{
    return fails_open(descriptor, 1) ? -1 : REAL(pwrite64)(descriptor, data, size, at);
}

int ftruncate(int descriptor, off_t size)
{
    return fails_open(descriptor, 0) ? -1 : REAL(ftruncate)(descriptor, size);
}

int ftruncate64(int descriptor, off64_t size)
{
    return fails_open(descriptor, 0) ? -1 : REAL(ftruncate64)(descriptor, size);
}

int fsync(int descriptor)
{
    return fails_open(descriptor, 0) ? -1 : REAL(fsync)(descriptor);
}

int fdatasync(int descriptor)
{
    return fails_open(descriptor, 0) ? -1 : REAL(fdatasync)(descriptor);
}

int unlink(const char *path)
{
    return fails(path, 0) ? -1 : REAL(unlink)(path);
}

int rename(const char *from, const char *to)
{
    return fails(from, 0) ? -1 : REAL(rename)(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    return fails(path, 1) ? -1 : REAL(mkdir)(path, mode);
}

static int is_denied(int flags, int descriptor)
{
    if (!(flags & MAP_SHARED) || descriptor < 0 || !getenv("FAULTS_NO_SHARED_MEMORY"))
        return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size < 0 ? 0 : size] = 0;
    return strstr(path, "-shm") != NULL; /* " (deleted)" may follow */
}

void *mmap(void *address, size_t size, int protection, int flags, int descriptor, off_t at)
{
    if (is_denied(flags, descriptor)) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    return REAL(mmap)(address, size, protection, flags, descriptor, at);
}

void *mmap64(void *address, size_t size, int protection, int flags, int descriptor, off64_t at)
{
    if (is_denied(flags, descriptor)) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    return REAL(mmap64)(address, size, protection, flags, descriptor, at);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*real)(clockid_t, struct timespec *);
    static long seconds;
    if (!real) { /* twice by two threads does no harm */
        const char *text = getenv("FAULTS_CLOCK_S");
        seconds = text ? atol(text) : 0;
        real = REAL(clock_gettime);
    }
    int failed = real(clock, time);
    if (!failed && clock == CLOCK_REALTIME)
        time->tv_sec += seconds;
    return failed;
}
