/* Every bound of docs/SECURITY.md at its edge: what is just within is accepted, what is just beyond
 * is refused with a sentence; and numbers that nobody should write. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "check.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/config.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/shards.h"
#include "gptoss.h"
#include "op/parallel.h"
#include "scratch.h"
#include "text/tokenizer_file.h"

static void check_refusal(gptoss_status found, gptoss_status expected, const gptoss_error *error,
                          const char *sentence)
{
    CHECK(found == expected && strstr(error->message, sentence) != NULL,
          "status %d, \"%s\", expected %d, \"%s\"", found, error->message, expected, sentence);
}

/* ---- text that grows ------------------------------------------------------------------------- */

typedef struct text {
    char *bytes;
    size_t length;
} text;

static text text_of(size_t room)
{
    text out = {malloc(room), 0};
    if (out.bytes == NULL)
        abort();
    return out;
}

static void add(text *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(text *out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    out->length += (size_t)vsprintf(out->bytes + out->length, format, arguments);
    va_end(arguments);
}

/* ---- safetensors and index ------------------------------------------------------------------- */

/* A file whose header is a pair of braces with spaces between them. */
static gptoss_status parse_header_of(size_t length, gptoss_error *error)
{
    safetensors file;
    uint8_t *bytes = malloc(8 + length);
    if (bytes == NULL)
        abort();
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)length >> (8 * i));
    memset(bytes + 8, ' ', length);
    bytes[8] = '{';
    bytes[8 + length - 1] = '}';
    gptoss_status status = safetensors_parse(bytes, 8 + length, "F", &file, error);
    safetensors_free(&file);
    free(bytes);
    return status;
}

static void test_header(void)
{
    gptoss_error error = {0};
    CHECK(parse_header_of(SAFETENSORS_MAX_HEADER, &error) == GPTOSS_OK, "%s", error.message);
    check_refusal(parse_header_of(SAFETENSORS_MAX_HEADER + 1, &error), GPTOSS_FORMAT, &error,
                  "its first 8 bytes announce a header of 104857601 bytes, more than 104857600");
}

static gptoss_status parse_tensors(size_t count, gptoss_error *error)
{
    safetensors file;
    text header = text_of(count * 80 + 16);
    for (size_t i = 0; i < count; i++)
        add(&header, "%c\"%zx\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
            i == 0 ? '{' : ',', i);
    add(&header, "}");
    size_t size;
    uint8_t *bytes = scratch_safetensors(header.bytes, 0, &size);
    gptoss_status status = safetensors_parse(bytes, size, "F", &file, error);
    CHECK(status != GPTOSS_OK || file.count == count, "%zu of %zu", file.count, count);
    safetensors_free(&file);
    free(bytes);
    free(header.bytes);
    return status;
}

static gptoss_status parse_index(size_t tensors, size_t files, gptoss_error *error)
{
    shard_index index = {0};
    json_value *document;
    text map = text_of(tensors * 48 + 64);
    add(&map, "{\"weight_map\":");
    for (size_t i = 0; i < tensors; i++)
        add(&map, "%c\"%zx\":\"%zx.safetensors\"", i == 0 ? '{' : ',', i, i % files);
    add(&map, "}}");
    gptoss_status status = json_parse(map.bytes, map.length, "I", &document, error);
    if (status == GPTOSS_OK)
        status = shard_index_parse(document, "I", &index, error);
    shard_index_free(&index);
    json_free(document);
    free(map.bytes);
    return status;
}

static void test_tensors(void)
{
    gptoss_error error = {0};
    CHECK(parse_tensors(SAFETENSORS_MAX_TENSORS, &error) == GPTOSS_OK, "%s", error.message);
    check_refusal(parse_tensors(SAFETENSORS_MAX_TENSORS + 1, &error), GPTOSS_LIMIT, &error,
                  "F: 200001 tensors are more than the supported 200000");
    CHECK(parse_index(SAFETENSORS_MAX_TENSORS, 7, &error) == GPTOSS_OK, "%s", error.message);
    check_refusal(parse_index(SAFETENSORS_MAX_TENSORS + 1, 7, &error), GPTOSS_LIMIT, &error,
                  "I: 200001 tensors are more than the supported 200000");
}

