#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "terminal.h"

static int write_error; /* errno of the first failed write to standard output; 0: none */

/* ---- the standard streams ------------------------------------------------------------------- */

static double started;

void console_open(void)
{
    started = console_seconds();
    /* Opened the wrong way round, so that using the stream fails as if it were still closed. */
    static const int directions[3] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int descriptor = 0; descriptor < 3; descriptor++)
        if (fcntl(descriptor, F_GETFD) == -1 && errno == EBADF)
            (void)!open("/dev/null", directions[descriptor]);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow further is an error to report */
}

static bool flush_output(void)
{
    if (write_error == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        write_error = errno != 0 ? errno : EIO;
    return write_error == 0;
}

int console_close(int status)
{
    terminal_show();
    if (flush_output())
        return status;
    if (write_error != EPIPE)
        console_note("standard output could not be written: %s", strerror(write_error));
    return status == EXIT_GOOD ? EXIT_FAILED : status;
}

bool console_stream(const char *bytes, size_t length)
{
    errno = 0;
    if (length > 0)
        fwrite(bytes, 1, length, stdout);
    return flush_output();
}

bool console_together(void)
{
    struct stat out, error;
    return fstat(STDOUT_FILENO, &out) == 0 && fstat(STDERR_FILENO, &error) == 0 &&
           out.st_dev == error.st_dev && out.st_ino == error.st_ino;
}

void console_end_text(void)
{
    if (isatty(STDOUT_FILENO))
        console_stream("\n", 1);
    else if (console_together())
        fputc('\n', stderr);
}

/* ---- sentences ------------------------------------------------------------------------------ */

static bool progress_shown; /* the last line of standard error holds progress */

void console_clear_progress(void)
{
    if (progress_shown)
        fputs("\r\033[K", stderr);
    progress_shown = false;
}

static void print_sentence(const char *who, const char *format, va_list arguments)
{
    console_clear_progress();
    fprintf(stderr, "gptoss%s%s: ", who != NULL ? " " : "", who != NULL ? who : "");
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void console_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_sentence(NULL, format, arguments);
    va_end(arguments);
}

void console_verbose(const options *given, const char *format, ...)
{
    if (!given->verbose)
        return;
    va_list arguments;
    va_start(arguments, format);
    print_sentence(NULL, format, arguments);
    va_end(arguments);
}

int console_usage(const command *of, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_sentence(of != NULL ? of->name : NULL, format, arguments);
    va_end(arguments);
    return EXIT_USAGE;
}

int console_error(const gptoss_error *error)
{
    if (error->status == GPTOSS_INTERRUPTED) {
        console_clear_progress();
        return EXIT_INTERRUPTED;
    }
    console_note("%s", error->message);
    return error->status == GPTOSS_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

/* Whether a person is there to see progress that was not shown just now. */
static bool progress_due(void)
{
    static double shown_at;
    double now = console_seconds();
    if (!isatty(STDERR_FILENO) || now - shown_at < 0.1)
        return false;
    shown_at = now;
    return true;
}

/* Goes on unless the key was pressed. */
static bool after_progress(bool shown, bool ended)
{
    if (shown) {
        fflush(stderr);
        progress_shown = true;
    }
    if (ended)
        console_clear_progress();
    return !console_interrupted();
}

bool console_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user;
    bool due = progress_due();
    double percent = total > 0 ? 100.0 * (double)done / (double)total : 100.0;
    if (due)
        fprintf(stderr, "\r\033[K%s: %.0f %%", what, percent);
    return after_progress(due, done >= total);
}

bool console_progress_bytes(void *user, const char *what, uint64_t done, uint64_t total)
{
    (void)user;
    bool due = progress_due();
    double unit = (double)(1ULL << 30);
    if (due)
        fprintf(stderr, "\r\033[K%s %.1f of %.1f GiB", what, (double)done / unit,
                (double)total / unit);
    return after_progress(due, done >= total);
}

/* ---- the interrupt key ----------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted; /* how often it was pressed */
static volatile sig_atomic_t presses_heard = 1;

static void on_interrupt(int number)
{
    (void)number;
    if (interrupted >= presses_heard) {
        terminal_show();
        _exit(EXIT_INTERRUPTED);
    }
    interrupted++;
}

void console_catch_interrupt(void)
{
    struct sigaction action;
    if (sigaction(SIGINT, NULL, &action) != 0 || action.sa_handler == SIG_IGN)
        return; /* a shell that put us in the background does not want us to hear it */
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, NULL);
}

bool console_interrupted(void)
{
    return interrupted != 0;
}

void console_forget_interrupt(int presses)
{
    interrupted = 0;
    presses_heard = presses;
}

bool console_wait_input(int descriptor)
{
    struct pollfd watched = {.fd = descriptor, .events = POLLIN};
    sigset_t none_more, before;
    sigemptyset(&none_more);
    sigaddset(&none_more, SIGINT);
    sigprocmask(SIG_BLOCK, &none_more, &before); /* so that no press slips in before the wait */
    int ready;
    do
        ready = console_interrupted() ? 0 : ppoll(&watched, 1, NULL, &before);
    while (ready < 0 && errno == EINTR);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return !console_interrupted();
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int failure = EXIT_FAILED;

void console_fail_with(int status)
{
    failure = status;
}

void *console_resize(void *block, size_t count, size_t size)
{
    if (count == 0)
        count = 1;
    void *moved = reallocarray(block, count, size);
    if (moved == NULL) {
        console_note("out of memory: %zu elements of %zu bytes", count, size);
        exit(console_close(failure));
    }
    return moved;
}

/* ---- formatting ------------------------------------------------------------------------------ */

double console_started(void)
{
    return started;
}

double console_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

const char *format_count(uint64_t count, char text[CONSOLE_NUMBER])
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    char *out = text;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *out++ = ',';
        *out++ = digits[i];
    }
    *out = '\0';
    return text;
}

const char *format_bytes(uint64_t bytes, char text[CONSOLE_NUMBER])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024.0 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        value /= 1024.0;
    int decimals = unit == 0 ? 0 : unit < 3 ? 1 : 2;
    snprintf(text, CONSOLE_NUMBER, "%.*f %s", decimals, value, units[unit]);
    return text;
}
