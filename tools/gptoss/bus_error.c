#include "bus_error.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gptoss.h"
#include "terminal.h"

static volatile sig_atomic_t exit_status;
static atomic_flag spoken = ATOMIC_FLAG_INIT;

/* A sentence put together by a signal handler, which may not format. */
typedef struct sentence {
    char text[8192];
    size_t length;
} sentence;

static void say(sentence *s, const char *words)
{
    while (*words != '\0' && s->length < sizeof s->text)
        s->text[s->length++] = *words++;
}

/* Paths come from strangers, and a terminal obeys control characters. */
static void say_path(sentence *s, const char *path)
{
    for (; *path != '\0'; path++)
        say(s, (char[2]){(unsigned char)*path < 0x20 || *path == 0x7f ? '?' : *path, '\0'});
}

static void say_number(sentence *s, uint64_t number)
{
    char digits[21] = "";
    char *first = digits + sizeof digits - 1;
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    say(s, first);
}

static void say_what_happened(sentence *s, const char *path, uint64_t bytes)
{
    struct stat now;
    bool known = stat(path, &now) == 0;
    say(s, isatty(STDERR_FILENO) ? "\ngptoss: " : "gptoss: ");
    say_path(s, path);
    if (known && (uint64_t)now.st_size < bytes) {
        say(s, " was cut short while it was used: it has ");
        say_number(s, (uint64_t)now.st_size);
        say(s, " bytes now, it had ");
        say_number(s, bytes);
        say(s, " when it was opened\n");
    } else {
        say(s, " could not be read while it was used: it was cut short and written again, or its "
               "disk failed\n");
    }
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)context;
    uint64_t bytes;
    const char *path = gptoss_mapped_file(info->si_addr, &bytes);
    if (path == NULL) {
        (void)signal(number, SIG_DFL); /* the same access comes again, and ends the program */
        return;
    }
    while (atomic_flag_test_and_set(&spoken))
        pause(); /* another thread was first; its _exit ends this one */
    terminal_show();
    static sentence s;
    say_what_happened(&s, path, bytes);
    (void)!write(STDERR_FILENO, s.text, s.length);
    _exit(exit_status);
}

void bus_error_catch(int status)
{
    struct sigaction action;
    exit_status = status;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGBUS, &action, NULL);
}
