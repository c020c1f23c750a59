/*
 * gptoss: CPU inference for OpenAI's gpt-oss models, straight from their safetensors files.
 *
 * This is the whole public API. Objects are opaque and belong to whoever opened them; a close
 * function accepts NULL. Functions that can fail return a gptoss_status and take a gptoss_error *
 * last (NULL when the text is not wanted); on failure *out is NULL and nothing is left behind.
 *
 * A model and a tokenizer are immutable once open and may be shared between threads. An executor,
 * a sequence and a sampler belong to one thread at a time.
 */
#ifndef GPTOSS_H
#define GPTOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GPTOSS_API __attribute__((visibility("default")))

#define GPTOSS_VERSION "0.1.0"

/* ---- errors ---------------------------------------------------------------------------------- */

typedef enum gptoss_status {
    GPTOSS_OK = 0,
    GPTOSS_USAGE,       /* the caller asked for something that makes no sense */
    GPTOSS_IO,          /* the operating system refused */
    GPTOSS_FORMAT,      /* a file is not what it should be */
    GPTOSS_UNSUPPORTED, /* well-formed, but nothing this library does */
    GPTOSS_MEMORY,      /* not enough memory */
    GPTOSS_LIMIT,       /* a documented bound was exceeded */
    GPTOSS_NUMERIC,     /* NaN or infinity where a number was expected */
    GPTOSS_INTERRUPTED, /* a callback asked to stop */
} gptoss_status;

/* One sentence that names the object, what was expected and what was found. */
typedef struct gptoss_error {
    gptoss_status status;
    char message[1024];
} gptoss_error;

/* The library's version, e.g. "0.1.0". */
GPTOSS_API const char *gptoss_version(void);

/*
 * The instructions the kernels run with: "plain", "avx2", "avx512", "avx512-vnni", "avx512-bf16" or
 * "amx", each more than the one before. They are the most that this processor, the system and this
 * build have, unless gptoss_cpu_choose or else the environment variable GPTOSS_CPU holds them at a
 * lower level.
 */
GPTOSS_API const char *gptoss_cpu_level(void);

/*
 * Holds the kernels of this process at a level. To be called before anything is computed:
 * GPTOSS_USAGE afterwards, and for a name that is no level; GPTOSS_UNSUPPORTED for a level above
 * the processor's. NULL chooses nothing but checks GPTOSS_CPU in the same way, as
 * gptoss_executor_open does.
 */
GPTOSS_API gptoss_status gptoss_cpu_choose(const char *level, gptoss_error *error);

/*
 * The library maps the files of weights and dumps. When one is cut short while it is used, or
 * cannot be read any more, the system sends SIGBUS to the thread that reads it, with the address. A
 * program that catches the signal (the library does not) learns here which file it was: the path as
 * it was opened and, in *bytes, the size at that time; NULL, and *bytes unchanged, for any other
 * address. Async-signal-safe. The path is valid until the handler returns.
 */
GPTOSS_API const char *gptoss_mapped_file(const void *address, uint64_t *bytes);

/* Told how far a long piece of work has come; returns false to stop it (GPTOSS_INTERRUPTED). */
typedef bool (*gptoss_progress_fn)(void *user, const char *what, uint64_t done, uint64_t total);

/* ---- model ----------------------------------------------------------------------------------- */

#define GPTOSS_MAX_LAYERS 1024
#define GPTOSS_MAX_STOPS  16

/* Filters apply in this order: temperature, top_k, top_p, min_p. */
typedef struct gptoss_sampling {
    float temperature; /* 0: greedy, ties to the lowest id */
    uint32_t top_k;    /* 0: off */
    float top_p;       /* 1: off */
    float min_p;       /* 0: off */
    uint64_t seed;
} gptoss_sampling;

/* Temperature 1 and no filter, as OpenAI recommends; seed 0. */
#define GPTOSS_SAMPLING_DEFAULT ((gptoss_sampling){1.0F, 0, 1.0F, 0.0F, 0})

/* The architecture, whichever spelling of config.json it came from. */
typedef struct gptoss_config {
    uint32_t layers;
    uint32_t hidden;
    uint32_t intermediate;
    uint32_t vocab;
    uint32_t heads;
    uint32_t kv_heads;
    uint32_t head_dim;
    uint32_t experts;
    uint32_t experts_per_token;
    uint32_t window;  /* keys a sliding layer sees, the current one included */
    uint32_t context; /* most positions the model is made for */
    bool sliding[GPTOSS_MAX_LAYERS];
    bool tied_embeddings; /* the unembedding is the embedding */
    bool attention_bias;  /* q, k, v and output projections have biases */
    float norm_eps;
    float swiglu_limit;
    float swiglu_alpha;
    struct {
        double theta;
        double factor;           /* 1 when the positions are not scaled */
        double beta_fast;        /* ntk_beta in the original spelling */
        double beta_slow;        /* ntk_alpha in the original spelling */
        double original_context; /* YaRN's pivot */
        double attention_factor; /* multiplies cos and sin; 0.1 ln(factor) + 1 unless configured */
        bool truncate;           /* round YaRN's bounds outwards to whole dimensions */
        bool yarn;               /* false: plain rotary embedding */
    } rope;
    uint32_t stops[GPTOSS_MAX_STOPS]; /* eos ids of config.json and generation_config.json */
    uint32_t stop_count;
    gptoss_sampling sampling; /* GPTOSS_SAMPLING_DEFAULT with what generation_config.json sets */
} gptoss_config;

typedef enum gptoss_layout {
    GPTOSS_LAYOUT_ORIGINAL, /* OpenAI's own names, experts in MXFP4 */
    GPTOSS_LAYOUT_HF_MXFP4, /* transformers' names, experts in MXFP4 */
    GPTOSS_LAYOUT_HF,       /* transformers' names, experts unquantised as [expert, in, out] */
} gptoss_layout;

/* "original", "hf-mxfp4" or "hf". */
GPTOSS_API const char *gptoss_layout_name(gptoss_layout layout);

typedef struct gptoss_model gptoss_model;

/*
 * Opens the checkpoint at `path`: a .safetensors file, a directory of them, a hub snapshot, or a
 * hub name such as "openai/gpt-oss-20b" that is looked up in the hub's local cache. Weights are
 * mapped read-only and not read. Every name, shape and dtype is checked before this returns.
 */
GPTOSS_API gptoss_status gptoss_model_open(const char *path, gptoss_model **out,
                                           gptoss_error *error);
GPTOSS_API void gptoss_model_close(gptoss_model *model);

/* The configuration of a published model: "20b" or "120b". Returns false for other names. */
GPTOSS_API bool gptoss_config_published(const char *name, gptoss_config *out);

/*
 * Makes a model of that configuration with random MXFP4 experts and BF16 matrices: activations of
 * unit scale, balanced routing, no two experts alike; the same seed gives the same weights. Their
 * logits have no clear winner, the worst case of a search for the best; `with_winners` makes that
 * of the token with the next id stand some 8 standard deviations above the mean (for a hidden size
 * as published), as the best does in trained models. They
 * are made on `threads` threads (0: the physical cores) and live in memory, which is refused
 * beforehand when there is too little (GPTOSS_MEMORY). `progress` may be NULL. Good for measuring
 * speed without a checkpoint; what it says makes no sense.
 */
GPTOSS_API gptoss_status gptoss_model_open_synthetic(const gptoss_config *config, uint64_t seed,
                                                     bool with_winners, uint32_t threads,
                                                     gptoss_progress_fn progress, void *user,
                                                     gptoss_model **out, gptoss_error *error);

GPTOSS_API const gptoss_config *gptoss_model_config(const gptoss_model *model);