static void test_files(void)
{
    gptoss_error error = {0};
    checkpoint *files = NULL;
    CHECK(parse_index(SHARDS_MAX_FILES, SHARDS_MAX_FILES, &error) == GPTOSS_OK, "%s",
          error.message);
    check_refusal(parse_index(SHARDS_MAX_FILES + 1, SHARDS_MAX_FILES + 1, &error), GPTOSS_LIMIT,
                  &error, "I: 4097 files are more than the supported 4096");
    for (int i = 0; i <= SHARDS_MAX_FILES; i++)
        scratch_write(scratch_path("files/%d.safetensors", i), "");
    check_refusal(checkpoint_open(scratch_path("files"), &files, &error), GPTOSS_LIMIT, &error,
                  "/files: 4097 weight files are more than the supported 4096");
    remove(scratch_path("files/0.safetensors"));
    check_refusal(checkpoint_open(scratch_path("files"), &files, &error), GPTOSS_FORMAT, &error,
                  "/files/1.safetensors is empty");
}

/* Shapes and offsets of one tensor beside the bytes that there are. */
static const struct {
    const char *dtype;
    const char *shape;
    const char *begin;
    const char *end;
    size_t data;
    gptoss_status status;
    const char *sentence;
} tensors[] = {
    {"F32", "[]", "0", "4", 4, GPTOSS_OK, ""}, /* rank 0: one number */
    {"F32", "[0]", "0", "0", 0, GPTOSS_OK, ""},
    {"F32", "[0,9007199254740991,9007199254740991]", "0", "0", 0, GPTOSS_OK, ""},
    {"F32", "[9007199254740991,0]", "0", "0", 0, GPTOSS_OK, ""},
    {"U8", "[1,1,1,1,1,1,1,1]", "0", "1", 1, GPTOSS_OK, ""},
    {"U8", "[1.0]", "0", "1e0", 1, GPTOSS_OK, ""},
    {"F32", "[]", "0", "0", 0, GPTOSS_FORMAT, "should take 4 bytes by its shape and dtype F32"},
    {"F32", "[0]", "0", "4", 4, GPTOSS_FORMAT, "should take 0 bytes"},
    {"U8", "[-1]", "0", "1", 1, GPTOSS_FORMAT, "dimension 0"},
    {"U8", "[-0]", "0", "0", 0, GPTOSS_OK, ""},
    {"U8", "[0.5]", "0", "1", 1, GPTOSS_FORMAT, "dimension 0"},
    {"U8", "[1e400]", "0", "1", 1, GPTOSS_FORMAT, "dimension 0"},
    {"U8", "[null]", "0", "1", 1, GPTOSS_FORMAT, "dimension 0"},
    {"U8", "[9223372036854775807]", "0", "1", 1, GPTOSS_FORMAT, "dimension 0"},
    {"U8", "[9223372036854775808]", "0", "1", 1, GPTOSS_FORMAT, "dimension 0"},
    {"U8", "[18446744073709551615]", "0", "1", 1, GPTOSS_FORMAT, "dimension 0"},
    {"U8", "[18446744073709551617]", "0", "1", 1, GPTOSS_FORMAT, "dimension 0"},
    {"U8", "[4294967296,2147483648]", "0", "1", 1, GPTOSS_FORMAT,
     "should take 9223372036854775808 bytes"},
    {"U8", "[4294967296,4294967295]", "0", "1", 1, GPTOSS_FORMAT,
     "should take 18446744069414584320 bytes"},
    {"U8", "[4294967296,4294967296]", "0", "1", 1, GPTOSS_FORMAT, "is more than 2^64 bytes"},
    {"F64", "[2305843009213693952]", "0", "1", 1, GPTOSS_FORMAT, "dimension 0"},
    {"F64", "[4503599627370496,4096]", "0", "1", 1, GPTOSS_FORMAT, "is more than 2^64 bytes"},
    {"U8", "[1]", "9007199254740991", "9007199254740991", 1, GPTOSS_FORMAT, "should take 1 bytes"},
    {"U8", "[1]", "9007199254740990", "9007199254740991", 1, GPTOSS_FORMAT,
     "the 9007199254740990 bytes before tensor"},
    {"U8", "[1]", "18446744073709551615", "0", 1, GPTOSS_FORMAT, "two whole numbers"},
    {"U8", "[1]", "9223372036854775807", "9223372036854775808", 1, GPTOSS_FORMAT,
     "two whole numbers"},
    {"U8", "[1]", "-1", "0", 1, GPTOSS_FORMAT, "two whole numbers"},
    {"U8", "[1]", "0.5", "1.5", 1, GPTOSS_FORMAT, "two whole numbers"},
    {"U8", "[1]", "1", "0", 1, GPTOSS_FORMAT, "end at 0, before they begin at 1"},
    {"U8", "[9007199254740991]", "0", "9007199254740991", 1, GPTOSS_FORMAT,
     "bytes of the 90071992547410"},
    {"F4", "[2]", "0", "1", 1, GPTOSS_UNSUPPORTED, "has dtype \"F4\""},
    {"u8", "[1]", "0", "1", 1, GPTOSS_UNSUPPORTED, "has dtype \"u8\""},
    {"", "[1]", "0", "1", 1, GPTOSS_UNSUPPORTED, "has dtype \"\""},
};

