/*
 * Runs the program on checkpoints that were changed in one or two places: configuration, index,
 * headers, tokenizer, weights, or which files there are at all. It must load them or refuse them
 * with one sentence that names the object; no signal, no more than ten seconds.
 *
 *     hostile PROGRAM MAKE_CHECKPOINT SOURCES COUNT [SEED [FIRST]]
 *
 * The checkpoint with a number depends on the seed alone; given as FIRST with COUNT 1 it is made
 * again and what the program says is shown.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mutator.h"
#include "runner.h"

#define SECONDS_PER_RUN 10
#define MOST_SENTENCES  4000

/* ---- the checkpoints ------------------------------------------------------------------------- */

/* Made by make-checkpoint into a directory of the name of its layout. */
static const struct {
    const char *name;
    const char *flags;
} bases[] = {
    {"hf-mxfp4", "--layout hf-mxfp4 --shards 2"},
    {"original", "--layout original"},
    {"hf", "--layout hf --shards 3 --tied"},
};
#define BASES (sizeof bases / sizeof *bases)

static const char *const file_names[] = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "model.safetensors.index.json",
    "model.safetensors",
    "model-00000-of-00001.safetensors",
    "model-00001-of-00001.safetensors",
    "model-00000-of-00002.safetensors",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
};
#define FILES (sizeof file_names / sizeof *file_names)

typedef enum file_number {
    CONFIG,
    GENERATION,
    TOKENIZER,
    INDEX,
    FIRST_WEIGHTS,
} file_number;

/* The files of the bases, as they are: those that a layout does not have are empty. */
static bytes originals[BASES][FILES];
static seed text_seeds[BASES * FIRST_WEIGHTS];
static seed_list seeds = {text_seeds, 0};

static void load_base(size_t base)
{
    char path[PATH_MAX];
    size_t weights = 0;
    for (size_t i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "%s/%s", bases[base].name, file_names[i]);
        content of = content_of(path);
        if (of.bytes == NULL)
            continue;
        bytes_set(&originals[base][i], (const uint8_t *)of.bytes, of.length);
        weights += i >= FIRST_WEIGHTS;
        if (i < FIRST_WEIGHTS)
            seeds.seeds[seeds.count++] =
                (seed){NULL, originals[base][i].data, originals[base][i].size};
        free(of.bytes);
    }
    if (weights == 0)
        give_up(bases[base].name);
}

static void make_bases(const char *make_checkpoint, const char *sources)
{
    char words[512];
    char from[PATH_MAX];
    char to[PATH_MAX];
    snprintf(from, sizeof from, "%s/tests/cli/data/tokenizer.json", sources);
    for (size_t i = 0; i < BASES; i++) {
        snprintf(words, sizeof words,
                 "-o %s --preset tiny --layers 2 --vocab 300 --context 4096 %s", bases[i].name,
                 bases[i].flags);
        must_run(make_checkpoint, words);
        snprintf(to, sizeof to, "%s/tokenizer.json", bases[i].name);
        copy_file(from, to);
        snprintf(to, sizeof to, "%s/generation_config.json", bases[i].name);
        write_text(to,
                   "{\"eos_token_id\": [299, 298], \"temperature\": 0.5, \"top_k\": 9, \"top_p\": "
                   "0.9, \"do_sample\": true}");
        load_base(i);
    }
}

/* ---- changes --------------------------------------------------------------------------------- */

/* Also a directory that is empty. */
static void remove_any(const char *path)
{
    if (unlink(path) != 0)
        rmdir(path);
}

static void put(const char *name, const bytes *of)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "bad/%s", name);
    remove_any(path);
    write_content(path, of->data, of->size);
}

/* `bad` becomes the base, its files as links to those that nobody changes. */
static void restore(size_t base)
{
    char from[PATH_MAX];
    char to[PATH_MAX];
    mkdir("bad", 0700);
    for (size_t i = 0; i < FILES; i++) {
        snprintf(to, sizeof to, "bad/%s", file_names[i]);
        remove_any(to);
        snprintf(from, sizeof from, "%s/%s", bases[base].name, file_names[i]);
        if (originals[base][i].size > 0 && link(from, to) != 0)
            give_up(to);
    }
    unlink("bad/extra.safetensors");
}

