/* Headers that are written: what is read from them is what was put in. */
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "check.h"
#include "checkpoint/safetensors_writer.h"

/* The header with its tensors' bytes behind it, all zero. */
static uint8_t *with_tensors(const safetensors_header *header, size_t *size)
{
    *size = header->text.length + header->bytes;
    uint8_t *file = calloc(1, *size);
    if (file == NULL)
        abort();
    memcpy(file, header->text.bytes, header->text.length);
    return file;
}

static void check_round_trip(void)
{
    static const uint64_t shape[] = {2, 3, 4};
    static const uint64_t none[] = {5, 0};
    static const char odd[] = "quotes \" and \\, a line\n, \xc3\xa9 and \x01";
    safetensors_header header = {.in_tensors = false};
    gptoss_error error = {GPTOSS_OK, ""};
    safetensors_put_entry(&header, "first", "value");
    safetensors_put_entry(&header, "absent", NULL);
    safetensors_put_entry(&header, "odd", odd);
    safetensors_put_tensor(&header, "a", DTYPE_BF16, shape, 3, 0);
    safetensors_put_tensor(&header, "scalar", DTYPE_F64, NULL, 0, header.bytes);
    safetensors_put_tensor(&header, "empty", DTYPE_U8, none, 2, header.bytes);
    CHECK(header.bytes == 56, "%zu", (size_t)header.bytes);
    CHECK(safetensors_end_header(&header, "it", &error) == GPTOSS_OK, "%s", error.message);
    CHECK(header.text.length % 8 == 0, "%zu", header.text.length);

    size_t size;
    uint8_t *bytes = with_tensors(&header, &size);
    safetensors file;
    CHECK(safetensors_parse(bytes, size, "it", &file, &error) == GPTOSS_OK, "%s", error.message);
    const tensor *found[] = {safetensors_find(&file, "a"), safetensors_find(&file, "scalar"),
                             safetensors_find(&file, "empty")};
    CHECK(file.count == 3, "%zu tensors", file.count);
    CHECK(found[0] != NULL && found[0]->type == DTYPE_BF16 && found[0]->rank == 3 &&
              memcmp(found[0]->shape, shape, sizeof shape) == 0 &&
              found[0]->offset == header.text.length,
          "the first");
    CHECK(found[1] != NULL && found[1]->rank == 0 && found[1]->bytes == 8 &&
              found[1]->offset == header.text.length + 48,
          "a scalar");
    CHECK(found[2] != NULL && found[2]->bytes == 0, "an empty one");
    CHECK(strcmp(json_string(json_member(file.metadata, "first")), "value") == 0 &&
              strcmp(json_string(json_member(file.metadata, "odd")), odd) == 0 &&
              json_count(file.metadata) == 2,
          "the metadata");
    safetensors_free(&file);
    free(bytes);
    safetensors_free_header(&header);
    safetensors_free_header(&header);
}

/* Neither entries nor tensors. */
static void check_empty(void)
{
    safetensors_header header = {.in_tensors = false};
    CHECK(safetensors_end_header(&header, "it", NULL) == GPTOSS_OK, "ended");
    CHECK(strncmp(header.text.bytes + 8, "{\"__metadata__\":{}}", 19) == 0, "%s",
          header.text.bytes + 8);
    safetensors_free_header(&header);
}

static void check_limit(void)
{
    safetensors_header header = {.in_tensors = false};
    gptoss_error error = {GPTOSS_OK, ""};
    size_t length = SAFETENSORS_MAX_HEADER;
    char *value = malloc(length + 1);
    if (value == NULL)
        abort();
    memset(value, 'x', length);
    value[length] = '\0';
    safetensors_put_entry(&header, "long", value);
    CHECK(safetensors_end_header(&header, "it", &error) == GPTOSS_LIMIT, "too long");
    CHECK(strstr(error.message, "it: its header would have 1048") != NULL, "%s", error.message);
    safetensors_free_header(&header);
    free(value);
}

static void check_memory(void)
{
    safetensors_header header = {.in_tensors = false};
    gptoss_error error = {GPTOSS_OK, ""};
    allocations.until = 0;
    allocations.for_ever = true;
    safetensors_put_entry(&header, "key", "value");
    safetensors_put_tensor(&header, "a", DTYPE_U8, (const uint64_t[]){1}, 1, 0);
    gptoss_status status = safetensors_end_header(&header, "it", &error);
    allocations.until = -1;
    CHECK(!ALLOCATIONS_COUNTED || status == GPTOSS_MEMORY, "%d", (int)status);
    safetensors_free_header(&header);
}

int main(void)
{
    check_round_trip();
    check_empty();
    check_limit();
    check_memory();
    return test_result();
}
