#include "terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define PASTE_MARKS_ON  "\033[?2004h"
#define PASTE_MARKS_OFF "\033[?2004l"

static bool hushed;
static int shown_on; /* the editor's descriptor */
static struct termios before;
static size_t pending; /* bytes that had been typed by then */

/* ---- signals --------------------------------------------------------------------------------- */

static const int numbers[] = {SIGHUP, SIGQUIT, SIGTERM, SIGTSTP};
enum { NUMBERS = sizeof numbers / sizeof *numbers };
static struct sigaction actions[NUMBERS]; /* of before */

/* Lets the signal do what it does without us. When that was a stop, the program goes on here. */
static void on_signal(int number)
{
    int fault = errno;
    sigset_t self;
    sigemptyset(&self);
    sigaddset(&self, number);
    terminal_show();
    (void)raise(number);
    (void)pthread_sigmask(SIG_UNBLOCK, &self, NULL);
    terminal_hush(shown_on);
    errno = fault;
}

/* Holds them back, so that they meet no half of a change. */
static void hold_signals(sigset_t *mask)
{
    sigset_t all;
    sigemptyset(&all);
    for (size_t i = 0; i < NUMBERS; i++)
        sigaddset(&all, numbers[i]);
    (void)pthread_sigmask(SIG_BLOCK, &all, mask);
}

static void catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    for (size_t i = 0; i < NUMBERS; i++) {
        (void)sigaction(numbers[i], NULL, &actions[i]);
        if (actions[i].sa_handler != SIG_IGN)
            (void)sigaction(numbers[i], &action, NULL);
    }
}

static void release_signals(void)
{
    for (size_t i = 0; i < NUMBERS; i++)
        (void)sigaction(numbers[i], &actions[i], NULL);
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Whether the terminal is ours: to change that of others stops the program. */
static bool is_ours(void)
{
    return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

static size_t count_pending(void)
{
    int count = 0;
    return ioctl(STDIN_FILENO, FIONREAD, &count) == 0 && count > 0 ? (size_t)count : 0;
}

static void change(const struct termios *keys, const char *sequence)
{
    (void)tcsetattr(STDIN_FILENO, TCSANOW, keys);
    if (shown_on >= 0)
        (void)!write(shown_on, sequence, strlen(sequence));
}

static void hush(int editor)
{
    if (hushed || !is_ours() || tcgetattr(STDIN_FILENO, &before) != 0)
        return;
    struct termios wanted = before;
    wanted.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    if (editor >= 0) {
        wanted.c_lflag &= ~(tcflag_t)ICANON;
        wanted.c_cc[VMIN] = 1;
        wanted.c_cc[VTIME] = 0;
    }
    hushed = true;
    shown_on = editor;
    pending = count_pending();
    change(&wanted, PASTE_MARKS_ON);
    catch_signals();
}

static size_t show(void)
{
    if (!hushed)
        return 0;
    size_t typed = count_pending();
    if (is_ours())
        change(&before, PASTE_MARKS_OFF);
    hushed = false;
    release_signals();
    return (before.c_lflag & ECHO) != 0 && typed > pending ? typed - pending : 0;
}

void terminal_hush(int editor)
{
    sigset_t mask;
    hold_signals(&mask);
    hush(editor);
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

size_t terminal_show(void)
{
    sigset_t mask;
    hold_signals(&mask);
    size_t unseen = show();
    (void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
    return unseen;
}

void terminal_forget(void)
{
    (void)tcflush(STDIN_FILENO, TCIFLUSH);
}
