#include "line_editor.h"

#include "console.h"

#ifdef GPTOSS_LIBEDIT

#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#include "history_file.h"

#define PASTE_BEGINS "\033[?2004h" /* the terminal says where pasted text begins and ends */
#define PASTE_ENDS   "\033[?2004l"
#define PASTE_LAST   L"\033[201~"

struct line_editor {
    EditLine *edit;
    HistoryW *history;
    const line_guide *guide;
    FILE *screen;
    wchar_t *prompt; /* of the line being read */
    bool cleared;    /* the interrupt key was pressed in it */
};

static line_editor *editor_of(EditLine *edit)
{
    line_editor *editor = NULL;
    el_wget(edit, EL_CLIENTDATA, &editor);
    return editor;
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* Characters from bytes; those that are none are left out. free() it. */
static wchar_t *widen(const char *text, size_t length)
{
    wchar_t *wide = console_resize(NULL, length + 1, sizeof *wide);
    size_t count = 0;
    mbstate_t state = {0};
    for (size_t at = 0; at < length;) {
        size_t bytes = mbrtowc(&wide[count], text + at, length - at, &state);
        if (bytes == (size_t)-1 || bytes == (size_t)-2) {
            state = (mbstate_t){0};
            bytes = 1;
        } else {
            count++;
            bytes += bytes == 0;
        }
        at += bytes;
    }
    wide[count] = L'\0';
    return wide;
}

/* Bytes from characters; followed by a zero. */
static input_text narrow(const wchar_t *wide, size_t count)
{
    input_text text = {console_resize(NULL, count * MB_CUR_MAX + 1, 1), 0};
    mbstate_t state = {0};
    for (size_t i = 0; i < count; i++) {
        size_t bytes = wcrtomb(text.bytes + text.length, wide[i], &state);
        if (bytes == (size_t)-1)
            state = (mbstate_t){0};
        else
            text.length += bytes;
    }
    text.bytes[text.length] = '\0';
    return text;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static wchar_t *show_prompt(EditLine *edit)
{
    return editor_of(edit)->prompt;
}

/* Ends the line as the return key does, which takes the cursor below all of it. */
static unsigned char clear_line(EditLine *edit, wint_t key)
{
    (void)key;
    editor_of(edit)->cleared = true;
    el_wpush(edit, L"\n");
    return CC_NORM;
}

/* Signals of the terminal are off while a line is edited, so that the key is sent by hand; libedit
 * puts the terminal in order around the stop. */
static unsigned char stop_program(EditLine *edit, wint_t key)
{
    (void)edit;
    (void)key;
    (void)raise(SIGTSTP);
    return CC_REDISPLAY;
}

static unsigned char break_line(EditLine *edit, wint_t key)
{
    (void)key;
    return el_winsertstr(edit, L"\n") == 0 ? CC_REFRESH : CC_ERROR;
}

/* Takes pasted text with its line breaks into the line. */
static unsigned char paste(EditLine *edit, wint_t key)
{
    size_t last = wcslen(PASTE_LAST);
    size_t room = 4096, count = 0;
    wchar_t *pasted = console_resize(NULL, room, sizeof *pasted);
    (void)key;
    for (wchar_t next; el_wgetc(edit, &next) == 1;) {
        if (count + 1 == room)
            pasted = console_resize(pasted, room *= 2, sizeof *pasted);
        pasted[count++] = next == L'\r' ? L'\n' : next;
        if (count >= last && wmemcmp(pasted + count - last, PASTE_LAST, last) == 0) {
            count -= last;
            break;
        }
    }
    pasted[count] = L'\0';
    int failed = count > 0 ? el_winsertstr(edit, pasted) : 0;
    free(pasted);
    return failed == 0 ? CC_REFRESH : CC_ERROR;
}

/* ---- completion ------------------------------------------------------------------------------ */

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Whether a line goes on from what was typed; words behind the first are not looked at before it is
 * there. */
static bool continues(const char *line, const char *typed)
{
    const char *space = strchr(line, ' ');
    bool first_word = strchr(typed, ' ') == NULL;
    return begins_with(line, typed) && !(first_word && space != NULL && space[1] != '\0');
}

/* How far all the lines of a guide that begin with `typed` agree; *count becomes how many they are,
 * *first one of them. */
static size_t common_length(const line_guide *guide, const char *typed, size_t *count,
                            const char **first)
{
    size_t common = 0;
    *count = 0;
    for (const char *const *line = guide->lines; *line != NULL; line++) {
        if (!continues(*line, typed))
            continue;
        size_t same = 0;
        if ((*count)++ == 0)
            same = strlen(*first = *line);
        else
            while (same < common && (*first)[same] == (*line)[same])
                same++;
        common = same;
    }
    return common;
}

static void list_lines(const line_editor *editor, const char *typed)
{
    fputc('\n', editor->screen);
    for (const char *const *line = editor->guide->lines; *line != NULL; line++)
        if (continues(*line, typed))
            fprintf(editor->screen, "%s  ", *line);
    fputc('\n', editor->screen);
}

static unsigned char complete_line(EditLine *edit, const char *typed)
{
    const line_editor *editor = editor_of(edit);
    size_t count;
    const char *first = NULL;
    size_t common = common_length(editor->guide, typed, &count, &first);
    size_t length = strlen(typed);
    if (count == 0)
        return CC_NORM;
    if (common == length && count > 1) {
        list_lines(editor, typed);
        return CC_REDISPLAY;
    }
    wchar_t *rest = widen(first + length, common - length);
    int failed = rest[0] != L'\0' ? el_winsertstr(edit, rest) : 0;
    free(rest);
    return failed == 0 ? CC_REFRESH : CC_ERROR;
}

static unsigned char complete(EditLine *edit, wint_t key)
{
    const LineInfoW *line = el_wline(edit);
    input_text typed = narrow(line->buffer, (size_t)(line->cursor - line->buffer));
    unsigned char result = CC_NORM;
    const char *const *before = editor_of(edit)->guide->before_files;
    while (*before != NULL && !begins_with(typed.bytes, *before))
        before++;
    if (*before != NULL)
        result = _el_fn_complete(edit, (int)key);
    else if (typed.length > 0)
        result = complete_line(edit, typed.bytes);
    free(typed.bytes);
    return result;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Characters are those of UTF-8, also for someone who has not told any locale. */
static void choose_characters(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

static void bind_keys(EditLine *edit)
{
    static const struct {
        const wchar_t *key;
        const wchar_t *action;
    } keys[] = {
        {L"^C", L"gptoss-clear"},
        {L"^Z", L"gptoss-stop"},
        {L"^I", L"gptoss-complete"},
        {L"\\e[200~", L"gptoss-paste"},
        {L"\\e\\r", L"gptoss-break"},
        {L"\\e\\n", L"gptoss-break"},
        {L"^R", L"em-inc-search-prev"},
        {L"^W", L"ed-delete-prev-word"},
        {L"\\e[1;5C", L"em-next-word"},
        {L"\\e[1;5D", L"ed-prev-word"},
        {L"\\e[3~", L"ed-delete-next-char"},
    };
    el_wset(edit, EL_EDITOR, L"emacs");
    el_wset(edit, EL_ADDFN, L"gptoss-clear", L"Clear the line", clear_line);
    el_wset(edit, EL_ADDFN, L"gptoss-stop", L"Stop the program", stop_program);
    el_wset(edit, EL_ADDFN, L"gptoss-complete", L"Complete a command", complete);
    el_wset(edit, EL_ADDFN, L"gptoss-paste", L"Take pasted text", paste);
    el_wset(edit, EL_ADDFN, L"gptoss-break", L"Break the line", break_line);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        el_wset(edit, EL_BIND, keys[i].key, keys[i].action, NULL);
}

line_editor *line_editor_open(const line_guide *guide, FILE *screen)
{
    const char *terminal = getenv("TERM");
    if (terminal == NULL || terminal[0] == '\0' || strcmp(terminal, "dumb") == 0)
        return NULL;
    choose_characters();
    EditLine *edit = el_init("gptoss", stdin, screen, screen);
    if (edit == NULL)
        return NULL;
    line_editor *editor = console_resize(NULL, 1, sizeof *editor);
    *editor =
        (line_editor){.edit = edit, .history = history_winit(), .guide = guide, .screen = screen};
    HistEventW event;
    if (editor->history != NULL) {
        history_w(editor->history, &event, H_SETSIZE, HISTORY_TEXTS);
        history_w(editor->history, &event, H_SETUNIQUE, 1);
        el_wset(edit, EL_HIST, history_w, editor->history);
    }
    el_wset(edit, EL_CLIENTDATA, editor);
    el_wset(edit, EL_SIGNAL, 1);
    el_wset(edit, EL_SETTY, L"-d", L"-isig", NULL);
    el_wset(edit, EL_PROMPT_ESC, show_prompt, L'\001');
    bind_keys(edit);
    el_source(edit, NULL); /* what the user prefers, in .editrc */
    return editor;
}

void line_editor_close(line_editor *editor)
{
    if (editor == NULL)
        return;
    el_end(editor->edit);
    if (editor->history != NULL)
        history_wend(editor->history);
    free(editor);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The key was pressed before the editor took the terminal's signals for keys, or someone sent the
 * signal, which ends its line without a result. */
static line_result stopped(line_editor *editor)
{
    const LineInfoW *line = el_wline(editor->edit);
    return line->lastchar > line->buffer ? LINE_CLEARED : LINE_STOP;
}

line_result line_editor_read(line_editor *editor, const char *prompt, input_text *out)
{
    int count = 0;
    editor->prompt = widen(prompt, strlen(prompt));
    editor->cleared = false;
    el_resize(editor->edit); /* the window may have changed since the last line */
    fputs(PASTE_BEGINS, editor->screen);
    const wchar_t *line = el_wgets(editor->edit, &count);
    fputs(PASTE_ENDS, editor->screen);
    free(editor->prompt);
    editor->prompt = NULL;
    if (line == NULL || count <= 0) {
        fputc('\n', editor->screen);
        return console_interrupted() ? stopped(editor) : LINE_END;
    }
    if (editor->cleared)
        return count > 1 ? LINE_CLEARED : LINE_STOP;
    if (line[count - 1] == L'\n')
        count--;
    *out = narrow(line, (size_t)count);
    return LINE_READ;
}

void line_editor_remember(line_editor *editor, const char *text, size_t length)
{
    HistEventW event;
    if (editor->history == NULL)
        return;
    wchar_t *wide = widen(text, length);
    history_w(editor->history, &event, H_ENTER, wide);
    free(wide);
}

#else

line_editor *line_editor_open(const line_guide *guide, FILE *screen)
{
    (void)guide;
    (void)screen;
    return NULL;
}

void line_editor_close(line_editor *editor)
{
    (void)editor;
}

line_result line_editor_read(line_editor *editor, const char *prompt, input_text *out)
{
    (void)editor;
    (void)prompt;
    (void)out;
    return LINE_END;
}

void line_editor_remember(line_editor *editor, const char *text, size_t length)
{
    (void)editor;
    (void)text;
    (void)length;
}

#endif