static void test_shapes(void)
{
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        char header[256];
        size_t size;
        safetensors file;
        gptoss_error error = {0};
        snprintf(header, sizeof header,
                 "{\"t\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%s,%s]}}",
                 tensors[i].dtype, tensors[i].shape, tensors[i].begin, tensors[i].end);
        uint8_t *bytes = scratch_safetensors(header, tensors[i].data, &size);
        gptoss_status status = safetensors_parse(bytes, size, "F", &file, &error);
        CHECK(status == tensors[i].status && strstr(error.message, tensors[i].sentence) != NULL,
              "%s: status %d, \"%s\", expected \"%s\"", header, status, error.message,
              tensors[i].sentence);
        safetensors_free(&file);
        free(bytes);
    }
}

/* ---- JSON files ------------------------------------------------------------------------------ */

/* A file of so many zero bytes that takes no space. */
static const char *hole(const char *name, off_t bytes)
{
    const char *path = scratch_path("%s", name);
    scratch_write(path, "");
    CHECK(truncate(path, bytes) == 0, "%s", path);
    return path;
}

static void test_json_files(void)
{
    gptoss_error error = {0};
    json_value *document;
    const char *path = hole("j.json", JSON_MAX_FILE);
    check_refusal(json_parse_file(path, &document, &error), GPTOSS_FORMAT, &error,
                  "a value is expected at byte 0 of 104857600");
    path = hole("j.json", (off_t)JSON_MAX_FILE + 1);
    check_refusal(json_parse_file(path, &document, &error), GPTOSS_LIMIT, &error,
                  "/j.json has 104857601 bytes, more than the 104857600 that a file of its kind");
    gptoss_tokenizer *tokenizer;
    path = hole("t.json", ((off_t)1 << 30) + 1);
    check_refusal(gptoss_tokenizer_open(path, &tokenizer, &error), GPTOSS_LIMIT, &error,
                  "/t.json has 1073741825 bytes, more than the 1073741824 that a file of its kind");
}

/* ---- config.json ----------------------------------------------------------------------------- */

static gptoss_status parse_config(bool openai, const char *key, const char *value,
                                  gptoss_config *config, gptoss_error *error)
{
    char document[512];
    json_value *parsed;
    snprintf(document, sizeof document, "{%s,\"%s\":%s}",
             openai ? "\"num_hidden_layers\":2,\"num_experts\":4,\"experts_per_token\":1"
                    : "\"model_type\":\"gpt_oss\",\"num_experts_per_tok\":1",
             key, value);
    gptoss_status status = json_parse(document, strlen(document), "C", &parsed, error);
    if (status == GPTOSS_OK)
        status = config_parse(parsed, "C", config, error);
    json_free(parsed);
    return status;
}

/* The counts of both spellings with what may stand there. */
static const struct {
    const char *key;
    bool openai;
    uint64_t least, most;
} counts[] = {
    {"num_hidden_layers", false, 1, GPTOSS_MAX_LAYERS},
    {"hidden_size", false, 1, CONFIG_MAX_WIDTH},
    {"intermediate_size", false, 1, CONFIG_MAX_WIDTH},
    {"vocab_size", false, 1, CONFIG_MAX_VOCAB},
    {"num_local_experts", false, 1, CONFIG_MAX_EXPERTS},
    {"max_position_embeddings", false, 1, CONFIG_MAX_CONTEXT},
    {"sliding_window", false, 1, INT32_MAX},
    {"hidden_size", true, 1, CONFIG_MAX_WIDTH},
    {"intermediate_size", true, 1, CONFIG_MAX_WIDTH},
    {"vocab_size", true, 1, CONFIG_MAX_VOCAB},
};

