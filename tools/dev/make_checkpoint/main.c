/* make-checkpoint: writes a random gpt-oss checkpoint of any shape, in any of the three layouts. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "plan.h"
#include "writer.h"

typedef enum kind { KIND_FLAG, KIND_U32, KIND_U64, KIND_NUMBER, KIND_TEXT, KIND_SPECIAL } kind;

typedef struct option_row {
    const char *name;
    kind takes;
    size_t field; /* of a request */
    const char *help;
} option_row;

#define SHAPE(member)   offsetof(request, shape.member)
#define REQUEST(member) offsetof(request, member)

/* A preset given later would undo these, so that it is looked for first. */
static const option_row options[] = {
    {"output", KIND_TEXT, REQUEST(directory), "directory to write to; also -o"},
    {"layout", KIND_SPECIAL, 0, "original, hf-mxfp4 or hf (unquantised experts)"},
    {"dtype", KIND_SPECIAL, 0, "bf16, f16 or f32, of all that is not MXFP4"},
    {"preset", KIND_SPECIAL, 0, "tiny, 20b or 120b: where the shape starts from"},
    {"layers", KIND_U32, SHAPE(layers), "layers"},
    {"hidden", KIND_U32, SHAPE(hidden), "width of the residual"},
    {"intermediate", KIND_U32, SHAPE(intermediate), "width of an expert"},
    {"vocab", KIND_U32, SHAPE(vocab), "rows of the embedding"},
    {"heads", KIND_U32, SHAPE(heads), "query heads"},
    {"kv-heads", KIND_U32, SHAPE(kv_heads), "key and value heads"},
    {"head-dim", KIND_U32, SHAPE(head_dim), "width of a head"},
    {"experts", KIND_U32, SHAPE(experts), "experts of a layer"},
    {"top-k", KIND_U32, SHAPE(top_k), "experts of a token"},
    {"window", KIND_U32, SHAPE(window), "keys that a sliding layer sees"},
    {"layer-types", KIND_TEXT, SHAPE(layer_types), "pattern of s and f, repeated; sf"},
    {"context", KIND_U32, SHAPE(context), "most positions; rope-original * rope-factor"},
    {"rope-theta", KIND_NUMBER, SHAPE(rope_theta), "base of the rotary frequencies"},
    {"rope-factor", KIND_NUMBER, SHAPE(rope_factor), "YaRN's scaling; 1 for none"},
    {"rope-original", KIND_U32, SHAPE(rope_original), "YaRN's original context"},
    {"rope-beta-fast", KIND_NUMBER, SHAPE(rope_beta_fast), "YaRN's upper bound, in turns"},
    {"rope-beta-slow", KIND_NUMBER, SHAPE(rope_beta_slow), "YaRN's lower bound, in turns"},
    {"rope-truncate", KIND_FLAG, SHAPE(rope_truncate), "round the bounds to whole dimensions"},
    {"eps", KIND_NUMBER, SHAPE(norm_eps), "of the norms"},
    {"swiglu-limit", KIND_NUMBER, SHAPE(swiglu_limit), "clamp of the experts' activation"},
    {"swiglu-alpha", KIND_NUMBER, SHAPE(swiglu_alpha), "gain of its sigmoid"},
    {"tied", KIND_FLAG, SHAPE(tied), "unembed with the embedding"},
    {"no-attention-bias", KIND_FLAG, SHAPE(no_attention_bias), "no biases in attention"},
    {"seed", KIND_U64, REQUEST(seed), "the same seed and shape give the same model; 1"},
    {"winners", KIND_FLAG, REQUEST(winners), "the next id's logit stands out, as trained ones do"},
    {"shards", KIND_U32, REQUEST(shards), "files; as published for 20b and 120b, else 1"},
    {"shard-size", KIND_U64, REQUEST(shard_size), "bytes of a file, about"},
    {"no-index", KIND_FLAG, REQUEST(no_index), "no index beside several files"},
    {"sparse", KIND_FLAG, REQUEST(sparse), "headers only; the weights are holes"},
    {"unaligned", KIND_FLAG, REQUEST(unaligned), "tensors begin at odd offsets"},
    {"help", KIND_SPECIAL, 0, "this"},
};
#define OPTION_COUNT (sizeof options / sizeof *options)

static void usage(FILE *out)
{
    fprintf(out, "usage: make-checkpoint -o DIR [option]...\n"
                 "Writes a random checkpoint with unit-scale activations and balanced routing.\n");
    for (size_t i = 0; i < OPTION_COUNT; i++)
        fprintf(out, "  --%-18s %s\n", options[i].name, options[i].help);
}

