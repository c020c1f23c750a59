#include "chat_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "chat_head.h"
#include "console.h"
#include "input.h"
#include "messages_json.h"
#include "text_stream.h"
#include "whole_file.h"

char *chat_file_path(const char *typed)
{
    const char *home = getenv("HOME");
    char *path = NULL;
    int length = strncmp(typed, "~/", 2) == 0 && home != NULL
                     ? asprintf(&path, "%s%s", home, typed + 1)
                     : asprintf(&path, "%s", typed);
    return length < 0 ? NULL : path;
}

/* ---- the conversation ------------------------------------------------------------------------ */

/* How a session's note begins; the precision and the messages follow. */
static const char note_start[] = "{\"command\": \"chat\", \"precision\": \"";

/* The conversation as a line of JSON, for a session with the precision of the cache; free
 * text->bytes. False when there is no memory for it. */
static bool write_note(const chat *of, bool session, text_stream *text)
{
    if (!text_stream_open(text))
        return false;
    json_writer json = JSON_WRITER(text->to);
    json_put_object(&json, NULL);
    if (session) { /* as note_start has it */
        json_put_text(&json, "command", "chat");
        json_put_text(&json, "precision", of->given->precision);
    }
    messages_put(&json, of->talk.messages, of->talk.count);
    json_end_object(&json);
    putc('\n', text->to);
    return text_stream_close(text);
}

/* Whether a session's cache is of the precision in use, so that going on with it is the same as
 * having read it all. */
static bool same_precision(const chat *of, const char *note)
{
    size_t start = sizeof note_start - 1;
    size_t length = strlen(of->given->precision);
    return strncmp(note, note_start, start) == 0 &&
           strncmp(note + start, of->given->precision, length) == 0 && note[start + length] == '"';
}

/* Reads a note. The prompt that it makes is tried, so that what cannot be rendered is refused now
 * and not after the next message. */
static gptoss_status read_note(const gptoss_tokenizer *tokenizer, const char *json, size_t length,
                               const char *what, gptoss_conversation **out, gptoss_error *error)
{
    size_t count;
    uint32_t *ids = NULL;
    size_t id_count;
    gptoss_status status = gptoss_conversation_read(json, length, what, out, error);
    if (status != GPTOSS_OK)
        return status;
    const gptoss_message *messages = gptoss_conversation_messages(*out, &count);
    status = gptoss_render(tokenizer, messages, count, NULL, &ids, &id_count, error);
    free(ids);
    if (status == GPTOSS_OK)
        return status;
    gptoss_conversation_close(*out);
    *out = NULL;
    return status;
}

/* Puts the messages that were read in place of the present ones. */
static void take_messages(chat *of, gptoss_conversation *read)
{
    size_t count;
    const gptoss_message *messages = gptoss_conversation_messages(read, &count);
    conversation_cut(&of->talk, 0);
    for (size_t i = 0; i < count; i++)
        conversation_add(&of->talk, &messages[i]);
    of->complete = false; /* files do not say */
    gptoss_conversation_close(read);
}

/* ---- files of JSON --------------------------------------------------------------------------- */

static bool is_json_name(const char *path)
{
    size_t length = strlen(path);
    return length >= 5 && strcmp(path + length - 5, ".json") == 0;
}

static int load_json(chat *of, const char *path)
{
    input_text text;
    gptoss_conversation *read;
    gptoss_error error;
    int status = input_read(path, &text);
    if (status != EXIT_GOOD)
        return status;
    if (read_note(of->opened->tokenizer, text.bytes, text.length, path, &read, &error) == GPTOSS_OK)
        take_messages(of, read);
    else
        status = console_error(&error);
    free(text.bytes);
    return status;
}

/* ---- sessions -------------------------------------------------------------------------------- */

/* The first bytes of a regular file, zeros behind its end; how many there are. Of anything else, 0:
 * what is read of a pipe is gone. */
