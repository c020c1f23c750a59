/* Running the program as a test sees it: its streams in files, its time bounded. */
#ifndef TESTS_FAULTS_RUNNER_H
#define TESTS_FAULTS_RUNNER_H

#include <stdbool.h>
#include <stddef.h>

/* A whole file; `bytes` is terminated, for free(), and NULL when there is no such file. */
typedef struct content {
    char *bytes;
    size_t length;
} content;

content content_of(const char *path);
bool content_same(content a, content b);

/* Whether `whole` begins with `part`. */
bool content_begins(content whole, content part);

/* These end the program with a message when they fail. */
void write_content(const char *path, const void *bytes, size_t length);
void write_text(const char *path, const char *text);
void copy_file(const char *from, const char *to);
_Noreturn void give_up(const char *what);

/* Makes a directory that goes when the program ends, and works in it. */
void work_in_scratch(void);

/* How a program ended. */
typedef struct ending {
    int signal; /* that ended it, or 0 */
    int status; /* its exit status otherwise */
    bool late;  /* it was ended after `seconds` */
    double seconds;
    long kibibytes; /* of memory at most */
} ending;

/*
 * Runs `path` with the words of a text as arguments and an environment, a list that ends with NULL.
 * Its input is a file, empty when NULL; its output and its messages become the files out.txt and
 * err.txt.
 */
ending run_words(const char *path, const char *words, const char *input,
                 const char *const environment[], unsigned seconds);

/* The same without input, which must end with 0. */
void must_run(const char *path, const char *words);

/* The last line of a program's messages, or NULL when there is none; it points into them. */
const char *last_line(const content *messages);

#endif
