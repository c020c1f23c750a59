/*
 * libFuzzer's mutations, and every other time those of mutator.h where the input looks like what
 * they change: JSON or a safetensors file, plain or compressed.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "mutator.h"

#define MOST_INFLATED ((size_t)1 << 20)

/* Of libFuzzer: changes `size` bytes in place and returns the new size. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

/* Called by libFuzzer in place of its own. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed_value);

static uint64_t header_length(const bytes *file)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | file->data[i];
    return length;
}

static bool is_safetensors(const bytes *input)
{
    uint64_t length = input->size > 8 && input->data[8] == '{' ? header_length(input) : 0;
    return length > 0 && length <= input->size - 8;
}

static bool is_json(const bytes *input)
{
    return input->size > 0 && (input->data[0] == '{' || input->data[0] == '[');
}

static bool is_gzip(const bytes *input)
{
    return input->size > 2 && input->data[0] == 0x1f && input->data[1] == 0x8b;
}

/* False where the file does not inflate, or to too much. */
static bool inflate_all(const bytes *file, bytes *out)
{
    static uint8_t room[MOST_INFLATED];
    z_stream stream = {.next_in = file->data,
                       .avail_in = (uInt)file->size,
                       .next_out = room,
                       .avail_out = sizeof room};
    if (inflateInit2(&stream, MAX_WBITS + 16) != Z_OK)
        abort();
    int end = inflate(&stream, Z_FINISH);
    bytes_set(out, room, stream.total_out);
    inflateEnd(&stream);
    return end == Z_STREAM_END;
}

static void deflate_all(const bytes *plain, bytes *out)
{
    static uint8_t room[2 * MOST_INFLATED];
    z_stream stream = {.next_in = plain->data,
                       .avail_in = (uInt)plain->size,
                       .next_out = room,
                       .avail_out = sizeof room};
    if (deflateInit2(&stream, 1, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK ||
        deflate(&stream, Z_FINISH) != Z_STREAM_END)
        abort();
    bytes_set(out, room, stream.total_out);
    deflateEnd(&stream);
}

/* By libFuzzer too, but the header's length stays: spaces may follow it. */
static void mutate_safetensors_header(bytes *file)
{
    size_t length = header_length(file);
    size_t left = LLVMFuzzerMutate(file->data + 8, length, length);
    memset(file->data + 8 + left, ' ', length - left);
}

static void mutate_tensors(dice *rng, const seed_list *seeds, bytes *file)
{
    if (dice_roll(rng, 2) == 0)
        mutate_safetensors(rng, seeds, file);
    else
        mutate_safetensors_header(file);
}

/* False where the input has no structure that is known. */
static bool mutate_structure(dice *rng, const seed_list *seeds, bytes *input)
{
    static bytes inflated;
    if (is_safetensors(input))
        mutate_tensors(rng, seeds, input);
    else if (is_json(input))
        mutate_text(rng, seeds, input);
    else if (is_gzip(input) && inflate_all(input, &inflated) && is_safetensors(&inflated)) {
        mutate_tensors(rng, seeds, &inflated);
        deflate_all(&inflated, input);
    } else {
        return false;
    }
    return true;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed_value)
{
    static bytes changed;
    const seed_list itself = {.seeds = &(seed){.data = data, .size = size}, .count = 1};
    dice rng = {.state = seed_value};
    bytes_set(&changed, data, size);
    if (dice_roll(&rng, 2) == 0 || !mutate_structure(&rng, &itself, &changed))
        return LLVMFuzzerMutate(data, size, most);
    size = changed.size < most ? changed.size : most;
    memcpy(data, changed.data, size);
    return size;
}
