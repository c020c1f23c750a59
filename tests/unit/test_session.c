/* Sessions: a sequence that comes back from a file goes on with the same bits, and what is not
 * exactly such a file is refused. */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "check.h"
#include "engine/sequence.h"
#include "gptoss.h"
#include "scratch.h"
#include "session_file.h"

/* Window 8, so that a ring of chunk 16 has 64 slots. */
#define CHECKPOINT GPTOSS_SOURCE_DIR "/tests/golden/published/hf-mxfp4"
#define ANOTHER    GPTOSS_SOURCE_DIR "/tests/golden/published/hf"

enum { CONTEXT = 450, VOCAB = 200 };

static gptoss_model *model;
static gptoss_executor *executor;

static gptoss_sequence *open_sequence(gptoss_sequence_options options)
{
    gptoss_sequence *sequence = NULL;
    CHECK(gptoss_sequence_open(model, &options, &sequence, NULL) == GPTOSS_OK, "sequence");
    return sequence;
}

/* Feeds the tokens of a story from where the sequence is up to `end`; the last one's logits. */
static const float *feed_to(gptoss_sequence *sequence, uint32_t story, uint32_t end)
{
    uint32_t tokens[CONTEXT];
    uint32_t begin = gptoss_sequence_length(sequence);
    const float *logits = NULL;
    for (uint32_t i = begin; i < end; i++)
        tokens[i - begin] = (i * 37 + story * 11 + i * i) % VOCAB;
    CHECK(gptoss_executor_feed(executor, sequence, tokens, end - begin, NULL, NULL, &logits,
                               NULL) == GPTOSS_OK,
          "feed to %u", end);
    return logits;
}

/* A sequence with the first `count` of these marks and `length` tokens. */
static const uint32_t places[] = {3, 8, 9, 70, 75, 130, 300, 390};
enum { PLACES = sizeof places / sizeof *places };

static gptoss_sequence *open_marked(gptoss_sequence_options options, uint32_t length)
{
    gptoss_sequence *sequence = open_sequence(options);
    for (size_t i = 0; i < PLACES && places[i] <= length; i++) {
        feed_to(sequence, 0, places[i]);
        CHECK(gptoss_sequence_mark(sequence, NULL) == GPTOSS_OK, "mark");
    }
    if (gptoss_sequence_length(sequence) < length)
        feed_to(sequence, 0, length);
    return sequence;
}

static void save(const gptoss_sequence *sequence, const char *note, size_t note_length,
                 const char *path)
{
    gptoss_error error = {GPTOSS_OK, ""};
    CHECK(gptoss_sequence_save(sequence, note, note_length, path, &error) == GPTOSS_OK, "%s",
          error.message);
}

static gptoss_sequence *load(const char *path, const gptoss_sequence_options *options,
                             const char *note, size_t note_length)
{
    gptoss_sequence *sequence = NULL;
    gptoss_error error = {GPTOSS_OK, ""};
    char *found = NULL;
    size_t length = 0;
    CHECK(gptoss_sequence_load(model, path, options, &sequence, &found, &length, &error) ==
              GPTOSS_OK,
          "%s", error.message);
    CHECK(found != NULL && length == note_length && memcmp(found, note, length) == 0 &&
              found[length] == '\0',
          "the note");
    free(found);
    return sequence;
}

/* ---- and back -------------------------------------------------------------------------------- */

/* Story 0 up to `fork`, then story 1 up to `end`, by a sequence that was never anywhere else. */
static void logits_straight(gptoss_sequence_options options, uint32_t fork, uint32_t end,
                            float out[VOCAB])
{
    gptoss_sequence *sequence = open_sequence(options);
    if (fork > 0)
        feed_to(sequence, 0, fork);
    memcpy(out, feed_to(sequence, 1, end), VOCAB * sizeof *out);
    gptoss_sequence_close(sequence);
}

/* What was loaded goes on as what was saved does, from its end and from wherever it can go back to.
 */
static void check_going_on(gptoss_sequence *sequence, gptoss_sequence_options options,
                           uint32_t length)
{
    float expected[VOCAB];
    for (uint32_t back = length + 1; back-- > 0;) {
        bool marked = back == 0 || back == length;
        for (size_t i = 0; i < PLACES; i++)
            marked = marked || places[i] == back;
        bool possible = gptoss_sequence_rewind(sequence, back, NULL) == GPTOSS_OK;
        CHECK(possible || !marked, "back to %u of %u", back, length);
        if (!possible || (length > 100 && !marked && back % 29 != 0))
            continue;
        logits_straight(options, back, back + 3, expected);
        CHECK(memcmp(feed_to(sequence, 1, back + 3), expected, sizeof expected) == 0,
              "from %u of %u on", back, length);
        CHECK(gptoss_sequence_rewind(sequence, back, NULL) == GPTOSS_OK, "back again");
    }
}

