/* Writing the files of a checkpoint. */
#ifndef MAKE_CHECKPOINT_WRITER_H
#define MAKE_CHECKPOINT_WRITER_H

#include <stdbool.h>

#include "plan.h"

/* Each returns false after a sentence on stderr. */

/* Makes the directory when there is none; one that holds *.safetensors already is refused. */
bool write_directory(const char *path);

/* The weight files: whole, or headers with holes behind them. Progress goes to stderr when that is
 * a terminal. Memory is bounded by a few MiB per thread. */
bool write_weights(const request *wanted, const plan *tensors);

/* model.safetensors.index.json: the file of every tensor. */
bool write_index(const request *wanted, const plan *tensors);

/* config.json in the layout's spelling. */
bool write_config(const request *wanted);

#endif
