/* From argv to options. */
#ifndef GPTOSS_TOOL_PARSE_H
#define GPTOSS_TOOL_PARSE_H

#include "command.h"

/*
 * Parses the arguments of a command, argv[0] being the first after the command's name. Long flags
 * may be written --flag value or --flag=value, letters -f value only: -ngl is no -n with a value.
 * The last of a repeated flag counts, except for flags that collect. On a mistake prints one
 * sentence and returns EXIT_USAGE.
 */
int parse_arguments(const command *of, int count, char **arguments, options *out);

/* Says that there is no such command and which may have been meant; returns EXIT_USAGE. */
int parse_unknown_command(const char *name);

#endif