static void check_round_trip(gptoss_cache_format cache, uint32_t length, uint32_t chunk_before,
                             uint32_t chunk_after)
{
    static const char note[] = "a note\0 with a zero\n\xff";
    gptoss_sequence_options before = {CONTEXT, chunk_before, cache};
    gptoss_sequence_options after = {CONTEXT, chunk_after, cache};
    gptoss_sequence *sequence = open_marked(before, length);
    const char *path = scratch_path("session");
    save(sequence, note, sizeof note, path);
    gptoss_sequence *loaded = load(path, &after, note, sizeof note);
    if (loaded != NULL) {
        CHECK(gptoss_sequence_length(loaded) == length && gptoss_sequence_cache(loaded) == cache &&
                  gptoss_sequence_context(loaded) == CONTEXT,
              "length %u", length);
        CHECK(memcmp(gptoss_sequence_tokens(loaded), gptoss_sequence_tokens(sequence),
                     length * sizeof(uint32_t)) == 0,
              "tokens");
        CHECK(loaded->mark_count == sequence->mark_count, "%u marks", loaded->mark_count);
        CHECK(chunk_before > chunk_after || loaded->cache.oldest <= sequence->cache.oldest,
              "positions from %u on", loaded->cache.oldest);
    }
    if (loaded != NULL && chunk_before == chunk_after) {
        session_file first = session_file_read(path);
        save(loaded, note, sizeof note, path);
        session_file second = session_file_read(path);
        CHECK(first.size == second.size && memcmp(first.bytes, second.bytes, first.size) == 0,
              "the same file again");
        session_file_free(&first);
        session_file_free(&second);
    }
    if (loaded != NULL)
        check_going_on(loaded, after, length);
    gptoss_sequence_close(loaded);
    gptoss_sequence_close(sequence);
}

static void check_round_trips(void)
{
    static const uint32_t lengths[] = {0, 1, 7, 8, 9, 64, 75, 137, 400};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int cache = GPTOSS_CACHE_F32; cache <= GPTOSS_CACHE_BF16; cache++) {
            check_round_trip((gptoss_cache_format)cache, lengths[i], 16, 16);
            check_round_trip((gptoss_cache_format)cache, lengths[i], 16, 100);
            check_round_trip((gptoss_cache_format)cache, lengths[i], CONTEXT, 3);
        }
}

