/*
 * Stands before a program (LD_PRELOAD) and makes calls of it fail that hardly ever fail by
 * themselves.
 *
 *     GPTOSS_FAULT=CLASS:EFFECT:N[:ever]   the call with number N (from 0) of a class, counted from
 *                                          the beginning of main; with "ever" all that follow too
 *     GPTOSS_FAULT_REPORT=FILE             what was counted, when the program ends: a line
 *                                          "CLASS CALLS" for each class, "struck N" and, when main
 *                                          has returned, "held OURS OTHERS"
 *
 * An effect is the name of an errno or "short", half of the bytes. Streams of the C library call
 * the system past us, so that fopen and standard output become streams that call our read and
 * write. "held" are blocks of memory that nobody has freed: those that the program or a library
 * behind one file of ours (cJSON, PCRE2, zlib) asked for, and those of the C library on somebody's
 * behalf.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* The names of what is replaced are the C library's. */
/* NOLINTBEGIN(bugprone-reserved-identifier,readability-inconsistent-declaration-parameter-name) */

#define EXPORT __attribute__((visibility("default")))

/* ---- which call fails ------------------------------------------------------------------------ */

typedef enum fault_class {
    CLASS_MEMORY,
    CLASS_MAP,
    CLASS_OPEN,
    CLASS_STAT,
    CLASS_READ,
    CLASS_WRITE,
    CLASS_RESERVE,
    CLASS_SYNC,
    CLASS_CLOSE,
    CLASS_RENAME,
    CLASS_ADVISE,
    CLASS_RANDOM,
    CLASS_COUNT
} fault_class;

static const char *const class_names[CLASS_COUNT] = {
    "memory",  "map",  "open",  "stat",   "read",   "write",
    "reserve", "sync", "close", "rename", "advise", "random",
};

static const struct {
    const char *name;
    int number;
} effects[] = {
    {"short", 0},       {"EINTR", EINTR},   {"EIO", EIO},
    {"ENOSPC", ENOSPC}, {"ENOMEM", ENOMEM}, {"EMFILE", EMFILE},
    {"EACCES", EACCES}, {"EAGAIN", EAGAIN}, {"EOPNOTSUPP", EOPNOTSUPP},
};

static struct {
    bool on; /* between the beginning of main and its end */
    fault_class class;
    int effect; /* an errno; 0: short */
    long number;
    bool for_ever;
    atomic_long calls[CLASS_COUNT];
    atomic_long struck;
    bool returned; /* from main; then: */
    long held_ours;
    long held_others;
} faults = {.class = CLASS_COUNT};

/* Whether this call is the one. */
static bool strikes(fault_class class)
{
    if (!faults.on)
        return false;
    long number = atomic_fetch_add(&faults.calls[class], 1);
    if (class != faults.class || number < faults.number ||
        (number > faults.number && !faults.for_ever))
        return false;
    atomic_fetch_add(&faults.struck, 1);
    errno = faults.effect;
    return true;
}

/* The same for reads and writes; halves *size instead when the effect is that. */
static bool strikes_transfer(fault_class class, size_t *size)
{
    if (!strikes(class))
        return false;
    if (faults.effect != 0)
        return true;
    *size = (*size + 1) / 2;
    return false;
}

static void read_setting(void)
{
    const char *setting = getenv("GPTOSS_FAULT");
    char class[16] = "";
    char effect[16] = "";
    char more[8] = "";
    if (setting == NULL ||
        sscanf(setting, "%15[^:]:%15[^:]:%ld:%7s", class, effect, &faults.number, more) < 3)
        return;
    faults.for_ever = strcmp(more, "ever") == 0;
    for (size_t i = 0; i < sizeof effects / sizeof *effects; i++)
        if (strcmp(effect, effects[i].name) == 0)
            faults.effect = effects[i].number;
    for (int i = 0; i < CLASS_COUNT; i++)
        if (strcmp(class, class_names[i]) == 0)
            faults.class = (fault_class)i;
}

/* ---- blocks of memory ------------------------------------------------------------------------ */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *block);
extern int __open_2(const char *path, int flags);
extern ssize_t __read_chk(int file, void *data, size_t size, size_t room);
extern int __libc_start_main(int (*main_function)(int, char **, char **), int count,
                             char **arguments, void (*begin)(void), void (*end)(void),
                             void (*loader_end)(void), void *stack);

typedef enum origin { ORIGIN_OURS, ORIGIN_C_LIBRARY, ORIGIN_OTHER } origin;