/* The directory the checkpoint was found in, "synthetic" for none. Lives as long as the model. */
GPTOSS_API const char *gptoss_model_directory(const gptoss_model *model);

/* What inspect prints. Counts are of parameters, sizes are bytes of tensor data. */
typedef struct gptoss_model_info {
    gptoss_layout layout;
    uint64_t parameters_total;
    uint64_t
        parameters_active;  /* one token's: chosen experts only; unembedding in, embedding out */
    uint64_t bytes_files;   /* sizes of the weight files */
    uint64_t bytes_tensors; /* sum of the parts below */
    uint64_t bytes_embedding;
    uint64_t bytes_unembedding; /* 0 when tied */
    uint64_t bytes_attention;
    uint64_t bytes_router;
    uint64_t bytes_norms;
    uint64_t bytes_expert_weights;
    uint64_t bytes_expert_scales; /* MXFP4 only */
    uint64_t bytes_expert_biases;
    uint64_t bytes_per_token;        /* weights read to decode one token in a batch of one */
    uint64_t bytes_per_token_packed; /* the same of packed weights; foreseen, until they are */
    uint64_t bytes_per_token_sketch; /* the same with a sketch and a clearly likeliest token, so
                                        that of the unembedding its high plane is read; 0 of models
                                        too wide for sketches */
    uint64_t bytes_per_token_both;   /* packed and with a sketch; 0 likewise */
} gptoss_model_info;

GPTOSS_API void gptoss_model_describe(const gptoss_model *model, gptoss_model_info *out);

typedef struct gptoss_tensor_info {
    const char *name;
    const char *dtype; /* as spelled in the file: "BF16", "U8", ... */
    const char *file;  /* path of the file that holds it */
    uint32_t rank;
    uint64_t shape[8];
    uint64_t bytes;
    uint64_t offset; /* of the first byte in the file */
} gptoss_tensor_info;

/* Tensors in the order of their names. `index` must be below the count. */
GPTOSS_API size_t gptoss_model_tensor_count(const gptoss_model *model);
GPTOSS_API void gptoss_model_tensor(const gptoss_model *model, size_t index,
                                    gptoss_tensor_info *out);

/* The weight files, in the order of their names. */
GPTOSS_API size_t gptoss_model_file_count(const gptoss_model *model);
GPTOSS_API const char *gptoss_model_file(const gptoss_model *model, size_t index, uint64_t *bytes);

/*
 * GPTOSS_IO when a weight file was written to or cut short since the model was opened, so that what
 * was computed with it is not to be trusted; the sentence names the file. Files that were removed,
 * or replaced by others of the same name, are still there for this model and do not matter.
 */
GPTOSS_API gptoss_status gptoss_model_unchanged(const gptoss_model *model, gptoss_error *error);

/* SHA-256 of one weight file as 64 hexadecimal digits and a terminating zero. */
GPTOSS_API gptoss_status gptoss_model_file_sha256(const gptoss_model *model, size_t index,
                                                  gptoss_progress_fn progress, void *user,
                                                  char digest[65], gptoss_error *error);

/*
 * What tells this model from others, as 64 hexadecimal digits and a terminating zero: SHA-256 of
 * the architecture, of the names, types and shapes of all tensors and of some blocks of each of
 * them. It takes some milliseconds once these are in memory. A copy of the files elsewhere has the
 * same identity, and so has a synthetic model of the same configuration and seed; a change that
 * leaves the blocks alone is not seen.
 */
GPTOSS_API gptoss_status gptoss_model_identity(const gptoss_model *model, char digest[65],
                                               gptoss_error *error);

/*
 * Reads every weight and looks for NaN, infinity and MXFP4 scales that stand for either (255).
 * Returns GPTOSS_NUMERIC and names the first bad element when there is one.
 */
GPTOSS_API gptoss_status gptoss_model_check(const gptoss_model *model, gptoss_progress_fn progress,
                                            void *user, gptoss_error *error);

/* What gptoss_model_prepare does. Zero-initialised: nothing. */
typedef struct gptoss_prepare_options {
    bool read_ahead;  /* read the weights that are not in memory yet, unless memory is too small */
    bool lock;        /* keep the weights in memory: the system may not drop them */
    bool pack;        /* pack BF16 weights without loss, which takes less memory and bandwidth */
    bool requantise;  /* for executors of precision q8: attention weights in 8 bits besides */
    bool only_q8;     /* there will be no others: do nothing for the attention's original weights */
    bool sketch;      /* make a sketch of the unembedding, so that fewer of its rows are read */
    uint32_t threads; /* 0: the physical cores this process may use */
} gptoss_prepare_options;

/*
 * Does ahead of the first pass what makes passes faster. It changes no result, except that
 * `requantise` rounds the attention's weights for executors of GPTOSS_PRECISION_Q8, which without
 * it take them as they are. To be called before any executor is open on the model. `progress`,
 * which may be NULL, is told bytes. Fails with GPTOSS_MEMORY when weights cannot be locked and,
 * before anything is done, when gptoss_model_prepare_bytes are not available; with
 * GPTOSS_INTERRUPTED when `progress` said so; the model can be used and prepared again after that.
 */
GPTOSS_API gptoss_status gptoss_model_prepare(gptoss_model *model,
                                              const gptoss_prepare_options *options,
                                              gptoss_progress_fn progress, void *user,
                                              gptoss_error *error);

/* About how many bytes gptoss_model_prepare would take for other forms of the weights, beside the
 * mapped files. What it has done already takes none. */
GPTOSS_API uint64_t gptoss_model_prepare_bytes(const gptoss_model *model,
                                               const gptoss_prepare_options *options);

/* Bytes a run needs and what the machine (or its cgroup) has. */
typedef struct gptoss_memory {
    uint64_t weights;   /* mapped from files; can be dropped and read again, at a price; 0 of a
                           synthetic model, which has taken its memory */
    uint64_t cache;     /* keys and values of one sequence, filled to `context` */
    uint64_t scratch;   /* the executor's work space, logits included */
    uint64_t marks;     /* what going back takes: as many marks as are kept, and the tokens' ids */
    uint64_t available; /* memory that can still be taken without swapping; 0: unknown */
    uint64_t machine;   /* memory in all */
} gptoss_memory;

#define GPTOSS_DEFAULT_CHUNK 512
#define GPTOSS_MAX_CHUNK     65536

/* How a sequence's keys and values are kept. */
typedef enum gptoss_cache_format {
    GPTOSS_CACHE_F32,
    GPTOSS_CACHE_BF16, /* rounded to nearest, ties to even: half the memory and the reading */
} gptoss_cache_format;

/* "f32" or "bf16". */
GPTOSS_API const char *gptoss_cache_format_name(gptoss_cache_format format);

typedef struct gptoss_sequence_options {
    uint32_t context; /* most positions; 0: the most that the model is made for */
    uint32_t chunk;   /* most rows fed at a time, at most GPTOSS_MAX_CHUNK; 0: the default */
    gptoss_cache_format cache;
} gptoss_sequence_options;

/* Foresees the memory for one sequence, which is fed by an executor of the same chunk. `options`
 * may be NULL. */
GPTOSS_API void gptoss_model_forecast(const gptoss_model *model,
                                      const gptoss_sequence_options *options, gptoss_memory *out);

/* ---- tokenizer ------------------------------------------------------------------------------- */

typedef struct gptoss_tokenizer gptoss_tokenizer;

/*
 * Opens a tokenizer from `path`: a tokenizer.json, a .tiktoken file (o200k_base ranks; harmony's
 * special tokens are added), or a directory, in which and then above which tokenizer.json and
 * *.tiktoken are looked for. The merges and their order are the file's; the pre-tokenizer must be
 * that of o200k, and whatever else would change the ids is refused (GPTOSS_UNSUPPORTED).
 */