static void refuse(const char *option, const char *text)
{
    fprintf(stderr, "make-checkpoint: --%s does not take %s\n", option, text);
    exit(2);
}

static uint64_t read_whole(const option_row *option, const char *text, uint64_t most)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || value > most)
        refuse(option->name, text);
    return value;
}

static double read_number(const option_row *option, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value) || value <= 0)
        refuse(option->name, text);
    return value;
}

/* Index of `text` among names; ends the program when it isn't there. */
static unsigned read_choice(const option_row *option, const char *text, const char *const *names,
                            unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(names[i], text) == 0)
            return i;
    refuse(option->name, text);
    return 0;
}

static void set_special(request *wanted, const option_row *option, const char *text)
{
    static const char *const layouts[] = {"original", "hf-mxfp4", "hf"};
    static const char *const dtypes[] = {"bf16", "f16", "f32"};
    static const dtype types[] = {DTYPE_BF16, DTYPE_F16, DTYPE_F32};
    if (strcmp(option->name, "layout") == 0)
        wanted->layout = read_choice(option, text, layouts, 3);
    else if (strcmp(option->name, "dtype") == 0)
        wanted->dtype = types[read_choice(option, text, dtypes, 3)];
    else if (strcmp(option->name, "preset") == 0 && !shape_preset(text, &wanted->shape))
        refuse(option->name, text);
}

static void set(request *wanted, const option_row *option, const char *text)
{
    void *field = (char *)wanted + option->field;
    switch (option->takes) {
    case KIND_FLAG:
        *(bool *)field = true;
        break;
    case KIND_U32:
        *(uint32_t *)field = (uint32_t)read_whole(option, text, UINT32_MAX);
        break;
    case KIND_U64:
        *(uint64_t *)field = read_whole(option, text, UINT64_MAX);
        break;
    case KIND_NUMBER:
        *(double *)field = read_number(option, text);
        break;
    case KIND_TEXT:
        *(const char **)field = text;
        break;
    case KIND_SPECIAL:
        set_special(wanted, option, text);
        break;
    }
}

/* Goes through the arguments and hands over those options that are, or are not, the preset. */
static void read_arguments(int argc, char **argv, request *wanted, bool preset)
{
    struct option table[OPTION_COUNT + 1] = {{0}};
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        bool plain = options[i].takes == KIND_FLAG || strcmp(options[i].name, "help") == 0;
        table[i].name = options[i].name;
        table[i].has_arg = plain ? no_argument : required_argument;
    }
    int index = 0;
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "o:h", table, &index)) != -1;) {
        if (c == '?')
            exit(2);
        if (c == 'h' || (c == 0 && strcmp(options[index].name, "help") == 0)) {
            usage(stdout);
            exit(0);
        }
        if (c == 'o')
            wanted->directory = optarg;
        else if (preset == (strcmp(options[index].name, "preset") == 0))
            set(wanted, &options[index], optarg);
    }
    if (optind < argc) {
        fprintf(stderr, "make-checkpoint: what is %s for?\n", argv[optind]);
        exit(2);
    }
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void report(const request *wanted, const plan *tensors, double seconds)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("%s: %s, %zu tensors, %u file%s, %" PRIu64 " bytes%s; %.1f s, peak %ld MiB\n",
           wanted->directory, layout_name(wanted->layout), tensors->count, tensors->files,
           tensors->files == 1 ? "" : "s", tensors->bytes, wanted->sparse ? " (holes)" : "",
           seconds, used.ru_maxrss / 1024);
}

int main(int argc, char **argv)
{
    request wanted = {.layout = LAYOUT_HF_MXFP4, .dtype = DTYPE_BF16, .seed = 1};
    shape_preset("tiny", &wanted.shape);
    read_arguments(argc, argv, &wanted, true);
    read_arguments(argc, argv, &wanted, false);
    const char *fault = request_fault(&wanted);
    if (fault) {
        fprintf(stderr, "make-checkpoint: %s\n", fault);
        return 2;
    }
    if (wanted.shards == 0 && wanted.shard_size == 0)
        wanted.shards = shape_published_shards(&wanted.shape, wanted.layout);

    double start = seconds_now();
    plan tensors;
    plan_make(&wanted, &tensors);
    bool good = write_directory(wanted.directory) && write_weights(&wanted, &tensors) &&
                (tensors.files == 1 || wanted.no_index || write_index(&wanted, &tensors)) &&
                write_config(&wanted);
    if (good)
        report(&wanted, &tensors, seconds_now() - start);
    plan_free(&tensors);
    return good ? 0 : 1;
}
