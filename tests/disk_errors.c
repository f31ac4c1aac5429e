/* A full or failing disk, by LD_PRELOAD: one call on a file below a folder fails, or the process is killed in it.
 *
 * Calls are counted from 1 as they come, of all threads together: those that write (write, pwrite, writev, sendfile,
 * copy_file_range, fsync, fdatasync, rename, close, msync, posix_fallocate, ftruncate), or, with `reads`, those that
 * read (read, pread). What libc calls inside itself (stdio) is not seen.
 *
 *   arm(root, log, at, how, reads): `at` is the number of the call, `how` is
 *     a number   the call fails with this errno, once; a descriptor is closed all the same
 *     -1         the disk is full from this call on: the first one that needs room writes one half, the others fail
 *                with ENOSPC
 *     -2         SIGKILL, after one half of what it was to write
 *   With `at` 0 each call is a line "NAME PATH" of the file `log`; otherwise only the one that is hit.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char root[4096], log_path[4096];
static size_t root_length;
static long at, how;
static int reads, armed;
static atomic_long counted, filled;

void arm(const char *folder, const char *log, long number, long way, int reading)
{
    snprintf(root, sizeof root, "%s/", folder);
    snprintf(log_path, sizeof log_path, "%s", log);
    root_length = strlen(root);
    at = number;
    how = way;
    reads = reading;
    atomic_store(&counted, 0);
    atomic_store(&filled, 0);
    armed = 1;
}

void disarm(void) { armed = 0; }

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }
#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)next(#name)

static int below(const char *path) { return strncmp(path, root, root_length) == 0; }

static int place(int number, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", number);
    ssize_t length = readlink(link, path, 4095);
    if (length < 0)
        return 0;
    path[length] = 0;
    return below(path);
}

static void note(const char *name, const char *path)
{
    char line[4352];
    int length = snprintf(line, sizeof line, "%s %s\n", name, path + root_length);
    int log = (int)syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (log >= 0) {
        syscall(SYS_write, log, line, (size_t)length);
        syscall(SYS_close, log);
    }
}

/* 0: go on; an errno: fail with it; -1: write one half; -2: write one half, then die. */
static long verdict(const char *name, const char *path, int needs_room)
{
    long number = atomic_fetch_add(&counted, 1) + 1;
    if (at == 0)
        note(name, path);
    if (at == 0 || number < at)
        return 0;
    if (how == -1 ? !needs_room : number > at)
        return 0;
    if (how == -1 && atomic_fetch_add(&filled, 1))
        return ENOSPC;
    note(name, path);
    return how;
}

static void die(void) { syscall(SYS_kill, getpid(), SIGKILL); }

static long on_descriptor(const char *name, int number, int needs_room, int reading)
{
    char path[4096];
    int kept = errno;
    long found = 0;
    if (armed && reading == reads && place(number, path))
        found = verdict(name, path, needs_room);
    errno = kept;
    return found;
}

#define FAIL(found) do { if ((found) > 0) { errno = (int)(found); return -1; } } while (0)

ssize_t write(int number, const void *bytes, size_t count)
{
    REAL(write);
    long found = on_descriptor("write", number, 1, 0);
    FAIL(found);
    ssize_t written = real(number, bytes, found ? count / 2 : count);
    if (found == -2)
        die();
    if (found == -1 && written == 0 && count) {
        errno = ENOSPC;
        return -1;
    }
    return written;
}