GPTOSS_API gptoss_status gptoss_tokenizer_open(const char *path, gptoss_tokenizer **out,
                                               gptoss_error *error);
GPTOSS_API void gptoss_tokenizer_close(gptoss_tokenizer *tokenizer);

/* Whether gptoss_tokenizer_open has something to open at `path`, which says nothing of whether it
 * can be read. True also where that cannot be found out. */
GPTOSS_API bool gptoss_tokenizer_exists(const char *path);

/* One more than the largest id that has a token. */
GPTOSS_API uint32_t gptoss_tokenizer_size(const gptoss_tokenizer *tokenizer);

/* Bytes of a token, not terminated; NULL and *length 0 when the id has none. */
GPTOSS_API const char *gptoss_tokenizer_bytes(const gptoss_tokenizer *tokenizer, uint32_t id,
                                              size_t *length);

/* Whether the id is a control token such as <|start|>. */
GPTOSS_API bool gptoss_tokenizer_is_special(const gptoss_tokenizer *tokenizer, uint32_t id);

/* Finds a special token by its text, e.g. "<|return|>". Returns false when there is none. */
GPTOSS_API bool gptoss_tokenizer_special(const gptoss_tokenizer *tokenizer, const char *text,
                                         uint32_t *id);

/*
 * Encodes `length` bytes. Special tokens written in the text stay text unless `specials` is true;
 * tokens that a tokenizer.json adds without calling them special are found in any text. Takes
 * O(n log n) time, and for one word without a break about 40 bytes of memory per byte. Invalid
 * UTF-8 is encoded as U+FFFD, one for each maximal ill-formed part. *ids is allocated with
 * malloc and is the caller's to free, also when *count is 0.
 */
GPTOSS_API gptoss_status gptoss_tokenizer_encode(const gptoss_tokenizer *tokenizer,
                                                 const char *text, size_t length, bool specials,
                                                 uint32_t **ids, size_t *count,
                                                 gptoss_error *error);

/*
 * Turns tokens into text one at a time, holding back a UTF-8 sequence that is not complete yet.
 * Zero-initialise; invalid bytes come out as U+FFFD.
 */
typedef struct gptoss_utf8_stream {
    uint8_t pending[4];
    uint8_t count;
} gptoss_utf8_stream;

/* Most bytes that `length` bytes of input can add to the output. */
#define GPTOSS_UTF8_ROOM(length) (3 * ((length) + 4))

/* Feeds bytes and writes complete, valid UTF-8 to `out`, which has GPTOSS_UTF8_ROOM(length) bytes.
 * Returns how many were written. */
GPTOSS_API size_t gptoss_utf8_push(gptoss_utf8_stream *stream, const char *bytes, size_t length,
                                   char *out);

/* Ends the stream: an incomplete sequence becomes U+FFFD. `out` has GPTOSS_UTF8_ROOM(0) bytes. */
GPTOSS_API size_t gptoss_utf8_end(gptoss_utf8_stream *stream, char *out);

/* ---- conversations: the harmony format ------------------------------------------------------- */

/* `length` bytes of UTF-8 that belong to someone else. `data` NULL: there is none, which is not the
 * same as an empty text. */
typedef struct gptoss_text {
    const char *data;
    size_t length;
} gptoss_text;

typedef enum gptoss_role {
    GPTOSS_ROLE_ASSISTANT,
    GPTOSS_ROLE_USER,
    GPTOSS_ROLE_SYSTEM,
    GPTOSS_ROLE_DEVELOPER,
    GPTOSS_ROLE_TOOL,
} gptoss_role;

/* "assistant", "user", "system", "developer" or "tool". */
GPTOSS_API const char *gptoss_role_name(gptoss_role role);

/* The role of that name; false when there is none. */
GPTOSS_API bool gptoss_role_find(const char *name, size_t length, gptoss_role *out);

typedef enum gptoss_effort {
    GPTOSS_EFFORT_NONE, /* not told to the model */
    GPTOSS_EFFORT_LOW,
    GPTOSS_EFFORT_MEDIUM,
    GPTOSS_EFFORT_HIGH,
} gptoss_effort;

/* A function that the model may call. `parameters` is the JSON schema of its argument, an object;
 * none when it has no argument. */
typedef struct gptoss_tool {
    gptoss_text name;
    gptoss_text description;
    gptoss_text parameters;
} gptoss_tool;

/* Functions that a program offers. */
typedef struct gptoss_tool_list gptoss_tool_list;

/*
 * Reads functions from JSON: a list of {"type": "function", "function": {"name", "description",
 * "parameters"}} as OpenAI's API takes them, or of the inner objects alone, or an object with such
 * a list as its member "tools". Tells the byte of a fault and refuses it (GPTOSS_FORMAT), and so it
 * does a name that is not made of letters, digits, _ and -, and one that is there twice. `what`
 * names the text in errors. A description may be missing, and is empty then.
 */
GPTOSS_API gptoss_status gptoss_tool_list_read(const char *json, size_t length, const char *what,
                                               gptoss_tool_list **out, gptoss_error *error);
GPTOSS_API void gptoss_tool_list_close(gptoss_tool_list *list);

/* The functions, which live as long as the list. */
GPTOSS_API const gptoss_tool *gptoss_tool_list_tools(const gptoss_tool_list *list, size_t *count);

/* The tools NAME.TOOL. One without tools is but its description, as python is. */
typedef struct gptoss_tool_namespace {
    gptoss_text name;
    gptoss_text description; /* may be none */
    const gptoss_tool *tools;
    size_t tool_count;
} gptoss_tool_namespace;

/* The namespaces browser and python as gpt-oss knows them. */
GPTOSS_API const gptoss_tool_namespace *gptoss_browser_tools(void);
GPTOSS_API const gptoss_tool_namespace *gptoss_python_tool(void);

/* What a system message tells the model. Whatever is none, empty or 0 is left out. */
typedef struct gptoss_system_content {
    gptoss_text identity;
    gptoss_text knowledge_cutoff;
    gptoss_text date; /* of the conversation, YYYY-MM-DD */
    gptoss_effort effort;
    const gptoss_text *channels; /* that the model may write to */
    size_t channel_count;
    bool channel_required;
    const gptoss_tool_namespace *namespaces; /* in any order: they are rendered sorted by name */
    size_t namespace_count;
} gptoss_system_content;

/* What gpt-oss was trained with: its identity, the cutoff 2024-06, medium effort, and the channels
 * analysis, commentary and final, one of which is required. No date and no tools. */
GPTOSS_API gptoss_system_content gptoss_system_defaults(void);

/* What a developer message tells the model: instructions (a chat's "system prompt") and tools. A
 * conversation's functions are in the namespace "functions". */
typedef struct gptoss_developer_content {
    gptoss_text instructions;
    const gptoss_tool_namespace *namespaces;
    size_t namespace_count;
} gptoss_developer_content;

typedef enum gptoss_content_kind {
    GPTOSS_CONTENT_TEXT,
    GPTOSS_CONTENT_SYSTEM,    /* in system messages only */
    GPTOSS_CONTENT_DEVELOPER, /* in developer messages only */
} gptoss_content_kind;

/* One part of a message's content; the member of its kind counts. */
typedef struct gptoss_content {
    gptoss_content_kind kind;
    gptoss_text text;
    gptoss_system_content system;
    gptoss_developer_content developer;
} gptoss_content;

typedef struct gptoss_message {
    gptoss_role role;
    gptoss_text name;      /* of the author; a tool must have one, such as functions.get_weather */
    gptoss_text recipient; /* such as functions.get_weather in a call */
    gptoss_text channel;   /* such as analysis, commentary or final */
    gptoss_text content_type; /* such as json or <|constrain|>json */
    const gptoss_content *content;
    size_t content_count;
} gptoss_message;