static const char *const no_counts[] = {
    "-1",
    "0",
    "0.5",
    "1.5",
    "-0.5",
    "1e-300",
    "4294967296",
    "4294967297",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551617",
    "1e300",
    "1e400",
    "-1e400",
    "\"1\"",
    "\"NaN\"",
    "true",
    "[1]",
    "{}",
};

static void test_counts(void)
{
    static gptoss_config config;
    char value[32];
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (int edge = 0; edge < 4; edge++) {
            gptoss_error error = {0};
            uint64_t number = edge < 2 ? counts[i].least : counts[i].most;
            number += edge == 3;
            number -= edge == 0;
            snprintf(value, sizeof value, "%" PRIu64, number);
            gptoss_status status =
                parse_config(counts[i].openai, counts[i].key, value, &config, &error);
            bool good = edge == 1 || edge == 2;
            CHECK((status == GPTOSS_OK) == good, "%s %s: %d %s", counts[i].key, value, status,
                  error.message);
            CHECK(good || strstr(error.message, counts[i].key) != NULL, "%s", error.message);
        }
        for (size_t j = 0; j < sizeof no_counts / sizeof *no_counts; j++) {
            gptoss_error error = {0};
            gptoss_status status =
                parse_config(counts[i].openai, counts[i].key, no_counts[j], &config, &error);
            CHECK(status == GPTOSS_FORMAT && strstr(error.message, counts[i].key) != NULL,
                  "%s %s: %d %s", counts[i].key, no_counts[j], status, error.message);
        }
    }
}

static const char *const reals[] = {"rms_norm_eps", "swiglu_limit", "rope_theta"};
static const char *const no_reals[] = {"-1",     "-1e-300",  "1e300", "1e400",
                                       "-1e400", "\"1e-5\"", "[]",    "true"};

static void test_reals(void)
{
    static gptoss_config config;
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        for (size_t j = 0; j < sizeof no_reals / sizeof *no_reals; j++) {
            for (int openai = 0; openai < 2; openai++) {
                gptoss_error error = {0};
                if (openai == 1 && i == 0)
                    continue; /* OpenAI's spelling has no epsilon */
                gptoss_status status =
                    parse_config(openai == 1, reals[i], no_reals[j], &config, &error);
                CHECK(status == GPTOSS_FORMAT && strstr(error.message, reals[i]) != NULL,
                      "%s %s: %d %s", reals[i], no_reals[j], status, error.message);
            }
        }
    }
}

/* As Python's reader does: of a key that comes twice the last one counts, whatever the first is. */
static void test_repeated_keys(void)
{
    static gptoss_config config;
    gptoss_error error = {0};
    CHECK(parse_config(false, "hidden_size\":\"x\",\"hidden_size", "64", &config, &error) ==
                  GPTOSS_OK &&
              config.hidden == 64,
          "%s", error.message);
    CHECK(parse_config(false, "hidden_size\":64,\"hidden_size", "\"x\"", &config, &error) ==
              GPTOSS_FORMAT,
          "the last one is no number");
}

/* ---- vocabularies ---------------------------------------------------------------------------- */

static void test_tokens(void)
{
    static char bytes[TOKEN_MAX_BYTES + 1];
    gptoss_error error = {0};
    vocabulary vocab = {0};
    memset(bytes, 'a', sizeof bytes);
    CHECK(vocabulary_add(&vocab, TOKEN_ADDED, 1, bytes, TOKEN_MAX_BYTES, "V", &error) == GPTOSS_OK,
          "%s", error.message);
    check_refusal(vocabulary_add(&vocab, TOKEN_ADDED, 2, bytes, TOKEN_MAX_BYTES + 1, "V", &error),
                  GPTOSS_LIMIT, &error, "V: token 2 has 4097 bytes, expected at most 4096");
    CHECK(vocabulary_add(&vocab, TOKEN_ADDED, TOKEN_MAX_ID - 1, "b", 1, "V", &error) == GPTOSS_OK,
          "%s", error.message);
    check_refusal(vocabulary_add(&vocab, TOKEN_ADDED, TOKEN_MAX_ID, "c", 1, "V", &error),
                  GPTOSS_LIMIT, &error, "V: token id 16777216, expected below 16777216");
    vocabulary_free(&vocab);
}

