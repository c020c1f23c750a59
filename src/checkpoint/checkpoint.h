/* A directory of safetensors files seen as one set of named tensors. */
#ifndef CHECKPOINT_CHECKPOINT_H
#define CHECKPOINT_CHECKPOINT_H

#include "checkpoint/safetensors.h"

typedef struct checkpoint checkpoint;

/*
 * Finds, maps and checks the weight files at `path` (see gptoss_model_open for what that may be).
 * With an index file, every name it lists must be in the file it names, and only listed files are
 * opened; without one, every *.safetensors of the directory. A tensor found twice is an error.
 */
gptoss_status checkpoint_open(const char *path, checkpoint **out, gptoss_error *error);
void checkpoint_close(checkpoint *files);

/*
 * A checkpoint that lies in memory, as one file of the name `name`. The tensors and their names are
 * copied; `memory`, in which they lie, belongs to the checkpoint afterwards, also when this fails.
 */
gptoss_status checkpoint_of_memory(const char *name, file_map memory, const tensor *tensors,
                                   size_t count, checkpoint **out, gptoss_error *error);

/* Whether it is one of checkpoint_of_memory. */
bool checkpoint_in_memory(const checkpoint *files);

/* Where config.json is looked for: the directory of the weight files. */
const char *checkpoint_directory(const checkpoint *files);

/* All tensors, sorted by name. */
size_t checkpoint_tensor_count(const checkpoint *files);
const tensor *checkpoint_tensor(const checkpoint *files, size_t index);

/* The tensor with this name, or NULL. */
const tensor *checkpoint_find(const checkpoint *files, const char *name);

/* The weight files, sorted by path. */
size_t checkpoint_file_count(const checkpoint *files);
const char *checkpoint_file_path(const checkpoint *files, size_t index);
file_map checkpoint_file_map(const checkpoint *files, size_t index);

#endif