/* Where the code of an object lies. */
typedef struct code_range {
    uintptr_t begin, end;
    origin of;
} code_range;

static code_range ranges[64];
static size_t range_count;

static int note_object(struct dl_phdr_info *info, size_t size, void *user)
{
    static const char *const ours[] = {"/libcjson.", "/libpcre2-8.", "/libz."};
    (void)size;
    (void)user;
    origin of = info->dlpi_name[0] == '\0' ? ORIGIN_OURS : ORIGIN_OTHER;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strstr(info->dlpi_name, ours[i]) != NULL)
            of = ORIGIN_OURS;
    if (strstr(info->dlpi_name, "/libc.so") != NULL)
        of = ORIGIN_C_LIBRARY;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && (part->p_flags & PF_X) != 0 &&
            range_count < sizeof ranges / sizeof *ranges) {
            uintptr_t begin = info->dlpi_addr + part->p_vaddr;
            ranges[range_count++] = (code_range){begin, begin + part->p_memsz, of};
        }
    }
    return 0;
}

static origin origin_of(const void *caller)
{
    for (size_t i = 0; i < range_count; i++)
        if ((uintptr_t)caller >= ranges[i].begin && (uintptr_t)caller < ranges[i].end)
            return ranges[i].of;
    return ORIGIN_OTHER;
}

/* The blocks that were made since main began: a hash table with marks for what was freed. */
#define BLOCKS ((size_t)1 << 20)
#define FREED  ((void *)1)

static struct {
    void *block;
    origin of;
} blocks[BLOCKS];
static atomic_flag blocks_locked = ATOMIC_FLAG_INIT;

static size_t slot_of(const void *block)
{
    return (uintptr_t)block * 0x9e3779b97f4a7c15U >> 44;
}

static void *hold(void *block, const void *caller)
{
    if (!faults.on || block == NULL)
        return block;
    while (atomic_flag_test_and_set(&blocks_locked))
        ;
    size_t at = slot_of(block);
    while (blocks[at].block != NULL && blocks[at].block != FREED)
        at = (at + 1) % BLOCKS;
    blocks[at].block = block;
    blocks[at].of = origin_of(caller);
    atomic_flag_clear(&blocks_locked);
    return block;
}

static void let_go(const void *block)
{
    if (!faults.on || block == NULL)
        return;
    while (atomic_flag_test_and_set(&blocks_locked))
        ;
    size_t at = slot_of(block);
    while (blocks[at].block != NULL && blocks[at].block != block)
        at = (at + 1) % BLOCKS;
    if (blocks[at].block == block)
        blocks[at].block = FREED;
    atomic_flag_clear(&blocks_locked);
}

static void count_held(void)
{
    for (size_t at = 0; at < BLOCKS; at++) {
        if (blocks[at].block == NULL || blocks[at].block == FREED)
            continue;
        faults.held_ours += blocks[at].of == ORIGIN_OURS;
        faults.held_others += blocks[at].of == ORIGIN_C_LIBRARY;
    }
}

EXPORT void *malloc(size_t size)
{
    return strikes(CLASS_MEMORY) ? NULL : hold(__libc_malloc(size), __builtin_return_address(0));
}

EXPORT void *calloc(size_t count, size_t size)
{
    return strikes(CLASS_MEMORY) ? NULL
                                 : hold(__libc_calloc(count, size), __builtin_return_address(0));
}

EXPORT void *realloc(void *block, size_t size)
{
    if (strikes(CLASS_MEMORY))
        return NULL;
    void *moved = __libc_realloc(block, size);
    if (moved != NULL || size == 0)
        let_go(block);
    return hold(moved, __builtin_return_address(0));
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    return strikes(CLASS_MEMORY)
               ? NULL
               : hold(__libc_memalign(alignment, size), __builtin_return_address(0));
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    return strikes(CLASS_MEMORY)
               ? NULL
               : hold(__libc_memalign(alignment, size), __builtin_return_address(0));
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (strikes(CLASS_MEMORY))
        return ENOMEM;
    void *block = hold(__libc_memalign(alignment, size), __builtin_return_address(0));
    if (block == NULL)
        return ENOMEM;
    *out = block;
    return 0;
}

EXPORT void free(void *block)
{
    let_go(block);
    __libc_free(block);
}

/* ---- calls to the system --------------------------------------------------------------------- */

/* The function of this name that would be called without us. */
#define NEXT(type, name) ((type)next_of(#name))