/* What a mark was gone back to has: nothing but its window; and a session in between. */
static void check_after_mark(void)
{
    gptoss_sequence_options options = {CONTEXT, 16, GPTOSS_CACHE_BF16};
    gptoss_sequence *sequence = open_marked(options, 400);
    float expected[VOCAB];
    CHECK(gptoss_sequence_rewind(sequence, 130, NULL) == GPTOSS_OK, "a mark");
    feed_to(sequence, 1, 135);
    save(sequence, "", 0, scratch_path("session"));
    gptoss_sequence_close(sequence);
    sequence = load(scratch_path("session"), NULL, "", 0);
    if (sequence == NULL)
        return;
    CHECK(gptoss_sequence_cache(sequence) == GPTOSS_CACHE_BF16, "the file's format");
    CHECK(gptoss_sequence_rewind(sequence, 129, NULL) == GPTOSS_LIMIT, "before the window");
    CHECK(gptoss_sequence_rewind(sequence, 130, NULL) == GPTOSS_OK, "the mark");
    logits_straight(options, 130, 260, expected);
    CHECK(memcmp(feed_to(sequence, 1, 260), expected, sizeof expected) == 0, "on from the mark");
    CHECK(gptoss_sequence_rewind(sequence, 75, NULL) == GPTOSS_OK, "another mark");
    logits_straight(options, 75, 80, expected);
    CHECK(memcmp(feed_to(sequence, 1, 80), expected, sizeof expected) == 0, "on from another mark");
    gptoss_sequence_close(sequence);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void expect_refusal(const session_file *file, const gptoss_sequence_options *options,
                           gptoss_status expected, const char *sentence)
{
    gptoss_sequence *sequence = NULL;
    char *note = NULL;
    size_t note_length = 1;
    gptoss_error error = {GPTOSS_OK, ""};
    const char *path = scratch_path("changed");
    scratch_write_bytes(path, file->bytes, file->size);
    gptoss_status status =
        gptoss_sequence_load(model, path, options, &sequence, &note, &note_length, &error);
    CHECK(status == expected && error.status == expected, "%s: %d, %s", sentence, (int)status,
          error.message);
    CHECK(sequence == NULL && note == NULL && note_length == 0, "nothing comes with a refusal");
    CHECK(strstr(error.message, path) != NULL, "the file's name: %s", error.message);
    CHECK(strstr(error.message, sentence) != NULL, "expected %s, found %s", sentence,
          error.message);
    free(note);
    gptoss_sequence_close(sequence);
}

/* A session of 20 tokens and the marks 3, 8 and 9, whose sliding layers have all positions. */
static session_file small_session(void)
{
    gptoss_sequence *sequence =
        open_marked((gptoss_sequence_options){CONTEXT, 16, GPTOSS_CACHE_BF16}, 20);
    save(sequence, "note", 4, scratch_path("small"));
    gptoss_sequence_close(sequence);
    return session_file_read(scratch_path("small"));
}

static void check_every_byte(const session_file *good)
{
    session_file bad = session_file_copy(good);
    int refused = 0;
    for (size_t i = 0; i < good->size; i++) {
        gptoss_sequence *sequence = NULL;
        char *note = NULL;
        size_t note_length;
        gptoss_error error = {GPTOSS_OK, ""};
        bad.bytes[i] ^= (uint8_t)(1U << (i % 8));
        scratch_write_bytes(scratch_path("flipped"), bad.bytes, bad.size);
        gptoss_status status = gptoss_sequence_load(model, scratch_path("flipped"), NULL, &sequence,
                                                    &note, &note_length, &error);
        refused += status == GPTOSS_FORMAT && sequence == NULL && strlen(error.message) > 20;
        bad.bytes[i] = good->bytes[i];
        gptoss_sequence_close(sequence);
        free(note);
    }
    CHECK((size_t)refused == good->size, "%d of %zu flipped bytes were refused", refused,
          good->size);
    session_file_free(&bad);
}

static void check_cuts(const session_file *good)
{
    gptoss_sequence_options any = {0, 0, GPTOSS_CACHE_BF16};
    session_file bad = session_file_copy(good);
    for (bad.size = 0; bad.size < good->size; bad.size += 1 + bad.size / 40)
        expect_refusal(&bad, &any, GPTOSS_FORMAT,
                       bad.size < 81 ? "is no session of gptoss" : "is damaged or cut short");
    bad.size = good->size + 1; /* there is room */
    bad.bytes[good->size] = 0;
    expect_refusal(&bad, &any, GPTOSS_FORMAT, "is damaged or cut short");
    session_file_seal(&bad);
    expect_refusal(&bad, &any, GPTOSS_FORMAT, "more than its header accounts for");
    session_file_free(&bad);
}

/* Files whose digest is right. */
static const struct {
    const char *old;
    const char *text;
    gptoss_status status;
    const char *sentence;
} edits[] = {
    {"session-1\"", "session-2\"", GPTOSS_UNSUPPORTED, "expected \"gptoss-session-1\""},
    {"session-1\"", "session-\"", GPTOSS_UNSUPPORTED, "has the format \"gptoss-session-\""},
    {"\"model\"", "\"mode1\"", GPTOSS_FORMAT, "have no entry \"model\""},
    {"\"cache\"", "\"cash\"", GPTOSS_FORMAT, "have no entry \"cache\""},
    {"\"bf16\"", "\"f16\"", GPTOSS_FORMAT, "keeps keys and values in \"f16\""},
    {"\"bf16\"", "\"f32\"", GPTOSS_USAGE, "keeps keys and values in f32: expected bf16"},
    {"\"tokens\"", "\"token\"", GPTOSS_FORMAT, "tensor \"tokens\" is missing"},
    {"\"U32\",\"shape\":[20]", "\"I32\",\"shape\":[20]", GPTOSS_FORMAT,
     "tensor \"tokens\": expected U32 of 1 dimensions, found I32 of 1"},
    {"\"U32\",\"shape\":[20]", "\"U32\",\"shape\":[4,5]", GPTOSS_FORMAT,
     "tensor \"tokens\": expected U32 of 1 dimensions, found U32 of 2"},
    {"\"marks\"", "\"mars\"", GPTOSS_FORMAT, "tensor \"marks\" is missing"},
    {"\"positions\"", "\"position\"", GPTOSS_FORMAT, "tensor \"positions\" is missing"},
    {"\"layers.1.keys\"", "\"layers.3.keys\"", GPTOSS_FORMAT, "\"layers.1.keys\" is missing"},
    {"\"layers.2.values\"", "\"layers.2.value\"", GPTOSS_FORMAT, "\"layers.2.values\" is missing"},
    {"[20,2,16]", "[20,4,8]", GPTOSS_FORMAT, "expected the shape [20, 2, 16], found [20, 4, 8]"},
    {"[20,2,16]", "[10,4,16]", GPTOSS_FORMAT, "expected the shape [20, 2, 16], found [10, 4, 16]"},
    {"[20,2,16]", "[20,32]", GPTOSS_FORMAT, "expected BF16 of 3 dimensions, found BF16 of 2"},
    {"\"BF16\"", "\"F16\"", GPTOSS_FORMAT, "expected BF16 of 3 dimensions, found F16 of 3"},
    {"\"note\"", "\"nota\"", GPTOSS_FORMAT, "tensor \"note\" is missing"},
    {"\"sha256\"", "\"sha25\"", GPTOSS_FORMAT, "tensor \"sha256\" is missing"},
    {"[20,2,16]", "[20,2,17]", GPTOSS_FORMAT, "should take"},
    {",\"note\"", ",\"more\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\"note\"",
     GPTOSS_FORMAT, "has 12 tensors: expected 11"},
    {"\"tokens\":", "\"tokens\";", GPTOSS_FORMAT, "the header of"},
};

static void check_edits(const session_file *good)
{
    gptoss_sequence_options options = {CONTEXT, 16, GPTOSS_CACHE_BF16};
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        session_file bad = session_file_copy(good);
        CHECK(session_file_edit(&bad, edits[i].old, edits[i].text), "%s", edits[i].old);
        session_file_seal(&bad);
        expect_refusal(&bad, &options, edits[i].status, edits[i].sentence);
        session_file_free(&bad);
    }
}