/* The number of a file of weights that the base has. */
static size_t pick_weights(dice *rng, size_t base)
{
    for (;;) {
        size_t i = FIRST_WEIGHTS + dice_roll(rng, FILES - FIRST_WEIGHTS);
        if (originals[base][i].size > 0)
            return i;
    }
}

static size_t pick_file(dice *rng, size_t base)
{
    for (;;) {
        size_t i = dice_roll(rng, FILES);
        if (originals[base][i].size > 0)
            return i;
    }
}

static void change_text(dice *rng, size_t base, size_t file)
{
    static bytes text;
    if (originals[base][file].size == 0) /* no index beside one file of weights */
        file = CONFIG;
    bytes_set(&text, originals[base][file].data, originals[base][file].size);
    mutate_text(rng, &seeds, &text);
    put(file_names[file], &text);
}

static void change_config(dice *rng, size_t base)
{
    change_text(rng, base, CONFIG);
}

static void change_generation(dice *rng, size_t base)
{
    change_text(rng, base, GENERATION);
}

static void change_tokenizer(dice *rng, size_t base)
{
    change_text(rng, base, TOKENIZER);
}

static void change_index(dice *rng, size_t base)
{
    change_text(rng, base, INDEX);
}

static void change_header(dice *rng, size_t base)
{
    static bytes file;
    size_t i = pick_weights(rng, base);
    bytes_set(&file, originals[base][i].data, originals[base][i].size);
    mutate_safetensors(rng, &seeds, &file);
    put(file_names[i], &file);
}

/* Numbers of one stretch: one bit, noise, ones (NaN, scales of 255) or zeros. */
static void change_weights(dice *rng, size_t base)
{
    static bytes file;
    size_t i = pick_weights(rng, base);
    bytes_set(&file, originals[base][i].data, originals[base][i].size);
    uint64_t header = 8;
    for (int byte = 0; byte < 8; byte++)
        header += (uint64_t)file.data[byte] << (8 * byte);
    size_t begin = header + dice_roll(rng, file.size - header);
    size_t length = 1 + dice_roll(rng, dice_roll(rng, 2) == 0 ? 64 : file.size - begin);
    uint64_t how = dice_roll(rng, 4);
    for (size_t at = begin; at < file.size && at < begin + length; at++) {
        if (how == 0) {
            file.data[at] ^= (uint8_t)(1U << dice_roll(rng, 8));
            break;
        }
        file.data[at] = how == 1 ? (uint8_t)dice_roll(rng, 256) : how == 2 ? 0xff : 0;
    }
    put(file_names[i], &file);
}

static void change_length(dice *rng, size_t base)
{
    static bytes file;
    size_t i = pick_file(rng, base);
    bytes_set(&file, originals[base][i].data, originals[base][i].size);
    if (dice_roll(rng, 4) != 0)
        file.size = dice_roll(rng, file.size);
    put(file_names[i], &file);
    if (dice_roll(rng, 4) == 0) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "bad/%s", file_names[i]);
        if (truncate(path, (off_t)(originals[base][i].size + 1 + dice_roll(rng, UINT32_MAX))) != 0)
            give_up(path);
    }
}

/* Another kind of file, another file's content, or none. */
static void change_files(dice *rng, size_t base)
{
    char path[PATH_MAX];
    size_t i = pick_file(rng, base);
    size_t other = pick_file(rng, base);
    snprintf(path, sizeof path, "bad/%s", file_names[i]);
    remove_any(path);
    int failed = 0;
    switch (dice_roll(rng, 7)) {
    case 0:
        break;
    case 1:
        failed = mkdir(path, 0700);
        break;
    case 2:
        failed = mkfifo(path, 0600);
        break;
    case 3:
        failed = symlink(file_names[other], path);
        break;
    case 4:
        failed = symlink("/dev/zero", path);
        break;
    case 5:
        put("extra.safetensors", &originals[base][pick_weights(rng, base)]);
        break;
    default:
        put(file_names[i], &originals[dice_roll(rng, BASES)][other]);
        break;
    }
    if (failed != 0)
        give_up(path);
}

static void change_two(dice *rng, size_t base);

