/*
 * The table of commands and flags. It alone drives parsing, --help, the man page and the shells'
 * completions, so that they cannot disagree.
 */
#ifndef GPTOSS_TOOL_COMMAND_H
#define GPTOSS_TOOL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXIT_GOOD        0
#define EXIT_FAILED      1
#define EXIT_USAGE       2   /* parity also ends like this when a file is not what it should be */
#define EXIT_INTERRUPTED 130 /* 128 + SIGINT, as shells report it */

#define MAX_STOP_TEXTS 64

/* One per flag name, whichever commands take it. */
typedef enum flag_id {
    FLAG_MODEL,
    FLAG_TOKENIZER,
    FLAG_PROMPT,
    FLAG_FILE,
    FLAG_IDS,
    FLAG_REFERENCE,
    FLAG_CANDIDATE,
    FLAG_ESCAPE,
    FLAG_PARSE_SPECIAL,
    FLAG_PREDICT,
    FLAG_STOP,
    FLAG_IGNORE_EOS,
    FLAG_SEED,
    FLAG_TEMP,
    FLAG_TOP_K,
    FLAG_TOP_P,
    FLAG_MIN_P,
    FLAG_LOGPROBS,
    FLAG_JSON,
    FLAG_NO_DISPLAY_PROMPT,
    FLAG_CHAT,
    FLAG_REASONING,
    FLAG_SYSTEM,
    FLAG_DEVELOPER,
    FLAG_TOOLS,
    FLAG_DATE,
    FLAG_SESSION,
    FLAG_SHOW_THINKING,
    FLAG_CONTEXT_FULL,
    FLAG_DECODE,
    FLAG_NULL,
    FLAG_PRINT_IDS,
    FLAG_HISTORY,
    FLAG_ENDING,
    FLAG_ROLE,
    FLAG_STRICT,
    FLAG_TENSORS,
    FLAG_CHECK,
    FLAG_SHA256,
    FLAG_OUTPUT,
    FLAG_STAGES,
    FLAG_LAYERS,
    FLAG_POSITIONS,
    FLAG_TOLERANCES,
    FLAG_WORST,
    FLAG_HTML,
    FLAG_ISOLATED,
    FLAG_NUMERICS,
    FLAG_PRECISION,
    FLAG_CACHE_TYPE,
    FLAG_GEMM,
    FLAG_CPU,
    FLAG_PIN,
    FLAG_MLOCK,
    FLAG_PACK,
    FLAG_SKETCH,
    FLAG_MAX_MEMORY,
    FLAG_CONTEXT,
    FLAG_STRIDE,
    FLAG_N_PROMPT,
    FLAG_N_GEN,
    FLAG_N_DEPTH,
    FLAG_REPETITIONS,
    FLAG_NO_WARMUP,
    FLAG_PROFILE,
    FLAG_SYNTHETIC,
    FLAG_THREADS,
    FLAG_CHUNK,
    FLAG_VERBOSE,
    FLAG_MAN,
    FLAG_HELP,
    FLAG_COUNT
} flag_id;

struct command;

/* What was typed, with the table's defaults for what was not. Texts belong to argv. */
typedef struct options {
    const struct command *command;
    const char *operand; /* NULL when there is none */
    bool given[FLAG_COUNT];
    const char *model;
    const char *tokenizer;
    const char *prompt;
    const char *file;
    const char *ids;
    const char *output;
    const char *reference;
    const char *candidate;
    const char *stages;
    const char *layers;
    const char *positions;
    const char *tolerances;
    const char *html;
    const char *numerics; /* NULL: the command's choice */
    const char *precision;
    const char *gemm;          /* "auto", "own" or "blas" */
    const char *cache_type;    /* NULL: bf16 but for precision f32 */
    const char *pack;          /* "on" or "off"; NULL: the command has no such flag, */
    const char *sketch;        /* likewise */
    const char *cpu;           /* NULL: GPTOSS_CPU, else all that the processor has */
    const char *pin;           /* "auto", "on" or "off" */
    const char *history;       /* "harmony", "turns" or "all" */
    const char *ending;        /* "completion", "none" or "training" */
    const char *role;          /* of the message to come; "none": the stream tells */
    const char *reasoning;     /* "low", "medium" or "high" */
    const char *system;        /* NULL: the model's identity as trained */
    const char *developer;     /* NULL: no instructions */
    const char *tools;         /* NULL: no functions */
    const char *date;          /* YYYY-MM-DD, "today" or "none" */
    const char *session;       /* NULL: the conversation is not kept */
    const char *show_thinking; /* "on", "off" or "dim" */
    const char *context_full;  /* "ask", "drop" or "stop" */
    const char *synthetic;     /* NULL: a checkpoint */
    const char *prompts;       /* lists, as those below */
    const char *generations;
    const char *depths;
    const char *thread_counts;
    const char *stops[MAX_STOP_TEXTS];
    size_t stop_count;
    int64_t predict; /* -1: no limit */
    int64_t context; /* 0: the model's maximum */
    int64_t stride;
    int64_t threads; /* 0: the physical cores */
    int64_t chunk;   /* 0: the library's default */
    int64_t top_k;
    int64_t logprobs;
    int64_t worst; /* 0: all */
    int64_t repetitions;
    double temperature;
    double top_p;
    double min_p;
    uint64_t seed;
    uint64_t max_memory; /* bytes; 0: what is available */
    bool escape;
    bool parse_special;
    bool ignore_eos;
    bool json;
    bool no_display_prompt;
    bool chat;
    bool decode;
    bool null;
    bool print_ids;
    bool strict;
    bool tensors;
    bool check;
    bool sha256;
    bool isolated;
    bool mlock;
    bool no_warmup;
    bool profile;
    bool verbose;
    bool man;
    bool help;
} options;