typedef struct gptoss_conversation gptoss_conversation;

/*
 * Reads a conversation from JSON as openai-harmony writes it: {"messages": [...]}, or the array
 * alone. Tells the byte of a fault and refuses it (GPTOSS_FORMAT). `what` names the text in errors.
 * docs/HARMONY.md describes the format.
 */
GPTOSS_API gptoss_status gptoss_conversation_read(const char *json, size_t length, const char *what,
                                                  gptoss_conversation **out, gptoss_error *error);
GPTOSS_API void gptoss_conversation_close(gptoss_conversation *conversation);

/* The messages, which live as long as the conversation. */
GPTOSS_API const gptoss_message *
gptoss_conversation_messages(const gptoss_conversation *conversation, size_t *count);

/* Which messages of a conversation the model is shown again. */
typedef enum gptoss_history {
    /* As openai-harmony: when the last message of the assistant is final, what is in the channel
     * analysis before the first final message is left out. */
    GPTOSS_HISTORY_HARMONY,
    /* As a chat should: what is in the channel analysis is left out when a final message and then
     * one of the user's came after it. So the turn under way keeps its analysis, tool calls too. */
    GPTOSS_HISTORY_TURNS,
    GPTOSS_HISTORY_ALL,
} gptoss_history;

/* What follows the last message. */
typedef enum gptoss_ending {
    GPTOSS_ENDING_COMPLETION, /* <|start|> and the next role: the model goes on from there */
    GPTOSS_ENDING_NONE,
    GPTOSS_ENDING_TRAINING, /* nothing, and a last final message ends with <|return|> */
} gptoss_ending;

/* Zeros are the common case: a prompt for the assistant. */
typedef struct gptoss_render_options {
    gptoss_history history;
    gptoss_ending ending;
    gptoss_role next_role; /* for GPTOSS_ENDING_COMPLETION */
} gptoss_render_options;

/*
 * Turns messages into the tokens that the model is fed, the same as openai-harmony 0.0.8 does. Text
 * is encoded as text, so that nothing in it becomes a control token. `options` may be NULL. Refused
 * are a tool without a name, content in a message of another role and a schema that is no JSON
 * (GPTOSS_FORMAT), and a tokenizer without harmony's control tokens (GPTOSS_UNSUPPORTED). *ids is
 * the caller's to free.
 */
GPTOSS_API gptoss_status gptoss_render(const gptoss_tokenizer *tokenizer,
                                       const gptoss_message *messages, size_t count,
                                       const gptoss_render_options *options, uint32_t **ids,
                                       size_t *id_count, gptoss_error *error);

/* How a message in a stream of tokens ended. */
typedef enum gptoss_message_end {
    GPTOSS_ENDED_MESSAGE, /* <|end|>: another message follows */
    GPTOSS_ENDED_TURN,    /* <|return|>: the turn is over */
    GPTOSS_ENDED_CALL,    /* <|call|>: the recipient's result is waited for */
    GPTOSS_ENDED_CUT,     /* none of these: the stream ended, or another message began */
} gptoss_message_end;

typedef enum gptoss_parser_event_kind {
    GPTOSS_PARSER_BEGIN, /* a message's header is complete */
    GPTOSS_PARSER_TEXT,  /* more of its content */
    GPTOSS_PARSER_END,   /* its content is complete */
} gptoss_parser_event_kind;

/* Valid during the call. */
typedef struct gptoss_parser_event {
    gptoss_parser_event_kind kind;
    const gptoss_message *message; /* its content is there with GPTOSS_PARSER_END only */
    gptoss_text text;              /* GPTOSS_PARSER_TEXT: whole characters */
    gptoss_message_end end;        /* GPTOSS_PARSER_END */
} gptoss_parser_event;

typedef void (*gptoss_parser_fn)(void *user, const gptoss_parser_event *event);

/*
 * Takes a model's tokens apart into messages. A strict parser refuses what openai-harmony 0.0.8
 * refuses, and makes the same messages of the rest. A forgiving one (strict false) refuses nothing
 * and loses nothing: what stands where a header should be becomes content, and control tokens that
 * shape messages (<|start|>, <|channel|>, <|message|>, <|end|>, <|call|>, <|return|>) are never
 * content. Bytes that are no UTF-8 become U+FFFD in both.
 */
typedef struct gptoss_parser gptoss_parser;

/* Zeros: a forgiving parser of what follows a prompt that ended with <|start|>assistant. */
typedef struct gptoss_parser_options {
    bool strict;
    bool from_start;        /* the stream begins with <|start|>; `role` is not used */
    gptoss_role role;       /* of the first message */
    gptoss_parser_fn event; /* may be NULL */
    void *user;
} gptoss_parser_options;

/* `options` may be NULL. The tokenizer must outlive the parser and have harmony's control tokens
 * (GPTOSS_UNSUPPORTED). */
GPTOSS_API gptoss_status gptoss_parser_open(const gptoss_tokenizer *tokenizer,
                                            const gptoss_parser_options *options,
                                            gptoss_parser **out, gptoss_error *error);
GPTOSS_API void gptoss_parser_close(gptoss_parser *parser);

/* Takes the next token. After a refusal (GPTOSS_FORMAT) a strict parser refuses all that follows.
 */
GPTOSS_API gptoss_status gptoss_parser_push(gptoss_parser *parser, uint32_t id,
                                            gptoss_error *error);

/* Ends the stream, and with it the message under way. */
GPTOSS_API gptoss_status gptoss_parser_end(gptoss_parser *parser, gptoss_error *error);

/* The messages that are complete; the array until the next push, what it points to as long as the
 * parser. Each has one content, a text. */
GPTOSS_API const gptoss_message *gptoss_parser_messages(const gptoss_parser *parser, size_t *count);

/* ---- prompts in files ------------------------------------------------------------------------ */

/* One line of such a file. */
typedef struct gptoss_prompt {
    gptoss_text text;    /* "prompt"; none when there are ids */
    const uint32_t *ids; /* "ids", [id_count] */
    size_t id_count;
    gptoss_text id; /* "id": what the caller calls it, as JSON; none when it has no name */
    bool has_max_tokens;
    uint32_t max_tokens; /* "n" */
    bool has_seed;
    uint64_t seed; /* "seed" */
    size_t line;   /* counted from 1 */
} gptoss_prompt;

typedef struct gptoss_prompt_list gptoss_prompt_list;

/*
 * Reads prompts, one JSON object a line: {"prompt": "text"} or {"ids": [1, 2]}, and with them, as
 * wanted, "n", "seed" and "id", a string or a number. Lines of white space are skipped. A line with
 * anything else is refused with its number (GPTOSS_FORMAT), and so is a file without a prompt.
 * `what` names the file in errors.
 */
GPTOSS_API gptoss_status gptoss_prompts_read(const char *lines, size_t length, const char *what,
                                             gptoss_prompt_list **out, gptoss_error *error);
GPTOSS_API void gptoss_prompts_close(gptoss_prompt_list *list);

/* The prompts in the order of their lines, which live as long as the list. */
GPTOSS_API const gptoss_prompt *gptoss_prompts(const gptoss_prompt_list *list, size_t *count);

/* ---- execution ------------------------------------------------------------------------------- */

typedef struct gptoss_sequence gptoss_sequence;
typedef struct gptoss_executor gptoss_executor;

/* How numbers are rounded on their way through the model. */
typedef enum gptoss_numerics {
    GPTOSS_NUMERICS_F32,        /* float32 throughout */
    GPTOSS_NUMERICS_TORCH_BF16, /* to bfloat16 wherever OpenAI's torch code rounds; slow, for parity
                                 */
} gptoss_numerics;

