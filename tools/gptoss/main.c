/* gptoss: one program, a table of commands, one file for each. */
#include <stdio.h>
#include <string.h>

#include "bus_error.h"
#include "console.h"
#include "help.h"
#include "parse.h"

static int run_command(const command *of, int count, char **arguments)
{
    options given;
    int status = parse_arguments(of, count, arguments, &given);
    if (status != EXIT_GOOD)
        return status;
    if (given.help) {
        help_command(of);
        return EXIT_GOOD;
    }
    return of->run(&given);
}

static int run(int count, char **arguments)
{
    if (count == 0)
        return console_usage(NULL, "expected a command, found nothing; gptoss --help lists them");
    const char *first = arguments[0];
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        help_program();
        return EXIT_GOOD;
    }
    if (strcmp(first, "--version") == 0) {
        help_version();
        return EXIT_GOOD;
    }
    if (first[0] == '-')
        return console_usage(NULL,
                             "expected a command, found the flag %s; "
                             "gptoss chat talks with a model, gptoss --help lists the rest",
                             first);
    const command *of = command_find(first);
    if (of == NULL)
        return parse_unknown_command(first);
    return run_command(of, count - 1, arguments + 1);
}

int main(int argc, char **argv)
{
    console_open();
    bus_error_catch(EXIT_FAILED);
    return console_close(run(argc > 0 ? argc - 1 : 0, argv + (argc > 0)));
}
