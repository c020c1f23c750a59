/* What is said when a file of weights is cut short while the program reads it. */
#ifndef GPTOSS_TOOL_BUS_ERROR_H
#define GPTOSS_TOOL_BUS_ERROR_H

/*
 * From now on the program ends with a sentence that names the file, and with this exit status, when
 * a mapped file cannot be read any more. Without it the system would end it by SIGBUS. May be
 * called again for another status.
 */
void bus_error_catch(int exit_status);

#endif