/* "f32" or "torch-bf16". */
GPTOSS_API const char *gptoss_numerics_name(gptoss_numerics numerics);

/*
 * How exactly the inputs of matrix products are kept. Weights are taken as they are stored; sums,
 * the residual stream, norms, softmax and router are float32 in all three. One executor uses one
 * precision for every row, whatever the batch.
 */
typedef enum gptoss_precision {
    GPTOSS_PRECISION_F32,  /* as float32, or in 24 bits per 32 numbers; the same bits at every level
                              of instructions */
    GPTOSS_PRECISION_BF16, /* no coarser than bfloat16: rounded to it where the processor multiplies
                              bfloat16 fastest (Intel's with AMX, AMD's with AVX-512 BF16), else 16
                              bits per 32 numbers for experts and float32 for attention */
    GPTOSS_PRECISION_Q8,   /* in 8 bits per 32 numbers */
} gptoss_precision;

/* "f32", "bf16" or "q8". */
GPTOSS_API const char *gptoss_precision_name(gptoss_precision precision);

/* Whether each thread of a forward pass stays on a physical core of its own while it lasts. */
typedef enum gptoss_pinning {
    GPTOSS_PIN_AUTO, /* when there are as many threads as cores that this process may use, and
                        OpenMP does not bind threads by itself: fewer threads would meet those of
                        other programs on the first cores while others are idle */
    GPTOSS_PIN_ON,   /* unless there are more threads than cores */
    GPTOSS_PIN_OFF,
} gptoss_pinning;

/*
 * Who multiplies weights with batches of many rows. With BLAS, weights are decoded to float32
 * exactly and activations are taken in float32, whatever the precision; its order of summation
 * depends on how many rows there are, so that the last bits of a row depend on the batch and the
 * chunk. Single rows and attention are never its.
 */
typedef enum gptoss_gemm {
    GPTOSS_GEMM_AUTO, /* BLAS where the kernels are those in plain C, many times slower, and the
                         precision is bf16; else this library */
    GPTOSS_GEMM_OWN,  /* this library */
    GPTOSS_GEMM_BLAS, /* not with q8, whose products are of integers, nor with torch's numerics */
} gptoss_gemm;

/* "auto", "own" or "blas". */
GPTOSS_API const char *gptoss_gemm_name(gptoss_gemm gemm);

/* What the BLAS of this build says of itself, the kernels that it chose for this processor among
 * it; NULL when there is none. */
GPTOSS_API const char *gptoss_blas(void);

typedef struct gptoss_executor_options {
    uint32_t threads; /* 0: the physical cores this process may use */
    uint32_t chunk;   /* most rows of one forward pass, at most GPTOSS_MAX_CHUNK; 0: the default */
    gptoss_numerics numerics;
    gptoss_precision precision; /* GPTOSS_NUMERICS_TORCH_BF16 has its own and wants F32 here */
    gptoss_pinning pinning;
    gptoss_gemm gemm;
} gptoss_executor_options;

/* Work space and threads for forward passes over one model, which must outlive it. `options` may
 * be NULL. Forward passes allocate nothing. */
GPTOSS_API gptoss_status gptoss_executor_open(const gptoss_model *model,
                                              const gptoss_executor_options *options,
                                              gptoss_executor **out, gptoss_error *error);
GPTOSS_API void gptoss_executor_close(gptoss_executor *executor);

GPTOSS_API const gptoss_model *gptoss_executor_model(const gptoss_executor *executor);
GPTOSS_API uint32_t gptoss_executor_threads(const gptoss_executor *executor);
GPTOSS_API bool gptoss_executor_pinned(const gptoss_executor *executor);
GPTOSS_API uint32_t gptoss_executor_chunk(const gptoss_executor *executor);
GPTOSS_API gptoss_numerics gptoss_executor_numerics(const gptoss_executor *executor);
GPTOSS_API gptoss_precision gptoss_executor_precision(const gptoss_executor *executor);

/* GPTOSS_GEMM_OWN or GPTOSS_GEMM_BLAS. */
GPTOSS_API gptoss_gemm gptoss_executor_gemm(const gptoss_executor *executor);

/* One timeline of tokens with its keys and values. Address space is reserved at once, memory is
 * taken as the timeline grows. `options` may be NULL. */
GPTOSS_API gptoss_status gptoss_sequence_open(const gptoss_model *model,
                                              const gptoss_sequence_options *options,
                                              gptoss_sequence **out, gptoss_error *error);
GPTOSS_API void gptoss_sequence_close(gptoss_sequence *sequence);

GPTOSS_API uint32_t gptoss_sequence_length(const gptoss_sequence *sequence);
GPTOSS_API uint32_t gptoss_sequence_context(const gptoss_sequence *sequence);
GPTOSS_API gptoss_cache_format gptoss_sequence_cache(const gptoss_sequence *sequence);

/* The tokens that the sequence holds, [gptoss_sequence_length]; valid until it changes. */
GPTOSS_API const uint32_t *gptoss_sequence_tokens(const gptoss_sequence *sequence);

/* Forgets every token and mark and gives their memory back. */
GPTOSS_API void gptoss_sequence_clear(gptoss_sequence *sequence);

#define GPTOSS_MAX_MARKS 16

/*
 * Marks the present length: keeps what the sliding layers hold, so that the sequence can come back
 * here after their rings have moved on. The last GPTOSS_MAX_MARKS marks are kept; going back
 * forgets those that lie further on. Marking a length again changes nothing. A mark takes the
 * memory of a window in every sliding layer; on failure (GPTOSS_MEMORY) nothing has changed.
 */
GPTOSS_API gptoss_status gptoss_sequence_mark(gptoss_sequence *sequence, gptoss_error *error);

/* The same for an earlier length, so that a prompt can be fed at once and be marked within. Up to
 * `chunk` tokens before the present one that is possible; further back it may be refused
 * (GPTOSS_LIMIT), as going there would be. */
GPTOSS_API gptoss_status gptoss_sequence_mark_at(gptoss_sequence *sequence, uint32_t length,
                                                 gptoss_error *error);

/*
 * Forgets the tokens from position `length` on, so that the timeline can go on differently there.
 * Going back is always possible to a mark, to 0, and by up to `chunk` positions from the furthest
 * that was fed since the start or since the mark that was last gone back to, but not before that
 * mark. Elsewhere it may be refused (GPTOSS_LIMIT), since the sliding layers keep the last window
 * and chunk of positions only, and then nothing has changed.
 */
GPTOSS_API gptoss_status gptoss_sequence_rewind(gptoss_sequence *sequence, uint32_t length,
                                                gptoss_error *error);

/*
 * Goes back as little as possible, so that what the sequence holds is a beginning of `tokens` and
 * at least one of them is left to feed. Returns the new length: the caller feeds
 * tokens[length .. count). It never fails: at worst the sequence starts again at 0, as it does
 * when `count` is 0.
 */
GPTOSS_API uint32_t gptoss_sequence_resume(gptoss_sequence *sequence, const uint32_t *tokens,
                                           size_t count);

/* One token at one place of one sequence. */
typedef struct gptoss_row {
    gptoss_sequence *sequence;
    uint32_t position;
    uint32_t token;
    bool want_logits;
} gptoss_row;

/*
 * Runs the transformer over `count` rows. The rows of one sequence have consecutive positions, the
 * first of which is the sequence's length; the sequences grow by their rows. *logits becomes
 * [rows that want them, vocab] in the order of the rows and lives until the next call; NULL when no
 * row does. A row that wants none leaves its key and its value in the last layer and is not
 * followed further, unless a tap is set. Without BLAS, a row's results do not depend on the other
 * rows, on threads or on chunks: bit for bit. On failure no sequence has grown. Source: the model
 * as published in OpenAI's torch code, in float32; docs/MODEL.md has the formulas.
 */
