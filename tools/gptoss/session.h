/* Opening what a command works with: model, tokenizer, executor and sequence. */
#ifndef GPTOSS_TOOL_SESSION_H
#define GPTOSS_TOOL_SESSION_H

#include "command.h"
#include "gptoss.h"
#include "json_writer.h"

typedef struct session {
    gptoss_model *model;
    gptoss_tokenizer *tokenizer; /* NULL when there is none */
    gptoss_executor *executor;
    gptoss_sequence *sequence;
    bool prepared; /* session_prepare_model has been called */
} session;

/* These print a sentence when they fail and return the exit status. The session starts zeroed; what
 * was opened is closed by session_close, whether or not a function failed. */
void session_close(session *of);

/* Takes the instructions of --cpu. session_open_model does it too. */
int session_choose_cpu(const options *given);

/* Opens the checkpoint of -m, for computing with the instructions of --cpu. */
int session_open_model(session *of, const options *given);

/* Reads the weights ahead, locks, packs and sketches them, as was asked for; the first time. */
int session_prepare_model(session *of, const options *given);

/*
 * Opens the tokenizer of --tokenizer, or else the one beside or above the checkpoint. When
 * `required` is false, a checkpoint without one is fine.
 */
int session_open_tokenizer(session *of, const options *given, bool required);

/* Opens the tokenizer of --tokenizer or of -m, of which a directory without weights is good enough.
 */
int session_open_tokenizer_alone(session *of, const options *given);

/* Opens the executor with the precision, the threads and the chunk asked for. */
int session_open_executor(session *of, const options *given, gptoss_numerics numerics);

/*
 * Opens a sequence for at least `prompt` tokens and for `wanted` in all (0: as many as possible).
 * The context is the one of -c, or else as large as wanted and as memory allows. What doesn't fit
 * into the memory still free is refused before anything is allocated.
 */
int session_open_sequence(session *of, const options *given, uint64_t prompt, uint64_t wanted);

/* Puts "run": {precision, cpu, threads, pinned}, what an executor computes with. */
void session_put_run(json_writer *json, const gptoss_executor *executor);

/* What --chunk, --cache-type and --precision say of a sequence of `context` positions. */
gptoss_sequence_options session_sequence(const options *given, uint32_t context);

/* Rows of one forward pass, before an executor is open. */
uint32_t session_chunk(const options *given);

#endif
