#include "command.h"

#include <stdio.h>
#include <string.h>

#define ON(command)       (1U << COMMAND_##command)
#define ON_TALKS          (ON(CHAT) | ON(GENERATE))
#define ON_RUNS           (ON_TALKS | ON(PERPLEXITY) | ON(DUMP) | ON(PARITY))
#define ON_TEXT           (ON(TOKENIZE) | ON(RENDER) | ON(PARSE))
#define ON_MODEL          (ON_RUNS | ON_TEXT | ON(INSPECT) | ON(BENCH))
#define ON_ALL            (ON_MODEL | ON(HELP) | ON(COMPLETION))
#define AT(member)        offsetof(options, member)
#define MOST_TOKENS       1048576 /* more positions than any model has */
#define WHOLE_NUMBER_MOST 2147483647
#define CACHE_TYPE_HELP   "How keys and values are kept: as computed, or rounded to bfloat16"

#define PRECISION_HELP                                                                             \
    "How exactly inputs of matrix products are kept: as float32, no coarser than bfloat16, or in " \
    "8 bits per 32 numbers; everything else is float32"

const char *const flag_group_names[GROUP_COUNT] = {"Input", "Sampling", "Output", "Run"};

/* In the order of the help. A flag that means something else to another command has a second row.
 */
static const flag flag_table[] = {
    {FLAG_MODEL, ON_MODEL & ~ON_TEXT, "model", NULL, 'm', GROUP_INPUT, VALUE_PATH, AT(model), 0, 0,
     "PATH", NULL,
     "The checkpoint: a .safetensors file, a directory, a hub snapshot, or a hub name such as "
     "openai/gpt-oss-20b that has been downloaded into the hub's cache."},
    {FLAG_MODEL, ON_TEXT, "model", NULL, 'm', GROUP_INPUT, VALUE_PATH, AT(model), 0, 0, "PATH",
     NULL, "The checkpoint whose tokenizer is used. Its weights are not needed."},
    {FLAG_SYNTHETIC, ON(BENCH), "synthetic", NULL, 0, GROUP_INPUT, VALUE_TEXT, AT(synthetic), 0, 0,
     "SHAPE", NULL,
     "No checkpoint but random weights made in memory, in the shape of 20b or 120b; "
     "20b,layers=2 has fewer layers, and vocab= and experts= are taken too. With winners=on one "
     "logit stands out as in trained models, without it none does, which is the sketch's worst "
     "case."},
    {FLAG_N_PROMPT, ON(BENCH), "n-prompt", NULL, 'p', GROUP_INPUT, VALUE_NUMBERS, AT(prompts), 0,
     MOST_TOKENS, "N,...", "512", "Lengths of prompts to feed, with commas between; 0 is none."},
    {FLAG_N_GEN, ON(BENCH), "n-gen", NULL, 'n', GROUP_INPUT, VALUE_NUMBERS, AT(generations), 0,
     MOST_TOKENS, "N,...", "128", "Numbers of tokens to generate, with commas between; 0 is none."},
    {FLAG_N_DEPTH, ON(BENCH), "n-depth", NULL, 'd', GROUP_INPUT, VALUE_NUMBERS, AT(depths), 0,
     MOST_TOKENS, "N,...", "0", "Tokens that are in the context before, with commas between."},
    {FLAG_TOKENIZER, ON_MODEL & ~(ON(INSPECT) | ON(BENCH)), "tokenizer", NULL, 0, GROUP_INPUT,
     VALUE_PATH, AT(tokenizer), 0, 0, "FILE", NULL,
     "A tokenizer.json or .tiktoken file, instead of the one beside or above the checkpoint."},
    {FLAG_PROMPT, ON(CHAT), "prompt", NULL, 'p', GROUP_INPUT, VALUE_TEXT, AT(prompt), 0, 0, "TEXT",
     NULL, "Answer this message and end; - reads it from standard input."},
    {FLAG_PROMPT, ON(GENERATE) | ON(TOKENIZE) | ON(DUMP), "prompt", NULL, 'p', GROUP_INPUT,
     VALUE_TEXT, AT(prompt), 0, 0, "TEXT", NULL, "The text; - reads it from standard input."},
    {FLAG_PROMPT, ON(PARSE), "prompt", NULL, 'p', GROUP_INPUT, VALUE_TEXT, AT(prompt), 0, 0, "TEXT",
     NULL,
     "What the model said, control tokens such as <|message|> spelled out; - reads it from "
     "standard "
     "input."},
    {FLAG_FILE, ON(CHAT), "file", NULL, 'f', GROUP_INPUT, VALUE_PATH, AT(file), 0, 0, "FILE", NULL,
     "Answer the message in this file and end. A newline at its end is not part of it."},
    {FLAG_SESSION, ON(CHAT), "session", NULL, 0, GROUP_INPUT, VALUE_PATH, AT(session), 0, 0, "FILE",
     NULL,
     "Go on with the conversation in this file, if there is one, and keep it there after every "
     "answer."},
    {FLAG_REASONING, ON(CHAT), "reasoning", NULL, 0, GROUP_INPUT, VALUE_CHOICE, AT(reasoning), 0, 0,
     "low|medium|high", "medium", "How hard the model thinks before it answers."},
    {FLAG_DEVELOPER, ON(CHAT), "developer", NULL, 0, GROUP_INPUT, VALUE_TEXT, AT(developer), 0, 0,
     "TEXT", NULL,
     "Instructions for the whole conversation: what other programs call the system prompt."},
    {FLAG_SYSTEM, ON(CHAT), "system", NULL, 0, GROUP_INPUT, VALUE_TEXT, AT(system), 0, 0, "TEXT",
     NULL,
     "Who the model is, in place of \"You are ChatGPT, a large language model trained by "
     "OpenAI.\" Instructions belong into --developer."},
    {FLAG_TOOLS, ON(CHAT), "tools", NULL, 0, GROUP_INPUT, VALUE_PATH, AT(tools), 0, 0, "FILE", NULL,
     "Functions that the model may call: a JSON list as OpenAI's API takes it. A call is printed "
     "as "
     "JSON, and you type its result."},
    {FLAG_DATE, ON(CHAT), "date", NULL, 0, GROUP_INPUT, VALUE_TEXT, AT(date), 0, 0, "DATE", "today",
     "The date that the model is told: one such as 2026-11-28, today or none."},
    {FLAG_FILE, ON(GENERATE), "file", NULL, 'f', GROUP_INPUT, VALUE_PATH, AT(file), 0, 0, "FILE",
     NULL,
     "A file with the text, taken byte by byte: a newline at its end is part of it. One whose name "
     "ends in .jsonl holds many prompts, see above."},
    {FLAG_SESSION, ON(GENERATE), "session", NULL, 0, GROUP_INPUT, VALUE_PATH, AT(session), 0, 0,
     "FILE", NULL,
     "Keep what has been read and generated in this file. What the prompt has in common with it is "
     "not read again the next time."},
    {FLAG_FILE, ON(DUMP), "file", NULL, 'f', GROUP_INPUT, VALUE_PATH, AT(file), 0, 0, "FILE", NULL,
     "A file with the text, taken byte by byte: a newline at its end is part of it."},
    {FLAG_FILE, ON(TOKENIZE), "file", NULL, 'f', GROUP_INPUT, VALUE_PATH, AT(file), 0, 0, "FILE",
     NULL, "A file with the text, or with --decode the ids; - is standard input."},
    {FLAG_FILE, ON(PERPLEXITY), "file", NULL, 'f', GROUP_INPUT, VALUE_PATH, AT(file), 0, 0, "FILE",
     NULL, "The text to score; - reads it from standard input."},
    {FLAG_FILE, ON(RENDER), "file", NULL, 'f', GROUP_INPUT, VALUE_PATH, AT(file), 0, 0, "FILE",
     NULL, "The conversation as JSON; - is standard input."},
    {FLAG_FILE, ON(PARSE), "file", NULL, 'f', GROUP_INPUT, VALUE_PATH, AT(file), 0, 0, "FILE", NULL,
     "A file with what the model said, as with -p; - is standard input."},
    {FLAG_IDS, ON(PARSE), "ids", NULL, 0, GROUP_INPUT, VALUE_TEXT, AT(ids), 0, 0, "IDS", NULL,
     "What the model said as token ids, such as 1,2,3; - reads them from standard input."},
    {FLAG_IDS, ON(GENERATE) | ON(DUMP), "ids", NULL, 0, GROUP_INPUT, VALUE_TEXT, AT(ids), 0, 0,
     "IDS", NULL,
     "The prompt as token ids, such as 1,2,3; - reads them from standard input. No tokenizer is "
     "needed then."},
    {FLAG_IDS, ON(TOKENIZE), "ids", NULL, 0, GROUP_INPUT, VALUE_TEXT, AT(ids), 0, 0, "IDS", NULL,
     "The ids to decode, such as 1,2,3; - reads them from standard input."},
    {FLAG_REFERENCE, ON(PARITY), "reference", NULL, 0, GROUP_INPUT, VALUE_PATH, AT(reference), 0, 0,
     "FILE", NULL, "The dump to compare with: a .safetensors file, or one compressed as .gz."},
    {FLAG_CANDIDATE, ON(PARITY), "candidate", NULL, 0, GROUP_INPUT, VALUE_PATH, AT(candidate), 0, 0,
     "FILE", NULL, "Another dump of the same tokens, which is judged in place of a model."},
    {FLAG_STAGES, ON(PARITY), "stages", NULL, 0, GROUP_INPUT, VALUE_TEXT, AT(stages), 0, 0, "LIST",
     "all", "The stages to compare, such as q,k,router; all are those that the dump has."},
    {FLAG_TOLERANCES, ON(PARITY), "tolerances", NULL, 0, GROUP_INPUT, VALUE_PATH, AT(tolerances), 0,
     0, "FILE", NULL,
     "A JSON file with limits in place of the built-in ones; docs/PARITY.md describes it."},
    {FLAG_DECODE, ON(TOKENIZE), "decode", NULL, 'd', GROUP_INPUT, VALUE_NONE, AT(decode), 0, 0,
     NULL, NULL, "Turn ids into bytes."},
    {FLAG_NULL, ON(TOKENIZE), "null", NULL, '0', GROUP_INPUT, VALUE_NONE, AT(null), 0, 0, NULL,
     NULL,
     "The input holds many texts, each ended by a zero byte; print one JSON array of ids a line."},
    {FLAG_NULL, ON(RENDER) | ON(PARSE), "null", NULL, '0', GROUP_INPUT, VALUE_NONE, AT(null), 0, 0,
     NULL, NULL,
     "The input holds many conversations or lists of ids, each ended by a zero byte; print one "
     "line "
     "of JSON for each, {\"error\": SENTENCE} for what is refused."},
    {FLAG_HISTORY, ON(RENDER), "history", NULL, 0, GROUP_INPUT, VALUE_CHOICE, AT(history), 0, 0,
     "harmony|turns|all", "harmony",
     "What is left out of the channel analysis: as openai-harmony does it, what belongs to turns "
     "that the user has answered, or nothing."},
    {FLAG_ENDING, ON(RENDER), "ending", NULL, 0, GROUP_INPUT, VALUE_CHOICE, AT(ending), 0, 0,
     "completion|none|training", "completion",
     "What follows the messages: <|start|> and the next role, nothing, or nothing with <|return|> "
     "at the end of a final message."},
    {FLAG_ROLE, ON(RENDER), "role", NULL, 0, GROUP_INPUT, VALUE_CHOICE, AT(role), 0, 0,
     "assistant|user|system|developer|tool", "assistant", "The next role of --ending completion."},
    {FLAG_ROLE, ON(PARSE), "role", NULL, 0, GROUP_INPUT, VALUE_CHOICE, AT(role), 0, 0,
     "assistant|user|system|developer|tool|none", "assistant",
     "Whose message comes first, when the prompt ended with <|start|> and that role; with none, "
     "the input begins with <|start|>."},
    {FLAG_STRICT, ON(PARSE), "strict", NULL, 0, GROUP_INPUT, VALUE_NONE, AT(strict), 0, 0, NULL,
     NULL,
     "Refuse what openai-harmony refuses. Otherwise messages are made of anything, and nothing is "
     "lost."},
    {FLAG_ESCAPE, ON(CHAT) | ON(TOKENIZE) | ON(PARSE) | ON(DUMP), "escape", NULL, 'e', GROUP_INPUT,
     VALUE_NONE, AT(escape), 0, 0, NULL, NULL,
     "Read \\n, \\r, \\t, \\\", \\', \\\\ and \\xHH in -p as C does."},
    {FLAG_ESCAPE, ON(GENERATE), "escape", NULL, 'e', GROUP_INPUT, VALUE_NONE, AT(escape), 0, 0,
     NULL, NULL, "Read \\n, \\r, \\t, \\\", \\', \\\\ and \\xHH in -p and --stop as C does."},
    {FLAG_PARSE_SPECIAL, ON(GENERATE) | ON(TOKENIZE) | ON(DUMP), "parse-special", NULL, 0,
     GROUP_INPUT, VALUE_NONE, AT(parse_special), 0, 0, NULL, NULL,
     "Read special tokens such as <|start|> in the text as tokens. They are plain text otherwise."},

    {FLAG_SEED, ON_TALKS, "seed", NULL, 's', GROUP_SAMPLING, VALUE_SEED, AT(seed), 0, 0, "N", NULL,
     "Seed of the random choice; the same seed gives the same text (default: drawn afresh)."},
    {FLAG_TEMP, ON_TALKS, "temp", "temperature", 0, GROUP_SAMPLING, VALUE_REAL, AT(temperature), 0,
     100, "T", NULL, "Temperature; 0 takes the likeliest token (default: the model's, else 1)."},
    {FLAG_TOP_K, ON_TALKS, "top-k", NULL, 0, GROUP_SAMPLING, VALUE_INTEGER, AT(top_k), 0,
     WHOLE_NUMBER_MOST, "K", NULL,
     "Choose among the K likeliest tokens; 0 is off (default: the model's, else 0)."},
    {FLAG_TOP_P, ON_TALKS, "top-p", NULL, 0, GROUP_SAMPLING, VALUE_REAL, AT(top_p), 0, 1, "P", NULL,
     "Choose among the likeliest tokens that make up probability P; 1 is off (default: the "
     "model's, else 1)."},
    {FLAG_MIN_P, ON_TALKS, "min-p", NULL, 0, GROUP_SAMPLING, VALUE_REAL, AT(min_p), 0, 1, "P", NULL,
     "Drop tokens less likely than P times the likeliest; 0 is off (default: the model's, else "
     "0)."},

    {FLAG_SHOW_THINKING, ON(CHAT), "show-thinking", NULL, 0, GROUP_OUTPUT, VALUE_CHOICE,
     AT(show_thinking), 0, 0, "on|off|dim", "dim",
     "Whether the thoughts before an answer are shown on standard error; off tells how long they "
     "took."},
    {FLAG_PREDICT, ON(CHAT), "predict", "n-predict", 'n', GROUP_OUTPUT, VALUE_INTEGER, AT(predict),
     -1, WHOLE_NUMBER_MOST, "N", "-1", "Most tokens of an answer, thoughts included; -1 is any."},
    {FLAG_CHAT, ON(GENERATE), "chat", NULL, 0, GROUP_INPUT, VALUE_NONE, AT(chat), 0, 0, NULL, NULL,
     "The prompt is a message to answer, as by gptoss chat, which has more flags for it."},
    {FLAG_PREDICT, ON(GENERATE), "predict", "n-predict", 'n', GROUP_OUTPUT, VALUE_INTEGER,
     AT(predict), -1, WHOLE_NUMBER_MOST, "N", "-1",
     "Most tokens to generate; -1 goes on until the text ends or the context is full."},
    {FLAG_STOP, ON(GENERATE), "stop", "reverse-prompt", 'r', GROUP_OUTPUT, VALUE_TEXTS, 0, 0, 0,
     "TEXT", NULL, "End before this text. May be repeated."},
    {FLAG_IGNORE_EOS, ON(GENERATE), "ignore-eos", NULL, 0, GROUP_OUTPUT, VALUE_NONE, AT(ignore_eos),
     0, 0, NULL, NULL, "Go on after tokens that end the text."},
    {FLAG_LOGPROBS, ON(GENERATE), "logprobs", NULL, 0, GROUP_OUTPUT, VALUE_INTEGER, AT(logprobs), 0,
     1000, "N", NULL,
     "Report each token's logarithmic probability and the N likeliest in its place: in the JSON, "
     "or else on standard error after the text."},
    {FLAG_NO_DISPLAY_PROMPT, ON(GENERATE), "no-display-prompt", NULL, 0, GROUP_OUTPUT, VALUE_NONE,
     AT(no_display_prompt), 0, 0, NULL, NULL, "Do not print the prompt before its continuation."},
    {FLAG_OUTPUT, ON(DUMP), "output", NULL, 'o', GROUP_OUTPUT, VALUE_PATH, AT(output), 0, 0, "FILE",
     NULL, "The safetensors file to write. It appears only when it is complete."},
    {FLAG_OUTPUT, ON(BENCH), "output", NULL, 'o', GROUP_OUTPUT, VALUE_CHOICE, AT(output), 0, 0,
     "md|csv|json|jsonl", "md", "How the results are printed."},
    {FLAG_PROFILE, ON(BENCH), "profile", NULL, 0, GROUP_OUTPUT, VALUE_NONE, AT(profile), 0, 0, NULL,
     NULL,
     "Below the table of --output md, print where each test's time went, operation by operation. "
     "json and jsonl always tell."},
    {FLAG_STAGES, ON(DUMP), "stages", NULL, 0, GROUP_OUTPUT, VALUE_TEXT, AT(stages), 0, 0, "LIST",
     "embedding,residual,logits", "The stages to write, such as q,k,router; all writes every one."},
    {FLAG_LAYERS, ON(DUMP), "layers", NULL, 0, GROUP_OUTPUT, VALUE_TEXT, AT(layers), 0, 0, "RANGE",
     NULL, "The layers whose stages are written, such as 3 or 0-3, counted from 0 (default: all)."},
    {FLAG_POSITIONS, ON(DUMP), "positions", NULL, 0, GROUP_OUTPUT, VALUE_TEXT, AT(positions), 0, 0,
     "LIST", NULL,
     "The tokens whose values are written, such as 0-31,63,-1, counted from 0, or with a minus "
     "from "
     "the end (default: all)."},
    {FLAG_WORST, ON(PARITY), "worst", NULL, 0, GROUP_OUTPUT, VALUE_INTEGER, AT(worst), 0,
     WHOLE_NUMBER_MOST, "N", NULL,
     "List the N stages of single layers that come nearest to their limits or are furthest beyond, "
     "worst first; 0 lists all."},
    {FLAG_HTML, ON(PARITY), "html", NULL, 0, GROUP_OUTPUT, VALUE_PATH, AT(html), 0, 0, "FILE", NULL,
     "Also write a page with a heat map of layers, stages and positions. It needs nothing else."},
    {FLAG_TENSORS, ON(INSPECT), "tensors", NULL, 0, GROUP_OUTPUT, VALUE_NONE, AT(tensors), 0, 0,
     NULL, NULL, "List every tensor with its type, shape, size and file."},
    {FLAG_CHECK, ON(INSPECT), "check", NULL, 0, GROUP_OUTPUT, VALUE_NONE, AT(check), 0, 0, NULL,
     NULL, "Read every weight and look for NaN, infinity and invalid scales."},
    {FLAG_SHA256, ON(INSPECT), "sha256", NULL, 0, GROUP_OUTPUT, VALUE_NONE, AT(sha256), 0, 0, NULL,
     NULL, "Print the SHA-256 of every weight file."},
    {FLAG_PRINT_IDS, ON(RENDER), "ids", NULL, 0, GROUP_OUTPUT, VALUE_NONE, AT(print_ids), 0, 0,
     NULL, NULL, "Print the token ids as a list that --ids takes, instead of the text."},
    {FLAG_JSON, ON(CHAT), "json", NULL, 0, GROUP_OUTPUT, VALUE_NONE, AT(json), 0, 0, NULL, NULL,
     "Print a JSON object for each answer instead of its text: the messages, why they end, tokens "
     "and times."},
    {FLAG_JSON, ON_MODEL & ~(ON(CHAT) | ON(DUMP) | ON(BENCH) | ON(RENDER)), "json", NULL, 0,
     GROUP_OUTPUT, VALUE_NONE, AT(json), 0, 0, NULL, NULL,
     "Print one JSON object instead of text."},
    {FLAG_MAN, ON(HELP), "man", NULL, 0, GROUP_OUTPUT, VALUE_NONE, AT(man), 0, 0, NULL, NULL,
     "Print the manual page as roff source."},

    {FLAG_ISOLATED, ON(PARITY), "isolated", NULL, 0, GROUP_RUN, VALUE_NONE, AT(isolated), 0, 0,
     NULL, NULL,
     "Give every stage the reference's own input, so that its own error is seen and not what it "
     "inherits."},
    {FLAG_NUMERICS, ON(PARITY), "numerics", NULL, 0, GROUP_RUN, VALUE_TEXT, AT(numerics), 0, 0,
     "NAME", NULL,
     "f32, or torch-bf16 to round where OpenAI's torch code rounds (default: torch-bf16 when the "
     "reference is in bfloat16, else f32)."},
    {FLAG_NUMERICS, ON(DUMP), "numerics", NULL, 0, GROUP_RUN, VALUE_TEXT, AT(numerics), 0, 0,
     "NAME", "f32", "f32, or torch-bf16 to round where OpenAI's torch code rounds."},
    {FLAG_PRECISION, ON_TALKS, "precision", NULL, 0, GROUP_RUN, VALUE_CHOICE, AT(precision), 0, 0,
     "f32|bf16|q8", "bf16", PRECISION_HELP "."},
    {FLAG_PRECISION, ON(PERPLEXITY), "precision", NULL, 0, GROUP_RUN, VALUE_CHOICE, AT(precision),
     0, 0, "f32|bf16|q8", "f32", PRECISION_HELP "."},
    {FLAG_PRECISION, ON(DUMP) | ON(PARITY), "precision", NULL, 0, GROUP_RUN, VALUE_CHOICE,
     AT(precision), 0, 0, "f32|bf16|q8", "f32",
     PRECISION_HELP ". Numerics torch-bf16 round by themselves and want f32 here."},
    {FLAG_PRECISION, ON(BENCH), "precision", NULL, 0, GROUP_RUN, VALUE_CHOICES, AT(precision), 0, 0,
     "f32|bf16|q8", "bf16", PRECISION_HELP ". Several, with commas between, are measured in turn."},
    {FLAG_REPETITIONS, ON(BENCH), "repetitions", NULL, 'r', GROUP_RUN, VALUE_INTEGER,
     AT(repetitions), 1, 10000, "N", "5", "How often each test is timed."},
    {FLAG_NO_WARMUP, ON(BENCH), "no-warmup", NULL, 0, GROUP_RUN, VALUE_NONE, AT(no_warmup), 0, 0,
     NULL, NULL, "Time each test at once, without running it first."},
    {FLAG_CACHE_TYPE, ON_TALKS | ON(BENCH), "cache-type", NULL, 0, GROUP_RUN, VALUE_CHOICE,
     AT(cache_type), 0, 0, "f32|bf16", NULL,
     CACHE_TYPE_HELP " (default: f32 with --precision f32, else bf16)."},
    {FLAG_CACHE_TYPE, ON(PERPLEXITY), "cache-type", NULL, 0, GROUP_RUN, VALUE_CHOICE,
     AT(cache_type), 0, 0, "f32|bf16", "f32", CACHE_TYPE_HELP "."},
    {FLAG_CACHE_TYPE, ON(INSPECT), "cache-type", NULL, 0, GROUP_RUN, VALUE_CHOICE, AT(cache_type),
     0, 0, "f32|bf16", "bf16", "Cache that memory is forecast for."},
    {FLAG_CONTEXT_FULL, ON(CHAT), "context-full", NULL, 0, GROUP_RUN, VALUE_CHOICE,
     AT(context_full), 0, 0, "ask|drop|stop", "ask",
     "When the context has no room for the next answer: ask at the terminal, drop the oldest "
     "turns, "
     "or stop. Where there is no one to ask, ask is stop."},
    {FLAG_CONTEXT, ON(CHAT), "ctx-size", "context", 'c', GROUP_RUN, VALUE_INTEGER, AT(context), 0,
     MOST_TOKENS, "N", "0",
     "Most tokens of the conversation; 0 is as many as the model and the memory allow."},
    {FLAG_CONTEXT, ON(GENERATE), "ctx-size", "context", 'c', GROUP_RUN, VALUE_INTEGER, AT(context),
     0, MOST_TOKENS, "N", "0",
     "Most tokens of prompt and answer together; 0 is as many as the model and the memory allow."},
    {FLAG_CONTEXT, ON(INSPECT), "ctx-size", "context", 'c', GROUP_RUN, VALUE_INTEGER, AT(context),
     0, MOST_TOKENS, "N", "0", "Context that memory is forecast for; 0 is the model's maximum."},
    {FLAG_CONTEXT, ON(PERPLEXITY), "ctx-size", "context", 'c', GROUP_RUN, VALUE_INTEGER,
     AT(context), 2, MOST_TOKENS, "N", "512", "Tokens of one window."},
    {FLAG_STRIDE, ON(PERPLEXITY), "stride", NULL, 0, GROUP_RUN, VALUE_INTEGER, AT(stride), 1,
     MOST_TOKENS, "N", "256", "Tokens from the start of one window to the start of the next."},
    {FLAG_THREADS, ON_RUNS, "threads", NULL, 't', GROUP_RUN, VALUE_INTEGER, AT(threads), 0, 4096,
     "N", "0", "Threads; 0 is one for each physical core. The results do not depend on it."},
    {FLAG_THREADS, ON(BENCH), "threads", NULL, 't', GROUP_RUN, VALUE_NUMBERS, AT(thread_counts), 0,
     4096, "N,...", "0", "Threads, several with commas between; 0 is one for each physical core."},
    {FLAG_GEMM, ON_RUNS | ON(BENCH), "gemm", NULL, 0, GROUP_RUN, VALUE_CHOICE, AT(gemm), 0, 0,
     "auto|own|blas", "auto",
     "Who multiplies with batches of many rows: this program, or BLAS in float32. The last bits of "
     "what BLAS computes depend on --chunk. auto takes BLAS where the kernels are plain C, which "
     "are many times slower, and the precision is bf16."},
    {FLAG_CPU, ON_RUNS | ON(BENCH), "cpu", NULL, 0, GROUP_RUN, VALUE_CHOICE, AT(cpu), 0, 0,
     "plain|avx2|avx512|avx512-vnni|avx512-bf16|amx", NULL,
     "The most instructions that are used, which goes before the environment variable GPTOSS_CPU "
     "(default: all that the processor has)."},
    {FLAG_PIN, ON_RUNS | ON(BENCH), "pin", NULL, 0, GROUP_RUN, VALUE_CHOICE, AT(pin), 0, 0,
     "auto|on|off", "auto",
     "Keep each thread on a physical core of its own. auto does so when the threads take all cores "
     "that the program may use; with fewer, two programs beside each other would share the first "
     "cores and leave others idle."},
    {FLAG_MLOCK, ON_RUNS | ON(BENCH), "mlock", NULL, 0, GROUP_RUN, VALUE_NONE, AT(mlock), 0, 0,
     NULL, NULL, "Keep the weights in memory: the system may not drop them to make room."},
    {FLAG_PACK, ON_RUNS, "pack", NULL, 0, GROUP_RUN, VALUE_CHOICE, AT(pack), 0, 0, "on|off", "off",
     "Pack BF16 weights without loss before the first token: more speed and less memory for some "
     "seconds at the start. The results do not depend on it."},
    {FLAG_PACK, ON(BENCH), "pack", NULL, 0, GROUP_RUN, VALUE_CHOICE, AT(pack), 0, 0, "on|off", "on",
     "Pack BF16 weights without loss before the first token."},
    {FLAG_SKETCH, ON_TALKS, "sketch", NULL, 0, GROUP_RUN, VALUE_CHOICE, AT(sketch), 0, 0, "on|off",
     "off",
     "Make a sketch of the unembedding before the first token, so that fewer of its rows are read. "
     "The results do not depend on it."},
    {FLAG_SKETCH, ON(BENCH), "sketch", NULL, 0, GROUP_RUN, VALUE_CHOICE, AT(sketch), 0, 0, "on|off",
     "on", "Make a sketch of the unembedding before the first token."},
    {FLAG_MAX_MEMORY, ON_RUNS | ON(BENCH), "max-memory", NULL, 0, GROUP_RUN, VALUE_SIZE,
     AT(max_memory), 0, 0, "SIZE", NULL,
     "Take at most this much memory, such as 8G or 512M, beside the mapped weights, whose pages "
     "the "
     "system can drop (default: what is available). What does not fit is refused before it is "
     "taken."},
    {FLAG_CHUNK, ON_RUNS | ON(INSPECT) | ON(BENCH), "chunk", "batch-size", 'b', GROUP_RUN,
     VALUE_INTEGER, AT(chunk), 0, 65536, "N", "0",
     "Most tokens of the prompt in one forward pass; 0 is the default of 512. The results do not "
     "depend on it."},
    {FLAG_VERBOSE, ON_MODEL, "verbose", NULL, 'v', GROUP_RUN, VALUE_NONE, AT(verbose), 0, 0, NULL,
     NULL, "Say on standard error what is being done."},
    {FLAG_HELP, ON_ALL, "help", NULL, 'h', GROUP_RUN, VALUE_NONE, AT(help), 0, 0, NULL, NULL,
     "Print the command's flags."},
};

