/*
 * Makes every call of the program fail that can: each allocation, each read, each write, one at a
 * time, in every command. Whatever fails, the program ends with a sentence or does what it should
 * have; it is never ended by a signal, keeps no memory, and leaves a file that was there as it was.
 *
 *     walk PROGRAM MAKE_CHECKPOINT SHIM SOURCES [MOST [COMMAND]]
 *
 * MOST points of each kind of failure (0: all), COMMAND only.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS_PER_RUN 20
#define MOST_ARGUMENTS  24

/* ---- what is walked -------------------------------------------------------------------------- */

/* In the directory with the checkpoint `model` and what prepare() makes beside it. */
static const struct {
    const char *name;
    const char *arguments; /* words */
    const char *file;      /* that it writes, or NULL */
    bool repeats;          /* prints the same each time */
    int trouble;           /* exit status of a failure */
} commands[] = {
    {"generate",
     "generate -m model -p hello -n 4 --temp 0 --ignore-eos -t 1 --pack on --sketch on --precision "
     "q8",
     NULL, true, 1},
    {"json", "generate -m model -f text -n 4 --json --logprobs 2 --stop qq -t 1 --mlock", NULL,
     false, 1},
    {"parity", "parity -m model --reference reference.gz -t 1 --html page.html", "page.html", true,
     2},
    {"candidate", "parity --candidate reference --reference reference.gz --json", NULL, true, 2},
    {"dump", "dump -m model -p hello -o out --stages all -t 1", "out", true, 1},
    {"perplexity", "perplexity -m model -f text -c 4 --stride 2 -t 1", NULL, false, 1},
    {"inspect", "inspect -m model --check --sha256 --tensors", NULL, false, 1},
    {"tokenize", "tokenize -m model -f text", NULL, true, 1},
    {"decode", "tokenize -m model -d --ids 1,2,3", NULL, true, 1},
    {"render", "render -m model -f chat.json", NULL, true, 1},
    {"parse", "parse -m model -f said --json", NULL, true, 1},
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

static char scratch[] = "/tmp/gptoss-walk-XXXXXX"; /* where all this happens */

/* ---- files ----------------------------------------------------------------------------------- */

static _Noreturn void give_up(const char *what)
{
    perror(what);
    exit(2);
}

typedef struct content {
    char *bytes; /* terminated */
    size_t length;
} content;

/* Empty, with bytes NULL, when there is no such file. */
static content content_of(const char *path)
{
    content out = {NULL, 0};
    struct stat info;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return out;
    if (fstat(fileno(file), &info) != 0 || (out.bytes = malloc((size_t)info.st_size + 1)) == NULL)
        give_up(path);
    out.length = fread(out.bytes, 1, (size_t)info.st_size, file);
    out.bytes[out.length] = '\0';
    fclose(file);
    return out;
}

static bool same(content a, content b)
{
    return (a.bytes == NULL) == (b.bytes == NULL) && a.length == b.length &&
           (a.length == 0 || memcmp(a.bytes, b.bytes, a.length) == 0);
}

static bool begins_as(content whole, content part)
{
    return part.length <= whole.length &&
           (part.length == 0 || memcmp(whole.bytes, part.bytes, part.length) == 0);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
        give_up(path);
}

/* Whether something is left of a file that was being written. */
static bool part_left(void)
{
    bool found = false;
    DIR *here = opendir(".");
    if (here == NULL)
        give_up(scratch);
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

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info;
    (void)type;
    (void)place;
    return remove(path);
}

static void remove_scratch(void)
{
    nftw(scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static volatile pid_t child;

static void on_alarm(int number)
{
    (void)number;
    kill(child, SIGKILL);
}

/* Runs words with variables of the environment beside ours; streams become the files out and err.
 * Returns what waitpid tells. */
static int run_words(const char *path, const char *words, const char *const environment[])
{
    char copy[512];
    char *arguments[MOST_ARGUMENTS] = {strdup(path)};
    size_t count = 1;
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word != NULL && count + 1 < MOST_ARGUMENTS;
         word = strtok(NULL, " "))
        arguments[count++] = word;
    posix_spawn_file_actions_t files;
    pid_t started;
    int status = 0;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "out.txt", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&files, 2, "err.txt", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    /* Nothing is written to them; posix_spawn is older than const. */
    char *const *variables = (char *const *)(uintptr_t)environment; /* NOLINT(*-no-int-to-ptr) */
    if (posix_spawn(&started, path, &files, NULL, arguments, variables) != 0)
        give_up(path);
    posix_spawn_file_actions_destroy(&files);
    free(arguments[0]);
    child = started;
    alarm(SECONDS_PER_RUN);
    while (waitpid(started, &status, 0) < 0 && errno == EINTR)
        ;
    alarm(0);
    return status;
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
static int run_faulty(size_t command, const char *fault)
{
    char preload[PATH_MAX + 16], setting[64];
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", shim);
    snprintf(setting, sizeof setting, "GPTOSS_FAULT=%s", fault);
    const char *const environment[] = {preload,    setting,  "GPTOSS_FAULT_REPORT=report",
                                       "LC_ALL=C", "HOME=/", "OMP_NUM_THREADS=1",
                                       NULL};
    unlink("report");
    if (commands[command].file != NULL)
        write_file(commands[command].file, "what was there before");
    return run_words(program, commands[command].arguments, environment);
}

/* ---- judging --------------------------------------------------------------------------------- */

/* What a command gives when nothing fails. */
typedef struct expectation {
    content output;
    content file;
} expectation;

static long worked, refused, by_openmp, wrong;

/* The last line of the messages: a sentence of ours, or OpenMP's only one. */
static bool has_sentence(const content *messages, bool *openmps)
{
    const char *text = messages->bytes;
    size_t length = messages->length;
    if (length < 20 || text[length - 1] != '\n')
        return false;
    size_t begin = length - 1;
    while (begin > 0 && text[begin - 1] != '\n')
        begin--;
    *openmps = strstr(text + begin, "libgomp: Out of memory") != NULL;
    return strncmp(text + begin, "gptoss", 6) == 0 || *openmps;
}

/* What is wrong with a run, or NULL. */
static const char *judge(size_t command, size_t kind, int status, const expectation *expected)
{
    static const char old[] = "what was there before";
    content output = content_of("out.txt");
    content messages = content_of("err.txt");
    content file =
        commands[command].file != NULL ? content_of(commands[command].file) : (content){NULL, 0};
    bool left = part_left();
    counted count = read_counts(kinds[kind].class);
    bool openmps = false;
    const char *fault = NULL;
    if (WIFSIGNALED(status))
        fault = WTERMSIG(status) == SIGKILL ? "took too long" : "ended by a signal";
    else if (!count.there)
        fault = "not ended in order";
    else if (count.returned && count.held_ours > 0)
        fault = "memory was not given back";
    else if (count.returned && count.held_others > 1) /* the buffer of standard output is kept */
        fault = "memory of the C library was not given back";
    else if (left)
        fault = "a part of a file is left";
    else if (WEXITSTATUS(status) == 0) {
        worked++;
        if (commands[command].repeats && !same(output, expected->output))
            fault = "other output than without a failure";
        else if (commands[command].repeats && !same(file, expected->file))
            fault = "another file than without a failure";
    } else {
        if (kinds[kind].works)
            fault = "refused, where it can go on";
        else if (!has_sentence(&messages, &openmps))
            fault = "no sentence";
        else if (WEXITSTATUS(status) != commands[command].trouble && !openmps)
            fault = "another exit status";
        else if (commands[command].repeats && !begins_as(expected->output, output))
            fault = "other output than without a failure";
        else if (file.bytes != NULL && strcmp(file.bytes, old) != 0)
            fault = "what was there before is gone";
        by_openmp += openmps;
        refused++;
    }
    free(output.bytes);
    free(messages.bytes);
    free(file.bytes);
    return fault;
}

static void show(size_t command, const char *fault, const char *what)
{
    content messages = content_of("err.txt");
    printf("%s: GPTOSS_FAULT=%s gptoss %s\n%.600s", what, fault, commands[command].arguments,
           messages.bytes != NULL ? messages.bytes : "");
    free(messages.bytes);
    wrong++;
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* At `most` points of all, evenly; the first and the last among them. */
static void walk_kind(size_t command, size_t kind, long points, long most,
                      const expectation *expected)
{
    long steps = most > 0 && points > most ? most : points;
    long wrong_before = wrong;
    worked = refused = by_openmp = 0;
    for (long i = 0; i < steps && wrong - wrong_before < 5; i++) {
        char fault[64];
        long point = steps == points ? i : (steps > 1 ? i * (points - 1) / (steps - 1) : 0);
        snprintf(fault, sizeof fault, "%s:%s:%ld%s", kinds[kind].class, kinds[kind].effect, point,
                 kinds[kind].for_ever ? ":ever" : "");
        int status = run_faulty(command, fault);
        const char *what = judge(command, kind, status, expected);
        if (what != NULL)
            show(command, fault, what);
    }
    if (points > 0)
        printf("%-10s %-8s %-10s %-4s %7ld points, %6ld tried: %6ld refused, %6ld went on"
               ", %ld ended by OpenMP\n",
               commands[command].name, kinds[kind].class, kinds[kind].effect,
               kinds[kind].for_ever ? "ever" : "once", points, steps, refused, worked, by_openmp);
    fflush(stdout);
}

static long walk_command(size_t command, long most)
{
    long tried = 0;
    if (run_faulty(command, "none:short:0") != 0) {
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
        walk_kind(command, kind, points[kind], most, &expected);
        tried += worked + refused;
    }
    free(expected.output.bytes);
    free(expected.file.bytes);
    return tried;
}

/* ---- beforehand ------------------------------------------------------------------------------ */

static void copy_file(const char *from, const char *to)
{
    content of = content_of(from);
    FILE *file = fopen(to, "wb");
    if (of.bytes == NULL || file == NULL || fwrite(of.bytes, 1, of.length, file) != of.length ||
        fclose(file) != 0)
        give_up(from);
    free(of.bytes);
}

static void must_run(const char *path, const char *words)
{
    const char *const environment[] = {"LC_ALL=C", "HOME=/", "PATH=/usr/bin:/bin", NULL};
    if (run_words(path, words, environment) != 0) {
        content messages = content_of("err.txt");
        fprintf(stderr, "%s %s failed: %s\n", path, words, messages.bytes);
        exit(2);
    }
}

static void prepare(const char *make_checkpoint, const char *sources)
{
    char path[PATH_MAX];
    must_run(make_checkpoint, "-o model --preset tiny --vocab 300 --layout hf-mxfp4 --shards 2");
    snprintf(path, sizeof path, "%s/tests/cli/data/tokenizer.json", sources);
    copy_file(path, "model/tokenizer.json");
    write_file("model/generation_config.json", "{\"eos_token_id\": [1, 2], \"top_k\": 7}");
    write_file("text", "hello world, hello\n");
    write_file("said", "<|channel|>final<|message|>hello<|end|>");
    snprintf(path, sizeof path, "%s/tests/fuzz/corpus/render/good_all.json", sources);
    copy_file(path, "chat.json");
    must_run(program, "dump -m model -p hello -o reference");
    must_run("/bin/sh", "-c gzip<reference>reference.gz");
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 7) {
        fprintf(stderr, "usage: %s PROGRAM MAKE_CHECKPOINT SHIM SOURCES [MOST [COMMAND]]\n",
                argv[0]);
        return 2;
    }
    program = argv[1];
    shim = argv[3];
    long most = argc > 5 ? strtol(argv[5], NULL, 10) : 0;
    long tried = 0;
    signal(SIGALRM, on_alarm);
    if (mkdtemp(scratch) == NULL || atexit(remove_scratch) != 0 || chdir(scratch) != 0)
        give_up(scratch);
    prepare(argv[2], argv[4]);
    for (size_t i = 0; i < COMMANDS; i++)
        if (argc < 7 || strcmp(argv[6], commands[i].name) == 0)
            tried += walk_command(i, most);
    printf("%ld runs, %ld of them wrong\n", tried, wrong);
    return wrong == 0 && tried > 0 ? 0 : 1;
}