/* Numbers of the lists, which begin behind the header: 20 tokens, 3 marks, 20 positions. */
static const struct {
    size_t place;
    uint32_t number;
    const char *sentence;
} numbers[] = {
    {0, VOCAB, "token 0 is 200: expected an id below the vocabulary's 200"},
    {19, UINT32_MAX, "token 19 is 4294967295"},
    {20, 0, "number 0 of its marks is 0: expected ascending ones from 1 to 20"},
    {21, 3, "number 1 of its marks is 3"},
    {21, 2, "number 1 of its marks is 2"},
    {22, 21, "number 2 of its marks is 21"},
    {22, UINT32_MAX, "number 2 of its marks is 4294967295"},
    {23, 1, "number 1 of its positions is 1"},
    {42, 20, "number 19 of its positions is 20: expected ascending ones from 0 to 19"},
    {42, 18, "number 19 of its positions is 18"},
    {30, UINT32_MAX, "number 7 of its positions is 4294967295"},
};

/* A digest is worth something only where the file ends. */
static void check_digest_place(void)
{
    gptoss_sequence *sequence =
        open_marked((gptoss_sequence_options){CONTEXT, 16, GPTOSS_CACHE_BF16}, 20);
    save(sequence, "a note as long as a digest is...", 32, scratch_path("swapped"));
    gptoss_sequence_close(sequence);
    session_file bad = session_file_read(scratch_path("swapped"));
    CHECK(session_file_edit(&bad, "\"note\"", "\"swap\"") &&
              session_file_edit(&bad, "\"sha256\"", "\"note\"") &&
              session_file_edit(&bad, "\"swap\"", "\"sha256\""),
          "swapped");
    session_file_seal(&bad);
    expect_refusal(&bad, NULL, GPTOSS_FORMAT, "its SHA-256 does not end it");
    session_file_free(&bad);
}

static void set_number(session_file *file, size_t place, uint32_t number)
{
    memcpy(file->bytes + 8 + session_file_header(file) + 4 * place, &number, sizeof number);
}

static void check_numbers(const session_file *good)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        session_file bad = session_file_copy(good);
        set_number(&bad, numbers[i].place, numbers[i].number);
        session_file_seal(&bad);
        expect_refusal(&bad, NULL, GPTOSS_FORMAT, numbers[i].sentence);
        session_file_free(&bad);
    }
}