const command command_table[COMMAND_COUNT] = {
    {COMMAND_CHAT, "chat", NULL, "-m PATH [-p TEXT | -f FILE] [flags]", "talk with a model",
     "A conversation in the harmony format that gpt-oss was trained with. Answers go to standard "
     "output and nothing else does; thoughts, calls of tools, notes and the speed go to standard "
     "error. With -p or -f one message is answered; else messages are read line by line from the "
     "terminal, where lines can be edited and recalled, or from standard input.\n"
     "\n"
     "A \\ at the end of a line goes on in the next one, and \"\"\" begins and ends a text of "
     "several lines. Lines that begin with a slash are commands, which /help lists: /reset, /undo, "
     "/retry, /continue, /thinking, /reasoning, /save, /load, /stats, /quit. A message that begins "
     "with a slash is written with two. Ctrl-C stops an answer, and what was said until then stays "
     "in the conversation; at the prompt it clears the line, and pressed twice it ends the chat, "
     "as "
     "Ctrl-D does.\n"
     "\n"
     "What has been read stays in the cache: a new message, /undo and /retry cost the tokens that "
     "are new. What the model thought is dropped from the prompt once you have answered. When the "
     "context is full, --context-full says what happens.\n"
     "\n"
     "With --json, an object is printed for each answer: messages, stop (end, call, length, "
     "context, interrupted or role), usage with the tokens fed and found in the cache, timings, "
     "seed, sampling and run. What is typed is kept in $XDG_STATE_HOME/gptoss/history, or else in "
     "~/.local/state.",
     false, run_chat},
    {COMMAND_GENERATE, "generate", NULL, "-m PATH (-p TEXT | -f FILE | --ids IDS) [flags]",
     "continue a text",
     "Continues the prompt and streams the text to standard output, after the prompt itself. "
     "Notes, progress and a summary with the speed go to standard error.\n"
     "\n"
     "The text ends at one of the model's end tokens, before a --stop text, after -n tokens, when "
     "the context is full, or at Ctrl-C. Sampling follows the model's generation_config.json, else "
     "temperature 1 without filters; filters apply in the order temperature, top-k, top-p, min-p.\n"
     "\n"
     "With --json, one object is printed at the end: prompt_ids, ids, text, stop (token, text, "
     "length or interrupted), seed, timings, run, and logprobs when asked for. Without a "
     "tokenizer, which only --ids allows, the generated ids are printed in place of text.\n"
     "\n"
     "-f PROMPTS.jsonl continues many prompts, one a line: {\"prompt\": TEXT} or {\"ids\": "
     "[1, 2]}, and with them, as wanted, \"n\" and \"seed\" in place of the flags and \"id\", a "
     "string or a number. One object a line is printed in the same order, as with --json, with the "
     "id. What a prompt has in common with the one before is not read again. A line that is not "
     "understood is refused before anything runs.",
     false, run_generate},
    {COMMAND_PERPLEXITY, "perplexity", NULL, "-m PATH -f FILE [flags]",
     "measure how well a model predicts a text",
     "Scores a text in windows of -c tokens that start --stride tokens apart. The first window "
     "scores its tokens from the second on, every later one only tokens that have not been scored "
     "yet. Printed are the tokens scored, the mean negative logarithmic likelihood with its "
     "standard error, and the perplexity, its exponential.",
     false, run_perplexity},
    {COMMAND_TOKENIZE, "tokenize", NULL,
     "(-m PATH | --tokenizer FILE) (-p TEXT | -f FILE | --decode --ids IDS) [flags]",
     "turn text into token ids, or back",
     "Prints the tokens of a text, one a line with its id; with --json the ids alone. With "
     "--decode, writes the bytes that ids stand for; ids without a token stand for nothing.",
     false, run_tokenize},
    {COMMAND_RENDER, "render", NULL, "(-m PATH | --tokenizer FILE) -f FILE [flags]",
     "turn a conversation into a prompt",
     "Renders a conversation in the harmony format that gpt-oss was trained with, the same tokens "
     "as "
     "openai-harmony. The file is JSON: {\"messages\": [{\"role\": \"user\", \"content\": "
     "\"Hello\"}]}; docs/HARMONY.md describes it. Control tokens are printed as their names, so "
     "that "
     "the text alone cannot tell them from the same words in a message; with --ids the ids can, "
     "and "
     "gptoss generate --ids - continues them.",
     false, run_render},
    {COMMAND_PARSE, "parse", NULL,
     "(-m PATH | --tokenizer FILE) (--ids IDS | -p TEXT | -f FILE) [flags]",
     "take what the model said apart into messages",
     "Reads tokens in the harmony format and prints the messages in them: a line in brackets with "
     "role, name, recipient, channel and content type, then the content. With --json, one object "
     "with the messages as gptoss render reads them.",
     false, run_parse},
    {COMMAND_INSPECT, "inspect", NULL, "-m PATH [flags]", "describe a checkpoint",
     "Prints the architecture, the layout of the files, parameters, bytes by kind and bytes read "
     "for one token, and the memory that a context takes beside what the machine has. Weights are "
     "not read, except by --check and --sha256. No tokenizer is needed.",
     false, run_inspect},
    {COMMAND_DUMP, "dump", NULL, "-m PATH (--ids IDS | -p TEXT | -f FILE) -o FILE [flags]",
     "write logits and hidden states to a file",
     "Writes what the model computes to a safetensors file: the embedding as hidden.0, the "
     "residual "
     "after layer L as hidden.L+1, the logits, and on request every stage between as "
     "layers.L.STAGE, in F32 or, with --numerics torch-bf16, in BF16. docs/PARITY.md describes the "
     "format; gptoss parity reads it.",
     false, run_dump},
    {COMMAND_PARITY, "parity", NULL, "(-m PATH | --candidate FILE) --reference FILE [flags]",
     "compare a model with a reference, stage by stage",
     "Replays the tokens of a dump that a reference implementation wrote, and compares every stage "
     "that is in it; or compares two dumps. The first line tells where they first depart: layer, "
     "stage and token. Then come a row for each stage at its worst layer, the errors of all layers "
     "and stages as shares of what is allowed, the router's choices and the logits. When the dump "
     "has the text of its tokens, the tokenizer is checked first.\n"
     "\n"
     "An error is a difference divided by the sum of the reference's magnitude there and the root "
     "mean square around it. Limits depend on the types compared; docs/PARITY.md has them. The "
     "table's columns: |diff| is the largest difference, at its token/column or token/expert "
     "slot/column; error the largest error; nmse the squared differences over the squared "
     "reference; 1-cos one less the cosine; ulp the largest difference in units in the last place "
     "of the reference's type; equal the percentage that is equal bit for bit; peak the largest "
     "magnitude; used the share of the limit that is nearest.\n"
     "\n"
     "With --json, one object is printed: pass, first_departure, stages, logits, router, tokenizer "
     "and what was compared. Exit status: 0 within the limits, 1 outside, 2 when the comparison "
     "could not be made.",
     false, run_parity},
    {COMMAND_BENCH, "bench", NULL, "(-m PATH | --synthetic SHAPE) [flags]", "measure speed",
     "Feeds prompts of random tokens (ppN) and generates tokens greedily (tgN), with D tokens "
     "before them in the context (@ dD), -r times each after a run to warm up, and prints tokens "
     "per second with their standard deviation, as llama-bench does.\n"
     "\n"
     "Further columns: GB/s are the bytes that were read of weights and cache, each once in a "
     "forward pass, over the time; of read is that as a share of what the machine could read from "
     "memory just before and after the test, on as many threads. GFLOP/s are operations of matrix "
     "products and attention; of FMA is that as a share of what fused multiply-adds in float32 "
     "gave around the test (kernels that multiply integers can exceed it); other is the share of "
     "the time that went neither into matrix products nor into attention. With --output csv, json "
     "or jsonl the fields have llama-bench's names where the same is meant, besides others.\n"
     "\n"
     "Below the table: the time to open the model, the time from the start of the program to the "
     "first token of a 32-token prompt, and the most memory in use, mapped weights included.",
     false, run_bench},
    {COMMAND_HELP, "help", "COMMAND", "[COMMAND]", "print help", "Prints what --help prints.",
     false, run_help},
    {COMMAND_COMPLETION, "completion", "SHELL", "bash|zsh|fish", "print completions for a shell",
     "Prints a script that completes commands and flags in bash, zsh or fish. cmake --install puts "
     "them where the shells look.",
     true, run_completion},
};

