/*
 * What the program says and where: results to standard output, everything else to standard error.
 * Also the interrupt key, since what it interrupts is shown here.
 */
#ifndef GPTOSS_TOOL_CONSOLE_H
#define GPTOSS_TOOL_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "command.h"
#include "gptoss.h"

/* Call first: makes sure that a closed standard stream is not taken by a file opened later, and
 * that a limit on the size of files does not end the program. */
void console_open(void);

/*
 * Puts the terminal in order and writes what is still buffered. Returns `status`, or EXIT_FAILED
 * with a sentence when standard output could not be written; a reader that has gone away is no news
 * to anyone, so that one is silent.
 */
int console_close(int status);

/* Writes bytes to standard output and hands them on at once; false when that failed. */
bool console_stream(const char *bytes, size_t length);

/* Whether standard output and standard error are the same file or terminal. */
bool console_together(void);

/* Ends the text's last line where what follows on standard error would be glued to it. */
void console_end_text(void);

/* Prints "gptoss: " and a sentence. console_usage returns EXIT_USAGE and names the command, which
 * may be NULL. */
void console_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
int console_usage(const command *of, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Like console_note, but only with --verbose. */
void console_verbose(const options *given, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints the error's sentence and returns the exit status that belongs to it. */
int console_error(const gptoss_error *error);

/*
 * Shows how far a long piece of work is, on one line of standard error that is rewritten in place;
 * shows nothing when that is no terminal. Stops the work once the interrupt key has been pressed.
 * `user` is unused.
 */
bool console_progress(void *user, const char *what, uint64_t done, uint64_t total);

/* Takes the line away, for work that ends without being told to its end. */
void console_clear_progress(void);

/* The same with bytes: "reading weights 3.2 of 12.8 GiB". */
bool console_progress_bytes(void *user, const char *what, uint64_t done, uint64_t total);

/* From now on the interrupt key ends the work cleanly, and pressed again, at once. */
void console_catch_interrupt(void);
bool console_interrupted(void);

/* As if the key had not been pressed. From now on, only the press after `presses` more ends the
 * program at once. */
void console_forget_interrupt(int presses);

/* Waits until there is something to read, or nothing more will come; false when the key was pressed
 * instead. */
bool console_wait_input(int descriptor);

/* realloc for `count` elements of `size` bytes; ends the program with a sentence when there is no
 * memory, with EXIT_FAILED or what console_fail_with has set. The result is never NULL. */
void *console_resize(void *block, size_t count, size_t size);
void console_fail_with(int exit_status);

/* Seconds of a clock that only goes forward; and what they were when console_open was called. */
double console_seconds(void);
double console_started(void);

/* Room for the texts below. */
#define CONSOLE_NUMBER 32

/* 20,914,757,184 */
const char *format_count(uint64_t count, char text[CONSOLE_NUMBER]);

/* 12.82 GiB, 3.4 MiB, 512 B */
const char *format_bytes(uint64_t bytes, char text[CONSOLE_NUMBER]);

#endif