#define PWRITE(name, offset_type)                                                            \
    ssize_t name(int number, const void *bytes, size_t count, offset_type offset)            \
    {                                                                                        \
        REAL(name);                                                                          \
        long found = on_descriptor(#name, number, 1, 0);                                     \
        FAIL(found);                                                                         \
        if (found == -1) {                                                                   \
            errno = ENOSPC;                                                                  \
            return -1;                                                                       \
        }                                                                                    \
        ssize_t written = real(number, bytes, found ? count / 2 : count, offset);            \
        if (found == -2)                                                                     \
            die();                                                                           \
        return written;                                                                      \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define PLAIN(type, name, declared, given, needs_room, number)                               \
    type name declared                                                                       \
    {                                                                                        \
        REAL(name);                                                                          \
        long found = on_descriptor(#name, number, needs_room, 0);                            \
        if (found == -2)                                                                     \
            die();                                                                           \
        FAIL(found == -1 ? ENOSPC : found);                                                  \
        return real given;                                                                   \
    }
PLAIN(ssize_t, writev, (int number, const struct iovec *parts, int count), (number, parts, count), 1, number)
PLAIN(ssize_t, sendfile, (int out, int in, off_t *offset, size_t count), (out, in, offset, count), 1, out)
PLAIN(ssize_t, sendfile64, (int out, int in, off64_t *offset, size_t count), (out, in, offset, count), 1, out)
PLAIN(ssize_t, copy_file_range,
      (int in, off64_t *from, int out, off64_t *to, size_t count, unsigned flags), (in, from, out, to, count, flags), 1, out)
PLAIN(int, fsync, (int number), (number), 0, number)
PLAIN(int, fdatasync, (int number), (number), 0, number)
PLAIN(int, ftruncate, (int number, off_t length), (number, length), 1, number)
PLAIN(int, ftruncate64, (int number, off64_t length), (number, length), 1, number)

#define FALLOCATE(name, offset_type)                                                         \
    int name(int number, offset_type offset, offset_type length)                             \
    {                                                                                        \
        REAL(name);                                                                          \
        long found = on_descriptor(#name, number, 1, 0);                                     \
        if (found == -2)                                                                     \
            die();                                                                           \
        if (found)                                                                           \
            return found == -1 ? ENOSPC : (int)found;                                        \
        return real(number, offset, length);                                                 \
    }
FALLOCATE(posix_fallocate, off_t)
FALLOCATE(posix_fallocate64, off64_t)

int close(int number)
{
    REAL(close);
    long found = on_descriptor("close", number, 0, 0);
    if (found == -2)
        die();
    int closed = real(number);
    FAIL(found);
    return closed;
}

#define READ(name, declared, given)                                                          \
    ssize_t name declared                                                                    \
    {                                                                                        \
        REAL(name);                                                                          \
        long found = on_descriptor(#name, number, 0, 1);                                     \
        if (found == -2)                                                                     \
            die();                                                                           \
        FAIL(found);                                                                         \
        return real given;                                                                   \
    }
READ(read, (int number, void *bytes, size_t count), (number, bytes, count))
READ(pread, (int number, void *bytes, size_t count, off_t offset), (number, bytes, count, offset))
READ(pread64, (int number, void *bytes, size_t count, off64_t offset), (number, bytes, count, offset))

#define RENAME(name, declared, given)                                                        \
    int name declared                                                                        \
    {                                                                                        \
        REAL(name);                                                                          \
        long found = armed && !reads && below(to) ? verdict(#name, to, 0) : 0;               \
        if (found == -2)                                                                     \
            die();                                                                           \
        FAIL(found);                                                                         \
        return real given;                                                                   \
    }
RENAME(rename, (const char *from, const char *to), (from, to))
RENAME(renameat, (int here, const char *from, int there, const char *to), (here, from, there, to))

int msync(void *address, size_t length, int flags)
{
    REAL(msync);
    char line[4500];
    long found = 0;
    FILE *maps = armed && !reads ? fopen("/proc/self/maps", "r") : NULL;
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long begin, end;
        char *path = strchr(line, '/');
        if (path && sscanf(line, "%lx-%lx", &begin, &end) == 2 && begin <= (unsigned long)address
            && (unsigned long)address < end) {
            path[strcspn(path, "\n")] = 0;
            found = below(path) ? verdict("msync", path, 0) : 0;
            break;
        }
    }
    if (maps)
        fclose(maps);
    if (found == -2)
        die();
    FAIL(found);
    return real(address, length, flags);
}