static void *next_of(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL)
        _exit(99);
    return found;
}

EXPORT void *mmap(void *start, size_t size, int rights, int flags, int file, off_t offset)
{
    typedef void *(*function)(void *, size_t, int, int, int, off_t);
    if (strikes(CLASS_MAP))
        return MAP_FAILED;
    return NEXT(function, mmap)(start, size, rights, flags, file, offset);
}

static int open_next(const char *path, int flags, mode_t mode)
{
    typedef int (*function)(const char *, int, ...);
    return strikes(CLASS_OPEN) ? -1 : NEXT(function, open)(path, flags, mode);
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    mode_t mode = makes ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_next(path, flags, mode);
}

EXPORT int __open_2(const char *path, int flags)
{
    return open_next(path, flags, 0);
}

EXPORT DIR *opendir(const char *path)
{
    typedef DIR *(*function)(const char *);
    return strikes(CLASS_OPEN) ? NULL : NEXT(function, opendir)(path);
}

EXPORT struct dirent *readdir(DIR *directory)
{
    typedef struct dirent *(*function)(DIR *);
    return strikes(CLASS_READ) && faults.effect != 0 && faults.effect != EINTR
               ? NULL
               : NEXT(function, readdir)(directory);
}

EXPORT int stat(const char *path, struct stat *out)
{
    typedef int (*function)(const char *, struct stat *);
    return strikes(CLASS_STAT) ? -1 : NEXT(function, stat)(path, out);
}

EXPORT int lstat(const char *path, struct stat *out)
{
    typedef int (*function)(const char *, struct stat *);
    return strikes(CLASS_STAT) ? -1 : NEXT(function, lstat)(path, out);
}

EXPORT int fstat(int file, struct stat *out)
{
    typedef int (*function)(int, struct stat *);
    return strikes(CLASS_STAT) ? -1 : NEXT(function, fstat)(file, out);
}

EXPORT ssize_t read(int file, void *data, size_t size)
{
    typedef ssize_t (*function)(int, void *, size_t);
    return strikes_transfer(CLASS_READ, &size) ? -1 : NEXT(function, read)(file, data, size);
}

EXPORT ssize_t __read_chk(int file, void *data, size_t size, size_t room)
{
    (void)room;
    return read(file, data, size);
}

EXPORT ssize_t write(int file, const void *data, size_t size)
{
    typedef ssize_t (*function)(int, const void *, size_t);
    return strikes_transfer(CLASS_WRITE, &size) ? -1 : NEXT(function, write)(file, data, size);
}

EXPORT ssize_t pwrite(int file, const void *data, size_t size, off_t offset)
{
    typedef ssize_t (*function)(int, const void *, size_t, off_t);
    return strikes_transfer(CLASS_WRITE, &size) ? -1
                                                : NEXT(function, pwrite)(file, data, size, offset);
}

EXPORT int posix_fallocate(int file, off_t offset, off_t size)
{
    typedef int (*function)(int, off_t, off_t);
    return strikes(CLASS_RESERVE) ? faults.effect
                                  : NEXT(function, posix_fallocate)(file, offset, size);
}

EXPORT int fsync(int file)
{
    typedef int (*function)(int);
    return strikes(CLASS_SYNC) ? -1 : NEXT(function, fsync)(file);
}

/* As the system does it: the descriptor is gone, whatever is said. */
EXPORT int close(int file)
{
    typedef int (*function)(int);
    bool struck = strikes(CLASS_CLOSE);
    int result = NEXT(function, close)(file);
    if (struck)
        errno = faults.effect;
    return struck ? -1 : result;
}

EXPORT int rename(const char *from, const char *to)
{
    typedef int (*function)(const char *, const char *);
    return strikes(CLASS_RENAME) ? -1 : NEXT(function, rename)(from, to);
}

EXPORT int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    typedef int (*function)(int, const char *, int, const char *, int);
    return strikes(CLASS_RENAME)
               ? -1
               : NEXT(function, linkat)(from_directory, from, to_directory, to, flags);
}

EXPORT int madvise(void *start, size_t size, int advice)
{
    typedef int (*function)(void *, size_t, int);
    return strikes(CLASS_ADVISE) ? -1 : NEXT(function, madvise)(start, size, advice);
}

EXPORT int mincore(void *start, size_t size, unsigned char *out)
{
    typedef int (*function)(void *, size_t, unsigned char *);
    return strikes(CLASS_ADVISE) ? -1 : NEXT(function, mincore)(start, size, out);
}

