#include "history_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- where ----------------------------------------------------------------------------------- */

char *history_file_path(void)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char *path = NULL;
    int length = -1;
    if (state != NULL && state[0] == '/')
        length = asprintf(&path, "%s/gptoss/history", state);
    else if (home != NULL && home[0] == '/')
        length = asprintf(&path, "%s/.local/state/gptoss/history", home);
    return length < 0 ? NULL : path;
}

/* Makes the directories above a file. */
static void make_parents(const char *path)
{
    char *copy = strdup(path);
    for (char *at = copy; at != NULL && (at = strchr(at + 1, '/')) != NULL; *at = '/') {
        *at = '\0';
        mkdir(copy, 0700);
    }
    free(copy);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Takes the escapes out of a line in place and returns its new length. */
static size_t unescape(char *line, size_t length)
{
    size_t written = 0;
    for (size_t at = 0; at < length; at++) {
        bool escape = line[at] == '\\' && at + 1 < length;
        at += escape;
        line[written++] = escape && line[at] == 'n' ? '\n' : line[at];
    }
    return written;
}

/* Puts the rest of a file in its place. Other runs lose what they append in this moment. */
static void shorten(const char *path, FILE *file, long from)
{
    char *shorter = NULL;
    if (asprintf(&shorter, "%s.%ld", path, (long)getpid()) < 0)
        return;
    int descriptor = open(shorter, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    FILE *out = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    bool good = out != NULL && fseek(file, from, SEEK_SET) == 0;
    for (int c; good && (c = getc(file)) != EOF;)
        good = putc(c, out) != EOF;
    if (out != NULL)
        good = fclose(out) == 0 && good;
    if (good)
        (void)!rename(shorter, path);
    else
        unlink(shorter);
    free(shorter);
}

/* Where the last HISTORY_TEXTS lines begin; *count becomes the number of all lines. */
static long last_texts(FILE *file, size_t *count)
{
    long begins[HISTORY_TEXTS];
    long at = 0;
    bool begin = true;
    *count = 0;
    for (int c; (c = getc(file)) != EOF; at++) {
        if (begin)
            begins[(*count)++ % HISTORY_TEXTS] = at;
        begin = c == '\n';
    }
    return *count <= HISTORY_TEXTS ? 0 : begins[*count % HISTORY_TEXTS];
}

void history_file_read(const char *path, history_text_fn each, void *user)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return;
    size_t count;
    long from = last_texts(file, &count);
    char *line = NULL;
    size_t room = 0;
    fseek(file, from, SEEK_SET);
    for (ssize_t length; (length = getline(&line, &room, file)) > 0;) {
        length -= line[length - 1] == '\n';
        size_t bytes = unescape(line, (size_t)length);
        if (bytes > 0 && memchr(line, '\0', bytes) == NULL) {
            line[bytes] = '\0';
            each(user, line, bytes);
        }
    }
    free(line);
    if (count >= 2 * HISTORY_TEXTS)
        shorten(path, file, from);
    fclose(file);
}

/* ---- writing --------------------------------------------------------------------------------- */

bool history_file_add(const char *path, const char *text, size_t length)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (descriptor < 0 && errno == ENOENT) {
        make_parents(path);
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    char *line = descriptor < 0 ? NULL : malloc(2 * length + 1);
    size_t used = 0;
    for (size_t i = 0; i < length && line != NULL; i++) {
        if (text[i] == '\n' || text[i] == '\\')
            line[used++] = '\\';
        line[used++] = text[i];
        if (text[i] == '\n')
            line[used - 1] = 'n';
    }
    bool good = line != NULL;
    if (good) {
        line[used++] = '\n';
        good = write(descriptor, line, used) == (ssize_t)used; /* at once: appended as a whole */
    }
    int fault = errno;
    free(line);
    if (descriptor >= 0 && close(descriptor) != 0 && good) {
        good = false;
        fault = errno;
    }
    errno = fault;
    return good;
}