static const struct {
    const char *name;
    unsigned share; /* of 100 */
    void (*change)(dice *rng, size_t base);
} categories[] = {
    {"config.json", 25, change_config},
    {"generation_config.json", 5, change_generation},
    {"index", 10, change_index},
    {"header", 20, change_header},
    {"tokenizer.json", 12, change_tokenizer},
    {"weights", 8, change_weights},
    {"length", 6, change_length},
    {"files", 6, change_files},
    {"two of these", 8, change_two},
};
#define CATEGORIES (sizeof categories / sizeof *categories)

static void change_two(dice *rng, size_t base)
{
    for (int i = 0; i < 2; i++)
        categories[dice_roll(rng, CATEGORIES - 1)].change(rng, base);
}

static size_t pick_category(dice *rng)
{
    uint64_t roll = dice_roll(rng, 100);
    size_t category = 0;
    while (category + 1 < CATEGORIES && roll >= categories[category].share)
        roll -= categories[category++].share;
    return category;
}

/* ---- runs ------------------------------------------------------------------------------------ */

static const char *const commands[] = {
    "generate -m bad -p hello -n 3 -t 1 --ignore-eos",
    "generate -m bad -p hello -n 3 -t 1 --ignore-eos",
    "generate -m bad --ids 1,2,3,4 -n 2 -t 1 --precision q8 --pack on --sketch on --temp 0",
    "inspect -m bad --check --tensors --json",
    "tokenize -m bad -p hello",
    "perplexity -m bad -f text -c 8 --stride 4 -t 1",
    "chat -m bad -p hello -n 3 -t 1",
};
#define COMMANDS (sizeof commands / sizeof *commands)

/* What became of a category's checkpoints. */
static struct {
    long runs, loaded, refused, usage;
    long signals, late, wrong; /* wrong: those two, and whatever else should not have been */
    double slowest;
    long most_kibibytes;
} tallies[CATEGORIES];

/* Sentences with numbers and names left out, and how often each came. */
static struct {
    char text[160];
    long count;
} sentences[MOST_SENTENCES];

static void note_sentence(const char *line)
{
    char text[sizeof sentences[0].text] = "";
    size_t length = 0;
    for (const char *at = line; *at != '\0' && *at != '\n' && length + 2 < sizeof text;) {
        if (*at >= '0' && *at <= '9') {
            text[length++] = 'N';
            at += strspn(at, "0123456789.");
        } else if (*at == '"') {
            const char *end = strchr(at + 1, '"');
            text[length++] = '"';
            at = end != NULL ? end + 1 : at + strlen(at);
        } else {
            text[length++] = *at++;
        }
    }
    text[length] = '\0';
    for (size_t i = 0; i < MOST_SENTENCES; i++) {
        if (sentences[i].count > 0 && strcmp(sentences[i].text, text) != 0)
            continue;
        memcpy(sentences[i].text, text, sizeof text);
        sentences[i].count++;
        return;
    }
}

/* Lines that are no sentence of refusal: what is only told by the way. */
static bool is_aside(const char *line)
{
    return strncmp(line, "gptoss: hint: ", 14) == 0 ||
           strncmp(line, "gptoss: context reduced from ", 29) == 0 ||
           strncmp(line, "gptoss: warning: ", 17) == 0;
}

/* A file, or what a pass names where the file cannot be known. */
static bool names_object(const char *line)
{
    static const char *const objects[] = {"bad/",     "bad:",       "bad ",     "layer ",
                                          "a logit",  "token",      "prompt",   "context",
                                          "--stride", "--ctx-size", "-c, --ctx"};
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++)
        if (strstr(line, objects[i]) != NULL)
            return true;
    return false;
}

