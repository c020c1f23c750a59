/* What sentences say of a file that is no regular one. */
#ifndef BASE_FILE_KIND_H
#define BASE_FILE_KIND_H

#include <sys/stat.h>

/* "a directory", "a pipe" and so on. */
const char *file_kind(mode_t mode);

#endif