EXPORT int mlock2(const void *start, size_t size, unsigned flags)
{
    typedef int (*function)(const void *, size_t, unsigned);
    return strikes(CLASS_ADVISE) ? -1 : NEXT(function, mlock2)(start, size, flags);
}

EXPORT ssize_t getrandom(void *out, size_t size, unsigned flags)
{
    typedef ssize_t (*function)(void *, size_t, unsigned);
    return strikes(CLASS_RANDOM) ? -1 : NEXT(function, getrandom)(out, size, flags);
}

/* ---- streams --------------------------------------------------------------------------------- */

static struct {
    FILE *stream;
    int file;
} streams[64];

static ssize_t stream_read(void *cookie, char *data, size_t size)
{
    return read((int)(intptr_t)cookie, data, size);
}

/* All of it, as the C library's own streams do; less is a failure to it. */
static ssize_t stream_write(void *cookie, const char *data, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t written = write((int)(intptr_t)cookie, data + done, size - done);
        if (written < 0)
            break;
        done += (size_t)written;
    }
    return (ssize_t)done;
}

static int stream_close(void *cookie)
{
    return close((int)(intptr_t)cookie);
}

static FILE *stream_of(int file, const char *mode)
{
    const cookie_io_functions_t functions = {
        .read = stream_read, .write = stream_write, .close = stream_close};
    void *cookie = (void *)(intptr_t)file; /* NOLINT(performance-no-int-to-ptr) */
    FILE *stream = fopencookie(cookie, mode, functions);
    for (size_t i = 0; stream != NULL && i < sizeof streams / sizeof *streams; i++) {
        if (streams[i].stream != NULL && streams[i].stream != stream)
            continue;
        streams[i].stream = stream;
        streams[i].file = file;
        break;
    }
    return stream;
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
    typedef FILE *(*function)(const char *, const char *);
    if (!faults.on)
        return NEXT(function, fopen)(path, mode);
    int flags = mode[0] == 'r' ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC;
    flags |= strchr(mode, 'x') != NULL ? O_EXCL : 0;
    int file = open_next(path, flags | O_CLOEXEC, 0666);
    FILE *stream = file < 0 ? NULL : stream_of(file, mode[0] == 'r' ? "r" : "w");
    if (file >= 0 && stream == NULL)
        close(file);
    return stream;
}

EXPORT int fileno(FILE *stream)
{
    typedef int (*function)(FILE *);
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
        if (streams[i].stream == stream && stream != NULL)
            return streams[i].file;
    return NEXT(function, fileno)(stream);
}

/* ---- main ------------------------------------------------------------------------------------ */

static void report(void)
{
    faults.on = false;
    const char *path = getenv("GPTOSS_FAULT_REPORT");
    FILE *to = path != NULL ? fopen(path, "we") : NULL;
    if (to == NULL)
        return;
    for (int i = 0; i < CLASS_COUNT; i++)
        fprintf(to, "%s %ld\n", class_names[i], atomic_load(&faults.calls[i]));
    fprintf(to, "struck %ld\n", atomic_load(&faults.struck));
    if (faults.returned)
        fprintf(to, "held %ld %ld\n", faults.held_ours, faults.held_others);
    fclose(to);
}

static int (*real_main)(int, char **, char **);

static int faulty_main(int count, char **arguments, char **environment)
{
    read_setting();
    dl_iterate_phdr(note_object, NULL);
    FILE *output = stream_of(STDOUT_FILENO, "w");
    FILE *input = stream_of(STDIN_FILENO, "r");
    if (output == NULL || input == NULL || atexit(report) != 0)
        _exit(99);
    stdout = output;
    stdin = input;
    faults.on = true;
    int status = real_main(count, arguments, environment);
    faults.on = false;
    faults.returned = true;
    count_held();
    return status;
}

EXPORT int __libc_start_main(int (*main_function)(int, char **, char **), int count,
                             char **arguments, void (*begin)(void), void (*end)(void),
                             void (*loader_end)(void), void *stack)
{
    typedef int (*function)(int (*)(int, char **, char **), int, char **, void (*)(void),
                            void (*)(void), void (*)(void), void *);
    real_main = main_function;
    return NEXT(function, __libc_start_main)(faulty_main, count, arguments, begin, end, loader_end,
                                             stack);
}

/* NOLINTEND(bugprone-reserved-identifier,readability-inconsistent-declaration-parameter-name) */