/* Positions that are in order but do not have the windows. */
static void check_windows(void)
{
    gptoss_sequence *sequence =
        open_marked((gptoss_sequence_options){CONTEXT, 16, GPTOSS_CACHE_BF16}, 130);
    CHECK(gptoss_sequence_rewind(sequence, 75, NULL) == GPTOSS_OK, "a mark");
    feed_to(sequence, 0, 200); /* has 0-8, 63-74 of the marks and then those of the ring */
    save(sequence, "", 0, scratch_path("gaps"));
    gptoss_sequence_close(sequence);
    session_file good = session_file_read(scratch_path("gaps"));
    uint32_t held[64 + 30];
    size_t first = 200 + 5; /* behind tokens and marks 3, 8, 9, 70, 75 */
    size_t count = 9 + 12 + 64;
    memcpy(held, good.bytes + 8 + session_file_header(&good) + 4 * first, 4 * count);
    CHECK(held[0] == 0 && held[8] == 8 && held[9] == 63 && held[20] == 74 && held[21] == 136 &&
              held[84] == 199,
          "the positions held");
    static const struct {
        size_t place;
        uint32_t number;
        const char *sentence;
    } gaps[] = {
        {8, 10, "lack positions from 2 to 8"},
        {9, 62, "lack positions from 63 to 69"},
        {20, 80, "lack positions from 68 to 74"},
    };
    for (size_t i = 0; i < sizeof gaps / sizeof *gaps; i++) {
        session_file bad = session_file_copy(&good);
        set_number(&bad, first + gaps[i].place, gaps[i].number);
        session_file_seal(&bad);
        expect_refusal(&bad, NULL, GPTOSS_FORMAT, gaps[i].sentence);
        session_file_free(&bad);
    }
    for (size_t i = 21; i <= 80; i++) /* 135 instead of 195 */
        set_number(&good, first + i, (uint32_t)i + 114);
    session_file_seal(&good);
    expect_refusal(&good, NULL, GPTOSS_FORMAT, "lack positions from 193 to 199");
    session_file_free(&good);
}

static void check_options(const session_file *good)
{
    gptoss_sequence_options options = {19, 16, GPTOSS_CACHE_BF16};
    expect_refusal(good, &options, GPTOSS_LIMIT,
                   "holds 20 tokens: expected at most the context's 19");
    options = (gptoss_sequence_options){20, 16, GPTOSS_CACHE_F32};
    expect_refusal(good, &options, GPTOSS_USAGE, "keeps keys and values in bf16: expected f32");
    options = (gptoss_sequence_options){20, 16, GPTOSS_CACHE_BF16};
    gptoss_sequence *sequence = load(scratch_path("small"), &options, "note", 4);
    CHECK(sequence != NULL && gptoss_sequence_context(sequence) == 20, "it just fits");
    gptoss_sequence_close(sequence);

    gptoss_error error = {GPTOSS_OK, ""};
    char *note;
    size_t length;
    gptoss_model *right = model;
    CHECK(gptoss_model_open(ANOTHER, &model, NULL) == GPTOSS_OK, "another model");
    expect_refusal(good, NULL, GPTOSS_FORMAT,
                   "is a session with another model: expected the one of");
    gptoss_model_close(model);
    model = right;
    CHECK(gptoss_sequence_load(model, scratch_path("nowhere"), NULL, &sequence, &note, &length,
                               &error) == GPTOSS_IO,
          "no file");
    CHECK(gptoss_sequence_load(model, scratch_path("."), NULL, &sequence, &note, &length, &error) ==
              GPTOSS_IO,
          "a directory");
    scratch_write(scratch_path("text"), "This is a text and no session, however long it may be, "
                                        "and it is longer than sessions begin.");
    CHECK(gptoss_sequence_load(model, scratch_path("text"), NULL, &sequence, &note, &length,
                               &error) == GPTOSS_FORMAT &&
              strstr(error.message, "is no session of gptoss") != NULL,
          "%s", error.message);
}

/* ---- saving that fails ----------------------------------------------------------------------- */

