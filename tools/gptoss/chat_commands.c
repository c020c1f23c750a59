#include "chat_commands.h"

#include <stdlib.h>
#include <string.h>

#include "chat_file.h"
#include "chat_head.h"
#include "chat_report.h"
#include "console.h"

typedef struct chat_command {
    const char *name;
    const char *argument; /* NULL: none */
    const char *help;
    bool changes; /* the conversation */
    int (*run)(chat *of, const char *argument);
} chat_command;

static int print_help(chat *of, const char *argument);

/* ---- the conversation ------------------------------------------------------------------------ */

static int reset(chat *of, const char *argument)
{
    (void)argument;
    conversation_cut(&of->talk, conversation_head(&of->talk));
    show_aside(&of->show, "the conversation is empty");
    return EXIT_GOOD;
}

static int complain(chat *of, const char *sentence)
{
    show_note(&of->show, "%s", sentence);
    return EXIT_FAILED;
}

static int undo(chat *of, const char *argument)
{
    size_t turn = conversation_last_turn(&of->talk);
    (void)argument;
    if (turn == of->talk.count)
        return complain(of, "there is nothing to take back");
    conversation_cut(&of->talk, turn);
    of->complete = false; /* what is the last one now may not be */
    show_aside(&of->show, "took one turn back, %zu left", conversation_turns(&of->talk));
    return EXIT_GOOD;
}

/* Another answer: another seed, and what was there comes back when nothing comes of it. */
static int retry(chat *of, const char *argument)
{
    size_t turn = conversation_last_turn(&of->talk);
    bool refused = false;
    (void)argument;
    if (turn == of->talk.count)
        return complain(of, "there is nothing to answer");
    conversation before = {NULL};
    conversation_move(&of->talk, turn + 1, &before);
    of->sampling.seed++;
    if (of->sampling.temperature <= 0.0F)
        show_aside(&of->show, "the temperature is 0: the same comes again");
    int status = chat_answer(of, &refused);
    bool nothing = refused || (of->last.silent && of->last.stop == CHAT_STOP_KEY);
    if (nothing && before.count > 0) {
        conversation_move(&before, 0, &of->talk);
        of->complete = false; /* that is not known any more */
        show_aside(&of->show, "the answer that was there stays");
    }
    conversation_free(&before);
    return status;
}

static int go_on(chat *of, const char *argument)
{
    bool refused;
    (void)argument;
    const gptoss_message *last =
        of->talk.count == 0 ? NULL : &of->talk.messages[of->talk.count - 1];
    if (last == NULL || last->role != GPTOSS_ROLE_ASSISTANT || last->content_count != 1)
        return complain(of, "there is no answer to go on with");
    if (of->complete && message_part_of(last) == PART_ANSWER)
        return complain(of, "the answer is complete");
    return chat_go_on(of, &refused);
}

/* ---- files ----------------------------------------------------------------------------------- */

static int with_file(chat *of, const char *argument, int (*use)(chat *of, const char *path))
{
    const char *typed = argument[0] == '\0' ? of->given->session : argument;
    if (typed == NULL)
        return complain(of, "expected a file's name after the command");
    char *path = chat_file_path(typed);
    int status = path == NULL ? EXIT_FAILED : use(of, path);
    free(path);
    return status;
}

static int save(chat *of, const char *argument)
{
    int status = with_file(of, argument, chat_file_save);
    if (status == EXIT_GOOD)
        chat_report_talk(of, "saved ");
    return status;
}

static int load(chat *of, const char *argument)
{
    int status = with_file(of, argument, chat_file_load);
    if (status == EXIT_GOOD)
        chat_report_talk(of, "loaded ");
    return status;
}

/* ---- looking and setting --------------------------------------------------------------------- */

static int stats(chat *of, const char *argument)
{
    (void)argument;
    chat_report_totals(of);
    return EXIT_GOOD;
}

static int reasoning(chat *of, const char *argument)
{
    gptoss_effort effort;
    if (argument[0] == '\0') {
        show_aside(&of->show, "reasoning is %s", chat_effort_name(chat_head_effort(&of->talk)));
        return EXIT_GOOD;
    }
    if (!chat_effort_find(argument, &effort)) {
        show_note(&of->show, "expected low, medium or high, found \"%s\"", argument);
        return EXIT_FAILED;
    }
    chat_head_set_effort(&of->talk, effort);
    show_aside(&of->show, "reasoning is %s from now on; the conversation is read again", argument);
    return EXIT_GOOD;
}

/* Shows the last thoughts, or sets how they are shown. */
static int thinking(chat *of, const char *argument)
{
    static const char *const names[] = {"off", "on", "dim"};
    for (show_thinking how = THINKING_OFF; how <= THINKING_DIM; how++)
        if (strcmp(argument, names[how]) == 0) {
            of->show.thinking = how;
            show_aside(&of->show, "thinking is shown: %s", argument);
            return EXIT_GOOD;
        }
    if (argument[0] != '\0') {
        show_note(&of->show, "expected on, off, dim or nothing, found \"%s\"", argument);
        return EXIT_FAILED;
    }
    size_t shown = 0;
    for (size_t i = conversation_last_turn(&of->talk); i < of->talk.count; i++)
        if (message_part_of(&of->talk.messages[i]) == PART_THINKING) {
            show_thoughts(&of->show, of->talk.messages[i].content->text);
            shown++;
        }
    return shown > 0 ? EXIT_GOOD : complain(of, "there are no thoughts in the last answer");
}

