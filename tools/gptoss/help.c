#include "help.h"

#include <stdio.h>
#include <string.h>

#include "console.h"
#include "parse.h"

#define WIDTH       80
#define FLAG_COLUMN 28 /* where the text about a flag starts */

/*
 * Prints text filled to WIDTH columns; the first line goes on at column `from`, the others start at
 * `indent`. An empty line in the text separates paragraphs.
 */
static void print_filled(const char *text, size_t from, size_t indent)
{
    size_t column = from;
    bool line_empty = true;
    while (*text != '\0') {
        if (*text == '\n') {
            printf("\n");
            text++;
            column = 0;
            line_empty = false; /* makes the next word start with its indentation */
            continue;
        }
        size_t length = strcspn(text, " \n");
        if (!line_empty && (column == 0 || column + 1 + length > WIDTH)) {
            printf("%s%*s", column == 0 ? "" : "\n", (int)indent, "");
            column = indent;
            line_empty = true;
        }
        column += (size_t)printf("%s%.*s", line_empty ? "" : " ", (int)length, text);
        line_empty = false;
        text += length;
        text += *text == ' ';
    }
    printf("\n");
}

static void print_flag(const flag *of)
{
    size_t column = (size_t)printf("  ");
    column += of->letter != 0 ? (size_t)printf("-%c, ", of->letter) : (size_t)printf("    ");
    column += (size_t)printf("--%s%s%s", of->name, of->value != NULL ? " " : "",
                             of->value != NULL ? of->value : "");
    if (column + 2 > FLAG_COLUMN) {
        printf("\n");
        column = 0;
    }
    printf("%*s", (int)(FLAG_COLUMN - column), "");
    char text[FLAG_HELP_ROOM];
    print_filled(flag_help(of, text), FLAG_COLUMN, FLAG_COLUMN);
}

void help_command(const command *of)
{
    printf("Usage: gptoss %s %s\n\n", of->name, of->synopsis);
    print_filled(of->description, 0, 0);
    for (flag_group group = 0; group < GROUP_COUNT; group++) {
        bool headed = false;
        size_t index = 0;
        for (const flag *each; (each = command_flag(of, &index)) != NULL;) {
            if (each->group != group)
                continue;
            if (!headed)
                printf("\n%s:\n", flag_group_names[group]);
            headed = true;
            print_flag(each);
        }
    }
}

void help_program(void)
{
    printf("gptoss %s runs OpenAI's gpt-oss models on the CPU, straight from their safetensors "
           "files.\n\nUsage: gptoss COMMAND [flags]\n\nCommands:\n",
           gptoss_version());
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!command_table[i].hidden)
            printf("  %-12s %s\n", command_table[i].name, command_table[i].summary);
    printf("\ngptoss COMMAND --help describes a command and its flags; --version tells the "
           "version.\n\nExamples:\n"
           "  gptoss chat -m openai/gpt-oss-20b\n"
           "  gptoss generate -m openai/gpt-oss-20b -p \"Once upon a time\" -n 64\n\n"
           "Exit status: 0 good, 1 failed, 2 wrong usage, 130 interrupted; of parity: 1 differs, "
           "2 trouble.\n");
}

void help_version(void)
{
    printf("gptoss %s\ncpu level: %s\nbuilt with: %s\n", gptoss_version(), gptoss_cpu_level(),
           GPTOSS_BUILD);
}

int run_help(const options *given)
{
    if (given->man) {
        man_page();
        return EXIT_GOOD;
    }
    if (given->operand == NULL) {
        help_program();
        return EXIT_GOOD;
    }
    const command *of = command_find(given->operand);
    if (of == NULL)
        return parse_unknown_command(given->operand);
    help_command(of);
    return EXIT_GOOD;
}