typedef enum value_kind {
    VALUE_NONE,    /* bool: present or not */
    VALUE_TEXT,    /* const char * */
    VALUE_PATH,    /* const char *, completed as a file name */
    VALUE_CHOICE,  /* const char *, one of those that flag.value has between bars */
    VALUE_NUMBERS, /* const char *, integers in [least, most] with commas between */
    VALUE_CHOICES, /* const char *, words of flag.value with commas between */
    VALUE_TEXTS,   /* options.stops: may be repeated */
    VALUE_INTEGER, /* int64_t in [least, most] */
    VALUE_REAL,    /* double in [least, most] */
    VALUE_SEED,    /* uint64_t; -1 counts as not given */
    VALUE_SIZE,    /* uint64_t of bytes, at least 1: 512M, 1.5G */
} value_kind;

/* Headings of --help, in this order. */
typedef enum flag_group {
    GROUP_INPUT,
    GROUP_SAMPLING,
    GROUP_OUTPUT,
    GROUP_RUN,
    GROUP_COUNT
} flag_group;

typedef struct flag {
    flag_id id;
    unsigned commands; /* bits 1 << command_id of the commands that take it */
    const char *name;  /* without the dashes */
    const char *alias; /* a second long name, or NULL */
    char letter;       /* 0: none */
    flag_group group;
    value_kind kind;
    size_t offset;        /* of the value in struct options */
    double least, most;   /* for numbers */
    const char *value;    /* placeholder of the value in help, or its choices: "on|off"; NULL for
                             VALUE_NONE */
    const char *fallback; /* the default as a person would type it, or NULL */
    const char *help;     /* one or more sentences */
} flag;

typedef enum command_id {
    COMMAND_CHAT,
    COMMAND_GENERATE,
    COMMAND_PERPLEXITY,
    COMMAND_TOKENIZE,
    COMMAND_RENDER,
    COMMAND_PARSE,
    COMMAND_INSPECT,
    COMMAND_DUMP,
    COMMAND_PARITY,
    COMMAND_BENCH,
    COMMAND_HELP,
    COMMAND_COMPLETION,
    COMMAND_COUNT
} command_id;

typedef struct command {
    command_id id;
    const char *name;
    const char *operand;     /* placeholder of its one optional operand, or NULL */
    const char *synopsis;    /* what follows the name in the usage line */
    const char *summary;     /* half a line */
    const char *description; /* paragraphs, separated by empty lines */
    bool hidden;             /* not listed: for the build */
    int (*run)(const options *given);
} command;

extern const command command_table[COMMAND_COUNT];
extern const char *const flag_group_names[GROUP_COUNT];

/* The command of that name, hidden ones included; NULL when there is none. */
const command *command_find(const char *name);

/*
 * Walks the flags that a command takes in the order of the help. Start with *index 0; returns NULL
 * after the last one.
 */
const flag *command_flag(const command *of, size_t *index);

/* The flag of a command by one of its long names or its letter; NULL when it has none such. */
const flag *command_flag_named(const command *of, const char *name, size_t length);
const flag *command_flag_lettered(const command *of, char letter);

/* The help text of a flag with its default and its alias, for --help and the manual page. */
#define FLAG_HELP_ROOM 512
const char *flag_help(const flag *of, char text[FLAG_HELP_ROOM]);

int run_chat(const options *given);
int run_generate(const options *given);
int run_perplexity(const options *given);
int run_tokenize(const options *given);
int run_render(const options *given);
int run_parse(const options *given);
int run_inspect(const options *given);
int run_dump(const options *given);
int run_parity(const options *given);
int run_bench(const options *given);
int run_help(const options *given);
int run_completion(const options *given);

#endif
