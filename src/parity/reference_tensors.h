/* Reading the tensors of a dump: its rows, and which tensor is which stage. */
#ifndef PARITY_REFERENCE_TENSORS_H
#define PARITY_REFERENCE_TENSORS_H

#include "parity/reference.h"

/* Reads the ids and both kinds of positions of a dump whose file has been parsed. */
gptoss_status reference_read_rows(gptoss_reference *reference, gptoss_error *error);

/* Finds every stage, checks its type and shape, and reads the experts' ids. */
gptoss_status reference_bind(gptoss_reference *reference, gptoss_error *error);

#endif
