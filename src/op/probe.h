/* What the machine can do on a team of threads, measured. */
#ifndef OP_PROBE_H
#define OP_PROBE_H

#include <stddef.h>
#include <stdint.h>

typedef struct probe_speed {
    double bytes_per_second; /* the fastest walk through the memory */
    double flops_per_second; /* float32 multiply-adds, two operations each */
} probe_speed;

/*
 * Lets `threads` threads first write and then read `bytes` of memory again and again, each its own
 * part, and then multiply in registers. Takes about `seconds` after the writing.
 */
probe_speed probe_run(uint32_t threads, uint8_t *memory, size_t bytes, double seconds);

#endif