const command *command_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(command_table[i].name, name) == 0)
            return &command_table[i];
    return NULL;
}

const flag *command_flag(const command *of, size_t *index)
{
    while (*index < sizeof flag_table / sizeof flag_table[0]) {
        const flag *candidate = &flag_table[(*index)++];
        if ((candidate->commands & (1U << of->id)) != 0)
            return candidate;
    }
    return NULL;
}

static bool is_name(const char *candidate, const char *name, size_t length)
{
    return candidate != NULL && strlen(candidate) == length && memcmp(candidate, name, length) == 0;
}

const flag *command_flag_named(const command *of, const char *name, size_t length)
{
    size_t index = 0;
    for (const flag *each; (each = command_flag(of, &index)) != NULL;)
        if (is_name(each->name, name, length) || is_name(each->alias, name, length))
            return each;
    return NULL;
}

const flag *command_flag_lettered(const command *of, char letter)
{
    size_t index = 0;
    for (const flag *each; (each = command_flag(of, &index)) != NULL;)
        if (letter != 0 && each->letter == letter)
            return each;
    return NULL;
}

const char *flag_help(const flag *of, char text[FLAG_HELP_ROOM])
{
    int length = (int)strlen(of->help) - 1; /* without the full stop */
    int used = snprintf(text, FLAG_HELP_ROOM, "%.*s", length, of->help);
    if (of->fallback != NULL)
        used +=
            snprintf(text + used, FLAG_HELP_ROOM - (size_t)used, " (default: %s)", of->fallback);
    snprintf(text + used, FLAG_HELP_ROOM - (size_t)used, "%s%s.",
             of->alias != NULL ? "; also --" : "", of->alias != NULL ? of->alias : "");
    return text;
}
