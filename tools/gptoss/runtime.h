/* Opening what a command works with: model, tokenizer, executor and sequence. */
#ifndef GPTOSS_TOOL_RUNTIME_H
#define GPTOSS_TOOL_RUNTIME_H

#include "command.h"
#include "gptoss.h"
#include "json_writer.h"

typedef struct runtime {
    gptoss_model *model;
    gptoss_tokenizer *tokenizer; /* NULL when there is none */
    gptoss_executor *executor;
    gptoss_sequence *sequence;
    bool marked;    /* the sequence will be marked, which takes memory besides */
    bool prepared;  /* runtime_prepare_model has been called */
    uint64_t forms; /* bytes that it took for other forms of the weights */
} runtime;

/* These print a sentence when they fail and return the exit status. It starts zeroed; what
 * was opened is closed by runtime_close, whether or not a function failed. */
void runtime_close(runtime *of);

/* Takes the instructions of --cpu. runtime_open_model does it too. */
int runtime_choose_cpu(const options *given);

/* Opens the checkpoint of -m, for computing with the instructions of --cpu. */
int runtime_open_model(runtime *of, const options *given);

/* Reads the weights ahead, locks, packs and sketches them, as was asked for; the first time. */
int runtime_prepare_model(runtime *of, const options *given);

/* Bytes of other forms of the weights, made already or to be made. */
uint64_t runtime_form_bytes(const runtime *of, const options *given);

/*
 * Opens the tokenizer of --tokenizer, or else the one beside or above the checkpoint. When
 * `required` is false, a checkpoint without one is fine.
 */
int runtime_open_tokenizer(runtime *of, const options *given, bool required);

/* Opens the tokenizer of --tokenizer or of -m, of which a directory without weights is good enough.
 */
int runtime_open_tokenizer_alone(runtime *of, const options *given);

/* Opens the executor with the precision, the threads and the chunk asked for. */
int runtime_open_executor(runtime *of, const options *given, gptoss_numerics numerics);

/* Prints a sentence and returns EXIT_FAILED when a sequence of these options, the executor that
 * feeds it and what is still to be prepared of the model do not fit into the memory allowed. */
int runtime_check_memory(const runtime *of, const options *given,
                         const gptoss_sequence_options *sequence);

/*
 * Finds the options of a sequence for at least `prompt` tokens and for `wanted` in all (0: as many
 * as possible). The context is the one of -c, or else as large as wanted and as memory allows. What
 * doesn't fit into the memory still free is refused.
 */
int runtime_plan_sequence(const runtime *of, const options *given, uint64_t prompt, uint64_t wanted,
                          gptoss_sequence_options *out);

/* Opens such a sequence. */
int runtime_open_sequence(runtime *of, const options *given, uint64_t prompt, uint64_t wanted);

/* Prints a sentence and returns EXIT_FAILED when a weight file was written to since the model was
 * opened: what was computed is not to be trusted. Without a model all is well. */
int runtime_check_weights(const runtime *of);

/* Puts "run": {precision, cpu, threads, pinned}, what an executor computes with. */
void runtime_put_run(json_writer *json, const gptoss_executor *executor);

/* What --chunk, --cache-type and --precision say of a sequence of `context` positions. */
gptoss_sequence_options runtime_sequence(const options *given, uint32_t context);

/* Rows of one forward pass, before an executor is open. */
uint32_t runtime_chunk(const options *given);

#endif