/* The low bits of FNV-1a, by which a vocabulary's index begins to look. */
static uint64_t index_bits(const char *bytes, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325U;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)bytes[i]) * 0x100000001b3U;
    return (hash ^ hash >> 32) & 0xffff;
}

/* Tokens that were chosen to have the same place in the index are refused before it gets slow. */
static void test_chosen_tokens(void)
{
    gptoss_error error = {0};
    vocabulary vocab = {0};
    gptoss_status status = GPTOSS_OK;
    uint32_t count = 0;
    for (uint64_t i = 0; status == GPTOSS_OK && count < 1000; i++) {
        char bytes[8];
        memcpy(bytes, &i, sizeof bytes);
        if (index_bits(bytes, sizeof bytes) == 0)
            status =
                vocabulary_add(&vocab, TOKEN_LEARNED, count++, bytes, sizeof bytes, "V", &error);
    }
    check_refusal(status, GPTOSS_LIMIT, &error, "has the same hash as too many others");
    CHECK(count == TOKEN_MAX_PROBES + 2, "%u tokens", count);
    vocabulary_free(&vocab);
}

static void test_chosen_merges(void)
{
    gptoss_error error = {0};
    merge_list list = {0};
    merge_table table = {0};
    for (uint32_t left = 0; list.count < 600; left++) {
        uint64_t hash = ((uint64_t)left << 32 | 1) * 0x9e3779b97f4a7c15U;
        if (((hash ^ hash >> 32) & 0xfff) == 0)
            CHECK(merge_list_add(&list, (merge){left, 1, left}, &error) == GPTOSS_OK, "%s",
                  error.message);
    }
    check_refusal(merge_table_build(&list, "V", &table, &error), GPTOSS_LIMIT, &error,
                  "V: merge 257 has the same hash as too many others");
    list.count = TOKEN_MAX_PROBES;
    CHECK(merge_table_build(&list, "V", &table, &error) == GPTOSS_OK, "%s", error.message);
    merge_table_free(&table);
    merge_list_free(&list);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void test_runs(void)
{
    gptoss_error error = {0};
    gptoss_model *model = NULL;
    gptoss_executor *executor = NULL;
    gptoss_sequence *sequence = NULL;
    CHECK(gptoss_model_open(GPTOSS_SOURCE_DIR "/tests/golden/published/hf", &model, &error) ==
              GPTOSS_OK,
          "%s", error.message);
    uint32_t context = gptoss_model_config(model)->context;
    check_refusal(
        gptoss_executor_open(model, &(gptoss_executor_options){.threads = PARALLEL_MAX_THREADS + 1},
                             &executor, &error),
        GPTOSS_LIMIT, &error, "1025 threads: expected at most 1024");
    check_refusal(gptoss_executor_open(model,
                                       &(gptoss_executor_options){.chunk = GPTOSS_MAX_CHUNK + 1},
                                       &executor, &error),
                  GPTOSS_LIMIT, &error, "a chunk of 65537 rows: expected at most 65536");
    check_refusal(gptoss_sequence_open(model,
                                       &(gptoss_sequence_options){.chunk = GPTOSS_MAX_CHUNK + 1},
                                       &sequence, &error),
                  GPTOSS_LIMIT, &error, "a chunk of 65537 rows: expected at most 65536");
    check_refusal(gptoss_sequence_open(model, &(gptoss_sequence_options){.context = context + 1},
                                       &sequence, &error),
                  GPTOSS_LIMIT, &error, "the model is made for at most");
    CHECK(executor == NULL && sequence == NULL, "nothing is left");
    CHECK(gptoss_executor_open(model,
                               &(gptoss_executor_options){.threads = 1, .chunk = GPTOSS_MAX_CHUNK},
                               &executor, &error) == GPTOSS_OK,
          "%s", error.message);
    CHECK(gptoss_sequence_open(
              model, &(gptoss_sequence_options){.context = context, .chunk = GPTOSS_MAX_CHUNK},
              &sequence, &error) == GPTOSS_OK,
          "%s", error.message);
    gptoss_sequence_close(sequence);
    gptoss_executor_close(executor);
    gptoss_model_close(model);
}

int main(void)
{
    scratch_begin();
    test_header();
    test_tensors();
    test_files();
    test_shapes();
    test_json_files();
    test_counts();
    test_reals();
    test_repeated_keys();
    test_tokens();
    test_chosen_tokens();
    test_chosen_merges();
    test_runs();
    return test_result();
}
