#include "generate_session.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "console.h"

/* How a note of this command begins; the precision follows. */
static const char note_start[] = "{\"command\": \"generate\", \"precision\": \"";

/* ---- before ---------------------------------------------------------------------------------- */

int session_check_place(const options *given)
{
    char *path = strdup(given->session);
    if (path == NULL) {
        console_note("out of memory");
        return EXIT_FAILED;
    }
    const char *directory = dirname(path);
    int status = EXIT_GOOD;
    if (access(directory, W_OK | X_OK) != 0) {
        console_note("%s: a session cannot be kept in %s: %s", given->session, directory,
                     strerror(errno));
        status = EXIT_FAILED;
    }
    free(path);
    return status;
}

static int check_note(const options *given, const char *note)
{
    size_t start = sizeof note_start - 1;
    if (strncmp(note, note_start, start) != 0) {
        console_note("%s is not a session of gptoss generate; it is left as it is", given->session);
        return EXIT_FAILED;
    }
    const char *precision = note + start;
    size_t length = strcspn(precision, "\"");
    if (length != strlen(given->precision) || strncmp(precision, given->precision, length) != 0) {
        console_note("%s is a session of precision %.*s: expected %s, as --precision says",
                     given->session, length > 40 ? 40 : (int)length, precision, given->precision);
        return EXIT_FAILED;
    }
    return EXIT_GOOD;
}

static int load(runtime *of, const options *given, const gptoss_sequence_options *how)
{
    char *note;
    size_t length;
    gptoss_error error;
    double start = console_seconds();
    gptoss_status status =
        gptoss_sequence_load(of->model, given->session, how, &of->sequence, &note, &length, &error);
    if (status == GPTOSS_USAGE) {
        console_note("%s, as --cache-type or --precision says", error.message);
        return EXIT_FAILED;
    }
    if (status != GPTOSS_OK)
        return console_error(&error);
    console_verbose(given, "loaded %u tokens from %s in %.3f s",
                    gptoss_sequence_length(of->sequence), given->session,
                    console_seconds() - start);
    int result = check_note(given, note);
    free(note);
    return result;
}

int generate_session_open(runtime *of, const options *given, uint64_t prompt, uint64_t wanted)
{
    struct stat info;
    gptoss_sequence_options how;
    if (given->session == NULL)
        return runtime_open_sequence(of, given, prompt, wanted);
    of->marked = true;
    int status = session_check_place(given);
    if (status == EXIT_GOOD) /* what is in the file may be longer than what is wanted */
        status = runtime_plan_sequence(of, given, prompt, 0, &how);
    if (status != EXIT_GOOD)
        return status;
    if (stat(given->session, &info) == 0 || errno != ENOENT)
        return load(of, given, &how);
    gptoss_error error;
    if (gptoss_sequence_open(of->model, &how, &of->sequence, &error) != GPTOSS_OK)
        return console_error(&error);
    return EXIT_GOOD;
}

/* ---- after ----------------------------------------------------------------------------------- */

int generate_session_save(runtime *of, const options *given)
{
    char note[sizeof note_start + 64];
    gptoss_error error;
    if (given->session == NULL)
        return EXIT_GOOD;
    int length = snprintf(note, sizeof note, "%s%s\", \"tokens\": %u}\n", note_start,
                          given->precision, gptoss_sequence_length(of->sequence));
    double start = console_seconds();
    if (gptoss_sequence_mark(of->sequence, &error) != GPTOSS_OK ||
        gptoss_sequence_save(of->sequence, note, (size_t)length, given->session, &error) !=
            GPTOSS_OK)
        return console_error(&error);
    console_verbose(given, "kept %u tokens in %s in %.3f s", gptoss_sequence_length(of->sequence),
                    given->session, console_seconds() - start);
    return EXIT_GOOD;
}
