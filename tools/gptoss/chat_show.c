#include "chat_show.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console.h"
#include "messages_json.h"

#define DIM   "\033[2m"
#define CYAN  "\033[36m"
#define PLAIN "\033[0m"
#define CLEAR "\r\033[K"

/* ---- opening --------------------------------------------------------------------------------- */

static bool takes_colours(void)
{
    const char *none = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");
    return isatty(STDERR_FILENO) && (none == NULL || none[0] == '\0') && terminal != NULL &&
           strcmp(terminal, "dumb") != 0;
}

void show_open(chat_show *show, const options *given)
{
    *show = (chat_show){.quiet = given->json,
                        .colour = takes_colours(),
                        .error_terminal = isatty(STDERR_FILENO) != 0,
                        .out_terminal = isatty(STDOUT_FILENO) != 0,
                        .together = console_together(),
                        .thinking = THINKING_DIM};
    if (strcmp(given->show_thinking, "on") == 0)
        show->thinking = THINKING_ON;
    else if (strcmp(given->show_thinking, "off") == 0)
        show->thinking = THINKING_OFF;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A terminal acts on control characters: what stands for them is shown instead. Line breaks and
 * tabulators are as good as text. */
static void write_to_terminal(FILE *stream, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        bool next_c1 = byte == 0xc2 && i + 1 < length && (unsigned char)bytes[i + 1] < 0xa0;
        if (next_c1) { /* U+0080 to U+009F */
            fputs("\xef\xbf\xbd", stream);
            i++;
        } else if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f) {
            char picture[4] = {'\xe2', '\x90', (char)(byte == 0x7f ? 0xa1 : 0x80 + byte), '\0'};
            fputs(picture, stream);
        } else {
            putc(bytes[i], stream);
        }
    }
}

static void write_text(FILE *stream, bool terminal, gptoss_text text)
{
    if (terminal)
        write_to_terminal(stream, text.data, text.length);
    else if (text.length > 0)
        fwrite(text.data, 1, text.length, stream);
}

/* Takes the counter of hidden thoughts away. */
static void clear_counter(chat_show *show)
{
    if (show->drawn > 0.0)
        fputs(CLEAR, stderr);
    show->drawn = 0.0;
}

/* So that what follows on standard error begins a line. */
static void begin_error_line(chat_show *show)
{
    clear_counter(show);
    if (show->error_open || (show->out_open && show->together))
        fputc('\n', stderr);
    if (show->together)
        show->out_open = false;
    show->error_open = false;
}

/* Likewise on standard output, as far as a terminal shows both. */
static void begin_out_line(chat_show *show)
{
    clear_counter(show);
    if (show->error_open)
        fputc('\n', stderr);
    show->error_open = false;
    if (show->out_open && !console_stream("\n", 1))
        show->broken = true;
    show->out_open = false;
}

static void print_aside(chat_show *show, gptoss_text text, const char *colour)
{
    if (show->colour)
        fputs(colour, stderr);
    write_text(stderr, show->error_terminal, text);
    if (show->colour)
        fputs(PLAIN, stderr);
    fflush(stderr);
    if (text.length > 0)
        show->error_open = text.data[text.length - 1] != '\n';
}

static void print_answer(chat_show *show, gptoss_text text)
{
    if (text.length == 0 || show->quiet)
        return;
    show->out_open = text.data[text.length - 1] != '\n';
    write_text(stdout, show->out_terminal, text);
    if (!console_stream("", 0))
        show->broken = true;
}

/* ---- messages -------------------------------------------------------------------------------- */

static bool hidden(const chat_show *show)
{
    return show->part == PART_CALL ||
           (show->part == PART_THINKING && show->thinking == THINKING_OFF);
}

/* Without a colour, a line says what follows. */
static void print_label(chat_show *show)
{
    bool dimmed = show->colour && show->thinking == THINKING_DIM;
    begin_error_line(show);
    if (show->part == PART_THINKING && !dimmed)
        fputs("thinking:\n", stderr);
    else if (show->part == PART_COMMENTARY && !show->colour)
        fputs("commentary:\n", stderr);
}

void show_begin(chat_show *show, const gptoss_message *message, bool more)
{
    show->part = message_part_of(message);
    show->begun = more && show->part == PART_ANSWER; /* the text goes on where it was */
    show->tokens = 0;
    show->since = console_seconds();
}

void show_text(chat_show *show, gptoss_text text)
{
    if (text.length == 0 || hidden(show))
        return;
    if (!show->begun && show->part == PART_ANSWER)
        begin_out_line(show);
    else if (!show->begun)
        print_label(show);
    show->begun = true;
    if (show->part == PART_ANSWER)
        print_answer(show, text);
    else if (show->part == PART_THINKING)
        print_aside(show, text, show->thinking == THINKING_DIM ? DIM : "");
    else
        print_aside(show, text, CYAN);
}

void show_token(chat_show *show)
{
    static const char *const doing[] = {[PART_THINKING] = "thinking", [PART_CALL] = "calling"};
    double now = console_seconds();
    show->tokens++;
    if (!hidden(show) || !show->error_terminal || now - show->drawn < 0.1)
        return;
    if (show->drawn <= 0.0)
        begin_error_line(show);
    show->drawn = now;
    fprintf(stderr, CLEAR "%s%s: %u tokens%s", show->colour ? DIM : "", doing[show->part],
            show->tokens, show->colour ? PLAIN : "");
    fflush(stderr);
}

static void print_call(chat_show *show, const gptoss_message *message)
{
    begin_error_line(show);
    json_writer json = JSON_WRITER(stderr);
    if (show->colour)
        fputs(CYAN, stderr);
    messages_put_one(&json, message);
    if (show->colour)
        fputs(PLAIN, stderr);
    fputc('\n', stderr);
}

void show_end(chat_show *show, const gptoss_message *message)
{
    if (show->part == PART_CALL) {
        print_call(show, message);
    } else if (hidden(show)) {
        show_aside(show, "thought for %u tokens, %.1f s", show->tokens,
                   console_seconds() - show->since);
    } else if (show->begun && show->part != PART_ANSWER) {
        begin_error_line(show);
        if (show->colour) /* an empty line tells the parts apart */
            fputc('\n', stderr);
    }
    clear_counter(show);
}

void show_finish(chat_show *show, bool alone)
{
    clear_counter(show);
    if (show->error_open)
        fputc('\n', stderr);
    show->error_open = false;
    if (show->out_open && (show->out_terminal || !alone)) {
        if (!console_stream("\n", 1))
            show->broken = true;
    } else if (show->out_open && show->together) {
        fputc('\n', stderr);
    }
    show->out_open = false;
}

/* ---- the program's own words ----------------------------------------------------------------- */

static void print_sentence(chat_show *show, const char *colour, const char *format,
                           va_list arguments)
{
    begin_error_line(show);
    if (show->colour)
        fputs(colour, stderr);
    if (!show->error_terminal)
        fputs("gptoss: ", stderr);
    vfprintf(stderr, format, arguments);
    if (show->colour)
        fputs(PLAIN, stderr);
    fputc('\n', stderr);
}

void show_note(chat_show *show, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_sentence(show, "\033[33m", format, arguments);
    va_end(arguments);
}

void show_aside(chat_show *show, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_sentence(show, DIM, format, arguments);
    va_end(arguments);
}

void show_thoughts(chat_show *show, gptoss_text text)
{
    print_aside(show, text, DIM);
    begin_error_line(show);
}