/* ---- the table ------------------------------------------------------------------------------- */

static const chat_command commands[] = {
    {"help", NULL, "this", false, print_help},
    {"reset", NULL, "forget the conversation, but not the system message", true, reset},
    {"undo", NULL, "take back your last message and its answer", true, undo},
    {"retry", NULL, "another answer to your last message", true, retry},
    {"continue", NULL, "go on with an answer that was cut or stopped", true, go_on},
    {"thinking", "[on|off|dim]", "show the last thoughts, or say how to", false, thinking},
    {"reasoning", "[low|medium|high]", "how hard the model thinks", true, reasoning},
    {"save", "FILE", "keep the conversation, as JSON in a FILE.json", false, save},
    {"load", "FILE", "go on with a conversation", true, load},
    {"stats", NULL, "tokens, speed, and what the cache has saved", false, stats},
    {"quit", NULL, "end the chat, as Ctrl-D does", false, NULL},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static int print_help(chat *of, const char *argument)
{
    (void)argument;
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(stderr, "/%-9s %-17s  %s\n", commands[i].name,
                commands[i].argument == NULL ? "" : commands[i].argument, commands[i].help);
    fputs("\nA message that begins with / is written //. A \\ at the end of a line goes on in\n"
          "the next one, and \"\"\" begins and ends a text of several lines.\n",
          stderr);
    if (chat_can_ask(of))
        fputs("Alt-Enter breaks a line, and pasted text keeps its lines. The arrow keys recall\n"
              "what was typed, Ctrl-R searches it. Ctrl-C stops an answer or clears the line.\n",
              stderr);
    return EXIT_GOOD;
}

/* ---- completion ------------------------------------------------------------------------------ */

#define MOST_LINES   64
#define LONGEST_LINE 32

/* The lines that can be completed; they take no memory that would have to be given back. */
static struct {
    char texts[MOST_LINES][LONGEST_LINE];
    const char *lines[MOST_LINES + 1];
    size_t count;
} completion;

/* Adds a line of the command's name, what is between, and `length` bytes. */
static void add_line(const char *name, const char *between, const char *rest, size_t length)
{
    if (completion.count == MOST_LINES)
        return;
    char *line = completion.texts[completion.count];
    int written = snprintf(line, LONGEST_LINE, "/%s%s%.*s", name, between, (int)length, rest);
    if (written < LONGEST_LINE)
        completion.lines[completion.count++] = line;
}

/* A line for each command, and for each of the words that can stand behind it. */
static void add_lines(const chat_command *of)
{
    const char *argument = of->argument;
    add_line(of->name, argument == NULL ? "" : " ", "", 0);
    if (argument == NULL || argument[0] != '[')
        return;
    for (const char *word = argument + 1; *word != '\0';) {
        size_t length = strcspn(word, "|]");
        add_line(of->name, " ", word, length);
        word += length + 1;
    }
}

const line_guide *chat_command_guide(void)
{
    static const char *const before_files[] = {"/save ", "/load ", NULL};
    static const line_guide guide = {completion.lines, before_files};
    completion.count = 0;
    for (size_t i = 0; i < COMMANDS; i++)
        add_lines(&commands[i]);
    return &guide;
}

/* ---- running --------------------------------------------------------------------------------- */

/* What other programs call them. */
static const struct {
    const char *word;
    const char *name;
} synonyms[] = {
    {"?", "help"}, {"exit", "quit"}, {"bye", "quit"}, {"clear", "reset"}, {"regen", "retry"}};

static bool is_word(const char *name, const char *word, size_t length)
{
    return strlen(name) == length && memcmp(name, word, length) == 0;
}

/* The command that a word names: in full, or by a beginning that no other has. */
static const chat_command *find_command(const char *word, size_t length)
{
    const chat_command *found = NULL;
    size_t count = 0;
    for (size_t i = 0; i < sizeof synonyms / sizeof *synonyms; i++)
        if (is_word(synonyms[i].word, word, length))
            return find_command(synonyms[i].name, strlen(synonyms[i].name));
    for (size_t i = 0; i < COMMANDS; i++)
        if (strncmp(commands[i].name, word, length) == 0) {
            if (is_word(commands[i].name, word, length))
                return &commands[i];
            found = &commands[i];
            count++;
        }
    return count == 1 ? found : NULL;
}

int chat_command_run(chat *of, const char *line, bool *quit)
{
    const char *word = line + 1;
    size_t length = strcspn(word, " \t");
    const char *argument = word + length + strspn(word + length, " \t");
    char *trimmed = strdup(argument);
    const chat_command *meant = length > 0 ? find_command(word, length) : NULL;
    int status = EXIT_FAILED;
    for (size_t end = trimmed == NULL ? 0 : strlen(trimmed);
         end > 0 && (trimmed[end - 1] == ' ' || trimmed[end - 1] == '\t'); end--)
        trimmed[end - 1] = '\0';
    if (meant == NULL || trimmed == NULL) {
        show_note(&of->show,
                  "there is no command /%.*s; /help lists them, and a message that "
                  "begins with / is written //",
                  (int)(length < 40 ? length : 40), word);
    } else if (meant->argument == NULL && trimmed[0] != '\0') {
        show_note(&of->show, "/%s: expected nothing behind it, found \"%s\"", meant->name, trimmed);
    } else if (meant->run == NULL) {
        *quit = true;
        status = EXIT_GOOD;
    } else {
        status = meant->run(of, trimmed);
        of->changed = of->changed || meant->changes;
    }
    free(trimmed);
    return status;
}
