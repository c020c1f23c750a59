/* Which files make up a checkpoint: one file, those of an index, or all of a directory. */
#ifndef CHECKPOINT_SHARDS_H
#define CHECKPOINT_SHARDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/status.h"

/* Bounds of what is accepted; docs/SECURITY.md lists them. */
#define SHARDS_MAX_FILES 4096

/* Where an index says that a tensor is. */
typedef struct shard_entry {
    const char *tensor; /* owned by the index's document */
    uint32_t file;      /* into shard_index.files */
} shard_entry;

/* A parsed *.safetensors.index.json. */
typedef struct shard_index {
    shard_entry *entries; /* sorted by tensor */
    size_t entry_count;
    const char **files; /* plain file names, sorted, each once; owned by the document */
    size_t file_count;
    uint64_t total_size; /* bytes of all tensors as the index has it; 0 when it does not say */
} shard_index;

/*
 * Reads {"metadata": {"total_size": N}, "weight_map": {tensor: file}}. File names must be plain: a
 * path in an index could name any file of the machine. total_size is for messages only: writers
 * disagree about what it counts, and every byte of every file is accounted for by its own header.
 * `document` must outlive *out.
 */
gptoss_status shard_index_parse(const json_value *document, const char *what, shard_index *out,
                                gptoss_error *error);

/* Accepts a zeroed index. */
void shard_index_free(shard_index *index);

/* The files of one checkpoint. */
typedef struct shard_list {
    char *directory;
    char **paths; /* sorted */
    size_t count;
    char *index_path;     /* NULL without an index */
    json_value *document; /* of the index */
    shard_index index;    /* its files are paths[], in the same order */
} shard_list;

/*
 * Finds the files at `path`, a .safetensors file or a directory. In a directory
 * model.safetensors.index.json counts, else the only *.safetensors.index.json, else every
 * *.safetensors that is not hidden; a directory without any of these is replaced by its
 * subdirectory original/. Fails when the index names a file that is missing or a download is
 * visibly unfinished.
 */
gptoss_status shards_find(const char *path, shard_list *out, gptoss_error *error);

/*
 * Refuses what an index lists when it is a link out of the checkpoint's directory: like a path in
 * the index, it could name any file of the machine. A hub snapshot's links into the blobs beside it
 * are good. Without an index nobody but the user named the files, and all links are. shards_find
 * calls it.
 */
gptoss_status shards_check_links(const shard_list *list, gptoss_error *error);

/* Accepts a zeroed list. */
void shards_free(shard_list *list);

#endif