GPTOSS_API gptoss_status gptoss_executor_forward(gptoss_executor *executor, const gptoss_row *rows,
                                                 size_t count, const float **logits,
                                                 gptoss_error *error);

/*
 * Appends `count` tokens to a sequence in chunks. *logits becomes [vocab], those after the last
 * token, or is left alone when logits is NULL. `progress` may be NULL; it is asked before each
 * layer of each chunk, and an interrupted sequence keeps the chunks before.
 */
GPTOSS_API gptoss_status gptoss_executor_feed(gptoss_executor *executor, gptoss_sequence *sequence,
                                              const uint32_t *tokens, size_t count,
                                              gptoss_progress_fn progress, void *user,
                                              const float **logits, gptoss_error *error);

/* What a pass consists of, as far as its time is told apart. */
typedef enum gptoss_operation {
    GPTOSS_OPERATION_EMBEDDING, /* rows of it, and the angles of the positions */
    GPTOSS_OPERATION_NORM,      /* attention's, the experts' and the final one */
    GPTOSS_OPERATION_QUANTISE,  /* inputs of products into fixed point */
    GPTOSS_OPERATION_QKV,       /* projections to queries, keys and values */
    GPTOSS_OPERATION_ROTARY,    /* with storing keys and values */
    GPTOSS_OPERATION_ATTENTION, /* queries with keys and values */
    GPTOSS_OPERATION_ATTENTION_OUT,
    GPTOSS_OPERATION_RESIDUAL, /* adding to it */
    GPTOSS_OPERATION_ROUTER,   /* its product */
    GPTOSS_OPERATION_ROUTING,  /* choosing, weighing and sorting experts */
    GPTOSS_OPERATION_GATE_UP,
    GPTOSS_OPERATION_ACTIVATION,
    GPTOSS_OPERATION_DOWN,
    GPTOSS_OPERATION_COMBINE,
    GPTOSS_OPERATION_UNEMBEDDING, /* logits, or the search for a token without them */
    GPTOSS_OPERATION_COUNT
} gptoss_operation;

/* "embedding", "norm", ..., "unembedding". */
GPTOSS_API const char *gptoss_operation_name(gptoss_operation operation);

/* Whether it is a matrix product or attention. */
GPTOSS_API bool gptoss_operation_multiplies(gptoss_operation operation);

typedef struct gptoss_work {
    uint64_t nanoseconds; /* until the last thread was done */
    uint64_t bytes;       /* of weights, or of keys and values */
    uint64_t flops;       /* of matrix products and attention */
} gptoss_work;

/*
 * What an executor's passes have read and computed since it was opened. Bytes are of memory that
 * differs within a pass: a weight counts once for each pass that needs it, whatever the number of
 * rows, an expert only when it was chosen. Every multiply-add counts two operations.
 */
typedef struct gptoss_statistics {
    uint64_t passes;
    uint64_t rows;
    uint64_t logit_rows;
    uint64_t experts; /* read, over passes and layers */
    gptoss_work work[GPTOSS_OPERATION_COUNT];
} gptoss_statistics;

GPTOSS_API void gptoss_executor_statistics(const gptoss_executor *executor, gptoss_statistics *out);

/* What the machine can do. */
typedef struct gptoss_probe_result {
    uint32_t threads;
    double bytes_per_second; /* reading memory in order, on all threads together */
    double flops_per_second; /* float32 multiply-adds in registers, two operations each */
} gptoss_probe_result;

/* Measures it on `threads` threads (0: the physical cores), in about half a second. Takes up to
 * 1 GiB of memory meanwhile. */
GPTOSS_API gptoss_status gptoss_probe(uint32_t threads, gptoss_probe_result *out,
                                      gptoss_error *error);

/*
 * The values on the way through the model, in the order in which they are computed; docs/PARITY.md
 * has their shapes and formulas. All but the first and the last two exist once per layer.
 */
typedef enum gptoss_stage {
    GPTOSS_STAGE_EMBEDDING,          /* [hidden] */
    GPTOSS_STAGE_ATTENTION_NORM,     /* [hidden] */
    GPTOSS_STAGE_Q,                  /* [heads * head_dim] before the rotary embedding */
    GPTOSS_STAGE_K,                  /* [kv_heads * head_dim] */
    GPTOSS_STAGE_V,                  /* [kv_heads * head_dim] */
    GPTOSS_STAGE_Q_ROTARY,           /* [heads * head_dim] */
    GPTOSS_STAGE_K_ROTARY,           /* [kv_heads * head_dim] */
    GPTOSS_STAGE_SINK_MASS,          /* [heads] the sink's share of the softmax */
    GPTOSS_STAGE_ATTENTION,          /* [heads * head_dim] before the output projection */
    GPTOSS_STAGE_ATTENTION_OUT,      /* [hidden] after it */
    GPTOSS_STAGE_ATTENTION_RESIDUAL, /* [hidden] the residual after the attention */
    GPTOSS_STAGE_MLP_NORM,           /* [hidden] */
    GPTOSS_STAGE_ROUTER,             /* [experts] logits */
    GPTOSS_STAGE_EXPERTS,            /* [experts_per_token] ids, descending router logit */
    GPTOSS_STAGE_ROUTING_WEIGHTS,    /* [experts_per_token] */
    GPTOSS_STAGE_GATE_UP,            /* [experts_per_token, 2 * intermediate] interleaved */
    GPTOSS_STAGE_ACTIVATED,          /* [experts_per_token, intermediate] */
    GPTOSS_STAGE_EXPERT_OUT,         /* [experts_per_token, hidden] before weighting */
    GPTOSS_STAGE_COMBINED,           /* [hidden] */
    GPTOSS_STAGE_RESIDUAL,           /* [hidden] the residual after the layer */
    GPTOSS_STAGE_FINAL_NORM,         /* [hidden] */
    GPTOSS_STAGE_LOGITS,             /* [vocab] of the rows that want logits */
    GPTOSS_STAGE_COUNT
} gptoss_stage;

/* "embedding", "attention_norm", ..., "logits"; and the stage of a name, GPTOSS_STAGE_COUNT when
 * there is none. */
GPTOSS_API const char *gptoss_stage_name(gptoss_stage stage);
GPTOSS_API gptoss_stage gptoss_stage_named(const char *name);

/* Whether the stage exists once per layer. */
GPTOSS_API bool gptoss_stage_per_layer(gptoss_stage stage);

/* Whether the stage has a piece for each chosen expert: GPTOSS_STAGE_GATE_UP to _EXPERT_OUT. */
GPTOSS_API bool gptoss_stage_per_expert(gptoss_stage stage);

/* The pieces of a row: experts_per_token of a stage per expert, else 1. */
GPTOSS_API size_t gptoss_stage_pieces(gptoss_stage stage, const gptoss_config *config);

/* The numbers of a piece. */
GPTOSS_API size_t gptoss_stage_columns(gptoss_stage stage, const gptoss_config *config);

/* A value on its way through the model. Valid during the call only. */
typedef struct gptoss_tap_view {
    gptoss_stage stage;
    uint32_t layer; /* 0 for stages outside the layers */
    size_t rows;
    size_t pieces;             /* of a row */
    size_t columns;            /* of a piece */
    const uint32_t *positions; /* [rows] in their sequences */
    float *data;               /* NULL for GPTOSS_STAGE_EXPERTS */
    uint32_t *ids;             /* [rows, columns] of GPTOSS_STAGE_EXPERTS, else NULL */
    size_t stride;             /* floats from a piece to the next */
    const uint32_t *order;     /* [rows * pieces] which piece lies where; NULL: in order */
} gptoss_tap_view;