/* What is wrong with how a run ended, or NULL. */
static const char *judge(ending end, const content *messages, const content *output,
                         size_t category)
{
    const char *line = last_line(messages);
    size_t lines = 0;
    tallies[category].runs++;
    if (end.seconds > tallies[category].slowest)
        tallies[category].slowest = end.seconds;
    if (end.kibibytes > tallies[category].most_kibibytes)
        tallies[category].most_kibibytes = end.kibibytes;
    tallies[category].late += end.late;
    tallies[category].signals += !end.late && end.signal != 0;
    if (end.late)
        return "took too long";
    if (end.signal != 0)
        return "ended by a signal";
    if (end.status == 0) {
        tallies[category].loaded++;
        return NULL;
    }
    if (end.status > 2)
        return "another exit status";
    tallies[category].refused += end.status == 1;
    tallies[category].usage += end.status == 2;
    for (const char *at = messages->bytes; at != NULL && *at != '\0'; at = strchr(at, '\n') + 1)
        lines += !is_aside(at);
    if (line == NULL || strncmp(line, "gptoss", 6) != 0 || lines != 1)
        return "not one sentence";
    note_sentence(line);
    if (!names_object(line))
        return "a sentence that names nothing";
    return end.status == 1 && output->length > 4096 ? "much was printed before" : NULL;
}

static bool run_one(const char *program, uint64_t seed_value, uint64_t number, bool show)
{
    const char *const environment[] = {"LC_ALL=C", "HOME=/", "OMP_NUM_THREADS=1", NULL};
    dice rng = {.state = seed_value ^ number * 0xd1342543de82ef95U};
    size_t base = dice_roll(&rng, BASES);
    size_t category = pick_category(&rng);
    const char *command = commands[dice_roll(&rng, COMMANDS)];
    restore(base);
    categories[category].change(&rng, base);
    ending end = run_words(program, command, NULL, environment, SECONDS_PER_RUN);
    content messages = content_of("err.txt");
    content output = content_of("out.txt");
    const char *wrong = judge(end, &messages, &output, category);
    tallies[category].wrong += wrong != NULL;
    if (wrong != NULL || show)
        printf("%s: number %" PRIu64 " (%s of %s), gptoss %s\n%.1000s",
               wrong != NULL ? wrong : "well", number, categories[category].name, bases[base].name,
               command, messages.bytes);
    free(messages.bytes);
    free(output.bytes);
    return wrong == NULL;
}

static int compare_counts(const void *left, const void *right)
{
    const long *a = &((const __typeof__(sentences[0]) *)left)->count;
    const long *b = &((const __typeof__(sentences[0]) *)right)->count;
    return (*a < *b) - (*a > *b);
}

static void report(void)
{
    printf("%-24s %7s %7s %7s %6s %7s %6s %6s %9s %9s\n", "changed", "runs", "loaded", "refused",
           "usage", "signals", "late", "wrong", "slowest s", "most MiB");
    for (size_t i = 0; i < CATEGORIES; i++)
        printf("%-24s %7ld %7ld %7ld %6ld %7ld %6ld %6ld %9.2f %9ld\n", categories[i].name,
               tallies[i].runs, tallies[i].loaded, tallies[i].refused, tallies[i].usage,
               tallies[i].signals, tallies[i].late, tallies[i].wrong, tallies[i].slowest,
               tallies[i].most_kibibytes / 1024);
    qsort(sentences, MOST_SENTENCES, sizeof *sentences, compare_counts);
    size_t kinds = 0;
    while (kinds < MOST_SENTENCES && sentences[kinds].count > 0)
        kinds++;
    printf("%zu kinds of sentences, the commonest:\n", kinds);
    for (size_t i = 0; i < kinds && i < 40; i++)
        printf("%6ld %s\n", sentences[i].count, sentences[i].text);
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 7) {
        fprintf(stderr, "usage: %s PROGRAM MAKE_CHECKPOINT SOURCES COUNT [SEED [FIRST]]\n",
                argv[0]);
        return 2;
    }
    uint64_t count = strtoull(argv[4], NULL, 10);
    uint64_t seed_value = argc > 5 ? strtoull(argv[5], NULL, 10) : 1;
    uint64_t first = argc > 6 ? strtoull(argv[6], NULL, 10) : 0;
    uint64_t wrong = 0;
    work_in_scratch();
    make_bases(argv[2], argv[3]);
    write_text("text", "hello world, hello world\n");
    for (uint64_t i = first; i < first + count; i++)
        wrong += !run_one(argv[1], seed_value, i, count == 1);
    report();
    printf("%" PRIu64 " checkpoints (seed %" PRIu64 "), %" PRIu64 " wrong\n", count, seed_value,
           wrong);
    return wrong == 0 && count > 0 ? 0 : 1;
}
