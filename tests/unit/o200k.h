/*
 * o200k_base for tests: the ranks inflated from the tree, and gpt-oss's tokenizer.json rebuilt from
 * them byte for byte. What fails here ends the program: it is not the tested code's fault.
 */
#ifndef TESTS_UNIT_O200K_H
#define TESTS_UNIT_O200K_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/gzip.h"
#include "base/map.h"
#include "text/pretokenize.h"
#include "text/tokenizer_file.h"

#define O200K_DIRECTORY   GPTOSS_SOURCE_DIR "/tests/golden/o200k/"
#define O200K_RANKS_SHA   "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
#define O200K_JSON_SHA    "0614fe83cadab421296e664e1f48f4261fa8fef6e03e63bb75c20f38e37d07d3"
#define O200K_JSON_LENGTH 27868174

static inline void o200k_require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "o200k for tests: %s\n", what);
        exit(2);
    }
}

/* All of a gzip file of the golden folder; for free(). */
static inline char *o200k_inflate(const char *name, size_t *length)
{
    char path[1024];
    snprintf(path, sizeof path, "%s%s", O200K_DIRECTORY, name);
    file_map file;
    uint8_t *data = NULL;
    o200k_require(file_map_open(path, &file, NULL) == GPTOSS_OK, path);
    o200k_require(gzip_inflate(file.data, file.size, path, 64U << 20, &data, length, NULL) ==
                      GPTOSS_OK,
                  path);
    file_map_close(&file);
    return (char *)data;
}

/* ---- tokenizer.json -------------------------------------------------------------------------- */

/* A token in GPT-2's printable alphabet, in quotes. */
static inline void o200k_spell(FILE *out, const vocabulary *vocab, uint32_t id)
{
    token spelled = vocabulary_token(vocab, id);
    fputc('"', out);
    for (uint32_t i = 0; i < spelled.length; i++) {
        unsigned byte = (uint8_t)vocab->bytes[spelled.offset + i];
        unsigned code = byte;
        if (byte <= 32)
            code = 256 + byte;
        else if (byte >= 127 && byte <= 160)
            code = 256 + 33 + byte - 127;
        else if (byte == 173)
            code = 323;
        if (code == '"' || code == '\\')
            fputc('\\', out);
        if (code < 128)
            fputc((int)code, out);
        else
            fprintf(out, "%c%c", 0xc0 | code >> 6, 0x80 | (code & 0x3f));
    }
    fputc('"', out);
}

static inline void o200k_write_added(FILE *out, const vocabulary *vocab)
{
    for (uint32_t id = 199998; id < vocab->size; id++) {
        token added = vocabulary_token(vocab, id);
        fprintf(
            out,
            "%s    {\n      \"id\": %u,\n      \"content\": \"%.*s\",\n"
            "      \"single_word\": false,\n      \"lstrip\": false,\n      \"rstrip\": false,\n"
            "      \"normalized\": false,\n      \"special\": true\n    }",
            id == 199998 ? "" : ",\n", id, (int)added.length, vocab->bytes + added.offset);
    }
}

static inline void o200k_write_pattern(FILE *out)
{
    for (const char *c = o200k_pattern; *c != '\0'; c++) {
        if (*c == '\\')
            fputc('\\', out);
        fputc(*c, out);
    }
}

static inline int o200k_compare_merges(const void *left, const void *right)
{
    const merge *a = left;
    const merge *b = right;
    if (a->merged != b->merged)
        return a->merged < b->merged ? -1 : 1;
    return (a->left > b->left) - (a->left < b->left);
}

static inline void o200k_write_merges(FILE *out, tokenizer_file *file)
{
    const vocabulary *vocab = &file->vocab;
    qsort(file->merges.items, file->merges.count, sizeof(merge), o200k_compare_merges);
    for (size_t i = 0; i < file->merges.count; i++) {
        fputs(i == 0 ? "      [\n        " : ",\n      [\n        ", out);
        o200k_spell(out, vocab, file->merges.items[i].left);
        fputs(",\n        ", out);
        o200k_spell(out, vocab, file->merges.items[i].right);
        fputs("\n      ]", out);
    }
}

/* Writes the document that the hub has for gpt-oss. Source: the file itself, by its SHA-256. */
static inline void o200k_write_json(FILE *out, tokenizer_file *file)
{
    fputs("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n"
          "  \"added_tokens\": [\n",
          out);
    o200k_write_added(out, &file->vocab);
    fputs(
        "\n  ],\n  \"normalizer\": null,\n  \"pre_tokenizer\": {\n    \"type\": \"Sequence\",\n"
        "    \"pretokenizers\": [\n      {\n        \"type\": \"Split\",\n        \"pattern\": {\n"
        "          \"Regex\": \"",
        out);
    o200k_write_pattern(out);
    fputs("\"\n        },\n        \"behavior\": \"Isolated\",\n        \"invert\": false\n"
          "      },\n      {\n        \"type\": \"ByteLevel\",\n"
          "        \"add_prefix_space\": false,\n        \"trim_offsets\": true,\n"
          "        \"use_regex\": false\n      }\n    ]\n  },\n  \"post_processor\": {\n"
          "    \"type\": \"ByteLevel\",\n    \"add_prefix_space\": true,\n"
          "    \"trim_offsets\": false,\n    \"use_regex\": true\n  },\n  \"decoder\": {\n"
          "    \"type\": \"ByteLevel\",\n    \"add_prefix_space\": true,\n"
          "    \"trim_offsets\": true,\n    \"use_regex\": true\n  },\n  \"model\": {\n"
          "    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
          "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n"
          "    \"fuse_unk\": false,\n    \"byte_fallback\": false,\n    \"ignore_merges\": true,\n"
          "    \"vocab\": {\n",
          out);
    for (uint32_t id = 0; id < 199998; id++) {
        fputs(id == 0 ? "      " : ",\n      ", out);
        o200k_spell(out, &file->vocab, id);
        fprintf(out, ": %u", id);
    }
    fputs("\n    },\n    \"merges\": [\n", out);
    o200k_write_merges(out, file);
    fputs("\n    ]\n  }\n}", out);
}

static inline void o200k_close(FILE *out, const char *path)
{
    int failed = ferror(out);
    o200k_require(fclose(out) == 0 && !failed, path);
}

/* Inflates the ranks to `ranks_path` and writes tokenizer.json to `json_path`. */
static inline void o200k_write_files(const char *ranks_path, const char *json_path)
{
    size_t length;
    char *ranks = o200k_inflate("o200k_base.tiktoken.gz", &length);
    FILE *out = fopen(ranks_path, "wb");
    o200k_require(out != NULL, ranks_path);
    fwrite(ranks, 1, length, out);
    o200k_close(out, ranks_path);
    tokenizer_file file;
    gptoss_status status = tiktoken_parse(ranks, length, "ranks", &file, NULL);
    if (status == GPTOSS_OK)
        status = tiktoken_add_harmony(&file, "ranks", NULL);
    o200k_require(status == GPTOSS_OK, "the ranks do not parse");
    out = fopen(json_path, "wb");
    o200k_require(out != NULL, json_path);
    o200k_write_json(out, &file);
    o200k_close(out, json_path);
    tokenizer_file_free(&file);
    free(ranks);
}

#endif
