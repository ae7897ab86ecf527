/* A disk that fails, fills up, or writes down what it is told: preloaded into a process by tests.
 *
 * It stands between the C library and the program, for files whose names hold "parlor.db" (but for "-shm", which is
 * memory). PARLOR_DISK_MODE names a file whose first letter says what happens from now on: 'f' syncs fail with EIO,
 * 'n' writes fail with ENOSPC, anything else: nothing. PARLOR_DISK_LOG names a file that collects, in order, each
 * write, truncation and unlinking before it is done, each sync of a file or a directory after it was done, and what
 * goes to stdout.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* The part of a store's file's name behind "parlor.db", or NULL for any other file. */
static const char *part_of(const char *path) {
    const char *found = strstr(path, "parlor.db");
    if (!found || strstr(found, "-shm"))
        return NULL;
    return found + strlen("parlor.db");
}

static const char *part(int fd, char *buffer, size_t size) {
    char link[64] = "/proc/self/fd/", digits[16];
    int n = 0, number = fd;
    do
        digits[n++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    char *end = link + strlen(link);
    while (n > 0)
        *end++ = digits[--n];
    *end = 0;
    ssize_t length = readlink(link, buffer, size - 1);
    if (length < 0)
        return NULL;
    buffer[length] = 0;
    return part_of(buffer);
}

static char mode(void) {
    const char *path = getenv("PARLOR_DISK_MODE");
    char letter = '-';
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY) : -1;
    if (fd >= 0) {
        if (syscall(SYS_read, fd, &letter, 1) != 1)
            letter = '-';
        syscall(SYS_close, fd);
    }
    return letter;
}

/* One entry: kind, length of the name, 8 bytes of offset, 8 bytes of length (native order), name, data. */
static void log_entry(char kind, const char *name, uint64_t offset, const void *data, uint64_t length) {
    static int fd = -2;
    if (fd == -2) {
        const char *path = getenv("PARLOR_DISK_LOG");
        fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    }
    if (fd < 0)
        return;
    unsigned char head[18] = {(unsigned char)kind, (unsigned char)strlen(name)};
    memcpy(head + 2, &offset, 8);
    memcpy(head + 10, &length, 8);
    struct iovec parts[3] = {
        {head, sizeof head}, {(void *)name, strlen(name)}, {(void *)data, data ? length : 0}};
    syscall(SYS_writev, fd, parts, 3);
}

/* What a write to a file of the store meets; 0: go on. */
static int before_write(int fd, off_t offset, const void *data, size_t length) {
    char buffer[4096];
    if (fd == 1) {
        log_entry('o', "", 0, data, length);
        return 0;
    }
    const char *name = part(fd, buffer, sizeof buffer);
    if (!name)
        return 0;
    if (mode() == 'n') {
        errno = ENOSPC;
        return -1;
    }
    log_entry('w', name, (uint64_t)(offset < 0 ? lseek(fd, 0, SEEK_CUR) : offset), data, length);
    return 0;
}

ssize_t write(int fd, const void *data, size_t length) {
    return before_write(fd, -1, data, length) ? -1 : REAL(write)(fd, data, length);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    return before_write(fd, offset, data, length) ? -1 : REAL(pwrite)(fd, data, length, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    return before_write(fd, offset, data, length) ? -1 : REAL(pwrite64)(fd, data, length, offset);
}

static int sync_with(int (*real)(int), int fd) {
    char buffer[4096];
    const char *name = part(fd, buffer, sizeof buffer);
    if (name && mode() == 'f') {
        errno = EIO;
        return -1;
    }
    int result = real(fd);
    struct stat facts;
    if (name && result == 0)
        log_entry('s', name, 0, NULL, 0);
    else if (result == 0 && fstat(fd, &facts) == 0 && S_ISDIR(facts.st_mode))
        log_entry('d', "", 0, NULL, 0);
    return result;
}

int fsync(int fd) {
    return sync_with(REAL(fsync), fd);
}

int fdatasync(int fd) {
    return sync_with(REAL(fdatasync), fd);
}

static void before_truncate(int fd, off_t length) {
    char buffer[4096];
    const char *name = part(fd, buffer, sizeof buffer);
    if (name)
        log_entry('t', name, (uint64_t)length, NULL, 0);
}

int ftruncate(int fd, off_t length) {
    before_truncate(fd, length);
    return REAL(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    before_truncate(fd, length);
    return REAL(ftruncate64)(fd, length);
}

int unlink(const char *path) {
    const char *name = part_of(path);
    if (name)
        log_entry('u', name, 0, NULL, 0);
    return REAL(unlink)(path);
}
