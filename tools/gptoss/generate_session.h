/* The session of generate: a sequence that is kept in a file between runs. */
#ifndef GPTOSS_TOOL_GENERATE_SESSION_H
#define GPTOSS_TOOL_GENERATE_SESSION_H

#include "runtime.h"

/*
 * Opens of->sequence as runtime_open_sequence does; with --session, it is the one in that file when
 * there is such a file. Refused is one of another model, precision or command, and a place where it
 * could not be kept.
 */
int generate_session_open(runtime *of, const options *given, uint64_t prompt, uint64_t wanted);

/* Prints a sentence and returns EXIT_FAILED when no file can be kept where --session says, so that
 * nothing is computed in vain. */
int session_check_place(const options *given);

/* Keeps the sequence in the file of --session; without the flag, nowhere. */
int generate_session_save(runtime *of, const options *given);

#endif
