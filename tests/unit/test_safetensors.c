/* checkpoint/safetensors: what is read, and the sentence for each kind of broken file. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "checkpoint/safetensors.h"
#include "scratch.h"

#define TENSOR(name, dtype, shape, begin, end)                                                     \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end   \
    "]}"

static void test_good(void)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"}," TENSOR("b", "F32", "[2,1]", "4", "12") "," TENSOR(
            "a", "BF16", "[2]", "0", "4") "," TENSOR("empty", "F64", "[0,3]", "4",
                                                     "4") "," TENSOR("rank0", "U8", "[]", "12",
                                                                     "13") "}    ";
    size_t size;
    uint8_t *bytes = scratch_safetensors(header, 13, &size);
    gptoss_error error = {0};
    safetensors file;
    gptoss_status status = safetensors_parse(bytes, size, "F", &file, &error);
    CHECK(status == GPTOSS_OK, "%s", error.message);
    CHECK(file.count == 4, "%zu tensors", file.count);
    size_t start = size - 13;
    const tensor *a = safetensors_find(&file, "a");
    CHECK(a == &file.tensors[0], "sorted by name");
    CHECK(a != NULL && a->type == DTYPE_BF16 && a->rank == 1 && a->shape[0] == 2 && a->bytes == 4 &&
              a->offset == start && a->data == bytes + start,
          "a");
    const tensor *b = safetensors_find(&file, "b");
    CHECK(b != NULL && b->offset == start + 4 && b->rank == 2 && b->shape[1] == 1, "b");
    const tensor *empty = safetensors_find(&file, "empty");
    CHECK(empty != NULL && empty->bytes == 0 && empty->rank == 2, "a tensor without elements");
    const tensor *rank0 = safetensors_find(&file, "rank0");
    CHECK(rank0 != NULL && rank0->bytes == 1 && rank0->rank == 0, "a scalar");
    CHECK(safetensors_find(&file, "c") == NULL, "not there");
    const json_value *format = json_member(file.metadata, "format");
    CHECK(json_is_string(format) && strcmp(json_string(format), "pt") == 0, "metadata");
    safetensors_free(&file);
    CHECK(safetensors_find(&file, "a") == NULL, "freed");
    free(bytes);

    bytes = scratch_safetensors("{}", 0, &size);
    CHECK(safetensors_parse(bytes, size, "F", &file, &error) == GPTOSS_OK && file.count == 0,
          "an empty header: %s", error.message);
    safetensors_free(&file);
    free(bytes);
}

static void test_dtypes(void)
{
    static const struct {
        const char *name;
        size_t bytes;
    } known[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},   {"F8_E5M2", 1}, {"F8_E4M3", 1}, {"U16", 2},
                 {"I16", 2},  {"F16", 2}, {"BF16", 2}, {"U32", 4},     {"I32", 4},     {"F32", 4},
                 {"U64", 8},  {"I64", 8}, {"F64", 8},  {"F8_E8M0", 1}};
    CHECK(sizeof known / sizeof *known == DTYPE_COUNT, "all dtypes");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        char header[128];
        snprintf(header, sizeof header,
                 "{\"t\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%zu]}}", known[i].name,
                 3 * known[i].bytes);
        size_t size;
        uint8_t *bytes = scratch_safetensors(header, 3 * known[i].bytes, &size);
        gptoss_error error = {0};
        safetensors file;
        CHECK(safetensors_parse(bytes, size, "F", &file, &error) == GPTOSS_OK, "%s", error.message);
        CHECK(file.count == 1 && strcmp(dtype_name(file.tensors[0].type), known[i].name) == 0, "%s",
              known[i].name);
        safetensors_free(&file);
        free(bytes);
    }
}

static const struct {
    const char *header;
    size_t data;
    gptoss_status status;
    const char *sentence;
} refused[] = {
    {"{" TENSOR("t", "F4", "[2]", "0", "1") "}", 1, GPTOSS_UNSUPPORTED,
     "F: tensor \"t\" has dtype \"F4\", which is not supported"},
    {"{" TENSOR("\\u001b[31mred", "F4", "[2]", "0", "1") "}", 1, GPTOSS_UNSUPPORTED,
     "tensor \"?[31mred\" has dtype"},
    {"{" TENSOR("t", "bf16", "[2]", "0", "4") "}", 4, GPTOSS_UNSUPPORTED, "dtype \"bf16\""},
    {"{\"t\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, GPTOSS_FORMAT,
     "the dtype of tensor \"t\" is not a string"},
    {"{\"t\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, GPTOSS_FORMAT,
     "tensor \"t\" has no entry \"dtype\""},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"shape\":[2],\"data_offsets\":[0,1]}}", 1,
     GPTOSS_FORMAT, "tensor \"t\" has two entries \"shape\""},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, GPTOSS_FORMAT,
     "tensor \"t\" has no entry \"data_offsets\""},
    {"{\"t\":[]}", 0, GPTOSS_FORMAT, "the entry of tensor \"t\" is not an object"},
    {"{" TENSOR("t", "U8", "7", "0", "7") "}", 7, GPTOSS_FORMAT,
     "the shape of tensor \"t\" is not an array"},
    {"{" TENSOR("t", "U8", "[1,-1]", "0", "1") "}", 1, GPTOSS_FORMAT,
     "dimension 1 of tensor \"t\" is not a whole number from 0 to 2^53 - 1"},
    {"{" TENSOR("t", "U8", "[1.5]", "0", "1") "}", 1, GPTOSS_FORMAT, "dimension 0"},
    {"{" TENSOR("t", "U8", "[\"1\"]", "0", "1") "}", 1, GPTOSS_FORMAT, "dimension 0"},
    {"{" TENSOR("t", "U8", "[9007199254740993]", "0", "1") "}", 1, GPTOSS_FORMAT, "dimension 0"},
    {"{" TENSOR("t", "U8", "[1,1,1,1,1,1,1,1,1]", "0", "1") "}", 1, GPTOSS_LIMIT,
     "tensor \"t\" has more than 8 dimensions"},
    {"{" TENSOR("t", "F64", "[4294967296,4294967296]", "0", "0") "}", 0, GPTOSS_FORMAT,
     "the shape of tensor \"t\" is more than 2^64 bytes"},
    {"{" TENSOR("t", "F32", "[2]", "0", "4") "}", 4, GPTOSS_FORMAT,
     "tensor \"t\" should take 8 bytes by its shape and dtype F32, but its data_offsets span 4"},
    {"{" TENSOR("t", "U8", "[1]", "2", "1") "}", 2, GPTOSS_FORMAT,
     "data_offsets of tensor \"t\" end at 1, before they begin at 2"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, GPTOSS_FORMAT,
     "data_offsets of tensor \"t\" are not two whole numbers"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, GPTOSS_FORMAT,
     "data_offsets of tensor \"t\" are not two whole numbers"},
    {"{" TENSOR("t", "U8", "[1]", "-1", "0") "}", 1, GPTOSS_FORMAT, "are not two whole numbers"},
    {"{" TENSOR("a", "U8", "[2]", "0", "2") "," TENSOR("b", "U8", "[2]", "1", "3") "}", 3,
     GPTOSS_FORMAT, "tensor \"b\" begins at offset 1, inside tensor \"a\", which ends at 2"},
    {"{" TENSOR("a", "U8", "[2]", "0", "2") "," TENSOR("b", "U8", "[2]", "3", "5") "}", 5,
     GPTOSS_FORMAT, "the 1 bytes before tensor \"b\" belong to no tensor"},
    {"{" TENSOR("a", "U8", "[2]", "1", "3") "}", 3, GPTOSS_FORMAT, "the 1 bytes before tensor"},
    {"{" TENSOR("a", "U8", "[2]", "0", "2") "}", 3, GPTOSS_FORMAT,
     "F has 64 bytes, 1 more than its header accounts for"},
    {"{" TENSOR("a", "U8", "[2]", "0", "2") "}", 1, GPTOSS_FORMAT,
     "F is cut short, probably by a download that did not finish: it has 62 bytes of the 63 that "
     "its header promises; download it again"},
    {"{" TENSOR("a", "U8", "[2]", "0", "2") "," TENSOR("a", "U8", "[2]", "2", "4") "}", 4,
     GPTOSS_FORMAT, "the header names tensor \"a\" twice"},
    {"{\"__metadata__\":{\"a\":1}}", 0, GPTOSS_FORMAT,
     "\"a\" in the header's __metadata__ is not a string"},
    {"{\"__metadata__\":[]}", 0, GPTOSS_FORMAT, "the header's __metadata__ is not an object"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, GPTOSS_FORMAT,
     "the header has two entries \"__metadata__\""},
    {"{\"t\":}", 0, GPTOSS_FORMAT,
     "the header of F is not valid JSON: a value is expected at byte 5 of 6"},
    {"[]", 0, GPTOSS_FORMAT,
     "F is no safetensors file: its header begins with byte 91 instead of '{'"},
};

static void test_refused(void)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        size_t size;
        uint8_t *bytes = scratch_safetensors(refused[i].header, refused[i].data, &size);
        gptoss_error error = {0};
        safetensors file;
        gptoss_status status = safetensors_parse(bytes, size, "F", &file, &error);
        CHECK(status == refused[i].status, "%s: status %d, %s", refused[i].header, status,
              error.message);
        CHECK(strstr(error.message, refused[i].sentence) != NULL, "%s: %s", refused[i].header,
              error.message);
        CHECK(file.tensors == NULL && file.header == NULL, "nothing is left behind");
        free(bytes);
    }
}

#define BYTES(text) text, sizeof(text) - 1

static void test_prefix(void)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *sentence;
    } cases[] = {
        {BYTES(""), "F is empty"},
        {BYTES("\x02\0\0\0"), "F has 4 bytes, too few for a safetensors header"},
        {BYTES("\0\0\0\0\0\0\0\0\0\0"), "F begins with zeros instead of a header"},
        {BYTES("\xff\xff\xff\xff\0\0\0\0{"),
         "announce a header of 4294967295 bytes, more than 104857600"},
        {BYTES("\x20\0\0\0\0\0\0\0{}"),
         "F is cut short, probably by a download that did not finish: it has 10 bytes, its header "
         "alone 40"},
        {BYTES("\x20\0\0\0\0\0\0\0"), "it has 8 bytes, its header alone 40"},
        {BYTES("version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4792272488\n"),
         "F is a Git LFS pointer of 75 bytes, not the 4792272488 bytes of weights it stands for; "
         "fetch them with `git lfs pull`"},
        {BYTES("GGUF\3\0\0\0\0\0"), "F is a GGUF file"},
        {BYTES("PK\3\4\0\0\0\0\0\0"), "F is a zip archive"},
        {BYTES("<!DOCTYPE html>"), "F is a web page"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *bytes = malloc(cases[i].size + (cases[i].size == 0));
        if (bytes == NULL)
            abort();
        memcpy(bytes, cases[i].bytes, cases[i].size);
        gptoss_error error = {0};
        safetensors file;
        CHECK(safetensors_parse(bytes, cases[i].size, "F", &file, &error) == GPTOSS_FORMAT, "%s",
              cases[i].sentence);
        CHECK(strstr(error.message, cases[i].sentence) != NULL, "%s: %s", cases[i].sentence,
              error.message);
        free(bytes);
    }
}

static void test_long_name(void)
{
    char header[SAFETENSORS_MAX_NAME + 128];
    char name[SAFETENSORS_MAX_NAME + 1];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (size_t cut = 0; cut < 2; cut++) {
        name[SAFETENSORS_MAX_NAME - cut] = '\0';
        snprintf(header, sizeof header,
                 "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", name);
        size_t size;
        uint8_t *bytes = scratch_safetensors(header, 1, &size);
        gptoss_error error = {0};
        safetensors file;
        gptoss_status status = safetensors_parse(bytes, size, "F", &file, &error);
        CHECK(status == (cut == 1 ? GPTOSS_OK : GPTOSS_LIMIT), "%s", error.message);
        safetensors_free(&file);
        free(bytes);
    }
}

int main(void)
{
    test_good();
    test_dtypes();
    test_refused();
    test_prefix();
    test_long_name();
    return test_result();
}