/* The `columns` numbers of a piece. */
static inline float *gptoss_tap_piece(const gptoss_tap_view *view, size_t row, size_t piece)
{
    size_t index = row * view->pieces + piece;
    return view->data + (view->order == NULL ? index : view->order[index]) * view->stride;
}

/* May overwrite what it is shown (numbers, or ids below the number of experts, each once in a
 * row): the pass goes on with what it finds afterwards. */
typedef void (*gptoss_tap_fn)(void *user, const gptoss_tap_view *view);

/* Shows every stage of the following forward passes to `tap`; NULL ends it. */
GPTOSS_API void gptoss_executor_tap(gptoss_executor *executor, gptoss_tap_fn tap, void *user);

/* ---- sessions: sequences in files ------------------------------------------------------------ */

/*
 * Writes what the sequence holds, its marks and `note_length` bytes that are the caller's own to
 * `path`. The file appears under its name when it is complete and on the disk; until then, and when
 * anything fails, a file that had the name stays as it was. Only its owner may read it. It takes
 * about as many bytes as the keys and values of the tokens.
 */
GPTOSS_API gptoss_status gptoss_sequence_save(const gptoss_sequence *sequence, const char *note,
                                              size_t note_length, const char *path,
                                              gptoss_error *error);

/*
 * Reads such a file into a new sequence, which goes on with the same bits. Context and chunk are
 * those of `options` and need not be those of the sequence that was saved; its cache must be kept
 * as the file's is (GPTOSS_USAGE), and is when `options` is NULL. Refused are files that are no
 * sessions, damaged in any byte or cut short, or of a model with another identity (GPTOSS_FORMAT),
 * of a later version (GPTOSS_UNSUPPORTED), and with more tokens than the context has room for
 * (GPTOSS_LIMIT). *note is a copy of the note with a zero behind it, the caller's to free.
 */
GPTOSS_API gptoss_status gptoss_sequence_load(const gptoss_model *model, const char *path,
                                              const gptoss_sequence_options *options,
                                              gptoss_sequence **out, char **note,
                                              size_t *note_length, gptoss_error *error);

/* ---- sampling and generation ----------------------------------------------------------------- */

typedef struct gptoss_sampler gptoss_sampler;

/* A token and the natural logarithm of its probability before any filter, or NaN where that is not
 * asked for. */
typedef struct gptoss_choice {
    uint32_t id;
    float logprob;
} gptoss_choice;

/* `tokenizer` may be NULL; with one, ids that have no token are never chosen. */
GPTOSS_API gptoss_status gptoss_sampler_open(uint32_t vocab, const gptoss_tokenizer *tokenizer,
                                             const gptoss_sampling *sampling, gptoss_sampler **out,
                                             gptoss_error *error);
GPTOSS_API void gptoss_sampler_close(gptoss_sampler *sampler);

/*
 * Chooses a token from logits [vocab] for the given position: Gumbel-max over the filtered tokens,
 * the noise a function of (seed, position, id) alone. Fails with GPTOSS_NUMERIC when a logit is
 * NaN.
 */
GPTOSS_API gptoss_status gptoss_sampler_choose(gptoss_sampler *sampler, const float *logits,
                                               uint32_t position, gptoss_choice *out,
                                               gptoss_error *error);

/*
 * Appends `count` tokens, at least 1, as gptoss_executor_feed does, and chooses the next one: the
 * token that gptoss_sampler_choose would choose with the logits after the last. Where the model has
 * a sketch (gptoss_model_prepare) only the logits that can matter are computed, whatever the
 * sampling, but for top_p without top_k, top_k above 1024 and while a tap is set. out->logprob is
 * NaN: a probability takes all logits. When choosing fails the sequence has grown.
 */
GPTOSS_API gptoss_status gptoss_executor_feed_choose(gptoss_executor *executor,
                                                     gptoss_sequence *sequence,
                                                     const uint32_t *tokens, size_t count,
                                                     gptoss_sampler *sampler,
                                                     gptoss_progress_fn progress, void *user,
                                                     gptoss_choice *out, gptoss_error *error);

/* What gptoss_executor_feed_choose has read to choose, since the executor was opened. */
typedef struct gptoss_unembedded {
    uint64_t tokens;     /* chosen */
    uint64_t from_all;   /* of them, those for which all logits were computed */
    uint64_t high_rows;  /* rows of the sketch's high plane, */
    uint64_t low_rows;   /* of its low plane, */
    uint64_t exact_rows; /* and of the unembedding, besides those of `from_all` */
} gptoss_unembedded;

GPTOSS_API void gptoss_executor_unembedded(const gptoss_executor *executor, gptoss_unembedded *out);

/* The `count` likeliest tokens, best first, ties by id. Returns how many there are. */
GPTOSS_API size_t gptoss_sampler_top(gptoss_sampler *sampler, const float *logits, size_t count,
                                     gptoss_choice *out);

/* log softmax(logits)[id] in double precision, natural logarithm. */
GPTOSS_API double gptoss_logprob(const float *logits, uint32_t vocab, uint32_t id);

/* Why a generation ended. */
typedef enum gptoss_stop {
    GPTOSS_STOP_TOKEN,  /* a stop token came */
    GPTOSS_STOP_TEXT,   /* a stop text came */
    GPTOSS_STOP_LENGTH, /* max_tokens reached or the context is full */
    GPTOSS_STOP_CALLER, /* on_token returned false */
} gptoss_stop;

/* "token", "text", "length" or "interrupted". */
GPTOSS_API const char *gptoss_stop_name(gptoss_stop stop);

/* One generated token as the caller sees it. */
typedef struct gptoss_generated {
    gptoss_choice choice;
    const char *text; /* complete UTF-8 that may be shown now, not terminated; possibly empty */
    size_t text_length;
    const gptoss_choice *top; /* the likeliest tokens at this place, when asked for */
    size_t top_count;
} gptoss_generated;

/* Returns false to stop. */
typedef bool (*gptoss_token_fn)(void *user, const gptoss_generated *token);

typedef struct gptoss_request {
    const uint32_t *prompt;
    size_t prompt_count; /* at least 1 */
    uint32_t max_tokens; /* UINT32_MAX: until something else stops it */
    gptoss_sampling sampling;
    bool ignore_stops;             /* do not end at stop tokens */
    const char *const *stop_texts; /* the text ends before the first of these; need a tokenizer */
    size_t stop_text_count;
    size_t top_count; /* how many alternatives to report for each token */
    bool logprobs;    /* report the tokens' probabilities; they are with top_count above 0, too */
    gptoss_token_fn on_token;
    gptoss_progress_fn on_prompt; /* told about the prompt's progress; may be NULL */
    void *user;
} gptoss_request;

typedef struct gptoss_result {
    gptoss_stop stop;
    uint32_t stop_id;        /* for GPTOSS_STOP_TOKEN; not among the generated tokens */
    uint32_t tokens;         /* generated and handed to on_token */
    double prompt_seconds;   /* until the first token is chosen */
    double generate_seconds; /* after that */
} gptoss_result;

/*
 * Feeds the prompt to `sequence` and generates. `tokenizer` may be NULL: then the texts are empty.
 * Stop tokens are those of the model's configuration and, with a tokenizer, <|return|>, <|call|>
 * and <|endoftext|>. Text that could be the start of a stop text is held back until it is known.
 * A final on_token call with top_count 0 and choice.id UINT32_MAX hands over held-back text, if
 * any.
 */
