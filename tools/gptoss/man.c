/* The manual page, in the roff of man(7). */
#include <stdio.h>
#include <string.h>

#include "gptoss.h"
#include "help.h"

/* Prints text with roff's special characters escaped; an empty line starts a paragraph. */
static void print_roff(const char *text)
{
    bool line_start = true;
    for (; *text != '\0'; text++) {
        if (strncmp(text, "\n\n", 2) == 0) {
            fputs("\n.PP\n", stdout);
            text++;
            line_start = true;
            continue;
        }
        if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else if (*text == '\'')
            fputs("\\(aq", stdout);
        else
            putchar(*text);
        line_start = *text == '\n';
    }
    putchar('\n');
}

static void print_flag(const flag *of)
{
    printf(".TP\n\\fB");
    if (of->letter != 0)
        printf("\\-%c\\fR, \\fB", of->letter);
    printf("\\-\\-");
    for (const char *c = of->name; *c != '\0'; c++)
        printf(*c == '-' ? "\\-" : "%c", *c);
    printf("\\fR");
    if (of->value != NULL)
        printf(" \\fI%s\\fR", of->value);
    putchar('\n');
    char text[FLAG_HELP_ROOM];
    print_roff(flag_help(of, text));
}

static void print_command(const command *of)
{
    printf(".SS gptoss %s\n.B gptoss %s\n", of->name, of->name);
    print_roff(of->synopsis);
    printf(".PP\n");
    print_roff(of->description);
    size_t index = 0;
    for (const flag *each; (each = command_flag(of, &index)) != NULL;)
        if (each->id != FLAG_HELP && each->id != FLAG_MAN)
            print_flag(each);
}

void man_page(void)
{
    printf(".TH GPTOSS 1 \"\" \"gptoss %s\" \"User Commands\"\n"
           ".SH NAME\n"
           "gptoss \\- run OpenAI's gpt\\-oss models on the CPU\n"
           ".SH SYNOPSIS\n"
           ".B gptoss\n.I COMMAND\n[flags]\n"
           ".br\n.B gptoss\n[\\fICOMMAND\\fR] \\fB\\-\\-help\\fR\n"
           ".br\n.B gptoss \\-\\-version\n"
           ".SH DESCRIPTION\n",
           gptoss_version());
    print_roff("Runs gpt-oss checkpoints straight from their safetensors files, without conversion "
               "and without other software. Weights are mapped read-only and used where they lie. "
               "Results do not depend on the number of threads or on the chunk size.\n\n"
               "Flags are written --flag value or --flag=value, or by their letter, -f value.");
    printf(".SH COMMANDS\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!command_table[i].hidden)
            print_command(&command_table[i]);
    printf(".SH EXIT STATUS\n"
           ".TP\n0\nGood.\n.TP\n1\nFailed; a sentence on standard error says why.\n"
           ".TP\n2\nWrong usage.\n.TP\n130\nInterrupted.\n"
           ".PP\nOf parity, 1 is outside the limits, and 2 also that nothing was compared.\n"
           ".SH ENVIRONMENT\n"
           ".TP\nGPTOSS_CPU\nHolds the kernels at a lower level, as \\-\\-cpu does: plain, "
           "avx2, avx512, avx512\\-vnni, avx512\\-bf16 or amx. A level above the processor's is "
           "refused.\n"
           ".TP\nHF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME\n"
           "Where the hub's local cache is, as for the hub's own client.\n"
           ".TP\nXDG_STATE_HOME\nWhere chat keeps what was typed, in gptoss/history; else it is "
           "~/.local/state.\n"
           ".TP\nNO_COLOR\nWithout colours when it is set. Labels take their place.\n"
           ".SH EXAMPLES\n.EX\n"
           "gptoss inspect \\-m openai/gpt\\-oss\\-20b\n"
           "gptoss chat \\-m openai/gpt\\-oss\\-20b\n"
           "gptoss generate \\-m openai/gpt\\-oss\\-20b \\-p \"Once upon a time\" \\-n 64\n"
           "gptoss tokenize \\-m openai/gpt\\-oss\\-20b \\-p \"hello\" \\-\\-json\n"
           ".EE\n");
}