static size_t first_bytes(const char *path, char bytes[8])
{
    struct stat info;
    memset(bytes, 0, 8);
    FILE *file = stat(path, &info) == 0 && S_ISREG(info.st_mode) ? fopen(path, "rb") : NULL;
    size_t count = file == NULL ? 0 : fread(bytes, 1, 8, file);
    if (file != NULL)
        fclose(file);
    return count;
}

/* Sessions begin with the length of a header in 8 bytes, of which the last are zeros; in JSON there
 * are none. */
static bool is_session(const char *path)
{
    char first[8];
    return first_bytes(path, first) == sizeof first && first[7] == '\0';
}

/* Loads a session; where its cache cannot be used as it is, that is cleared and *other true. */
static gptoss_status load_cache(const chat *of, const char *path, gptoss_sequence **out,
                                char **note, size_t *length, bool *other, gptoss_error *error)
{
    uint32_t context = gptoss_sequence_context(of->opened->sequence);
    gptoss_sequence_options wanted = runtime_sequence(of->given, context);
    gptoss_status status =
        gptoss_sequence_load(of->opened->model, path, &wanted, out, note, length, error);
    *other = status == GPTOSS_OK && !same_precision(of, *note);
    if (*other)
        gptoss_sequence_clear(*out);
    if (status != GPTOSS_USAGE && status != GPTOSS_LIMIT)
        return status;
    /* another cache type, or more tokens than the context holds: the note is good enough */
    *other = true;
    status = gptoss_sequence_load(of->opened->model, path, NULL, out, note, length, error);
    if (status != GPTOSS_OK)
        return status;
    gptoss_sequence_close(*out);
    status = gptoss_sequence_open(of->opened->model, &wanted, out, error);
    if (status != GPTOSS_OK)
        free(*note);
    return status;
}

static int load_session(chat *of, const char *path)
{
    gptoss_sequence *sequence;
    gptoss_conversation *read;
    char *note;
    size_t length;
    bool other;
    gptoss_error error;
    if (load_cache(of, path, &sequence, &note, &length, &other, &error) != GPTOSS_OK)
        return console_error(&error);
    bool ours = strncmp(note, note_start, sizeof note_start - 1) == 0;
    gptoss_status status = GPTOSS_FORMAT;
    if (ours)
        status = read_note(of->opened->tokenizer, note, length, path, &read, &error);
    free(note);
    if (status != GPTOSS_OK) {
        gptoss_sequence_close(sequence);
        if (ours)
            return console_error(&error);
        console_note("%s is a session, but none of gptoss chat", path);
        return EXIT_FAILED;
    }
    take_messages(of, read);
    if (other)
        show_note(&of->show, "the cache of %s is not as asked for here: all is read again", path);
    gptoss_sequence_close(of->opened->sequence);
    of->opened->sequence = sequence;
    return EXIT_GOOD;
}

/* ---- either kind ----------------------------------------------------------------------------- */

/* Whether there is something that is nothing of ours; an empty file is as good as none. */
static bool is_other(const char *path)
{
    struct stat info;
    char first[8];
    if (stat(path, &info) != 0 || (S_ISREG(info.st_mode) && info.st_size == 0))
        return false;
    size_t count = first_bytes(path, first);
    return count == 0 || !(is_session(path) || first[0] == '{' || first[0] == '[');
}

int chat_file_save(chat *of, const char *path)
{
    text_stream text;
    gptoss_error error;
    int status = EXIT_GOOD;
    if (is_other(path)) {
        console_note("%s is there and no conversation; it stays as it is", path);
        return EXIT_FAILED;
    }
    if (!write_note(of, !is_json_name(path), &text)) {
        console_note("out of memory: the conversation was not saved");
        return EXIT_FAILED;
    }
    if (is_json_name(path))
        status = whole_file_write(path, text.bytes, text.length, 0600) ? EXIT_GOOD : EXIT_FAILED;
    else if (gptoss_sequence_save(of->opened->sequence, text.bytes, text.length, path, &error) !=
             GPTOSS_OK)
        status = console_error(&error);
    free(text.bytes);
    return status;
}

int chat_file_load(chat *of, const char *path)
{
    return is_session(path) ? load_session(of, path) : load_json(of, path);
}
