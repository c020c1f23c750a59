/* Help for people: what --help and --version print. */
#ifndef GPTOSS_TOOL_HELP_H
#define GPTOSS_TOOL_HELP_H

#include "command.h"

void help_program(void);
void help_command(const command *of);
void help_version(void);

/* Prints the whole manual page as roff source. */
void man_page(void);

#endif