GPTOSS_API gptoss_status gptoss_generate(gptoss_executor *executor, gptoss_sequence *sequence,
                                         const gptoss_tokenizer *tokenizer,
                                         const gptoss_request *request, gptoss_result *result,
                                         gptoss_error *error);

/* ---- dumps ----------------------------------------------------------------------------------- */

/* What a dump holds. */
typedef struct gptoss_dump_options {
    uint32_t stages;           /* bit 1 << stage; 0: embedding, residual and logits */
    uint32_t layer_begin;      /* of the stages that exist per layer, */
    uint32_t layer_end;        /* below this; 0: to the last */
    const uint32_t *positions; /* ascending, [position_count]; NULL: every token */
    size_t position_count;
    const char *prompt; /* the text that the tokens are of, for the metadata; or NULL */
    bool specials;      /* special tokens in that text were parsed */
} gptoss_dump_options;

/*
 * Writes stages of `tokens` to a safetensors file in the format of docs/PARITY.md: F32 tensors, or
 * BF16 ones of GPTOSS_NUMERICS_TORCH_BF16. `options` may be NULL. The file appears under its name
 * only when it is complete. `progress` may be NULL.
 */
GPTOSS_API gptoss_status gptoss_dump(gptoss_executor *executor, const uint32_t *tokens,
                                     size_t count, const gptoss_dump_options *options,
                                     const char *path, gptoss_progress_fn progress, void *user,
                                     gptoss_error *error);

/* A dump to compare with. */
typedef struct gptoss_reference gptoss_reference;

/*
 * Opens a dump, a .safetensors file or one compressed as .gz (told by its bytes, inflated into
 * memory, at most what is available). All of its structure is checked: names, types, shapes that
 * agree with each other, ids, positions.
 */
GPTOSS_API gptoss_status gptoss_reference_open(const char *path, gptoss_reference **out,
                                               gptoss_error *error);
GPTOSS_API void gptoss_reference_close(gptoss_reference *reference);

/* The tokens that the dump is of. */
GPTOSS_API const uint32_t *gptoss_reference_ids(const gptoss_reference *reference, size_t *count);

/* An entry of the metadata, such as "producer", "dtype", "prompt"; NULL when there is none. */
GPTOSS_API const char *gptoss_reference_metadata(const gptoss_reference *reference,
                                                 const char *key);

/* Whether its numbers are bfloat16. */
GPTOSS_API bool gptoss_reference_is_bf16(const gptoss_reference *reference);

/* ---- parity ---------------------------------------------------------------------------------- */

typedef struct gptoss_parity_options {
    bool isolated;          /* give each stage the reference's own input */
    uint32_t stages;        /* bit 1 << stage of those to compare; 0: all in the dump */
    const char *tolerances; /* path of a JSON file with limits (docs/PARITY.md), or NULL */
} gptoss_parity_options;

/* One number of the comparison. */
typedef struct gptoss_parity_place {
    uint32_t token; /* position */
    uint32_t piece; /* by the reference's order of experts */
    uint32_t column;
    double reference;
    double candidate;
} gptoss_parity_place;

/* What a stage may differ by. NAN: no such limit. */
typedef struct gptoss_parity_limits {
    double max_error;
    double max_difference;
    double max_ulp;
    double nmse;
    double bit_equal; /* at least */
} gptoss_parity_limits;

/* One stage of one layer. */
typedef struct gptoss_parity_stage {
    gptoss_stage stage;
    uint32_t layer;
    size_t rows;      /* compared */
    uint64_t values;  /* compared */
    double max_error; /* largest |difference| / (rms of the reference's piece + |reference|) */
    gptoss_parity_place worst; /* there */
    double max_difference;     /* largest |difference| */
    gptoss_parity_place furthest;
    double max_ulp; /* largest |difference| in units in the last place of the reference's type, at
                       the reference's magnitude or at rms / 256, whichever is larger */
    gptoss_parity_place worst_ulp;
    double nmse;           /* squared differences over squared reference */
    double cosine;         /* of the angle between all values */
    double bit_equal;      /* share of values that are equal, bit for bit in the reference's type */
    double peak_reference; /* largest magnitude */
    double peak_candidate;
    uint64_t not_finite;   /* NaN or infinity of the model */
    uint64_t rows_flipped; /* rows whose sets of experts differ */
    gptoss_parity_limits limits;
    bool pass;
    size_t rows_outside;         /* rows beyond a limit on single values, */
    uint32_t first_outside;      /* the first of them, a position, */
    gptoss_parity_place outside; /* and what takes it there */
    const uint32_t *tokens;      /* [rows] positions */
    const float *row_errors; /* [rows] each row's max_error; INFINITY with a number not finite */
} gptoss_parity_stage;

/* A row for which reference and candidate choose different experts. */
typedef struct gptoss_parity_flip {
    uint32_t layer;
    uint32_t token;
    double margin; /* the least chosen logit of the reference that the candidate left out, less the
                      greatest it took instead; NAN when the dump lacks router logits */
    bool excused;  /* the margin is within the tolerance of router logits */
} gptoss_parity_flip;

/* A position whose likeliest tokens differ. */
typedef struct gptoss_parity_top {
    uint32_t token;     /* position */
    uint32_t reference; /* ids */
    uint32_t candidate;
    double margin; /* reference's logit of its own choice less that of the candidate's */
    double ulp;    /* the margin in units in the last place of the reference's type */
} gptoss_parity_top;

#define GPTOSS_PARITY_TOP_K 5

typedef struct gptoss_parity_report {
    bool pass;
    bool isolated;
    bool departed;               /* the first stage, in order of computation, beyond its limits: */
    size_t departure;            /* index into stages */
    uint32_t departure_token;    /* its first position outside */
    gptoss_parity_stage *stages; /* in order of computation */
    size_t stage_count;
    gptoss_parity_flip *flips;
    size_t flip_count;
    size_t rows_excused;  /* rows behind an excused flip that could not be judged */
    double router_margin; /* flips of at most this margin are excused */
    struct {
        size_t rows;    /* 0: the dump has no logits */
        double kl_mean; /* of reference to candidate, in nats */
        double kl_max;
        uint32_t kl_max_token;
        double top1;  /* share of rows with the same likeliest token */
        double top_k; /* mean share of the GPTOSS_PARITY_TOP_K likeliest that both have */
        gptoss_parity_top *disagreements;
        size_t disagreement_count;
    } logits;
} gptoss_parity_report;

/*
 * Replays the reference's tokens and compares every stage that the dump has. Chained, the model's
 * own values flow from end to end, but for a near tie of the router, where it follows the
 * reference; isolated, each stage is given the reference's value of the one before. A dump whose
 * vocabulary, shapes or layers are not the model's is refused (GPTOSS_FORMAT), and so is one with
 * NaN or infinity in what is compared (GPTOSS_NUMERIC). NaN or infinity of the model is a failure
 * of the stage that shows it, after which no further tokens are replayed. Free *out with
 * gptoss_parity_free. `options` and `progress` may be NULL.
 */
GPTOSS_API gptoss_status gptoss_parity(gptoss_executor *executor, const gptoss_reference *reference,
                                       const gptoss_parity_options *options,
                                       gptoss_progress_fn progress, void *user,
                                       gptoss_parity_report **out, gptoss_error *error);

/* Compares two dumps of the same tokens, in whatever stages, layers and positions both have. */
GPTOSS_API gptoss_status gptoss_parity_dumps(const gptoss_reference *reference,
                                             const gptoss_reference *candidate,
                                             const gptoss_parity_options *options,
                                             gptoss_progress_fn progress, void *user,
                                             gptoss_parity_report **out, gptoss_error *error);
GPTOSS_API void gptoss_parity_free(gptoss_parity_report *report);

#ifdef __cplusplus
}
#endif

#endif
