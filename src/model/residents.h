/* The memory that passes read weights from: what is to be read ahead, and what locked. */
#ifndef MODEL_RESIDENTS_H
#define MODEL_RESIDENTS_H

#include "model/model.h"

typedef struct resident {
    const uint8_t *start;
    size_t bytes;
} resident;

/* What is known of a list of them. */
typedef struct residents {
    resident *list; /* malloc'ed */
    size_t count;
    uint64_t bytes;    /* of all */
    uint64_t in_files; /* of those that the system may have to read */
} residents;

/*
 * The tensors that are read where they lie, and what takes the place of the others: packed weights,
 * attention weights in 8 bits, the sketch.
 */
gptoss_status residents_of(const gptoss_model *model, residents *out, gptoss_error *error);

#endif
