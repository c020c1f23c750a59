/*
 * Makes every call of the program fail that can: each allocation, each read, each write, one at a
 * time, in every command. Whatever fails, the program ends with a sentence or does what it should
 * have; it is never ended by a signal, keeps no memory, and leaves a file that was there as it was.
 *
 *     walk PROGRAM MAKE_CHECKPOINT SCRIPT_MODEL SHIM SOURCES [MOST [COMMAND [CLASS [PART PARTS]]]]
 *
 * MOST points of each kind of failure (0: all); COMMAND only, of it the failures of CLASS only
 * (such as memory, memory:once or memory:ever), and of these every PARTS-th point, beginning with
 * number PART.
 */
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner.h"

#define SECONDS_PER_RUN 20

/* ---- what is walked -------------------------------------------------------------------------- */

/*
 * In the directory with the checkpoint `model`, the checkpoint `talker` that speaks harmony, and
 * what prepare() makes beside them.
 */
static const struct {
    const char *name;
    const char *arguments; /* words */
    const char *input;     /* a file, or NULL */
    const char *file;      /* that it writes, or NULL */
    const char *old;       /* what lies in its place */
    const char *reader; /* words of a command that must take it where it may come out otherwise */
    bool repeats;       /* prints the same each time */
    bool compares;      /* a failure ends with 2 */
} commands[] = {
    {.name = "generate",
     .arguments =
         "generate -m model -p hello -n 4 --temp 0 --ignore-eos -t 1 --pack on --sketch on "
         "--precision q8",
     .repeats = true},
    {.name = "json",
     .arguments = "generate -m model -f text -n 4 --json --logprobs 2 --stop qq -t 1 --mlock"},
    {.name = "parity",
     .arguments = "parity -m model --reference reference.gz -t 1 --html page.html",
     .file = "page.html",
     .old = "old",
     .repeats = true,
     .compares = true},
    {.name = "candidate",
     .arguments = "parity --candidate reference --reference reference.gz --json",
     .repeats = true,
     .compares = true},
    {.name = "dump",
     .arguments = "dump -m model -p hello -o out --stages all -t 1",
     .file = "out",
     .old = "old",
     .repeats = true},
    {.name = "session",
     .arguments =
         "generate -m model -p hello -n 4 --temp 0 --ignore-eos -t 1 --session out.session",
     .file = "out.session",
     .old = "old.session",
     .repeats = true},
    {.name = "many", .arguments = "generate -m model -f prompts.jsonl -n 4 -t 1"},
    {.name = "chat", /* without memory for a mark the session has fewer of them */
     .arguments = "chat -m talker -p hello --temp 0 --date none -t 1 -c 300 --session out.chat",
     .file = "out.chat",
     .old = "old.chat",
     .reader = "chat -m talker -p short --temp 0 --date none -t 1 -c 300 --session out.chat",
     .repeats = true},
    {.name = "talk", /* what fails is told, and it goes on */
     .arguments = "chat -m talker --temp 0 --date none -t 1 -c 500 --tools tools.json",
     .input = "lines"},
    {.name = "perplexity", .arguments = "perplexity -m model -f text -c 4 --stride 2 -t 1"},
    {.name = "inspect", .arguments = "inspect -m model --check --sha256 --tensors"},
    {.name = "tokenize", .arguments = "tokenize -m model -f text", .repeats = true},
    {.name = "decode", .arguments = "tokenize -m model -d --ids 1,2,3", .repeats = true},
    {.name = "render", .arguments = "render -m model -f chat.json", .repeats = true},
    {.name = "parse", .arguments = "parse -m model -f said --json", .repeats = true},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static const struct {
    const char *class;
    const char *effect;
    bool for_ever; /* all that follow fail too */
    bool works;    /* the program goes on and prints the same */
} kinds[] = {
    {"memory", "ENOMEM", false, false},     {"memory", "ENOMEM", true, false},
    {"map", "ENOMEM", false, false},        {"open", "EMFILE", false, false},
    {"open", "EACCES", true, false},        {"stat", "EIO", false, false},
    {"read", "EIO", false, false},          {"read", "short", false, true},
    {"read", "short", true, true},          {"read", "EINTR", false, false},
    {"write", "ENOSPC", false, false},      {"write", "EIO", true, false},
    {"write", "short", false, true},        {"write", "EINTR", false, false},
    {"reserve", "ENOSPC", false, false},    {"reserve", "EINTR", false, true},
    {"reserve", "EOPNOTSUPP", false, true}, {"sync", "EIO", false, false},
    {"close", "EIO", false, false},         {"rename", "EIO", false, false},
    {"advise", "ENOMEM", false, false},     {"advise", "EAGAIN", true, false},
    {"random", "EAGAIN", false, false},
};
#define KINDS (sizeof kinds / sizeof *kinds)

/* Whether something is left of a file that was being written. */
static bool part_left(void)
{
    bool found = false;
    DIR *here = opendir(".");
    if (here == NULL)
        give_up(".");
    for (const struct dirent *entry; (entry = readdir(here)) != NULL;) {
        size_t length = strlen(entry->d_name);
        if (length > 5 && strcmp(entry->d_name + length - 5, ".part") == 0) {
            found = true;
            unlink(entry->d_name);
        }
    }
    closedir(here);
    return found;
}

/* What the shim has counted. */
typedef struct counted {
    bool there;
    bool returned; /* main has */
    long calls, struck, held_ours, held_others;
} counted;

static counted read_counts(const char *class)
{
    counted out = {0};
    char line[128];
    FILE *file = fopen("report", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        out.there = true;
        size_t length = strlen(class);
        if (strncmp(line, class, length) == 0 && line[length] == ' ')
            out.calls = strtol(line + length, NULL, 10);
        sscanf(line, "struck %ld", &out.struck);
        if (sscanf(line, "held %ld %ld", &out.held_ours, &out.held_others) == 2)
            out.returned = true;
    }
    if (file != NULL)
        fclose(file);
    return out;
}

static const char *program;
static const char *shim;

/* Runs a command with the failure `fault`, or without one. */
static ending run_faulty(size_t command, const char *fault)
{
    char preload[PATH_MAX + 16], setting[64];
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", shim);
    snprintf(setting, sizeof setting, "GPTOSS_FAULT=%s", fault);
    const char *const environment[] = {preload,    setting,  "GPTOSS_FAULT_REPORT=report",
                                       "LC_ALL=C", "HOME=/", "OMP_NUM_THREADS=1",
                                       NULL};
    unlink("report");
    if (commands[command].file != NULL)
        copy_file(commands[command].old, commands[command].file);
    return run_words(program, commands[command].arguments, commands[command].input, environment,
                     SECONDS_PER_RUN);
}

/* ---- judging --------------------------------------------------------------------------------- */

/* What a command gives when nothing fails. */
typedef struct expectation {
    content output;
    content file;
} expectation;

static long ran, worked, refused, by_openmp, wrong;

/* The last line of the messages is a sentence of ours, or OpenMP's only one. */
static bool has_sentence(const content *messages, bool *openmps)
{
    const char *line = last_line(messages);
    *openmps = line != NULL && strstr(line, "libgomp: Out of memory") != NULL;
    return line != NULL && strlen(line) > 20 && (strncmp(line, "gptoss", 6) == 0 || *openmps);
}

/* The same as without a failure, or at least one that can be used. */
static bool is_good_file(size_t command, content file, content expected)
{
    static const char *const environment[] = {"LC_ALL=C", "HOME=/", "OMP_NUM_THREADS=1", NULL};
    const char *reader = commands[command].reader;
    if (content_same(file, expected) || reader == NULL || file.bytes == NULL)
        return content_same(file, expected);
    ending end = run_words(program, reader, NULL, environment, SECONDS_PER_RUN);
    return end.signal == 0 && end.status == 0;
}

/* What is wrong with a run, or NULL. */
static const char *judge(size_t command, size_t kind, ending end, const expectation *expected)
{
    content output = content_of("out.txt");
    content messages = content_of("err.txt");
    content file =
        commands[command].file != NULL ? content_of(commands[command].file) : (content){NULL, 0};
    bool left = part_left();
    content old =
        commands[command].file != NULL ? content_of(commands[command].old) : (content){NULL, 0};
    counted count = read_counts(kinds[kind].class);
    long streams = commands[command].input != NULL ? 2 : 1; /* their buffers are kept */
    bool openmps = false;
    const char *fault = NULL;
    if (end.late || end.signal != 0)
        fault = end.late ? "took too long" : "ended by a signal";
    else if (!count.there)
        fault = "not ended in order";
    else if (count.returned && count.held_ours > 0)
        fault = "memory was not given back";
    else if (count.returned && count.held_others > streams)
        fault = "memory of the C library was not given back";
    else if (left)
        fault = "a part of a file is left";
    else if (end.status == 0) {
        worked++;
        if (commands[command].repeats && !content_same(output, expected->output))
            fault = "other output than without a failure";
        else if (commands[command].repeats && !is_good_file(command, file, expected->file))
            fault = "another file than without a failure";
    } else {
        if (kinds[kind].works)
            fault = "refused, where it can go on";
        else if (!has_sentence(&messages, &openmps))
            fault = "no sentence";
        else if (end.status != (commands[command].compares ? 2 : 1) && !openmps)
            fault = "another exit status";
        else if (commands[command].repeats && !content_begins(expected->output, output))
            fault = "other output than without a failure";
        else if (commands[command].file != NULL && !content_same(file, old) &&
                 !is_good_file(command, file,
                               expected->file)) /* whole, but perhaps not on the disk yet */
            fault = "what was there before is gone";
        by_openmp += openmps;
        refused++;
    }
    free(output.bytes);
    free(messages.bytes);
    free(file.bytes);
    free(old.bytes);
    return fault;
}

static void show(size_t command, const char *fault, const char *what)
{
    content messages = content_of("err.txt");
    printf("%s: GPTOSS_FAULT=%s gptoss %s\n%s", what, fault, commands[command].arguments,
           messages.length > 600 ? messages.bytes + messages.length - 600 : messages.bytes);
    free(messages.bytes);
    wrong++;
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* What was asked for. */
static long most;
static long part = 0, parts = 1;
static const char *only_command, *only_class;

static bool is_asked(const char *only, const char *name)
{
    return only == NULL || strcmp(only, name) == 0;
}

static const char *how_often(size_t kind)
{
    return kinds[kind].for_ever ? "ever" : "once";
}

static bool is_kind_asked(size_t kind)
{
    char name[32];
    snprintf(name, sizeof name, "%s:%s", kinds[kind].class, how_often(kind));
    return is_asked(only_class, kinds[kind].class) || is_asked(only_class, name);
}

/* At `most` points of all, evenly; the first and the last among them. */
static void walk_kind(size_t command, size_t kind, long points, const expectation *expected)
{
    long steps = most > 0 && points > most ? most : points;
    long wrong_before = wrong;
    ran = worked = refused = by_openmp = 0;
    for (long i = part; i < steps && wrong - wrong_before < 5; i += parts) {
        char fault[64];
        long point = steps == points ? i : (steps > 1 ? i * (points - 1) / (steps - 1) : 0);
        snprintf(fault, sizeof fault, "%s:%s:%ld%s", kinds[kind].class, kinds[kind].effect, point,
                 kinds[kind].for_ever ? ":ever" : "");
        ending end = run_faulty(command, fault);
        ran++;
        const char *what = judge(command, kind, end, expected);
        if (what != NULL)
            show(command, fault, what);
    }
    if (points > 0)
        printf("%-10s %-8s %-10s %-4s %7ld points, %6ld tried: %6ld refused, %6ld went on"
               ", %ld ended by OpenMP\n",
               commands[command].name, kinds[kind].class, kinds[kind].effect, how_often(kind),
               points, ran, refused, worked, by_openmp);
    fflush(stdout);
}

static long walk_command(size_t command)
{
    long tried = 0;
    ending end = run_faulty(command, "none:short:0");
    if (end.signal != 0 || end.status != 0) {
        show(command, "none", "fails by itself");
        return 0;
    }
    expectation expected = {content_of("out.txt"), {NULL, 0}};
    if (commands[command].file != NULL)
        expected.file = content_of(commands[command].file);
    long points[KINDS];
    for (size_t kind = 0; kind < KINDS; kind++)
        points[kind] = read_counts(kinds[kind].class).calls;
    for (size_t kind = 0; kind < KINDS; kind++) {
        if (!is_kind_asked(kind))
            continue;
        walk_kind(command, kind, points[kind], &expected);
        tried += ran;
    }
    free(expected.output.bytes);
    free(expected.file.bytes);
    return tried;
}

/* ---- beforehand ------------------------------------------------------------------------------ */

/* The checkpoint that chats, and a talk in which most that can be said is said. */
static void prepare_talk(const char *script_model, const char *sources)
{
    char words[2 * PATH_MAX];
    write_text("make_talker", "exec \"$1\" talker \"$2/tokenizer.json\" <\"$2/chat.rules\"");
    snprintf(words, sizeof words, "make_talker %s %s/tests/cli/data", script_model, sources);
    must_run("/bin/sh", words);
    write_text("tools.json", "[{\"type\": \"function\", \"function\": {\"name\": \"look\", "
                             "\"parameters\": {\"type\": \"object\"}}}]");
    write_text("lines",
               "hello\n/retry\n/save saved\ncall\nshort\n/undo\n/stats\n/load saved\n"
               "/save saved.json\n/load saved.json\n/thinking\n\"\"\"a\nb\"\"\"\n/reset\n");
    must_run(program, "chat -m talker -p short --temp 0 --date none -c 300 --session old.chat");
}

static void prepare(const char *make_checkpoint, const char *sources)
{
    char path[PATH_MAX];
    must_run(make_checkpoint, "-o model --preset tiny --vocab 300 --layout hf-mxfp4 --shards 2");
    snprintf(path, sizeof path, "%s/tests/cli/data/tokenizer.json", sources);
    copy_file(path, "model/tokenizer.json");
    write_text("model/generation_config.json", "{\"eos_token_id\": [1, 2], \"top_k\": 7}");
    write_text("text", "hello world, hello\n");
    write_text("said", "<|channel|>final<|message|>hello<|end|>");
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/render/good_all.json", sources);
    copy_file(path, "chat.json");
    write_text("old", "what was there before");
    write_text("prompts.jsonl",
               "{\"prompt\": \"hello\", \"seed\": 1}\n{\"prompt\": \"hello world\"}\n");
    must_run(program, "dump -m model -p hello -o reference");
    must_run(program, "generate -m model -p hell -n 2 --temp 0 --ignore-eos --session old.session");
    must_run("/bin/sh", "-c gzip<reference>reference.gz");
}

int main(int argc, char **argv)
{
    if (argc < 6 || argc > 11 || argc == 10) {
        fprintf(stderr,
                "usage: %s PROGRAM MAKE_CHECKPOINT SCRIPT_MODEL SHIM SOURCES "
                "[MOST [COMMAND [CLASS [PART PARTS]]]]\n",
                argv[0]);
        return 2;
    }
    program = argv[1];
    shim = argv[4];
    most = argc > 6 ? strtol(argv[6], NULL, 10) : 0;
    only_command = argc > 7 ? argv[7] : NULL;
    only_class = argc > 8 ? argv[8] : NULL;
    if (argc == 11) {
        part = strtol(argv[9], NULL, 10);
        parts = strtol(argv[10], NULL, 10);
    }
    if (part < 0 || parts < 1)
        return 2;
    long tried = 0;
    work_in_scratch();
    prepare(argv[2], argv[5]);
    prepare_talk(argv[3], argv[5]);
    for (size_t i = 0; i < COMMANDS; i++)
        if (is_asked(only_command, commands[i].name))
            tried += walk_command(i);
    printf("%ld runs, %ld of them wrong\n", tried, wrong);
    return wrong == 0 && tried > 0 ? 0 : 1;
}
