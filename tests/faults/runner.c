#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_ARGUMENTS 24

static char scratch[] = "/tmp/gptoss-faults-XXXXXX";

/* ---- files ----------------------------------------------------------------------------------- */

_Noreturn void give_up(const char *what)
{
    perror(what);
    exit(2);
}

content content_of(const char *path)
{
    content out = {NULL, 0};
    struct stat info;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return out;
    if (fstat(fileno(file), &info) != 0 || (out.bytes = malloc((size_t)info.st_size + 1)) == NULL)
        give_up(path);
    out.length = fread(out.bytes, 1, (size_t)info.st_size, file);
    out.bytes[out.length] = '\0';
    fclose(file);
    return out;
}

bool content_same(content a, content b)
{
    return (a.bytes == NULL) == (b.bytes == NULL) && a.length == b.length && content_begins(a, b);
}

bool content_begins(content whole, content part)
{
    return part.length <= whole.length &&
           (part.length == 0 || memcmp(whole.bytes, part.bytes, part.length) == 0);
}

void write_content(const char *path, const void *bytes, size_t length)
{
    FILE *file = fopen(path, "wb");
    bool written = file != NULL && (length == 0 || fwrite(bytes, 1, length, file) == length);
    if (!written || fclose(file) != 0)
        give_up(path);
}

void write_text(const char *path, const char *text)
{
    write_content(path, text, strlen(text));
}

void copy_file(const char *from, const char *to)
{
    content of = content_of(from);
    if (of.bytes == NULL)
        give_up(from);
    write_content(to, of.bytes, of.length);
    free(of.bytes);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_scratch(void)
{
    nftw(scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

void work_in_scratch(void)
{
    if (mkdtemp(scratch) == NULL || atexit(remove_scratch) != 0 || chdir(scratch) != 0)
        give_up(scratch);
}

/* ---- programs -------------------------------------------------------------------------------- */

static volatile pid_t child;
static volatile sig_atomic_t late;

static void on_alarm(int number)
{
    (void)number;
    late = 1;
    kill(child, SIGKILL);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void start(const char *path, const char *words, const char *input,
                  const char *const environment[])
{
    char copy[1024];
    char *arguments[MOST_ARGUMENTS] = {strdup(path)};
    size_t count = 1;
    posix_spawn_file_actions_t files;
    pid_t started;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word != NULL && count + 1 < MOST_ARGUMENTS;
         word = strtok(NULL, " "))
        arguments[count++] = word;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, input != NULL ? input : "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "out.txt", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&files, 2, "err.txt", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    /* Nothing is written to them; posix_spawn is older than const. */
    char *const *variables = (char *const *)(uintptr_t)environment; /* NOLINT(*-no-int-to-ptr) */
    if (posix_spawn(&started, path, &files, NULL, arguments, variables) != 0)
        give_up(path);
    posix_spawn_file_actions_destroy(&files);
    free(arguments[0]);
    child = started;
}

ending run_words(const char *path, const char *words, const char *input,
                 const char *const environment[], unsigned seconds)
{
    struct rusage used;
    int status = 0;
    double began = now();
    signal(SIGALRM, on_alarm);
    late = 0;
    start(path, words, input, environment);
    alarm(seconds);
    while (wait4(child, &status, 0, &used) < 0 && errno == EINTR)
        ;
    alarm(0);
    return (ending){.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                    .status = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
                    .late = late != 0,
                    .seconds = now() - began,
                    .kibibytes = used.ru_maxrss};
}

void must_run(const char *path, const char *words)
{
    const char *const environment[] = {"LC_ALL=C", "HOME=/", "PATH=/usr/bin:/bin", NULL};
    ending end = run_words(path, words, NULL, environment, 60);
    if (end.signal == 0 && end.status == 0)
        return;
    content messages = content_of("err.txt");
    fprintf(stderr, "%s %s failed: %s\n", path, words, messages.bytes);
    exit(2);
}

const char *last_line(const content *messages)
{
    size_t begin = messages->length;
    if (begin == 0 || messages->bytes[begin - 1] != '\n')
        return NULL;
    for (begin--; begin > 0 && messages->bytes[begin - 1] != '\n'; begin--)
        ;
    return messages->bytes + begin;
}
