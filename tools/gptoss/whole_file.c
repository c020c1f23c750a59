#include "whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console.h"

static bool write_all(int descriptor, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(descriptor, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        length -= (size_t)written;
    }
    return fsync(descriptor) == 0 || errno == EINVAL; /* not every file system can */
}

bool whole_file_write(const char *path, const char *bytes, size_t length, unsigned permissions)
{
    char *temporary = NULL;
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode)) { /* renaming would take its place */
        console_note("%s could not be written: it is no regular file", path);
        return false;
    }
    if (asprintf(&temporary, "%s.%ld.part", path, (long)getpid()) < 0) {
        console_note("%s could not be written: out of memory", path);
        return false;
    }
    int descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, permissions);
    bool good = descriptor >= 0 && write_all(descriptor, bytes, length);
    int fault = errno;
    if (descriptor >= 0 && close(descriptor) != 0 && good) {
        good = false;
        fault = errno;
    }
    if (good && rename(temporary, path) != 0) {
        good = false;
        fault = errno;
    }
    if (!good) {
        console_note("%s could not be written: %s", path, strerror(fault));
        if (descriptor >= 0)
            unlink(temporary);
    }
    free(temporary);
    return good;
}