/* Files in the directory "saved", which has the old session alone. */
static int count_files(void)
{
    int count = 0;
    DIR *directory = opendir(scratch_path("saved"));
    if (directory == NULL)
        abort();
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void check_failed_saving(const session_file *good)
{
    gptoss_error error = {GPTOSS_OK, ""};
    struct stat info;
    gptoss_sequence *sequence =
        open_marked((gptoss_sequence_options){CONTEXT, 16, GPTOSS_CACHE_F32}, 300);
    const char *path = scratch_path("saved/session");
    scratch_write_bytes(path, good->bytes, good->size);
    const struct rlimit little = {4096, RLIM_INFINITY};
    struct rlimit usual;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &usual);
    setrlimit(RLIMIT_FSIZE, &little);
    gptoss_status status = gptoss_sequence_save(sequence, "", 0, path, &error);
    setrlimit(RLIMIT_FSIZE, &usual);
    CHECK(status == GPTOSS_IO && strstr(error.message, "File too large") != NULL, "%s",
          error.message);
    session_file kept = session_file_read(path);
    CHECK(kept.size == good->size && memcmp(kept.bytes, good->bytes, kept.size) == 0,
          "the old file is as it was");
    session_file_free(&kept);
    CHECK(count_files() == 1, "nothing is left behind");

    CHECK(gptoss_sequence_save(sequence, "", 0, scratch_path("saved/no/session"), &error) ==
              GPTOSS_IO,
          "no directory");
    CHECK(mkdir(scratch_path("saved/directory"), 0777) == 0, "a directory");
    CHECK(gptoss_sequence_save(sequence, "", 0, scratch_path("saved/directory"), &error) ==
                  GPTOSS_IO &&
              strstr(error.message, "should be a regular file but is a directory") != NULL,
          "%s", error.message);
    CHECK(count_files() == 2, "nothing is left behind");

    save(sequence, "", 0, path);
    CHECK(stat(path, &info) == 0 && (info.st_mode & 0777) == 0600, "its owner's only");
    CHECK(count_files() == 2, "one file took the other's place");
    gptoss_sequence_close(sequence);
    gptoss_sequence_close(load(path, NULL, "", 0));
}

/* Two sessions in turn to one name, over and over. */
static _Noreturn void save_for_ever(const gptoss_sequence *const sequences[2], const char *path)
{
    for (unsigned i = 0;; i++)
        if (gptoss_sequence_save(sequences[i % 2], "", 0, path, NULL) != GPTOSS_OK)
            _exit(1);
}

/* Whenever the process dies, the file is one of the two, whole. */
static void check_killed(void)
{
    static const gptoss_sequence_options options = {CONTEXT, 16, GPTOSS_CACHE_F32};
    gptoss_sequence *sequences[2] = {open_marked(options, 300), open_marked(options, 120)};
    const char *path = scratch_path("killed/session");
    bool seen[2] = {false, false};
    CHECK(mkdir(scratch_path("killed"), 0777) == 0, "a directory");
    save(sequences[0], "", 0, path);
    for (uint32_t i = 0; i < 60; i++) {
        pid_t child = fork();
        if (child == 0)
            save_for_ever((const gptoss_sequence *const *)sequences, path);
        CHECK(child > 0, "a process");
        usleep(200 + i * 7919 % 9000);
        kill(child, SIGKILL);
        int how;
        CHECK(waitpid(child, &how, 0) == child && WIFSIGNALED(how), "killed");
        gptoss_sequence *loaded = load(path, NULL, "", 0);
        for (size_t j = 0; loaded != NULL && j < 2; j++)
            seen[j] = seen[j] || gptoss_sequence_length(loaded) == (j == 0 ? 300 : 120);
        gptoss_sequence_close(loaded);
    }
    CHECK(seen[0] && seen[1], "both were found");
    gptoss_sequence_close(sequences[0]);
    gptoss_sequence_close(sequences[1]);
}

int main(void)
{
    scratch_begin();
    CHECK(gptoss_model_open(CHECKPOINT, &model, NULL) == GPTOSS_OK, "model");
    CHECK(gptoss_executor_open(model, &(gptoss_executor_options){.threads = 1}, &executor, NULL) ==
              GPTOSS_OK,
          "executor");
    check_round_trips();
    check_after_mark();
    session_file good = small_session();
    check_every_byte(&good);
    check_cuts(&good);
    check_edits(&good);
    check_numbers(&good);
    check_windows();
    check_digest_place();
    check_options(&good);
    check_failed_saving(&good);
    check_killed();
    session_file_free(&good);
    gptoss_executor_close(executor);
    gptoss_model_close(model);
    return test_result();
}
