#include "line_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console.h"
#include "history_file.h"
#include "line_editor.h"
#include "terminal.h"

struct line_input {
    line_editor *editor; /* NULL: lines come as the terminal or the file gives them */
    FILE *screen;        /* where a person sees prompts; NULL: nobody is there */
    char *history;       /* path; NULL: nothing is kept */
    char *bytes;         /* read ahead of the lines: [begin, end) of `room` */
    size_t begin, end, room;
    bool ended;
    size_t unseen; /* bytes of the next lines that were typed while keys were not shown */
};

/* ---- without an editor ----------------------------------------------------------------------- */

/* Reads more bytes behind those that are there. */
static line_result read_more(line_input *in)
{
    if (in->begin > 0) {
        in->end -= in->begin;
        memmove(in->bytes, in->bytes + in->begin, in->end);
        in->begin = 0;
    }
    if (in->room - in->end < 4096) {
        in->room = 2 * in->room + 8192;
        in->bytes = console_resize(in->bytes, in->room, 1);
    }
    if (!console_wait_input(STDIN_FILENO))
        return LINE_STOP;
    ssize_t count = read(STDIN_FILENO, in->bytes + in->end, in->room - in->end);
    if (count < 0 && errno == EINTR)
        return LINE_READ;
    if (count < 0)
        console_note("standard input could not be read: %s", strerror(errno));
    if (count <= 0)
        in->ended = true;
    else
        in->end += (size_t)count;
    return LINE_READ;
}

/* Shows a line that the terminal did not show when it was typed. */
static void show_unseen(line_input *in, const char *line, size_t length)
{
    if (in->unseen == 0)
        return;
    fwrite(line, 1, length, in->screen);
    fputc('\n', in->screen);
    in->unseen -= in->unseen > length ? length + 1 : in->unseen;
}

static line_result take_line(line_input *in, size_t length, size_t skipped, input_text *out)
{
    show_unseen(in, in->bytes + in->begin, length);
    out->bytes = console_resize(NULL, length + 1, 1);
    if (length > 0)
        memcpy(out->bytes, in->bytes + in->begin, length);
    out->bytes[length] = '\0';
    out->length = length;
    in->begin += length + skipped;
    return LINE_READ;
}

static line_result read_plain(line_input *in, const char *prompt, input_text *out)
{
    if (in->screen != NULL)
        fputs(prompt, in->screen);
    for (size_t looked = 0;;) {
        size_t length = in->end - in->begin;
        char *newline =
            length > looked ? memchr(in->bytes + in->begin + looked, '\n', length - looked) : NULL;
        if (newline != NULL)
            return take_line(in, (size_t)(newline - in->bytes) - in->begin, 1, out);
        if (in->ended && length > 0)
            return take_line(in, length, 0, out); /* the last line may lack its newline */
        looked = length;
        bool stopped = !in->ended && read_more(in) == LINE_STOP;
        if (stopped)
            in->unseen = 0; /* the key has thrown it away */
        if ((stopped || in->ended) && in->screen != NULL && in->begin == in->end)
            fputc('\n', in->screen); /* the prompt's line ends here */
        if (stopped)
            return LINE_STOP; /* what is typed is not known before the line ends */
        if (in->ended && in->begin == in->end)
            return LINE_END;
    }
}

/* ---- either way ------------------------------------------------------------------------------ */

static void recall(void *user, const char *text, size_t length)
{
    line_editor_remember(user, text, length);
}

/* Where a person at standard input sees what is printed: standard error, or the terminal itself
 * where that goes elsewhere. Not buffered. */
static FILE *open_screen(void)
{
    if (!isatty(STDIN_FILENO))
        return NULL;
    if (isatty(STDERR_FILENO))
        return stderr;
    FILE *screen = fopen("/dev/tty", "we");
    if (screen != NULL)
        setvbuf(screen, NULL, _IONBF, 0);
    return screen;
}

/* While no line is read. */
static void hush(const line_input *in)
{
    if (in->screen != NULL)
        terminal_hush(in->editor != NULL ? fileno(in->screen) : -1);
}

line_input *line_input_open(const line_guide *guide)
{
    line_input *in = console_resize(NULL, 1, sizeof *in);
    *in = (line_input){.screen = open_screen()};
    if (in->screen != NULL)
        in->editor = line_editor_open(guide, in->screen);
    if (in->editor != NULL)
        in->history = history_file_path();
    if (in->history != NULL)
        history_file_read(in->history, recall, in->editor);
    hush(in);
    return in;
}

void line_input_close(line_input *in)
{
    if (in == NULL)
        return;
    terminal_show();
    line_editor_close(in->editor);
    if (in->screen != NULL && in->screen != stderr)
        fclose(in->screen);
    free(in->history);
    free(in->bytes);
    free(in);
}

void line_input_forget(line_input *in)
{
    if (in->screen == NULL)
        return;
    terminal_forget();
    in->unseen = 0;
}

bool line_input_prompts(const line_input *in)
{
    return in->screen != NULL;
}

line_result line_input_read(line_input *in, const char *prompt, input_text *out)
{
    *out = (input_text){NULL, 0};
    in->unseen += terminal_show(); /* the editor shows all that it reads */
    line_result result = in->editor != NULL ? line_editor_read(in->editor, prompt, out)
                                            : read_plain(in, prompt, out);
    hush(in);
    return result;
}

void line_input_remember(line_input *in, const char *text, size_t length)
{
    if (in->editor == NULL)
        return;
    line_editor_remember(in->editor, text, length);
    if (in->history == NULL || history_file_add(in->history, text, length))
        return;
    console_note("what is typed is not kept for the next time: %s: %s", in->history,
                 strerror(errno));
    free(in->history);
    in->history = NULL;
}
